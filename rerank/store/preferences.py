"""Preferences in the store: which of two items is better, who or what said so, and the items."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Literal

import pyarrow as pa

from rerank.store.database import Session, utc_now

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
