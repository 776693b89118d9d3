"""SVG pictures: one width for all of them, so that their text is read on a phone as on a desk.

A picture is 360 units wide and shown 320 px wide or more on a phone of 360 px, so text of 12.4
units is 11 px there. Colours are classes of the page's style, so that pictures follow light and
dark.
"""

from __future__ import annotations

import html
from typing import Final

from jobs.report_html.axes import Axis
from jobs.report_html.markup import Child, Markup, element, joined
from jobs.tables import cut

WIDTH: Final = 360
LINE: Final = 15
"""Height of a line of text."""
_CHARACTER: Final = 6.5  # mean width of a character at 12.4 units


def picture(height: float, title: str, description: str, *children: Child) -> Markup:
    """Return an image of a height in units, with what it shows in words."""
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        *children,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        class_="plot",
    )


def words_at(
    x: float, y: float, text: str, *, anchor: str = "start", class_: str | None = None
) -> Markup:
    """Return text at a point; ``anchor`` is start, middle or end."""
    return element(
        "text",
        text,
        x=_unit(x),
        y=_unit(y),
        class_=class_,
        text_anchor=None if anchor == "start" else anchor,
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line."""
    return element("line", x1=_unit(x1), y1=_unit(y1), x2=_unit(x2), y2=_unit(y2), class_=class_)


def box(x: float, y: float, width: float, height: float, class_: str) -> Markup:
    """Return a filled rectangle."""
    return element(
        "rect", x=_unit(x), y=_unit(y), width=_unit(width), height=_unit(height), class_=class_
    )


def dot(x: float, y: float, radius: float, class_: str) -> Markup:
    """Return a filled circle."""
    return element("circle", cx=_unit(x), cy=_unit(y), r=_unit(radius), class_=class_)


def path(points: list[tuple[float, float]], class_: str, *, closed: bool = False) -> Markup:
    """Return a line through points, or the area within them; nothing without points."""
    if not points:
        return Markup()
    course = " ".join(f"{_unit(x)},{_unit(y)}" for x, y in points)
    # Written out here: `element` shortens long texts, and a course is no text.
    name = "polygon" if closed else "polyline"
    return Markup(f'<{name} points="{course}" class="{html.escape(class_)}"></{name}>')


def horizontal_axis(
    axis: Axis, y: float, label: str, *, top: float, signed: bool = False
) -> Markup:
    """Return grid lines from ``top`` to ``y``, ticks under them and the axis' label."""
    marks: list[Child] = []
    for tick in axis.ticks:
        x = axis.place(tick)
        marks.append(line(x, top, x, y, "grid"))
        anchor = "start" if x < 10 else "end" if x > WIDTH - 12 else "middle"
        place = 0.0 if x < 10 else float(WIDTH) if x > WIDTH - 12 else x
        text = axis.tick_text(tick, signed=signed)
        marks.append(words_at(place, y + 14, text, anchor=anchor, class_="tick"))
    label, middle = fitted(label, WIDTH), (axis.start + axis.end) / 2
    half = len(label) * _CHARACTER / 2
    middle = min(max(middle, half), WIDTH - half)
    return joined(*marks, words_at(middle, y + 30, label, anchor="middle", class_="axis-label"))


def vertical_axis(axis: Axis, x: float, label: str, *, right: float) -> Markup:
    """Return grid lines from ``x`` to ``right``, ticks left of them, the label above."""
    marks: list[Child] = [words_at(0, axis.end - 10, label, class_="axis-label")]
    for tick in axis.ticks:
        y = axis.place(tick)
        marks.append(line(x, y, right, y, "grid"))
        marks.append(words_at(x - 5, y + 4, axis.tick_text(tick), anchor="end", class_="tick"))
    return joined(*marks)


def range_note(axis: Axis, limits: tuple[float, float] = (0.0, 1.0)) -> str:
    """Say where an axis starts and ends if it shows a part of what is possible."""
    low, high = axis.tick_text(axis.low), axis.tick_text(axis.high)
    if axis.low > limits[0] + 1e-9 and axis.high < limits[1] - 1e-9:
        return f" (axis {low} to {high})"
    if axis.low > limits[0] + 1e-9:
        return f" (axis starts at {low})"
    return f" (axis ends at {high})" if axis.high < limits[1] - 1e-9 else ""


def fitted(text: str, width: float) -> str:
    """Return a text cut to a width in units."""
    return cut(text[:200], max(4, int(width / _CHARACTER)))


def _unit(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
