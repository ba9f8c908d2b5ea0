"""Prompt and completion pairs as batches, and the loss of each completion.

Used by gradients and by training, so that both see the same tokens and the same loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

IGNORED = -100
LOGITS_AT_ONCE = 2**24
"""More logits than these (0.2 GB with what the backward pass needs) are made in chunks."""


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """One prompt and its completion (end token included) as token ids; lists become tuples."""

    id: str
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("prompt_ids", "completion_ids"):
            if not isinstance(own := getattr(self, name), tuple):
                object.__setattr__(self, name, tuple(map(int, own)))

    @property
    def n_tokens(self) -> int:
        """Tokens that run through the model: the last one predicts nothing and stays out."""
        return len(self.prompt_ids) + len(self.completion_ids) - 1


def last_positions(length: int, n: int, device: torch.device) -> Tensor:
    """Indices of the last ``n`` of ``length`` positions, for ``logits_to_keep``.

    An index tensor, not the number ``n``: the number makes transformers pass a strided view to the head, for which
    torch copies the head's weight once per row of the batch (seen at 95 instead of 3,000 tokens/s on a CPU).
    """
    return torch.arange(length - n, length, device=device)


def collate(examples: Sequence[TokenizedExample], pad_token_id: int, n_shared: int = 0) -> dict[str, Tensor]:
    """Left-padded batch: input_ids, attention_mask, position_ids [batch, tokens] and targets [batch, answer tokens].

    All completions end at the last position, so the head is needed at the last positions only; a target that is
    padding is ``IGNORED``. The first ``n_shared`` tokens of every prompt are left out, as keys and values stand for
    them: positions begin after them, and the attention mask, [batch, n_shared + tokens], covers them.
    """
    width = max(example.n_tokens for example in examples) - n_shared
    n_targets = max(len(example.completion_ids) for example in examples)
    input_ids = torch.full((len(examples), width), pad_token_id)
    mask = torch.zeros((len(examples), width), dtype=torch.long)
    targets = torch.full((len(examples), n_targets), IGNORED)
    for row, example in enumerate(examples):
        tokens = (*example.prompt_ids[n_shared:], *example.completion_ids[:-1])
        input_ids[row, width - len(tokens) :] = torch.tensor(tokens)
        mask[row, width - len(tokens) :] = 1
        targets[row, n_targets - len(example.completion_ids) :] = torch.tensor(example.completion_ids)
    return {
        "input_ids": input_ids,
        "attention_mask": torch.cat([mask.new_ones((len(examples), n_shared)), mask], dim=1),
        "position_ids": n_shared + (mask.cumsum(-1) - 1).clamp(min=0),
        "targets": targets,
    }


def completion_losses(
    model: nn.Module, batch: dict[str, Tensor], cache: DynamicCache | None = None, in_chunks: bool = True
) -> Tensor:
    """l(q, y; theta) of each row: mean cross-entropy over its completion's tokens (nats), [batch], fp32.

    Of rows with a teacher the mean divergence from it instead: ``teacher_ids`` [batch, answer tokens, k], -1 at the
    positions of all others, and ``teacher_logprobs`` [batch, answer tokens, k + 1], as in ``divergences``. Where there
    is ``first_token_weight`` [batch], the loss of a row's first token counts so many times. Where there are
    ``choice_ids`` (-1 in rows without any) and ``choice_costs`` [batch, k], a row's loss is ``expected_costs``; its
    completion is one token. Where there are ``draws`` [batch, answer tokens], in [0, 1), the labels are drawn from the
    model by them, and a row's loss is the sum over its tokens divided by the root of their number: the mean square of
    its gradient over draws is then the Gauss-Newton matrix of the mean loss.

    Prompt tokens carry no loss. The head runs at answer positions only; where their logits are more than
    ``LOGITS_AT_ONCE`` it runs in chunks, if it may (``in_chunks``). ``cache`` holds keys and values of tokens before
    those of the batch, whose attention mask and positions then cover them.
    """
    losses, is_answer = token_losses(model, batch, cache, in_chunks), batch["targets"] != IGNORED
    n = is_answer.sum(-1)
    return losses.sum(-1) / (n.to(losses).sqrt() if "draws" in batch else n)


def token_losses(
    model: nn.Module, batch: dict[str, Tensor], cache: DynamicCache | None = None, in_chunks: bool = True
) -> Tensor:
    """The losses of which ``completion_losses`` takes the mean, [batch, answer tokens]: 0 where there is no target."""
    targets = batch["targets"]
    chunked = None
    config = extract_model_from_parallel(model).config.get_text_config(decoder=True)
    if in_chunks and "choice_ids" not in batch and targets.numel() * config.vocab_size > LOGITS_AT_ONCE:
        chunked = _ChunkedHead.of(model)
    if chunked:
        found = chunked.losses(batch, cache)
    else:
        logits = answer_logits(model, batch, cache)
        found = _token_losses(logits.flatten(0, 1), **_flat(batch)).view_as(targets)
        if "choice_ids" in batch:
            expected = expected_costs(logits[:, -1], batch["choice_ids"], batch["choice_costs"])
            last = torch.where(batch["choice_ids"][:, 0] >= 0, expected, found[:, -1])
            found = torch.cat([found[:, :-1], last[:, None]], dim=1)
    if "first_token_weight" in batch:
        is_answer = targets != IGNORED
        is_first = is_answer & (is_answer.cumsum(-1) == 1)
        found = torch.where(is_first, batch["first_token_weight"][:, None] * found, found)
    return found


def divergences(logits: Tensor, token_ids: Tensor, logprobs: Tensor) -> Tensor:
    """KL(teacher || model) of each position, in nats, [n].

    ``logits`` [n, vocabulary] of the model, fp32 or better; ``token_ids`` [n, k]: the teacher's most probable tokens;
    ``logprobs`` [n, k + 1]: theirs, then that of all others together, made to sum to 1. With k = vocabulary this is the
    full divergence, else one of two distributions in which all other tokens are one.
    """
    taught, indices = logprobs.to(logits.dtype).softmax(-1), token_ids.long()
    lowest = torch.finfo(logits.dtype).min  # not -inf, whose gradient is NaN where no other token is left
    rest = logits.scatter(-1, indices, lowest).logsumexp(-1, keepdim=True)
    own = torch.cat([logits.gather(-1, indices), rest], dim=-1) - logits.logsumexp(-1, keepdim=True)
    return nn.functional.kl_div(own, taught, reduction="none").sum(-1)


def expected_costs(logits: Tensor, token_ids: Tensor, costs: Tensor) -> Tensor:
    """The mean cost of a token that is drawn from these alone as the model has them, [rows], fp32 or better.
    ``logits``: [rows, vocabulary] where it is drawn; ``token_ids``, ``costs``: [rows, k]."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return (logits.gather(-1, token_ids.clamp(min=0)).softmax(-1) * costs).sum(-1)


