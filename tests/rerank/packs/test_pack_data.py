"""What packs know: units, header words, cues; and GTINs."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from rerank.index.errors import FaultsError, InputError
from rerank.packs.generic.pack_data import CUE_KINDS, Pack, gtin14, pack_names, read_pack
from rerank.settings import settings_of


def test_units_are_read_into_their_base() -> None:
    scales = read_pack("generic").scales()
    assert scales["mhz"][:2] == ("ghz", 0.001)
    assert scales["zoll"][:2] == scales['"'][:2] == ("in", 1)
    assert 139.7 * scales["cm"].scale == pytest.approx(55)
    assert scales["гб"].base == scales["go"].base == "gb"
    assert scales["to"].shy
    assert not scales["tb"].shy


@pytest.mark.parametrize("name", pack_names())
def test_a_spelling_stands_in_one_unit(name: str) -> None:
    units = read_pack(name).units
    counts = Counter(
        spelling
        for unit in units.values()
        for spellings in unit.spellings.values()
        for spelling in spellings
    )
    assert [spelling for spelling, count in counts.items() if count > 1] == []
    assert [word for unit in units.values() for word in unit.shy if word not in counts] == []


@pytest.mark.parametrize("name", pack_names())
def test_words_are_lower_case(name: str) -> None:
    pack = read_pack(name)
    words = [word for kind in CUE_KINDS for word in pack.cue_words(kind)]
    words += [word for group in pack.synonyms for word in group]
    words += [word for role in pack.headers for word in pack.header_words(role)]
    words += list(pack.scales())
    assert [word for word in words if word != word.lower()] == []


def test_a_synonym_stands_in_one_group() -> None:
    counts = Counter(word for group in read_pack("generic").synonyms for word in group)
    assert [word for word, count in counts.items() if count > 1] == []


def test_unknown_packs_and_keys_are_said() -> None:
    with pytest.raises(InputError, match=r"pack 'fridge': there is none; known: generic"):
        read_pack("fridge")
    with pytest.raises(FaultsError, match=r"expected keys out of accessory, .*found \{'spare"):
        settings_of(Pack, {"name": "tea", "cues": {"spare": {"en": ["lid"]}}})
    with pytest.raises(FaultsError, match="patterns: expected a list of regular expressions"):
        settings_of(Pack, {"name": "tea", "identifiers": {"patterns": ["(bx"]}})


def test_a_pack_adds_to_the_one_it_extends() -> None:
    below, pack = read_pack("generic"), read_pack("processors")
    assert (below.one, pack.one) == ("product", "processor")
    scales = pack.scales()
    assert scales["quad-core"][:2] == ("core", 4)
    assert scales["cores"][:2] == ("core", 1)
    assert set(below.cue_words("accessory")) < set(pack.cue_words("accessory"))
    assert below.cue_words("whole") == ()
    assert "notebook" in pack.cue_words("whole")
    assert pack.units["kg"] == below.units["kg"]


@pytest.mark.parametrize(
    ("text", "found", "inner"),
    [
        ("boxed bx80677g4560 new", ["bx80677g4560"], []),
        ("bx8071512100 lga1700", ["bx8071512100"], ["12100"]),
        ("yd1200bbm4kaf", ["yd1200bbm4kaf"], ["1200"]),
        ("100-000000510 am5", ["100-000000510"], []),
        ("pulled srg0x slots address", ["srg0x"], []),
    ],
)
def test_part_numbers_of_processors(text: str, found: list[str], inner: list[str]) -> None:
    rules = read_pack("processors").identifiers
    assert [m[0] for rule in rules.patterns for m in re.finditer(rule, text)] == found
    assert [m[1] for rule in rules.inner for m in re.finditer(rule, text)] == inner


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4006381333931", "04006381333931"),
        ("0 36000 29145 2", "00036000291452"),
        ("978-3-16-148410-0", "09783161484100"),
        ("4006381333932", ""),  # another check digit
        ("00000000", ""),
        ("40063813339", ""),
        ("٤٠٠٦٣٨١٣٣٣٩٣١", ""),
    ],
)
def test_gtins_are_known_by_their_check_digit(text: str, expected: str) -> None:
    assert gtin14(text) == expected
