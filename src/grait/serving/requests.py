"""The bodies of requests: OpenAI's fields, as far as greedy answers can honour them, and ``grait``.

Every field of OpenAI's is checked for its type and range. One whose value would change the answer that the dial judges
is taken with the value that does not (``only``); what is unknown is refused: whoever sends it counts on it.
"""

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from grait.errors import reason
from grait.serving.faults import RequestFault

UNSUPPORTED = "unsupported"

MOST_PROMPTS = 256
"""Of one request."""

MOST_DIGITS = 400
"""Of a whole number."""

WORDING = {
    "Input should be (a valid |an? |)": r"\1",
    "^a valid ": "a ",
    "dictionary.*": "object",
    "^a (?=integer|object)": "an ",
    "(greater than or equal to|.* should have at least)": "at least",
    "(less than or equal to|.* should have at most)": "at most",
    " after validation, not .*": "",
}
"""Of what pydantic says, what is said in its place."""


def only(*values: Any) -> AfterValidator:
    """Beside null; others would change the answer."""
    taken = " or ".join(json.dumps(value) for value in values) or "null"

    def check(found: Any) -> Any:
        if found is not None and found not in values:
            raise PydanticCustomError(UNSUPPORTED, "{taken}", {"taken": taken})
        return found

    return AfterValidator(check)


Item = TypeVar("Item")
Penalty = Annotated[float, Field(ge=-2, le=2), only(0)]
TokenId = Annotated[int, Field(ge=0, le=2**31)]
Several = Annotated[list[Item], Field(min_length=1, max_length=MOST_PROMPTS)]
ShortText = Annotated[str, Field(max_length=64)]
LongText = Annotated[str, Field(max_length=512)]
MostTokens = Annotated[int, Field(ge=1, le=2**31)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Wish(_Body):
    """``threshold``: in place of the dial's own. ``form``: the question is put in this form of words."""

    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    form: Annotated[str, Field(min_length=1)] | None = None


class Part(_Body):
    type: Annotated[str, only("text")]
    text: str


class Message(_Body):
    """``refusal``: what an assistant said where it has no content. ``name``, ``annotations``: of no effect; chat
    templates know none of them.
    """

    role: Literal["system", "developer", "user", "assistant"]
    refusal: str | None = None
    content: str | list[Part] | None
    name: str | None = None
    annotations: list[Any] | None = None
    tool_calls: Annotated[list[Any] | None, only([])] = None
    function_call: Annotated[Any, only()] = None
    audio: Annotated[Any, only()] = None

    @field_validator("content")
    @classmethod
    def _is_there(cls, found: Any, info: ValidationInfo) -> Any:
        if found is None and (info.data.get("role") != "assistant" or info.data.get("refusal") is None):
            raise PydanticCustomError("no_content", "a string or a list")
        return found

    @property
    def plain(self) -> dict[str, str]:
        """As chat templates take it."""
        said = self.refusal or "" if self.content is None else self.content
        text = said if isinstance(said, str) else "".join(part.text for part in said)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(_Body):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Prediction(_Body):
    type: Literal["content"]
    content: str | list[Part]


class CacheOptions(_Body):
    mode: Literal["implicit", "explicit"] | None = None
    ttl: Literal["30m"] | None = None


class _Asking(_Body):
    model: str
    max_tokens: MostTokens | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    grait: Wish | None = None
    # These change nothing about a greedy answer.
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    user: str | None = None
    # These would.
    temperature: Annotated[float, Field(ge=0, le=2), only(0)] | None = None
    n: Annotated[int, Field(ge=1, le=128), only(1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], only({})] | None = None

    @field_validator("stream_options")
    @classmethod
    def _is_of_a_stream(cls, found: StreamOptions | None, info: ValidationInfo) -> StreamOptions | None:
        if found is not None and not info.data.get("stream"):
            raise PydanticCustomError("no_stream", "null without stream: true")
        return found

    @property
    def stops(self) -> tuple[str, ...]:
        found = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in found if text)

    @property
    def wish(self) -> Wish:
        return self.grait or Wish()

    @property
    def has_several(self) -> bool:
        """Whether there is a list of prompts, if only of one."""
        return False

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with what it cost."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatBody(_Asking):
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: MostTokens | None = None
    # These change nothing about a greedy answer.
    metadata: Annotated[dict[ShortText, LongText], Field(max_length=16)] | None = None
    parallel_tool_calls: bool | None = None
    prediction: Prediction | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: CacheOptions | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    safety_identifier: Annotated[str, Field(max_length=128)] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    store: bool | None = None
    # These would.
    audio: Annotated[Any, only()] = None
    function_call: Annotated[Any, only("none", "auto")] = None
    functions: Annotated[list[Any], only([])] | None = None
    logprobs: Annotated[bool, only(False)] | None = None
    modalities: Annotated[list[str], only(["text"])] | None = None
    moderation: Annotated[Any, only()] = None
    reasoning_effort: Annotated[str, only("none")] | None = None
    response_format: Annotated[dict[str, Any], only({"type": "text"})] | None = None
    tool_choice: Annotated[Any, only("none", "auto")] = None
    tools: Annotated[list[Any], only([])] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20), only(0)] | None = None
    verbosity: Annotated[str, only("medium")] | None = None
    web_search_options: Annotated[Any, only()] = None

    @field_validator("max_completion_tokens")
    @classmethod
    def _is_one_limit(cls, found: int | None, info: ValidationInfo) -> int | None:
        other = info.data.get("max_tokens")
        if None not in (found, other) and found != other:
            raise PydanticCustomError("two_limits", "{other}, as in max_tokens", {"other": other})
        return found

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


