"""Hundreds of inputs that are wrong: each ends in one line and exit code 2, nothing is lost, and there is no traceback.

Questions in all formats, configs and run folders. ``Reached``: what is read without a fault may go on to the model.
"""

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from conftest import Call as Command
from pydantic import BaseModel
from tiny_folder import Files, tiny_tree

from grait.config import Config
from grait.errors import GraitError, ModelError
from grait.pipeline import data, order
from grait.runtime.artifacts import MANIFEST

REACHED = "the model was reached"
Call = Callable[..., tuple[int, str]]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def grait(command: Command) -> Call:
    """Call the command line in this process: exit code and stderr. Any exception but its end fails the test."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        code, _, err = command(*arguments)
        assert "Traceback" not in err
        return code, err

    return call


def assert_one_line(outcome: tuple[int, str]) -> str:
    code, err = outcome
    assert code == 2, err
    assert err.startswith("error: ") and err.count("\n") == 1 and len(err) < 2000, err[:3000]
    return err


# -- questions -----------------------------------------------------------------------------------------------------

GOOD: list[dict[str, Any]] = [{"id": f"g{i}", "question": f"Question {i}?", "answers": ["yes"]} for i in range(6)]


def jsonl(*rows: Any) -> bytes:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def parquet(columns: dict[str, Any]) -> bytes:
    file = BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def zipped(content: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("train.jsonl", content)
    return file.getvalue()


VALUES = (
    "1.5",
    "true",
    "{}",
    "[]",
    "[[]]",
    "[null]",
    '""',
    '" "',
    "NaN",
    "-Infinity",
    "1e999",
    '"\\u0000"',
    '"\\ud800"',
    "1" * 5000,
    '{"a": {"b": 1}}',
    "[" * 2000 + "]" * 2000,
)
FINE = {
    ("id", '"\\u0000"'),
    ("subject", '"\\u0000"'),
    ("relation", '"\\u0000"'),
    ("group", '"\\u0000"'),
    ("question", '"\\u0000"'),
    ("answers", '"\\u0000"'),
    ("answer", '"\\u0000"'),
    ("choices", "[]"),
    ("choices", "{}"),
    *((column, "NaN") for column in ("id", "choices", "match", "relation", "subject", "popularity")),
}
"""Odd, but a text, or nothing."""


def data_files() -> Iterator[tuple[str, str, bytes, bool]]:
    """Name, suffix, content, and whether it may also be fine."""
    whole = jsonl(*GOOD)
    for column in ("id", "question", "answer", "answers", "choices", "match", "relation", "subject", "popularity"):
        for number, value in enumerate(VALUES):
            row = {"question": "Why?", "answers": ["yes"]}
            row.pop("answers" if column == "answer" else column, None)
            text = json.dumps(row)[:-1] + f', "{column}": {value}}}'
            yield f"{column}-{number}", ".jsonl", jsonl(*GOOD, text), (column, value) in FINE
    as_list = json.dumps(GOOD).encode()
    as_csv = b"id,question,answers\n" + b"".join(b'g%d,"Question, %d?",yes\n' % (i, i) for i in range(6))
    as_parquet = parquet({name: [row[name] for row in GOOD] for name in ("id", "question", "answers")})
    for suffix, content in ((".jsonl", whole), (".json", as_list), (".csv", as_csv), (".parquet", as_parquet)):
        for share in (0.02, 0.3, 0.61, 0.97):
            cut = content[: int(len(content) * share)]
            yield f"cut-{share}", suffix, cut, (suffix == ".csv" and share > 0.3) or share == 0.02
        yield "empty", suffix, b"", False
        yield "zeros", suffix, bytes(500), False
        yield "random", suffix, random.Random(0).randbytes(2000), False
        yield "UTF-16", suffix, content.decode("latin-1").encode("utf-16"), False
        yield "UTF-32", suffix, content.decode("latin-1").encode("utf-32"), False
        yield "gzip", suffix, gzip.compress(content), False
        yield "zip", suffix, zipped(content), False
        yield "picture", suffix, b"\x89PNG\r\n\x1a\n" + bytes(range(256)), False
        yield "page", suffix, b"<!DOCTYPE html><html><body>404</body></html>\n", False
        yield (
            "pickle",
            suffix,
            b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
            False,
        )
        for seed in range(12):
            generator = random.Random(seed)
            changed = bytearray(content)
            for _ in range(1 + seed % 4):
                changed[generator.randrange(len(changed))] = generator.randrange(256)
            yield f"flipped-{seed}", suffix, bytes(changed), True
    for suffix, content in ((".jsonl", whole), (".csv", as_csv)):
        yield "mark", suffix, b"\xef\xbb\xbf" + content, True
        yield "Windows", suffix, content.replace(b"\n", b"\r\n"), True
        yield "Mac", suffix, content.replace(b"\n", b"\r"), True
        yield "Latin-1", suffix, content.replace(b"Question", "Qu\xe9stion".encode("latin-1")), False
        yield "NUL", suffix, content.replace(b"yes", b"y\0s"), True
        yield "twice", suffix, content + content, suffix == ".csv"
        yield "huge", suffix, content.replace(b"yes", b"y" * 3_000_000), True
    deep = "[" * 100_000
    for name, text in (
        ("deep", deep),
        ("deep and closed", deep + "]" * 100_000),
        ("deep objects", '{"a":' * 50_000),
        ("null", "null"),
        ("text", '"x"'),
        ("number", "1"),
        ("two values", "{} {}"),
        ("comma", "[,]"),
        ("lists", "[[]]"),
        ("single quotes", "[{'question': 'Why?', 'answers': ['yes']}]"),
        ("comment", "// none\n[]"),
        ("empty list", "[]"),
        ("ends in a comma", '[{"question": "Why?", "answers": ["yes"]},]'),
        ("and more", "[] []"),
        ("key twice", '{"question": "Why?", "question": "?", "answers": []}'),
    ):
        yield name, ".jsonl", text.encode(), False
        yield name, ".json", text.encode(), False
    for name, text in (
        ("header", "id,question,answers\n"),
        ("no header", "a,Why?,yes\n"),
        ("ragged", "question,answers\nWhy?\n"),
        ("long row", "question,answers\nWhy?,yes,no\n"),
        ("open quote", 'question,answers\n"Why?,yes\n'),
        ("quote within", 'question,answers\n"Why"?,yes\n'),
        ("columns twice", "question,question,answers\na,b,c\n"),
        ("blank names", ",,\na,b,c\n"),
        ("commas", ",,,,\n,,,,\n"),
        ("bad list", 'question,answers\nWhy?,"[yes]"\n'),
        ("deep list", f'question,answers\nWhy?,"{deep}]"\n'),
        ("bad choices", "question,answers,choices\nWhy?,yes,no\n"),
        ("rank", "question,answers,popularity\nWhy?,yes,x\n"),
        ("NaN", "question,answers,popularity\nWhy?,yes,nan\n"),
        ("match", "question,answers,match\nWhy?,yes,fuzzy\n"),
        ("answer of none", 'question,answer,choices\nWhy?,Z,"[""a"", ""b""]"\n'),
    ):
        yield name, ".csv", text.encode(), False
    texts = ["Why?", "How?"]
    for name, columns in (
        ("no columns", {}),
        ("no rows", {"question": pa.array([], pa.string()), "answers": pa.array([], pa.string())}),
        ("other columns", {"a": [1, 2]}),
        ("numbers", {"question": [1.5, 2.5], "answers": texts}),
        ("nulls", {"question": [None, None], "answers": texts}),
        ("null type", {"question": pa.nulls(2), "answers": texts}),
        ("bytes", {"question": [b"\xff\xfe", b"\x00"], "answers": texts}),
        ("dates", {"question": pa.array([0, 1], pa.date32()), "answers": texts}),
        ("structs", {"question": texts, "answers": [{"word": "a"}, {"word": "b"}]}),
        ("lists of lists", {"question": texts, "answers": [[["a"], ["c"]], [["b"]]]}),
        ("lists of nulls", {"question": texts, "answers": [[None], [None]]}),
        ("empty lists", {"question": texts, "answers": [[], []]}),
        ("booleans", {"question": texts, "answers": [True, False]}),
        ("ids twice", {"id": ["a", "a"], "question": texts, "answers": texts}),
        ("infinite", {"question": texts, "answers": texts, "popularity": [float("inf"), 0.5]}),
        ("maps", {"question": texts, "answers": pa.array([[("a", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64()))}),
        ("durations", {"question": texts, "answers": pa.array([1, 2], pa.duration("ns"))}),
        ("big numbers", {"question": texts, "answers": pa.array([1, 2], pa.decimal256(50, 3))}),
        ("far dates", {"question": texts, "answers": pa.array([2**62, 1], pa.timestamp("us"))}),
    ):
        yield name, ".parquet", parquet(columns), False
    bad_text = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"\xff\xfe\xfd\xfc")
    )
    yield "no UTF-8", ".parquet", parquet({"question": bad_text, "answers": texts}), False


def test_malformed_question_files(grait: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*_: Any) -> Any:
        raise ModelError(REACHED)

    monkeypatch.setattr(data, "load_tokenizer", reached)
    good = tmp_path / "good.jsonl"
    good.write_bytes(jsonl(*({**row, "id": f"t{i}"} for i, row in enumerate(GOOD))))
    out = tmp_path / "run"
    cases = list(data_files())
    assert len(cases) > 300
    n_refused = 0
    for number, (name, suffix, content, may_be_fine) in enumerate(cases):
        bad = tmp_path / f"bad{suffix}"
        bad.write_bytes(content)
        train, test = (bad, good) if number % 2 else (good, bad)
        err = assert_one_line(grait("run", "--model", "m", "--train", train, "--test", test, "--out", out))
        if REACHED in err:
            assert may_be_fine, (name, suffix)
        else:
            assert str(bad) in err, (name, suffix, err)
            n_refused += 1
        assert not out.exists(), (name, suffix)
    assert n_refused > 250


def test_malformed_paths(grait: Call, tmp_path: Path) -> None:
    good = tmp_path / "good.jsonl"
    good.write_bytes(jsonl(*GOOD))
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    (tmp_path / "nowhere.jsonl").symlink_to(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "closed.jsonl").write_bytes(jsonl(*GOOD))
    (tmp_path / "closed.jsonl").chmod(0)
    names = [
        "folder.jsonl",
        "loop.jsonl",
        "nowhere.jsonl",
        "pipe.jsonl",
        "good.jsonl/x.jsonl",
        "x" * 5000 + ".jsonl",
        "none.csv",
    ]
    if os.geteuid() != 0:
        names.append("closed.jsonl")
    for name in names:
        bad = tmp_path / name
        for train, test in ((good, bad), (bad, good)):
            assert_one_line(grait("run", "--model", "m", "--train", train, "--test", test, "--out", tmp_path / "run"))
    for bad_path in (
        "",
        " ",
        "\0",
        "a\0.jsonl",
        "/",
        ".",
        "..",
        "~",
        "http://x/y.jsonl",
        "a/b/c.jsonl",
        "\udcff.jsonl",
    ):
        arguments = ("run", "--model", "m", "--train", good, "--test", good, "--out", tmp_path / "run")
        assert_one_line(grait(*arguments, "--set", "data=" + json.dumps({"path": bad_path})))
    assert not (tmp_path / "run").exists()


# -- configs -------------------------------------------------------------------------------------------------------

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
CONFIGS = (
    "[]",
    "text",
    "3",
    "- a",
    "null: 1",
    "1: 2",
    "[1]: 2",
    "? {a: b}\n: c",
    "a: b: c",
    "\t- a",
    "{",
    "[",
    '"',
    "'",
    "%",
    "@",
    "`",
    "&",
    "*a",
    "a: *b",
    "&a [*a]",
    "a: &a {b: *a}",
    "seed: &a [*a]",
    "prompt: {refusal: &a [*a]}",
    "<<: 3",
    "<<: [1]",
    "<<: *x",
    "seed: 0\nseed: 1",
    "prompt:\n  n_shots: 1\n  n_shots: 2",
    "---\na: 1\n---\nb: 2",
    "!!python/object/apply:os.system [ls]",
    "seed: !!python/object/apply:os.getpid []",
    "seed: !!python/name:os.system",
    "seed: !x 1",
    "seed: !!int x",
    "seed: !!float x",
    "seed: !!bool x",
    "seed: !!timestamp x",
    "seed: 2001-99-99",
    "seed: !!binary '*'",
    "seed: !!set {a}",
    "seed: !!omap [a]",
    "seed: !!pairs [a]",
    "out: 2001-01-01",
    "seed: " + "9" * 5000,
    "seed: 0x" + "f" * 5000,
    "seed: 1e400",
    "seed: .nan",
    "seed: .inf",
    "seed: -1",
    "seed: 4294967296",
    "seed: 1.5",
    "seed: '1.5'",
    "seed: true",
    "seed: yes",
    "seed: ~",
    "[" * 20_000,
    "{a: " * 20_000,
    "a:\n" + "".join(" " * i + "- \n" for i in range(1, 1500)),
    BOMB + "seed: *i",
    BOMB + "out: *i",
    BOMB + "prompt: *i",
    BOMB + "prompt: {refusal: *i}",
    BOMB + "prompt: {refusal_phrases: *i}",
    BOMB + "evaluation: {datasets: *i}",
    "Seed: 1",
    "seeds: [0]",
    "data: {pth: x}",
    "data: []",
    "data: x",
    "model: x",
    "model: {name: ''}",
    "model: {name: [a]}",
    "evaluation: {datasets: []}",
    "evaluation: {datasets: {path: x}}",
    "evaluation: {datasets: [x]}",
    "evaluation: {datasets: [{}, {}]}",
    "evaluation: {datasets: [{name: ../x}]}",
    "evaluation: {datasets: [{name: ''}]}",
    "evaluation: {datasets: [{name: .x}]}",
    'evaluation: {datasets: [{name: "a\\0b"}]}',
    'evaluation: {datasets: [{name: "a\\nb"}]}',
    f"evaluation: {{datasets: [{{name: {'x' * 300}}}]}}",
    "training: {methods: grait}",
    "training: {methods: [grate]}",
    "training: {methods: [[grait]]}",
    "training: {batch_size: 3, micro_batch_size: 2}",
    "prompt: {refusal: maybe}",
    "prompt: {refusal_phrases: ['']}",
    "prompt: {refusal_phrases: [1]}",
    "lora: {target_modules: 3}",
    "lora: {target_modules: {a: 1}}",
    "compare: {seeds: []}",
    "compare: {seeds: [0, 0]}",
    "compare: {seeds: [-1]}",
    "compare: {methods: [x]}",
    "data: {limit: 0}",
    "data: {limit: " + "9" * 30 + "}",
    "data: {view: both}",
    "out: ''",
    "out: 3",
    "out: [a]",
)


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """A config that is read without a fault goes no further."""

    def run(_: Config) -> None:
        raise GraitError(REACHED)

    monkeypatch.setattr(order, "run", run)


@pytest.mark.usefixtures("reached")
def test_malformed_configs(grait: Call, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    for text in CONFIGS:
        path.write_text(text, encoding="utf-8")
        err = assert_one_line(grait("run", path))
        assert str(path) in err and REACHED not in err, (text[:100], err)
    for content in (
        b"\xff\xfe",
        b"\x00",
        "seed: 1".encode("utf-16"),
        b"seed: \xe9",
        bytes(range(256)),
        b"\x1f\x8b\x08\x00",
    ):
        path.write_bytes(content)
        err = assert_one_line(grait("run", path))
        assert str(path) in err and (REACHED not in err), content
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("loop.yaml", "folder.yaml", "none.yaml", "x" * 300, "bad.yaml/x"):
        assert_one_line(grait("run", tmp_path / name))


def keys(section: type[BaseModel], path: str = "") -> Iterator[str]:
    """All keys of the config, sections included."""
    for name, field in section.model_fields.items():
        yield f"{path}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{path}{name}.")


@pytest.mark.usefixtures("reached")
def test_every_key_with_every_kind_of_value(grait: Call) -> None:
    """Most are wrong, some are right: what matters is that each ends in one line, which names the key."""
    values = (
        "{}",
        "[]",
        "x",
        "''",
        "-1",
        "0",
        ".nan",
        ".inf",
        "9" * 25,
        "null",
        "true",
        "{a: 1}",
        "[null]",
        "2001-01-01",
        "!!binary aGk=",
        '"\\0"',
        "'\U0001f600'",
    )
    n_refused = 0
    for key in keys(Config):
        for value in values:
            err = assert_one_line(grait("run", "--set", f"{key}={value}"))
            assert REACHED in err or key.split(".")[0] in err, (key, value, err)
            n_refused += REACHED not in err
        assert REACHED not in assert_one_line(grait("run", "--set", f"{key}.none=1")), key
    assert n_refused > 800
    for assignment in (
        "",
        "=",
        "=1",
        "seed",
        ".=1",
        "..=",
        "seed.=1",
        "[=1",
        "seed=[",
        "seed=*a",
        "seed=2001-99-99",
        "none=1",
        "a\nb",
        "seed=a\nb",
        "\0",
    ):
        assert REACHED not in assert_one_line(grait("run", "--set", assignment)), assignment


# -- run folders ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tiny: tuple[str, Files], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run of two settings of the warm-up's epochs, and its config."""
    from grait import run

    folder = tmp_path_factory.mktemp("finished")
    tree = tiny_tree(*tiny, folder / "run")
    tree["training"]["methods"] = ["grait"]
    tree["influence"] = {"transform": "adam", "checkpoints": "epochs"}
    tree["evaluation"]["n_bootstrap"] = 100
    run(tree)
    return folder / "run", tree


