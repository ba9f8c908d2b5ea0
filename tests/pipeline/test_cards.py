"""Model cards: beside every adapter, in a merged model, and on the hub; what they say is so, and their code runs."""

import contextlib
import io
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from huggingface_hub import ModelCard
from tiny_dial import a_dial, load_dial, save_dial
from tiny_folder import MAX_NEW_TOKENS, Files, tiny_tree

import grait
from grait.commands.export import trained_on
from grait.commands.finished import finished_adapter, live, open_run
from grait.commands.merge import merge
from grait.commands.push import push
from grait.commands.report import report
from grait.dial.stored import FILE_NAME
from grait.errors import ArtifactError
from grait.evaluation import conversations
from grait.evaluation.side_effects import summarize_side_effects
from grait.formats.card import EXAMPLE
from grait.pipeline.cards import CARD, OTHER_CARD, measured, write_cards
from grait.pipeline.evaluation import write_records
from grait.pipeline.models import Models
from grait.pipeline.results import CONVERSATIONS, DRIFT, SIDE_EFFECTS
from grait.records import ConversationKind, DriftRecord, Outcome, Question, SideEffectAnswer, SideEffectOutcome
from grait.runtime.artifacts import MANIFEST

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def without_dial(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "plain")
    return tmp_path / "plain"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy whose dial is for the refusal text as this tokenizer has it."""
    shutil.copytree(finished, tmp_path / "run")
    prompts = open_run(tmp_path / "run").prompts
    question = Question("", EXAMPLE, ("",))
    refusal = prompts.completion(prompts.prompt(question, "refuse"), prompts.config.refusal).token_ids
    ends = tuple(sorted(prompts.end_token_ids(is_chat=True)))
    dial = a_dial(str(tmp_path / "secret" / "a.jsonl")).model_copy(
        update={"refusal_token_ids": refusal, "end_token_ids": ends, "threshold": 0.0}
    )
    save_dial(tmp_path / "run" / "adapters" / "grait", dial)
    return tmp_path / "run"


def base_of(run: Path) -> str:
    return str(json.loads((run / "config.json").read_text(encoding="utf-8"))["model"]["name"])


def blocks(card: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", card.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def printed(code: list[str], names: dict[str, str]) -> list[str]:
    """What each block prints, one after another in the same place, with other names of models."""
    found, variables = [], dict[str, Any]()
    for block in code:
        for shown, own in names.items():
            block = block.replace(repr(shown), repr(own))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block, "card", "exec"), variables)
        found.append(out.getvalue().removesuffix("\n"))
    return found


def in_conversation(run: Path, message: str) -> str:
    with live(run) as model:
        inputs = model.tokenizer.apply_chat_template(
            [{"role": "user", "content": message}], add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        (found,) = model.model.generate(
            **inputs, max_new_tokens=256, do_sample=False, eos_token_id=model.chat_ends, pad_token_id=0
        )
        return str(model.tokenizer.decode(found[inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def in_trained_form(run: Path) -> str:
    """As the pipeline asks."""
    data = open_run(run)
    prompt = data.prompts.prompt(Question("", EXAMPLE, ("",)), "refuse")
    with Models(data).engine(finished_adapter(data, "grait")) as engine:
        ((answer,),) = engine.generate(
            [prompt.token_ids],
            [""],
            n=1,
            temperature=0,
            max_new_tokens=MAX_NEW_TOKENS,
            end_token_ids=data.prompts.end_token_ids(prompt.is_chat),
        )
    return data.prompts.decode(answer)


@pytest.mark.parametrize("where", ["beside", "merged", "pushed"])
def test_the_code_of_a_card_runs_and_gives_the_run_s_answers(run: Path, tmp_path: Path, where: str) -> None:
    """A conversation, a question in the trained form, and the dial, which at threshold 0 refuses all."""
    report_of = run / "adapters" / "grait"
    if where == "beside":
        grait.run(json.loads((run / "config.json").read_text(encoding="utf-8")) | {"out": str(run)})
        folder = report_of
    else:
        folder = merge(run, tmp_path / "out").folder if where == "merged" else push(run, "me/it", is_dry=True).folder
    code = blocks(folder / CARD)
    assert len(code) == 4
    names = {"model": base_of(run), "FOLDER": str(folder), "me/it": str(folder)}
    _, conversation, question, refused = printed(code, names)
    assert conversation == in_conversation(run, "Hello! What can you do?")
    assert question == in_trained_form(run)
    assert refused == "I don't know."


def test_no_card_has_a_path_of_this_machine(run: Path, finished: Path, tmp_path: Path) -> None:
    merged = merge(run, tmp_path / "out").folder
    assert load_dial(merged).data.path == "a.jsonl" and (merged / FILE_NAME).is_file()
    cards = [*(finished / "adapters").glob(f"*/{CARD}"), merged / CARD, push(run, "me/it", is_dry=True).folder / CARD]
    assert len(cards) == 5
    for path in cards:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.:/])/\w+/\w", text), path
        assert str(tmp_path.parent.parent) not in text


def test_every_adapter_has_a_card_that_is_none_of_the_stage_s_files(finished: Path) -> None:
    for method in ("cor-rait", "grait", "r-tuning"):
        folder = finished / "adapters" / method
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        assert CARD not in manifest["files"]
        card = ModelCard.load(folder / CARD)
        assert card.data.library_name == "peft" and card.data.tags[0] == "grait"
        assert f"method {method.replace('-', chr(92) + '-')}" in card.text
        assert "instruction" in card.text and "Be brief." in card.text and "I don't know." in card.text
        assert "95% interval of THS" in card.text and "Everything else" in card.text
    assert not (finished / "warmup" / CARD).exists()


def test_side_effects_are_told_with_drift_and_conversations(without_dial: Path) -> None:
    """Of the method and of the initial model; a file that cannot be read counts as none, and so does that of before."""
    card, data = without_dial / "adapters" / "grait" / CARD, open_run(without_dial)
    adapter = finished_adapter(data, "grait")
    selected = trained_on(data, "grait", adapter)

    def written() -> str:
        write_cards(data, {"grait": adapter}, {"grait": selected})
        return card.read_text(encoding="utf-8")

    def replies(n_refused: int) -> list[SideEffectAnswer]:
        outcomes: list[SideEffectOutcome] = ["refused"] * n_refused + ["answered"] * (16 - n_refused)
        return [SideEffectAnswer(str(i), "question", "chit-chat", "", "", one) for i, one in enumerate(outcomes)]

    asked = {"init-refuse": 1, "grait": 8, "cor-rait": 12}
    rows = [record for name, n in asked.items() for record in summarize_side_effects(name, replies(n))]
    initial: dict[str, Outcome] = {"a": "correct", "b": "wrong"}
    systems: dict[str, dict[str, Outcome]] = {"init-refuse": initial, "grait": {"a": "correct", "b": "refused"}}
    kinds: tuple[ConversationKind, ...] = ("nothing", "greeting")
    said = conversations.in_conversation("own", dict.fromkeys(kinds, systems), "init-refuse", 100)
    drift = [DriftRecord("grait", 6400, 0.1234, 11.5, 11.2), DriftRecord("cor-rait", 6400, 0.777, 12, 11.2)]
    found: dict[str, Sequence[Any]] = {SIDE_EFFECTS: rows, CONVERSATIONS: said, DRIFT: drift}
    write_records(without_dial, found)
    text = written()
    assert "| chit-chat, refused | 6.2 [1.1, 28.3] | 50.0 [28.0, 72.0] |" in text and "75.0" not in text
    assert "| greeting | 50.0 | 0.0 | 50.0 | 50.0 | 100.0 |" in text and "Percent of 2 questions of own." in text
    assert "0.123 nats" in text and "11.50" in text and "0.777" not in text
    assert "was not measured" not in text and "instructions, refused" not in text
    for tree in ("nothing", None, [{"method": "grait", "form": "question", "refused": 0.5}]):
        (without_dial / SIDE_EFFECTS).write_text("{" if tree is None else json.dumps(tree), encoding="utf-8")
        (without_dial / "probes.json").write_text(json.dumps([{"method": "grait", "refused": 0.5}]), encoding="utf-8")
        assert "was not measured" in written()


def test_a_report_gives_a_card_to_an_adapter_without_one_and_keeps_the_others(without_dial: Path) -> None:
    missing, kept = (without_dial / "adapters" / name / CARD for name in ("grait", "cor-rait"))
    missing.unlink()
    kept.write_text("mine", encoding="utf-8")
    report(without_dial)
    assert "A conversation" in missing.read_text(encoding="utf-8") and kept.read_text(encoding="utf-8") == "mine"


def test_metrics_of_before_some_were_kept_are_read(run: Path) -> None:
    data, path = open_run(run), run / "metrics.json"
    adapter, rows = finished_adapter(data, "grait"), json.loads(path.read_text(encoding="utf-8"))
    found = measured(data, "grait", adapter)
    assert found[-1].truthrl_score == found[-1].penalised_50
    place = list(rows[0]).index("right_of_answered")
    older = [{name: row[name] for name in list(row)[:place]} for row in rows]
    path.write_text(json.dumps(older), encoding="utf-8")
    assert [(row.method, row.ths, row.truthrl_score) for row in measured(data, "grait", adapter)] == [
        (row.method, row.ths, None) for row in found
    ]
    path.write_text(json.dumps([{"method": "grait"}]), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"metrics.json: not readable"):
        measured(data, "grait", adapter)


def test_where_the_stage_has_a_readme_of_its_own_it_stays(without_dial: Path) -> None:
    folder = without_dial / "adapters" / "grait"
    (folder / CARD).write_text("PEFT's", encoding="utf-8")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][CARD] = 6
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    report(without_dial)
    assert (folder / CARD).read_text(encoding="utf-8") == "PEFT's"
    assert "A conversation" in (folder / OTHER_CARD).read_text(encoding="utf-8")


def test_a_model_whose_run_is_not_finished_is_merged_with_a_card_that_says_so(
    run: Path, tmp_path: Path, command: Call
) -> None:
    (run / "metrics.json").unlink()
    (run / "summary.json").unlink()
    code, _, _ = command("merge", run, "--out", tmp_path / "out")
    assert code == 0 and "Nothing was measured yet." in (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    shutil.rmtree(run / "knowledge")
    code, _, err = command("merge", run, "--out", tmp_path / "other")
    assert code == 0 and "no model card: " in err and (tmp_path / "other" / "model.safetensors").is_file()


def test_every_form_is_told_word_for_word_with_its_results(tiny: tuple[str, Files], tmp_path: Path) -> None:
    model, files = tiny
    tree = tiny_tree(model, files, tmp_path / "run")
    own = {
        "name": "mine",
        "template": 'Dear model: {question} Or say "{refusal}".',
        "chat": True,
        "system": "Be brief.",
    }
    tree["prompt"]["forms"] = ["examples", "question", own]
    tree["training"]["methods"] = ["r-tuning"]
    grait.run(tree)
    folder = tmp_path / "run" / "adapters" / "r-tuning"
    text = (folder / CARD).read_text(encoding="utf-8")
    assert "trained in the form *examples*, *question*, *mine*, and measured in the form *examples*" in text
    assert 'system: Be brief.\nuser: Dear model: {question} Or say "I don\'t know.".' in text
    assert "In every form: own" in text and "| question | 8 |" in text and "each taught in every form" in text
    printed(blocks(folder / CARD), {"model": model, "FOLDER": str(folder)})
