"""The question sets that go by a short name, one entry of ``sets.yaml`` each.

Revisions are commits of the hub's data sets, so that a run reads the same rows next year; ``DataConfig.revision``
names another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import yaml
from pydantic import TypeAdapter

from grait.config import ColumnsConfig
from grait.records import View


@dataclass(frozen=True, slots=True)
class KnownSet:
    """One question set.

    ``views``: how it can be asked, the default first. ``splits``: what a config may name, and what the hub calls it.
    ``hub``, ``hub_config``, ``revision``: where it is on the hub; None for what is not there. ``hub_file``: the one of
    its files that is meant, where the others have other columns.
    ``files``: what ``DataConfig.folder`` has to hold. ``papers``: what GRAIT and CRaFT use it for.

    How its rows are read: ``names``: of the file of a split. ``columns``: what they do not say themselves, of the view
    in free text where there are two. ``ids``: of a question by its ``{id}``, ``{split}`` and ``{row}``, from 0.
    ``keeps_place``: options may have the same text. ``shuffled``: the set is sorted. ``ranked``: the column that
    popularity is ranked by. ``answerable``: what holds for all questions. ``has_references`` False: only whether they
    are refused can be measured.
    """

    name: str
    title: str
    summary: str
    views: tuple[View, ...]
    splits: Mapping[str, str]
    source: str
    licence: str
    hub: str | None = None
    hub_config: str | None = None
    hub_file: str | None = None
    revision: str | None = None
    files: str | None = None
    papers: str | None = None
    names: tuple[str, ...] = ()
    columns: ColumnsConfig | None = None
    ids: str = "{id}"
    keeps_place: bool = False
    shuffled: bool = False
    ranked: str | None = None
    answerable: bool | None = None
    has_references: bool = True


KNOWN_SETS: Mapping[str, KnownSet] = {
    known.name: known
    for known in TypeAdapter(list[KnownSet]).validate_python(
        yaml.safe_load(resources.files("grait.data").joinpath("sets.yaml").read_text("utf-8"))
    )
}
