"""The config's sections: every key with its type, unit, default and one sentence; unknown keys are refused."""

from operator import not_
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from grait.config.context import ContextConfig
from grait.config.data import DataConfig
from grait.config.judge import JudgeConfig
from grait.config.prompt import NO_QUESTION, Forms, PromptConfig
from grait.config.section import Section
from grait.judging.refusal import detect_refusal
from grait.records import MethodName, ScorerName, SystemName

MAX_SEED = 2**32 - 1
"""The largest that all libraries take."""


class ModelConfig(Section):
    """The initial model M0."""

    name: str = Field("SmolLM2-135M-Instruct", min_length=1, description="Hub id, folder, or the embedded default.")
    revision: str | None = Field(None, description="Branch, tag or commit on the hub.")
    gguf_file: str | None = Field(
        None, min_length=1, description="Name of a GGUF file in that folder or repository; its weights are unpacked."
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="Type of the frozen weights. auto: bfloat16 where the device computes in it, else float32."
    )
    quantization: Literal["none", "nf4"] = Field(
        "none", description="nf4: frozen weights in 4 bits (bitsandbytes, double quantisation), as in QLoRA."
    )
    gradient_checkpointing: bool = Field(
        False, description="Run layers again in the backward pass instead of keeping them: less memory, more time."
    )
    compile: bool = Field(
        False, description="Warm-up and training run through torch.compile: they start later and run faster on GPUs."
    )
    device: str = Field("auto", description="auto (CUDA, MPS, CPU in this order), cpu, cuda, cuda:1, ...")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model. Off by default.")

    @model_validator(mode="before")
    @classmethod
    def _gguf_is_a_file_in_a_folder(cls, given: Any) -> Any:
        """A path of the file itself is its folder or repository and its name."""
        if isinstance(given, dict) and isinstance(name := given.get("name"), str) and name.endswith(".gguf"):
            folder, _, file = name.rpartition("/")
            if given.get("gguf_file") not in (None, file):
                raise ValueError(f"name ends in {file!r}, and gguf_file is {given['gguf_file']!r}: give one of the two")
            return given | {"name": folder or ".", "gguf_file": file}
        return given

    @model_validator(mode="after")
    def _gguf_is_not_quantised_again(self) -> "ModelConfig":
        if self.gguf_file is not None and self.quantization != "none":
            raise ValueError("gguf_file is unpacked, and not quantised again: set quantization: none")
        return self

    @model_validator(mode="after")
    def _compile_has_an_effect(self) -> "ModelConfig":
        if self.compile and self.gradient_checkpointing:
            raise ValueError(
                "compile has no effect on layers that gradient_checkpointing runs again: choose one of them"
            )
        return self


class InferenceConfig(Section):
    """What answers questions and scores options; gradients and training are always transformers'."""

    engine: Literal["transformers", "vllm"] = Field(
        "transformers", description="vllm: for large models and many questions on GPUs; needs the extra 'vllm'."
    )
    tensor_parallel_size: int = Field(1, ge=1, description="vllm: GPUs that share each layer of the model.")
    gpu_memory_utilization: float = Field(
        0.9, gt=0, le=1, description="vllm: share of each GPU's memory that it takes, for weights and keys and values."
    )

    @model_validator(mode="after")
    def _options_are_of_the_engine(self) -> "InferenceConfig":
        for name in ("tensor_parallel_size", "gpu_memory_utilization"):
            if self.engine != "vllm" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is an option of engine: vllm")
        return self


class KnowledgeConfig(Section):
    """Stage 1: what the initial model knows (CRaFT section 3, GRAIT section 3)."""

    scoring: Literal["auto", "sampling", "letter", "likelihood"] = Field(
        "auto", description="auto: sampling for free text, letter for options. likelihood ranks the option texts."
    )
    n_samples: int = Field(10, ge=1, description="Samples N per free-text question.")
    temperature: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        "auto",
        description="Sampling temperature. auto: the highest of a few at which a sample of questions counts as known "
        "where greedy answers are right (docs/defaults.md). The papers: 1.",
    )
    max_new_tokens: int = Field(50, ge=1, description="Longest sample, in tokens.")
    own_samples: int = Field(4, ge=1, description="Samples of each question for prompt.own_words.")
    own_max_new_tokens: int = Field(24, ge=1, description="Longest of these, in tokens.")
    certainty: Literal["agreement", "embedding"] = Field(
        "agreement",
        description="Certainty of free-text samples: the share that gives the most frequent answer, which needs no "
        "other model, or the mean cosine of their sentence embeddings, as in CRaFT (needs the extra 'certainty').",
    )
    correctness_threshold: float = Field(
        0.5, gt=0, lt=1, description="T_c: above it a question is known (ik), below it unknown (idk), on it dropped."
    )

    @property
    def found_temperature(self) -> float:
        """``temperature`` of a run that has found what ``auto`` is."""
        assert self.temperature != "auto", "the temperature was not found yet"
        return self.temperature


