"""The sets of gold listings that commands measure on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from index.errors import InputError
from index.records import GpuRecord
from index.shipped import shipped
from rerank.annotation.annotated_gold import gold_of_annotations, is_kept_out
from rerank.annotation.consensus import consensus
from rerank.evaluation.gold import GoldListing, bootstrap_gold, read_gold
from rerank.store import Store
from rerank.store.annotations import read_annotations
from rerank.store.listings import read_listings

if TYPE_CHECKING:
    from index.retriever import Retriever

ANNOTATED = "annotations"
TAUGHT = "annotations_taught"
BOOTSTRAP_SEED = 20  # of no training split

GoldSets = dict[str, list[GoldListing]]


def read_gold_files(paths: Sequence[Path]) -> GoldSets:
    """Read gold files, each a set named after its file.

    :raises InputError: if two files share a name or one cannot be read.
    :raises FaultsError: if rows are faulty.
    """
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        found = ", ".join(path.name for path in paths)
        raise InputError(f"gold files: expected different names, found {found}; rename one")
    return {path.stem: read_gold(path) for path in paths}


def shipped_sets(records: Sequence[GpuRecord], bootstrap: int) -> GoldSets:
    """Return the shipped hard set, and generated listings of models nothing was trained on.

    :param bootstrap: how many to generate; 0 leaves that set out.
    """
    sets = {"hard_set": read_gold(shipped("hard_set.csv"))}
    if bootstrap:
        sets["bootstrap_test"] = bootstrap_gold(records, bootstrap, BOOTSTRAP_SEED)
    return sets


def annotated_gold(retriever: Retriever, store: Store) -> list[GoldListing]:
    """Return the store's annotated listings as gold; none if there is no store.

    :raises StoreError: if the store cannot be read.
    """
    with store.reading() as session:
        settled = consensus(read_annotations(session))
        listings = read_listings(session, [answer.listing_id for answer in settled])
    by_id = {item.listing.listing_id: item for item in listings}
    return gold_of_annotations(settled, by_id, retriever)


def annotated_sets(retriever: Retriever, store: Store, *, trained_on_annotations: bool) -> GoldSets:
    """Return the store's annotated listings; those that may have taught a model stand apart.

    :param trained_on_annotations: whether the model that is measured learnt from any.
    :returns: nothing if nothing is annotated.
    """
    gold = annotated_gold(retriever, store)
    if not trained_on_annotations:
        return {ANNOTATED: gold} if gold else {}
    kept_out = [item for item in gold if is_kept_out(item)]
    taught = [item for item in gold if not is_kept_out(item)]
    return {name: found for name, found in ((ANNOTATED, kept_out), (TAUGHT, taught)) if found}
