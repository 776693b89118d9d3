"""A plain ranker: a weighted sum of features, fitted on pairs of candidates of one listing.

It is what trees have to beat: with the same features and the same listings, the difference is
what LambdaRank earns by thresholds and by features that count together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError

Floats = NDArray[np.float64]

_L2 = 1e-4  # of the mean loss; keeps the weights of separable pairs finite
_STEPS = 50
_CONVERGED = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class LinearRanker:
    """Scores candidates by a weighted sum.

    :param weights: shape (features,), in units of the features as they are.
    """

    weights: Floats

    def score(self, features: NDArray[np.floating[Any]]) -> Floats:
        """Return one score a row, comparable within a listing only, shape (rows,)."""
        return np.asarray(features.astype(np.float64) @ self.weights, np.float64)


def fit_pairwise(
    features: NDArray[np.floating[Any]],
    relevance: NDArray[np.integer[Any]],
    sizes: Sequence[int],
) -> LinearRanker:
    """Fit a pairwise logistic model: the better candidate of a pair is to have the higher score.

    Of each listing, its best-graded candidate (the first of several) is paired with every one of a
    lower grade; the mean of log(1 + exp(-difference)) is minimised by Newton's method over
    standardised features, with a little L2. Source: Burges et al., Learning to Rank using Gradient
    Descent, 2005 (RankNet), with a linear score.

    :param features: shape (candidates, features), rows grouped by listing.
    :param relevance: shape (candidates,), higher is better.
    :param sizes: candidates of each listing, in row order.
    :raises InputError: if sizes do not add up, or no listing has candidates of different grades.
    """
    if int(np.sum(sizes)) != len(features) or len(relevance) != len(features):
        raise InputError(
            f"expected a grade for each of {len(features)} candidates and sizes that add up to "
            f"them, got {len(relevance)} grades and a sum of {int(np.sum(sizes))}"
        )
    better, worse = _pairs(relevance, np.asarray(sizes, np.int64))
    if not len(better):
        raise InputError("expected candidates of different grades in some listing, found none")
    spread = features.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 0, spread, 1.0)
    differences = (features[better].astype(np.float64) - features[worse]) / scale
    return LinearRanker(_minimised(differences) / scale)


def _pairs(
    relevance: NDArray[np.integer[Any]], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of each listing's best candidate and of those below it, one row a pair."""
    filled = sizes[sizes > 0]
    starts = np.cumsum(filled) - filled
    listing = np.repeat(np.arange(len(filled)), filled)
    order = np.lexsort((np.arange(len(relevance)), -relevance, listing))
    best = order[starts][listing] if len(starts) else np.zeros(0, np.int64)
    worse = np.flatnonzero(relevance < relevance[best])
    return best[worse], worse


def _minimised(differences: Floats) -> Floats:
    pairs, width = differences.shape
    weights = np.zeros(width)
    for _ in range(_STEPS):
        # The loss is flat far out: clipping changes nothing but keeps exp finite.
        doubt = 1.0 / (1.0 + np.exp(np.clip(differences @ weights, -500, 500)))
        slope = _L2 * weights - differences.T @ doubt / pairs
        curve = (differences * (doubt * (1 - doubt))[:, None]).T @ differences / pairs
        step = np.linalg.solve(curve + _L2 * np.eye(width), slope)
        weights = weights - step
        if float(np.abs(step).max(initial=0.0)) < _CONVERGED:
            break
    return weights