class LoraSection(Section):
    """The adapter, as in peft.LoraConfig."""

    instead: ClassVar[dict[str, str]] = {
        "lora_alpha": "it is called alpha",
        "lora_dropout": "it is called dropout",
        "use_rslora": "write its scale into alpha: alpha times the root of r",
        "use_dora": "not supported, adapters are plain LoRA; take it out",
        "bias": "not supported, biases are not trained; take it out",
        "modules_to_save": "not supported, whole layers are not trained; take it out",
    }

    r: int = Field(16, ge=1, description="Rank.")
    alpha: float = Field(32, gt=0, description="Scale is alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout in training; gradients and evaluation use none.")
    target_modules: str | list[str] = Field(
        "all-linear", description="Names of linear layers, or all-linear: those of the text decoder (docs/models.md)."
    )
    target_parameters: list[str] = Field(
        [],
        exclude_if=not_,  # results of before go on
        description="Weights of fused experts to adapt, too, by the end of their names: experts.down_proj.",
    )

    @model_validator(mode="after")
    def _experts_drop_nothing_out(self) -> "LoraSection":
        if self.target_parameters and self.dropout:
            raise ValueError("dropout cannot be had with target_parameters (PEFT): set dropout to 0")
        return self


class OptimizerSection(Section):
    """One training run: AdamW with gradient clipping."""

    learning_rate: float = Field(3e-4, gt=0, description="Peak learning rate.")
    epochs: float = Field(3, gt=0, description="Passes over the examples.")
    batch_size: int = Field(16, ge=1, description="Examples in one optimizer step.")
    micro_batch_size: int = Field(16, ge=1, description="Examples in one forward pass; divides batch_size.")
    scheduler: Literal["cosine", "linear", "constant"] = Field("cosine", description="Learning rate schedule.")
    warmup_ratio: float = Field(0.03, ge=0, lt=1, description="Share of the steps with a rising learning rate.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")

    @model_validator(mode="after")
    def _micro_batches_fill_a_step(self) -> "OptimizerSection":
        if self.batch_size % self.micro_batch_size:
            raise ValueError(f"batch_size {self.batch_size} is no multiple of micro_batch_size {self.micro_batch_size}")
        return self


class WarmupConfig(OptimizerSection):
    """Rehearsal (CRaFT), warm-up (GRAIT, LESS): a short tuning on what the model answers best. Gives M~."""

    n_examples: int = Field(1000, ge=1, description="Best known questions to train on; fewer if fewer are known.")
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate.")
    epochs: float = Field(2, gt=0, description="Passes over the examples.")


class InfluenceConfig(Section):
    """Stage 2: gradients at the warm-up adapter."""

    max_idk: int | None = Field(
        None, ge=1, description="Unknown questions to consider, drawn at random; their influence only. Default: all."
    )
    transform: Literal["none", "adam", "adam-less", "curvature"] = Field(
        "none",
        description="Compare plain gradients, Adam's steps as torch.optim takes them, or as LESS's code does, or "
        "gradients by the curvature of the loss, as influence functions do (EK-FAC).",
    )
    mode: Literal["exact", "sketch"] = Field(
        "exact",
        description="Of R, O, S and K. exact: two passes. sketch: one pass for all, into a datastore of projected "
        "gradients, which can be asked about other sets later.",
    )
    checkpoints: Literal["last", "epochs"] = Field(
        "last",
        description="Influence at the end of the warm-up, or summed over its epochs, each times its mean learning rate "
        "(LESS).",
    )
    dimensions: int = Field(8192, ge=1, description="Of a projected gradient (sketch); disk: 2 bytes each per example.")
    rounds: int = Field(
        3,
        ge=2,
        description="grait-dynamic: rounds of equal length that training has; influence is taken anew before each but "
        "the first.",
    )
    tokens_per_batch: int = Field(2048, ge=1, description="Tokens, padding included, of one batch; speed only.")


