"""A text as clauses of words, in a language: contractions written out, case and accents put aside."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

from grait.judging.matching import PLAIN_LETTERS, SIGNS, straighten
from grait.languages import RefusalWords

GAP = "…"
MASK = "\u00a7"
"""A word that stands for a title, or for a reference answer that reads like a refusal."""

_MARKS = "\u0300-\u036f\u064b-\u065f\u0670\u0640"
_LETTER = rf"(?:[^\W_]|[{_MARKS}{SIGNS}{MASK}])"
_WORD = re.compile(rf"{_LETTER}+(?:[.']{_LETTER}+)*")
_COMMAS = ",()،、"
_SENTENCE = re.compile(
    r"((?<=[.!?…])[\"')\]]*\s+|[;\n。؛؟।]+|[:!?](?=[^\x00-\x7f])|:\s|\s+-+\s|--+|(?<=[^\W\d_])\s?-\s|\.{2,})"
)
_ABBREVIATION = re.compile(r"\b(St|Mr|Mrs|Ms|Dr|Mt|Ft|Jr|Sr|vs)\.(?=\s)")
_ABBREVIATION_OR_INITIAL = re.compile(r"\b(St|Mr|Mrs|Ms|Dr|Mt|Ft|Jr|Sr|vs|[A-Z])\.(?=\s)")
_DROPPED = re.compile(f"[{_MARKS}\u093c]")
_ALIKE = str.maketrans({"\u0629": "\u0647", "\u0649": "\u064a", "\u0901": "\u0902"})


@dataclass(frozen=True, slots=True)
class Word:
    text: str  # lower case, contractions written out; a character where words have no spaces between them
    raw: str  # as it stands in the text; empty for the second word, or character, of one
    after_comma: bool
    capital: bool  # begins with a capital or holds a digit; beside English also of a script without capitals


@dataclass(frozen=True, slots=True)
class Clause:
    words: tuple[Word, ...]
    after_turn: bool  # begins after "but" or its like
    before_colon: bool
    asks: bool  # ends with a question mark


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """Words without case, accents and vowel marks, between single spaces; letters that are often mixed up are one."""
    plain = unicodedata.normalize("NFKD", straighten(text).casefold())
    plain = unicodedata.normalize("NFC", _DROPPED.sub("", plain)).translate(PLAIN_LETTERS).translate(_ALIKE)
    kept = (letter if letter == MASK or unicodedata.category(letter)[0] in "LMN" else " " for letter in plain)
    return " ".join("".join(kept).split())


def words_of(text: str, own: RefusalWords) -> tuple[Word, ...]:
    """Words of a straightened text."""
    words: list[Word] = []
    end = 0
    for found in _WORD.finditer(text):
        comma = any(mark in text[end : found.start()] for mark in _COMMAS)
        end = found.end()
        has_capital = _has_capital(found.group(), own)
        for i, part in enumerate(_parts(found.group(), own)):
            raw = found.group() if i == 0 else ""
            if part == "not" and words and words[-1].text == "can":
                words[-1] = Word("cannot", words[-1].raw, words[-1].after_comma, words[-1].capital)
                continue
            words.append(Word(part, raw, comma and i == 0, has_capital and (i == 0 or own.inflected)))
    return tuple(words)


def _parts(word: str, own: RefusalWords) -> list[str]:
    if not own.contractions:
        return list(fold(word).replace(" ", "")) if own.unspaced else fold(word).split()
    word = word.casefold()
    if word in own.contractions:
        return own.contractions[word].split()
    for ending, full in own.contracted_endings.items():
        if word.endswith(ending) and len(word) > len(ending):
            return (word[: -len(ending)] + full).split()
    return [word]


def _has_capital(word: str, own: RefusalWords) -> bool:
    if own.inflected:
        pieces = re.split("[.']", word)
        return any(piece[:1].isupper() or piece[:1].isdigit() or piece.lower() == piece.upper() for piece in pieces)
    is_name = word[0].isupper() or any(character.isdigit() for character in word)
    return is_name and word != "I" and not word.startswith("I'")


@cache
def _turn(own: RefusalWords) -> re.Pattern[str]:
    turns = "|".join(sorted((re.escape(turn) for turn in own.turns if GAP not in turn), key=len, reverse=True))
    if own.unspaced:
        after = [rf"(?<={re.escape(turn.strip(GAP))})\s*" for turn in own.turns if GAP in turn]
        return re.compile("|".join([rf"(?:\A|(?<=[,、]))\s*(?:{turns})", *after]))
    return re.compile(rf",?\s*(?<!{_LETTER})(?:{turns})(?!{_LETTER}),?", re.IGNORECASE)


def clauses_of(text: str, lettered: bool, own: RefusalWords) -> list[Clause]:
    """The text cut at sentence ends, semicolons, colons, dashes and words such as "but", in most languages at commas.

    ``lettered``: ``B.`` is an option and ends a sentence; otherwise it is an initial and does not.
    """
    text = (_ABBREVIATION if lettered else _ABBREVIATION_OR_INITIAL).sub(r"\1", text)
    clauses = []
    pieces = _SENTENCE.split(text)  # sentence, what ends it, sentence, ...
    for sentence, end in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        asks = sentence.rstrip("\"')] ").endswith("?") or end.startswith("?")
        for i, part in enumerate(_turn(own).split(sentence)):
            words = words_of(part, own)
            cuts = [k for k, word in enumerate(words) if k and word.after_comma] if own.by_commas else []
            for first, last in zip([0, *cuts], [*cuts, len(words)], strict=True):
                if words[first:last]:
                    clauses.append(Clause(words[first:last], i > 0 and first == 0, end.startswith(":"), asks))
    return clauses
