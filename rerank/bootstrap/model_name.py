"""The parts of a model name: brand, series, number, suffixes."""

from __future__ import annotations

from dataclasses import dataclass

BRAND_WORDS = frozenset(
    "GeForce GeForce2 GeForce3 GeForce4 Radeon Mobility Quadro Quadro4 Tesla FirePro FireGL FireMV "
    "FireStream Arc Instinct NVS GRID CMP Data Center GPU Riva".split()
)
# Words between brand and number; "PRO" and "Vega" are part of the series, not suffixes.
SERIES_WORDS = frozenset(
    "RTX GTX GTS GT G FX MX PCX HD RX R5 R7 R9 WX W PRO Pro Vega NVS Flex Max Plex".split()
)


@dataclass(frozen=True, slots=True)
class ModelName:
    """``GeForce RTX 4060 Ti`` is brand GeForce, series RTX, number 4060, suffixes (Ti,)."""

    text: str
    brand: tuple[str, ...]
    series: tuple[str, ...]
    number: str
    suffixes: tuple[str, ...]

    @property
    def suffix(self) -> str:
        """Return the suffixes joined, upper case: ``TISUPER``."""
        return "".join(self.suffixes).upper()

    @property
    def digits(self) -> str:
        """Return the digits of the number."""
        return "".join(c for c in self.number if c.isdigit())

    @property
    def main_series(self) -> str:
        """Return the first series word, or an empty text."""
        return self.series[0] if self.series else ""

    def shape(self, *, brand: bool = True, series: bool = True) -> tuple[str, ...]:
        """Return the words of the name without the parts switched off."""
        return (
            (self.brand if brand else ())
            + (self.series if series else ())
            + (self.number,)
            + self.suffixes
        )


def parse_model(text: str) -> ModelName:
    """Split a conventional model name into its parts."""
    words = text.split()
    at = 0
    while at < len(words) - 1 and words[at] in BRAND_WORDS:
        at += 1
    if at < len(words) - 1 and words[at] == "Pro" and at:  # Radeon Pro, Arc Pro: a brand
        at += 1
    start = at
    while at < len(words) - 1 and words[at] in SERIES_WORDS:
        at += 1
    return ModelName(
        text, tuple(words[:start]), tuple(words[start:at]), words[at], tuple(words[at + 1 :])
    )
