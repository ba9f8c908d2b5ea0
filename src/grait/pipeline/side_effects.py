"""Part of stage 4: what tuning did to all that is no short question of fact.

Every trained system, and the initial model beside it, is asked what must not be refused, and what should be, in the
run's own form and in those of a chat.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from grait.config import Config, PromptConfig
from grait.data.probes import load_conversations, load_instructions, load_passages, load_probes
from grait.evaluation.side_effects import summarize_side_effects
from grait.judging.extraction import is_extract
from grait.methods.catalog import INIT_REFUSE
from grait.model.forms import Form, built_in, forms_of
from grait.model.prompts import PromptFormat
from grait.pipeline.conversations import conversation_records, conversation_replies
from grait.pipeline.data import RunData
from grait.pipeline.drift import drift_of_systems, plan_drift
from grait.pipeline.models import Models
from grait.pipeline.replies import Probing, replies
from grait.pipeline.results import Same, SideEffects
from grait.pipeline.stages import Stages
from grait.pipeline.work import Count, SetSize, StagePlan, Work
from grait.records import Question, SideEffectAnswer, SideEffectKind
from grait.runtime.artifacts import Stage

STRIDE = 50
"""Between the chit-chat probes that follow the histories of conversations: prime to their number, over all kinds."""

T = TypeVar("T")


def trained_side_effects(
    data: RunData, models: Models, stages: Stages, adapters: Mapping[str, Stage], same: Same
) -> SideEffects:
    """Those of the initial model and of all trained ones; none where ``evaluation.probes`` is off."""
    if not data.config.evaluation.probes:
        return SideEffects()
    systems = {INIT_REFUSE: None, **adapters}
    found = side_effects(data, models, stages, systems)
    said = conversation_replies(data, models, stages, systems)
    found = replace(found, conversations=conversation_records(data, said))
    return found.named({INIT_REFUSE: INIT_REFUSE, **same})


def side_effects(
    data: RunData, models: Models, stages: Stages, systems: Mapping[str, Stage | None], has_drift: bool = True
) -> SideEffects:
    """Those of systems, which need not be of ours, by their adapters, but for conversations; None: the initial model.
    ``has_drift`` False: where the models are not the initial one with an adapter on."""
    asked = probings(data.prompts, data.config)
    said = replies(data, models, stages, "side_effects", asked, systems)
    records = [record for name, rows in said.items() for record in summarize_side_effects(name, rows, _extracted(rows))]
    if not has_drift:
        return SideEffects(records)
    form = "question" if data.prompts.has_template else asked[0].form
    ordinary = [row for row in asked if row.form == form and row.kind in ("chit-chat", "instruction")]
    prompts = {row.id: row.prompt for row in ordinary}
    return SideEffects(records, drift_of_systems(data, models, stages, prompts, systems))


def _extracted(rows: Sequence[SideEffectAnswer]) -> set[str]:
    """Ids of the right answers to passages that do not only repeat them."""
    texts = {passage.id: passage for passage in load_passages()}
    right = [(row, texts[row.id.partition("/")[2]]) for row in rows if (row.kind, row.outcome) == ("passage", "right")]
    return {row.id for row, text in right if is_extract(row.output, text.passage, text.question)}


# -- what is asked -------------------------------------------------------------------------------------------------


def forms(config: PromptConfig, has_template: bool) -> tuple[Form, ...]:
    """The run's main form, the instruction in the chat template and the bare question in it, each once. Without a chat
    template there is the main form alone."""
    main = forms_of(config)[0]
    others = (built_in("instruction", config), built_in("question", config)) if has_template else ()
    return (main, *(form for form in others if form.name != main.name))


def probings(prompts: PromptFormat, config: Config) -> list[Probing]:
    """All that is asked, form by form; conversations in the chat template without an instruction."""
    asked = _asked(config.evaluation.max_probes)
    rows = [
        Probing(
            f"{form.name}/{question.id}",
            form.name,
            prompts.prompt(Question("", text, ("",)), "refuse", form),
            kind,
            str(question.relation),
            question,
        )
        for form in forms(config.prompt, prompts.has_template)
        for kind, question, text in asked
    ]
    if prompts.has_template and prompts.takes_turns:
        rows += _conversations(prompts, config.evaluation.max_probes)
    return rows


def _asked(limit: int) -> list[tuple[SideEffectKind, Question, str]]:
    """What is asked in every form, at most so many of each kind: kind, what the reply is judged by, and the text."""

    def probes(kind: SideEffectKind) -> list[tuple[SideEffectKind, Question, str]]:
        own = [probe for probe in load_probes() if probe.kind == kind]
        return [(kind, probe.question, probe.text) for probe in _spread(own, limit)]

    rows = probes("chit-chat")
    for instruction in _spread(load_instructions(), limit):
        judged = Question(instruction.id, instruction.text, ("",), relation=instruction.category)
        rows.append(("instruction", judged, instruction.text))
    for passage in _spread(load_passages(), limit):
        # Judged by the question alone: in the passage stand the answer and its rivals.
        judged = Question(passage.id, passage.question, passage.answers, relation=passage.relation)
        rows.append(("passage", judged, passage.text))
    return rows + probes("unanswerable")


def _conversations(prompts: PromptFormat, limit: int) -> list[Probing]:
    """Chit-chat after every history; the n-th history of each kind is followed by the same, so kinds compare."""
    chit_chat = [probe for probe in load_probes() if probe.kind == "chit-chat"]
    kinds: tuple[SideEffectKind, ...] = ("after-refusal", "after-greeting", "after-instruction")
    rows, form = [], built_in("question", prompts.config)
    for kind in kinds:
        own = [row for row in load_conversations() if kind == f"after-{row.category}"]
        for place, history in enumerate(_spread(own, limit)):
            probe = chit_chat[place * STRIDE % len(chit_chat)]
            *system, said = prompts.messages(probe.question, "refuse", form)
            prompt = prompts.chat([*system, *history.messages, said])
            rows.append(Probing(f"{form.name}/{history.id}", form.name, prompt, kind, probe.category, probe.question))
    return rows


def _spread(rows: Sequence[T], limit: int) -> list[T]:
    """At most so many, evenly over the rows, which lie by category."""
    n = min(limit, len(rows))
    return [rows[place * len(rows) // n] for place in range(n)]


# -- what it costs -------------------------------------------------------------------------------------------------


def plan_side_effects(config: Config) -> list[StagePlan]:
    """The cost of ``trained_side_effects``, of a model with a chat template."""
    systems = [INIT_REFUSE, *config.training.methods]
    limit, new_tokens = config.evaluation.max_probes, config.evaluation.max_new_tokens
    shown = forms(config.prompt, has_template=True)
    asked = _asked(limit)
    size = SetSize.counted("", "", [Question("", text, ("",)) for _, _, text in asked])
    categories = Counter(history.category for history in load_conversations())
    count = Count(len(shown) * len(asked) + sum(min(limit, n) for n in categories.values()))
    each = Work.generating(count.or_per, size.prompt_tokens, new_tokens, config.tokens_per_batch)
    does = f"what must not be refused, and what should be, to {len(systems)} systems: {', '.join(systems)}"
    work, samples = sum((each for _ in systems), Work()), count.times(len(systems))
    replies = StagePlan("side effects", does, count, work, unit="prompts", samples=samples)
    ordinary = Count(sum(kind in ("chit-chat", "instruction") for kind, _, _ in asked))
    return [replies, plan_drift(config, ordinary, size.prompt_tokens)]
