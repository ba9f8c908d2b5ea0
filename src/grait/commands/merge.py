"""After a run: a tuned model in one piece, with the adapter merged into the base model's weights."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from transformers.utils import IMAGE_PROCESSOR_NAME, PROCESSOR_NAME, VIDEO_PROCESSOR_NAME, cached_file

from grait.commands.export import trained_adapter, trained_on
from grait.commands.finished import open_run, trained_method
from grait.config import ModelConfig
from grait.errors import ArtifactError, GraitError, ModelError, reason
from grait.model.adapters import load_adapter
from grait.model.load import load_model, packed, read_config, read_tokenizer, resolve_name
from grait.pipeline.cards import CARD, card, save_public_dials
from grait.pipeline.data import RunData
from grait.runtime import progress
from grait.runtime.artifacts import Stage
from grait.runtime.files import as_path, replacing_folder

PROCESSORS = (PROCESSOR_NAME, IMAGE_PROCESSOR_NAME, VIDEO_PROCESSOR_NAME)
"""Files beside a model that say how it reads images, sound and video."""


@dataclass(frozen=True)
class Merged:
    """``dtype``: of the weights that were saved. ``was_quantised``: the run trained on 4-bit weights."""

    folder: Path
    dtype: str
    was_quantised: bool


def merge(run: str | Path, out: str | Path, *, method: str | None = None) -> Merged:
    """Save base model plus adapter as one model, with tokenizer, chat template and generation config, as safetensors.

    The chat template has the run's arguments as its defaults. Processors of a model with vision come along.

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
    tokenizer = read_tokenizer(config)
    if data.prompts.has_template:
        tokenizer = data.prompts.template.with_defaults(tokenizer)
    try:
        with replacing_folder(out) as partial:
            # Weights that were unpacked stay so; transformers would pack them again as they were.
            model.save_pretrained(partial, save_original_format=packed(read_config(config)) is None)
            tokenizer.save_pretrained(partial)
            _copy_processors(config, partial)
            _tell(data, method, adapter, partial)
    except (OSError, ValueError, RuntimeError) as error:  # transformers and safetensors have words of their own
        raise ArtifactError(f"{out}: cannot write the merged model: {reason(error)}") from error
    return Merged(out, str(model.dtype).removeprefix("torch."), was_quantised)


def _copy_processors(config: ModelConfig, folder: Path) -> None:
    """The base model's files for images and sound, where it has any, as they are."""
    for name in PROCESSORS:
        found = cached_file(
            resolve_name(config.name), name, revision=config.revision, _raise_exceptions_for_missing_entries=False
        )
        if found is not None:
            shutil.copyfile(found, folder / name)


def _tell(data: RunData, method: str, adapter: Stage, folder: Path) -> None:
    """Write the model card, and the dial, if any; what goes wrong with the card is said, and the model stays."""
    save_public_dials(data, adapter.folder, folder)
    try:
        text = card(data, method, adapter, trained_on(data, method, adapter), is_merged=True)
    except GraitError as error:
        progress.note(f"no model card: {error}")
        return
    (folder / CARD).write_text(text, encoding="utf-8")
