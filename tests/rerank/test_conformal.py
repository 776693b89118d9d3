"""Candidate sets: thresholds and sets by hand numbers, coverage on synthetic listings."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank.calibration import (
    METHOD,
    MISSED,
    NO_MATCH,
    SHIFT,
    Calibrator,
    CandidateSets,
    Nonconformity,
    nonconformity,
    outcome_probabilities,
)
from rerank.evaluation.gold import GoldKind, GoldListing, covered
from rerank.index.artifacts import read_manifest
from rerank.index.errors import ArtifactError, InputError
from rerank.index.records import GpuRecord, Listing
from rerank.model import MODEL_FORMAT, FeatureRanker, OnnxTrees, RerankModel, save_model
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.offers import OFFER_FEATURES
from rerank.packs.gpu.pack import GpuResolver
from rerank.packs.gpu.retriever import Retriever
from rerank.packs.gpu.training.train import calibrate_candidate_sets
from rerank.resolution import ScoredCandidate, Thresholds
from rerank.resolver import Resolver

LinearScorer = Callable[..., bytes]
DECISIONS = ("match", "review", "no_match")
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98)


def one_group(scores: list[float]) -> CandidateSets:
    """Candidate sets of one threshold for all decisions, each score of ten listings."""
    return CandidateSets.from_scores({"match": scores * 10, "review": [], "no_match": []})


# --- thresholds ---


@pytest.mark.parametrize(
    ("level", "threshold"),
    [(0.05, 0.1), (0.1, 0.1), (0.11, 0.2), (0.5, 0.5), (0.51, 0.6), (0.9, 0.9), (0.8, 0.8)],
)
def test_the_threshold_is_the_conformal_quantile(level: float, threshold: float) -> None:
    """Of 9 scores that of rank ceil(10 * level)."""
    scores = [0.1 * at for at in (9, 1, 8, 2, 7, 3, 6, 4, 5)]
    assert Nonconformity.of(scores).threshold(level) == pytest.approx(threshold)


def test_thresholds_of_many_listings_are_stored_in_few_and_never_too_low() -> None:
    scores = np.random.default_rng(3).random(40_017).round(6)
    group = Nonconformity.of(scores.tolist())
    assert (group.listings, group.reached, len(group.scores)) == (40_017, 40_017, 5_000)
    ordered = np.sort(scores)
    for level in np.linspace(0.001, 0.9998, 500).tolist():
        exact = math.ceil(40_018 * level)
        threshold = group.threshold(level)
        assert threshold is not None
        assert ordered[exact - 1] <= threshold <= ordered[min(exact + 8, 40_016)]
        held = int((scores <= threshold).sum())
        assert held - 8 <= group.at_most(threshold) <= held


def test_a_thousand_listings_are_stored_exactly() -> None:
    scores = np.random.default_rng(4).random(1_000).round(6)
    group = Nonconformity.of(scores.tolist())
    assert group.scores == tuple(np.sort(scores).tolist())
    assert group.threshold(0.9) == np.sort(scores)[math.ceil(1_001 * 0.9) - 1]


def test_a_missed_truth_counts_against_the_coverage() -> None:
    group = Nonconformity.of([0.2, MISSED, 0.4, 0.1])
    assert (group.listings, group.reached, group.scores) == (4, 3, (0.1, 0.2, 0.4))
    assert group.highest_level == 0.6
    assert [group.threshold(level) for level in (0.2, 0.4, 0.6, 0.61)] == [0.1, 0.2, 0.4, None]


def test_every_decision_has_its_own_threshold_and_all_share_one_for_a_shift() -> None:
    scores = {
        "match": [0.01] * 9_900 + [0.9] * 100,
        "review": np.linspace(0.01, 1, 100).tolist(),
        "no_match": [0.3] * 100,
    }
    sets = CandidateSets.from_scores(scores, seed=5)
    own = [group.threshold(0.9) for group in sets.groups.values()]
    assert own == [0.01, pytest.approx(0.91), 0.3]
    # Rank ceil(10,201 * (1 - 0.1 / 4)) = 9,946 of all: 9,929 are below 0.3, 101 equal it.
    assert [sets.threshold(0.9, decision) for decision in DECISIONS] == [0.3, own[1], 0.3]
    # Rank 10,074: 10,030 are at most 0.3, then one each 0.01.
    assert [sets.threshold(0.95, decision) for decision in DECISIONS] == [0.74, 0.96, 0.74]
    assert sets.summary() == {
        "method": METHOD,
        "listings": {"match": 10_000, "review": 100, "no_match": 100},
        "seed": 5,
    }
    with pytest.raises(InputError, match="expected a decision among match, review, no_match"):
        sets.threshold(0.9, "maybe")


@pytest.mark.parametrize("few", [0, 1, 99])
def test_decisions_with_few_listings_share_one_threshold(few: int) -> None:
    sets = CandidateSets.from_scores({"match": [0.1] * 3_000, "review": [0.8] * few}, seed=4)
    assert (sets.summary()["listings"], sets.seed) == ({"any": 3_000 + few}, 4)
    assert sets.threshold(0.5, "match") == sets.threshold(0.5, "review") == 0.1


def test_a_shift_that_too_few_listings_could_promise_admits_every_outcome() -> None:
    sets = CandidateSets.from_scores({"match": [0.1] * 150 + [MISSED]})
    assert sets.threshold(0.9, "match") == 0.1
    assert sets.threshold(0.95, "match") == 1.0


@pytest.mark.parametrize("level", [0, 1, -0.5, 1.5, math.nan, math.inf])
def test_a_coverage_is_between_0_and_1(level: float) -> None:
    message = f"coverage must be above 0 and below 1, such as 0.95, got {level!r}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        one_group([0.5] * 9).threshold(level, "match")


def test_a_coverage_too_high_for_the_listings_names_the_highest() -> None:
    scores = {"match": [0.1] * 200, "review": [0.2] * 120 + [MISSED] * 2, "no_match": [0.1] * 150}
    sets = CandidateSets.from_scores(scores)
    assert sets.threshold(0.9756, "match") == 1.0
    message = (
        "coverage 0.98 is out of reach: the highest these candidate sets can promise is 0.9756 "
        "(calibration listings whose truth was among the candidates: match 200 of 200, review "
        "120 of 122, no_match 150 of 150); ask for less, or train on more listings with "
        "`rerank train-ltr --scale`"
    )
    for decision in DECISIONS:  # of whatever decision: a file is refused at its first row
        with pytest.raises(InputError, match=f"^{re.escape(message)}"):
            sets.threshold(0.98, decision)


@given(
    st.lists(st.one_of(st.floats(0, 1), st.just(MISSED)), max_size=40),
    st.floats(0.01, 0.99),
)
def test_a_threshold_is_the_least_score_that_holds_the_level_by_definition(
    scores: list[float], level: float
) -> None:
    """So many of the scores, and of one more listing that is as hard as any, are at most it."""
    group = Nonconformity.of(scores)
    finite = sorted(round(score, 6) for score in scores if score != MISSED)
    enough = [s for at, s in enumerate(finite, 1) if at >= (len(scores) + 1) * level - 1e-9]
    assert group.threshold(level) == (enough[0] if enough else None)
    for score in (0.0, 0.5, 1.0, *finite):
        found = group.at_most(score)
        assert (type(found), found) == (int, sum(each <= score for each in finite))
    assert group.highest_level == len(finite) / (len(scores) + 1)


@pytest.mark.parametrize("odd", [-0.1, 1.1, math.nan, -math.inf])
def test_scores_outside_their_range_are_refused(odd: float) -> None:
    with pytest.raises(InputError, match=re.escape(f"in [0, 1] or infinite, got {odd!r}")):
        one_group([0.5, odd, 7.0])


def test_nothing_to_calibrate_on_is_refused() -> None:
    message = "candidate sets need listings to calibrate on, got none"
    with pytest.raises(InputError, match=f"^{message}$"):
        one_group([])


def test_the_threshold_over_all_has_the_least_rank_that_holds_a_shifted_level() -> None:
    """Of 199 scores that of rank 200 * .95 and no higher, where every fourth may be a hard one."""
    sets = CandidateSets.from_scores({"match": [at / 200 for at in range(1, 200)]})
    assert (sets.threshold(0.8, "match"), sets.seed) == (0.95, 0)


# --- sets ---

OUTCOMES = {"a": 0.5, "b": 0.3, "c": 0.05, NO_MATCH: 0.15}


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.2, ("a",)),
        (0.5, ("a",)),
        (0.69, ("a",)),
        (0.7, ("a", "b")),
        (0.849, ("a", "b")),
        (0.85, ("a", "b", NO_MATCH)),
        (0.95, ("a", "b", NO_MATCH, "c")),
        (1.0, ("a", "b", NO_MATCH, "c")),
    ],
)
def test_a_set_holds_every_outcome_near_enough(threshold: float, expected: tuple[str, ...]) -> None:
    assert one_group([threshold] * 20).select(OUTCOMES, "match", level=0.9) == expected


def test_the_most_probable_outcome_stands_alone_where_none_is_near_enough() -> None:
    sets = one_group([0.0] * 20)
    assert sets.select(OUTCOMES, "review", level=0.9) == ("a",)
    assert sets.select({"a": 0.2, NO_MATCH: 0.8}, "review") == (NO_MATCH,)


def test_equal_probabilities_keep_their_order() -> None:
    sets = one_group([0.7] * 20)
    assert sets.select({"b": 0.3, "a": 0.3, NO_MATCH: 0.4}, "match") == (NO_MATCH, "b", "a")
    assert sets.select({"b": 0.1, "a": 0.1}, "match") == ("b",)


def test_no_outcomes_are_refused() -> None:
    with pytest.raises(InputError, match=r"^expected at least one outcome, got none$"):
        one_group([0.7] * 20).select({}, "match")


@given(
    scores=st.lists(st.floats(0, 1), min_size=10, max_size=30),
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=10),
)
def test_sets_are_nested_and_never_empty(scores: list[float], weights: list[float]) -> None:
    sets = one_group(scores)
    total = max(1.0, sum(weights))
    outcomes = {f"m{at}": weight / total for at, weight in enumerate(weights)}
    smaller: tuple[str, ...] = ()
    for level in LEVELS:
        found = sets.select(outcomes, "match", level=level)
        assert found[: len(smaller)] == smaller
        assert outcomes[found[0]] == max(outcomes.values())
        smaller = found


# --- outcomes ---


def candidate(model: str, probability: float) -> ScoredCandidate:
    return ScoredCandidate(model.lower(), model, 8, "PCIe", 0.5, 1.0, probability, 1.0)


def test_what_the_models_leave_is_no_match() -> None:
    shown = [candidate("A", 0.6), candidate("B", 0.1), candidate("A", 0.6)]
    assert outcome_probabilities(shown) == {"A": 0.6, "B": 0.1, NO_MATCH: pytest.approx(0.3)}
    assert outcome_probabilities([]) == {NO_MATCH: 1.0}
    over = [candidate("A", 0.7), candidate("B", 0.3 + 1e-12)]
    assert outcome_probabilities(over)[NO_MATCH] == 0.0


def test_nonconformity_is_what_the_truth_lacks() -> None:
    assert nonconformity({"A": 0.6, NO_MATCH: 0.4}, "A") == 0.4
    assert nonconformity({"A": 0.6, NO_MATCH: 0.4}, NO_MATCH) == 0.6
    assert nonconformity({"A": 0.6, NO_MATCH: 0.4}, "B") == math.inf


# --- coverage ---


def draw(rng: np.random.Generator, n: int) -> tuple[list[dict[str, float]], list[str], list[str]]:
    """Draw listings: outcomes of 6 models, a truth that follows other odds, a decision."""
    logits = rng.normal(size=(n, 6)) * rng.choice([0.5, 6.0], size=(n, 1))
    said, true = np.exp(logits), np.exp(0.6 * logits)
    said /= said.sum(axis=1, keepdims=True)
    true /= true.sum(axis=1, keepdims=True)
    sold = (true.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    missed = rng.random(n) < 0.004
    outcomes = [{f"m{at}": float(p) for at, p in enumerate(row)} for row in said]
    truths = ["other" if lost else f"m{at}" for at, lost in zip(sold, missed, strict=True)]
    best = said.max(axis=1)
    return outcomes, truths, np.where(best > 0.9, "match", "review").tolist()


def calibrated(rng: np.random.Generator, n: int) -> CandidateSets:
    scores: dict[str, list[float]] = {"match": [], "review": []}
    for outcomes, truth, decision in zip(*draw(rng, n), strict=True):
        scores[decision].append(nonconformity(outcomes, truth))
    return CandidateSets.from_scores(scores)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_the_coverage_is_reached_for_every_decision(level: float) -> None:
    """Over 200 calibrations: mean coverage at least the level, less 3 standard errors."""
    repeats, fresh = 200, 100
    hits: dict[str, list[bool]] = {"match": [], "review": []}
    alone: list[bool] = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        sets = calibrated(rng, 600)
        assert set(sets.groups) == {"match", "review"}
        own = sets.groups["review"].threshold(level)
        assert own is not None
        for outcomes, truth, decision in zip(*draw(rng, fresh), strict=True):
            hits[decision].append(truth in sets.select(outcomes, decision, level=level))
            if decision == "review":
                alone.append(nonconformity(outcomes, truth) <= own)
    for decision, held in hits.items():
        # A repeat's listings share their threshold, whose coverage varies with ~1/sqrt(n).
        error = math.sqrt(level * (1 - level) * (1 / len(held) + 1 / (repeats * 200)))
        assert np.mean(held) >= level - 3 * error, decision
    assert np.mean(alone) <= level + 0.02  # a decision's own threshold buys it with no large sets


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.8, 0.9])
def test_the_coverage_is_reached_where_hard_listings_are_more_frequent(
    level: float,
) -> None:
    """Of listings with the right best outcome one in `SHIFT` is kept: no ratio is above it."""
    held: list[bool] = []
    own: list[bool] = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sets = calibrated(rng, 2_000)
        for outcomes, truth, decision in zip(*draw(rng, 400), strict=True):
            if max(outcomes, key=lambda name: outcomes[name]) == truth and rng.random() > 1 / SHIFT:
                continue
            threshold = sets.groups[decision].threshold(level)
            assert threshold is not None
            own.append(nonconformity(outcomes, truth) <= threshold)
            held.append(truth in sets.select(outcomes, decision, level=level))
    error = math.sqrt(level * (1 - level) / len(held))
    assert np.mean(held) >= level - 3 * error
    assert np.mean(own) < level - 0.05  # without that threshold it is not reached


# --- gold ---


def gold(kind: GoldKind, *models: str) -> GoldListing:
    return GoldListing("17", "a title", "", kind, models)


@pytest.mark.parametrize(
    ("found", "listing", "expected"),
    [
        (("GeForce RTX 4080",), gold(GoldKind.MATCH, "GeForce RTX 4080"), True),
        ((NO_MATCH, "Tesla T4"), gold(GoldKind.MATCH, "A2", "NVIDIA T4"), True),
        (("GeForce RTX 4080 SUPER", NO_MATCH), gold(GoldKind.MATCH, "GeForce RTX 4080"), False),
        ((NO_MATCH,), gold(GoldKind.NIL), True),
        (("GeForce RTX 4080", NO_MATCH), gold(GoldKind.NIL), True),
        (("GeForce RTX 4080",), gold(GoldKind.NIL), False),
    ],
)
def test_a_set_covers_any_accepted_name(
    found: tuple[str, ...], listing: GoldListing, expected: bool
) -> None:
    assert covered(found, listing) is expected


def test_an_ambiguous_listing_has_no_coverage() -> None:
    with pytest.raises(InputError, match="listing '17' is ambiguous"):
        covered((NO_MATCH,), gold(GoldKind.AMBIGUOUS))


# --- with a model ---

SETS = CandidateSets.from_scores(
    {
        name: np.linspace(0, top, 150).tolist()
        for name, top in zip(DECISIONS, (0.5, 1, 0.7), strict=True)
    },
    seed=9,
)


@pytest.fixture(scope="module")
def model(linear_scorer: LinearScorer) -> RerankModel:
    weights = {"name_quality": 1.0, "memory_fit": 0.5}
    ranker = FeatureRanker(OnnxTrees(linear_scorer(CANDIDATE_FEATURES, weights)))
    offer = OnnxTrees(linear_scorer(OFFER_FEATURES, {"named": 3.0, "exact_rivals": -2.5}))
    return RerankModel(
        "",
        ranker,
        "",
        offer,
        Calibrator((-4.0, 4.0), (0.0, 1.0)),
        Thresholds(0.8, 0.3, 0.99),
        "model-1",
        candidate_sets=SETS,
    )


def resolver_of(retriever: Retriever, model: RerankModel) -> Resolver:
    return GpuResolver(retriever, model, CueReader({"box": ["box"]}), index_version="index-1")


def test_a_resolver_selects_from_what_it_resolved(
    tiny_retriever: Retriever, model: RerankModel
) -> None:
    resolver = resolver_of(tiny_retriever, model)
    for title in ("RTX 3080 10GB", "RTX 4060 or 7970", "see photos"):
        answer = resolver.resolve(Listing("1", title))
        outcomes = outcome_probabilities(answer.candidates)
        for level in LEVELS:
            threshold = SETS.threshold(level, answer.decision)
            near = {name for name, p in outcomes.items() if round(1 - p, 6) <= threshold}
            found = resolver.candidate_set(answer, coverage=level)
            assert set(found) == (near or {max(outcomes, key=lambda name: outcomes[name])})
        assert resolver.candidate_set(answer) == resolver.candidate_set(answer, coverage=0.95)


def test_a_listing_without_candidates_sells_none(
    tiny_retriever: Retriever, model: RerankModel
) -> None:
    resolver = resolver_of(tiny_retriever, model)
    bare = replace(resolver.resolve(Listing("1", "RTX 3080")), candidates=())
    assert resolver.candidate_set(bare) == (NO_MATCH,)


def test_an_older_model_says_that_it_has_no_candidate_sets(
    tiny_retriever: Retriever, model: RerankModel
) -> None:
    older = resolver_of(tiny_retriever, replace(model, candidate_sets=None))
    answer = older.resolve(Listing("1", "RTX 3080"))
    message = (
        "model model-1 has no candidate sets: it was trained before there were any; train again "
        "with `rerank train-ltr`"
    )
    with pytest.raises(ArtifactError, match=f"^{re.escape(message)}$"):
        older.candidate_set(answer)


@pytest.mark.slow
def test_calibration_is_the_same_for_the_same_seed(
    make_retriever: Callable[..., Retriever],
    make_gpu: Callable[..., GpuRecord],
    model: RerankModel,
) -> None:
    records = [make_gpu(f"GeForce GTX {number}", 4) for number in range(950, 1000)]
    resolver = resolver_of(make_retriever(records), model)
    shares: list[float] = []
    sets = calibrate_candidate_sets(
        resolver, listings=120, nil_share=0.4, seed=3, progress=shares.append
    )
    assert sets.seed == 3
    assert sum(group.listings for group in sets.groups.values()) == 120
    assert shares == [0.0]
    assert sets == calibrate_candidate_sets(resolver, listings=120, nil_share=0.4, seed=3)
    other = calibrate_candidate_sets(resolver, listings=120, nil_share=0.4, seed=4)
    assert replace(other, seed=3) != sets


# --- the model folder ---


def save(folder: Path, linear_scorer: LinearScorer, **candidate_sets: Any) -> str:
    return save_model(
        folder,
        ranker=("ranker", linear_scorer(CANDIDATE_FEATURES, {})),
        offer=("offer", linear_scorer(OFFER_FEATURES, {})),
        calibrator=Calibrator((-4.0, 4.0), (0.0, 1.0)),
        thresholds=Thresholds(0.8, 0.3, 0.99),
        parameters={"seed": 7},
        **candidate_sets,
    )


def test_candidate_sets_survive_json() -> None:
    assert CandidateSets.from_dict(json.loads(json.dumps(SETS.as_dict()))) == SETS


def sets_with(**changes: Any) -> dict[str, Any]:
    """What a file says of sets with one group, of which some values are others."""
    group = {"listings": 3, "reached": 2, "scores": [0.1, 1.0]}
    group |= {name: value for name, value in changes.items() if name in group}
    content = {"groups": {"any": group}, "seed": 1}
    return content | {name: value for name, value in changes.items() if name in content}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scores": [0.3, 0.2]}, "scores: expected numbers that rise"),
        ({"scores": [0.3, 1.1]}, "scores: expected numbers from 0 to 1, found 1.1"),
        ({"scores": [0.3]}, "expected 2 scores, found 1"),
        *(
            ({"listings": n, "reached": m}, f"expected how many .* found {n!r} and {m!r}")
            for n, m in ((1, 2), (3, -1), (3, 2.0), (True, 1), ("3", 2))
        ),
        ({"groups": {}}, r"groups: expected match, review, no_match, or any, found \[\]"),
        ({"groups": {"x": sets_with()["groups"]["any"]}}, r"or any, found \['x'\]"),
        *(({"seed": seed}, f"expected a seed, found {seed!r}$") for seed in (1.5, True, None)),
    ],
)
def test_what_no_calibration_gives_is_refused(changes: dict[str, Any], said: str) -> None:
    assert CandidateSets.from_dict(sets_with())
    with pytest.raises(ValueError, match=f"^{said}" if said[0] != "o" else said):
        CandidateSets.from_dict(sets_with(**changes))


def test_groups_without_a_reached_truth_and_all_groups_are_read() -> None:
    none = sets_with(reached=0, scores=[])
    groups = dict.fromkeys(("any", *DECISIONS), none["groups"]["any"])
    found = CandidateSets.from_dict(none | {"groups": groups})
    assert [group.reached for group in found.groups.values()] == [0] * 4


def test_loaded_thresholds_are_those_that_were_saved(
    tmp_path: Path, linear_scorer: LinearScorer
) -> None:
    rng = np.random.default_rng(8)
    sets = CandidateSets.from_scores({name: rng.random(3_000).tolist() for name in DECISIONS})
    save(tmp_path / "m", linear_scorer, candidate_sets=sets)
    loaded = RerankModel.load(tmp_path / "m").candidate_sets
    assert loaded == sets
    for level in np.linspace(0.01, 0.999, 40).tolist():
        for decision in DECISIONS:
            assert loaded.threshold(level, decision) == sets.threshold(level, decision)
    manifest = read_manifest(tmp_path / "m", kind="ranker", format_version=MODEL_FORMAT, remedy="-")
    assert "candidate_sets.json" in manifest.files
    assert manifest.parameters["candidate_sets"] == sets.summary()


def test_a_folder_without_candidate_sets_loads(tmp_path: Path, linear_scorer: LinearScorer) -> None:
    save(tmp_path / "m", linear_scorer)
    assert RerankModel.load(tmp_path / "m").candidate_sets is None
    assert not (tmp_path / "m" / "candidate_sets.json").exists()
