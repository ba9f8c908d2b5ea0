"""What the YAML files beside this one call: questions, prompts and judgement, all of them this package's own.

The judgement is the same code that ``grait run`` and ``grait eval`` use, so this package has to be installed where the
harness runs; there is no simpler stand-in that would give other numbers under the same names.
"""

from dataclasses import asdict
from typing import Any

from datasets import Dataset

from grait.config import DataConfig, PromptConfig
from grait.data.load import load_questions
from grait.errors import ConfigError
from grait.judging.outcomes import judge
from grait.model.prompts import Family, as_plain_text, request
from grait.records import Question


def worldfacts(
    family: Family,
    split: str,
    plain: bool = False,
    pc0: float | None = None,
    pw0: float | None = None,
    **_: Any,
) -> dict[str, Dataset]:
    """WorldFacts as the harness wants it. See ``own_file`` for the metadata."""
    questions = load_questions(DataConfig(path="worldfacts", split=split))
    return {"test": _documents(questions, family, plain, pc0, pw0)}


def own_file(
    family: Family,
    questions: str | None = None,
    plain: bool = False,
    pc0: float | None = None,
    pw0: float | None = None,
    **_: Any,
) -> dict[str, Dataset]:
    """A question file as the harness wants it. All but ``family`` come from the harness's ``--metadata``.

    ``questions``: JSON lines, JSON, CSV or parquet, as for ``grait run``. ``plain``: the model has no chat template.
    ``pc0``, ``pw0``: shares of the initial model, fractions, from the ``basic`` task; with both there is a THS.
    Raises a GraitError with one line for bad data.
    """
    if questions is None:
        raise ConfigError('grait_file_*: name the question file: --metadata \'{"questions": "my.jsonl"}\'')
    return {"test": _documents(load_questions(DataConfig(path=questions)), family, plain, pc0, pw0)}


def _documents(questions: list[Question], family: Family, plain: bool, pc0: float | None, pw0: float | None) -> Dataset:
    if (pc0 is None) != (pw0 is None) or (pw0 is not None and not 0 < pw0 <= 1):
        raise ConfigError(f"pc0 = {pc0}, pw0 = {pw0}: expected both or neither, as fractions, and pw0 above 0")
    refusal = PromptConfig().first_refusal
    rows = []
    for question in questions:
        asked = request(question, family, "letter", refusal)
        rows.append(
            {
                **asdict(question),
                "prompt": as_plain_text(asked) if plain else asked,
                "target": question.answers[0],
                "plain": plain,
                "wrong_costs": None if pc0 is None or pw0 is None else pc0 / pw0,
            }
        )
    return Dataset.from_list(rows)


def process_results(document: dict[str, Any], outputs: list[str]) -> dict[str, float]:
    """1 for what the output is and 0 for the rest, so that the means are Pc, Pw and Pr.

    ``ths``, given the initial model's shares: 1 for a right answer, -Pc0 / Pw0 for a wrong one, so that the mean is
    Pc - Pw * Pc0 / Pw0.
    """
    question = Question(
        document["id"],
        document["question"],
        tuple(document["answers"]),
        tuple(document["choices"]),
        match=document["match"],
        tolerance=document["tolerance"],
        answer_place=document["answer_place"],
    )
    output = outputs[0].partition("\n")[0] if document["plain"] else outputs[0]  # in plain text a line break ends it
    outcome = judge(output.strip(), question)
    shares = {"pc": float(outcome == "correct"), "pw": float(outcome == "wrong"), "pr": float(outcome == "refused")}
    cost = document["wrong_costs"]
    return shares if cost is None else shares | {"ths": shares["pc"] - shares["pw"] * cost}
