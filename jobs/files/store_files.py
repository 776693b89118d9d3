"""What goes into the store and comes out of it: files by their ending, and results of queries.

In CSV and JSON lines everything becomes text here; what the text must be is checked for all formats
at once by `rerank.store.importing`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from itertools import chain, count, islice
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rerank.index.artifacts import writing_file
from rerank.index.errors import InputError, StoreError
from rerank.index.rows import (
    MOST_CELL_CHARS,
    TEXT_TYPES,
    json_objects,
    read_csv,
    read_parquet,
    shortened,
    too_long,
)
from rerank.jobs.files.listings import (
    OUR_NAMES,
    ColumnNames,
    column_texts,
    open_listings,
)
from rerank.jobs.files.places import place_of
from rerank.jobs.scoring.plan import columns_of_output
from rerank.jobs.tables import WIDTH, cut, table, width_of
from rerank.prices import read_prices
from rerank.store.database import Session, Store
from rerank.store.importing import (
    ANNOTATION_COLUMNS,
    GOLD_COLUMNS,
    LISTING_COLUMNS,
    PLACE,
    PRODUCT_COLUMNS,
    ColumnKind,
    ImportSummary,
    Incoming,
    OnConflict,
    annotations_table,
    import_annotations,
    import_listings,
    listings_table,
)
from rerank.store.tables import TABLES
from rerank.workspace import Workspace, domain_of_index

_CHUNK_ROWS = 65_536
MOST_BYTES = 512 << 20
"""Of the cells of one import: checking them takes some three times as much memory."""
_CRLF = "\r\n"
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_TYPES: dict[ColumnKind, tuple[type, ...]] = {
    ColumnKind.KEY: (str, int),
    ColumnKind.TEXT: (str,),
    ColumnKind.NUMBER: (int, float, str),
    ColumnKind.TIME: (str,),
    ColumnKind.LIST: (list, str),
}
Cells = Sequence[str | None]
_OUR_NAMES: Mapping[str, str] = {}


def read_incoming(
    path: Path, columns: Mapping[str, ColumnKind], named: Mapping[str, str] = _OUR_NAMES
) -> Incoming:
    """Read a file for the store.

    Rows that cannot be read as the others are come with it as faults, so that they can be reported
    with all others.

    :param columns: those that mean something; others are named in the result, and not read.
    :param named: what the file calls some of them.
    :raises InputError: if the file is not what its name says.
    """
    theirs = {named.get(ours, ours): ours for ours in columns}
    found = _read_known(path, {name: columns[ours] for name, ours in theirs.items()})
    rows = found.rows.rename_columns([theirs.get(name, name) for name in found.rows.column_names])
    cells = tuple((place, theirs.get(name, name)) for place, name in found.unread_cells)
    return replace(found, rows=rows, unread_cells=cells) if named else found


def _read_known(path: Path, columns: Mapping[str, ColumnKind]) -> Incoming:
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


class ListingsRead(NamedTuple):
    """Listings of a file, and what a person is to know of how it was read."""

    incoming: Incoming
    remarks: tuple[str, ...]


def read_listings(
    path: Path,
    columns: ColumnNames = OUR_NAMES,
    *,
    also: Sequence[str] = (),
    encoding: str | None = None,
) -> ListingsRead:
    """Read listings for the store from any file that `rerank score` reads or has written.

    Prices are read as people write them. What is no listing (a row that cannot be read, without a
    title, or with the id of another before it) is left out, and counted in the remarks.

    :param columns: the user's names of columns; those of a parquet file that `rerank score` wrote
        are known by its footer.
    :param also: further columns, by the file's own names, that are wanted as text where they stand.
    :param encoding: of text; None lets the file say.
    :raises InputError: if the file is not what its name says or lacks a column.
    """
    place = place_of(path)
    file = open_listings(place, columns_of_output(place, columns), encoding)
    own = {ours: getattr(file.columns, ours, ours) for ours in LISTING_COLUMNS}
    wanted = own | {name: name for name in also if name not in own}
    there = {ours: name for ours, name in wanted.items() if name in file.schema.names}
    kept: dict[str, list[Any]] = {name: [] for name in (PLACE, *there)}
    left_out, seen, start = Counter[str](), set[str](), 1
    for batch in file.batches():
        texts = {ours: column_texts(batch.table.column(name)) for ours, name in there.items()}
        for at, (key, title) in enumerate(zip(texts["listing_id"], texts["title"], strict=True)):
            if wrong := _why_no_listing(at in batch.bad_rows, key, title, seen):
                left_out[wrong] += 1
                continue
            seen.add(key or "")
            kept[PLACE].append(start + at)
            for ours, cells in texts.items():
                kept[ours].append(cells[at])
        start += batch.table.num_rows
    if "price" in kept:
        prices = read_prices([text or "" for text in kept["price"]])
        kept["price"] = [_plain_price(price.value) for price in prices]
    schema = {PLACE: pa.int64()} | dict.fromkeys(there, pa.string())
    rows = pa.table(
        [pa.array(kept[name], kind) for name, kind in schema.items()], pa.schema(schema)
    )
    unread = tuple(name for name in file.schema.names if name not in there.values())
    said = [f"{path}: {n:,} rows left out: {wrong}" for wrong, n in left_out.items()]
    return ListingsRead(Incoming(str(path), rows, "row", unread), (*file.remarks, *said))


def _why_no_listing(is_bad: bool, key: str | None, title: str | None, seen: set[str]) -> str:
    if is_bad:
        return "they cannot be read"
    if not key or not (title or "").strip():
        return "no title" if key else "no id"
    return "the id of a row before them" if key in seen else ""


def _plain_price(value: float) -> str | None:
    return None if math.isnan(value) else str(value)


def write_table(table: pa.Table, path: Path, *, overwrite: bool) -> None:
    """Write a table beside ``path`` and rename it into place.

    Lists are JSON in CSV; times are UTC and say so.

    :raises InputError: if the ending is of no format, or ``path`` is there and not to be replaced.
    """
    writer = _by_ending(
        path,
        {
            ".csv": lambda rows, draft: _write_lines(_csv_lines(rows, _CRLF), draft, _CRLF),
            ".jsonl": lambda rows, draft: _write_lines(_jsonl_lines(rows), draft, "\n"),
            ".parquet": pq.write_table,
        },
    )
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file, found a folder")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already; choose another name or say --overwrite")
    with writing_file(path) as draft:
        writer(table, draft)


def _write_lines(lines: Iterable[str], path: Path, end: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        file.writelines(f"{line}{end}" for line in lines)


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


def _read_parquet(path: Path, columns: Mapping[str, ColumnKind]) -> Incoming:
    names, table = read_parquet(path, columns)
    _check_size(path, table.nbytes)
    for column in table.columns:
        if str(column.type) in TEXT_TYPES[1:]:
            sizes = pc.utf8_length(column.cast(pa.large_string()))
            longest = pc.max(sizes).as_py() or 0
            if longest > MOST_CELL_CHARS:
                row = pc.index(sizes, longest).as_py() + 1
                raise InputError(f"{path}: row {row}: {too_long(longest)}; cut it")
    _check_names(path, names)
    numbers = pa.array(range(1, table.num_rows + 1), pa.int64())
    unread = tuple(name for name in names if name not in columns)
    return Incoming(str(path), table.append_column(PLACE, numbers), "row", unread)


def _read_csv(path: Path, columns: Mapping[str, ColumnKind]) -> Incoming:
    rows, faults = read_csv(path), list[tuple[int, str]]()
    _, header = next(rows, (0, []))
    _check_names(path, header)
    known = {name: at for at, name in enumerate(header) if name in columns}

    def cells() -> Iterator[tuple[int, Cells]]:
        for line, row in rows:
            if len(row) != len(header):
                faults.append((line, f"{len(row)} fields, expected {len(header)}"))
            else:
                yield line, [row[at] for at in known.values()]

    table = _table(list(known), _bounded(path, cells()))
    unread = tuple(name for name in header if name not in columns)
    return Incoming(str(path), table, "line", unread, tuple(faults))


def _read_json_lines(path: Path, columns: Mapping[str, ColumnKind]) -> Incoming:
    names: dict[str, None] = {}  # in the order of their first use
    faults: list[tuple[int, str]] = []
    null_cells: list[tuple[int, str]] = []

    def cell(line: int, name: str, value: Any) -> str | None:
        text, wrong = _json_cell(name, columns[name], value)
        if wrong:
            faults.append((line, wrong))
            null_cells.append((line, name))
        return text

    def cells() -> Iterator[tuple[int, Cells]]:
        with path.open("rb") as stream:
            for line, row in json_objects(stream, _object_of_different_keys):
                if isinstance(row, InputError):
                    faults.append((line, str(row)))
                else:
                    names.update(dict.fromkeys(row))
                    yield line, [cell(line, name, row.get(name)) for name in columns]

    table = _table(list(columns), _bounded(path, cells()))
    absent = [name for name in columns if name not in names]
    unread = tuple(n.encode("utf-8", "replace").decode() for n in names if n not in columns)
    rows = table.drop_columns(absent)
    return Incoming(str(path), rows, "line", unread, tuple(faults), tuple(null_cells))


def _json_cell(name: str, kind: ColumnKind, value: Any) -> tuple[str | None, str]:
    """Return a value as text, None if it is null or faulty, and what is wrong with it."""
    if value is None:
        return None, ""
    is_list = isinstance(value, list)
    text = json.dumps(value, ensure_ascii=False) if is_list else str(value)
    fits = isinstance(value, _TYPES[kind]) and not isinstance(value, bool)
    fits &= not is_list or all(isinstance(part, str) for part in value)
    if fits and not _HALF_A_PAIR.search(text):
        return text, ""
    half = "holds half of a surrogate pair, which is no text:"
    told = half if fits else f"must be {kind.one}, got"
    return None, f"{name} {told} {shortened(json.dumps(value, ensure_ascii=True))}"


def _object_of_different_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"a key stands there twice: {max(names, key=names.count)!r}")
    return dict(pairs)


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


def _bounded(path: Path, rows: Iterator[tuple[int, Cells]]) -> Iterator[tuple[int, Cells]]:
    """Yield rows as long as they can be held."""
    held = 0
    for place, cells in rows:
        sizes = [len(cell) for cell in cells if cell]
        if sizes and max(sizes) > MOST_CELL_CHARS:
            raise InputError(f"{path}: line {place}: {too_long(max(sizes))}; cut it")
        held += sum(sizes)
        _check_size(path, held)
        yield place, cells


def _check_size(path: Path, n_bytes: int) -> None:
    if n_bytes > MOST_BYTES:
        raise InputError(
            f"{path}: expected at most {MOST_BYTES >> 20} MB of text for one import, found more; "
            "import it in parts, or cut long descriptions"
        )


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{path}: expected each column once, found twice {', '.join(map(repr, twice))}; "
            "rename one"
        )


_MICROSECOND = 1_000  # nanoseconds
_SECOND = 1_000_000  # microseconds


def plain(value: Any) -> Any:
    """Return a value that `json.dumps` takes: times in ISO 8601, UTC; NaN and infinity are null.

    Intervals are text as DuckDB writes and reads it: ``1 year 2 months 3 days 04:05:06``.
    """
    for kinds, converted in _PLAIN:
        if isinstance(value, kinds):
            return converted(value)
    return str(value)


def _utc(value: datetime) -> str:
    zoned = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return zoned.isoformat().replace("+00:00", "Z")


def _plain_list(value: Sequence[Any]) -> Any:
    if isinstance(value, list) and value and all(type(part) is tuple for part in value):
        return plain(dict(value))  # how Arrow gives a map
    return [plain(part) for part in value]


def _interval_text(interval: pa.MonthDayNano) -> str:
    years, months = divmod(abs(interval.months), 12)
    sign = "-" if interval.months < 0 else ""
    parts = [
        f"{sign}{n} {word}{'' if abs(n) == 1 else 's'}"
        for n, word, sign in (
            (years, "year", sign),
            (months, "month", sign),
            (interval.days, "day", ""),
        )
        if n
    ]
    if interval.nanoseconds or not parts:
        seconds, micro = divmod(abs(interval.nanoseconds) // _MICROSECOND, _SECOND)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        fraction = f".{micro:06}".rstrip("0") if micro else ""
        parts.append(f"{'-' if interval.nanoseconds < 0 else ''}{clock}{fraction}")
    return " ".join(parts)


# The first that fits counts: a time is a date too, and an interval a tuple.
_PLAIN: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    ((type(None), str, int), lambda value: value),
    (float, lambda value: value if math.isfinite(value) else None),
    (Decimal, lambda value: int(value) if value == value.to_integral_value() else float(value)),
    (datetime, _utc),
    (date, date.isoformat),
    (bytes, bytes.hex),
    (dict, lambda value: {str(name): plain(part) for name, part in value.items()}),
    (pa.MonthDayNano, _interval_text),
    ((list, tuple), _plain_list),
)

TABLE_LIMIT = 50
_STEP = "query"
_GAP = 2
_NO_TABLE = re.compile(r"Table with name .* does not exist")
_NARROWEST = 12  # columns cut to less say nothing: the rows are laid out one below the other


def run_query(store: Store, sql: str, *, limit: int | None) -> tuple[pa.Table, int]:
    """Run a query that can read the store and nothing else; return rows, and how many there were.

    The rows are collected before anything is printed: a person who reads them page by page would
    otherwise keep writers waiting.

    :param limit: how many rows to keep; None keeps all.
    :raises InputError: if the query is wrong, or is not a query.
    :raises StoreError: if the store cannot be read.
    """
    with store.reading(sealed=True) as session:
        odd = _odd_columns(session, sql)
        found, n_rows = _fetched(session, _with_texts(sql, odd), limit)
        if far := {at for at, column in enumerate(found.columns) if _is_far(column)}:
            odd = odd or [(name, False) for name in found.column_names]
            odd = [(name, text or at in far) for at, (name, text) in enumerate(odd)]
            found, n_rows = _fetched(session, _with_texts(sql, odd), limit)
    names = [name for name, _ in odd]
    return found.rename_columns(names) if names else found, n_rows


def _fetched(session: Session, sql: str, limit: int | None) -> tuple[pa.Table, int]:
    kept: list[pa.RecordBatch] = []
    n_rows = 0
    try:
        for batch in session.batches(_STEP, sql):
            room = batch.num_rows if limit is None else limit - n_rows
            if room > 0 or not kept:  # the first is empty and has the columns
                kept.append(batch.slice(0, room))
            n_rows += batch.num_rows
    except StoreError as exc:
        if not str(exc).startswith(f"{_STEP}: "):
            raise  # of the store, such as a full disk
        raise InputError(f"{_STEP}: {_first_words(exc)}") from exc
    return pa.Table.from_batches(kept), n_rows


# What Arrow or Python hold otherwise than DuckDB shows it, or not at all; days inside of lists and
# structs may lie beyond Python's years.
_SHOWN_BY_DUCKDB = re.compile(
    r"\b(BIT|BIGNUM|VARINT|UHUGEINT|UNION|TIME WITH TIME ZONE|TIMETZ|TIME_NS|TIMESTAMP_NS)\b"
    r"|(DATE|TIMESTAMP).*[\])]"
)


_ASKS = re.compile(r"\s*(SELECT|FROM|WITH|VALUES)\b", re.IGNORECASE)


def _odd_columns(session: Session, sql: str) -> list[tuple[str, bool]]:
    """Return a query's columns, and which only DuckDB shows rightly; none if it cannot tell."""
    if not _ASKS.match(sql):  # asking about another statement would end the transaction
        return []
    with suppress(StoreError):  # the query itself says what is wrong
        columns = session.rows(_STEP, f"DESCRIBE {_bare(sql)}")
        return [
            (str(name), _SHOWN_BY_DUCKDB.search(str(kind)) is not None)
            for name, kind, *_ in columns
        ]
    return []


