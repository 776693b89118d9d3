"""Memory sizes, buses and bus widths as sellers write them."""

from __future__ import annotations

from rerank.bootstrap.dice import Dice, Weighted
from rerank.bootstrap.product import Product

GB_UNITS = Weighted(
    ("GB", "Gb", "gb", " GB", " Gb", "G", " gb", "Gb ", "g", " G"),
    (40, 8, 8, 14, 5, 14, 4, 3, 2, 2),
)
GB_UNITS_RU = Weighted(
    ("GB", "Gb", "gb", " GB", " Gb", "G", " ГБ", "ГБ", "гб", " гб", "Гб", " гига"),
    (16, 10, 12, 6, 5, 8, 8, 8, 8, 5, 6, 1),
)
MB_UNITS = Weighted(
    ("MB", "Mb", "mb", " MB", " Mb", "M", "m", " МБ", " Мб"), (30, 12, 8, 10, 8, 10, 2, 2, 3)
)
GO_UNITS = ("Go", " Go", "GB", " GB")
BITS_BY_GIGABYTES = {
    1: (64, 128, 256),
    2: (64, 128, 256),
    3: (192, 384),
    4: (128, 256),
    5: (160, 320),
    6: (192, 96),
    8: (128, 256),
    10: (320, 160),
    11: (352,),
    12: (192, 384),
    16: (256, 128),
    20: (320, 160),
    24: (384,),
    32: (512, 256),
    48: (384,),
}
BITS_SUFFIXES = ("-bit", "-Bit", " bit", "bit", "-BIT", " Bits", "Bit")


def memory_text(product: Product, dice: Dice, *, cyrillic: bool = False) -> str:
    """Return the memory size: ``8GB``, ``8 Гб``, ``512MB``, ``4096Mb``."""
    megabytes = product.megabytes
    whole, rest = divmod(megabytes, 1024)
    if not rest and not (megabytes <= 8192 and dice.chance(0.06)):
        return f"{whole}{(GB_UNITS_RU if cyrillic else GB_UNITS).draw(dice)}"
    if megabytes > 1024 and rest and dice.chance(0.4):
        size = f"{megabytes / 1024:g}"
        return f"{size.replace('.', ',') if cyrillic else size}{GB_UNITS.draw(dice)}"
    return f"{megabytes}{MB_UNITS.draw(dice)}"


def memory_french(product: Product, dice: Dice) -> str:
    """Return the memory size in Go or Mo."""
    whole, rest = divmod(product.megabytes, 1024)
    return f"{product.megabytes} Mo" if rest else f"{whole}{dice.pick(GO_UNITS)}"


def memory_spaced(product: Product) -> str:
    """Return the memory size as catalogues write it: ``8 GB``."""
    whole, rest = divmod(product.megabytes, 1024)
    return f"{product.megabytes} MB" if rest else f"{whole} GB"


def memory_type(product: Product, dice: Dice, *, exact: bool) -> str:
    """Return the memory type; sellers shorten GDDR6X to GDDR6, DDR6 or D6 unless it tells apart."""
    text = product.record.memory_type
    roll = dice.random()
    if exact or roll < 0.72:
        return text.lower() if roll < 0.06 else text
    if roll < 0.73:
        return text.replace("GDDR", "GDRR")
    if roll < 0.8:
        return text.removeprefix("G")
    if roll < 0.86 and text.endswith("X"):
        return text.removesuffix("X")
    if roll < 0.9 and "DDR" in text:
        return "D" + text.split("DDR")[1]
    return f"{text} " if roll < 0.95 else text.replace("DDR", "ddr").replace("G", "g")


def bus_text(product: Product, dice: Dice) -> str:
    """Return the bus: ``PCI Express 4.0 x16``, ``AGP 8X``."""
    form = product.record.form_factor
    if form == "AGP":
        return dice.pick(("AGP", "AGP 8x", "AGP 4x/8x", "AGP 8X"))
    if form == "PCI":
        return dice.pick(("PCI", "PCI (not PCI-E)", "PCI slot"))
    if form != "PCIe":
        return ""
    year = product.year
    generation = "5.0" if year >= 2025 else "4.0" if year >= 2020 else "3.0"
    generation = generation if year >= 2012 else "2.0" if year >= 2008 else "1.0"
    lanes = dice.pick((" x16", " x16", "", " x8", " x 16", "x16"))
    return dice.pick(
        (
            f"PCI Express {generation}{lanes}",
            f"PCI Express {generation}{lanes}",
            f"PCIe {generation}{lanes}",
            f"PCI-E {generation}{lanes}",
            "PCIe",
            "PCI-E",
            "PCIe x16",
            "PCI-Express x16",
            f"PCI-E {generation}",
        )
    )


def bits_text(product: Product, dice: Dice) -> str:
    """Return a bus width plausible for the memory size: ``256-bit``."""
    widths = BITS_BY_GIGABYTES.get(product.megabytes // 1024, (64, 128))
    return f"{dice.pick(widths)}{dice.pick(BITS_SUFFIXES)}"
