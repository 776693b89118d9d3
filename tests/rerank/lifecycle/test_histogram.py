"""Counts by range and by category, and how far two of them lie apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rerank.lifecycle.drift import Histogram, homogeneity_p_value, side_by_side, stability_index


def test_ranges_hold_as_many_values_each():
    found = Histogram.of_values(np.arange(100) / 100, ranges=4)
    assert found.counts == (25, 25, 25, 25)
    assert found.edges == (0.25, 0.5, 0.75)


def test_equal_values_are_not_parted():
    found = Histogram.of_values(np.array([0.0] * 60 + [1.0] * 40))
    assert (found.counts, found.edges) == ((60, 40), (1.0,))


def test_values_are_counted_between_the_edges_of_a_reference():
    assert Histogram.within(np.array([0.1, 0.2, 0.9]), [0.2, 0.5]).counts == (1, 1, 1)
    assert Histogram.within(np.array([]), [0.2]).counts == (0, 0)


def test_a_histogram_comes_back_from_its_json():
    for each in (Histogram.of_values(np.linspace(0, 1, 50)), Histogram.of_labels("abca")):
        assert Histogram.from_json(each.as_json()) == each


def test_counts_that_do_not_fit_their_edges_are_refused():
    with pytest.raises(ValueError, match="2 counts, 2 edges"):
        Histogram.from_json({"counts": [1, 2], "edges": [0.1, 0.2]})


def test_categories_the_reference_lacks_are_one():
    before, after = side_by_side(Histogram.of_labels("aab"), Histogram.of_labels("acdd"))
    assert before.tolist() == [2, 1, 0]
    assert after.tolist() == [1, 0, 3]


def test_the_index_is_that_of_its_formula():
    a, b = np.array([100.0, 300.0]), np.array([200.0, 200.0])
    p, q = 100.5 / 401, 200.5 / 401
    by_hand = (q - p) * math.log(q / p) + (p - q) * math.log((1 - q) / (1 - p))
    assert stability_index(a, b) == pytest.approx(by_hand)
    assert stability_index(a, a) == 0.0
    assert stability_index(np.array([5.0, 0.0]), np.array([9.0, 0.0])) == 0.0


def test_where_all_counts_are_large_the_test_is_pearsons():
    a, b = np.array([120.0, 80.0, 300.0]), np.array([90.0, 110.0, 280.0])
    assert homogeneity_p_value(a, b) == pytest.approx(stats.chi2_contingency([a, b]).pvalue)


def test_rare_ranges_are_joined():
    a, b = np.array([100.0, 100.0, 3.0, 4.0]), np.array([90.0, 110.0, 6.0, 1.0])
    joined = stats.chi2_contingency([[100, 100, 7], [90, 110, 7]])
    assert homogeneity_p_value(a, b) == pytest.approx(joined.pvalue)


def test_what_is_too_little_to_tell_gives_one():
    assert homogeneity_p_value(np.array([2.0, 2.0]), np.array([1.0, 1.0])) == 1.0
    assert homogeneity_p_value(np.array([2.0, 2.0]), np.array([0.0, 0.0])) == 1.0
    assert homogeneity_p_value(np.array([500.0]), np.array([20.0])) == 1.0


@pytest.mark.parametrize("n", [20, 60, 300, 3000])
def test_batches_of_the_same_distribution_rarely_differ(n):
    random = np.random.default_rng(5)
    reference = Histogram.of_values(random.beta(0.3, 0.3, 1000))
    counts = np.asarray(reference.counts, float)
    low = 0
    for _ in range(400):
        batch = Histogram.within(random.beta(0.3, 0.3, n), reference.edges)
        low += homogeneity_p_value(counts, np.asarray(batch.counts, float)) < 0.05
    assert low / 400 < 0.09
