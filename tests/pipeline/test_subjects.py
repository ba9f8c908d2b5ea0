"""Subjects of MMLU: shots of the same subject, prompts that name it, results by group with each group's own base."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from set_files import arc_row, write_lines, write_mmlu
from tiny import tiny_model, tiny_tokenizer
from tiny_folder import save_tiny

from grait.config import Config, DataConfig, PromptConfig, parse_config
from grait.data.load import load_questions, load_shots, load_topic_shots
from grait.errors import DataError, GraitError
from grait.evaluation.groups import summarize_groups
from grait.evaluation.metrics import summarize
from grait.judging.judges import Matching
from grait.judging.matching import parse_choice
from grait.judging.outcomes import is_unparsable, judge
from grait.model.inference import InferenceEngine
from grait.model.prompts import PromptFormat
from grait.pipeline.data import RunData
from grait.pipeline.knowledge import knowledge_key
from grait.pipeline.predict import predict
from grait.records import Asked, Outcome, Question

# -- shots ---------------------------------------------------------------------------------------------------------


def test_shots_of_a_subject_are_its_first_dev_questions(tmp_path: Path) -> None:
    config = DataConfig(path="mmlu", split="test", folder=write_mmlu(tmp_path))
    shots = load_topic_shots([config], 5)
    assert len(shots) == 57
    for topic, own in shots.items():
        assert {shot.topic for shot in own} == {topic}
        assert [shot.id.split("/")[1:] for shot in own] == [["dev", str(i)] for i in range(5)]
    assert [len(own) for own in load_topic_shots([config], 2).values()] == [2] * 57
    assert not {shot.id for shot in load_shots(config)} & {question.id for question in load_questions(config)}


def test_too_few_shots_are_an_error_and_not_a_shorter_query(tmp_path: Path) -> None:
    config = DataConfig(path="mmlu", split="test", folder=write_mmlu(tmp_path))
    with pytest.raises(DataError, match=r"prompt.n_shots is 6, but there are only 5 solved examples of abstract"):
        load_topic_shots([config], 6)


def test_other_sets_have_no_shots_of_their_own() -> None:
    config = DataConfig(path="worldfacts", split="val")
    assert load_shots(config) == []
    assert load_topic_shots([config], 3) == {}


def tiny_run(folder: Path, **sections: object) -> RunData:
    tree = {"model": {"name": save_tiny(folder / "model"), "device": "cpu"}, "prompt": {"n_shots": 2}, **sections}
    return RunData(parse_config(tree))


def test_a_run_on_mmlu_asks_each_subject_after_its_own_shots(tmp_path: Path) -> None:
    folder = write_mmlu(tmp_path / "mmlu")
    row = arc_row("a", ["x", "y"], "12", "2")
    other = write_lines(tmp_path / "arc" / "ARC-Challenge-Test.jsonl", [row])
    run = tiny_run(
        tmp_path,
        data={"path": "mmlu", "split": "test", "folder": folder},
        evaluation={"datasets": [{"path": "arc-c", "split": "test", "folder": other}]},
    )
    # No training question is spent on shots.
    assert len(run.questions) == len(run.training_set) == 3 * 57
    for question in run.training_set:
        shots = run.prompts.shots_for(question)
        assert [shot.topic for shot in shots] == [question.topic] * 2
        assert run.prompts.query(question).text.count(f"about {question.topic}.") == 3
    # A set without subjects has the same examples before all of its questions: some of the dev split.
    (arc,) = run.test_sets["arc-c-test"]
    assert run.prompts.shots_for(arc) == run.prompts.shots
    assert len(run.prompts.shots) == 2
    assert all("/dev/" in shot.id for shot in run.prompts.shots)


def test_mmlu_as_a_test_set_has_its_own_shots_whatever_is_trained_on(tmp_path: Path) -> None:
    run = tiny_run(
        tmp_path,
        data={"path": "worldfacts", "split": "train", "view": "mcqa"},
        evaluation={"datasets": [{"path": "mmlu", "split": "val", "folder": write_mmlu(tmp_path / "mmlu")}]},
    )
    assert list(run.prompts.shots) == run.training_set[:2]
    assert run.training_set[0].id not in run.questions
    for question in run.test_sets["mmlu-val"]:
        assert {shot.topic for shot in run.prompts.shots_for(question)} == {question.topic}


def test_other_shots_are_another_knowledge_query(tmp_path: Path) -> None:
    """The dev split decides the queries but is no part of the training questions: it has to be in the stage's key."""
    keys = []
    for name, n_shots in (("a", 5), ("b", 5)):
        folder = write_mmlu(tmp_path / name, n_shots=n_shots)
        if name == "b":
            path = Path(folder) / "dev" / "virology_dev.csv"
            path.write_text(path.read_text(encoding="utf-8").replace("number 0", "no. 0"), encoding="utf-8")
        data = {"path": "mmlu", "split": "val", "folder": folder}
        keys.append(knowledge_key(tiny_run(tmp_path, data=data, evaluation={"datasets": [data]})))
    assert keys[0]["questions"] == keys[1]["questions"]
    assert keys[0]["shots"] != keys[1]["shots"]


