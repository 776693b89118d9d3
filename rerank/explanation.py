"""Explain an answer: which features put its model first and made it match or not.

A contribution is a SHAP value of the trees: in units of the ranker's score, or of the offer
classifier's log-odds, of which the calibrator makes the probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from index.records import Listing
from rerank.features import CANDIDATE_FEATURES, OFFER_FEATURES

if TYPE_CHECKING:
    from rerank.resolver import Evidence, Resolver

SHOWN = 8
"""How many features a person is shown."""
_SMALLEST = 0.0005
_WHERE = {
    "before": "words of kind {} before the name",
    "after": "words of kind {} after the name",
    "excused": "words of kind {} after 'with' or 'without'",
}


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature added.

    :param value: the feature's value for the best candidate.
    :param rival: its value for the best candidate of another model; None without one.
    """

    feature: str
    words: str
    contribution: float
    value: float
    rival: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the best candidate leads its rival, and why the listing is or is not a match."""

    best: str | None
    rival: str | None
    ranking: tuple[Contribution, ...]
    offer: tuple[Contribution, ...]


def explain(resolver: Resolver, listing: Listing, *, n_candidates: int = 20) -> Explanation:
    """Explain what `Resolver.resolve` answers for one listing; importing LightGBM takes 2 s."""
    from rerank.tree_training import contributions

    evidence = resolver.evidence([listing], n_candidates=n_candidates)
    best = int(evidence.best[0])
    if best < 0:
        return Explanation(None, None, (), ())
    models = [resolver.table.records[row].model for row in evidence.candidates.record]
    rival = _best_rival(evidence, models, best)
    rows = [best] if rival is None else [best, rival]
    shares = contributions(resolver.model.ranker_text, evidence.features[rows])[:, :-1]
    lead = shares[0] - shares[1] if rival is not None else shares[0]
    offer = contributions(resolver.model.offer_text, evidence.offers[:1])[0, :-1]
    values = evidence.features[rows]
    return Explanation(
        best=models[best],
        rival=None if rival is None else models[rival],
        ranking=_largest(CANDIDATE_FEATURES, lead, values[0], None if rival is None else values[1]),
        offer=_largest(OFFER_FEATURES, offer, evidence.offers[0], None),
    )


def words_of(feature: str) -> str:
    """Return a feature's name as a person reads it."""
    kind, _, where = feature.rpartition("_")
    if where in _WHERE and feature not in CANDIDATE_FEATURES:
        return _WHERE[where].format(repr(kind.replace("_", " ")))
    return feature.replace("_", " ")


def strongest(names: Sequence[str], shares: NDArray[np.floating[Any]]) -> list[int]:
    """Return the columns a person is shown: at most 8, the largest first, ties by name.

    :param names: of the features, in the order of the columns.
    :param shares: shape (features,), contributions; those that round to nothing are left out.
    """
    order = sorted(range(len(names)), key=lambda at: (-abs(shares[at]), names[at]))
    return [at for at in order[:SHOWN] if abs(shares[at]) >= _SMALLEST]


def _best_rival(evidence: Evidence, models: Sequence[str], best: int) -> int | None:
    order = sorted(range(len(models)), key=lambda at: -float(evidence.scores[at]))
    return next((at for at in order if models[at] != models[best]), None)


def _largest(
    names: Sequence[str],
    shares: NDArray[np.float64],
    values: NDArray[np.float32],
    rivals: NDArray[np.float32] | None,
) -> tuple[Contribution, ...]:
    return tuple(
        Contribution(
            names[at], words_of(names[at]), round(float(shares[at]), 4),
            round(float(values[at]), 4), None if rivals is None else round(float(rivals[at]), 4),
        )
        for at in strongest(names, shares)
    )  # fmt: skip
