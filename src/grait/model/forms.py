"""Forms: the ways in which a question is put, in the chat template or as plain text, with an instruction or without."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from grait.config import Config, FormConfig, PromptConfig
from grait.errors import ConfigError
from grait.languages import instructions
from grait.records import FormName


@dataclass(frozen=True, slots=True)
class Form:
    """One way to put a question.

    ``template``: its words, with {question} (and options) and perhaps {refusal}; they are the same in the BASIC and
    REFUSE families. None: the instruction of the family (``prompts.request``), the question, and in plain text
    "Answer:". ``system``: None for that of the config. ``shows_examples``: solved examples stand before the question.
    """

    name: str
    template: str | None
    is_chat: bool
    system: str | None = None
    shows_examples: bool = False

    @property
    def is_bare_chat(self) -> bool:
        """Whether it is the question alone, in the chat template."""
        return self.is_chat and self.template == "{question}" and self.system is None

    @property
    def own_words(self) -> Literal["question"] | None:
        """The built-in form in which the model is asked for its own words for this one. None where answers are terse
        anyway: plain text, examples to follow, and instructions that ask for few words or allow a refusal."""
        if not self.is_chat or self.shows_examples or self.template is None or "{refusal}" in self.template:
            return None
        return "question"


def built_in(name: FormName, config: PromptConfig) -> Form:
    """A form of this package, in the config's language; solved examples are shown as ``config.shots_style`` says."""
    said = instructions(config.language)
    if name == "examples":
        return Form(name, None, is_chat=config.shots_style == "chat", shows_examples=True)
    if name == "instruction":
        return Form(name, None, is_chat=True)
    if name == "question":
        return Form(name, "{question}", is_chat=True)
    if name == "assistant":
        return Form(name, "{question}", is_chat=True, system=said.assistant)
    if name == "plain":
        return Form(name, f"{said.q} {{question}}\n{said.a}", is_chat=False)
    return Form(name, f"{said.short}\n\n{{question}}", is_chat=True)


def forms_of(config: PromptConfig) -> tuple[Form, ...]:
    """The forms of a run, the main one first; without ``config.forms`` that of ``config.shots_in`` alone.

    That one is put as plain text, too, where the tokenizer has no chat template; chat forms that were asked for are
    not (``PromptFormat``).
    """
    return _as_forms(config.forms or [FormConfig(name=config.main_form)], config)


def untaught_forms(config: Config) -> tuple[Form, ...]:
    """The forms that are asked in the evaluation alone (``evaluation.forms``). ConfigError where one is trained."""
    found = _as_forms(config.evaluation.forms, config.prompt)
    for form in found:
        same = [taught.name for taught in forms_of(config.prompt) if replace(taught, name=form.name) == form]
        if same:
            raise ConfigError(
                f"evaluation.forms: {form.name!r} has the words of the form {same[0]!r}, which is trained: "
                "take one of the two out"
            )
    return found


def _as_forms(forms: Sequence[FormConfig], config: PromptConfig) -> tuple[Form, ...]:
    found = []
    for form in forms:
        name = next((name for name in get_args(FormName) if name == form.name), None)
        found.append(Form(form.name, form.template, form.chat, form.system) if name is None else built_in(name, config))
    return tuple(found)


def has_sentences(config: PromptConfig, form: Form) -> bool:
    """Whether it is a chat form of ``config.forms`` without solved examples: all kinds of prompts may be put in it."""
    return bool(config.forms) and form.own_words is not None


def terse_form(forms: Sequence[Form], form: Form) -> Form | None:
    """The one of ``forms`` in which a question of ``form`` is asked again for a terse answer: after solved examples.

    How probable that answer is tells better what a model knows than a sentence does. None where there is none, or where
    ``form`` shows examples itself.
    """
    return None if form.shows_examples else next((other for other in forms if other.shows_examples), None)


def form_key(form: Form) -> dict[str, Any]:
    """For the keys of stages that show a form. Nothing for the instruction, whose words are those of all before."""
    return {} if form.template is None else {"form": asdict(form)}
