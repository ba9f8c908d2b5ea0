"""CRSS, the conflict rate of similar samples (CRaFT, arXiv 2410.06913): how static conflict in RAIT data is measured.

Two questions that look alike to the model, one taught with its answer and one with a refusal, pull against each other.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from grait.errors import KnowledgeError
from grait.model.inference import by_length

THRESHOLD = 0.97
"""Cosine above which the paper counts two questions as similar."""


def conflict_rate(ik: Tensor, idk: Tensor, threshold: float = THRESHOLD, rows_per_block: int = 1024) -> float:
    """Share of unknown questions whose highest cosine with any known question exceeds the threshold, in [0, 1].

    ``ik``: [n_ik, size], ``idk``: [n_idk, size], one representation of each question, of any norm but 0. Higher: more
    conflict; 0: no unknown question is similar to a known one. Exactly on the threshold is no conflict. Cosines are
    computed in fp32 by blocks: memory grows with ``rows_per_block`` squared, not with n_ik * n_idk.
    """
    if not len(ik) or not len(idk):
        raise KnowledgeError(f"conflict rate: expected questions on both sides, found {len(ik)} ik and {len(idk)} idk")
    conflicts = 0
    for start in range(0, len(idk), rows_per_block):
        own = torch.nn.functional.normalize(idk[start : start + rows_per_block].float(), dim=1)
        highest = torch.full((len(own),), float("-inf"), device=own.device)
        for place in range(0, len(ik), rows_per_block):
            other = torch.nn.functional.normalize(ik[place : place + rows_per_block].float(), dim=1)
            highest = torch.maximum(highest, (own @ other.T).amax(1))
        conflicts += int((highest > threshold).sum())
    return conflicts / len(idk)


@torch.inference_mode()
def question_representations(
    model: PreTrainedModel, questions: Sequence[Sequence[int]], pad_token_id: int, tokens_per_batch: int = 8192
) -> Tensor:
    """Last hidden state at the last token of each question: [questions, hidden size], fp32, on the CPU.

    ``questions``: token ids, at least one each. Give the questions themselves: what follows every question alike, such
    as the end of a chat turn, makes all of them look alike. ``tokens_per_batch``, padding included, bounds memory and
    does not change results but for rounding.
    """
    representations = torch.zeros((len(questions), model.config.get_text_config(decoder=True).hidden_size))
    decoder = model.get_decoder()
    for rows in by_length([len(tokens) for tokens in questions], tokens_per_batch):
        width = max(len(questions[row]) for row in rows)
        input_ids = torch.full((len(rows), width), pad_token_id)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for index, row in enumerate(rows):  # right padding: no token of a question sees it
            input_ids[index, : len(questions[row])] = torch.tensor(questions[row])
            mask[index, : len(questions[row])] = 1
        input_ids, mask = input_ids.to(model.device), mask.to(model.device)
        hidden = decoder(input_ids=input_ids, attention_mask=mask, use_cache=False).last_hidden_state
        last = mask.sum(1) - 1
        representations[rows] = hidden[torch.arange(len(rows), device=model.device), last].float().cpu()
    return representations
