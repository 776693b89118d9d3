"""The failures of a set: all of them folded, to leaf through where scripts run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jobs.report_html.blocks import Cell, section, table
from jobs.report_html.figures import (
    MISSING,
    Content,
    count,
    number,
    part,
    plural,
    records,
    share,
    text,
)
from jobs.report_html.markup import Markup, element, foreign, joined


def failures_section(content: Content, anchor: str) -> Markup | None:
    """Return each failure with what was wanted, what was answered and what decided it."""
    found = records(content, "failures")
    if not found:
        return None
    errors = count(part(content, "loss_budget").get("errors"))
    lead = plural(len(found), "wrong answer")
    if errors is not None and errors > len(found):
        lead = f"The {len(found):,} costliest of {errors:,} wrong answers"
    return section(
        anchor,
        "Failures",
        f"{lead}, the costliest first: wrong and accepted, then wrong, then not accepted.",
        element(
            "div",
            _toolbar(found, anchor),
            element(
                "div", *(_failure(item, at) for at, item in enumerate(found, 1)), class_="cases"
            ),
            class_="failures",
        ),
    )


def _toolbar(found: Sequence[Content], anchor: str) -> Markup:
    """Return the controls; hidden until the script that works them runs."""
    return element(
        "div",
        _choice(found, "cause", "cause", anchor),
        _choice(found, "lost_to", "lost by", anchor),
        element(
            "span",
            element("button", "‹ previous", type="button", class_="previous"),
            element("output", class_="place", aria_live="polite"),
            element("button", "next ›", type="button", class_="next"),
            class_="leaf",
        ),
        element("button", "show as a list", type="button", class_="mode", aria_pressed="false"),
        class_="toolbar",
        role="group",
        aria_label="Leaf through failures",
        hidden=True,
    )


def _choice(found: Sequence[Content], key: str, label: str, anchor: str) -> Markup:
    counts = Counter(text(item, key) for item in found)
    options = [element("option", f"all ({len(found)})", value="")]
    options += [
        element("option", f"{value or 'unknown'} ({n})", value=value or "unknown")
        for value, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    name = f"{anchor}-{key}".replace("_", "-")
    return element(
        "label", f"{label} ", element("select", *options, id=name, class_=key.replace("_", "-"))
    )


def _failure(item: Content, at: int) -> Markup:
    cause, loser = text(item, "cause") or "unknown", text(item, "lost_to") or "unknown"
    decision = text(item, "decision").replace("_", " ")
    probability = share(number(item.get("probability")))
    return element(
        "details",
        element(
            "summary",
            element("span", f"{at}", class_="number"),
            foreign(text(item, "title") or MISSING, class_="title"),
            element("span", f"{cause} · lost by {loser}", class_="tag"),
        ),
        element(
            "dl",
            *_pair("wanted", foreign(text(item, "want") or MISSING)),
            *_pair("answered", foreign(text(item, "got") or MISSING)),
            *_pair("decision", f"{decision or MISSING} at probability {probability}"),
            *_right(item),
            *_pair("listing", element("code", foreign(text(item, "listing_id") or MISSING))),
            class_="facts",
        ),
        _features(records(item, "features"), at),
        data_cause=cause,
        data_lost_to=loser,
    )


def _right(item: Content) -> tuple[Markup, ...]:
    """Return where the right candidate stood; nothing where there is no right one to be had."""
    right = text(item, "right")
    if not right and text(item, "want") in ("", "no match"):
        return ()
    return _pair("right candidate", foreign(right or "not among the candidates"))


def _pair(term: str, told: Markup | str) -> tuple[Markup, Markup]:
    return element("dt", term), element("dd", told)


def _features(found: Sequence[Content], at: int) -> Markup | None:
    """Return the features that decided, each with its contribution as a bar about zero."""
    shares = [number(item.get("contribution")) for item in found]
    largest = max((abs(value) for value in shares if value is not None), default=0.0) or 1.0
    rows: list[list[Cell]] = [
        [
            text(item, "words") or text(item, "feature"),
            _value(item, "right"),
            _value(item, "chosen"),
            joined(_bar(value, largest), _signed(value)),
        ]
        for item, value in zip(found, shares, strict=True)
    ]
    header = ("feature", "right", "chosen", "contribution")
    return table(f"What decided failure {at}", header, rows)


def _bar(value: float | None, largest: float) -> Markup:
    """Return a bar from the middle: to the right above 0, to the left below."""
    wide = 0.0 if value is None else 50 * min(abs(value) / largest, 1.0)
    start = 50.0 if value is None or value >= 0 else 50 - wide
    class_ = "bar-own" if value is None or value < 0 else "bar-other"
    rect = element("rect", x=f"{start:.1f}", width=f"{wide:.1f}", height="10", class_=class_)
    middle = element("rect", x="49.5", width="1", height="10", class_="bar-zero")
    return element(
        "svg", rect, middle, viewBox="0 0 100 10", class_="small-bar", aria_hidden="true"
    )


def _value(item: Content, key: str) -> str:
    found = number(item.get(key))
    return MISSING if found is None else f"{found:.4g}".replace("-", "\N{MINUS SIGN}")


def _signed(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
