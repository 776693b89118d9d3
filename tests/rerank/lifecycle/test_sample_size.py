"""Listings needed: against the exact power of McNemar's test, summed over all outcomes."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from rerank.evaluation.intervals import listings_needed
from rerank.index.errors import InputError

CRITICAL = NormalDist().inv_cdf(0.975) ** 2


def exact_power(gain: float, loss: float, n: int) -> float:
    """Chance that (b - c)^2 / (b + c) is above the critical value, b and c multinomial."""
    share, of_gain = gain + loss, gain / (gain + loss)
    power = 0.0
    for discordant in range(1, n + 1):
        of_count = _binomial(n, discordant, share)
        if of_count < 1e-12:
            continue
        power += of_count * sum(
            _binomial(discordant, b, of_gain)
            for b in range(discordant + 1)
            if (2 * b - discordant) ** 2 / discordant > CRITICAL
        )
    return power


def _binomial(n: int, k: int, p: float) -> float:
    logs = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(logs + k * math.log(p) + (n - k) * math.log1p(-p))


@pytest.mark.parametrize(
    ("gained", "lost", "n"), [(40, 20, 500), (30, 10, 1000), (90, 60, 400), (12, 2, 100)]
)
def test_the_power_is_eighty_percent(gained, lost, n):
    needed = listings_needed(gained, lost, n)
    assert needed is not None
    assert exact_power(gained / n, lost / n, needed) == pytest.approx(0.8, abs=0.05)
    assert exact_power(gained / n, lost / n, needed // 2) < 0.6


def test_a_number_worked_out_by_hand():
    # p 0.06, d 0.02: ((1.95996 * 0.244949 + 0.841621 * 0.244132) / 0.02)^2 = 1174.7
    assert listings_needed(20, 10, 500) == 1175
    assert listings_needed(10, 20, 500) == 1175


def test_where_both_are_right_equally_often_no_number_is_enough():
    assert listings_needed(7, 7, 100) is None
    assert listings_needed(0, 0, 100) is None


@pytest.mark.parametrize("counts", [(-1, 0, 5), (3, 3, 5)])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(InputError, match="expected counts of at most 5 listings"):
        listings_needed(*counts)
