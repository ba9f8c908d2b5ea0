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

from grait.config import PromptConfig
from grait.errors import ModelError, reason
from grait.languages import Language, instructions
from grait.model.clock import at_moment
from grait.model.forms import Form, forms_of
from grait.records import Asked, Question

Family = Literal["basic", "refuse"]
AnswerForm = Literal["text", "letter"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text up to where the model's answer begins, and its token ids, special tokens included."""

    text: str
    token_ids: tuple[int, ...]
    is_chat: bool


@dataclass(frozen=True, slots=True)
class Completion:
    """The text that continues a prompt, and its token ids with the end token."""

    text: str
    token_ids: tuple[int, ...]


def request(
    question: Question, family: Family, answer_form: AnswerForm, refusal: str, language: Language = "en"
) -> str:
    """The instruction and the question, as the user says them; the same for all models."""
    said = instructions(language)
    lines = [said.letter if question.choices and answer_form == "letter" else said.text]
    if question.topic is not None:
        lines.insert(0, said.topic.format(topic=question.topic))
    if family == "refuse":
        lines.append(said.refuse.format(refusal=refusal))
    return "\n".join([" ".join(lines), f"{said.question} {with_options(question)}"])


def with_options(question: Question) -> str:
    """The question, and a line for each of its options."""
    options = [f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, question.choices, strict=False)]
    return "\n".join([question.question, *options])


def as_plain_text(asked: str, language: Language = "en") -> str:
    """A request as text that a model without a chat template goes on with."""
    return f"{asked}\n{instructions(language).answer}"


def as_dialogue(messages: Sequence[dict[str, str]]) -> str:
    """A conversation as text that a model without a chat template goes on with."""
    said = [f"{message['role'].capitalize()}: {message['content']}" for message in messages]
    return "\n".join([*said, "Assistant:"])


@dataclass(frozen=True)
class PromptFormat:
    """Questions to prompts, answers to completions.

    ``shots``: solved questions put before the question of a knowledge query. ``topic_shots``: by topic, those that
    questions of this topic have instead.
    ``answer_form``: multiple-choice answers are given as option ``letter`` or as option ``text``. ``moment``: what a
    chat template that tells the date takes for now; None for the clock. Raises ModelError where the config names chat
    forms and the tokenizer has no chat template.
    """

    tokenizer: PreTrainedTokenizerBase
    config: PromptConfig
    shots: tuple[Question, ...] = ()
    answer_form: AnswerForm = "text"
    topic_shots: Mapping[str, tuple[Question, ...]] = field(default_factory=dict)
    moment: datetime | None = None

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
    def forms(self) -> tuple[Form, ...]:
        """All forms of the config, the main one first."""
        return forms_of(self.config)

    def request(self, question: Question, family: Family) -> str:
        """The instruction and the question, as the user says them."""
        return request(question, family, self.answer_form, self.config.first_refusal, self.config.language)

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
        return self.shots if question.topic is None else self.topic_shots.get(question.topic, self.shots)

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
        return form.template.format(question=with_options(question), refusal=self.config.first_refusal)

    def saying(self, refusal: str) -> "PromptFormat":
        """The same with another refusal text in its instructions."""
        return replace(self, config=self.config.model_copy(update={"refusal": refusal}))

    def end_text(self, is_chat: bool) -> str:
        """The end token of a completion: the one after a chat turn, or the end of text."""
        end = self._turn_end if is_chat else self.tokenizer.eos_token_id
        return str(self.tokenizer.convert_ids_to_tokens(end))

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
            return Prompt(text, tuple(self.tokenizer(text)["input_ids"]), is_chat=False)
        return self.chat(self._messages(question, family, shots, form))

    def conversation(self, messages: Sequence[dict[str, str]]) -> Prompt:
        """Messages up to the model's turn: in the chat template, or as plain text where there is none."""
        if self.has_template:
            return self.chat(messages)
        text = as_dialogue(messages)
        return Prompt(text, tuple(self.tokenizer(text)["input_ids"]), is_chat=False)

    def chat(self, messages: Sequence[dict[str, str]]) -> Prompt:
        """Messages in the chat template, up to the model's turn. Raises ModelError where the template refuses them."""
        try:
            text = self.templated(messages, add_generation_prompt=True)
        except Exception as error:
            raise ModelError(f"the chat template refuses the prompt: {reason(error)}") from error
        return Prompt(text, tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]), is_chat=True)

    def templated(self, messages: Sequence[dict[str, str]], **options: Any) -> str:
        """Messages in the chat template, at the run's moment."""
        if self.moment:
            options["chat_template"] = at_moment(self.tokenizer.get_chat_template(), self.moment)
        return str(self.tokenizer.apply_chat_template(list(messages), tokenize=False, **options))

    def completion(self, prompt: Prompt, answer: str) -> Completion:
        """The continuation of this prompt with this answer.

        After a chat prompt it is tokenised apart. Plain text is tokenised together with its prompt, as a model would
        write it, where that leaves the prompt's own tokens as they are: a tokenizer that begins every text with a
        blank would else begin " Paris" with two.
        """
        if prompt.is_chat:
            return Completion(answer, (*self.tokenizer(answer, add_special_tokens=False)["input_ids"], self._turn_end))
        text, n_prompt = f" {answer}", len(prompt.token_ids)
        joined = self.tokenizer(prompt.text + text)["input_ids"]
        if tuple(joined[:n_prompt]) == prompt.token_ids:
            token_ids = joined[n_prompt:]
        else:
            token_ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return Completion(text, (*token_ids, int(self.tokenizer.eos_token_id)))

    def end_token_ids(self, is_chat: bool) -> frozenset[int]:
        """Tokens that end a generated answer; in plain text a line break, too."""
        ends = {int(self.tokenizer.eos_token_id)}
        return frozenset(ends | ({self._turn_end} if is_chat else self._line_breaks))

    @cached_property
    def _turn_end(self) -> int:
        """The token that the chat template writes after an answer, else the end-of-text token."""
        turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "ANSWER"}]
        text = self.templated(turns)
        after = self.tokenizer(text.rpartition("ANSWER")[2].lstrip(), add_special_tokens=False)["input_ids"]
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        return int(after[0] if after and after[0] in special else self.tokenizer.eos_token_id)

    @cached_property
    def _line_breaks(self) -> frozenset[int]:
        texts = self.tokenizer.batch_decode([[token] for token in range(len(self.tokenizer))])
        return frozenset(token for token, text in enumerate(texts) if "\n" in text)

    def decode(self, token_ids: list[int]) -> str:
        """The answer in generated tokens."""
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True)).strip()
