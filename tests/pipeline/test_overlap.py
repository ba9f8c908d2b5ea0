"""Questions that stand in several rows and sets: counted, named, said; a run on its training questions stops."""

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from conftest import Call
from hypothesis import given, settings
from tiny_folder import Files, tiny_tree, write_jsonl

import grait
from grait.data.near import Near, _runs, _shared
from grait.data.wording import wording
from grait.errors import ConfigError, DataError
from grait.pipeline.overlap import look_across
from grait.records import Question


def asked(*texts: str, answers: tuple[str, ...] = ("a",), **more: Any) -> list[Question]:
    return [Question(f"{text}-{answers}", text, answers, **more) for text in texts]


SAME = ["Who wrote  Faust?", "who wrote faust", "WHO WROTE “FAUST”?", "Who wrote 'Faust' ?", "Ｗho wrote Faust?!"]
OTHER = [
    ("What is C?", "What is C++?"), ("What is 5 + 3?", "What is 5 - 3?"), ("Is 3.5 odd?", "Is 35 odd?"),
    ("Which TLD is .de?", "Which TLD is de?"), ("Who is he?", "Who is she?"), ("What is x^2?", "What is x2?"),
    ("What is -40?", "What is 40?"), ("Is a/b whole?", "Is ab whole?"), ("Who is Müller?", "Who is Muller?"),
    ("It's what?", "Its what?"),
]  # fmt: skip


@pytest.mark.parametrize("text", SAME)
def test_near_duplicates_have_the_same_wording(text: str) -> None:
    assert wording(asked(text)[0]) == wording(asked(SAME[0])[0])


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_signs_that_carry_the_meaning_are_kept(one: str, other: str) -> None:
    assert wording(asked(one)[0]) != wording(asked(other)[0])


def test_questions_with_other_options_are_others() -> None:
    one, other = (asked("Which is true?", choices=choices)[0] for choices in (("a", "b"), ("a", "c")))
    assert wording(one) != wording(other)
    assert wording(one) == wording(asked("Which is true?", choices=("b", "a"))[0])


def test_everything_that_stands_in_several_places_is_counted_and_named() -> None:
    training, shots = asked("One?", "Two?", "Three?", "Four?", "Five?"), asked("Shot?")
    tests = {"first": asked("one", "TWO?", "three", "four", "Shot", "New?"), "second": asked("new?", "Other?")}
    found = look_across(training, shots, tests)
    assert [(finding.what, finding.is_leak) for finding in found] == [
        ("4 of 6 questions of first are training questions, too", True),
        ("1 of 6 questions of first are solved examples, shown with their answers", True),
        ("1 of 2 questions of second stand in first, too", False),
    ]
    assert found[0].text.endswith("such as 'one', 'TWO?', 'three', ...")
    assert look_across(asked("One?"), shots, {"first": asked("Two?")}) == []


def test_rows_that_contradict_each_other_and_rows_that_return() -> None:
    training = [
        *asked("Capital?", answers=("Paris", "Ville de Paris")), *asked("capital", answers=("Lyon",)),
        *asked("River?", answers=("Rhine",)), *asked("river", answers=("the Rhine", "rhine")),
        *asked("Nobody?", answers=("x",)), Question("u", "nobody", (), answerable=False),
    ]  # fmt: skip
    assert [finding.what for finding in look_across(training, [], {})] == [
        "4 rows of training ask 2 questions with answers that contradict each other",
        "1 questions of training stand in it once more",
    ]


