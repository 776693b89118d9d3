"""The sets of gold listings that commands measure on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from index.errors import InputError
from index.records import GpuRecord
from index.shipped import shipped
from rerank.evaluation.gold import GoldListing, bootstrap_gold, read_gold

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
