"""``grait push``: the folder and its card are complete and true, whatever becomes of the upload."""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Call
from huggingface_hub import ModelCard
from peft import PeftModel
from tiny_dial import a_dial, load_dial, save_dial
from transformers import AutoModelForCausalLM

from grait.commands import push as pushing
from grait.commands.push import push
from grait.dial.stored import FILE_NAME
from grait.display.tables import percent
from grait.errors import ArtifactError, ConfigError, HubError
from grait.records import MetricRecord
from grait.runtime.artifacts import MANIFEST

REPO = "someone/refuses-well"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


ADAPTER = {"adapter_config.json", "adapter_model.safetensors", "README.md"}


class Hub:
    """What ``HfApi`` is asked to do."""

    def __init__(self, *, is_private: bool = False, problem: Exception | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.is_private, self.problem = is_private, problem
        self.uploaded: dict[str, bytes] = {}

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        if self.problem:
            raise self.problem
        return SimpleNamespace(repo_id=repo_id)

    def model_info(self, repo_id: str) -> Any:
        return SimpleNamespace(private=self.is_private)

    def upload_folder(self, *, repo_id: str, folder_path: Path, **options: Any) -> Any:
        self.calls.append(("upload_folder", {"repo_id": repo_id, **options}))
        self.uploaded = {path.name: path.read_bytes() for path in folder_path.iterdir()}
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return with_hub(monkeypatch, Hub())


def with_hub(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Hub:
    monkeypatch.setattr(pushing, "get_token", lambda: "a token")
    monkeypatch.setattr(pushing, "HfApi", lambda: hub)
    return hub


# -- the upload ----------------------------------------------------------------------------------------------------


def test_the_hub_receives_the_folder(run: Path, hub: Hub, command: Call) -> None:
    code, out, _ = command("push", run, REPO)
    assert code == 0 and out.count("\n") == 1 and f"https://hub/{REPO}/commit/1" in out
    assert hub.calls == [
        ("create_repo", {"repo_id": REPO, "private": None, "exist_ok": True}),
        ("upload_folder", {"repo_id": REPO, "commit_message": "grait: grait"}),
    ]
    folder = run / "push" / "grait"
    assert set(hub.uploaded) == files_in(folder) == ADAPTER
    weights = (run / "adapters" / "grait" / "adapter_model.safetensors").read_bytes()
    assert hub.uploaded["adapter_model.safetensors"] == weights


def test_private_is_private(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = with_hub(monkeypatch, Hub(is_private=True))
    push(run, REPO, is_private=True)
    assert hub.calls[0][1]["private"] is True and hub.uploaded
    public = with_hub(monkeypatch, Hub(is_private=False))
    with pytest.raises(HubError, match="it is there already, and public"):
        push(run, REPO, is_private=True)
    assert not public.uploaded


def test_a_dry_run_writes_the_folder_only(run: Path, hub: Hub, command: Call) -> None:
    code, out, _ = command("push", run, REPO, "--method", "cor-rait", "--dry-run")
    assert code == 0 and "Nothing uploaded" in out and f"hf upload {REPO} {run}/push/cor-rait\n" in out
    assert "--private" in command("push", run, REPO, "--dry-run", "--private")[1]
    assert hub.calls == [] and files_in(run / "push" / "cor-rait") == ADAPTER


@pytest.mark.parametrize("fault", ["no token", "no network", "refused"])
def test_what_cannot_be_uploaded_is_one_line_and_the_folder_is_complete(
    run: Path, monkeypatch: pytest.MonkeyPatch, command: Call, fault: str
) -> None:
    """Without network: the hub's own library, which tests keep offline, says so."""
    monkeypatch.setattr(pushing, "get_token", lambda: None if fault == "no token" else "a token")
    if fault == "refused":
        with_hub(monkeypatch, Hub(problem=OSError("403 Forbidden:\nyou may not write to someone")))
    code, out, err = command("push", run, REPO)
    folder = run / "push" / "grait"
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {REPO}: not uploaded: ") and f"hf upload {REPO} {folder}" in err
    expected = {"no token": "no access token", "no network": "offline", "refused": "403 Forbidden: you may not"}
    assert expected[fault].lower() in err.lower()
    assert files_in(folder) == ADAPTER


@pytest.mark.parametrize("repo", ["", "name", "a/b/c", "../run", "me/na me", "me/-", "mé/model"])
def test_a_repository_has_an_owner_and_a_name(run: Path, hub: Hub, repo: str) -> None:
    with pytest.raises(ConfigError, match="expected OWNER/NAME"):
        push(run, repo)
    assert hub.calls == [] and not (run / "push").exists()


# -- what is in the folder -----------------------------------------------------------------------------------------


def pushed(run: Path, method: str = "grait") -> Path:
    return push(run, REPO, method=method, is_dry=True).folder


def test_the_pushed_adapter_loads_with_plain_peft(run: Path) -> None:
    base = json.loads((run / "config.json").read_text(encoding="utf-8"))["model"]["name"]
    tokens = torch.arange(2, 22)[None]

    def logits(adapter: Path) -> torch.Tensor:
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
        with torch.no_grad():
            return model(input_ids=tokens).logits

    assert torch.equal(logits(pushed(run)), logits(run / "adapters" / "grait"))


def test_no_path_of_this_machine_is_left(run: Path, tmp_path: Path) -> None:
    private = str(tmp_path.parent.parent)  # where models, data and runs of all tests are
    assert private in (run / "adapters" / "grait" / "adapter_config.json").read_text(encoding="utf-8")
    save_dial(run / "adapters" / "grait", a_dial(str(tmp_path / "secret" / "calibration.jsonl")))
    folder = pushed(run)
    for path in folder.iterdir():
        assert private.encode() not in path.read_bytes(), path.name
    assert (
        json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"] == "model"
    )
    assert load_dial(folder).data.path == "calibration.jsonl"
    assert files_in(folder) == ADAPTER | {FILE_NAME}


def test_the_card_says_what_was_measured(run: Path) -> None:
    save_dial(run / "adapters" / "grait", a_dial("a.jsonl"))
    card = ModelCard.load(pushed(run) / "README.md")
    data = card.data.to_dict()
    assert data["library_name"] == "peft" and "base_model" not in data and "license" not in data
    rows = [MetricRecord(**row) for row in json.loads((run / "metrics.json").read_text(encoding="utf-8"))]
    for row in rows:
        if row.method in ("init-basic", "init-refuse", "grait"):
            cells = [str(row.n), *map(percent, (row.pc, row.pw, row.pr, row.over_refusal_rate, row.ths))]
            interval = f"{percent(row.ths_low)} to {percent(row.ths_high)}"
            assert f"| {' | '.join([*cells, interval])} |" in card.text
    assert "cor\\-rait" not in card.text and "r\\-tuning" not in card.text
    (own,) = [row for row in rows if row.method == "grait"]
    measured = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert measured["accuracy"] == round(own.pc, 4) and measured["ths"] == round(own.ths, 4)
    assert {result.dataset_name for result in card.data.eval_results} == {"own | <i>set*"}
    for line in (
        "from peft import PeftModel",
        f"PeftModel.from_pretrained(base, '{REPO}')",
        "threshold of 0.25 on the score `first-token`",
        "dial.generate(model, **inputs, max_new_tokens=6)",
        "Be brief.",
    ):
        assert line in card.text
    assert "Not stated" in card.text and "set `license:`" in card.text


def test_text_of_data_is_only_text_in_the_card(run: Path) -> None:
    """A test set is called ``own | <i>set*``."""
    text = ModelCard.load(pushed(run) / "README.md").text
    assert "own \\| \\<i\\>set\\*" in text and "<i>" not in text


def test_no_question_of_the_data_is_in_the_card(run: Path) -> None:
    text = (pushed(run) / "README.md").read_text(encoding="utf-8")
    assert "Who wrote" not in text and "What is the capital of France?" in text


def test_the_embedded_default_is_named_as_on_the_hub(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its adapters name a cache folder; and the weights that they were trained on are not quite the hub's."""
    base = json.loads((run / "config.json").read_text(encoding="utf-8"))["model"]["name"]
    monkeypatch.setattr("grait.model.default.resolve", lambda: base)
    tree = json.loads((run / "config.json").read_text(encoding="utf-8"))
    tree["model"]["name"] = "SmolLM2-135M-Instruct"
    (run / "config.json").write_text(json.dumps(tree), encoding="utf-8")
    folder = pushed(run)
    card = ModelCard.load(folder / "README.md")
    assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct" and card.data.license == "apache-2.0"
    assert "rounded to 4 bits" in card.text
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_a_second_push_replaces_the_folder(run: Path) -> None:
    folder = pushed(run)
    (folder / "old").write_text("", encoding="utf-8")
    before = hashlib.sha256((folder / "README.md").read_bytes()).digest()
    assert files_in(pushed(run)) == ADAPTER
    assert hashlib.sha256((folder / "README.md").read_bytes()).digest() == before


# -- what must not be pushed ---------------------------------------------------------------------------------------


def test_numbers_of_another_adapter_are_refused(run: Path) -> None:
    path = run / "metrics.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    changed = [row | {"pc": row["pc"] / 2 + 0.1} if row["method"] == "grait" else row for row in rows]
    path.write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"metrics.json: not what the adapter in .*adapters/grait answered"):
        pushed(run)
    path.write_text(json.dumps(rows), encoding="utf-8")
    manifest = run / "evaluation" / "own | <i>set*" / "grait" / MANIFEST
    tree = json.loads(manifest.read_text(encoding="utf-8"))
    tree["key"]["adapter"] = "0" * 64
    manifest.write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(ArtifactError, match="not what the adapter"):
        pushed(run)
    assert not (run / "push").exists()


def test_an_unfinished_run_is_refused(run: Path) -> None:
    (run / "summary.json").unlink()
    with pytest.raises(ArtifactError, match=r"not a finished run \(no readable summary.json\)"):
        pushed(run)
    (run / "metrics.json").unlink()
    with pytest.raises(ArtifactError, match=r"not a finished run \(no metrics.json\)"):
        pushed(run)
    with pytest.raises(ArtifactError, match="no adapter of the method 'init-basic'"):
        pushed(run, "init-basic")
    shutil.rmtree(run / "adapters")
    with pytest.raises(ArtifactError, match="none was trained yet: run grait run first"):
        pushed(run)