def test_a_run_on_its_training_questions_stops_unless_it_may(
    tiny: tuple[str, Files], tmp_path: Path, command: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    model, files = tiny
    tree = tiny_tree(model, Files(files.train, files.train), tmp_path / "run")
    with pytest.raises(DataError, match="16 of 18 questions of own are training questions, too, such as") as caught:
        grait.run(tree)
    assert "--allow-overlap" in str(caught.value) and "2 of 18 questions of own are solved examples" in str(
        caught.value
    )
    assert not (tmp_path / "run").exists()
    options = (
        "--model",
        model,
        "--train",
        files.train,
        "--test",
        files.train,
        "--dry-run",
        "--set",
        "prompt.n_shots=2",
    )
    code, _, err = command("run", *options)
    assert code == 2 and "are training questions, too" in err
    code, _, err = command("run", *options, "--allow-overlap")
    assert code == 0 and "16 of 18 questions of train are training questions, too" in err
    tree["data"]["allow_overlap"] = True
    result = grait.run(tree)
    assert "16 of 18 questions of own are training questions, too" in capsys.readouterr().err
    assert any("are training questions, too" in note for note in result.summary["data"])
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["data"] == result.summary["data"]


def test_questions_in_other_words_run_without_a_word(tiny: tuple[str, Files], tmp_path: Path) -> None:
    model, files = tiny
    assert grait.run(tiny_tree(model, files, tmp_path / "run")).summary["data"] == []


def test_two_test_sets_that_overlap_are_said(tiny: tuple[str, Files], tmp_path: Path) -> None:
    model, files = tiny
    tree = tiny_tree(model, files, tmp_path / "run")
    rows = [json.loads(line) for line in Path(files.test).read_text().splitlines()][:3]
    tree["evaluation"]["datasets"].append({"path": write_jsonl(tmp_path / "more.jsonl", rows)})
    assert "3 of 3 questions of more stand in own, too" in grait.run(tree).summary["data"][0]


# -- nearly the same, on request -------------------------------------------------------------------------------------

NEARLY = [
    ("Who wrote the novel Faust in Weimar?", "Who wrote the novel Faust in the Weimar?"),
    ("What is the capital city of Zambia?", "What is the capital city of Zambia today?"),
    ("In which year was the Eiffel Tower built?", "In what year was the Eiffel Tower built?"),
    ("ドナウ川はどの都市を流れていますか、教えてください。", "ドナウ川はどの都市を流れていますか、教えて下さい。"),
]


@pytest.mark.parametrize(("one", "other"), NEARLY)
def test_nearly_the_same_questions_are_named_on_request(one: str, other: str) -> None:
    pytest.importorskip("datasketch")
    training, tests = asked("Which river is long?", one), {"own": asked(other, "How many legs has a spider?")}
    (found,) = look_across(training, [], tests, near=0.6)
    assert found.what == "1 of 2 questions of own are nearly the same as training" and not found.is_leak
    assert one.casefold()[:12] in found.text.casefold() and look_across(training, [], tests) == []


def test_what_is_the_same_is_not_nearly_the_same_and_pairs_count_once() -> None:
    pytest.importorskip("datasketch")
    one, other = NEARLY[0]
    assert look_across(asked(one), [], {"own": asked(one.upper())}, near=0.6) == look_across(
        asked(one), [], {"own": asked(one.upper())}
    )
    (found,) = look_across([], [], {"own": asked(one, other, "How many legs has a spider?")}, near=0.6)
    assert found.what == "1 of 3 questions of own are nearly the same as others of it"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abc ", min_size=8, max_size=14), min_size=2, max_size=8, unique=True))
def test_no_pair_is_named_that_shares_less(texts: list[str]) -> None:
    """And of those that share nearly all, none is missed: against all pairs by hand."""
    pytest.importorskip("datasketch")
    words = list(dict.fromkeys((text,) for text in texts))
    index = Near(words, 0.5)
    for own in words:
        shares = {other: _shared(_runs(own), _runs(other)) for other in words if other != own}
        found = index.nearest(own)
        assert found is None or shares[found] >= 0.5
        if max(shares.values(), default=0) >= 0.8:
            assert found is not None and shares[found] == max(shares.values())


def test_without_the_package_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"near_duplicates: needs datasketch: pip install 'grait\[near-duplicates\]'"):
        look_across([], [], {"own": asked("One?")}, near=0.8)
