"""Rows of the store as records: listings, what people said of them, which of two they prefer."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, Literal, NamedTuple, Protocol

import pyarrow as pa

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


PreferenceLabel = Literal[-1, 0, 1]
_ID_DIGITS = 24  # of sha256: no two of a billion items meet


class PairSource(Enum):
    """How a preference came about."""

    MANUAL = "manual"
    USER_CHOICE = "user_choice"
    BEFORE_AFTER = "before_after"
    BOOTSTRAP = "bootstrap"
    ANNOTATION = "annotation"


@dataclass(frozen=True, slots=True)
class PreferenceItem:
    """One thing that is compared; identified by its type and reference.

    :param reference_id: what the item is outside of the store.
    :param metrics: numbers a ranker may read, by name; finite.
    :param embedding: rounded to float32 when it is stored; None if there is none.
    :param embedding_id: where an embedding is to be had; None if nowhere.
    :param created_at: UTC, of the first time it was stored; None means now.
    """

    item_type: str
    reference_id: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    embedding: tuple[float, ...] | None = None
    embedding_id: str | None = None
    created_at: datetime | None = None

    @property
    def item_id(self) -> str:
        """Return the key: a fingerprint of type and reference."""
        return _fingerprint(self.item_type, self.reference_id)


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """One statement about two items of one type.

    :param label: 1 if ``a`` is better, -1 if ``b`` is, 0 if neither.
    :param similarity: cosine of the two, -1 to 1; None if unknown.
    :param annotator: who said so; empty for generated pairs.
    :param created_at: UTC; None means now.
    """

    a: PreferenceItem
    b: PreferenceItem
    label: PreferenceLabel
    source: PairSource
    annotator: str = ""
    reason_tags: tuple[str, ...] = ()
    similarity: float | None = None
    created_at: datetime | None = None

    @property
    def pair_id(self) -> str:
        """Return the key: the same for (a, b) and (b, a), another for each annotator."""
        return _fingerprint(*sorted((self.a.item_id, self.b.item_id)), self.annotator)

    @property
    def preferred(self) -> str:
        """Return the item_id of the better item, empty if neither is: equal however it is put."""
        return {1: self.a.item_id, 0: "", -1: self.b.item_id}[self.label]


_ITEM_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("item_type", pa.string()),
        ("item_reference_id", pa.string()),
        ("embedding", pa.list_(pa.float32())),
        ("embedding_id", pa.string()),
        ("metrics", pa.map_(pa.string(), pa.float64())),
        ("created_at", pa.timestamp("us")),
    ]
)
_PAIR_SCHEMA = pa.schema(
    [
        ("pair_id", pa.string()),
        ("item_a", pa.string()),
        ("item_b", pa.string()),
        ("label", pa.int8()),
        ("reason_tags", pa.list_(pa.string())),
        ("similarity", pa.float64()),
        ("source", pa.string()),
        ("annotator", pa.string()),
        ("created_at", pa.timestamp("us")),
    ]
)
_ITEM_COLUMNS = "item_type, item_reference_id, metrics, embedding, embedding_id, created_at"
_PAIR_COLUMNS = "label, source, annotator, reason_tags, similarity, created_at"


def write_items(session: Session, items: Iterable[PreferenceItem]) -> None:
    """Write items; one that is there already is replaced."""
    rows = [
        {
            "item_id": item.item_id,
            "item_type": item.item_type,
            "item_reference_id": item.reference_id,
            "embedding": item.embedding,
            "embedding_id": item.embedding_id,
            "metrics": list(item.metrics.items()),
            "created_at": item.created_at or utc_now(),
        }
        for item in items
    ]
    table = pa.Table.from_pylist(rows, _ITEM_SCHEMA)
    session.insert("save preference items", "preference_items", table, replace=True)


def write_pairs(session: Session, pairs: Iterable[PreferencePair]) -> None:
    """Write pairs, not their items; one that is there already is replaced."""
    rows = [
        {
            "pair_id": pair.pair_id,
            "item_a": pair.a.item_id,
            "item_b": pair.b.item_id,
            "label": pair.label,
            "reason_tags": list(pair.reason_tags),
            "similarity": pair.similarity,
            "source": pair.source.value,
            "annotator": pair.annotator,
            "created_at": pair.created_at or utc_now(),
        }
        for pair in pairs
    ]
    table = pa.Table.from_pylist(rows, _PAIR_SCHEMA)
    session.insert("save preference pairs", "preference_pairs", table, replace=True)


def read_items(session: Session, item_ids: Sequence[str]) -> dict[str, PreferenceItem]:
    """Return items by id; those that are not there are left out."""
    rows = session.rows(
        "read preference items",
        f"SELECT {_ITEM_COLUMNS} FROM preference_items WHERE item_id IN (SELECT unnest(?))",
        [list(item_ids)],
    )
    return {item.item_id: item for item in map(_item, rows)}


def read_pairs(
    session: Session,
    *,
    pair_ids: Sequence[str] | None = None,
    item_type: str | None = None,
    source: PairSource | None = None,
) -> list[PreferencePair]:
    """Return pairs, all if nothing is asked for, ordered by their items' type and references.

    :param pair_ids: only these; those that are not there are left out.
    """
    a, b = (_prefixed(_ITEM_COLUMNS, name) for name in ("a", "b"))
    rows = session.rows(
        "read preference pairs",
        f"SELECT {a}, {b}, {_prefixed(_PAIR_COLUMNS, 'p')} FROM preference_pairs p "
        "JOIN preference_items a ON a.item_id = p.item_a "
        "JOIN preference_items b ON b.item_id = p.item_b "
        "WHERE ($ids IS NULL OR p.pair_id IN (SELECT unnest($ids::VARCHAR[]))) "
        "AND ($item_type IS NULL OR a.item_type = $item_type) "
        "AND ($source IS NULL OR p.source = $source) "
        "ORDER BY a.item_type, a.item_reference_id, b.item_reference_id, p.annotator, p.pair_id",
        {
            "ids": None if pair_ids is None else list(pair_ids),
            "item_type": item_type,
            "source": None if source is None else source.value,
        },
    )
    found = []
    for row in rows:
        label, said, annotator, tags, similarity, at = row[12:]
        items, of = (_item(row[:6]), _item(row[6:12])), PairSource(said)
        found.append(PreferencePair(*items, label, of, annotator, tuple(tags), similarity, at))
    return found


def delete_pairs(session: Session, pair_ids: Sequence[str]) -> None:
    """Take pairs out; their items stay."""
    session.execute(
        "delete preference pairs",
        "DELETE FROM preference_pairs WHERE pair_id IN (SELECT unnest(?))",
        [list(pair_ids)],
    )


def _item(row: Sequence[Any]) -> PreferenceItem:
    """Return a row of `_ITEM_COLUMNS` as an item."""
    item_type, reference_id, metrics, embedding, embedding_id, created_at = row
    vector = None if embedding is None else tuple(embedding)
    return PreferenceItem(item_type, reference_id, metrics, vector, embedding_id, created_at)


def _prefixed(columns: str, name: str) -> str:
    return ", ".join(f"{name}.{column.strip()}" for column in columns.split(","))


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_ID_DIGITS]


# Contradictions are looked for among what anybody said; equals have no direction.
_BETTER = """better AS (
    SELECT DISTINCT if(label = 1, item_a, item_b) AS winner, if(label = 1, item_b, item_a) AS loser
    FROM preference_pairs WHERE label <> 0)"""

_CONFLICTS = """
    SELECT count(*) FROM (
        SELECT 1 FROM preference_pairs GROUP BY least(item_a, item_b), greatest(item_a, item_b)
        HAVING count(DISTINCT if(item_a < item_b, label, -label)) > 1)"""

# Each circle once: from its smallest item.
_CIRCLES = f"""WITH {_BETTER}
    SELECT count(*) FROM better one
    JOIN better two ON two.winner = one.loser
    JOIN better three ON three.winner = two.loser AND three.loser = one.winner
    WHERE one.winner < one.loser AND one.winner < two.loser"""

_ITEMS = """
    SELECT count(*), count(*) FILTER (embedding IS NOT NULL),
        count(*) FILTER (embedding IS NULL AND embedding_id IS NOT NULL)
    FROM preference_items
    WHERE item_id IN (SELECT item_a FROM preference_pairs UNION SELECT item_b FROM preference_pairs)
