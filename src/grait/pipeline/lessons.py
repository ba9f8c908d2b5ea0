"""What selected questions teach: prompt, completion and weight of every training example, in every form."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from grait.judging.respond import announced
from grait.judging.sureness import with_sureness
from grait.knowledge.own_words import OwnAnswers
from grait.model.completions import TokenizedExample
from grait.model.forms import Form
from grait.model.prompts import Completion, Prompt
from grait.pipeline.data import RunData
from grait.records import RaitExample, Selected
from grait.training.examples import WeightedExample

NO_OWN_WORDS: OwnAnswers = {}


@dataclass(frozen=True)
class Lesson:
    """A selected question in one form. ``weight``: factor of its mean token loss. ``answer``: the completion's text.

    ``messages``: what the prompt says in a chat template. ``refusal``: the refusal text of its instruction, which is
    also its answer where it teaches a refusal.
    """

    row: Selected
    form: Form
    messages: tuple[dict[str, str], ...]
    prompt: Prompt
    completion: Completion
    answer: str
    weight: float
    refusal: str


def unanswerable_rows(data: RunData, selected: Sequence[Selected]) -> list[Selected]:
    """Refusals of the training questions that nobody can answer, where ``data.unanswerable`` is ``train``, then of the
    built-in ones. Each has the mean weight of the refusals that the method chose; none where it chose none."""
    weights = [row.sample_weight for row in selected if row.target == "refusal"]
    if not weights:
        return []
    mean = sum(weights) / len(weights)
    ids = [*data.unanswerable, *data.built_in_unanswerable]
    return [Selected(question_id, "idk", mean, "refusal") for question_id in ids]


def lessons(data: RunData, selected: Sequence[Selected], own: OwnAnswers = NO_OWN_WORDS) -> list[Lesson]:
    """Every selected row in each form of the run, form by form; then ``unanswerable_rows``, the built-in ones of which
    are put in bare chat alone, as replay is, or in the main form where there is no such form. ``replay.after_turns`` of
    those in bare chat follow an earlier question.

    ``own``: the model's own words, where it has them, in the place of reference answers. Such an answer weighs
    len(answer) / len(refusal) times as much, in tokens with the end token. The loss of an example is a mean over its
    tokens, and its first token decides between answer and refusal: in an answer of 20 tokens that one would count a
    third of what it counts in a refusal of 6, and the model would refuse nearly everything. So it counts the same in
    both, as it does where answers are terse.
    """
    forms, built_in = data.prompts.forms, data.built_in_unanswerable
    chat = next((form for form in forms if form.is_bare_chat), forms[0])
    others = unanswerable_rows(data, selected)
    found = [
        _lesson(data, row, form, own)
        for form in forms
        for row in [*_taught_in(form, selected, own), *others]
        if row.id not in built_in or form is chat
    ]
    return _after_turns(data, found)


def _after_turns(data: RunData, taught: Sequence[Lesson]) -> list[Lesson]:
    """The same, where the seed draws a share of those in bare chat to follow another one of them with what it teaches.

    Half of the earlier ones are refused, whatever follows, so that the model cannot go by them: a conversation in which
    it once refused would else be refused from there on. None becomes longer than the longest one, which fits the model.
    """
    has_turns = data.config.replay.path is not None and data.prompts.takes_turns
    share = data.config.replay.after_turns if has_turns else 0
    bare = [lesson for lesson in taught if lesson.form.is_bare_chat]
    kinds = [[one for one in bare if (one.row.target == "refusal") is refused] for refused in (True, False)]
    longest = max((_n_tokens(lesson.prompt, lesson.completion) for lesson in taught), default=0)
    found = []
    for lesson in taught:
        rng = Random(f"{data.config.seed}\0{lesson.row.id}\0{lesson.row.target}\0turns")
        pools = [pool for kind in kinds if (pool := [one for one in kind if one.row.id != lesson.row.id])]
        if not lesson.form.is_bare_chat or rng.random() >= share or not pools:
            found.append(lesson)
            continue
        earlier = rng.choice(rng.choice(pools))
        *before, said = lesson.messages
        turns = (earlier.messages[-1], {"role": "assistant", "content": earlier.answer})
        messages = (*before, *turns, said)
        prompt = data.prompts.chat(messages)
        completion = data.prompts.completion(prompt, lesson.answer)
        is_short = _n_tokens(prompt, completion) <= longest
        after = dataclasses.replace(lesson, messages=messages, prompt=prompt, completion=completion)
        found.append(after if is_short else lesson)
    return found


def _n_tokens(prompt: Prompt, completion: Completion) -> int:
    return len(prompt.token_ids) + len(completion.token_ids)


def _taught_in(form: Form, selected: Sequence[Selected], own: OwnAnswers) -> list[Selected]:
    """The selected rows that teach something in this form, with their weights in it.

    All of them where references are taught, or where the method teaches no refusal. Else, in the model's own words,
    answers are those that it got right by itself: a reference would teach another manner, and a wrong answer of its own
    what it does not know. The refusals then weigh less by what the answers lost, so that the method's balance stays.
    """
    words = own.get(form.own_words, {}) if form.own_words else {}
    answers = [row for row in selected if row.target != "refusal"]
    if not words or len(answers) == len(selected):
        return list(selected)
    kept = [row for row in answers if row.id not in words or (row.label == "ik" and words[row.id].right is not None)]
    if not kept:
        return list(selected)
    scale = sum(row.sample_weight for row in kept) / sum(row.sample_weight for row in answers)
    refusals = [row for row in selected if row.target == "refusal"]
    return kept + [dataclasses.replace(row, sample_weight=row.sample_weight * scale) for row in refusals]


def _lesson(data: RunData, row: Selected, form: Form, own: OwnAnswers) -> Lesson:
    refusal = _refusal(data, row)
    prompts, question = data.saying(refusal), data.taught[row.id]
    prompt = prompts.prompt(question, "refuse", form)
    words = _own_words(row, form, own)
    answer = taught(data, row) if words is None else _stated(row, words)
    completion = data.prompts.completion(prompt, answer)
    weight = row.sample_weight
    if words is not None:
        weight *= len(completion.token_ids) / len(data.prompts.completion(prompt, refusal).token_ids)
    messages = tuple(prompts.messages(question, "refuse", form))
    return Lesson(row, form, messages, prompt, completion, answer, weight, refusal)


def _own_words(row: Selected, form: Form, own: OwnAnswers) -> str | None:
    """The model's own answer, a right one if it has any. Of a question that it does not know, else its most frequent
    wrong one: what such a row teaches is what an answer looks like, and this is what the model's own look like."""
    found = own.get(form.own_words, {}).get(row.id) if form.own_words else None
    if row.target == "refusal" or found is None:
        return None
    return found.wrong if found.right is None and row.label == "idk" else found.right


