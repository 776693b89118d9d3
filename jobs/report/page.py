"""The page of an evaluation: one HTML file that loads nothing, laid out by templates."""

from __future__ import annotations

import hashlib
import inspect
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from rerank.evaluation.outcomes import Cause
from rerank.jobs import tables
from rerank.jobs.report import plots, reading
from rerank.jobs.report.plots import Row, dot_plot, loss_counts
from rerank.jobs.report.reading import (
    Content,
    escaped,
    figure,
    metric_label,
    part,
    spoken,
    system_label,
    text,
)
from rerank.jobs.tables import (
    MISSING,
    ReportFigure,
    count,
    interval,
    number,
    percent,
    plural,
    rate_text,
    share,
    whole,
)

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES: Final = Path(__file__).with_name("templates")
_SECTIONS: Final = {
    "summary": "Summary",
    "baselines": "Baselines",
    "budget": "Loss budget",
    "reliability": "Reliability",
    "curves": "Risk and precision",
    "candidate-sets": "Candidate sets",
    "slices": "Slices",
    "ablation": "Ablation",
    "routes": "Routes",
    "causes": "Causes",
    "confusions": "Confusions",
    "failures": "Failures",
}
"""The sections of a set, each a macro of ``sections.html.j2``, with its word in the contents."""
_HEADLINES: Final = (
    ("precision_at_1", "right model first, of GPU listings"),
    ("recall_at_10", "right model among ten"),
    ("accepted_share", "of GPU listings, without a person"),
    ("precision_of_accepted", "right, of what was accepted"),
    ("nil_false_match_rate", "of no-match listings"),
    ("ece", "mean gap of stated probability, 0 is best"),
)
_OVERVIEW: Final = (
    "precision_at_1",
    "accepted_share",
    "precision_of_accepted",
    "nil_false_match_rate",
    "ece",
)
_PROVENANCE: Final = (
    ("run", "run_id"),
    ("started", "started_at"),
    ("model", "model_version"),
    ("index", "index_version"),
    ("registry", "registry_version"),
    ("seed", "seed"),
    ("bootstrap samples", "samples"),
    ("report format", "format_version"),
)


def render_report(report: Mapping[str, Any]) -> str:
    """Return an evaluation report as one HTML page that loads nothing and needs no script.

    Parts that the report lacks are left out.

    :param report: what `rerank.evaluation.evaluate` returns, with ``ablation`` from
        `rerank ablate` and ``rankers`` from `rerank compare-rankers` if they were run.
    """
    measured, ablated = part(report, "sets"), part(part(report, "ablation"), "sets")
    names = [*measured, *(name for name in ablated if name not in measured)]
    sets = [
        _set(report, f"set-{at}", name, {**part(measured, name), "ablation": part(ablated, name)})
        for at, name in enumerate(names, 1)
    ]
    page = _environment(str(report.get("one", reading.CARD))).get_template("page.html.j2")
    return page.render(report=report, measured=measured, sets=sets, provenance=_provenance(report))


def rendered(template: str, **content: Any) -> str:
    """Return a small page of its own template, with the style and script of all pages."""
    return _environment(reading.CARD).get_template(template).render(**content)


def history_page(days: Sequence[Content]) -> str:
    """Return a page of nights.

    :param days: their summaries, the latest first.
    """
    return rendered("history.html.j2", days=days, plot=plots.shares_by_day(days[::-1]))


def _set(report: Content, anchor: str, name: str, content: Content) -> dict[str, Any]:
    one = str(report.get("one", reading.CARD))
    macros: Any = _environment(one).get_template("sections.html.j2").module
    shown = [
        (f"{anchor}-{key}", label, block)
        for key, label in _SECTIONS.items()
        if (block := getattr(macros, key.replace("-", "_"))(content, f"{anchor}-{key}").strip())
    ]
    return {"anchor": anchor, "name": name, "content": content, "sections": shown}


def _provenance(report: Content) -> list[tuple[str, str]]:
    latency, machine = part(report, "latency_ms"), part(report, "machine")
    one = str(report.get("one", reading.CARD))
    facts = [(_worded(label, one), text(report, key)) for label, key in _PROVENANCE]
    facts += [(spoken(key), text(machine, key)) for key in machine]
    p50, p99 = (tables.number(latency.get(key)) for key in ("p50", "p99"))
    if p50 is not None:
        slow = tables.MISSING if p99 is None else f"{p99:.1f} ms"
        n = tables.whole(tables.count(latency.get("n")))
        facts.append(("one listing, in-process", f"p50 {p50:.1f} ms, p99 {slow}, n {n}"))
    ablation = part(report, "ablation")
    return [*facts, *((f"ablation {key}", text(ablation, key)) for key in ("scale", "seed"))]


def _worded(words: str, one: str) -> str:
    """Return words on graphics cards as words on other goods."""
    if one == reading.CARD:
        return words
    return words.replace(reading.CARD, one).replace("registry", "catalogue")


