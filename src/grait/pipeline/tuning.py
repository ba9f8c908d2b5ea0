"""Before the trainings of stage 3, where ``tune.budget`` is above 0: learning rate and passes, by short trials.

A trial is a short training of a method: on a part of what it is to be trained on, in all forms and with replay, at the
config's own settings first, then at others. Each is asked training questions that no trial was trained on. Another
setting is taken only where it is better than the best one before it by more than chance (``evaluation.trials``).

How long trials are, and how many, follows from counts of tokens, never from a clock: the same seed finds the same
on every machine. Every trial is a stage of its own.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from random import Random
from typing import Final

from grait.config import Config, TrainingConfig
from grait.data.wording import wording
from grait.display.tables import percent_with_interval
from grait.evaluation.trials import lead, standing
from grait.knowledge.own_words import OwnAnswers
from grait.methods.catalog import INIT_BASIC, METHODS
from grait.pipeline.data import RunData
from grait.pipeline.dials import outcomes_of
from grait.pipeline.evaluation import QuestionSet, System, answer_questions, on_common
from grait.pipeline.lessons import weighted_examples
from grait.pipeline.models import Models
from grait.pipeline.replay import Replayed, n_replayed
from grait.pipeline.stages import Stages
from grait.pipeline.training import train_on
from grait.pipeline.work import SetSize, StagePlan, Work
from grait.records import Outcome, Prediction, Selected, TrialRecord
from grait.training.examples import WeightedExample
from grait.training.sft import n_steps

RATES = (2.0, 0.5)
"""Learning rates that are tried beside the config's, as multiples of it, in this order."""

PASSES = 2.0
"""Passes that are tried, at the best rate, as a multiple of the config's."""

FEWEST_STEPS = 30
"""Of a trial: a shorter one says little."""

MOST_QUESTIONS = 200
"""Asked after each trial; at most half of the training questions."""

FEWEST_OF_A_KIND = 10
"""Of these, right and wrong answers of the initial model: with fewer nothing would stand out from chance."""

EPSILON = 1e-9
"""Of a lead that is rounding."""

FOLDER: Final = "tuning"
ASKED = "questions"


@dataclass(frozen=True)
class Taught:
    """What a method is trained on."""

    data: RunData
    method: str
    selected: Sequence[Selected]
    own: OwnAnswers
    replayed: Replayed | None

    @cached_property
    def rows(self) -> list[WeightedExample]:
        """Rows of questions, without replay."""
        return weighted_examples(self.data, self.selected, self.own)


@dataclass(frozen=True)
class Tuned:
    """``data``: the run as a method is to be trained in it."""

    data: RunData
    trials: list[TrialRecord]


@dataclass(frozen=True)
class Schedule:
    """``steps``: of each trial at the config's passes; ``rates``, ``passes``: what is tried beside the config's own."""

    steps: int
    rates: tuple[float, ...]
    passes: tuple[float, ...]


def schedule(tokens: float, per_step: float, per_answers: float, most_steps: int) -> Schedule | None:
    """The trials that so many ``tokens`` allow: as many as have ``FEWEST_STEPS``; None where not even two have.
    ``per_answers``: tokens of the answers after each; ``most_steps``: of a trial on all that may be trained on."""
    for rates, passes in ((RATES, (PASSES,)), (RATES, ()), (RATES[:1], ())):
        n_trials, units = 1 + len(rates) + len(passes), 1 + len(rates) + sum(passes)
        steps = int((tokens - n_trials * per_answers) / per_step / units)
        if min(steps, most_steps) >= FEWEST_STEPS:
            return Schedule(min(steps, most_steps), rates, passes)
    return None


def plan_tuning(config: Config, others: Sequence[StagePlan]) -> list[StagePlan]:
    """The most that all trials cost: their share of the run. ``others``: all other stages."""
    if not config.tuned:
        return []
    own = [plan for plan in others if plan.name in [f"training {method}" for method in config.tuned]]
    work, steps = sum((plan.work for plan in own), Work()), [plan.steps for plan in own if plan.steps]
    factor = _tokens(config, others) / work.tokens
    does = (
        f"trials of learning rate and passes of {', '.join(config.tuned)}: at most {config.tune.budget:.2g} of the run"
    )
    return [
        StagePlan(
            "tuning",
            does,
            replace(own[0].examples, is_exact=False),
            work.times(factor),
            unit="examples",
            steps=replace(steps[0], n=steps[0].n and int(sum(one.n or 0 for one in steps) * factor), is_exact=False),
            per=own[0].per,
        )
    ]