def damages(content: bytes) -> dict[str, bytes | None]:
    """None: a folder in the place of the file."""
    other = b'[{"a": [[1]]}]'
    return {
        "cut": content[: len(content) // 2],
        "emptied": b"",
        "garbage": random.Random(0).randbytes(len(content)),
        "JSON": other[: len(content)] + b" " * (len(content) - len(other)),
        "folder": None,
    }


def damage(path: Path, content: bytes | None) -> None:
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files_of(folder: Path) -> list[str]:
    return sorted(name for name in contents(folder) if not name.startswith("."))


def in_stages(folder: Path) -> set[str]:
    """Files of finished stages."""
    stages = [path.parent for path in folder.rglob(MANIFEST)]
    return {name for name in contents(folder) if any((folder / name).is_relative_to(stage) for stage in stages)}


def assert_nothing_lost(before: dict[str, bytes], after: dict[str, bytes], kept: set[str], name: str) -> None:
    for path in kept - {name}:
        assert after.get(path) == before[path], (name, path)


def test_damaged_files_of_a_finished_run(grait: Call, tmp_path: Path, finished: tuple[Path, dict[str, Any]]) -> None:
    """Every file, in five ways. What is not needed may stay as it is; what can be made from stages is made again."""
    folder, tree = finished
    run, config = tmp_path / "run", tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(tree | {"out": str(run)}))
    names, n_cases, n_refused = files_of(folder), 0, 0
    assert len(names) > 20
    for name in names:
        for kind, content in damages((folder / name).read_bytes()).items():
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(folder, run)
            damage(run / name, content)
            before, kept = contents(run), in_stages(run)
            code, err = grait("run", config)
            assert code in (0, 2), (name, kind, err)
            assert (err.count("error: ") == 1) == (code == 2), (name, kind, err)
            if code == 2:
                assert "error: " in err.splitlines()[-1] and (str(run) in err.splitlines()[-1]), (name, kind, err)
                n_refused += 1
            assert_nothing_lost(before, contents(run), kept, name)
            n_cases += 1
    assert n_cases > 100 and n_refused > 60


