"""The built-in judge of numbers, dates and lists: what is in, and what is out."""

import pytest

from grait.judging.judges import Matching, ToJudge
from grait.judging.kinds import is_right, why_not_asked
from grait.records import Match, Question


def right(match: Match, output: str, *answers: str, asked: str = "?", tolerance: str | None = None) -> bool:
    return is_right(output, Question("q", asked, answers, match=match, tolerance=tolerance))


NUMBERS_IN = """
8849 m | It is 8,849 m high.
8849 m | 8.849 km
8849 m | 8849
8849 m | 29,032 ft (8,849 m)
8849 m | 8 849 metres
8849 | 8.849 Meter
5 | about 5
5 | It has 5 km.
5 | 5 and 6
5 | one of the five
5 | In 1969 there were 5 of them.
3 | On 20 July 1969, 3 men landed.
3 | H2O has 3 atoms.
1 | The F-16 has 1 engine.
1969 | in 1969
-40 | -40
-40 | minus 40 degrees
-40 °C | -40 degrees Celsius
1500000 | 1.5 million
1.5 million | 1,500,000 people
1234.5 | 1 234,5
3.14 | 3,14
3,14 | 3.14
45% | 45 percent
300000 km/s | 3 x 10^8 m/s
120 kilometres per hour | 120 km/h
357022 km² | 357,022 square kilometers
1.5 hours | 90 minutes
5 million dollars | $5 million
21 | There are twenty-one of them.
206 | two hundred and six
1500000 | 1.5M
1.5M | 1.5 million people
1500000 | about 1.5 M of them
3000 | 3k
3k | 3,000
3000 | some 3 k people
2 billion | 2 bn
2bn | 2 billion
3 mln | 3,000,000
1.2tn | 1.2 trillion
$3 million | $3m
£2bn | £2B
$50,000 | $50K
$1.2T | 1.2 trillion dollars
3 m | 3m
5 K | 5K
2000 | 2k
1500 | by 1.5k
"""
NUMBERS_OUT = """
5 | 5-7
5 | 5 to 7
5 | 5 or 6
5 | between 5 and 7
5 | more than 5
5 | 6, or rather 5
10 | 10:30
2 | 12
40 | -40
45% | 0.45
8849 m | 29,032 feet
8849 m | 8.851 km
5 km | 5 kg
5 MW | 5 mW
299792458 m/s | 3e8 m/s
3000000 | 3m
3 million | 3 m high
3000 | 3-5k
1.5 | 1.5M
5 m | 5M
5 | none
"""
DATES_IN = """
1969-07-20 | 20 July 1969
1969-07-20 | July 20th, 1969
1969-07-20 | the 20th of July, 1969
1969-07-20 | 20 Jul 1969
1969-07-20 | 20.07.1969
1969-07-20 | 07/20/1969
2001-09-11 | Sept. 11, 2001
20 July 1969 | It was on July 20, 1969.
July 1969 | 20 July 1969
1969 | 20 July 1969
1969 | It was 1969.
2020 | 03/04/2020
2020-04-04 | 04/04/2020
4 July | July 4, 1776
44 BC | 15 March 44 BC
1945 | It may be 1945.
2020-05-01 | 2020-05-01T10:00:00Z
2020-05-01T10:00:00Z | It was on 1 May 2020.
2020-05-01 10:00:00 | 2020-05-01
2020-05-01 | 2020-05-01T10:00:00.123+02:00, local time
2020-05-01T100000Z | May 1, 2020
2020-05-01T10:00 | 2020-05-01
2020 | 2020-05-01T10:00:00Z
"""
DATES_OUT = """
1969-07-20 | 1969
1969-07-20 | July 1969
1969-07-20 | July 21, 1969
1969-07-20 | launched on 16 July 1969, landed on 20 July 1969
2020-04-03 | 03/04/2020
2020-03-04 | 03/04/2020
1969 | 1968-1969
1969 | 1968 or 1969
1969 | before 1969
1914 | between 1914 and 1918
1960 | the 1960s
44 AD | 44 BC
2020-05-01 | 2020-05-02T10:00:00Z
2020-05-01 | 2020-05-01T10:00:00Z to 2020-05-03T10:00:00Z
"""


def rows(text: str) -> list[list[str]]:
    return [line.split(" | ") for line in text.strip().splitlines()]


@pytest.mark.parametrize(("reference", "output"), rows(NUMBERS_IN))
def test_a_number_is_found_in_any_writing(reference: str, output: str) -> None:
    assert right("number", output, reference)


@pytest.mark.parametrize(("reference", "output"), rows(NUMBERS_OUT))
def test_what_is_not_this_number_is_wrong(reference: str, output: str) -> None:
    assert not right("number", output, reference)