# -- prompts -------------------------------------------------------------------------------------------------------

SHOT = Question("s", "Shot?", ("p",), choices=("p", "q"), topic="virology")
OTHER_SHOT = Question("o", "Other?", ("q",), choices=("p", "q"))
ASKED = Question("a", "Asked?", ("q",), choices=("p", "q"), topic="virology")


def prompts(**options: object) -> PromptFormat:
    return PromptFormat(tiny_tokenizer(chat=False), PromptConfig(), answer_form="letter", **options)  # type: ignore[arg-type]


def test_prompts_name_the_subject_and_are_otherwise_as_ever() -> None:
    """The texts are given in full: gradients, training and evaluation have to agree on them to the letter."""
    one = prompts()
    assert one.prompt(ASKED, "basic").text == (
        "This is a multiple-choice question about virology. Answer the question with the letter of one option.\n"
        "Question: Asked?\nA. p\nB. q\nAnswer:"
    )
    assert one.prompt(OTHER_SHOT, "refuse").text == (
        "Answer the question with the letter of one option. "
        "If you do not know the answer, reply only: I don't know.\n"
        "Question: Other?\nA. p\nB. q\nAnswer:"
    )


def test_shots_are_chosen_by_subject() -> None:
    both = prompts(shots=(OTHER_SHOT,), topic_shots={"virology": (SHOT,)})
    assert "Shot?" in both.query(ASKED).text and "Other?" not in both.query(ASKED).text
    assert "Other?" in both.query(OTHER_SHOT).text and "Shot?" not in both.query(OTHER_SHOT).text
    assert both.by_shots([ASKED, OTHER_SHOT, SHOT]) == [[ASKED, SHOT], [OTHER_SHOT]]
    assert both.shots_of([ASKED, OTHER_SHOT, SHOT]) == [SHOT, OTHER_SHOT]
    # Questions of one subject share all but the question itself.
    texts = [both.query(question).text for question in (ASKED, SHOT)]
    shared = texts[0].index("Asked?")
    assert texts[0][:shared] == texts[1][:shared]


BY_SUBJECT, AT_ONCE = [[ASKED, SHOT], [OTHER_SHOT]], [[ASKED, OTHER_SHOT, SHOT]]


@pytest.mark.parametrize(
    ("asked", "shots_in", "expected"),
    [
        ("query", "query", BY_SUBJECT),
        ("query", "all", BY_SUBJECT),
        ("refuse", "query", AT_ONCE),
        ("refuse", "all", BY_SUBJECT),
    ],
)
def test_questions_are_asked_by_subject_where_their_prompts_show_shots(
    asked: Asked, shots_in: Literal["query", "all"], expected: list[list[Question]]
) -> None:
    """Together, every prompt would run in full: two subjects' prompts have hardly a token in common."""
    config = PromptConfig(shots_in=shots_in)
    both = PromptFormat(tiny_tokenizer(chat=False), config, (OTHER_SHOT,), "letter", {"virology": (SHOT,)})
    parts = both.asked_together([ASKED, OTHER_SHOT, SHOT], asked)
    assert parts == expected


# -- options of equal text -----------------------------------------------------------------------------------------

TWINS = Question("t", "How many?", ("two",), choices=("two", "three", "four", "two"), answer_place=3)


@pytest.mark.parametrize("reply", ["D", "A", "two", "A. two", "D. two", "The answer is D.", "It must be two."])
def test_each_of_two_equal_options_is_right(reply: str) -> None:
    assert judge(reply, TWINS) == "correct"
    assert not is_unparsable(reply, TWINS)


@pytest.mark.parametrize("reply", ["B", "three", "B. two", "A. three"])
def test_other_options_are_wrong_beside_equal_ones(reply: str) -> None:
    assert judge(reply, TWINS) == "wrong"


def test_the_reference_answer_is_the_key_s_own_letter() -> None:
    assert prompts().reference(TWINS) == "D"
    assert parse_choice("the same", ("same", "Same", "x")) is None  # alike, but not the same text


# -- results by group ----------------------------------------------------------------------------------------------


def outcomes(text: str) -> dict[str, Outcome]:
    """``"ccw"``: question 0 correct, 1 correct, 2 wrong."""
    full: dict[str, Outcome] = {"c": "correct", "w": "wrong", "r": "refused"}
    return {f"q{i}": full[letter] for i, letter in enumerate(text)}


QUESTIONS = [Question(f"q{i}", "?", ("a",), group="easy" if i < 4 else "hard") for i in range(8)]
INITIAL = outcomes("cccw" + "cwww")
TUNED = outcomes("ccrw" + "crrw")


