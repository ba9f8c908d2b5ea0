"""Examples with a teacher, and examples of several forms: losses and gradients are those of every example by itself."""

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from launchers import ENVIRONMENT, accelerated
from safetensors.torch import load_file
from tiny import ARCHITECTURES, ATTENTION, PAD, plain_loss, poison, random_examples, tiny_model, with_lora
from torch import Tensor, nn

from grait.config import LoraSection, OptimizerSection
from grait.model import completions, teacher
from grait.model.completions import IGNORED, completion_losses, divergences
from grait.model.teacher import Teacher, teachers
from grait.training import sft
from grait.training.examples import WeightedCollator, WeightedExample, digest_of
from grait.training.sft import add_adapter, train
from tests.training.replayed_cases import BEGINNINGS, exact, mixed, trained

EXAMPLES = random_examples(9, completion=(2, 7))
VOCABULARY = 200


def full(model: nn.Module) -> list[WeightedExample]:
    """With teachers that know the whole distribution of the model."""
    found = teachers(model, EXAMPLES, pad_token_id=PAD, tokens_per_batch=64)
    return [WeightedExample(row, 1.0, teacher=exact(own, model, row)) for row, own in zip(EXAMPLES, found, strict=True)]


def losses(model: nn.Module, rows: Sequence[WeightedExample]) -> Tensor:
    """In one batch."""
    (batch,) = WeightedCollator(PAD, {}, is_whole=True)(rows)["batches"]
    return completion_losses(model, batch)


def answer_logprobs(model: nn.Module, row: WeightedExample) -> Tensor:
    example = row.example
    sequence = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
    logits = model(input_ids=sequence, use_cache=False).logits[0, len(example.prompt_ids) - 1 : -1]
    return torch.as_tensor(logits).log_softmax(-1)


def alone(model: nn.Module, row: WeightedExample) -> Tensor:
    """The loss of one example, the long way."""
    if row.teacher is None:
        return plain_loss(model, row.example)
    logprobs = answer_logprobs(model, row)
    ids, taught = row.teacher.token_ids.long(), row.teacher.logprobs.to(logprobs.dtype)
    taught = taught - taught.logsumexp(-1, keepdim=True)
    rest = 1 - logprobs.gather(-1, ids).exp().sum(-1, keepdim=True)
    own = torch.cat([logprobs.gather(-1, ids), rest.clamp(min=1e-30).log()], dim=-1)
    return (taught.exp() * (taught.clamp(min=-1e4) - own)).sum(-1).mean()


# -- the divergence ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_with_the_whole_vocabulary_it_is_the_full_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "TOP", VOCABULARY)
    initial, tuned = tiny_model(dtype=torch.float64), with_lora(tiny_model(dtype=torch.float64))
    rows = full(initial)
    expected = [
        float(
            nn.functional.kl_div(
                answer_logprobs(tuned, row), answer_logprobs(initial, row), log_target=True, reduction="none"
            )
            .sum(-1)
            .mean()
        )
        for row in rows
    ]
    assert min(expected) > 0.01
    assert losses(tuned, rows).tolist() == pytest.approx(expected, rel=1e-6)  # Llama's norms are float32
    assert losses(initial, rows).tolist() == pytest.approx([0.0] * len(rows), abs=1e-6)


@torch.no_grad()
def test_of_the_most_probable_tokens_all_others_are_one() -> None:
    tuned = with_lora(tiny_model(dtype=torch.float64))
    rows = full(tiny_model(dtype=torch.float64))
    assert rows[0].teacher is not None and rows[0].teacher.token_ids.shape[1] == teacher.TOP
    found = losses(tuned, rows)
    assert found.tolist() == pytest.approx([float(alone(tuned, row)) for row in rows], rel=1e-6)
    logprobs = [(answer_logprobs(tiny_model(dtype=torch.float64), row), answer_logprobs(tuned, row)) for row in rows]
    whole = [float((one.exp() * (one - two)).sum(-1).mean()) for one, two in logprobs]
    assert all(0 < part < total for part, total in zip(found.tolist(), whole, strict=True))


def test_divergences_are_not_negative() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(400, 50, generator=generator)
    for k in (1, 7, 50):
        taught = (logits + torch.randn(400, 50, generator=generator) * torch.linspace(0, 2, 400)[:, None]).log_softmax(
            -1
        )
        best = taught.topk(k)
        rest = taught.scatter(-1, best.indices, -torch.inf).logsumexp(-1, keepdim=True)
        found = divergences(logits, best.indices, torch.cat([best.values, rest], -1).half())
        assert found.isfinite().all() and float(found.min()) > -1e-6


