"""Model cards: what a run tells of an adapter, beside it, in a merged model, and on the hub. No model is loaded."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from grait.config import Config, DataConfig
from grait.data.catalog import KNOWN_SETS
from grait.data.files import hub_set
from grait.dial.stored import find_dials, save_dials
from grait.errors import ArtifactError, reason
from grait.formats.card import MARK, Facts, model_card
from grait.methods.catalog import INIT_REFUSE, METHODS, UNTRAINED
from grait.model import default
from grait.model.adapters import CONFIG
from grait.model.forms import Form
from grait.model.load import model_class, read_config
from grait.model.prompts import PromptFormat
from grait.pipeline.data import RunData
from grait.pipeline.lessons import unanswerable_rows
from grait.pipeline.results import CONVERSATIONS, DRIFT, FORMS, METRICS, SIDE_EFFECTS, SUMMARY
from grait.pipeline.training import trained_with
from grait.records import (
    ConversationRecord,
    DriftRecord,
    FormRecord,
    MetricRecord,
    Prediction,
    Question,
    Selected,
    SideEffectRecord,
)
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, read_rows, readable
from grait.runtime.files import replacing_file, written

HUB_ID = re.compile(r"(?P<owner>[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)

Record = TypeVar("Record")

CARD = "README.md"
OTHER_CARD = "MODEL_CARD.md"
"""Where an adapter of before has a README.md of PEFT's among its own files."""

CHOICES = ("Paris", "Rome", "Madrid", "Berlin")
"""Of the example's question, where a run's questions have options."""

DEFAULT_LICENSE = "apache-2.0"
"""The licence of the embedded default model."""

DEFAULT_NOTE = (
    f"The run used the weights that the package {default.PACKAGE} carries: rounded to 4 bits (Q4_1) and unpacked "
    "again. On the hub's weights answers differ from those that were measured."
)
QUANTISED_NOTE = "The run used the base model quantised to 4 bits (nf4); the numbers are those of the quantised model."


def write_cards(
    data: RunData, adapters: Mapping[str, Stage], selected: Mapping[str, Sequence[Selected]], *, is_new: bool = True
) -> None:
    """Write the card of each method's adapter beside it; with ``is_new`` False only where there is none. What goes
    wrong is said, and takes nothing from the finished run."""
    for method, adapter in adapters.items() if processes.is_main() else ():
        path = adapter.folder / (OTHER_CARD if CARD in adapter.files() else CARD)
        if path.exists() and not is_new:
            continue
        try:
            text = card(data, method, adapter, selected[method])
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            with written(path), replacing_file(path) as partial:
                partial.write_text(text, encoding="utf-8")
        except Exception as error:
            progress.note(f"{path} could not be made ({type(error).__name__}: {reason(error)})")


