"""The rows of replay in an export: ordinary prompts, which the run trained on beside its questions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from grait.config import TrainingConfig
from grait.errors import ArtifactError
from grait.formats.examples import Example, Recipe
from grait.model.completions import TokenizedExample
from grait.pipeline.data import RunData
from grait.pipeline.lessons import Lesson
from grait.pipeline.replay import Replayed, asked_prompts, load_replayed, positions, replay_examples, replay_stage
from grait.runtime.artifacts import Stage
from grait.training.examples import WeightedExample


@dataclass(frozen=True)
class Replay:
    """``rows``: as they were trained on, beside ``n_questions``; ``places``: theirs in the finished stage. Both may be
    empty."""

    data: RunData
    stored: Replayed | None
    places: Sequence[int]
    rows: Sequence[WeightedExample]
    n_questions: int

    @classmethod
    def of(cls, data: RunData, adapter: Stage, taught: Sequence[Lesson]) -> "Replay":
        """What the adapter was trained on. ArtifactError when the run's files now give other prompts."""
        if "replay" not in adapter.key:
            return cls(data, None, (), (), len(taught))
        asked = asked_prompts(data)
        stage = replay_stage(data, asked)
        if stage.fingerprint != adapter.key["replay"]["stage"] or stage.changes() is not None:
            raise ArtifactError(
                f"{adapter.folder}: trained on other replay prompts than {data.config.replay.path} gives now; "
                "run grait run again, then repeat this"
            )
        stored = load_replayed(data.config, stage, asked)
        questions = [WeightedExample(TokenizedExample(lesson.row.id, (), ()), lesson.weight) for lesson in taught]
        rows = replay_examples(data.config, stored, questions)
        return cls(data, stored, positions(len(questions), data.config, stored), rows, len(questions))

    def added_to(self, recipe: Recipe, trained: TrainingConfig) -> Recipe:
        """The recipe of questions alone, with these rows. ``trained``: as of ``trained_with``."""
        if self.stored is None or not self.rows:
            return recipe
        longest = max(row.example.n_tokens for row in self.rows) + 1
        training = trained.resolved(self.n_questions + len(self.rows))
        n_chat = 0 if recipe.is_chat else sum(self.stored.asked[place].prompt.is_chat for place in self.places)
        turns = (message["role"] for place in self.places for message in self.stored.asked[place].messages)
        return replace(
            recipe,
            n_tokens=max(recipe.n_tokens, longest),
            n_chat_as_text=recipe.n_chat_as_text + n_chat,
            has_shots=recipe.has_shots or "assistant" in turns,
            training=training,
        )

    def examples(self, recipe: Recipe) -> list[Example]:
        """In a file of text a conversation is the text that the chat template makes of it."""
        return [self._example(place, row, recipe) for place, row in zip(self.places, self.rows, strict=True)]

    def _example(self, place: int, row: WeightedExample, recipe: Recipe) -> Example:
        assert self.stored is not None
        asked, answer = self.stored.asked[place], self.stored.rows[place].completion
        begin, prompt = recipe.around(asked.prompt)
        return Example(
            id=row.example.id,
            label=None,
            target=None,
            messages=asked.messages,
            answer=answer.strip(),
            begin=begin,
            prompt=prompt,
            completion=answer,
            end=self.data.prompts.end_text(asked.prompt.is_chat),
            sample_weight=row.sample_weight,
            kind="replay",
        )

    def notes(self) -> list[str]:
        """One line, where there is replay."""
        if self.stored is None:
            return []
        config, n_cut = self.data.config.replay, sum(not row.ended for row in self.stored.rows)
        line = (
            f"{len(self.rows)} rows of replay (kind: replay in export.json): ordinary prompts with the initial model's "
            f"own answers, each of weight {self.rows[0].sample_weight:.4g}"
        )
        if config.loss == "kl":
            line += (
                "; the run kept the initial model's probabilities there (KL), which no file carries: the rows teach "
                "the answers instead (cross-entropy)"
            )
        if n_cut:
            line += (
                f"; {n_cut} of {len(self.stored.rows)} answers are cut off at {config.max_new_tokens} tokens, and "
                "other tools put an end token there"
            )
        return [line]
