"""Part numbers as board partners build them from a model, by partner."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rerank.bootstrap.catalog import Product
from rerank.bootstrap.grammar import Dice

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


def sapphire_code(product: Product, dice: Dice) -> PartNumber | None:
    """Return a known Sapphire code: ``11265-05-20G``."""
    name = product.name
    head = SAPPHIRE.get(f"{name.main_series}{name.number}{name.suffix}")
    if head is None or not product.radeon:
        return None
    tail = dice.pick(("-20G", "-20G", "-40G", "-10G", ""))
    return model_code(f"{head}-0{dice.pick('1234567')}{tail}")


def xfx_code(product: Product, dice: Dice) -> PartNumber | None:
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


def powercolor_code(product: Product, dice: Dice) -> PartNumber | None:
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


def asrock_code(product: Product, dice: Dice) -> PartNumber | None:
    """Return an ASRock code: ``RX6800XT PGD 16GO``."""
    name = product.name
    if not product.radeon or name.main_series != "RX" or not name.number.isdigit():
        return None
    line = dice.pick(("PGD", "CLD", "CLI", "SLD", "TC", "PG", "CL"))
    over = dice.pick(("O", "", "OC"))
    return full_code(f"RX{name.number}{name.suffix} {line} {product.size}{over}")


def his_code(product: Product, dice: Dice) -> PartNumber | None:
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


def diamond_code(product: Product, dice: Dice) -> PartNumber | None:
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


MODERN_SINCE = 2016
DIRECT_CU_SINCE = 2012
SUFFIXES = {"SUPER": "S", "TISUPER": "TIS"}
LINES_16 = ("DUAL", "ROG-STRIX", "STRIX", "PH", "TURBO", "EX", "CERBERUS", "TUF")
LINES_19 = ("DUAL", "ROG-STRIX", "TUF", "PH", "KO", "TURBO", "TUF 3")
LINES_23 = ("DUAL", "ROG-STRIX", "TUF", "PROART", "PRIME", "TX", "ROG-ASTRAL", "T1")
TAILS = ("", "", "", "-GAMING", "-GAMING", "-V2", "-EVO", "-WHITE", "-V2-GAMING", "-MINI", "-BTF")


def asus_code(product: Product, dice: Dice) -> PartNumber | None:
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


LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
DIGITS = "0123456789"


@dataclass(frozen=True, slots=True)
class PartNumber:
    """A part number, and whether it spells the model and the memory size."""

    text: str
    identifies: bool
    states_memory: bool


def letters(n: int, dice: Dice) -> str:
    """Return n random capitals."""
    return "".join(dice.pick(LETTERS) for _ in range(n))


def digits(n: int, dice: Dice) -> str:
    """Return n random digits."""
    return "".join(dice.pick(DIGITS) for _ in range(n))


def full_code(text: str) -> PartNumber:
    """Return a code that spells model and memory."""
    return PartNumber(text, identifies=True, states_memory=True)


def model_code(text: str) -> PartNumber:
    """Return a code that spells the model, but not the memory."""
    return PartNumber(text, identifies=True, states_memory=False)


def shop_code(text: str) -> PartNumber:
    """Return a code that only its maker can read."""
    return PartNumber(text, identifies=False, states_memory=False)


GIGABYTE_SUFFIXES = {"": "", "TI": "T", "SUPER": "S", "TISUPER": "TS"}
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


def gigabyte_code(product: Product, dice: Dice) -> PartNumber | None:
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
        or name.suffix not in GIGABYTE_SUFFIXES
        or name.series not in ((), ("GT",), ("GTX",), ("GTS",), ("RTX",))
    ):
        return None
    if name.number + name.suffix in FERMI:
        return f"N{FERMI[name.number + name.suffix]}"
    short = GIGABYTE_SUFFIXES[name.suffix]
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


MSI_LINES_23 = (
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
MSI_LINES_19 = (
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
MSI_LINES_16 = ("GAMING X", "ARMOR", "AERO ITX", "GAMING", "GAMING Z", "SEA HAWK X", "DUKE")
MSI_SUFFIXES = {"TI": "Ti", "TIBOOST": "Ti"}


def msi_code(product: Product, dice: Dice) -> PartNumber | None:
    """Return an MSI product code of the product's era."""
    if not (product.geforce or product.radeon) or not product.name.digits:
        return None
    if product.year >= 2014 and dice.chance(0.05):
        return shop_code(f"912-V{digits(3, dice)}-{digits(3, dice)}")
    if product.year >= 2016 or product.name.number == "1030":
        return full_code(_modern_msi(product, dice))
    if product.year >= 2014:
        return full_code(_twin_frozr(product, dice))
    if product.year >= 2009:
        return full_code(_n_series(product, dice))
    return full_code(_nx_series(product, dice))


def _words(product: Product) -> str:
    name = product.name
    return " ".join((*name.series, name.number, *name.suffixes))


def _modern_msi(product: Product, dice: Dice) -> str:
    words, size, over = _words(product), product.size, dice.pick((" OC", " OC", ""))
    if product.name.main_series == "GT" or (product.year < 2019 and dice.chance(0.3)):
        kind = {"4": "D4", "6": "D6"}.get(product.memory_digit, "")
        return f"{words} {size}{dice.pick(('T', 'H', ''))}{kind}{dice.pick(('', ' LP'))}{over}"
    year = product.year
    line = dice.pick(
        MSI_LINES_23 if year >= 2022 else MSI_LINES_19 if year >= 2019 else MSI_LINES_16
    )
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
        suffix = MSI_SUFFIXES.get(name.suffix, name.suffix)
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


def evga_code(product: Product, dice: Dice) -> PartNumber | None:
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


