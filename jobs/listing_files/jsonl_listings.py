"""Listings from one JSON object a line; each column gets the type all its values share."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from index.errors import InputError
from jobs.listing_files.batch import BATCH_ROWS, Fault, ListingBatch
from jobs.listing_files.chunks import chunks
from jobs.listing_files.column_names import ColumnNames
from jobs.places import Place

_INT64 = range(-(2**63), 2**63)


class JsonLinesListings:
    """A JSON lines file of listings.

    :raises InputError: if a line is no JSON object, or a column is missing.
    """

    def __init__(self, place: Place, columns: ColumnNames) -> None:
        self._place = place
        self._columns = columns
        self.n_rows = 0
        kinds: dict[str, pa.DataType | None] = {}
        for row in self._rows():
            self.n_rows += 1
            for name, value in row.items():
                kinds[name] = _common_type(kinds.get(name), value)
        if self.n_rows == 0:
            raise InputError(f"{place}: expected one JSON object a line, found only blank lines")
        columns.check(place, list(kinds))
        kinds[columns.title] = pa.string()
        self.schema = pa.schema([(name, kind or pa.string()) for name, kind in kinds.items()])

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        yield from map(self._batch, chunks(self._rows(), rows))

    def _batch(self, rows: Sequence[dict[str, Any]]) -> ListingBatch:
        title = self._columns.title
        bad_rows = {
            at: Fault(f"bad row: {title} is {type(row[title]).__name__}, expected text", row)
            for at, row in enumerate(rows)
            if not isinstance(row.get(title, ""), str | None)
        }
        columns = [
            pa.array([_as_type(row.get(column.name), column.type) for row in rows], column.type)
            for column in self.schema
        ]
        table = pa.Table.from_arrays(columns, schema=self.schema)
        return ListingBatch(table, self._columns, bad_rows)

    def _rows(self) -> Iterator[dict[str, Any]]:
        place = self._place
        with (
            place.filesystem.open_input_stream(place.path, compression=None) as stream,
            io.BufferedReader(stream) as lines,
        ):
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _object(f"{place}:{number}", line, first=number == 1)


def _object(where: str, line: bytes, *, first: bool) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8-sig" if first else "utf-8"))
    except (ValueError, RecursionError) as exc:
        raise InputError(
            f"{where}: expected a JSON object, found {line[:40]!r} ({exc}); correct or remove "
            "the line"
        ) from exc
    if not isinstance(row, dict):
        raise InputError(
            f"{where}: expected a JSON object, found {type(row).__name__}; correct or remove the "
            "line"
        )
    return {name.encode("utf-8", "replace").decode(): row[name] for name in row}


def _common_type(known: pa.DataType | None, value: Any) -> pa.DataType | None:
    """Return the type that holds a column's values so far and one more; text holds all."""
    if value is None:
        return known
    if isinstance(value, bool):
        own = pa.bool_()
    elif isinstance(value, int) and value in _INT64:
        own = pa.int64()
    else:
        own = pa.float64() if isinstance(value, float) else pa.string()
    if known is None or known == own:
        return own
    return pa.float64() if {known, own} == {pa.int64(), pa.float64()} else pa.string()


def _as_type(value: Any, kind: pa.DataType) -> Any:
    """Return a JSON value as the type of its column; what is not text becomes JSON text."""
    if value is None or kind != pa.string():
        return float(value) if value is not None and kind == pa.float64() else value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair
