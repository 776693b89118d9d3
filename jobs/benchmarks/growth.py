"""Parts `listings`, `memory`, `candidates` and `threads`: how time and memory grow with each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.benchmarks.children import ScoreRun, in_child, run_score, threads_of_children
from jobs.benchmarks.feeds import write_distinct, write_endless
from jobs.benchmarks.figures import Figure, growth_exponent, rate_of
from jobs.benchmarks.process_memory import MIB
from jobs.benchmarks.scoring_rates import warm_seconds
from jobs.benchmarks.settings import CANDIDATE_COUNTS, TOP_K, WORKERS, Bench

Say = Callable[[str], None]

_ONCE_FROM = 1_000_000  # listings: minutes for a run, which its length makes steady
_WORKERS = max(WORKERS)


def measure_listings(bench: Bench, say: Say) -> dict[str, Any]:
    """Measure `rerank score` over ever more distinct listings: whole seconds, peak memory."""
    rows = []
    for n in bench.settings.growth:
        source = bench.folder / "growing.parquet"
        say(f"{n:,} listings")
        in_child(write_distinct, bench.home, source, n, seed=bench.settings.seed)
        repeats = 1 if n >= _ONCE_FROM else bench.settings.repeats
        rows.append(_growth_row(n, [_run(bench, source) for _ in range(repeats)]))
    seconds = [row["seconds"]["median"] for row in rows]
    sizes = [row["listings"] for row in rows]
    return {
        "workers": _WORKERS,
        "top_k": TOP_K,
        "rows": rows,
        "exponent": growth_exponent(sizes, seconds),
    }


def measure_memory(bench: Bench, say: Say) -> dict[str, Any]:
    """Measure one very long feed: the peak over all processes of one run of `rerank score`."""
    n, source = bench.settings.memory_listings, bench.folder / "endless.parquet"
    say(f"writing {n:,} listings")
    in_child(write_endless, bench.home, source, n, seed=bench.settings.seed)
    say("scoring them")
    row = _growth_row(n, [_run(bench, source)])
    source.unlink()
    return {"workers": _WORKERS, "top_k": TOP_K, "rows": [row]}


def measure_candidates(bench: Bench, say: Say) -> dict[str, Any]:
    """Measure the rate in one process by how many candidates are written."""
    n, source = bench.settings.candidate_listings, bench.folder / "candidates.parquet"
    in_child(write_distinct, bench.home, source, n, seed=bench.settings.seed)
    say(f"k = {', '.join(map(str, CANDIDATE_COUNTS))}")
    target = bench.folder / "candidates_resolved.parquet"
    found = in_child(_seconds_by_k, bench.home, source, target, bench.settings.repeats)
    rows = [{"top_k": k, "rate": rate_of(n, took).as_json()} for k, took in found.items()]
    return {"listings": n, "workers": 1, "rows": rows}


def measure_threads(bench: Bench, say: Say) -> dict[str, Any]:
    """Measure the rate by worker processes and by threads that libraries use in each."""
    n, source = bench.settings.thread_listings, bench.folder / "threads.parquet"
    in_child(write_distinct, bench.home, source, n, seed=bench.settings.seed)
    rows = []
    for workers in WORKERS:
        for threads in (1, 2):
            say(f"workers: {workers}, threads: {threads}")
            with threads_of_children(threads):
                took = in_child(
                    warm_seconds,
                    bench.home,
                    source,
                    bench.folder / "threads_resolved.parquet",
                    workers=workers,
                    top_k=TOP_K,
                    repeats=bench.settings.repeats,
                )
            rows.append(
                {"workers": workers, "threads": threads, "rate": rate_of(n, took).as_json()}
            )
    return {"listings": n, "top_k": TOP_K, "rows": rows}


def _seconds_by_k(home: Path, source: Path, target: Path, repeats: int) -> dict[int, list[float]]:
    return {
        k: warm_seconds(home, source, target, workers=1, top_k=k, repeats=repeats)
        for k in CANDIDATE_COUNTS
    }


def _run(bench: Bench, source: Path) -> ScoreRun:
    target = bench.folder / "grown.parquet"
    try:
        return run_score(bench.home, source, target, workers=_WORKERS, top_k=TOP_K)
    finally:
        target.unlink(missing_ok=True)  # 5,000,000 rows take gigabytes


def _growth_row(n: int, runs: list[ScoreRun]) -> dict[str, Any]:
    seconds = [run.seconds for run in runs]
    return {
        "listings": n,
        "seconds": Figure.of(seconds).as_json(),
        "rate": rate_of(n, seconds).as_json(),
        "peak_mib": round(max(run.peak_bytes for run in runs) / MIB, 1),
    }
