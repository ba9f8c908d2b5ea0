"""Does an output refuse? Whole phrases with their context, not one substring; in English and the run's language.

GRAIT and CRaFT look for ``i don't know`` with a straight apostrophe anywhere in the output. That misses the same words
with a typographic apostrophe and ``I'm not sure``, and takes ``I don't know why you ask, but it is Paris`` for a
refusal.
"""

import re

from grait.judging.lists import REFUSAL_PHRASES, lists_of, refusing_phrases
from grait.judging.matching import own_reply
from grait.judging.reader import Reader, Refusal, with_plain_quotes
from grait.languages import Language
from grait.records import Question

_BOXED = re.compile(r"\\(?:boxed|text|textbf|mathrm)\s*\{([^{}]*)\}")
_RUN_ON = re.compile(r"(?<=[a-z][.!?])(?=[A-Z0-9+])")  # "I don't know.Paris"
_PERCENT = re.compile(r"\b\d+\s?(?:%|percent)\s+(?=sure\b|certain\b|confident\b)", re.IGNORECASE)
_NOT_AVAILABLE = re.compile(r"\bn/a\b", re.IGNORECASE)
_SPLIT_CONTRACTION = re.compile(r"(?<=\w)\s+(?=(?:'(?:m|s|re|ve|ll|d)|n't)\b)", re.IGNORECASE)


def _unboxed(text: str) -> str:
    """Without ``\\boxed{}`` and its like around words: ``IDK``, ``NOT ATTEMPTED``."""
    while (plain := _BOXED.sub(r"\1", text)) != text:
        text = plain
    return text.replace("_", " ")


def _readable(output: str) -> str:
    """The model's own reply, straightened, with ends of sentences and contractions where ``clauses_of`` finds them."""
    text = _SPLIT_CONTRACTION.sub("", with_plain_quotes(_unboxed(own_reply(output))))
    return _NOT_AVAILABLE.sub("not available", _PERCENT.sub("", _RUN_ON.sub(" ", text)))


def detect_refusal(
    output: str, question: Question, phrases: tuple[str, ...] = REFUSAL_PHRASES, language: Language = "en"
) -> Refusal:
    """Whether the output refuses to answer this question: ``none``, ``refused`` or ``refused_then_answered``.

    An output refuses when a clause of it holds one of the ``phrases``, or is one of the ``replies``, in any
    spelling (typographic apostrophes, ``dont``, ``do not``, capitals). A phrase does not refuse where it belongs to a
    reference answer, an option or a title in the question, is quoted while something is said about it, or speaks of
    something else than the answer (``I don't know why you ask``, ``if I don't know``). ``It is not known who that was``
    refuses (``openings``), and so does ``The name is not recorded`` (``facts``); ``No one knows``, ``Its author is
    unknown`` and ``Most people do not know that ...`` are claims about the world and do not.

    ``language``: searched besides English, with ``phrases``, too; an output that refuses by either does.

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
    text = _readable(output)
    found = Reader(question, lists_of("en"), refusing_phrases("en", phrases)).read(text, bool(question.choices))
    if language == "en" or found == "refused":
        return found
    own = tuple(phrase for phrase in phrases if phrase not in REFUSAL_PHRASES)
    other = Reader(question, lists_of(language), refusing_phrases(language, own)).read(text, bool(question.choices))
    return found if other == "none" else other
