"""Two models held against the same truth: metrics side by side, and how many listings would tell.

The first model is called A, the second B; a gain is B's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.catalogue import (
    ACCEPTED_SHARE,
    BRIER,
    ECE,
    FALSE_ACCEPTS,
    PRECISION_AT_1,
    Better,
    Metric,
)
from rerank.evaluation.comparison import Comparison, adjusted, compare
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.intervals import Figure, Resampling
from rerank.evaluation.measure import figures_of
from rerank.evaluation.outcomes import Outcomes, judge
from rerank.lifecycle.gains import as_gain
from rerank.lifecycle.sample_size import Discordance, listings_needed
from rerank.resolution import Resolution

METRICS = (PRECISION_AT_1, ACCEPTED_SHARE, FALSE_ACCEPTS, ECE, BRIER)
COUNTED = (PRECISION_AT_1, ACCEPTED_SHARE, FALSE_ACCEPTS)
"""Metrics that are right or wrong on each listing, so that McNemar's test applies."""


@dataclass(frozen=True, slots=True)
class PairedMetric:
    """A metric of two models on the same listings.

    :param gain: B's over A, above 0 where B is better, whichever way the metric runs; p-values
        corrected over all metrics by Holm.
    :param discordance: listings that only one has right; None if the metric is no count.
    :param needed: how many listings would tell the two apart, see
        `rerank.lifecycle.sample_size.listings_needed`; None if the metric is no count or they are
        right equally often.
    """

    metric: Metric
    first: Figure
    second: Figure
    gain: Comparison
    discordance: Discordance | None
    needed: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        counts = self.discordance
        return {
            "metric": self.metric.name,
            "a": self.first.as_dict(),
            "b": self.second.as_dict(),
            "gain": self.gain.as_dict(),
            "only_b_right": counts.gained if counts else None,
            "only_a_right": counts.lost if counts else None,
            "listings_needed": self.needed,
        }


def paired_metrics(
    gold: Sequence[GoldListing],
    first: Sequence[Resolution],
    second: Sequence[Resolution],
    *,
    seed: int,
    samples: int,
) -> list[PairedMetric]:
    """Hold both models' answers against gold listings, which come in the same order.

    Ambiguous listings are left out; a metric without a listing to measure it on is too.
    """
    ours, theirs = judge(gold, second), judge(gold, first)
    groups = [item.group for item in gold if item.kind is not GoldKind.AMBIGUOUS]
    resampling = Resampling.draw(groups, seed=seed, samples=samples)
    own, others = figures_of(ours, resampling, METRICS), figures_of(theirs, resampling, METRICS)
    measured = [metric for metric in METRICS if own[metric.name].value is not None]
    gains = adjusted(
        [
            as_gain(
                compare(
                    resampling,
                    metric,
                    _columns(ours, metric),
                    _columns(theirs, metric),
                    system="b",
                    baseline="a",
                    where=_over(ours, metric),
                )
            )
            for metric in measured
        ]
    )
    found = []
    for metric, gain in zip(measured, gains, strict=True):
        counts = _discordance(ours, theirs, metric) if metric in COUNTED else None
        needed = listings_needed(counts) if counts else None
        found.append(
            PairedMetric(metric, others[metric.name], own[metric.name], gain, counts, needed)
        )
    return found


def _discordance(ours: Outcomes, theirs: Outcomes, metric: Metric) -> Discordance:
    where = _over(ours, metric)
    good, other = (_good(each, metric)[where] for each in (ours, theirs))
    return Discordance(int((good & ~other).sum()), int((other & ~good).sum()), len(good))


def _good(outcomes: Outcomes, metric: Metric) -> NDArray[np.bool_]:
    """Return on which listings the metric counts for the model."""
    assert metric.per_listing is not None
    values = metric.per_listing(*_columns(outcomes, metric)) > 0
    return values if metric.better is Better.HIGHER else ~values


def _columns(outcomes: Outcomes, metric: Metric) -> list[NDArray[Any]]:
    return [getattr(outcomes, name) for name in metric.columns]


def _over(outcomes: Outcomes, metric: Metric) -> NDArray[np.bool_]:
    if metric.over is None:
        return np.ones(len(outcomes.ranks), np.bool_)
    return np.asarray(getattr(outcomes, metric.over), np.bool_)
