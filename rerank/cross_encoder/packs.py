"""Query packs, a query with positive and negative documents: read, split, sampled, built.

    {"query_text": "...", "positives": [{"doc_id": "p1", "text": "..."}],
     "negatives": [{"doc_id": "n1", "text": "..."}], "source_chunk": "...", "meta": {...}}

``source_chunk`` and ``meta`` say where a pack comes from and may be missing, as may negatives:
other queries' documents are drawn then.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from rerank.cross_encoder.hyperparameters import SamplingSettings
from rerank.cross_encoder.ranker import TextPair, gpu_text, query_text
from rerank.domain import card_tools
from rerank.evaluation.gold import Split, split_of
from rerank.index.errors import InputError
from rerank.index.records import LabelledListing
from rerank.index.rows import read_json_lines
from rerank.ranking import standing
from rerank.resolver import Resolver

_SURROGATE = re.compile("[\ud800-\udfff]")
_TOO_MANY_BAD = (
    "{bad} of {lines} lines are no query pack, more than the share of {share:g} that is passed over"
)
_KEYS = ("query_text", "positives", "negatives", "source_chunk", "meta")


@dataclass(frozen=True, slots=True)
class Document:
    """A text that may answer a query."""

    doc_id: str
    text: str


@dataclass(frozen=True, slots=True)
class QueryPack:
    """A query with documents that answer it, at least one, and some that do not."""

    query_text: str
    positives: tuple[Document, ...]
    negatives: tuple[Document, ...]
    source_chunk: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


def pairs_of(packs: Iterable[QueryPack]) -> list[TextPair]:
    """Return each query beside each of its documents, positives first."""
    return [
        TextPair(pack.query_text, item.text)
        for pack in packs
        for item in (*pack.positives, *pack.negatives)
    ]


class PacksRead(NamedTuple):
    """The packs of a file and what is wrong with its other lines.

    :param malformed: a fault for each line that is no pack, with its number.
    """

    packs: list[QueryPack]
    malformed: tuple[str, ...]


def read_packs(path: Path, *, max_malformed_share: float) -> PacksRead:
    """Read a file of packs; empty lines are passed over.

    :param max_malformed_share: of the lines, in [0, 1].
    :raises FaultsError: if more lines than that are malformed.
    :raises InputError: if there is no pack or no such file.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: expected a file of query packs, found none; write one with `rerank pairs "
            "export --format query-packs`"
        )
    packs: list[QueryPack] = []
    read = read_json_lines(
        path,
        lambda content: packs.append(pack_of(content)),
        bad_share=max_malformed_share,
        told=_TOO_MANY_BAD,
    )
    if not packs:
        raise InputError(f"{path}: expected query packs, found no line")
    return PacksRead(packs, read.faults)


def write_packs(packs: Iterable[QueryPack], path: Path) -> None:
    """Write a pack a line."""
    with path.open("w", encoding="utf-8") as file:
        for pack in packs:
            file.write(json.dumps(asdict(pack), ensure_ascii=False, allow_nan=False) + "\n")


def pack_of(content: Mapping[str, Any]) -> QueryPack:
    """Return a pack out of a line's content.

    :raises InputError: if a key is missing or unknown or a value is of another type, if there is
        no positive, or if a document stands twice with other texts or on both sides.
    """
    unknown = sorted(set(content) - set(_KEYS))
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r:.60}; expected {', '.join(_KEYS)}")
    query = content.get("query_text")
    if not _is_text(query):
        raise InputError(f"query_text: expected text, found {query!r:.60}")
    positives = _documents(content.get("positives"), "positives")
    negatives = _documents(content.get("negatives", []), "negatives")
    if not positives:
        raise InputError("positives: expected at least one document, found none")
    _check_sides(positives, negatives)
    source, meta = content.get("source_chunk") or "", content.get("meta") or {}
    if not isinstance(source, str) or not isinstance(meta, dict):
        raise InputError("source_chunk, meta: expected text and a JSON object")
    return QueryPack(query, positives, negatives, source, meta)


def _documents(content: Any, name: str) -> tuple[Document, ...]:
    if not isinstance(content, list):
        raise InputError(f"{name}: expected a list of documents, found {content!r:.60}")
    documents: dict[str, Document] = {}
    for at, item in enumerate(content):
        doc_id, text = (
            (item.get("doc_id"), item.get("text")) if isinstance(item, dict) else (None, None)
        )
        if not _is_text(doc_id) or not _is_text(text):
            raise InputError(f"{name}[{at}]: expected doc_id and text, found {item!r:.60}")
        if documents.setdefault(doc_id, Document(doc_id, text)).text != text:
            raise InputError(f"{name}[{at}]: doc_id {doc_id!r:.60} stands twice with other texts")
    return tuple(documents.values())


def _is_text(value: Any) -> TypeGuard[str]:
    """Return whether a value is text, not blank, and no half of a surrogate pair, which no
    tokenizer takes.
    """
    return isinstance(value, str) and bool(value.strip()) and not _SURROGATE.search(value)


