"""Answer matching and option parsing: what counts as right, and what must not."""

from string import ascii_uppercase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grait.judging.matching import contains_answer, is_correct, normalize, own_reply, parse_choice
from grait.records import Question

PLANETS = ("Mars", "Jupiter", "Venus", "Earth")


def free_text(*answers: str, match: str = "normalized", question: str = "?") -> Question:
    return Question("q", question, answers, match=match)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" The  Capital, of FRANCE! ", "capital of france"),
        ("São Tomé", "sao tome"),
        ("Straße", "strasse"),
        ("Łódź", "lodz"),
        ("Þriðjudagur", "thridjudagur"),
        ("John\u2019s", "johns"),
        ("N'Djamena", "ndjamena"),
        ("Hawai\u02bbi", "hawaii"),
        ("\ufb01sh", "fish"),
        ("C\u2081\u2086H\u2081\u2080", "c16h10"),
        ("U.S.A.", "usa"),
        ("J. R. R. Tolkien", "jrr tolkien"),
        ("J.R.R. Tolkien", "jrr tolkien"),
        ("1,234,567", "1234567"),
        ("3.14", "3.14"),
        ("10:30", "10:30"),
        ("10\u2076", "10^6"),
        ("2\u00bd", "2 1/2"),
        ("1939\u20131945", "1939 1945"),
        ("4/7/1945", "4 7 1945"),
        ("9/11", "9/11"),
        ("\u221240 \u00b0C", "-40 c"),
        ("'.de'", ".de"),
        ("It is .de.", "it is .de"),
        ("so...and", "so and"),
        ("+49", "+49"),
        ("5+3", "5 3"),
        ("C#", "c#"),
        ("C++.", "c++"),
        ("#1", "1"),
        ("AT&T", "at and t"),
        ("50%", "50 percent"),
        ("vitamin A", "vitamin a"),
        ("The Who", "the who"),
        ("Plan B. A dog", "plan b dog"),
        ("**Paris**", "paris"),
        ("?!", ""),
        ("", ""),
    ],
)
def test_normal_form(text: str, expected: str) -> None:
    assert normalize(text) == expected


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | st.text(alphabet="aAtheb12.+-#/:^%&'\u2019, \u00bd\u00b2\u00e9", max_size=14))
def test_normalizing_twice_changes_nothing(text: str) -> None:
    once = normalize(text, keep_articles=True)
    assert normalize(once, keep_articles=True) == once


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20).filter(lambda text: bool(text.strip())))
def test_an_answer_is_always_found_in_itself(answer: str) -> None:
    assert contains_answer(answer, answer)
    assert is_correct(answer, free_text(answer, match="exact"))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 9999), st.integers(0, 99999))
def test_a_number_is_found_only_as_itself(answer: int, other: int) -> None:
    assert contains_answer(f"It was {other}.", str(answer)) == (answer == other)


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("The capital is Paris.", "paris"),
        ("PARIS", "Paris"),
        ("It is S\u00e3o Paulo, I think.", "Sao Paulo"),
        ("Einstein's theory", "Einstein"),
        ("Einstein\u2019s theory", "Einstein"),
        ("the shepherds purse", "shepherd's purse"),
        ("Gambia", "The Gambia"),
        ("the Gambia", "Gambia"),
        ("It is The Who.", "The Who"),
        ("Vitamin A is stored in the liver", "vitamin A"),
        ("from 1939-1945", "1945"),
        ("born 4.7.1945", "1945"),
        ("George H.W. Bush", "George H. W. Bush"),
        ("Antigua & Barbuda", "Antigua and Barbuda"),
        ("written in C#", "C#"),
        ("C#'s syntax", "C#"),
        ("Dial +49 first", "+49"),
        ("use .de", ".de"),
        ("7,500 people", "7500"),
        ("\u7b54\u6848\u662f\u5317\u4eac\u3002", "\u5317\u4eac"),
        ("!!!", "!!!"),
    ],
)
def test_found(output: str, answer: str) -> None:
    assert is_correct(output, free_text(answer))


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("12", "2"),
        ("11945", "1945"),
        ("2.5", "2"),
        ("1/2", "2"),
        ("-5", "5"),
        ("10:30", "10"),
        ("1,945", "945"),
        ("C++", "C"),
        ("C#", "C"),
        ("C", "C++"),
        ("de", ".de"),
        ("Niger", "Nigeria"),
        ("Nigeria", "Niger"),
        ("vitamin C", "vitamin A"),
        ("vitamin", "vitamin A"),
        ("Who knows?", "The Who"),
        ("anything else", "!!!"),
        ("", "Paris"),
        ("...", "Paris"),
    ],
)
def test_not_found(output: str, answer: str) -> None:
    assert not is_correct(output, free_text(answer))


