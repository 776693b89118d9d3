"""The sections of a benchmark's page, one a part: its table and what the numbers mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobs.benchmarks.figures import Figure

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
    figure = Figure.from_json(content)
    return number(figure.median), _range(figure)


def _range(figure: Figure) -> str:
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
        own, aside = Figure.from_json(row["microseconds"]), row["aside_microseconds"]["median"]
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
