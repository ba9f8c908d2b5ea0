"""The sketch: a projection that keeps inner products, and a datastore that answers for any sets."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from tiny import END, PAD, loop_gradients, poison, random_examples, tiny_model, with_lora
from torch import Tensor

from grait.errors import ArtifactError, DataError, NonFiniteError
from grait.influence import GradientDatastore, influence, sketch
from grait.influence.projection import SparseProjection
from grait.model.completions import TokenizedExample

EXAMPLES = [replace(example, completion_ids=(17, 4, 130, END)) for example in random_examples(14)]
SETS = {"idk": EXAMPLES[:8], "ik": EXAMPLES[8:]}
IDS = {name: [example.id for example in members] for name, members in SETS.items()}
CPU = torch.device("cpu")
SIZES = {"a": 700, "b": 1300, "c": 256}


def adapted() -> PeftModel:
    return with_lora(tiny_model())


def store(
    folder: Path, model: PeftModel | None = None, examples: list[TokenizedExample] = EXAMPLES, dimensions: int = 8192
) -> GradientDatastore:
    return sketch(
        model or adapted(), examples, folder,
        pad_token_id=PAD, dimensions=dimensions, tokens_per_batch=64, road="copied prefix",
    )  # fmt: skip


def project(vectors: Tensor, dimensions: int, seed: int = 0) -> Tensor:
    projection = SparseProjection(dimensions, seed, SIZES, CPU)
    found = torch.zeros(len(vectors), dimensions)
    for name, part in zip(SIZES, vectors.split(list(SIZES.values()), dim=1), strict=True):
        projection.add(found, name, part)
    return found


def test_the_same_seed_gives_the_same_projection_and_another_seed_another() -> None:
    vectors = torch.randn(3, sum(SIZES.values()), generator=torch.Generator().manual_seed(0))
    assert torch.equal(project(vectors, 64), project(vectors, 64))
    assert not torch.equal(project(vectors, 64), project(vectors, 64, seed=1))


def test_a_layers_part_does_not_depend_on_the_other_layers() -> None:
    gradients = torch.randn(2, SIZES["b"])
    alone, among = torch.zeros(2, 64), torch.zeros(2, 64)
    SparseProjection(64, 0, {"b": SIZES["b"]}, CPU).add(alone, "b", gradients)
    SparseProjection(64, 0, dict(reversed(SIZES.items())), CPU).add(among, "b", gradients)
    assert torch.equal(alone, among)


def test_the_projection_is_linear() -> None:
    x, y = torch.randn(2, 1, sum(SIZES.values()))
    torch.testing.assert_close(project(2 * x - 3 * y, 64), 2 * project(x, 64) - 3 * project(y, 64))


def test_inner_products_are_unbiased_with_the_variance_of_the_theory() -> None:
    """Over 400 seeds: mean <x, y>, and variance (|x|^2 |y|^2 + <x, y>^2) / m, here of unit vectors with cosine 0.6."""
    size, dimensions = sum(SIZES.values()), 128
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(size, 2, generator=generator)).Q.T
    pair = torch.stack([basis[0], 0.6 * basis[0] + 0.8 * basis[1]])
    products = torch.tensor(
        [float(torch.dot(*project(pair, dimensions, seed).unbind())) for seed in range(400)], dtype=torch.float64
    )
    expected = ((1 + 0.6**2) / dimensions) ** 0.5
    assert abs(float(products.mean()) - 0.6) < 4 * expected / 400**0.5
    assert float(products.std()) == pytest.approx(expected, rel=0.15)


def test_as_many_dimensions_as_weights_in_every_layer_lose_nothing_of_one_layer() -> None:
    """The places of neighbouring coordinates are a permutation: a layer that fits in whole is only reordered."""
    gradients = torch.randn(5, SIZES["a"])
    projection, found = SparseProjection(SIZES["a"], 0, SIZES, CPU), torch.zeros(5, SIZES["a"])
    projection.add(found, "a", gradients)
    torch.testing.assert_close(found @ found.T, gradients @ gradients.T, rtol=1e-5, atol=1e-4)


def test_influence_from_the_datastore_is_near_the_exact_one_and_nearer_with_more_dimensions(tmp_path: Path) -> None:
    model = adapted()
    exact = influence(model, EXAMPLES, SETS, pad_token_id=PAD)

    def error(dimensions: int) -> float:
        found = store(tmp_path / str(dimensions), model, dimensions=dimensions).influence(IDS)
        differences = [
            found.scores[name][key] - value for name, row in exact.scores.items() for key, value in row.items()
        ]
        return float(np.sqrt(np.mean(np.square(differences))))

    assert error(65536) < 0.01
    assert error(256) < 0.1
    assert error(65536) < error(256) / 3


def test_norms_and_losses_are_exact(tmp_path: Path) -> None:
    model = adapted()
    losses, gradients = loop_gradients(model, EXAMPLES)
    found = store(tmp_path / "d", model, dimensions=16)
    assert found.ids == tuple(example.id for example in EXAMPLES)
    assert found.norms.tolist() == pytest.approx([float(gradient.norm()) for gradient in gradients], rel=1e-5)
    assert found.losses.tolist() == pytest.approx(losses, rel=1e-5)


def test_any_sets_can_be_asked_about_and_answers_are_the_means_of_stored_products(tmp_path: Path) -> None:
    found = GradientDatastore.open(store(tmp_path / "d", dimensions=512).folder)
    rows = torch.from_numpy(found.unit_gradients.astype(np.float32))
    products = rows @ rows.T
    sets = {"odd": [found.ids[1], found.ids[5]], "one": [found.ids[3]]}
    chosen = [found.ids[7], found.ids[2]]
    answer = found.influence(sets, examples=chosen)
    assert list(answer.scores["odd"]) == chosen
    assert answer.scores["odd"][chosen[0]] == pytest.approx(float(products[7, [1, 5]].mean()), abs=1e-6)
    assert answer.scores["one"][chosen[1]] == pytest.approx(float(products[2, 3]), abs=1e-6)


def test_one_question_may_stand_with_two_completions_under_two_ids(tmp_path: Path) -> None:
    answers = [replace(example, id=f"{example.id}/answer", completion_ids=(50, END)) for example in EXAMPLES]
    model = adapted()
    exact = influence(model, EXAMPLES, {"answers": answers}, pad_token_id=PAD).scores["answers"]
    found = store(tmp_path / "d", model, [*EXAMPLES, *answers], dimensions=65536)
    sketched = found.influence({"answers": [row.id for row in answers]}, examples=list(exact)).scores["answers"]
    assert sketched == pytest.approx(exact, abs=0.03)


def test_greedy_choice_equals_trying_every_candidate_at_each_step(tmp_path: Path) -> None:
    found = store(tmp_path / "d", dimensions=256)
    rows = {
        key: torch.from_numpy(row.astype(np.float64)) for key, row in zip(found.ids, found.unit_gradients, strict=True)
    }
    candidates, toward = list(found.ids[:9]), list(found.ids[5:])
    target = torch.stack([rows[key] for key in toward]).mean(0)

    def distance(chosen: list[str]) -> float:
        return float((torch.stack([rows[key] for key in chosen]).mean(0) - target).norm())

    expected: list[str] = []
    for _ in range(6):
        rest = [key for key in candidates if key not in expected]
        expected.append(min(rest, key=lambda key: distance([*expected, key])))
    assert found.most_alike_mean(candidates, toward, 6) == expected
    best = min(distance(list(some)) for some in itertools.combinations(candidates, 3))
    assert distance(found.most_alike_mean(candidates, toward, 3)) < 1.2 * best


def test_a_duplicate_is_not_chosen_while_there_is_something_new(tmp_path: Path) -> None:
    twins = [replace(EXAMPLES[0], id=f"twin{number}") for number in range(5)]
    found = store(tmp_path / "d", examples=[*twins, *EXAMPLES[1:]], dimensions=1024)
    chosen = found.most_alike_mean(list(found.ids), list(found.ids), 4)
    assert sum(key.startswith("twin") for key in chosen) < 3


def test_non_finite_examples_are_left_out_and_named(tmp_path: Path) -> None:
    model = adapted()
    clean = [example for example in EXAMPLES if 199 not in example.prompt_ids]
    bad = replace(clean[1], id="bad", prompt_ids=(5, 199, 9))
    poison(model, 199)
    found = store(tmp_path / "d", model, [bad, *clean])
    answer = found.influence({"set": ["bad", clean[0].id], "clean": [clean[0].id]})
    assert answer.non_finite == ("bad",)
    assert answer.scores["set"] == answer.scores["clean"]
    assert "bad" not in answer.scores["set"]
    with pytest.raises(NonFiniteError, match="no example of set set"):
        found.influence({"set": ["bad"]})
    with pytest.raises(DataError, match="1 of 0 candidates"):
        found.most_alike_mean(["bad"], [clean[0].id], 1)


def test_unknown_empty_and_repeated_ids_are_errors(tmp_path: Path) -> None:
    found = store(tmp_path / "d", dimensions=16)
    with pytest.raises(DataError, match="set: nobody is not in"):
        found.influence({"set": ["nobody"]})
    with pytest.raises(DataError, match="set is empty or holds an id twice"):
        found.influence({"set": []})
    with pytest.raises(DataError, match="examples is empty or holds an id twice"):
        found.influence({"set": [found.ids[0]]}, examples=[found.ids[0]] * 2)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dimensions": 64}, "dimensions: 32 -> 64"),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"tokens_per_batch": 32}, "tokens_per_batch: 64 -> 32"),
        ({"examples": EXAMPLES[:5]}, "examples changed"),
        ({"transform": lambda _, gradients: gradients.sign()}, "transform: 'none' -> "),
    ],
)
def test_a_datastore_made_with_other_settings_is_refused_by_name(
    tmp_path: Path, change: dict[str, object], named: str
) -> None:
    usual = {"examples": EXAMPLES, "dimensions": 32, "seed": 0, "tokens_per_batch": 64, "transform": None}

    def make(examples: list[TokenizedExample], **settings: object) -> None:
        sketch(adapted(), examples, tmp_path / "d", pad_token_id=PAD, **settings)  # type: ignore[arg-type]

    make(**usual)  # type: ignore[arg-type]
    before = (tmp_path / "d" / "unit_gradients.npy").read_bytes()
    with pytest.raises(ArtifactError, match=rf"made with other settings \({named}"):
        make(**{**usual, **change})  # type: ignore[arg-type]
    assert (tmp_path / "d" / "unit_gradients.npy").read_bytes() == before


@pytest.mark.parametrize("part", ["adapter", "frozen_model"])
def test_a_datastore_of_other_weights_is_refused_by_name(tmp_path: Path, part: str) -> None:
    model = adapted()
    store(tmp_path / "d", model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad == (part == "adapter"):
                parameter += 1e-3
    with pytest.raises(ArtifactError, match=rf"made with other settings \({part} changed\)"):
        store(tmp_path / "d", model)


def test_a_finished_datastore_is_reused_without_running_the_model(tmp_path: Path) -> None:
    model = adapted()
    store(tmp_path / "d", model)
    runs = []
    model.register_forward_hook(lambda *_: runs.append(1))
    store(tmp_path / "d", model)
    assert not runs


def test_damaged_unfinished_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    folder = store(tmp_path / "d", dimensions=16).folder
    with pytest.raises(ArtifactError, match="no gradient datastore"):
        GradientDatastore.open(tmp_path / "nowhere")
    done = np.load(folder / "done.npy")
    np.save(folder / "done.npy", np.arange(len(done)) < 3)
    with pytest.raises(ArtifactError, match=f"unfinished, 3 of {len(EXAMPLES)} examples"):
        GradientDatastore.open(folder)
    np.save(folder / "done.npy", done)
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "schema_version": 99}))
    with pytest.raises(ArtifactError, match="schema version 99"):
        GradientDatastore.open(folder)
    (folder / "settings.json").write_text(json.dumps(settings))
    whole = (folder / "unit_gradients.npy").read_bytes()
    (folder / "unit_gradients.npy").write_bytes(whole[:200])
    with pytest.raises(ArtifactError, match="not a readable gradient datastore"):
        GradientDatastore.open(folder)
    np.save(folder / "unit_gradients.npy", np.zeros((3, 16), np.float16))
    with pytest.raises(ArtifactError, match="do not belong together"):
        GradientDatastore.open(folder)


def test_a_folder_that_is_no_datastore_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ArtifactError, match="holds something else"):
        store(tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_nothing_in_it_needs_pickle(tmp_path: Path) -> None:
    folder = store(tmp_path / "d", dimensions=16).folder
    for path in folder.glob("*.npy"):
        np.load(path, allow_pickle=False)
    assert {path.suffix for path in folder.iterdir()} == {".npy", ".json"}
