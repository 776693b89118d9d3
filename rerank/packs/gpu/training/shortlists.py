"""Candidates of gold listings with their truth, so that any scores of them become ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.gold import GoldKind, GoldListing, canonical_key
from rerank.evaluation.intervals import Resampling
from rerank.evaluation.metrics import (
    ACCEPTED_SHARE,
    ECE,
    FALSE_ACCEPTS,
    GRADED_PLACES,
    NDCG_AT_10,
    PRECISION_AT_1,
    PRECISION_OF_ACCEPTED,
)
from rerank.evaluation.outcomes import Outcomes, grade
from rerank.evaluation.paired import Competitor, PairedTable, plain
from rerank.index.errors import InputError
from rerank.index.records import Progress
from rerank.packs.gpu.card_answers import best_features, decided
from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.training.evidence import Prepared, Preparer, evidence_of
from rerank.ranking import CandidateBatch, ModelTable, variant_order
from rerank.resolution import DECISIONS, Decision, ScoredCandidate

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
    table: Lexicon

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


ORDER_METRICS = (PRECISION_AT_1, NDCG_AT_10)
DECISION_METRICS = (ECE, ACCEPTED_SHARE, PRECISION_OF_ACCEPTED, FALSE_ACCEPTS)
COMPARED_METRICS = (PRECISION_AT_1, NDCG_AT_10, ECE)


def outcomes_of(competitor: Competitor, prepared: PreparedGold, progress: Progress) -> Outcomes:
    """Rank a set and decide; what only orders has no probability, NaN, and accepts nothing."""
    scores, probability, accepted = [], [], []
    for at, batch in enumerate(prepared.batches):
        progress(competitor.name, at / len(prepared.batches))
        own, sure, taken = judged(competitor, batch, prepared.table)
        scores.append(own)
        probability.append(sure)
        accepted.append(taken)
    ranks, grades = prepared.truth.outcomes(np.concatenate(scores))
    unmeasured = np.zeros(len(ranks), np.bool_)
    return Outcomes(
        is_match=prepared.is_match,
        ranks=ranks,
        grades=grades,
        probability=np.concatenate(probability),
        accepted=np.concatenate(accepted),
        memory_agrees=unmeasured,
        memory_judged=unmeasured,
        memory_open=unmeasured,
        variant_probability=np.zeros(len(ranks)),
    )


def judged(
    competitor: Competitor, batch: Prepared, table: Lexicon
) -> tuple[NDArray[np.float32], Floats, NDArray[np.bool_]]:
    """Return each candidate's score, and each listing's `match_probability` and acceptance.

    The probability is 0 without a candidate, and NaN where the competitor orders only.
    """
    evidence = evidence_of(batch, competitor.ranker, table)
    if competitor.model is None:
        none = np.zeros(len(batch.labelled), np.bool_)
        return evidence.scores, np.full(len(batch.labelled), np.nan), none
    probability = competitor.model.probability(evidence.offers)
    thresholds = competitor.model.thresholds
    sure, decision = decided(evidence, best_features(evidence), probability, thresholds, table)
    return evidence.scores, sure, decision == DECISIONS.index(Decision.MATCH)


def compare_on(
    prepared: PreparedGold,
    competitors: Sequence[Competitor],
    *,
    baseline: str,
    resampling: Resampling,
    progress: Progress = lambda stage, share: None,
) -> dict[str, dict[str, Any]]:
    """Return, by competitor, ``metrics`` with intervals and ``differences`` to one of them.

    Candidates and features were computed once, so that nothing but the ranker, and what decides on
    its scores, changes from one to the next. A difference is of `COMPARED_METRICS`, paired, with a
    p-value corrected over the competitors of each metric by Holm; the one compared with has none,
    and one that orders only none of the ECE.

    :param baseline: name of the competitor that others are compared with.
    :param resampling: of the set's listings.
    """
    table = PairedTable(
        {each.name: outcomes_of(each, prepared, progress) for each in competitors}, resampling
    )
    deciding = [each.name for each in competitors if each.model is not None]
    progress("metrics", 0.0)
    found: dict[str, dict[str, Any]] = {}
    for name in table.systems:
        measured = (*ORDER_METRICS, *(DECISION_METRICS if name in deciding else ()))
        found[name] = {"metrics": plain(table.figures(name, measured)), "differences": {}}
    for metric in COMPARED_METRICS:
        able = list(table.systems) if metric in ORDER_METRICS else deciding
        for item in table.against(baseline, metric, able) if baseline in able else ():
            found[item.system]["differences"][metric.name] = item.as_dict()
    return found


class RankerTrials:
    """Measures rankers on the same candidates."""

    def __init__(self, preparer: Preparer) -> None:
        self._preparer = preparer

    def compared(
        self,
        gold: Sequence[GoldListing],
        competitors: Sequence[Competitor],
        *,
        baseline: str,
        resampling: Resampling,
        progress: Progress,
    ) -> dict[str, Any]:
        """Return how many listings of a set there are, how many match, and what `compare_on` finds.

        :raises InputError: if the set is empty.
        """
        prepared = prepare_gold(self._preparer, gold, progress=partial(progress, "features"))
        rankers = compare_on(
            prepared, competitors, baseline=baseline, resampling=resampling, progress=progress
        )
        return {"n": len(gold), "matches": int(prepared.is_match.sum()), "rankers": rankers}

    def ranking(self, competitor: Competitor, some: Sequence[GoldListing]) -> Callable[[], object]:
        """Return the work of ranking and deciding on listings whose features are computed."""
        prepared = self._preparer.prepare(some)
        return partial(judged, competitor, prepared, self._preparer.table)
