"""Trials of learning rate and passes: what they may see and cost, what is taken, and that nothing is done twice."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_folder import Files, save_tiny, tiny_tree, write_half_known

import grait
from grait.commands.finished import finished_adapter, open_run
from grait.data.wording import wording
from grait.evaluation.trials import Lead
from grait.pipeline import tuning
from grait.pipeline.replay import Replayed
from grait.pipeline.results import RunResult
from grait.pipeline.tuning import FEWEST_STEPS, schedule
from grait.pipeline.work import SetSize
from grait.plan.dry_run import make_plan
from grait.records import Question
from grait.runtime.artifacts import MANIFEST

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Files]:
    folder = tmp_path_factory.mktemp("tiny")
    model = save_tiny(folder / "model")
    return model, write_half_known(model, folder, n_train=60, n_test=8)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of two steps are enough here."""
    monkeypatch.setattr(tuning, "FEWEST_STEPS", 2)


def tree_of(tiny: tuple[str, Files], out: Path, budget: float = 0.4) -> dict[str, Any]:
    tree = tiny_tree(*tiny, out)
    tree["evaluation"]["calibration"] = None
    tree["training"] |= {"epochs": 2, "batch_size": 8, "micro_batch_size": 8, "methods": ["cor-rait", "grait"]}
    tree["replay"] = {"path": "builtin", "n": 8, "given_texts": 30, "unanswerable": 4}
    return tree | {"tune": {"budget": budget}}


@pytest.fixture(scope="module")
def run(tiny: tuple[str, Files], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunResult]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tuning, "FEWEST_STEPS", 2)
        yield grait.run(tree_of(tiny, tmp_path_factory.mktemp("run") / "run"))


