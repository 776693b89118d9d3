"""Files of listings, CSV, JSON lines and parquet, read in batches, every column kept.

Whatever the format, a batch is a pyarrow table of one fixed schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from rerank.index.errors import InputError, RerankError
from rerank.index.records import BETWEEN_IDENTIFIERS, Listing
from rerank.index.rows import TEXT_TYPES, PlacedRow, csv_rows, listed, unreadable
from rerank.jobs.files.places import Fetched, place_of
from rerank.jobs.files.text_formats import (
    Source,
    delimiter_in,
    json_rows,
    kind_words,
    opened,
    text_encoding,
    workbook_rows,
)
from rerank.settings import TEXT, Settings, read_yaml, settings_of

REQUIRED = ("listing_id", "title")
OPTIONAL = ("vendor", "description", "price")
ROW_NUMBER = "row_number"
"""The column of ids that a file need not have."""
_NEAR = 0.7  # of a name's letters


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

    def found_in(self, names: Sequence[str]) -> ColumnNames:
        """Return these as a file writes them, if it does so in other capitals, or with blanks.

        ``Listing ID`` is ``listing_id``, unless that stands there too.
        """
        alike: dict[str, list[str]] = {}
        for name in names:
            alike.setdefault(_plain(name), []).append(name)
        named = {}
        for ours, theirs in asdict(self).items():
            found = alike.get(_plain(theirs), ())
            if theirs not in names and theirs != ROW_NUMBER and len(found) == 1:
                named[ours] = found[0]
        return self.renamed(named) if named else self

    def check(self, place: object, names: Sequence[str]) -> ColumnNames:
        """Check that a file has the columns it needs, each once; return them as it writes them.

        :param place: the file, for the message.
        :raises InputError: if one is missing, or stands there twice, or there are too many.
        """
        if len(names) > MOST_COLUMNS:
            raise InputError(
                f"{place}: expected at most {MOST_COLUMNS:,} columns, found {len(names):,}; keep "
                "those that matter"
            )
        return self.found_in(names)._checked(place, names)

    def _checked(self, place: object, names: Sequence[str]) -> ColumnNames:
        own = self.own()
        wanted = [getattr(self, ours) for ours in REQUIRED]
        wanted += [own[ours] for ours in OPTIONAL if ours in own]
        missing = [name for name in wanted if name not in names and name != ROW_NUMBER]
        if missing:
            found = listed(names) or "none"
            optional = ", ".join(name for name in OPTIONAL if name not in own)
            optional = f" (optional: {optional})" if optional else ""
            raise InputError(
                f"{place}: expected columns {listed(wanted)}{optional}, missing "
                f"{listed(missing)}, found {found}; {_hint(place, names, self, missing)}"
            )
        twice = sorted({name for name in names if list(names).count(name) > 1})
        if twice:
            raise InputError(
                f"{place}: expected each column once, found twice {listed(twice)}; rename one"
            )
        return self


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


MOST_COLUMNS = 10_000
"""Of a file: wider ones take minutes and gigabytes."""
OUR_NAMES = ColumnNames()
"""The names that are read unless the user names others."""


def _hint(place: object, names: Sequence[str], columns: ColumnNames, missing: Sequence[str]) -> str:
    if str(place).lower().endswith(".csv") and len(names) == 1 and columns.title not in names:
        return "separate columns by commas"
    near = {name: get_close_matches(name, names, 1, _NEAR) for name in missing}
    if meant := [f"{found[0]!r:.62} for {name:.60}" for name, found in near.items() if found]:
        return f"did you mean {' and '.join(meant)}? Name yours with --title-column and the like"
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what a worker is sent: pickled by pyarrow, rows that were cut out of a table
        would bring all of its memory along.
        """
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as writer:
            writer.write_table(self.table)
        return _sent, (sink.getvalue(), self.columns, self.bad_rows)

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


