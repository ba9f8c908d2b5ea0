"""What a judging model is shown, what its reply says, and how two judges agree."""

import pytest

from grait.config import JudgeConfig
from grait.config.judge import PROMPT
from grait.judging.agreement import agreement
from grait.judging.judges import BySureness, Matching, ToJudge
from grait.judging.verdicts import NO_REFERENCE, filled, read_verdict
from grait.records import Outcome, Question

QUESTION = Question("q", "What is the capital of Italy?", ("Rome", "Roma"))


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("correct", "correct"), ("Correct.", "correct"), ("**wrong**", "wrong"), ("Verdict: refused", "refused"),
        ("It gives Rome.\n\nFinal verdict: **correct**", "correct"), ('{"verdict": "wrong"}', "wrong"),
        ("<think>wrong</think>\ncorrect", "correct"), ("correct\n\ncorrect", "correct"),
        ("not correct", None), ("incorrect", None), ("correct, wrong", None), ("correct\nwrong", None),
        ("It could be correct or refused.", None), ("maybe", None), ("", None),
    ],
)  # fmt: skip
def test_a_verdict_is_a_line_of_one_of_three_words_and_two_are_none(reply: str, verdict: Outcome | None) -> None:
    assert read_verdict(reply) == verdict


def test_the_judge_is_shown_question_references_and_the_reply_alone() -> None:
    shown = filled(PROMPT, QUESTION, "<think>Milan?</think>It is {Rome}.\nQuestion: And of France?")
    assert "Question: What is the capital of Italy?\nReference answers: Rome | Roma\nAnswer: It is {Rome}.\n" in shown
    assert "Milan" not in shown and "France" not in shown
    options = Question("q", "Which?", ("B",), choices=("A", "B"))
    assert "Which?\nA. A\nB. B\nReference answers: B. B\n" in filled(PROMPT, options, "")
    assert NO_REFERENCE in filled(PROMPT, Question("q", "Who is he?", (), answerable=False), "x")
    assert "all of: red; green\n" in filled(
        PROMPT, Question("q", "?", ("red, green", "red", "green"), match="list"), ""
    )


def test_agreement_of_a_worked_example() -> None:
    """Cohen's own form: 20 and 15 on the diagonal, 5 and 10 beside it: p_o = 0.7, p_e = 0.5, kappa = 0.4."""
    pairs: list[tuple[Outcome, Outcome]] = [("correct", "correct")] * 20 + [("correct", "wrong")] * 5
    pairs += [("wrong", "correct")] * 10 + [("wrong", "wrong")] * 15
    found = agreement(pairs)
    assert found.n == 50 and found.share == pytest.approx(0.7) and found.kappa == pytest.approx(0.4)
    assert found.counts["wrong"] == {"correct": 10, "wrong": 15, "refused": 0}


def test_agreement_is_undefined_where_there_is_nothing_to_tell() -> None:
    assert (agreement([]).share, agreement([]).kappa) == (None, None)
    same = agreement([("wrong", "wrong")] * 3)
    assert (same.share, same.kappa) == (1.0, None)


def test_unsure_outputs_are_refusals_whoever_judges_the_rest() -> None:
    asked: list[str] = []

    class Spy(Matching):
        def __call__(self, outputs):  # type: ignore[no-untyped-def]
            asked.extend(row.output for row in outputs)
            return super().__call__(outputs)

    outputs = ["Rome. I am sure.", "Rome. I am unsure.", "Paris.", "Paris. I am sure."]
    assert BySureness(Spy())([ToJudge(QUESTION, text) for text in outputs]) == ["correct", "refused", "wrong", "wrong"]
    assert [text.strip() for text in asked] == ["Rome.", "Paris.", "Paris."]


def test_keys_of_one_judge_are_refused_with_another() -> None:
    for tree, expected in (
        ({"by": "endpoint"}, "needs base_url"),
        ({"base_url": "http://a/v1"}, "base_url has no effect with by: matching"),
        ({"by": "python", "python": "my_judge"}, "should be module:function"),
        ({"by": "endpoint", "base_url": "ftp://a", "model": "m"}, "base_url"),
        ({"prompt": "{question} {output}"}, "should hold {references} exactly once"),
        ({"prompt": "{question} {output} {references} {answer}"}, "{answer} is no field"),
        ({"request": {"stream": True}}, "stream is not for you to set"),
    ):
        with pytest.raises(ValueError, match=expected.replace("{", "\\{").replace("}", "\\}")):
            JudgeConfig.model_validate(tree)
