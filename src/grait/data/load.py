"""The questions that a config names: the embedded set, a file, or a data set on the hub."""

from grait.config import DataConfig
from grait.data import worldfacts
from grait.data.files import read_questions
from grait.errors import DataError
from grait.records import Question


def load_questions(config: DataConfig) -> list[Question]:
    """The questions of ``config``, in the set's order, at most ``limit``. Raises DataError with one line."""
    if config.path != "worldfacts":
        return read_questions(config.path, config.split, config.limit)
    if config.split is None:
        raise DataError(f"worldfacts: no split named; take one of {', '.join(worldfacts.SPLITS)}")
    return worldfacts.load(config.split, config.view)[: config.limit]
