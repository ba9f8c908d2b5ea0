"""The question sets that go by a short name: one entry each, for ``load.py``, ``grait datasets`` and the docs.

Revisions are commits of the hub's data sets, so that a run reads the same rows next year; ``DataConfig.revision``
names another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from grait.records import View


@dataclass(frozen=True, slots=True)
class KnownSet:
    """One question set.

    ``views``: how it can be asked, the default first. ``splits``: what a config may name, and what the hub calls it.
    ``hub``, ``hub_config``, ``revision``: where it is on the hub; None for what ships with this package.
    ``files``: what ``DataConfig.folder`` has to hold. ``papers``: what GRAIT and CRaFT use it for.
    """

    name: str
    title: str
    summary: str
    views: tuple[View, ...]
    splits: Mapping[str, str]
    source: str
    licence: str
    hub: str | None = None
    hub_config: str | None = None
    revision: str | None = None
    files: str | None = None
    papers: str | None = None


def _same(*names: str) -> Mapping[str, str]:
    return MappingProxyType({name: name for name in names})


_ARC_SPLITS = MappingProxyType({"train": "train", "dev": "validation", "test": "test"})
_OPEN_SPLITS = MappingProxyType({"train": "train", "dev": "validation"})

_SETS = (
    KnownSet(
        name="worldfacts",
        title="WorldFacts",
        summary="short questions over 61 relations; ships with this package",
        views=("oeqa", "mcqa"),
        splits=_same("train", "val", "test_id", "test_ood"),
        source="worldfacts/README.md",
        licence="see NOTICE",
    ),
    KnownSet(
        name="mmlu",
        title="MMLU",
        summary="exam questions of 57 subjects, four options; shots of the same subject from its dev split",
        views=("mcqa",),
        splits=MappingProxyType({"val": "validation", "test": "test"}),
        source="https://github.com/hendrycks/test",
        licence="MIT",
        hub="cais/mmlu",
        hub_config="all",
        revision="c30699e8356da336a370243923dbaf21066bb9fe",
        files="{dev,val,test}/SUBJECT_{dev,val,test}.csv, all 57 subjects",
        papers="train on test, evaluate on val",
    ),
    KnownSet(
        name="arc-c",
        title="ARC-Challenge",
        summary="science questions of school exams that retrieval gets wrong, 3 to 5 options",
        views=("mcqa",),
        splits=_ARC_SPLITS,
        source="https://allenai.org/data/arc",
        licence="CC BY-SA 4.0",
        hub="allenai/ai2_arc",
        hub_config="ARC-Challenge",
        revision="210d026faf9955653af8916fad021475a3f00453",
        files="ARC-Challenge-{Train,Dev,Test}.jsonl",
        papers="evaluate on test, out of domain",
    ),
    KnownSet(
        name="arc-e",
        title="ARC-Easy",
        summary="the other science questions of school exams, 3 to 5 options",
        views=("mcqa",),
        splits=_ARC_SPLITS,
        source="https://allenai.org/data/arc",
        licence="CC BY-SA 4.0",
        hub="allenai/ai2_arc",
        hub_config="ARC-Easy",
        revision="210d026faf9955653af8916fad021475a3f00453",
        files="ARC-Easy-{Train,Dev,Test}.jsonl",
    ),
    KnownSet(
        name="triviaqa",
        title="TriviaQA",
        summary="quiz questions, many aliases of each answer",
        views=("oeqa",),
        splits=_OPEN_SPLITS,
        source="https://nlp.cs.washington.edu/triviaqa/",
        licence="not declared on the hub",
        hub="mandarjoshi/trivia_qa",
        hub_config="unfiltered.nocontext",
        revision="0f7faf33a3908546c6fd5b73a660e0f8ff173c2f",
        files="{train,dev}.jsonl or .json",
        papers="train on train, evaluate on dev",
    ),
    KnownSet(
        name="nq",
        title="Natural Questions",
        summary="questions typed into a search engine (NQ-Open), short answers",
        views=("oeqa",),
        splits=_OPEN_SPLITS,
        source="https://github.com/google-research-datasets/natural-questions",
        licence="CC BY-SA 3.0",
        hub="google-research-datasets/nq_open",
        revision="5dd9790a83002ad084ddeb7c420dc716852c6f28",
        files="{train,dev}.jsonl or .json, or NQ-open.{train,dev}.jsonl",
        papers="evaluate on dev, out of domain",
    ),
    KnownSet(
        name="sciq",
        title="SciQ",
        summary="crowd-written science questions, with three distractors or in free text",
        views=("mcqa", "oeqa"),
        splits=MappingProxyType({"train": "train", "valid": "validation", "test": "test"}),
        source="https://allenai.org/data/sciq",
        licence="CC BY-NC 3.0",
        hub="allenai/sciq",
        revision="2c94ad3e1aafab77146f384e23536f97a4849815",
        files="{train,valid,test}.json",
    ),
    KnownSet(
        name="popqa",
        title="PopQA",
        summary="template questions over Wikidata facts, with the popularity of their subjects",
        views=("oeqa",),
        splits=_same("test"),
        source="https://github.com/AlexTMallen/adaptive-retrieval",
        licence="not declared on the hub",
        hub="akariasai/PopQA",
        revision="098765c79ea10a2cb19c828324e33281b8336ec0",
        files="popQA.tsv or test.tsv",
    ),
)

KNOWN_SETS: Mapping[str, KnownSet] = MappingProxyType({known.name: known for known in _SETS})
