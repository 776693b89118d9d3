"""Who made the card: a partner that sold this chip in those years, and its product line."""

from __future__ import annotations

from functools import lru_cache

from rerank.bootstrap.dice import Dice, Weighted
from rerank.bootstrap.vocabulary import Partner, Vocabulary


class Partners:
    """Partners by chip vendor and year."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._partners = vocabulary.partners
        self._draw_of = lru_cache(maxsize=None)(self._weighted)
        self._lines_of = lru_cache(maxsize=None)(self._lines)

    def draw(self, vendor: str, year: int, dice: Dice) -> Partner:
        """Return a partner that sold chips of this vendor in this year."""
        return self._draw_of(vendor, year).draw(dice)

    def line(self, partner: Partner, year: int, dice: Dice) -> str:
        """Return one of the partner's product lines of this year, or an empty text."""
        lines = self._lines_of(partner, year)
        return dice.pick(lines) if lines else ""

    def _weighted(self, vendor: str, year: int) -> Weighted[Partner]:
        fitting = [p for p in self._partners if vendor in p.vendors and p.since <= year <= p.until]
        return Weighted(fitting, [p.weight for p in fitting])

    @staticmethod
    def _lines(partner: Partner, year: int) -> tuple[str, ...]:
        # Cards stay on sale for a year after release, with the lines of that year.
        return tuple(x.text for x in partner.lines if x.since - 1 <= year <= x.until)
