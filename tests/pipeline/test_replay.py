"""Replay in a run: the initial model's own answers, their probabilities, and what every method trains on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from templates import tokenizer_with
from tiny import tiny_model
from tiny_folder import POSITIONS, Files, save_tiny, tiny_tree, write_half_known

import grait
from grait.config import Config, parse_config
from grait.data.replay import load_unanswerable
from grait.errors import DataError
from grait.model.inference import InferenceEngine
from grait.model.load import load_model
from grait.pipeline import training
from grait.pipeline.data import RunData
from grait.pipeline.lessons import lessons
from grait.pipeline.replay import (
    BARE,
    WITH_SYSTEM,
    Replayed,
    asked_prompts,
    load_replayed,
    n_replayed,
    positions,
    replay_examples,
    replay_stage,
    training_key,
)
from grait.plan.dry_run import dry_run
from grait.records import Selected
from grait.runtime.artifacts import MANIFEST, Stage
from grait.training.examples import WeightedExample

PROMPTS: list[dict[str, Any]] = [
    *({"prompt": f"Write a line about number {i}."} for i in range(8)),
    {"kind": "talk", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]},
    {
        "id": "turns",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Thanks"},
            {"role": "assistant", "content": "dropped"},
        ],
    },
]


def with_replay(tiny: tuple[str, Files], folder: Path, **changes: Any) -> dict[str, Any]:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in PROMPTS), encoding="utf-8")
    tree = tiny_tree(tiny[0], tiny[1], folder / "run")
    tree["training"]["methods"] = ["cor-rait", "van-tuning"]
    tree["replay"] = {
        "path": str(path),
        "max_new_tokens": 5,
        "weight": 1.0,
        "share": 0.5,
        "forms_share": 0.5,
        "given_texts": 0,
        "after_turns": 0.0,
    } | changes
    return tree


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny: tuple[str, Files]) -> tuple[Path, Config]:
    folder = tmp_path_factory.mktemp("replay")
    tree = with_replay(tiny, folder)
    grait.run(tree)
    return folder / "run", parse_config(tree)


def loaded(config: Config) -> Replayed:
    data = RunData(config)
    asked = asked_prompts(data)
    return load_replayed(config, replay_stage(data, asked), asked)


def test_answers_are_the_initial_models_own(done: tuple[Path, Config]) -> None:
    replayed, data = loaded(done[1]), RunData(done[1])
    assert {row.id for row in replayed.rows} == {*(f"prompts-{i}" for i in range(1, 10)), "turns"}
    engine = InferenceEngine(load_model(done[1].model), int(data.prompts.tokenizer.pad_token_id))
    for row, asked, example in zip(replayed.rows, replayed.asked, replayed.examples, strict=True):
        ((answer,),) = engine.generate(
            [asked.prompt.token_ids],
            [""],
            n=1,
            temperature=0,
            max_new_tokens=5,
            end_token_ids=data.prompts.end_token_ids(asked.prompt.is_chat),
        )
        ends = data.prompts.end_token_ids(asked.prompt.is_chat)
        assert list(example.completion_ids)[: len(answer)] == answer
        assert [token in ends for token in example.completion_ids[len(answer) :]] == [True] * row.ended
        assert row.ended == (len(answer) < 5)
        assert (row.prompt, row.completion) == (
            asked.prompt.text,
            data.prompts.tokenizer.decode(answer, skip_special_tokens=True),
        )


def test_probabilities_are_those_of_the_initial_model(done: tuple[Path, Config]) -> None:
    replayed = loaded(done[1])
    model = load_model(done[1].model)
    for example, teacher in zip(replayed.examples, replayed.teachers, strict=True):
        sequence = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
        logits = model(input_ids=sequence).logits[0, len(example.prompt_ids) - 1 : -1]
        assert teacher.token_ids.shape == (len(example.completion_ids), 40)
        found = logits.log_softmax(-1).gather(-1, teacher.token_ids.long())
        torch.testing.assert_close(teacher.logprobs[:, :-1].float(), found, rtol=2e-3, atol=2e-3)
        assert teacher.logprobs.float().exp().sum(-1).tolist() == pytest.approx([1.0] * len(found), abs=5e-3)
    stored = load_file(done[0] / "replay" / "teacher.safetensors")
    assert (stored["logprobs"].dtype, stored["token_ids"].dtype) == (torch.float16, torch.int32)


def test_some_prompts_are_put_as_the_run_puts_questions(done: tuple[Path, Config]) -> None:
    replayed = loaded(done[1])
    forms = [row.form for row in replayed.rows]
    assert (forms.count(""), forms.count(BARE), forms.count(WITH_SYSTEM)) == (4, 5, 1)
    for asked in replayed.asked:
        assert ("I don't know." in asked.prompt.text) == (asked.form == "")
        assert "dropped" not in asked.prompt.text


def test_rows_are_the_configured_share_and_weigh_as_configured(done: tuple[Path, Config]) -> None:
    replayed, config = loaded(done[1]), done[1]
    questions = [WeightedExample(replayed.examples[0], 0.5 * (i % 5)) for i in range(15)]
    found = replay_examples(config, replayed, questions)
    assert len(found) == 15  # half of all, each of ten rows once or twice
    assert len({row.example.id for row in found}) == 10
    assert {row.sample_weight for row in found} == {1.0}
    assert all(row.teacher is not None for row in found)
    other = config.model_copy(
        update={"replay": config.replay.model_copy(update={"loss": "cross-entropy", "weight": 0.5, "share": 0.25})}
    )
    found = replay_examples(other, replayed, questions)
    assert (len(found), found[0].sample_weight, found[0].teacher) == (5, 0.5, None)
    assert n_replayed(100, other) == 33


def test_what_the_initial_model_refused_is_not_trained_on(done: tuple[Path, Config]) -> None:
    replayed, config = loaded(done[1]), done[1]
    said = ["I don't know.", "A bird.", "I'm sorry, but I'm unable to help with that."]
    said += [f"Answer {i}." for i in range(len(replayed.rows) - 3)]
    rows = [replace(row, completion=text) for row, text in zip(replayed.rows, said, strict=True)]
    kept = replace(replayed, rows=rows).answered(config)
    assert [row.completion for row in kept.rows] == [said[1], *said[3:]]
    assert kept.left_out == (rows[0].id, rows[2].id)
    lengths = (len(kept.asked), len(kept.examples), len(kept.teachers))
    assert lengths == (len(rows) - 2,) * 3
    assert training_key(config, kept) != training_key(config, replayed)
    all_refused = replace(replayed, rows=[replace(row, completion=said[0]) for row in rows])
    assert all_refused.answered(config) == all_refused


def test_every_method_trains_on_the_same_rows(done: tuple[Path, Config]) -> None:
    keys = [Stage.found(done[0] / "adapters" / method).key for method in ("cor-rait", "van-tuning")]
    stage = Stage.found(done[0] / "replay")
    expected = {"stage": stage.fingerprint, "loss": "kl", "weight": 1.0, "first_token": 6.0, "share": 0.5}
    assert [key["replay"] for key in keys] == [expected, expected]
    n_steps = [len(json.loads((done[0] / f"adapters/{m}/losses.json").read_text())) for m in ("cor-rait", "van-tuning")]
    assert min(n_steps) >= 2  # up to 14 questions, and as many rows of replay, in steps of 8


def test_finished_it_is_reused_also_for_another_loss(done: tuple[Path, Config]) -> None:
    written = {path: path.stat().st_mtime_ns for path in done[0].rglob(MANIFEST)}
    grait.run(done[1])
    assert {path: path.stat().st_mtime_ns for path in done[0].rglob(MANIFEST)} == written
    data = RunData(done[1].model_copy(update={"replay": done[1].replay.model_copy(update={"loss": "cross-entropy"})}))
    assert replay_stage(data, asked_prompts(data)).changes() is None


def test_a_run_that_is_killed_in_training_ends_the_same(
    done: tuple[Path, Config],
    tiny: tuple[str, Files],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_thread: None,
) -> None:
    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    for name in "ab":
        (tmp_path / name).mkdir()
    grait.run(with_replay(tiny, tmp_path / "a"))
    again = with_replay(tiny, tmp_path / "b")
    with monkeypatch.context() as patched:
        patched.setattr(training, "train", killed)
        with pytest.raises(KeyboardInterrupt):
            grait.run(again)
    assert (tmp_path / "b/run/replay" / MANIFEST).exists()
    grait.run(again)
    for method in ("cor-rait", "van-tuning"):
        one, other = (load_file(tmp_path / f"{x}/run/adapters/{method}/adapter_model.safetensors") for x in "ab")
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_without_replay_there_is_no_stage_and_no_key(finished: Path) -> None:
    assert not (finished / "replay").exists()
    assert "replay" not in Stage.found(finished / "adapters" / "grait").key


def test_questions_among_the_prompts_are_said(
    tiny: tuple[str, Files], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = with_replay(tiny, tmp_path, forms_share=0)
    test = [json.loads(line)["question"] for line in Path(tiny[1].test).read_text().splitlines()]
    rows = [{"prompt": test[0].upper()}, {"prompt": test[1] + " "}, {"id": "long", "prompt": "so " * 400}, *PROMPTS]
    Path(tree["replay"]["path"]).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tree["training"]["methods"] = ["van-tuning"]
    grait.run(tree)
    err = capsys.readouterr().err
    assert "2 of 12 prompts are test questions of this run" in err
    assert "1 prompts longer than 320 tokens skipped: long" in err


def test_without_a_chat_template_conversations_are_plain_text(tiny: tuple[str, Files], tmp_path: Path) -> None:
    tree = with_replay(tiny, tmp_path, forms_share=0)
    tree["model"]["name"] = save_tiny(tmp_path / "base", chat=False)
    asked = {row.id: row for row in asked_prompts(RunData(parse_config(tree)))}
    assert asked["turns"].prompt.text == "User: Hi\nAssistant: Hello.\nUser: Thanks\nAssistant:"
    assert not asked["turns"].prompt.is_chat


def test_prompts_that_the_template_refuses_are_left_out_and_named(
    tiny: tuple[str, Files], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = RunData(parse_config(with_replay(tiny, tmp_path, forms_share=0)))
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    data.prompts.tokenizer.chat_template = template + str(data.prompts.tokenizer.chat_template)
    assert len(asked_prompts(data)) == len(PROMPTS) - 1
    assert "the chat template refuses 1 prompts" in capsys.readouterr().err


def test_a_template_that_takes_one_question_goes_through_a_whole_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lessons after earlier turns and conversations ended it hours later, after its warm-up or its training."""
    tokenizer = tokenizer_with("one_question")
    model = str(tmp_path / "model")
    tiny_model("llama", vocab_size=len(tokenizer), max_position_embeddings=POSITIONS).save_pretrained(model)
    tokenizer.save_pretrained(model)
    tree = with_replay((model, write_half_known(model, tmp_path)), tmp_path, after_turns=1.0)
    tree["prompt"]["forms"] = ["question", "plain"]
    tree["training"]["methods"] = ["van-tuning"]
    tree["evaluation"] |= {"probes": True, "max_probes": 2}
    result = grait.run(tree)
    said = capsys.readouterr().err
    assert said.count("the chat template takes one question (one question only): nothing is taught or measured") == 1
    assert "the chat template refuses 2 prompts:" in said
    assert said.index("refuses 2 prompts") < said.index("1/4")
    assert result.side_effects.records and not result.side_effects.conversations


