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

from rerank.features.candidates import CANDIDATE_FEATURES
from rerank.features.offers import OFFER_FEATURES

if TYPE_CHECKING:
    from rerank.model import RerankModel
    from rerank.ranking import Evidence, ModelTable


Ints = NDArray[np.int64]

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


NOTHING = Explanation(None, None, (), ())
"""Of a listing without candidates."""


def explained(evidence: Evidence, model: RerankModel, table: ModelTable) -> list[Explanation]:
    """Explain what is decided on evidence, a listing each; some 200 a second, LightGBM loads 2 s.

    :param model: that scored the candidates.
    """
    from rerank.training.trees import contributions

    best, rival = leaders(evidence, table)
    found = np.flatnonzero(best >= 0)
    explanations = [NOTHING] * len(best)
    if not len(found):
        return explanations
    rivalled = rival >= 0
    rows = np.unique(np.concatenate([best[found], rival[rivalled]]))
    shares = np.zeros((len(evidence.features), evidence.features.shape[1]))
    shares[rows] = ranking_shares(model, evidence.features[rows])
    offers = np.zeros(evidence.offers.shape)
    offers[found] = contributions(model.offer_text, evidence.offers[found])[:, :-1]
    models = [table.records[row].model for row in evidence.candidates.record.tolist()]
    for at in found.tolist():
        first, second = int(best[at]), int(rival[at]) if rivalled[at] else None
        lead = shares[first] if second is None else shares[first] - shares[second]
        theirs = None if second is None else evidence.features[second]
        explanations[at] = Explanation(
            best=models[first],
            rival=None if second is None else models[second],
            ranking=_largest(CANDIDATE_FEATURES, lead, evidence.features[first], theirs),
            offer=_largest(OFFER_FEATURES, offers[at], evidence.offers[at], None),
        )
    return explanations


def leaders(evidence: Evidence, table: ModelTable) -> tuple[Ints, Ints]:
    """Return the rows of each listing's best candidate and of its best of another model.

    Both of shape (listings,); -1 where there is none.
    """
    batch = evidence.candidates
    rival = np.full(len(evidence.best), -1, np.int64)
    model = table.model_of_record[batch.record]
    others = np.flatnonzero(model != model[evidence.best][batch.listing])
    order = others[np.lexsort((others, -evidence.scores[others], batch.listing[others]))]
    with_rival, first = np.unique(batch.listing[order], return_index=True)
    rival[with_rival] = order[first]
    return evidence.best, rival


def ranking_shares(model: RerankModel, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what each feature adds to the ranker's score of each row, shape as ``features``.

    All zero for a ranker that is no LambdaRank: TreeSHAP reads trees.
    """
    from rerank.training.trees import contributions

    if not model.ranker_text:
        return np.zeros(features.shape)
    return contributions(model.ranker_text, features)[:, :-1]


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


def _largest(
    names: Sequence[str],
    shares: NDArray[np.float64],
    values: NDArray[np.float32],
    rivals: NDArray[np.float32] | None,
) -> tuple[Contribution, ...]:
    return tuple(
        Contribution(
            names[at],
            words_of(names[at]),
            round(float(shares[at]), 4),
            round(float(values[at]), 4),
            None if rivals is None else round(float(rivals[at]), 4),
        )
        for at in strongest(names, shares)
    )
