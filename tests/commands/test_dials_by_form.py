"""Dials in a run with several forms: what is set in each, what each leaves alone, and what a user is told."""

import html
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fake_vllm
import numpy as np
import pytest
from conftest import Call
from peft import PeftModel
from test_docs import blocks
from tiny_folder import save_tiny, tiny_tree, write_half_known, write_jsonl

import grait
from grait.chat.conversation import Speaker
from grait.commands.finished import live, open_run
from grait.config import FormConfig, ModelConfig, PromptConfig, parse_config
from grait.data.replay import load_replay
from grait.dial import RefusalDial
from grait.dial.stored import FILE_NAME, SavedDials, load_dials
from grait.dial.threshold import dialled_outcomes, gate_of, passes, signal
from grait.display import page as page_module
from grait.display.page import run_report
from grait.display.tables import percent
from grait.errors import ConfigError, DialError
from grait.judging.matching import normalize
from grait.model.answers import ask_both_ways
from grait.model.inference import InferenceEngine
from grait.model.load import load_model, load_tokenizer
from grait.model.prompts import PromptFormat
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import System
from grait.pipeline.gates import N_PROMPTS, OrdinaryPrompt, gate, ordinary_prompts
from grait.pipeline.models import Models
from grait.pipeline.results import RunResult
from grait.pipeline.stages import Stages
from grait.records import Prediction, Question
from grait.runtime.artifacts import MANIFEST, read_rows

N_CALIBRATION, N_FIRST = 30, 20
"""Calibration questions, and those of them that are asked in other forms than the main one."""

FORMS = ("examples", "question", "plain")

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Ran:
    tree: dict[str, Any]
    result: RunResult
    unseen: str
    known_once: str

    @property
    def folder(self) -> Path:
        return self.result.folder

    @property
    def dials(self) -> SavedDials:
        return load_dials(self.folder / "adapters" / "grait")

    def rows(self, form: str, system: str = "grait", part: str = "calibration", title: str = "held-out") -> Any:
        folder = self.folder / part / ("" if form == "examples" else form) / title / system
        return read_rows(folder / "predictions.parquet", Prediction)

    def copied_to(self, folder: Path) -> Path:
        shutil.copytree(self.folder, folder / "run")
        return folder / "run"


