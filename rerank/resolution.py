"""Resolutions: what a person or a program is told about one listing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where `match_probability` becomes a decision.

    At or above ``match``: match. Below ``review``: no_match. Between: review. Both in [0, 1.01];
    1.01 means that no listing of the validation data could be accepted at ``precision``.
    """

    match: float
    review: float
    precision: float


class Decision(Enum):
    """What to do with a listing."""

    MATCH = "match"
    REVIEW = "review"
    NO_MATCH = "no_match"


DECISIONS = tuple(Decision)
"""The decisions in the order of their numbers in arrays."""


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """One candidate of a resolved listing.

    ``score`` is comparable within its listing only; ``probability`` is the probability that its
    *model* is what the listing sells.
    """

    gpu_id: str
    model: str
    memory_gb: float
    form_factor: str
    similarity: float
    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer for one listing; the columns `rerank score` adds, in this order."""

    gpu_id: str | None
    model: str | None
    memory_gb: float | None
    form_factor: str | None
    match_probability: float
    margin: float
    decision: str
    reason: str
    candidates: tuple[ScoredCandidate, ...]
    model_version: str
    index_version: str
