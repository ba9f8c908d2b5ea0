"""A user's own questions, from JSON Lines, JSON, CSV, parquet or the Hugging Face hub.

Each row is checked as it is read; the first bad one stops the reading with a message that says where it is and what to
do. Rows are never repaired in silence and never left out.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal, cast

from grait.data.rows import (
    CheckColumns,
    Rows,
    checked_text,
    column_names,
    csv_rows,
    hub_rows,
    json_rows,
    jsonl_rows,
    one_line,
    parquet_rows,
    shown,
    type_name,
)
from grait.errors import DataError
from grait.records import Question

COLUMNS = ("id", "question", "answer", "answers", "choices", "match", "relation", "subject", "group", "popularity")
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")

_HUB_ID = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::(?P<config>[\w.-]+))?")


def read_questions(
    path: str, split: str | None = None, limit: int | None = None, revision: str | None = None
) -> list[Question]:
    """The questions of a file (``.jsonl``, ``.json``, ``.csv``, ``.parquet``, in UTF-8) or a hub data set.

    ``path``: a file, or a hub id ``owner/name``, ``owner/name:config`` where the data set has configurations; a path
    that exists on disk is never looked for on the hub. ``split``: only for the hub; needed where the data set has more
    than one. ``limit``: read and check only the first rows; at least 1. ``revision``: only for the hub; a commit, a tag
    or a branch.

    Columns, all others are ignored:

    - ``question``: text, needed.
    - ``answer`` (one) or ``answers`` (a list, or one text), at least one of the two; with both, ``answer`` comes first
      and repeated ones count once. In CSV a cell that begins with ``[`` and ends with ``]`` is a JSON list.
    - ``choices``: a list of 2 to 26 different option texts (in CSV a JSON list). The first answer must be one of them,
      literally. Only if it is not, a letter (``B``, ``b``) or a 0-based index (``1``) is taken to name an option; so
      with the options 1, 2, 3 the answer ``1`` is the option text. No second answer may be another option.
    - ``id``: text or integer, unique; ``{stem}-{row}`` with rows counted from 1 where it is absent.
    - ``match``: ``normalized`` (default) or ``exact``; ``popularity``: 0 to 1; ``relation``, ``subject``: text;
      ``group``: text by which results are broken down.

    Integers among texts become text; an empty CSV cell and a JSON null are absent; surrounding blanks are dropped.
    Equal questions under different ids are kept. Files are read row by row (JSON text is held once, parquet in
    batches). Raises DataError, one line, for anything else.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}; expected at least 1, or none to read all rows")
    unit, stem, rows, is_csv = open_rows(path, split, revision, COLUMNS, _check_columns)
    questions: list[Question] = []
    seen: dict[str, int] = {}
    for row_number, (position, row) in enumerate(rows, 1):
        where = f"{path}, {unit} {position}"
        question = _question(row, where, f"{stem}-{row_number}", is_csv)
        if question.id in seen:
            raise DataError(
                f"{where}: the id {shown(question.id)} was already used in {unit} {seen[question.id]}; "
                "give each question its own id, or leave the id out"
            )
        seen[question.id] = position
        questions.append(question)
        if limit is not None and len(questions) == limit:
            break
    if not questions:
        raise DataError(f"{path}: holds no question; expected at least one row with `question` and `answers`")
    return questions


def open_rows(
    path: str, split: str | None, revision: str | None, columns: Sequence[str], check_columns: CheckColumns
) -> tuple[Literal["line", "row"], str, Rows, bool]:
    """(what positions count, stem for made ids, rows, whether cells are CSV text) of a file or hub data set."""
    file = Path(path)
    suffix = file.suffix.lower()
    known = ", ".join(SUFFIXES)
    try:
        exists, is_dir = file.exists(), file.is_dir()
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(path)}: is no usable path ({one_line(error)})") from None
    if is_dir:
        raise DataError(
            f"{path}: is a folder; name one file in it ({known}), or the data set that it holds and the folder apart "
            "(path: mmlu, folder: ...)"
        )
    if not exists:
        hub = _HUB_ID.fullmatch(path)
        if hub is None or suffix in SUFFIXES or file.parent.exists():
            raise DataError(
                f"{path}: no such file; check the path (a hub data set is named owner/name, "
                "`grait datasets` lists those that go by a short name)"
            )
        rows = hub_rows(path, hub["name"], hub["config"], split, revision, streaming=True)
        return "row", hub["name"].split("/")[1], rows, False
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: unknown suffix {shown(suffix)}; expected one of {known}")
    if split is not None:
        raise DataError(f"{path}: split {shown(split)} was asked of a file; splits exist only for hub data sets")
    if revision is not None:
        raise DataError(f"{path}: revision {shown(revision)} was asked of a file; only hub data sets have revisions")
    try:
        if file.stat().st_size == 0:
            raise DataError(f"{path}: is empty; expected questions")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)})") from None
    if suffix == ".jsonl":
        return "line", file.stem, jsonl_rows(path), False
    if suffix == ".json":
        return "line", file.stem, json_rows(path), False
    if suffix == ".csv":
        return "line", file.stem, csv_rows(path, check_columns), True
    return "row", file.stem, parquet_rows(path, columns, check_columns), False


