"""The bodies of answers, whole and as a stream, in OpenAI's shape with ``grait`` beside it."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from grait.serving.jobs import Job


@dataclass(frozen=True)
class Replies:
    """Those to one request. ``is_refusal``: whether a text refuses, as the evaluation judges it."""

    job: Job
    model: str
    is_chat: bool
    is_refusal: Callable[[str, str], bool]
    wants_usage: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self) -> dict[str, Any]:
        text = self.job.text
        said = {"message": {"role": "assistant", "content": text, "refusal": None}} if self.is_chat else {"text": text}
        choice = {"index": 0, **said, "finish_reason": self.job.finish_reason, "logprobs": None}
        kind = "chat.completion" if self.is_chat else "text_completion"
        return {**self._common(kind), "choices": [choice], "usage": self._usage(), "grait": self._decision()}

    def first(self) -> str:
        """The beginning of a stream."""
        return self._event([self._choice({"role": "assistant", "content": ""}, "")]) if self.is_chat else ""

    def piece(self, text: str) -> str:
        return self._event([self._choice({"content": text}, text)])

    def last(self) -> str:
        """The end of a stream that went well."""
        choice = self._choice({}, "") | {"finish_reason": self.job.finish_reason}
        events = [self._event([choice], grait=self._decision())]
        if self.wants_usage:
            events.append(self._event([], usage=self._usage()))
        return "".join([*events, "data: [DONE]\n\n"])

    def _choice(self, delta: dict[str, Any], text: str) -> dict[str, Any]:
        said = {"delta": delta} if self.is_chat else {"text": text}
        return {"index": 0, **said, "finish_reason": None, "logprobs": None}

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> str:
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        return f"data: {json.dumps({**self._common(kind), 'choices': choices, **more})}\n\n"

    def _common(self, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl" if self.is_chat else "cmpl"
        return {"id": f"{prefix}-{self.id}", "object": kind, "created": self.created, "model": self.model}

    def _usage(self) -> dict[str, int]:
        n_prompt, n_answer = len(self.job.asked.prompt.token_ids), self.job.n_tokens
        return {"prompt_tokens": n_prompt, "completion_tokens": n_answer, "total_tokens": n_prompt + n_answer}

    def _decision(self) -> dict[str, Any]:
        asked = self.job.asked
        return {
            "refused": bool(self.job.is_refused) or self.is_refusal(self.job.text, asked.question),
            "score": self.job.score,
            "threshold": asked.threshold,
            "form": asked.form,
            "left_alone": self.job.is_left_alone,
        }
