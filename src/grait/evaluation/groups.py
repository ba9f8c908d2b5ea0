"""Results by group of questions, such as MMLU's four subject groups.

Each group has its own base: the initial model's shares on the very questions of that group. The published summary of
CRaFT takes the first row's shares as the base of all groups, so that there only one THS is right; and it averages over
subjects, while here every question counts the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grait.errors import GraitError
from grait.evaluation.abstention import four_way_counts
from grait.evaluation.metrics import joint_counts, measure_outcomes
from grait.judging.outcomes import FourWayOutcome
from grait.records import GroupRecord, Outcome, Question


def summarize_groups(
    method: str,
    dataset: str,
    questions: Sequence[Question],
    initial: Mapping[str, Outcome],
    tuned: Mapping[str, Outcome],
    resamples: int = 10_000,
    seed: int = 0,
) -> list[GroupRecord]:
    """One record for each group, in the order of the groups' names, then one for all questions (``group`` None).

    ``initial``, ``tuned``: outcomes by question id, as for ``metrics.summarize``; ``questions`` may hold more (those
    that were too long to be asked). Questions without a group count only in the record for all. Raises GraitError when
    the two sides hold other ids than each other, or ids that are not among ``questions``.
    """
    joint_counts(initial, tuned)
    group_of = {question.id: question.group for question in questions}
    foreign = sorted(set(initial) - set(group_of))
    if foreign:
        raise GraitError(
            f"outcomes of {len(foreign)} questions (such as {foreign[0]!r}) that are not in {dataset}; "
            "give the questions that were answered"
        )
    names = sorted({group for id_ in initial if (group := group_of[id_]) is not None})
    records = []
    for name in [*names, None]:
        ids = [id_ for id_ in initial if name is None or group_of[id_] == name]
        own_initial, own_tuned = {id_: initial[id_] for id_ in ids}, {id_: tuned[id_] for id_ in ids}
        found = measure_outcomes(own_initial, own_tuned, resamples=resamples, seed=seed)
        records.append(GroupRecord(method=method, dataset=dataset, group=name, **found.columns))
    return records


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """Questions of one group: all, those that the initial model answers right, and by what the system makes of them."""

    group: str
    n: int
    n_known: int
    four_ways: Mapping[FourWayOutcome, int]


def counts_by_group(
    groups: Mapping[str, str], initial: Mapping[str, Outcome], tuned: Mapping[str, Outcome], most: int
) -> list[GroupCounts]:
    """The ``most`` largest groups, those with the highest share of known questions first; ties by name. ``groups``: id
    to group; ids without one are left out."""
    members: dict[str, list[str]] = {}
    for id_ in initial:
        if id_ in groups:
            members.setdefault(groups[id_], []).append(id_)
    found = []
    for group, ids in sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))[:most]:
        counts = joint_counts({id_: initial[id_] for id_ in ids}, {id_: tuned[id_] for id_ in ids})
        found.append(GroupCounts(group, len(ids), int(counts[0].sum()), four_way_counts(counts)))
    return sorted(found, key=lambda row: (-row.n_known / row.n, row.group))


def by_rank(ranks: Mapping[str, float], n_parts: int) -> list[list[str]]:
    """The ids in ``n_parts`` parts of nearly equal size, lowest rank first; ties by id. Empty parts are left out."""
    ids = [id_ for _, id_ in sorted((rank, id_) for id_, rank in ranks.items())]
    return [[ids[place] for place in part] for part in np.array_split(np.arange(len(ids)), n_parts) if len(part)]
