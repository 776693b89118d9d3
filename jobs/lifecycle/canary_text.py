"""The state of a canary for people and for programs."""

from __future__ import annotations

from typing import Any

from jobs.tables import table
from rerank.lifecycle.canary import CanaryState
from rerank.lifecycle.guardrails import GuardrailFigure, judge

_PERCENT = {"share accepted": 100.0, "no-match rate": 100.0, "errors": 100.0}


def status_json(state: CanaryState | None) -> dict[str, Any]:
    """Return how far a canary is, as plain values."""
    if state is None:
        return {"running": False}
    figures = _figures(state)
    return {
        "running": True,
        "experiment": state.experiment,
        "challenger": state.challenger.as_dict(),
        "champion": state.champion.as_dict(),
        "salt": state.salt,
        "step": state.step,
        "share": state.share,
        "windows": state.windows,
        "listings": state.counts.listings,
        "planned": state.settings.planned,
        "guardrails": [
            {"name": each.name, "figure": round(each.figure, 6), "limit": each.limit}
            for each in figures
        ],
    }


def status_text(state: CanaryState | None) -> str:
    """Return how far a canary is, in a few lines."""
    if state is None:
        return "no canary runs; start one with `rerank models canary start VERSION`"
    counts, settings = state.counts, state.settings
    steps = ", ".join(f"{share:g}" for share in settings.steps)
    lines = [
        f"canary      {state.experiment}",
        f"challenger  {state.challenger}",
        f"champion    {state.champion}",
        f"step        {state.step} of {len(settings.steps)} (shares {steps}), "
        f"{state.share:.0%} of the listings",
        f"listings    {counts.listings:,} of {settings.planned:,} answered by both, in "
        f"{state.windows} windows",
        f"split       salt {state.salt}",
        "",
        table(
            ["guardrail", "figure", "limit"],
            _rows(state),
            left=(0,),
        ),
    ]
    return "\n".join(lines)


def _figures(state: CanaryState) -> list[GuardrailFigure]:
    return judge(state.counts, state.settings.guardrails, 0.0)


def _rows(state: CanaryState) -> list[list[str]]:
    rows = [[each.name, *_cells(each)] for each in _figures(state)]
    return rows if state.counts.listings else [[name, "-", limit] for name, _, limit in rows]


def _cells(figure: GuardrailFigure) -> tuple[str, str]:
    factor = _PERCENT.get(figure.name)
    if factor is None:
        return f"{figure.figure:.2f}", f"{figure.limit:g}"
    return f"{factor * figure.figure:+.2f} %", f"{factor * figure.limit:+g} %"
