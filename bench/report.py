"""The report of a benchmark as a page of Markdown: ratios first, every word on them computed."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measuring import BarCheck, Bench, BenchSettings, Scale, comparisons_of
from bench.tools import PARTS, Part
from rerank.evaluation.baselines import RepeatedFigure, this_machine
from rerank.index.artifacts import library_versions, read_manifest
from rerank.index.errors import ArtifactError, MismatchError
from rerank.jobs.tables import table
from rerank.workspace import Workspace


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
    for each in map(BarCheck.from_json, report["comparisons"]):
        rows.append([each.name, _of(each.measured.median, each.unit), _wanted(each), _said(each)])
    if not rows:
        return "nothing to compare: measure end-to-end and what it is compared with"
    return table(("", "measured", "wanted", "reached"), rows, left=(0, 3))


def _origin(report: Content) -> str:
    machine, registry = report["machine"], report["registry"]
    libraries = ", ".join(f"{name} {version}" for name, version in report["libraries"].items())
    return (
        f"Made by `make bench` from its own JSON: nothing here is written by hand. Machine: "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; Python "
        f"{machine['python']}; {libraries}. Registry of {registry['gpus']:,} variants of "
        f"{registry['models']:,} models, index {registry['kind']}; listings generated with seed "
        f"{report['seed']}; model {report['model_version']}, index {report['index_version']}.\n\n"
        "Absolute figures are this machine's; ratios, shares and growth carry over. Each figure is "
        "the median of its repetitions, with the least and the greatest; the range of a ratio goes "
        "from our least over their greatest to our greatest over their least."
    )


def _verdict(report: Content) -> str:
    held = [each for each in map(BarCheck.from_json, report["comparisons"]) if each.wanted]
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
        for each in map(BarCheck.from_json, report["comparisons"])
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
.venv/bin/python -m bench --quick            # a first look, tiny sizes
.venv/bin/python -m bench --full             # adds 1,000,000 listings and vectors, and 5,000,000
.venv/bin/python -m bench --only floor,stages   # some parts; the others stay as they were measured
```

Nothing else should run meanwhile. EMM and skrub are measured where they are installed. EMM wants an
older RapidFuzz than this package: `RERANK_BENCH_RIVALS` names the Python of an environment of both,
`python -m venv rivals; rivals/bin/pip install "emm==2.1.11" "pandas<2.3" skrub`."""


def _of(value: float, unit: str) -> str:
    shown = f"{value:.1%}" if unit == "share" else number(value)
    return shown + {"share": "", "times": "x", "listings/s": "/s"}.get(unit, f" {unit}")


def _wanted(each: BarCheck) -> str:
    if each.wanted is None:
        return ""
    return f"{'<=' if each.at_most else '>='} {_of(each.wanted, each.unit)}"


def _said(each: BarCheck) -> str:
    return {None: "", True: "yes", False: "no"}[each.reached]


Content = Mapping[str, Any]


