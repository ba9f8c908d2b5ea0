"""What a run shows, in sentences: before the tables in the terminal, first in the summary and the report."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from grait.dial.stored import with_dial
from grait.display.figures.side_effects import form_name
from grait.display.tables import percent, percent_with_interval
from grait.evaluation.forms import ALL
from grait.evaluation.gain import Gain
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE
from grait.records import FormRecord, MetricRecord, SideEffectRecord

COLUMNS = 100

MUCH_REFUSED = 0.3
"""Of what the initial model answers right: more is over-refusal that a user will notice at once."""


WORTH_HAVING = 0.05
"""A gain in THS that nobody should be told is not there while the interval still holds it."""


def gain_in_words(found: Gain, main: str, n: int) -> str:
    """Whether the run was worth it, and what to use. ``n``: questions that it was found on."""
    row, initial = found.difference, with_dial(INIT_BASIC)
    by = percent_with_interval(row.ths_difference, row.low, row.high)
    than = f"THS of {main} with its dial less that of the initial model with a threshold of its own: {by}, on {n} "
    than += f"questions that were not trained on ({row.dataset})"
    cheaper = found.recommended.removesuffix(with_dial(""))
    if not found.is_one and row.high > WORTH_HAVING:
        return (
            f"No gain shown over the initial model, and none ruled out. {than}. So few questions do not tell: go by "
            "the test questions, or give more that are not trained on (--calibration). A threshold on the initial "
            "model costs no training: refuse where it gives its answer little probability."
        )
    if not found.is_one:
        return (
            f"No gain shown over the initial model. {than}; this interval is not above 0. Use that threshold: ask the "
            "initial model, and refuse where it gives its answer little probability. No tuning is needed."
        )
    said = f"A gain over the initial model. {than}."
    if found.recommended in (row.method, initial):
        return said
    return f"{said} {cheaper} with its dial is cheaper and not clearly worse: use that."


def paragraph(
    metrics: Sequence[MetricRecord],
    dialled: Sequence[MetricRecord],
    forms: Sequence[FormRecord],
    side_effects: Sequence[SideEffectRecord],
    main: str,
) -> str:
    """What fell and what it cost, set by set; with the dial; form by form; beside questions of fact."""
    of = {(row.dataset, row.method): row for row in (*metrics, *dialled)}
    parts = []
    for dataset in dict.fromkeys(row.dataset for row in metrics):
        before, after = of[dataset, INIT_BASIC], of[dataset, main]
        parts.append(
            f"{dataset}: {headline(before, after)} Of what the initial model answers right, {main} refuses "
            f"{percent(after.over_refusal_rate)}%. THS is "
            f"{percent_with_interval(after.ths, after.ths_low, after.ths_high)}, {verdict(after)}."
        )
        if with_it := of.get((dataset, with_dial(main))):
            parts.append(
                f"With its dial: {percent(with_it.pw)}% wrong, {percent(with_it.over_refusal_rate)}% of the right "
                f"answers refused, THS {percent_with_interval(with_it.ths, with_it.ths_low, with_it.ths_high)}."
            )
        own = [row for row in forms if (row.dataset, row.method, row.trained) == (dataset, main, True)]
        if shares := [f"{row.form} {percent(row.share)}%" for row in own if row.form != ALL and row.share is not None]:
            parts.append(f"Of the THS of a perfect refuser it has, by form: {', '.join(shares)}.")
    beside = {(row.method, row.form): row for row in side_effects}
    effect = next((row for (method, _), row in beside.items() if method == main), None)
    if effect and (INIT_REFUSE, effect.form) in beside:
        parts.append(side_effects_headline(beside[INIT_REFUSE, effect.form], effect))
    return " ".join(part for part in parts if part)


def next_step(
    after: MetricRecord, before: MetricRecord, found: Gain | None, warnings: Sequence[str], has_forms: bool, folder: str
) -> str:
    """What to try next. ``after``: the main method, with its dial if it has one; ``before``: the initial model."""
    if warnings:
        return f"Next: {warnings[0]}."
    if found and not found.is_one:
        return "Next: more training questions, or a model that knows more of them, if the threshold is not enough."
    if after.over_refusal_rate > MUCH_REFUSED:
        return f"Next, for fewer refusals: grait calibrate {folder} --max-over-refusal 0.1."
    if after.pw > before.pw / 2:
        return f"Next, for fewer wrong answers: grait calibrate {folder} --max-wrong {before.pw / 4:.2f}."
    if not has_forms:
        return "Next: this holds in the words of one prompt; prompt.forms trains more (docs/forms.md)."
    return f"Next: grait chat {folder}."


def headline(before: MetricRecord, after: MetricRecord) -> str:
    """The changes, in one sentence."""
    return (
        f"Wrong answers {_change(before.pw, after.pw)}, right answers {_change(before.pc, after.pc)}; "
        f"{percent(after.pr)}% of the questions are refused."
    )


def verdict(after: MetricRecord) -> str:
    """The interval of THS, in words."""
    if after.ths_low > 0:
        return "better than the initial model beyond what the choice of questions explains"
    if after.ths_high < 0:
        return "worse than the initial model beyond what the choice of questions explains"
    return "not clearly better or worse than the initial model"


def _change(before: float, after: float) -> str:
    if percent(before) == percent(after):
        return f"stay at {percent(before)}%"
    return f"{'fall' if after < before else 'rise'} from {percent(before)}% to {percent(after)}%"


def side_effects_headline(initial: SideEffectRecord, tuned: SideEffectRecord) -> str:
    """The refusals of a system beside short questions of fact, in the run's own form and in one sentence."""
    kinds = {
        "chit-chat": (initial.chit_chat_refused, tuned.chit_chat_refused),
        "ordinary instructions": (initial.instructions_refused, tuned.instructions_refused),
        "questions whose answer stands in the text": (initial.passages_refused, tuned.passages_refused),
    }
    parts = [
        f"{percent(after)}% of {kind} (initial model: {percent(before)}%)"
        for kind, (before, after) in kinds.items()
        if before is not None and after is not None
    ]
    return f"Asked {form_name(tuned.form)}, {tuned.method} refuses {', '.join(parts)}." if parts else ""


