"""``grait export``: what other tools read is what the run trained on, and the weights are kept, realised or missed
exactly as the folder says."""

import itertools
import json
import shutil
import subprocess
import sys
import types
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Call
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tiny import random_examples, tiny_model, tiny_tokenizer, with_lora
from tiny_folder import save_tiny, tiny_tree, write_half_known

import grait
from grait.commands.export import ABOUT, FORMATS, OURS, export, trained_adapter, trained_on
from grait.commands.finished import finished_evidence, open_run
from grait.errors import ArtifactError
from grait.formats.markdown import escaped, fenced
from grait.formats.resampling import largest_remainder, shuffled, total_variation
from grait.model.completions import TokenizedExample, collate, completion_losses
from grait.model.template import ANSWER
from grait.pipeline.lessons import weighted_examples
from grait.pipeline.models import Models
from grait.pipeline.order import selections
from grait.pipeline.stages import Stages
from grait.pipeline.training import training
from grait.training.examples import WeightedExample

# -- rows in proportion to weights ---------------------------------------------------------------------------------

weights_of = st.lists(st.floats(0, 100), min_size=1, max_size=12).filter(any)


@given(weights_of, st.integers(1, 60))
def test_every_example_is_less_than_a_row_from_its_quota(weights: list[float], n_rows: int) -> None:
    rows = largest_remainder(weights, n_rows)
    total = sum(map(Fraction, weights))
    assert sum(rows) == n_rows
    for weight, n in zip(weights, rows, strict=True):
        assert abs(n - n_rows * Fraction(weight) / total) < 1
        assert weight > 0 or n == 0
    assert total_variation(weights, rows) < len(weights) / (2 * n_rows)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=4).filter(any), st.integers(1, 6))
def test_no_other_rows_are_closer(weights: list[float], n_rows: int) -> None:
    own = total_variation(weights, largest_remainder(weights, n_rows))
    for others in itertools.product(range(n_rows + 1), repeat=len(weights)):
        if sum(others) == n_rows:
            assert own <= total_variation(weights, others)


@given(st.floats(1e-3, 100), st.integers(1, 30), st.integers(1, 4))
def test_equal_weights_lose_nothing(weight: float, n: int, times: int) -> None:
    rows = largest_remainder([weight] * n, times * n)
    assert rows == [times] * n and total_variation([weight] * n, rows) == 0


@given(weights_of)
def test_the_distance_of_a_distribution(weights: list[float]) -> None:
    assert total_variation(weights, [4 * weight for weight in weights]) == 0
    others = [1.0, *weights[1:]]
    assert 0 <= total_variation(weights, others) == total_variation(others, weights) <= 1
    assert total_variation([*weights, 0], [0] * len(weights) + [1]) == 1


def test_the_distance_by_hand() -> None:
    assert total_variation([1, 1, 2], [1, 1, 1]) == pytest.approx(1 / 6)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(0, 9))
def test_the_order_of_rows_only_depends_on_the_seed(rows: list[int], seed: int) -> None:
    order = shuffled(rows, seed)
    assert order == shuffled(rows, seed)
    assert [order.count(i) for i in range(len(rows))] == rows


# -- what the tools read -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a model without a chat template."""
    folder = tmp_path_factory.mktemp("plain")
    model = save_tiny(folder / "model", chat=False)
    tree = tiny_tree(model, write_half_known(model, folder), folder / "run")
    grait.run(tree | {"training": tree["training"] | {"methods": ["grait"]}})
    return folder / "run"


Key = tuple[str, bool]
"""Which example: the question's id, and whether it teaches the refusal. An unknown question teaches its answer, too."""


def taught(run: Path, method: str = "grait") -> dict[Key, WeightedExample]:
    """What the run trained on, in order."""
    data = open_run(run)
    selected = trained_on(data, method, trained_adapter(data, method))
    examples = weighted_examples(data, selected)
    return {(row.id, row.target == "refusal"): one for row, one in zip(selected, examples, strict=True)}


