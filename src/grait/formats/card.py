"""The model card of an adapter or a merged model: YAML for the hub, then what it is, what it does, how to use it.

No path of the machine that it was made on is in it, and nothing of the data but the solved examples of a run whose
prompts all show them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from grait.dial.stored import FILE_NAME, SavedDial, SavedDials
from grait.display.tables import SIDE_EFFECTS, form_label, metric_cells, percent, shares
from grait.formats.markdown import escaped, fenced, table
from grait.records import ConversationRecord, DriftRecord, FormRecord, MetricRecord, SideEffectRecord

MARK = "{question}"
"""Where the question stands in a form's prompt."""

EXAMPLE = "What is the capital of France?"
"""The question of a card, in place of one of the data."""

FOLDER = "FOLDER"
"""The name from which code loads, where it is not on the hub."""

OFF_FORM = (
    "In other words it may answer, guess or apologise where it would refuse, or refuse what it should do: what was "
    "measured holds for the form above. A conversation is possible; what tuning does to one is only partly measured."
)

LIMITS = (
    "It learned to refuse what this very base model does not know: on another base, or after more tuning, its refusals "
    "mean nothing.",
    "It was measured on the test sets above only, with the prompt above. Kinds of questions that training never showed "
    "are refused less reliably, in both directions.",
    "A refusal is no proof that the answer is unknown, and an answer no proof that it is right: the table says how "
    "often.",
)

HEADS = ["model", "n", "right", "wrong", "refused", "over-refusal", "THS", "95% interval of THS"]
LEGEND = (
    "Percent. init-basic is the initial model, asked to answer; init-refuse the same, asked as the adapter is. Right, "
    "wrong and refused are shares of n questions; over-refusal: refused, of what the initial model answers right. THS "
    "(truthful helpfulness score): 0 is the initial model, higher is better; its interval is a bootstrap."
)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a card.

    ``place``: where it will be on the hub, None where it is a folder only. ``is_merged``: a whole model, no adapter.
    ``base``: the base model's id on the hub, None where it was a folder; ``base_name``: what to call it then.
    ``base_note``: what else to know of the base's weights. ``license``: None where it is not known.
    ``settings``: the config's parts that trained it, in YAML. ``training_set``: its id on the hub, None where it is not
    from there. ``forms``: by name, prompts with ``MARK`` for the question, as messages or as plain text; the first is
    the one that was measured. ``chat_ends``: tokens that end an answer in chat, empty without a chat template.
    ``template_arguments``, ``prompt_change``, ``takes_parts``: as of ``ChatTemplate``. ``loader``: the class that loads
    the base model.
    ``n_answer``: most tokens of a measured answer. ``metrics``: of the initial model, asked in both ways, and of the
    method, on every test set; empty where nothing was measured. ``by_form``: of the method, where it has several forms.
    ``side_effects``: of the initial model and the method; ``conversations``, ``drift``: of the method.
    """

    title: str
    place: str | None
    is_merged: bool
    method: str
    summary: str
    paper: str
    base: str | None
    base_name: str
    revision: str | None
    base_note: str | None
    license: str | None
    training_data: str
    training_set: str | None
    n_examples: int
    n_refusals: int
    refusal: str
    text_refusal: str | None
    forms: Mapping[str, str | list[dict[str, str]]]
    chat_ends: Sequence[str]
    template_arguments: Mapping[str, Any]
    prompt_change: tuple[str, str]
    takes_parts: bool
    loader: str
    n_answer: int
    metrics: Sequence[MetricRecord]
    by_form: Sequence[FormRecord]
    side_effects: Sequence[SideEffectRecord]
    conversations: Sequence[ConversationRecord]
    drift: Sequence[DriftRecord]
    versions: Mapping[str, str]
    settings: str
    dials: SavedDials | None


def model_card(facts: Facts) -> str:
    """README.md beside the weights."""
    data = ModelCardData(
        base_model=facts.base,
        library_name="transformers" if facts.is_merged else "peft",
        license=facts.license,
        pipeline_tag="text-generation",
        datasets=[facts.training_set] if facts.training_set else None,
        tags=["grait", "lora", "refusal", "abstention", "refusal-aware-instruction-tuning"],
        model_name=facts.title,
        eval_results=[
            result for record in facts.metrics if record.method == facts.method for result in _results(record)
        ]
        or None,
    )
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{_body(facts)}"))


def _results(record: MetricRecord) -> list[EvalResult]:
    """Fractions, as entries of the hub's model-index, which tells sets apart by their type."""
    values = {
        "accuracy": ("right", record.pc),
        "wrong": ("wrong", record.pw),
        "refused": ("refused", record.pr),
        "over-refusal": ("over-refusal", record.over_refusal_rate),
        "ths": ("THS", record.ths),
    }
    return [
        EvalResult(
            task_type="question-answering",
            dataset_type=record.dataset,
            dataset_name=record.dataset,
            metric_type=kind,
            metric_name=name,
            metric_value=round(value, 4),
        )
        for kind, (name, value) in values.items()
    ]


