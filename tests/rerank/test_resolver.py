"""The resolver: decisions, margins and order, worked out by hand with linear scorers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank.answers import candidate_probabilities
from rerank.index.errors import InputError
from rerank.index.records import Listing
from rerank.index.text import normalise
from rerank.model import FeatureRanker, OnnxTrees, RerankModel
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES, RANKED_MODELS
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.pack import GpuResolver
from rerank.packs.gpu.retriever import Retriever
from rerank.resolution import Decision, Resolution, Thresholds
from rerank.resolver import Resolver, predict_match_score

LinearScorer = Callable[..., bytes]

CUES = CueReader({"box": ["box"], "with": ["with"], "holder": ["holder"], "laptop": ["laptop"]})
RANKER = {"name_quality": 1.0, "memory_fit": 0.5, "form_fit": 0.5, "variant_rank": -0.05}
# Log-odds -3, and 6 more for a named model; the calibrator makes (log-odds + 4) / 8 of it.
OFFER = {
    "named": 6.0,
    "exact_rivals": -1.5,
    "box_before": -6.0,
    "box_after": -6.0,
    "holder_before": -6.0,
    "laptop_after": -6.0,
}
TITLES = [
    "Gigabyte RTX4060Ti 16GB",
    "RTX 4060 or A770",
    "box for RTX 3080",
    "",
    "see photos",
    "4080S",
    "RTX 3080 with box",
    "A100 SXM4 80GB",
    "RX 6600 XT holder",
    "🎮 hd7970 3gb",
]


@pytest.fixture(scope="module")
def model(linear_model: Callable[..., RerankModel]) -> RerankModel:
    return linear_model(RANKER, OFFER, -3.0)


@pytest.fixture(scope="module")
def resolver(tiny_retriever: Retriever, model: RerankModel) -> Resolver:
    return GpuResolver(tiny_retriever, model, CUES, index_version="index-1")


@pytest.fixture(scope="module")
def undecided(
    tiny_retriever: Retriever, model: RerankModel, linear_scorer: LinearScorer
) -> Resolver:
    """A resolver whose ranker gives every candidate the same score."""
    flat = replace(model, ranker=FeatureRanker(OnnxTrees(linear_scorer(CANDIDATE_FEATURES, {}))))
    return GpuResolver(tiny_retriever, flat, CUES, index_version="index-1")


def listings() -> list[Listing]:
    return [Listing(str(at), title) for at, title in enumerate(TITLES)]


# --- decisions by hand ---


@pytest.mark.parametrize(
    ("title", "decision", "probability", "gpu_id", "reason"),
    [
        (
            "Gigabyte RTX4060Ti 16GB",
            "match",
            0.875,
            "geforce-rtx-4060-ti-16gb-gddr6",
            "model number + memory agree",
        ),
        (
            "nvidia a100 sxm4",
            "match",
            0.875,
            "a100-80gb-hbm2e-sxm4",
            "model number + form factor agree, memory not stated",
        ),
        (
            "RTX 3080 with box",
            "match",
            0.875,
            "geforce-rtx-3080-10gb-gddr6x",
            "model number agrees, memory not stated",
        ),
        ("RTX 4060 or 7970", "review", 0.6875, "geforce-rtx-4060-8gb-gddr6", "model number agrees"),
        ("box for RTX 3080", "no_match", 0.125, None, "box only: box"),
        ("RTX 3080 laptop", "no_match", 0.125, None, "whole laptop: laptop"),
        ("holder", "no_match", 0.0, None, "accessory: holder"),
        ("see photos", "no_match", 0.125, None, "names no GPU of the registry"),
        ("", "no_match", 0.0, None, "no title"),
    ],
)
def test_decisions(
    title: str,
    decision: str,
    probability: float,
    gpu_id: str | None,
    reason: str,
    resolver: Resolver,
) -> None:
    found = resolver.resolve(Listing("1", title))
    assert (found.decision, found.gpu_id, found.reason) == (decision, gpu_id, reason)
    assert found.match_probability == pytest.approx(probability, abs=1e-6)


@pytest.mark.parametrize(
    ("match", "review", "decision"),
    [(0.875, 0.3, "match"), (0.876, 0.875, "review"), (1.01, 0.876, "no_match"), (0, 0, "match")],
)
def test_thresholds_are_inclusive(
    match: float, review: float, decision: str, tiny_retriever: Retriever, model: RerankModel
) -> None:
    other = replace(model, thresholds=Thresholds(match, review, 0.99))
    resolver = GpuResolver(tiny_retriever, other, CUES, index_version="i")
    found = resolver.resolve(Listing("1", "RTX 4060"))
    assert found.match_probability == 0.875
    assert found.decision == decision


# --- the contract of a resolved row ---


def test_every_resolution_keeps_the_contract(resolver: Resolver) -> None:
    for found in resolver.resolve_many(listings()):
        assert found.decision in {decision.value for decision in Decision}
        assert 0 <= found.match_probability <= 1
        if found.reason == "no title":
            assert (found.candidates, found.model, found.margin) == ((), None, 0)
            assert (found.best_guess, found.memory_stated) == (None, False)
            assert found.variant_probability == 0
            continue
        assert found.candidates
        best = found.candidates[0]
        variant = (best.gpu_id, best.model, best.memory_gb, best.form_factor)
        assert (found.gpu_id, found.model, found.memory_gb, found.form_factor) == (
            (None,) * 4 if found.decision == "no_match" else variant
        )
        assert found.best_guess == best.model
        assert found.variant_probability == best.variant_probability
        assert best.probability == found.match_probability
        rivals = [c.probability for c in found.candidates if c.model != best.model]
        assert found.margin == pytest.approx(best.probability - max(rivals))
        assert found.margin >= 0
        assert (found.model_version, found.index_version) == ("model-1", "index-1")
        assert found.reason


def test_candidates_come_best_first_and_share_their_model_s_probability(
    resolver: Resolver,
) -> None:
    for found in resolver.resolve_many(listings()):
        assert len({c.gpu_id for c in found.candidates}) == len(found.candidates) <= 20
        for first, second in pairwise(found.candidates):
            assert first.score >= second.score
            if first.model == second.model:
                assert first.variant_probability >= second.variant_probability
        models = [candidate.model for candidate in found.candidates]
        assert len(list(groupby(models))) == len(set(models))
        shares: dict[str, set[float]] = {}
        for candidate in found.candidates:
            shares.setdefault(candidate.model, set()).add(candidate.probability)
            assert -1 <= candidate.similarity <= 1
        assert all(len(share) == 1 for share in shares.values())
        assert sum(share.pop() for share in shares.values()) <= 1 + 1e-9


def test_the_score_is_the_ranker_s(resolver: Resolver) -> None:
    (listing,) = [Listing("1", "RTX 4060 Ti 16GB")]
    found = resolver.resolve(listing)
    evidence = resolver.evidence([listing])
    at = int(evidence.best[0])
    row = dict(zip(CANDIDATE_FEATURES, evidence.features[at].tolist(), strict=True))
    by_hand = sum(weight * row[name] for name, weight in RANKER.items())
    assert found.candidates[0].score == pytest.approx(by_hand, abs=1e-4)
    similarity = float(evidence.candidates.similarity[at])
    assert found.candidates[0].similarity == pytest.approx(similarity, abs=1e-4)


def test_a_batch_equals_single_listings_in_any_order(resolver: Resolver) -> None:
    batch = resolver.resolve_many(listings())
    assert batch == [resolver.resolve(listing) for listing in listings()]
    assert resolver.resolve_many(listings()[::-1]) == batch[::-1]


def test_equal_listings_get_equal_answers(resolver: Resolver) -> None:
    first, second = resolver.resolve_many([Listing("a", "RTX 3080"), Listing("b", "RTX 3080")])
    assert first == second


def test_no_listings_give_no_answers(resolver: Resolver) -> None:
    assert resolver.resolve_many([]) == []


@pytest.mark.parametrize("top_k", [0, -3])
def test_top_k_must_be_positive(top_k: int, resolver: Resolver) -> None:
    with pytest.raises(InputError, match=f"top_k must be at least 1, got {top_k}"):
        resolver.resolve(Listing("1", "RTX 3080"), top_k=top_k)


def test_top_k_limits_the_candidates(resolver: Resolver) -> None:
    for top_k in (1, 2, 7):
        found = resolver.resolve(Listing("1", "RTX 3080"), top_k=top_k)
        assert len(found.candidates) == top_k
        assert found.model == "GeForce RTX 3080"
    one, all_of_them = (resolver.resolve("RTX 3080", top_k=top_k) for top_k in (1, 20))
    assert one.margin == all_of_them.margin < one.match_probability


def test_the_columns_are_those_of_the_design() -> None:
    assert [field.name for field in fields(Resolution)] == [
        "gpu_id",
        "model",
        "memory_gb",
        "form_factor",
        "best_guess",
        "match_probability",
        "memory_stated",
        "variant_probability",
        "margin",
        "decision",
        "reason",
        "candidates",
        "model_version",
        "index_version",
    ]


@settings(max_examples=60, deadline=None)
@given(title=st.one_of(st.text(max_size=200), st.lists(st.sampled_from(TITLES)).map(" ".join)))
def test_any_title_is_answered(title: str, resolver: Resolver) -> None:
    found = resolver.resolve(Listing("1", title))
    assert 0 <= found.match_probability <= 1
    assert bool(found.candidates) == (found.reason != "no title") == bool(normalise(title))


def test_equal_scores_come_by_gpu_id(undecided: Resolver) -> None:
    found = undecided.resolve(Listing("1", "RTX 4060"))
    models = list(dict.fromkeys(candidate.model for candidate in found.candidates))
    records = undecided.table.records
    ranked = models[:RANKED_MODELS]  # the others stand behind as they were proposed
    first = [min(r.gpu_id for r in records if r.model == model) for model in ranked]
    assert len(first) > 5
    assert first == sorted(first)


def test_of_equal_scores_the_reported_one_was_judged(undecided: Resolver) -> None:
    listing = Listing("1", "RTX 4060")
    found = undecided.resolve(listing)
    assert found.candidates[0].probability == found.match_probability
    evidence = undecided.evidence([listing])
    judged = undecided.table.records[int(evidence.candidates.record[evidence.best[0]])]
    assert judged.gpu_id == found.candidates[0].gpu_id


# --- sharing out probability ---


def model_probabilities(
    models: list[str], scores: list[float], probability: float
) -> dict[str, float]:
    """Share out the probability of one listing, whose candidates stand between two others'."""
    numbers = {model: number for number, model in enumerate(dict.fromkeys(models))}
    own = [numbers[model] for model in models]
    offsets = np.array([0, 1, 1 + len(own), 2 + len(own)])
    shares = candidate_probabilities(
        offsets,
        np.array([0, *own, 0]),
        np.array([5.0, *scores, 4.0]),
        np.array([0.5, probability, 0.6]),
    )
    assert shares[[0, -1]].tolist() == [0.5, 0.6]
    return dict(zip(models, shares[1:-1].tolist(), strict=True))


