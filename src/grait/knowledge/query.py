"""Correctness and certainty of every question by the initial model (CRaFT section 3.1, GRAIT section 3.1).

Free text: N samples; correctness is the share that is right. Options by letter: probability of the right letter at
the answer position. Options by likelihood: the same from the length-normalised likelihood of each option's text, for
models too small to bind letters to options.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from string import ascii_uppercase

from grait.config import KnowledgeConfig
from grait.errors import KnowledgeError
from grait.judging.matching import is_correct
from grait.judging.refusal import detect_refusal
from grait.knowledge.certainty import agreement, embedding_certainty
from grait.model.inference import InferenceEngine, common_prefix_length
from grait.model.prompts import Prompt, PromptFormat
from grait.model.sentences import Embed
from grait.records import KnowledgeState, Label, Question

Advance = Callable[[int], None]


def label(correctness: float, threshold: float) -> Label:
    """``ik`` above the threshold T_c, ``idk`` below, ``dropped`` exactly on it."""
    if correctness > threshold:
        return "ik"
    return "idk" if correctness < threshold else "dropped"


def query(
    engine: InferenceEngine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    config: KnowledgeConfig,
    *,
    seed: int,
    advance: Advance,
    embed: Embed | None = None,
) -> list[KnowledgeState]:
    """The knowledge state of each question, in the questions' order. ``advance`` is told finished questions.

    ``embed``: sentence embeddings for the certainty of free text; given if and only if ``config.certainty`` asks for
    them.
    """
    assert (embed is not None) == (config.certainty == "embedding")
    free_text = [question for question in questions if not question.choices or config.scoring == "sampling"]
    with_options = [question for question in questions if question.choices and config.scoring != "sampling"]
    states: dict[str, KnowledgeState] = {}
    if free_text:
        if config.scoring in ("letter", "likelihood"):
            raise KnowledgeError(
                f"knowledge.scoring = {config.scoring}: question {free_text[0].id} has no choices; use auto or sampling"
            )
        states |= sample_answers(engine, prompts, free_text, config, seed=seed, advance=advance, embed=embed)
    if with_options:
        score = score_options if config.scoring == "likelihood" else score_letters
        states |= score(engine, prompts, with_options, config, advance=advance)
    return [states[question.id] for question in questions]


def sample_answers(
    engine: InferenceEngine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    config: KnowledgeConfig,
    *,
    seed: int,
    advance: Advance,
    embed: Embed | None = None,
) -> dict[str, KnowledgeState]:
    """Free text: mu is the share of correct samples; a refusing sample counts as incorrect.

    Certainty of the samples that answer: by ``embedding_certainty`` with ``embed``, else by ``agreement``.
    """
    queries = [prompts.query(question) for question in questions]
    answers = engine.generate(
        [query.token_ids for query in queries],
        [question.id for question in questions],
        n=config.n_samples,
        temperature=config.temperature,
        max_new_tokens=config.max_new_tokens,
        end_token_ids=prompts.end_token_ids(queries[0].is_chat),
        seed=seed,
        advance=advance,
    )
    samples = [[prompts.decode(tokens) for tokens in own] for own in answers]
    given = [
        [output for output in own if detect_refusal(output, question) != "refused"]
        for question, own in zip(questions, samples, strict=True)
    ]
    certainties = embedding_certainty(given, embed) if embed else [agreement(own) for own in given]
    states = {}
    for question, outputs, certainty in zip(questions, samples, certainties, strict=True):
        correctness = sum(is_correct(output, question) for output in outputs) / len(outputs)
        states[question.id] = KnowledgeState(
            id=question.id,
            label=label(correctness, config.correctness_threshold),
            correctness=correctness,
            certainty=certainty,
            option_mass=None,
            answer=Counter(outputs).most_common(1)[0][0],
        )
    return states


def _from_option_probabilities(
    question: Question, probabilities: Sequence[float], option_mass: float | None, config: KnowledgeConfig
) -> KnowledgeState:
    """``probabilities`` sum to 1. Certainty is minus their entropy: -H, in [-ln(options), 0] nats."""
    correctness = probabilities[question.answer_index]
    return KnowledgeState(
        id=question.id,
        label=label(correctness, config.correctness_threshold),
        correctness=correctness,
        certainty=sum(p * math.log(p) for p in probabilities if p > 0),
        option_mass=option_mass,
        answer=question.choices[max(range(len(probabilities)), key=probabilities.__getitem__)],
    )


def softmax(scores: Sequence[float]) -> list[float]:
    """Probabilities in proportion to exp(score); they sum to 1."""
    highest = max(scores)
    weights = [math.exp(score - highest) for score in scores]
    return [weight / sum(weights) for weight in weights]


def letter_tokens(prompts: PromptFormat, query: Prompt, n: int) -> list[tuple[int, ...]]:
    """Tokens of the first n option letters as answers, each up to the first that tells them apart.

    One token in most tokenizers; two in those that write the blank before a letter as a token of its own.
    """
    letters = [prompts.completion(query, letter).token_ids[:-1] for letter in ascii_uppercase[:n]]
    shared = common_prefix_length(letters)
    return [tokens[: shared + 1] for tokens in letters]


def score_letters(
    engine: InferenceEngine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    config: KnowledgeConfig,
    *,
    advance: Advance,
) -> dict[str, KnowledgeState]:
    """Options by letter: mu = p_gold / sum_o p_o, all from one distribution at the position of the letter.

    ``option_mass`` = sum_o p_o over the whole vocabulary. The published scripts normalise one option after the
    other, each by a sum that already holds normalised values; this does not.
    """
    queries = [prompts.query(question) for question in questions]
    letters = [
        letter_tokens(prompts, query, len(question.choices)) for question, query in zip(questions, queries, strict=True)
    ]
    logprobs = engine.completion_logprobs([query.token_ids for query in queries], letters, advance=advance)
    states = {}
    for question, own in zip(questions, logprobs, strict=True):
        scores = [sum(tokens) for tokens in own]
        mass = sum(math.exp(score) for score in scores)
        states[question.id] = _from_option_probabilities(question, softmax(scores), mass, config)
    return states


def score_options(
    engine: InferenceEngine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    config: KnowledgeConfig,
    *,
    advance: Advance,
) -> dict[str, KnowledgeState]:
    """Options by likelihood: softmax of the mean log-probability per token of each option's text (no end token)."""
    queries = [prompts.query(question) for question in questions]
    options = [
        [prompts.completion(query, choice).token_ids[:-1] for choice in question.choices]
        for question, query in zip(questions, queries, strict=True)
    ]
    logprobs = engine.completion_logprobs([query.token_ids for query in queries], options, advance=advance)
    return {
        question.id: _from_option_probabilities(
            question, softmax([sum(tokens) / len(tokens) for tokens in own]), None, config
        )
        for question, own in zip(questions, logprobs, strict=True)
    }


def check_both_sides(states: Sequence[KnowledgeState], threshold: float) -> None:
    """Raise KnowledgeError when the model knows everything or nothing: there is then no boundary to learn."""
    n_ik = sum(state.label == "ik" for state in states)
    n_idk = sum(state.label == "idk" for state in states)
    if n_ik and n_idk:
        return
    found = f"of {len(states)} training questions the model knows {n_ik} and does not know {n_idk}"
    if not n_ik:
        raise KnowledgeError(
            f"{found}: nothing to keep. Add easier questions, use a stronger model, "
            f"or lower knowledge.correctness_threshold (now {threshold})"
        )
    raise KnowledgeError(
        f"{found}: nothing to refuse. Add harder questions, or raise knowledge.correctness_threshold (now {threshold})"
    )
