"""README.md of an export folder, from ``templates``."""

from collections.abc import Sequence
from typing import Any

import jinja2

from grait.formats.examples import Example, Recipe, Share
from grait.formats.markdown import escaped, fenced
from grait.formats.weights import in_words


def readme(
    tool: str, versions: str, examples: Sequence[Example], recipe: Recipe, share: Share, template: str, **more: Any
) -> str:
    """``versions``: of the tool, whose source gave the shape. ``template``: what to do with the folder."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("grait.formats"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    environment.filters |= {"escaped": escaped, "fenced": fenced}
    return environment.get_template(template).render(
        tool=tool,
        versions=versions,
        examples=examples,
        recipe=recipe,
        share=share,
        n_unknown=sum(example.label == "idk" for example in examples),
        weights=in_words(tool, share),
        **more,
    )


def whole(number: float) -> float:
    """An integer where the number is one: what some tools ask for."""
    return int(number) if number == int(number) else number
