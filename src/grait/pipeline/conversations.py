"""Part of stage 4: test questions in a chat, by themselves and after other turns."""

from collections.abc import Mapping, Sequence
from typing import get_args

from grait.config import Config
from grait.data.probes import load_conversations, load_passages
from grait.evaluation.conversations import SINGLE, in_conversation
from grait.judging.matching import contains_answer
from grait.methods.catalog import INIT_REFUSE
from grait.model.forms import built_in
from grait.pipeline.data import RunData
from grait.pipeline.models import Models
from grait.pipeline.replies import Probing, replies
from grait.pipeline.stages import Stages
from grait.pipeline.work import SetSize, StagePlan, Work
from grait.records import ConversationKind, ConversationRecord, Outcome, Question, SideEffectAnswer, SideEffectOutcome
from grait.runtime.artifacts import Stage

History = Sequence[dict[str, str]]

KINDS: tuple[ConversationKind, ...] = get_args(ConversationKind)

OUTCOMES: dict[SideEffectOutcome, Outcome] = {"refused": "refused", "right": "correct"}
"""Of replies; all others are wrong."""

HISTORY_TOKENS = 45
"""About so many stand before a question."""


def conversation_replies(
    data: RunData, models: Models, stages: Stages, systems: Mapping[str, Stage | None]
) -> dict[str, list[SideEffectAnswer]]:
    """Those of each system, by its adapter; None is the initial model. Nothing without a chat template, or with one
    that takes no turns."""
    if not data.prompts.has_template or not data.prompts.takes_turns:
        return {}
    return replies(data, models, stages, "conversations", asked_in_conversation(data), systems)


def conversation_records(data: RunData, said: Mapping[str, Sequence[SideEffectAnswer]]) -> list[ConversationRecord]:
    """What replies amount to; the initial model's are among them."""
    if not said:
        return []
    outcomes: dict[ConversationKind, dict[str, dict[str, Outcome]]] = {
        kind: {system: _outcomes(rows, kind) for system, rows in said.items()} for kind in KINDS
    }
    config, dataset = data.config, next(iter(data.test_sets))
    return in_conversation(dataset, outcomes, INIT_REFUSE, config.evaluation.n_bootstrap, config.seed)


def _outcomes(rows: Sequence[SideEffectAnswer], kind: ConversationKind) -> dict[str, Outcome]:
    """By question id."""
    return {row.id.partition("/")[2]: OUTCOMES.get(row.outcome, "wrong") for row in rows if row.category == kind}


def asked_in_conversation(data: RunData) -> list[Probing]:
    """The first ``evaluation.max_probes`` questions of the first test set, as bare chat questions: each by itself,
    then after turns of every kind. Turns in which an answer stands are not taken."""
    questions = next(iter(data.test_sets.values()))[: data.config.evaluation.max_probes]
    prompts, form, found = data.prompts, built_in("question", data.config.prompt), []
    for kind in KINDS:
        histories = _histories(kind)
        for place, question in enumerate(questions):
            start = place % len(histories)
            turns = _without_answer([*histories[start:], *histories[:start]], question)
            *system, said = prompts.messages(question, "refuse", form)
            prompt = prompts.chat([*system, *turns, said])
            found.append(Probing(f"after-{kind}/{question.id}", form.name, prompt, "question", kind, question))
    return found


def _histories(kind: ConversationKind) -> list[History]:
    if kind == SINGLE:
        return [()]
    if kind == "context":
        return [
            ({"role": "user", "content": passage.text}, {"role": "assistant", "content": f"{passage.answers[0]}."})
            for passage in load_passages()
        ]
    return [row.messages for row in load_conversations() if row.category == kind]


def _without_answer(histories: Sequence[History], question: Question) -> History:
    """The first one in which no reference answer stands; the first of all where there is none."""
    for turns in histories:
        text = "\n".join(turn["content"] for turn in turns)
        if not any(contains_answer(text, answer) for answer in question.answers):
            return turns
    return histories[0]


def plan_conversations(config: Config, tests: SetSize) -> StagePlan:
    """The cost of both, of a model with a chat template. ``tests``: the first test set."""
    asked = tests.first(config.evaluation.max_probes)
    count = asked.count.times(len(KINDS))
    systems = [INIT_REFUSE, *config.training.methods]
    n_tokens = asked.prompt_tokens + HISTORY_TOKENS
    each = Work.generating(count.or_per, n_tokens, config.evaluation.max_new_tokens, config.tokens_per_batch)
    work = sum((each for _ in systems), Work())
    does = f"questions in a chat, after turns of {len(KINDS) - 1} kinds, to {', '.join(systems)}"
    return StagePlan("conversations", does, count, work, samples=count.times(len(systems)))
