"""Training that is killed goes on at its newest checkpoint and ends with the same adapter, bit for bit."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny import END, PAD, poison, random_examples, tiny_model
from torch import Tensor

from grait.config import LoraSection, OptimizerSection
from grait.errors import ArtifactError
from grait.training import checkpoints
from grait.training.checkpoints import SEAL, newest_checkpoint
from grait.training.examples import WeightedExample
from grait.training.sft import TrainingLog, add_adapter, train
from grait.training.trainer import EndOfEpoch, Rounds

pytestmark = pytest.mark.usefixtures("one_thread", "checkpoint_after_every_step")

EXAMPLES = [
    WeightedExample(replace(example, completion_ids=(17, 4, 130, END)), 0.25 * (index % 7))
    for index, example in enumerate(random_examples(13))
]
SETTINGS: dict[str, Any] = {"learning_rate": 1e-2, "epochs": 2.5, "batch_size": 4, "micro_batch_size": 2}
N_STEPS = 10  # 4 in an epoch, whose last is smaller; the third epoch ends at its half


class Killed(BaseException):
    """Not an error that anything could want to handle."""


def killer(after: int) -> Callable[[int], None]:
    """Raises at the end of step ``after``, before its checkpoint."""
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        if done >= after:
            raise Killed

    return advance


def start(dropout: float = 0.0, token_without_loss: int | None = None) -> PeftModel:
    model = tiny_model()
    if token_without_loss is not None:
        poison(model, token_without_loss)
    return add_adapter(model, LoraSection(r=4, dropout=dropout), seed=3)


Result = tuple[dict[str, Tensor], TrainingLog, dict[int, tuple[dict[str, Tensor], dict[str, Tensor]]]]
"""Adapter, log, and by epoch the adapter and moments at its end."""


def run(
    folder: Path | None,
    advance: Callable[[int], None] | None = None,
    at_epochs: dict[int, Any] | None = None,
    *,
    model: PeftModel | None = None,
    examples: list[WeightedExample] = EXAMPLES,
    seed: int = 5,
    rounds: Rounds | None = None,
    **changes: Any,
) -> Result:
    model = model or start()
    config = OptimizerSection(**(SETTINGS | changes))
    kept: dict[int, Any] = {} if at_epochs is None else at_epochs

    def keep(epoch: EndOfEpoch) -> None:
        kept[epoch.number] = adapter(model), {name: moment.clone() for name, moment in epoch.moments.items()}

    log = train(
        model, examples, config, pad_token_id=PAD, seed=seed, advance=advance, on_epoch=keep, resume=folder,
        road="no sharing", rounds=rounds,
    )  # fmt: skip
    return adapter(model), log, kept


def adapter(model: PeftModel) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(weight, other[name]) for name, weight in one.items())


def assert_same(found: Result, expected: Result) -> None:
    assert equal(found[0], expected[0])
    assert equal(found[1].moments, expected[1].moments)
    assert found[1].losses == expected[1].losses and len(found[1].losses) == N_STEPS
    assert found[1].non_finite == expected[1].non_finite
    assert found[1].learning_rates == expected[1].learning_rates and len(found[1].learning_rates) == 3
    assert found[2].keys() == expected[2].keys() == {1, 2, 3}
    for number, (weights, moments) in expected[2].items():
        assert equal(found[2][number][0], weights) and equal(found[2][number][1], moments)


@cache
def whole() -> Result:
    """What nobody killed."""
    return run(None)


def test_a_resume_folder_changes_nothing(tmp_path: Path) -> None:
    assert_same(run(tmp_path / "kept"), whole())


def test_an_adapter_of_one_step_less_is_another_adapter() -> None:
    """The comparison can fail."""
    assert not equal(whole()[0], run(None, epochs=2.25)[0])


def test_killed_at_any_step_it_ends_with_the_same_adapter(tmp_path: Path) -> None:
    """With dropout: the states of the random numbers go on where they were."""
    dropout = 0.3
    expected = run(None, model=start(dropout))
    assert not equal(expected[0], whole()[0])
    for step in range(1, N_STEPS + 1):
        epochs: dict[int, Any] = {}
        with pytest.raises(Killed):
            run(tmp_path / "kept", killer(step), epochs, model=start(dropout))
        found = sorted(path.name for path in (tmp_path / "kept").glob("checkpoint-*"))
        assert found == ([f"checkpoint-{step - 1}"] if step > 1 else [])  # only the newest is kept
        assert_same(run(tmp_path / "kept", None, epochs, model=start(dropout)), expected)
        shutil.rmtree(tmp_path / "kept")


def test_killed_again_and_again_it_comes_to_an_end(tmp_path: Path) -> None:
    expected = whole()
    epochs: dict[int, Any] = {}
    for step in range(2, N_STEPS + 1):
        with pytest.raises(Killed):
            run(tmp_path / "kept", killer(step), epochs)
    assert_same(run(tmp_path / "kept", None, epochs), expected)


def test_steps_before_the_checkpoint_are_told_and_not_run_again(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path / "kept", killer(8))
    model, told, runs = start(), list[int](), list[int]()
    model.register_forward_hook(lambda *_: runs.append(1))
    run(tmp_path / "kept", told.append, model=model)
    assert told == [7, 1, 1, 1]
    assert len(runs) == 1 + 2 + 2  # micro-batches: step 8 ends the second epoch, with the 13th example alone


def test_an_example_without_a_finite_loss_is_still_named(tmp_path: Path) -> None:
    bad = EXAMPLES[4].example
    expected = run(None, model=start(token_without_loss=bad.prompt_ids[0]))
    assert bad.id in expected[1].non_finite
    for step in (5, 9):  # it is met once in an epoch
        epochs: dict[int, Any] = {}
        with pytest.raises(Killed):
            run(tmp_path / "kept", killer(step), epochs, model=start(token_without_loss=bad.prompt_ids[0]))
        found = run(tmp_path / "kept", None, epochs, model=start(token_without_loss=bad.prompt_ids[0]))
        assert_same(found, expected)
        shutil.rmtree(tmp_path / "kept")


def killed_after(folder: Path, step: int) -> Path:
    """A folder with the checkpoint of this step."""
    with pytest.raises(Killed):
        run(folder, killer(step + 1))
    return folder / f"checkpoint-{step}"


def test_nothing_that_is_kept_needs_to_be_unpickled(tmp_path: Path) -> None:
    names = {path.name for path in killed_after(tmp_path / "kept", 3).iterdir()}
    assert names >= {"adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", SEAL}
    assert "training_args.bin" not in names


FILES = ["adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", SEAL]


def test_a_damaged_checkpoint_is_left_out_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sealed = killed_after(tmp_path / "kept", 2)
    found = newest_checkpoint(tmp_path / "kept")
    assert found == (sealed, set())
    for name in FILES:
        for damage in ("truncated", "emptied", "flipped", "gone", "JSON"):
            shutil.copytree(tmp_path / "kept", tmp_path / "damaged", dirs_exist_ok=True)
            path = tmp_path / "damaged" / sealed.name / name
            content = path.read_bytes()
            middle = len(content) // 2
            if damage == "gone":
                path.unlink()
            elif damage == "flipped" and name != SEAL:
                path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
            else:
                path.write_bytes({"truncated": content[:middle], "JSON": b"[[1]]"}.get(damage, b""))
            capsys.readouterr()
            assert newest_checkpoint(tmp_path / "damaged") is None
            err = capsys.readouterr().err
            assert "checkpoint-2: incomplete or damaged, left out" in err and err.count("\n") == 1
    assert_same(run(tmp_path / "damaged"), whole())


def test_a_checkpoint_that_was_being_written_leaves_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, epochs = whole(), dict[int, Any]()
    with pytest.raises(Killed):
        run(tmp_path / "kept", killer(5), epochs)
    torn = tmp_path / "kept" / "checkpoint-5"
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_bytes(b"\x00" * 10)
    told: list[int] = []
    assert_same(run(tmp_path / "kept", told.append, epochs), expected)
    assert told[0] == 4
    assert "checkpoint-5: incomplete or damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"examples": EXAMPLES[:-1]}, "examples changed"),
        ({"examples": [replace(EXAMPLES[0], sample_weight=9.0), *EXAMPLES[1:]]}, "examples changed"),
        ({"learning_rate": 2e-2}, r"training.learning_rate: 0.01 -> 0.02"),
        ({"batch_size": 8}, r"training.batch_size: 4 -> 8"),
        ({"epochs": 3}, r"training.epochs: 2.5 -> 3.0"),
        ({"seed": 6}, r"seed: 5 -> 6"),
        ({"model": "other adapter"}, "adapter changed"),
        ({"model": "other weights"}, "frozen_model changed"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_by_name_and_kept(
    tmp_path: Path, changes: dict[str, Any], difference: str
) -> None:
    killed_after(tmp_path / "kept", 3)
    kept = {path: path.read_bytes() for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    models = {
        "other adapter": lambda: add_adapter(tiny_model(), LoraSection(r=4), seed=4),
        "other weights": lambda: add_adapter(tiny_model(seed=1), LoraSection(r=4), seed=3),
    }
    if "model" in changes:
        changes = {"model": models[changes["model"]]()}
    with pytest.raises(ArtifactError, match=rf"made with other settings \({difference}\); delete it") as caught:
        run(tmp_path / "kept", **changes)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in (tmp_path / "kept").rglob("*") if path.is_file()} == kept


def test_a_smaller_micro_batch_goes_on_with_the_same_checkpoint(tmp_path: Path) -> None:
    """What helps when memory ran out. The same up to rounding."""
    expected = whole()
    killed_after(tmp_path / "kept", 6)
    found = run(tmp_path / "kept", micro_batch_size=1)
    for name, weight in expected[0].items():
        assert torch.allclose(found[0][name], weight, atol=1e-6)


def test_unreadable_settings_are_one_line(tmp_path: Path) -> None:
    killed_after(tmp_path / "kept", 1)
    (tmp_path / "kept" / "settings.json").write_text("{")
    with pytest.raises(ArtifactError, match="not readable settings; delete"):
        run(tmp_path / "kept")


def test_short_runs_write_no_checkpoint_and_slow_writes_make_them_rare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_WRITES", 30.0)
    monkeypatch.setattr(checkpoints, "LARGEST_SHARE", 0.05)
    run(tmp_path / "short")
    assert [path.name for path in (tmp_path / "short").iterdir()] == ["settings.json"]
    now = iter(float(5 * second) for second in range(1000))  # every look at the clock is 5 seconds after the last
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: next(now))
    asked = checkpoints.Checkpoints(tmp_path / "short", set())
    assert asked.wait == 30.0
    (tmp_path / "short" / "checkpoint-1").mkdir()
    asked.last = next(now)
    asked.on_save(None, type("State", (), {"global_step": 1})(), None)
    assert asked.wait == pytest.approx(5 / 0.05)


SCRIPT = """
    import os, random, signal, sys, time
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    sys.path[:0] = [{tests!r}, {tests!r} + "/training"]
    import test_checkpoints as t
    from grait.training import checkpoints
    checkpoints.SECONDS_BETWEEN_WRITES, checkpoints.LARGEST_SHARE = 0.0, float("inf")
    generator = random.Random(0)

    def train(told):
        t.run(Path(sys.argv[1]), lambda n: (os.write(told, b"." * n), time.sleep(0.02)))

    for steps in (2, 4, 6, 7):  # told of by the next process, those before its checkpoint included
        telling, told = os.pipe()
        child = os.fork()
        if child == 0:
            train(told)
            os._exit(0)
        os.close(told)
        for _ in range(steps):
            assert os.read(telling, 1) == b"."
        time.sleep(generator.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sorted(os.listdir(sys.argv[1])), flush=True)
"""


def test_a_process_that_is_killed_leaves_what_the_next_one_needs(tmp_path: Path) -> None:
    """SIGKILL at random moments, between steps and while checkpoints are written, the same folder again and again."""
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT.format(tests=str(Path(__file__).parents[1]))))
    done = subprocess.run(
        [sys.executable, script, tmp_path / "kept"],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True,
    )  # fmt: skip
    ends = done.stdout.splitlines()
    assert len(ends) == 4 and all(end.startswith(f"-{int(signal.SIGKILL)} ") for end in ends), done.stdout
    assert "checkpoint-" in ends[-1]
    found, expected = run(tmp_path / "kept"), whole()
    assert equal(found[0], expected[0])
    assert found[1].losses == expected[1].losses
