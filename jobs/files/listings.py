"""Files of listings, CSV, JSON lines and parquet, read in batches, every column kept.

Whatever the format, a batch is a pyarrow table of one fixed schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from rerank.index.errors import InputError
from rerank.index.records import BETWEEN_IDENTIFIERS, Listing
from rerank.index.rows import TEXT_TYPES, PlacedRow, csv_rows, unreadable
from rerank.jobs.files.places import Fetched, Place, place_of
from rerank.settings import TEXT, Settings, read_yaml, settings_of

REQUIRED = ("listing_id", "title")
OPTIONAL = ("vendor", "description", "price")
ROW_NUMBER = "row_number"
"""The column of ids that a file need not have."""
_COLUMNS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class ColumnNames(Settings):
    """The user's name of each column that is read; by default ours.

    ``identifiers`` may be several, with ";" between. A ``listing_id`` of ``row_number`` numbers the
    rows of a file that has no such column.
    """

    listing_id: Annotated[str, TEXT] = "listing_id"
    title: Annotated[str, TEXT] = "title"
    vendor: Annotated[str, TEXT] = "vendor"
    description: Annotated[str, TEXT] = "description"
    price: Annotated[str, TEXT] = "price"
    identifiers: Annotated[str, TEXT] = "identifiers"

    def renamed(self, names: Mapping[str, str]) -> ColumnNames:
        """Return these with some of them replaced, by our name."""
        return replace(self, **names)

    def identifiers_of(self, names: Sequence[str]) -> list[str]:
        """Return the columns of identifiers, of some that are there."""
        if self.identifiers in names:
            return [self.identifiers]
        own = [name.strip() for name in self.identifiers.split(BETWEEN_IDENTIFIERS)]
        return [name for name in own if name in names]

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
        missing = [name for name in wanted if name not in names and name != ROW_NUMBER]
        if missing:
            found = ", ".join(names[:_COLUMNS_SHOWN]) or "none"
            found += ", ..." if len(names) > _COLUMNS_SHOWN else ""
            optional = ", ".join(name for name in OPTIONAL if name not in own)
            optional = f" (optional: {optional})" if optional else ""
            raise InputError(
                f"{place}: expected columns {', '.join(wanted)}{optional}, missing "
                f"{', '.join(missing)}, found {found}; {_hint(place, names, self, missing)}"
            )
        twice = sorted({name for name in names if list(names).count(name) > 1})
        if twice:
            raise InputError(
                f"{place}: expected each column once, found twice {', '.join(twice)}; rename one"
            )


OUR_NAMES = ColumnNames()
"""The names that are read unless the user names others."""


def _hint(place: object, names: Sequence[str], columns: ColumnNames, missing: Sequence[str]) -> str:
    if str(place).lower().endswith(".csv") and len(names) == 1 and columns.title not in names:
        return "separate columns by commas"
    if list(missing) == [columns.listing_id]:
        return (
            "name the column of ids with --id-column, or number the rows with --id-column "
            f"{ROW_NUMBER}"
        )
    return "add the columns, or name yours with --title-column and the like"


def read_column_names(path: Path) -> ColumnNames:
    """Read a mapping from YAML: ``title: product_name``, one line a column.

    :raises InputError: if the file is no YAML mapping, or has nothing in it.
    :raises FaultsError: if it names columns that are not read, or gives something but text.
    """
    content = read_yaml(path)
    if not content:
        raise InputError(
            f"{path}: expected lines such as `title: product_name`, found "
            f"{'nothing' if content is None else 'no lines'}; columns to name: "
            f"{', '.join((*REQUIRED, *OPTIONAL))}"
        )
    return settings_of(ColumnNames, content, where=str(path))


BATCH_ROWS = 2048
"""What is resolved at once: larger ones leave workers idle at the end of a file."""


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
            Listing(listing_id, _text(title), _text(vendor), _text(more), number(price), own)
            for listing_id, title, vendor, more, price, own in zip(
                self.ids(),
                values(columns.title),
                values(columns.vendor),
                values(columns.description),
                values(columns.price),
                self._identifiers(values),
                strict=True,
            )
        ]

    def _identifiers(self, values: Callable[[str], list[Any]]) -> list[str]:
        own = self.columns.identifiers_of(self.table.column_names)
        if not own:
            return [""] * self.table.num_rows
        cells = zip(*(map(_code, values(name)) for name in own), strict=True)
        return [BETWEEN_IDENTIFIERS.join(filter(None, codes)) for codes in cells]


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


def _is_of_times(kind: pa.DataType) -> bool:
    """Return whether a type has dates or times, of which Python's own hold but a part."""
    if pa.types.is_dictionary(kind):
        return _is_of_times(kind.value_type)
    inner = [kind.field(at).type for at in range(kind.num_fields)]
    return bool(pa.types.is_temporal(kind)) or any(_is_of_times(part) for part in inner)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _code(value: Any) -> str:
    """Return an identifier as text, whole numbers without a point."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else ""
    return str(value) if isinstance(value, int) else _text(value)


@dataclass(frozen=True, slots=True)
class TextListings:
    """Rows of text, read a second time for what they hold.

    :param read: yields the rows of the file.
    :param cells: returns the cells of a row, as the schema has columns, and what is wrong with it.
    """

    n_rows: int
    schema: pa.Schema
    columns: ColumnNames
    read: Callable[[], Iterator[PlacedRow]]
    cells: Callable[[PlacedRow], tuple[Sequence[Any], Fault | None]]

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        """Yield the listings in file order."""
        read = self.read()
        while chunk := list(map(self.cells, list(islice(read, rows)))):
            bad_rows = {at: fault for at, (_, fault) in enumerate(chunk) if fault is not None}
            columns = zip(*(cells for cells, _ in chunk), strict=True)
            arrays = [
                pa.array([_as_type(value, kind) for value in column], kind)
                for column, kind in zip(columns, self.schema.types, strict=True)
            ]
            table = pa.Table.from_arrays(arrays, schema=self.schema)
            yield ListingBatch(table, self.columns, bad_rows)


def csv_listings(source: Place | Fetched, columns: ColumnNames) -> TextListings:
    """Check a CSV file of listings in UTF-8, with a header; a row that is no UTF-8 is a bad row.

    :raises InputError: if it cannot be read, no row of it is UTF-8, or it lacks a column.
    """
    read = csv_rows(source.stream(), source)
    _, header, first_fault = next(read, PlacedRow(0, []))
    if first_fault is None:
        columns.check(source, header)
    width = len(header)
    kinds = dict.fromkeys(header, pa.string())
    price = header.index(columns.price) if columns.price in header else width
    price_kind, n_rows, n_bad = pa.float64(), 0, 0
    for _, cells, fault in read if first_fault is None else ():
        n_rows += 1
        if fault is not None:
            first_fault, n_bad = first_fault or fault, n_bad + 1
        elif price < len(cells) and cells[price] and number(cells[price]) is None:
            price_kind = pa.string()
    if first_fault is not None and n_bad == n_rows:
        raise InputError(f"{source}: {first_fault}; save the file as UTF-8")
    if price < width:
        kinds[columns.price] = price_kind

    def cells_of(row: PlacedRow) -> tuple[Sequence[Any], Fault | None]:
        _, cells, reason = row
        if len(cells) == width and reason is None:
            return cells, None
        padded = [*cells, *[None] * (width - len(cells))][:width]
        wrong = reason or f"{len(cells)} fields, expected {width}"
        return padded, Fault(f"bad row: {wrong}", cells)

    def read_again() -> Iterator[PlacedRow]:
        return islice(csv_rows(source.stream(), source), 1, None)

    return TextListings(n_rows, pa.schema(kinds), columns, read_again, cells_of)


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


def json_listings(source: Place | Fetched, columns: ColumnNames) -> TextListings:
    """Check a JSON lines file of listings; a line that is no JSON object is a bad row.

    :raises InputError: if no line is a JSON object, or a column is missing.
    """
    kinds: dict[str, pa.DataType | None] = {}
    first, n_rows, n_bad = None, 0, 0
    for row in _json_rows(source):
        n_rows += 1
        if row.fault is not None:
            first, n_bad = first or row, n_bad + 1
            continue
        for name, value in row.content.items():
            kinds[name] = _common_type(kinds.get(name), value)
    if n_rows == 0:
        raise InputError(f"{source}: expected one JSON object a line, found only blank lines")
    if first is not None and n_bad == n_rows:
        raise InputError(
            f"{source}:{first.line}: expected a JSON object a line, found {first.fault}; write the "
            "file again"
        )
    columns.check(source, list(kinds))
    kinds[columns.title] = pa.string()

    def cells_of(row: PlacedRow) -> tuple[Sequence[Any], Fault | None]:
        line, content, fault = row
        if fault is not None:
            wrong = f"bad row: line {line}: expected a JSON object, found {fault}"
            return [None] * len(kinds), Fault(wrong, content)
        cells, title = [content.get(name) for name in kinds], content.get(columns.title)
        if isinstance(title, str | None):
            return cells, None
        found = _KINDS.get(type(title), "an object")
        return cells, Fault(f"bad row: {columns.title} is {found}, expected text", content)

    schema = pa.schema([(name, kind or pa.null()) for name, kind in kinds.items()])
    return TextListings(n_rows, schema, columns, partial(_json_rows, source), cells_of)


def _json_rows(source: Place | Fetched) -> Iterator[PlacedRow]:
    with source.stream() as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _json_row(number, line)


def _json_row(number: int, line: bytes) -> PlacedRow:
    try:
        row = json.loads(line.strip().decode("utf-8-sig" if number == 1 else "utf-8"))
        if isinstance(row, dict):
            return PlacedRow(
                number, {key.encode("utf-8", "replace").decode(): row[key] for key in row}
            )
        found = _KINDS[type(row)]
    except UnicodeDecodeError as exc:
        found = f"text that is no UTF-8 ({exc.object[exc.start]:#04x} at byte {exc.start + 1})"
    except json.JSONDecodeError as exc:
        found = f"what is no JSON (character {exc.pos + 1}: {exc.msg.removesuffix(' at')})"
    except (ValueError, RecursionError):
        found = "a number too long, or lists too deep, to be read"
    text = line.decode("utf-8", "replace").strip()
    return PlacedRow(number, text, f"{found}: {text[:_SHOWN]}")


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
    """Return a value as the type of its column; what is not text becomes JSON text."""
    if kind == pa.float64():
        return number(value)
    if value is None or kind != pa.string():
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair


# Row groups may be of any size: buffered whole, one of a million rows takes hundreds of MB.
_BUFFER_BYTES = 1 << 20


class ParquetListings:
    """A parquet file of listings.

    :raises InputError: if it cannot be read, or lacks a column, or one is of a wrong type.
    """

    def __init__(self, source: Place | Fetched, columns: ColumnNames) -> None:
        self._source, self._columns = source, columns
        with self._opened() as file:
            self.n_rows: int = file.metadata.num_rows
            self.schema: pa.Schema = file.schema_arrow.remove_metadata()
        columns.check(source, self.schema.names)
        named = columns.listing_id in self.schema.names
        key = self.schema.field(columns.listing_id).type if named else pa.int64()
        if pa.types.is_temporal(key):
            raise InputError(
                f"{source}: expected text or numbers in column {columns.listing_id!r}, found "
                f"{key}; convert it"
            )
        kind = self.schema.field(columns.title).type
        values = kind.value_type if pa.types.is_dictionary(kind) else kind
        if str(values) not in TEXT_TYPES:
            raise InputError(
                f"{source}: expected text in column {columns.title!r}, found {kind}; convert it"
            )

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        """Yield the listings in file order."""
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
            stream = self._source.file()
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
            raise unreadable(self._source, "parquet", exc) from exc


class NumberedListings:
    """A file without ids, whose rows are numbered from 1 in a column of their own."""

    def __init__(self, file: TextListings | ParquetListings) -> None:
        self._file = file
        self.n_rows = file.n_rows
        self.schema = file.schema.append(pa.field(ROW_NUMBER, pa.int64()))

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        """Yield the listings in file order."""
        start = 1
        for batch in self._file.batches(rows):
            end = start + batch.table.num_rows
            numbers = pa.array(range(start, end), pa.int64())
            yield replace(batch, table=batch.table.append_column(ROW_NUMBER, numbers))
            start = end


ListingFile = TextListings | ParquetListings | NumberedListings
"""A checked file of listings: how many, and the columns of every batch."""

_READERS: dict[str, Callable[[Place | Fetched, ColumnNames], TextListings | ParquetListings]] = {
    ".parquet": ParquetListings,
    ".csv": csv_listings,
    ".jsonl": json_listings,
}
ENDINGS = tuple(_READERS)
"""What the name of a file of listings may end in."""


def open_listings(source: Path | Place | Fetched, columns: ColumnNames = OUR_NAMES) -> ListingFile:
    """Check a file of listings and return its reader.

    :param columns: the user's names of the columns that are read; by default ours.
    :raises InputError: if the file is not what its name says or lacks a column.
    """
    opened = place_of(source) if isinstance(source, Path) else source
    if isinstance(opened, Fetched):
        place, info = opened.place, opened.info
    else:
        place, info = opened, opened.info()
    reader = _READERS.get(place.suffix)
    if reader is None:
        raise InputError(
            f"{place}: expected a file name ending in .parquet, .csv or .jsonl, found "
            f"{place.suffix or 'no ending'!r}; convert or rename the file"
        )
    if not info.size and info.type != fs.FileType.NotFound:
        raise InputError(f"{place}: expected listings, found a file of 0 bytes; write it again")
    file = reader(opened, columns)
    numbered = columns.listing_id == ROW_NUMBER and ROW_NUMBER not in file.schema.names
    return NumberedListings(file) if numbered else file
