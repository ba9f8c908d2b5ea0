"""The config's section ``prompt``: how questions are put to a model, in which forms, and what is a refusal."""

import json
import re
from keyword import iskeyword
from string import Formatter
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from grait.config.section import Section
from grait.judging.lists import REFUSAL_PHRASES
from grait.judging.refusal import detect_refusal
from grait.languages import Language, instructions
from grait.records import FormName, Question

TEMPLATE_OWN = frozenset(
    "self messages conversation add_generation_prompt continue_final_message tokenize chat_template padding truncation "
    "max_length return_tensors return_dict return_assistant_tokens_mask tokenizer_kwargs".split()
)
"""Names that ``apply_chat_template`` gives to the template, or keeps to itself."""


class FormConfig(Section):
    """A form in which questions are put: a built-in one by its name alone, or one of the user's own.

    Built in: examples, instruction, question, assistant, plain, short (docs/forms.md).
    """

    name: str = Field(
        "question", description="Of a built-in form, or of your own: letters, digits, - and _; folders are named so."
    )
    template: str | None = Field(
        None,
        description="Your own words: {question} exactly once, {refusal} where the refusal text is to stand, {context} "
        "where a question's text is to stand, if not before the question.",
    )
    chat: bool = Field(True, description="Put into the chat template, or plain text that the model goes on with.")
    system: str | None = Field(None, description="System message of a chat form; default: that of prompt.system.")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}", name) or name == "all":
            raise ValueError("should be a name of at most 60 letters, digits, - and _, and not 'all'")
        return name

    @field_validator("template")
    @classmethod
    def _holds_the_question(cls, template: str | None) -> str | None:
        if template is None:
            return template
        try:
            found = [(name, spec, conversion) for _, name, spec, conversion in Formatter().parse(template)]
        except ValueError as error:
            raise ValueError(f"should be a template; write {{{{ and }}}} for braces of your own ({error})") from error
        fields = [field for field in found if field[0] is not None]
        odd = [
            field[0] for field in fields if field[0] not in ("question", "refusal", "context") or field[1] or field[2]
        ]
        if odd:
            raise ValueError(f"{{{odd[0]}}} is no field of a template; allowed: {{question}}, {{refusal}}, {{context}}")
        if [field[0] for field in fields].count("question") != 1:
            raise ValueError("should hold {question} exactly once")
        if [field[0] for field in fields].count("context") > 1:
            raise ValueError("should hold {context} at most once")
        return template

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> "FormConfig":
        built_in = get_args(FormName)
        if self.name not in built_in and self.template is None:
            raise ValueError(
                f"{self.name!r} is no built-in form ({', '.join(built_in)}), and one of your own needs a template"
            )
        if self.name in built_in and (self.template is not None or self.system is not None or not self.chat):
            raise ValueError(f"{self.name!r} is a built-in form: give your own another name")
        if self.system is not None and not self.chat:
            raise ValueError("a form in plain text (chat: false) has no system message")
        return self


def _names_differ(forms: list[FormConfig]) -> list[FormConfig]:
    names = [form.name for form in forms]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two forms are called {name!r}")
    return forms


Forms = Annotated[list[FormConfig], AfterValidator(_names_differ)]


NO_QUESTION = Question("", "", ("",))


