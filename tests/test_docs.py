"""The documentation: it builds strictly and offline, fetches nothing, and says what the code says."""

import ast
import html
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
import typer
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import grait.influence
from grait.cli import app
from grait.config import Config, SelectionConfig, parse_config
from grait.knowledge.query import label
from grait.methods.catalog import METHODS
from grait.methods.selection import Evidence
from grait.records import InfluenceScore, KnowledgeState

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TEXTS = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Where a build would ask the network, it fails: there is no way out."""
    folder = tmp_path_factory.mktemp("site")
    nowhere = "http://127.0.0.1:9"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "http_proxy": nowhere, "https_proxy": nowhere},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Page(HTMLParser):
    """What a page refers to: ``fetched`` while it is shown, ``links`` to follow, ``ids`` to arrive at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)
        self.fetched += [
            found.strip("'\" ")
            for found in re.findall(r"url\(([^)]*)\)|@import\s+([^;]+)", text)
            for found in found
            if found
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a":
            self.links += [values["href"]] if "href" in values else []
        elif tag == "link" and values.get("rel") in ("next", "prev"):
            self.links.append(values["href"])
        else:
            self.fetched += [values[name] for name in ("src", "href", "data", "poster", "action") if name in values]
            self.fetched += [part.split()[0] for part in values.get("srcset", "").split(",") if part.strip()]


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def is_foreign(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


# -- the site ------------------------------------------------------------------------------------------------------


def test_every_page_of_the_docs_is_in_the_site_and_in_its_menu(site: Path) -> None:
    menu = (site / "index.html").read_text(encoding="utf-8")
    for path in DOCS.glob("*.md"):
        assert (site / f"{path.stem}.html").is_file()
        assert f'href="{path.stem}.html"' in menu or path.stem == "index"


def test_no_page_fetches_anything_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        foreign = [address for address in page.fetched if is_foreign(address)]
        assert not foreign, f"{path.relative_to(site)}: {foreign}"
    for path in site.rglob("*.css"):
        foreign = [address for address in Page(path.read_text(encoding="utf-8")).fetched if is_foreign(address)]
        assert not foreign, f"{path.relative_to(site)}: {foreign}"


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<img src="a.png" srcset="https://a.example/b.png 2x">',
        "<style>@import 'https://a.example/c.css';</style>",
        "<style>@font-face { src: url(https://a.example/f.woff2) }</style>",
    ],
)
def test_what_is_fetched_from_elsewhere_would_be_noticed(text: str) -> None:
    assert any(map(is_foreign, Page(text).fetched))


def test_every_link_within_the_site_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    # 404.html is served at any depth, so its links are absolute.
    found = {path: page for path, page in pages.items() if path != site / "404.html"}
    for path, page in found.items():
        for link in [*page.links, *page.fetched]:
            if is_foreign(link):
                assert urlsplit(link).scheme in ("https", "http", "mailto"), f"{path.relative_to(site)}: {link}"
                continue
            target = (path.parent / unquote(urlsplit(link).path)).resolve() if urlsplit(link).path else path
            if not link.startswith("data:"):
                assert target.exists(), f"{path.relative_to(site)}: {link}"
                anchor = unquote(urlsplit(link).fragment)
                assert not anchor or target not in found or anchor in found[target].ids, (path.relative_to(site), link)


@pytest.mark.browser
def test_a_browser_asks_for_nothing_but_files_of_the_site_and_draws_the_equations(site: Path, browser: Any) -> None:
    opened = browser.new_page()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    for name in ("index", "config", "influence-api"):
        opened.goto((site / f"{name}.html").as_uri())
        opened.wait_for_timeout(300)
    assert asked and all(address.startswith((site.as_uri(), "data:", "blob:")) for address in asked), asked
    opened.goto((site / "method.html").as_uri())
    heights = opened.eval_on_selector_all("math", "all => all.map(one => one.getBoundingClientRect().height)")
    assert heights and min(heights) > 5
    opened.set_viewport_size({"width": 390, "height": 800})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    opened.close()


# -- equations -----------------------------------------------------------------------------------------------------


