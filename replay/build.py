"""Build the replay prompts: ``python -m replay.build --out src/grait/data/replay/prompts.jsonl.gz``.

Everything is drawn from one seed: the same word lists and templates give the same bytes.
"""

import argparse
import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from grait.data.probes import load_conversations, load_instructions, load_passages, load_probes
from grait.data.worldfacts import load as load_worldfacts
from replay import knowledge, passages, several, short, style, talk, tasks
from replay.draft import Draft, by_hand
from replay.rules import Forbidden

SEED = 20240607
BY_HAND = (
    "about-you",
    "advice",
    "code-writing",
    "everyday",
    "fragment",
    "greeting",
    "how-to",
    "opinion",
    "roleplay",
    "small-talk",
    "thanks",
    "translation",
    "writing",
)
"""Kinds with a file in ``texts/prompts``."""
MAX_SHARE = 0.06
"""No family of templates may have more of the rows."""


def forbidden() -> Forbidden:
    """All probes, and the test questions of WorldFacts."""
    texts = [probe.text for probe in load_probes()] + [row.text for row in load_instructions()]
    for row in load_passages():
        texts += [row.text, row.question, row.passage]
    texts += [
        message["content"] for row in load_conversations() for message in row.messages if message["role"] == "user"
    ]
    texts += [question.question for split in ("test_id", "test_ood") for question in load_worldfacts(split)]
    return Forbidden(texts)


def drafts(seed: int = SEED) -> list[Draft]:
    """All rows in a fixed shuffled order, without repetitions and without what is forbidden."""
    found = _singles(seed) + passages.drafts(random.Random(seed))
    found += several.drafts(random.Random(seed), _singles(seed + 1))
    rng = random.Random(seed)
    rng.shuffle(found)
    banned = forbidden()
    kept: dict[tuple[str, ...], Draft] = {}
    for row in style.varied(found, rng):
        said = [content for role, content in row.messages if role == "user"]
        if not any(banned.found(content) for content in said):
            kept.setdefault(tuple(" ".join(content.lower().split()) for content in said), row)
    return list(kept.values())


def _singles(seed: int) -> list[Draft]:
    """Rows of one turn without a text to read: those written by hand, and those from templates."""
    written = [row for kind in BY_HAND for row in by_hand(kind)]
    return written + [row for module in (talk, tasks, knowledge, short) for row in module.drafts(random.Random(seed))]


def rows(found: Iterable[Draft]) -> list[dict[str, Any]]:
    """Rows of the file; ids count within the kind."""
    counts: Counter[str] = Counter()
    result = []
    for draft in found:
        counts[draft.kind] += 1
        messages = [{"role": role, "content": content} for role, content in draft.messages]
        result.append({"id": f"{draft.kind}-{counts[draft.kind]:03}", "kind": draft.kind, "messages": messages})
    return result


def packed(found: Sequence[dict[str, Any]]) -> bytes:
    """The bytes of the file."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found).encode())
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stats", action="store_true", help="print rows by kind and the largest families")
    arguments = parser.parse_args()
    found = drafts()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_bytes(packed(rows(found)))
    if arguments.stats:
        print(f"{len(found)} rows")
        for kind, count in sorted(Counter(draft.kind for draft in found).items()):
            print(f"{count:5} {kind}")
        for family, count in Counter(draft.family for draft in found).most_common(10):
            print(f"{count / len(found):6.1%} {family}")


if __name__ == "__main__":
    main()
