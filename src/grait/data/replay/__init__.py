"""Ordinary prompts for replay: those that ship with this package (see LICENSE beside this file), or a user's own.

Only what is said to the model is read: a conversation up to its last user turn. The answers are the initial model's.
"""

import gzip
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from grait.config import ReplayConfig
from grait.data.messages import checked_messages, rows_with_ids
from grait.data.rows import checked_text, column_names, found_in
from grait.errors import DataError
from grait.records import Question

BUILTIN = "builtin"
"""The config's name of the prompts in this package."""

QUESTIONS, PASSAGES = 0.5, 0.2
"""Shares of the built-in prompts that are drawn."""

COLUMNS = ("id", "kind", "messages", "prompt")
SHORT = 90
"""Characters."""


@dataclass(frozen=True, slots=True)
class ReplayPrompt:
    """``messages``: a conversation that awaits an answer. ``kind``: what is asked for, else ``own``.

    ``where``: file and row, for errors and notes.
    """

    id: str
    kind: str
    messages: tuple[dict[str, str], ...]
    where: str

    @property
    def is_single(self) -> bool:
        """Whether it is one user turn and nothing else."""
        return len(self.messages) == 1

    @property
    def is_short_question(self) -> bool:
        """Whether its last turn reads as a question of fact does, by its length and its mark."""
        said = self.messages[-1]["content"].rstrip()
        return said.endswith("?") and len(said) < SHORT and self.kind != "passage"


def load_replay(path: str) -> list[ReplayPrompt]:
    """All prompts of ``BUILTIN``, a file (``.jsonl``, ``.json``, ``.parquet``) or a hub data set.

    Columns, all others are ignored: ``messages``, a list of ``role`` and ``content``, of which what stands after the
    last user turn is dropped; or ``prompt``, text or such a list (a ``completion`` beside it is not used). ``id``: text
    or integer, unique, made where it is absent; ``kind``: text. Raises DataError, one line, for anything else.
    """
    if path == BUILTIN:
        packed = resources.files(__name__).joinpath("prompts.jsonl.gz").read_bytes()
        rows = [json.loads(line) for line in gzip.decompress(packed).decode().splitlines()]
        return [ReplayPrompt(row["id"], row["kind"], tuple(row["messages"]), row["id"]) for row in rows]
    return [_prompt(*found) for found in rows_with_ids(path, "replay prompts", "`messages` or `prompt`", _wanted)]


def draw_replay(config: ReplayConfig, seed: int) -> list[ReplayPrompt]:
    """The prompts of a run: ``config.n`` of them, drawn by the seed, or all in random order; none without replay.

    Of those that ship with this package ``QUESTIONS`` are short questions, as far as there are so many, and
    ``PASSAGES`` passages with a question: what is nearest to a question of fact is refused first.
    """
    if config.path is None:
        return []
    prompts, rng = load_replay(config.path), random.Random(f"replay {seed}")
    n = min(config.n, len(prompts))
    if config.path != BUILTIN:
        return rng.sample(prompts, n)
    rng.shuffle(prompts)
    near = [prompt for prompt in prompts if prompt.is_short_question][: round(QUESTIONS * n)]
    near += [prompt for prompt in prompts if prompt.kind == "passage"][: round(PASSAGES * n)]
    taken = {prompt.id for prompt in near}
    drawn = [*near, *[prompt for prompt in prompts if prompt.id not in taken][: n - len(near)]]
    rng.shuffle(drawn)
    return drawn


def load_unanswerable(n: int, seed: int) -> list[Question]:
    """``n`` of the built-in questions that nobody can answer, drawn by the seed; all where there are fewer."""
    lines = resources.files(__name__).joinpath("unanswerable.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    drawn = random.Random(f"unanswerable {seed}").sample(rows, min(n, len(rows)))
    return [Question(row["id"], row["question"], ("",)) for row in drawn]


def _wanted(where: str, names: list[str]) -> list[str]:
    if "messages" not in names and "prompt" not in names:
        raise DataError(f"{where}: has no column `messages` or `prompt`; found {column_names(names)}")
    return [name for name in names if name in COLUMNS]


def _prompt(where: str, row: Mapping[str, Any], name: str) -> ReplayPrompt:
    column = next((name for name in ("messages", "prompt") if row.get(name) is not None), None)
    if column is None:
        raise DataError(f"{where}: has no `messages` and no `prompt`; {found_in(row)}")
    value = row[column]
    if column == "prompt" and isinstance(value, str):
        messages = [{"role": "user", "content": checked_text(value, column, where)}]
    else:
        messages = _messages(value, column, where)
    return ReplayPrompt(
        id=name,
        kind="own" if row.get("kind") is None else checked_text(row["kind"], "kind", where),
        messages=tuple(messages),
        where=where,
    )


def _messages(value: Any, column: str, where: str) -> list[dict[str, str]]:
    """Up to the last user turn, without blanks around what is said."""
    messages = [
        {**message, "content": message["content"].strip()} for message in checked_messages(value, column, where)
    ]
    last = max((place for place, message in enumerate(messages) if message["role"] == "user"), default=None)
    if last is None:
        raise DataError(f"{where}: has no user turn in `{column}`; there is nothing to answer")
    return messages[: last + 1]
