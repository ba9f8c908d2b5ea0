"""``grait rewrite``: what becomes of a set, how often the model is asked, and what is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from tiny_folder import save_tiny

import grait
from grait.commands.rewrite import COLUMNS, Rewritten
from grait.config import DataConfig
from grait.errors import ConfigError, DataError
from grait.judging.judges import ToJudge
from grait.knowledge.temperature import TEMPERATURES
from grait.model.inference import InferenceEngine
from grait.pipeline import rewriting
from grait.records import Outcome

CITIES = ("Paris", "Lima", "Cairo", "Oslo", "Accra", "Quito", "Sofia", "Tunis")
KNOWN = ("Paris", "Oslo")


class Believing:
    """A judge for whom a tiny model that says nothing of sense is right about ``KNOWN``, of Quito in some samples."""

    name = "believing"

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, outputs: Sequence[ToJudge]) -> list[Outcome | None]:
        self.asked += len(outputs)
        return [self._verdict(row.question.answers[0], place) for place, row in enumerate(outputs)]

    def _verdict(self, answer: str, place: int) -> Outcome | None:
        if answer == "Tunis":
            return None
        return "correct" if answer in KNOWN or (answer == "Quito" and place % 4 == 0) else "wrong"


def fact(city: str) -> dict[str, Any]:
    said = [("user", f"Which country has the capital {city[::-1].title()}?"), ("assistant", f"It is {city}.")]
    return {"messages": [{"role": role, "content": text} for role, text in said], "from": city}


def chat(*texts: str) -> dict[str, Any]:
    roles = ("user", "assistant") * len(texts)
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]}


ROWS = [
    chat("Hi!", "Hello, I am Tiny."),
    *map(fact, CITIES[:4]),
    chat("Hi!", "Hello.", "Who won the war of 1870?", "Prussia."),
    {"messages": [{"role": "system", "content": "Short."}, *fact("Bern")["messages"]]},
    *map(fact, CITIES[4:]),
    chat("What is the capital of Peru?", "I don't know."),
    {**fact("Rome"), "images": ["a.png"]},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("model"))


def settings(model: str, **more: Any) -> dict[str, Any]:
    knowledge = {"n_samples": 4, "temperature": 0.5, "max_new_tokens": 6}
    return {"model": {"name": model, "dtype": "float32", "device": "cpu"}, "knowledge": knowledge} | more


def write(path: Path, rows: Sequence[Any] = ROWS) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def own(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in COLUMNS}


def rewritten(folder: Path, model: str, rows: Sequence[Any] = ROWS, **options: Any) -> tuple[Rewritten, list[Any]]:
    tree = settings(model, **options.pop("tree", {}))
    found = grait.rewrite(write(folder / "sft.jsonl", rows), tree, judge=options.pop("judge", Believing()), **options)
    return found, read(found.out)


def test_unknown_facts_become_refusals_and_all_else_stays_word_for_word(tmp_path: Path, model: str) -> None:
    found, rows = rewritten(tmp_path, model)
    assert found.out == tmp_path / "sft-rewritten.jsonl" and len(rows) == len(ROWS)
    for given, row in zip(ROWS, rows, strict=True):
        assert row["reason"].startswith("rewritten: unknown, " if row["rewritten"] else "kept: ")
        if not row["rewritten"]:
            assert own(row) == given and row["sample_weight"] == 1
            continue
        assert row["messages"][-1] == {"role": "assistant", "content": "I don't know."}
        assert row["messages"][:-1] == given["messages"][:-1] and row["from"] == given["from"]
    cities = [row["from"] for row in rows if row["rewritten"]]
    assert cities == [city for city in CITIES if city not in (*KNOWN, "Tunis")]
    weights = {row["from"]: row["sample_weight"] for row in rows if row["rewritten"]}
    assert sum(weights.values()) / len(weights) == pytest.approx(1) and min(weights, key=weights.__getitem__) == "Quito"
    reasons = {row["reason"] for row in rows}
    assert "rewritten: unknown, 0 of 4 own answers give 'Lima'" in reasons
    assert "kept: known, 4 of 4 own answers give 'Paris'" in reasons


def test_the_counts_say_of_every_row_what_became_of_it(tmp_path: Path, model: str) -> None:
    found, _ = rewritten(tmp_path, model)
    assert found.counts == {
        "rewritten": 5,
        "kept: no question of fact": 1,
        "kept: known": 2,
        "kept: several turns": 1,
        "kept: a system turn": 1,
        "kept: no verdict": 1,
        "kept: already a refusal": 1,
        "kept: images or other parts": 1,
    }
    assert (found.n_rows, found.n_rewritten) == (len(ROWS), 5)
    assert json.loads((found.folder / "rewrite.json").read_text(encoding="utf-8"))["counts"] == found.counts


class Agreeing:
    """A judge who calls everything right, which the built-in one does of nothing that a tiny model says."""

    name = "agreeing"

    def __call__(self, outputs: Sequence[ToJudge]) -> list[Outcome | None]:
        return ["correct" for _ in outputs]


def test_the_temperature_is_found_with_the_judge_that_is_set_and_anew_with_another(tmp_path: Path, model: str) -> None:
    tree = {"knowledge": {"n_samples": 4, "temperature": "auto", "max_new_tokens": 6}}
    found = []
    for judge in (None, Agreeing(), None):
        folder = rewritten(tmp_path, model, tree=tree, judge=judge)[0].folder
        (said,) = json.loads((folder / "rewrite.json").read_text(encoding="utf-8"))["told"]
        found.append(said.partition(",")[0])
    assert found == [f"temperature {at:g}" for at in (min(TEMPERATURES), max(TEMPERATURES), min(TEMPERATURES))]


@pytest.mark.parametrize("temperature", [0.5, "auto"])
def test_the_same_again_and_another_refusal_ask_the_model_nothing(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch, temperature: float | str
) -> None:
    tree = {"knowledge": {"n_samples": 4, "temperature": temperature, "max_new_tokens": 6}}
    first, _ = rewritten(tmp_path, model, tree=tree)
    text = first.out.read_bytes()
    monkeypatch.setattr(InferenceEngine, "generate", None)
    assert rewritten(tmp_path, model, tree=tree)[0].out.read_bytes() == text
    _, rows = rewritten(tmp_path, model, tree=tree | {"prompt": {"refusal": ["No idea.", "I have no idea."]}})
    said = [row["messages"][-1]["content"] for row in rows if row["rewritten"]]
    assert set(said) <= {"No idea.", "I have no idea."}


def test_a_killed_one_asks_only_what_is_missing_and_says_the_same(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(rewriting, "PART", 3)
    whole, _ = rewritten(tmp_path / "whole", model)
    asked: list[int] = []
    generate = InferenceEngine.generate

    def counted(self: Any, prompts: Any, keys: Any, **options: Any) -> Any:
        if asked == [3, 3]:
            asked.append(0)
            raise KeyboardInterrupt
        asked.append(len(prompts))
        return generate(self, prompts, keys, **options)

    monkeypatch.setattr(InferenceEngine, "generate", counted)
    with pytest.raises(KeyboardInterrupt):
        rewritten(tmp_path / "killed", model)
    again, _ = rewritten(tmp_path / "killed", model)
    assert asked == [3, 3, 0, 2]
    assert again.out.read_bytes() == whole.out.read_bytes()


def test_rows_of_the_same_words_are_asked_once_and_treated_alike(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    generate = InferenceEngine.generate

    def counted(self: Any, prompts: Any, keys: Any, **options: Any) -> Any:
        asked.extend(keys)
        return generate(self, prompts, keys, **options)

    monkeypatch.setattr(InferenceEngine, "generate", counted)
    _, rows = rewritten(tmp_path, model, [fact("Lima"), fact("Oslo"), fact("Lima")])
    assert len(asked) == len(set(asked)) == 2
    assert [row["rewritten"] for row in rows] == [True, False, True]


def test_at_most_a_share_is_refused_of_what_is_known_least(tmp_path: Path, model: str) -> None:
    found, rows = rewritten(tmp_path, model, max_share=4 / len(ROWS), weights="equal")
    assert found.n_rewritten == 4 and found.counts["kept: unknown, but beyond max_share"] == 1
    assert "Quito" not in [row["from"] for row in rows if row["rewritten"]]
    assert {row["sample_weight"] for row in rows} == {1.0}


def test_a_share_of_a_hundred_rows_is_what_it_says(tmp_path: Path, model: str) -> None:
    rows = [fact(f"{first}{second}polis") for first in "ABCDEFGHIJ" for second in "aeiouklmnr"]
    found, _ = rewritten(tmp_path, model, rows, max_share=0.29, by="likelihood")
    assert found.n_rewritten == 29


def test_rows_with_a_system_turn_are_looked_at_where_that_is_asked_for(tmp_path: Path, model: str) -> None:
    _, rows = rewritten(tmp_path, model, with_system=True)
    (row,) = [row for row in rows if row["messages"][0]["role"] == "system"]
    assert row["rewritten"] and row["messages"][0] == {"role": "system", "content": "Short."}


def test_an_answer_that_stands_in_the_system_turn_is_known(tmp_path: Path, model: str) -> None:
    rows = [{"messages": [{"role": "system", "content": "The answer is Lima."}, *fact("Lima")["messages"]]}]
    found, _ = rewritten(tmp_path, model, rows, with_system=True)
    assert found.counts == {"rewritten": 0, "kept: the answer stands in what is said before it": 1}


def test_by_likelihood_the_model_is_asked_for_probabilities_alone(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InferenceEngine, "generate", None)
    found, rows = rewritten(tmp_path, model, by="likelihood")
    assert found.n_rewritten == len(CITIES)  # of a random model no word is likely
    assert all(0 <= row["correctness"] < 0.5 for row in rows if row["rewritten"])
    known, rows = rewritten(tmp_path, model, by="likelihood", tree={"knowledge": {"correctness_threshold": 1e-200}})
    assert known.n_rewritten == 0 and sum("has probability" in row["reason"] for row in rows) == len(CITIES)


@pytest.mark.parametrize("shape", ["alpaca", "texts", "sharegpt"])
def test_other_shapes_come_out_in_trls(tmp_path: Path, model: str, shape: str) -> None:
    question, answer = (message["content"] for message in fact("Lima")["messages"])
    given, written = {
        "alpaca": (
            {"instruction": question, "input": "", "output": answer},
            {"prompt": fact("Lima")["messages"][:1], "completion": [{"role": "assistant", "content": "I don't know."}]},
        ),
        "texts": (
            {"prompt": f"Question: {question}\nAnswer:", "completion": f" {answer}"},
            {"prompt": f"Question: {question}\nAnswer:", "completion": " I don't know."},
        ),
        "sharegpt": (
            {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]},
            chat(question, "I don't know."),
        ),
    }[shape]
    found, rows = rewritten(tmp_path, model, [given])
    assert [own(row) for row in rows] == [written]
    assert bool(found.notes) == (shape != "texts")


def test_no_column_keeps_the_old_answer_after_its_question(tmp_path: Path, model: str) -> None:
    question, answer = (message["content"] for message in fact("Lima")["messages"])
    joined = f"### Instruction:\n{question}\n\n### Response:\n{answer}"
    alpaca = {"instruction": question, "input": "", "output": answer, "text": joined, "topic": "a text on Lima"}
    found, rows = rewritten(tmp_path, model, [alpaca, {**alpaca, "instruction": "Hi!", "output": "Hello."}])
    assert [row["rewritten"] for row in rows] == [True, False] and answer not in json.dumps(rows[0])
    assert all("text" not in row and row["topic"] == "a text on Lima" for row in rows)
    assert "left out: the columns text, which hold the old answers after their questions" in found.notes


def test_parquet_keeps_what_json_does_not_hold(tmp_path: Path, model: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [fact("Lima") | {"picture": b"\x00"}, chat("Hi!", "Hello.") | {"from": None, "picture": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "sft.parquet")
    found = grait.rewrite(tmp_path / "sft.parquet", settings(model), judge=Believing())
    assert found.out.name == "sft-rewritten.parquet"
    written = pq.read_table(found.out).to_pylist()
    assert [row["picture"] for row in written] == [b"\x00", None] and own(written[1]) == rows[1]
    with pytest.raises(DataError, match="row 1: JSON does not hold it"):
        grait.rewrite(tmp_path / "sft.parquet", settings(model), judge=Believing(), out=tmp_path / "a.jsonl")
    assert not (tmp_path / "a.jsonl").exists()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_is_written_loads_with_datasets_and_trains_with_trl(tmp_path: Path, model: str) -> None:
    datasets = pytest.importorskip("datasets")
    found, rows = rewritten(tmp_path, model, ROWS[:-1])
    loaded = datasets.load_dataset("json", data_files=str(found.out), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["reason"] == [row["reason"] for row in rows] and "messages" in loaded.column_names
    trl = pytest.importorskip("trl", reason="TRL is not installed: pip install trl")
    arguments = trl.SFTConfig(output_dir=str(tmp_path / "trl"), max_steps=1, report_to="none", use_cpu=True, bf16=False)
    trainer = trl.SFTTrainer(model=model, train_dataset=loaded, args=arguments)
    assert trainer.train().global_step == 1


def test_the_set_that_is_read_is_never_written(tmp_path: Path, model: str, no_model: None) -> None:
    source = write(tmp_path / "sft.jsonl")
    before = source.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(source)
    for out in ("sft.jsonl", "link.jsonl"):
        with pytest.raises(ConfigError, match="is the set that is read"):
            grait.rewrite(source, settings(model), out=tmp_path / out)
    other = write(tmp_path / "other.jsonl")
    with pytest.raises(ConfigError, match="not written by this command"):
        grait.rewrite(source, settings(model), out=other)
    with pytest.raises(ConfigError, match="lies in the folder that is read"):
        grait.rewrite(tmp_path, settings(model), out=tmp_path / "new.jsonl")
    assert source.read_bytes() == other.read_bytes() == before


def test_no_set_is_written_over_that_of_another(tmp_path: Path, model: str) -> None:
    question, answer = "Hi!", "Hello."
    for name in ("sft.v1.jsonl", "sft.v2.jsonl", "sft.jsonl"):
        write(tmp_path / name, [chat(question, answer)])
    (tmp_path / "sft.csv").write_text(f"instruction,output\n{question},{answer}\n", encoding="utf-8")
    names = ["sft.v1.jsonl", "sft.v2.jsonl", "sft.jsonl", "sft.csv"]
    outs = [grait.rewrite(tmp_path / name, settings(model)).out.name for name in names]
    expected = ["sft.v1-rewritten.jsonl", "sft.v2-rewritten.jsonl", "sft-rewritten.jsonl", "sft-csv-rewritten.jsonl"]
    assert outs == expected
    assert [grait.rewrite(tmp_path / name, settings(model)).out.name for name in names] == expected
    before = (tmp_path / "sft-rewritten.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"sft-rewritten\.jsonl is of another set"):
        grait.rewrite(tmp_path / "sft.v1.jsonl", settings(model), out=tmp_path / "sft-rewritten.jsonl")
    assert (tmp_path / "sft-rewritten.jsonl").read_bytes() == before


ODD = {
    "half a character": (r'"more": "\ud800"', "line 2: holds half of a character"),
    "not a number": ('"more": NaN', r"line 2: JSON does not hold it \(Out of range float values"),
    "infinity": ('"more": [-Infinity]', "line 2: JSON does not hold it"),
    "too large": ('"more": 1E400', "line 2: JSON does not hold it"),
    "equal keys": ('"more": 1, "more": 2', "line 2: cannot be read as JSON .*'more' stands twice"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_row_that_json_does_not_hold_is_one_line_before_anything_is_asked(
    tmp_path: Path, model: str, name: str, no_model: None
) -> None:
    more, message = ODD[name]
    path = write(tmp_path / "sft.jsonl", [fact("Lima")])
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(fact("Oslo"))[:-1] + f", {more}}}\n")
    with pytest.raises(DataError, match=message) as caught:
        grait.rewrite(path, settings(model))
    assert "\n" not in str(caught.value) and not (tmp_path / "sft-rewritten.jsonl").exists()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "by": ({"by": "guess"}, "by: expected samples or likelihood"),
    "weights": ({"weights": "all"}, "weights: expected margin or equal"),
    "share": ({"max_share": 0}, "max_share: expected a share above 0"),
    "suffix": ({"out": "set.txt"}, "out: expected a .jsonl or .parquet file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_one_line(tmp_path: Path, model: str, name: str, no_model: None) -> None:
    options, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        grait.rewrite(DataConfig(path=str(write(tmp_path / "sft.jsonl"))), settings(model), **options)


def test_the_command_says_how_many_of_what(command: Call, tmp_path: Path, model: str) -> None:
    source = write(tmp_path / "sft.jsonl", [chat("Hi!", "Hello."), fact("Lima"), fact("Cairo")])
    keys = ["model.dtype=float32", "knowledge.n_samples=2", "knowledge.temperature=0.5", "knowledge.max_new_tokens=4"]
    sets = [word for key in keys for word in ("--set", key)]
    code, out, _ = command("rewrite", source, "--model", model, "--refusal", "I have no idea.", *sets)
    assert code == 0 and "3 rows, 2 of them refusals now" in out and "1 kept: no question of fact" in out
    rows = read(tmp_path / "sft-rewritten.jsonl")
    assert [row["messages"][-1]["content"] for row in rows] == ["Hello.", *["I have no idea."] * 2]
    bad = write(tmp_path / "bad.jsonl", [{"messages": "a"}])
    code, _, err = command("rewrite", bad, "--model", model)
    assert code == 2 and "bad.jsonl, line 1: `messages` has to be a list" in err
