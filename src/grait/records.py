"""The rows that stages hand to each other. All are frozen; rows are joined by ``id``, never by position.

Symbols as in GRAIT (arXiv 2502.05911) and CRaFT (arXiv 2410.06913).
"""

import math
import sys
from dataclasses import dataclass
from typing import Literal

Label = Literal["ik", "idk", "dropped"]
"""``ik``: the initial model knows the answer; ``idk``: it does not; ``dropped``: exactly on the threshold."""

Outcome = Literal["correct", "wrong", "refused"]
"""The kinds of a prediction. Exactly one holds, so the three shares Pc, Pw and Pr sum to 1."""

SideEffectKind = Literal[
    "chit-chat",
    "instruction",
    "passage",
    "unanswerable",
    "after-refusal",
    "after-greeting",
    "after-instruction",
    "question",
]
"""The things that a system is asked for its side effects. ``passage``: a question whose answer stands in a given text;
``after-...``: chit-chat in a conversation whose last turns were that; ``question``: a test question in a chat."""

ConversationKind = Literal["nothing", "greeting", "instruction", "refusal", "context"]
"""The turns before a test question in a chat. ``context``: a text with a question about it, and its answer."""

SideEffectOutcome = Literal["refused", "corrected", "right", "answered"]
"""The kinds of a reply. ``corrected``: says that there is no such thing, or that nobody can know; told apart for
unanswerable questions only. ``right``: the answer, of a test question or in the passage; told apart for these only.
``answered``: all the rest."""

BenchPart = Literal["to answer", "to comply", "to refuse", "options"]
"""The questions of a benchmark set: with a reference; without one, but not to be refused; to be refused; multiple
choice by likelihood."""

Target = Literal["answer", "refusal", "answer-sure", "answer-unsure", "answer-respond"]
"""The lesson of a training example: the reference answer, the refusal text, or the reference answer followed by the
statement that the model is sure or unsure of it (R-Tuning; ``judging/sureness.py`` has the words), or preceded by the
word that announces an answer (refusal tokens; ``judging/respond.py``)."""

Asked = Literal["query", "refuse"]
"""How a system is asked in the evaluation. ``query``: BASIC after the shots, as Init-Basic; ``refuse``: REFUSE, as all
tuned models, with shots where ``prompt.shots_in`` is ``all``, or in the main one of ``prompt.forms``."""

FormName = Literal["examples", "instruction", "question", "assistant", "plain", "short"]
"""Forms of a question that are built in; ``model/forms.py`` has their words."""

Match = Literal["normalized", "exact", "number", "date", "list"]
"""How the built-in judge holds an answer against its references."""

View = Literal["oeqa", "mcqa", "context"]
"""How a question set is asked. ``oeqa``: answered in free text; ``mcqa``: multiple choice; ``context``: in free text,
most questions with a text."""

ContextPolicy = Literal["only", "help"]
"""From what a question with a text is answered. ``only``: from the text alone; ``help``: from what either knows."""

MethodName = Literal[
    "van-tuning",
    "cor-rait",
    "corcer-rait",
    "r-tuning",
    "craft",
    "craft-no-flow",
    "craft-no-certainty",
    "grait",
    "grait-equal-weights",
    "grait-stable-weights",
    "grait-known-answers",
    "grait-dynamic",
    "grait-paper",
    "grait-no-selection",
    "grait-no-weights",
    "grait-released",
    "random-idk",
    "uniform",
    "refusal-token",
    "dpo",
    "truthrl",
    "tiar",
]
"""Methods that train; ``methods/catalog.py`` has one line about each. Here because the config names them, too."""

ScorerName = Literal["answer-probability", "p-true", "probe", "text-floor", "conftuner"]
"""Systems that answer as the initial model does, and refuse by a score of their own and a threshold."""

