"""Run a query that a person wrote, and print its rows."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from index.errors import InputError, StoreError
from jobs.storing.files import csv_text
from jobs.storing.plain_values import plain
from jobs.tables import WIDTH, cut, table, width_of
from rerank.store.database import Store
from rerank.store.tables import TABLES

TABLE_LIMIT = 50
_STEP = "query"
_GAP = 2
_NO_TABLE = re.compile(r"Table with name .* does not exist")
_NARROWEST = 12  # columns cut to less say nothing: the rows are laid out one below the other


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows of a query.

    :param rows: the first ones, up to a limit.
    :param n_rows: how many there were.
    """

    rows: pa.Table
    n_rows: int


def run_query(store: Store, sql: str, *, limit: int | None) -> QueryResult:
    """Run a query that can read the store and nothing else.

    The rows are collected before anything is printed: a person who reads them page by page would
    otherwise keep writers waiting.

    :param limit: how many rows to keep; None keeps all.
    :raises InputError: if the query is wrong, or is not a query.
    :raises StoreError: if the store cannot be read.
    """
    with store.reading(sealed=True) as session:
        kept: list[pa.RecordBatch] = []
        n_rows, schema = 0, None
        try:
            for batch in session.batches(_STEP, sql):
                schema = batch.schema
                room = batch.num_rows if limit is None else max(0, limit - n_rows)
                if batch.num_rows and room:
                    kept.append(batch.slice(0, room))
                n_rows += batch.num_rows
        except StoreError as exc:
            if not str(exc).startswith(f"{_STEP}: "):
                raise  # of the store, such as a full disk
            raise InputError(f"{_STEP}: {_first_words(exc)}") from exc
    return QueryResult(pa.Table.from_batches(kept, schema), n_rows)


def result_lines(rows: pa.Table, output_format: str) -> Iterator[str]:
    """Yield the lines of a result as ``table``, ``json``, ``jsonl`` or ``csv``."""
    layouts: dict[str, Callable[[pa.Table], Iterator[str]]] = {
        "table": _table_lines,
        "json": _json_lines,
        "jsonl": _jsonl_lines,
        "csv": _csv_lines,
    }
    return layouts[output_format](rows)


def _first_words(exc: StoreError) -> str:
    """Return what DuckDB says of a query, without the picture of where it stands in it.

    Of tables it suggests its own as well, which have nothing to do with the store.
    """
    said = str(exc.__cause__ or exc).removeprefix(f"{_STEP}: ").split("\nLINE ")[0]
    said, asks, suggested = " ".join(said.split()).partition(" Did you mean ")
    if not _NO_TABLE.search(said):
        return f"{said}{asks}{suggested}"
    ours = any(f'"{table.name}"' in suggested for table in TABLES)
    return f"{said}{asks + suggested if ours else ''} `rerank store tables` lists what there is"


def _rows(rows: pa.Table) -> Iterator[list[Any]]:
    for batch in rows.to_batches():
        columns = [column.to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            yield list(values)


def _jsonl_lines(rows: pa.Table) -> Iterator[str]:
    names = _different(rows.column_names)
    for values in _rows(rows):
        row = {name: plain(value) for name, value in zip(names, values, strict=True)}
        yield json.dumps(row, ensure_ascii=False)


def _json_lines(rows: pa.Table) -> Iterator[str]:
    yield "[" + ",\n ".join(_jsonl_lines(rows)) + "]"


def _csv_lines(rows: pa.Table) -> Iterator[str]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    for values in (_different(rows.column_names), *_rows(rows)):
        writer.writerow([csv_text(value) for value in values])
        yield buffer.getvalue().removesuffix("\n")
        buffer.seek(0)
        buffer.truncate()


def _table_lines(rows: pa.Table) -> Iterator[str]:
    names = _different(rows.column_names)
    cells = [[_cell(value) for value in row] for row in _rows(rows)]
    left = [at for at, kind in enumerate(rows.schema.types) if not _is_number(kind)]
    widths = _fitted(
        [max(width_of(cell) for cell in column) for column in zip(names, *cells, strict=True)]
    )
    if widths is None:
        yield from _records(names, cells)
        return
    fitted = [[cut(cell, width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    header = [cut(name, width) for name, width in zip(names, widths, strict=True)]
    yield table(header, fitted, left=left)


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Decimal):
        value = plain(value)
    text = f"{value:.6g}" if isinstance(value, float) else csv_text(value)
    return cut(text, WIDTH)


def _fitted(widths: Sequence[int]) -> list[int] | None:
    """Narrow the widest columns until a row fits; None if that takes too much."""
    fitted = list(widths)
    room = WIDTH - _GAP * (len(fitted) - 1)
    while sum(fitted) > room:
        widest = max(range(len(fitted)), key=lambda at: fitted[at])
        if fitted[widest] <= _NARROWEST:
            return None
        fitted[widest] -= 1
    return fitted


def _records(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lay out each row as lines of a name and its value."""
    wide = min(max(map(width_of, names)), WIDTH // 2)
    for number, row in enumerate(rows, 1):
        yield f"row {number}"
        for name, cell in zip(names, row, strict=True):
            shown = cut(name, wide)
            space = " " * (wide - width_of(shown) + _GAP)
            yield f"  {shown}{space}{cut(cell, WIDTH - wide - 2 * _GAP)}".rstrip()


def _different(names: Sequence[str]) -> list[str]:
    """Return names of which none is another: the second ``n`` becomes ``n_2``."""
    taken: list[str] = []
    for name in names:
        free, number = name, 1
        while free in taken:
            number += 1
            free = f"{name}_{number}"
        taken.append(free)
    return taken