def judge_in_words(summary: Mapping[str, Any]) -> list[str]:
    """What a judge that is not the built-in one was asked, and how far the two agree; nothing without one."""
    judge = summary.get("judge")
    if not judge:
        return []
    agreed = judge["agreement"]
    tokens = f", {judge['prompt_tokens']:,} + {judge['reply_tokens']:,} tokens" if judge["prompt_tokens"] else ""
    told = [
        f"judged by {judge['name']}: {judge['judged']:,} outputs in {judge['asked']:,} requests ({judge['retried']:,} "
        f"retried{tokens}), {judge['reused']:,} verdicts used again, {judge['without_verdict']:,} outputs without one"
    ]
    if agreed["n"]:
        kappa = "" if agreed["kappa"] is None else f", kappa {agreed['kappa']:.2f}"
        told.append(
            f"{judge['name']} and the built-in judge agree on {percent(agreed['share'])}% of {agreed['n']:,} "
            f"outputs{kappa}"
        )
    left_out = {
        name: notes["without_verdict"] for name, notes in summary["stages"].items() if "without_verdict" in notes
    }
    if left_out:
        named = ", ".join(f"{len(ids)} in {name}" for name, ids in left_out.items())
        told.append(f"without a verdict, and counted neither as right nor as wrong: {named}")
    return told


def lines(in_words: Any) -> list[str]:
    """``summary["in_words"]`` for the terminal: the verdict first, in lines of at most 100 columns."""
    told = [in_words["gain"], in_words["paragraph"], in_words["next"]]
    return ["\n\n".join(fill(part, COLUMNS, break_on_hyphens=False) for part in told if part)]