def key_of(row: dict[str, Any]) -> Key:
    """Of a row that has an id, in any format: by what is trained on, which comes last."""
    last = row.get("completion") or next(row[name] for name in ("messages", "segments") if name in row)[-1]
    return row["id"], "I don't know." in str(last)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]


def about(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / ABOUT).read_text(encoding="utf-8")))


def keys_of(run: Path, folder: Path, method: str = "grait") -> list[Key]:
    """Which example each row is; OpenAI's rows have no id, and are told by their last messages."""
    if about(folder)["format"] != "openai":
        return [key_of(row) for row in rows_of(folder)]
    data = open_run(run)
    by_question = {data.prompts.request(data.questions[id_], "refuse"): id_ for id_, _ in taught(run, method)}
    return [key_of(row | {"id": by_question[row["messages"][-2]["content"]]}) for row in rows_of(folder)]


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_the_reported_distance_is_that_of_the_file(
    finished: Path, plain: Path, tmp_path: Path, name: str, resample: bool, chat: bool
) -> None:
    run = finished if chat else plain
    found = export(run, name, out=tmp_path / "out", resample=resample, n_rows=37 if resample else None)
    examples, found_keys = taught(run), Counter(keys_of(run, found.folder))
    weights = [row.sample_weight for row in examples.values()]
    rows = [found_keys[key] for key in examples]
    assert len(set(weights)) > 2  # else nothing is shown
    said = about(found.folder)
    assert said["total_variation_unweighted"] == total_variation(weights, rows) > 0
    assert said["n_rows"] == sum(rows) == (37 if resample else len(examples))
    assert said["n_left_out"] == rows.count(0)
    assert [row["rows"] for row in said["examples"]] == rows
    assert [row["sample_weight"] for row in said["examples"]] == weights
    carries = name == "trl" and not resample
    assert said["total_variation"] == (0 if carries else said["total_variation_unweighted"])
    assert f"{said['total_variation_unweighted']:.4f}" in found.notes[0]
    if resample:
        assert rows == largest_remainder(weights, 37)
    for row in rows_of(found.folder):
        assert ("sample_weight" in row) == carries
        assert not carries or row["sample_weight"] == examples[key_of(row)].sample_weight


@pytest.mark.parametrize("name", FORMATS)
def test_equal_weights_lose_nothing_in_any_format(finished: Path, tmp_path: Path, name: str) -> None:
    found = export(finished, name, method="cor-rait", out=tmp_path / "out")
    assert about(found.folder)["total_variation"] == about(found.folder)["total_variation_unweighted"] == 0
    assert found.notes == ["All weights are equal, so that nothing is lost where they are not used"]
    assert sorted(keys_of(finished, found.folder, "cor-rait")) == sorted(taught(finished, "cor-rait"))


def is_what_was_trained_on(tokens: Sequence[int], labels: Sequence[int], example: TokenizedExample) -> None:
    """``labels``: -100 where there is no loss; a template may write more after the end token."""
    n_prompt, n = len(example.prompt_ids), len(example.prompt_ids) + len(example.completion_ids)
    assert tuple(tokens[:n]) == (*example.prompt_ids, *example.completion_ids)
    assert set(labels[:n_prompt]) <= {-100} and tuple(labels[n_prompt:n]) == example.completion_ids


def test_trl_reads_what_was_trained_on(finished: Path, plain: Path, tmp_path: Path) -> None:
    """As SFTTrainer tokenises prompt and completion: the whole, less what the prompt alone gives."""
    for run, chat in ((finished, True), (plain, False)):
        found = export(run, "trl", out=tmp_path / str(chat))
        tokenizer, examples = open_run(run).prompts.tokenizer, taught(run)
        assert found.notes[0].startswith("TRL ignores the weights")
        for row in rows_of(found.folder):
            if chat:
                prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
                whole = tokenizer.apply_chat_template(row["prompt"] + row["completion"])["input_ids"]
            else:
                prompt = tokenizer(row["prompt"])["input_ids"]
                whole = tokenizer(row["prompt"] + row["completion"] + tokenizer.eos_token)["input_ids"]
            assert whole[: len(prompt)] == prompt
            is_what_was_trained_on(whole, [-100] * len(prompt) + whole[len(prompt) :], examples[key_of(row)].example)


