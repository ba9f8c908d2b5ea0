"""Metrics of questions with a text, by quadrant: does the model know the answer, and does the text hold it?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from grait.judging.judges import Judge, ToJudge
from grait.judging.matching import normalize
from grait.methods.policy import lesson
from grait.records import ContextPolicy, Outcome, Prediction, QuadrantRecord, Question


def summarize_quadrants(
    method: str,
    dataset: str,
    questions: Sequence[Question],
    rows: Sequence[Prediction],
    initial: Sequence[Prediction],
    knows: Mapping[str, bool],
    policy: ContextPolicy,
    refusal: str,
    judge: Judge,
) -> list[QuadrantRecord]:
    """One record for each quadrant that has questions, of those that both ``rows`` and ``initial`` answer.

    What the ``judge`` has no verdict on is left out.

    ``initial``: the initial model's answers with the text; ``knows``: whether it is right without it, by id; False for
    what is not there. ``refusal``: the words for "not in the text".
    """
    by_id = {question.id: question for question in questions if question.context}
    own = {row.id: row for row in rows}
    before = {row.id: row for row in initial}
    ids = [name for name in by_id if name in own and name in before]
    of_all = [
        by_references([part[name] for name in ids], [by_id[name] for name in ids], judge) for part in (own, before)
    ]
    outcomes = {name: (now, was) for name, now, was in zip(ids, *of_all, strict=True) if now and was}
    records = []
    for holds in (True, False):
        for known in (True, False):
            members = [
                name for name in outcomes if (knows.get(name, False), bool(by_id[name].holds_answer)) == (known, holds)
            ]
            if not members:
                continue
            after, first = [outcomes[name][0] for name in members], [outcomes[name][1] for name in members]
            wanted, n = lesson(known, holds, policy), len(members)
            kept = [now for was, now in zip(first, after, strict=True) if was == "correct"]
            by_text = sum(
                now == "refused" and says(own[name].output, refusal) for name, now in zip(members, after, strict=True)
            )
            records.append(
                QuadrantRecord(
                    method,
                    dataset,
                    known,
                    holds,
                    wanted,
                    n,
                    right=after.count("correct") / n,
                    wrong=after.count("wrong") / n,
                    refused=after.count("refused") / n,
                    refused_by_text=by_text / n,
                    over_refusal=kept.count("refused") / len(kept) if kept and wanted == "answer" else None,
                )
            )
    return records


def by_references(rows: Sequence[Prediction], questions: Sequence[Question], judge: Judge) -> list[Outcome | None]:
    """The outcomes by all references, also by those that the policy does not count. None: the judge has no verdict."""
    again = [
        ToJudge(replace(question, answers=question.beyond, beyond=()), row.output)
        for row, question in zip(rows, questions, strict=True)
        if _is_judged_again(row, question)
    ]
    verdicts = iter(judge(again))
    return [
        next(verdicts) if _is_judged_again(row, question) else row.outcome
        for row, question in zip(rows, questions, strict=True)
    ]


def _is_judged_again(row: Prediction, question: Question) -> bool:
    return row.outcome == "wrong" and bool(question.beyond)


def says(output: str, refusal: str) -> bool:
    """Whether an output holds the words of a refusal, without case, accents and signs."""
    words, wanted = (normalize(text, keep_articles=True).split() for text in (output, refusal))
    return any(words[place : place + len(wanted)] == wanted for place in range(len(words) - len(wanted) + 1))
