"""How many listings a ranker does in a second, in this process: ranking alone, and end to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from jobs.benchmarks.figures import rate_of
from rerank.evaluation.gold import GoldListing
from rerank.evaluation.prepared_gold import GoldPreparer
from rerank.evaluation.ranker_comparison import Competitor
from rerank.resolver import Resolver

REPEATS = 3
_TRIED, _MOST = 16, 1024  # listings
_SECONDS = 3.0  # about what one measurement takes

Work = Callable[[], object]


def ranking_rate(
    competitor: Competitor, preparer: GoldPreparer, gold: Sequence[GoldListing]
) -> dict[str, Any]:
    """Measure ranking and decision on candidates whose features are computed already."""

    def work_on(some: Sequence[GoldListing]) -> Work:
        batch = preparer.batch(some)
        return lambda: competitor.probability(batch, competitor.scores(batch))

    return _rate(work_on, gold)


def resolving_rate(resolver: Resolver, gold: Sequence[GoldListing]) -> dict[str, Any]:
    """Measure resolving from title to answer."""

    def work_on(some: Sequence[GoldListing]) -> Work:
        listings = [item.listing for item in some]
        return lambda: resolver.answers(listings)

    return _rate(work_on, gold)


def _rate(
    work_on: Callable[[Sequence[GoldListing]], Work], gold: Sequence[GoldListing]
) -> dict[str, Any]:
    """Measure work on as many listings as take some seconds; 1,024 at most, one batch."""
    few = gold[:_TRIED]
    tried = work_on(few)
    tried()
    wanted = round(len(few) * _SECONDS / max(_seconds(tried), 1e-6))
    many = gold[: max(len(few), min(wanted, _MOST))]
    work = work_on(many)
    took = [_seconds(work) for _ in range(REPEATS)]
    return {"listings": len(many), "rate": rate_of(len(many), took).as_json()}


def _seconds(work: Work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