@pytest.mark.parametrize("logits_at_once", [completions.LOGITS_AT_ONCE, VOCABULARY * 8])
def test_the_first_token_counts_as_often_as_asked(monkeypatch: pytest.MonkeyPatch, logits_at_once: int) -> None:
    monkeypatch.setattr(completions, "LOGITS_AT_ONCE", logits_at_once)
    model = tiny_model("llama")
    torch.manual_seed(1)
    taught = [
        replace(row, teacher=replace(row.teacher, logprobs=torch.randn_like(row.teacher.logprobs).log_softmax(-1)))  # type: ignore
        for row in full(model)
    ]
    rows = [replace(row, first_token_weight=1.0 + i) for i, row in enumerate(taught[:4])] + taught[4:]
    plain, weighted = losses(model, taught), losses(model, rows)
    for place, row in enumerate(rows):
        own, ids, logprobs = answer_logprobs(model, row), row.teacher.token_ids, row.teacher.logprobs  # type: ignore
        (first,) = divergences(own[:1], ids[:1], logprobs[:1])
        more = (row.first_token_weight - 1) * first / len(row.example.completion_ids)
        assert weighted[place] == pytest.approx(float(plain[place] + more), abs=1e-5)
    assert digest_of(rows) != digest_of(taught)


def test_at_the_start_an_adapter_has_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "TOP", VOCABULARY)
    initial = tiny_model("gpt2", dtype=torch.float64)
    rows = full(initial)
    model = add_adapter(initial, LoraSection(r=4), seed=0).double()  # B = 0
    found = losses(model, rows)
    assert found.abs().max() < 1e-12
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(found.sum(), trained)
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-12
    (other,) = torch.autograd.grad(plain_loss(model, EXAMPLES[0]), trained[1:2])
    assert float(other.abs().max()) > 1e-3


def test_teachers_are_the_same_in_any_batch_and_behind_a_common_beginning() -> None:
    model = tiny_model()
    rows = [replace(row, prompt_ids=(*BEGINNINGS["long"], *row.prompt_ids)) for row in EXAMPLES]
    whole = teachers(model, rows, pad_token_id=PAD, tokens_per_batch=4096)
    for row, own in zip(rows, whole, strict=True):
        (single,) = teachers(model, [row], pad_token_id=PAD, tokens_per_batch=8)
        assert own.token_ids.shape == (len(row.completion_ids), teacher.TOP)
        assert own.logprobs.shape == (len(row.completion_ids), teacher.TOP + 1)
        assert own.logprobs.dtype == torch.float16
        torch.testing.assert_close(own.logprobs, single.logprobs, rtol=0, atol=4e-3)


def test_the_head_in_chunks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = with_lora(tiny_model()), mixed()
    whole = losses(model, rows)
    monkeypatch.setattr(completions, "LOGITS_AT_ONCE", 2_000)
    in_chunks = losses(model, rows)
    assert in_chunks.tolist() == pytest.approx(whole.tolist(), rel=1e-5, abs=1e-6)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for one, other in zip(
        torch.autograd.grad(whole.sum(), parameters), torch.autograd.grad(in_chunks.sum(), parameters), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# -- forms ------------------------------------------------------------------------------------------------------------


def test_a_micro_batch_is_parted_by_beginning_and_teacher() -> None:
    rows = mixed(12)
    found = WeightedCollator(PAD, {"long": BEGINNINGS["long"]})(rows)
    assert [batch["form"] for batch in found["batches"]] == [None, None, "long", "long"]
    assert sorted(found["ids"]) == sorted(row.example.id for row in rows)
    weights = {row.example.id: row.sample_weight for row in rows}
    assert found["sample_weight"].tolist() == [weights[name] for name in found["ids"]]
    by_id = {row.example.id: row for row in rows}
    names = iter(found["ids"])
    for batch in found["batches"]:
        for targets in batch["targets"]:
            row = by_id[next(names)]
            assert tuple(targets[targets != IGNORED].tolist()) == row.example.completion_ids
            assert (row.teacher is not None) == ("teacher_ids" in batch)


def step(model: nn.Module, rows: Sequence[WeightedExample], **changes: Any) -> tuple[float, dict[str, Tensor]]:
    """Loss and adapter after one step of all rows."""
    plain: dict[str, Any] = {"learning_rate": 1e-3, "epochs": 1, "batch_size": 24, "micro_batch_size": 24}
    config = OptimizerSection(**(plain | {"scheduler": "constant", "warmup_ratio": 0.0} | changes))
    log = train(model, rows, config, pad_token_id=PAD, seed=0, road="shared prefix")
    return log.losses[0], {name: value for name, value in log.moments.items() if name.endswith("exp_avg")}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_of_several_forms_are_those_of_every_example_by_itself(architecture: str) -> None:
    """Adam's first moment is a tenth of the clipped gradient."""
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0} if architecture == "gpt2" else {}
    model = with_lora(tiny_model(architecture, **no_dropout), ATTENTION[architecture])
    rows = mixed()
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    total = sum((row.sample_weight * alone(model, row) for row in rows), torch.zeros(())) / len(rows)
    expected = dict(zip(parameters, torch.autograd.grad(total, list(parameters.values())), strict=True))
    loss, found = step(model, rows, max_grad_norm=1e9)
    assert loss == pytest.approx(float(total.detach()), rel=1e-4)
    for name, gradient in expected.items():
        moment = found[f"{name}.exp_avg"]
        assert float((10 * moment - gradient).norm() / gradient.norm()) < 1e-3


