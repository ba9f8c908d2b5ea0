"""Part of stage 3: ordinary prompts with the initial model's own answers, which every method trains on beside its own.

``rows.parquet`` has the answers as text, ``teacher.safetensors`` their tokens and, at each of their positions, what the
initial model would write next.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from grait.config import Config
from grait.data.files import hub_set
from grait.data.replay import ReplayPrompt, draw_replay
from grait.errors import DataError, ModelError
from grait.judging.matching import normalize
from grait.judging.outcomes import judge
from grait.model.answers import Shown, by_form, greedy_answers
from grait.model.completions import TokenizedExample
from grait.model.engine import Advance
from grait.model.forms import Form
from grait.model.teacher import TOP, Teacher, teachers
from grait.pipeline.data import RunData
from grait.pipeline.models import Models, engine_key, model_key
from grait.pipeline.parts import stage_rows
from grait.pipeline.stages import Notes, Stages, left_out
from grait.pipeline.work import Count, SetSize, StagePlan, Work
from grait.records import Question
from grait.runtime import processes, progress
from grait.runtime.artifacts import Stage, fingerprint, read_rows, write_rows
from grait.training.examples import WeightedExample

BARE, WITH_SYSTEM = "replay", "replay-with-system"
"""Forms of replay prompts that are put as bare chat, without and with a system message of their own."""

HUB_CHARACTERS, GIVEN_CHARACTERS = 400, 200
"""Of a conversation that was not read, and of a text made of training questions."""


@dataclass(frozen=True)
class Asked(Shown):
    """A replay prompt as it is put. ``form``: as of ``WeightedExample``; ``messages``: of a chat prompt. ``said``: the
    user's turns."""

    kind: str
    said: tuple[str, ...]
    messages: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """A row of ``rows.parquet``. ``ended``: whether the answer came to its end within ``max_new_tokens``."""

    id: str
    kind: str
    form: str
    prompt: str
    completion: str
    ended: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    id: str
    token_ids: list[int]


@dataclass(frozen=True, slots=True)
class Replayed:
    """The finished stage: rows, and the same as they are trained on. ``left_out``: ids of those that are not there."""

    stage: Stage
    rows: list[ReplayRow]
    asked: list[Asked]
    examples: list[TokenizedExample]
    teachers: list[Teacher]
    left_out: tuple[str, ...] = ()

    def without(self, questions: Sequence[Question]) -> "Replayed | None":
        """Without the prompts that hold one of these questions; None where no other is left."""
        texts = [question.question for question in questions]
        kept = [not any(text in said for said in row.said for text in texts) for row in self.asked]
        return self._only(kept) if any(kept) else None

    def answered(self, config: Config) -> "Replayed":
        """Without what the initial model refused: ordinary prompts are to be answered. All, if it refused all."""
        nothing, refusing = Question("", "", ("",)), config.prompt.refusing
        kept = [judge(row.completion, nothing, *refusing) != "refused" for row in self.rows]
        return self._only(kept) if any(kept) and not all(kept) else self

    def _only(self, kept: Sequence[bool]) -> "Replayed":
        return Replayed(
            self.stage,
            list(compress(self.rows, kept)),
            list(compress(self.asked, kept)),
            list(compress(self.examples, kept)),
            list(compress(self.teachers, kept)),
            (*self.left_out, *compress((row.id for row in self.rows), (not is_kept for is_kept in kept))),
        )


def replay(data: RunData, models: Models, stages: Stages, asked: Sequence[Asked]) -> Replayed | None:
    """The initial model's greedy answers to the replay prompts, as ``asked_prompts`` gives them; None without any."""
    if not asked:
        return None
    stage = replay_stage(data, asked)

    def compute(folder: Path) -> Notes:
        kept, skipped = _fitting(data, models, asked)
        _note_questions(data, kept)
        answers = _answers(data, models, stage, kept)
        return _write(data, models, folder, kept, answers) | {"skipped": skipped}

    stages.once(f"3/4 Training: the initial model's answers to {len(asked)} replay prompts", stage, compute)
    found = load_replayed(data.config, stage, asked)
    if found.left_out:
        n, n_refused = len(found.rows), len(found.left_out)
        progress.note(f"replay: {n_refused} of {n + n_refused} prompts left out, which the initial model refuses")
    return found


