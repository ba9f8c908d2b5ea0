"""Is an answer right? Text normalisation, answer matching (OEQA) and option parsing (MCQA).

The published evaluation of GRAIT and CRaFT looks for a lower-cased alias anywhere in the lower-cased output, so that
``2`` is found in ``12``; here an alias has to stand on word boundaries.
"""

import html
import re
import unicodedata
from functools import lru_cache
from string import ascii_uppercase

from grait.judging.reasoning import without_reasoning
from grait.languages import question_marks
from grait.records import Question

_ARTICLES = frozenset({"a", "an", "the"})

# Without its article a name such as "The Who" would be found in nearly every sentence.
_FUNCTION_WORDS = frozenset(
    "all and any at be by end first for he i if in is it last me not of on one or other she so that them these they "
    "this those to us was we what when where which who why with you".split()
)

# What may stand around an answer that has to be the whole output, besides the question's own words.
_FRAME_WORDS = frozenset(
    "a an the it its that this is are was has have answer correct of for in to by with as called used written".split()
)
_COPULAS = frozenset({"is", "are", "was"})
_NEGATIONS = frozenset({"not", "no", "nor", "neither", "or", "never", "isnt"})

# As a reference, any of these is found in sentences that mean something else: "No one knows", "It is a cow".
_WHOLE_ONLY = (_FUNCTION_WORDS - {"one", "first", "last", "end", "us"}) | _ARTICLES | {"no", "yes", "but", "as", "do"}

_QUOTES = str.maketrans(
    {
        **dict.fromkeys(
            "\u2018\u2019\u201a\u201b\u2032\u02b9\u02bb\u02bc\u02bd\u02c8`\u00b4\ua78c\ua78b\uff07\u2039\u203a", "'"
        ),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\uff02", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d", "-"),
    }
)

# Letters that Unicode does not decompose into a base letter and an accent.
PLAIN_LETTERS = str.maketrans(
    dict(zip("\u00f8\u0142\u0111\u00f0\u0131\u0127\u014b", "olddihn", strict=True))
    | {"\u00fe": "th", "\u00e6": "ae", "\u0153": "oe"}
)

_ACCENT = re.compile("[\u0300-\u036f\u064b-\u0655\u0670\u0640]")  # also Arabic vowel marks and the hamza on its letters
SIGNS = "".join(letter for letter in map(chr, range(0x900, 0xE00)) if unicodedata.category(letter)[0] == "M")
"""Vowel signs of the scripts of India, which are parts of words."""
_FORMAT_CHARACTER = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_DIGIT_THEN_FRACTION = re.compile("(?<=\\d)(?=[\u00bc-\u00be\u2150-\u215e])")
_DIGIT_THEN_EXPONENT = re.compile("(?<=[0-9])(?=[\u00b9\u00b2\u00b3\u2070\u2074-\u207b])")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DATE = re.compile(r"\b(\d{1,2})[./](\d{1,2})[./](\d{4})\b")
_LONG_SLASH = re.compile(r"(?<=\d{4})/(?=\d)|(?<=\d)/(?=\d{4})")
_INITIALS = re.compile(r"(?<![\w.])[^\W\d_]\.(?:\s?[^\W\d_]\.)+|(?<![\w.])(?:[^\W\d_]\.)+[^\W\d_](?!\w)")
_TOKEN = re.compile(
    r"""
    (?:(?<![\w.)\]])[+-](?=\.?\d))?          # +49, -40; but no sign in 1939-1945
    (?:(?<![\w.])\.(?=[^\W_]))?              # .de, .5; but not the end of a sentence
    (?:[^\W_]|[SIGNS])+(?:(?<=\d)[.:/^](?=\d)[^\W_]+)*   # a word, 3.14, 10:30, 1/2, 10^6
    (?:(?:\+{1,2}|\#)(?![^\W_]))?            # C++, C#, A+
    """.replace("SIGNS", SIGNS),
    re.VERBOSE,
)

