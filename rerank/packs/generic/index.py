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

from rerank.index.artifacts import INDEX_REMEDY, read_json, reading
from rerank.index.records import N_CANDIDATES, falling_order, place_in_group
from rerank.index.vector_index import FaissIndex, IndexKind
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.ngrams import GRID, POSTINGS, Ngrams, columns_of, counts_at, idf_of
from rerank.packs.generic.pack_data import Pack
from rerank.packs.generic.reading import (
    IdentifierKind,
    Ints,
    Reader,
    Readings,
    TokenKind,
    row_keys,
)
from rerank.packs.generic.token_arrays import (
    Hashes,
    Membership,
    PackedTexts,
    Ragged,
    distinct,
    hash_membership,
    offsets_of,
    places,
    short_hash,
    within,
)

Floats = NDArray[np.float32]

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
_FLAT = 20_000  # products up to which every vector is compared
_TOGETHER = 32  # queries: FAISS compares fewer than 20 in another way
_MOST_POSTINGS = 20_000  # of a word
_LISTED = 25  # products a route proposes
_LEAST = 0.3  # of the route's best cosine that a product needs to be proposed
_SCORES = 2**22  # cosines held at once by each route
_DENSE = 50_000  # products up to which all of a listing's cosines lie side by side
_SHARING = 50  # products with one identifier that are proposed
_FUSED = 1.0, 0.5, 0.3  # weights of the cosines over words, n-grams and vectors
_WORTH = np.array([0.0, 0.0, 0.3, 4.0], np.float32)  # of a shared identifier, by its level
# Of the best fused cosine that a candidate needs. 14 of 20 do on real listings, 5 where codes tell;
# right products are among the others in one listing of a thousand.
_NEAR = 0.25


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

    def part(self, chosen: NDArray[np.bool_]) -> Found:
        """Return the candidates of some listings, which are then numbered anew."""
        rows = chosen[self.listing]
        number = np.cumsum(chosen) - 1
        others = {
            each.name: getattr(self, each.name)[rows]
            for each in fields(self)
            if each.name not in ("offsets", "listing", "ranks")
        }
        ranks = {route: ranks[rows] for route, ranks in self.ranks.items()}
        offsets = offsets_of(np.diff(self.offsets)[chosen])
        return Found(offsets, number[self.listing[rows]], **others, ranks=ranks)

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
        ngrams: Ngrams,
        vectors: FaissIndex,
    ) -> None:
        self.reader, self.readings = reader, readings
        self.ngrams, self._vectors = ngrams, vectors
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
        ngrams = Ngrams.build(readings, seed)
        kind = IndexKind.FLAT if len(readings) <= _FLAT else IndexKind.IVF
        unit = ngrams.vectors.astype(np.float32) / np.float32(GRID)
        vectors = FaissIndex.build(unit, kind, step=1 / GRID)
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
        counts = counts_at(self.counts, ids)
        for column in columns_of(hidden):
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
        """Products by word, weighted by rarity: sparse, shape (vocabulary, products).

        Words of very many products list those whose names say least beside them.
        """
        from scipy import sparse

        weight = idf_of(self.counts, len(self))[self.atoms.values]
        norm = np.sqrt(np.bincount(self.atoms.rows, weight.astype(np.float64) ** 2, len(self)))
        unit = (weight / np.maximum(norm, 1e-9)[self.atoms.rows]).astype(np.float32)
        frequent = np.flatnonzero(self.counts[self.atoms.values] > _MOST_POSTINGS)
        order = frequent[
            falling_order(self.atoms.values[frequent].astype(np.int64), unit[frequent])
        ]
        unit[order[place_in_group(self.atoms.values[order].astype(np.int64)) >= _MOST_POSTINGS]] = 0
        shape = (len(self), len(self.vocabulary))
        words = self.atoms.values.copy()  # SciPy cuts zeros out of the very arrays it was given
        by_product = sparse.csr_matrix((unit, words, self.atoms.offsets.copy()), shape)
        by_product.eliminate_zeros()
        return by_product.T.tocsr()

    def similarity(self, vectors: Floats, record: Ints) -> Floats:
        """Return the cosine of each vector and the product beside it, -1 to 1."""
        own = self.ngrams.vectors[record].astype(np.float32)
        cosine = np.einsum("ij,ij->i", vectors, own) / GRID
        return np.asarray(np.clip(cosine, -1.0, 1.0), np.float32)  # vectors in bytes are rounded

    @cached_property
    def texts(self) -> PackedTexts:
        """Texts of the products, to look for parts of words in."""
        return self.readings.texts()

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

    def rare_words(
        self, text: Ragged, n: int, hidden: NDArray[np.integer[Any]] | None
    ) -> tuple[Ints, Hashes, Floats]:
        """Return of each description the rarest words that products have: row, hash, weight.

        :param hidden: rows without which words are counted, as `retrieve` takes them.
        """
        hashes, counts = self._text_counts
        at = places(hashes, text.values)
        known = np.flatnonzero(at >= 0)
        rows, words, count = text.rows[known], text.values[known], counts[at[known]]
        for column in columns_of(hidden):
            there = np.flatnonzero(column[rows] >= 0)
            row = column[rows[there]]
            count[there] -= self.in_text(row, short_hash(words[there]))
            count[there] -= self.holds(row, self.ids_of(words[there]))
        left = np.flatnonzero(count > 0)
        rows, words, count = rows[left], words[left], count[left]
        order = falling_order(rows, -count.astype(np.float32))
        order = order[place_in_group(rows[order]) < n]
        return rows[order], words[order], self.weight_of(count[order])

    @cached_property
    def identifiers(self) -> IdentifierTable:
        """Products by identifier."""
        return IdentifierTable(self.readings)

    @cached_property
    def contrasts(self) -> Contrasts:
        """Which words part names that otherwise agree."""
        return Contrasts(self)

    def nearest(self, vectors: Floats, k: int) -> tuple[Floats, Ints]:
        """Return cosines and rows of the nearest products, see `VectorIndex.search`."""
        if len(vectors) >= _TOGETHER:
            return self._vectors.search(vectors, k)
        padded = np.zeros((_TOGETHER, vectors.shape[1]), np.float32)
        padded[: len(vectors)] = vectors
        similarity, rows = self._vectors.search(padded, k)
        return similarity[: len(vectors)], rows[: len(vectors)]

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
        save_file(self.ngrams.arrays(), folder / _NGRAMS)
        (folder / _TEXTS).write_text(json.dumps(texts, ensure_ascii=False) + "\n", "utf-8")
        (folder / _SETTINGS).write_text(json.dumps(self.reader.settings()) + "\n", "utf-8")
        self._vectors.save(folder / _VECTORS)

    @classmethod
    def load(cls, folder: Path) -> ProductIndex:
        """Read the files that `save` has written; the folder's manifest vouches for them."""
        from safetensors.numpy import load_file

        with reading(folder, "the readings of a catalogue", INDEX_REMEDY):
            arrays = load_file(folder / _ARRAYS)
            vocabulary = arrays["vocabulary"]
            words = _Words(vocabulary, arrays["atoms.values"], arrays["tokens.values"])
            for each_word in words[1:]:
                within(each_word, len(vocabulary))
            arrays |= {"atoms.values": vocabulary[words.atoms]}
            arrays |= {"tokens.values": vocabulary[words.tokens]}
            found: dict[str, Any] = read_json(folder / _TEXTS)
            for each in fields(Readings):
                if f"{each.name}.offsets" in arrays:
                    values = arrays[f"{each.name}.values"]
                    found[each.name] = Ragged.checked(arrays[f"{each.name}.offsets"], values)
                elif each.name in arrays:
                    found[each.name] = arrays[each.name]
            readings = Readings(**found)
            readings.check()
        with reading(folder / _SETTINGS, "how a catalogue is read", INDEX_REMEDY):
            reader = Reader.of_settings(read_json(folder / _SETTINGS))
        with reading(folder / _NGRAMS, "n-grams of a catalogue", INDEX_REMEDY):
            ngrams = Ngrams(**load_file(folder / _NGRAMS))
            ngrams.check(len(readings))
            count, dimension = ngrams.vectors.shape
        vectors = FaissIndex.load(folder / _VECTORS, count=count, dimension=dimension)
        with reading(folder, "an index of a catalogue", INDEX_REMEDY):
            return cls(reader, readings, words, ngrams, vectors)


