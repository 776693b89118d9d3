"""Labels that are probably wrong: those a confident model contradicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from rerank.annotation.consensus import adjudication_of, label_of, opinions_of
from rerank.conformal import NO_MATCH, outcome_probabilities
from rerank.resolver import Resolution
from rerank.store.annotations import Annotation

_UNKNOWN_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Label:
    """A label that stands for a listing, and who gave it.

    :param label: a model, or the verdict's value where there is none.
    :param outcome: the same in the model's words: a model or `rerank.conformal.NO_MATCH`.
    """

    listing_id: str
    label: str
    outcome: str
    annotators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that the model contradicts.

    :param suggestion: what the model says: a model or "no match".
    :param probability: the model's probability of its suggestion, 0 to 1.
    :param self_confidence: the model's probability of the label, 0 to 1.
    """

    label: Label
    suggestion: str
    probability: float
    self_confidence: float


def standing_labels(annotations: Iterable[Annotation]) -> list[Label]:
    """Return each listing's labels that stand, by listing_id and label.

    Those are the adjudicator's alone where there is one, else each that somebody holds; unsure is
    none.
    """
    ordered = sorted(annotations, key=lambda item: item.listing_id)
    labels = []
    for listing_id, group in groupby(ordered, key=lambda item: item.listing_id):
        answers = list(group)
        settling = adjudication_of(answers)
        opinions = opinions_of(answers if settling is None else [settling])
        for label in sorted({label_of(item) for item in opinions}):
            holders = [item for item in opinions if label_of(item) == label]
            names = tuple(sorted(item.annotator for item in holders))
            labels.append(Label(listing_id, label, holders[0].model or NO_MATCH, names))
    return labels


def suspects(
    judged: Sequence[tuple[Label, Resolution]], *, threshold: float | None = None
) -> list[Suspect]:
    """Return the labels that the model contradicts confidently, the most suspicious first.

    Confident learning (Northcutt, Jiang and Chuang 2021), simplified. The probability of a label
    is its model's in the resolution; what all models leave is the probability of no match. A
    label is suspected if another one is the most probable and reaches its class's threshold: the
    mean probability that listings labelled so have of their label. Models are one class (most
    have few listings), no match the other; a class that nobody used has the threshold 0.5. Order:
    by the gap between the probabilities, then by listing_id and label.

    The paper asks for probabilities of listings that the model was not trained on: a model
    trained on the annotations has learned part of their errors.

    :param judged: labels with the resolutions of their listings.
    :param threshold: one for both classes instead, 0 to 1.
    """
    shares = [outcome_probabilities(answer.candidates) for _, answer in judged]
    own = [share.get(label.outcome, 0.0) for (label, _), share in zip(judged, shares, strict=True)]
    limits = {
        matched: threshold
        if threshold is not None
        else _mean(
            [
                confidence
                for (label, _), confidence in zip(judged, own, strict=True)
                if (label.outcome != NO_MATCH) is matched
            ]
        )
        for matched in (True, False)
    }
    found = []
    for (label, _), share, confidence in zip(judged, shares, own, strict=True):
        best = min(share, key=lambda outcome: (-share[outcome], outcome))
        if best != label.outcome and share[best] >= limits[best != NO_MATCH]:
            found.append(Suspect(label, best, share[best], confidence))
    return sorted(
        found,
        key=lambda s: (s.self_confidence - s.probability, s.label.listing_id, s.label.label),
    )


def _mean(probabilities: Sequence[float]) -> float:
    return float(np.mean(probabilities)) if probabilities else _UNKNOWN_THRESHOLD