"""


@dataclass(frozen=True, slots=True)
class PreferenceCounts:
    """Numbers of pairs by what they say, and of items.

    :param item_types: pairs by the type of their items.
    :param tags: pairs by reason tag; a pair may have several.
    :param items: that stand in some pair.
    :param embedded: items with an embedding of their own.
    :param referenced: other items that name one by its id.
    :param conflicts: twos of items about which people or sources say different things.
    :param circles: threes of items each of which is better than the next.
    """

    pairs: int
    sources: dict[str, int]
    labels: dict[str, int]
    item_types: dict[str, int]
    tags: dict[str, int]
    annotators: dict[str, int]
    items: int
    embedded: int
    referenced: int
    conflicts: int
    circles: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def preference_counts(session: Session) -> PreferenceCounts:
    """Count pairs and items; keys come most frequent first, then by name."""
    items, embedded, referenced = session.rows("count preference items", _ITEMS)[0]
    return PreferenceCounts(
        pairs=_number(session, "SELECT count(*) FROM preference_pairs"),
        sources=_by(session, "source"),
        labels=_by(session, "label::VARCHAR"),
        item_types=_by(session, "item_type"),
        tags=_by(session, "unnest(reason_tags)"),
        annotators=_by(session, "nullif(annotator, '')"),
        items=items,
        embedded=embedded,
        referenced=referenced,
        conflicts=_number(session, _CONFLICTS),
        circles=_number(session, _CIRCLES),
    )


def _by(session: Session, expression: str) -> dict[str, int]:
    """Count pairs by an expression written in this module."""
    rows = session.rows(
        "count preference pairs",
        f"SELECT name, count(*) FROM (SELECT {expression} AS name FROM preference_pairs "
        "JOIN preference_items ON item_id = item_a) WHERE name IS NOT NULL "
        "GROUP BY name ORDER BY count(*) DESC, name",
    )
    return dict(rows)


def _number(session: Session, sql: str) -> int:
    return int(session.rows("count preferences", sql)[0][0])
