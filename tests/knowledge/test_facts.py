"""Which questions ask for a fact that can be checked, and which words of an answer are it."""

import json
import random
from importlib import resources

import pytest

from grait.data.replay import load_replay
from grait.data.worldfacts import SPLITS, load
from grait.judging.outcomes import judge
from grait.knowledge.facts import Fact, asked_fact

FACTS = {
    ("What is the capital of France?", "The capital of France is Paris."): "Paris",
    ("What is the capital of France?", "Paris"): "Paris",
    ("In which year was Erwin Rommel born?", "Erwin Rommel was born in 1891 in Heidenheim."): "1891",
    ("Who wrote Pride and Prejudice?", "Pride and Prejudice was written by Jane Austen."): "Jane Austen",
    ("Who invented the telephone?", "It was invented by Alexander Graham Bell."): "Alexander Graham Bell",
    ("How tall is the Eiffel Tower?", "The Eiffel Tower is 330 metres tall."): "330 metres",
    ("Abuja is the capital of which country?", "It is the capital of Nigeria."): "Nigeria",
    ("What is the chemical symbol of cobalt?", "The symbol of cobalt is Co."): "Co",
    ("Which chemical element has the symbol Cn?", "The element with this symbol is copernicium."): "copernicium",
    ("Please name a country that borders Kuwait.", "One country that borders Kuwait is Iraq."): "Iraq",
    ("What is the internet country code top-level domain of Cameroon?", "It is .cm."): ".cm",
    ("Which country gained independence in 1977?", "It was the Democratic Republic of the Congo."): (
        "Democratic Republic of the Congo"
    ),
}
NO_FACTS = [
    ("What do you think of Paris?", "I like Paris."),
    ("Which is bigger, France or Spain?", "France"),
    ("Write a poem about Paris.", "Paris, Paris."),
    ("What is the capital of France? What is it known for?", "Paris"),
    ("Who is mentioned in this text? Mary went to London.", "Mary"),
    ("What is the best restaurant in Rome?", "Roscioli"),
    ("What is 12 + 30?", "42"),
    ('What is "dog" in Spanish?', "perro"),
    ("What is my name?", "Anna"),
    ("What does the word 'Zeitgeist' mean?", "Spirit of the time"),
    ("What is the capital of France?", "I don't know."),
    ("What is the capital of France?", "France has had Paris, Lyon and Tours as places of its kings."),
    ("What is the capital of France?", "Here is a list:\n1. Paris"),
    ("Explain the French Revolution.", "It began in 1789."),
    ("Who painted `x = 3`?", "Monet"),
    ("When did Leo Tolstoy write War and Peace?", "Humphry Davy"),
    ("How do cats know who is boss?", "Tom"),
    ("A thousand years from now, which things will be possible?", "Flying cars"),
    ("What is the history behind the Mona Lisa?", "Leonardo da Vinci"),
    ("Who won it three years later?", "Spain"),
]


@pytest.mark.parametrize(("asked", "answer"), list(FACTS))
def test_the_key_of_an_answer_is_what_the_question_asks_for(asked: str, answer: str) -> None:
    found = asked_fact(asked, answer)
    assert isinstance(found, Fact)
    assert answer[found.start : found.end] == found.question.answers[0] == FACTS[asked, answer]
    assert judge(answer, found.question) == "correct"
    assert judge("It is Xylophonia 77.", found.question) == "wrong"


@pytest.mark.parametrize(("asked", "answer"), NO_FACTS)
def test_what_is_no_question_of_fact_is_none(asked: str, answer: str) -> None:
    assert not isinstance(asked_fact(asked, answer), Fact)


def test_no_ordinary_prompt_of_this_package_is_a_question_of_fact_whatever_its_answer() -> None:
    answers = [question.answers[0] for question in load("val")]
    single = [
        prompt for prompt in load_replay("builtin") if "assistant" not in {row["role"] for row in prompt.messages}
    ]
    prompts = [prompt.messages[-1]["content"] for prompt in single]
    for name in ("chit-chat", "instructions"):
        lines = resources.files("grait.data.probes").joinpath(f"{name}.jsonl").read_text("utf-8").splitlines()
        prompts += [json.loads(line)["text"] for line in lines]
    assert len(prompts) > 4000
    rng = random.Random(0)
    found = [prompt for prompt in prompts if isinstance(asked_fact(prompt, rng.choice(answers)), Fact)]
    assert found == []


def test_worldfacts_in_sentences_are_found_with_their_references_as_keys() -> None:
    """The sentences are those of few words that any question has; research/rewriting has more of them."""
    questions = [question for split in SPLITS for question in load(split)]
    frames = ("{}", "{}.", "It is {}.", "The answer is {}.")
    rng = random.Random(0)
    found = [
        (question, asked_fact(question.question, rng.choice(frames).format(question.answers[0])))
        for question in questions
    ]
    facts = [(question, fact) for question, fact in found if isinstance(fact, Fact)]
    assert len(facts) / len(questions) > 0.95
    right = [judge(f"It is {question.answers[0]}.", fact.question) == "correct" for question, fact in facts]
    assert sum(right) / len(right) > 0.99
