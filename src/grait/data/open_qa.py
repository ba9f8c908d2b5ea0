"""Free-text sets: TriviaQA (arXiv 1705.03551), NQ-Open (arXiv 1906.00300) and PopQA (arXiv 2212.10511).

TriviaQA and NQ come as JSON or JSON lines. An object has a question; an id, qid or question_id, or none (the row's
number is then its id); and its answers as

- ``answer`` (text) and ``answers`` (a list), or one of them: the files of GRAIT's and CRaFT's preprocessing;
- ``answer`` as a list: NQ-Open's own files, and the hub;
- ``answer`` with ``value`` and ``aliases``: TriviaQA on the hub.

Questions stay as they are: those of NQ have no question mark.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from grait.data.catalog import KNOWN_SETS
from grait.data.rows import checked_text, column_names, csv_rows, needed, shown, type_name
from grait.data.sources import PlacedRows, gather, local_file, rows_from_hub, rows_of, shuffled
from grait.errors import DataError
from grait.records import Question

_IDS = ("id", "qid", "question_id")


def load_triviaqa(split: str, folder: str | None = None, revision: str | None = None) -> list[Question]:
    """Questions in the set's order. Where no ``answer`` is given apart, the first alias with a letter or digit leads.

    Preprocessed alias lists have no order: some begin with a pictogram, which no one would teach as the answer.
    """
    return _load("triviaqa", split, folder, revision, [f"{split}.jsonl", f"{split}.json"])


def load_nq(split: str, folder: str | None = None, revision: str | None = None) -> list[Question]:
    """Questions in the set's order; the first answer is the reference answer."""
    return _load("nq", split, folder, revision, [f"{split}.jsonl", f"{split}.json", f"NQ-open.{split}.jsonl"])


def _load(name: str, split: str, folder: str | None, revision: str | None, files: Sequence[str]) -> list[Question]:
    rows = rows_of(KNOWN_SETS[name], split, folder, revision, files)
    return gather(f"{name}, {split}", _questions(rows, f"{name}/{split}"))


def _questions(rows: PlacedRows, prefix: str) -> Iterator[tuple[str, Question]]:
    for number, (where, row) in enumerate(rows):
        text = checked_text(needed(row, "question", where), "question", where)
        assert isinstance(row, Mapping)
        column = next((column for column in _IDS if row.get(column) is not None), None)
        question_id = f"{prefix}/{number}" if column is None else checked_text(row[column], column, where)
        yield where, Question(id=question_id, question=text, answers=_answers(row, where))


def _answers(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Reference answer first, then the other aliases, each once."""
    answer, more = row.get("answer"), row.get("answers")
    if answer is None and more is None:
        raise DataError(f"{where}: has no `answer` and no `answers`; found {column_names(list(row))}")
    first: list[str] = []
    if isinstance(answer, Mapping):
        first, more = [checked_text(needed(answer, "value", where), "value", where)], answer.get("aliases")
    elif isinstance(answer, list):
        more = [*answer, *(more or [])]
    elif answer is not None:
        first = [checked_text(answer, "answer", where)]
    if more is not None and not isinstance(more, list):
        raise DataError(f"{where}: `answers` has to be a list of texts, found {type_name(more)} ({shown(more)})")
    others = [checked_text(alias, "answers", where) for alias in more or []]
    if not first:
        readable = next((alias for alias in others if any(map(str.isalnum, alias))), None)
        first = [] if readable is None else [readable]
    answers = tuple(dict.fromkeys([*first, *others]))
    if not answers:
        raise DataError(f"{where}: `answers` is an empty list; give at least one answer")
    return answers


def load_popqa(split: str, folder: str | None = None, revision: str | None = None) -> list[Question]:
    """Questions in a fixed shuffled order, because the set is sorted by relation.

    ``relation`` and ``subject`` are the set's ``prop`` and ``subj``. ``popularity`` is the rank of ``s_pop`` (monthly
    page views of the subject) among all questions, 0 the rarest and 1 the best known; ties share their mean rank.
    """
    known = KNOWN_SETS["popqa"]
    rows = rows_from_hub(known, known.splits[split], revision) if folder is None else _tsv_rows(folder)
    found: list[tuple[str, Question]] = []
    views: list[float] = []
    for where, row in rows:
        found.append((where, _popqa_question(row, where)))
        views.append(_number(needed(row, "s_pop", where), where))
    questions = gather(f"popqa, {split}", found)
    ranked = zip(questions, ranks(views), strict=True)
    return shuffled(replace(question, popularity=rank) for question, rank in ranked)


def _tsv_rows(folder: str) -> PlacedRows:
    path = local_file(folder, ["popQA.tsv", "test.tsv"])
    for line, row in csv_rows(str(path), _check_popqa, delimiter="\t"):
        yield f"{path}, line {line}", row


def _check_popqa(where: str, names: list[str]) -> None:
    wanted = ("id", "subj", "prop", "s_pop", "question", "possible_answers")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(f"{where}: has no column {', '.join(missing)}; found {column_names(names)}")


def _popqa_question(row: object, where: str) -> Question:
    cell = needed(row, "possible_answers", where)
    try:
        answers = json.loads(cell) if isinstance(cell, str) else cell
    except (ValueError, RecursionError):
        raise DataError(f"{where}: `possible_answers` is no JSON list ({shown(cell)})") from None
    if not isinstance(answers, list) or not answers:
        raise DataError(f"{where}: `possible_answers` has to be a list of at least one text, found {shown(cell)}")
    texts = [checked_text(answer, "possible_answers", where) for answer in answers]
    return Question(
        id=f"popqa/{checked_text(needed(row, 'id', where), 'id', where)}",
        question=checked_text(needed(row, "question", where), "question", where),
        answers=tuple(dict.fromkeys(texts)),
        relation=checked_text(needed(row, "prop", where), "prop", where),
        subject=checked_text(needed(row, "subj", where), "subj", where),
    )


def _number(value: object, where: str) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise DataError(f"{where}: `s_pop` is {shown(value)}; expected a number of page views")
    return number


def ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value from 0 (lowest) to 1 (highest), ties sharing their mean; 0.5 where all are equal."""
    counts = Counter(values)
    ordered = sorted(counts)
    ends = accumulate(counts[value] for value in ordered)
    middle = {value: end - (counts[value] + 1) / 2 for value, end in zip(ordered, ends, strict=True)}
    return [middle[value] / (len(values) - 1) if len(values) > 1 else 0.5 for value in values]
