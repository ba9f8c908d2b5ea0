"""The config's section ``judge``: what says whether an answer is right, wrong or a refusal."""

import json
import re
from string import Formatter
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from grait.config.section import Section

PROMPT = """\
You judge an answer to a question. You are given the question, its reference answers and the answer.

correct: the answer gives what a reference answer gives, in whatever words. Doubt, or more than was asked \
for, does not matter, unless it contradicts the reference.
wrong: the answer gives something else, contradicts the reference, or names several things of which one is right.
refused: the answer gives nothing: it says that it does not know, cannot say, or will not.

Question: {question}
Reference answers: {references}
Answer: {output}

Reply with one word: correct, wrong or refused."""

FIELDS = ("question", "references", "output")


class JudgeConfig(Section):
    """What says whether an answer is right, wrong or a refusal, for labels and evaluation alike (docs/judges.md)."""

    by: Literal["matching", "python", "endpoint"] = Field(
        "matching",
        description="matching: the built-in judge, by words. python: a function of yours. endpoint: a model behind "
        "an OpenAI-compatible API.",
    )
    python: str | None = Field(
        None,
        description="With by: python: module:function, also from the current folder; gets an output and a Question.",
    )
    base_url: str | None = Field(None, description="With by: endpoint: its address, such as http://127.0.0.1:8000/v1.")
    model: str | None = Field(None, min_length=1, description="With by: endpoint: the judge's name there.")
    api_key_env: str | None = Field(
        None, min_length=1, description="Environment variable that holds the endpoint's key; default: no key is sent."
    )
    prompt: str | None = Field(
        None,
        description="With by: endpoint: what it is asked. {question}, {references} and {output} exactly once each; the "
        "reply has to be correct, wrong or refused. Default: that of docs/judges.md.",
    )
    request: dict[str, Any] = Field(
        {"temperature": 0}, description="With by: endpoint: what a request holds beside model and messages."
    )
    timeout: float = Field(60, gt=0, description="With by: endpoint: seconds that one request may take.")
    concurrency: int = Field(8, ge=1, le=256, description="With by: endpoint: requests at the same time.")
    retries: int = Field(
        4,
        ge=0,
        le=20,
        description="With by: endpoint: after a timeout, a lost connection, 429 or 5xx, longer and longer apart.",
    )

    @field_validator("python")
    @classmethod
    def _names_a_function(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
            raise ValueError("should be module:function, such as my_judge:judge")
        return name

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/\s]+", url):
            raise ValueError("should be an address such as http://127.0.0.1:8000/v1")
        return url

    @field_validator("prompt")
    @classmethod
    def _holds_all(cls, prompt: str | None) -> str | None:
        if prompt is None:
            return prompt
        try:
            found = [(name, spec, conversion) for _, name, spec, conversion in Formatter().parse(prompt)]
        except ValueError as error:
            raise ValueError(f"should be a template; write {{{{ and }}}} for braces of your own ({error})") from error
        fields = [field for field in found if field[0] is not None]
        odd = [field[0] for field in fields if field[0] not in FIELDS or field[1] or field[2]]
        if odd:
            raise ValueError(f"{{{odd[0]}}} is no field of a judge's prompt; allowed: {', '.join(FIELDS)}, in braces")
        for name in FIELDS:
            if [field[0] for field in fields].count(name) != 1:
                raise ValueError(f"should hold {{{name}}} exactly once")
        return prompt

    @field_validator("request")
    @classmethod
    def _is_not_ours(cls, request: dict[str, Any]) -> dict[str, Any]:
        for name in ("messages", "model", "n", "stream"):
            if name in request:
                raise ValueError(f"{name} is not for you to set")
        try:
            json.dumps(request, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError("should hold text, numbers, true and false; quote what is none") from error
        return request

    @property
    def words(self) -> str:
        """``prompt``, or ours."""
        return PROMPT if self.prompt is None else self.prompt

    @model_validator(mode="after")
    def _keys_are_of_the_judge(self) -> "JudgeConfig":
        needed = {"matching": (), "python": ("python",), "endpoint": ("base_url", "model")}[self.by]
        for name in needed:
            if getattr(self, name) is None:
                raise ValueError(f"by: {self.by} needs {name}")
        of_endpoint = set(type(self).model_fields) - {"by", "python"}
        others = (set() if self.by == "python" else {"python"}) | (set() if self.by == "endpoint" else of_endpoint)
        for name in sorted(others & self.model_fields_set):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect with by: {self.by}")
        return self
