"""Rows of the store as records: what people said and call things, listings, the registry then."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from rerank.index.errors import InputError
from rerank.index.records import GpuRecord, Listing
from rerank.store.database import Session, utc_now


class Verdict(Enum):
    """What a person may say of a listing.

    ``NONE_OF_THESE``: it sells a GPU, but none of the registry. ``NOT_GPU``: it sells no GPU (an
    accessory, a whole computer). ``SEVERAL``: it sells different ones at once, none of them alone.
    ``UNSURE``: the text does not tell.
    """

    MATCH = "match"
    NONE_OF_THESE = "none_of_these"
    NOT_GPU = "not_gpu"
    SEVERAL = "several"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One person's answer for one listing; a later answer replaces it.

    :param gpu_id: the variant, if it is known; never without ``model``.
    :param model: canonical name; set exactly if ``verdict`` is `MATCH`.
    :param shown: gpu_ids that were offered, in their order; empty for imported answers.
    :param model_version: what had ranked them; empty for imported answers.
    :param annotated_at: UTC; None means now.
    """

    listing_id: str
    annotator: str
    verdict: Verdict
    gpu_id: str | None = None
    model: str | None = None
    shown: tuple[str, ...] = field(default=())
    model_version: str = ""
    note: str = ""
    annotated_at: datetime | None = None


ANNOTATIONS_SCHEMA = pa.schema(
    [
        ("listing_id", pa.string()),
        ("annotator", pa.string()),
        ("verdict", pa.string()),
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("shown", pa.list_(pa.string())),
        ("model_version", pa.string()),
        ("note", pa.string()),
        ("annotated_at", pa.timestamp("us")),
    ]
)
_ANSWER = ANNOTATIONS_SCHEMA.names[2:]
_CHANGES_SCHEMA = pa.schema(
    [
        ("act_id", pa.string()),
        ("place", pa.int32()),
        ("person", pa.string()),
        ("queue", pa.string()),
        ("changed_at", pa.timestamp("us")),
        *ANNOTATIONS_SCHEMA,
    ]
)


def save_annotations(session: Session, annotations: Iterable[Annotation]) -> None:
    """Write answers; one of the same annotator for the same listing is replaced."""
    rows = [_row(item) for item in annotations]
    session.insert(
        "save annotations",
        "annotations",
        pa.Table.from_pylist(rows, ANNOTATIONS_SCHEMA),
        replace=True,
    )


def _row(item: Annotation) -> dict[str, Any]:
    own = {"verdict": item.verdict.value, "annotated_at": item.annotated_at or utc_now()}
    return {**asdict(item), **own}


def _annotation(row: Sequence[Any]) -> Annotation:
    key, who, verdict, gpu_id, model, shown, *more = row
    return Annotation(key, who, Verdict(verdict), gpu_id, model, tuple(shown), *more)


def answer_listings(
    session: Session, person: str, queue: str, answers: Sequence[Annotation]
) -> None:
    """Write answers as one act of a person, which `take_back` can undo.

    :param answers: at most one for each listing and annotator, as of now.
    """
    now, act = utc_now(), secrets.token_hex(6)
    before = {
        (each.listing_id, each.annotator): each
        for each in read_annotations(session, listing_ids=[each.listing_id for each in answers])
    }
    rows = []
    for place, each in enumerate(answers):
        own = {"act_id": act, "place": place, "person": person, "queue": queue, "changed_at": now}
        stood = before.get((each.listing_id, each.annotator))
        rows.append(own | _row(each) | dict.fromkeys(_ANSWER) | (_row(stood) if stood else {}))
    changes = pa.Table.from_pylist(rows, _CHANGES_SCHEMA)
    session.insert("save what answers replace", "answer_changes", changes)
    save_annotations(session, [replace(each, annotated_at=now) for each in answers])


class TakenBack(NamedTuple):
    """An answer that was taken back, and what stands again in its place."""

    answer: Annotation
    again: Annotation | None


