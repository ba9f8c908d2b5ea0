"""The table of docs/models.md, from what the families of the zoo do: ``python tests/zoo_table.py`` writes it."""

from pathlib import Path

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


def table() -> str:
    """Markdown: one row for each combination of roads, with its families."""
    families: dict[Roads | None, list[str]] = {}
    for family in FAMILIES:
        families.setdefault(roads_of(family), []).append(family.replace("_text", "").replace("_", "-"))
    roads = sorted((found for found in families if found), key=lambda found: -len(families[found]))
    rows = [(found.inference, found.gradients, found.training, families[found]) for found in roads]
    rows += [("refused", "", "", families[None])] if None in families else []
    lines = [f"| {', '.join(names)} | {one} | {two} | {three} |" for one, two, three, names in rows]
    return "\n".join(["| families | inference | gradients | training |", "| --- | --- | --- | --- |", *lines, ""])


def written(page: str) -> str:
    """The page with the table of today."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    logging.set_verbosity_error()
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