def test_llama_factory_reads_what_was_trained_on(finished: Path, plain: Path, tmp_path: Path) -> None:
    """Roles as its converter wants them; in plain text, where its template ``empty`` adds nothing, the very tokens."""
    for run, chat in ((finished, True), (plain, False)):
        found = export(run, "llama-factory", out=tmp_path / str(chat))
        (entry,) = json.loads((found.folder / "dataset_info.json").read_text(encoding="utf-8")).values()
        config = yaml.safe_load((found.folder / "train.yaml").read_text(encoding="utf-8"))
        assert (found.folder / entry["file_name"]).is_file() and config["dataset"] == "grait"
        assert ("template" in config) == (not chat)
        tokenizer, examples, tags = open_run(run).prompts.tokenizer, taught(run), entry["tags"]
        for row in rows_of(found.folder):
            turns = row[entry["columns"]["messages"]]
            if turns[0][tags["role_tag"]] == tags["system_tag"]:
                turns = turns[1:]
            user, assistant = turns
            assert (user[tags["role_tag"]], assistant[tags["role_tag"]]) == (tags["user_tag"], tags["assistant_tag"])
            if not chat:
                source, target = (
                    tokenizer(turn[tags["content_tag"]], add_special_tokens=False)["input_ids"] for turn in turns
                )
                example = examples[key_of(row)].example
                is_what_was_trained_on(source + target, [-100] * len(source) + target, example)


def test_axolotl_reads_what_was_trained_on(finished: Path, plain: Path, tmp_path: Path) -> None:
    found = export(finished, "axolotl", out=tmp_path / "chat")
    config = yaml.safe_load((found.folder / "datasets.yaml").read_text(encoding="utf-8"))
    (entry,) = config["datasets"]
    assert entry["type"] == "chat_template" and config["chat_template"] == "tokenizer_default"
    assert config["eot_tokens"] == ["<|end|>"]  # not the end of text, so it would not be trained on otherwise
    tokenizer, examples = open_run(finished).prompts.tokenizer, taught(finished)
    for row in rows_of(found.folder):
        whole = tokenizer.apply_chat_template(row[entry["field_messages"]])["input_ids"]
        example = examples[key_of(row)].example
        is_what_was_trained_on(whole, [-100] * len(example.prompt_ids) + whole[len(example.prompt_ids) :], example)

    found = export(plain, "axolotl", out=tmp_path / "plain")
    config = yaml.safe_load((found.folder / "datasets.yaml").read_text(encoding="utf-8"))
    assert config["datasets"][0]["type"] == "input_output"
    examples = taught(plain)
    for row in rows_of(found.folder):
        tokens, labels = [], []
        for segment in row["segments"]:
            own = tokenizer(segment["text"], add_special_tokens=False)["input_ids"]
            tokens += own
            labels += own if segment["label"] else [-100] * len(own)
        is_what_was_trained_on(tokens, labels, examples[key_of(row)].example)


def test_openai_gets_messages_and_nothing_else(finished: Path, plain: Path, tmp_path: Path) -> None:
    for run, chat in ((finished, True), (plain, False)):
        found = export(run, "openai", out=tmp_path / str(chat))
        for row in rows_of(found.folder):
            assert set(row) == {"messages"}
            roles = [message["role"] for message in row["messages"]]
            assert roles == [*(["system"] if chat else []), "user", "assistant"]
            assert all(set(message) == {"role", "content"} for message in row["messages"])
            assert "Question: " in row["messages"][-2]["content"]


