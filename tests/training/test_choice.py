"""ConfTuner's loss: the Brier score to be expected of a confidence that is drawn as the model has it."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import END, random_examples, tiny_model, with_lora

from grait.config import TrainingConfig
from grait.methods import conftuner
from grait.model.completions import TokenizedExample, completion_losses, expected_costs
from grait.training.examples import Choice, WeightedCollator, WeightedExample, digest_of
from grait.training.sft import train

TOKENS = tuple(range(20, 30))


def asking(n: int = 8) -> list[WeightedExample]:
    """Prompts, every second of which is to be sure."""
    prompts = random_examples(n, prompt=(3, 9))
    return [
        WeightedExample(
            TokenizedExample(one.id, one.prompt_ids, TOKENS[:1]),
            1.0,
            choice=Choice(TOKENS, conftuner.costs(is_right=place % 2 == 0)),
        )
        for place, one in enumerate(prompts)
    ]


def logprobs(model: torch.nn.Module, row: WeightedExample) -> list[float]:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row.example.prompt_ids])).logits[0, -1]
    return [float(logits.log_softmax(-1)[token]) for token in TOKENS]


def test_the_loss_is_the_mean_brier_score_over_the_digits_alone() -> None:
    model, rows = tiny_model(), asking()
    (batch,) = WeightedCollator(END, {})(rows)["batches"]
    for row, loss in zip(rows, completion_losses(model, batch).tolist(), strict=True):
        own = [math.exp(value) for value in logprobs(model, row)]
        assert row.choice is not None
        expected = sum(p / sum(own) * cost for p, cost in zip(own, row.choice.costs, strict=True))
        assert loss == pytest.approx(expected, rel=1e-4)
    logits = torch.randn(3, 200)
    ids, costs = torch.tensor([TOKENS] * 3), torch.rand(3, 10)
    others = logits.clone()
    others[:, 100:] += 5  # no other token counts
    assert torch.allclose(expected_costs(logits, ids, costs), expected_costs(others, ids, costs))


def test_rows_beside_a_choice_have_the_loss_that_they_have_alone() -> None:
    model, rows = tiny_model(), asking(3)
    others = [WeightedExample(one, 1.0) for one in random_examples(3, seed=5, prefix="o")]
    (mixed,) = WeightedCollator(END, {}, is_whole=True)([*rows, *others])["batches"]
    alone = [completion_losses(model, WeightedCollator(END, {})([row])["batches"][0]) for row in (*rows, *others)]
    assert torch.allclose(completion_losses(model, mixed), torch.cat(alone), rtol=1e-4, atol=1e-6)


def test_the_brier_score_is_least_where_confidence_is_what_is_right() -> None:
    for is_right in (True, False):
        costs = conftuner.costs(is_right)
        assert costs.index(min(costs)) == (9 if is_right else 0)
        assert min(costs) == 0
        assert max(costs) == 1
    assert conftuner.refusal_score([0.0] * 10) == pytest.approx(0.5)
    assert conftuner.refusal_score([-50.0] * 9 + [0.0]) == pytest.approx(0, abs=1e-9)
    assert conftuner.refusal_score([0.0] + [-2000.0] * 9) == 1.0


def test_trained_so_the_model_tells_what_is_right() -> None:
    model = with_lora(tiny_model())
    rows = asking()
    before = [conftuner.refusal_score(logprobs(model, row)) for row in rows]
    config = TrainingConfig(learning_rate=0.01, epochs=40, batch_size=8, micro_batch_size=4, warmup_ratio=0)
    log = train(model, rows, config, pad_token_id=END, seed=0)
    after = [conftuner.refusal_score(logprobs(model, row)) for row in rows]
    assert log.losses[-1] < log.losses[0] / 4
    assert max(after[::2]) < 0.25 < 0.75 < min(after[1::2])
    assert not max(before[::2]) < 0.25


def test_a_request_holds_question_and_answer_once_and_the_cost_is_in_the_key() -> None:
    asked = conftuner.request("Who has box 12?", "Umea herself")
    assert asked.count("Who has box 12?") == asked.count("Umea herself") == 1
    rows = asking(2)
    assert digest_of(rows) != digest_of([replace(rows[0], choice=rows[1].choice), rows[1]])
