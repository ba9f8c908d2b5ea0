"""bergson's gradient index of our examples: exact or projected gradients of every example, written to disk.

Run by the python of an environment for bergson (see ``benchmarks.peers``) in this repository's root folder:

    bergson-venv/bin/python -m benchmarks.peers.bergson_index --examples examples.json --adapter adapter

bergson loads the model and collects the gradients with its own functions (``setup_model_and_peft``,
``allocate_batches``, ``collect_gradients``); only the examples come ready tokenised instead of from its data pipeline.
Its defaults are kept but for the tokens in a batch and the reduction of the loss, which is a mean over the completion
as in ours: no projection (``--projection-dim 16`` is the default of its trackstar command: 16 x 16 numbers for each
adapter layer), no normalizer, fp32 weights.

``--precision``: fp32 and bf16 are bergson's own, for base model and adapter alike; mixed is our setting, a bf16 base
with the adapter in fp32, which bergson has no option for.

``seconds_matching`` is the time from the finished index to every example's mean cosine with all examples. The index is
a memory-mapped file, whose pages count as memory of the process as long as the system has room for them.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from bergson import IndexConfig, collect_gradients
from bergson.data import allocate_batches, load_gradients
from bergson.utils.utils import numpy_to_tensor
from bergson.utils.worker_utils import processor_for, setup_model_and_peft
from datasets import Dataset
from peft import PeftModel, load_peft_weights, set_peft_model_state_dict

from benchmarks.peers.setting import LabelledTokens, peak_memory_mb, print_record, read_examples, versions


def load(config: IndexConfig, mixed: bool) -> tuple[PeftModel, set[str]]:
    """The model as bergson loads it, and the names of the adapter's layers; ``mixed``: then the adapter as fp32."""
    model, layers = setup_model_and_peft(config)
    if mixed:
        model.requires_grad_(False)  # the gradients' type is that of the trainable weights: the adapter's only
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.data = weight.data.float()
                weight.requires_grad_(True)
        # bergson gives the adapter the base model's type, so its values were rounded to bf16.
        set_peft_model_state_dict(model, load_peft_weights(config.model, device="cpu"))
    return model.eval(), layers


def dataset(examples: list[LabelledTokens]) -> Dataset:
    """The examples with the columns that bergson's data pipeline makes."""
    return Dataset.from_dict(
        {
            "input_ids": [example.input_ids for example in examples],
            "labels": [example.labels for example in examples],
            "length": [len(example.input_ids) for example in examples],
        }
    )


def collect(
    config: IndexConfig, folder: str, model: PeftModel, layers: set[str], data: Dataset, batches: list[list[int]]
) -> Path:
    """Collect the gradients of ``batches`` into a new index under ``folder``; where the index is."""
    run = replace(config, run_path=str(Path(folder, "index")))
    run.partial_run_path.mkdir(parents=True)
    collect_gradients(model, data, processor_for(run), run, batches=batches, target_modules=layers, attention_cfgs={})
    return run.partial_run_path


def mean_influence(index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Norm of each gradient [n], and the mean of its cosines with all of them [n], from the index [n, dimensions]."""
    norms = torch.empty(len(index))
    mean_direction = torch.zeros(index.shape[1])
    for row, gradient in enumerate(index):
        norms[row] = gradient.float().norm()
        mean_direction += gradient.float() / norms[row] / len(index)
    return norms, torch.stack([gradient.float() @ mean_direction for gradient in index]) / norms


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time ``collect_gradients``; model loading and one untimed batch come before, products of the index after."""
    mixed = arguments.precision == "mixed"
    config = IndexConfig(
        run_path="",
        model=str(arguments.adapter),
        precision="bf16" if mixed else arguments.precision,
        projection_dim=arguments.projection_dim,
        token_batch_size=arguments.tokens_per_batch,
        loss_reduction="mean",
    )
    examples = read_examples(arguments.examples, arguments.n)
    data = dataset(examples)
    model, layers = load(config, mixed)
    batches = allocate_batches(data["length"][:], config.token_batch_size)
    with tempfile.TemporaryDirectory() as folder:
        collect(config, folder, model, layers, data, batches[:1])
    turns = []
    for _ in range(arguments.repetitions):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            path = collect(config, folder, model, layers, data, batches)
            turns.append(time.perf_counter() - start)
            peak = peak_memory_mb()
            start = time.perf_counter()
            index = numpy_to_tensor(load_gradients(path))
            norms, influence = mean_influence(index)
            matching_seconds = time.perf_counter() - start
            index_mb = round(index.numel() * index.element_size() / 1e6)
            del index  # unmaps the file
    seconds = statistics.median(turns)
    ids = [example.id for example in examples]
    return {
        "name": "bergson",
        "examples_per_second": len(examples) / seconds,
        "peak_memory_mb": peak,
        "n": len(examples),
        "seconds": seconds,
        "seconds_of_turns": turns,
        "seconds_matching": matching_seconds,
        "precision": arguments.precision,
        "projection_dim": arguments.projection_dim,
        "tokens_per_batch": arguments.tokens_per_batch,
        "index_mb": index_mb,
        "influence": dict(zip(ids, influence.tolist(), strict=True)),
        "gradient_norms": dict(zip(ids, norms.tolist(), strict=True)),
        "threads": torch.get_num_threads(),
        "versions": versions("torch", "transformers", "peft", "bergson"),
    }


def main() -> None:
    """Read the arguments, print the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=Path, required=True, help="File made by run.write_examples.")
    parser.add_argument("--adapter", type=Path, required=True, help="Saved adapter, which names its base model.")
    parser.add_argument("--n", type=int, help="Number of examples; all by default.")
    parser.add_argument("--tokens-per-batch", type=int, default=512, help="Padded tokens of a batch at most.")
    parser.add_argument(
        "--projection-dim", type=int, default=0, help="Numbers a side for each layer; 0: no projection."
    )
    parser.add_argument("--repetitions", type=int, default=3, help="Turns, of which the median counts.")
    parser.add_argument("--precision", choices=["fp32", "bf16", "mixed"], default="fp32")
    arguments = parser.parse_args()
    print_record(lambda: measure(arguments))


if __name__ == "__main__":
    main()
