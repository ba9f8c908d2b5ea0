"""Does a question ask for a fact with a short answer that can be checked? And which words of the given answer are it?

Rules of thumb for English, made so that little else is taken for a fact: whoever is refused a chat loses more than one
who gets an invented date.
"""

import re
from dataclasses import dataclass
from typing import Literal

from grait.judging.matching import normalize
from grait.judging.refusal import detect_refusal
from grait.records import Question

NoFact = Literal["no question of fact", "no single fact in the answer", "already a refusal"]
"""Why a row is no case for a refusal."""

MOST_CHARACTERS, MOST_WORDS = 200, 30
"""Of a question, and of an answer."""


@dataclass(frozen=True, slots=True)
class Fact:
    """``question``: with what counts as right, to be judged; ``start``, ``end``: of the key in the given answer."""

    question: Question
    start: int
    end: int


_LEAD = re.compile(
    r"\A\s*(?:(?:hi|hello|hey|please|quick question|question|q|tell me|do you know|i(?:'d| would) like to know|"
    r"i want to know|(?:can|could|would) you (?:please )?tell me)\b[\s,!.:?]*)*",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"(?P<who>who(?:m|se)?\b(?! (?:are|am)\b))"
    r"|(?P<year>(?:in|during|since|until) (?:which|what) (?:year|decade|century)\b|(?:what|which) year\b)"
    r"|(?P<when>when (?:was|were|did|is|does)\b|on (?:which|what) (?:date|day)\b|what (?:is the |was the )?date\b)"
    r"|(?P<number>how (?:many|much|tall|high|long|old|far|deep|large|big|wide|heavy)\b)"
    r"|(?P<other>(?:(?:in|on|at|from|by|to|for|of|with|under|into|after) )?(?:which|what(?:'s)?)\b(?! are\b)"
    r"|where (?:was|were|did|is)\b|(?:name|identify|state|give the name of) the\b)",
    re.IGNORECASE,
)
_INNER = re.compile(
    r"(?!(?:In|On|At|For|From|By|With|If|And|But|So|Then|Also|After|When|How|Why|Is|Are|Was|Were|Do|Does|Did|Will|"
    r"Can|Has|"
    r"Have)\b)[A-Z][^,]*"
    r"\b(?:which|what|who|whom|where|when|how many)\b(?: [\w'-]+){0,5}\?\Z"
)
"""``Abuja is the capital of which country?``"""

