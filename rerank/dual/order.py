"""The order that scores give the candidates of each query."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.dual.scored_set import ScoredSet

Ints = NDArray[np.int64]

NO_ROW = -1


def ranked_rows(scored: ScoredSet, scores: NDArray[np.floating[Any]]) -> Ints:
    """Return rows by query and falling score; equal scores by candidate_id."""
    _, tie = np.unique(np.array(scored.candidate_id, np.str_), return_inverse=True)
    return np.lexsort((tie, -scores, scored.query))


def first_rows(scored: ScoredSet, scores: NDArray[np.floating[Any]]) -> Ints:
    """Return the row of each query's first candidate, -1 where it has none."""
    order = ranked_rows(scored, scores)
    found = np.full(scored.n_queries, NO_ROW, np.int64)
    filled = np.diff(scored.offsets) > 0
    found[filled] = order[scored.offsets[:-1][filled]]
    return found


def in_places(scored: ScoredSet, values: NDArray[np.floating[Any]], order: Ints) -> Any:
    """Return values as a grid of shape (queries, most candidates) in ranked order, NaN beyond."""
    sizes = np.diff(scored.offsets)
    grid = np.full((scored.n_queries, max(1, int(sizes.max(initial=0)))), np.nan)
    place = np.arange(len(order)) - scored.offsets[:-1][scored.query]
    grid[scored.query, place] = values[order]
    return grid