def _check_sides(positives: tuple[Document, ...], negatives: tuple[Document, ...]) -> None:
    ids, texts = {item.doc_id for item in positives}, {item.text for item in positives}
    both = [item.doc_id for item in negatives if item.doc_id in ids or item.text in texts]
    if both:
        raise InputError(f"document {both[0]!r:.60} is both a positive and a negative")


_SHOWN = 3


@dataclass(frozen=True, slots=True)
class PackSets:
    """What is trained on and what is measured on; neither is empty, no query is in both."""

    train: list[QueryPack]
    valid: list[QueryPack]


def split_by_query(packs: Sequence[QueryPack], *, valid_share: float, seed: int) -> PackSets:
    """Give each query to one side by a hash of its text and the seed; validation gets at least one.

    :raises InputError: if there are fewer than two queries, or none to validate on has a negative.
    """
    merged = merged_by_query(packs)
    if len(merged) < 2:
        raise InputError(
            f"expected at least two different queries, one of them to validate on, found "
            f"{len(merged)}"
        )
    ranks = [_rank(_key(pack), seed) for pack in merged]
    n_valid = min(len(merged) - 1, max(1, round(valid_share * len(merged))))
    bound = sorted(ranks)[n_valid - 1]
    train = [pack for pack, rank in zip(merged, ranks, strict=True) if rank > bound]
    valid = [pack for pack, rank in zip(merged, ranks, strict=True) if rank <= bound]
    return _measurable(PackSets(train, valid))


def given_sets(train: Sequence[QueryPack], valid: Sequence[QueryPack]) -> PackSets:
    """Take the sides as they are given.

    :raises InputError: if a query is on both, or none to validate on has a negative.
    """
    sets = PackSets(merged_by_query(train), merged_by_query(valid))
    both = {_key(pack) for pack in sets.train} & {_key(pack) for pack in sets.valid}
    if both:
        shown = ", ".join(repr(query)[:60] for query in sorted(both)[:_SHOWN])
        raise InputError(
            f"expected training and validation packs of different queries, found {len(both)} "
            f"queries in both files ({shown}); take them out of one, or give data.train alone"
        )
    return _measurable(sets)


def merged_by_query(packs: Iterable[QueryPack]) -> list[QueryPack]:
    """Join packs of one query, in the order of their first: what is positive in any is so in all.

    Queries are one if they differ in spaces and capital letters only.
    """
    merged: dict[str, QueryPack] = {}
    for pack in packs:
        first = merged.setdefault(_key(pack), pack)
        if first is not pack:
            merged[_key(pack)] = _joined(first, pack)
    return list(merged.values())


def _measurable(sets: PackSets) -> PackSets:
    """Return sets whose validation can tell one model from another."""
    if not any(pack.negatives for pack in sets.valid):
        raise InputError(
            "expected validation queries with negatives, above which positives are to stand, found "
            f"none in {len(sets.valid)}; give some negatives, or a file of such in data.valid"
        )
    return sets


def _joined(one: QueryPack, other: QueryPack) -> QueryPack:
    positives = _distinct([*one.positives, *other.positives])
    ids, texts = {item.doc_id for item in positives}, {item.text for item in positives}
    negatives = [
        item
        for item in _distinct([*one.negatives, *other.negatives])
        if item.doc_id not in ids and item.text not in texts
    ]
    return replace(one, positives=tuple(positives), negatives=tuple(negatives))


def _distinct(documents: Iterable[Document]) -> list[Document]:
    return list({item.doc_id: item for item in reversed(list(documents))}.values())[::-1]


def _key(pack: QueryPack) -> str:
    return " ".join(pack.query_text.lower().split())


