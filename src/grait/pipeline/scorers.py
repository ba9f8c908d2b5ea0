"""After the dials: systems that answer as the initial model does, and refuse by a score of their own and a threshold.

Each score is taken of all calibration and test questions, and each threshold is set on the calibration questions for
the highest THS, as every dial of a run is. Nothing of a test question decides a score or a threshold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grait.config import Config
from grait.dial.stored import with_dial
from grait.dial.threshold import Array, refusal_score
from grait.errors import ModelError
from grait.judging.judges import ToJudge
from grait.knowledge.conflict import hidden_states
from grait.methods import conftuner, p_true
from grait.methods.catalog import INIT_BASIC, METHODS
from grait.methods.logistic import Validated
from grait.methods.probe import fit_probe
from grait.methods.text_floor import fit_text, ngrams
from grait.model.common_prefix import common_prefix_length
from grait.model.completions import TokenizedExample
from grait.model.load import resolve_device
from grait.model.prompts import with_options
from grait.model.sentences import PACKAGE, find_folder, load_embedder
from grait.pipeline.data import RunData
from grait.pipeline.dials import ScoreDial, outcomes_of, why_no_dial
from grait.pipeline.models import Models, engine_key, model_key
from grait.pipeline.replay import Replayed, replay_examples
from grait.pipeline.results import Answered
from grait.pipeline.stages import Notes, Stages
from grait.pipeline.training import plan_training, train_on
from grait.pipeline.work import SetSize, StagePlan, Work
from grait.records import KnowledgeState, Prediction, Question, QuestionScore
from grait.runtime import progress
from grait.runtime.artifacts import Stage, fingerprint, read_rows, write_rows
from grait.training.examples import Choice, WeightedExample

FILE = "scores.parquet"

MOST_STATES = 4096
"""Training questions whose hidden states are kept at once, drawn by the seed: of every layer 4 bytes a number."""

ANSWER_PROBABILITY, P_TRUE, PROBE, TEXT_FLOOR = "answer-probability", "p-true", "probe", "text-floor"
CONFTUNER = "conftuner"

Asked = Mapping[str, Sequence[Question]]
"""Questions that the initial model answered, by the title of their set."""


def score_questions(
    data: RunData,
    models: Models,
    stages: Stages,
    states: Sequence[KnowledgeState],
    predictions: Answered,
    replayed: Replayed | None,
) -> None:
    """The scores of ``evaluation.scorers``, in files. ``states``: of the training questions, by the main query.
    ``replayed``: beside the examples of what trains."""
    names = data.config.evaluation.scorers
    if not names:
        return
    if data.calibration is None:
        progress.note(f"{', '.join(names)}: no calibration questions, so no threshold and no result")
        return
    answered = _answered(data, predictions)
    by_id = {question.id: question for question in data.calibration_questions(data.calibration)}
    known = {title: {question.id: question for question in own} for title, own in data.test_sets.items()}
    asked = {
        title: [known.get(title, by_id)[row.id] for row in rows] for title, rows in answered.items()
    }  # without those that are too long
    if P_TRUE in names:
        _p_true(data, models, stages, asked, answered)
    labelled = [state for state in states if state.label != "dropped"]
    if PROBE in names:
        _probe(data, models, stages, labelled, asked)
    if TEXT_FLOOR in names:
        _text_floor(data, stages, labelled, asked)
    if CONFTUNER in names:
        _conftuner(data, models, stages, states, asked, answered, replayed)


def with_scorers(data: RunData, predictions: Answered) -> dict[str, dict[str, list[Prediction]]]:
    """The test sets as each scorer has them, with its threshold; empty where none can be set."""
    names = data.config.evaluation.scorers
    if not names or data.calibration is None:
        return {}
    answered = _answered(data, predictions)
    calibration = answered.pop(data.calibration.title)
    initial = outcomes_of(calibration)
    if why_not := why_no_dial(data, initial):
        progress.note(f"{', '.join(names)}: no threshold is set: {why_not}")
        return {}
    found: dict[str, dict[str, list[Prediction]]] = {title: {} for title in answered}
    for name in names:
        of = _scores(data, name, {data.calibration.title: calibration, **answered})
        dial = ScoreDial.of(calibration, of[data.calibration.title], initial)
        for title, rows in answered.items():
            found[title][with_dial(name)] = dial.applied(data, title, rows, of[title])
    return found


def plan_scorers(config: Config, training: SetSize, others: Sequence[SetSize]) -> list[StagePlan]:
    """The cost of ``score_questions``. ``others``: test and calibration questions."""
    plans = []
    for name in config.evaluation.scorers:
        sets = {PROBE: [training, *others], P_TRUE: others, CONFTUNER: others}.get(name, [])
        tokens = sum(own.count.or_per * own.query_tokens for own in sets)
        work = Work(prompt_tokens=tokens)
        if name == CONFTUNER:
            plans.append(plan_training(config, training, name, training.count.n))
        plans.append(StagePlan(f"scorer {name}", METHODS[name].summary, training.count, work))
    return plans


def _answered(data: RunData, predictions: Answered) -> dict[str, list[Prediction]]:
    """The initial model's answers: to the calibration questions, then to the test sets."""
    assert data.calibration is not None
    title = data.calibration.title
    path = data.folder / "calibration" / title / INIT_BASIC / "predictions.parquet"
    return {title: read_rows(path, Prediction)} | {test: own[INIT_BASIC] for test, own in predictions.items()}


