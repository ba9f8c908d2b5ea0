"""The whole run, in order.

temperature -> knowledge -> warm-up -> influence -> selection -> replay -> trials -> training -> evaluation -> dial ->
scores -> report

A stage whose artifact is already there with the same key is not run again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from grait.config import Config
from grait.display.words import judge_in_words
from grait.errors import KnowledgeError
from grait.methods.catalog import INIT_BASIC, METHODS, UNTRAINED, needing_flow, needing_influence
from grait.methods.selection import Evidence
from grait.pipeline.begun import as_begun
from grait.pipeline.cards import write_cards
from grait.pipeline.conflict import plan_conflict, static_conflict
from grait.pipeline.contexts import by_policy, known_without_text, quadrants
from grait.pipeline.conversations import plan_conversations
from grait.pipeline.data import RunData
from grait.pipeline.dialled import at_thresholds
from grait.pipeline.dials import check_calibration, plan_dials, set_dials
from grait.pipeline.enough import check_data, check_enough
from grait.pipeline.evaluation import (
    QuestionSet,
    System,
    answer_questions,
    on_common,
    plan_answers,
    results,
    write_results,
)
from grait.pipeline.forms import plan_forms, trained_forms
from grait.pipeline.influence import influence_scores, plan_influence
from grait.pipeline.knowledge import initial_knowledge, plan_flow, plan_knowledge, warmup_flow
from grait.pipeline.models import Models
from grait.pipeline.no_harm import against_initial, in_words
from grait.pipeline.own_words import known_at_best, own_words, plan_own_words
from grait.pipeline.preferences import check_one_process, plan_preferences, preferring
from grait.pipeline.replay import asked_prompts, plan_replay, replay
from grait.pipeline.reporting import last, run_page
from grait.pipeline.results import RunResult
from grait.pipeline.rewards import plan_rewards, rewarding
from grait.pipeline.rounds import Reweighing, check_rounds, plan_rounds
from grait.pipeline.scorers import plan_scorers, score_questions
from grait.pipeline.side_effects import plan_side_effects, trained_side_effects
from grait.pipeline.stages import Stages, alone
from grait.pipeline.temperature import plan_temperature, with_temperature
from grait.pipeline.training import plan_training, plan_warmup, training, warmup, write_selection
from grait.pipeline.tuning import Taught, plan_tuning, trials
from grait.pipeline.unanswerable import refused_records
from grait.pipeline.work import SetSize, StagePlan
from grait.records import KnowledgeState, Prediction, Selected
from grait.runtime import progress


def run(config: Config) -> RunResult:
    """Run, or continue, everything that ``config`` asks for. Raises a GraitError for what the user has to mend."""
    data = RunData(as_begun(config))
    models = Models(data)
    with alone(data, models) as stages:
        return _run(data, models, stages)


def _run(data: RunData, models: Models, stages: Stages) -> RunResult:
    check_calibration(data)
    check_data(data, stages)
    check_one_process([name for name in data.config.training.methods if METHODS[name].goes_on])
    check_rounds(data.config)
    ordinary = asked_prompts(data)
    data = with_temperature(data, models, stages)
    asked = initial_knowledge(data, models, stages)
    own = own_words(data, models, stages, asked)
    states = by_policy(data, stages, known_at_best(data, asked, own))
    initial = check_enough(data, models, stages, states)
    config = data.config
    evidence = _evidence(data, models, stages, states, asked)
    selected = selections(config, evidence)
    write_selection(data, evidence, selected, own)
    same = same_training(selected, config.tuned)
    replayed = replay(data, models, stages, ordinary)
    taught = {method: Taught(data, method, selected[method], own, replayed) for method in dict.fromkeys(same.values())}
    others = _planned(data, taught) if config.tuned else []
    tuned = {method: trials(models, stages, own_rows, others) for method, own_rows in taught.items()}
    rounds = {
        method: Reweighing(found.data, models, method, evidence, selected[method], own)
        for method, found in tuned.items()
        if METHODS[method].is_dynamic
    }
    adapters = {
        method: training(found.data, models, stages, method, selected[method], own, replayed, rounds.get(method))
        for method, found in tuned.items()
    }
    adapters |= {
        method: preferring(tuned[method].data, models, stages, method, adapter, states)
        for method, adapter in adapters.items()
        if METHODS[method].has_preferences
    }
    adapters |= {
        method: rewarding(tuned[method].data, models, stages, method, adapter, states, replayed)
        for method, adapter in adapters.items()
        if METHODS[method].advantages
    }
    systems = [System.of_method(name, adapters.get(name)) for name in (*UNTRAINED, *adapters)]
    predictions: dict[str, dict[str, list[Prediction]]] = {}
    for title, questions in data.test_sets.items():
        test = QuestionSet(title, questions)
        answered = {INIT_BASIC: initial[title]} | {
            system.name: answer_questions(data, models, stages, system, test)
            for system in systems
            if system.name != INIT_BASIC
        }
        untrained = {name: answered[name] for name in UNTRAINED}
        of_all = untrained | {method: answered[first] for method, first in same.items()}
        predictions[title] = on_common(title, of_all)
    knows = known_without_text(data, models, stages)
    set_dials(data, models, stages, adapters)
    score_questions(data, models, stages, asked, predictions, replayed)
    refused = refused_records(data, models, stages, systems, {**{name: name for name in UNTRAINED}, **same})
    side_effects = trained_side_effects(data, models, stages, adapters, same)
    forms = trained_forms(data, models, stages, adapters, same, predictions)
    dialled = at_thresholds(data, predictions, same)
    by_quadrant = quadrants(data, predictions, dialled, knows)
    result = results(data, stages, predictions, side_effects, dialled, forms, refused, by_quadrant)
    tried = [trial for found in tuned.values() for trial in found.trials]
    weighed = [row for method, rounds_of_it in rounds.items() for row in rounds_of_it.records(adapters[method])]
    result = replace(
        result, against_initial=against_initial(data, stages, predictions, same), trials=tried, rounds=weighed
    )
    for sentence in judge_in_words(result.summary):
        stages.tell(sentence)
    result = replace(result, summary={"in_words": in_words(data, stages, result)} | result.summary)
    write_results(result)
    write_cards(data, adapters, selected)
    last(data.folder, lambda: run_page(data, result, evidence, selected, same))
    return result


def _evidence(
    data: RunData, models: Models, stages: Stages, states: list[KnowledgeState], asked: list[KnowledgeState]
) -> Evidence:
    """Stage 2, up to the selection: what the chosen methods need to know, and no more. ``asked``: the states of the
    main query, which flow is measured from; ``states``: those of the best form."""
    methods = data.config.training.methods
    needs_flow, needs_influence = needing_flow(methods), needing_influence(methods)
    if not needs_flow and not needs_influence:
        return Evidence(states, {}, {}, data.answerless)
    warmed_up = warmup(data, models, stages, states)
    flow = warmup_flow(data, models, stages, asked, warmed_up) if needs_flow else []
    if needs_flow:
        static_conflict(data, models, stages, states)
    scores = influence_scores(data, models, stages, states, warmed_up) if needs_influence else []
    return Evidence(states, {row.id: row.flow for row in flow}, {row.id: row for row in scores}, data.answerless)


def stage_plans(
    config: Config, training_set: SetSize, others: Sequence[SetSize], n_rows: Mapping[str, int] | None = None
) -> tuple[StagePlan, ...]:
    """What ``run`` would do and cost, stage by stage, in the same order.

    ``others``: the test sets, then the calibration questions, if any. ``n_rows``: rows of questions that a method is
    trained on, where they are known already.
    """
    methods = config.training.methods
    needs_flow, needs_influence = needing_flow(methods), needing_influence(methods)
    n_tests = len(config.evaluation.datasets)
    plans = [
        *plan_temperature(config, training_set),
        plan_knowledge(config, training_set),
        *plan_own_words(config, training_set),
    ]
    if needs_flow or needs_influence:
        plans.append(plan_warmup(config, training_set))
    if needs_flow:
        plans += [plan_flow(config, training_set), plan_conflict(training_set)]
    if needs_influence:
        plans.append(plan_influence(config, training_set))
    if config.replay.path is not None:
        plans.append(plan_replay(config, training_set))
    n_rows = n_rows or {}
    plans += [plan_training(config, training_set, method, n_rows.get(method)) for method in methods]
    for method in methods:
        plans += plan_preferences(config, training_set, method) if METHODS[method].has_preferences else []
        plans += [plan_rewards(config, training_set, method)] if METHODS[method].advantages else []
        plans += [plan_rounds(config, training_set, method)] if METHODS[method].is_dynamic else []
    plans += [plan_answers(config, tests, [*UNTRAINED, *methods]) for tests in others[:n_tests]]
    for calibration in others[n_tests:]:
        plans += plan_dials(config, calibration)
    plans += plan_scorers(config, training_set, others)
    if config.evaluation.probes:
        plans += [*plan_side_effects(config), plan_conversations(config, others[0])]
    for tests in others[:n_tests]:
        plans += plan_forms(config, tests)
    first = next(place for place, plan in enumerate(plans) if plan.name.startswith("training "))
    return (*plans[:first], *plan_tuning(config, plans), *plans[first:])


def _planned(data: RunData, taught: Mapping[str, Taught]) -> list[StagePlan]:
    """The plans of all stages but the trials, with what each method is trained on."""
    calibration = data.calibration_questions(data.calibration) if data.calibration else []
    sets = [list(data.questions.values()), *data.test_sets.values(), *([calibration] if calibration else [])]
    sizes = [SetSize.counted("", "", questions) for questions in sets]
    n_rows = {method: len(own.rows) for method, own in taught.items()}
    plans = stage_plans(data.config, sizes[0], sizes[1:], n_rows)
    trained = [f"training {method}" for method in taught]  # one adapter may serve several methods
    return [plan for plan in plans if plan.name != "tuning" and (plan.name in trained or plan.name[:9] != "training ")]


def selections(config: Config, evidence: Evidence) -> dict[str, list[Selected]]:
    """What each method trains on, without answers that no text holds. All are chosen before the first is trained: one
    that cannot choose stops the run."""
    selected: dict[str, list[Selected]] = {}
    for name in config.training.methods:
        if select := METHODS[name].select:
            try:
                chosen = select(evidence, config.selection, config.seed)
                selected[name] = [row for row in chosen if row.target == "refusal" or row.id not in evidence.answerless]
            except KnowledgeError as error:
                raise KnowledgeError(f"{name}: {error}") from error
    return selected


def same_training(selected: Mapping[str, Sequence[Selected]], tuned: Sequence[str] = ()) -> dict[str, str]:
    """Of each method, the first one that trains on the same and is judged alike: one adapter serves both. ``tuned``:
    methods that have trials of their own."""
    first: dict[str, str] = {}
    for method, chosen in selected.items():
        states_sureness = METHODS[method].states_sureness
        alike = [
            one
            for one in first
            if list(selected[one]) == list(chosen)
            and METHODS[one].states_sureness == states_sureness
            and METHODS[one].by_first_token == METHODS[method].by_first_token
            and METHODS[one].has_preferences == METHODS[method].has_preferences
            and METHODS[one].advantages == METHODS[method].advantages
            and METHODS[one].is_dynamic == METHODS[method].is_dynamic
            and (one in tuned) == (method in tuned)
        ]
        first[method] = alike[0] if alike else method
        if first[method] != method:
            progress.note(f"{method}: the training set of {first[method]}, whose adapter serves both")
    return first
