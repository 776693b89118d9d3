"""Candidates of listings as items of preference: metrics are the features the ranker reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rerank.features.candidates import CANDIDATE_FEATURES
from rerank.index.name_evidence import CandidateBatch
from rerank.index.records import N_CANDIDATES, GpuRecord, Listing
from rerank.rankers.pairs import CANDIDATE_TYPE, candidate_reference
from rerank.ranking import Evidence, ModelTable
from rerank.resolver import Resolver
from rerank.store.preferences import PreferenceItem

INDEX_PREFIX = "index:"
"""Opens the embedding_id of a candidate: the vector of a gpu_id in the index that serves."""

_BATCH = 500


def candidate_items(
    resolver: Resolver, listings: Sequence[Listing], wanted: Mapping[str, Collection[str]]
) -> dict[tuple[str, str], PreferenceItem]:
    """Return items of retrieved candidates, by (listing_id, gpu_id).

    :param wanted: gpu_ids by listing_id; one that is not among the first candidates of its
        listing is left out; see `rerank.annotation.candidate_items` for those.
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

    :param features: one for each of `rerank.features.candidates.CANDIDATE_FEATURES`.
    """
    return PreferenceItem(
        CANDIDATE_TYPE,
        candidate_reference(listing_id, gpu_id),
        dict(zip(CANDIDATE_FEATURES, features, strict=True)),
        embedding_id=INDEX_PREFIX + gpu_id,
    )


Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

Similarity = Callable[[Sequence[Listing], Sequence[GpuRecord]], Floats]
"""Returns the cosine, -1 to 1, of each listing and the GPU in the same place."""


def added_items(
    resolver: Resolver, missing: Sequence[tuple[Listing, str]], similarity: Similarity
) -> dict[tuple[str, str], PreferenceItem]:
    """Return items of GPUs that are not among their listing's candidates, by (listing_id, gpu_id).

    Each GPU is judged behind the listing's first candidates, without the others that are added,
    so that its features depend on nothing else that is asked for.

    :param missing: listings with a gpu_id each; one that the registry lacks is left out.
    """
    row_of = {record.gpu_id: row for row, record in enumerate(resolver.table.records)}
    known = [(listing, gpu_id) for listing, gpu_id in missing if gpu_id in row_of]
    items: dict[tuple[str, str], PreferenceItem] = {}
    for start in range(0, len(known), _BATCH):
        chunk = known[start : start + _BATCH]
        listings = [listing for listing, _ in chunk]
        rows = np.array([row_of[gpu_id] for _, gpu_id in chunk], np.int64)
        cosines = similarity(listings, [resolver.table.records[row] for row in rows.tolist()])
        retrieved = resolver.evidence(listings, n_candidates=N_CANDIDATES).candidates
        evidence = resolver.judge(listings, _with_one_more(retrieved, rows, cosines))
        last = evidence.candidates.offsets[1:] - 1
        for (listing, gpu_id), features in zip(chunk, evidence.features[last], strict=True):
            key = (listing.listing_id, gpu_id)
            items[key] = candidate_item(*key, features.tolist())
    return items


def _with_one_more(candidates: CandidateBatch, record: Ints, similarity: Floats) -> CandidateBatch:
    """Return candidates with one more of each listing: shapes (listings,)."""
    ends = candidates.offsets[1:]
    return replace(
        candidates,
        offsets=candidates.offsets + np.arange(len(candidates.offsets)),
        record=np.insert(candidates.record, ends, record),
        similarity=np.insert(candidates.similarity, ends, similarity),
        shortlist=np.insert(candidates.shortlist, ends, similarity),
        listing=np.insert(candidates.listing, ends, np.arange(len(ends))),
    )
