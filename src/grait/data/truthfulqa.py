"""TruthfulQA as options (arXiv 2109.07958): questions that many people answer wrong, with true and false answers.

MC1 has one true option, MC2 the true and false ones that the authors collected.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grait.data.catalog import KNOWN_SETS
from grait.data.options import option_order
from grait.data.rows import checked_text, json_rows, needed, shown
from grait.data.sources import local_file, rows_from_hub
from grait.errors import DataError
from grait.records import Question

COLUMNS = ("mc1_targets", "mc2_targets")

Targets = tuple[tuple[str, bool], ...]
"""Options with whether they are true."""


@dataclass(frozen=True)
class Truth:
    """A question with both its lists of options, in the set's order."""

    id: str
    question: str
    mc1: Targets
    mc2: Targets

    @property
    def as_options(self) -> Question:
        """Of MC1, in an order that depends on the id only: the set has the true option first."""
        texts = [self.mc1[place] for place in option_order(self.id, len(self.mc1))]
        right = [is_true for _, is_true in texts].index(True)
        choices = tuple(text for text, _ in texts)
        return Question(self.id, self.question, (choices[right],), choices, answer_place=right)


def load(folder: str | None, revision: str | None) -> list[Truth]:
    """All questions, from the hub or from the authors' ``mc_task.json``. DataError for rows of another shape."""
    known = KNOWN_SETS["truthfulqa"]
    local = None if folder is None else str(local_file(folder, known.names))
    found = []
    for number, (where, row) in enumerate(json_rows(local) if local else rows_from_hub(known, "test", revision)):
        question = checked_text(needed(row, "question", where), "question", where)
        mc1, mc2 = (_targets(needed(row, column, where), column, where) for column in COLUMNS)
        if (n_true := sum(is_true for _, is_true in mc1)) != 1:
            raise DataError(f"{where}: `{COLUMNS[0]}` has {n_true} true options; expected 1")
        found.append(Truth(f"truthfulqa/{number}", question, mc1, mc2))
    if not found:
        raise DataError(f"{known.name}: holds no question")
    return found


def _targets(value: Any, column: str, where: str) -> Targets:
    """Texts with 1 for true and 0 for false, beside each other in two lists (the hub) or as an object (the authors)."""
    pairs: list[tuple[Any, Any]] = list(value.items()) if isinstance(value, Mapping) else []
    if isinstance(value, Mapping) and value.keys() == {"choices", "labels"}:
        texts, labels = value["choices"], value["labels"]
        are_lists = isinstance(texts, list) and isinstance(labels, list) and len(texts) == len(labels)
        pairs = list(zip(texts, labels, strict=True)) if are_lists else []
    if not all(label in (0, 1) for _, label in pairs) or {label for _, label in pairs} != {0, 1}:
        raise DataError(f"{where}: `{column}` has to hold true (1) and false (0) options, found {shown(value)}")
    return tuple((checked_text(text, column, where), label == 1) for text, label in pairs)
