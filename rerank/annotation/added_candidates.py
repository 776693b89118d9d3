"""GPUs that a listing does not retrieve, as items of preference: each is one candidate more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.lexicon import Reading
from index.name_evidence import NameEvidence
from index.records import GpuRecord, Listing
from rerank.annotation.candidate_items import N_CANDIDATES, candidate_item
from rerank.resolver import Resolver
from rerank.retrieval import Candidates
from rerank.store.preferences import PreferenceItem

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

Similarity = Callable[[Sequence[Listing], Sequence[GpuRecord]], Floats]
"""Returns the cosine, -1 to 1, of each listing and the GPU in the same place."""

_BATCH = 500


@dataclass(frozen=True, slots=True)
class _WithOneMore:
    """Candidates of listings, the added one behind the others; see `rerank.retrieval.Candidates`.

    The arrays are shaped as there.
    """

    readings: Sequence[Reading]
    names: NameEvidence
    offsets: Ints
    record: Ints
    similarity: Floats

    @property
    def listing(self) -> Ints:
        """Shape (rows,): listing of each candidate."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def added_items(
    resolver: Resolver, missing: Sequence[tuple[Listing, str]], similarity: Similarity
) -> dict[tuple[str, str], PreferenceItem]:
    """Return items of GPUs that are not among their listing's candidates, by (listing_id, gpu_id).

    Each GPU is judged behind the listing's first 20 candidates, without the others that are added,
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


def _with_one_more(candidates: Candidates, record: Ints, similarity: Floats) -> _WithOneMore:
    """Return candidates with one more of each listing: shapes (listings,)."""
    ends = candidates.offsets[1:]
    return _WithOneMore(
        candidates.readings,
        candidates.names,
        candidates.offsets + np.arange(len(candidates.offsets)),
        np.insert(candidates.record, ends, record),
        np.insert(candidates.similarity, ends, similarity),
    )
