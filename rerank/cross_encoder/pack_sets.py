"""Packs to train on and packs to validate on: a query is on one side only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from index.errors import InputError
from rerank.cross_encoder.query_packs import Document, QueryPack

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
    ranks = [_rank(pack.query_text, seed) for pack in merged]
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


def _rank(query: str, seed: int) -> str:
    key = " ".join(query.lower().split())
    return hashlib.sha256(f"{seed}\0{key}".encode()).hexdigest()
