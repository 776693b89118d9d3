"""How well differences of scores say which item of a pair is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.intervals import Resampling

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_SCALES = np.logspace(-2, 2, 161)


@dataclass(frozen=True, slots=True)
class Preference:
    """How a difference of scores becomes a preference.

    :param scale: log-odds that the item of the higher score is the better one, if either is, for a
        difference of 1.
    :param equal_within: a difference up to this is no preference.
    """

    scale: float = 1.0
    equal_within: float = 0.0

    @classmethod
    def fit(cls, difference: Floats, label: Ints) -> Preference:
        """Fit both on pairs that taught nothing."""
        return cls(_scale(difference, label), _equal_within(difference, label))

    def label(self, difference: float) -> int:
        """Return 1 if the first item is better, -1 if the second is, 0 if neither."""
        if abs(difference) <= self.equal_within:
            return 0
        return 1 if difference > 0 else -1

    def confidence(self, difference: float) -> float:
        """Return the probability that the item of the higher score is the better one, if either
        is: 0.5 to 1.
        """
        return float(1 / (1 + np.exp(-min(self.scale * abs(difference), 500.0))))


def right(difference: Floats, label: Ints) -> NDArray[np.float64]:
    """Return 1 for each pair whose better item has the higher score, 0.5 for equal scores, else 0;
    of the pairs with a better item.
    """
    stated = label != 0
    ahead = np.sign(difference[stated] * label[stated])
    return np.asarray(0.5 + 0.5 * ahead, np.float64)


def pair_figures(
    difference: Floats, heuristic: Floats, label: Ints, group: Ints, *, seed: int
) -> dict[str, Any]:
    """Return the pair accuracy of scores and of the heuristic on the same pairs, and what the
    first gains, each with its 95 % interval over resampled groups.

    :param difference: shape (pairs,), score of a less that of b.
    :param heuristic: shape (pairs,), the same of the heuristic.
    :param group: shape (pairs,), number of what belongs together.
    """
    ours, theirs = right(difference, label), right(heuristic, label)
    resampling = Resampling.draw(group[label != 0].tolist(), seed=seed)

    def figure(column: NDArray[np.float64]) -> dict[str, Any]:
        return resampling.figure(_mean, column).as_dict()

    equals = np.abs(difference[label == 0])
    return {
        "pair_accuracy": figure(ours),
        "heuristic_pair_accuracy": figure(theirs),
        "gain_over_heuristic": figure(ours - theirs),
        "equals": {
            "pairs": len(equals),
            "mean_difference": round(float(equals.mean()), 4) if len(equals) else None,
        },
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _scale(difference: Floats, label: Ints) -> float:
    """Return the scale of the highest likelihood, from 0.01 to 100.

    Targets are those of Platt (Probabilistic Outputs for Support Vector Machines, 1999): pairs
    without an error do not make for certainty, only for n + 1 in n + 2.
    """
    stated = label != 0
    ahead = (difference[stated] * label[stated]).astype(np.float64)
    if not len(ahead):
        return 1.0
    target = (len(ahead) + 1) / (len(ahead) + 2)
    losses = [
        float(
            np.mean(
                np.logaddexp(0, -s * ahead) * target + np.logaddexp(0, s * ahead) * (1 - target)
            )
        )
        for s in _SCALES
    ]
    return float(_SCALES[int(np.argmin(losses))])


def _equal_within(difference: Floats, label: Ints) -> float:
    """Return the bound that answers most pairs right, equals among them; 0 without equals."""
    if not (label == 0).any():
        return 0.0
    order = np.argsort(np.abs(difference), kind="stable")
    size = np.abs(difference)[order]
    equal = label[order] == 0
    correct = np.sign(difference[order]) == np.where(equal, 2, label[order])
    below = np.concatenate([[0], np.cumsum(equal)])
    above = np.concatenate([np.cumsum(correct[::-1])[::-1], [0]])
    cut = int(np.argmax(below + above))  # the first `cut` pairs are taken for equals
    if cut == 0:
        return 0.0
    return float(size[cut - 1] if cut == len(size) else (size[cut - 1] + size[cut]) / 2)
