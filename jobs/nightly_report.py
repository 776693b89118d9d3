"""What came out of a night: a summary as plain values, and the same for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from jobs.scoring.summary import DECISIONS, ScoreSummary
from jobs.tables import table


def summary_content(
    day: date, scored: ScoreSummary, previous: Mapping[str, Any] | None, *, index_rebuilt: bool
) -> dict[str, Any]:
    """Return a day's summary as plain values: what `rerank score` says, shares and a comparison.

    :param previous: the summary of the day to compare with.
    :param index_rebuilt: whether a run of the day rebuilt the index.
    """
    content = {"date": day.isoformat(), **scored.as_json(), "index_rebuilt": index_rebuilt}
    shares = shares_of(content)
    compared = None
    if previous is not None:
        earlier = shares_of(previous)
        compared = {
            "date": previous["date"],
            "rows": previous["rows"],
            "shares": earlier,
            "changes": {name: round(shares[name] - earlier[name], 6) for name in shares},
            "model_version": previous["model_version"],
            "index_version": previous["index_version"],
        }
    return {**content, "shares": shares, "previous": compared}


def report_text(content: Mapping[str, Any]) -> str:
    """Return a day's summary for people."""
    lines = [
        _decisions_table(content),
        "",
        f"rejects {content['rejects']:,}, answers kept from earlier {content['reused_rows']:,}",
    ]
    if content["kept_rows"]:
        lines.append(f"rows kept from an earlier run of the day {content['kept_rows']:,}")
    lines.append(f"model {content['model_version']}, index {content['index_version']}")
    previous = content["previous"]
    if previous is not None:
        changed = [
            name
            for name in ("model", "index")
            if content[f"{name}_version"] != previous[f"{name}_version"]
        ]
        if changed:
            said = " and ".join(changed)
            lines.append(f"another {said} than on {previous['date']}: its answers are not kept")
    lines += [f"set aside: {failure['error']}" for failure in content["failures"]]
    return "\n".join(lines)


def shares_of(content: Mapping[str, Any]) -> dict[str, float]:
    """Return the share of rows with each decision, 0 to 1; 0 where there are no rows."""
    total = max(content["rows"], 1)
    return {name: round(content["decisions"][name] / total, 6) for name in DECISIONS}


def _decisions_table(content: Mapping[str, Any]) -> str:
    previous = content["previous"]
    days = [content] if previous is None else [content, previous]
    rows = [["rows", *(f"{day['rows']:,}" for day in days)]]
    rows += [
        [name.replace("_", " "), *(f"{day['shares'][name]:.1%}" for day in days)]
        for name in DECISIONS
    ]
    header = ["", *(day["date"] for day in days)]
    if previous is not None:
        header.append("change")
        rows[0].append(f"{content['rows'] - previous['rows']:+,}")
        for row, name in zip(rows[1:], DECISIONS, strict=True):
            row.append(f"{100 * previous['changes'][name]:+.1f} pp")
    return table(header, rows, left=(0,))
