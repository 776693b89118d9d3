"""What serves without a trained network: weighted sums of a few metrics, by hand.

A profile section, a project and whatever else is not a GPU: 0.3 clarity + 0.4 impact + 0.3
keyword_score, each 0 to 1 as their writers measure them, so 0 to 1 as well. A ``gpu_candidate``:
`CANDIDATE_WEIGHTS` over the features of the LambdaRank model. A metric that is missing, or no
finite number, counts as 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rerank.annotation.candidate_items import CANDIDATE_TYPE
from rerank.features import CANDIDATE_FEATURES
from rerank.pairwise.items import PairItem

Floats = NDArray[np.float32]

PROFILE_WEIGHTS = {"clarity": 0.3, "impact": 0.4, "keyword_score": 0.3}
_OTHER_NAMES = {"keyword_score": "keyword"}

CANDIDATE_WEIGHTS = {
    "name_quality": 1.0,  # -1 unnamed to about 4: the number, its suffixes and line words
    "similarity_gap": 1.0,  # -0.8 to 0: breaks ties of names
    "memory_fit": 1.0,  # the next three: 1 equal, 0 unsaid, -1 another
    "memory_type_fit": 0.5,
    "form_fit": 0.5,
    "vendor_fit": 0.3,
    "rival_words": -0.1,  # 0..40: words that fit another candidate
    "variant_rank": -0.02,  # 0..: of equals, the most common variant
}

PROFILE_CONFIDENCE, CANDIDATE_CONFIDENCE = 4.0, 1.0
"""Log-odds of a preference for a difference of 1 in score; not calibrated."""

_CANDIDATE_COLUMN = np.array(
    [CANDIDATE_WEIGHTS.get(name, 0.0) for name in CANDIDATE_FEATURES], np.float32
)


def heuristic_scores(items: Sequence[PairItem]) -> Floats:
    """Return a score an item, shape (items,); comparable among items of one kind."""
    return np.array([_score(item) for item in items], np.float32)


def heuristic_candidate_scores(features: Floats) -> Floats:
    """Return a score a row, shape (rows,).

    :param features: shape (rows, len(CANDIDATE_FEATURES)).
    """
    return np.asarray(features @ _CANDIDATE_COLUMN, np.float32)


def heuristic_confidence_scale(item: PairItem) -> float:
    """Return the log-odds of a preference for a difference of 1 in score."""
    is_candidate = item.item_type == CANDIDATE_TYPE
    return CANDIDATE_CONFIDENCE if is_candidate else PROFILE_CONFIDENCE


def _score(item: PairItem) -> float:
    weights = CANDIDATE_WEIGHTS if item.item_type == CANDIDATE_TYPE else PROFILE_WEIGHTS
    return sum(weight * _metric(item.metrics, name) for name, weight in weights.items())


def _metric(metrics: Mapping[str, float], name: str) -> float:
    value = metrics.get(name, metrics.get(_OTHER_NAMES.get(name, name), 0.0))
    return value if math.isfinite(value) else 0.0
