"""Board partners' part numbers: one table of templates, from which codes are read and written.

``GV-N406TEAGLE OC-8GD`` is Gigabyte for GeForce RTX 4060 Ti, ``VCG4060T16TFXPB1`` PNY,
``ZT-D40610E-10M`` Zotac, ``AX7870 2GBD5-2DH`` PowerColor for Radeon HD 7870. A `Rule`'s template
holds fields of the model, so GPUs that appear after this was written get their codes by the same
rules; its part in round brackets is the *stem* that names the model. `stems` returns what a reader
looks for; `rerank.packs.gpu.bootstrap.card` fills the same templates for training listings.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import product
from typing import NamedTuple

from rerank.index.records import GpuRecord
from rerank.packs.gpu.naming import ModelName


class Stem(NamedTuple):
    """The naming part of a part number, letters and digits only, lower case.

    ``open_end``: more digits of another meaning may follow at once (PNY's ``VCG5090`` + ``32``).
    ``spelled``: the stem is the plain name without spaces, which people write as well.
    ``memory_gb``: the memory size the stem states, 0 if none.
    """

    text: str
    open_end: bool = False
    spelled: bool = False
    memory_gb: float = 0.0


_LAPTOP_FORMS = ("mobile", "MXM", "Max-Q")  # no partner sells these in a box of its own
_SHORT = {"": "", "TI": "T", "SUPER": "S", "TISUPER": "TS", "TIBOOST": "TB"}
_LETTER = {"GTX": "X", "GTS": "S", "GT": "T"}
_SERIES = {word.lower(): word for word in "RTX GTX GTS GT RX HD R9 R7 R5".split()}
# Zotac's fifth digit tells siblings of one number apart; the RTX 4080 never was number 0. Some
# have two: ZT-B50620 is an RTX 5060 Ti with 16 GB, ZT-B50610 one with 8.
_ZOTAC = {"10": "P", "16": "T", "20": "T", "30": "A", "40": "D", "50": "B"}
_ZOTAC_SIBLINGS = {"": "0", "TI": "1", "SUPER": "2", "TISUPER": "3"}
_ZOTAC_OTHERS = {
    "1060": "<0|1>",
    "1650": "<0|2>",
    "1650SUPER": "1",
    "2060": "<0|2>",
    "2060SUPER": "1",
    "2070SUPER": "1",
    "3050": "<0|1>",
    "3080": "<0|2>",
    "4060TI": "<1|2>",
    "4080": "1",
    "5060TI": "<1|2>",
}
# Palit's and Gainward's third letter is the memory type; it is read as any.
_PALIT_MEMORY = {"DDR3": "A", "GDDR5X": "B", "GDDR6": "6", "GDDR6X": "D", "GDDR7": "7"}
_FERMI = {"560": "56G", "560TI": "560", "550TI": "550"}  # Gigabyte's plain number is the Ti here


class Board:
    """A registry record as part numbers write it. Texts are in capitals.

    ``kind`` is the family whose rules write the board's codes, empty if no partner does.
    """

    def __init__(self, record: GpuRecord, name: ModelName) -> None:
        self.record, self.line = record, name.line
        self.prefix, self.core = name.prefix.upper(), name.core.upper()
        self.suffix = "".join(name.suffix).upper()
        self.short = _SHORT.get(self.suffix)
        self.series = ""
        for word in name.line:
            self.series = _SERIES.get(word, self.series)
        self.year = record.release_year
        self.megabytes = round(record.memory_gb * 1024)
        fits = (kind for kind, fits in _KINDS if fits(self))
        self.kind = "" if record.form_factor in _LAPTOP_FORMS else next(fits, "")

    @property
    def digit(self) -> str:
        """The generation digit of the memory type: 5 of GDDR5X, 3 of DDR3."""
        return next((c for c in self.record.memory_type if c.isdigit()), "1")

    @property
    def whole(self) -> bool:
        """Whether the memory is a whole number of GB."""
        return self.megabytes % 1024 == 0

    def lists(self, start: str) -> list[str]:
        """Return the registry's part numbers of the board that begin with a text."""
        return [number for number in self.record.part_numbers if number.startswith(start)]

    @cached_property
    def fields(self) -> dict[str, str]:
        """The fields of the templates: those of `_model_fields` and of the memory.

        size  as codes write it: ``8G``, ``512M``; ``gb``, ``gb2``, ``mb`` without a unit
        kind  the memory type: ``D5``; ``ne`` Palit's letter for it
        """
        whole, megabytes = self.megabytes // 1024, str(self.megabytes)
        odd = f"{self.megabytes // 100:03d}" if whole else megabytes
        return {
            **_model_fields(self.prefix, self.core, self.suffix, self.series, self.line),
            "words": self.record.model.removeprefix("GeForce ").removeprefix("Radeon "),
            "size": f"{whole}G" if self.whole else f"{megabytes}M",
            "gb": str(whole) if self.whole else "",
            "gb2": f"{whole:02d}" if self.whole else "",
            "mb": megabytes,
            "digit": self.digit,
            "kind": "HBM" if "HBM" in self.record.memory_type else f"D{self.digit}",
            "evga_size": f"{whole:02d}G" if self.whole else odd,
            "gd": f"{whole}GD" if self.whole else f"{megabytes}I",
            "ne": _PALIT_MEMORY.get(self.record.memory_type, "5"),
        }


def _geforce(b: Board, suffixes: Collection[str]) -> bool:
    named = "geforce" in b.line and not b.prefix and b.core.isdigit()
    return named and b.suffix in suffixes and not {"go", "fx", "mx"} & set(b.line)


def _radeon(b: Board, series: Collection[str], suffixes: str, prefix: str = "") -> bool:
    named = "radeon" in b.line and b.series in series and b.prefix == prefix
    known = named and b.suffix in ("", *suffixes.split()) and (b.core.isdigit() or b.core == "FURY")
    return known and not {"pro", "mobility", "instinct"} & set(b.line)


_OLD_SUFFIXES = ("GT", "GTS", "GTX", "GTXPLUS", "GX2", "GS", "GSO", "GE", "LE", "ULTRA", "XT")
# The families of models that partners number by the same rules; the first that fits is a board's.
_KINDS: tuple[tuple[str, Callable[[Board], bool]], ...] = (
    ("titan", lambda b: b.core == "TITAN"),
    ("geforce", lambda b: _geforce(b, _SHORT)),
    ("ti448", lambda b: _geforce(b, ("TI448",))),
    ("old", lambda b: _geforce(b, _OLD_SUFFIXES)),
    ("rx", lambda b: _radeon(b, ("RX",), "XT XTX GRE")),
    ("hd", lambda b: _radeon(b, ("HD",), "X2 XT PRO LE GT")),
    ("r9", lambda b: _radeon(b, ("R9", "R7", "R5"), "X X2")),
    ("vega", lambda b: b.core == "VEGA" and b.series == "RX" and b.suffix.isdigit()),
    ("x", lambda b: _radeon(b, ("",), "XT XTX PRO GT GTO XL SE", "X")),
    ("radeon", lambda b: _radeon(b, ("",), "XT PRO LE SE")),
    ("", lambda b: "geforce" in b.line or "radeon" in b.line),
    ("quadro", lambda b: "quadro" in b.line),
    ("nvs", lambda b: "nvs" in b.line),
    ("arc", lambda b: "arc" in b.line and not b.suffix),
    ("rtx", lambda b: "rtx" in b.line or b.prefix == "T"),
    ("tesla", lambda b: "tesla" in b.line or (not b.line and b.prefix in ("A", "H", "L"))),
)


@lru_cache(maxsize=1)
def _model_fields(
    prefix: str, core: str, suffix: str, series: str, line: tuple[str, ...]
) -> dict[str, str]:
    """Return the fields that a model's variants share.

    number, core  with and without the letters before it: ``A2000``, ``2000``
    two, three    the core's first digits; ``tens`` its first and third
    round         the core without a last zero: ``797``
    short         the suffix in one letter or two; ``cut`` the core with it, which pushes its last
                  digit out: ``306T``; ``palit`` the same in four places: ``X75T``
    """
    short, sibling, letter = _SHORT.get(suffix) or "", core + suffix, _LETTER.get(series, "")
    cut, tens = core[:-1] + short if short else core, core[:1] + core[2:3]
    return {
        "number": prefix + core,
        "core": core,
        "two": core[:2],
        "three": core[:3],
        "tens": tens,
        "round": core.removesuffix("0"),
        "suffix": suffix,
        "series": series,
        "short": short,
        "cut": cut,
        "letter": letter,
        "asus": {"SUPER": "S", "TISUPER": "TIS", "TIBOOST": "TIB"}.get(suffix, suffix),
        "evga": "9" if sibling in ("1080TI", "3080TI") else core[2:3],
        "fermi": _FERMI.get(sibling, ""),
        "gigabyte": core if core >= "9000" else core.removesuffix("0").removesuffix("0"),
        "msi": {"TI": "Ti", "TIBOOST": "Ti"}.get(suffix, suffix),
        "palit": f"{tens}TS" if short == "TS" else (letter + cut)[-4:],
        "pro": suffix.replace("BLACKWELL", ""),
        "quadro": "".join(word for word in ("FX", "RTX") if word.lower() in line),
        "xfx": tens if core >= "9000" else core[:2],
        "xfx_line": {"GTS": "GS", "GTX": "GX"}.get(series, series),
        "xfx_suffix": {"": "P", "XT": "T", "XTX": "X", "GRE": "G"}.get(suffix, ""),
        "zotac": _ZOTAC.get(core[:2], ""),
        "sibling": _ZOTAC_OTHERS.get(sibling, _ZOTAC_SIBLINGS.get(suffix, "")),
    }


# What a code says: model and memory, the model alone, or nothing but to its maker.
FULL, MODEL, SHOP = (True, True), (True, False), (False, False)


def _always(_: Board) -> bool:
    return True


class Rule(NamedTuple):
    """How a partner writes the codes of some of its products.

    ``kinds`` are the families of models the rule is for, ``when`` says which of them.

    ``text`` is a template of the generator's grammar: ``<a|b>`` is one of several parts, ``{a}``
    one of `Board.fields`, ``{?ABC}`` one of the letters, ``{#3}`` three digits, ``{@3}`` three
    capitals, ``{=P4:7}`` a number the registry lists that begins so, with digits up to seven
    characters. Round brackets hold the stem; without one nothing is read from such codes. ``~`` at
    its start marks a spelled one, ``+`` at its end an open one. What stands before a stem is often
    left out; a memory size right behind it is read with it. An empty text is no code.

    ``chance`` is the share of these products; for the others the next rules are asked. 0 is for
    codes that are only read.
    """

    kinds: str
    text: str
    when: Callable[[Board], bool] = _always
    says: tuple[bool, bool] = FULL
    chance: float = 1.0


def stems(variants: Iterable[Board]) -> list[Stem]:
    """Return the part-number stems of a model in the order of the rules, without duplicates.

    :param variants: all boards of one model.
    """
    found: dict[str, Stem] = {}
    shown = False
    for board in variants:
        if not board.kind:
            continue
        size = board.record.memory_gb
        for when, texts in _readable().get(board.kind, ()):
            if not when(board):
                continue
            for text, sized, open_end, spelled in texts:
                if shown and not sized:
                    continue
                for stem in _chosen(text.format_map(board.fields).lower()):
                    if stem not in found and len(stem) >= _LEAST_LETTERS:
                        found[stem] = Stem(stem, open_end, spelled, size if sized else 0.0)
        shown = True  # the next variants differ in memory alone
    return list(found.values())


_LEAST_LETTERS = 4
_STEM = re.compile(r"(.*?)(?<!\\)\((~?)(.*?)(\+?)\)(-?\{(?:gb|gb2|mb|size)\})?")
_SIZE = re.compile(r"\{(?:size|gb|gb2|mb|evga_size)\}")
_CHOICE = re.compile(r"<([^<>]*)>")
_MARKS = re.compile(r"[^\w{}<>|]+")


def written(text: str) -> str:
    """Return a rule's template without the marks of its stem."""
    return _STEM.sub(r"\1\3\5", text, count=1)


_Readable = tuple[Callable[[Board], bool], list[tuple[str, bool, bool, bool]]]


@lru_cache(maxsize=1)
def _readable() -> Mapping[str, Sequence[_Readable]]:
    """Return by family the rules that have a stem: its texts, whether sized, open and spelled."""
    found: dict[str, list[_Readable]] = defaultdict(list)
    for rule in (rule for rules in PARTNERS.values() for rule in rules):
        match = _STEM.match(rule.text)
        if match is None:
            continue
        before, spelled, stem, open_end, size = match.groups()
        stem = stem.replace("{ne}", "<5|6|7|A|B|D>")
        marks = []
        for text in dict.fromkeys((stem, before + stem)):
            marks.append((text, bool(_SIZE.search(text)), bool(open_end)))
            if size:
                # Two digits are a whole size, whatever follows: C308T4-126XX has 12 GB.
                marks.append((text + size, True, size.endswith("{gb2}")))
        texts = [
            (chosen, sized, is_open, bool(spelled))
            for text, sized, is_open in marks
            for chosen in dict.fromkeys(_chosen(_MARKS.sub("", text)))
        ]
        for kind in rule.kinds.split():
            found[kind].append((rule.when, texts))
    return found


def _chosen(text: str) -> Iterable[str]:
    """Return a text with each of its choices."""
    if "<" not in text:
        return (text,)
    parts = _CHOICE.split(text)
    choices = product(*(part.split("|") if at % 2 else (part,) for at, part in enumerate(parts)))
    return ["".join(chosen) for chosen in choices]


def _since(year: int) -> Callable[[Board], bool]:
    return lambda p: p.year >= year


def _lists(start: str) -> Callable[[Board], bool]:
    return lambda p: bool(p.lists(start))


def _lined(p: Board) -> bool:
    return p.series in _LETTER


def _cut(p: Board) -> bool:
    return not p.fields["fermi"]


def _modern(p: Board) -> bool:
    return p.year >= 2016 or p.core == "1030"


_COOLERS_20 = (
    "<GAMING OC|GAMING|EAGLE OC|EAGLE|VISION OC|AORUS M|AERO OC|WF2OC|WF3OC|OC|TURBO|AORUS X|WF3"
    "|GAMINGOC PRO|AORUSM ICE>"
)
_COOLERS_AMD = "<WF2OC|WF2|WF3OC|G1 GAMING|OC|D5|WF3|GAMING|GAMING OC|EAGLE|UD>"
_COOLERS_10 = "<WF2OC|WF2|WF3OC|G1 GAMING|OC|XTREME|IXOC|D5|WF3X|GAMING|UD|SO>"
_REVISION = r"<|||||||| rev 2.0| \(rev. 1.0\)>"
_MSI_20 = "<VENTUS 2X|VENTUS 3X|GAMING X TRIO|GAMING Z TRIO|SUPRIM X|AERO ITX|MECH 2X|VENTUS XS>"
_MSI_24 = (
    "<VENTUS 2X|VENTUS 3X|GAMING TRIO|GAMING X SLIM|SUPRIM X|SHADOW 2X|INSPIRE 2X|VANGUARD SOC"
    "|EXPERT|VENTUS 2X WHITE>"
)
_MSI_16 = "<GAMING X|ARMOR|AERO ITX|GAMING|GAMING Z|SEA HAWK X|DUKE>"
_ASUS_TAIL = "<|||-GAMING|-GAMING|-V2|-EVO|-WHITE|-V2-GAMING|-MINI|-BTF>"
_PNY_FAN = "<DFXPB1|TFXPB1|DFBPB1|TFXXPB1-O|DFXPB1-O|TFXMPB|DFPPB|TFBPB1>"
_PNY_PRO = "<-PB|-PB|-SB|-BLK|-T|BLK-1|-PORPB>"
_RX = "rx hd r9"

PARTNERS: Mapping[str, tuple[Rule, ...]] = {
    "afox": (
        Rule("geforce", "(AF{number}{suffix}-{mb}{kind}){?LH}{?2345678}[-V{?123457}]"),
        Rule(_RX, "(AF{series}{number}{suffix}-{mb}{kind}){?LH}{?2345678}[-V{?123457}]"),
    ),
    "asrock": (Rule("rx", "RX{number}{suffix} <PGD|CLD|CLI|SLD|TC|PG|CL> {size}<O||OC>"),),
    "asus": (
        Rule(
            "geforce",
            "{series}{number}-<|SL->{size}{kind}<|-BRK|-BRK-EVO|-CSM>",
            lambda p: _modern(p) and p.series == "GT",
        ),
        Rule(
            f"geforce {_RX}",
            "<DUAL|ROG-STRIX|TUF|PROART|PRIME|TX|ROG-ASTRAL|T1>-{series}{number}{asus}-<|O>{size}"
            + _ASUS_TAIL,
            _since(2023),
        ),
        Rule(
            f"geforce {_RX}",
            "<DUAL|ROG-STRIX|STRIX|PH|TURBO|EX|CERBERUS|TUF|KO|TUF 3>-{series}{number}{asus}"
            "-<|O>{size}<|D6>" + _ASUS_TAIL,
            lambda p: _modern(p) and p.core == "1650" and p.digit == "6",
        ),
        Rule(
            f"geforce {_RX}",
            "<DUAL|ROG-STRIX|STRIX|PH|TURBO|EX|CERBERUS|TUF|KO|TUF 3>-{series}{number}{asus}"
            "-<|O>{size}" + _ASUS_TAIL,
            _modern,
        ),
        Rule(
            "geforce",
            "(~{series}{number}TIB)-<DC2OC|DC2|DCMOC>-{size}{kind}[ BOOST]",
            lambda p: p.suffix == "TIBOOST",
        ),
        # The M of GTX950-M-2GD5 is the small board's, no laptop chip's.
        Rule(
            "geforce",
            "({series}{number}-M-{size}{kind})",
            lambda p: p.year >= 2012 and _lined(p),
            chance=0.05,
        ),
        Rule(
            f"geforce {_RX}",
            "{series}{number}{suffix}-<SL-|MG-|>{size}{kind}<|-L|-BRK>",
            lambda p: p.year >= 2012 and p.digit == "3",
        ),
        Rule(
            "r9",
            "(~{series}{number}{suffix}+)-<DC2|DC2T|DC2OC|DCSL|OC>-{size}{kind}<|-L|-GAMING>",
            _since(2012),
        ),
        Rule(
            f"geforce {_RX}",
            "<|STRIX->{series}{number}<{suffix}| {suffix}>-<DC2|DC2O|DC2T|DC2OC|DCMOC|DCSL|SL|OC>"
            "-{size}{kind}<||-L|-BRK|-GAMING|-CSM>",
            _since(2012),
        ),
        Rule("hd", "(EAH{number}{suffix})<|| TOP| DirectCU>/<DI|2DI|HTDP|2DIS>/{size}{kind}</V2|>"),
        Rule("x", "(EAX{core}{suffix})<|| SILENT| TOP>/<TD|HTD|2DHTV>/{mb}M"),
        Rule(
            "geforce ti448",
            "(~EN{series}{number}{suffix})<|| TOP| DirectCU>/<DI|2DI|2DIS>/{size}{kind}"
            r"<||\(LP\)|/A>",
            _since(2009),
        ),
        Rule(
            "geforce old",
            "(~EN{series}{number}{suffix})<|| SILENT| TOP| FORMULA>/<HTDP|HTDI|TD>/{size}</V2|>",
        ),
    ),
    "bfg": (
        Rule(
            "geforce old",
            "BFG<R|E|>{two}{mb}{suffix}<E|OCE|OC2E>",
            lambda p: p.year <= 2010,
            SHOP,
        ),
    ),
    "colorful": (
        Rule(
            "geforce old",
            "{words} <NB DUO|NB EX|Ultra W OC|Ultra OC|Advanced OC|Battle-Ax> {size}<-V| V|B-V>",
        ),
    ),
    "diamond": (
        Rule("r9", "{series}{number}{suffix}{kind}{size}<XOC||V>", lambda p: p.core.isdigit()),
        Rule("hd", "({number}PE{digit}+){size}<|SS|V|XOC>"),
    ),
    "ecs": (Rule("geforce", "(<N|E|>{series}{number}<A|C>-{size}R)3-{@3}<|F>", _lined),),
    # EVGA's P3, P4 and P5 are classes of boards, not chips: the model is in the four digits, the
    # third of which is mostly its number's (08G-P4-6173: 1070); up to the GTX 700 the second and
    # third are its first two (02G-P4-2660: 660).
    "evga": (
        Rule("geforce old titan", "{evga_size}-{=P:7}-<KR|KR|KL|AR|RX|KB|TR|BR>", _lists("P")),
        Rule(
            "geforce",
            "(P<3|4><0|1|2|3>{two}+)",
            lambda p: len(p.core) == 3 and p.core[0] in "45679" and p.core[2] == "0",
            chance=0,
        ),
        Rule(
            "geforce",
            "(P4-<5|6><0|1|2|3|4|5|6|7>{evga}+)",
            lambda p: len(p.core) == 4 and p.core[:2] == "10",
            chance=0,
        ),
        Rule(
            "geforce",
            "(P4-2<0|1|2>{evga}+)",
            lambda p: p.core[:2] == "20" and not p.suffix,
            chance=0,
        ),
        Rule(
            "geforce",
            "({evga_size}-P4-228+)",
            lambda p: p.core == "2080" and p.suffix != "SUPER",
            chance=0,
        ),
        Rule(
            "geforce",
            "(P4-3<0|1|2|3>{evga}+)",
            lambda p: p.core[:2] == "20" and p.suffix == "SUPER",
            chance=0,
        ),
        Rule(
            "geforce",
            "(P5-<3|4>{evga}+)",
            lambda p: len(p.core) == 4 and p.core[:2] == "30",
            chance=0,
        ),
    ),
    # The N of Galax and KFA2 is a card without suffix: 37NSL6MD1SAA is an RTX 3070.
    "galax": (
        Rule(
            "geforce",
            "({tens}N<S|R|O|W><L|M>){?3678}{@2}{#1}{@3}",
            lambda p: len(p.core) == 4 and p.core >= "2000" and not p.suffix,
            MODEL,
        ),
    ),
    "gigabyte": (
        Rule("geforce", "GV-(N1656)", lambda p: p.core + p.suffix == "1650", chance=0),
        Rule(
            "geforce",
            "GV-N1656<WF2OC|OC|D6>-{gd}",
            lambda p: p.core + p.suffix == "1650" and p.digit == "6",
        ),
        Rule("ti448", "(GV-N{core}448)<OC|UD|>-13I"),
        Rule(
            "geforce",
            "(GV-N{fermi})<OC|SO|UD>-{gd}",
            lambda p: bool(p.fields["fermi"]),
        ),
        Rule(
            "geforce",
            "GV-(N{cut})<OC|D5|SL|D3|>-<{gb}GI|{gb}GL|{gd}>",
            lambda p: _cut(p) and p.whole and (p.series == "GT" or p.digit == "3"),
        ),
        Rule(
            "geforce",
            "GV-(N{cut})" + _COOLERS_20 + "-{gd}" + _REVISION,
            lambda p: _cut(p) and p.year >= 2019,
        ),
        Rule("geforce", "GV-(N{cut})" + _COOLERS_10 + "-{gd}" + _REVISION, _cut),
        Rule("arc", "(GV-I{number})<WF2OC|GAMING OC|OC>-{gd}"),
        Rule("rx", "(GV-RX{core}{suffix})" + _COOLERS_AMD + "-{gd}", lambda p: len(p.core) == 3),
        Rule("rx", "(GV-R{gigabyte}{suffix})" + _COOLERS_AMD + "-{gd}"),
        Rule("rx", "(GV-<R|RX>{core}{suffix})", chance=0),
        Rule("r9", "(GV-{series}{round}{suffix})" + _COOLERS_AMD + "-{gd}"),
        Rule("hd", "(GV-R{round}{suffix})<OC|UD|D5|SO|WF3>-{gd}"),
        Rule("r9", "(GV-{series}{core}{suffix})", chance=0),
        Rule("hd", "(GV-R{core}{suffix})", chance=0),
        Rule("x", "(GV-RX{two})", chance=0),
        Rule("titan", "(GV-NTITAN{suffix})D5-{gd}", lambda p: "gtx" in p.line),
        Rule("vega", "(~GV-RXVEGA{suffix})<GAMING OC|X-W|>-{gd}"),
        Rule("titan", "(~GTXTITAN{suffix})", lambda p: "gtx" in p.line, chance=0),
    ),
    "his": (
        Rule("rx", "(HS-{number}R){gb}L{@3}", lambda p: len(p.core) == 3),
        Rule("hd r9", "(H{core}{suffix}<F|Q>)<N|S|>{size}<|2M|D|P>", lambda p: len(p.core) == 3),
        Rule("hd", "(H{round}{suffix}<F|Q>)<N|S|>{size}<|2M|D|P>"),
        Rule("hd", "(H{core}{suffix}<F|Q>)", chance=0),
        Rule("r9", "(H{core}L)", lambda p: p.suffix == "X2", chance=0),
    ),
    # Inno3D's C is an iChill, N any other; the digit behind the model counts the fans. Up to the
    # GTX 10 a letter is the memory size and a digit its type: N106F-2SDN-N5GSX has GDDR5.
    "inno3d": (
        Rule(
            "geforce",
            "(N{cut}-<1|2|3|4><SDN|DDN|SDV>)-{?LMNP}5<GM|GN|CM|DN|GSX|DSX>",
            lambda p: 2010 <= p.year < 2019,
            MODEL,
        ),
        Rule(
            "geforce",
            "(<N|C>{cut}<1|2|3|4>)-{gb2}{kind}<X|>-{#6}<AH|L|N|AC|H|LH>",
            _since(2019),
        ),
        Rule("geforce", "(N106F)", lambda p: p.core == "1060", chance=0),
        Rule("geforce", "(C{cut})", lambda p: bool(p.suffix), chance=0),
    ),
    "jaton": (Rule("geforce", "(<PX|SX>{core}{series})", _lined, chance=0),),
    "msi": (
        Rule(f"geforce {_RX}", "912-V{#3}-{#3}", _since(2014), SHOP, chance=0.05),
        Rule(
            "geforce rx",
            "{words} {size}<T|H|>{kind}<| LP>< OC|>",
            lambda p: _modern(p) and p.series == "GT",
        ),
        Rule(
            "geforce rx",
            "{words} <{size} " + _MSI_24 + "|" + _MSI_24 + " {size}>< OC|>",
            _since(2023),
        ),
        Rule(
            "geforce rx",
            "{words} <{size} " + _MSI_20 + "|" + _MSI_20 + " {size}>< OC|>",
            _since(2019),
        ),
        Rule(
            "geforce rx", "{words} <{size} " + _MSI_16 + "|" + _MSI_16 + " {size}>< OC|>", _modern
        ),
        Rule("geforce r9", "{words} GAMING {size}", _since(2014), chance=0.4),
        Rule("geforce r9", "{words} {size}{kind}<T OC| OC|T LP OC|T|>", _since(2014)),
        Rule("hd", "(R{number}{suffix})-<2PMD|PMD|MD|TWIN FROZR >{size}{kind}</OC||/OC|/LP>"),
        Rule("r9", "{series} {number}{suffix} <TWIN FROZR|GAMING> {size}<| OC>"),
        Rule(
            "geforce",
            "(N{number}Ti<|-PE|-TF| GAMING|MD>-{size}{kind}</OC|> BE)",
            lambda p: p.suffix == "TIBOOST",
        ),
        Rule(
            "geforce",
            "(N{number}{msi}-<|PE-|TF-|GAMING |MD>{size}{kind})</OC||/OC|/LP|T/OC|V1>",
            lambda p: p.year >= 2012 and len(p.core) == 3 and p.suffix != "TIBOOST",
        ),
        Rule("geforce", "(N{number}{suffix})", lambda p: len(p.core) == 3, chance=0),
        Rule(
            "geforce",
            "(N{number}{series}{suffix})-<M2D|MD|T2D>{size}{kind}</OC||/OC|/LP>",
            lambda p: len(p.core) == 3 and _lined(p),
        ),
        Rule("geforce old", "(NX{number}{suffix})-<T2D|TD|MD>{mb}<E|E-HD|EH|Z|>"),
        Rule("x", "RX{core}{suffix}-<T2D|TD|MD>{mb}<E|E-HD|EH|Z|>"),
    ),
    # The model has four places, a suffix stands in the last of them; a letter behind is the clock.
    "palit": (
        Rule(
            "geforce",
            "(NE{ne}{palit}+)<0|S|T|U><19|18|15|16>{?PJGKT}{?1256}-{#3}{?0123456789AB}{?FACLXB}",
            lambda p: len(p.fields["palit"]) == 4 and p.year >= 2010,
            MODEL,
        ),
    ),
    # Codes of professional cards leave the memory out.
    "pny": (
        Rule(
            "geforce",
            "(VCG{number}{gb}S<SF|DF|TF|BL>)<PPB|PPB-O|MPB|MPB-O>",
            lambda p: p.suffix == "SUPER" and p.year < 2020 and p.whole,
        ),
        Rule(
            "geforce",
            "(VCG{number}{short}+){gb}" + _PNY_FAN,
            _since(2018),
        ),
        Rule(
            "geforce",
            "(VCG{three}1<T|>+){gb}" + _PNY_FAN,
            lambda p: p.year >= 2025 and p.suffix == "TI",
            chance=0,
        ),
        Rule(
            "geforce",
            "<R|||>(VCG{series}{number}{short}+){gb}<XPB|PB|XPB-OC|PB-CG|XGPB-OC|PB-BB>",
        ),
        Rule("geforce", "(VCG<G{series}{number}|{number}{series}>{short}+)", chance=0),
        Rule("quadro", "(VCQ{quadro}{number}{suffix})" + _PNY_PRO, says=MODEL),
        Rule("quadro nvs", "(VCQ{number}NVS)", lambda p: "nvs" in p.line, chance=0),
        Rule("nvs", "(VCNVS{number})<VGA|DVI|DP|X1>-PB", says=MODEL),
        Rule("rtx", "(VCNRTXPRO{number}{pro})" + _PNY_PRO, lambda p: "pro" in p.line, MODEL),
        Rule("rtx", "(VCNRTX{number}B)", lambda p: "pro" in p.line, chance=0),
        Rule("rtx", "(VCN{quadro}{number}{suffix})" + _PNY_PRO, says=MODEL),
        Rule("rtx", "(VCNRTX{number}ADAS)", lambda p: p.suffix == "EADA", chance=0),
        Rule("tesla", "(TCS{number}{suffix})<M|PCIE>-PB", lambda p: p.suffix != "M", MODEL),
    ),
    "powercolor": (
        Rule("vega", "(~AXRX VEGA {suffix}) {size}B{kind}2-<2D2HD|3DH|M3DH>"),
        Rule("rx", "RX{number}{suffix} {size}-{?LEAFPB}</OC||/OC>", _since(2022)),
        Rule("rx r9", "(AX{series} {number}{suffix}) {size}B{kind}-<3DHD|DH|3DHE|M3DH>[/OC]"),
        Rule("hd radeon", "(AX{number}{suffix}) {size}B{kind}-<DH|2DH|PPDHE|TDHE|2DHV2>[/OC]"),
    ),
    "sapphire": (Rule(_RX, "{=11:8}<-20G|-20G|-40G|-10G|>", _lists("11"), MODEL),),
    "sparkle": (
        Rule(
            "geforce",
            "(X{core})<{suffix}| {suffix}>< DF||>",
            # X470, X570 and X670 are chipsets of boards, of which many more are sold.
            lambda p: len(p.core) == 3 and p.core[1:] != "70" and 2009 <= p.year <= 2012,
            MODEL,
            chance=0.3,
        ),
        Rule(
            "geforce", "(SX{letter}{core}{short}+){mb}{kind}-NM", lambda p: 2009 <= p.year <= 2012
        ),
        Rule("geforce", "(SX{core}{short}+)", lambda p: len(p.core) == 3, chance=0),
    ),
    # XFX's letter behind the number is a class of memory or boards: GT-520M is no laptop chip.
    "xfx": (
        Rule("rx", "(~RX-{number}P){gb}{@3}{?5678}", lambda p: len(p.core) == 3),
        Rule("rx", "(RX-{xfx}{xfx_suffix})<MERC|SWFT>{?BW}9", lambda p: p.core >= "7000", MODEL),
        Rule(
            "rx", "(RX-{three}X)<T|F>{@3}{?9DQPY}", lambda p: p.core[2:3] + p.suffix == "5XT", MODEL
        ),
        Rule("rx", "(RX-{xfx}XT){@4}{?9DQPY}", lambda p: p.core[2:3] + p.suffix == "0XT", MODEL),
        Rule("rx", "(RX-{xfx}XL){@4}{?9DQPY}", lambda p: p.core[2:3] + p.suffix == "0", MODEL),
        Rule("hd", "(<HD|FX>-{round}{suffix}<A|X|N>)-{@4}", says=MODEL),
        Rule("r9", "({series}-{number}<A|P>)-{@4}", lambda p: not p.suffix, MODEL),
        Rule("r9", "{series}-{number}{suffix}-{@4}", says=MODEL),
        Rule(
            "geforce",
            "({xfx_line}-{core}<A|M|N|X>-<ZNF|CNF|YNF|ZHF|ZSL|ZSF>){?24}",
            lambda p: _lined(p) and 2008 <= p.year <= 2012,
            MODEL,
        ),
    ),
    "zotac": (
        Rule(
            "geforce",
            "(ZT-{zotac}{three}{sibling}0){?ABCDEFHJKQ}-10{?LMPB}",
            lambda p: len(p.core) == 4 and bool(p.fields["zotac"] and p.fields["sibling"]),
            MODEL,
        ),
    ),
}
