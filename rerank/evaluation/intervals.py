"""Figures with their uncertainty: the bootstrap over groups of listings.

Listings that belong together (one product in one shop, one seller's spellings) are not independent
evidence, so whole groups are drawn with replacement (the cluster bootstrap of Davison, Hinkley,
Bootstrap Methods and their Application, 1997, 3.8). One drawing serves every metric and slice of
a set: figures stay consistent with each other, and a difference of two stays paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.metrics import CALIBRATION_BINS, Metric, calibration_bin, ladder
from rerank.index.errors import InputError
from rerank.index.records import Bools, Doubles

Measure = Callable[..., float | None]

DEFAULT_SAMPLES, DEFAULT_SEED = 1000, 20
LEVELS = (0.025, 0.975)
FEW = 40
"""Groups up to which a share has Wilson's interval, as Brown, Cai and DasGupta advise (Interval
Estimation for a Binomial Proportion, 2001)."""
_DIGITS = 4
# Cells of a (listings, samples) block of weights worked on at a time: 4 MB of float32.
_BLOCK_CELLS = 1_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value.

    :param value: None if nothing was measured.
    :param ci95: the 2.5 % and 97.5 % quantiles of the bootstrap, of few groups Wilson's interval;
        None where ``value`` is.
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

    @classmethod
    def side_by_side(cls, parts: Sequence[Resampling]) -> Resampling:
        """Join resamplings of separate sets: each sample holds one sample of every set.

        :param parts: at least one, all of as many samples.
        """
        starts = np.cumsum([0, *(part.n_groups for part in parts)])
        groups = [part.group + start for part, start in zip(parts, starts, strict=False)]
        counts = [part.counts for part in parts]
        return cls(np.concatenate(groups), np.concatenate(counts), parts[0].seed)

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
        out of the quantiles. Of up to `FEW` groups a mean of values from 0 to 1 has Wilson's
        interval, each group one trial: no mean of such values varies more than a share. Groups of
        several listings weigh unequally, and have the wider of both intervals. So has every figure
        from 0 to 1 that is the same in all samples: two listings without an error do not show
        that there never is one.

        :param columns: at least one, each with one row a listing of the set.
        :param where: which listings to measure; samples are those of the whole set. None: all.
        :raises InputError: if there are no columns or a length is not that of the set.
        """
        rows = self.rows(where)
        value = metric(*self.taken(columns, rows))
        if value is None:
            return Figure(None, None, len(rows))
        bounds = interval(self.values(metric, *columns, where=where), value)
        if isinstance(metric, Metric) and (metric.lowest, metric.highest) == (0.0, 1.0):
            groups = len(np.unique(self.group[rows]))
            of_few = metric.per_listing is not None and groups <= FEW
            if of_few or bounds[0] == bounds[1]:
                low, high = wilson(value, groups)
                apart = groups == len(rows)
                bounds = (low, high) if apart else (min(low, bounds[0]), max(high, bounds[1]))
        return Figure(value, bounds, len(rows))

    def values(
        self, metric: Metric | Measure, *columns: NDArray[Any], where: Bools | None = None
    ) -> Doubles:
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


def interval(found: Doubles, value: float) -> tuple[float, float]:
    """Return the 95 % interval of a value from its samples; the value twice if none is defined."""
    measured = found[~np.isnan(found)]
    low, high = np.quantile(measured, LEVELS) if len(measured) else (value, value)
    return float(low), float(high)


def rounded(value: float | None) -> float | None:
    """Round to the 4 digits that reports show; None stays None."""
    return None if value is None else round(value, _DIGITS)


Columns = Sequence[NDArray[Any]]

