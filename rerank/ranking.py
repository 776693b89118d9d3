"""What a ranker reads and gives: the seam between candidates and whatever orders them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.records import Listing
from rerank.retrieval import Candidates, ModelTable

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RankingBatch:
    """Listings with their candidates, as a ranker may read them.

    :param features: shape (candidates, len(CANDIDATE_FEATURES)), rows as those of ``candidates``.
    :param table: the registry's records, which ``candidates.record`` counts in.
    """

    listings: Sequence[Listing]
    candidates: Candidates
    features: Floats
    table: ModelTable


class Ranker(Protocol):
    """Orders the candidates of each listing.

    What calibrates and decides is trained on one ranker's scores and goes with no other.
    """

    def score(self, batch: RankingBatch) -> Floats:
        """Return raw scores, shape (candidates,); comparable within one listing only."""


class FeatureScorer(Protocol):
    """Scores rows of features, each by itself."""

    def score(self, features: Floats) -> Floats:
        """Return one score a row, shape (rows,)."""


@dataclass(frozen=True, slots=True)
class FeatureRanker:
    """A ranker that reads features only, such as LambdaRank's trees."""

    scorer: FeatureScorer

    def score(self, batch: RankingBatch) -> Floats:
        return self.scorer.score(batch.features)
