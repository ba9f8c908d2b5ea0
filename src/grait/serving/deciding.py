"""The dial's decision on one answer while it is decoded, and what of the answer is certain already. No model, no I/O.

The score is that of the first tokens of the answer, as many as the dial was set on, whatever a client wants to see of
it: neither its limit nor its stop texts change who is refused. As an answer's probability only falls, a refusal by the
scores ``answer`` and ``text`` is often certain before the score is there; the text is given then.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from grait.dial.threshold import passes, refusal_score, refuses
from grait.errors import ServerError
from grait.model.answers import BothAnswers
from grait.model.engine import Tokens
from grait.serving.asked import Asked

FALLING = ("answer", "text")
"""Scores that only rise while an answer grows."""


@dataclass(eq=False)
class Deciding:
    """``decode``: tokens, or whatever an answer comes in, and the prompt's last token, to text with its blanks.

    ``score``: None until it is known, and where no dial decides. ``is_refused``: by the dial; None until that is
    certain. ``is_left_alone``: by the gate. ``terse_logprob``: of the answer where the question was asked again.
    """

    asked: Asked
    decode: Callable[[list[Any], Tokens], str]
    score: float | None = None
    is_refused: bool | None = None
    is_left_alone: bool = False
    terse_logprob: float | None = None
    is_finished: bool = False
    token_ids: list[Any] = field(default_factory=list)
    _sample: int = 0
    _is_cut: bool = False
    _refusal: list[float] = field(default_factory=list)
    _has_ended: bool = False

    def begun(self, refusal_logprobs: list[float], is_both: bool) -> None:
        """As ``Watch`` says, of this prompt."""
        self._refusal, dial = refusal_logprobs, self.asked.dial
        if dial is None:
            self.is_refused = False
            return
        if math.isnan(sum(refusal_logprobs)):
            raise ServerError("the model's probability of the refusal is not a number")
        if self.is_shut(refusal_logprobs):
            self.is_left_alone, self.is_refused, self.score = True, False, 0.0
            return
        self._sample = 0 if is_both else 1

    def goes_on(self, sample: int, token_ids: list[Any], logprobs: list[float], has_ended: bool) -> bool:
        """As ``Watch`` says, of this prompt."""
        if sample != self._sample or self.is_finished:
            return False
        self.token_ids, self._has_ended = list(token_ids), has_ended
        if self.score is None and self.asked.dial is not None:
            self._weigh(logprobs)
        is_known = self.asked.dial is None or self.score is not None
        self.is_finished = is_known and (bool(self.is_refused) or self._is_whole)
        return not self.is_finished

    def is_shut(self, refusal_logprobs: list[float]) -> bool:
        """Whether the gate leaves a prompt alone after which the refusal has these log-probabilities."""
        self._refusal, dial = refusal_logprobs, self.asked.dial
        return dial is not None and not passes(self._likelihoods([0.0]), dial.score, dial.setting.gate)

    def closed(self) -> None:
        """No more tokens come, though there is room. Raises ServerError where the score takes more."""
        if not self.is_finished and self.asked.dial is not None and self.score is None:
            raise ServerError(
                f"the answer broke off after {len(self.token_ids)} tokens, and the score takes {self.asked.n_scored}"
            )
        self._is_cut = self.is_finished = True

    @property
    def text(self) -> str:
        """The answer, as far as it is certain; the whole of it once it is finished."""
        dial = self.asked.dial
        if self.is_refused:
            assert dial is not None
            return (self.asked.prompt.blanks if self.asked.has_blanks else "") + dial.refusal
        if self.is_refused is None:
            return ""
        is_whole = self._is_whole  # first: the model's thread goes on meanwhile
        text, is_cut = self._shown
        if is_whole or is_cut:
            return text
        text = text.rstrip("\ufffd")  # half of a character
        held = max((n for stop in self.asked.stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
        return self._ended(text[: len(text) - held])

    @property
    def finish_reason(self) -> str:
        is_by_itself = self._has_ended and len(self.token_ids) <= self.asked.n_answer
        return "stop" if self.is_refused or self._shown[1] or is_by_itself else "length"

    @property
    def n_tokens(self) -> int:
        """Of the text, with those of a stop text that cut it; without an end token."""
        if self.is_refused:
            return len(self.asked.refusal_token_ids) - 1
        n = min(len(self.token_ids), self.asked.n_answer)
        return bisect_left(range(n), True, key=self._is_stopped) if self._is_stopped(n) else n

    def _is_stopped(self, n_tokens: int) -> bool:
        """Whether so many tokens have a stop text."""
        text = self._decoded(n_tokens)
        return any(stop in text for stop in self.asked.stops)

    @property
    def _shown(self) -> tuple[str, bool]:
        """The text up to the client's limit and stop texts, and whether one of these cut it."""
        text = self._decoded(self.asked.n_answer)
        ends = [place for stop in self.asked.stops if (place := text.find(stop)) >= 0]
        return (self._ended(text[: min(ends)]), True) if ends else (text, False)

    def _decoded(self, n_tokens: int) -> str:
        """So many tokens, as the client has them."""
        text = self.decode(self.token_ids[:n_tokens], self.asked.prompt.token_ids[-1:])
        return text if self.asked.has_blanks else text.strip()

    def _ended(self, text: str) -> str:
        return text if self.asked.has_blanks else text.rstrip()

    @property
    def _is_whole(self) -> bool:
        is_full = len(self.token_ids) >= self.asked.n_answer
        return self._is_cut or self._has_ended or is_full or self._shown[1]

    def _weigh(self, logprobs: list[float]) -> None:
        """The score, or a refusal that is certain before it."""
        dial, n_scored = self.asked.dial, self.asked.n_scored
        assert dial is not None and self.asked.threshold is not None
        if not math.isfinite(sum(logprobs)):
            raise ServerError("the log-probabilities of the answer are not numbers")
        value = refusal_score(self._likelihoods(logprobs[:n_scored]), dial.score)
        is_refused = refuses(value, self.asked.threshold)
        if dial.score == "first-token" or self._has_ended or len(logprobs) >= n_scored:
            self.score, self.is_refused = value, is_refused
        elif dial.score in FALLING and is_refused:
            self.is_refused = True

    def _likelihoods(self, logprobs: list[float]) -> BothAnswers:
        return BothAnswers(
            output="",
            suppressed_output="",
            refusal_logprob=sum(self._refusal),
            suppressed_logprob=sum(logprobs),
            first_token_log_odds=self._refusal[0] - logprobs[0],
            n_suppressed_tokens=len(logprobs),
            first_token_logprob=self._refusal[0],
            terse_logprob=self.terse_logprob,
        )
