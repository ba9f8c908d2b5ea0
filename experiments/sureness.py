"""Which of a tuned model's probabilities tells known from unknown questions?

``python -m experiments.sureness RUN SYSTEM ...`` asks systems of a WorldFacts run (those with an adapter, trials
included, and ``init-basic``) the 800 validation questions of ``experiments.selection``, or with ``--dataset`` those of
a test set of the run, each both freely and with the refusal's first token suppressed, so that every question has an
answer. Of each system, with questions answered in the order of a score, over-refusal where 6, 10 and 15% of all are
answered wrong, and the best THS of any threshold:

- ``refusal``: log-probability of the refusal, as in every evaluation;
- ``odds``: that less the log-probability of the answer;
- ``answer``: minus the log-probability of the answer.

AUROC over all pairs of a question that the initial model answers right and one that it does not, and over those of
one relation. Nothing is written.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.selection import VALIDATION
from experiments.within import within
from grait.evaluation.metrics import refusal_auroc
from grait.judging.outcomes import judge
from grait.methods.catalog import INIT_BASIC
from grait.model.engine import Engine
from grait.model.prompts import PromptFormat
from grait.pipeline.finished import finished_adapter, open_run
from grait.pipeline.workbench import Workbench
from grait.records import Asked, Outcome, Question

WRONG = (0.06, 0.10, 0.15)


@dataclass(frozen=True)
class Reply:
    """``outcome``: of the greedy output; ``answer``: of the one that does not begin as the refusal. Log-probabilities
    in nats, summed over tokens."""

    outcome: Outcome
    answer: Outcome
    refusal_logprob: float
    answer_logprob: float


def replies(
    engine: Engine, prompts: PromptFormat, questions: list[Question], asked: Asked, max_new_tokens: int
) -> dict[str, Reply]:
    found: dict[str, Reply] = {}
    phrases = prompts.config.all_refusal_phrases
    for part in prompts.asked_together(questions, asked):
        shown = [prompts.query(one) if asked == "query" else prompts.prompt(one, "refuse") for one in part]
        tokens = [prompt.token_ids for prompt in shown]
        both = engine.answers_both_ways(
            tokens,
            [prompts.completion(prompt, prompts.config.refusal).token_ids for prompt in shown],
            max_new_tokens=max_new_tokens,
            end_token_ids=prompts.end_token_ids(shown[0].is_chat),
        )
        texts = [prompts.decode(suppressed) for _, suppressed, _ in both]
        completions = [[prompts.completion(prompt, text).token_ids] for prompt, text in zip(shown, texts, strict=True)]
        logprobs = engine.completion_logprobs(tokens, completions)
        for question, (free, _, refusal), text, (answer,) in zip(part, both, texts, logprobs, strict=True):
            found[question.id] = Reply(
                judge(prompts.decode(free), question, phrases),
                judge(text, question, phrases),
                sum(refusal),
                sum(answer),
            )
    return found


def ask(bench: Workbench, system: str, questions: list[Question]) -> dict[str, Reply]:
    adapter = None if system == INIT_BASIC else finished_adapter(bench, system)
    asked: Asked = "query" if adapter is None else "refuse"
    with bench.engine(adapter) as engine:
        return replies(engine, bench.prompts, questions, asked, bench.config.evaluation.max_new_tokens)


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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("systems", nargs="+")
    parser.add_argument("--dataset", default=VALIDATION.title, help="validation, or the name of a test set of the run")
    arguments = parser.parse_args()
    bench = open_run(arguments.run)
    known_sets = {row.title: row for row in [VALIDATION, *bench.config.evaluation.datasets]}
    evaluation = bench.config.evaluation.model_copy(update={"datasets": [known_sets[arguments.dataset]]})
    bench = replace(bench, config=bench.config.model_copy(update={"evaluation": evaluation}))
    questions = list(bench.test_sets[arguments.dataset])
    relations = {question.id: question.relation or "" for question in questions}
    base = ask(bench, INIT_BASIC, questions)
    initial = {id_: reply.outcome for id_, reply in base.items()}
    known = np.array([outcome == "correct" for outcome in initial.values()])
    print("| system | score | AUROC | within relations | over-refusal at Pw 6 / 10 / 15 | best THS |")
    print("| --- | --- | --- | --- | --- | --- |")
    for system in arguments.systems:
        of = base if system == INIT_BASIC else ask(bench, system, questions)
        right = np.array([of[id_].answer == "correct" for id_ in initial])
        for name, refusal, answer in (("refusal", 1, 0), ("odds", 1, -1), ("answer", 0, -1)):
            scores = {id_: refusal * of[id_].refusal_logprob + answer * of[id_].answer_logprob for id_ in initial}
            refused, best = along(np.array(list(scores.values())), right, known)
            areas = refusal_auroc(scores, initial), within(scores, initial, relations)
            shares = " / ".join(f"{100 * share:.1f}" for share in refused)
            print(
                f"| {system} | {name} | {100 * areas[0]:.1f} | {100 * areas[1]:.1f} | {shares} | {100 * best:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
