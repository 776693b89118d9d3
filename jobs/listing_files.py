"""Read listings from parquet, CSV or JSONL files, in batches, every column kept.

Whatever the format, a batch is a pyarrow table of one fixed schema. Columns this project reads:
`listing_id` and `title` (required), `vendor`, `description`, `price`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from index.csv_rows import csv_rows
from index.errors import InputError
from index.records import Listing

BATCH_ROWS = 4096
REQUIRED_COLUMNS = ("listing_id", "title")
_TEXT_COLUMNS = ("title", "vendor", "description")
T = TypeVar("T")
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class ListingBatch:
    """Some rows of a file.

    :param faults: what was wrong with a row, by its number in the batch.
    """

    table: pa.Table
    faults: dict[int, str] = field(default_factory=dict)

    def listings(self) -> list[Listing]:
        """Return the rows as listings; what is not text counts as empty."""
        names = self.table.column_names
        columns = {name: self.table.column(name).to_pylist() for name in ("listing_id", "title")}
        blank: list[Any] = [""] * self.table.num_rows
        for name in ("vendor", "description", "price"):
            columns[name] = self.table.column(name).to_pylist() if name in names else blank
        return [
            Listing(str(listing_id), _text(title), _text(vendor), _text(more), _number(price))
            for listing_id, title, vendor, more, price in zip(
                *(columns[name] for name in ("listing_id", *_TEXT_COLUMNS, "price")), strict=True
            )
        ]


class ListingFile(Protocol):
    """A checked file of listings: how many, and the columns of every batch."""

    n_rows: int
    schema: pa.Schema

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        """Yield the listings in file order."""


def open_listings(path: Path) -> ListingFile:
    """Check a file of listings and return its reader.

    :raises InputError: if the file is not what its name says or lacks a column.
    """
    readers: dict[str, Callable[[Path], ListingFile]] = {
        ".parquet": _ParquetFile,
        ".csv": _CsvFile,
        ".jsonl": _JsonLinesFile,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path}: expected a file name ending in .parquet, .csv or .jsonl, found "
            f"{path.suffix or 'no ending'!r}; convert or rename the file"
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path}: expected listings, found a file of 0 bytes; write it again")
    return reader(path)


class _ParquetFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with pq.ParquetFile(path) as file:
                self.n_rows: int = file.metadata.num_rows
                self.schema: pa.Schema = file.schema_arrow.remove_metadata()
        except (pa.ArrowException, OSError) as exc:
            raise _unreadable(path, "parquet", exc) from exc
        _check_columns(path, self.schema.names)
        key = self.schema.field("listing_id").type
        if pa.types.is_temporal(key):
            raise InputError(
                f"{path}: expected text or numbers in column 'listing_id', found {key}; convert it"
            )
        kind = self.schema.field("title").type
        if not _is_text(kind):
            raise InputError(f"{path}: expected text in column 'title', found {kind}; convert it")

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        try:
            with pq.ParquetFile(self._path) as file:
                for batch in file.iter_batches(rows):
                    batch.validate(full=True)  # text that is no UTF-8, wherever it stands
                    yield ListingBatch(pa.Table.from_batches([batch]).replace_schema_metadata())
        except (pa.ArrowException, OSError) as exc:
            raise _unreadable(self._path, "parquet", exc) from exc


class _CsvFile:
    """A CSV file: all text, but for a price that is a number in every row."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.n_rows, price_is_number = 0, True
        rows = self._rows()
        header = next(rows, [])
        _check_columns(path, header)
        self._header = header
        price = header.index("price") if "price" in header else -1
        for row in rows:
            self.n_rows += 1
            if 0 <= price < len(row) and row[price] and _number(row[price]) is None:
                price_is_number = False
        self._price_is_number = price_is_number
        self.schema = pa.schema(
            [
                (name, pa.float64() if name == "price" and price_is_number else pa.string())
                for name in header
            ]
        )

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        source = self._rows()
        next(source)
        yield from map(self._batch, _chunks(source, rows))

    def _batch(self, rows: Sequence[Sequence[str]]) -> ListingBatch:
        width = len(self._header)
        faults = {
            at: f"bad row: {len(row)} fields, expected {width}"
            for at, row in enumerate(rows)
            if len(row) != width
        }
        columns = []
        for number, kind in enumerate(self.schema.types):
            values: list[Any] = [row[number] if number < len(row) else None for row in rows]
            if kind == pa.float64():
                values = [_number(value) for value in values]
            columns.append(pa.array(values, kind))
        return ListingBatch(pa.Table.from_arrays(columns, schema=self.schema), faults)

    def _rows(self) -> Iterator[list[str]]:
        try:
            with self._path.open(newline="", encoding="utf-8-sig") as file:
                for _, row in csv_rows(file):
                    yield row
        except UnicodeDecodeError as exc:
            raise InputError(
                f"{self._path}: expected UTF-8 text, found {exc.object[exc.start]:#04x} at byte "
                f"{exc.start} of a block; save the file as UTF-8"
            ) from exc
        except csv.Error as exc:
            raise _unreadable(self._path, "CSV", exc) from exc


