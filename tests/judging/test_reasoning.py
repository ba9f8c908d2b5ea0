"""Reasoning is no answer: what a model thinks before it answers is taken off before anything is judged."""

import pytest

from grait.judging.judges import BySureness, Matching, ToJudge
from grait.judging.outcomes import is_hedged, is_unparsable, judge
from grait.judging.premise import denies_premise
from grait.judging.reasoning import ends_in_reasoning, open_tag, without_reasoning
from grait.judging.refusal import detect_refusal
from grait.records import Outcome, Question

FREE = Question("q", "What is the capital of France?", ("Paris",))
EXACT = Question("e", "What is the capital of France?", ("Paris",), match="exact")
OPTIONS = Question("m", "What is the capital of France?", ("Paris",), choices=("Lyon", "Paris", "Nice"))

TAGS = (
    ("<|think|>", "<|/think|>"),
    ("<|think|>", "</think>"),
    ("<think >", "</think >"),
    ("< think >", "< / think >"),
    ("<｜think｜>", "<｜/think｜>"),
    ("<Ponder>", "</Ponder>"),
    ("<cot>", "</cot>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<chain-of-thought>", "</chain-of-thought>"),
    ("<THINK budget='low' depth=2>", "</THINK>"),
    ("<my.reasoning_v2>", "</my.reasoning_v2>"),
    ("<|cot_begin|>", "<|cot_end|>"),
    ("<|begin_reflection|>", "<|end_reflection|>"),
    ("<|deliberation|>", "<|end_of_deliberation|>"),
    ("[reasoning]", "[/reasoning]"),
    ("<plan>", "</plan>"),
    ("<internal>", "</internal>"),
)
MARKUP = (
    ("<b>", "</b>"),
    ("<em class='thinking'>", "</em>"),
    ("<answer>", "</answer>"),
    ("<cotton>", "</cotton>"),
    ("<thinkpad>", "</thinkpad>"),
    ("[analysis] ", ""),
    ("2 < thought and 3 > 2: ", ""),
)
"""Ordinary marks, which are a part of the answer."""

