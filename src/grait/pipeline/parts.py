"""Answers to many questions, part by part: what is finished is kept, so that a killed stage goes on after it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from grait.errors import ArtifactError
from grait.model.engine import Advance
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, read_rows, write_rows

QUESTIONS = 1000
"""Of one part: minutes of work on a CPU, seconds on a GPU, and enough for batches of questions of similar length."""


class _Row(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=_Row)
Item = TypeVar("Item", bound=_Row)


def in_parts(
    unfinished: Path,
    kind: type[Row],
    groups: Sequence[Sequence[Item]],
    compute: Callable[[list[Item]], list[Row]],
    advance: Advance,
    size: int = QUESTIONS,
) -> dict[str, Row]:
    """``compute``'s row of each question, by id. ``advance`` is told of the questions that are found in ``unfinished``.

    ``groups``: questions with the same shots, which are asked together; parts take them in this order. They do not
    depend on where a run was killed, so that no row does. Several processes share each part. ``size``: of a part.
    """
    rows: dict[str, Row] = {}
    parts = list(_parts([item for group in groups for item in group], size))
    for number, part in enumerate(parts):
        path = unfinished / f"part-{number:05}.parquet"
        found = processes.from_main(_found(path, kind, part) if processes.is_main() else None)
        if found is None:
            own = processes.own(part)
            found = processes.gathered(compute(own) if own else list[Row]())
            if number + 1 < len(parts) and processes.is_main():  # the last one is followed by the stage's own file
                unfinished.mkdir(parents=True, exist_ok=True)
                write_rows(path, found)
        else:
            advance(len(processes.own(part)))
        rows |= {row.id: row for row in found}
    return rows


def stage_rows(
    stage: Stage,
    kind: type[Row],
    items: Sequence[Item],
    compute: Callable[[list[Item], Advance], list[Row]],
    *,
    bar: str,
    unit: str = "questions",
    groups: Sequence[Sequence[Item]] = (),
    size: int = QUESTIONS,
) -> list[Row]:
    """``in_parts`` of a stage, with a progress bar; the rows are in the order of ``items``. ``groups``: default one."""
    with progress.bar(bar, len(processes.own(items)), unit) as advance:
        rows = in_parts(stage.unfinished(), kind, groups or [items], lambda part: compute(part, advance), advance, size)
    return [rows[item.id] for item in items]


def _parts(items: list[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _found(path: Path, kind: type[Row], part: Sequence[_Row]) -> list[Row] | None:
    """The rows of a finished part; None when there are none, or not those of its questions."""
    if not path.exists():
        return None
    try:
        rows = read_rows(path, kind)
    except ArtifactError:
        rows = []
    if [row.id for row in rows] == [question.id for question in part]:
        return rows
    progress.note(f"{path}: damaged, or of other questions; these are asked again")
    return None
