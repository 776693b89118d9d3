"""Figures with their uncertainty: the bootstrap over listings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError

DEFAULT_SAMPLES = 1000
_LEVELS = (0.025, 0.975)
_DIGITS = 4


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
        return {"value": _rounded(self.value), "ci95": [_rounded(low), _rounded(high)], "n": self.n}


def estimate(
    metric: Callable[..., float | None],
    *columns: NDArray[Any],
    seed: int,
    samples: int = DEFAULT_SAMPLES,
) -> Figure:
    """Measure a metric and its 95 % percentile interval (Efron 1979), resampling listings.

    Columns are resampled together, so differences between them stay paired. Samples on which the
    metric is not defined (a ROC curve without a single error) are left out of the quantiles.

    :param columns: at least one, each with one row a listing.
    :raises InputError: if there are no columns or their lengths differ.
    """
    sizes = {len(column) for column in columns}
    if len(sizes) != 1:
        raise InputError(f"expected columns of one length, got lengths {sorted(sizes)}")
    size = sizes.pop()
    value = metric(*columns)
    if value is None:
        return Figure(None, None, size)
    draws = np.random.default_rng(seed).integers(0, size, (samples, size))
    found = (metric(*(column[rows] for column in columns)) for rows in draws)
    measured = [sample for sample in found if sample is not None]
    low, high = np.quantile(measured, _LEVELS) if measured else (value, value)
    return Figure(value, (float(low), float(high)), size)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
