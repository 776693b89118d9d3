"""Figures of repeated measurements: the median and what it ranges between."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from index.errors import InputError

_DIGITS = 6  # significant ones kept in JSON


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value.

    :param median: of the measurements.
    :param low: the least of them; with so few, a range says more than a quantile.
    :param high: the greatest.
    :param values: all, in the order they were measured; empty for what is derived from others.
    """

    median: float
    low: float
    high: float
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Summarise measurements of one thing.

        :raises InputError: if there are none.
        """
        if not values:
            raise InputError("expected at least one measurement to summarise, got none")
        return cls(float(median(values)), float(min(values)), float(max(values)), tuple(values))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Figure:
        """Return what `as_json` wrote."""
        low, high = content["range"]
        return cls(content["median"], low, high, tuple(content["values"]))

    def as_json(self) -> dict[str, Any]:
        """Return plain values, six digits of each."""
        return {
            "median": _short(self.median),
            "range": [_short(self.low), _short(self.high)],
            "values": [_short(value) for value in self.values],
        }


def rate_of(count: int, seconds: Sequence[float]) -> Figure:
    """Return how many a second each measurement did.

    :param count: done in each of the measurements.
    """
    return Figure.of([count / max(took, 1e-9) for took in seconds])


def quotient(ours: Figure, theirs: Figure) -> Figure:
    """Return how many times theirs ours is.

    The range goes from our least over their greatest to our greatest over their least: whichever
    of the measurements are paired, their quotient lies in it.
    """
    return Figure(ours.median / theirs.median, ours.low / theirs.high, ours.high / theirs.low)


def growth_exponent(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """Return b of values ~ sizes ** b, by least squares over logarithms.

    1 is linear, 0 is flat. None with fewer than two sizes.

    :raises InputError: if the lengths differ or something is not above 0.
    """
    if len(sizes) != len(values) or min((*sizes, *values), default=1) <= 0:
        raise InputError("expected as many values as sizes, all above 0")
    if len(set(sizes)) < 2:
        return None
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
