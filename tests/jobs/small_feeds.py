"""A folder of three small feeds, one of them in a folder of its own, one with a title missing."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

FEEDS = {"a": ["RTX 3080 10GB", ""], "b/c": ["RX6700XT 12G"], "d": ["Tesla P40", "RTX 3080 box"]}


def write_feed(path, titles, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{path.stem}-{n}" for n in range(len(titles))]
    pq.write_table(pa.table({"listing_id": ids, "title": titles, **more}), path)


def write_feeds(folder):
    for name, titles in FEEDS.items():
        write_feed(folder / f"{name}.parquet", titles)
    return folder


def contents(folder):
    """Return the bytes of all files by name, those that begin with a point included."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
