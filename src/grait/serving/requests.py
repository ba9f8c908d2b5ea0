"""The bodies of requests: OpenAI's fields, as far as greedy answers can honour them, and ``grait``.

A field that is unknown, or whose value would be ignored, is refused: whoever sends it counts on it.
"""

import json
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grait.errors import reason
from grait.serving.faults import RequestFault

WITHOUT_EFFECT = {"metadata", "prompt_cache_key", "safety_identifier", "seed", "service_tier", "store", "top_p", "user"}
"""Fields that change nothing about a greedy answer."""

ONLY: dict[str, tuple[Any, ...]] = {
    "temperature": (0,),
    "n": (1,),
    "best_of": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "echo": (False,),
    "suffix": ("",),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
"""Fields that are taken with these values only, and with null: others would change the answer that the dial judges."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Wish(_Body):
    """``threshold``: in place of the dial's own. ``form``: the question is put in this form of words."""

    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    form: str | None = None


class Part(_Body):
    type: Literal["text"]
    text: str


class Message(_Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: str | None = None
    refusal: str | None = None

    @property
    def plain(self) -> dict[str, str]:
        """As chat templates take it."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(_Body):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Asking(_Body):
    model: str
    max_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    grait: Wish | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        found = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in found if text)

    @property
    def wish(self) -> Wish:
        return self.grait or Wish()

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with what it cost."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatBody(_Asking):
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(_Asking):
    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]

    @property
    def text(self) -> str:
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    @property
    def most_tokens(self) -> int | None:
        return self.max_tokens


BodyT = TypeVar("BodyT", bound=_Asking)


def read_body(text: bytes, kind: type[BodyT]) -> BodyT:
    """A request's body. Raises RequestFault with the field and what was expected of it."""
    try:
        tree = json.loads(text, parse_constant=_no_number)
        json.dumps(tree, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RequestFault(400, "the body has half of a surrogate pair, which is no character") from error
    except (ValueError, RecursionError) as error:
        raise RequestFault(400, f"the body is not JSON: {reason(error)}") from error
    if not isinstance(tree, dict):
        raise RequestFault(400, f"the body: expected an object, found a {type(tree).__name__}")
    for name, values in ONLY.items():
        found = tree.pop(name, None)
        is_taken = any(found == value and isinstance(found, bool) == isinstance(value, bool) for value in values)
        if found is not None and not is_taken:
            taken = " or ".join(json.dumps(value) for value in values)
            raise RequestFault(
                400,
                f"{name}: expected {taken}, found {_short(found)}; answers are greedy texts, as the dial judges them",
                name,
                "unsupported_value",
            )
    try:
        return kind.model_validate({name: value for name, value in tree.items() if name not in WITHOUT_EFFECT})
    except ValidationError as error:
        raise _fault(error) from error


def _fault(error: ValidationError) -> RequestFault:
    """The first thing that is wrong."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("str", "list[Part]", "function-after"))
    if first["type"] == "extra_forbidden":
        return RequestFault(400, f"{place}: unknown field; leave it out", place, "unknown_parameter")
    if first["type"] == "missing":
        return RequestFault(400, f"{place}: is missing", place, "missing_required_parameter")
    found = "" if isinstance(first["input"], dict | list) else f", found {_short(first['input'])}"
    return RequestFault(400, f"{place}: {first['msg']}{found}", place)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")