def _check_columns(where: str, names: list[str]) -> None:
    found = column_names(names)
    if "question" not in names:
        raise DataError(f"{where}: has no column `question`; found {found}")
    if "answer" not in names and "answers" not in names:
        raise DataError(f"{where}: has no column `answers` or `answer`; found {found}")
    twice = sorted({name for name in names if name in COLUMNS and names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: has the column `{twice[0]}` twice; found {found}")


def _question(row: object, where: str, made_id: str, is_csv: bool) -> Question:
    if not isinstance(row, Mapping):
        hint = "; a file that holds one list is named .json" if isinstance(row, list) else ""
        raise DataError(f"{where}: expected an object with `question` and `answers`, found {type_name(row)}{hint}")
    keys = column_names(list(row))
    if row.get("question") is None:
        raise DataError(f"{where}: has no `question`; found {keys}")
    if row.get("answer") is None and row.get("answers") is None:
        raise DataError(f"{where}: has no `answers` and no `answer`; found {keys}")
    text = checked_text(row["question"], "question", where)
    answers = []
    if row.get("answer") is not None:
        answers.append(checked_text(row["answer"], "answer", where))
    if row.get("answers") is not None:
        answers += _texts(row["answers"], "answers", where, is_csv, single=True)
    if not answers:
        raise DataError(f"{where}: `answers` is an empty list; give at least one answer")
    choices: list[str] = []
    if row.get("choices") is not None:
        choices = _texts(row["choices"], "choices", where, is_csv, single=False)
    if choices:
        answers[0] = _chosen(answers[0], choices, where)
        other = next((answer for answer in answers[1:] if answer != answers[0] and answer in choices), None)
        if other is not None:
            raise DataError(
                f"{where}: the answers {shown(answers[0])} and {shown(other)} are both options; only one may be right"
            )
    match = row.get("match")
    if match is not None and match not in ("normalized", "exact"):
        raise DataError(f"{where}: `match` is {shown(match)}; expected normalized or exact")
    return Question(
        id=made_id if row.get("id") is None else checked_text(row["id"], "id", where),
        question=text,
        answers=tuple(dict.fromkeys(answers)),
        choices=tuple(choices),
        match=cast(Literal["normalized", "exact"], match or "normalized"),
        relation=_optional_text(row, "relation", where),
        subject=_optional_text(row, "subject", where),
        group=_optional_text(row, "group", where),
        popularity=_popularity(row.get("popularity"), where, is_csv),
    )


def _optional_text(row: Mapping[str, Any], column: str, where: str) -> str | None:
    return None if row.get(column) is None else checked_text(row[column], column, where)


def _texts(value: Any, column: str, where: str, is_csv: bool, single: bool) -> list[str]:
    """A list of texts. ``single``: one text alone is a list of one. In CSV a cell in brackets is a JSON list."""
    if is_csv and isinstance(value, str):
        cell = value.strip()
        if cell.startswith("[") and cell.endswith("]"):
            try:
                value = json.loads(cell)
            except (ValueError, RecursionError):
                raise DataError(
                    f'{where}: `{column}` is no valid JSON list ({shown(cell)}); write ["a", "b"] with double quotes'
                ) from None
    if single and isinstance(value, str | int) and not isinstance(value, bool):
        return [checked_text(value, column, where)]
    if not isinstance(value, list):
        wanted = 'a JSON list such as ["a", "b"]' if is_csv else "a list of texts"
        raise DataError(f"{where}: `{column}` has to be {wanted}, found {type_name(value)} ({shown(value)})")
    return [checked_text(item, column, where) for item in value]


def _chosen(answer: str, choices: list[str], where: str) -> str:
    """The option that an answer means: its text, else its letter or 0-based index (see ``read_questions``)."""
    if not 2 <= len(choices) <= len(ascii_uppercase):
        raise DataError(f"{where}: `choices` has {len(choices)} options; expected 2 to {len(ascii_uppercase)}")
    twice = next((choice for choice in choices if choices.count(choice) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: the option {shown(twice)} stands in `choices` twice; options have to differ")
    if answer in choices:
        return answer
    index = -1
    if len(answer) == 1 and answer.upper() in ascii_uppercase:
        index = ascii_uppercase.index(answer.upper())
    elif re.fullmatch("[0-9]{1,2}", answer):
        index = int(answer)
    if not 0 <= index < len(choices):
        raise DataError(
            f"{where}: the answer {shown(answer)} is not among the {len(choices)} choices; give the option's text, its "
            "letter (from A) or its index (from 0)"
        )
    return choices[index]


def _popularity(value: Any, where: str, is_csv: bool) -> float | None:
    if value is None:
        return None
    number = value
    if is_csv:
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 1:
        raise DataError(f"{where}: `popularity` is {shown(value)}; expected a number from 0 (rarest) to 1 (best known)")
    return float(number)
