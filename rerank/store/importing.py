"""Import listings, and what imports share: conflicts, their policy and the summary.

Everything is checked before anything is written, and one transaction writes everything. All of it
is set-wise: a million rows are a handful of queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa

from index.errors import FaultsError
from rerank.store.database import Session, Store, scratch, utc_now
from rerank.store.incoming import (
    LISTING_COLUMNS,
    NUMBER,
    Incoming,
    as_text,
)
from rerank.store.row_faults import RowFaults, key_checks

PRICE = "TRY_CAST(NULLIF(trim(price), '') AS DOUBLE)"
_TEXTS = ("title", "vendor", "description", "shop", "language")
CONTENT = ("title", "vendor", "description", "price", "shop", "language")
"""What makes up a listing besides its key."""


class OnConflict(Enum):
    """What becomes of a row whose key the store has with other content."""

    REFUSE = "refuse"
    KEEP = "keep"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did.

    :param conflicts: rows that the store had with other content: kept or replaced.
    :param listings_added: listings that came along with answers.
    :param listings_differing: listings that came along but are stored with another title; the
        stored one stays.
    """

    added: int
    unchanged: int
    conflicts: int
    listings_added: int = 0
    listings_differing: int = 0


def import_listings(
    store: Store, incoming: Incoming, *, on_conflict: OnConflict = OnConflict.REFUSE
) -> ImportSummary:
    """Write a file of listings to the store.

    A column that the file lacks is neither compared nor changed.

    :raises InputError: if the file lacks a column.
    :raises FaultsError: if rows are faulty, or in conflict with the store and that is refused.
    """
    incoming.require("listing_id", "title")
    faults = RowFaults(incoming)
    with scratch() as session:
        listings = checked_listings(session, incoming, faults)
    faults.raise_all()
    given = [name for name in CONTENT if name in incoming.given]
    with store.writing() as session, session.visible("listings_in", listings):
        conflicts = _conflicts(session, incoming, given, on_conflict)
        known = count(session, "listings_in SEMI JOIN listings USING (listing_id)")
        insert_listings(session)
        if conflicts and on_conflict is OnConflict.REPLACE:
            _replace(session, given)
    return ImportSummary(listings.num_rows - known, known - conflicts, conflicts)


def checked_listings(
    session: Session, incoming: Incoming, faults: RowFaults, *, optional: bool = False
) -> pa.Table:
    """Return a file's listings, each once, with `PLACE` and their values.

    :param faults: notes values that are wrong, and listings with different content.
    :param optional: listings come along with something else, which checks their keys; rows without
        a title bring none. Otherwise such rows are faults.
    """
    text, wrong = as_text(incoming, LISTING_COLUMNS)
    faults.add_columns(wrong)
    texts = ", ".join(f"coalesce({name}, '') AS {name}" for name in _TEXTS)
    with session.visible("handed", text):
        session.execute(
            "read listings",
            f"CREATE OR REPLACE TABLE offered AS SELECT place, coalesce(listing_id, '') AS "
            f"listing_id, {texts}, {PRICE} AS price, price AS price_text FROM handed"
            + (" WHERE title <> ''" if optional else ""),
        )
    checks = f"""
        SELECT place, 'title is empty', NULL FROM offered WHERE title = ''
        UNION ALL SELECT place, 'price must be {NUMBER}', price_text FROM offered
            WHERE trim(price_text) <> '' AND NOT coalesce(isfinite(price), false)"""
    if not optional:
        checks += f" UNION ALL {key_checks('offered', 'listing_id')}"
    faults.check(session, checks)
    faults.check_repeated(session, "offered", ("listing_id",), CONTENT)
    names = ", ".join(CONTENT)
    return session.table(
        "collect listings",
        f"SELECT DISTINCT ON (listing_id) place, listing_id, {names} FROM offered",
    )


def count(session: Session, rows: str) -> int:
    """Return how many rows a FROM clause gives."""
    ((n,),) = session.rows("count", f"SELECT count(*) FROM {rows}")
    return int(n)


def insert_listings(session: Session) -> None:
    """Write those of ``listings_in`` that the store does not have."""
    names = ", ".join(CONTENT)
    session.execute(
        "add listings",
        f"INSERT INTO listings (listing_id, {names}, added_at) SELECT listing_id, {names}, ? "
        "FROM listings_in ANTI JOIN listings USING (listing_id)",
        [utc_now()],
    )


def refuse(incoming: Incoming, conflicts: Sequence[str]) -> None:
    """Raise the conflicts of a file with the store.

    :raises FaultsError: always.
    """
    raise FaultsError(
        f"{incoming.source}: the store has other content for these rows; nothing was written; "
        "--on-conflict keep writes the rest, --on-conflict replace writes these too",
        conflicts,
    )


def _differing(given: Sequence[str]) -> str:
    differs = " OR ".join(f"i.{name} IS DISTINCT FROM s.{name}" for name in given)
    return f"FROM listings_in i JOIN listings s USING (listing_id) WHERE {differs}"


def _conflicts(
    session: Session, incoming: Incoming, given: Sequence[str], on_conflict: OnConflict
) -> int:
    if on_conflict is not OnConflict.REFUSE:
        ((n,),) = session.rows("count conflicts", f"SELECT count(*) {_differing(given)}")
        return int(n)
    columns = ", ".join(
        f"CASE WHEN i.{name} IS DISTINCT FROM s.{name} THEN '{name}' END" for name in given
    )
    rows = session.rows(
        "find conflicts",
        f"SELECT place, left(listing_id, 60), concat_ws(', ', {columns}) {_differing(given)} "
        "ORDER BY place",
    )
    if rows:
        word = incoming.place_word
        refuse(incoming, [f"{word} {at}: listing {key!r}: {names}" for at, key, names in rows])
    return 0


def _replace(session: Session, given: Sequence[str]) -> None:
    """Overwrite the differing rows only: overwriting a million equal ones takes half a minute."""
    columns = ", ".join(f"{'i' if name in given else 's'}.{name}" for name in CONTENT)
    session.execute(
        "replace listings",
        f"INSERT OR REPLACE INTO listings (listing_id, {', '.join(CONTENT)}, added_at) "
        f"SELECT listing_id, {columns}, s.added_at {_differing(given)}",
    )
