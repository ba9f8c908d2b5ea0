"""Training questions whose answer stands in a text before or after them: they are to be read, not refused.

Made of the run's own questions, so that the same question is refused when it stands alone and answered from a text.
"""

import random
from collections.abc import Sequence

from grait.data.facts import SEPARATORS, fact_lines
from grait.data.replay import ReplayPrompt
from grait.records import Question

FRAMES = (
    "{text}\n\n{question}",
    "{question}\n\n{text}",
    "Read this first.\n{text}\n\nNow tell me: {question}",
    "Notes:\n{text}\n\n{question}",
    "Context: {text}\nQuestion: {question}",
)
MOST_OTHERS = 3
"""Other questions with their answers in one text."""


def given_texts(questions: Sequence[Question], n: int, seed: int) -> list[ReplayPrompt]:
    """At most ``n`` prompts, of different questions, drawn by the seed. Those with options or a text are left alone.

    A text is a list of questions with their answers, among them the one that is asked; the others are of the same
    relation where the set names relations. What the model is to answer is what the initial model answers.
    """
    rng = random.Random(f"given {seed}")
    free = [question for question in questions if not question.choices and not question.context]
    alike: dict[str | None, list[Question]] = {}
    for question in free:
        alike.setdefault(question.relation, []).append(question)
    drawn = rng.sample(free, min(n, len(free)))
    return [_prompt(question, alike[question.relation], rng) for question in drawn]


def _prompt(question: Question, alike: Sequence[Question], rng: random.Random) -> ReplayPrompt:
    n_others = rng.randint(0, MOST_OTHERS)
    drawn = rng.sample(alike, min(len(alike), n_others + 1))
    stated = [question, *[other for other in drawn if other.id != question.id][:n_others]]
    rng.shuffle(stated)
    lines = fact_lines(stated, rng)
    text = rng.choice(FRAMES).format(text=rng.choice(SEPARATORS).join(lines), question=question.question)
    name = f"given-{question.id}"
    return ReplayPrompt(name, "given-text", ({"role": "user", "content": text},), name)
