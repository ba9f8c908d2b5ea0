"""The report page: what it says, that data stays text, that it is small and whole, and that a run never fails by it."""

import copy
import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_data import FEW, made_up_comparison, made_up_conversations, made_up_forms, made_up_run
from tiny_folder import Files, tiny_tree

import grait
from grait import cli
from grait.commands.compare import compare
from grait.commands.report import report as report_again
from grait.config import parse_config
from grait.display import examples, page
from grait.display.contents import RunRecords
from grait.display.examples import MAX_TEST_BYTES, MAX_TRAINING_BYTES, answers_table, training_table
from grait.display.page import Report, comparison_report, run_report
from grait.display.words import headline, verdict
from grait.errors import ArtifactError
from grait.evaluation.metrics import summarize
from grait.judging.agreement import agreement
from grait.methods.selection import Evidence, by_question
from grait.pipeline import reporting
from grait.records import MetricRecord, Prediction, Question, RefusedRecord
from grait.runtime.artifacts import write_json

PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'
EVIL = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 1'>"

pytestmark = pytest.mark.usefixtures("one_thread")


class Page(HTMLParser):
    """The elements of a page, its data islands, and its text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.islands: dict[str, Any] = {}
        self.text = ""
        self._within: tuple[str, dict[str, str | None]] = ("", {})
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._within = (tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        self._within = ("", {})

    def handle_data(self, data: str) -> None:
        tag, attributes = self._within
        if tag == "script" and attributes.get("type") == "application/json":
            self.islands[str(attributes["id"]).removesuffix("-data")] = json.loads(data)
        elif tag not in ("script", "style"):
            self.text += data

    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.elements if "id" in attributes]


@pytest.fixture(scope="module")
def run() -> RunRecords:
    made_up = made_up_run(60, {"in-domain": 50, "out-of-domain": 30}, FEW)
    forms, differences = made_up_forms(made_up, untrained=["tutor"])
    return replace(made_up, forms=forms, form_differences=differences, conversations=made_up_conversations(made_up))


@pytest.fixture(scope="module")
def report(run: RunRecords) -> Report:
    return run_report(run)


# -- what it says --------------------------------------------------------------------------------------------------


def metric(pc: float, pw: float, low: float = 0.0, high: float = 0.0) -> MetricRecord:
    outcomes = {"a": "correct", "b": "wrong"}
    record = summarize("grait", "own", outcomes, outcomes, resamples=100)  # type: ignore[arg-type]
    return replace(record, pc=pc, pw=pw, pr=1 - pc - pw, ths_low=low, ths_high=high)


def test_the_headline_names_what_falls_rises_and_stays() -> None:
    assert headline(metric(0.3, 0.7), metric(0.2, 0.4)) == (
        "Wrong answers fall from 70.0% to 40.0%, right answers fall from 30.0% to 20.0%; "
        "40.0% of the questions are refused."
    )
    assert "right answers rise from 30.0% to 35.0%" in headline(metric(0.3, 0.7), metric(0.35, 0.6))
    assert headline(metric(0.3, 0.7), metric(0.30001, 0.6)).count("stay at 30.0%") == 1


def test_the_verdict_follows_the_interval() -> None:
    assert verdict(metric(0.2, 0.4, 0.01, 0.1)).startswith("better")
    assert verdict(metric(0.2, 0.4, -0.1, -0.01)).startswith("worse")
    assert verdict(metric(0.2, 0.4, -0.1, 0.1)).startswith("not clearly")


def test_every_system_data_set_and_number_of_the_tables_is_there(run: RunRecords, report: Report) -> None:
    text = Page(report.html).text
    for record in run.metrics:
        assert record.method in text
        assert record.dataset in text
        for share in (record.pc, record.pw, record.pr, record.ths):
            assert f"{100 * share:.1f}".replace("-0.0", "0.0") in text
    for of_form in run.forms:
        assert of_form.form in text
        assert of_form.ths is None or f"{100 * of_form.ths:.1f}".replace("-0.0", "0.0") in text
    assert [name for name in Page(report.html).ids() if name in ("summary", "side-effects", "systems")] == [
        "summary",
        "side-effects",
        "systems",
    ]
    assert "Refused of 100 prompts of chit-chat" in text
    assert "Asked after solved examples, grait refuses 99.0% of chit-chat (initial model: 6.0%)" in text
    assert "Trials of learning rate and passes" in text and "-0.8 [-9.0, 7.4]" in text
    assert "12.5" in text  # of the questions about a given text
    for name in ("2.13.0", "AMD EPYC", "SmolLM2-135M-Instruct", "correctness_threshold"):
        assert name in text


def test_every_round_of_a_training_stands_in_the_report(report: Report) -> None:
    section = report.html.split('<section id="rounds">')[1].split("</section>")[0]
    assert re.findall(r'<th scope="row">([^<]*)<', section) == ["grait-dynamic, round 1", "grait-dynamic, round 2"]
    cells = re.findall(r'<td class="number">([^<]*)<', section)
    assert cells[:9] == ["0", "0", "1.00", "1.00", "0.35", "0.57", "0.79", "1.000", "87.5"]
    assert cells[9:] == ["53", "118", "1.25", "1.00", "0.35", "0.57", "0.65", "0.432", "-"]


def test_the_sentence_about_the_gain_is_the_first_and_warnings_follow(run: RunRecords, report: Report) -> None:
    told = {"gain": f"No gain {EVIL}", "next": "Next.", "warnings": ["few"], "found": ["temperature 0.5"]}
    text = Page(run_report(replace(run, summary={**run.summary, "in_words": told})).html).text
    places = [
        text.index(part) for part in (f"No gain {EVIL}", "Next.", "Warning: few.", "temperature 0.5.", "Wrong answ")
    ]
    assert places == sorted(places)
    assert "Warning:" not in Page(report.html).text  # of a run folder of before


def test_a_judge_stands_in_the_report_with_what_it_and_the_built_in_one_make_of_the_same(run: RunRecords) -> None:
    row = {"id": "q", "question": "<i>Who?</i>", "references": ["Rome"], "output": "It is Roma", "verdict": "correct"}
    judge = {
        "name": "gpt-x", "judged": 50, "asked": 53, "reused": 7, "retried": 2, "without_verdict": 1,
        "prompt_tokens": 5300, "reply_tokens": 53,
        "agreement": asdict(agreement([("correct", "wrong"), ("wrong", "wrong")])),
        "disagreements": [row | {"matching": "wrong"}],
    }  # fmt: skip
    stages = {"evaluation/own/grait": {"without_verdict": ["a", "b"]}}
    page = Page(run_report(replace(run, summary={**run.summary, "judge": judge, "stages": stages})).html)
    for text in (
        "judged by gpt-x: 50 outputs in 53 requests (2 retried, 5,300 + 53 tokens), 7 verdicts used again, 1 outputs",
        "gpt-x and the built-in judge agree on 50.0% of 2 outputs, kappa 0.00",
        "counted neither as right nor as wrong: 2 in evaluation/own/grait",
        "<i>Who?</i>",
        "It is Roma",
    ):
        assert text in page.text
    assert "judge" in page.ids() and "built-in" not in Page(run_report(run).html).text


def test_the_example_tables_hold_every_question_joined_by_id(run: RunRecords) -> None:
    shuffled = {
        name: {system: list(reversed(rows)) if system == "grait" else list(rows) for system, rows in own.items()}
        for name, own in run.predictions.items()
    }
    table = answers_table(replace(run, predictions=shuffled), "grait")
    columns = [column["name"] for column in table["columns"]]
    assert len(table["rows"]) == table["total"] == 80
    outcomes = {"correct": "right", "wrong": "wrong", "refused": "refused"}
    wanted = {}
    for name, own in run.predictions.items():
        answers = {row.id: row for row in own["grait"]}
        for question, before in zip(run.test_sets[name], own["init-basic"], strict=True):
            after = answers[question.id]
            over = before.outcome == "correct" and after.outcome == "refused"
            wanted[question.question] = (outcomes[before.outcome], "over-refused" if over else outcomes[after.outcome])
    for row, after in zip(table["rows"], table["variants"]["grait"], strict=True):
        named = dict(zip(columns, [*row, *after], strict=True))
        assert (named["before"], named["after"]) == wanted[named["question"]]
    assert next(iter(table["variants"])) == "grait"  # shown first
    training = training_table(run, "grait")
    weights = [row[-1] for row in training["rows"] if row[-1] is not None]
    assert sorted(weights) == sorted(round(row.sample_weight, 4) for row in by_question(run.selected["grait"]).values())


# -- data is text --------------------------------------------------------------------------------------------------


def with_evil_text(run: RunRecords) -> RunRecords:
    """The run with markup in every text of the data."""

    def question(row: Question) -> Question:
        return replace(row, question=f"{EVIL} {row.question}", answers=(EVIL,), relation=f"{EVIL} {row.relation}")

    def prediction(row: Prediction) -> Prediction:
        return replace(row, output=f"{EVIL} {row.output}")

    evidence = Evidence([replace(row, answer=EVIL) for row in run.evidence.states], {}, run.evidence.influence)
    return replace(
        run,
        name=EVIL,
        config={**run.config, "data": {**run.config["data"], "path": EVIL}},
        metrics=[replace(row, dataset=f"{EVIL}{row.dataset}") for row in run.metrics],
        forms=[replace(row, dataset=f"{EVIL}{row.dataset}", form=f"{EVIL}{row.form}") for row in run.forms],
        test_sets={f"{EVIL}{name}": list(map(question, rows)) for name, rows in run.test_sets.items()},
        training_set={id_: question(row) for id_, row in run.training_set.items()},
        predictions={
            f"{EVIL}{name}": {system: list(map(prediction, rows)) for system, rows in own.items()}
            for name, own in run.predictions.items()
        },
        evidence=evidence,
        summary={**run.summary, "machine": {"processor": EVIL}},
    )


def test_markup_in_the_data_adds_no_element(run: RunRecords, report: Report) -> None:
    evil = Page(run_report(with_evil_text(run)).html)
    tags = [tag for tag, _ in evil.elements]
    assert tags.count("script") == [tag for tag, _ in Page(report.html).elements].count("script") == 3
    assert "img" not in tags
    assert not [attributes for _, attributes in evil.elements if any(name.startswith("on") for name in attributes)]
    assert evil.islands["test-examples"]["rows"][0][1].startswith(EVIL)
    assert EVIL in evil.text


def test_only_the_pages_own_script_may_run_and_nothing_be_fetched(report: Report) -> None:
    assert re.search(r"default-src 'none'; script-src 'sha256-[A-Za-z0-9+/=]+';", report.html)
    assert not re.findall(r"(?:src|href|xlink:href)=\"(?!#|data:)[^\"]*\"", report.html)
    assert "url(http" not in report.html
    assert "@import" not in report.html


def test_ids_are_unique_and_links_lead_somewhere(report: Report) -> None:
    ids = Page(report.html).ids()
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"href=\"#([^\"]+)\"", report.html)) <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", report.html)) <= set(ids)


# -- size and optional parts ---------------------------------------------------------------------------------------


def test_a_large_page_is_cut_and_says_so(run: RunRecords, report: Report) -> None:
    long = {
        name: {system: [replace(row, output="word " * 200) for row in rows * 60] for system, rows in own.items()}
        for name, own in run.predictions.items()
    }
    many = {
        name: {
            system: [
                replace(row, id=f"{row.id}/{place}", output=f"{place} {row.output}") for place, row in enumerate(rows)
            ]
            for system, rows in own.items()
        }
        for name, own in long.items()
    }
    sets = {
        name: [replace(row, id=f"{row.id}/{place}") for place, row in enumerate(list(rows) * 60)]
        for name, rows in run.test_sets.items()
    }
    table = answers_table(replace(run, predictions=many, test_sets=sets), "grait")
    assert table["total"] == 80 * 60
    assert 0 < len(table["rows"]) < table["total"]
    assert 0.95 * MAX_TEST_BYTES < len(json.dumps(table)) < 1.05 * MAX_TEST_BYTES
    in_domain = sum(row[0] == "in-domain" for row in table["rows"])
    assert in_domain / len(table["rows"]) == pytest.approx(50 / 80, abs=0.02)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "MAX_TEST_BYTES", 8_000)
        cut = Page(run_report(run).html)
    n_rows = len(cut.islands["test-examples"]["rows"])
    assert 0 < n_rows < 80
    assert f"the first {n_rows} of 80 questions" in cut.text
    assert "Cut to keep" not in Page(report.html).text


def test_the_page_of_a_real_size_stays_small() -> None:
    big = made_up_run(1200, {"in-domain": 1500, "out-of-domain": 800}, FEW)
    html = run_report(big).html
    assert len(html.encode()) < 5_000_000
    assert len(Page(html).islands["test-examples"]["rows"]) == 2300
    assert MAX_TEST_BYTES + MAX_TRAINING_BYTES < 4_000_000


@pytest.mark.parametrize(
    "systems",
    [("init-basic", "init-refuse"), ("init-basic", "init-refuse", "r-tuning"), ("init-basic", "init-refuse", "craft")],
)
def test_a_run_without_grait_has_a_page(systems: tuple[str, ...]) -> None:
    small = made_up_run(40, {"in-domain": 30}, systems)
    evidence = Evidence(small.evidence.states, {}, {})
    made = run_report(replace(small, evidence=evidence, groups=[]))
    assert "influence" not in made.pictures
    assert f"{systems[-1]}" in Page(made.html).text
    assert ("losses" in made.pictures) == (len(systems) > 2)


def test_questions_without_metadata_and_states_without_certainty_have_a_page(run: RunRecords) -> None:
    def bare(row: Question) -> Question:
        return Question(row.id, row.question, row.answers)

    states = [replace(state, certainty=None) for state in run.evidence.states]
    made = run_report(
        replace(
            run,
            test_sets={name: list(map(bare, rows)) for name, rows in run.test_sets.items()},
            training_set={id_: bare(row) for id_, row in run.training_set.items()},
            evidence=replace(run.evidence, states=states),
            summary={"stages": {}, "versions": {}, "peak_memory_mb": 1},
        )
    )
    assert not [name for name in made.pictures if name.startswith(("by-group", "by-popularity", "knowledge"))]


def test_data_sets_of_like_names_have_pictures_of_their_own() -> None:
    names = ["a b", "a-b", "a/../b", "été", "知识"]
    found = page.file_names(names)
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", name) for name in found.values())


def test_the_page_of_a_comparison_shows_its_records() -> None:
    comparison = made_up_comparison(30, (0, 1), FEW)
    made = comparison_report(comparison)
    text = Page(made.html).text
    for record in comparison.records:
        assert f"{100 * record.pc:.1f}" in text
        assert record.method in text
    assert "seeds 0, 1" in text
    for name in ("ths", "differences", "trade-off", "risk-coverage"):
        assert f"{name}-in-domain" in made.pictures
    ids = Page(made.html).ids()
    assert len(ids) == len(set(ids))


# -- runs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """A finished comparison of one seed, whose pages are drawn; tests copy it."""

    folder: Path
    tree: dict[str, Any]

    def copied_to(self, folder: Path) -> Path:
        shutil.copytree(self.folder, folder / "copy")
        return folder / "copy"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what conftest does for all other tests."""
    monkeypatch.setattr(page, "run_report", run_report)
    monkeypatch.setattr(page, "comparison_report", comparison_report)


