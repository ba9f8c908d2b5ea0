"""What the page shows is what the run wrote."""

import json
import re
from pathlib import Path

from grait.commands.harness import HarnessTasks, check_tasks
from research.forms.tasks import PAGES, last_words, main

HERE = Path(__file__).parent


def test_the_table_is_that_of_the_run() -> None:
    found = json.loads((HERE / "forms.json").read_text("utf-8"))
    rows = {(row["dataset"], row["form"], row["method"]): row for row in found}
    shown = re.findall(
        r"\| ([\w-]+) \| `([\w-]+)` \| `([\w-]+)` \| ([\d.]+) \| ([\d.]+) / ([\d.]+) / ([\d.]+) \| (-?[\d.]+)",
        (HERE / "README.md").read_text("utf-8"),
    )
    assert len(shown) == 18
    for *place, pc0, pc, pw, pr, ths in shown:
        row = rows[tuple(place)]
        assert [pc0, pc, pw, pr, ths] == [f"{100 * row[name]:.1f}" for name in ("pc0", "pc", "pw", "pr", "ths")]


def test_tasks_are_read_from_arc_and_from_pages(tmp_path: Path) -> None:
    line = {"question": {"stem": "Why?", "choices": [{"text": "x", "label": "1"}, {"text": "y", "label": "2"}]}}
    arc = tmp_path / "arc.jsonl"
    arc.write_text(json.dumps(line | {"answerKey": "2"}) + "\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "# A title with a title.\n\nThe **dog** saw [a cat](cat.md) in the garden, and the garden saw the dog. No cat "
        "was ever seen without some bird.\n\n```\nThe dog in a block of code that is long is the dog.\n```\n",
        encoding="utf-8",
    )
    main(arc, tmp_path / "out", [page])
    (row,) = [json.loads(text) for text in (tmp_path / "out" / "arc_easy_local.jsonl").read_text("utf-8").splitlines()]
    assert row == {"question": "Why?", "choices": ["x", "y"], "answer": 1}
    (found,) = [json.loads(text) for text in (tmp_path / "out" / "last_word.jsonl").read_text("utf-8").splitlines()]
    assert found == {"text": "The dog saw a cat in the garden, and the garden saw the", "word": "dog"}
    index = check_tasks(HarnessTasks(tasks=("arc_easy_local", "last_word"), include_path=str(tmp_path / "out")))
    assert {"arc_easy_local", "last_word"} <= set(index.all_subtasks)
    assert len(list(last_words("\n\n".join(path.read_text("utf-8") for path in PAGES)))) > 100
