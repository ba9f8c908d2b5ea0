"""The part of the training questions that is put aside: the refusal dial is set on questions never trained on."""

from collections.abc import Collection
from itertools import compress

import numpy as np

from grait.data.wording import Wording, wording
from grait.records import Question
from grait.runtime.artifacts import fingerprint

SHARE, FEWEST, MOST = 0.15, 60, 400
LARGEST_SHARE = 0.25
"""Where ``FEWEST`` questions would be more than this, none are put aside."""

FEWEST_OF_ALL = int(FEWEST / LARGEST_SHARE)


def held_out(questions: Collection[Question], never: Collection[Wording]) -> set[str]:
    """Ids of the questions to put aside; none where there are fewer than ``FEWEST_OF_ALL``.

    Drawn by their words alone, so that every seed, and any order of the file, puts the same ones aside; one that stands
    twice is put aside twice. ``never``: questions that stay (solved examples) or that are tested on.
    """
    worded = map(wording, questions)
    marks = (-1 if words in never else int(fingerprint(words)[:15], 16) for words in worded)
    drawn, places = np.unique(np.fromiter(marks, np.int64, len(questions)), return_inverse=True)
    first = int(drawn[:1].tolist() == [-1])
    n = min(max(round(SHARE * (len(drawn) - first)), FEWEST), MOST)
    if n > LARGEST_SHARE * (len(drawn) - first):
        return set()
    return {question.id for question in compress(questions, (places >= first) & (places < first + n))}
