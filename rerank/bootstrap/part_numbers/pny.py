"""PNY: ``VCG306012DFBPB1``, ``VCGGTX9604XPB-OC``, ``VCQP4000-PB``, ``VCNRTXA4000-PB``."""

from __future__ import annotations

from rerank.bootstrap.dice import Dice
from rerank.bootstrap.part_numbers.code import Code, model_code
from rerank.bootstrap.product import Product

SUFFIXES = {"": "", "TI": "T", "SUPER": "S", "TISUPER": "TS"}
FANS = ("DFXPB1", "TFXPB1", "DFBPB1", "TFXXPB1-O", "DFXPB1-O", "TFXMPB", "DFPPB", "TFBPB1")


def pny_code(product: Product, dice: Dice) -> Code | None:
    """Return a PNY part number; those of professional cards leave the memory out."""
    if product.geforce:
        return _geforce(product, dice)
    name = product.name
    tail = dice.pick(("-PB", "-PB", "-SB", "-BLK", "-T", "BLK-1", "-PORPB"))
    if name.brand == ("Quadro",) and name.main_series == "FX":
        return model_code(f"VCQFX{name.number}-PCIE{tail}")
    if name.brand[:1] == ("Quadro",):
        head = f"VCQ{name.main_series if name.main_series == 'RTX' else ''}"
        return model_code(f"{head}{name.number}{name.suffix}{tail}")
    if name.brand == ("NVS",):
        return model_code(f"VCNVS{name.number}{dice.pick(('VGA', 'DVI', 'DP', 'X1'))}-PB")
    if not name.brand and product.record.vendor == "NVIDIA" and name.digits:
        series = "".join(name.series)
        suffix = "ADA" if "Ada" in name.suffixes and "SFF" not in name.suffixes else name.suffix
        return model_code(f"VCN{series}{name.number}{suffix}{tail}".replace("BLACKWELL", ""))
    return None


def _geforce(product: Product, dice: Dice) -> Code | None:
    name = product.name
    whole, rest = divmod(product.megabytes, 1024)
    if rest or name.suffix not in SUFFIXES or not name.digits:
        return None
    model = f"{name.number}{SUFFIXES[name.suffix]}"
    if product.year >= 2019:
        size = f"{whole:02d}" if whole >= 10 or dice.chance(0.2) else str(whole)
        return model_code(f"VCG{model}{size}{dice.pick(FANS)}")
    kind = "D3" if product.memory_digit == "3" else ""
    tail = dice.pick(("XPB", "PB", "XPB-OC", "PB-CG", "XGPB-OC", "PB-BB", "XPB-PORT"))
    text = f"VCG{name.main_series}{model}{whole}{kind}{tail}"
    return model_code(text)
