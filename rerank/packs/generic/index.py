"""The catalogue as an index: four routes to the products that a listing may mean, fused.

Words and the forms they may take, weighted by rarity; character n-grams inside words; identifiers;
vectors in FAISS. All in arrays over a batch, and so that an answer never depends on what else is
in the batch: sums run in the order of the listing's own words, or over numbers that float32 adds
exactly whatever the order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.index.records import falling_order, place_in_group
from rerank.index.vector_index import FaissIndex, IndexKind
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.pack_data import Pack
from rerank.packs.generic.reading import (
    Hashes,
    IdentifierKind,
    Ints,
    Membership,
    PackedTexts,
    Ragged,
    Reader,
    Readings,
    distinct,
    hash_membership,
    letters_of,
    offsets_of,
    places,
)

Floats = NDArray[np.float32]

N_CANDIDATES = 20
UNLISTED = 99
"""The rank of a candidate that a route does not propose."""

_SETTINGS, _ARRAYS, _NGRAMS, _TEXTS, _VECTORS = (
    "settings.json",
    "readings.safetensors",
    "ngrams.safetensors",
    "texts.json",
    "vectors.faiss",
)
_BLOCK = 10_000  # products read at once
_BUCKET_BITS = 18
_SIZES = (2, 3, 4)  # of n-grams
_DIMENSION = 128
_OVERSAMPLED = 16
_POWERS = 1  # steps that sharpen the projection
_SAMPLE, _SAMPLED_AT = 10_000, 100  # products that the projection is fitted on, from so many places
_GRID = 128.0  # vectors are multiples of 1/128: float32 adds their products exactly
_FLAT = 20_000  # products up to which every vector is compared
_TOGETHER = 32  # queries: FAISS compares fewer than 20 in another way
_POSTINGS = 1000  # products looked at for a listing's words, and again for its n-grams
_LISTED_NGRAMS = 2**25  # products in all lists of n-grams together
_LISTED = 25  # products a route proposes
_LEAST = 0.3  # of the route's best cosine that a product needs to be proposed
_SCORES = 2**22  # cosines held at once by each route
_DENSE = 50_000  # products up to which all of a listing's cosines lie side by side
_SHARING = 50  # products with one identifier that are proposed
_FUSED = 1.0, 0.5, 0.3  # weights of the cosines over words, n-grams and vectors
_CERTAIN = {2: 0.3, 3: 4.0}  # what a shared identifier is worth in the shortlist, by its level


class ProductRoute(Enum):
    """A way from a listing to products."""

    WORDS = "words"
    NGRAMS = "ngrams"
    IDENTIFIERS = "identifiers"
    VECTORS = "vectors"


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates of a batch: of each listing its rows one behind the other, best first.

    :param offsets: where each listing's rows begin, shape (listings + 1,).
    :param listing: of each row; ``record`` the product's row in the catalogue.
    :param similarity: cosine of the vectors, -1 to 1.
    :param shortlist: fused score that the order rests on, falling within a listing.
    :param words: cosine over words and their forms, 0 to 1; ``ngrams`` over n-grams; both 0 for
        what the postings that were looked at do not hold.
    :param identifier: 3 a GTIN or part number that only this product has, stated in a column of
        the catalogue or a GTIN in its name; 2 a code in its name that no other product has; 1 an
        identifier that others have too; else 0.
    :param ranks: place in the list of each route, 0 for the first, `UNLISTED` if not proposed.
    """

    offsets: Ints
    listing: Ints
    record: Ints
    similarity: Floats
    shortlist: Floats
    words: Floats
    ngrams: Floats
    identifier: NDArray[np.int8]
    ranks: Mapping[ProductRoute, NDArray[np.int16]]

    @property
    def n_listings(self) -> int:
        """Number of listings, those without a candidate among them."""
        return len(self.offsets) - 1

    @classmethod
    def joined(cls, parts: Sequence[Found]) -> Found:
        """Put batches one behind the other."""
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        shifts = np.cumsum([0, *(part.n_listings for part in parts[:-1])])
        listing = [part.listing + shift for part, shift in zip(parts, shifts, strict=True)]
        others = {
            each.name: np.concatenate([getattr(part, each.name) for part in parts])
            for each in fields(cls)
            if each.name not in ("offsets", "listing", "ranks")
        }
        ranks = {
            route: np.concatenate([part.ranks[route] for part in parts]) for route in parts[0].ranks
        }
        return cls(offsets_of(counts), np.concatenate(listing), **others, ranks=ranks)


