"""The retriever: candidates of a listing by meaning (FAISS) and by name (lexicon), fused.

Dense vectors miss model numbers and the lexicon misses what has no number it knows; the recall
of each route and of both is reported by `rerank evaluate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.embedder import Embedder, listing_text
from index.lexicon import Lexicon, Reading
from index.name_evidence import NameEvidence, name_evidence
from index.ordering import falling_order, place_in_group
from index.records import GpuRecord, Listing, Route
from index.stated_memory import memory_agreement, stated_sizes
from index.vector_index import VectorIndex

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

DEFAULT_CANDIDATES = 20
_VARIANTS_PER_MODEL = 4  # variants of one model must not crowd its siblings out
_VECTOR_HITS = 32
_BLOCK_PAIRS = 512  # two vectors of 256 numbers each: 1 MB


@dataclass(frozen=True, slots=True)
class CandidateBatch:
    """Candidates of a batch of listings, flat; listing i owns rows offsets[i]:offsets[i + 1].

    :param record: shape (rows,), row of each candidate in the registry.
    :param similarity: shape (rows,), cosine between listing and GPU, -1 to 1.
    :param shortlist: shape (rows,), the score that chose and ordered the candidates.
    """

    readings: list[Reading]
    names: NameEvidence
    offsets: Ints
    record: Ints
    similarity: Floats
    shortlist: Floats

    @property
    def listing(self) -> Ints:
        """Shape (rows,): the listing each candidate belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


class Retriever:
    """Proposes candidates out of the registry's records."""

    def __init__(
        self,
        records: Sequence[GpuRecord],
        vectors: Floats,
        index: VectorIndex,
        embedder: Embedder,
    ) -> None:
        self.records = list(records)
        self.embedder = embedder
        self.lexicon = Lexicon(self.records)
        self.table = self.lexicon
        self._vectors = vectors
        self._index = index
        self._memory = np.array([record.memory_gb for record in self.records], np.float32)
        self._variant_rank = self.lexicon.variant_rank
        order = np.argsort(self.lexicon.model_of_record, kind="stable")
        self._records_by_model = order
        counts = np.bincount(self.lexicon.model_of_record, minlength=len(self.lexicon.models))
        self._model_offsets = np.concatenate([[0], np.cumsum(counts)])

    def retrieve(
        self,
        listings: Sequence[Listing],
        *,
        n_candidates: int = DEFAULT_CANDIDATES,
        route: Route = Route.FUSED,
    ) -> CandidateBatch:
        """Return up to ``n_candidates`` variants of each listing, best first."""
        queries = self.embedder.encode([listing_text(listing) for listing in listings])
        readings = [self.lexicon.read(listing.title) for listing in listings]
        names = name_evidence(self.lexicon, readings)
        pairs: list[tuple[Ints, Ints]] = []
        if route is not Route.NAME:
            pairs.append(self._by_vector(queries))
        if route is not Route.VECTOR:
            pairs.append(self._by_name(names))
        listing = np.concatenate([pair[0] for pair in pairs])
        record = np.concatenate([pair[1] for pair in pairs])
        keys = np.sort(listing * len(self.records) + record)
        keys = keys[np.diff(keys, prepend=-1) > 0]
        listing, record = keys // len(self.records), keys % len(self.records)
        similarity = self._similarity(queries, listing, record)
        shortlist = similarity.copy()
        if route is not Route.VECTOR:
            shortlist = shortlist + self._name_score(names, readings, listing, record)
        kept = self._keep_best(listing, record, shortlist, n_candidates)
        offsets = np.searchsorted(listing[kept], np.arange(len(listings) + 1))
        return CandidateBatch(
            readings,
            names,
            offsets.astype(np.int64),
            record[kept],
            similarity[kept],
            shortlist[kept],
        )

    def _similarity(self, queries: Floats, listing: Ints, record: Ints) -> Floats:
        """Return the cosine of each pair, in blocks whose vectors fit into a core's cache."""
        similarity = np.empty(len(record), np.float32)
        for start in range(0, len(record), _BLOCK_PAIRS):
            block = slice(start, start + _BLOCK_PAIRS)
            np.einsum(
                "ij,ij->i",
                queries[listing[block]],
                self._vectors[record[block]],
                out=similarity[block],
            )
        return similarity

    def _by_vector(self, queries: Floats) -> tuple[Ints, Ints]:
        _, rows = self._index.search(queries, _VECTOR_HITS)
        listing = np.repeat(np.arange(len(queries)), rows.shape[1])
        found = rows.ravel() >= 0
        return listing[found], rows.ravel()[found]

    def _by_name(self, names: NameEvidence) -> tuple[Ints, Ints]:
        counts = np.diff(self._model_offsets)[names.model]
        row = np.repeat(np.arange(len(names.model)), counts)
        within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        record = self._records_by_model[self._model_offsets[names.model[row]] + within]
        return names.listing[row], record.astype(np.int64)

    def _name_score(
        self, names: NameEvidence, readings: Sequence[Reading], listing: Ints, record: Ints
    ) -> Floats:
        model = self.lexicon.model_of_record[record]
        row = names.find(listing, model.astype(np.int64), len(self.lexicon.models))
        quality = names.values[:, -1] if len(names.values) else np.zeros(1, np.float32)
        score = np.where(row >= 0, quality[row], -0.5)
        stated = stated_sizes(readings)[listing]
        score = score + 0.25 * memory_agreement(stated, self._memory[record])
        return np.asarray(score - 0.02 * self._variant_rank[record], np.float32)

    def _keep_best(self, listing: Ints, record: Ints, shortlist: Floats, limit: int) -> Ints:
        """Return rows by listing and shortlist, few variants of a model, ``limit`` in all.

        The pairs come in order of listing and record, so that ties are left by record.
        """
        if not len(listing):  # by name alone, a title may have no candidate
            return np.zeros(0, np.int64)
        order = falling_order(listing, shortlist)
        of_listing = listing[order]
        model = self.lexicon.model_of_record[record[order]]
        few = place_in_group(of_listing * len(self.lexicon.models) + model) < _VARIANTS_PER_MODEL
        order, of_listing = order[few], of_listing[few]
        return order[place_in_group(of_listing) < limit]