def _sent(stream: pa.Buffer, columns: ColumnNames, bad_rows: Mapping[int, Fault]) -> ListingBatch:
    return ListingBatch(pa.ipc.open_stream(stream).read_all(), columns, bad_rows)


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
    :param remarks: what a person is to know of how the file was read.
    """

    n_rows: int
    schema: pa.Schema
    columns: ColumnNames
    read: Callable[[], Iterator[PlacedRow]]
    cells: Callable[[PlacedRow], tuple[Sequence[Any], Fault | None]]
    remarks: tuple[str, ...] = ()

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


def csv_listings(source: Source, columns: ColumnNames, encoding: str | None = None) -> TextListings:
    """Check a CSV file of listings, with a header; a row that is no text is a bad row.

    :param encoding: None lets the file say.
    :raises InputError: if it cannot be read, no row of it is text, or it lacks a column.
    """
    encoding, remarks = text_encoding(source, encoding)
    delimiter = delimiter_in(
        source, encoding, lambda header: columns.found_in(header).title in header
    )
    rows = partial(_csv_rows, source, delimiter, encoding)
    if delimiter != ",":
        remarks = (*remarks, f"{source}: read with {_DELIMITERS[delimiter]} between cells")
    read = rows()
    _, header, first_fault = next(read, PlacedRow(0, []))
    if first_fault is None:
        columns = columns.check(source, header)
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
        return islice(rows(), 1, None)

    return TextListings(n_rows, pa.schema(kinds), columns, read_again, cells_of, remarks)


def _csv_rows(source: Source, delimiter: str, encoding: str) -> Iterator[PlacedRow]:
    return csv_rows(opened(source), source, delimiter=delimiter, encoding=encoding)


_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_INT64 = range(-(2**63), 2**63)
_EXACT_IN_FLOATS = 2**53


def json_listings(
    source: Source, columns: ColumnNames, encoding: str | None = None
) -> TextListings:
    """Check listings in JSON, an object a line or one array; what is no object is a bad row.

    :param encoding: None lets the file say.
    :raises InputError: if no line is a JSON object, or a column is missing.
    """
    encoding, remarks = text_encoding(source, encoding)
    return _object_listings(source, columns, partial(json_rows, source, encoding), remarks)


def workbook_listings(
    source: Source, columns: ColumnNames, encoding: str | None = None
) -> TextListings:
    """Check the listings on the first sheet of a workbook, with names of columns in its first row.

    :param encoding: a workbook has its own.
    :raises InputError: if it is no workbook, holds no row, or a column is missing.
    """
    return _object_listings(source, columns, partial(workbook_rows, source), ())


def _object_listings(
    source: Source,
    columns: ColumnNames,
    rows: Callable[[], Iterator[PlacedRow]],
    remarks: tuple[str, ...],
) -> TextListings:
    kinds: dict[str, pa.DataType | None] = {}
    large: set[str] = set()
    first, n_rows, n_bad = None, 0, 0
    for row in rows():
        n_rows += 1
        if row.fault is not None:
            first, n_bad = first or row, n_bad + 1
            continue
        for name, value in row.content.items():
            kinds[name] = _common_type(kinds.get(name), value)
            if type(value) is int and abs(value) > _EXACT_IN_FLOATS:
                large.add(name)
    if n_rows == 0:
        raise InputError(f"{source}: expected one JSON object a line, found only blank lines")
    if first is not None and n_bad == n_rows:
        raise InputError(
            f"{source}:{first.line}: expected a JSON object a line, found {first.fault}; write the "
            "file again"
        )
    columns = columns.check(source, list(kinds))
    kinds[columns.title] = pa.string()
    if inexact := sorted(name for name in large if kinds[name] == pa.float64()):
        kinds.update(dict.fromkeys(inexact, pa.string()))
        told = f"{', '.join(inexact)}: numbers beyond 2^53 beside fractions; kept as text"
        remarks = (*remarks, f"{source}: {told}")

    def cells_of(row: PlacedRow) -> tuple[Sequence[Any], Fault | None]:
        line, content, fault = row
        if fault is not None:
            wrong = f"bad row: line {line}: expected a JSON object, found {fault}"
            return [None] * len(kinds), Fault(wrong, content)
        cells, title = [content.get(name) for name in kinds], content.get(columns.title)
        if isinstance(title, str | None):
            return cells, None
        found = kind_words(title)
        return cells, Fault(f"bad row: {columns.title} is {found}, expected text", content)

    schema = pa.schema([(name, kind or pa.null()) for name, kind in kinds.items()])
    return TextListings(n_rows, schema, columns, rows, cells_of, remarks)


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

    def __init__(self, source: Source, columns: ColumnNames, encoding: str | None = None) -> None:
        self._source = source
        with self._opened() as file:
            self.n_rows: int = file.metadata.num_rows
            self.schema: pa.Schema = file.schema_arrow.remove_metadata()
            self.remarks = _changed_types(source, file)
        self.columns = columns = columns.check(source, self.schema.names)
        check_types(source, self.schema, columns)

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
                yield ListingBatch(table, self.columns)

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
        except pa.ArrowNotImplementedError as exc:
            odd = _columns_without_like(self._source)
            if not odd:
                raise unreadable(self._source, "parquet", exc) from exc
            raise InputError(
                f"{self._source}: Arrow cannot read column {', '.join(odd)}: {exc}; convert it, to "
                "text or a number of 64 bits"
            ) from exc
        except (pa.ArrowException, OSError) as exc:
            raise unreadable(self._source, "parquet", exc) from exc


def _columns_without_like(source: Source) -> list[str]:
    """Return the columns of a parquet file that Arrow cannot read, which does not name them."""
    place = source.place if isinstance(source, Fetched) else source
    if place.local is None:
        return []
    from rerank.store.database import scratch  # DuckDB, for a word that Arrow does not say

    with suppress(RerankError), scratch() as session:
        rows = session.rows(
            "look at a file's columns",
            "SELECT name FROM parquet_schema($file) WHERE type = 'FIXED_LEN_BYTE_ARRAY' "
            "AND logical_type IS NULL AND converted_type IS NULL",
            {"file": str(place.local)},
        )
        return [repr(name) for (name,) in rows]
    return []


_WITHOUT_LIKE = {
    "INTERVAL": re.compile(r"converted_type.*INTERVAL"),
    "TIME with a time zone": re.compile(r"Time\(isAdjustedToUTC=true"),
}
_VARIANT = re.compile(r"group (?:field_id=\S+ )?(.+?) \(Variant\b")  # a group, of no type in Arrow


def _changed_types(source: Source, file: pq.ParquetFile) -> tuple[str, ...]:
    """Say which columns are of types that Arrow has no like of: values stay, the type does not."""
    found = []
    for at in range(min(file.metadata.num_columns, MOST_COLUMNS)):
        column = file.schema.column(at)
        said = f"{column.logical_type} converted_type {column.converted_type}"
        found += [
            f"{column.path} (a {name}) is written as {file.schema_arrow.field(own).type}"
            for name, pattern in _WITHOUT_LIKE.items()
            if pattern.search(said) and (own := column.path.split(".")[0])
        ]
    found += [
        f"{name} (a VARIANT) is written as a struct" for name in _VARIANT.findall(str(file.schema))
    ]
    return tuple(f"{source}: column {words}, with the same bytes" for words in found)


def check_types(source: object, schema: pa.Schema, columns: ColumnNames) -> None:
    """Check that titles are text, and ids, if there are any, text or numbers.

    :param source: what messages name.
    :raises InputError: if they are something else.
    """
    named = columns.listing_id in schema.names
    key = schema.field(columns.listing_id).type if named else pa.int64()
    if pa.types.is_temporal(key) or pa.types.is_nested(key):
        raise InputError(
            f"{source}: expected text or numbers in column {columns.listing_id!r}, found {key}; "
            "convert it"
        )
    kind = schema.field(columns.title).type
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    if str(values) not in TEXT_TYPES:
        raise InputError(
            f"{source}: expected text in column {columns.title!r}, found {kind}; convert it"
        )


class NumberedListings:
    """A file without ids, whose rows are numbered from 1 in a column of their own."""

    def __init__(self, file: TextListings | ParquetListings) -> None:
        self._file = file
        self.n_rows, self.columns, self.remarks = file.n_rows, file.columns, file.remarks
        self.schema = file.schema.append(pa.field(ROW_NUMBER, pa.int64()))

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        """Yield the listings in file order."""
        start = 1
        for batch in self._file.batches(rows):
            end = start + batch.table.num_rows
            numbers = pa.array(range(start, end), pa.int64())
            yield replace(batch, table=batch.table.append_column(ROW_NUMBER, numbers))
            start = end


class ListingsAsText:
    """A file of which some columns are read as text."""

    def __init__(self, file: ListingFile, names: Collection[str]) -> None:
        self._file, self._names = file, names
        self.n_rows: int = file.n_rows
        self.columns: ColumnNames = file.columns
        self.remarks: tuple[str, ...] = file.remarks
        self.schema: pa.Schema = pa.schema(
            [each.with_type(pa.string()) if each.name in names else each for each in file.schema]
        )

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        """Yield the listings in file order."""
        for batch in self._file.batches(rows):
            columns = [
                _as_text(column) if name in self._names else column
                for name, column in zip(self.schema.names, batch.table.columns, strict=True)
            ]
            yield replace(batch, table=pa.Table.from_arrays(columns, schema=self.schema))


def as_text(file: ListingFile, names: Collection[str]) -> ListingFile:
    """Return a file of listings with some columns as text, as they stand there if that is text."""
    if not isinstance(file, TextListings):
        return ListingsAsText(file, names) if names else file
    schema = [each.with_type(pa.string()) if each.name in names else each for each in file.schema]
    return replace(file, schema=pa.schema(schema))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.string())
    except pa.ArrowException:  # lists and structs
        values = [
            None if value is None else json.dumps(value, ensure_ascii=False, default=str)
            for value in json_values(column)
        ]
        return pa.chunked_array([pa.array(values, pa.string())])


def json_values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column; times as text, bytes with replacement characters.

    Where Arrow cannot write a type as text, such as times of a zone that it does not know, a value
    is the name of its type.
    """
    kind = column.type
    try:
        return [
            _without_bytes(value) for value in column.cast(_with_times_as_text(kind)).to_pylist()
        ]
    except (pa.ArrowException, ValueError, OverflowError):
        return [f"<{kind}>" if there else None for there in column.is_valid().to_pylist()]