class _JsonLinesFile:
    """A file of one JSON object a line; each column gets the type all its values share."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.n_rows = 0
        kinds: dict[str, pa.DataType | None] = {}
        for row in self._rows():
            self.n_rows += 1
            for name, value in row.items():
                kinds[name] = _common_type(kinds.get(name), value)
        if self.n_rows == 0:
            raise InputError(f"{path}: expected one JSON object a line, found only blank lines")
        _check_columns(path, list(kinds))
        kinds["title"] = pa.string()
        self.schema = pa.schema([(name, kind or pa.string()) for name, kind in kinds.items()])

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        yield from map(self._batch, _chunks(self._rows(), rows))

    def _batch(self, rows: Sequence[dict[str, Any]]) -> ListingBatch:
        faults = {
            at: f"bad row: title is {type(row['title']).__name__}, expected text"
            for at, row in enumerate(rows)
            if not isinstance(row.get("title", ""), str | None)
        }
        columns = [
            pa.array([_as_type(row.get(column.name), column.type) for row in rows], column.type)
            for column in self.schema
        ]
        return ListingBatch(pa.Table.from_arrays(columns, schema=self.schema), faults)

    def _rows(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                except (ValueError, RecursionError) as exc:
                    raise InputError(
                        f"{self._path}:{number}: expected a JSON object, found {line[:40]!r} "
                        f"({exc}); correct or remove the line"
                    ) from exc
                if not isinstance(row, dict):
                    raise InputError(
                        f"{self._path}:{number}: expected a JSON object, found "
                        f"{type(row).__name__}; correct or remove the line"
                    )
                yield {name.encode("utf-8", "replace").decode(): row[name] for name in row}


def _chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Cut an iterator into lists of ``size``, the last one shorter."""
    while chunk := list(islice(items, size)):
        yield chunk


def _check_columns(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    found = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") or "none"
    if missing:
        hint = "separate columns by commas" if path.suffix == ".csv" and len(names) == 1 else (
            "rename or add the columns"
        )  # fmt: skip
        raise InputError(
            f"{path}: expected columns {', '.join(REQUIRED_COLUMNS)} (optional: vendor, "
            f"description, price), missing {', '.join(missing)}, found {found}; {hint}"
        )
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise InputError(
            f"{path}: expected each column once, found twice {', '.join(twice)}; rename one"
        )


def _unreadable(path: Path, kind: str, exc: Exception) -> InputError:
    first_line = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
    return InputError(f"{path}: not readable as {kind} ({first_line}); write the file again")


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
        or pa.types.is_string_view(kind)
    )  # fmt: skip


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


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    try:
        return None if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return None
