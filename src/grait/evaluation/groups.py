"""Results by group of questions, such as MMLU's four subject groups.

Each group has its own base: the initial model's shares on the very questions of that group. The published summary of
CRaFT takes the first row's shares as the base of all groups, so that there only one THS is right; and it averages over
subjects, while here every question counts the same.
"""

from collections.abc import Mapping, Sequence

from grait.errors import GraitError
from grait.evaluation.metrics import joint_counts, outcome_shares, over_refusal_rate, summarize
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
        base, shares = outcome_shares(own_initial.values()), outcome_shares(own_tuned.values())
        metrics = (
            summarize(method, dataset, own_initial, own_tuned, resamples=resamples, seed=seed) if base.pw else None
        )
        records.append(
            GroupRecord(
                method=method,
                dataset=dataset,
                group=name,
                n=shares.n,
                pc=shares.pc,
                pw=shares.pw,
                pr=shares.pr,
                over_refusal_rate=over_refusal_rate(own_initial, own_tuned),
                pc0=base.pc,
                pw0=base.pw,
                ths=metrics.ths if metrics else None,
                ths_low=metrics.ths_low if metrics else None,
                ths_high=metrics.ths_high if metrics else None,
            )
        )
    return records
