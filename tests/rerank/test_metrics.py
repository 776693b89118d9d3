"""Metrics: hand numbers, independent implementations, properties, the empty and partial grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, ndcg_score, roc_auc_score

from index.errors import InputError
from rerank.evaluation import metrics
from rerank.evaluation.intervals import Figure, estimate

INF = np.inf
SEED = 5


def floats(*values: float) -> Any:
    return np.array(values, np.float64)


def bools(*values: int) -> Any:
    return np.array(values, np.bool_)


# --- hand numbers ---------------------------------------------------------------------------


def test_rank_metrics_by_hand():
    ranks = floats(1, 2, 4, INF)
    assert metrics.precision_at_1(ranks) == 0.25
    assert metrics.recall_at(ranks, 3) == 0.5
    assert metrics.recall_at(ranks, 10) == 0.75
    assert metrics.mean_reciprocal_rank(ranks) == (1 + 0.5 + 0.25 + 0) / 4


def test_a_listing_without_candidates_is_a_miss_and_counted():
    assert metrics.precision_at_1(floats(1, INF)) == 0.5
    assert metrics.recall_at(floats(1, INF), 20) == 0.5
    assert metrics.mean_reciprocal_rank(floats(INF)) == 0.0


def test_ndcg_by_hand():
    grades = np.array([[2, 0, 0], [0, 2, 0], [1, 0, 0], [0, 0, 0]], float)
    ideal = np.full((4, 1), 2.0)
    expected = (1 + 1 / np.log2(3) + 0.5 + 0) / 4
    assert metrics.ndcg_at(grades, ideal, 10) == pytest.approx(expected)
    assert metrics.ndcg_at(grades, ideal, 1) == pytest.approx((1 + 0 + 0.5 + 0) / 4)


def test_roc_auc_by_hand():
    # Pairs (right, wrong): .9>.3, .9>.5, .5>.3, .5=.5 -> (3 + 1/2) / 4.
    assert metrics.roc_auc(floats(0.9, 0.3, 0.5, 0.5), bools(1, 0, 1, 0)) == 0.875
    assert metrics.roc_auc(floats(0.9, 0.1), bools(1, 0)) == 1.0
    assert metrics.roc_auc(floats(0.9, 0.1), bools(0, 1)) == 0.0


def test_calibration_error_by_hand():
    # Bin 9 holds .95 and 1.0 (mean .975, share .5), bin 0 holds .05 (share 0).
    expected = 2 / 3 * 0.475 + 1 / 3 * 0.05
    error = metrics.expected_calibration_error(floats(0.95, 1.0, 0.05), bools(1, 0, 0))
    assert error == pytest.approx(expected)


def test_a_bin_owns_its_lower_edge():
    # .1 and .05 lie in different bins: their gaps of .1 and -.95 must not cancel out.
    error = metrics.expected_calibration_error(floats(0.1, 0.05), bools(0, 1))
    assert error == pytest.approx((0.1 + 0.95) / 2)


def test_brier_by_hand():
    assert metrics.brier_score(floats(0.8, 0.4), bools(1, 0)) == pytest.approx((0.04 + 0.16) / 2)


@pytest.mark.parametrize(
    "metric",
    [
        metrics.false_accept_rate,
        metrics.accepted_share,
        metrics.precision_of_accepted,
        metrics.memory_variant_accuracy,
    ],
)
def test_shares_by_hand(metric: Callable[[Any], float | None]):
    assert metric(bools(1, 0, 0, 1, 1)) == 0.6


def test_gain_by_hand():
    assert metrics.gain(bools(1, 1, 0, 1), bools(0, 1, 1, 0)) == 0.25
    assert metrics.gain(bools(0, 0), bools(1, 1)) == -1.0


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
        assert metrics.roc_auc(probability, correct) is None
    else:
        expected = roc_auc_score(correct, probability)
        assert metrics.roc_auc(probability, correct) == pytest.approx(expected)


@settings(deadline=None)
@given(outcomes)
def test_brier_equals_scikit_learn(pairs: list[tuple[float, bool]]):
    probability, correct = columns(pairs)
    expected = brier_score_loss(correct, probability, labels=[False, True])
    assert metrics.brier_score(probability, correct) == pytest.approx(expected)


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
    assert metrics.ndcg_at(grades, ideal, cutoff) == pytest.approx(expected)


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
    error = metrics.expected_calibration_error(probability, correct)
    assert error == pytest.approx(expected, abs=1e-12)


# --- properties -----------------------------------------------------------------------------

ranks_of = st.lists(st.one_of(st.integers(1, 40).map(float), st.just(INF)), min_size=1)


@settings(deadline=None)
@given(ranks_of)
def test_rank_metrics_stay_in_range_and_agree(values: list[float]):
    ranks = np.array(values)
    recalls = [metrics.recall_at(ranks, cutoff) for cutoff in (1, 3, 10, 20)]
    assert all(r is not None and 0 <= r <= 1 for r in recalls)
    assert recalls == sorted(recalls)  # type: ignore[type-var]
    reciprocal = metrics.mean_reciprocal_rank(ranks)
    assert reciprocal is not None
    assert recalls[0] <= reciprocal + 1e-12  # type: ignore[operator]
    assert reciprocal <= 1


@settings(deadline=None)
@given(outcomes, st.randoms(use_true_random=False))
def test_probability_metrics_stay_in_range_whatever_the_order(pairs: Any, random: Any):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    for metric in (metrics.roc_auc, metrics.expected_calibration_error, metrics.brier_score):
        value, again = metric(*columns(pairs)), metric(*columns(shuffled))
        assert value == pytest.approx(again, abs=1e-12)
        assert value is None or -1e-12 <= value <= 1 + 1e-12


@settings(deadline=None)
@given(outcomes)
def test_roc_auc_depends_on_the_order_of_probabilities_only(pairs: list[tuple[float, bool]]):
    probability, correct = columns(pairs)
    _, order = np.unique(probability, return_inverse=True)
    assert metrics.roc_auc(probability, correct) == metrics.roc_auc(order / 100, correct)


# --- the empty and faulty grid --------------------------------------------------------------

NONE = np.zeros(0)
NO_OUTCOMES = np.zeros(0, np.bool_)


@pytest.mark.parametrize(
    "value",
    [
        metrics.precision_at_1(NONE),
        metrics.recall_at(NONE, 3),
        metrics.mean_reciprocal_rank(NONE),
        metrics.ndcg_at(np.zeros((0, 10)), np.zeros((0, 1)), 10),
        metrics.roc_auc(NONE, NO_OUTCOMES),
        metrics.expected_calibration_error(NONE, NO_OUTCOMES),
        metrics.brier_score(NONE, NO_OUTCOMES),
        metrics.false_accept_rate(NO_OUTCOMES),
        metrics.accepted_share(NO_OUTCOMES),
        metrics.precision_of_accepted(NO_OUTCOMES),
        metrics.memory_variant_accuracy(NO_OUTCOMES),
        metrics.gain(NO_OUTCOMES, NO_OUTCOMES),
        metrics.roc_auc(floats(0.2, 0.4), bools(1, 1)),
        metrics.roc_auc(floats(0.2, 0.4), bools(0, 0)),
    ],
)
def test_nothing_measured_is_none(value: float | None):
    assert value is None


def test_a_listing_with_nothing_to_gain_counts_as_zero():
    grades, ideal = np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0.0], [2.0]])
    assert metrics.ndcg_at(grades, ideal, 2) == 0.5


def test_faulty_arguments_are_errors():
    with pytest.raises(InputError, match="cutoff must be at least 1, got 0"):
        metrics.recall_at(floats(1), 0)
    with pytest.raises(InputError, match="got 0, 1 and 1"):
        metrics.ndcg_at(np.ones((1, 1)), np.ones((1, 1)), 0)
    with pytest.raises(InputError, match="as many ideals as listings, got 3, 1 and 2"):
        metrics.ndcg_at(np.ones((2, 1)), np.ones((1, 1)), 3)
    with pytest.raises(InputError, match="one length, got 2 and 1"):
        metrics.brier_score(floats(0.1, 0.2), bools(1))


# --- intervals ------------------------------------------------------------------------------


def test_interval_of_a_share_is_the_binomial_one():
    """400 listings, 300 right: the normal interval is .75 ± 1.96 sqrt(.75 * .25 / 400)."""
    figure = estimate(metrics.accepted_share, np.arange(400) < 300, seed=SEED)
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert figure.ci95 is not None
    assert (figure.value, figure.n) == (0.75, 400)
    assert figure.ci95 == pytest.approx((0.75 - half, 0.75 + half), abs=0.006)


def test_interval_of_a_gain_is_paired():
    """A constant gain has no spread when columns are resampled together."""
    ours = np.random.default_rng(SEED).random(50)
    figure = estimate(metrics.gain, ours, ours - 0.25, seed=SEED)
    assert figure.value == pytest.approx(0.25)
    assert figure.ci95 == pytest.approx((0.25, 0.25))


def test_intervals_repeat_with_their_seed():
    values = np.random.default_rng(SEED).random(80) < 0.5
    one, same, other = (estimate(metrics.accepted_share, values, seed=s) for s in (1, 1, 2))
    assert one == same
    assert one.value == other.value
    assert one != other


def test_samples_without_a_value_are_left_out():
    """One error in 12: a third of the samples draw none and have no ROC curve."""
    probability = np.linspace(0, 1, 12)
    figure = estimate(metrics.roc_auc, probability, np.arange(12) > 0, seed=SEED)
    assert figure == Figure(1.0, (1.0, 1.0), 12)


def test_empty_figure_as_json():
    figure = estimate(metrics.accepted_share, NO_OUTCOMES, seed=SEED)
    assert figure.as_dict() == {"value": None, "ci95": [None, None], "n": 0}


def test_figure_as_json_is_rounded():
    assert Figure(2 / 3, (0.5, 0.75), 3).as_dict() == {
        "value": 0.6667,
        "ci95": [0.5, 0.75],
        "n": 3,
    }


def test_columns_must_fit():
    with pytest.raises(InputError, match=r"got lengths \[1, 2\]"):
        estimate(metrics.gain, floats(1), floats(1, 2), seed=SEED)
    with pytest.raises(InputError, match=r"got lengths \[\]"):
        estimate(metrics.gain, seed=SEED)
