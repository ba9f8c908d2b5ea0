"""The lists of a language (``grait.languages``) as they are looked for: in words, what refuses without fillers."""

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import get_args

from grait.judging.clauses import GAP, fold, words_of
from grait.judging.matching import straighten
from grait.languages import Language, refusal_words

Texts = tuple[str, ...]
"""``Word.text`` of some words."""

Phrases = dict[str, list[Texts]]
"""Phrases by their first words."""

REFUSAL_PHRASES = refusal_words("en").phrases
"""English phrases that refuse wherever a clause holds them, in any spelling of their contractions and apostrophes.

Words such as *really*, *any*, *enough* and *the* are passed over on both sides, so ``I don't have information`` also
stands for ``I do not actually have enough information``. To extend, pass ``phrases=(*REFUSAL_PHRASES, "...")``.
"""

_ASCII_WORD = re.compile("[a-z0-9]+")
_LONGEST_REFUSAL = 120
"""Characters of a reference that may be a refusal."""


def find(words: Texts, part: Texts) -> list[int]:
    """Where ``part`` begins in ``words``."""
    n = len(part)
    return [i for i in range(len(words) - n + 1) if n and words[i : i + n] == part]


def found_in(words: Texts, phrases: Phrases) -> list[tuple[int, int]]:
    """(start, end) of each phrase in the words."""
    return [
        (i, i + len(phrase))
        for i, word in enumerate(words)
        for phrase in phrases.get(word, ())
        if words[i : i + len(phrase)] == phrase
    ]


def covered(words: Texts, phrases: Phrases) -> set[int]:
    """The places of all words that stand in a phrase."""
    return {place for start, end in found_in(words, phrases) for place in range(start, end)}


def _by_first_word(phrases: Iterable[Texts]) -> Phrases:
    found: Phrases = {}
    for phrase in dict.fromkeys(filter(None, phrases)):
        found.setdefault(phrase[0], []).append(phrase)
    return found