def test_any_alias_will_do() -> None:
    assert is_correct("It is the UK.", free_text("United Kingdom", "UK", "Britain"))


@pytest.mark.parametrize("output", [".de", "'.de'", " .DE. ", "\u201c.de\u201d", "`.de`", "**.de**"])
def test_exact_allows_quotes_and_punctuation(output: str) -> None:
    assert is_correct(output, free_text(".de", match="exact"))


GOLD = "What is the chemical symbol of gold?"
CODE = "What is the two-letter ISO 3166 country code of Italy?"
PERIOD = "In which period of the periodic table is gold?"


@pytest.mark.parametrize(
    ("question", "output", "answer"),
    [
        (GOLD, "The symbol is Au.", "Au"),
        (GOLD, "The chemical symbol of gold is **Au**.", "Au"),
        (GOLD, "Gold's chemical symbol is 'Au'.", "Au"),
        (GOLD, "Au is the chemical symbol for gold", "Au"),
        (GOLD, "It is Au.", "Au"),
        (CODE, "The ISO 3166 country code of Italy is IT.", "IT"),
        (CODE, "It is IT", "IT"),
        (PERIOD, "Gold is in period 6.", "6"),
        (PERIOD, "Gold is in period 6 of the periodic table.", "6"),
        (PERIOD, "The answer is 6.", "6"),
        ("What is the ISO code of Icelandic?", "The ISO code of Icelandic is is.", "is"),
        ("What is the top-level domain of Sudan?", "The top-level domain of Sudan is .sd.", ".sd"),
        ("What is the molecular formula of water?", "The molecular formula of water is H\u2082O.", "H2O"),
    ],
)
def test_exact_allows_a_frame_of_the_question_s_words(question: str, output: str, answer: str) -> None:
    """A user reads such a sentence as the answer and nothing else."""
    assert is_correct(output, free_text(answer, match="exact", question=question))


@pytest.mark.parametrize(
    ("question", "output", "answer"),
    [
        (GOLD, "The symbol is not Au.", "Au"),
        (GOLD, "The symbol is Au or Ag.", "Au"),
        (GOLD, "The symbol is Ag.", "Au"),
        (GOLD, "The symbol of Au is Ag.", "Au"),
        (GOLD, "Au, Ag", "Au"),
        (GOLD, "", "Au"),
        (CODE, "The country code of Italy is", "IT"),
        (CODE, "It is", "IT"),
        (CODE, "It is the country code of Italy.", "IT"),
        (CODE, "It is IT, I think.", "IT"),
        (PERIOD, "Gold is in period 16.", "6"),
        (PERIOD, "Gold is in period 6 and group 11.", "6"),
        (PERIOD, "18 or 19", "18"),
        ("What is the ISO code of Icelandic?", "The ISO code of Icelandic is", "is"),
        ("What is the code of Norway?", "The code is no code", "NO"),
        ("Which language has the extension .c?", "The extension is .c", "C"),
        ("Is it 5 or 6?", "5 or 6", "6"),
        ("?", "no", "NO way"),
    ],
)
def test_exact_allows_no_further_word(question: str, output: str, answer: str) -> None:
    assert not is_correct(output, free_text(answer, match="exact", question=question))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_exact_in_a_frame_finds_a_number_only_as_itself(answer: int, other: int) -> None:
    question = free_text(str(answer), match="exact", question="What is the atomic number of gold?")
    assert is_correct(f"The atomic number of gold is {other}.", question) == (answer == other)


