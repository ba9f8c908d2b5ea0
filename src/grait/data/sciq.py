"""SciQ (Welbl et al., arXiv 1707.06209): crowd-written science questions, one answer and three distractors.

A folder holds the authors' files, each a JSON list of objects: question, correct_answer, distractor1 to distractor3,
support (not read). Both views of a question have the same id.
"""

import hashlib
from collections.abc import Iterator

from grait.data.catalog import KNOWN_SETS
from grait.data.rows import checked_text, needed
from grait.data.sources import PlacedRows, gather, rows_of
from grait.records import Question, View

OPTIONS = ("correct_answer", "distractor1", "distractor2", "distractor3")


def load(split: str, view: View, folder: str | None = None, revision: str | None = None) -> list[Question]:
    """Questions in the set's order. ``mcqa``: the options' order depends on the question's id only."""
    rows = rows_of(KNOWN_SETS["sciq"], split, folder, revision, [f"{split}.json"])
    return gather(f"sciq, {split}", _questions(rows, split, view))


def _questions(rows: PlacedRows, split: str, view: View) -> Iterator[tuple[str, Question]]:
    for number, (where, row) in enumerate(rows):
        question_id = f"sciq/{split}/{number}"
        options = [checked_text(needed(row, column, where), column, where) for column in OPTIONS]
        order = option_order(question_id, len(options)) if view == "mcqa" else []
        yield (
            where,
            Question(
                id=question_id,
                question=checked_text(needed(row, "question", where), "question", where),
                answers=(options[0],),
                choices=tuple(options[i] for i in order),
                answer_place=order.index(0) if order else None,
            ),
        )


def option_order(question_id: str, n: int) -> list[int]:
    """The numbers below n in an order that depends on the id only, uniformly over ids."""
    return sorted(range(n), key=lambda i: hashlib.sha256(f"{question_id}|{i}".encode()).digest())
