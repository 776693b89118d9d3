"""How differences of scores become preferences, confidence and figures."""

from __future__ import annotations

import numpy as np
import pytest

from rerank.rankers.pairwise import Preference, pair_figures, right


def test_ties_are_half_right_and_equals_are_not_asked():
    difference = np.array([2.0, -1.0, 0.0, 5.0], np.float32)
    assert right(difference, np.array([1, 1, -1, 0])).tolist() == [1.0, 0.0, 0.5]


def test_the_scale_of_a_logistic_model_is_recovered():
    rng = np.random.default_rng(1)
    difference = rng.normal(0, 2, 20_000).astype(np.float32)
    likely = 1 / (1 + np.exp(-1.5 * difference))
    label = np.where(rng.random(20_000) < likely, 1, -1)
    preference = Preference.fit(difference, label)
    assert preference.scale == pytest.approx(1.5, rel=0.1)
    assert preference.equal_within == 0.0
    assert preference.confidence(1.0) == pytest.approx(1 / (1 + np.exp(-1.5)), abs=0.02)
    assert preference.confidence(-1.0) == preference.confidence(1.0)
    assert preference.confidence(1e9) == 1.0


def test_pairs_without_an_error_make_for_no_certainty():
    preference = Preference.fit(np.full(8, 1.0, np.float32), np.ones(8, np.int64))
    assert preference.confidence(1.0) == pytest.approx(0.9, abs=0.01)  # 9 in 10


def test_differences_as_small_as_those_of_equals_are_no_preference():
    difference = np.array([0.1, -0.2, 0.3, 1.0, -1.5, 2.0], np.float32)
    preference = Preference.fit(difference, np.array([0, 0, 0, 1, -1, 1]))
    assert preference.equal_within == pytest.approx(0.65)
    assert [preference.label(d) for d in (0.6, -0.6, 0.7, -0.7)] == [0, 0, 1, -1]


def test_equals_that_differ_most_are_given_up():
    difference = np.array([9.0, 1.0, 2.0, 3.0], np.float32)
    assert Preference.fit(difference, np.array([0, 1, 1, 1])).equal_within == 0.0


def test_without_stated_preferences_nothing_is_fitted():
    assert Preference.fit(np.zeros(0, np.float32), np.zeros(0, np.int64)) == Preference()


def test_figures_compare_with_the_heuristic_on_the_same_pairs():
    difference = np.array([1, 1, -1, 1, 0.5], np.float32)
    heuristic = np.array([1, -1, -1, 1, 0], np.float32)
    label = np.array([1, 1, 1, 1, 0])
    found = pair_figures(difference, heuristic, label, np.arange(5), seed=1)
    assert found["pair_accuracy"]["value"] == 0.75
    assert found["heuristic_pair_accuracy"]["value"] == 0.5
    assert found["gain_over_heuristic"]["value"] == 0.25
    assert found["pair_accuracy"]["n"] == 4
    assert found["equals"] == {"pairs": 1, "mean_difference": 0.5}


def test_without_pairs_there_are_no_figures():
    empty = np.zeros(0, np.float32)
    found = pair_figures(empty, empty, np.zeros(0, np.int64), np.zeros(0, np.int64), seed=1)
    assert found["pair_accuracy"] == {"value": None, "ci95": [None, None], "n": 0}
    assert found["equals"] == {"pairs": 0, "mean_difference": None}
