"""A verdict as a table: each gate with its figure, its bound and whether it was passed."""

from __future__ import annotations

from textwrap import wrap

from jobs.tables import WIDTH, cut, table
from rerank.evaluation.intervals import Figure
from rerank.lifecycle.gates import Gate, Verdict

_NAME_WIDTH = 36
_WORDS = "    "


def verdict_text(verdict: Verdict) -> str:
    """Return all gates and the outcome, at most 80 columns wide."""
    rows = [
        [
            cut(gate.name, _NAME_WIDTH),
            _figure(gate.figure),
            _bound(gate),
            "pass" if gate.passed else "FAIL",
        ]
        for gate in verdict.gates
    ]
    header, *lines = table(("gate", "figure [95 %]", "bound", ""), rows, left=(0,)).splitlines()
    shown = [header]
    for gate, line in zip(verdict.gates, lines, strict=True):
        shown += [line, *wrap(gate.words, WIDTH, initial_indent=_WORDS, subsequent_indent=_WORDS)]
    failed = len(verdict.failed)
    outcome = f"{failed} of {len(verdict.gates)} gates failed" if failed else "every gate is passed"
    return "\n".join([*shown, "", outcome])


def _figure(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return ""
    text = f"{figure.value:.4g}"
    if figure.ci95 is None:
        return text
    return f"{text} [{figure.ci95[0]:.3g}, {figure.ci95[1]:.3g}]"


def _bound(gate: Gate) -> str:
    if gate.bound is None:
        return ""
    return f"{'<=' if gate.at_most else '>='} {gate.bound:g}"
