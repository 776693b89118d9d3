"""Feeds to score: generated listings, distinct or repeating, in parquet.

Listings come from `rerank.bootstrap.generate` in chunks; chunk i has the seed ``seed + i``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from index.records import GpuRecord, Listing
from rerank.bootstrap import generate

_CHUNK = 10_000
_VARIED = 20_000  # generated titles that an endless feed varies
SCHEMA = pa.schema(
    [
        ("listing_id", pa.string()),
        ("title", pa.string()),
        ("vendor", pa.string()),
        ("description", pa.string()),
        ("price", pa.float64()),
    ]
)


def registry_of(home: Path) -> list[GpuRecord]:
    """Return the registry of the index that a workspace serves."""
    from index.gpu_index import index_records
    from jobs.workspace import Workspace

    return index_records(Workspace(home).active_index())


def distinct_listings(records: Sequence[GpuRecord], *, seed: int) -> Iterator[Listing]:
    """Yield listings without end, no title twice; the same for the same registry and seed."""
    seen: set[str] = set()
    while True:
        for item in generate(records, _CHUNK, seed=seed):
            if item.listing.title not in seen:
                seen.add(item.listing.title)
                yield replace(item.listing, listing_id=f"b{len(seen):08d}")
        seed += 1


def first_listings(home: Path, n: int, *, seed: int) -> list[Listing]:
    """Return the first n distinct listings generated from a workspace's registry."""
    return list(islice(distinct_listings(registry_of(home), seed=seed), n))


def write_distinct(home: Path, path: Path, n: int, *, seed: int) -> None:
    """Write a feed in which no title stands twice."""
    _write(path, islice(distinct_listings(registry_of(home), seed=seed), n))


def write_repeating(home: Path, path: Path, n: int, *, seed: int, share: float) -> None:
    """Write a feed in which a share of the rows repeats the whole text of another row.

    What is repeated is drawn with Zipf's weights, 1 / rank; the rows are shuffled.

    :param share: of the rows, 0 to below 1.
    """
    n_distinct = n - int(n * share)
    distinct = first_listings(home, n_distinct, seed=seed)
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, n_distinct + 1)
    drawn = rng.choice(n_distinct, n - n_distinct, p=weights / weights.sum())
    rows = rng.permutation(np.concatenate([np.arange(n_distinct), drawn])).tolist()
    _write(path, (replace(distinct[row], listing_id=f"r{at:08d}") for at, row in enumerate(rows)))


def write_endless(home: Path, path: Path, n: int, *, seed: int) -> None:
    """Write a feed of any length with distinct titles: generated ones, a lot number behind each.

    The number is a word that no other title has, so that whatever remembers words is strained.
    """
    varied = first_listings(home, min(n, _VARIED), seed=seed)

    def rows() -> Iterator[Listing]:
        for at in range(n):
            each = varied[at % len(varied)]
            yield replace(each, listing_id=f"e{at:08d}", title=f"{each.title} lot{at:08d}")

    _write(path, rows())


def _write(path: Path, listings: Iterator[Listing]) -> None:
    with pq.ParquetWriter(path, SCHEMA) as writer:
        while chunk := list(islice(listings, _CHUNK)):
            columns = [
                pa.array([getattr(each, name) for each in chunk], SCHEMA.field(name).type)
                for name in SCHEMA.names
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
