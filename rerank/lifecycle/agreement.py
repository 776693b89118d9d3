"""How far two models agree on listings whose truth nobody needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.records import Listing
from index.text import normalise
from rerank.evaluation.intervals import DEFAULT_SAMPLES, Figure, Resampling
from rerank.resolution import DECISIONS, Decision, Resolution

# Cells of (groups, samples) that are drawn: 100 MB.
_MOST_CELLS = 100_000_000
_FEWEST_SAMPLES = 100
ASPECTS = ("decision", "sold_model", "gpu_id")
"""What is compared: decision, model and variant, the latter two None for no match."""


class Change(Enum):
    """What of an answer is another one, by the first that is."""

    DECISION = "decision"
    MODEL = "model"
    VARIANT = "variant"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a listing got of one model, without its candidates."""

    decision: str
    model: str | None
    memory_gb: float | None
    gpu_id: str | None
    match_probability: float
    reason: str

    @property
    def sold_model(self) -> str | None:
        """The model, unless the decision is that none is sold and it is a guess."""
        return None if self.decision == Decision.NO_MATCH.value else self.model

    @classmethod
    def of(cls, answer: Resolution) -> Shown:
        """Return an answer without its candidates."""
        return cls(
            answer.decision,
            answer.model,
            answer.memory_gb,
            answer.gpu_id,
            answer.match_probability,
            answer.reason,
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """A listing with what both models made of it."""

    listing: Listing
    first: Shown
    second: Shown

    @property
    def change(self) -> Change | None:
        """What comes out otherwise, None if nothing; guesses below no_match do not count."""
        if self.first.decision != self.second.decision:
            return Change.DECISION
        if self.first.sold_model != self.second.sold_model:
            return Change.MODEL
        return Change.VARIANT if self.first.gpu_id != self.second.gpu_id else None

    @property
    def probability(self) -> float:
        """The higher of the two probabilities."""
        return max(self.first.match_probability, self.second.match_probability)


def agreement(rows: Sequence[Answered], *, seed: int) -> dict[str, Figure]:
    """Return the shares of listings on which decision, model and gpu_id are the same.

    Intervals are bootstrapped over titles, 1000 samples, fewer from 100,000 titles on.

    :returns: by name of `ASPECTS`; values None without rows.
    """
    titles = [normalise(row.listing.title) for row in rows]
    room = _MOST_CELLS // max(1, len(set(titles)))
    samples = max(_FEWEST_SAMPLES, min(DEFAULT_SAMPLES, room))
    resampling = Resampling.draw(titles, seed=seed, samples=samples)
    return {
        aspect: resampling.figure(
            _share,
            np.array(
                [getattr(row.first, aspect) == getattr(row.second, aspect) for row in rows],
                np.bool_,
            ),
        )
        for aspect in ASPECTS
    }


def decision_counts(rows: Sequence[Answered]) -> list[list[int]]:
    """Return how many listings got which decisions: of the first model down, the second across."""
    order = {decision.value: at for at, decision in enumerate(DECISIONS)}
    counts = [[0] * len(order) for _ in order]
    for row in rows:
        counts[order[row.first.decision]][order[row.second.decision]] += 1
    return counts


def changed(rows: Sequence[Answered]) -> list[Answered]:
    """Return the listings that come out otherwise, the most probable first, ties by listing_id.

    Those with another variant of the same model come after all others: they are many, and a
    listing often leaves the variant open.
    """
    found = [row for row in rows if row.change is not None]
    return sorted(
        found,
        key=lambda row: (row.change is Change.VARIANT, -row.probability, row.listing.listing_id),
    )


def _share(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