SystemName = Literal["init-basic", "init-refuse", ScorerName, MethodName]
"""All that is evaluated: the initial model, asked in two ways, and what the methods make of it."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its reference answers.

    ``answers``: canonical answer first, then aliases; empty where there is no reference.
    ``answerable``: False for what nobody can answer, or should; it has no ``answers``, so that nothing counts as right.
    ``choices``: the options in order for a multiple-choice question, empty for a free-text one;
    ``answers[0]`` is then one of them.
    ``match``: ``normalized`` finds an alias on word boundaries of the normalised output;
    ``exact`` asks that the whole normalised output is an alias (codes, numbers); ``number``, ``date``: the first one of
    the output is a reference; ``list``: all of ``answers[1:]`` and nothing else, ``answers[0]`` being all in one text.
    ``tolerance``: of a number, such as ``0.5`` in the reference's unit, or ``1%`` of it.
    ``popularity``: rank within the relation (WorldFacts) or the set (PopQA), 0 (rarest) to 1 (best known), or None.
    ``topic``: the school subject of an MMLU question in words; prompts name it and shots are of the same one.
    ``group``: what results are broken down by, such as MMLU's subject groups.
    ``answer_place``: place of the right option in ``choices`` where the set gives it, from 0. Needed because a few
    benchmark questions have options of equal text; without it the first option that is ``answers[0]`` is meant.
    ``context``: the passages that it is asked with. ``holds_answer``: whether they hold the answer; None without any.
    ``beyond``: references that do not count, as the passages do not hold them (``data.contexts.by_policy``).
    """

    id: str
    question: str
    answers: tuple[str, ...]
    choices: tuple[str, ...] = ()
    match: Match = "normalized"
    relation: str | None = None
    subject: str | None = None
    popularity: float | None = None
    topic: str | None = None
    group: str | None = None
    answer_place: int | None = None
    answerable: bool = True
    tolerance: str | None = None
    context: tuple[str, ...] = ()
    holds_answer: bool | None = None
    beyond: tuple[str, ...] = ()

    @property
    def answer_index(self) -> int:
        """Position of the right option in ``choices``; only for a multiple-choice question."""
        return self.choices.index(self.answers[0]) if self.answer_place is None else self.answer_place

    def is_right(self, index: int) -> bool:
        """Whether this option is the right one, or one of the same text: a reply cannot be wrong in between."""
        return bool(self.answers) and self.choices[index] == self.choices[self.answer_index]


@dataclass(frozen=True, slots=True)
class KnowledgeState:
    """The initial model's knowledge of one question.

    ``correctness``: mu in [0, 1]. OEQA: share of correct samples among those with a verdict, the threshold itself
    where none has one; MCQA: probability of the right option,
    normalised over the options.
    ``certainty``: sigma, higher is more certain. MCQA: minus the entropy of the option probabilities (nats,
    at most 0). OEQA, where refusing samples take no part: the share of the samples that agree with the most frequent
    normalised answer, in (0, 1], or the mean cosine of the samples' sentence embeddings, in [-1, 1]
    (``knowledge.certainty``); None when too few samples answer.
    ``option_mass``: MCQA by letter only: probability on all option letters together, a diagnostic.
    ``answer``: the most frequent sample (OEQA) or the most probable option (MCQA).
    """

    id: str
    label: Label
    correctness: float
    certainty: float | None
    option_mass: float | None
    answer: str


@dataclass(frozen=True, slots=True)
class TemperatureTrial:
    """A training question, asked to find the sampling temperature. ``outcome``: of the greedy answer; ``correctness``:
    share of right samples at each temperature that was tried. None and NaN where there is no verdict."""

    id: str
    outcome: Outcome | None
    correctness: list[float]


@dataclass(frozen=True, slots=True)
class OwnWords:
    """The initial model's own answers to a training question in a chat form.

    ``correctness``: share of samples that are right, in [0, 1]; 0 also where none has a verdict. ``right``: one of
    these, drawn by the seed; ``wrong``: the most frequent wrong one. None where there is none that the model ended by
    itself or that has a whole sentence.
    """

    id: str
    correctness: float
    right: str | None
    wrong: str | None


@dataclass(frozen=True, slots=True)
class KnowledgeFlow:
    """How rehearsal (warm-up) changes what the model knows about one question (CRaFT, stage 1).

    ``correctness``: mu of the initial model M0; ``warmup_correctness``: mu of the model after the warm-up, M~.
    ``flow``: mu(M~) - mu(M0), in [-1, 1]; positive when practice on known questions helps with this one, too.
    """

    id: str
    label: Label
    correctness: float
    warmup_correctness: float
    flow: float


@dataclass(frozen=True, slots=True)
class StaticConflict:
    """One unknown question and the known one that looks most like it to the initial model (CRaFT's static conflict).
    ``cosine``: of their last hidden states (``knowledge/conflict.py``), in [-1, 1]; higher conflicts more."""

    id: str
    nearest_ik: str
    cosine: float


