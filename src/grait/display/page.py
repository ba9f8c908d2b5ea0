"""The report page of a run and of a comparison: one HTML file with all its pictures and tables in it.

Text of the data is only ever text: jinja2 escapes it in HTML, its ``tojson`` in data islands, the page's script sets it
as text; and the page's policy lets no script run but its own and nothing be fetched.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from grait.dial.curve import operating_curve
from grait.dial.stored import with_dial
from grait.display.contents import BenchContents, ComparisonRecords, RunRecords
from grait.display.examples import answers_table, group_of, training_table
from grait.display.figures.comparison import difference_forest, ths_forest, trade_off
from grait.display.figures.curves import dial_curves, loss_curves, operating_curves, risk_coverage_curves
from grait.display.figures.outcomes import (
    MAX_GROUPS,
    flow,
    outcome_bars,
    outcomes_by_form,
    outcomes_by_group,
    outcomes_by_popularity,
)
from grait.display.figures.parts import Chart
from grait.display.figures.side_effects import form_name, refused_before_and_after
from grait.display.figures.training import MAX_POINTS, influence_plane, knowledge_map, weight_histogram
from grait.display.palette import DARK, LIGHT
from grait.display.pictures import svg
from grait.display.tables import (
    BENCH_LEGEND,
    BENCH_SHARES,
    ROUND_COLUMNS,
    ROUNDS_LEGEND,
    SIDE_EFFECTS,
    TRIAL_COLUMNS,
    TRIALS_LEGEND,
    by_row,
    form_label,
    judged_count,
    percent,
    published_rows,
    quadrant_shares,
    quadrant_title,
    round_cells,
    trial_cells,
    verdicts,
)
from grait.display.words import headline, judge_in_words, side_effects_headline, verdict
from grait.evaluation.curves import ranking_curve
from grait.evaluation.estimates import Estimate, estimate_of, share_estimate
from grait.evaluation.forms import ALL
from grait.evaluation.standings import by_dataset
from grait.influence.margins import label_separation
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, METHODS, Method, main_method
from grait.methods.selection import by_question
from grait.records import (
    BenchRecord,
    ComparisonRecord,
    ConversationRecord,
    FormRecord,
    MetricRecord,
    Prediction,
    QuadrantRecord,
    RefusedRecord,
    SideEffectRecord,
)
from grait.runtime.printable import printable

MORE_MEASURES = {
    "prudence": "prudence",
    "over_conservativeness": "over-conservativeness",
    "honesty": "honesty",
    "f1_ans": "F1 ans",
    "f1_abs": "F1 abs",
    "f1_rel": "F1 rel",
    "penalised_50": "penalised, 50",
    "penalised_75": "75",
    "penalised_90": "90",
    "average_precision": "AP",
    "aurc": "AURC",
    "ece": "ECE",
    "unparsable_rate": "unparsable",
    "hedged_rate": "hedged",
}
"""Fields of ``MetricRecord`` that stand in the second table, with the heads of their columns."""


AFTER = [name for name in SIDE_EFFECTS if name.startswith("after_")]
PLAIN = [name for name in SIDE_EFFECTS if name not in AFTER]
"""Side effects within a conversation, and others."""


@dataclass(frozen=True)
class Report:
    """``html``: the page. ``pictures``: those in it, SVG by name, in the page's colours (``pictures.file_svg``)."""

    html: str
    pictures: dict[str, str]


def _explained(names: Sequence[str], dialled: Sequence[str]) -> list[Method]:
    """What the catalog says of all systems, of those that only have a threshold, too."""
    found = dict.fromkeys([*names, *(name.removesuffix(with_dial("")) for name in dialled)])
    return [METHODS[name] for name in found if name in METHODS]


# -- a run ---------------------------------------------------------------------------------------------------------


