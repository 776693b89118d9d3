"""MSI: ``RTX 5060 8G SHADOW 3X OC``, ``N760-2GD5/OC``, ``NX8800GTS-T2D320E``."""

from __future__ import annotations

from rerank.bootstrap.dice import Dice
from rerank.bootstrap.part_numbers.code import Code, digits, full_code, shop_code
from rerank.bootstrap.product import Product

LINES_23 = (
    "VENTUS 2X",
    "VENTUS 3X",
    "GAMING TRIO",
    "GAMING X SLIM",
    "SUPRIM X",
    "SHADOW 2X",
    "INSPIRE 2X",
    "VANGUARD SOC",
    "EXPERT",
    "GAMING X TRIO",
    "VENTUS 2X WHITE",
)
LINES_19 = (
    "VENTUS 2X",
    "VENTUS 3X",
    "GAMING X",
    "GAMING X TRIO",
    "GAMING Z TRIO",
    "SUPRIM X",
    "AERO ITX",
    "MECH 2X",
    "ARMOR",
    "VENTUS XS",
    "GAMING Z",
)
LINES_16 = ("GAMING X", "ARMOR", "AERO ITX", "GAMING", "GAMING Z", "SEA HAWK X", "DUKE")
SUFFIXES = {"TI": "Ti", "TIBOOST": "Ti"}


def msi_code(product: Product, dice: Dice) -> Code | None:
    """Return an MSI product code of the product's era."""
    if not (product.geforce or product.radeon) or not product.name.digits:
        return None
    if product.year >= 2014 and dice.chance(0.05):
        return shop_code(f"912-V{digits(3, dice)}-{digits(3, dice)}")
    if product.year >= 2016 or product.name.number == "1030":
        return full_code(_modern(product, dice))
    if product.year >= 2014:
        return full_code(_twin_frozr(product, dice))
    if product.year >= 2009:
        return full_code(_n_series(product, dice))
    return full_code(_nx_series(product, dice))


def _words(product: Product) -> str:
    name = product.name
    return " ".join((*name.series, name.number, *name.suffixes))


def _modern(product: Product, dice: Dice) -> str:
    words, size, over = _words(product), product.size, dice.pick((" OC", " OC", ""))
    if product.name.main_series == "GT" or (product.year < 2019 and dice.chance(0.3)):
        kind = {"4": "D4", "6": "D6"}.get(product.memory_digit, "")
        return f"{words} {size}{dice.pick(('T', 'H', ''))}{kind}{dice.pick(('', ' LP'))}{over}"
    year = product.year
    line = dice.pick(LINES_23 if year >= 2022 else LINES_19 if year >= 2019 else LINES_16)
    if dice.chance(0.5):
        return f"{words} {size} {line}{over}"
    return f"{words} {line} {size}{over}"


def _twin_frozr(product: Product, dice: Dice) -> str:
    words, size = _words(product), product.size
    if dice.chance(0.4):
        return f"{words} GAMING {size}"
    tail = dice.pick(("T OC", " OC", "T LP OC", "T", ""))
    return f"{words} {size}D{product.memory_digit}{tail}"


def _n_series(product: Product, dice: Dice) -> str:
    name, memory = product.name, f"{product.size}D{product.memory_digit}"
    over = dice.pick(("/OC", "", "/OC", "/LP"))
    if not product.geforce:
        head = f"{'R' if name.main_series == 'HD' else name.main_series}{name.number}"
        line = dice.pick(("2PMD", "PMD", "MD", "TWIN FROZR "))
        return f"{head}{name.suffix}-{line}{memory}{over}"
    if product.year >= 2012:
        boost = " BE" if "BOOST" in name.suffix else ""
        suffix = SUFFIXES.get(name.suffix, name.suffix)
        line = dice.pick(("", "PE-", "TF-", "GAMING ", "MD"))
        return f"N{name.number}{suffix}-{line}{memory}{over}{boost}"
    suffix = f"-{name.suffixes[0]}" if name.suffixes else ""
    series = name.main_series
    port = dice.pick(("M2D", "MD", "T2D"))
    amount = "15" if product.megabytes == 1536 else product.size.rstrip("GM")
    return f"N{name.number}{series}{suffix}-{port}{amount}{f'D{product.memory_digit}'}{over}"


def _nx_series(product: Product, dice: Dice) -> str:
    name = product.name
    prefix = "NX" if product.geforce else "RX" if name.number.startswith("X") else "R"
    ports = dice.pick(("T2D", "TD", "MD"))
    heat = dice.pick(("E", "E-HD", "EH", "Z", ""))
    number = name.number.lstrip("X")
    return f"{prefix}{number}{name.suffix}-{ports}{product.megabytes}{heat}"
