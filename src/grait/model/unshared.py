"""Running a model on many short questions without sharing: one row for each sample, in the model's own cache.

For models whose state is no list of keys and values that could be shared or parted (recurrent, convolutional, hybrid),
whose attention does otherwise than a mask of ours says, or whose window is shorter than a prompt. The model makes its
own masks, by layer and position; rows are padded on the left.

A prompt runs once for all its samples, whose rows begin as copies of its state. Rows that have ended leave the batch.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from peft import PeftModel
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from grait.errors import ModelError
from grait.model.completions import TokenizedExample, answer_logits, collate, last_positions
from grait.model.engine import Advance, BothWays, Tokens, Watch, Watched
from grait.model.sampling import by_length, choose, noise_of


@dataclass
class _Row:
    """One sample of a prompt while it is decoded. ``logprobs``: of its tokens, and of the end token where it ended."""

    prompt: int
    sample: int
    tokens: list[int]
    logprobs: list[float]


class UnsharedEngine:
    """Samples, greedy answers and log-probabilities of completions; as ``Engine`` says, lengths are not checked."""

    def __init__(self, model: PreTrainedModel | PeftModel, pad_token_id: int, tokens_per_batch: int) -> None:
        self.model = model
        self.pad_token_id = pad_token_id
        self.tokens_per_batch = tokens_per_batch
        inner = model.get_base_model() if isinstance(model, PeftModel) else model
        of_forward = inspect.signature(inner.forward).parameters
        self.cache_name = "cache_params" if "cache_params" in of_forward else "past_key_values"  # as Mamba calls it

    def generate(
        self,
        prompts: Sequence[Tokens],
        keys: Sequence[str],
        *,
        n: int,
        temperature: float,
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        seed: int,
        advance: Advance,
    ) -> list[list[list[int]]]:
        """As ``Engine`` says."""
        answers: list[list[list[int]]] = [[] for _ in prompts]
        for own in by_length([n * (len(prompt) + max_new_tokens) for prompt in prompts], self.tokens_per_batch):
            noise = noise_of([keys[row] for row in own], seed, max_new_tokens, n, temperature)
            found = self._decode(
                [prompts[row] for row in own], [n] * len(own), noise, temperature, end_token_ids=end_token_ids
            )
            for row, samples in zip(own, found, strict=True):
                answers[row] = [sample.tokens for sample in samples]
            advance(len(own))
        return answers

    def completion_logprobs(
        self, prompts: Sequence[Tokens], completions: Sequence[Sequence[Tokens]], *, advance: Advance
    ) -> list[list[list[float]]]:
        """As ``Engine`` says. Completions of a prompt that differ in their last token only share a row."""
        by_prompt = [dict.fromkeys(tuple(completion[:-1]) for completion in own) for own in completions]
        rows = [(prompt, begin) for prompt, own in enumerate(by_prompt) for begin in own]
        examples = [TokenizedExample("", tuple(prompts[prompt]), (*begin, self.pad_token_id)) for prompt, begin in rows]
        found: dict[tuple[int, tuple[int, ...]], Tensor] = {}
        left = [len(own) for own in by_prompt]
        for own in by_length([example.n_tokens for example in examples], self.tokens_per_batch):
            batch = collate([examples[row] for row in own], self.pad_token_id)
            batch = {name: tensor.to(self.model.device) for name, tensor in batch.items()}
            logprobs = answer_logits(self.model, batch, None).float().log_softmax(-1)
            for row, of_row in zip(own, logprobs, strict=True):
                prompt, begin = rows[row]
                ends = [one for one in completions[prompt] if tuple(one[:-1]) == begin]
                targets = torch.tensor([list(one) for one in ends], device=of_row.device)
                picked = of_row[-len(begin) - 1 :].expand(len(ends), -1, -1).gather(-1, targets[..., None])[..., 0]
                found |= {(prompt, tuple(one)): values for one, values in zip(ends, picked.cpu(), strict=True)}
                left[prompt] -= 1
            advance(sum(left[prompt] == 0 for prompt in {rows[row][0] for row in own}))
        return [[found[prompt, tuple(one)].tolist() for one in own] for prompt, own in enumerate(completions)]

    def answers_both_ways(
        self,
        prompts: Sequence[Tokens],
        completions: Sequence[Tokens],
        *,
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        advance: Advance,
        watch: Watch | None = None,
    ) -> list[BothWays]:
        """As ``Engine`` says; both answers are decoded where the greedy one begins as the completion does."""
        result: dict[int, BothWays] = {}
        for own in by_length([2 * (len(prompt) + max_new_tokens) for prompt in prompts], self.tokens_per_batch):
            shown, asked = [prompts[row] for row in own], [completions[row] for row in own]
            scored = self.completion_logprobs(shown, [[completion] for completion in asked], advance=lambda _: None)
            noise = torch.zeros((len(own), max_new_tokens, 2))
            first = torch.tensor([completion[0] for completion in asked])
            told = None if watch is None else (Watched(watch, own), [of_completion for (of_completion,) in scored])
            found = self._decode(
                shown, [2] * len(own), noise, 0, end_token_ids=end_token_ids, suppressed=first, told=told
            )
            for row, samples, (of_completion,) in zip(own, found, scored, strict=True):
                result[row] = BothWays(samples[0].tokens, samples[-1].tokens, of_completion, samples[-1].logprobs)
            advance(len(own))
        return [result[row] for row in range(len(prompts))]

    def _decode(
        self,
        prompts: Sequence[Tokens],
        wanted: Sequence[int],
        noise: Tensor,
        temperature: float,
        *,
        end_token_ids: frozenset[int],
        suppressed: Tensor | None = None,
        told: tuple[Watched, list[list[float]]] | None = None,
    ) -> list[list[_Row]]:
        """So many samples of each prompt as are ``wanted``. ``noise``: [prompts, new tokens, samples].

        ``told``: with the log-probabilities of each prompt's completion.

        ``suppressed``: [prompts], the token that no sample but the first may begin with; a second one that could not
        begin with it anyway is the first.
        """
        logits, mask, cache = self._prefill(prompts)
        if suppressed is not None:
            begins = logits.argmax(-1).cpu() == suppressed
            wanted = [n if both else 1 for n, both in zip(wanted, begins.tolist(), strict=True)]
            if told is not None:
                told[0].begun(told[1], begins.tolist())
        rows = [_Row(prompt, sample, [], []) for prompt, n in enumerate(wanted) for sample in range(n)]
        answers = [[row for row in rows if row.prompt == prompt] for prompt in range(len(prompts))]
        places = torch.tensor([row.prompt for row in rows], device=mask.device)
        logits = logits[places]
        for step in range(noise.shape[1]):
            draws = noise[[row.prompt for row in rows], step, [row.sample for row in rows]]
            allowed = logits
            if suppressed is not None and step == 0:
                later = torch.tensor([row.sample > 0 for row in rows])
                allowed = logits.clone()
                allowed[later, suppressed[places.cpu()[later]]] = -torch.inf
            tokens = choose(allowed[:, None], draws[:, None].to(mask.device), temperature)
            logprobs = (logits.gather(-1, tokens) - logits.logsumexp(-1, keepdim=True))[:, 0].clamp(max=0)
            going_on = []
            for place, (row, token, logprob) in enumerate(
                zip(rows, tokens[:, 0].tolist(), logprobs.tolist(), strict=True)
            ):
                row.logprobs.append(logprob)
                has_ended = token in end_token_ids
                if not has_ended:
                    row.tokens.append(token)
                needed = told is None or told[0].goes_on(row.prompt, row.sample, row.tokens, row.logprobs, has_ended)
                if needed and not has_ended:
                    going_on.append(place)
            if not going_on or step + 1 == noise.shape[1]:
                break
            kept = torch.tensor(going_on, device=mask.device)
            if step == 0 or len(going_on) < len(rows):
                places = places[kept] if step == 0 else kept
                cache.reorder_cache(places)
                mask, rows = mask[places], [rows[place] for place in going_on]
            mask = torch.cat([mask, mask.new_ones((len(rows), 1))], dim=1)
            logits = self._forward(tokens[kept], mask, cache)
        return answers

    def _prefill(self, prompts: Sequence[Tokens]) -> tuple[Tensor, Tensor, DynamicCache]:
        """Logits [prompts, vocabulary] at the last token of each, the mask, and the model's own cache."""
        width = max(map(len, prompts))
        input_ids = torch.tensor([[self.pad_token_id] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        mask = mask.to(self.model.device)
        cache = DynamicCache(config=self.model.config.get_text_config(decoder=True))
        logits = self._forward(input_ids.to(mask.device), mask, cache, is_first=True)
        if not all(map(_is_filled, cache.layers)):
            raise ModelError("the model keeps its state elsewhere than in its cache, where rows cannot be chosen")
        return logits, mask, cache

    def _forward(self, input_ids: Tensor, mask: Tensor, cache: DynamicCache, is_first: bool = False) -> Tensor:
        """Logits [rows, vocabulary] at the last column, fp32; the cache grows. ``mask`` covers all columns."""
        inputs = self.model.prepare_inputs_for_generation(
            input_ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
            use_cache=True,
            is_first_iteration=is_first,
            **{self.cache_name: cache},
        )
        inputs["logits_to_keep"] = last_positions(input_ids.shape[1], 1, mask.device)
        return cast(Tensor, self.model(**inputs).logits)[:, 0].float()


def _is_filled(layer: Any) -> bool:
    """Whether a layer of a cache holds the state of what ran; those that have none do."""
    if hasattr(layer, "is_conv_states_initialized"):
        initialized = (*layer.is_conv_states_initialized.values(), *layer.is_recurrent_states_initialized.values())
        return any(initialized)
    return bool(layer.is_initialized)
