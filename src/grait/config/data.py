"""The config's sections about questions: where a set is, and what its columns mean.

Keys that came later are left out of what is written (``exclude_if``) while they have their defaults: results of before
go on.
"""

from operator import not_
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from grait.config.section import Section
from grait.records import View


class ColumnsConfig(Section):
    """Columns by what they mean, where their names do not say it; the others are found by their names."""

    question: str | None = Field(None, min_length=1, description="The question.")
    answers: list[str] | None = Field(
        None,
        min_length=1,
        description="References, the canonical one first; without options named here they are taken as text.",
    )
    choices: list[str] | None = Field(
        None, min_length=1, description="One column that holds all options, or one for each option, in order."
    )
    answer_letter: str | None = Field(None, min_length=1, description="The right option by its letter or label.")
    answer_index: str | None = Field(None, min_length=1, description="The right option by its place, counted from 0.")
    answer_number: str | None = Field(None, min_length=1, description="The right option by its place, counted from 1.")
    answerable: str | None = Field(None, min_length=1, description="False for a question that nobody can answer.")
    unanswerable: str | None = Field(None, min_length=1, description="True for a question that nobody can answer.")
    id: str | None = Field(None, min_length=1, description="Unique names of the questions.")
    relation: str | None = Field(None, min_length=1, description="What the question asks for.")
    subject: str | None = Field(None, min_length=1, description="Whom or what it asks about.")
    group: str | None = Field(None, min_length=1, description="What results are broken down by.")
    context: list[str] | None = Field(
        None,
        exclude_if=lambda names: names is None,
        description="Texts that the question is asked with, all of them in this order; []: none is shown.",
    )
    holds_answer: str | None = Field(
        None, min_length=1, exclude_if=not_, description="True where the texts hold the answer."
    )

    @field_validator("answers", "choices", "context", mode="before")
    @classmethod
    def _one_alone(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """Columns that name an option, with how they do: letter, index or number."""
        found = ((self.answer_letter, "letter"), (self.answer_index, "index"), (self.answer_number, "number"))
        return tuple((column, how) for column, how in found if column is not None)

    @property
    def flags(self) -> tuple[tuple[str, bool], ...]:
        """Columns that say whether there is an answer, with what they say where they are true."""
        found = ((self.answerable, True), (self.unanswerable, False))
        return tuple((column, is_answerable) for column, is_answerable in found if column is not None)

    @property
    def named(self) -> list[str]:
        """All columns that are named."""
        values = [getattr(self, name) for name in type(self).model_fields]
        return [name for value in values if value for name in ([value] if isinstance(value, str) else value)]


class DataConfig(Section):
    """One set of questions: a known set (``grait datasets`` lists them), a file, or a data set on the hub."""

    path: str = Field(
        "worldfacts",
        min_length=1,
        description="A known set (worldfacts, mmlu, ...), a .jsonl/.json/.csv/.tsv/.parquet file, a folder of such "
        "files or of datasets.save_to_disk, or a hub id.",
    )
    split: str | None = Field(None, description="Split of a known set, a folder, or a hub data set.")
    folder: str | None = Field(
        None, min_length=1, description="Known sets: folder with local copies of their files; default: the hub."
    )
    revision: str | None = Field(
        None, min_length=1, description="Commit, tag or branch on the hub; default of a known set: a pinned commit."
    )
    view: View | None = Field(
        None,
        description="Known sets that can be asked in several ways (worldfacts, sciq): oeqa (free text), mcqa "
        "(options), or context (worldfacts: free text, two thirds of them with a text).",
    )
    limit: int | None = Field(None, ge=1, description="Keep only the first so many questions; default all.")
    columns: ColumnsConfig | None = Field(
        None,
        exclude_if=not_,
        description="Columns whose names do not say what they are, such as {question: frage, answers: antwort}.",
    )
    encoding: str = Field(
        "utf-8",
        exclude_if=lambda name: name == "utf-8",
        description="Of text files, as Python names it: cp1252 is that of older tables.",
    )
    unanswerable: Literal["measure", "train"] = Field(
        "measure",
        exclude_if=lambda aim: aim == "measure",
        description="Training questions that nobody can answer: measure leaves them out of training, train teaches the "
        "refusal, with the mean weight of a method's refusals. Those of test sets are always measured, apart.",
    )
    allow_overlap: bool = Field(
        False, exclude_if=not_, description="Training questions: run although some of them are test questions, too."
    )
    near_duplicates: float | None = Field(
        None,
        gt=0,
        lt=1,
        exclude_if=not_,
        description="Also name questions whose runs of five characters are shared to this part or more, such as 0.8. "
        "Of the training questions' it holds for all sets of the run. Needs the package datasketch.",
    )
    name: str | None = Field(
        None, description="Name in tables and folders, without slashes; default made from path and split."
    )

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, name: str | None) -> str | None:
        if name is not None and (not name or name.startswith(".") or "/" in name or "\\" in name):
            raise ValueError("should be a folder name: no slashes, no dot at its beginning, not empty")
        if name is not None and (not name.isprintable() or len(name.encode()) > 200):
            raise ValueError("should be a folder name: printable characters, at most 200 bytes")
        return name

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        try:
            "a".encode(encoding)
        except (LookupError, ValueError):
            raise ValueError("should be an encoding of text that Python knows, such as utf-8 or cp1252") from None
        return encoding

    @property
    def title(self) -> str:
        """What tables and folders call this set."""
        return self.name or "-".join([Path(self.path).stem, *([self.split] if self.split else [])])
