"""EVGA, Zotac, Palit, Gainward, Inno3D, Galax, AFOX, Colorful, ECS, Sparkle, BFG."""

from __future__ import annotations

import re

from rerank.bootstrap.dice import Dice
from rerank.bootstrap.part_numbers.code import (
    Code,
    digits,
    full_code,
    letters,
    model_code,
    shop_code,
)
from rerank.bootstrap.product import Product

# Zotac counts a family's members in one digit; learned from its catalogue.
ZOTAC = {
    "1030": "P1030",
    "1050": "P1050",
    "1050TI": "P1051",
    "1060": "P1060",
    "1070": "P1070",
    "1070TI": "P1071",
    "1080": "P1080",
    "1080TI": "P1081",
    "1650": "T1650",
    "1650SUPER": "T1651",
    "1660": "T1660",
    "1660TI": "T1661",
    "1660SUPER": "T1662",
    "2060": "T2060",
    "2060SUPER": "T2061",
    "2070": "T2070",
    "2070SUPER": "T2071",
    "2080": "T2080",
    "2080TI": "T2081",
    "2080SUPER": "T2082",
    "3050": "A3050",
    "3060": "A3060",
    "3060TI": "A3061",
    "3070": "A3070",
    "3070TI": "A3071",
    "3080": "A3080",
    "3080TI": "A3081",
    "3090": "A3090",
    "3090TI": "A3091",
    "4060": "D4060",
    "4060TI": "D4061",
    "4070": "D4070",
    "4070TI": "D4071",
    "4070SUPER": "D4072",
    "4070TISUPER": "D4073",
    "4080": "D4081",
    "4080SUPER": "D4082",
    "4090": "D4090",
    "5050": "B5050",
    "5060": "B5060",
    "5060TI": "B5061",
    "5070": "B5070",
    "5070TI": "B5071",
    "5080": "B5080",
    "5090": "B5090",
}
PALIT_GENERATION = {"10": "5", "20": "6", "30": "6", "40": "D", "50": "7"}
EVGA_CORE = re.compile(r"P[1-5]-")
SHORT_SUFFIX = {"": "", "TI": "T", "SUPER": "S", "TISUPER": "TS"}


def evga_code(product: Product, dice: Dice) -> Code | None:
    """Return memory code, registry core and a random rest: ``04G-P4-6253-KR``."""
    cores = [p for p in product.record.part_numbers if EVGA_CORE.match(p)]
    if not cores:
        return None
    core = dice.pick(cores)
    core += digits(max(0, 7 - len(core)), dice)
    size = product.megabytes
    if size % 1024 == 0:
        head = f"{size // 1024:02d}G"
    else:
        head = f"{size // 100:03d}" if size > 1024 else str(size)
    tail = dice.pick(("KR", "KR", "KR", "KL", "AR", "RX", "KB", "TR", "BR"))
    return full_code(f"{head}-{core}-{tail}")


def zotac_code(product: Product, dice: Dice) -> Code | None:
    """Return a ``ZT-A30600H-10M`` style code."""
    head = ZOTAC.get(product.name.number + product.name.suffix) if product.geforce else None
    if head is None:
        return None
    variant = f"0{dice.pick('ABCDEFHJKQ')}"
    return model_code(f"ZT-{head}{variant}-10{dice.pick('LMPB')}")


def palit_code(product: Product, dice: Dice) -> Code | None:
    """Return a Palit or Gainward code: ``NE63070019P2-1041A``."""
    number, suffix = product.name.number, product.name.suffix
    generation = PALIT_GENERATION.get(number[:2]) if len(number) == 4 else None
    if generation is None or not product.geforce or suffix not in SHORT_SUFFIX:
        return None
    short = SHORT_SUFFIX[suffix]
    model = number[:3] + short if short else number
    rest = f"{dice.pick(('0', 'S', 'T0', 'U0'))}{dice.pick(('19', '18', '15', '16'))}"
    chip = f"{dice.pick('PJGKT')}{dice.pick('1256')}-{digits(3, dice)}{dice.pick('0123456789AB')}"
    return model_code(f"NE{generation}{model}{rest}{chip}{dice.pick('FACLXB')}")


