"""``grait rewrite``: a set for SFT in, the same set with refusals where the model does not have the fact out."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from grait.config import Config, DataConfig, as_config
from grait.data.conversations import Conversation, ConversationSet, read_conversations
from grait.data.files import is_question_file, suffix_of
from grait.errors import ConfigError, DataError, ModelError, described, reason
from grait.judging.judges import Judge, ToJudge
from grait.judging.matching import contains_answer
from grait.knowledge.conversations import GivenAnswer
from grait.knowledge.facts import Fact, asked_fact
from grait.knowledge.query import label
from grait.methods.rewriting import Weights, refusal_weights, refused_ids
from grait.model.answers import Shown
from grait.model.limits import longest_sequence
from grait.model.load import read_config
from grait.model.prompts import Prompt, PromptFormat
from grait.pipeline.data import RunData
from grait.pipeline.models import Models, model_key
from grait.pipeline.rewriting import conversation_samples, conversation_temperature, given_likelihoods
from grait.pipeline.stages import Stages, keep_moment
from grait.records import Outcome
from grait.runtime import processes, progress
from grait.runtime.artifacts import fingerprint, write_json
from grait.runtime.files import as_path, replacing_file, written
from grait.runtime.lock import locked

By = Literal["samples", "likelihood"]
"""What says whether the model knows: the share of its own answers that are right, or the probability of the given
answer's key."""

COLUMNS = ("sample_weight", "rewritten", "reason", "correctness")
"""Written beside a row's own: its weight in training; whether it is a refusal now; why; what the model knows, in
[0, 1], null where it was not asked."""

ABOUT = "rewrite.json"


@dataclass(frozen=True)
class Rewritten:
    """What became of a set. ``counts``: rows by what became of them, and why; they add up to all rows. ``folder``: work
    that is kept for another refusal, weight or threshold, and ``rewrite.json``, which says how."""

    out: Path
    folder: Path
    counts: dict[str, int]
    notes: list[str]

    @property
    def n_rows(self) -> int:
        return sum(self.counts.values())

    @property
    def n_rewritten(self) -> int:
        return self.counts["rewritten"]


@dataclass(frozen=True)
class _Case:
    """A row that asks for a fact. ``id``: of the answer; ``asked``: its conversation, the same for the same words."""

    id: str
    place: int
    fact: Fact
    asked: Shown

    @property
    def key(self) -> str:
        return repr(self.fact.question.answers[0])


@dataclass(frozen=True)
class _Known:
    """``value``: in [0, 1]; None without a verdict. ``said``: where it is from."""

    value: float | None
    said: str


def rewrite(
    source: DataConfig | str | Path,
    config: Config | dict[str, Any] | str | Path,
    *,
    out: str | Path | None = None,
    by: By = "samples",
    judge: Judge | None = None,
    max_share: float | None = None,
    weights: Weights = "margin",
    with_system: bool = False,
) -> Rewritten:
    """Find the rows of a set for SFT that ask for a fact the model does not have, and write them as refusals.

    ``source``: a path, a folder, a hub id, or a ``DataConfig`` with split, encoding or limit; shapes as of
    ``read_conversations``. ``config``: model, prompt (refusal, language), knowledge (samples, temperature, threshold),
    seed; the rest has no effect. ``out``: a .jsonl or .parquet file; default: beside the source. ``by``: what says that
    the model knows. ``judge``: of its samples; default: the config's. ``max_share``: refuse at most this share of all
    rows, those first of which the model knows least. ``weights``: of refusals, mean 1. ``with_system``: rows with a
    system turn are looked at, too; else they are left. All rows stay, in their order; those that are not rewritten stay
    word for word. Killed and called again it asks only what is missing. Raises a GraitError with one line.
    """
    source = DataConfig(path=str(as_path(source, "source"))) if not isinstance(source, DataConfig) else source
    _check(by, weights, max_share)
    config = as_config(config)
    target = _target(source, out)
    folder = _folder(target)
    _check_target(source, target, folder)
    found = read_conversations(source, COLUMNS)
    _check_rows(found, target)
    config = config.model_copy(update={"out": str(folder)})
    data = RunData(config, has_training=False)
    models = Models(data)
    with locked(folder), models.releasing_vllm():
        keep_moment(data)
        stages = Stages(folder)
        became, cases = _cases(found, data, with_system)
        known = _known(data, models, stages, cases, found, by, judge or data.judge)
        most = None if max_share is None else int(max_share * len(found.rows) + 1e-9)
        rows, counts = _rewritten(found, became, cases, known, config, most, weights)
        joined = _joined(found, cases)
        rows = [{name: value for name, value in row.items() if name not in joined} for row in rows]
        notes = _notes(found, config, joined)
        if processes.is_main():
            _write(target, rows)
            about = {
                "source": source.model_dump(exclude_none=True),
                "named": _named(source),
                "model": model_key(config),
                "config": config.model_dump(include={"prompt", "knowledge", "seed"}),
                "by": by,
                "weights": weights,
                "max_share": max_share,
                "counts": counts,
                "notes": notes,
                "told": stages.told,
            }
            write_json(folder / ABOUT, about)
        return Rewritten(target, folder, counts, notes)