def _with_texts(sql: str, columns: Sequence[tuple[str, bool]]) -> str:
    """Return a query with some of its columns as DuckDB's own text."""
    if not any(text for _, text in columns):
        return sql
    names = [f"column_{at}" for at in range(len(columns))]
    shown = [
        f"CAST({name} AS VARCHAR)" if text else name
        for name, (_, text) in zip(names, columns, strict=True)
    ]
    return f"SELECT {', '.join(shown)} FROM (\n{_bare(sql)}\n) AS asked({', '.join(names)})"


def _bare(sql: str) -> str:
    return sql.strip().rstrip("; \n")


def _is_far(column: pa.ChunkedArray) -> bool:
    """Return whether days lie beyond the years that Python counts, or have no end."""
    if not (pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)):
        return False
    try:
        pc.min_max(column).as_py()
    except (OverflowError, ValueError):
        return True
    return False


def result_lines(rows: pa.Table, output_format: str) -> Iterator[str]:
    """Yield the lines of a result as ``table``, ``json``, ``jsonl`` or ``csv``."""
    layouts: dict[str, Callable[[pa.Table], Iterator[str]]] = {
        "table": _table_lines,
        "json": _json_lines,
        "jsonl": _jsonl_lines,
        "csv": _csv_lines,
    }
    return layouts[output_format](rows.rename_columns(_different(rows.column_names)))


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
    for batch in rows.to_batches(_CHUNK_ROWS):
        columns = [column.to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            yield list(values)


def _jsonl_lines(rows: pa.Table) -> Iterator[str]:
    for batch in rows.to_batches(_CHUNK_ROWS):
        for row in batch.to_pylist():
            line = {name: plain(value) for name, value in row.items()}
            yield json.dumps(line, ensure_ascii=False)


def _json_lines(rows: pa.Table) -> Iterator[str]:
    yield "[" + ",\n ".join(_jsonl_lines(rows)) + "]"


def _csv_lines(rows: pa.Table, end: str = "\n") -> Iterator[str]:
    for values in chain([rows.column_names], _rows(rows)):
        buffer = io.StringIO(newline="")
        csv.writer(buffer, lineterminator=end).writerow(map(csv_text, values))
        yield buffer.getvalue().removesuffix(end)


def _table_lines(rows: pa.Table) -> Iterator[str]:
    names = rows.column_names
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
    shown = [cut(name, wide) for name in names]
    heads = [f"  {name}{' ' * (wide - width_of(name) + _GAP)}" for name in shown]
    for number, row in enumerate(rows, 1):
        yield f"row {number}"
        for head, cell in zip(heads, row, strict=True):
            yield f"{head}{cut(cell, WIDTH - wide - 2 * _GAP)}".rstrip()


def _different(names: Sequence[str]) -> list[str]:
    """Return names of which none is another: the second ``n`` becomes ``n_2``."""
    taken: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in count(2))
        taken.append(next(free for free in chain([name], numbered) if free not in taken))
    return taken