DEFAULT_PERMUTATIONS = 2000
# Sums in another order differ in the last digits: such permutations count as just as large.
_TOLERANCE = 1e-6
# Cells of a (groups, permutations) block worked on at a time: 8 MB of float64.
_BLOCK_CELLS_COMPARISON = 1_000_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """A metric of one system minus that of another on the same listings.

    :param metric: the metric's name.
    :param system: what was compared.
    :param baseline: with what.
    :param difference: system minus baseline; None if either was not measured, then so is the rest.
    :param ci95: of the difference, both systems resampled together.
    :param p_value: of the randomisation test that both are the same system, two-sided.
    :param p_adjusted: the same until `adjusted` corrects it for the comparisons beside it.
    :param n: how many listings.
    """

    metric: str
    system: str
    baseline: str
    difference: float | None
    ci95: tuple[float, float] | None
    p_value: float | None
    p_adjusted: float | None
    n: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, numbers rounded to 4 digits."""
        low, high = self.ci95 or (None, None)
        return {
            "metric": self.metric,
            "system": self.system,
            "baseline": self.baseline,
            "difference": rounded(self.difference),
            "ci95": [rounded(low), rounded(high)],
            "p_value": rounded(self.p_value),
            "p_adjusted": rounded(self.p_adjusted),
            "n": self.n,
        }


def compare(
    resampling: Resampling,
    metric: Metric,
    ours: Columns,
    theirs: Columns,
    *,
    system: str,
    baseline: str,
    where: Bools | None = None,
    permutations: int = DEFAULT_PERMUTATIONS,
) -> Comparison:
    """Compare two systems: paired bootstrap interval and paired randomisation test, by group.

    :param ours: the metric's columns for ``system``, each with one row a listing of the set.
    :param theirs: the same for ``baseline``.
    :param where: which listings to compare on; None: all.
    :raises InputError: if columns do not fit the metric or the set, or there is no permutation.
    """
    _check(metric, ours, theirs, permutations)
    rows = resampling.rows(where)
    our_rows, their_rows = resampling.taken(ours, rows), resampling.taken(theirs, rows)
    our_value, their_value = metric(*our_rows), metric(*their_rows)
    if our_value is None or their_value is None:
        return Comparison(metric.name, system, baseline, None, None, None, None, len(rows))
    difference = our_value - their_value
    sampled = resampling.values(metric, *ours, where=where)
    sampled = sampled - resampling.values(metric, *theirs, where=where)
    p_value = randomisation_test(
        metric,
        our_rows,
        their_rows,
        resampling.group[rows],
        permutations=permutations,
        seed=resampling.seed,
    )
    bounds = interval(sampled, difference)
    return Comparison(
        metric.name, system, baseline, difference, bounds, p_value, p_value, len(rows)
    )


def randomisation_test(
    metric: Metric,
    ours: Columns,
    theirs: Columns,
    groups: NDArray[np.int64],
    *,
    permutations: int = DEFAULT_PERMUTATIONS,
    seed: int,
) -> float:
    """Return the chance of a difference so large, either way, if the two systems were one.

    Each permutation swaps the two systems' answers to a random half of the groups. The p-value is
    (k + 1) / (permutations + 1), k the permutations with a difference at least as large, so it is
    never 0. A permutation on which the metric is not defined counts as large. Source: Fisher, The
    Design of Experiments, 1935; Smucker, Allan, Carterette, A Comparison of Statistical
    Significance Tests for Information Retrieval Evaluation, 2007.

    :param ours: the metric's columns, at least one listing, on which it is defined.
    :param groups: shape (listings,), equal for listings whose answers are swapped together.
    """
    stacked = [np.concatenate(pair) for pair in zip(ours, theirs, strict=True)]
    _, group = np.unique(groups, return_inverse=True)
    blocks = _swaps(int(group.max()) + 1, permutations, seed)
    if metric.per_listing is not None:
        values = metric.per_listing(*stacked).astype(np.float64)
        gains = np.bincount(group, values[: len(group)] - values[len(group) :]) / len(group)
        seen = float(gains.sum())
        found = [seen - 2 * (gains @ swaps) for swaps in blocks]
    else:
        seen = _swapped(metric, stacked, np.zeros((len(group), 1)))[0]
        found = [_swapped(metric, stacked, swaps[group]) for swaps in blocks]
    smaller = np.abs(np.concatenate(found)) < abs(seen) - _TOLERANCE
    return (int((~smaller).sum()) + 1) / (permutations + 1)


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return comparisons made side by side with `holm`'s correction, in the same order.

    One without a p-value stays as it is and does not count.
    """
    corrected = iter(holm([c.p_value for c in comparisons if c.p_value is not None]))
    return [
        replace(c, p_adjusted=None if c.p_value is None else next(corrected)) for c in comparisons
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values: below 5 % keeps the chance of any false find below 5 %.

    The i-th smallest of m is multiplied by m - i + 1, is at least the adjusted one before it and
    at most 1. Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.

    :raises InputError: if a value is not in [0, 1].
    """
    p = np.array(p_values, np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"expected p-values from 0 to 1, got {list(p_values)}")
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty_like(p)
    found[order] = np.minimum(raised, 1.0)
    return [float(value) for value in found]


def _check(metric: Metric, ours: Columns, theirs: Columns, permutations: int) -> None:
    if permutations < 1:
        raise InputError(f"expected at least 1 permutation, got {permutations}")
    expected = len(metric.columns)
    if len(ours) != expected or len(theirs) != expected:
        raise InputError(
            f"{metric.name} reads {', '.join(metric.columns)}: expected {expected} columns of each "
            f"system, got {len(ours)} and {len(theirs)}"
        )


def _swaps(n_groups: int, permutations: int, seed: int) -> Iterator[Doubles]:
    """Yield blocks of permutations: 1 where a group is swapped, else 0, shape (groups, block)."""
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK_CELLS_COMPARISON // n_groups)
    for start in range(0, permutations, size):
        shape = (n_groups, min(size, permutations - start))
        yield rng.integers(0, 2, shape, np.uint8).astype(np.float64)


def _swapped(metric: Metric, stacked: Columns, swaps: Doubles) -> Doubles:
    """Return the difference of each permutation; ``stacked`` holds our rows, then theirs."""
    kept = 1.0 - swaps
    ours = metric.weighted(np.concatenate([kept, swaps]), *stacked)
    return ours - metric.weighted(np.concatenate([swaps, kept]), *stacked)


MAX_POINTS = 100
_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
# Far below one listing, far above the rounding of a share times a count.
_TOLERANCE_CURVES = 1e-9


class _Axis(Enum):
    """What is counted along a curve: all listings taken, or the right ones."""

    COVERAGE = "coverage"
    RECALL = "recall"


def curves_of(
    resampling: Resampling, probability: Doubles, correct: Bools, *, where: Bools | None = None
) -> dict[str, Any]:
    """Return a report's ``reliability``, ``risk_coverage`` and ``precision_recall``.

    :param probability: one a listing of the set, in [0, 1].
    :param correct: whether the best answer is right; a no-match listing is wrong.
    :param where: which listings to draw; None: all.
    :raises InputError: if a length is not that of the set or a probability is outside [0, 1].
    """
    columns = (resampling, probability, correct)
    return {
        "reliability": reliability(*columns, where=where),
        "risk_coverage": risk_coverage(*columns, where=where),
        "precision_recall": precision_recall(*columns, where=where),
    }


def reliability(
    resampling: Resampling, probability: Doubles, correct: Bools, *, where: Bools | None = None
) -> list[dict[str, Any]]:
    """Return the 10 bins of a reliability diagram, from the lowest probability.

    ``share_correct`` has a Wilson interval (Wilson 1927) that counts each listing group of the bin
    as one trial: the bootstrap would give a bin without errors no width at all. An empty bin has
    None for its shares.
    """
    rows, p, right = _taken(resampling, probability, correct, where)
    place, group = calibration_bin(p), resampling.group[rows]
    bins = []
    for number in range(CALIBRATION_BINS):
        inside = place == number
        n = int(inside.sum())
        share = float(right[inside].mean()) if n else None
        low, high = (None, None) if share is None else wilson(share, len(set(group[inside])))
        bins.append(
            {
                "low": number / CALIBRATION_BINS,
                "high": (number + 1) / CALIBRATION_BINS,
                "n": n,
                "mean_probability": rounded(float(p[inside].mean())) if n else None,
                "share_correct": rounded(share),
                "ci95": [rounded(low), rounded(high)],
            }
        )
    return bins


def risk_coverage(
    resampling: Resampling, probability: Doubles, correct: Bools, *, where: Bools | None = None
) -> dict[str, list[float]]:
    """Return the share wrong among the accepted (risk) against the share accepted (coverage).

    Up to 100 coverages, evenly spaced, ending at 1; lists are empty without listings.
    Source: El-Yaniv, Wiener, On the Foundations of Noise-free Selective Classification, 2010.
    """
    rows, p, right = _taken(resampling, probability, correct, where)
    coverage = _grid(len(rows))
    line, samples = _precisions(resampling, rows, p, right, coverage, _Axis.COVERAGE)
    low, high = _band(1.0 - samples)
    return {"coverage": _plain(coverage), "risk": _plain(1.0 - line), "low": low, "high": high}


def precision_recall(
    resampling: Resampling, probability: Doubles, correct: Bools, *, where: Bools | None = None
) -> dict[str, list[float]]:
    """Return the share right among the accepted (precision) against the right ones found (recall).

    Up to 100 recalls, evenly spaced, ending at 1; lists are empty without a right answer.
    Interpolated in counts as of Davis, Goadrich 2006, never in precision.
    """
    rows, p, right = _taken(resampling, probability, correct, where)
    recall = _grid(int(right.sum()))
    line, samples = _precisions(resampling, rows, p, right, recall, _Axis.RECALL)
    low, high = _band(samples)
    return {"recall": _plain(recall), "precision": _plain(line), "low": low, "high": high}


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927).

    :raises InputError: if there are no trials.
    """
    if trials < 1:
        raise InputError(f"expected at least 1 trial, got {trials}")
    spread = _Z**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = np.sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _taken(
    resampling: Resampling, probability: Doubles, correct: Bools, where: Bools | None
) -> tuple[NDArray[np.int64], Doubles, Bools]:
    rows = resampling.rows(where)
    p, right = resampling.taken([probability, correct], rows)
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"expected probabilities from 0 to 1, got {p.min()} to {p.max()}")
    return rows, p, right


