"""Import answers of annotators, with the listings they bring along."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from index.errors import InputError
from index.records import GpuRecord
from rerank.store.answers_in import CONTENT, checked_answers
from rerank.store.database import Session, Store, scratch, utc_now
from rerank.store.importing import (
    ImportSummary,
    OnConflict,
    checked_listings,
    count,
    insert_listings,
    refuse,
)
from rerank.store.incoming import Incoming
from rerank.store.names import GpuNames
from rerank.store.registry import save_registry
from rerank.store.row_faults import RowFaults


def import_annotations(
    store: Store,
    incoming: Incoming,
    records: Sequence[GpuRecord],
    *,
    registry_version: str,
    annotator: str | None = None,
    on_conflict: OnConflict = OnConflict.REFUSE,
) -> ImportSummary:
    """Write a file of answers to the store, and the listings it brings along.

    The file has the columns of `ANNOTATION_COLUMNS`, or those of a gold file (``kind``,
    ``gold_models``, ...). Columns that it lacks are not compared; an answer that is replaced is
    replaced whole.

    :param records: the registry in which names are looked up; a snapshot of it is kept.
    :param registry_version: its fingerprint.
    :param annotator: who answered, for a file that does not say.
    :raises InputError: if the file lacks a column.
    :raises FaultsError: if rows are faulty, name unknown GPUs or unknown listings, or are in
        conflict with the store and that is refused.
    """
    is_gold = "kind" in incoming.given and "verdict" not in incoming.given
    incoming.require("listing_id", *(("kind", "gold_models") if is_gold else ("verdict",)))
    if annotator is None and "annotator" not in incoming.given:
        raise InputError(
            f"{incoming.source}: expected a column 'annotator', found none; name who answered "
            "with --annotator"
        )
    faults = RowFaults(incoming)
    with scratch() as session:
        listings = checked_listings(session, incoming, faults, optional=True)
        answers = checked_answers(
            session, incoming, GpuNames(records), annotator or "", is_gold=is_gold, faults=faults
        )
    if faults:  # with the listings that are nowhere, as a part of all that is to be mended
        with store.reading() as session:
            _check_listings_exist(session, listings, answers, faults)
        faults.raise_all()
    compared = [*CONTENT[:3], *(name for name in CONTENT[3:] if name in incoming.given)]
    if is_gold and "note" not in compared:
        compared.append("note")
    with store.writing() as session:
        _check_listings_exist(session, listings, answers, faults)
        faults.raise_all()
        with session.visible("listings_in", listings), session.visible("answers_in", answers):
            summary = _write(session, incoming, compared, on_conflict)
        save_registry(session, records, registry_version)
    return summary


def _write(
    session: Session, incoming: Incoming, compared: Sequence[str], on_conflict: OnConflict
) -> ImportSummary:
    differs = " OR ".join(f"i.{name} IS DISTINCT FROM s.{name}" for name in compared)
    differing = (
        "answers_in i JOIN annotations s USING (listing_id, annotator) "
        f"WHERE ({differs} OR i.annotated_at <> s.annotated_at)"
    )
    conflicts = count(session, differing)
    if conflicts and on_conflict is OnConflict.REFUSE:
        _refuse(session, incoming, differing)
    total, listings = count(session, "answers_in"), count(session, "listings")
    known = count(session, "answers_in SEMI JOIN annotations USING (listing_id, annotator)")
    other_titles = count(
        session, "listings_in i JOIN listings s USING (listing_id) WHERE i.title <> s.title"
    )
    insert_listings(session)
    columns = f"listing_id, annotator, {', '.join(CONTENT)}, annotated_at"
    values = f"listing_id, annotator, {', '.join(f'i.{name}' for name in CONTENT)}"
    time = "coalesce(i.annotated_at, ?)"
    # First what differs: afterwards the rows that were missing are equal to those handed in.
    if conflicts and on_conflict is OnConflict.REPLACE:
        session.execute(
            "replace answers",
            f"INSERT OR REPLACE INTO annotations ({columns}) SELECT {values}, {time} "
            f"FROM {differing}",
            [utc_now()],
        )
    session.execute(
        "add answers",
        f"INSERT INTO annotations ({columns}) SELECT {values}, {time} "
        "FROM answers_in i ANTI JOIN annotations s USING (listing_id, annotator)",
        [utc_now()],
    )
    added = count(session, "listings") - listings
    return ImportSummary(total - known, known - conflicts, conflicts, added, other_titles)


def _check_listings_exist(
    session: Session, listings: pa.Table, answers: pa.Table, faults: RowFaults
) -> None:
    """Note the answers whose listing is neither stored nor comes along."""
    with session.visible("listings_in", listings), session.visible("answers_in", answers):
        faults.check(
            session,
            "SELECT place, 'listing_id is not in the store and the row has no title', listing_id "
            "FROM answers_in ANTI JOIN listings USING (listing_id) "
            "ANTI JOIN listings_in USING (listing_id) WHERE listing_id <> ''",
        )


def _refuse(session: Session, incoming: Incoming, differing: str) -> None:
    """Raise the conflicts, each with both answers.

    :raises FaultsError: always.
    """
    rows = session.rows(
        "find conflicts",
        "SELECT place, left(listing_id, 60), left(annotator, 60), "
        "concat_ws(' ', s.verdict, coalesce(s.gpu_id, s.model)), "
        "concat_ws(' ', i.verdict, coalesce(i.gpu_id, i.model)) "
        f"FROM {differing} ORDER BY place",
    )
    refuse(
        incoming,
        [
            f"{incoming.place_word} {place}: listing {key!r} by {who!r}: stored {stored}, file "
            + (new if new != stored else "the same with another note, time or origin")
            for place, key, who, stored, new in rows
        ],
    )