def answer_logits(model: nn.Module, batch: dict[str, Tensor], cache: DynamicCache | None) -> Tensor:
    """Logits at the answer positions, [batch, answer tokens, vocabulary]."""
    targets = batch["targets"]
    logits: Tensor = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        position_ids=batch["position_ids"],
        past_key_values=cache,
        use_cache=cache is not None,
        logits_to_keep=last_positions(batch["input_ids"].shape[1], targets.shape[1], targets.device),
    ).logits
    return logits


def drawn_labels(logits: Tensor, draws: Tensor) -> Tensor:
    """The tokens [positions] that uniform ``draws`` [positions] pick from logits [positions, vocabulary]."""
    up_to = logits.detach().softmax(-1).cumsum(-1)
    found = torch.searchsorted(up_to, draws.to(up_to)[:, None] * up_to[:, -1:], right=True)[:, 0]
    return found.clamp(max=logits.shape[-1] - 1)  # beyond it where logits are not finite


def _flat(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Targets [positions] and, where rows have them, teacher's ids and log-probabilities [positions, ...], draws."""
    names = ("targets", "teacher_ids", "teacher_logprobs", "draws")
    return {name: batch[name].flatten(0, 1) for name in names if name in batch}


def _token_losses(
    logits: Tensor,
    targets: Tensor,
    teacher_ids: Tensor | None = None,
    teacher_logprobs: Tensor | None = None,
    draws: Tensor | None = None,
) -> Tensor:
    """Losses by logits [positions, vocabulary], in fp32 or better: 0 where the target is ``IGNORED``, [positions]."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if draws is not None:
        targets = torch.where(targets == IGNORED, targets, drawn_labels(logits, draws))
    if teacher_ids is None or teacher_logprobs is None:
        return nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    taught = teacher_ids[:, 0] >= 0
    others = targets.masked_fill(taught, IGNORED)
    if bool((others == IGNORED).all()):
        losses = logits.new_zeros(len(targets))
    else:
        losses = nn.functional.cross_entropy(logits, others, ignore_index=IGNORED, reduction="none")
    return losses.index_put((taught,), divergences(logits[taught], teacher_ids[taught], teacher_logprobs[taught]))


@dataclass(frozen=True)
class _ChunkedHead:
    """A model's head, run a chunk of positions at a time, in the backward pass once more. ``soft_cap``: what the model
    does with the head's output, None for nothing."""

    model: nn.Module
    head: nn.Linear
    soft_cap: float | None

    @classmethod
    def of(cls, model: nn.Module) -> "_ChunkedHead | None":
        """None where only the model itself can do it: the head is no frozen linear layer, or its output is changed. A
        trained head is left alone because its gradient needs all positions in one run."""
        inner = extract_model_from_parallel(model)
        head = inner.get_output_embeddings()
        if not isinstance(head, nn.Linear) or any(parameter.requires_grad for parameter in head.parameters()):
            return None
        raw: list[Tensor] = []
        handle = head.register_forward_hook(lambda _module, _inputs, output: raw.append(output))
        try:
            with torch.no_grad():  # a few tokens to see it by; not only padding, whose logits may all be 0
                given = inner(input_ids=torch.arange(4, device=head.weight.device)[None]).logits
        finally:
            handle.remove()
        cap = getattr(inner.config.get_text_config(decoder=True), "final_logit_softcapping", None)
        found = cls(model, head, cap)
        return found if torch.equal(found.capped(raw[0]).to(given.dtype), given) else None  # autocast gives fp32

    def capped(self, logits: Tensor) -> Tensor:
        return logits if self.soft_cap is None else torch.tanh(logits / self.soft_cap) * self.soft_cap

    def losses(self, batch: dict[str, Tensor], cache: DynamicCache | None) -> Tensor:
        """Token losses [batch, answer tokens]; the model itself makes the logits of one position only."""
        hidden: list[Tensor] = []

        def one_position(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden.append(inputs[0])
            return (inputs[0][:1, -1:], *inputs[1:])

        handle = self.head.register_forward_pre_hook(one_position)
        try:
            answer_logits(self.model, batch, cache)
        finally:
            handle.remove()
        rows = {"hidden": hidden[0].flatten(0, 1), **_flat(batch)}
        size = max(1, LOGITS_AT_ONCE // self.head.weight.shape[0])
        losses = [
            checkpoint(
                self._chunk, {name: part[start : start + size] for name, part in rows.items()}, use_reentrant=False
            )
            for start in range(0, len(rows["hidden"]), size)
        ]
        return torch.cat(losses).view_as(batch["targets"])

    def _chunk(self, rows: dict[str, Tensor]) -> Tensor:
        rest = {name: part for name, part in rows.items() if name != "hidden"}
        return _token_losses(self.capped(self.head(rows["hidden"])), **rest)
