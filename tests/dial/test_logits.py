"""The dial inside ``generate`` gives what the pipeline gives, whatever the batch, the cache and the way of decoding."""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from scipy.special import expit
from tiny import PAD, tiny_model, with_lora
from tiny_engine import ENDS, MAX_NEW_TOKENS, engine_of, random_prompts
from transformers import GenerationConfig, PreTrainedModel

from grait.dial import RefusalDial
from grait.dial.logits import left_alone, steer
from grait.dial.stored import FILE_NAME, Terse, find_dials, load_dials
from grait.dial.threshold import ScoreName, gated_score, passes, refuses, signal
from grait.errors import DialError
from grait.model.answers import BothAnswers

END = min(ENDS)
POINT: dict[str, float] = {"n": 4, "pc": 0.5, "pw": 0.5, "pr": 0, "over_refusal_rate": 0, "ths": 0}


def refusal_of(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """A refusal of four tokens that begins as the most frequent greedy answer does, so that it is often suppressed."""
    firsts: Counter[int] = Counter()
    for prompt in prompts:
        firsts[int(model(torch.tensor([list(prompt)])).logits[0, -1].argmax())] += 1
    first = next(token for token, _ in firsts.most_common() if token not in ENDS)
    return (first, 150, 151, END)


def pipeline_answers(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], refusal: tuple[int, ...]
) -> tuple[list[list[int]], list[list[int]], list[float]]:
    """Free and suppressed answers, and first-token scores."""
    found = engine_of(model).answers_both_ways(
        prompts, [refusal] * len(prompts), max_new_tokens=MAX_NEW_TOKENS, end_token_ids=ENDS
    )
    scores = [float(expit(both.completion_logprobs[0] - both.suppressed_logprobs[0])) for both in found]
    return [both.answer for both in found], [both.suppressed for both in found], scores


def dialled(suppressed: list[list[int]], scores: list[float], refusal: Sequence[int], at: float) -> list[list[int]]:
    return [list(refusal[:-1]) if score > at else answer for answer, score in zip(suppressed, scores, strict=True)]


def between(scores: Sequence[float], place: int) -> float:
    """A threshold between two scores, which rounding does not reach."""
    lower, upper = sorted(scores)[place : place + 2]
    return (lower + upper) / 2


def generated(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], dial: RefusalDial | None = None, **options: Any
) -> list[Any]:
    """transformers' own generate on a left-padded batch, each answer without its end token."""
    ids, mask = left_padded(prompts)
    config = GenerationConfig(
        **{"max_new_tokens": MAX_NEW_TOKENS, "do_sample": False, "eos_token_id": sorted(ENDS), "pad_token_id": PAD}
        | options
    )
    output = model.generate(ids, attention_mask=mask, generation_config=config, logits_processor=[dial] if dial else [])
    return [until_end(row) for row in output[:, ids.shape[1] :].tolist()]


