"""Metrics: hand numbers, independent implementations, properties, the empty and partial grid."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, P, Qrel, R, ScoredDoc, nDCG
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    ndcg_score,
    roc_auc_score,
)

from rerank.evaluation import metrics
from rerank.evaluation.metrics import METRICS, Metric
from rerank.index.errors import InputError

INF = np.inf
SEED = 5


def floats(*values: float) -> Any:
    return np.array(values, np.float64)


def bools(*values: int) -> Any:
    return np.array(values, np.bool_)


def ndcg(grades: Any, ideal: Any, cutoff: int) -> float:
    return float(metrics.normalised_gain(grades, ideal, cutoff).mean())


def gain(ours: Any, theirs: Any) -> float | None:
    return metrics.AVERAGE(ours.astype(float) - theirs.astype(float))


# --- hand numbers ---------------------------------------------------------------------------


def test_rank_metrics_by_hand():
    ranks = floats(1, 2, 4, INF)
    assert metrics.PRECISION_AT_1(ranks) == 0.25
    assert metrics.recall(3)(ranks) == 0.5
    assert metrics.recall(10)(ranks) == 0.75
    assert metrics.MRR(ranks) == (1 + 0.5 + 0.25 + 0) / 4


def test_a_listing_without_candidates_is_a_miss_and_counted():
    assert metrics.PRECISION_AT_1(floats(1, INF)) == 0.5
    assert metrics.recall(20)(floats(1, INF)) == 0.5
    assert metrics.MRR(floats(INF)) == 0.0


def test_ndcg_by_hand():
    grades = np.array([[2, 0, 0], [0, 2, 0], [1, 0, 0], [0, 0, 0]], float)
    ideal = np.full((4, 1), 2.0)
    expected = (1 + 1 / np.log2(3) + 0.5 + 0) / 4
    assert ndcg(grades, ideal, 10) == pytest.approx(expected)
    assert ndcg(grades, ideal, 1) == pytest.approx((1 + 0 + 0.5 + 0) / 4)


def test_roc_auc_by_hand():
    # Pairs (right, wrong): .9>.3, .9>.5, .5>.3, .5=.5 -> (3 + 1/2) / 4.
    assert metrics.ROC_AUC(floats(0.9, 0.3, 0.5, 0.5), bools(1, 0, 1, 0)) == 0.875
    assert metrics.ROC_AUC(floats(0.9, 0.1), bools(1, 0)) == 1.0
    assert metrics.ROC_AUC(floats(0.9, 0.1), bools(0, 1)) == 0.0


def test_calibration_error_by_hand():
    # Bin 9 holds .95 and 1.0 (mean .975, share .5), bin 0 holds .05 (share 0).
    expected = 2 / 3 * 0.475 + 1 / 3 * 0.05
    error = metrics.ECE(floats(0.95, 1.0, 0.05), bools(1, 0, 0))
    assert error == pytest.approx(expected)


def test_a_bin_owns_its_lower_edge():
    # .1 and .05 lie in different bins: their gaps of .1 and -.95 must not cancel out.
    error = metrics.ECE(floats(0.1, 0.05), bools(0, 1))
    assert error == pytest.approx((0.1 + 0.95) / 2)


def test_brier_by_hand():
    assert metrics.BRIER(floats(0.8, 0.4), bools(1, 0)) == pytest.approx((0.04 + 0.16) / 2)


def test_average_precision_by_hand():
    # Right at places 1 and 3 of 4: (1 / 1 + 2 / 3) / 2.
    probability, correct = floats(0.9, 0.8, 0.7, 0.1), bools(1, 0, 1, 0)
    assert metrics.PR_AUC(probability, correct) == pytest.approx((1 + 2 / 3) / 2)
    # .8 and .8 come together: recall rises from 0 to 1 at a precision of 1 / 2.
    assert metrics.PR_AUC(floats(0.8, 0.8), bools(1, 0)) == 0.5


def test_area_under_risk_coverage_by_hand():
    # Risks of the best 1, 2, 3, 4 listings: 0, 1/2, 1/3, 2/4.
    probability, correct = floats(0.9, 0.8, 0.7, 0.1), bools(1, 0, 1, 0)
    expected = (0 + 1 / 2 + 1 / 3 + 2 / 4) / 4
    assert metrics.AURC(probability, correct) == pytest.approx(expected)
    # A tie of one right and one wrong after a right one: 0, then 1/4 on average, then 1/3.
    value = metrics.AURC(floats(0.9, 0.5, 0.5), bools(1, 0, 1))
    assert value == pytest.approx((0 + (1 / 2 + 0) / 2 + 1 / 3) / 3)


def test_accepted_share_at_precision_by_hand():
    probability, correct = floats(0.9, 0.8, 0.7, 0.6, 0.1), bools(1, 0, 1, 1, 0)
    shares = {
        precision: metrics.share_at_precision(precision)(probability, correct)
        for precision in (0.5, 0.6, 0.75, 0.76, 1.0)
    }
    assert shares == {0.5: 1.0, 0.6: 1.0, 0.75: 0.8, 0.76: 0.2, 1.0: 0.2}


def test_accepted_share_at_precision_accepts_ties_together_or_not_at_all():
    tied = floats(0.9, 0.9, 0.5)
    assert metrics.share_at_precision(0.6)(tied, bools(1, 0, 1)) == 1.0
    assert metrics.share_at_precision(0.7)(tied, bools(1, 0, 1)) == 0.0
    assert metrics.share_at_precision(0.01)(tied, bools(0, 0, 0)) == 0.0


@pytest.mark.parametrize(
    "metric",
    [
        metrics.FALSE_ACCEPTS,
        metrics.ACCEPTED_SHARE,
        metrics.PRECISION_OF_ACCEPTED,
        metrics.MEMORY_VARIANT_ACCURACY,
    ],
)
def test_shares_by_hand(metric: Callable[[Any], float | None]):
    assert metric(bools(1, 0, 0, 1, 1)) == 0.6


def test_gain_by_hand():
    assert gain(bools(1, 1, 0, 1), bools(0, 1, 1, 0)) == 0.25
    assert gain(bools(0, 0), bools(1, 1)) == -1.0


# --- independent implementations ------------------------------------------------------------

outcomes = st.lists(
    st.tuples(st.floats(0, 1, allow_subnormal=False), st.booleans()), min_size=1, max_size=60
)


def columns(pairs: list[tuple[float, bool]]) -> tuple[Any, Any]:
    probability, correct = zip(*pairs, strict=True)
    return np.array(probability, np.float64), np.array(correct, np.bool_)


@settings(deadline=None)
@given(outcomes)
def test_roc_auc_equals_scikit_learn(pairs: list[tuple[float, bool]]):
    probability, correct = columns(pairs)
    if correct.all() or not correct.any():
        assert metrics.ROC_AUC(probability, correct) is None
    else:
        expected = roc_auc_score(correct, probability)
        assert metrics.ROC_AUC(probability, correct) == pytest.approx(expected)


@settings(deadline=None)
@given(outcomes)
def test_brier_equals_scikit_learn(pairs: list[tuple[float, bool]]):
    probability, correct = columns(pairs)
    expected = brier_score_loss(correct, probability, labels=[False, True])
    assert metrics.BRIER(probability, correct) == pytest.approx(expected)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=12, max_size=12), min_size=1, max_size=8),
    st.integers(1, 12),
)
def test_ndcg_equals_scikit_learn(rows: list[list[int]], cutoff: int):
    grades = np.array(rows, np.float64)
    ideal = -np.sort(-grades, axis=1)
    order = np.tile(np.arange(12, 0, -1), (len(rows), 1))
    expected = ndcg_score(grades, order, k=cutoff)
    assert ndcg(grades, ideal, cutoff) == pytest.approx(expected)


@settings(deadline=None)
@given(outcomes)
def test_average_precision_equals_scikit_learn(pairs: list[tuple[float, bool]]):
    probability, correct = columns(pairs)
    if correct.any():
        expected = average_precision_score(correct, probability)
        assert metrics.PR_AUC(probability, correct) == pytest.approx(expected)
    else:
        assert metrics.PR_AUC(probability, correct) is None


places_of = st.lists(st.one_of(st.integers(1, 24), st.none()), min_size=1, max_size=12)


def ranked(listing: int, docs: list[str]) -> list[Any]:
    """A run of ir-measures that holds the documents in this order."""
    return [ScoredDoc(str(listing), doc, float(-place)) for place, doc in enumerate(docs)]


@settings(deadline=None)
@given(places_of)
def test_rank_metrics_equal_ir_measures(places: list[int | None]):
    """24 candidates a listing, one of them right, at a place or nowhere."""
    judged, run = [], []
    for listing, place in enumerate(places):
        judged.append(Qrel(str(listing), "right", 1))
        docs = [f"wrong-{number}" for number in range(23 if place else 24)]
        run += ranked(
            listing, docs if place is None else [*docs[: place - 1], "right", *docs[place - 1 :]]
        )
    ranks = np.array([INF if place is None else place for place in places], np.float64)
    expected = ir_measures.calc_aggregate([P @ 1, R @ 3, R @ 10, R @ 20, RR], judged, run)
    assert {
        P @ 1: metrics.PRECISION_AT_1(ranks),
        **{R @ cutoff: metrics.recall(cutoff)(ranks) for cutoff in (3, 10, 20)},
        RR: metrics.MRR(ranks),
    } == {measure: pytest.approx(value) for measure, value in expected.items()}


def test_a_listing_without_candidates_counts_in_ir_measures_too():
    judged = [Qrel("0", "right", 1), Qrel("1", "right", 1)]
    expected = ir_measures.calc_aggregate([P @ 1, RR], judged, ranked(0, ["right"]))
    ranks = floats(1, INF)
    assert expected[P @ 1] == metrics.PRECISION_AT_1(ranks) == 0.5
    assert expected[RR] == metrics.MRR(ranks) == 0.5


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=12, max_size=12), min_size=1, max_size=8),
    st.sampled_from([1, 5, 10]),
)
def test_graded_ndcg_equals_ir_measures(rows: list[list[int]], cutoff: int):
    """Its default gain is the grade, as ours is; `dcg="exp-log2"` would be another metric."""
    judged, run = [], []
    for listing, grades in enumerate(rows):
        docs = [f"doc-{place}" for place in range(len(grades))]
        judged += [Qrel(str(listing), doc, g) for doc, g in zip(docs, grades, strict=True)]
        run += ranked(listing, docs)
    grades = np.array(rows, np.float64)
    expected = ir_measures.calc_aggregate([nDCG @ cutoff], judged, run)[nDCG @ cutoff]
    found = ndcg(grades, -np.sort(-grades, axis=1), cutoff)
    assert found == pytest.approx(expected)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.5, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6
    )
)
def test_area_under_risk_coverage_equals_the_mean_over_all_orders_of_ties(pairs: Any):
    areas = []
    for order in itertools.permutations(pairs):
        falling = sorted(order, key=lambda pair: -pair[0])  # stable: ties stay as permuted
        wrong = np.cumsum([not right for _, right in falling])
        areas.append((wrong / np.arange(1, len(pairs) + 1)).mean())
    found = metrics.AURC(*columns(pairs))
    assert found == pytest.approx(np.mean(areas))


@settings(deadline=None)
@given(outcomes, st.sampled_from([0.05, 0.5, 0.8, 0.95, 1.0]))
def test_accepted_share_at_precision_equals_a_loop_over_thresholds(pairs: Any, precision: float):
    probability, correct = columns(pairs)
    shares = [0.0]
    for threshold in probability:
        accepted = probability >= threshold
        if correct[accepted].mean() >= precision:
            shares.append(accepted.mean())
    found = metrics.share_at_precision(precision)(probability, correct)
    assert found == pytest.approx(max(shares))


@settings(deadline=None)
@given(outcomes)
def test_calibration_error_equals_a_loop_over_bins(pairs: list[tuple[float, bool]]):
    probability, correct = columns(pairs)
    place = [min(int(p * 10), 9) for p in probability.tolist()]
    expected = 0.0
    for number in range(10):
        inside = [row for row, at in enumerate(place) if at == number]
        if inside:
            gap = abs(probability[inside].mean() - correct[inside].mean())
            expected += len(inside) / len(pairs) * gap
    error = metrics.ECE(probability, correct)
    assert error == pytest.approx(expected, abs=1e-12)


# --- properties -----------------------------------------------------------------------------

ranks_of = st.lists(st.one_of(st.integers(1, 40).map(float), st.just(INF)), min_size=1)


@settings(deadline=None)
@given(ranks_of)
def test_rank_metrics_stay_in_range_and_agree(values: list[float]):
    ranks = np.array(values)
    recalls = [metrics.recall(cutoff)(ranks) for cutoff in (1, 3, 10, 20)]
    assert all(r is not None and 0 <= r <= 1 for r in recalls)
    assert recalls == sorted(recalls)  # type: ignore[type-var]
    reciprocal = metrics.MRR(ranks)
    assert reciprocal is not None
    assert recalls[0] <= reciprocal + 1e-12  # type: ignore[operator]
    assert reciprocal <= 1


PROBABILITY_METRICS = [metric for metric in METRICS if metric.columns[0] == "probability"]


@pytest.mark.parametrize("metric", PROBABILITY_METRICS, ids=lambda metric: metric.name)
@settings(deadline=None)
@given(outcomes, st.randoms(use_true_random=False))
def test_probability_metrics_stay_in_range_whatever_the_order(
    metric: Metric, pairs: Any, random: Any
):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    value, again = metric(*columns(pairs)), metric(*columns(shuffled))
    assert value == pytest.approx(again, abs=1e-12)
    assert value is None or metric.lowest - 1e-12 <= value <= metric.highest + 1e-12


@settings(deadline=None)
@given(outcomes)
def test_right_answers_alone_are_the_best_and_wrong_ones_the_worst(pairs: Any):
    probability, _ = columns(pairs)
    right, wrong = np.ones(len(pairs), np.bool_), np.zeros(len(pairs), np.bool_)
    assert metrics.PR_AUC(probability, right) == pytest.approx(1.0)
    assert metrics.AURC(probability, right) == 0.0
    assert metrics.AURC(probability, wrong) == pytest.approx(1.0)
    assert metrics.share_at_precision(1.0)(probability, right) == 1.0
    assert metrics.share_at_precision(0.5)(probability, wrong) == 0.0


@settings(deadline=None)
@given(outcomes)
def test_with_all_probabilities_equal_only_the_share_right_counts(pairs: Any):
    _, correct = columns(pairs)
    equal, share = np.full(len(pairs), 0.5), correct.mean()
    assert metrics.AURC(equal, correct) == pytest.approx(1 - share)
    if correct.any():
        assert metrics.PR_AUC(equal, correct) == pytest.approx(share)


@settings(deadline=None)
@given(outcomes)
def test_roc_auc_depends_on_the_order_of_probabilities_only(pairs: list[tuple[float, bool]]):
    probability, correct = columns(pairs)
    _, order = np.unique(probability, return_inverse=True)
    assert metrics.ROC_AUC(probability, correct) == metrics.ROC_AUC(order / 100, correct)


# --- the empty and faulty grid --------------------------------------------------------------

NONE = np.zeros(0)
NO_OUTCOMES = np.zeros(0, np.bool_)


@pytest.mark.parametrize(
    "value",
    [
        metrics.PRECISION_AT_1(NONE),
        metrics.recall(3)(NONE),
        metrics.MRR(NONE),
        metrics.NDCG_AT_10(np.zeros((0, 10))),
        metrics.ROC_AUC(NONE, NO_OUTCOMES),
        metrics.ECE(NONE, NO_OUTCOMES),
        metrics.BRIER(NONE, NO_OUTCOMES),
        metrics.PR_AUC(NONE, NO_OUTCOMES),
        metrics.AURC(NONE, NO_OUTCOMES),
        metrics.share_at_precision(0.99)(NONE, NO_OUTCOMES),
        metrics.FALSE_ACCEPTS(NO_OUTCOMES),
        metrics.ACCEPTED_SHARE(NO_OUTCOMES),
        metrics.PRECISION_OF_ACCEPTED(NO_OUTCOMES),
        metrics.MEMORY_VARIANT_ACCURACY(NO_OUTCOMES),
        gain(NO_OUTCOMES, NO_OUTCOMES),
        metrics.ROC_AUC(floats(0.2, 0.4), bools(1, 1)),
        metrics.ROC_AUC(floats(0.2, 0.4), bools(0, 0)),
        metrics.PR_AUC(floats(0.2, 0.4), bools(0, 0)),
    ],
)
def test_nothing_measured_is_none(value: float | None):
    assert value is None


def test_a_listing_with_nothing_to_gain_counts_as_zero():
    grades, ideal = np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0.0], [2.0]])
    assert ndcg(grades, ideal, 2) == 0.5


def test_faulty_arguments_are_errors():
    with pytest.raises(InputError, match="cutoff must be at least 1, got 0"):
        metrics.recall(0)(floats(1))
    with pytest.raises(InputError, match="got 0, 1 and 1"):
        ndcg(np.ones((1, 1)), np.ones((1, 1)), 0)
    with pytest.raises(InputError, match="as many ideals as listings, got 3, 1 and 2"):
        ndcg(np.ones((2, 1)), np.ones((1, 1)), 3)
    with pytest.raises(InputError, match="one length, got 2 and 1"):
        metrics.BRIER(floats(0.1, 0.2), bools(1))
    with pytest.raises(InputError, match="one length, got 2 and 1"):
        metrics.PR_AUC(floats(0.1, 0.2), bools(1))
    with pytest.raises(InputError, match="above 0 and up to 1, got 99"):
        metrics.share_at_precision(99)(floats(0.1), bools(1))
