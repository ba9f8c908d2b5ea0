"""Dynamic influence in a run: weights follow the adapter, the rest is the training of ``grait``, also after a kill."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from launchers import ALONE
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from tiny_folder import save_tiny, tiny_tree, write_half_known

import grait
from grait.commands.finished import finished_evidence, open_run
from grait.config import Config, parse_config
from grait.errors import ConfigError
from grait.influence import sketch
from grait.methods.grait import softmax_weights, spread
from grait.model.load import load_model
from grait.pipeline import rounds
from grait.pipeline.data import RunData
from grait.pipeline.lessons import NO_OWN_WORDS
from grait.pipeline.models import Models
from grait.pipeline.order import selections
from grait.pipeline.results import RunResult
from grait.pipeline.rounds import LARGEST_SHARE, Reweighing, check_rounds
from grait.pipeline.training import ScoredQuestion
from grait.plan.dry_run import dry_run
from grait.records import InfluenceScore
from grait.runtime.artifacts import read_rows
from grait.training import checkpoints
from grait.training.sft import add_adapter
from grait.training.trainer import Progress
from tests.pipeline.test_processes import TWO, finished

DYNAMIC = "adapters/grait-dynamic"
WEIGHTS = "adapter_model.safetensors"

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Done:
    """A finished run of ``grait`` and ``grait-dynamic`` in two forms, with replay and accumulation.

    ``adapters``: at the beginning of each later round.
    """

    tree: dict[str, Any]
    result: RunResult
    adapters: dict[int, dict[str, torch.Tensor]]

    @property
    def folder(self) -> Path:
        return self.result.folder

    @property
    def config(self) -> Config:
        return parse_config(self.tree)

    def scores(self, number: int) -> dict[str, ScoredQuestion]:
        return {row.id: row for row in read_rows(self.folder / DYNAMIC / f"round-{number}.parquet", ScoredQuestion)}

    @property
    def static(self) -> dict[str, ScoredQuestion]:
        return {row.id: row for row in read_rows(self.folder / "influence" / "scores.parquet", ScoredQuestion)}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("rounds")
    model = save_tiny(folder / "model", positions=1500)
    tree = tiny_tree(model, write_half_known(model, folder / "q"), folder / "run")
    tree["prompt"]["forms"] = ["examples", "question"]
    tree["replay"] = {"path": "builtin", "n": 6, "given_texts": 2, "unanswerable": 3, "max_new_tokens": 4}
    tree["training"] |= {"methods": ["grait", "grait-dynamic"], "learning_rate": 1e-2, "micro_batch_size": 2}
    tree["lora"]["dropout"] = 0.1
    found: dict[int, dict[str, torch.Tensor]] = {}
    sketched = rounds.sketched

    def keeping(models: Models, model: Any, *arguments: Any) -> Any:
        weights = get_peft_model_state_dict(model, save_embedding_layers=False)
        found[len(found) + 2] = {name: weight.clone() for name, weight in weights.items()}
        return sketched(models, model, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "sketched", keeping)
        return Done(tree, grait.run(tree), found)


def test_a_rounds_margins_are_those_of_its_own_adapter_and_of_no_other(done: Done, tmp_path: Path) -> None:
    data, ids = RunData(done.config), sorted(done.scores(2))
    model = add_adapter(load_model(done.config.model), done.config.lora, seed=0)
    examples = [data.tokenized(name, "refuse", data.prompts.refusal(data.questions[name])) for name in ids]
    sides = [[name for name in ids if done.scores(2)[name].label == label] for label in ("idk", "ik")]
    all_scores = {1: done.static, 2: done.scores(2), 3: done.scores(3)}
    assert sorted(done.adapters) == [2, 3]
    for number, weights in done.adapters.items():
        set_peft_model_state_dict(model, weights)
        pad = int(data.prompts.tokenizer.eos_token_id)
        margins = sketch(model, examples, tmp_path / str(number), pad_token_id=pad).left_out_margins(*sides)
        for other, scores in all_scores.items():
            found = [scores[name].left_out_margin for name in ids]
            assert (found == pytest.approx([margins[name] for name in ids], abs=2e-3)) == (other == number)


def test_weights_are_the_methods_formula_of_the_rounds_margins(done: Done) -> None:
    static = [row for row in done.static.values() if row.label == "idk"]
    mean = sum(row.sample_weight for row in static) / len(static)
    for number in (2, 3):
        rows = [row for row in done.scores(number).values() if row.label == "idk"]
        margins = [row.left_out_margin for row in rows]
        expected = softmax_weights(margins, spread(margins), mean)
        assert [row.sample_weight for row in rows] == pytest.approx(expected)
        assert [row.sample_weight for row in rows] != [done.static[row.id].sample_weight for row in rows]


def adapter_of(folder: Path, method: str) -> bytes:
    return (folder / "adapters" / method / WEIGHTS).read_bytes()


def test_the_weights_of_rounds_change_the_adapter_and_examples_are_those_of_the_first(done: Done) -> None:
    assert adapter_of(done.folder, "grait") != adapter_of(done.folder, "grait-dynamic")
    static, dynamic = ((done.folder / "adapters" / name / "rait.jsonl") for name in ("grait", "grait-dynamic"))
    assert static.read_bytes() == dynamic.read_bytes()
    losses = [json.loads(path.with_name("losses.json").read_text()) for path in (static, dynamic)]
    first = done.result.rounds[1].steps_before
    assert losses[0][:first] == losses[1][:first]
    assert losses[0][first:] != losses[1][first:]  # the very first batch of the round may hold no refusal


def copied(done: Done, folder: Path, **changes: dict[str, Any]) -> dict[str, Any]:
    """The config of a copy of the run, whose training in rounds is still to be done."""
    shutil.copytree(done.folder, folder / "run")
    shutil.rmtree(folder / "run" / DYNAMIC)
    tree = json.loads(json.dumps(done.tree)) | {"out": str(folder / "run")}
    for section, own in changes.items():
        tree[section] = tree.get(section, {}) | own
    return tree


def test_with_constant_weights_it_is_the_static_training_bit_for_bit(done: Done, tmp_path: Path) -> None:
    """At this temperature all refusals weigh the same, whatever their margins."""
    result = grait.run(copied(done, tmp_path, selection={"tau": 1e30}))
    for name in (WEIGHTS, "optimizer_moments.safetensors", "losses.json"):
        static, dynamic = (result.folder / "adapters" / method / name for method in ("grait", "grait-dynamic"))
        assert static.read_bytes() == dynamic.read_bytes(), name
    assert [row.rank_correlation for row in result.rounds] == [None, None, None]


class Killed(BaseException):
    """Not an error that anything could want to handle."""


def at_call(number: int, function: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """The function, killed before or after its call of this number."""
    calls = 0

    def called(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and not after:
            raise Killed
        found = function(*arguments, **named)
        if calls == number:
            raise Killed
        return found

    return called


KILLS: dict[str, tuple[Any, str, int, bool]] = {
    "before the second round's gradients": (rounds, "sketched", 1, False),
    "after the second round's gradients": (rounds, "sketched", 1, True),
    "after the second round's scores": (rounds, "write_rows", 1, True),
    "after the third round's gradients": (rounds, "sketched", 2, True),
    **{f"after step {step}": (Progress, "on_step_end", step, True) for step in (1, 4, 5, 8)},
}


@pytest.mark.parametrize("kill", KILLS)
def test_killed_in_any_round_it_ends_with_the_same(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: str
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_WRITES", 0.0)
    monkeypatch.setattr(checkpoints, "LARGEST_SHARE", float("inf"))
    tree = copied(done, tmp_path)
    owner, name, number, after = KILLS[kill]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, name, at_call(number, getattr(owner, name), after=after))
        grait.run(tree)
    result = grait.run(tree)
    assert adapter_of(result.folder, "grait-dynamic") == adapter_of(done.folder, "grait-dynamic")
    for round_file in ("round-2.parquet", "round-3.parquet"):
        own, expected = (read_rows(run / DYNAMIC / round_file, ScoredQuestion) for run in (result.folder, done.folder))
        assert own == expected
    assert result.rounds == done.result.rounds
    assert not list(result.folder.glob("adapters/.*"))


def test_what_the_rounds_did_is_told(done: Done) -> None:
    assert json.loads((done.folder / "rounds.json").read_text()) == [asdict(row) for row in done.result.rounds]
    first, *later = done.result.rounds
    n_steps = len(json.loads((done.folder / DYNAMIC / "losses.json").read_text()))
    assert [row.steps_before for row in done.result.rounds] == [0, math.ceil(n_steps / 3), math.ceil(2 * n_steps / 3)]
    assert (first.number, first.gradients, first.cost, first.rank_correlation) == (1, 0, 1.0, pytest.approx(1.0))
    for row in later:
        scores = done.scores(row.number).values()
        refusals = [own.sample_weight for own in scores if own.label == "idk"]
        assert row.refusals == pytest.approx(sum(refusals) / len(refusals)) == pytest.approx(first.refusals)
        assert (row.known_answers, row.unknown_answers) == (first.known_answers, first.unknown_answers)
        static = [done.static[own.id].sample_weight for own in scores if own.label == "idk"]
        ranks = np.argsort(np.argsort([static, refusals]))
        assert row.rank_correlation == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert later[-1].cost <= 1 + LARGEST_SHARE


def reweighing(done: Done, tmp_path: Path, **changes: Any) -> Reweighing:
    """Of the finished run, with other settings."""
    config = done.config.model_copy(update={"replay": done.config.replay.model_copy(update={"path": None})})
    for section, own in changes.items():
        config = config.model_copy(update={section: getattr(config, section).model_copy(update=own)})
    data, evidence = RunData(config), finished_evidence(open_run(done.folder))
    selected = selections(config, evidence)["grait-dynamic"]
    return Reweighing(data, Models(data), "grait-dynamic", evidence, selected, NO_OWN_WORDS)


@pytest.mark.parametrize("n", [2, 3, 5, 9])
@pytest.mark.parametrize("epochs", [0.5, 1, 3])
def test_later_rounds_cost_at_most_half_of_the_static_run(done: Done, tmp_path: Path, n: int, epochs: float) -> None:
    own = reweighing(done, tmp_path, influence={"rounds": n}, training={"epochs": epochs})
    config, scores = done.config, done.static.values()
    n_known = sum(row.label == "ik" for row in scores)
    n_rows = 2 * sum(1 + (row.label == "idk") for row in scores)  # in each of two forms
    passes = n_known * config.warmup.epochs + 2 * len(scores) + n_known + n_rows * epochs
    assert own.static_passes == passes
    drawn = [own._drawn(number) for number in range(2, n + 1)]
    assert sum(len(ids) for by_label in drawn for ids in by_label.values()) <= LARGEST_SHARE * passes
    assert {tuple(map(len, by_label.values())) for by_label in drawn} == {tuple(map(len, drawn[0].values()))}
    if own.n_gradients < len(scores):
        assert len({str(by_label) for by_label in drawn}) > 1 or n == 2  # each round draws others
    for by_label in drawn:
        assert all(done.static[name].label == label for label, ids in by_label.items() for name in ids)


def test_questions_that_are_not_drawn_keep_their_scores(done: Done, tmp_path: Path) -> None:
    changes = {"influence": {"rounds": 9}, "training": {"epochs": 3}}
    tree = copied(done, tmp_path, replay={"path": None}, prompt={"forms": []}, **changes)
    result = grait.run(tree)
    config = parse_config(tree)
    data, evidence = RunData(config), finished_evidence(open_run(result.folder))
    own = Reweighing(data, Models(data), "grait-dynamic", evidence, selections(config, evidence)["grait-dynamic"], {})
    before: dict[str, InfluenceScore] = dict(evidence.influence)
    for number in range(2, 10):
        path = result.folder / DYNAMIC / f"round-{number}.parquet"
        now = {row.id: row for row in read_rows(path, ScoredQuestion)}
        drawn = {name for ids in own._drawn(number).values() for name in ids}
        changed = {name for name, row in now.items() if row.left_out_margin != before[name].left_out_margin}
        assert changed == drawn < set(now)
        before = dict(now)


@pytest.mark.parametrize(
    ("section", "changes", "named"),
    [
        ("model", {"compile": True}, "model.compile = true"),
        ("model", {"dtype": "float16"}, "model.dtype = float16"),
        ("influence", {"transform": "adam"}, "influence.transform = adam"),
        ("influence", {"checkpoints": "epochs"}, "influence.checkpoints = epochs"),
    ],
)
def test_what_it_does_not_work_with_is_refused_in_one_line(section: str, changes: dict[str, Any], named: str) -> None:
    tree = {section: changes, "training": {"methods": ["grait", "grait-dynamic"]}}
    with pytest.raises(ConfigError, match=rf"^grait-dynamic: does not work with {named}; change it, or leave the m"):
        check_rounds(parse_config(tree))
    check_rounds(parse_config(tree | {"training": {"methods": ["grait"]}}))


def test_sharded_training_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match=r"^grait-dynamic: does not work with training that is sharded \(fsdp\); "):
        check_rounds(parse_config({"training": {"methods": ["grait-dynamic"]}}))


def test_the_dry_run_counts_the_rounds(done: Done) -> None:
    names = {plan.name: plan for plan in dry_run(done.config).stages}
    assert "rounds of grait" not in names
    n_gradients = names["influence"].examples.n  # two passes over refusals, and answers
    assert n_gradients and names["rounds of grait-dynamic"].examples.n == 2 * n_gradients // 3


def test_without_the_method_a_comparison_is_named_as_ever() -> None:
    assert parse_config({"compare": {"methods": ["grait"]}}).unused["influence"] == {"rounds"}
    assert "influence" not in parse_config({"compare": {"methods": ["grait-dynamic"]}}).unused
    assert "influence" not in Config().unused  # which compares all


@pytest.mark.slow
def test_two_processes_do_what_one_does(done: Done, tmp_path: Path) -> None:
    tree = json.loads(json.dumps(done.tree))
    tree |= {"replay": {"path": None}, "prompt": tree["prompt"] | {"forms": []}}
    tree["lora"]["dropout"] = 0.0
    tree["training"] |= {"methods": ["grait-dynamic"], "learning_rate": 3e-3}
    one, two = (finished(launcher, tree, tmp_path / name) for launcher, name in ((ALONE, "one"), (TWO, "two")))
    for number in (2, 3):
        path = f"{DYNAMIC}/round-{number}.parquet"
        for expected, found in zip(one.rows(path, ScoredQuestion), two.rows(path, ScoredQuestion), strict=True):
            assert found.id == expected.id
            for name in ("left_out_margin", "sample_weight"):
                assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-2)
    losses = [json.loads((run.folder / DYNAMIC / "losses.json").read_text()) for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
