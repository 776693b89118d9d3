"""Features: the evidence for and against each candidate, and about what a listing offers."""

from rerank.features.candidates import (
    CANDIDATE_DIRECTIONS,
    CANDIDATE_FEATURES,
    CandidateFeatures,
)
from rerank.features.cues import CueReader
from rerank.features.offers import OFFER_FEATURES, OfferFeatures

__all__ = [
    "CANDIDATE_DIRECTIONS",
    "CANDIDATE_FEATURES",
    "OFFER_FEATURES",
    "CandidateFeatures",
    "CueReader",
    "OfferFeatures",
]
