"""Export a trained network, and compare what was exported with torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.errors import RerankError
from rerank.pairwise.feature_space import FeatureSpace
from rerank.pairwise.graphs import comparer_graph, scorer_graph
from rerank.pairwise.network import Weights, scores_of
from rerank.pairwise.scoring import OnnxScorer, score_differences

Floats = NDArray[np.float32]

PARITY_TOLERANCE = 1e-5
"""How far an exported score may be from torch's."""

LARGE_SCORE = 10.0
"""From 8 on float32 has steps of 1e-6, and sums are off by some: beyond, the tolerance grows with
the largest score."""

_PARITY_ROWS = 4096
_HOLES = 0.3  # share of values that are taken out for the second half of the comparison


@dataclass(frozen=True, slots=True)
class Exported:
    """A network as graphs.

    :param parity: the largest differences from torch, and what was allowed.
    """

    scorer: bytes
    comparer: bytes
    parity: dict[str, float]


def export(space: FeatureSpace, weights: Weights, raw: Floats) -> Exported:
    """Export a network; compare it with torch on rows as they are, with holes, and on pairs.

    :param raw: rows of items, of which the first 4,096 are compared.
    :raises RerankError: if the graphs score otherwise.
    """
    scorer, comparer = scorer_graph(space, weights), comparer_graph(space, weights)
    rows = raw[:_PARITY_ROWS]
    holes = rows.copy()
    holes[np.random.default_rng(0).random(rows.shape) < _HOLES] = np.nan
    rows = np.concatenate([rows, holes])
    expected = scores_of(weights, space.prepared(rows))
    found = OnnxScorer(scorer, where="exported scorer").score(rows)
    compared = score_differences(comparer, rows, rows[::-1].copy(), where="exported comparer")
    worst = {
        "score": float(np.abs(found - expected).max()),
        "score_diff": float(np.abs(compared - (expected - expected[::-1])).max()),
    }
    largest = float(np.abs(expected).max())
    allowed = PARITY_TOLERANCE * max(1.0, largest / LARGE_SCORE)
    if not max(worst.values()) <= allowed:
        raise RerankError(
            f"the exported network differs from torch by {max(worst.values()):.2g}, more than "
            f"{allowed:.2g}; nothing was written"
        )
    return Exported(scorer, comparer, {**worst, "tolerance": allowed, "largest_score": largest})
