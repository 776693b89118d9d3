"""The retriever and its index folder: candidates of a listing by meaning and by name, fused.

Dense vectors (FAISS) miss model numbers and the lexicon misses what has no number it knows; the
recall of each route and of both is reported by `rerank evaluate`. An index folder holds the
registry, its vectors and the fingerprint of the embedder that made them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
from rerank.index.embedder import Embedder, RunTexts, StaticEmbedder
from rerank.index.errors import InputError, MismatchError
from rerank.index.records import (
    N_CANDIDATES,
    GpuRecord,
    Listing,
    Route,
    distinct,
    falling_order,
    first_rows,
    place_in_group,
    place_in_run,
    read_records,
    registry_fingerprint,
    write_records,
)
from rerank.index.text import HOLDS_NAME, NAMES_IN_CYRILLIC, descriptor, normalised
from rerank.index.vector_index import FaissIndex, IndexKind, VectorIndex
from rerank.packs.gpu.lexicon import STRONG_SUFFIXES, Lexicon
from rerank.packs.gpu.name_evidence import (
    NAME_FEATURES,
    NameEvidence,
    memory_agreement,
    name_evidence,
    surely_named,
)
from rerank.packs.gpu.naming import ModelName
from rerank.packs.gpu.stated_words import Stated, StatedWords, chip_vendors
from rerank.packs.gpu.title_columns import ColumnReader, TitleReadings
from rerank.packs.gpu.variants import Variants
from rerank.ranking import CandidateBatch

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_VARIANTS_PER_MODEL = 4  # variants of one model must not crowd its siblings out
_VECTOR_HITS = 32
_UNNAMED = -0.5  # what a model that is not named counts for, beside the quality of names
_NEIGHBOURS = 32  # beside a sure name: its own variants among them, and enough to fill all places
_AT_ONCE = 8  # models whose neighbours are searched together
_BLOCK_PAIRS = 512  # two vectors of 256 numbers each: 1 MB


class Retriever:
    """Proposes candidates out of the registry's records.

    :param vectors: of all records.
    :param index: finds the vectors of the first records; those behind, which were added since it
        was built, are found by name.
    """

    def __init__(
        self,
        records: Sequence[GpuRecord],
        vectors: Floats,
        index: VectorIndex,
        embedder: Embedder,
    ) -> None:
        self.records = list(records)
        self.embedder = embedder
        self.lexicon = Lexicon(self.records, len(index))
        self.table = self.lexicon
        self._reader = ColumnReader(self.lexicon)
        self._vectors = vectors
        self._index = index
        _, first = np.unique(self.lexicon.model_of_record, return_index=True)
        self._neighbours = Neighbours(index, vectors[first])
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
        queries = self._encoded(texts)
        names = name_evidence(self.lexicon, readings)
        stated = self._stated_words.read(readings)
        return {
            route: self._chosen(
                queries,
                readings,
                names,
                stated,
                self._pool(route, n_candidates, queries, readings, names),
                route,
                n_candidates,
            )
            for route in routes
        }

    def _encoded(self, texts: RunTexts | list[str]) -> Floats:
        if isinstance(texts, list):
            return self.embedder.encode(texts)
        if isinstance(self.embedder, StaticEmbedder):
            return self.embedder.encode_runs(texts)
        return self.embedder.encode(texts.joined())

    def _pool(
        self,
        route: Route,
        n_candidates: int,
        queries: Floats,
        readings: TitleReadings,
        names: NameEvidence,
    ) -> _Pool:
        """Return what a route finds, by listing and record; what is named by its name."""
        parts = []
        if route is not Route.VECTOR:
            parts.append(self._named(names))
        if route is Route.FUSED:
            parts += self._beside(queries, readings, names)
        if route is Route.VECTOR:
            # More than decide are asked for to be looked at: only all variants hold enough models.
            hits = len(self.records) if n_candidates > N_CANDIDATES else _VECTOR_HITS
            parts.append(self._searched(queries, np.arange(len(queries)), hits))
        return _Pool.joined(parts, len(self.records))

    def _chosen(
        self,
        queries: Floats,
        readings: TitleReadings,
        names: NameEvidence,
        stated: Stated,
        pool: _Pool,
        route: Route,
        n_candidates: int,
    ) -> CandidateBatch:
        """Score the candidates that a route found and keep the best of each listing."""
        listing, record = pool.listing, pool.record
        cosine = self._cosines(queries, pool)
        shortlist = cosine
        if route is not Route.VECTOR:
            shortlist = shortlist + self._name_score(names, pool)
        kept = self._keep_best(listing, record, shortlist, n_candidates)
        listing, record = listing[kept], record[kept]
        model = self.lexicon.model_of_record[record].astype(np.int64)
        likeliest, probability, pair, place = self._variants.choose(
            readings, names.sizes, stated.forms, (listing, model)
        )
        if route is Route.VECTOR:  # shows what vectors alone find
            likeliest, probability = record, np.full(len(record), np.nan, np.float32)
        # The places of a model stay, its likeliest variants take them.
        similarity = cosine[kept]
        other = ((likeliest != record) | ~np.isnan(pool.nearness[kept])).nonzero()[0]
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

    def _cosines(self, queries: Floats, pool: _Pool) -> Floats:
        """Return the cosine that orders each of the pool, with its title where that is known."""
        cosine = pool.nearness.copy()
        own = np.isnan(cosine).nonzero()[0]
        cosine[own] = self._similarity(queries, pool.listing[own], pool.record[own])
        return cosine

    def _similarity(self, queries: Floats, listing: Ints, record: Ints) -> Floats:
        """Return the cosine of each pair, in blocks whose vectors fit into a core's cache."""
        similarity = np.empty(len(record), np.float32)
        for start in range(0, len(record), _BLOCK_PAIRS):
            block = slice(start, start + _BLOCK_PAIRS)
            np.einsum(
                "ij,ij->i",
                queries.take(listing[block], axis=0),
                self._vectors.take(record[block], axis=0),
                out=similarity[block],
            )
        return similarity

    def _named(self, names: NameEvidence) -> _Pool:
        """Return all variants of the models that titles name."""
        record, row = self._variants.of_models(names.model)
        quality = names.values[row, NAME_FEATURES.index("name_quality")]
        unknown = np.full(len(record), np.nan, np.float32)
        return _Pool(names.listing[row], record.astype(np.int64), quality, unknown)

    def _searched(self, queries: Floats, listing: Ints, hits: int) -> _Pool:
        """Return the variants nearest to the titles of some listings."""
        rows = self._index.search(queries[listing], hits)[1]
        found = rows >= 0
        return _unnamed(np.repeat(listing, found.sum(axis=1)), rows[found])

    def _beside(self, queries: Floats, readings: TitleReadings, names: NameEvidence) -> list[_Pool]:
        """Return what may be meant besides what is named.

        Where a name leaves doubt, what is nearest to the title; else, searched once for all titles
        that name it, what is nearest to the model.
        """
        sure = surely_named(names, readings)
        doubtful, listing = (sure < 0).nonzero()[0], (sure >= 0).nonzero()[0]
        parts = []
        if len(doubtful):
            parts.append(self._searched(queries, doubtful, _VECTOR_HITS))
        if len(listing):
            rows, nearness = self._neighbours.of(sure[listing])
            found = rows >= 0
            at = listing.repeat(found.sum(axis=1))
            parts.append(_unnamed(at, rows[found])._replace(nearness=nearness[found]))
        return parts

    def _name_score(self, names: NameEvidence, pool: _Pool) -> Floats:
        """Return what a pool's names, sizes and places in the registry say, shape (rows,)."""
        agreement = memory_agreement(
            names.sizes.take(pool.listing, axis=0), self._memory.take(pool.record)
        )
        score = pool.quality + 0.25 * agreement - 0.02 * self.lexicon.variant_rank[pool.record]
        return np.asarray(score, np.float32)

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
        return order[place_in_run(of_listing) < limit]


