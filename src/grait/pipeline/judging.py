"""The judge of a run: every output is judged once, verdicts are kept as they come, and held against the built-in one's.

Verdicts of a function of the user's, or of an endpoint, lie in ``verdicts.jsonl`` of the run folder, by content: what
was shown to the judge, and which judge it was. All stages and systems share them, and a run that is started again.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from grait.config import Config, JudgeConfig
from grait.errors import ConfigError, JudgeError, ServerError, described, reason
from grait.judging.agreement import agreement
from grait.judging.judges import BySureness, Judge, Matching, ToJudge
from grait.judging.matching import own_reply
from grait.judging.verdicts import filled
from grait.methods.catalog import METHODS
from grait.model.asking import ask_all
from grait.model.engine import silent
from grait.model.judge_endpoint import JudgeEndpoint, Reply
from grait.records import Outcome, Question
from grait.runtime import processes, progress
from grait.runtime.artifacts import fingerprint, write_json
from grait.runtime.journal import Journal

VERDICTS, JUDGE = "verdicts.jsonl", "judge.json"

MOST_WITHOUT, FEW = 0.1, 2
"""Share of outputs judged together that may be without verdict; so few may always be."""

MANY = 100
"""Outputs: asking about them takes long enough to be told."""

SHOWN = 20
"""Disagreements in summary and report; the file has all."""

Function = Callable[[str, Question], Any]


def judge_key(config: Config) -> dict[str, Any]:
    """For the keys of stages in which outputs are judged. Nothing for the built-in judge."""
    own = config.judge
    if own.by == "matching":
        return {}
    if own.by == "endpoint":
        return {"judge": own.model_dump(include={"by", "model", "request"}) | {"prompt": own.words}}
    file = inspect.getsourcefile(_module(own))
    source = fingerprint(Path(file).read_text(encoding="utf-8")) if file else None
    return {"judge": {"by": own.by, "python": own.python, "source": source}}


def judge_of(config: Config, folder: Path) -> Judge:
    """What ``config.judge`` names. ``folder``: of the run, where verdicts are kept; not touched by the built-in one.
    ConfigError where a function, a client or a key is missing."""
    return Matching(*config.prompt.refusing) if config.judge.by == "matching" else KeptJudge(config, folder)


def check_judge(judge: Judge, questions: Iterable[Question]) -> None:
    """Before a model is loaded: whether the judge can be asked, and calls a reference answer right; says so."""
    probe = next((ToJudge(row, row.answers[0]) for row in questions if row.answers and not row.choices), None)
    if isinstance(judge, KeptJudge) and probe:
        verdict = judge([probe])[0] or "nothing"
        if verdict != "correct":
            progress.note(
                f"warning: {judge.name} calls a reference answer itself {verdict}: {probe.output!r} to "
                f"{probe.question.question!r}"
            )


def judge_summary(judge: Judge, folder: Path) -> dict[str, Any]:
    """For a summary: ``KeptJudge.about``, all of which is a file of its own; nothing of the built-in judge."""
    if not isinstance(judge, KeptJudge):
        return {}
    found = judge.about()
    if processes.is_main():
        write_json(folder / JUDGE, found)
    return {"judge": found | {"disagreements": found["disagreements"][:SHOWN]}}


def of_system(judge: Judge, name: str) -> Judge:
    """The judge of a system's outputs, which may say how sure the model is (R-Tuning)."""
    return BySureness(judge) if name in METHODS and METHODS[name].states_sureness else judge


