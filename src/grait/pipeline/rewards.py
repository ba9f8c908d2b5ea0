"""After a method's tuning, for those that go on with rewards: the tuned model's samples, judged, and what they teach.

In every form, beside the same replay as other trainings. The samples of a step are those of the weights as they are
then, so transformers draws them, whatever ``inference.engine`` is. A killed training goes on at its last checkpoint.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from grait.config import Config
from grait.judging.judges import ToJudge
from grait.methods.catalog import METHODS
from grait.methods.truthrl import LEARNING_RATE_SHARE, REWARDS, SAMPLES
from grait.model.answers import Shown, by_form
from grait.model.common_prefix import keeping_modes
from grait.model.completions import TokenizedExample
from grait.model.forms import forms_of
from grait.model.inference import InferenceEngine
from grait.pipeline.data import RunData
from grait.pipeline.judging import judge_key
from grait.pipeline.knowledge import longest_sample
from grait.pipeline.models import Models, model_key
from grait.pipeline.replay import Replayed, n_replayed, replay_examples, training_key
from grait.pipeline.stages import Notes, Stages, digest, left_out
from grait.pipeline.training import plan_training, save_adapter
from grait.pipeline.work import ANSWER_TOKENS, FORWARD_AND_BACKWARD, SetSize, StagePlan, Work
from grait.records import KnowledgeState, Outcome
from grait.runtime import progress
from grait.runtime.artifacts import Stage, write_json
from grait.training.examples import WeightedExample, digest_of
from grait.training.sft import n_steps, train


def rewarding(
    data: RunData,
    models: Models,
    stages: Stages,
    method: str,
    tuned: Stage,
    states: Sequence[KnowledgeState],
    replayed: Replayed | None,
) -> Stage:
    """The adapter that learned from rewards of its own samples, begun at ``tuned``; ``rewards.json``: their mean in
    each step."""
    config, forms, new_tokens = data.config, data.prompts.forms, longest_sample(data.config)
    questions = [data.questions[state.id] for state in states]
    asked = [
        Shown(question.id, form.name if len(forms) > 1 else "", data.prompts.prompt(question, "refuse", form))
        for form in forms
        for question in questions
    ]
    rows = [
        # As long as the longest sample.
        WeightedExample(TokenizedExample(row.id, row.prompt.token_ids, (0,) * new_tokens), 1.0, row.form)
        for row in asked
    ]
    examples = [*rows, *replay_examples(config, replayed, rows)]
    resolved = config.training.resolved(len(examples))
    optimizer = resolved.model_copy(update={"learning_rate": LEARNING_RATE_SHARE * resolved.learning_rate})
    key = {
        "model": model_key(config),
        **judge_key(config),
        **data.prompts.key,
        "begun_at": tuned.fingerprint,
        "method": method,
        "asked": digest_of(rows),
        "questions": digest(questions),
        "samples": SAMPLES,
        "training": optimizer.model_dump(exclude={"micro_batch_size", "methods", "max_steps"}),
        "seed": config.seed,
        **training_key(config, replayed),
    }
    stage = Stage(stages.folder / "adapters" / method, key)

    def compute(folder: Path) -> Notes:
        road = models.roads().training
        with (
            models.adapted(tuned, is_trainable=True) as model,
            progress.bar(method, n_steps(len(examples), optimizer), "steps") as advance,
        ):
            log = train(
                model,
                examples,
                optimizer,
                pad_token_id=models.pad_token_id,
                seed=config.seed,
                advance=advance,
                resume=stage.unfinished(),
                road=road,
                on_policy=_Sampler(data, models, method, asked, new_tokens),
            )
            save_adapter(model, folder, log.adapter)
        write_json(folder / "losses.json", log.losses)
        write_json(folder / "rewards.json", log.rewards)
        return left_out(method, log.non_finite)

    each = f" in {len(forms)} forms" if len(forms) > 1 else ""
    stages.once(
        f"3/4 Training: {method} on rewards of its own answers to {len(questions)} questions{each}", stage, compute
    )
    return stage


class _Sampler:
    """An ``OnPolicy``: samples of what is asked, each with its share of the gradient; other rows stay as they are."""

    def __init__(self, data: RunData, models: Models, method: str, asked: Sequence[Shown], new_tokens: int) -> None:
        self.data, self.models, self.new_tokens = data, models, new_tokens
        self.advantages = METHODS[method].advantages
        self.asked = {(row.id, row.form): row for row in asked}

    def __call__(
        self, model: Any, rows: Sequence[WeightedExample], step: int
    ) -> tuple[list[WeightedExample], float | None]:
        assert self.advantages is not None
        asked = [self.asked.get((row.example.id, row.form)) for row in rows]
        found = [row for row, shown in zip(rows, asked, strict=True) if shown is None]
        groups = self._samples(model, [shown for shown in asked if shown], step)
        verdicts = iter(self._judged(groups))
        rewards = list[float]()
        for shown, own in groups:
            judged = [(tokens, verdict) for tokens in own if (verdict := next(verdicts)) is not None]
            outcomes = [outcome for _, outcome in judged]
            rewards += [REWARDS[outcome] for outcome in outcomes]
            for (tokens, _), advantage in zip(judged, self.advantages(outcomes), strict=True):
                if advantage:
                    found.append(self._example(shown, tokens, advantage / len(judged)))
        return found, sum(rewards) / len(rewards) if rewards else None

    def _example(self, shown: Shown, tokens: list[int], weight: float) -> WeightedExample:
        """A sample that ended has the end token that tuning teaches, whichever of them it was."""
        end = [self.data.prompts.end_id(shown.prompt.is_chat)] if len(tokens) < self.new_tokens else []
        example = TokenizedExample(shown.id, shown.prompt.token_ids, (*tokens, *end))
        return WeightedExample(example, weight, shown.form)

    def _judged(self, groups: Sequence[tuple[Shown, list[list[int]]]]) -> list[Outcome | None]:
        questions, decode = self.data.questions, self.data.prompts.decode
        outputs = [ToJudge(questions[shown.id], decode(tokens)) for shown, own in groups for tokens in own]
        return self.data.judge(outputs) if outputs else []

    def _samples(self, model: Any, asked: Sequence[Shown], step: int) -> list[tuple[Shown, list[list[int]]]]:
        config, prompts, models = self.data.config, self.data.prompts, self.models
        found = list[tuple[Shown, list[list[int]]]]()
        with keeping_modes(model):
            model.eval()
            engine = InferenceEngine(model, models.pad_token_id, config.tokens_per_batch, road=models.inference_road)
            for part in by_form(asked):
                samples = engine.generate(
                    [shown.prompt.token_ids for shown in part],
                    [f"{shown.id}\0{shown.form}\0{step}" for shown in part],
                    n=SAMPLES,
                    temperature=1.0,
                    max_new_tokens=self.new_tokens,
                    end_token_ids=prompts.end_token_ids(part[0].prompt.is_chat),
                    seed=config.seed,
                )
                found += zip(part, samples, strict=True)
        return found


def plan_rewards(config: Config, training: SetSize, method: str) -> StagePlan:
    """The most that ``rewarding`` costs: a question whose samples are all of one kind is not trained on."""
    groups = training.count.times(len(forms_of(config.prompt)))
    plan = plan_training(config, training, method, groups.n)
    seen = groups.or_per * config.training.resolved(groups.or_per + n_replayed(groups.or_per, config)).epochs
    more = (SAMPLES - 1) * seen  # one of each is planned
    step = min(config.training.batch_size, groups.or_per)
    sampled = Work.generating(
        step, training.prompt_tokens, longest_sample(config), config.tokens_per_batch, SAMPLES
    ).times(seen / step)
    trained = Work(
        trained_tokens=more * (training.prompt_tokens + ANSWER_TOKENS - 1),
        trained_positions=more * ANSWER_TOKENS,
        passes=FORWARD_AND_BACKWARD * more / config.training.micro_batch_size,
    )
    does = f"{method}: {SAMPLES} samples of each question, right over refused over wrong"
    return replace(plan, name=f"rewards of {method}", does=does, work=plan.work + sampled + trained)
