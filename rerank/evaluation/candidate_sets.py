"""Candidate sets held against gold."""

from __future__ import annotations

from collections.abc import Collection

from index.errors import InputError
from rerank.conformal import NO_MATCH
from rerank.evaluation.gold import GoldKind, GoldListing, canonical_key


def covered(candidate_set: Collection[str], gold: GoldListing) -> bool:
    """Return whether a candidate set holds the truth: an accepted model, or "no match" for nil.

    :param candidate_set: models and `NO_MATCH`; names compare by their `canonical_key`.
    :raises InputError: if the listing is ambiguous, so that nothing is known to be true.
    """
    if gold.kind is GoldKind.AMBIGUOUS:
        raise InputError(f"listing {gold.listing_id!r} is ambiguous: leave it out of the coverage")
    if gold.kind is GoldKind.NIL:
        return NO_MATCH in candidate_set
    keys = {canonical_key(model) for model in candidate_set if model != NO_MATCH}
    return any(canonical_key(model) in keys for model in gold.gold_models)