def test_rivals_share_what_the_best_leaves() -> None:
    shares = model_probabilities(["a", "b", "c", "a"], [2.0, 1.0 - np.log(2), 0.0, -1.0], 0.7)
    weights = {"b": np.exp(-1) / 2, "c": np.exp(-2)}
    total = 1 + sum(weights.values())
    expected = {"a": 0.7, **{m: 0.3 * w / total for m, w in weights.items()}}
    assert shares == pytest.approx(expected)
    assert model_probabilities([], [], 0.0) == {}
    assert model_probabilities(["a"], [3.0], 0.4) == {"a": 0.4}


def test_no_rival_gets_more_than_the_best() -> None:
    assert model_probabilities(["a", "b"], [1.0, 1.0], 0.2) == {"a": 0.2, "b": 0.2}
    assert model_probabilities(["a", "b", "b"], [2.0, 2.0, 1.0], 0.0) == {"a": 0.0, "b": 0.0}


@given(scores=st.lists(st.floats(-50, 50), min_size=1, max_size=12), probability=st.floats(0, 1))
def test_shares_are_probabilities(scores: list[float], probability: float) -> None:
    models = [f"m{at % 5}" for at in range(len(scores))]
    shares = model_probabilities(models, sorted(scores, reverse=True), probability)
    assert set(shares) == set(models)
    assert all(0 <= share <= 1 for share in shares.values())
    assert sum(shares.values()) <= 1 + 1e-9
    assert shares["m0"] == probability == max(shares.values())


