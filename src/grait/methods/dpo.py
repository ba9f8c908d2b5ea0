"""Direct preference optimisation after tuning (arXiv 2305.18290): right over refused over wrong, by the model's own
samples.

First the model is tuned as by Cor-RAIT. Then it is asked the training questions again, and of each it gets up to two
pairs: its own right answer over the refusal, and the refusal over its own wrong answer. So a question that it gets
right sometimes teaches both, which is also right over wrong.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from grait.methods import cor_rait
from grait.records import Outcome

BETA = 0.1
"""Of the paper: how far the model may go from where it began; lower goes further."""

LEARNING_RATE_SHARE = 0.1
"""Of the tuning's learning rate: preferences change a tuned model by much less."""

select = cor_rait.select


@dataclass(frozen=True, slots=True)
class Preference:
    """Two replies to a training question, as text."""

    id: str
    preferred: str
    rejected: str


def preferences(id_: str, samples: Sequence[tuple[str, Outcome]], refusal: str) -> list[Preference]:
    """The pairs of one question; none where all samples refuse. ``samples``: judged.

    The most frequent right and the most frequent wrong one are taken; of equally frequent ones the first.
    """
    found = []
    for outcome in ("correct", "wrong"):
        own = Counter(text for text, judged in samples if judged == outcome and text)
        if own:
            text = own.most_common(1)[0][0]
            found.append(Preference(id_, *((text, refusal) if outcome == "correct" else (refusal, text))))
    return found
