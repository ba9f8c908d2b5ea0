"""The stages of a run in their order, with the tokens that each puts through the model: arithmetic on records."""

import math
from collections.abc import Sequence

from grait.config import Config, OptimizerSection
from grait.data.probes import load_probes
from grait.methods.catalog import INIT_BASIC, INIT_REFUSE, METHODS
from grait.plan.questions import local_set
from grait.plan.records import ANSWER_TOKENS, CHARACTERS_PER_TOKEN, Count, QuestionSet, StagePlan, Work
from grait.training.sft import n_steps


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
    shots = _shots_tokens(config, training)
    flow, influence = uses(config, "flow"), uses(config, "influence")
    stages = [_query_stage(config, training, "knowledge", "what does the model know? ")]
    if flow or influence:
        n = training.count.at_most(config.warmup.n_examples)
        does = f"trains an adapter on the best known questions with their answers, for {_names(flow + influence)}"
        stages.append(_training_stage("warm-up", does, n, config.warmup, training, shots))
    if flow:
        stages.append(
            _query_stage(config, training, "knowledge flow", f"for {_names(flow)}: the same with the warm-up adapter, ")
        )
        stages.append(_conflict_stage(training))
    if influence:
        stages.append(_influence_stage(config, training))
    for name in config.training.methods:
        selected = n_selected(config, training.count, name)
        optimizer = config.training.resolved(selected.or_per)
        stages.append(_training_stage(f"training {name}", METHODS[name].summary, selected, optimizer, training, shots))
    methods = config.training.methods
    systems = [INIT_BASIC, INIT_REFUSE, *methods]
    tests = sets[1 : 1 + len(config.evaluation.datasets)]
    stages += [_asking_stage(config, "evaluation", "greedy answers", data, systems) for data in tests]
    for data in sets[1 + len(tests) :]:
        does = f"sets the refusal dial of {_names(methods)}; greedy answers"
        stages.append(_asking_stage(config, "calibration", does, data, [INIT_BASIC, *methods]))
    if config.evaluation.probes:
        stages.append(_probes_stage(config))
    return tuple(stages)


def _names(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


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
    knowledge, n = config.knowledge, data.count.or_per
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
    work = Work(prompt_tokens=training.count.or_per * training.prompt_tokens)
    per = None if training.count.n is not None else "training questions"
    does = "which unknown questions look like known ones; one forward pass, a diagnostic"
    return StagePlan("static conflict", does, training.count, work, per=per)


def _shots_tokens(config: Config, training: QuestionSet) -> float:
    """Of the shots before a prompt that is trained on."""
    shown = config.prompt.n_shots if config.prompt.shots_in == "all" else 0
    return shown * (training.prompt_tokens + ANSWER_TOKENS)


def _training_stage(
    name: str, does: str, count: Count, config: OptimizerSection, training: QuestionSet, shots: float
) -> StagePlan:
    """``shots``: tokens of the shots, which run once for each micro-batch."""
    n = count.or_per
    seen = n * config.epochs
    work = Work(
        trained_tokens=seen * (training.prompt_tokens + ANSWER_TOKENS - 1) + shots * seen / config.micro_batch_size,
        trained_positions=seen * ANSWER_TOKENS,
    )
    steps = Count(None if count.n is None else n_steps(count.n, config), count.is_exact)
    per = None if count.n is not None else "examples"
    return StagePlan(name, does, count, work, unit="examples", steps=steps, per=per)


def _influence_stage(config: Config, training: QuestionSet) -> StagePlan:
    """At most: were all questions known (ik), each would have a refusal and an answer to go through.

    Shots go forward once for a batch, and backward, half of the work, once for each gradient; the second of the exact
    passes stops before them. In exact mode the margins are a sketch of the refusals besides.
    """
    n, is_exact = training.count.or_per, config.influence.mode == "exact"
    n_gradients = (3 if is_exact else 2) * n
    passes = n_gradients + (n if is_exact else 0)
    shots = _shots_tokens(config, training)
    work = Work(
        trained_tokens=passes * (training.prompt_tokens + ANSWER_TOKENS - 1) + n_gradients * shots / 2,
        trained_positions=passes * ANSWER_TOKENS,
    )
    how = (
        "exact, two passes, and one for the margins"
        if is_exact
        else f"one pass, {config.influence.dimensions:,} numbers each"
    )
    does = f"gradients of the refusal for every question and of the answer for known ones; {how}"
    per = None if training.count.n is not None else "training questions"
    return StagePlan("influence", does, Count(None if per else passes, False), work, unit="gradients", per=per)


def _asking_stage(config: Config, name: str, does: str, data: QuestionSet, systems: Sequence[str]) -> StagePlan:
    n, work = data.count.or_per, Work()
    for system in systems:
        prompt = data.query_tokens if METHODS[system].asked == "query" else data.prompt_tokens
        work += _generation(n, prompt, 1, config.evaluation.max_new_tokens, config.tokens_per_batch)
    does = f"{does} of {len(systems)} systems: {_names(systems)}"
    per = None if data.count.n is not None else "questions"
    return StagePlan(f"{name} {data.title}", does, data.count, work, samples=data.count.times(len(systems)), per=per)


def _probes_stage(config: Config) -> StagePlan:
    systems = [INIT_REFUSE, *config.training.methods]
    probes = local_set("probes", "in this package", [probe.question for probe in load_probes()])
    each = _generation(
        probes.count.or_per, probes.prompt_tokens, 1, config.evaluation.max_new_tokens, config.tokens_per_batch
    )
    does = f"unanswerable questions and chit-chat to {len(systems)} systems: {_names(systems)}"
    work = sum((each for _ in systems), Work())
    return StagePlan("probes", does, probes.count, work, unit="probes", samples=probes.count.times(len(systems)))