CASES: list[tuple[Question, str, Outcome, bool]] = [
    (FREE, "<think>\n\n</think>\n\nI don't know.", "refused", False),
    (FREE, "<think>\nIt may be Paris, I am not sure.\n</think>\n\nI don't know.", "refused", False),
    (FREE, "<think>\nParis or Lyon? Lyon is large.\n</think>\n\nLyon", "wrong", False),
    (FREE, "<think>It is Paris.</think> Lyon", "wrong", False),
    (FREE, "<think>I don't know. Wait: it is Paris.</think>Paris", "correct", False),
    (FREE, "<think>I have no idea, I don't know.</think>\nLyon.", "wrong", False),
    (FREE, "<THINK>Lyon</THINK>Paris", "correct", False),
    (FREE, "<think>It is Paris, surely. The user asks", "wrong", True),
    (FREE, "<think>\nI don't know.", "wrong", True),
    (FREE, "It is Paris, I think.\n</think>\n\nI don't know.", "refused", False),
    (FREE, "Lyon, or rather\n</think>\n\nParis", "correct", False),
    (FREE, "<think>a tag <think> in it: Lyon</think>Paris", "correct", False),
    (FREE, "<think>Lyon <think>Nice</think> Lyon</think>Paris", "correct", False),
    (FREE, "Paris. <think>Or Lyon? I don't know.</think>", "correct", False),
    (FREE, "Paris. <think>Or Lyon? I don't know", "correct", False),
    (FREE, "<think>Question: What is it?\nQuestion: Lyon?</think>Paris\nQuestion: And Italy?", "correct", False),
    (FREE, "<thinking>Lyon</thinking><answer>Paris</answer>", "correct", False),
    (EXACT, "<think>Which one?</think>\n<answer>\nParis\n</answer>", "correct", False),
    (EXACT, "<think>The answer is Paris and only Paris.</think>\n\nParis", "correct", False),
    (FREE, "<reasoning>It is Paris.</reasoning>I'm not sure.", "refused", False),
    (FREE, "<seed:think>Paris</seed:think>I do not know.", "refused", False),
    (FREE, "[THINK]It is Paris.[/THINK]I don't know.", "refused", False),
    (FREE, "[THINK]It is Lyon, no, Paris", "wrong", True),
    (FREE, "◁think▷Lyon◁/think▷Paris", "correct", False),
    (FREE, "<|START_THINKING|>Lyon<|END_THINKING|><|START_RESPONSE|>Paris<|END_RESPONSE|>", "correct", False),
    (FREE, "<|begin_of_thought|>Paris<|end_of_thought|>Lyon", "wrong", False),
    (FREE, "Here is my thought process: Paris it is. Here is my response: I don't know.", "refused", False),
    (FREE, "<|channel>thought\nIt is Paris.<channel|>I don't know.", "refused", False),
    (
        FREE,
        "<|channel|>analysis<|message|>It is Paris.<|end|><|start|>assistant<|channel|>final<|message|>I don't know.",
        "refused",
        False,
    ),
    (FREE, "<|channel|>analysis<|message|>Lyon?<|end|><|channel|>final<|message|>Paris<|return|>", "correct", False),
    (FREE, "<|channel|>analysis<|message|>It is Paris", "wrong", True),
    (FREE, "<|channel|>commentary to=web<|message|>Paris<|end|>", "wrong", True),
    (FREE, "Paris<|end|><|start|>assistant<|channel|>analysis<|message|>Or Lyon?", "correct", False),
    (FREE, "analysisThe user asks for Paris.assistantfinalI don't know.", "refused", False),
    (FREE, "analysisThe user asks for a capital, Paris", "wrong", True),
    (FREE, "analysiswe need a capital. I don't know.assistantfinalParis", "correct", False),
    (FREE, "<longcat_think>I don't know.</longcat_think>Paris", "correct", False),
    (FREE, "<inner_thoughts>It is Paris.</inner_thoughts>I don't know.", "refused", False),
    (FREE, "<|think_start|>I don't know.<|think_end|>Paris", "correct", False),
    (FREE, "<|begin_of_think|>It is Paris.<|end_of_think|>I don't know.", "refused", False),
    (FREE, "<|inner_prefix|>I don't know.<|inner_suffix|>Paris", "correct", False),
    (FREE, "<unused94>thought\nIt is Lyon.<unused95>Paris", "correct", False),
    (FREE, "<|thinking_begin|>It is Paris", "wrong", True),
    (FREE, "<|assistant_thinking|>It is Paris.<|assistant_final|>I don't know.", "refused", False),
    (FREE, "<|assistant_thinking|>Lyon, or rather Paris", "wrong", True),
    (FREE, "to=self<|message|>Lyon?<|eot|><|start|>assistant to=user<|message|>Paris", "correct", False),
    (FREE, "<|start|>assistant to=self<|message|>It is Paris", "wrong", True),
    (
        FREE,
        "Here are my reasoning steps:\nParis or Lyon?\n[BEGIN FINAL RESPONSE]\nI don't know.\n[END FINAL RESPONSE]",
        "refused",
        False,
    ),
    (EXACT, "Lyon?\n[BEGIN FINAL RESPONSE]\nParis\n[END FINAL RESPONSE]", "correct", False),
    (FREE, "Here are my reasoning steps:\nIt is Paris. I don't know", "wrong", True),
    (OPTIONS, "<think>\n\n</think>\n\nB", "correct", False),
    (OPTIONS, "<think>A? C? B. Paris</think>A", "wrong", False),
    (OPTIONS, "<think>B, Paris", "wrong", True),
    (OPTIONS, "[THINK]B[/THINK]I don't know.", "refused", False),
    # Tags that are named for thinking, in whatever manner.
    *((FREE, f"{opening}It is Paris.{closing}I don't know.", "refused", False) for opening, closing in TAGS),
    *((FREE, f"{opening}I don't know. Lyon?{closing}Paris", "correct", False) for opening, closing in TAGS),
    *((FREE, f"{opening}It is Paris, I don't", "wrong", True) for opening, _ in TAGS if opening[0] != "["),
    (FREE, "<|think|>Lyon</think><answer >Paris</ answer>", "correct", False),
    (FREE, "<cot>Lyon <b>or</b> Nice</cot><b>Paris</b>", "correct", False),
    # The controls: no reasoning.
    *((FREE, f"{opening}Paris{closing}", "correct", False) for opening, closing in MARKUP),
    *((FREE, f"{opening}I don't know{closing}", "refused", False) for opening, closing in MARKUP),
    (FREE, "Paris", "correct", False),
    (FREE, "I don't know.", "refused", False),
    (FREE, "I think it is Paris.", "correct", False),
    (FREE, "My plan is final: Paris, to = user", "correct", False),
    (FREE, "analysis of the map gives Paris", "correct", False),
    (FREE, "analysisof the map gives Paris", "correct", False),
    (FREE, "if x < 3 and y > 2: Paris", "correct", False),
    (FREE, "", "wrong", False),
]