@dataclass(frozen=True, slots=True)
class InfluenceScore:
    """Influence of learning to refuse one question, from unit gradients at the warm-up adapter.

    ``refusal_influence``: R, mean over the idk set of <u_i, u_j>; higher teaches more refusing of unknowns.
    ``over_refusal_influence``: O, mean over the ik set; higher teaches more refusing of knowns.
    ``stable_influence``: S = R - O; higher is better.
    ``retention_influence``: K, mean over the ik set of <u_i, u_j^ans> with the gradients of the reference answers;
    higher does less harm to known answers. A diagnostic: GRAIT does not use it.
    ``gradient_norm``: norm of the refusal loss gradient before it is made a unit.
    ``left_out_margin``: what the gradients of all OTHER questions, by ridge regression, say of this one: 1 unknown,
    -1 known; higher is better (``influence.margins``).
    """

    id: str
    label: Label
    refusal_influence: float
    over_refusal_influence: float
    stable_influence: float
    retention_influence: float
    gradient_norm: float
    left_out_margin: float


@dataclass(frozen=True, slots=True)
class Selected:
    """One question that a method trains on, and what it teaches there.

    ``label``: what the initial model knows, whatever is taught; ``target``: what is taught.
    ``sample_weight``: factor of this example's mean token loss; finite, at least 0.
    """

    id: str
    label: Label
    sample_weight: float
    target: Target


@dataclass(frozen=True, slots=True)
class RaitExample:
    """A selected question as text: one training example of refusal-aware instruction tuning.

    ``completion`` continues ``prompt`` as it stands; the end token is added when it is tokenised. ``form``: the name of
    the prompt's form; empty, and not written, where ``prompt.forms`` is not given.
    """

    id: str
    label: Label
    prompt: str
    completion: str
    sample_weight: float
    form: str = ""


class Likelihoods:
    """Likelihoods of a refusal and of the answer that would be given instead; fields as in ``Prediction``."""

    __slots__ = ()
    refusal_logprob: float
    suppressed_logprob: float
    first_token_log_odds: float
    n_suppressed_tokens: int | None
    first_token_logprob: float | None
    terse_logprob: float | None

    @property
    def refusal_log_odds(self) -> float:
        """Log-odds (nats) of the refusal text against the answer that would be given instead. Higher refuses more
        readily. The ranking of all metrics of scores: AUROC, AP, AURC, ECE."""
        return self.refusal_logprob - self.suppressed_logprob


@dataclass(frozen=True, slots=True)
class Prediction(Likelihoods):
    """One system's answer to one question, and the one that it would give if it could not refuse; both judged.

    ``output``: greedy. ``suppressed_output``: the greedy answer that may not begin with the refusal's first token; the
    same text where ``output`` does not begin with it. Log-probabilities in nats, at most 0, after the very prompt that
    the system was asked with, summed over a text and its end token: ``refusal_logprob`` of the refusal text (for
    R-Tuning, too, although it is taught another statement, which follows an answer), ``suppressed_logprob`` of
    ``suppressed_output``. ``first_token_log_odds``: log-probability of the refusal's first token less that of the most
    probable other token where the answer begins; above 0 the greedy answer begins with it.
    ``is_unparsable``: a wrong answer that names no single option. ``is_hedged``: answered, but with a refusal in it ("I
    don't know, but I think Paris"); judged by the answer. ``n_suppressed_tokens``: of ``suppressed_output``, with its
    end token; ``first_token_logprob``: of the refusal's first token. Both None in files of before they were kept.
    ``terse_logprob``: as ``suppressed_logprob``, of the answer to the same question after solved examples
    (``forms.terse_form``); None where it was not asked again. Options by likelihood: ``answers.choose_both_ways``.
    """

    id: str
    output: str
    outcome: Outcome
    suppressed_output: str
    suppressed_outcome: Outcome
    refusal_logprob: float
    suppressed_logprob: float
    first_token_log_odds: float
    is_unparsable: bool
    is_hedged: bool
    n_suppressed_tokens: int | None = None
    first_token_logprob: float | None = None
    terse_logprob: float | None = None


@dataclass(frozen=True, slots=True)
class ScoredPrediction(Prediction):
    """A prediction as a dial has it, ranked by the dial's own score. ``score``: in [0, 1], higher refuses more readily.
    Not stored: scores and thresholds are."""

    score: float = 0.5

    @property
    def refusal_log_odds(self) -> float:
        """Log-odds (nats) of the score, finite."""
        score = min(max(self.score, sys.float_info.min), 1 - sys.float_info.epsilon / 2)
        return math.log(score) - math.log1p(-score)


