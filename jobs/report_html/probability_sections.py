"""Sections on probabilities: are they true, what do they buy, and the sets made from them."""

from __future__ import annotations

from jobs.report_html.blocks import beside, figure_cell, plots, section, table
from jobs.report_html.curve_plots import (
    precision_recall_plot,
    reliability_diagram,
    risk_coverage_plot,
)
from jobs.report_html.dot_plot import Reference, Row, dot_plot
from jobs.report_html.figures import (
    MISSING,
    Content,
    Figure,
    count,
    figure,
    number,
    part,
    percent,
    read_figure,
    records,
    share,
    whole,
    with_interval,
)
from jobs.report_html.markup import Markup
from jobs.report_html.names import metric_label


def reliability_section(content: Content, anchor: str) -> Markup | None:
    """Return the reliability diagram with its bins as a table."""
    bins = records(part(content, "curves"), "reliability")
    plot = reliability_diagram(bins, title="Reliability diagram")
    if plot is None:
        return None
    rows = [
        [
            f"{share(number(item.get('low')))}–{share(number(item.get('high')))}",
            share(number(item.get("mean_probability"))),
            figure_cell(read_figure(item, "share_correct")),
            whole(count(item.get("n"))),
        ]
        for item in bins
        if count(item.get("n"))
    ]
    gap = figure(part(content, "metrics"), "ece")
    lead = (
        "A dot above the dashed line means that answers are right more often than their "
        "probability says, a dot below it that they promise too much."
    )
    if gap.value is not None:
        lead += f" The mean gap (ECE) is {with_interval(gap)}."
    header = ("bin", "mean probability", "share right", "n")
    return section(
        anchor,
        "Are the probabilities true?",
        lead,
        beside(plot, table("Bins of the reliability diagram", header, rows)),
    )


def curves_section(content: Content, anchor: str) -> Markup | None:
    """Return risk against coverage and precision against recall."""
    curves, metrics = part(content, "curves"), part(content, "metrics")
    at_precision = figure(metrics, "accepted_share_at_precision")
    told = ["Listings are answered in the order of their probability."]
    if at_precision.value is not None:
        told.append(
            f"{percent(at_precision.value)} {_bounds(at_precision)}of all listings could be "
            f"accepted by one threshold ({metric_label('accepted_share_at_precision')})."
        )
    for key, name in (("aurc", "risk-coverage"), ("pr_auc", "precision-recall")):
        area = figure(metrics, key)
        if area.value is not None:
            told.append(f"Area under {name}: {with_interval(area)}.")
    return section(
        anchor,
        "What accepting more costs",
        " ".join(told),
        plots(
            risk_coverage_plot(part(curves, "risk_coverage"), title="Risk against coverage"),
            precision_recall_plot(
                part(curves, "precision_recall"), title="Precision against recall"
            ),
        ),
    )


def candidate_sets_section(content: Content, anchor: str) -> Markup | None:
    """Return the coverage that conformal candidate sets reached and how large they are."""
    sets = part(content, "candidate_sets")
    coverage, size, level = figure(sets, "coverage"), figure(sets, "mean_size"), None
    if sets:
        level = number(sets.get("level"))
    if coverage.value is None and size.value is None:
        return None
    promised = MISSING if level is None else percent(level)
    told = f"Each set is meant to hold the truth, a model or no match, for {promised} of listings."
    if coverage.value is not None:
        told += f" It does for {percent(coverage.value)}."
    if size.value is not None:
        told += f" A set holds {size.value:.2f} outcomes on average."
    if level is not None and coverage.high is not None and coverage.high < level:
        told += (
            " That is below the promise, which holds for listings like those it was set on;"
            " these differ."
        )
    plot = dot_plot(
        [Row("coverage reached", coverage)],
        title="Coverage of candidate sets",
        axis_label="share of sets that hold the truth",
        reference=Reference(level, "promised"),
    )
    bounds = "" if size.low is None or size.high is None else f"{size.low:.2f}–{size.high:.2f}"
    rows = [
        ["coverage promised", share(level), "", ""],
        ["coverage reached", share(coverage.value), _span(coverage), whole(coverage.n)],
        [
            "mean size",
            MISSING if size.value is None else f"{size.value:.2f}",
            bounds,
            whole(size.n),
        ],
    ]
    header = ("", "value", "95 %", "n")
    return section(
        anchor, "Candidate sets", told, beside(plot, table("Candidate sets", header, rows))
    )


def _bounds(found: Figure) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"[{percent(found.low)} to {percent(found.high)}] "


def _span(found: Figure) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"{share(found.low)}–{share(found.high)}"
