"""Equations as MathML, made when the site is built, in the two forms that GitHub shows as equations, too.

A block fenced with ```math, and $`...`$ within a line. The browser draws MathML itself: no script, no font.
"""

import re

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor
from mkdocs.exceptions import PluginError

BLOCK = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = r"(?<!`)\$`([^`]+)`\$(?!`)"


class Equations(Extension):
    """The Markdown extension."""

    def extendMarkdown(self, md: Markdown) -> None:
        # Before fenced code (25) and before code within a line (190).
        md.preprocessors.register(_Blocks(md), "equations", 29)
        md.inlinePatterns.register(_Inline(INLINE, md), "equations", 195)


class _Blocks(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return BLOCK.sub(self._stored, "\n".join(lines)).split("\n")

    def _stored(self, match: re.Match[str]) -> str:
        return self.md.htmlStash.store(f'<div class="equation">{mathml(match[1], "block")}</div>')


class _Inline(InlineProcessor):
    def handleMatch(self, match: re.Match[str], data: str) -> tuple[str, int, int]:
        return self.md.htmlStash.store(mathml(match[1], "inline")), match.start(0), match.end(0)


def mathml(tex: str, display: str) -> str:
    """One <math> element. ``display``: block or inline. PluginError for TeX that the converter does not know."""
    html = convert(" ".join(tex.split()), display=display)
    if left := re.findall(r"\\\w+|<m[a-z]+>&</m", html):
        raise PluginError(f"equation {tex.strip()!r}: latex2mathml does not know {left[0]!r}; write it in another way")
    return html
