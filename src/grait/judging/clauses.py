"""A text as clauses of words, contractions written out."""

import re
from dataclasses import dataclass

from grait.judging import english
from grait.judging.matching import straighten

_CONTRACTIONS = {
    "can't": "cannot", "cant": "cannot", "won't": "will not", "shan't": "shall not", "ain't": "is not",
    "dont": "do not", "doesnt": "does not", "didnt": "did not", "isnt": "is not", "wasnt": "was not",
    "arent": "are not", "couldnt": "could not", "wouldnt": "would not", "havent": "have not", "hasnt": "has not",
    "im": "i am", "ive": "i have", "it's": "it is", "that's": "that is", "there's": "there is", "what's": "what is",
    "who's": "who is", "he's": "he is", "she's": "she is", "here's": "here is", "let's": "let us", "gonna": "going to",
    "idon't": "i do not", "idont": "i do not", "iam": "i am",
}  # fmt: skip
_ENDINGS = (("n't", " not"), ("'m", " am"), ("'ve", " have"), ("'re", " are"), ("'ll", " will"), ("'d", " would"))

_WORD = re.compile(r"[^\W_]+(?:[.'][^\W_]+)*")
_SENTENCE = re.compile(r"((?<=[.!?…])[\"')\]*]*\s+|[;\n]+|:\s|\s+-+\s+|--+|(?<=[^\W\d_])\s?-\s|\.{2,})", re.UNICODE)
_TURN = re.compile(r",?\s*\b(?:but|however|though|although|nevertheless|nonetheless|that said)\b,?", re.IGNORECASE)
_ABBREVIATION = re.compile(r"\b(St|Mr|Mrs|Ms|Dr|Mt|Ft|Jr|Sr|vs)\.(?=\s)")
_ABBREVIATION_OR_INITIAL = re.compile(r"\b(St|Mr|Mrs|Ms|Dr|Mt|Ft|Jr|Sr|vs|[A-Z])\.(?=\s)")


@dataclass(frozen=True, slots=True)
class Word:
    text: str  # lower case, contractions written out
    raw: str  # as it stands in the text; empty for the second word of a contraction
    after_comma: bool
    capital: bool  # begins with a capital or holds a digit


@dataclass(frozen=True, slots=True)
class Clause:
    words: tuple[Word, ...]
    after_turn: bool  # begins after "but" or its like
    before_colon: bool


def _expand(word: str) -> str:
    word = word.casefold()
    if word in _CONTRACTIONS:
        return _CONTRACTIONS[word]
    for ending, full in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending):
            return word[: -len(ending)] + full
    return word.removesuffix("'s")


def words_of(text: str) -> tuple[Word, ...]:
    """Words of a straightened text, contractions written out."""
    words: list[Word] = []
    end = 0
    for found in _WORD.finditer(text):
        comma = any(mark in text[end : found.start()] for mark in ",()")
        end = found.end()
        capital = found.group()[0].isupper() or any(character.isdigit() for character in found.group())
        if found.group() == "I" or found.group().startswith("I'"):
            capital = False
        for i, part in enumerate(_expand(found.group()).split()):
            raw = found.group() if i == 0 else ""
            if part == "not" and words and words[-1].text == "can":
                words[-1] = Word("cannot", words[-1].raw, words[-1].after_comma, words[-1].capital)
                continue
            words.append(Word(part, raw, comma and i == 0, capital and i == 0))
    return tuple(words)


def clauses_of(text: str, lettered: bool) -> list[Clause]:
    """The text cut at sentence ends, semicolons, colons, dashes and words such as "but".

    ``lettered``: ``B.`` is an option and ends a sentence; otherwise it is an initial and does not.
    """
    text = (_ABBREVIATION if lettered else _ABBREVIATION_OR_INITIAL).sub(r"\1", text)
    clauses = []
    pieces = _SENTENCE.split(text)  # sentence, what ends it, sentence, ...
    for sentence, end in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        for i, part in enumerate(_TURN.split(sentence)):
            if words := words_of(part):
                clauses.append(Clause(words, after_turn=i > 0, before_colon=end.startswith(":")))
    return clauses


def plain_words(text: str) -> tuple[str, ...]:
    """``Word.text`` of a text as it is, quotes straightened."""
    return tuple(word.text for word in words_of(straighten(text)))


def without_fillers(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in english.FILLERS)