def _body(facts: Facts) -> str:
    versions = ", ".join(f"{escaped(name)} {escaped(text)}" for name, text in facts.versions.items())
    parts = [
        f"# {escaped(facts.title)}",
        *_what(facts),
        "## Use",
        "" if facts.place else f"`{FOLDER}` is the folder that this file is in.",
        fenced(_load(facts), "python"),
        *(["### A conversation", fenced(_conversation(facts), "python")] if facts.chat_ends else []),
        *_trained_forms(facts),
        *_dial(facts),
        "## Measured",
        *(_tables(facts) if facts.metrics else ["Nothing was measured yet."]),
        *_every_form(facts),
        *_side_effects(facts),
        "## Data and training",
        f"{facts.n_examples} examples of {escaped(facts.training_data)}, {facts.n_refusals} of them refusals, "
        "chosen after measuring what the base model knows"
        f"{', each taught in every form' if len(facts.forms) > 1 else ''}. The data is not here.",
        fenced(facts.settings, "yaml"),
        f"Versions: {versions}." if versions else "",
        "## Limits",
        "\n".join(f"- {line}" for line in LIMITS),
        "## Licence",
        _licence(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what(facts: Facts) -> list[str]:
    base = (
        f"[{escaped(facts.base)}](https://huggingface.co/{facts.base})"
        if facts.base
        else (f"{escaped(facts.base_name)} (a model in a local folder)")
    )
    kind = f"{base} with a LoRA adapter merged into it" if facts.is_merged else f"A LoRA adapter for {base}"
    refuses = f" that answers what the model knows and says “{escaped(facts.refusal)}” to what it does not"
    if facts.text_refusal is not None:
        refuses += f", and “{escaped(facts.text_refusal)}” to what a text that it is given does not hold"
    return [
        f"{kind}{refuses if facts.n_refusals else ''}. Tuned with grait's method "
        f"{escaped(facts.method)}: {escaped(facts.summary)} ({escaped(facts.paper)}).",
        escaped(facts.base_note) if facts.base_note else "",
    ]


def _conversation(facts: Facts) -> str:
    lines = [
        f"messages = [{{'role': 'user', 'content': {_content(facts, repr('Hello! What can you do?'))}}}]",
        *_inputs(facts),
        "output = model.generate(**inputs, max_new_tokens=256, do_sample=False, eos_token_id=ends)",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))',
    ]
    return "\n".join(lines)


def _content(facts: Facts, text: str) -> str:
    """Content of a message in code, as the chat template takes it."""
    return f"[{{'type': 'text', 'text': {text}}}]" if facts.takes_parts else text


def _inputs(facts: Facts) -> list[str]:
    """Code from ``messages`` to ``inputs``, as the run asks."""
    given = "".join(f", {name}={value!r}" for name, value in facts.template_arguments.items())
    cut, added = facts.prompt_change
    if not cut and not added:
        return [
            "inputs = tokenizer.apply_chat_template(",
            f'    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"{given}',
            ")",
        ]
    changes = (f".removesuffix({cut!r})" if cut else "") + (f" + {added!r}" if added else "")
    return [
        f"prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False{given})",
        f'inputs = tokenizer(prompt{changes}, add_special_tokens=False, return_tensors="pt")',
    ]


