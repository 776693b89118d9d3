"""Listings from CSV: all text, but for a price that is a number in every row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from index.csv_rows import csv_rows
from index.errors import InputError
from jobs.listing_files.batch import BATCH_ROWS, Fault, ListingBatch, number, unreadable
from jobs.listing_files.chunks import chunks
from jobs.listing_files.column_names import ColumnNames
from jobs.places import Place


class CsvListings:
    """A CSV file of listings in UTF-8, with a header.

    :raises InputError: if it cannot be read or lacks a column.
    """

    def __init__(self, place: Place, columns: ColumnNames) -> None:
        self._place = place
        self._columns = columns
        self.n_rows, price_is_number = 0, True
        rows = self._rows()
        header = next(rows, [])
        columns.check(place, header)
        self._width = len(header)
        price = header.index(columns.price) if columns.price in header else -1
        for row in rows:
            self.n_rows += 1
            if 0 <= price < len(row) and row[price] and number(row[price]) is None:
                price_is_number = False
        kinds = {columns.price: pa.float64()} if price_is_number else {}
        self.schema = pa.schema([(name, kinds.get(name, pa.string())) for name in header])

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        source = self._rows()
        next(source)
        yield from map(self._batch, chunks(source, rows))

    def _batch(self, rows: Sequence[Sequence[str]]) -> ListingBatch:
        bad_rows = {
            at: Fault(f"bad row: {len(row)} fields, expected {self._width}", row)
            for at, row in enumerate(rows)
            if len(row) != self._width
        }
        columns = []
        for at, kind in enumerate(self.schema.types):
            values: list[Any] = [row[at] if at < len(row) else None for row in rows]
            if kind == pa.float64():
                values = [number(value) for value in values]
            columns.append(pa.array(values, kind))
        table = pa.Table.from_arrays(columns, schema=self.schema)
        return ListingBatch(table, self._columns, bad_rows)

    def _rows(self) -> Iterator[list[str]]:
        place = self._place
        try:
            with (
                place.filesystem.open_input_stream(place.path, compression=None) as stream,
                io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as lines,
            ):
                for _, row in csv_rows(lines):
                    yield row
        except UnicodeDecodeError as exc:
            raise InputError(
                f"{place}: expected UTF-8 text, found {exc.object[exc.start]:#04x} at byte "
                f"{exc.start} of a block; save the file as UTF-8"
            ) from exc
        except csv.Error as exc:
            raise unreadable(place, "CSV", exc) from exc
