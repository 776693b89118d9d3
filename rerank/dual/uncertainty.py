"""How far an ensemble doubts its own first choice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def doubt_of_first(members: Floats, offsets: Ints) -> Floats:
    """Return how far the members doubt the candidate of the highest mean score.

    Definition: 1 less the mean over members of the share that a softmax of the member's scores
    gives it: near 0 where every member puts it far ahead, high where a member is torn or members
    differ. Two candidates that are equally good make doubt without error, which calibration
    allows for. Range [0, 1], shape (queries,); 1 for a query without candidates. Source:
    Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty Estimation using Deep
    Ensembles, 2017 (mean of the members' probabilities).

    :param members: shape (members, candidates), scores.
    :param offsets: shape (queries + 1,), rows of each query.
    """
    sizes = np.diff(offsets)
    doubt = np.ones(len(sizes))
    starts = offsets[:-1][sizes > 0]
    if not len(starts):
        return doubt
    filled = sizes[sizes > 0]
    highest = np.maximum.reduceat(members, starts, axis=1)
    share = np.exp(members - np.repeat(highest, filled, axis=1))
    share /= np.repeat(np.add.reduceat(share, starts, axis=1), filled, axis=1)
    mean, score = share.mean(axis=0), members.mean(axis=0)
    best = np.repeat(np.maximum.reduceat(score, starts), filled)
    # Of several with the highest score, equal in all the ranker reads, the share is the same.
    doubt[sizes > 0] = 1.0 - np.maximum.reduceat(np.where(score >= best, mean, 0.0), starts)
    return doubt
