"""MMLU (Hendrycks et al., arXiv 2009.03300): exam questions of 57 subjects with four options.

A folder holds one CSV file for each subject and split, either as the authors publish them (no header: question, four
options, letter) or as GRAIT and CRaFT preprocess them (header: id, lang, question, A, B, C, D, target). A few
questions have options of equal text, and in some of these one of them is the key; they are kept, with the key's place.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from grait.data.catalog import KNOWN_SETS
from grait.data.rows import checked_text, column_names, csv_cells, named_cells, needed, shown, type_name
from grait.data.sources import rows_from_hub, shuffled
from grait.errors import DataError
from grait.records import Question

LETTERS = ("A", "B", "C", "D")
SHOTS_SPLIT = "dev"

GROUPS = yaml.safe_load(resources.files("grait.data").joinpath("mmlu_subjects.yaml").read_text("utf-8"))
GROUP_OF = MappingProxyType({subject: group for group, subjects in GROUPS.items() for subject in subjects})
SUBJECTS = tuple(sorted(GROUP_OF))


def load(split: str, folder: str | None = None, revision: str | None = None) -> list[Question]:
    """Questions of ``val`` or ``test``, all subjects mixed in a fixed shuffled order."""
    return shuffled(_load(split, folder, revision))


def load_shots(folder: str | None = None, revision: str | None = None) -> list[Question]:
    """The solved examples: the ``dev`` split, five questions of each subject, in its order."""
    return _load(SHOTS_SPLIT, folder, revision)


def topic_of(subject: str) -> str:
    """A subject as prompts name it."""
    return " ".join("US" if word == "us" else word for word in subject.split("_"))


def _load(split: str, folder: str | None, revision: str | None) -> list[Question]:
    if folder is not None:
        return _gather(folder, _from_folder(Path(folder) / split, split))
    questions = _gather("mmlu", _from_hub(split, revision))
    missing = {topic_of(subject) for subject in SUBJECTS} - {question.topic for question in questions}
    if missing:
        raise DataError(f"mmlu, {split}: {len(missing)} subjects are not there: {column_names(sorted(missing))}")
    return questions


def _from_folder(folder: Path, split: str) -> Iterator[tuple[str, Question]]:
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; expected the {split} files of MMLU's {len(SUBJECTS)} subjects in it"
        )
    files = {path.name for path in folder.iterdir() if path.suffix == ".csv" and not path.name.startswith(".")}
    expected = {f"{subject}_{split}.csv": subject for subject in SUBJECTS}
    missing, unknown = sorted(expected.keys() - files), sorted(files - expected.keys())
    if missing:
        raise DataError(
            f"{folder}: has {len(expected) - len(missing)} of the {len(expected)} subjects; missing "
            f"{column_names(missing)}"
        )
    if unknown:
        raise DataError(f"{folder}: {column_names(unknown)} is no subject of MMLU; remove it or correct its name")
    for name, subject in expected.items():
        yield from _from_file(folder / name, subject, split)


def _from_file(path: Path, subject: str, split: str) -> Iterator[tuple[str, Question]]:
    header: list[str] | None = None
    columns = ["question", *LETTERS, "target"]
    number = 0
    for line, cells in csv_cells(str(path)):
        where = f"{path}, line {line}"
        if header is None:
            names = [cell.strip() for cell in cells]
            if set(columns) <= set(names):
                header = names
                continue
            if len(cells) != len(columns):
                raise DataError(
                    f"{where}: expected the header id, {', '.join(columns)}, or no header and {len(columns)} cells; "
                    f"found {column_names(names)}"
                )
            header = columns
        row = named_cells(where, header, cells)
        made_id = f"{subject}/{split}/{number}"
        number += 1
        letter = checked_text(needed(row, "target", where), "target", where)
        if letter not in LETTERS:
            raise DataError(f"{where}: `target` is {shown(letter)}; expected one of {', '.join(LETTERS)}")
        options = [needed(row, name, where) for name in LETTERS]
        question_id = made_id if row.get("id") is None else checked_text(row["id"], "id", where)
        yield (
            where,
            _question(question_id, subject, needed(row, "question", where), options, LETTERS.index(letter), where),
        )
    if number == 0:
        raise DataError(f"{path}: holds no question")


def _from_hub(split: str, revision: str | None) -> Iterator[tuple[str, Question]]:
    counted: Counter[str] = Counter()
    for where, row in rows_from_hub(KNOWN_SETS["mmlu"], split, revision):
        subject = checked_text(needed(row, "subject", where), "subject", where)
        if subject not in GROUP_OF:
            raise DataError(f"{where}: `subject` is {shown(subject)}, which is no subject of MMLU")
        options, place = needed(row, "choices", where), needed(row, "answer", where)
        if not isinstance(options, list) or len(options) != len(LETTERS):
            raise DataError(f"{where}: `choices` has to be a list of {len(LETTERS)} options, found {shown(options)}")
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(LETTERS):
            raise DataError(f"{where}: `answer` has to be a place from 0 to 3, found {type_name(place)} {shown(place)}")
        question_id = f"{subject}/{split}/{counted[subject]}"
        counted[subject] += 1
        yield where, _question(question_id, subject, needed(row, "question", where), options, place, where)


def _gather(source: str, found: Iterable[tuple[str, Question]]) -> list[Question]:
    """The questions in their order. DataError when there is none, or when an id is used twice."""
    questions: list[Question] = []
    places: dict[str, str] = {}
    for where, question in found:
        if question.id in places:
            raise DataError(
                f"{where}: the id {shown(question.id)} was already used ({places[question.id]}); "
                "give each question its own id"
            )
        places[question.id] = where
        questions.append(question)
    if not questions:
        raise DataError(f"{source}: holds no question")
    return questions


def _question(question_id: str, subject: str, text: Any, options: list[Any], place: int, where: str) -> Question:
    choices = tuple(
        checked_text(option, f"option {letter}", where) for letter, option in zip(LETTERS, options, strict=True)
    )
    return Question(
        id=question_id,
        question=checked_text(text, "question", where),
        answers=(choices[place],),
        choices=choices,
        topic=topic_of(subject),
        group=GROUP_OF[subject],
        answer_place=place,
    )