def number(value: float) -> str:
    """Return a number with three significant digits, thousands set apart: 12,300 or 0.0123."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        digits = max(0, len(str(int(abs(value)))) - 3)
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rate(content: Content) -> tuple[str, str]:
    figure = RepeatedFigure.from_json(content)
    return number(figure.median), _range(figure)


def _range(figure: RepeatedFigure) -> str:
    return f"{number(figure.low)}-{number(figure.high)}"


def _end_to_end(part: Content) -> list[str]:
    rows = [
        [
            row["feed"],
            str(row["workers"]),
            *_rate(row["rate_without_start"]),
            *_rate(row["rate_with_start"]),
            number(row["peak_mib"]),
        ]
        for row in part["rows"]
    ]
    header = ("feed", "workers", "listings/s", "range", "with start-up", "range", "peak MiB")
    return [
        "## End to end",
        f"A parquet file of {part['listings']:,} listings into a parquet file, k = "
        f"{part['top_k']}, by the code of `rerank score`. *distinct*: no title twice. *repeating*: "
        f"{part['repeat_share']:.0%} of the rows repeat another row's text, drawn with weights "
        "1 / rank. *with start-up*: a whole call of the command, from nothing loaded. Peak: the "
        "sum of the resident sizes of all its processes, which counts shared pages more than once.",
        markdown_table(header, rows),
    ]


def _rapidfuzz(part: Content) -> list[str]:
    rows = [
        [
            f"`process.{row['call']}`",
            f"{row['n_names']:,} {row['names']}",
            str(row["processes"]),
            *_rate(row["rate"]),
        ]
        for row in part["rows"]
    ]
    return [
        "## RapidFuzz",
        f"`token_set_ratio` of {part['listings']:,} titles with every name of the registry, the "
        f"best {part['limit']} taken; names are prepared before the clock starts. `cdist` is its "
        "fastest documented way and uses 2 threads.",
        markdown_table(("call", "names", "threads", "listings/s", "range"), rows),
    ]


def _rivals(part: Content) -> list[str]:
    rows = [
        [f"{each['name']} {each['version']}", *_rate(each["rate"]), f"{each['precision_at_1']:.3f}"]
        for each in part["rows"]
    ]
    ours, *others = part["rows"]
    better = all(
        ours["rate"]["median"] > each["rate"]["median"]
        and ours["precision_at_1"] > each["precision_at_1"]
        for each in others
    )
    said = "rerank is faster and right more often." if better else "rerank is not ahead in all."
    if part["missing"]:
        said += f" Not installed where this was measured: {', '.join(part['missing'])}."
    return [
        "## Others that match names",
        f"{part['listings']:,} generated titles that sell a card, each with the one of "
        f"{part['n_names']:,} model names that comes first; P@1: the share of them that is right. "
        "EMM by the cosine of character 2-grams, skrub as its documentation calls it; neither "
        "learns from the titles, and neither says that nothing is sold. What is prepared of the "
        f"names alone is not timed. {said if others or part['missing'] else ''}",
        markdown_table(("what", "listings/s", "range", "P@1"), rows),
    ]


def _cross_encoder(part: Content) -> list[str]:
    rows = [[f"{part['listings']:,}", str(part["threads"]), *_rate(part["rate"])]]
    return [
        "## MiniLM, FAISS and a cross-encoder",
        f"all-MiniLM-L6-v2 embeds the title, flat FAISS finds {part['candidates']}, and a "
        "cross-encoder of MiniLM's size (its weights with a fresh head: cost, not accuracy, is "
        "measured) scores each pair, in batches of like length.",
        markdown_table(("listings", "threads", "listings/s", "range"), rows),
    ]


def _floor(part: Content) -> list[str]:
    rows = []
    for row in part["rows"]:
        for name, said in (
            ("ours", "whole system"),
            ("floor_lightgbm", "floor, LightGBM's predict"),
            ("floor_served", "floor, trees as served"),
        ):
            rows.append([str(row["processes"]), said, *_rate(row[name])])
    return [
        "## The floor",
        f"Embedding of texts composed before, FAISS for {part['vector_hits']} neighbours and the "
        f"ranker's trees over features computed before, on the same {part['listings']:,} listings, "
        "and nothing else: no reading, no lexicon, no features, no calibration, no writing.",
        markdown_table(("processes", "", "listings/s", "range"), rows),
    ]


def _stages(part: Content) -> list[str]:
    rows = []
    for row in part["rows"]:
        own, aside = (
            RepeatedFigure.from_json(row["microseconds"]),
            row["aside_microseconds"]["median"],
        )
        rows.append(
            [
                row["stage"],
                number(own.median),
                _range(own),
                f"{row['share']:.1%}",
                number(aside),
                "" if row["peak_mib"] is None else number(row["peak_mib"]),
            ]
        )
    header = ("stage", "us a listing", "range", "share", "us beside", "peak MiB")
    return [
        "## By stage",
        f"Of {part['listings']:,} listings in one process. A stage's time is without the stages "
        "inside of it; *beside* is time on another thread, which overlaps. Peak: by how much "
        "resident memory grows within one call, stages inside of it included; "
        f"{number(part['loaded_mib'])} MiB are resident when all is loaded.",
        markdown_table(header, rows),
    ]


def _listings(part: Content) -> list[str]:
    rows = [
        [
            f"{row['listings']:,}",
            *_rate(row["seconds"]),
            *_rate(row["rate"]),
            number(row["peak_mib"]),
        ]
        for row in part["rows"]
    ]
    exponent = part.get("exponent")
    said = f" Seconds grow as listings to the power of {exponent:.2f}." if exponent else ""
    return [
        "## Growth with listings",
        f"Whole calls of `rerank score --workers {part['workers']}`, start-up included.{said}",
        markdown_table(("listings", "seconds", "range", "listings/s", "range", "peak MiB"), rows),
    ]


def _memory(part: Content) -> list[str]:
    rows = [
        [
            f"{row['listings']:,}",
            number(row["seconds"]["median"]),
            number(row["rate"]["median"]),
            number(row["peak_mib"]),
        ]
        for row in part["rows"]
    ]
    return [
        "## Memory over a long feed",
        f"One call of `rerank score --workers {part['workers']}` over generated titles, each with "
        "a lot number that no other has; the sum over all its processes.",
        markdown_table(("listings", "seconds", "listings/s", "peak MiB"), rows),
    ]


def _registry(part: Content) -> list[str]:
    rows = [
        [
            f"{row['size']:,}",
            row["kind"],
            number(row["build_seconds"]["median"]),
            *_rate(row["rate"]),
            f"{row['recall']:.3f}",
            number(row["memory_mib"]),
        ]
        for row in part["rows"]
    ]
    header = ("vectors", "index", "build s", "searches/s", "range", "recall@20", "MiB")
    return [
        "## Growth with the registry",
        f"The index alone, {part['queries']:,} listings' vectors searching for {part['k']}. "
        "Synthetic variants: the vectors of the real descriptors, then these plus Gaussian noise "
        f"of length {part['noise']:g}, back on the sphere. Recall is against the exact neighbours, "
        "which flat search returns. MiB: growth of resident memory while it was built.",
        markdown_table(header, rows),
    ]


def _candidates(part: Content) -> list[str]:
    rows = [[str(row["top_k"]), *_rate(row["rate"])] for row in part["rows"]]
    return [
        "## Growth with k",
        f"Candidates written for each of {part['listings']:,} listings, one process, start-up "
        "excluded. Below 20, still 20 are ranked.",
        markdown_table(("k", "listings/s", "range"), rows),
    ]


def _threads(part: Content) -> list[str]:
    rows = [[str(row["workers"]), str(row["threads"]), *_rate(row["rate"])] for row in part["rows"]]
    return [
        "## Workers and threads",
        f"Worker processes, and threads of FAISS, tokenizers and BLAS in each, over "
        f"{part['listings']:,} listings, start-up excluded.",
        markdown_table(("workers", "threads", "listings/s", "range"), rows),
    ]


SECTIONS: Mapping[str, Callable[[Content], list[str]]] = {
    "end-to-end": _end_to_end,
    "rapidfuzz": _rapidfuzz,
    "rivals": _rivals,
    "cross-encoder": _cross_encoder,
    "floor": _floor,
    "stages": _stages,
    "listings": _listings,
    "memory": _memory,
    "registry": _registry,
    "candidates": _candidates,
    "threads": _threads,
}
"""What makes the section of each part, in the order of the page."""

FORMAT = 1
_LIBRARIES = (
    "faiss-cpu",
    "lightgbm",
    "numpy",
    "onnxruntime",
    "pyarrow",
    "rapidfuzz",
    "tokenizers",
    "torch",
    "transformers",
)
_COMPARED = ("format", "machine", "libraries", "seed", "quick", "model_version", "index_version")


def new_report(home: Path, settings: BenchSettings) -> dict[str, Any]:
    """Return a report without parts: what they are about to be measured on.

    :raises ArtifactError: if the workspace's index or model is damaged.
    """
    from rerank.index.artifacts import INDEX_FORMAT, INDEX_REMEDY
    from rerank.model import MODEL_FORMAT, MODEL_REMEDY

    workspace = Workspace(home)
    index = read_manifest(
        workspace.active_index(),
        kind="index",
        format_version=INDEX_FORMAT,
        remedy=INDEX_REMEDY,
    )
    ranker = read_manifest(
        workspace.active_model(),
        kind="ranker",
        format_version=MODEL_FORMAT,
        remedy=MODEL_REMEDY,
    )
    return {
        "format": FORMAT,
        "machine": _machine(),
        "libraries": library_versions(_LIBRARIES),
        "seed": settings.seed,
        "quick": settings.scale is Scale.QUICK,
        "settings": settings.as_json(),
        "model_version": ranker.fingerprint,
        "index_version": index.fingerprint,
        "registry": {name: index.parameters[name] for name in ("gpus", "models", "kind")},
        "comparisons": [],
        "parts": {},
        "failures": {},
    }


def merged(fresh: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report with the parts of both; where both have one, the fresh one's.

    A part counts as failed if it failed last.

    :raises MismatchError: if they were not measured on the same machine, model and sizes, or with
        the same seed and libraries: their ratios would mean nothing.
    """
    odd = [name for name in _COMPARED if fresh.get(name) != earlier.get(name)]
    if odd:
        said = "; ".join(f"{name} {fresh.get(name)!r}, there {earlier.get(name)!r}" for name in odd)
        raise MismatchError(
            f"expected an earlier report of the same making, found another: {said}; give another "
            "--out, or measure all parts anew without --only"
        )
    kept = {name: text for name, text in earlier["failures"].items() if name not in fresh["parts"]}
    return {
        **fresh,
        "parts": {**earlier["parts"], **fresh["parts"]},
        "failures": {**kept, **fresh["failures"]},
    }


