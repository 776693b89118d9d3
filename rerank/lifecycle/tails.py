"""Tails of distributions, exact to floating point; what significance is read from."""

from __future__ import annotations

import math


def normal_tail(z: float) -> float:
    """Return the probability that a standard normal variable exceeds ``z``."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def binomial_tail(successes: int, trials: int, rate: float) -> float:
    """Return the probability of at least so many successes of independent trials.

    :param rate: probability of a success, 0 < rate < 1.
    """
    if successes <= 0:
        return 1.0
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    whole = math.lgamma(trials + 1)
    terms = [
        whole
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * log_rate
        + (trials - k) * log_rest
        for k in range(successes, trials + 1)
    ]
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def chi_square_tail(value: float, degrees: int) -> float:
    """Return the probability that a chi-square variable exceeds a value.

    The closed form for whole degrees of freedom (Abramowitz and Stegun, 26.4.4 and 26.4.5).

    :param degrees: of freedom, at least 1.
    """
    if value <= 0:
        return 1.0
    half = value / 2
    odd = degrees % 2
    tail = math.erfc(math.sqrt(half)) if odd else 0.0
    powers = (step + 0.5 * odd for step in range(degrees // 2))
    tail += math.fsum(
        math.exp(power * math.log(half) - half - math.lgamma(power + 1)) for power in powers
    )
    return min(1.0, tail)