# Scripts that put no spaces between words: Thai to Tibetan, Myanmar, Khmer, kana, Han.
_UNSPACED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_COUNTED = re.compile("(?<=[0-9])(?=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3])")
"""Between a number and what is counted: 1912年, 1912년."""
_HANGUL = re.compile("[\uac00-\ud7a3]$")
_ELISION = re.compile(r"\b(?:[cdjlmnst]|qu|dell|dall|nell|sull|all|quell|un)'(?=\w)", re.IGNORECASE)
_SUFFIX = re.compile(r"(?<=\w{3})'(?!(?:t|s|re|ve|ll|d|m)\b)[^\W\d_]+")
_POSSESSIVE = re.compile(r"(?<=[\w#+])'s\b", re.IGNORECASE)
_NEXT_QUESTION = re.compile(
    rf"\n\s*(?:(?:{'|'.join(map(re.escape, question_marks()))})\s*\d*\s*[:.\uff1a]|(?:user|human|assistant)\s*:)",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#\d{2,5}|#x[0-9a-f]{2,4}|amp|quot|apos|lt|gt|nbsp|[lr]squo|[lr]dquo);", re.IGNORECASE)


def straighten(text: str) -> str:
    """The text in Unicode NFKC with straight quotes, apostrophes and hyphens, without invisible characters. Characters
    that are written as in HTML (``don&#39;t``) are read."""
    text = _ENTITY.sub(lambda found: html.unescape(found.group()), text)
    text = _DIGIT_THEN_FRACTION.sub(" ", text.translate(_QUOTES))
    text = _DIGIT_THEN_EXPONENT.sub("^", text)
    text = unicodedata.normalize("NFKC", text).translate(_QUOTES).replace("\u2044", "/")
    return _FORMAT_CHARACTER.sub("", text)


def own_reply(output: str) -> str:
    """The output without reasoning, up to where the model invents a next ``Question:``, ``Q:`` or ``User:`` line.

    In any of our languages (``Frage:``). Base models do so after few-shot prompts. Everything after it answers another
    question and is never judged.
    """
    output = without_reasoning(output)
    start = len(output) - len(output.lstrip())
    found = _NEXT_QUESTION.search(output, start)
    return output[: found.start()] if found else output


@lru_cache(maxsize=65536)
def _tokens(text: str) -> tuple[str, ...]:
    """Folded words of a text, articles included."""
    text = unicodedata.normalize("NFKD", straighten(text).casefold())
    text = unicodedata.normalize("NFKC", _ACCENT.sub("", text)).translate(PLAIN_LETTERS).translate(_QUOTES)
    text = re.sub(r"(?<=\w)'(?=\w)", "", text)
    text = _THOUSANDS.sub("", text)
    text = _DATE.sub(r"\1 \2 \3", text)
    text = _LONG_SLASH.sub(" ", text)
    text = _INITIALS.sub(lambda match: re.sub(r"[.\s]", "", match.group()) + " ", text)
    text = text.replace("&", " and ").replace("%", " percent ").replace("_", " ")
    return tuple(_TOKEN.findall(text))


def normalize(text: str, keep_articles: bool = False) -> str:
    """The text as space-separated folded words; ``""`` when nothing but punctuation is left.

    Unicode NFKC, case folded, quotes straightened, accents of Latin, Greek and Cyrillic letters dropped
    (``São`` to ``sao``), apostrophes inside words dropped (``John's`` to ``johns``), ``&`` and ``%`` spelt out,
    thousands commas dropped, initials joined (``U.S.A.`` and ``J. R. R.`` to ``usa`` and ``jrr``), other punctuation
    turned into spaces. Kept, because they carry the meaning: ``.de``, ``+49``, ``-40``, ``C#``, ``C++``, ``3.14``,
    ``10:30``, ``1/2``. A hyphen between two words or numbers is a space (``1939-1945`` holds ``1945``).

    The articles a, an and the are dropped, except the last word (``vitamin A``) and where only function words would
    be left (``The Who``); ``keep_articles`` keeps them all. Idempotent.
    """
    tokens = _tokens(text)
    if keep_articles:
        return " ".join(tokens)
    kept = [token for i, token in enumerate(tokens) if token not in _ARTICLES or i == len(tokens) - 1]
    if all(token in _FUNCTION_WORDS for token in kept):
        kept = list(tokens)
    return " ".join(kept)


def _squeeze(text: str) -> str:
    return " ".join(straighten(text).casefold().split())


def _holds(text: str, part: str) -> bool:
    """Whether ``part`` stands in ``text`` on word boundaries; both normalised, ``part`` not empty."""
    if _UNSPACED.search(part):
        return part in text
    if _HANGUL.search(part):  # particles and "is" are written on to a word
        return f" {part}" in f" {text}"
    return f" {part} " in f" {text} "


def contains_answer(text: str, answer: str) -> bool:
    """Whether the answer occurs in the text, both normalised, on word boundaries.

    An article counts only where both have it or neither needs it: ``The Who`` is found in ``It is The Who.`` and not
    in ``Who knows?``. A possessive holds its owner (``Einstein's`` holds ``Einstein``), and so do elisions and suffixes
    (``l'Allemagne``, ``Ankara'dır``), and Korean words with what is written on to them. Answers in a script that is
    written without spaces (Han, kana, Thai, ...) are found anywhere. An answer that is only punctuation has to be the
    whole text.
    """
    plain_answer = normalize(answer)
    if not plain_answer:
        return bool(answer.strip()) and _squeeze(text) == _squeeze(answer)
    answer_with_articles = normalize(answer, keep_articles=True)
    plain = straighten(text)
    readings = dict.fromkeys(
        [text, *(ends.sub(" ", plain) for ends in (_POSSESSIVE, _ELISION, _SUFFIX) if "'" in plain)]
    )
    if not plain.isascii():
        readings |= {_COUNTED.sub(" ", plain): None}
    return any(
        _holds(normalize(reading), plain_answer) or _holds(normalize(reading, keep_articles=True), answer_with_articles)
        for reading in readings
    )


def is_correct(output: str, question: Question) -> bool:
    """Whether a free-text output gives a reference answer; refusals are not looked at (see ``outcomes.judge``).

    ``match="normalized"``: some alias occurs on word boundaries, so a long output that names the answer among others
    counts as correct, as in the papers; an alias that is a single letter or a function word (``A``, ``no``, ``It``) is
    read as with ``exact``, or begins the output with a sign after it (``No, it is not.``). ``match="exact"``: the whole
    output is an alias, or an alias in a frame of nothing but words of the question and of ``_FRAME_WORDS`` (``The
    chemical symbol of gold is Au.``). Case, accents, surrounding quotes and punctuation do not matter, every other word
    does. Only the model's ``own_reply`` is read.
    """
    output = own_reply(output)
    if question.match == "normalized":
        return any(
            _is_whole(output, answer, question.question) or _opens(output, answer)
            if _is_weak(answer)
            else contains_answer(output, answer)
            for answer in question.answers
        )
    return any(_is_whole(output, answer, question.question) for answer in question.answers)


@lru_cache(maxsize=65536)
def _is_weak(answer: str) -> bool:
    """Whether an answer is one letter of the Latin alphabet, or one function word."""
    (word, *more) = _tokens(answer) or ("",)
    return not more and (word in _WHOLE_ONLY or bool(re.fullmatch("[a-z]", word)))


def _opens(output: str, answer: str) -> bool:
    """Whether the output begins with the answer, a word, and a sign after it: ``No, it is not.``"""
    return (
        len(answer.strip()) > 1
        and re.match(rf"\W*{re.escape(answer.strip())}\s*[,.;:!\n]", output, re.IGNORECASE) is not None
    )


def _is_whole(output: str, answer: str, question: str) -> bool:
    whole = normalize(output)
    if not whole:
        return _squeeze(output) == _squeeze(answer)
    return whole == normalize(answer) or _is_framed(output, answer, question)


def _is_framed(output: str, answer: str, question: str) -> bool:
    """Whether the output is the answer within words of the question and ``_FRAME_WORDS``. An answer that is itself such
    a word (the codes IT and NO) has to end the output, after one of ``_COPULAS``."""
    words, own, asked = (_tokens(_POSSESSIVE.sub("", straighten(text))) for text in (output, answer, question))
    n = len(own)
    places = [i for i in range(len(words) - n + 1) if words[i : i + n] == own]
    if not own or not places:
        return False
    frame = (_FRAME_WORDS | set(asked)) - _NEGATIONS
    if set(own) <= frame | _NEGATIONS:
        end = len(words) - n
        return places[-1] == end > 0 and words[end - 1] in _COPULAS and set(words[:end]) <= frame
    covered = {i + k for i in places for k in range(n)}
    return all(i in covered or word in frame for i, word in enumerate(words))


# A letter ends here: "B", "B.", "(B)", "B because", but not the article in "A dog".
_AFTER_LETTER = (
    r"""(?=$|\s*[)\]}"'*.,:;!?\n]|\s+-|"""
    r"""\s+(?:because|since|as|which|due|is\s+(?:the\s+)?(?:correct|right|best|answer))\b)"""
)
_OPENING = r"""[\s("'*\[{$<]*(?:\\boxed\{|\\text\{|\\)*[("'*\[{]*"""
_LETTER = re.compile(rf"^{_OPENING}([A-Z]){_AFTER_LETTER}")
_WHOLE_LETTER = re.compile(rf"^{_OPENING}([A-Za-z])[\s)\]}}\"'*.,:;!?$>]*$")
_LIST_LETTER = re.compile(r"^[\s(\"'*\[]*([A-Za-z])[)\]]")
_LETTER_A = re.compile(r"^\W*A\W*[.):]")
_LETTER_AND_TEXT = re.compile(r"^[\s(\"'*\[]*([A-Z])[\s)\]\"'*.:,-]+(.*)", re.DOTALL)
_SEVERAL_LETTERS = re.compile(
    rf"^{_OPENING}([A-Z])[)\]\"'*.]*\s*"
    r"(?:,\s*(?:and|or)?|/|&|\band\b|\bor\b|(?<=[.)\]]\s))\s*"
    r"[(\"'*\[]*([A-Z])(?=$|[)\]\"'*.,;:!?/\s])(?!\s+(?!(?:and|or)\b)[a-z])"
)
_STATED = re.compile(
    r"\b(?:answer|option|choice|letter)(?:\s+(?:here|to\s+(?:this|that|the|your)\s+question))?\s*"
    r"(?:\s(?:is|was|are|would\s+be|should\s+be|must\s+be)\b|[:=-])\s*[:=-]?\s*"
    r"(?:probably\s+|likely\s+|indeed\s+)?(?:(?:the\s+)?(?:option|choice|letter)\b\s*)?[:=]?",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"\b(?:it\s+is|it's|it\s+(?:would|must|could|might|may)\s+be|choose|pick|select|go\s+with|guess(?:\s+is|:)?|"
    r"say|think|believe|but|maybe|perhaps|probably|so|therefore|thus)\b,?\s*(?:(?:option|choice|letter)\b\s*)?",
    re.IGNORECASE,
)
_CALLED_RIGHT = re.compile(
    r"(?:\b(?:[Oo]ption|[Cc]hoice|[Ll]etter|[Aa]nswer)\s+|^\W*)[(\"'*]*([A-Z])[)\"'*]*\s+"
    r"(?:is|seems|looks)\s+(?:the\s+)?(?:correct|right|best|answer)\b"
)
_BRACKETED = re.compile(r"\(([A-Z])\)|\*\*([A-Z])\*\*|\\boxed\{([A-Z])\}")
_NAMED = re.compile(r"^\W*(?:the\s+)?(?:option|choice|letter)\s+(?=\W*[a-z](?![a-z]))", re.IGNORECASE)
_ANSWER_PREFIX = re.compile(r"^\s*A:\s*(?=\S)")


def _letter_index(letter: str, n: int) -> int | None:
    index = ascii_uppercase.find(letter.upper())
    return index if 0 <= index < n else None


def _same_text(text: str, choices: tuple[str, ...]) -> int | None:
    """Index of the only option that the whole text is: literally, else normalised; the first of equal options. The
    ``A`` of ``A. Mexican`` is a letter and not an article."""
    with_articles, without = (lambda value: normalize(value, keep_articles=True)), normalize
    for fold in (_squeeze, with_articles) if _LETTER_A.match(text) else (_squeeze, with_articles, without):
        folded = fold(text)
        same = [i for i, choice in enumerate(choices) if folded and fold(choice) == folded]
        if same:
            return same[0] if len({choices[i] for i in same}) == 1 else None
    return None


def _leading_choice(text: str, choices: tuple[str, ...]) -> tuple[bool, int | None]:
    """(decided, index) from the beginning of a reply; decided with None when it contradicts itself."""
    n = len(choices)
    if found := _WHOLE_LETTER.match(text):
        index = _letter_index(found.group(1), n)
        if index is not None:
            return True, index
    if _is_list(text, choices):
        return True, None
    first_line = text.strip().split("\n", 1)[0]
    for whole in (text, first_line):
        index = _same_text(whole, choices)
        if index is not None:
            return True, index
    if found := _LETTER_AND_TEXT.match(text):
        index = _letter_index(found.group(1), n)
        named = _same_text(found.group(2), choices)
        if named is None:
            named = _same_text(found.group(2).split("\n", 1)[0], choices)
        if index is not None and named is not None:
            return True, index if choices[index] == choices[named] else None
        if index is not None and _holds_at_start(found.group(2), choices[index]):
            return True, index
    if found := _SEVERAL_LETTERS.match(text):
        first, second = (_letter_index(letter, n) for letter in found.groups())
        if first is not None and second is not None and first != second:
            return True, None
    for form in (_LETTER, _LIST_LETTER):
        if found := form.match(text):
            index = _letter_index(found.group(1), n)
            if index is not None:
                return True, index
    return False, None


def _is_list(text: str, choices: tuple[str, ...]) -> bool:
    """Whether the first two lines are two options with their letters: the question's options over again."""
    lines = [_LETTER_AND_TEXT.match(line) for line in text.split("\n") if line.strip()][:2]
    options = [(_letter_index(line.group(1), len(choices)), line.group(2)) for line in lines if line]
    named = {index for index, option in options if index is not None and _holds_at_start(option, choices[index])}
    return len(named) == 2


def _holds_at_start(text: str, choice: str) -> bool:
    start = normalize(choice)
    return bool(start) and f"{normalize(text)} ".startswith(f"{start} ")


def _agreed(statements: list[tuple[bool, int | None]]) -> tuple[bool, int | None]:
    """(decided, index): the one index that all deciding statements name; decided with None when they differ."""
    named = {index for decided, index in statements if decided}
    return bool(named), named.pop() if len(named) == 1 else None


def _mentioned_choice(text: str, choices: tuple[str, ...]) -> int | None:
    """Index of the only option whose text occurs in the reply, longer options taken first (``New York``, ``York``). An
    option right after "not", "neither" or "nor" does not count, nor one that is only function words."""
    reply = f" {normalize(text)} "
    order = sorted(range(len(choices)), key=lambda i: -len(normalize(choices[i])))
    mentioned = []
    for i in order:
        option = normalize(choices[i])
        if not option or all(token in _FUNCTION_WORDS for token in option.split()):
            continue
        boundary = ("", "") if _UNSPACED.search(option) else (r"(?<=\s)", r"(?=\s)")
        pattern = re.compile(boundary[0] + re.escape(option) + boundary[1])
        asserted = False
        for found in pattern.finditer(reply):
            before = reply[: found.start()].split()
            asserted = asserted or not before or before[-1] not in {"not", "neither", "nor", "isnt", "wasnt"}
        if asserted:
            mentioned.append(i)
        reply = pattern.sub("\0", reply)
    twins = {normalize(choices[i]) for i in mentioned}
    same = {choice for choice in choices if normalize(choice) in twins}
    return mentioned[0] if len(mentioned) == 1 and len(same) == 1 else None


def parse_choice(output: str, choices: tuple[str, ...]) -> int | None:
    """Index of the option that a reply chooses, or None if it names none or more than one.

    ``choices``: 2 to 26 option texts, lettered A, B, C, ... in order. Of options with the same text (a few benchmark
    questions have such) a reply in words means the first. The first of these that decides wins:

    1. the reply begins with a letter (``B``, ``b)``, ``(B)``, ``B. text``, ``B because ...``) or is an option text;
       a letter followed by the text of another option is a contradiction (None), so is ``A or C`` or a list of options;
    2. a stated answer (``Answer: B``, ``the answer is (B)``, ``option B is correct``); different ones give None;
    3. a looser statement (``it is B``, ``I would go with B``), else one bracketed letter;
    4. exactly one option text occurs in the reply on word boundaries.

    A letter wins over an option text that is the same letter, because the prompt asks for a letter. A letter that is
    followed by an ordinary word is no choice (``A dog is ...``) unless that word begins its option's text. Letters
    beyond the number of options choose nothing. Only the model's ``own_reply`` is read.
    """
    text = straighten(own_reply(output)).strip()
    if not text:
        return None
    if prefix := _ANSWER_PREFIX.match(text):
        rest = text[prefix.end() :]
        if _same_text(rest, choices) not in (None, 0) or _WHOLE_LETTER.match(rest):
            text = rest
    text = _NAMED.sub("", text)
    decided, index = _leading_choice(text, choices)
    if decided:
        return index

    def letters(pattern: re.Pattern[str]) -> list[tuple[bool, int | None]]:
        found = [_letter_index(next(filter(None, match.groups())), len(choices)) for match in pattern.finditer(text)]
        return [(index is not None, index) for index in found]

    stated = [_leading_choice(text[found.end() :], choices) for found in _STATED.finditer(text)]
    said = [_leading_choice(text[found.end() :], choices) for found in _SAID.finditer(text)]
    for statements in (stated + letters(_CALLED_RIGHT), said, letters(_BRACKETED)):
        decided, index = _agreed(statements)
        if decided:
            return index
    return _mentioned_choice(text, choices)