class Contrasts:
    """How often a word is all that parts two names: one has it and the other another, or none.

    "V2", "pro" and "upgrade" part many products that agree in all else, "free" hardly any. Learnt
    of names that differ in one token; a code that parts two is a model's number, and none of it.
    """

    def __init__(self, index: ProductIndex) -> None:
        self._index = index
        tokens, n = index.tokens, len(index)
        mixed = row_keys(np.zeros(len(tokens.values), np.int64), index.vocabulary[tokens.values])
        before = np.concatenate([[np.uint64(0)], np.cumsum(mixed)])  # modulo 2^64
        whole = before[tokens.offsets[1:]] - before[tokens.offsets[:-1]]
        of = np.flatnonzero(index.readings.kinds != TokenKind.CODE)
        keys = np.concatenate([whole[tokens.rows[of]] - mixed[of], whole])
        token = np.concatenate([tokens.values[of].astype(np.int64), np.full(n, -1)])
        record = np.concatenate([tokens.rows[of], np.arange(n)])
        order = np.argsort(keys)
        twice = keys[order[1:]] == keys[order[:-1]]
        both = np.concatenate([[False], twice]) | np.concatenate([twice, [False]])
        order = order[both]  # few: most names part in more than a word
        order = order[np.lexsort((record[order], token[order], keys[order]))]
        keys, token, record = keys[order], token[order], record[order]
        new = np.ones(len(keys), bool)
        new[1:] = keys[1:] != keys[:-1]
        name = np.cumsum(new) - 1  # without one token
        other = new.copy()
        other[1:] |= token[1:] != token[:-1]
        parted = np.flatnonzero((np.bincount(name, other)[name] > 1) & (token >= 0))
        self._parted = np.bincount(token[parted], minlength=len(index.vocabulary))
        self._having = np.bincount(tokens.values, minlength=len(index.vocabulary))
        # a product that is taken out parts nothing, and of two names nor does the other
        starts = np.flatnonzero(new)
        pair = np.bincount(name)[name[parted]] == 2
        first = starts[name[parted]]
        partner = record[np.where(parted == first, first + 1, first)]
        rows = np.concatenate([record[parted], partner[pair]])
        words = np.concatenate([token[parted], token[parted][pair]])
        self._keys, self._lost = np.unique(rows * len(index.vocabulary) + words, return_counts=True)

    def shares(
        self, ids: Ints, listing: Ints, hidden: NDArray[np.integer[Any]] | None
    ) -> NDArray[np.float64]:
        """Return the share, 0 to 1, of each word's products that it parts from another one.

        :param ids: rows of the vocabulary, -1 for unknown ones.
        :param hidden: rows without which it is counted, as `ProductIndex.retrieve` takes them.
        """
        parted, having = counts_at(self._parted, ids), counts_at(self._having, ids)
        for column in columns_of(hidden):
            there = np.flatnonzero((column[listing] >= 0) & (parted > 0))
            row = column[listing[there]]
            at = places(self._keys, row * len(self._index.vocabulary) + ids[there])
            parted[there] -= np.where(at >= 0, self._lost[at], 0)
            having[there] -= self._index.holds(row, ids[there])
        return np.maximum(parted, 0) / (np.maximum(having, parted) + 1.0)


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
        place, flat = self.products.spans(at[known])
        who, product = listing[known][place], self.products.values[flat]
        shown = stated[known][place] | (self._sources[flat] != IdentifierKind.SHORT)
        for column in columns_of(hidden):
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
        hidden_rows = None if hidden is None else (self._index.readings, hidden)
        ngrams = self._index.ngrams.weighted(readings, without=hidden_rows)
        vectors = self._index.ngrams.embed(ngrams)
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
        weight = idf_of(counts, len(index))
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
        by_ngrams = _rare_part(ngrams, index.ngrams) @ index.ngrams.postings
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
        for column in columns_of(hidden):
            shown = column[listing] != record
            keys, listing, record = keys[shown], listing[shown], record[shown]
        cosine = index.similarity(vectors[listing], record)
        word, ngram = (_values(each, listing, record) for each in (by_words, by_ngrams))
        level = np.zeros(len(keys), np.int8)
        at = places(identified[0], keys)
        level[at >= 0] = identified[1][at[at >= 0]]
        plain = (_FUSED[0] * word + _FUSED[1] * ngram + _FUSED[2] * cosine).astype(np.float32)
        score = plain + _WORTH[level]
        best = np.zeros(n, np.float32)
        np.maximum.at(best, listing, plain)
        near = np.flatnonzero((plain >= _NEAR * best[listing]) | (level > 0))
        order = near[falling_order(listing[near], score[near])]
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
        return np.asarray(keys[(rows >= 0) & (vectors != 0).any(axis=1, keepdims=True)], np.int64)


