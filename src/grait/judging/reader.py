"""A clause of an output read in the light of its question: which phrases in it refuse, and whether it answers."""

import re
from functools import lru_cache

from grait.judging import english
from grait.judging.clauses import Clause, Word, plain_words, without_fillers
from grait.judging.matching import contains_answer, is_correct, parse_choice, straighten
from grait.records import Question

QUOTED = re.compile(r"\"([^\"]+)\"|(?<!\w)'((?:[^']|(?<=\w)'(?=\w))+)'(?!\w)|\*([^*]+)\*")

Texts = tuple[str, ...]
"""``Word.text`` of some words."""


def quotation(found: re.Match[str]) -> Texts:
    """The words within the marks of a ``QUOTED`` text, without fillers."""
    return without_fillers(plain_words(next(filter(None, found.groups()))))


def find(words: Texts, part: Texts) -> list[int]:
    """Where ``part`` begins in ``words``."""
    n = len(part)
    return [i for i in range(len(words) - n + 1) if n and words[i : i + n] == part]


@lru_cache(maxsize=32)
def _by_first_word(phrases: tuple[Texts, ...]) -> dict[str, list[Texts]]:
    found: dict[str, list[Texts]] = {}
    for phrase in phrases:
        found.setdefault(phrase[0], []).append(phrase)
    return found


def found_in(words: Texts, phrases: tuple[Texts, ...]) -> list[tuple[int, int]]:
    """(start, end) of each phrase in the words."""
    index = _by_first_word(phrases)
    return [
        (i, i + len(phrase))
        for i, word in enumerate(words)
        for phrase in index.get(word, ())
        if words[i : i + len(phrase)] == phrase
    ]


def is_talk(text: str) -> bool:
    """Whether a word adds no answer: ``would``, ``sorry``, ``information``."""
    return text in english.STOPWORDS or text in english.BOILERPLATE


class Reader:
    """One question, in whose light clauses are read: its words, and phrases that are titles or answers of its own."""

    def __init__(
        self,
        question: Question,
        phrases: tuple[Texts, ...],
        replies: tuple[Texts, ...],
        statements: tuple[Texts, ...] = (),
    ) -> None:
        self.question = question
        self.words = without_fillers(plain_words(question.question))
        self.known = frozenset(self.words)
        self.titles = {quotation(found) for found in QUOTED.finditer(straighten(question.question))}
        self.phrases = phrases
        references = {without_fillers(plain_words(text)) for text in (*question.answers, *question.choices)}
        # Only references that hold a phrase can be mistaken for a refusal.
        self.shields = tuple(
            reference
            for reference in references
            if reference in replies or found_in(reference, phrases) or found_in(reference, statements)
        )
        self.statements = statements
        self.replies = replies

    # -- refusing ----------------------------------------------------------------------------------------------

    def refusal_spans(self, words: tuple[Word, ...]) -> list[tuple[int, int]]:
        """(start, end) of each phrase in a clause (fillers removed) that refuses."""
        texts = _texts(words)
        shielded = {i + k for shield in self.shields for i in find(texts, shield) for k in range(len(shield))}
        spans = [
            (start, end)
            for start, end in found_in(texts, self.phrases)
            if not self._is_about_something_else(texts, start, end)
        ]
        spans += [
            (start, end)
            for start, end in found_in(texts, self.statements)
            if _begins(words, start) and not (self._has_another_object(texts[end:]) or _names(texts, end))
        ]
        spans += [
            (start, end)
            for start, end in found_in(texts, self.replies)
            if _stands_alone(words, start, end) and texts[start:end] not in self.shields
        ]
        return sorted(span for span in spans if not shielded.intersection(range(*span)))

    def _is_about_something_else(self, texts: Texts, start: int, end: int) -> bool:
        """Whether the phrase from ``start`` to ``end`` does not speak of the answer."""
        before, phrase, after = texts[:start], texts[start:end], texts[end:]
        repeats = len(after) > 1 and after[:2] == self.words[:2]  # "I don't know is it a book or a film"
        return (
            (not repeats and self._has_another_object(after))
            or (not repeats and _is_title(phrase, after))
            or _is_reported(before, phrase)
            or self._is_quoted_from_question(phrase, after)
        )

    def _has_another_object(self, after: Texts) -> bool:
        """``I don't know why you ask``. Where the question asks why, ``I don't know why people do`` is a refusal."""
        asks_why = self.words[:1] == ("why",)
        return _starts(after, english.OTHER_OBJECTS) and not (asks_why and after[1:2] != ("you",))

    def _is_quoted_from_question(self, phrase: Texts, after: Texts) -> bool:
        """``I Don't Know How to Love Him is from a musical``, when the question holds these words."""
        for i in find(self.words, phrase):
            tail = self.words[i + len(phrase) :]
            same = next((k for k, pair in enumerate(zip(tail, after, strict=False)) if pair[0] != pair[1]), None)
            run = min(len(tail), len(after)) if same is None else same
            title = not tail or phrase in self.titles
            if run >= 2 or (after and after[0] not in english.OPEN_OBJECT and (title or run == 1)):
                return True
        return False

    # -- answering ---------------------------------------------------------------------------------------------

    def asserts(self, clause: Clause) -> bool:
        """Whether a clause without refusal phrase gives an answer, right or wrong."""
        words, texts = clause.words, _texts(clause.words)
        if self.gives_reference(words):
            return True
        if _starts(texts, english.OPENERS) or self._is_foreign_letter(texts):
            return False
        new = self._new(words)
        if not new:
            return False
        if _holds_strong_cue(texts) or _starts(texts, english.WEAK_CUES):
            return True
        if texts[0] == "i":  # talk about itself
            return False
        is_short = len(without_fillers(texts)) <= 4
        return is_short or clause.after_turn or (self._echoes_question(texts) and _has_capital(new))

    def gives_reference(self, words: tuple[Word, ...]) -> bool:
        """Whether the words hold a reference answer that the question does not, or choose an option."""
        text = " ".join(word.raw for word in words if word.raw)
        if not text or words[0].text == "whether" or _starts(_texts(words), english.OPEN_CONDITIONS):
            return False
        if self.question.choices:
            return parse_choice(text, self.question.choices) is not None
        if self.question.match == "exact":
            return is_correct(text, self.question)
        return any(
            contains_answer(text, answer) and not contains_answer(self.question.question, answer)
            for answer in self.question.answers
        )

    def may_introduce(self, clause: Clause) -> bool:
        """Whether a clause may be the heading of the next one (``Arrangement of words: I don't know.``)."""
        return clause.before_colon and len(clause.words) > 1 and not self.gives_reference(clause.words)

    def answers_beside(self, words: tuple[Word, ...], spans: list[tuple[int, int]]) -> bool:
        """Whether a clause with refusing phrases also gives an answer before the first or after the last of them.

        What stands directly after a phrase is what is not known ("the capital of X"), so only what a comma sets apart
        or a word such as "maybe" begins is taken for an answer.
        """
        start, end = spans[0][0], max(end for _, end in spans)
        has_comma = start > 0 and words[start].after_comma
        return (has_comma and self._answers_before(words[:start])) or self._answers_after(words[end:])

    def _answers_before(self, before: tuple[Word, ...]) -> bool:
        """``Probably Paris, I'm not sure``; but not ``As for the capital of France, I don't know``."""
        if self.gives_reference(before):
            return True
        texts, new = _texts(before), self._new(before)
        if new and _holds_strong_cue(texts):
            return True
        no_answer = (["as"], ["about"], ["regarding"], ["for"], ["i", "am"], *english.OPENERS)
        return _has_capital(new) and not _starts(texts, no_answer)

    def _answers_after(self, after: tuple[Word, ...]) -> bool:
        """``I don't know maybe Paris``, ``I don't know, Paris``; but not ``I don't know, please ask someone``."""
        if _starts(_texts(after), english.BARE_CUES):
            return bool(self._new(after)) or self.gives_reference(after)
        comma = next((k for k, word in enumerate(after) if word.after_comma), None)
        if comma is None:
            return False
        tail = after[comma:]
        if self.gives_reference(tail):
            return True
        texts = _texts(tail)
        if not self._new(tail) or _starts(texts, english.OPENERS):
            return False
        return _starts(texts, (*english.STRONG_CUES, *english.WEAK_CUES)) or (comma == 0 and len(tail) <= 4)

    def _new(self, words: tuple[Word, ...]) -> list[Word]:
        """The words that neither the question nor polite talk explains."""
        return [word for word in words if not is_talk(word.text) and word.text not in self.known]

    def _is_foreign_letter(self, texts: Texts) -> bool:
        """A letter beyond the options: ``F`` where there are four."""
        return bool(self.question.choices) and len(texts) == 1 and len(texts[0]) == 1

    def _echoes_question(self, texts: Texts) -> bool:
        """Whether a word of the question's subject stands in the clause: ``The capital of France is Lyon``."""
        return any(text in self.known and text not in english.STOPWORDS for text in texts)


