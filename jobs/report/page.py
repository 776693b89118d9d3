"""The page: a head that forbids to load anything, the sets, how to read it, where it comes from."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from rerank.jobs.report.blocks import (
    MISSING,
    Content,
    Markup,
    count,
    definitions,
    element,
    figure,
    figure_cell,
    foreign,
    joined,
    metric_label,
    number,
    part,
    spoken,
    table,
    text,
    whole,
)
from rerank.jobs.report.rankers_sections import ablation_section, rankers_section
from rerank.jobs.report.sections import (
    baselines_section,
    budget_section,
    candidate_sets_section,
    causes_section,
    confusions_section,
    curves_section,
    failures_section,
    kinds_text,
    reliability_section,
    routes_section,
    slices_section,
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


STYLE: Final = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#59636e;--rule:#d5dae0;
--field:#f4f6f8;--own:#0b62a8;--other:#b8500c;--band:#0b62a833;--grey:#8a939d;--bar:#c3ccd6;
--l0:#8a3a05;--l1:#c8631a;--l2:#e79a5b;--l3:#f5cfa8}
@media(prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e6e9ec;--soft:#a3adb8;
--rule:#343c46;--field:#1d232a;--own:#6db3f2;--other:#f2a05c;--band:#6db3f23d;--grey:#7b8590;
--bar:#4a5561;--l0:#f7c79b;--l1:#f2a05c;--l2:#bd6f2f;--l3:#7d4719}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:68rem;padding:1.25rem 1.5rem 3rem;background:var(--paper);
color:var(--ink);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,
"Liberation Sans",sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.35rem;line-height:1.25;margin:2.5rem 0 .25rem}
h3{font-size:1.1rem;margin:0 0 .25rem;padding-top:.75rem;border-top:2px solid var(--ink)}
h4{font-size:1rem;margin:1.25rem 0 .25rem}
p{margin:.25rem 0 .75rem;max-width:44rem}
a{color:var(--own)}
section{margin:2rem 0 0}
.lead{color:var(--soft)}
.warning{color:var(--other);font-weight:600}
.sets,.contents{display:flex;flex-wrap:wrap;gap:.25rem .5rem;margin:1rem 0 0;padding:0;
list-style:none}
.sets a{display:block;padding:.35rem .8rem;border:1px solid var(--rule);border-radius:.3rem;
text-decoration:none}
.sets a[aria-current]{background:var(--own);border-color:var(--own);color:var(--paper)}
.contents{font-size:.9rem;gap:.1rem 1rem}
.contents a{display:inline-block;padding:.2rem 0}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(10rem,1fr));gap:.75rem;
margin:.75rem 0}
.cards>div{background:var(--field);border-radius:.3rem;padding:.6rem .75rem}
.cards dt{font-size:.9rem;color:var(--soft)}
.cards dd{margin:0}
.cards b{font-size:1.6rem;line-height:1.2;font-weight:650}
.cards span{white-space:nowrap;color:var(--soft);font-size:.9rem}
.cards small{display:block;line-height:1.3;color:var(--soft)}
.beside{display:grid;grid-template-columns:minmax(0,26rem) minmax(0,1fr);gap:.5rem 2rem;
align-items:start}
.beside>:only-child{grid-column:1/-1}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(22rem,100%),1fr));
gap:1rem 2rem}
figure{margin:.5rem 0}
.parts{columns:22rem;column-gap:2rem}
.parts>div{break-inside:avoid;padding-top:.01px}
.parts h4{margin-top:.75rem}
.plot{display:block;width:100%;max-width:28rem;height:auto}
.plot text{font-size:12.4px;fill:var(--ink);paint-order:stroke;stroke:var(--paper);stroke-width:3px;
stroke-linejoin:round}
.plot .tick,.plot .axis-label,.plot .reference-label{fill:var(--soft)}
.plot .label.faint,.plot .label.faint~.value{fill:var(--soft)}
.plot .label.own{font-weight:600}
.grid{stroke:var(--rule);stroke-width:.75}
.base,.leader{stroke:var(--grey);stroke-width:1}
.zero{stroke:var(--ink);stroke-width:1}
.reference{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 3}
.range{stroke-width:2.5;stroke-linecap:round}
.range.own{stroke:var(--own)}.range.other{stroke:var(--other)}.range.faint{stroke:var(--grey)}
.dot.own{fill:var(--own)}.dot.other{fill:var(--other)}.dot.faint{fill:var(--grey)}
.curve{fill:none;stroke:var(--own);stroke-width:2;stroke-linejoin:round}
.band{fill:var(--band)}
.bar{fill:var(--bar)}.bar-own{fill:var(--own)}.bar-other{fill:var(--other)}
.bar-zero{fill:var(--grey)}
.loss-all{fill:var(--other)}.wedge{fill:var(--field)}
.loss-0{fill:var(--l0)}.loss-1{fill:var(--l1)}.loss-2{fill:var(--l2)}.loss-3{fill:var(--l3)}
.small-bar{width:6rem;height:.65rem;display:inline-block;vertical-align:-.02em;
margin-right:.5rem}
.scroll{overflow-x:auto;margin:.5rem 0 1rem}
table{border-collapse:collapse;font-size:.9rem;line-height:1.35}
caption{text-align:left;color:var(--soft);padding:.15rem 0 .35rem;font-size:.85rem}
caption span{display:inline-block;position:sticky;left:0;max-width:calc(100vw - 2rem)}
th,td{padding:.3rem .9rem .3rem 0;text-align:right;vertical-align:top;font-weight:400;
border-bottom:1px solid var(--rule);overflow-wrap:normal}
th.text,td.text{text-align:left}
th.text,td.text{min-width:8rem;max-width:22rem;overflow-wrap:anywhere}
td.text:has(>.small-bar),th.text:empty{min-width:0}
td:has(>.small-bar){white-space:nowrap}
thead th{color:var(--soft);font-size:.85rem;vertical-align:bottom}
small{font-size:.85em;color:var(--soft)}
td small{display:inline-block;white-space:nowrap}
details{margin:.5rem 0}
summary{cursor:pointer;padding:.35rem 0;color:var(--own)}
code{font-size:.9em;font-family:ui-monospace,Menlo,Consolas,"Liberation Mono",monospace}
.toolbar{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;background:var(--field);
padding:.6rem .75rem;border-radius:.3rem;font-size:.9rem;overflow-wrap:normal}
.toolbar[hidden],[hidden]{display:none}
.toolbar label{display:inline-flex;gap:.4rem;align-items:center;max-width:100%}
.leaf{display:inline-flex;gap:.5rem;align-items:center}
.leaf output{min-width:6.5em;text-align:center}
button,select{font:inherit;color:inherit;background:var(--paper);border:1px solid var(--grey);
border-radius:.3rem;padding:.35rem .6rem;min-width:0;max-width:100%}
button:disabled{opacity:.45}
:focus-visible{outline:2px solid var(--other);outline-offset:2px}
.cases>details{border-bottom:1px solid var(--rule);margin:0}
.cases>details>summary{display:flex;flex-wrap:wrap;gap:.1rem .75rem;color:var(--ink)}
.cases .number{color:var(--soft);min-width:1.8em}
.cases .title{flex:1 1 16rem;min-width:0}
.cases .tag{color:var(--soft);font-size:.9rem}
.leafing .cases>details{border:0}
.leafing .cases .title{font-weight:600}
.facts,.terms{display:grid;grid-template-columns:minmax(6.5rem,max-content) minmax(0,1fr);
gap:.2rem 1rem;margin:.25rem 0 .75rem;font-size:.95rem}
.facts dt,.terms dt{color:var(--soft)}
.facts dd,.terms dd{margin:0}
.terms dt{color:var(--ink);font-weight:600}
footer{margin-top:3rem;border-top:2px solid var(--ink);font-size:.9rem}
@media(max-width:46rem){body{padding:1rem .75rem 2rem}.beside{grid-template-columns:minmax(0,1fr)}
.cards{grid-template-columns:repeat(2,minmax(0,1fr));gap:.5rem}.cards b{font-size:1.4rem}
.cards>div{padding:.5rem .6rem}.terms{grid-template-columns:minmax(0,1fr);gap:0}
.terms dd{margin-bottom:.5rem}.leaf{width:100%;justify-content:space-between}
.small-bar{width:3.5rem}
th.text,td.text{min-width:6.6rem}th,td{padding-right:.6rem}}
@media(max-width:46rem){td.text:has(>.small-bar),th.text:empty{min-width:0}}
@media print{.toolbar,.sets,.contents{display:none}section{break-inside:avoid-page}}
"""
"""Plain CSS without addresses: the page loads nothing."""

