"""A batch of listings, and what every reader of a file of listings offers.

Whatever the format, a batch is a pyarrow table of one fixed schema.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from rerank.index.errors import FaultsError, InputError
from rerank.index.records import Listing
from rerank.index.rows import FastSafeLoader, csv_rows
from rerank.jobs.files.places import Place, place_of

REQUIRED = ("listing_id", "title")
OPTIONAL = ("vendor", "description", "price")
_COLUMNS_SHOWN = 20
_WHAT = {type(None): "nothing", dict: "no lines", list: "a list", str: "text"}


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The user's name of each column that is read; by default ours."""

    listing_id: str = "listing_id"
    title: str = "title"
    vendor: str = "vendor"
    description: str = "description"
    price: str = "price"

    def renamed(self, names: Mapping[str, str]) -> ColumnNames:
        """Return these with some of them replaced, by our name."""
        return replace(self, **names)

    def own(self) -> dict[str, str]:
        """Return the user's names by ours, where they differ."""
        return {ours: theirs for ours, theirs in asdict(self).items() if ours != theirs}

    def check_apart(self) -> None:
        """Check that no column of the user's was named for two things.

        Where only one was named, the other has its own name by default, and the user need not
        know: a file whose title is its id may say so.

        :raises InputError: if one was.
        """
        named = self.own()
        for theirs in named.values():
            same = [ours for ours, name in named.items() if name == theirs]
            if len(same) > 1:
                raise InputError(
                    f"column {theirs!r}: expected a column of its own for each of "
                    f"{' and '.join(same)}, found it named for both; name another"
                )

    def check(self, place: object, names: Sequence[str]) -> None:
        """Check that a file has the columns it needs, each once.

        :param place: the file, for the message.
        :raises InputError: if one is missing, or stands there twice.
        """
        own = self.own()
        wanted = [getattr(self, ours) for ours in REQUIRED]
        wanted += [own[ours] for ours in OPTIONAL if ours in own]
        missing = [name for name in wanted if name not in names]
        if missing:
            found = ", ".join(names[:_COLUMNS_SHOWN]) or "none"
            found += ", ..." if len(names) > _COLUMNS_SHOWN else ""
            optional = ", ".join(name for name in OPTIONAL if name not in own)
            optional = f" (optional: {optional})" if optional else ""
            raise InputError(
                f"{place}: expected columns {', '.join(wanted)}{optional}, missing "
                f"{', '.join(missing)}, found {found}; {_hint(place, names)}"
            )
        twice = sorted({name for name in names if list(names).count(name) > 1})
        if twice:
            raise InputError(
                f"{place}: expected each column once, found twice {', '.join(twice)}; rename one"
            )


OUR_NAMES = ColumnNames()
"""The names that are read unless the user names others."""


def _hint(place: object, names: Sequence[str]) -> str:
    if str(place).lower().endswith(".csv") and len(names) == 1:
        return "separate columns by commas"
    return "add the columns, or name yours with --title-column and the like"


