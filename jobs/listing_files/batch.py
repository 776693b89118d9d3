"""A batch of listings, and what every reader of a file of listings offers.

Whatever the format, a batch is a pyarrow table of one fixed schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from index.errors import InputError
from index.records import Listing
from jobs.listing_files.column_names import OUR_NAMES, ColumnNames

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
