"""What preferences the store holds, counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rerank.store.database import Session

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
