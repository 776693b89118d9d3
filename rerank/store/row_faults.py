"""The faults of a file that is handed in, collected from all checks and raised at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from index.errors import FaultsError
from rerank.store.database import Session
from rerank.store.incoming import Incoming

LONGEST_KEY = 1_000
"""Characters of a listing_id or an annotator: they are keys, not texts."""

_FIRST_PLACES = 5
_SHOWN_CHARS = 60


class RowFaults:
    """Collects what is wrong with a file; begins with what could not be read of it.

    A cell that could not be read is null in the rows, and so is a column of another type. What a
    check finds wrong with them is no fault of its own: such checks name the column.
    """

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._found: dict[str, int] = {}  # each with the first of its places
        by_fault: dict[str, list[int]] = {}
        for place, wrong in incoming.unread_rows:
            by_fault.setdefault(wrong, []).append(place)
        for wrong, places in by_fault.items():
            self._add(places, len(places), wrong)
        cells = list(zip(*incoming.unread_cells, strict=True)) or [(), ()]
        self._unread = pa.table(
            {"place": pa.array(cells[0], pa.int64()), "name": pa.array(cells[1], pa.string())}
        )
        self._columns: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add_columns(self, wrong: Mapping[str, str]) -> None:
        """Note what is wrong with whole columns, by name; they are null in the rows."""
        self._found.update({f"column {name!r}: {told}": 0 for name, told in wrong.items()})
        self._columns += wrong

    def check(self, session: Session, checks: str) -> None:
        """Note faults of rows, equal ones together.

        :param checks: a query for (place, what is wrong, the value that is), a row a fault. What is
            wrong names the columns it is about.
        """
        with session.visible("unread_cells", self._unread):
            rows = session.rows(
                "check rows",
                f"SELECT wrong, left(value, {_SHOWN_CHARS + 1}) AS value, "
                f"list(place ORDER BY place)[1:{_FIRST_PLACES}], count(*) "
                f"FROM ({checks}) AS checks(place, wrong, value) "
                "WHERE NOT EXISTS (FROM unread_cells u "
                "WHERE u.place = checks.place AND contains(wrong, u.name)) "
                "GROUP BY ALL ORDER BY min(place), wrong",
            )
        for wrong, value, places, n in rows:
            if not any(name in wrong for name in self._columns):
                self._add(places, n, f"{wrong}{_shown(value)}")

    def check_repeated(
        self, session: Session, table: str, keys: Sequence[str], content: Iterable[str]
    ) -> None:
        """Note the rows of a table that give one key different content."""
        key, row = ", ".join(keys), ", ".join(content)
        empty = " OR ".join(f"{name} = ''" for name in keys)
        # Two steps: comparing rows is dear, and few keys, if any, stand there twice.
        with session.visible("unread_cells", self._unread):
            rows = session.rows(
                "find repeated rows",
                f"SELECT list(place ORDER BY place)[1:{_FIRST_PLACES}], count(*), {key} "
                f"FROM {table} SEMI JOIN (SELECT {key} FROM {table} GROUP BY {key} "
                f"HAVING count(*) > 1) USING ({key}) ANTI JOIN unread_cells USING (place) "
                f"WHERE NOT ({empty}) GROUP BY {key} HAVING count(DISTINCT row({row})) > 1",
            )
        for places, n, *values in rows:
            named = " of ".join(
                f"{name} {value[:_SHOWN_CHARS]!r}" for name, value in zip(keys, values, strict=True)
            )
            told = f"{named} stands in {self._places(places, n)} with different content"
            self._found[told] = places[0]

    def raise_all(self) -> None:
        """Raise what was noted, in the order of the rows.

        :raises FaultsError: if anything was.
        """
        if self._found:
            raise FaultsError(
                self._incoming.source, sorted(self._found, key=self._found.__getitem__)
            )

    def _add(self, places: Sequence[int], n: int, wrong: str) -> None:
        self._found[f"{self._places(places[:_FIRST_PLACES], n)}: {wrong}"] = places[0]

    def _places(self, places: Sequence[int], n: int) -> str:
        shown = [str(place) for place in places]
        if n > len(shown):
            shown.append(f"{n - len(shown)} more")
        *first, last = shown
        word = self._incoming.place_word
        return f"{word}s {', '.join(first)} and {last}" if first else f"{word} {last}"


def key_checks(table: str, column: str) -> str:
    """Return a query for the rows of a table whose key is empty or too long."""
    return f"""
        SELECT place, '{column} is empty', NULL FROM {table} WHERE {column} = ''
        UNION ALL SELECT place, '{column} is longer than {LONGEST_KEY} characters', {column}
            FROM {table} WHERE length({column}) > {LONGEST_KEY}"""


def _shown(value: str | None) -> str:
    if value is None:
        return ""
    return f", got {value[:_SHOWN_CHARS]!r}{'...' if len(value) > _SHOWN_CHARS else ''}"