def test_forms_of_the_run_are_taken_in_turn(tiny: tuple[str, Files], tmp_path: Path) -> None:
    tree = with_replay(tiny, tmp_path, forms_share=1)
    tree["prompt"]["forms"] = ["examples", "question", "plain"]
    forms = [row.form for row in asked_prompts(RunData(parse_config(tree)))]
    assert {form: forms.count(form) for form in set(forms)} == {"examples": 4, "plain": 4, BARE: 1, WITH_SYSTEM: 1}


def test_the_dry_run_counts_it(tiny: tuple[str, Files], tmp_path: Path) -> None:
    tree = with_replay(tiny, tmp_path)
    plan = dry_run(parse_config(tree))
    (stage,) = (stage for stage in plan.stages if stage.name == "replay")
    assert stage.examples.n == len(PROMPTS)
    assert stage.work.decoded_tokens == len(PROMPTS) * 5
    without = dry_run(parse_config(tree | {"replay": {}}))
    assert "replay" not in [stage.name for stage in without.stages]
    one, other = (next(s for s in p.stages if s.name == "training cor-rait") for p in (plan, without))
    assert one.examples.n == 2 * (other.examples.n or 0)
    assert one.work.trained_tokens > other.work.trained_tokens
    hub = dry_run(parse_config(tree | {"replay": {"path": "owner/name", "given_texts": 0}}))
    assert next(s for s in hub.stages if s.name == "replay").examples.n == 700


