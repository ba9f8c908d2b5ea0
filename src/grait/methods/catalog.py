"""Every method, one entry each. A new one: a module with ``select``, an entry here, its name in ``records.MethodName``.

Scorers select nothing, and answer as the initial model does: ``pipeline/scorers.py`` has where their scores come from.

A method turns evidence into the questions to train on, with what each teaches and its weight. Prompts, training and
evaluation are the same for all: REFUSE prompts, one adapter, greedy answers. (R-Tuning's own prompts do not invite to
refuse; here it is asked like the others, so that only the training sets differ.)
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from grait.config import SelectionConfig
from grait.methods import cor_rait, craft, dpo, grait, r_tuning, random_idk, refusal_token, truthrl, uniform, van_tuning
from grait.methods.selection import Evidence
from grait.records import Asked, Outcome, Selected

Select = Callable[[Evidence, SelectionConfig, int], list[Selected]]
"""Evidence, config and seed to the training set. The order of the questions in the evidence does not matter."""

INIT_BASIC, INIT_REFUSE = "init-basic", "init-refuse"
UNTRAINED = (INIT_BASIC, INIT_REFUSE)

MAIN = "grait"
"""The method that this project recommends; ``main_method`` says which one a run is about."""

GRAIT = "GRAIT, arXiv 2502.05911"
CRAFT = "CRaFT, arXiv 2410.06913"


@dataclass(frozen=True, slots=True)
class Method:
    """A system to compare. ``select`` is None for the initial model, which is evaluated as it is, and for scorers.

    ``needs_flow``, ``needs_influence``: what of the evidence has to be computed for it; both need the warm-up.
    ``takes_all_unknown``: unless ``selection.n_idk`` says how many; others take as many unknown as known questions.
    ``asked``: how it is prompted in the evaluation. ``states_sureness``: its outputs say whether the model is sure.
    ``by_first_token``: a word announces its answers, and its dial has the score ``first-token``. ``has_preferences``:
    goes on with them after its tuning (``methods/dpo.py``). ``advantages``: goes on with rewards, and this is what the
    samples of one question are worth (``methods/truthrl.py``). ``is_dynamic``: refusals are weighed anew between rounds
    of its training (``pipeline/rounds.py``). ``needs``: what a scorer (``records.ScorerName``) takes
    beside the initial model's answers, in words; None for all other systems.
    """

    name: str
    summary: str
    paper: str
    select: Select | None
    needs_flow: bool = False
    needs_influence: bool = False
    takes_all_unknown: bool = False
    asked: Asked = "refuse"
    states_sureness: bool = False
    by_first_token: bool = False
    has_preferences: bool = False
    advantages: Callable[[Sequence[Outcome]], list[float]] | None = None
    is_dynamic: bool = False
    needs: str | None = None

    @property
    def goes_on(self) -> bool:
        """Whether its tuning is followed by a training on its own samples."""
        return self.has_preferences or self.advantages is not None

    @property
    def computed(self) -> str:
        """What has to be computed for it besides answers, in words."""
        found = (("flow", self.needs_flow), ("influence", self.needs_influence), (self.needs, self.needs))
        return ", ".join(name for name, needed in found if name and needed)


_scorer = partial(Method, select=None, asked="query")
_ours = partial(Method, paper="this project", needs_influence=True, takes_all_unknown=True)
_published = partial(Method, paper=GRAIT, needs_influence=True)

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(INIT_BASIC, "the initial model, asked to answer; the zero of THS", CRAFT, None, asked="query"),
        Method(INIT_REFUSE, "the initial model, invited to refuse", CRAFT, None),
        _scorer(
            "answer-probability",
            "the initial model's answers, refused where one has a low probability",
            "Chow's rule",
            needs="",
        ),
        _scorer(
            "p-true",
            "the initial model's answers, refused where it does not call its own answer true",
            "P(True), arXiv 2207.05221",
            needs="one pass",
        ),
        _scorer(
            "probe",
            "the initial model's answers, refused by a regression on its hidden states before them",
            "SAPLMA, arXiv 2304.13734",
            needs="hidden states",
        ),
        _scorer(
            "text-floor",
            "control: the same regression on the question's text alone, which no model reads",
            "this project",
            needs="knowledge",
        ),
        _scorer(
            "conftuner",
            "the initial model's answers, refused where a tuned adapter states a low confidence",
            "ConfTuner, arXiv 2508.18847",
            needs="an adapter",
        ),
        Method("van-tuning", "random questions with their answers, no refusals", CRAFT, van_tuning.select),
        Method("cor-rait", "random known questions, random unknown ones refused", CRAFT, cor_rait.select),
        Method(
            "corcer-rait",
            "most certain known questions, least certain unknown ones refused; the same rule as craft-no-flow",
            CRAFT,
            craft.select_without_flow,
        ),
        Method(
            "r-tuning",
            'answers of known and unknown questions, with "I am sure." or "I am unsure."; unsure counts as refused',
            "R-Tuning, arXiv 2311.09677",
            r_tuning.select,
            states_sureness=True,
        ),
        Method(
            "craft",
            "corcer-rait without the unknown questions whose correctness rises in the rehearsal",
            CRAFT,
            craft.select,
            needs_flow=True,
        ),
        Method("craft-no-flow", "ablation of craft: no question is dropped", CRAFT, craft.select_without_flow),
        Method(
            "craft-no-certainty",
            "ablation of craft: random instead of most and least certain questions",
            CRAFT,
            craft.select_without_certainty,
            needs_flow=True,
        ),
        _ours(
            MAIN,
            "refusals of all unknown questions, by left-out margin; answers of all, by correctness, at least 0.3",
            paper=f"this project, after {GRAIT}",
            select=grait.select,
        ),
        _ours(
            "grait-equal-weights",
            "ablation of grait: all refusals weigh the same",
            select=grait.select_equal_weights,
        ),
        _ours(
            "grait-stable-weights",
            "ablation of grait: refusals weighted by stable influence, as in the paper",
            select=grait.select_stable_weights,
        ),
        _ours(
            "grait-known-answers",
            "ablation of grait: no answers of questions that no sample gets right; the others by correctness",
            select=grait.select_known_answers,
        ),
        _ours(
            "grait-dynamic",
            "grait in influence.rounds rounds of training, between which influence and weights are taken anew",
            select=grait.select,
            is_dynamic=True,
        ),
        _published(
            "grait-paper",
            "unknown questions of highest refusal influence, weighted by stable influence",
            select=grait.select_paper,
        ),
        _published(
            "grait-no-selection",
            "ablation of grait-paper: random unknown questions, weighted",
            select=grait.select_without_selection,
        ),
        _published(
            "grait-no-weights",
            "ablation of grait-paper: chosen by influence, all weights 1",
            select=grait.select_without_weights,
        ),
        _published(
            "grait-released",
            "the published script before it discards its work: weights of the opposite sign, mean 0.5",
            paper="GRAIT's code",
            select=grait.select_released,
        ),
        Method(
            "random-idk",
            "control: refusals taught on questions drawn at random from all, known or not",
            "this project",
            random_idk.select,
        ),
        Method(
            "uniform",
            "answers and refusals of all questions, all weights 1: nothing is chosen or weighed",
            "this project",
            uniform.select,
            takes_all_unknown=True,
        ),
        Method(
            "refusal-token",
            "cor-rait with a word before each answer, so that the first token alone decides; thresholded there",
            "Refusal Tokens, arXiv 2412.06748",
            refusal_token.select,
            by_first_token=True,
        ),
        Method(
            "dpo",
            "cor-rait, then preferences: own right samples over the refusal, that over own wrong ones",
            "DPO, arXiv 2305.18290",
            dpo.select,
            has_preferences=True,
        ),
        Method(
            "truthrl",
            "cor-rait, then rewards of own samples: right 1, refused 0, wrong -1",
            "TruthRL, arXiv 2509.25760",
            truthrl.select,
            advantages=truthrl.advantages,
        ),
        Method(
            "tiar",
            "truthrl where refusing gains, or loses, by the share of right answers",
            "TIAR, arXiv 2605.25850",
            truthrl.select,
            advantages=truthrl.tiar_advantages,
        ),
    )
}
"""By name: the untrained systems first, then all of ``records.ScorerName``, then all of ``records.MethodName``."""


def main_method(systems: Iterable[str]) -> str:
    """The one method that pages, tables and commands tell of by default, of the systems of a run.

    ``MAIN`` where it was trained; else the first trained one that chooses by influence; else the first trained one;
    else the initial model invited to refuse.
    """
    trained = [name for name in systems if name not in UNTRAINED]
    by_influence = [name for name in trained if name in METHODS and METHODS[name].needs_influence]
    return MAIN if MAIN in trained else [*by_influence, *trained, INIT_REFUSE][0]


def needing_flow(names: Iterable[str]) -> list[str]:
    """The methods among ``names`` that choose by knowledge flow."""
    return [name for name in names if METHODS[name].needs_flow]


def needing_influence(names: Iterable[str]) -> list[str]:
    """The methods among ``names`` that choose by influence."""
    return [name for name in names if METHODS[name].needs_influence]