@pytest.mark.parametrize(("question", "output", "outcome", "is_open"), CASES)
def test_only_the_answer_is_judged(question: Question, output: str, outcome: Outcome, is_open: bool) -> None:
    assert judge(output, question) == outcome
    assert (detect_refusal(output, question) == "refused") == (outcome == "refused")
    assert ends_in_reasoning(output) == is_open
    assert without_reasoning(without_reasoning(output)) == without_reasoning(output)


def test_an_output_without_reasoning_is_left_as_it_is() -> None:
    for _, output, _, _ in CASES[-22:]:
        assert without_reasoning(output) == output


def test_every_judge_takes_it_off() -> None:
    assert is_hedged("<think>Hm.</think>I don't know, but it is Paris", FREE)
    assert not is_hedged("<think>It is Paris.</think>I don't know.", FREE)
    assert not is_unparsable("<think>A or C?</think>B", OPTIONS)
    assert is_unparsable("<think>It is B", OPTIONS)
    assert BySureness(Matching())([ToJudge(FREE, "<think>I am unsure.</think>Paris. I am sure.")]) == ["correct"]
    assert not denies_premise("<think>There is no such king.</think>Louis.", "Who is the king of France?")


@pytest.mark.parametrize(
    ("prompt", "tag"),
    [
        ("<|assistant|><think>\n", "<think>"),
        ("<|assistant|><think>\n\n</think>\n\n", None),
        ("<|assistant|>", None),
        ("[/INST][THINK]", "[THINK]"),
        ("<|assistant|><|think|>", "<|think|>"),
        ("<|assistant|><inner_monologue >\n", "<inner_monologue >"),
        ("<|assistant|><|think|><|end_think|>", None),
        ("<|start|>assistant<|channel|>analysis<|message|>", "<|channel|>analysis<|message|>"),
        ("<|start|>assistant<|channel|>analysis", "<|channel|>analysis"),
        ("<|start|>assistant<|channel|>final<|message|>", None),
        ("<|assistant|>Here are my reasoning steps:\n", "Here are my reasoning steps:"),
        ("### Assistant\nLet's think step by step.", "Let's think step by step."),
        ("<|assistant|>Answer without reasoning:", None),
        ("Think hard.<|end|><|assistant|>", None),
        ("Think hard.\nASSISTANT:", None),
    ],
)
def test_a_prompt_that_ends_in_reasoning_is_told(prompt: str, tag: str | None) -> None:
    assert open_tag(prompt) == tag


@pytest.mark.parametrize(("opening", "closing"), TAGS)
def test_whatever_is_judged_as_reasoning_is_told_at_the_end_of_a_prompt(opening: str, closing: str) -> None:
    assert without_reasoning(f"{opening}Lyon{closing}Paris") == "Paris"
    assert open_tag(f"<|assistant|>{opening}") == opening.strip()
    assert open_tag(f"<|assistant|>{opening}\n{closing}") is None


def test_other_markup_at_the_end_of_a_prompt_is_no_reasoning() -> None:
    """What stands in brackets is: an answer may begin so, a prompt ends so where reasoning begins."""
    found = {opening: open_tag(f"<|assistant|>{opening}") for opening, _ in MARKUP}
    assert {opening for opening, tag in found.items() if tag is not None} == {"[analysis] "}
