"""The model card of an adapter: YAML for the hub, then what it is, what it was measured to do, and how to use it.

No path of the machine that it was made on is in it, and nothing of the data but the solved examples of a run whose
prompts all show them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from grait.dial.stored import FILE_NAME, SavedDial
from grait.display.tables import percent
from grait.formats.markdown import escaped, fenced, table
from grait.records import MetricRecord

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
    """What a card tells.

    ``base``: the base model's id on the hub, None where it was a folder; ``base_name``: what to call it then.
    ``base_note``: what else to know of the base's weights. ``license``: None where it is not known.
    ``settings``: the config's parts that trained it, in YAML.
    ``repo``: where the adapter will be. ``training_set``: its id on the hub, None where it is not from there.
    ``prompt``: an example as the run asked, as messages or as plain text. ``metrics``: of the initial model, asked in
    both ways, and of the method, on every test set.
    """

    repo: str
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
    prompt: str | list[dict[str, str]]
    metrics: Sequence[MetricRecord]
    versions: Mapping[str, str]
    settings: str
    dial: SavedDial | None


def model_card(facts: Facts) -> str:
    """README.md of the adapter's repository."""
    data = ModelCardData(
        base_model=facts.base,
        library_name="peft",
        license=facts.license,
        pipeline_tag="text-generation",
        datasets=[facts.training_set] if facts.training_set else None,
        tags=["grait", "lora", "refusal", "abstention", "refusal-aware-instruction-tuning"],
        model_name=facts.repo.rpartition("/")[2],
        eval_results=[
            result for record in facts.metrics if record.method == facts.method for result in _results(record)
        ],
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
    base = (
        f"[{escaped(facts.base)}](https://huggingface.co/{facts.base})"
        if facts.base
        else (f"{escaped(facts.base_name)} (a model in a local folder)")
    )
    refuses = f" that answers what the model knows and says “{escaped(facts.refusal)}” to what it does not"
    return "\n\n".join(
        [
            f"# {escaped(facts.repo.rpartition('/')[2])}",
            f"A LoRA adapter for {base}{refuses if facts.n_refusals else ''}. Tuned with grait's method "
            f"{escaped(facts.method)}: {escaped(facts.summary)} ({escaped(facts.paper)}).",
            *([escaped(facts.base_note)] if facts.base_note else []),
            "## Use",
            fenced(_load(facts), "python"),
            "It was trained and measured with this prompt, greedily; with other words it refuses more or less:",
            fenced(_prompt(facts), "python" if isinstance(facts.prompt, list) else ""),
            *_dial(facts),
            "## Measured",
            *_tables(facts),
            LEGEND,
            "## Data and training",
            f"{facts.n_examples} examples of {escaped(facts.training_data)}, {facts.n_refusals} of them refusals, "
            "chosen after measuring what the base model knows. The data is not in this repository.",
            fenced(facts.settings, "yaml"),
            "Versions: " + ", ".join(f"{escaped(name)} {escaped(text)}" for name, text in facts.versions.items()) + ".",
            "## Limits",
            "\n".join(f"- {line}" for line in LIMITS),
            "## Licence",
            _licence(facts),
            "",
        ]
    )


def _load(facts: Facts) -> str:
    revision = f", revision={facts.revision!r}" if facts.revision else ""
    return "\n".join(
        [
            "from peft import PeftModel",
            "from transformers import AutoModelForCausalLM",
            "",
            f"base = AutoModelForCausalLM.from_pretrained({(facts.base or facts.base_name)!r}{revision})",
            f"model = PeftModel.from_pretrained(base, {facts.repo!r})",
        ]
    )


def _prompt(facts: Facts) -> str:
    if isinstance(facts.prompt, str):
        return facts.prompt
    return "\n".join(["messages = [", *(f"    {message!r}," for message in facts.prompt), "]"])


def _dial(facts: Facts) -> list[str]:
    dial = facts.dial
    if dial is None:
        return []
    return [
        f"`{FILE_NAME}` is a refusal dial: a threshold of {dial.threshold:.6g} on the score `{dial.score}`, chosen on "
        f"{dial.n} questions, on which it takes wrong answers from {percent(dial.without_dial.pw)}% to "
        f"{percent(dial.achieved.pw)}% and over-refusal from {percent(dial.without_dial.over_refusal_rate)}% to "
        f"{percent(dial.achieved.over_refusal_rate)}%. With a copy of this repository in `FOLDER`, and `inputs` the "
        "token ids and mask of prompts, padded on the left:",
        fenced(
            "from grait.dial import RefusalDial\n\ndial = RefusalDial.from_pretrained('FOLDER')\n"
            "dial.generate(model, **inputs, max_new_tokens=32)",
            "python",
        ),
        *([escaped(dial.guarantee)] if dial.guarantee else []),
    ]


def _tables(facts: Facts) -> list[str]:
    parts = []
    for dataset in dict.fromkeys(record.dataset for record in facts.metrics):
        rows = [
            [
                escaped(record.method),
                str(record.n),
                *(percent(value) for value in (record.pc, record.pw, record.pr, record.over_refusal_rate, record.ths)),
                f"{percent(record.ths_low)} to {percent(record.ths_high)}",
            ]
            for record in facts.metrics
            if record.dataset == dataset
        ]
        parts += [f"### {escaped(dataset)}", table(HEADS, rows)]
    return parts


def _licence(facts: Facts) -> str:
    if facts.license:
        return f"{escaped(facts.license)}, that of the base model. Check what the training data asks for besides."
    return (
        "Not stated: it is not known here which licence the base model and the training data have. Before others use "
        "this adapter, look, and set `license:` at the top of this file."
    )
