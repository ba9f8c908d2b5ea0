"""Many requests to a server, several at a time: what is answered is kept, what fails is named and asked again."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from grait.errors import ServerError
from grait.model.engine import Advance
from grait.runtime.journal import Journal

AT_ONCE = 8
"""Requests, where nothing else is said."""

IN_A_ROW = 20
"""After so many failures without a success between them the server is given up."""


class Unanswered(ServerError):
    """``failed``: why there is no answer, by place; ``n_left``: further ones that were not asked any more."""

    def __init__(self, failed: dict[int, str], n: int, n_left: int, names: Sequence[str]) -> None:
        first = min(failed)
        named = ", ".join(names[place] for place in sorted(failed)[:3])
        left = f"; {n_left} more were not asked, as {IN_A_ROW} failed in a row" if n_left else ""
        super().__init__(
            f"{len(failed)} of {n} requests got no answer ({named}{', ...' if len(failed) > 3 else ''}): "
            f"{failed[first]}{left}; none of them counts. The same command again asks only what is missing"
        )


def ask_all(
    keys: Sequence[str],
    names: Sequence[str],
    ask: Callable[[int], Any],
    journal: Journal,
    advance: Advance,
    at_once: int = AT_ONCE,
) -> list[Any]:
    """What is in the journal, or what ``ask`` has for a place and is put there. Raises ``Unanswered`` at the end.
    ``keys``: all that decides an answer, none of them twice; ``names``: for people."""
    failed: dict[int, str] = {}
    in_a_row = 0
    left: list[int] = []

    def one(place: int) -> None:
        nonlocal in_a_row
        if keys[place] not in journal:
            if in_a_row >= IN_A_ROW:
                left.append(place)
                return
            try:
                journal.put(keys[place], ask(place))
                in_a_row = 0
            except ServerError as error:
                failed[place] = str(error)
                in_a_row += 1
                return
        advance(1)

    with ThreadPoolExecutor(at_once) as pool:
        try:
            for _ in pool.map(one, range(len(keys))):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if failed:
        raise Unanswered(failed, len(keys), len(left), names)
    return [journal[key] for key in keys]
