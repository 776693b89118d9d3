"""How long one listing takes two models, timed in turns so that both see the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from index.records import Listing
from rerank.evaluation.intervals import Figure, estimate
from rerank.evaluation.latency import LATENCY_WARM_UP, ResolvesOne
from rerank.lifecycle.promotion_settings import LatencySettings

Floats = NDArray[np.float64]

QUANTILES = {"p50": 0.5, "p99": 0.99}


def latency_figures(
    candidate: ResolvesOne,
    champion: ResolvesOne | None,
    listings: Sequence[Listing],
    settings: LatencySettings,
    *,
    seed: int,
    samples: int,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, Figure]:
    """Return quantiles in milliseconds and their ratios to the champion's, with intervals.

    Of each listing's runs the fastest counts: what else the machine does can only slow one down.
    Intervals are over listings, drawn together for both models.

    :param listings: those timed are spread evenly over them.
    :param clock: in nanoseconds.
    :returns: ``p50_ms``, ``p99_ms`` and, with a champion, ``p50_ratio``, ``p99_ratio`` and the
        champion's ``champion_p50_ms``, ``champion_p99_ms``; empty if nothing is to be timed.
    """
    if not settings.listings or not listings:
        return {}
    step = max(1, len(listings) // settings.listings)
    timed = listings[::step][: settings.listings]
    models = [candidate] if champion is None else [candidate, champion]
    for listing, model in product(timed[:LATENCY_WARM_UP], models):
        model.resolve(listing)
    took = _fastest(models, timed, settings.runs, clock)
    found = {}
    for name, share in QUANTILES.items():
        of_one, of_both = partial(_quantile, share=share), partial(_ratio, share=share)
        found[f"{name}_ms"] = estimate(of_one, took[0], seed=seed, samples=samples)
        if champion is not None:
            found[f"champion_{name}_ms"] = estimate(of_one, took[1], seed=seed, samples=samples)
            found[f"{name}_ratio"] = estimate(of_both, *took, seed=seed, samples=samples)
    return found


def _fastest(
    models: Sequence[ResolvesOne],
    listings: Sequence[Listing],
    runs: int,
    clock: Callable[[], int],
) -> list[Floats]:
    """Return each model's fastest time of each listing, ms; models take turns to go first."""
    took = np.full((len(models), len(listings)), np.inf)
    for run in range(runs):
        for at, listing in enumerate(listings):
            for turn in range(len(models)):
                number = (run + at + turn) % len(models)
                start = clock()
                models[number].resolve(listing)
                spent = (clock() - start) / 1e6
                took[number, at] = min(took[number, at], spent)
    return list(took)


def _quantile(values: Floats, *, share: float) -> float:
    return float(np.quantile(values, share))


def _ratio(values: Floats, others: Floats, *, share: float) -> float:
    return _quantile(values, share=share) / _quantile(others, share=share)
