"""Check what the demo left behind: the tables are whole, and GRAIT's THS in-domain is above 0, with its dial, too."""

import json
import sys
from pathlib import Path

METHODS = {"init-basic", "init-refuse", "cor-rait", "grait"}
DATASETS = {"in-domain", "out-of-domain"}
SHARES = ("pc", "pw", "pr", "over_refusal_rate")

folder = Path(sys.argv[1])
cells = {}
for name, methods in (("metrics.json", METHODS), ("dialled_metrics.json", {"cor-rait + dial", "grait + dial"})):
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
adapter = "adapters/grait"
files = (f"{adapter}/adapter_model.safetensors", f"{adapter}/refusal_dial.json")
for name in ("rait.jsonl", "influence/scores.parquet", *files):
    assert (folder / name).is_file(), f"{name} is missing"
points = ", ".join(f"{method} {100 * value:.1f}" for method, value in ths.items())
print(f"demo tables whole: {len(cells)} cells; THS in-domain: {points}")
