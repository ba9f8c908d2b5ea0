"""Which of a tuned model's probabilities tells known from unknown questions?

``python -m experiments.sureness ask RUN FILE SYSTEM ...`` asks systems of a WorldFacts run (those with an adapter,
trials included, and ``init-basic``) the 800 validation questions of ``experiments.selection``, or with ``--dataset``
those of a test set of the run, each both freely and with the refusal's first token suppressed, so that every question
has an answer. FILE (parquet) gets the judgements and log-probabilities, no text.

``python -m experiments.sureness show FILE ...`` prints means over such files, one for each seed. With questions
answered in the order of a score: AUROC over all pairs of a question that the initial model answers right and one that
it does not, and over those of one relation; over-refusal where 6, 10 and 15% of all are answered wrong; the best THS of
any threshold. The scores:

- ``refusal``: log-probability of the refusal, as in every evaluation;
- ``odds``: that less the log-probability of the answer;
- ``answer``: minus the log-probability of the answer.

Then over-refusal of each system where as many questions are answered wrong as ``--versus`` answers wrong as trained,
as a share of that of ``--versus`` itself, as trained and by the same score; 95% bootstrap intervals over questions.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.equal_wrong import RESAMPLES, Cell, over_refusal_of_answers
from experiments.selection import VALIDATION
from experiments.within import within
from grait.artifacts import read_rows, write_rows
from grait.evaluation.metrics import refusal_auroc
from grait.judging.outcomes import judge
from grait.methods.catalog import INIT_BASIC
from grait.pipeline.evaluation import evaluation
from grait.pipeline.finished import finished_adapter, open_run
from grait.pipeline.workbench import Workbench
from grait.records import Asked, Outcome

WRONG = (0.06, 0.10, 0.15)
SCORES = {"refusal": (1, 0), "odds": (1, -1), "answer": (0, -1)}
"""Factors of the log-probabilities of refusal and answer."""


@dataclass(frozen=True)
class Sure:
    """One system's reply to one question.

    ``initial``: outcome of the initial model; ``outcome``: of the system's greedy output; ``answer``: of the one that
    does not begin as the refusal. Log-probabilities in nats, summed over tokens.
    """

    system: str
    id: str
    relation: str
    initial: Outcome
    outcome: Outcome
    answer: Outcome
    refusal_logprob: float
    answer_logprob: float


def ask(bench: Workbench, system: str, initial: Mapping[str, Outcome]) -> list[Sure]:
    """The replies of a system to the questions of the one data set. ``initial``: outcomes of the initial model."""
    adapter = None if system == INIT_BASIC else finished_adapter(bench, system)
    asked: Asked = "query" if adapter is None else "refuse"
    prompts, found = bench.prompts, []
    phrases = prompts.config.all_refusal_phrases
    (questions,) = bench.test_sets.values()
    with bench.engine(adapter) as engine:
        for part in prompts.asked_together(questions, asked):
            shown = [prompts.query(one) if asked == "query" else prompts.prompt(one, "refuse") for one in part]
            tokens = [prompt.token_ids for prompt in shown]
            both = engine.answers_both_ways(
                tokens,
                [prompts.completion(prompt, prompts.config.refusal).token_ids for prompt in shown],
                max_new_tokens=bench.config.evaluation.max_new_tokens,
                end_token_ids=prompts.end_token_ids(shown[0].is_chat),
            )
            texts = [prompts.decode(suppressed) for _, suppressed, _ in both]
            answers = [[prompts.completion(prompt, text).token_ids] for prompt, text in zip(shown, texts, strict=True)]
            logprobs = engine.completion_logprobs(tokens, answers)
            for question, (free, _, refusal), text, (answer,) in zip(part, both, texts, logprobs, strict=True):
                found.append(
                    Sure(
                        system,
                        question.id,
                        question.relation or "",
                        initial[question.id],
                        outcome=judge(prompts.decode(free), question, phrases),
                        answer=judge(text, question, phrases),
                        refusal_logprob=sum(refusal),
                        answer_logprob=sum(answer),
                    )
                )
    return found


def along(
    scores: NDArray[np.float64], right: NDArray[np.bool_], initial: NDArray[np.bool_]
) -> tuple[list[float], float]:
    """Over-refusal at each of ``WRONG``, and the best THS, both in [0, 1], when the lowest scores are answered.

    ``right``: [questions], the system's answers; ``initial``: whether the initial model's are right.
    """
    order = np.argsort(scores, kind="stable")
    pc, pw = np.cumsum(right[order]) / len(order), np.cumsum(~right[order]) / len(order)
    kept = np.cumsum(initial[order]) / initial.sum()
    refused = [float(1 - kept[pw <= limit].max(initial=0.0)) for limit in WRONG]
    return refused, float(max(0.0, (pc - pw * initial.mean() / (1 - initial.mean())).max()))


def ordered_by(replies: Sequence[Sure], name: str) -> Cell:
    """Every question answered, with its score: higher refuses more readily."""
    refusal, answer = SCORES[name]
    return Cell(
        np.array([refusal * row.refusal_logprob + answer * row.answer_logprob for row in replies]),
        np.array([row.answer != "correct" for row in replies]),
        np.zeros(len(replies), dtype=bool),
    )


def as_trained(replies: Sequence[Sure]) -> Cell:
    """What the system does by itself."""
    return Cell(
        np.array([row.refusal_logprob for row in replies]),
        np.array([row.outcome == "wrong" for row in replies]),
        np.array([row.outcome == "refused" for row in replies]),
    )


def show(files: Sequence[Path], versus: str) -> None:
    seeds: list[dict[str, list[Sure]]] = []
    for path in files:  # replies in the order of the ids, as all that is compared by position
        of: dict[str, list[Sure]] = {}
        for row in read_rows(path, Sure):
            of.setdefault(row.system, []).append(row)
        seeds.append({system: sorted(rows, key=lambda row: row.id) for system, rows in of.items()})
    systems = [system for system in seeds[0] if all(system in seed for seed in seeds)]
    n = len(seeds[0][systems[0]])
    print(f"{n} questions, {len(seeds)} seeds\n")
    print("| system | score | AUROC | within relations | over-refusal at Pw 6 / 10 / 15 | best THS |")
    print("| --- | --- | --- | --- | --- | --- |")
    for system in systems:
        for name in SCORES:
            numbers = np.mean([_numbers(seed[system], name) for seed in seeds], axis=0)
            area, inside, *refused, best = (f"{100 * value:.1f}" for value in numbers)
            print(f"| {system} | {name} | {area} | {inside} | {' / '.join(refused)} | {best} |")
    if versus not in systems:
        return
    print(f"\nOver-refusal at as many wrong answers as {versus} gives as trained\n")
    generator = np.random.default_rng(0)
    draws = [np.arange(n), *generator.integers(n, size=(RESAMPLES, n))]
    trained_of = [(as_trained(seed[versus]), _known(seed[versus])) for seed in seeds]
    for system in systems:
        for name in SCORES:
            cells = [(ordered_by(seed[system], name), ordered_by(seed[versus], name)) for seed in seeds]
            of_seeds = [(*own, *others) for own, others in zip(cells, trained_of, strict=True)]
            rates = np.array(
                [np.mean([_at_wrong_of(*cell, rows) for cell in of_seeds], axis=0) for rows in draws]
            )  # [1 + RESAMPLES, 3]
            own, trained, same = rates[0]
            spans = [np.percentile((rates[:, 0] / rates[:, column])[1:], [2.5, 97.5]) for column in (1, 2)]
            print(
                f"{system:20} by {name:8} {100 * own:.1f}%; {versus} as trained {100 * trained:.1f}%, "
                f"{own / trained:.2f} of it [{spans[0][0]:.2f}, {spans[0][1]:.2f}]; by {name} {100 * same:.1f}%, "
                f"{own / same:.2f} of it [{spans[1][0]:.2f}, {spans[1][1]:.2f}]",
                flush=True,
            )


def _numbers(replies: Sequence[Sure], name: str) -> list[float]:
    initial = {row.id: row.initial for row in replies}
    cell = ordered_by(replies, name)
    scores = dict(zip(initial, cell.scores.tolist(), strict=True))
    refused, best = along(cell.scores, ~cell.wrong, _known(replies))
    relations = {row.id: row.relation for row in replies}
    return [refusal_auroc(scores, initial), within(scores, initial, relations), *refused, best]


def _known(replies: Sequence[Sure]) -> NDArray[np.bool_]:
    return np.array([row.initial == "correct" for row in replies])


def _at_wrong_of(
    one: Cell, other: Cell, trained: Cell, known: NDArray[np.bool_], rows: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Over-refusal of ``one``, of the other as trained, and of the other by the score; of the questions ``rows``."""
    trained, known = trained.of(rows), known[rows]
    pw = float(trained.wrong.mean())
    ours, theirs = (over_refusal_of_answers(cell.of(rows), known, pw) for cell in (one, other))
    return ours, float(trained.refused[known].mean()), theirs


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("ask")
    asking.add_argument("run", type=Path)
    asking.add_argument("file", type=Path)
    asking.add_argument("systems", nargs="+")
    asking.add_argument("--dataset", default=VALIDATION.title, help="validation, or the name of a test set of the run")
    showing = commands.add_parser("show")
    showing.add_argument("files", type=Path, nargs="+")
    showing.add_argument("--versus", default="cor-rait")
    arguments = parser.parse_args()
    if arguments.command == "show":
        show(arguments.files, arguments.versus)
        return
    bench = open_run(arguments.run)
    known_sets = {row.title: row for row in [VALIDATION, *bench.config.evaluation.datasets]}
    if arguments.dataset not in known_sets:
        parser.error(f"--dataset {arguments.dataset}: expected one of {', '.join(known_sets)}")
    dataset = known_sets[arguments.dataset]
    evaluated = bench.config.evaluation.model_copy(update={"datasets": [dataset]})
    bench = replace(bench, config=bench.config.model_copy(update={"evaluation": evaluated}))
    initial = {row.id: row.outcome for row in evaluation(bench, INIT_BASIC, None, dataset)}
    rows = []
    for system in arguments.systems:
        rows += ask(bench, system, initial)
        write_rows(arguments.file, rows)
        print(f"{arguments.file}: {len(rows)} replies")


if __name__ == "__main__":
    main()
