"""Words of a title that state a chip vendor, a board partner or a form factor.

Titles share most of their words, so what a word states is looked up once and remembered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.index.records import FORM_FACTORS

Ints = NDArray[np.int64]

_VENDOR_WORDS = {
    "NVIDIA": r"nvidia|geforce|quadro|tesla|gtx|rtx|gts|nvs|nv",
    "AMD": r"amd|ati|radeon|firepro|firegl|rx|instinct",
    "Intel": r"intel|arc",
}
_VENDOR_PATTERN = {
    vendor: re.compile(rf"(?<![a-z])(?:{words})(?![a-z])")
    for vendor, words in _VENDOR_WORDS.items()
}
_CHOOSY_PARTNERS = {
    "NVIDIA": r"evga|zotac|palit|pny|inno3d|galax|kfa2|gainward|colorful|igame|manli|bfg|leadtek",
    "AMD": r"sapphire|powercolor|xfx|his|visiontek|diamond|asrock",
    "Intel": r"asrock|gunnir",
}
_PARTNER_PATTERN = {
    vendor: re.compile(rf"(?<![a-z])(?:{words})(?![a-z])")
    for vendor, words in _CHOOSY_PARTNERS.items()
}
_FORM_PATTERN = re.compile(
    r"(?<![a-z0-9])(?:(?P<SXM>sxm[2-6]?)|(?P<OAM>oam)|(?P<NVL>nvl)|(?P<MXM>mxm)"
    r"|(?P<Max>max[- ]?q)|(?P<mobile>mobile|mobility|laptop gpu|notebook)"
    r"|(?P<AGP>agp)|(?P<PCIe>pci-?e|pci express|pcie)|(?P<PCI>pci)(?! ?-?e)"
    r"|(?P<server>server)|(?P<workstation>workstation))(?![a-z])"
)
# Every form begins inside one word; only titles with such a word are searched.
_BEGINS_FORM = re.compile(r"sxm|oam|nvl|mxm|max|mobil|laptop|notebook|agp|pci|server|workstation")
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
_CACHED_WORDS = 200_000


def form_family(form_factor: str) -> str:
    """Return what a registry's form factor counts as where titles state one: `SXM4` as `SXM`."""
    return _FORM_FAMILY[form_factor]


def stated_forms(text: str) -> set[str]:
    """Return the form families that a normalised title states."""
    return {_FORM_FAMILY[str(match.lastgroup)] for match in _FORM_PATTERN.finditer(text)}


class _Signs(NamedTuple):
    """What one word states: bits of the chip vendors, and whether a form may begin in it."""

    vendors: int
    partners: int
    begins_form: bool


class StatedWords:
    """Reads what titles state, as masks: one number a title, one bit a vendor or form family.

    :param vendors: chip vendors in the order of their bits.
    """

    def __init__(self, vendors: Sequence[str]) -> None:
        self._vendors = [
            (1 << at, _VENDOR_PATTERN[vendor], _PARTNER_PATTERN[vendor])
            for at, vendor in enumerate(vendors)
            if vendor in _VENDOR_PATTERN
        ]
        self._form_bit = {family: 1 << at for at, family in enumerate(FORM_FAMILIES)}
        self._signs: dict[str, _Signs] = {}

    def read(self, texts: Sequence[tuple[str, str]]) -> tuple[Ints, Ints, Ints]:
        """Return the chip vendors, the partners' chip vendors and the forms, each of (titles,).

        :param texts: normalised titles, each with its vendor column, in which partners count too.
        """
        rows = [self._masks(text, seller) for text, seller in texts]
        vendors, partners, forms = np.array(rows, np.int64).reshape(len(rows), 3).T
        return vendors, partners, forms

    def _masks(self, text: str, seller: str) -> tuple[int, int, int]:
        vendors = partners = forms = 0
        begins_form = False
        for word in text.split(" "):
            signs = self._signs.get(word) or self._look_up(word)
            vendors |= signs.vendors
            partners |= signs.partners
            begins_form |= signs.begins_form
        for word in seller.split(" ") if seller else ():
            partners |= (self._signs.get(word) or self._look_up(word)).partners
        if begins_form:
            for family in stated_forms(text):
                forms |= self._form_bit[family]
        return vendors, partners, forms

    def _look_up(self, word: str) -> _Signs:
        vendors = partners = 0
        for bit, vendor_words, partner_words in self._vendors:
            vendors |= bit if vendor_words.search(word) else 0
            partners |= bit if partner_words.search(word) else 0
        signs = _Signs(vendors, partners, bool(_BEGINS_FORM.search(word)))
        if len(self._signs) < _CACHED_WORDS:
            self._signs[word] = signs
        return signs