def test_equations_are_mathml(site: Path) -> None:
    source = (DOCS / "method.md").read_text(encoding="utf-8")
    built = (site / "method.html").read_text(encoding="utf-8")
    n_blocks, n_inline = len(re.findall(r"^```math$", source, re.MULTILINE)), len(re.findall(r"\$`[^`]+`\$", source))
    assert n_blocks > 10 and n_inline > 20
    assert built.count("<math") == n_blocks + n_inline
    assert len(re.findall(r'<math[^>]*display="block"', built)) == n_blocks
    shown = "".join(re.findall(r"<math.*?</math>", built, re.DOTALL))
    assert "\\" not in shown and "$" not in shown
    for equation in re.findall(r"<math.*?</math>", built, re.DOTALL):
        ElementTree.fromstring(equation)


def hook(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS / "hooks"))
    return importlib.import_module(name)


def test_what_the_converter_does_not_know_ends_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    mathml = hook("mathml", monkeypatch)
    assert "<mfrac>" in mathml.mathml(r"\frac{1}{2}", "inline")
    for tex in (r"\begin{aligned} a &= b \end{aligned}", r"\nonsense x"):
        with pytest.raises(Exception, match="does not know"):
            mathml.mathml(tex, "block")


# -- references ----------------------------------------------------------------------------------------------------


def config_keys(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of the config that is no section, as the reference names it."""
    for name, field in section.model_fields.items():
        is_list = get_origin(field.annotation) is list
        is_optional = get_origin(field.annotation) in (UnionType, Union)
        inner = get_args(field.annotation)[0] if is_list or is_optional else field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from config_keys(inner, f"{prefix}{name}{'[]' if is_list else ''}.")
        else:
            yield f"{prefix}{name}", field


def text_below(page: str, heading: str) -> str:
    """The text from a heading's id to the next heading of its level or above, without tags."""
    found = re.search(rf'<h(\d)[^>]* id="{re.escape(heading)}".*', page, re.DOTALL)
    assert found, heading
    end = re.compile(rf"<h[1-{found[1]}][ >]|<footer|</article").search(page, found.start() + 1)
    assert end
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page[found.start() : end.start()])).split())


def squeezed(text: str) -> str:
    return re.sub(r"[\s`]", "", text)


def test_every_config_key_stands_in_the_reference_with_its_default_and_meaning(site: Path) -> None:
    page = (site / "config.html").read_text(encoding="utf-8")
    keys = dict(config_keys())
    assert {"seed", "training.epochs", "evaluation.datasets[].limit"} <= keys.keys()
    for path, field in keys.items():
        anchor = path.replace("[]", "")
        below = re.search(rf'<h3[^>]* id="{re.escape(anchor)}".*?default <code>(.*?)</code>', page, re.DOTALL)
        assert below, path
        assert yaml.safe_load(html.unescape(below[1])) == field.get_default(call_default_factory=True), path
        text = text_below(page, anchor)
        assert squeezed(str(field.description)) in squeezed(text), path
        for allowed in get_args(field.annotation) if not isinstance(field.annotation, type) else ():
            assert not isinstance(allowed, str) or allowed in text, path
    shown = re.findall(r'<h3[^>]* id="([^"]+)"', page)
    assert sorted(shown) == sorted(path.replace("[]", "") for path in keys)


def test_limits_stand_in_the_reference(site: Path) -> None:
    page = (site / "config.html").read_text(encoding="utf-8")
    assert "whole number from 1 · default" in text_below(page, "training.batch_size")
    assert "number above 0 below 1 · default" in text_below(page, "knowledge.correctness_threshold")
    assert "from 1; or null · default" in text_below(page, "selection.n_idk")
    assert "in-domain" in text_below(page, "evaluation.datasets")


