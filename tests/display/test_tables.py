"""Tables of the terminal: within 100 columns, whatever things are called, and no number cut."""

import io
from dataclasses import replace

import pytest
from report_data import made_up_forms, made_up_run
from rich.console import Console
from rich.table import Table

from grait.display import tables
from grait.records import DifferenceRecord, HarnessRecord

FEW = ("init-basic", "init-refuse", "cor-rait", "grait")
LONG = "a-data-set-with-a-name-of-many-words-" * 3


def lines_of(table: Table, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width).print(table, crop=False)
    return file.getvalue().splitlines()


def all_tables() -> dict[str, list[Table]]:
    run = made_up_run(60, {"in-domain": 50, "out-of-domain": 30}, FEW)
    forms = [replace(row, form="f" * 60, dataset=LONG) for row in made_up_forms(run)[0]]
    metrics = [replace(row, dataset=f"{row.dataset}{LONG}") for row in run.metrics]
    groups = [replace(row, dataset=f"{row.dataset}{LONG}", group=LONG) for row in run.groups]
    sets = [f"{LONG}{number}" for number in range(7)]
    differences = [DifferenceRecord("grait + dial", "cor-rait + dial", name, -1.0, -1.0, -0.999) for name in sets]
    harness = [HarnessRecord(name, LONG, "acc_norm", 0.5, 0.0123, 100) for name in ("initial", f"/models/{LONG}")]
    return {
        "metrics": [tables.metrics_table(metrics), tables.other_metrics_table(metrics)],
        "groups": tables.groups_tables(groups),
        "forms": tables.forms_tables(forms),
        "differences": tables.differences_tables(differences, "grait + dial"),
        "trials": tables.trials_tables([replace(row, lead=-0.999, low=-0.9999, high=-0.8) for row in run.trials]),
        "side effects": tables.side_effects_tables(run.side_effects, run.drift),
        "harness": [tables.harness_table(harness)],
    }


@pytest.mark.parametrize("name", all_tables())
def test_they_fit_100_columns_with_any_names(name: str) -> None:
    for table in all_tables()[name]:
        assert max(map(len, lines_of(table, 100))) <= 100


def test_no_number_is_cut_or_lost() -> None:
    found = all_tables()
    text = "\n".join(line for table in found["differences"] for line in lines_of(table, 100))
    assert text.count("-100.0 [-100.0, -99.9]") == 7
    assert "-99.9 [-100.0, -80.0]" in "\n".join(lines_of(found["trials"][0], 100))
    assert "0.5000 ± 0.0123" in "\n".join(lines_of(found["harness"][0], 100))
