"""After a run: a tuned model in one piece, with the adapter merged into the base model's weights."""

from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer

from grait.commands.export import trained_adapter, trained_on
from grait.commands.finished import open_run, trained_method
from grait.errors import ArtifactError, GraitError, ModelError, reason
from grait.model.adapters import load_adapter
from grait.model.load import load_model, resolve_name
from grait.pipeline.cards import CARD, card, save_public_dials
from grait.pipeline.data import RunData
from grait.runtime import progress
from grait.runtime.artifacts import Stage
from grait.runtime.files import as_path, replacing_folder


@dataclass(frozen=True)
class Merged:
    """``dtype``: of the weights that were saved. ``was_quantised``: the run trained on 4-bit weights."""

    folder: Path
    dtype: str
    was_quantised: bool


def merge(run: str | Path, out: str | Path, *, method: str | None = None) -> Merged:
    """Save base model plus adapter as one model, with tokenizer, chat template and generation config, as safetensors.

    ``run``: folder of a finished run; ``out``: a new or empty folder; ``method``: whose adapter, by default that of the
    run's main method. Weights are in the type that the run computes in. A quantised base is loaded unquantised: 4-bit
    weights cannot take up an adapter without losing some of it. Raises a GraitError with one line.
    """
    data, out = open_run(run), as_path(out, "out")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out}: is there already, and not empty; name a new folder (out)")
    method = trained_method(data, method)
    adapter = trained_adapter(data, method)
    config = data.config.model
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
    try:
        with replacing_folder(out) as partial:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
            _tell(data, method, adapter, partial)
    except (OSError, ValueError, RuntimeError) as error:  # transformers and safetensors have words of their own
        raise ArtifactError(f"{out}: cannot write the merged model: {reason(error)}") from error
    return Merged(out, str(model.dtype).removeprefix("torch."), was_quantised)


def _tell(data: RunData, method: str, adapter: Stage, folder: Path) -> None:
    """Write the model card, and the dial, if any; what goes wrong with the card is said, and the model stays."""
    save_public_dials(data, adapter.folder, folder)
    try:
        text = card(data, method, adapter, trained_on(data, method, adapter), is_merged=True)
    except GraitError as error:
        progress.note(f"no model card: {error}")
        return
    (folder / CARD).write_text(text, encoding="utf-8")