def test_every_command_and_option_stands_in_the_reference(site: Path) -> None:
    page = (site / "cli.html").read_text(encoding="utf-8")
    assert {"run", "compare", "eval", "calibrate"} <= COMMANDS.keys()
    inner = {f"{name}-{own}": c for name, g in COMMANDS.items() for own, c in getattr(g, "commands", {}).items()}
    for name, command in ({n: c for n, c in COMMANDS.items() if not hasattr(c, "commands")} | inner).items():
        text = text_below(page, name)
        assert squeezed(command.help.split(".")[0]) in squeezed(text)
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else [parameter.name]:
                assert re.search(rf"(^|[ \[{{]){re.escape(option)}[ ,/\]}}]", text), f"{name} {option}"
            assert squeezed(parameter.help) in squeezed(text), f"{name} {parameter.name}"


def test_every_method_stands_in_the_tables(site: Path) -> None:
    for name in ("method", "own"):
        page = html.unescape((site / f"{name}.html").read_text(encoding="utf-8"))
        for method in METHODS.values():
            assert f"<code>{method.name}</code>" in page and method.summary in page


def test_everything_that_influence_offers_stands_in_its_reference(site: Path) -> None:
    page = (site / "influence-api.html").read_text(encoding="utf-8")
    for name in grait.influence.__all__:
        text = text_below(page, f"grait.influence.{name}")
        first = str(getattr(grait.influence, name).__doc__).split("\n")[0]
        assert squeezed(first) in squeezed(text), name
    assert "<u_i, u_j>" in text_below(page, "grait.influence.influence")  # and not lost as a tag


