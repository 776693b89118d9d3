"""Names and titles as sellers write them: the parts of a name, its shapes, misspellings, noise.

A shape is a sequence of words that still means one model and no other of the registry, so that no
generated title contradicts its label.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from rerank.index.records import GpuRecord
from rerank.packs.gpu.bootstrap.grammar import Dice, tidy

SHORT_SUFFIXES = frozenset(
    "Ti SUPER XT XTX GRE GT GTS GTX GS GSO LE SE PRO Pro X D ADA Ada LP XL GTO Ultra BOOST".split()
)
MOBILE_FORMS = frozenset(["mobile", "MXM", "Max-Q"])
VENDORS = frozenset(["AMD", "ATI"])
EDITION_WORDS = frozenset(["Ada", "Blackwell"])
CYRILLIC = {
    "GeForce": ("джифорс", "жефорс", "гефорс"),
    "Radeon": ("радеон", "радион"),
    "RTX": ("ртх", "РТХ"),
    "GTX": ("гтх", "ГТХ", "жтх"),
    "GT": ("гт",),
    "RX": ("рх", "РХ"),
    "HD": ("хд",),
    "Quadro": ("квадро",),
    "Tesla": ("тесла",),
    "Ti": ("ти",),
    "SUPER": ("супер",),
}


@dataclass(frozen=True, slots=True)
class Shapes:
    """The word sequences that still mean this model and no other of the registry."""

    full: tuple[str, ...]
    safe: tuple[tuple[str, ...], ...]
    short: tuple[str, ...]
    odd: tuple[tuple[str, ...], ...]


def is_mobile(record: GpuRecord) -> bool:
    """Return whether the variant is a laptop's."""
    return record.form_factor in MOBILE_FORMS or "mobil" in record.line.lower()


def key_of(words: Iterable[str]) -> str:
    """Return what remains of words when spaces and case do not count."""
    return "".join(words).lower()


def shapes_by_model(records: Iterable[GpuRecord]) -> dict[str, Shapes]:
    """Return for every model the shapes that name it alone."""
    mobile: dict[str, bool] = {}
    vendor: dict[str, str] = {}
    for record in records:
        mobile[record.model] = mobile.get(record.model, True) and is_mobile(record)
        vendor[record.model] = record.vendor
    names = {model: name_parts(model) for model in sorted(mobile)}
    owners: dict[str, set[str]] = defaultdict(set)
    for model, name in names.items():
        for words in _partial_shapes(name, vendor[model]):
            owners[key_of(words)].add(model)

    def only(model: str, words: tuple[str, ...]) -> bool:
        """Return whether the words mean this model alone.

        Mobile namesakes of a desktop model are ignored: sellers say laptop when they mean them.
        """
        others = owners.get(key_of(words), set()) - {model}
        return all(mobile[other] and not mobile[model] for other in others)

    return {
        model: _shapes(name, vendor[model], partial(only, model)) for model, name in names.items()
    }


_IsAlone = Callable[[tuple[str, ...]], bool]


def _partial_shapes(name: MarketingName, vendor: str) -> set[tuple[str, ...]]:
    shapes = {name.shape()}
    if name.digits:
        shapes |= {
            name.shape(brand=False),
            name.shape(series=False),
            name.shape(brand=False, series=False),
        }
    return shapes | {(vendor, *shape) for shape in shapes}


def _shapes(name: MarketingName, vendor: str, is_alone: _IsAlone) -> Shapes:
    full = name.shape()
    long_enough = len(name.digits) >= 3
    # "A50" and "P4" stand alone, "Duo" and "T2" do not.
    alone = len(name.digits) >= 2 or bool(name.series) or name.brand == ("Tesla",)
    dropped = [name.shape(brand=False)] if alone else []
    if long_enough:
        dropped += [name.shape(series=False), (vendor, *name.shape(brand=False, series=False))]
        dropped.append(name.shape(brand=False, series=False))
    safe = tuple(dict.fromkeys(s for s in dropped if s != full and key_of(s) and is_alone(s)))
    short = min((full, *safe), key=lambda words: (len(words), len(key_of(words))))
    odd = tuple(s for s in _odd_shapes(name, vendor, is_alone) if is_alone(s))
    return Shapes(full=full, safe=safe, short=short, odd=odd)


