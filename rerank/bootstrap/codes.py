"""Part numbers as board partners build them from a model: partners' rules as tables.

A partner's rules stand in `PARTNERS`; the first that fits a product writes the code. A rule's
text is a template of `rerank.bootstrap.grammar` with fields of its own: ``{?ABC}`` is one of the
letters, ``{#3}`` three digits, ``{@3}`` three capitals, any other name one of `_FIELDS`. Draws are
made in reading order, those of `Rule.first` before the rest: with another order the same seed
would write other listings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rerank.bootstrap.catalog import Product
from rerank.bootstrap.grammar import Dice, fill, parse

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
DIGITS = "0123456789"


class PartNumber(NamedTuple):
    """A part number, and whether it spells the model and the memory size."""

    text: str
    identifies: bool
    states_memory: bool


# What a code says: model and memory, the model alone, or nothing but to its maker.
FULL, MODEL, SHOP = (True, True), (True, False), (False, False)


@dataclass(frozen=True, slots=True)
class Rule:
    """How a partner writes the codes of some of its products.

    :param when: which products.
    :param text: the template; None for no code.
    :param says: what the code identifies.
    :param first: parts by name that are drawn before the rest of the text.
    :param chance: share of these products; for the others the next rules are asked.
    """

    when: Callable[[Product], bool]
    text: str | None
    says: tuple[bool, bool] = FULL
    first: Mapping[str, str] = field(default_factory=dict)
    chance: float = 1.0


def letters(n: int, dice: Dice) -> str:
    """Return n random capitals."""
    return "".join(dice.pick(LETTERS) for _ in range(n))


def digits(n: int, dice: Dice) -> str:
    """Return n random digits."""
    return "".join(dice.pick(DIGITS) for _ in range(n))


def part_number(partner: str, product: Product, dice: Dice) -> PartNumber | None:
    """Return a code of a product by a partner's rules, or None if it has none for it.

    :param partner: the ``codes`` column of partners.yaml.
    """
    for rule in PARTNERS.get(partner, ()):
        if rule.when(product) and (rule.chance == 1.0 or dice.chance(rule.chance)):
            bound: dict[str, str] = {}
            for name, text in rule.first.items():
                bound[name] = _filled(text, product, dice, bound)
            if rule.text is None:
                return None
            return PartNumber(_filled(rule.text, product, dice, bound), *rule.says)
    return None


def _filled(text: str, product: Product, dice: Dice, bound: Mapping[str, str]) -> str:
    def written(name: str) -> str:
        if name in bound:
            return bound[name]
        drawn = _DRAWS.get(name[0])
        return drawn(name[1:], dice) if drawn else _FIELDS[name](product, dice)

    return fill(parse(text), written, dice)


_DRAWS: Mapping[str, Callable[[str, Dice], str]] = {
    "?": lambda items, dice: dice.pick(items),
    "#": lambda n, dice: digits(int(n), dice),
    "@": lambda n, dice: letters(int(n), dice),
}
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
FERMI = {"560": "56G", "560TI": "560", "550TI": "550"}  # Gigabyte's plain number is the Ti here
SHORT_SUFFIX = {"": "", "TI": "T", "SUPER": "S", "TISUPER": "TS"}
XFX_SUFFIX = {"XTX": "X", "XT": "XT", "GRE": "GRE"}
ASUS_SUFFIX = {"SUPER": "S", "TISUPER": "TIS"}
ASUS_LINES = (
    (2019, ("DUAL", "ROG-STRIX", "STRIX", "PH", "TURBO", "EX", "CERBERUS", "TUF")),
    (2023, ("DUAL", "ROG-STRIX", "TUF", "PH", "KO", "TURBO", "TUF 3")),
    (9999, ("DUAL", "ROG-STRIX", "TUF", "PROART", "PRIME", "TX", "ROG-ASTRAL", "T1")),
)
ASUS_GAMING_LINES = ("TUF", "ROG-STRIX", "KO", "TUF 3", "T1", "TX")
ASUS_TAILS = (
    "",
    "",
    "",
    "-GAMING",
    "-GAMING",
    "-V2",
    "-EVO",
    "-WHITE",
    "-V2-GAMING",
    "-MINI",
    "-BTF",
)
EVGA_CORE = re.compile(r"P[1-5]-")
MSI_SUFFIX = {"TI": "Ti", "TIBOOST": "Ti"}
MSI_LINES = (
    (2019, "GAMING X|ARMOR|AERO ITX|GAMING|GAMING Z|SEA HAWK X|DUKE".split("|")),
    (
        2022,
        "VENTUS 2X|VENTUS 3X|GAMING X|GAMING X TRIO|GAMING Z TRIO|SUPRIM X|AERO ITX|MECH 2X|ARMOR"
        "|VENTUS XS|GAMING Z".split("|"),
    ),
    (
        9999,
        "VENTUS 2X|VENTUS 3X|GAMING TRIO|GAMING X SLIM|SUPRIM X|SHADOW 2X|INSPIRE 2X|VANGUARD SOC"
        "|EXPERT|GAMING X TRIO|VENTUS 2X WHITE".split("|"),
    ),
)


def _asus_modern(product: Product, dice: Dice) -> str:
    line = dice.pick(next(lines for until, lines in ASUS_LINES if product.year < until))
    over = "O" if dice.chance(0.6) else ""
    tail = dice.pick(ASUS_TAILS)
    if line in ASUS_GAMING_LINES and "GAMING" not in tail and dice.chance(0.75):
        tail += "-GAMING"
    kind = "D6" if product.memory_digit == "6" and product.name.number == "1650" else ""
    return f"{line}-{_asus_model(product)}-{over}{product.size}{kind}{tail}"


def _asus_model(product: Product) -> str:
    """Return series, number and suffix joined: ``RTX4070TIS``, ``R9280X``."""
    name = product.name
    suffix = ASUS_SUFFIX.get(name.suffix, name.suffix)
    return f"{''.join(name.series).upper()}{name.number}{suffix}"


def _asus_spaced(product: Product, dice: Dice) -> str:
    apart = product.name.suffixes == ("Ti",) and dice.chance(0.4)
    model = _asus_model(product)
    return model.replace("TI", " TI") if apart else model


def _gigabyte_model(product: Product, dice: Dice) -> str:
    """Return the model part: ``N306T``, ``R928X``, ``R797``; empty where the rule is unknown."""
    text = next((text for fits, text in GIGABYTE_MODELS if fits(product)), "")
    return _filled(text, product, dice, {})


def _gigabyte_geforce(product: Product) -> bool:
    name = product.name
    series = name.series in ((), ("GT",), ("GTX",), ("GTS",), ("RTX",))
    return product.geforce and product.year >= 2009 and name.suffix in SHORT_SUFFIX and series


def _gigabyte_rx(product: Product, dice: Dice) -> str:
    number = product.name.number
    return number if number >= "9000" else number[:2] if number.endswith("00") else number[:3]


def _gigabyte_small(product: Product) -> bool:
    return product.name.main_series == "GT" or product.memory_digit == "3"


def _short_number(product: Product) -> str:
    """Return the number with a one-letter suffix, which pushes its last digit out: ``306T``."""
    number, short = product.name.number, SHORT_SUFFIX.get(product.name.suffix, "")
    return number[:-1] + short if short else number


def _msi_modern(product: Product, dice: Dice) -> str:
    """Return size and line in either order; small and some older cards have no line."""
    if product.name.main_series == "GT" or (product.year < 2019 and dice.chance(0.3)):
        return _filled("{words} {size}<T|H|>{msi_kind}<| LP>", product, dice, {})
    line = dice.pick(next(lines for until, lines in MSI_LINES if product.year < until))
    return _filled("{words} <{size} {line}|{line} {size}>", product, dice, {"line": line})


def _evga_size(product: Product) -> str:
    size = product.megabytes
    if size % 1024 == 0:
        return f"{size // 1024:02d}G"
    return f"{size // 100:03d}" if size > 1024 else str(size)


def _evga_cores(product: Product) -> list[str]:
    return [p for p in product.record.part_numbers if EVGA_CORE.match(p)]


def _pny_suffix(product: Product) -> str:
    name = product.name
    ada = "Ada" in name.suffixes and "SFF" not in name.suffixes
    return "ADA" if ada else name.suffix.replace("BLACKWELL", "")


def _pny_size(product: Product, dice: Dice) -> str:
    whole = product.megabytes // 1024
    return f"{whole:02d}" if whole >= 10 or dice.chance(0.2) else str(whole)


_FIELDS: Mapping[str, Callable[[Product, Dice], str]] = {
    "number": lambda p, _: p.name.number,
    "number2": lambda p, _: p.name.number[:2],
    "number3": lambda p, _: p.name.number[:3],
    "suffix": lambda p, _: p.name.suffix,
    "series": lambda p, _: p.name.main_series,
    "words": lambda p, _: " ".join((*p.name.series, p.name.number, *p.name.suffixes)),
    "short_number": lambda p, _: _short_number(p),
    "short": lambda p, _: SHORT_SUFFIX[p.name.suffix],
    "size": lambda p, _: p.size,
    "megabytes": lambda p, _: str(p.megabytes),
    "gigabytes": lambda p, _: str(p.megabytes // 1024),
    "gigabytes2": lambda p, _: f"{p.megabytes // 1024:02d}",
    "digit": lambda p, _: p.memory_digit,
    "kind": lambda p, _: f"D{p.memory_digit}",
    "afox_series": lambda p, _: "" if p.geforce else p.name.main_series,
    "asus": lambda p, _: _asus_model(p),
    "asus_spaced": _asus_spaced,
    "asus_modern": _asus_modern,
    "asus_strix": lambda p, d: "STRIX-" if p.year >= 2014 and d.chance(0.5) else "",
    "asus_old": lambda p, _: "EN" if p.geforce else "EAH" if p.name.main_series == "HD" else "EAX",
    "asus_old_series": lambda p, _: (
        "".join(p.name.series) if p.name.main_series in ("GTX", "GTS", "GT") else ""
    ),
    "asus_old_kind": lambda p, _: f"D{p.memory_digit}" if p.year >= 2008 else "",
    "bfg_tail": lambda p, _: p.name.suffix or p.name.main_series,
    "evga_size": lambda p, _: _evga_size(p),
    "evga_core": lambda p, d: (core := d.pick(_evga_cores(p))) + digits(max(0, 7 - len(core)), d),
    "fermi": lambda p, _: FERMI[p.name.number + p.name.suffix],
    "galax": lambda p, _: p.name.number[0] + p.name.number[2],
    "gigabyte": _gigabyte_model,
    "gigabyte_rx": _gigabyte_rx,
    "gigabyte_r": lambda p, _: (
        f"{p.name.main_series[1]}{p.name.digits[:2]}{p.name.number.removeprefix(p.name.digits)}"
    ),
    "gigabyte_size": lambda p, _: f"{p.size[:-1]}GD" if "G" in p.size else f"{p.size}I",
    "gigabyte_revision": lambda p, d: d.pick((" rev 2.0", " (rev. 1.0)")) if d.chance(0.06) else "",
    "his_size": lambda p, _: p.size.removesuffix("M"),
    "inno3d_x": lambda p, _: "X" if p.record.memory_type.endswith("X") else "",
    "msi_modern": _msi_modern,
    "msi_kind": lambda p, _: {"4": "D4", "6": "D6"}.get(p.memory_digit, ""),
    "msi_r": lambda p, _: "R" if p.name.main_series == "HD" else p.name.main_series,
    "msi_suffix": lambda p, _: MSI_SUFFIX.get(p.name.suffix, p.name.suffix),
    "msi_boost": lambda p, _: " BE" if "BOOST" in p.name.suffix else "",
    "msi_apart": lambda p, _: f"-{p.name.suffixes[0]}" if p.name.suffixes else "",
    "msi_amount": lambda p, _: "15" if p.megabytes == 1536 else p.size.rstrip("GM"),
    "msi_old": lambda p, _: "NX" if p.geforce else "RX" if p.name.number.startswith("X") else "R",
    "number_x": lambda p, _: p.name.number.lstrip("X"),
    "palit": lambda p, _: PALIT_GENERATION[p.name.number[:2]],
    "pny_series": lambda p, _: "".join(p.name.series),
    "pny_rtx": lambda p, _: "RTX" if p.name.main_series == "RTX" else "",
    "pny_suffix": lambda p, _: _pny_suffix(p),
    "pny_size": _pny_size,
    "pny_kind": lambda p, _: "D3" if p.memory_digit == "3" else "",
    "powercolor_series": lambda p, _: (
        f"{p.name.main_series} " if p.name.main_series in ("RX", "R9", "R7", "R5") else ""
    ),
    "powercolor_kind": lambda p, _: f"BD{p.memory_digit}" if "G" in p.size else "D",
    "sapphire": lambda p, _: SAPPHIRE[_sapphire_key(p)],
    "xfx_suffix": lambda p, _: XFX_SUFFIX.get(p.name.suffix, "P"),
    "zotac": lambda p, _: ZOTAC[p.name.number + p.name.suffix],
}


def _sapphire_key(product: Product) -> str:
    return f"{product.name.main_series}{product.name.number}{product.name.suffix}"


def _in(product: Product, *series: str) -> bool:
    return product.name.main_series in series


def _consumer(product: Product) -> bool:
    """Return whether it is a GeForce or Radeon whose name has digits."""
    return (product.geforce or product.radeon) and bool(product.name.digits)


def _radeon_number(product: Product) -> bool:
    return product.radeon and product.name.number.isdigit()


def _always(product: Product) -> bool:
    return True


# Which products, and the model part of Gigabyte's code.
GIGABYTE_MODELS: tuple[tuple[Callable[[Product], bool], str], ...] = (
    (
        lambda p: _gigabyte_geforce(p) and p.name.number == "1650" and p.memory_digit == "6",
        "N1656",
    ),
    (lambda p: _gigabyte_geforce(p) and p.name.number + p.name.suffix in FERMI, "N{fermi}"),
    (_gigabyte_geforce, "N{short_number}"),
    (
        lambda p: p.radeon and _in(p, "RX") and len(p.name.digits) == len(p.name.number) == 4,
        "R{gigabyte_rx}{suffix}",
    ),
    (lambda p: _radeon_number(p) and _in(p, "RX"), "RX{number}{suffix}"),
    (
        lambda p: p.radeon and _in(p, "R7", "R9", "R5") and bool(p.name.digits),
        "R{gigabyte_r}{suffix}",
    ),
    (lambda p: p.radeon and _in(p, "HD") and not p.name.suffixes, "R{number3}"),
    (lambda p: p.name.brand == ("Arc",), "I{number}"),
)
_GIGABYTE_COOLERS_20 = (
    "GAMING OC|GAMING|EAGLE OC|EAGLE|VISION OC|AORUS M|AERO OC|WF2OC|WF3OC|OC|TURBO|AORUS X|WF3"
    "|GAMINGOC PRO|AORUSM ICE"
)
_GIGABYTE_COOLERS_14 = "WF2OC|WF2|WF3OC|G1 GAMING|OC|XTREME|IXOC|D5|WF3X|GAMING"
_MSI_OVER = {"over": "</OC||/OC|/LP>"}
_DIRECT_CU = {
    "model": "{asus_spaced}",
    "cooler": "<DC2|DC2O|DC2T|DC2OC|DCMOC|DCSL|SL|OC|DC2OCPH>",
    "line": "{asus_strix}",
    "tail": "<||-L|-BRK|-GAMING|-CSM>",
}
_PNY_TAIL = {"tail": "<-PB|-PB|-SB|-BLK|-T|BLK-1|-PORPB>"}

PARTNERS: Mapping[str, tuple[Rule, ...]] = {
    "afox": (
        Rule(
            _consumer,
            "AF{afox_series}{number}{suffix}-{megabytes}{kind}{?LH}{?2345678}{version}",
            first={"version": "[-V{?123457}]"},
        ),
    ),
    "asrock": (
        Rule(
            lambda p: _radeon_number(p) and _in(p, "RX"),
            "RX{number}{suffix} <PGD|CLD|CLI|SLD|TC|PG|CL> {size}<O||OC>",
        ),
    ),
    "asus": (
        Rule(lambda p: not _consumer(p), None),
        Rule(
            lambda p: (p.year >= 2016 or p.name.number == "1030") and _in(p, "GT"),
            "{asus}-<|SL->{size}{tail}",
            first={"tail": "<|-BRK|-BRK-EVO|-CSM>"},
        ),
        Rule(lambda p: p.year >= 2016 or p.name.number == "1030", "{asus_modern}"),
        Rule(
            lambda p: p.year >= 2012 and p.memory_digit == "3",
            "{model}-<SL-|MG-|>{size}{kind}<|-L|-BRK>",
            first=_DIRECT_CU,
        ),
        Rule(
            lambda p: p.year >= 2012,
            "{line}{model}-{cooler}-{size}{kind}{tail}",
            first=_DIRECT_CU,
        ),
        Rule(
            _always,
            "{asus_old}{asus_old_series}{number_x}{suffix}<|| SILENT| TOP| DirectCU| FORMULA>"
            "/<DI|2DI|HTDP|HTDI|2DIS|TD>/{size}{asus_old_kind}<|||(LP)|/A|/V2>",
        ),
    ),
    "bfg": (
        Rule(
            lambda p: p.geforce and p.year <= 2010 and p.name.number.isdigit(),
            "BFG<R|E|>{number2}{megabytes}{bfg_tail}<E|OCE|OC2E>",
            SHOP,
        ),
    ),
    "colorful": (
        Rule(
            lambda p: p.geforce,
            "{words} <NB DUO|NB EX|Ultra W OC|Ultra OC|Advanced OC|Battle-Ax> {size}<-V| V|B-V>",
        ),
    ),
    "diamond": (
        Rule(lambda p: not (p.radeon and p.name.digits and "G" in p.size), None),
        Rule(lambda p: _in(p, "R9", "R7"), "{series}{number}{kind}{size}<XOC||V>"),
        Rule(lambda p: _in(p, "HD"), "{number}PE{digit}{size}<|SS|V|XOC>"),
    ),
    "ecs": (
        Rule(
            lambda p: p.geforce and bool(p.name.series) and p.year <= 2014,
            "N{series}{number}<|C>-{size}{@2}<-F|-F2|>",
        ),
    ),
    "evga": (
        Rule(
            lambda p: bool(_evga_cores(p)),
            "{evga_size}-{evga_core}-<KR|KR|KR|KL|AR|RX|KB|TR|BR>",
        ),
    ),
    "galax": (
        Rule(
            lambda p: p.geforce and len(p.name.number) == 4 and not p.name.suffixes,
            "{galax}N<SL|RL|WM|SM|PH>{?34678}{@2}{#1}{@3}",
            SHOP,
        ),
    ),
    "gigabyte": (
        Rule(lambda p: not any(fits(p) for fits, _ in GIGABYTE_MODELS), None),
        Rule(
            lambda p: _gigabyte_small(p) and "G" in p.size,
            "GV-{gigabyte}<OC|D5|SL|D3|>-{gigabytes}<GI|GL>{gigabyte_revision}",
        ),
        Rule(
            _gigabyte_small,
            "GV-{gigabyte}{cooler}-{size}I{gigabyte_revision}",
            first={"cooler": "<OC|D5|SL|D3|>", "unused": "<GI|GL>"},
        ),
        Rule(
            lambda p: p.year >= 2019,
            f"GV-{{gigabyte}}<{_GIGABYTE_COOLERS_20}>-{{gigabyte_size}}{{gigabyte_revision}}",
        ),
        Rule(
            lambda p: p.year >= 2014,
            f"GV-{{gigabyte}}<{_GIGABYTE_COOLERS_14}>-{{gigabyte_size}}{{gigabyte_revision}}",
        ),
        Rule(
            _always,
            "GV-{gigabyte}<OC|D5|WF3|WF2|UD|SL|D3|ZL|SO|>-{gigabyte_size}{gigabyte_revision}",
        ),
    ),
    "his": (
        Rule(lambda p: not _radeon_number(p) or bool(p.name.suffixes), None),
        Rule(
            lambda p: _in(p, "RX") and len(p.name.number) == 3 and p.megabytes >= 1024,
            "HS-{number}R{gigabytes}L{@3}",
        ),
        Rule(
            lambda p: _in(p, "HD") and p.name.number.endswith("0"),
            "H{number3}<QN|FN|F|Q|FS>{his_size}<|2M|D|P>",
            MODEL,
        ),
    ),
    "inno3d": (
        Rule(lambda p: not p.geforce or p.name.suffix not in SHORT_SUFFIX or p.year < 2016, None),
        Rule(lambda p: p.year < 2019, "N{short_number}-{?1234}DDN-N{gigabytes}G{@1}"),
        Rule(
            _always,
            "N{short_number}{?23}-{gigabytes2}{kind}{inno3d_x}-{tail}",
            first={"tail": "{#6}<AH|L|N|AC|H|LH>"},
        ),
    ),
    "msi": (
        Rule(lambda p: not _consumer(p), None),
        Rule(lambda p: p.year >= 2014, "912-V{#3}-{#3}", SHOP, chance=0.05),
        Rule(
            lambda p: p.year >= 2016 or p.name.number == "1030",
            "{msi_modern}{over}",
            first={"over": "< OC| OC|>"},
        ),
        Rule(lambda p: p.year >= 2014, "{words} GAMING {size}", chance=0.4),
        Rule(lambda p: p.year >= 2014, "{words} {size}{kind}<T OC| OC|T LP OC|T|>"),
        Rule(
            lambda p: p.year >= 2009 and not p.geforce,
            "{msi_r}{number}{suffix}-<2PMD|PMD|MD|TWIN FROZR >{size}{kind}{over}",
            first=_MSI_OVER,
        ),
        Rule(
            lambda p: p.year >= 2012,
            "N{number}{msi_suffix}-<|PE-|TF-|GAMING |MD>{size}{kind}{over}{msi_boost}",
            first=_MSI_OVER,
        ),
        Rule(
            lambda p: p.year >= 2009,
            "N{number}{series}{msi_apart}-<M2D|MD|T2D>{msi_amount}{kind}{over}",
            first=_MSI_OVER,
        ),
        Rule(_always, "{msi_old}{number_x}{suffix}-<T2D|TD|MD>{megabytes}<E|E-HD|EH|Z|>"),
    ),
    "palit": (
        Rule(
            lambda p: (
                p.geforce
                and len(p.name.number) == 4
                and p.name.number[:2] in PALIT_GENERATION
                and p.name.suffix in SHORT_SUFFIX
            ),
            "NE{palit}{short_number}<0|S|T0|U0><19|18|15|16>"
            "{?PJGKT}{?1256}-{#3}{?0123456789AB}{?FACLXB}",
            MODEL,
        ),
    ),
    # Codes of professional cards leave the memory out.
    "pny": (
        Rule(
            lambda p: (
                p.geforce
                and not (
                    p.megabytes % 1024 == 0 and p.name.suffix in SHORT_SUFFIX and p.name.digits
                )
            ),
            None,
        ),
        Rule(
            lambda p: p.geforce and p.year >= 2019,
            "VCG{number}{short}{pny_size}"
            "<DFXPB1|TFXPB1|DFBPB1|TFXXPB1-O|DFXPB1-O|TFXMPB|DFPPB|TFBPB1>",
            MODEL,
        ),
        Rule(
            lambda p: p.geforce,
            "VCG{series}{number}{short}{gigabytes}{pny_kind}"
            "<XPB|PB|XPB-OC|PB-CG|XGPB-OC|PB-BB|XPB-PORT>",
            MODEL,
        ),
        Rule(
            lambda p: p.name.brand == ("Quadro",) and _in(p, "FX"),
            "VCQFX{number}-PCIE{tail}",
            MODEL,
            _PNY_TAIL,
        ),
        Rule(
            lambda p: p.name.brand[:1] == ("Quadro",),
            "VCQ{pny_rtx}{number}{suffix}{tail}",
            MODEL,
            _PNY_TAIL,
        ),
        Rule(
            lambda p: p.name.brand == ("NVS",),
            "VCNVS{number}<VGA|DVI|DP|X1>-PB",
            MODEL,
            _PNY_TAIL,
        ),
        Rule(
            lambda p: not p.name.brand and p.record.vendor == "NVIDIA" and bool(p.name.digits),
            "VCN{pny_series}{number}{pny_suffix}{tail}",
            MODEL,
            _PNY_TAIL,
        ),
        Rule(_always, None, first=_PNY_TAIL),
    ),
    "powercolor": (
        Rule(
            lambda p: _radeon_number(p) and p.year >= 2022,
            "RX{number}{suffix} {size}-{?LEAFPB}{over}",
            first={"over": "</OC||/OC>"},
        ),
        Rule(
            _radeon_number,
            "AX{powercolor_series}{number}{suffix} {size}{powercolor_kind}"
            "-<3DHD|DH|DHE|3DHE|M3DH|2DH|3DHDV2|PPDHE|TDHE>{over}",
            first={"over": "</OC||/OC>"},
        ),
    ),
    "sapphire": (
        Rule(
            lambda p: p.radeon and _sapphire_key(p) in SAPPHIRE,
            "{sapphire}-0{?1234567}{tail}",
            MODEL,
            {"tail": "<-20G|-20G|-40G|-10G|>"},
        ),
    ),
    "sparkle": (
        Rule(
            lambda p: p.geforce and p.year <= 2012,
            "S{?XF}{series}{number}{suffix}{megabytes}{kind}",
        ),
    ),
    "xfx": (
        Rule(lambda p: not (p.radeon and p.name.digits), None),
        Rule(
            lambda p: _in(p, "RX") and len(p.name.digits) == 3,
            "RX-{number}P{gigabytes}{@3}{?5678}",
        ),
        Rule(lambda p: _in(p, "RX"), "RX-{number2}{xfx_suffix}{@4}{?9DQPY}", MODEL),
        Rule(lambda p: _in(p, "HD"), "HD-{number3}{?AXN}-{@4}", MODEL),
        Rule(lambda p: _in(p, "R9", "R7"), "{series}-{number}{?AP}-{@4}", MODEL),
    ),
    "zotac": (
        Rule(
            lambda p: p.geforce and p.name.number + p.name.suffix in ZOTAC,
            "ZT-{zotac}0{?ABCDEFHJKQ}-10{?LMPB}",
            MODEL,
        ),
    ),
}