def inno3d_code(product: Product, dice: Dice) -> Code | None:
    """Return an Inno3D code: ``N30602-12D6-119032AH``."""
    name = product.name
    if not product.geforce or name.suffix not in SHORT_SUFFIX or product.year < 2016:
        return None
    short = SHORT_SUFFIX[name.suffix]
    model = name.number[:3] + short if short else name.number
    whole = product.megabytes // 1024
    if product.year < 2019:
        return full_code(f"N{model}-{dice.pick('1234')}DDN-N{whole}G{letters(1, dice)}")
    kind = f"D{product.memory_digit}{'X' if product.record.memory_type.endswith('X') else ''}"
    tail = f"{digits(6, dice)}{dice.pick(('AH', 'L', 'N', 'AC', 'H', 'LH'))}"
    return full_code(f"N{model}{dice.pick('23')}-{whole:02d}{kind}-{tail}")


def galax_code(product: Product, dice: Dice) -> Code | None:
    """Return a Galax or KFA2 code: ``37NSL6MD1SAA``."""
    name = product.name
    if not product.geforce or len(name.number) != 4 or name.suffixes:
        return None
    head = f"{name.number[0]}{name.number[2]}N{dice.pick(('SL', 'RL', 'WM', 'SM', 'PH'))}"
    fan, board = dice.pick("34678"), f"{letters(2, dice)}{digits(1, dice)}"
    return shop_code(f"{head}{fan}{board}{letters(3, dice)}")


def afox_code(product: Product, dice: Dice) -> Code | None:
    """Return an AFOX code: ``AF730-2048D3L5``, ``AFRX560D-4096D5H4-V3``."""
    name = product.name
    if not name.digits or not (product.geforce or product.radeon):
        return None
    series = "" if product.geforce else name.main_series
    version = f"-V{dice.pick('123457')}" if dice.chance(0.5) else ""
    memory = f"{product.megabytes}D{product.memory_digit}{dice.pick('LH')}{dice.pick('2345678')}"
    return full_code(f"AF{series}{name.number}{name.suffix}-{memory}{version}")


def colorful_code(product: Product, dice: Dice) -> Code | None:
    """Return a Colorful product name: ``iGame RTX 3060 Ultra W OC 12G-V``."""
    if not product.geforce:
        return None
    name = product.name
    line = dice.pick(("NB DUO", "NB EX", "Ultra W OC", "Ultra OC", "Advanced OC", "Battle-Ax"))
    return full_code(
        f"{' '.join((*name.series, name.number, *name.suffixes))} {line} "
        f"{product.size}{dice.pick(('-V', ' V', 'B-V'))}"
    )


def ecs_code(product: Product, dice: Dice) -> Code | None:
    """Return an ECS code: ``NGTS450-1GPI-F``."""
    name = product.name
    if not product.geforce or not name.series or product.year > 2014:
        return None
    head = f"N{name.main_series}{name.number}{dice.pick(('', 'C'))}"
    return full_code(f"{head}-{product.size}{letters(2, dice)}{dice.pick(('-F', '-F2', ''))}")


def sparkle_code(product: Product, dice: Dice) -> Code | None:
    """Return a Sparkle code: ``SX9800GT512D3``."""
    name = product.name
    if not product.geforce or product.year > 2012:
        return None
    model = f"{name.main_series}{name.number}{name.suffix}"
    return full_code(f"S{dice.pick('XF')}{model}{product.megabytes}D{product.memory_digit}")


def bfg_code(product: Product, dice: Dice) -> Code | None:
    """Return a BFG code: ``BFGR88512GTE``."""
    name = product.name
    if not product.geforce or product.year > 2010 or not name.number.isdigit():
        return None
    tail = name.suffix or name.main_series
    return shop_code(
        f"BFG{dice.pick(('R', 'E', ''))}{name.number[:2]}{product.megabytes}{tail}"
        f"{dice.pick(('E', 'OCE', 'OC2E'))}"
    )
