"""Candidates of gold listings with their truth, so that any scores of them become ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.gold import GoldKind, GoldListing, canonical_key
from rerank.evaluation.metrics import GRADED_PLACES
from rerank.evaluation.outcomes import grade
from rerank.index.errors import InputError
from rerank.ranking import CandidateBatch, ModelTable, variant_order
from rerank.resolution import ScoredCandidate
from rerank.training.evidence import Prepared, Preparer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RankedCandidates:
    """Candidates of a set of listings, one row each.

    :param n_listings: listings of the set, with candidates or without.
    :param listing: shape (rows,), number of each candidate's listing.
    :param model: shape (rows,), number of its model.
    :param key: shape (rows,), as ``model``, but spellings of a model share one.
    :param grade: shape (rows,), 0 to 2 as of `outcomes.grade`.
    :param tie: shape (rows,), orders candidates whose models score alike, the lowest first.
    """

    n_listings: int
    listing: Ints
    model: Ints
    key: Ints
    grade: Ints
    tie: Ints

    @classmethod
    def of(
        cls, gold: Sequence[GoldListing], batches: Sequence[CandidateBatch], table: ModelTable
    ) -> RankedCandidates:
        """Hold retrieved candidates against gold listings.

        :param batches: candidates of the listings of ``gold``, at least one batch, in their order.
        """
        sizes = [len(batch.offsets) - 1 for batch in batches]
        starts = np.cumsum([0, *sizes[:-1]])
        listing = np.concatenate(
            [batch.listing + start for batch, start in zip(batches, starts, strict=True)]
        )
        record = np.concatenate([batch.record for batch in batches])
        numbers: dict[str, int] = {}
        keys = np.array(
            [numbers.setdefault(canonical_key(r.model), len(numbers)) for r in table.records],
            np.int64,
        )
        bare = [
            ScoredCandidate("", r.model, r.memory_gb, r.form_factor, 0.0, 0.0, 0.0, 0.0)
            for r in table.records
        ]
        grades = [
            grade(gold[at], bare[row])
            for at, row in zip(listing.tolist(), record.tolist(), strict=True)
        ]
        model = table.model_of_record[record].astype(np.int64)
        tie = np.concatenate([variant_order(batch, table) for batch in batches])
        return cls(len(gold), listing, model, keys[record], np.array(grades, np.int64), tie)

    def outcomes(self, scores: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Return ranks and graded relevance as `outcomes.judge` does, if scores are the order.

        Ranks of shape (listings,): place of the first right model from 1, variants counting once,
        infinite if there is none. Grades of shape (listings, 10): that model's likeliest variant
        graded at its place, else 0.

        :param scores: shape (rows,), higher is better; a model has that of its best variant.
        """
        pair = self.listing * (int(self.model.max(initial=0)) + 1) + self.model
        best = np.full(int(pair.max(initial=-1)) + 1, -np.inf)
        np.maximum.at(best, pair, scores)
        order = np.lexsort((self.tie, -best[pair], self.listing))
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
class PreparedGold:
    """A set of gold listings with all that needs no trained ranker.

    :param batches: its listings in order, at least one batch.
    :param truth: candidates of all batches held against the gold.
    :param table: the registry that candidates come from.
    """

    gold: Sequence[GoldListing]
    batches: Sequence[Prepared]
    truth: RankedCandidates
    table: ModelTable

    @property
    def is_match(self) -> NDArray[np.bool_]:
        """Whether each listing sells a GPU of the registry."""
        return np.array([item.kind is GoldKind.MATCH for item in self.gold], np.bool_)


def prepare_gold(
    preparer: Preparer,
    gold: Sequence[GoldListing],
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> PreparedGold:
    """Retrieve candidates of listings of kind match or nil and compute their features.

    :raises InputError: if there are none.
    """
    if not gold:
        raise InputError("expected gold listings to rank, got none")
    batches = list(preparer.batches(gold, size=_BATCH, progress=progress))
    truth = RankedCandidates.of(gold, [each.candidates for each in batches], preparer.table)
    return PreparedGold(gold, batches, truth, preparer.table)
