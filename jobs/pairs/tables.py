"""Preference pairs as text for people."""

from __future__ import annotations

from jobs.pairs.collecting import Followed
from jobs.tables import cut, table
from rerank.store.preference_counts import PreferenceCounts

_MOST_SHOWN = 20


def counts_text(counts: PreferenceCounts) -> str:
    """Return what the store holds, at most 20 rows of a kind."""
    groups = {
        "source": counts.sources,
        "label": counts.labels,
        "item type": counts.item_types,
        "reason tag": counts.tags,
        "annotator": counts.annotators,
    }
    rows = [["pairs", "", str(counts.pairs)]]
    for name, numbers in groups.items():
        for at, (value, number) in enumerate(numbers.items()):
            if at < _MOST_SHOWN:
                rows.append(["" if at else name, cut(value, 44), str(number)])
        if len(numbers) > _MOST_SHOWN:
            rows.append(["", f"... and {len(numbers) - _MOST_SHOWN} more", ""])
    rows += [
        ["items", "", str(counts.items)],
        ["", "with an embedding", str(counts.embedded)],
        ["", "with the id of one", str(counts.referenced)],
        ["conflicts", "two items, different answers", str(counts.conflicts)],
        ["circles", "three items, each better than the next", str(counts.circles)],
    ]
    return table(("", "", "number"), rows, left=(0, 1))


def followed_text(followed: Followed) -> str:
    """Return what following the annotations changed, and what could not be followed."""
    left_out = {
        "pairs whose listing is not in the store": followed.without_listing,
        "matches with a GPU that the registry lacks": followed.without_gpu,
        "matches without shown candidates": followed.without_shown,
        "matches that the adjudicator decided otherwise": followed.overruled,
    }
    lines = [f"{followed.saved.line()}, {followed.removed} removed"]
    if followed.not_retrieved:
        lines.append(
            f"not retrieved: {followed.not_retrieved} new pairs with a GPU that the "
            "listing does not retrieve"
        )
    lines += [f"left out: {number} {what}" for what, number in left_out.items() if number]
    return "\n".join(lines)
