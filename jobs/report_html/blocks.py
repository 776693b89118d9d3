"""Blocks a page is laid out with: sections, tables, plots beside their tables."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.report_html.figures import Figure, interval, share, whole
from jobs.report_html.markup import Child, Markup, element, joined

Cell = Markup | str


def section(anchor: str, title: str, lead: str | None, *body: Child) -> Markup | None:
    """Return a section with what it shows said first; None if it would be empty."""
    if all(child is None for child in body):
        return None
    return element(
        "section",
        element("h3", title),
        element("p", lead, class_="lead") if lead else None,
        *body,
        id=anchor,
    )


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    left: Sequence[int] = (0,),
) -> Markup | None:
    """Return a table that scrolls within its box on a narrow screen; None without rows.

    The first cell of a row is its header.

    :param left: numbers of the columns that are aligned left.
    """
    if not rows:
        return None

    def line(cells: Sequence[Cell], head: bool) -> Markup:
        return element(
            "tr",
            *(
                element(
                    "th" if head or at == 0 else "td",
                    cell,
                    class_="text" if at in left else None,
                    scope="col" if head else "row" if at == 0 else None,
                )
                for at, cell in enumerate(cells)
            ),
        )

    return element(
        "div",
        element(
            "table",
            element("caption", element("span", caption)),
            element("thead", line(header, True)),
            element("tbody", *(line(row, False) for row in rows)),
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def figure_cell(found: Figure, *, signed: bool = False) -> Markup:
    """Return a value with its interval in small print."""
    bounds = interval(found, signed=signed)
    return joined(
        share(found.value, signed=signed),
        " " if bounds else None,
        element("small", bounds) if bounds else None,
    )


def beside(plot: Markup | None, *rest: Child) -> Markup | None:
    """Return a plot with tables and words beside it, under it on a narrow screen."""
    if plot is None and all(child is None for child in rest):
        return None
    return element("div", framed(plot), element("div", *rest), class_="beside")


def plots(*shown: Markup | None) -> Markup | None:
    """Return plots in a row that wraps."""
    known = [plot for plot in shown if plot is not None]
    return element("div", *(framed(plot) for plot in known), class_="plots") if known else None


def card(label: str, found: Figure, meaning: str) -> Markup | None:
    """Return a headline figure; None if nobody measured it."""
    if found.value is None:
        return None
    sample = f"n {whole(found.n)}" if found.n is not None else ""
    return element(
        "div",
        element("dt", label),
        element(
            "dd",
            element("b", share(found.value)),
            " ",
            element("span", interval(found)),
            element("small", f"{meaning}{', ' if meaning and sample else ''}{sample}"),
        ),
    )


def cards(*shown: Markup | None) -> Markup | None:
    """Return headline figures in a grid."""
    known = [item for item in shown if item is not None]
    return element("dl", *known, class_="cards") if known else None


def folded(summary: str, *body: Child) -> Markup | None:
    """Return what opens on request; None if there is nothing in it."""
    if all(child is None for child in body):
        return None
    return element("details", element("summary", summary), *body)


def small_bar(part: float) -> Markup:
    """Return a bar of a share of its cell; the number stands beside it."""
    width = f"{100 * min(max(part, 0.0), 1.0):.1f}"
    rect = element("rect", width=width, height="10", class_="bar-own")
    return element("svg", rect, viewBox="0 0 100 10", class_="small-bar", aria_hidden="true")


def framed(plot: Markup | None) -> Markup | None:
    """Return a plot as a figure of its own."""
    return None if plot is None else element("figure", plot)
