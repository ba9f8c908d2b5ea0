"""The knowledge query beside transformers' ``generate`` with ``num_return_sequences`` on the same prompts.

python -m benchmarks.knowledge oeqa [--quick] [--json FILE] [--markdown FILE]
python -m benchmarks.knowledge mcqa [--mmlu FOLDER] [--quick] [--json FILE] [--markdown FILE]
python -m benchmarks.knowledge roads [--quick] [--json FILE] [--markdown FILE]

``oeqa``: free text, WorldFacts after 3 shots. ``mcqa``: four options after 5 shots, MMLU with shots of the same
subject; without a folder of it (``dev/`` and ``test/`` with a CSV file for each subject), WorldFacts' view with
options. ``generate`` gets left-padded batches by length, of the size that is fastest in a trial. ``roads``: free text
on each road of inference (docs/models.md), without ``generate``.

Both must do the same: greedy answers are compared token by token, and the share of right samples within what
sampling leaves open.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, get_args

import torch
import typer
from scipy.stats import t
from transformers import PreTrainedModel

from benchmarks.report import markdown, medians, write
from grait.config import DataConfig, KnowledgeConfig, ModelConfig, PromptConfig
from grait.data import mmlu, worldfacts
from grait.data.load import load_topic_shots
from grait.judging.outcomes import judge
from grait.knowledge.query import query
from grait.model.engine import Road
from grait.model.inference import InferenceEngine
from grait.model.load import load_model, load_tokenizer
from grait.model.prompts import PromptFormat
from grait.records import Question

COLUMNS = ["", "questions/s", "time / first row", "right samples (%)", "minus generate's"]
SUBJECTS = ("college physics", "high school chemistry")
"""Of MMLU: 100 and more questions, prompts of about the length that is the median over its subjects."""

Shares = dict[str, float]
"""The share of right samples of each question."""


class Part(StrEnum):
    """What is asked."""

    oeqa = "oeqa"
    mcqa = "mcqa"
    roads = "roads"


@dataclass(frozen=True)
class Setting:
    """``batch_sizes``: of ``generate``, in questions; the fastest on the first ``n_trial`` questions is taken."""

    title: str
    prompts: PromptFormat
    questions: list[Question]
    config: KnowledgeConfig
    batch_sizes: tuple[int, ...]
    n_trial: int


def main(
    part: Annotated[Part, typer.Argument(help="Free text, options, or free text on each road.")],
    mmlu_folder: Annotated[Path | None, typer.Option("--mmlu", help="Folder of MMLU: dev/ and test/.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer questions, one turn.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the records here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
) -> None:
    """Time ten samples of each question, by turns."""
    if part is Part.roads:
        table, records = side_by_side(free_text(4 if quick else 12), 1 if quick else 3)
        report(table, records, json, markdown_file)
        return
    setting = free_text(4 if quick else 36) if part is Part.oeqa else options(2 if quick else 8, mmlu_folder)
    turns = 1 if quick else 2
    model = load_model(ModelConfig())
    engine = InferenceEngine(model, int(setting.prompts.tokenizer.pad_token_id), tokens_per_batch=4096)
    trial = {size: seconds_of_trial(model, setting, size) for size in setting.batch_sizes}
    batch_size = min(trial, key=trial.__getitem__)
    jobs: dict[str, Callable[[int], Shares]] = {}
    if part is Part.mcqa:
        jobs["grait, probabilities of the letters"] = lambda seed: asked(engine, setting, "letter", seed)
    jobs["grait, samples"] = lambda seed: asked(engine, setting, "sampling", seed)
    jobs["generate"] = lambda seed: asked_by_generate(model, setting, batch_size, seed)
    asked(engine, setting, "sampling", turns)  # not timed; the trial has warmed up generate
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    right: dict[str, list[Shares]] = {name: [] for name in jobs}
    for turn in range(turns):
        for name, job in jobs.items():
            start = time.perf_counter()
            right[name].append(job(turn))
            seconds[name].append(time.perf_counter() - start)
    theirs = generate(model, setting, setting.questions, batch_size, is_greedy=True)
    ours = greedy_answers(engine, setting)
    n_same = sum(ours[question.id] == theirs[question.id][0] for question in setting.questions)
    records = records_of(seconds, right, len(setting.questions))
    records[-1] |= {"batch_size": batch_size, "seconds_of_trial": trial, "same_greedy_answers": n_same}
    lengths = [len(setting.prompts.query(question).token_ids) for question in setting.questions]
    note = (
        f"SmolLM2-135M, {str(model.dtype).removeprefix('torch.')}, {setting.title}: {len(lengths)} questions in "
        f"prompts of {statistics.mean(lengths):.0f} tokens on average, {setting.config.n_samples} samples of at most "
        f"{setting.config.max_new_tokens} tokens at temperature {setting.config.found_temperature:g}, judging "
        f"included; median of {turns} turns. `generate` in batches of {batch_size} by length, left-padded (a trial on "
        f"{len(setting.questions[: setting.n_trial])} questions took, by batch size, "
        f"{', '.join(f'{size}: {value:.1f} s' for size, value in trial.items())}); its greedy answers are ours "
        f"for {n_same} of {len(lengths)} questions. Differences: means over the questions, with their 95% intervals."
    )
    if part is Part.mcqa:
        note += " From the letters' probabilities, the share of right samples is the right letter's probability."
    table = markdown("Knowledge query", COLUMNS, [cells(one) for one in records], note)
    report(table, records, json, markdown_file)


def report(table: str, records: list[dict[str, Any]], json: Path | None, markdown_file: Path | None) -> None:
    """Print the table, and write what is asked for."""
    print(table)
    if markdown_file:
        markdown_file.write_text(table, encoding="utf-8")
    write(json, records)


def side_by_side(setting: Setting, turns: int) -> tuple[str, list[dict[str, Any]]]:
    """The table and the records of all roads on the same questions; samples are the same up to rounding."""
    model = load_model(ModelConfig())
    pad = int(setting.prompts.tokenizer.pad_token_id)
    engines = {road: InferenceEngine(model, pad, tokens_per_batch=4096, road=road) for road in get_args(Road)}
    shares: dict[str, Shares] = {}

    def job(road: str) -> Callable[[], None]:
        def ask() -> None:
            shares[road] = asked(engines[road], setting, "sampling", 0)

        return ask

    seconds = medians({road: job(road) for road in engines}, turns)
    first = next(iter(engines))
    records = [
        {
            "name": road,
            "questions_per_second": len(setting.questions) / taken,
            "time_ratio": taken / seconds[first],
            "same_shares": sum(shares[road][name] == share for name, share in shares[first].items()),
        }
        for road, taken in seconds.items()
    ]
    note = (
        f"SmolLM2-135M, {str(model.dtype).removeprefix('torch.')}, {setting.title}: {len(setting.questions)} questions,"
        f" {setting.config.n_samples} samples of up to {setting.config.max_new_tokens} tokens; median of {turns} turns."
    )
    columns = ["road", "questions/s", "time / first row", "questions with the same share of right samples"]
    rows = [
        [
            one["name"],
            f"{one['questions_per_second']:.2f}",
            f"{one['time_ratio']:.2f}",
            f"{one['same_shares']} of {len(setting.questions)}",
        ]
        for one in records
    ]
    return markdown("Knowledge query by road", columns, rows, note), records


def free_text(n: int) -> Setting:
    """WorldFacts as the demo asks it."""
    n_shots = 3
    pool = worldfacts.load("train")[: n_shots + n]
    prompts = PromptFormat(load_tokenizer(ModelConfig()), PromptConfig(), tuple(pool[:n_shots]))
    config = KnowledgeConfig(temperature=0.5, max_new_tokens=12)
    return Setting("WorldFacts after 3 shots", prompts, pool[n_shots:], config, batch_sizes=(1, 4, 8), n_trial=8)


def options(n: int, folder: Path | None) -> Setting:
    """Multiple choice by letter: MMLU, as many questions of each subject, or WorldFacts with options."""
    n_shots = 5
    tokenizer, prompt = load_tokenizer(ModelConfig()), PromptConfig()
    config = KnowledgeConfig(temperature=1, max_new_tokens=4)
    if folder is None:
        pool = worldfacts.load("train", "mcqa")[: n_shots + n]
        prompts = PromptFormat(tokenizer, prompt, tuple(pool[:n_shots]), answer_form="letter")
        return Setting("WorldFacts with options after 5 shots", prompts, pool[n_shots:], config, (1, 4), n_trial=4)
    shots = load_topic_shots([DataConfig(path="mmlu", split="test", folder=str(folder))], n_shots)
    prompts = PromptFormat(tokenizer, prompt, answer_form="letter", topic_shots=shots)
    pool = mmlu.load("test", str(folder))
    questions = [
        question
        for subject in SUBJECTS
        for question in [one for one in pool if one.topic == subject][: n // len(SUBJECTS)]
    ]
    return Setting(f"MMLU ({', '.join(SUBJECTS)}) after 5 shots", prompts, questions, config, (1, 2), n_trial=2)


def asked(engine: InferenceEngine, setting: Setting, scoring: str, seed: int) -> Shares:
    """By the knowledge query, as a run asks it."""
    config = setting.config.model_copy(update={"scoring": scoring})
    states = query(engine, setting.prompts, setting.questions, config, seed=seed, advance=lambda _: None)
    return {state.id: state.correctness * (1 if state.option_mass is None else state.option_mass) for state in states}


def asked_by_generate(model: PreTrainedModel, setting: Setting, batch_size: int, seed: int) -> Shares:
    """By ``generate``, judged in the same way."""
    torch.manual_seed(seed)
    samples = generate(model, setting, setting.questions, batch_size)
    shares = {}
    for question in setting.questions:
        outcomes = [judge(setting.prompts.decode(tokens), question) for tokens in samples[question.id]]
        shares[question.id] = outcomes.count("correct") / len(outcomes)
    return shares


def generate(
    model: PreTrainedModel, setting: Setting, questions: Sequence[Question], batch_size: int, is_greedy: bool = False
) -> dict[str, list[list[int]]]:
    """Tokens of each question's samples up to the end, or of its one greedy answer."""
    tokenizer, config = setting.prompts.tokenizer, setting.config
    queries = {question.id: setting.prompts.query(question) for question in questions}
    ends = setting.prompts.end_token_ids(is_chat=False)
    n = 1 if is_greedy else config.n_samples
    how = {} if is_greedy else {"temperature": config.found_temperature, "top_k": 0, "top_p": 1.0}
    ordered = sorted(queries, key=lambda name: len(queries[name].token_ids))
    answers = {}
    for start in range(0, len(ordered), batch_size):
        names = ordered[start : start + batch_size]
        batch = tokenizer.pad(
            {"input_ids": [list(queries[name].token_ids) for name in names]}, padding_side="left", return_tensors="pt"
        ).to(model.device)
        with torch.inference_mode():
            output = model.generate(
                **batch,
                do_sample=not is_greedy,
                num_return_sequences=n,
                max_new_tokens=config.max_new_tokens,
                eos_token_id=sorted(ends),
                pad_token_id=tokenizer.pad_token_id,
                **how,
            )
        new = output[:, batch["input_ids"].shape[1] :].tolist()
        for row, name in enumerate(names):
            own = new[row * n : (row + 1) * n]
            answers[name] = [list(takewhile(lambda token: token not in ends, tokens)) for tokens in own]
    return answers


