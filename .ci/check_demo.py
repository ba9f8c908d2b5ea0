"""Check what the demo left behind: the table is whole, and GRAIT's THS in-domain is above 0."""

import json
import sys
from pathlib import Path

METHODS = {"init-basic", "init-refuse", "cor-rait", "grait"}
DATASETS = {"in-domain", "out-of-domain"}
SHARES = ("pc", "pw", "pr", "over_refusal_rate")

folder = Path(sys.argv[1])
records = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
cells = {(record["method"], record["dataset"]): record for record in records}
missing = {(method, dataset) for method in METHODS for dataset in DATASETS} - cells.keys()
assert not missing, f"cells missing from metrics.json: {sorted(missing)}"
for cell, record in cells.items():
    assert record["n"] > 0, cell
    assert all(0 <= record[name] <= 1 for name in SHARES), cell
    assert abs(record["pc"] + record["pw"] + record["pr"] - 1) < 1e-9, cell
    assert record["ths_low"] <= record["ths"] <= record["ths_high"], cell
ths = cells["grait", "in-domain"]["ths"]
assert ths > 0, f"THS of grait in-domain is {ths:.4f}, expected above 0"
for name in ("rait.jsonl", "influence/scores.parquet", "adapters/grait/adapter_model.safetensors"):
    assert (folder / name).is_file(), f"{name} is missing"
print(f"demo table whole: {len(cells)} cells; THS of grait in-domain {100 * ths:.1f} points")
