"""Sections that open a set: headline figures, our system against baselines, routes."""

from __future__ import annotations

from jobs.report_html.blocks import Cell, beside, card, cards, figure_cell, folded, section, table
from jobs.report_html.dot_plot import Row, Tone, dot_plot
from jobs.report_html.figures import (
    Content,
    count,
    figure,
    number,
    p_text,
    part,
    percent,
    plural,
    read_figure,
    records,
    text,
    whole,
)
from jobs.report_html.markup import Markup
from jobs.report_html.names import (
    in_report_order,
    lower_is_better,
    metric_label,
    system_label,
)

_HEADLINES = (
    ("precision_at_1", "right model first, of GPU listings"),
    ("recall_at_10", "right model among ten"),
    ("accepted_share", "of GPU listings, without a person"),
    ("precision_of_accepted", "right, of what was accepted"),
    ("nil_false_match_rate", "of no-match listings"),
    ("ece", "mean gap of stated probability, 0 is best"),
)
_BASELINE_COLUMNS = ("precision_at_1", "recall_at_3", "recall_at_10", "mrr")


def summary_section(content: Content, anchor: str) -> Markup | None:
    """Return the headline figures as cards and every metric as a table."""
    metrics = part(content, "metrics")
    rows = []
    for name in in_report_order(metrics):
        found = figure(metrics, name)
        better = "lower" if lower_is_better(name) else "higher"
        rows.append([metric_label(name), figure_cell(found), whole(found.n), better])
    every = table(
        "All figures with 95 % intervals", ("metric", "value", "n", "better"), rows, left=(0, 3)
    )
    return section(
        anchor,
        "Summary",
        _summary_lead(content, metrics),
        cards(*(card(metric_label(n), figure(metrics, n), why) for n, why in _HEADLINES)),
        folded("All figures", every),
    )


def kinds_text(content: Content) -> str:
    """Say how many listings a set has and of which kinds."""
    kinds = part(content, "kinds")
    words = {
        "match": "sell a GPU of the registry",
        "nil": "sell something else",
        "ambiguous": "could mean several and are not judged",
    }
    told = [
        f"{whole(count(kinds[kind]))} {words[kind]}" for kind in words if count(kinds.get(kind))
    ]
    n = count(content.get("n"))
    return ": ".join(
        piece
        for piece in ("" if n is None else f"{plural(n, 'judged listing')}", ", ".join(told))
        if piece
    )


def baselines_section(content: Content, anchor: str) -> Markup | None:
    """Return our precision@1 beside that of the baselines, as a plot and with the differences."""
    systems = part(content, "baselines")
    if not systems:
        return None
    own = figure(part(content, "metrics"), "precision_at_1")
    rows = [Row("rerank", own)] + [
        Row(system_label(name), figure(part(systems, name), "precision_at_1"), Tone.OTHER)
        for name in systems
    ]
    plot = dot_plot(
        rows,
        title="Precision@1 of rerank and of the baselines",
        axis_label="precision@1",
    )
    return section(
        anchor,
        "Against baselines",
        _baselines_lead(systems),
        beside(plot, _comparison_table(content)),
        folded("All figures of the systems", _baseline_table(content, systems)),
    )


def routes_section(content: Content, anchor: str) -> Markup | None:
    """Return the recall of each retrieval route."""
    routes = part(content, "routes")
    cutoffs = in_report_order({key for name in routes for key in part(routes, name)})
    cutoffs.sort(key=lambda key: int(digits) if (digits := key.rpartition("_")[2]).isdigit() else 0)
    if not cutoffs:
        return None
    rows = [
        [name, *(figure_cell(figure(part(routes, name), key)) for key in cutoffs)]
        for name in routes
    ]
    deepest = cutoffs[-1]
    plot = dot_plot(
        [
            Row(
                name,
                figure(part(routes, name), deepest),
                Tone.OWN if name == "fused" else Tone.OTHER,
            )
            for name in routes
        ],
        title=f"{metric_label(deepest)} of each retrieval route",
        axis_label=f"{metric_label(deepest)}: right model retrieved",
    )
    lead = "What retrieval misses no ranking can mend; fused is what the ranker gets."
    header = ("route", *(metric_label(key) for key in cutoffs))
    return section(
        anchor, "Retrieval routes", lead, beside(plot, table("Recall by route", header, rows))
    )


def _summary_lead(content: Content, metrics: Content) -> str | None:
    first, false = figure(metrics, "precision_at_1"), figure(metrics, "nil_false_match_rate")
    accepted, precise = figure(metrics, "accepted_share"), figure(metrics, "precision_of_accepted")
    told = []
    if first.value is not None:
        told.append(f"The right model comes first for {percent(first.value)} of GPU listings.")
    if accepted.value is not None and precise.value is not None:
        told.append(
            f"{percent(accepted.value)} of them are accepted without a person, and "
            f"{percent(precise.value)} of what is accepted is right."
        )
    if false.value is not None:
        told.append(f"Of listings that sell something else, {percent(false.value)} are accepted.")
    return " ".join(told) or kinds_text(content) or None


def _baselines_lead(systems: Content) -> str | None:
    known = [
        (found.value, name)
        for name in systems
        if (found := figure(part(systems, name), "precision_at_1")).value is not None
    ]
    if not known:
        return None
    value, name = max(known)
    gain = figure(part(systems, name), "gain_precision_at_1")
    told = (
        f"The best baseline, {system_label(name)}, puts the right model first for {percent(value)}"
    )
    if gain.value is not None:
        points = f"{100 * abs(gain.value):.1f} percentage points"
        verb = "leads" if gain.value >= 0 else "trails"
        told += f"; rerank {verb} by {points} on the same listings"
    return told + "."


def _baseline_table(content: Content, systems: Content) -> Markup | None:
    metrics = part(content, "metrics")
    ours = (figure_cell(figure(metrics, key)) for key in _BASELINE_COLUMNS)
    rows: list[list[Cell]] = [["rerank", *ours, ""]]
    for name in systems:
        own = part(systems, name)
        rows.append(
            [
                system_label(name),
                *(figure_cell(figure(own, key)) for key in _BASELINE_COLUMNS),
                figure_cell(figure(own, "gain_precision_at_1"), signed=True),
            ]
        )
    header = ("system", *map(metric_label, _BASELINE_COLUMNS), "rerank's lead")
    return table("Systems; lead in precision@1, on the baseline's own listings", header, rows)


def _comparison_table(content: Content) -> Markup | None:
    compared = records(content, "comparisons")
    compared.sort(key=lambda item: text(item, "metric") != "precision_at_1")
    rows: list[list[Cell]] = [
        [
            f"{metric_label(text(item, 'metric'))}: {system_label(text(item, 'baseline'))}",
            figure_cell(read_figure(item, "difference"), signed=True),
            p_text(number(item.get("p_value"))),
            p_text(number(item.get("p_adjusted"))),
            whole(count(item.get("n"))),
        ]
        for item in compared
    ]
    header = ("against", "difference", "p", "p, corrected", "n")
    return table("rerank less baseline, on the same listings", header, rows)