@dataclass(frozen=True, slots=True)
class QuestionScore:
    """A scorer's score of one question of the set ``dataset``, in [0, 1]: higher refuses more readily."""

    dataset: str
    id: str
    score: float


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A short training that was tried before the real one, on the training questions that no trial was trained on.

    ``epochs``, ``steps``: passes and optimizer steps of the trial; ``of_steps``: those of the whole training with the
    config's passes. ``ths``: mean over all thresholds, with ``right`` and ``auroc`` as of ``evaluation.trials``.
    ``lead``, ``low``, ``high``: of its ``ths`` over that of the best one before it, None for the first, which has the
    config's own settings. ``seconds``: of training and answers. ``is_taken``: the method is trained so.
    """

    method: str
    learning_rate: float
    epochs: float
    steps: int
    of_steps: int
    n: int
    ths: float
    right: float
    auroc: float
    lead: float | None
    low: float | None
    high: float | None
    seconds: float
    is_taken: bool = False


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """Weights in one round of a training whose refusals are weighed anew between rounds (``pipeline/rounds.py``).

    ``steps_before``: optimizer steps. ``gradients``: taken at its beginning. ``cost``: passes of the run up to here, as
    a multiple of those of the run that takes influence once. ``known_answers``, ``unknown_answers``, ``refusals``: mean
    weights; ``spread``: standard deviation of those of refusals over their mean. ``rank_correlation``: of them with
    those of the first round (Spearman); None where all are equal. ``separation``: AUROC of the left-out margins.
    """

    method: str
    number: int
    steps_before: int
    gradients: int
    cost: float
    known_answers: float
    unknown_answers: float
    refusals: float
    spread: float
    rank_correlation: float | None
    separation: float | None


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """Metrics of one method on one data set; shares are fractions in [0, 1], THS in about [-1, 1].

    ``over_refusal_rate``: refused among the questions that the initial model answers right.
    ``ths_low``, ``ths_high``: 95% percentile bootstrap over questions.
    ``auroc``: how well the refusal's log-odds against the answer find what the initial model does not answer right, in
    [0, 1], 0.5 is chance; None where that is all of the questions, or none.
    ``unparsable_rate``, ``hedged_rate``: shares of answers that name no single option (counted as wrong), and that hold
    a refusal and an answer (counted by the answer).
    ``right_refusal_share``, ``over_refusal_share``: the two halves of Pr, shares of all questions.
    ``prudence`` to ``f1_rel``: ``evaluation/abstention.py``; None where undefined. ``penalised_50``, ``_75``, ``_90``:
    its ``penalised_score`` at the thresholds 0.5, 0.75 and 0.9, at most 1.
    ``average_precision``, ``aurc``, ``ece``: ``evaluation/selective.py``, of the initial model's answers under this
    method's refusal log-odds, in [0, 1]; None without refusal scores, ``average_precision`` also where the initial
    model answers nothing right. ``right_of_answered`` to ``truthrl_score``: ``evaluation/scores.py``; None where
    undefined, and in files of before they were kept. ``abstention_precision``, ``_recall``, ``_f1``: refusals of what
    nobody can answer, of all refusals and of all such questions of the set; None for a set without any.
    docs/metrics.md has all definitions.
    """

    method: str
    dataset: str
    n: int
    pc: float
    pw: float
    pr: float
    over_refusal_rate: float
    ths: float
    ths_low: float
    ths_high: float
    auroc: float | None
    unparsable_rate: float
    hedged_rate: float
    right_refusal_share: float
    over_refusal_share: float
    prudence: float | None
    over_conservativeness: float | None
    honesty: float | None
    f1_ans: float | None
    f1_abs: float | None
    f1_rel: float | None
    penalised_50: float
    penalised_75: float
    penalised_90: float
    average_precision: float | None
    aurc: float | None
    ece: float | None
    right_of_answered: float | None = None
    wrong_of_answered: float | None = None
    simpleqa_f: float | None = None
    omniscience_index: float | None = None
    hallucination_rate: float | None = None
    truthrl_score: float | None = None
    abstention_precision: float | None = None
    abstention_recall: float | None = None
    abstention_f1: float | None = None


@dataclass(frozen=True, slots=True)
class QuadrantRecord:
    """What one method makes of the questions of one data set that have a text, in one quadrant; fractions in [0, 1].

    ``knows``: the initial model answers it right without the text; ``holds``: the text holds the answer. ``lesson``:
    what the policy wants. ``right`` + ``wrong`` + ``refused`` = 1; right is what the references say, also where the
    policy wants a refusal. ``refused_by_text``: refused with the words for "not in the text"; a part of ``refused``.
    ``over_refusal``: refused of what the initial model answers right with the text; None where the policy wants a
    refusal, or where that is none.
    """

    method: str
    dataset: str
    knows: bool
    holds: bool
    lesson: Literal["answer", "refusal"]
    n: int
    right: float
    wrong: float
    refused: float
    refused_by_text: float
    over_refusal: float | None


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """What one system does with the questions of one set that have no reference; shares are fractions in [0, 1].

    ``answerable`` False: nobody can answer them, or should; more refused is better. True: they should be answered, and
    no reference says how; fewer refused is better. ``corrected``: not refused, but said that there is no such thing, or
    that nobody can know (``judging.premise``), a lower bound.
    """

    method: str
    dataset: str
    answerable: bool
    n: int
    refused: float
    corrected: float


@dataclass(frozen=True, slots=True)
class AgainstInitial:
    """One system on ``n`` questions of a data set, and the initial model on the same; shares are fractions in [0, 1].

    ``pc0``, ``pw0``: the initial model's shares, the base of THS and of over-refusal. ``ths`` and its 95% interval:
    None where the initial model answers nothing wrong.
    """

    method: str
    dataset: str
    n: int
    pc0: float
    pw0: float
    pc: float
    pw: float
    pr: float
    over_refusal_rate: float
    ths: float | None
    ths_low: float | None
    ths_high: float | None


@dataclass(frozen=True, slots=True)
class FormRecord(AgainstInitial):
    """One system on one data set in one form, or its mean over forms (``form`` ``all``), against the same form.

    ``trained``: whether questions were taught in this form, or only asked; there is a mean over each kind. ``pr0``: the
    initial model's. ``share`` and its interval: THS of what a model reaches that refuses every wrong answer and no
    right one, pc0; None where that is 0. ``empty_rate``, ``apology_rate``: answers without a word, and answers that
    apologise instead of refusing.
    """

    form: str
    pr0: float
    share: float | None
    share_low: float | None
    share_high: float | None
    empty_rate: float
    apology_rate: float
    trained: bool


@dataclass(frozen=True, slots=True)
class ConversationRecord(AgainstInitial):
    """One system on test questions that follow something in a chat, against the initial model in the same conversation.

    ``of_single`` and its 95% interval: THS of that of the same questions asked by themselves; None where that THS is
    not above 0, the interval also where it is not in over 2.5% of the resamples. ``pr0``: as in ``FormRecord``.
    """

    after: ConversationKind
    pr0: float
    of_single: float | None
    of_single_low: float | None
    of_single_high: float | None


@dataclass(frozen=True, slots=True)
class SideEffectAnswer:
    """One system's reply to one thing in one form. ``id``: the form, a slash, and the id in ``data/probes``.

    ``category``: as in ``data/probes``; of passages their relation. Of test questions it is what came before, and
    "after-..." stands in the place of the form in ``id``.
    """

    id: str
    form: str
    kind: SideEffectKind
    category: str
    output: str
    outcome: SideEffectOutcome


@dataclass(frozen=True, slots=True)
class SideEffectRecord:
    """Shares of one system's replies in one form, fractions in [0, 1]; None where nothing of the kind was asked.

    Refused of chit-chat, of ordinary instructions, of questions whose answer stands in a given text and of chit-chat
    after a turn of a conversation: lower is better. ``passages_right`` and ``unanswerable_refused``: higher is better.
    ``unanswerable_corrected``: did not refuse, but said that there is no such thing or that nobody can know; a lower
    bound (``judging/premise.py``). ``passages_extracted``: right, and no repetition of the passage
    (``judging/extraction.py``). ``apology_rate``, ``empty_rate``: of the replies to chit-chat, instructions and
    passages together, those that begin with an apology (``judging/apologies.py``), and those without a word.
    ``intervals``: of each share that is there, by its name, low and high of Wilson's 95% interval.
    """

    method: str
    form: str
    n_chit_chat: int
    chit_chat_refused: float | None
    n_instructions: int
    instructions_refused: float | None
    n_passages: int
    passages_refused: float | None
    passages_right: float | None
    passages_extracted: float | None
    n_unanswerable: int
    unanswerable_refused: float | None
    unanswerable_corrected: float | None
    n_after_refusal: int
    after_refusal_refused: float | None
    n_after_greeting: int
    after_greeting_refused: float | None
    n_after_instruction: int
    after_instruction_refused: float | None
    apology_rate: float | None
    empty_rate: float | None
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class InitialAnswer:
    """The initial model's own reply to something ordinary, as text and as tokens without the end token."""

    id: str
    output: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DriftSums:
    """One answer of the initial model as a system sees it: sums over its tokens, in nats.

    ``kl``: KL(initial || system) of the next token, exact over the vocabulary. ``loss``, ``initial_loss``:
    cross-entropy of the system and of the initial model.
    """

    id: str
    n_tokens: int
    kl: float
    loss: float
    initial_loss: float


