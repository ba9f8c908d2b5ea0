"""CRSS, the conflict rate of similar samples (CRaFT, arXiv 2410.06913): how static conflict in RAIT data is measured.

Two questions that look alike to the model, one taught with its answer and one with a refusal, pull against each other.
The rate is the share of unknown questions whose representation has a cosine above 0.97 with that of any known one.

The paper's representation is the last hidden state of the question. A run takes it at the last token of the REFUSE
prompt, where the answer or the refusal begins: that is what training gives two different continuations. Not at the
question mark within the prompt: there all questions look alike.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from grait.errors import KnowledgeError
from grait.model.common_prefix import cache_of, keys_and_values, shareable_length
from grait.model.engine import Road
from grait.model.sampling import by_length

THRESHOLD = 0.97
"""Cosine above which the paper counts two questions as similar."""


def nearest_known(ik: Tensor, idk: Tensor, rows_per_block: int = 1024) -> tuple[Tensor, Tensor]:
    """Each unknown question's highest cosine with a known one, in [-1, 1], and that one's row.  # [n_idk] each

    ``ik``: [n_ik, size], ``idk``: [n_idk, size], one representation of each question, of any norm but 0. Of equally
    near ones the first. Cosines are computed in fp32 by blocks: memory grows with ``rows_per_block`` squared, not with
    n_ik * n_idk. Raises KnowledgeError when a side is empty.
    """
    if not len(ik) or not len(idk):
        raise KnowledgeError(f"conflict rate: expected questions on both sides, found {len(ik)} ik and {len(idk)} idk")
    cosines, rows = [], []
    for start in range(0, len(idk), rows_per_block):
        own = torch.nn.functional.normalize(idk[start : start + rows_per_block].float(), dim=1)
        highest = torch.full((len(own),), float("-inf"), device=own.device)
        nearest = torch.zeros((len(own),), dtype=torch.long, device=own.device)
        for place in range(0, len(ik), rows_per_block):
            other = torch.nn.functional.normalize(ik[place : place + rows_per_block].float(), dim=1)
            found, row = (own @ other.T).max(1)
            nearest = torch.where(found > highest, place + row, nearest)
            highest = torch.maximum(highest, found)
        cosines.append(highest.clamp(-1, 1))
        rows.append(nearest)
    return torch.cat(cosines), torch.cat(rows)


def last_hidden_states(
    model: PreTrainedModel,
    sequences: Sequence[Sequence[int]],
    pad_token_id: int,
    tokens_per_batch: int = 8192,
    road: Road = "copied prefix",
) -> Tensor:
    """Last hidden state at the last token of each sequence: [sequences, hidden size]; as ``hidden_states``."""
    return hidden_states(model, sequences, pad_token_id, tokens_per_batch, road, last_only=True)[:, 0]


@torch.inference_mode()
def hidden_states(
    model: PreTrainedModel,
    sequences: Sequence[Sequence[int]],
    pad_token_id: int,
    tokens_per_batch: int = 8192,
    road: Road = "copied prefix",
    last_only: bool = False,
) -> Tensor:
    """Hidden states at the last token of each sequence: [sequences, layers + 1, hidden size], fp32, on the CPU.

    The first are the embeddings. ``last_only``: of the last layer, [sequences, 1, hidden size]. ``sequences``: token
    ids, at least one each. One forward pass without the head; what all begin with runs once. ``tokens_per_batch``,
    padding included, bounds memory and does not change results but for rounding.
    """
    found: list[Tensor] = [torch.empty(0)] * len(sequences)
    decoder, device = model.get_decoder(), model.device
    lengths = [len(tokens) for tokens in sequences]
    n_shared = shareable_length(model, sequences, max(lengths), road)
    prefix = keys_and_values(model, sequences[0][:n_shared], device) if n_shared else []
    for rows in by_length(lengths, tokens_per_batch):
        width = max(lengths[row] for row in rows) - n_shared
        input_ids = torch.full((len(rows), width), pad_token_id)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for index, row in enumerate(rows):  # right padding: no token of a sequence sees it
            own = sequences[row][n_shared:]
            input_ids[index, : len(own)] = torch.tensor(own)
            mask[index, : len(own)] = 1
        last = (mask.sum(1) - 1).to(device)
        output = decoder(
            input_ids=input_ids.to(device),
            attention_mask=torch.cat([mask.new_ones((len(rows), n_shared)), mask], dim=1).to(device),
            position_ids=(n_shared + torch.arange(width)).expand(len(rows), -1).to(device),
            past_key_values=cache_of(prefix, len(rows)) if prefix else None,
            use_cache=bool(prefix),
            output_hidden_states=not last_only,
        )
        layers = [output.last_hidden_state] if last_only else output.hidden_states
        places = torch.arange(len(rows), device=device)
        states = torch.stack([layer[places, last].float().cpu() for layer in layers], dim=1)
        for row, own_states in zip(rows, states, strict=True):
            found[row] = own_states
    return torch.stack(found)
