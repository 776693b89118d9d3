"""Files that go into the store and come out of it: CSV, JSON lines and parquet, by their ending.

In CSV and JSON lines everything becomes text here; what the text must be is checked for all formats
at once by `rerank.store.incoming`.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from index.artifacts import writing_file
from index.csv_rows import csv_rows
from index.errors import InputError
from index.file_faults import not_utf8_text
from jobs.storing.json_rows import JsonRows
from jobs.storing.plain_values import plain
from rerank.store.incoming import PLACE, Incoming, Kind

_CHUNK_ROWS = 65_536
Cells = Sequence[str | None]


def read_incoming(path: Path, columns: Mapping[str, Kind]) -> Incoming:
    """Read a file for the store.

    :param columns: those that mean something; others are named in the result, and not read.
    Rows that cannot be read as the others are come with it as faults, so that they can be reported
    with all others.

    :raises InputError: if the file is not what its name says.
    """
    reader: Callable[..., Incoming] = _by_ending(
        path, {".csv": _read_csv, ".jsonl": _read_json_lines, ".parquet": _read_parquet}
    )
    if path.is_dir():
        raise InputError(f"{path}: expected a file, found a folder")
    if path.stat().st_size == 0:
        if reader is _read_json_lines:  # what an export without rows looks like
            return Incoming(str(path), _table(list(columns), iter(())), "line")
        raise InputError(f"{path}: expected rows, found a file of 0 bytes; write it again")
    return reader(path, columns)


def write_table(table: pa.Table, path: Path, *, overwrite: bool) -> None:
    """Write a table beside ``path`` and rename it into place.

    Lists are JSON in CSV; times are UTC and say so.

    :raises InputError: if the ending is of no format, or ``path`` is there and not to be replaced.
    """
    writer = _by_ending(
        path, {".csv": _write_csv, ".jsonl": _write_json_lines, ".parquet": pq.write_table}
    )
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file, found a folder")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already; choose another name or say --overwrite")
    with writing_file(path) as draft:
        writer(table, draft)


def csv_text(value: Any) -> str:
    """Return a value as a cell of CSV: null is empty, lists and structs are JSON.

    A number that is none is ``nan``, ``inf`` or ``-inf``, as DuckDB reads it back.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    value = plain(value)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _by_ending(path: Path, choices: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    choice = choices.get(path.suffix.lower())
    if choice is None:
        raise InputError(
            f"{path}: expected a file name ending in {', '.join(choices)}, found "
            f"{path.suffix or 'no ending'!r}; convert or rename the file"
        )
    return choice


def _read_parquet(path: Path, columns: Mapping[str, Kind]) -> Incoming:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_names(path, names)
            known = [name for name in names if name in columns]
            # file order: a folder of row groups is read as one, so the row number says where
            table = file.read(columns=known).select(known).replace_schema_metadata()
        table.validate(full=True)  # text that is no UTF-8, wherever it stands
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise _unreadable(path, "parquet", exc) from exc
    numbers = pa.array(range(1, table.num_rows + 1), pa.int64())
    unread = tuple(name for name in names if name not in columns)
    return Incoming(str(path), table.append_column(PLACE, numbers), "row", unread)


def _read_csv(path: Path, columns: Mapping[str, Kind]) -> Incoming:
    faults: list[tuple[int, str]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv_rows(file)
            _, header = next(rows, (0, []))
            _check_names(path, header)
            known = [name for name in header if name in columns]
            at = [header.index(name) for name in known]

            def cells() -> Iterator[tuple[int, Cells]]:
                for line, row in rows:
                    if len(row) != len(header):
                        faults.append((line, f"{len(row)} fields, expected {len(header)}"))
                    else:
                        yield line, [row[number] for number in at]

            table = _table(known, cells())
    except UnicodeDecodeError as exc:
        raise InputError(not_utf8_text(path)) from exc
    except csv.Error as exc:
        raise _unreadable(path, "CSV", exc) from exc
    unread = tuple(name for name in header if name not in columns)
    return Incoming(str(path), table, "line", unread, tuple(faults))


def _read_json_lines(path: Path, columns: Mapping[str, Kind]) -> Incoming:
    rows = JsonRows(path, columns)
    table = _table(list(columns), iter(rows))
    absent = [name for name in columns if name not in rows.names]
    unread = (n.encode("utf-8", "replace").decode() for n in rows.names if n not in columns)
    return Incoming(
        str(path),
        table.drop_columns(absent),
        "line",
        tuple(unread),
        tuple(rows.faults),
        tuple(rows.null_cells),
    )


def _table(names: Sequence[str], rows: Iterator[tuple[int, Cells]]) -> pa.Table:
    """Collect rows in Arrow chunk by chunk: a million rows of Python text would not fit."""
    schema = pa.schema([(PLACE, pa.int64()), *((name, pa.string()) for name in names)])
    batches = []
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        places, cells = zip(*chunk, strict=True)
        columns = [pa.array(column, pa.string()) for column in zip(*cells, strict=True)]
        batches.append(
            pa.RecordBatch.from_arrays([pa.array(places, pa.int64()), *columns], schema=schema)
        )
    return pa.Table.from_batches(batches, schema)


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{path}: expected each column once, found twice {', '.join(map(repr, twice))}; "
            "rename one"
        )


def _unreadable(path: Path, kind: str, exc: Exception) -> InputError:
    first_line = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
    return InputError(f"{path}: not readable as {kind} ({first_line}); write the file again")


def _write_csv(table: pa.Table, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table.column_names)
        for batch in table.to_batches(_CHUNK_ROWS):
            columns = [map(csv_text, column.to_pylist()) for column in batch.columns]
            writer.writerows(zip(*columns, strict=True))


def _write_json_lines(table: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for batch in table.to_batches(_CHUNK_ROWS):
            for row in batch.to_pylist():
                line = {name: plain(value) for name, value in row.items()}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
