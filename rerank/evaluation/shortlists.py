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
from rerank.ranking import ModelTable
from rerank.resolution import ScoredCandidate
from rerank.training.evidence import Prepared, Preparer

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
            ScoredCandidate("", r.model, r.memory_gb, r.form_factor, 0.0, 0.0, 0.0, 0.0)
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
    listing = [each.candidates.listing + at * _BATCH for at, each in enumerate(batches)]
    record = np.concatenate([each.candidates.record for each in batches])
    truth = RankedCandidates.of(gold, np.concatenate(listing), record, preparer.table)
    return PreparedGold(gold, batches, truth, preparer.table)
