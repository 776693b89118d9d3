"""Plots as SVG: axes on round numbers, dots with intervals, curves with bands, the loss budget."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from markupsafe import Markup

from rerank.jobs.report.reading import Content, escaped, items
from rerank.jobs.tables import (
    ReportFigure,
    count,
    cut,
    number,
    percent,
    plural,
    share,
    whole,
    with_interval,
)

WIDTH: Final = 360
_LINE = 15.0  # height of a line of text
_CHARACTER, _DIGIT = 6.5, 6.8  # mean widths at 12.4 units
_LEFT, _RIGHT, _TOP, _SIDE = 38.0, 350.0, 26.0, 250.0  # of a plot with two axes
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def element(
    name: str, /, *children: Markup | str | None, **attributes: str | float | None
) -> Markup:
    """Return an element of SVG; texts in it are escaped, shortened and made readable.

    :param attributes: ``class_`` stands for class, ``aria_label`` for aria-label; numbers are
        picture units; None leaves an attribute out.
    """
    opening = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_unit(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{opening}>{joined(*children)}</{name}>")


def joined(*children: Markup | str | None) -> Markup:
    """Return children after each other, texts escaped."""
    return Markup("").join(map(escaped, children))


def picture(height: float, title: str, description: str, *children: Markup | None) -> Markup:
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
    x: float, y: float, text: str, class_: str, *, anchor: Literal["middle", "end"] | None = None
) -> Markup:
    """Return text that starts, has its middle, or ends at a point."""
    return element("text", text, x=x, y=y, class_=class_, text_anchor=anchor)


def centred(x: float, y: float, text: str, class_: str) -> Markup:
    """Return text with its middle at a point, or as near as the picture's edges let it be."""
    half = min(len(text) * _CHARACTER, WIDTH) / 2
    return words_at(min(max(x, half), WIDTH - half), y, text, class_, anchor="middle")


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def box(x: float, y: float, width: float, height: float, class_: str) -> Markup:
    """Return a filled rectangle."""
    return element("rect", x=x, y=y, width=width, height=height, class_=class_)


def dot(x: float, y: float, radius: float, class_: str) -> Markup:
    """Return a filled circle."""
    return element("circle", cx=x, cy=y, r=radius, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str, *, closed: bool = False) -> Markup:
    """Return a line through points, or the area within them; nothing without points."""
    if not points:
        return Markup()
    course = " ".join(f"{_unit(x)},{_unit(y)}" for x, y in points)
    return element("polygon" if closed else "polyline", points=course, class_=class_)


def fitted(text: str, width: float) -> str:
    """Return a text cut to a width in units."""
    return cut(text[:200], max(4, int(width / _CHARACTER)))


def _unit(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


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
        digits = f"{abs(value):.{0 if value == round(value) else places}f}"
        sign = "\N{MINUS SIGN}" if value < 0 else "+" if signed and value else ""
        return sign + (digits[1:] if digits.startswith("0.") else digits)

    def across(self, y: float, label: str, *, top: float, signed: bool = False) -> Markup:
        """Return the axis at the foot: grid lines from ``top`` to ``y``, ticks, its label."""
        label, middle = fitted(label, WIDTH), (self.start + self.end) / 2
        marks = [
            joined(
                line(self.place(tick), top, self.place(tick), y, "grid"),
                centred(self.place(tick), y + 14, self.tick_text(tick, signed=signed), "tick"),
            )
            for tick in self.ticks
        ]
        return joined(*marks, centred(middle, y + 30, label, "axis-label"))

    def upright(self, label: str) -> Markup:
        """Return the axis at the left: its label above, grid lines, ticks left of them."""
        marks = [
            joined(
                line(_LEFT, self.place(tick), _RIGHT, self.place(tick), "grid"),
                words_at(
                    _LEFT - 5, self.place(tick) + 4, self.tick_text(tick), "tick", anchor="end"
                ),
            )
            for tick in self.ticks
        ]
        return joined(words_at(0, self.end - 10, label, "axis-label"), *marks)

    def range_note(self, limits: tuple[float, float] = (0.0, 1.0)) -> str:
        """Say where the axis starts and ends if it shows a part of what is possible."""
        low, high = self.tick_text(self.low), self.tick_text(self.high)
        late, early = self.low > limits[0] + 1e-9, self.high < limits[1] - 1e-9
        if late and early:
            return f" (axis {low} to {high})"
        return f" (axis starts at {low})" if late else f" (axis ends at {high})" if early else ""


def axis_over(
    values: Iterable[float | None],
    *,
    start: float,
    end: float,
    limits: tuple[float, float] = (0.0, 1.0),
) -> Axis:
    """Return an axis over the values with about five round ticks, within the limits.

    :param limits: what a value can be at most; without any value they are the axis.
    """
    known = [value for value in values if value is not None] or [*limits]
    floor, ceiling = limits
    low, high = max(min(known), floor), min(max(known), ceiling)
    width = max(high - low, 0.02 * min(1.0, ceiling - floor))
    step = _round_step(width / 5)
    first = max(math.floor(low / step + 1e-9) * step, floor)
    last = min(math.ceil(max(high, low + width) / step - 1e-9) * step, ceiling)
    if last - first < step:  # everything at one end
        first, last = max(floor, last - step), max(last, floor + step)
    return Axis(first, first + round((last - first) / step) * step, step, start, end)


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9))