def _with_times_as_text(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_temporal(kind):
        return pa.string()
    if types.is_dictionary(kind):
        return _with_times_as_text(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.large_list(_with_times_as_text(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([field.with_type(_with_times_as_text(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(_with_times_as_text(kind.key_type), _with_times_as_text(kind.item_type))
    return kind


def _without_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {key: _without_bytes(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_bytes(inner) for inner in value]
    return value


def column_texts(column: pa.ChunkedArray) -> list[str | None]:
    """Return the values of a column as text, whole numbers without a point."""
    if pa.types.is_string(column.type):
        return column.to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_floating(column.type):
        return [None if v is None or v != v else _code(v) or str(v) for v in column.to_pylist()]
    return _as_text(column).to_pylist()  # type: ignore[no-any-return]


ListingFile = TextListings | ParquetListings | NumberedListings | ListingsAsText
"""A checked file of listings: how many, and the columns of every batch."""

_READERS: dict[str, Callable[[Source, ColumnNames, str | None], TextListings | ParquetListings]] = {
    ".parquet": ParquetListings,
    ".csv": csv_listings,
    ".tsv": csv_listings,
    ".jsonl": json_listings,
    ".ndjson": json_listings,
    ".json": json_listings,
    ".xlsx": workbook_listings,
    ".csv.gz": csv_listings,
    ".tsv.gz": csv_listings,
    ".jsonl.gz": json_listings,
    ".ndjson.gz": json_listings,
    ".json.gz": json_listings,
}
ENDINGS = tuple(_READERS)
"""What the name of a file of listings may end in."""


def open_listings(
    source: Path | Source, columns: ColumnNames = OUR_NAMES, encoding: str | None = None
) -> ListingFile:
    """Check a file of listings and return its reader.

    :param columns: the user's names of the columns that are read; by default ours.
    :param encoding: of text; None lets the file say.
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
            f"{place}: expected a file name ending in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, "
            f"found {place.suffix or 'no ending'!r}; convert or rename the file"
        )
    if not info.size and info.type != fs.FileType.NotFound:
        raise InputError(f"{place}: expected listings, found a file of 0 bytes; write it again")
    file = reader(opened, columns, encoding)
    numbered = file.columns.listing_id == ROW_NUMBER and ROW_NUMBER not in file.schema.names
    return NumberedListings(file) if numbered else file
