"""The retriever and its index folder: candidates of a listing by meaning and by name, fused.

Dense vectors (FAISS) miss model numbers and the lexicon misses what has no number it knows; the
recall of each route and of both is reported by `rerank evaluate`. An index folder holds the
registry, its vectors and the fingerprint of the embedder that made them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import (
    INDEX_FORMAT,
    INDEX_REMEDY,
    Manifest,
    read_manifest,
    reading,
    write_manifest,
    writing_folder,
)
from rerank.index.embedder import Embedder
from rerank.index.errors import InputError, MismatchError
from rerank.index.records import (
    N_CANDIDATES,
    GpuRecord,
    Listing,
    Route,
    changes,
    falling_order,
    place_in_group,
)
from rerank.index.text import descriptor
from rerank.index.vector_index import FaissIndex, IndexKind, VectorIndex
from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.name_evidence import NameEvidence, memory_agreement, name_evidence
from rerank.packs.gpu.registry import read_records, registry_fingerprint, write_records
from rerank.packs.gpu.stated_words import Stated, StatedWords, chip_vendors
from rerank.packs.gpu.title_columns import ColumnReader, TitleReadings
from rerank.packs.gpu.variants import Variants
from rerank.ranking import CandidateBatch

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_VARIANTS_PER_MODEL = 4  # variants of one model must not crowd its siblings out
_VECTOR_HITS = 32
_BLOCK_PAIRS = 512  # two vectors of 256 numbers each: 1 MB


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
        self._reader = ColumnReader(self.lexicon)
        self._vectors = vectors
        self._index = index
        self._memory = np.array([record.memory_gb for record in self.records], np.float32)
        self._variants = Variants(self.lexicon)
        self._stated_words = StatedWords(chip_vendors(self.records))

    def retrieve(
        self,
        listings: Sequence[Listing],
        *,
        n_candidates: int = N_CANDIDATES,
        route: Route = Route.FUSED,
    ) -> CandidateBatch:
        """Return up to ``n_candidates`` variants of each listing, best first."""
        return self.retrieve_routes(listings, [route], n_candidates=n_candidates)[route]

    def retrieve_routes(
        self,
        listings: Sequence[Listing],
        routes: Collection[Route] = tuple(Route),
        *,
        n_candidates: int = N_CANDIDATES,
    ) -> dict[Route, CandidateBatch]:
        """Return what `retrieve` does by each of several routes; titles are read once."""
        readings, texts = self._reader.read(listings)
        queries = self.embedder.encode(texts)
        names = name_evidence(self.lexicon, readings)
        stated = self._stated_words.read(readings)
        found: dict[Route, tuple[Ints, Ints]] = {}
        if {*routes} != {Route.NAME}:
            alone = {*routes} == {Route.VECTOR} and n_candidates > N_CANDIDATES
            # More than decide are asked for to be looked at: only all variants hold enough models.
            hits = len(self.records) if alone else _VECTOR_HITS
            found[Route.VECTOR] = self._by_vector(queries, hits)
        if {*routes} != {Route.VECTOR}:
            found[Route.NAME] = self._by_name(names)
        return {
            route: self._chosen(
                queries,
                readings,
                names,
                stated,
                [pair for by, pair in found.items() if route in (by, Route.FUSED)],
                route,
                n_candidates,
            )
            for route in routes
        }

    def _chosen(
        self,
        queries: Floats,
        readings: TitleReadings,
        names: NameEvidence,
        stated: Stated,
        pairs: Sequence[tuple[Ints, Ints]],
        route: Route,
        n_candidates: int,
    ) -> CandidateBatch:
        """Score the candidates that a route found and keep the best of each listing."""
        listing = np.concatenate([pair[0] for pair in pairs])
        record = np.concatenate([pair[1] for pair in pairs])
        keys = np.sort(listing * len(self.records) + record)
        keys = keys[changes(keys)]
        listing, record = keys // len(self.records), keys % len(self.records)
        similarity = self._similarity(queries, listing, record)
        shortlist = similarity.copy()
        if route is not Route.VECTOR:
            shortlist = shortlist + self._name_score(names, listing, record)
        kept = self._keep_best(listing, record, shortlist, n_candidates)
        listing, record, similarity = listing[kept], record[kept], similarity[kept]
        model = self.lexicon.model_of_record[record].astype(np.int64)
        likeliest, probability, pair, place = self._variants.choose(
            readings, names.sizes, stated.forms, (listing, model)
        )
        if route is Route.VECTOR:  # shows what vectors alone find
            likeliest, probability = record, np.full(len(record), np.nan, np.float32)
        # The places of a model stay, its likeliest variants take them.
        other = np.flatnonzero(likeliest != record)
        similarity[other] = self._similarity(queries, listing[other], likeliest[other])
        return CandidateBatch(
            readings,
            names,
            np.searchsorted(listing, np.arange(len(readings) + 1)).astype(np.int64),
            likeliest,
            similarity,
            shortlist[kept],
            listing,
            pair,
            place,
            probability,
            stated,
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

    def _by_vector(self, queries: Floats, hits: int) -> tuple[Ints, Ints]:
        _, rows = self._index.search(queries, hits)
        listing = np.repeat(np.arange(len(queries)), rows.shape[1])
        found = rows.ravel() >= 0
        return listing[found], rows.ravel()[found]

    def _by_name(self, names: NameEvidence) -> tuple[Ints, Ints]:
        record, row = self._variants.of_models(names.model)
        return names.listing[row], record.astype(np.int64)

    def _name_score(self, names: NameEvidence, listing: Ints, record: Ints) -> Floats:
        model = self.lexicon.model_of_record[record]
        row = names.find(listing, model.astype(np.int64), len(self.lexicon.models))
        quality = names.values[:, -1] if len(names.values) else np.zeros(1, np.float32)
        score = np.where(row >= 0, quality[row], -0.5)
        score = score + 0.25 * memory_agreement(names.sizes[listing], self._memory[record])
        return np.asarray(score - 0.02 * self.lexicon.variant_rank[record], np.float32)

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


_RECORDS, _FAISS = "records.jsonl", "index.faiss"
_MOST_SHOWN = 20


def build_index(
    records: Sequence[GpuRecord],
    embedder: Embedder,
    folder: Path,
    *,
    kind: IndexKind = IndexKind.FLAT,
) -> Manifest:
    """Embed the registry and write an index folder, replacing an older one whole."""
    vectors = embedder.encode([descriptor(record) for record in records])
    return _write(records, FaissIndex.build(vectors, kind), embedder, folder, kind)


def add_to_index(
    records: Sequence[GpuRecord], embedder: Embedder, folder: Path
) -> tuple[Manifest, int]:
    """Add GPUs that an index lacks; return its new manifest and how many were added.

    :raises InputError: if a gpu_id is given twice, or is there already with another content.
    :raises MismatchError: if the index was built with another embedder.
    """
    counts = Counter(record.gpu_id for record in records)
    twice = [gpu_id for gpu_id, count in counts.items() if count > 1]
    if twice:
        raise InputError(
            f"expected each GPU once, got {len(twice)} gpu_ids more than once: "
            f"{', '.join(twice[:_MOST_SHOWN])}{', ...' if len(twice) > _MOST_SHOWN else ''}"
        )
    known, index, manifest = _read(folder, embedder)
    by_id = {record.gpu_id: record for record in known}
    changed = [r.gpu_id for r in records if by_id.get(r.gpu_id, r) != r]
    if changed:
        raise InputError(
            f"{folder}: {len(changed)} GPUs stand in the index with another content, first "
            f"{changed[0]!r}; rebuild it with `{INDEX_REMEDY}`"
        )
    fresh = [record for record in records if record.gpu_id not in by_id]
    if not fresh:
        return manifest, 0
    index.add(embedder.encode([descriptor(record) for record in fresh]))
    kind = IndexKind(manifest.parameters["kind"])
    return _write([*known, *fresh], index, embedder, folder, kind), len(fresh)


def load_retriever(folder: Path, embedder: Embedder) -> tuple[Retriever, Manifest]:
    """Load an index folder.

    :raises ArtifactError: if it is missing or damaged.
    :raises MismatchError: if it was built with another embedder.
    """
    records, index, manifest = _read(folder, embedder)
    return Retriever(records, index.vectors(), index, embedder), manifest


def index_records(folder: Path) -> list[GpuRecord]:
    """Load the registry of an index folder, without its vectors and its embedder.

    :raises ArtifactError: if the folder is missing or damaged.
    """
    read_manifest(folder, kind="index", format_version=INDEX_FORMAT, remedy=INDEX_REMEDY)
    with reading(folder / _RECORDS, "records of cards", INDEX_REMEDY):
        return read_records(folder / _RECORDS)


def _write(
    records: Sequence[GpuRecord],
    index: FaissIndex,
    embedder: Embedder,
    folder: Path,
    kind: IndexKind,
) -> Manifest:
    parameters: dict[str, Any] = {
        "kind": kind.value,
        "embedder": embedder.name,
        "embedder_fingerprint": embedder.fingerprint,
        "dimension": embedder.dimension,
        "registry_fingerprint": registry_fingerprint(records),
        "gpus": len(records),
        "models": len({record.model for record in records}),
    }
    with writing_folder(folder) as draft:
        write_records(records, draft / _RECORDS)
        index.save(draft / _FAISS)
        return write_manifest(
            draft,
            kind="index",
            format_version=INDEX_FORMAT,
            parameters=parameters,
            libraries=("faiss-cpu", "numpy"),
        )


def _read(folder: Path, embedder: Embedder) -> tuple[list[GpuRecord], FaissIndex, Manifest]:
    manifest = read_manifest(folder, kind="index", format_version=INDEX_FORMAT, remedy=INDEX_REMEDY)
    expected, name = map(manifest.parameters.get, ("embedder_fingerprint", "embedder"))
    if expected != embedder.fingerprint:
        raise MismatchError(
            f"{folder}: built with embedder {name} ({expected}), asked "
            f"to use {embedder.name} ({embedder.fingerprint}); rebuild it with `{INDEX_REMEDY}`"
        )
    with reading(folder / _RECORDS, "records of cards", INDEX_REMEDY):
        records = read_records(folder / _RECORDS)
    path = folder / _FAISS
    index = FaissIndex.load(path, count=len(records), dimension=embedder.dimension)
    return records, index, manifest
