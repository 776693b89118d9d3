"""Intervals: known spreads, whole groups, slices, and many samples at once against one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from rerank.evaluation import metrics
from rerank.evaluation.intervals import FEW, Figure, Resampling, estimate, wilson
from rerank.evaluation.metrics import (
    ACCEPTED_SHARE,
    AVERAGE,
    METRICS,
    PRECISION_AT_1,
    ROC_AUC,
    SHARE,
    Metric,
)
from rerank.index.errors import InputError

INF = np.inf
SEED = 5
NO_OUTCOMES = np.zeros(0, np.bool_)


def floats(*values: float) -> Any:
    return np.array(values, np.float64)


def listings(n: int, seed: int) -> dict[str, Any]:
    """Columns of n invented listings; probabilities have ties."""
    rng = np.random.default_rng(seed)
    return {
        "ranks": rng.choice(floats(1, 1, 1, 2, 5, 30, INF), n),
        "grades": rng.integers(0, 3, (n, 10)).astype(np.float64),
        "probability": np.round(rng.random(n), 1),
        "correct": rng.random(n) < 0.7,
        "accepted": rng.random(n) < 0.5,
        "memory_agrees": rng.random(n) < 0.9,
        "variant_probability": rng.random(n),
    }


def read_by(metric: Metric, n: int, seed: int) -> list[Any]:
    columns = listings(n, seed)
    return [columns[name] for name in metric.columns]


def gain(ours: Any, theirs: Any) -> float | None:
    return float((ours - theirs).mean()) if len(ours) else None


# --- one listing, one group -----------------------------------------------------------------


def test_a_share_of_few_listings_has_wilsons_interval_and_one_without_errors_too():
    two = estimate(SHARE, np.ones(2, bool), seed=SEED)
    assert two.ci95 == pytest.approx((0.3424, 1.0), abs=1e-4)
    many = estimate(SHARE, np.ones(400, bool), seed=SEED)
    assert many.ci95 == pytest.approx((0.9905, 1.0), abs=1e-4)
    assert estimate(ROC_AUC, floats(0.9, 0.1), np.array([True, False]), seed=SEED).ci95 == (
        pytest.approx((0.3424, 1.0), abs=1e-4)
    )
    halves = np.arange(FEW) % 2 == 0
    assert estimate(SHARE, halves, seed=SEED).ci95 == pytest.approx(wilson(0.5, FEW))
    grouped = Resampling.draw([0] * 50 + [1] * 50, seed=SEED)  # two sellers, whatever they list
    assert grouped.figure(SHARE, np.ones(100, bool)).ci95 == two.ci95
    assert estimate(AVERAGE, np.ones(2), seed=SEED).ci95 == (1.0, 1.0)  # sizes have no range


def test_interval_of_a_share_is_the_binomial_one():
    """400 listings, 300 right: the normal interval is .75 ± 1.96 sqrt(.75 * .25 / 400)."""
    figure = estimate(metrics.ACCEPTED_SHARE, np.arange(400) < 300, seed=SEED)
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert figure.ci95 is not None
    assert (figure.value, figure.n) == (0.75, 400)
    assert figure.ci95 == pytest.approx((0.75 - half, 0.75 + half), abs=0.006)


def test_interval_equals_the_percentile_bootstrap_of_scipy():
    probability, correct = read_by(ROC_AUC, 300, SEED)
    found = estimate(ROC_AUC, probability, correct, seed=SEED).ci95
    expected = bootstrap(
        (probability, correct),
        metrics.ROC_AUC,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=1000,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    assert found == pytest.approx(tuple(expected), abs=0.01)


def test_interval_of_a_gain_is_paired():
    """A constant gain has no spread when columns are resampled together."""
    ours = np.random.default_rng(SEED).random(50)
    figure = estimate(gain, ours, ours - 0.25, seed=SEED)
    assert figure.value == pytest.approx(0.25)
    assert figure.ci95 == pytest.approx((0.25, 0.25))


def test_intervals_repeat_with_their_seed():
    values = np.random.default_rng(SEED).random(80) < 0.5
    one, same, other = (estimate(metrics.ACCEPTED_SHARE, values, seed=s) for s in (1, 1, 2))
    assert one == same
    assert one.value == other.value
    assert one != other


def test_samples_without_a_value_are_left_out():
    """One error in 12: a third of the samples draw none and have no ROC curve."""
    probability, correct = np.linspace(0, 1, 12), np.arange(12) > 0
    for metric, bounds in ((ROC_AUC.__call__, (1.0, 1.0)), (ROC_AUC, wilson(1.0, 12))):
        assert estimate(metric, probability, correct, seed=SEED) == Figure(1.0, bounds, 12)
    found = Resampling.draw(range(12), seed=SEED).values(ROC_AUC, probability, correct)
    assert np.isnan(found).mean() == pytest.approx((11 / 12) ** 12, abs=0.05)


def test_a_set_of_one_listing_shows_hardly_anything():
    assert estimate(PRECISION_AT_1, floats(1), seed=SEED) == Figure(1.0, wilson(1.0, 1), 1)


def test_empty_figure_as_json():
    figure = estimate(metrics.ACCEPTED_SHARE, NO_OUTCOMES, seed=SEED)
    assert figure.as_dict() == {"value": None, "ci95": [None, None], "n": 0}


def test_figure_as_json_is_rounded():
    assert Figure(2 / 3, (0.5, 0.75), 3).as_dict() == {
        "value": 0.6667,
        "ci95": [0.5, 0.75],
        "n": 3,
    }


# --- groups ---------------------------------------------------------------------------------


def test_groups_are_drawn_whole_and_as_many_as_there_are():
    resampling = Resampling.draw(["a", "b", "a", "c", "b", "a"], seed=SEED, samples=200)
    assert (resampling.n_rows, resampling.n_groups, resampling.samples) == (6, 3, 200)
    weights = np.concatenate(list(resampling.weights(np.arange(6))), axis=1)
    assert weights.shape == (6, 200)
    assert (weights[0] == weights[2]).all()
    assert (weights[0] == weights[5]).all()
    assert (weights[1] == weights[4]).all()
    assert set((weights[0] + weights[1] + weights[3]).tolist()) == {3.0}


def test_copies_of_a_listing_add_no_evidence():
    """Each of 100 listings four times: grouped, the interval is that of the 100."""
    right = np.random.default_rng(SEED).random(100) < 0.8
    alone = estimate(ACCEPTED_SHARE, right, seed=SEED)
    copies, names = np.repeat(right, 4), np.repeat(np.arange(100), 4)
    grouped = Resampling.draw(names.tolist(), seed=SEED).figure(ACCEPTED_SHARE, copies)
    assert (grouped.value, grouped.ci95) == (pytest.approx(alone.value), pytest.approx(alone.ci95))
    assert grouped.n == 400
    naive = estimate(ACCEPTED_SHARE, copies, seed=SEED)
    assert grouped.ci95 is not None
    assert naive.ci95 is not None
    width, naive_width = np.diff(grouped.ci95)[0], np.diff(naive.ci95)[0]
    assert width / naive_width == pytest.approx(2, abs=0.25)  # sqrt(4 copies)


def test_the_interval_covers_a_known_share_about_95_times_in_100():
    """200 seeded sets of 150 groups of 1 to 4 listings that are right or wrong together."""
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        names = np.repeat(np.arange(150), rng.integers(1, 5, 150))
        right = (rng.random(150) < 0.8)[names]
        figure = Resampling.draw(names.tolist(), seed=seed, samples=400).figure(
            ACCEPTED_SHARE, right
        )
        assert figure.ci95 is not None
        covered += figure.ci95[0] <= 0.8 <= figure.ci95[1]
    assert 182 <= covered <= 198


def test_names_of_groups_do_not_matter():
    columns = read_by(ROC_AUC, 60, SEED)
    numbers = np.random.default_rng(SEED).integers(0, 20, 60)
    figures = [
        Resampling.draw(names, seed=SEED).figure(ROC_AUC, *columns)
        for names in (numbers.tolist(), [f"shop {number}" for number in numbers], numbers + 7)
    ]
    assert figures[0] == figures[1] == figures[2]


# --- slices ---------------------------------------------------------------------------------


def test_a_slice_is_measured_on_its_listings_within_samples_of_the_whole():
    right, inside = np.arange(200) % 4 > 0, np.arange(200) < 40
    resampling = Resampling.draw(range(200), seed=SEED)
    figure = resampling.figure(ACCEPTED_SHARE, right, where=inside)
    assert (figure.value, figure.n) == (0.75, 40)
    whole, part, rest = (
        np.concatenate([block.sum(axis=0) for block in resampling.weights(rows)])
        for rows in (np.arange(200), np.flatnonzero(inside), np.flatnonzero(~inside))
    )
    parts = resampling.values(ACCEPTED_SHARE, right, where=inside) * part
    rests = resampling.values(ACCEPTED_SHARE, right, where=~inside) * rest
    found = resampling.values(ACCEPTED_SHARE, right)
    assert found == pytest.approx((parts + rests) / whole, abs=1e-5)


def test_a_slice_without_listings_is_not_measured():
    resampling = Resampling.draw(range(3), seed=SEED, samples=20)
    nobody = np.zeros(3, np.bool_)
    assert resampling.figure(PRECISION_AT_1, floats(1, 2, 3), where=nobody) == Figure(None, None, 0)
    assert np.isnan(resampling.values(PRECISION_AT_1, floats(1, 2, 3), where=nobody)).all()
    assert Resampling.draw([], seed=SEED).figure(PRECISION_AT_1, floats()) == Figure(None, None, 0)


# --- many samples at once -------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 10_000))
def test_samples_at_once_equal_samples_one_by_one(metric: Metric, n: int, n_groups: int, seed: int):
    columns, rng = read_by(metric, n, seed), np.random.default_rng(seed)
    resampling = Resampling.draw(rng.integers(0, n_groups, n).tolist(), seed=seed, samples=15)
    inside = rng.random(n) < 0.8
    at_once = resampling.values(metric, *columns, where=inside)
    one_by_one = resampling.values(metric.__call__, *columns, where=inside)
    assert at_once == pytest.approx(one_by_one, abs=1e-5, nan_ok=True)


def test_more_cells_than_a_block_give_the_same_samples():
    """3,000 listings and 1,000 samples are three blocks."""
    columns, names = read_by(ROC_AUC, 3000, SEED), np.arange(3000) // 2
    resampling = Resampling.draw(names.tolist(), seed=SEED)
    assert len(list(resampling.weights(np.arange(3000)))) > 2
    found = resampling.values(ROC_AUC, *columns)
    drawn = [np.repeat(np.arange(3000), resampling.counts[names, at]) for at in (0, 500, 999)]
    expected = [metrics.ROC_AUC(*(column[rows] for column in columns)) for rows in drawn]
    assert found[[0, 500, 999]] == pytest.approx(expected, abs=1e-5)


# --- faults ---------------------------------------------------------------------------------


def test_columns_must_fit():
    with pytest.raises(InputError, match=r"got lengths \[1, 2\]"):
        estimate(gain, floats(1), floats(1, 2), seed=SEED)
    with pytest.raises(InputError, match=r"got lengths \[\]"):
        estimate(gain, seed=SEED)
    resampling = Resampling.draw(range(3), seed=SEED)
    with pytest.raises(InputError, match=r"one row a listing, 3, got lengths \[2\]"):
        resampling.figure(PRECISION_AT_1, floats(1, 2))
    with pytest.raises(InputError, match=r"one row a listing, 3, got lengths \[4\]"):
        resampling.figure(PRECISION_AT_1, floats(1, 2, 3), where=np.ones(4, np.bool_))
    with pytest.raises(InputError, match="at least 1 bootstrap sample, got 0"):
        Resampling.draw(range(3), seed=SEED, samples=0)