def _kind_of_prompt(found: Any) -> str:
    """By what comes first."""
    if not isinstance(found, list):
        return "text"
    first = found[0] if found else ""
    return "lists of tokens" if isinstance(first, list) else "tokens" if isinstance(first, int | float) else "texts"


class CompletionBody(_Asking):
    prompt: Annotated[
        Annotated[str, Tag("text")]
        | Annotated[Several[str], Tag("texts")]
        | Annotated[list[TokenId], Tag("tokens")]
        | Annotated[Several[list[TokenId]], Tag("lists of tokens")],
        Discriminator(_kind_of_prompt),
    ]
    # These would change the answer.
    best_of: Annotated[int, Field(ge=1, le=20), only(1)] | None = None
    echo: Annotated[bool, only(False)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=5), only()] | None = None
    suffix: Annotated[str, only("")] | None = None

    @property
    def has_several(self) -> bool:
        return not (isinstance(self.prompt, str) or isinstance(self.prompt[0], int))

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        """Each as text or as token ids."""
        return self.prompt if self.has_several else [self.prompt]  # type: ignore[list-item, return-value]

    @property
    def most_tokens(self) -> int | None:
        return self.max_tokens


BodyT = TypeVar("BodyT", bound=_Asking)


def read_body(text: bytes, kind: type[BodyT]) -> BodyT:
    """A request's body. Raises RequestFault with the field and what was expected of it."""
    try:
        return _body(text, kind)
    except RecursionError as error:
        raise RequestFault(400, "the body is not JSON that can be read: it is nested too deeply") from error


def _body(text: bytes, kind: type[BodyT]) -> BodyT:
    try:
        tree = json.loads(text, parse_int=_integer, parse_constant=_no_number, object_pairs_hook=_object)
        json.dumps(tree, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RequestFault(400, "the body has half of a surrogate pair, which is no character") from error
    except ValueError as error:
        raise RequestFault(400, f"the body is not JSON: {reason(error)}") from error
    if not isinstance(tree, dict):
        raise RequestFault(400, f"the body: expected an object, found {_short(tree)}")
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise _fault(error, tree) from error


def _fault(error: ValidationError, tree: dict[str, Any]) -> RequestFault:
    """Of what is wrong, what lies deepest: where a field may be of several types, that is in the one that was meant."""
    rows = [(_place(row, tree), row) for row in error.errors(include_url=False)]
    deepest, first = max(rows, key=lambda one: (len(one[0]), isinstance(one[0][-1], int) and one[0][-1]))
    place = _short(".".join(map(str, deepest)), most=100).strip('"')
    if first["type"] == "extra_forbidden":
        return RequestFault(400, f"{place}: unknown field; leave it out", place, "unknown_parameter")
    if first["type"] == "missing":
        return RequestFault(400, f"{place}: is missing", place, "missing_required_parameter")
    there = [row for where, row in rows if where == deepest]
    there = [row for row in there if not row["type"].endswith("_type")] or there
    said = " or ".join(dict.fromkeys(_expected(row["msg"]) for row in there))
    line = f"{place}: expected {said}, found {_short(first['input'])}"
    if first["type"] == UNSUPPORTED:
        return RequestFault(400, f"{line}; what is served are greedy answers to text", place, "unsupported_value")
    return RequestFault(400, line, place)


def _place(row: Any, tree: Any) -> tuple[str | int, ...]:
    """Of an error, without what names one type of several."""
    found = []
    for part in row["loc"]:
        if (part in tree) if isinstance(tree, dict) else (isinstance(tree, list) and isinstance(part, int)):
            found.append(part)
            tree = tree[part]
    return (*found, row["loc"][-1]) if row["type"] == "missing" else tuple(found)


def _expected(message: str) -> str:
    """In the words of JSON and of our other lines."""
    for words, ours in WORDING.items():
        message = re.sub(words, ours, message)
    return message


def _short(value: Any, most: int = 60) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{_short(name)} is there twice")
        found[name] = value
    return found


def _integer(text: str) -> int:
    return int(text) if len(text) <= MOST_DIGITS else _no_number(f"{text[:20]}... of {len(text)} digits")


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number that is taken")
