"""What the store's commands say: summaries of imports, tables and their columns."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from jobs.tables import WIDTH
from rerank.store.importing import ImportSummary, OnConflict

_DONE = {OnConflict.REFUSE: "", OnConflict.KEEP: " (kept)", OnConflict.REPLACE: " (replaced)"}


def summary_text(summary: ImportSummary, on_conflict: OnConflict) -> str:
    """Return what an import did."""
    lines = [
        f"added {summary.added:,}, unchanged {summary.unchanged:,}, conflicts "
        f"{summary.conflicts:,}{_DONE[on_conflict] if summary.conflicts else ''}"
    ]
    if summary.listings_added:
        lines.append(f"listings added {summary.listings_added:,}")
    if summary.listings_differing:
        lines.append(f"listings stored with another title {summary.listings_differing:,} (kept)")
    return "\n".join(lines)


def tables_text(tables: Sequence[dict[str, Any]]) -> str:
    """Return tables and columns with their meaning, for a terminal of 80 columns."""
    lines: list[str] = []
    for table in tables:
        lines += wrap(f"{table['table']}: {table['row']}", WIDTH)
        wide = max(len(column["column"]) for column in table["columns"])
        for column in table["columns"]:
            first, *more = wrap(column["meaning"].replace("`", ""), WIDTH - wide - 4)
            lines.append(f"  {column['column']:{wide}}  {first}")
            lines += [f"  {'':{wide}}  {line}" for line in more]
        lines.append("")
    return "\n".join(lines).rstrip()
