"""The chat template of a tokenizer: messages to text, up to where the answer begins, and where a turn ends.

Nothing here goes by a model's name: what a template does is found by rendering small conversations.
"""

import copy
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from jinja2 import TemplateSyntaxError
from transformers import PreTrainedTokenizerBase

from grait.errors import ModelError, reason
from grait.judging.reasoning import open_tag
from grait.model.clock import at_moment

Message = dict[str, str]

ANSWER = "qWertz7"
"""Stands for an answer: no template writes it by itself, and every change of capitals shows."""

ASKED: tuple[Message, ...] = ({"role": "user", "content": "Yxcvb8"},)

_SYSTEM: Message = {"role": "system", "content": "Be brief."}

_REASONING = re.compile(r"(?<![\w.'\"<\[/|◁:])\w*(?:think|reason)\w*", re.IGNORECASE)
"""Variables of a template that may turn reasoning off."""

_NEGATIVE = re.compile(r"(?:no|non|disable|skip|without|hide)(?=_|think|reason)", re.IGNORECASE)
_OFF = "off|none|no|disabled?|false|no_?think"
"""What a template may compare such a variable with."""

_PAIR = re.compile(r"<(?P<angle>[\w:]+)>|\[(?P<square>\w+)\]")


@dataclass(frozen=True)
class ChatTemplate:
    """``given``: the user's arguments. ``ends``: tokens that the model's generation config names as ends. ``moment``:
    what a template that tells the date takes for now; None for the clock."""

    tokenizer: PreTrainedTokenizerBase
    given: Mapping[str, Any] = field(default_factory=dict)
    ends: frozenset[int] = frozenset()
    moment: datetime | None = None

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """What the template is given besides the messages: the user's, else what turns reasoning off, if anything does.
        An argument counts where it changes the prompt, which it is not merely written into."""
        if any(_REASONING.fullmatch(name) for name in self.given):
            return dict(self.given)
        found = dict(self.given)
        prompt = self._attempt(found)
        for name in dict.fromkeys(_REASONING.findall(self._source)):
            named = re.search(rf"\b{name}\s*==\s*['\"]({_OFF})['\"]", self._source)
            value = named[1] if named else _NEGATIVE.match(name) is not None
            other = self._attempt(found | {name: value})
            if prompt is None or other is None or other == prompt:
                continue
            is_written = not named and other.count(str(value)) > prompt.count(str(value))
            if not is_written and (open_tag(prompt) is not None or open_tag(other) is None):
                found[name], prompt = value, other
        return found

    @cached_property
    def takes_parts(self) -> bool:
        """Whether a message's content has to be a list of parts, as templates for images may want it."""
        content = ASKED[-1]["content"]
        as_text, as_parts = (self._attempt(dict(self.given), form) for form in (_as_text, _as_parts))
        return content not in (as_text or "") and content in (as_parts or "")

    @cached_property
    def asked(self) -> tuple[Message, ...]:
        """A small conversation: ``ASKED``, after a system message where the template takes none without."""
        return ASKED if self._refusal(ASKED) is None or self._refusal((_SYSTEM, *ASKED)) else (_SYSTEM, *ASKED)

    @cached_property
    def refuses_turns(self) -> str:
        """Why it takes no question after another one and its answer, in words; empty where it does."""
        *system, last = self.asked
        earlier = (*system, {"role": "user", "content": "Mnbvc4"}, _answering("Lkjhg9"))
        try:
            text, _ = self.prompt([*earlier, last])
        except ModelError as error:
            return reason(error.__cause__) if error.__cause__ else "it leaves later turns out"
        is_whole = all(message["content"] in text for message in (*earlier, last) if message not in system)
        return "" if is_whole else "it leaves earlier turns out"

    @cached_property
    def end(self) -> int:
        """The token that the template writes after an answer; where it writes none, the end of text. Where only the
        next turn's beginning ends an answer, that one, if the model's generation config names it."""
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        after = self._first_token(self.turn([*self.asked, _answering(ANSWER)]).rpartition(ANSWER)[2])
        if after is not None and after in special:
            return after
        try:
            following = self.turn([*self.asked, _answering(ANSWER), *ASKED]).rpartition(ANSWER)[2]
        except ModelError:
            following = ""
        after = self._first_token(following)
        return after if after is not None and after in self.ends else int(self.tokenizer.eos_token_id)

    @property
    def end_text(self) -> str:
        return str(self.tokenizer.convert_ids_to_tokens(self.end))

    def opened(self, messages: Sequence[Message]) -> str:
        """The messages with the template's own generation prompt, as a server that is told ``arguments`` asks."""
        return self._rendered(messages, is_prompt=True)

    def turn(self, messages: Sequence[Message]) -> str:
        """A conversation whose last turn is finished."""
        return self._rendered(messages, is_prompt=False)

    def prompt(self, messages: Sequence[Message]) -> tuple[str, str]:
        """The text up to the answer, and the blanks that the template writes before it.

        It is what the template writes before the answer of a finished turn: so empty reasoning and a final channel are
        in it. Where the generation prompt goes on from there, that one: a server writes it. But not where it begins
        reasoning, or ends the turn. Raises ModelError for a template that changes the answer or refuses the messages,
        and where the answer would stand within reasoning.
        """
        opened = self.opened(messages)
        turn = self.turn([*messages, _answering(ANSWER)])
        before, is_found, _ = turn.rpartition(ANSWER)
        if not is_found:
            raise ModelError(f"the chat template {change(ANSWER, turn, 'an answer')}; take another one")
        said = messages[-1]["content"].strip() or ANSWER
        if before.startswith(opened):
            kept = max(len(before.rstrip(" ")), len(opened))
            text, blanks = before[:kept], before[kept:]
        elif opened.startswith(before):
            text, blanks = (before if self._leads_away(opened.removeprefix(before)) else opened), ""
        else:
            text, blanks = (before if _is_same_up_to(said, opened, before) else opened), ""
        tag = open_tag(_parted(said, text)[1])
        if tag is not None:
            raise ModelError(
                f"the chat template's prompt ends inside reasoning ({tag.strip()}), where no answer can be taught: "
                f"turn it off with prompt.template_arguments{self._hint()}"
            )
        return text, blanks

    def with_defaults(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
        """A copy of the tokenizer, in whose template ``arguments`` are what holds where nothing else is said."""
        found = copy.deepcopy(tokenizer)
        if self.arguments:
            lines = [
                f"{{%- if {name} is not defined %}}{{%- set {name} = {value!r} %}}{{%- endif %}}"
                for name, value in self.arguments.items()
            ]
            default, several = "".join([*lines, self._source]), tokenizer.chat_template
            found.chat_template = several | {"default": default} if isinstance(several, dict) else default
        return found

    @property
    def left_after(self) -> str:
        """What a finished turn has between an answer and its end, where no end token follows an answer at once."""
        after = self.turn([*self.asked, _answering(ANSWER)]).rpartition(ANSWER)[2].strip()
        return "" if self._first_token(after) in {None, self.end} else after

    @property
    def change(self) -> tuple[str, str]:
        """What is cut off the end of the template's own generation prompt, and what is written there instead."""
        opened, (prompt, _) = self.opened(self.asked), self.prompt(self.asked)
        n = next((i for i, pair in enumerate(zip(opened, prompt, strict=False)) if pair[0] != pair[1]), None)
        n = min(len(opened), len(prompt)) if n is None else n
        return opened[n:], prompt[n:]

    @property
    def key(self) -> dict[str, Any]:
        """For the keys of stages. Nothing where prompts are what the template writes by itself."""
        try:
            opened, (prompt, blanks) = self.opened(self.asked), self.prompt(self.asked)
        except ModelError:
            return {}
        if opened == prompt and not blanks and not self.takes_parts and self.arguments == self.given:
            return {}  # so that runs of before are continued
        beginning = prompt.rpartition(ASKED[-1]["content"])[2]  # what stands before may have a date in it
        return {"template": {"arguments": self.arguments, "answers_begin": [beginning, blanks]}}

    def _leads_away(self, more: str) -> bool:
        """Whether what the generation prompt adds begins reasoning, with whatever tag, or ends the turn."""
        pairs = list(_PAIR.finditer(more))
        if pairs:
            angle, square = pairs[-1]["angle"], pairs[-1]["square"]
            closing = f"</{angle}>" if angle else f"[/{square}]"
            if closing not in more[pairs[-1].end() :] and closing in self._source:
                return True
        return open_tag(more) is not None or self._first_token(more) in {self.end, self.tokenizer.eos_token_id}

    def _hint(self) -> str:
        names = [name for name in dict.fromkeys(_REASONING.findall(self._source)) if "content" not in name]
        return f" (the template reads {', '.join(names)})" if names else ", or take a tokenizer with another template"

    @property
    def _source(self) -> str:
        try:
            return str(self.tokenizer.get_chat_template())
        except ValueError:  # several templates, none of which is the default
            return ""

    def _first_token(self, text: str) -> int | None:
        tokens = self.tokenizer(text.lstrip(), add_special_tokens=False)["input_ids"]
        return tokens[0] if tokens else None

    def _rendered(self, messages: Sequence[Message], is_prompt: bool) -> str:
        as_content = _as_parts if self.takes_parts else _as_text
        try:
            return self._render(messages, self.arguments, is_prompt, as_content)
        except TemplateSyntaxError as error:
            raise ModelError(
                f"the chat template has a syntax error in line {error.lineno} ({reason(error)}): mend it, or take a "
                "tokenizer with another template"
            ) from error
        except Exception as error:  # a template raises what it likes
            what = "prompt" if is_prompt else "answer"
            raise ModelError(f"the chat template refuses the {what}: {self._mend(messages, error)}") from error

    def _mend(self, messages: Sequence[Message], error: Exception) -> str:
        """Why the template refuses messages, and what to do about it."""
        several = self.tokenizer.chat_template
        if isinstance(several, dict) and "default" not in several:
            return (
                f"the tokenizer has several ({', '.join(several)}), and none is the default; save one of them as "
                "chat_template.jinja beside the tokenizer's files"
            )
        others = [message for message in messages if message["role"] != "system"]
        if len(others) < len(messages) and self._refusal(others) is None:
            return f"{reason(error)}; take a form without a system message, and no prompt.system"
        if len(others) == len(messages) and self._refusal((_SYSTEM, *messages)) is None:
            return f"{reason(error)}; give it a system message, as prompt.system"
        return (
            f"{reason(error)}; prompt.template_arguments gives it what it lacks, else take a tokenizer with another "
            "template"
        )

    def _refusal(self, messages: Sequence[Message]) -> Exception | None:
        """What the template raises at messages, given as text and as parts; None where it takes either."""
        found = None
        for as_content in (_as_text, _as_parts):
            try:
                self._render(messages, self.given, True, as_content)
            except Exception as error:  # a template raises what it likes
                found = error
            else:
                return None
        return found

    def _render(
        self, messages: Sequence[Message], arguments: Mapping[str, Any], is_prompt: bool, as_content: "_AsContent"
    ) -> str:
        given = [{**message, "content": as_content(message["content"])} for message in messages]
        options = dict(arguments)
        if self.moment:
            options["chat_template"] = at_moment(self.tokenizer.get_chat_template(), self.moment)
        return str(
            self.tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=is_prompt, **options)
        )

    def _attempt(self, arguments: Mapping[str, Any], as_content: "_AsContent | None" = None) -> str | None:
        """The prompt of a small conversation; None where the template raises."""
        try:
            return self._render(
                self.asked, arguments, True, as_content or (_as_parts if self.takes_parts else _as_text)
            )
        except Exception:  # a template raises what it likes
            return None