def _texts(words: tuple[Word, ...]) -> Texts:
    return tuple(word.text for word in words)


def _starts(words: Texts, openings: tuple[list[str], ...]) -> bool:
    return any(list(words[: len(opening)]) == opening for opening in openings)


def _holds_strong_cue(texts: Texts) -> bool:
    """``the capital is, I think, Lyon``"""
    return any(find(texts, tuple(cue)) for cue in english.STRONG_CUES)


def _has_capital(words: list[Word]) -> bool:
    """A new name or number: ``Lyon``, ``1912``."""
    return any(word.capital for word in words)


def _stands_alone(words: tuple[Word, ...], start: int, end: int) -> bool:
    """A whole clause, or a part between commas: ``Unknown, sorry``; not ``an unknown painter``."""
    return (start == 0 or words[start].after_comma) and (end == len(words) or words[end].after_comma)


def _begins(words: tuple[Word, ...], start: int) -> bool:
    """At the beginning of a clause, after a comma, or after mere talk: ``Well it is not known ...``."""
    return start == 0 or words[start].after_comma or all(is_talk(word.text) for word in words[:start])


def _names(texts: Texts, end: int) -> bool:
    """``It is the Unknown Warrior``: a noun follows the word that the statement ends with."""
    return texts[end - 1] == "unknown" and end < len(texts) and not is_talk(texts[end])


def _is_title(phrase: Texts, after: Texts) -> bool:
    """``I Don't Know was written by Paul McCartney``"""
    return phrase[0] == "i" and bool(after) and after[0] in english.TITLE_VERBS


def _is_reported(before: Texts, phrase: Texts) -> bool:
    """``a song called I Don't Know``, ``not that I know``; but not ``I said I don't know``."""
    if phrase[0] != "i":
        return False
    if before[-2:] in (("not", "that"), ("you", "think"), ("me", "say")):
        return True
    is_own = before[-2:-1] == ("i",) or before[-3:] in english.SELF_REPORTS
    return bool(before) and before[-1] in english.REPORTED and not is_own
