"""README.md of an export folder."""

from collections.abc import Sequence

from grait.formats.examples import Example, Recipe, Share
from grait.formats.markdown import escaped, fenced
from grait.formats.weights import in_words

DISTANCE = (
    "Total variation distance: half the sum over all examples of |its share of the weights - its share of the rows|. "
    "0: training on the rows counts every example as the weights do; 0.1: a tenth of the weight sits elsewhere. "
    "`export.json` has weight and rows of every example."
)
SCALE = (
    "Rows hold the weights' proportions, not their mean: where the run's weights do not average 1, its steps were "
    "that much longer or shorter before Adam and clipping evened them out."
)


def readme(tool: str, versions: str, examples: Sequence[Example], recipe: Recipe, share: Share, use: str) -> str:
    """``use``: what to do with the folder, in Markdown. ``versions``: of the tool, whose source gave the shape."""
    n_unknown = sum(example.label == "idk" for example in examples)
    first = examples[0]
    lines = [
        f"# Training data for {tool}",
        "",
        f"{share.n_rows} rows of {len(examples)} examples ({n_unknown} about questions that the model does not know), "
        f"as grait's method {escaped(recipe.method)} trained {escaped(recipe.model)} on them. "
        f"Made for {tool} {versions}.",
        "",
        "## Weights",
        "",
        f"{in_words(tool, share)}.",
        "",
        DISTANCE,
        *(["", SCALE] if share.weights_are == "resampled" else []),
        "",
        "## Use",
        "",
        use,
        "",
        "## What the run trained on",
        "",
        "The first example, prompt and completion, token by token the same text; only the completion carries loss:",
        "",
        fenced(recipe.begin * (not recipe.is_chat) + first.prompt),
        "",
        fenced(first.completion + recipe.end),
        "",
    ]
    return "\n".join(lines)


def whole(number: float) -> float:
    """An integer where the number is one: what some tools ask for."""
    return int(number) if number == int(number) else number
