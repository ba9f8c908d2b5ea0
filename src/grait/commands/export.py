"""After a run: what one of its methods trained on, as a folder for another training tool."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grait.commands.finished import finished_adapter, finished_evidence, open_run, trained_method
from grait.commands.replayed import Replay
from grait.config import LoraSection
from grait.config.section import LARGEST
from grait.errors import ArtifactError, ConfigError, ModelError, described
from grait.formats import axolotl, llama_factory, openai, trl
from grait.formats.examples import Example, Recipe, Share
from grait.formats.weights import in_words, share_of
from grait.methods.catalog import METHODS
from grait.model import default
from grait.model.adapters import CONFIG
from grait.pipeline.data import RunData
from grait.pipeline.lessons import Lesson, lessons, weighted_examples
from grait.pipeline.order import same_training, selections
from grait.pipeline.own_words import stored_own_words
from grait.pipeline.training import trained_with
from grait.records import Selected
from grait.runtime.artifacts import MANIFEST, Stage, write_json
from grait.runtime.files import as_path, beside, written
from grait.training.examples import digest_of

ABOUT = "export.json"
"""What the folder holds; written last."""

OURS = {ABOUT, "train.jsonl", "README.md", "train_trl.py", "dataset_info.json", "train.yaml", "datasets.yaml"}
"""All that an export may write."""

FORMATS: dict[str, tuple[str, Callable[[Sequence[Example], Recipe, Share], dict[str, str]]]] = {
    "trl": (trl.TOOL, trl.files),
    "llama-factory": (llama_factory.TOOL, llama_factory.files),
    "axolotl": (axolotl.TOOL, axolotl.files),
    "openai": (openai.TOOL, openai.files),
}
"""By their names on the command line. Only TRL's rows have a place for weights."""


@dataclass(frozen=True)
class Exported:
    """``notes``: what to know about it, one line each."""

    folder: Path
    share: Share
    notes: list[str]


def export(
    run: str | Path,
    format_name: str,
    *,
    method: str | None = None,
    out: str | Path | None = None,
    resample: bool = False,
    n_rows: int | None = None,
) -> Exported:
    """Write what a method of a finished run was trained on, for another training tool.

    ``run``: folder of the run; ``format_name``: ``trl``, ``llama-factory``, ``axolotl`` or ``openai``; ``method``:
    default the run's main one; ``out``: default ``RUN/export/METHOD/FORMAT``. ``resample``: rows in proportion to the
    weights, ``n_rows`` of them (default: as many as examples), and no weights. An earlier export in the folder is
    replaced; files that are not ours stay. Raises a GraitError with one line.
    """
    data = open_run(run)
    _check_wanted(format_name, resample, n_rows)
    method = trained_method(data, method)
    folder = data.folder / "export" / method / format_name if out is None else as_path(out, "out")
    _check_free(folder)
    adapter = trained_adapter(data, method)
    selected = trained_on(data, method, adapter)
    taught = lessons(data, selected, stored_own_words(data))
    replayed = Replay.of(data, adapter, taught)
    recipe = replayed.added_to(_recipe(data, method, adapter, taught), trained_with(data.config, adapter))
    examples = [_example(data, lesson, recipe) for lesson in taught] + replayed.examples(recipe)
    tool, files_of = FORMATS[format_name]
    share = share_of(examples, "resampled" if resample else "carried" if format_name == "trl" else "left out", n_rows)
    tokens = [(*lesson.prompt.token_ids, *lesson.completion.token_ids) for lesson in taught]
    tokens += [(*row.example.prompt_ids, *row.example.completion_ids) for row in replayed.rows]
    n_otherwise = _read_otherwise(data, examples, tokens, recipe, format_name)
    notes = [in_words(tool, share), *replayed.notes(), *_notes(recipe, len(examples), n_otherwise, format_name)]
    files = files_of(examples, recipe, share)
    about = {
        "schema_version": 1,
        "format": format_name,
        "method": method,
        "weights": share.weights_are,
        "n_examples": len(examples),
        **({"replay": "".join(replayed.notes())} if replayed.rows else {}),
        "n_rows": share.n_rows,
        "n_left_out": share.n_left_out,
        "total_variation": share.total_variation,
        "total_variation_unweighted": share.unweighted,
        "n_rendered_otherwise": n_otherwise,
        **({"n_chat_as_text": recipe.n_chat_as_text} if recipe.n_chat_as_text else {}),
        "trained_with": recipe.settings,
        "examples": [_about(row) | {"rows": n} for row, n in zip(examples, share.rows, strict=True)],
    }
    _write(folder, files, about)
    return Exported(folder, share, notes)


