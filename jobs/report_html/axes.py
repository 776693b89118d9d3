"""Axes whose range comes from what they show, with ticks on round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values laid over a range of picture units.

    :param start: picture unit where ``low`` lies.
    :param end: picture unit where ``high`` lies; less than ``start`` for an axis that points up.
    """

    low: float
    high: float
    step: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Return where a value lies, values outside at the nearer end."""
        along = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + along * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        """Return the round numbers on the axis, both ends included."""
        n = round((self.high - self.low) / self.step)
        return [round(self.low + at * self.step, 10) for at in range(n + 1)]

    def tick_text(self, value: float, *, signed: bool = False) -> str:
        """Write a tick with the places its step needs: ``.9``, ``.95``, ``1``."""
        places = next((p for p in range(6) if abs(round(self.step, p) - self.step) < 1e-9), 6)
        digits = f"{abs(value):.{places}f}"
        digits = digits[1:] if digits.startswith("0.") else digits
        if value == 0:
            return "0"
        if value == round(value):
            digits = f"{abs(value):.0f}"
        return ("\N{MINUS SIGN}" if value < 0 else "+" if signed else "") + digits


def axis_over(
    values: Iterable[float | None],
    *,
    start: float,
    end: float,
    limits: tuple[float, float] = (0.0, 1.0),
    n_ticks: int = 5,
) -> Axis:
    """Return an axis over the values, widened to round numbers, within the limits.

    :param limits: what a value can be at most; without any value they are the axis.
    :param n_ticks: about how many ticks there shall be.
    """
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else limits
    floor, ceiling = limits
    low, high = max(low, floor), min(high, ceiling)
    width = max(high - low, 0.02 * min(1.0, ceiling - floor))
    step = _round_step(width / n_ticks)
    first = max(math.floor(low / step + 1e-9) * step, floor)
    last = min(math.ceil(max(high, low + width) / step - 1e-9) * step, ceiling)
    if last - first < step:  # everything at one end
        first, last = max(floor, last - step), max(last, floor + step)
    return Axis(first, first + round((last - first) / step) * step, step, start, end)


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9))
