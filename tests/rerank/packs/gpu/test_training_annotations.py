"""Annotations as training data: what they become, whose side they are on, what they weigh."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank.annotation.agreement import Consensus
from rerank.calibration import choose_threshold, fit_calibrator
from rerank.evaluation.gold import Split, split_of
from rerank.index.records import LabelledListing, Listing, shipped
from rerank.model import RerankModel
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.training.evidence import relevance_of
from rerank.packs.gpu.training.labelling import (
    AnnotatedListings,
    Unusable,
    labelled_of,
    on_sides,
    side_of,
    words_of,
)
from rerank.packs.gpu.training.sets import TrainingParameters
from rerank.packs.gpu.training.train import train
from rerank.store.rows import Verdict
from rerank.trees import TreeParameters, train_classifier, train_lambdarank

BY_HAND = TreeParameters(trees=5, leaves=4, min_rows_in_leaf=1, feature_fraction=1.0, l2=0.0)


def settled(listing_id: str, model: str | None = None, **changes: Any) -> Consensus:
    verdict = Verdict.NOT_GPU if model is None else Verdict.MATCH
    fields = {"gpu_id": None, "annotators": 1, "disputed": False, "verdict": verdict, **changes}
    return Consensus(listing_id=listing_id, model=model, **fields)


def labelled(retriever, title: str, model: str | None, gpu_id: str | None = None):
    answers = [settled("1", model, gpu_id=gpu_id)]
    [item], unusable = labelled_of(answers, {"1": Listing("1", title)}, retriever)
    assert unusable == Unusable()
    return item


def nil(title: str) -> LabelledListing:
    return LabelledListing(Listing("n", title), "nil", None, None, False, False, None, "annotation")


def match(model: str, listing_id: str = "m") -> LabelledListing:
    listing = Listing(listing_id, f"{model} graphics card")
    return LabelledListing(listing, "match", "any", model, False, False, None, "annotation")


@pytest.mark.parametrize(
    ("title", "gpu_id", "truth", "memory_stated", "form_stated"),
    [
        ("Zotac RTX 3080 Trinity 12GB", "geforce-rtx-3080-12gb-gddr6x", "=", True, False),
        ("Zotac RTX 3080 Trinity", "geforce-rtx-3080-12gb-gddr6x", "=", False, False),
        ("Zotac RTX 3080 Trinity PCIe 10G", None, "geforce-rtx-3080-10gb-gddr6x", True, True),
        ("RTX 3080 mobile MXM board 16GB", None, "geforce-rtx-3080-16gb-gddr6-mobile", True, True),
        ("RTX 3080 from a gaming rig", None, "geforce-rtx-3080-10gb-gddr6x", False, False),
        ("RTX 3080 spare board", "geforce-rtx-3080-16gb-gddr6-mobile", "=", False, True),
    ],
)
def test_what_a_match_states_is_read_from_its_title(
    tiny_retriever, title, gpu_id, truth, memory_stated, form_stated
):
    item = labelled(tiny_retriever, title, "GeForce RTX 3080", gpu_id)
    assert (item.kind, item.model) == ("match", "GeForce RTX 3080")
    assert item.gpu_id == (gpu_id if truth == "=" else truth)
    assert (item.memory_stated, item.form_stated) == (memory_stated, form_stated)


def test_without_a_variant_every_one_that_fits_the_title_is_right(tiny_retriever):
    """Grade 2 for what fits all the title states, 1 for other variants of the model, else 0."""
    item = labelled(tiny_retriever, "Palit A770 Arc 16GB", "Arc A770")
    batch = tiny_retriever.retrieve([item.listing])
    found = relevance_of([item], batch.listing, batch.record, tiny_retriever.table)
    grades = {
        tiny_retriever.records[at].gpu_id: grade
        for at, grade in zip(batch.record.tolist(), found.tolist(), strict=True)
    }
    assert grades["arc-a770-16gb-gddr6"] == 2
    assert grades["arc-a770-8gb-gddr6"] == 1
    assert sum(grades.values()) == 3


@pytest.mark.parametrize("verdict", [Verdict.NOT_GPU, Verdict.NONE_OF_THESE])
def test_what_is_no_match_is_nil(tiny_retriever, verdict):
    answers = [settled("1", verdict=verdict)]
    [item], _ = labelled_of(answers, {"1": Listing("1", "GPU holder")}, tiny_retriever)
    assert (item.kind, item.gpu_id, item.model) == ("nil", None, None)


def test_disputed_and_unsure_answers_teach_nothing(tiny_retriever):
    answers = [
        settled("1", "Arc A770", disputed=True),
        settled("2", verdict=Verdict.UNSURE),
        settled("3", "Arc A770"),
    ]
    listings = {key: Listing(key, "Intel Arc A770") for key in "123"}
    found, unusable = labelled_of(answers, listings, tiny_retriever)
    assert [item.listing.listing_id for item in found] == ["3"]
    assert unusable == Unusable()


def test_names_the_registry_lacks_are_reported_together_and_left_out(tiny_retriever):
    answers = [
        settled("1", "GeForce RTX 9999"),
        settled("2", "GeForce RTX 9999"),
        settled("3", "Arc A770", gpu_id="arc-a770-64gb"),
        settled("4", "Arc A770", gpu_id="geforce-rtx-4060-8gb-gddr6"),
        settled("5", "Arc A770"),
        settled("absent", "Arc A770"),
    ]
    listings = {key: Listing(key, "some card") for key in "12345"}
    found, unusable = labelled_of(answers, listings, tiny_retriever)
    assert [item.listing.listing_id for item in found] == ["5"]
    names = ("GeForce RTX 9999", "arc-a770-64gb", "geforce-rtx-4060-8gb-gddr6")
    assert unusable == Unusable(names, of_unknown=4, without_text=1)


def shipped_models() -> list[str]:
    text = (shipped("registry").parent / "hard_set.csv").read_text(encoding="utf-8")
    names = set(re.findall(r",match,([^,;\n]+)", text))
    return sorted(names | {f"Model {number}" for number in range(500)})


def test_no_model_kept_for_tests_or_calibration_teaches_the_ranker():
    """Over many models: nothing of VALIDATION or TEST trains, and of TEST nothing is used."""
    everything = [match(model) for model in shipped_models()]
    sides = on_sides(everything)
    assert {split_of(item.model) for item in sides.ranker} == {Split.RANKER, Split.EMBEDDER}
    assert {split_of(item.model) for item in sides.offer} == {Split.RANKER, Split.EMBEDDER}
    assert {split_of(item.model) for item in sides.validation} == {Split.VALIDATION}
    used = len(sides.offer) + len(sides.validation) + sides.kept_out
    assert used == len(everything)
    assert sides.kept_out == sum(split_of(item.model) is Split.TEST for item in everything)


def test_listings_of_a_model_are_on_one_side():
    for model in shipped_models()[:60]:
        parts = on_sides([match(model, str(number)) for number in range(4)])
        sizes = {len(parts.offer), len(parts.validation), parts.kept_out}
        assert sizes == {0, 4}


def test_near_identical_listings_without_a_match_are_on_one_side():
    for at in range(60):
        word = f"holder{chr(97 + at % 26)}{'x' * (at // 26)}"
        titles = [f"GPU {word} bracket 12345", f"gpu-{word} Bracket 777", f"Bracket GPU, {word}"]
        assert len({side_of(nil(title)) for title in titles}) == 1


@pytest.mark.parametrize(
    ("title", "words"),
    [("GPU Holder, 2 pcs!", "gpu holder pcs"), ("4711-0815", "4711-0815"), ("b A b", "a b")],
)
def test_words_of_a_title_are_sorted_and_without_numbers(title, words):
    assert words_of(title) == words


def test_listings_without_a_match_teach_the_offer_classifier_only():
    sides = on_sides([nil(f"water block {chr(97 + at)}") for at in range(26)])
    assert len(sides.ranker) == 0
    assert len(sides.offer) > len(sides.validation) > 0
    assert len(sides.offer) + len(sides.validation) + sides.kept_out == 26


def test_the_summary_says_how_many_and_of_what_weight():
    teaching = [match(m) for m in shipped_models() if split_of(m) is Split.RANKER][:3]
    annotated = replace(on_sides([*teaching, nil("mining frame")]), weight=2.5)
    summary = annotated.summary()
    assert summary["ranker"] == 3
    assert summary["weight"] == 2.5
    assert summary["listings"] == len(annotated.offer) + len(annotated.validation)
    assert re.fullmatch(r"[0-9a-f]{16}", summary["fingerprint"])


def test_the_fingerprint_is_that_of_texts_and_labels_in_any_order():
    models = [m for m in shipped_models() if split_of(m) is Split.RANKER][:3]
    one = AnnotatedListings([], [match(m) for m in models])
    other_order = AnnotatedListings([], [match(m) for m in reversed(models)])
    other_label = AnnotatedListings([], [replace(match(m), gpu_id="another") for m in models])
    prints = [a.summary()["fingerprint"] for a in (one, other_order, other_label)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(("generated", "annotated"), [(3, 2), (0, 1)])
def test_weights_are_of_the_annotated_rows(generated, annotated):
    weights = AnnotatedListings(weight=4.0).weights(generated, annotated)
    assert weights is not None
    assert weights.tolist() == [1.0] * generated + [4.0] * annotated


def test_without_annotated_rows_there_are_no_weights():
    assert AnnotatedListings().weights(100, 0) is None


def scores(text: str, features: np.ndarray) -> np.ndarray:
    lightgbm = pytest.importorskip("lightgbm")
    return np.asarray(lightgbm.Booster(model_str=text).predict(features, raw_score=True))


def repeated(sizes: Sequence[int], times: Sequence[int]) -> np.ndarray:
    """Return rows of groups, each group as often as said."""
    starts = np.cumsum([0, *sizes])
    parts = [np.tile(np.arange(starts[at], starts[at + 1]), time) for at, time in enumerate(times)]
    return np.concatenate(parts)


def test_a_weighted_row_counts_like_that_many_rows_for_the_classifier():
    rng = np.random.default_rng(3)
    features = rng.integers(0, 8, (80, 2)).astype(np.float32)
    labels = features[:, 0] + rng.normal(0, 3, 80) > 4
    weights = rng.integers(1, 4, 80)
    rows = np.repeat(np.arange(80), weights)
    weighted = train_classifier(
        features, labels, ("a", "b"), BY_HAND, weights=weights.astype(float)
    )
    copied = train_classifier(features[rows], labels[rows], ("a", "b"), BY_HAND)
    plain = train_classifier(features, labels, ("a", "b"), BY_HAND)
    expected = scores(copied.text, features)
    assert scores(weighted.text, features) == pytest.approx(expected, abs=1e-6)
    assert np.abs(scores(plain.text, features) - expected).max() > 0.01


def test_a_weighted_listing_counts_like_that_many_listings_for_lambdarank():
    rng = np.random.default_rng(5)
    sizes = [5] * 30
    features = rng.integers(0, 6, (150, 2)).astype(np.float32)
    relevance = (features[:, 0] + rng.normal(0, 2, 150) > 4).astype(int)
    times = rng.integers(1, 4, 30)
    rows = repeated(sizes, times.tolist())
    weighted = train_lambdarank(
        features, relevance, sizes, ("a", "b"), BY_HAND, weights=times.astype(float)
    )
    copied = train_lambdarank(
        features[rows], relevance[rows], [5] * int(times.sum()), ("a", "b"), BY_HAND
    )
    plain = train_lambdarank(features, relevance, sizes, ("a", "b"), BY_HAND)
    expected = scores(copied.text, features)
    assert scores(weighted.text, features) == pytest.approx(expected, abs=1e-3)
    assert np.abs(scores(plain.text, features) - expected).max() > 0.01


def test_a_weighted_row_counts_like_that_many_rows_in_calibration():
    rng = np.random.default_rng(1)
    log_odds = rng.normal(0, 2, 8)
    correct = np.array([True, False] * 4)
    weights = np.array([3.0, 1, 1, 1, 1, 1, 1, 1])
    fitted = fit_calibrator(log_odds, correct, min_rows=8, weights=weights)
    # Blocks of 2 rows, as there are 8; each (right + .5) / (weight + 1), neighbours pooled.
    assert fitted.probability[-1] <= (3 + 0.5) / (4 + 1)
    assert list(fitted.probability) == sorted(fitted.probability)
    same = fit_calibrator(log_odds, correct, weights=np.ones(8))
    assert same == fit_calibrator(log_odds, correct)


def test_a_threshold_holds_the_weighted_precision():
    probability = np.array([0.9, 0.8, 0.7])
    correct = np.array([True, False, True])
    assert choose_threshold(probability, correct, 0.75) == 0.9
    heavy = np.array([1.0, 1.0, 8.0])
    assert choose_threshold(probability, correct, 0.75, weights=heavy) == 0.7
    assert choose_threshold(probability, correct, 0.75, weights=np.ones(3)) == 0.9


SMALL = TrainingParameters(
    ranker_listings=300,
    offer_listings=500,
    validation_listings=400,
    ranker=TreeParameters(trees=8),
    offer=TreeParameters(trees=8),
)


@pytest.fixture(scope="module")
def shipped_training(tmp_path_factory: pytest.TempPathFactory):
    """Train small models on the shipped index; by default without annotations."""
    from rerank.workspace import Workspace, open_retriever

    folder = tmp_path_factory.mktemp("trained")
    retriever, manifest = open_retriever(Workspace(folder / "home"))
    cues = CueReader.load(shipped("cues.txt"))

    def run(name: str, annotated: AnnotatedListings | None = None) -> tuple[RerankModel, Path]:
        train(retriever, cues, folder / name, manifest, SMALL, annotated=annotated)
        return RerankModel.load(folder / name), folder / name

    return retriever, run


@pytest.mark.slow
def test_annotations_move_only_what_may_learn_from_them(shipped_training):
    """A model of TEST changes nothing, one of VALIDATION only the calibration."""
    retriever, run = shipped_training
    plain, _ = run("plain")
    again, _ = run("again", AnnotatedListings())
    assert again.version == plain.version
    assert "annotations" not in plain.parameters

    def of(split: Split) -> AnnotatedListings:
        models = sorted({r.model for r in retriever.records if split_of(r.model) is split})[:150]
        answers = [settled(str(at), model) for at, model in enumerate(models)]
        listings = {str(at): Listing(str(at), f"{m} fan dead") for at, m in enumerate(models)}
        return on_sides(labelled_of(answers, listings, retriever)[0], weight=30.0)

    tested, _ = run("test", of(Split.TEST))
    assert tested.version == plain.version
    calibrated, _ = run("validation", of(Split.VALIDATION))
    assert calibrated.ranker_text == plain.ranker_text
    assert calibrated.offer_text == plain.offer_text
    assert calibrated.calibrator != plain.calibrator
    taught, _ = run("ranker", of(Split.RANKER))
    assert taught.ranker_text != plain.ranker_text
    assert taught.offer_text != plain.offer_text
    assert taught.parameters["annotations"]["ranker"] == 150
    assert taught.parameters["annotations"]["weight"] == 30.0
