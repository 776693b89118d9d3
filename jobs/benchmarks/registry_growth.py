"""Part `registry`: searching ever larger registries, flat, HNSW and IVF, recall against exact.

A synthetic variant is the vector of a real GPU's descriptor plus Gaussian noise, scaled to unit
length again: siblings in a cluster around each real one, as in a registry that grew. Queries are
vectors of generated listings.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.benchmarks.children import in_child
from jobs.benchmarks.feeds import first_listings
from jobs.benchmarks.figures import Figure, rate_of
from jobs.benchmarks.process_memory import MIB, resident_bytes
from jobs.benchmarks.settings import TOP_K, Bench

NOISE = 0.5
"""Expected length of the noise before scaling; a cosine of some 0.89 to the real vector."""
_BUILT_ONCE_FROM = 100_000  # vectors: HNSW takes a minute to build
_CHUNK = 65_536

Vectors = NDArray[np.float32]


def measure_registry(bench: Bench, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure building and searching each kind of index at each size, in a process of its own."""
    settings, rows = bench.settings, []
    prepared = bench.folder / "registry.npz"
    in_child(_prepare, bench.home, prepared, settings.registry_queries, seed=settings.seed)
    for size in settings.registry_sizes:
        truth = bench.folder / f"exact_{size}.npy"
        for kind in ("flat", "hnsw", "ivf"):
            say(f"{kind}, {size:,} vectors")
            builds = 1 if size >= _BUILT_ONCE_FROM else settings.repeats
            found = in_child(
                _search,
                prepared,
                truth,
                size,
                kind,
                builds=builds,
                searches=settings.repeats,
                seed=settings.seed,
            )
            rows.append(
                {
                    "size": size,
                    "kind": kind,
                    "build_seconds": Figure.of(found["built"]).as_json(),
                    "rate": rate_of(settings.registry_queries, found["searched"]).as_json(),
                    "recall": round(found["recall"], 4),
                    "memory_mib": round(found["bytes"] / MIB, 1),
                }
            )
    return {"queries": settings.registry_queries, "k": TOP_K, "noise": NOISE, "rows": rows}


def synthetic_vectors(real: Vectors, size: int, *, seed: int) -> Vectors:
    """Return unit vectors around real ones: the real ones themselves come first, then noisy ones.

    :param real: unit vectors of shape (n, dimension).
    :returns: shape (size, dimension); the same for the same arguments.
    """
    rng, dimension = np.random.default_rng(seed), real.shape[1]
    out = np.empty((size, dimension), np.float32)
    for start in range(0, size, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, size))
        noise = rng.standard_normal((len(rows), dimension), np.float32) * (NOISE / dimension**0.5)
        noise[rows < len(real)] = 0
        part = real[rows % len(real)] + noise
        out[rows] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return out


def recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Return the mean share of each query's true neighbours that were found, 0 to 1.

    :param found: rows, shape (queries, k); -1 where none was found.
    :param truth: rows of the exact neighbours, shape (queries, k).
    """
    hits = (found[:, :, None] == truth[:, None, :]).any(axis=1)
    return float(hits.mean())


def _prepare(home: Path, path: Path, n_queries: int, *, seed: int) -> None:
    """Embed the registry, in an order drawn at random, and the listings that search it."""
    from index.embedder import descriptor, listing_text
    from jobs.workspace import Workspace, open_retriever

    retriever, _ = open_retriever(Workspace(home))
    real = retriever.embedder.encode([descriptor(record) for record in retriever.records])
    order = np.random.default_rng(seed).permutation(len(real))
    listings = first_listings(home, n_queries, seed=seed)
    queries = retriever.embedder.encode([listing_text(listing) for listing in listings])
    np.savez(path, real=real[order], queries=queries)


def _search(
    prepared: Path, truth: Path, size: int, kind: str, *, builds: int, searches: int, seed: int
) -> dict[str, Any]:
    """Build and search; the flat index, which comes first, leaves the exact answer in ``truth``."""
    from index.vector_index import FaissIndex, IndexKind

    with np.load(prepared) as content:
        real, queries = content["real"], content["queries"]
    vectors = synthetic_vectors(real, size, seed=seed)
    FaissIndex.build(vectors[:64])  # the library is loaded before memory is counted
    before, built = resident_bytes(), []
    for _ in range(builds):
        started = time.perf_counter()
        index = FaissIndex.build(vectors, IndexKind(kind))
        built.append(time.perf_counter() - started)
        if len(built) == 1:  # what later builds take may be what this one gave back
            grown = max(0, resident_bytes() - before)
    searched, rows = [], np.zeros((0, 0), np.int64)
    for _ in range(searches):
        started = time.perf_counter()
        _, rows = index.search(queries, TOP_K)
        searched.append(time.perf_counter() - started)
    if kind == "flat":
        np.save(truth, rows)
    return {
        "built": built,
        "searched": searched,
        "bytes": grown,
        "recall": recall(rows, np.load(truth)),
    }
