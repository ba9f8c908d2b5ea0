"""After the dials: does tuning gain anything over a threshold on the initial model, on questions never trained on?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from grait.dial.choice import choose
from grait.dial.stored import with_dial
from grait.dial.threshold import Setting, dialled_outcomes
from grait.display import words
from grait.evaluation.gain import gain
from grait.methods.catalog import INIT_BASIC, METHODS, main_method, needing_flow, needing_influence
from grait.pipeline.data import RunData
from grait.pipeline.dials import HIGHEST_THS, outcomes_of, stored_dials
from grait.pipeline.evaluation import measure_differences, on_common
from grait.pipeline.results import Answered, RunResult, Same
from grait.pipeline.stages import Stages
from grait.records import DifferenceRecord, Prediction
from grait.runtime.artifacts import read_rows


def against_initial(data: RunData, stages: Stages, predictions: Answered, same: Same) -> list[DifferenceRecord]:
    """THS of the main method with its dial less that of each other system with its own: the calibration questions, then
    the test sets. Nothing where it has no dial, or one that was set on other questions or for another aim.

    Every threshold was chosen on the calibration questions in the same way, the initial model's, too, so none is
    favoured there.
    """
    main, source = main_method(data.config.training.methods), data.calibration
    dials = stored_dials(data, same, data.prompts.forms[0])
    set_so = (source, HIGHEST_THS.metric)
    set_here = {method: dial for method, dial in dials.items() if (dial.data, dial.target) == set_so}
    if source is None or main not in set_here:
        return []
    folder = data.folder / "calibration" / source.title
    answered = {
        name: read_rows(folder / same.get(name, name) / "predictions.parquet", Prediction)
        for name in (INIT_BASIC, *set_here)
    }
    asked = {source.title: on_common(source.title, answered), **predictions}
    initial = asked[source.title][INIT_BASIC]
    threshold = choose(initial, outcomes_of(initial), "answer", HIGHEST_THS).threshold
    stages.tell(
        f"a threshold on the initial model, set on the same questions ({source.title}): refuse where its greedy answer "
        f"has a probability below {1 - threshold:.2g}"
    )
    settings = {INIT_BASIC: Setting("answer", threshold, None)} | {
        name: dial.setting for name, dial in set_here.items()
    }
    dialled = {
        title: {INIT_BASIC: systems[INIT_BASIC]}
        | {with_dial(name): _with(systems[name], setting) for name, setting in settings.items()}
        for title, systems in asked.items()
    }
    found = measure_differences(data.config, dialled, with_dial(main))
    return [row for row in found if row.method == with_dial(main)]


def cheapest_first(methods: Sequence[str]) -> list[str]:
    """All but the main method, with their dials: the initial model, those without flow and influence, others."""
    costly = {*needing_flow(methods), *needing_influence(methods)}
    order = sorted((name for name in METHODS if name in methods), key=lambda name: name in costly)
    return [with_dial(name) for name in (INIT_BASIC, *order) if name != main_method(methods)]


def in_words(data: RunData, stages: Stages, result: RunResult) -> dict[str, Any]:
    """The run in sentences: ``gain`` (empty without dials), ``paragraph``, ``next``, and what it found of its data."""
    methods, main = data.config.training.methods, main_method(data.config.training.methods)
    found = None
    if data.calibration:
        here = [row for row in result.against_initial if row.dataset == data.calibration.title]
        found = gain(here, cheapest_first(methods))
    n = len(data.calibration_questions(data.calibration)) if found and data.calibration else 0
    before = next(row for row in result.metrics if row.method == INIT_BASIC)
    after = next(row for row in (*result.dialled_metrics, *result.metrics) if row.method in (with_dial(main), main))
    has_forms = bool(data.config.prompt.forms)
    return {
        "gain": words.gain_in_words(found, main, n) if found else "",
        "paragraph": words.paragraph(
            result.metrics, result.dialled_metrics, result.forms, result.side_effects.records, main
        ),
        "next": words.next_step(after, before, found, stages.warnings, has_forms, data.config.out),
        "found": stages.told,
        "warnings": stages.warnings,
    }


def _with(rows: list[Prediction], setting: Setting) -> list[Prediction]:
    outcomes = dialled_outcomes(rows, *setting)
    return [replace(row, outcome=outcomes[row.id]) for row in rows]