@dataclass(frozen=True, slots=True)
class DriftRecord:
    """How far a system is from the initial model on the initial model's own answers to what is ordinary.

    ``kl``: mean of KL(initial || system) per token, in nats; 0 is the initial model. ``perplexity``: of the system;
    ``perplexity_initial``: of the initial model on the same ``n_tokens``.
    """

    method: str
    n_tokens: int
    kl: float
    perplexity: float
    perplexity_initial: float


@dataclass(frozen=True, slots=True)
class HarnessRecord:
    """One metric of one system on one task of lm-evaluation-harness, in the task's own unit.

    ``metric``: as the harness names it, with its filter where that is not ``none``. ``stderr``: None where the harness
    gives none. ``n``: documents, None for a group of tasks that does not say.
    """

    method: str
    task: str
    metric: str
    value: float
    stderr: float | None
    n: int | None


@dataclass(frozen=True, slots=True)
class GroupRecord(AgainstInitial):
    """Metrics of one method on the questions of one group, whose base is its own. ``group``: None for all questions."""

    group: str | None


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """One system on one data set: means over ``seeds``, each with a 95% interval over questions (and seeds).

    All are fractions. ``auroc`` and its interval are None where the initial model answers all or nothing right.
    ``right_refusal_share``: refused and not answered right by the initial model, of all questions.
    """

    method: str
    dataset: str
    n: int
    seeds: tuple[int, ...]
    pc: float
    pc_low: float
    pc_high: float
    pw: float
    pw_low: float
    pw_high: float
    pr: float
    pr_low: float
    pr_high: float
    right_refusal_share: float
    right_refusal_share_low: float
    right_refusal_share_high: float
    over_refusal_rate: float
    over_refusal_rate_low: float
    over_refusal_rate_high: float
    ths: float
    ths_low: float
    ths_high: float
    auroc: float | None
    auroc_low: float | None
    auroc_high: float | None
    aurc: float
    aurc_low: float
    aurc_high: float


