"""Progress of long work on stderr: a bar with rate and time left, or a line now and then where no one can see bars.

Of several processes only the main one speaks, and its bars count its own part.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from grait.runtime import processes
from grait.runtime.printable import printable

SECONDS_BETWEEN_LINES = 20.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")


@contextmanager
def bar(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Yields a function to be told how many more ``unit`` are done."""
    if not processes.is_main():
        yield lambda _: None
        return
    if sys.stderr.isatty():
        columns = (
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task(description, total=total)
            yield lambda n: progress.advance(task, n)
        return
    start = last = time.monotonic()
    done = 0

    def say(now: float) -> None:
        rate = done / max(now - start, 1e-9)
        left = (total - done) / rate if rate else float("inf")
        print(f"  {description}: {done}/{total} {unit}, {rate:.1f}/s, {left:.0f} s left", file=sys.stderr, flush=True)

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done < total:
            last = now
            say(now)

    yield advance
    say(time.monotonic())


def heading(text: str) -> None:
    """A stage heading on stderr."""
    if processes.is_main():
        Console(stderr=True, highlight=False, soft_wrap=True).print(printable(text), style="bold", markup=False)


def note(text: str) -> None:
    """One line under a heading, on stderr."""
    if processes.is_main():
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"  {printable(text)}", markup=False)


def first_few(names: Sequence[str]) -> str:
    """At most five of them, for a note."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
