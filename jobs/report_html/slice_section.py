"""The section on slices: how parts of a set differ from the whole."""

from __future__ import annotations

from jobs.report_html.blocks import Cell, figure_cell, folded, framed, section, table
from jobs.report_html.dot_plot import Reference, Row, Tone, dot_plot
from jobs.report_html.figures import (
    Content,
    Figure,
    figure,
    part,
    whole,
)
from jobs.report_html.markup import Markup, element, joined
from jobs.report_html.names import in_report_order, metric_label

_MEASURE = "precision_at_1"
_FEW = 30
_CHANCE = 0.025  # on one side, as of a 95 % interval
_SHOWN_VALUES, _SHOWN_FEW = 20, 8


def slices_section(content: Content, anchor: str) -> Markup | None:
    """Return a dot plot and a table for each slice, and name the values that differ."""
    slices = part(content, "slices")
    whole_set = figure(part(content, "metrics"), _MEASURE)
    blocks, apart = [], []
    for name in slices:
        values = part(slices, name)
        blocks.append(_slice_block(name, values, whole_set))
        apart += [
            f"{name}: {value}"
            for value in values
            if _differs(figure(part(values, value), _MEASURE), whole_set)
        ]
    lead = (
        f"Slices with fewer than {_FEW} GPU listings are grey. A slice differs if its interval "
        "leaves out the figure of the whole set; of 20 that do not differ, about one seems to by "
        "chance. "
    )
    lead += f"Differing: {'; '.join(apart[:12])}." if apart else "None differs."
    known = [block for block in blocks if block is not None]
    return section(
        anchor, "Slices", lead, element("div", *known, class_="parts") if known else None
    )


def _slice_block(name: str, values: Content, whole_set: Figure) -> Markup | None:
    figures = {value: figure(part(values, value), _MEASURE) for value in values}
    known = sorted(
        (value for value in figures if figures[value].value is not None),
        key=lambda value: (-(figures[value].n or 0), value),
    )
    many = [value for value in known if (figures[value].n or 0) >= _FEW][:_SHOWN_VALUES]
    few = [value for value in known if (figures[value].n or 0) < _FEW]
    shown = [*many, *few[: max(0, _SHOWN_FEW - len(many))]]
    ordered = sorted(shown, key=lambda value: _by_figure(figures[value]))
    rows = [Row(value, figures[value], *_tone(figures[value], whole_set)) for value in ordered]
    plot = dot_plot(
        rows,
        title=f"{metric_label(_MEASURE)} by {name}",
        axis_label=f"{metric_label(_MEASURE)} by {name}",
        reference=Reference(whole_set.value, "whole set"),
    )
    more = len(known) - len(ordered)
    note = element("p", f"{more} more with fewer listings are in the table.") if more > 0 else None
    details = folded("Further figures of these slices", _slice_table(name, values))
    if plot is None and details is None:
        return None
    return element("div", element("h4", f"By {name}"), framed(plot), note, details)


def _slice_table(name: str, values: Content) -> Markup | None:
    metrics = in_report_order({key for value in values for key in part(values, value)})
    rows: list[list[Cell]] = []
    for value in values:
        own = part(values, value)
        cells: list[Cell] = []
        for key in metrics:
            found = figure(own, key)
            size = element("small", f" n {whole(found.n)}") if found.n is not None else None
            cells.append(joined(figure_cell(found), size))
        rows.append([value, *cells])
    return table(f"Figures by {name}", (name, *map(metric_label, metrics)), rows)


def _by_figure(found: Figure) -> tuple[bool, float, int]:
    """Sort few listings last, else the worst first."""
    return (found.n or 0) < _FEW, found.value or 0.0, -(found.n or 0)


def _tone(found: Figure, whole_set: Figure) -> tuple[Tone, str]:
    if (found.n or 0) < _FEW:
        return Tone.FAINT, "few"
    return (Tone.OTHER, "differs") if _differs(found, whole_set) else (Tone.OWN, "")


def _differs(found: Figure, whole_set: Figure) -> bool:
    """Tell whether the interval of a slice of some size leaves out the whole set's figure."""
    known = whole_set.value is not None and found.low is not None and found.high is not None
    if not known or (found.n or 0) < _FEW:
        return False
    low, high, expected = found.low or 0.0, found.high or 0.0, whole_set.value or 0.0
    if low == high:
        # Resampling a slice without any error, or with nothing right, gives no interval: ask
        # instead how often the whole set's share would show such a row.
        chance = expected if low >= 1 else 1 - expected if low <= 0 else 0.0
        return chance ** (found.n or 0) < _CHANCE
    return not low <= expected <= high