def take_back(session: Session, person: str, queue: str | None = None) -> list[TakenBack]:
    """Let the last act of a person not have been; return what that changed, [] if there is none.

    An answer that was given otherwise since stays.

    :param queue: in which the act was; None for any.
    """
    ((act, at),) = session.rows(
        "find the last act",
        "SELECT arg_max(act_id, changed_at), max(changed_at) FROM answer_changes "
        "WHERE person = $person AND undone_at IS NULL AND queue = coalesce($queue, queue)",
        {"person": person, "queue": queue},
    ) or [(None, None)]
    if act is None:
        return []
    rows = session.rows(
        "read what answers replaced",
        f"SELECT {', '.join(ANNOTATIONS_SCHEMA.names)} FROM answer_changes WHERE act_id = ? "
        "ORDER BY place",
        [act],
    )
    there = {
        (each.listing_id, each.annotator): each
        for each in read_annotations(session, listing_ids=[row[0] for row in rows])
        if each.annotated_at == at
    }
    session.execute(
        "take answers back",
        "UPDATE answer_changes SET undone_at = ? WHERE act_id = ?",
        [utc_now(), act],
    )
    found = [
        TakenBack(there[row[:2]], _annotation(row) if row[2] else None)
        for row in rows
        if row[:2] in there
    ]
    for each in found:
        if each.again is None:
            session.execute(
                "take answers back",
                "DELETE FROM annotations WHERE listing_id = ? AND annotator = ?",
                [each.answer.listing_id, each.answer.annotator],
            )
    save_annotations(session, [each.again for each in found if each.again is not None])
    return found or take_back(session, person, queue)


def read_annotations(
    session: Session,
    *,
    annotator: str | None = None,
    listing_ids: Sequence[str] | None = None,
) -> list[Annotation]:
    """Return all answers, or one person's, ordered by listing and annotator.

    :param listing_ids: return those on these listings alone; None for all.
    """
    rows = session.rows(
        "read annotations",
        f"SELECT {', '.join(ANNOTATIONS_SCHEMA.names)} FROM annotations "
        "WHERE ($annotator IS NULL OR annotator = $annotator) "
        "AND ($all OR listing_id IN (SELECT unnest($keys))) ORDER BY listing_id, annotator",
        {"annotator": annotator, "all": listing_ids is None, "keys": [*(listing_ids or ())]},
    )
    return list(map(_annotation, rows))


@dataclass(frozen=True, slots=True)
class StoredListing:
    """A listing and where it comes from.

    :param shop: the feed or site it was found on; empty if unknown.
    :param language: ISO 639-1 code; empty if unknown.
    """

    listing: Listing
    shop: str = ""
    language: str = ""


LISTINGS_SCHEMA = pa.schema(
    [
        ("listing_id", pa.string()),
        ("title", pa.string()),
        ("vendor", pa.string()),
        ("description", pa.string()),
        ("price", pa.float64()),
        ("shop", pa.string()),
        ("language", pa.string()),
        ("added_at", pa.timestamp("us")),
    ]
)

LISTING_FIELDS = ", ".join(LISTINGS_SCHEMA.names[:-1])


def save_listings(session: Session, listings: Iterable[StoredListing]) -> None:
    """Write listings; one that is there already is replaced."""
    now = utc_now()
    rows = [
        {
            **asdict(item.listing),
            "shop": item.shop,
            "language": item.language,
            "added_at": now,
        }
        for item in listings
    ]
    session.insert(
        "save listings", "listings", pa.Table.from_pylist(rows, LISTINGS_SCHEMA), replace=True
    )


def stored_listings(rows: Iterable[Sequence[Any]]) -> list[StoredListing]:
    """Return rows of `LISTING_FIELDS` as listings."""
    return [StoredListing(Listing(*row[:5]), *row[5:]) for row in rows]


def read_listings(
    session: Session, listing_ids: Sequence[str] | None = None
) -> list[StoredListing]:
    """Return listings by id, all if none are named; those that are not there are left out."""
    chosen = "" if listing_ids is None else "WHERE listing_id IN (SELECT unnest(?))"
    rows = session.rows(
        "read listings",
        f"SELECT {LISTING_FIELDS} FROM listings {chosen} ORDER BY listing_id",
        () if listing_ids is None else [list(listing_ids)],
    )
    return stored_listings(rows)


