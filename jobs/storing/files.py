"""Files that go into the store and come out of it: CSV, JSON lines and parquet, by their ending.

In CSV and JSON lines everything becomes text here; what the text must be is checked for all formats
at once by `rerank.store.incoming`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from index.artifacts import writing_file
from index.csv_rows import csv_rows
from index.errors import FaultsError, InputError
from jobs.storing.plain_values import plain
from rerank.store.incoming import PLACE, Incoming, Kind

_CHUNK_ROWS = 65_536
_JSON_TYPES: dict[Kind, tuple[type, ...]] = {
    Kind.KEY: (str, int), Kind.TEXT: (str,), Kind.NUMBER: (int, float, str), Kind.TIME: (str,),
    Kind.LIST: (list, str),
}  # fmt: skip
Cells = Sequence[str | None]


def read_incoming(path: Path, columns: Mapping[str, Kind]) -> Incoming:
    """Read a file for the store.

    :param columns: those that mean something; others are named in the result, and not read.
    :raises InputError: if the file is not what its name says.
    :raises FaultsError: if rows cannot be read as the others are.
    """
    reader: Callable[..., Incoming] = _by_ending(
        path, {".csv": _read_csv, ".jsonl": _read_json_lines, ".parquet": _read_parquet}
    )
    if path.is_dir():
        raise InputError(f"{path}: expected a file, found a folder")
    if path.stat().st_size == 0:
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
    """Return a value as a cell of CSV: null is empty, lists and structs are JSON."""
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
    faults: list[str] = []
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
                        faults.append(f"line {line}: {len(row)} fields, expected {len(header)}")
                    else:
                        yield line, [row[number] for number in at]

            table = _table(known, cells())
    except UnicodeDecodeError as exc:
        raise InputError(
            f"{path}: expected UTF-8 text, found {exc.object[exc.start]:#04x} at byte "
            f"{exc.start} of a block; save the file as UTF-8"
        ) from exc
    except csv.Error as exc:
        raise _unreadable(path, "CSV", exc) from exc
    if faults:
        raise FaultsError(str(path), faults)
    return Incoming(str(path), table, "line", tuple(n for n in header if n not in columns))


def _read_json_lines(path: Path, columns: Mapping[str, Kind]) -> Incoming:
    faults: list[str] = []
    names: dict[str, None] = {}  # in the order of their first use
    known = list(columns)

    def cells() -> Iterator[tuple[int, Cells]]:
        for line, row in _json_rows(path, faults):
            names.update(dict.fromkeys(row))
            wrong = [
                f"line {line}: {name} must be {kind.value}, got {row[name]!r:.60}"
                for name, kind in columns.items() if not _json_fits(row.get(name), kind)
            ]  # fmt: skip
            faults.extend(wrong)
            if not wrong:
                yield line, [_json_text(row.get(name)) for name in known]

    table = _table(known, cells())
    if faults:
        raise FaultsError(str(path), faults)
    absent = [name for name in known if name not in names]
    unread = (name.encode("utf-8", "replace").decode() for name in names if name not in columns)
    return Incoming(str(path), table.drop_columns(absent), "line", tuple(unread))


def _json_rows(path: Path, faults: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(
                    line.decode("utf-8-sig" if number == 1 else "utf-8"),
                    object_pairs_hook=_object_of_different_keys,
                )
            except (ValueError, RecursionError) as exc:
                faults.append(f"line {number}: expected a JSON object, found {line[:40]!r} ({exc})")
                continue
            if isinstance(row, dict):
                yield number, row
            else:
                faults.append(f"line {number}: expected a JSON object, found {type(row).__name__}")


def _object_of_different_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"a key stands there twice: {max(names, key=names.count)!r}")
    return dict(pairs)


def _json_fits(value: Any, kind: Kind) -> bool:
    if isinstance(value, list) and kind is Kind.LIST:
        return all(isinstance(part, str) for part in value)
    is_kind = isinstance(value, _JSON_TYPES[kind]) and not isinstance(value, bool)
    return value is None or is_kind


def _json_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    # JSON may hold half a surrogate pair, which is no text
    return str(value).encode("utf-8", "replace").decode()


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
