"""Read figures out of a report, whatever is missing, and write them as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Content = Mapping[str, Any]

MISSING = "–"


class Figure(NamedTuple):
    """A value with its 95 % interval over ``n`` cases; None is what nobody could measure."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


def number(value: Any) -> float | None:
    """Return a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def count(value: Any) -> int | None:
    """Return a whole number, None for anything else."""
    found = number(value)
    return None if found is None else round(found)


def part(content: Content | None, key: str) -> Content:
    """Return the mapping under a key, an empty one if there is none."""
    found = (content or {}).get(key)
    return found if isinstance(found, Mapping) else {}


def items(content: Content | None, key: str) -> list[Any]:
    """Return the list under a key, an empty one if there is none."""
    found = (content or {}).get(key)
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else []


def records(content: Content | None, key: str) -> list[Content]:
    """Return the mappings in the list under a key."""
    return [item for item in items(content, key) if isinstance(item, Mapping)]


def figure(content: Content | None, key: str) -> Figure:
    """Return the figure under a key, an empty one if there is none."""
    found = part(content, key)
    return read_figure(found, "value")


def read_figure(content: Content, key: str) -> Figure:
    """Return a record's number under a key with its ``ci95`` and ``n``."""
    bounds = [number(bound) for bound in items(content, "ci95")]
    low, high = bounds if len(bounds) == 2 else (None, None)
    return Figure(number(content.get(key)), low, high, count(content.get("n")))


def text(content: Content | None, key: str) -> str:
    """Return the text under a key, empty if there is none."""
    found = (content or {}).get(key)
    return "" if found is None else str(found)


def share(value: float | None, *, signed: bool = False) -> str:
    """Write a share with three places and without the zero in front: ``.973``, ``+.660``."""
    if value is None:
        return MISSING
    digits = f"{abs(value):.3f}"
    digits = digits[1:] if digits.startswith("0.") else digits
    if value < 0 and digits.strip(".0"):
        return f"\N{MINUS SIGN}{digits}"
    return f"+{digits}" if signed and digits.strip(".0") else digits


def interval(found: Figure, *, signed: bool = False) -> str:
    """Write the interval alone: ``[.947–.993]``, empty if there is none."""
    if found.low is None or found.high is None:
        return ""
    between = " to " if signed else "–"
    return f"[{share(found.low, signed=signed)}{between}{share(found.high, signed=signed)}]"


def with_interval(found: Figure, *, signed: bool = False) -> str:
    """Write a figure with its interval: ``.973 [.947–.993]``."""
    return f"{share(found.value, signed=signed)} {interval(found, signed=signed)}".rstrip()


def whole(value: int | None) -> str:
    """Write a count with commas between thousands."""
    return MISSING if value is None else f"{value:,}"


def percent(value: float) -> str:
    """Write a share as a percentage with one place; none and all have none."""
    if value in (0, 1):
        return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def p_text(value: float | None) -> str:
    """Write a p-value; below .001 no digits are worth their place."""
    if value is None:
        return MISSING
    return "<\N{NO-BREAK SPACE}.001" if value < 0.001 else share(value)


def plural(n: int, one: str, many: str = "") -> str:
    """Write a count with its noun."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
