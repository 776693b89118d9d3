"""Figures with their uncertainty: the bootstrap over groups of listings.

Listings that belong together (one product in one shop, one seller's spellings) are not independent
evidence, so whole groups are drawn with replacement (the cluster bootstrap of Davison, Hinkley,
Bootstrap Methods and their Application, 1997, 3.8). One drawing serves every metric and slice of
a set: figures stay consistent with each other, and a difference of two stays paired.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.evaluation.catalogue import Metric

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Measure = Callable[..., float | None]

DEFAULT_SAMPLES = 1000
LEVELS = (0.025, 0.975)
_DIGITS = 4
# Cells of a (listings, samples) block of weights worked on at a time: 4 MB of float32.
_BLOCK_CELLS = 1_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value.

    :param value: None if nothing was measured.
    :param ci95: the 2.5 % and 97.5 % quantiles of the bootstrap; None where ``value`` is.
    :param n: how many listings it was measured on.
    """

    value: float | None
    ci95: tuple[float, float] | None
    n: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, rounded to 4 digits."""
        low, high = self.ci95 or (None, None)
        return {"value": rounded(self.value), "ci95": [rounded(low), rounded(high)], "n": self.n}


@dataclass(frozen=True, slots=True, eq=False)
class Resampling:
    """Bootstrap samples of one set of listings; `draw` makes it.

    :param group: shape (listings,), each listing's group, numbered from 0.
    :param counts: shape (groups, samples), how often a group is in a sample.
    :param seed: what the samples were drawn with.
    """

    group: NDArray[np.int64]
    counts: NDArray[np.uint8]
    seed: int

    @classmethod
    def draw(
        cls, groups: Iterable[Hashable], *, seed: int, samples: int = DEFAULT_SAMPLES
    ) -> Resampling:
        """Draw samples, each of as many groups as there are.

        :param groups: one entry a listing, equal for listings that belong together.
        :raises InputError: if ``samples`` is below 1.
        """
        if samples < 1:
            raise InputError(f"expected at least 1 bootstrap sample, got {samples}")
        numbers: dict[Hashable, int] = {}
        group = np.array([numbers.setdefault(name, len(numbers)) for name in groups], np.int64)
        rng, size = np.random.default_rng(seed), len(numbers)
        counts = np.zeros((samples, size), np.uint8)
        if size:  # no count comes near 255: the chance is below 1e-300
            for sample in counts:
                sample[:] = np.bincount(rng.integers(0, size, size), minlength=size)
        return cls(group, np.ascontiguousarray(counts.T), seed)

    @property
    def n_rows(self) -> int:
        """How many listings there are."""
        return len(self.group)

    @property
    def n_groups(self) -> int:
        """How many groups they form."""
        return len(self.counts)

    @property
    def samples(self) -> int:
        """How many samples were drawn."""
        return int(self.counts.shape[1])

    def figure(
        self, metric: Metric | Measure, *columns: NDArray[Any], where: Bools | None = None
    ) -> Figure:
        """Measure a metric and its 95 % percentile interval (Efron 1979).

        Samples on which the metric is not defined (a ROC curve without a single error) are left
        out of the quantiles.

        :param columns: at least one, each with one row a listing of the set.
        :param where: which listings to measure; samples are those of the whole set. None: all.
        :raises InputError: if there are no columns or a length is not that of the set.
        """
        rows = self.rows(where)
        value = metric(*self.taken(columns, rows))
        if value is None:
            return Figure(None, None, len(rows))
        return Figure(value, interval(self.values(metric, *columns, where=where), value), len(rows))

    def values(
        self, metric: Metric | Measure, *columns: NDArray[Any], where: Bools | None = None
    ) -> Floats:
        """Return a metric of each sample, NaN where it is not defined; arguments as of `figure`.

        A `Metric` is measured on blocks of samples at once, any other function sample by sample.
        """
        rows = self.rows(where)
        taken = self.taken(columns, rows)
        if not len(rows):
            return np.full(self.samples, np.nan)
        if isinstance(metric, Metric):
            return np.concatenate([metric.weighted(block, *taken) for block in self.weights(rows)])
        found = (metric(*(column[drawn] for column in taken)) for drawn in self._repeated(rows))
        return np.array([np.nan if value is None else value for value in found], np.float64)

    def rows(self, where: Bools | None) -> NDArray[np.int64]:
        """Return the numbers of the listings that a mask selects; of all without a mask.

        :raises InputError: if the mask has not one entry a listing.
        """
        if where is None:
            return np.arange(self.n_rows)
        self._check([where])
        return np.flatnonzero(where)

    def taken(self, columns: Iterable[NDArray[Any]], rows: NDArray[np.int64]) -> list[NDArray[Any]]:
        """Return those rows of each column.

        :raises InputError: if there are no columns or a length is not that of the set.
        """
        columns = list(columns)
        self._check(columns)
        return [column[rows] for column in columns]

    def weights(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of samples: how often each of the rows is in each, shape (rows, block).

        float32 counts exactly up to 2^24 listings.
        """
        group = self.group[rows]
        size = max(1, _BLOCK_CELLS // max(1, len(rows)))
        for start in range(0, self.samples, size):
            yield self.counts[group, start : start + size].astype(np.float32)

    def _repeated(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield, for each sample, positions in ``rows``, each as often as it was drawn."""
        group, positions = self.group[rows], np.arange(len(rows))
        for sample in range(self.samples):
            yield np.repeat(positions, self.counts[group, sample])

    def _check(self, columns: list[NDArray[Any]]) -> None:
        lengths = sorted({len(column) for column in columns})
        if lengths != [self.n_rows]:
            raise InputError(
                f"expected columns of one row a listing, {self.n_rows}, got lengths {lengths}"
            )


def estimate(
    metric: Metric | Measure, *columns: NDArray[Any], seed: int, samples: int = DEFAULT_SAMPLES
) -> Figure:
    """Measure a metric and its interval where every listing stands for itself.

    Columns are resampled together, so differences between them stay paired.

    :param columns: at least one, each with one row a listing.
    :raises InputError: if there are no columns or their lengths differ.
    """
    sizes = sorted({len(column) for column in columns})
    if len(sizes) != 1:
        raise InputError(f"expected columns of one length, got lengths {sizes}")
    return Resampling.draw(range(sizes[0]), seed=seed, samples=samples).figure(metric, *columns)


def interval(found: Floats, value: float) -> tuple[float, float]:
    """Return the 95 % interval of a value from its samples; the value twice if none is defined."""
    measured = found[~np.isnan(found)]
    low, high = np.quantile(measured, LEVELS) if len(measured) else (value, value)
    return float(low), float(high)


def rounded(value: float | None) -> float | None:
    """Round to the 4 digits that reports show; None stays None."""
    return None if value is None else round(value, _DIGITS)
