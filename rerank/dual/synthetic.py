"""Invented multi-modal candidates: drink photographs scored against a request for a drink.

Each request asks for a drink (its canonical id) of a domain. A candidate photograph shows that
drink or another, in the right glass or not, with the right garnish or not. CLIP-like vectors of
request, photograph and caption know the drink but little of glass, garnish and ice; region
statistics, colour difference and subject ratio tell of those; conflict scores of detectors tell of
what the request forbids. Compliance and conflict follow from what is shown, not from any of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.dual.scored_set import ScoredSet

Floats = NDArray[np.float64]

DOMAINS = ("cocktails", "coffee", "mocktails")
FEATURES = (
    "glass_confidence",
    "garnish_confidence",
    "ice_coverage",
    "color_delta_e",
    "subject_ratio",
    "conflict_ingredient",
    "conflict_vessel",
)
_WIDTH, _DRINKS, _CANDIDATES = 32, 60, 12
_MISSING_SHARE = 0.06
_SAME_DRINK = 0.45


class _Shown(NamedTuple):
    """What the photographs show, each of shape (candidates,); true where it is as asked."""

    drink: NDArray[np.bool_]
    glass: NDArray[np.bool_]
    garnish: NDArray[np.bool_]
    forbidden: NDArray[np.bool_]


def synthetic_candidates(n_queries: int, *, seed: int) -> ScoredSet:
    """Return ``n_queries`` requests with 12 photographs each, the same for the same seed."""
    rng = np.random.default_rng(seed)
    rows = n_queries * _CANDIDATES
    drinks = _unit(rng.normal(size=(_DRINKS, _WIDTH)))
    asked = rng.integers(0, _DRINKS, n_queries)
    wanted = np.repeat(asked, _CANDIDATES)
    same = rng.random(rows) < _SAME_DRINK
    shown_drink = np.where(same, wanted, rng.integers(0, _DRINKS, rows))
    shown = _Shown(
        shown_drink == wanted,
        rng.random(rows) < 0.5,
        rng.random(rows) < 0.5,
        rng.random(rows) < 0.3,
    )
    image = drinks[shown_drink] + rng.normal(size=(rows, _WIDTH)) * 0.11
    caption = drinks[shown_drink] + rng.normal(size=(rows, _WIDTH)) * 0.16
    features = _features(shown, rng)
    features[rng.random(features.shape) < _MISSING_SHARE] = np.nan
    compliance = shown.drink * (0.4 + 0.35 * shown.glass + 0.25 * shown.garnish)
    request = drinks[asked] + rng.normal(size=(n_queries, _WIDTH)) * 0.05
    return ScoredSet(
        query_id=tuple(f"request-{number:06d}" for number in range(n_queries)),
        canonical_id=tuple(f"drink-{drink:02d}" for drink in asked),
        domain=tuple(DOMAINS[drink % len(DOMAINS)] for drink in asked),
        text=tuple(f"a photograph of drink {drink}" for drink in asked),
        offsets=np.arange(n_queries + 1, dtype=np.int64) * _CANDIDATES,
        candidate_id=tuple(f"photo-{row:07d}" for row in range(rows)),
        compliance=np.asarray(np.round(compliance, 4), np.float64),
        conflict=shown.forbidden.astype(np.float64),
        feature_names=FEATURES,
        features=np.round(features, 4).astype(np.float32),
        query_vectors={"clip_text": _unit(request).astype(np.float32)},
        candidate_vectors={
            "clip_image": _unit(image).astype(np.float32),
            "clip_caption": _unit(caption).astype(np.float32),
        },
    )


def _features(shown: _Shown, rng: np.random.Generator) -> Floats:
    """Return what detectors say, noisy, shape (candidates, len(FEATURES)).

    A vessel detector is confident only of large subjects, and each conflict detector sees half
    of the conflicts: what they say counts together.
    """
    rows = len(shown.drink)
    ratio = rng.uniform(0.2, 0.9, rows)
    detected = rng.random(rows) < 0.5
    columns = [
        0.5 + (shown.glass - 0.5) * ratio + rng.normal(size=rows) * 0.08,
        0.5 + (shown.garnish - 0.5) * 0.8 + rng.normal(size=rows) * 0.25,
        rng.beta(2, 2, rows),
        np.where(shown.drink, 8.0, 22.0) + rng.normal(size=rows) * 6.0,
        ratio,
        (shown.forbidden & detected) * 0.7 + rng.beta(2, 8, rows) * 0.6,
        (shown.forbidden & ~detected) * 0.7 + rng.beta(2, 8, rows) * 0.6,
    ]
    return np.column_stack(columns)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float64)