def _check(by: Any, weights: Any, max_share: Any) -> None:
    """ConfigError for a value that is none."""
    for name, value, allowed in (("by", by, get_args(By)), ("weights", weights, get_args(Weights))):
        if value not in allowed:
            raise ConfigError(f"{name}: expected {' or '.join(allowed)}, found {described(value)}")
    if max_share is not None and not (isinstance(max_share, int | float) and 0 < max_share <= 1):
        raise ConfigError(f"max_share: expected a share above 0, at most 1, found {described(max_share)}")


def _target(source: DataConfig, out: str | Path | None) -> Path:
    """Where the set is written: beside its source where nothing else is said."""
    if out is None:
        path = Path(source.path)
        suffix = ".parquet" if path.suffix == ".parquet" else ".jsonl"
        found = (path if path.exists() else Path(path.name)).resolve()
        kind = suffix_of(found) if is_question_file(found) else ""
        stem = found.name[: found.name.lower().rindex(kind)] if kind else found.name
        more = f"{source.split or ''}{kind}".replace(".", "-").lstrip("-")
        targets = [found.with_name(f"{name}-rewritten{suffix}") for name in (stem, f"{stem}-{more}")]
        return targets[_is_of_another(source, _folder(targets[0]))]
    target = as_path(out, "out")
    if target.suffix not in (".jsonl", ".parquet"):
        raise ConfigError(f"out: expected a .jsonl or .parquet file, found {target}")
    return target


def _folder(target: Path) -> Path:
    return target.with_name(f"{target.stem}.rewrite")


def _named(source: DataConfig) -> dict[str, Any]:
    """What names a set, wherever it is called from."""
    path = Path(source.path)
    own = source.model_dump(include={"split", "revision"}, exclude_none=True)
    return own | {"path": str(path.resolve() if path.exists() else source.path)}