class SelectionConfig(Section):
    """Stage 2: which examples are trained on, and how much each counts (GRAIT section 3, CRaFT stage 2).

    The counts hold for all methods of a run.
    """

    n_idk: int | None = Field(
        None,
        ge=1,
        description="Unknown questions to select; default: all for grait, for the other methods as many as n_ik. "
        "The papers: 1000 on MMLU.",
    )
    n_ik: int | None = Field(
        None, ge=1, description="Known questions to select; default: all. The papers: 4000 on MMLU, 4 for each unknown."
    )
    tau: float | None = Field(
        None,
        gt=0,
        description="GRAIT: temperature of the softmax over left-out margin or stable influence. Default: for grait "
        "their standard deviation; for grait-paper 0.05.",
    )
    mean_weight: float | None = Field(
        None,
        gt=0,
        description="GRAIT: mean sample weight m of the unknown questions. Default: for grait what makes them weigh as "
        "much as all answers together; for grait-paper 1.",
    )
    drop_zero_flow: bool = Field(
        False,
        description="CRaFT: drop unknown questions whose correctness stays the same, too, not only where it rises. "
        "The paper's wording (flow >= 0 is dropped) and its free-text script; its MMLU script keeps them.",
    )


class TrainingConfig(OptimizerSection):
    """Stage 3: weighted supervised fine-tuning."""

    methods: list[MethodName] = Field(
        ["cor-rait", "grait"], description="What to train; `grait methods` explains each."
    )
    max_steps: int | None = Field(
        None,
        ge=1,
        description="Optimizer steps, the same for every method whatever the size of its training set; overrides "
        "epochs.",
    )

    def resolved(self, n_examples: int) -> "TrainingConfig":
        """This training of n examples, with ``max_steps`` said in epochs."""
        if self.max_steps is None:
            return self
        epochs = self.max_steps / -(-n_examples // self.batch_size)
        return self.model_copy(update={"epochs": epochs, "max_steps": None})


class TuneConfig(Section):
    """Before stage 3: learning rate and passes, found by short trials on a part of the training questions."""

    budget: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Share of the run's work that trials may take, counted in tokens, not timed (docs/defaults.md); 0: "
        "no trials. What a run takes: 0.2. A comparison makes none.",
    )
    methods: list[MethodName] = Field(
        ["grait"],
        description="Methods that have trials of their own, where the run trains them; the others keep the settings of "
        "`training`.",
    )


class ReplayConfig(Section):
    """Ordinary prompts with the initial model's own answers in training, so that the rest of the model stays as it was.

    Every method of a run gets the same rows.
    """

    path: str | None = Field(
        None,
        min_length=1,
        description="builtin (prompts that ship with this package), a .jsonl/.json/.parquet file, or a hub id, with "
        "`messages` or `prompt` in TRL's formats; null: no replay. What a run takes: builtin.",
    )
    n: int = Field(700, ge=1, description="Prompts, drawn by the seed; fewer if there are fewer.")
    given_texts: int = Field(
        160,
        ge=0,
        description="Further prompts, made of so many training questions: a text that holds the answer, and the "
        "question. They are to be read, not refused.",
    )
    unanswerable: int = Field(
        160,
        ge=0,
        description="With builtin: questions that nobody can answer, which ship with this package, too, are taught the "
        "refusal in bare chat, each with the mean weight of the method's refusals.",
    )
    max_new_tokens: int = Field(32, ge=1, description="Longest answer of the initial model, in tokens.")
    loss: Literal["kl", "cross-entropy"] = Field(
        "kl",
        description="kl: stay close to the initial model's next-token probabilities along its own answer. "
        "cross-entropy: learn that answer.",
    )
    weight: float = Field(4.0, gt=0, description="Weight of a replay row, as a multiple of the questions' mean weight.")
    first_token: float = Field(
        6.0,
        ge=1,
        description="How many times the first token of a replayed answer counts. It decides between answer and "
        "refusal; in an answer of 32 tokens it would count a fifth of what it counts in a refusal of 6.",
    )
    share: float = Field(
        0.35, gt=0, lt=1, description="Share of an epoch's rows; replay rows are repeated or sampled to make it."
    )
    forms_share: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Share of the single-turn prompts that are put as the run puts its questions, not as bare chat.",
    )
    after_turns: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of the questions in bare chat, and of the single-turn prompts there, that follow an earlier "
        "question, half of these refused: what was said before is not to decide.",
    )