_SHARES = Axis(0.0, 1.0, 0.2, _LEFT, _RIGHT)


def _square(
    title: str,
    told: str,
    y: Axis,
    labels: tuple[str, str],
    *marks: Markup,
    below: float = 0.0,
) -> Markup:
    """Return a plot over a share from 0 to 1, with room for more between it and its axis."""
    bottom = _TOP + _SIDE + below
    across = _SHARES.across(bottom, labels[0], top=_TOP)
    return picture(bottom + 36, title, told, y.upright(labels[1]), across, *marks)


class Curve(NamedTuple):
    """What a curve shows: its coordinates in a report, and how they are put in words."""

    title: str
    along: str
    up: str
    labels: tuple[str, str]
    corner: float
    told: str
    whole: str


CURVES: Final = {
    "risk_coverage": Curve(
        "Risk against coverage",
        "coverage",
        "risk",
        ("coverage: share of listings answered", "risk: share wrong among them"),
        0.0,
        "Answering {} of the listings, {} are wrong.",
        "all answered: ",
    ),
    "precision_recall": Curve(
        "Precision against recall",
        "recall",
        "precision",
        ("recall: share of the right answers given", "precision of the answers"),
        1.0,
        "At recall {} the precision is {}.",
        "",
    ),
}


def curve_plot(content: Content, kind: Curve) -> Markup | None:
    """Return a curve with its 95 % band, None without points; its last point is written out."""
    columns = [[number(v) for v in items(content, name)] for name in (kind.along, kind.up)]
    n = min(map(len, columns))
    bands = [[number(v) for v in items(content, name)] + [None] * n for name in ("low", "high")]
    points = sorted(
        (
            (along, ReportFigure(up, low, high))
            for along, up, low, high in zip(*columns, *bands, strict=False)
            if along is not None and up is not None
        ),
        key=lambda point: point[0],
    )
    if not points:
        return None
    shown = [kind.corner, *(value for _, found in points for value in found[:3])]
    y = axis_over(shown, start=_TOP + _SIDE, end=_TOP)
    banded = [(_SHARES.place(at), found.bounds) for at, found in points if found.bounds]
    ends = [[(at, y.place(bounds[end])) for at, bounds in banded] for end in (1, 0)]
    course = [(_SHARES.place(at), y.place(found.value or 0.0)) for at, found in points]
    (at, height), (last, found) = course[-1], points[-1]
    # Left of its last point there is room beside a falling curve, and above a rising one.
    rises = (found.value or 0.0) > (points[0][1].value or 0.0)
    lift = 4 if not rises else -12 if height > _TOP + 26 else 20
    end = (kind.whole if last >= 0.995 else "") + share(found.value)
    return _square(
        kind.title,
        f"{kind.told.format(share(last), share(found.value))} The band is the 95 % interval.",
        y,
        (kind.labels[0], kind.labels[1] + y.range_note()),
        path([*ends[0], *reversed(ends[1])], "band", closed=True),
        path(course, "curve"),
        dot(at, height, 4, "dot own"),
        words_at(at - (0 if rises else 9), height + lift, end, "value", anchor="end"),
    )


