"""The page of an evaluation: one HTML file that loads nothing, laid out by templates."""

from __future__ import annotations

import hashlib
import inspect
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from rerank.evaluation.outcomes import Cause
from rerank.jobs import tables
from rerank.jobs.report import plots, reading, sections
from rerank.jobs.report.reading import Content, part, spoken, text

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
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=reading.escaped,
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    # Templates may call what these modules offer, as a function or as a filter.
    for module in (tables, reading, plots, sections):
        offered = {name: each for name, each in vars(module).items() if inspect.isfunction(each)}
        found.globals |= offered
        found.filters |= offered
    found.globals |= {
        "curve_kinds": plots.CURVES,
        "few": sections.FEW,
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
