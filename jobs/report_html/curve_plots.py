"""Curves with their 95 % bands: reliability, risk against coverage, precision against recall."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.report_html.axes import Axis, axis_over
from jobs.report_html.drawing import (
    box,
    dot,
    horizontal_axis,
    line,
    path,
    picture,
    range_note,
    vertical_axis,
    words_at,
)
from jobs.report_html.figures import (
    Content,
    count,
    items,
    number,
    read_figure,
    share,
)
from jobs.report_html.markup import Child, Markup, joined

_LEFT, _RIGHT, _TOP, _SIDE = 38.0, 350.0, 26.0, 250.0
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
    y = Axis(0.0, 1.0, 0.2, _TOP + _SIDE, _TOP)
    bottom = _TOP + _SIDE + _HISTOGRAM
    marks: list[Child] = [
        vertical_axis(y, _LEFT, "share that is right", right=_RIGHT),
        horizontal_axis(x, bottom, "stated probability, n of each bin in the bars", top=_TOP),
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
    y = axis_over(highest, start=_TOP + _SIDE, end=_TOP)
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
    y = axis_over(lowest, start=_TOP + _SIDE, end=_TOP)
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
    bottom = _TOP + _SIDE
    banded = [point for point in points if point[2] is not None and point[3] is not None]
    band = [(x.place(p[0]), y.place(p[3] or 0.0)) for p in banded]
    band += [(x.place(p[0]), y.place(p[2] or 0.0)) for p in reversed(banded)]
    (at, height, *_), text = mark
    # Left of its last point there is room beside a falling curve, and above a rising one.
    rises = height > points[0][1]
    lift = 4 if not rises else -12 if y.place(height) > _TOP + 26 else 20
    return picture(
        bottom + 36,
        title,
        f"{told} The band is the 95 % interval.",
        vertical_axis(y, _LEFT, y_label, right=_RIGHT),
        horizontal_axis(x, bottom, x_label, top=_TOP),
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
