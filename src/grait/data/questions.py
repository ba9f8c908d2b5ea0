"""Questions from the rows of people's own files and of public sets: one reader for all shapes.

Each row is checked as it is read; the first bad one stops the reading with a message that says where it is and what to
do. Rows are never repaired in silence and never left out.
"""

import re
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from itertools import chain, islice
from typing import Any, get_args

import numpy as np
import yaml

from grait.config import ColumnsConfig
from grait.data.catalog import KnownSet
from grait.data.contexts import passages_of, with_context
from grait.data.files import Source, open_rows
from grait.data.options import Key, Options, options_of, resolved
from grait.data.packed import Keep, Kept
from grait.data.rows import checked_text, column_names, fold, needed, shown, type_name
from grait.data.shapes import Roles, roles_of
from grait.data.values import Row, flag_of, parsed_text, text_of, texts_of
from grait.errors import DataError
from grait.judging.kinds import why_not_asked
from grait.judging.lists import may_refuse
from grait.judging.refusal import detect_refusal
from grait.languages import Language
from grait.records import Match, Question

SENTINELS = frozenset(
    "unanswerable,not answerable,not attempted,no answer,no answer possible,no answer present,no answer found,noanswer,"
    "cannotanswer,idk,abstain,n/a,unknown,not given,not in the text,not in the context".split(",")
)
"""References that mean that there is none, without case, signs at the end, and underscores."""

_MAY_REFUSE = re.compile(
    r"know|sure|answer|certain|unable|impossible|inform|determin|idea|tell|sorry|abstain|attempted|idk|n/a|\bnot\b|n['\u2019]t\b",
    re.IGNORECASE,
)
_FIRST = 3
"""References of a question that are looked at in languages other than English."""

_SHORT = 4
"""Words of a refusal, at most, that is left out among other references; longer ones may be titles."""

_SEVERAL = re.compile(r"[^|]\|[^|]|\w;\s*\w|^\[.*,.*\]$|^[\"'(\[{]\s*[\[('\"].*[\])}'\"]$", re.DOTALL)
"""Marks of several texts in one that is no list: bars, semicolons, brackets around quotes."""

_TRUTHFUL = ("bestanswer", "correctanswers")
"""Columns of TruthfulQA, whose table has semicolons between the texts of the second one."""

_SETS = ("answer", "answers", "a", "correctanswer", "correctanswers")
"""Columns that have the right answer: two of them share a text. Other columns with references may add to it."""

_TEXTS = ("relation", "subject", "group", "tolerance")
_MISSING = ("nan", "none", "null", "<na>")
_LONE = re.compile(r"\(?([A-Za-z]|[0-9])[).]?")
_ENDING = re.compile(
    r"(?<=.)([a-z]|[0-9]{1,2})$|(^|(?<=[\W_]))(one|two|three|four|five|first|second|third|fourth|fifth|i|ii|iii|iv|v)$",
    re.IGNORECASE,
)
_FEW = 9
"""Texts among answers to each lone letter or digit, at least, where these are texts, too."""

_INLINE = re.compile(r"(?:^|[\s(])A[).:]\s.+[\s(]B[).:]\s", re.DOTALL)
_NOTES: dict[str, str] = yaml.safe_load(resources.files("grait.data").joinpath("notes.yaml").read_text("utf-8"))
_BARE = Question("", "", ("",))

MadeId = Callable[[int], str]


