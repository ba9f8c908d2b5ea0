"""Correctness and certainty of every question by the initial model (CRaFT section 3.1, GRAIT section 3.1).

Free text: N samples; correctness is the share that is right. Options by letter: probability of the right letter at
the answer position. Options by likelihood: the same from the length-normalised likelihood of each option's text, for
models too small to bind letters to options.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from string import ascii_uppercase

from grait.config import KnowledgeConfig
from grait.errors import KnowledgeError
from grait.judging.judges import Judge, Matching, ToJudge
from grait.judging.reasoning import without_reasoning
from grait.knowledge.certainty import agreement, embedding_certainty
from grait.model.common_prefix import common_prefix_length
from grait.model.engine import Advance, Engine
from grait.model.prompts import Prompt, PromptFormat
from grait.model.sentences import Embed
from grait.records import KnowledgeState, Label, Question


def label(correctness: float, threshold: float) -> Label:
    """``ik`` above the threshold T_c, ``idk`` below, ``dropped`` exactly on it."""
    if correctness > threshold:
        return "ik"
    return "idk" if correctness < threshold else "dropped"


def query(
    engine: Engine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    config: KnowledgeConfig,
    *,
    seed: int,
    advance: Advance,
    judge: Judge | None = None,
    embed: Embed | None = None,
) -> list[KnowledgeState]:
    """The knowledge state of each question, in the questions' order. ``advance`` is told finished questions.

    Questions with the same shots are asked together, so that each subject's shots run once. ``judge``: of samples; None
    for the built-in one. ``embed``: sentence embeddings for the certainty of free text; given if and only if
    ``config.certainty`` asks for them.
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
        states |= sample_answers(
            engine, prompts, free_text, config, seed=seed, advance=advance, judge=judge, embed=embed
        )
    if with_options:
        score = score_options if config.scoring == "likelihood" else score_letters
        states |= score(engine, prompts, with_options, config, advance=advance)
    return [states[question.id] for question in questions]


def sample_answers(
    engine: Engine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    config: KnowledgeConfig,
    *,
    seed: int,
    advance: Advance,
    judge: Judge | None = None,
    embed: Embed | None = None,
) -> dict[str, KnowledgeState]:
    """mu is the share of samples that ``judge`` calls correct, as in the evaluation; a refusing one is not.

    Samples without a verdict take no part; where none has one, mu is NaN and the question ``dropped``.

    Certainty of the samples that answer: by ``embedding_certainty`` with ``embed``, else by ``agreement``.
    """
    samples: dict[str, list[str]] = {}
    for part in prompts.by_shots(questions):
        queries = [prompts.query(question) for question in part]
        answers = engine.generate(
            [query.token_ids for query in queries],
            [question.id for question in part],
            n=config.n_samples,
            temperature=config.found_temperature,
            max_new_tokens=config.max_new_tokens,
            end_token_ids=prompts.end_token_ids(queries[0].is_chat),
            seed=seed,
            advance=advance,
        )
        for question, own in zip(part, answers, strict=True):
            samples[question.id] = [prompts.decode(tokens) for tokens in own]
    rows = [ToJudge(question, output) for question in questions for output in samples[question.id]]
    verdicts = iter((judge or Matching(*prompts.config.refusing))(rows))
    outcomes = {question.id: [next(verdicts) for _ in samples[question.id]] for question in questions}
    given = [
        [
            without_reasoning(output)
            for output, outcome in zip(samples[id_], own, strict=True)
            if outcome not in ("refused", None)
        ]
        for id_, own in outcomes.items()
    ]
    certainties = embedding_certainty(given, embed) if embed else [agreement(own) for own in given]
    states = {}
    for (id_, own_outcomes), certainty in zip(outcomes.items(), certainties, strict=True):
        n_judged = len(own_outcomes) - own_outcomes.count(None)
        correctness = own_outcomes.count("correct") / n_judged if n_judged else math.nan
        states[id_] = KnowledgeState(
            id=id_,
            label=label(correctness, config.correctness_threshold),
            correctness=correctness,
            certainty=certainty,
            option_mass=None,
            answer=Counter(samples[id_]).most_common(1)[0][0],
        )
    return states