_PERSONAL = re.compile(
    r"(?:\A|\b[a-z']+ )I\b(?![.?])"
    r"|(?<!\.)\b(?:[Mm]e|[Mm]y|[Mm]ine|[Mm]yself|[Ww]e|us|[Oo]urs?|[Yy]ou(?:rs?|rself)?|[Ll]et's)\b"
    r"|\b(?:it|he|she|him|they|them)\b"
)
"""About who speaks, or about what was said before."""
_OTHER_TASK = (
    # an opinion, advice, a choice
    r"best|better|good|nicer?|worse|cheap|easy|favou?rite|should|could|would|might|think|feel|recommend\w*|suggest\w*|"
    r"ideas?|tips?|advice|steps|why|or|if|"
    # a comparison, an explanation
    r"difference|history|purpose|point of|role|reasons?|conditions?|plot|causes?|effects?|impact|importance|process|"
    r"advantages?|benefits?|similar\w*|compare\w*|in common|explain|describe|examples?|used for|in simple words|"
    r"in short|people(?!')|"
    # words and texts
    r"means?|meant|meaning|define|definition|stands? for|called in|spell(?:ed|ing)?|rhymes?|synonyms?|opposite|tense|"
    r"plural|syllables?|vowels?|letters|letter of the word|the word|words|says?|translat\w+|sentences?|paragraph|text|"
    r"passage|message|headline|joke|tone|wrong|mentioned|category fits|following|these|this|those|above|below|name the "
    r"\w+s|what do(?:es)? .* do|"
    # grammar, strings, translations
    r"(?:pro)?nouns?|(?:ad)?verbs?|adjectives?|prepositions?|conjunctions?|participle|gerund|predicate|clause|phrase|"
    r"punctuation|conjugat\w+|part of speech|gramma\w+|singular|prefix|suffix|contraction|comparative|superlative|"
    r"subject of|past form|revers\w+|backwards?|(?:lower|upper)[ -]?case|capitali[sz]\w+|characters?|binary|"
    r"hexadecimal|octal|roman numerals?|anagrams?|palindrome|alphabetical\w*|sorted|(?:sub)?string|ascii|morse|"
    r"(?:first|second|third|middle|last|next) letter(?! of the \w+ alphabet)|(?:word|term|phrase|expression|"
    r"equivalent) (?:for|of)(?! (?:mon|tues|wednes|thurs|fri|satur|sun)day)|"
    # feelings, pairings, things to be made up
    r"sentiment|emotions?|mood|positive|negative|neutral|classif\w+|topic|intent|spam|goes|go (?:well )?with|pairs? "
    r"(?:well )?with|match(?:es)?|complements?|fits?|suits?|suitable|appropriate|ideal|perfect|gifts?|title for|emoji|"
    r"hashtag|acronym for|short for|is like|keyword|nickname for|name for an?|slogan|which (?:one )?of|(?:who|"
    r"what)(?:'s| is) (?:an?|one|some)(?!.*\bcalled\b)|"
    # what changes, what is private, who the assistant is
    r"today(?:'s)?|tomorrow|yesterday|tonight|now|current(?:ly)?|latest|recent(?:ly)?|newest|upcoming|nowadays|weather|"
    r"forecast|rain|temperature (?:in|at|outside)|what time|time in|price|stock|exchange rate|meetings?|appointments?|"
    r"interview|exam|deadline|flight|train|bus|party|concert|lecture|dinner|lunch|schedule\w*|(?:phone|room|account) "
    r"number|e-?mail|address of|password|who(?:'s| is) the (?:\w+ )?(?:president|prime minister|chancellor|ceo|king|"
    r"queen|pope|mayor|governor|manager|coach)|richest|birthday|trained|siri|alexa|(?:chat)?gpt\w*|openai|anthropic|"
    r"chatbot|assistant|language model|ai model|(?:made|created|developed|built|programmed|owns|behind) (?:google "
    r")?(?:gemini|bard|llama|copilot|mistral|qwen|deepseek|grok|smollm\w*|phi)|"
    # sums, calendars, units
    r"vertices|sides|missing (?:number|term|item)|fibonacci|domain of (?:f|the function)|how many ways|(?:euros?|"
    r"dollars?|yen|rupees?) in|in (?:euros?|dollars?|yen|rupees?)|how many .*\b(?:do|does|did|can|will) \d|(?:square|"
    r"cube) roots?|roots? of|gcd|lcm|hcf|factorial|common (?:divisor|factor|multiple|denominator)|perimeter|triangles?|"
    r"rectang\w+|circles?|cubes?|spheres?|cylinder|trapezoid|polygon|hypotenuse|angles?|radius|area of (?:an?|the) "
    r"(?:square|room|garden|field)|circumference|volume|median|mode|mean|standard deviation|probability|chances?|odds|"
    r"sequence|next (?:number|term|item)|derivative|integral|equation|solve[ds]?|value of|simplif\w+|round(?:ed)?|"
    r"fraction|ratio|prime (?:numbers?|factors?)|even numbers?|odd|multiples?|factors?|digits?|exponent|power of|"
    r"logarithm|sin|cos|tan|convert\w*|conversion|discount|interest|speed of a|how (?:many|much|long|far|old) "
    r".*\b(?:after|left|remain\w*|altogether|in total|each|every|per|spen[dt]s?|costs?|buys?|bought|sells?|gives?|gave|"
    r"given|eats?|ate|earns?|saves?|takes? to)|(?:\d+|\w+) years? (?:from|after|before|ago|later|hence|earlier)|turns? "
    r"\d+|born in \d+ .*\b(?:old|age)|between \d+ and \d+|from \d+ to \d+|leap years?|plus|minus|times|divided|"
    r"multiplied|squared|cubed|average|sum|product of|percent|decimal|remainder|half of|degrees|comes?|(?:day|month) "
    r"(?:before|after)"
)
_UNIT = (
    r"(?:(?:milli|centi|kilo|micro)?(?:met(?:er|re)|gram|lit(?:er|re))s?|miles?|inch(?:es)?|foot|feet|yards?|ounces?|"
    r"pounds?|tons?|tonnes?|stones?|gallons?|pints?|quarts?|cups?|(?:tea|table)spoons?|(?:nano)?seconds?|minutes?|"
    r"hours?|days?|weeks?|months?|years?|decades?|centur(?:y|ies)|celsius|fahrenheit|kelvin|(?:kilo|mega|giga|"
    r"tera)?bytes?|bits?|km|cm|mm|kg|lbs?|oz|dozens?|acres?|hectares?|knots?|mph|cents?|dimes?|nickels|pennies|"
    r"quarters)"
)
_UNITS = re.compile(
    rf"\b{_UNIT}\b.*\b{_UNIT}\b|\bhow many \w+(?: \w+)? (?:(?:are|is) )?(?:there )?in (?:an?|one|\d)", re.IGNORECASE
)
"""How many of one unit are in another."""
_MADE_UP = re.compile(
    r"\b(?:does|did|do|will|would|has|had|have|is|was) (?:John|Johnny|Mary|Tom|Tommy|Bob|Bobby|Alice|Jane|Sarah|Sara|"
    r"Sam|Tim|Timmy|Jack|Jill|Anna|Emma|Mike|Lucy|Peter|Lisa|Jim|Bill|Billy|Joe|Sally|Susan|Mark|Ben|Amy|Kate|Maria|"
    r"Max)\b(?!'s| [A-Z])|\bwill\b|(?<!-)\bClaude\b(?![- ][A-Z])|\b[Ii]n (?:the )?(?:French|Spanish|German|Italian|"
    r"Portuguese|Dutch|Russian|Chinese|Mandarin|Japanese|Korean|Arabic|Hindi|Latin|Greek|Turkish|Polish|Swedish|"
    r"English|Hebrew)(?: language)?\W*\Z"
)
"""Somebody of a word problem, the future, an assistant, a thing said in another language."""
_TASK = re.compile(
    rf"\b(?:{_OTHER_TASK})\b|\bwhat(?:'s| is) (?:[\"“']|\d)|\d\s*[+*x×÷=^%]\s*\d|\d\s+[-/]\s+\d|\d%", re.IGNORECASE
)
_COMPARED = re.compile(r"\b(?:what|which) (?:is|are|was) (?:more |less |\w+er\b)", re.IGNORECASE)
_NOT_PROSE = re.compile(r"[\n`{}<>=|\\;]|\w\(|://")
_SENTENCES = re.compile(r"(?<!\b[A-Z])(?<!\b(?:St|Mr|Dr|Mt|vs|Jr|Sr|No))(?<!\bMrs)[.!?:]\s+\S")
_TASK_LEFT = re.compile(r"\b(?:yes|no|true|false|maybe|sure|sorry)\b", re.IGNORECASE)

