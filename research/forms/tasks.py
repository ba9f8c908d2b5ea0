"""Writes two tasks of lm-evaluation-harness that need no network: ARC-easy from a local file, and last words.

    python -m research.forms.tasks ARC-Easy-Test.jsonl runs/tasks

The last word of a sentence is to be guessed from its paragraph, as in LAMBADA: it stands earlier in it. Paragraphs are
those of the text files that ``--text`` names, by default this project's pages.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("research/**/*.md"))]

ARC = """\
task: arc_easy_local
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""

LAST_WORD = """\
task: last_word
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{{{text}}}}"
doc_to_target: " {{{{word}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: perplexity, aggregation: perplexity, higher_is_better: false}}
metadata: {{version: 1.0}}
"""

SHORTEST, LONGEST = 8, 120
"""Words before the last one."""


def arc_rows(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """From the lines of ARC's own files."""
    for line in lines:
        found = json.loads(line)
        options = found["question"]["choices"]
        labels = [option["label"] for option in options]
        yield {
            "question": found["question"]["stem"],
            "choices": [option["text"] for option in options],
            "answer": labels.index(found["answerKey"]),
        }


def last_words(text: str) -> Iterator[dict[str, str]]:
    """Paragraphs of prose up to the last word of a sentence, where that stands earlier in them."""
    prose = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    for paragraph in re.split(r"\n\s*\n|\n(?=[-|#>] ?)", prose):
        words = re.sub(r"[*`]|\]\([^)]*\)|\[", "", paragraph).lstrip("-|#> ").split()
        for place, word in enumerate(words):
            last = re.fullmatch(r"([A-Za-z]{3,})\.", word)
            before = words[:place]
            if last and SHORTEST <= place <= LONGEST and last[1].casefold() in map(_bare, before):
                yield {"text": " ".join(before), "word": last[1]}


def _bare(word: str) -> str:
    return word.strip(".,;:()\"'").casefold()


def write_task(folder: Path, name: str, template: str, rows: Sequence[dict[str, Any]]) -> None:
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    (folder / f"{name}.yaml").write_text(template.format(file=json.dumps(str(file.resolve()))), encoding="utf-8")
    print(f"{name}: {len(rows)} documents")


def main(
    arc: Annotated[Path, typer.Argument(help="ARC-Easy-Test.jsonl of the ARC data set.")],
    out: Annotated[Path, typer.Argument(help="Folder for the tasks.")],
    text: Annotated[list[Path] | None, typer.Option(help="Text files for the last words; may be repeated.")] = None,
) -> None:
    """Write both tasks."""
    out.mkdir(parents=True, exist_ok=True)
    write_task(out, "arc_easy_local", ARC, list(arc_rows(arc.read_text(encoding="utf-8").splitlines())))
    texts = [path.read_text(encoding="utf-8") for path in text or PAGES]
    write_task(out, "last_word", LAST_WORD, [row for one in texts for row in last_words(one)])


if __name__ == "__main__":
    typer.run(main)
