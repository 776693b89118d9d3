"""Look up what candidates of stored listings are made of: the ranker's features, embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index.errors import FaultsError, InputError
from index.records import GpuRecord, Listing
from jobs.serving import resolver_over
from jobs.workspace import Workspace, open_retriever
from rerank.annotation.added_candidates import added_items
from rerank.annotation.candidate_items import (
    CANDIDATE_TYPE,
    INDEX_PREFIX,
    candidate_items,
    parse_reference,
)
from rerank.store import Store
from rerank.store.listings import read_listings
from rerank.store.preferences import PreferenceItem, PreferencePair

if TYPE_CHECKING:
    from index.retriever import Retriever
    from rerank.resolver import Resolver

Floats = NDArray[np.float32]
Items = dict[tuple[str, str], PreferenceItem]


@dataclass(frozen=True, slots=True)
class Filled:
    """Pairs with what their candidates are made of, and what stood in the way of others.

    :param without_listing: the listing_id of each pair whose listing is not in the store.
    :param without_gpu: gpu_ids of pairs that the registry lacks.
    :param not_retrieved: how many of the pairs have a GPU that their listing does not retrieve.
    """

    pairs: list[PreferencePair]
    without_listing: list[str]
    without_gpu: list[str]
    not_retrieved: int


class CandidateLookup:
    """Fills in candidates' features and similarity; loads index and model when it must."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @property
    def retriever(self) -> Retriever:
        """The index that serves."""
        return self._serving[0]

    @property
    def resolver(self) -> Resolver:
        """The resolver that serves."""
        return self._serving[1]

    @cached_property
    def _serving(self) -> tuple[Retriever, Resolver]:
        retriever, manifest = open_retriever(self._workspace)
        return retriever, resolver_over(self._workspace, retriever, manifest)

    def fill(self, store: Store, pairs: Sequence[PreferencePair]) -> Filled:
        """Give bare candidates their features, and their pairs the similarity of the two GPUs.

        A GPU that its listing does not retrieve is judged as one candidate more: these are the
        errors of retrieval.

        :raises FaultsError: if a candidate's reference is malformed or a pair is of two listings.
        """
        bare = [pair for pair in pairs if _is_bare(pair.a) or _is_bare(pair.b)]
        if not bare:
            return Filled(list(pairs), [], [], 0)
        wanted = _wanted(bare)
        with store.reading() as session:
            listings = [item.listing for item in read_listings(session, list(wanted))]
        stored = {listing.listing_id for listing in listings}
        items, added = self._items(listings, wanted)
        registry = {record.gpu_id for record in self.retriever.records}
        filled, without_listing, without_gpu, n_added = [], [], [], 0
        for pair in pairs:
            keys = [parse_reference(i.reference_id) for i in (pair.a, pair.b) if _is_bare(i)]
            unknown = [listing_id for listing_id, _ in keys[:1] if listing_id not in stored]
            lacking = [gpu_id for _, gpu_id in keys if gpu_id not in registry]
            without_listing += unknown
            without_gpu += lacking
            if not unknown and not lacking:
                known = {item.item_id: item for item in map(items.__getitem__, keys)}
                a, b = (known.get(item.item_id, item) for item in (pair.a, pair.b))
                filled.append(replace(pair, a=a, b=b))
                n_added += any(key in added for key in keys)
        return Filled(self.with_similarity(filled), without_listing, without_gpu, n_added)

    def _items(
        self, listings: Sequence[Listing], wanted: Mapping[str, set[str]]
    ) -> tuple[Items, Items]:
        """Return the wanted items by (listing_id, gpu_id), and which of them are not retrieved."""
        items = candidate_items(self.resolver, listings, wanted)
        missing = [
            (listing, gpu_id)
            for listing in listings
            for gpu_id in sorted(wanted[listing.listing_id])
            if (listing.listing_id, gpu_id) not in items
        ]
        added = added_items(self.resolver, missing, self._similarity)
        return items | added, added

    def with_similarity(self, pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
        """Give pairs of candidates that have none the cosine of their GPUs' embeddings."""
        vectors = self.embeddings_of(pairs)
        done = []
        for pair in pairs:
            a, b = (vectors.get(item.embedding_id or "") for item in (pair.a, pair.b))
            if pair.similarity is None and a is not None and b is not None:
                pair = replace(pair, similarity=_cosine(a, b))
            done.append(pair)
        return done

    def embeddings_of(self, pairs: Iterable[PreferencePair]) -> dict[str, list[float]]:
        """Return the vectors of the candidates in pairs, by embedding_id."""
        items = (item for pair in pairs for item in (pair.a, pair.b))
        return self._embeddings(item.embedding_id for item in items if item.embedding_id)

    def _similarity(self, listings: Sequence[Listing], records: Sequence[GpuRecord]) -> Floats:
        """Return the cosine of each listing and the GPU in the same place."""
        from index.embedder import descriptor, listing_text

        encode = self.retriever.embedder.encode
        queries = encode([listing_text(listing) for listing in listings])
        vectors = encode([descriptor(record) for record in records])
        return np.asarray(np.einsum("ij,ij->i", queries, vectors), np.float32)

    def _embeddings(self, embedding_ids: Iterable[str]) -> dict[str, list[float]]:
        """Return vectors of the index by embedding_id; ids of anything else are left out."""
        from index.embedder import descriptor

        wanted = {i.removeprefix(INDEX_PREFIX) for i in embedding_ids if i.startswith(INDEX_PREFIX)}
        if not wanted:
            return {}
        records = [record for record in self.retriever.records if record.gpu_id in wanted]
        vectors = self.retriever.embedder.encode([descriptor(record) for record in records])
        names = (INDEX_PREFIX + record.gpu_id for record in records)
        return dict(zip(names, vectors.tolist(), strict=True))


def _wanted(pairs: Iterable[PreferencePair]) -> Mapping[str, set[str]]:
    """Return gpu_ids by listing.

    :raises FaultsError: if a reference is malformed or a pair's candidates are of two listings.
    """
    wanted: dict[str, set[str]] = {}
    faults = []
    for pair in pairs:
        try:
            keys = [parse_reference(item.reference_id) for item in (pair.a, pair.b)]
        except InputError as exc:
            faults.append(str(exc))
            continue
        if keys[0][0] != keys[1][0]:
            faults.append(
                "expected two candidates of one listing, whose features can be compared, got "
                f"{keys[0][0]!r:.80} and {keys[1][0]!r:.80}"
            )
        for listing_id, gpu_id in keys:
            wanted.setdefault(listing_id, set()).add(gpu_id)
    if faults:
        raise FaultsError("preference pairs", faults)
    return wanted


def _is_bare(item: PreferenceItem) -> bool:
    return item.item_type == CANDIDATE_TYPE and not item.metrics


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 0.0 if lengths == 0 else round(min(1.0, max(-1.0, float(np.dot(a, b)) / lengths)), 4)
