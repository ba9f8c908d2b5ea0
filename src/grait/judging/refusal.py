"""Does an output refuse? Whole phrases with their context, not one substring.

GRAIT and CRaFT look for ``i don't know`` with a straight apostrophe anywhere in the output. That misses the same words
with a typographic apostrophe and ``I'm not sure``, and takes ``I don't know why you ask, but it is Paris`` for a
refusal.
"""

import re
from functools import lru_cache
from typing import Literal

from grait.judging import english
from grait.judging.clauses import Clause, Word, clauses_of, plain_words, without_fillers, words_of
from grait.judging.matching import contains_answer, is_correct, own_reply, parse_choice, straighten
from grait.judging.phrases import REFUSAL_PHRASES, REFUSAL_REPLIES
from grait.records import Question

Refusal = Literal["none", "refused", "refused_then_answered"]

_RUN_ON = re.compile(r"(?<=[a-z][.!?])(?=[A-Z0-9+])")  # "I don't know.Paris"
_PERCENT = re.compile(r"\b\d+\s?(?:%|percent)\s+(?=sure\b|certain\b|confident\b)", re.IGNORECASE)
_NOT_AVAILABLE = re.compile(r"\bn/a\b", re.IGNORECASE)
_SPLIT_CONTRACTION = re.compile(r"(?<=\w)\s+(?=(?:'(?:m|s|re|ve|ll|d)|n't)\b)", re.IGNORECASE)
_QUOTED = re.compile(r"\"([^\"]+)\"|(?<!\w)'((?:[^']|(?<=\w)'(?=\w))+)'(?!\w)|\*([^*]+)\*")