@dataclass
class Understood:
    """Questions, and what was made of the file. ``columns``: role -> columns. ``unused``: columns without a role.

    ``notes``: what was inferred, in sentences, for people.
    """

    questions: Kept
    format: str
    columns: dict[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Rows, and how many of them are of each kind."""
        kinds = Counter(
            "whose text does not hold the answer" if question.context and not question.holds_answer
            else "whose text holds the answer" if question.context
            else "with options" if question.choices and question.answers
            else "in free text" if question.answers
            else "without a reference" if question.answerable
            else "unanswerable"
            for question in self.questions
        )  # fmt: skip
        return {"questions": len(self.questions), **kinds}


@dataclass(frozen=True)
class Deferred:
    """A question whose right option can be meant in several ways: the other rows of the file decide."""

    place: int
    where: str
    key: Key
    options: Options


def read_questions(
    path: str,
    split: str | None = None,
    limit: int | None = None,
    revision: str | None = None,
    columns: ColumnsConfig | None = None,
    encoding: str = "utf-8",
    keep: Keep = list,
) -> Understood:
    """The questions of a file, a folder or a hub data set (``owner/name``, ``owner/name:config``).

    ``split``: of folders, the hub, and JSON that wraps several lists; needed where there are several. ``limit``: read
    and check only the first rows; at least 1. ``columns``: what names do not say. docs/data.md has the shapes.
    ``keep``: what the questions are kept in, ``list`` or ``Packed``.
    Ids are ``{stem}-{row}``, rows counted from 1, where there is no ``id``. Raises DataError, one line.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}; expected at least 1, or none to read all rows")
    reader = Reader(columns)
    source = open_rows(path, split, revision, encoding, reader.wanted)
    understood = reader.read(source, path, limit, lambda number: f"{source.stem}-{number}", keep)
    if not understood.questions:
        raise DataError(f"{path}: holds no question; expected at least one row with `question` and `answers`")
    return understood