def _is_of_another(source: DataConfig, folder: Path) -> bool:
    """Whether a folder keeps what was said of another set."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        return bool(about["named"] != _named(source))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return True


def _check_target(source: DataConfig, target: Path, folder: Path) -> None:
    """ConfigError where the source, another set, or a file that this command did not write would be overwritten."""
    path = Path(source.path)
    if path.is_dir() and target.resolve().parent in (path.resolve(), path.resolve() / "data"):
        raise ConfigError(f"out: {target} lies in the folder that is read; name a file elsewhere")
    if target.exists():
        if path.exists() and target.samefile(path):
            raise ConfigError(f"out: {target} is the set that is read; name another file")
        if not (folder / ABOUT).exists():
            raise ConfigError(f"out: {target} is there, and not written by this command; name another file")
    if _is_of_another(source, folder):
        raise ConfigError(f"out: {target} is of another set ({folder / ABOUT} says of which); name another file")


def _check_rows(found: ConversationSet, target: Path) -> None:
    """DataError, before anything is asked, for a row that the format of the target does not hold."""
    is_parquet = target.suffix == ".parquet"
    for row in found.rows:
        try:
            default = str if is_parquet else None
            json.dumps(row.row, ensure_ascii=False, allow_nan=is_parquet, default=default).encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(
                f"{row.where}: holds half of a character (such as \\ud800); write it out in UTF-8"
            ) from None
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{row.where}: JSON does not hold it ({reason(error)}); mend it or write .parquet"
            ) from None


def _cases(found: ConversationSet, data: RunData, with_system: bool) -> tuple[dict[int, str], list[_Case]]:
    """Why rows are left, by their place, and the others, which ask for a fact."""
    prompts, config = data.prompts, data.config
    became: dict[int, str] = {}
    cases = []
    for place, row in enumerate(found.rows):
        if row.left is not None and not (with_system and row.left == "a system turn"):
            became[place] = row.left
            continue
        fact = asked_fact(row.question, row.answer, name=fingerprint([row.messages, row.text])[:24])
        if not isinstance(fact, Fact):
            became[place] = fact
            continue
        if any(contains_answer(message["content"], fact.question.answers[0]) for message in row.messages):
            became[place] = "the answer stands in what is said before it"
            continue
        try:
            prompt = _prompt(row, prompts)
        except ModelError:
            became[place] = "the chat template refuses it"
            continue
        name = fact.question.id
        asked = Shown(name, "chat" if prompt.is_chat else "text", prompt)
        cases.append(_Case(fingerprint([name, row.answer])[:24], place, fact, asked))
    longest = longest_sequence(read_config(config.model).get_text_config(decoder=True))
    fitting = []
    for case in cases:
        given = prompts.completion(case.asked.prompt, found.rows[case.place].answer).token_ids
        n_answer = max(config.knowledge.max_new_tokens, len(given))
        if len(case.asked.prompt.token_ids) + n_answer > longest:
            became[case.place] = "too long for the model"
        else:
            fitting.append(case)
    return became, fitting


def _prompt(row: Conversation, prompts: PromptFormat) -> Prompt:
    """The row's own conversation, up to the answer."""
    if row.text is not None:
        return prompts.as_text(row.text, is_chat=False)
    return prompts.conversation(row.messages)


def _known(
    data: RunData, models: Models, stages: Stages, cases: Sequence[_Case], found: ConversationSet, by: By, judge: Judge
) -> dict[str, _Known]:
    """What the model knows of each case, by its id."""
    if not cases:
        return {}
    if by == "likelihood":
        given = {
            case.id: GivenAnswer(
                case.id,
                case.asked.form,
                case.asked.prompt,
                found.rows[case.place].answer,
                case.fact.start,
                case.fact.end,
            )
            for case in cases
        }
        likely = given_likelihoods(data, models, stages, list(given.values()))
        shares = {name: row.probability for name, row in likely.items()}
        return {case.id: _Known(shares[case.id], f"{case.key} has probability {shares[case.id]:.2g}") for case in cases}
    asked = {case.asked.id: case.asked for case in cases}
    facts = {case.asked.id: case.fact.question for case in cases}
    data = conversation_temperature(data, models, stages, list(asked.values()), list(facts.values()), judge)
    samples = conversation_samples(data, models, stages, list(asked.values()))
    by_answer = {case.id: case for case in cases}
    outputs = [ToJudge(case.fact.question, text) for case in by_answer.values() for text in samples[case.asked.id]]
    verdicts = iter(judge(outputs))
    return {name: _share(case, [next(verdicts) for _ in samples[case.asked.id]]) for name, case in by_answer.items()}


