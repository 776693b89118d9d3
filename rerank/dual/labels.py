"""The label: compliance and freedom from conflict, weighed and normalised within each domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank.dual.scored_set import ScoredSet

Floats = NDArray[np.float64]

_ALL = ""  # the range of all domains together; no domain has an empty name


@dataclass(frozen=True, slots=True)
class DualLabel:
    """y = w * compliance + (1 - w) * (1 - conflict), spread over 0 to 1 in each domain.

    Domains whose candidates all comply in part would otherwise weigh less in training than those
    with all and nothing. Make one with `fit`.

    :param compliance_weight: w, in [0, 1]; the lambda of the configuration.
    :param ranges: the lowest and the highest y of each domain's training candidates, and of all
        together, which serves a domain that training has not seen.
    """

    compliance_weight: float
    ranges: Mapping[str, tuple[float, float]]

    @classmethod
    def fit(cls, scored: ScoredSet, compliance_weight: float) -> DualLabel:
        """Take the ranges of a training set."""
        values = weighed(scored, compliance_weight)
        domain = np.array(scored.domain)[scored.query]
        ranges = {str(name): _range(values[domain == name]) for name in np.unique(domain).tolist()}
        return cls(compliance_weight, {**ranges, _ALL: _range(values)})

    def of(self, scored: ScoredSet) -> Floats:
        """Return y of each candidate, shape (candidates,), in [0, 1].

        A value outside of the training range counts as its nearer end; in a domain of one value
        all are 1.
        """
        bounds = np.array([self._bounds(name) for name in scored.domain]).reshape(-1, 2)
        low, high = bounds[scored.query].T
        spread = np.where(high > low, high - low, 1.0)
        values = (weighed(scored, self.compliance_weight) - low) / spread
        return np.clip(np.where(high > low, values, 1.0), 0.0, 1.0)

    def _bounds(self, domain: str) -> tuple[float, float]:
        return self.ranges.get(domain, self.ranges[_ALL])


def weighed(scored: ScoredSet, compliance_weight: float) -> Floats:
    """Return y before it is normalised, shape (candidates,), in [0, 1]."""
    free = 1.0 - scored.conflict
    return compliance_weight * scored.compliance + (1.0 - compliance_weight) * free


def _range(values: Sequence[float] | Floats) -> tuple[float, float]:
    return (float(np.min(values)), float(np.max(values))) if len(values) else (0.0, 1.0)
