"""Models for tests that answer listings as they are told, by the listing's id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rerank.index.records import Listing
from rerank.resolution import Resolution, ScoredCandidate


def candidate(model: str) -> ScoredCandidate:
    return ScoredCandidate(f"id {model}", model, 8, "PCIe", 0.5, 1.0, 0.5, 1.0)


def answer(model: str, *, probability: float = 0.9, decision: str = "match") -> Resolution:
    best = candidate(model)
    sold = (best.gpu_id, model, 8, "PCIe") if decision != "no_match" else (None,) * 4
    return Resolution(
        *sold,
        model,
        probability,
        False,
        1.0,
        probability,
        decision,
        "scripted",
        (best,),
        "m",
        "i",
    )


class Scripted:
    """Answers by listing_id; what is not in the script is answered with the fallback."""

    def __init__(self, script: Mapping[str, Resolution], fallback: Resolution) -> None:
        self._script, self._fallback = dict(script), fallback

    def resolve(self, listing: Listing, *, top_k: int = 20) -> Resolution:
        return self._script.get(listing.listing_id, self._fallback)

    def resolve_many(self, listings: Sequence[Listing], *, top_k: int = 20) -> list[Resolution]:
        return [self.resolve(listing) for listing in listings]