def _share(case: _Case, verdicts: Sequence[Outcome | None]) -> _Known:
    """Right samples of those that have a verdict."""
    judged = [verdict for verdict in verdicts if verdict is not None]
    n_right = judged.count("correct")
    said = f"{n_right} of {len(judged)} own answers give {case.key}"
    return _Known(n_right / len(judged) if judged else None, said)


def _rewritten(
    found: ConversationSet,
    became: Mapping[int, str],
    cases: Sequence[_Case],
    known: Mapping[str, _Known],
    config: Config,
    most: int | None,
    weights: Weights,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """All rows with ``COLUMNS``, and how many became what."""
    threshold = config.knowledge.correctness_threshold
    by_place = {case.place: case for case in cases}
    values = {f"{case.id} {case.place}": known[case.id].value for case in cases}
    measured = {name: value for name, value in values.items() if value is not None}
    refused = refused_ids(measured, threshold, most)
    weight_of = refusal_weights({name: measured[name] for name in refused}, threshold, weights)
    counts: Counter[str] = Counter({"rewritten": 0})
    rows = []
    for place, row in enumerate(found.rows):
        case = by_place.get(place)
        if case is None:
            counts[f"kept: {became[place]}"] += 1
            rows.append(_with(row.row, 1.0, False, f"kept: {became[place]}", None))
            continue
        name, said, value = f"{case.id} {place}", known[case.id].said, known[case.id].value
        if name in weight_of:
            counts["rewritten"] += 1
            text = _refusal(config, case.id)
            rows.append(_with(row.answering(text), weight_of[name], True, f"rewritten: unknown, {said}", value))
            continue
        why = _why_kept(value, threshold)
        counts[f"kept: {why}"] += 1
        rows.append(_with(row.row, 1.0, False, f"kept: {why}, {said}", value))
    return rows, dict(counts)


def _joined(found: ConversationSet, cases: Sequence[_Case]) -> list[str]:
    """Columns with a question and its given answer in one text, as Alpaca's ``text``: a refusal would not be in it."""
    rows = [found.rows[case.place] for case in cases]
    own = [
        name
        for row in rows
        for name, text in row.row.items()
        if name not in ("prompt", "completion")
        and isinstance(text, str)
        and row.question in text
        and row.answer in text
    ]
    return list(dict.fromkeys(own))


def _why_kept(value: float | None, threshold: float) -> str:
    if value is None:
        return "no verdict"
    labels = {"ik": "known", "idk": "unknown, but beyond max_share", "dropped": "neither known nor unknown"}
    return labels[label(value, threshold)]


def _with(row: Mapping[str, Any], weight: float, is_rewritten: bool, why: str, value: float | None) -> dict[str, Any]:
    return {**row, **dict(zip(COLUMNS, (weight, is_rewritten, why, value), strict=True))}


def _refusal(config: Config, name: str) -> str:
    """Of several texts the one that the seed and the answer draw."""
    return Random(f"{config.seed}\0{name}\0refusal").choice(config.prompt.refusals)


def _notes(found: ConversationSet, config: Config, joined: Sequence[str]) -> list[str]:
    """What is to be known of the set, each a line; said, too."""
    notes = []
    if found.is_changed:
        columns = ", ".join(found.columns)
        made = "messages" if "messages" in found.rows[0].row else "prompt and completion, as messages"
        notes.append(f"the columns {columns} became {made}, which TRL reads; what is said in them is the same")
    if joined:
        notes.append(f"left out: the columns {', '.join(joined)}, which hold the old answers after their questions")
    if config.prompt.language != "en":
        notes.append("questions of fact are found in English only; in other languages rows are kept")
    for note in notes:
        progress.note(note)
    return notes


def _write(target: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """All or nothing. DataError for values that the format does not hold."""
    with written(target), replacing_file(target) as partial:
        partial.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".parquet":
            try:
                pq.write_table(pa.Table.from_pylist(rows), partial)
            except pa.ArrowException as error:
                raise DataError(
                    f"{target}: not all rows have columns of one type ({reason(error)}); write .jsonl"
                ) from None
            return
        with partial.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