def _check_wanted(format_name: str, resample: bool, n_rows: int | None) -> None:
    if not isinstance(format_name, str) or format_name not in FORMATS:
        raise ConfigError(f"format: expected one of {', '.join(FORMATS)}, found {described(format_name)}")
    if n_rows is None:
        return
    if not resample:
        raise ConfigError("rows: goes with resample; without it every example has one row")
    if not isinstance(n_rows, int) or isinstance(n_rows, bool) or not 0 < n_rows < LARGEST:
        raise ConfigError(f"rows: expected a whole number from 1, found {described(n_rows)}")


def _about(row: Example) -> dict[str, Any]:
    about = {"id": row.id, "label": row.label, "target": row.target, "sample_weight": row.sample_weight}
    return about if row.kind == "question" else about | {"kind": row.kind}


def trained_adapter(data: RunData, method: str) -> Stage:
    """The adapter of a method: its own, or that of a method with the same training set. Raises ArtifactError, naming
    those that there are."""
    adapters = data.folder / "adapters"
    is_shared = not (adapters / method).is_dir() and any(adapters.glob(f"[!.]*/{MANIFEST}"))
    if is_shared and method in data.config.training.methods:
        method = same_training(selections(data.config, finished_evidence(data)), data.config.tuned)[method]
    return finished_adapter(data, method)


def trained_on(data: RunData, method: str, adapter: Stage) -> list[Selected]:
    """What the adapter of a method was trained on. ArtifactError when the run's files now give other examples."""
    if method in METHODS and METHODS[method].goes_on:
        raise ArtifactError(
            f"{adapter.folder}: {method} learned from its own samples, too, which no format here has: export another "
            "method"
        )
    if method in data.config.training.methods:
        selected = selections(data.config, finished_evidence(data))[method]
        if digest_of(weighted_examples(data, selected, stored_own_words(data))) == adapter.key.get("examples"):
            return selected
    raise ArtifactError(
        f"{adapter.folder}: trained on other examples than the run's config, questions and tokenizer give now; "
        "run grait run again, then repeat this"
    )


def _example(data: RunData, lesson: Lesson, recipe: Recipe) -> Example:
    row = lesson.row
    begin, prompt = recipe.around(lesson.prompt)
    return Example(
        id=row.id,
        label=row.label,
        target=row.target,
        messages=lesson.messages,
        answer=lesson.answer,
        begin=begin,
        prompt=prompt,
        completion=lesson.completion.text,
        end=data.prompts.end_text(lesson.prompt.is_chat),
        sample_weight=lesson.weight,
    )


def _recipe(data: RunData, method: str, adapter: Stage, taught: Sequence[Lesson]) -> Recipe:
    config, tokenizer = data.config, data.prompts.tokenizer
    name = default.HUB_ID if config.model.name == default.NAME else config.model.name
    bare = tokenizer("Q", add_special_tokens=False)["input_ids"]
    around = tokenizer("Q")["input_ids"]
    chats = [lesson.prompt.is_chat for lesson in taught]
    begin = around[: around.index(bare[0])] if bare[0] in around else []
    return Recipe(
        model=name,
        revision=config.model.revision,
        method=method,
        dtype=adapter.key["model"]["dtype"],
        is_chat=all(chats),
        n_chat_as_text=0 if all(chats) else sum(chats),
        begin="".join(tokenizer.convert_ids_to_tokens(begin)),
        end=data.prompts.end_text(data.prompts.has_template),
        eos=data.prompts.end_text(False),
        n_tokens=max(len(lesson.prompt.token_ids) + len(lesson.completion.token_ids) for lesson in taught) + 1,
        has_shots=any(message["role"] == "assistant" for lesson in taught for message in lesson.messages),
        lora=_adapted(config.lora, adapter),
        training=trained_with(config, adapter).resolved(len(taught)),
        seed=config.seed,
        trust_remote_code=config.model.trust_remote_code,
        template_arguments=data.prompts.template.arguments if all(chats) else {},
    )


