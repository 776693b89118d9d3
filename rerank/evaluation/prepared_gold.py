"""Gold listings with their candidates and features: what every ranker reads, computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.ranked_candidates import RankedCandidates
from rerank.evaluation.routes import N_CANDIDATES
from rerank.features import CandidateFeatures, CueReader
from rerank.features.cues import CueHits
from rerank.ranking import RankingBatch
from rerank.retrieval import Retriever

_BATCH = 256  # a slow ranker shows progress from one to the next


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """Listings with all that needs no trained ranker."""

    ranking: RankingBatch
    cues: CueHits


@dataclass(frozen=True, slots=True)
class PreparedGold:
    """A set of judged gold listings, prepared.

    :param batches: its listings in order, at least one batch.
    :param truth: candidates of all batches held against the gold.
    """

    gold: Sequence[GoldListing]
    batches: Sequence[PreparedBatch]
    truth: RankedCandidates

    @property
    def is_match(self) -> NDArray[np.bool_]:
        """Whether each listing sells a GPU of the registry."""
        return np.array([item.kind is GoldKind.MATCH for item in self.gold], np.bool_)


class GoldPreparer:
    """Retrieves candidates of listings and computes their features."""

    def __init__(self, retriever: Retriever, cues: CueReader) -> None:
        self._retriever, self._cues = retriever, cues
        self._features = CandidateFeatures(retriever.table)

    def prepare(
        self,
        gold: Sequence[GoldListing],
        *,
        progress: Callable[[float], None] = lambda share: None,
    ) -> PreparedGold:
        """Prepare listings of kind match or nil.

        :raises InputError: if there are none.
        """
        if not gold:
            raise InputError("expected gold listings to rank, got none")
        batches = []
        for start in range(0, len(gold), _BATCH):
            progress(start / len(gold))
            batches.append(self.batch(gold[start : start + _BATCH]))
        starts = np.cumsum([0, *(len(each.ranking.listings) for each in batches)])
        listing = [
            each.ranking.candidates.listing + start
            for each, start in zip(batches, starts[:-1], strict=True)
        ]
        record = np.concatenate([each.ranking.candidates.record for each in batches])
        truth = RankedCandidates.of(gold, np.concatenate(listing), record, self._retriever.table)
        return PreparedGold(gold, batches, truth)

    def batch(self, gold: Sequence[GoldListing]) -> PreparedBatch:
        """Prepare listings as one batch."""
        listings = [item.listing for item in gold]
        candidates = self._retriever.retrieve(listings, n_candidates=N_CANDIDATES)
        cues = self._cues.find([(reading.text, reading.runs) for reading in candidates.readings])
        features = self._features.compute(listings, candidates, cues)
        ranking = RankingBatch(listings, candidates, features, self._retriever.table)
        return PreparedBatch(ranking, cues)