@cache
def _environment(one: str) -> Environment:
    """Return what renders templates: everything they write is readable, shortened and escaped.

    :param one: what the goods are called.
    """
    found = tables.template_environment(_TEMPLATES, reading.escaped)
    # Templates may call what these modules offer, as a function or as a filter.
    for names in (*map(vars, (tables, reading, plots)), globals()):
        offered = {name: each for name, each in names.items() if inspect.isfunction(each)}
        found.globals |= offered
        found.filters |= offered
    found.globals |= {
        "curve_kinds": plots.CURVES,
        "few": FEW,
        "definitions": partial(reading.definitions, one),
        "headlines": [(key, _worded(words, one)) for key, words in _HEADLINES],
        "kinds_text": partial(reading.kinds_text, one=one),
        "losses_explained": [(key, _worded(words, one)) for key, words in plots.LOSSES],
        "missing": tables.MISSING,
        "one": one,
        "overview": _OVERVIEW,
        "read_figure": tables.ReportFigure.read,
        "sentences": {cause.value: cause.sentence for cause in Cause},
    }
    for name in ("style", "script"):
        content = (_TEMPLATES / f"report.{'css' if name == 'style' else 'js'}").read_text("utf-8")
        # By its hash a browser knows the one style or script that it may use.
        digest = b64encode(hashlib.sha256(content.encode()).digest()).decode()
        found.globals |= {name: Markup(content), f"{name}_digest": f"sha256-{digest}"}
    return found


MEASURE: Final = "precision_at_1"
FEW: Final = 30
_CHANCE = 0.025  # on one side, as of a 95 % interval
_SHOWN_VALUES, _SHOWN_FEW = 20, 8


def figure_cell(found: ReportFigure, *, signed: bool = False, sized: bool = False) -> Markup:
    """Return a value with its interval, and how many cases it is of, in small print."""
    bounds = interval(found, signed=signed)
    small = [bounds] if bounds else []
    small += [f" n {whole(found.n)}"] if sized and found.n is not None else []
    cell = escaped(share(found.value, signed=signed))
    return cell + Markup("").join(Markup(" <small>{}</small>").format(each) for each in small)


def cells(content: Content, keys: Iterable[str], *, sized: bool = False) -> list[Markup]:
    """Return the figures under some keys, each with its interval."""
    return [figure_cell(figure(content, key), sized=sized) for key in keys]


def labels(metrics: Iterable[str]) -> list[str]:
    """Return what people call some metrics."""
    return [metric_label(name) for name in metrics]


def sums_up(budget: Content) -> list[str]:
    """Return the sums that do not hold, in words; empty when the budget is exact."""
    listings, right, errors = (count(budget.get(key)) for key in ("listings", "right", "errors"))
    lost = sum(loss_counts(budget).values())
    faults = []
    if errors is not None and errors != lost:
        faults.append(f"the parts sum to {lost:,}, the errors are {errors:,}")
    if listings is not None and None not in (right, errors) and right + errors != listings:  # type: ignore[operator]
        faults.append(f"right and errors are not the {listings:,} listings")
    return faults


def most_lost(budget: Content) -> str:
    """Return the part that lost most listings, empty if none was lost."""
    losses = loss_counts(budget)
    worst = max(losses, key=lambda name: losses[name])
    return worst if losses[worst] > 0 else ""


def baselines_plot(own: ReportFigure, systems: Content) -> Markup | None:
    """Return our precision@1 above that of the baselines."""
    others = [
        Row(system_label(name), figure(part(systems, name), MEASURE), "other") for name in systems
    ]
    return dot_plot(
        [Row("rerank", own), *others],
        title="Precision@1 of rerank and of the baselines",
        axis_label="precision@1",
    )


def best_baseline(systems: Content) -> str | None:
    """Return the baseline that is right most often, None if none was measured."""
    known = [(figure(part(systems, name), MEASURE).value, name) for name in systems]
    return max(((value, name) for value, name in known if value is not None), default=(0, None))[1]


def cutoffs(metrics: Iterable[str]) -> list[str]:
    """Return metrics by the number that their names end with."""
    return sorted(metrics, key=lambda key: int(n) if (n := key.rpartition("_")[2]).isdigit() else 0)


def routes_plot(routes: Content, cutoff: str) -> Markup | None:
    """Return the recall of each retrieval route at a cutoff."""
    rows = [
        Row(name, figure(part(routes, name), cutoff), "own" if name == "fused" else "other")
        for name in routes
    ]
    return dot_plot(
        rows,
        title=f"{metric_label(cutoff)} of each retrieval route",
        axis_label=f"{metric_label(cutoff)}: right model retrieved",
    )


def slices_of(content: Content) -> list[dict[str, Any]]:
    """Return each slice with its plot and with the values that differ from the whole set."""
    found, overall = part(content, "slices"), figure(part(content, "metrics"), MEASURE)
    return [_slice(name, part(found, name), overall) for name in found]


