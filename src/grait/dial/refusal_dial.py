"""The dial in a user's own code: answers by transformers, a logits processor, and the rule for a server's answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BatchEncoding, LogitsProcessor, PreTrainedTokenizerBase

from grait.dial.logits import left_alone, steer
from grait.dial.stored import Terse, load_dials
from grait.dial.threshold import ScoreName, check_threshold, gated_score, passes, refuses
from grait.errors import DialError
from grait.records import Likelihoods


@dataclass(frozen=True, slots=True)
class _Row(Likelihoods):
    """One row of a batch, in nats; numbers that the dial's score and gate do not take may be anything."""

    suppressed_logprob: float
    refusal_logprob: float
    first_token_log_odds: float
    n_suppressed_tokens: int | None
    first_token_logprob: float | None
    terse_logprob: float | None = None


class RefusalDial(LogitsProcessor):  # type: ignore[misc, unused-ignore]
    """The dial for a tuned model in a user's own code: ``dial.generate(model, **inputs, max_new_tokens=32)``.

    With the score ``first-token`` it is also a logits processor: ``model.generate(..., logits_processor=[dial])``, for
    greedy decoding, sampling and beams; no assisted decoding, which asks about several positions at once. The score is
    taken of the logits as the processor gets them: it should be the only one, as a repetition penalty, for example,
    also counts the refusal text that the prompt names.

    Prompts have to be put as the form of the dial puts questions (``rait.jsonl`` shows them), padded on the left.
    """

    def __init__(
        self,
        refusal_token_ids: Sequence[int],
        threshold: float,
        score: ScoreName = "first-token",
        end_token_ids: Sequence[int] = (),
        gate: float | None = None,
        terse: Terse | None = None,
    ) -> None:
        """``refusal_token_ids``: the refusal text and its end token after a prompt; ``threshold``: in [0, 1].

        ``end_token_ids``: what ends an answer of ``generate``, besides the refusal's end token. ``gate``: only prompts
        after which the refusal is more probable than that are not left alone; None for no gate. ``terse``: how the
        score ``twice`` asks again.
        """
        if not refusal_token_ids:
            raise DialError("refusal_token_ids: expected at least one token, found none")
        self.refusal_token_ids = tuple(refusal_token_ids)
        self.threshold = check_threshold(threshold)
        self.score: ScoreName = score
        self.gate = gate
        self.terse = terse
        self.end_token_ids = tuple(dict.fromkeys([self.refusal_token_ids[-1], *end_token_ids]))
        self._prompts: Tensor | None = None
        self._alone: Tensor | None = None
        self._length = 0

    @classmethod
    def from_pretrained(
        cls, adapter: str | Path, threshold: float | None = None, form: str | None = None
    ) -> "RefusalDial":
        """The dial that a run or ``grait calibrate`` stored in the adapter's folder, on request at another threshold.

        ``form``: in which the questions are put, None for the run's main form. Raises DialError when there is none for
        it.
        """
        saved = load_dials(Path(adapter)).of(form)
        at = saved.threshold if threshold is None else threshold
        return cls(saved.refusal_token_ids, at, saved.score, saved.end_token_ids, saved.setting.gate, saved.terse)

    # -- whole answers: every score ----------------------------------------------------------------------------

    def terse_inputs(self, tokenizer: PreTrainedTokenizerBase, questions: Sequence[str]) -> BatchEncoding:
        """The questions as the score ``twice`` asks them again, after solved examples: padded on the left, as tensors.
        DialError for a dial of another score, and for what is no list of questions."""
        terse = self._asks_again()
        if isinstance(questions, str) or not questions:
            raise DialError(f"questions: expected a list of at least one question, found {questions!r}")
        texts = [terse.before + question + terse.after for question in questions]
        rows = [tokenizer(text, add_special_tokens=not terse.is_chat)["input_ids"] for text in texts]
        ids = [row[:-1] if row[-1] == tokenizer.eos_token_id else row for row in rows]  # that some tokenizers append
        return tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt")

    @torch.inference_mode()
    def generate(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        max_new_tokens: int,
        terse: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Greedy answers by the dial, as ``model.generate`` gives them: [rows, prompt and answer], padded behind.

        ``input_ids``, ``attention_mask``: [rows, tokens], padded on the left; without a mask nothing is padding. Every
        row is answered, the refusal's first token suppressed where the answer begins, and refused rows get the refusal
        text instead. Costs one generation; for the score ``text`` and for a gate one pass over prompt and refusal more,
        and a second generation of the rows that a gate leaves alone and that begin as the refusal does. ``terse``: for
        the score ``twice``, which costs another generation: the same questions, by ``terse_inputs``.
        """
        of_terse = self._terse_logprobs(model, len(input_ids), terse, max_new_tokens)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        first, n_prompt = self.refusal_token_ids[0], input_ids.shape[1]
        found = self._greedy(model, input_ids, mask, max_new_tokens, begin_suppress_tokens=[first])
        answers = found.sequences[:, n_prompt:]
        rows = self._rows(model, input_ids, mask, answers, found.logits, of_terse)
        replaced = {
            place: self.refusal_token_ids
            for place, row in enumerate(rows)
            if refuses(gated_score(row, self.score, self.gate), self.threshold)
        }
        free = [
            place
            for place, row in enumerate(rows)
            if row.first_token_log_odds > 0 and not passes(row, self.score, self.gate)
        ]
        if free:
            own = self._greedy(model, input_ids[free], mask[free], max_new_tokens).sequences[:, n_prompt:]
            replaced |= {place: tuple(tokens) for place, tokens in zip(free, own.tolist(), strict=True)}
        width = max([answers.shape[1], *map(len, replaced.values())])
        output = input_ids.new_full((len(answers), n_prompt + width), self.refusal_token_ids[-1])
        output[:, : found.sequences.shape[1]] = found.sequences
        for place, tokens in replaced.items():
            output[place, n_prompt:] = self.refusal_token_ids[-1]
            output[place, n_prompt : n_prompt + len(tokens)] = output.new_tensor(tokens)
        return output

    def refuses(
        self,
        answer_logprobs: Sequence[float],
        refusal_logprobs: Sequence[float] | None = None,
        terse_logprobs: Sequence[float] | None = None,
    ) -> bool:
        """Whether an answer is to be replaced by the refusal. For any server that gives log-probabilities (nats).

        ``answer_logprobs``: of every token of the answer, its end token included; it is the greedy answer that may not
        begin with the refusal's first token. ``refusal_logprobs``: of every token of the refusal, its end token
        included, after the same prompt; not needed for the scores ``answer`` and ``answer-mean`` without a gate.
        ``terse_logprobs``: for the score ``twice``, as ``answer_logprobs``, of the answer after ``terse``. Raises
        DialError where something needed is not given, and for the score ``first-token``, which is for logits
        processors.
        """
        if self.score == "first-token":
            raise DialError(f"this dial was set on the score {self.score!r}; calibrate with --score answer")
        answer = _summed("answer_logprobs", answer_logprobs, "answer")
        if refusal_logprobs is None and (self.gate is not None or self.score in ("text", "combined", "twice")):
            why = f"the score {self.score!r}" if self.gate is None else "a gate"
            raise DialError(f"this dial has {why}: give refusal_logprobs, too, of the refusal after the same prompt")
        refusal = log_odds = 0.0
        if refusal_logprobs is not None:
            refusal = _summed("refusal_logprobs", refusal_logprobs, "refusal")
            log_odds = refusal_logprobs[0] - answer_logprobs[0]
        again = None
        if self.score == "twice":
            if terse_logprobs is None:
                raise DialError("this dial has the score 'twice': give terse_logprobs, too, of the answer after terse")
            again = _summed("terse_logprobs", terse_logprobs, "answer")
        row = _Row(answer, refusal, log_odds, len(answer_logprobs), None, again)
        return refuses(gated_score(row, self.score, self.gate), self.threshold)

    def leaves_alone(self, refusal_logprobs: Sequence[float]) -> bool:
        """Whether a prompt gets the model's own greedy answer, with no token suppressed; never without a gate.
        ``refusal_logprobs``: as in ``refuses``; the first is enough for the score ``first-token``."""
        total = _summed("refusal_logprobs", refusal_logprobs, "refusal")
        return not passes(_Row(0.0, total, 0.0, None, refusal_logprobs[0]), self.score, self.gate)

    def _asks_again(self) -> Terse:
        if self.score != "twice" or self.terse is None:
            raise DialError(f"this dial was set on the score {self.score!r}, which does not ask again")
        return self.terse

    def _terse_logprobs(
        self, model: Any, n: int, asked: Mapping[str, Tensor] | None, max_new_tokens: int
    ) -> list[float | None]:
        """Of the answers when the questions are asked again; None for other scores."""
        if self.score != "twice":
            if asked is not None:
                self._asks_again()
            return [None] * n
        terse = self._asks_again()
        if asked is None or len(asked["input_ids"]) != n:
            raise DialError(f"this dial has the score 'twice': give terse, too, dial.terse_inputs of the {n} questions")
        ids, mask = (asked[name].to(model.device) for name in ("input_ids", "attention_mask"))
        ends = tuple(dict.fromkeys([terse.refusal_token_ids[-1], *terse.end_token_ids]))
        suppressed = [terse.refusal_token_ids[0]]
        found = self._greedy(model, ids, mask, max_new_tokens, ends=ends, begin_suppress_tokens=suppressed)
        totals, _ = _answered(found.sequences[:, ids.shape[1] :], found.logits, ends)
        return list(totals.tolist())

    def _greedy(
        self,
        model: Any,
        input_ids: Tensor,
        mask: Tensor,
        max_new_tokens: int,
        ends: Sequence[int] | None = None,
        **options: Any,
    ) -> Any:
        return model.generate(
            input_ids=input_ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=list(ends or self.end_token_ids),
            pad_token_id=self.refusal_token_ids[-1],
            output_logits=True,
            return_dict_in_generate=True,
            **options,
        )

    def _rows(
        self,
        model: Any,
        input_ids: Tensor,
        mask: Tensor,
        answers: Tensor,
        logits: Sequence[Tensor],
        of_terse: Sequence[float | None],
    ) -> list[_Row]:
        """``logits``: of every position of the suppressed ``answers``, as the model gave them."""
        first = self.refusal_token_ids[0]
        totals, n_tokens = _answered(answers, logits, self.end_token_ids)
        begin = logits[0].float()
        others = begin.clone()
        others[:, first] = -torch.inf
        of_first = begin[:, first]
        needs_refusal = self.score == "text" or (self.gate is not None and self.score != "first-token")
        refusal = self._refusal_logprobs(model, input_ids, mask) if needs_refusal else torch.zeros_like(of_first)
        numbers = (totals, refusal, of_first - others.amax(-1), n_tokens, of_first - begin.logsumexp(-1))
        return [_Row(*row) for row in zip(*(values.tolist() for values in numbers), of_terse, strict=True)]

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
            self._alone = left_alone(scores, self.refusal_token_ids[0], self.gate)
        assert self._prompts is not None
        n_prompt = self._prompts.shape[1]
        self._length = input_ids.shape[1]
        n_answered = self._length - n_prompt
        first_tokens = input_ids[:, n_prompt] if n_answered else None
        return steer(scores, first_tokens, n_answered, self.refusal_token_ids, self.threshold, self._alone)

    def _continues(self, input_ids: Tensor) -> bool:
        """Whether these rows are those of the last call with one more token; else a new generation begins."""
        if self._prompts is None or input_ids.shape[1] != self._length + 1:
            return False
        prompts = input_ids[:, : self._prompts.shape[1]]
        return prompts.device == self._prompts.device and torch.equal(prompts, self._prompts)

    def for_request(self) -> Callable[[Sequence[int], Tensor], Tensor]:
        """The rule for one new request: takes its answer so far, and the logits [vocabulary] of the next token.

        For servers that call a function per request, such as vLLM's ``AdapterLogitsProcessor`` (docs/dial.md). Where a
        gate leaves a request alone is seen where its answer begins; of one that is taken up later, an answer that is
        not the refusal so far is.
        """
        self._check_first_token()
        alone: Tensor | None = None

        def rule(answer_token_ids: Sequence[int], logits: Tensor) -> Tensor:
            nonlocal alone
            answered = list(answer_token_ids)
            if not answered:
                alone = left_alone(logits[None], self.refusal_token_ids[0], self.gate)
            elif alone is None:
                is_other = self.gate is not None and answered != list(self.refusal_token_ids[: len(answered)])
                alone = torch.tensor([is_other], device=logits.device)
            first = torch.tensor(answered[:1], device=logits.device) if answered else None
            return steer(logits[None], first, len(answered), self.refusal_token_ids, self.threshold, alone)[0]

        return rule

    def _check_first_token(self) -> None:
        if self.score != "first-token":
            raise DialError(
                f"this dial was set on the score {self.score!r} of whole answers, which no logits processor can know; "
                "use dial.generate, or calibrate with --score first-token"
            )


def _summed(name: str, logprobs: Sequence[float], text: str) -> float:
    """DialError for what is no list."""
    if isinstance(logprobs, int | float) or not len(logprobs):
        raise DialError(f"{name}: expected the log-probability of every token of the {text}, in a list")
    return float(sum(logprobs))


def _answered(answers: Tensor, logits: Sequence[Tensor], end_token_ids: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Log-probability [rows] and number of tokens [rows] of each answer, with its end token, without what follows it.
    ``answers``: [rows, tokens]; ``logits``: of every position, [rows, vocabulary], as the model gave them."""
    logprobs = torch.stack([_logprobs(at.float(), answers[:, i]) for i, at in enumerate(logits)], dim=1)
    ends = torch.isin(answers, torch.tensor(end_token_ids, device=answers.device)).long()
    counted = ends.cumsum(1) - ends == 0
    return (logprobs * counted).sum(1), counted.sum(1)


def _logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities of tokens [...] by logits [..., vocabulary]."""
    return logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(-1)