def _from_text_probabilities(
    question: Question, probabilities: Mapping[str, float], option_mass: float | None, config: KnowledgeConfig
) -> KnowledgeState:
    """``probabilities``: of each distinct option text, summing to 1. A few questions have options of equal text.

    Either of them is right or wrong as the other, so that mu, certainty and answer are about texts. Certainty is minus
    their entropy: -H, in [-ln(texts), 0] nats.
    """
    correctness = probabilities[question.choices[question.answer_index]] if question.answers else 0.0
    return KnowledgeState(
        id=question.id,
        label=label(correctness, config.correctness_threshold),
        correctness=correctness,
        certainty=sum(p * math.log(p) for p in probabilities.values() if p > 0),
        option_mass=option_mass,
        answer=max(probabilities, key=probabilities.__getitem__),
    )


def softmax(scores: Sequence[float]) -> list[float]:
    """Probabilities in proportion to exp(score); they sum to 1."""
    highest = max(scores)
    weights = [math.exp(score - highest) for score in scores]
    return [weight / sum(weights) for weight in weights]


def letter_tokens(prompts: PromptFormat, query: Prompt, n: int) -> list[tuple[int, ...]]:
    """Tokens of the first n option letters as answers, each up to the first that tells them apart.

    One token in most tokenizers; two in those that write the blank before a letter as a token of its own. The same
    after all plain queries, and after all chat queries: all of a kind end in the same line, and a completion begins
    where a token begins.
    """
    letters = [prompts.completion(query, letter).token_ids[:-1] for letter in ascii_uppercase[:n]]
    shared = common_prefix_length(letters)
    return [tokens[: shared + 1] for tokens in letters]


def score_letters(
    engine: Engine, prompts: PromptFormat, questions: Sequence[Question], config: KnowledgeConfig, *, advance: Advance
) -> dict[str, KnowledgeState]:
    """Options by letter: mu = p_gold / sum_o p_o, all from one distribution at the position of the letter.

    The probabilities of options of equal text are added. ``option_mass`` = sum_o p_o over the whole vocabulary. The
    published scripts normalise one option after the other, each by a sum that already holds normalised values; this
    does not.
    """
    tokens: dict[tuple[bool, int], list[tuple[int, ...]]] = {}  # by form of the query and number of options
    states = {}
    for part in prompts.by_shots(questions):
        queries = [prompts.query(question) for question in part]
        letters = []
        for question, query in zip(part, queries, strict=True):
            form = query.is_chat, len(question.choices)
            if form not in tokens:
                tokens[form] = letter_tokens(prompts, query, len(question.choices))
            letters.append(tokens[form])
        logprobs = engine.completion_logprobs([query.token_ids for query in queries], letters, advance=advance)
        for question, own in zip(part, logprobs, strict=True):
            scores = [sum(of_letter) for of_letter in own]
            mass = sum(math.exp(score) for score in scores)
            by_text: dict[str, float] = {}
            for choice, probability in zip(question.choices, softmax(scores), strict=True):
                by_text[choice] = min(1.0, by_text.get(choice, 0.0) + probability)
            states[question.id] = _from_text_probabilities(question, by_text, mass, config)
    return states


def score_options(
    engine: Engine, prompts: PromptFormat, questions: Sequence[Question], config: KnowledgeConfig, *, advance: Advance
) -> dict[str, KnowledgeState]:
    """Options by likelihood: softmax of the mean log-probability per token of each option's text (no end token). A text
    that stands twice among the options counts once."""
    states = {}
    for part in prompts.by_shots(questions):
        queries = [prompts.query(question) for question in part]
        texts = [list(dict.fromkeys(question.choices)) for question in part]
        options = [
            [prompts.completion(query, text).token_ids[:-1] for text in own]
            for own, query in zip(texts, queries, strict=True)
        ]
        logprobs = engine.completion_logprobs([query.token_ids for query in queries], options, advance=advance)
        for question, own_texts, own in zip(part, texts, logprobs, strict=True):
            probabilities = softmax([sum(tokens) / len(tokens) for tokens in own])
            by_text = dict(zip(own_texts, probabilities, strict=True))
            states[question.id] = _from_text_probabilities(question, by_text, None, config)
    return states
