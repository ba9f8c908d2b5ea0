"""MMLU (Hendrycks et al., arXiv 2009.03300): exam questions of 57 subjects with four options.

A folder holds one CSV file for each subject and split, either as the authors publish them (no header: question, four
options, letter) or as GRAIT and CRaFT preprocess them (header: id, lang, question, A, B, C, D, target). A few
questions have options of equal text, and in some of these one of them is the key; they are kept, with the key's place.
"""

from collections import Counter
from dataclasses import replace
from importlib import resources
from itertools import chain
from pathlib import Path
from types import MappingProxyType

import yaml

from grait.config import ColumnsConfig
from grait.data.catalog import KNOWN_SETS
from grait.data.files import Source
from grait.data.questions import Reader
from grait.data.rows import Rows, column_names, csv_cells, named_cells, needed, shown
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
    known = KNOWN_SETS["mmlu"]
    if folder is not None:
        reader, rows = Reader(ColumnsConfig(answer_letter="target"), known), _from_folder(Path(folder) / split, split)
    else:
        reader, rows = Reader(ColumnsConfig(answer_index="answer"), known), _from_hub(split, revision)
    questions = reader.read(Source("", "", rows), "", None, str).questions
    missing = {*SUBJECTS} - {question.subject for question in questions}
    if missing:
        named = column_names(sorted(map(topic_of, missing)))
        raise DataError(f"mmlu, {split}: {len(missing)} subjects are not there: {named}")
    return [
        replace(question, subject=None, topic=topic_of(question.subject), group=GROUP_OF[question.subject])
        for question in questions
        if question.subject
    ]


def _from_folder(folder: Path, split: str) -> Rows:
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; expected the {split} files of MMLU's {len(SUBJECTS)} subjects in it"
        )
    files = {path.name for path in folder.iterdir() if path.suffix == ".csv" and not path.name.startswith(".")}
    expected = {f"{subject}_{split}.csv": subject for subject in SUBJECTS}
    if missing := sorted(expected.keys() - files):
        has = f"has {len(expected) - len(missing)} of the {len(expected)} subjects"
        raise DataError(f"{folder}: {has}; missing {column_names(missing)}")
    if unknown := sorted(files - expected.keys()):
        raise DataError(f"{folder}: {column_names(unknown)} is no subject of MMLU; remove it or correct its name")
    return chain.from_iterable(_from_file(folder / name, subject, split) for name, subject in expected.items())


def _from_file(path: Path, subject: str, split: str) -> Rows:
    columns = ["question", *LETTERS, "target"]
    rows = ((f"{path}, line {line}", [cell.strip() for cell in cells]) for line, cells in csv_cells(str(path)))
    where, header = next(rows, ("", []))
    first = []
    if header and not set(columns) <= set(header):
        if len(header) != len(columns):
            raise DataError(
                f"{where}: expected the header id, {', '.join(columns)}, or no header and {len(columns)} cells; "
                f"found {column_names(header)}"
            )
        first, header = [(where, header)], columns
    number = -1
    for number, (where, cells) in enumerate(chain(first, rows)):
        row = named_cells(where, header, cells)
        own = {name: needed(row, name, where) for name in columns}
        yield where, {"id": row.get("id") or f"{subject}/{split}/{number}", "subject": subject, **own}
    if number < 0:
        raise DataError(f"{path}: holds no question")


def _from_hub(split: str, revision: str | None) -> Rows:
    counted: Counter[str] = Counter()
    for where, row in rows_from_hub(KNOWN_SETS["mmlu"], split, revision):
        own = {name: needed(row, name, where) for name in ("subject", "choices", "question", "answer")}
        subject, options = own["subject"], own["choices"]
        if subject not in GROUP_OF:
            raise DataError(f"{where}: `subject` is {shown(subject)}, which is no subject of MMLU")
        if not isinstance(options, list) or len(options) != len(LETTERS):
            raise DataError(f"{where}: `choices` has to be a list of {len(LETTERS)} options, found {shown(options)}")
        yield where, {"id": f"{subject}/{split}/{counted[subject]}", **own}
        counted[subject] += 1
