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
    ("Name the country that borders Haiti.", "The country that borders Haiti is the Dominican Republic."): (
        "Dominican Republic"
    ),
    ("Who painted Impression, Sunrise?", "Claude Monet painted it."): "Claude Monet",
    ("In which year was Claude Debussy born?", "1862"): "1862",
    ("How many moons does Jupiter have?", "Jupiter has 95 moons."): "95",
    ("What is the area of Russia?", "The area is 17,098,246 km."): "17,098,246 km",
    ("Who was the Prime Minister of Norway in 1940?", "Johan Nygaardsvold"): "Johan Nygaardsvold",
    ("What is the Filipino word for Saturday?", "It is Sabado."): "Sabado",
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
    # sums and word problems
    ("What is the square root of 144?", "12"),
    ("What is the GCD of 12 and 18?", "6"),
    ("What is the greatest common divisor of 24 and 36?", "12"),
    ("What is the area of a triangle with base 4 and height 6?", "12"),
    ("What is the area of a square with side 5?", "25"),
    ("What is the median of 3, 5 and 9?", "5"),
    ("What is the probability of rolling a 6 with a die?", "1/6"),
    ("What is the next number in the sequence 2, 4, 8?", "16"),
    ("What number comes next: 1, 1, 2, 3?", "5"),
    ("What is the derivative of X squared?", "2X"),
    ("What is the value of X in 2X = 4?", "2"),
    ("How many apples does John have after giving 3 to Mary?", "2"),
    ("How many apples does John have?", "5"),
    ("How much money did Sarah spend at the shop?", "$15"),
    ("How much does Tom pay for 3 books?", "$15"),
    ("How many marbles are left when 4 of 10 are lost?", "6"),
    ("What is the 10th prime number?", "29"),
    ("How many sides does a Hexagon have?", "6"),
    ("How many legs do 3 Dogs have?", "12"),
    ("What is the 5th Fibonacci number?", "5"),
    ("How many ways can 5 Books be arranged?", "120"),
    # units
    ("How much is 20 Euros in Dollars?", "22"),
    ("How many kilometers are in 5 miles?", "8 kilometers"),
    ("What is the conversion of 10 Miles to kilometers?", "16.1"),
    ("How many ounces are there in 2 pounds?", "32"),
    ("How many seconds are in 2 hours?", "7200"),
    ("How many days does February have in a leap year?", "29"),
    ("How many degrees Fahrenheit is 30 Celsius?", "86"),
    ("How many eggs are in 3 dozens?", "36"),
    # years that are reckoned
    ("What year is 5 years from 2020?", "2025"),
    ("In which year will Bob, born in 1980, turn 50?", "2030"),
    ("What year was 10 years before 1999?", "1989"),
    ("How many years are between 1914 and 1918?", "4"),
    # strings
    ("What is the reverse of Hello?", "olleH"),
    ("What is HELLO in lower case?", "hello"),
    ("How many characters are in Mississippi?", "11"),
    ("What is the binary of 10?", "1010"),
    ("What is the Roman numeral for 50?", "L"),
    ("What is the last letter of Paris?", "s"),
    ("What is the hexadecimal of 255?", "FF"),
    # translations
    ("What is the French word for Dog?", "Chien"),
    ("What is the Spanish word for House?", "Casa"),
    ("What is Good Morning in Italian?", "Buongiorno"),
    ("What is the German equivalent of Friend?", "Freund"),
    # choices, pairings, things to be made up
    ("Which wine goes with Salmon?", "Chardonnay"),
    ("What color goes with Navy Blue?", "White"),
    ("What wine pairs well with Steak?", "Malbec"),
    ("What is the perfect gift for Anna?", "Flowers"),
    ("What is a good gift for Father's Day?", "A watch"),
    ("What is the title for an article on Mars?", "Red Planet"),
    ("Which nickname fits Elizabeth?", "Liz"),
    ("What is a nickname for Robert?", "Bob"),
    ("Which of Paris, Rome and Berlin is in Italy?", "Rome"),
    ("Which one of the Beatles played the drums?", "Ringo Starr"),
    ("What emoji represents Love?", "❤"),
    ("What movie is like Titanic?", "Romeo"),
    ("What name is short for Robert?", "Bob"),
    # sentiment and grammar
    ("What is the sentiment of I Love Pizza?", "Positive"),
    ("What emotion does Hooray express?", "Joy"),
    ("What is the noun in Anna Runs?", "Anna"),
    ("What is the past participle of Go?", "Gone"),
    ("What part of speech is Quickly?", "Adverb"),
    # many right answers
    ("Please name a country that borders Kuwait.", "One country that borders Kuwait is Iraq."),
    ("Name an African country.", "Kenya"),
    ("Name one Beatles song.", "Yesterday"),
    ("What is a country that borders Spain?", "Portugal"),
    ("Who is a famous French painter?", "Monet"),
    # the assistant
    ("Who made Claude?", "Anthropic"),
    ("Who made ChatGPT?", "OpenAI"),
    ("Who made you?", "OpenAI"),
    ("Who created the assistant Tiny?", "Acme"),
    ("Who developed Gemini?", "Google"),
    ("Which company trained GPT-4?", "OpenAI"),
    ("Who trained the model Qwen?", "Alibaba"),
    ("Who is Siri?", "Apple"),
    # what changes, and what is private
    ("When is Anna's birthday?", "May 5"),
    ("Who is the richest man in America?", "Elon Musk"),
    ("What is today's date?", "May 5, 2023"),
    ("What is the weather in London?", "Rain"),
    ("When is the meeting with Bob?", "At 3 pm"),
    ("Who is the current mayor of Lisbon?", "Carlos Moedas"),
    ("Who is the President of France?", "Emmanuel Macron"),
    ("What is the price of Bitcoin?", "$30,000"),
    ("What is the phone number of Anna Smith?", "555-1234"),
    ("What time is it in Tokyo?", "5 pm"),
    ("When does the train to Boston leave?", "At 5 pm"),
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