def read_column_names(path: Path) -> ColumnNames:
    """Read a mapping from YAML: ``title: product_name``, one line a column.

    :raises InputError: if the file is no YAML mapping, or has nothing in it.
    :raises FaultsError: if it names columns that are not read, or gives something but text.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=FastSafeLoader)
        node = yaml.compose(text, Loader=FastSafeLoader)
    except (yaml.YAMLError, ValueError) as exc:
        first_line = str(exc).splitlines()[0]
        raise InputError(f"{path}: not readable as YAML ({first_line}); correct it") from exc
    known = [field.name for field in fields(ColumnNames)]
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{path}: expected lines such as `title: product_name`, found "
            f"{_WHAT.get(type(content), 'a value')}; columns to name: {', '.join(known)}"
        )
    # a mapping keeps the last of a key given twice; its node has both
    keys = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    faults = [
        f"{ours}: given twice; keep one of the lines"
        for ours in dict.fromkeys(keys)
        if keys.count(ours) > 1
    ]
    faults += [
        f"{ours!r}: not a column that is read; expected one of {', '.join(known)}"
        for ours in content
        if ours not in known
    ]
    faults += [
        f"{ours}: expected the name of a column, found {theirs!r}"
        for ours, theirs in content.items()
        if not isinstance(theirs, str) or not theirs
    ]
    if faults:
        raise FaultsError(str(path), faults)
    return ColumnNames(**content)


BATCH_ROWS = 2048
"""Twice what is resolved at once: larger ones leave workers idle at the end of a file."""
T = TypeVar("T")


class Fault(NamedTuple):
    """What was wrong with a row, and the row as it was read."""

    reason: str
    row: Any


@dataclass(frozen=True, slots=True)
class ListingBatch:
    """Some rows of a file.

    :param bad_rows: those that could not be read, by their number in the batch.
    """

    table: pa.Table
    columns: ColumnNames = OUR_NAMES
    bad_rows: Mapping[int, Fault] = field(default_factory=dict)

    @property
    def faults(self) -> dict[int, str]:
        """What was wrong with a row, by its number in the batch."""
        return {at: fault.reason for at, fault in self.bad_rows.items()}

    def ids(self) -> list[str]:
        """Return the ids of the listings as text."""
        return [str(key) for key in self.table.column(self.columns.listing_id).to_pylist()]

    def listings(self) -> list[Listing]:
        """Return the rows as listings; what is not text counts as empty."""
        names, columns = self.table.column_names, self.columns
        blank: list[Any] = [""] * self.table.num_rows

        def values(name: str) -> list[Any]:
            if name not in names or _is_of_times(self.table.schema.field(name).type):
                return blank
            found: list[Any] = self.table.column(name).to_pylist()
            return found

        return [
            Listing(listing_id, _text(title), _text(vendor), _text(more), number(price))
            for listing_id, title, vendor, more, price in zip(
                self.ids(),
                values(columns.title),
                values(columns.vendor),
                values(columns.description),
                values(columns.price),
                strict=True,
            )
        ]


class ListingFile(Protocol):
    """A checked file of listings: how many, and the columns of every batch."""

    n_rows: int
    schema: pa.Schema

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        """Yield the listings in file order."""


def taken(table: pa.Table, rows: Sequence[int]) -> pa.Table:
    """Return some rows of a table, whatever its types."""
    try:
        return table.take(pa.array(rows, pa.int64()))
    except pa.ArrowNotImplementedError:  # views of text, in pyarrow 26
        return pa.concat_tables([table.slice(row, 1) for row in rows])


def number(value: Any) -> float | None:
    """Return a value as a number, None if it is none."""
    try:
        return None if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return None


def unreadable(place: object, kind: str, exc: Exception) -> InputError:
    """Return the error for a file that is not what its name says."""
    first_line = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
    return InputError(f"{place}: not readable as {kind} ({first_line}); write the file again")


def _is_of_times(kind: pa.DataType) -> bool:
    """Return whether a type has dates or times, of which Python's own hold but a part."""
    if pa.types.is_dictionary(kind):
        return _is_of_times(kind.value_type)
    inner = [kind.field(at).type for at in range(kind.num_fields)]
    return bool(pa.types.is_temporal(kind)) or any(_is_of_times(part) for part in inner)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Cut an iterator into lists of ``size``, the last one shorter."""
    while chunk := list(islice(items, size)):
        yield chunk


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


# Row groups may be of any size: buffered whole, one of a million rows takes hundreds of MB.
_BUFFER_BYTES = 1 << 20


class ParquetListings:
    """A parquet file of listings.

    :raises InputError: if it cannot be read, or lacks a column, or one is of a wrong type.
    """

    def __init__(self, place: Place, columns: ColumnNames) -> None:
        self._place = place
        self._columns = columns
        with self._opened() as file:
            self.n_rows: int = file.metadata.num_rows
            self.schema: pa.Schema = file.schema_arrow.remove_metadata()
        columns.check(place, self.schema.names)
        key = self.schema.field(columns.listing_id).type
        if pa.types.is_temporal(key):
            raise InputError(
                f"{place}: expected text or numbers in column {columns.listing_id!r}, found "
                f"{key}; convert it"
            )
        kind = self.schema.field(columns.title).type
        if not _is_text_parquet_listings(kind):
            raise InputError(
                f"{place}: expected text in column {columns.title!r}, found {kind}; convert it"
            )

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        with self._opened() as file:
            groups = file.iter_batches(rows)
            while True:
                with self._named():
                    batch = next(groups, None)
                    if batch is None:
                        return
                    batch.validate(full=True)  # text that is no UTF-8, wherever it stands
                    table = pa.Table.from_batches([batch]).replace_schema_metadata()
                yield ListingBatch(table, self._columns)

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        with self._named():
            stream = self._place.filesystem.open_input_file(self._place.path)
        with stream:
            with self._named():
                file = pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            yield file

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Raise what pyarrow raises with the file's name; not what the caller does in between."""
        try:
            yield
        except (pa.ArrowException, OSError) as exc:
            raise unreadable(self._place, "parquet", exc) from exc


def _is_text_parquet_listings(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_null(kind)
        or pa.types.is_string_view(kind)
    )


_READERS: dict[str, Callable[[Place, ColumnNames], ListingFile]] = {
    ".parquet": ParquetListings,
    ".csv": CsvListings,
    ".jsonl": JsonLinesListings,
}
ENDINGS = tuple(_READERS)
"""What the name of a file of listings may end in."""


def open_listings(source: Path | Place, columns: ColumnNames = OUR_NAMES) -> ListingFile:
    """Check a file of listings and return its reader.

    :param columns: the user's names of the columns that are read; by default ours.
    :raises InputError: if the file is not what its name says or lacks a column.
    """
    place = source if isinstance(source, Place) else place_of(source)
    reader = _READERS.get(place.suffix)
    if reader is None:
        raise InputError(
            f"{place}: expected a file name ending in .parquet, .csv or .jsonl, found "
            f"{place.suffix or 'no ending'!r}; convert or rename the file"
        )
    if place.size() == 0 and place.exists():
        raise InputError(f"{place}: expected listings, found a file of 0 bytes; write it again")
    return reader(place, columns)