def _odd_shapes(name: MarketingName, vendor: str, is_alone: _IsAlone) -> list[tuple[str, ...]]:
    """Return wrong series words, borrowed brands and dropped editions that stay decidable."""
    odd: list[tuple[str, ...]] = []
    bare = (name.number, *name.suffixes)
    if name.brand == ("GeForce",) and name.series and is_alone((vendor, *bare)):
        others = [s for s in ("GTX", "RTX", "GT") if s != name.series[0]]
        odd += [(*brand, s, *bare) for s in others for brand in ((), ("GeForce",))]
    if not name.brand and name.main_series == "RTX":
        odd.append(("Quadro", *name.shape()))
    if not name.brand and name.number[:1] in "AHLT" and name.digits and not name.series:
        odd.append(
            ("Quadro" if name.number[0] == "T" and len(name.digits) > 2 else "Tesla", *name.shape())
        )
    if name.brand == ("Quadro",) and name.series:
        odd.append(name.shape(brand=False))
    if name.brand and name.brand[0] == "Radeon" and name.main_series in ("HD", "R7", "R9", "R5"):
        odd.append(("ATI", *name.shape()))
        if is_alone((vendor, *bare)):
            odd += [("RX", *bare), ("Radeon", "RX", *bare)]
    if set(name.suffixes) & EDITION_WORDS:
        odd.append(
            (*name.series, name.number, *(s for s in name.suffixes if s not in EDITION_WORDS))
        )
    return odd


def spell(words: tuple[str, ...], dice: Dice, *, loose: bool) -> str:
    """Write the words as a seller would; ``loose`` allows joined and lower-case forms."""
    join = 0.45 if loose else 0.12
    text = words[0]
    for previous, word in pairwise(words):
        if loose and word == "SUPER" and dice.chance(0.3):
            text += "S" if previous == "Ti" or dice.chance(0.8) else " S"
        else:
            text += _gap(previous, word, dice, join) + _suffix_word(word, dice)
    if not loose:
        return text.upper() if dice.chance(0.1) else text
    return _recased(text, dice.random(), lower=0.3, upper=0.4, title=0.46)


def spell_cyrillic(words: tuple[str, ...], dice: Dice) -> str:
    """Write the words with Cyrillic letters where Russian sellers do."""
    gap = "" if dice.chance(0.3) else " "
    return gap.join(dice.pick(CYRILLIC[w]) if w in CYRILLIC else w for w in words)


def _gap(previous: str, word: str, dice: Dice, join: float) -> str:
    if word[0].isdigit() and previous[-1].isdigit():
        return " "
    after_number = previous[-1].isdigit() or previous in SHORT_SUFFIXES
    joinable = (word in SHORT_SUFFIXES and after_number) or (
        word[0].isdigit() and len(previous) <= 3 and previous not in VENDORS
    )
    if joinable and dice.chance(join):
        return ""
    return "-" if word[0].isdigit() and dice.chance(0.03) else " "


def _suffix_word(word: str, dice: Dice) -> str:
    if word == "SUPER":
        return "Super" if dice.chance(0.45) else "SUPER"
    if word == "Ti":
        return "TI" if dice.chance(0.3) else "Ti"
    if word == "Ada":
        return dice.pick(("Ada", "ADA", "Ada Generation", "Ada"))
    return word