_DONE = {OnConflict.REFUSE: "", OnConflict.KEEP: " (kept)", OnConflict.REPLACE: " (replaced)"}


def summary_text(summary: ImportSummary, on_conflict: OnConflict) -> str:
    """Return what an import did."""
    done = _DONE[on_conflict] if summary.conflicts else ""
    lines = (
        f"added {summary.added:,}, unchanged {summary.unchanged:,}, conflicts "
        f"{summary.conflicts:,}{done}",
        summary.listings_added and f"listings added {summary.listings_added:,}",
        summary.listings_differing
        and f"listings stored with another title {summary.listings_differing:,} (kept)",
    )
    return "\n".join(str(line) for line in lines if line)


def tables_text(tables: Sequence[dict[str, Any]]) -> str:
    """Return tables and columns with their meaning, for a terminal of 80 columns."""
    lines: list[str] = []
    for each in tables:
        lines += wrap(f"{each['table']}: {each['row']}", WIDTH)
        wide = max(len(column["column"]) for column in each["columns"])
        for column in each["columns"]:
            first, *more = wrap(column["meaning"].replace("`", ""), WIDTH - wide - 4)
            lines.append(f"  {column['column']:{wide}}  {first}")
            lines += [f"  {'':{wide}}  {line}" for line in more]
        lines.append("")
    return "\n".join(lines).rstrip()


