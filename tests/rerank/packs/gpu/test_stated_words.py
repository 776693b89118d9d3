"""Stated words: reading a title word by word finds what searching all of it finds."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank.packs.gpu import stated_words
from rerank.packs.gpu.stated_words import (
    FORM_FAMILIES,
    STATED_FORMS,
    Stated,
    StatedWords,
    family_bits,
    form_family,
    stated_forms,
)
from rerank.packs.gpu.title_columns import ShownText

VENDORS = ["AMD", "Intel", "Matrox", "NVIDIA"]
WORDS = StatedWords(VENDORS)


def readings(titles: list[ShownText]) -> Any:
    return SimpleNamespace(titles=titles, runs=None)


def read(title: str, seller: str = "") -> Stated:
    return WORDS.read(readings([ShownText(title, seller)]))


PIECES = [
    "nvidia",
    "rtx",
    "xrtx",
    "rtx3080",
    "gv-rx580",
    "amd/ati",
    "arc",
    "arcade",
    "evga",
    "kfa2",
    "asrock",
    "his",
    "this",
    "sxm4",
    "max q",
    "max-q",
    "laptop gpu",
    "laptop",
    "pci",
    "pci-e",
    "pci express",
    "workstation",
    "servers",
    "mobility",
    "éati",
    "(intel)",
    "3080",
    "laptop graphics",
    "ноутбучной",
    "inno3d",
    "xkfa2",
    "kfa2-матрокс",
    "матроксat",
    "rtx3dhis",
]


def names(mask: int, of: list[str]) -> set[str]:
    return {name for at, name in enumerate(of) if mask >> at & 1}


def families(mask: int) -> set[str]:
    return {family for family in FORM_FAMILIES if family_bits(family) & mask}


def says(words: str, text: str) -> bool:
    return re.search(rf"(?<![a-z])(?:{words})(?![a-z])", text) is not None


@settings(max_examples=200)
@given(title=st.lists(st.sampled_from(PIECES), max_size=8), seller=st.sampled_from(["", *PIECES]))
def test_word_by_word_equals_all_at_once(title: list[str], seller: str) -> None:
    text = " ".join(title)
    vendors, partners, forms = (masks[0] for masks in read(text, seller))
    of_vendors, of_partners = stated_words._VENDOR_WORDS, stated_words._CHOOSY_PARTNERS
    assert names(vendors, VENDORS) == {v for v in VENDORS if says(of_vendors[v], text)}
    said = f"{seller} {text}"
    assert names(partners, VENDORS) == {v for v in VENDORS if says(of_partners[v], said)}
    assert families(int(forms)) == stated_forms(text)


@pytest.mark.parametrize(
    ("title", "seller", "vendors", "partners", "forms"),
    [
        ("geforce rtx3080 laptop gpu", "", {"NVIDIA"}, set(), {"mobile"}),
        ("xfx 7970 pci express", "asrock", set(), {"AMD", "Intel"}, {"PCIe"}),
        ("a100 sxm4 server", "", set(), set(), {"SXM", "PCIe"}),
        ("laptop graphics card hd 5770", "", set(), set(), {"mobile"}),
        ("ноутбучная видеокарта", "", set(), set(), {"mobile"}),
        ("matrox g450 agp", "", {"Matrox"}, {"Matrox"}, {"AGP"}),
        ("", "", set(), set(), set()),
    ],
)
def test_what_titles_state(
    title: str, seller: str, vendors: set[str], partners: set[str], forms: set[str]
) -> None:
    found = [masks[0] for masks in read(title, seller)]
    assert [names(found[0], VENDORS), names(found[1], VENDORS)] == [vendors, partners]
    assert families(int(found[2])) == forms


@pytest.mark.parametrize(
    ("title", "forms"),
    [
        ("tesla v100 sxm3 32gb", {"SXM", "SXM3"}),
        ("quadro rtx 5000 max q", {"Max-Q"}),
        ("portátil msi rtx 3060", {"laptop"}),
        ("ноутбук rtx 3060", {"laptop"}),
        ("rtx 3060 笔记本显卡", {"laptop"}),
        ("grafikkort till bärbar dator", {"laptop"}),
        ("n17e-g3 gtx 1080", {"laptop"}),
        ("carte graphique pc portable", {"laptop"}),
        ("видеокарта от ноута", {"laptop"}),
        ("laptop video rtx 3060", {"laptop", "mobile"}),
        ("کارت گرافیک لپ تاپ", {"laptop"}),
        ("rtx 4060 desktop gpu", {"desktop"}),
        ("displayport transport n970", set()),
    ],
)
def test_the_very_form_and_hints_of_one(title: str, forms: set[str]) -> None:
    (mask,) = read(title).forms.tolist()
    assert names(mask, list(STATED_FORMS)) == forms


def test_no_titles_and_unknown_vendors() -> None:
    assert [masks.shape for masks in WORDS.read(readings([]))] == [(0,), (0,), (0,)]
    vendors, _, _ = StatedWords(["Kyro", "NVIDIA"]).read(
        readings([ShownText("kyro"), ShownText("nvidia")])
    )
    assert vendors.tolist() == [0, 2]


def test_registry_forms_are_told_as_titles_tell_them() -> None:
    assert [form_family(form) for form in ("SXM5", "Max-Q", "NVL", "PCIe")] == [
        "SXM",
        "mobile",
        "PCIe",
        "PCIe",
    ]
