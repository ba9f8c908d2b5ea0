"""The plan of a config, for ``grait run --dry-run``."""

import importlib.util
from collections.abc import Sequence

from grait.config import Config
from grait.errors import ConfigError, ModelError
from grait.model import default, sentences
from grait.model.load import read_tokenizer
from grait.model.prompt_check import check_vocabulary
from grait.pipeline.order import stage_plans
from grait.pipeline.work import SetSize
from grait.plan.costs import disk_of, memory_of
from grait.plan.questions import set_sizes
from grait.plan.records import Memory, Plan
from grait.plan.size import ModelSize, SizeUnknownError, model_size


def dry_run(config: Config) -> Plan:
    """The plan of this config. Raises a GraitError for what is wrong with it, as the run itself would.

    A model whose config is not on this machine is no error: its plan has no costs.
    """
    sets = set_sizes(config)
    try:
        size = model_size(config.model, config.lora, has_room=True)
    except SizeUnknownError as error:
        return make_plan(config, sets, None, str(error))
    if config.model.name != default.NAME:
        try:
            tokenizer = read_tokenizer(config.model, is_here=True)
        except ModelError:  # a config alone has costs, too
            return make_plan(config, sets, size)
        check_vocabulary(tokenizer, size.vocabulary)
    return make_plan(config, sets, size)


def make_plan(config: Config, sets: Sequence[SetSize], size: ModelSize | None, size_unknown: str = "") -> Plan:
    """Stages, costs and notes. ``sets``: as ``set_sizes`` gives them.

    Raises ConfigError when more questions are to be selected than there are.
    """
    training = sets[0]
    _check_counts(config, training)
    memory: tuple[Memory, ...] = ()
    disk: dict[str, float] = {}
    stages = stage_plans(config, training, sets[1:])
    if size is not None:
        memory = memory_of(config, sets, size)
        disk = disk_of(config, training, size)
    limited = (size.limited,) if size and size.limited else ()
    return Plan(config, size, size_unknown, tuple(sets), stages, memory, disk, (*limited, *_notes(config, sets)))


def _check_counts(config: Config, training: SetSize) -> None:
    asked = (config.selection.n_ik or 1) + (config.selection.n_idk or 1)
    if training.count.n is not None and asked > training.count.n:
        raise ConfigError(
            f"selection: n_ik = {config.selection.n_ik} and n_idk = {config.selection.n_idk} ask for {asked} "
            f"questions, but {training.title} has at most {training.count.n}; lower them, or add training questions"
        )


def _notes(config: Config, sets: Sequence[SetSize]) -> tuple[str, ...]:
    notes = []
    if config.model.quantization == "nf4" and importlib.util.find_spec("bitsandbytes") is None:
        notes.append(
            "model.quantization = nf4 needs bitsandbytes, not installed here: pip install 'grait[quantization]'"
        )
    if config.inference.engine == "vllm":
        missing = importlib.util.find_spec("vllm") is None
        notes.append(
            "inference.engine = vllm: times and memory of inference are those of transformers"
            + ("; vLLM is not installed here: pip install 'grait[vllm]'" if missing else "")
        )
    if config.knowledge.certainty == "embedding" and sentences.find_folder() is None:
        notes.append(
            f"knowledge.certainty = embedding needs a sentence model; the hub is asked for it, or: {sentences.INSTALL}"
        )
    if not all(data.is_local for data in sets):
        notes.append(
            "The sets of the hub are read when the run begins; their questions are taken to be as long as those of "
            "TriviaQA (free text) or MMLU (options). A `limit` or local files (`folder`) give numbers."
        )
    return tuple(notes)
