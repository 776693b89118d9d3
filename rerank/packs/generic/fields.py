"""What a product or a listing says, by role: the one form in which the generic pack reads both."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

__all__ = ["Fields"]


@dataclass(frozen=True, slots=True)
class Fields:
    """What a row says, by role; texts as given, not normalised, empty where nothing is said.

    :param identifiers: GTINs and manufacturer part numbers, as given.
    :param text: a description: longer than a name and less to be trusted.
    :param price: in the catalogue's currency, NaN where unknown.
    :param quantities: (base unit, value) of number columns, e.g. ("ghz", 4.7); base units are
        those of the pack.
    :param axes: values of the variant axes (colour, size, region), aligned with the catalogue's
        axes, "" where a row says nothing; () of a listing and of catalogues without axes.
    """

    name: str = ""
    brand: str = ""
    identifiers: tuple[str, ...] = ()
    category: str = ""
    text: str = ""
    price: float = nan
    quantities: tuple[tuple[str, float], ...] = ()
    axes: tuple[str, ...] = ()