def left_padded(prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, [prompts, tokens]."""
    width = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    return ids, torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])


def until_end(tokens: list[int]) -> list[int]:
    return tokens[: next((place for place, token in enumerate(tokens) if token in ENDS), len(tokens))]


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
def test_generate_with_the_dial_gives_what_the_pipeline_gives(architecture: str, use_cache: bool) -> None:
    model, prompts = with_lora(tiny_model(architecture)), random_prompts(12)
    refusal = refusal_of(model, prompts)
    free, suppressed, scores = pipeline_answers(model, prompts, refusal)
    assert any(a != b for a, b in zip(free, suppressed, strict=True))  # greedy decoding would have begun so
    for at in (0.0, between(scores, 3), between(scores, 7), 1.0):
        dial = RefusalDial(refusal, at)
        expected = dialled(suppressed, scores, refusal, at)
        assert generated(model, prompts, dial, use_cache=use_cache) == expected
        assert generated(model, prompts[:5], dial, use_cache=use_cache) == expected[:5]  # the same dial again
        assert generated(model, prompts[:1], dial, use_cache=use_cache) == expected[:1]


@pytest.mark.parametrize("n_alone", [0, 7, 12])
@pytest.mark.parametrize("score", get_args(ScoreName))
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
def test_whole_answers_by_the_dial_are_the_pipeline_s(architecture: str, score: ScoreName, n_alone: int) -> None:
    """For every score, in batches and one by one; what a gate leaves alone gets the free answer at every threshold."""
    model, prompts = with_lora(tiny_model(architecture)), random_prompts(12)
    refusal = refusal_of(model, prompts)
    terse = Terse(before="", after="", is_chat=False, refusal_token_ids=refusal[1:], end_token_ids=sorted(ENDS)[:1])
    found, again = (
        engine_of(model).answers_both_ways(
            asked, [tokens] * len(prompts), max_new_tokens=MAX_NEW_TOKENS, end_token_ids=frozenset(ends)
        )
        for asked, tokens, ends in (
            (prompts, refusal, ENDS),
            (prompts[::-1], terse.refusal_token_ids, {refusal[-1], *terse.end_token_ids}),
        )
    )
    rows = [
        BothAnswers(
            "",
            "",
            sum(both.completion_logprobs),
            sum(both.suppressed_logprobs),
            both.completion_logprobs[0] - both.suppressed_logprobs[0],
            len(both.suppressed_logprobs),
            both.completion_logprobs[0],
            sum(terse_both.suppressed_logprobs),
        )
        for both, terse_both in zip(found, again, strict=True)
    ]
    gate = {0: None, 7: between([signal(row, score) for row in rows], 6), 12: 1.0}[n_alone]
    alone = [not passes(row, score, gate) for row in rows]
    assert sum(alone) == n_alone and any(both.answer != both.suppressed for both in found)
    scores = [gated_score(row, score, gate) for row in rows]
    for at in (0.0, between(scores, 8), between(scores, 10), 1.0):
        expected = [
            list(refusal[:-1]) if refuses(value, at) else both.answer if is_alone else both.suppressed
            for both, value, is_alone in zip(found, scores, alone, strict=True)
        ]
        dial = RefusalDial(refusal, at, score, sorted(ENDS), gate, terse)
        others = prompts[::-1] if score == "twice" else None
        assert whole_answers(model, prompts, dial, others) == expected
        singly = [
            whole_answers(model, [prompt], dial, others and [other])
            for prompt, other in zip(prompts, prompts[::-1], strict=True)
        ]
        assert singly == [[answer] for answer in expected]
        if score == "first-token":
            assert generated(model, prompts, dial) == expected
            assert generated(model, prompts[3:], dial) == expected[3:]  # the same dial again


def whole_answers(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    dial: RefusalDial,
    asked_again: Sequence[Sequence[int]] | None = None,
) -> list[list[int]]:
    ids, mask = left_padded(prompts)
    terse = dict(zip(("input_ids", "attention_mask"), left_padded(asked_again), strict=True)) if asked_again else None
    output = dial.generate(model, ids, mask, max_new_tokens=MAX_NEW_TOKENS, terse=terse)
    assert torch.equal(output[:, : ids.shape[1]], ids)
    return [until_end(row) for row in output[:, ids.shape[1] :].tolist()]


def test_the_suppressed_answer_is_the_library_s() -> None:
    """The second answer of ``answers_both_ways`` is generate's with the token suppressed where answers begin."""
    model, prompts = tiny_model("llama"), random_prompts(12)
    refusal = refusal_of(model, prompts)
    free, suppressed, _ = pipeline_answers(model, prompts, refusal)
    for prompt, plain, other in zip(prompts, free, suppressed, strict=True):
        assert generated(model, [prompt]) == [plain]
        assert generated(model, [prompt], begin_suppress_tokens=[refusal[0]]) == [other]
        assert (plain == other) == (plain[:1] != [refusal[0]])


def test_half_way_the_dial_decides_as_greedy_decoding_does() -> None:
    model, prompts = tiny_model("llama"), random_prompts(12)
    refusal = refusal_of(model, prompts)
    free, suppressed, _ = pipeline_answers(model, prompts, refusal)
    expected = [
        list(refusal[:-1]) if plain[:1] == [refusal[0]] else other
        for plain, other in zip(free, suppressed, strict=True)
    ]
    assert generated(model, prompts, RefusalDial(refusal, 0.5)) == expected
    assert 0 < sum(answer == list(refusal[:-1]) for answer in expected) < len(prompts)


def test_a_dial_notices_that_a_new_generation_begins() -> None:
    """Prompts that are one token longer than the last call's rows are not taken for their continuation."""
    model, prompts = tiny_model("llama"), random_prompts(6)
    refusal = refusal_of(model, prompts)
    _, suppressed, scores = pipeline_answers(model, prompts, refusal)
    at = between(scores, 2)
    dial = RefusalDial(refusal, at)
    for prompt, answer in zip(prompts, dialled(suppressed, scores, refusal, at), strict=True):
        other = torch.full((1, len(prompt) - 1), 9)
        dial(other, torch.zeros(1, 200))
        assert generated(model, [prompt], dial) == [answer]


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"do_sample": True, "temperature": 2.0}])
def test_beams_and_samples_follow_the_dial(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model, prompts = tiny_model("llama"), random_prompts(9)
    refusal = refusal_of(model, prompts)
    _, _, scores = pipeline_answers(model, prompts, refusal)
    at = between(scores, 4)
    answers = generated(model, prompts, RefusalDial(refusal, at), **options)
    for answer, score in zip(answers, scores, strict=True):
        assert answer == list(refusal[:-1]) if score > at else answer[:1] != [refusal[0]]


def test_the_refusal_is_suppressed_where_answers_begin_and_only_there() -> None:
    torch.manual_seed(0)
    logits, refusal = torch.randn(3, 10), (4, 5, 6, 7)
    first = steer(logits, None, 0, refusal, 1.0)
    assert first[:, 4].eq(-math.inf).all()
    kept = [token for token in range(10) if token != 4]
    assert torch.equal(first[:, kept], logits[:, kept])
    later = steer(logits, torch.tensor([3, 4, 5]), 2, refusal, 1.0)
    assert torch.equal(later[[0, 2]], logits[[0, 2]])
    assert later[1].argmax() == 6 and later[1].exp().sum() == 1
    assert [int(steer(logits, torch.tensor([4, 4, 4]), n, refusal, 0.0)[0].argmax()) for n in (1, 2, 3, 9)] == [
        5,
        6,
        7,
        7,
    ]


def test_a_token_that_is_forbidden_can_still_be_forced() -> None:
    """Another rule may have forbidden the end token, for a least length; a row without any token left would be NaN."""
    forbidden = torch.zeros(1, 10)
    forbidden[:, 7] = -math.inf
    assert steer(forbidden, torch.tensor([4]), 3, (4, 5, 6, 7), 0.5).softmax(-1)[0, 7] == 1


def test_the_ends_of_the_dial_hold_whatever_the_logits() -> None:
    """Also where the refusal's first token cannot come, or nothing else can."""
    never, only = torch.zeros(1, 10), torch.full((1, 10), -math.inf)
    never[:, 4], only[:, 4] = -math.inf, 0.0
    for logits in (never, only):
        assert int(steer(logits, None, 0, (4, 5), 0.0).argmax()) == 4
        assert steer(logits, None, 0, (4, 5), 1.0)[0, 4] == -math.inf


def test_one_request_follows_the_same_rule_as_a_batch() -> None:
    torch.manual_seed(0)
    dial, logits = RefusalDial((4, 5, 6), 0.2), torch.randn(6, 10)
    batch = steer(logits, None, 0, dial.refusal_token_ids, dial.threshold)
    assert torch.equal(torch.stack([dial.for_request()([], row) for row in logits]), batch)
    assert {int(row.argmax()) == 4 for row in batch} == {True, False}
    for answer in ([4], [4, 5], [3], [3, 4]):
        expected = steer(logits, torch.tensor(answer[:1] * 6), len(answer), dial.refusal_token_ids, dial.threshold)
        assert torch.equal(torch.stack([dial.for_request()(answer, row) for row in logits]), expected)


def test_a_request_that_the_gate_leaves_alone_stays_alone() -> None:
    """Also where its own answer begins as the refusal does; and after a pause, unless it is the refusal so far."""
    torch.manual_seed(0)
    refusal, logits = (4, 5, 6), torch.randn(10)
    logits[4] = 1.0
    p = float(logits.softmax(-1)[4])
    assert left_alone(logits[None], 4, p + 1e-6).all() and not left_alone(logits[None], 4, p - 1e-6).any()
    closed, opened = (RefusalDial(refusal, 0.0, gate=gate) for gate in (p + 1e-6, p - 1e-6))
    rule, other = closed.for_request(), opened.for_request()
    assert torch.equal(rule([], logits), logits) and int(other([], logits).argmax()) == 4
    for answer in ([4], [4, 7], [3]):
        assert torch.equal(rule(answer, logits), logits)
    assert int(other([4], logits).argmax()) == 5
    assert torch.equal(closed.for_request()([4, 7], logits), logits)
    assert int(closed.for_request()([4, 5], logits).argmax()) == 6


def stored(folder: Path, **changes: Any) -> Path:
    """A file with a dial of the main form, and one of ``question`` with a gate."""
    entry: dict[str, Any] = {
        "score": "first-token",
        "threshold": 0.25,
        "target": "wrong",
        "at_most": 0.1,
        "confidence": 0.9,
        "hits": 1,
        "trials": 4,
        "upper_bound": 0.09,
        "guarantee": "...",
        "data": {"path": "a.jsonl"},
        "n": 4,
        "n_known": 2,
        "without_dial": POINT,
        "achieved": POINT,
        "refusal": "No.",
        "refusal_token_ids": [4, 5],
        "end_token_ids": [5, 6],
    }
    of_file = {name: changes.pop(name) for name in ("schema_version", "main", "forms") if name in changes}
    question = entry | {"threshold": 0.5, "gate": {"at": 0.1, "n": 200, "refused": 0.01, "n_passed": 3}}
    tree = {"schema_version": 3, "main": "plain", "forms": {"plain": entry | changes, "question": question}} | of_file
    (folder / FILE_NAME).write_text(json.dumps(tree), encoding="utf-8")
    return folder


def test_a_stored_dial_is_read_for_serving(tmp_path: Path) -> None:
    dial = RefusalDial.from_pretrained(stored(tmp_path))
    assert (dial.refusal_token_ids, dial.threshold, dial.gate) == ((4, 5), 0.25, None)
    assert RefusalDial.from_pretrained(tmp_path, threshold=0.75).threshold == 0.75
    with pytest.raises(DialError, match="expected a number"):
        RefusalDial.from_pretrained(tmp_path, threshold=2)
    assert (dial.score, dial.end_token_ids) == ("first-token", (5, 6))


def test_the_dial_of_a_form_is_named(tmp_path: Path) -> None:
    dial = RefusalDial.from_pretrained(stored(tmp_path), form="question")
    assert (dial.threshold, dial.gate) == (0.5, 0.1)
    with pytest.raises(DialError, match="no refusal dial for the form short; there is one for plain, question: name"):
        RefusalDial.from_pretrained(tmp_path, form="short")
    with pytest.raises(DialError, match="no refusal dial for the form examples; there is one for plain, question"):
        RefusalDial.from_pretrained(stored(tmp_path, main="examples"))


def test_a_file_of_before_forms_is_the_main_form_s(tmp_path: Path) -> None:
    entry = load_dials(stored(tmp_path)).of().model_dump(exclude={"gate"})
    (tmp_path / FILE_NAME).write_text(json.dumps({"schema_version": 2} | entry), encoding="utf-8")
    assert RefusalDial.from_pretrained(tmp_path).threshold == 0.25
    found = find_dials(tmp_path, "instruction")
    assert found is not None and found.of("instruction") == found.of()
    with pytest.raises(DialError, match="no refusal dial for the form question"):
        RefusalDial.from_pretrained(tmp_path, form="question")


@pytest.mark.parametrize("score", ["text", "answer", "answer-mean", "combined"])
def test_a_score_of_whole_answers_is_no_logits_processor(tmp_path: Path, score: ScoreName) -> None:
    dial = RefusalDial.from_pretrained(stored(tmp_path, score=score))
    message = re.escape("use dial.generate, or calibrate with --score first-token")
    with pytest.raises(DialError, match=message):
        dial(torch.zeros(1, 3).long(), torch.zeros(1, 10))
    with pytest.raises(DialError, match=message):
        dial.for_request()


def test_a_server_s_answer_is_judged_by_its_log_probabilities(tmp_path: Path) -> None:
    dial = RefusalDial.from_pretrained(stored(tmp_path, score="answer"))  # refused below a probability of 0.75
    assert [dial.refuses([math.log(q)]) for q in (0.74, 0.76)] == [True, False]
    assert dial.refuses([-1000.0]) and not dial.refuses([0.0, 0.0]) and not dial.leaves_alone([-1000.0])
    q = [math.log(0.8), math.log(0.9)]
    assert dial.refuses(q) and not RefusalDial((4, 5), 0.25, "answer-mean").refuses(q)
    assert not RefusalDial((4, 5), 0.25, "answer-mean").refuses(q * 50)
    of_text = RefusalDial((4, 5), 0.5, "text")
    assert of_text.refuses([-2.0], [-1.5, -0.4]) and not of_text.refuses([-2.0], [-1.5, -0.6])
    combined = RefusalDial((4, 5), 0.5, "combined")  # log-odds of 0.5 are 0, half of 2 is 1, of 0.25 wrong -1.1
    three = [math.log(0.75)] * 3
    assert not combined.refuses(three, [three[0] + 2.0, -9.0]) and combined.refuses(three, [three[0] + 2.4, -9.0])


def test_a_server_s_answer_is_left_alone_where_the_gate_is_shut() -> None:
    dial = RefusalDial((4, 5), 0.0, "answer", gate=0.1)
    for p, is_shut in ((0.09, True), (0.11, False)):
        refusal = [math.log(p) / 2] * 2
        assert dial.leaves_alone(refusal) is is_shut and dial.refuses([-9.0], refusal) is not is_shut


@pytest.mark.parametrize(
    ("dial", "logprobs", "message"),
    [
        (RefusalDial((4, 5), 0.5), [-1.0], "calibrate with --score answer"),
        (RefusalDial((4, 5), 0.5, "answer"), -1.0, "log-probability of every token of the answer"),
        (RefusalDial((4, 5), 0.5, "answer"), [], "log-probability of every token of the answer"),
        (RefusalDial((4, 5), 0.5, "text"), [-1.0], "the score 'text': give refusal_logprobs, too"),
        (RefusalDial((4, 5), 0.5, "combined"), [-1.0], "the score 'combined': give refusal_logprobs, too"),
        (RefusalDial((4, 5), 0.5, "answer", gate=0.1), [-1.0], "a gate: give refusal_logprobs, too"),
    ],
)
def test_what_a_server_has_to_give_is_said(dial: RefusalDial, logprobs: Any, message: str) -> None:
    with pytest.raises(DialError, match=message):
        dial.refuses(logprobs)


def test_a_missing_or_foreign_dial_is_one_line(tmp_path: Path) -> None:
    assert find_dials(tmp_path) is None
    with pytest.raises(DialError, match="run grait calibrate first"):
        load_dials(tmp_path)
    faults = ({"schema_version": 1}, {"threshold": 3}, {"more": 1}, {"refusal_token_ids": []}, {"forms": {}})
    for changes in faults:
        with pytest.raises(DialError, match="run grait calibrate again"):
            load_dials(stored(tmp_path, **changes))
    for content in (b"\xff{", b"[]", b"null"):
        (tmp_path / FILE_NAME).write_bytes(content)
        with pytest.raises(DialError, match="not a readable refusal dial"):
            find_dials(tmp_path)
    with pytest.raises(DialError, match="at least one token"):
        RefusalDial((), 0.5)
