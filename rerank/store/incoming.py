"""What a file hands in for the store: which columns it may have, and its rows as Arrow text.

Columns come as files give them (all text in CSV, typed in parquet). Here they get one type each, so
that the checks that follow are the same for every format.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa

from index.errors import FaultsError, InputError
from rerank.store.database import Session

PLACE = "place"
LONGEST_KEY = 1_000
"""Characters of a listing_id or an annotator: they are keys, not texts."""

_FIRST_PLACES = 5
_SHOWN_CHARS = 60


class Kind(Enum):
    """What a column holds. ``KEY``: text or whole numbers; ``LIST``: texts, in text as JSON."""

    KEY = "text or whole numbers"
    TEXT = "text"
    NUMBER = "numbers"
    TIME = "times, or text such as 2026-01-31T12:00:00Z"
    LIST = "lists of text, or text that holds a JSON list"


LISTING_COLUMNS = {
    "listing_id": Kind.KEY, "title": Kind.TEXT, "vendor": Kind.TEXT, "description": Kind.TEXT,
    "price": Kind.NUMBER, "shop": Kind.TEXT, "language": Kind.TEXT,
}  # fmt: skip
ANNOTATION_COLUMNS = {
    "listing_id": Kind.KEY, "annotator": Kind.KEY, "verdict": Kind.TEXT, "gpu_id": Kind.TEXT,
    "model": Kind.TEXT, "shown": Kind.LIST, "model_version": Kind.TEXT, "note": Kind.TEXT,
    "annotated_at": Kind.TIME,
}  # fmt: skip
GOLD_COLUMNS = {
    "kind": Kind.TEXT, "gold_models": Kind.TEXT, "gold_memory_gb": Kind.NUMBER,
    "gold_form": Kind.TEXT,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file's rows, before they are checked.

    :param source: the file, named in errors.
    :param rows: known columns only, and `PLACE`: the line or row each came from.
    :param place_word: ``line`` or ``row``.
    :param unread: the file's columns that mean nothing here.
    """

    source: str
    rows: pa.Table
    place_word: str
    unread: tuple[str, ...] = ()

    @property
    def given(self) -> frozenset[str]:
        """The known columns that the file has."""
        return frozenset(self.rows.column_names) - {PLACE}

    def require(self, *names: str) -> None:
        """Check that the file has some columns.

        :raises InputError: if it lacks one.
        """
        missing = [name for name in names if name not in self.given]
        if missing:
            found = ", ".join([*sorted(self.given), *self.unread][:20]) or "none"
            raise InputError(
                f"{self.source}: expected the columns {', '.join(names)}, missing "
                f"{', '.join(missing)}, found {found}; rename or add the columns"
            )


def as_text(incoming: Incoming, columns: dict[str, Kind]) -> pa.Table:
    """Return the rows with exactly these columns, and `PLACE`; all text, lists as they are.

    Numbers and times become the text that DuckDB reads back to the same value; a column that the
    file lacks is all null.

    :raises FaultsError: if columns hold another type than they should.
    """
    arrays, faults = {PLACE: incoming.rows.column(PLACE)}, []
    for name, kind in columns.items():
        if name not in incoming.given:
            arrays[name] = pa.nulls(incoming.rows.num_rows, pa.string())
            continue
        column = incoming.rows.column(name)
        try:
            if _fits(column.type, kind):
                arrays[name] = _text_of(column, kind)
            else:
                faults.append(f"column {name!r}: expected {kind.value}, found {column.type}")
        except pa.ArrowInvalid as exc:
            faults.append(f"column {name!r}: expected {kind.value}, found {exc}")
    if faults:
        raise FaultsError(incoming.source, faults)
    return pa.table(arrays)


def check_rows(session: Session, incoming: Incoming, checks: str) -> None:
    """Raise all faults of rows, equal ones together.

    :param checks: a query for (place, what is wrong, the value that is), a row a fault.
    :raises FaultsError: if there are any.
    """
    rows = session.rows(
        "check rows",
        f"SELECT wrong, left(value, {_SHOWN_CHARS + 1}) AS value, "
        f"list(place ORDER BY place)[1:{_FIRST_PLACES}], count(*) "
        f"FROM ({checks}) AS checks(place, wrong, value) GROUP BY ALL ORDER BY min(place), wrong",
    )
    faults = [
        f"{_places(incoming.place_word, places, n)}: {wrong}{_shown(value)}"
        for wrong, value, places, n in rows
    ]
    if faults:
        raise FaultsError(incoming.source, faults)


def key_checks(table: str, column: str) -> str:
    """Return a query for the rows of a table whose key is empty or too long."""
    return f"""
        SELECT place, '{column} is empty', NULL FROM {table} WHERE {column} = ''
        UNION ALL SELECT place, '{column} is longer than {LONGEST_KEY} characters', {column}
            FROM {table} WHERE length({column}) > {LONGEST_KEY}"""


def repeated_checks(table: str, keys: Sequence[str], content: Iterable[str]) -> str:
    """Return a query for the rows of a table that give one key different content."""
    key, row = ", ".join(keys), ", ".join(content)
    shown = " || ' by ' || ".join(keys)
    # Two steps: comparing rows is dear, and few keys, if any, stand there twice.
    return f"""
        SELECT unnest(list(place)), 'stands there with different content', any_value({shown})
        FROM {table} SEMI JOIN (SELECT {key} FROM {table} GROUP BY {key} HAVING count(*) > 1)
        USING ({key}) GROUP BY {key} HAVING count(DISTINCT row({row})) > 1"""


def _places(word: str, places: list[int], n: int) -> str:
    shown = ", ".join(str(place) for place in places)
    more = f" and {n - len(places)} more" if n > len(places) else ""
    return f"{word}{'s' if n > 1 else ''} {shown}{more}"


def _shown(value: str | None) -> str:
    if value is None:
        return ""
    return f", got {value[:_SHOWN_CHARS]!r}{'...' if len(value) > _SHOWN_CHARS else ''}"


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
