"""The questions that a config names: a known set, a file, or a data set on the hub."""

from collections.abc import Sequence

from grait.config import DataConfig
from grait.data import invented, mmlu, truthfulqa, worldfacts
from grait.data.catalog import KNOWN_SETS, KnownSet
from grait.data.packed import Keep
from grait.data.questions import Understood, read_questions
from grait.data.sources import read_known, shuffled
from grait.errors import DataError
from grait.records import Question, View


def load_questions(config: DataConfig) -> list[Question]:
    """The questions of ``config``, in the set's order, at most ``limit``. Raises DataError with one line."""
    return list(understand(config).questions)


def understand(config: DataConfig, keep: Keep = list) -> Understood:
    """The same, with what was made of the file. ``keep``: what questions of no known set are kept in."""
    known = KNOWN_SETS.get(config.path)
    if known is None:
        for option, value in (("folder", config.folder), ("view", config.view)):
            if value is not None:
                raise DataError(
                    f"{config.path}: `{option}` is only for the sets that `grait datasets` lists; leave it out"
                )
        how = config.split, config.limit, config.revision, config.columns, config.encoding
        return read_questions(config.path, *how, keep)
    if config.columns is not None:
        raise DataError(f"{config.path}: `columns` are known of the sets that `grait datasets` lists; leave them out")
    found = _load(known, split_of(known, config.split), view_of(known, config.view), config)
    found.questions = list(found.questions)[: config.limit]
    return found


def _load(known: KnownSet, split: str, view: View, config: DataConfig) -> Understood:
    if known.hub is None and not known.files and (config.folder or config.revision):
        raise DataError(f"{known.title} ships with this package; leave out `folder` and `revision`")
    if config.folder is not None and config.revision is not None:
        raise DataError(f"{known.name}: `revision` is only for the hub; leave it out, or `folder`")
    if known.name == "worldfacts":
        return Understood(worldfacts.load(split, view), "in this package")
    if known.name == "invented":
        return Understood(list(invented.load()), "in this package")
    if known.name == "truthfulqa":
        found = truthfulqa.load(config.folder, config.revision)
        return Understood([row.as_options for row in found], "JSON" if config.folder else f"hub {known.hub}")
    if known.name == "mmlu":
        return Understood(mmlu.load(split, config.folder, config.revision), "CSV" if config.folder else "hub cais/mmlu")
    return read_known(known, split, view, config.folder, config.revision)


def split_of(known: KnownSet, split: str | None) -> str:
    """The split that is meant, which may be the only one. DataError where there is none, or several."""
    names = ", ".join(known.splits)
    if split is None and len(known.splits) > 1:
        raise DataError(f"{known.name}: no split named; take one of {names}")
    if split is not None and split not in known.splits:
        raise DataError(f"{known.title} has no split {split!r}: take one of {names}.")
    return split or next(iter(known.splits))


def view_of(known: KnownSet, view: View | None) -> View:
    """The view that is meant. DataError where the set has no such."""
    if view is not None and view not in known.views:
        raise DataError(f"{known.title} has no view {view!r}: take {known.views[0]}, or leave `view` out")
    return view or known.views[0]


def load_shots(config: DataConfig) -> list[Question]:
    """Solved examples that the set keeps apart for knowledge queries, in a mixed order; empty for most sets."""
    return shuffled(_shots(config))


def load_topic_shots(configs: Sequence[DataConfig], n_shots: int) -> dict[str, tuple[Question, ...]]:
    """The first ``n_shots`` solved examples of each topic, from all sets that keep such; of two sets the first counts.

    Raises DataError when a topic has fewer.
    """
    shots: dict[str, tuple[Question, ...]] = {}
    for config in configs:
        by_topic: dict[str, list[Question]] = {}
        for shot in _shots(config):
            assert shot.topic is not None
            by_topic.setdefault(shot.topic, []).append(shot)
        for topic, own in by_topic.items():
            if len(own) < n_shots:
                raise DataError(
                    f"{config.path}: prompt.n_shots is {n_shots}, but there are only {len(own)} solved examples of "
                    f"{topic}; set prompt.n_shots to {len(own)} or less"
                )
            shots.setdefault(topic, tuple(own[:n_shots]))
    return shots


def _shots(config: DataConfig) -> list[Question]:
    return mmlu.load_shots(config.folder, config.revision) if config.path == "mmlu" else []