class KeptJudge:
    """A judge whose verdicts are kept. One output is asked about once, however often it comes. JudgeError where it
    cannot be asked, raises, or has no verdict for more than ``MOST_WITHOUT``; what is judged stays."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.config, self.key = config.judge, judge_key(config)
        self.name = str(config.judge.model or config.judge.python)
        self.reused = 0
        self._matching = Matching(*config.prompt.refusing)
        self._judge = fingerprint(self.key)
        self._journal = Journal(folder / VERDICTS)
        for key, value in self._journal.items():
            if value["verdict"] is None:  # another start may be luckier
                self._journal.forget(key)

    @contextmanager
    def _asking(self) -> Iterator[Callable[[ToJudge], Reply]]:
        if self.config.by == "endpoint":
            with closing(JudgeEndpoint(self.config)) as endpoint:
                yield endpoint
        else:
            function = _function(self.config)
            yield lambda row: _called(function, row, str(self.config.python))

    def __call__(self, outputs: Sequence[ToJudge]) -> list[Outcome | None]:
        keys = [self._key(row) for row in outputs]
        distinct = dict(zip(keys, outputs, strict=True))
        missing = {key: row for key, row in distinct.items() if key not in self._journal}
        self.reused += len(keys) - len(missing)
        if missing:
            self._ask_about(missing)
        without = {key: row for key, row in distinct.items() if self._journal[key]["verdict"] is None}
        if without:
            self._tell(without, len(distinct), is_new=bool(without.keys() & missing.keys()))
        return [self._journal[key]["verdict"] for key in keys]

    def _key(self, row: ToJudge) -> str:
        if self.config.by == "endpoint":
            shown: Any = filled(self.config.words, row.question, row.output)
        else:
            shown = [asdict(row.question) | {"id": ""}, _shown(row)]
        return fingerprint([self._judge, shown])

    def _ask_about(self, missing: dict[str, ToJudge]) -> None:
        keys, rows = list(missing), list(missing.values())

        def ask(place: int) -> dict[str, Any]:
            row = rows[place]
            reply = asked(row)
            (matching,) = self._matching([row])
            is_right_of_none = reply.verdict == "correct" and not row.question.answers
            return asdict(reply) | {
                "verdict": "wrong" if is_right_of_none else reply.verdict,
                "matching": matching,
                "judge": self._judge,
                "id": row.question.id,
                "question": row.question.question,
                "references": list(row.question.answers),
                "output": _shown(row),
            }

        if len(missing) >= MANY:
            progress.note(f"asking {self.name} about {len(missing)} outputs")
        at_once = self.config.concurrency if self.config.by == "endpoint" else 1
        try:
            with self._asking() as asked:
                ask_all(keys, [row.question.id for row in rows], ask, self._journal, silent, at_once)
        except ServerError as error:
            raise JudgeError(f"the judge cannot be asked: {error}") from error

    def _tell(self, without: dict[str, ToJudge], n: int, is_new: bool) -> None:
        ids = progress.first_few(sorted({row.question.id for row in without.values()}))
        first = self._journal[next(iter(without))]["why_not"]
        told = f"{len(without)} of {n} outputs without a verdict of {self.name} ({ids}): {first}"
        if len(without) > max(FEW, MOST_WITHOUT * n):
            raise JudgeError(
                f"{told}; more than a tenth: look at judge.prompt, judge.request and the judge itself. Verdicts are "
                "kept, and what has none is asked about again when you start again"
            )
        if is_new:
            progress.note(f"{told}; they count neither as right nor as wrong")

    def about(self) -> dict[str, Any]:
        """For the summary: what was asked, and how far it agrees with the built-in judge on the same outputs. Over all
        starts of the run; ``reused``, ``without_verdict`` of this one. Each output counts once."""
        rows = [value for _, value in self._journal.items() if value["judge"] == self._judge]
        judged = [row for row in rows if row["verdict"] is not None]
        found = agreement((row["verdict"], row["matching"]) for row in judged)
        tokens = [row["tokens"] for row in rows if row["tokens"]]
        disagreements = [
            {name: row[name] for name in ("id", "question", "references", "output", "verdict", "matching")}
            for row in judged
            if row["verdict"] != row["matching"]
        ]
        return {
            "by": self.config.by,
            "name": self.name,
            "asked": sum(row["asks"] for row in rows),
            "judged": len(judged),
            "reused": self.reused,
            "retried": sum(row["retries"] for row in rows),
            "without_verdict": len(rows) - len(judged),
            "prompt_tokens": sum(prompt for prompt, _ in tokens) if tokens else None,
            "reply_tokens": sum(reply for _, reply in tokens) if tokens else None,
            "agreement": asdict(found),
            "disagreements": disagreements,
        }


def _shown(row: ToJudge) -> str:
    """An output without reasoning, and without questions that the model asks itself."""
    return own_reply(row.output).strip()


# -- a function of the user's --------------------------------------------------------------------------------------


def _module(config: JudgeConfig) -> ModuleType:
    name = str(config.python).partition(":")[0]
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"judge.python = {config.python}: the module {name} cannot be imported, from {here} or as a package: "
            f"{_raised(error)}"
        ) from error
    finally:
        sys.path.remove(here)


def _function(config: JudgeConfig) -> Function:
    module, _, name = str(config.python).partition(":")
    found = getattr(_module(config), name, None)
    if found is None:
        raise ConfigError(f"judge.python = {config.python}: {module} has no function {name}")
    if not callable(found):
        raise ConfigError(f"judge.python = {config.python}: expected a function {name}, found {described(found)}")
    function: Function = found
    return function


def _raised(error: BaseException) -> str:
    """The kind of an error, and what it says."""
    kind, told = type(error).__name__, reason(error)
    return told if told.startswith(kind) else f"{kind}: {told}"


def _called(function: Function, row: ToJudge, name: str) -> Reply:
    where = f"judge.python = {name}: question {row.question.id!r}, output {_short(_shown(row))}"
    try:
        verdict = function(_shown(row), row.question)
    except (Exception, SystemExit) as error:
        raise JudgeError(f"{where}: raised {_raised(error)}") from error
    if not isinstance(verdict, str) or verdict not in get_args(Outcome):
        raise JudgeError(f"{where}: returned {described(verdict)}; expected 'correct', 'wrong' or 'refused'")
    outcome: Outcome = verdict  # type: ignore[assignment]
    return Reply(outcome)


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
