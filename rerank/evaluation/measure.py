"""Turn what a run recorded about a set into figures, comparisons and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.catalogue import METRICS, MRR, PRECISION_AT_1, Metric, metric_named, recall
from rerank.evaluation.comparison import Comparison, adjusted, compare
from rerank.evaluation.curves import curves_of
from rerank.evaluation.intervals import Figure, Resampling
from rerank.evaluation.outcomes import Outcomes
from rerank.evaluation.queries import UNKNOWN, JudgedSet, Texts
from rerank.evaluation.recording import OWN_SYSTEM
from rerank.evaluation.routes import ROUTE_CUTOFFS

Ranks = tuple[Texts, NDArray[np.float64]]
Figures = dict[str, Figure]

WHOLE = ("all", "all")
BASELINE_METRICS = (PRECISION_AT_1, recall(3), recall(10), MRR)
ROUTE_METRICS = tuple(recall(cutoff) for cutoff in ROUTE_CUTOFFS)
COMPARED_METRICS = (PRECISION_AT_1, MRR)
SLICE_METRICS = tuple(
    metric_named(name)
    for name in (
        "precision_at_1",
        "accepted_share",
        "precision_of_accepted",
        "nil_false_match_rate",
        "brier",
    )
)
_LARGEST_SLICES = 60


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one set.

    :param own: our figures over the whole set.
    :param others: of each other system, on the listings it was measured on.
    :param gains: of each baseline, our precision@1 less its own on the same listings.
    :param slices: of each slice, of each value, figures; a slice with one value is left out.
    """

    own: Figures
    others: Mapping[str, Figures]
    gains: Figures
    comparisons: Sequence[Comparison]
    slices: Mapping[str, Mapping[str, Figures]]
    curves: Mapping[str, Any]
    candidate_sets: Figures = field(default_factory=dict)

    def by_slice(self) -> dict[tuple[str, str, str], Figures]:
        """Return all figures by (system, slice, slice value), as the store keeps them."""
        return {
            (OWN_SYSTEM, *WHOLE): {**self.own, **self.candidate_sets},
            **{(system, *WHOLE): figures for system, figures in self.others.items()},
            **{
                (OWN_SYSTEM, name, value): figures
                for name, values in self.slices.items()
                for value, figures in values.items()
            },
        }


def measure(
    judged: JudgedSet,
    baselines: Mapping[str, Ranks],
    routes: Mapping[str, Ranks],
    *,
    seed: int,
    samples: int,
) -> Measured:
    """Measure a set: everything over the same resamples of its listing groups."""
    resampling = Resampling.draw(judged.groups, seed=seed, samples=samples)
    o = judged.outcomes
    placed = {name: _on_rows(judged.listing_ids, ranks) for name, ranks in baselines.items()}
    on_routes = {name: _on_rows(judged.listing_ids, ranks) for name, ranks in routes.items()}
    others = {
        **{name: _rank_figures(resampling, BASELINE_METRICS, r) for name, r in placed.items()},
        **{name: _rank_figures(resampling, ROUTE_METRICS, r) for name, r in on_routes.items()},
    }
    compared = [
        compare(
            resampling,
            metric,
            [o.ranks],
            [np.nan_to_num(ranks, nan=np.inf)],
            system=OWN_SYSTEM,
            baseline=name,
            where=~np.isnan(ranks),
        )
        for name, ranks in placed.items()
        for metric in COMPARED_METRICS
    ]
    return Measured(
        own=figures_of(o, resampling),
        others=others,
        gains=_gains(compared),
        comparisons=adjusted(compared),
        slices=_slices(judged, resampling),
        curves=curves_of(resampling, o.probability, o.correct),
        candidate_sets=_candidate_sets(judged, resampling),
    )


def figures_of(
    outcomes: Outcomes,
    resampling: Resampling,
    metrics: Sequence[Metric] = METRICS,
    where: NDArray[np.bool_] | None = None,
) -> Figures:
    """Return metrics of outcomes with their intervals, over the listings of ``where``."""
    mask = np.ones(len(outcomes.ranks), np.bool_) if where is None else where
    return {
        metric.name: resampling.figure(
            metric,
            *(getattr(outcomes, name) for name in metric.columns),
            where=mask if metric.over is None else mask & getattr(outcomes, metric.over),
        )
        for metric in metrics
    }


def _rank_figures(
    resampling: Resampling, metrics: Sequence[Metric], ranks: NDArray[np.float64]
) -> Figures:
    """Measure ranks on the listings that have one; NaN means that a listing was not asked."""
    asked = ~np.isnan(ranks)
    filled = np.nan_to_num(ranks, nan=np.inf, posinf=np.inf)
    return {metric.name: resampling.figure(metric, filled, where=asked) for metric in metrics}


def _gains(comparisons: Sequence[Comparison]) -> Figures:
    return {
        item.baseline: Figure(item.difference, item.ci95, item.n)
        for item in comparisons
        if item.metric == PRECISION_AT_1.name
    }


def _on_rows(listing_ids: Texts, ranks: Ranks) -> NDArray[np.float64]:
    """Spread another system's ranks over the rows of a set; NaN where it was not measured."""
    place = {listing_id: at for at, listing_id in enumerate(listing_ids)}
    column = np.full(len(listing_ids), np.nan)
    for listing_id, rank in zip(*ranks, strict=True):
        column[place[listing_id]] = rank
    return column


def _slices(judged: JudgedSet, resampling: Resampling) -> dict[str, dict[str, Figures]]:
    found = {}
    for name, column in judged.slices.items():
        values, counts = np.unique(column.astype(str), return_counts=True)
        if len(values) < 2:
            continue
        largest = sorted(zip(-counts, values.tolist(), strict=True))[:_LARGEST_SLICES]
        found[name] = {
            value or UNKNOWN: figures_of(
                judged.outcomes, resampling, SLICE_METRICS, where=column == value
            )
            for _, value in largest
        }
    return found


def _candidate_sets(judged: JudgedSet, resampling: Resampling) -> Figures:
    if not len(judged.set_covers):
        return {}
    return {
        "candidate_set_coverage": resampling.figure(_mean, judged.set_covers),
        "candidate_set_size": resampling.figure(_mean, judged.set_size),
    }


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
