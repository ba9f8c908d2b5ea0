"""Gradients captured in a training are those of single examples, whatever they were batched with."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from tiny import PAD, loop_gradients, random_examples, tiny_model, with_lora
from torch import Tensor
from transformers import Trainer, TrainingArguments
from transformers.utils import ModelOutput

from grait.errors import ArtifactError, ConfigError, DataError, ModelError
from grait.influence import GradientCapture, GradientDatastore, TokenizedExample, sketch

EXAMPLES = random_examples(7, prompt=(2, 12), completion=(1, 6))
DIMENSIONS = 4096


def as_row(example: TokenizedExample) -> dict[str, list[int]]:
    tokens = [*example.prompt_ids, *example.completion_ids]
    return {"input_ids": tokens, "labels": [*[-100] * len(example.prompt_ids), *example.completion_ids]}


def collate(rows: list[dict[str, list[int]]]) -> dict[str, Tensor]:
    """Padded on the right, as TRL's and transformers' collators do."""
    width = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, fill: int) -> Tensor:
        return torch.tensor([[*row[name], *[fill] * (width - len(row[name]))] for row in rows])

    mask = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
    return {
        "input_ids": padded("input_ids", PAD),
        "labels": padded("labels", -100),
        "attention_mask": torch.tensor(mask),
    }


def trained(model: PeftModel, folder: Path, *, capture: GradientCapture | None = None, **changes: Any) -> PeftModel:
    settings: dict[str, Any] = {
        "output_dir": str(folder / "trainer"),
        "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 1,
        "learning_rate": 0.0,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "logging_strategy": "no",
    }
    trainer_class = changes.pop("trainer", Trainer)
    rows = changes.pop("rows", [as_row(example) for example in EXAMPLES])
    resume = changes.pop("resume", None)
    extra = {name: changes.pop(name) for name in ("compute_loss_func",) if name in changes}
    trainer = trainer_class(
        model=model,
        args=TrainingArguments(**(settings | changes)),
        train_dataset=rows,
        data_collator=collate,
        callbacks=[capture or GradientCapture(folder / "gradients", dimensions=DIMENSIONS)],
        **extra,
    )
    trainer.train(resume_from_checkpoint=resume)
    return model


def explicit(model: PeftModel) -> tuple[list[float], Tensor]:
    losses, gradients = loop_gradients(model, EXAMPLES)
    return losses, torch.stack(gradients)


@pytest.mark.parametrize("changes", [{}, {"per_device_train_batch_size": 1}, {"gradient_accumulation_steps": 1},
                                     {"weight_decay": 0.1, "max_grad_norm": 0.01}], ids=repr)  # fmt: skip
def test_norms_and_losses_are_those_of_the_explicit_gradients(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Mixed lengths, padding, accumulation, a mean over the tokens of the whole step: none of it is left in them."""
    model = trained(with_lora(tiny_model()), tmp_path, **changes).eval()
    store = GradientDatastore.open(tmp_path / "gradients" / "epoch-1")
    losses, gradients = explicit(model)
    assert store.ids == tuple(map(str, range(len(EXAMPLES))))
    np.testing.assert_allclose(store.norms, gradients.norm(dim=1), rtol=1e-4)
    np.testing.assert_allclose(store.losses, losses, rtol=1e-5)


def test_trls_loss_outside_of_the_model_is_followed(tmp_path: Path) -> None:
    test_norms_and_losses_are_those_of_the_explicit_gradients(tmp_path, {"trainer": Fused})


def test_rows_are_those_of_a_sketch(tmp_path: Path) -> None:
    """The same projection of the same gradients, so that targets may be sketched afterwards."""
    model = trained(with_lora(tiny_model()), tmp_path).eval()
    captured = GradientDatastore.open(tmp_path / "gradients" / "epoch-1")
    taken = sketch(model, EXAMPLES, tmp_path / "sketch", pad_token_id=PAD, dimensions=DIMENSIONS)
    np.testing.assert_allclose(captured.unit_gradients, taken.unit_gradients, atol=2e-3)
    ids = {"set": [example.id for example in EXAMPLES[:3]]}
    scores = captured.influence_on(taken, ids).scores["set"]
    expected = taken.influence(ids).scores["set"]
    assert list(scores.values()) == pytest.approx(list(expected.values()), abs=2e-3)


