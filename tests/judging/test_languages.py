"""Refusals in fourteen languages besides English, against labelled outputs; what every language's file has to hold."""

import time
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from grait.judging.apologies import is_apology
from grait.judging.clauses import fold
from grait.judging.matching import contains_answer, own_reply
from grait.judging.outcomes import is_hedged, judge
from grait.judging.refusal import detect_refusal
from grait.languages import Language, instructions, refusal_words
from grait.records import Question

FIXTURES = Path(__file__).parents[1] / "fixtures" / "languages"
OTHERS = get_args(Language)[1:]

Row = tuple[str, Question, bool]


def rows_of(language: str, folder: Path = FIXTURES) -> list[Row]:
    """Output, question, and whether it refuses. ``?``: the question that is refused, ``-``: a refusal of it,
    ``+``: question, reference answer and an output that answers, right or wrong."""
    rows: list[Row] = []
    for line in (folder / f"{language}.txt").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line[2:].split("|")]
        if line.startswith("?"):
            asked = Question("q", cells[0], (cells[1],))
        elif line.startswith("-"):
            rows.append((cells[0], asked, True))
        else:
            rows.append((cells[2], Question("q", cells[0], (cells[1],)), False))
    return rows


@pytest.mark.parametrize("folder", [FIXTURES, FIXTURES / "chat"], ids=["fixtures", "chat"])
@pytest.mark.parametrize("language", OTHERS)
def test_precision_and_recall_in_every_language(language: Language, folder: Path) -> None:
    """``chat``: as chat models say it, the first 30 written without a look at the lists, which were then mended."""
    rows = rows_of(language, folder)
    assert sum(refuses for *_, refuses in rows) >= 35 and sum(not refuses for *_, refuses in rows) >= 25
    found = [detect_refusal(output, question, language=language) == "refused" for output, question, _ in rows]
    hits = sum(one and refuses for one, (*_, refuses) in zip(found, rows, strict=True))
    wrong = [row[0] for one, row in zip(found, rows, strict=True) if one != row[2]]
    assert hits / sum(found) >= 0.97, wrong
    assert hits / sum(refuses for *_, refuses in rows) >= 0.97, wrong


@pytest.mark.parametrize("language", get_args(Language))
def test_precision_and_recall_on_rounds_that_were_measured_before_the_lists_were_mended(language: Language) -> None:
    rows = rows_of(language, FIXTURES / "rounds")
    assert sum(refuses for *_, refuses in rows) >= 90 and sum(not refuses for *_, refuses in rows) >= 70
    found = [detect_refusal(output, question, language=language) == "refused" for output, question, _ in rows]
    wrong = [row[0] for one, row in zip(found, rows, strict=True) if one != row[2]]
    hits = sum(one and refuses for one, (*_, refuses) in zip(found, rows, strict=True))
    assert hits / sum(found) >= (0.99 if language == "en" else 0.97), wrong
    assert hits / sum(refuses for *_, refuses in rows) >= 0.95, wrong


def precision_and_recall(languages: tuple[Language, ...], folder: Path) -> tuple[float, float, list[str]]:
    """And the outputs that are read wrongly."""
    rows = [(language, *row) for language in languages for row in rows_of(language, folder)]
    found = [detect_refusal(output, asked, language=language) == "refused" for language, output, asked, _ in rows]
    wrong = [output for one, (_, output, _, refuses) in zip(found, rows, strict=True) if one != refuses]
    hits = sum(one and refuses for one, (*_, refuses) in zip(found, rows, strict=True))
    return hits / sum(found), hits / sum(refuses for *_, refuses in rows), wrong


@pytest.mark.parametrize("language", get_args(Language))
def test_impersonal_refusals_and_answers_with_their_words(language: Language) -> None:
    """``Aucune donnée n'est disponible.`` refuses; ``It is unknown to most people that it was Ann Lee.`` answers."""
    rows = rows_of(language, FIXTURES / "impersonal")
    assert sum(refuses for *_, refuses in rows) >= 10 and sum(not refuses for *_, refuses in rows) >= 10
    precision, recall, wrong = precision_and_recall((language,), FIXTURES / "impersonal")
    assert precision >= (0.99 if language == "en" else 0.97), wrong
    assert recall >= (0.99 if language == "en" else 0.97), wrong


def test_impersonal_refusals_that_the_lists_were_not_mended_after() -> None:
    """What docs/languages.md says of them: do not mend lists after these rows."""
    precision, recall, _ = precision_and_recall(get_args(Language), FIXTURES / "impersonal" / "blind")
    assert precision >= 0.98
    assert recall >= 0.92


