"""Axes whose range comes from what they show, with ticks on round numbers."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rerank.jobs.report.blocks import (
    Child,
    Content,
    Markup,
    ReportFigure,
    count,
    element,
    items,
    joined,
    number,
    percent,
    plural,
    read_figure,
    share,
    whole,
    with_interval,
)
from rerank.jobs.tables import cut

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values laid over a range of picture units.

    :param start: picture unit where ``low`` lies.
    :param end: picture unit where ``high`` lies; less than ``start`` for an axis that points up.
    """

    low: float
    high: float
    step: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Return where a value lies, values outside at the nearer end."""
        along = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + along * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        """Return the round numbers on the axis, both ends included."""
        n = round((self.high - self.low) / self.step)
        return [round(self.low + at * self.step, 10) for at in range(n + 1)]

    def tick_text(self, value: float, *, signed: bool = False) -> str:
        """Write a tick with the places its step needs: ``.9``, ``.95``, ``1``."""
        places = next((p for p in range(6) if abs(round(self.step, p) - self.step) < 1e-9), 6)
        digits = f"{abs(value):.{places}f}"
        digits = digits[1:] if digits.startswith("0.") else digits
        if value == 0:
            return "0"
        if value == round(value):
            digits = f"{abs(value):.0f}"
        return ("\N{MINUS SIGN}" if value < 0 else "+" if signed else "") + digits


def axis_over(
    values: Iterable[float | None],
    *,
    start: float,
    end: float,
    limits: tuple[float, float] = (0.0, 1.0),
    n_ticks: int = 5,
) -> Axis:
    """Return an axis over the values, widened to round numbers, within the limits.

    :param limits: what a value can be at most; without any value they are the axis.
    :param n_ticks: about how many ticks there shall be.
    """
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else limits
    floor, ceiling = limits
    low, high = max(low, floor), min(high, ceiling)
    width = max(high - low, 0.02 * min(1.0, ceiling - floor))
    step = _round_step(width / n_ticks)
    first = max(math.floor(low / step + 1e-9) * step, floor)
    last = min(math.ceil(max(high, low + width) / step - 1e-9) * step, ceiling)
    if last - first < step:  # everything at one end
        first, last = max(floor, last - step), max(last, floor + step)
    return Axis(first, first + round((last - first) / step) * step, step, start, end)


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9))


LOSSES = (
    ("retrieval", "no right model was among the candidates"),
    ("ranking", "a right model was there, another or another variant came first"),
    ("decision", "the right one came first and was not accepted, or no match was"),
    ("label", "the gold names nothing the registry has"),
)
_TALL, _TOP, _LOWER = 26.0, 20.0, 78.0


def loss_counts(budget: Content) -> dict[str, int]:
    """Return how many listings each part lost, unknown counts as 0."""
    return {name: count(budget.get(name)) or 0 for name, _ in LOSSES}


def budget_bar(budget: Content, *, title: str) -> Markup | None:
    """Return the budget as two bars; None without listings."""
    listings, right = count(budget.get("listings")), count(budget.get("right"))
    losses = loss_counts(budget)
    errors = count(budget.get("errors"))
    errors = sum(losses.values()) if errors is None else errors
    if not listings:
        return None
    right = listings - errors if right is None else right
    split = WIDTH * min(right / listings, 1.0)
    marks: list[Child] = [
        words_at(0, 13, f"right {right:,} ({percent(right / listings)})", class_="value"),
        words_at(WIDTH, 13, plural(errors, "error"), anchor="end", class_="value"),
        box(0, _TOP, split, _TALL, "bar"),
        box(split, _TOP, WIDTH - split, _TALL, "loss-all"),
    ]
    if sum(losses.values()):
        marks.append(_zoomed(losses, split))
    told = ", ".join(f"{name} {n}" for name, n in losses.items())
    height = _LOWER + _TALL + 62 if sum(losses.values()) else _TOP + _TALL + 4
    return picture(
        height, title, f"Of {listings} listings {right} are right, {errors} wrong: {told}.", *marks
    )


def _zoomed(losses: dict[str, int], split: float) -> Markup:
    """Return the errors drawn over the whole width, each part with its label below."""
    total = sum(losses.values())
    corners = [(split, _TOP + _TALL), (WIDTH, _TOP + _TALL), (WIDTH, _LOWER), (0.0, _LOWER)]
    marks: list[Child] = [path(corners, "wedge", closed=True)]
    marks.append(_labels(losses, total))
    left = 0.0
    for at, n in enumerate(losses.values()):
        wide = WIDTH * n / total
        if n:
            marks.append(box(left, _LOWER, max(wide - 1, 0.5), _TALL, f"loss-{at}"))
        left += wide
    return joined(*marks)


def _labels(losses: dict[str, int], total: int) -> Markup:
    column = WIDTH / len(losses)
    marks: list[Child] = []
    left, foot = 0.0, _LOWER + _TALL
    for at, (name, n) in enumerate(losses.items()):
        middle, wide = (at + 0.5) * column, WIDTH * n / total
        if n:
            marks.append(line(left + wide / 2, foot, middle, foot + 20, "leader"))
        marks.append(words_at(middle, foot + 34, name, anchor="middle", class_="label"))
        share = f"{n:,} · {100 * n / total:.0f} %" if n else "0"
        marks.append(words_at(middle, foot + 50, share, anchor="middle", class_="value"))
        left += wide
    return joined(*marks)


def sums_up(budget: Content) -> Sequence[str]:
    """Return the sums that do not hold, in words; empty when the budget is exact."""
    listings, right, errors = (count(budget.get(key)) for key in ("listings", "right", "errors"))
    lost = sum(loss_counts(budget).values())
    faults = []
    if errors is not None and errors != lost:
        faults.append(f"the parts sum to {lost:,}, the errors are {errors:,}")
    if None not in (listings, right, errors) and right + errors != listings:  # type: ignore[operator]
        faults.append(f"right and errors are not the {listings:,} listings")
    return faults


_LEFT, _RIGHT, _TOP_CURVE_PLOTS, _SIDE = 38.0, 350.0, 26.0, 250.0
_HISTOGRAM = 46.0

Point = tuple[float, float, float | None, float | None]
"""x, y, and the low and high end of y."""


def reliability_diagram(bins: Sequence[Content], *, title: str) -> Markup | None:
    """Return share right against stated probability, a dot a bin, and the bins' sizes below.

    None if no bin holds a listing.
    """
    filled = [item for item in bins if count(item.get("n")) and _place(item) is not None]
    if not filled:
        return None
    x = Axis(0.0, 1.0, 0.2, _LEFT, _RIGHT)
    y = Axis(0.0, 1.0, 0.2, _TOP_CURVE_PLOTS + _SIDE, _TOP_CURVE_PLOTS)
    bottom = _TOP_CURVE_PLOTS + _SIDE + _HISTOGRAM
    marks: list[Child] = [
        vertical_axis(y, _LEFT, "share that is right", right=_RIGHT),
        horizontal_axis(
            x, bottom, "stated probability, n of each bin in the bars", top=_TOP_CURVE_PLOTS
        ),
        line(_LEFT, y.place(0), _RIGHT, y.place(1), "reference"),
        words_at(
            x.place(0.98),
            y.place(0.06),
            "dashed: right as often as stated",
            anchor="end",
            class_="reference-label",
        ),
        *(_bin_dot(item, x, y) for item in filled),
        _histogram(filled, x, bottom),
    ]
    told = "; ".join(
        f"stated {share(number(item.get('mean_probability')))}, right "
        f"{share(number(item.get('share_correct')))}, n {count(item.get('n'))}"
        for item in filled
    )
    return picture(bottom + 36, title, f"By bin of probability: {told}.", *marks)


def risk_coverage_plot(curve: Content, *, title: str) -> Markup | None:
    """Return the share wrong among the listings answered, the most probable first."""
    points = _points(curve, "coverage", "risk")
    if not points:
        return None
    x = Axis(0.0, 1.0, 0.2, _LEFT, _RIGHT)
    highest = [0.0, *(value for point in points for value in point[1:] if value is not None)]
    y = axis_over(highest, start=_TOP_CURVE_PLOTS + _SIDE, end=_TOP_CURVE_PLOTS)
    last = points[-1]
    return _curve(
        points,
        x,
        y,
        title=title,
        x_label="coverage: share of listings answered",
        y_label="risk: share wrong among them" + range_note(y),
        told=f"Answering {share(last[0])} of the listings, {share(last[1])} are wrong.",
        mark=(last, f"all answered: {share(last[1])}" if last[0] >= 0.995 else share(last[1])),
    )


def precision_recall_plot(curve: Content, *, title: str) -> Markup | None:
    """Return the precision of the answers above a probability against the share of right ones."""
    points = _points(curve, "recall", "precision")
    if not points:
        return None
    x = Axis(0.0, 1.0, 0.2, _LEFT, _RIGHT)
    lowest = [1.0, *(value for point in points for value in point[1:] if value is not None)]
    y = axis_over(lowest, start=_TOP_CURVE_PLOTS + _SIDE, end=_TOP_CURVE_PLOTS)
    last = points[-1]
    return _curve(
        points,
        x,
        y,
        title=title,
        x_label="recall: share of the right answers given",
        y_label="precision of the answers" + range_note(y),
        told=f"At recall {share(last[0])} the precision is {share(last[1])}.",
        mark=(last, share(last[1])),
    )


def _curve(
    points: Sequence[Point],
    x: Axis,
    y: Axis,
    *,
    title: str,
    x_label: str,
    y_label: str,
    told: str,
    mark: tuple[Point, str],
) -> Markup:
    bottom = _TOP_CURVE_PLOTS + _SIDE
    banded = [point for point in points if point[2] is not None and point[3] is not None]
    band = [(x.place(p[0]), y.place(p[3] or 0.0)) for p in banded]
    band += [(x.place(p[0]), y.place(p[2] or 0.0)) for p in reversed(banded)]
    (at, height, *_), text = mark
    # Left of its last point there is room beside a falling curve, and above a rising one.
    rises = height > points[0][1]
    lift = 4 if not rises else -12 if y.place(height) > _TOP_CURVE_PLOTS + 26 else 20
    return picture(
        bottom + 36,
        title,
        f"{told} The band is the 95 % interval.",
        vertical_axis(y, _LEFT, y_label, right=_RIGHT),
        horizontal_axis(x, bottom, x_label, top=_TOP_CURVE_PLOTS),
        path(band, "band", closed=True),
        path([(x.place(p[0]), y.place(p[1])) for p in points], "curve"),
        dot(x.place(at), y.place(height), 4, "dot own"),
        words_at(
            x.place(at) - (0 if rises else 9),
            y.place(height) + lift,
            text,
            anchor="end",
            class_="value",
        ),
    )


def _points(curve: Content, along: str, up: str) -> list[Point]:
    """Return the points both of whose coordinates are known, from left to right."""
    columns = [items(curve, name) for name in (along, up, "low", "high")]
    length = min(len(columns[0]), len(columns[1]))
    padded = [[*column[:length], *([None] * (length - len(column)))] for column in columns]
    found = []
    for row in zip(*padded, strict=True):
        x, y, low, high = (number(value) for value in row)
        if x is not None and y is not None:
            found.append((x, y, low, high))
    return sorted(found, key=lambda point: point[0])


def _place(item: Content) -> tuple[float, float] | None:
    x, y = number(item.get("mean_probability")), number(item.get("share_correct"))
    return None if x is None or y is None else (x, y)


def _bin_dot(item: Content, x: Axis, y: Axis) -> Markup:
    place = _place(item)
    if place is None:
        return Markup()
    across = x.place(place[0])
    found = read_figure(item, "share_correct")
    marks: list[Child] = []
    if found.low is not None and found.high is not None:
        marks.append(line(across, y.place(found.low), across, y.place(found.high), "range own"))
    return joined(*marks, dot(across, y.place(place[1]), 4.5, "dot own"))


def _histogram(bins: Sequence[Content], x: Axis, bottom: float) -> Markup:
    """Return a bar a bin, its height the bin's size, with the size above it."""
    largest = max(count(item.get("n")) or 0 for item in bins)
    marks: list[Child] = [line(_LEFT, bottom, _RIGHT, bottom, "base")]
    for item in bins:
        low, high = number(item.get("low")), number(item.get("high"))
        n = count(item.get("n")) or 0
        if low is None or high is None:
            continue
        left, right = x.place(low), x.place(high)
        height = (_HISTOGRAM - 22) * n / largest
        marks.append(box(left + 1.5, bottom - height, right - left - 3, height, "bar"))
        marks.append(
            words_at(
                (left + right) / 2, bottom - height - 3, _short(n), anchor="middle", class_="tick"
            )
        )
    return joined(*marks)


def _short(n: int) -> str:
    """Write a count in at most four characters."""
    if n < 1000:
        return str(n)
    thousands = n / 1000
    return f"{thousands:.1f}k" if thousands < 9.95 else f"{thousands:.0f}k"


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
    figure: ReportFigure
    tone: Tone = Tone.OWN
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceLine:
    """A value all rows are held against."""

    value: float | None
    label: str


def dot_plot(
    rows: Sequence[Row],
    *,
    title: str,
    axis_label: str,
    reference: ReferenceLine | None = None,
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
