"""``grait influence rank`` and ``query``: training examples of anybody's by their influence on targets of anybody's."""

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from grait.commands.recipe import recipe
from grait.config import Config, ModelConfig, override, parse_config
from grait.data.pairs import GROUP, Pair, load_pairs
from grait.data.rows import found_in
from grait.errors import ArtifactError, ConfigError, DataError
from grait.influence import Curvature, GradientDatastore, Influence
from grait.model.adapters import adapter_digests, find_adapter
from grait.pipeline.data import RunData
from grait.pipeline.influence import CURVATURE, sketched
from grait.pipeline.models import Models
from grait.pipeline.ranking import (
    ADAPTER,
    LEAST_WARMUP,
    check_trained,
    grouped,
    in_order,
    made_with,
    note_own_targets,
    ranking,
    read_examples,
    tokens_of,
    warmed_up,
)
from grait.pipeline.stages import Stages, keep_moment
from grait.pipeline.training import MOMENTS
from grait.runtime import progress
from grait.runtime.artifacts import Stage, write_jsonl
from grait.runtime.files import as_path, written
from grait.runtime.lock import locked

WARMUP = "5%"
"""LESS section 4.1."""
ADAM = ("adam", "adam-less")


@dataclass(frozen=True)
class Ranked:
    """One example. ``rank``: from 1, the most helpful. ``scores``: by group of targets; ``score``: of these the one of
    the group in which the example has its best place.
    ``tokens``: the completion's tokens with their shares in the exact influence on the group of ``score``."""

    rank: int
    id: str
    score: float
    scores: dict[str, float]
    row: Mapping[str, Any] = field(default_factory=dict)
    tokens: list[tuple[str, float]] | None = None

    @property
    def line(self) -> dict[str, Any]:
        """The row as it was read, with rank, score and what else is known: a training file in the same format."""
        added: dict[str, Any] = {"rank": self.rank, "score": self.score}
        if len(self.scores) > 1:
            added["scores"] = self.scores
        if self.tokens is not None:
            added["tokens"] = self.tokens
        own = {key: value for key, value in self.row.items() if (key, value) != ("id", None)}
        return {**({} if "id" in own else {"id": self.id}), **own, **added}


@dataclass(frozen=True)
class Ranking:
    """``rows``: what stands in the file ``out``, the highest first; ``n``: of all that were ranked."""

    out: Path
    rows: list[Ranked]
    n: int
    non_finite: tuple[str, ...]


