"""How many questions there are, and how long: of those on this machine counted, of those of the hub assumed."""

from pathlib import Path

from grait.config import Config, DataConfig
from grait.data.catalog import KNOWN_SETS
from grait.data.files import is_question_file
from grait.errors import DataError
from grait.pipeline.data import RunData
from grait.pipeline.dials import with_reference
from grait.pipeline.work import Count, SetSize

ASSUMED_CHARACTERS = {"oeqa": (75, 400), "mcqa": (450, 5000)}
"""Mean and longest question with its options, where the questions are not on this machine."""


def set_sizes(config: Config) -> list[SetSize]:
    """The training set, without its shots, then the test sets, then the calibration questions, if any.

    Reads those on this machine; asks no hub.
    """
    data, sets = RunData(config), []
    for source in (config.data, *config.evaluation.all_sets):
        if is_on_hub(source):
            sets.append(_hub_set(source))
            continue
        if source is config.data:
            questions = list(data.questions.values())
        elif source is config.evaluation.calibration:
            questions = with_reference(source)
        else:
            questions = data.read(source)
        sets.append(SetSize.counted(source.title, _source(source), questions))
    if all(size.is_local for size in sets[: 1 + len(config.evaluation.datasets)]):
        data.look_across()
    return sets


def is_on_hub(data: DataConfig) -> bool:
    """Whether the questions come from the hub; what is neither there nor a file is left to the reader."""
    known = KNOWN_SETS.get(data.path)
    if known is not None:
        return known.hub is not None and data.folder is None
    path = Path(data.path)
    is_path = path.exists() or path.parent.exists() or is_question_file(path)
    return data.path.count("/") == 1 and not is_path and data.folder is None and data.view is None


def _source(data: DataConfig) -> str:
    known = KNOWN_SETS.get(data.path)
    if known is None:
        return f"hub {data.path}" if is_on_hub(data) else data.path
    if data.folder is not None:
        return data.folder
    return "in this package" if known.hub is None else f"hub {known.hub}"


def _hub_set(data: DataConfig) -> SetSize:
    known = KNOWN_SETS.get(data.path)
    kind = "mcqa"  # the costlier, for an unknown set
    if known is not None:
        if data.split not in known.splits and (data.split is not None or len(known.splits) > 1):
            raise DataError(f"{known.title} has no split {data.split!r}: take one of {', '.join(known.splits)}.")
        kind = data.view or known.views[0]
        if kind not in known.views:
            raise DataError(f"{known.title} has no view {kind!r}: take {known.views[0]}, or leave `view` out")
    mean, longest = ASSUMED_CHARACTERS[kind]
    count = Count(None).at_most(data.limit)
    return SetSize(data.title, _source(data), count, kind == "mcqa", mean, longest, is_local=False)
