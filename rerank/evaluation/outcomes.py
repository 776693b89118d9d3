"""Answers held against gold: one row a listing, as arrays for metrics and as errors for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.metrics import GRADED_PLACES, TOP_GRADE, Metric
from rerank.index.records import Bools, Doubles
from rerank.resolution import Decision, Resolution, ScoredCandidate, same_size_by_hand


class ErrorKind(Enum):
    """Which part failed.

    ``LABEL``: annotators dispute the answer, or it names no GPU of the registry, so that no system
    could give it. ``RETRIEVAL``: no right model is among the candidates. ``RANKING``: one is, but
    it or the stated variant is not first. ``DECISION``: the right model was not accepted, or a
    no-match listing was.
    """

    RETRIEVAL = "retrieval"
    RANKING = "ranking"
    DECISION = "decision"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came of listings that are a match or nil; ambiguous ones are left out.

    :param is_match: whether the listing sells a GPU of the registry.
    :param ranks: place of the first right model from 1, infinite if none or nil.
    :param grades: shape (listings, 10), graded relevance of the ranked models.
    :param probability: ``match_probability``.
    :param accepted: whether the decision is `match`.
    :param memory_agrees: of the first candidate; meaningful where ``memory_judged``.
    :param memory_judged: whether the right model came first and its memory is known.
    :param memory_open: whether besides, by our reading, the listing does not state it.
    :param variant_probability: of the first candidate.
    """

    is_match: Bools
    ranks: Doubles
    grades: Doubles
    probability: Doubles
    accepted: Bools
    memory_agrees: Bools
    memory_judged: Bools
    memory_open: Bools
    variant_probability: Doubles

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Return a column by its name, as metrics read it."""
        return np.asarray(getattr(self, column))

    def value(self, metric: Metric) -> float | None:
        """Measure these outcomes; None where nothing is measured."""
        rows = slice(None) if metric.over is None else self[metric.over]
        return metric(*(self[column][rows] for column in metric.columns))

    @property
    def correct(self) -> Bools:
        """Whether the best candidate is what the listing sells; never so for nil."""
        return np.asarray(self.ranks == 1, np.bool_)

    @property
    def is_nil(self) -> Bools:
        """Whether the listing sells no GPU of the registry."""
        return ~self.is_match


def judge(gold: Sequence[GoldListing], resolutions: Sequence[Resolution]) -> Outcomes:
    """Hold resolutions against gold listings, which come in the same order."""
    pairs = [(g, r) for g, r in zip(gold, resolutions, strict=True) if is_judged(g)]
    ranked = [_distinct(r.candidates, g) for g, r in pairs]
    ranks = np.array(
        [first_rank(top, g) for top, (g, _) in zip(ranked, pairs, strict=True)], np.float64
    )
    grades = np.zeros((len(pairs), GRADED_PLACES))
    agrees = np.zeros(len(pairs), np.bool_)
    for row, (top, (listing, _)) in enumerate(zip(ranked, pairs, strict=True)):
        place = ranks[row]
        if place <= len(top):
            found = top[int(place) - 1]
            agrees[row] = _memory_agrees(listing, found)
            if place <= GRADED_PLACES:
                grades[row, int(place) - 1] = grade(listing, found)
    stated = np.array([g.gold_memory_gb is not None or bool(g.gold_ids) for g, _ in pairs], bool)
    return Outcomes(
        is_match=np.array([g.kind is GoldKind.MATCH for g, _ in pairs], np.bool_),
        ranks=ranks,
        grades=grades,
        probability=np.array([r.match_probability for _, r in pairs], np.float64),
        accepted=np.array([_is_accepted(r) for _, r in pairs], np.bool_),
        memory_agrees=agrees,
        memory_judged=stated & (ranks == 1),
        memory_open=stated
        & (ranks == 1)
        & np.array([not r.variant_stated for _, r in pairs], bool),
        variant_probability=np.array([r.variant_probability for _, r in pairs], np.float64),
    )


def first_rank(candidates: Iterable[ScoredCandidate], gold: GoldListing) -> float:
    """Return the place of the first accepted model from 1, variants of a model counting once."""
    return rank_of_models((candidate.model for candidate in candidates), gold)


def rank_of_models(models: Iterable[str], gold: GoldListing) -> float:
    """Return the place of the first accepted name from 1, infinite if there is none.

    Names with one key share a place.
    """
    keys = dict.fromkeys(gold.key_of(model) for model in models)
    wanted = gold.gold_keys
    return next((float(at) for at, key in enumerate(keys, start=1) if key in wanted), np.inf)


def grade(gold: GoldListing, candidate: ScoredCandidate) -> int:
    """Grade a candidate: 2 a variant that fits all the listing states, 1 its model, else 0."""
    if gold.key_of(candidate.model) not in gold.gold_keys:
        return 0
    form = not gold.gold_form or gold.gold_form.casefold() == candidate.form_factor.casefold()
    return TOP_GRADE if form and _memory_agrees(gold, candidate) else 1


def errors_of(
    gold: Sequence[GoldListing], resolutions: Sequence[Resolution]
) -> list[dict[str, Any]]:
    """Return what went wrong, the costliest first: accepted errors, wrong names, then the rest.

    ``retrieval``: no right model among the candidates; ``ranking``: one is, but it or the stated
    variant is not first; ``decision``: the right model was not accepted or a nil listing was.
    """
    found = []
    for listing, answer in zip(gold, resolutions, strict=True):
        kind = _error_kind(listing, answer) if is_judged(listing) else None
        if kind is not None:
            wrong = kind is not ErrorKind.DECISION or listing.kind is GoldKind.NIL
            order = (not (_is_accepted(answer) and wrong), not wrong, -answer.match_probability)
            found.append((order, listing.listing_id, _error(listing, answer, kind)))
    return [error for _, _, error in sorted(found, key=lambda item: item[:2])]


def lost_to(
    gold: GoldListing, answer: Resolution, known_keys: Container[str] | None = None
) -> ErrorKind | None:
    """Return which part lost a listing, None if the answer is right.

    :param known_keys: of every model of the catalogue; None if it is not known.
    """
    kind = _error_kind(gold, answer)
    if kind is None:
        return None
    unknown = (
        gold.kind is GoldKind.MATCH
        and known_keys is not None
        and not any(key in known_keys for key in gold.gold_keys)
    )
    return ErrorKind.LABEL if gold.disputed or unknown else kind


def _error_kind(gold: GoldListing, answer: Resolution) -> ErrorKind | None:
    if gold.kind is GoldKind.NIL:
        return ErrorKind.DECISION if _is_accepted(answer) else None
    rank = first_rank(answer.candidates, gold)
    if rank == np.inf:
        return ErrorKind.RETRIEVAL
    if rank > 1 or not _memory_agrees(gold, answer.candidates[0]):
        return ErrorKind.RANKING
    return None if _is_accepted(answer) else ErrorKind.DECISION


def _error(gold: GoldListing, answer: Resolution, kind: ErrorKind) -> dict[str, Any]:
    return {
        "listing_id": gold.listing_id,
        "title": gold.title,
        "want": _with_memory(" or ".join(gold.gold_models) or "no match", gold.gold_memory_gb),
        "got": _named(answer),
        "probability": round(answer.match_probability, 4),
        "decision": answer.decision,
        "kind": kind.value,
    }


def _named(answer: Resolution) -> str:
    """Return the best guess with its memory."""
    if not answer.candidates:
        return answer.best_guess or "no candidates"
    return _with_memory(answer.candidates[0].model, answer.candidates[0].memory_gb)


def _with_memory(name: str, memory_gb: float | None) -> str:
    return name if memory_gb is None else f"{name} {memory_gb:g} GB"


def _distinct(candidates: Iterable[ScoredCandidate], gold: GoldListing) -> list[ScoredCandidate]:
    """Return each model's best candidate, in ranked order."""
    best: dict[str, ScoredCandidate] = {}
    for candidate in candidates:
        best.setdefault(gold.key_of(candidate.model), candidate)
    return list(best.values())


