"""Results as tables: for the terminal with rich, and as Markdown. Numbers are percent with one decimal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeVar

import yaml
from rich import box
from rich.markup import escape
from rich.table import Table

from grait.dial.stored import with_dial
from grait.evaluation.bench import SCORES
from grait.evaluation.compare import METRICS
from grait.evaluation.estimates import estimate_of
from grait.evaluation.standings import by_dataset, standings
from grait.methods.catalog import main_method
from grait.methods.policy import QUADRANTS
from grait.records import (
    BenchRecord,
    BenchScore,
    ComparisonRecord,
    ConversationRecord,
    DifferenceRecord,
    DriftRecord,
    FormRecord,
    GroupRecord,
    HarnessRecord,
    MetricRecord,
    QuadrantRecord,
    RefusedRecord,
    RoundRecord,
    SideEffectRecord,
    TrialRecord,
)
from grait.runtime.printable import printable

T = TypeVar("T")

UNTRAINED = "not trained"
"""Of a form that is asked in the evaluation alone."""

SIDE_EFFECTS = {
    "chit_chat_refused": "chit-chat, refused",
    "instructions_refused": "instructions, refused",
    "passages_refused": "text given, refused",
    "passages_right": "text given, right",
    "passages_extracted": "text given, extracted",
    "unanswerable_refused": "unanswerable, refused",
    "unanswerable_corrected": "unanswerable, corrected",
    "after_greeting_refused": "chit-chat after a greeting",
    "after_instruction_refused": "chit-chat after an instruction",
    "after_refusal_refused": "chit-chat after a refusal",
    "apology_rate": "apologies",
    "empty_rate": "empty",
}
"""Shares in a ``SideEffectRecord``, in words."""

SETS_ABREAST = 3
"""Of data sets that stand side by side, so that a table fits into 100 columns."""

BENCH_SHARES = ("right", "wrong", "refused")
PUBLISHED_LEGEND = "In percent. The score that each set is known for; - where it is undefined."
BENCH_LEGEND = (
    "In percent, with 95% intervals after Wilson. To answer: there is a reference. To refuse: nobody can answer, or "
    "should; right there is a reply that says so in set phrases (a lower bound). To comply: no reference; more refused "
    "is worse. Options: the true one is the most probable."
)

LEGEND = (
    "Pc, Pw, Pr: answered right, answered wrong, refused. Over-refusal: refused, of what the initial model answers "
    "right. THS: 0 is the initial model, higher is better."
)
AUROC_LEGEND = "AUROC: how well the odds of a refusal find what the initial model does not answer right; 50 is chance."
MARKDOWN_LEGEND = (
    "Right refusal: refused and not answered right by the initial model, of all questions. AURC: mean share of wrong "
    "answers when the initial model answers what this system refuses least readily; lower is better."
)


def percent(share: float | None) -> str:
    """``5.3``; a dash for what is undefined."""
    return "-" if share is None else f"{round(100 * share, 1) + 0.0:.1f}"  # + 0.0: no "-0.0"


def percent_with_interval(share: float | None, low: float | None, high: float | None) -> str:
    """``5.3 [2.3, 8.3]``; a dash for what is undefined."""
    return "-" if share is None else f"{percent(share)} [{percent(low)}, {percent(high)}]"


def _table(
    title: str,
    caption: str | None,
    left: Sequence[str],
    right: Sequence[str],
    *,
    named: Mapping[str, int] | None = None,
) -> Table:
    """``named``: more right columns, whose heads are names, folded where long; with the width of their widest cell."""
    table = Table(
        title=escape(title),
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in left:  # long names are folded, so that no number is cut
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    for name, width in (named or {}).items():
        table.add_column(escape(name), justify="right", overflow="fold", min_width=width)
    return table


def _add_blocks(
    table: Table, rows: Sequence[T], block: Callable[[T], str], cells: Callable[[T], Sequence[str]]
) -> None:
    """Add rows in blocks with a line between them; the name of a block stands in its first row."""
    for name in dict.fromkeys(map(block, rows)):
        for place, row in enumerate(row for row in rows if block(row) == name):
            table.add_row("" if place else escape(printable(name)), *cells(row))
        table.add_section()


def _shares(row: MetricRecord | GroupRecord | FormRecord | ConversationRecord | ComparisonRecord) -> list[str]:
    """Pc, Pw, Pr and over-refusal."""
    return [percent(value) for value in (row.pc, row.pw, row.pr, row.over_refusal_rate)]


TRIALS_LEGEND = (
    "Short trainings, the first with the config's own settings, asked training questions that none was trained on. "
    "Right: if nothing is refused. THS: mean over all thresholds. Ahead: THS less that of the best trial before it, "
    "paired, with its 95% interval; taken where that is above 0."
)
TRIAL_COLUMNS = ("learning\nrate", "passes", "steps", "right", "AUROC", "THS", "ahead", "seconds")


def trial_cells(row: TrialRecord) -> list[str]:
    """The cells of ``TRIAL_COLUMNS``."""
    rates = (f"{row.learning_rate:g}", f"{row.epochs:.3g}", str(row.steps))
    ahead = percent_with_interval(row.lead, row.low, row.high)
    return [*rates, percent(row.right), percent(row.auroc), percent(row.ths), ahead, f"{row.seconds:.0f}"]


def trials_tables(records: Sequence[TrialRecord]) -> list[Table]:
    """One table for each method that has trials."""
    tables = []
    for method, of_method in groupby(records, key=lambda record: record.method):
        rows = list(of_method)
        title = f"Trials of {method} on {rows[0].n} training questions, in percent"
        table = _table(title, TRIALS_LEGEND, ("trial",), TRIAL_COLUMNS)
        for number, row in enumerate(rows, 1):
            table.add_row(f"{number}{', taken' if row.is_taken else ''}", *map(escape, trial_cells(row)))
        tables.append(table)
    return tables


ROUNDS_LEGEND = (
    "Influence is taken anew before each round but the first. Cost: passes of the run with all rounds up to this one, "
    "as a multiple of those of the run that takes influence once. Mean weights of answers, of known and unknown "
    "questions, and of refusals. Spread: standard deviation of the weights of refusals over their mean. Rank "
    "correlation: Spearman's, of these weights with those of the first round. AUROC: of left-out margins, in percent."
)
ROUND_COLUMNS = (
    *("steps before", "gradients", "cost", "known", "unknown", "refusals", "spread", "rank correlation", "AUROC"),
)


def round_cells(row: RoundRecord) -> list[str]:
    """The cells of ``ROUND_COLUMNS``."""
    numbers = (row.cost, row.known_answers, row.unknown_answers, row.refusals, row.spread)
    rank = "-" if row.rank_correlation is None else f"{row.rank_correlation:.3f}"
    counts = (str(row.steps_before), str(row.gradients))
    return [*counts, *(f"{number:.2f}" for number in numbers), rank, percent(row.separation)]


def groups_tables(records: Sequence[GroupRecord]) -> list[Table]:
    """One table for each data set: methods within groups, each group with its own base of THS."""
    tables = []
    for dataset, of_set in groupby(records, key=lambda record: record.dataset):
        rows = list(of_set)
        table = _table(
            f"{dataset} by group, in percent, and THS with its 95% interval",
            "THS of a group: against the initial model on the same group.",
            ("group", "method"),
            ("n", "Pc", "Pw", "Pr", "over-\nrefusal", "THS"),
        )
        _add_blocks(table, rows, lambda row: "all" if row.group is None else row.group, _group_cells)
        tables.append(table)
    return tables


def _group_cells(row: GroupRecord) -> list[str]:
    ths = percent_with_interval(row.ths, row.ths_low, row.ths_high)
    return [row.method, str(row.n), *_shares(row), escape(ths)]


def forms_tables(records: Sequence[FormRecord]) -> list[Table]:
    """One table for each data set: systems within forms, the mean over forms last. Intervals are in the report."""
    tables = []
    for dataset in dict.fromkeys(record.dataset for record in records):
        own = [record for record in records if record.dataset == dataset]
        table = _table(
            f"{dataset} by form, in percent: {max(row.n for row in own)} questions in each",
            "THS and over-refusal of a form: against the initial model asked in this form. Share: of the THS that a "
            "model reaches that refuses all wrong answers and no right one. Apol.: apologises instead of refusing. "
            f"{UNTRAINED.capitalize()}: forms in which no question was taught.",
            ("form", "method"),
            ("Pc", "Pw", "Pr", "over-\nrefusal", "THS", "share", "empty", "apol."),
        )
        _add_blocks(table, own, form_label, _form_cells)
        tables.append(table)
    return tables


def form_label(row: FormRecord) -> str:
    """The name of a form, or of a mean over forms, and whether it was trained."""
    return row.form if row.trained else f"{row.form}, {UNTRAINED}"


def _form_cells(row: FormRecord) -> list[str]:
    return [row.method, *_shares(row), *map(percent, (row.ths, row.share, row.empty_rate, row.apology_rate))]


def by_row(dialled: Sequence[FormRecord]) -> dict[tuple[str, str, str], FormRecord]:
    """Results with the dials of each form, by data set, ``form_label`` and method without the dial."""
    return {(row.dataset, form_label(row), row.method.removesuffix(with_dial(""))): row for row in dialled}


def dialled_forms_tables(records: Sequence[FormRecord], dialled: Sequence[FormRecord]) -> list[Table]:
    """One table for each data set: results by form without and with the dials; of what has dials only."""
    tables, with_dials = [], by_row(dialled)
    for dataset in dict.fromkeys(row.dataset for row in dialled):
        own = [
            row
            for row in records
            if (row.dataset, form_label(row), row.method) in with_dials and row.dataset == dataset
        ]
        table = _table(
            f"{dataset} by form, in percent: without and with the refusal dial of each form",
            None,
            ("form", "method"),
            ("THS", "with\ndial", "share", "with\ndial", "over-\nrefusal", "with\ndial"),
        )
        _add_blocks(table, own, form_label, lambda row: _pairs(row, with_dials))
        tables.append(table)
    return tables


def _pairs(row: FormRecord, with_dials: Mapping[tuple[str, str, str], FormRecord]) -> list[str]:
    other = with_dials[row.dataset, form_label(row), row.method]
    fields = ("ths", "share", "over_refusal_rate")
    return [row.method, *(percent(getattr(one, name)) for name in fields for one in (row, other))]


def metrics_table(records: Sequence[MetricRecord], title: str = "Results") -> Table:
    """One row for each method and data set; fits into 80 columns."""
    table = _table(
        f"{title} in percent, and THS with its 95% bootstrap interval",
        "n: questions. " + LEGEND,
        ("data set", "method"),
        ("n", "Pc", "Pw", "Pr", "over-\nrefusal", "THS", "95% interval"),
    )
    _add_blocks(table, records, lambda row: row.dataset, metric_cells)
    return table


def metric_cells(row: MetricRecord) -> list[str]:
    """A row of ``metrics_table`` without its data set."""
    interval = f"{percent(row.ths_low)} to {percent(row.ths_high)}"
    return [row.method, str(row.n), *_shares(row), percent(row.ths), interval]


def dialled_table(records: Sequence[MetricRecord]) -> Table:
    """``metrics_table`` of methods with their refusal dials, under their own names."""
    own = [replace(row, method=row.method.removesuffix(with_dial(""))) for row in records]
    return metrics_table(own, "With the refusal dial of each method: results")


def other_metrics_table(records: Sequence[MetricRecord]) -> Table:
    """The metrics besides Pc, Pw, Pr and THS, systems side by side with data sets; a dash for what is undefined."""
    table = _table(
        "Other metrics in percent",
        "Honesty: of prudence and over-conservativeness. AUROC, AP, AURC (lower is better) and ECE (lower is better): "
        "of the refusal's log-odds against the answer. Penalised: at the threshold 0.75. metrics.json has all.",
        ("data set", "method"),
        ("hon-\nesty", "F1\nrel", "AUROC", "AP", "AURC", "ECE", "penal-\nised"),
    )
    fields = ("honesty", "f1_rel", "auroc", "average_precision", "aurc", "ece", "penalised_75")
    _add_blocks(table, records, lambda row: row.dataset, lambda row: _percents(row, fields))
    return table


def _percents(row: MetricRecord | SideEffectRecord, fields: Sequence[str]) -> list[str]:
    return [escape(row.method), *(percent(getattr(row, name)) for name in fields)]


def refused_table(records: Sequence[RefusedRecord]) -> Table:
    """What each system refuses of the questions without a reference, set by set."""
    table = _table(
        "Questions without an answer, in percent",
        "Asked as all others, and counted in no other table. Unanswerable: more refused is better. Corrected: not "
        "refused, but said that there is no such thing, or that nobody can know (a lower bound). Answerable: without a "
        "reference; fewer refused is better.",
        ("data set", "method"),
        ("kind", "n", "refused", "corrected", "neither"),
    )
    _add_blocks(table, records, lambda row: row.dataset, _refused_cells)
    return table


def _refused_cells(row: RefusedRecord) -> list[str]:
    kind = "answerable" if row.answerable else "unanswerable"
    shares = (row.refused, row.corrected, 1 - row.refused - row.corrected)
    return [escape(row.method), kind, str(row.n), *map(percent, shares)]


def published_table(scores: Sequence[BenchScore]) -> Table:
    """One row for each published score, one column for each system."""
    methods = list(dict.fromkeys(row.method for row in scores))
    table = _table("Published scores", PUBLISHED_LEGEND, ("set", "score", "better"), methods)
    for name, cells in published_rows(scores):
        table.add_row(*(escape(printable(text)) for text in (*name, *cells)))
    return table


def published_rows(scores: Sequence[BenchScore]) -> list[tuple[tuple[str, str, str], list[str]]]:
    """((set, score, what is better), the value of each system in their order)."""
    methods = dict.fromkeys(row.method for row in scores)
    values = {(row.dataset, row.name, row.method): row.value for row in scores}
    names = dict.fromkeys((row.dataset, row.name) for row in scores if row.is_published)
    return [
        ((dataset, *SCORES[name]), [percent(values.get((dataset, name, method))) for method in methods])
        for dataset, name in names
    ]


def bench_table(records: Sequence[BenchRecord]) -> Table:
    """Right, wrong and refused of each system on each part of each set."""
    table = _table("Right, wrong and refused", BENCH_LEGEND, ("set", "system"), ("n", *BENCH_SHARES))
    _add_blocks(
        table,
        records,
        lambda row: f"{row.dataset}, {row.part}",
        lambda row: [escape(printable(row.method)), judged_count(row), *shares(row, BENCH_SHARES)],
    )
    return table


def judged_count(row: BenchRecord) -> str:
    return f"{row.n} (+{row.n_unjudged})" if row.n_unjudged else str(row.n)


def shares(row: BenchRecord | SideEffectRecord, names: Sequence[str]) -> list[str]:
    """Each with its interval."""
    return [percent_with_interval(getattr(row, name), *row.intervals.get(name, (None, None))) for name in names]


def quadrants_table(records: Sequence[QuadrantRecord]) -> Table:
    """What each system makes of the questions with a text, quadrant by quadrant, set by set."""
    table = _table(
        "Questions with a text, in percent",
        "Known: the initial model answers it right without the text. The policy wants an answer or a refusal of each "
        'part. Right: as the references say, also from memory. By the text: refused with the words for "not in the '
        'text". Over-refusal: refused of what the initial model answers right with the text.',
        ("questions", "method"),
        ("n", "right", "wrong", "refused", "by the text", "over-refusal"),
    )
    _add_blocks(table, records, quadrant_title, _quadrant_cells)
    return table


def quadrant_title(row: QuadrantRecord) -> str:
    """Data set and quadrant of a record, and what the policy wants there."""
    return f"{row.dataset}: {QUADRANTS[row.knows, row.holds]} ({row.lesson})"


def quadrant_shares(row: QuadrantRecord) -> list[str]:
    """Right, wrong, refused, refused by the text, over-refusal."""
    return [percent(value) for value in (row.right, row.wrong, row.refused, row.refused_by_text, row.over_refusal)]


def _quadrant_cells(row: QuadrantRecord) -> list[str]:
    return [escape(row.method), str(row.n), *quadrant_shares(row)]


def side_effects_tables(records: Sequence[SideEffectRecord], drift: Sequence[DriftRecord]) -> list[Table]:
    """Refusals of each system, form by form; then its chats, and how far it is from the initial model."""
    table = _table(
        "Side effects, in percent: refused",
        "Chit-chat, ordinary instructions, questions with the text that holds the answer: fewer refused is better. "
        "Right, extr.: of these questions, also where the text is only repeated, and without that. Unanswerable: more "
        "refused is better; corrected: says instead that there is no such thing, or that nobody can know (a lower "
        "bound). Forms: after solved examples, with the instruction that "
        "allows refusals, the bare question in a chat. An interval at 100 prompts is up to 10 points wide either way.",
        ("form", "method"),
        ("chit-\nchat", "instr.", "text\ngiven", "text,\nright", "text,\nextr.", "unans-\nwerable", "corr-\nected"),
    )
    refused = ("chit_chat_refused", "instructions_refused", "passages_refused")
    fields = (*refused, "passages_right", "passages_extracted", "unanswerable_refused", "unanswerable_corrected")
    _add_blocks(table, records, lambda row: row.form, lambda row: _percents(row, fields))
    chat = {row.method: row for row in records if row.form == "question"}
    of_drift = {row.method: row for row in drift}
    if not chat and not of_drift:
        return [table]
    other = _table(
        "In a chat without an instruction, in percent, and drift from the initial model",
        "Refused of chit-chat after a greeting, an instruction, a refusal; replies that apologise, and empty ones. KL "
        "and perplexity: on the initial model's own answers to chit-chat and instructions; KL in nats per token, "
        "perplexity divided by the initial model's: 0 and 1 are the initial model.",
        ("method",),
        ("after\ngreeting", "after\ninstr.", "after\nrefusal", "apolo-\ngies", "empty", "KL", "perpl.\nratio"),
    )
    for method in dict.fromkeys((*chat, *of_drift)):
        shares: list[float | None] = [None] * 5
        if in_chat := chat.get(method):
            after = (in_chat.after_greeting_refused, in_chat.after_instruction_refused, in_chat.after_refusal_refused)
            shares = [*after, in_chat.apology_rate, in_chat.empty_rate]
        far = of_drift.get(method)
        drifted = (f"{far.kl:.3f}", f"{far.perplexity / far.perplexity_initial:.2f}") if far else ("-", "-")
        other.add_row(escape(method), *(percent(share) for share in shares), *drifted)
    return [table, other]


def conversations_tables(records: Sequence[ConversationRecord]) -> list[Table]:
    """One table, systems within kinds of turns; none where nothing was asked."""
    if not records:
        return []
    table = _table(
        f"{records[0].dataset} in a chat, in percent: {records[0].n} bare questions after other turns",
        "THS and over-refusal: against the initial model in the same conversation. Of single: THS of that of the same "
        "questions by themselves; a dash where that is not above 0. Context: a text with a question about it.",
        ("after", "method"),
        ("Pc", "Pw", "Pr", "over-\nrefusal", "THS", "of\nsingle"),
    )
    _add_blocks(table, records, lambda row: row.after, _conversation_cells)
    return [table]


def _conversation_cells(row: ConversationRecord) -> list[str]:
    return [row.method, *_shares(row), percent(row.ths), percent(row.of_single)]


def harness_table(records: Sequence[HarnessRecord]) -> Table:
    """One row for each task and metric of lm-evaluation-harness, systems side by side with their standard errors."""
    systems = list(dict.fromkeys(row.method for row in records))
    values = {(row.task, row.metric, row.method): row for row in records}
    widths = {name: max(len(_with_error(row)) for row in records if row.method == name) for name in systems}
    title = "lm-evaluation-harness: value ± standard error, as the tasks give them"
    table = _table(title, None, ("task", "metric"), (), named=widths)
    for task, metric in dict.fromkeys((row.task, row.metric) for row in records):
        cells = (values.get((task, metric, system)) for system in systems)
        table.add_row(escape(task), escape(metric), *("-" if row is None else _with_error(row) for row in cells))
    return table


def _with_error(record: HarnessRecord) -> str:
    return f"{record.value:.4f}" + ("" if record.stderr is None else f" ± {record.stderr:.4f}")


def comparison_tables(
    records: Sequence[ComparisonRecord], differences: Sequence[DifferenceRecord], main: str
) -> list[Table]:
    """One table for each data set, then one with the paired differences of ``main``, where it is there. The intervals
    that are not shown are in ``comparison_markdown``."""
    tables = []
    for dataset, rows in by_dataset(records).items():
        table = _table(
            f"{dataset}, {_sample(rows[0])}; percent, THS with its 95% interval",
            None,
            ("method",),
            ("Pc", "Pw", "Pr", "over-\nrefusal", "THS", "AUROC"),
        )
        for row in rows:
            ths = percent_with_interval(row.ths, row.ths_low, row.ths_high)
            table.add_row(row.method, *_shares(row), escape(ths), percent(row.auroc))
        tables.append(table)
    tables[-1].caption = f"{LEGEND} {AUROC_LEGEND}"
    return [*tables, *differences_tables(differences, main)]


def differences_tables(differences: Sequence[DifferenceRecord], main: str, where: str = "") -> list[Table]:
    """The paired differences of ``main``, where it is there. ``where``: what the THS is of, for the title."""
    cells = _differences(differences, main)
    datasets = list(dict.fromkeys(dataset for _, dataset in cells))
    caption = "On the same questions and seeds; an interval that holds 0 does not tell the two apart."
    tables = []
    for first in range(0, len(datasets), SETS_ABREAST):
        shown = {
            dataset: max(len(cell) for (_, of), cell in cells.items() if of == dataset)
            for dataset in datasets[first : first + SETS_ABREAST]
        }
        table = _table(f"THS of {main}{where} minus THS of", caption, ("method",), (), named=shown)
        for versus in dict.fromkeys(versus for versus, _ in cells):
            table.add_row(versus, *(escape(cells[versus, dataset]) for dataset in shown))
        tables.append(table)
    return tables


def verdicts(records: Sequence[ComparisonRecord], differences: Sequence[DifferenceRecord]) -> list[str]:
    """For each data set, the system of highest THS, and those that its paired interval does not tell apart from it."""
    lines = []
    for found in standings(records, differences):
        rest = f"not clearly above {', '.join(found.level)}" if found.level else "clearly above every other one"
        lines.append(f"{found.dataset}: highest THS {found.best.method} ({percent(found.best.ths)}), {rest}")
    return lines


def comparison_markdown(
    records: Sequence[ComparisonRecord],
    differences: Sequence[DifferenceRecord],
    about: Mapping[str, Any],
    dialled: Sequence[ComparisonRecord] = (),
    dialled_differences: Sequence[DifferenceRecord] = (),
    refused: Sequence[RefusedRecord] = (),
) -> str:
    """The whole comparison: every metric with its interval, the differences, and how it was made.

    ``about``: date, seeds, resamples, versions, machine and config (``pipeline.comparison``). ``dialled``: of methods
    with their refusal dials. ``refused``: of questions without a reference.
    """
    main = main_method(row.method for row in records)
    lines = ["# Methods compared", "", *_compared("", records, differences, main)]
    if dialled:
        lines += ["", *_compared(" with the refusal dial", dialled, dialled_differences, with_dial(main))]
    if refused:
        header = ("data set", "method", "kind", "n", "refused", "corrected", "neither")
        lines += ["", "## Questions without an answer", ""]
        lines += _markdown(header, [(row.dataset, *_refused_cells(row)) for row in refused])
    resampled = "questions and seeds" if len(about["seeds"]) > 1 else "questions"
    lines += [
        "",
        f"Percent; means over seeds, in brackets 95% intervals of a bootstrap over {resampled}, "
        f"{about['resamples']:,} resamples. {LEGEND} {AUROC_LEGEND} {MARKDOWN_LEGEND} "
        "R-Tuning is scored by the refusal text like the others, not by its own statement of being unsure.",
        "",
        f"Made on {about['date']}. Seeds: {', '.join(map(str, about['seeds']))}. "
        f"Versions: {_facts(about['versions'])}. Machine: {_facts(about['machine'])}.",
        "",
        "```yaml",
        yaml.safe_dump(about["config"], sort_keys=False, allow_unicode=True).rstrip("\n"),
        "```",
        "",
    ]
    return "\n".join(lines)


def _compared(
    how: str, records: Sequence[ComparisonRecord], differences: Sequence[DifferenceRecord], main: str
) -> list[str]:
    """A table for each data set, the differences of ``main``, and what they say."""
    lines: list[str] = []
    for dataset, rows in by_dataset(records).items():
        lines += [f"## {dataset}{how} ({_sample(rows[0])})", ""]
        lines += _markdown(
            ("method", "Pc", "Pw", "Pr", "right refusal", "over-refusal", "THS", "AUROC", "AURC"),
            [(row.method, *(percent_with_interval(*estimate_of(row, name)) for name in METRICS)) for row in rows],
        )
    cells = _differences(differences, main)
    if cells:
        datasets = list(by_dataset(records))
        lines += [f"## THS of {main} minus THS of each other, paired", ""]
        lines += _markdown(
            ("method", *datasets),
            [
                (versus, *(cells[versus, dataset] for dataset in datasets))
                for versus in dict.fromkeys(versus for versus, _ in cells)
            ],
        )
    return [*lines, *(f"- {line}" for line in verdicts(records, differences))]


def _differences(records: Sequence[DifferenceRecord], main: str) -> dict[tuple[str, str], str]:
    """The differences of ``main``, by the other system and data set."""
    return {
        (row.versus, row.dataset): percent_with_interval(row.ths_difference, row.low, row.high)
        for row in records
        if row.method == main
    }


def _sample(record: ComparisonRecord) -> str:
    seeds = "seed" if len(record.seeds) == 1 else "seeds"
    return f"{record.n} questions, {seeds} {', '.join(map(str, record.seeds))}"


def _facts(facts: Mapping[str, str | int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return [*("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells), ""]