@dataclass(frozen=True, slots=True)
class DifferenceRecord:
    """THS of ``method`` minus THS of ``versus`` on the same questions and seeds, with its paired 95% interval. A
    fraction; positive when ``method`` is better. An interval that holds 0 does not tell the two apart."""

    method: str
    versus: str
    dataset: str
    ths_difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class OptionLogprobs:
    """Log-probabilities (nats, at most 0) of each option of a question, summed over its tokens, in the set's order."""

    id: str
    mc1: list[float]
    mc2: list[float]


@dataclass(frozen=True, slots=True)
class BenchRecord:
    """One system on one part of a benchmark set; shares are fractions of the ``n`` judged questions.

    ``right``: the reference, the true option; of questions to be refused, a reply that there is no such thing or that
    nobody can know (``judging.premise``, a lower bound). ``wrong``: all else that is not refused. None where the part
    does not tell: what complies has no reference, options are not refused. ``intervals``: low and high of Wilson's 95%
    interval, by share. ``n_unjudged``: replies without a verdict, counted nowhere.
    """

    dataset: str
    method: str
    part: BenchPart
    n: int
    n_unjudged: int
    right: float | None
    wrong: float | None
    refused: float | None
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class BenchScore:
    """A score of one system on one benchmark set; ``evaluation/bench.py`` has what each ``name`` means.

    ``value``: a fraction, of the Omniscience index -100 to 100; None where undefined. ``is_published``: the score that
    the set's authors report.
    """

    dataset: str
    method: str
    name: str
    value: float | None
    is_published: bool