def _tokens(config: Config, others: Sequence[StagePlan]) -> float:
    """Tokens of all trials: with them they are ``tune.budget`` of the run's."""
    share = config.tune.budget
    return share / (1 - share) * sum(plan.work.tokens for plan in others)


def trials(models: Models, stages: Stages, taught: Taught, others: Sequence[StagePlan]) -> Tuned:
    """The run with the settings of training that were found for a method, and its trials.

    ``others``: the plans of all other stages, the trainings with their own numbers of examples. The run as it is, and
    no trials, where the method has none.
    """
    data, config = taught.data, taught.data.config
    if taught.method not in config.tuned:
        return Tuned(data, [])
    rows = taught.rows
    recipe = config.training.resolved(len(rows) + n_replayed(len(rows), config))
    of_steps = n_steps(len(rows) + n_replayed(len(rows), config), recipe)
    asked, taught_ids = _parts(data, rows)
    free = set(taught_ids)
    n_free = sum(row.example.id in free for row in rows)
    whole = next(plan for plan in others if plan.name == f"training {taught.method}")
    plan = schedule(
        _tokens(config, others) / len(config.tuned),
        whole.work.tokens / of_steps,
        2 * len(asked.questions) * SetSize.counted("", "", asked.questions).prompt_tokens,
        n_steps(n_free + n_replayed(n_free, config), recipe),
    )
    if plan is None:
        kept = f"its settings stay (learning rate {recipe.learning_rate:g}, {_passes(recipe.epochs)})"
        stages.tell(
            f"{taught.method}: no trials of learning rate and passes: {config.tune.budget:.0%} of this run "
            f"(tune.budget) are less than two trials of {FEWEST_STEPS} steps; {kept}"
        )
        return Tuned(data, [])
    initial = outcomes_of(answer_questions(data, models, stages, System.of_method(INIT_BASIC, None), asked, FOLDER))
    counts = {kind: list(initial.values()).count(kind) for kind in ("correct", "wrong")}
    if min(counts.values()) < FEWEST_OF_A_KIND:
        stages.tell(
            f"{taught.method}: no trials of learning rate and passes: of {len(asked.questions)} training questions the "
            f"initial model answers {counts['correct']} right and {counts['wrong']} wrong, and both should be "
            f"{FEWEST_OF_A_KIND} at least"
        )
        return Tuned(data, [])
    replayed = taught.replayed.without(asked.questions) if taught.replayed else None
    share = 1 - config.replay.share if replayed else 1.0
    # Made anew of these alone: an earlier turn, too, may hold what is asked.
    own = replace(taught, selected=[row for row in taught.selected if row.id in free]).rows
    short = _drawn(own, taught_ids, int(share * plan.steps * recipe.batch_size / recipe.epochs))
    search = _Search(models, stages, replace(taught, replayed=replayed), short, asked, initial, of_steps)
    found = search.found(recipe, plan)
    best = next(record for record in found if record.is_taken)
    stages.tell(_in_words(found, best))
    if best.lead is None:
        return Tuned(data, found)
    chosen = {"learning_rate": best.learning_rate, "epochs": best.epochs, "max_steps": None}
    return Tuned(data.trained_with(config.training.model_copy(update=chosen)), found)


