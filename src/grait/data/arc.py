"""ARC (Clark et al., arXiv 1803.05457): science questions of school exams, Challenge and Easy.

A folder holds the authors' files, one JSON object per line: id, question (stem and choices, each with text and label),
answerKey. Most questions have the labels A to D; some have 1 to 4, three options or five. The key is looked up among
the question's own labels, so all of them can be answered right: in the published evaluation of CRaFT, which compares
with the letters A to D, the 22 items of ARC-Challenge's test split that have numbers for labels never can.
"""

from collections.abc import Iterator, Mapping
from string import ascii_uppercase

from grait.data.catalog import KnownSet
from grait.data.rows import checked_text, column_names, needed, shown
from grait.data.sources import PlacedRows, gather, rows_of
from grait.errors import DataError
from grait.records import Question


def load(known: KnownSet, split: str, folder: str | None = None, revision: str | None = None) -> list[Question]:
    """Questions in the set's order, options lettered from A. ``known``: the entry of arc-c or arc-e."""
    rows = rows_of(known, split, folder, revision, [f"{known.title}-{split.capitalize()}.jsonl"])
    return gather(f"{known.name}, {split}", _questions(rows))


def _questions(rows: PlacedRows) -> Iterator[tuple[str, Question]]:
    for where, row in rows:
        text, labels, choices = _parts(row, where)
        key = checked_text(needed(row, "answerKey", where), "answerKey", where)
        if not 2 <= len(choices) <= len(ascii_uppercase):
            raise DataError(f"{where}: has {len(choices)} options; expected 2 to {len(ascii_uppercase)}")
        if len(set(labels)) < len(labels):
            raise DataError(f"{where}: the labels {column_names(labels)} are not all different")
        if key not in labels:
            raise DataError(f"{where}: `answerKey` is {shown(key)}, but the options are {column_names(labels)}")
        place = labels.index(key)
        yield (
            where,
            Question(
                id=checked_text(needed(row, "id", where), "id", where),
                question=text,
                answers=(choices[place],),
                choices=tuple(choices),
                answer_place=place,
            ),
        )


def _parts(row: object, where: str) -> tuple[str, list[str], list[str]]:
    """Question, labels and option texts, of the authors' nested form or of the hub's (two lists side by side)."""
    question = needed(row, "question", where)
    nested = isinstance(question, Mapping)
    stem = needed(question, "stem", where) if nested else question
    options = needed(question if nested else row, "choices", where)
    if isinstance(options, Mapping):
        labels, texts = needed(options, "label", where), needed(options, "text", where)
        if not isinstance(labels, list) or not isinstance(texts, list) or len(labels) != len(texts):
            raise DataError(f"{where}: `choices` has to hold as many labels as texts, found {shown(options)}")
    elif isinstance(options, list):
        labels = [needed(option, "label", where) for option in options]
        texts = [needed(option, "text", where) for option in options]
    else:
        raise DataError(f"{where}: `choices` has to be a list of options, found {shown(options)}")
    return (
        checked_text(stem, "question", where),
        [checked_text(label, "label", where) for label in labels],
        [checked_text(text, "text", where) for text in texts],
    )
