"""The whole run, in order.

knowledge -> warm-up -> influence -> selection -> training -> evaluation -> dial -> report

A stage whose artifact is already there with the same key is not run again.
"""

from collections.abc import Mapping, Sequence

from grait.config import Config
from grait.errors import KnowledgeError
from grait.knowledge.query import check_both_sides
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, METHODS
from grait.methods.selection import Evidence
from grait.pipeline.conflict import static_conflict
from grait.pipeline.dials import check_calibration, dialled, set_dials
from grait.pipeline.evaluation import evaluation, result
from grait.pipeline.influence import influence_scores
from grait.pipeline.knowledge import initial_knowledge, warmup_flow
from grait.pipeline.probes import probe_systems
from grait.pipeline.reporting import last, run_page
from grait.pipeline.results import RunResult
from grait.pipeline.training import training, warmup, write_selection
from grait.pipeline.workbench import Workbench
from grait.records import KnowledgeState, Prediction, Selected
from grait.runtime import progress
from grait.runtime.artifacts import Stage


def run(config: Config) -> RunResult:
    """Run, or continue, everything that ``config`` asks for. Raises a GraitError for what the user has to mend."""
    bench = Workbench(config)
    with bench.alone():
        return _run(bench)


def _run(bench: Workbench) -> RunResult:
    config = bench.config
    check_calibration(bench)
    states = initial_knowledge(bench)
    check_both_sides(states, config.knowledge.correctness_threshold)
    evidence = _evidence(bench, states)
    selected = selections(config, evidence)
    write_selection(bench, evidence, selected)
    same = same_training(selected)
    adapters = {method: training(bench, method, selected[method]) for method in dict.fromkeys(same.values())}
    systems: dict[str, Stage | None] = {INIT_BASIC: None, INIT_REFUSE: None, **adapters}
    predictions: dict[str, dict[str, list[Prediction]]] = {}
    for dataset in config.evaluation.datasets:
        found = {system: evaluation(bench, system, adapter, dataset) for system, adapter in systems.items()}
        untrained = {system: found[system] for system in (INIT_BASIC, INIT_REFUSE)}
        predictions[dataset.title] = untrained | {method: found[first] for method, first in same.items()}
    set_dials(bench, adapters)
    probes = probe_systems(bench, adapters, same)
    answers = result(bench, predictions, probes, dialled(bench, predictions, same))
    last(bench.folder, lambda: run_page(bench, answers, evidence, selected, same))
    return answers


def same_training(selected: Mapping[str, Sequence[Selected]]) -> dict[str, str]:
    """Of each method, the first one that trains on the same and is judged alike: one adapter serves both."""
    first: dict[str, str] = {}
    for method, chosen in selected.items():
        first[method] = next(
            (
                other
                for other in first
                if list(selected[other]) == list(chosen) and METHODS[other].judge is METHODS[method].judge
            ),
            method,
        )
        if first[method] != method:
            progress.note(f"{method}: the training set of {first[method]}, whose adapter serves both")
    return first


def _evidence(bench: Workbench, states: list[KnowledgeState]) -> Evidence:
    """Stage 2, up to the selection: what the chosen methods need to know, and no more."""
    methods = [METHODS[name] for name in bench.config.training.methods]
    needs_flow = any(method.needs_flow for method in methods)
    needs_influence = any(method.needs_influence for method in methods)
    if not needs_flow and not needs_influence:
        return Evidence(states, {}, {})
    warmed_up = warmup(bench, states)
    flow = warmup_flow(bench, states, warmed_up) if needs_flow else []
    if needs_flow:
        static_conflict(bench, states)
    scores = influence_scores(bench, states, warmed_up) if needs_influence else []
    return Evidence(states, {row.id: row.flow for row in flow}, {row.id: row for row in scores})


def selections(config: Config, evidence: Evidence) -> dict[str, list[Selected]]:
    """What each method trains on. All are chosen before the first is trained: one that cannot choose stops the run."""
    selected: dict[str, list[Selected]] = {}
    for name in config.training.methods:
        if select := METHODS[name].select:
            try:
                selected[name] = select(evidence, config.selection, config.seed)
            except KnowledgeError as error:
                raise KnowledgeError(f"{name}: {error}") from error
    return selected