def run_report(run: RunRecords) -> Report:
    """The page of a run."""
    systems = list(next(iter(run.predictions.values())))
    main = main_method(systems)
    pictures = _Pictures()
    slugs = file_names(list(run.predictions))
    datasets = [_dataset(run, name, slugs[name], main, pictures) for name in run.predictions]
    return _report(
        "run.html",
        pictures,
        title=run.name,
        main=main,
        initial=INIT_BASIC,
        is_trained=main in run.selected,
        config=run.config,
        in_words=run.summary.get("in_words"),
        datasets=datasets,
        training=_training(run, main, pictures),
        trials=[(row.method, row.is_taken, trial_cells(row)) for row in run.trials],
        trial_columns=TRIAL_COLUMNS,
        trials_legend=TRIALS_LEGEND,
        rounds=[(f"{row.method}, round {row.number}", round_cells(row)) for row in run.rounds],
        round_columns=ROUND_COLUMNS,
        rounds_legend=ROUNDS_LEGEND,
        groups=run.groups,
        more_measures=list(MORE_MEASURES.values()),
        forms=_forms(run, main, slugs, pictures),
        refused=_refused(run.refused),
        bench=_bench(run.bench) if run.bench else None,
        quadrants=_quadrants(run.quadrants),
        side_effects=_side_effects(run, main, pictures) if run.side_effects else None,
        dial=_dial(run, pictures) if run.dial else None,
        methods=_explained(systems, [row.method for row in run.dialled_metrics]),
        tables=[answers_table(run, main), training_table(run, main)],
        stages=_stages(run.summary),
        summary=run.summary,
        judge_in_words=judge_in_words(run.summary),
        config_text=_yaml(run.config),
    )


def _dataset(run: RunRecords, name: str, slug: str, main: str, pictures: "_Pictures") -> dict[str, Any]:
    """One data set, for the template."""
    own = run.predictions[name]
    outcomes = {system: {row.id: row.outcome for row in rows} for system, rows in own.items()}
    metrics = {row.method: row for row in run.metrics if row.dataset == name}
    questions = {question.id: question for question in run.test_sets[name] if question.id in outcomes[main]}
    before, after = metrics[INIT_BASIC], metrics[main]
    known = _n_known(own)
    kinds = {question.id: kind for question in questions.values() if (kind := group_of(question))}
    popularity = {question.id: value for question in questions.values() if (value := question.popularity) is not None}
    curves = {system: [ranking_curve(own[INIT_BASIC], rows)] for system, rows in own.items()}
    operating = {system: [operating_curve(own[INIT_BASIC], rows)] for system, rows in own.items()}
    trained = {row.method: (row.over_refusal_rate, row.pw) for row in metrics.values()}
    n_kinds = len(set(kinds.values()))
    found = {
        "name": name,
        "before": before,
        "after": after,
        "headline": headline(before, after),
        "n_known": known,
        "n_over_refused": round(after.over_refusal_share * after.n),
        "verdict": verdict(after),
        "rows": [_metric_cells(row, known) for row in metrics.values()],
        "more": [(row.method, [percent(getattr(row, name)) for name in MORE_MEASURES]) for row in metrics.values()],
        "flow": pictures.draw(f"flow-{slug}", flow(outcomes[INIT_BASIC], outcomes[main], main)),
        "bars": pictures.draw(f"outcomes-{slug}", outcome_bars(outcomes, INIT_BASIC)),
        "curves": pictures.draw(f"risk-coverage-{slug}", risk_coverage_curves(curves, main)),
        "operating": pictures.draw(f"operating-{slug}", operating_curves(operating, trained, main)),
        "n_kinds": n_kinds,
        "n_shown": min(n_kinds, MAX_GROUPS),
    }
    if n_kinds > 1:
        found["kinds"] = pictures.draw(
            f"by-group-{slug}", outcomes_by_group(kinds, outcomes[INIT_BASIC], outcomes[main])
        )
    if len(set(popularity.values())) > 1:
        pair = {system: outcomes[system] for system in (INIT_BASIC, main)}
        found["popularity"] = pictures.draw(
            f"by-popularity-{slug}", outcomes_by_popularity(popularity, pair, INIT_BASIC)
        )
    return found


