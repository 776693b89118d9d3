"""How sellers write a model name, without becoming another model's name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from index.records import GpuRecord
from rerank.bootstrap.dice import Dice
from rerank.bootstrap.model_name import ModelName, parse_model

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
    names = {model: parse_model(model) for model in sorted(mobile)}
    owners: dict[str, set[str]] = defaultdict(set)
    for model, name in names.items():
        for words in _partial_shapes(name, vendor[model]):
            owners[key_of(words)].add(model)
    return {
        model: _shapes(name, vendor[model], _Owners(owners, mobile, model))
        for model, name in names.items()
    }


class _Owners:
    """Says whether a sequence of words means one model only."""

    def __init__(
        self, owners: Mapping[str, set[str]], mobile: Mapping[str, bool], model: str
    ) -> None:
        self._owners, self._mobile, self._model = owners, mobile, model

    def only_mine(self, words: tuple[str, ...]) -> bool:
        """Ignore mobile namesakes of a desktop model: sellers say laptop when they mean them."""
        others = self._owners.get(key_of(words), set()) - {self._model}
        if self._mobile[self._model]:
            return not others
        return all(self._mobile[other] for other in others)


def _partial_shapes(name: ModelName, vendor: str) -> set[tuple[str, ...]]:
    shapes = {name.shape()}
    if name.digits:
        shapes |= {
            name.shape(brand=False),
            name.shape(series=False),
            name.shape(brand=False, series=False),
        }
    return shapes | {(vendor, *shape) for shape in shapes}


def _shapes(name: ModelName, vendor: str, owners: _Owners) -> Shapes:
    full = name.shape()
    long_enough = len(name.digits) >= 3
    # "A50" and "P4" stand alone, "Duo" and "T2" do not.
    alone = len(name.digits) >= 2 or bool(name.series) or name.brand == ("Tesla",)
    dropped = [name.shape(brand=False)] if alone else []
    if long_enough:
        dropped += [name.shape(series=False), (vendor, *name.shape(brand=False, series=False))]
        dropped.append(name.shape(brand=False, series=False))
    safe = tuple(
        dict.fromkeys(s for s in dropped if s != full and key_of(s) and owners.only_mine(s))
    )
    short = min((full, *safe), key=lambda words: (len(words), len(key_of(words))))
    odd = tuple(s for s in _odd_shapes(name, vendor, owners) if owners.only_mine(s))
    return Shapes(full=full, safe=safe, short=short, odd=odd)


def _odd_shapes(name: ModelName, vendor: str, owners: _Owners) -> list[tuple[str, ...]]:
    """Return wrong series words, borrowed brands and dropped editions that stay decidable."""
    odd: list[tuple[str, ...]] = []
    bare = (name.number, *name.suffixes)
    if name.brand == ("GeForce",) and name.series and owners.only_mine((vendor, *bare)):
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
    style = dice.random()
    if style < 0.3:
        return text.lower()
    if style < 0.4:
        return text.upper()
    return text.title() if style < 0.46 and text.isascii() else text


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
