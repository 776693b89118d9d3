"""Curves: hand numbers, independent implementations, their areas, bands and empty cases."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_curve

from rerank.evaluation import metrics
from rerank.evaluation.intervals import (
    MAX_POINTS,
    Resampling,
    curves_of,
    precision_recall,
    reliability,
    risk_coverage,
    wilson,
)
from rerank.evaluation.metrics import PRECISION_OF_ACCEPTED
from rerank.index.errors import InputError

SEED = 3

outcomes = st.lists(
    st.tuples(st.integers(0, 12).map(lambda twelfth: twelfth / 12), st.booleans()),
    min_size=1,
    max_size=40,
)


def floats(*values: float) -> Any:
    return np.array(values, np.float64)


def bools(*values: int) -> Any:
    return np.array(values, np.bool_)


def each_alone(probability: Any, samples: int = 200) -> Resampling:
    return Resampling.draw(range(len(probability)), seed=SEED, samples=samples)


def columns(pairs: list[tuple[float, bool]]) -> tuple[Any, Any]:
    probability, correct = zip(*pairs, strict=True)
    return np.array(probability, np.float64), np.array(correct, np.bool_)


def invented(n: int) -> tuple[Any, Any]:
    """Overconfident probabilities, all distinct."""
    rng = np.random.default_rng(SEED)
    probability = rng.random(n)
    return probability, rng.random(n) < 0.8 * probability


# --- reliability ----------------------------------------------------------------------------


def test_reliability_by_hand():
    probability, correct = floats(0.95, 1.0, 0.05, 0.1), bools(1, 0, 0, 1)
    bins = reliability(each_alone(probability), probability, correct)
    assert [(b["low"], b["high"]) for b in bins] == [(n / 10, (n + 1) / 10) for n in range(10)]
    assert [b["n"] for b in bins] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert bins[9] == {
        "low": 0.9,
        "high": 1.0,
        "n": 2,
        "mean_probability": 0.975,
        "share_correct": 0.5,
        "ci95": [0.0945, 0.9055],
    }
    assert (bins[1]["mean_probability"], bins[1]["share_correct"]) == (0.1, 1.0)
    assert bins[5] == {
        "low": 0.5,
        "high": 0.6,
        "n": 0,
        "mean_probability": None,
        "share_correct": None,
        "ci95": [None, None],
    }


@settings(deadline=None)
@given(outcomes)
def test_bins_add_up_to_the_calibration_error(pairs: list[tuple[float, bool]]):
    probability, correct = columns(pairs)
    bins = reliability(each_alone(probability, 2), probability, correct)
    gaps = [b["n"] * abs(b["mean_probability"] - b["share_correct"]) for b in bins if b["n"]]
    error = metrics.ECE(probability, correct)
    assert sum(gaps) / len(pairs) == pytest.approx(error, abs=2e-4)


@pytest.mark.parametrize(("right", "trials"), [(0, 4), (3, 3), (7, 9), (450, 500)])
def test_wilson_equals_scipy(right: int, trials: int):
    expected = binomtest(right, trials).proportion_ci(method="wilson")
    assert wilson(right / trials, trials) == pytest.approx(tuple(expected), abs=1e-9)


def test_a_bin_without_errors_keeps_room_for_some():
    probability, correct = np.full(20, 0.99), np.ones(20, np.bool_)
    assert reliability(each_alone(probability), probability, correct)[9]["ci95"] == [0.8389, 1.0]


def test_a_group_is_one_trial_of_a_bin():
    probability, correct = np.full(20, 0.99), np.ones(20, np.bool_)
    grouped = Resampling.draw(np.repeat(range(5), 4).tolist(), seed=SEED)
    found = reliability(grouped, probability, correct)[9]
    assert (found["n"], found["ci95"][0]) == (20, round(wilson(1.0, 5)[0], 4))


# --- risk and coverage ----------------------------------------------------------------------


def test_risk_coverage_by_hand():
    probability, correct = floats(0.9, 0.8, 0.7, 0.1), bools(1, 0, 1, 0)
    found = risk_coverage(each_alone(probability), probability, correct)
    assert found["coverage"] == [0.25, 0.5, 0.75, 1.0]
    assert found["risk"] == [0.0, 0.5, 0.3333, 0.5]


def test_ties_share_their_errors():
    probability, correct = floats(0.9, 0.5, 0.5), bools(1, 0, 1)
    assert risk_coverage(each_alone(probability), probability, correct)["risk"] == [
        0.0,
        0.25,
        0.3333,
    ]


@settings(deadline=None)
@given(outcomes, st.randoms(use_true_random=False))
def test_the_mean_risk_is_the_area_whatever_the_order(pairs: Any, random: Any):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    curves = [
        risk_coverage(each_alone(some, 2), *columns(some))["risk"] for some in (pairs, shuffled)
    ]
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    area = metrics.AURC(*columns(pairs))
    assert np.mean(curves[0]) == pytest.approx(area, abs=1e-4)


def test_the_band_at_full_coverage_is_the_interval_of_the_share_wrong():
    probability, correct = invented(150)
    resampling = Resampling.draw((np.arange(150) // 2).tolist(), seed=SEED)
    figure = resampling.figure(PRECISION_OF_ACCEPTED, correct)
    found = risk_coverage(resampling, probability, correct)
    assert figure.value is not None
    assert figure.ci95 is not None
    assert found["risk"][-1] == pytest.approx(1 - figure.value, abs=1e-4)
    assert (found["low"][-1], found["high"][-1]) == pytest.approx(
        (1 - figure.ci95[1], 1 - figure.ci95[0]), abs=1e-4
    )
    assert all(low <= high for low, high in zip(found["low"], found["high"], strict=True))


# --- precision and recall -------------------------------------------------------------------


def test_precision_recall_by_hand():
    probability, correct = floats(0.9, 0.8, 0.7, 0.1), bools(1, 0, 1, 0)
    found = precision_recall(each_alone(probability), probability, correct)
    assert (found["recall"], found["precision"]) == ([0.5, 1.0], [1.0, 0.6667])


def test_ties_are_interpolated_in_counts():
    # Half of the tie of two right and two wrong: 1 right among 2.
    probability, correct = floats(0.5, 0.5, 0.5, 0.5, 0.1), bools(1, 1, 0, 0, 1)
    found = precision_recall(each_alone(probability), probability, correct)
    assert found["precision"] == [0.5, 0.5, 0.6]


def test_precision_at_each_recall_equals_scikit_learn():
    probability, correct = invented(120)
    precision, recall, _ = precision_recall_curve(correct, probability)
    found = precision_recall(each_alone(probability), probability, correct)
    assert len(found["recall"]) == correct.sum() < MAX_POINTS
    first_reached = [precision[np.isclose(recall, r, atol=1e-4)].max() for r in found["recall"]]
    assert found["precision"] == pytest.approx(first_reached, abs=1e-4)
    average = metrics.PR_AUC(probability, correct)
    assert np.mean(found["precision"]) == pytest.approx(average, abs=1e-4)


def test_the_band_of_precision_at_full_recall_follows_single_samples():
    probability, correct = invented(60)
    resampling = each_alone(probability, 300)
    found = precision_recall(resampling, probability, correct)
    ends = []
    for sample in range(300):
        rows = np.repeat(np.arange(60), resampling.counts[:, sample])
        lowest_right = probability[rows][correct[rows]].min()
        ends.append(correct[rows][probability[rows] >= lowest_right].mean())
    assert (found["low"][-1], found["high"][-1]) == pytest.approx(
        tuple(np.quantile(ends, (0.025, 0.975))), abs=1e-4
    )


# --- all three ------------------------------------------------------------------------------


def test_curves_are_plain_and_of_at_most_100_points():
    probability, correct = invented(700)
    found = curves_of(each_alone(probability, 50), probability, correct)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert sorted(found) == ["precision_recall", "reliability", "risk_coverage"]
    for name, axis in (("risk_coverage", "coverage"), ("precision_recall", "recall")):
        assert {len(line) for line in found[name].values()} == {100}
        assert found[name][axis] == [n / 100 for n in range(1, 101)]


@settings(deadline=None)
@given(outcomes)
def test_lines_and_bands_stay_in_range(pairs: list[tuple[float, bool]]):
    probability, correct = columns(pairs)
    found = curves_of(each_alone(probability, 5), probability, correct)
    values = [v for name in ("risk_coverage", "precision_recall") for v in found[name].values()]
    assert all(-1e-9 <= value <= 1 for line in values for value in line)


def test_only_the_listings_of_a_slice_are_drawn():
    probability, correct = floats(0.9, 0.8, 0.7, 0.1, 0.95), bools(1, 0, 1, 0, 0)
    found = curves_of(each_alone(probability), probability, correct, where=bools(1, 1, 1, 1, 0))
    assert found["risk_coverage"]["risk"] == [0.0, 0.5, 0.3333, 0.5]
    assert found["precision_recall"]["precision"] == [1.0, 0.6667]
    assert sum(b["n"] for b in found["reliability"]) == 4


def test_curves_of_nothing_are_empty():
    found = curves_of(each_alone([]), floats(), bools())
    assert found["risk_coverage"] == {"coverage": [], "risk": [], "low": [], "high": []}
    assert found["precision_recall"] == {"recall": [], "precision": [], "low": [], "high": []}
    assert {b["n"] for b in found["reliability"]} == {0}


def test_without_a_right_answer_there_is_no_recall():
    probability, correct = floats(0.9, 0.2), bools(0, 0)
    found = curves_of(each_alone(probability), probability, correct)
    assert found["precision_recall"]["recall"] == []
    assert found["risk_coverage"]["risk"] == [1.0, 1.0]


def test_right_answers_alone_have_no_risk():
    probability, correct = floats(0.9, 0.2), bools(1, 1)
    found = curves_of(each_alone(probability), probability, correct)
    assert found["risk_coverage"]["risk"] == [0.0, 0.0]
    assert found["precision_recall"]["precision"] == [1.0, 1.0]


def test_faulty_arguments_are_errors():
    with pytest.raises(InputError, match=r"probabilities from 0 to 1, got 0.5 to 1.5"):
        curves_of(each_alone([1, 2]), floats(0.5, 1.5), bools(1, 1))
    with pytest.raises(InputError, match=r"got lengths \[1, 2\]"):
        curves_of(each_alone([1, 2]), floats(0.5, 1.0), bools(1))
    with pytest.raises(InputError, match="at least 1 trial, got 0"):
        wilson(0.5, 0)