@pytest.fixture(scope="module")
def done(tiny: tuple[str, Files], tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("done")
    tree = tiny_tree(*tiny, folder / "compared")
    tree["compare"] = {"seeds": [0], "methods": ["cor-rait", "craft", "grait"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "run_report", run_report)
        patch.setattr(page, "comparison_report", comparison_report)
        compare(parse_config(tree))
    return Done(folder / "compared", tree)


def test_a_run_and_a_comparison_end_with_a_page(done: Done) -> None:
    for folder in (done.folder, done.folder / "seed-0"):
        html = (folder / "report.html").read_text(encoding="utf-8")
        assert "<!DOCTYPE html>" in html
        names = {path.stem for path in (folder / "figures").glob("*.svg")}
        assert len(names) >= 4
        for name in names:
            assert "var(" not in (folder / "figures" / f"{name}.svg").read_text(encoding="utf-8")
            assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert not list(folder.glob(".*.partial"))
    summary = json.loads((done.folder / "seed-0" / "summary.json").read_text())
    assert summary["machine"]["cores"] >= 1


@pytest.mark.usefixtures("drawn", "no_model")
def test_a_page_made_again_is_the_same_page(done: Done, tmp_path: Path) -> None:
    """Two roads to one page: from what the run had in memory, and from what its folder holds."""
    copied = done.copied_to(tmp_path)
    for name in ("seed-0", "."):
        before = (copied / name / "report.html").read_text(encoding="utf-8")
        figures = {path.name: path.read_bytes() for path in (copied / name / "figures").iterdir()}
        shutil.rmtree(copied / name / "figures")
        assert report_again(copied / name) == copied / name / "report.html"
        after = (copied / name / "report.html").read_text(encoding="utf-8")
        # The folder has another name, and so has the config in it.
        assert after.replace(str(copied), str(done.folder)).replace("copy", "compared") == before
        assert {path.name: path.read_bytes() for path in (copied / name / "figures").iterdir()} == figures


def test_the_command_says_where_the_page_is(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = done.copied_to(tmp_path)
    monkeypatch.setattr(sys, "argv", ["grait", "report", str(copied)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert str(copied / "report.html") in capsys.readouterr().out


def test_a_failing_page_takes_nothing_from_the_run(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> Report:
        raise RuntimeError("no ink")

    monkeypatch.setattr(page, "run_report", fail)
    copied = done.copied_to(tmp_path) / "seed-0"
    tree = copy.deepcopy(done.tree) | {"out": str(copied)}
    tree["training"] |= {"methods": ["cor-rait", "craft", "grait"]}
    result = grait.run(tree)
    assert result.metrics
    assert [asdict(row) for row in result.metrics] == json.loads((copied / "metrics.json").read_text())
    assert not (copied / "report.html").exists()  # no page of an older state either
    said = " ".join(capsys.readouterr().err.split())
    assert "RuntimeError: no ink" in said
    assert f"grait report {copied}" in said


def test_a_half_written_page_does_not_replace_figures(tmp_path: Path) -> None:
    reporting.write_page(tmp_path, lambda: Report("one", {"a": PICTURE}))

    def fail() -> Report:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        reporting.write_page(tmp_path, fail)
    assert sorted((path.name for path in (tmp_path / "figures").iterdir()), reverse=True) == ["a.svg", "a.png"]
    assert not (tmp_path / "report.html").exists()
    reporting.write_page(tmp_path, lambda: Report("two", {"b": PICTURE}))
    assert sorted((path.name for path in (tmp_path / "figures").iterdir()), reverse=True) == ["b.svg", "b.png"]
    assert (tmp_path / "report.html").read_text() == "two"


def test_what_is_no_finished_run_is_said_in_one_line(done: Done, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no run folder"):
        report_again(tmp_path)
    copied = done.copied_to(tmp_path)
    (copied / "seed-0" / "summary.json").unlink()
    with pytest.raises(ArtifactError, match="not a finished run"):
        report_again(copied / "seed-0")
    write_json(copied / "compare.json", {"records": [{"method": "of another version"}]})
    with pytest.raises(ArtifactError, match="not a readable comparison"):
        report_again(copied)


def test_questions_that_are_gone_are_named(done: Done, tmp_path: Path) -> None:
    copied = done.copied_to(tmp_path) / "seed-0"
    config = json.loads((copied / "config.json").read_text())
    rows = Path(config["evaluation"]["datasets"][0]["path"]).read_text().splitlines()
    (tmp_path / "fewer.jsonl").write_text("\n".join(rows[1:]))
    config["evaluation"]["datasets"][0]["path"] = str(tmp_path / "fewer.jsonl")
    write_json(copied / "config.json", config)
    with pytest.raises(ArtifactError, match=f"1 questions .*{json.loads(rows[0])['id']}"):
        report_again(copied)


# -- in a browser --------------------------------------------------------------------------------------------------


@dataclass
class Opened:
    """A page in the browser, and what went wrong in it."""

    page: Any
    console: list[str]
    requests: list[str]

    def values(self, column: str, table: str = "test-examples") -> list[str]:
        """The texts of a column, from the rows that are shown."""
        found = self.page.locator(f"#{table} td[data-name='{column}']").all_inner_texts()
        return [str(text).strip() for text in found]

    def choose(self, name: str, value: str, table: str = "test-examples") -> None:
        self.page.locator(f"#{table} .controls label", has=self.page.locator("select")).filter(
            has_text=re.compile(f"^{name}")
        ).locator("select").select_option(label=value)

    def count(self, table: str = "test-examples") -> str:
        return str(self.page.locator(f"#{table} .count").inner_text())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, run: RunRecords, report: Report) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, made in {
        "run": report,
        "evil": run_report(with_evil_text(run)),
        "comparison": comparison_report(made_up_comparison(30, (0, 1), FEW)),
    }.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(made.html, encoding="utf-8")
    return found


@pytest.fixture
def opened(browser: Any, files: dict[str, Path]) -> Iterator[Any]:
    """Opens a page by its name, in a window of any width, light or dark."""
    contexts = []

    def open_page(name: str, width: int = 1200, scheme: str = "light") -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        found = Opened(context.new_page(), [], [])
        found.page.on("console", lambda message: found.console.append(message.text))
        found.page.on("pageerror", lambda error: found.console.append(str(error)))
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.goto(files[name].as_uri())
        return found

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.browser
@pytest.mark.parametrize("name", ["run", "evil", "comparison"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_open_without_errors_and_fetch_nothing(
    opened: Any, files: dict[str, Path], name: str, scheme: str
) -> None:
    seen = opened(name, scheme=scheme)
    assert seen.console == []
    assert seen.requests == [files[name].as_uri()]
    assert seen.page.evaluate("window.evil") is None


@pytest.mark.browser
def test_a_question_of_markup_stays_text(opened: Any) -> None:
    seen = opened("evil")
    assert seen.values("question")[0].startswith(EVIL)
    assert seen.page.locator("main img").count() == 0
    mark = seen.page.locator("#figure-influence .role-mark [aria-label*='<script>']").last
    mark.hover(force=True)
    assert EVIL[:40] in seen.page.locator("#tip").inner_text()
    assert seen.page.locator("#tip *").count() == 0
    assert seen.page.evaluate("window.evil") is None


@pytest.mark.browser
def test_filters_and_search_leave_the_rows_that_fit(opened: Any, run: RunRecords) -> None:
    seen = opened("run")
    assert seen.count().startswith("50 of 80")
    seen.choose("after", "over-refused")
    n = sum(
        (before.outcome, after.outcome) == ("correct", "refused")
        for own in run.predictions.values()
        for before, after in zip(own["init-basic"], own["grait"], strict=True)
    )
    assert set(seen.values("after")) == {"over-refused"}
    assert seen.count() == f"{n} of {n} questions"
    assert set(seen.values("before")) == {"right"}
    seen.choose("after", "all")
    seen.choose("data set", "out-of-domain")
    assert seen.count() == "30 of 30 questions"
    word = run.test_sets["out-of-domain"][7].question.split()[-1]
    seen.page.locator("#test-examples input").fill(word.upper())
    assert seen.values("question")
    assert all(word.lower() in text.lower() for text in seen.values("question"))
    seen.page.locator("#test-examples input").fill("nothing has this")
    assert seen.count() == "0 of 0 questions"


@pytest.mark.browser
def test_another_system_shows_its_own_answers(opened: Any, run: RunRecords) -> None:
    seen = opened("run")
    seen.choose("system", "init-refuse")
    named = {"correct": "right", "wrong": "wrong", "refused": "refused"}
    own = run.predictions["in-domain"]
    wanted = [
        "over-refused" if (before.outcome, after.outcome) == ("correct", "refused") else named[after.outcome]
        for before, after in zip(own["init-basic"], own["init-refuse"], strict=True)
    ]
    assert seen.values("after") == wanted
    assert seen.values("answer after") == [row.output for row in own["init-refuse"]]


@pytest.mark.browser
def test_columns_sort_up_and_down_with_the_unknown_last(opened: Any) -> None:
    seen = opened("run")
    head = seen.page.locator("#training-examples thead th", has_text=re.compile("^S$"))
    seen.page.locator("#training-examples .count button").click()
    for direction, is_down in (("ascending", False), ("descending", True)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == direction
        shown = seen.values("S", "training-examples")
        numbers = [float(text) for text in shown if text != "–"]
        assert shown[: len(numbers)] == [f"{value:.4f}" for value in sorted(numbers, reverse=is_down)]
        assert set(shown[len(numbers) :]) <= {"–"}
    seen.page.locator("#training-examples thead button", has_text="knowledge").click()
    labels = seen.values("knowledge", "training-examples")
    assert labels == sorted(labels)
    assert len(set(labels)) > 1


@pytest.mark.browser
@pytest.mark.parametrize("name", ["run", "evil", "comparison"])
def test_a_narrow_window_scrolls_no_page_sideways(opened: Any, name: str) -> None:
    seen = opened(name, width=390)
    assert seen.page.evaluate("document.documentElement.scrollWidth") == 390
    small = seen.page.evaluate(
        "[...document.querySelectorAll('figure svg')].filter(svg => svg.getBoundingClientRect().width < 300).length"
    )
    assert small == 0


@pytest.mark.browser
def test_dark_pages_are_dark_and_print_is_light(opened: Any) -> None:
    def lightness(seen: Opened, what: str, selector: str) -> float:
        colour = seen.page.evaluate(f"getComputedStyle(document.querySelector({selector!r})).{what}")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 765

    light, dark = opened("run"), opened("run", scheme="dark")
    for seen, is_dark in ((light, False), (dark, True)):
        assert (lightness(seen, "backgroundColor", "body") < 0.5) == is_dark
        assert (lightness(seen, "fill", "#figure-knowledge .role-axis-title text") > 0.5) == is_dark
    dark.page.emulate_media(media="print")
    assert lightness(dark, "backgroundColor", "body") > 0.9
    assert not dark.page.locator(".controls").first.is_visible()


def test_questions_without_an_answer_and_what_was_said_of_the_data_are_shown(run: RunRecords) -> None:
    refused = [RefusedRecord(name, "own <b>", False, 40, 0.25, 0.5) for name in next(iter(run.predictions.values()))]
    shown = replace(run, refused=refused, summary={**run.summary, "data": ["2 of 9 questions <i>return"]})
    html = run_report(shown).html
    assert "own &lt;b&gt;: unanswerable" in html and "40 questions" in html
    assert "<li>2 of 9 questions &lt;i&gt;return</li>" in html
    assert 'id="unanswerable"' not in run_report(run).html
