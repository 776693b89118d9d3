"""Tails of distributions, held against scipy."""

from __future__ import annotations

import pytest
from scipy import stats

from rerank.lifecycle.canary import binomial_tail, chi_square_tail, normal_tail


@pytest.mark.parametrize("z", [-3.0, 0.0, 1.96, 5.0, 9.0])
def test_the_normal_tail_is_that_of_scipy(z):
    assert normal_tail(z) == pytest.approx(stats.norm.sf(z), rel=1e-12)


@pytest.mark.parametrize(
    ("k", "n", "rate"),
    [(0, 10, 0.5), (10, 10, 0.5), (3, 250, 0.001), (40, 3000, 0.01), (1, 1, 0.2)],
)
def test_the_binomial_tail_is_that_of_scipy(k, n, rate):
    assert binomial_tail(k, n, rate) == pytest.approx(stats.binom.sf(k - 1, n, rate), rel=1e-9)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 10])
@pytest.mark.parametrize("value", [0.0, 0.3, 5.0, 40.0])
def test_the_chi_square_tail_is_that_of_scipy(value, degrees):
    assert chi_square_tail(value, degrees) == pytest.approx(stats.chi2.sf(value, degrees), rel=1e-9)
