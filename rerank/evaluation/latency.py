"""How long one listing takes, in the calling process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from index.records import Listing
from rerank.resolver import Resolution

LATENCY_LISTINGS = 300
LATENCY_WARM_UP = 20


class ResolvesOne(Protocol):
    """What is timed."""

    def resolve(self, listing: Listing, *, top_k: int = 20) -> Resolution:
        """Resolve one listing."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles of the time one listing takes, in milliseconds; None if none was timed."""

    p50: float | None
    p99: float | None
    n: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def latency_ms(resolver: ResolvesOne, listings: Sequence[Listing]) -> Latency:
    """Time single listings after a warm-up: up to 300, spread evenly over all."""
    step = max(1, len(listings) // LATENCY_LISTINGS)
    timed = listings[::step][:LATENCY_LISTINGS]
    for listing in timed[:LATENCY_WARM_UP]:
        resolver.resolve(listing)
    took = []
    for listing in timed:
        start = time.perf_counter_ns()
        resolver.resolve(listing)
        took.append((time.perf_counter_ns() - start) / 1e6)
    if not took:
        return Latency(None, None, 0)
    p50, p99 = np.quantile(took, (0.5, 0.99)).round(3).tolist()
    return Latency(p50, p99, len(took))