@pytest.mark.parametrize("micro_batch_size", [1, 2, 4])
def test_a_step_of_several_forms_does_not_depend_on_its_micro_batches(micro_batch_size: int) -> None:
    whole, expected = trained(8)
    split, found = trained(micro_batch_size)
    assert split.losses == pytest.approx(whole.losses, rel=1e-4)
    begun = with_lora(tiny_model(), ["q_proj", "down_proj"]).named_parameters()
    start = torch.cat([value.flatten() for _, value in begun if value.requires_grad]).detach()
    one, two = (torch.cat([value.flatten() for value in adapter.values()]) for adapter in (expected, found))
    assert float((one - two).norm() / (one - start).norm()) < 1e-2


def test_the_beginning_of_each_form_runs_once() -> None:
    model = with_lora(tiny_model(), ["q_proj"])
    seen: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(lambda _, __, given: seen.append(tuple(given["input_ids"].shape)), with_kwargs=True)
    step(model, mixed())
    alone = [shape for shape in seen if shape[0] == 1]
    assert sorted(alone) == [(1, len(BEGINNINGS[form])) for form in ("other", "long")]
    assert sum(rows for rows, _ in seen if rows > 1) == 23
    assert len(seen) == 2 + 6  # with and without a teacher: of two forms, and of all others


def test_a_form_of_one_example_shares_with_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [replace(row, form="one" if index == 0 else row.form) for index, row in enumerate(mixed())]
    found = sft._beginnings(with_lora(tiny_model()), rows, "shared prefix")
    assert found == {form: BEGINNINGS[form] for form in ("long", "other")}


def test_rows_without_a_finite_loss_are_left_out_of_their_form() -> None:
    rows = mixed()
    bad = {5, 8}  # of "long", without a teacher; of "", without
    poisoned = [
        replace(row, example=replace(row.example, prompt_ids=(*row.example.prompt_ids[:-1], 199)), teacher=None)
        if index in bad
        else row
        for index, row in enumerate(rows)
    ]
    healthy = [replace(row, sample_weight=0.0) if index in bad else row for index, row in enumerate(poisoned)]
    expected, moments = step(with_lora(tiny_model(), ["q_proj"]), healthy)
    model = with_lora(tiny_model(), ["q_proj"])
    poison(model, 199)
    others = [row for index, row in enumerate(poisoned) if index not in bad]
    assert not any(199 in (*row.example.prompt_ids, *row.example.completion_ids) for row in others)
    loss, found = step(model, poisoned)
    assert loss == pytest.approx(expected, rel=1e-5)
    for name, moment in moments.items():
        torch.testing.assert_close(found[name], moment, rtol=1e-3, atol=1e-6)


# -- keys, kills and processes ----------------------------------------------------------------------------------------


def test_the_digest_of_plain_examples_is_that_of_before() -> None:
    from dataclasses import asdict

    from grait.runtime.artifacts import fingerprint

    plain = [WeightedExample(row, 0.5) for row in EXAMPLES]
    old = [{"example": asdict(row.example), "sample_weight": row.sample_weight} for row in plain]
    assert digest_of(plain) == fingerprint(old)
    taught = replace(plain[0], teacher=Teacher(torch.zeros((2, 3)), torch.zeros((2, 4))))
    other = replace(plain[0], teacher=Teacher(torch.zeros((2, 3)), torch.ones((2, 4))))
    assert len({digest_of([row]) for row in (plain[0], replace(plain[0], form="f"), taught, other)}) == 4


def test_killed_it_ends_with_the_same_adapter(
    tmp_path: Path, one_thread: None, checkpoint_after_every_step: None
) -> None:
    whole, expected = trained(4)
    model = with_lora(tiny_model(), ["q_proj", "down_proj"])
    config = OptimizerSection(learning_rate=1e-2, epochs=2, batch_size=8, micro_batch_size=4)
    told: list[int] = []

    def kill(n: int) -> None:
        told.append(n)
        if len(told) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, mixed(), config, pad_token_id=PAD, seed=0, resume=tmp_path / "kept", advance=kill)
    assert list((tmp_path / "kept").glob("checkpoint-3"))
    resumed, found = trained(4, tmp_path / "kept")
    assert resumed.losses == whole.losses
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


@pytest.mark.slow
@pytest.mark.parametrize("config", ["cpu-2.yaml", "cpu-2-fsdp.yaml"])
def test_two_processes_train_the_adapter_of_one(tmp_path: Path, config: str) -> None:
    """They run the model differently often, as each has rows of other forms; sharded, equally often."""
    script = Path(__file__).with_name("replayed_cases.py")
    environment = ENVIRONMENT | {"PYTHONPATH": f"{ENVIRONMENT.get('PYTHONPATH', '')}:{Path(__file__).parents[1]}"}
    command = [*accelerated(config), "--num_processes", "2", str(script), str(tmp_path)]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / "adapter.safetensors")
    log, expected = trained(4)
    assert found.pop("losses").tolist() == pytest.approx(log.losses, rel=1e-4)
    for name, weight in expected.items():
        assert float((found[name] - weight).abs().max()) < 1e-3, name
