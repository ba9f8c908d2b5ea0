"""``grait influence rank`` and ``query``: from files to a ranked file, on a tiny model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Call
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny import with_lora
from tiny_folder import save_tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

import grait.influence
from grait.commands import rank as module
from grait.data.pairs import Pair
from grait.errors import ArtifactError, ConfigError, DataError, ModelError
from grait.influence import Influence, TokenizedExample, influence
from grait.pipeline.data import RunData
from grait.pipeline.ranking import in_order, tokenized

WORDS = "capital France Paris Italy Rome Answer question letter option wrote yellow blue green red".split()
FAST = ["model.dtype=float32", "model.device=cpu", "warmup.epochs=1", "lora.r=2"]


def rows(n: int, offset: int = 0) -> list[dict[str, Any]]:
    def word(i: int) -> str:
        return WORDS[(i * i + offset) % len(WORDS)]

    return [{"id": f"e{i}", "prompt": f"The {word(i)} of", "completion": f" {word(i + 3)}."} for i in range(n)]


def write(path: Path, given: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    return str(path)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A model, a trained adapter, examples, and targets of two groups."""
    folder = tmp_path_factory.mktemp("rank")
    name = save_tiny(folder / "model")
    adapted = with_lora(AutoModelForCausalLM.from_pretrained(name))
    adapted.save_pretrained(folder / "adapter")
    targets = [row | {"id": f"t{i}", "kind": "ab"[i % 2]} for i, row in enumerate(rows(4, 5))]
    return {
        "model": name,
        "adapter": str(folder / "adapter"),
        "examples": write(folder / "examples.jsonl", rows(12)),
        "targets": write(folder / "targets.jsonl", targets),
    }


def tokens(tokenizer: Any, row: dict[str, Any]) -> TokenizedExample:
    prompt = tokenizer(row["prompt"])["input_ids"]
    whole = tokenizer(row["prompt"] + row["completion"])["input_ids"]
    return TokenizedExample(row["id"], tuple(prompt), (*whole[len(prompt) :], tokenizer.eos_token_id))


