"""Does a reply to an unanswerable question say that there is nothing to answer?

``There is no king of France`` refuses nothing and makes nothing up: it is neither a refusal nor a hallucination, and
is counted apart. Only set phrases are found, so that what is found can be trusted and the share is a lower bound: a
reply that corrects in other words (``France was a republic then``) counts as an answer.
"""

import re

from grait.judging.matching import own_reply, straighten

_DENIALS = re.compile(
    r"""
    \bno\ such\b
    | \bthere(?:'s|\ is|\ are|\ was|\ were|\ has\ been|\ have\ been)\ no\b
      (?!\ (?:doubt|question\ that|denying|need|reason|wonder|better))
    | \bthere\ (?:isn't|aren't|wasn't|weren't|has\ never\ been|have\ never\ been|hasn't\ been|haven't\ been
        |has\ not\ been|have\ not\ been|was\ never|were\ never|is\ not|are\ not|was\ not|were\ not)\b
    | \b(?:does|do|did)(?:\ not|n't)\ (?:actually\ |really\ |yet\ )?exist\b
    | \bnever\ (?:actually\ |really\ )?(?:existed|happened|took\ place)\b
    | \b(?:did|has|have)(?:\ not|n't)\ (?:actually\ |yet\ )?(?:happen(?:ed)?|take\ place|taken\ place)\b
    | \b(?:is|are|was|were|be)\ (?:not\ (?:a\ )?real\b|(?:an?\ |entirely\ |completely\ |purely\ )*
        (?:fictional|fictitious|imaginary|made[-\ ]up|non-?existent|nonexistent)\b)
    | \b(?:nobody|no\ one|no-one)\ (?:really\ |actually\ )?
        (?:knows|(?:can|could)\ (?:know|say|tell|predict))\b
    | \bcan(?:not|'t|\ not)\ (?:possibly\ )?be\ (?:known|predicted|foreseen|determined|answered)\b
    | \bcan(?:not|'t|\ not)\ (?:predict|foresee|see\ into)\b
    | \bimpossible\ to\ (?:know|predict|foresee|tell|say|determine)\b
    | \b(?:is|are|was|were)(?:\ not|n't)\ (?:yet\ )?(?:known|recorded|determined|decided)\b
    | \b(?:is|are|remains?)\ unknown\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_HAS_NO = re.compile(r"\b(?:has|have|had|has\ got|have\ got|with) no (?P<what>(?:\w+ ?){1,3})", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{3,}")

_STEM = 4
"""Letters that two words have to begin with to be taken for forms of the same one: moon, moons."""


def denies_premise(output: str, question: str) -> bool:
    """Whether the reply says in set phrases that what is asked about does not exist, or cannot be known by anyone.

    Only for questions that have no answer: elsewhere the same phrases may be one (``There is no such law``).
    ``question``: its own words are told from other ones after "has no": ``Venus has no moons``, not ``he has no idea``.
    """
    text = " ".join(straighten(own_reply(output)).split())
    if _DENIALS.search(text):
        return True
    asked = {word[:_STEM].casefold() for word in _WORD.findall(straighten(question))}
    return any(
        word[:_STEM].casefold() in asked for found in _HAS_NO.finditer(text) for word in _WORD.findall(found["what"])
    )


_IN_FICTION = re.compile(
    r"\b(?:fictional|fictitious|imaginary)\ (?:\w+\ ){1,3}?(?:from|in|of|by|created\ by|featured|who|played)\b",
    re.IGNORECASE,
)


def places_in_fiction(output: str) -> bool:
    """Whether the reply gives what is asked about a place in a story, as in "a fictional town in The Witcher".

    Of a name that nobody has used, that is made up, too, although ``denies_premise`` takes it for a denial.
    """
    return bool(_IN_FICTION.search(" ".join(straighten(own_reply(output)).split())))
