"""Tasks of lm-evaluation-harness on models that are already loaded: what else tuning has changed.

The harness (extra ``lm-eval``) reads the tasks, asks the model and computes metrics and standard errors, all by its own
code; here its results become records.
"""

import difflib
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from grait.errors import ConfigError, GraitError, reason
from grait.lm_eval_tasks import FOLDER
from grait.records import HarnessRecord
from grait.runtime import processes


@dataclass(frozen=True, slots=True)
class HarnessTasks:
    """What the harness is to run; the names are its own.

    ``include_path``: folder with more tasks. ``limit``: documents of each task, None for all. ``num_fewshot``: None for
    what each task says. ``batch_size`` changes speed and memory only.
    """

    tasks: tuple[str, ...]
    include_path: str | None = None
    limit: int | None = None
    num_fewshot: int | None = None
    apply_chat_template: bool = False
    batch_size: int = 8


def check_tasks(wanted: HarnessTasks) -> Any:
    """The harness's index of tasks, its own, those of this package and those of ``include_path``. Raises ConfigError
    when the harness is not installed, or does not know a task."""
    if importlib.util.find_spec("lm_eval") is None:
        raise ConfigError("the tasks need lm-evaluation-harness: pip install 'grait[lm-eval]'")
    if wanted.include_path is not None and not Path(wanted.include_path).is_dir():
        raise ConfigError(f"lm-eval include_path {wanted.include_path}: no such folder; expected one with task files")
    from lm_eval.tasks import TaskManager

    folders = [str(FOLDER), *([wanted.include_path] if wanted.include_path else [])]
    try:
        with _quiet():
            index = TaskManager(include_path=folders, include_defaults=False)
            if not set(wanted.tasks) <= set(index.all_subtasks):  # groups may name tasks of the harness's own
                index = TaskManager(include_path=folders)  # reads thousands of files
    except Exception as error:
        raise ConfigError(f"lm-eval include_path {wanted.include_path}: {reason(error)}") from error
    for name in wanted.tasks:
        if name not in index.all_tasks:
            near = difflib.get_close_matches(name, index.all_tasks, n=3)
            advice = f"did you mean {' or '.join(near)}?" if near else "`lm-eval ls tasks` lists its own"
            raise ConfigError(f"lm-eval tasks: lm-evaluation-harness knows no task {name!r}; {advice}")
    return index


def run_tasks(
    method: str,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    wanted: HarnessTasks,
    index: Any,
) -> list[HarnessRecord]:
    """All numbers that the tasks give for this model, and those of their groups, in the harness's order.

    ``index``: from ``check_tasks``. Raises GraitError with one line when a task cannot be run. Of several processes the
    main one runs all: the harness shares out the work of models that it loads itself, not of loaded ones.
    """
    if not processes.is_main():
        return processes.from_main([])
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    plain = model.get_base_model() if isinstance(model, PeftModel) else model  # with the adapter's layers in it
    try:
        with _quiet():
            found = simple_evaluate(
                HFLM(pretrained=plain, tokenizer=tokenizer, backend="causal", batch_size=wanted.batch_size),
                tasks=list(wanted.tasks),
                task_manager=index,
                limit=wanted.limit,
                num_fewshot=wanted.num_fewshot,
                apply_chat_template=wanted.apply_chat_template,
                log_samples=False,
            )
    except GraitError:
        raise
    except Exception as error:
        raise GraitError(f"lm-evaluation-harness could not run {', '.join(wanted.tasks)}: {reason(error)}") from error
    results = found["results"].items()
    return processes.from_main([record for task, own in results for record in _records(method, task, own, found)])


def _records(method: str, task: str, values: dict[str, Any], found: Any) -> Iterator[HarnessRecord]:
    samples = found.get("n-samples", {}).get(task)
    for key, value in values.items():
        metric, comma, kind = key.partition(",")
        if comma and not metric.endswith("_stderr") and isinstance(value, int | float):
            error = values.get(f"{metric}_stderr,{kind}")
            yield HarnessRecord(
                method,
                task,
                metric if kind == "none" else key,
                float(value),
                float(error) if isinstance(error, int | float) else None,
                samples["effective"] if samples else None,
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """The harness says much that a user of this package cannot act on; its errors come as exceptions."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