class ListingLinks(NamedTuple):
    """Where a listing and its photo are, "" for each that is not known."""

    link: str
    photo: str


def save_links(session: Session, links: Mapping[str, ListingLinks]) -> None:
    """Write where listings are, by listing_id; what is there already is replaced."""
    rows = [{"listing_id": key, **own._asdict()} for key, own in links.items()]
    session.insert("save links", "listing_links", pa.Table.from_pylist(rows), replace=True)


def read_links(session: Session, listing_ids: Sequence[str]) -> dict[str, ListingLinks]:
    """Return where listings are, by listing_id, as far as it is known."""
    rows = session.rows(
        "read links",
        "SELECT listing_id, link, photo FROM listing_links "
        "WHERE listing_id IN (SELECT unnest(?::VARCHAR[]))",
        [list(listing_ids)],
    )
    return {key: ListingLinks(link, photo) for key, link, photo in rows}


REGISTRY_SCHEMA = pa.schema(
    [
        ("registry_version", pa.string()),
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("vendor", pa.string()),
        ("line", pa.string()),
        ("generation", pa.string()),
        ("memory_gb", pa.float64()),
        ("memory_type", pa.string()),
        ("form_factor", pa.string()),
        ("release_year", pa.int32()),
        ("codenames", pa.list_(pa.string())),
        ("aliases", pa.list_(pa.string())),
        ("part_numbers", pa.list_(pa.string())),
        ("rare", pa.bool_()),
        ("sold_apart", pa.bool_()),
        ("held", pa.bool_()),
    ]
)
_FIELDS = ", ".join(REGISTRY_SCHEMA.names[1:])


def save_registry(session: Session, records: Sequence[GpuRecord], version: str) -> bool:
    """Write a registry unless it is there already; return whether it was written.

    :param version: its fingerprint, which changes with the content, so that equal versions need
        no comparison.
    """
    known = "SELECT 1 FROM registry_snapshots WHERE registry_version = ?"
    if session.rows("find registry", known, [version]):
        return False
    session.execute(
        "save registry",
        "INSERT INTO registry_snapshots (registry_version, taken_at, gpus) VALUES (?, ?, ?)",
        [version, utc_now(), len(records)],
    )
    rows = [{"registry_version": version, **asdict(record)} for record in records]
    session.insert("save registry", "registry_gpus", pa.Table.from_pylist(rows, REGISTRY_SCHEMA))
    return True


def read_registry(session: Session, version: str) -> list[GpuRecord]:
    """Return the records of a snapshot, ordered by gpu_id.

    :raises InputError: if the store has no snapshot of this version.
    """
    rows = session.rows(
        "read registry",
        f"SELECT {_FIELDS} FROM registry_gpus WHERE registry_version = ? ORDER BY gpu_id",
        [version],
    )
    if not rows:
        raise InputError(
            f"expected a registry snapshot of version {version!r} in the store, found none; "
            '`rerank store sql "SELECT * FROM registry_snapshots"` lists those there are'
        )
    records = []
    for row in rows:
        fields = dict(zip(REGISTRY_SCHEMA.names[1:], row, strict=True))
        lists = {name: tuple(fields[name]) for name in ("codenames", "aliases", "part_numbers")}
        records.append(GpuRecord(**{**fields, **lists}))
    return records


@dataclass(frozen=True, slots=True)
class NamedGpu:
    """What a name stands for, a GPU or a product.

    :param model: canonical name.
    :param gpu_id: the variant; None if the name fits several of the model's variants.
    """

    model: str
    gpu_id: str | None


class KnownNames(Protocol):
    """The names by which people mean what a catalogue holds."""

    one: str
    """What one of them is called."""
    key: str
    """What the column of their ids is called."""

    def find(self, name: str) -> NamedGpu:
        """Return what a name stands for.

        :raises InputError: if it is unknown, or several are called so.
        """

    def find_first(
        self, names: Sequence[str], *, memory_gb: float | None = None, form_factor: str = ""
    ) -> NamedGpu:
        """Return what the first of several accepted names stands for that is known.

        :param memory_gb: picks the variant, where there are such; so does ``form_factor``.
        :raises InputError: if none of them is known.
        """
