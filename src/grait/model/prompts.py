"""How questions are put to the model, and how its answers are read: the one place that all stages share.

Two families (CRaFT, GRAIT): BASIC asks for an answer, REFUSE also allows to say "I don't know". Knowledge queries
and the warm-up use BASIC; gradients, training and the evaluation of tuned models use REFUSE, word for word the same.

A knowledge query puts solved examples (shots) before the question, as plain "Question: ... Answer:" text by default:
the papers' base-style query. Everything else is put in a form (``model.forms``): by default without shots, in the
model's chat template, or the same plain text when the model has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from string import ascii_uppercase
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from grait.config import ContextConfig, PromptConfig
from grait.data.contexts import closed_book
from grait.errors import ModelError
from grait.judging.reasoning import has_reasoning
from grait.languages import Language, instructions
from grait.model.forms import Form, forms_of
from grait.model.template import ChatTemplate
from grait.records import Asked, ContextPolicy, Question

Family = Literal["basic", "refuse"]
AnswerForm = Literal["text", "letter"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text up to where the model's answer begins, and its token ids, special tokens included. ``blanks``: what
    stands between the prompt and an answer, as a part of the answer."""

    text: str
    token_ids: tuple[int, ...]
    is_chat: bool
    blanks: str = " "


@dataclass(frozen=True, slots=True)
class Completion:
    """The text that continues a prompt, and its token ids with the end token."""

    text: str
    token_ids: tuple[int, ...]


PASSAGE_BREAK = "\n\n"
"""What stands between passages."""


def request(
    question: Question,
    family: Family,
    answer_form: AnswerForm,
    refusal: str,
    language: Language = "en",
    policy: ContextPolicy = "only",
) -> str:
    """The instruction, the question's text, if it has one, and the question, as the user says them; the same for all
    models."""
    said = instructions(language)
    lines = [said.letter if question.choices and answer_form == "letter" else said.text]
    if question.topic is not None:
        lines.insert(0, said.topic.format(topic=question.topic))
    if question.context:
        lines.append(said.only if policy == "only" else said.help)
    if family == "refuse":
        is_of_text = question.context and policy == "only"
        lines.append((said.not_in_text if is_of_text else said.refuse).format(refusal=refusal))
    given = [f"{said.given} {PASSAGE_BREAK.join(question.context)}"] if question.context else []
    return "\n".join([" ".join(lines), *given, f"{said.question} {with_options(question)}"])


def with_options(question: Question) -> str:
    """The question, and a line for each of its options."""
    options = [f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, question.choices, strict=False)]
    return "\n".join([question.question, *options])


def in_words(template: str, asked: str, context: Sequence[str], refusal: str) -> str:
    """A question in the words of a form; its text stands at {context}, or else before the question. Of a question
    without a text, lines of the template that have {context} and not {question} are left out."""
    text = PASSAGE_BREAK.join(context)
    if "{context}" not in template:
        return template.format(question=f"{text}{PASSAGE_BREAK}{asked}" if context else asked, refusal=refusal)
    if not context:
        lines = [line for line in template.split("\n") if "{context}" not in line or "{question}" in line]
        template = "\n".join(lines)
    return template.format(question=asked, context=text, refusal=refusal)


def as_plain_text(asked: str, language: Language = "en") -> str:
    """A request as text that a model without a chat template goes on with."""
    return f"{asked}\n{instructions(language).answer}"


def as_dialogue(messages: Sequence[dict[str, str]]) -> str:
    """A conversation as text that a model without a chat template goes on with."""
    said = [f"{message['role'].capitalize()}: {message['content']}" for message in messages]
    return "\n".join([*said, "Assistant:"])


def without_embedding(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], rows: int) -> str:
    """One line on tokens, the first of which is named, that are beyond a model's ``rows``."""
    named = f"{tokenizer.convert_ids_to_tokens(tokens[0])!r} is number {tokens[0]}"
    n = f", and {len(tokens) - 1} more are beyond" if len(tokens) > 1 else ""
    return (
        f"the tokenizer's token {named}{n}, but the model has embeddings for {rows} tokens (vocab_size): take the "
        "tokenizer that belongs to these weights, or give the model more rows (resize_token_embeddings) and train them"
    )


