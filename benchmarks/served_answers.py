"""Whether a served run answers and refuses as its own evaluation: test questions by the official OpenAI client.

python -m benchmarks.served_answers RUN --base-url URL [--served-model NAME] [--n 200] [--stream] [--here]

The evaluation's answers are those that the run stored, or, with --here, those that the model gives in this process now,
in the numbers of the run's config: a copy of the run folder with ``"dtype": "float32"`` in its config.json shows what
bfloat16 alone changes. Every question whose outcome differs is printed with both scores and the threshold.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import openai
import typer

from benchmarks.report import write
from grait.commands.finished import DialledRun, dialled, live
from grait.dial.threshold import refusal_score
from grait.judging.outcomes import judge
from grait.pipeline.dials import dialled_predictions, stored_dials
from grait.pipeline.predict import predict
from grait.records import Prediction, Question
from grait.runtime.artifacts import read_rows


def main(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    base_url: str = "http://127.0.0.1:8000/v1",
    served_model: str = "grait",
    n: int = 200,
    clients: int = 8,
    stream: bool = False,
    here: Annotated[bool, typer.Option("--here", help="Ask the model here, too.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the record here.")] = None,
) -> None:
    """The first questions of the first test set, in the run's main form."""
    opened = dialled(run)
    data, (title, questions) = opened.data, next(iter(opened.data.test_sets.items()))
    questions = questions[:n]
    if here:
        with live(run, opened.method) as model:
            form, n_tokens = data.prompts.forms[0], data.config.evaluation.max_new_tokens
            common = {"max_new_tokens": n_tokens, "terse": data.terse_form(form), "advance": lambda _: None}
            rows = predict(model.engine(), data.prompts, questions, "refuse", data.judge, form=form, **common)
    else:
        rows = read_rows(run / "evaluation" / title / opened.method / "predictions.parquet", Prediction)
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=600)
    start = time.time()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(lambda one: asked(client, served_model, opened, one, stream), questions))
    record = compared(opened, title, questions, {row.id: row for row in rows}, found)
    write(json, [record | {"stream": stream, "seconds": round(time.time() - start)}])
    print({key: value for key, value in record.items() if key != "different"})
    for row in record["different"]:
        print(row)


def asked(
    client: openai.OpenAI, name: str, run: DialledRun, question: Question, stream: bool
) -> tuple[str, dict[str, Any]]:
    """Text and decision. The form is named, as a chat cannot have the words of one that is plain text."""
    own: Any = {
        "model": name,
        "messages": [{"role": "user", "content": question.question}],
        "max_tokens": run.data.config.evaluation.max_new_tokens,
        "extra_body": {"grait": {"form": run.data.prompts.forms[0].name}},
    }
    if not stream:
        reply = client.chat.completions.create(**own)
        return reply.choices[0].message.content or "", (reply.model_extra or {})["grait"]
    text, decision = "", {}
    for chunk in client.chat.completions.create(**own, stream=True):
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        decision = (chunk.model_extra or {}).get("grait", decision)
    return text, decision


def compared(
    run: DialledRun, title: str, questions: Sequence[Question], rows: dict[str, Prediction], found: Sequence[Any]
) -> dict[str, Any]:
    """Counts of what is the same, and what differs."""
    data, main = run.data, run.data.prompts.forms[0]
    dials = stored_dials(data, {run.method: run.method}, main)
    (dialled_rows,) = dialled_predictions(data, dials, title, {run.method: list(rows.values())}).values()
    local, dial = {row.id: row for row in dialled_rows}, dials[run.method].setting
    same = {"text": 0, "outcome": 0, "refusal": 0}
    largest, of, different = 0.0, "", []
    for question, (text, decision) in zip(questions, found, strict=True):
        mine, score = local[question.id], refusal_score(rows[question.id], dial.score)
        outcome = judge(text, question, *data.config.prompt.refusing)
        same["text"] += text == mine.output
        same["outcome"] += outcome == mine.outcome
        same["refusal"] += decision["refused"] == (mine.outcome == "refused")
        if not decision["left_alone"] and abs(score - decision["score"]) > largest:
            largest, of = abs(score - decision["score"]), f"{question.question} {text}"
        if outcome != mine.outcome:
            scores = {"here": round(score, 4), "served": decision["score"], "threshold": decision["threshold"]}
            different.append({"question": question.question, "here": mine.output, "served": text, "scores": scores})
    differences = {"largest_score_difference": largest, "of": of, "different": different}
    return {"questions": len(questions), "same": same, **differences}


if __name__ == "__main__":
    typer.run(main)
