"""How many questions there are, and how long: of those on this machine counted, of those of the hub assumed."""

from dataclasses import replace

from grait.config import Config, DataConfig
from grait.data.catalog import KNOWN_SETS
from grait.data.files import hub_set
from grait.data.held_out import MOST
from grait.data.load import split_of, view_of
from grait.data.packed import Packed
from grait.pipeline.data import HELD_OUT, RunData
from grait.pipeline.work import Count, SetSize
from grait.records import View

ASSUMED_CHARACTERS = {"oeqa": (75, 400), "mcqa": (450, 5000)}
"""Mean and longest question with its options, where the questions are not on this machine."""


def set_sizes(config: Config) -> list[SetSize]:
    """The training set, without its shots, then the test sets, then the calibration questions, if any.

    Reads those on this machine; asks no hub.
    """
    sets: list[SetSize] = []
    here = [source for source in config.evaluation.datasets if not is_on_hub(source)]
    evaluation = config.evaluation.model_copy(update={"datasets": here})
    run = RunData(config.model_copy(update={"evaluation": evaluation}), measures_texts=False, keep=Packed)
    for source in (config.data, *config.evaluation.all_sets):
        if is_on_hub(source):
            sets.append(_hub_set(source))
            continue
        if source is config.data:
            questions = run.trained_on
        elif source is config.evaluation.calibration:
            questions = run.calibration_questions(source)
        else:
            questions = run.read(source)
        sets.append(SetSize.counted(source.title, _source(source), questions))
    if config.evaluation.calibration == "auto":
        sets += _held_out(run, sets[0])
    if all(size.is_local for size in sets[: 1 + len(config.evaluation.datasets)]):
        run.look_across()
    return sets


def _held_out(run: RunData, training: SetSize) -> list[SetSize]:
    """The part of the training questions that is put aside; of a set that was not read, at most so many."""
    if not training.is_local:
        return [replace(training, title=HELD_OUT, count=training.count.at_most(MOST))]
    part = f"put aside of {training.title}"
    return [SetSize.counted(HELD_OUT, part, run.held_out)] if run.held_out else []


def is_on_hub(data: DataConfig) -> bool:
    """Whether the questions come from the hub; what is neither there nor a file is left to the reader."""
    known = KNOWN_SETS.get(data.path)
    if known is not None:
        return known.hub is not None and data.folder is None
    return hub_set(data.path) is not None and data.folder is None and data.view is None


def _source(data: DataConfig) -> str:
    known = KNOWN_SETS.get(data.path)
    if known is None:
        return f"hub {data.path}" if is_on_hub(data) else data.path
    if data.folder is not None:
        return data.folder
    return "in this package" if known.hub is None else f"hub {known.hub}"


def _hub_set(data: DataConfig) -> SetSize:
    known = KNOWN_SETS.get(data.path)
    kind: View = "mcqa"  # the costlier, for an unknown set
    if known is not None:
        split_of(known, data.split)
        kind = view_of(known, data.view)
    mean, longest = ASSUMED_CHARACTERS[kind]
    count = Count(None).at_most(data.limit)
    return SetSize(data.title, _source(data), count, kind == "mcqa", mean, longest, is_local=False)
