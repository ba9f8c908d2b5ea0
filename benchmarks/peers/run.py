"""Start a peer in its own environment and read its record; write the files that it reads."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from peft import PeftModel

from grait.errors import ConfigError
from grait.model.completions import TokenizedExample

REPOSITORY = Path(__file__).resolve().parents[2]
PEERS = {"less": "LESS", "bergson_index": "bergson"}


def write_examples(path: Path, examples: Sequence[TokenizedExample]) -> None:
    """Token ids as JSON: a list of {id, prompt_ids, completion_ids}."""
    rows = [
        {"id": example.id, "prompt_ids": list(example.prompt_ids), "completion_ids": list(example.completion_ids)}
        for example in examples
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_adapter(folder: Path, model: PeftModel) -> None:
    """The adapter as peers load it, naming its base model by the folder or hub id that ``model`` came from."""
    model.save_pretrained(str(folder))


def peer_record(
    script: Literal["less", "bergson_index"], python: Path | None, arguments: Mapping[str, Path | str | int | None]
) -> dict[str, Any]:
    """What ``benchmarks.peers.<script>`` prints when ``python``, that peer's interpreter, runs it on the CPU.

    ``arguments``: option -> value, without the dashes. Raises ConfigError when the environment or an argument is not
    given (None) or a path is not there, and when the script fails, with the end of what it said.
    """
    peer = PEERS[script]
    help_text = f"how to make the environment for {peer} is in {Path(__file__).with_name('__init__.py')}"
    if python is None:
        raise ConfigError(f"{peer}: no python is given to run it with; {help_text}")
    if not python.is_file():
        raise ConfigError(f"{peer}: {python}: no such file, expected bin/python of an environment; {help_text}")
    command = [
        str(python.absolute()),
        "-m",
        f"benchmarks.peers.{script}",
    ]  # a resolved link would leave the environment
    for name, value in arguments.items():
        if value is None:
            raise ConfigError(f"{peer}: --{name} is not given; {help_text}")
        if isinstance(value, Path) and not value.exists():
            raise ConfigError(f"{peer}: --{name} {value}: no such file or folder; {help_text}")
        command += [f"--{name}", str(value.absolute() if isinstance(value, Path) else value)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise ConfigError("\n".join([f"{peer}: exit status {done.returncode}: {' '.join(command)}", *lines[-15:]]))
    record: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return record