class EvaluationConfig(Section):
    """Stage 4: data sets, greedy answers, metrics."""

    datasets: list[DataConfig] = Field(
        [
            DataConfig(split="test_id", name="in-domain"),
            DataConfig(split="test_ood", name="out-of-domain"),
        ],
        min_length=1,
        description="Any number of sets; results are given for each.",
    )
    calibration: DataConfig | Literal["auto"] | None = Field(
        "auto",
        description="Questions that are neither trained on nor tested: on them the refusal dial of every tuned model "
        "is set for the highest THS. auto: a part of the training questions, put aside before anything else "
        "(docs/defaults.md). null: no dial is set.",
    )
    max_new_tokens: int = Field(32, ge=1, description="Longest answer, in tokens.")
    n_bootstrap: int = Field(10_000, ge=100, description="Resamples for the 95% interval of THS.")
    forms: Forms = Field(
        [],
        description="Forms in which test questions are asked, too, and none is taught, named as in prompt.forms: what "
        "tuning does to words that it never saw.",
    )
    form_questions: int = Field(
        200, ge=1, description="With several forms: the first so many questions of each set are asked in each."
    )
    probes: bool = Field(
        True,
        description="Also measure side effects: chit-chat, ordinary instructions, questions about a given text and "
        "unanswerable ones, that ship with this package, in several forms, and the drift from the initial model; "
        "`grait compare` leaves them out.",
    )
    max_probes: int = Field(
        100, ge=1, description="Of each kind, in each form, at most so many are asked for side effects."
    )
    scorers: list[ScorerName] = Field(
        [],
        description="Systems beside the tuned ones that answer as the initial model does, and refuse by a score of "
        "their own: `grait methods` explains each. Their thresholds are set on the calibration questions.",
    )
    learned_dial: bool = Field(
        False,
        description="Show each tuned model with a second dial, too, whose score weighs the probability of its own "
        "answer and that of the initial model's (docs/dial.md). In the evaluation only.",
    )

    @model_validator(mode="after")
    def _titles_differ(self) -> "EvaluationConfig":
        titles = [dataset.title for dataset in self.all_sets]
        for title in titles:
            if titles.count(title) > 1:
                raise ValueError(f"two data sets are called {title!r}; give each a name")
        return self

    @property
    def all_sets(self) -> list[DataConfig]:
        """The test sets, then the calibration questions, if a set is named."""
        return [*self.datasets, *([self.calibration] if isinstance(self.calibration, DataConfig) else [])]


class CompareConfig(Section):
    """``grait compare``: which methods, and how often each is trained."""

    seeds: list[Annotated[int, Field(ge=0, le=MAX_SEED)]] | None = Field(
        None, min_length=1, description="One run for each, in the place of `seed`; default: that one only."
    )
    methods: list[SystemName] | None = Field(
        None,
        min_length=1,
        description="What to train, in the place of training.methods, and scorers, in the place of evaluation.scorers; "
        "default: all. The initial model is always there.",
    )

    @field_validator("seeds", "methods")
    @classmethod
    def _differ(cls, values: list[Any] | None) -> list[Any] | None:
        for value in values or []:
            if (values or []).count(value) > 1:
                raise ValueError(f"{value} stands twice")
        return values


