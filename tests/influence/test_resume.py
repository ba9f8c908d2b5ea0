"""A pass that is killed goes on where it was and ends with the same numbers, bit for bit."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from tiny import END, PAD, poison, random_examples, tiny_model, with_lora

from grait.errors import ArtifactError
from grait.influence import GradientDatastore, Influence, influence, resume, sketch
from grait.influence.datastore import influence_and_sketch

EXAMPLES = [replace(example, completion_ids=(17, 4, 130, END)) for example in random_examples(14)]
SETS = {"idk": EXAMPLES[:8], "ik": EXAMPLES[6:]}
TOKENS_PER_BATCH = 40


@pytest.fixture(autouse=True)
def _one_thread_and_a_write_after_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "SECONDS_BETWEEN_WRITES", 0.0)
    monkeypatch.setattr("grait.influence.datastore.SECONDS_BETWEEN_WRITES", 0.0)


def adapted() -> PeftModel:
    return with_lora(tiny_model())


def exact(model: PeftModel, folder: Path | None, advance: Callable[[int], None] | None = None) -> Influence:
    return influence(
        model, EXAMPLES, SETS, pad_token_id=PAD, tokens_per_batch=TOKENS_PER_BATCH, advance=advance, resume=folder,
        road="copied prefix", memory=0,
    )  # fmt: skip


class Killed(BaseException):
    """Not an error that anything could want to handle."""


def killer(after: int) -> Callable[[int], None]:
    """Raises when more than ``after`` batches are told to be done."""
    told = iter(range(after))

    def advance(_: int) -> None:
        if next(told, None) is None:
            raise Killed

    return advance


def n_batches(run: Callable[[Callable[[int], None]], object]) -> int:
    told: list[int] = []
    run(told.append)
    return len(told)


def test_exact_influence_killed_after_any_batch_ends_with_the_same_numbers(tmp_path: Path) -> None:
    model = adapted()
    expected = exact(model, None)
    total = n_batches(lambda advance: exact(model, None, advance))
    assert total > 8
    for after in range(total):
        with pytest.raises(Killed):
            exact(model, tmp_path / "passes", killer(after))
        assert exact(model, tmp_path / "passes") == expected
        shutil.rmtree(tmp_path / "passes")


def test_exact_influence_killed_again_and_again_comes_to_an_end(tmp_path: Path) -> None:
    model = adapted()
    expected, kills, found = exact(model, None), 0, None
    while found is None:
        try:
            found = exact(model, tmp_path / "passes", killer(kills + 2))  # batches from before are told, too
        except Killed:
            kills += 1
    assert kills > 3
    assert found == expected


def test_finished_batches_are_not_run_again(tmp_path: Path) -> None:
    model = adapted()
    runs: list[int] = []
    model.register_forward_hook(lambda *_: runs.append(1))
    total = n_batches(lambda advance: exact(model, None, advance))
    runs.clear()
    with pytest.raises(Killed):
        exact(model, tmp_path / "passes", killer(total - 2))
    runs.clear()
    exact(model, tmp_path / "passes")
    assert len(runs) <= 3


def test_non_finite_examples_are_still_named_after_a_resume(tmp_path: Path) -> None:
    model = adapted()
    poison(model, EXAMPLES[7].prompt_ids[0])
    expected = exact(model, None)
    assert EXAMPLES[7].id in expected.non_finite
    for after in (3, 6, 9):
        with pytest.raises(Killed):
            exact(model, tmp_path / "passes", killer(after))
        assert exact(model, tmp_path / "passes") == expected
        shutil.rmtree(tmp_path / "passes")


def test_a_finished_call_is_read_again_without_running_the_model(tmp_path: Path) -> None:
    model = adapted()
    expected = exact(model, tmp_path / "passes")
    model.register_forward_hook(lambda *_: pytest.fail("the model ran"))
    assert exact(model, tmp_path / "passes") == expected


def test_passes_of_another_call_are_refused_by_name_and_kept(tmp_path: Path) -> None:
    model = adapted()
    with pytest.raises(Killed):
        exact(model, tmp_path / "passes", killer(5))
    kept = {path.name: path.read_bytes() for path in (tmp_path / "passes").iterdir()}
    with torch.no_grad():
        next(p for p in model.parameters() if p.requires_grad).add_(1e-3)
    with pytest.raises(ArtifactError, match=r"made with other settings \(adapter changed\)"):
        exact(model, tmp_path / "passes")
    with pytest.raises(ArtifactError, match=r"idk changed"):
        influence(
            adapted(), EXAMPLES, {**SETS, "idk": EXAMPLES[:3]}, pad_token_id=PAD,
            tokens_per_batch=TOKENS_PER_BATCH, resume=tmp_path / "passes",
        )  # fmt: skip
    assert {path.name: path.read_bytes() for path in (tmp_path / "passes").iterdir()} == kept


def test_a_truncated_file_of_passes_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        exact(adapted(), tmp_path / "passes", killer(5))
    path = tmp_path / "passes" / "directions.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ArtifactError, match="not readable; delete"):
        exact(adapted(), tmp_path / "passes")


def rows(store: GradientDatastore) -> list[bytes]:
    return [np.asarray(array).tobytes() for array in (store.unit_gradients, store.norms, store.losses)]


def test_a_sketch_killed_after_any_batch_ends_with_the_same_rows(tmp_path: Path) -> None:
    model = adapted()

    def run(folder: Path, advance: Callable[[int], None] | None = None) -> GradientDatastore:
        return sketch(
            model,
            EXAMPLES,
            folder,
            pad_token_id=PAD,
            dimensions=256,
            tokens_per_batch=TOKENS_PER_BATCH,
            advance=advance,
        )

    expected = rows(run(tmp_path / "whole"))
    total = n_batches(lambda advance: run(tmp_path / "counted", advance))
    for after in range(total):
        folder = tmp_path / f"killed-{after}"
        with pytest.raises(Killed):
            run(folder, killer(after))
        if after < total - 1:
            with pytest.raises(ArtifactError, match="unfinished"):
                GradientDatastore.open(folder)
        assert rows(run(folder)) == expected


def both(
    model: PeftModel, folder: Path, advance: Callable[[int], None] | None = None, n: int | None = None
) -> tuple[Influence, GradientDatastore]:
    """``n``: only so many of the examples are in a set."""
    sets = SETS if n is None else {"idk": EXAMPLES[:n]}
    return influence_and_sketch(
        model, EXAMPLES, sets, folder / "store", resume=folder / "passes", pad_token_id=PAD, dimensions=256,
        tokens_per_batch=TOKENS_PER_BATCH, advance=advance, road="copied prefix",
    )  # fmt: skip


def test_influence_and_sketch_in_two_passes_are_those_of_three(tmp_path: Path) -> None:
    model = adapted()
    poison(model, EXAMPLES[7].prompt_ids[0])
    runs: list[int] = []
    model.register_forward_hook(lambda *_: runs.append(1))
    expected = exact(model, tmp_path / "alone")
    n_alone = len(runs)
    runs.clear()
    found, store = both(model, tmp_path)
    assert found == expected and len(runs) == n_alone
    alone = sketch(
        model, EXAMPLES, tmp_path / "sketch", pad_token_id=PAD, dimensions=256, tokens_per_batch=TOKENS_PER_BATCH
    )
    assert store.ids == alone.ids and EXAMPLES[7].id in found.non_finite
    np.testing.assert_allclose(store.unit_gradients, alone.unit_gradients, atol=2e-3)
    np.testing.assert_allclose(store.norms, alone.norms, rtol=1e-5)


def test_examples_of_no_set_are_in_the_datastore_too(tmp_path: Path) -> None:
    model = adapted()
    found, store = both(model, tmp_path, n=3)
    ids = {"idk": [example.id for example in EXAMPLES[:3]]}
    assert store.influence(ids).scores["idk"] == pytest.approx(found.scores["idk"], abs=0.2)
    assert np.isfinite(store.norms).all()


def test_influence_and_sketch_killed_after_any_batch_end_with_the_same_numbers(tmp_path: Path) -> None:
    model = adapted()
    expected, store = both(model, tmp_path / "whole")
    total = n_batches(lambda advance: both(model, tmp_path / "counted", advance))
    for after in range(total):
        folder = tmp_path / f"killed-{after}"
        with pytest.raises(Killed):
            both(model, folder, killer(after))
        found, own = both(model, folder)
        assert found == expected
        np.testing.assert_allclose(own.unit_gradients, store.unit_gradients, atol=2e-3)


SCRIPT = """
    import os, signal, sys, time
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    sys.path[:0] = [{tests!r}, {tests!r} + "/influence"]
    import test_resume as t
    from grait.influence import resume, datastore
    resume.SECONDS_BETWEEN_WRITES = datastore.SECONDS_BETWEEN_WRITES = 0.0

    for batches in (2, 6, 9):
        telling, told = os.pipe()
        child = os.fork()
        if child == 0:
            t.exact(t.adapted(), Path(sys.argv[1]), lambda n: (os.write(told, b"."), time.sleep(0.02)))
            os._exit(0)
        os.close(told)
        for _ in range(batches):
            assert os.read(telling, 1) == b"."
        os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_a_process_that_is_killed_leaves_what_the_next_one_needs(tmp_path: Path) -> None:
    """SIGKILL, at three moments; the last process' numbers are those of a call that nobody killed."""
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT.format(tests=str(Path(__file__).parents[1]))))
    done = subprocess.run(
        [sys.executable, script, tmp_path / "passes"],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [f"-{int(signal.SIGKILL)}"] * 3
    assert (tmp_path / "passes" / "settings.json").exists()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert exact(adapted(), tmp_path / "passes") == exact(adapted(), None)
    finally:
        torch.set_num_threads(threads)
