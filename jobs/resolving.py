"""Resolve listings as they come: with the rows nothing can be resolved from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from index.records import Listing
from index.text import MAX_TITLE_CHARS, normalise
from rerank.resolver import Decision, Resolution

if TYPE_CHECKING:
    from rerank.resolver import Resolver

# The ranker was trained on 20 candidates a listing; fewer would change what leads by how much.
_CONSIDERED = 20
_NO_FAULTS: Mapping[int, str] = {}


def resolve_listings(
    resolver: Resolver,
    listings: Sequence[Listing],
    *,
    top_k: int = 20,
    faults: Mapping[int, str] = _NO_FAULTS,
) -> list[Resolution]:
    """Resolve listings in order; one without a title, or with a fault, is no match and says why.

    :param top_k: candidates returned for each listing.
    :param faults: what is wrong with a row, by its number; such rows are not resolved.
    """
    good = [
        at for at, listing in enumerate(listings) if at not in faults and normalise(listing.title)
    ]
    answers = resolver.resolve_many([listings[at] for at in good], top_k=max(top_k, _CONSIDERED))
    resolved = dict(zip(good, answers, strict=True))
    return [
        _presented(resolved[at], listing, top_k)
        if at in resolved
        else unresolved(faults.get(at, "no title"), resolver)
        for at, listing in enumerate(listings)
    ]


def resolve_with_sets(
    resolver: Resolver,
    listings: Sequence[Listing],
    *,
    coverage: float,
    top_k: int = 20,
    faults: Mapping[int, str] = _NO_FAULTS,
) -> tuple[list[Resolution], list[tuple[str, ...]]]:
    """Resolve as `resolve_listings` does, and return each listing's candidate set as well.

    The sets come from the candidates they were calibrated for, however many are returned.

    :param coverage: of the candidate sets, between 0 and 1.
    :raises InputError: if candidate sets cannot promise this coverage.
    :raises ArtifactError: if the model has no candidate sets.
    """
    considered = resolve_listings(resolver, listings, top_k=_CONSIDERED, faults=faults)
    sets = [resolver.candidate_set(answer, coverage=coverage) for answer in considered]
    if top_k > _CONSIDERED:
        return resolve_listings(resolver, listings, top_k=top_k, faults=faults), sets
    cut = [replace(answer, candidates=answer.candidates[:top_k]) for answer in considered]
    return cut, sets


def unresolved(reason: str, resolver: Resolver) -> Resolution:
    """Return the answer for a row that nothing can be resolved from."""
    return Resolution(
        None, None, None, None, 0.0, 0.0, Decision.NO_MATCH.value, reason, (),
        resolver.model.version, resolver.index_version,
    )  # fmt: skip


def _presented(answer: Resolution, listing: Listing, top_k: int) -> Resolution:
    """Cut the candidates to those asked for and say when the title was cut."""
    if len(listing.title) <= MAX_TITLE_CHARS and len(answer.candidates) <= top_k:
        return answer
    reason = answer.reason
    if len(listing.title) > MAX_TITLE_CHARS:
        reason = f"{reason}; title cut at {MAX_TITLE_CHARS} characters"
    return replace(answer, reason=reason, candidates=answer.candidates[:top_k])
