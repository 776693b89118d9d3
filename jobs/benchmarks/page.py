"""The report of a benchmark as a page of Markdown: ratios first, every word on them computed."""

from __future__ import annotations

from jobs.benchmarks.comparisons import Comparison
from jobs.benchmarks.page_sections import SECTIONS, Content, markdown_table, number
from jobs.tables import table


def benchmark_page(report: Content) -> str:
    """Return the page of a report."""
    parts = report["parts"]
    blocks = ["# Benchmarks", _origin(report)]
    if report["quick"]:
        blocks.append("**Made with `--quick`: sizes far too small for figures to mean anything.**")
    blocks += ["## Ratios and bars", _verdict(report), _RATIOS, _comparisons(report)]
    for name, section in SECTIONS.items():
        if name in parts:
            blocks += section(parts[name])
    if report["failures"]:
        lines = [f"- `{name}`: {text}" for name, text in report["failures"].items()]
        blocks += ["## Failed", "\n".join(lines)]
    return "\n\n".join([*blocks, "## How to repeat", _HOW]) + "\n"


def comparisons_text(report: Content) -> str:
    """Return the ratios and bars as a table for a terminal, at most 80 columns."""
    rows = []
    for each in map(Comparison.from_json, report["comparisons"]):
        rows.append([each.name, _of(each.measured.median, each.unit), _wanted(each), _said(each)])
    if not rows:
        return "nothing to compare: measure end-to-end and what it is compared with"
    return table(("", "measured", "wanted", "reached"), rows, left=(0, 3))


def _origin(report: Content) -> str:
    machine, registry = report["machine"], report["registry"]
    libraries = ", ".join(f"{name} {version}" for name, version in report["libraries"].items())
    return (
        f"Made by `rerank bench` from its own JSON: nothing here is written by hand. Machine: "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; Python "
        f"{machine['python']}; {libraries}. Registry of {registry['gpus']:,} variants of "
        f"{registry['models']:,} models, index {registry['kind']}; listings generated with seed "
        f"{report['seed']}; model {report['model_version']}, index {report['index_version']}.\n\n"
        "Absolute figures are this machine's; ratios, shares and growth carry over. Each figure is "
        "the median of its repetitions, with the least and the greatest; the range of a ratio goes "
        "from our least over their greatest to our greatest over their least."
    )


def _verdict(report: Content) -> str:
    held = [each for each in map(Comparison.from_json, report["comparisons"]) if each.wanted]
    missed = [each.name for each in held if not each.reached]
    said = f"{len(held) - len(missed)} of {len(held)} bars measured here are reached"
    return f"{said}; not: {'; '.join(missed)}." if missed else f"{said}."


def _comparisons(report: Content) -> str:
    rows = [
        [
            each.name,
            _of(each.measured.median, each.unit),
            f"{_of(each.measured.low, each.unit)} - {_of(each.measured.high, each.unit)}",
            _wanted(each),
            _said(each),
        ]
        for each in map(Comparison.from_json, report["comparisons"])
    ]
    return markdown_table(("", "measured", "range", "wanted", "reached"), rows)


_RATIOS = (
    "Rates are listings a second, parquet to parquet, on the feed of distinct titles; what they "
    "are divided by is described below. RapidFuzz's `extract` runs in one process, as it is made, "
    "`cdist` and the cross-encoder on two threads, and the floor on as many processes as ours. "
    "RapidFuzz chooses among the registry's variants, as we do, unless model names are said."
)
_HOW = """```sh
make bench                                   # all but the longest: some 12 minutes on 2 cores
.venv/bin/rerank bench --quick               # a first look, tiny sizes
.venv/bin/rerank bench --full                # adds 1,000,000 listings and vectors, and 5,000,000
.venv/bin/rerank bench --only floor,stages   # some parts; the others stay as they were measured
```

Nothing else should run meanwhile."""


def _of(value: float, unit: str) -> str:
    shown = f"{value:.1%}" if unit == "share" else number(value)
    return shown + {"share": "", "times": "x", "listings/s": "/s"}.get(unit, f" {unit}")


def _wanted(each: Comparison) -> str:
    if each.wanted is None:
        return ""
    return f"{'<=' if each.at_most else '>='} {_of(each.wanted, each.unit)}"


def _said(each: Comparison) -> str:
    return {None: "", True: "yes", False: "no"}[each.reached]
