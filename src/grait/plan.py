"""What a run would do and about what it would cost, found without weights: the dry run.

``make_plan`` is arithmetic on records. What it needs is looked at before: the model's config by ``size.model_size``,
the questions that lie on this machine by ``question_sets``; nothing is fetched or written. ``docs/configs.md`` has
the formulas with their assumptions.
"""

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grait.config import Config, DataConfig, ModelConfig, OptimizerSection
from grait.data.catalog import KNOWN_SETS
from grait.data.files import SUFFIXES
from grait.data.load import load_questions, load_shots
from grait.data.probes import load_probes
from grait.errors import ConfigError, DataError
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, METHODS
from grait.model import sentences
from grait.model.completions import LOGITS_AT_ONCE
from grait.model.load import resolve_dtype
from grait.records import Question
from grait.size import ModelSize, SizeUnknownError, model_size
from grait.training.sft import n_steps

# -- assumptions: docs/configs.md explains each --------------------------------------------------------------------

CHARACTERS_PER_TOKEN = 4.0
"""Of English text in the tokenizers of current models."""

QUERY_FRAME = 15
"""Tokens around the question of a knowledge query. Its shots are left out: they run once for all questions."""

PROMPT_FRAME = 50
"""Tokens around the question of a prompt without shots: instruction, leave to refuse, chat template."""

ASSUMED_CHARACTERS = {"oeqa": (75, 400), "mcqa": (450, 5000)}
"""Mean and longest question with its options, where the questions are not on this machine."""

ANSWER_TOKENS = 6
"""Of a reference answer or a refusal, end token included."""

PER = 1000
"""Examples that the work of a stage is given for when their number is unknown."""

NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
"""Per weight: 4, and a scale of 8 bits for 64 weights, itself scaled by 32 bits for 256 scales (QLoRA, section 3)."""

LOGIT_BYTES = 12
"""Per logit in training: itself, its fp32 copy, its gradient, rounded up."""


SAMPLING_BYTES = 18
"""Per logit in sampling: itself, and in fp32 a copy, one by the temperature, its probability and their running sum."""


@dataclass(frozen=True, slots=True)
class Device:
    """``peak``: FLOP/s of its data sheet; ``utilisation``: assumed share of it; ``bandwidth``: memory bytes/s."""

    name: str
    peak: float
    utilisation: float
    bandwidth: float


DEVICES = (
    Device("A100 80GB", 312e12, 0.4, 2.0e12),  # dense bf16
    Device("H100 SXM", 989e12, 0.4, 3.35e12),  # dense bf16
    Device("one CPU core", 192e9, 0.4, 10e9),  # AVX-512 fp32 at 3 GHz: 64 FLOP a cycle
)


# -- records -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Count:
    """``n`` None: unknown until the data is read. Not ``is_exact``: at most n."""

    n: int | None
    is_exact: bool = True

    def times(self, factor: int) -> "Count":
        """So many of each."""
        return Count(None if self.n is None else self.n * factor, self.is_exact)

    def at_most(self, limit: int | None = None) -> "Count":
        """An upper bound: this many, or ``limit`` where that is less or this is unknown."""
        bounds = [bound for bound in (self.n, limit) if bound is not None]
        return Count(min(bounds) if bounds else None, is_exact=False)


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """One set of questions. ``characters``, ``longest``: mean and most characters of a question with its options."""

    title: str
    source: str
    count: Count
    has_options: bool
    characters: float
    longest: int
    is_local: bool

    @property
    def query_tokens(self) -> float:
        """Of a knowledge query, without its shots."""
        return QUERY_FRAME + self.characters / CHARACTERS_PER_TOKEN

    @property
    def prompt_tokens(self) -> float:
        """Of a prompt without shots."""
        return PROMPT_FRAME + self.characters / CHARACTERS_PER_TOKEN

    @property
    def longest_example(self) -> int:
        """Tokens of the longest prompt with its completion."""
        return math.ceil(PROMPT_FRAME + self.longest / CHARACTERS_PER_TOKEN) + ANSWER_TOKENS


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens through the model. ``*_positions``: those of them that the head runs at.

    ``prompt_tokens``: many at once, without gradients; ``decoded_tokens``: one after the other, in ``decode_steps``
    steps of many sequences, each step reading all weights; ``trained_tokens``: forward and backward.
    """

    prompt_tokens: float = 0
    prompt_positions: float = 0
    decoded_tokens: float = 0
    decode_steps: float = 0
    trained_tokens: float = 0
    trained_positions: float = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.prompt_tokens + other.prompt_tokens,
            self.prompt_positions + other.prompt_positions,
            self.decoded_tokens + other.decoded_tokens,
            self.decode_steps + other.decode_steps,
            self.trained_tokens + other.trained_tokens,
            self.trained_positions + other.trained_positions,
        )


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage. ``work``: of all its examples, or of ``PER`` of those ``per`` names when their number is unknown."""

    name: str
    does: str
    examples: Count
    work: Work
    unit: str = "questions"
    samples: Count | None = None
    steps: Count | None = None
    per: str | None = None

    @property
    def per_n(self) -> int:
        """How many of ``per`` the work is for."""
        return PER


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that one stage needs at once, by part."""

    name: str
    parts: dict[str, float]

    @property
    def total(self) -> float:
        """All parts together."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class Plan:
    """``size`` None: see ``size_unknown`` for why, and what to do. ``disk``: bytes in the run folder, by part."""

    config: Config
    size: ModelSize | None
    size_unknown: str
    sets: tuple[QuestionSet, ...]
    stages: tuple[StagePlan, ...]
    memory: tuple[Memory, ...] = ()
    disk: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


