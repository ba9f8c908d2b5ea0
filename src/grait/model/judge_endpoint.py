"""A model behind an OpenAI-compatible API that judges outputs: asked through OpenAI's own client."""

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grait.config import JudgeConfig
from grait.errors import ConfigError, JudgeError, ServerError, reason
from grait.judging.judges import ToJudge
from grait.judging.verdicts import ASK_AGAIN, filled, read_verdict
from grait.model.server import check_key, short
from grait.records import Outcome

if TYPE_CHECKING:
    from openai import OpenAI

ASKS = 2
"""Of one output, where the first reply gives no verdict."""

OF_THE_ROW = frozenset({400, 413, 422})
"""Statuses that are about what was asked, such as a text that is too long for the judge."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What asking about one output came to. ``why_not``: there is no verdict; ``asks``, ``retries``: requests that were
    answered, and those before them that were not. ``tokens``: of prompts and replies, where the endpoint tells."""

    verdict: Outcome | None
    why_not: str = ""
    asks: int = 1
    retries: int = 0
    tokens: tuple[int, int] | None = None


class JudgeEndpoint:
    """Asks for verdicts, from any thread. Close it. ConfigError where client or key are missing."""

    def __init__(self, config: JudgeConfig) -> None:
        self.config = config
        self._client = _client(config)

    def close(self) -> None:
        self._client.close()

    def __call__(self, row: ToJudge) -> Reply:
        """ServerError where no answer comes after all retries; JudgeError where none can come."""
        messages: list[dict[str, str]] = [
            {"role": "user", "content": filled(self.config.words, row.question, row.output)}
        ]
        why_not, retries, tokens, asks = "", 0, None, 0
        while asks < ASKS:
            asks += 1
            answer = self._ask(messages)
            if isinstance(answer, str):
                why_not = answer
                break
            text, more, used = answer
            retries += more
            tokens = (used[0] + (tokens or (0, 0))[0], used[1] + (tokens or (0, 0))[1]) if used else tokens
            if verdict := read_verdict(text or ""):
                return Reply(verdict, "", asks, retries, tokens)
            why_not = "no reply that can be read" if text is None else f"replied {short(text)}"
            if text and text.strip():
                messages = [*messages[:1], {"role": "assistant", "content": text}]
                messages.append({"role": "user", "content": ASK_AGAIN})
        return Reply(None, why_not, asks, retries, tokens)

    def _ask(self, messages: Any) -> tuple[str | None, int, tuple[int, int] | None] | str:
        """Text, retries and tokens; or why this output cannot be asked about."""
        from openai import APIConnectionError, APIStatusError

        config = self.config
        try:
            raw = self._client.chat.completions.with_raw_response.create(
                model=str(config.model), messages=messages, extra_body=config.request
            )
            text, tokens = _content(raw.content)
            return text, raw.retries_taken, tokens
        except APIConnectionError as error:  # timeouts, too
            raise ServerError(
                self._told(f"{reason(error)} (timeout {config.timeout:g} s, {config.retries} retries)")
            ) from error
        except APIStatusError as error:
            told = f"status {error.status_code}: {short(error.response.text)}"
            if error.status_code in OF_THE_ROW:
                return told
            if error.status_code == 429 or error.status_code >= 500:
                raise ServerError(self._told(f"{told} ({config.retries} retries)")) from error
            raise JudgeError(
                f"{self._told(told)}; look at judge.base_url, judge.model and the key (judge.api_key_env); what is "
                "judged is kept"
            ) from error

    def _told(self, what: str) -> str:
        return f"{self.config.base_url}, {self.config.model}: {what}"


def _client(config: JudgeConfig) -> "OpenAI":
    try:
        from openai import DefaultHttpxClient, OpenAI
    except ImportError as error:
        raise ConfigError(
            "judge.by = endpoint needs the package openai: pip install 'grait[judge]', or judge by a function "
            "(judge.by = python)"
        ) from error
    key = None
    if config.api_key_env is not None:
        key = os.environ.get(config.api_key_env)
        if not key:
            raise ConfigError(
                f"judge.api_key_env = {config.api_key_env}: there is no such environment variable, or it is empty; set "
                "it to the endpoint's key"
            )
        check_key(key, config.api_key_env)
    return OpenAI(
        base_url=config.base_url,
        api_key=key or "none",
        max_retries=config.retries,
        timeout=config.timeout,
        http_client=DefaultHttpxClient(follow_redirects=False),  # the key is for this address
    )


def _content(content: bytes) -> tuple[str | None, tuple[int, int] | None]:
    """Text of a chat completion, None where it has none, and its tokens."""
    try:
        body = json.loads(content)
        text = body["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None, None
    usage = body.get("usage")
    said = text if isinstance(text, str) else None
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else []
    n_prompt, n_reply = counts or (None, None)
    return said, (n_prompt, n_reply) if isinstance(n_prompt, int) and isinstance(n_reply, int) else None
