"""ASUS: ``TUF-RTX3070-O8G-GAMING``, ``GTX680-DC2T-2GD5``, ``EN8800GT/HTDP/512M``."""

from __future__ import annotations

from rerank.bootstrap.dice import Dice
from rerank.bootstrap.part_numbers.code import Code, full_code
from rerank.bootstrap.product import Product

MODERN_SINCE = 2016
DIRECT_CU_SINCE = 2012
SUFFIXES = {"SUPER": "S", "TISUPER": "TIS"}
LINES_16 = ("DUAL", "ROG-STRIX", "STRIX", "PH", "TURBO", "EX", "CERBERUS", "TUF")
LINES_19 = ("DUAL", "ROG-STRIX", "TUF", "PH", "KO", "TURBO", "TUF 3")
LINES_23 = ("DUAL", "ROG-STRIX", "TUF", "PROART", "PRIME", "TX", "ROG-ASTRAL", "T1")
TAILS = ("", "", "", "-GAMING", "-GAMING", "-V2", "-EVO", "-WHITE", "-V2-GAMING", "-MINI", "-BTF")


def asus_code(product: Product, dice: Dice) -> Code | None:
    """Return an ASUS part number of the product's era."""
    name = product.name
    if not (product.geforce or product.radeon) or not name.digits:
        return None
    if product.year >= MODERN_SINCE or name.number == "1030":
        return full_code(_modern(product, dice))
    if product.year >= DIRECT_CU_SINCE:
        return full_code(_direct_cu(product, dice))
    return full_code(_extreme(product, dice))


def asus_model(product: Product) -> str:
    """Return series, number and suffix joined: ``RTX4070TIS``, ``R9280X``."""
    name = product.name
    suffix = SUFFIXES.get(name.suffix, name.suffix)
    return f"{''.join(name.series).upper()}{name.number}{suffix}"


def _modern(product: Product, dice: Dice) -> str:
    model, size = asus_model(product), product.size
    if product.name.main_series == "GT":
        tail = dice.pick(("", "-BRK", "-BRK-EVO", "-CSM"))
        return f"{model}-{dice.pick(('', 'SL-'))}{size}{tail}"
    lines = LINES_16 if product.year < 2019 else LINES_19 if product.year < 2023 else LINES_23
    line = dice.pick(lines)
    over = "O" if dice.chance(0.6) else ""
    kind = "D6" if product.memory_digit == "6" and product.name.number == "1650" else ""
    tail = dice.pick(TAILS)
    if line in ("TUF", "ROG-STRIX", "KO", "TUF 3", "T1", "TX") and "GAMING" not in tail:
        tail += "-GAMING" if dice.chance(0.75) else ""
    return f"{line}-{model}-{over}{size}{kind}{tail}"


def _direct_cu(product: Product, dice: Dice) -> str:
    model = asus_model(product)
    if product.name.suffixes == ("Ti",) and dice.chance(0.4):
        model = model.replace("TI", " TI")
    memory = f"{product.size}D{product.memory_digit}"
    cooler = dice.pick(("DC2", "DC2O", "DC2T", "DC2OC", "DCMOC", "DCSL", "SL", "OC", "DC2OCPH"))
    line = "STRIX-" if product.year >= 2014 and dice.chance(0.5) else ""
    brk = dice.pick(("", "", "-L", "-BRK", "-GAMING", "-CSM"))
    if product.memory_digit == "3":
        return f"{model}-{dice.pick(('SL-', 'MG-', ''))}{memory}{dice.pick(('', '-L', '-BRK'))}"
    return f"{line}{model}-{cooler}-{memory}{brk}"


def _extreme(product: Product, dice: Dice) -> str:
    name = product.name
    prefix = "EN" if product.geforce else "EAH" if name.main_series == "HD" else "EAX"
    series = "".join(name.series) if name.main_series in ("GTX", "GTS", "GT") else ""
    model = f"{prefix}{series}{name.number.lstrip('X')}{name.suffix}"
    silent = dice.pick(("", "", " SILENT", " TOP", " DirectCU", " FORMULA"))
    ports = dice.pick(("DI", "2DI", "HTDP", "HTDI", "2DIS", "TD"))
    kind = f"D{product.memory_digit}" if product.year >= 2008 else ""
    low = dice.pick(("", "", "", "(LP)", "/A", "/V2"))
    return f"{model}{silent}/{ports}/{product.size}{kind}{low}"
