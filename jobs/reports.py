"""Lay out an evaluation report as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from index.registry_check import Finding
from jobs.tables import table
from rerank.evaluation.baselines import BASELINE_LABELS
from rerank.evaluation.catalogue import METRICS

_PARTS = ("retrieval", "ranking", "decision", "label")


def report_text(report: dict[str, Any]) -> str:
    """Return the figures of every set, its routes and baselines, and the latency."""
    parts = [set_text(name, content) for name, content in report["sets"].items()]
    latency = report["latency_ms"]
    if latency["p50"] is not None:
        parts.append(
            f"one listing in-process: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms"
        )
    return "\n\n".join(parts)


def set_text(name: str, content: dict[str, Any]) -> str:
    """Return one set: figures with 95 % intervals, what was lost where, routes, baselines."""
    rows = [
        [metric.label, *_cells(content["metrics"][metric.name])]
        for metric in METRICS
        if metric.name in content["metrics"]
    ]
    parts = [f"{name}: {content['n']} listings", table(("", "value", "95 %", "n"), rows, left=(0,))]
    if content.get("loss_budget"):
        parts.append(budget_text(content["loss_budget"]))
    if content.get("candidate_sets"):
        parts.append(_candidate_sets_text(content["candidate_sets"]))
    if content.get("routes"):
        parts.append(_routes_text(content["routes"]))
    if content.get("baselines"):
        parts.append(baselines_text(content))
    return "\n\n".join(parts)


def budget_text(budget: dict[str, int]) -> str:
    """Return how many listings each part lost."""
    lost = ", ".join(f"{budget[part]} to {part}" for part in _PARTS)
    return f"{budget['right']} of {budget['listings']} right; {budget['errors']} lost: {lost}"


def _candidate_sets_text(sets: dict[str, Any]) -> str:
    return (
        f"candidate sets for a coverage of {sets['level']:g}: {_value(sets['coverage'])} reached, "
        f"{_value(sets['mean_size'])} outcomes on average"
    )


def baselines_text(content: dict[str, Any]) -> str:
    """Return one set's baselines beside our own figures."""
    keys = ("precision_at_1", "recall_at_3", "recall_at_10", "mrr")
    rows = [["rerank", *(_value(content["metrics"].get(key)) for key in keys), ""]]
    for name, figures in content["baselines"].items():
        gain = figures.get("gain_precision_at_1")
        rows.append(
            [
                BASELINE_LABELS.get(name, name),
                *(_value(figures.get(key)) for key in keys),
                f"{gain['value']:+.3f}" if gain and gain["value"] is not None else "-",
            ]
        )
    header = ("", "precision@1", "recall@3", "recall@10", "MRR", "gain")
    return table(header, rows, left=(0,))


def _routes_text(routes: dict[str, Any]) -> str:
    cutoffs = sorted({key for figures in routes.values() for key in figures}, key=_cutoff)
    rows = [
        [f"route {name}", *(_value(figures.get(key)) for key in cutoffs)]
        for name, figures in routes.items()
    ]
    header = ("", *(key.replace("recall_at_", "recall@") for key in cutoffs))
    return table(header, rows, left=(0,))


def _cutoff(key: str) -> int:
    return int(key.rpartition("_")[2])


def _cells(figure: dict[str, Any]) -> list[str]:
    low, high = figure["ci95"]
    interval = "-" if low is None else f"{low:.3f}-{high:.3f}"
    return [_value(figure), interval, str(figure["n"])]


def _value(figure: dict[str, Any] | None) -> str:
    return "-" if figure is None or figure["value"] is None else f"{figure['value']:.3f}"


def findings_text(findings: Sequence[Finding]) -> str:
    """Return the differences between registry and facts, one a line, by kind."""
    lines = []
    for kind in dict.fromkeys(finding.kind for finding in findings):
        own = [finding for finding in findings if finding.kind is kind]
        lines.append(f"{kind.value}: {len(own)}")
        for item in own:
            told = f"registry {item.registry}; facts " if item.registry else ""
            lines.append(f"  {item.vendor:6} {item.model} | {told}{item.facts}")
    return "\n".join(lines) or "no differences"