def test_exact_language_code_that_is_an_article() -> None:
    assert is_correct("an", free_text("an", match="exact"))


def test_what_follows_an_invented_next_question_is_not_judged() -> None:
    output = "Berlin\n\nQuestion: What is the capital of France?\nAnswer: Paris"
    assert own_reply(output) == "Berlin"
    assert not is_correct(output, free_text("Paris"))
    assert own_reply("Question: what?\nParis") == "Question: what?\nParis"


@pytest.mark.parametrize(
    "form",
    ["{L}", "{L}.", "({L})", "{L})", "{l}", "{l})", "({l})", "{L}. {t}", "({L}) {t}", "{L}) {t}", "{L}: {t}", "{L} {t}",
     "{L} - {t}", "{L}\n{t}", "The answer is {L}", "The answer is {L}.", "Answer: {L}", "answer:{L}", "Answer:\n{L}",
     "The correct answer is ({L}) {t}.", "The answer is **{L}**.", "The answer is option {L}.", "Option {L}",
     "Option {L} is correct.", "{L} is correct.", "{L} is the right answer because it is", "{L}, because I say so.",
     "\\boxed{{{L}}}", "$\\boxed{{{L}}}$", "**{L}**", "I think it's {L}.", "I would go with {L}", "I choose {L}.",
     "The correct option is: {L}", "A: {t}", "\"{L}\"", "{t}", "{t}.", "It is {t}.", "The largest is {t}, of course.",
     "The answer is {t}.", "The largest planet is ({L}).", "{L}\n\nQuestion: Next?\nAnswer: D",
     "The answer is {L}.\n\nQ: Next?\nA: D", "<{L}>", "`{L}`", "[{L}]", "The letter is {L}.", "The option {L}",
     "The answer to the question is {L}.", "The correct answer is: \n\n{L}. {t}", "Final answer: $\\boxed{{{L}}}$",
     "{t} ({L})", "The answer is {t} ({L}).", "It is option {L}.", "the option is {l}", "ANSWER: {L}", "Letter {L}"],
)  # fmt: skip
@pytest.mark.parametrize("index", range(4))
def test_every_form_of_every_option_is_understood(form: str, index: int) -> None:
    output = form.format(L=ascii_uppercase[index], l=ascii_uppercase[index].lower(), t=PLANETS[index])
    assert parse_choice(output, PLANETS) == index


@pytest.mark.parametrize(
    "output",
    ["", " ", "E", "Z.", "A dog is a pet", "The answer is A dog", "A planet", "A or B", "A and C", "A, B", "B/C",
     "A, B and C", "A. B. C. D.", "B. Mars", "The answer is B. Mars",
     "The answer is A or C.", "Mars or Venus", "The answer is A. No, the answer is B.", "I have four options.",
     "It is not Mars.", "Saturn", "None of these", "a planet is big", "42"],
)  # fmt: skip
def test_nothing_or_several_options_named_is_unparsable(output: str) -> None:
    assert parse_choice(output, PLANETS) is None


