"""After a run: an adapter with its model card as a folder, and on the hub."""

import json
import re
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

import yaml
from huggingface_hub import HfApi, get_token

from grait.commands.export import trained_adapter, trained_on
from grait.commands.finished import open_run, trained_method
from grait.config import Config, DataConfig
from grait.data.catalog import KNOWN_SETS
from grait.data.files import SUFFIXES
from grait.dial.stored import find_dial, save_dial
from grait.errors import ArtifactError, ConfigError, HubError, reason
from grait.formats.card import Facts, model_card
from grait.methods.catalog import METHODS, UNTRAINED
from grait.model import default
from grait.model.adapters import CONFIG, WEIGHTS
from grait.pipeline.data import RunData
from grait.pipeline.results import METRICS, SUMMARY
from grait.records import MetricRecord, Prediction, Question
from grait.runtime.artifacts import Stage, read_rows, write_json
from grait.runtime.files import replacing_folder

HUB_ID = re.compile(r"(?P<owner>[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)

EXAMPLE = Question("", "What is the capital of France?", ("Paris",))
"""What a card shows instead of a question of the data."""

DEFAULT_LICENSE = "apache-2.0"
"""The licence of the embedded default model."""

DEFAULT_NOTE = (
    f"The run used the weights that the package {default.PACKAGE} carries: rounded to 4 bits (Q4_1) and unpacked "
    "again. On the hub's weights answers differ from those that were measured."
)
QUANTISED_NOTE = "The run used the base model quantised to 4 bits (nf4); the numbers are those of the quantised model."


@dataclass(frozen=True)
class Pushed:
    """``url``: of the commit, None where nothing was uploaded."""

    folder: Path
    url: str | None


def push(
    run: str | Path, repo: str, *, method: str | None = None, is_private: bool = False, is_dry: bool = False
) -> Pushed:
    """Write ``RUN/push/METHOD`` (adapter, dial, model card with the run's measurements) and upload it to the hub.

    ``run``: folder of a finished run; ``repo``: OWNER/NAME, made if it is not there; ``method``: default the run's main
    one; ``is_dry``: write the folder only. Raises a GraitError with one line; HubError when the folder is complete but
    could not be uploaded.
    """
    name = HUB_ID.fullmatch(repo)
    if name is None or name["owner"] is None:
        raise ConfigError(f"{repo}: no name of a repository; expected OWNER/NAME, such as me/my-adapter")
    data = open_run(Path(run))
    method = trained_method(data, method)
    adapter = trained_adapter(data, method)
    folder = Path(run) / "push" / method
    _write(folder, data, adapter, model_card(_facts(data, repo, method, adapter)))
    return Pushed(folder, None if is_dry else _upload(folder, repo, method, is_private))


def _upload(folder: Path, repo: str, method: str, is_private: bool) -> str:
    problem = f"{repo}: not uploaded"
    upload = f"hf upload {repo} {folder}" + (" --private" if is_private else "")
    advice = f"the folder is complete: {folder}; to upload it later: hf auth login, then {upload}"
    if get_token() is None:
        raise HubError(f"{problem}: no access token of the hub (hf auth login, or HF_TOKEN); {advice}")
    api = HfApi()
    try:
        created = api.create_repo(repo, private=True if is_private else None, exist_ok=True)
        if is_private and not api.model_info(created.repo_id).private:
            raise HubError(f"{problem}: it is there already, and public; name another one; {advice}")
        commit = api.upload_folder(repo_id=created.repo_id, folder_path=folder, commit_message=f"grait: {method}")
    except HubError:
        raise
    except Exception as error:  # of the hub's library and of the network below it
        raise HubError(f"{problem}: {reason(error)}; {advice}") from error
    return str(commit.commit_url)


def _write(folder: Path, data: RunData, adapter: Stage, card: str) -> None:
    """The folder as a whole, in the place of an earlier one. No path of this machine is left in it."""
    try:
        with replacing_folder(folder) as partial:
            shutil.copyfile(adapter.folder / WEIGHTS, partial / WEIGHTS)
            config = json.loads((adapter.folder / CONFIG).read_text(encoding="utf-8"))
            base = _base(data.config) or _base_name(data.config)
            write_json(partial / CONFIG, config | {"base_model_name_or_path": base})
            dial = find_dial(adapter.folder)
            if dial is not None:
                source = dial.data.model_copy(update={"path": _public(dial.data), "folder": None})
                save_dial(partial, dial.model_copy(update={"data": source}))
            (partial / "README.md").write_text(card, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder}: cannot write what is to be uploaded: {reason(error)}") from error


def _facts(data: RunData, repo: str, method: str, adapter: Stage) -> Facts:
    config = data.config
    selected = trained_on(data, method, adapter)
    choices = ("Paris", "Rome", "Madrid", "Berlin")
    asks_options = any(data.questions[row.id].choices for row in selected)
    question = Question("", EXAMPLE.question, EXAMPLE.answers, choices) if asks_options else EXAMPLE
    prompts = data.prompts
    known = KNOWN_SETS.get(config.data.path)
    hub_id = config.data.path.partition(":")[0] if _is_on_hub(config.data) else None
    trained_from = json.loads((adapter.folder / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
    is_default = config.model.name == default.NAME
    unpacked = DEFAULT_NOTE if is_default and trained_from != default.HUB_ID else None
    settings = config.model_dump(include={"lora": True, "training": True, "selection": True, "seed": True})
    settings["training"].pop("methods")
    return Facts(
        repo=repo,
        method=method,
        summary=METHODS[method].summary,
        paper=METHODS[method].paper,
        base=_base(config),
        base_name=_base_name(config),
        revision=config.model.revision,
        base_note=QUANTISED_NOTE if config.model.quantization != "none" else unpacked,
        license=DEFAULT_LICENSE if is_default else None,
        training_data=known.title if known else _public(config.data),
        training_set=known.hub if known else hub_id,
        n_examples=len(selected),
        n_refusals=sum(row.target == "refusal" for row in selected),
        refusal=config.prompt.refusal,
        prompt=prompts.messages(question, "refuse")
        if prompts.is_chat(question)
        else prompts.prompt(question, "refuse").text,
        metrics=_metrics(data, method, adapter),
        versions=_versions(data),
        settings=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).rstrip("\n"),
        dial=find_dial(adapter.folder),
    )


def _metrics(data: RunData, method: str, adapter: Stage) -> list[MetricRecord]:
    """The initial model's and the method's, from ``metrics.json``; ArtifactError when they are not this adapter's."""
    folder = data.folder
    path = folder / METRICS
    again = "run grait run again, which keeps what is finished"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        names = {field.name for field in fields(MetricRecord)}
        records = [MetricRecord(**{key: row[key] for key in names}) for row in rows]
    except FileNotFoundError as error:
        raise ArtifactError(f"{folder}: not a finished run (no {METRICS}); {again}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not readable; {again}") from error
    records = [record for record in records if record.method in (*UNTRAINED, method)]
    titles = {dataset.title for dataset in data.config.evaluation.datasets}
    if {record.dataset for record in records if record.method == method} != titles:
        raise ArtifactError(f"{path}: not of the test sets of this run's config; {again}")
    for record in records:
        if record.method == method:
            _check_answers(record, folder / "evaluation" / record.dataset / adapter.folder.name, adapter, path, again)
    return records


def _check_answers(record: MetricRecord, evaluated: Path, adapter: Stage, path: Path, again: str) -> None:
    """A card must not have the numbers of another adapter."""
    stage = Stage.found(evaluated)
    answers = read_rows(evaluated / "predictions.parquet", Prediction)
    n_right = sum(answer.outcome == "correct" for answer in answers)
    if stage.key.get("adapter") != adapter.fingerprint or (len(answers), n_right / len(answers)) != (
        record.n,
        record.pc,
    ):
        raise ArtifactError(f"{path}: not what the adapter in {adapter.folder} answered; {again}")


def _versions(data: RunData) -> dict[str, str]:
    path = data.folder / SUMMARY
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["versions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{data.folder}: not a finished run (no readable {SUMMARY}); run grait run again"
        ) from error


def _base(config: Config) -> str | None:
    """The base model's id on the hub."""
    if config.model.name == default.NAME:
        return default.HUB_ID
    is_hub_id = not Path(config.model.name).exists() and HUB_ID.fullmatch(config.model.name)
    return config.model.name if is_hub_id else None


def _base_name(config: Config) -> str:
    return Path(config.model.name).resolve().name


def _public(data: DataConfig) -> str:
    """A set's name without the folders of this machine."""
    return data.path if data.path in KNOWN_SETS or _is_on_hub(data) else Path(data.path).name


def _is_on_hub(data: DataConfig) -> bool:
    path = Path(data.path)
    is_file = path.suffix.lower() in SUFFIXES or path.exists()
    return not is_file and data.path not in KNOWN_SETS and HUB_ID.fullmatch(data.path.partition(":")[0]) is not None
