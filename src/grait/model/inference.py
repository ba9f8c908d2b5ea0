"""Running a model on many short questions: what is common is computed once.

- The tokens that all prompts share (system message, instruction, solved examples) run once; their key-value cache
  is reused by every batch.
- The N samples of a question share its prompt: they are decoded side by side in one row of the batch, each seeing
  the prompt and its own tokens only (a tree-shaped attention mask), so the cache is neither copied nor repeated.
- The head runs at the last position only, or at the positions that are scored.
- Batches are formed by length; questions and samples that have ended leave the batch.

A sample depends on the seed and its question's id, not on the batch it ran in (up to rounding of the model's dtype).

Which of this a model can take is its road (``model/roads.py``); ``model/unshared.py`` is the road without any of it.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from grait.model import shared_prefix
from grait.model.common_prefix import common_prefix_length, keys_and_values, window_of
from grait.model.completions import last_positions
from grait.model.engine import Advance, BothWays, Road, Tokens, Watch, Watched, check_length, silent
from grait.model.limits import longest_sequence, most_columns
from grait.model.sampling import by_length, choose, noise_of
from grait.model.shared_prefix import Prefix
from grait.model.unshared import UnsharedEngine


@dataclass
class _Batch:
    """Prefilled rows. ``owner``: [rows, columns] of the cache, -1 where every sample may look, -2 where none may."""

    cache: DynamicCache
    prefix: Prefix
    owner: Tensor
    lengths: Tensor  # [rows] true tokens of each prompt, the shared prefix included
    logits: Tensor  # [rows, vocabulary] at the last prompt token, fp32

    def keep(self, rows: Tensor) -> None:
        """Only these rows stay; ``logits`` are as before."""
        self.cache.batch_select_indices(rows)
        self.owner, self.lengths = self.owner[rows], self.lengths[rows]


class InferenceEngine:
    """Samples, greedy answers and log-probabilities of completions by a transformers model. ``tokens_per_batch`` bounds
    memory and changes speed, not results."""

    def __init__(
        self, model: PreTrainedModel, pad_token_id: int, tokens_per_batch: int = 8192, *, road: Road = "shared prefix"
    ) -> None:
        """``road``: as ``roads.inference_road`` finds it; prompts beyond the model's window share nothing in any."""
        self.model = model
        self.pad_token_id = pad_token_id
        self.tokens_per_batch = tokens_per_batch
        self.shares_attention = road == "shared prefix"
        config = model.config.get_text_config(decoder=True)
        self.longest, self._most_columns = longest_sequence(config), most_columns(config)
        self._longest_shared = 0 if road == "no sharing" else window_of(model)
        self._unshared = UnsharedEngine(model, pad_token_id, tokens_per_batch)

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Tokens],
        keys: Sequence[str],
        *,
        n: int,
        temperature: float,
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        seed: int = 0,
        advance: Advance = silent,
    ) -> list[list[list[int]]]:
        """As ``Engine`` says; the samples of one prompt are decoded side by side."""
        longest = max(map(len, prompts)) + max_new_tokens
        check_length(longest, self.longest)
        if not self._are_shared(longest, longest + (n - 1) * max_new_tokens):
            return self._unshared.generate(
                prompts,
                keys,
                n=n,
                temperature=temperature,
                max_new_tokens=max_new_tokens,
                end_token_ids=end_token_ids,
                seed=seed,
                advance=advance,
            )
        answers: list[list[list[int]]] = [[] for _ in prompts]
        # A row costs its prompt once and one query per sample and step: bound both.
        for rows, batch in self._prefilled(prompts, width=8 * n):
            noise = noise_of([keys[row] for row in rows], seed, max_new_tokens, n, temperature)
            wanted = [list(range(n)) for _ in rows]
            decoded = self._decode(batch, wanted, noise, temperature=temperature, end_token_ids=end_token_ids)
            for row, samples in zip(rows, decoded.tokens, strict=True):
                answers[row] = samples
            advance(len(rows))
        return answers

    @torch.inference_mode()
    def completion_logprobs(
        self, prompts: Sequence[Tokens], completions: Sequence[Sequence[Tokens]], *, advance: Advance = silent
    ) -> list[list[list[float]]]:
        """As ``Engine`` says; the completions of one prompt share its forward pass."""
        longest = max(len(prompt) + max(map(len, own)) for prompt, own in zip(prompts, completions, strict=True))
        check_length(longest, self.longest)
        # Only tokens that predict another one are run: all but the last of each completion.
        added = [sum(len(one) - 1 for one in own) for own in completions]
        if not self._are_shared(longest, max(map(len, prompts)) + max(added)):
            return self._unshared.completion_logprobs(prompts, completions, advance=advance)
        result: list[list[list[float]]] = [[] for _ in prompts]
        for rows, batch in self._prefilled(prompts, added):
            for row, scored in zip(rows, self._score(batch, [completions[row] for row in rows]), strict=True):
                result[row] = scored
            advance(len(rows))
        return result

    @torch.inference_mode()
    def answers_both_ways(
        self,
        prompts: Sequence[Tokens],
        completions: Sequence[Tokens],
        *,
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        advance: Advance = silent,
        watch: Watch | None = None,
    ) -> list[BothWays]:
        """As ``Engine`` says, from one pass over the prompts. Where the greedy answer begins as the completion does,
        both are decoded side by side. An answer that ``watch`` ends has what was decoded of it."""
        longest_completion = max(map(len, completions))
        longest = max(map(len, prompts)) + max(max_new_tokens, longest_completion)
        check_length(longest, self.longest)
        if not self._are_shared(longest, longest + max_new_tokens):
            return self._unshared.answers_both_ways(
                prompts,
                completions,
                max_new_tokens=max_new_tokens,
                end_token_ids=end_token_ids,
                advance=advance,
                watch=watch,
            )
        result: dict[int, BothWays] = {}
        for rows, batch in self._prefilled(prompts, width=16 + longest_completion):
            n_columns = batch.cache.get_seq_length()
            scored = self._score(batch, [[completions[row]] for row in rows])
            batch.cache.crop(n_columns - batch.cache.get_seq_length())  # without the completions
            first = torch.tensor([completions[row][0] for row in rows])
            begins = (batch.logits.argmax(-1).cpu() == first).tolist()
            noise = torch.zeros((len(rows), max_new_tokens, 2))
            wanted = [[0, 1] if both else [0] for both in begins]
            told = None
            if watch is not None:
                told = Watched(watch, rows)
                told.begun([of_completion for (of_completion,) in scored], begins)
            decoded = self._decode(
                batch, wanted, noise, temperature=0, end_token_ids=end_token_ids, suppressed=first, told=told
            )
            of_rows = zip(rows, decoded.tokens, decoded.logprobs, scored, strict=True)
            for row, answers, logprobs, (of_completion,) in of_rows:
                result[row] = BothWays(answers[0], answers[-1], of_completion, logprobs[-1])
            advance(len(rows))
        return [result[row] for row in range(len(prompts))]

    def _are_shared(self, longest: int, n_columns: int) -> bool:
        """Whether samples run side by side. ``longest``: text; ``n_columns``: the most that a row comes to have."""
        return longest <= self._longest_shared and n_columns <= self._most_columns

    def _prefilled(
        self, prompts: Sequence[Tokens], added: Sequence[int] | None = None, width: int = 0
    ) -> Iterator[tuple[list[int], _Batch]]:
        """The prompts in batches of similar length, with the positions of each batch' rows. ``added``, ``width``:
        tokens that a row, and that every row adds later, counted into the budget."""
        shared = common_prefix_length(prompts)
        prefix = self._prefill_prefix(list(prompts[0][:shared]))
        lengths = [len(prompt) - shared + (added[row] if added else 0) for row, prompt in enumerate(prompts)]
        for rows in by_length(lengths, self.tokens_per_batch, width):
            yield rows, self._prefill(prefix, shared, [prompts[row][shared:] for row in rows])

    def _prefill_prefix(self, token_ids: list[int]) -> Prefix:
        """Keys and values of the shared tokens, [1, heads, tokens, size] for each layer; empty without any."""
        if not token_ids:
            return []
        return keys_and_values(self.model, token_ids, self.model.device)

    def _prefill(self, prefix: Prefix, shared: int, suffixes: list[Sequence[int]]) -> _Batch:
        rows, width = len(suffixes), max(map(len, suffixes))
        input_ids = torch.full((rows, width), self.pad_token_id)
        owner = torch.full((rows, width), -2)
        for row, suffix in enumerate(suffixes):  # left padding: the last position is the last token of each
            input_ids[row, width - len(suffix) :] = torch.tensor(suffix)
            owner[row, width - len(suffix) :] = -1
        cache = DynamicCache()
        device = self.model.device
        owner = owner.to(device)
        positions = shared + ((owner == -1).cumsum(-1) - 1).clamp(min=0)
        if prefix and not self.shares_attention:  # every row gets a copy of the prefix
            for index, (keys, values) in enumerate(prefix):
                cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), index)
            owner = torch.cat([owner.new_full((rows, shared), -1), owner], dim=1)
        mask = self._visible(owner, owner[:, -width:])
        later = torch.ones((width, width), dtype=torch.bool, device=device).triu(1)
        mask[..., -width:].masked_fill_(later, torch.finfo(mask.dtype).min)
        logits = self._forward(input_ids, mask, positions, cache, prefix, last_positions(width, 1, device))
        return _Batch(cache, prefix, owner, positions[:, -1] + 1, logits[:, 0])

    def _forward(
        self,
        input_ids: Tensor,
        mask: Tensor,
        positions: Tensor,
        cache: DynamicCache,
        prefix: Prefix,
        logits_to_keep: Tensor | int = 0,
    ) -> Tensor:
        """Logits [rows, kept positions, vocabulary] in fp32; the cache grows by the input's columns."""
        with shared_prefix.use(self.model, prefix) if prefix and self.shares_attention else nullcontext():
            output = self.model(
                input_ids=input_ids.to(self.model.device),
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=logits_to_keep,
            )
        return cast(Tensor, output.logits).float()

    def _visible(self, owner: Tensor, sample: Tensor) -> Tensor:
        """Additive mask [rows, 1, queries, columns]: a sample sees the prompt and its own tokens.

        ``owner``: [rows, columns], the queries' own included; ``sample``: [rows, queries], -2 for padding queries,
        which see the prompt only.
        """
        columns = owner[:, None, :]
        allowed = (columns == -1) | ((columns == sample[:, :, None]) & (columns >= 0))
        dtype = self.model.dtype
        return torch.zeros(allowed.shape, dtype=dtype, device=owner.device).masked_fill_(
            ~allowed, torch.finfo(dtype).min
        )[:, None]

    def _decode(
        self,
        batch: _Batch,
        wanted: list[list[int]],
        noise: Tensor,
        *,
        temperature: float,
        end_token_ids: frozenset[int],
        suppressed: Tensor | None = None,
        told: Watched | None = None,
    ) -> "_Samples":
        """The samples that are ``wanted`` of each row, from 0 on, decoded until all have ended; the batch is used up.

        ``noise``: [rows, new tokens, samples], of which the greatest number of samples follows. ``suppressed``: [rows],
        the token that no sample but the first may begin with; with it the log-probabilities are kept, too.
        """
        samples = _Samples(wanted)
        max_new_tokens, n = noise.shape[1:]
        device = self.model.device
        logits = batch.logits[:, None].expand(-1, n, -1)  # all samples of a row start from the same distribution
        for step in range(max_new_tokens):
            active = _padded(samples.active, logits.shape[1], 0)
            draws = noise[torch.tensor(samples.rows)[:, None], step, active]
            allowed = logits
            if suppressed is not None and step == 0:
                allowed = logits.clone()
                allowed[torch.arange(len(wanted)), 1:, suppressed] = -torch.inf
            tokens = choose(allowed, draws.to(device), temperature)
            if suppressed is not None:
                samples.score(logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(-1))
            going_on = samples.extend(tokens.tolist(), end_token_ids, told)
            if not going_on or step + 1 == max_new_tokens:
                break
            if len(going_on) < len(samples.rows):
                samples.keep(going_on)
                batch.keep(torch.tensor(going_on, device=device))
            width = max(map(len, samples.active))
            input_ids = _padded(samples.last_tokens(), width, self.pad_token_id)
            sample_of = _padded(samples.active, width, -2).to(device)
            batch.owner = torch.cat([batch.owner, sample_of], dim=1)
            positions = (batch.lengths + step)[:, None].expand(-1, width)
            mask = self._visible(batch.owner, sample_of)
            logits = self._forward(input_ids, mask, positions, batch.cache, batch.prefix)
        return samples

    def _score(self, batch: _Batch, completions: list[Sequence[Tokens]]) -> list[list[list[float]]]:
        """Log-probability of every token of every completion; the completions of a row lie side by side in it."""
        device = self.model.device
        first = batch.logits.log_softmax(-1)
        scores = [[[float(first[row, completion[0]])] for completion in own] for row, own in enumerate(completions)]
        width = max(sum(len(completion) - 1 for completion in own) for own in completions)
        if width == 0:
            return scores
        inputs = [[token for completion in own for token in completion[:-1]] for own in completions]
        targets = [[token for completion in own for token in completion[1:]] for own in completions]
        samples = [[sample for sample, one in enumerate(own) for _ in one[1:]] for own in completions]
        depths = [[place for completion in own for place in range(len(completion) - 1)] for own in completions]
        sample_of, depth = _padded(samples, width, -2).to(device), _padded(depths, width, 0).to(device)
        mask = self._visible(torch.cat([batch.owner, sample_of], dim=1), sample_of)
        # Within one completion a token sees earlier tokens only.
        later = depth[:, None, :] > depth[:, :, None]
        mask[..., -width:].masked_fill_(later[:, None], torch.finfo(mask.dtype).min)
        input_ids = _padded(inputs, width, self.pad_token_id)
        logits = self._forward(input_ids, mask, batch.lengths[:, None] + depth, batch.cache, batch.prefix)
        of_targets = _padded(targets, width, 0).to(device)[..., None]
        logprobs = logits.log_softmax(-1).gather(-1, of_targets)[..., 0].tolist()
        for own_scores, own, found in zip(scores, completions, logprobs, strict=True):
            values = iter(found)
            for scored, completion in zip(own_scores, own, strict=True):
                scored.extend(islice(values, len(completion) - 1))
        return scores