@pytest.mark.parametrize(
    ("language", "output"),
    [
        ("en", "The source of the fire was never found."),
        ("en", "No evidence was found against the mayor."),
        ("en", "The records were not preserved after the fire."),
        ("en", "Most people do not know it."),
        ("de", "Hans hatte davon keine Ahnung."),
        ("fr", "Paul n'avait aucune idée de cela."),
        ("es", "Pablo no tenía ni idea de eso."),
        ("nl", "Piet had daar geen idee van."),
        ("it", "Non è certo Parigi."),
        ("zh", "佩德罗对政治一无所知。"),
    ],
)
def test_facts_that_are_missing_and_others_who_do_not_know_refuse_nothing(language: Language, output: str) -> None:
    assert detect_refusal(output, Question("q", "?", ("§",)), language=language) == "none"


@pytest.mark.parametrize(
    ("language", "output"),
    [
        ("en", "I, like most people, do not know."),
        ("de", "Hab echt keine Ahnung."),
        ("de", "Wie die meisten weiß ich das nicht."),
        ("fr", "Comme la plupart, je ne sais pas."),
        ("es", "No tenemos ni idea."),
        ("it", "Non ho nessuna idea."),
        ("nl", "Daar heb ik geen idee van."),
        ("zh", "我对此一无所知。"),
    ],
)
def test_who_speaks_of_others_and_itself_refuses(language: Language, output: str) -> None:
    assert detect_refusal(output, Question("q", "?", ("§",)), language=language) == "refused"


@pytest.mark.parametrize("language", get_args(Language))
def test_long_outputs_are_read_in_seconds(language: Language) -> None:
    refusal = instructions(language).refusal.rstrip(".。।")
    asked = Question("q", "?", ("§",))
    n = 5_000 if refusal_words(language).unspaced else 20_000  # there a character is a word
    lists = refusal_words(language)
    no_fact = " ".join((*lists.facts[:1], *lists.negations[:1], ""))
    parts = (f"{refusal}, ", f"{refusal} ", f"{refusal.capitalize()} Xyz ", "".join(refusal.split()), "n" * 50)
    for part in (*parts, no_fact):
        start = time.process_time()
        detect_refusal(part * (n // len(part)), asked, language=language)
        assert time.process_time() - start < 4, part


@pytest.mark.parametrize("language", OTHERS)
def test_english_alone_does_not_know_the_language_and_is_searched_beside_it(language: Language) -> None:
    """Control: the labels are not found by the English lists."""
    rows = rows_of(language)
    assert sum(detect_refusal(output, question) == "refused" for output, question, _ in rows) <= 0.1 * len(rows)
    asked = rows[0][1]
    assert judge("I don't know.", asked, language=language) == "refused"
    assert judge("It is not known who that was.", asked, language=language) == "refused"


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_taught_and_hedged_and_written_otherwise(language: Language) -> None:
    refusal, asked = instructions(language).refusal, rows_of(language)[0][1]
    name = asked.answers[0]
    for text in (
        refusal,
        refusal.upper(),
        refusal.rstrip(".。।"),
        f"  {refusal}\n",
        f"{refusal} {refusal}",
        f"**{refusal}**",
    ):
        assert judge(text, asked, language=language) == "refused", text
    assert judge(f"{refusal} {name}", asked, language=language) == "correct"
    assert is_hedged(f"{refusal} {name}", asked, language=language)
    assert judge(refusal, Question("q", asked.question, (refusal,)), language=language) == "correct"
    next_one = (
        f"{refusal}\n\n{instructions(language).question} {asked.question}\n{instructions(language).answer} {name}"
    )
    assert judge(next_one, asked, language=language) == "refused"


@pytest.mark.parametrize("language", OTHERS)
def test_every_phrase_of_a_file_refuses(language: Language) -> None:
    words, asked = refusal_words(language), Question("q", "?", ("§",))
    for name in ("phrases", "openings", "endings", "replies"):
        for phrase in getattr(words, name):
            said = phrase.replace("…", "")
            assert detect_refusal(said, asked, language=language) == "refused", phrase
            assert phrase in ("…", phrase) and fold(said)


@pytest.mark.parametrize("language", get_args(Language))
def test_every_file_has_its_instructions(language: Language) -> None:
    said = instructions(language)
    assert said.refuse.count("{refusal}") == said.short.count("{refusal}") == said.topic.count("{topic}") == 1
    assert all(said.refusal.strip() for _ in said.__slots__)
    assert own_reply(f"Paris\n{said.question} x") == "Paris"


def test_phrases_of_the_config_are_found_in_the_language_too() -> None:
    asked = Question("q", "フランスの首都は？", ("パリ",))
    assert detect_refusal("ノーコメントです", asked, ("ノーコメント",), "ja") == "refused"
    assert detect_refusal("ノーコメントです", asked, language="ja") == "none"


def test_apologies_are_found_in_any_language() -> None:
    for language in OTHERS:
        for apology in refusal_words(language).apologies:
            assert is_apology(apology.capitalize()), apology
    assert not any(is_apology(output) for output in ("Paris", "Sorrento", "巴黎", "Die Hauptstadt", "Scuderia"))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("C'est l'Allemagne.", "Allemagne"),
        ("On y parle l'allemand.", "allemand"),
        ("Si trova nell'Umbria.", "Umbria"),
        ("È dell'Alfieri", "Alfieri"),
        ("Başkent Ankara'dır.", "Ankara"),
        ("İstanbul’da", "İstanbul"),
        ("파리입니다.", "파리"),
        ("수도는 서울이다", "서울"),
        ("पेरिस है", "पेरिस"),
        ("هي إيران", "ايران"),
        ("بَارِيس", "باريس"),
        ("La capital es París.", "Paris"),
        ("1832年です。", "1832"),
        ("1989년입니다.", "1989"),
    ],
)
def test_answers_with_what_is_written_on_to_them_are_found(text: str, answer: str) -> None:
    assert contains_answer(text, answer)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("11832年です。", "1832"),
        ("पारस", "पेरिस"),
        ("동서울", "서울"),
        ("They won't", "Won"),
        ("l'Allemande", "Allemagne"),
        ("I don't", "Don"),
    ],
)
def test_other_words_are_not(text: str, answer: str) -> None:
    assert not contains_answer(text, answer)


