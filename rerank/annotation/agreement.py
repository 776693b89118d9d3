"""How far annotators agree, and the listings on which they do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.annotation.consensus import ADJUDICATOR, is_disputed, label_of
from rerank.evaluation.intervals import DEFAULT_SAMPLES, Figure, estimate
from rerank.store.annotations import Annotation

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two annotators agree on the listings both answered.

    :param agreed: share of listings with the same label.
    :param kappa: the same, corrected for chance; see `cohen_kappa`.
    """

    first: str
    second: str
    agreed: Figure
    kappa: Figure

    @property
    def n(self) -> int:
        """How many listings both answered."""
        return self.agreed.n

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "n": self.n,
            "agreed": self.agreed.as_dict(),
            "kappa": self.kappa.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class Dispute:
    """A listing on which opinions differ and nobody adjudicated; answers by annotator."""

    listing_id: str
    answers: tuple[Annotation, ...]


def agreements(
    annotations: Iterable[Annotation], *, seed: int, samples: int = DEFAULT_SAMPLES
) -> list[Agreement]:
    """Measure each two annotators who answered a listing in common, ordered by their names.

    Labels are those of `rerank.annotation.consensus.label_of`: another variant of the same model
    is agreement, unsure a label of its own. The adjudicator is left out: what he is asked is
    what others differ on.

    :param seed: of the bootstrap over listings.
    """
    labels: dict[str, dict[str, str]] = {}
    for item in annotations:
        if item.annotator != ADJUDICATOR:
            labels.setdefault(item.annotator, {})[item.listing_id] = label_of(item)
    found = []
    for first, second in combinations(sorted(labels), 2):
        shared = sorted(labels[first].keys() & labels[second].keys())
        if shared:
            codes = _codes([[labels[who][key] for key in shared] for who in (first, second)])
            agreed, kappa = (
                estimate(metric, *codes, seed=seed, samples=samples)
                for metric in (observed_agreement, cohen_kappa)
            )
            found.append(Agreement(first, second, agreed, kappa))
    return found


def observed_agreement(first: Codes, second: Codes) -> float | None:
    """Return the share of listings with equal labels, 0 to 1; None for none.

    :raises InputError: if the lengths differ.
    """
    _check_lengths(first, second)
    return float(np.mean(first == second)) if len(first) else None


def cohen_kappa(first: Codes, second: Codes) -> float | None:
    """Return Cohen's kappa of two annotators (Cohen 1960).

    (p - e) / (1 - e), where p is the share of equal labels and e the share that would be equal if
    both drew their labels at random, each in the proportions he used. 1 is full agreement, 0 what
    chance gives, negative less than that (down to -1). None without listings, and where e is 1:
    both gave one and the same label throughout, which tells nothing.

    :param first: shape (listings,): numbers from 0 for the first annotator's labels.
    :param second: the second annotator's, numbered alike.
    :raises InputError: if the lengths differ.
    """
    _check_lengths(first, second)
    n = len(first)
    if not n:
        return None
    size = int(max(first.max(), second.max())) + 1
    by_chance = np.bincount(first, minlength=size) @ np.bincount(second, minlength=size)
    if by_chance == n * n:  # counted in whole numbers: 1 - e is exact
        return None
    expected = by_chance / n**2
    return float((np.mean(first == second) - expected) / (1 - expected))


def disputes(annotations: Iterable[Annotation]) -> list[Dispute]:
    """Return the listings whose opinions differ and that nobody adjudicated, by listing_id.

    Unsure is no opinion, so a listing on which one is sure and others are not is no dispute.
    """
    ordered = sorted(annotations, key=lambda item: (item.listing_id, item.annotator))
    grouped = groupby(ordered, key=lambda item: item.listing_id)
    found = (Dispute(listing_id, tuple(answers)) for listing_id, answers in grouped)
    return [dispute for dispute in found if is_disputed(dispute.answers)]


def _codes(columns: Sequence[Sequence[str]]) -> list[Codes]:
    number = {label: at for at, label in enumerate(sorted(set().union(*columns)))}
    return [np.array([number[label] for label in column], np.int64) for column in columns]


def _check_lengths(first: Codes, second: Codes) -> None:
    if len(first) != len(second):
        raise InputError(
            f"expected labels of the same listings, got {len(first)} and {len(second)}"
        )
