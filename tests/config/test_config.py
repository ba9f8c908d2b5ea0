"""The config: what is allowed, and that everything else is one line naming the key, the value and what is allowed."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from grait.commands.recipe import demo_config, run_config
from grait.config import Config, Section, override, parse_config, parse_file
from grait.errors import ConfigError
from grait.model.forms import untaught_forms


def error_of(tree: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(tree, "my.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("my.yaml: ")
    return message.removeprefix("my.yaml: ")


def file_error(path: Path, overrides: list[str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_file(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def sections(kind: type[BaseModel] = Config) -> list[type[BaseModel]]:
    """A section and all below it."""
    found = [kind]
    for field in kind.model_fields.values():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found += sections(annotation)
    return found


def test_the_defaults_are_a_config() -> None:
    config = parse_config({})
    assert config.model.name == "SmolLM2-135M-Instruct"
    assert [dataset.title for dataset in config.evaluation.datasets] == ["in-domain", "out-of-domain"]
    assert parse_config(config.model_dump()) == config


def test_every_field_is_described() -> None:
    for section in sections():
        assert section.__doc__
        for name, field in section.model_fields.items():
            is_section = isinstance(field.annotation, type) and issubclass(field.annotation, Section)
            assert field.description or is_section, f"{section.__name__}.{name}"


METHOD = ("prompt", "knowledge", "lora", "warmup", "influence", "selection", "training", "tune", "replay", "compare")
"""Sections that say how a model is tuned."""


@pytest.mark.parametrize("name", ["demo.yaml", "demo-quick.yaml"])
def test_the_demo_is_the_recipe_with_data_and_sizes(name: str) -> None:
    """It names no setting of the method, but what it costs."""
    config, default = demo_config(name, []), run_config({"data": {"path": "worldfacts", "split": "train"}})
    assert config.data.path == "worldfacts"
    is_quick = "quick" in name
    assert config.training.methods == (["cor-rait", "grait"] if is_quick else ["grait"])
    named = {
        f"{section}.{key}"
        for section in METHOD
        for key, value in config.model_dump()[section].items()
        if value != default.model_dump()[section][key]
    }
    forms = {"prompt.forms", "replay.n", "replay.given_texts", "replay.unanswerable"}
    assert named - (forms | {"training.max_steps"} if is_quick else {"training.methods"}) == {
        "knowledge.max_new_tokens",
        "warmup.micro_batch_size",
        "influence.mode",
        "influence.max_idk",
        "influence.tokens_per_batch",
        "tune.budget",
    }


@pytest.mark.parametrize("unknown", ["modle", "Seed", "knowledge_"])
def test_an_unknown_key_is_named_with_those_that_are_allowed(unknown: str) -> None:
    message = error_of({unknown: 1})
    assert message.startswith(f"{unknown}: unknown key; allowed: ")
    allowed = message.partition("allowed: ")[2].split(", ")
    assert allowed == sorted(Config.model_fields)


def test_an_unknown_key_of_a_section_is_named_with_its_path() -> None:
    assert error_of({"training": {"lr": 1}}).startswith("training.lr: unknown key; allowed: batch_size, epochs, ")


def test_an_unknown_key_of_a_data_set_is_named_with_its_place() -> None:
    tree = {"evaluation": {"datasets": [{"path": "a.jsonl"}, {"path": "b.jsonl", "file": "x"}]}}
    allowed = "allow_overlap, columns, encoding, folder, limit, name, near_duplicates, path, revision, split, "
    allowed += "unanswerable, view"
    assert error_of(tree) == f"evaluation.datasets.1.file: unknown key; allowed: {allowed}"


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"knowledge": {"n_samples": "ten"}}, "knowledge.n_samples = 'ten'", "integer"),
    ({"knowledge": {"n_samples": 2.5}}, "knowledge.n_samples = 2.5", "integer"),
    ({"knowledge": {"n_samples": True}}, "knowledge.n_samples = True", "not be true or false"),
    ({"knowledge": {"n_samples": 0}}, "knowledge.n_samples = 0", "greater than or equal to 1"),
    ({"knowledge": {"temperature": "high"}}, "knowledge.temperature = 'high'", "should be 'auto'"),
    ({"evaluation": {"calibration": {"path": "a", "foo": 1}}}, "evaluation.calibration.foo", "unknown key"),
    ({"evaluation": {"calibration": 5}}, "evaluation.calibration = 5", "should be a section of keys and values"),
    ({"knowledge": {"temperature": 0}}, "knowledge.temperature = 0", "greater than 0"),
    ({"knowledge": {"temperature": float("inf")}}, "knowledge.temperature = inf", "finite"),
    ({"knowledge": {"temperature": float("nan")}}, "knowledge.temperature = nan", "finite"),
    ({"knowledge": {"correctness_threshold": 1}}, "knowledge.correctness_threshold = 1", "less than 1"),
    ({"knowledge": {"scoring": "magic"}}, "knowledge.scoring = 'magic'", "'sampling', 'letter' or 'likelihood'"),
    ({"model": {"dtype": "int8"}}, "model.dtype = 'int8'", "'bfloat16', 'float16' or 'float32'"),
    ({"model": {"trust_remote_code": 3}}, "model.trust_remote_code = 3", "boolean"),
    ({"model": "gpt2"}, "model = 'gpt2'", "section of keys and values"),
    ({"training": None}, "training = None", "section of keys and values"),
    ({"context": {"refusal": None}}, "context.refusal: is empty", "should be a text"),
    ({"seed": {"a": 1}}, "seed = {'a': 1}", "integer"),
    ({"seed": -1}, "seed = -1", "greater than or equal to 0"),
    ({"out": ""}, "out = ''", "at least 1 character"),
    ({"prompt": {"system": ["a"]}}, "prompt.system = ['a']", "string"),
    ({"prompt": {"refusal": "Pass."}}, "prompt.refusal = 'Pass.'", "I don't know."),
    ({"prompt": {"refusal_phrases": ["really the"]}}, "prompt.refusal_phrases = ['really the']", "one telling word"),
    (
        {"prompt": {"refusal_phrases": ["pass", "?"]}},
        "prompt.refusal_phrases = ['pass', '?']",
        "'?' would not be found",
    ),
    ({"lora": {"target_modules": 3}}, "lora.target_modules = 3", "list"),
    ({"lora": {"target_modules": ["q_proj", 3]}}, "lora.target_modules.1 = 3", "string"),
    ({"training": {"methods": ["magic"]}}, "training.methods.0 = 'magic'", "'cor-rait', 'corcer-rait', "),
    ({"evaluation": {"datasets": []}}, "evaluation.datasets = []", "at least 1"),
    ({"evaluation": {"datasets": {"a": 1}}}, "evaluation.datasets = {'a': 1}", "list"),
    ({"evaluation": {"datasets": ["a.jsonl"]}}, "evaluation.datasets.0 = 'a.jsonl'", "section of keys and values"),
    ({"evaluation": {"datasets": [{"limit": 0}]}}, "evaluation.datasets.0.limit = 0", "greater than or equal to 1"),
    ({"data": {"view": "x" * 500}}, "data.view = 'xxx", "'oeqa', 'mcqa' or 'context'"),
]


@pytest.mark.parametrize(("tree", "key_and_value", "allowed"), WRONG, ids=[wrong[1] for wrong in WRONG])
def test_a_wrong_value_is_named_with_its_key_and_what_is_allowed(
    tree: dict[str, Any], key_and_value: str, allowed: str
) -> None:
    message = error_of(tree)
    assert key_and_value in message
    assert allowed in message
    assert len(message) < 400
    assert "list[str]" not in message  # pydantic's names of union members are no keys
    assert "instance of" not in message


def test_a_refusal_in_another_language_is_allowed_with_its_phrase() -> None:
    tree = {"prompt": {"refusal": "Je ne sais pas.", "refusal_phrases": ["je ne sais pas"]}}
    phrases = parse_config(tree).prompt.all_refusal_phrases
    assert phrases[-1] == "je ne sais pas" and "I don't know" in phrases
    assert "or add it to prompt.refusal_phrases" in error_of({"prompt": {"refusal": "Je ne sais pas."}})


def test_several_faults_are_told_together() -> None:
    message = error_of({"seed": "x", "lora": {"r": 0}, "foo": 1})
    assert all(key in message for key in ("seed = 'x'", "lora.r = 0", "foo: unknown key"))


@pytest.mark.parametrize("section", ["warmup", "training"])
def test_micro_batches_have_to_fill_a_step(section: str) -> None:
    message = error_of({section: {"batch_size": 10, "micro_batch_size": 4}})
    assert message == f"{section}: batch_size 10 is no multiple of micro_batch_size 4"


def test_data_sets_have_to_differ_in_name() -> None:
    message = error_of({"evaluation": {"datasets": [{"path": "a/test.jsonl"}, {"path": "b/test.csv"}]}})
    assert message == "evaluation: two data sets are called 'test'; give each a name"


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "..", ".hidden", ""])
def test_a_data_set_name_stays_within_the_run_folder(name: str) -> None:
    message = error_of({"evaluation": {"datasets": [{"path": "a.jsonl", "name": name}]}})
    assert message.startswith(f"evaluation.datasets.0.name = {name!r}: should be a folder name")


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_config({}).seed = 3  # type: ignore[misc]


# -- files ---------------------------------------------------------------------------------------------------------


def test_a_file_with_overrides(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(
        "seed: 3\ntraining: {epochs: 2}\nevaluation:\n  datasets:\n    - {path: a.jsonl}\n    - {path: b.jsonl}\n"
    )
    config = parse_file(
        path,
        [
            "training.learning_rate=1e-5",  # a text in YAML 1.1
            "lora.target_modules=[q_proj, v_proj]",
            "data.limit=7",
            "prompt.system=Be brief = be kind",
            "evaluation.datasets.1.limit=5",
        ],
    )
    assert (config.seed, config.training.epochs, config.training.learning_rate) == (3, 2, 1e-5)
    assert config.lora.target_modules == ["q_proj", "v_proj"]
    assert config.data.limit == 7
    assert config.prompt.system == "Be brief = be kind"
    assert [(dataset.path, dataset.limit) for dataset in config.evaluation.datasets] == [
        ("a.jsonl", None),
        ("b.jsonl", 5),
    ]


def test_overriding_leaves_the_tree_alone() -> None:
    tree = {"training": {"epochs": 2}, "evaluation": {"datasets": [{"path": "a"}]}}
    before = yaml.safe_dump(tree)
    changed = override(tree, ["training.epochs=3", "evaluation.datasets.0.path=b"])
    assert (changed["training"]["epochs"], changed["evaluation"]["datasets"][0]["path"]) == (3, "b")
    assert yaml.safe_dump(tree) == before


def test_an_override_is_checked_like_the_file(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("seed: 3\n")
    assert "knowledge.n_samples = 'x'" in file_error(path, ["knowledge.n_samples=x"])
    assert "training.lr: unknown key" in file_error(path, ["training.lr=1"])


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("seed", "expected section.key=value"),
        ("=3", "expected section.key=value"),
        ("seed=[", "not valid YAML"),
        ("evaluation.datasets.1.limit=3", "place from 0 to 0"),
        ("evaluation.datasets.limit=3", "place from 0 to 0"),
    ],
)
def test_an_override_that_cannot_be_read_is_shown(assignment: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override({"evaluation": {"datasets": [{"path": "a"}]}}, [assignment])
    message = str(caught.value)
    assert message.startswith(f"--set {assignment}: ")
    assert expected in message
    assert "\n" not in message


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("# nothing\n")
    assert parse_file(path) == parse_config({})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"training: {epochs: 2\nseed: 1\n", "line 2"),
        (b"seed: 1\ntraining: {epochs: 2}\nseed: 2\n", "the key 'seed' stands twice"),
        (b"training:\n  epochs: 1\n  epochs: 2\n", "the key 'epochs' stands twice"),
        (b"- a\n- b\n", "expected keys and values, found a list"),
        (b"out: caf\xe9\n", "not UTF-8"),
        (b"seed: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        (b"1: 2\n", "1 = 1: Keys should be strings"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(content)
    message = file_error(path)
    assert message.startswith(f"{path}: ")
    assert expected in message


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    advice = "check the path, or write the file (at least model, data and evaluation)"
    assert file_error(tmp_path / "no.yaml") == f"{tmp_path / 'no.yaml'}: no such config file; {advice}"
    assert file_error(tmp_path) == f"{tmp_path}: expected a YAML file, found a folder; name the file in it"


# -- languages and wordings ------------------------------------------------------------------------------------------


def test_a_language_brings_its_refusal_text_and_english_stays_as_it_was() -> None:
    assert parse_config({"prompt": {"language": "de"}}).prompt.refusal == "Das weiß ich nicht."
    own = parse_config({"prompt": {"language": "de", "refusal": "Keine Ahnung."}}).prompt
    assert own.refusal == own.first_refusal == "Keine Ahnung." and own.wording["language"] == "de"
    english = parse_config({}).prompt
    assert english.first_refusal == "I don't know." and "language" not in english.wording
    assert parse_config(parse_config({"prompt": {"language": "ja"}}).model_dump()).prompt.refusal == "わかりません。"


def test_several_refusal_texts_are_checked_one_by_one_and_the_first_is_that_of_the_keys() -> None:
    texts = ["I don't know.", "I'm not sure, but a library might have it.", "That is beyond my knowledge."]
    found = parse_config({"prompt": {"refusal": texts}}).prompt
    assert found.refusals == tuple(texts) and found.wording == parse_config({}).prompt.wording
    for bad, said in [
        ([*texts, "Paris."], "'Paris.': answers with this text would not be counted as refusals"),
        ([*texts, "I don't know, but it is Paris."], "but it is Paris"),
        ([texts[0], texts[0]], "stands twice"),
        ([], "at least 1"),
        (["I don't know.", ""], "would not be counted"),
    ]:
        with pytest.raises(ConfigError) as caught:
            parse_config({"prompt": {"refusal": bad}})
        assert said in str(caught.value) and "\n" not in str(caught.value), caught.value
    with pytest.raises(ConfigError, match="would not be counted"):
        parse_config({"prompt": {"refusal": "Keine Ahnung."}})


@pytest.mark.parametrize("value", ["xx", "EN", "german", "", 3, None, ["de"], {"de": 1}])
def test_an_unknown_language_is_one_line(value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"prompt": {"language": value}})
    assert "prompt.language" in str(caught.value) and "\n" not in str(caught.value)


def test_a_text_that_is_no_utf_8_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"prompt\.system = .* should be UTF-8"):
        parse_config({"prompt": {"system": "Sei nett, \udcff"}})


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("question", "evaluation.forms: 'question' is trained, and asked without that"),
        ({"name": "same", "template": "{question}"}, "'same' has the words of the form 'question', which is trained"),
    ],
)
def test_a_form_that_is_trained_is_not_asked_as_untrained(form: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        untaught_forms(parse_config({"prompt": {"forms": ["question"]}, "evaluation": {"forms": [form]}}))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("use_rslora", "write its scale into alpha: alpha times the root of r"),
        ("use_dora", "not supported, adapters are plain LoRA; take it out"),
        ("lora_alpha", "it is called alpha"),
        ("lora_rank", "unknown key; allowed: alpha, dropout, r"),
    ],
)
def test_keys_of_peft_say_what_is_to_be_written_instead(key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"lora.{key}: {message}"):
        parse_config({"lora": {key: True}})