@pytest.mark.parametrize(("reference", "output"), rows(DATES_IN))
def test_a_date_is_found_in_any_writing_as_precise_as_the_reference(reference: str, output: str) -> None:
    assert right("date", output, reference)


@pytest.mark.parametrize(("reference", "output"), rows(DATES_OUT))
def test_what_is_not_this_date_is_wrong(reference: str, output: str) -> None:
    assert not right("date", output, reference)


@pytest.mark.parametrize(
    ("output", "reference", "tolerance", "is_in"),
    [
        ("8850 m", "8849 m", "1%", True), ("9000 m", "8849 m", "1%", False), ("5.5", "5", "0.5", True),
        ("5.6", "5", "0.5", False), ("1.01", "1", "1%", True), ("8.9 km", "8849 m", "100", True),
        ("8.96 km", "8849 m", "100", False), ("-41", "-40", "1", True), ("-39", "-40", "1%", False),
    ],
)  # fmt: skip
def test_a_tolerance_is_absolute_in_the_reference_s_unit_or_a_share_of_it(
    output: str, reference: str, tolerance: str, is_in: bool
) -> None:
    assert right("number", output, reference, tolerance=tolerance) is is_in


def test_what_stands_in_the_question_is_passed_over_unless_it_is_the_reference() -> None:
    assert right("number", "Apollo 11 had 3 men.", "3", asked="How many men flew on Apollo 11?")
    assert right("number", "6 is larger than 5", "6", asked="Is 5 or 6 larger?")
    assert not right("number", "5 is larger than 6", "6", asked="Is 7 or 6 larger?")
    assert right("date", "Born in 1879, he died in 1955.", "1955", asked="When did he who was born in 1879 die?")


@pytest.mark.parametrize(
    ("output", "is_in"),
    [
        ("Red, green and blue.", True), ("blue, red, green", True), ("The colours are red, green, and blue.", True),
        ("- Red\n- Green\n- Azure", True), ("1. Red\n2. Green\n3. Blue", True),
        ("Sure. Here they are: red, green, blue. I hope it helps!", True),
        ("red and green", False), ("red, green, blue and yellow", False), ("Yellow, red, green, blue", False),
        ("1. Red\n2. Green\n3. Blue\n4. Pink", False), ("red, green or blue", False), ("red, green, not blue", False),
        ("infrared, green, blue", False), ("", False),
        ("red, green and possibly blue", False), ("dark red, green, blue", False), ("red, green, light-blue", False),
        ("Probably red, green and blue.", True), ("the colour red, the green one, and finally blue", True),
    ],
)  # fmt: skip
def test_a_list_has_all_items_in_any_order_and_no_others(output: str, is_in: bool) -> None:
    assert right("list", output, "red, green, blue", "red", "green", "blue|azure") is is_in


def test_items_may_hold_what_separates_items() -> None:
    assert right("list", "Trinidad and Tobago, Côte d'Ivoire", "", "Trinidad and Tobago", "Cote d'Ivoire")


def test_an_item_may_be_a_part_of_another_one() -> None:
    assert right("list", "Sudan and South Sudan", "", "Sudan", "South Sudan")
    assert right("list", "Lake Huron, Lake Erie", "", "Huron", "Erie")
    assert not right("list", "South Sudan and Chad", "", "Sudan", "Chad")


@pytest.mark.parametrize(
    ("match", "answers", "tolerance", "expected"),
    [
        ("number", ("high",), None, "'high' is not one number"),
        ("number", ("5-7",), None, "'5-7' is not one number"),
        ("date", ("03/04/2020",), None, "'03/04/2020' is not one date"),
        ("date", ("summer",), None, "'summer' is not one date"),
        ("list", ("red", "red"), None, "there is one item"),
        ("normalized", ("5",), "1%", "`tolerance` is for `match` number"),
        ("number", ("5",), "lots", "expected a number such as 0.5"),
    ],
)
def test_references_that_nothing_could_be_held_against_are_named(
    match: Match, answers: tuple[str, ...], tolerance: str | None, expected: str
) -> None:
    said = why_not_asked(Question("q", "?", answers, match=match, tolerance=tolerance))
    assert said and expected in said and "\n" not in said


def test_the_built_in_judge_tells_refusals_and_hedged_numbers_apart() -> None:
    question = Question("q", "How high is Mount Everest?", ("8849 m",), match="number", tolerance="1%")
    outputs = ["I don't know.", "8.8 km", "I'm not sure, but I think it is 8,850 metres.", "7 km"]
    assert Matching()([ToJudge(question, output) for output in outputs]) == ["refused", "correct", "correct", "wrong"]