# -- what is looked at ---------------------------------------------------------------------------------------------


def dry_run(config: Config) -> Plan:
    """The plan of this config. Raises a GraitError for what is wrong with it, as the run itself would.

    A model whose config is not on this machine is no error: its plan has no costs.
    """
    sets = question_sets(config)
    try:
        return make_plan(config, sets, model_size(config.model, config.lora))
    except SizeUnknownError as error:
        return make_plan(config, sets, None, str(error))


def question_sets(config: Config) -> list[QuestionSet]:
    """The training set, without its shots, then the evaluation sets. Reads those on this machine; asks no hub."""
    sets = []
    for data in (config.data, *config.evaluation.datasets):
        is_training = data is config.data
        if is_on_hub(data):
            sets.append(_hub_set(data))
            continue
        questions = load_questions(data)
        if is_training:
            if len(questions) <= config.prompt.n_shots:
                raise DataError(
                    f"{data.path}: expected more than prompt.n_shots = {config.prompt.n_shots} training questions, "
                    f"found {len(questions)}"
                )
            shots = {shot.id for shot in (load_shots(data) or questions)[: config.prompt.n_shots]}
            questions = [question for question in questions if question.id not in shots]
        sets.append(local_set(data.title, _source(data), questions))
    return sets


def is_on_hub(data: DataConfig) -> bool:
    """Whether the questions come from the hub; what is neither there nor a file is left to ``load_questions``."""
    known = KNOWN_SETS.get(data.path)
    if known is not None:
        return known.hub is not None and data.folder is None
    path = Path(data.path)
    is_path = path.exists() or path.parent.exists() or path.suffix.lower() in SUFFIXES
    return data.path.count("/") == 1 and not is_path and data.folder is None and data.view is None


def _source(data: DataConfig) -> str:
    known = KNOWN_SETS.get(data.path)
    if known is None:
        return f"hub {data.path}" if is_on_hub(data) else data.path
    if data.folder is not None:
        return data.folder
    return "in this package" if known.hub is None else f"hub {known.hub}"


def _hub_set(data: DataConfig) -> QuestionSet:
    known = KNOWN_SETS.get(data.path)
    kind = "mcqa"  # of an unknown set: the costlier
    if known is not None:
        if data.split not in known.splits and (data.split is not None or len(known.splits) > 1):
            raise DataError(f"{known.title} has no split {data.split!r}: take one of {', '.join(known.splits)}.")
        kind = data.view or known.views[0]
        if kind not in known.views:
            raise DataError(f"{known.title} has no view {kind!r}: take {known.views[0]}, or leave `view` out")
    mean, longest = ASSUMED_CHARACTERS[kind]
    count = Count(None).at_most(data.limit)
    return QuestionSet(data.title, _source(data), count, kind == "mcqa", mean, longest, is_local=False)


def local_set(title: str, source: str, questions: Sequence[Question]) -> QuestionSet:
    """The counts of questions that are at hand; at least one."""
    lengths = [len(question.question) + sum(len(choice) + 4 for choice in question.choices) for question in questions]
    return QuestionSet(
        title=title,
        source=source,
        count=Count(len(questions)),
        has_options=any(question.choices for question in questions),
        characters=sum(lengths) / len(lengths),
        longest=max(lengths),
        is_local=True,
    )


# -- the plan: arithmetic only -------------------------------------------------------------------------------------


