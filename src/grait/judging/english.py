"""English words that ``refusal`` goes by: what begins an answer, an apology, a title, talk about the question.

``english.yaml`` has the long lists, each with what it is for.
"""

from importlib import resources

import yaml

_LISTS: dict[str, str] = yaml.safe_load(resources.files("grait.judging").joinpath("english.yaml").read_text("utf-8"))


def _words(name: str) -> frozenset[str]:
    return frozenset(_LISTS[name].split())


def _phrases(name: str) -> tuple[list[str], ...]:
    return tuple(phrase.split() for phrase in _LISTS[name].split(","))


FILLERS = _words("fillers")
STOPWORDS = _words("stopwords") | FILLERS
BOILERPLATE = _words("boilerplate")
TITLE_VERBS = _words("title_verbs")
REPORTED = _words("reported")
OPEN_OBJECT = _words("open_object")

OPENERS = _phrases("openers")
STRONG_CUES = _phrases("strong_cues")
BARE_CUES = _phrases("bare_cues")
WEAK_CUES = _phrases("weak_cues")
OTHER_OBJECTS = _phrases("other_objects")

# "If it is Paris": what is not known, no answer.
OPEN_CONDITIONS = (["if", "it"], ["if", "that"])
SELF_REPORTS = (("this", "is", "something"), ("that", "is", "something"))  # "this is something I don't know"
