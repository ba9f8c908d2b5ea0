"""The bodies of answers, whole and as a stream, in OpenAI's shape with ``grait`` beside it."""

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grait.serving.jobs import Job


@dataclass(frozen=True)
class Replies:
    """Those to one request. ``jobs``: one, or of a list of prompts as many; every choice of a list (``is_list``) has
    its own ``grait``. ``is_refusal``: whether a text refuses, as the evaluation judges it."""

    jobs: Sequence[Job]
    model: str
    is_chat: bool
    is_refusal: Callable[[str, str], bool]
    wants_usage: bool = False
    is_list: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self) -> dict[str, Any]:
        choices = []
        for job in self.jobs:
            message = {"role": "assistant", "content": job.text, "refusal": None}
            said = {"message": message} if self.is_chat else {"text": job.text}
            choices.append(self._placed(job, said, job.finish_reason))
        kind = "chat.completion" if self.is_chat else "text_completion"
        return self._decided(self.jobs[0], self._common(kind) | {"choices": choices, "usage": self._usage()})

    def first(self) -> str:
        """The beginning of a stream."""
        delta = {"role": "assistant", "content": ""}
        return self._event([self._choice(self.jobs[0], delta, "")]) if self.is_chat else ""

    def piece(self, job: Job, text: str) -> str:
        return self._event([self._choice(job, {"content": text}, text)])

    def end(self, job: Job) -> str:
        """Of an answer that went well."""
        return self._event([self._choice(job, {}, "", job.finish_reason)], job)

    def last(self) -> str:
        """The end of a stream that went well."""
        usage = self._event([], usage=self._usage()) if self.wants_usage else ""
        return f"{usage}data: [DONE]\n\n"

    def _choice(self, job: Job, delta: dict[str, Any], text: str, finish: str | None = None) -> dict[str, Any]:
        return self._placed(job, {"delta": delta} if self.is_chat else {"text": text}, finish)

    def _placed(self, job: Job, said: dict[str, Any], finish: str | None) -> dict[str, Any]:
        found = {"index": self.jobs.index(job), **said, "finish_reason": finish, "logprobs": None}
        return found if finish is None or not self.is_list else found | {"grait": self._decision(job)}

    def _event(self, choices: list[dict[str, Any]], ended: Job | None = None, **more: Any) -> str:
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        tree = {**self._common(kind), "choices": choices, **more}
        return f"data: {json.dumps(self._decided(ended, tree) if ended else tree)}\n\n"

    def _decided(self, job: Job, tree: dict[str, Any]) -> dict[str, Any]:
        return tree if self.is_list else tree | {"grait": self._decision(job)}

    def _common(self, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl" if self.is_chat else "cmpl"
        return {"id": f"{prefix}-{self.id}", "object": kind, "created": self.created, "model": self.model}

    def _usage(self) -> dict[str, int]:
        n_prompt = sum(len(job.asked.prompt.token_ids) for job in self.jobs)
        n_answer = sum(job.n_tokens for job in self.jobs)
        return {"prompt_tokens": n_prompt, "completion_tokens": n_answer, "total_tokens": n_prompt + n_answer}

    def _decision(self, job: Job) -> dict[str, Any]:
        asked = job.asked
        return {
            "refused": bool(job.is_refused) or self.is_refusal(job.text.strip(), asked.question),
            "score": job.score,
            "threshold": asked.threshold,
            "form": asked.form,
            "left_alone": job.is_left_alone,
        }
