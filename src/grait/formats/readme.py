"""Rows and README.md of an export folder, the latter from ``templates``."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import jinja2

from grait.formats.examples import Example, Recipe, Share
from grait.formats.markdown import escaped, fenced
from grait.formats.resampling import shuffled
from grait.formats.weights import in_words


def rows_and_readme(
    tool: str,
    versions: str,
    examples: Sequence[Example],
    recipe: Recipe,
    share: Share,
    template: str,
    row: Callable[[Example, Recipe], dict[str, Any]],
    **more: Any,
) -> dict[str, str]:
    """``train.jsonl``, with what ``row`` makes of each example, and ``README.md``, by name.

    ``versions``: of the tool, whose source gave the shape. ``template``: what to do with the folder; ``more``: for it.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("grait.formats"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    environment.filters |= {"escaped": escaped, "fenced": fenced}
    readme = environment.get_template(template).render(
        tool=tool,
        versions=versions,
        examples=examples,
        recipe=recipe,
        share=share,
        n_unknown=sum(example.label == "idk" for example in examples),
        weights=in_words(tool, share),
        **more,
    )
    rows = [row(examples[i], recipe) for i in shuffled(share.rows, recipe.seed)]
    return {"train.jsonl": "".join(json.dumps(own, ensure_ascii=False) + "\n" for own in rows), "README.md": readme}


def whole(number: float) -> float:
    """An integer where the number is one: what some tools ask for."""
    return int(number) if number == int(number) else number
