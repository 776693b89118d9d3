"""Measure on the whole validation set: the same queries, with all their documents, every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank.cross_encoder.pair_encoding import TextPair
from rerank.cross_encoder.query_packs import QueryPack

ScorePairs = Callable[[Sequence[TextPair]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class ValidationFigures:
    """What was measured; each is a mean over queries that have a negative.

    :param loss: the margin loss over all pairs of a positive and a negative, 0 or more.
    :param pair_accuracy: share of those pairs in which the positive scores higher, 0 to 1.
    :param precision_at_1: share of queries whose best document is a positive, 0 to 1.
    :param mrr: mean of 1 / rank of the first positive, 0 to 1.
    :param queries: how many were measured.

    A negative that scores as high as a positive stands above it.
    """

    loss: float
    pair_accuracy: float
    precision_at_1: float
    mrr: float
    queries: int

    def is_better_than(self, other: ValidationFigures | None) -> bool:
        """Tell whether the first positives stand higher, or else the loss is lower."""
        return other is None or (self.mrr, -self.loss) > (other.mrr, -other.loss)


def validate(packs: Sequence[QueryPack], score: ScorePairs, *, margin: float) -> ValidationFigures:
    """Score every document of every query and measure; zeros if no query has a negative."""
    measured = [pack for pack in packs if pack.negatives]
    pairs = [
        TextPair(pack.query_text, item.text)
        for pack in measured
        for item in (*pack.positives, *pack.negatives)
    ]
    scores = np.asarray(score(pairs), np.float64) if pairs else np.zeros(0)
    rows, start = [], 0
    for pack in measured:
        middle = start + len(pack.positives)
        end = middle + len(pack.negatives)
        rows.append(_figures(scores[start:middle], scores[middle:end], margin))
        start = end
    if not rows:
        return ValidationFigures(0.0, 0.0, 0.0, 0.0, 0)
    loss, pair_accuracy, precision_at_1, mrr = np.mean(rows, axis=0).tolist()
    return ValidationFigures(loss, pair_accuracy, precision_at_1, mrr, len(rows))


def _figures(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], margin: float
) -> tuple[float, float, float, float]:
    gaps = positives[:, None] - negatives[None, :]
    best = positives.max()
    above = int((negatives >= best).sum())
    return (
        float(np.maximum(0.0, margin - gaps).mean()),
        float((gaps > 0).mean()),
        float(above == 0),
        1.0 / (1 + above),
    )
