"""Rows that nothing could be resolved from, with the reason, in a file of their own."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.listing_files import ListingBatch
from jobs.listing_files.batch import taken
from jobs.places import Place
from jobs.scoring.drafts import Draft
from jobs.scoring.row_values import json_values

REJECTS_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("listing_id", pa.string()),
        ("reason", pa.string()),
        ("content", pa.string()),
    ]
)
"""``row`` counts the file's listings from 1; ``content`` is the row as it was read, as JSON."""
MARK_KEY = "rerank.rejects"
"""The key of what tells a rejects file of ours among the parquet file's key-value metadata."""
_MARK = "1"  # the format
_NO_TITLE = "no title"


class RejectsFile:
    """The rejects of one file of listings; there is no file until there is a reject."""

    def __init__(self, target: Place) -> None:
        self._target = target
        self._draft: Draft | None = None
        self._writer: pq.ParquetWriter | None = None
        self._first_row = 1
        self.n_rows = 0

    def add(self, batch: ListingBatch, reasons: list[str]) -> None:
        """Take the rejects of the next batch.

        :param reasons: of every row's answer.
        """
        rows = [
            at for at, reason in enumerate(reasons) if at in batch.bad_rows or reason == _NO_TITLE
        ]
        if rows:
            self._write(batch, rows, reasons)
        self._first_row += len(reasons)

    def finish(self) -> None:
        """Put all rows on disk; nothing appears yet."""
        if self._draft is not None and self._writer is not None:
            self._writer.add_key_value_metadata({MARK_KEY: _MARK})
            self._writer.close()
            self._draft.finish()

    def publish(self) -> None:
        """Let the file appear, or let one of an earlier run disappear if there are no rejects.

        What somebody else keeps under that name stays if there is nothing to write.
        """
        if self._draft is not None:
            self._draft.publish()
        elif is_rejects_file(self._target):
            self._target.filesystem.delete_file(self._target.path)

    def discard(self) -> None:
        """Remove what was not published."""
        if self._draft is not None and self._writer is not None:
            with suppress(OSError, pa.ArrowException):
                self._writer.close()  # before what it writes to is closed
            self._draft.discard()

    def _write(self, batch: ListingBatch, rows: list[int], reasons: list[str]) -> None:
        if self._writer is None:
            self._draft = Draft(self._target)
            self._writer = pq.ParquetWriter(self._draft.sink, REJECTS_SCHEMA)
        listing_ids = batch.table.column(batch.columns.listing_id).to_pylist()
        columns = [
            [self._first_row + at for at in rows],
            [None if listing_ids[at] is None else str(listing_ids[at]) for at in rows],
            [reasons[at] for at in rows],
            _contents(batch, rows),
        ]
        self._writer.write_table(
            pa.table([pa.array(values) for values in columns], schema=REJECTS_SCHEMA)
        )
        self.n_rows += len(rows)


def is_rejects_file(place: Place) -> bool:
    """Return whether a file is there that `rerank score` wrote rejects to.

    Those of releases that left no mark are known by their columns.
    """
    if not place.exists():
        return False
    try:
        with place.filesystem.open_input_file(place.path) as stream:
            file = pq.ParquetFile(stream)
            marks = file.metadata.metadata or {}
            columns = file.schema_arrow.remove_metadata()
    except (pa.ArrowException, OSError):
        return False
    return MARK_KEY.encode() in marks or bool(columns.equals(REJECTS_SCHEMA))


def _contents(batch: ListingBatch, rows: list[int]) -> list[str]:
    """Return rows as JSON, as they were read."""
    table = taken(batch.table, rows)
    columns = [json_values(column) for column in table.columns]
    read = (
        dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)
    )
    return [
        _json(batch.bad_rows[at].row if at in batch.bad_rows else row)
        for at, row in zip(rows, read, strict=True)
    ]


def _json(row: Any) -> str:
    """Return a row as JSON; what JSON does not know is text."""
    text = json.dumps(row, ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair
