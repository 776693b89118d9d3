"""The section on all rankers, measured together by `rerank compare-rankers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobs.comparing.text import duration_text, rate_text, size_text
from jobs.report_html.blocks import Cell, figure_cell, section, table
from jobs.report_html.figures import (
    MISSING,
    Content,
    count,
    figure,
    number,
    p_text,
    part,
    plural,
    records,
    text,
)
from jobs.report_html.markup import Markup, element, foreign
from jobs.report_html.names import in_report_order, metric_label, spoken

_SHOWN = ("precision_at_1", "ndcg_at_10", "ece", "accepted_share", "precision_of_accepted")


def rankers_section(content: Content, anchor: str, model_version: str) -> Markup | None:
    """Return what rankers cost, and how right each is on each set.

    :param content: what `rerank compare-rankers` wrote.
    :param model_version: the model that the page is about.
    """
    sets = part(content, "sets")
    tables = [_set_table(name, part(sets, name), text(content, "seed")) for name in sets]
    costs = _costs_table(records(content, "rankers"))
    if costs is None and all(block is None for block in tables):
        return None
    return section(
        anchor,
        "Rankers, measured together",
        _lead(content),
        _staleness(content, model_version),
        costs,
        *tables,
    )


def _lead(content: Content) -> str:
    day = text(content, "started_at").replace("T", " ").removesuffix("Z")
    measured = f"Measured {day} UTC: a run of its own. " if day else ""
    return (
        f"{measured}All order the same candidates of each set; what decides was trained on each "
        f"ranker's own scores. p: of the difference in precision@1 to "
        f"{text(content, 'baseline') or 'the first'}, corrected after Holm."
    )


def _staleness(content: Content, model_version: str) -> Markup | None:
    """Say so if the page's model is none of those that were measured."""
    versions = [text(each, "version") for each in records(content, "rankers")]
    if not model_version or model_version in versions:
        return None
    told = (
        f"Model {model_version}, which this page is about, was not among them: run `rerank "
        "compare-rankers` again."
    )
    return element("p", told, class_="lead")


def _costs_table(rankers: Sequence[Content]) -> Markup | None:
    rows: list[list[Cell]] = [
        [
            foreign(text(each, "name")),
            foreign(text(each, "description")),
            foreign(text(each, "version") or MISSING),
            _written(each, "size_bytes", size_text),
            _written(each, "training_seconds", duration_text),
            _rate(each, "ranking"),
            _rate(each, "resolving"),
        ]
        for each in rankers
    ]
    header = (
        "ranker",
        "what it is",
        "version",
        "size",
        "training",
        "ranked a second",
        "resolved a second",
    )
    return table(
        "What rankers cost; ranked: on given candidates, resolved: from title to answer",
        header,
        rows,
        left=(0, 1, 2),
    )


def _written(ranker: Content, key: str, write: Callable[[float | None], str]) -> str:
    value = number(ranker.get(key))
    return MISSING if value is None else write(value)


def _rate(ranker: Content, key: str) -> str:
    measured = part(ranker, key)
    known = number(part(measured, "rate").get("median")) is not None
    return rate_text(measured) if known else MISSING


def _set_table(name: str, content: Content, seed: str) -> Markup | None:
    rankers = part(content, "rankers")
    metrics = in_report_order(
        {key for ranker in rankers for key in part(part(rankers, ranker), "metrics")} & {*_SHOWN}
    )
    rows: list[list[Cell]] = []
    for ranker in rankers:
        own = part(rankers, ranker)
        difference = part(part(own, "differences"), "precision_at_1")
        rows.append(
            [
                foreign(ranker),
                *(figure_cell(figure(part(own, "metrics"), key)) for key in metrics),
                p_text(number(difference.get("p_adjusted"))),
            ]
        )
    header = ("ranker", *map(metric_label, metrics), "p, corrected")
    return table(f"{spoken(name)}{_size(content, seed)}", header, rows)


def _size(content: Content, seed: str) -> str:
    n, of = count(content.get("n")), count(content.get("of"))
    if n is None:
        return ""
    drawn = f" of {of:,}, drawn with seed {seed}" if of is not None and of > n else ""
    return f": {plural(n, 'listing')}{drawn}"
