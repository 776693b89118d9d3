"""Rankers beside each other: what each makes of the same retrieved candidates of gold listings.

Candidates and features are computed once for a set, so that nothing but the ranker, and what
decides on its scores, changes from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.catalogue import (
    ACCEPTED_SHARE,
    ECE,
    FALSE_ACCEPTS,
    NDCG_AT_10,
    PRECISION_AT_1,
    PRECISION_OF_ACCEPTED,
    Metric,
)
from rerank.evaluation.comparison import adjusted, compare
from rerank.evaluation.gold import GoldListing
from rerank.evaluation.intervals import Resampling
from rerank.evaluation.measure import figures_of
from rerank.evaluation.outcomes import Outcomes
from rerank.evaluation.prepared_gold import PreparedBatch, PreparedGold
from rerank.features import OfferFeatures
from rerank.model import RerankModel
from rerank.ranking import Ranker

Progress = Callable[[str, float], None]
Floats = NDArray[np.float64]

ORDER_METRICS = (PRECISION_AT_1, NDCG_AT_10)
DECISION_METRICS = (ECE, ACCEPTED_SHARE, PRECISION_OF_ACCEPTED, FALSE_ACCEPTS)
COMPARED_METRICS = (PRECISION_AT_1, NDCG_AT_10, ECE)


@dataclass(frozen=True, slots=True)
class Competitor:
    """A ranker with what decides on its scores.

    :param name: its key in reports.
    :param model: None if it orders only, so that there is no probability.
    """

    name: str
    ranker: Ranker
    model: RerankModel | None = None

    def scores(self, batch: PreparedBatch) -> NDArray[np.float32]:
        """Return a score for each candidate of a batch."""
        return self.ranker.score(batch.ranking)

    def probability(self, batch: PreparedBatch, scores: NDArray[np.float32]) -> Floats:
        """Return each listing's `match_probability`, shape (listings,); 0 without a candidate.

        It has none if it orders only: NaN.
        """
        if self.model is None:
            return np.full(len(batch.ranking.listings), np.nan)
        offers, best = OfferFeatures().compute(
            batch.ranking.candidates,
            batch.ranking.table,
            batch.ranking.features,
            scores,
            batch.cues,
        )
        return np.where(best >= 0, self.model.probability(offers), 0.0)


def compare_on(
    prepared: PreparedGold,
    competitors: Sequence[Competitor],
    *,
    baseline: str,
    resampling: Resampling,
    progress: Progress = lambda stage, share: None,
) -> dict[str, dict[str, Any]]:
    """Return, by competitor, ``metrics`` with intervals and ``differences`` to one of them.

    A difference is of `COMPARED_METRICS`, paired, with a p-value corrected over the competitors of
    each metric by Holm; the one compared with has none, and one that orders only none of the ECE.

    :param baseline: name of the competitor that others are compared with.
    :param resampling: of the set's listings.
    """
    outcomes = {each.name: _outcomes(prepared, each, progress) for each in competitors}
    deciding = {each.name for each in competitors if each.model is not None}
    progress("metrics", 0.0)
    differences = _differences(outcomes, deciding, baseline, resampling)
    found: dict[str, dict[str, Any]] = {}
    for name, own in outcomes.items():
        measured = (*ORDER_METRICS, *(DECISION_METRICS if name in deciding else ()))
        figures = figures_of(own, resampling, measured)
        found[name] = {
            "metrics": {metric: figure.as_dict() for metric, figure in figures.items()},
            "differences": differences[name],
        }
    return found


def _outcomes(prepared: PreparedGold, competitor: Competitor, progress: Progress) -> Outcomes:
    scores, probability = [], []
    for at, batch in enumerate(prepared.batches):
        progress(competitor.name, at / len(prepared.batches))
        own = competitor.scores(batch)
        scores.append(own)
        probability.append(competitor.probability(batch, own))
    ranks, grades = prepared.truth.outcomes(np.concatenate(scores))
    sure = np.concatenate(probability)
    limit = np.inf if competitor.model is None else competitor.model.thresholds.match
    unmeasured = np.zeros(len(ranks), np.bool_)
    return Outcomes(
        is_match=prepared.is_match,
        ranks=ranks,
        grades=grades,
        probability=sure,
        accepted=sure >= limit,
        memory_agrees=unmeasured,
        memory_judged=unmeasured,
    )


def _differences(
    outcomes: Mapping[str, Outcomes], deciding: set[str], baseline: str, resampling: Resampling
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {name: {} for name in outcomes}
    for metric in COMPARED_METRICS:
        others = [name for name in outcomes if name != baseline]
        if metric in DECISION_METRICS:
            others = [name for name in others if name in deciding and baseline in deciding]
        columns = {name: list(_columns(metric, outcomes[name])) for name in (*others, baseline)}
        where = None if metric.over is None else getattr(outcomes[baseline], metric.over)
        compared = adjusted(
            [
                compare(
                    resampling,
                    metric,
                    columns[name],
                    columns[baseline],
                    system=name,
                    baseline=baseline,
                    where=where,
                )
                for name in others
            ]
        )
        for item in compared:
            found[item.system][metric.name] = item.as_dict()
    return found


def _columns(metric: Metric, outcomes: Outcomes) -> Iterator[NDArray[Any]]:
    return (getattr(outcomes, name) for name in metric.columns)


def drawn(gold: Sequence[GoldListing], limit: int | None, *, seed: int) -> list[GoldListing]:
    """Return at most ``limit`` listings drawn by a seed, in their order; all without a limit."""
    if limit is None or len(gold) <= limit:
        return list(gold)
    rows = np.sort(np.random.default_rng(seed).choice(len(gold), limit, replace=False))
    return [gold[row] for row in rows.tolist()]