_AsContent = Callable[[str], Any]


def places(said: str, text: str) -> list[tuple[int, int]]:
    """Where the words of ``said`` stand in a text, from and to, whatever a template made of the blanks between them.
    Where a line ends, words may also stand without anything between them."""
    between = [r"\s*" if re.search(r"[\r\n]", blanks) else r"\s+" for blanks in re.findall(r"\s+", said.strip())]
    words = [re.escape(word) for word in said.split()]
    pattern = "".join(word + blanks for word, blanks in zip(words, [*between, ""], strict=True))
    return [found.span() for found in re.finditer(pattern, text)] if words else []


def change(said: str, text: str, what: str) -> str:
    """What a template did to something that was said, in words; empty where it did nothing but to blanks."""
    if places(said, text):
        return ""
    for cased, how in ((said.lower(), "lower-cases"), (said.upper(), "upper-cases")):
        if places(cased, text):
            return f"{how} {what}"
    if places(said.casefold(), text.casefold()):
        return f"changes capitals of {what}"
    words = list(re.finditer(r"\S+", said))
    n = bisect_left(words, True, key=lambda word: not places(said[: word.end()], text))  # words that it begins with
    if sum(word.group() in text for word in words[n:]) > (len(words) - n) / 2:
        return f"changes {what}"
    return f"cuts {what} off after {words[n - 1].end()} characters" if n > 1 else f"leaves {what} out"


def _parted(said: str, text: str) -> tuple[str, str] | tuple[None, str]:
    """What stands in a text before the last place of ``said``, None where there is none, and after it."""
    before, found, after = text.rpartition(said)
    if found:
        return before, after
    spans = places(said, text)
    return (text[: spans[-1][0]], text[spans[-1][1] :]) if spans else (None, text)


def _is_same_up_to(said: str, one: str, other: str) -> bool:
    before = _parted(said, one)[0]
    return before is not None and before == _parted(said, other)[0]


def _as_text(text: str) -> str:
    return text


def _as_parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _answering(text: str) -> Message:
    return {"role": "assistant", "content": text}
