"""What is measured of a ranking by two objectives, each metric a value with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.dual.fitting import CONFLICT_FROM, is_error
from rerank.dual.order import in_places, ranked_rows
from rerank.dual.scored_set import ScoredSet
from rerank.evaluation import weighted
from rerank.evaluation.catalogue import ECE, ROC_AUC, Better, Metric
from rerank.evaluation.curves import wilson
from rerank.evaluation.intervals import DEFAULT_SAMPLES, Figure, Resampling, rounded
from rerank.evaluation.metrics import normalised_gain

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CUTOFFS = (1, 3, 5)
UNCERTAINTY_BINS = 4
_PLACES = 10
_OVER_QUERIES = "mean over queries; a query without candidates counts as the worst"


@dataclass(frozen=True, slots=True, eq=False)
class RankedOutcomes:
    """What a ranking of a set came to.

    :param by_query: each metric's column, shape (queries,).
    :param conflict_probability: shape (candidates,), in [0, 1]; None of what states none.
    :param conflict: shape (candidates,), whether there is one.
    :param error: shape (queries,), whether another candidate has a higher label than the first.
    """

    by_query: Mapping[str, Floats]
    conflict_probability: Floats | None
    conflict: Bools
    error: Bools


def outcomes_of(
    scored: ScoredSet, scores: Floats, label: Floats, conflict_probability: Floats | None
) -> RankedOutcomes:
    """Rank a set's candidates by score and hold them against the truth.

    :param label: shape (candidates,), y, the gain of nDCG.
    """
    order = ranked_rows(scored, scores)
    compliance = in_places(scored, scored.compliance, order)
    gains = np.nan_to_num(in_places(scored, label, order))
    columns = {f"compliance_at_{k}": _mean_of_first(compliance, k) for k in CUTOFFS}
    columns["ndcg_at_10"] = normalised_gain(gains, -np.sort(-gains, axis=1), _PLACES)
    conflict = scored.conflict >= CONFLICT_FROM
    first = in_places(scored, conflict.astype(np.float64), order)[:, 0]
    columns["conflict_at_1"] = np.where(np.isnan(first), 1.0, first)
    return RankedOutcomes(columns, conflict_probability, conflict, is_error(scored, scores, label))


def _metric(name: str, label: str, definition: str, better: Better, source: str) -> Metric:
    return Metric(
        name=name,
        label=label,
        definition=definition,
        columns=(name,),
        over=None,
        better=better,
        source=source,
        function=_mean,
        weighted=weighted.mean_of(_as_they_are),
        per_listing=_as_they_are,
    )


def _as_they_are(values: Floats) -> Floats:
    return values


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _compliance(cutoff: int) -> Metric:
    return _metric(
        f"compliance_at_{cutoff}",
        f"compliance@{cutoff}",
        f"mean compliance of the first {cutoff} candidates; {_OVER_QUERIES}",
        Better.HIGHER,
        "Järvelin, Kekäläinen 2002 (cumulated gain, divided by the cutoff)",
    )


COMPLIANCE_AT_1 = _compliance(1)
NDCG_AT_10 = _metric(
    "ndcg_at_10",
    "nDCG@10",
    f"gain y, linear, over that of the best order; {_OVER_QUERIES}",
    Better.HIGHER,
    "Järvelin, Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002",
)
CONFLICT_AT_1 = _metric(
    "conflict_at_1",
    "conflict@1",
    "share of queries whose first candidate conflicts",
    Better.LOWER,
    "this project's design",
)
QUERY_METRICS = (COMPLIANCE_AT_1, _compliance(3), _compliance(5), NDCG_AT_10, CONFLICT_AT_1)


@dataclass(frozen=True, slots=True, eq=False)
class Resamplings:
    """One drawing of queries, for columns with one row a query and one row a candidate alike."""

    queries: Resampling
    candidates: Resampling

    @classmethod
    def draw(cls, scored: ScoredSet, *, seed: int, samples: int = DEFAULT_SAMPLES) -> Resamplings:
        """Draw bootstrap samples of the queries of a set."""
        queries = Resampling.draw(range(scored.n_queries), seed=seed, samples=samples)
        return cls(queries, Resampling(scored.query, queries.counts, seed))

    def figures(self, outcomes: RankedOutcomes) -> dict[str, Figure]:
        """Return each metric of a ranking with its 95 % interval."""
        found = {
            metric.name: self.queries.figure(metric, outcomes.by_query[metric.name])
            for metric in QUERY_METRICS
        }
        if outcomes.conflict_probability is not None:
            columns = outcomes.conflict_probability, outcomes.conflict
            found["conflict_auc"] = self.candidates.figure(ROC_AUC, *columns)
            found["conflict_ece"] = self.candidates.figure(ECE, *columns)
        return found


def uncertainty_figures(
    resampling: Resampling, doubt: Floats, error_probability: Floats, error: Bools
) -> dict[str, Any]:
    """Return whether doubt is larger where errors are more frequent, as plain values.

    ``auc`` is the chance that a query whose first candidate is wrong has more doubt than one whose
    is right; ``ece`` that of the stated chance of an error; ``bins`` are quarters of the queries by
    doubt, each with its share of errors and Wilson's interval.
    """
    order = np.argsort(doubt, kind="stable")
    bins = []
    for rows in np.array_split(order, UNCERTAINTY_BINS):
        if len(rows):
            share = float(error[rows].mean())
            low, high = wilson(share, len(rows))
            bins.append(
                {
                    "n": len(rows),
                    "mean_doubt": rounded(float(doubt[rows].mean())),
                    "mean_error_probability": rounded(float(error_probability[rows].mean())),
                    "share_wrong": rounded(share),
                    "ci95": [rounded(low), rounded(high)],
                }
            )
    return {
        "share_wrong": resampling.figure(_mean, error.astype(np.float64)).as_dict(),
        "auc": resampling.figure(ROC_AUC, doubt, error).as_dict(),
        "ece": resampling.figure(ECE, error_probability, error).as_dict(),
        "bins": bins,
    }


def _mean_of_first(grid: Floats, cutoff: int) -> Floats:
    top = grid[:, :cutoff]
    there = ~np.isnan(top)
    return np.asarray(np.nan_to_num(top).sum(axis=1) / np.maximum(there.sum(axis=1), 1), np.float64)
