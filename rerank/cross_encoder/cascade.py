"""A cascade: a slow ranker rescores the top few of a fast one, where that one is not sure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rerank.index.errors import InputError
from rerank.model import RerankModel
from rerank.ranking import Ranker, RankingBatch

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


# Tells of each listing, shape (listings,), whether the first ranker's order is not to be trusted;
# reads the batch and that ranker's scores, shape (candidates,).
Uncertain = Callable[[RankingBatch, Floats], Bools]


class Cascade:
    """Two rankers in a row, itself one.

    The rescored few of a listing keep the first ranker's scores, dealt out anew in their new
    order: they stay above the rest, and what reads the scores' size and gaps, as the offer
    classifier does, finds what it was trained on. Equal scores are told apart by the smallest step.

    :param uncertain: a listing is rescored where one of these says so.
    :param top: how many of its candidates are.
    :param second_weight: the new order is that of first + second_weight * second score.
    :raises InputError: if ``top`` is below 2 or the weight not above 0.
    """

    def __init__(
        self,
        first: Ranker,
        second: Ranker,
        *uncertain: Uncertain,
        top: int = 5,
        second_weight: float = 1.0,
    ) -> None:
        if top < 2 or not second_weight > 0:
            raise InputError(
                f"expected top of at least 2 and a second_weight above 0, got {top} and "
                f"{second_weight:g}"
            )
        self._first, self._second, self._uncertain = first, second, uncertain
        self._top, self._second_weight = top, second_weight

    def score(self, batch: RankingBatch) -> Floats:
        scores = np.asarray(self._first.score(batch), np.float32)
        listing, ties = batch.candidates.listing, batch.table.tie_rank[batch.candidates.record]
        unsure = np.any([doubts(batch, scores) for doubts in self._uncertain], axis=0)
        order = np.lexsort((ties, -scores, listing))
        place = np.arange(len(order)) - batch.candidates.offsets[listing[order]]
        chosen = order[unsure[listing[order]] & (place < self._top)]  # best first in each listing
        if not len(chosen):
            return scores
        rows = np.sort(chosen)
        few = replace(
            batch,
            features=batch.features[rows],
            candidates=batch.candidates.take(rows),
        )
        second = np.zeros(len(scores), np.float64)
        second[rows] = self._second.score(few)
        combined = scores + self._second_weight * second
        dealt = chosen[np.lexsort((ties[chosen], -combined[chosen], listing[chosen]))]
        rescored = scores.copy()
        rescored[dealt] = scores[chosen]
        _raise_ties(rescored, dealt, listing, _best_of_rest(scores, rows, listing))
        return rescored


def _best_of_rest(scores: Floats, rescored: Ints, listing: Ints) -> Floats:
    """Return the best score that is not rescored, for each listing; shape (listings,)."""
    best = np.full(int(listing.max()) + 1, -np.inf, np.float32)
    rest = np.ones(len(scores), bool)
    rest[rescored] = False
    np.maximum.at(best, listing[rest], scores[rest])
    return best


def _raise_ties(scores: Floats, best_first: Ints, listing: Ints, floor: Floats) -> None:
    """Raise rescored candidates, the last first, above the one that follows or the rest's best."""
    below = floor.copy()
    for row in best_first[::-1].tolist():
        at = listing[row]
        if scores[row] <= below[at]:
            scores[row] = np.nextafter(below[at], np.float32(np.inf))
        below[at] = scores[row]


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
    """Uncertain where the resolver's model would hold the listing for review.

    :param offers: describes the best candidates of a ranker's scores, as of
        `rerank.domain.CardTools.offers`.
    """

    def __init__(
        self,
        model: RerankModel,
        offers: Callable[[RankingBatch, Floats], tuple[Floats, Ints]],
    ) -> None:
        self._model, self._offers = model, offers

    def __call__(self, batch: RankingBatch, scores: Floats) -> Bools:
        offers, best = self._offers(batch, scores)
        probability = self._model.probability(offers)
        limits = self._model.thresholds
        held = (probability >= limits.review) & (probability < limits.match)
        return np.asarray(held & (best >= 0), np.bool_)