def written(folder: Path) -> dict[str, int]:
    return {str(path.parent.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob(MANIFEST)}


def leading(monkeypatch: pytest.MonkeyPatch, *lows: float) -> None:
    """The trials after the first lead by these."""
    given = iter(lows)
    monkeypatch.setattr(tuning, "lead", lambda *_: (lambda low: Lead(low, low, low))(next(given)))


def test_every_trial_is_a_stage_and_stands_in_the_results(run: RunResult) -> None:
    rates = [row.learning_rate for row in run.trials]
    assert rates[:3] == [3e-4, 6e-4, 1.5e-4]
    for number, row in enumerate(run.trials, 1):
        assert {f"tuning/grait-trial-{number}", f"tuning/questions/grait-trial-{number}"} <= set(run.summary["stages"])
        assert (row.method, row.n, row.of_steps) == ("grait", 30, run.trials[0].of_steps)
        assert row.steps < row.of_steps
    assert [row.is_taken for row in run.trials].count(True) == 1
    stored = json.loads((run.folder / "tuning.json").read_text(encoding="utf-8"))
    assert [row["learning_rate"] for row in stored] == rates
    assert any("trials of learning rate and passes" in sentence for sentence in run.summary["in_words"]["found"])


def test_no_trial_is_trained_on_what_it_is_asked(
    tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by itself, nor in a text that is read, nor in an earlier turn."""
    taught: list[set[str]] = []
    prompts: list[Sequence[int]] = []
    replayed: list[Replayed] = []
    asked: list[list[Question]] = []
    train_on, answers = tuning.train_on, tuning.answer_questions

    def spied(*a: Any) -> Any:
        taught.append({row.example.id for row in a[5]})
        prompts.extend(example.prompt_ids for example in [*(row.example for row in a[5]), *a[6].examples])
        replayed.append(a[6])
        return train_on(*a)

    monkeypatch.setattr(tuning, "train_on", spied)
    monkeypatch.setattr(tuning, "answer_questions", lambda *a: (asked.append(list(a[4].questions)), answers(*a))[1])
    tree = tree_of(tiny, tmp_path / "run")
    tree["prompt"] |= {"forms": ["examples", "question"]}
    tree["replay"]["after_turns"] = 1.0
    result = grait.run(tree)
    data = open_run(result.folder)
    shown = [data.prompts.tokenizer.decode(token_ids) for token_ids in prompts]
    assert sum("<|assistant|>" in text.partition("<|assistant|>")[2] for text in shown) > 10  # earlier turns are there
    assert not any(question.question in text for question in asked[0] for text in shown)
    assert len(taught) == len(result.trials) >= 2
    assert all(ids == taught[0] for ids in taught) and all(questions == asked[0] for questions in asked)
    words = {wording(question) for question in asked[0]}
    assert taught[0] and words.isdisjoint(wording(data.taught[name]) for name in taught[0])
    texts = [text for row in replayed[0].asked for text in row.said]
    assert not any(question.question in text for question in asked[0] for text in texts)
    assert any(name.startswith("given-") for name in replayed[0].left_out)  # texts with these questions are there
    assert any(row.kind == "given-text" for row in replayed[0].asked)


def test_a_finished_run_tries_nothing_again_and_finds_the_same(
    run: RunResult, tiny: tuple[str, Files], tmp_path: Path
) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    before = written(tmp_path / "run")
    again = grait.run(tree_of(tiny, tmp_path / "run"))
    assert written(tmp_path / "run") == before
    assert again.trials == run.trials
    other = grait.run(tree_of(tiny, tmp_path / "other"))
    assert [replace(row, seconds=0) for row in other.trials] == [replace(row, seconds=0) for row in run.trials]


def test_a_run_that_is_killed_between_two_trials_goes_on_there(
    run: RunResult, tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_on = tuning.train_on

    def killed(*a: Any) -> Any:
        if a[2].endswith("trial-2"):
            raise KeyboardInterrupt
        return train_on(*a)

    with monkeypatch.context() as patched:
        patched.setattr(tuning, "train_on", killed)
        with pytest.raises(KeyboardInterrupt):
            grait.run(tree_of(tiny, tmp_path / "run"))
    before = written(tmp_path / "run")
    result = grait.run(tree_of(tiny, tmp_path / "run"))
    after = written(tmp_path / "run")
    assert "tuning/grait-trial-1" in before and all(after[name] == time for name, time in before.items())
    assert [replace(row, seconds=0) for row in result.trials] == [replace(row, seconds=0) for row in run.trials]


def test_where_none_is_better_the_run_is_that_without_trials(
    tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leading(monkeypatch, -0.1, 0.0, 1e-16)
    grait.run(tree_of(tiny, tmp_path / "run"))
    before = written(tmp_path / "run")
    result = grait.run(tree_of(tiny, tmp_path / "run", budget=0.0))
    assert written(tmp_path / "run") == before
    assert result.trials == [] and not (tmp_path / "run" / "tuning.json").exists()


def test_what_is_taken_is_what_the_method_is_trained_with(
    tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no other method; the card and an export say it; a run that is told the same has the same adapter."""
    leading(monkeypatch, 0.1, -0.1, 0.1)
    result = grait.run(tree_of(tiny, tmp_path / "run"))
    taken = result.trials[-1]
    assert (taken.is_taken, taken.learning_rate, taken.epochs) == (True, 6e-4, 4.0)
    data = open_run(tmp_path / "run")
    adapter = finished_adapter(data, "grait")
    assert (adapter.key["training"]["learning_rate"], adapter.key["training"]["epochs"]) == (6e-4, 4.0)
    assert finished_adapter(data, "cor-rait").key["training"]["learning_rate"] == 3e-4
    assert "learning_rate: 0.0006" in (adapter.folder / "README.md").read_text(encoding="utf-8")
    grait.export(tmp_path / "run", "axolotl", method="grait", out=tmp_path / "export")
    assert "learning_rate: 0.0006" in "".join(
        path.read_text(encoding="utf-8") for path in (tmp_path / "export").iterdir()
    )
    told = tree_of(tiny, tmp_path / "run", budget=0.0)
    told["training"] |= {"learning_rate": 6e-4, "epochs": 4.0}
    before = written(tmp_path / "run")
    grait.run(told)
    assert written(tmp_path / "run")["adapters/grait"] == before["adapters/grait"]


def test_with_few_right_answers_there_are_no_trials_and_the_run_says_so(
    tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tuning, "FEWEST_OF_A_KIND", 20)
    result = grait.run(tree_of(tiny, tmp_path / "run"))
    assert result.trials == []
    assert "of 30 training questions the initial model answers" in capsys.readouterr().err


def test_a_small_budget_makes_no_trial(
    tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tuning, "FEWEST_STEPS", FEWEST_STEPS)
    result = grait.run(tree_of(tiny, tmp_path / "run", budget=0.01))
    assert result.trials == [] and not (tmp_path / "run" / "tuning").exists()
    assert "passes: 1% of this run (tune.budget)" in capsys.readouterr().err


@pytest.mark.parametrize("tokens", [0, 1e4, 5e4, 1e5, 3e5, 1e7])
def test_a_schedule_keeps_to_its_tokens(tokens: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "FEWEST_STEPS", FEWEST_STEPS)
    found = schedule(tokens, per_step=1000, per_answers=500, most_steps=200)
    if found is None:
        assert tokens < 2 * (FEWEST_STEPS * 1000 + 500)
        return
    n = 1 + len(found.rates) + len(found.passes)
    assert n * 500 + (1 + len(found.rates) + sum(found.passes)) * found.steps * 1000 <= tokens
    assert FEWEST_STEPS <= found.steps <= 200


def test_more_tokens_allow_more_trials() -> None:
    few, more, most = (schedule(tokens, 1000, 0, 1000) for tokens in (4e3, 6e3, 1e4))
    assert few and more and most
    assert [(len(one.rates), len(one.passes)) for one in (few, more, most)] == [(1, 0), (2, 0), (2, 1)]
    assert schedule(1e7, 1000, 0, 1) is None


@pytest.mark.parametrize("budget", [0.05, 0.2, 0.5])
def test_the_plan_gives_trials_their_share_of_the_run(budget: float) -> None:
    config = grait.Config.model_validate({"tune": {"budget": budget}})
    size = SetSize.counted("own", "", [Question(f"q{i}", "Who was the first?", ("one",)) for i in range(500)])
    stages = make_plan(config, [size, size, size], None).stages
    (own,) = [plan for plan in stages if plan.name == "tuning"]
    assert own.work.tokens == pytest.approx(budget * sum(plan.work.tokens for plan in stages))
    assert own.steps and own.steps.n and not own.steps.is_exact
    names = [plan.name for plan in stages]
    assert names.index("tuning") < names.index("training cor-rait")


def test_methods_of_papers_are_tuned_where_they_are_asked_for() -> None:
    assert grait.Config.model_validate({}).tuned == []
    tune = {"budget": 0.2}
    assert grait.Config.model_validate({"tune": tune}).tuned == ["grait"]
    both = {"tune": tune | {"methods": ["grait", "cor-rait"]}}
    assert set(grait.Config.model_validate(both).tuned) == {"grait", "cor-rait"}
    paper = {"tune": tune, "training": {"methods": ["grait-paper", "craft"]}}
    assert grait.Config.model_validate(paper).tuned == []


def test_a_config_without_it_is_named_as_before() -> None:
    """In keys of comparisons, which are older than it."""
    assert grait.Config.model_validate({}).unused["tune"] is True
    assert "tune" not in grait.Config.model_validate({"tune": {"budget": 0.1}}).unused


def test_configs_of_the_papers_have_no_trials() -> None:
    configs = Path(__file__).parents[2] / "configs"
    found = [*configs.glob("paper/*.yaml"), *configs.glob("compare/*.yaml")]
    assert len(found) > 3
    for path in found:
        assert grait.load_config(path).tuned == [], path
