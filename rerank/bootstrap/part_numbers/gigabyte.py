"""Gigabyte: ``GV-N306TGAMING OC-8GD``, ``GV-R67XTEAGLE-12GD``, ``GV-N960WF2OC-4GD``."""

from __future__ import annotations

from rerank.bootstrap.dice import Dice
from rerank.bootstrap.part_numbers.code import Code, full_code
from rerank.bootstrap.product import Product

SUFFIXES = {"": "", "TI": "T", "SUPER": "S", "TISUPER": "TS"}
FERMI = {"560": "56G", "560TI": "560", "550TI": "550"}  # the plain number is the Ti here
COOLERS_20 = (
    "GAMING OC",
    "GAMING",
    "EAGLE OC",
    "EAGLE",
    "VISION OC",
    "AORUS M",
    "AERO OC",
    "WF2OC",
    "WF3OC",
    "OC",
    "TURBO",
    "AORUS X",
    "WF3",
    "GAMINGOC PRO",
    "AORUSM ICE",
)
COOLERS_14 = ("WF2OC", "WF2", "WF3OC", "G1 GAMING", "OC", "XTREME", "IXOC", "D5", "WF3X", "GAMING")
COOLERS_09 = ("OC", "D5", "WF3", "WF2", "UD", "SL", "D3", "ZL", "SO", "")


def gigabyte_code(product: Product, dice: Dice) -> Code | None:
    """Return a Gigabyte part number of the product's era."""
    model = gigabyte_model(product)
    if model is None:
        return None
    year = product.year
    coolers = COOLERS_20 if year >= 2019 else COOLERS_14 if year >= 2014 else COOLERS_09
    small = product.name.main_series == "GT" or product.memory_digit == "3"
    cooler = dice.pick(("OC", "D5", "SL", "D3", "")) if small else dice.pick(coolers)
    if product.name.number == "1650" and product.memory_digit == "6":
        model = "N1656"
    end = dice.pick(("GI", "GL")) if small else "GD"
    size = product.size.replace("G", "") + end if "G" in product.size else product.size + "I"
    rev = dice.pick((" rev 2.0", " (rev. 1.0)")) if dice.chance(0.06) else ""
    return full_code(f"GV-{model}{cooler}-{size}{rev}")


def gigabyte_model(product: Product) -> str | None:
    """Return the model part: ``N306T``, ``R928X``, ``R797``; None where the rule is unknown."""
    if product.geforce:
        return _geforce(product)
    if product.radeon:
        return _radeon(product)
    if product.name.brand == ("Arc",):
        return f"I{product.name.number}"
    return None


def _geforce(product: Product) -> str | None:
    name = product.name
    if (
        product.year < 2009
        or name.suffix not in SUFFIXES
        or name.series not in ((), ("GT",), ("GTX",), ("GTS",), ("RTX",))
    ):
        return None
    if name.number + name.suffix in FERMI:
        return f"N{FERMI[name.number + name.suffix]}"
    short = SUFFIXES[name.suffix]
    number = name.number[:-1] if short else name.number
    return f"N{number}{short}"


def _radeon(product: Product) -> str | None:
    name = product.name
    if name.main_series == "RX" and len(name.digits) == len(name.number) == 4:
        number = name.number
        if number < "9000":
            number = number[:2] if number.endswith("00") else number[:3]
        return f"R{number}{name.suffix}"
    if name.main_series == "RX" and name.number.isdigit():
        return f"RX{name.number}{name.suffix}"
    if name.main_series in ("R7", "R9", "R5") and name.digits:
        tail = name.number.removeprefix(name.digits)
        return f"R{name.main_series[1]}{name.digits[:2]}{tail}{name.suffix}"
    if name.main_series == "HD" and not name.suffixes:
        return f"R{name.number[:3]}"
    return None
