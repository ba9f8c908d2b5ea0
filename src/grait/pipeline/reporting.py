"""Last of all: the report page of a run or a comparison, when everything else is written.

The drawing libraries are imported when a page is drawn, not before.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from grait.dial.curve import dial_curve, dial_points, operating_curve
from grait.dial.stored import find_dials
from grait.display.contents import BenchContents, ComparisonRecords, DialRecords, Results, RunRecords
from grait.errors import reason
from grait.evaluation.curves import ranking_curve
from grait.methods.catalog import INIT_BASIC, main_method
from grait.methods.selection import Evidence
from grait.model.forms import forms_of
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import on_common
from grait.pipeline.results import BENCH, Comparison, RunResult, Same
from grait.records import BenchRecord, BenchScore, Prediction, Selected
from grait.runtime import processes, progress
from grait.runtime.artifacts import read_rows, readable
from grait.runtime.files import replacing_file, replacing_folder, written

T = TypeVar("T")

if TYPE_CHECKING:
    from grait.display.page import Report

PAGE = "report.html"
FIGURES = "figures"


def run_page(
    data: RunData, result: RunResult, evidence: Evidence, selected: Mapping[str, Sequence[Selected]], same: Same
) -> "Report":
    """The page of a run."""
    from grait.display import page

    folder = result.folder
    run = RunRecords(
        **{own.name: getattr(result, own.name) for own in fields(Results)},
        name=folder.name,
        config=data.config.model_dump(),
        test_sets=result.questions,
        training_set=data.questions,
        evidence=evidence,
        selected=selected,
        losses={
            method: json.loads((folder / "adapters" / first / "losses.json").read_text(encoding="utf-8"))
            for method, first in same.items()
        },
        side_effects=result.side_effects.records,
        drift=result.side_effects.drift,
        dial=_dial(data, result, same),
        conversations=result.side_effects.conversations,
        bench=_bench(folder / "bench" / BENCH),
    )
    return page.run_report(run)


def _bench(path: Path) -> BenchContents | None:
    """What ``grait bench`` found of the run, if it was asked."""
    if not path.exists():
        return None
    with readable(f"{path}: not readable; run grait bench again, which keeps what is answered"):
        tree = json.loads(path.read_text(encoding="utf-8"))
        records = [BenchRecord(**row) for row in tree["records"]]
        scores = [BenchScore(**row) for row in tree["scores"]]
        return BenchContents(records, scores, tree["left_out"], tree["about"])


def _dial(data: RunData, result: RunResult, same: Same) -> DialRecords | None:
    """The dials of the run's main method, else of the first method that has one in the main form, on all sets of it."""
    folder, main_form = result.folder, forms_of(data.config.prompt)[0].name
    main = same.get(main_method(same))
    order = sorted(dict.fromkeys(same.values()), key=lambda method: method != main)
    found = {method: find_dials(folder / "adapters" / method, main_form) for method in order}
    dials = {method: own.forms for method, own in found.items() if own and main_form in own.forms}
    if not dials:
        return None
    method, by_form = next(iter(dials.items()))
    saved = by_form[main_form]
    score, threshold, gate = saved.setting
    systems = (INIT_BASIC, method)
    files = [folder / "calibration" / saved.data.title / name / "predictions.parquet" for name in systems]
    is_here = all(file.exists() for file in files)  # not where it was set on what a server answered
    asked = {saved.data.title: [read_rows(file, Prediction) for file in files]} if is_here else {}
    asked |= {title: [systems[INIT_BASIC], systems[method]] for title, systems in result.predictions.items()}
    curves, chosen = {}, {}
    for title, own in asked.items():
        before, after = on_common(title, dict(zip(systems, own, strict=True))).values()
        initial = {row.id: row.outcome for row in before}
        curves[title] = dial_curve(after, initial, score, gate)
        (chosen[title],) = dial_points(after, initial, score, np.array([threshold]), gate)
    return DialRecords(method, saved, by_form, curves, chosen)


def comparison_page(
    comparison: Comparison, predictions: Mapping[int, Mapping[str, Mapping[str, Sequence[Prediction]]]]
) -> "Report":
    """The page of a comparison. ``predictions``: seed -> data set -> system -> rows."""
    from grait.display import page

    datasets = dict.fromkeys(record.dataset for record in comparison.records)
    systems = dict.fromkeys(record.method for record in comparison.records)

    def of_seeds(draw: Callable[[Sequence[Prediction], Sequence[Prediction]], T]) -> dict[str, dict[str, list[T]]]:
        return {
            dataset: {
                system: [draw(own[dataset][INIT_BASIC], own[dataset][system]) for own in predictions.values()]
                for system in systems
            }
            for dataset in datasets
        }

    curves, operating = of_seeds(ranking_curve), of_seeds(operating_curve)
    return page.comparison_report(
        ComparisonRecords(
            comparison.folder.name,
            comparison.records,
            comparison.differences,
            comparison.about,
            curves,
            operating,
            comparison.dialled,
            comparison.refused,
        )
    )


def write_page(folder: Path, draw: Callable[[], "Report"]) -> None:
    """Draw and write ``report.html`` and ``figures/``. Raises ArtifactError when they cannot be written. A page that
    was there before is gone as soon as a new one is begun: no page of older results stays behind."""
    from grait.display.pictures import file_png, file_svg

    with written(folder / PAGE):
        (folder / PAGE).unlink(missing_ok=True)
        report = draw()
        with replacing_folder(folder / FIGURES) as pictures:
            for name, picture in report.pictures.items():
                (pictures / f"{name}.svg").write_text(file_svg(picture), encoding="utf-8")
                (pictures / f"{name}.png").write_bytes(file_png(picture))
        with replacing_file(folder / PAGE) as partial:
            partial.write_text(report.html, encoding="utf-8")


def last(folder: Path, draw: Callable[[], "Report"]) -> None:
    """``write_page`` at the end of a run: whatever goes wrong is said, and takes nothing from the finished run."""
    if not processes.is_main():
        return
    progress.heading("Report")
    try:
        write_page(folder, draw)
    except Exception as error:
        progress.note(
            f"{folder / PAGE} could not be made ({type(error).__name__}: {reason(error)}); everything else is written. "
            f"To try again: grait report {folder}"
        )