def _scores(data: RunData, name: str, answered: Mapping[str, Sequence[Prediction]]) -> dict[str, Array]:
    """A scorer's scores of each set, in the order of the answers."""
    if name == ANSWER_PROBABILITY:
        return {title: np.array([refusal_score(row, "answer") for row in rows]) for title, rows in answered.items()}
    kept = read_rows(data.folder / "scorers" / name / FILE, QuestionScore)
    scores = {(row.dataset, row.id): row.score for row in kept}
    return {title: np.array([scores[title, row.id] for row in rows]) for title, rows in answered.items()}


def _stage(
    stages: Stages, name: str, key: dict[str, Any], asked: Asked, compute: Callable[[], tuple[list[Array], Notes]]
) -> None:
    """``compute``: the scores of each set, in the order of ``asked``, and what there is to tell."""
    stage = Stage(stages.folder / "scorers" / name, key)

    def write(folder: Path) -> Notes:
        found, notes = compute()
        rows = [
            QuestionScore(title, question.id, float(score))
            for (title, own), scores in zip(asked.items(), found, strict=True)
            for question, score in zip(own, scores, strict=True)
        ]
        write_rows(folder / FILE, rows)
        return notes

    stages.once(f"Scores: {name}", stage, write)


@dataclass(frozen=True)
class Reply:
    """A prompt with an answer in it, and the texts that the model may reply, each up to the token that tells it apart.
    ``prompt_ids``: with what all of these begin with."""

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]


def _reply(data: RunData, words: str, texts: Sequence[str]) -> Reply:
    """Raises ModelError where the tokenizer begins two of the texts alike."""
    prompt = data.prompts.conversation([{"role": "user", "content": words}])
    replies = [data.prompts.completion(prompt, text).token_ids for text in texts]
    n_shared = common_prefix_length(replies)
    found = Reply((*prompt.token_ids, *replies[0][:n_shared]), tuple(reply[n_shared] for reply in replies))
    if len(set(found.token_ids)) < len(texts):
        raise ModelError(f"the tokenizer begins several of {', '.join(texts)} with the same token")
    return found


def _of_answers(
    data: RunData,
    asked: Asked,
    answered: Mapping[str, Sequence[Prediction]],
    request: Callable[[str, str], str],
    texts: Sequence[str],
) -> list[Reply]:
    """The initial model's answers to all questions, set by set, as ``request`` shows them."""
    return [
        _reply(data, request(with_options(question), row.suppressed_output), texts)
        for title, own in asked.items()
        for question, row in zip(own, answered[title], strict=True)
    ]


def _scored_replies(
    data: RunData,
    models: Models,
    stages: Stages,
    name: str,
    asked: Asked,
    replies: Sequence[Reply],
    score: Callable[[Sequence[float]], float],
    adapter: Stage | None = None,
) -> None:
    """The scores by the log-probabilities of each reply's tokens."""
    key = {
        "model": model_key(data.config),
        **engine_key(data.config),
        **({"adapter": adapter.fingerprint} if adapter else {}),
        "prompts": fingerprint([[reply.prompt_ids, reply.token_ids] for reply in replies]),
        "questions": _ids(asked),
    }

    def compute() -> tuple[list[Array], Notes]:
        waiting, found = iter(replies), []
        with models.engine(adapter) as engine, progress.bar(name, len(replies), "answers") as advance:
            for questions in asked.values():  # each set apart: rounding depends on what is in a batch
                own = list(islice(waiting, len(questions)))
                texts = [[(token,) for token in reply.token_ids] for reply in own]
                prompts = [reply.prompt_ids for reply in own]
                scored = engine.completion_logprobs(prompts, texts, advance=advance) if own else []
                found.append(np.array([score([value for (value,) in row]) for row in scored]))
        return found, {}

    _stage(stages, name, key, asked, compute)