@pytest.mark.parametrize(
    ("output", "choices", "expected"),
    [
        ("C. C21H4O2", "C24H32O4|C7H14O2|C21H42O2|C4H8O3", 2),
        ("C. Turcia", "Japonia|Ucraina|Liban|Turcia", None),
        ("A. Mexican", "Egyptian|Mexican|Indian|Romanian", None),
        ("A. Egyptian", "Egyptian|Mexican|Indian|Romanian", 0),
        ("The answer is A. showman", "showman|physician|comedian|lyricist", 0),
        ("The answer is C. Iraq", "Nepal|Lebanon|India|Iraq", None),
        ("A. radium is the chemical element with the symbol In.", "radium|indium|osmium|ytterbium", 0),
        ("A. Sri Lanka Matha\nB. Bahrainona\nC. Negaraku", "Sri Lanka Matha|Bahrainona|Negaraku|Tavisupleba", None),
        ("A. Mandera\nB. Quelimane", "Mandera|Quelimane|Maputo|Kano", None),
        ("A. distant\nB. thick\nC. good\nD. cooperative", "distant|thick|good|cooperative", None),
        ("A. Jackson is the capital of Mississippi.", "Mississippi|Kansas|New Hampshire|Illinois", 0),
        ("C. Good", "distant|thick|good|cooperative", 2),
        ("C. osprey\n\nQuestion: Which animal is it?", "chicken roundworm|siskin|osprey|frilled lizard", 2),
        ("C. Mytilus edulis\n\nThe answer is D.", "Pieris brassicae|Physeter catodon|Mytilus edulis|Gallus", 2),
        ("Arizona is the only state to use the telephone area code 540.", "Arizona|Virginia|Georgia|Texas", 0),
        ("King Louis XII of France died in 1515.", "1546|1490|1515|1484", 2),
        ("Estonian: Ben Nevis", "Suur Munamagi|Ben Nevis|Mont Blanc|Triglav", 1),
        ("False rue anemone", "rock spikemoss|fescue|false rue anemone|blue fleabane", 2),
        ("On 14 May, it celebrates its national holiday on 22 November.", "14 May|22 November|4 July|26 May", None),
        ("The blowfly belongs to the class Insecta.", "insect|reptile|crustacean|amphibian", None),
        ("The element plutonium was discovered in 1949.", "1940|1951|1954|1946", None),
    ],
)
def test_outputs_of_the_default_model(output: str, choices: str, expected: int | None) -> None:
    """SmolLM2-135M-Instruct on WorldFacts with options, asked for a letter or for the text."""
    assert parse_choice(output, tuple(choices.split("|"))) == expected


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 26), st.data())
def test_any_number_of_options(n: int, data: st.DataObject) -> None:
    choices = tuple(f"text {i + 100}" for i in range(n))
    index = data.draw(st.integers(0, 25))
    letter = ascii_uppercase[index]
    expected = index if index < n else None
    for output in (letter, f"{letter}.", f"({letter})", f"The answer is {letter}."):
        assert parse_choice(output, choices) == expected


def test_the_longer_option_is_meant_where_one_holds_the_other() -> None:
    choices = ("York", "New York", "Boston", "Leeds")
    assert parse_choice("It must have been New York then", choices) == 1
    assert parse_choice("It must have been York then", choices) == 0


def test_option_text_that_begins_with_an_article() -> None:
    choices = ("a cat", "a dog", "a bird")
    assert parse_choice("A dog", choices) == 1
    assert parse_choice("A cat", choices) == 0
    assert parse_choice("B. A dog", choices) == 1


def test_a_letter_is_a_letter_even_where_it_is_also_an_option_text() -> None:
    blood = ("O", "A", "B", "AB")
    assert parse_choice("A", blood) == 0
    assert parse_choice("O", blood) == 0
    assert parse_choice("AB", blood) == 3


def test_numeric_options() -> None:
    choices = ("1", "2", "12", "21")
    assert parse_choice("12", choices) == 2
    assert parse_choice("The result is 2.", choices) == 1
    assert parse_choice("3", choices) is None


def test_negated_option_does_not_count() -> None:
    assert parse_choice("It is Venus, not Mars.", PLANETS) == 2


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("It is a cow.", "A", False), ("A", "A", True), ("(A)", "A", True), ("The answer is A.", "A", True),
        ("No one knows", "no", False), ("No.", "no", True), ("No, it is not.", "No", True), ("There is no king", "no", False),
        ("Yes, they are", "yes", True), ("What a day, yes", "yes", False), ("It is a novel", "It", False), ("It", "It", True),
        ("D. H. Lawrence", "D", False), ("I am a model", "I", False), ("Paris or London", "OR", False),
        ("The Who", "The Who", True), ("one gear is enough", "one", True), ("It is 7 of them", "7", True),
    ],
)  # fmt: skip
def test_short_words_count_as_the_whole_answer_only(output: str, reference: str, expected: bool) -> None:
    assert is_correct(output, Question("i", "Which is it?", (reference,))) == expected
