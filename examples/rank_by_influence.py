"""Rank training examples of a PEFT model by their influence on a target set, highest first.

python rank_by_influence.py MODEL ADAPTER TRAIN.jsonl TARGET.jsonl    (each line: {"prompt": ..., "completion": ...})
"""

import json
import sys
from pathlib import Path

from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from grait.influence import TokenizedExample, influence

base, adapter, train, target = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter, is_trainable=True)


def read(path: str) -> list[TokenizedExample]:
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    prompts = [tokenizer(row["prompt"])["input_ids"] for row in rows]
    answers = [tokenizer(row["completion"], add_special_tokens=False)["input_ids"] for row in rows]
    ends = [(*answer, tokenizer.eos_token_id) for answer in answers]
    return [TokenizedExample(str(i + 1), tuple(p), a) for i, (p, a) in enumerate(zip(prompts, ends, strict=True))]


found = influence(model, read(train), {"target": read(target)}, pad_token_id=tokenizer.eos_token_id)
for line, score in sorted(found.scores["target"].items(), key=lambda item: -item[1]):
    print(f"{score:+.4f}  line {line}")