def plan_replay(config: Config, training: SetSize) -> StagePlan:
    """The cost of ``replay``: answers, and one more pass over them for the probabilities."""
    prompts, new_tokens = replay_set(config, training), config.replay.max_new_tokens
    n, tokens = prompts.count.or_per, prompts.prompt_tokens
    work = Work.generating(n, tokens, new_tokens, config.tokens_per_batch)
    work += Work(prompt_tokens=n * (tokens + new_tokens), prompt_positions=n * new_tokens)
    does = "the initial model's own answers to ordinary prompts, and its probabilities along them"
    return StagePlan("replay", does, prompts.count, work, unit="prompts")


def replay_set(config: Config, training: SetSize) -> SetSize:
    """The size of the prompts that ``config.replay`` draws, and makes of training questions. Asks no hub."""
    n_given = 0 if training.has_options else training.count.at_most(config.replay.given_texts).n or 0
    path = str(config.replay.path)
    if hub_set(path):
        count = Count(config.replay.n + n_given, is_exact=False)
        return SetSize("replay", f"hub {path}", count, False, HUB_CHARACTERS, 4 * HUB_CHARACTERS, is_local=False)
    drawn = draw_replay(config.replay, config.seed)
    texts = ["\n".join(message["content"] for message in prompt.messages) for prompt in drawn]
    found = SetSize.counted("replay", path, [Question("", text, ("",)) for text in texts])
    n = len(texts) + n_given
    characters = (found.characters * len(texts) + GIVEN_CHARACTERS * n_given) / n
    longest = max(found.longest, GIVEN_CHARACTERS if n_given else 0)
    return replace(found, count=Count(n), characters=characters, longest=longest)


def n_replayed(n_questions: int, config: Config) -> int:
    """Replay rows beside so many rows of questions, in an epoch."""
    if config.replay.path is None:
        return 0
    return max(1, round(n_questions * config.replay.share / (1 - config.replay.share)))


def replay_examples(
    config: Config, replayed: Replayed | None, questions: Sequence[WeightedExample]
) -> list[WeightedExample]:
    """Replay rows for a training set of these questions, repeated where there are too few of them."""
    if replayed is None or not questions:
        return []
    weight = config.replay.weight * sum(row.sample_weight for row in questions) / len(questions)
    is_kl, first = config.replay.loss == "kl", config.replay.first_token
    return [
        WeightedExample(
            replayed.examples[i], weight, replayed.rows[i].form, replayed.teachers[i] if is_kl else None, first
        )
        for i in positions(len(questions), config, replayed)
    ]


def positions(n_questions: int, config: Config, replayed: Replayed) -> list[int]:
    """Which of the stage's rows are trained on beside so many rows of questions. Where that are not all, the seed
    draws: the first rows alone would hold no texts that hold the answer."""
    n, order = n_replayed(n_questions, config), list(range(len(replayed.rows)))
    if n < len(order):
        random.Random(f"replay rows {config.seed}").shuffle(order)
    return [order[i % len(order)] for i in range(n)]


def training_key(config: Config, replayed: Replayed | None) -> dict[str, Any]:
    """What replay adds to the key of a training stage: the stage, and the options that decide the training alone."""
    if replayed is None:
        return {}
    return {
        "replay": {"stage": replayed.stage.fingerprint}
        | config.replay.model_dump(include={"loss", "weight", "first_token", "share"})
        | ({"left_out": list(replayed.left_out)} if replayed.left_out else {})
    }


def asked_prompts(data: RunData) -> list[Asked]:
    """The drawn prompts as they are put; none without replay. Those that the chat template refuses are left out, and
    named. Raises DataError where none is left."""
    if data.config.replay.path is None:
        return []
    found, refused, why = [], [], ""
    for prompt, form in _with_forms(data):
        try:
            found.append(_ask(data, prompt, form))
        except ModelError as error:
            refused.append(prompt.where)
            why = why or str(error)
    if refused:
        progress.note(
            f"replay: the chat template refuses {len(refused)} prompts: {progress.first_few(refused)} ({why})"
        )
    if not found:
        raise DataError(f"{data.config.replay.path}: the model's chat template refuses every replay prompt")
    return found


