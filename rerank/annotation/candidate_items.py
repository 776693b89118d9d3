"""Candidates of listings as items of preference: metrics are the features the ranker reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from index.errors import InputError
from index.records import Listing
from rerank.features import CANDIDATE_FEATURES
from rerank.resolver import Evidence, Resolver
from rerank.retrieval import ModelTable
from rerank.store.preferences import PreferenceItem

CANDIDATE_TYPE = "gpu_candidate"
"""The item type of a GPU proposed for a listing; its reference is ``LISTING_ID::GPU_ID``."""

INDEX_PREFIX = "index:"
"""Opens the embedding_id of a candidate: the vector of a gpu_id in the index that serves."""

N_CANDIDATES = 20  # as the ranker was trained: features compare a listing's candidates
_SEPARATOR = "::"
_BATCH = 500


def candidate_reference(listing_id: str, gpu_id: str) -> str:
    """Return the reference of a GPU proposed for a listing."""
    return f"{listing_id}{_SEPARATOR}{gpu_id}"


def parse_reference(reference: str) -> tuple[str, str]:
    """Return (listing_id, gpu_id) of a candidate's reference.

    :raises InputError: if it is none.
    """
    listing_id, separator, gpu_id = reference.rpartition(_SEPARATOR)
    if not (separator and listing_id and gpu_id):
        raise InputError(
            f"expected a {CANDIDATE_TYPE} as LISTING_ID{_SEPARATOR}GPU_ID, got {reference!r:.80}"
        )
    return listing_id, gpu_id


def candidate_items(
    resolver: Resolver, listings: Sequence[Listing], wanted: Mapping[str, Collection[str]]
) -> dict[tuple[str, str], PreferenceItem]:
    """Return items of retrieved candidates, by (listing_id, gpu_id).

    :param wanted: gpu_ids by listing_id; one that is not among the first 20 candidates of its
        listing is left out; see `rerank.annotation.added_candidates` for those.
    """
    items: dict[tuple[str, str], PreferenceItem] = {}
    for start in range(0, len(listings), _BATCH):
        chunk = listings[start : start + _BATCH]
        evidence = resolver.evidence(chunk, n_candidates=N_CANDIDATES)
        items.update(items_of(evidence, resolver.table, chunk, wanted))
    return items


def items_of(
    evidence: Evidence,
    table: ModelTable,
    listings: Sequence[Listing],
    wanted: Mapping[str, Collection[str]],
) -> dict[tuple[str, str], PreferenceItem]:
    """Return the wanted items out of the evidence on listings, by (listing_id, gpu_id)."""
    batch = evidence.candidates
    items = {}
    rows = zip(batch.listing.tolist(), batch.record.tolist(), strict=True)
    for row, (at, number) in enumerate(rows):
        listing_id, gpu_id = listings[at].listing_id, table.records[number].gpu_id
        if gpu_id in wanted.get(listing_id, ()):
            features = evidence.features[row].tolist()
            items[listing_id, gpu_id] = candidate_item(listing_id, gpu_id, features)
    return items


def candidate_item(listing_id: str, gpu_id: str, features: Sequence[float]) -> PreferenceItem:
    """Return the item of a GPU proposed for a listing.

    :param features: one for each of `rerank.features.CANDIDATE_FEATURES`.
    """
    return PreferenceItem(
        CANDIDATE_TYPE,
        candidate_reference(listing_id, gpu_id),
        dict(zip(CANDIDATE_FEATURES, features, strict=True)),
        embedding_id=INDEX_PREFIX + gpu_id,
    )