@pytest.mark.parametrize("style", ["chat", "plain"])
def test_solved_examples_are_shown_and_not_trained_on(tmp_path: Path, style: str) -> None:
    """A run whose prompts all show them: as turns, or all as plain text, although there is a chat template."""
    model = save_tiny(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 960}))
    tree = tiny_tree(model, write_half_known(model, tmp_path), tmp_path / "run")
    tree["training"]["methods"] = ["grait"]
    tree["prompt"] |= {"shots_in": "all"}
    grait.run(tree)
    if style == "chat":  # the knowledge query keeps its style: the model knows nothing else
        (tmp_path / "run" / "config.json").write_text(
            json.dumps(
                open_run(tmp_path / "run").config.model_dump() | {"prompt": tree["prompt"] | {"shots_style": style}}
            )
        )
        retrain(tmp_path / "run")
    run, tokenizer = tmp_path / "run", open_run(tmp_path / "run").prompts.tokenizer
    examples = taught(run)
    folders = {name: export(run, name).folder for name in FORMATS}
    for row in rows_of(folders["trl"]):
        if style == "chat":
            assert [turn["role"] for turn in row["prompt"]] == ["user", "assistant", "user", "assistant", "user"]
            whole = tokenizer.apply_chat_template(row["prompt"] + row["completion"])["input_ids"]
        else:
            whole = tokenizer(row["prompt"] + row["completion"] + tokenizer.eos_token)["input_ids"]
        n_prompt = len(examples[key_of(row)].example.prompt_ids)
        is_what_was_trained_on(whole, [-100] * n_prompt + whole[n_prompt:], examples[key_of(row)].example)
    for row in rows_of(folders["openai"]):
        assert [turn.get("weight") for turn in row["messages"]] == [None, 0, None, 0, None, None]
    said = yaml.safe_load((folders["axolotl"] / "datasets.yaml").read_text(encoding="utf-8"))["datasets"][0]
    settings = yaml.safe_load((folders["llama-factory"] / "train.yaml").read_text(encoding="utf-8"))
    assert settings.get("mask_history", False) == (style == "chat")
    assert (settings.get("template") == "empty") == (style == "plain")
    for row in rows_of(folders["axolotl"]):
        if style == "chat":
            assert [turn[said["message_field_training"]] for turn in row["messages"]] == [*[False] * 5, True]
        else:
            tokens = [tokenizer(part["text"], add_special_tokens=False)["input_ids"] for part in row["segments"]]
            labels = [-100] * len(tokens[0]) + tokens[1]
            is_what_was_trained_on(tokens[0] + tokens[1], labels, examples[key_of(row)].example)


def retrain(run: Path) -> None:
    """Train the method's adapter of a run again, by the config in its folder, on the selection as it is."""
    data = open_run(run)
    selected = selections(data.config, finished_evidence(data))["grait"]
    training(data, Models(data), Stages(run), "grait", selected)


def test_refusals_and_answers_are_those_of_the_method(finished: Path, tmp_path: Path) -> None:
    data = open_run(finished)
    for method in ("grait", "r-tuning"):
        found = export(finished, "openai", method=method, out=tmp_path / method)
        keys = keys_of(finished, found.folder, method)
        labels = {row["id"]: row["label"] for row in about(found.folder)["examples"]}
        targets = [(row["id"], row["target"] == "refusal") for row in about(found.folder)["examples"]]
        assert sorted(targets) == sorted(keys)
        assert sorted(keys) == sorted(taught(finished, method))
        for (id_, is_refusal), row in zip(keys, rows_of(found.folder), strict=True):
            reference, answer = data.questions[id_].answers[0], row["messages"][-1]["content"]
            if method == "grait":
                assert answer == ("I don't know." if is_refusal else reference)
                assert labels[id_] == "idk" or not is_refusal
            else:
                assert answer.startswith(reference) and answer.endswith("sure.")
                assert ("unsure" in answer) == (labels[id_] == "idk")


def test_the_readme_says_what_the_file_is(finished: Path, tmp_path: Path) -> None:
    for name in FORMATS:
        found = export(finished, name, out=tmp_path / name, resample=True, n_rows=20)
        text = (found.folder / "README.md").read_text(encoding="utf-8")
        assert found.notes[0] in text and "Total variation distance" in text
        assert "Be brief." in text  # the first example, as it was trained on
        assert {path.name for path in found.folder.iterdir()} <= OURS