def _training(run: RunRecords, main: str, pictures: "_Pictures") -> dict[str, Any]:
    """The training questions and what was made of them, for the template."""
    selected, states = run.selected.get(main, ()), run.evidence.states
    labels = [state.label for state in states]
    found: dict[str, Any] = {
        "n": len(states),
        **{label: labels.count(label) for label in ("ik", "idk", "dropped")},
        "n_refusals": sum(row.target == "refusal" for row in selected),
        "n_selected": len(by_question(selected)),
        "n_uncertain": sum(state.certainty is None for state in states),
        "n_points": min(len(run.evidence.influence), MAX_POINTS),
        "n_scores": len(run.evidence.influence),
    }
    if any(state.certainty is not None for state in states):
        found["knowledge"] = pictures.draw("knowledge", knowledge_map(states, selected))
    if run.evidence.influence:
        plane = influence_plane(run.evidence, selected, run.training_set)
        found["influence"] = pictures.draw("influence", plane)
        found["separation"] = label_separation(run.evidence.influence.values())
    weights = {row.sample_weight for row in selected if row.target == "refusal"}
    if len(weights) > 1:
        found["weights"] = pictures.draw("weights", weight_histogram(selected))
    if any(run.losses.values()):
        found["losses"] = pictures.draw("losses", loss_curves(run.losses, main))
    return found


def _dial(run: RunRecords, pictures: "_Pictures") -> dict[str, Any]:
    """The refusal dial, for the template: all of one method's, and the metrics of the others."""
    dial = run.dial
    assert dial is not None
    of_set = groupby(run.dialled_metrics, key=lambda row: row.dataset)
    return {
        "main": with_dial(dial.method),
        "metrics": {
            name: [_metric_cells(row, _n_known(run.predictions[name])) for row in rows] for name, rows in of_set
        },
        "method": dial.method,
        "saved": dial.saved,
        "by_form": dial.by_form,
        "title": dial.saved.data.title,
        "chosen": dial.chosen,
        "curve": pictures.draw("dial", dial_curves(dial.curves, dial.chosen, dial.saved.without_dial)),
    }


def _forms(run: RunRecords, main: str, slugs: Mapping[str, str], pictures: "_Pictures") -> list[dict[str, Any]]:
    """Each data set by form, for the template; nothing where there is one form."""
    found = []
    with_dials = by_row(run.dialled_forms)
    for name in dict.fromkeys(row.dataset for row in run.forms):
        own = [row for row in run.forms if row.dataset == name]
        shown = [replace(row, form=form_label(row)) for row in own if row.method == main and row.form != ALL]
        forms = dict.fromkeys(form_label(row) for row in own)
        found.append(
            {
                "name": name,
                "n": max(row.n for row in own),
                "forms": [
                    (form, [_form_cells(row, with_dials) for row in own if form_label(row) == form]) for form in forms
                ],
                "has_dials": bool(with_dials),
                "differences": [
                    (row.versus, _cell(row.ths_difference, row.low, row.high))
                    for row in run.form_differences
                    if row.dataset == name
                ],
                "picture": pictures.draw(f"forms-{slugs[name]}", outcomes_by_form(shown)) if shown else None,
            }
        )
    return found


def _form_cells(row: FormRecord, with_dials: Mapping[tuple[str, str, str], FormRecord]) -> dict[str, Any]:
    """``with_dials``: ``by_row``; where there are any, THS with the dial of the form is the last cell."""
    shares = (row.pc, row.pw, row.pr, row.over_refusal_rate)
    reached = [_wide(estimate_of(row, name)) for name in ("ths", "share")]
    cells = [*map(_cell, shares), *reached, *map(_cell, (row.empty_rate, row.apology_rate))]
    if with_dials:
        own = with_dials.get((row.dataset, form_label(row), row.method))
        cells.append(_cell(own.ths if own else None))
    return {"method": row.method, "cells": cells}


def _conversation_cells(row: ConversationRecord) -> dict[str, Any]:
    shares = (row.pc, row.pw, row.pr, row.over_refusal_rate)
    reached = [_wide(estimate_of(row, name)) for name in ("ths", "of_single")]
    return {"method": row.method, "cells": [*map(_cell, shares), *reached]}


def _wide(estimate: Estimate) -> tuple[str, str]:
    """A cell in a column of cells with intervals."""
    text, between = _cell(*estimate)
    return text, between or ""


