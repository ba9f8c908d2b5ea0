"""``grait bench``: what each system replies to a set, or how probable it finds the options; asked once and kept."""

from collections.abc import Sequence
from pathlib import Path

from grait.config import Config
from grait.data.truthfulqa import Truth
from grait.errors import DataError, GraitError
from grait.evaluation.bench import INVENTED, Bench, JudgedReply
from grait.judging.judges import BySureness, Judge, ToJudge
from grait.judging.premise import denies_premise, places_in_fiction
from grait.model.asking import ask_all
from grait.model.engine import Advance, Engine
from grait.model.forms import Form
from grait.model.server import Server
from grait.pipeline.data import RunData
from grait.pipeline.evaluation import QuestionSet, System, answers_key
from grait.pipeline.models import Models
from grait.pipeline.parts import stage_rows
from grait.pipeline.stages import Notes, Stages
from grait.records import BenchPart, OptionLogprobs, Question
from grait.runtime import progress
from grait.runtime.artifacts import Stage, fingerprint, read_rows, write_rows
from grait.runtime.journal import Journal

Reply = tuple[Question, str]
"""A question, and what a system says."""


def judged_replies(own: Bench, replies: Sequence[Reply], system: System, judge: Judge) -> list[JudgedReply]:
    """What each reply to the set is worth. GraitError where the judge gives another number of verdicts."""
    own_judge = BySureness(judge) if system.states_sureness else judge
    verdicts = own_judge([ToJudge(question, output) for question, output in replies])
    if len(verdicts) != len(replies):
        raise GraitError(f"judge {judge.name}: expected {len(replies)} verdicts, found {len(verdicts)}")
    is_made_up = own.name == INVENTED
    return [
        JudgedReply(
            _part(question),
            verdict,
            denies_premise(output, question.question) and not (is_made_up and places_in_fiction(output)),
        )
        for (question, output), verdict in zip(replies, verdicts, strict=True)
    ]


def _part(question: Question) -> BenchPart:
    if not question.answerable:
        return "to refuse"
    return "to answer" if question.answers else "to comply"


def option_logprobs(
    data: RunData, models: Models, stages: Stages, system: System, title: str, truths: Sequence[Truth]
) -> list[OptionLogprobs]:
    """How probable a system finds each option after the bare question, without those that are too long for it."""
    questions = [Question(row.id, row.question, ()) for row in truths]
    key = answers_key(data, system, questions) | {"options": fingerprint([[row.mc1, row.mc2] for row in truths])}
    stage = Stage(stages.folder / "answers" / title / system.name, key)

    def compute(folder: Path) -> Notes:
        kept = [row for row in truths if _length(data, system.form, row) <= models.longest]
        skipped = [row.id for row in truths if row not in kept]
        if skipped:
            progress.note(f"{title}: {len(skipped)} questions too long for the model: {progress.first_few(skipped)}")
        if not kept:
            raise DataError(f"{title}: every question is longer than the {models.longest} tokens of the model")
        with models.engine(system.adapter) as engine:
            rows = stage_rows(
                stage,
                OptionLogprobs,
                kept,
                lambda part, advance: _score(engine, data, system.form, part, advance),
                bar=f"{system.name}, {title}",
            )
        write_rows(folder / "options.parquet", rows)
        return {"skipped": skipped}

    stages.once(f"Benchmark: {system.name} on {title}", stage, compute)
    return read_rows(stage.folder / "options.parquet", OptionLogprobs)


def _tokens(data: RunData, form: Form | None, truth: Truth) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]]]:
    """Of the prompt, and of each text that is an option, without an end."""
    prompt = data.prompts.prompt(Question(truth.id, truth.question, ("",)), "refuse", form)
    texts = dict.fromkeys(text for text, _ in (*truth.mc1, *truth.mc2))
    return prompt.token_ids, {text: data.prompts.completion(prompt, text).token_ids[:-1] for text in texts}


def _length(data: RunData, form: Form | None, truth: Truth) -> int:
    prompt, options = _tokens(data, form, truth)
    return len(prompt) + max(map(len, options.values()))


def _score(
    engine: Engine, data: RunData, form: Form | None, truths: Sequence[Truth], advance: Advance
) -> list[OptionLogprobs]:
    tokens = [_tokens(data, form, row) for row in truths]
    logprobs = engine.completion_logprobs(
        [prompt for prompt, _ in tokens], [list(options.values()) for _, options in tokens], advance=advance
    )
    found = []
    for row, (_, options), own in zip(truths, tokens, logprobs, strict=True):
        by_text = {text: sum(of_tokens) for text, of_tokens in zip(options, own, strict=True)}
        mc1, mc2 = ([by_text[text] for text, _ in targets] for targets in (row.mc1, row.mc2))
        found.append(OptionLogprobs(row.id, mc1, mc2))
    return found


def served_replies(
    config: Config, data: RunData | None, form: Form | None, server: Server, asked: QuestionSet, journal: Journal
) -> list[Reply]:
    """What a server says, asked as a client would; what is answered is kept. ServerError at the end for what is not.

    ``data``: None asks bare questions by chat completions; else in the form of its prompts, without the chat template
    where the model has none.
    """
    n_tokens, system = config.evaluation.max_new_tokens, config.prompt.system

    def shown(question: Question) -> str | list[dict[str, str]]:
        if data is None:
            before = [{"role": "system", "content": system}] if system is not None else []
            return [*before, {"role": "user", "content": question.question}]
        if data.prompts.is_chat(question, form):
            return data.prompts.messages(question, "refuse", form)
        return data.prompts.prompt(question, "refuse", form).text

    prompts = [shown(question) for question in asked.questions]

    def ask(place: int) -> str:
        prompt = prompts[place]
        if isinstance(prompt, str):
            return server.complete(prompt, n_tokens, stop="\n").text.strip()
        return server.chat(prompt, n_tokens).text.strip()

    keys = [fingerprint([prompt, n_tokens]) for prompt in prompts]
    with progress.bar(f"{server.address.model}, {asked.title}", len(keys), "questions") as advance:
        texts = ask_all(keys, [question.id for question in asked.questions], ask, journal, advance)
    return list(zip(asked.questions, texts, strict=True))