def test_the_file_has_the_rows_in_the_order_of_exact_influence(files: dict[str, str], tmp_path: Path) -> None:
    found = grait.influence.rank(
        files["model"], adapter=files["adapter"], examples=files["examples"], targets=files["targets"],
        out=tmp_path / "ranked.jsonl", overrides=FAST, tokens=2,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(files["model"])
    base = AutoModelForCausalLM.from_pretrained(files["model"])
    model = PeftModel.from_pretrained(base, files["adapter"], is_trainable=True)
    examples, targets = (
        [tokens(tokenizer, row) for row in read(Path(files[name]))] for name in ("examples", "targets")
    )
    expected = influence(model, examples, {"all": targets}, pad_token_id=tokenizer.eos_token_id).scores["all"]
    written = read(tmp_path / "ranked.jsonl")
    assert [row["score"] for row in written] == sorted((row["score"] for row in written), reverse=True)
    assert {row["id"] for row in written} == expected.keys() and len({round(x, 3) for x in expected.values()}) > 4
    assert [row["rank"] for row in written] == list(range(1, 13)) and found.n == 12
    by_id = {row["id"]: row for row in rows(12)}
    for row in written:
        assert row["score"] == pytest.approx(expected[row["id"]], abs=1e-5)
        assert {key: row[key] for key in ("prompt", "completion")} == {
            key: by_id[row["id"]][key] for key in ("prompt", "completion")
        }
    for row in written[:2]:
        assert sum(share for _, share in row["tokens"]) == pytest.approx(row["score"], abs=1e-5)
        assert "".join(text for text, _ in row["tokens"][:-1]) == by_id[row["id"]]["completion"]
    assert "tokens" not in written[2]


def ranked(files: dict[str, str], out: Path, **changes: Any) -> Any:
    options: dict[str, Any] = {name: files[name] for name in ("model", "adapter", "examples", "targets")}
    return grait.influence.rank(**(options | {"out": out, "overrides": FAST} | changes))


def scores_of(found: Any) -> dict[str, float]:
    return {row.id: row.score for row in found.rows}


def test_of_an_earlier_ranking_nothing_is_left_and_it_is_said(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows ranked by groups and with tokens, ranked again with neither."""
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    ranked(files, first, group_column="kind", tokens=2)
    assert {"scores", "tokens"} <= read(first)[0].keys()
    ranked(files, second, examples=first)
    assert all(row.keys() == {"id", "prompt", "completion", "rank", "score"} for row in read(second))
    assert "was ranked before; that ranking's rank, score, scores, tokens left out" in capsys.readouterr().err


def test_columns_of_ones_own_are_not_overwritten(files: dict[str, str], tmp_path: Path) -> None:
    for column, value, changes in (("score", 0.5, {}), ("rank", 1, {}), ("tokens", 7, {"tokens": 1}),
                                   ("scores", {}, {"group_column": "kind"})):  # fmt: skip
        path = write(tmp_path / "own.jsonl", [row | {column: value} for row in rows(3)])
        with pytest.raises(DataError, match=f"line 1: has a column `{column}`, which the ranking writes"):
            ranked(files, tmp_path / "out.jsonl", examples=path, **changes)
    path = write(tmp_path / "own.jsonl", [row | {"tokens": 7} for row in rows(3)])
    ranked(files, tmp_path / "out.jsonl", examples=path)
    assert all(row["tokens"] == 7 for row in read(tmp_path / "out.jsonl"))


def test_a_row_without_an_id_gets_the_one_that_it_is_ranked_by(files: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", [row | {"id": None} for row in rows(2)])
    found = ranked(files, tmp_path / "out.jsonl", examples=path)
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == [row.id for row in found.rows]
    assert {row.id for row in found.rows} == {"own-1", "own-2"}


def test_text_is_tokenised_together_and_the_completion_begins_where_the_prompts_tokens_change(
    files: dict[str, str], tmp_path: Path
) -> None:
    prompts = RunData(module._config({"name": files["model"]}, tmp_path / "x", FAST), has_training=False).prompts
    tokenizer = prompts.tokenizer
    ends = [("The capital of", " Paris"), ("The capi", "tal of France"), ("The capital of ", "Paris")]
    merged = 0
    for prompt, completion in ends:
        own, whole = (tuple(tokenizer(text)["input_ids"]) for text in (prompt, prompt + completion))
        n = next((i for i, (a, b) in enumerate(zip(own, whole, strict=False)) if a != b), len(own))
        found = tokenized(prompts, Pair("a", prompt, completion, "", {}, {}, ""))
        assert (found.prompt_ids, found.completion_ids) == (whole[:n], (*whole[n:], tokenizer.eos_token_id))
        merged += n < len(own)
    assert merged


def test_groups_of_targets_are_told_apart_or_named(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short, long = rows(2)
    path = write(tmp_path / "t.jsonl", [short | {"group": "all"}, long])
    with pytest.raises(DataError, match="line 1: a group called `all`"):
        ranked(files, tmp_path / "out.jsonl", targets=path)
    path = write(tmp_path / "t.jsonl", [short, long | {"group": "far", "completion": " yellow" * 5000}])
    ranked(files, tmp_path / "out.jsonl", targets=path)
    assert "no row left of the groups far" in capsys.readouterr().err


def test_groups_have_scores_of_their_own_and_take_turns(files: dict[str, str], tmp_path: Path) -> None:
    found = grait.influence.rank(
        files["model"], adapter=files["adapter"], examples=files["examples"], targets=files["targets"],
        out=tmp_path / "ranked.jsonl", overrides=FAST, group_column="kind", top="25%",
    )  # fmt: skip
    written = read(tmp_path / "ranked.jsonl")
    assert len(written) == 3 and found.n == 12
    for row in written:
        assert set(row["scores"]) == {"a", "b"} and row["score"] in row["scores"].values()


def test_a_group_with_larger_cosines_does_not_take_all_places() -> None:
    alike = {"one": 0.9, "two": 0.8, "three": 0.7, "four": 0.6}
    apart = {"one": 0.01, "two": 0.0, "three": 0.02, "four": 0.03}
    found = of_scores({"alike": alike, "apart": apart})
    assert in_order(found) == {"one": "alike", "four": "apart", "two": "alike", "three": "apart"}
    assert list(in_order(found)) == ["one", "four", "two", "three"]
    assert list(in_order(of_scores({"alike": alike}))) == list(alike)


def of_scores(scores: dict[str, dict[str, float]]) -> Influence:
    ones = dict.fromkeys(next(iter(scores.values())), 1.0)
    return Influence(scores, ones, ones, ())


def test_a_datastore_answers_for_other_targets_as_a_ranking_would(files: dict[str, str], tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", [row | {"id": f"o{i}"} for i, row in enumerate(rows(3, 2))])
    store = tmp_path / "store"
    options = {"examples": files["examples"], "overrides": FAST}
    adapted = {"adapter": files["adapter"], **options}
    grait.influence.rank(
        files["model"], **adapted, targets=files["targets"], out=tmp_path / "one.jsonl", datastore=store
    )
    asked = grait.influence.query(
        store, targets=other, examples=files["examples"], out=tmp_path / "asked.jsonl", overrides=["lora.r=2"]
    )
    taken = grait.influence.rank(files["model"], **adapted, targets=other, out=tmp_path / "two.jsonl")
    exact = {row.id: row.score for row in taken.rows}
    assert {row.id: row.score for row in asked.rows} == pytest.approx(exact, abs=0.05)
    assert read(tmp_path / "asked.jsonl")[0]["prompt"]


def test_a_datastore_finds_its_model_from_another_folder(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(files["model"]).parent)
    ranked(files, tmp_path / "one.jsonl", model=Path(files["model"]).name, datastore=tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    found = grait.influence.query("store", targets=files["targets"], out="asked.jsonl")
    assert found.n == 12


def test_a_datastore_is_asked_with_its_own_adapter_only(files: dict[str, str], tmp_path: Path) -> None:
    store, options = tmp_path / "store", {"examples": files["examples"], "targets": files["targets"], "overrides": FAST}
    grait.influence.rank(
        files["model"], adapter=files["adapter"], **options, out=tmp_path / "one.jsonl", datastore=store
    )
    model = with_lora(AutoModelForCausalLM.from_pretrained(files["model"]))
    with torch.no_grad():
        next(weight for weight in model.parameters() if weight.requires_grad).add_(0.1)
    model.save_pretrained(tmp_path / "other")
    with pytest.raises(ArtifactError, match=r"store: was made with another adapter than .*other$"):
        grait.influence.query(store, adapter=tmp_path / "other", targets=files["targets"], out=tmp_path / "q.jsonl")


def test_of_an_adapter_of_another_size_the_weight_and_both_sizes_are_named(
    files: dict[str, str], tmp_path: Path
) -> None:
    shutil.copytree(files["adapter"], tmp_path / "big")
    config = json.loads((tmp_path / "big" / "adapter_config.json").read_text(encoding="utf-8"))
    (tmp_path / "big" / "adapter_config.json").write_text(json.dumps(config | {"r": 16}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"lora_A\S* has the size \[\d+, \d+\], expected \[16, \d+\]$"):
        ranked(files, tmp_path / "out.jsonl", adapter=tmp_path / "big")


def test_without_an_adapter_one_is_warmed_up_and_kept_and_a_second_call_only_reads(
    files: dict[str, str], tmp_path: Path, command: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["influence", "rank", "--model", files["model"], "--examples", files["examples"], "--targets",
            files["targets"], "--out", str(tmp_path / "ranked.jsonl"), "--warmup", "4"]  # fmt: skip
    call += [part for key in FAST for part in ("--set", key)]
    code, out, err = command(*call)
    assert code == 0 and "Warm-up on 4 of 12 examples" in err
    assert "10 of 12 examples" in out and "12 rows are in" in out
    before = (tmp_path / "ranked.jsonl").read_text()
    (tmp_path / "ranked.jsonl").unlink()
    code, out, err = command(*call)
    assert code == 0 and err.count("finished before, reused") == 2
    assert (tmp_path / "ranked.jsonl").read_text() == before
    assert (tmp_path / "ranked.jsonl.work" / "warmup" / "adapter_model.safetensors").is_file()


def test_the_whole_of_less(files: dict[str, str], tmp_path: Path) -> None:
    """Adam's steps on the examples against plain gradients of the targets, summed over two epochs of a warm-up."""
    less = ["influence.transform=adam", "influence.checkpoints=epochs", "warmup.epochs=2", "warmup.batch_size=4",
            "warmup.micro_batch_size=4"]  # fmt: skip
    found = grait.influence.rank(
        files["model"], examples=files["examples"], targets=files["targets"], out=tmp_path / "less.jsonl",
        mode="sketch", warmup=8, overrides=[*FAST, *less],
    )  # fmt: skip
    assert found.n == 12 and len({round(row.score, 9) for row in found.rows}) == 12
    assert max(abs(row.score) for row in found.rows) < 2 * 2e-4  # learning rates of two epochs times a cosine


def test_after_a_warm_up_gradients_are_those_of_less_and_at_an_adapter_plain(
    files: dict[str, str], tmp_path: Path
) -> None:
    def found(name: str, *overrides: str, **options: Any) -> dict[str, float]:
        given = {"overrides": [*FAST, *overrides], **options}
        return scores_of(ranked(files, tmp_path / f"{name}.jsonl", **given))

    less = found("less", adapter=None, warmup=4)
    assert less == found("named", "influence.transform=adam", adapter=None, warmup=4, mode="sketch")
    plain = found("plain", adapter=None, warmup=4, mode="exact")
    assert plain == found("none", "influence.transform=none", adapter=None, warmup=4)
    assert plain == found("tokens", adapter=None, warmup=4, tokens=2)
    assert less != pytest.approx(plain, abs=0.01)
    assert found("adapter") == found("exact", mode="exact")


def test_curvature_is_the_same_in_both_modes_and_of_a_kept_datastore(
    files: dict[str, str], tmp_path: Path, command: Call
) -> None:
    """The bases of a fit are kept with the sketch, and other targets are taken by them."""
    by = ["--set", "influence.transform=curvature", *(part for key in FAST for part in ("--set", key))]
    call = ["influence", "rank", "--model", files["model"], "--adapter", files["adapter"], "--examples",
            files["examples"], "--targets", files["targets"], *by]  # fmt: skip
    code, out, err = command(*call, "--out", str(tmp_path / "exact.jsonl"))
    assert code == 0 and "12 rows are in" in out, err
    exact = {row["id"]: row["score"] for row in read(tmp_path / "exact.jsonl")}
    plain = {row.id: row.score for row in ranked(files, tmp_path / "plain.jsonl", adapter=files["adapter"]).rows}
    assert exact.keys() == plain.keys() and exact != pytest.approx(plain, abs=0.05)
    store = tmp_path / "store"
    code, _, err = command(*call, "--out", str(tmp_path / "sketch.jsonl"), "--datastore", str(store))
    assert code == 0, err
    assert {row["id"]: row["score"] for row in read(tmp_path / "sketch.jsonl")} == pytest.approx(exact, abs=0.05)
    asked = grait.influence.query(store, targets=files["targets"], out=tmp_path / "asked.jsonl")
    assert {row.id: row.score for row in asked.rows} == pytest.approx(exact, abs=0.05)
    shutil.rmtree(store / "curvature")
    with pytest.raises(ArtifactError, match=r"made with a curvature that is not in .*curvature; make"):
        grait.influence.query(store, targets=files["targets"], out=tmp_path / "asked.jsonl")


def test_other_weights_of_the_model_are_another_ranking(files: dict[str, str], tmp_path: Path) -> None:
    """With the same adapter, examples and targets; also where the folder's name stays."""
    copied = tmp_path / "model"
    shutil.copytree(files["model"], copied)
    options = {"model": str(copied), "adapter": files["adapter"]}
    one = ranked(files, tmp_path / "out.jsonl", **options)
    model = AutoModelForCausalLM.from_pretrained(copied)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    model.save_pretrained(copied)
    anew = ranked(files, tmp_path / "out.jsonl", **options)
    elsewhere = ranked(files, tmp_path / "other.jsonl", **options)
    assert scores_of(anew) == pytest.approx(scores_of(elsewhere), abs=1e-6)
    assert scores_of(anew) != pytest.approx(scores_of(one), abs=1e-3)


def test_a_datastore_is_asked_with_its_own_examples_only(files: dict[str, str], tmp_path: Path) -> None:
    ranked(files, tmp_path / "one.jsonl", datastore=tmp_path / "store")
    changed = rows(12)
    changed[3]["completion"] = " Rome."
    changed = write(tmp_path / "changed.jsonl", changed)
    with pytest.raises(ArtifactError, match=r"store: was made of other examples than .*changed\.jsonl holds now"):
        grait.influence.query(tmp_path / "store", targets=files["targets"], examples=changed, out=tmp_path / "q.jsonl")
    assert not (tmp_path / "q.jsonl").exists()


def test_what_is_no_datastore_is_not_to_be_deleted(files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(ArtifactError, match="thesis: holds something else") as found:
        ranked(files, tmp_path / "one.jsonl", datastore=tmp_path / "thesis")
    assert "delete" not in str(found.value)


def test_a_file_that_took_the_place_of_a_ranking_stays(files: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "one.jsonl"
    ranked(files, out)
    ranked(files, out)  # our own is written anew
    ranked(files, tmp_path / "two.jsonl", datastore=tmp_path / "store")
    out.write_text('{"id": "mine"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="is there already, and is no ranking"):
        ranked(files, out)
    with pytest.raises(ConfigError, match="is there already, and is no ranking"):
        grait.influence.query(tmp_path / "store", targets=files["targets"], out=out)
    assert out.read_text(encoding="utf-8") == '{"id": "mine"}\n'


def test_groups_by_a_column_that_nothing_has_are_refused_and_targets_without_one_named(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="no row has a group in the column `knid`; found id, prompt, completion, kind"):
        ranked(files, tmp_path / "out.jsonl", group_column="knid")
    mixed = [row | {"group": "x" if i else None} for i, row in enumerate(rows(3, 5))]
    ranked(files, tmp_path / "out.jsonl", targets=write(tmp_path / "mixed.jsonl", mixed))
    assert "1 of 3 name no group; they are a group `all`" in capsys.readouterr().err


def test_targets_that_are_examples_are_counted(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    another = {"prompt": "Quite another", "completion": " letter."}
    both = [row | {"id": f"t{i}"} for i, row in enumerate([*rows(2), another])]
    ranked(files, tmp_path / "out.jsonl", targets=write(tmp_path / "both.jsonl", both))
    assert "2 of 3 are examples, too" in capsys.readouterr().err


def test_examples_of_the_same_tokens_rank_in_the_order_of_the_file() -> None:
    scores = {f"tie-{i}": 0.2 + (i % 3 - 1) * 1e-8 for i in range(6)} | {"best": 0.21, "worst": -0.1}
    found = Influence({"all": scores}, dict.fromkeys(scores, 1.0), dict.fromkeys(scores, 1.0), ())
    assert list(in_order(found)) == ["best", *(f"tie-{i}" for i in range(6)), "worst"]
    tiny = Influence(
        {"all": {name: 1e-9 * own for name, own in scores.items()}}, found.losses, found.gradient_norms, ()
    )
    assert list(in_order(tiny)) == list(in_order(found))


def test_a_warm_up_beside_an_adapter_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="warmup: makes an adapter, and one is given"):
        ranked(files, tmp_path / "out.jsonl", warmup=4)


def test_an_adapter_that_is_not_finite_says_so(files: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(files["adapter"], tmp_path / "broken")
    path = tmp_path / "broken" / "adapter_model.safetensors"
    weights = load_file(path)
    next(iter(weights.values()))[0] = torch.nan
    save_file(weights, path)
    with pytest.raises(ModelError, match=r"broken: holds values that are not finite, such as in .*lora"):
        ranked(files, tmp_path / "out.jsonl", adapter=tmp_path / "broken")


def test_an_untrained_adapter_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(AutoModelForCausalLM.from_pretrained(files["model"]), LoraConfig(r=2, task_type="CAUSAL_LM"))
    model.save_pretrained(tmp_path / "fresh")
    with pytest.raises(ModelError, match="not trained yet"):
        grait.influence.rank(
            files["model"], adapter=tmp_path / "fresh", examples=files["examples"], targets=files["targets"],
            out=tmp_path / "ranked.jsonl", overrides=FAST,
        )  # fmt: skip


def test_what_cannot_be_is_one_line(files: dict[str, str], tmp_path: Path, command: Call) -> None:
    call = [
        "influence",
        "rank",
        "--model",
        files["model"],
        "--examples",
        files["examples"],
        "--targets",
        files["targets"],
    ]
    mine = tmp_path / "mine.jsonl"
    mine.write_text("precious\n")
    for more, words in (
        (["--out", str(mine)], "is there already"),
        (["--top", "0%"], "expected a number from 1, or a share"),
        (["--top", "many"], "expected a number, or a share such as 5%"),
        (["--mode", "magic"], "expected exact or sketch"),
        (["--adapter", files["adapter"], "--set", "influence.transform=adam"], "needs mode sketch"),
        (
            ["--adapter", files["adapter"], "--mode", "sketch", "--set", "influence.transform=adam"],
            "has no optimizer",
        ),
        (["--adapter", files["adapter"], "--set", "influence.checkpoints=epochs"], "sums over a warm-up"),
        (["--examples", str(mine)], "line 1"),
    ):
        code, _, err = command(*call, *(["--out", str(tmp_path / "x.jsonl")] if "--out" not in more else []), *more)
        assert code == 2 and words in err and len(err.strip().splitlines()) == 1, err
    assert mine.read_text() == "precious\n"
    code, _, err = command("influence", "query", str(tmp_path), "--targets", files["targets"])
    assert code == 2 and "no gradient datastore" in err


def test_shares_and_counts() -> None:
    assert module._count("top", None, 50, 1) == 50
    assert module._count("top", "5%", 1000, 1) == 50
    assert module._count("warmup", "5%", 1000, 100) == 100
    assert module._count("warmup", 7, 1000, 100) == 7
    assert module._count("top", "200", 50, 1) == 50
    for wrong in ("-1", "101%", "0", "inf%", "nan%", "inf"):
        with pytest.raises(ConfigError):
            module._count("top", wrong, 50, 1)
