"""Does an output refuse in a language other than English? By that language's lists (``grait.languages``).

A text is folded (case, accents, vowel marks, punctuation) and cut into parts at ends of sentences, commas and words
such as "but". In languages that are written without spaces, spaces do not count and phrases are found anywhere in a
part.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal, get_args

from grait.judging.matching import PLAIN_LETTERS, contains_answer, own_reply, parse_choice, straighten
from grait.judging.reader import QUOTED
from grait.languages import Language, RefusalWords, refusal_words
from grait.records import Question

Refusal = Literal["none", "refused", "refused_then_answered"]

_BRACKETS = str.maketrans(dict.fromkeys("「」『』《》〈〉“”„«»", '"'))
_SENTENCE = re.compile(r"(?<!\b\w)\.(?=\s|$)|\.{2,}|[!?…。；;؟।\n]+|:(?!\d)|\s-+\s")
_COMMA = re.compile(r"[,、،()]")
_DROPPED = re.compile("[\u0300-\u036f\u064b-\u065f\u0670\u0640\u093c]")
_ALIKE = str.maketrans({"\u0629": "\u0647", "\u0649": "\u064a", "\u0901": "\u0902"})
_ASCII_WORD = re.compile("[a-z0-9]+")
GAP = "…"
_MASK = "\u00a7"
_LONGEST_SHORT = {False: 4, True: 12}
"""Words, or characters where there are no spaces, of an answer that stands alone."""
_LONGEST_REFUSAL = 120
"""Characters of a reference that may be a refusal."""


@lru_cache(maxsize=65536)
def fold(text: str) -> str:
    """Words without case, accents and vowel marks, between single spaces; letters that are often mixed up are one."""
    plain = unicodedata.normalize("NFKD", straighten(text).casefold())
    plain = unicodedata.normalize("NFC", _DROPPED.sub("", plain)).translate(PLAIN_LETTERS).translate(_ALIKE)
    kept = (letter if letter == _MASK or unicodedata.category(letter)[0] in "LMN" else " " for letter in plain)
    return " ".join("".join(kept).split())


@dataclass(frozen=True, eq=False)
class _Lists:
    """A language's lists, folded; phrases with a space at both ends where words have spaces between them."""

    words: RefusalWords

    def key(self, text: str) -> str:
        """A text as phrases are looked for in it."""
        return fold(text).replace(" ", "") if self.words.unspaced else f" {fold(text)} "

    def keys(self, texts: Iterable[str]) -> tuple[str, ...]:
        """A phrase may have a gap of a few words in it, which stays."""
        return tuple(dict.fromkeys(GAP.join(map(self.key, text.split(GAP))) for text in texts))

    def without_fillers(self, key: str) -> str:
        for filler in _folded(self, "fillers"):
            key = key.replace(filler, "" if self.words.unspaced else " ")
        return key


@cache
def _lists(language: Language) -> _Lists:
    return _Lists(refusal_words(language))


@cache
def _folded(lists: _Lists, name: str) -> tuple[str, ...]:
    """One list as it is looked for: the longest first; what refuses is without fillers."""
    keys = lists.keys(getattr(lists.words, name))
    if name in ("phrases", "openings", "endings", "replies"):
        keys = tuple(dict.fromkeys(core for key in keys if (core := lists.without_fillers(key)).strip()))
    return tuple(sorted(keys, key=len, reverse=True))


@cache
def _with_gaps(lists: _Lists) -> re.Pattern[str]:
    """What finds a phrase that has a gap, in which there may be up to 24 characters."""
    gapped = [phrase.split(GAP) for name in ("phrases", "openings") for phrase in _folded(lists, name) if GAP in phrase]
    return re.compile(
        "|".join(
            r".{0,24}".join(map(re.escape, parts)).replace(r"\ .{0,24}\ ", r"\ (?:.{0,24}\ )?") for parts in gapped
        )
        or "(?!)"
    )


@cache
def _denial(lists: _Lists) -> re.Pattern[str]:
    """What finds a negation near a word of knowing, telling or finding."""
    words = lists.words
    knowing, negations = (
        "(?:" + "|".join(re.escape(fold(text)) for text in texts) + ")" for texts in (words.knowing, words.negations)
    )
    if words.verb_last:
        return re.compile(f"{knowing}.{{0,{12 if words.unspaced else 24}}}{negations} ?$")
    if words.unspaced:
        return re.compile(f"{knowing}.{{0,8}}{negations}|{negations}.{{0,8}}{knowing}")
    between = r"(?:\S+ ){0,4}"
    return re.compile(rf" (?:{knowing}\S* {between}{negations}|{negations}\w* {between}{knowing}\S*) ")