def test_a_weight_of_zero_has_no_unweighted_row() -> None:
    from grait.formats.examples import Example
    from grait.formats.weights import in_words, share_of

    examples = [Example(str(w), "idk", "answer", (), "a", "p", "a", "", "", w) for w in (0.0, 1.0, 3.0)]
    share = share_of(examples, "left out")
    assert share.rows == (0, 1, 1) and share.total_variation == 0.25
    assert "0.2500" in in_words("axolotl", share) and "--resample" in in_words("axolotl", share)
    assert share_of(examples, "carried").rows == (1, 1, 1)
    assert share_of(examples, "resampled").rows == (0, 1, 2)


def test_text_of_data_does_nothing_in_markdown() -> None:
    assert escaped("a|b <script>\n# [x](y) *z* `c`\x1b[2J") == (
        "a\\|b \\<script\\> \\# \\[x\\]\\(y\\) \\*z\\* \\`c\\` \\[2J"
    )
    assert fenced("a\n```\nb").startswith("````\n") and fenced("a\n```\nb").endswith("\n````")


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp", "Zs", "Co", "Cn")) | st.just(" "))
)
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    """By a parser of Markdown, as a paragraph and in a cell of a table: one run of text, nothing else."""
    parser = MarkdownIt("commonmark").enable("table")
    shown = " ".join(text.split())
    paragraph = [token for token in parser.parse(escaped(text)) if token.type != "text"]
    cells = parser.parse(f"| a |\n| --- |\n| {escaped(text)} |")
    assert not shown or [token.type for token in paragraph] == ["paragraph_open", "inline", "paragraph_close"]
    for inline in (*paragraph[1:2], [token for token in cells if token.type == "inline"][1]):
        assert {part.type for part in inline.children or []} <= {"text", "text_special"}
        assert "".join(part.content for part in inline.children or []) == shown


# -- the script for TRL --------------------------------------------------------------------------------------------


