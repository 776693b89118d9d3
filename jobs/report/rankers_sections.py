"""The section on the ablation: what each step and each group of features earns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rerank.jobs.report.blocks import (
    MISSING,
    Cell,
    Content,
    Markup,
    ReportFigure,
    count,
    element,
    figure,
    figure_cell,
    folded,
    foreign,
    framed,
    in_report_order,
    metric_label,
    number,
    p_text,
    part,
    plural,
    records,
    section,
    spoken,
    table,
    text,
)
from rerank.jobs.report.plots import Row, Tone, dot_plot
from rerank.jobs.tables import duration_text, rate_text, size_text

_MEASURE = "precision_at_1"


def ablation_section(content: Content, anchor: str) -> Markup | None:
    """Return the ladder of systems and what each feature group left out costs."""
    steps = records(content, "steps")
    ladder = [step for step in steps if step.get("group") == "ladder"]
    left_out = [step for step in steps if step.get("group") == "left_out"]
    lead = (
        f"Every system orders the same candidates of {plural(round(n), 'listing')}."
        if (n := number(content.get("n"))) is not None
        else "Every system orders the same candidates."
    )
    known = [block for block in (_ladder(ladder), _left_out(left_out)) if block is not None]
    return section(
        anchor,
        "Ablation",
        lead,
        element("div", *known, class_="parts") if known else None,
        folded("Figures of the ladder", _step_table("Ladder of systems", ladder)),
        folded(
            "Figures with a group left out",
            _step_table("Systems with one feature group left out", left_out),
        ),
    )


def _ladder(steps: Sequence[Content]) -> Markup | None:
    if not steps:
        return None
    rows = [
        Row(
            _step(step),
            figure(part(step, "metrics"), _MEASURE),
            Tone.OWN if at == len(steps) - 1 else Tone.OTHER,
        )
        for at, step in enumerate(steps)
    ]
    plot = dot_plot(
        rows, title="What each step of the ladder adds", axis_label=metric_label(_MEASURE)
    )
    note = element("p", "From the plainest system to the full one, which is blue.", class_="lead")
    return element("div", element("h4", "Step by step"), note, framed(plot))


def _left_out(steps: Sequence[Content]) -> Markup | None:
    if not steps:
        return None
    rows = []
    for step in steps:
        own = _difference(step)
        clear = own.low is not None and own.high is not None and not own.low <= 0 <= own.high
        rows.append(Row(_step(step), own, Tone.OTHER if clear else Tone.OWN))
    rows.sort(key=lambda row: (row.figure.value is None, row.figure.value or 0.0, row.label))
    plot = dot_plot(
        rows,
        title="What leaving a feature group out changes",
        limits=(-1.0, 1.0),
        signed=True,
        axis_label=f"{metric_label(_MEASURE)}, less that of the full system",
    )
    told = "Left of zero the group earns its place; orange where the interval leaves out zero."
    note = element("p", told, class_="lead")
    return element("div", element("h4", "One group of features left out"), note, framed(plot))


def _step_table(caption: str, steps: Sequence[Content]) -> Markup | None:
    metrics = in_report_order({key for step in steps for key in part(step, "metrics")})
    rows: list[list[Cell]] = []
    for step in steps:
        gap = part(part(step, "difference"), _MEASURE)
        rows.append(
            [
                _step(step),
                *(figure_cell(figure(part(step, "metrics"), key)) for key in metrics),
                figure_cell(_difference(step), signed=True),
                p_text(number(gap.get("p_adjusted"))),
            ]
        )
    header = ("system", *map(metric_label, metrics), "difference to full", "p, corrected")
    return table(f"{caption}; difference in {metric_label(_MEASURE)}", header, rows)


def _difference(step: Content) -> ReportFigure:
    """Return the difference to the full system; every system has the n of the section's lead."""
    return figure(part(step, "difference"), _MEASURE)._replace(n=None)


def _step(step: Content) -> str:
    return text(step, "label") or spoken(text(step, "name"))


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
