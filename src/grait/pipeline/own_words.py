"""Part of stage 1, where forms are given: the initial model's own answers to the training questions in chat forms."""

from collections.abc import Sequence
from pathlib import Path

from grait.config import Config
from grait.knowledge.own_words import OwnAnswers, in_own_words, known_in_any_form
from grait.methods.selection import with_label
from grait.model.forms import Form, built_in, form_key, forms_of
from grait.pipeline.data import RunData
from grait.pipeline.judging import judge_key
from grait.pipeline.models import Models, engine_key, model_key
from grait.pipeline.parts import stage_rows
from grait.pipeline.stages import Notes, Stages, digest
from grait.pipeline.work import SetSize, StagePlan, Work
from grait.records import KnowledgeState, OwnWords
from grait.runtime import progress
from grait.runtime.artifacts import Stage, read_rows, write_rows

FOLDER, FILE = "own_words", "answers.parquet"


def queried_forms(config: Config) -> tuple[Form, ...]:
    """The built-in forms in which the model is asked for its own words; none without ``prompt.forms``. One stands for
    all chat forms without an instruction."""
    if not (config.prompt.forms and config.prompt.own_words):
        return ()
    names = dict.fromkeys(form.own_words for form in forms_of(config.prompt) if form.own_words)
    return tuple(built_in(name, config.prompt) for name in names)


def own_words(data: RunData, models: Models, stages: Stages, states: Sequence[KnowledgeState]) -> OwnAnswers:
    """The model's answers to the free-text questions of ``states`` in each of ``queried_forms``."""
    questions = [data.questions[state.id] for state in states if not data.questions[state.id].choices]
    if not questions:
        return {}
    config, found = data.config, {}
    for form in queried_forms(config):
        knowledge = config.knowledge
        key = {
            "model": model_key(config),
            **engine_key(config),
            **judge_key(config),
            **data.prompts.key,
            "asked": form.name,
            **form_key(form),
            "knowledge": knowledge.model_dump(include={"own_samples", "temperature", "own_max_new_tokens"}),
            "seed": config.seed,
            "questions": digest(questions),
        }
        stage = Stage(stages.folder / FOLDER / form.name, key)

        def compute(folder: Path, form: Form = form, stage: Stage = stage) -> Notes:
            with models.engine(None) as engine:
                rows = stage_rows(
                    stage,
                    OwnWords,
                    questions,
                    lambda part, advance: in_own_words(
                        engine,
                        data.prompts,
                        part,
                        form,
                        config.knowledge,
                        seed=config.seed,
                        advance=advance,
                        judge=data.judge,
                    ),
                    bar=f"own words, {form.name}",
                )
            write_rows(folder / FILE, rows)
            return {}

        stages.once(f"1/4 Knowledge: the model's own words in the form {form.name}", stage, compute)
        found[form.name] = _read(stage.folder)
    return found


def stored_own_words(data: RunData) -> OwnAnswers:
    """The same from a finished run. Raises ArtifactError when it is not readable."""
    folders = [data.folder / FOLDER / form.name for form in queried_forms(data.config)]
    return {folder.name: _read(folder) for folder in folders if folder.exists()}


def known_at_best(data: RunData, states: Sequence[KnowledgeState], own: OwnAnswers) -> list[KnowledgeState]:
    """``known_in_any_form``, and says how many that makes."""
    found = known_in_any_form(states, own, data.config.knowledge.correctness_threshold, data.with_text)
    if own:
        n_ik, n_idk = len(with_label(found, "ik")), len(with_label(found, "idk"))
        progress.note(f"in the best of {1 + len(own)} forms: {n_ik} known (ik), {n_idk} unknown (idk)")
    return found


def plan_own_words(config: Config, training: SetSize) -> list[StagePlan]:
    """The cost of ``own_words``."""
    forms, samples = queried_forms(config), config.knowledge.own_samples
    if not forms or training.has_options:
        return []
    count, per, answers = training.count, training.count.per("training questions"), training.count.times(samples)
    new_tokens = config.knowledge.own_max_new_tokens
    work = Work.generating(count.or_per, training.prompt_tokens, new_tokens, config.tokens_per_batch, samples)
    does = "{} samples of each question in the form {}: what the model says in its own words"
    return [
        StagePlan(f"own words {form.name}", does.format(samples, form.name), count, work, samples=answers, per=per)
        for form in forms
    ]


def _read(folder: Path) -> dict[str, OwnWords]:
    return {row.id: row for row in read_rows(folder / FILE, OwnWords)}