class Reader:
    """Rows to questions. ``seen`` counts what was read otherwise than it stands there."""

    def __init__(self, columns: ColumnsConfig | None = None, known: KnownSet | None = None):
        """``known``: a public set, whose rows may have other ids, no references, and a popularity of their own."""
        self.given, self.known = columns, known
        self.ranked: list[float] = []
        self.seen: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.evidence: Counter[str] = Counter()
        self._deferred: list[Deferred] = []
        self._lone: dict[str, DataError] = {}
        self._files: dict[str, int] = {}  # with the first question of each
        self._lines, self._ids = array("Q"), array("q")  # of each question; hashes
        self._roles: dict[tuple[str, ...], Roles] = {}
        self._unused: dict[str, None] = {}

    def wanted(self, where: str, names: list[str]) -> Sequence[str]:
        """The columns of a table that are read. DataError when it cannot hold questions."""
        roles = self.roles(tuple(names), where)
        has_answers = roles.answers or roles.further or roles.flags or roles.asks_options
        if roles.question is None or not has_answers:
            column, role = ("`answers` or `answer`", "answers") if roles.question else ("`question`", "question")
            meant = f"if another one is meant: columns: {{{role}: NAME}}"
            raise DataError(f"{where}: has no column {column}; found {column_names(names)}; {meant}")
        return [*roles.used, *(name for name in _siblings(tuple(names)) if name not in roles.used)]

    def roles(self, names: tuple[str, ...], where: str) -> Roles:
        if names not in self._roles:
            found = self._roles[names] = roles_of(names, self.given, where)
            self._unused |= dict.fromkeys(name for name in names if name not in found.used)
        return self._roles[names]

    def read(self, source: Source, path: str, limit: int | None, made_id: MadeId, keep: Keep = list) -> Understood:
        """All questions of a source; ``made_id``: the id of a row by its number, from 1."""
        questions = keep(self._each(islice(source.rows, limit), made_id))
        self._check_ids(questions, path)
        self._check_lone()
        if self._deferred:
            questions = keep(self._decided(questions))
        if self.seen["passages"]:
            self.seen["held"] = sum(bool(row.holds_answer) for row in questions)
        self.seen.update(source.seen)
        columns = {role: own for roles in self._roles.values() for role, own in roles.described.items()}
        notes = self.notes(len(questions), columns)
        return Understood(questions, source.format, columns, tuple(self._unused), notes)

    def _each(self, rows: Iterable[tuple[str, object]], made_id: MadeId) -> Iterator[Question]:
        for number, (where, row) in enumerate(rows):
            question = self.question(row, where, made_id(number + 1), number)
            file, _, line = where.rpartition(" ")
            self._files.setdefault(file, number)
            self._lines.append(int(line))
            self._ids.append(hash(question.id))
            yield question

    def _check_ids(self, questions: Kept, path: str) -> None:
        """DataError for the first id that stands twice."""
        again = np.setdiff1d(np.arange(len(self._ids)), np.unique(self._ids, return_index=True)[1])
        if len(again):
            second, first = again[0], self._ids.index(self._ids[again[0]])
            where, there = (
                f"{max((start, file) for file, start in self._files.items() if start <= n)[1]} {self._lines[n]}"
                for n in (second, first)
            )
            raise DataError(
                f"{where}: the id {shown(next(islice(questions, first, None)).id)} was already used in "
                f"{there.removeprefix(f'{path}, ')}; give each question its own id, or leave the id out"
            )

    def _decided(self, questions: Iterable[Question]) -> Iterator[Question]:
        """All questions, with the right option of those that waited for the other rows."""
        waiting = {row.place: row for row in self._deferred}
        for number, question in enumerate(questions):
            if row := waiting.get(number):
                place, _ = resolved(row.key, row.options, row.where, self.evidence)
                assert place is not None
                question = self._with_option(question, row.options, place, row.key.others)
            yield question

    def question(self, cells: object, where: str, made_id: str, place: int) -> Question:
        """One row. ``place``: in the list of questions, for rows that wait for others."""
        if not isinstance(cells, Mapping):
            hint = (
                "; a file that holds one list is named .json" if isinstance(cells, list) and ".jsonl" in where else ""
            )
            raise DataError(
                f"{where}: expected an object with `question` and `answers`, found {type_name(cells)}{hint}"
            )
        row = Row(cells, self.roles(tuple(cells), where), where, self.seen)
        name = row.roles.question
        if name is None:
            meant = "if another one is meant: columns: {question: NAME}"
            raise row.fault(f"has no `question`; found {row.names}; {meant}")
        if not row.has(name):
            raise row.fault(f"has no `{name}` (its cell is empty); fill it in or remove the row")
        asked = cells[name]
        if isinstance(asked, Mapping):  # as in ARC's own files
            text = asked.get("stem", asked.get("text"))
            return self.question({**cells, **asked, name: text}, where, made_id, place)
        kept = {role: cells[own] for role, own in row.roles.kept if row.has(own)}
        match = kept.get("match", "normalized")
        if match not in get_args(Match):
            raise row.fault(f"`match` is {shown(match)}; expected one of {', '.join(get_args(Match))}")
        made: dict[str, Any] = {
            "id": self._id(row, kept) or made_id,
            "question": checked_text(asked, "question", where),
            "match": match,
            **{role: text_of(kept[role], role, where) for role in _TEXTS if role in kept},
        }
        if self.known and self.known.ranked:
            views = needed(cells, self.known.ranked, where)
            self.ranked.append(_number(views, self.known.ranked, where, sys.float_info.max, "of page views"))
        if "popularity" in kept:
            known = "from 0 (rarest) to 1 (best known)"
            made["popularity"] = _number(kept["popularity"], "popularity", where, 1, known)
        options = options_of(row, made["id"])
        flag = self._flag(row)
        if self.known and not self.known.has_references:
            return Question(**made, answers=(), answerable=bool(flag))
        if context := self._context(row):
            self.seen["passages"] += 1
            holds = flag_of(cells.get(row.roles.holds), row.roles.holds, where) if row.roles.holds else None
            made |= {"context": context, "holds_answer": flag if holds is None else holds}
            if holds and flag is False and (options is not None or self._references(row)):
                flag = None  # what is said of the text goes first
        if flag is False:
            self.seen["without the answer" if context else "unanswerable"] += 1
            self._count("references of unanswerable ones", _unused_reference(row))
            choices = () if options is None else options.texts
            made |= {"holds_answer": False} if context else {"answerable": False}
            return Question(**made, answers=(), choices=choices)
        if options is not None:
            return self._of_options(Question(**made, answers=()), row, options, place)
        answers = self._of_texts(row, made, flag)
        if not answers:
            made |= {"holds_answer": False} if context else {"answerable": False}
        read = Question(**made, answers=answers)
        if answers and (why_not := why_not_asked(read)):
            raise row.fault(why_not)
        return _labelled(read)

    def _context(self, row: Row) -> tuple[str, ...]:
        """The texts of a row: all columns that the user names, or the first one by its name that has any."""
        found: tuple[str, ...] = ()
        for name in row.roles.passages:
            if not found or (self.given and self.given.context):
                found += passages_of(row.cells.get(name), name, row.where, self.seen)
        return found

    def _id(self, row: Row, kept: Mapping[str, Any]) -> str | None:
        """The id that a row has; that of public sets, whose ids are unique, may be called otherwise."""
        if "id" in kept:
            return text_of(kept["id"], "id", row.where)
        names = filter(row.has, ("qid", "question_id") if self.known else ())
        return next((text_of(row.cells[name], name, row.where) for name in names), None)

    def _flag(self, row: Row) -> bool | None:
        """Whether the row says that there is an answer; None where it says nothing."""
        said = {}
        for name, means in row.roles.flags:
            if (value := flag_of(row.cells.get(name), name, row.where)) is not None:
                said[name] = value == means
        if len(set(said.values())) > 1:
            raise row.fault(f"{' and '.join(f'`{name}`' for name in said)} contradict each other")
        return next(iter(said.values()), self.known.answerable if self.known else None)

    def _of_texts(self, row: Row, made: Mapping[str, Any], flag: bool | None) -> tuple[str, ...]:
        """The references of a free-text question, the canonical one first; none where nobody can answer it.

        ``made``: what else is known of the question. Of a list all belong to the answer; that is the first one then, in
        one text.
        """
        roles, cells = row.roles, row.cells
        columns = self._references(row)
        answers = [text for own in columns.values() for text in own]
        if not answers:
            if any(_is_squad_empty(cells.get(name), row.where) for name in roles.answers):
                self.seen["without the answer" if "context" in made else "unanswerable"] += 1
                return ()
            hint = "give at least one answer, or say that nobody can answer it (answerable: false)"
            empty = next((name for name in (*roles.answers, *roles.further) if name in cells), None)
            if empty is None:
                other = "if a column of another name is meant: columns: {answers: NAME}"
                raise DataError(f"{row.where}: has no `answers` and no `answer`; found {row.names}; {hint}; {other}")
            is_list = cells[empty] == [] or (isinstance(cells[empty], str) and row.has(empty))
            found = "is an empty list" if is_list else f"holds no text that is right ({shown(cells[empty])})"
            what = f"`{empty}` {found}" if row.has(empty) else f"has no `{empty}` (its cell is empty)"
            raise row.fault(f"{what}; {hint}")
        if made["match"] == "list":
            return (", ".join(answer.split("|")[0].strip() for answer in answers), *answers)
        if not (self.given and self.given.answers):
            self._check_no_key(row, made["question"], answers[0])
        if self.known is None:
            answers = self._without_refusals(self._as_whole(answers), row, flag, "context" in made)
            if not answers:
                return ()
        if not any(map(str.isalnum, answers[0])):  # alias lists of TriviaQA begin with pictograms
            readable = next((answer for answer in answers if any(map(str.isalnum, answer))), None)
            answers = [readable, *answers] if readable else answers
        self._count("several", next((own[0] for own in columns.values() if _SEVERAL.search(own[0])), None))
        if answers[0] in ("TRUE", "FALSE", "True", "False"):
            self._count("true or false", answers[0])
        if answers[0].casefold() in _MISSING:
            self._count("missing", answers[0])
        return tuple(dict.fromkeys(answers))

    def _as_whole(self, answers: list[str]) -> list[str]:
        """1969 before each 1969.0, which a table has where a number was missing in its column."""
        whole = next(filter(_is_whole, answers), None)
        self._count("decimals", whole)
        return [part for text in answers for part in ((text[:-2], text) if whole and _is_whole(text) else (text,))]

    def _without_refusals(self, answers: list[str], row: Row, flag: bool | None, has_text: bool) -> list[str]:
        """No reference where all are refusals: refusing is never right, nor wrong."""
        if not _MAY_REFUSE.search("\n".join(answers)) and not any(map(may_refuse, answers[:_FIRST])):
            return answers
        refusals = [answer for answer in answers if is_refusal(answer)]
        if len(refusals) < len(answers):
            refusals = [answer for answer in refusals if len(answer.split()) <= _SHORT]
            self._count("refusals among references", next(iter(refusals), None))
            return [answer for answer in answers if answer not in refusals]
        if flag:
            raise row.fault(
                f"says that it can be answered, but its reference is a refusal ({shown(answers[0])}); give "
                "the answer, or say answerable: false"
            )
        self._count("without the answer" if has_text else "refusals as references", answers[0])
        return []

    def _count(self, what: str, example: str | None) -> None:
        """One more row of which there is something to say, if there is an example."""
        if example is not None:
            self.seen[what] += 1
            self.examples.setdefault(what, example)

    def _references(self, row: Row) -> dict[str, list[str]]:
        """The references by column, the canonical one first. DataError where two columns that may be meant disagree."""
        found: dict[str, list[str]] = {}
        for name in filter(row.has, (*row.roles.answers, *row.roles.further)):
            is_further, first = name in row.roles.further, next(iter(found), "")
            if found and is_further and not isinstance(row.cells[name], str | list | int | Mapping):
                continue
            own = row.texts(name)
            is_truthful = (fold(first), fold(name)) == _TRUTHFUL
            if is_truthful and len(own) == 1 and ";" in own[0]:
                self._count("semicolons", own[0])
                own = [part for text in own[0].split(";") if (part := text.strip())]
            is_set = is_further or (fold(name) in _SETS and not is_truthful and not (self.given and self.given.answers))
            known = {text.casefold() for texts in found.values() for text in texts}
            if is_set and own and found and known.isdisjoint(text.casefold() for text in own):
                raise row.fault(
                    f"`{', '.join(found)}` is {shown(found[first][0])} and `{name}` is {shown(own[0])}; say which one "
                    f"has the references, such as columns: {{answers: {first}}}"
                )
            if own and not (found and is_further):
                found[name] = own
        return found

    def _check_no_key(self, row: Row, question: str, answer: str) -> None:
        """Looks whether an answer may name an option, as a lone letter or digit and a column's name may.

        That is: of what looks like options beside it, or where other rows have options.

        The other rows decide (``_check_lone``). DataError where the question itself holds the options.
        """
        names = tuple(name for name in row.cells if name not in row.roles.used)
        siblings = list(filter(row.has, _siblings(names)))
        is_lone = _LONE.fullmatch(answer) or answer in siblings
        listed = {name: _listed(row.cells[name], name, row.where if is_lone else None) for name in names}
        lists = {name: texts for name, texts in listed.items() if texts}
        is_beside = bool(lists) or len(siblings) > 1
        kind = "lone answers" if is_beside else "lone answers without options"
        if not is_lone:
            options = chain.from_iterable(lists.values()) if lists else (row.cells[name] for name in siblings)
            same = is_beside and answer.casefold() in (str(option).strip().casefold() for option in options)
            self.evidence["answers among options" if same else f"texts, not {kind}"] += 1
            return
        what, named = "the question holds options", "a list of them in the column `choices`"
        column = (row.roles.answers or row.roles.further)[0]
        if is_beside:
            what = f"`{', '.join(lists or siblings)}` looks like options"
            place = f", answer_number: {column}}}, or answer_index where counted from 0" if answer.isdecimal() else "}"
            named = f"columns: {{choices: {next(iter(lists), None) or siblings}{place}"
        found = row.fault(
            f"the answer is {shown(answer)} and {what}: name them ({named}), or say that this is the answer's "
            f"text (columns: {{answers: {column}}})"
        )
        if not is_beside and _INLINE.search(question):
            raise found
        if not is_beside:
            found = row.fault(
                f"the answer is {shown(answer)} and the row has no options, which the file has a column for; fill them "
                "in, write the answer out, or keep questions without options in a file of their own"
            )
        self._count(kind, answer)
        self._lone.setdefault(kind, found)

    def _check_lone(self) -> None:
        """DataError for the first lone letter or digit beside options, unless nearly all other answers beside such are
        texts, none of them an option's. The same without options, where the file has a column for them."""
        if not any(roles.asks_options for roles in self._roles.values()):
            del self.seen["lone answers without options"]
        for kind, fault in self._lone.items():
            texts = 0 if self.evidence["answers among options"] else self.evidence[f"texts, not {kind}"]
            if texts < _FEW * self.seen[kind]:
                raise fault

    def _of_options(self, question: Question, row: Row, options: Options, place: int) -> Question:
        """A question with options, once it is clear which one is right."""
        key = Key.of(row, options)
        question = replace(question, choices=options.texts)
        right, reading = resolved(key, options, row.where)
        if right is None:
            self._deferred.append(Deferred(place, row.where, key, options))
            return question
        self.evidence[reading] += 1
        return self._with_option(question, options, right, key.others)

    def _with_option(self, question: Question, options: Options, right: int, others: Sequence[str] = ()) -> Question:
        answer = options.texts[right]
        is_placed = options.texts.index(answer) != right or (self.known and self.known.keeps_place)
        answers = tuple(dict.fromkeys([answer, *others]))
        return _labelled(replace(question, answers=answers, answer_place=right if is_placed else None))

    def notes(self, n: int, columns: Mapping[str, str]) -> list[str]:
        """What was inferred, in sentences; nothing where all is as docs/data.md's first row."""
        usual = all(
            roles.question in (None, "question")
            and {*roles.answers, *roles.further} <= {"answer", "answers"}
            and roles.choices in (None, "choices")
            and not (roles.options or roles.distractors)
            for roles in self._roles.values()
        )
        counted = self.seen + Counter({f"by {how}": self.evidence[how] for how in ("letter", "index", "number")})
        found = [] if usual else ["columns: " + "; ".join(f"{role}: {own}" for role, own in columns.items())]
        return found + [
            words.format(n=f"{counted[what]:,}", of=n, example=shown(self.examples.get(what)))
            for what, words in _NOTES.items()
            if counted[what]
        ]


