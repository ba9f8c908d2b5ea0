"""Every system with its threshold, on the test sets: tuned models with their dials, then the learned dial, scorers."""

from collections.abc import Sequence

from scipy.special import expit

from grait.dial.learned import fit_learned, with_learned_dial
from grait.dial.stored import with_dial
from grait.dial.threshold import gated_score
from grait.methods.catalog import INIT_BASIC
from grait.model.forms import forms_of
from grait.pipeline.data import RunData
from grait.pipeline.dials import ScoreDial, outcomes_of, ranked, stored_dials, why_no_dial, with_dials
from grait.pipeline.results import Answered, Same
from grait.pipeline.scorers import with_scorers
from grait.records import Prediction
from grait.runtime import progress
from grait.runtime.artifacts import read_rows


def at_thresholds(data: RunData, predictions: Answered, same: Same) -> dict[str, dict[str, list[Prediction]]]:
    """The initial model's predictions, and those of all that has a threshold, with it; by data set. Empty without any.

    Where ``evaluation.scorers`` or ``evaluation.learned_dial`` ask for more than the dials, every system is ranked by
    the score of its own threshold (AUROC, AURC); else, as without dials, by the refusal's log-odds.
    """
    dialled = with_dials(data, predictions, same)
    more = [with_learned(data, predictions, same), with_scorers(data, predictions)]
    if not any(more):
        return dialled
    dials = stored_dials(data, same, forms_of(data.config.prompt)[0])
    found: dict[str, dict[str, list[Prediction]]] = {}
    for title, systems in predictions.items():
        found[title] = {INIT_BASIC: systems[INIT_BASIC]}
        for method, dial in dials.items():
            setting = dial.setting
            scores = {row.id: gated_score(row, setting.score, setting.gate) for row in systems[method]}
            own = dialled[title][with_dial(method)]
            found[title][with_dial(method)] = [ranked(row, scores[row.id]) for row in own]
        for others in more:
            found[title] |= others.get(title, {})
    return found


def with_learned(data: RunData, predictions: Answered, same: Same) -> dict[str, dict[str, list[Prediction]]]:
    """The test sets as each tuned model has them with the dial ``learned``; empty where it is not asked for. In the
    main form. Fit and threshold are made on the calibration questions."""
    if not data.config.evaluation.learned_dial or data.calibration is None:
        return {}
    source = data.calibration.title
    folder = data.folder / "calibration" / source
    initial = read_rows(folder / INIT_BASIC / "predictions.parquet", Prediction)
    if why_no_dial(data, outcomes_of(initial)):
        return {}  # as the other dials, which say so
    found: dict[str, dict[str, list[Prediction]]] = {title: {} for title in predictions}
    for method, first in same.items():
        rows = read_rows(folder / first / "predictions.parquet", Prediction)
        own, theirs = common([rows, initial])
        learned = fit_learned(own, theirs)
        if first == method:
            progress.note(
                f"{with_learned_dial(method)}: weight {learned.tuned:.3g} of its own answer's log-probability, "
                f"{learned.initial:.3g} of the initial model's"
            )
        dial = ScoreDial.of(own, expit(learned.log_odds(own, theirs)), outcomes_of(theirs))
        for title, systems in predictions.items():
            own, theirs = common([systems[method], systems[INIT_BASIC]])
            scores = expit(learned.log_odds(own, theirs))
            found[title][with_learned_dial(method)] = dial.applied(data, title, own, scores)
    return found


def common(of_systems: Sequence[Sequence[Prediction]]) -> list[list[Prediction]]:
    """The answers of several systems to the questions that all of them answered, in the order of the first."""
    by_id = [{row.id: row for row in rows} for rows in of_systems]
    ids = [row.id for row in of_systems[0] if all(row.id in rows for rows in by_id)]
    return [[rows[id_] for id_ in ids] for rows in by_id]
