"""The initial model's own words in a chat form: its right answers, to be taught in its own words.

A reference answer is a few words, and a chat model answers in a sentence: taught references, it would lose its manner.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from random import Random

from grait.config import KnowledgeConfig
from grait.judging.judges import Judge, Matching, ToJudge
from grait.judging.reasoning import without_reasoning
from grait.knowledge.query import label
from grait.model.engine import Advance, Engine
from grait.model.forms import Form
from grait.model.prompts import PromptFormat
from grait.records import KnowledgeState, OwnWords, Question

OwnAnswers = Mapping[str, Mapping[str, OwnWords]]
"""By the form that was asked (``Form.own_words``), then by question id."""

_LAST_SENTENCE = re.compile(r".*[.!?][\"')\]]*(?=\s|$)", re.DOTALL)


def in_own_words(
    engine: Engine,
    prompts: PromptFormat,
    questions: Sequence[Question],
    form: Form,
    config: KnowledgeConfig,
    *,
    seed: int,
    advance: Advance,
    judge: Judge | None = None,
) -> list[OwnWords]:
    """``config.own_samples`` of each question in this chat form, judged; in the questions' order, which may be none.

    A sample that was cut off is judged as it is and taught up to its last whole sentence, if that is judged alike.
    ``judge``: None for the built-in one.
    """
    if not questions:
        return []
    shown = [prompts.prompt(question, "refuse", form) for question in questions]
    answers = engine.generate(
        [prompt.token_ids for prompt in shown],
        [question.id for question in questions],
        n=config.own_samples,
        temperature=config.found_temperature,
        max_new_tokens=config.own_max_new_tokens,
        end_token_ids=prompts.end_token_ids(shown[0].is_chat),
        seed=seed,
        advance=advance,
    )
    samples: list[tuple[Question, str, str]] = []  # each as it is, and as it would be taught
    for question, own in zip(questions, answers, strict=True):
        for tokens in own:
            text = without_reasoning(prompts.decode(tokens))
            whole = text if len(tokens) < config.own_max_new_tokens else whole_sentences(text)
            samples.append((question, text, whole))
    rows = [ToJudge(question, text) for question, *texts in samples for text in texts]
    verdicts = iter((judge or Matching(*prompts.config.refusing))(rows))
    judged = iter([(whole, next(verdicts), next(verdicts)) for _, _, whole in samples])
    found = []
    for question, own in zip(questions, answers, strict=True):
        outcomes = []
        texts: dict[str, list[str]] = {"correct": [], "wrong": [], "refused": []}
        for _ in own:
            whole, outcome, taught = next(judged)
            if outcome is not None:
                outcomes.append(outcome)
                if whole and taught == outcome:
                    texts[outcome].append(whole)
        n_right = outcomes.count("correct")
        right = Random(f"{seed}\0{question.id}").choice(texts["correct"]) if texts["correct"] else None
        wrong = Counter(texts["wrong"]).most_common(1)[0][0] if texts["wrong"] else None
        found.append(OwnWords(question.id, n_right / max(len(outcomes), 1), right, wrong))
    return found


def whole_sentences(text: str) -> str:
    """The text up to its last end of a sentence; nothing where it has none."""
    found = _LAST_SENTENCE.match(text)
    return found.group() if found else ""


def known_in_any_form(
    states: Sequence[KnowledgeState], own: OwnAnswers, threshold: float, with_text: Collection[str] = ()
) -> list[KnowledgeState]:
    """The states with the highest correctness of all forms that were asked, and its label.

    ``with_text``: ids of questions whose own words were said with their text at hand, which tell nothing of knowledge.

    A model may know in one form what it does not say in another; it is not to refuse there what it can say here.
    Certainty and answer stay those of the main query.
    """
    if not own:
        return list(states)
    found = []
    for state in states:
        forms = () if state.id in with_text else own.values()
        others = [of_form[state.id].correctness for of_form in forms if state.id in of_form]
        correctness = max([state.correctness, *others])
        found.append(replace(state, correctness=correctness, label=label(correctness, threshold)))
    return found