IMPERSONAL = [
    "This question cannot be answered.", "It can't be determined.", "Not enough data to say.",
    "Not stated in the passage.",
    "No answer is available.", "I would need more details to answer.", "There's no way to know that.",
    "My training data does not contain this.", "That's beyond my expertise.", "It remains unknown.",
    "The answer is not known.", "There are no records of it.", "We can't know.", "\\boxed{\\text{I don't know}}",
    "NOT ATTEMPTED", "$\\boxed{\\text{Unknown}}$", "I don&#x27;t know.", "I don&rsquo;t know",
    "Unknown.\n\nHuman: And Faust?\nAssistant: Goethe", "It is not known who wrote it.", "It is unclear who that was.",
]  # fmt: skip


@pytest.mark.parametrize("output", IMPERSONAL)
def test_english_that_names_nobody_refuses(output: str) -> None:
    assert judge(output, Question("q", "Who was the first mayor of Talca?", ("Juan Soto",))) == "refused"


@pytest.mark.parametrize(
    ("question", "answer", "output"),
    [
        ("Which film starred Liam Neeson in 2011?", "Unknown", "Unknown"),
        ("What is Joy Division's first album?", "Unknown Pleasures", "Unknown Pleasures"),
        ("Who lies in the Abbey?", "The Unknown Warrior", "It is the Unknown Warrior."),
        ("Which novel is by Linna?", "The Unknown Soldier", "The Unknown Soldier"),
        ("Who wrote Not Known?", "Ann Lee", "Ann Lee wrote Not Known."),
        ("Which quote is Socrates'?", "I know that I know nothing", "I know that I know nothing."),
        ("Who wrote it?", "Ann Lee", "No one knows."),
        ("Who wrote it?", "Ann Lee", "Its author is unknown."),
        ("What is it?", "the unknowable", "Spencer called it the unknowable."),
        ("Which film?", "It Is Impossible to Know", "It Is Impossible to Know"),
        ("What is the state of the cat?", "unclear", "It's unclear"),
        ("Who is the Doctor's foe?", "The Silence", "There is no silence like the Silence."),
    ],
)
def test_titles_and_claims_about_the_world_do_not(question: str, answer: str, output: str) -> None:
    assert judge(output, Question("q", question, (answer,))) != "refused"


def test_the_files_are_part_of_the_package() -> None:
    """An installed package has only the data that pyproject.toml names."""
    root = Path(__file__).parents[2]
    named = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    package = root / "src" / "grait"
    found = {path for pattern in named["grait"] for path in package.glob(pattern)}
    assert set(package.rglob("*.yaml")) <= found