class Contents(Enum):
    """What a file holds."""

    ANNOTATIONS = "annotations"
    LISTINGS = "listings"


def import_file(
    workspace: Workspace,
    path: Path,
    contents: Contents,
    *,
    annotator: str | None,
    on_conflict: OnConflict,
    wait_s: float,
) -> tuple[ImportSummary, tuple[str, ...]]:
    """Write a file's rows to the store; return what was done and the columns not read.

    Names are looked up in the catalogue of the index that serves.

    :param annotator: who answered, for annotations that do not say.
    :param wait_s: how long to wait for another process that writes, in seconds.
    :raises InputError: if the file is not what its name says, lacks a column or has faulty rows.
    :raises StoreError: if the store is busy, damaged or of a newer release.
    """
    store = Store(workspace.store_path, wait_s=wait_s)
    if contents is Contents.LISTINGS:
        incoming = read_incoming(path, LISTING_COLUMNS)
        return import_listings(store, incoming, on_conflict=on_conflict), incoming.unread
    columns = ANNOTATION_COLUMNS | PRODUCT_COLUMNS | GOLD_COLUMNS | LISTING_COLUMNS
    incoming = read_incoming(path, columns)
    folder = workspace.active_index()
    names, records, version = domain_of_index(folder).names(folder)
    summary = import_annotations(
        store,
        incoming,
        names,
        records,
        registry_version=version,
        annotator=annotator,
        on_conflict=on_conflict,
    )
    return summary, incoming.unread


def export_file(
    workspace: Workspace,
    path: Path,
    contents: Contents,
    *,
    with_listings: bool,
    overwrite: bool,
) -> int:
    """Write what the store has of a kind to a file; return the number of rows.

    :param with_listings: add to each annotation the columns of its listing.
    :raises InputError: if the file's ending is of no format, or it exists and may not be replaced.
    :raises StoreError: if the store is busy, damaged or of a newer release.
    """
    with Store(workspace.store_path).reading() as session:
        if contents is Contents.LISTINGS:
            table = listings_table(session)
        else:
            table = annotations_table(session, with_listings=with_listings)
    write_table(table, path, overwrite=overwrite)
    return int(table.num_rows)