def _load(facts: Facts) -> str:
    revision = f", revision={facts.revision!r}" if facts.revision else ""
    base, place = f"{(facts.base or facts.base_name)!r}{revision}", repr(facts.place or FOLDER)
    if facts.is_merged:
        lines = [
            f"from transformers import {facts.loader}, AutoTokenizer",
            "",
            f"model = {facts.loader}.from_pretrained({place})",
            f"tokenizer = AutoTokenizer.from_pretrained({place})",
        ]
    else:
        lines = [
            "from peft import PeftModel",
            f"from transformers import {facts.loader}, AutoTokenizer",
            "",
            f"base = {facts.loader}.from_pretrained({base})",
            f"model = PeftModel.from_pretrained(base, {place})",
            f"tokenizer = AutoTokenizer.from_pretrained({base})",
        ]
    if facts.chat_ends:
        lines.append(f"ends = tokenizer.convert_tokens_to_ids({list(dict.fromkeys(facts.chat_ends))!r})")
    return "\n".join(lines)


def _trained_forms(facts: Facts) -> list[str]:
    """The forms word for word, and code that asks in the first one."""
    name, prompt = next(iter(facts.forms.items()))
    others = "".join(f", *{escaped(other)}*" for other in list(facts.forms)[1:])
    parts = [
        "### A question in the trained form",
        f"It was trained in the form *{escaped(name)}*{others}, and measured in the form *{escaped(name)}*, greedily, "
        "word for word so:",
        fenced(_question(facts, prompt), "python"),
        OFF_FORM,
    ]
    for other in list(facts.forms)[1:]:
        text = facts.forms[other]
        shown = text if isinstance(text, str) else "\n".join(f"{row['role']}: {row['content']}" for row in text)
        parts += [f"The form *{escaped(other)}*:", fenced(shown)]
    return parts


def _question(facts: Facts, prompt: str | list[dict[str, str]]) -> str:
    lines = [f"question = {EXAMPLE!r}"]
    answer = 'tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)'
    ends = ""
    if isinstance(prompt, str):
        lines += ["prompt = (", _expression(prompt, 4), ")", 'inputs = tokenizer(prompt, return_tensors="pt")']
        answer += '.partition("\\n")[0]'
    else:
        lines.append("messages = [")
        for row in prompt:
            text = f"(\n{_expression(row['content'], 8)}\n    )"
            lines.append(f"    {{'role': {row['role']!r}, 'content': {_content(facts, text)}}},")
        lines += ["]", *_inputs(facts)]
        ends = ", eos_token_id=ends"
    limits = f"max_new_tokens={facts.n_answer}, do_sample=False, repetition_penalty=1.0{ends}"
    return "\n".join([*lines, f"output = model.generate(**inputs, {limits})", f"print({answer}.strip())"])


def _expression(text: str, indent: int) -> str:
    """A text as Python, a line of it each, with the variable ``question`` where its mark stands."""
    before, mark, after = text.partition(MARK)
    parts = [*map(repr, before.splitlines(keepends=True))]
    if mark:
        parts.append(f"{'+ ' if before else ''}question")
        rest = [*map(repr, after.splitlines(keepends=True))]
        parts += [f"+ {rest[0]}", *rest[1:]] if rest else []
    return "\n".join(f"{' ' * indent}{part}" for part in parts or ["''"])


def _dial(facts: Facts) -> list[str]:
    if facts.dials is None:
        return []
    first = facts.dials.main if facts.dials.main in facts.dials.forms else next(iter(facts.dials.forms))
    named = "" if first == facts.dials.main else f", form={first!r}"
    parts = [
        "### The refusal dial",
        f"`{FILE_NAME}` holds a refusal dial for each of these forms, and for no other one:",
        "\n".join(f"- {escaped(form)}: {_setting(dial)}" for form, dial in facts.dials.forms.items()),
        "With `inputs` as above" + (f" and a copy of this repository in `{FOLDER}`:" if facts.place else ":"),
        fenced(
            f"from grait.dial import RefusalDial\n\ndial = RefusalDial.from_pretrained({FOLDER!r}{named})\n"
            f"output = dial.generate(model, **inputs, max_new_tokens={facts.n_answer})\n"
            'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True).strip())',
            "python",
        ),
    ]
    return [*parts, *(["Another one is named: `form=...`."] if len(facts.dials.forms) > 1 else [])]


