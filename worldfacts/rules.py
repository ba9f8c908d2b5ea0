"""The rules that every shipped row obeys: no leak, no duplicate, one clear answer, honest distractors.

All are pure functions over facts; the property tests run them on hand-made violations and on the shipped file.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from worldfacts.fact import Fact, Match, lot

N_DISTRACTORS = 3
MIN_YEAR_GAP, MAX_YEAR_GAP = 2, 40
"""A wrong year lies this many years from the right one: not a quibble, not a giveaway."""
LAST_YEAR = 2024
"""No wrong year lies after it: a year to come would be no option."""


@lru_cache(maxsize=100_000)
def normalize(text: str) -> str:
    """Lower case, no diacritics, no punctuation, no articles, single spaces."""
    text = unicodedata.normalize("NFKD", text.replace("ı", "i").replace("ø", "o").replace("ł", "l"))
    text = "".join(c for c in text if not unicodedata.combining(c)).lower()
    text = re.sub(r"[^\w\s]|_", " ", text)
    return " ".join(word for word in text.split() if word not in {"a", "an", "the"})


def accepts(answers: Sequence[str], reply: str, match: Match) -> bool:
    """Whether ``reply`` would be judged right: whole reply (``exact``), or an answer on word boundaries."""
    said = normalize(reply)
    if match == "exact":
        return any(normalize(answer) == said for answer in answers)
    return any(bool(name := normalize(answer)) and f" {name} " in f" {said} " for answer in answers)


def leaks(answer: str, question: str, match: Match) -> bool:
    """Whether the question gives the answer away; codes are compared with their case, as whole tokens."""
    if match == "exact":
        return answer in re.findall(r"[^\s,;:?()'\"]+", question)
    return accepts([answer], question, match)


def drop_leaks(facts: Sequence[Fact]) -> list[Fact]:
    """Facts whose canonical answer is not in their question, without the aliases that are; no alias twice."""
    kept = []
    for fact in facts:
        if leaks(fact.answers[0], fact.question, fact.match) or not normalize(fact.answers[0]):
            continue
        names = [name for name in dict.fromkeys(fact.answers) if not leaks(name, fact.question, fact.match)]
        kept.append(replace(fact, answers=tuple(names)))
    return kept


def drop_duplicates(facts: Sequence[Fact]) -> list[Fact]:
    """One fact per question. Questions asked with two canonical answers are dropped altogether."""
    by_question: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        by_question[normalize(fact.question)].append(fact)
    kept = []
    for group in by_question.values():
        if len({normalize(fact.answers[0]) for fact in group}) == 1:
            kept.append(group[0])
    return kept


def cap_top_answer(facts: Sequence[Fact], limit: int) -> list[Fact]:
    """At most ``limit`` facts with the same canonical answer, in the given order; which ones, ``cap`` decides."""
    groups: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[normalize(fact.answers[0])].append(fact)
    kept = {fact.id for group in groups.values() for fact in cap(group, limit)}
    return [fact for fact in facts if fact.id in kept]


def cap(facts: Sequence[Fact], size: int) -> list[Fact]:
    """At most ``size`` facts: the better half by fame, the rest by lot, in the given order."""
    if len(facts) <= size:
        return list(facts)
    ranked = sorted(facts, key=lambda fact: (-(fact.fame or 0.0), lot(fact.id)))
    best, others = ranked[: size // 2], ranked[size // 2 :]
    drawn = sorted(others, key=lambda fact: lot("cap", fact.id))[: size - len(best)]
    kept = {fact.id for fact in best + drawn}
    return [fact for fact in facts if fact.id in kept]


def popularity(facts: Sequence[Fact]) -> dict[str, float | None]:
    """Rank of the fame within the relation by id, 0 (rarest) to 1 (best known); ties share their mean rank."""
    result: dict[str, float | None] = {fact.id: None for fact in facts}
    by_relation: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.fame is not None:
            by_relation[fact.relation].append(fact)
    for group in by_relation.values():
        values = sorted(fact.fame or 0.0 for fact in group)
        first = {value: i for i, value in reversed(list(enumerate(values)))}
        count = Counter(values)
        for fact in group:
            value = fact.fame or 0.0
            rank = first[value] + (count[value] - 1) / 2
            result[fact.id] = round(rank / max(len(values) - 1, 1), 4)
    return result


def distractors(facts: Sequence[Fact]) -> dict[str, tuple[str, ...]]:
    """Three wrong options of the same relation by id; facts for which there are not three are missing.

    From the fact's own pool first. No option would be judged right, and no right answer would be judged as the
    option (so "dinar" never stands beside "Algerian Dinar"); options differ from each other in the same way, and
    none is named by the question.
    """
    by_relation: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        by_relation[fact.relation].append(fact)
    chosen = {}
    for group in by_relation.values():
        years = all(re.fullmatch(r"\d{3,4}", fact.answers[0]) for fact in group)
        options = {normalize(fact.answers[0]): fact for fact in reversed(group)}
        pools: dict[str, list[Fact]] = defaultdict(list)
        for fact in {(fact.pool, normalize(fact.answers[0])): fact for fact in reversed(group)}.values():
            pools[fact.pool].append(fact)
        for fact in group:
            wrong = _wrong_years(fact) if years else _wrong_names(fact, pools[fact.pool], list(options.values()))
            if len(wrong) == N_DISTRACTORS:
                chosen[fact.id] = wrong
    return chosen


def _wrong_names(fact: Fact, near: Sequence[Fact], far: Sequence[Fact]) -> tuple[str, ...]:
    taken: list[Fact] = [fact]
    for candidates in (near, far):
        for other in sorted(candidates, key=lambda other: lot("option", fact.id, other.answers[0])):
            if len(taken) > N_DISTRACTORS:
                break
            named = leaks(other.answers[0], fact.question, fact.match)
            if not named and not any(_clash(other, one) for one in taken):
                taken.append(other)
    return tuple(other.answers[0] for other in taken[1:])


def _clash(one: Fact, other: Fact) -> bool:
    """Whether the canonical answer of either fact would be judged right for the other."""
    return accepts(one.answers, other.answers[0], one.match) or accepts(other.answers, one.answers[0], other.match)


def _wrong_years(fact: Fact) -> tuple[str, ...]:
    """Years near the right one, at least two apart from it and from each other."""
    right = int(fact.answers[0])
    taken = [right]
    steps = [sign * gap for gap in range(MIN_YEAR_GAP, MAX_YEAR_GAP + 1) for sign in (-1, 1)]
    for step in sorted(steps, key=lambda step: lot("year", fact.id, str(step))):
        year = right + step
        if len(taken) <= N_DISTRACTORS and year <= LAST_YEAR and all(abs(year - one) >= MIN_YEAR_GAP for one in taken):
            taken.append(year)
    return tuple(str(year) for year in taken[1:])
