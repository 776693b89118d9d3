"""Part-number stems: each against a code printed on a real board."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rerank.index.records import GpuRecord
from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.naming import parse_model
from rerank.packs.gpu.part_numbers import Board, Stem, stems

MakeGpu = Callable[..., GpuRecord]

# (model, a real code of it): the letters and digits of the code begin with one of the stems.
REAL_CODES = [
    ("GeForce RTX 4060 Ti", "GV-N406TEAGLE OC-8GD"),
    ("GeForce RTX 4070 Ti SUPER", "GV-N407TSGAMING OC-16GD"),
    ("GeForce GTX 1660 SUPER", "GV-N166SOC-6GD"),
    ("GeForce GTX 1060", "GV-N1060WF2OC-6GD"),
    ("GeForce GTX 660", "N660 TF 2GD5/OC"),
    ("GeForce GTX 560 Ti", "N560GTX-Ti Hawk"),
    ("GeForce GTX 650 Ti Boost", "N650Ti2GD5/OCBE"),
    ("GeForce RTX 4060 Ti", "VCG4060T16TFXPB1"),
    ("GeForce RTX 5090", "VCG509032TFXXPB1"),
    ("GeForce GTX 960", "VCGGTX9604XPB"),
    ("Quadro P4000", "VCQP4000-PB"),
    ("Quadro FX 1800", "VCQFX1800-PCIE-PB"),
    ("RTX A2000", "VCNRTXA2000-PB"),
    ("RTX 6000 Ada", "VCNRTX6000ADA-PB"),
    ("RTX PRO 6000 Blackwell", "VCNRTXPRO6000-PB"),
    ("Tesla K80", "TCSK80M-PB"),
    ("GeForce RTX 3060 Ti", "ZT-A30610H-10M"),
    ("GeForce GTX 1070", "ZT-P10700G-10M"),
    ("GeForce RTX 2080 SUPER", "ZT-T20820F-10P"),
    ("GeForce RTX 4060 Ti", "ZT-D40610E-10M"),
    ("GeForce GTX 1050 Ti", "NE5105T018G1-1070F"),
    ("GeForce RTX 3080", "NED3080019IA-132AA"),
    ("GeForce RTX 3060 Ti", "C306T2-08D6X-1710VA42"),
    ("GeForce RTX 4070 Ti SUPER", "N407TS3-166XX-186156L"),
    ("GeForce GTX 1060", "N1060-2DDN-N5GM"),
    ("GeForce GTX 1660 SUPER", "VCG16606SDFPPB"),
    ("GeForce RTX 2070 SUPER", "VCG20708STFMPB"),
    ("GeForce GTX 1650", "VCG16504SFPPB"),
    ("GeForce RTX 5060 Ti", "VCG506116DFXPB1"),
    ("GeForce GTX 570", "VCGGTX570XPB"),
    ("GeForce RTX 4070 Ti SUPER", "NED47TSS19T2-1043A"),
    ("GeForce RTX 2060 SUPER", "NE6206SS19P2-1062A"),
    ("GeForce GTX 750 Ti", "NE5X75TS1341-1073F"),
    ("GeForce RTX 5060 Ti", "ZT-B50620J-10M"),
    ("GeForce RTX 4080", "ZT-D40810D-10P"),
    ("GeForce RTX 3070", "08G-P5-3767-KR"),
    ("GeForce GT 640", "02G-P4-2643-KR"),
    ("GeForce GTX 560 Ti 448", "GV-N560448UD-13I"),
    ("GeForce GTX 1650", "GV-N1656D6-4GD"),
    ("Arc A770", "GV-IA770GAMING OC-16GD"),
    ("Radeon RX 590", "GV-RX590GAMING-8GD"),
    ("Radeon RX 560", "AXRX 560 4GBD5-DHV2"),
    ("Radeon R9 FURY X", "AX R9 FURY X 4GBHBM-DH"),
    ("Radeon RX 7600 XT", "RX-76TSWFTFP"),
    ("Radeon RX 6750 XT", "RX-675XYLFDP"),
    ("Radeon RX 580", "RX-580P828D6"),
    ("GeForce GT 430", "GT-430A-ZHF2"),
    ("GeForce GTS 250", "GS-250X-ZSF2"),
    ("GeForce GTX 960", "GTX960-M-2GD5"),
    ("Radeon RX 570", "HS-570R8LCBR"),
    ("GeForce RTX 2080 Ti", "VCG2080T11TFMPB-O"),
    ("GeForce GTX 960", "02G-P4-0962-KR"),
    ("GeForce GTX 1060", "N106F-2SDN-N5GS"),
    ("GeForce RTX 3070", "37NSL6MD1SAA"),
    ("Radeon R9 290", "R9-290A-ENFC"),
    ("Radeon HD 6850", "6850PE51GV"),
    ("Radeon RX Vega 56", "GV-RXVEGA56GAMING OC-8GD"),
    ("Radeon RX Vega 64", "AXRX VEGA 64 8GBHBM2-3DH"),
    ("GeForce GTX 650 Ti", "N650Ti-1GD5/OC"),
    ("Radeon HD 7750", "FX-775A-ZNPC"),
    ("GeForce GTX 1050 Ti", "N105T-1SDV-M5CM"),
    ("GeForce GT 630", "EGT630C-8GR3-QFT"),
    ("Radeon HD 7970", "GV-R797OC-3GD"),
    ("Radeon HD 5770", "EAH5770 CUCORE/G/2DI/1GD5"),
    ("Radeon HD 7870", "AX7870 2GBD5-2DH"),
    ("Radeon HD 7950", "H795F3G2M"),
    ("Radeon R9 280X", "GV-R928XOC-3GD"),
    ("Radeon R9 280X", "R9280X-DC2T-3GD5"),
    ("Radeon R9 290", "AXR9 290 4GBD5-DHE"),
    ("Radeon RX 6700 XT", "GV-R67XTEAGLE-12GD"),
    ("Radeon RX 9070 XT", "GV-R9070XTGAMING OC-16GD"),
    ("Radeon RX 5700 XT", "AXRX 5700XT 8GBD6-3DHR/OC"),
    ("Radeon RX 6800 XT", "RX-68XTALFD9"),
    ("Radeon RX 7900 XTX", "RX-79XMMERCB9"),
    ("GeForce GTX TITAN X", "GV-NTITANXD5-12GD-B"),
    ("Radeon X1950 XTX", "EAX1950XTX/HTVDP/512M"),
]


# Years of models whose partners changed their rules then.
YEARS = {"GT 4": 2010, "GTS": 2009, "GTX 1": 2016, "GTX 16": 2019, "RTX 20": 2019, "RTX 50": 2025}
YEARS |= {"RX 5": 2017, "RX 7": 2022, "GTX 9": 2015, "GTX 5": 2011, "GTX 6": 2012}
YEARS |= {"GT 5": 2011, "HD": 2011}

SIZES = {"1650": 4.0, "1660": 6.0, "GTX 9": 2.0, "GTX 6": 2.0}


def board_of(model: str, make_gpu: MakeGpu) -> GpuRecord:
    starts = [start for start in YEARS if start in model]
    year = YEARS[max(starts, key=len)] if starts else 2020
    gb = next((size for text, size in SIZES.items() if text in model), 8.0)
    return make_gpu(model, gb, "GDDR5" if year < 2018 else "GDDR6", year=year)


def stems_of(model: str, make_gpu: MakeGpu) -> list[Stem]:
    return stems([Board(board_of(model, make_gpu), parse_model(model))])


def models_by_code(models: list[str], code: str, make_gpu: MakeGpu) -> set[str]:
    lexicon = Lexicon([board_of(model, make_gpu) for model in models])
    return {lexicon.models[found[0]] for found in lexicon.read(code).codes}


@pytest.mark.parametrize(("model", "code"), REAL_CODES)
def test_a_real_code_names_its_model(model: str, code: str, make_gpu: MakeGpu) -> None:
    assert models_by_code([model], code, make_gpu) == {model}


@pytest.mark.parametrize(
    ("model", "sibling", "code"),
    [
        ("GeForce RTX 3060 Ti", "GeForce RTX 3060", "GV-N306TEAGLE OC-8GD"),
        ("GeForce RTX 4070 Ti SUPER", "GeForce RTX 4070 SUPER", "GV-N407TSGAMING OC-16GD"),
        ("GeForce RTX 4070 SUPER", "GeForce RTX 4070", "GV-N407SGAMING OC-12GD"),
        ("Radeon HD 7970", "Radeon HD 7950", "GV-R797OC-3GD"),
        ("Radeon RX 6700 XT", "Radeon RX 6700", "GV-R67XTEAGLE-12GD"),
        ("GeForce RTX 3060 Ti", "GeForce RTX 3060", "ZT-A30610H-10M"),
        ("RTX 6000 Ada", "RTX A6000", "VCNRTX6000ADA-PB"),
        ("RTX A6000", "RTX 6000 Ada", "VCNRTXA6000-PB"),
        ("GeForce RTX 4060 Ti", "GeForce RTX 4060", "VCG4060T16TFXPB1"),
    ],
)
def test_the_longest_stem_wins_over_the_sibling(
    model: str, sibling: str, code: str, make_gpu: MakeGpu
) -> None:
    assert models_by_code([sibling, model], code, make_gpu) == {model}
    assert models_by_code([model, sibling], code, make_gpu) == {model}


@pytest.mark.parametrize(
    ("siblings", "code", "read"),
    [
        # Behind Palit's four places a letter is the clock, in the fourth the suffix.
        (("GeForce RTX 4060", "GeForce RTX 4060 Ti"), "NE64060T19P1-1070L", "GeForce RTX 4060"),
        (("GeForce RTX 4060", "GeForce RTX 4060 Ti"), "NE6406TT19P1-1060D", "GeForce RTX 4060 Ti"),
        (
            ("GeForce RTX 4070 Ti", "GeForce RTX 4070 Ti SUPER"),
            "NED407TS19K9-1045A",
            "GeForce RTX 4070 Ti",
        ),
        (("GeForce RTX 3070", "GeForce RTX 3070 Ti"), "NE63070S19P2-1041A", "GeForce RTX 3070"),
        # PNY's SUPER stood behind the memory in 2019; SF alone is a single fan.
        (
            ("GeForce RTX 2060", "GeForce RTX 2060 SUPER"),
            "VCG20608SDFPPB",
            "GeForce RTX 2060 SUPER",
        ),
        (("GeForce GTX 1650", "GeForce GTX 1650 SUPER"), "VCG16504SFPPB", "GeForce GTX 1650"),
        (
            ("GeForce GTX 1650", "GeForce GTX 1650 SUPER"),
            "VCG16504SSFPPB",
            "GeForce GTX 1650 SUPER",
        ),
        # Zotac's fifth digit.
        (("GeForce RTX 4080", "GeForce RTX 4080 SUPER"), "ZT-D40810D-10P", "GeForce RTX 4080"),
        (
            ("GeForce RTX 4080", "GeForce RTX 4080 SUPER"),
            "ZT-D40820D-10P",
            "GeForce RTX 4080 SUPER",
        ),
        # The G belongs to GAMING, the X to XTREME's cooler, the TI to a Boost.
        (("Radeon RX 580", "Radeon RX 580G"), "GV-RX580GAMING-8GD", "Radeon RX 580"),
        (
            ("GeForce GTX 650 Ti", "GeForce GTX 650 Ti Boost"),
            "N650TI TF 2GD5/OC BE",
            "GeForce GTX 650 Ti Boost",
        ),
        (
            ("GeForce GTX 650 Ti", "GeForce GTX 650 Ti Boost"),
            "N650Ti-2GD5/OC",
            "GeForce GTX 650 Ti",
        ),
        (("GeForce GTX 560 Ti", "GeForce GTX 560"), "GV-N560UD-1GI", "GeForce GTX 560 Ti"),
        (("GeForce GTX 560 Ti", "GeForce GTX 560"), "GV-N56GOC-1GI", "GeForce GTX 560"),
        (("GeForce GTX 950", "GeForce GTX 950M"), "GTX950-M-2GD5", "GeForce GTX 950"),
        (("GeForce GT 520", "GeForce GT 520M"), "XFX GT-520M-YNF2", "GeForce GT 520"),
        (("Radeon RX 7900 XT", "Radeon RX 7900 XTX"), "RX-79TMERCU9", "Radeon RX 7900 XT"),
        (("Radeon RX 6750 XT", "Radeon RX 6750 GRE"), "RX-675XYLFDP", "Radeon RX 6750 XT"),
        (("GeForce RTX 3060", "GeForce RTX 3060 Ti"), "36NOL7MD1VOC", "GeForce RTX 3060"),
    ],
)
def test_a_code_tells_siblings_apart(
    siblings: tuple[str, ...], code: str, read: str, make_gpu: MakeGpu
) -> None:
    assert models_by_code(list(siblings), code, make_gpu) == {read}


@pytest.mark.parametrize(
    "text", ["H.265 encoder", "H264 capture card", "Corsair AF140 fan", "P5-40"]
)
def test_numbers_of_other_goods_are_no_codes(text: str, make_gpu: MakeGpu) -> None:
    models = ["Radeon R7 265", "Radeon R9 M265X", "GeForce GT 140", "GeForce RTX 3080"]
    assert models_by_code(models, text, make_gpu) == set()


def test_a_chipset_of_boards_is_no_code_of_sparkle(make_gpu: MakeGpu) -> None:
    models = ["GeForce GTS 450", "GeForce GTX 470", "GeForce GTX 570", "GeForce GTX 670"]
    lexicon = Lexicon([make_gpu(model, 1, "GDDR5", year=2011) for model in models])
    found = [lexicon.read(f"X{number} board").codes for number in (470, 570, 670)]
    assert found == [[], [], []]
    assert lexicon.read("X450 DF").codes


@pytest.mark.parametrize(
    ("sizes", "code", "stated"),
    [
        ((8, 16), "VCG4060T16TFXPB1", 16),
        ((8, 16), "VCG4060T8DFXPB1", 8),
        ((8, 16), "N406T2-16D6-171153L", 16),
        ((12, 24), "C406T3-126XX-186148L", 12),
        ((8, 16), "AF4060TI-16384D6H5", 16),
        ((8, 16), "GV-N406TEAGLE OC-8GD", None),  # its "8GD" is read as any text's
    ],
)
def test_a_code_states_the_memory(
    sizes: tuple[float, ...], code: str, stated: float | None, make_gpu: MakeGpu
) -> None:
    lexicon = Lexicon([make_gpu("GeForce RTX 4060 Ti", size, year=2023) for size in sizes])
    assert {found.memory_gb or None for found in lexicon.read(code).codes} == {stated}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("Quadro P4000", ["vcqp4000"]),
        ("RTX 6000 Ada", ["vcnrtx6000ada"]),
        ("L40S", ["tcsl40s"]),
        ("GTX TITAN X", ["gvntitanx", "gtxtitanx"]),
        ("GeForce GTX 560 Ti 448", ["engtx560ti448", "gvn560448"]),
        ("Arc A770", ["gvia770"]),
        ("Radeon VII", []),
        ("FirePro W9100", []),
    ],
)
def test_all_stems_of_a_model(model: str, expected: list[str], make_gpu: MakeGpu) -> None:
    assert [stem.text for stem in stems_of(model, make_gpu)] == expected


def test_a_laptop_s_chip_has_no_partner_s_code(make_gpu: MakeGpu) -> None:
    board = Board(
        make_gpu("GeForce RTX 3050 Ti", 4, form="mobile"), parse_model("GeForce RTX 3050 Ti")
    )
    assert stems([board]) == []


def test_stems_are_long_unique_and_only_letters_and_digits(make_gpu: MakeGpu) -> None:
    for model, _ in REAL_CODES:
        texts = [stem.text for stem in stems_of(model, make_gpu)]
        assert len(texts) == len(set(texts))
        assert all(len(text) >= 4 and text.isalnum() and text == text.lower() for text in texts)


def test_a_stem_is_open_where_digits_may_follow(make_gpu: MakeGpu) -> None:
    found = {stem.text: stem for stem in stems_of("GeForce RTX 5090", make_gpu)}
    assert found["vcg5090"] == Stem("vcg5090", open_end=True)
    assert found["vcg50908"] == Stem("vcg50908", memory_gb=8.0)
    assert not found["ztb50900"].open_end
