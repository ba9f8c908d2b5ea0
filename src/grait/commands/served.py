"""A run's tuned model behind a server: set up to be asked, measured as its clients have it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from math import nan
from pathlib import Path
from typing import Any

from grait.commands.evaluate import ModelEvaluation, about_models, common, finish, initial_answers, label
from grait.commands.finished import DialledRun
from grait.config import Config, as_config
from grait.errors import ArtifactError
from grait.methods.catalog import INIT_BASIC
from grait.model.answers import BothAnswers
from grait.model.engine import Engine
from grait.model.inference import InferenceEngine
from grait.model.served import ServedEngine, ServedModel, find_out, most_seconds
from grait.model.server import Address, Server
from grait.pipeline.bench import served_replies
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import QuestionSet
from grait.pipeline.models import Models
from grait.pipeline.predict import judged, with_verdict
from grait.pipeline.results import SideEffects
from grait.pipeline.stages import Stages, alone
from grait.records import Prediction, Question
from grait.runtime import progress
from grait.runtime.artifacts import Stage, fingerprint
from grait.runtime.journal import Journal

FIRST_QUESTION = "What is the capital of France?"
"""By which is found out what a server can do."""

Here = tuple[Engine, AbstractContextManager[object]]
"""The served model in this process, and what is held to ask it."""


def served_model(run: DialledRun, server: Server, load: Callable[[], Here], is_all: bool = False) -> ServedModel:
    """A run's model behind a server. ``load``: called where the server lacks what the dials take. ``is_all``: all is
    taken that any dial could. Raises ServerError when the server cannot be asked."""
    prompts, config = run.data.prompts, run.data.config
    prompt = prompts.prompt(Question("", FIRST_QUESTION, ("",)), "refuse")
    refusal = prompts.completion(prompt, run.refusal).token_ids
    progress.note(f"{server.address.url}: asking what it can do, for at most {most_seconds(server):g} s a question")
    abilities = find_out(server, prompts, prompt, refusal, config.evaluation.max_new_tokens)
    dials = [*run.dials.forms.values()] if run.dials else []
    takes_refusal = is_all or any(dial.takes_refusal for dial in dials)
    is_enough = abilities.has_echo or (abilities.has_logprobs and not takes_refusal)
    if is_enough or not (dials or is_all):
        return ServedModel(server, abilities, prompts)
    progress.note(
        f"{server.address.url} {abilities.lacks}: the run's model is loaded here, too, and tells the dial what is "
        "missing"
    )
    engine, held = load()
    return ServedModel(server, abilities, prompts, engine, held)


@contextmanager
def asking(
    data: RunData, models: Models, method: str, adapter: Stage, address: Address
) -> Iterator[tuple[Models, Stages]]:
    """Models of which the tuned one is asked where it is served, and the stages of its answers. Initial answers have to
    be there before: the adapter may be on the model meanwhile."""
    name = fingerprint([address.url, address.model, adapter.fingerprint])[:12]
    stages = Stages(data.folder / "served" / name)
    with ExitStack() as stack:
        server = Server(address)
        stack.callback(server.close)
        longest = models.longest

        def load() -> Here:
            model, road = stack.enter_context(models.adapted(adapter)), models.inference_road
            engine = InferenceEngine(model, models.pad_token_id, data.config.tokens_per_batch, road=road)
            return engine, models.alone

        served = served_model(DialledRun(data, method, None), server, load, is_all=True)
        models.served = ServedEngine(served, longest, Journal(stages.folder / "answers.jsonl"))
        try:
            yield models, stages
        finally:
            models.served = None


def evaluate_served(
    config: Config | dict[str, Any] | str | Path, address: Address, *, shots: Sequence[Question] = ()
) -> ModelEvaluation:
    """Ask what is served ``evaluation.datasets``, as a client would, and hold it against the initial model.

    ``config``: as of ``evaluate``; ``model`` is the initial one, asked here. Questions are put in the main form, chat
    forms by chat completions. There are no log-probabilities, so no AUROC. What is answered is kept in ``config.out``;
    raises ServerError at the end for what is not, and then nothing is measured.
    """
    config = as_config(config)
    if (Path(config.out) / "config.json").exists():
        raise ArtifactError(f"{config.out}: holds a run of its own; name another folder (out)")
    data = RunData(config, has_training=False, given_shots=tuple(shots))
    models, server = Models(data), Server(address)
    name = label(address.model, None)
    with alone(data, models) as stages:
        journal = Journal(stages.folder / "served" / f"{fingerprint([address.url, address.model])[:12]}.jsonl")
        try:
            served = {
                title: _asked(data, server, QuestionSet(title, own), journal) for title, own in data.test_sets.items()
            }
        finally:
            server.close()
        predictions = common(initial_answers(data, models, stages), {name: served})
        about = {"served": {"url": address.url, "model": address.model}, "adapter": None}
        about |= about_models(data, data, stages) | {"asked": {INIT_BASIC: "query", name: "refuse"}}
        return finish(data, stages.folder, predictions, (SideEffects(), []), [], about, [])


def _asked(data: RunData, server: Server, asked: QuestionSet, journal: Journal) -> list[Prediction]:
    """The served answers, judged; none has likelihoods."""
    replies = served_replies(data.config, data, None, server, asked, journal)
    answers = [BothAnswers(text, text, nan, nan, nan) for _, text in replies]
    rows = judged(asked.questions, answers, data.judge, data.config.prompt.refusing)
    return with_verdict(rows, asked.title)[0]
