"""The one check of what prompts and answers look like, before anything is asked: chat templates do what they like."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from transformers import PreTrainedTokenizerBase

from grait.errors import ModelError
from grait.model.forms import Form, built_in
from grait.model.prompts import PromptFormat, without_embedding
from grait.model.template import ChatTemplate, change, places
from grait.records import Question

PROBES = (
    Question("check-1", "What is the old name of the River Thames?", ("Tamesis",)),
    Question("check-2", "Which Painter made the Red Vineyard?", ("Vincent van Gogh",)),
)
"""With capitals within, so that lower-casing shows; no data set of ours has them."""


LINES = "Read this:\n\n  The Po flows into the Adriatic Sea.\n- it has  two\tbanks\n\nWhere does it end?"
"""Paragraphs, indented lines and wide blanks, of which templates make what they like."""

LONG = " ".join(f"town {n}," for n in range(400)) + " and which is the largest?"
"""Of which nothing may be cut."""

MARKS = 'Who said "I <b>am</b> 1 & 2" in {that} [way]? See http://a.org/b_c, at 5 % of it\'s ### *end* \\ now.'
"""Of which pages and programs make something else."""

_PECULIAR = {
    LINES: "a question of several lines",
    LONG: f"a question of {len(LONG):,} characters",
    MARKS: "a question with quotes and marks",
}

RENDERINGS = 8
"""So many times a text is written: chance would show."""


def check_prompts(prompts: PromptFormat, untaught: Sequence[Form] = ()) -> list[str]:
    """What to know of the chat template, a line each. Raises ModelError, with one line, where prompts would be wrong.

    In every form, ``untaught`` ones too, in the knowledge query and in bare chat: the question stands in the prompt
    once and as it is, so does the system message; two questions give two prompts; no prompt ends in an end token; and
    in the chat template prompt, answer and end are the template's own finished turn.
    """
    try:
        _check_all(prompts, untaught)
    except ModelError as error:
        name = prompts.tokenizer.name_or_path
        raise ModelError(f"{name}: {error}" if name else str(error)) from error
    return _notes(prompts) if prompts.has_template else []


def _check_all(prompts: PromptFormat, untaught: Sequence[Form]) -> None:
    if prompts.rows is not None:
        check_vocabulary(prompts.tokenizer, prompts.rows)
        ends = {prompts.end_id(is_chat) for is_chat in (False, prompts.has_template)}
        if beyond := sorted(end for end in ends if end >= prompts.rows):
            raise ModelError(without_embedding(prompts.tokenizer, beyond, prompts.rows))
    if prompts.shots and prompts.config.shots_style == "chat" and not prompts.takes_turns:
        raise ModelError(
            f"prompt.shots_style = chat: the chat template takes one question, and no solved ones before it "
            f"({prompts.template.refuses_turns}); set it to plain"
        )
    if prompts.has_template:
        _check_chance(prompts.template)
    _check(prompts, None)
    if prompts.has_template:
        _check_lines(prompts)
    bare = built_in("question", prompts.config)
    for form in (*prompts.forms, *untaught, *([bare] if prompts.has_template else [])):
        if form.is_chat and not prompts.has_template:
            continue  # put as plain text, as the query
        _check(prompts, form)
        if prompts.is_chat(PROBES[0], form):
            _check_turn(prompts, form)


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    """Raise ModelError where text may hold tokens that a model of so many embeddings has none for.

    Special tokens alone may be beyond: some models for text keep a token for images, which nobody writes. Where a
    template or a question does, ``PromptFormat`` says so.
    """
    special = {*tokenizer.all_special_ids, *(n for n, token in tokenizer.added_tokens_decoder.items() if token.special)}
    beyond = sorted(token for token in tokenizer.get_vocab().values() if token >= rows and token not in special)
    if beyond:
        raise ModelError(without_embedding(tokenizer, beyond, rows))


def _check(prompts: PromptFormat, form: Form | None) -> None:
    """The prompts of two questions in a form, None for the knowledge query."""
    what = "the knowledge query" if form is None else f"the form {form.name}"
    try:
        shown = [
            prompts.query(question) if form is None else prompts.prompt(question, "refuse", form) for question in PROBES
        ]
    except ModelError as error:
        raise ModelError(f"{what}: {error}") from error
    for prompt, probe in zip(shown, PROBES, strict=True):
        if changed := change(probe.question, prompt.text, "the question"):
            raise ModelError(f"{what}: the chat template {changed}; take another template")
        n = len(places(probe.question, prompt.text))
        if n > 1:
            raise ModelError(f"{what}: the chat template writes the question {n} times; take another template")
        if prompt.token_ids[-1] in prompts.end_token_ids(is_chat=True):
            end = prompts.tokenizer.convert_ids_to_tokens(prompt.token_ids[-1])
            raise ModelError(f"{what}: the prompt ends in the end token {end}, after which no answer can be taught")
    if shown[0].token_ids == shown[1].token_ids:
        raise ModelError(f"{what}: the tokenizer gives two questions the same tokens; take another one")


def _check_chance(template: ChatTemplate) -> None:
    """One conversation, rendered several times at one time of the clock, is one text."""
    pinned = replace(template, moment=datetime(2026, 1, 2, 3, 4, 5))
    for render in (pinned.opened, pinned.turn):
        if len({render(template.asked) for _ in range(RENDERINGS)}) > 1:
            raise ModelError(
                "the chat template writes another text each time, for the same messages: what is asked would not be "
                "what was taught; take another template"
            )


def _check_lines(prompts: PromptFormat) -> None:
    """A question of several lines, a long one and one with marks: blanks may change, and line breaks, nothing else."""
    for said, what in _PECULIAR.items():
        if changed := change(said, _bare(prompts, said), what):
            raise ModelError(f"a bare chat question: the chat template {changed}; take another template")


def _bare(prompts: PromptFormat, said: str) -> str:
    """A prompt in the chat template, after the config's system message alone."""
    system = prompts.config.system
    before = [] if system is None else [{"role": "system", "content": system}]
    return prompts.chat([*before, {"role": "user", "content": said}]).text