def rank(
    model: str | None = None,
    *,
    examples: str | Path,
    targets: str | Path,
    adapter: str | Path | None = None,
    out: str | Path = "ranked.jsonl",
    top: str | int | None = None,
    mode: Literal["exact", "sketch"] | None = None,
    datastore: str | Path | None = None,
    warmup: str | int | None = None,
    tokens: int = 0,
    group_column: str | None = None,
    overrides: Sequence[str] = (),
) -> Ranking:
    """Rank ``examples`` by their influence on ``targets``: what learning each does to the targets' loss (LESS).

    Both are files, folders or hub data sets in TRL's formats. ``out``: gets the rows of the examples, the most
    helpful first, with ``rank`` and ``score``; what the work takes lies beside it, in ``out`` with ``.work``, and a
    call that was interrupted goes on there. ``top``: keep so many, as a number or as a share such as "5%". The score is
    the influence on all targets together; where ``group_column`` (``group``) tells groups of targets apart, on the
    group in which the example has its best place, by which all rank.

    ``adapter``: a trained LoRA adapter of ``model``, a folder or hub id. Without one, an adapter is trained on
    ``warmup`` of the examples (5%), drawn at random: a number, or a share (at least 100). Then gradients are LESS's,
    Adam's steps on the examples in a sketch, where neither ``mode``, ``tokens`` nor ``overrides`` say otherwise; at an
    adapter they are plain and exact. A sketch may be kept in ``datastore``, which ``query`` asks about other targets.
    ``tokens``: of so many of the highest, also what share each token has. ``overrides``: config keys, such as
    "warmup.epochs=4". Raises a GraitError with one line.
    """
    out = as_path(out, "out")
    if mode not in ("exact", "sketch", None):
        raise ConfigError(f"mode: expected exact or sketch, found {mode!r}")
    said = mode or tokens or any(own.startswith(("influence.mode", "influence.transform")) for own in overrides)
    of_less = [] if said or adapter is not None else ["influence.transform=adam"]
    settings = [f"influence.mode={'sketch' if datastore or of_less else mode or 'exact'}", *of_less, *overrides]
    config = _config({"name": model} if model else {}, out, settings)
    _check(config, adapter, datastore, tokens)
    if adapter is not None and warmup is not None:
        raise ConfigError("warmup: makes an adapter, and one is given; leave one of the two out")
    pairs, asked = load_pairs(str(examples)), _asked(targets, group_column)
    pairs = _unranked(pairs, str(examples), _added({pair.group for pair in asked}, tokens))
    _count("top", top, len(pairs), 1)
    n_warmup = _count("warmup", WARMUP if warmup is None else warmup, len(pairs), LEAST_WARMUP)
    put_on = _adapter(adapter, config) if adapter is not None else None
    _check_out(out)
    if out.exists() and not out.with_name(f"{out.name}.work").is_dir():
        raise ConfigError(f"{out}: is there already, of other work; name another file, or delete it")
    data = RunData(config, has_training=False)
    models = Models(data)
    with locked(data.folder):
        keep_moment(data)
        stages = Stages(data.folder)
        rows = read_examples(models, data.prompts, pairs, str(examples))
        wanted = grouped(asked, read_examples(models, data.prompts, asked, str(targets)))
        note_own_targets(rows, wanted)
        if put_on is None:
            put_on = warmed_up(models, stages, rows, min(n_warmup, len(rows)))
        else:
            check_trained(models, put_on)
        found = ranking(models, stages, put_on, rows, wanted, as_path(datastore, "datastore") if datastore else None)
        order = in_order(found)
        kept = list(order)[: _count("top", top, len(order), 1)]
        shares: dict[str, dict[str, list[float]]] = {}
        if tokens:
            by_id = {row.id: row for row in rows}
            shown = [by_id[name] for name in kept[:tokens]]
            shares = tokens_of(models, put_on, shown, wanted)
            texts = {row.id: [str(data.tokenizer.decode([token])) for token in row.completion_ids] for row in shown}
        ranked = _ranked(found, kept, order, {pair.id: pair for pair in pairs})
        if tokens:
            ranked = [_with_tokens(row, shares[order[row.id]], texts) for row in ranked]
        with written(out):
            write_jsonl(out, [row.line for row in ranked])
    return Ranking(out, ranked, len(order), found.non_finite)


