"""Check what the demo left behind: the tables are whole, side effects are there, and THS in-domain is above 0."""

import json
import sys
from pathlib import Path

METHODS = {"init-basic", "init-refuse", "grait"}
DATASETS = {"in-domain", "out-of-domain"}
FORMS = ("examples", "instruction", "question")
SHARES = ("pc", "pw", "pr", "over_refusal_rate")

folder = Path(sys.argv[1])
cells = {}
for name, methods in (("metrics.json", METHODS), ("dialled_metrics.json", {"grait + dial"})):
    records = json.loads((folder / name).read_text(encoding="utf-8"))
    found = {(record["method"], record["dataset"]): record for record in records}
    missing = {(method, dataset) for method in methods for dataset in DATASETS} - found.keys()
    assert not missing, f"cells missing from {name}: {sorted(missing)}"
    cells |= found
for cell, record in cells.items():
    assert record["n"] > 0, cell
    assert all(0 <= record[name] <= 1 for name in SHARES), cell
    assert abs(record["pc"] + record["pw"] + record["pr"] - 1) < 1e-9, cell
    assert record["ths_low"] <= record["ths"] <= record["ths_high"], cell
ths = {method: cells[method, "in-domain"]["ths"] for method in ("grait", "grait + dial")}
assert min(ths.values()) > 0, f"THS in-domain is {ths}, expected above 0"
effects = json.loads((folder / "side_effects.json").read_text(encoding="utf-8"))
asked = {(record["method"], record["form"]): record for record in effects}
missing = {(method, form) for method in METHODS - {"init-basic"} for form in FORMS} - asked.keys()
assert not missing, f"rows missing from side_effects.json: {sorted(missing)}"
for row, record in asked.items():
    for name, share in record.items():
        is_of_chat = name.removeprefix("n_").startswith("after_")  # conversations are in bare chat alone
        if name.endswith(("_refused", "_right", "_corrected", "_rate")) and not (is_of_chat and row[1] != "question"):
            assert 0 <= share <= 1, (row, name)
        elif name.startswith("n_") and not (is_of_chat and row[1] != "question"):
            assert share > 0, (row, name)
drift = {record["method"]: record for record in json.loads((folder / "drift.json").read_text(encoding="utf-8"))}
assert drift.keys() == METHODS - {"init-basic"}, f"drift.json has {sorted(drift)}"
assert drift["init-refuse"]["kl"] == 0 < drift["grait"]["kl"], drift
adapter = "adapters/grait"
files = (f"{adapter}/adapter_model.safetensors", f"{adapter}/refusal_dial.json")
for name in ("rait.jsonl", "influence/scores.parquet", *files):
    assert (folder / name).is_file(), f"{name} is missing"
points = ", ".join(f"{method} {100 * value:.1f}" for method, value in ths.items())
print(f"demo tables whole: {len(cells)} cells; THS in-domain: {points}")