@pytest.fixture
def script(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """``train_trl.py`` with stand-ins for TRL's trainer and collator (TRL is not installed for tests)."""

    class SFTTrainer:
        def __init__(self) -> None:
            self.model_accepts_loss_kwargs = True

    class Collator:
        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            width = max(len(example["input_ids"]) for example in examples)

            def padded(key: str, value: int) -> torch.Tensor:
                return torch.tensor([row[key] + [value] * (width - len(row[key])) for row in examples])

            rows = [row | {"attention_mask": [1] * len(row["input_ids"])} for row in examples]
            examples[:] = rows
            return {
                "input_ids": padded("input_ids", 0),
                "labels": padded("labels", -100),
                "attention_mask": padded("attention_mask", 0),
            }

    for name, content in (
        ("trl", {"SFTConfig": object, "SFTTrainer": SFTTrainer}),
        ("trl.trainer", {}),
        ("trl.trainer.sft_trainer", {"DataCollatorForLanguageModeling": Collator}),
    ):
        module = types.ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    folder = export(finished, "trl", out=tmp_path / "out").folder
    names: dict[str, Any] = {"__name__": "train_trl", "__file__": str(folder / "train_trl.py")}
    exec(compile((folder / "train_trl.py").read_text(encoding="utf-8"), "train_trl.py", "exec"), names)
    return names


def test_its_loss_is_ours(script: dict[str, Any]) -> None:
    """Padded on the other side, over the whole sequence: the same weighted loss, and the same gradient."""
    model = with_lora(tiny_model())
    examples = random_examples(6)
    weights = [0.0, 0.25, 1.0, 1.0, 2.5, 7.0]
    rows = [
        {
            "input_ids": [*example.prompt_ids, *example.completion_ids],
            "labels": [-100] * len(example.prompt_ids) + list(example.completion_ids),
            "sample_weight": weight,
        }
        for example, weight in zip(examples, weights, strict=True)
    ]
    trainer = script["WeightedSFTTrainer"]()
    loss = trainer.compute_loss(model, script["WeightedCollator"]().torch_call(rows))
    ours = (torch.tensor(weights) * completion_losses(model, collate(examples, 0))).mean()
    assert float(loss.detach()) == pytest.approx(float(ours.detach()), rel=1e-5)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for one, other in zip(torch.autograd.grad(loss, parameters), torch.autograd.grad(ours, parameters), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert trainer.model_accepts_loss_kwargs is False  # else the Trainer would not average micro-batches


def test_its_settings_are_those_of_the_run(finished: Path, tmp_path: Path) -> None:
    """What the script reads is there, and is what the run's config says."""
    folder = export(finished, "trl", out=tmp_path / "out").folder
    config, said = open_run(finished).config, about(folder)["trained_with"]
    assert said["training"] == config.training.model_dump(exclude={"methods", "max_steps"})
    assert {**said["lora"], "target_modules": "all-linear"} == config.lora.model_dump()
    adapted = json.loads((finished / "adapters" / "grait" / "adapter_config.json").read_text(encoding="utf-8"))
    assert said["lora"]["target_modules"] == sorted(adapted["target_modules"]), "tools differ in what all-linear means"
    assert (said["model"], said["dtype"], said["seed"]) == (config.model.name, "float32", config.seed)


@pytest.mark.parametrize("forms", [[], ["examples", "question"]])
def test_trl_itself_has_the_losses_of_the_run(tmp_path: Path, tiny: tuple[str, Any], forms: list[str]) -> None:
    """Where all examples are one batch, so that their order does not matter; in chat, and in chat and plain text."""
    pytest.importorskip("trl", reason="TRL is not installed: pip install trl")
    model, files = tiny
    tree = tiny_tree(model, files, tmp_path / "run")
    tree["prompt"] |= {"forms": forms, "own_words": False}
    training = {"methods": ["grait"], "epochs": 4, "learning_rate": 0.01, "batch_size": 64, "micro_batch_size": 64}
    grait.run(tree | {"training": training})
    folder = export(tmp_path / "run", "trl").folder
    done = subprocess.run([sys.executable, str(folder / "train_trl.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    log = json.loads((folder / "adapter" / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    ours = json.loads((tmp_path / "run" / "adapters" / "grait" / "losses.json").read_text(encoding="utf-8"))
    assert about(folder)["n_examples"] <= 64
    assert [step["loss"] for step in log if "loss" in step] == pytest.approx(ours, abs=1e-3)


# -- refusals ------------------------------------------------------------------------------------------------------

BAD_CALLS: dict[str, tuple[list[str], str]] = {
    "unknown format": (
        ["--format", "gguf"],
        "format: expected one of trl, llama-factory, axolotl, openai, found str 'gguf'",
    ),
    "rows without resampling": (["--format", "trl", "--rows", "5"], "rows: goes with resample"),
    "no rows": (["--format", "trl", "--resample", "--rows", "0"], "rows: expected a whole number from 1, found int 0"),
    "untrained system": (["--format", "trl", "--method", "init-basic"], "no adapter of the method 'init-basic'"),
    "method that was not trained": (["--format", "trl", "--method", "craft"], "trained were cor-rait, grait, r-tuning"),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_a_bad_call_is_one_line(finished: Path, command: Call, fault: str) -> None:
    arguments, expected = BAD_CALLS[fault]
    code, out, err = command("export", finished, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ") and expected in err
    assert not (finished / "export").exists()


def copied(run: Path, folder: Path) -> Path:
    shutil.copytree(run, folder / "run")
    return folder / "run"


def test_an_unfinished_run_has_nothing_to_export(finished: Path, tmp_path: Path) -> None:
    run = copied(finished, tmp_path)
    shutil.rmtree(run / "adapters" / "grait")
    with pytest.raises(ArtifactError, match="trained were cor-rait, r-tuning"):
        export(run, "trl")
    shutil.rmtree(run / "adapters")
    with pytest.raises(ArtifactError, match="none was trained yet: run grait run first"):
        export(run, "trl")
    shutil.rmtree(run)
    with pytest.raises(ArtifactError, match="no run folder"):
        export(run, "trl")


def test_other_examples_than_the_adapter_was_trained_on_are_refused(finished: Path, tmp_path: Path) -> None:
    run = copied(finished, tmp_path)
    tree = json.loads((run / "config.json").read_text(encoding="utf-8"))
    for change in ({"prompt": tree["prompt"] | {"system": "Be long."}}, {"selection": {"tau": 5.0}}):
        (run / "config.json").write_text(json.dumps(tree | change), encoding="utf-8")
        with pytest.raises(
            ArtifactError, match=r"adapters/grait: trained on other examples than .* run grait run again"
        ):
            export(run, "trl")


def test_a_method_that_shares_an_adapter_is_exported_like_any_other(tmp_path: Path, tiny: tuple[str, Any]) -> None:
    model, files = tiny
    tree = tiny_tree(model, files, tmp_path / "run")
    tree["training"]["methods"] = ["corcer-rait", "craft-no-flow"]
    grait.run(tree)
    assert not (tmp_path / "run" / "adapters" / "craft-no-flow").exists()
    one, other = (
        export(tmp_path / "run", "openai", method=method, out=tmp_path / method)
        for method in ("corcer-rait", "craft-no-flow")
    )
    assert rows_of(one.folder) == rows_of(other.folder)


def test_a_second_export_replaces_the_first_and_nothing_else(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(finished, "trl", out=folder)
    (folder / "adapter").mkdir()
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    assert (folder / "train_trl.py").exists()
    export(finished, "openai", out=folder, resample=True)
    assert {path.name for path in folder.iterdir()} == {"adapter", "notes.txt", "train.jsonl", "README.md", ABOUT}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "dataset_info.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ArtifactError, match="not empty, and no earlier export"):
        export(finished, "llama-factory", out=tmp_path / "other")
    assert (tmp_path / "other" / "dataset_info.json").read_text(encoding="utf-8") == "{}"


def test_the_command_says_what_became_of_the_weights(finished: Path, tmp_path: Path, command: Call) -> None:
    run = copied(finished, tmp_path)
    code, out, _ = command("export", run, "--format", "axolotl")
    assert code == 0 and "axolotl takes no weights: rows are unweighted" in out and "--resample" in out
    assert (run / "export" / "grait" / "axolotl" / ABOUT).is_file()
    code, out, _ = command("export", run, "--format", "axolotl", "--resample", "--rows", "400")
    said = about(run / "export" / "grait" / "axolotl")
    assert (
        code == 0
        and f"400 rows in proportion to the weights: total variation distance {said['total_variation']:.4f}" in out
    )


def test_a_template_that_changes_the_answer_is_said(finished: Path, tmp_path: Path) -> None:
    """As some templates of reasoning models do with the last answer."""
    run = copied(finished, tmp_path)
    shutil.copytree(json.loads((run / "config.json").read_text(encoding="utf-8"))["model"]["name"], tmp_path / "model")
    tokenizer = tiny_tokenizer(chat=True)
    tokenizer.chat_template = str(tokenizer.chat_template).replace(
        "{{ message['content'] }}",
        f"{{% if message['role'] == 'assistant' and message['content'] != '{ANSWER}' %}}<think></think>{{% endif %}}"
        "{{ message['content'] }}",
    )
    tokenizer.save_pretrained(tmp_path / "model")
    tree = json.loads((run / "config.json").read_text(encoding="utf-8"))
    tree["model"]["name"] = str(tmp_path / "model")
    (run / "config.json").write_text(json.dumps(tree), encoding="utf-8")
    found = export(run, "trl")
    n = len(taught(run))
    assert found.notes[1].startswith(f"{n} of {n} conversations look otherwise in the model's chat template")
    assert about(found.folder)["n_rendered_otherwise"] == n
