"""Blocks a page is laid out with: sections, tables, plots beside their tables."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rerank.evaluation.baselines import BASELINE_LABELS
from rerank.evaluation.metrics import METRICS, Better

# Longer text is hostile or a mistake; a title of 1 MB would be the page.
MAX_TEXT: Final = 500

_VOID: Final = frozenset({"br", "col", "hr", "meta"})
# Controls end no line and close no string here, but they hide text, or turn it around (bidi
# overrides); lone surrogates cannot be written as UTF-8.
_UNREADABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff"
    "\ud800-\udfff]"
)


class Markup(str):
    """Text that is HTML already: `element` takes it as it is."""

    __slots__ = ()


Child = Markup | str | None
Attribute = str | int | float | bool | None


def element(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """Return an element; strings in it are escaped, shortened and made readable.

    :param attributes: ``class_`` stands for class, ``aria_label`` for aria-label; None and False
        leave an attribute out, True writes its name alone.
    """
    opening = name + "".join(
        f" {_attribute_name(key)}" + ("" if value is True else f'="{escaped(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """Return children after each other, strings escaped."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else escaped(child)
            for child in children
            if child is not None
        )
    )


def escaped(text: str) -> Markup:
    """Return readable text of at most 500 characters; what was cut is said."""
    length = len(text)
    if length > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}… ({length:,} characters)"
    return Markup(html.escape(_UNREADABLE.sub("\ufffd", text), quote=True))


def foreign(text: str, **attributes: Attribute) -> Markup:
    """Return a text that others wrote, kept apart from the direction of what surrounds it."""
    return element("bdi", text, dir="auto", **attributes)


def _attribute_name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


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


def figure_cell(found: ReportFigure, *, signed: bool = False) -> Markup:
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


def card(label: str, found: ReportFigure, meaning: str) -> Markup | None:
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


Content = Mapping[str, Any]

MISSING = "–"


class ReportFigure(NamedTuple):
    """A value with its 95 % interval over ``n`` cases; None is what nobody could measure."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


def number(value: Any) -> float | None:
    """Return a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def count(value: Any) -> int | None:
    """Return a whole number, None for anything else."""
    found = number(value)
    return None if found is None else round(found)


def part(content: Content | None, key: str) -> Content:
    """Return the mapping under a key, an empty one if there is none."""
    found = (content or {}).get(key)
    return found if isinstance(found, Mapping) else {}


def items(content: Content | None, key: str) -> list[Any]:
    """Return the list under a key, an empty one if there is none."""
    found = (content or {}).get(key)
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else []


def records(content: Content | None, key: str) -> list[Content]:
    """Return the mappings in the list under a key."""
    return [item for item in items(content, key) if isinstance(item, Mapping)]


def figure(content: Content | None, key: str) -> ReportFigure:
    """Return the figure under a key, an empty one if there is none."""
    found = part(content, key)
    return read_figure(found, "value")


def read_figure(content: Content, key: str) -> ReportFigure:
    """Return a record's number under a key with its ``ci95`` and ``n``."""
    bounds = [number(bound) for bound in items(content, "ci95")]
    low, high = bounds if len(bounds) == 2 else (None, None)
    return ReportFigure(number(content.get(key)), low, high, count(content.get("n")))


def text(content: Content | None, key: str) -> str:
    """Return the text under a key, empty if there is none."""
    found = (content or {}).get(key)
    return "" if found is None else str(found)


def share(value: float | None, *, signed: bool = False) -> str:
    """Write a share with three places and without the zero in front: ``.973``, ``+.660``."""
    if value is None:
        return MISSING
    digits = f"{abs(value):.3f}"
    digits = digits[1:] if digits.startswith("0.") else digits
    if value < 0 and digits.strip(".0"):
        return f"\N{MINUS SIGN}{digits}"
    return f"+{digits}" if signed and digits.strip(".0") else digits


def interval(found: ReportFigure, *, signed: bool = False) -> str:
    """Write the interval alone: ``[.947–.993]``, empty if there is none."""
    if found.low is None or found.high is None:
        return ""
    between = " to " if signed else "–"
    return f"[{share(found.low, signed=signed)}{between}{share(found.high, signed=signed)}]"


def with_interval(found: ReportFigure, *, signed: bool = False) -> str:
    """Write a figure with its interval: ``.973 [.947–.993]``."""
    return f"{share(found.value, signed=signed)} {interval(found, signed=signed)}".rstrip()


def whole(value: int | None) -> str:
    """Write a count with commas between thousands."""
    return MISSING if value is None else f"{value:,}"


def percent(value: float) -> str:
    """Write a share as a percentage with one place; none and all have none."""
    if value in (0, 1):
        return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def p_text(value: float | None) -> str:
    """Write a p-value; below .001 no digits are worth their place."""
    if value is None:
        return MISSING
    return "<\N{NO-BREAK SPACE}.001" if value < 0.001 else share(value)


def plural(n: int, one: str, many: str = "") -> str:
    """Write a count with its noun."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


_METRICS = {metric.name: metric for metric in METRICS}
OTHER_DEFINITIONS = (
    ("difference", "ours less the baseline's on the same listings, with a paired interval"),
    (
        "p, corrected",
        "chance of such a difference if both were equally good (paired "
        "randomisation), multiplied up for the number of comparisons after Holm",
    ),
    (
        "[low–high]",
        "95 % interval: bootstrap, listings that belong together drawn as one; "
        "Wilson's for the bins of the reliability diagram",
    ),
    ("n", "how many listings, answers or sets the figure is made from"),
    ("candidate set", "the models, or no match, that hold the truth with the stated coverage"),
    (
        "contribution",
        "what a feature did to the score (SHAP); of a wrong order: less what it did "
        "for the right candidate; of a wrong decision: in log-odds of accepting",
    ),
)


def metric_label(name: str) -> str:
    """Return what people call a metric, or its key in words if it is not in the catalogue."""
    metric = _METRICS.get(name)
    return metric.label if metric else spoken(name)


def lower_is_better(name: str) -> bool:
    """Tell whether a metric counts what goes wrong."""
    metric = _METRICS.get(name)
    return metric is not None and metric.better is Better.LOWER


def system_label(name: str) -> str:
    """Return what a system is called."""
    return BASELINE_LABELS.get(name, name)


def in_report_order(names: Iterable[str]) -> list[str]:
    """Return metric names in the order of the catalogue, unknown ones behind it."""
    order = {name: at for at, name in enumerate(_METRICS)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def definitions() -> list[tuple[str, str]]:
    """Return each term of the page with what it means in one line."""
    of_metrics = [
        (metric.label, f"{metric.definition} ({metric.better.value} is better)")
        for metric in METRICS
    ]
    return [*of_metrics, *OTHER_DEFINITIONS]


def spoken(name: str) -> str:
    """Return a key as words."""
    return name.replace("_at_", "@").replace("_", " ")