def shares_by_day(days: Sequence[Content]) -> Markup | None:
    """Return the share of matches by day, and of what is held; None of fewer than two days.

    :param days: summaries of nights, the earliest first.
    """
    if len(days) < 2:
        return None
    shares = [
        [number(items_of.get(name)) or 0.0 for items_of in (day["shares"] for day in days)]
        for name in ("match", "review")
    ]
    y = axis_over([0.0, *shares[0], *shares[1]], start=_TOP + _SIDE / 2, end=_TOP)
    step = (_RIGHT - _LEFT - 8) / (len(days) - 1)
    marks = [y.upright("share of listings" + y.range_note())]
    for course, tone in zip(shares, ("own", "other"), strict=True):
        points = [(_LEFT + 4 + at * step, y.place(value)) for at, value in enumerate(course)]
        marks.append(path(points, f"curve {tone}"))
        marks.append(dot(*points[-1], 4, f"dot {tone}"))
    foot = y.start + 16
    marks.append(words_at(_LEFT, foot, str(days[0]["date"]), "tick"))
    marks.append(words_at(_RIGHT, foot, str(days[-1]["date"]), "tick", anchor="end"))
    told = f"matches {share(shares[0][0])} to {share(shares[0][-1])}"
    return picture(foot + 6, "Shares by day", f"Blue: matches, {told}; orange: held.", *marks)


_HISTOGRAM = 46.0


def reliability_diagram(bins: Sequence[Content]) -> Markup | None:
    """Return share right against stated probability, a dot a bin, and the bins' sizes below.

    None if no bin holds a listing.
    """
    known = [
        (item, stated, found, n)
        for item in bins
        if (n := count(item.get("n")))
        and (stated := number(item.get("mean_probability"))) is not None
        and (found := ReportFigure.read(item, "share_correct")).value is not None
    ]
    if not known:
        return None
    y = Axis(0.0, 1.0, 0.2, _TOP + _SIDE, _TOP)
    largest, bottom = max(n for *_, n in known), _TOP + _SIDE + _HISTOGRAM
    marks = [
        line(_LEFT, y.place(0), _RIGHT, y.place(1), "reference"),
        words_at(
            _SHARES.place(0.98),
            y.place(0.06),
            "dashed: right as often as stated",
            "reference-label",
            anchor="end",
        ),
        line(_LEFT, bottom, _RIGHT, bottom, "base"),
    ]
    for item, stated, found, n in known:
        across = _SHARES.place(stated)
        if found.bounds:
            low_end, high_end = map(y.place, found.bounds)
            marks.append(line(across, low_end, across, high_end, "range own"))
        marks.append(dot(across, y.place(found.value or 0.0), 4.5, "dot own"))
        low, high = number(item.get("low")), number(item.get("high"))
        if low is not None and high is not None:
            left, right = _SHARES.place(low), _SHARES.place(high)
            tall = (_HISTOGRAM - 22) * n / largest
            marks.append(box(left + 1.5, bottom - tall, right - left - 3, tall, "bar"))
            marks.append(
                words_at((left + right) / 2, bottom - tall - 3, _short(n), "tick", anchor="middle")
            )
    told = "; ".join(
        f"stated {share(stated)}, right {share(found.value)}, n {n}"
        for _, stated, found, n in known
    )
    return _square(
        "Reliability diagram",
        f"By bin of probability: {told}.",
        y,
        ("stated probability, n of each bin in the bars", "share that is right"),
        *marks,
        below=_HISTOGRAM,
    )


def _short(n: int) -> str:
    """Write a count in at most four characters."""
    return str(n) if n < 1000 else f"{n / 1000:.{1 if n < 9950 else 0}f}k"


LOSSES = (
    ("retrieval", "no right model was among the candidates"),
    ("ranking", "a right model was there, another or another variant came first"),
    ("decision", "the right one came first and was not accepted, or no match was"),
    ("label", "the gold names nothing the registry has"),
)
_TALL, _UPPER, _LOWER = 26.0, 20.0, 78.0


def loss_counts(budget: Content) -> dict[str, int]:
    """Return how many listings each part lost, unknown counts as 0."""
    return {name: count(budget.get(name)) or 0 for name, _ in LOSSES}


def budget_bar(budget: Content) -> Markup | None:
    """Return the budget as a bar, the errors below over the whole width; None without listings."""
    listings, right, errors = (count(budget.get(key)) for key in ("listings", "right", "errors"))
    losses = loss_counts(budget)
    total = sum(losses.values())
    errors = total if errors is None else errors
    if not listings:
        return None
    right = listings - errors if right is None else right
    split, foot = WIDTH * min(right / listings, 1.0), _UPPER + _TALL
    marks = [
        words_at(0, 13, f"right {right:,} ({percent(right / listings)})", "value"),
        words_at(WIDTH, 13, plural(errors, "error"), "value", anchor="end"),
        box(0, _UPPER, split, _TALL, "bar"),
        box(split, _UPPER, WIDTH - split, _TALL, "loss-all"),
    ]
    if total:
        wedge = [(split, foot), (WIDTH, foot), (WIDTH, _LOWER), (0.0, _LOWER)]
        marks += [path(wedge, "wedge", closed=True), *_parts_lost(losses, total)]
    told = ", ".join(f"{name} {n}" for name, n in losses.items())
    return picture(
        _LOWER + _TALL + 62 if total else foot + 4,
        "Loss budget",
        f"Of {listings} listings {right} are right, {errors} wrong: {told}.",
        *marks,
    )


