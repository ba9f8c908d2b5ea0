"""The dial in a user's own code: answers by transformers, a logits processor, and the rule for a server's answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from grait.dial.logits import steer
from grait.dial.stored import load_dial
from grait.dial.threshold import ScoreName, check_threshold, refusal_score, refuses
from grait.errors import DialError
from grait.records import Likelihoods


@dataclass(frozen=True, slots=True)
class _Row(Likelihoods):
    """One row of a batch, in nats; ``refusal_logprob`` counts for the score ``text`` only."""

    suppressed_logprob: float
    refusal_logprob: float
    first_token_log_odds: float


class RefusalDial(LogitsProcessor):  # type: ignore[misc, unused-ignore]
    """The dial for a tuned model in a user's own code: ``dial.generate(model, **inputs, max_new_tokens=32)``.

    With the score ``first-token`` it is also a logits processor: ``model.generate(..., logits_processor=[dial])``, for
    greedy decoding, sampling and beams; no assisted decoding, which asks about several positions at once. The score is
    taken of the logits as the processor gets them: it should be the only one, as a repetition penalty, for example,
    also counts the refusal text that the prompt names.

    Prompts have to be the REFUSE prompts that the model was tuned with (``rait.jsonl`` shows them), padded on the left.
    """

    def __init__(
        self,
        refusal_token_ids: Sequence[int],
        threshold: float,
        score: ScoreName = "first-token",
        end_token_ids: Sequence[int] = (),
    ) -> None:
        """``refusal_token_ids``: the refusal text and its end token after a prompt; ``threshold``: in [0, 1].

        ``end_token_ids``: what ends an answer of ``generate``, besides the refusal's end token.
        """
        if not refusal_token_ids:
            raise DialError("refusal_token_ids: expected at least one token, found none")
        self.refusal_token_ids = tuple(refusal_token_ids)
        self.threshold = check_threshold(threshold)
        self.score: ScoreName = score
        self.end_token_ids = tuple(dict.fromkeys([self.refusal_token_ids[-1], *end_token_ids]))
        self._prompts: Tensor | None = None
        self._length = 0

    @classmethod
    def from_pretrained(cls, adapter: str | Path, threshold: float | None = None) -> "RefusalDial":
        """The dial that a run or ``grait calibrate`` stored in the adapter's folder, on request at another threshold.

        Raises DialError when there is none.
        """
        saved = load_dial(Path(adapter))
        at = saved.threshold if threshold is None else threshold
        return cls(saved.refusal_token_ids, at, saved.score, saved.end_token_ids)

    # -- whole answers: every score ----------------------------------------------------------------------------

    @torch.inference_mode()
    def generate(
        self, model: Any, input_ids: Tensor, attention_mask: Tensor | None = None, *, max_new_tokens: int
    ) -> Tensor:
        """Greedy answers by the dial, as ``model.generate`` gives them: [rows, prompt and answer], padded behind.

        ``input_ids``, ``attention_mask``: [rows, tokens], padded on the left; without a mask nothing is padding. Every
        row is answered, the refusal's first token suppressed where the answer begins, and refused rows get the refusal
        text instead. Costs one generation; for the score ``text`` one pass over prompt and refusal more.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        first, end, n_prompt = self.refusal_token_ids[0], self.refusal_token_ids[-1], input_ids.shape[1]
        found = model.generate(
            input_ids=input_ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            begin_suppress_tokens=[first],
            eos_token_id=list(self.end_token_ids),
            pad_token_id=end,
            output_logits=True,
            return_dict_in_generate=True,
        )
        answers = found.sequences[:, n_prompt:]
        logprobs = torch.stack([_logprobs(at.float(), answers[:, i]) for i, at in enumerate(found.logits)], dim=1)
        ends = torch.isin(answers, torch.tensor(self.end_token_ids, device=answers.device)).long()
        suppressed = (logprobs * (ends.cumsum(1) - ends == 0)).sum(1)  # with the end token, without what follows it
        begin = found.logits[0].float()
        others = begin.clone()
        others[:, first] = -torch.inf
        odds = begin[:, first] - others.amax(-1)
        refusal = self._refusal_logprobs(model, input_ids, mask) if self.score == "text" else torch.zeros_like(odds)
        rows = zip(suppressed.tolist(), refusal.tolist(), odds.tolist(), strict=True)
        refused = [refuses(refusal_score(_Row(*row), self.score), self.threshold) for row in rows]
        width = max(answers.shape[1], len(self.refusal_token_ids))
        output = torch.full((len(answers), n_prompt + width), end, dtype=answers.dtype, device=answers.device)
        output[:, : found.sequences.shape[1]] = found.sequences
        output[refused, n_prompt:] = end
        output[refused, n_prompt : n_prompt + len(self.refusal_token_ids)] = output.new_tensor(self.refusal_token_ids)
        return output

    def refuses(self, answer_logprob: float) -> bool:
        """Whether an answer of this log-probability (nats, end token included) is to be replaced by the refusal.

        For any server that gives log-probabilities: the answer is the greedy one that may not begin with the refusal's
        first token. Raises DialError where the dial's score is not ``answer``.
        """
        if self.score != "answer":
            raise DialError(f"this dial was set on the score {self.score!r}; calibrate with --score answer")
        return refuses(refusal_score(_Row(answer_logprob, 0.0, 0.0), "answer"), self.threshold)

    def _refusal_logprobs(self, model: Any, input_ids: Tensor, mask: Tensor) -> Tensor:
        """[rows] log-probability of the refusal text after each prompt."""
        refusal = input_ids.new_tensor(self.refusal_token_ids).expand(len(input_ids), -1)
        ids = torch.cat([input_ids, refusal[:, :-1]], dim=1)
        mask = torch.cat([mask, torch.ones_like(refusal[:, :-1])], dim=1)
        positions = (mask.long().cumsum(-1) - 1).clamp(min=0)
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=refusal.shape[1]
        ).logits
        return _logprobs(logits.float(), refusal).sum(1)

    # -- token by token: the score first-token -----------------------------------------------------------------

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``input_ids``: [rows, tokens] prompt and answer so far; ``scores``: [rows, vocabulary] logits."""
        self._check_first_token()
        if not self._continues(input_ids):
            self._prompts = input_ids.clone()
        assert self._prompts is not None
        n_prompt = self._prompts.shape[1]
        self._length = input_ids.shape[1]
        n_answered = self._length - n_prompt
        first_tokens = input_ids[:, n_prompt] if n_answered else None
        return steer(scores, first_tokens, n_answered, self.refusal_token_ids, self.threshold)

    def _continues(self, input_ids: Tensor) -> bool:
        """Whether these rows are those of the last call with one more token; else a new generation begins."""
        if self._prompts is None or input_ids.shape[1] != self._length + 1:
            return False
        prompts = input_ids[:, : self._prompts.shape[1]]
        return prompts.device == self._prompts.device and torch.equal(prompts, self._prompts)

    def for_request(self, answer_token_ids: Sequence[int], logits: Tensor) -> Tensor:
        """The rule for one request: its answer so far, and the logits [vocabulary] of the next token.

        For servers that call a function per request, such as vLLM's ``AdapterLogitsProcessor`` (docs/dial.md).
        """
        self._check_first_token()
        first_tokens = torch.tensor(list(answer_token_ids[:1]), device=logits.device) if answer_token_ids else None
        steered = steer(logits[None], first_tokens, len(answer_token_ids), self.refusal_token_ids, self.threshold)
        return steered[0]

    def _check_first_token(self) -> None:
        if self.score != "first-token":
            raise DialError(
                f"this dial was set on the score {self.score!r} of whole answers, which no logits processor can know; "
                "use dial.generate, or calibrate with --score first-token"
            )


def _logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities of tokens [...] by logits [..., vocabulary]."""
    return logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(-1)
