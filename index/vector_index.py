"""Vector indexes over the registry: FAISS (flat, HNSW, IVF) and an exact one in numpy.

All search by cosine: vectors are unit length and compared by inner product.
"""

from __future__ import annotations

import os
import struct
from enum import Enum
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import INDEX_REMEDY, open_regular, reading
from rerank.index.errors import ArtifactError, InputError
from rerank.index.records import falling_order

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]

# Lists that IVF looks into. Of 10^6 vectors of cards, 32 give recall@20 .985 at three times the
# rate of flat search, and a quarter of all lists .997 at less than half of it; of 10^6 products,
# 32 give .967 and 48 give .980.
_PROBED = 48
# Compressed to four bits for each two numbers, lists are looked into much faster, so that a quarter
# of many may be; the first of so many times as many as are wanted are compared by their vectors.
_PROBED_COMPRESSED, _PROBED_SHARE, _REFINED, _REFINED_SHARE = 96, 4, 8, 32
_COMPRESSED_FROM = 1000  # vectors, to learn from how they are compressed
_TRAINED_ON = 64  # vectors for each list, to learn the lists from
FLAT_UP_TO = 100_000
"""Vectors up to which flat search makes some hundred searches a second of CPU time."""
_FEW = 20_000  # vectors that numpy searches in half of the time FAISS's wheel takes
_COMPARED = 2**20  # cosines at once, 4 MB
_GROUPS_PER_HIT = 4  # twice as many columns as are wanted are then sorted, on the whole


class IndexKind(Enum):
    """How vectors are searched."""

    FLAT = "flat"
    HNSW = "hnsw"
    IVF = "ivf"

    @classmethod
    def of_size(cls, vectors: int) -> IndexKind:
        """Return the kind for so many vectors: exact as long as that is fast enough."""
        return cls.FLAT if vectors <= FLAT_UP_TO else cls.IVF


class VectorIndex(Protocol):
    """What the retriever needs of an index."""

    def __len__(self) -> int:
        """Number of vectors."""

    def add(self, vectors: Vectors) -> None:
        """Append vectors of shape (n, dimension); they get the next row numbers."""

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        """Return cosine similarities and rows, each of shape (queries, min(k, n)).

        Best first; equal similarities by row number. Where an approximate index finds fewer
        than k, the row is -1 and the similarity -1.

        :raises InputError: if k is below 1, the index empty or the dimension another.
        """


class ExactIndex:
    """Brute force in numpy: the reference every other index is measured against."""

    def __init__(self, dimension: int) -> None:
        self._vectors = np.zeros((0, dimension), np.float32)

    def __len__(self) -> int:
        return len(self._vectors)

    def add(self, vectors: Vectors) -> None:
        _check(vectors, self._vectors.shape[1])
        self._vectors = np.concatenate([self._vectors, vectors])

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        _check(queries, self._vectors.shape[1])
        k = _at_most(k, len(self))
        return _nearest(queries, self._vectors.T, k)


@cache
def _faiss() -> Any:
    """Import FAISS, here only, and let it live on in processes that are forked off.

    There GNU OpenMP would wait for ever for threads that only the parent has; one needs no others.
    """
    import faiss

    os.register_at_fork(after_in_child=partial(faiss.omp_set_num_threads, 1))
    return faiss


