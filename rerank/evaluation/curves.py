"""Curves of an evaluation as plain numbers, each with the 95 % band of the same resampling.

Between two thresholds the listings taken, and the right ones among them, are interpolated in
proportion: what a random order of equal probabilities is expected to give. So no curve depends on
the order of listings, and risk-coverage has `area_under_risk_coverage` beneath it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.evaluation import weighted
from rerank.evaluation.intervals import LEVELS, Resampling, rounded

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MAX_POINTS = 100
_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
# Far below one listing, far above the rounding of a share times a count.
_TOLERANCE = 1e-9


class _Axis(Enum):
    """What is counted along a curve: all listings taken, or the right ones."""

    COVERAGE = "coverage"
    RECALL = "recall"


def curves_of(
    resampling: Resampling, probability: Floats, correct: Bools, *, where: Bools | None = None
) -> dict[str, Any]:
    """Return a report's ``reliability``, ``risk_coverage`` and ``precision_recall``.

    :param probability: one a listing of the set, in [0, 1].
    :param correct: whether the best answer is right; a no-match listing is wrong.
    :param where: which listings to draw; None: all.
    :raises InputError: if a length is not that of the set or a probability is outside [0, 1].
    """
    columns = (resampling, probability, correct)
    return {
        "reliability": reliability(*columns, where=where),
        "risk_coverage": risk_coverage(*columns, where=where),
        "precision_recall": precision_recall(*columns, where=where),
    }


def reliability(
    resampling: Resampling, probability: Floats, correct: Bools, *, where: Bools | None = None
) -> list[dict[str, Any]]:
    """Return the 10 bins of a reliability diagram, from the lowest probability.

    ``share_correct`` has a Wilson interval (Wilson 1927) that counts each listing group of the bin
    as one trial: the bootstrap would give a bin without errors no width at all. An empty bin has
    None for its shares.
    """
    rows, p, right = _taken(resampling, probability, correct, where)
    place, group = weighted.calibration_bin(p), resampling.group[rows]
    bins = []
    for number in range(weighted.CALIBRATION_BINS):
        inside = place == number
        n = int(inside.sum())
        share = float(right[inside].mean()) if n else None
        low, high = (None, None) if share is None else wilson(share, len(set(group[inside])))
        bins.append(
            {
                "low": number / weighted.CALIBRATION_BINS,
                "high": (number + 1) / weighted.CALIBRATION_BINS,
                "n": n,
                "mean_probability": rounded(float(p[inside].mean())) if n else None,
                "share_correct": rounded(share),
                "ci95": [rounded(low), rounded(high)],
            }
        )
    return bins


def risk_coverage(
    resampling: Resampling, probability: Floats, correct: Bools, *, where: Bools | None = None
) -> dict[str, list[float]]:
    """Return the share wrong among the accepted (risk) against the share accepted (coverage).

    Up to 100 coverages, evenly spaced, ending at 1; lists are empty without listings.
    Source: El-Yaniv, Wiener, On the Foundations of Noise-free Selective Classification, 2010.
    """
    rows, p, right = _taken(resampling, probability, correct, where)
    coverage = _grid(len(rows))
    line, samples = _precisions(resampling, rows, p, right, coverage, _Axis.COVERAGE)
    low, high = _band(1.0 - samples)
    return {"coverage": _plain(coverage), "risk": _plain(1.0 - line), "low": low, "high": high}


def precision_recall(
    resampling: Resampling, probability: Floats, correct: Bools, *, where: Bools | None = None
) -> dict[str, list[float]]:
    """Return the share right among the accepted (precision) against the right ones found (recall).

    Up to 100 recalls, evenly spaced, ending at 1; lists are empty without a right answer.
    Interpolated in counts as of Davis, Goadrich 2006, never in precision.
    """
    rows, p, right = _taken(resampling, probability, correct, where)
    recall = _grid(int(right.sum()))
    line, samples = _precisions(resampling, rows, p, right, recall, _Axis.RECALL)
    low, high = _band(samples)
    return {"recall": _plain(recall), "precision": _plain(line), "low": low, "high": high}


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927).

    :raises InputError: if there are no trials.
    """
    if trials < 1:
        raise InputError(f"expected at least 1 trial, got {trials}")
    spread = _Z**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = np.sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _taken(
    resampling: Resampling, probability: Floats, correct: Bools, where: Bools | None
) -> tuple[NDArray[np.int64], Floats, Bools]:
    rows = resampling.rows(where)
    p, right = resampling.taken([probability, correct], rows)
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"expected probabilities from 0 to 1, got {p.min()} to {p.max()}")
    return rows, p, right


def _grid(n: int) -> Floats:
    """Return up to 100 shares, the last one 1; one for each of ``n`` if they are fewer."""
    points = min(n, MAX_POINTS)
    return np.arange(1, points + 1) / max(points, 1)


def _precisions(
    resampling: Resampling,
    rows: NDArray[np.int64],
    p: Floats,
    right: Bools,
    grid: Floats,
    axis: _Axis,
) -> tuple[Floats, Floats]:
    """Return the share right among the accepted at each point of an axis.

    :returns: of the listings as they are, shape (points,); of each sample, shape (samples, points).
    """
    if not len(grid):
        return np.zeros(0), np.zeros((0, 0))
    as_they_are = _lines(weighted.ladder(np.ones((len(rows), 1)), p, right), grid, axis)
    samples = [
        _lines(weighted.ladder(block, p, right), grid, axis) for block in resampling.weights(rows)
    ]
    return as_they_are[0], np.concatenate(samples)


def _lines(steps: weighted.Ladder, grid: Floats, axis: _Axis) -> Floats:
    """Return a line a sample, leaving out samples without anything to count along the axis."""
    taken, right = (np.ascontiguousarray(counts.T, np.float64) for counts in steps)
    along, beside = (taken, right) if axis is _Axis.COVERAGE else (right, taken)
    lines = np.zeros((int((along[:, -1] > 0).sum()), len(grid)))
    for line, sample in zip(lines, np.flatnonzero(along[:, -1] > 0), strict=True):
        targets = grid * along[sample, -1]
        found = _interpolated(along[sample], beside[sample], targets)
        line[:] = found / targets if axis is _Axis.COVERAGE else targets / found
    return lines


def _interpolated(along: Floats, beside: Floats, targets: Floats) -> Floats:
    """Return ``beside`` where ``along``, rising from 0, first comes to each of the targets."""
    step = np.searchsorted(along, targets - _TOLERANCE)
    share = (targets - along[step - 1]) / (along[step] - along[step - 1])
    return np.asarray(beside[step - 1] + share * (beside[step] - beside[step - 1]), np.float64)


def _band(samples: Floats) -> tuple[list[float], list[float]]:
    """Return the lower and the upper bound at each point."""
    if not len(samples):
        return [], []
    low, high = np.quantile(samples, LEVELS, axis=0)
    return _plain(low), _plain(high)


def _plain(values: Floats) -> list[float]:
    return [round(value, 4) + 0.0 for value in values.tolist()]  # -0.0 becomes 0.0