def _refused(records: Sequence[RefusedRecord]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """(data set, kind, rows) of the questions without a reference, for the template."""
    kinds = dict.fromkeys((row.dataset, row.answerable) for row in records)
    return [
        (
            dataset,
            "no reference" if answerable else "unanswerable",
            [_refused_row(row) for row in records if (row.dataset, row.answerable) == (dataset, answerable)],
        )
        for dataset, answerable in kinds
    ]


def _quadrants(records: Sequence[QuadrantRecord]) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """(data set and quadrant, number of questions, rows) of the questions with a text, for the template."""
    titles = {quadrant_title(row): row.n for row in records}
    return [
        (
            title,
            n,
            [
                {"method": row.method, "cells": [(text, None) for text in quadrant_shares(row)]}
                for row in records
                if quadrant_title(row) == title
            ],
        )
        for title, n in titles.items()
    ]


def _refused_row(row: RefusedRecord) -> dict[str, Any]:
    shares = (row.refused, row.corrected, 1 - row.refused - row.corrected)
    cells = [_cell(share, *share_estimate(round(share * row.n), row.n)[1:]) for share in shares]
    return {"method": row.method, "n": row.n, "cells": cells}


def _bench(found: BenchContents) -> dict[str, Any]:
    """Benchmarks, for the template."""
    blocks = dict.fromkeys((row.dataset, row.part) for row in found.records)
    return {
        "methods": list(dict.fromkeys(row.method for row in found.scores)),
        "published": published_rows(found.scores),
        "heads": BENCH_SHARES,
        "blocks": [
            (
                f"{dataset}, {part}",
                [
                    {"method": row.method, "n": judged_count(row), "cells": _share_cells(row, BENCH_SHARES)}
                    for row in found.records
                    if (row.dataset, row.part) == (dataset, part)
                ],
            )
            for dataset, part in blocks
        ],
        "legend": BENCH_LEGEND,
        "left_out": list(found.left_out.values()),
        "about": found.about,
    }


def _side_effects(run: RunRecords, main: str, pictures: "_Pictures") -> dict[str, Any]:
    """All that is no short question of fact, for the template."""
    records = run.side_effects
    asked = {row.method for row in records}
    own = next(row for row in records if row.method == (main if main in asked else INIT_REFUSE))
    initial = next(row for row in records if (row.method, row.form) == (INIT_REFUSE, own.form))
    systems = list(dict.fromkeys((INIT_REFUSE, own.method)))
    perplexity = {row.method: row.perplexity / row.perplexity_initial for row in run.drift}
    return {
        "headline": side_effects_headline(initial, own),
        "initial": INIT_REFUSE,
        "picture": pictures.draw("side-effects", refused_before_and_after(records, systems)),
        "forms": [
            (
                form_name(form),
                [{"method": row.method, "cells": _share_cells(row, PLAIN)} for row in records if row.form == form],
            )
            for form in dict.fromkeys(row.form for row in records)
        ],
        "conversations": [
            (row.method, _share_cells(row, AFTER)) for row in records if row.after_greeting_refused is not None
        ],
        "after": [
            (kind, [_conversation_cells(row) for row in run.conversations if row.after == kind])
            for kind in dict.fromkeys(row.after for row in run.conversations)
        ],
        "heads": [SIDE_EFFECTS[name] for name in PLAIN],
        "heads_after": [SIDE_EFFECTS[name].removeprefix("chit-chat ") for name in AFTER],
        "drift": [(row.method, f"{row.kl:.3f}", f"{perplexity[row.method]:.2f}") for row in run.drift],
        "n": {name: getattr(own, name) for name in ("n_chit_chat", "n_instructions", "n_passages", "n_unanswerable")},
        "n_tokens": run.drift[0].n_tokens if run.drift else 0,
        "n_after": run.conversations[0].n if run.conversations else 0,
    }


def _share_cells(row: SideEffectRecord | BenchRecord, names: Sequence[str]) -> list[tuple[str, str]]:
    return [_wide(Estimate(getattr(row, name), *row.intervals.get(name, (None, None)))) for name in names]


def _metric_cells(row: MetricRecord, n_known: int) -> dict[str, Any]:
    n_over_refused = round(row.over_refusal_rate * n_known)
    return {
        "method": row.method,
        **{name: _cell(*share_estimate(round(getattr(row, name) * row.n), row.n)) for name in ("pc", "pw", "pr")},
        "over": _cell(*share_estimate(n_over_refused, n_known)) if n_known else ("–", ""),
        "ths": _cell(row.ths, row.ths_low, row.ths_high),
        "auroc": _cell(row.auroc),
    }


def _cell(value: float | None, low: float | None = None, high: float | None = None) -> tuple[str, str | None]:
    """A number and its interval as text, in percent; None for a column without intervals."""
    if value is None:
        return "–", None
    if low is None:
        return percent(value), None
    ends = percent(low), percent(high)
    return percent(value), "" if ends[0] == ends[1] else " to ".join(ends)


def _n_known(systems: Mapping[str, Sequence[Prediction]]) -> int:
    return sum(row.outcome == "correct" for row in systems[INIT_BASIC])


def _stages(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "seconds": notes.get("seconds"),
            "memory": notes.get("peak_memory_mb"),
            "left_out": len(notes.get("skipped") or ())
            + len(notes.get("non_finite") or ())
            + len(notes.get("without_verdict") or ()),
        }
        for name, notes in summary.get("stages", {}).items()
    ]


