"""The lines and tables of ``grait run --dry-run``."""

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from grait.pipeline.work import PER


def plan_lines(plan: Any) -> list[str]:
    """Model, data and stages in their order."""
    config, size = plan.config, plan.size
    lines = [f"Dry run: no weights are loaded, nothing is written. The run would write to {config.out}/", ""]
    if size:
        lines.append(
            f"Model: {config.model.name}, {size.parameters:,} parameters; adapter {size.adapter:,} "
            f"({size.adapter / size.parameters:.1%})"
        )
        is_named = config.lora.target_modules != "all-linear"
        lines.append(targets_line(size.targets) + ("" if is_named else ", as far as is known without weights"))
    else:
        lines += [f"Model: {plan.size_unknown}", "Memory and time need the size; counts and tokens do not."]
    roles = ["Training", *["Evaluation"] * len(config.evaluation.datasets), "Calibration"]
    for role, questions in zip(roles, plan.sets, strict=False):
        lines.append(f"{role}: {questions.title}, {_count(questions.count)} ({questions.source})")
    lines += ["", "Stages"]
    for number, stage in enumerate(plan.stages, 1):
        lines += [f"{number:2} {stage.name}: {stage.does}", "     " + "; ".join(_amounts(stage))]
    return [*lines, *(["", *(f"Note: {note}" for note in plan.notes)] if plan.notes else [])]


def targets_line(targets: dict[str, int]) -> str:
    """Adapted layers by the last part of their name."""
    named = ", ".join(f"{name} {n}" for name, n in targets.items())
    return f"The adapter changes {sum(targets.values())} layers: {named}"


def _count(count: Any, unit: str = "questions") -> str:
    if count.n is None:
        return f"number of {unit} unknown until the data is read"
    return f"{'' if count.is_exact else 'at most '}{count.n:,} {unit}"


def _amounts(stage: Any) -> list[str]:
    """Examples, samples, optimizer steps and tokens of a stage."""
    amounts = []
    for count, unit in ((stage.examples, stage.unit), (stage.samples, "answers"), (stage.steps, "optimizer steps")):
        if count is not None and count.n is not None:
            amounts.append(_count(count, unit))
    work = stage.work
    tokens = [
        f"{_short_number(number)} tokens {how}"
        for number, how in (
            (work.prompt_tokens, "forward"),
            (work.decoded_tokens, "generated at most"),
            (work.trained_tokens, "forward and backward"),
        )
        if number
    ]
    return [*amounts, (f"for each {PER:,} {stage.per}: " if stage.per else "about ") + ", ".join(tokens)]


def compute_table(plan: Any) -> Table:
    """FLOP and time of each stage by device, at best and at worst; what is known adds up."""
    from grait.plan.costs import DEVICES, flop, seconds

    model, size = plan.config.model, plan.size
    table = Table(
        title="Compute: an estimate, see docs/configs.md",
        caption=f"Time from best to worst, not tried: {'; '.join(map(_assumed, DEVICES))}",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("stage", overflow="fold")
    for name in ("FLOP", *(device.name for device in DEVICES)):
        table.add_column(name, justify="right", no_wrap=True)

    def add(name: str, works: list[Any]) -> None:
        total = sum(flop(work, size, model.gradient_checkpointing) for work in works)
        times = []
        for device in DEVICES:
            each = [seconds(work, size, model, device) for work in works]
            times.append(_span(sum(best for best, _ in each), sum(worst for _, worst in each)))
        table.add_row(escape(name), f"{total:.1e}", *times)

    for stage in plan.stages:
        add(stage.name + (f", each {PER:,}" if stage.per else ""), [stage.work])
    known = [stage.work for stage in plan.stages if not stage.per]
    table.add_section()
    add("all" if len(known) == len(plan.stages) else "all whose number is known", known)
    return table


def memory_lines(plan: Any) -> list[str]:
    """GB that each stage holds at once, part by part, and GB on disk."""
    parts = ", ".join(f"{name} {_gigabytes(size)}" for name, size in plan.disk.items())
    return ["Memory in GB (10^9 bytes), without the framework's own", *memory_rows(plan.memory), f"Disk in GB: {parts}"]


def memory_rows(found: Iterable[Any]) -> list[str]:
    """A line for each stage."""
    lines = []
    for memory in found:
        parts = ", ".join(f"{name} {_gigabytes(size)}" for name, size in memory.parts.items())
        lines.append(f"  {memory.name:10} {_gigabytes(memory.total):>6}  {parts}")
    return lines


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f}" if size < 1e10 else f"{size / 1e9:.1f}"


def _assumed(device: Any) -> str:
    return f"{device.name} {' to '.join(f'{device.peak * share / 1e12:.3g}' for share in device.utilisation)} TFLOP/s"


def _span(best: float, worst: float) -> str:
    (low, unit), (high, last) = _duration(best).split(), _duration(worst).split()
    return f"{low} to {high} {last}" if unit == last else f"{low} {unit} to {high} {last}"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{_short_number(seconds / size)} {unit}"
    return f"{_short_number(seconds)} s"


def _short_number(number: float) -> str:
    """To two digits: 0.031, 4.2, 130, 1,900, 2.1e+09."""
    if number >= 1e7:
        return f"{number:.1e}"
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"
