"""Board partners' part-number stems of a model, by the partners' own naming rules.

``GV-N406T...`` is Gigabyte for GeForce RTX 4060 Ti, ``VCG4060T16...`` PNY, ``ZT-D40610...`` Zotac,
``AX7870...`` PowerColor for Radeon HD 7870. Each rule builds the part of the code that names the
model, so GPUs that appear after this was written get their stems by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rerank.index.naming import ModelName


class Stem(NamedTuple):
    """The naming part of a part number, letters and digits only, lower case.

    ``open_end``: more digits of another meaning may follow at once (PNY's ``VCG5090`` + ``32``).
    ``spelled``: the stem is the plain name without spaces, which people write as well.
    """

    text: str
    open_end: bool = False
    spelled: bool = False


_NVIDIA_LINES = frozenset(["gtx", "gts", "gt", "rtx", "geforce"])
_SHORT_SUFFIX = {
    (): "",
    ("ti",): "t",
    ("super",): "s",
    ("ti", "super"): "ts",
    ("ti", "boost"): "tb",
}
# Zotac's fifth digit tells siblings of one number apart; several digits were used for some.
_ZOTAC_DIGITS = {(): "0", ("ti",): "1", ("super",): "2", ("ti", "super"): "3"}
_ZOTAC_LETTER = {"10": "p", "16": "t", "20": "t", "30": "a", "40": "d", "50": "b"}
_PALIT_PREFIXES = ("ne5", "ne5x", "ne6", "ned", "ne7", "neb")


def stems(name: ModelName) -> list[Stem]:
    """Return the part-number stems of a model, longest rules first, without duplicates."""
    found = dict.fromkeys(stem for rule in _RULES for stem in rule(name) if len(stem.text) >= 4)
    return list(found)


def _is_geforce(name: ModelName) -> bool:
    return (
        name.core.isdigit()
        and not name.prefix
        and name.suffix in _SHORT_SUFFIX
        and bool(_NVIDIA_LINES & set(name.line))
        and "ada" not in name.suffix
        and not {"go", "fx", "mx"} & set(name.line)
        and ("geforce" in name.line)
    )


def _gigabyte_geforce(name: ModelName) -> Iterator[Stem]:
    if not _is_geforce(name):
        return
    short = _SHORT_SUFFIX[name.suffix]
    # Ti and SUPER push the last digit out: 1050 Ti -> N105T, 660 Ti -> N66T.
    number = name.core[:-1] if short else name.core
    yield Stem(f"gvn{number}{short}")
    yield Stem(f"n{number}{short}")


def _msi_geforce(name: ModelName) -> Iterator[Stem]:
    if not _is_geforce(name) or len(name.core) != 3:
        return
    suffix = "".join(name.suffix)
    yield Stem(f"n{name.core}{suffix}")
    for line in set(name.line) & {"gtx", "gts", "gt"}:
        yield Stem(f"n{name.core}{line}{suffix}")
    if name.suffix == ("ti", "boost"):
        yield Stem(f"n{name.core}ti2gd5ocbe")
        yield Stem(f"n{name.core}ti1gd5ocbe")


def _pny(name: ModelName) -> Iterator[Stem]:
    core = name.prefix + name.core
    if _is_geforce(name):
        short = _SHORT_SUFFIX[name.suffix]
        yield Stem(f"vcg{name.core}{short}", open_end=True)
        for line in set(name.line) & {"gtx", "gts", "gt"}:
            yield Stem(f"vcg{line}{name.core}{short}", open_end=True)
            yield Stem(f"vcg{name.core}{line}{short}", open_end=True)
            yield Stem(f"vcgg{line}{name.core}{short}", open_end=True)
            yield Stem(f"rvcgg{line}{name.core}{short}", open_end=True)
    elif "quadro" in name.line and not name.suffix:
        line = "".join(word for word in name.line if word in ("fx", "rtx"))
        yield Stem(f"vcq{line}{core}")
        if "nvs" in name.line:
            yield Stem(f"vcq{core}nvs")
    elif name.line[-1:] == ("nvs",):
        yield Stem(f"vcnvs{core}")
        yield Stem(f"vcq{core}nvs")
    elif "rtx" in name.line or name.prefix == "t":
        yield from _pny_workstation(name, core)
    elif "tesla" in name.line or (not name.line and name.prefix in ("a", "l", "h")):
        yield Stem(f"tcs{core}{''.join(name.suffix)}")


def _pny_workstation(name: ModelName, core: str) -> Iterator[Stem]:
    if "pro" in name.line:
        yield Stem(f"vcnrtxpro{core}")
        yield Stem(f"vcnrtx{core}b")
        return
    suffix = "".join(name.suffix)
    yield Stem(f"vcnrtx{core}{suffix}" if "rtx" in name.line else f"vcn{core}{suffix}")
    if name.suffix == ("sff", "ada"):
        yield Stem(f"vcnrtx{core}sffada")
    if name.suffix == ("e", "ada"):
        yield Stem(f"vcnrtx{core}eada")
        yield Stem(f"vcnrtx{core}adas")


def _evga(name: ModelName) -> Iterator[Stem]:
    """EVGA's four digits are a class and the model's first two digits: P4-2640 is a GT 640."""
    if _is_geforce(name) and len(name.core) == 3 and name.core[0] in "4567":
        for board in ("p3", "p4"):
            for group in "123":
                yield Stem(f"{board}{group}{name.core[:2]}", open_end=True)


def _zotac(name: ModelName) -> Iterator[Stem]:
    if not _is_geforce(name) or len(name.core) != 4 or name.suffix not in _ZOTAC_DIGITS:
        return
    letter = _ZOTAC_LETTER.get(name.core[:2])
    if letter:
        yield Stem(f"zt{letter}{name.core}{_ZOTAC_DIGITS[name.suffix]}")
        yield Stem(f"zt{letter}{name.core[:3]}{_ZOTAC_DIGITS[name.suffix]}0")


def _palit(name: ModelName) -> Iterator[Stem]:
    if not _is_geforce(name) or len(name.core) < 3:
        return
    short = _SHORT_SUFFIX[name.suffix]
    for prefix in _PALIT_PREFIXES:
        yield Stem(f"{prefix}{name.core}{short}", open_end=True)
        if short:
            yield Stem(f"{prefix}{name.core[:-1]}{short}", open_end=True)


def _other_geforce(name: ModelName) -> Iterator[Stem]:
    if not _is_geforce(name):
        return
    short = _SHORT_SUFFIX[name.suffix]
    for line in set(name.line) & {"gtx", "gts", "gt"}:
        yield Stem(f"px{name.core}{line}")  # Jaton
        yield Stem(f"sx{name.core}{line}")  # Sparkle
    if len(name.core) == 3:
        yield Stem(f"x{name.core}")  # Sparkle
        yield Stem(f"sx{name.core}{short}", open_end=True)
        letter = {"gtx": "x", "gts": "s", "gt": "t"}.get(name.line[-1])
        if letter:
            yield Stem(f"sx{letter}{name.core}{short}", open_end=True)
    if short:
        yield Stem(f"c{name.core[:-1]}{short}")  # Inno3D
    if name.core.startswith(("8", "9")) and len(name.core) == 4:
        yield Stem(f"gvnx{name.core[:2]}")


def _is_radeon(name: ModelName, *lines: str) -> bool:
    return "radeon" in name.line and not name.prefix and bool(set(lines) & set(name.line))


def _radeon_hd(name: ModelName) -> Iterator[Stem]:
    if not _is_radeon(name, "hd") or len(name.core) != 4 or "mobility" in name.line:
        return
    short = name.core[:3] if name.core.endswith("0") else name.core
    suffix = "".join(name.suffix)
    yield Stem(f"gvr{short}{suffix}")  # Gigabyte
    yield Stem(f"gvr{name.core}{suffix}")
    yield Stem(f"eah{name.core}{suffix}")  # ASUS
    yield Stem(f"ax{name.core}{suffix}")  # PowerColor
    yield Stem(f"r{name.core}{suffix}")  # MSI
    yield Stem(f"hd{short}{suffix}", spelled=True)  # XFX
    yield Stem(f"fx{short}{suffix}")
    yield Stem(f"h{short}{suffix}")  # HIS
    yield Stem(f"h{name.core}{suffix}")


def _radeon_r(name: ModelName) -> Iterator[Stem]:
    series = [word for word in name.line if word in ("r5", "r7", "r9")]
    if "radeon" not in name.line or not series or "m" in name.suffix:
        return
    line, suffix = series[0], "".join(name.suffix)
    if name.core == "fury":
        yield Stem(f"gv{line}fury{suffix}")
        return
    if len(name.core) != 3:
        return
    short = name.core[:2] if name.core.endswith("0") else name.core
    yield Stem(f"gv{line}{short}{suffix}")  # Gigabyte
    yield Stem(f"gv{line}{name.core}{suffix}")
    yield Stem(f"ax{line}{name.core}{suffix}")  # PowerColor
    # ASUS, Diamond, VisionTek
    yield Stem(f"{line}{name.core}{suffix}", open_end=True, spelled=True)
    yield Stem(f"h{name.core}{'' if suffix == 'x2' else suffix}")  # HIS


def _radeon_rx(name: ModelName) -> Iterator[Stem]:
    if not _is_radeon(name, "rx") or not name.core.isdigit():
        return
    suffix = "".join(name.suffix)
    yield Stem(f"gvrx{name.core}{suffix}")
    yield Stem(f"hs{name.core}{suffix}r")  # HIS
    if len(name.core) != 4:
        return
    short = name.core[:2]
    yield Stem(f"gvr{name.core}{suffix}")
    yield Stem(f"axrx{name.core}{suffix}")
    if name.core.endswith("00"):
        yield Stem(f"gvr{short}{suffix}")  # Gigabyte
        xfx = {"xtx": "xm", "xt": "xt", "gre": "gre"}.get(suffix, suffix)
        yield Stem(f"rx{short}{xfx}", spelled=True)  # XFX
        if suffix == "xt":
            yield Stem(f"rx{short}t", spelled=True)


def _titan(name: ModelName) -> Iterator[Stem]:
    if name.core == "titan":
        yield Stem(f"gvntitan{''.join(name.suffix)}")
        if "gtx" in name.line:
            yield Stem(f"gtxtitan{''.join(name.suffix)}", spelled=True)


def _radeon_x(name: ModelName) -> Iterator[Stem]:
    if "radeon" in name.line and name.prefix == "x":
        yield Stem(f"eax{name.core}{''.join(name.suffix)}")
        yield Stem(f"gvrx{name.core[:2]}")


_RULES: tuple[Callable[[ModelName], Iterator[Stem]], ...] = (
    _gigabyte_geforce,
    _msi_geforce,
    _evga,
    _pny,
    _zotac,
    _palit,
    _other_geforce,
    _radeon_hd,
    _radeon_r,
    _radeon_rx,
    _radeon_x,
    _titan,
)
