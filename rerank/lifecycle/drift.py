"""What moved between a reference and a batch of resolved listings, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from rerank.lifecycle.distribution import (
    ANSWER_MEASURES,
    MEMORY,
    UNSEEN_MODELS,
    YES,
    Distribution,
)
from rerank.lifecycle.histogram import (
    OTHER,
    Histogram,
    homogeneity_p_value,
    side_by_side,
    stability_index,
)

SIGNIFICANCE = 0.01
"""Of all measures together: each is tested at this over their number (Bonferroni)."""
SMALL_BATCH = 200
"""Below so many listings, only large changes can be told from chance."""
_MODERATE, _STRONG = 0.1, 0.25  # of the stability index: the usual rule of thumb
_CHANGES = {MEMORY: (0.1, 0.2), UNSEEN_MODELS: (0.02, 0.05)}
"""Of shares that the index is blind to: the change that is moderate, and the one that is strong."""


class Level(Enum):
    """How far a measure moved."""

    NONE = "no"
    MODERATE = "moderately"
    STRONG = "strongly"


@dataclass(frozen=True, slots=True)
class Movement:
    """A measure in the reference and in the batch.

    :param part: the range or category that changed the most, in words.
    :param before: its share in the reference, 0 to 1.
    :param after: its share in the batch.
    :param index: population stability index, 0 if alike.
    :param p_value: of counts as far apart by chance.
    """

    measure: str
    part: str
    before: float
    after: float
    index: float
    p_value: float
    level: Level

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "measure": self.measure,
            "part": self.part,
            "reference": round(self.before, 6),
            "batch": round(self.after, 6),
            "psi": round(self.index, 6),
            "p_value": self.p_value,
            "moved": self.level.value,
        }


def movements(reference: Distribution, batch: Distribution) -> list[Movement]:
    """Compare a batch with a reference, by every measure that both have.

    A measure moved if its counts differ significantly and its index is 0.1 or more (strongly:
    0.25); stated memory if its share changed by 10 points (20), unseen models by 2 (5).

    :param batch: counted in the ranges of the reference.
    """
    shared = [name for name in reference.measures if name in batch.measures]
    return [
        _movement(name, reference.measures[name], batch.measures[name], SIGNIFICANCE / len(shared))
        for name in shared
    ]


def has_moved(found: Sequence[Movement]) -> bool:
    """Return whether anything moved."""
    return any(each.level is not Level.NONE for each in found)


def advice(
    found: Sequence[Movement], *, source: str, lacking: Mapping[str, int] | None = None
) -> list[str]:
    """Return what to do, a sentence each.

    :param source: the file of the batch, as commands take it.
    :param lacking: models that the registry seems to lack, with the titles that name them.
    """
    moved = {each.measure: each for each in found if each.level is not Level.NONE}
    said = []
    unseen = moved.pop(UNSEEN_MODELS, None)
    if unseen is not None and unseen.after > unseen.before:
        names = ", ".join(f"{name} ({n})" for name, n in _most(lacking or {}))
        named = f" ({names})" if names else ""
        said.append(
            f"The registry lacks models that listings name{named}: add what of them is a GPU "
            "with `rerank build-index --add`."
        )
    answers = [moved[name].level for name in ANSWER_MEASURES if name in moved]
    if Level.STRONG in answers:
        said.append(
            f"The answers moved strongly: annotate some 200 listings with `rerank annotate "
            f"{source}`, then train with `rerank train-ltr` and compare with `rerank models "
            "compare`."
        )
    elif answers:
        said.append(
            f"The answers moved: annotate some 100 listings with `rerank annotate {source}`, and "
            "train again if `rerank evaluate --annotations` shows a loss."
        )
    elif moved:
        said.append("The listings changed, the answers did not: nothing to do now.")
    return said or ["Nothing moved: nothing to do."]


def _movement(name: str, reference: Histogram, batch: Histogram, alpha: float) -> Movement:
    before, after = side_by_side(reference, batch)
    index, p_value = stability_index(before, after), homogeneity_p_value(before, after)
    part, share_before, share_after = _most_changed(name, reference, before, after)
    change = abs(share_after - share_before)
    limits, measured = ((_MODERATE, _STRONG), index)
    if name in _CHANGES:
        limits, measured = _CHANGES[name], change
    level = Level.NONE
    if p_value < alpha and measured >= limits[0]:
        level = Level.STRONG if measured >= limits[1] else Level.MODERATE
    return Movement(name, part, share_before, share_after, index, p_value, level)


def _most_changed(
    name: str, reference: Histogram, before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]
) -> tuple[str, float, float]:
    """Return the range below an edge, or the category, whose share changed the most."""
    a, b = before / max(before.sum(), 1), after / max(after.sum(), 1)
    if name in _CHANGES:
        at = reference.labels.index(YES)
        return YES, float(a[at]), float(b[at])
    if reference.labels:
        labels = [*reference.labels, *([] if OTHER in reference.labels else [OTHER])]
        at = int(np.argmax(np.abs(a - b)))
        return labels[at], float(a[at]), float(b[at])
    a, b = np.cumsum(a)[:-1], np.cumsum(b)[:-1]
    if not len(a):
        return "all", 1.0, 1.0
    at = int(np.argmax(np.abs(a - b)))
    return f"below {reference.edges[at]:.3g}", float(a[at]), float(b[at])


def _most(lacking: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(lacking.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
