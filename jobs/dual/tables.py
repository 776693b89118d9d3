"""Lay out what was measured of a dual-objective ranker, in at most 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.tables import WIDTH, cut, table

_COMPLIANCE = (
    ("compliance@1", "compliance_at_1"),
    ("@3", "compliance_at_3"),
    ("@5", "compliance_at_5"),
)
_RANKING = (
    ("nDCG@10", "ndcg_at_10"),
    ("conflict@1", "conflict_at_1"),
)
_CONFLICT = (("conflict AUC", "conflict_auc"), ("conflict ECE", "conflict_ece"))
_GAINS = (("compliance@1", "compliance_at_1"), ("nDCG@10", "ndcg_at_10"))


def report_text(report: Mapping[str, Any]) -> str:
    """Return steps, their gains, the doubt and the failures as text."""
    steps = report["steps"]
    parts = [_figures(steps, columns) for columns in (_COMPLIANCE, _RANKING, _CONFLICT)]
    if any(step["gain"] for step in steps):
        parts.append(f"gain over {steps[0]['label']}\n\n{_gains(steps)}")
    parts += [_uncertainty(report["uncertainty"]), _failures(report)]
    return "\n\n".join(parts)


def _figures(steps: list[Mapping[str, Any]], columns: tuple[tuple[str, str], ...]) -> str:
    rows = [
        [step["label"], *(_figure(step["metrics"].get(key)) for _, key in columns)]
        for step in steps
    ]
    return table(("", *(label for label, _ in columns)), rows, left=(0,))


def _figure(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "-"
    return f"{figure['value']:.3f} ({_span(figure['ci95'])})"


def _span(ci95: list[float]) -> str:
    low, high = ci95
    return f"{low:.3f}-{high:.3f}"


def _gains(steps: list[Mapping[str, Any]]) -> str:
    rows = []
    for step in steps[1:]:
        for label, key in _GAINS:
            gain = step["gain"][key]
            low, high = gain["ci95"]
            rows.append(
                [
                    step["label"],
                    label,
                    f"{gain['difference']:+.4f}",
                    f"{low:+.4f} to {high:+.4f}",
                    "-" if gain["relative"] is None else f"{gain['relative']:+.1%}",
                    f"{gain['p_adjusted']:.4f}",
                ]
            )
    return table(("", "metric", "gain", "95 %", "relative", "p (Holm)"), rows, left=(0, 1))


def _uncertainty(found: Mapping[str, Any]) -> str:
    rows = [
        [
            str(number),
            str(each["n"]),
            f"{each['mean_doubt']:.3f}",
            f"{each['mean_error_probability']:.3f}",
            f"{each['share_wrong']:.3f}",
            _span(each["ci95"]),
        ]
        for number, each in enumerate(found["bins"], 1)
    ]
    header = ("quarter", "queries", "doubt", "stated errors", "share wrong", "95 %")
    return (
        f"first candidate not the best: {_figure(found['share_wrong'])}\n"
        f"AUC of doubt for that {_figure(found['auc'])}, ECE {_figure(found['ece'])}\n\n"
        f"{table(header, rows, left=())}"
    )


def _failures(report: Mapping[str, Any]) -> str:
    causes = report["failure_causes"]
    if not causes:
        return "no failures"
    rows = [[str(n), cut(cause, WIDTH - 10)] for cause, n in causes.items()]
    return f"failures\n\n{table(('', 'cause'), rows, left=(1,))}"