MISSPELLED = {
    "geforce": ("Gefore", "GeFofce", "Ge Force", "GForce", "GEFORE", "Geforse", "GeoForce"),
    "radeon": ("Raedon", "Radeo", "RADEON�", "Radean", "Raden"),
    "nvidia": ("Nvida", "Nividia", "NVDIA", "Nvidea", "nVida", "NIVIDIA"),
    "gigabyte": ("Gigabite", "Gygabyte", "gigabtye", "gygabite", "GIGABTE"),
    "sapphire": ("Saphire", "Sapphir", "Sappfire"),
    "graphics": ("Grapics", "Graphc", "Grafics", "Graphic"),
    "видеокарта": ("видеокарт", "Видиокарта", "видекарта"),
    "zotac": ("Zotak", "ZOTEC"),
    "quadro": ("Quadra", "Qudro", "QUADRO"),
    "express": ("Expres", "Exress"),
    "strix": ("Stix", "STRIXX"),
    "colorful": ("Colourful", "Colorfull"),
    "palit": ("Pallit",),
}
NEIGHBOURS = {
    "a": "sq",
    "b": "vn",
    "c": "xv",
    "d": "sf",
    "e": "wr",
    "f": "dg",
    "g": "fh",
    "h": "gj",
    "i": "uo",
    "k": "jl",
    "l": "k",
    "m": "n",
    "n": "bm",
    "o": "ip",
    "p": "o",
    "r": "et",
    "s": "ad",
    "t": "ry",
    "u": "yi",
    "v": "cb",
    "y": "tu",
}
# A typo in these could make another model of it.
IDENTIFYING = frozenset(
    "super titan blackwell mobile laptop server boost ultra edition workstation fury nano".split()
)
LIMITS = (80, 80, 80, 60, 40, 50, 100)

# "21 Gbps" must not become "21 GB", nor "3080" "30".
_CUT_NUMBER = re.compile(r"\d\W*[a-z]{0,2}$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{5,}")


def truncate(title: str, evidence: Sequence[str], dice: Dice) -> str:
    """Cut at a marketplace's limit unless that would cut away what identifies the card."""
    limit = dice.pick(LIMITS)
    cut = title[:limit].rstrip()
    if title[len(cut) : len(cut) + 1].isalnum() and _CUT_NUMBER.search(cut):
        return title
    return cut if all(text in cut for text in evidence) else title


def misspell(title: str, protected: str, dice: Dice) -> str:
    """Misspell one word that does not belong to the model name."""
    words = [m for m in _WORD.finditer(title) if m[0].lower() not in IDENTIFYING]
    if not words:
        return title
    match = dice.pick(words)
    word = match[0]
    known = MISSPELLED.get(word.lower())
    if known is not None and dice.chance(0.7):
        return title[: match.start()] + dice.pick(known) + title[match.end() :]
    if word.lower() in protected.lower() and known is None:
        return title
    return title[: match.start()] + _typo(word, dice) + title[match.end() :]


def disturb(title: str, evidence: Sequence[str], dice: Dice) -> str:
    """Return the title with a few accidents of real listings."""
    if dice.chance(0.08):
        title = truncate(title, evidence, dice)
    if dice.chance(0.04):
        title = misspell(title, " ".join(evidence), dice)
    title = _recased(title, dice.random(), lower=0.07, upper=0.13, title=0.145)
    if dice.chance(0.03):
        title = _decorate(title, dice)
    if dice.chance(0.02):
        title = html.escape(title)
    return tidy(title)


def _typo(word: str, dice: Dice) -> str:
    at = 1 + dice.below(len(word) - 1)
    kind = dice.below(4)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    if kind == 2 and at + 1 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    near = NEIGHBOURS.get(word[at].lower())
    return word if near is None else word[:at] + dice.pick(near) + word[at + 1 :]


def _recased(text: str, roll: float, *, lower: float, upper: float, title: float) -> str:
    """Return the text in the case that a roll of [0, 1) falls into, each up to its limit."""
    if roll < lower:
        return text.lower()
    if roll < upper:
        return text.upper()
    return text.title() if roll < title and text.isascii() else text


def _decorate(title: str, dice: Dice) -> str:
    kind = dice.below(7)
    if kind == 0:
        return title.replace(" ", "  ", 2)
    if kind == 1:
        return f"{title} & cables" if dice.chance(0.5) else f'"{title}"'
    if kind == 2:
        return title.replace("GeForce", "GeForce®").replace("Radeon", "Radeon™")
    if kind == 3:
        return title.replace(" - ", " – ").replace("RTX ", "RTX™ ")
    if kind == 4:
        return title.replace(" ", "_") if dice.chance(0.3) else f"New Listing{title}"
    if kind == 5:
        return title.replace("(", "").replace(")", "").replace(" ", ", ", 1)
    first = title.split(" ", 1)[0]
    return f"{first} {title}" if first.isalpha() else title


