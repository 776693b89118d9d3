"""The cross-encoder as a ranker: each listing's text beside each candidate's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rerank.cross_encoder.pair_encoding import TextPair
from rerank.cross_encoder.pair_texts import gpu_text, query_text
from rerank.cross_encoder.scorer import CrossEncoderScorer
from rerank.ranking import RankingBatch

Floats = NDArray[np.float32]


class CrossEncoderRanker:
    """Scores candidates by their texts alone; reads no features."""

    def __init__(self, scorer: CrossEncoderScorer) -> None:
        self._scorer = scorer

    def score(self, batch: RankingBatch) -> Floats:
        listing, record = batch.candidates.listing, batch.candidates.record
        if not len(record):
            return np.zeros(0, np.float32)
        queries = {at: query_text(batch.listings[at]) for at in np.unique(listing).tolist()}
        documents = {at: gpu_text(batch.table.records[at]) for at in np.unique(record).tolist()}
        pairs = [
            TextPair(queries[at], documents[number])
            for at, number in zip(listing.tolist(), record.tolist(), strict=True)
        ]
        return self._scorer.score(pairs)
