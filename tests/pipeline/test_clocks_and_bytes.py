"""Runs that schedulers end and begin again elsewhere, templates that look at the clock, data with odd characters."""

import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from tiny_folder import N_SHOTS, Files, save_tiny, tiny_tree, write_half_known
from transformers import AutoTokenizer
from transformers.utils import chat_template_utils

import grait
from grait.config import parse_config
from grait.display import page
from grait.display.page import run_report  # the real one: conftest puts another into the module
from grait.pipeline import stages
from grait.pipeline.data import MOMENT, RunData
from grait.runtime import lock
from grait.runtime.artifacts import MANIFEST
from grait.runtime.printable import printable, well_formed

pytestmark = pytest.mark.usefixtures("one_thread")


def small(model: str, files: Files, out: Path) -> dict[str, Any]:
    tree = tiny_tree(model, files, out)
    tree["training"]["methods"] = ["grait"]
    return tree


def stage_times(folder: Path) -> dict[str, int]:
    return {str(path.parent): path.stat().st_mtime_ns for path in sorted(folder.rglob(MANIFEST))}


# -- schedulers ----------------------------------------------------------------------------------------------------


def test_sigterm_in_any_stage_then_the_same_command_on_another_host_ends_alike(
    tiny: tuple[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start is another host, and each is ended in the middle of the stage after the last finished one."""
    whole = grait.run(small(*tiny, tmp_path / "whole"))
    compute = stages._run
    monkeypatch.setattr(lock, "HEARTBEAT", 0.2)

    class OneStage:
        """Lets one stage through, then ends the process in the next."""

        def __init__(self) -> None:
            self.n_left = 1

        def __call__(self, stage: Any, reasons: Any, do: Any) -> None:
            def interrupted(folder: Path) -> Any:
                found = do(folder)
                if not self.n_left:
                    os.kill(os.getpid(), signal.SIGTERM)
                self.n_left -= 1
                return found

            compute(stage, reasons, interrupted)

    n_started = 0
    tree = small(*tiny, tmp_path / "pods")
    while True:
        name = f"pod-{n_started}"
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        monkeypatch.setattr(stages, "_run", OneStage())
        n_started += 1
        try:
            result = grait.run(tree)
            break
        except SystemExit as end:
            assert end.code == 128 + signal.SIGTERM
        assert not (tmp_path / "pods" / lock.OWNER).exists()
    assert n_started >= len(stage_times(tmp_path / "whole")) - 1
    assert result.metrics == whole.metrics
    adapters = [run / "adapters" / "grait" / "adapter_model.safetensors" for run in (whole.folder, result.folder)]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


# -- clocks --------------------------------------------------------------------------------------------------------

CLOCKS = [
    "{{ strftime_now('%d %b %Y') }}",
    "{{ strftime_now('%H:%M') }}",
    "{{ strftime_now('%Y-%m-%d') }}",
    "{{ strftime_now('%B %d, %Y') }}",
    '{{ strftime_now("%A") }}',
    "{% set today = strftime_now('%j') %}{{ today }}",
    "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}26 Jul 2024{% endif %}",
    "{% set form = '%d %b' %}{{ strftime_now(form) }}",
    "{% macro day() %}{{ strftime_now('%d.%m.%Y') }}{% endmacro %}{{ day() }}",
    "{{ strftime_now('%x') | upper }}",
]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A clock that a test sets: ``later`` makes it a later time everywhere."""

    class Clock(datetime):
        shift = timedelta()

        @classmethod
        def now(cls, tz: Any = None) -> "datetime":  # type: ignore[override]
            return datetime.now(tz) + cls.shift

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    monkeypatch.setattr("grait.pipeline.data.datetime", Clock)
    yield Clock


def dated(folder: Path, template: str) -> str:
    model = save_tiny(folder)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = f"<|system|>Today: {template}<|end|>" + str(tokenizer.chat_template)
    tokenizer.save_pretrained(model)
    return model


@pytest.mark.parametrize("template", CLOCKS)
def test_a_template_tells_the_time_of_the_runs_beginning(tmp_path: Path, clock: Any, template: str) -> None:
    model = dated(tmp_path / "model", template)
    files = write_half_known(model, tmp_path / "q")
    data = RunData(parse_config(tiny_tree(model, files, tmp_path / "run"), "test"))
    question = next(iter(data.questions.values()))
    before = data.prompts.prompt(question, "refuse")
    plain = data.prompts.tokenizer.apply_chat_template(
        data.prompts.messages(question, "refuse"), tokenize=False, add_generation_prompt=True
    )
    assert before.text == plain
    (tmp_path / "run").mkdir()
    stages.keep_moment(data)
    clock.shift = timedelta(days=45, hours=3, minutes=7)
    later = RunData(data.config)
    assert later.prompts.prompt(question, "refuse") == before
    (tmp_path / "run" / MOMENT).unlink()
    assert RunData(data.config).prompts.prompt(question, "refuse") != before


def test_a_run_with_a_dated_template_goes_on_on_a_later_day(
    tmp_path: Path, clock: Any, capsys: pytest.CaptureFixture[str], command: Call
) -> None:
    model = dated(tmp_path / "model", CLOCKS[1])
    tree = small(model, write_half_known(model, tmp_path / "q"), tmp_path / "run")
    grait.run(tree)
    assert capsys.readouterr().err.count("the chat template tells the time: ") == 1
    found = stage_times(tmp_path / "run")
    clock.shift = timedelta(days=1, minutes=1)
    grait.run(tree)
    assert stage_times(tmp_path / "run") == found
    code, _, err = command("export", tmp_path / "run", "--format", "trl", "--out", tmp_path / "export")
    assert code == 0, err
    (tmp_path / "run" / MOMENT).write_text("[]")
    code, _, err = command("export", tmp_path / "run", "--format", "trl", "--out", tmp_path / "again")
    assert code == 2 and f"{tmp_path / 'run' / MOMENT}: expected" in err and err.count("\n") == 1


def test_a_template_without_a_clock_leaves_no_moment(tiny: tuple[str, Files], tmp_path: Path) -> None:
    data = RunData(parse_config(small(*tiny, tmp_path / "run"), "test"))
    assert data.moment is None and data.prompts.moment is None


# -- bytes ---------------------------------------------------------------------------------------------------------

ODD = [
    "\x00",
    "\x01",
    "\x02",
    "\x08",
    "\x0e",
    "\x1b[1m",
    "\x1b]0;title\x07",
    "\x7f",
    "\x9b31m",
    "\ufffe",
    "\uffff",
    "\u202e",
]


def test_text_is_shown_without_what_a_terminal_obeys() -> None:
    for text in ODD:
        assert "\ufffd" in printable(text) and not re.search(
            "[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffe\uffff\u202e]", printable(text)
        )
    kept = "a\tb\nc\u00a0d \u0928\u200d\u092f \u0645\u06cc\u200c\u062e \U0001f468\u200d\U0001f469 中 \u00ad é"
    assert printable(kept) == kept
    assert well_formed("Wer \udcff\udcfe?") == "Wer \ufffd\ufffd?"


def test_odd_characters_take_no_report_away(
    tiny: tuple[str, Files], tmp_path: Path, command: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In questions, reference answers and groups, of training and test rows."""
    monkeypatch.setattr(page, "run_report", run_report)
    model, files = tiny
    own = []
    for name in (files.train, files.test):
        rows = [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]
        for place, row in enumerate(rows[N_SHOTS if name == files.train else 0 :]):
            odd = ODD[place % len(ODD)]
            row["relation"] = f"kind {place % 2} {odd}"
            if row["answers"] == ["zebra"]:
                row["question"] = f"What{odd} is page {place} of {place + 50 * len(own)}?"
                row["answers"] = [f"zebra{odd}"]
        own.append(tmp_path / Path(name).name)
        own[-1].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tree = small(model, Files(str(own[0]), str(own[1])), tmp_path / "run")
    config = tmp_path / "config.json.yaml"
    config.write_text(json.dumps(tree), encoding="utf-8")
    code, out, err = command("run", config)
    assert code == 0, err
    assert "could not be made" not in err
    html = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "What\ufffd is page" in html
    for text in (html, out, err):
        assert not re.search("[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff\u202e]|\\\\u000[0-8e]|\\\\u001b", text)
    shutil.rmtree(tmp_path / "run" / "figures")
    code, out, err = command("report", tmp_path / "run")
    assert code == 0 and "error" not in err and (tmp_path / "run" / "figures").is_dir()