class PromptConfig(Section):
    """How questions are put to the model: BASIC to find out what it knows, REFUSE for all the rest."""

    language: Language = Field(
        "en",
        description="Language of the questions: of built-in instructions, forms and refusal text; refusals "
        "are searched for in it and in English.",
    )
    n_shots: int = Field(3, ge=0, description="Solved examples of a knowledge query: the first training questions.")
    shots_style: Literal["plain", "chat"] = Field(
        "plain", description="A prompt with shots as plain text (the papers' base style) or as chat turns."
    )
    shots_in: Literal["query", "all"] = Field(
        "query",
        description="Prompts that show the solved examples: the knowledge query (the papers), or all, so that the "
        "tuned model is trained and asked with them, too.",
    )
    forms: Forms = Field(
        [],
        description="Forms in which questions are put, the main one first: names of built-in forms (examples, "
        "instruction, question, assistant, plain, short), or name, template, chat and system of your own. Every "
        "question is taught and tested in each. []: one form, that of shots_in, which has no effect where forms are "
        "given. What a run takes, unless shots_in is set: the forms of docs/defaults.md.",
    )
    own_words: bool = Field(
        True,
        description="In chat forms of `forms`, teach known questions with the model's own right answers, not with the "
        "reference, so that it keeps its manner; what it knows in any form then counts as known.",
    )
    refusal_phrases: list[str] = Field(
        [],
        description="Phrases that make an answer count as a refusal, besides the built-in ones of English and of "
        '`language`, such as "not my cup of tea". Any spelling of apostrophes and capitals is found.',
    )
    refusal: str | list[str] = Field(
        "I don't know.",
        min_length=1,
        description="The refusal text r that the model learns; default: that of the language. Or several: each refused "
        "question is taught one, drawn by the seed; influence and the dial go by the first.",
    )
    system: str | None = Field(None, description="System message; default: what the chat template does by itself.")
    template_arguments: dict[str, Any] = Field(
        {},
        description="What the chat template is given besides the messages, such as {enable_thinking: false}. Default: "
        "what turns reasoning off, where the template has such an argument (docs/models.md).",
    )

    @field_validator("template_arguments", mode="after")
    @classmethod
    def _are_arguments(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        for name, value in arguments.items():
            if not name.isidentifier() or iskeyword(name.capitalize()) or iskeyword(name) or name in TEMPLATE_OWN:
                raise ValueError(f"{name!r} is no argument of a chat template's own")
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}: neither text, number, true nor false; quote it") from error
        return arguments

    @model_validator(mode="before")
    @classmethod
    def _refusal_of_the_language(cls, tree: Any) -> Any:
        language = tree.get("language", "en") if isinstance(tree, dict) else "en"
        known = isinstance(language, str) and language in get_args(Language)
        return {"refusal": instructions(language).refusal} | tree if known and isinstance(tree, dict) else tree

    @field_validator("refusal_phrases")
    @classmethod
    def _can_be_found(cls, phrases: list[str], info: ValidationInfo) -> list[str]:
        for phrase in phrases:
            if detect_refusal(phrase, NO_QUESTION, (phrase,), info.data.get("language", "en")) != "refused":
                raise ValueError(f"{phrase!r} would not be found in any answer; it needs at least one telling word")
        return phrases

    @field_validator("refusal")
    @classmethod
    def _is_recognised(cls, refusal: str | list[str], info: ValidationInfo) -> str | list[str]:
        phrases = (*REFUSAL_PHRASES, *info.data.get("refusal_phrases", []))
        texts = [refusal] if isinstance(refusal, str) else refusal
        for text in texts:
            if texts.count(text) > 1:
                raise ValueError(f"{text!r} stands twice")
            if detect_refusal(text, NO_QUESTION, phrases, info.data.get("language", "en")) != "refused":
                which = f"{text!r}: " if len(texts) > 1 else ""
                raise ValueError(
                    f'{which}answers with this text would not be counted as refusals; word it like "I don\'t know.", '
                    "or add it to prompt.refusal_phrases"
                )
        return refusal

    @model_validator(mode="after")
    def _examples_are_there(self) -> "PromptConfig":
        if not self.n_shots and any(form.name == "examples" for form in self.forms):
            raise ValueError("forms: 'examples' shows solved examples, and n_shots = 0 leaves none")
        return self

    @property
    def wording(self) -> dict[str, Any]:
        """The section in stage keys, which name the forms and solved examples that they show themselves."""
        unset = {"language"} if self.language == "en" else set()
        unset |= set() if self.template_arguments else {"template_arguments"}
        named = self.model_dump(exclude={"shots_in", "forms", "own_words"} | unset)
        return named | {"refusal": self.first_refusal}

    @property
    def main_form(self) -> str:
        """The name of the main form."""
        return self.forms[0].name if self.forms else "examples" if self.shots_in == "all" else "instruction"

    @property
    def shows_examples(self) -> bool:
        """Whether the main form shows solved examples."""
        return self.main_form == "examples"

    @property
    def all_refusal_phrases(self) -> tuple[str, ...]:
        """What answers are searched for: the built-in English phrases and the config's own."""
        return (*REFUSAL_PHRASES, *self.refusal_phrases)

    @property
    def refusing(self) -> tuple[tuple[str, ...], Language]:
        """What makes an answer a refusal: the last arguments of everything in ``judging``."""
        return self.all_refusal_phrases, self.language

    @property
    def refusals(self) -> tuple[str, ...]:
        """All refusal texts that are taught."""
        return (self.refusal,) if isinstance(self.refusal, str) else tuple(self.refusal)

    @property
    def first_refusal(self) -> str:
        """The refusal text of instructions, influence and the dial."""
        return self.refusals[0]