# Letters of scripts and languages, most of which no list of words knows.
ALPHABETS = (
    "aeiouybcdfghklmnprstv",
    "aeiouäöåõüšžbdghklmnprstv",
    "aeioućčđšžbdgjklmnprtvz",
    "aăâeiîoușțbcdflmnprtv",
    "aáàảãạeéèoóòơuưbcđghlmnpstv",
    "αβγδεζηθικλμνξοπρστυφχω",
    "абвгдежзийклмнопрстуфхцчшщъюя",
    "ابتثجحخدذرزسشصضطعغفقكلمنهوي",
    "آابپتجچحخدرزسشفقکگلمنوهی",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "әғқңөұүһіабдежзиклмнорстушы",
    "กขคงจชซญดตทนบปพฟมยรลวสหอัิีุู่้์าเแโ",
    "अआइउएकखगघचजटडतदनपबमयरलवशसहािीुेो्ंािे्",
    "অআইএকখগঘচজটডতদনপবমযরলশসহািীুে্",
    "அஆஇஎகசடதநபமயரலவளறனாிீுே்்",
    "აბგდევზთიკლმნოპრსტუფქშჩცხ",
    "의가나다라마바사아자차카타파하고노도로모보소오",
    "的一是在不了有和人这中大为上个国我以要他时来用们",
)


def invented_word(dice: Dice) -> str:
    """Return a word in Latin letters that no list knows, such as a maker's name."""
    letters = ALPHABETS[0]
    word = "".join(dice.pick(letters) for _ in range(4 + dice.below(5)))
    return word.upper() if dice.chance(0.2) else word.capitalize()


def babble(dice: Dice) -> str:
    """Return one to five words of no language: what a title says in one that is not known."""
    letters = dice.pick(ALPHABETS)
    words = []
    for _ in range(1 + dice.below(5)):
        word = "".join(dice.pick(letters) for _ in range(3 + dice.below(7)))
        words.append(word.capitalize() if dice.chance(0.3) else word)
    return " ".join(words)


BRAND_WORDS = frozenset(
    "GeForce GeForce2 GeForce3 GeForce4 Radeon Mobility Quadro Quadro4 Tesla FirePro FireGL FireMV "
    "FireStream Arc Instinct NVS GRID CMP Data Center GPU Riva Millennium".split()
)
# Words between brand and number; "PRO" and "Vega" are part of the series, not suffixes.
SERIES_WORDS = frozenset(
    "RTX GTX GTS GT G FX MX PCX HD RX R5 R7 R9 WX W PRO Pro Vega NVS Flex Max Plex".split()
)


@dataclass(frozen=True, slots=True)
class MarketingName:
    """``GeForce RTX 4060 Ti`` is brand GeForce, series RTX, number 4060, suffixes (Ti,)."""

    text: str
    brand: tuple[str, ...]
    series: tuple[str, ...]
    number: str
    suffixes: tuple[str, ...]

    @property
    def suffix(self) -> str:
        """Return the suffixes joined, upper case: ``TISUPER``."""
        return "".join(self.suffixes).upper()

    @property
    def digits(self) -> str:
        """Return the digits of the number."""
        return "".join(c for c in self.number if c.isdigit())

    @property
    def main_series(self) -> str:
        """Return the first series word, or an empty text."""
        return self.series[0] if self.series else ""

    def shape(self, *, brand: bool = True, series: bool = True) -> tuple[str, ...]:
        """Return the words of the name without the parts switched off."""
        return (
            (self.brand if brand else ())
            + (self.series if series else ())
            + (self.number,)
            + self.suffixes
        )


def name_parts(text: str) -> MarketingName:
    """Split a conventional model name into its parts."""
    words = text.split()
    at = 0
    while at < len(words) - 1 and words[at] in BRAND_WORDS:
        at += 1
    if at < len(words) - 1 and words[at] == "Pro" and at:  # Radeon Pro, Arc Pro: a brand
        at += 1
    start = at
    while at < len(words) - 1 and words[at] in SERIES_WORDS:
        at += 1
    return MarketingName(
        text, tuple(words[:start]), tuple(words[start:at]), words[at], tuple(words[at + 1 :])
    )
