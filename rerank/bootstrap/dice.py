"""Fast scalar draws from one numpy generator."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Generic, TypeVar

import numpy as np

# Scalar calls to a numpy generator cost about a microsecond; a block of floats costs a tenth.
BLOCK = 4096

T = TypeVar("T")


class Dice:
    """Draws without module state: the same generator gives the same sequence."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._block: list[float] = []

    def random(self) -> float:
        """Return a float in [0, 1)."""
        if not self._block:
            self._block = self._generator.random(BLOCK).tolist()
        return self._block.pop()

    def chance(self, probability: float) -> bool:
        """Return true with this probability."""
        return self.random() < probability

    def below(self, limit: int) -> int:
        """Return an integer in [0, limit)."""
        return int(self.random() * limit)

    def pick(self, items: Sequence[T]) -> T:
        """Return one item, all equally likely."""
        return items[int(self.random() * len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in random order."""
        order = sorted(range(len(items)), key=lambda _: self.random())
        return [items[i] for i in order]


class Weighted(Generic[T]):
    """Items drawn in proportion to their weights."""

    def __init__(self, items: Sequence[T], weights: Sequence[float]) -> None:
        self.items = tuple(items)
        self._bounds = list(accumulate(weights))

    def draw(self, dice: Dice) -> T:
        """Return one item."""
        return self.items[bisect_right(self._bounds, dice.random() * self._bounds[-1])]