class _Samples:
    """Samples that are being decoded: what each has so far, and which go on.

    ``tokens``: [row][sample][token], without end tokens. ``logprobs``: likewise, with the end token's, where kept.
    ``rows``: those still in the batch, by the places that they had at first; ``active``: the unfinished samples of each
    of them.
    """

    def __init__(self, wanted: list[list[int]]) -> None:
        self.tokens: list[list[list[int]]] = [[[] for _ in own] for own in wanted]
        self.logprobs: list[list[list[float]]] = [[[] for _ in own] for own in wanted]
        self.rows = list(range(len(wanted)))
        self.active = wanted

    def score(self, logprobs: Tensor) -> None:
        """Keep the log-probabilities [rows, samples] of the tokens that come next."""
        for row, own, values in zip(self.rows, self.active, logprobs.tolist(), strict=True):
            for sample, value in zip(own, values, strict=False):
                self.logprobs[row][sample].append(min(value, 0.0))

    def extend(self, tokens: list[list[int]], end_token_ids: frozenset[int], told: Watched | None = None) -> list[int]:
        """Give every active sample its next token; those that end, or are not needed, are no longer active. Returns the
        rows that have an active sample left, by their present places."""
        going_on = []
        for place, (row, own) in enumerate(zip(self.rows, self.active, strict=True)):
            next_of = dict(zip(own, tokens[place], strict=False))
            self.active[place] = []
            for sample in own:
                so_far, has_ended = self.tokens[row][sample], next_of[sample] in end_token_ids
                if not has_ended:
                    so_far.append(next_of[sample])
                needed = told is None or told.goes_on(row, sample, so_far, self.logprobs[row][sample], has_ended)
                if needed and not has_ended:
                    self.active[place].append(sample)
            if self.active[place]:
                going_on.append(place)
        return going_on

    def keep(self, places: list[int]) -> None:
        """Only the rows at these places stay."""
        self.rows = [self.rows[place] for place in places]
        self.active = [self.active[place] for place in places]

    def last_tokens(self) -> list[list[int]]:
        """The last token of each active sample, row by row."""
        return [
            [self.tokens[row][sample][-1] for sample in own] for row, own in zip(self.rows, self.active, strict=True)
        ]


def _padded(rows: Sequence[Tokens], width: int, filler: int) -> Tensor:
    """Rows of whole numbers filled up on the right.  # [rows, width]"""
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows], dtype=torch.long)