def test_each_epoch_has_the_gradients_of_its_own_weights(tmp_path: Path) -> None:
    """One step an epoch: the second epoch's gradients are those at the weights after the first step."""
    capture = GradientCapture(tmp_path / "gradients", dimensions=DIMENSIONS, ids=[row.id for row in EXAMPLES])
    changes: dict[str, Any] = {
        "per_device_train_batch_size": 7, "gradient_accumulation_steps": 1, "learning_rate": 0.05,
        "lr_scheduler_type": "constant", "capture": capture,
    }  # fmt: skip
    _, before = explicit(with_lora(tiny_model()))
    after = trained(with_lora(tiny_model()), tmp_path / "once", **(changes | {"capture": None})).eval()
    trained(with_lora(tiny_model()), tmp_path, num_train_epochs=2, **changes)
    first, second = (GradientDatastore.open(tmp_path / "gradients" / f"epoch-{n}") for n in (1, 2))
    np.testing.assert_allclose(first.norms, before.norm(dim=1), rtol=1e-4)
    np.testing.assert_allclose(second.norms, explicit(after)[1].norm(dim=1), rtol=1e-3)
    assert first.ids == tuple(row.id for row in EXAMPLES)


def test_training_is_not_changed(tmp_path: Path) -> None:
    class Watching(GradientCapture):
        def on_train_begin(self, *args: Any, **given: Any) -> None: ...
        def on_epoch_begin(self, *args: Any, **given: Any) -> None: ...
        def on_epoch_end(self, *args: Any, **given: Any) -> None: ...

    with_it, without = (
        trained(with_lora(tiny_model()), tmp_path / name, learning_rate=0.01, capture=capture)
        for name, capture in (("a", None), ("b", Watching(tmp_path / "none")))
    )
    for (name, one), other in zip(with_it.named_parameters(), without.parameters(), strict=True):
        assert torch.equal(one, other), name
    assert not with_it._forward_hooks and not with_it._forward_pre_hooks


def test_equal_examples_share_their_gradient_and_those_not_trained_on_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [as_row(example) for example in (*EXAMPLES, EXAMPLES[0])]
    trained(with_lora(tiny_model()), tmp_path, rows=rows)
    store = GradientDatastore.open(tmp_path / "gradients" / "epoch-1")
    assert store.norms[0] == store.norms[7]
    trained(with_lora(tiny_model()), tmp_path / "more", max_steps=1, per_device_train_batch_size=1)
    store = GradientDatastore.open(tmp_path / "more" / "gradients" / "epoch-1")
    assert int(np.isfinite(store.norms).sum()) == 2
    assert "5 examples were not trained on" in capsys.readouterr().err


class OtherLoss(Trainer):
    def compute_loss(self, model: Any, inputs: Any, *args: Any, **given: Any) -> Any:
        return model(**inputs).logits.float().square().mean()


class Fused(Trainer):
    """As TRL's SFTTrainer: the model gives log-probabilities of the tokens, and the loss is taken outside of it."""

    weigh: Any = staticmethod(lambda log_probs: 1.0)

    def compute_loss(self, model: Any, inputs: Any, *args: Any, num_items_in_batch: Any = None, **given: Any) -> Any:
        def forward(labels: Tensor, **own: Any) -> Any:
            logits = original(**own).logits[:, :-1].log_softmax(-1)
            wanted = labels[:, 1:]
            taken = logits.gather(-1, wanted.clamp(min=0)[..., None])[..., 0] * (wanted != -100)
            return ModelOutput(log_probs=taken)

        original, model.forward = model.forward, forward
        try:
            log_probs = model(**inputs).log_probs
        finally:
            model.forward = original
        return -(self.weigh(log_probs) * log_probs).sum() / num_items_in_batch


class Weighted(Fused):
    """As TRL's loss_type dft."""

    weigh = staticmethod(lambda log_probs: log_probs.exp().detach())