def _rank(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\0{key}".encode()).hexdigest()


_TRIES = 4  # random documents looked at for each one wanted; a hit on the query's own is passed by


class NegativeSampler:
    """Draws documents for the queries of a training set."""

    def __init__(
        self, packs: Sequence[QueryPack], settings: SamplingSettings, *, seed: int
    ) -> None:
        self._packs, self._settings, self._seed = packs, settings, seed
        by_text = {item.text: item for pack in packs for item in (*pack.positives, *pack.negatives)}
        self._pool = list(by_text.values())
        self.set_epoch(0)

    def __len__(self) -> int:
        return len(self._packs)

    def __getitem__(self, place: int) -> QueryPack:
        """Draw for the query at a place in the order of the epoch that `set_epoch` chose."""
        return self.draw(self._order[place], self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the first is 0."""
        self._epoch, self._order = epoch, self.order(epoch)

    def order(self, epoch: int) -> list[int]:
        """Return the numbers of all queries in the order of an epoch."""
        rng = np.random.default_rng([self._seed, epoch])
        return [int(at) for at in rng.permutation(len(self._packs))]

    def draw(self, number: int, epoch: int) -> QueryPack:
        """Return a query with the documents that it is trained on in an epoch.

        Where there are too few hard negatives, random ones take their place, and the other way
        round. No positive of the query is among the negatives.
        """
        pack, rng = self._packs[number], np.random.default_rng([self._seed, epoch, number])
        wanted = self._settings.negatives
        positives = _some(pack.positives, self._settings.positives, rng)
        hard = _some(pack.negatives, len(pack.negatives), rng)
        n_hard = min(len(hard), round(wanted * self._settings.hard_share))
        strange = self._strange(pack, wanted - n_hard, rng)
        n_hard = min(len(hard), wanted - len(strange))
        negatives = (*hard[:n_hard], *strange)
        return replace(pack, positives=tuple(positives), negatives=negatives)

    def _strange(self, pack: QueryPack, wanted: int, rng: np.random.Generator) -> list[Document]:
        """Return documents of other queries, each once, none of this query's own."""
        own = {item.doc_id for item in (*pack.positives, *pack.negatives)}
        own_texts = {item.text for item in (*pack.positives, *pack.negatives)}
        found: dict[str, Document] = {}
        for at in rng.integers(len(self._pool), size=_TRIES * wanted + len(own) * (wanted > 0)):
            item = self._pool[int(at)]
            if len(found) < wanted and item.doc_id not in own and item.text not in own_texts:
                found[item.text] = item
        return list(found.values())


def _some(items: Sequence[Document], n: int, rng: np.random.Generator) -> list[Document]:
    """Return up to n items, in an order that is drawn."""
    return [items[int(at)] for at in rng.permutation(len(items))[:n]]


_BATCH = 1000
_EXACT = 2  # the grade of a variant that fits all a listing states
_DOMAIN = "gpu"


@dataclass(frozen=True, slots=True)
class PacksBuilt:
    """Packs by their side, and what gave none.

    :param kept_out: listings of models that are kept for tests.
    :param without_match: listings that sell no GPU of the registry, so that nothing fits them.
    :param on_both_sides: validation packs left out, whose text is that of a training pack.
    """

    train: list[QueryPack]
    valid: list[QueryPack]
    kept_out: int
    without_match: int
    on_both_sides: int


def build_packs(
    labelled: Sequence[LabelledListing], resolver: Resolver, *, negatives: int = 19, style: str
) -> PacksBuilt:
    """Build a pack for each listing that sells a GPU, on the side of its model's split.

    Positives are the true variant and each retrieved one that fits all the listing states;
    negatives the other candidates in the resolver's order, so that what it confuses comes first.
    Models of the split TEST are kept out. Texts that hide which of two models is sold, and so
    stand on both sides, are left out of validation.

    :param negatives: at most, of each listing.
    :param style: where the listings come from; noted in each pack's ``meta``.
    """
    sold = [item for item in labelled if item.model is not None]
    taught = [item for item in sold if split_of(item.model or "") is not Split.TEST]
    sides: dict[bool, list[QueryPack]] = {False: [], True: []}
    for start in range(0, len(taught), _BATCH):
        chunk = taught[start : start + _BATCH]
        for item, pack in zip(chunk, _packs(chunk, resolver, negatives, style), strict=True):
            sides[split_of(item.model or "") is Split.VALIDATION].append(pack)
    queries = {pack.query_text for pack in sides[False]}
    valid = [pack for pack in sides[True] if pack.query_text not in queries]
    return PacksBuilt(
        sides[False],
        valid,
        len(sold) - len(taught),
        len(labelled) - len(sold),
        len(sides[True]) - len(valid),
    )


def _packs(
    labelled: Sequence[LabelledListing], resolver: Resolver, negatives: int, style: str
) -> list[QueryPack]:
    table = resolver.table
    evidence = resolver.evidence([item.listing for item in labelled])
    batch, _, order = standing(evidence, table)
    grades = card_tools().grades(labelled, batch, table)
    by_id = {record.gpu_id: record for record in table.records}
    packs = []
    for at, item in enumerate(labelled):
        rows = order[batch.offsets[at] : batch.offsets[at + 1]]
        truth = by_id[item.gpu_id or ""]
        fitting = [truth, *(table.records[batch.record[r]] for r in rows if grades[r] == _EXACT)]
        positives = {r.gpu_id: Document(r.gpu_id, gpu_text(r)) for r in fitting}
        texts = {document.text for document in positives.values()}
        others = [table.records[batch.record[r]] for r in rows if grades[r] < _EXACT]
        wrong = [Document(record.gpu_id, gpu_text(record)) for record in others]
        kept = [d for d in wrong if d.doc_id not in positives and d.text not in texts]
        packs.append(
            QueryPack(
                query_text(item.listing),
                tuple(positives.values()),
                tuple(kept[:negatives]),
                source_chunk=item.listing.listing_id,
                meta={"domain": _DOMAIN, "prompt_style": style, "model": item.model},
            )
        )
    return packs
