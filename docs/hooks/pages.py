"""What ``mkdocs build`` does besides: generated references, equations, pages for linked files of the repository."""

from collections.abc import Callable

import cli_reference
import config_reference
import methods_table
import repository_files
from mathml import Equations
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

GENERATED: dict[str, Callable[[], str]] = {
    "<!-- generated: config keys -->": config_reference.markdown,
    "<!-- generated: commands -->": cli_reference.markdown,
    "<!-- generated: methods -->": methods_table.markdown,
}
"""What stands in a page, and what takes its place; never written to the repository, so that it cannot go stale."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.markdown_extensions.append(Equations())
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    repository_files.add_pages(files, config)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    for mark, generate in GENERATED.items():
        markdown = markdown.replace(mark, generate()) if mark in markdown else markdown
    if "<!-- generated:" in markdown:
        raise PluginError(f"{page.file.src_uri}: a mark that docs/hooks/pages.py does not know")
    return repository_files.to_pages(markdown, page.file.src_uri)
