"""What a candidate gains over the champion: on all listings, and slice by slice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.catalogue import Better, Metric, metric_named
from rerank.evaluation.comparison import DEFAULT_PERMUTATIONS, Comparison, adjusted, compare
from rerank.evaluation.outcomes import Outcomes
from rerank.evaluation.queries import NO_MATCH, UNKNOWN
from rerank.lifecycle.pairing import Pairing
from rerank.lifecycle.promotion_settings import SET_SLICE, GainSettings, SliceSettings

Bools = NDArray[np.bool_]

SYSTEM, BASELINE = "candidate", "champion"


@dataclass(frozen=True, slots=True)
class SliceGain:
    """What the candidate gains on one slice, by one metric."""

    slice_name: str
    value: str
    gain: Comparison

    @property
    def label(self) -> str:
        """The slice and the metric in words."""
        return f"{self.slice_name} {self.value}: {metric_named(self.gain.metric).label}"


def gains_of(pairing: Pairing, settings: GainSettings) -> list[Comparison]:
    """Compare on all sets together; none without a champion.

    :returns: of each metric the gain, p-values corrected over them by Holm.
    """
    everywhere = np.ones(len(pairing.sets), np.bool_)
    return adjusted(
        [
            gain
            for name in settings.lowest
            for gain in _compared(pairing, metric_named(name), everywhere, DEFAULT_PERMUTATIONS)
        ]
    )


def slice_gains_of(pairing: Pairing, settings: SliceSettings) -> list[SliceGain]:
    """Compare on each guarded slice with enough listings; none without a champion.

    :returns: p-values corrected over all slices and metrics by Holm, from so many permutations
        that the least of them can still pass.
    """
    metrics = [metric_named(name) for name in settings.metrics]
    asked = [
        (name, value, metric, where)
        for name, value, where in _slices(pairing, settings.guarded)
        for metric in metrics
        if int(_over(pairing.candidate, metric, where).sum()) >= settings.min_listings
    ]
    permutations = max(DEFAULT_PERMUTATIONS, math.ceil(2 * len(asked) / settings.level))
    found = [
        SliceGain(name, value, gain)
        for name, value, metric, where in asked
        for gain in _compared(pairing, metric, where, permutations)
    ]
    corrected = adjusted([each.gain for each in found])
    return [replace(each, gain=gain) for each, gain in zip(found, corrected, strict=True)]


def as_gain(compared: Comparison) -> Comparison:
    """Return a comparison with its difference as a gain: above 0 where the first is better."""
    if metric_named(compared.metric).better is Better.HIGHER or compared.difference is None:
        return compared
    turned = None if compared.ci95 is None else (-compared.ci95[1], -compared.ci95[0])
    return replace(compared, difference=-compared.difference, ci95=turned)


def _compared(
    pairing: Pairing, metric: Metric, where: Bools, permutations: int
) -> Iterator[Comparison]:
    if pairing.champion is None:
        return
    mask = _over(pairing.candidate, metric, where)
    ours, theirs = (_columns(each, metric) for each in (pairing.candidate, pairing.champion))
    yield as_gain(
        compare(
            pairing.resampling,
            metric,
            ours,
            theirs,
            system=SYSTEM,
            baseline=BASELINE,
            where=mask,
            permutations=permutations,
        )
    )


def _columns(outcomes: Outcomes, metric: Metric) -> list[NDArray[Any]]:
    return [getattr(outcomes, name) for name in metric.columns]


def _over(outcomes: Outcomes, metric: Metric, where: Bools) -> Bools:
    if metric.over is None:
        return where
    return np.asarray(where & getattr(outcomes, metric.over), np.bool_)


def _slices(pairing: Pairing, guarded: Sequence[str]) -> Iterator[tuple[str, str, Bools]]:
    """Yield each slice's values with their listings.

    No-match listings are a value of most slices, the same ones each time: the sets guard them.
    """
    for name in guarded:
        column = (pairing.sets if name == SET_SLICE else pairing.slices[name]).astype(str)
        values = [value for value in np.unique(column).tolist() if value != NO_MATCH]
        if len(values) < 2 and name != SET_SLICE:
            continue
        for value in values:
            yield name, value or UNKNOWN, column == value