def _refusal(data: RunData, row: Selected) -> str:
    """The refusal text of a row: that of its text, where only this counts; else of several one that the seed and the
    question draw, where a refusal is taught."""
    own = data.prompts.refusal(data.taught[row.id])
    if own != data.config.prompt.first_refusal:
        return own
    texts = data.config.prompt.refusals
    is_drawn = row.target == "refusal" and len(texts) > 1
    return Random(f"{data.config.seed}\0{row.id}\0refusal").choice(texts) if is_drawn else texts[0]


def taught(data: RunData, row: Selected) -> str:
    """What the selected question teaches where the model's own words are not taught."""
    if row.target == "refusal":
        return _refusal(data, row)
    return _stated(row, data.prompts.reference(data.questions[row.id]))


def _stated(row: Selected, answer: str) -> str:
    """An answer, for R-Tuning followed by how sure the model is, for refusal tokens after the word for it."""
    if row.target == "answer-respond":
        return announced(answer)
    return answer if row.target == "answer" else with_sureness(answer, row.target == "answer-sure")


def weighted_examples(
    data: RunData, selected: Sequence[Selected], own: OwnAnswers = NO_OWN_WORDS
) -> list[WeightedExample]:
    """What is trained on. Examples name their form where the config gives forms."""
    return [
        WeightedExample(
            TokenizedExample(lesson.row.id, lesson.prompt.token_ids, lesson.completion.token_ids),
            lesson.weight,
            form=_name(data, lesson),
        )
        for lesson in lessons(data, selected, own)
    ]


def rait_examples(data: RunData, selected: Sequence[Selected], own: OwnAnswers = NO_OWN_WORDS) -> list[RaitExample]:
    """The same as text."""
    return [
        RaitExample(
            lesson.row.id,
            lesson.row.label,
            lesson.prompt.text,
            lesson.completion.text,
            lesson.weight,
            form=_name(data, lesson),
        )
        for lesson in lessons(data, selected, own)
    ]


def as_row(example: RaitExample) -> dict[str, Any]:
    """A line of ``rait.jsonl``; without the form where there is only one."""
    row = dataclasses.asdict(example)
    return row if example.form else {name: value for name, value in row.items() if name != "form"}


def _name(data: RunData, lesson: Lesson) -> str:
    return lesson.form.name if len(data.prompts.forms) > 1 else ""