def _grid(n: int) -> Doubles:
    """Return up to 100 shares, the last one 1; one for each of ``n`` if they are fewer."""
    points = min(n, MAX_POINTS)
    return np.arange(1, points + 1) / max(points, 1)


def _precisions(
    resampling: Resampling,
    rows: NDArray[np.int64],
    p: Doubles,
    right: Bools,
    grid: Doubles,
    axis: _Axis,
) -> tuple[Doubles, Doubles]:
    """Return the share right among the accepted at each point of an axis.

    :returns: of the listings as they are, shape (points,); of each sample, shape (samples, points).
    """
    if not len(grid):
        return np.zeros(0), np.zeros((0, 0))
    as_they_are = _lines(ladder(np.ones((len(rows), 1)), p, right), grid, axis)
    samples = [_lines(ladder(block, p, right), grid, axis) for block in resampling.weights(rows)]
    return as_they_are[0], np.concatenate(samples)


def _lines(steps: tuple[NDArray[Any], NDArray[Any]], grid: Doubles, axis: _Axis) -> Doubles:
    """Return a line a sample, leaving out samples without anything to count along the axis."""
    taken, right = (np.ascontiguousarray(counts.T, np.float64) for counts in steps)
    along, beside = (taken, right) if axis is _Axis.COVERAGE else (right, taken)
    lines = np.zeros((int((along[:, -1] > 0).sum()), len(grid)))
    for line, sample in zip(lines, np.flatnonzero(along[:, -1] > 0), strict=True):
        targets = grid * along[sample, -1]
        found = _interpolated(along[sample], beside[sample], targets)
        line[:] = found / targets if axis is _Axis.COVERAGE else targets / found
    return lines