SCRIPT: Final = """
"use strict";
(() => {
  const links = [...document.querySelectorAll(".sets a")];
  const sets = [...document.querySelectorAll("article.set")];
  const show = (wanted) => {
    sets.forEach((set) => { set.hidden = set !== wanted; });
    links.forEach((link) => {
      if (link.hash === "#" + wanted.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  };
  const follow = () => {
    const target = document.getElementById(location.hash.slice(1));
    const set = target && target.closest("article.set");
    if (set) { show(set); target.scrollIntoView(); }
  };
  if (sets.length > 1) {
    show(sets[0]);
    follow();
    addEventListener("hashchange", follow);
    addEventListener("beforeprint", () => sets.forEach((set) => { set.hidden = false; }));
  }

  document.querySelectorAll(".failures").forEach((box) => {
    const find = (name) => box.querySelector("." + name);
    const cases = [...box.querySelectorAll(".cases > details")];
    let leafing = true;
    let at = 0;
    const chosen = () => cases.filter((item) =>
      (!find("cause").value || item.dataset.cause === find("cause").value) &&
      (!find("lost-to").value || item.dataset.lostTo === find("lost-to").value));
    const draw = () => {
      const found = chosen();
      at = Math.max(0, Math.min(at, found.length - 1));
      cases.forEach((item) => {
        item.hidden = leafing ? item !== found[at] : !found.includes(item);
        if (leafing) item.open = item === found[at];
      });
      find("previous").disabled = !leafing || at <= 0;
      find("next").disabled = !leafing || at >= found.length - 1;
      find("place").textContent = found.length
        ? (leafing ? (at + 1) + " of " + found.length : found.length + " failures") : "none";
      find("mode").textContent = leafing ? "show as a list" : "show one by one";
      find("mode").setAttribute("aria-pressed", String(!leafing));
      box.classList.toggle("leafing", leafing);
    };
    const leaf = (by) => { at += by; draw(); };
    find("previous").addEventListener("click", () => leaf(-1));
    find("next").addEventListener("click", () => leaf(1));
    for (const name of ["cause", "lost-to"]) {
      find(name).addEventListener("change", () => { at = 0; draw(); });
    }
    find("mode").addEventListener("click", () => {
      leafing = !leafing;
      if (!leafing) cases.forEach((item) => { item.open = false; });
      draw();
    });
    box.addEventListener("keydown", (event) => {
      if (!leafing || event.target.closest("select, table, .scroll")) return;
      if (event.key === "ArrowLeft") leaf(-1);
      if (event.key === "ArrowRight") leaf(1);
    });
    find("toolbar").hidden = false;
    draw();
  });
})();
"""
"""Plain JavaScript; nothing in it may read like the end of a script element."""
