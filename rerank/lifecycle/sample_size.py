"""How many listings it takes to tell two systems apart that answer the same ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from index.errors import InputError

POWER, LEVEL = 0.8, 0.05


@dataclass(frozen=True, slots=True)
class Discordance:
    """Listings on which two systems were both judged.

    :param gained: those that only the first has right.
    :param lost: those that only the second has right.
    :param n: all of them.
    """

    gained: int
    lost: int
    n: int

    def __post_init__(self) -> None:
        if min(self.gained, self.lost) < 0 or self.gained + self.lost > self.n:
            raise InputError(
                f"expected counts of at most {self.n} listings, got {self.gained} gained and "
                f"{self.lost} lost"
            )


def listings_needed(seen: Discordance, *, power: float = POWER, level: float = LEVEL) -> int | None:
    """Return how many listings McNemar's test needs in all, if these shares are the true ones.

    With the share of discordant listings p = (gained + lost) / n and the difference d =
    (gained - lost) / n: ((z_a sqrt(p) + z_b sqrt(p - d^2)) / d)^2, z_a the normal quantile of
    1 - level/2, z_b that of ``power``. Source: Connor, Sample Size for Testing Differences in
    Proportions for the Paired-Sample Design, Biometrics 43, 1987. Listings count as independent,
    and the difference as it was seen: where it was a chance find, more are needed.

    :param power: chance to find the difference, in (0, 1).
    :param level: chance to find one where there is none, two-sided, in (0, 1).
    :returns: None if there is no difference to find.
    """
    if seen.gained == seen.lost:
        return None
    share = (seen.gained + seen.lost) / seen.n
    difference = (seen.gained - seen.lost) / seen.n
    normal = NormalDist()
    of_level = normal.inv_cdf(1 - level / 2) * math.sqrt(share)
    of_power = normal.inv_cdf(power) * math.sqrt(share - difference**2)
    return math.ceil(((of_level + of_power) / difference) ** 2)
