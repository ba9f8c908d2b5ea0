"""The dial inside ``model.generate``: a logits processor of transformers, and its rule for one request of any server.

At the first answer position a row whose refusal score is above the threshold is given the refusal's first token, and
afterwards the rest of the refusal one by one, end token included. In every other row that first token is suppressed,
there and only there. So which row is refused can be read off its own first token at any later time: no state by row is
kept, and rows may be reordered (beams) or served one by one.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from scipy.special import logit
from torch import Tensor
from transformers import LogitsProcessor

from grait.dial.saved import load_dial
from grait.dial.threshold import check_threshold
from grait.errors import DialError


def steer(
    logits: Tensor, first_tokens: Tensor | None, n_answered: int, refusal_token_ids: Sequence[int], threshold: float
) -> Tensor:
    """The logits [rows, vocabulary] with which the next token follows the dial; a new tensor.

    ``first_tokens``: [rows], each answer's first token, None at the first answer position; ``n_answered``: tokens that
    each answer has so far. ``logits``: what the model gives, changed by nothing before (the score is taken of them).
    A forced token has logit 0, all others of its row -inf. After the end token it is forced again.
    """
    first = refusal_token_ids[0]
    steered = logits.clone()
    if first_tokens is None:
        steered[:, first] = -torch.inf
        log_odds = logits[:, first].float() - steered.float().amax(-1)
        refused = log_odds.double() > float(logit(threshold))
        refused |= threshold == 0  # also where the token's probability is 0
    else:
        refused = first_tokens == first
    steered[refused] = -torch.inf
    steered[refused, refusal_token_ids[min(n_answered, len(refusal_token_ids) - 1)]] = 0.0
    return steered


class RefusalDial(LogitsProcessor):  # type: ignore[misc, unused-ignore]
    """The dial for a tuned model in a user's own code: ``model.generate(..., logits_processor=[dial])``.

    Prompts have to be the REFUSE prompts that the model was tuned with (``rait.jsonl`` shows them), padded on the left.
    The score is taken of the logits as this processor gets them: it should be the only one, as a repetition penalty,
    for example, also counts the refusal text that the prompt names. Greedy decoding, sampling and beams; no assisted
    decoding, which asks about several positions at once.
    """

    def __init__(self, refusal_token_ids: Sequence[int], threshold: float) -> None:
        """``refusal_token_ids``: the refusal text and its end token after a prompt; ``threshold``: in [0, 1]."""
        if not refusal_token_ids:
            raise DialError("refusal_token_ids: expected at least one token, found none")
        self.refusal_token_ids = tuple(refusal_token_ids)
        self.threshold = check_threshold(threshold)
        self._prompts: Tensor | None = None
        self._length = 0

    @classmethod
    def from_pretrained(cls, adapter: str | Path, threshold: float | None = None) -> "RefusalDial":
        """The dial that ``grait calibrate`` stored in the adapter's folder, on request at another threshold.

        Raises DialError when there is none, or when it was calibrated on a score of whole texts, which cannot be
        known at the first answer position.
        """
        saved = load_dial(Path(adapter))
        if saved.score != "first-token":
            raise DialError(
                f"{adapter}: this dial was calibrated on the score {saved.score!r}, which a logits processor cannot "
                "compute; calibrate with --score first-token"
            )
        return cls(saved.refusal_token_ids, saved.threshold if threshold is None else threshold)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``input_ids``: [rows, tokens] prompt and answer so far; ``scores``: [rows, vocabulary] logits."""
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
        first_tokens = torch.tensor(list(answer_token_ids[:1]), device=logits.device) if answer_token_ids else None
        steered = steer(logits[None], first_tokens, len(answer_token_ids), self.refusal_token_ids, self.threshold)
        return steered[0]