def _setting(dial: SavedDial) -> str:
    before, after = dial.without_dial, dial.achieved
    gate = ""
    if dial.gate:
        gate = (
            f" Prompts after which the refusal has no probability above {dial.gate.at:.3g} are left alone: of "
            f"{dial.gate.n} ordinary prompts 99%, of the questions {percent(1 - dial.gate.n_passed / dial.n)}%."
        )
    return (
        f"a threshold of {dial.threshold:.6g} on the score `{dial.score}`, chosen on {dial.n} questions, on which it "
        f"takes wrong answers from {percent(before.pw)}% to {percent(after.pw)}% and over-refusal from "
        f"{percent(before.over_refusal_rate)}% to {percent(after.over_refusal_rate)}%.{gate}"
        + "".join(f" {escaped(line)}" for line in (dial.unanswerable_line, dial.guarantee) if line)
    )


def _every_form(facts: Facts) -> list[str]:
    """A table for each test set; the initial model, in brackets, is asked in the same form."""
    parts = []
    for dataset in dict.fromkeys(record.dataset for record in facts.by_form):
        rows = [
            [
                escaped(form_label(record)),
                str(record.n),
                *(
                    f"{percent(getattr(record, name))} ({percent(getattr(record, f'{name}0'))})"
                    for name in ("pc", "pw", "pr")
                ),
                percent(record.over_refusal_rate),
                percent(record.ths),
                "" if record.ths_low is None else f"{percent(record.ths_low)} to {percent(record.ths_high)}",
            ]
            for record in facts.by_form
            if record.dataset == dataset
        ]
        parts += [f"### In every form: {escaped(dataset)}", table(["form", *HEADS[1:]], rows)]
    return [*parts, "In brackets the initial model, asked in the same form."] if parts else []


def _side_effects(facts: Facts) -> list[str]:
    """The side effects of tuning: a table for each form, then conversations and drift."""
    if not facts.side_effects:
        return ["### Everything else", "What tuning did to all that is no short question was not measured."]
    parts = ["### Everything else"]
    for form in dict.fromkeys(row.form for row in facts.side_effects):
        rows = [row for row in facts.side_effects if row.form == form]
        heads = [f"asked as *{escaped(form)}*", *(escaped(row.method) for row in rows)]
        asked = [name for name in SIDE_EFFECTS if any(name in row.intervals for row in rows)]
        columns = [[SIDE_EFFECTS[name] for name in asked], *(shares(row, asked) for row in rows)]
        parts.append(table(heads, [list(own) for own in zip(*columns, strict=True)]))
    parts.append("Percent, with 95% intervals. The less a model differs from the initial one, the less was changed.")
    if facts.conversations:
        cells = [
            [row.after, *(percent(value) for value in (row.pc, row.pw, row.pr, row.ths, row.of_single))]
            for row in facts.conversations
        ]
        heads = ["a chat question after", "right", "wrong", "refused", "THS", "of the single question's"]
        first = facts.conversations[0]
        parts += [table(heads, cells), f"Percent of {first.n} questions of {escaped(first.dataset)}."]
    parts += [
        f"Drift, on {row.n_tokens:,} tokens of the initial model's own answers to chit-chat and instructions: "
        f"{row.kl:.3f} nats of KL per token; perplexity {row.perplexity:.2f}, the initial model's "
        f"{row.perplexity_initial:.2f}."
        for row in facts.drift
    ]
    return parts


def _tables(facts: Facts) -> list[str]:
    parts = []
    for dataset in dict.fromkeys(record.dataset for record in facts.metrics):
        own = (metric_cells(record) for record in facts.metrics if record.dataset == dataset)
        rows = [[escaped(method), *numbers] for method, *numbers in own]
        parts += [f"### {escaped(dataset)}", table(HEADS, rows)]
    return [*parts, LEGEND]


def _licence(facts: Facts) -> str:
    if facts.license:
        return f"{escaped(facts.license)}, that of the base model. Check what the training data asks for besides."
    return (
        "Not stated: it is not known here which licence the base model and the training data have. Before others use "
        "this adapter, look, and set `license:` at the top of this file."
    )
