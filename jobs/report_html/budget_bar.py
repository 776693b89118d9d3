"""The loss budget as a bar: all listings, and under it the errors by what lost them."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.report_html.drawing import WIDTH, box, line, path, picture, words_at
from jobs.report_html.figures import Content, count, percent, plural
from jobs.report_html.markup import Child, Markup, joined

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
