"""How well influence from the sketch ranks questions as exact influence does, by the sketch's dimensions.

python -m benchmarks.sketch [--quick] [--json FILE]
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.report import markdown, write
from grait.config import KnowledgeConfig, LoraSection, ModelConfig, PromptConfig, WarmupConfig
from grait.data import worldfacts
from grait.influence.batches import gradient_pass
from grait.influence.projection import SparseProjection
from grait.knowledge.query import query
from grait.methods.selection import most_correct, with_label
from grait.model.completions import TokenizedExample
from grait.model.inference import InferenceEngine
from grait.model.load import load_model, load_tokenizer
from grait.model.prompts import Family, PromptFormat
from grait.runtime import progress
from grait.training.examples import WeightedExample
from grait.training.sft import add_adapter, n_steps, train

DIMENSIONS = (1024, 2048, 4096, 8192, 16384, 32768)
N_SHOTS = 3


def main(
    quick: Annotated[bool, typer.Option("--quick", help="200 questions instead of 1,000.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
) -> None:
    """Knowledge query and warm-up as in the demo, then exact unit gradients beside their projections, in one pass."""
    n_questions = 200 if quick else 1000
    config, pool = ModelConfig(), worldfacts.load("train")
    shots, questions = pool[:N_SHOTS], pool[N_SHOTS : N_SHOTS + n_questions]
    base, tokenizer = load_model(config), load_tokenizer(config)
    prompts, pad = PromptFormat(tokenizer, PromptConfig(), tuple(shots)), int(tokenizer.pad_token_id)

    def tokenized(question_id: str, family: Family, answer: str) -> TokenizedExample:
        prompt = prompts.prompt(by_id[question_id], family)
        return TokenizedExample(question_id, prompt.token_ids, prompts.completion(prompt, answer).token_ids)

    by_id = {question.id: question for question in questions}
    with progress.bar("knowledge query", len(questions), "questions") as advance:
        knowledge = KnowledgeConfig(temperature=0.5, max_new_tokens=16)
        states = query(InferenceEngine(base, pad, 4096), prompts, questions, knowledge, seed=0, advance=advance)
    known = with_label(states, "ik")
    best = [state.id for state in most_correct(known, 200)]
    warm = [WeightedExample(tokenized(name, "basic", prompts.reference(by_id[name])), 1.0) for name in best]
    model = add_adapter(base, LoraSection(), seed=0)
    with progress.bar("warm-up", n_steps(len(warm), WarmupConfig()), "steps") as advance:
        train(model, warm, WarmupConfig(), pad_token_id=pad, seed=0, advance=advance)
    examples = [tokenized(s.id, "refuse", prompts.config.refusal) for s in states if s.label != "dropped"]
    is_known = torch.tensor([state.label == "ik" for state in states if state.label != "dropped"])

    # Exact products need the unit gradients' mean over each set, so there are two passes; the second also projects.
    with (
        progress.bar("gradients", 2 * len(examples), "examples") as advance,
        gradient_pass(model, examples, pad, 1024, None, advance) as run,
    ):
        sizes = {name: layer.weight.numel() for name, layer in run.linears.items()}
        projections = {m: SparseProjection(m, 0, sizes, run.device) for m in DIMENSIONS}
        means = {name: torch.zeros(2, size) for name, size in sizes.items()}
        sketches = {m: torch.zeros(len(examples), m) for m in DIMENSIONS}
        exact = torch.zeros(len(examples), 2)
        norms = torch.zeros(len(examples))
        for batch in run.batches(examples):
            gradients = {name: layer.gradients() for name, layer in batch.factors.items()}
            length = torch.stack([g.square().sum(1) for g in gradients.values()]).sum(0).sqrt()
            norms[batch.positions] = length
            side = is_known[batch.positions]
            for name, g in gradients.items():
                unit = g / length[:, None]
                means[name][0] += unit[~side].sum(0)
                means[name][1] += unit[side].sum(0)
                for m, projection in projections.items():
                    rows = torch.zeros(len(batch.positions), m)
                    projection.add(rows, name, unit)
                    sketches[m][batch.positions] += rows
        sizes_of_sets = torch.stack([(~is_known).sum(), is_known.sum()])[:, None]
        for batch in run.batches(examples):
            for name, layer in batch.factors.items():
                unit = layer.gradients() / norms[batch.positions][:, None]
                exact[batch.positions] += unit @ (means[name] / sizes_of_sets).T

    rows, records = [], []
    for m, sketch in sketches.items():
        for how, unit in (("exact norm", sketch), ("norm of the sketch", sketch / sketch.norm(dim=1, keepdim=True))):
            estimate = torch.stack([unit @ unit[~is_known].mean(0), unit @ unit[is_known].mean(0)], 1)
            unknown = ~is_known
            correlations = {
                name: float(spearmanr(of(estimate)[chosen], of(exact)[chosen]).statistic)
                for name, of, chosen in (
                    ("R", _refusal, slice(None)),
                    ("O", _over_refusal, slice(None)),
                    ("S", _stable, slice(None)),
                    ("R of the unknown", _refusal, unknown),
                    ("S of the unknown", _stable, unknown),
                )
            }
            records.append({"name": "sketch", "dimensions": m, "unit_by": how, "n": len(examples), **correlations})
            rows.append([str(m), how, *(f"{value:.4f}" for value in correlations.values())])
    note = (
        f"Spearman correlation with exact influence over {len(examples)} questions ({int(is_known.sum())} known), "
        f"SmolLM2-135M after warm-up, LoRA r = 16 on all linear layers ({sum(sizes.values()):,} weights). "
        f"R has mean {float(exact[:, 0].mean()):.3f} and standard deviation {float(exact[:, 0].std()):.3f}, "
        f"S {float(_stable(exact).mean()):.4f} and {float(_stable(exact).std()):.4f}."
    )
    columns = ["dimensions", "unit by", *list(records[0])[4:]]
    print(markdown("Sketch against exact influence", columns, rows, note))
    write(json, records)


def _refusal(products: Tensor) -> Tensor:
    return products[:, 0]


def _over_refusal(products: Tensor) -> Tensor:
    return products[:, 1]


def _stable(products: Tensor) -> Tensor:
    return products[:, 0] - products[:, 1]


if __name__ == "__main__":
    typer.run(main)
