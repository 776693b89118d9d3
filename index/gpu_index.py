"""The index folder: registry, vectors and FAISS index, tied to the embedder that made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from index.artifacts import Manifest, read_manifest, write_manifest, writing_folder
from index.embedder import Embedder, descriptor
from index.errors import InputError, MismatchError
from index.records import GpuRecord
from index.registry import read_records, registry_fingerprint, write_records
from index.retriever import Retriever
from index.vector_index import FaissIndex, IndexKind

FORMAT_VERSION = 1
REMEDY = "rerank build-index"
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
            f"{changed[0]!r}; rebuild it with `{REMEDY}`"
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
    read_manifest(folder, kind="index", format_version=FORMAT_VERSION, remedy=REMEDY)
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
            format_version=FORMAT_VERSION,
            parameters=parameters,
            libraries=("faiss-cpu", "numpy"),
        )


def _read(folder: Path, embedder: Embedder) -> tuple[list[GpuRecord], FaissIndex, Manifest]:
    manifest = read_manifest(folder, kind="index", format_version=FORMAT_VERSION, remedy=REMEDY)
    expected = manifest.parameters["embedder_fingerprint"]
    if expected != embedder.fingerprint:
        raise MismatchError(
            f"{folder}: built with embedder {manifest.parameters['embedder']} ({expected}), asked "
            f"to use {embedder.name} ({embedder.fingerprint}); rebuild it with `{REMEDY}`"
        )
    records = read_records(folder / _RECORDS)
    index = FaissIndex.load(folder / _FAISS)
    if len(records) != len(index):
        raise MismatchError(
            f"{folder}: {len(records)} records but {len(index)} vectors; run `{REMEDY}`"
        )
    return records, index, manifest


__all__ = ["add_to_index", "build_index", "index_records", "load_retriever"]
