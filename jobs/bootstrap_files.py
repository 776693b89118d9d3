"""Write generated listings with their labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from index.artifacts import writing_file
from index.errors import InputError
from rerank.bootstrap import LabelledListing

SCHEMA = pa.schema(
    [
        ("listing_id", pa.string()),
        ("title", pa.string()),
        ("vendor", pa.string()),
        ("description", pa.string()),
        ("kind", pa.string()),
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("memory_stated", pa.bool_()),
        ("form_stated", pa.bool_()),
        ("mentions", pa.string()),
        ("template", pa.string()),
    ]
)
SUFFIXES = (".parquet", ".csv", ".jsonl")


def check_suffix(path: Path) -> None:
    """Check that a file name says how to write it.

    :raises InputError: if it does not end in one of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path}: expected a name ending in {', '.join(SUFFIXES)}, found "
            f"{path.suffix or 'no ending'!r}"
        )


def write_labelled(listings: Sequence[LabelledListing], path: Path) -> None:
    """Write listings and labels as parquet, CSV or JSONL, by the file's suffix."""
    check_suffix(path)
    rows = [_row(item) for item in listings]
    with writing_file(path) as draft:
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), draft)
        elif path.suffix == ".csv":
            with draft.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, SCHEMA.names)
                writer.writeheader()
                writer.writerows(rows)
        else:
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            draft.write_text("".join(lines), encoding="utf-8")


def _row(item: LabelledListing) -> dict[str, Any]:
    values = {**asdict(item.listing), **asdict(item)}
    return {name: values[name] for name in SCHEMA.names}
