"""Sapphire, XFX, PowerColor, ASRock, HIS, Diamond, Club3D."""

from __future__ import annotations

from rerank.bootstrap.dice import Dice
from rerank.bootstrap.part_numbers.code import Code, full_code, letters, model_code
from rerank.bootstrap.product import Product

SAPPHIRE = {
    "HD7950": "11196",
    "HD7970": "11197",
    "HD7850": "11200",
    "R9290X": "11226",
    "R9290": "11227",
    "RX480": "11260",
    "RX580": "11265",
    "RX570": "11266",
    "RX590": "11289",
    "RX5700XT": "11293",
    "RX5700": "11294",
    "RX5500XT": "11295",
    "RX5600XT": "11296",
    "RX6800XT": "11304",
    "RX6800": "11305",
    "RX6700XT": "11306",
    "RX6900XT": "11308",
    "RX6600XT": "11309",
    "RX6600": "11310",
    "RX7900XTX": "11322",
    "RX7900XT": "11323",
    "RX7600": "11324",
    "RX7900GRE": "11325",
    "RX7800XT": "11330",
    "RX7700XT": "11335",
    "RX7600XT": "11339",
    "RX9070XT": "11348",
    "RX9070": "11349",
    "RX9060XT": "11350",
}


def sapphire_code(product: Product, dice: Dice) -> Code | None:
    """Return a known Sapphire code: ``11265-05-20G``."""
    name = product.name
    head = SAPPHIRE.get(f"{name.main_series}{name.number}{name.suffix}")
    if head is None or not product.radeon:
        return None
    tail = dice.pick(("-20G", "-20G", "-40G", "-10G", ""))
    return model_code(f"{head}-0{dice.pick('1234567')}{tail}")


def xfx_code(product: Product, dice: Dice) -> Code | None:
    """Return an XFX code: ``RX-580P8DFD6``, ``RX-67XT12DFD``, ``HD-697A-CNFC``."""
    name = product.name
    series = name.main_series
    if not product.radeon or series not in ("RX", "R9", "R7", "HD") or not name.digits:
        return None
    whole = product.megabytes // 1024
    if series == "RX" and len(name.digits) == 3:
        return full_code(f"RX-{name.number}P{whole}{letters(3, dice)}{dice.pick('5678')}")
    if series == "RX":
        short = {"XTX": "X", "XT": "XT", "GRE": "GRE"}.get(name.suffix, "P")
        return model_code(f"RX-{name.number[:2]}{short}{letters(4, dice)}{dice.pick('9DQPY')}")
    if series == "HD":
        return model_code(f"HD-{name.number[:3]}{dice.pick('AXN')}-{letters(4, dice)}")
    return model_code(f"{series}-{name.number}{dice.pick('AP')}-{letters(4, dice)}")


def powercolor_code(product: Product, dice: Dice) -> Code | None:
    """Return a PowerColor code: ``AXRX 580 8GBD5-3DHDV2/OC``, ``RX7900XTX 24G-L/OC``."""
    name = product.name
    if not product.radeon or not name.number.isdigit():
        return None
    model = f"{name.number}{name.suffix}"
    over = dice.pick(("/OC", "", "/OC"))
    if product.year >= 2022:
        return full_code(f"RX{model} {product.size}-{dice.pick('LEAFPB')}{over}")
    kind = f"BD{product.memory_digit}" if "G" in product.size else "D"
    memory = f"{product.size}{kind}"
    tail = dice.pick(("3DHD", "DH", "DHE", "3DHE", "M3DH", "2DH", "3DHDV2", "PPDHE", "TDHE"))
    series = name.main_series if name.main_series in ("RX", "R9", "R7", "R5") else ""
    head = f"AX{series}{' ' if series else ''}{model}"
    return full_code(f"{head} {memory}-{tail}{over}")


def asrock_code(product: Product, dice: Dice) -> Code | None:
    """Return an ASRock code: ``RX6800XT PGD 16GO``."""
    name = product.name
    if not product.radeon or name.main_series != "RX" or not name.number.isdigit():
        return None
    line = dice.pick(("PGD", "CLD", "CLI", "SLD", "TC", "PG", "CL"))
    over = dice.pick(("O", "", "OC"))
    return full_code(f"RX{name.number}{name.suffix} {line} {product.size}{over}")


def his_code(product: Product, dice: Dice) -> Code | None:
    """Return a HIS code: ``H787QN2G2M``, ``HS-580R8LCBR``."""
    name = product.name
    if not product.radeon or not name.number.isdigit() or name.suffixes:
        return None
    whole = product.megabytes // 1024
    if name.main_series == "RX" and len(name.number) == 3 and whole:
        return full_code(f"HS-{name.number}R{whole}L{letters(3, dice)}")
    if name.main_series == "HD" and name.number.endswith("0"):
        size = product.size.removesuffix("M")
        return model_code(
            f"H{name.number[:3]}{dice.pick(('QN', 'FN', 'F', 'Q', 'FS'))}{size}"
            f"{dice.pick(('', '2M', 'D', 'P'))}"
        )
    return None


def diamond_code(product: Product, dice: Dice) -> Code | None:
    """Return a Diamond code: ``R9280XD53GXOC``, ``6450PE31GSS``."""
    name = product.name
    if not product.radeon or not name.digits or "G" not in product.size:
        return None
    if name.main_series in ("R9", "R7"):
        kind = f"D{product.memory_digit}"
        tail = dice.pick(("XOC", "", "V"))
        return full_code(f"{name.main_series}{name.number}{kind}{product.size}{tail}")
    if name.main_series == "HD":
        kind = f"PE{product.memory_digit}"
        return full_code(f"{name.number}{kind}{product.size}{dice.pick(('', 'SS', 'V', 'XOC'))}")
    return None
