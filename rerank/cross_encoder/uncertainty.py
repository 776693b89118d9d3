"""Where a cascade rescores: close scores of different models, or a decision held for review."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rerank.cross_encoder.cascade import Uncertain
from rerank.features import CueReader, OfferFeatures
from rerank.model import RerankModel
from rerank.ranking import RankingBatch

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


class CloseScores:
    """Uncertain where the best candidate of another model scores nearly as high.

    :param gap: of the first ranker's scores; at or below it two are close.
    """

    def __init__(self, gap: float) -> None:
        self._gap = gap

    def __call__(self, batch: RankingBatch, scores: Floats) -> Bools:
        listing = batch.candidates.listing
        n_listings = len(batch.candidates.offsets) - 1
        model = batch.table.model_of_record[batch.candidates.record]
        order = np.lexsort((batch.table.tie_rank[batch.candidates.record], -scores, listing))
        best = np.full(n_listings, -np.inf)
        best_model = np.full(n_listings, -1, np.int64)
        with_candidates, first = np.unique(listing[order], return_index=True)
        best[with_candidates] = scores[order[first]]
        best_model[with_candidates] = model[order[first]]
        rival = np.full(n_listings, -np.inf)
        others = model != best_model[listing]
        np.maximum.at(rival, listing[others], scores[others])
        there = np.isfinite(best) & np.isfinite(rival)
        return np.asarray(there & (np.where(there, best, 0) - rival <= self._gap), np.bool_)


class HeldForReview:
    """Uncertain where the resolver's model would hold the listing for review."""

    def __init__(self, model: RerankModel, cues: CueReader) -> None:
        self._model, self._cues = model, cues
        self._offer_features = OfferFeatures()

    def __call__(self, batch: RankingBatch, scores: Floats) -> Bools:
        candidates = batch.candidates
        cues = self._cues.find([(reading.text, reading.runs) for reading in candidates.readings])
        offers, best = self._offer_features.compute(
            candidates, batch.table, batch.features, scores, cues
        )
        probability = self._model.probability(offers)
        limits = self._model.thresholds
        held = (probability >= limits.review) & (probability < limits.match)
        return np.asarray(held & (best >= 0), np.bool_)


class AnyOf:
    """Uncertain where one of several says so."""

    def __init__(self, *reasons: Uncertain) -> None:
        self._reasons = reasons

    def __call__(self, batch: RankingBatch, scores: Floats) -> Bools:
        found = np.zeros(len(batch.candidates.offsets) - 1, np.bool_)
        for reason in self._reasons:
            found |= reason(batch, scores)
        return found
