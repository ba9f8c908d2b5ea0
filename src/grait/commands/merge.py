"""After a run: a tuned model in one piece, with the adapter merged into the base model's weights."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer

from grait.commands.export import trained_adapter
from grait.commands.finished import open_run
from grait.errors import ArtifactError, ModelError, reason
from grait.model.adapters import load_adapter
from grait.model.load import load_model, resolve_name
from grait.runtime import progress


@dataclass(frozen=True)
class Merged:
    """``dtype``: of the weights that were saved. ``was_quantised``: the run trained on 4-bit weights."""

    folder: Path
    dtype: str
    was_quantised: bool


def merge(run: Path, out: Path, method: str = "grait") -> Merged:
    """Save base model plus adapter as one model, with tokenizer, chat template and generation config, as safetensors.

    Weights are in the type that the run computes in. A quantised base is loaded unquantised: 4-bit weights cannot take
    up an adapter without losing some of it. Raises a GraitError with one line; ``out`` has to be new or empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out}: is there already, and not empty; name a new folder with --out")
    bench = open_run(run)
    adapter = trained_adapter(bench, method)
    config = bench.config.model
    was_quantised = config.quantization != "none"
    plain = config.model_copy(update={"quantization": "none", "gradient_checkpointing": False})
    progress.note(f"loading {config.name}" + (" without quantisation" if was_quantised else ""))
    adapted = load_adapter(load_model(plain), adapter.folder)
    try:
        model = adapted.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise ModelError(f"{adapter.folder}: cannot be merged: {reason(error)}") from error
    tokenizer = AutoTokenizer.from_pretrained(
        resolve_name(config.name), revision=config.revision, trust_remote_code=config.trust_remote_code
    )
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except (OSError, ValueError, RuntimeError) as error:  # transformers and safetensors have words of their own
        raise ArtifactError(f"{out}: cannot write the merged model: {reason(error)}") from error
    return Merged(out, str(model.dtype).removeprefix("torch."), was_quantised)