def _labelled(question: Question) -> Question:
    """With whether its text holds the answer, where the file does not say."""
    is_open = question.context and question.holds_answer is None
    return with_context(question, question.context) if is_open else question


def _unused_reference(row: Row) -> str | None:
    """A reference of a row that is no refusal; None where there is none that can be read."""
    for name in filter(row.has, (*row.roles.answers, *row.roles.further)):
        with suppress(DataError):
            texts = texts_of(row.cells[name], name, row.where, Counter())
            if (found := next((text for text in texts if not is_refusal(text)), None)) is not None:
                return found
    return None


def is_refusal(answer: str) -> bool:
    """Whether a reference is itself a refusal, or a word that stands for none."""
    if answer.strip(" .!<>[]()").replace("_", " ").casefold() in SENTINELS:
        return True
    words = answer.split()
    if len(words) >= _SHORT and all(word[0].isupper() for word in words if word[0].isalpha()):
        return False  # the title of a song
    if _MAY_REFUSE.search(answer) and detect_refusal(answer, _BARE) == "refused":
        return True
    return may_refuse(answer) and any(
        detect_refusal(answer, _BARE, language=language) == "refused" for language in get_args(Language)
    )


def _is_whole(text: str) -> bool:
    return text.endswith(".0") and text[:-2].removeprefix("-").isdecimal()