# -- a comparison --------------------------------------------------------------------------------------------------


def comparison_report(comparison: ComparisonRecords) -> Report:
    """The page of a comparison."""
    pictures = _Pictures()
    main = main_method([row.method for row in comparison.records])
    datasets = []
    of_set, of_dialled = by_dataset(comparison.records), by_dataset(comparison.dialled)
    slugs = file_names(list(of_set))
    for name, rows in of_set.items():
        slug = slugs[name]
        own = [row for row in comparison.differences if (row.dataset, row.method) == (name, main)]
        found = {
            "name": name,
            "rows": [_comparison_cells(row) for row in rows],
            "n": rows[0].n,
            "forest": pictures.draw(f"ths-{slug}", ths_forest(rows, main)),
            "trade_off": pictures.draw(f"trade-off-{slug}", trade_off(rows, main)),
        }
        if with_dials := of_dialled.get(name):
            found["dialled"] = [_comparison_cells(row) for row in with_dials]
        if own:
            found["differences"] = pictures.draw(f"differences-{slug}", difference_forest(own))
        if name in comparison.curves:
            curves = risk_coverage_curves(comparison.curves[name], main)
            found["curves"] = pictures.draw(f"risk-coverage-{slug}", curves)
            trained = {row.method: (row.over_refusal_rate, row.pw) for row in rows}
            operating = operating_curves(comparison.operating[name], trained, main)
            found["operating"] = pictures.draw(f"operating-{slug}", operating)
        datasets.append(found)
    return _report(
        "compare.html",
        pictures,
        title=comparison.name,
        main=main,
        initial=INIT_BASIC,
        about=comparison.about,
        config=comparison.about["config"],
        datasets=datasets,
        verdicts=verdicts(comparison.records, comparison.differences),
        refused=_refused(comparison.refused),
        methods=_explained(*([row.method for row in rows] for rows in (comparison.records, comparison.dialled))),
        tables=[],
        config_text=_yaml(comparison.about["config"]),
    )


def _comparison_cells(row: ComparisonRecord) -> dict[str, Any]:
    return {
        "method": row.method,
        "over": _cell(*estimate_of(row, "over_refusal_rate")),
        **{name: _cell(*estimate_of(row, name)) for name in ("pc", "pw", "pr", "ths", "auroc")},
    }


# -- parts ---------------------------------------------------------------------------------------------------------


class _Pictures:
    """Draws charts, each once, and keeps them."""

    def __init__(self) -> None:
        self.drawn: dict[str, str] = {}

    def draw(self, name: str, chart: Chart) -> dict[str, Any]:
        """Name and picture of a chart, for the template."""
        self.drawn[name] = svg(chart, name)
        return {"name": name, "svg": Markup(self.drawn[name])}


def _report(template: str, pictures: _Pictures, **values: Any) -> Report:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("grait.display"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    script = _source(environment, "page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template(template).render(
        **values,
        light=LIGHT,
        dark=DARK,
        percent=percent,
        style=Markup(_source(environment, "page.css")),
        script=Markup(script),
        script_digest=digest,
    )
    return Report(printable(page), pictures.drawn)


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader
    return environment.loader.get_source(environment, name)[0]


def _yaml(config: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))


def file_names(names: Sequence[str]) -> dict[str, str]:
    """Data sets' names as parts of file names, each its own."""
    found: dict[str, str] = {}
    for place, name in enumerate(names, 1):
        slug = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")
        found[name] = slug if slug and slug not in found.values() else f"{slug}-{place}".strip("-")
    return found