def known_in_every_form(model: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every second question has the model's greedy answers in the chat and in plain text, too."""
    config = ModelConfig(name=model, dtype="float32", device="cpu")
    forms = [FormConfig(name="question"), FormConfig(name="plain")]
    prompts = PromptFormat(load_tokenizer(config), PromptConfig(n_shots=0, forms=forms))
    engine = InferenceEngine(load_model(config), int(prompts.tokenizer.pad_token_id))
    asked = [Question(row["id"], row["question"], ("",)) for row in rows]
    found = [dict(row) for row in rows]
    for form in prompts.forms:
        answers = ask_both_ways(engine, prompts, asked, form=form, max_new_tokens=16)
        for row, both in zip(found[1::2], answers[1::2], strict=True):
            row["answers"] = [*row["answers"], *([both.output] if both.output else [])]
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("dials")
    model = save_tiny(folder / "model", positions=640)
    files = write_half_known(model, folder, n_train=16, n_test=8 + N_CALIBRATION)
    rows = [json.loads(line) for line in Path(files.test).read_text(encoding="utf-8").splitlines()]
    test, known_once = write_jsonl(folder / "test.jsonl", rows[:8]), write_jsonl(folder / "once.jsonl", rows[8:])
    unseen = write_jsonl(folder / "unseen.jsonl", known_in_every_form(model, rows[8:]))
    tree = tiny_tree(model, files, folder / "run")
    tree["prompt"] |= {"forms": list(FORMS)}
    tree["knowledge"] |= {"own_max_new_tokens": 8, "own_samples": 2}
    tree["lora"] |= {"r": 8, "alpha": 16}
    tree["selection"] = {"n_ik": 4, "n_idk": 8}
    tree["replay"] = {"path": "builtin", "n": 60, "max_new_tokens": 4, "after_turns": 0.0, "forms_share": 0.3}
    tree["training"] |= {"methods": ["grait"], "epochs": 20, "learning_rate": 0.03}  # enough to learn to refuse
    tree["evaluation"] |= {
        "max_new_tokens": 16,
        "form_questions": N_FIRST,
        "datasets": [{"path": test, "name": "own"}],
        "calibration": {"path": unseen, "name": "held-out"},
    }
    return Ran(tree, grait.run(tree), unseen, known_once)


def test_every_form_has_a_dial_of_its_own(ran: Ran) -> None:
    prompts = open_run(ran.folder).prompts
    assert (ran.dials.main, tuple(ran.dials.forms)) == ("examples", FORMS)
    for form in prompts.forms:
        dial = ran.dials.of(form.name)
        prompt = prompts.prompt(Question("", "Why?", ("",)), "refuse", form)
        assert dial.refusal_token_ids == prompts.completion(prompt, "I don't know.").token_ids
        assert set(dial.end_token_ids) == set(prompts.end_token_ids(form.name == "question"))
        assert dial.n == (N_CALIBRATION if form.name == "examples" else N_FIRST)
        outcomes = dialled_outcomes(ran.rows(form.name), *dial.setting)
        assert dial.achieved.pr == sum(outcome == "refused" for outcome in outcomes.values()) / dial.n
        initial = ran.rows(form.name, "init-basic" if form.name == "examples" else "init-refuse")
        assert dial.n_known == sum(row.outcome == "correct" for row in initial)
    assert ran.dials.of("question").refusal_token_ids != ran.dials.of().refusal_token_ids
    assert [ran.dials.of(form).score for form in FORMS] == ["combined", "twice", "twice"]


def test_a_question_is_asked_again_as_in_the_form_examples(ran: Ran) -> None:
    """How probable the answer is there stands beside the answer; of the initial model, and there itself, nothing."""
    again = {row.id: row.suppressed_logprob for row in ran.rows("examples")}
    for form in ("question", "plain"):
        assert [row.terse_logprob for row in ran.rows(form)] == pytest.approx(
            [again[row.id] for row in ran.rows(form)], abs=1e-4
        )
    for form, system in (("examples", "grait"), ("question", "init-refuse"), ("examples", "init-basic")):
        assert {row.terse_logprob for row in ran.rows(form, system)} == {None}
    data = open_run(ran.folder)
    prompt = data.prompts.prompt(Question("", "Who?", ("",)), "refuse", data.prompts.forms[0])
    for form in ("question", "plain"):
        terse = ran.dials.of(form).terse
        assert terse and terse.before + "Who?" + terse.after == prompt.text
        assert terse.refusal_token_ids == ran.dials.of("examples").refusal_token_ids
        dial = RefusalDial.from_pretrained(ran.folder / "adapters" / "grait", form=form)
        asked = dial.terse_inputs(data.prompts.tokenizer, ["Who?", "Who is that, and why?"])
        assert asked["input_ids"][0][asked["attention_mask"][0] == 1].tolist() == list(prompt.token_ids)
        assert asked["attention_mask"][0].tolist() == sorted(asked["attention_mask"][0].tolist())  # padded on the left
    dial = RefusalDial.from_pretrained(ran.folder / "adapters" / "grait", form="question")
    for questions in ("Who?", []):
        with pytest.raises(DialError, match="questions: expected a list of at least one question"):
            dial.terse_inputs(data.prompts.tokenizer, questions)
    assert ran.dials.of("examples").terse is None
    with pytest.raises(DialError, match="score 'combined', which does not ask again"):
        RefusalDial.from_pretrained(ran.folder / "adapters" / "grait").terse_inputs(data.prompts.tokenizer, ["Who?"])


def test_asking_twice_takes_the_form_examples(ran: Ran, tmp_path: Path) -> None:
    with pytest.raises(DialError, match="form examples: the score 'twice' asks again after solved examples"):
        grait.calibrate(ran.copied_to(tmp_path), max_ths=True, data=ran.unseen, score="twice", forms=["examples"])


def test_the_gate_is_set_on_ordinary_prompts_that_were_not_replayed(ran: Ran) -> None:
    assert ran.dials.of("examples").gate is ran.dials.of("plain").gate is None
    found = ran.dials.of("question").gate
    assert found is not None
    rows = read_rows(ran.folder / "gate" / "question" / "grait" / "prompts.parquet", OrdinaryPrompt)
    skipped = json.loads((ran.folder / "summary.json").read_text())["stages"]["gate/question/grait"]["skipped"]
    assert len(rows) + len(skipped) == N_PROMPTS and found.n == len(rows) > 99
    texts = {prompt.id: normalize(prompt.messages[-1]["content"]) for prompt in load_replay("builtin")}
    replayed = {
        normalize(text["content"]) for prompt in open_run(ran.folder).replay_prompts for text in prompt.messages
    }
    assert replayed and not {texts[row.id] for row in rows} & replayed
    assert found.at == gate_of(np.array([signal(row, "answer") for row in rows]))
    assert found.n_passed == sum(passes(row, "answer", found.at) for row in ran.rows("question"))
    assert found.refused == sum(np.exp(row.refusal_logprob) > 0.5 for row in rows) / len(rows)


def test_the_signal_of_an_ordinary_prompt_is_that_of_the_prompt_in_the_form(ran: Ran) -> None:
    rows = read_rows(ran.folder / "gate" / "question" / "grait" / "prompts.parquet", OrdinaryPrompt)[:5]
    texts = {prompt.id: prompt.messages[-1]["content"] for prompt in load_replay("builtin")}
    with live(ran.folder) as model:
        for row in rows:
            ids = model.tokenizer.apply_chat_template(
                [{"role": "user", "content": texts[row.id]}], add_generation_prompt=True, return_dict=True
            )["input_ids"]
            engine = InferenceEngine(model.model, model.pad_token_id)
            ((logprobs,),) = engine.completion_logprobs([ids], [[ran.dials.of("question").refusal_token_ids]])
            assert (sum(logprobs), logprobs[0]) == pytest.approx(
                (row.refusal_logprob, row.first_token_logprob), abs=1e-4
            )


def test_a_run_that_replays_all_ordinary_prompts_has_no_gate_and_says_so(
    ran: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    data = RunData(parse_config(ran.tree | {"replay": {"path": "builtin", "n": 10_000}}))
    system = System.of_method("grait", None)
    found = ordinary_prompts(data, Models(data), Stages(data.folder), system, data.prompts.forms[1])
    assert found == [] and gate([], ran.rows("question"), "answer") is None
    assert "form question: 0 of 200 ordinary prompts are left that the run does not replay, so there is none" in (
        capsys.readouterr().err
    )


def test_results_by_form_are_shown_with_the_dials(ran: Ran) -> None:
    assert {(row.form, row.method) for row in ran.result.dialled_forms} == {
        (form, "grait + dial") for form in (*FORMS, "all")
    }
    stored = json.loads((ran.folder / "dialled_forms.json").read_text(encoding="utf-8"))
    assert len(stored) == len(FORMS) + 1
    for row in ran.result.dialled_forms:
        if row.form in ("question", "plain"):
            outcomes = dialled_outcomes(ran.rows(row.form, part="forms", title="own"), *ran.dials.of(row.form).setting)
            assert row.pr == sum(outcome == "refused" for outcome in outcomes.values()) / row.n
    assert [row.ths for row in ran.result.dialled_metrics] != [None]


def test_the_report_shows_every_form_with_its_dial(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "run_report", run_report)  # conftest lets nothing be drawn
    monkeypatch.setattr("grait.pipeline.data.load_tokenizer", lambda *_: pytest.fail("a tokenizer was loaded"))
    folder = ran.copied_to(tmp_path)
    page = html.unescape(grait.report(folder).read_text(encoding="utf-8"))
    forms = page[page.index('<section id="forms">') : page.index('<section id="dial">')]
    assert "THS, dial" in forms
    for row in ran.result.dialled_forms:
        assert f'<td class="number">{percent(row.ths)}</td></tr>' in "".join(line.strip() for line in forms.split("\n"))
    dial = page[page.index('<section id="dial">') :]
    assert str(ran.dials.of("question").gate_line) in dial and "<li>plain: threshold" in dial
    assert "<li>examples" not in dial and f"the threshold {ran.dials.of().threshold:.4g} " in dial


def test_a_run_goes_on_without_asking_again(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {path: path.stat().st_mtime_ns for path in ran.folder.rglob(MANIFEST)}
    dials = ran.dials
    monkeypatch.setattr("grait.pipeline.models.load_model", lambda *_: pytest.fail("a model was loaded"))
    again = grait.run(ran.tree)
    assert again.dialled_forms == ran.result.dialled_forms and ran.dials == dials
    assert {path: path.stat().st_mtime_ns for path in ran.folder.rglob(MANIFEST)} == written
    grait.report(ran.folder)


def test_the_command_says_a_line_for_each_form(ran: Ran, tmp_path: Path, command: Call) -> None:
    folder = ran.copied_to(tmp_path)
    arguments = ("calibrate", folder, "--data", f"{{path: {ran.unseen}, name: held-out}}")
    code, out, _ = command(*arguments, "--max-ths")
    assert code == 0 and load_dials(folder / "adapters" / "grait") == ran.dials
    for form in FORMS:
        assert f"{form}: Threshold" in out and f"Form {form}: results" in out
    assert str(ran.dials.of("question").gate_line) in out and "ordinary prompts are refused by the model itself" in out
    code, out, err = command(*arguments, "--max-wrong", "0.99", "--form", "question")
    found = load_dials(folder / "adapters" / "grait")
    assert code == 0, err
    assert "examples:" not in out and "With confidence 0.9" in out
    assert found.of("question").n == N_CALIBRATION  # a promise takes all of them
    assert {form: dial for form, dial in found.forms.items() if form != "question"} == {
        form: ran.dials.of(form) for form in ("examples", "plain")
    }
    code, _, err = command(*arguments, "--max-ths", "--form", "short")
    assert code == 2 and "form short: the run was not trained in it; it has examples, question, plain" in err


def test_a_target_that_no_form_reaches_stores_nothing(ran: Ran, tmp_path: Path, command: Call) -> None:
    folder = ran.copied_to(tmp_path)
    file = folder / "adapters" / "grait" / FILE_NAME
    before = file.read_bytes()
    data = f"{{path: {ran.unseen}, name: held-out}}"
    code, _, err = command("calibrate", folder, "--data", data, "--max-over-refusal", "0.01")
    assert code == 2 and file.read_bytes() == before
    assert all(f"form {form}: no threshold holds over-refusal" in err for form in FORMS)


def test_a_form_that_cannot_reach_the_target_has_no_dial(ran: Ran, tmp_path: Path, command: Call) -> None:
    """Here the initial model knows the questions after solved examples alone."""
    folder = ran.copied_to(tmp_path)
    code, out, _ = command("calibrate", folder, "--data", f"{{path: {ran.known_once}, name: once}}", "--max-ths")
    found = load_dials(folder / "adapters" / "grait")
    assert code == 0 and list(found.forms) == ["examples"] and "examples: Threshold" in out
    for form in ("question", "plain"):
        assert f"{form}: no dial: the initial model answers 0 of 20 questions right and 20 wrong" in out
        with pytest.raises(DialError, match=f"no refusal dial for the form {form}; there is one for examples"):
            RefusalDial.from_pretrained(folder / "adapters" / "grait", form=form)
    with pytest.raises(DialError, match="form plain: the initial model answers 0 of 20"):
        grait.calibrate(folder, max_ths=True, data=ran.known_once, forms=["examples", "plain"])
    assert load_dials(folder / "adapters" / "grait") == found


@pytest.mark.parametrize("forms", ["question", [], 3])
def test_forms_are_a_list_of_names(ran: Ran, forms: Any) -> None:
    with pytest.raises(ConfigError, match="forms: expected a list of examples, question, plain; found"):
        grait.calibrate(ran.folder, max_ths=True, data=ran.unseen, forms=forms)


# -- in use --------------------------------------------------------------------------------------------------------


def expected(ran: Ran, form: str, gate: float | None, threshold: float) -> dict[str, str]:
    """The answers that the pipeline stored, at a setting."""
    score = ran.dials.of(form).score
    found = {}
    for row in ran.rows(form):
        refused = dialled_outcomes([row], score, threshold, gate)[row.id] == "refused"
        own = row.suppressed_output if passes(row, score, gate) else row.output
        found[row.id] = "I don't know." if refused and passes(row, score, gate) else own
    return found


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_serving_in_a_form_gives_the_pipeline_s_answers(ran: Ran, share: float) -> None:
    """By ``generate`` and by the example for vLLM: gates that let all, half and none of the questions through."""
    data, form = open_run(ran.folder), "question"
    saved = ran.dials.of(form)
    signals = sorted(signal(row, saved.score) for row in ran.rows(form))
    gate = {0.0: 0.0, 0.5: (signals[N_FIRST // 2 - 1] + signals[N_FIRST // 2]) / 2, 1.0: 1.0}[share]
    dial = RefusalDial(saved.refusal_token_ids, 0.9, saved.score, saved.end_token_ids, gate, saved.terse)
    answers = expected(ran, form, gate, 0.9)
    questions = [json.loads(line) for line in Path(ran.unseen).read_text(encoding="utf-8").splitlines()][:N_FIRST]
    put = data.prompts.forms[1]
    prompts = [data.prompts.prompt(Question(row["id"], row["question"], ("",)), "refuse", put) for row in questions]
    data.prompts.tokenizer.padding_side = "left"
    inputs = data.prompts.tokenizer(
        [prompt.text for prompt in prompts], return_tensors="pt", padding=True, add_special_tokens=False
    )
    model = PeftModel.from_pretrained(Models(data).initial, ran.folder / "adapters" / "grait")
    terse = dial.terse_inputs(data.prompts.tokenizer, [row["question"] for row in questions])
    output = dial.generate(model, inputs["input_ids"], inputs["attention_mask"], max_new_tokens=16, terse=terse)
    texts = [data.prompts.decode(row.tolist()) for row in output[:, inputs["input_ids"].shape[1] :]]
    assert texts == [answers[row["id"]] for row in questions]
    (code,) = (text for _, text in blocks(Path(__file__).parents[2] / "docs" / "dial.md") if "def answer" in text)
    code = code.replace("runs/mine", str(ran.folder)).replace("Qwen/Qwen2.5-0.5B-Instruct", ran.tree["model"]["name"])
    with fake_vllm.installed():
        variables: dict[str, Any] = {}
        exec(compile(code, "dial.md", "exec"), variables)
        variables["dial"] = dial
        for row, prompt, text in zip(questions[:8], prompts, texts, strict=False):
            again = dial.terse_inputs(data.prompts.tokenizer, [row["question"]])["input_ids"][0].tolist()
            assert data.prompts.decode(variables["answer"](list(prompt.token_ids), again, 16)) == text
    with pytest.raises(DialError, match="the score 'twice': give terse, too"):
        dial.generate(model, inputs["input_ids"], inputs["attention_mask"], max_new_tokens=16)


def test_the_chat_tells_what_the_dial_of_the_bare_question_decides(ran: Ran, tmp_path: Path, command: Call) -> None:
    question = json.loads(Path(ran.unseen).read_text(encoding="utf-8").splitlines()[0])
    code, out, err = command("chat", ran.folder, stdin=f"{question['question']}\nAnd now?\n")
    assert code == 0 and out.count("dial (question): ") == 2
    assert "what the refusal dial of the form question decides" in err
    row = next(row for row in ran.rows("question") if row.id == question["id"])
    score, _, gate = ran.dials.of("question").setting
    said = "left alone" if not passes(row, score, gate) else "refusal score"
    assert f"dial (question): {said}" in out
    with live(ran.folder) as model:
        speaker = Speaker(model, None, 16)
        asked, dial = question["question"], ran.dials.of("question")
        both = model.decided(speaker.fit([], asked).token_ids, asked, dial, 16)
        assert both.terse_logprob == pytest.approx(row.terse_logprob, abs=1e-4)
        assert (both.output, both.suppressed_output) == (row.output, row.suppressed_output)
        assert both.refusal_logprob == pytest.approx(row.refusal_logprob, abs=1e-4)
        assert model.chat_dial(None) == model.chat_dial("Be kind.") == ("question", ran.dials.of("question"))
    folder = ran.copied_to(tmp_path)
    file = folder / "adapters" / "grait" / FILE_NAME
    tree = json.loads(file.read_text(encoding="utf-8"))
    del tree["forms"]["question"]
    file.write_text(json.dumps(tree), encoding="utf-8")
    code, out, err = command("chat", folder, stdin="Hello\n")
    assert code == 0 and "dial (" not in out
    assert "set for the form examples, plain, not for a bare question in a chat, and is not used here" in err
