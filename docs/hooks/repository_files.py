"""Links from the docs to files of the repository, such as ../configs/paper/mmlu-llama3-8b.yaml.

In the repository they lead to the file. The site gets a page for each linked file or folder, so that it holds all it
speaks of and needs no network.
"""

import os
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parents[2]
DOCS = "docs"
PAGES = "files"
"""Folder of these pages in the site."""

LEXERS = {
    ".cfg": "ini",
    ".json": "json",
    ".jsonl": "json",
    ".py": "python",
    ".toml": "toml",
    ".txt": "text",
    ".yaml": "yaml",
    "": "text",
}
"""How a file is shown, by suffix; Markdown is a page of its own."""

LINK = re.compile(r"\]\((?![a-z]+:|#|/)([^()\s#]+)(#[^()\s]*)?\)")
"""A relative link or picture: path, anchor."""


def add_pages(files: Files, config: MkDocsConfig) -> None:
    """Adds a page for everything in the repository that a page, these included, has a link to."""
    todo = [file for file in files if file.is_documentation_page()]
    while todo:
        file = todo.pop()
        for target in _targets(file.content_string, repository_path(file.src_uri)):
            uri = page_uri(target)
            if files.get_file_from_path(uri) is None and (ROOT / target).exists():
                page = File.generated(config, uri, content=_page(target), inclusion=InclusionLevel.NOT_IN_NAV)
                files.append(page)
                todo.append(page)


def to_pages(markdown: str, src_uri: str) -> str:
    """The Markdown of a page with its links to files of the repository leading to their pages."""
    source = repository_path(src_uri)

    def rewritten(match: re.Match[str]) -> str:
        target = _resolved(match[1], source)
        if not (ROOT / target).exists():
            return match[0]  # left to the strict build, which names it
        return f"]({posixpath.relpath(page_uri(target), posixpath.dirname(src_uri))}{match[2] or ''})"

    return _outside_code(markdown, lambda line: LINK.sub(rewritten, line))


def page_uri(path: str) -> str:
    """Where in the site a file or folder of the repository is."""
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    return f"{PAGES}/{path}" if path.endswith(".md") else f"{PAGES}/{path}.md"


def repository_path(src_uri: str) -> str:
    """What a page was made from, seen from the root of the repository."""
    if not src_uri.startswith(f"{PAGES}/"):
        return f"{DOCS}/{src_uri}"
    path = src_uri.removeprefix(f"{PAGES}/")
    return path if (ROOT / path).exists() else path.removesuffix(".md")


def _targets(markdown: str, source: str) -> Iterator[str]:
    found: list[str] = []

    def collect(line: str) -> str:
        found.extend(_resolved(match[1], source) for match in LINK.finditer(line))
        return line

    _outside_code(markdown, collect)
    return iter(found)


def _resolved(link: str, source: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """``change`` applied to every line that is not in a fenced block."""
    lines, fence = [], ""
    for line in markdown.split("\n"):
        mark = re.match(r"\s*(`{3,})", line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = ""
        elif not fence:
            line = change(line)
        lines.append(line)
    return "\n".join(lines)


def _page(path: str) -> str:
    """The Markdown of the page of a file, or of a folder with all its files; not found by the site's search."""
    hidden = "---\nsearch: {exclude: true}\n---\n\n"
    if path.endswith(".md"):
        return hidden + (ROOT / path).read_text(encoding="utf-8")
    if not (ROOT / path).is_dir():
        return hidden + f"# `{path}`\n\n{_source(path)}"
    own = sorted(entry for entry in os.listdir(ROOT / path) if (ROOT / path / entry).is_file())
    parts = [f"## `{name}`\n\n{_source(posixpath.join(path, name))}" for name in own]
    return hidden + "\n\n".join([f"# `{path}`", *parts])


def _source(path: str) -> str:
    suffix = posixpath.splitext(path)[1]
    if suffix not in LEXERS:
        raise PluginError(
            f"{path}: the site shows no {suffix} files; add the suffix to LEXERS in {Path(__file__).name}"
        )
    return f"``````{LEXERS[suffix]}\n{(ROOT / path).read_text(encoding='utf-8').rstrip()}\n``````"