def _recall(found: Found, right: Sequence[Iterable[int]], counted: NDArray[np.bool_]) -> float:
    """Return the share of listings, of those that have one, with a right product counted."""
    hits = []
    for at, wanted in enumerate(map(frozenset, right)):
        if wanted:
            rows = slice(*found.offsets[at : at + 2].tolist())
            hits.append(not wanted.isdisjoint(found.record[rows][counted[rows]].tolist()))
    return float(np.mean(hits)) if hits else 0.0


def on_grid(values: NDArray[np.floating[Any]]) -> Floats:
    """Round to multiples of 1/1024: their sums are exact, and the same in any order."""
    return np.asarray(np.rint(values * 1024.0) / 1024.0, np.float32)


def _rarest(rows: Ints, counts: Ints) -> Ints:
    """Return which words of each row are looked up: the rarest, until their postings are many."""
    order = falling_order(rows, -counts.astype(np.float32))
    before = np.cumsum(counts[order]) - counts[order]
    first = place_in_group(rows[order]) == 0
    start = np.maximum.accumulate(np.where(first, before, 0))
    return np.sort(order[(before - start < POSTINGS) | first])


def _rare_part(ngrams: Any, known: Ngrams) -> Any:
    """Return n-grams with postings, the rarest of each listing until these are many."""
    from scipy import sparse

    counts = known.listed(ngrams.indices)
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


def _words_of(readings: Readings) -> _Words:
    vocabulary = distinct(readings.atoms.values)
    atoms, tokens = (
        places(vocabulary, each.values).astype(np.int32)
        for each in (readings.atoms, readings.tokens)
    )
    return _Words(vocabulary, atoms, tokens)
