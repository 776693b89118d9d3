"""Board partners' part-number stems of a model, by the partners' own naming rules.

``GV-N406T...`` is Gigabyte for GeForce RTX 4060 Ti, ``VCG4060T16...`` PNY, ``ZT-D40610...`` Zotac,
``AX7870...`` PowerColor for Radeon HD 7870. Each rule builds the part of the code that names the
model, so GPUs that appear after this was written get their stems by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable
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


_SHORT_SUFFIX = {
    (): "",
    ("ti",): "t",
    ("super",): "s",
    ("ti", "super"): "ts",
    ("ti", "boost"): "tb",
}
_LETTER_OF_LINE = {"gtx": "x", "gts": "s", "gt": "t"}
# Zotac's fifth digit tells siblings of one number apart; several digits were used for some.
_ZOTAC_DIGITS = {(): "0", ("ti",): "1", ("super",): "2", ("ti", "super"): "3"}
_ZOTAC_LETTER = {"10": "p", "16": "t", "20": "t", "30": "a", "40": "d", "50": "b"}
_PALIT_PREFIXES = ("ne5", "ne5x", "ne6", "ned", "ne7", "neb")
_XFX_SUFFIX = {"xtx": "xm"}
_LEAST_LETTERS = 4


def stems(name: ModelName) -> list[Stem]:
    """Return the part-number stems of a model in the order of the rules, without duplicates."""
    rules = [rule for of_family, rules in _RULES if of_family(name) for rule in rules]
    templates = " ".join([text for fits, text in rules if fits(name)] + [_pny(name)]).split()
    parts = _parts(name) if templates else {}
    found: dict[Stem, None] = {}
    for template in templates:
        text = template.strip("~+").format_map(parts)
        if len(text) >= _LEAST_LETTERS:
            found[Stem(text, template[-1] == "+", template[0] == "~")] = None
    return list(found)


def _parts(name: ModelName) -> dict[str, str]:
    """Return the fields of the rules' templates.

    ``cut`` is the number where a short suffix pushes its last digit out (1050 Ti -> N105T),
    ``round`` the number without a last zero.
    """
    core, suffix = name.core, "".join(name.suffix)
    short = _SHORT_SUFFIX.get(name.suffix, "")
    line = next((word for word in name.line if word in _LETTER_OF_LINE), "")
    return {
        "core": core,
        "number": name.prefix + core,
        "cut": core[:-1] if short else core,
        "round": core[:-1] if core.endswith("0") else core,
        "suffix": suffix,
        "short": short,
        "his": "" if suffix == "x2" else suffix,
        "xfx": _XFX_SUFFIX.get(suffix, suffix),
        "line": line,
        "letter": _LETTER_OF_LINE.get(line, ""),
        "r": _r_series(name),
        "quadro": "".join(word for word in name.line if word in ("fx", "rtx")),
        "zotac": _ZOTAC_LETTER.get(core[:2], ""),
        "sibling": _ZOTAC_DIGITS.get(name.suffix, ""),
    }


def _geforce(name: ModelName) -> bool:
    return (
        "geforce" in name.line
        and name.core.isdigit()
        and not name.prefix
        and name.suffix in _SHORT_SUFFIX
        and not {"go", "fx", "mx"} & set(name.line)
    )


def _always(name: ModelName) -> bool:
    return True


def _lined(name: ModelName) -> bool:
    return any(word in _LETTER_OF_LINE for word in name.line)


def _radeon(name: ModelName, line: str) -> bool:
    return "radeon" in name.line and not name.prefix and line in name.line


def _r_series(name: ModelName) -> str:
    """Return the series word of a Radeon R5, R7 or R9 that is no laptop's, else an empty text."""
    if "radeon" not in name.line or "m" in name.suffix:
        return ""
    return next((word for word in name.line if word in ("r5", "r7", "r9")), "")


def _pny(name: ModelName) -> str:
    """Return PNY's templates: its lines are told apart by the first rule that fits."""
    if _geforce(name):
        return "vcg{core}{short}+"
    if "quadro" in name.line and not name.suffix:
        return "vcq{quadro}{number}" + (" vcq{number}nvs" if "nvs" in name.line else "")
    if name.line[-1:] == ("nvs",):
        return "vcnvs{number} vcq{number}nvs"
    if "rtx" in name.line or name.prefix == "t":
        if "pro" in name.line:
            return "vcnrtxpro{number} vcnrtx{number}b"
        plain = "vcnrtx{number}{suffix} " if "rtx" in name.line else "vcn{number}{suffix} "
        return plain + _PNY_BY_SUFFIX.get(name.suffix, "")
    if "tesla" in name.line or (not name.line and name.prefix in ("a", "l", "h")):
        return "tcs{number}{suffix}"
    return ""