def _adapted(lora: LoraSection, adapter: Stage) -> LoraSection:
    """With the adapter's layers for all-linear, by which other tools mean others, too, such as towers and routers."""
    if lora.target_modules != "all-linear":
        return lora
    targets = json.loads((adapter.folder / CONFIG).read_text(encoding="utf-8"))["target_modules"]
    return lora.model_copy(update={"target_modules": sorted(targets)})


def _read_otherwise(
    data: RunData, examples: Sequence[Example], tokens: Sequence[tuple[int, ...]], recipe: Recipe, format_name: str
) -> int:
    """Examples of which the tool does not make the tokens that the run trained on; it may make more after them."""
    tokenizer, n = data.prompts.tokenizer, 0
    for example, own in zip(examples, tokens, strict=True) if format_name != "openai" else ():
        if recipe.is_chat:
            try:
                text = data.prompts.template.turn(example.conversation)
            except ModelError:
                text = ""
            n += not text.startswith(example.prompt + example.completion + example.end)
            continue
        if format_name == "trl":
            found = tokenizer(example.prompt + example.completion + example.end)["input_ids"]
        else:
            parts = (example.begin + example.prompt, example.completion + example.end)
            found = [token for part in parts for token in tokenizer(part, add_special_tokens=False)["input_ids"]]
        n += tuple(found[: len(own)]) != own
    return n


def _notes(recipe: Recipe, n: int, n_otherwise: int, format_name: str) -> list[str]:
    """What to know of how rows are written."""
    notes = []
    if recipe.n_chat_as_text and format_name != "openai":
        line = (
            f"{recipe.n_chat_as_text} of {n} examples were trained in the chat template, the others as plain text: all "
            "rows are text, those as the template writes them"
        )
        if format_name == "trl" and recipe.end != recipe.eos:
            line += f"; TRL's own trainer puts {recipe.eos} after their {recipe.end}, train_trl.py does not"
        notes.append(line)
    if n_otherwise and recipe.is_chat:
        notes.append(
            f"{n_otherwise} of {n} conversations look otherwise in the model's chat template than the run "
            "trained on them (it changes the answer's turn)"
        )
    elif n_otherwise:
        notes.append(f"{n_otherwise} of {n} rows become other tokens than the run trained on")
    if recipe.template_arguments:
        notes.append(f"trained with the template arguments {recipe.template_arguments}: give them to the chat template")
    return notes


def _check_free(folder: Path) -> None:
    """ArtifactError when the folder holds anything but an earlier export, and perhaps what was made from it."""
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder}: a file; name a folder (out)")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / ABOUT).is_file():
        raise ArtifactError(f"{folder}: not empty, and no earlier export (no {ABOUT}); name another folder (out)")


def _write(folder: Path, files: dict[str, str], about: dict[str, Any]) -> None:
    """Everything is written beside the folder before anything in it changes; what an earlier export left over, goes."""
    partial = beside(folder, "partial")
    with written(folder, "the export"):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, text in files.items():
            (partial / name).write_text(text, encoding="utf-8")
        write_json(partial / ABOUT, about)
        folder.mkdir(exist_ok=True)
        for name in OURS - {ABOUT}:
            (folder / name).unlink(missing_ok=True)
        for name in (*files, ABOUT):
            (partial / name).replace(folder / name)
        partial.rmdir()
