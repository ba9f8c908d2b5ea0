"""The table of docs/models.md, from what the families of the zoo do: ``python tests/zoo_table.py`` writes it.

It takes every family through everything, ten minutes on one core.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from families import end_to_end
from tiny import PAD
from transformers.utils import logging
from zoo import FAMILIES, zoo_model

from grait.config import LoraSection
from grait.errors import ModelError
from grait.influence.road import gradient_road
from grait.model.roads import Roads, inference_road
from grait.training.road import training_road
from grait.training.sft import add_adapter, randomize

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
BEGIN, END = "<!-- families by road: written by tests/zoo_table.py -->\n", "<!-- end of families by road -->\n"


def roads_of(family: str) -> Roads | None:
    """None where it is refused."""
    model = zoo_model(family)
    try:
        inference = inference_road(model, PAD)
        adapted = add_adapter(model, LoraSection(r=4), 0)
        randomize(adapted)
        return Roads(inference, gradient_road(adapted, PAD), training_road(adapted, PAD))
    except ModelError:
        return None


def name_of(family: str) -> str:
    """On the page."""
    return family.replace("_text", "").replace("_", "-")


def told(page: str) -> dict[str, str]:
    """What the page says of each family, end to end, by its name there."""
    rows = page.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    cells = [row.strip("| ").split(" | ") for row in rows]
    return {name: own[-1] for own in cells for name in own[0].split(", ")}


def seen() -> dict[str, str]:
    """The same, as it is today: all families, one after the other."""
    found = {}
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            found[name_of(family)] = end_to_end(family, Path(folder))
        print(family, found[name_of(family)], flush=True)
    return found


def table(end_to_end: Mapping[str, str]) -> str:
    """Markdown: one row for each combination of roads and of what came of everything, with its families."""
    families: dict[tuple[Roads | None, str], list[str]] = {}
    for family in FAMILIES:
        name = name_of(family)
        families.setdefault((roads_of(family), end_to_end.get(name, "not tried")), []).append(name)
    rows = [
        (names, *((roads.inference, roads.gradients, roads.training) if roads else ("none",) * 3), found)
        for (roads, found), names in sorted(families.items(), key=lambda row: (row[0][0] is None, -len(row[1])))
    ]
    lines = [f"| {', '.join(names)} | {one} | {two} | {three} | {found} |" for names, one, two, three, found in rows]
    head = "| families | inference | gradients | training | end to end |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *lines, ""])


def written(page: str, end_to_end: Mapping[str, str]) -> str:
    """The page with the table of today."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + table(end_to_end) + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    logging.set_verbosity_error()
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), seen()), encoding="utf-8")
