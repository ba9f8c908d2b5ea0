"""After a method's tuning, for those that go on with preferences: pairs of the tuned model's own samples, and DPO.

In the main form; without replay, since the loss itself keeps the model near where it began.
"""

from collections.abc import Sequence
from pathlib import Path

from peft import get_peft_model_state_dict

from grait.config import Config
from grait.errors import ConfigError, KnowledgeError
from grait.judging.judges import ToJudge
from grait.methods.dpo import BETA, LEARNING_RATE_SHARE, Preference, preferences
from grait.model.completions import TokenizedExample
from grait.pipeline.data import RunData
from grait.pipeline.judging import judge_key
from grait.pipeline.models import Models, engine_key, model_key
from grait.pipeline.stages import Notes, Stages
from grait.pipeline.training import save_adapter
from grait.pipeline.work import FORWARD_AND_BACKWARD, SetSize, StagePlan, Work
from grait.records import KnowledgeState
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, fingerprint, read_rows, write_json, write_rows
from grait.training.preferences import Pair, train_preferences
from grait.training.sft import n_steps


def check_one_process(methods: Sequence[str]) -> None:
    """ConfigError, before anything is trained, where several processes would share the training."""
    if methods and processes.count() > 1:
        raise ConfigError(f"{', '.join(methods)}: trained by one process only; found {processes.count()}")


def preferring(
    data: RunData, models: Models, stages: Stages, method: str, tuned: Stage, states: Sequence[KnowledgeState]
) -> Stage:
    """The adapter that prefers right to refused to wrong, begun at ``tuned``. KnowledgeError without any pair."""
    found = _pairs(data, models, stages, method, tuned, states)
    config = data.config.training.resolved(len(found))
    optimizer = config.model_copy(update={"learning_rate": LEARNING_RATE_SHARE * config.learning_rate})
    key = {
        "model": model_key(data.config),
        "begun_at": tuned.fingerprint,
        "pairs": fingerprint([[row.id, row.preferred, row.rejected] for row in found]),
        "beta": BETA,
        "training": optimizer.model_dump(exclude={"micro_batch_size", "methods", "max_steps"}),
        "seed": data.config.seed,
    }
    stage = Stage(stages.folder / "adapters" / method, key)

    def compute(folder: Path) -> Notes:
        pairs = [_tokenized(data, row) for row in found]
        with (
            models.adapted(tuned, is_trainable=True) as model,
            progress.bar(method, n_steps(len(pairs), optimizer), "steps") as advance,
        ):
            losses = train_preferences(
                model,
                pairs,
                optimizer,
                beta=BETA,
                pad_token_id=models.pad_token_id,
                seed=data.config.seed,
                advance=advance,
            )
            save_adapter(model, folder, get_peft_model_state_dict(model, save_embedding_layers=False))
        write_json(folder / "losses.json", losses)
        return {"n_pairs": len(pairs)}

    stages.once(f"3/4 Training: {method} on {len(found)} preferences", stage, compute)
    return stage


def _pairs(
    data: RunData, models: Models, stages: Stages, method: str, tuned: Stage, states: Sequence[KnowledgeState]
) -> list[Preference]:
    config = data.config.knowledge
    questions = [data.questions[state.id] for state in states]
    prompts = [data.prompts.prompt(question, "refuse") for question in questions]
    key = {
        "adapter": tuned.fingerprint,
        **engine_key(data.config),
        **judge_key(data.config),
        "prompts": fingerprint([prompt.token_ids for prompt in prompts]),
        "references": fingerprint([question.answers for question in questions]),
        "samples": [config.n_samples, config.found_temperature, config.max_new_tokens],
        "seed": data.config.seed,
    }
    stage = Stage(stages.folder / "preferences" / method, key)

    def compute(folder: Path) -> Notes:
        with models.engine(tuned) as engine, progress.bar(method, len(prompts), "questions") as advance:
            samples = engine.generate(
                [prompt.token_ids for prompt in prompts],
                [question.id for question in questions],
                n=config.n_samples,
                temperature=config.found_temperature,
                max_new_tokens=config.max_new_tokens,
                end_token_ids=data.prompts.end_token_ids(prompts[0].is_chat),
                seed=data.config.seed,
                advance=advance,
            )
        rows = []
        for question, own in zip(questions, samples, strict=True):
            texts = [data.prompts.decode(tokens) for tokens in own]
            verdicts = data.judge([ToJudge(question, text) for text in texts])
            judged = [(text, verdict) for text, verdict in zip(texts, verdicts, strict=True) if verdict is not None]
            rows += preferences(question.id, judged, data.config.prompt.first_refusal)
        write_rows(folder / "pairs.parquet", rows)
        return {}

    stages.once(f"3/4 Preferences: samples of {method}", stage, compute)
    found = read_rows(stage.folder / "pairs.parquet", Preference)
    if not found:
        raise KnowledgeError(
            f"{method}: the tuned model refuses in all samples of {len(questions)} questions, so there is nothing to "
            "prefer; teach fewer refusals (selection.n_idk)"
        )
    return found


def _tokenized(data: RunData, row: Preference) -> Pair:
    prompt = data.prompts.prompt(data.questions[row.id], "refuse")
    preferred, rejected = (
        TokenizedExample(row.id, prompt.token_ids, data.prompts.completion(prompt, text).token_ids)
        for text in (row.preferred, row.rejected)
    )
    return Pair(preferred, rejected)


def plan_preferences(config: Config, training: SetSize, method: str) -> list[StagePlan]:
    """The cost of ``preferring``: at most two pairs of each question."""
    knowledge, n = config.knowledge, training.count.or_per
    sampled = Work.generating(
        n, training.prompt_tokens, knowledge.max_new_tokens, config.tokens_per_batch, knowledge.n_samples
    )
    pairs = training.count.times(2).at_most()
    seen = 2 * pairs.or_per * config.training.resolved(pairs.or_per).epochs
    trained = Work(
        trained_tokens=seen * training.prompt_tokens,
        trained_positions=seen * knowledge.max_new_tokens,
        passes=FORWARD_AND_BACKWARD * seen / config.training.micro_batch_size,
    )
    does = f"{method}: right over refused over wrong, by the tuned model's own samples"
    return [
        StagePlan(f"samples of {method}", does, training.count, sampled, per=training.count.per("training questions")),
        StagePlan(f"preferences of {method}", does, pairs, trained, unit="pairs", per=pairs.per("pairs")),
    ]
