"""Dot plots: a row each for what is compared, a dot at its value and a line over its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from jobs.report_html.axes import Axis, axis_over
from jobs.report_html.drawing import (
    LINE,
    WIDTH,
    dot,
    fitted,
    horizontal_axis,
    line,
    picture,
    range_note,
    words_at,
)
from jobs.report_html.figures import Figure, share, whole, with_interval
from jobs.report_html.markup import Child, Markup, joined

_ROW = 42
_MARGIN = 8
_DIGIT = 6.8  # mean width of a digit


class Tone(Enum):
    """What a row's colour says; the value is the class of its marks."""

    OWN = "own"
    OTHER = "other"
    FAINT = "faint"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a label, a figure, and a word on what is special about it."""

    label: str
    figure: Figure
    tone: Tone = Tone.OWN
    note: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """A value all rows are held against."""

    value: float | None
    label: str


def dot_plot(
    rows: Sequence[Row],
    *,
    title: str,
    axis_label: str,
    reference: Reference | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
    signed: bool = False,
) -> Markup | None:
    """Return a dot plot of the rows that have a value; None if none has.

    :param limits: the range a value can have; the axis shows the part that is needed.
    :param signed: whether values are differences, written with their sign, around zero.
    """
    shown = [row for row in rows if row.figure.value is not None]
    if not shown:
        return None
    fixed = 0.0 if signed else reference.value if reference else None
    values = [bound for row in shown for bound in row.figure[:3]] + [fixed]
    axis = axis_over(
        values,
        start=_MARGIN,
        end=WIDTH - _MARGIN,
        limits=limits,
        n_ticks=5,
    )
    top = LINE + 6 if reference and fixed is not None else 2
    bottom = top + _ROW * len(shown)
    marks: list[Child] = [
        horizontal_axis(
            axis,
            bottom,
            axis_label + ("" if signed else range_note(axis, limits)),
            top=top,
            signed=signed,
        )
    ]
    if reference is not None and fixed is not None:
        marks.append(_reference_label(axis, fixed, reference.label))
    marks += [
        _row(row, top + at * _ROW, axis, fixed, signed=signed) for at, row in enumerate(shown)
    ]
    return picture(bottom + 36, title, _described(shown, signed=signed), *marks)


def _row(row: Row, top: float, axis: Axis, reference: float | None, *, signed: bool) -> Markup:
    found, tone = row.figure, row.tone.value
    figures = with_interval(found, signed=signed) + (
        f"  n {whole(found.n)}" if found.n is not None else ""
    )
    room = WIDTH - len(figures) * _DIGIT - 8
    label = f"{row.label} · {row.note}" if row.note else row.label
    y = top + 29
    marks: list[Child] = [
        words_at(0, top + 16, fitted(label, 0.92 * room), class_=f"label {tone}"),
        words_at(WIDTH, top + 16, figures, anchor="end", class_="value"),
    ]
    if reference is not None:  # beside the marks only, so that it crosses no figures
        marks.append(
            line(
                axis.place(reference),
                y - 8,
                axis.place(reference),
                y + 8,
                "zero" if signed else "reference",
            )
        )
    if found.low is not None and found.high is not None:
        marks.append(line(axis.place(found.low), y, axis.place(found.high), y, f"range {tone}"))
    if found.value is not None:
        marks.append(dot(axis.place(found.value), y, 5, f"dot {tone}"))
    return joined(*marks)


def _reference_label(axis: Axis, value: float, label: str) -> Markup:
    x = axis.place(value)
    text = f"{label} {share(value)}"
    half = len(text) * 3.3
    anchor = "end" if x + half > WIDTH else "start" if x - half < 0 else "middle"
    place = min(x + 4, WIDTH) if anchor == "end" else max(x - 4, 0) if anchor == "start" else x
    return joined(
        line(x, LINE, x, LINE + 6, "reference"),
        words_at(place, 11, text, anchor=anchor, class_="reference-label"),
    )


def _described(rows: Sequence[Row], *, signed: bool) -> str:
    named = "; ".join(
        f"{fitted(row.label, 200)} {with_interval(row.figure, signed=signed)}" for row in rows[:8]
    )
    more = f"; and {len(rows) - 8} more" if len(rows) > 8 else ""
    return f"Dots are values, lines 95 % intervals: {named}{more}."