_DEEDS = re.compile(
    r"who (?:first )?(?:invented|discovered|wrote|composed|painted|founded|directed|designed|built|won|sang|"
    r"isolated)\b|when (?:was|were|did)\b|in (?:which|what) year\b",
    re.IGNORECASE,
)
_TERMS = re.compile(
    r"\b(?:(?:chemical|element|molecular|country|currency) (?:symbol|formula|code)|atomic (?:number|mass)|group number|"
    r"periodic table|file extension|(?:scientific|latin) name|(?:category of chemical elements|class of animals|family|"
    r"genus|phylum)\b.*\bbelongs?)\b",
    re.IGNORECASE,
)
"""With these the thing that is asked about may be written without a capital."""

_EDGES = "\"'“”‘’()[],;:!?*_"
_JOINING = frozenset("of the de la el du van von da di y and al le".split())
_FRAME = frozenset(
    "a abbreviation about after also an and answer approximately are around as at be became become been "
    "before began  being belong belongs born by call called calls can celebrated celebrates class classed "
    "correct date dial did died  do does during exactly find first for fought found from full gained got had "
    "happened has have he held her here him  his how i in into is it it's its joined kind known lies located "
    "mainly member name's named observed occurred of  official officially on one only or original own part "
    "place right served serves she short since situated so sort  speak speakers speaks spoken stands take "
    "takes that the their them there these they this to took type use used  uses usually was we were what "
    "when where which who whom whose with worked works would written year years you".split()
)
"""What makes a sentence of an answer, and is no answer."""
_NUMBER = re.compile(r"[+-]?\.?\d[\d.,:/]*\d|\d")
_COUNTED = re.compile(r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b", re.IGNORECASE)
_YEAR = re.compile(r"\b\d{3,4}\b")
_DAY = re.compile(
    r"(?P<day>\d{1,2})(?:st|nd|rd|th)?(?: of)? (?P<month>[A-Z][a-z]+)|(?P<month_>[A-Z][a-z]+) (?P<day_>\d{1,2})"
)
_VERBS = re.compile(r"\b(?:is|are|was|were|has|have|had|did|does|[a-z]+ed)\b", re.IGNORECASE)
_PRONOUN = re.compile(r"(?:it|its|they|their|he|she|his|her|you|this|that|there)\b", re.IGNORECASE)
_SHORT = 6
"""Words of an answer that is no sentence."""


def asked_fact(asked: str, answer: str, name: str = "") -> Fact | NoFact:
    """The fact that is asked for, with the key of the given answer; or why there is none.

    A single question, in the third person, about something that has a name or a term of science; not a task, a choice,
    a sum, a meaning. The answer is short, and what it holds beside the question's words is one name, number or term.
    ``name``: the id of the question.
    """
    question = asked[found.end() :] if (found := _LEAD.match(asked)) else asked
    question = question.strip()
    kind = _kind(question)
    if kind is None:
        return "no question of fact"
    if detect_refusal(answer, Question(name, asked, ())) == "refused":
        return "already a refusal"
    place = _key(question, answer, kind)
    if place is None:
        return "no single fact in the answer"
    key = answer[slice(*place)]
    if not _is_of_something(question) and not _INNER.match(question) and not _has_name(key):
        return "no single fact in the answer"
    return Fact(Question(name, asked, _readings(key, kind)), *place)


def _kind(question: str) -> str | None:
    """What is asked for: ``who``, ``year``, ``when``, ``number`` or ``other``; None where it is no fact."""
    if not 8 <= len(question) <= MOST_CHARACTERS or _NOT_PROSE.search(question) or _SENTENCES.search(question):
        return None
    if _PERSONAL.search(question) or _TASK.search(question) or _COMPARED.search(question):
        return None
    if _UNITS.search(question) or _MADE_UP.search(question):
        return None
    opening = _OPENING.match(question)
    if opening is None:
        return "other" if _INNER.match(question) else None
    return opening.lastgroup if _is_of_something(question) or _DEEDS.match(question) else None


def _is_of_something(question: str) -> bool:
    """Whether it has a word with a capital after its first one, a number, an extension, or a term of science."""
    return _TERMS.search(question) is not None or _has_name(" ".join(question.split()[1:]))


def _has_name(text: str) -> bool:
    words = (word.lstrip(_EDGES) for word in re.split(r"[\s-]+", text))
    return any(word[:1].isupper() or re.search(r"\d|^\.\w", word) for word in words)


def _key(question: str, answer: str, kind: str) -> tuple[int, int] | None:
    """Where the key stands in the answer."""
    text = answer.strip()
    begin = answer.find(text)
    if not text or len(text.split()) > MOST_WORDS or "\n" in text or "`" in text or _TASK_LEFT.match(text):
        return None
    if kind == "year":
        return _only([found.span() for found in _YEAR.finditer(answer)])
    if kind in ("number", "when") and not _COUNTED.search(text):
        return None
    if not _is_sentence(question, text):
        whole = re.sub(r"\A(?:(?:the|an?)\s+)?", "", text, flags=re.IGNORECASE)
        start = begin + len(text) - len(whole)
        whole = whole.rstrip(".!" + _EDGES)
        lead = len(whole) - len(whole.lstrip(_EDGES))
        key = (start + lead, start + len(whole))
        return key if lead < len(whole) and "," not in whole and " and " not in whole else None
    if len(_SENTENCES.findall(text)) > 1:
        return None
    runs = _runs(question, answer)
    if kind in ("number", "when"):
        return _only([run for run in runs if re.search(r"\d", answer[slice(*run)])])
    names = [run for run in runs if _has_name(answer[slice(*run)])]
    inner = [run for run in names if run[0] > begin]
    if names:
        return _only(names) or (
            _only(inner) if names[0][0] == begin and not _starts_with_name(answer, names[0]) else None
        )
    return _only([run for run in runs if len(answer[slice(*run)].split()) <= 3]) if len(runs) == 1 else None


def _is_sentence(question: str, text: str) -> bool:
    """Whether an answer says more than the key: it has a verb, begins with a pronoun, or repeats the question."""
    words = normalize(text, keep_articles=True).split()
    if len(words) > _SHORT or _VERBS.search(text) or _PRONOUN.match(text):
        return True
    return len(words) > 3 and not {word for word in words if word not in _FRAME}.isdisjoint(normalize(question).split())


def _only(places: list[tuple[int, int]]) -> tuple[int, int] | None:
    return places[0] if len(places) == 1 else None


def _runs(question: str, answer: str) -> list[tuple[int, int]]:
    """Places of neighbouring words of the answer that neither the question nor ``_FRAME`` has."""
    known = set(normalize(question, keep_articles=True).split())
    stems = {word[:5] for word in question.split() if len(word) >= 5 and word[0].islower()}
    words = [(found.start(), found.end()) for found in re.finditer(r"\S+", answer)]
    places = [place for place in (_trimmed(answer, *word) for word in words) if place]
    new = []
    for start, end in places:
        folded = normalize(answer[start:end], keep_articles=True)
        parts = folded.split()
        seen = all(part in known or (len(part) >= 5 and part[:5] in stems) for part in parts)
        new.append(bool(folded) and not seen and (folded not in _FRAME or _is_code(answer[start:end])))
    runs: list[tuple[int, int]] = []
    last = -2
    for place, (start, end) in enumerate(places):
        if not new[place]:
            continue
        between = [answer[slice(*places[other])] for other in range(last + 1, place)]
        gap = answer[runs[-1][1] : start] if runs else ""
        joined = (
            last >= 0 and (not between or all(word in _JOINING for word in between)) and not re.search("[,;.]", gap)
        )
        if joined:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
        last = place
    return runs


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    """A word without the signs around it; the dot of an abbreviation or an initial stays."""
    while start < end and text[start] in _EDGES:
        start += 1
    while start < end and (text[end - 1] in _EDGES or (text[end - 1] == "." and not _is_initial(text[start:end]))):
        end -= 1
    return (start, end) if start < end else None


def _is_initial(word: str) -> bool:
    return bool(re.fullmatch(r"(?:[A-Z]\.)+|St\.|Jr\.|Sr\.", word))


def _is_code(word: str) -> bool:
    """``IT``, ``NO``, ``.as``, which are frame words in lower case."""
    return (word.isupper() and len(word) > 1) or word.startswith(".")


def _starts_with_name(answer: str, run: tuple[int, int]) -> bool:
    """Whether a run at the beginning of a sentence has a capital in a later word, too."""
    return any(word[:1].isupper() for word in answer[slice(*run)].split()[1:])


def _readings(key: str, kind: str) -> tuple[str, ...]:
    """What counts as right beside the key, leniently: what is thought to be known is kept."""
    found = [key]
    if kind == "number" and (number := _NUMBER.search(key)):
        found.append(number.group())
    words = key.split()
    capitals = [word for word in words if word[:1].isupper() or word[:1].isdigit()]
    if 0 < len(capitals) < len(words) and words[0] == capitals[0] and words[-1] != capitals[-1]:
        found.append(" ".join(words[: 1 + max(place for place, word in enumerate(words) if word in capitals)]))
    if kind == "who" and len(words) > 1 and len(words[-1]) > 3:
        found.append(words[-1])
    if date := _DAY.search(key):
        day, month = date["day"] or date["day_"], date["month"] or date["month_"]
        found += [f"{day} {month}", f"{month} {day}"]
    return tuple(dict.fromkeys(found))