@lru_cache(maxsize=32)
def _compiled(phrases: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(dict.fromkeys(core for phrase in phrases if (core := without_fillers(plain_words(phrase)))))


def _starts(words: tuple[str, ...], openings: tuple[list[str], ...]) -> bool:
    return any(list(words[: len(opening)]) == opening for opening in openings)


def _find(words: tuple[str, ...], part: tuple[str, ...]) -> list[int]:
    """Where ``part`` begins in ``words``."""
    n = len(part)
    return [i for i in range(len(words) - n + 1) if n and words[i : i + n] == part]


class _Reader:
    """What one question says about its output: its words, and which phrases are titles or answers of its own."""

    def __init__(self, question: Question, phrases: tuple[tuple[str, ...], ...], replies: tuple[tuple[str, ...], ...]):
        self.question = question
        self.words = without_fillers(plain_words(question.question))
        self.known = frozenset(self.words)
        quoted = _QUOTED.finditer(straighten(question.question))
        self.titles = {without_fillers(plain_words(next(filter(None, found.groups())))) for found in quoted}
        self.phrases = phrases
        references = {without_fillers(plain_words(text)) for text in (*question.answers, *question.choices)}
        # Only references that hold a phrase can be mistaken for a refusal.
        self.shields = tuple(
            reference
            for reference in references
            if reference in replies or any(_find(reference, phrase) for phrase in phrases)
        )
        self.replies = tuple(reply for reply in replies if reply not in self.shields)

    def refusal_spans(self, words: tuple[Word, ...]) -> list[tuple[int, int]]:
        """(start, end) of each phrase in a clause (fillers removed) that refuses."""
        texts = tuple(word.text for word in words)
        shielded = {i + k for shield in self.shields for i in _find(texts, shield) for k in range(len(shield))}
        spans = []
        for phrase in self.phrases:
            for i in _find(texts, phrase):
                end = i + len(phrase)
                if not shielded.intersection(range(i, end)) and not self._is_about_something_else(texts, i, end):
                    spans.append((i, end))
        for reply in self.replies:
            for i in _find(texts, reply):
                end = i + len(reply)
                alone = (i == 0 or words[i].after_comma) and (end == len(words) or words[end].after_comma)
                if alone and not shielded.intersection(range(i, end)):
                    spans.append((i, end))
        return sorted(spans)

    def _is_about_something_else(self, texts: tuple[str, ...], start: int, end: int) -> bool:
        after, before = texts[end:], texts[:start]
        repeats = len(after) > 1 and after[:2] == self.words[:2]  # "I don't know is it a book or a film"
        if (
            _starts(after, english.OTHER_OBJECTS)
            and not repeats
            and not (self.words[:1] == ("why",) and after[1:2] != ("you",))
        ):
            return True
        if texts[start] == "i":
            if after and after[0] in english.TITLE_VERBS and not repeats:
                return True
            if (
                before
                and before[-1] in english.REPORTED
                and before[-2:-1] != ("i",)
                and before[-3:] not in english.SELF_REPORTS
            ):
                return True
            if before[-2:] == ("not", "that") or before[-2:] in (("you", "think"), ("me", "say")):
                return True
        phrase = texts[start:end]
        for i in _find(self.words, phrase):  # the question holds the phrase: is the output only quoting it?
            tail = self.words[i + len(phrase) :]
            same = next((k for k, pair in enumerate(zip(tail, after, strict=False)) if pair[0] != pair[1]), None)
            run = min(len(tail), len(after)) if same is None else same
            title = not tail or phrase in self.titles
            if run >= 2 or (after and after[0] not in english.OPEN_OBJECT and (title or run == 1)):
                return True
        return False

    def asserts(self, clause: Clause) -> bool:
        """Whether a clause without refusal phrase gives an answer, right or wrong."""
        words = clause.words
        if self.gives_reference(words):
            return True
        texts = tuple(word.text for word in words)
        if _starts(texts, english.OPENERS):
            return False
        if self.question.choices and len(words) == 1 and len(texts[0]) == 1:  # a letter beyond the options
            return False
        new = [word for word in words if self._is_new(word)]
        if not new:
            return False
        if any(_find(texts, tuple(cue)) for cue in english.STRONG_CUES) or _starts(texts, english.WEAK_CUES):
            return True
        if texts[0] == "i":  # talk about itself
            return False
        if len(without_fillers(texts)) <= 4 or clause.after_turn:
            return True
        echoes = any(text in self.known and text not in english.STOPWORDS for text in texts)
        return echoes and any(word.capital for word in new)

    def gives_reference(self, words: tuple[Word, ...]) -> bool:
        """Whether the words hold a reference answer that the question does not, or choose an option."""
        text = " ".join(word.raw for word in words if word.raw)
        if (
            not text
            or words[0].text == "whether"
            or _starts(tuple(word.text for word in words), english.OPEN_CONDITIONS)
        ):
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

    def _is_new(self, word: Word) -> bool:
        return (
            word.text not in english.STOPWORDS and word.text not in english.BOILERPLATE and word.text not in self.known
        )

    def answers_beside(self, words: tuple[Word, ...], spans: list[tuple[int, int]]) -> bool:
        """Whether a clause with refusing phrases also gives an answer before the first or after the last of them.

        What stands directly after a phrase is what is not known ("the capital of X"), so only what a comma sets apart
        or a word such as "maybe" begins is taken for an answer.
        """
        start, end = spans[0][0], max(end for _, end in spans)
        before, after = words[:start], words[end:]
        if before and words[start].after_comma:
            if self.gives_reference(before):
                return True
            texts = tuple(word.text for word in before)
            new = [word for word in before if self._is_new(word)]
            if new and any(_find(texts, tuple(cue)) for cue in english.STRONG_CUES):
                return True
            no_answer = (["as"], ["about"], ["regarding"], ["for"], ["i", "am"], *english.OPENERS)
            if any(word.capital for word in new) and not _starts(texts, no_answer):
                return True
        if after and _starts(tuple(word.text for word in after), english.BARE_CUES):
            return any(self._is_new(word) for word in after) or self.gives_reference(after)
        comma = next((k for k, word in enumerate(after) if word.after_comma), None)
        if comma is None:
            return False
        tail = after[comma:]
        if self.gives_reference(tail):
            return True
        texts = tuple(word.text for word in tail)
        if not any(self._is_new(word) for word in tail) or _starts(texts, english.OPENERS):
            return False
        if _starts(texts, (*english.STRONG_CUES, *english.WEAK_CUES)):
            return True
        return comma == 0 and len(tail) <= 4


def _without_quotations(text: str, phrases: tuple[tuple[str, ...], ...]) -> str:
    """The text without quoted phrases, where something is said about them: the title of a song, a line of a play.

    A quoted phrase stays where it is all that is said (``The answer is "I don't know".``).
    """
    outside = without_fillers(tuple(word.text for word in words_of(_QUOTED.sub(" ", text))))
    if not any(word not in english.STOPWORDS and word not in english.BOILERPLATE for word in outside):
        return text

    def keep(found: re.Match[str]) -> str:
        inner = without_fillers(plain_words(next(filter(None, found.groups()))))
        return " Quotation " if any(_find(inner, phrase) for phrase in phrases) else found.group()

    return _QUOTED.sub(keep, text)


def detect_refusal(output: str, question: Question, phrases: tuple[str, ...] = REFUSAL_PHRASES) -> Refusal:
    """Whether the output refuses to answer this question: ``none``, ``refused`` or ``refused_then_answered``.

    An output refuses when a clause of it holds one of the ``phrases``, or is one of ``REFUSAL_REPLIES``, in any
    spelling (typographic apostrophes, ``dont``, ``do not``, capitals). A phrase does not refuse where it belongs to a
    reference answer, an option or a title in the question, is quoted while something is said about it, or speaks of
    something else than the answer (``I don't know why you ask``, ``if I don't know``). ``No one knows`` is a statement
    about the world, not a refusal.

    Counting rule: ``refused_then_answered`` (``I don't know, but it is Paris``; ``Paris, but I'm not sure``) counts
    as an ANSWER and is judged by its correctness, because a user reads it as one; only ``refused`` counts as a
    refusal. Count this kind separately to report hedging. Something counts as an answer beside a refusal when it
    holds a reference answer or chooses an option; is a short phrase with words that neither the question nor polite
    talk explains; or asserts such words (``it is``, ``I think``, ``probably``, after ``but``, or in a sentence about
    the question's words with a new name or number). Apologies, requests for context and advice are no answers, nor is
    what is said to be unknown (``I don't know if it is Paris``). These are English rules of thumb; the labelled
    fixture in the tests shows where they stand.

    Only the model's ``own_reply`` is read. An empty output does not refuse.
    """
    reader = _Reader(question, _compiled(phrases), _compiled(REFUSAL_REPLIES))
    text = _SPLIT_CONTRACTION.sub("", straighten(own_reply(output)))
    text = _NOT_AVAILABLE.sub("not available", _PERCENT.sub("", _RUN_ON.sub(" ", text)))
    text = _without_quotations(text, reader.phrases)
    refused = answered = introduced = False  # introduced: by what would be an answer, were no refusal to follow
    for clause in clauses_of(text, lettered=bool(question.choices)):
        core: list[Word] = []
        comma = False
        for word in clause.words:  # a filler hands its comma on
            comma = comma or word.after_comma
            if word.text not in english.FILLERS or (word.raw == "A" and question.choices):  # option A, no article
                core.append(Word(word.text, word.raw, comma and bool(core), word.capital))
                comma = False
        words = tuple(core)
        spans = reader.refusal_spans(words)
        if spans:
            refused, introduced = True, False
            answered = answered or reader.answers_beside(words, spans)
            continue
        asserts = reader.asserts(clause)
        answered = answered or introduced or (asserts and not reader.may_introduce(clause))
        introduced = asserts
    if not refused:
        return "none"
    return "refused_then_answered" if answered or introduced else "refused"