def _interpolated(along: Doubles, beside: Doubles, targets: Doubles) -> Doubles:
    """Return ``beside`` where ``along``, rising from 0, first comes to each of the targets."""
    step = np.searchsorted(along, targets - _TOLERANCE_CURVES)
    share = (targets - along[step - 1]) / (along[step] - along[step - 1])
    return np.asarray(beside[step - 1] + share * (beside[step] - beside[step - 1]), np.float64)


def _band(samples: Doubles) -> tuple[list[float], list[float]]:
    """Return the lower and the upper bound at each point."""
    if not len(samples):
        return [], []
    low, high = np.quantile(samples, LEVELS, axis=0)
    return _plain(low), _plain(high)


def _plain(values: Doubles) -> list[float]:
    return [round(value, 4) + 0.0 for value in values.tolist()]  # -0.0 becomes 0.0


POWER, LEVEL = 0.8, 0.05


def listings_needed(
    gained: int, lost: int, n: int, *, power: float = POWER, level: float = LEVEL
) -> int | None:
    """Return how many listings McNemar's test needs in all, if these shares are the true ones.

    With the share of discordant listings p = (gained + lost) / n and the difference d =
    (gained - lost) / n: ((z_a sqrt(p) + z_b sqrt(p - d^2)) / d)^2, z_a the normal quantile of
    1 - level/2, z_b that of ``power``. Source: Connor, Sample Size for Testing Differences in
    Proportions for the Paired-Sample Design, Biometrics 43, 1987. Listings count as independent,
    and the difference as it was seen: where it was a chance find, more are needed.

    :param gained: listings that only the first system has right, ``lost`` only the second.
    :param n: all on which both were judged.
    :param power: chance to find the difference, in (0, 1).
    :param level: chance to find one where there is none, two-sided, in (0, 1).
    :returns: None if there is no difference to find.
    :raises InputError: if counts are negative or more than there are listings.
    """
    if min(gained, lost) < 0 or gained + lost > n:
        raise InputError(
            f"expected counts of at most {n} listings, got {gained} gained and {lost} lost"
        )
    if gained == lost:
        return None
    share, difference = (gained + lost) / n, (gained - lost) / n
    normal = NormalDist()
    of_level = normal.inv_cdf(1 - level / 2) * math.sqrt(share)
    of_power = normal.inv_cdf(power) * math.sqrt(share - difference**2)
    return math.ceil(((of_level + of_power) / difference) ** 2)
