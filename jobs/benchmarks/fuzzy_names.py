"""Part `rapidfuzz`: the same listings against the same registry's names by `token_set_ratio`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jobs.benchmarks.children import in_child
from jobs.benchmarks.feeds import first_listings, registry_of
from jobs.benchmarks.figures import rate_of
from jobs.benchmarks.settings import TOP_K, Bench
from jobs.tables import memory

_CDIST_WORKERS = 2


def measure_rapidfuzz(bench: Bench, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure `process.extract` and `process.cdist` over model names and variants' names."""
    n, settings = bench.settings.fuzzy_listings, bench.settings
    rows = []
    for names in ("models", "variants"):
        for call in (_extract, _cdist):
            say(f"{call.__name__.strip('_')} over the names of {names}")
            n_names, took = in_child(
                _seconds, bench.home, names, call, n, seed=settings.seed, repeats=settings.repeats
            )
            rows.append(
                {
                    "call": call.__name__.strip("_"),
                    "names": names,
                    "n_names": n_names,
                    "processes": 1 if call is _extract else _CDIST_WORKERS,
                    "rate": rate_of(n, took).as_json(),
                }
            )
    return {"listings": n, "limit": TOP_K, "rows": rows}


def _seconds(
    home: Path,
    names: str,
    call: Callable[[Sequence[str], Sequence[str]], None],
    n: int,
    *,
    seed: int,
    repeats: int,
) -> tuple[int, list[float]]:
    """Return how many names there are and the seconds of each run; names are prepared before."""
    from rapidfuzz import utils

    records = registry_of(home)
    if names == "models":
        known = {record.model for record in records}
    else:
        known = {f"{each.model} {memory(each.memory_gb)} {each.form_factor}" for each in records}
    choices = [utils.default_process(name) for name in sorted(known)]
    titles = [listing.title for listing in first_listings(home, n, seed=seed)]
    call(titles[:2], choices)
    took = []
    for _ in range(repeats):
        started = time.perf_counter()
        call(titles, choices)
        took.append(time.perf_counter() - started)
    return len(choices), took


def _extract(titles: Sequence[str], choices: Sequence[str]) -> None:
    from rapidfuzz import fuzz, process, utils

    for title in titles:
        query = utils.default_process(title)
        process.extract(query, choices, scorer=fuzz.token_set_ratio, limit=TOP_K)


def _cdist(titles: Sequence[str], choices: Sequence[str]) -> None:
    """Score all pairs, then take the best of each title as `extract` does."""
    import numpy as np
    from rapidfuzz import fuzz, process, utils

    queries = [utils.default_process(title) for title in titles]
    scores = process.cdist(
        queries, choices, scorer=fuzz.token_set_ratio, workers=_CDIST_WORKERS, dtype=np.float32
    )
    np.argpartition(-scores, min(TOP_K, len(choices)) - 1, axis=1)