class FaissIndex:
    """A FAISS index.

    :param index: FAISS's; None where ``flat`` stands for it.
    :param flat: the vectors of a small flat index. FAISS takes longer to load than a listing to
        resolve, so that it is imported only for what numpy does not do.
    """

    def __init__(self, index: Any, flat: Vectors | None = None) -> None:
        self._flat = flat
        if index is not None:
            self._index = index

    @cached_property
    def _index(self) -> Any:
        if self._flat is None:
            raise AssertionError("expected FAISS's index or the vectors of a flat one")
        index = _faiss().IndexFlatIP(self._flat.shape[1])
        index.add(self._flat)
        return index

    @classmethod
    def build(
        cls, vectors: Vectors, kind: IndexKind = IndexKind.FLAT, *, step: float = 0.0
    ) -> FaissIndex:
        """Build an index over unit vectors of shape (n, dimension).

        :param step: that vectors are multiples of, where they are: IVF's centroids then are too,
            and which lists a query looks into does not depend on what is asked beside it.
        :raises InputError: if there are no vectors for IVF to learn its lists from.
        """
        faiss = _faiss()
        dimension = vectors.shape[1]
        if kind is IndexKind.FLAT:
            index: Any = faiss.IndexFlatIP(dimension)
        elif kind is IndexKind.HNSW:
            index = faiss.IndexHNSWFlat(dimension, 32, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction, index.hnsw.efSearch = 200, 128
        elif not len(vectors):
            raise InputError("an IVF index needs vectors to learn its lists from, got none")
        elif step or dimension % 2 or len(vectors) < _COMPRESSED_FROM:
            index = _lists(faiss.IndexIVFFlat, vectors)
            if step:
                centroids = index.quantizer.reconstruct_n(0, index.nlist)
                index.quantizer.reset()
                index.quantizer.add(np.rint(centroids / step).astype(np.float32) * np.float32(step))
        else:
            lists = _lists(faiss.IndexIVFPQFastScan, vectors, dimension // 2, 4)
            index = faiss.IndexRefineFlat(lists)
            index.k_factor = max(_REFINED, lists.nlist // _REFINED_SHARE)
        index.add(vectors)
        return cls(index)

    @classmethod
    def load(cls, path: Path, *, count: int, dimension: int) -> FaissIndex:
        """Read an index file whose checksum was verified.

        FAISS reads what its head says that it is: so many vectors of such a dimension.

        :raises ArtifactError: if it is another index, or FAISS cannot read it.
        """
        head = _read_head(path, count, dimension)
        flat = _read_flat(path) if count <= _FEW and head == _FLAT_KIND else None
        if flat is not None:
            return cls(None, flat)
        with reading(path, "an index that FAISS wrote", INDEX_REMEDY):
            faiss = _faiss()
            # No list of it can be longer than the file.
            faiss.set_deserialization_vector_byte_limit(path.stat().st_size)
            index = faiss.read_index(str(path))
            if (index.ntotal, index.d) != (count, dimension):
                raise ValueError(f"found {index.ntotal} vectors of {index.d} numbers")
        return cls(index)

    def save(self, path: Path) -> None:
        """Write the index in FAISS's own binary format."""
        _faiss().write_index(self._index, str(path))

    def __len__(self) -> int:
        return len(self._flat) if self._flat is not None else int(self._index.ntotal)

    def vectors(self) -> Vectors:
        """Return the stored vectors, shape (n, dimension), in row order."""
        if self._flat is not None:
            return self._flat
        stored = getattr(self._index, "refine_index", self._index)
        if hasattr(stored, "make_direct_map"):
            stored.make_direct_map()
        return np.asarray(stored.reconstruct_n(0, len(self)), np.float32)

    def add(self, vectors: Vectors) -> None:
        _check(vectors, self._index.d)
        self._index.add(np.ascontiguousarray(vectors))
        self._flat = None
        self.__dict__.pop("_few", None)

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        k = _at_most(k, len(self))
        if self._few is not None:
            _check(queries, len(self._few))
            return _nearest(queries, self._few, k)
        _check(queries, self._index.d)
        return self._by_faiss(np.ascontiguousarray(queries), k, min(k + 1, len(self)))

    def _by_faiss(self, queries: Vectors, k: int, asked: int) -> tuple[Vectors, Rows]:
        """Return the best ``k`` of ``asked`` neighbours, and of more where the cut parts equals.

        FAISS returns the best first, and of equal ones any.
        """
        similarity, rows = self._index.search(queries, asked)
        similarity = np.where(rows < 0, -1.0, similarity).astype(np.float32)
        tied = np.flatnonzero((similarity[:, 1:] >= similarity[:, :-1]).any(axis=1))
        order = np.lexsort((rows[tied], -similarity[tied]), axis=1)
        rows[tied] = np.take_along_axis(rows[tied], order, 1)
        cut = (similarity[:, k - 1] == similarity[:, -1]) & (rows[:, -1] >= 0)
        similarity, rows = similarity[:, :k].copy(), rows[:, :k].copy()
        if asked == len(self):
            return similarity, rows
        blank = cut & ~queries.any(axis=1)  # as near to all
        similarity[blank], rows[blank] = 0, np.arange(k)
        left = np.flatnonzero(cut & ~blank)
        more = min(2 * asked, len(self))
        step = max(1, _COMPARED // more)
        for at in range(0, len(left), step):
            block = left[at : at + step]
            similarity[block], rows[block] = self._by_faiss(queries[block], k, more)
        return similarity, rows

    @cached_property
    def _few(self) -> Vectors | None:
        """The vectors of a small flat index, a column each, for numpy to search; else None."""
        flat = self._flat is not None or isinstance(self._index, _faiss().IndexFlat)
        # In the order in which products read them.
        return np.ascontiguousarray(self.vectors().T) if flat and len(self) <= _FEW else None


def _lists(kind: Any, vectors: Vectors, *code: int) -> Any:
    """Return trained inverted lists of a class of FAISS, still empty.

    :param code: how vectors are compressed: parts, and bits of each.
    """
    faiss, dimension = _faiss(), vectors.shape[1]
    lists = max(1, min(4096, int(np.sqrt(len(vectors)))))
    index = kind(faiss.IndexFlatIP(dimension), dimension, lists, *code, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.min_points_per_centroid = 0, 1
    index.nprobe = min(lists, _PROBED)
    if code:
        index.nprobe = min(lists, max(_PROBED_COMPRESSED, lists // _PROBED_SHARE))
        most = max(_TRAINED_ON * lists, _COMPRESSED_FROM)
        vectors = vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), most), dtype=int)]
    index.train(vectors)
    return index


_HEAD = struct.Struct("<4siqqq?i")  # kind, dimension, vectors, -, -, trained, metric
_FLAT_KIND, _KINDS = b"IxFI", (b"IxFI", b"IHNf", b"IwFl", b"IxRF")


def _read_head(path: Path, count: int, dimension: int) -> bytes:
    """Return the kind of an index file; FAISS has not seen it by then.

    :raises ArtifactError: if it is none of `IndexKind`, or not of so many such vectors.
    """
    with open_regular(path) as file:
        head, size = file.read(_HEAD.size), os.fstat(file.fileno()).st_size
    if len(head) < _HEAD.size or head[:4] not in _KINDS:
        raise ArtifactError(f"{path}: not a FAISS index; run `{INDEX_REMEDY}`")
    kind, *found, _, _, _, metric = _HEAD.unpack(head)
    if found != [dimension, count] or metric or size < _HEAD.size + 4 * count * dimension:
        raise ArtifactError(
            f"{path}: expected {count} vectors of {dimension} numbers by inner product, found "
            f"{found[1]} of {found[0]} in {size} bytes; run `{INDEX_REMEDY}`"
        )
    return bytes(kind)


def _read_flat(path: Path) -> Vectors | None:
    """Return the vectors of a small flat index file; None if it holds more than them.

    :raises ArtifactError: if they are no numbers.
    """
    with open_regular(path) as file:
        _, dimension, count, *_ = _HEAD.unpack(file.read(_HEAD.size))
        (floats,) = struct.unpack("<Q", file.read(8))
        size = os.fstat(file.fileno()).st_size
        if floats != count * dimension or size != _HEAD.size + 8 + 4 * floats:
            return None
        flat = np.fromfile(file, "<f4").astype(np.float32, copy=False).reshape(count, dimension)
    if not np.isfinite(flat).all():
        raise ArtifactError(f"{path}: its vectors are no numbers; run `{INDEX_REMEDY}`")
    return flat


def _nearest(queries: Vectors, columns: Vectors, k: int) -> tuple[Vectors, Rows]:
    """Return the ``k`` best cosines and their rows, compared in blocks that fit into a cache.

    :param columns: shape (dimension, vectors), a vector each.
    """
    step = max(1, _COMPARED // columns.shape[1])
    # One block's room serves all: fresh memory for each costs as much again as the products.
    room = np.empty((min(step, len(queries)), columns.shape[1]), np.float32)
    found = []
    for at in range(0, len(queries) or 1, step):
        block = queries[at : at + step]
        found.append(_best_of(np.matmul(block, columns, out=room[: len(block)]), k))
    return np.concatenate([each[0] for each in found]), np.concatenate([each[1] for each in found])


def _best_of(similarity: Vectors, k: int) -> tuple[Vectors, Rows]:
    """Return the ``k`` best of each row of similarities, of equal ones the first.

    The columns are dealt out to groups. The k-th of the groups' best has k columns at or above it,
    so that only columns which reach it can be among the best: few, and sorting those takes a
    third of the time of partitioning all.
    """
    groups = _GROUPS_PER_HIT * k
    each = similarity.shape[1] // groups
    if each:
        dealt = similarity[:, : groups * each].reshape(-1, each, groups)
        least = np.partition(dealt.max(axis=1), groups - k, axis=1)[:, groups - k]
        reaching = np.flatnonzero(similarity >= least[:, None])
    else:
        reaching = np.arange(similarity.size)
    query, row = np.divmod(reaching, similarity.shape[1])
    found = similarity[query, row]
    starts = np.searchsorted(query, np.arange(len(similarity)))
    best = falling_order(query, found)[starts[:, None] + np.arange(k)]
    return found[best], row[best]


def _at_most(k: int, size: int) -> int:
    """Return k or, if there are fewer vectors, their number."""
    if k < 1:
        raise InputError(f"expected k of at least 1, got {k}")
    if not size:
        raise InputError("expected vectors to search, the index is empty; add some first")
    return min(k, size)


def _check(vectors: Vectors, dimension: int) -> None:
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise InputError(f"expected vectors of shape (n, {dimension}), got {vectors.shape}")
