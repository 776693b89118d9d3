"""What follows from the parts of a benchmark: ratios, and the bars they are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.benchmarks.figures import Figure, quotient

WANTED_RATE = 10_000.0
WANTED_OVER_RAPIDFUZZ = 15.0
WANTED_OVER_CROSS_ENCODER = 100.0
WANTED_SHARE_OF_FLOOR = 0.5
WANTED_PEAK_MIB = 1536.0
LONG_FEED = 5_000_000

_TREES = {"lightgbm": "LightGBM", "served": "trees as served"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A ratio or a figure, and the bar it is held against, if there is one.

    :param unit: ``times``, ``share``, ``listings/s`` or ``MiB``.
    :param wanted: at least this, or at most if ``at_most``; None where nothing is asked.
    """

    name: str
    measured: Figure
    unit: str
    wanted: float | None = None
    at_most: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the median is on the right side of the bar; None without one."""
        if self.wanted is None:
            return None
        median = self.measured.median
        return median <= self.wanted if self.at_most else median >= self.wanted

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            **self.measured.as_json(),
            "unit": self.unit,
            "wanted": self.wanted,
            "at_most": self.at_most,
            "reached": self.reached,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Comparison:
        """Return what `as_json` wrote; whether the bar is reached is worked out anew."""
        return cls(
            content["name"],
            Figure.from_json(content),
            content["unit"],
            content["wanted"],
            content["at_most"],
        )


def comparisons_of(parts: Mapping[str, Mapping[str, Any]]) -> list[Comparison]:
    """Return what can be said with the parts that were measured, bars first."""
    rates = _rates(parts.get("end-to-end"))
    found = [
        *_end_to_end(rates),
        *_rapidfuzz(rates, parts.get("rapidfuzz")),
        *_cross_encoder(rates, parts.get("cross-encoder")),
        *_floor(parts.get("floor")),
        *_memory(parts.get("memory")),
    ]
    return sorted(found, key=lambda each: each.wanted is None)


Rates = Mapping[tuple[str, int, str], Figure]


def _rates(part: Mapping[str, Any] | None) -> Rates:
    """Return our rates end to end by feed, workers and ``with_start`` or ``without_start``."""
    return {
        (row["feed"], row["workers"], start): Figure.from_json(row[f"rate_{start}"])
        for row in (part or {"rows": []})["rows"]
        for start in ("with_start", "without_start")
    }


def _end_to_end(rates: Rates) -> list[Comparison]:
    if not rates:
        return []
    ours = rates["distinct", 2, "without_start"]
    return [
        Comparison("2 workers, start-up excluded", ours, "listings/s", WANTED_RATE),
        Comparison(
            "2 workers, start-up included",
            rates["distinct", 2, "with_start"],
            "listings/s",
            WANTED_RATE,
        ),
        Comparison(
            "2 workers over 1", quotient(ours, rates["distinct", 1, "without_start"]), "times"
        ),
        Comparison(
            "repeating over distinct titles",
            quotient(rates["repeating", 2, "without_start"], ours),
            "times",
        ),
    ]


def _rapidfuzz(rates: Rates, part: Mapping[str, Any] | None) -> list[Comparison]:
    """Both as they are called on 2 cores; then with as many processes on either side."""
    if not rates or part is None:
        return []
    theirs = {(row["call"], row["names"]): Figure.from_json(row["rate"]) for row in part["rows"]}
    two, one = rates["distinct", 2, "without_start"], rates["distinct", 1, "without_start"]
    extract, cdist = theirs["extract", "variants"], theirs["cdist", "variants"]
    return [
        Comparison(
            "2 workers over RapidFuzz extract",
            quotient(two, extract),
            "times",
            WANTED_OVER_RAPIDFUZZ,
        ),
        Comparison(
            "2 workers over extract, model names",
            quotient(two, theirs["extract", "models"]),
            "times",
        ),
        Comparison("1 worker over RapidFuzz extract", quotient(one, extract), "times"),
        Comparison("2 workers over RapidFuzz cdist", quotient(two, cdist), "times"),
        Comparison(
            "2 workers over cdist, model names", quotient(two, theirs["cdist", "models"]), "times"
        ),
    ]


def _cross_encoder(rates: Rates, part: Mapping[str, Any] | None) -> list[Comparison]:
    if not rates or part is None:
        return []
    ratio = quotient(rates["distinct", 2, "without_start"], Figure.from_json(part["rate"]))
    return [
        Comparison(
            "2 workers over MiniLM and cross-encoder", ratio, "times", WANTED_OVER_CROSS_ENCODER
        )
    ]


def _floor(part: Mapping[str, Any] | None) -> list[Comparison]:
    found = []
    for row in (part or {"rows": []})["rows"]:
        for trees, said in _TREES.items():
            share = quotient(Figure.from_json(row["ours"]), Figure.from_json(row[f"floor_{trees}"]))
            several = row["processes"] > 1
            name = f"{'2 workers' if several else '1 worker'} over the floor, {said}"
            wanted = WANTED_SHARE_OF_FLOOR if several and trees == "lightgbm" else None
            found.append(Comparison(name, share, "share", wanted))
    return found


def _memory(part: Mapping[str, Any] | None) -> list[Comparison]:
    rows: Sequence[Mapping[str, Any]] = (part or {"rows": []})["rows"]
    return [
        Comparison(
            f"peak memory, {row['listings']:,} listings",
            Figure.of([row["peak_mib"]]),
            "MiB",
            WANTED_PEAK_MIB if row["listings"] >= LONG_FEED else None,
            at_most=True,
        )
        for row in rows
    ]