def zotac_code(product: Product, dice: Dice) -> PartNumber | None:
    """Return a ``ZT-A30600H-10M`` style code."""
    head = ZOTAC.get(product.name.number + product.name.suffix) if product.geforce else None
    if head is None:
        return None
    variant = f"0{dice.pick('ABCDEFHJKQ')}"
    return model_code(f"ZT-{head}{variant}-10{dice.pick('LMPB')}")


def palit_code(product: Product, dice: Dice) -> PartNumber | None:
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


def inno3d_code(product: Product, dice: Dice) -> PartNumber | None:
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


def galax_code(product: Product, dice: Dice) -> PartNumber | None:
    """Return a Galax or KFA2 code: ``37NSL6MD1SAA``."""
    name = product.name
    if not product.geforce or len(name.number) != 4 or name.suffixes:
        return None
    head = f"{name.number[0]}{name.number[2]}N{dice.pick(('SL', 'RL', 'WM', 'SM', 'PH'))}"
    fan, board = dice.pick("34678"), f"{letters(2, dice)}{digits(1, dice)}"
    return shop_code(f"{head}{fan}{board}{letters(3, dice)}")


def afox_code(product: Product, dice: Dice) -> PartNumber | None:
    """Return an AFOX code: ``AF730-2048D3L5``, ``AFRX560D-4096D5H4-V3``."""
    name = product.name
    if not name.digits or not (product.geforce or product.radeon):
        return None
    series = "" if product.geforce else name.main_series
    version = f"-V{dice.pick('123457')}" if dice.chance(0.5) else ""
    memory = f"{product.megabytes}D{product.memory_digit}{dice.pick('LH')}{dice.pick('2345678')}"
    return full_code(f"AF{series}{name.number}{name.suffix}-{memory}{version}")


def colorful_code(product: Product, dice: Dice) -> PartNumber | None:
    """Return a Colorful product name: ``iGame RTX 3060 Ultra W OC 12G-V``."""
    if not product.geforce:
        return None
    name = product.name
    line = dice.pick(("NB DUO", "NB EX", "Ultra W OC", "Ultra OC", "Advanced OC", "Battle-Ax"))
    return full_code(
        f"{' '.join((*name.series, name.number, *name.suffixes))} {line} "
        f"{product.size}{dice.pick(('-V', ' V', 'B-V'))}"
    )


def ecs_code(product: Product, dice: Dice) -> PartNumber | None:
    """Return an ECS code: ``NGTS450-1GPI-F``."""
    name = product.name
    if not product.geforce or not name.series or product.year > 2014:
        return None
    head = f"N{name.main_series}{name.number}{dice.pick(('', 'C'))}"
    return full_code(f"{head}-{product.size}{letters(2, dice)}{dice.pick(('-F', '-F2', ''))}")


def sparkle_code(product: Product, dice: Dice) -> PartNumber | None:
    """Return a Sparkle code: ``SX9800GT512D3``."""
    name = product.name
    if not product.geforce or product.year > 2012:
        return None
    model = f"{name.main_series}{name.number}{name.suffix}"
    return full_code(f"S{dice.pick('XF')}{model}{product.megabytes}D{product.memory_digit}")


def bfg_code(product: Product, dice: Dice) -> PartNumber | None:
    """Return a BFG code: ``BFGR88512GTE``."""
    name = product.name
    if not product.geforce or product.year > 2010 or not name.number.isdigit():
        return None
    tail = name.suffix or name.main_series
    return shop_code(
        f"BFG{dice.pick(('R', 'E', ''))}{name.number[:2]}{product.megabytes}{tail}"
        f"{dice.pick(('E', 'OCE', 'OC2E'))}"
    )


PNY_SUFFIXES = {"": "", "TI": "T", "SUPER": "S", "TISUPER": "TS"}
FANS = ("DFXPB1", "TFXPB1", "DFBPB1", "TFXXPB1-O", "DFXPB1-O", "TFXMPB", "DFPPB", "TFBPB1")


def pny_code(product: Product, dice: Dice) -> PartNumber | None:
    """Return a PNY part number; those of professional cards leave the memory out."""
    if product.geforce:
        return _geforce_pny(product, dice)
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


def _geforce_pny(product: Product, dice: Dice) -> PartNumber | None:
    name = product.name
    whole, rest = divmod(product.megabytes, 1024)
    if rest or name.suffix not in PNY_SUFFIXES or not name.digits:
        return None
    model = f"{name.number}{PNY_SUFFIXES[name.suffix]}"
    if product.year >= 2019:
        size = f"{whole:02d}" if whole >= 10 or dice.chance(0.2) else str(whole)
        return model_code(f"VCG{model}{size}{dice.pick(FANS)}")
    kind = "D3" if product.memory_digit == "3" else ""
    tail = dice.pick(("XPB", "PB", "XPB-OC", "PB-CG", "XGPB-OC", "PB-BB", "XPB-PORT"))
    text = f"VCG{name.main_series}{model}{whole}{kind}{tail}"
    return model_code(text)


CodeBuilder = Callable[[Product, Dice], PartNumber | None]

# Keys are the ``codes`` column of partners.yaml.
CODE_BUILDERS: Mapping[str, CodeBuilder] = {
    "afox": afox_code,
    "asrock": asrock_code,
    "asus": asus_code,
    "bfg": bfg_code,
    "colorful": colorful_code,
    "diamond": diamond_code,
    "ecs": ecs_code,
    "evga": evga_code,
    "galax": galax_code,
    "gigabyte": gigabyte_code,
    "his": his_code,
    "inno3d": inno3d_code,
    "msi": msi_code,
    "palit": palit_code,
    "pny": pny_code,
    "powercolor": powercolor_code,
    "sapphire": sapphire_code,
    "sparkle": sparkle_code,
    "xfx": xfx_code,
    "zotac": zotac_code,
}