# --- ranking by embeddings alone ---


def test_predict_match_score_ranks_by_cosine() -> None:
    ranked = predict_match_score([1.0, 0.0], [[0.0, 2.0], [3.0, 0.0], [-1.0, 0.0], [1.0, 1.0]])
    assert [row for row, _ in ranked] == [1, 3, 0, 2]
    assert [score for _, score in ranked] == pytest.approx([1, np.sqrt(0.5), 0, -1])
    assert all(type(row) is int and type(score) is float for row, score in ranked)


def test_predict_match_score_breaks_ties_by_row_and_scores_zeros_zero() -> None:
    rows = np.array([[0, 0], [1, 0], [0, 0], [2, 0]], np.float32)
    assert predict_match_score(np.array([5, 0]), rows) == [(1, 1.0), (3, 1.0), (0, 0.0), (2, 0.0)]
    assert predict_match_score([0.0, 0.0], rows) == [(at, 0.0) for at in range(4)]
    assert predict_match_score([1.0, 2.0], np.zeros((0, 2))) == []


@pytest.mark.parametrize(
    ("query", "rows", "shapes"),
    [
        ([1.0, 2.0], [[1.0, 2.0, 3.0]], "got (2,) and (1, 3)"),
        ([[1.0, 2.0]], [[1.0, 2.0]], "got (1, 2) and (1, 2)"),
        ([1.0, 2.0], [1.0, 2.0], "got (2,) and (2,)"),
        (1.0, [[1.0]], "got () and (1, 1)"),
    ],
)
def test_predict_match_score_refuses_other_shapes(query: object, rows: object, shapes: str) -> None:
    message = re.escape(f"expected shapes (d,) and (n, d), {shapes}")
    with pytest.raises(InputError, match=f"^{message}$"):
        predict_match_score(query, rows)
