"""Part `end-to-end`: a parquet file into a parquet file, with start-up and without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.benchmarks.children import in_child, run_score
from jobs.benchmarks.feeds import write_distinct, write_repeating
from jobs.benchmarks.figures import rate_of
from jobs.benchmarks.process_memory import MIB
from jobs.benchmarks.scoring_rates import warm_seconds
from jobs.benchmarks.settings import REPEAT_SHARE, TOP_K, WORKERS, Bench

Say = Callable[[str], None]


def measure_end_to_end(bench: Bench, say: Say) -> dict[str, Any]:
    """Measure both feeds: distinct titles in one process and two, repeating ones in two."""
    n, seed = bench.settings.listings, bench.settings.seed
    distinct, repeating = (bench.folder / f"{name}.parquet" for name in ("distinct", "repeating"))
    say(f"writing two feeds of {n:,} listings")
    in_child(write_distinct, bench.home, distinct, n, seed=seed)
    in_child(write_repeating, bench.home, repeating, n, seed=seed, share=REPEAT_SHARE)
    rows = [_measure(bench, "distinct", distinct, workers, say) for workers in WORKERS]
    rows.append(_measure(bench, "repeating", repeating, max(WORKERS), say))
    return {"listings": n, "top_k": TOP_K, "repeat_share": REPEAT_SHARE, "rows": rows}


def _measure(bench: Bench, feed: str, source: Path, workers: int, say: Say) -> dict[str, Any]:
    settings, target = bench.settings, bench.folder / "resolved.parquet"
    said = f"{feed} titles, {workers} worker{'s' if workers > 1 else ''}"
    say(f"{said}, start-up included")
    runs = [
        run_score(bench.home, source, target, workers=workers, top_k=TOP_K)
        for _ in range(settings.repeats)
    ]
    say(f"{said}, start-up excluded")
    warm = in_child(
        warm_seconds,
        bench.home,
        source,
        target,
        workers=workers,
        top_k=TOP_K,
        repeats=settings.repeats,
    )
    return {
        "feed": feed,
        "workers": workers,
        "rate_without_start": rate_of(settings.listings, warm).as_json(),
        "rate_with_start": rate_of(settings.listings, [run.seconds for run in runs]).as_json(),
        "peak_mib": round(max(run.peak_bytes for run in runs) / MIB, 1),
    }
