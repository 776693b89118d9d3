"""What annotators say together: how far they agree, what they settle on, what looks wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.calibration import NO_MATCH, outcome_probabilities
from rerank.evaluation.intervals import DEFAULT_SAMPLES, FEW, Figure, estimate
from rerank.evaluation.metrics import SHARE
from rerank.index.errors import InputError
from rerank.resolution import Resolution
from rerank.store.database import Session
from rerank.store.rows import (
    Annotation,
    StoredListing,
    Verdict,
    read_annotations,
    read_listings,
)

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

    Labels are those of `rerank.annotation.agreement.label_of`: another variant of the same model
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
            said = [[labels[who][key] for key in shared] for who in (first, second)]
            codes = np.unique(said, return_inverse=True)[1].reshape(2, -1)
            agreed = estimate(SHARE, codes[0] == codes[1], seed=seed, samples=samples)
            kappa = estimate(cohen_kappa, *codes, seed=seed, samples=samples)
            found.append(Agreement(first, second, agreed, _by_agreed(kappa, agreed, *codes)))
    return found


def _by_agreed(kappa: Figure, agreed: Figure, first: Codes, second: Codes) -> Figure:
    """Give kappa the interval that the share of equal labels has, where it rests on few listings.

    What chance gives is taken as known, as in Fleiss's large-sample variance (1981, 13.1).
    """
    if kappa.ci95 is None or agreed.ci95 is None:
        return kappa
    if agreed.n > FEW and kappa.ci95[0] < kappa.ci95[1]:
        return kappa
    chance = _chance(first, second)
    low, high = ((end - chance) / (1 - chance) for end in agreed.ci95)
    return replace(kappa, ci95=(low, high))


def _chance(first: Codes, second: Codes) -> float:
    """Return the share of labels that would be equal by chance; 1 is exact."""
    size = int(max(first.max(), second.max())) + 1
    counts = (np.bincount(codes, minlength=size) for codes in (first, second))
    return float(np.dot(*counts) / len(first) ** 2)


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
    if not len(first) or (expected := _chance(first, second)) == 1:
        return None
    return float((np.mean(first == second) - expected) / (1 - expected))


def disputes(annotations: Iterable[Annotation]) -> list[Dispute]:
    """Return the listings whose opinions differ and that nobody adjudicated, by listing_id.

    Unsure is no opinion, so a listing on which one is sure and others are not is no dispute.
    """
    found = (Dispute(key, tuple(answers)) for key, answers in by_listing(annotations))
    return [dispute for dispute in found if is_disputed(dispute.answers)]


def by_listing(annotations: Iterable[Annotation]) -> Iterator[tuple[str, list[Annotation]]]:
    """Yield each listing_id with its answers, ordered by listing and annotator."""
    ordered = sorted(annotations, key=lambda item: (item.listing_id, item.annotator))
    for listing_id, answers in groupby(ordered, key=lambda item: item.listing_id):
        yield listing_id, list(answers)


def _check_lengths(first: Codes, second: Codes) -> None:
    if len(first) != len(second):
        raise InputError(
            f"expected labels of the same listings, got {len(first)} and {len(second)}"
        )


ADJUDICATOR = "adjudicator"
"""The annotator whose answer settles a listing, whatever the others said."""


@dataclass(frozen=True, slots=True)
class Consensus:
    """What a listing sells as far as its annotators agree.

    :param model: set exactly if ``verdict`` is `Verdict.MATCH`.
    :param gpu_id: the variant, if those who hold the answer and name one name the same.
    :param annotators: people who answered, the adjudicator and the unsure among them.
    :param disputed: whether opinions differ and nobody adjudicated.
    """

    listing_id: str
    verdict: Verdict
    model: str | None
    gpu_id: str | None
    annotators: int
    disputed: bool


def consensus(annotations: Iterable[Annotation]) -> list[Consensus]:
    """Return one answer for each annotated listing, ordered by listing.

    The adjudicator's answer counts alone. Otherwise an opinion is a label (see `label_of`) other
    than unsure: if all opinions are one, it is the answer; if they differ, it is the one that at
    least two and more than half of them hold, marked as disputed; if there is none such, or no
    opinion at all, the verdict is `Verdict.UNSURE`. Variants of one model are no dispute: the
    model stands and ``gpu_id`` is None.

    :param annotations: at most one for each listing and annotator, in any order.
    """
    return [_settled(listing_id, answers) for listing_id, answers in by_listing(annotations)]


def read_settled(session: Session) -> tuple[list[Consensus], dict[str, StoredListing]]:
    """Read what annotators settled on, and the listings of those answers by listing_id."""
    settled = consensus(read_annotations(session))
    stored = read_listings(session, [answer.listing_id for answer in settled])
    return settled, {item.listing.listing_id: item for item in stored}


def label_of(annotation: Annotation) -> str:
    """Return what answers are compared by: the model of a match, else the verdict's value."""
    return annotation.verdict.value if annotation.model is None else annotation.model


def opinions_of(answers: Iterable[Annotation]) -> list[Annotation]:
    """Return the answers that are opinions: all but the unsure ones."""
    return [item for item in answers if item.verdict is not Verdict.UNSURE]


def adjudication_of(answers: Iterable[Annotation]) -> Annotation | None:
    """Return the adjudicator's answer for a listing, if there is one."""
    return next((item for item in answers if item.annotator == ADJUDICATOR), None)


def is_disputed(answers: Sequence[Annotation]) -> bool:
    """Tell whether the answers for one listing hold different opinions and none settles them."""
    if adjudication_of(answers) is not None:
        return False
    return len({label_of(item) for item in opinions_of(answers)}) > 1


def _settled(listing_id: str, answers: Sequence[Annotation]) -> Consensus:
    settling = adjudication_of(answers)
    holders = [settling] if settling is not None else _majority(opinions_of(answers))
    if not holders:
        verdict, model, gpu_id = Verdict.UNSURE, None, None
    else:
        variants = {item.gpu_id for item in holders if item.gpu_id is not None}
        verdict, model = holders[0].verdict, holders[0].model
        gpu_id = variants.pop() if len(variants) == 1 else None
    return Consensus(listing_id, verdict, model, gpu_id, len(answers), is_disputed(answers))


def _majority(opinions: Sequence[Annotation]) -> list[Annotation]:
    """Return those who hold the winning label; none if no label wins."""
    if not opinions:
        return []
    [(label, held)] = Counter(label_of(item) for item in opinions).most_common(1)
    if held < len(opinions) and (held < 2 or 2 * held <= len(opinions)):
        return []
    return [item for item in opinions if label_of(item) == label]


_UNKNOWN_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Label:
    """A label that stands for a listing, and who gave it.

    :param label: a model, or the verdict's value where there is none.
    :param outcome: the same in the model's words: a model or `rerank.calibration.NO_MATCH`.
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
    labels = []
    for listing_id, answers in by_listing(annotations):
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
