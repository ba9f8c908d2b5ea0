"""LESS's own ``collect_grads`` on our examples: gradients at batch size 1, Adam's transform, Rademacher projection.

Run by the python of an environment for LESS (see ``benchmarks.peers``) in this repository's root folder:

    less-venv/bin/python -m benchmarks.peers.less --less-repo less --examples examples.json --adapter adapter

Everything is at LESS's defaults: bf16 base model, 8192 dimensions, projection of 16 gradients at a time in blocks of
128 dimensions, gradients stored every 160 examples. Without fast_jl or without a GPU it takes TRAK's BasicProjector,
which makes the random matrix anew for every 16 gradients; ``n`` should therefore be a multiple of 16.

Three things differ from LESS's own command. The device, which LESS has as a default argument (cuda:0), is set to the
CPU. The optimizer's moments are constants (m = 0, v = 1e-4), for which the transform is nearly a multiplication, so
that the resulting influence can be held against that of plain gradients; the work does not depend on their values.
Functions are wrapped to tell the time of gradients from that of projection.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

from benchmarks.peers.setting import peak_memory_mb, print_record, read_examples, versions

DIMENSIONS = 8192


def timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """``function``, adding the seconds of each call to ``seconds``."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = function(*args, **kwargs)
        seconds.append(time.perf_counter() - start)
        return result

    return call


def load(adapter: Path) -> PeftModel:
    """The adapter on its bf16 base model, its weights trainable, as LESS loads it."""
    base = AutoModelForCausalLM.from_pretrained(
        PeftConfig.from_pretrained(adapter).base_model_name_or_path, dtype=torch.bfloat16
    )
    return PeftModel.from_pretrained(base, adapter, is_trainable=True).eval()


def measure(repository: Path, examples_path: Path, adapter: Path, n: int) -> dict[str, Any]:
    """Time ``collect_grads`` on the first ``n`` examples; model loading and one unrecorded step come before."""
    if not (repository / "less" / "data_selection" / "collect_grad_reps.py").is_file():
        raise SystemExit(f"--less-repo {repository}: no less/data_selection/collect_grad_reps.py in this folder")
    sys.path.insert(0, str(repository))
    from less.data_selection import collect_grad_reps as less

    device = torch.device("cpu")
    less.prepare_batch.__defaults__ = (device,)
    examples = read_examples(examples_path, n)
    model = load(adapter)
    rows = [
        {
            "input_ids": torch.tensor(example.input_ids),
            "labels": torch.tensor(example.labels),
            "attention_mask": torch.ones(len(example.input_ids), dtype=torch.long),
        }
        for example in examples
    ]
    batches = DataLoader(rows, batch_size=1)
    moments = {
        name: {"exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.full_like(weight, 1e-4)}
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }
    model(**next(iter(batches))).loss.backward()
    model.zero_grad()

    gradient_seconds: list[float] = []
    projection_seconds: list[float] = []
    less.obtain_gradients_with_adam = timed(less.obtain_gradients_with_adam, gradient_seconds)
    less.BasicProjector.project = timed(less.BasicProjector.project, projection_seconds)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        less.collect_grads(batches, model, folder, proj_dim=[DIMENSIONS], adam_optimizer_state=moments)
        seconds = time.perf_counter() - start
        peak = peak_memory_mb()
        start = time.perf_counter()
        directions = torch.load(Path(folder, f"dim{DIMENSIONS}", "all_orig.pt")).float()  # [n, dimensions], units
        influence = (directions @ directions.T).mean(1)
        matching_seconds = time.perf_counter() - start
    return {
        "name": "LESS",
        "examples_per_second": len(examples) / seconds,
        "peak_memory_mb": peak,
        "n": len(examples),
        "seconds": seconds,
        "seconds_gradients": sum(gradient_seconds),
        "seconds_projection": sum(projection_seconds),
        "seconds_matching": matching_seconds,
        "influence": dict(zip((example.id for example in examples), influence.tolist(), strict=True)),
        "threads": torch.get_num_threads(),
        "versions": versions("torch", "transformers", "peft", "traker"),
    }


def main() -> None:
    """Read the arguments, print the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--less-repo", type=Path, required=True, help="Checkout of princeton-nlp/LESS.")
    parser.add_argument("--examples", type=Path, required=True, help="File made by run.write_examples.")
    parser.add_argument("--adapter", type=Path, required=True, help="Saved adapter, which names its base model.")
    parser.add_argument("--n", type=int, default=16, help="Number of examples, a multiple of 16.")
    arguments = parser.parse_args()
    print_record(lambda: measure(arguments.less_repo, arguments.examples, arguments.adapter, arguments.n))


if __name__ == "__main__":
    main()
