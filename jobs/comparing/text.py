"""Lay out a comparison of rankers as text of at most 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.tables import WIDTH, cut, table

_METRICS = {"precision_at_1": "precision@1", "ndcg_at_10": "nDCG@10", "ece": "ECE"}
_SIGNIFICANT = 0.05
_NAME_WIDTH = 20
_NOTE = (
    "95 % intervals. * differs from LambdaRank: p below .05, paired, Holm-corrected.\n"
    "size: files that are read to rank. trained: ranker and what decides. ranked/s:\n"
    "ranking and decision on given candidates; resolved/s: from title to answer;\n"
    "both in one process."
)


def comparison_text(report: Mapping[str, Any]) -> str:
    """Return what rankers cost, then a table for each set."""
    sets = [_set_text(name, content, report) for name, content in report["sets"].items()]
    return "\n\n".join([_costs_text(report), *sets, _NOTE])


def size_text(size_bytes: float | None) -> str:
    """Write a size in kB or MB."""
    if size_bytes is None:
        return "-"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"


def duration_text(seconds: float | None) -> str:
    """Write a duration in seconds or minutes."""
    if seconds is None:
        return "-"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def rate_text(measured: Mapping[str, Any] | None) -> str:
    """Write a rate with three digits."""
    if measured is None:
        return "-"
    rate = float(f"{measured['rate']['median']:.3g}")
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:g}"


def _costs_text(report: Mapping[str, Any]) -> str:
    rows = [
        [
            cut(each["name"], _NAME_WIDTH),
            cut((each["version"] or "-").partition("+")[0], 16),
            size_text(each["size_bytes"]),
            duration_text(each["training_seconds"]),
            rate_text(each["ranking"]),
            rate_text(each["resolving"]),
        ]
        for each in report["rankers"]
    ]
    header = ("", "version", "size", "trained", "ranked/s", "resolved/s")
    return table(header, rows, left=(0, 1))


def _set_text(name: str, content: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    n, of = content["n"], content["of"]
    drawn = f"{n} of {of} listings, drawn with seed {report['seed']}" if n < of else f"{n} listings"
    rows = [
        [cut(ranker, _NAME_WIDTH), *(_cell(own, metric) for metric in _METRICS)]
        for ranker, own in content["rankers"].items()
    ]
    header = ("", *_METRICS.values())
    told = cut(f"{name}: {drawn}, {content['matches']} sell a GPU", WIDTH)
    return told + "\n\n" + table(header, rows, left=(0,))


def _cell(own: Mapping[str, Any], metric: str) -> str:
    figure = own["metrics"].get(metric)
    if figure is None or figure["value"] is None:
        return "- "
    low, high = figure["ci95"]
    p_adjusted = own["differences"].get(metric, {}).get("p_adjusted")
    mark = "*" if p_adjusted is not None and p_adjusted < _SIGNIFICANT else " "
    return f"{figure['value']:.3f} {low:.3f}-{high:.3f}{mark}"