def read_report(path: Path) -> dict[str, Any]:
    """Read a report.

    :raises ArtifactError: if the file is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise ArtifactError(
            f"{path}: expected a report of `python -m bench`, found no JSON"
        ) from exc
    parts = ("parts", "failures", "comparisons")
    if not isinstance(content, dict) or any(name not in content for name in parts):
        raise ArtifactError(
            f"{path}: expected a report of `python -m bench`, found other JSON; give another --out"
        )
    return content


def _machine() -> dict[str, Any]:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_name(),
        **this_machine(),
        "memory_gib": round(memory_bytes / (1 << 30), 1),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


_SAID_CHARS = 500


def run_bench(
    home: Path,
    settings: BenchSettings,
    names: Sequence[str],
    *,
    parts: Mapping[str, Part] = PARTS,
    earlier: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda text: None,
    save: Callable[[dict[str, Any]], None] = lambda report: None,
) -> dict[str, Any]:
    """Measure parts and return the report.

    A part that fails is noted with its error; what an earlier report has of it stays.

    :param names: of parts, measured in this order.
    :param parts: what measures each.
    :param earlier: a report to merge into.
    :param say: takes what is being measured.
    :param save: takes the report after every part.
    :raises MismatchError: if the earlier report was measured on something else.
    """
    report = new_report(home, settings)
    if earlier is not None:
        report = merged(report, earlier)
    for name in names:
        measured, failure = _measure(name, parts[name], home, settings, say)
        if measured is not None:
            report["parts"][name] = measured
        report["failures"].pop(name, None)
        if failure:
            report["failures"][name] = failure
        found = comparisons_of(report["parts"])
        report["comparisons"] = [comparison.as_json() for comparison in found]
        save(report)
    return report


def _measure(
    name: str, part: Part, home: Path, settings: BenchSettings, say: Callable[[str], None]
) -> tuple[dict[str, Any] | None, str]:
    """Return what a part measured, or why it failed."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="rerank_bench_") as folder:
        try:
            found = part(Bench(home, Path(folder), settings), lambda text: say(f"{name}: {text}"))
        except Exception as exc:  # whatever it is, the other parts took minutes
            failure = f"{type(exc).__name__}: {exc}"[:_SAID_CHARS]
            say(f"{name}: failed: {failure}")
            return None, failure
    say(f"{name}: measured in {time.perf_counter() - started:.0f} s")
    return found, ""
