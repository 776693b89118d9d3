"""Sections on what goes wrong: the loss budget, causes, and models taken for their siblings."""

from __future__ import annotations

from jobs.report_html.blocks import Cell, beside, folded, section, small_bar, table
from jobs.report_html.budget_bar import LOSSES, budget_bar, loss_counts, sums_up
from jobs.report_html.figures import (
    Content,
    count,
    items,
    part,
    percent,
    plural,
    records,
    text,
    whole,
)
from jobs.report_html.markup import Markup, element, foreign, joined
from rerank.evaluation.causes import Cause

_SHOWN_CONFUSIONS = 15
_SENTENCES = {cause.value: cause.sentence for cause in Cause}


def budget_section(content: Content, anchor: str) -> Markup | None:
    """Return how many listings are right and which part lost the others."""
    budget = part(content, "loss_budget")
    plot = budget_bar(budget, title="Loss budget")
    if plot is None:
        return None
    listings, right = count(budget.get("listings")) or 0, count(budget.get("right"))
    losses = loss_counts(budget)
    errors = count(budget.get("errors"))
    rows: list[list[Cell]] = [["right", whole(right), _of(right, listings), ""]]
    rows += [[name, whole(losses[name]), _of(losses[name], listings), why] for name, why in LOSSES]
    rows.append(["all listings", whole(listings), _of(listings, listings), ""])
    told = f"Of {plural(listings, 'listing')}, {whole(errors)} went wrong. Each error has one loser"
    if losses and max(losses.values()):
        name = max(losses, key=lambda key: losses[key])
        told += f"; most are lost by the {name} ({losses[name]:,})"
    faults = sums_up(budget)
    warning = (
        element("p", f"The sums do not hold: {'; '.join(faults)}.", class_="warning")
        if faults
        else None
    )
    header = ("lost by", "listings", "share", "because")
    return section(
        anchor,
        "Loss budget",
        told + ".",
        beside(plot, warning, table("Listings by outcome", header, rows, left=(0, 3))),
    )


def causes_section(content: Content, anchor: str) -> Markup | None:
    """Return the errors by cause, the most frequent first."""
    counts = {cause: n for cause, value in part(content, "causes").items() if (n := count(value))}
    if not counts:
        return None
    largest = max(counts.values())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows: list[list[Cell]] = [
        [cause, whole(n), small_bar(n / largest), _SENTENCES.get(cause, "")] for cause, n in ordered
    ]
    lead = f"{plural(sum(counts.values()), 'error')}, by the rule that explains each."
    header = ("cause", "n", "", "what it means")
    return section(anchor, "Causes", lead, table("Errors by cause", header, rows, left=(0, 2, 3)))


def confusions_section(content: Content, anchor: str) -> Markup | None:
    """Return which model was taken for which, the most frequent first."""
    found = records(content, "confusions")
    if not found:
        return None
    largest = max(count(item.get("n")) or 0 for item in found) or 1
    rows: list[list[Cell]] = [
        [
            foreign(text(item, "gold")),
            foreign(text(item, "found")),
            whole(count(item.get("n"))),
            small_bar((count(item.get("n")) or 0) / largest),
            joined(*_spaced([str(key) for key in items(item, "listing_ids") if key is not None])),
        ]
        for item in found
    ]
    header = ("sold", "taken for", "n", "", "listings")
    first, rest = rows[:_SHOWN_CONFUSIONS], rows[_SHOWN_CONFUSIONS:]
    left = (0, 1, 3, 4)
    return section(
        anchor,
        "Confusions",
        "Models whose listings were named as another model, most often their sibling.",
        table("Confusions, the most frequent first", header, first, left=left),
        folded(
            f"{plural(len(rest), 'more confusion')}",
            table("More confusions", header, rest, left=left),
        )
        if rest
        else None,
    )


def _of(n: int | None, listings: int) -> str:
    return "" if n is None or not listings else percent(n / listings)


def _spaced(ids: list[str]) -> list[Markup]:
    found: list[Markup] = []
    for at, listing_id in enumerate(ids):
        if at:
            found.append(Markup(", "))
        found.append(element("code", foreign(listing_id)))
    return found
