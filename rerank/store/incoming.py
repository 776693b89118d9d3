"""What a file hands in for the store: which columns it may have, and its rows as Arrow text.

Columns come as files give them (all text in CSV, typed in parquet). Here they get one type each, so
that the checks that follow are the same for every format.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import pyarrow as pa

from index.errors import FaultsError, InputError

PLACE = "place"
NUMBER = "a finite number or empty"
TIME = "a time (2026-01-31T12:00:00Z) or empty"
LIST = "a JSON list of text"


class Kind(Enum):
    """What a column holds. ``KEY``: text or whole numbers; ``LIST``: texts, in text as JSON."""

    KEY = "text or whole numbers"
    TEXT = "text"
    NUMBER = "numbers"
    TIME = "times, or text such as 2026-01-31T12:00:00Z"
    LIST = "lists of text, or text that holds a JSON list"

    @property
    def one(self) -> str:
        """What one cell holds."""
        return _ONE[self]


_ONE = {
    Kind.KEY: "text or a whole number",
    Kind.TEXT: "text",
    Kind.NUMBER: NUMBER,
    Kind.TIME: TIME,
    Kind.LIST: LIST,
}

LISTING_COLUMNS = {
    "listing_id": Kind.KEY,
    "title": Kind.TEXT,
    "vendor": Kind.TEXT,
    "description": Kind.TEXT,
    "price": Kind.NUMBER,
    "shop": Kind.TEXT,
    "language": Kind.TEXT,
}
ANNOTATION_COLUMNS = {
    "listing_id": Kind.KEY,
    "annotator": Kind.KEY,
    "verdict": Kind.TEXT,
    "gpu_id": Kind.TEXT,
    "model": Kind.TEXT,
    "shown": Kind.LIST,
    "model_version": Kind.TEXT,
    "note": Kind.TEXT,
    "annotated_at": Kind.TIME,
}
GOLD_COLUMNS = {
    "kind": Kind.TEXT,
    "gold_models": Kind.TEXT,
    "gold_memory_gb": Kind.NUMBER,
    "gold_form": Kind.TEXT,
}


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file's rows, before they are checked.

    :param source: the file, named in errors.
    :param rows: known columns only, and `PLACE`: the line or row each came from.
    :param place_word: ``line`` or ``row``.
    :param unread: the file's columns that mean nothing here.
    :param unread_rows: (place, what is wrong) of rows or cells that could not be read.
    :param unread_cells: (place, column) of such cells; they are null in the rows.
    """

    source: str
    rows: pa.Table
    place_word: str
    unread: tuple[str, ...] = ()
    unread_rows: tuple[tuple[int, str], ...] = ()
    unread_cells: tuple[tuple[int, str], ...] = ()

    @property
    def given(self) -> frozenset[str]:
        """The known columns that the file has."""
        return frozenset(self.rows.column_names) - {PLACE}

    def require(self, *names: str) -> None:
        """Check that the file has some columns.

        :raises InputError: if it lacks one; with what could not be read, if that is it not the
            reason.
        """
        missing = [name for name in names if name not in self.given]
        if not missing:
            return
        found = ", ".join([*sorted(self.given), *self.unread][:20]) or "none"
        told = (
            f"expected the columns {', '.join(names)}, missing {', '.join(missing)}, found "
            f"{found}; rename or add the columns"
        )
        if not self.unread_rows:
            raise InputError(f"{self.source}: {told}")
        unread = [f"{self.place_word} {place}: {wrong}" for place, wrong in self.unread_rows]
        raise FaultsError(self.source, [told, *unread] if self.rows.num_rows else unread)


def as_text(incoming: Incoming, columns: dict[str, Kind]) -> tuple[pa.Table, dict[str, str]]:
    """Return the rows with exactly these columns, and `PLACE`; all text, lists as they are.

    Numbers and times become the text that DuckDB reads back to the same value. A column that the
    file lacks is all null; so is one that holds another type than it should, and what is wrong
    with it is returned under its name.
    """
    arrays, faults = {PLACE: incoming.rows.column(PLACE)}, {}
    for name, kind in columns.items():
        arrays[name] = pa.nulls(incoming.rows.num_rows, pa.string())
        if name not in incoming.given:
            continue
        column = incoming.rows.column(name)
        try:
            if _fits(column.type, kind):
                arrays[name] = _text_of(column, kind)
            else:
                faults[name] = f"expected {kind.value}, found {column.type}"
        except pa.ArrowInvalid as exc:
            faults[name] = f"expected {kind.value}, found {exc}"
    return pa.table(arrays), faults


def _fits(found: pa.DataType, kind: Kind) -> bool:
    types = pa.types
    if types.is_dictionary(found):
        found = found.value_type
    if types.is_null(found) or _is_text(found):
        return True
    if kind is Kind.KEY:
        return bool(types.is_integer(found))
    if kind is Kind.NUMBER:
        return bool(types.is_integer(found) or types.is_floating(found) or types.is_decimal(found))
    if kind is Kind.TIME:
        return bool(types.is_timestamp(found) or types.is_date(found))
    return kind is Kind.LIST and _is_list(found) and _is_text(found.value_type)


def _is_text(found: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(found) or types.is_large_string(found)) or bool(
        types.is_string_view(found)
    )


def _is_list(found: pa.DataType) -> bool:
    return bool(pa.types.is_list(found) or pa.types.is_large_list(found))


def _text_of(column: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    found = column.type
    if _is_list(found):
        return column.cast(pa.list_(pa.string()))
    if kind is Kind.TIME and (pa.types.is_timestamp(found) or pa.types.is_date(found)):
        # with a zone, Arrow keeps UTC; what is finer than microseconds is cut
        fine = pa.types.is_timestamp(found) and found.unit == "ns"
        column = column.cast(pa.timestamp("us"), safe=not fine)
    return column.cast(pa.string())
