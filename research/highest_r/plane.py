"""Why is the highest R not the best choice? Two pictures of R against O for a comparison's training questions.

``python -m research.highest_r.plane RUN OUT`` reads the knowledge state and the gradient datastore of a run folder
(``influence.mode: sketch``) and writes two pictures: ``plane-paper.png`` with the questions that the paper's rule
trains on, and ``plane-centred.png``, from gradients less their mean, with those of the default. Areas are weights.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grait.config import SelectionConfig
from grait.display.figures.training import influence_plane
from grait.display.pictures import file_png, svg
from grait.influence import GradientDatastore
from grait.methods import grait
from grait.records import KnowledgeState
from grait.runtime.artifacts import read_rows
from research.gradients import evidence, gradients_of


def centred(gradients: NDArray[np.float32]) -> NDArray[np.float32]:
    """Less their mean, at length 1 again."""
    rest = gradients - gradients.mean(0)
    return np.asarray(rest / np.linalg.norm(rest, axis=1, keepdims=True), dtype=np.float32)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    store = GradientDatastore.open(arguments.run / "influence" / "sketch" / "datastore")
    known = read_rows(arguments.run / "knowledge" / "knowledge.parquet", KnowledgeState)
    states = [state for state in known if state.label != "dropped" and state.id in set(store.ids)]
    gradients = gradients_of(store, states)
    config = SelectionConfig()
    plain, rest = evidence(states, gradients), evidence(states, centred(gradients))
    mean = gradients.mean(0)
    print(f"{len(states)} questions; length of the mean of their unit gradients: {np.linalg.norm(mean):.3f}")
    refusal = np.array([plain.influence[state.id].refusal_influence for state in states])
    print(f"correlation of R with the gradient along that mean: {np.corrcoef(refusal, gradients @ mean)[0, 1]:.3f}")
    chosen = grait.select_paper(plain, config, 0)
    ids = [row.id for row in chosen if row.label == "idk"]
    unknown = [state.id for state in states if state.label == "idk"]
    for name, group in (("the paper's choice", ids), ("all unknown questions", unknown)):
        rows = gradients[[place for place, state in enumerate(states) if state.id in set(group)]]
        alike = (np.linalg.norm(rows.sum(0)) ** 2 - len(rows)) / (len(rows) * (len(rows) - 1))
        relations = len({id_.split("-")[1] for id_ in group})
        print(f"{name}: {len(group)} questions of {relations} relations, mean cosine of two {alike:.3f}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for title, shown, selected in (
        ("paper", plain, chosen),
        ("centred", rest, grait.select(plain, config, 0)),
    ):
        picture = svg(influence_plane(shown, selected, {}), f"plane-{title}")
        (arguments.out / f"plane-{title}.png").write_bytes(file_png(picture))


if __name__ == "__main__":
    main()