def replay_stage(data: RunData, asked: Sequence[Asked]) -> Stage:
    """Named by the prompts' tokens, which is all that the config, its seed and the tokenizer decide here."""
    key = {
        "model": model_key(data.config),
        **engine_key(data.config),
        "prompts": fingerprint([[row.id, row.form, row.prompt.token_ids] for row in asked]),
        "max_new_tokens": data.config.replay.max_new_tokens,
        "top": TOP,
    }
    return Stage(data.folder / "replay", key)


def load_replayed(config: Config, stage: Stage, asked: Sequence[Asked]) -> Replayed:
    """A finished stage, without what the initial model refused."""
    rows = read_rows(stage.folder / "rows.parquet", ReplayRow)
    tensors = load_file(stage.folder / "teacher.safetensors")
    lengths = tensors["lengths"].tolist()
    parts = [tensors[name].split(lengths) for name in ("completion_ids", "token_ids", "logprobs")]
    by_id = {row.id: row for row in asked}
    own = [by_id[row.id] for row in rows]
    examples = [
        # The name is no question's.
        TokenizedExample(f"replay:{row.id}", row.prompt.token_ids, tuple(completion.tolist()))
        for row, completion in zip(own, parts[0], strict=True)
    ]
    found = [Teacher(*pair) for pair in zip(*parts[1:], strict=True)]
    return Replayed(stage, rows, own, examples, found).answered(config)


def _with_forms(data: RunData) -> list[tuple[ReplayPrompt, Form | None]]:
    """A share of the single-turn prompts with each of the run's forms in turn; None for bare chat."""
    forms = [form for form in data.prompts.forms if not (form.is_chat and form.template == "{question}")]
    share, n_single, found = data.config.replay.forms_share if forms else 0.0, 0, []
    for prompt in data.replay_prompts:
        n_before = int(n_single * share)
        n_single += prompt.is_single
        is_put = int(n_single * share) > n_before
        found.append((prompt, forms[n_before % len(forms)] if is_put else None))
    return found


def _ask(data: RunData, prompt: ReplayPrompt, form: Form | None) -> Asked:
    if form is not None:
        said = _said(prompt.messages)
        question = Question(prompt.id, said[-1], ("",))
        name = form.name if len(data.prompts.forms) > 1 else ""
        messages = tuple(data.prompts.messages(question, "refuse", form))
        return Asked(prompt.id, name, data.prompts.prompt(question, "refuse", form), prompt.kind, said, messages)
    has_system, system = prompt.messages[0]["role"] == "system", data.config.prompt.system
    messages = (*_earlier_turn(data, prompt), *prompt.messages)
    if system is not None and not has_system:
        messages = ({"role": "system", "content": system}, *messages)
    name = WITH_SYSTEM if has_system else BARE
    return Asked(prompt.id, name, data.prompts.conversation(messages), prompt.kind, _said(messages), messages)


def _said(messages: Sequence[dict[str, str]]) -> tuple[str, ...]:
    """The user's turns."""
    return tuple(message["content"] for message in messages if message["role"] == "user")


def _earlier_turn(data: RunData, prompt: ReplayPrompt) -> list[dict[str, str]]:
    """What was said before a single turn, where the seed draws it: a training question, refused or answered."""
    rng, config = random.Random(f"{data.config.seed}\0{prompt.id}\0turns"), data.config
    plain = [question for question in data.questions.values() if not question.choices and not question.context]
    free = plain if data.prompts.takes_turns else []
    if not prompt.is_single or not free or rng.random() >= config.replay.after_turns:
        return []
    question = rng.choice(free)
    said = rng.choice((config.prompt.first_refusal, data.prompts.reference(question)))
    return [{"role": "user", "content": question.question}, {"role": "assistant", "content": said}]


def _fitting(data: RunData, models: Models, asked: Sequence[Asked]) -> tuple[list[Asked], list[str]]:
    """The prompts that have room for an answer, and the ids of the others, which are named."""
    if not data.prompts.has_template:
        progress.note("replay: no chat template; conversations are plain text (User: ... Assistant:)")
    longest, new_tokens = models.longest, data.config.replay.max_new_tokens
    kept = [row for row in asked if len(row.prompt.token_ids) + new_tokens <= longest]
    skipped = [row.id for row in asked if len(row.prompt.token_ids) + new_tokens > longest]
    if skipped:
        named = progress.first_few(skipped)
        progress.note(f"replay: {len(skipped)} prompts longer than {longest} tokens skipped: {named}")
    if not kept:
        raise DataError(f"{data.config.replay.path}: every prompt is longer than the {longest} tokens of the model")
    return kept, skipped