def test_the_docs_hold_no_mark_that_nothing_replaces(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert "<!-- generated" not in path.read_text(encoding="utf-8"), path


# -- what the pages say --------------------------------------------------------------------------------------------


def blocks(path: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    found = re.findall(r"^(`{3,})(\w*)[^\n]*\n(.*?)^\1$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [(language, text) for _, language, text in found]


def command_lines(path: Path) -> Iterator[list[str]]:
    """Words of every call of grait in the page's blocks, without what comes before it."""
    for language, text in blocks(path):
        if language in ("", "bash", "console", "sh"):
            for line in text.replace("\\\n", " ").splitlines():
                if found := re.match(r"(?:\$ )?(?:grait|(?:accelerate|torchrun) .*-m grait) ([a-z].*)", line.strip()):
                    yield shlex.split(found[1], comments=True)


def set_keys(words: list[str]) -> Iterator[str]:
    for place, word in enumerate(words):
        if word == "--set":
            yield words[place + 1].partition("=")[0]


CONFIG_KEYS = {re.sub(r"\[\]", "", path) for path, _ in config_keys()}


def is_key(path: str) -> bool:
    """Whether a dotted path, with places in lists, is a key of the config or a section."""
    plain = re.sub(r"\.\d+(?=\.|$)", "", path)
    return any(key == plain or key.startswith(f"{plain}.") for key in [*CONFIG_KEYS, "evaluation.datasets"])


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_command_in_a_block_can_be_called_as_it_stands(path: Path) -> None:
    for words in command_lines(path):
        name, arguments = words[0], words[1:]
        assert name in COMMANDS, f"grait {' '.join(words)}"
        try:
            COMMANDS[name].make_context(name, arguments)
        except Exception as error:
            raise AssertionError(f"grait {' '.join(words)}: {error}") from error
        assert all(map(is_key, set_keys(words))), f"grait {' '.join(words)}"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_commands_extras_and_modules_that_are_named_exist(path: Path) -> None:
    prose = re.sub(r"^(`{3,}).*?^\1$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for found in re.findall(r"`grait\s+([a-z][^`]*)`", prose):
        name, *words = found.split()
        assert name in COMMANDS, f"grait {found}"
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        for word in words:
            assert not word.startswith("--") or word.partition("=")[0] in options, f"grait {found}"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z-]+)", prose):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"grait\[([a-z-]+)\]", path.read_text(encoding="utf-8"))) <= extras.keys()
    for module in re.findall(r"python -m ((?:benchmarks|research)[\w.]*)", path.read_text(encoding="utf-8")):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_config_in_a_block_is_one(path: Path) -> None:
    for language, text in blocks(path):
        tree = yaml.safe_load(text) if language == "yaml" else None
        if isinstance(tree, dict) and tree.keys() & Config.model_fields.keys():
            parse_config(tree, path.name)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_config_key_that_is_named_exists(path: Path) -> None:
    for section, rest in re.findall(r"`([a-z_]+)\.([a-z_.\d]+)(?:[:=][^`]*)?`", path.read_text(encoding="utf-8")):
        if section in Config.model_fields and not rest.endswith(("json", "jsonl", "md", "parquet", "py")):
            assert is_key(f"{section}.{rest}"), f"{path.name}: {section}.{rest}"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_what_python_blocks_import_from_here_is_there(path: Path) -> None:
    for language, text in blocks(path):
        for node in ast.walk(ast.parse(text)) if language == "python" and "import " in text else ():
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("grait"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, name.name) for name in node.names), f"{path.name}: {ast.unparse(node)}"


def messages_of_the_code() -> str:
    """Every text in the source; what is put into a text at run time is ``…``."""
    texts = []
    for path in sorted((ROOT / "src" / "grait").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_messages_that_are_explained_are_messages_of_the_code() -> None:
    source = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^### (`+)(.*)\1$", source, re.MULTILINE)
    assert len(quoted) > 30
    messages = messages_of_the_code()
    for _, message in quoted:
        for part in message.split("…"):
            assert part.strip(" :;().") == "" or part in messages, f"{message!r}: no text of the code has {part!r}"
    assert "no such file; check the PATH" not in messages


# -- the map of the code -------------------------------------------------------------------------------------------


def mapped() -> list[str]:
    """The packages and modules of CONTRIBUTING's map, from the ground up."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = text.partition("## The map")[2].partition("\n## ")[0]
    return [name for cell in re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)]


def imports_of(path: Path) -> set[str]:
    """What of ``grait`` a file imports, wherever in it: the first part below ``grait``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "grait":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name.split(".")[1] for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("grait.")}
    return found


def test_the_map_has_every_package_and_each_imports_from_those_above_it_only() -> None:
    order = mapped()
    source = ROOT / "src" / "grait"
    packages = {path.parent.name for path in source.glob("*/__init__.py")}
    modules = {path.stem for path in source.glob("*.py")} - {"__init__", "__main__"}
    assert len(order) == len(set(order)) and set(order) == packages | modules
    for place, name in enumerate(order):
        for path in [source / f"{name}.py"] if name in modules else sorted((source / name).rglob("*.py")):
            above = imports_of(path) & set(order) - {name}
            assert above <= set(order[:place]), f"{path.relative_to(source)}: {sorted(above - set(order[:place]))}"


# -- adding a method or a data set ---------------------------------------------------------------------------------


def test_code_that_is_quoted_from_a_file_is_in_it() -> None:
    source = (DOCS / "adding.md").read_text(encoding="utf-8")
    quoted = re.findall(
        r"^From \[[^\]]+\]\(\.\./([^)]+)\):\n\n```(?:python|yaml)\n(.*?)^```$", source, re.MULTILINE | re.DOTALL
    )
    assert quoted
    for path, text in quoted:
        assert "".join(text.split()) in "".join((ROOT / path).read_text(encoding="utf-8").split()), f"{path}: {text}"


def test_the_method_that_is_shown_chooses_by_stable_influence() -> None:
    source = next(text for _, text in blocks(DOCS / "adding.md") if "def select" in text)
    module: dict[str, Any] = {}
    exec(compile(source, "by_stable.py", "exec"), module)
    states = [KnowledgeState(f"q{i}", label(i / 10, 0.5), i / 10, 0.5, None, "answer") for i in range(11)]
    scores = {
        state.id: InfluenceScore(state.id, state.label, 0.9 - 0.1 * i, 0.9 - 0.3 * i, 0.2 * i, 0.0, 1.0, 0.5)
        for i, state in enumerate(states)
        if state.id != "q4"
    }
    chosen = module["select"](Evidence(states, {}, scores), SelectionConfig(n_ik=3, n_idk=2), 0)
    assert [row.id for row in chosen] == ["q10", "q9", "q8", "q3", "q2"]
    assert {(row.label, row.target, row.sample_weight) for row in chosen} == {
        ("ik", "answer", 1),
        ("idk", "refusal", 1),
    }
