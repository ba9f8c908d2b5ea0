"""``grait check``: in a minute, what a run would ask and teach a model, and whether it goes through all of a run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from peft import PeftModel

from grait.commands.recipe import run_config
from grait.config import Config, OptimizerSection
from grait.config.schema import EvaluationConfig
from grait.errors import GraitError, reason
from grait.influence import influence
from grait.model.completions import TokenizedExample
from grait.model.forms import Form
from grait.model.inference import InferenceEngine
from grait.model.prompt_check import PROBES, check_prompts
from grait.model.prompts import PromptFormat
from grait.pipeline.data import RunData
from grait.pipeline.models import Models
from grait.pipeline.work import SetSize
from grait.plan.costs import memory_of
from grait.plan.records import Memory
from grait.plan.size import model_size
from grait.records import Question
from grait.runtime import processes
from grait.training.examples import WeightedExample
from grait.training.sft import add_adapter, train
from grait.training.targets import adapted_layers

SHOT = Question("check-0", "Which Sea does the Po flow into?", ("the Adriatic Sea",))
"""The solved example in prompts that show some."""

NEW_TOKENS = 16


@dataclass(frozen=True)
class Token:
    """A token as text, of a prompt, its answer or the answer's end."""

    text: str
    part: Literal["prompt", "answer", "end"]


@dataclass(frozen=True)
class Trial:
    """Two examples through one part of a run. ``found``: what came of it, in words, or what went wrong."""

    part: str
    worked: bool
    found: str
    seconds: float


@dataclass(frozen=True)
class Checked:
    """What is known of a model before a run.

    ``loaded_as``: the class; ``ends``: tokens that end an answer; ``notes``: what to know of the chat template;
    ``forms``: a prompt with the refusal as its answer, by form; ``targets``: adapted layers by the last part of their
    name; ``memory``: an estimate for two short examples.
    """

    model: str
    loaded_as: str
    parameters: int
    dtype: str
    device: str
    ends: list[str]
    notes: list[str]
    forms: dict[str, list[Token]]
    targets: dict[str, int]
    memory: tuple[Memory, ...]
    trials: list[Trial]

    @property
    def works(self) -> bool:
        return all(trial.worked for trial in self.trials)


def check(config: Config | dict[str, Any] | str | Path) -> Checked:
    """Load the config's model, show what it is asked and taught, and run two examples through everything. No data.

    ``config``: as of ``run``; a model is enough. Raises a GraitError with one line for a model that cannot be loaded, a
    chat template that would teach something else, or an adapter that finds no layers. What fails afterwards is told in
    ``Checked.trials``.
    """
    config = run_config(config)
    without_data = config.model_copy(update={"evaluation": EvaluationConfig()})
    data = RunData(without_data, has_training=False, given_shots=(SHOT,) * min(1, config.prompt.n_shots))
    models, prompts = Models(data), data.prompts
    notes = check_prompts(prompts)
    model = models.initial
    size = model_size(config.model, config.lora)
    about = {
        "model": config.model.name,
        "loaded_as": type(model).__name__,
        "parameters": model.num_parameters(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "ends": [
            prompts.tokenizer.convert_ids_to_tokens(token) or f"{token}, which is no token of the tokenizer"
            for token in sorted(prompts.end_token_ids(is_chat=True))
        ],
        "forms": {form.name: _tokens(prompts, form) for form in prompts.forms},
        "memory": memory_of(config, [SetSize.counted("check", "two examples", PROBES)], size),
    }
    trials = [_tried("roads", lambda: str(models.roads()))]  # compares; what follows shows
    if trials[0].worked:
        trials.append(_tried("inference", lambda: _inference(models, prompts)))
    adapted = add_adapter(models.initial, config.lora, config.seed)
    examples = _examples(prompts)
    if trials[0].worked:
        trials += [
            _tried("gradients", lambda: _gradients(models, adapted, examples)),
            _tried("training", lambda: _training(models, adapted, examples)),
        ]
    return Checked(**about, notes=notes, targets=adapted_layers(adapted), trials=trials)


def _tokens(prompts: PromptFormat, form: Form) -> list[Token]:
    prompt = prompts.prompt(PROBES[0], "refuse", form)
    *answer, end = prompts.completion(prompt, prompts.config.first_refusal).token_ids
    parts: list[tuple[Literal["prompt", "answer", "end"], Any]] = [
        ("prompt", prompt.token_ids),
        ("answer", answer),
        ("end", [end]),
    ]
    return [Token(str(prompts.tokenizer.decode([token])), part) for part, ids in parts for token in ids]


def _examples(prompts: PromptFormat) -> list[TokenizedExample]:
    """The first question with its answer, the second with the refusal, in the main form."""
    found = []
    for question, answer in zip(PROBES, (prompts.reference(PROBES[0]), prompts.config.first_refusal), strict=True):
        prompt = prompts.prompt(question, "refuse")
        found.append(TokenizedExample(question.id, prompt.token_ids, prompts.completion(prompt, answer).token_ids))
    return found


def _tried(part: str, attempt: Callable[[], str]) -> Trial:
    start = time.monotonic()
    try:
        found, worked = attempt(), True
    except GraitError as error:
        found, worked = str(error), False
    except Exception as error:  # of a model that is run for the first time anything may go wrong
        found, worked = f"{type(error).__name__}: {reason(error)}", False
    return Trial(part, worked, " ".join(found.split()), round(time.monotonic() - start, 2))


def _inference(models: Models, prompts: PromptFormat) -> str:
    engine = InferenceEngine(models.initial, models.pad_token_id, road=models.inference_road)
    shown = [prompts.prompt(question, "refuse") for question in PROBES]
    found = engine.answers_both_ways(
        [prompt.token_ids for prompt in shown],
        [prompts.completion(prompt, prompts.config.first_refusal).token_ids for prompt in shown],
        max_new_tokens=NEW_TOKENS,
        end_token_ids=prompts.end_token_ids(shown[0].is_chat),
    )
    refused = ", ".join(f"{sum(both.completion_logprobs):.3g}" for both in found)
    answers = ", ".join(repr(prompts.decode(both.answer)) for both in found)
    return f"answers {answers}; log-probabilities of the refusal {refused}"


def _gradients(models: Models, adapted: PeftModel, examples: list[TokenizedExample]) -> str:
    pad, road = models.pad_token_id, models.roads().gradients
    found = influence(adapted, examples, {"both": examples}, pad_token_id=pad, road=road)
    return "norms " + ", ".join(f"{norm:.3g}" for norm in found.gradient_norms.values())


def _training(models: Models, adapted: PeftModel, examples: list[TokenizedExample]) -> str:
    settings = OptimizerSection(epochs=2, batch_size=2 * processes.count(), micro_batch_size=2, warmup_ratio=0)
    rows, road = [WeightedExample(example, 1.0) for example in examples], models.roads().training
    log = train(adapted, rows, settings, pad_token_id=models.pad_token_id, seed=models.config.seed, road=road)
    return "losses of two steps " + ", ".join(f"{loss:.3g}" for loss in log.losses)
