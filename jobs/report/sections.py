"""Sections on what goes wrong: the loss budget, causes, and models taken for their siblings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rerank.evaluation.failures import Cause
from rerank.jobs.report.blocks import (
    MISSING,
    Cell,
    Content,
    Markup,
    ReportFigure,
    beside,
    card,
    cards,
    count,
    element,
    figure,
    figure_cell,
    folded,
    foreign,
    framed,
    in_report_order,
    items,
    joined,
    lower_is_better,
    metric_label,
    number,
    p_text,
    part,
    percent,
    plots,
    plural,
    read_figure,
    records,
    section,
    share,
    small_bar,
    system_label,
    table,
    text,
    whole,
    with_interval,
)
from rerank.jobs.report.plots import (
    LOSSES,
    ReferenceLine,
    Row,
    Tone,
    budget_bar,
    dot_plot,
    loss_counts,
    precision_recall_plot,
    reliability_diagram,
    risk_coverage_plot,
    sums_up,
)

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
        reference=ReferenceLine(level, "promised"),
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


def _bounds(found: ReportFigure) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"[{percent(found.low)} to {percent(found.high)}] "


def _span(found: ReportFigure) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"{share(found.low)}–{share(found.high)}"


_MEASURE = "precision_at_1"
_FEW = 30
_CHANCE = 0.025  # on one side, as of a 95 % interval
_SHOWN_VALUES, _SHOWN_FEW = 20, 8


def slices_section(content: Content, anchor: str) -> Markup | None:
    """Return a dot plot and a table for each slice, and name the values that differ."""
    slices = part(content, "slices")
    whole_set = figure(part(content, "metrics"), _MEASURE)
    blocks, apart = [], []
    for name in slices:
        values = part(slices, name)
        blocks.append(_slice_block(name, values, whole_set))
        apart += [
            f"{name}: {value}"
            for value in values
            if _differs(figure(part(values, value), _MEASURE), whole_set)
        ]
    lead = (
        f"Slices with fewer than {_FEW} GPU listings are grey. A slice differs if its interval "
        "leaves out the figure of the whole set; of 20 that do not differ, about one seems to by "
        "chance. "
    )
    lead += f"Differing: {'; '.join(apart[:12])}." if apart else "None differs."
    known = [block for block in blocks if block is not None]
    return section(
        anchor, "Slices", lead, element("div", *known, class_="parts") if known else None
    )


def _slice_block(name: str, values: Content, whole_set: ReportFigure) -> Markup | None:
    figures = {value: figure(part(values, value), _MEASURE) for value in values}
    known = sorted(
        (value for value in figures if figures[value].value is not None),
        key=lambda value: (-(figures[value].n or 0), value),
    )
    many = [value for value in known if (figures[value].n or 0) >= _FEW][:_SHOWN_VALUES]
    few = [value for value in known if (figures[value].n or 0) < _FEW]
    shown = [*many, *few[: max(0, _SHOWN_FEW - len(many))]]
    ordered = sorted(shown, key=lambda value: _by_figure(figures[value]))
    rows = [Row(value, figures[value], *_tone(figures[value], whole_set)) for value in ordered]
    plot = dot_plot(
        rows,
        title=f"{metric_label(_MEASURE)} by {name}",
        axis_label=f"{metric_label(_MEASURE)} by {name}",
        reference=ReferenceLine(whole_set.value, "whole set"),
    )
    more = len(known) - len(ordered)
    note = element("p", f"{more} more with fewer listings are in the table.") if more > 0 else None
    details = folded("Further figures of these slices", _slice_table(name, values))
    if plot is None and details is None:
        return None
    return element("div", element("h4", f"By {name}"), framed(plot), note, details)


def _slice_table(name: str, values: Content) -> Markup | None:
    metrics = in_report_order({key for value in values for key in part(values, value)})
    rows: list[list[Cell]] = []
    for value in values:
        own = part(values, value)
        cells: list[Cell] = []
        for key in metrics:
            found = figure(own, key)
            size = element("small", f" n {whole(found.n)}") if found.n is not None else None
            cells.append(joined(figure_cell(found), size))
        rows.append([value, *cells])
    return table(f"Figures by {name}", (name, *map(metric_label, metrics)), rows)


def _by_figure(found: ReportFigure) -> tuple[bool, float, int]:
    """Sort few listings last, else the worst first."""
    return (found.n or 0) < _FEW, found.value or 0.0, -(found.n or 0)


def _tone(found: ReportFigure, whole_set: ReportFigure) -> tuple[Tone, str]:
    if (found.n or 0) < _FEW:
        return Tone.FAINT, "few"
    return (Tone.OTHER, "differs") if _differs(found, whole_set) else (Tone.OWN, "")


def _differs(found: ReportFigure, whole_set: ReportFigure) -> bool:
    """Tell whether the interval of a slice of some size leaves out the whole set's figure."""
    known = whole_set.value is not None and found.low is not None and found.high is not None
    if not known or (found.n or 0) < _FEW:
        return False
    low, high, expected = found.low or 0.0, found.high or 0.0, whole_set.value or 0.0
    if low == high:
        # Resampling a slice without any error, or with nothing right, gives no interval: ask
        # instead how often the whole set's share would show such a row.
        chance = expected if low >= 1 else 1 - expected if low <= 0 else 0.0
        return chance ** (found.n or 0) < _CHANCE
    return not low <= expected <= high


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