@dataclass
class _Search:
    """The trials of one method on the same ``rows`` and ``asked`` questions, one after the other."""

    models: Models
    stages: Stages
    taught: Taught
    rows: Sequence[WeightedExample]
    asked: QuestionSet
    initial: Mapping[str, Outcome]
    of_steps: int

    def found(self, recipe: TrainingConfig, plan: Schedule) -> list[TrialRecord]:
        """All trials, the best one marked."""
        first, answers = self.trial(1, recipe)
        records, best, place = [first], recipe, 0
        for rate, passes in [*((rate, 1.0) for rate in plan.rates), *((1.0, passes) for passes in plan.passes)]:
            base = recipe if passes == 1.0 else best
            changes = {"learning_rate": rate * base.learning_rate, "epochs": passes * base.epochs}
            tried = base.model_copy(update=changes)
            record, own = self.trial(len(records) + 1, tried, answers)
            records.append(record)
            if record.low is not None and record.low > EPSILON:
                best, answers, place = tried, own, len(records) - 1
        return [replace(record, is_taken=number == place) for number, record in enumerate(records)]

    def trial(
        self, number: int, optimizer: TrainingConfig, best: list[Prediction] | None = None
    ) -> tuple[TrialRecord, list[Prediction]]:
        """One trial, and its answers. ``best``: the answers of the best one before it."""
        method, data = METHODS[self.taught.method], self.taught.data
        name = f"{method.name}-trial-{number}"
        n_replay = n_replayed(len(self.rows), data.config) if self.taught.replayed else 0
        steps = n_steps(len(self.rows) + n_replay, optimizer)
        how = f"learning rate {optimizer.learning_rate:g}, {steps} steps"
        what = f"trial {number} of {method.name}, {how}"
        adapter = train_on(
            self.models, self.stages, f"{FOLDER}/{name}", what, optimizer, self.rows, self.taught.replayed
        )
        system = System(name, adapter, method.asked, states_sureness=method.states_sureness)
        answers = answer_questions(data, self.models, self.stages, system, self.asked, FOLDER)
        answers = [row for row in answers if row.id in self.initial]
        initial = {row.id: self.initial[row.id] for row in answers}
        ahead = None
        if best:
            own, before = on_common(name, {name: answers, "before": best}).values()
            ahead = lead(own, before, initial, data.config.seed)
        notes = (self.stages.notes[f"{FOLDER}/{place}"] for place in (name, f"{self.asked.title}/{name}"))
        record = TrialRecord(
            method=method.name,
            learning_rate=optimizer.learning_rate,
            epochs=optimizer.epochs,
            steps=steps,
            of_steps=self.of_steps,
            n=len(answers),
            **asdict(standing(answers, initial)),
            lead=ahead.difference if ahead else None,
            low=ahead.low if ahead else None,
            high=ahead.high if ahead else None,
            seconds=round(sum(own["seconds"] for own in notes), 1),
        )
        return record, answers


def _parts(data: RunData, rows: Sequence[WeightedExample]) -> tuple[QuestionSet, list[str]]:
    """Training questions that no trial is trained on, and the ids of what may be taught, in an order by the seed. A
    question that stands twice is on one side only."""
    order = Random(f"trials {data.config.seed}")
    ids = sorted(data.questions)
    asked = order.sample(ids, min(MOST_QUESTIONS, len(ids) // 2))
    words = {wording(data.questions[name]) for name in asked}
    others = sorted({row.example.id for row in rows if wording(data.taught[row.example.id]) not in words})
    order.shuffle(others)
    return QuestionSet(ASKED, [data.questions[name] for name in asked]), others


def _drawn(rows: Sequence[WeightedExample], ids: Sequence[str], n: int) -> list[WeightedExample]:
    """At most n rows: all of the first ids, in the order of ``rows``."""
    each, drawn, so_many = Counter(row.example.id for row in rows), set[str](), 0
    for name in ids:
        so_many += each[name]
        if so_many > n:
            break
        drawn.add(name)
    return [row for row in rows if row.example.id in drawn]


def _passes(epochs: float) -> str:
    return f"{epochs:.3g} pass{'' if epochs == 1 else 'es'}"


def _in_words(found: Sequence[TrialRecord], best: TrialRecord) -> str:
    said = (
        f"{best.method}: {len(found)} trials of learning rate and passes, the first of {found[0].steps} of "
        f"{best.of_steps} steps; asked {best.n} training questions that they were not trained on"
    )
    how = f"learning rate {best.learning_rate:g}, {_passes(best.epochs)}"
    if best.lead is None:
        return f"{said}: no other setting is better by more than chance, so the config's own stays ({how})"
    by = percent_with_interval(best.lead, best.low, best.high)
    return f"{said}: {how} is taken, whose THS over all thresholds is {by} above that of the best before it"
