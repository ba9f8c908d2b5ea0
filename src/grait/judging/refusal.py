"""Does an output refuse? Whole phrases with their context, not one substring; in English and the run's language.

GRAIT and CRaFT look for ``i don't know`` with a straight apostrophe anywhere in the output. That misses the same words
with a typographic apostrophe and ``I'm not sure``, and takes ``I don't know why you ask, but it is Paris`` for a
refusal.
"""

import re
from functools import lru_cache

from grait.judging import english
from grait.judging.clauses import Clause, Word, clauses_of, plain_words, without_fillers, words_of
from grait.judging.matching import own_reply, straighten
from grait.judging.packs import PackReader, Refusal
from grait.judging.phrases import REFUSAL_PHRASES, REFUSAL_REPLIES, REFUSAL_STATEMENTS
from grait.judging.reader import QUOTED, Reader, found_in, is_talk, quotation
from grait.languages import Language
from grait.records import Question

_BOXED = re.compile(r"\\(?:boxed|text|textbf|mathrm)\s*\{([^{}]*)\}")
_RUN_ON = re.compile(r"(?<=[a-z][.!?])(?=[A-Z0-9+])")  # "I don't know.Paris"
_PERCENT = re.compile(r"\b\d+\s?(?:%|percent)\s+(?=sure\b|certain\b|confident\b)", re.IGNORECASE)
_NOT_AVAILABLE = re.compile(r"\bn/a\b", re.IGNORECASE)
_SPLIT_CONTRACTION = re.compile(r"(?<=\w)\s+(?=(?:'(?:m|s|re|ve|ll|d)|n't)\b)", re.IGNORECASE)


@lru_cache(maxsize=32)
def _compiled(phrases: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(dict.fromkeys(core for phrase in phrases if (core := without_fillers(plain_words(phrase)))))


def _without_quotations(text: str, phrases: tuple[tuple[str, ...], ...]) -> str:
    """The text without quoted phrases, where something is said about them: the title of a song, a line of a play.

    A quoted phrase stays where it is all that is said (``The answer is "I don't know".``).
    """
    outside = without_fillers(tuple(word.text for word in words_of(QUOTED.sub(" ", text))))
    if all(is_talk(word) for word in outside):
        return text

    def keep(found: re.Match[str]) -> str:
        inner = quotation(found)
        return " Quotation " if found_in(inner, phrases) else found.group()

    return QUOTED.sub(keep, text)


def _unboxed(text: str) -> str:
    """Without ``\\boxed{}`` and its like around words: ``IDK``, ``NOT ATTEMPTED``."""
    while (plain := _BOXED.sub(r"\1", text)) != text:
        text = plain
    return text.replace("_", " ")


def _readable(output: str) -> str:
    """The model's own reply, straightened, with ends of sentences and contractions where ``clauses_of`` finds them."""
    text = _SPLIT_CONTRACTION.sub("", straighten(_unboxed(own_reply(output))))
    return _NOT_AVAILABLE.sub("not available", _PERCENT.sub("", _RUN_ON.sub(" ", text)))


def _core(clause: Clause, lettered: bool) -> tuple[Word, ...]:
    """The clause's words without fillers, each of which hands its comma on. ``lettered``: ``A`` is an option."""
    core: list[Word] = []
    comma = False
    for word in clause.words:
        comma = comma or word.after_comma
        if word.text not in english.FILLERS or (word.raw == "A" and lettered):
            core.append(Word(word.text, word.raw, comma and bool(core), word.capital))
            comma = False
    return tuple(core)


def detect_refusal(
    output: str, question: Question, phrases: tuple[str, ...] = REFUSAL_PHRASES, language: Language = "en"
) -> Refusal:
    """Whether the output refuses to answer this question: ``none``, ``refused`` or ``refused_then_answered``.

    An output refuses when a clause of it holds one of the ``phrases``, or is one of ``REFUSAL_REPLIES``, in any
    spelling (typographic apostrophes, ``dont``, ``do not``, capitals). A phrase does not refuse where it belongs to a
    reference answer, an option or a title in the question, is quoted while something is said about it, or speaks of
    something else than the answer (``I don't know why you ask``, ``if I don't know``). ``It is not known who that was``
    refuses (``REFUSAL_STATEMENTS``); ``No one knows`` and ``Its author is unknown`` are claims about the world and do
    not.

    ``language``: searched besides English (``packs``), with ``phrases``, too; an output that refuses by either does.

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
    found = _in_english(output, question, phrases)
    if language == "en" or found == "refused":
        return found
    own = [phrase for phrase in phrases if phrase not in REFUSAL_PHRASES]
    in_language = PackReader(question, language, own).read(_unboxed(output))
    return found if in_language == "none" else in_language


def _in_english(output: str, question: Question, phrases: tuple[str, ...]) -> Refusal:
    lists = (_compiled(phrases), _compiled(REFUSAL_REPLIES), _compiled(REFUSAL_STATEMENTS))
    reader, lettered = Reader(question, *lists), bool(question.choices)
    refused = answered = introduced = False  # introduced: by what would be an answer, were no refusal to follow
    for clause in clauses_of(_without_quotations(_readable(output), reader.phrases), lettered):
        words = _core(clause, lettered)
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