def _memory_agrees(gold: GoldListing, candidate: ScoredCandidate) -> bool:
    if gold.gold_ids:
        return candidate.key in gold.gold_ids
    wanted = gold.gold_memory_gb
    return wanted is None or same_size_by_hand(wanted, candidate.memory_gb)


def is_judged(gold: GoldListing) -> bool:
    """Say whether a listing has a truth to hold an answer against."""
    return gold.kind is not GoldKind.AMBIGUOUS


def _is_accepted(resolution: Resolution) -> bool:
    return resolution.decision == Decision.MATCH.value


class Cause(Enum):
    """Why a listing was answered wrongly; the value is its key in reports."""

    NOT_IN_REGISTRY = "registry lacks the model"
    NOT_RETRIEVED = "not retrieved"
    PART_NUMBER = "part number unknown"
    MISREAD = "number misread"
    OTHER_CARD = "another card is named"
    MEMORY = "memory size"
    FORM = "mobile or desktop"
    SUFFIX = "suffix"
    LINE = "sibling line"
    WHOLE_SYSTEM = "whole computer"
    ACCESSORY_ACCEPTED = "accessory taken for a card"
    CARD_REFUSED = "card taken for an accessory"
    SHORT_NAME = "name incomplete"
    CODE_ALONE = "part number alone"
    CLOSE_RIVAL = "close rival"
    LOW_CONFIDENCE = "low confidence"
    VARIANT = "variant"
    SOLD_OTHERWISE = "other goods accepted"

    @property
    def sentence(self) -> str:
        """What it means, for people."""
        return _SENTENCES[self]