def _parts_lost(losses: dict[str, int], total: int) -> Iterable[Markup]:
    """Yield each part of the errors as a bar, with its label below."""
    left, foot, column = 0.0, _LOWER + _TALL, WIDTH / len(losses)
    for at, (name, n) in enumerate(losses.items()):
        middle, wide = (at + 0.5) * column, WIDTH * n / total
        if n:
            yield box(left, _LOWER, max(wide - 1, 0.5), _TALL, f"loss-{at}")
            yield line(left + wide / 2, foot, middle, foot + 20, "leader")
        yield words_at(middle, foot + 34, name, "label", anchor="middle")
        lost = f"{n:,} · {100 * n / total:.0f} %" if n else "0"
        yield words_at(middle, foot + 50, lost, "value", anchor="middle")
        left += wide


_ROW, _MARGIN = 42.0, 8.0


class Row(NamedTuple):
    """One row of a dot plot: a label, a figure, its colour, a word on what is special about it."""

    label: str
    figure: ReportFigure
    tone: Literal["own", "other", "faint"] = "own"
    note: str = ""


def dot_plot(
    rows: Sequence[Row],
    *,
    title: str,
    axis_label: str = "",
    reference: tuple[float | None, str] | None = None,
    signed: bool = False,
) -> Markup | None:
    """Return a dot plot of the rows that have a value; None if none has.

    :param axis_label: of the axis; the title if it is not given.
    :param reference: a value that all rows are held against, and what it is.
    :param signed: whether values are differences, written with their sign, around zero.
    """
    shown = [row for row in rows if row.figure.value is not None]
    if not shown:
        return None
    limits = (-1.0 if signed else 0.0, 1.0)
    fixed = 0.0 if signed else reference[0] if reference else None
    values = [bound for row in shown for bound in row.figure[:3]] + [fixed]
    axis = axis_over(values, start=_MARGIN, end=WIDTH - _MARGIN, limits=limits)
    label = (axis_label or title) + ("" if signed else axis.range_note(limits))
    marks, top = [], 2.0
    if reference and fixed is not None:
        x, top = axis.place(fixed), _LINE + 6
        marks.append(line(x, _LINE, x, top, "reference"))
        marks.append(centred(x, 11, f"{reference[1]} {share(fixed)}", "reference-label"))
    bottom = top + _ROW * len(shown)
    named = "; ".join(
        f"{fitted(row.label, 200)} {with_interval(row.figure, signed=signed)}" for row in shown[:8]
    )
    more = f"; and {len(shown) - 8} more" if len(shown) > 8 else ""
    return picture(
        bottom + 36,
        title,
        f"Dots are values, lines 95 % intervals: {named}{more}.",
        axis.across(bottom, label, top=top, signed=signed),
        *marks,
        *(_row(row, top + at * _ROW, axis, fixed, signed=signed) for at, row in enumerate(shown)),
    )


def _row(row: Row, top: float, axis: Axis, reference: float | None, *, signed: bool) -> Markup:
    found, y = row.figure, top + 29
    figures = with_interval(found, signed=signed)
    figures += f"  n {whole(found.n)}" if found.n is not None else ""
    label = fitted(
        f"{row.label} · {row.note}" if row.note else row.label,
        0.92 * (WIDTH - len(figures) * _DIGIT - 8),
    )
    marks = [
        words_at(0, top + 16, label, f"label {row.tone}"),
        words_at(WIDTH, top + 16, figures, "value", anchor="end"),
    ]
    if reference is not None:  # beside the marks only, so that it crosses no figures
        x = axis.place(reference)
        marks.append(line(x, y - 8, x, y + 8, "zero" if signed else "reference"))
    if found.bounds:
        low, high = map(axis.place, found.bounds)
        marks.append(line(low, y, high, y, f"range {row.tone}"))
    return joined(*marks, dot(axis.place(found.value or 0.0), y, 5, f"dot {row.tone}"))
