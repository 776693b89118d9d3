"""Words of a title that state a chip vendor, a board partner or a form factor.

Titles share most of their words, so what a word states is looked up once and remembered.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache, lru_cache, reduce
from itertools import accumulate
from operator import or_
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.index.records import FORM_FACTORS, GpuRecord
from rerank.packs.gpu.lexicon import memory_type_code
from rerank.packs.gpu.title_columns import TitleReadings

Ints = NDArray[np.int64]

_VENDOR_WORDS = {
    "NVIDIA": r"nvidia|geforce|quadro|tesla|gtx|rtx|gts|nvs|nv",
    "AMD": r"amd|ati|radeon|firepro|firegl|rx|instinct",
    "Intel": r"intel|arc",
    "Matrox": r"matrox|millennium|матрокс",
}
_CHOOSY_PARTNERS = {
    "NVIDIA": r"evga|zotac|palit|pny|inno3d|galax|kfa2|gainward|colorful|igame|manli|bfg|leadtek",
    "AMD": r"sapphire|powercolor|xfx|his|visiontek|diamond|asrock",
    "Intel": r"asrock|gunnir",
    "Matrox": r"matrox",
}


_LETTERS = re.compile(r"[a-z]+")
_ALL_WORDS = "|".join([*_VENDOR_WORDS.values(), *_CHOOSY_PARTNERS.values()]).split("|")
# Words of more than letters, which no run of letters is. A letter before them is looked for after.
_MIXED = "|".join(word for word in _ALL_WORDS if not _LETTERS.fullmatch(word))
_MIXED_WORD = re.compile(rf"(?:{_MIXED})(?![a-z])")
_FORM_PATTERN = re.compile(
    r"(?<![a-z0-9])(?:(?P<SXM>sxm(?P<socket>[2-6])?)|(?P<OAM>oam)|(?P<NVL>nvl)|(?P<MXM>mxm)"
    r"|(?P<Max>max[- ]?q)|(?P<mobile>mobile|mobility|notebook"
    r"|laptop[ -](?:gpu|graphics?|video|vga|grafi[a-z]*)|ноутбучн[а-я]*)"
    r"|(?P<AGP>agp)|(?P<PCIe>pci-?e|pci express|pcie)|(?P<PCI>pci)(?! ?-?e)"
    r"|(?P<server>server)|(?P<workstation>workstation))(?![a-z])"
)
# A machine that is carried, in the languages of listings, and NVIDIA's numbers of chips for such
# (N17E-G1, GN20-E3). None states a form: the whole machine may be for sale, or a card that is no
# part of one; of a model that is both, they speak for the chip that is soldered in.
_LAPTOP_PATTERN = re.compile(
    r"laptop|notebook|portatil|port[aá]til|ordinateur portable|d[iı]z[uü]st[uü]|b[aä]rbar|b[aæ]rbar"
    r"|kannettava|přenosn|ноут|лэптоп|лаптоп|pc portable|lap-top|لپ ?تاپ|لابتوب|โน[้๊]?[ตด]บุ|נייד"
    r"|笔记本|筆電|筆記型|筆記本|ノート|노트북"
    r"|(?<![a-z0-9])(?:gn[23]\d-|n1[1-9][epmv]-)"
)
_DESKTOP_PATTERN = re.compile(r"desktop|настольн|stolní|台式|桌上型|デスクトップ")
# Every form begins inside one word; only titles with such a word are searched.
_BEGINS_FORM = re.compile(
    r"sxm|oam|nvl|mxm|max|mobil|laptop|notebook|agp|pci|server|workstation|desktop|port[aá]"
    r"|d[iı]z[uü]|b[aäæ]rb|kannett|přenos|stoln|ноут|лэпт|лапт|lap-|настол|تاپ|لاب|โน|נייד|[笔筆ノ노台桌デ]|(?<![a-z0-9])g?n\d"
)
_FORM_FAMILY = {
    **{form: form for form in FORM_FACTORS},
    **{f"SXM{n}": "SXM" for n in range(2, 7)},
    "Max-Q": "mobile",
    "MXM": "mobile",
    "Max": "mobile",
    "NVL": "PCIe",
    "server": "PCIe",
    "workstation": "PCIe",
    "integrated": "mobile",
}
FORM_FAMILIES: tuple[str, ...] = tuple(sorted(set(_FORM_FAMILY.values())))
"""All that a form factor counts as where titles state one."""
STATED_FORMS = (*FORM_FACTORS, "laptop", "desktop", "letter M")
"""The bits of what a title states of forms: registry's form factors, and three hints of one."""
_FORM_BIT = {form: 1 << at for at, form in enumerate(STATED_FORMS)}
_CACHED_WORDS = 16_384  # of titles that are read one by one, and of sellers
# The bits of what one word states: chip vendors, the vendors partners serve, whether a form begins.
_PARTNERS_FROM = 31
_VENDORS = (1 << _PARTNERS_FROM) - 1
_BEGINS = 1 << 2 * _PARTNERS_FROM


