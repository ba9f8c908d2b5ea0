"""What a run reads: its questions, its solved examples and its prompts. No model is loaded here."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from grait.config import Config, DataConfig
from grait.data.held_out import held_out, wording
from grait.data.load import load_questions, load_shots, load_topic_shots
from grait.data.replay import ReplayPrompt, draw_replay
from grait.errors import DataError
from grait.judging.sureness import with_sureness
from grait.model.completions import TokenizedExample
from grait.model.forms import Form
from grait.model.load import load_tokenizer
from grait.model.prompts import Family, PromptFormat
from grait.records import Question
from grait.runtime import progress

HELD_OUT = "held-out"
"""What the training questions that are put aside are called."""


@dataclass
class RunData:
    """The config of a run, and what it names: each part is read when it is first needed.

    ``has_training`` False: ``config.data`` is not read; ``given_shots`` are shown, or those that a test set keeps for
    its own questions.
    """

    config: Config
    has_training: bool = True
    given_shots: tuple[Question, ...] = ()

    def at_temperature(self, temperature: float) -> "RunData":
        """The same, read as far as it is, with this number for ``knowledge.temperature``."""
        found = copy(self)
        knowledge = self.config.knowledge.model_copy(update={"temperature": temperature})
        found.config = self.config.model_copy(update={"knowledge": knowledge})
        return found

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return Path(self.config.out)

    @cached_property
    def _all_training_questions(self) -> list[Question]:
        questions = load_questions(self.config.data)
        if len(questions) <= self.config.prompt.n_shots:
            raise DataError(
                f"{self.config.data.path}: expected more than prompt.n_shots = {self.config.prompt.n_shots} "
                f"training questions, found {len(questions)}; add questions or lower prompt.n_shots"
            )
        return questions

    @cached_property
    def held_out(self) -> list[Question]:
        """The training questions that are put aside for calibration; none where other ones are named, or no dial."""
        if not self.has_training or self.config.evaluation.calibration != "auto":
            return []
        if HELD_OUT in self.test_sets:
            raise DataError(
                f"a test set is called {HELD_OUT!r}, as are the training questions that are put aside for calibration; "
                "give it another name (evaluation.datasets, name)"
            )
        seen = (*self.shots, *(question for own in self.test_sets.values() for question in own))
        ids = held_out(self._all_training_questions, {wording(question) for question in seen})
        return [question for question in self._all_training_questions if question.id in ids]

    @cached_property
    def training_set(self) -> list[Question]:
        """All training questions but those put aside; the shots come first where the set has none of its own."""
        aside = {question.id for question in self.held_out}
        return [question for question in self._all_training_questions if question.id not in aside]

    @property
    def calibration(self) -> DataConfig | None:
        """Where the calibration questions come from; None without any."""
        source = self.config.evaluation.calibration
        if source != "auto":
            return source
        return self.config.data.model_copy(update={"name": HELD_OUT}) if self.held_out else None

    def calibration_questions(self, source: DataConfig) -> list[Question]:
        """Those of ``calibration``, or of other ones that are named later."""
        is_held_out = self.config.evaluation.calibration == "auto" and source == self.calibration
        return self.held_out if is_held_out else load_questions(source)

    @cached_property
    def shots(self) -> tuple[Question, ...]:
        """Solved examples: those that the training set keeps apart, else its first questions."""
        if not self.has_training:
            return self.given_shots
        return tuple((load_shots(self.config.data) or self._all_training_questions)[: self.config.prompt.n_shots])

    @cached_property
    def questions(self) -> dict[str, Question]:
        """Training questions by id, without the shots."""
        shots = {shot.id for shot in self.shots}
        return {question.id: question for question in self.training_set if question.id not in shots}

    @cached_property
    def test_sets(self) -> dict[str, list[Question]]:
        """Test questions by the title of their set."""
        return {dataset.title: load_questions(dataset) for dataset in self.config.evaluation.datasets}

    @cached_property
    def replay_prompts(self) -> list[ReplayPrompt]:
        """What is replayed in training; none without replay."""
        return draw_replay(self.config.replay, self.config.seed)

    @cached_property
    def prompts(self) -> PromptFormat:
        """Questions as the model's tokenizer has them, in the words of the config."""
        letters = self.config.knowledge.scoring in ("auto", "letter")
        return PromptFormat(
            # The shots first: bad data is found before the model is looked for.
            shots=self.shots,
            topic_shots=load_topic_shots(
                [*([self.config.data] if self.has_training else []), *self.config.evaluation.all_sets],
                self.config.prompt.n_shots,
            ),
            tokenizer=load_tokenizer(self.config.model),
            config=self.config.prompt,
            answer_form="letter" if letters else "text",
        )

    def tokenized(self, question_id: str, family: Family, answer: str) -> TokenizedExample:
        """A training question with this answer, as the model is trained on it."""
        prompt = self.prompts.prompt(self.questions[question_id], family)
        completion = self.prompts.completion(prompt, answer)
        return TokenizedExample(question_id, prompt.token_ids, completion.token_ids)

    def fitting(
        self,
        questions: Sequence[Question],
        longest: int,
        max_new_tokens: int,
        where: str,
        is_trained_on: bool = False,
        *,
        form: Form | None = None,
    ) -> tuple[list[Question], list[str]]:
        """The questions that have room, with their answers, in ``longest`` tokens, and the ids of the others.

        Answers have ``max_new_tokens``; the refusal has to fit, and the given answers of questions that are trained on,
        which have to fit in every form. ``form``: that of the others; None for the main one. ``where``: what the
        questions are, for the message. Raises DataError when none fits.
        """
        refusal = self.config.prompt.refusal
        forms = self.prompts.forms if is_trained_on else (form,)
        kept, skipped = [], []
        for question in questions:
            asked = self.prompts.query(question)
            shown = [self.prompts.prompt(question, "refuse", form) for form in forms]
            unsure = with_sureness(self.prompts.reference(question), False)  # the longest that any method teaches
            given = [refusal, *([unsure, *question.choices] if is_trained_on else [])]
            answers = [
                self.prompts.completion(asked, refusal),
                *(self.prompts.completion(prompt, text) for prompt in shown for text in given),
            ]
            n_answer = max(max_new_tokens, *(len(answer.token_ids) for answer in answers))
            if max(len(prompt.token_ids) for prompt in (asked, *shown)) + n_answer <= longest:
                kept.append(question)
            else:
                skipped.append(question.id)
        if skipped:
            named = progress.first_few(skipped)
            progress.note(f"{where}: {len(skipped)} questions longer than {longest} tokens skipped: {named}")
        if not kept:
            raise DataError(f"{where}: every question is longer than the {longest} tokens that the model attends to")
        return kept, skipped