def greedy_answers(engine: InferenceEngine, setting: Setting) -> dict[str, list[int]]:
    """Tokens of our greedy answers."""
    answers = {}
    for part in setting.prompts.by_shots(setting.questions):
        found = engine.generate(
            [setting.prompts.query(question).token_ids for question in part],
            [question.id for question in part],
            n=1,
            temperature=0,
            max_new_tokens=setting.config.max_new_tokens,
            end_token_ids=setting.prompts.end_token_ids(is_chat=False),
        )
        answers |= {question.id: own[0] for question, own in zip(part, found, strict=True)}
    return answers


def seconds_of_trial(model: PreTrainedModel, setting: Setting, batch_size: int) -> float:
    """Of ``generate`` on the trial's questions, after one batch of one question."""
    questions = setting.questions[: setting.n_trial]
    generate(model, setting, questions[:1], 1)
    start = time.perf_counter()
    generate(model, setting, questions, batch_size)
    return time.perf_counter() - start


def mean_shares(turns: Sequence[Shares]) -> Shares:
    """Over the turns."""
    return {name: statistics.mean(turn[name] for turn in turns) for name in turns[0]}


def records_of(
    seconds: Mapping[str, Sequence[float]], right: Mapping[str, Sequence[Shares]], n: int
) -> list[dict[str, Any]]:
    """Of each job; times as multiples of the first one's, right samples beside those of ``generate``, the last one."""
    means = {name: mean_shares(turns) for name, turns in right.items()}
    first, theirs = statistics.median(next(iter(seconds.values()))), means["generate"]
    records = []
    for name, turns in seconds.items():
        taken = statistics.median(turns)
        differences = [means[name][question] - share for question, share in theirs.items()]
        records.append(
            {
                "name": name,
                "n": n,
                "seconds_of_turns": turns,
                "questions_per_second": n / taken,
                "time_ratio_to_first": taken / first,
                "right": statistics.mean(means[name].values()),
                "right_minus_generate": statistics.mean(differences),
                "half_interval": float(t.ppf(0.975, n - 1)) * statistics.stdev(differences) / math.sqrt(n),
            }
        )
    return records


def cells(one: dict[str, Any]) -> list[str]:
    """A record as a row of the table."""
    difference = f"{100 * one['right_minus_generate']:+.1f} ± {100 * one['half_interval']:.1f}"
    return [
        one["name"],
        f"{one['questions_per_second']:.2f}",
        f"{one['time_ratio_to_first']:.2f}",
        f"{100 * one['right']:.1f}",
        "" if one["name"] == "generate" else difference,
    ]


if __name__ == "__main__":
    typer.run(main)