def test_a_bad_file_is_found_before_anything_runs(tiny: tuple[str, Files], tmp_path: Path, no_model: None) -> None:
    tree = with_replay(tiny, tmp_path)
    Path(tree["replay"]["path"]).write_text('{"prompt": ""}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"prompts.jsonl, line 1: `prompt` is blank"):
        grait.run(tree)


def test_an_export_holds_the_rows_and_says_what_they_are(done: tuple[Path, Config], tmp_path: Path) -> None:
    exported = grait.export(done[0], "trl", method="cor-rait", out=tmp_path / "trl")
    about = json.loads((tmp_path / "trl" / "export.json").read_text(encoding="utf-8"))
    rows = [row for row in about["examples"] if row.get("kind") == "replay"]
    assert len(rows) == about["n_examples"] / 2
    assert about["replay"] in exported.notes
    assert "which no file carries" in about["replay"]
    lines = [json.loads(line) for line in (tmp_path / "trl" / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    completions = {row.id: row.completion.strip() for row in loaded(done[1]).rows}
    own = [line for line in lines if line["id"].startswith("replay:")]
    assert len(own) == len(rows)
    assert all(line["completion"][0]["content"] == completions[line["id"].removeprefix("replay:")] for line in own)


def test_texts_that_hold_the_answer_are_made_of_training_questions(tiny: tuple[str, Files], tmp_path: Path) -> None:
    data = RunData(parse_config(with_replay(tiny, tmp_path, given_texts=6, forms_share=0)))
    given = [row for row in asked_prompts(data) if row.kind == "given-text"]
    assert len({row.id for row in given}) == 6
    for row in given:
        question = data.questions[row.id.removeprefix("given-")]
        (said,) = row.said
        assert said.count(question.question) == 2  # in the text, with its answer, and as what is asked
        assert f"{question.question} {question.answers[0]}" in said
    again = RunData(parse_config(with_replay(tiny, tmp_path, given_texts=6, forms_share=0)))
    assert again.replay_prompts == data.replay_prompts
    other = RunData(parse_config(with_replay(tiny, tmp_path, given_texts=6, forms_share=0) | {"seed": 1}))
    assert other.replay_prompts != data.replay_prompts


def test_the_first_token_of_a_replayed_answer_counts_as_configured(done: tuple[Path, Config]) -> None:
    replayed, config = loaded(done[1]), done[1]
    rows = replay_examples(config, replayed, [WeightedExample(replayed.examples[0], 1.0)] * 4)
    assert {row.first_token_weight for row in rows} == {6.0}


def test_where_not_all_rows_are_trained_on_the_seed_draws_them(done: tuple[Path, Config]) -> None:
    replayed, config = loaded(done[1]), done[1]
    n = len(replayed.rows)
    few, more = (positions(n_questions, config, replayed) for n_questions in (n // 2, n - 1))
    assert few != list(range(n // 2))
    assert more[: len(few)] == few  # the same rows for a method with more questions
    assert len(set(more)) == n - 1
    assert positions(n + 2, config, replayed) == [*range(n), 0, 1]


def test_a_row_that_is_called_as_a_text_of_a_training_question_is_one_line(
    tiny: tuple[str, Files], tmp_path: Path
) -> None:
    tree = with_replay(tiny, tmp_path, given_texts=100, n=100)
    name = f"given-{next(iter(RunData(parse_config(tree)).questions))}"
    Path(tree["replay"]["path"]).write_text(json.dumps({"id": name, "prompt": "Hello"}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"line 1: the id '{name}' is that of a text made of a training question"):
        _ = RunData(parse_config(tree)).replay_prompts


def test_the_dry_run_counts_texts_and_unanswerable_questions(tiny: tuple[str, Files], tmp_path: Path) -> None:
    tree = with_replay(tiny, tmp_path, given_texts=10**9)
    plan = dry_run(parse_config(tree))
    (stage,) = (stage for stage in plan.stages if stage.name == "replay")
    assert len(PROMPTS) < (stage.examples.n or 0) < 100  # no more texts than training questions
    tree["replay"] |= {"path": "builtin", "given_texts": 0, "n": 5}
    counts = []
    for n in (0, 7):
        found = dry_run(parse_config(tree | {"replay": tree["replay"] | {"unanswerable": n}}))
        counts.append({stage.name: stage.examples.n or 0 for stage in found.stages})
    assert counts[1]["training cor-rait"] == counts[0]["training cor-rait"] + 2 * 7  # and as much replay
    assert counts[1]["training van-tuning"] == counts[0]["training van-tuning"]


def test_a_test_question_among_the_unanswerable_ones_stops_the_run(tiny: tuple[str, Files], tmp_path: Path) -> None:
    question = load_unanswerable(1, 0)[0].question
    test = tmp_path / "test.jsonl"
    test.write_text(json.dumps({"question": question, "answers": [], "answerable": False}) + "\n", encoding="utf-8")
    tree = with_replay(tiny, tmp_path)
    tree["evaluation"]["datasets"].append({"path": str(test), "name": "leak"})
    tree["replay"] |= {"path": "builtin", "n": 5, "unanswerable": 1}
    with pytest.raises(DataError, match="1 of 1 questions of leak are training questions, too"):
        grait.run(tree)


def test_earlier_turns_say_nothing_about_what_follows(tiny: tuple[str, Files], tmp_path: Path) -> None:
    """Half of the earlier questions are refused, before refusals and answers alike; each has what it teaches itself."""
    tree = with_replay(tiny, tmp_path, after_turns=1.0, forms_share=0) | {"prompt": {"n_shots": 2}}
    tree["prompt"]["forms"] = ["question", "examples"]
    data = RunData(parse_config(tree))
    rows = [
        Selected(id_, "ik" if i % 3 else "idk", 1.0, "answer" if i % 3 else "refusal")
        for i, id_ in enumerate(data.questions)
    ]
    found = lessons(data, rows)
    alone = lessons(RunData(parse_config(tree | {"replay": {"path": None}})), rows)
    assert [(one.row, one.form, one.answer, one.weight) for one in found] == [
        (one.row, one.form, one.answer, one.weight) for one in alone
    ]
    longest = max(len(one.prompt.token_ids) + len(one.completion.token_ids) for one in alone)
    taught = {one.messages[-1]["content"]: one.answer for one in alone if one.form.name == "question"}
    refused: dict[str, list[bool]] = {"answer": [], "refusal": []}
    for lesson, own in zip(found, alone, strict=True):
        if lesson.form.name != "question" or lesson == own:
            assert lesson == own
            continue
        assert lesson.messages[-1:] == own.messages[-1:] and lesson.messages[:-3] == own.messages[:-1]
        asked, answered = (message["content"] for message in lesson.messages[-3:-1])
        assert asked != own.messages[-1]["content"] and taught[asked] == answered
        assert lesson.prompt == data.prompts.chat(lesson.messages)
        assert len(lesson.prompt.token_ids) + len(lesson.completion.token_ids) <= longest
        refused[lesson.row.target].append(answered == "I don't know.")
    assert len(refused["answer"]) + len(refused["refusal"]) == len(taught)  # all of them: the share is 1
    for kind, flags in refused.items():
        assert 0 < sum(flags) < len(flags), kind
    assert lessons(data, rows) == found


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_replayed_single_turns_follow_earlier_ones(tiny: tuple[str, Files], tmp_path: Path, share: float) -> None:
    data = RunData(parse_config(with_replay(tiny, tmp_path, path="builtin", n=200, after_turns=share, forms_share=0)))
    prompts = {prompt.id: prompt for prompt in data.replay_prompts}
    asked = {question.question: data.prompts.reference(question) for question in data.questions.values()}
    singles = [row for row in asked_prompts(data) if prompts[row.id].is_single]
    after = [row for row in singles if len(row.messages) > 1]
    assert abs(len(after) / len(singles) - share) < 0.1
    said = [row.messages[-2]["content"] for row in after]
    for row, answer in zip(after, said, strict=True):
        assert answer in ("I don't know.", asked[row.messages[-3]["content"]])
        assert row.messages[-1:] == prompts[row.id].messages
    if after:
        assert 0.3 < said.count("I don't know.") / len(said) < 0.7
    others = [row for row in asked_prompts(data) if not prompts[row.id].is_single]
    assert all(row.messages == prompts[row.id].messages for row in others)