def form_family(form_factor: str) -> str:
    """Return what a registry's form factor counts as where titles state one: `SXM4` as `SXM`."""
    return _FORM_FAMILY[form_factor]


def form_bits(*forms: str) -> int:
    """Return the mask of some of `STATED_FORMS`."""
    return sum(_FORM_BIT[form] for form in forms)


@cache
def family_bits(family: str) -> int:
    """Return the mask of the form factors that count as a family's."""
    return form_bits(*(form for form in FORM_FACTORS if _FORM_FAMILY[form] == family))


def stated_forms(text: str) -> set[str]:
    """Return the form families that a normalised title states."""
    return {_FORM_FAMILY[str(match.lastgroup)] for match in _FORM_PATTERN.finditer(text)}


def _stated_bits(text: str) -> int:
    """Return the mask over `STATED_FORMS` of a normalised title."""
    mask = 0
    for match in _FORM_PATTERN.finditer(text):
        form = str(match.lastgroup)
        mask |= _FORM_BIT["Max-Q" if form == "Max" else form]
        if match["socket"]:
            mask |= _FORM_BIT[match[0].upper()]
    mask |= _FORM_BIT["laptop"] if _LAPTOP_PATTERN.search(text) else 0
    return mask | (_FORM_BIT["desktop"] if _DESKTOP_PATTERN.search(text) else 0)


class Stated(NamedTuple):
    """What titles state, as masks of shape (titles,).

    :param vendors: the chip vendors, in the order that `StatedWords` was given.
    :param partners: the chip vendors that the board partners serve.
    :param forms: over `STATED_FORMS`.
    """

    vendors: Ints
    partners: Ints
    forms: Ints


def chip_vendors(records: Sequence[GpuRecord]) -> list[str]:
    """Return a registry's chip vendors in the order of their bits."""
    return sorted({record.vendor for record in records})


def memory_types(records: Sequence[GpuRecord]) -> Ints:
    """Return the codes of records' memory types, as `memory_type_code` reads them in titles."""
    # The first generation is written without its digit.
    codes = {
        each: memory_type_code(f"{each} ".replace("DDR ", "DDR1 ").lower())
        for each in {record.memory_type for record in records}
    }
    return np.array([codes[record.memory_type] for record in records], np.int64)


class StatedWords:
    """Reads what titles state, as masks: one number a title, one bit a vendor or form.

    :param vendors: chip vendors in the order of their bits.
    """

    def __init__(self, vendors: Sequence[str]) -> None:
        self._bits: dict[str, int] = {}
        for at, vendor in enumerate(vendors):
            for words, place in ((_VENDOR_WORDS, at), (_CHOOSY_PARTNERS, at + _PARTNERS_FROM)):
                for word in words.get(vendor, "").split("|"):
                    self._bits[word] = self._bits.get(word, 0) | 1 << place
        self._of_word = lru_cache(_CACHED_WORDS)(lambda word: self._signs([word])[0])

    def read(self, readings: TitleReadings) -> Stated:
        """Return what titles state, each with its vendor column, in which partners count too."""
        titles = readings.titles
        if readings.runs is None:
            signs = np.array([self._shown(each.title) for each in titles], np.int64)
        else:
            words = readings.runs.vocabulary.told(self._signs, "words")[readings.runs.word]
            signs = np.bitwise_or.reduceat(words, readings.runs.word_offsets[:-1])
        sellers = [self._shown(each.seller) if each.seller else 0 for each in titles]
        forms = np.zeros(len(titles), np.int64)
        for at in np.flatnonzero(signs & _BEGINS).tolist():
            forms[at] = _stated_bits(titles[at].title)
        partners = ((signs | np.array(sellers, np.int64)) & ~_BEGINS) >> _PARTNERS_FROM
        return Stated(signs & _VENDORS, partners, forms)

    def _shown(self, text: str) -> int:
        """Return what any word of a text states."""
        return reduce(or_, map(self._of_word, text.split(" ")), 0)

    def _signs(self, words: Sequence[str]) -> list[int]:
        """Return what words state: vendors' bits, then partners', then `_BEGINS`."""
        text, bits = "\n".join(words), self._bits
        found = [(run.start(), bits[run[0]]) for run in _LETTERS.finditer(text) if run[0] in bits]
        for word in _MIXED_WORD.finditer(text):
            if word[0] in bits and not _LETTERS.match(text, max(0, word.start() - 1), word.start()):
                found.append((word.start(), bits[word[0]]))
        found += [(form.start(), _BEGINS) for form in _BEGINS_FORM.finditer(text)]
        signs = [0] * len(words)
        starts = list(accumulate((len(word) + 1 for word in words), initial=0)) if found else []
        for place, stated in found:
            signs[bisect_right(starts, place) - 1] |= stated
        return signs