def _check_turn(prompts: PromptFormat, form: Form) -> None:
    """Prompt, answer and end against the finished turn, where that goes on from the prompt."""
    messages, answer = prompts.messages(PROBES[0], "refuse", form), prompts.config.first_refusal
    prompt = prompts.prompt(PROBES[0], "refuse", form)
    for place, message in enumerate(messages, 1):
        what, mend = "a solved example", "take another template, or prompt.shots_style: plain"
        if message["role"] == "system":
            what, mend = "the system message", "take a form without one, and no prompt.system"
        elif place == len(messages):
            what, mend = "the instruction", "take another template"
        if changed := change(message["content"], prompt.text, what):
            raise ModelError(f"the form {form.name}: the chat template {changed}; {mend}")
    turn = prompts.template.turn([*messages, {"role": "assistant", "content": answer}])
    if prompts.template.takes_parts and "'type': 'text'" in turn:
        raise ModelError(
            f"the form {form.name}: the chat template takes a list as the content of some turns, and text as that of "
            "others; take another template"
        )
    if not turn.startswith(prompt.text):
        return
    after = turn.removeprefix(prompt.text + prompts.completion(prompt, answer).text)
    end = prompts.end_text(True)
    if after == turn or (end in after and not after.lstrip().startswith(end)):
        raise ModelError(
            f"the form {form.name}: the chat template does not write {answer!r} as it is; take another one"
        )


def _notes(prompts: PromptFormat) -> list[str]:
    template, notes = prompts.template, []
    found = {name: value for name, value in template.arguments.items() if name not in template.given}
    if found:
        settings = ", ".join(f"{name}: {str(value).lower()}" for name, value in found.items())
        notes.append(f"the chat template is told not to reason ({settings}; prompt.template_arguments changes it)")
    if after := template.left_after:
        notes.append(
            f"the chat template writes {after!r} after an answer, where no end token is: what is taught ends in "
            f"{prompts.end_text(True)} at once"
        )
    if why := template.refuses_turns:
        notes.append(
            f"the chat template takes one question ({why}): nothing is taught or measured after earlier turns, and "
            "replay prompts of several turns are left out"
        )
    if not all(said in _bare(prompts, said) for said in _PECULIAR):
        notes.append("the chat template changes blanks and line breaks of what is asked")
    opened, (prompt, _) = template.opened(template.asked), template.prompt(template.asked)
    more, own = opened.removeprefix(prompt).strip(), prompt.removeprefix(opened).strip()
    beginning = prompt.rpartition(template.asked[-1]["content"])[2].strip()
    if prompt.startswith(opened) and own:
        notes.append(f"the chat template's prompts are completed as in its finished turns: answers follow {own!r}")
    elif opened.startswith(prompt) and more and more != prompts.end_text(False):
        notes.append(
            f"the chat template begins every answer with {more!r}, which is left out: as in its finished turns, "
            f"answers follow {beginning!r}"
        )
    elif not prompt.startswith(opened) and not opened.startswith(prompt):
        notes.append(f"the chat template's prompts end otherwise than its finished turns: answers follow {beginning!r}")
    return notes
