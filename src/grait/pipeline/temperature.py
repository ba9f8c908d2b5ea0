"""Before stage 1, where ``knowledge.temperature`` is auto: the sampling temperature, found on a few questions."""

from pathlib import Path
from random import Random

from grait.config import Config
from grait.knowledge.temperature import SAMPLES, TEMPERATURES, best_temperature, known_f1, try_temperatures
from grait.pipeline.data import RunData
from grait.pipeline.judging import judge_key
from grait.pipeline.models import Models, engine_key, model_key
from grait.pipeline.parts import stage_rows
from grait.pipeline.stages import Notes, Stages, digest
from grait.pipeline.work import SetSize, StagePlan, Work
from grait.records import Question, TemperatureTrial
from grait.runtime.artifacts import Stage, read_rows, write_rows

MOST_QUESTIONS, SHARE = 100, 4
"""At most so many questions are asked, and at most one in so many of all."""

WITHOUT_SAMPLING = 1.0
"""What no sample is drawn at; in stage keys, as it was when this was the default."""

FOLDER, FILE = "temperature", "trials.parquet"


def with_temperature(data: RunData, models: Models, stages: Stages) -> RunData:
    """The same run with a number for ``knowledge.temperature``: the config's own, or what a sample finds."""
    if data.config.knowledge.temperature != "auto":
        return data
    questions = _sample(data)
    if not questions:
        return data.at_temperature(WITHOUT_SAMPLING)
    config = data.config
    key = {
        "model": model_key(config),
        **engine_key(config),
        **judge_key(config),
        **data.prompts.key,
        "knowledge": config.knowledge.model_dump(include={"max_new_tokens"}),
        "tried": [SAMPLES, *TEMPERATURES],
        "max_new_tokens": config.evaluation.max_new_tokens,
        "seed": config.seed,
        "questions": digest(questions),
        "shots": digest(data.prompts.shots_of(questions)),
    }
    stage = Stage(stages.folder / FOLDER, key)

    def compute(folder: Path) -> Notes:
        new_tokens = max(config.knowledge.max_new_tokens, config.evaluation.max_new_tokens)
        kept, skipped = data.fitting(questions, models.longest, new_tokens, "training")
        with models.engine(None) as engine:
            rows = stage_rows(
                stage,
                TemperatureTrial,
                kept,
                lambda part, advance: try_temperatures(
                    engine,
                    data.prompts,
                    part,
                    config.knowledge,
                    answer_tokens=config.evaluation.max_new_tokens,
                    seed=config.seed,
                    advance=advance,
                    judge=data.judge,
                ),
                bar="temperature",
                groups=data.prompts.by_shots(kept),
            )
        write_rows(folder / FILE, rows)
        return {"skipped": skipped}

    stages.once("1/4 Knowledge: at which temperature?", stage, compute)
    trials = read_rows(stage.folder / FILE, TemperatureTrial)
    f1 = known_f1(trials, config.knowledge.correctness_threshold)
    found = best_temperature(f1)
    stages.tell(_in_words(trials, f1, found))
    return data.at_temperature(found)


def _sample(data: RunData) -> list[Question]:
    """The questions that are tried, drawn by the seed; none where the run samples no answers."""
    scoring = data.config.knowledge.scoring
    sampled = [
        row
        for row in data.closed_book(data.questions)
        if row.answers and (scoring == "sampling" or (scoring == "auto" and not row.choices))
    ]
    return Random(data.config.seed).sample(sampled, sample_size(len(sampled)))


def sample_size(n: int) -> int:
    """How many of so many questions are tried."""
    return min(n, MOST_QUESTIONS, max(n // SHARE, 20))


def _in_words(trials: list[TemperatureTrial], f1: list[float], found: float) -> str:
    n_right = sum(trial.outcome == "correct" for trial in trials)
    fits = ", ".join(f"{100 * value:.0f} at {at:g}" for at, value in zip(TEMPERATURES, f1, strict=True))
    said = (
        f"temperature {found:g}, found on {len(trials)} training questions, {n_right} of them answered right greedily: "
    )
    if not max(f1):
        return (
            f"{said}no label fits at any temperature, so the lowest; with a number in knowledge.temperature it is yours"
        )
    return f"{said}the highest whose labels fit these outcomes (F1 of known, in percent: {fits})"


def plan_temperature(config: Config, training: SetSize) -> list[StagePlan]:
    """The cost of ``with_temperature``."""
    knowledge, count = config.knowledge, training.count
    if knowledge.temperature != "auto" or (training.has_options and knowledge.scoring != "sampling"):
        return []
    n = sample_size(count.n) if count.n is not None else MOST_QUESTIONS
    tried = training.first(n)
    samples = SAMPLES * len(TEMPERATURES)
    batch = config.tokens_per_batch
    work = Work.generating(n, training.query_tokens, knowledge.max_new_tokens, batch, samples)
    work += Work.generating(n, training.query_tokens, config.evaluation.max_new_tokens, batch)
    at = ", ".join(f"{temperature:g}" for temperature in TEMPERATURES)
    does = f"finds the sampling temperature: {SAMPLES} samples at {at}, and greedy"
    return [StagePlan("temperature", does, tried.count, work, samples=tried.count.times(samples + 1))]
