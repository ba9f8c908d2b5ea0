"""For mkdocstrings: docstrings are plain text in which <u_i, u_j> is an inner product, not a tag."""

import re
from typing import Any

import griffe

CODE_OR_BRACKET = re.compile(r"``.*?``|<", re.DOTALL)


class PlainText(griffe.Extension):
    """Escapes what Markdown would take for a tag, outside of code."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = CODE_OR_BRACKET.sub(
                lambda match: "&lt;" if match[0] == "<" else match[0], obj.docstring.value
            )
