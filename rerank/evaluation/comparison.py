"""Two systems on the same listings: how far apart they are, and whether chance could do it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.evaluation.catalogue import Metric
from rerank.evaluation.intervals import Resampling, interval, rounded

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Columns = Sequence[NDArray[Any]]

DEFAULT_PERMUTATIONS = 2000
# Sums in another order differ in the last digits: such permutations count as just as large.
_TOLERANCE = 1e-6
# Cells of a (groups, permutations) block worked on at a time: 8 MB of float64.
_BLOCK_CELLS = 1_000_000


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


def _swaps(n_groups: int, permutations: int, seed: int) -> Iterator[Floats]:
    """Yield blocks of permutations: 1 where a group is swapped, else 0, shape (groups, block)."""
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK_CELLS // n_groups)
    for start in range(0, permutations, size):
        shape = (n_groups, min(size, permutations - start))
        yield rng.integers(0, 2, shape, np.uint8).astype(np.float64)


def _swapped(metric: Metric, stacked: Columns, swaps: Floats) -> Floats:
    """Return the difference of each permutation; ``stacked`` holds our rows, then theirs."""
    kept = 1.0 - swaps
    ours = metric.weighted(np.concatenate([kept, swaps]), *stacked)
    return ours - metric.weighted(np.concatenate([swaps, kept]), *stacked)
