"""The rate of scoring parquet to parquet once everything is loaded, through `rerank score`'s code.

Run in a child (`jobs.benchmarks.children.in_child`): it loads the resolver.
"""

from __future__ import annotations

import time
from pathlib import Path

from index.errors import RerankError
from jobs.listing_files import open_listings
from jobs.listing_files.selection import select_files
from jobs.places import place_of
from jobs.scoring import Answerer, Existing, ScoreOptions, answering, plan_score, run_plan

_WARM_UP_ROWS = 256
_WARM_UP_BATCHES = 4  # for each worker, so that none is still starting


def warm_seconds(
    home: Path, source: Path, target: Path, *, workers: int, top_k: int, repeats: int
) -> list[float]:
    """Return the seconds of each run over a file, workers started and everything loaded before.

    :param target: written anew by each run.
    :raises RerankError: if a file was set aside instead of scored.
    """
    took = []
    with answering(home, ScoreOptions(top_k=top_k), workers=workers) as answerer:
        _warm_up(answerer, source, _WARM_UP_BATCHES * workers)
        for _ in range(repeats):
            started = time.perf_counter()
            plan = plan_score(
                select_files(str(source)), place_of(str(target)), existing=Existing.OVERWRITE
            )
            summary = run_plan(plan, answerer)
            took.append(time.perf_counter() - started)
            if summary.failures:
                raise RerankError(f"{source}: not scored: {dict(summary.failures)}")
    return took


def _warm_up(answerer: Answerer, source: Path, count: int) -> None:
    first = next(open_listings(place_of(str(source))).batches(_WARM_UP_ROWS))
    for _ in answerer.answers([first] * count):
        pass
