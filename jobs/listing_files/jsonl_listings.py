"""Listings from one JSON object a line; each column gets the type all its values share.

That of a column without any value is null.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from index.errors import InputError
from jobs.listing_files.batch import BATCH_ROWS, Fault, ListingBatch
from jobs.listing_files.chunks import chunks
from jobs.listing_files.column_names import ColumnNames
from jobs.places import Place

_INT64 = range(-(2**63), 2**63)
_SHOWN = 40  # characters of a line
_KINDS = {
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


class JsonLinesListings:
    """A JSON lines file of listings; a line that is no JSON object is a bad row.

    :raises InputError: if no line is a JSON object, or a column is missing.
    """

    def __init__(self, place: Place, columns: ColumnNames) -> None:
        self._place = place
        self._columns = columns
        self.n_rows = 0
        kinds: dict[str, pa.DataType | None] = {}
        first_fault: _BadLine | None = None
        n_bad = 0
        for row in self._rows():
            self.n_rows += 1
            if isinstance(row, _BadLine):
                first_fault, n_bad = first_fault or row, n_bad + 1
                continue
            for name, value in row.items():
                kinds[name] = _common_type(kinds.get(name), value)
        if self.n_rows == 0:
            raise InputError(f"{place}: expected one JSON object a line, found only blank lines")
        if first_fault is not None and n_bad == self.n_rows:
            raise InputError(
                f"{place}:{first_fault.number}: expected a JSON object a line, found "
                f"{first_fault.found}; write the file again"
            )
        columns.check(place, list(kinds))
        kinds[columns.title] = pa.string()
        self.schema = pa.schema([(name, kind or pa.null()) for name, kind in kinds.items()])

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        yield from map(self._batch, chunks(self._rows(), rows))

    def _batch(self, lines: Sequence[dict[str, Any] | _BadLine]) -> ListingBatch:
        faults = ((at, self._fault(line)) for at, line in enumerate(lines))
        bad_rows = {at: fault for at, fault in faults if fault is not None}
        rows = [{} if isinstance(line, _BadLine) else line for line in lines]
        columns = [
            pa.array([_as_type(row.get(column.name), column.type) for row in rows], column.type)
            for column in self.schema
        ]
        table = pa.Table.from_arrays(columns, schema=self.schema)
        return ListingBatch(table, self._columns, bad_rows)

    def _fault(self, line: dict[str, Any] | _BadLine) -> Fault | None:
        if isinstance(line, _BadLine):
            found = f"line {line.number}: expected a JSON object, found {line.found}"
            return Fault(f"bad row: {found}", line.text)
        title = line.get(self._columns.title)
        if isinstance(title, str | None):
            return None
        found = _KINDS.get(type(title), "an object")
        return Fault(f"bad row: {self._columns.title} is {found}, expected text", line)

    def _rows(self) -> Iterator[dict[str, Any] | _BadLine]:
        place = self._place
        with (
            place.filesystem.open_input_stream(place.path, compression=None) as stream,
            io.BufferedReader(stream) as lines,
        ):
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _object(number, line)


class _BadLine(NamedTuple):
    """A line that is no JSON object.

    :param number: of the line, from 1.
    :param found: what it is, in words.
    :param text: the line, with replacement characters where it is no UTF-8.
    """

    number: int
    found: str
    text: str


def _object(number: int, line: bytes) -> dict[str, Any] | _BadLine:
    try:
        row = json.loads(line.strip().decode("utf-8-sig" if number == 1 else "utf-8"))
        found = "" if isinstance(row, dict) else _KINDS[type(row)]
    except UnicodeDecodeError as exc:
        found = f"text that is no UTF-8 ({exc.object[exc.start]:#04x} at byte {exc.start + 1})"
    except json.JSONDecodeError as exc:
        found = f"what is no JSON (character {exc.pos + 1}: {exc.msg.removesuffix(' at')})"
    except (ValueError, RecursionError):
        found = "a number too long, or lists too deep, to be read"
    if found:
        text = line.decode("utf-8", "replace").strip()
        return _BadLine(number, f"{found}: {text[:_SHOWN]}", text)
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
