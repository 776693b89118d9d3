"""How much a benchmark measures: three scales, and what is the same in all of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

TOP_K = 20
SERVED_VECTOR_HITS = 32  # neighbours the retriever asks FAISS for
REPEAT_SHARE = 0.5
WORKERS = (1, 2)
CANDIDATE_COUNTS = (5, 10, 20, 50, 100)
DEFAULT_SEED = 11


class Scale(Enum):
    """How large the measurements are."""

    QUICK = "quick"
    DEFAULT = "default"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """Sizes of all measurements; in listings where nothing else is said.

    :param repeats: of each measurement; those that take minutes are made once.
    :param registry_sizes: of synthetic registries, in vectors.
    :param registry_queries: searched in each of them.
    """

    scale: Scale
    seed: int = DEFAULT_SEED
    repeats: int = 3
    listings: int = 100_000
    fuzzy_listings: int = 1000
    neural_listings: int = 100
    floor_listings: int = 40_960
    stage_listings: int = 20_000
    candidate_listings: int = 5000
    thread_listings: int = 16_384
    memory_listings: int = 5_000_000
    growth: tuple[int, ...] = (10_000, 100_000)
    registry_sizes: tuple[int, ...] = (1000, 10_000, 100_000)
    registry_queries: int = 1000

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **asdict(self),
            "scale": self.scale.value,
            "growth": list(self.growth),
            "registry_sizes": list(self.registry_sizes),
        }


@dataclass(frozen=True, slots=True)
class Bench:
    """What every part is given.

    :param home: the workspace whose resolver is measured.
    :param folder: for feeds and outputs; emptied at the end.
    """

    home: Path
    folder: Path
    settings: BenchSettings


_QUICK = BenchSettings(
    scale=Scale.QUICK,
    repeats=1,
    listings=600,
    fuzzy_listings=20,
    neural_listings=2,
    floor_listings=600,
    stage_listings=600,
    candidate_listings=100,
    thread_listings=300,
    memory_listings=20_000,
    growth=(300, 600),
    registry_sizes=(500, 1000),
    registry_queries=50,
)


def settings_of(
    scale: Scale, *, seed: int, listings: int | None = None, repeats: int | None = None
) -> BenchSettings:
    """Return the sizes of a scale.

    :param listings: of the end-to-end feeds, instead of the scale's own.
    :param repeats: instead of the scale's own.
    """
    found = _QUICK if scale is Scale.QUICK else BenchSettings(scale=scale)
    if scale is Scale.FULL:
        found = replace(
            found,
            growth=(*found.growth, 1_000_000),
            registry_sizes=(*found.registry_sizes, 1_000_000),
        )
    return replace(
        found, seed=seed, listings=listings or found.listings, repeats=repeats or found.repeats
    )