def card(
    data: RunData,
    method: str,
    adapter: Stage,
    selected: Sequence[Selected],
    *,
    repo: str | None = None,
    is_merged: bool = False,
) -> str:
    """The card of an adapter, or of the model that it is merged into. ``repo``: where on the hub it will be.
    Measurements that are not there yet, or are another adapter's, are left out."""
    config, prompts = data.config, data.prompts
    question = _example(data, selected)
    known = KNOWN_SETS.get(config.data.path)
    on_hub = hub_set(config.data.path)
    trained_from = json.loads((adapter.folder / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
    is_default = config.model.name == default.NAME
    unpacked = DEFAULT_NOTE if is_default and trained_from != default.HUB_ID else None
    settings = config.model_dump(include={"lora": True, "training": True, "selection": True, "seed": True})
    settings["training"] = trained_with(config, adapter).model_dump(exclude={"methods"})
    base = public_base(config)
    metrics, packages = _measured_if_any(data, method, adapter)
    n_unanswerable = len(unanswerable_rows(data, selected))
    return model_card(
        Facts(
            title=repo.rpartition("/")[2] if repo else f"{base.rpartition('/')[2]}-{method}",
            place=repo,
            is_merged=is_merged,
            method=method,
            summary=METHODS[method].summary,
            paper=METHODS[method].paper,
            base=base if hub_base(config) else None,
            base_name=base,
            revision=config.model.revision,
            base_note=QUANTISED_NOTE if config.model.quantization != "none" else unpacked,
            license=DEFAULT_LICENSE if is_default else None,
            training_data=known.title if known else _public(config.data),
            training_set=known.hub if known else on_hub and on_hub["name"],
            n_examples=len(selected) + n_unanswerable,
            n_refusals=sum(row.target == "refusal" for row in selected) + n_unanswerable,
            refusal=config.prompt.first_refusal,
            text_refusal=config.context.refusal if data.with_text and config.context.policy == "only" else None,
            forms={form.name: _prompt(prompts, question, form) for form in prompts.forms},
            **_of_template(prompts),
            loader=model_class(read_config(config.model)).__name__,
            n_answer=config.evaluation.max_new_tokens,
            metrics=metrics,
            by_form=_records(data.folder / FORMS, FormRecord, [method]),
            side_effects=_records(data.folder / SIDE_EFFECTS, SideEffectRecord, [INIT_REFUSE, method]),
            conversations=_records(data.folder / CONVERSATIONS, ConversationRecord, [method]),
            drift=_records(data.folder / DRIFT, DriftRecord, [method]),
            versions=packages,
            settings=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).rstrip("\n"),
            dials=find_dials(adapter.folder, prompts.forms[0].name),
        )
    )


def save_public_dials(data: RunData, adapter: Path, folder: Path) -> None:
    """Write the dials beside an adapter, if any, into another folder, without the folders of this machine."""
    main = data.prompts.forms[0].name
    if found := find_dials(adapter, main):
        for_all = {
            name: dial.model_copy(
                update={"data": dial.data.model_copy(update={"path": _public(dial.data), "folder": None})}
            )
            for name, dial in found.forms.items()
        }
        save_dials(folder, main, for_all)


def _example(data: RunData, selected: Sequence[Selected]) -> Question:
    """A question in the shape of those that were trained on."""
    asks_options = any(data.questions[row.id].choices for row in selected)
    return Question("", MARK, CHOICES[:1], CHOICES if asks_options else ())


def _prompt(prompts: PromptFormat, question: Question, form: Form) -> str | list[dict[str, str]]:
    is_chat = prompts.is_chat(question, form)
    return prompts.messages(question, "refuse", form) if is_chat else prompts.prompt(question, "refuse", form).text


def _of_template(prompts: PromptFormat) -> dict[str, Any]:
    """Facts about the chat template. ``chat_ends``: the tokens that end an answer, the one that is taught first."""
    if not prompts.has_template:
        return {"chat_ends": [], "template_arguments": {}, "prompt_change": ("", ""), "takes_parts": False}
    found = prompts.tokenizer.convert_ids_to_tokens(sorted(prompts.end_token_ids(is_chat=True)))
    template = prompts.template
    return {
        "chat_ends": list(dict.fromkeys([prompts.end_text(True), prompts.end_text(False), *found])),
        "template_arguments": template.arguments,
        "prompt_change": template.change,
        "takes_parts": template.takes_parts,
    }


def _measured_if_any(data: RunData, method: str, adapter: Stage) -> tuple[list[MetricRecord], dict[str, str]]:
    """``measured`` and ``versions``, empty where there are none yet."""
    metrics: list[MetricRecord] = []
    packages: dict[str, str] = {}
    with suppress(ArtifactError):
        metrics = measured(data, method, adapter)
    with suppress(ArtifactError):
        packages = versions(data)
    return metrics, packages


def _records(path: Path, kind: type[Record], systems: Sequence[str]) -> list[Record]:
    """Those of these systems in a file of the run's results; none where they cannot be read."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [kind(**row) for row in rows if row["method"] in systems]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def measured(data: RunData, method: str, adapter: Stage) -> list[MetricRecord]:
    """The initial model's and the method's, from ``metrics.json``; ArtifactError when they are not this adapter's."""
    folder = data.folder
    path = folder / METRICS
    again = "run grait run again, which keeps what is finished"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        names = {field.name for field in fields(MetricRecord)}
        records = [MetricRecord(**{key: row[key] for key in names if key in row}) for row in rows]
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
    is_measured = (len(answers), n_right / len(answers)) == (record.n, record.pc)
    if stage.key.get("adapter") != adapter.fingerprint or not is_measured:
        raise ArtifactError(f"{path}: not what the adapter in {adapter.folder} answered; {again}")


def versions(data: RunData) -> dict[str, str]:
    """Of the packages that the run used. Raises ArtifactError when it is not finished."""
    with readable(f"{data.folder}: not a finished run (no readable {SUMMARY}); run grait run again"):
        return dict(json.loads((data.folder / SUMMARY).read_text(encoding="utf-8"))["versions"])


def hub_base(config: Config) -> str | None:
    """The base model's id on the hub."""
    if config.model.name == default.NAME:
        return default.HUB_ID
    is_hub_id = not Path(config.model.name).exists() and HUB_ID.fullmatch(config.model.name)
    return config.model.name if is_hub_id else None


def public_base(config: Config) -> str:
    """The same, or the name of the base model's folder."""
    return hub_base(config) or Path(config.model.name).resolve().name


def _public(data: DataConfig) -> str:
    """A set's name without the folders of this machine."""
    return data.path if data.path in KNOWN_SETS or hub_set(data.path) else Path(data.path).name