_PNY_BY_SUFFIX: dict[tuple[str, ...], str] = {
    ("sff", "ada"): "vcnrtx{number}sffada",
    ("e", "ada"): "vcnrtx{number}eada vcnrtx{number}adas",
}

_Fits = Callable[[ModelName], bool]

# By family: which of its models, and templates of their stems; "+" marks an open end, "~" a name
# that is spelled.
_RULES: tuple[tuple[_Fits, tuple[tuple[_Fits, str], ...]], ...] = (
    (
        _geforce,
        (
            (_always, "gvn{cut}{short} n{cut}{short}"),  # Gigabyte
            (lambda n: len(n.core) == 3, "n{core}{suffix}"),  # MSI
            (lambda n: len(n.core) == 3 and _lined(n), "n{core}{line}{suffix}"),
            (
                lambda n: len(n.core) == 3 and n.suffix == ("ti", "boost"),
                "n{core}ti2gd5ocbe n{core}ti1gd5ocbe",
            ),
            # EVGA's four digits are a class and the model's first two digits: P4-2640 is a GT 640.
            (
                lambda n: len(n.core) == 3 and n.core[0] in "4567",
                " ".join(f"p{board}{group}{{core:.2}}+" for board in "34" for group in "123"),
            ),
            (
                _lined,  # PNY; its other codes are in `_pny`
                "vcg{line}{core}{short}+ vcg{core}{line}{short}+ vcgg{line}{core}{short}+ "
                "rvcgg{line}{core}{short}+",
            ),
            (
                lambda n: (
                    len(n.core) == 4 and n.suffix in _ZOTAC_DIGITS and n.core[:2] in _ZOTAC_LETTER
                ),
                "zt{zotac}{core}{sibling} zt{zotac}{core:.3}{sibling}0",
            ),
            (
                lambda n: len(n.core) >= 3,  # Palit
                " ".join(f"{p}{{core}}{{short}}+ {p}{{cut}}{{short}}+" for p in _PALIT_PREFIXES),
            ),
            (_lined, "px{core}{line} sx{core}{line}"),  # Jaton, Sparkle
            (lambda n: len(n.core) == 3, "x{core} sx{core}{short}+"),  # Sparkle
            (
                lambda n: len(n.core) == 3 and n.line[-1] in _LETTER_OF_LINE,
                "sx{letter}{core}{short}+",
            ),
            (lambda n: bool(n.suffix), "c{cut}{short}"),  # Inno3D
            (lambda n: len(n.core) == 4 and n.core[0] in "89", "gvnx{core:.2}"),
        ),
    ),
    (
        lambda n: _radeon(n, "hd") and len(n.core) == 4 and "mobility" not in n.line,
        (
            # Gigabyte, ASUS, PowerColor, MSI
            (
                _always,
                "gvr{round}{suffix} gvr{core}{suffix} eah{core}{suffix} ax{core}{suffix} "
                "r{core}{suffix}",
            ),
            # XFX, HIS
            (_always, "~hd{round}{suffix} fx{round}{suffix} h{round}{suffix} h{core}{suffix}"),
        ),
    ),
    (
        lambda n: bool(_r_series(n)),
        (
            (lambda n: n.core == "fury", "gv{r}fury{suffix}"),
            # Gigabyte, PowerColor; then ASUS, Diamond, VisionTek; HIS
            (
                lambda n: len(n.core) == 3,
                "gv{r}{round}{suffix} gv{r}{core}{suffix} ax{r}{core}{suffix} "
                "~{r}{core}{suffix}+ h{core}{his}",
            ),
        ),
    ),
    (
        lambda n: _radeon(n, "rx") and n.core.isdigit(),
        (
            (_always, "gvrx{core}{suffix} hs{core}{suffix}r"),  # Gigabyte, HIS
            (lambda n: len(n.core) == 4, "gvr{core}{suffix} axrx{core}{suffix}"),
            (
                lambda n: len(n.core) == 4 and n.core.endswith("00"),  # Gigabyte, XFX
                "gvr{core:.2}{suffix} ~rx{core:.2}{xfx}",
            ),
            (
                lambda n: len(n.core) == 4 and n.core.endswith("00") and n.suffix == ("xt",),
                "~rx{core:.2}t",
            ),
        ),
    ),
    (
        lambda n: "radeon" in n.line and n.prefix == "x",
        ((_always, "eax{core}{suffix} gvrx{core:.2}"),),
    ),
    (
        lambda n: n.core == "titan",
        (
            (_always, "gvntitan{suffix}"),
            (lambda n: "gtx" in n.line, "~gtxtitan{suffix}"),
        ),
    ),
)