@cache
def _signs() -> tuple[frozenset[str], tuple[str, ...]]:
    """The longest word of everything that refuses in some language, and all that does where words have no spaces."""
    words, phrases = set(), []
    for language in get_args(Language)[1:]:
        lists = _lists(language)
        keys = [key for name in ("phrases", "openings", "endings", "replies") for key in _folded(lists, name)]
        if lists.words.unspaced:
            phrases += [max(key.split(GAP), key=len) for key in keys]
        else:
            words |= {max(key.replace(GAP, " ").split(), key=len) for key in keys}
    return frozenset(words), tuple(phrases)


def may_refuse(text: str) -> bool:
    """Whether a short text may refuse in a language other than English; soon told for nearly all that do not."""
    if len(text) > _LONGEST_REFUSAL:
        return False
    words, phrases = _signs()
    if text.isascii():
        return not words.isdisjoint(_ASCII_WORD.findall(text.lower()))
    plain = fold(text)
    unspaced = plain.replace(" ", "")
    return not words.isdisjoint(plain.split()) or any(phrase in unspaced for phrase in phrases)


@cache
def _talk(lists: _Lists) -> frozenset[str]:
    """Words that add nothing to an answer."""
    names = ("words", "talk", "turns", "guesses", "fillers")
    return frozenset(word for name in names for key in _folded(lists, name) for word in key.split())


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a sentence. ``key``: as phrases are looked for in it; ``core``: that without fillers."""

    raw: str
    key: str
    core: str
    after_turn: bool


class PackReader:
    """Reads an output to one question in one language. ``own``: phrases of the config, which refuse as well."""

    def __init__(self, question: Question, language: Language, own: Sequence[str]) -> None:
        self.question = question
        self.lists = lists = _lists(language)
        of_config = tuple(core for phrase in own if (core := lists.without_fillers(lists.key(phrase))).strip())
        self.phrases = (*_folded(lists, "phrases"), *of_config)
        self.asked = lists.without_fillers(lists.key(question.question))
        self.asked_words = [word for word in fold(question.question).split() if len(word) > 2]
        quoted = [found.group() for found in QUOTED.finditer(straighten(question.question.translate(_BRACKETS)))]
        given = [*question.answers, *question.choices, *quoted]
        keys = [lists.without_fillers(lists.key(text)) for text in given]
        self.shields = sorted((key for key in keys if key.strip() and self._refuses(key)), key=len, reverse=True)

    # -- refusing ----------------------------------------------------------------------------------------------

    def read(self, output: str) -> Refusal:
        """As ``refusal.detect_refusal``, by this language's lists alone."""
        text = self._without_quotations(straighten(own_reply(output).translate(_BRACKETS)))
        whole = self.lists.without_fillers(self.lists.key(text))
        shields = [shield for shield in self.shields if shield in whole]
        refused = answered = begun = False  # begun: by a guess whose answer is to follow
        for part in self._parts(text):
            if self._refuses(self._masked(part.core, shields)):
                refused = True
                answered = answered or self._gives_reference(part) or self._guesses_beside(part)
            else:
                answered = answered or self._asserts(part, begun)
            begun = self._holds(part, "guesses") and not self._new(part.raw)
        if not refused:
            return "none"
        return "refused_then_answered" if answered else "refused"

    def _masked(self, core: str, shields: Sequence[str]) -> str:
        """Without reference answers and titles that read like a refusal, of which it may be a part, and without phrases
        of the question, unless one is all that is said."""
        for shield in shields:
            core = _MASK if core in shield else core.replace(shield, f" {_MASK} ")
        if self._refuses(self.asked):
            for phrase in self.phrases:
                if phrase in self.asked and core != phrase:
                    core = core.replace(phrase, f" {_MASK} ")
        return core

    def _refuses(self, core: str) -> bool:
        lists = self.lists
        return (
            any(phrase in core for phrase in self.phrases)
            or bool(_with_gaps(lists).search(core))
            or core.startswith(_folded(lists, "openings"))
            or core.endswith(_folded(lists, "endings"))
            or core in _folded(lists, "replies")
            or self._denies(core)
        )

    def _denies(self, core: str) -> bool:
        """Whether someone says of himself that he does not know, has or find something."""
        selves = _folded(self.lists, "selves")
        return (not selves or any(own in core for own in selves)) and bool(_denial(self.lists).search(core))

    def _without_quotations(self, text: str) -> str:
        """Without quoted phrases where something is said about them."""
        if not self._new(QUOTED.sub(" ", text)):
            return text

        def keep(found: re.Match[str]) -> str:
            core = self.lists.without_fillers(self.lists.key(found.group()))
            return f" {_MASK} " if self._refuses(core) else found.group()

        return QUOTED.sub(keep, text)

    def _parts(self, text: str) -> list[_Part]:
        parts = []
        for sentence in _SENTENCE.split(text):
            for piece in _COMMA.split(sentence or ""):
                for place, raw in enumerate(self._turned(piece)):
                    key = self.lists.key(raw)
                    if key.strip():
                        after_turn = place > 0 or key.startswith(_folded(self.lists, "turns"))
                        parts.append(_Part(raw, key, self.lists.without_fillers(key), after_turn))
        return parts

    def _turned(self, piece: str) -> list[str]:
        """A piece cut before words such as "but", which stay; as it is where words have no spaces between them."""
        if self.lists.words.unspaced:
            return [piece]
        found: list[list[str]] = [[]]
        turns = _folded(self.lists, "turns")
        for word in piece.split():
            if found[-1] and self.lists.key(word) in turns:
                found.append([])
            found[-1].append(word)
        return [" ".join(words) for words in found]

    # -- answering ---------------------------------------------------------------------------------------------

    def _gives_reference(self, part: _Part) -> bool:
        if self.question.choices:
            return parse_choice(part.raw.strip(), self.question.choices) is not None
        return any(
            contains_answer(part.raw, answer)
            and not contains_answer(self.question.question, answer)
            and self.lists.without_fillers(self.lists.key(answer)) not in self.shields
            for answer in self.question.answers
        )

    def _guesses_beside(self, part: _Part) -> bool:
        """``Ich weiß nicht vielleicht Lyon``: a guess in a part that refuses, after the phrase."""
        if self.lists.words.unspaced:
            left = part.core
            for name in ("phrases", "openings", "endings", "replies"):
                for phrase in self.phrases if name == "phrases" else _folded(self.lists, name):
                    left = left.replace(phrase, " ")
            return self._holds(part, "guesses") and not self._holds(part, "advice") and bool(self._new(left))
        for guess in _folded(self.lists, "guesses"):
            _, found, after = part.key.partition(guess)
            if found and not self._holds(part, "advice") and self._has_name(self._new_in(part.raw, after)):
                return not any(phrase in self.lists.without_fillers(guess + after) for phrase in self.phrases)
        return False

    def _asserts(self, part: _Part, begun: bool) -> bool:
        """Whether a part without a refusal gives an answer, right or wrong. ``begun``: the part before was a guess."""
        if self._gives_reference(part):
            return True
        if self._holds(part, "advice"):
            return False
        new = self._new(part.raw)
        if not new:
            return False
        if begun or self._holds(part, "guesses"):
            return True
        if part.key.startswith(_folded(self.lists, "talk")):
            return False
        size = len(part.key) if self.lists.words.unspaced else len(part.key.split())
        is_short = size <= _LONGEST_SHORT[self.lists.words.unspaced]
        return self._has_name(new) and (is_short or part.after_turn or self._echoes(part))

    def _holds(self, part: _Part, name: str) -> bool:
        return any(text in part.key for text in _folded(self.lists, name))

    def _new_in(self, raw: str, key: str) -> list[str]:
        """Those new words of a raw text that stand in ``key``."""
        return [word for word in self._new(raw) if fold(word) in key]

    def _new(self, raw: str) -> list[str]:
        """The words, as they were written, that neither the question nor talk explains."""
        if self.lists.words.unspaced:
            left = self.lists.key(raw)
            for name in ("fillers", "talk", "turns", "guesses", "words"):
                for text in _folded(self.lists, name):
                    left = left.replace(text, " ")
            return [
                word for word in left.split() if word != _MASK and word not in self.lists.key(self.question.question)
            ]
        known = _talk(self.lists)
        return [
            word
            for word in re.findall(r"[^\s,.;:!?¿¡\"'()\-]+", raw)
            if (folded := fold(word)) and folded != _MASK and folded not in known and not self._is_asked(folded)
        ]

    def _is_asked(self, word: str) -> bool:
        """Whether a word of the question begins like this one: endings differ."""
        return any(word[:4] == own[:4] for own in self.asked_words) if len(word) > 3 else word in self.asked_words

    def _has_name(self, words: Sequence[str]) -> bool:
        """A capital, a digit, or a script that has no capitals."""
        return any(word[0].isupper() or word[0].isdigit() or word.lower() == word.upper() for word in words)

    def _echoes(self, part: _Part) -> bool:
        if self.lists.words.unspaced:
            asked = self.lists.key(self.question.question)
            return any(asked[place : place + 2] in part.key for place in range(len(asked) - 1))
        return any(self._is_asked(word) for word in part.key.split() if len(word) > 3)
