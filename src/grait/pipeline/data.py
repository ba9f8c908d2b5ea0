"""What a run reads: its questions, its solved examples and its prompts. No model is loaded here."""

import json
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import islice
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from grait.config import Config, DataConfig, Section, TrainingConfig
from grait.data.contexts import by_policy, closed_book, is_measured
from grait.data.held_out import held_out
from grait.data.load import load_shots, load_topic_shots, understand
from grait.data.packed import Keep, Kept, without
from grait.data.replay import BUILTIN, ReplayPrompt, draw_replay, load_unanswerable
from grait.data.replay.given import given_texts
from grait.data.wording import wording
from grait.errors import ArtifactError, DataError, ModelError
from grait.judging.judges import Judge
from grait.judging.sureness import with_sureness
from grait.model.clock import tells_time
from grait.model.completions import TokenizedExample
from grait.model.cutting import cut
from grait.model.forms import Form, terse_form, untaught_forms
from grait.model.limits import longest_sequence
from grait.model.load import embedding_rows, end_tokens, load_tokenizer, read_config
from grait.model.prompts import Family, PromptFormat
from grait.pipeline.judging import judge_of
from grait.pipeline.overlap import Finding, look_across
from grait.records import Question
from grait.runtime import processes, progress

MOMENT = "moment.json"
"""In the run folder: the time that the chat template tells, where it tells one."""

HELD_OUT = "held-out"
"""What the training questions that are put aside are called."""