def query(
    datastore: str | Path,
    *,
    targets: str | Path,
    examples: str | Path | None = None,
    model: str | None = None,
    adapter: str | Path | None = None,
    out: str | Path = "queried.jsonl",
    top: str | int | None = None,
    group_column: str | None = None,
    overrides: Sequence[str] = (),
) -> Ranking:
    """Rank the examples of a datastore by their influence on other targets; only the targets' gradients are taken.

    ``datastore``: as ``rank`` keeps it, which names its model and holds its adapter; of others, such as a run's
    ``influence/sketch/datastore``, say ``model`` and ``adapter``. That both are those that the datastore was made with
    is checked. ``examples``: the file that was ranked, for its rows; without it ``out`` has ids and scores alone. Of a
    datastore of ``rank`` its tokens are compared, of others the ids. The rest as of ``rank``.
    """
    folder, out = as_path(datastore, "datastore"), as_path(out, "out")
    store = GradientDatastore.open(folder)
    made = made_with(folder)
    given = {"name": model} if model else made.get("model", {})
    own = adapter if adapter is not None else folder / ADAPTER if (folder / ADAPTER).is_dir() else None
    if not given or own is None:
        raise ConfigError(f"{folder}: does not say what it was made with: name the model and the adapter")
    sections: dict[str, Any] = {key: made[key] for key in ("seed", "influence") if key in made}
    dimensions = f"influence.dimensions={store.dimensions}"
    config = _config(given, out, [dimensions, *overrides], sections)
    asked = _asked(targets, group_column)
    own_rows = load_pairs(str(examples)) if examples is not None else []
    added = _added({pair.group for pair in asked})
    pairs = {pair.id: pair for pair in _unranked(own_rows, str(examples), added)}
    if missing := [name for name in store.ids if pairs and name not in pairs]:
        raise ArtifactError(f"{folder}: holds {missing[0]!r}, which is not in {examples}; name the file it was made of")
    put_on = _adapter(own, config)
    n_kept = _count("top", top, len(store.ids), 1)
    _check_out(out)
    data = RunData(config, has_training=False)
    models = Models(data)
    if own_rows and made and not store.is_made_of(read_examples(models, data.prompts, own_rows, str(examples))):
        raise ArtifactError(f"{folder}: was made of other examples than {examples} holds now; name the file as it was")
    wanted = grouped(asked, read_examples(models, data.prompts, asked, str(targets)))
    models.roads()
    with models.adapted(put_on, is_trainable=True) as tuned, tempfile.TemporaryDirectory() as work:
        progress.heading(f"Influence of {len(store.ids)} stored examples on {len(wanted.everything)} targets")
        transform = Curvature.open(folder / CURVATURE) if (folder / CURVATURE).is_dir() else None
        asked_store = sketched(
            models, tuned, wanted.everything, Path(work) / "targets", "gradients of targets", transform
        )
        try:
            found = store.influence_on(asked_store, wanted.ids)
        except ArtifactError as error:
            told = str(error).replace(str(asked_store.folder), "the targets")
            if "frozen_model" in told:
                told = f"{folder}: was made with another model than {config.model.name}, or an adapter on other layers"
            elif "adapter changed" in told:
                told = f"{folder}: was made with another adapter than {own}"
            elif "transform" in told:
                told = f"{folder}: was made with a curvature that is not in {folder / CURVATURE}; make it again"
            raise ArtifactError(told) from error
    order = in_order(found)
    ranked = _ranked(found, list(order)[:n_kept], order, pairs)
    with written(out):
        write_jsonl(out, [row.line for row in ranked])
    return Ranking(out, ranked, len(order), found.non_finite)


def _config(
    model: Mapping[str, Any], out: Path, overrides: Sequence[str], sections: Mapping[str, Any] | None = None
) -> Config:
    """The config of the work beside ``out``, with the layers that a run would adapt."""
    tree = {"model": dict(model), "out": str(out.with_name(f"{out.name}.work")), **(sections or {})}
    tree = override(tree, list(overrides))
    name: ModelConfig = parse_config(tree, "options").model
    return parse_config({"lora": recipe(name).get("lora", {}) | tree.pop("lora", {}), **tree}, "options")


def _check(config: Config, adapter: Any, datastore: Any, tokens: int) -> None:
    """ConfigError for what cannot go together."""
    own = config.influence
    if adapter is not None and own.checkpoints == "epochs":
        raise ConfigError("influence.checkpoints = epochs: sums over a warm-up; leave the adapter out, or take last")
    if own.transform in ADAM and own.mode != "sketch":
        raise ConfigError(f"influence.transform = {own.transform}: the examples' alone are taken so; needs mode sketch")
    if datastore is not None and own.mode != "sketch":
        raise ConfigError("datastore: is kept with influence.mode = sketch")
    if datastore is not None and own.checkpoints == "epochs":
        raise ConfigError("datastore: holds gradients at one adapter; take influence.checkpoints = last")
    if tokens < 0:
        raise ConfigError(f"tokens: expected a number from 0, found {tokens}")
    if tokens and (own.transform != "none" or own.checkpoints == "epochs"):
        raise ConfigError("tokens: shares are those of plain gradients at one adapter; take influence.transform = none")


def _adapter(name: str | Path, config: Config) -> Stage:
    folder = find_adapter(str(name))
    if config.influence.transform in ADAM and not (folder / MOMENTS).is_file():
        raise ConfigError(
            f"influence.transform = {config.influence.transform}: {folder} has no {MOMENTS}, which a warm-up or a run "
            "of grait leaves; take none, or leave the adapter out for a warm-up"
        )
    return Stage(folder, adapter_digests(folder))