def smoothed(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    return outputs.logits.float().square().mean()


WITHOUT_TARGETS = {"input_ids": [5, 6, 7], "labels": [-100] * 3}


def test_a_row_without_targets_among_others_has_no_gradient(tmp_path: Path) -> None:
    trained(with_lora(tiny_model()), tmp_path, rows=[WITHOUT_TARGETS, as_row(EXAMPLES[0])])
    store = GradientDatastore.open(tmp_path / "gradients" / "epoch-1")
    assert np.isfinite(store.norms).tolist() == [False, True]


def test_what_cannot_be_followed_is_refused_in_one_line(tmp_path: Path) -> None:
    for n, (expected, words, changes) in enumerate([
        (ModelError, "not the model's own loss", {"trainer": OtherLoss}),
        (ModelError, "loss_type dft", {"trainer": Weighted}),
        (ModelError, "with input_ids and labels", {"compute_loss_func": smoothed}),
        (ConfigError, "torch_compile", {"torch_compile": True}),
        (ConfigError, "set label_smoothing_factor to 0", {"label_smoothing_factor": 0.1}),
        (DataError, r"a step whose rows \(0, 1\) have no target", {"rows": [WITHOUT_TARGETS, WITHOUT_TARGETS]}),
        (DataError, "ids: expected 7", {"capture": GradientCapture(tmp_path / "x", ids=["a"])}),
    ]):  # fmt: skip
        with pytest.raises(expected, match=words) as caught:
            trained(with_lora(tiny_model()), tmp_path / str(n), **changes)
        assert len(str(caught.value).splitlines()) == 1


def test_packing_and_several_processes_are_refused(tmp_path: Path) -> None:
    from grait.influence.capture import _check, _check_rows

    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    for name in ("packing", "padding_free"):
        packed = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
        object.__setattr__(packed, name, True)
        with pytest.raises(ConfigError, match=name):
            _check(packed)
    for reentrant in (False, True):
        kept = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
        object.__setattr__(kept, "gradient_checkpointing", True)
        object.__setattr__(kept, "gradient_checkpointing_kwargs", {"use_reentrant": reentrant})
        with pytest.raises(ConfigError, match="use_reentrant=False") if reentrant else nullcontext():
            _check(kept)
    object.__setattr__(args, "deepspeed", "ds.json")
    with pytest.raises(ConfigError, match="no DDP, FSDP or DeepSpeed"):
        _check(args)
    with pytest.raises(ConfigError, match="several examples"):
        _check_rows({"position_ids": torch.tensor([[0, 1, 2, 0, 1]])})
    _check_rows({"position_ids": torch.tensor([[0, 0, 0, 1, 2]]), "attention_mask": torch.tensor([[0, 0, 1, 1, 1]])})


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    """Whatever its settings, and whichever of its epochs is there: nothing of two trainings is mixed, or lost."""
    trained(with_lora(tiny_model()), tmp_path, num_train_epochs=2)
    (tmp_path / "gradients" / "epoch-1").rename(tmp_path / "elsewhere")
    norms = (tmp_path / "gradients" / "epoch-2" / "norms.npy").read_bytes()
    for changes in ({"learning_rate": 0.5, "max_steps": 1}, {"rows": [as_row(example) for example in EXAMPLES[:5]]}):
        with pytest.raises(ArtifactError, match="epoch-2 holds gradients of an earlier training"):
            trained(with_lora(tiny_model()), tmp_path, **changes)
    assert [own.name for own in (tmp_path / "gradients").iterdir()] == ["epoch-2"]
    assert (tmp_path / "gradients" / "epoch-2" / "norms.npy").read_bytes() == norms


def test_a_training_that_resumes_goes_on_and_one_that_wrote_nothing_begins_again(tmp_path: Path) -> None:
    class Stopped(GradientCapture):
        def on_epoch_begin(self, *args: Any, **given: Any) -> None:
            super().on_epoch_begin(*args, **given)
            raise KeyboardInterrupt

    folder = tmp_path / "gradients"
    with pytest.raises(KeyboardInterrupt):
        trained(with_lora(tiny_model()), tmp_path, capture=Stopped(folder, dimensions=DIMENSIONS))
    trained(with_lora(tiny_model()), tmp_path, save_strategy="epoch")
    checkpoint = str(next((tmp_path / "trainer").glob("checkpoint-*")))
    trained(with_lora(tiny_model()), tmp_path, num_train_epochs=2, resume=checkpoint)
    assert sorted(own.name for own in folder.iterdir()) == ["epoch-1", "epoch-2"]
    other = GradientCapture(folder, dimensions=64)
    with pytest.raises(ArtifactError, match="made with other settings"):
        trained(with_lora(tiny_model()), tmp_path, num_train_epochs=2, resume=checkpoint, capture=other)
