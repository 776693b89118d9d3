"""Listings from CSV: all text, but for a price that is a number in every row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from index.csv_rows import csv_rows
from index.errors import InputError
from jobs.listing_files.batch import BATCH_ROWS, Fault, ListingBatch, number, unreadable
from jobs.listing_files.chunks import chunks
from jobs.listing_files.column_names import ColumnNames
from jobs.places import Place


class _Row(NamedTuple):
    """A row; ``fault`` is None, or what is no UTF-8 in it."""

    cells: list[str]
    fault: str | None


class CsvListings:
    """A CSV file of listings in UTF-8, with a header; a row that is no UTF-8 is a bad row.

    :raises InputError: if it cannot be read, no row of it is UTF-8, or it lacks a column.
    """

    def __init__(self, place: Place, columns: ColumnNames) -> None:
        self._place = place
        self._columns = columns
        self.n_rows, price_is_number = 0, True
        rows = self._rows()
        header, fault = next(rows, _Row([], None))
        self._check_text(fault)
        columns.check(place, header)
        self._width = len(header)
        price = header.index(columns.price) if columns.price in header else -1
        n_bad, first_fault = 0, None
        for row, fault in rows:
            self.n_rows += 1
            if fault is not None:
                n_bad, first_fault = n_bad + 1, first_fault or fault
                continue
            if 0 <= price < len(row) and row[price] and number(row[price]) is None:
                price_is_number = False
        self._check_text(first_fault if n_bad == self.n_rows else None)
        kinds = {columns.price: pa.float64()} if price_is_number else {}
        self.schema = pa.schema([(name, kinds.get(name, pa.string())) for name in header])

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        source = self._rows()
        next(source)
        yield from map(self._batch, chunks(source, rows))

    def _check_text(self, fault: str | None) -> None:
        if fault is not None:
            raise InputError(f"{self._place}: {fault}; save the file as UTF-8")

    def _batch(self, read: Sequence[_Row]) -> ListingBatch:
        rows = [row.cells for row in read]
        bad_rows = {
            at: Fault(f"bad row: {fault or f'{len(row)} fields, expected {self._width}'}", row)
            for at, (row, fault) in enumerate(read)
            if fault is not None or len(row) != self._width
        }
        columns = []
        for at, kind in enumerate(self.schema.types):
            values: list[Any] = [row[at] if at < len(row) else None for row in rows]
            if kind == pa.float64():
                values = [number(value) for value in values]
            columns.append(pa.array(values, kind))
        table = pa.Table.from_arrays(columns, schema=self.schema)
        return ListingBatch(table, self._columns, bad_rows)

    def _rows(self) -> Iterator[_Row]:
        place = self._place
        try:
            with (
                place.filesystem.open_input_stream(place.path, compression=None) as stream,
                # a byte that is no UTF-8 becomes half a surrogate pair, which UTF-8 cannot hold
                io.TextIOWrapper(
                    stream, encoding="utf-8-sig", errors="surrogateescape", newline=""
                ) as lines,
            ):
                for line, row in csv_rows(lines):
                    yield _Row(row, None) if _is_text(row) else _without_bytes(row, line)
        except csv.Error as exc:
            raise unreadable(place, "CSV", exc) from exc


def _is_text(row: Sequence[str]) -> bool:
    text = "".join(row)
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_bytes(row: Sequence[str], line: int) -> _Row:
    """Return a row that is no UTF-8 with replacement characters, and what is wrong with it.

    :param line: that it ends on, from 1.
    """
    raw = [cell.encode("utf-8", "surrogateescape") for cell in row]
    try:
        b",".join(raw).decode()
        found = ""
    except UnicodeDecodeError as exc:
        found = f", found {exc.object[exc.start]:#04x}"
    cells = [cell.decode("utf-8", "replace") for cell in raw]
    return _Row(cells, f"line {line}: expected UTF-8 text{found}")