def make_plan(config: Config, sets: Sequence[QuestionSet], size: ModelSize | None, size_unknown: str = "") -> Plan:
    """Stages, costs and notes. ``sets``: training first, then those of the evaluation.

    Raises ConfigError when more questions are to be selected than there are.
    """
    training = sets[0]
    _check_counts(config, training)
    memory: tuple[Memory, ...] = ()
    disk: dict[str, float] = {}
    stages = stages_of(config, sets)
    if size is not None:
        memory = memory_of(config, sets, size)
        disk = disk_of(config, training, size)
    return Plan(config, size, size_unknown, tuple(sets), stages, memory, disk, _notes(config, sets))


def _check_counts(config: Config, training: QuestionSet) -> None:
    asked = (config.selection.n_ik or 1) + (config.selection.n_idk or 1)
    if training.count.n is not None and asked > training.count.n:
        raise ConfigError(
            f"selection: n_ik = {config.selection.n_ik} and n_idk = {config.selection.n_idk} ask for {asked} "
            f"questions, but {training.title} has at most {training.count.n}; lower them, or add training questions"
        )


def _notes(config: Config, sets: Sequence[QuestionSet]) -> tuple[str, ...]:
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


def uses(config: Config, what: str) -> list[str]:
    """The methods of the run that need ``flow`` or ``influence``."""
    return [name for name in config.training.methods if getattr(METHODS[name], f"needs_{what}")]


def n_selected(config: Config, questions: Count, method: str) -> Count:
    """Examples that a method trains on: n_ik + n_idk as configured, or at most what there is."""
    n_ik, n_idk = config.selection.n_ik, config.selection.n_idk
    if METHODS[method].takes_all_unknown:
        # An unknown question may teach its answer, too.
        return questions.times(2).at_most(n_ik + 2 * n_idk if n_ik is not None and n_idk is not None else None)
    if n_ik is not None and n_idk is not None:
        return Count(n_ik + n_idk)
    # By default all known questions, and no more unknown ones than known ones.
    return questions.at_most(2 * n_ik if n_ik is not None else None)


def stages_of(config: Config, sets: Sequence[QuestionSet]) -> tuple[StagePlan, ...]:
    """All stages in the order in which they run."""
    training = sets[0]
    flow, influence = uses(config, "flow"), uses(config, "influence")
    stages = [_query_stage(config, training, "knowledge", "what does the model know? ")]
    if flow or influence:
        n = training.count.at_most(config.warmup.n_examples)
        does = f"trains an adapter on the best known questions with their answers, for {_names(flow + influence)}"
        stages.append(_training_stage("warm-up", does, n, config.warmup, training))
    if flow:
        stages.append(
            _query_stage(config, training, "knowledge flow", f"for {_names(flow)}: the same with the warm-up adapter, ")
        )
        stages.append(_conflict_stage(training))
    if influence:
        stages.append(_influence_stage(config, training))
    for name in config.training.methods:
        selected = n_selected(config, training.count, name)
        optimizer = config.training.resolved(_scale(selected))
        stages.append(_training_stage(f"training {name}", METHODS[name].summary, selected, optimizer, training))
    stages += [_evaluation_stage(config, data) for data in sets[1:]]
    if config.evaluation.probes:
        stages.append(_probes_stage(config))
    return tuple(stages)


