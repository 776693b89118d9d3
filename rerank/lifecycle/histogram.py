"""Counted values, and how far two counts of the same thing lie apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.lifecycle.tails import chi_square_tail

Floats = NDArray[np.float64]

OTHER = "other"
"""The category of what a reference had none of."""
_SMOOTHING = 0.5  # added to each count: PSI is infinite where a share is 0
_LEAST_EXPECTED = 5  # Cochran, Biometrics 10(4), 1954: with fewer, chi-square is a poor guide


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often something was found, by range or by category.

    :param counts: by range, lowest first, or by label.
    :param edges: between the ranges, rising, one less than there are ranges; a value equal to an
        edge lies above it. Empty for categories.
    :param labels: of categories; empty for ranges.
    """

    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def of_values(cls, values: Floats, *, ranges: int = 10) -> Histogram:
        """Count values in ranges that hold about as many each; of equal values none is parted.

        :param values: shape (n,), finite.
        """
        levels = np.arange(1, ranges) / ranges
        quantiles = np.quantile(values, levels, method="higher") if len(values) else np.empty(0)
        edges = np.unique(np.round(quantiles, 6))
        edges = edges[edges > values.min(initial=np.inf)]
        return cls.within(values, edges.tolist())

    @classmethod
    def within(cls, values: Floats, edges: Sequence[float]) -> Histogram:
        """Count values between given edges."""
        place = np.searchsorted(np.asarray(edges, np.float64), values, side="right")
        counts = np.bincount(place, minlength=len(edges) + 1)
        return cls(tuple(counts.tolist()), edges=tuple(edges))

    @classmethod
    def of_labels(cls, labels: Iterable[str]) -> Histogram:
        """Count categories, by name."""
        counted = Counter(labels)
        names = sorted(counted)
        return cls(tuple(counted[name] for name in names), labels=tuple(names))

    @property
    def n(self) -> int:
        """How many there are in all."""
        return sum(self.counts)

    def share(self, label: str) -> float:
        """Return the share of a category, 0 to 1; 0 of one that is not there."""
        found = dict(zip(self.labels, self.counts, strict=True)).get(label, 0)
        return found / self.n if self.n else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        keys = {"labels": list(self.labels)} if self.labels else {"edges": list(self.edges)}
        return {"counts": list(self.counts), **keys}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Histogram:
        """Return what `as_json` made plain.

        :raises ValueError: if counts do not fit edges or labels.
        """
        counts = tuple(int(count) for count in content["counts"])
        edges = tuple(float(edge) for edge in content.get("edges", ()))
        labels = tuple(str(label) for label in content.get("labels", ()))
        if len(counts) != (len(labels) or len(edges) + 1) or min(counts, default=0) < 0:
            raise ValueError(f"{len(counts)} counts, {len(edges)} edges, {len(labels)} labels")
        return cls(counts, edges, labels)


def side_by_side(reference: Histogram, batch: Histogram) -> tuple[Floats, Floats]:
    """Return the counts of both by the same ranges or categories, each of shape (bins,).

    Categories that the reference lacks are one, `OTHER`.
    """
    if not reference.labels:
        return np.asarray(reference.counts, np.float64), np.asarray(batch.counts, np.float64)
    own = dict(zip(reference.labels, reference.counts, strict=True))
    other = dict(zip(batch.labels, batch.counts, strict=True))
    names = list(dict.fromkeys([*own, OTHER]))
    first = [own.get(name, 0) for name in names]
    second = [other.get(name, 0) for name in names]
    second[names.index(OTHER)] += sum(n for name, n in other.items() if name not in names)
    return np.asarray(first, np.float64), np.asarray(second, np.float64)


def stability_index(reference: Floats, batch: Floats) -> float:
    """Return the population stability index of counts, both of shape (bins,); 0 if alike, no bound.

    The sum of (b - a) ln(b / a) over shares a and b: the two directions of the Kullback-Leibler
    divergence together (Jeffreys, 1946). Bins that both lack do not count; 0.5 is added to the
    others. Below 0.1 is read as stable, above 0.25 as changed (Siddiqi, Credit Risk Scorecards,
    2006): a rule of thumb.
    """
    filled = (reference + batch) > 0
    if filled.sum() < 2:
        return 0.0
    a, b = reference[filled] + _SMOOTHING, batch[filled] + _SMOOTHING
    a, b = a / a.sum(), b / b.sum()
    return float(np.sum((b - a) * np.log(b / a)))


def homogeneity_p_value(reference: Floats, batch: Floats) -> float:
    """Return how probable counts as far apart are where both are drawn from one distribution.

    Pearson's chi-square for two samples; bins are joined, the rarest first, until each has five
    expected in either sample. 1 where that leaves a single bin.
    """
    totals = reference.sum(), batch.sum()
    if min(totals) == 0:
        return 1.0
    pooled = (reference + batch) * min(totals) / sum(totals)
    order = np.argsort(-pooled, kind="stable")
    kept = int(np.sum(pooled >= _LEAST_EXPECTED))
    group = np.minimum(np.arange(len(order)), kept)
    counts = np.stack([np.bincount(group, each[order]) for each in (reference, batch)])
    if 0 < kept < len(order) and pooled[order[kept:]].sum() < _LEAST_EXPECTED:
        counts = np.hstack([counts[:, :-2], counts[:, -2:].sum(axis=1, keepdims=True)])
    if counts.shape[1] < 2:
        return 1.0
    expected = np.outer(totals, counts.sum(axis=0)) / sum(totals)
    statistic = float(np.sum((counts - expected) ** 2 / expected))
    return chi_square_tail(statistic, counts.shape[1] - 1)