class _Pool(NamedTuple):
    """What may be candidates, a row for each listing and record; all of shape (rows,).

    :param quality: how well the record's model is named, `_UNNAMED` if it is not.
    :param nearness: the cosine that stands for that with the title, where that is not worth its
        time; NaN where it is.
    """

    listing: Ints
    record: Ints
    quality: Floats
    nearness: Floats

    @classmethod
    def joined(cls, parts: Sequence[_Pool], records: int) -> _Pool:
        """Return the rows of several by listing and record, of equal ones the first."""
        listing = np.concatenate([part.listing for part in parts])
        record = np.concatenate([part.record for part in parts])
        first = first_rows(listing * records + record)
        return cls(
            listing[first],
            record[first],
            np.concatenate([part.quality for part in parts])[first],
            np.concatenate([part.nearness for part in parts])[first],
        )


def _unnamed(listing: Ints, record: Ints) -> _Pool:
    unnamed = np.full(len(record), _UNNAMED, np.float32)
    return _Pool(listing, record, unnamed, np.full(len(record), np.nan, np.float32))


class Neighbours:
    """The variants nearest to each model, searched when they are first asked for.

    Some models at once, always as many: what stands beside a query may change its last digits.

    :param vectors: shape (models, dimension), of each model's first variant.
    """

    def __init__(self, index: VectorIndex, vectors: Floats) -> None:
        rows = -(-len(vectors) // _AT_ONCE) * _AT_ONCE
        hits = min(_NEIGHBOURS, len(index))
        self._index = index
        self._vectors = np.zeros((rows, vectors.shape[1]), np.float32)
        self._vectors[: len(vectors)] = vectors
        self._rows = np.full((rows, hits), -1, np.int64)
        self._nearness = np.zeros((rows, hits), np.float32)
        self._known = np.zeros(rows, np.bool_)

    def of(self, model: Ints) -> tuple[Ints, Floats]:
        """Return the variants nearest to models and their cosines, both (models, hits).

        Rows are -1 where an approximate index finds fewer.
        """
        for block in distinct(model[~self._known[model]] // _AT_ONCE).tolist():
            some = slice(block * _AT_ONCE, (block + 1) * _AT_ONCE)
            nearness, self._rows[some] = self._index.search(self._vectors[some], _NEIGHBOURS)
            self._nearness[some], self._known[some] = nearness, True
        return self._rows.take(model, axis=0), self._nearness.take(model, axis=0)


_RECORDS, _FAISS = "records.jsonl", "index.faiss"
_ADDED, _GROWTH = "added.npy", "growth.json"
_MOST_SHOWN = 20
_SMALL = 0.05  # share of its records that an index may grow by before it is built anew


class Growth(NamedTuple):
    """What an index was before GPUs were added to it.

    :param counted: records that its vectors are searched among, and words weighed by.
    :param versions: how many records it had, by each version that it was since.
    """

    counted: int
    versions: Mapping[str, int]


def build_index(
    records: Sequence[GpuRecord],
    embedder: Embedder,
    folder: Path,
    *,
    kind: IndexKind | None = None,
) -> Manifest:
    """Embed the registry and write an index folder, replacing an older one whole.

    :param kind: None for that of its size.
    """
    vectors = embedder.encode([descriptor(record) for record in records])
    kind = kind or IndexKind.of_size(len(vectors))
    return _write(records, FaissIndex.build(vectors, kind), embedder, folder, kind)


def add_to_index(
    records: Sequence[GpuRecord], embedder: Embedder, folder: Path, *, into: Path | None = None
) -> tuple[Manifest, int]:
    """Add GPUs that an index lacks; return its new manifest and how many were added.

    A few change nothing for listings that do not name them: words weigh what they weighed, and the
    nearest vectors are looked for among those that were there. Where more than a twentieth has
    come since that was settled, it is settled anew, with all.

    :param into: where the index with the added GPUs goes; by default in its own place.
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
    known, index, added, manifest = _read(folder, embedder)
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
    added = np.concatenate([added, embedder.encode([descriptor(record) for record in fresh])])
    kind, target = IndexKind(manifest.parameters["kind"]), into or folder
    if len(added) <= _SMALL * len(index):
        versions = {**read_growth(folder, len(index)).versions, manifest.fingerprint: len(known)}
        growth = Growth(len(index), versions)
        made = _write([*known, *fresh], index, embedder, target, kind, (added, growth))
    else:
        index.add(added)
        made = _write([*known, *fresh], index, embedder, target, kind)
    return made, len(fresh)


def update_index(
    records: Sequence[GpuRecord], embedder: Embedder, folder: Path, target: Path
) -> tuple[Manifest, int | None]:
    """Bring an index up to a registry: add what it lacks, if all else stayed; else build it anew.

    :param folder: the index that is there; ``target``: where the new one goes.
    :returns: its manifest, and how many were added; None if it was built anew.
    """
    known, *_, manifest = _read(folder, embedder)
    by_id = {record.gpu_id: record for record in records}
    own = set(known)
    stayed = [record for record in records if record in own]
    if len(stayed) == len(known) == sum(record.gpu_id in by_id for record in known):
        if _by_model(stayed) == _by_model(known):  # the first variant is the common one
            return add_to_index(records, embedder, folder, into=target)
    return build_index(records, embedder, target, kind=IndexKind(manifest.parameters["kind"])), None


def _by_model(records: Sequence[GpuRecord]) -> dict[str, list[str]]:
    variants: dict[str, list[str]] = {}
    for record in records:
        variants.setdefault(record.model, []).append(record.gpu_id)
    return variants


def read_growth(folder: Path, n_records: int) -> Growth:
    """Return what an index was before it grew; of one that did not, its own number of records."""
    path = folder / _GROWTH
    if not path.exists():
        return Growth(n_records, {})
    with reading(path, "what an index was before it grew", INDEX_REMEDY):
        growth = Growth(**json.loads(path.read_text(encoding="utf-8")))
        if not 0 < growth.counted <= n_records:
            raise ValueError(f"expected 1 to {n_records} counted records, found {growth.counted}")
        return growth


def load_retriever(folder: Path, embedder: Embedder) -> tuple[Retriever, Manifest]:
    """Load an index folder.

    :raises ArtifactError: if it is missing or damaged.
    :raises MismatchError: if it was built with another embedder.
    """
    records, index, added, manifest = _read(folder, embedder)
    vectors = np.concatenate([index.vectors(), added]) if len(added) else index.vectors()
    return Retriever(records, vectors, index, embedder), manifest


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
    grown: tuple[Floats, Growth] | None = None,
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
        if grown is not None:
            np.save(draft / _ADDED, grown[0], allow_pickle=False)
            text = json.dumps(grown[1]._asdict(), indent=2)
            (draft / _GROWTH).write_text(text + "\n", encoding="utf-8")
        return write_manifest(
            draft,
            kind="index",
            format_version=INDEX_FORMAT,
            parameters=parameters,
            libraries=("faiss-cpu", "numpy"),
        )


def _read(folder: Path, embedder: Embedder) -> tuple[list[GpuRecord], FaissIndex, Floats, Manifest]:
    """Return records, the index of the first of them, the vectors of the others, the manifest."""
    manifest = read_manifest(folder, kind="index", format_version=INDEX_FORMAT, remedy=INDEX_REMEDY)
    expected, name = map(manifest.parameters.get, ("embedder_fingerprint", "embedder"))
    if expected != embedder.fingerprint:
        raise MismatchError(
            f"{folder}: built with embedder {name} ({expected}), asked "
            f"to use {embedder.name} ({embedder.fingerprint}); rebuild it with `{INDEX_REMEDY}`"
        )
    with reading(folder / _RECORDS, "records of cards", INDEX_REMEDY):
        records = read_records(folder / _RECORDS)
    counted = read_growth(folder, len(records)).counted
    index = FaissIndex.load(folder / _FAISS, count=counted, dimension=embedder.dimension)
    added = np.zeros((0, embedder.dimension), np.float32)
    if counted < len(records):
        with reading(folder / _ADDED, "vectors of added cards", INDEX_REMEDY):
            added = np.load(folder / _ADDED, allow_pickle=False).astype(np.float32)
    wanted = (len(records) - counted, embedder.dimension)
    if added.shape != wanted:
        raise MismatchError(
            f"{folder}: expected added vectors of shape {wanted}, found {added.shape}; rebuild it "
            f"with `{INDEX_REMEDY}`"
        )
    return records, index, added, manifest


# How titles of other letters are looked at: in ASCII, what `normalise` does more to than to take
# accents and signs off as "&". Before and after they are in Unicode's form NFKD.
_CYRILLIC, _MARK = "\x01", "\x02"
_LEFT_OUT = "[™®©]"  # letters, to Unicode
_IN_ASCII = {
    r"[\x{200b}-\x{200f}\x{2060}\x{feff}\x{ad}\x{131}]|[^\P{Nd}0-9]": "&",
    r"\p{Cyrillic}": _CYRILLIC,
    r"\pM+": _MARK,
    r"[^\x00-\x7f]": "\x03",
}
_APART = r"[\x00-/:-@\[-`{-\x7f]*"  # anything but letters and digits
# A title with one of these is normalised to be looked at: what is done to it then is more than to
# take signs and accents off its letters.
_TO_NORMALISE = (
    r"[&<]|\d[\x01-\x03]+o|\do|gtx\+|[gm]i[bo]|0p|0x[0-9a-f]{4}|k gam|corporation|micro devices"
    r"|\(rev |10de:|1002:|8086:|controller:|amd/ati]|[a-z][a-z0-9_\x02]*\x01|\x01[0-9_\x02]*[a-z]"
)
_HEAD = 6  # letters and digits of a code by which titles are found that may show it
_NEAR_SIZE = (0.9, 1.03)  # of a size: what may be rounded to it
_LEAST_SIZE = 2
_GLUED = HOLDS_NAME.pattern
_RUN_BEGINS, _NUMBER_BEGINS, _NUMBER_ENDS = f"(?:^|[^a-z]|{_GLUED})", r"(?:^|\D)", r"(?:\D|$)"


def touched_since(folder: Path, version: str) -> Callable[[Sequence[str]], list[int]] | None:
    """Return what finds the titles that GPUs added to an index since may have touched.

    A title is touched where it may show what the lexicon knows since: a number, a word, a suffix, a
    part number or a size. It may say so of more titles than are answered otherwise, never of fewer:
    what has none of these is read as before, and words weigh what they weighed.

    :param folder: of the index that serves.
    :param version: that it was.
    :returns: takes titles and gives the numbers of those that are touched; None if all may be.
    """
    records = index_records(folder)
    growth = read_growth(folder, len(records))
    before = growth.versions.get(version)
    if before is None:
        return None
    needles = _needles(
        Lexicon(records[:before], growth.counted), Lexicon(records, growth.counted), before
    )
    return None if needles is None else needles.touched


class _Needles(NamedTuple):
    """What a title must show to be touched.

    :param squashed: pattern over its letters and digits alone; ``standing``: as it stands.
    :param perhaps: over a title as it was written: what shows one of the others has it.
    :param words: what words become that were seen; None for those that need others.
    """

    squashed: str
    standing: str
    perhaps: str
    words: dict[str, str | None]

    def touched(self, titles: Sequence[str]) -> list[int]:
        """Return the numbers of titles that show any of it."""
        import pyarrow as pa  # not for who only resolves
        import pyarrow.compute as pc

        texts = pa.array(titles, pa.string())
        plain = pc.utf8_normalize(pc.replace_substring_regex(texts, _LEFT_OUT, ""), "NFKD")
        for others, sign in _IN_ASCII.items():
            plain = pc.replace_substring_regex(plain, others, sign)
        found = pc.match_substring_regex(plain, self.perhaps, ignore_case=True)
        at = np.flatnonzero(found.to_numpy(zero_copy_only=False))
        if not len(at):
            return []
        texts = pa.array(normalised([titles[each] for each in at.tolist()], self.words))
        letters = pc.replace_substring_regex(texts, "[^a-z0-9]+", "")
        shown = pc.or_(
            pc.match_substring_regex(texts, self.standing),
            pc.match_substring_regex(letters, self.squashed),
        )
        return [int(each) for each in at[shown.to_numpy(zero_copy_only=False)]]


def _needles(old: Lexicon, new: Lexicon, before: int) -> _Needles | None:
    """Return what a title must show to be read otherwise by a lexicon that has more records.

    :param before: records that both have.
    :returns: None if other titles may be, too.
    """
    fresh = new.records[before:]
    sizes = {r.memory_gb for r in fresh} - {r.memory_gb for r in old.records} - {0.0}
    if (
        {record.model for record in fresh} & set(old.models)  # variants without a name change
        or {record.vendor for record in fresh} - {record.vendor for record in old.records}
        or new.line_mask.shape != old.line_mask.shape
        or _most_words(new.names) > _most_words(old.names)
        or any(size < _LEAST_SIZE or size % 1 for size in sizes)
    ):
        return None
    words, pairs = new.words_since(old)
    prefixes = new.prefixes.keys() - old.prefixes
    keys = {new.names[model].key for model in range(len(old.models), len(new.models))}
    sized = [_number_near(size) for size in sizes]
    codes = _shortest(code for code in new.codes if new.meant_by(code) != old.meant_by(code))
    standing = [_word_standing(word, new) for word in words]
    standing += ["[^a-z0-9]?".join(pair) for pair in pairs]
    standing += [rf"{prefix}[^a-z0-9]?(?:\d|{_GLUED})" for prefix in prefixes]
    perhaps = [_apart(text) for text in (*keys, *words, *map("".join, pairs)) if len(text) > 1]
    perhaps += [_letter_standing(word, new, _APART) for word in words if len(word) == 1]
    names = "|".join(map(_apart, _GLUED.split("|")))
    perhaps += [rf"{_apart(prefix)}{_APART}(?:\d|{names})" for prefix in prefixes]
    perhaps += [_apart(head, r"\d") for head in _shortest({code[:_HEAD] for code in codes})]
    return _Needles(
        "|".join(codes) or _NOTHING,
        "|".join([*standing, *sized, *map(_key_standing, keys)]) or _NOTHING,
        "|".join([_TO_NORMALISE, *sized, *perhaps]),
        {},
    )


def _word_standing(word: str, lexicon: Lexicon) -> str:
    """Return the pattern of a word of names: it begins a run, of which it may be the start."""
    if word[0].isdigit():
        return _NUMBER_BEGINS + word
    if len(word) > 1:
        return _RUN_BEGINS + word
    return _letter_standing(word, lexicon, "[^a-z0-9]?")


def _letter_standing(letter: str, lexicon: Lexicon, signs: str) -> str:
    """Return the pattern of a single letter, which counts behind a number, a suffix or the like.

    :param signs: what may stand between; a letter with an accent may be another run behind it.
    """
    before = {*STRONG_SUFFIXES, *(key for key in lexicon.keys if not key[-1].isdigit())}
    before |= {first for first, second in lexicon.pairs_of_suffixes if second == letter}
    found, names = "|".join(map(_apart, sorted(before))), "|".join(map(_apart, _GLUED.split("|")))
    return rf"(?:\d|{found}){signs}{letter}(?:[^a-z]|$|[a-z]{_MARK}|{names})"


def _apart(text: str, number: str = r"\d+") -> str:
    """Return the pattern of letters and numbers, between which signs and accents may stand.

    A name may be Cyrillic, of which the last letter is enough.
    """
    found = []
    for piece in re.findall(rf"{NAMES_IN_CYRILLIC}|{number}|.", text):
        is_name = len(piece) > 1 and not piece.isdigit()
        found.append(rf"(?:{_APART.join(piece)}|{_CYRILLIC}{_MARK}?)" if is_name else piece)
    return _APART.join(found)


_NOTHING = r"\A.\A"


def _most_words(names: Sequence[ModelName]) -> int:
    """Return how many words of one name are summed up."""
    return max((len({*name.line, *name.suffix}) for name in names), default=0)


def _key_standing(key: str) -> str:
    """Return the pattern of a key: runs of their own, of which a sign may stand between.

    Behind a number its memory may be glued.
    """
    parts = re.findall(r"\d+|[^\W\d_]+", key)
    begins = _NUMBER_BEGINS if parts[0].isdigit() else _RUN_BEGINS
    sized = rf"(?:[1-9]\d{{0,3}})?{_NUMBER_ENDS}" if parts[-1].isdigit() else ""
    return begins + "[^a-z0-9]?".join(parts) + sized


def _number_near(size: float) -> str:
    """Return the pattern of numbers that may be read as a size, in GB or MB."""
    low, high = (share * size for share in _NEAR_SIZE)
    in_gb = "|".join(str(n) for n in range(int(low), int(high) + 1))
    in_mb = "|".join(str(n) for n in range(int(low), int(1.024 * high) + 1))
    return f"{_NUMBER_BEGINS}(?:{in_gb}|(?:{in_mb})[.,]?[0-9]{{3}}){_NUMBER_ENDS}"


def _shortest(texts: Iterable[str]) -> list[str]:
    """Return texts without those that hold another one of them."""
    kept: list[str] = []
    for text in sorted(texts, key=lambda each: (len(each), each)):
        if not any(other in text for other in kept):
            kept.append(text)
    return kept