def _names(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _scale(count: Count) -> int:
    return PER if count.n is None else count.n


def _generation(n: int, prompt: float, samples: int, new_tokens: int, tokens_per_batch: int) -> Work:
    """Of n prompts, each with so many samples of the greatest length, in batches as ``InferenceEngine`` forms them."""
    rows = max(1, int(tokens_per_batch // (prompt + 8 * samples)))
    decoded = n * samples * new_tokens
    return Work(
        prompt_tokens=n * prompt,
        prompt_positions=n,
        decoded_tokens=decoded,
        decode_steps=math.ceil(n / rows) * new_tokens,
    )


def _query_stage(config: Config, data: QuestionSet, name: str, begins: str) -> StagePlan:
    knowledge, n = config.knowledge, _scale(data.count)
    per = None if data.count.n is not None else "training questions"
    if not data.has_options or knowledge.scoring == "sampling":
        does = f"{begins}{knowledge.n_samples} samples of each question at temperature {knowledge.temperature:g}"
        work = _generation(n, data.query_tokens, knowledge.n_samples, knowledge.max_new_tokens, config.tokens_per_batch)
        return StagePlan(name, does, data.count, work, samples=data.count.times(knowledge.n_samples), per=per)
    by_text = knowledge.scoring == "likelihood"
    does = f"{begins}probabilities of the option {'texts' if by_text else 'letters'} of each question, no sampling"
    options = data.characters / CHARACTERS_PER_TOKEN if by_text else 1.0
    scored = Work(prompt_tokens=n * (data.query_tokens + (options if by_text else 0)), prompt_positions=n * options)
    return StagePlan(name, does, data.count, scored, per=per)


def _conflict_stage(training: QuestionSet) -> StagePlan:
    work = Work(prompt_tokens=_scale(training.count) * training.prompt_tokens)
    per = None if training.count.n is not None else "training questions"
    does = "which unknown questions look like known ones; one forward pass, a diagnostic"
    return StagePlan("static conflict", does, training.count, work, per=per)


def _training_stage(name: str, does: str, count: Count, config: OptimizerSection, training: QuestionSet) -> StagePlan:
    n = _scale(count)
    seen = n * config.epochs
    work = Work(
        trained_tokens=seen * (training.prompt_tokens + ANSWER_TOKENS - 1), trained_positions=seen * ANSWER_TOKENS
    )
    steps = Count(None if count.n is None else n_steps(count.n, config), count.is_exact)
    per = None if count.n is not None else "examples"
    return StagePlan(name, does, count, work, unit="examples", steps=steps, per=per)


def _influence_stage(config: Config, training: QuestionSet) -> StagePlan:
    """At most: were all questions known (ik), each would have a refusal and an answer to go through."""
    refusals, answers = training.count.at_most(), training.count.at_most()
    n = _scale(refusals)
    passes = 2 * n + _scale(answers) if config.influence.mode == "exact" else n + _scale(answers)
    work = Work(
        trained_tokens=passes * (training.prompt_tokens + ANSWER_TOKENS - 1), trained_positions=passes * ANSWER_TOKENS
    )
    how = (
        "exact, two passes"
        if config.influence.mode == "exact"
        else f"one pass, {config.influence.dimensions:,} numbers each"
    )
    does = f"gradients of the refusal for every question and of the answer for known ones; {how}"
    per = None if training.count.n is not None else "training questions"
    return StagePlan("influence", does, Count(None if per else passes, False), work, unit="gradients", per=per)


def _evaluation_stage(config: Config, data: QuestionSet) -> StagePlan:
    systems = [INIT_BASIC, INIT_REFUSE, *config.training.methods]
    n, work = _scale(data.count), Work()
    for system in systems:
        prompt = data.query_tokens if METHODS[system].asked == "query" else data.prompt_tokens
        work += _generation(n, prompt, 1, config.evaluation.max_new_tokens, config.tokens_per_batch)
    does = f"greedy answers of {len(systems)} systems: {_names(systems)}"
    per = None if data.count.n is not None else "questions"
    return StagePlan(
        f"evaluation {data.title}", does, data.count, work, samples=data.count.times(len(systems)), per=per
    )


def _probes_stage(config: Config) -> StagePlan:
    systems = [INIT_REFUSE, *config.training.methods]
    probes = local_set("probes", "in this package", [probe.question for probe in load_probes()])
    each = _generation(
        _scale(probes.count), probes.prompt_tokens, 1, config.evaluation.max_new_tokens, config.tokens_per_batch
    )
    does = f"unanswerable questions and chit-chat to {len(systems)} systems: {_names(systems)}"
    work = sum((each for _ in systems), Work())
    return StagePlan("probes", does, probes.count, work, unit="probes", samples=probes.count.times(len(systems)))


# -- costs ---------------------------------------------------------------------------------------------------------


def forward_flop(work: Work, size: ModelSize) -> float:
    """2 FLOP for each weight and token, of prompts; the head at its positions only."""
    return 2 * (size.body * work.prompt_tokens + size.head * work.prompt_positions)


def decode_flop(work: Work, size: ModelSize) -> float:
    """The same for decoded tokens, all of which run through the head."""
    return 2 * (size.body + size.head) * work.decoded_tokens


def training_flop(work: Work, size: ModelSize, gradient_checkpointing: bool) -> float:
    """4 FLOP for each frozen weight and token, 6 for each trained one; 2 more with gradient checkpointing."""
    again = 2 if gradient_checkpointing else 0
    frozen = size.body * work.trained_tokens + size.head * work.trained_positions
    return (4 + again) * frozen + (6 + again) * size.adapter * work.trained_tokens


def flop(work: Work, size: ModelSize, gradient_checkpointing: bool) -> float:
    """All floating-point operations; attention between tokens is left out."""
    return forward_flop(work, size) + decode_flop(work, size) + training_flop(work, size, gradient_checkpointing)


def seconds(work: Work, size: ModelSize, model: ModelConfig, device: Device) -> float:
    """FLOP at the device's assumed rate; a decode step takes at least as long as reading all weights."""
    rate = device.peak * device.utilisation
    at_once = forward_flop(work, size) + training_flop(work, size, model.gradient_checkpointing)
    reading = work.decode_steps * weight_bytes(size, model) / device.bandwidth
    return at_once / rate + max(decode_flop(work, size) / rate, reading)


def weight_bytes(size: ModelSize, model: ModelConfig) -> float:
    """The frozen weights; nf4 packs linear layers only, not embeddings, norms and head."""
    whole = _dtype_bytes(model)
    if model.quantization == "none":
        return float(size.parameters * whole)
    return size.packed * NF4_BITS / 8 + (size.parameters - size.packed) * whole


def _dtype_bytes(model: ModelConfig) -> int:
    return resolve_dtype(model).itemsize


def _activations(size: ModelSize, model: ModelConfig, tokens: int) -> float:
    if not model.gradient_checkpointing:
        return size.activation_bytes * tokens
    return (size.checkpoint_bytes + size.activation_bytes / size.layers) * tokens


def memory_of(config: Config, sets: Sequence[QuestionSet], size: ModelSize) -> tuple[Memory, ...]:
    """What inference, training and influence hold at once. Without the framework's own memory and fragmentation."""
    training, weights = sets[0], {"weights": weight_bytes(size, config.model)}
    n = 1 if training.has_options and config.knowledge.scoring != "sampling" else config.knowledge.n_samples
    rows = max(1, int(config.tokens_per_batch // (training.query_tokens + 8 * n)))
    cached = rows * (training.query_tokens + n * config.knowledge.max_new_tokens)
    found = [
        Memory(
            "inference",
            {
                **weights,
                "keys and values": size.cache_bytes * cached,
                "logits": SAMPLING_BYTES * rows * n * size.vocabulary,
            },
        )
    ]
    runs: list[tuple[str, OptimizerSection]] = [("training", config.training)]
    if uses(config, "flow") or uses(config, "influence"):
        runs.insert(0, ("warm-up", config.warmup))
    for name, run in runs:
        micro = run.micro_batch_size
        logits = min(micro * ANSWER_TOKENS * size.vocabulary, LOGITS_AT_ONCE)
        parts = {
            "adapter, gradient": 8.0 * size.adapter,
            "AdamW": 8.0 * size.adapter,
            "activations": _activations(size, config.model, micro * training.longest_example),
            "logits": float(LOGIT_BYTES * logits),
        }
        found.append(Memory(name, weights | parts))
    if uses(config, "influence"):
        found.append(_influence_memory(config, training, size, weights))
    return tuple(found)


def _influence_memory(config: Config, training: QuestionSet, size: ModelSize, weights: dict[str, float]) -> Memory:
    """A batch holds ``tokens_per_batch`` tokens, or one example where that is longer."""
    influence = config.influence
    tokens = max(influence.tokens_per_batch, training.longest_example)
    rows = max(1, int(tokens // (training.prompt_tokens + ANSWER_TOKENS)))
    parts = {
        "adapter": 4.0 * size.adapter,
        "activations": _activations(size, config.model, tokens),
        "logits": float(LOGIT_BYTES * min(rows * ANSWER_TOKENS * size.vocabulary, LOGITS_AT_ONCE)),
        "gradient factors": 4.0 * size.factor_width * tokens,
        "gradients, one layer": 2 * 4.0 * rows * size.largest_layer,
    }
    if influence.transform != "none":
        parts["Adam moments"] = 8.0 * size.adapter
    if influence.mode == "exact":
        parts["directions, 3 sets"] = 3 * 4.0 * size.adapter
    else:
        parts["projection"] = 5.0 * size.adapter
    return Memory("influence", weights | parts)


def disk_of(config: Config, training: QuestionSet, size: ModelSize) -> dict[str, float]:
    """Bytes in the run folder: each trained adapter with its optimizer moments, and the datastore of the sketch."""
    n_adapters = len(config.training.methods) + bool(uses(config, "flow") or uses(config, "influence"))
    disk = {f"{n_adapters} adapters with optimizer moments": 12.0 * size.adapter * n_adapters}
    if uses(config, "influence") and config.influence.mode == "sketch":
        where = "at most" if training.count.n is not None else f"at most, for each {PER:,} training questions"
        disk[f"gradient datastore, {where}"] = 2.0 * config.influence.dimensions * 2 * _scale(training.count)
    return disk
