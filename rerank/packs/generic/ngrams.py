"""Character n-grams inside the words of a catalogue, and the vectors that are made of them.

What two spellings of one code or word share. N-grams are hashed into buckets and weighted by
rarity; vectors are their sums projected onto the directions in which products differ most (latent
semantic analysis, Deerwester et al. 1990), fitted on a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.packs.generic.reading import Ints, Readings
from rerank.packs.generic.token_arrays import (
    Ragged,
    distinct,
    letters_of,
    offsets_of,
    places,
    within,
)

Floats = NDArray[np.float32]

GRID = 128.0
"""Vectors are multiples of 1/128: float32 adds their products exactly, in whatever order."""
POSTINGS = 1000
"""Products looked at for a listing's words, and again for its n-grams."""

_BUCKET_BITS = 18
_SIZES = (2, 3, 4)
_DIMENSION = 128
_OVERSAMPLED = 16
_POWERS = 1  # steps that sharpen the projection
_SAMPLE, _SAMPLED_AT = (
    10_000,
    100,
)  # products that the projection is fitted on, from how many places
_BLOCK = 10_000  # products at once
_LISTED = 2**25  # products in all lists of n-grams together


@dataclass(frozen=True)
class Ngrams:
    """N-grams of a catalogue, the products of rare ones, and vectors.

    :param column: of each bucket of hashes the column it has here, -1 for none.
    :param counts: products that have an n-gram, by column.
    :param basis: shape (columns, dimension): what each n-gram adds to a vector.
    :param offsets: of the lists of products by column: ``record`` and ``weight``; frequent n-grams
        have none.
    :param vectors: the products', in steps of 1/128.
    """

    column: NDArray[np.int32]
    counts: NDArray[np.int32]
    basis: Floats
    offsets: Ints
    record: NDArray[np.int32]
    weight: Floats
    vectors: NDArray[np.int8]

    @classmethod
    def build(cls, readings: Readings, seed: int) -> Ngrams:
        """Count n-grams, fit the projection, list the products of rare ones."""
        n = len(readings)
        blocks = [np.arange(at, min(at + _BLOCK, n)) for at in range(0, n or 1, _BLOCK)]
        counts = np.zeros(1 << _BUCKET_BITS, np.int64)
        for rows in blocks:
            counts += np.bincount(_buckets(readings, rows)[1], minlength=len(counts))
        kept = np.flatnonzero(counts >= (1 if n <= _BLOCK else 2))
        column = np.full(1 << _BUCKET_BITS, -1, np.int32)
        column[kept] = np.arange(len(kept))
        nothing = np.zeros((len(kept), 0), np.float32)
        bare = cls(
            column=column,
            counts=counts[kept].astype(np.int32),
            basis=nothing,
            offsets=np.zeros(len(kept) + 1, np.int64),
            record=np.zeros(0, np.int32),
            weight=np.zeros(0, np.float32),
            vectors=np.zeros((n, 0), np.int8),
        )
        each = _SAMPLE // _SAMPLED_AT
        begins = np.linspace(0, n - each, _SAMPLED_AT).astype(int)
        sample = (begins[:, None] + np.arange(each)).ravel() if n > _SAMPLE else np.arange(n)
        basis = _projection(bare._weighted(readings, sample), np.random.default_rng(seed))
        return bare._with(basis, readings, blocks)

    def _with(self, basis: Floats, readings: Readings, blocks: Sequence[Ints]) -> Ngrams:
        """Return these n-grams with vectors and lists of products."""
        rare = self.counts <= _most_listed(self.counts)
        parts, vectors = [], []
        for rows in blocks:
            weighted = self._weighted(readings, rows)
            steps = np.minimum(_vectors_of(weighted, basis) * GRID, GRID - 1)
            vectors.append(steps.astype(np.int8))
            record = np.repeat(rows, np.diff(weighted.indptr)).astype(np.int32)
            listed = np.flatnonzero(rare[weighted.indices])
            parts.append((weighted.indices[listed], record[listed], weighted.data[listed]))
        columns, record, weight = (np.concatenate(each) for each in zip(*parts, strict=True))
        order = np.argsort(columns, kind="stable")
        offsets = offsets_of(np.bincount(columns, minlength=len(self.counts)))
        lists = offsets, record[order], weight[order]
        return Ngrams(self.column, self.counts, basis, *lists, np.concatenate(vectors))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what it is made of, by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def check(self, n: int) -> None:
        """Check that what was read from a file fits together, and to so many products.

        :raises ValueError: if not.
        """
        columns = len(self.counts)
        if self.basis.ndim != 2 or len(self.basis) != columns or self.vectors.ndim != 2:
            raise ValueError(f"expected a basis of {columns} n-grams, found {self.basis.shape}")
        if self.vectors.shape != (n, self.basis.shape[1]) or len(self.column) != 1 << _BUCKET_BITS:
            raise ValueError(f"expected vectors of {n} products, found {self.vectors.shape}")
        within(self.column, columns, least=-1)
        within(self.record, n)
        lists = Ragged.checked(self.offsets, self.record)
        if len(lists) != columns or len(self.weight) != len(self.record):
            raise ValueError("expected lists of products with weights")
        if not (np.isfinite(self.basis).all() and np.isfinite(self.weight).all()):
            raise ValueError("expected finite numbers")

    @cached_property
    def postings(self) -> Any:
        """Products by rare n-gram, weighted by rarity: sparse, shape (columns, products)."""
        from scipy import sparse

        shape = (len(self.counts), len(self.vectors))
        return sparse.csr_matrix((self.weight, self.record, self.offsets), shape)

    def listed(self, columns: NDArray[np.integer[Any]]) -> Ints:
        """Return of how many products n-grams are listed with them, 0 for frequent ones."""
        return np.asarray(self.offsets[1:][columns] - self.offsets[columns], np.int64)

    def weighted(
        self,
        readings: Readings,
        *,
        without: tuple[Readings, NDArray[np.integer[Any]]] | None = None,
    ) -> Any:
        """Return n-grams of a batch that the catalogue knows: sparse, rows of unit length.

        :param without: the products, and which of them are hidden from each row, as
            `ProductIndex.retrieve` takes them: n-grams are then counted without them.
        """
        return self._weighted(readings, np.arange(len(readings)), without)

    def embed(self, weighted: Any) -> Floats:
        """Return vectors of a batch of n-grams, unit length in steps of 1/128."""
        return _vectors_of(weighted, self.basis)

    def _weighted(
        self,
        readings: Readings,
        rows: Ints,
        without: tuple[Readings, NDArray[np.integer[Any]]] | None = None,
    ) -> Any:
        from scipy import sparse

        place, buckets = _buckets(readings, rows)
        columns = self.column[buckets]
        counts = counts_at(self.counts, columns)
        for hidden in columns_of(without[1] if without else None):
            there = np.flatnonzero(hidden >= 0)
            own, lost = _buckets(without[0], hidden[there]) if without else (place[:0], place[:0])
            keys = there[own] << _BUCKET_BITS | lost
            counts -= places(keys, place << _BUCKET_BITS | buckets) >= 0
        known = np.flatnonzero(counts > 0)
        place, columns = place[known], columns[known]
        weight = idf_of(counts[known], len(self.vectors))
        norm = np.sqrt(np.bincount(place, weight.astype(np.float64) ** 2, len(rows)))
        unit = (weight / np.maximum(norm, 1e-9)[place]).astype(np.float32)
        offsets = offsets_of(np.bincount(place, minlength=len(rows)))
        return sparse.csr_matrix((unit, columns, offsets), (len(rows), len(self.counts)))


