"""The section on the ablation: what each step and each group of features earns."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.report_html.blocks import Cell, figure_cell, folded, framed, section, table
from jobs.report_html.dot_plot import Row, Tone, dot_plot
from jobs.report_html.figures import (
    Content,
    Figure,
    figure,
    number,
    p_text,
    part,
    plural,
    records,
    text,
)
from jobs.report_html.markup import Markup, element
from jobs.report_html.names import in_report_order, metric_label, spoken

_MEASURE = "precision_at_1"


def ablation_section(content: Content, anchor: str) -> Markup | None:
    """Return the ladder of systems and what each feature group left out costs."""
    steps = records(content, "steps")
    ladder = [step for step in steps if step.get("group") == "ladder"]
    left_out = [step for step in steps if step.get("group") == "left_out"]
    lead = (
        f"Every system orders the same candidates of {plural(round(n), 'listing')}."
        if (n := number(content.get("n"))) is not None
        else "Every system orders the same candidates."
    )
    known = [block for block in (_ladder(ladder), _left_out(left_out)) if block is not None]
    return section(
        anchor,
        "Ablation",
        lead,
        element("div", *known, class_="parts") if known else None,
        folded("Figures of the ladder", _step_table("Ladder of systems", ladder)),
        folded(
            "Figures with a group left out",
            _step_table("Systems with one feature group left out", left_out),
        ),
    )


def _ladder(steps: Sequence[Content]) -> Markup | None:
    if not steps:
        return None
    rows = [
        Row(
            _step(step),
            figure(part(step, "metrics"), _MEASURE),
            Tone.OWN if at == len(steps) - 1 else Tone.OTHER,
        )
        for at, step in enumerate(steps)
    ]
    plot = dot_plot(
        rows, title="What each step of the ladder adds", axis_label=metric_label(_MEASURE)
    )
    note = element("p", "From the plainest system to the full one, which is blue.", class_="lead")
    return element("div", element("h4", "Step by step"), note, framed(plot))


def _left_out(steps: Sequence[Content]) -> Markup | None:
    if not steps:
        return None
    rows = []
    for step in steps:
        own = _difference(step)
        clear = own.low is not None and own.high is not None and not own.low <= 0 <= own.high
        rows.append(Row(_step(step), own, Tone.OTHER if clear else Tone.OWN))
    rows.sort(key=lambda row: (row.figure.value is None, row.figure.value or 0.0, row.label))
    plot = dot_plot(
        rows,
        title="What leaving a feature group out changes",
        limits=(-1.0, 1.0),
        signed=True,
        axis_label=f"{metric_label(_MEASURE)}, less that of the full system",
    )
    told = "Left of zero the group earns its place; orange where the interval leaves out zero."
    note = element("p", told, class_="lead")
    return element("div", element("h4", "One group of features left out"), note, framed(plot))


def _step_table(caption: str, steps: Sequence[Content]) -> Markup | None:
    metrics = in_report_order({key for step in steps for key in part(step, "metrics")})
    rows: list[list[Cell]] = []
    for step in steps:
        gap = part(part(step, "difference"), _MEASURE)
        rows.append(
            [
                _step(step),
                *(figure_cell(figure(part(step, "metrics"), key)) for key in metrics),
                figure_cell(_difference(step), signed=True),
                p_text(number(gap.get("p_adjusted"))),
            ]
        )
    header = ("system", *map(metric_label, metrics), "difference to full", "p, corrected")
    return table(f"{caption}; difference in {metric_label(_MEASURE)}", header, rows)


def _difference(step: Content) -> Figure:
    """Return the difference to the full system; every system has the n of the section's lead."""
    return figure(part(step, "difference"), _MEASURE)._replace(n=None)


def _step(step: Content) -> str:
    return text(step, "label") or spoken(text(step, "name"))
