"""Which column of a table of questions means what, by the names that people and public sets use (``columns.yaml``).

``roles_of`` reads names only. What values mean is in ``values.py``, what a whole row means in ``questions.py``.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from string import ascii_lowercase

import yaml

from grait.config import ColumnsConfig
from grait.data.rows import column_names, fold
from grait.errors import DataError

_TEXT = resources.files("grait.data").joinpath("columns.yaml").read_text("utf-8")
NAMES = {role: tuple(names.split()) for role, names in yaml.safe_load(_TEXT).items()}

_ONCE = ("question", "answers", "further", "choices", "kept")
"""Roles of which no two columns may have the same name."""

_FLAGS = {"answerable": True, "unanswerable": False}
_FAMILY = re.compile(r"(option|choice|opt|op|ending|sol|candidate|answeroption|answerchoice|)([a-z]|[0-9]{1,2})")
_ANSWER_LETTER = re.compile(r"(answer)([a-z])")


@dataclass(frozen=True)
class Roles:
    """Columns by what they mean, as the file calls them.

    ``answers``: references, which belong together; ``further``: each a set of references by itself. ``choices``: a
    column that holds all options; ``options``: columns with one each, by label. ``distractors``: wrong options beside
    the right answer. ``keys``: what names an option. ``flags``: with what they say where they are true. ``forced``: how
    a key is to be read (``letter``, ``index``, ``number``) where its name, or the user, says so. ``passages``: texts
    that the question is asked with, of which by names the first counts that a row has; ``holds``: whether they hold
    the answer.
    """

    question: str | None = None
    answers: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    choices: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    distractors: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    forced: tuple[tuple[str, str], ...] = ()
    flags: tuple[tuple[str, bool], ...] = ()
    passages: tuple[str, ...] = ()
    holds: str | None = None
    kept: tuple[tuple[str, str], ...] = ()

    @property
    def asks_options(self) -> bool:
        return bool(self.choices or self.options or self.distractors)

    @cached_property
    def used(self) -> tuple[str, ...]:
        """All columns that have a role."""
        own = [self.question, self.choices, *self.answers, *self.further, *self.distractors, *self.passages, self.holds]
        own += self.keys if self.asks_options else ()
        own += [column for _, column in (*self.options, *self.kept)] + [column for column, _ in self.flags]
        return tuple(dict.fromkeys(filter(None, own)))

    @property
    def described(self) -> dict[str, str]:
        """Each role that has a column, in words, for people."""
        options = [self.choices] if self.choices else [column for _, column in self.options]
        keyed = self.keys if self.asks_options and not self.distractors else (*self.answers, *self.further)
        found = {
            "question": [self.question] if self.question else [],
            "right option" if keyed is self.keys and self.asks_options else "references": list(keyed),
            "options": [*options, *self.distractors],
            "answerable or not": [column for column, _ in self.flags],
            "text": list(self.passages),
            "text holds the answer": [self.holds] if self.holds else [],
        }
        words = {role: ", ".join(f"`{name}`" for name in names) for role, names in found.items() if names}
        return words | {role: f"`{column}`" for role, column in self.kept}


def roles_of(names: tuple[str, ...], given: ColumnsConfig | None, where: str) -> Roles:
    """The roles of these columns. ``given``: what the user says, which goes before what names say.

    DataError where the user names a column that is not there, or where two columns have the same name.
    """
    folded: dict[str, str] = {}
    for name in names:
        known = fold(name)
        if known in folded and any(known in NAMES[role] for role in _ONCE):
            found = f"found {column_names(names)}; rename one or leave it out"
            raise DataError(f"{where}: has the column `{name}` twice; {found}")
        folded.setdefault(known, name)
    said = given or ColumnsConfig()
    for name in said.named:
        if name not in names:
            raise DataError(f"{where}: has no column `{name}` (of `columns`); found {column_names(names)}")

    def present(role: str) -> tuple[str, ...]:
        return tuple(folded[name] for name in NAMES[role] if name in folded)

    choices, options, distractors = _options(said, folded, present("choices"))
    answers = tuple(said.answers or present("answers"))
    if choices or options:
        answers = tuple(name for name in answers if fold(name) != "a" or name not in [own for _, own in options])
    if not said.answers and "normalizedaliases" in folded and len(answers) > 1:
        answers = tuple(name for name in answers if fold(name) != "normalizedaliases")
    forced = said.keys or _forced(folded)
    keys = tuple(column for column, _ in said.keys) or tuple(said.answers or present("keys"))
    by_flags = [(column, means) for role, means in _FLAGS.items() for column in present(role)]
    return Roles(
        question=said.question or next(iter(present("question")), None),
        answers=answers,
        further=() if said.answers else present("further"),
        choices=choices,
        options=options,
        distractors=distractors,
        keys=keys,
        forced=tuple(forced),
        flags=said.flags or tuple(by_flags),
        passages=present("passages") if said.context is None else tuple(said.context),
        holds=said.holds_answer or next(iter(present("holds")), None),
        kept=tuple((role, own) for role in NAMES["kept"] if (own := getattr(said, role, None) or folded.get(role))),
    )


def _options(
    said: ColumnsConfig, folded: dict[str, str], all_options: tuple[str, ...]
) -> tuple[str | None, tuple[tuple[str, str], ...], tuple[str, ...]]:
    """(column with all options, columns with one option each by their labels, columns of wrong options)"""
    if said.choices and len(said.choices) > 1:
        return None, tuple(zip(ascii_lowercase, said.choices, strict=False)), ()
    if said.answers and not (said.keys or said.choices):
        return None, (), ()
    if found := said.choices or all_options:
        return found[0], (), ()
    if family := _family(folded):
        return None, family, ()
    wrong = sorted(name for name in folded if re.fullmatch(r"(distractor|incorrectanswer|wronganswer)[0-9]+", name))
    return None, (), tuple(folded[name] for name in wrong)


def _family(folded: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Columns with one option each: ``A`` to ``D``, ``option_a``, ``option1``, ``ending0``, ...; by their labels."""
    families: dict[str, dict[str, str]] = {}
    for name, column in folded.items():
        if found := _FAMILY.fullmatch(name) or _ANSWER_LETTER.fullmatch(name):
            if found[1] or found[2] in ascii_lowercase:
                families.setdefault(found[1], {})[found[2]] = column
    for members in families.values():
        for labels in (list(ascii_lowercase), [str(n) for n in range(27)], [str(n) for n in range(1, 27)]):
            own = [label for label in labels if label in members]
            if len(own) >= 2 and own == labels[: len(own)]:
                return tuple((label, members[label]) for label in own)
    return ()


def _forced(folded: dict[str, str]) -> list[tuple[str, str]]:
    """Keys whose names say how they are to be read."""
    by_index = [(folded[name], "index") for name in NAMES["keys"] if name.endswith(("index", "idx")) and name in folded]
    by_letter = [(folded[name], "letter") for name in ("answerkey", "answerletter", "correctletter") if name in folded]
    return by_index + by_letter