class Lists:
    """One language's. ``no_answer``: words, or what stands for them, that add nothing to an answer."""

    def __init__(self, language: Language) -> None:
        self.own = own = refusal_words(language)
        self.fillers = _by_first_word(map(self.texts, own.fillers))
        self.openings, self.replies, self.endings = map(self.cores, (own.openings, own.replies, own.endings))
        self.guesses, self.advice, self.reported, self.others = (
            _by_first_word(map(self.texts, texts)) for texts in (own.guesses, own.advice, own.reported, own.others)
        )
        self.openers, self.talk, self.leads, self.bare_guesses, self.other_objects = (
            tuple(map(self.texts, texts))
            for texts in (own.openers, own.talk, own.leads, own.bare_guesses, own.other_objects)
        )
        said = [*own.words, *own.boilerplate, *own.fillers]
        if own.inflected:
            said += [*own.talk, *own.turns, *own.guesses]
        self.no_answer = _by_first_word(
            part for text in said for part in ([self.texts(text)] if own.unspaced else zip(self.texts(text)))
        )
        self.stopwords = frozenset((*own.words, *own.fillers))
        self._selves = tuple(self.joined(self.texts(text)) for text in own.selves) or ("",)
        self._with_gap, self._denial, self._absence = self._gapped(), self._negated(), self._absent()

    def texts(self, text: str) -> Texts:
        """The words of a text as it is."""
        return tuple(word.text for word in words_of(straighten(text), self.own))

    def core(self, text: str) -> Texts:
        """Without fillers."""
        return self.without_fillers(self.texts(text))

    def without_fillers(self, texts: Texts) -> Texts:
        dropped = covered(texts, self.fillers)
        return tuple(text for place, text in enumerate(texts) if place not in dropped) if dropped else texts

    def cores(self, phrases: Iterable[str]) -> Phrases:
        return _by_first_word(self.core(phrase) for phrase in phrases if GAP not in phrase)

    def joined(self, texts: Texts) -> str:
        return "".join(texts) if self.own.unspaced else f" {' '.join(texts)} "

    def matches(self, texts: Texts) -> bool:
        """Whether a phrase with a gap is in the words, or someone who denies that he knows, has or finds something."""
        text = self.joined(texts)
        is_denied = any(own in text for own in self._selves) and self._denial.search(text)
        return bool(is_denied or self._with_gap.search(text))

    def is_of_others(self, texts: Texts) -> bool:
        """``Most people do not know that it was Lyon``: others do not know, and nothing is said of the speaker."""
        text = self.joined(texts)
        return bool(found_in(texts, self.others)) and not any(own and own in text for own in self._selves)

    def has_no_facts(self, texts: Texts) -> bool:
        """``No data is available``, ``The name is not recorded``."""
        return bool(self._absence.match(self.joined(texts)))

    def _gapped(self) -> re.Pattern[str]:
        """A gap has up to 24 characters."""
        found = []
        for phrase in (*self.own.phrases, *self.own.openings):
            if GAP in phrase:
                parts = [re.escape(self.joined(self.core(part))) for part in phrase.split(GAP)]
                found.append(r".{0,24}".join(parts).replace(r"\ .{0,24}\ ", r"\ (?:.{0,24}\ )?"))
        return re.compile("|".join(found) or "(?!)")

    def _negated(self) -> re.Pattern[str]:
        """A negation near a word of knowing, telling or finding."""
        own = self.own
        if not own.negations:
            return re.compile("(?!)")
        knowing, negations = (
            "(?:" + "|".join(re.escape(fold(text)) for text in texts) + ")" for texts in (own.knowing, own.negations)
        )
        if own.verb_last:
            return re.compile(f"{knowing}.{{0,{12 if own.unspaced else 24}}}{negations} ?$")
        if own.unspaced:
            return re.compile(f"{knowing}.{{0,8}}{negations}|{negations}.{{0,8}}{knowing}")
        between = r"(?:\S+ ){0,6}"
        if not own.by_commas:  # "I know that it is not Paris"
            return re.compile(rf" {negations} {between}{knowing}\S* ")
        whole = "|".join(re.escape(fold(text)) + (r"\w*" if len(text) > 3 else "") for text in own.negations)
        own_words = "|".join(re.escape(text.strip()) for text in self._selves)
        said_of_itself = rf"(?:{own_words}) (?:\S+ ){{0,3}}(?:{whole})|(?:{whole}) (?:\S+ ){{0,3}}(?:{own_words})"
        return re.compile(
            rf" (?:{knowing}\S* {between}{negations}|{negations}\w* {between}{knowing}\S*|{said_of_itself}) "
        )

    def _absent(self) -> re.Pattern[str]:
        """A fact and a word of being there in 120 characters, and a negation near one of them."""
        own = self.own
        if not own.facts:
            return re.compile("(?!)")
        end, near = ("", ".{0,8}?") if own.unspaced else (" ", r"(?:\S+ ){0,4}?")
        fact, there, negation = (
            f"(?:{'|'.join(map(self._beginning, texts))}){end}" for texts in (own.facts, own.absent, own.negations)
        )
        anywhere = f".{{0,120}}?{end}"
        first = anywhere if own.by_commas else r" (?:\S+ )??"
        return re.compile(
            f"(?={first}{fact})(?={anywhere}(?:(?={negation}){near}{there}|(?={there}){near}{negation}))"
            f"|(?={first}(?={negation}){near}{fact})(?={anywhere}{there})"
        )

    def _beginning(self, text: str) -> str:
        """A pattern of words that begin so, short ones as a whole."""
        ending = r"\S*" if len(text) > 3 and not self.own.unspaced else ""
        return ".{0,24}".join(re.escape(fold(part)) for part in text.split(GAP)) + ending


@cache
def lists_of(language: Language) -> Lists:
    return Lists(language)


@lru_cache(maxsize=64)
def refusing_phrases(language: Language, phrases: tuple[str, ...]) -> Phrases:
    """What refuses anywhere in a clause: ``phrases``, and beside English those of the language."""
    lists = lists_of(language)
    return lists.cores(phrases if language == "en" else (*lists.own.phrases, *phrases))


@cache
def _signs() -> tuple[frozenset[str], tuple[str, ...]]:
    """The longest word of everything that refuses in some language, and all that does where words have no spaces."""
    words, parts = set(), []
    for language in get_args(Language)[1:]:
        lists = lists_of(language)
        for phrase in (*lists.own.phrases, *lists.own.openings, *lists.own.endings, *lists.own.replies):
            if lists.own.unspaced:
                parts.append(max(("".join(lists.core(part)) for part in phrase.split(GAP)), key=len))
            else:
                words.add(max(lists.core(phrase), key=len))
    return frozenset(words), tuple(parts)


def may_refuse(text: str) -> bool:
    """Whether a short text may refuse in a language other than English; soon told for nearly all that do not."""
    if len(text) > _LONGEST_REFUSAL:
        return False
    words, parts = _signs()
    if text.isascii():
        return not words.isdisjoint(_ASCII_WORD.findall(text.lower()))
    plain = fold(text)
    unspaced = plain.replace(" ", "")
    return not words.isdisjoint(plain.split()) or any(part in unspaced for part in parts)