def _slice(name: str, values: Content, overall: ReportFigure) -> dict[str, Any]:
    figures = {value: figure(part(values, value), MEASURE) for value in values}
    known = sorted(
        (value for value in figures if figures[value].value is not None),
        key=lambda value: (-(figures[value].n or 0), value),
    )
    many = [value for value in known if not _few(figures[value])][:_SHOWN_VALUES]
    few = [value for value in known if _few(figures[value])]
    shown = [*many, *few[: max(0, _SHOWN_FEW - len(many))]]
    shown.sort(key=lambda value: (_few(found := figures[value]), found.value, -(found.n or 0)))
    apart = [value for value in figures if _differs(figures[value], overall)]
    rows = []
    for value in shown:
        if _few(figures[value]):
            rows.append(Row(value, figures[value], "faint", "few"))
        elif value in apart:
            rows.append(Row(value, figures[value], "other", "differs"))
        else:
            rows.append(Row(value, figures[value]))
    plot = dot_plot(
        rows, title=f"{metric_label(MEASURE)} by {name}", reference=(overall.value, "whole set")
    )
    more = len(known) - len(shown)
    return {"name": name, "values": values, "plot": plot, "more": more, "apart": apart}


def _few(found: ReportFigure) -> bool:
    return (found.n or 0) < FEW


def _differs(found: ReportFigure, overall: ReportFigure) -> bool:
    """Tell whether the interval of a slice of some size leaves out the whole set's figure."""
    if overall.value is None or found.bounds is None or _few(found):
        return False
    low, high = found.bounds
    if low == high:
        # Resampling a slice without any error, or with nothing right, gives no interval: ask
        # instead how often the whole set's share would show such a row.
        chance = overall.value if low >= 1 else 1 - overall.value if low <= 0 else 0.0
        return bool(chance ** (found.n or 0) < _CHANCE)
    return not low <= overall.value <= high


def difference(step: Content) -> ReportFigure:
    """Return the difference to the full system; every system has the n of the section's lead."""
    return figure(part(step, "difference"), MEASURE)._replace(n=None)


def step_label(step: Content) -> str:
    """Return what a system of an ablation is called."""
    return text(step, "label") or spoken(text(step, "name"))


def ladder_plot(steps: Sequence[Content]) -> Markup | None:
    """Return the systems from the plainest to the full one."""
    rows = [
        Row(step_label(step), figure(part(step, "metrics"), MEASURE), "other") for step in steps
    ]
    rows[-1:] = [row._replace(tone="own") for row in rows[-1:]]
    return dot_plot(
        rows, title="What each step of the ladder adds", axis_label=metric_label(MEASURE)
    )


def left_out_plot(steps: Sequence[Content]) -> Markup | None:
    """Return what leaving a feature group out changes, the costliest first."""
    rows = []
    for step in steps:
        found = difference(step)
        low, high = found.bounds or (0.0, 0.0)
        rows.append(Row(step_label(step), found, "own" if low <= 0 <= high else "other"))
    rows.sort(key=lambda row: (row.figure.value is None, row.figure.value or 0.0, row.label))
    return dot_plot(
        rows,
        title="What leaving a feature group out changes",
        signed=True,
        axis_label=f"{metric_label(MEASURE)}, less that of the full system",
    )


def size_of_set(content: Content, seed: str) -> str:
    """Say how many listings of a set rankers were measured on, empty if nobody knows."""
    n, of = count(content.get("n")), count(content.get("of"))
    if n is None:
        return ""
    drawn = f" of {of:,}, drawn with seed {seed}" if of is not None and of > n else ""
    return f": {plural(n, 'listing')}{drawn}"


def coverage_plot(coverage: ReportFigure, level: float | None) -> Markup | None:
    """Return the coverage that candidate sets reached beside the one that was promised."""
    return dot_plot(
        [Row("coverage reached", coverage)],
        title="Coverage of candidate sets",
        axis_label="share of sets that hold the truth",
        reference=(level, "promised"),
    )


def with_text(found: Sequence[Content], key: str, value: str) -> list[Content]:
    """Return those that have a text under a key."""
    return [item for item in found if text(item, key) == value]


def parts(content: Content) -> list[Content]:
    """Return the mapping under each key."""
    return [part(content, key) for key in content]


def counted(content: Content) -> list[tuple[str, int]]:
    """Return keys with their counts, the most frequent first, without those of none."""
    known = [(key, n) for key, value in content.items() if (n := count(value))]
    return sorted(known, key=lambda item: (-item[1], item[0]))


def share_of(n: int | None, listings: int) -> str:
    """Write a count as a percentage, empty if nobody knows it."""
    return "" if n is None else percent(n / listings)


def typographic(value: Any, form: str) -> str:
    """Write a number in a format of Python's with a minus sign."""
    found = number(value)
    return MISSING if found is None else f"{found:{form}}".replace("-", "\N{MINUS SIGN}")


def written(value: float | None, write: Callable[[float | None], str]) -> str:
    """Write a number if it is known."""
    return MISSING if value is None else write(value)


def rate(measured: Content) -> str:
    """Write how many listings a second were measured."""
    return written(number(part(measured, "rate").get("median")), lambda _: rate_text(measured))