def columns_of(hidden: NDArray[np.integer[Any]] | None) -> list[Ints]:
    """Return hidden rows, one or several a listing, as columns of one a listing."""
    if hidden is None:
        return []
    columns = np.asarray(hidden, np.int64)
    return [columns] if columns.ndim == 1 else list(columns.T)


def counts_at(counts: NDArray[np.integer[Any]], at: NDArray[np.integer[Any]]) -> Ints:
    """Return counts of rows, 0 for those that are -1."""
    found = np.zeros(len(at), np.int64)
    known = np.flatnonzero(at >= 0)
    found[known] = counts[at[known]]
    return found


def idf_of(counts: NDArray[np.integer[Any]], n: int) -> Floats:
    """Return the weight in cosines of what so many of n products have, 1 for what all have."""
    return (np.log((1 + n) / (1 + counts)) + 1).astype(np.float32)


def _buckets(readings: Readings, rows: Ints) -> tuple[Ints, Ints]:
    """Return places in ``rows`` and buckets of their tokens' n-grams, each once a row, rising."""
    packed = [readings.packed[row] for row in rows.tolist()]
    letters = letters_of("".join(packed))
    begins = offsets_of(np.fromiter(map(len, packed), np.int64, len(packed)))
    owner, tokens = readings.tokens.spans(rows)
    sizes = readings.lengths[tokens].astype(np.int64) + 2
    token = np.repeat(np.arange(len(tokens)), sizes)
    at = np.arange(len(token)) - (np.cumsum(sizes) - sizes)[token]
    edge = (at == 0) | (at == sizes[token] - 1)
    source = (begins[owner] + readings.starts[tokens])[token] + at - 1
    source[edge] = 0
    written = letters[source] if len(letters) else np.zeros(len(source), np.uint32)
    code = np.where(edge, ord(" "), written).astype(np.uint64)
    left = sizes[token] - at
    keys, value = [], code
    for size in range(2, max(_SIZES) + 1):
        value = value[:-1] * np.uint64(0x100000001B3) + code[size - 1 :]
        whole = np.flatnonzero(left[: len(value)] >= size)
        mixed = (value[whole] ^ (value[whole] >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
        bucket = (mixed >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)
        keys.append(owner[token[whole]] << _BUCKET_BITS | bucket)
    found = distinct(np.concatenate(keys))
    return found >> _BUCKET_BITS, found & ((1 << _BUCKET_BITS) - 1)


def _vectors_of(weighted: Any, basis: Floats) -> Floats:
    vectors = np.asarray(weighted @ basis, np.float64)
    norm = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return np.asarray(np.rint(vectors / np.maximum(norm, 1e-9) * GRID) / GRID, np.float32)


def _most_listed(counts: NDArray[np.integer[Any]]) -> int:
    """Return of how many products an n-gram may be that is still listed with them.

    More than are looked at for a listing are of no use; and all lists together have their limit.
    """
    rising = np.sort(counts)
    within = rising[np.cumsum(rising, dtype=np.int64) <= _LISTED]
    return min(POSTINGS, int(within[-1])) if len(within) else 0


def _projection(weighted: Any, rng: np.random.Generator) -> Floats:
    """Return the right singular vectors of the greatest values (randomised, Halko et al. 2011).

    Orthonormal bases are made over products only, of which there are fewer than n-grams.
    """
    size = max(1, min(_DIMENSION, *weighted.shape))
    width = min(size + _OVERSAMPLED, *weighted.shape)
    transposed = weighted.T.tocsr()
    spread = weighted @ rng.standard_normal((weighted.shape[1], width)).astype(np.float32)
    for _ in range(_POWERS):
        spread = weighted @ (transposed @ np.linalg.qr(spread)[0])
    base = np.linalg.qr(spread)[0]
    right = transposed @ base  # (n-grams, width), of which right.T @ right is small
    _, turned = np.linalg.eigh((right.T @ right).astype(np.float64))
    basis = right @ turned[:, ::-1][:, :size].astype(np.float32)
    return np.ascontiguousarray(basis / np.maximum(np.linalg.norm(basis, axis=0), 1e-9), np.float32)