def _note_questions(data: RunData, asked: Sequence[Asked]) -> None:
    """Say how many prompts are questions of the run."""
    said = {row.id: {normalize(row.said[-1])} for row in asked}  # earlier turns may be training questions
    tests = [question for questions in data.test_sets.values() for question in questions]
    for what, questions in (("test", tests), ("training", list(data.questions.values()))):
        texts = {normalize(question.question) for question in questions}
        ids = [name for name, turns in said.items() if turns & texts]
        if ids:
            named = progress.first_few(ids)
            progress.note(f"replay: {len(ids)} of {len(asked)} prompts are {what} questions of this run: {named}")


def _answers(data: RunData, models: Models, stage: Stage, asked: Sequence[Asked]) -> dict[str, list[int]]:
    """Greedy answers by id, in parts that survive a kill."""
    with models.engine(None) as engine:

        def answer(part: list[Asked], advance: Advance) -> list[_Answer]:
            found = greedy_answers(engine, data.prompts, part, data.config.replay.max_new_tokens, advance)
            return [_Answer(row.id, found[row.id]) for row in part]

        rows = stage_rows(stage, _Answer, asked, answer, bar="replay answers", unit="prompts")
    return {row.id: row.token_ids for row in rows}


def _write(data: RunData, models: Models, folder: Path, asked: Sequence[Asked], answers: dict[str, list[int]]) -> Notes:
    """Rows and tensors of the stage; what has no finite probabilities is left out."""
    ended = {row.id: len(answers[row.id]) < data.config.replay.max_new_tokens for row in asked}
    end = int(data.prompts.tokenizer.eos_token_id)
    drafts = {
        # The token that ended an answer is found below; as the last one it does not run through the model.
        row.id: TokenizedExample(row.id, row.prompt.token_ids, (*answers[row.id], *([end] if ended[row.id] else [])))
        for row in asked
    }
    with progress.bar("replay probabilities", len(processes.own(asked)), "prompts") as advance:
        own = _teachers(models, processes.own(asked), drafts, advance)
    found = dict(zip(drafts, processes.gathered(own), strict=True))
    non_finite = [name for name, teacher in found.items() if bool(teacher.logprobs.isnan().any())]
    kept = [row for row in asked if row.id not in non_finite]
    if not kept:
        raise DataError(f"{data.config.replay.path}: no replay prompt has finite probabilities")
    rows, completions = [], []
    for row in kept:
        ids = list(drafts[row.id].completion_ids)
        if ended[row.id]:
            ids[-1] = int(found[row.id].token_ids[-1, 0])  # greedy: the likeliest one
        completions.append(torch.tensor(ids, dtype=torch.int32))
        text = data.prompts.tokenizer.decode(answers[row.id], skip_special_tokens=True)
        rows.append(ReplayRow(row.id, row.kind, row.form, row.prompt.text, str(text), ended[row.id]))
    write_rows(folder / "rows.parquet", rows)
    tensors = {
        "lengths": torch.tensor([len(ids) for ids in completions], dtype=torch.int32),
        "completion_ids": torch.cat(completions),
        "token_ids": torch.cat([found[row.id].token_ids for row in kept]),
        "logprobs": torch.cat([found[row.id].logprobs for row in kept]),
    }
    save_file(tensors, folder / "teacher.safetensors")
    return left_out("replay", non_finite)


def _teachers(
    models: Models, asked: Sequence[Asked], drafts: dict[str, TokenizedExample], advance: Advance
) -> list[Teacher]:
    found: dict[str, Teacher] = {}
    with models.adapted(None) as model:
        for own in by_form(asked):
            made = teachers(
                model,
                [drafts[row.id] for row in own],
                pad_token_id=models.pad_token_id,
                tokens_per_batch=models.config.tokens_per_batch,
                road=models.inference_road,
                advance=advance,
            )
            found |= {row.id: teacher for row, teacher in zip(own, made, strict=True)}
    return [found[row.id] for row in asked]