class Config(Section):
    """A whole run."""

    seed: int = Field(0, ge=0, le=MAX_SEED, description="Seed of sampling, selection, training and bootstrap.")
    out: str = Field("runs/grait", min_length=1, description="Run folder.")
    model: ModelConfig = ModelConfig()
    data: DataConfig = Field(DataConfig(split="train"), description="Training questions.")
    prompt: PromptConfig = PromptConfig()
    context: ContextConfig = ContextConfig()
    inference: InferenceConfig = InferenceConfig()
    judge: JudgeConfig = JudgeConfig()
    knowledge: KnowledgeConfig = KnowledgeConfig()
    lora: LoraSection = LoraSection()
    warmup: WarmupConfig = WarmupConfig()
    influence: InfluenceConfig = InfluenceConfig()
    selection: SelectionConfig = SelectionConfig()
    training: TrainingConfig = TrainingConfig()
    tune: TuneConfig = TuneConfig()
    replay: ReplayConfig = ReplayConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    compare: CompareConfig = CompareConfig()
    tokens_per_batch: Annotated[int, Field(ge=1)] = Field(
        4096, description="Tokens, padding included, that inference handles at once; speed and memory only."
    )

    @property
    def tuned(self) -> list[MethodName]:
        """The trained methods whose learning rate and passes are looked for."""
        return [name for name in self.training.methods if name in self.tune.methods] if self.tune.budget else []

    @property
    def unused(self) -> dict[str, Any]:
        """Keys that have no effect, as ``model_dump`` excludes them: a result without forms is named as ever."""
        found: dict[str, Any] = {} if self.replay.path else {"replay": True}
        if not self.tuned:
            found["tune"] = True
        if self.compare.methods and "grait-dynamic" not in self.compare.methods:
            found["influence"] = {"rounds"}
        if self.judge.by == "matching":
            found["judge"] = True
        if self.context == ContextConfig():
            found["context"] = True
        in_evaluation = {key for key in ("forms", "scorers", "learned_dial") if not getattr(self.evaluation, key)}
        if not self.evaluation.forms and not self.prompt.forms:
            in_evaluation.add("form_questions")
        if in_evaluation:
            found["evaluation"] = in_evaluation
        if self.model.gguf_file is None:
            found["model"] = {"gguf_file"}
        in_prompt = set() if self.prompt.template_arguments else {"template_arguments"}
        in_prompt |= {"language"} if self.prompt.language == "en" else set()
        if not self.prompt.forms:
            in_prompt |= {"forms", "own_words"}
            found["knowledge"] = {"own_samples", "own_max_new_tokens"}
        return found | {"prompt": in_prompt}

    @model_validator(mode="after")
    def _refusal_of_texts_is_recognised(self) -> "Config":
        if detect_refusal(self.context.refusal, NO_QUESTION, *self.prompt.refusing) != "refused":
            raise ValueError(
                f"context.refusal: answers with {self.context.refusal!r} would not be counted as refusals; word it "
                'like "The text does not say.", or add it to prompt.refusal_phrases'
            )
        return self

    @model_validator(mode="after")
    def _other_forms_are_asked(self) -> "Config":
        asked = [form.name for form in self.evaluation.forms]
        trained = [form.name for form in self.prompt.forms] or [self.prompt.main_form]
        for name in asked:
            if name in trained:
                raise ValueError(
                    f"evaluation.forms: {name!r} is trained, and asked without that: take it out of evaluation.forms, "
                    "or, to leave it out of training, out of prompt.forms"
                )
        if not self.prompt.n_shots and "examples" in asked:
            raise ValueError("evaluation.forms: 'examples' shows solved examples, and prompt.n_shots = 0 leaves none")
        return self

    @model_validator(mode="after")
    def _vllm_can_do_it(self) -> "Config":
        if self.inference.engine == "vllm":
            if self.model.quantization != "none":
                raise ValueError(f"inference.engine = vllm cannot load model.quantization = {self.model.quantization}")
            if self.model.gguf_file is not None:
                raise ValueError("inference.engine = vllm cannot load model.gguf_file")
            if self.lora.target_parameters:
                raise ValueError("inference.engine = vllm was not tried with lora.target_parameters")
            if self.model.device not in ("auto", "cuda"):
                raise ValueError(
                    f"inference.engine = vllm takes the GPUs that CUDA_VISIBLE_DEVICES names; model.device = "
                    f"{self.model.device!r} should be auto or cuda"
                )
            if self.knowledge.temperature != "auto" and not 0.01 <= self.knowledge.temperature <= 2:
                raise ValueError(
                    "inference.engine = vllm samples at temperatures from 0.01 to 2; knowledge.temperature is "
                    f"{self.knowledge.temperature:g}"
                )
        return self
