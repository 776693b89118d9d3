"""Candidates of gold listings with their truth, so that any scores of them become ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.gold import GoldKind, GoldListing, canonical_key
from rerank.evaluation.outcomes import GRADED_PLACES, grade
from rerank.features.candidates import CandidateFeatures
from rerank.features.cues import CueHits, CueReader
from rerank.index.errors import InputError
from rerank.index.records import N_CANDIDATES
from rerank.ranking import CandidateSource, ModelTable, RankingBatch
from rerank.resolution import ScoredCandidate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RankedCandidates:
    """Candidates of a set of listings, one row each.

    :param n_listings: listings of the set, with candidates or without.
    :param listing: shape (rows,), number of each candidate's listing.
    :param key: shape (rows,), number of its model; spellings of a model share one.
    :param grade: shape (rows,), 0 to 2 as of `outcomes.grade`.
    :param tie: shape (rows,), orders candidates of equal score, the lowest first.
    """

    n_listings: int
    listing: Ints
    key: Ints
    grade: Ints
    tie: Ints

    @classmethod
    def of(
        cls, gold: Sequence[GoldListing], listing: Ints, record: Ints, table: ModelTable
    ) -> RankedCandidates:
        """Hold retrieved candidates against gold listings.

        :param listing: shape (rows,), place of each candidate's listing in ``gold``.
        :param record: shape (rows,), row of each candidate in the registry.
        """
        numbers: dict[str, int] = {}
        keys = np.array(
            [numbers.setdefault(canonical_key(r.model), len(numbers)) for r in table.records],
            np.int64,
        )
        bare = [
            ScoredCandidate("", r.model, r.memory_gb, r.form_factor, 0.0, 0.0, 0.0)
            for r in table.records
        ]
        grades = [
            grade(gold[at], bare[row])
            for at, row in zip(listing.tolist(), record.tolist(), strict=True)
        ]
        return cls(
            len(gold), listing, keys[record], np.array(grades, np.int64), table.tie_rank[record]
        )

    def outcomes(self, scores: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Return ranks and graded relevance as `outcomes.judge` does, if scores are the order.

        Ranks of shape (listings,): place of the first right model from 1, variants counting once,
        infinite if there is none. Grades of shape (listings, 10): that model's best-scored variant
        graded at its place, else 0.

        :param scores: shape (rows,), higher is better; equal ones are ordered by gpu_id.
        """
        order = np.lexsort((self.tie, -scores, self.listing))
        listing, key, grades = self.listing[order], self.key[order], self.grade[order]
        pair = listing * (int(self.key.max(initial=0)) + 1) + key
        first = np.zeros(len(order), bool)
        first[np.unique(pair, return_index=True)[1]] = True
        before = np.concatenate([[0], np.cumsum(first)])
        start = np.searchsorted(listing, np.arange(self.n_listings))
        place = before[1:] - before[start][listing]
        right = np.flatnonzero(first & (grades > 0))
        ranks = np.full(self.n_listings, np.inf)
        np.minimum.at(ranks, listing[right], place[right].astype(np.float64))
        graded = np.zeros((self.n_listings, GRADED_PLACES))
        shown = right[(place[right] == ranks[listing[right]]) & (place[right] <= GRADED_PLACES)]
        graded[listing[shown], place[shown] - 1] = grades[shown]
        return ranks, graded


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

    def __init__(self, retriever: CandidateSource, cues: CueReader) -> None:
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