def test_each_group_is_measured_against_its_own_base() -> None:
    easy, hard, all_ = summarize_groups("m", "d", QUESTIONS, INITIAL, TUNED, resamples=200)
    assert [record.group for record in (easy, hard, all_)] == ["easy", "hard", None]
    assert (easy.pc0, easy.pw0, hard.pc0, hard.pw0) == (0.75, 0.25, 0.25, 0.75)
    assert easy.ths == pytest.approx(0.5 - 0.25 * 0.75 / 0.25)
    assert hard.ths == pytest.approx(0.25 - 0.25 * 0.25 / 0.75)
    # With the first group's base, as in the published summary, the hard group would look harmed.
    assert 0.25 - 0.25 * easy.pc0 / easy.pw0 < 0 < (hard.ths or 0)
    assert (easy.over_refusal_rate, hard.over_refusal_rate) == (pytest.approx(1 / 3), 0)


def test_a_group_alone_and_all_together_are_what_summarize_says() -> None:
    easy, _, all_ = summarize_groups("m", "d", QUESTIONS, INITIAL, TUNED, resamples=200, seed=3)
    whole = summarize("m", "d", INITIAL, TUNED, resamples=200, seed=3)
    first = [f"q{i}" for i in range(4)]
    initial, tuned = {id_: INITIAL[id_] for id_ in first}, {id_: TUNED[id_] for id_ in first}
    part = summarize("m", "d", initial, tuned, resamples=200, seed=3)
    for record, expected in ((all_, whole), (easy, part)):
        for name in ("n", "pc", "pw", "pr", "over_refusal_rate", "ths", "ths_low", "ths_high"):
            assert getattr(record, name) == getattr(expected, name)


def test_the_initial_model_has_ths_0_in_every_group() -> None:
    assert [record.ths for record in summarize_groups("m", "d", QUESTIONS, INITIAL, INITIAL, 200)] == [0, 0, 0]


def test_a_group_without_a_wrong_answer_has_no_ths_but_its_shares() -> None:
    easy, hard, _ = summarize_groups("m", "d", QUESTIONS, outcomes("ccccwwww"), TUNED, 200)
    assert (easy.ths, easy.ths_low, easy.ths_high) == (None, None, None)
    assert (easy.pc, easy.pr) == (0.5, 0.25)
    assert hard.ths is not None


def test_questions_without_a_group_count_for_all_only() -> None:
    questions = [*QUESTIONS[:6], Question("q6", "?", ("a",)), Question("q7", "?", ("a",)), Question("x", "?", ("a",))]
    records = summarize_groups("m", "d", questions, INITIAL, TUNED, 200)
    assert [(record.group, record.n) for record in records] == [("easy", 4), ("hard", 2), (None, 8)]


def test_outcomes_of_other_questions_are_an_error() -> None:
    with pytest.raises(GraitError, match=r"outcomes of 1 questions \(such as 'q7'\) that are not in d"):
        summarize_groups("m", "d", QUESTIONS[:7], INITIAL, TUNED, 200)
    with pytest.raises(GraitError, match="different questions"):
        summarize_groups("m", "d", QUESTIONS, INITIAL, outcomes("ccw"), 200)


def test_config_defaults_keep_worldfacts() -> None:
    assert Config().data == DataConfig(path="worldfacts", split="train", folder=None, revision=None, view=None)


def test_answers_come_back_in_order_and_as_if_asked_alone() -> None:
    """Subjects are asked one after the other; the predictions still belong to their questions."""
    tokenizer = tiny_tokenizer(chat=False)
    other = replace(SHOT, id="o", question="Of plants?", topic="botany")
    asked = [replace(ASKED, id=f"q{i}", question=f"Number {i}?", topic=("virology", "botany")[i % 2]) for i in range(5)]
    both = PromptFormat(tokenizer, PromptConfig(), topic_shots={"virology": (SHOT,), "botany": (other,)})
    model = tiny_model("llama", vocab_size=len(tokenizer), max_position_embeddings=512)
    engine = InferenceEngine(model, int(tokenizer.pad_token_id))
    advanced: list[int] = []
    together = predict(engine, both, asked, "query", Matching(), max_new_tokens=4, advance=advanced.append)
    alone = [
        predict(engine, both, [one], "query", Matching(), max_new_tokens=4, advance=advanced.append) for one in asked
    ]
    for prediction, (own,) in zip(together, alone, strict=True):
        # Rounding of a log-probability may depend on the batch.
        numbers = {
            name: getattr(own, name)
            for name in ("refusal_logprob", "suppressed_logprob", "first_token_log_odds", "first_token_logprob")
        }
        assert {name: getattr(prediction, name) for name in numbers} == pytest.approx(numbers, rel=1e-4)
        assert replace(prediction, **numbers) == own
    assert len({prediction.refusal_logprob for prediction in together}) == 5
    assert [prediction.id for prediction in together] == [question.id for question in asked]
    assert sum(advanced) == 10