@dataclass(frozen=True, slots=True)
class _Ngrams:
    """N-grams of the catalogue.

    :param column: of each bucket of hashes the column it has here, -1 for none.
    :param idf: by column.
    :param basis: shape (columns, dimension): what each n-gram adds to a vector.
    :param offsets: of the postings by column: ``record`` and ``weight``; frequent n-grams have
        none.
    :param vectors: the products', in steps of 1/128.
    """

    column: NDArray[np.int32]
    idf: Floats
    basis: Floats
    offsets: Ints
    record: NDArray[np.int32]
    weight: Floats
    vectors: NDArray[np.int8]


class _Words(NamedTuple):
    """Different forms of words, rising hashes, and of the readings' atoms and tokens their rows."""

    vocabulary: Hashes
    atoms: NDArray[np.int32]
    tokens: NDArray[np.int32]


class ProductIndex:
    """A catalogue's readings, how many products hold each word, and the routes to them.

    :param reader: reads listings as the products were read.
    :param readings: the products', by row.
    """

    def __init__(
        self,
        reader: Reader,
        readings: Readings,
        words: _Words,
        ngrams: _Ngrams,
        vectors: FaissIndex,
    ) -> None:
        self.reader, self.readings = reader, readings
        self._ngrams, self._vectors = ngrams, vectors
        self.vocabulary = words.vocabulary
        self.atoms = Ragged(readings.atoms.offsets, words.atoms)
        self.tokens = Ragged(readings.tokens.offsets, words.tokens)
        self.counts = np.bincount(words.atoms, minlength=len(words.vocabulary))
        self.holds = Membership(self.atoms, len(words.vocabulary))

    @classmethod
    def build(
        cls,
        products: Sequence[Fields],
        pack: Pack,
        *,
        seed: int = 7,
    ) -> ProductIndex:
        """Read products and make the routes to them.

        :param pack: what is known of the goods.
        :param seed: of the projection.
        """
        reader = Reader(pack)
        starts = range(0, len(products) or 1, _BLOCK)
        readings = Readings.joined([reader.read(products[at : at + _BLOCK]) for at in starts])
        ngrams = _build_ngrams(readings, seed)
        kind = IndexKind.FLAT if len(readings) <= _FLAT else IndexKind.IVF
        unit = ngrams.vectors.astype(np.float32) / np.float32(_GRID)
        vectors = FaissIndex.build(unit, kind, step=1 / _GRID)
        return cls(reader, readings, _words_of(readings), ngrams, vectors)

    def __len__(self) -> int:
        return len(self.readings)

    def ids_of(self, hashes: Hashes) -> Ints:
        """Return each token's row in the vocabulary, -1 for what no product holds."""
        return places(self.vocabulary, hashes)

    def weight_of(self, counts: NDArray[np.integer[Any]]) -> Floats:
        """Return how much a word says that so many products hold: its IDF, 0 to 15."""
        return on_grid(np.log((len(self) + 1) / (np.maximum(counts, 0) + 0.5)))

    def counts_without(
        self, ids: Ints, listing: Ints, hidden: NDArray[np.integer[Any]] | None
    ) -> Ints:
        """Return how many products hold each token, without those hidden from its listing.

        :param ids: rows of the vocabulary, -1 for unknown ones.
        """
        counts = np.where(ids >= 0, self.counts[ids], 0)
        for column in _columns(hidden):
            row = column[listing]
            there = np.flatnonzero(row >= 0)
            counts[there] -= self.holds(row[there], ids[there])
        return counts

    def retrieve(
        self,
        readings: Readings,
        *,
        n_candidates: int = N_CANDIDATES,
        hidden: NDArray[np.integer[Any]] | None = None,
        routes: Iterable[ProductRoute] = ProductRoute,
    ) -> Found:
        """Propose products.

        :param hidden: rows that must not be proposed, shape (listings,) or (listings, several), -1
            for none; words are then counted without them.
        :param routes: that propose.
        """
        return _Retrieval(self, frozenset(routes), n_candidates).run(readings, hidden)

    def route_recall(
        self, readings: Readings, right: Sequence[Iterable[int]], *, cutoff: int = 10
    ) -> dict[str, float]:
        """Return by route, and ``fused``, the share of listings whose product is among the first.

        :param right: rows of each listing's right products; listings without one do not count.
        """
        recall = {}
        for route in ProductRoute:
            found = self.retrieve(readings, n_candidates=_LISTED, routes=[route])
            recall[route.value] = _recall(found, right, found.ranks[route] < cutoff)
        found = self.retrieve(readings, n_candidates=cutoff)
        recall["fused"] = _recall(found, right, np.ones(len(found.record), bool))
        return recall

    @cached_property
    def word_postings(self) -> Any:
        """Products by word, weighted by rarity: sparse, shape (vocabulary, products)."""
        from scipy import sparse

        weight = _idf(self.counts, len(self))[self.atoms.values]
        norm = np.sqrt(np.bincount(self.atoms.rows, weight.astype(np.float64) ** 2, len(self)))
        unit = (weight / np.maximum(norm, 1e-9)[self.atoms.rows]).astype(np.float32)
        shape = (len(self), len(self.vocabulary))
        by_product = sparse.csr_matrix((unit, self.atoms.values, self.atoms.offsets), shape)
        return by_product.T.tocsr()

    @cached_property
    def ngram_postings(self) -> Any:
        """Products by rare n-gram: sparse, shape (columns, products)."""
        from scipy import sparse

        found = self._ngrams
        shape = (len(found.idf), len(self))
        return sparse.csr_matrix((found.weight, found.record, found.offsets), shape)

    def similarity(self, vectors: Floats, record: Ints) -> Floats:
        """Return the cosine of each vector and the product beside it, -1 to 1."""
        own = self._ngrams.vectors[record].astype(np.float32)
        return np.asarray(np.einsum("ij,ij->i", vectors, own) / _GRID, np.float32)

    @cached_property
    def texts(self) -> PackedTexts:
        """Texts of the products, to look for parts of words in."""
        return PackedTexts(self.readings)

    @cached_property
    def in_text(self) -> Membership:
        """Which products' descriptions have which words, asked for by `short_hash`."""
        return hash_membership(self.readings.text)

    @cached_property
    def _text_counts(self) -> tuple[Hashes, Ints]:
        """Hashes, rising, of words in descriptions and names; how many products have each."""
        both = np.concatenate([self.readings.text.values, self.readings.atoms.values])
        hashes, counts = np.unique(both, return_counts=True)
        return hashes, counts

    def rare_words(self, text: Ragged, n: int) -> tuple[Ints, Hashes, Floats]:
        """Return of each description the rarest words that products have: row, hash, weight."""
        hashes, counts = self._text_counts
        at = places(hashes, text.values)
        known = np.flatnonzero(at >= 0)
        rows, count = text.rows[known], counts[at[known]]
        order = falling_order(rows, -count.astype(np.float32))
        order = order[place_in_group(rows[order]) < n]
        return rows[order], text.values[known[order]], self.weight_of(count[order])

    @cached_property
    def identifiers(self) -> IdentifierTable:
        """Products by identifier."""
        return IdentifierTable(self.readings)

    def nearest(self, vectors: Floats, k: int) -> tuple[Floats, Ints]:
        """Return cosines and rows of the nearest products, see `VectorIndex.search`."""
        if len(vectors) >= _TOGETHER:
            return self._vectors.search(vectors, k)
        padded = np.zeros((_TOGETHER, vectors.shape[1]), np.float32)
        padded[: len(vectors)] = vectors
        similarity, rows = self._vectors.search(padded, k)
        return similarity[: len(vectors)], rows[: len(vectors)]

    def embed(self, readings: Readings) -> tuple[Any, Floats]:
        """Return n-grams (sparse, weighted, unit length) and vectors of a batch."""
        whole = slice(0, len(readings))
        weighted = _weighted(readings, self._ngrams.column, self._ngrams.idf, whole)
        return weighted, _vectors_of(weighted, self._ngrams.basis)

    def ngram_counts(self, columns: NDArray[np.integer[Any]]) -> Ints:
        """Return how many products hold n-grams; many for those without postings."""
        return np.asarray(np.diff(self._ngrams.offsets)[columns], np.int64)

    def save(self, folder: Path) -> None:
        """Write the index's files into a folder that is there."""
        from safetensors.numpy import save_file

        texts = {}
        arrays: dict[str, NDArray[Any]] = {}
        for each in fields(Readings):
            value = getattr(self.readings, each.name)
            if isinstance(value, list):
                texts[each.name] = value
            elif isinstance(value, Ragged):
                arrays[f"{each.name}.offsets"] = value.offsets
                arrays[f"{each.name}.values"] = value.values
            else:
                arrays[each.name] = value
        arrays["vocabulary"] = self.vocabulary  # hashes of words are stored once, rows elsewhere
        arrays |= {"atoms.values": self.atoms.values, "tokens.values": self.tokens.values}
        save_file(arrays, folder / _ARRAYS)
        ngrams = {each.name: getattr(self._ngrams, each.name) for each in fields(_Ngrams)}
        save_file(ngrams, folder / _NGRAMS)
        (folder / _TEXTS).write_text(json.dumps(texts, ensure_ascii=False) + "\n", "utf-8")
        (folder / _SETTINGS).write_text(json.dumps(self.reader.settings()) + "\n", "utf-8")
        self._vectors.save(folder / _VECTORS)

    @classmethod
    def load(cls, folder: Path) -> ProductIndex:
        """Read the files that `save` has written; the folder's manifest vouches for them."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / _ARRAYS)
        vocabulary = arrays["vocabulary"]
        words = _Words(vocabulary, arrays["atoms.values"], arrays["tokens.values"])
        arrays |= {"atoms.values": vocabulary[words.atoms]}
        arrays |= {"tokens.values": vocabulary[words.tokens]}
        found: dict[str, Any] = json.loads((folder / _TEXTS).read_text("utf-8"))
        for each in fields(Readings):
            if f"{each.name}.offsets" in arrays:
                values = arrays[f"{each.name}.values"]
                found[each.name] = Ragged(arrays[f"{each.name}.offsets"], values)
            elif each.name in arrays:
                found[each.name] = arrays[each.name]
        reader = Reader.of_settings(json.loads((folder / _SETTINGS).read_text("utf-8")))
        ngrams = _Ngrams(**load_file(folder / _NGRAMS))
        vectors = FaissIndex.load(folder / _VECTORS)
        return cls(reader, Readings(**found), words, ngrams, vectors)


class IdentifierTable:
    """Which products have an identifier."""

    def __init__(self, readings: Readings) -> None:
        rows, hashes = readings.identifiers.rows, readings.identifiers.values
        order = np.lexsort((rows, hashes))
        self._hashes, first, counts = np.unique(
            hashes[order], return_index=True, return_counts=True
        )
        self.products = Ragged(np.append(first, len(order)).astype(np.int64), rows[order])
        self._sources = readings.sources[order]
        self._counts = counts

    def lookup(
        self,
        listing: Ints,
        hashes: Hashes,
        stated: NDArray[np.bool_],
        hidden: NDArray[np.integer[Any]] | None,
    ) -> tuple[Ints, Ints, NDArray[np.int8]]:
        """Return pairs of listing and product that share an identifier, and its level.

        See `Found.identifier` for levels. Identifiers of too many products say nothing.

        :param stated: whether the listing has a hash in a column: short ones count there only.
        """
        at = places(self._hashes, hashes)
        known = np.flatnonzero(at >= 0)
        known = known[self._counts[at[known]] <= _SHARING]
        place, flat = Ragged(self.products.offsets, np.arange(len(self._sources))).take(at[known])
        who, product = listing[known][place], self.products.values[flat]
        shown = stated[known][place] | (self._sources[flat] != IdentifierKind.SHORT)
        for column in _columns(hidden):
            shown &= column[who] != product
        left = np.bincount(place[shown], minlength=len(known))[place]
        level = np.where(self._sources[flat] == IdentifierKind.NAMED, 2, 3)
        level = np.where(left == 1, level, 1).astype(np.int8)
        return who[shown], product[shown], level[shown]


class _Retrieval:
    """One call of `ProductIndex.retrieve`."""

    def __init__(
        self, index: ProductIndex, routes: frozenset[ProductRoute], n_candidates: int
    ) -> None:
        self._index, self._routes, self._n_candidates = index, routes, n_candidates

    def run(self, readings: Readings, hidden: NDArray[np.integer[Any]] | None) -> Found:
        n, products = len(readings), len(self._index)
        ngrams, vectors = self._index.embed(readings)
        words = self._words(readings, hidden)
        step = max(1, min(512, _SCORES // min(products, _DENSE)))
        found = []
        for at in range(0, n or 1, step):
            block = slice(at, at + step)
            shut = None if hidden is None else hidden[block]
            given = self._identified(readings, at, min(at + step, n), shut)
            found.append(self._block(words[block], ngrams[block], vectors[block], given, shut))
        return Found.joined(found)

    def _words(self, readings: Readings, hidden: NDArray[np.integer[Any]] | None) -> Any:
        """Return listings by word: sparse, of unit length, without what no product holds."""
        from scipy import sparse

        index, rows = self._index, readings.atoms.rows
        ids = index.ids_of(readings.atoms.values)
        counts = index.counts_without(ids, rows, hidden)
        known = np.flatnonzero(counts > 0)
        rows, ids, counts = rows[known], ids[known], counts[known]
        weight = _idf(counts, len(index))
        norm = np.sqrt(np.bincount(rows, weight.astype(np.float64) ** 2, len(readings)))
        unit = (weight / np.maximum(norm, 1e-9)[rows]).astype(np.float32)
        kept = _rarest(rows, counts)
        offsets = offsets_of(np.bincount(rows[kept], minlength=len(readings)))
        shape = (len(readings), len(index.vocabulary))
        return sparse.csr_matrix((unit[kept], ids[kept], offsets), shape)

    def _identified(
        self, readings: Readings, start: int, stop: int, hidden: NDArray[np.integer[Any]] | None
    ) -> tuple[Ints, NDArray[np.int8]]:
        """Return pairs (listing of the block, product) as keys, rising, and their levels."""
        parts = []
        in_column = readings.sources != IdentifierKind.NAMED
        for each in (readings.identifiers, readings.atoms):
            offsets = each.offsets[start : stop + 1]
            span = slice(offsets[0], offsets[-1])
            own = each is readings.identifiers
            stated = in_column[span] if own else np.zeros(offsets[-1] - offsets[0], bool)
            owner = np.repeat(np.arange(stop - start), np.diff(offsets))
            parts.append((owner, each.values[span], stated))
        listing, hashes, stated = (np.concatenate(each) for each in zip(*parts, strict=True))
        who, product, level = self._index.identifiers.lookup(listing, hashes, stated, hidden)
        keys, at = np.unique(who * len(self._index) + product, return_inverse=True)
        best = np.zeros(len(keys), np.int8)
        np.maximum.at(best, at, level)
        return keys, best

    def _block(
        self,
        words: Any,
        ngrams: Any,
        vectors: Floats,
        identified: tuple[Ints, NDArray[np.int8]],
        hidden: NDArray[np.integer[Any]] | None,
    ) -> Found:
        index, n, products = self._index, len(vectors), len(self._index)
        by_words = words @ index.word_postings
        by_ngrams = _rare_part(ngrams, index) @ index.ngram_postings
        lists = {
            ProductRoute.WORDS: _best_of(by_words, _LISTED),
            ProductRoute.NGRAMS: _best_of(by_ngrams, _LISTED),
            ProductRoute.IDENTIFIERS: identified[0][
                np.argsort((identified[0] // products) * 8 + 3 - identified[1], kind="stable")
            ],
            ProductRoute.VECTORS: self._nearest(vectors),
        }
        lists = {route: lists[route] for route in ProductRoute}
        used = [keys for route, keys in lists.items() if route in self._routes]
        keys = distinct(np.concatenate(used)) if used else np.zeros(0, np.int64)
        listing, record = keys // products, keys % products
        for column in _columns(hidden):
            shown = column[listing] != record
            keys, listing, record = keys[shown], listing[shown], record[shown]
        cosine = index.similarity(vectors[listing], record)
        word, ngram = (_values(each, listing, record) for each in (by_words, by_ngrams))
        level = np.zeros(len(keys), np.int8)
        at = places(identified[0], keys)
        level[at >= 0] = identified[1][at[at >= 0]]
        score = (_FUSED[0] * word + _FUSED[1] * ngram + _FUSED[2] * cosine).astype(np.float32)
        for least, bonus in _CERTAIN.items():
            score[level == least] += np.float32(bonus)
        order = falling_order(listing, score)
        order = order[place_in_group(listing[order]) < self._n_candidates]
        ranks = {route: _ranks(each, keys[order], products) for route, each in lists.items()}
        return Found(
            offsets=offsets_of(np.bincount(listing[order], minlength=n)),
            listing=listing[order],
            record=record[order],
            similarity=cosine[order],
            shortlist=score[order],
            words=word[order],
            ngrams=ngram[order],
            identifier=level[order],
            ranks=ranks,
        )

    def _nearest(self, vectors: Floats) -> Ints:
        """Return keys of the nearest products, best first, listing by listing."""
        k = min(self._n_candidates, len(self._index))
        _, rows = self._index.nearest(vectors, k)
        keys = np.arange(len(vectors))[:, None] * len(self._index) + rows
        return np.asarray(keys[(rows >= 0) & (np.abs(vectors).max(axis=1) > 0)[:, None]], np.int64)


def _recall(found: Found, right: Sequence[Iterable[int]], counted: NDArray[np.bool_]) -> float:
    """Return the share of listings, of those that have one, with a right product counted."""
    hits = []
    for at, wanted in enumerate(map(frozenset, right)):
        if wanted:
            rows = slice(*found.offsets[at : at + 2].tolist())
            hits.append(not wanted.isdisjoint(found.record[rows][counted[rows]].tolist()))
    return float(np.mean(hits)) if hits else 0.0


def _columns(hidden: NDArray[np.integer[Any]] | None) -> list[Ints]:
    if hidden is None:
        return []
    return list(np.asarray(hidden, np.int64).reshape(len(hidden), -1).T)


def _idf(counts: NDArray[np.integer[Any]], n: int) -> Floats:
    return (np.log((1 + n) / (1 + counts)) + 1).astype(np.float32)


def on_grid(values: NDArray[np.floating[Any]]) -> Floats:
    """Round to multiples of 1/1024: their sums are exact, and the same in any order."""
    return np.asarray(np.rint(values * 1024.0) / 1024.0, np.float32)


def _rarest(rows: Ints, counts: Ints) -> Ints:
    """Return which words of each row are looked up: the rarest, until their postings are many."""
    order = falling_order(rows, -counts.astype(np.float32))
    before = np.cumsum(counts[order]) - counts[order]
    first = place_in_group(rows[order]) == 0
    start = np.maximum.accumulate(np.where(first, before, 0))
    return np.sort(order[(before - start < _POSTINGS) | first])


def _rare_part(ngrams: Any, index: ProductIndex) -> Any:
    """Return n-grams with postings, the rarest of each listing until these are many."""
    from scipy import sparse

    counts = index.ngram_counts(ngrams.indices)
    rows = np.repeat(np.arange(ngrams.shape[0]), np.diff(ngrams.indptr))
    with_postings = np.flatnonzero(counts > 0)
    kept = with_postings[_rarest(rows[with_postings], counts[with_postings])]
    offsets = offsets_of(np.bincount(rows[kept], minlength=ngrams.shape[0]))
    return sparse.csr_matrix((ngrams.data[kept], ngrams.indices[kept], offsets), ngrams.shape)


def _best_of(scores: Any, k: int) -> Ints:
    """Return keys of the best products of each listing, best first, listing by listing."""
    n, products = scores.shape
    counts = np.diff(scores.indptr)
    rows = np.repeat(np.arange(n), counts)
    best = np.zeros(n, np.float32)
    some = counts > 0
    if some.any():
        best[some] = np.maximum.reduceat(scores.data, scores.indptr[:-1][some])
    kept = np.flatnonzero(scores.data >= _LEAST * best[rows])
    rows, record = rows[kept], scores.indices[kept].astype(np.int64)
    order = falling_order(rows, scores.data[kept], record)
    order = order[place_in_group(rows[order]) < k]
    return np.asarray(rows[order] * products + record[order], np.int64)


def _values(scores: Any, listing: Ints, record: Ints) -> Floats:
    """Return scores of pairs of listing and product, 0 for those that have none."""
    n, products = scores.shape
    if products <= _DENSE:
        return np.asarray(scores.toarray()[listing, record], np.float32)
    keys = np.repeat(np.arange(n), np.diff(scores.indptr)) * products + scores.indices
    order = np.argsort(keys)
    at = places(keys[order], listing * products + record)
    found = np.zeros(len(listing), np.float32)
    found[at >= 0] = scores.data[order[at[at >= 0]]]
    return found


def _ranks(ranked: Ints, keys: Ints, products: int) -> NDArray[np.int16]:
    """Return the place of each key in its listing's part of a list of keys."""
    place = place_in_group(ranked // products)
    order = np.argsort(ranked)
    at = places(ranked[order], keys)
    found = np.full(len(keys), UNLISTED, np.int16)
    found[at >= 0] = np.minimum(place[order][at[at >= 0]], UNLISTED)
    return found


def _buckets(readings: Readings, block: slice) -> tuple[Ints, Ints]:
    """Return rows of the block and buckets of their tokens' n-grams, each once a row, rising."""
    packed = readings.packed[block]
    letters = letters_of("".join(packed))
    at_row = offsets_of(np.fromiter(map(len, packed), np.int64, len(packed)))
    offsets = readings.tokens.offsets[block.start : block.stop + 1]
    rows = np.repeat(np.arange(len(packed)), np.diff(offsets))
    tokens = slice(offsets[0], offsets[-1])
    sizes = readings.lengths[tokens].astype(np.int64) + 2
    token = np.repeat(np.arange(len(rows)), sizes)
    place = np.arange(len(token)) - (np.cumsum(sizes) - sizes)[token]
    edge = (place == 0) | (place == sizes[token] - 1)
    source = (at_row[rows] + readings.starts[tokens])[token] + place - 1
    source[edge] = 0
    written = letters[source] if len(letters) else np.zeros(len(source), np.uint32)
    code = np.where(edge, 32, written).astype(np.uint64)
    left = sizes[token] - place
    keys, value = [], code
    for size in range(2, max(_SIZES) + 1):
        value = value[:-1] * np.uint64(0x100000001B3) + code[size - 1 :]
        if size in _SIZES:
            whole = np.flatnonzero(left[: len(value)] >= size)
            mixed = (value[whole] ^ (value[whole] >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
            bucket = (mixed >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)
            keys.append(rows[token[whole]] << _BUCKET_BITS | bucket)
    found = distinct(np.concatenate(keys))
    return found >> _BUCKET_BITS, found & ((1 << _BUCKET_BITS) - 1)


def _weighted(readings: Readings, column: NDArray[np.int32], idf: Floats, *blocks: slice) -> Any:
    """Return n-grams of blocks of rows that the catalogue knows: sparse, unit rows."""
    from scipy import sparse

    n, parts = 0, []
    for block in blocks:
        rows, buckets = _buckets(readings, block)
        parts.append((rows + n, buckets))
        n += block.stop - block.start
    rows, buckets = (np.concatenate(each) for each in zip(*parts, strict=True))
    columns = column[buckets]
    known = columns >= 0
    rows, columns = rows[known], columns[known]
    weight = idf[columns]
    norm = np.sqrt(np.bincount(rows, weight.astype(np.float64) ** 2, n))
    unit = (weight / np.maximum(norm, 1e-9)[rows]).astype(np.float32)
    offsets = offsets_of(np.bincount(rows, minlength=n))
    return sparse.csr_matrix((unit, columns, offsets), (n, len(idf)))


def _vectors_of(weighted: Any, basis: Floats) -> Floats:
    """Return unit vectors in multiples of 1/128, whose inner products float32 has exactly."""
    vectors = np.asarray(weighted @ basis, np.float64)
    norm = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return np.asarray(np.rint(vectors / np.maximum(norm, 1e-9) * _GRID) / _GRID, np.float32)


def _words_of(readings: Readings) -> _Words:
    vocabulary = distinct(readings.atoms.values)
    atoms, tokens = (
        places(vocabulary, each.values).astype(np.int32)
        for each in (readings.atoms, readings.tokens)
    )
    return _Words(vocabulary, atoms, tokens)


def _build_ngrams(readings: Readings, seed: int) -> _Ngrams:
    """Count n-grams, fit the projection, list the products of rare ones."""
    n = len(readings)
    blocks = [slice(at, min(at + _BLOCK, n)) for at in range(0, n or 1, _BLOCK)]
    counts = np.zeros(1 << _BUCKET_BITS, np.int64)
    for block in blocks:
        counts += np.bincount(_buckets(readings, block)[1], minlength=len(counts))
    kept = np.flatnonzero(counts >= (1 if n <= _BLOCK else 2))
    counts = counts[kept]
    column = np.full(1 << _BUCKET_BITS, -1, np.int32)
    column[kept] = np.arange(len(kept))
    idf = _idf(counts, n)
    each = _SAMPLE // _SAMPLED_AT
    begins = np.linspace(0, n - each, _SAMPLED_AT).astype(int).tolist()
    spread = [slice(at, at + each) for at in begins] if n > _SAMPLE else blocks
    basis = _projection(_weighted(readings, column, idf, *spread), np.random.default_rng(seed))
    rare = counts <= _most_listed(counts)
    parts, vectors = [], []
    for block in blocks:
        weighted = _weighted(readings, column, idf, block)
        steps = np.minimum(_vectors_of(weighted, basis) * _GRID, _GRID - 1)
        vectors.append(steps.astype(np.int8))
        record = block.start + np.repeat(np.arange(weighted.shape[0]), np.diff(weighted.indptr))
        listed = np.flatnonzero(rare[weighted.indices])
        parts.append(
            (weighted.indices[listed], record[listed].astype(np.int32), weighted.data[listed])
        )
    columns, record, weight = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.argsort(columns, kind="stable")
    offsets = offsets_of(np.bincount(columns, minlength=len(idf)))
    record, weight = record[order], weight[order]
    return _Ngrams(column, idf, basis, offsets, record, weight, np.concatenate(vectors))


def _most_listed(counts: Ints) -> int:
    """Return of how many products an n-gram may be that is still listed with them.

    More than are looked at for a listing are of no use; and all lists together have their limit.
    """
    rising = np.sort(counts)
    within = rising[np.cumsum(rising) <= _LISTED_NGRAMS]
    return min(_POSTINGS, int(within[-1])) if len(within) else 0


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
