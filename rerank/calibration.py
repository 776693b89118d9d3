"""Calibration: turn log-odds into probabilities that come true, by smoothed isotonic regression.

Pool-adjacent-violators (Ayer et al. 1955) over the mean of each validation outcome and of what a
logistic curve (Platt 1999) says of it: the curve steadies blocks of few rows, the blocks bend the
curve where outcomes do not follow it. Stored as knots; between knots the probability is
interpolated, so it is monotone in the log-odds.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import numbers
from rerank.index.errors import InputError

_FLOOR = 0.001  # no finite sample proves certainty
_STEPS = 100
_RIDGE = 1e-3  # rows: keeps the curve of one score alone defined


@dataclass(frozen=True, slots=True)
class Calibrator:
    """A monotone map from log-odds to probability.

    :param log_odds: knots, increasing.
    :param probability: their probabilities, non-decreasing, in [0, 1].
    """

    log_odds: tuple[float, ...]
    probability: tuple[float, ...]

    @classmethod
    def from_dict(cls, content: Any) -> Calibrator:
        """Return what `dataclasses.asdict` gave.

        :raises ValueError: if it is anything else, or no such map.
        :raises KeyError: if knots are missing.
        """
        most = sys.float_info.max
        log_odds = numbers(content["log_odds"], "log_odds", -most, most, rising=True)
        probability = numbers(content["probability"], "probability", 0, 1, rising=True)
        if not log_odds or len(log_odds) != len(probability):
            raise ValueError(
                f"expected as many log_odds as probabilities, found {len(log_odds)} and "
                f"{len(probability)}"
            )
        return cls(log_odds, probability)

    def __call__(self, log_odds: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return probabilities of the same shape, in [0, 1]."""
        return np.asarray(np.interp(log_odds, self.log_odds, self.probability), np.float64)


def fit_calibrator(
    log_odds: NDArray[np.floating],
    correct: NDArray[np.bool_],
    *,
    min_rows: int = 50,
    weights: NDArray[np.floating] | None = None,
) -> Calibrator:
    """Fit half a logistic curve, half isotonic blocks of at least ``min_rows`` rows.

    Rows of equal scores stand in one block, and sums are taken in an order of their own: the same
    rows give the same curve to the last bit, in whatever order they come.

    :param log_odds: shape (rows,); any monotone score of correctness.
    :param correct: shape (rows,).
    :param weights: shape (rows,), above 0: how many rows each counts as; None: all count as one.
    :raises InputError: if the rows are empty or all of one outcome.
    """
    if len(log_odds) != len(correct):
        raise InputError(f"got {len(log_odds)} scores but {len(correct)} outcomes")
    if not len(log_odds) or correct.all() or not correct.any():
        raise InputError("calibration needs outcomes of both kinds")
    w = np.ones(len(log_odds)) if weights is None else weights.astype(float)
    order = np.lexsort((w, correct, log_odds))
    x, y, w = log_odds[order].astype(float), correct[order].astype(float), w[order]
    smooth = (y + _logistic(x, y, w)) / 2
    blocks = _pool(_chunks(x, smooth, w, max(1, min(min_rows, len(x) // 4))))
    centres = np.maximum.accumulate([total_x / size for total_x, _, size in blocks]).tolist()
    values = [total_y / size for _, total_y, size in blocks]
    values = np.clip(np.maximum.accumulate(values), _FLOOR, 1 - _FLOOR).tolist()
    return Calibrator(tuple(centres), tuple(values))


def choose_threshold(
    probability: NDArray[np.floating],
    correct: NDArray[np.bool_],
    precision: float,
    *,
    weights: NDArray[np.floating] | None = None,
) -> float:
    """Return the lowest threshold at or above which the share correct reaches ``precision``.

    1.01 (nothing is accepted) if no threshold does.

    :param weights: shape (rows,), above 0: how many rows each counts as; None: all count as one.
    """
    w = np.ones(len(probability)) if weights is None else weights
    order = np.lexsort((w, correct, -probability))
    p, w = probability[order], w[order]
    share = np.cumsum(w * correct[order]) / np.cumsum(w)
    last_of_tie = np.append(np.diff(p) != 0, True) if len(p) else np.zeros(0, bool)
    good = np.flatnonzero((share >= precision) & last_of_tie)
    return float(p[good[-1]]) if len(good) else 1.01


def _logistic(
    x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what a logistic curve fitted by Newton's method says of each row, never falling in x.

    Its targets are Platt's, which leave both outcomes possible, so that it stays finite where a
    score separates them.
    """
    ones, zeros = float(w @ y), float(w @ (1 - y))
    target = np.where(y > 0, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    design = np.stack([(x - x.mean()) / (x.std() or 1.0), np.ones_like(x)], axis=1)
    slopes = np.zeros(2)
    for _ in range(_STEPS):
        p = _sigmoid(design @ slopes)
        curvature = (design * (w * p * (1 - p))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (w * (target - p)) - _RIDGE * slopes)
        slopes += step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    if slopes[0] < 0:
        return np.full(len(x), (ones + 1) / (ones + zeros + 2))
    return _sigmoid(design @ slopes)


def _sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -30, 30))), np.float64)


def _chunks(
    x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64], size: int
) -> Sequence[tuple[float, float, float]]:
    """Cut sorted rows into blocks of ``size`` rows or more: (sum of x, sum of y, rows), weighted.

    Blocks end where a score does.
    """
    ends = np.append(np.flatnonzero(np.diff(x)) + 1, len(x))
    edges = [0]
    while len(x) - edges[-1] >= 2 * size:
        edges.append(int(ends[np.searchsorted(ends, edges[-1] + size)]))
    if len(x) - edges[-1] < size and len(edges) > 1:
        edges.pop()
    edges.append(len(x))
    return [
        (float((w * x)[a:b].sum()), float((w * y)[a:b].sum()), float(w[a:b].sum()))
        for a, b in itertools.pairwise(edges)
    ]


def _pool(blocks: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Merge neighbours until the shares rise from block to block."""
    pooled: list[tuple[float, float, float]] = []
    for block in blocks:
        pooled.append(block)
        while len(pooled) > 1 and pooled[-2][1] / pooled[-2][2] >= pooled[-1][1] / pooled[-1][2]:
            a, b = pooled[-2], pooled.pop()
            pooled[-1] = (a[0] + b[0], a[1] + b[1], a[2] + b[2])
    return pooled