@dataclass(frozen=True)
class PromptFormat:
    """Questions to prompts, answers to completions.

    ``shots``: solved questions put before the question of a knowledge query, without their texts. ``topic_shots``: by
    topic, those that questions of this topic have instead. ``ends``: tokens that the model's generation config names
    as ends of a text. ``answer_form``: multiple-choice answers are given as option ``letter`` or as option ``text``.
    ``moment``: what a chat template that tells the date takes for now; None for the clock. ``rows``: how many tokens
    the model has an embedding for; None where that is not known. Raises ModelError where the config names chat
    forms and the tokenizer has no chat template.
    """

    tokenizer: PreTrainedTokenizerBase
    config: PromptConfig
    shots: tuple[Question, ...] = ()
    answer_form: AnswerForm = "text"
    topic_shots: Mapping[str, tuple[Question, ...]] = field(default_factory=dict)
    moment: datetime | None = None
    ends: frozenset[int] = frozenset()
    rows: int | None = None
    context: ContextConfig = field(default_factory=ContextConfig)

    def __post_init__(self) -> None:
        if self.config.forms:
            self.check_forms(self.forms, "prompt.forms")

    def check_forms(self, forms: Sequence[Form], key: str) -> None:
        """Raise ModelError where some are chat and there is no template. ``key``: where the config names them."""
        chats = [form.name for form in forms if form.is_chat]
        if chats and not self.has_template:
            raise ModelError(
                f"{key}: {', '.join(chats)}: the model's tokenizer has no chat template; "
                "take forms in plain text (examples, plain, or your own with chat: false), or a chat model"
            )

    @property
    def has_template(self) -> bool:
        return bool(self.tokenizer.chat_template)

    @cached_property
    def template(self) -> ChatTemplate:
        """The tokenizer's chat template, with the config's arguments."""
        return ChatTemplate(self.tokenizer, self.config.template_arguments, self.ends, self.moment)

    @property
    def takes_turns(self) -> bool:
        """Whether a question may follow another one and its answer: always in plain text."""
        return not self.has_template or not self.template.refuses_turns

    @cached_property
    def forms(self) -> tuple[Form, ...]:
        """All forms of the config, the main one first."""
        return forms_of(self.config)

    def request(self, question: Question, family: Family) -> str:
        """The instruction and the question, as the user says them."""
        refusal, language = self.refusal(question), self.config.language
        return request(question, family, self.answer_form, refusal, language, self.context.policy)

    def refusal(self, question: Question) -> str:
        """The text that this question is refused with."""
        return self.context.refusal_of(question, self.config.first_refusal)

    def reference(self, question: Question) -> str:
        """The reference answer as the model should give it."""
        if question.choices and self.answer_form == "letter":
            return ascii_uppercase[question.answer_index]
        return question.answers[0]

    def query(self, question: Question) -> Prompt:
        """A BASIC prompt after the shots: what the initial model is asked to find out what it knows."""
        return self._prompt(question, "basic", self.shots_for(question))

    def shots_for(self, question: Question) -> tuple[Question, ...]:
        """The solved questions before this one in its knowledge query."""
        shots = self.shots if question.topic is None else self.topic_shots.get(question.topic, self.shots)
        return tuple(map(closed_book, shots))

    def by_shots(self, questions: Sequence[Question]) -> list[list[Question]]:
        """The questions in parts that have the same shots, so that the queries of a part have a long common prefix."""
        parts: dict[tuple[str, ...], list[Question]] = {}
        for question in questions:
            parts.setdefault(tuple(shot.id for shot in self.shots_for(question)), []).append(question)
        return list(parts.values())

    def asked_together(
        self, questions: Sequence[Question], asked: Asked, form: Form | None = None
    ) -> list[list[Question]]:
        """The questions in parts whose prompts have a long common prefix, where they show shots; else all at once."""
        return self.by_shots(questions) if self.shows_shots(asked, form) else [list(questions)]

    def shows_shots(self, asked: Asked, form: Form | None = None) -> bool:
        return asked == "query" or (form or self.forms[0]).shows_examples

    def shots_of(self, questions: Sequence[Question]) -> list[Question]:
        """All solved questions that the knowledge queries of these questions show."""
        return [shot for part in self.by_shots(questions) for shot in self.shots_for(part[0])]

    def prompt(self, question: Question, family: Family, form: Form | None = None) -> Prompt:
        """The prompt of training and evaluation, in a form; None: the main one."""
        form = form or self.forms[0]
        return self._prompt(question, family, self._shown(question, form), form)

    def messages(self, question: Question, family: Family, form: Form | None = None) -> list[dict[str, str]]:
        """The chat template's input for ``prompt``: the system message, solved turns, the question."""
        form = form or self.forms[0]
        return self._messages(question, family, self._shown(question, form), form)

    def is_chat(self, question: Question, form: Form | None = None) -> bool:
        """Whether ``prompt`` puts this question into the chat template."""
        form = form or self.forms[0]
        return self._is_chat(self._shown(question, form), form)

    def _shown(self, question: Question, form: Form) -> tuple[Question, ...]:
        return self.shots_for(question) if form.shows_examples else ()

    def _is_chat(self, shots: Sequence[Question], form: Form | None) -> bool:
        if form is not None and form.template is not None:
            return form.is_chat
        return self.has_template and (self.config.shots_style == "chat" or not shots)

    def _messages(
        self, question: Question, family: Family, shots: Sequence[Question], form: Form | None
    ) -> list[dict[str, str]]:
        system = self.config.system if form is None or form.system is None else form.system
        messages = [{"role": "system", "content": system}] if system is not None else []
        for shot in shots:
            messages.append({"role": "user", "content": self.request(shot, family)})
            messages.append({"role": "assistant", "content": self.reference(shot)})
        return [*messages, {"role": "user", "content": self._asked(question, family, form)}]

    def _asked(self, question: Question, family: Family, form: Form | None) -> str:
        """The question in the words of its form."""
        if form is None or form.template is None:
            return self.request(question, family)
        return in_words(form.template, with_options(question), question.context, self.refusal(question))

    def saying(self, refusal: str) -> "PromptFormat":
        """The same with another refusal text in its instructions."""
        return replace(self, config=self.config.model_copy(update={"refusal": refusal}))

    def end_text(self, is_chat: bool) -> str:
        """The end token of a completion: the one after a chat turn, or the end of text."""
        return str(self.tokenizer.convert_ids_to_tokens(self.end_id(is_chat)))

    @property
    def key(self) -> dict[str, Any]:
        """The wording of all prompts, for the keys of stages."""
        template = self.template.key if self.has_template else {}
        context = self.context.model_dump(include={"policy", "refusal"})
        is_usual = context == ContextConfig().model_dump(include={"policy", "refusal"})
        return {"prompt": self.config.wording, **({} if is_usual else {"context": context}), **template}

    def _prompt(
        self, question: Question, family: Family, shots: tuple[Question, ...], form: Form | None = None
    ) -> Prompt:
        """``form``: None for the instruction of the family."""
        if not self._is_chat(shots, form):
            language = self.config.language
            solved = [
                f"{as_plain_text(self.request(shot, family), language)} {self.reference(shot)}\n\n" for shot in shots
            ]
            asked = self._asked(question, family, form)
            has_instruction = form is None or form.template is None
            text = "".join(solved) + (as_plain_text(asked, language) if has_instruction else asked)
            return Prompt(text, self.tokens(text, is_chat=False), is_chat=False)
        return self.chat(self._messages(question, family, shots, form))

    def conversation(self, messages: Sequence[dict[str, str]]) -> Prompt:
        """Messages up to the model's turn: in the chat template, or as plain text where there is none. Raises
        ModelError for several turns where the template takes one, even if it only leaves the others out."""
        if self.has_template:
            if not self.takes_turns and any(message["role"] == "assistant" for message in messages):
                raise ModelError(f"the chat template takes one question: {self.template.refuses_turns}")
            return self.chat(messages)
        text = as_dialogue(messages)
        return Prompt(text, self.tokens(text, is_chat=False), is_chat=False)

    def chat(self, messages: Sequence[dict[str, str]]) -> Prompt:
        """Messages in the chat template, up to the model's answer. Raises ModelError as ``ChatTemplate.prompt``."""
        text, blanks = self.template.prompt(messages)
        return Prompt(text, self.tokens(text, is_chat=True), is_chat=True, blanks=blanks)

    def as_text(self, text: str, *, is_chat: bool) -> Prompt:
        """A text as it is. ``is_chat``: the chat template wrote it, special tokens and all."""
        return Prompt(text, self.tokens(text, is_chat), is_chat, self._chat_blanks if is_chat else " ")

    @cached_property
    def _chat_blanks(self) -> str:
        return self.template.prompt(self.template.asked)[1]

    def completion(self, prompt: Prompt, answer: str) -> Completion:
        """The continuation of this prompt with this answer.

        It is tokenised together with its prompt, as a model would write it, where that leaves the prompt's own tokens
        as they are: a tokenizer that begins every text with a blank would else begin " Paris" with two.
        """
        text, n_prompt = prompt.blanks + answer, len(prompt.token_ids)
        joined = self.tokens(prompt.text + text, prompt.is_chat)
        if joined[:n_prompt] == prompt.token_ids:
            token_ids = joined[n_prompt:]
        else:
            token_ids = self._embedded(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return Completion(text, (*token_ids, self.end_id(prompt.is_chat)))

    def end_token_ids(self, is_chat: bool) -> frozenset[int]:
        """Tokens that end a generated answer: those of the tokenizer, of the generation config and of the chat
        template; in plain text a line break, too."""
        ends = {self.end_id(False), *self.ends, *([self.end_id(True)] if self.has_template else [])}
        return frozenset(ends if is_chat else ends | self._line_breaks)

    def end_id(self, is_chat: bool) -> int:
        """The token that ends a completion."""
        return self.template.end if is_chat else int(self.tokenizer.eos_token_id)

    def tokens(self, text: str, is_chat: bool) -> tuple[int, ...]:
        """A chat template writes the special tokens itself. An end of text that the tokenizer appends is left out.
        Raises ModelError for a token that the model has no embedding for."""
        token_ids = self._embedded(self.tokenizer(text, add_special_tokens=not is_chat)["input_ids"])
        appended = token_ids[-1:] == (self.tokenizer.eos_token_id,) and not text.endswith(self.tokenizer.eos_token)
        return token_ids[:-1] if appended else token_ids

    def _embedded(self, token_ids: Sequence[int]) -> tuple[int, ...]:
        if self.rows is not None and max(token_ids, default=0) >= self.rows:
            raise ModelError(without_embedding(self.tokenizer, [max(token_ids)], self.rows))
        return tuple(token_ids)

    @cached_property
    def _line_breaks(self) -> frozenset[int]:
        texts = self.tokenizer.batch_decode([[token] for token in range(len(self.tokenizer))])
        return frozenset(token for token, text in enumerate(texts) if "\n" in text)

    def decode(self, token_ids: list[int]) -> str:
        """The output in generated tokens, with its reasoning, which special tokens may mark."""
        return self.written(token_ids).strip()

    def written(self, token_ids: list[int], before: Sequence[int] = ()) -> str:
        """The same with the blanks around it. ``before``: the token that it follows: some tokenizers write no blank
        where a text begins."""
        if self._special.intersection(token_ids):
            whole = str(self.tokenizer.decode(token_ids))
            if has_reasoning(whole):
                return whole
        start, text = (
            str(self.tokenizer.decode([*before, *more], skip_special_tokens=True)) for more in ([], token_ids)
        )
        if text.startswith(start):
            return text.removeprefix(start)
        return self.written(token_ids)  # half of a character before it

    @cached_property
    def _special(self) -> frozenset[int]:
        return frozenset(self.tokenizer.all_special_ids)