_SENTENCES = {
    Cause.NOT_IN_REGISTRY: "The registry has no such model, or not with this memory size.",
    Cause.NOT_RETRIEVED: "The title names the model, but it was cut from the candidates.",
    Cause.PART_NUMBER: "Only a part number that no rule and no list reads names the model.",
    Cause.MISREAD: "The model's number was not read, or digits of something else were.",
    Cause.OTHER_CARD: "The title names another card, which was taken or cast doubt.",
    Cause.MEMORY: "The memory size told the cards apart, and did not decide.",
    Cause.FORM: "A mobile and a desktop card of one number were confused.",
    Cause.SUFFIX: "Models that differ in a suffix (Ti, XT, SUPER, Ada) were confused.",
    Cause.LINE: "Models of one number in different lines (GT, GTX, RX, Pro) were confused.",
    Cause.WHOLE_SYSTEM: "Words for a laptop, a computer or a rig decided.",
    Cause.ACCESSORY_ACCEPTED: "Something else is sold that is named after the card.",
    Cause.CARD_REFUSED: "Words for a box, a cooler or other goods cast doubt on a card.",
    Cause.SHORT_NAME: "The title leaves out words of the name (GeForce, GTX, Radeon).",
    Cause.CODE_ALONE: "A part number was read rightly, but nothing else confirms it.",
    Cause.CLOSE_RIVAL: "Another model is about as plausible by what the title shows.",
    Cause.LOW_CONFIDENCE: "The answer is right, and the evidence too thin to accept it.",
    Cause.VARIANT: "The model is right, another of its variants is sold.",
    Cause.SOLD_OTHERWISE: "Nothing of the catalogue is sold, and something was accepted.",
}


@dataclass(frozen=True, slots=True)
class FeatureGap:
    """One feature of a failure.

    :param right: its value for the right candidate; None where there is no other one to compare.
    :param chosen: its value for the candidate that was answered.
    :param contribution: what it did for the chosen candidate (SHAP). Of a wrong order: in units of
        the ranker's score, less what it did for the right candidate; above 0 it helped the wrong
        one. Of a wrong decision: in log-odds of accepting; below 0 it held back.
    """

    feature: str
    words: str
    right: float | None
    chosen: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Failure:
    """One wrong answer.

    :param lost_to: the part that failed, a value of `ErrorKind`.
    :param right: the best-ranked right candidate; None if it is not among the candidates.
    :param features: those that decided, the largest contribution first, at most 8.
    """

    listing_id: str
    title: str
    want: str
    got: str
    decision: str
    probability: float
    lost_to: str
    cause: Cause
    right: str | None
    features: tuple[FeatureGap, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the cause is its value."""
        return {
            "listing_id": self.listing_id,
            "title": self.title,
            "want": self.want,
            "got": self.got,
            "decision": self.decision,
            "probability": self.probability,
            "lost_to": self.lost_to,
            "cause": self.cause.value,
            "right": self.right,
            "features": [asdict(feature) for feature in self.features],
        }


def causes(found: Iterable[str]) -> dict[str, int]:
    """Count the causes of failures, the most frequent first, ties by name."""
    return dict(sorted(Counter(found).items(), key=lambda item: (-item[1], item[0])))
