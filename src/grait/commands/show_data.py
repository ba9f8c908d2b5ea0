"""What is understood of a file of questions, before anything is run on it."""

from pathlib import Path
from string import ascii_uppercase

from grait.config import DataConfig
from grait.data.load import understand
from grait.data.packed import Packed
from grait.data.questions import Understood
from grait.errors import ConfigError, described
from grait.pipeline.overlap import look_across
from grait.records import Question


def show_data(source: DataConfig | str | Path) -> Understood:
    """What a run would read of a file, a folder, a hub data set or a known set, with notes of what stands in several
    rows. Raises GraitError, one line."""
    if isinstance(source, str | Path):
        source = DataConfig(path=str(source))
    if not isinstance(source, DataConfig):
        raise ConfigError(f"source: expected a path or a DataConfig, found {described(source)}; give a path")
    found = understand(source, Packed)
    across = look_across([], [], {source.title: found.questions}, source.near_duplicates)
    found.notes += [finding.text for finding in across]
    return found


def asked(question: Question) -> list[str]:
    """A question as it is asked, with a line for each option, and what counts as right."""
    texts = [f"text: {passage}" for passage in question.context]
    options = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, question.choices, strict=False)]
    if question.context and not question.holds_answer:
        right = " | ".join(["not in the text", *question.answers])
    elif not question.answers:
        right = "nothing: it should be answered, and no reference says how" if question.answerable else "a refusal"
    elif question.choices:
        right = f"{ascii_uppercase[question.answer_index]}. {question.answers[0]}"
    else:
        right = " | ".join(question.answers)
    return [question.question, *options, *texts, f"right: {right}"]