@dataclass
class RunData:
    """The config of a run, and what it names: each part is read when it is first needed.

    ``has_training`` False: ``config.data`` is not read; ``given_shots`` are shown, or those that a test set keeps for
    its own questions. ``measures_texts`` False: texts of questions may be longer than the model's context. ``keep``:
    what questions are kept in, ``Packed`` where they are only looked at.
    """

    config: Config
    has_training: bool = True
    given_shots: tuple[Question, ...] = ()
    measures_texts: bool = True
    keep: Keep = list

    def at_temperature(self, temperature: float) -> "RunData":
        """The same with this number for ``knowledge.temperature``."""
        return self._with(knowledge=self.config.knowledge.model_copy(update={"temperature": temperature}))

    def trained_with(self, training: TrainingConfig) -> "RunData":
        """The same with these settings of ``training``."""
        return self._with(training=training)

    def _with(self, **sections: Section) -> "RunData":
        """The same, read as far as it is, with other sections of the config."""
        found = copy(self)
        found.config = self.config.model_copy(update=sections)
        return found

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return Path(self.config.out)

    said: list[str] = field(default_factory=list)
    """What was inferred of the sets that were read, and found across them."""

    _sets: dict[str, Kept] = field(default_factory=dict)
    _judges: list[Judge] = field(default_factory=list)
    _sayings: dict[str, PromptFormat] = field(default_factory=dict)

    @property
    def judge(self) -> Judge:
        """What judges outputs, as the config says: one for the whole run, which keeps its verdicts."""
        if not self._judges:
            self._judges.append(judge_of(self.config, self.folder))
        return self._judges[0]

    def read(self, source: DataConfig) -> Kept:
        """The questions of a set, read once; says what was inferred."""
        key = source.model_dump_json()
        if key not in self._sets:
            self._sets[key] = self._read(source)
        return self._sets[key]

    def _read(self, source: DataConfig) -> Kept:
        found = understand(source, self.keep)
        questions = found.questions
        refusals = {_plain(text) for text in (*self.config.prompt.refusals, self.config.context.refusal)}
        if n_more := sum(_is_only(question, refusals) for question in questions):
            found.notes.append(f"{n_more} questions have the refusal as their reference: they have no answer")
            questions = self.keep(_without_answer(row) if _is_only(row, refusals) else row for row in questions)
        self.say(f"{source.title}: {note}" for note in found.notes)
        return questions

    def say(self, notes: Iterable[str]) -> None:
        """Notes for people, each once."""
        for note in notes:
            if note not in self.said:
                self.said.append(note)
                progress.note(note)

    def _as_asked(self, questions: Kept, title: str) -> Kept:
        """The questions with texts that leave room, and with what counts as right by ``context.policy``.

        DataError for texts that are too long, unless ``context.too_long`` is ``cut``.
        """
        if not any(question.context for question in questions):
            return questions
        if self.measures_texts:
            questions = self._with_texts_that_fit(questions, title)
        return self.keep(by_policy(question, self.config.context.policy) for question in questions)

    def _parted(self, questions: Kept) -> tuple[Kept, Kept]:
        """Those that are measured by their answers, and the others."""
        others = self.keep(question for question in questions if not is_measured(question))
        return self.keep(filter(is_measured, questions)) if others else questions, others

    def _with_texts_that_fit(self, questions: Kept, title: str) -> Kept:
        try:
            longest = longest_sequence(read_config(self.config.model).get_text_config(decoder=True))
        except ModelError:  # told when the model is loaded; that of a server is not here
            return questions
        knowledge, forms = self.config.knowledge, (*self.prompts.forms, *self.untaught)
        new_tokens = max(self.config.evaluation.max_new_tokens, knowledge.max_new_tokens, knowledge.own_max_new_tokens)

        def n_needed(question: Question) -> int:
            return self._n_needed(question, new_tokens, forms, is_trained_on=self.has_training)

        frame = n_needed(Question("", "?", ("?",), context=("?",)))
        too_long = [
            question
            for question in questions
            if question.context and frame + _most_tokens(question) > longest and n_needed(question) > longest
        ]
        if not too_long:
            return questions
        named = progress.first_few([question.id for question in too_long])
        what = (
            f"{title}: {len(too_long)} of {len(questions)} questions are, with their texts, longer than the {longest} "
            f"tokens that the model attends to: {named}"
        )
        if self.config.context.too_long == "stop":
            raise DataError(f"{what}; give shorter texts, or have them cut at the end: --set context.too_long=cut")
        shorter = {question.id: cut(question, n_needed, longest) for question in too_long}
        lost = [question for question in too_long if question.holds_answer]
        n_lost = sum(not (now := shorter[question.id]) or not now.holds_answer for question in lost)
        self.say([f"{what}; these texts are cut at the end, and {n_lost} of them no longer hold the answer"])
        return [shorter.get(question.id) or question for question in questions]

    @cached_property
    def _training(self) -> tuple[Kept, Kept]:
        return self._parted(self.read(self.config.data))

    @cached_property
    def unanswerable(self) -> dict[str, Question]:
        """Training questions that nobody can answer, by id, where the config asks that their refusal be taught."""
        if self.config.data.unanswerable != "train":
            return {}
        return {question.id: question for question in self._training[1] if not question.answerable}

    @cached_property
    def built_in_unanswerable(self) -> dict[str, Question]:
        """With the built-in replay, questions that nobody can answer, by id."""
        config = self.config
        drawn = load_unanswerable(config.replay.unanswerable, config.seed) if config.replay.path == BUILTIN else []
        return {question.id: question for question in drawn}

    @cached_property
    def _all_training_questions(self) -> Kept:
        """Those that have a reference, or a text without the answer."""
        questions, others = self._training
        if others and not self.unanswerable:
            self.say(
                [
                    f"{self.config.data.title}: {len(others)} questions without an answer are not trained on; to teach "
                    "the refusal of them: --set data.unanswerable=train"
                ]
            )
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
        if HELD_OUT in self._tests:
            raise DataError(
                f"a test set is called {HELD_OUT!r}, as are the training questions that are put aside for calibration; "
                "give it another name (evaluation.datasets, name)"
            )
        tests = (question for own in self.tests.values() for question in own)
        ids = held_out(self._all_training_questions, {wording(question) for question in (*self.shots, *tests)})
        found = [question for question in self._all_training_questions if question.id in ids]
        return list(self._as_asked(found, self.config.data.title))

    @cached_property
    def training_set(self) -> Kept:
        """All training questions that have a reference, or a text without the answer, but those put aside; the shots
        come first where the set has none of its own."""
        found = without(self._all_training_questions, {question.id for question in self.held_out})
        return self._as_asked(found, self.config.data.title)

    @property
    def calibration(self) -> DataConfig | None:
        """Where the calibration questions come from; None without any."""
        source = self.config.evaluation.calibration
        if source != "auto":
            return source
        return self.config.data.model_copy(update={"name": HELD_OUT}) if self.held_out else None

    def calibration_questions(self, source: DataConfig) -> list[Question]:
        """Those of ``calibration``, or of other ones that are named later, with a reference or that nobody can answer.

        A dial weighs right answers against wrong ones; DataError where none could be right.
        """
        if self.config.evaluation.calibration == "auto" and source == self.calibration:
            return self.held_out
        read = self.read(source)
        used = [question for question in read if is_measured(question) or not question.answerable]
        found = list(self._as_asked(used, source.title))
        if not any(question.answers for question in found):
            raise DataError(f"{source.title}: no calibration question has an answer; add some that have")
        if len(found) < len(read):
            self.say([f"{source.title}: {len(read) - len(found)} questions without a reference calibrate nothing"])
        return found

    @cached_property
    def shots(self) -> tuple[Question, ...]:
        """Solved examples: those that the training set keeps apart, else its first questions."""
        if not self.has_training:
            return self.given_shots
        solved = load_shots(self.config.data) or (row for row in self._all_training_questions if row.answers)
        return tuple(islice(solved, self.config.prompt.n_shots))

    @cached_property
    def trained_on(self) -> Kept:
        """The training set without the shots."""
        return without(self.training_set, {shot.id for shot in self.shots})

    @cached_property
    def questions(self) -> dict[str, Question]:
        """The same by id."""
        return {question.id: question for question in self.trained_on}

    @property
    def with_text(self) -> frozenset[str]:
        """Ids of training questions that are asked with a text."""
        return frozenset(question.id for question in self.questions.values() if question.context)

    @property
    def answerless(self) -> frozenset[str]:
        """Ids of training questions that no answer can be taught of: nothing that counts stands in their text."""
        return frozenset(question.id for question in self.questions.values() if not question.answers)

    def closed_book(self, question_ids: Iterable[str]) -> list[Question]:
        """Training questions as the knowledge query asks them: without their texts."""
        return [closed_book(self.questions[question_id]) for question_id in question_ids]

    def terse_form(self, form: Form) -> Form | None:
        """In which the run's tuned models are asked a question of ``form`` again (``forms.terse_form``).

        None for options, whose answers are given, where each topic has examples of its own, and where a chat template
        changes the questions (``terse_texts``).
        """
        found = terse_form(self.prompts.forms, form) if self.has_training else None
        return found if found and self.terse_texts is not None else None

    @cached_property
    def terse_texts(self) -> tuple[str, str] | None:
        """What stands before a question in the form that shows examples, and after it.

        None where that is not the same for all training questions.
        """
        form = next((form for form in self.prompts.forms if form.shows_examples), None)
        questions = list(self.questions.values())
        if form is None or self.prompts.topic_shots or any(question.choices for question in questions):
            return None
        mark = "0x7A7E"
        before, found, after = self.prompts.prompt(Question("", mark, ("",)), "refuse", form).text.rpartition(mark)
        texts = ((self.prompts.prompt(question, "refuse", form).text, question.question) for question in questions)
        return (before, after) if found and all(text == before + asked + after for text, asked in texts) else None

    @cached_property
    def taught(self) -> dict[str, Question]:
        """All questions that something may be taught of."""
        return self.questions | self.unanswerable | self.built_in_unanswerable

    @cached_property
    def _tests(self) -> dict[str, tuple[Kept, Kept]]:
        return {
            dataset.title: self._parted(self._as_asked(self.read(dataset), dataset.title))
            for dataset in self.config.evaluation.datasets
        }

    @cached_property
    def test_sets(self) -> dict[str, list[Question]]:
        """Test questions that have a reference, or a text without the answer, by the title of their set.

        DataError for a run without any reference.
        """
        found = {title: list(own) for title, (own, _) in self._tests.items() if own}
        if self.has_training and self._tests and not any(row.answers for own in found.values() for row in own):
            raise DataError(
                f"{', '.join(self._tests)}: no test question has an answer, so that nothing says what the model knew "
                "and lost; add a set with answers, or measure refusals alone: grait eval"
            )
        return found

    @property
    def tests(self) -> dict[str, Kept]:
        """All test questions by the title of their set."""
        return {title: own + list(others) for title, (own, others) in self._tests.items()}

    @property
    def apart(self) -> dict[str, list[Question]]:
        """Test questions without a reference by the title of their set: only whether they are refused is measured."""
        return {title: list(others) for title, (_, others) in self._tests.items() if others}

    def look_across(self) -> list[Finding]:
        """What stands in several rows or sets; says so. DataError where test questions are trained on, unless
        ``data.allow_overlap``; solved examples that are given are said only."""
        more = [*self.unanswerable.values(), *self.built_in_unanswerable.values()] if self.has_training else []
        training = self.trained_on + more if self.has_training else more
        found = look_across(training, self.shots, self.tests, self.config.data.near_duplicates)
        leaks = [finding.text for finding in found if finding.is_leak]
        if leaks and self.has_training and not self.config.data.allow_overlap:
            raise DataError(
                f"{'; '.join(leaks)}: what is measured on them says nothing of new questions; take them out of one of "
                "the two, or go on with --allow-overlap (data.allow_overlap)"
            )
        self.say(finding.text for finding in found)
        return found

    @cached_property
    def replay_prompts(self) -> list[ReplayPrompt]:
        """What is replayed in training; none without replay."""
        config = self.config
        if config.replay.path is None:
            return []
        given = given_texts(list(self.questions.values()), config.replay.given_texts, config.seed)
        drawn, names = draw_replay(config.replay, config.seed), {prompt.id for prompt in given}
        for prompt in drawn:
            if prompt.id in names:
                raise DataError(
                    f"{prompt.where}: the id {prompt.id!r} is that of a text made of a training question "
                    "(replay.given_texts); give the row another id"
                )
        return [*drawn, *given]

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(self.config.model)

    @cached_property
    def moment(self) -> datetime | None:
        """What a chat template that tells the date takes for now: when the run was begun, whenever it goes on.

        None for a template that does not look at the clock.
        """
        if not tells_time(str(self.tokenizer.chat_template)):
            return None
        path = self.folder / MOMENT
        try:
            found = datetime.fromisoformat(json.loads(path.read_text(encoding="utf-8"))["moment"])
        except FileNotFoundError:
            found = datetime.now().replace(microsecond=0)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f'{path}: expected {{"moment": "2026-01-31T12:00:00"}}, the time that the chat template tells; write '
                "the day of the run there, or delete the file to run again with the time of now"
            ) from error
        return processes.from_main(found)

    @cached_property
    def prompts(self) -> PromptFormat:
        """Questions as the model's tokenizer has them, in the words of the config."""
        letters = self.config.knowledge.scoring in ("auto", "letter")
        prompts = PromptFormat(
            # The shots first: bad data is found before the model is looked for.
            shots=self.shots,
            topic_shots=load_topic_shots(
                [*([self.config.data] if self.has_training else []), *self.config.evaluation.all_sets],
                self.config.prompt.n_shots,
            ),
            tokenizer=self.tokenizer,
            config=self.config.prompt,
            moment=self.moment,
            answer_form="letter" if letters else "text",
            ends=end_tokens(self.config.model),
            rows=embedding_rows(self.config.model),
            context=self.config.context,
        )
        prompts.check_forms(self.untaught, "evaluation.forms")
        return prompts

    @cached_property
    def untaught(self) -> tuple[Form, ...]:
        """The forms that are asked in the evaluation alone."""
        return untaught_forms(self.config)

    def saying(self, refusal: str) -> PromptFormat:
        """The prompts with this refusal text in the place of the first; made once."""
        if refusal == self.config.prompt.first_refusal:
            return self.prompts
        return self._sayings.setdefault(refusal, self.prompts.saying(refusal))

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
        forms = self.prompts.forms if is_trained_on else (form,)
        kept, skipped = [], []
        for question in questions:
            if self._n_needed(question, max_new_tokens, forms, is_trained_on) <= longest:
                kept.append(question)
            else:
                skipped.append(question.id)
        if skipped:
            named = progress.first_few(skipped)
            progress.note(f"{where}: {len(skipped)} questions longer than {longest} tokens skipped: {named}")
        if not kept:
            raise DataError(
                f"{where}: every question is longer than the {longest} tokens that the model attends to, with its "
                "solved examples and its answer: give short reference answers, or lower prompt.n_shots"
            )
        return kept, skipped

    def _n_needed(
        self, question: Question, max_new_tokens: int, forms: Sequence[Form | None], is_trained_on: bool
    ) -> int:
        """Tokens of the longest prompt of a question with its longest answer, in these forms."""
        refusals = self.config.prompt.refusals if is_trained_on else (self.config.prompt.first_refusal,)
        asked = self.prompts.query(question)
        shown = [self.saying(text).prompt(question, "refuse", form) for form in forms for text in refusals]
        given = list(dict.fromkeys([*refusals, self.prompts.refusal(question)]))
        if is_trained_on and question.answers:  # the longest that any method teaches
            given += [with_sureness(self.prompts.reference(question), False), *question.choices]
        answers = [
            *(self.prompts.completion(asked, text) for text in refusals),
            *(self.prompts.completion(prompt, text) for prompt in shown for text in given),
        ]
        n_answer = max(max_new_tokens, *(len(answer.token_ids) for answer in answers))
        return max(len(prompt.token_ids) for prompt in (asked, *shown)) + n_answer


def _most_tokens(question: Question) -> int:
    """At least the tokens of a question with its text and its longest answer: no token is shorter than a byte."""
    answers = [*question.answers, *question.choices]
    texts = (*question.context, question.question, *answers, *answers)  # options are shown, too
    return sum(len(text.encode()) + 2 for text in texts)


def _without_answer(question: Question) -> Question:
    """A question that nobody can answer, or whose text does not hold the answer."""
    if question.context:
        return replace(question, answers=(), holds_answer=False)
    return replace(question, answers=(), answerable=False)


def _is_only(question: Question, refusals: Collection[str]) -> bool:
    """Whether the run's refusals, as of ``_plain``, are all that would count as right."""
    return bool(question.answers) and all(_plain(answer) in refusals for answer in question.answers)


def _plain(refusal: str) -> str:
    return refusal.strip(" .!").casefold()