def _is_squad_empty(value: Any, where: str) -> bool:
    """SQuAD 2's way to say that there is no answer."""
    value = parsed_text(value, "answers", where) if isinstance(value, str) else value
    return isinstance(value, Mapping) and "answer_start" in value and not any(value.values())


def _listed(value: Any, name: str, where: str | None) -> list[Any]:
    """The texts of a cell of no known meaning that is a list of two or more, or an object of such; else none.

    DataError for a list that cannot be read, where it is told where it stands.
    """
    if isinstance(value, str):
        try:
            value = parsed_text(value, f"{name}s", where or "")
        except DataError:
            if where:
                raise
    if isinstance(value, Mapping):
        inner = (own for own in value.values() if isinstance(own, list | Mapping))
        value = next(filter(None, (_listed(own, name, where) for own in inner)), None) or list(value.values())
    is_list = isinstance(value, list) and len(value) > 1 and all(isinstance(item, str | int | float) for item in value)
    return value if is_list else []


@cache
def _siblings(names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns whose names others have, too, but for a letter or number at the end."""
    stems = {name: _ENDING.sub("", name) for name in names}
    same = Counter(stem for name, stem in stems.items() if stem != name)
    return tuple(name for name, stem in stems.items() if stem != name and same[stem] > 1)


def _number(value: Any, column: str, where: str, most: float, what: str) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise DataError(f"{where}: `{column}` is {shown(value)}; expected a number {what}")
    return number
