"""Metrics of many resamples at once: a resample is a column that says how often each listing is in.

Every function takes ``weights`` of shape (listings, samples), whole numbers from 0 and at least
one listing, then columns with one entry a listing; it returns one float64 a sample, NaN where the
metric is not defined (no listing of the kind in the sample). A weight of 3 is the same as writing
the listing down three times. `rerank.evaluation.metrics` defines each metric; with weights of 1
these functions are its definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Weighted = Callable[..., Floats]

CALIBRATION_BINS = 10


class Ladder(NamedTuple):
    """Listings taken from the highest probability down, equal ones together, in each sample.

    :param taken: shape (steps + 1, samples), how many are taken so far, from 0.
    :param right: same shape, how many of them are right.
    """

    taken: Weights
    right: Weights


def ladder(weights: Weights, probability: Floats, correct: Bools) -> Ladder:
    """Take listings step by step, one step a distinct probability."""
    order = np.argsort(-probability, kind="stable")
    falling = probability[order]
    last_of_tie = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    counts = weights[order]
    shape = (len(last_of_tie) + 1, weights.shape[1])
    taken, right = np.zeros(shape, weights.dtype), np.zeros(shape, weights.dtype)
    taken[1:] = np.cumsum(counts, axis=0)[last_of_tie]
    counts *= correct[order][:, None]
    right[1:] = np.cumsum(counts, axis=0)[last_of_tie]
    return Ladder(taken, right)


def mean_of(per_listing: Callable[..., NDArray[Any]]) -> Weighted:
    """Return the weighted form of a mean of ``per_listing(*columns)``."""

    def mean(weights: Weights, *columns: NDArray[Any]) -> Floats:
        values = per_listing(*columns).astype(weights.dtype)
        return _ratio(values @ weights, weights.sum(axis=0))

    return mean


def roc_auc(weights: Weights, probability: Floats, correct: Bools) -> Floats:
    """Return the area under each sample's ROC curve, by trapezoids: ties count half."""
    taken, right = ladder(weights, probability, correct)
    wrong = taken - right
    strips = np.diff(wrong, axis=0) * (right[1:] + right[:-1])
    pairs = 2 * right[-1].astype(np.float64) * wrong[-1]
    return _ratio(strips.sum(axis=0, dtype=np.float64), pairs)


def average_precision(weights: Weights, probability: Floats, correct: Bools) -> Floats:
    """Return each sample's precision averaged over its right listings."""
    taken, right = ladder(weights, probability, correct)
    parts = np.diff(right, axis=0) * _share(right[1:], taken[1:])
    return _ratio(parts.sum(axis=0, dtype=np.float64), right[-1])


def area_under_risk_coverage(weights: Weights, probability: Floats, correct: Bools) -> Floats:
    """Return each sample's mean selective risk, expected over random orders of ties.

    In a tie of m listings with e errors after N taken with E errors, the j-th is expected to
    leave E + ej/m errors among N + j: over j the risks sum to e + (E - eN/m)(H(N+m) - H(N)),
    H the harmonic numbers.
    """
    taken, right = ladder(weights, probability, correct)
    errors = taken - right
    steps, lost = np.diff(taken, axis=0), np.diff(errors, axis=0)
    harmonic = np.append(0.0, np.cumsum(1 / np.arange(1, float(taken[-1].max()) + 1)))
    spread = np.diff(harmonic[taken.astype(np.int64)], axis=0)
    risks = lost + (errors[:-1] - _share(lost, steps) * taken[:-1]) * spread
    return _ratio(risks.sum(axis=0, dtype=np.float64), taken[-1])


def accepted_share_at_precision(
    weights: Weights, probability: Floats, correct: Bools, precision: float
) -> Floats:
    """Return the largest share of each sample that a threshold accepts at ``precision``."""
    taken, right = ladder(weights, probability, correct)
    kept = _share(right[1:], taken[1:]) >= precision
    return _ratio(np.where(kept, taken[1:], 0).max(axis=0), taken[-1])


def expected_calibration_error(weights: Weights, probability: Floats, correct: Bools) -> Floats:
    """Return the gap between stated and true shares of each sample, bin by bin."""
    gaps = np.zeros((CALIBRATION_BINS, len(probability)), weights.dtype)
    gaps[calibration_bin(probability), np.arange(len(probability))] = probability - correct
    total = np.abs(gaps @ weights).sum(axis=0, dtype=np.float64)
    return _ratio(total, weights.sum(axis=0))


def calibration_bin(probability: Floats) -> NDArray[np.int64]:
    """Return each probability's bin from 0, of 10 equal ones; a bin owns its lower edge."""
    place = (probability * CALIBRATION_BINS).astype(np.int64)
    return np.clip(place, 0, CALIBRATION_BINS - 1)


def _share(part: Weights, whole: Weights) -> Weights:
    """Divide; 0 where a sample holds none of the listings."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    quotient: Floats = np.full(len(whole), np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0, dtype=np.float64)
    return quotient
