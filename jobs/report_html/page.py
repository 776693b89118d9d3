"""The page: a head that forbids to load anything, the sets, how to read it, where it comes from."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from jobs.report_html.ablation_section import ablation_section
from jobs.report_html.blocks import figure_cell, table
from jobs.report_html.error_sections import budget_section, causes_section, confusions_section
from jobs.report_html.failure_section import failures_section
from jobs.report_html.figures import (
    MISSING,
    Content,
    count,
    figure,
    number,
    part,
    text,
    whole,
)
from jobs.report_html.markup import Markup, element, foreign, joined
from jobs.report_html.names import definitions, metric_label, spoken
from jobs.report_html.probability_sections import (
    candidate_sets_section,
    curves_section,
    reliability_section,
)
from jobs.report_html.rankers_section import rankers_section
from jobs.report_html.script import SCRIPT
from jobs.report_html.slice_section import slices_section
from jobs.report_html.style import STYLE
from jobs.report_html.summary_sections import (
    baselines_section,
    kinds_text,
    routes_section,
    summary_section,
)

_SECTIONS = (
    ("summary", "Summary", summary_section),
    ("baselines", "Baselines", baselines_section),
    ("budget", "Loss budget", budget_section),
    ("reliability", "Reliability", reliability_section),
    ("curves", "Risk and precision", curves_section),
    ("candidate-sets", "Candidate sets", candidate_sets_section),
    ("slices", "Slices", slices_section),
    ("routes", "Routes", routes_section),
    ("causes", "Causes", causes_section),
    ("confusions", "Confusions", confusions_section),
    ("failures", "Failures", failures_section),
)
_OVERVIEW = (
    "precision_at_1",
    "accepted_share",
    "precision_of_accepted",
    "nil_false_match_rate",
    "ece",
)


def render_report(report: Mapping[str, Any]) -> str:
    """Return an evaluation report as one HTML page that loads nothing and needs no script.

    Parts that the report lacks are left out.

    :param report: what `rerank.evaluation.evaluate` returns, with ``ablation`` from
        `rerank ablate` and ``rankers`` from `rerank compare-rankers` if they were run.
    """
    sets, ablated = part(report, "sets"), part(part(report, "ablation"), "sets")
    names = [*sets, *(name for name in ablated if name not in sets)]
    articles = [
        _set(f"set-{at}", name, part(sets, name), part(ablated, name))
        for at, name in enumerate(names, 1)
    ]
    body = element(
        "body",
        element("header", element("h1", "How well rerank resolves listings"), _dateline(report)),
        _overview(sets) if len(sets) > 1 else None,
        _choice_of_sets(names) if len(names) > 1 else None,
        element("main", *articles, _rankers(report)),
        _how_to_read(),
        _provenance(report),
        element("script", Markup(SCRIPT)),
    )
    page = joined(Markup("<!DOCTYPE html>\n"), element("html", _head(report), body, lang="en"))
    return str(page) + "\n"


def _head(report: Content) -> Markup:
    run = text(report, "run_id")
    policy = (
        f"default-src 'none'; style-src '{_digest(STYLE)}'; script-src '{_digest(SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"rerank: evaluation{f' {run}' if run else ''}"),
        element("style", Markup(STYLE)),
    )


def _digest(content: str) -> str:
    """Return the hash by which a browser knows the one style or script it may use."""
    return "sha256-" + b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _dateline(report: Content) -> Markup | None:
    day = text(report, "started_at").replace("T", " ").removesuffix("Z")
    model = text(report, "model_version")
    told = [*([f"run of {day} UTC"] if day else []), *([f"model {model}"] if model else [])]
    line = ", ".join(told)
    return element("p", line[0].upper() + line[1:], class_="lead") if line else None


def _overview(sets: Content) -> Markup | None:
    rows = [
        [
            foreign(spoken(name)),
            whole(count(part(sets, name).get("n"))),
            *(figure_cell(figure(part(part(sets, name), "metrics"), key)) for key in _OVERVIEW),
        ]
        for name in sets
    ]
    header = ("set", "listings", *map(metric_label, _OVERVIEW))
    return table("All sets at a glance, with 95 % intervals", header, rows)


def _rankers(report: Content) -> Markup | None:
    found = rankers_section(part(report, "rankers"), "rankers", text(report, "model_version"))
    return None if found is None else element("article", found, class_="set")


def _choice_of_sets(names: list[str]) -> Markup:
    entries = (
        element("li", element("a", foreign(spoken(name)), href=f"#set-{at}"))
        for at, name in enumerate(names, 1)
    )
    return element("nav", element("ul", *entries, class_="sets"), aria_label="Sets")


def _set(anchor: str, name: str, content: Content, ablated: Content) -> Markup:
    found = [
        (f"{anchor}-{key}", label, build(content, f"{anchor}-{key}"))
        for key, label, build in _SECTIONS
    ]
    found.insert(
        -4, (f"{anchor}-ablation", "Ablation", ablation_section(ablated, f"{anchor}-ablation"))
    )
    shown = [(key, label, block) for key, label, block in found if block is not None]
    links = (element("li", element("a", label, href=f"#{key}")) for key, label, _ in shown)
    kinds = kinds_text(content)
    return element(
        "article",
        element("h2", foreign(spoken(name))),
        element("p", f"{kinds}.", class_="lead") if kinds else None,
        element("nav", element("ul", *links, class_="contents"), aria_label="Sections of this set")
        if shown
        else None,
        *(block for _, _, block in shown),
        id=anchor,
        class_="set",
    )


def _how_to_read() -> Markup:
    terms = [
        item
        for term, meaning in definitions()
        for item in (element("dt", term), element("dd", meaning))
    ]
    return element(
        "section",
        element("h3", "How to read it"),
        element(
            "p",
            "Figures read .973 [.947–.993]: the value, then its 95 % interval. Axes show the "
            "range that the figures need; where they leave something out, their label says so.",
        ),
        element("dl", *terms, class_="terms"),
        id="how-to-read",
    )


def _provenance(report: Content) -> Markup:
    latency, machine = part(report, "latency_ms"), part(report, "machine")
    facts = [
        (label, text(report, key))
        for label, key in (
            ("run", "run_id"),
            ("started", "started_at"),
            ("model", "model_version"),
            ("index", "index_version"),
            ("registry", "registry_version"),
            ("seed", "seed"),
            ("bootstrap samples", "samples"),
            ("report format", "format_version"),
        )
    ]
    facts += [(spoken(str(key)), text(machine, key)) for key in machine]
    p50, p99 = number(latency.get("p50")), number(latency.get("p99"))
    if p50 is not None:
        slow = MISSING if p99 is None else f"{p99:.1f} ms"
        facts.append(
            (
                "one listing, in-process",
                f"p50 {p50:.1f} ms, p99 {slow}, n {whole(count(latency.get('n')))}",
            )
        )
    ablation = part(report, "ablation")
    facts += [
        (f"ablation {key}", text(ablation, key)) for key in ("scale", "seed") if text(ablation, key)
    ]
    shown = [
        item
        for term, told in facts
        if told
        for item in (element("dt", term), element("dd", foreign(told)))
    ]
    return element(
        "footer",
        element("h2", "Where the figures come from"),
        element("dl", *shown, class_="facts"),
    )
