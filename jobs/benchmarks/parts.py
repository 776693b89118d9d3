"""The parts of a benchmark, by the names that `--only` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from index.errors import InputError
from jobs.benchmarks.end_to_end import measure_end_to_end
from jobs.benchmarks.floor import measure_floor
from jobs.benchmarks.fuzzy_names import measure_rapidfuzz
from jobs.benchmarks.growth import (
    measure_candidates,
    measure_listings,
    measure_memory,
    measure_threads,
)
from jobs.benchmarks.neural_pipeline import measure_cross_encoder
from jobs.benchmarks.registry_growth import measure_registry
from jobs.benchmarks.settings import Bench, Scale
from jobs.benchmarks.stages import measure_stages

Part = Callable[[Bench, Callable[[str], None]], dict[str, Any]]

PARTS: dict[str, Part] = {
    "end-to-end": measure_end_to_end,
    "rapidfuzz": measure_rapidfuzz,
    "cross-encoder": measure_cross_encoder,
    "floor": measure_floor,
    "stages": measure_stages,
    "listings": measure_listings,
    "registry": measure_registry,
    "candidates": measure_candidates,
    "threads": measure_threads,
    "memory": measure_memory,
}
"""Each part takes what it is given and a function that says what it is at; it returns plain
values for JSON."""
_LONG = ("memory",)  # a quarter of an hour: only where it is asked for


def chosen_parts(only: str | None, scale: Scale) -> list[str]:
    """Return the parts to measure, in their own order.

    :param only: names separated by commas; None for all that the scale has.
    :raises InputError: if a name is unknown.
    """
    if only is None:
        return [name for name in PARTS if scale is not Scale.DEFAULT or name not in _LONG]
    return _in_order(name.strip() for name in only.split(",") if name.strip())


def _in_order(names: Iterable[str]) -> list[str]:
    asked = set(names)
    unknown = sorted(asked - set(PARTS))
    if unknown or not asked:
        raise InputError(
            f"expected parts among {', '.join(PARTS)}, found {', '.join(unknown) or 'none'}"
        )
    return [name for name in PARTS if name in asked]