def _p_true(
    data: RunData, models: Models, stages: Stages, asked: Asked, answered: Mapping[str, Sequence[Prediction]]
) -> None:
    replies = _of_answers(data, asked, answered, p_true.request, p_true.VERDICTS)
    _scored_replies(data, models, stages, P_TRUE, asked, replies, p_true.refusal_score)


def _conftuner(
    data: RunData,
    models: Models,
    stages: Stages,
    states: Sequence[KnowledgeState],
    asked: Asked,
    answered: Mapping[str, Sequence[Prediction]],
    replayed: Replayed | None,
) -> None:
    """Trained on the most frequent sample of each training question, right or wrong."""
    verdicts = data.judge([ToJudge(data.questions[state.id], state.answer) for state in states])
    examples = []
    for state, verdict in zip(states, verdicts, strict=True):
        if verdict is None:
            continue
        question = data.questions[state.id]
        reply = _reply(data, conftuner.request(with_options(question), state.answer), conftuner.DIGITS)
        is_right = verdict == "correct"
        example = TokenizedExample(state.id, reply.prompt_ids, reply.token_ids[:1])
        examples.append(WeightedExample(example, 1.0, choice=Choice(reply.token_ids, conftuner.costs(is_right))))
    optimizer = data.config.training.resolved(len(examples) + len(replay_examples(data.config, replayed, examples)))
    what = f"{CONFTUNER} on {len(examples)} answers of the initial model"
    adapter = train_on(models, stages, f"scorers/{CONFTUNER}-adapter", what, optimizer, examples, replayed)
    replies = _of_answers(data, asked, answered, conftuner.request, conftuner.DIGITS)
    _scored_replies(data, models, stages, CONFTUNER, asked, replies, conftuner.refusal_score, adapter)


def _probe(data: RunData, models: Models, stages: Stages, labelled: Sequence[KnowledgeState], asked: Asked) -> None:
    ordered = sorted(labelled, key=lambda state: state.id)
    taken = Random(data.config.seed).sample(ordered, min(MOST_STATES, len(ordered)))
    prompts = [
        [data.prompts.query(question).token_ids for question in own]
        for own in ([data.questions[state.id] for state in taken], *asked.values())
    ]
    key = {
        "model": model_key(data.config),
        "labels": fingerprint([[state.id, state.label] for state in taken]),
        "prompts": fingerprint(prompts),
        "questions": _ids(asked),
        "seed": data.config.seed,
    }

    def compute() -> tuple[list[Array], Notes]:
        settings = models.pad_token_id, data.config.tokens_per_batch, models.inference_road
        training, *others = prompts
        probe = fit_probe(hidden_states(models.initial, training, *settings).numpy(), _unknown(taken), data.config.seed)
        found = [probe.scores(hidden_states(models.initial, own, *settings).numpy()) for own in others]
        return found, {"layer": probe.layer} | _told(PROBE, f"layer {probe.layer}, ", probe.found, len(taken))

    _stage(stages, PROBE, key, asked, compute)


def _text_floor(data: RunData, stages: Stages, labelled: Sequence[KnowledgeState], asked: Asked) -> None:
    of_training = [with_options(data.questions[state.id]) for state in labelled]
    texts = [of_training, *([with_options(question) for question in own] for own in asked.values())]
    has_embeddings = find_folder() is not None
    read = "sentence embeddings" if has_embeddings else "n-grams of characters"
    key = {
        "features": read,
        "texts": fingerprint(texts),
        "labels": fingerprint([state.label for state in labelled]),
        "questions": _ids(asked),
        "seed": data.config.seed,
    }

    def compute() -> tuple[list[Array], Notes]:
        if has_embeddings:
            embed = load_embedder(resolve_device(data.config.model.device), data.config.tokens_per_batch)
            features = [embed(own).double().numpy() for own in texts]
        else:
            features = [ngrams(own) for own in texts]
            progress.note(f"{TEXT_FLOOR}: {read}; with the package {PACKAGE} it reads sentence embeddings")
        training, *others = features
        model, found = fit_text(training, _unknown(labelled), data.config.seed)
        return [model.probabilities(own) for own in others], _told(TEXT_FLOOR, f"{read}, ", found, len(labelled))

    _stage(stages, TEXT_FLOOR, key, asked, compute)


def _ids(asked: Asked) -> str:
    return fingerprint([[title, [question.id for question in own]] for title, own in asked.items()])


def _unknown(states: Sequence[KnowledgeState]) -> NDArray[np.bool_]:
    return np.array([state.label == "idk" for state in states])


def _told(name: str, how: str, found: Validated, n: int) -> Notes:
    progress.note(
        f"{name}: {how}ridge {found.ridge:g}; AUROC {found.auroc:.3f} in cross-validation on {n} training questions"
    )
    return {"ridge": found.ridge, "auroc": found.auroc, "n": n}
