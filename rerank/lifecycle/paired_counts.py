"""What two models made of the same listings, in the few counts that guardrails read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

EDGES = (0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
"""Between the ranges of probability: narrow at the ends, where most answers lie."""
_BINS = len(EDGES) + 1
Table = tuple[tuple[int, ...], ...]


class Decided(NamedTuple):
    """One model's answers to some listings, each of shape (listings,)."""

    probability: Floats
    accepted: Bools
    refused: Bools


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Counts over the listings that both models were asked; they add up.

    :param listings: that the challenger was asked.
    :param errors: of them, those on which it raised an error; the other counts leave them out.
    :param lost: accepted by the champion only; ``gained``: by the challenger only.
    :param refused_more: no match by the challenger only; ``refused_less``: by the champion only.
    :param bins: of (champion's range, challenger's range) of probability, shape (8, 8).
    :param ratios: of each group timed, the challenger's time to the champion's.
    """

    listings: int = 0
    errors: int = 0
    lost: int = 0
    gained: int = 0
    refused_more: int = 0
    refused_less: int = 0
    bins: Table = ((0,) * _BINS,) * _BINS
    ratios: tuple[float, ...] = ()

    def __add__(self, other: PairedCounts) -> PairedCounts:
        bins = np.add(self.bins, other.bins)
        return PairedCounts(
            self.listings + other.listings,
            self.errors + other.errors,
            self.lost + other.lost,
            self.gained + other.gained,
            self.refused_more + other.refused_more,
            self.refused_less + other.refused_less,
            _as_table(bins),
            (*self.ratios, *other.ratios),
        )

    @property
    def answered(self) -> int:
        """Listings that both answered."""
        return self.listings - self.errors

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        content["bins"] = [list(row) for row in self.bins]
        content["ratios"] = [round(ratio, 3) for ratio in self.ratios]
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PairedCounts:
        """Return what `as_json` made plain.

        :raises ValueError: if counts are missing, negative or contradict each other.
        :raises TypeError: if there are others.
        """
        bins = np.asarray(content["bins"], np.int64)
        plain = {key: value for key, value in content.items() if key not in ("bins", "ratios")}
        found = cls(
            **{key: int(value) for key, value in plain.items()},
            bins=_as_table(bins),
            ratios=tuple(float(ratio) for ratio in content["ratios"]),
        )
        sound = bins.shape == (_BINS, _BINS) and bins.min() >= 0 and bins.sum() == found.answered
        if not sound or min(found.listings, found.errors, found.answered) < 0:
            raise ValueError(f"{found.answered} listings answered by both, {bins.sum()} in ranges")
        return found


def paired_counts(
    champion: Decided, challenger: Decided, failed: Bools, *, ratio: float | None = None
) -> PairedCounts:
    """Count a group of listings.

    :param failed: shape (listings,), where the challenger raised an error; its answers there are
        not read.
    :param ratio: of the group's times, the challenger's to the champion's; None if not timed.
    """
    kept = ~failed
    bins = np.zeros((_BINS, _BINS), np.int64)
    np.add.at(bins, (_range(champion.probability[kept]), _range(challenger.probability[kept])), 1)
    timed = ratio is not None and math.isfinite(ratio)
    return PairedCounts(
        len(failed),
        int(failed.sum()),
        lost=_count(champion.accepted & ~challenger.accepted & kept),
        gained=_count(~champion.accepted & challenger.accepted & kept),
        refused_more=_count(~champion.refused & challenger.refused & kept),
        refused_less=_count(champion.refused & ~challenger.refused & kept),
        bins=_as_table(bins),
        ratios=(float(ratio),) if timed and ratio is not None else (),
    )


def _range(probability: Floats) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(EDGES, probability, side="right"), np.int64)


def _count(where: Bools) -> int:
    return int(np.count_nonzero(where))


def _as_table(bins: NDArray[np.int64]) -> Table:
    return tuple(tuple(row) for row in bins.tolist())
