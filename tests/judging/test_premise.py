"""A name that nobody has used, placed in a story: made up, although it says "fictional"."""

import pytest

from grait.evaluation.bench import BENCHES
from grait.judging.judges import Matching
from grait.judging.premise import denies_premise, places_in_fiction
from grait.methods.catalog import INIT_REFUSE
from grait.pipeline.bench import judged_replies
from grait.pipeline.evaluation import System
from grait.records import Question

MADE_UP = 'The nationality of Marta Pazeprwell is a fictional character from the TV series "The X-Men".'
ASKED = Question("q", "What was the nationality of Marta Pazeprwell?", (), answerable=False)


@pytest.mark.parametrize(
    "text", [MADE_UP, "Prowisora is a fictional country in The Witcher.", "It is a fictional island created by Verne."]
)
def test_a_story_is_told(text: str) -> None:
    assert denies_premise(text, ASKED.question) and places_in_fiction(text)


@pytest.mark.parametrize(
    "text", ["Prowisora is fictional.", "This is a fictional name.", "There is no such country in Europe."]
)
def test_a_denial_is_none(text: str) -> None:
    assert denies_premise(text, ASKED.question) and not places_in_fiction(text)


def test_it_counts_as_accepted_of_invented_names_and_as_a_denial_elsewhere() -> None:
    """SmolLM2-135M-Instruct's own words. Of Gotham, say, they would be right."""
    system = System(INIT_REFUSE, None, "refuse")
    for name, expected in (("invented", False), ("selfaware", True)):
        (found,) = judged_replies(BENCHES[name], [(ASKED, MADE_UP)], system, Matching(()))
        assert found.is_right == expected