def _asked(targets: str | Path, group_column: str | None) -> list[Pair]:
    """The targets. DataError where none has the column that groups are to be told apart by."""
    asked = load_pairs(str(targets), group_column or GROUP)
    if group_column is not None and not any(pair.group for pair in asked):
        raise DataError(f"{targets}: no row has a group in the column `{group_column}`; {found_in(asked[0].row)}")
    return asked


def _check_out(out: Path) -> None:
    """A file that is there has to be a ranking, which is written anew."""
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; name a file")
    if out.exists() and not _is_ranking(out):
        raise ConfigError(f"{out}: is there already, and is no ranking; name another file, or delete it")


def _is_ranking(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            row = json.loads(file.readline())
    except (OSError, ValueError):
        return False
    return isinstance(row, dict) and bool(_earlier(row, 1))


def _added(groups: Collection[str], tokens: int = 0) -> list[str]:
    """What a ranking adds to the rows."""
    return ["rank", "score", *(["scores"] if len(groups) > 1 else []), *(["tokens"] if tokens else [])]


def _unranked(pairs: Sequence[Pair], path: str, added: Sequence[str]) -> list[Pair]:
    """The rows without what an earlier ranking has added to all of them. DataError for columns of others' making."""
    earlier = [_earlier(pair.row, number) for number, pair in enumerate(pairs, 1)]
    if all(earlier) and pairs:
        columns = dict.fromkeys(name for own in earlier for name in own)
        progress.note(f"{path}: was ranked before; that ranking's {', '.join(columns)} left out")
        pairs = [
            replace(pair, row={key: value for key, value in pair.row.items() if key not in own})
            for pair, own in zip(pairs, earlier, strict=True)
        ]
    for pair in pairs:
        if taken := [name for name in added if name in pair.row]:
            raise DataError(f"{pair.where}: has a column `{taken[0]}`, which the ranking writes; rename or remove it")
    return list(pairs)


def _earlier(row: Mapping[str, Any], number: int) -> list[str]:
    """The columns of a row that a ranking has added, which put it in this place; none: it was not ranked."""
    score, scores, tokens = row.get("score"), row.get("scores"), row.get("tokens")
    if row.get("rank") != number or not isinstance(score, float):
        return []
    is_ours = isinstance(scores, dict) and score in scores.values()
    has_tokens = isinstance(tokens, list) and all(isinstance(token, list) and len(token) == 2 for token in tokens)
    return ["rank", "score", *(["scores"] if is_ours else []), *(["tokens"] if has_tokens else [])]


def _count(name: str, value: str | int | None, n: int, least: int) -> int:
    """A number of things, or a share of ``n`` such as 5%, which is ``least`` at least; None for all."""
    if value is None:
        return n
    text = str(value).strip()
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else None
        count = max(round(share * n), least) if share is not None else int(text)
    except (ValueError, OverflowError):
        raise ConfigError(f"{name}: expected a number, or a share such as 5%, found {value!r}") from None
    if count < 1 or (share is not None and not 0 < share <= 1):
        raise ConfigError(f"{name}: expected a number from 1, or a share above 0% up to 100%, found {value!r}")
    return min(count, n)


def _ranked(
    found: Influence, kept: Sequence[str], groups: Mapping[str, str], pairs: Mapping[str, Pair]
) -> list[Ranked]:
    return [
        Ranked(
            number,
            name,
            found.scores[groups[name]][name],
            {group: own[name] for group, own in found.scores.items()},
            pairs[name].row if name in pairs else {},
        )
        for number, name in enumerate(kept, 1)
    ]


def _with_tokens(row: Ranked, shares: Mapping[str, Sequence[float]], texts: Mapping[str, list[str]]) -> Ranked:
    """``shares``: by id. A row without any stays as it is."""
    if row.id not in shares:
        return row
    return replace(row, tokens=list(zip(texts[row.id], shares[row.id], strict=True)))
