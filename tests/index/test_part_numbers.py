"""Part-number stems: each against a code printed on a real board."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rerank.index.lexicon import Lexicon
from rerank.index.naming import parse_model
from rerank.index.part_numbers import stems
from rerank.index.records import GpuRecord

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


def models_by_code(models: list[str], code: str, make_gpu: MakeGpu) -> set[str]:
    lexicon = Lexicon([make_gpu(model, 8.0) for model in models])
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
    ("model", "expected"),
    [
        ("Quadro P4000", ["vcqp4000"]),
        ("RTX 6000 Ada", ["vcnrtx6000ada"]),
        ("L40S", ["tcsl40s"]),
        ("GeForce GTX TITAN X", ["gvntitanx", "gtxtitanx"]),
        ("Radeon X1950 XTX", ["eax1950xtx", "gvrx19"]),
        ("Radeon VII", []),
        ("FirePro W9100", []),
    ],
)
def test_all_stems_of_a_model(model: str, expected: list[str]) -> None:
    assert [stem.text for stem in stems(parse_model(model))] == expected


def test_stems_are_long_unique_and_only_letters_and_digits() -> None:
    for model, _ in REAL_CODES:
        texts = [stem.text for stem in stems(parse_model(model))]
        assert len(texts) == len(set(texts))
        assert all(len(text) >= 4 and text.isalnum() and text == text.lower() for text in texts)


def test_intel_cards_have_no_pny_stem() -> None:
    assert stems(parse_model("Arc A770")) == []