def test_damaged_files_that_a_changed_config_needs(
    grait: Call, tmp_path: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    """Of the right size, so that only reading them shows it."""
    folder, tree = finished
    run, config = tmp_path / "run", tmp_path / "config.yaml"
    tree = json.loads(json.dumps(tree))
    tree["influence"]["transform"] = "adam-less"
    config.write_text(yaml.safe_dump(tree | {"out": str(run)}))
    needed = [
        "knowledge/knowledge.parquet",
        *(f"warmup/epoch-1/{name}" for name in ("adapter_model.safetensors", "adapter_config.json")),
        "warmup/epoch-1/optimizer_moments.safetensors",
        "warmup/checkpoints.json",
    ]
    for name in needed:
        for kind in ("garbage", "JSON"):
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(folder, run)
            damage(run / name, damages((folder / name).read_bytes())[kind])
            before, kept = contents(run), in_stages(run)
            code, err = grait("run", config)
            last = err.splitlines()[-1]
            assert code == 2 and last.startswith("error: ") and "Traceback" not in err, (name, kind, err)
            assert str(run / name.split("/")[0]) in last, (name, kind, last)
            assert_nothing_lost(before, contents(run), kept, name)


def test_an_adapter_of_another_model_is_one_line(
    grait: Call, tmp_path: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    """With a manifest that fits it."""
    from safetensors.torch import load_file, save_file

    folder, tree = finished
    run, config = tmp_path / "run", tmp_path / "config.yaml"
    tree = json.loads(json.dumps(tree))
    tree["evaluation"]["max_new_tokens"] += 1
    config.write_text(yaml.safe_dump(tree | {"out": str(run)}))
    shutil.copytree(folder, run)
    path = run / "adapters" / "grait" / "adapter_model.safetensors"
    save_file(
        {name: torch.zeros(tensor.shape[0] + 1, tensor.shape[1]) for name, tensor in load_file(path).items()}, path
    )
    manifest = json.loads((path.parent / MANIFEST).read_text())
    manifest["files"][path.name] = path.stat().st_size
    (path.parent / MANIFEST).write_text(json.dumps(manifest))
    code, err = grait("run", config)
    assert code == 2 and err.splitlines()[-1].startswith("error: ") and str(path.parent) in err.splitlines()[-1], err


MANIFESTS = (
    {},
    [],
    3,
    None,
    {"schema_version": 1},
    {"schema_version": "1"},
    {"schema_version": 1, "key": [], "notes": {}, "files": {}},
    {"schema_version": 1, "key": {}, "notes": {}, "files": {"x": "y"}},
    {"schema_version": 1, "key": {}, "notes": {}, "files": {"../x\0": 1}},
    {"schema_version": 2, "key": {}, "notes": {}, "files": {}},
)


@pytest.mark.parametrize("stage", ["knowledge", "adapters/grait"])
def test_foreign_manifests_and_stages(
    grait: Call, tmp_path: Path, finished: tuple[Path, dict[str, Any]], stage: str
) -> None:
    folder, tree = finished
    run, config = tmp_path / "run", tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(tree | {"out": str(run)}))
    key = json.loads((folder / stage / MANIFEST).read_text())["key"]
    for manifest in (*MANIFESTS, "[" * 50_000):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(folder, run)
        if isinstance(manifest, dict) and manifest.get("key") == {}:
            manifest = manifest | {"key": key}  # only the rest is wrong
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        (run / stage / MANIFEST).write_text(text)
        before = contents(run)
        code, err = grait("run", config)
        assert code == 2 and err.splitlines()[-1].startswith("error: ") and str(run / stage) in err, (text[:80], err)
        assert {
            path: content for path, content in contents(run).items() if path in before and path != "config.json"
        } == {path: content for path, content in before.items() if path != "config.json"}
    for kind in ("file", "loop", "empty"):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(folder, run)
        shutil.rmtree(run / stage)
        if kind == "file":
            (run / stage).write_text("x")
        elif kind == "loop":
            (run / stage).symlink_to(run / stage)
        else:
            (run / stage).mkdir()
        code, err = grait("run", config)
        assert code == 2 and err.splitlines()[-1].startswith("error: "), (kind, err)


# -- disks that are full -------------------------------------------------------------------------------------------

FULL_DISK = """
import gc, json, os, resource, sys
from pathlib import Path
import peft, torch, transformers
torch.set_num_threads(1)
from grait import cli
from grait.training import checkpoints, sft
import grait.pipeline.order
checkpoints.SECONDS_BETWEEN_WRITES = 0.0
gc.freeze()  # no child looks for garbage in what is imported
run, config = map(Path, sys.argv[1:])
for limit in (0, 1000, 2000, 4000, 8000, 16_000, 24_000, 32_000, 48_000, 10**9):
    said, told = os.pipe()  # has no limit of its own, as a file would
    child = os.fork()
    if child == 0:
        os.dup2(told, 1), os.dup2(told, 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        sys.argv = ["grait", "run", str(config)]
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        sys.stderr.flush()
        os._exit(code)
    os.close(told)
    with os.fdopen(said) as file:
        err = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finished = sorted(str(path.parent.relative_to(run)) for path in run.rglob("manifest.json"))
    print(json.dumps([code, err, finished]), flush=True)
"""


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path, finished: tuple[Path, dict[str, Any]]) -> None:
    """A limit on the size of files fails writes as a full disk does, in all libraries; what was finished is reused."""
    folder, tree = finished
    run, config = tmp_path / "run", tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(tree | {"out": str(run)}))
    (tmp_path / "full_disk.py").write_text(FULL_DISK)
    done = subprocess.run(
        [sys.executable, tmp_path / "full_disk.py", run, config],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    places, before = set(), set[str]()
    *failed, last = (json.loads(line) for line in done.stdout.splitlines())
    for code, err, stages in failed:
        assert "Traceback" not in err, err
        assert before <= set(stages)
        before = set(stages)
        if code != 0:
            error = err.splitlines()[-1]
            assert code == 2 and error.startswith("error: ") and str(run) in error, err
            places.add(error.split(": ")[1].removeprefix(str(run)))
    assert len(places) >= 3 and {code for code, *_ in failed} >= {2}, places
    assert last[0] == 0, last[1]
    assert in_stages(run) == in_stages(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_line(
    grait: Call, tmp_path: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    folder, tree = finished
    run, config = tmp_path / "run", tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(tree | {"out": str(run)}))
    shutil.copytree(folder, run)
    run.chmod(0o500)
    try:
        code, err = grait("run", config)
    finally:
        run.chmod(0o700)
    assert code == 2 and str(run) in assert_one_line((code, err))
    assert grait("run", config)[0] == 0
