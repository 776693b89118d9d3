"""The lexicon: what one title names and states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank.index.records import GpuRecord
from rerank.packs.gpu.lexicon import DOUBTS, Lexicon, Mention, TitleReading

MakeGpu = Callable[..., GpuRecord]


@pytest.fixture(scope="module")
def lexicon(tiny_registry: list[GpuRecord]) -> Lexicon:
    return Lexicon(tiny_registry)


def words_of(lexicon: Lexicon, mask: int) -> set[str]:
    return {word for word, bit in lexicon.affixes.items() if mask >> bit & 1}


def key_of(lexicon: Lexicon, mention: Mention) -> str:
    return next(key for key, number in lexicon.keys.items() if number == mention.key)


def keys_of(lexicon: Lexicon, title: str) -> list[str]:
    return [key_of(lexicon, mention) for mention in lexicon.read(title).mentions]


def coded(lexicon: Lexicon, reading: TitleReading) -> set[str]:
    return {lexicon.models[code.model] for code in reading.codes}


# --- mentions ---


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("Gigabyte GeForce RTX 4060 Ti Eagle", ["4060"]),
        ("RTX4060Ti", ["4060"]),
        ("ENGTX1060/2DI", ["1060"]),
        ("RTX 4060 vs 4080", ["4060", "4080"]),
        ("NVIDIA A100", ["100"]),
        ("a 100 % new card", []),
        ("RTX 14060", []),
        ("RTX 40600 card", []),
        ("GTX 1O6O", ["1060"]),
        ("РТХ 3080", ["3080"]),
        ("see photos", []),
        ("", []),
    ],
)
def test_numbers_of_the_registry_are_mentions(
    title: str, keys: list[str], lexicon: Lexicon
) -> None:
    assert keys_of(lexicon, title) == keys


@pytest.mark.parametrize(
    ("title", "before", "after"),
    [
        ("GeForce RTX 4060 Ti", {"geforce", "rtx"}, {"ti"}),
        ("RTX4060Ti", {"rtx"}, {"ti"}),
        ("RTX4060TIOC", {"rtx"}, {"ti"}),
        ("RTX 4060 white Ti", {"rtx"}, set()),
        ("RTX 4080 Tis", {"rtx"}, {"ti", "super"}),
        ("RTX 4060 supper", {"rtx"}, {"super"}),
        ("gforce gtz 1060", {"geforce", "gtx"}, set()),
        ("ENGTX1060", {"gtx"}, set()),
        ("Radeon RX6600XT", {"radeon", "rx"}, {"xt"}),
        ("Quadro RTX 4000", {"quadro", "rtx"}, set()),
        ("4000 Ada", set(), {"ada"}),
    ],
)
def test_line_words_and_suffixes_around_a_number(
    title: str, before: set[str], after: set[str], lexicon: Lexicon
) -> None:
    (mention,) = lexicon.read(title).mentions
    assert words_of(lexicon, mention.before) == before
    assert words_of(lexicon, mention.after) == after


def test_letters_glued_to_a_number_are_its_prefix(lexicon: Lexicon) -> None:
    (glued,) = lexicon.read("Tesla A100").mentions
    assert (glued.prefixes, glued.glued, glued.whole) == (1 << lexicon.prefixes["a"], True, True)
    (apart,) = lexicon.read("Tesla A 100").mentions
    assert (apart.prefixes, apart.glued, apart.whole) == (1 << lexicon.prefixes["a"], False, False)
    (none,) = lexicon.read("GeForce 100").mentions
    assert (none.prefixes, none.glued) == (0, False)
    (foreign,) = lexicon.read("RTX4060").mentions
    assert (foreign.prefixes, foreign.glued, foreign.whole) == (0, True, False)


@pytest.mark.parametrize(
    ("title", "size"), [("RTX 308010GB", 10), ("GTX 10606GB", 6), ("GTX10603072MB", 3)]
)
def test_memory_glued_behind_the_number(title: str, size: float, lexicon: Lexicon) -> None:
    reading = lexicon.read(title)
    (mention,) = reading.mentions
    assert key_of(lexicon, mention) in title
    assert mention.remainder_gb == size
    assert reading.memory_gb == (size,)


def test_a_mention_knows_its_run(lexicon: Lexicon) -> None:
    reading = lexicon.read("Palit RTX 4060 Ti, not a 4080")
    assert [reading.runs[m.at].text for m in reading.mentions] == ["4060", "4080"]


@pytest.mark.parametrize(("title", "found"), [("NVIDIA L4", 1), ("nvidia t 4", 1), ("4 fans", 0)])
def test_short_numbers_need_their_letter(title: str, found: int, make_gpu: MakeGpu) -> None:
    lexicon = Lexicon([make_gpu("L4", 24), make_gpu("Tesla T4", 16), make_gpu("L40S", 48)])
    assert len(lexicon.read(title).mentions) == found


def test_core_words_are_mentions(make_gpu: MakeGpu) -> None:
    models = ["GeForce GTX TITAN X", "TITAN V", "Radeon RX Vega 64", "Radeon R9 Fury X"]
    lexicon = Lexicon([make_gpu(model, 8) for model in models])
    assert keys_of(lexicon, "GTXTITANX 12GB") == ["titan"]
    assert keys_of(lexicon, "gv-rxvega64gaming") == ["vega"]
    (fury,) = lexicon.read("R9 Fury X").mentions
    assert words_of(lexicon, fury.before) == {"r9"}
    assert words_of(lexicon, fury.after) == {"x"}


# --- part numbers and aliases ---


@pytest.mark.parametrize(
    ("title", "model", "certain"),
    [
        ("GV-N406TEAGLE OC-8GD", "GeForce RTX 4060 Ti", False),
        ("EVGA 06G-P4-6163-KR", "GeForce GTX 1060", True),
        ("nvidia 4080S", "GeForce RTX 4080 SUPER", True),
        ("EAH7970/3GD5", "Radeon HD 7970", False),
        ("AXRX 6600XT 8GBD6-3DH", "Radeon RX 6600 XT", False),
        ("vcg4060t16tfxpb1", "GeForce RTX 4060 Ti", False),
    ],
)
def test_part_numbers_and_aliases(title: str, model: str, certain: bool, lexicon: Lexicon) -> None:
    reading = lexicon.read(title)
    assert coded(lexicon, reading) == {model}
    assert {code.certain for code in reading.codes} == {certain}


@pytest.mark.parametrize(
    "title", ["GV-N40600", "XEAH7970", "4080", "P4 -- 616", "EAH79705", "N406"]
)
def test_no_part_number_is_seen_where_none_stands(title: str, lexicon: Lexicon) -> None:
    assert lexicon.read(title).codes == []


def test_the_code_says_where_and_how_long(lexicon: Lexicon) -> None:
    (code,) = lexicon.read("EVGA card 06G-P4-6163-KR").codes
    assert (code.at, code.length) == (4, len("p4616"))


@pytest.mark.parametrize(
    ("title", "suffixes"),
    [
        ("Palit RTX 4080 Super JetStream OC", {"super"}),
        ("Palit GTX 1060 Super JetStream 6GB", set()),
        ("RTX 4080 super Zustand", set()),
    ],
)
def test_super_before_jetstream(title: str, suffixes: set[str], lexicon: Lexicon) -> None:
    (mention,) = lexicon.read(title).mentions
    assert words_of(lexicon, mention.after) == suffixes


def test_a_suffix_may_stand_behind_a_size_that_is_a_suffix_elsewhere(make_gpu: MakeGpu) -> None:
    lexicon = Lexicon(
        [
            make_gpu("GeForce RTX 5070", 12),
            make_gpu("GeForce RTX 5070 Ti", 16),
            make_gpu("FirePro S7000 16", 16),
        ]
    )
    (mention,) = lexicon.read("Palit 5070 16 GB Ti").mentions
    assert words_of(lexicon, mention.after) == {"ti"}
    assert lexicon.read("Palit RTX 5070 16 GB TI GDDR7").doubts == 0


def test_memory_behind_a_word_that_is_a_name(make_gpu: MakeGpu) -> None:
    lexicon = Lexicon([make_gpu("Radeon Pro Duo", 32), make_gpu("Radeon Pro W6800X Duo", 64)])
    assert keys_of(lexicon, "Radeon Pro Duo 32GB") == ["duo"]
    assert keys_of(lexicon, "Core 2 Duo 8400") == []


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("Chieftec A1060G 1060W modular", []),
        ("RTX 1060 1060 watts", []),
        ("GTX 1060 120W TDP", ["1060"]),
        ("GTX 1060 WINDFORCE", ["1060"]),
        ("GTX 1060 w/ box", ["1060"]),
        ("GTX1060W", ["1060"]),
    ],
)
def test_a_number_that_a_title_gives_as_watts_is_no_model(
    title: str, keys: list[str], lexicon: Lexicon
) -> None:
    assert keys_of(lexicon, title) == keys


CODE_CONFLICT = 1 << DOUBTS.index("code_conflict")


@pytest.mark.parametrize(
    "title",
    [
        "Zotac RTX 4060 8GB ZT-D40610E-10M",
        "ZT-D40600P-10L Zotac Gaming RTX 4060 Ti 8GB",
        "Palit Grafikkarte RTX 3080, NE6406T019P1-1060D",
        "PowerColor RX 6600 8GB (AXRX 6600XT 8GBD6-3DH)",
        "Видеокарта Gigabyte RTX 4060 GV-N406TEAGLE OC-8GD",
        "EVGA RTX 3080 FTW 06G-P4-6163-KR",
    ],
)
def test_a_part_number_contradicts_the_name(title: str, lexicon: Lexicon) -> None:
    assert lexicon.read(title).doubts & CODE_CONFLICT


@pytest.mark.parametrize(
    "title",
    [
        "Zotac RTX 4060 Ti 8GB ZT-D40610E-10M",
        "Zotac RTX 4060 8GB Ti Twin Edge ZT-D40610E-10M",
        "Palit NE64060T19P1-1060D RTX 4060 Dual OC",
        "ZT-D40610E-10M",
        "ZT-D40610E-10M 8GB 2535 MHz",
        "RTX 4060 or RTX 4060 Ti, box of ZT-D40610E-10M",
        "NVIDIA RTX 4080S, better than RTX 3080",  # 4080S is a name, no part number
        "AXRX 6600XT 8GBD6-3DH PowerColor RX 6600 XT Red Devil",
        "EVGA GTX 1060 SC 06G-P4-6163-KR with 3080 MB/s",
        "RTX 4060",
        "",
    ],
)
def test_a_part_number_agrees_with_the_name_or_stands_alone(title: str, lexicon: Lexicon) -> None:
    assert not lexicon.read(title).doubts & CODE_CONFLICT


@pytest.mark.parametrize(
    ("title", "conflict"),
    [
        ("NVIDIA RTX A6000 48GB VCNRTX6000ADA-PB", True),
        ("NVIDIA RTX 6000 Ada VCNRTXA6000-PB", True),
        ("PNY RTX 6000 VCNRTX6000ADA-PB", False),  # the edition is often left out
        ("Tesla P40 24GB TCSP100-PB", True),
        ("Tesla P100 16GB TCSP100-PB", False),
        ("RTX 3050 ZT-A30500K-10L", False),  # no A of a 3050A: it is the code's
        ("PowerColor HD 7950 Boost AX7950 3GBD5-2DH", False),
    ],
)
def test_a_part_number_against_names_with_letters(
    title: str, conflict: bool, make_gpu: MakeGpu
) -> None:
    models = ("RTX A6000", "RTX 6000 Ada", "Tesla P40", "Tesla P100", "GeForce RTX 3050")
    others = ("GeForce RTX 3050A", "Radeon HD 7950", "Radeon HD 7950 Boost", "GeForce FX 5900 ZT")
    lexicon = Lexicon([make_gpu(model, 8) for model in (*models, *others)])
    assert bool(lexicon.read(title).doubts & CODE_CONFLICT) is conflict


# --- memory ---


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("16GB", (16,)),
        ("16 gb", (16,)),
        ("16g", (16,)),
        ("16 Go", (16,)),
        ("16gig", (16,)),
        ("O16G", (16,)),
        ("8GD6", (8,)),
        ("GV-N406TEAGLE OC-8GD", (8,)),
        ("8GD6/OC", (8,)),
        ("6870PE58G", ()),
        ("8GD6T/LP", (8,)),
        ("GV-N406TEAGLE-16GI rev 2.0", (16,)),
        ("8GBD6", (8,)),
        ("3GD5", (3,)),
        ("6gddr5", (6,)),
        ("3072MB", (3,)),
        ("3072 Mo", (3,)),
        ("3072M", (3,)),
        ("D5 6G", (6,)),
        ("GD56G", (6,)),
        ("8гб", (8,)),
        ("8 гиг", (8,)),
        ("8 16GB", (16,)),
        ("8GB or 16GB", (8, 16)),
        ("16GB 16G", (16,)),
        ("7GB", (7,)),
        ("16GB SSD", ()),
        ("16GB RAM", ()),
        ("16GB DDR5 RAM", ()),
        ("8GB ddr4 sodimm", ()),
        ("8GB DDR4-3200 SO-DIMM", ()),
        ("16 GB of system RAM", ()),
        ("16gb озу", ()),
        ("8GB DDR5 5600 UDIMM", ()),
        ("8GB DDR5", (8,)),
        ("8GB GDDR6 RAM", (8,)),
        ("8GB, 16GB RAM", (8,)),
        ("8GB video RAM", (8,)),
        ("16 GB/s", ()),
        ("160GB", ()),
        ("1.16GB", ()),
        ("16 games", ()),
        ("PCIe 16x", ()),
        ("", ()),
    ],
)
def test_stated_memory(text: str, sizes: tuple[float, ...], lexicon: Lexicon) -> None:
    assert lexicon.read(f"RTX 4060 {text}").memory_gb == sizes


def test_half_gigabytes_and_megabytes(make_gpu: MakeGpu) -> None:
    lexicon = Lexicon([make_gpu("GeForce GTX 580", size) for size in (1.5, 0.5, 0.3125)])
    assert lexicon.read("GTX 580 1.5GB").memory_gb == (1.5,)
    assert lexicon.read("GTX 580 1,5 GB").memory_gb == (1.5,)
    assert lexicon.read("GTX 580 1536MB").memory_gb == (1.5,)
    assert lexicon.read("512 MB GTX 580 320MB").memory_gb == (0.5, 0.312)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("GDDR6", 6),
        ("gddr6x", 16),
        ("DDR3", 3),
        ("GDDR-5", 5),
        ("gddr 5", 5),
        ("8GD6", 6),
        ("1024MBD3", 3),
        ("HBM", 21),
        ("HBM2", 22),
        ("hbm2e", 22),
        ("HBM3", 23),
        ("SDR", 0),
        ("", 0),
    ],
)
def test_stated_memory_type(text: str, code: int, lexicon: Lexicon) -> None:
    assert lexicon.read(f"card {text}").memory_type == code


# --- tables ---


def test_models_by_key_lists_every_model_once(lexicon: Lexicon) -> None:
    offsets, members = lexicon.models_by_key
    assert sorted(members.tolist()) == list(range(len(lexicon.models)))
    for key, number in lexicon.keys.items():
        own = members[offsets[number] : offsets[number + 1]].tolist()
        assert {lexicon.names[model].key for model in own} == {key}
    at = lexicon.keys["4060"]
    own = members[offsets[at] : offsets[at + 1]].tolist()
    assert {lexicon.models[model] for model in own} == {"GeForce RTX 4060", "GeForce RTX 4060 Ti"}


def test_masks_hold_the_words_of_each_model(lexicon: Lexicon) -> None:
    for model, name in enumerate(lexicon.names):
        for mask, words in ((lexicon.before_mask, name.line), (lexicon.after_mask, name.suffix)):
            bits = int.from_bytes(mask[model].tobytes(), "little")
            assert words_of(lexicon, bits) == set(words)
    masks = [0, 1, 1 << 63, (1 << 64) - 1 if lexicon.before_mask.shape[1] == 1 else 1 << 64]
    assert lexicon.mask_words(masks).shape == (4, lexicon.before_mask.shape[1])
    assert np.bitwise_count(lexicon.mask_words([7])).sum() == 3


def test_records_know_their_model(lexicon: Lexicon, tiny_registry: list[GpuRecord]) -> None:
    named = [lexicon.models[model] for model in lexicon.model_of_record]
    assert named == [record.model for record in tiny_registry]
    assert len(lexicon.models) == len(set(named)) == 13


@settings(max_examples=150, deadline=None)
@given(
    title=st.one_of(
        st.text(max_size=120),
        st.lists(
            st.sampled_from(
                [
                    "RTX",
                    "GTX",
                    "4060",
                    "4080S",
                    "Ti",
                    "A",
                    "100",
                    "a770",
                    "R",
                    "9",
                    "GV-N406T",
                    "8GB",
                    " ",
                    "-",
                    "P4-616",
                    "titan",
                    "٣",
                    "12",
                    "D5",
                    "XT",
                    "0",
                    "/",
                    "é",
                    "显卡",
                    "hd",
                    "7970",
                ]
            ),
            max_size=25,
        ).map("".join),
    )
)
def test_any_title_is_read_and_what_is_read_lies_in_it(title: str, lexicon: Lexicon) -> None:
    reading = lexicon.read(title)
    sizes = {round(record.memory_gb, 3) for record in lexicon.records}
    assert all(size in sizes or (size.is_integer() and size < 100) for size in reading.memory_gb)
    assert 0 <= reading.doubts < 1 << len(DOUBTS)
    assert len(set(reading.memory_gb)) == len(reading.memory_gb)
    for mention in reading.mentions:
        core = "".join(char for char in key_of(lexicon, mention) if char.isdigit())
        assert reading.runs[mention.at].text.startswith(core)
    for code in reading.codes:
        joined = "".join(run.text for run in reading.runs[code.at :])
        assert len(joined) >= code.length
    assert lexicon.read(reading.text)[2:] == reading[2:]


# --- what was read wrongly once ---


@pytest.mark.parametrize("title", ["MSI GT 1030 2GB DDR4", "GT 1030 2048MB DDR4 low profile"])
def test_a_card_may_have_ddr4(title: str, make_gpu: MakeGpu) -> None:
    lexicon = Lexicon([make_gpu("GeForce GT 1030", 2, "DDR4"), make_gpu("GeForce GT 1030", 4)])
    assert lexicon.read(title).memory_gb == (2,)


def test_words_hold_every_suffix_that_follows_a_number(lexicon: Lexicon) -> None:
    reading = lexicon.read("RTX 4060TIOC")
    (mention,) = reading.mentions
    assert mention.after & ~reading.words == 0


@pytest.mark.parametrize("title", ["ASUS RTX 4080 Strix OC", "MSI RTX 4080 SUPRIM X"])
def test_an_alias_ends_where_a_word_ends(title: str, lexicon: Lexicon) -> None:
    assert coded(lexicon, lexicon.read(title)) == set()
    assert keys_of(lexicon, title) == ["4080"]


@pytest.mark.parametrize("title", ["Nvidia 100", "Tesla 100"])
def test_a_word_s_last_letter_is_no_prefix(title: str, lexicon: Lexicon) -> None:
    (mention,) = lexicon.read(title).mentions
    assert mention.prefixes == 0


# --- numbers, letters and sizes of something else ---


@pytest.fixture(scope="module")
def market(make_gpu: MakeGpu) -> Lexicon:
    """Models with many siblings, of several lines and decades."""
    sizes = {
        "GeForce RTX 4070": 12,
        "GeForce RTX 4070 SUPER": 12,
        "GeForce RTX 4070 Ti": 12,
        "GeForce RTX 4070 Ti SUPER": 16,
        "GeForce RTX 4090": 24,
        "GeForce RTX 4090 D": 24,
        "GeForce GTX 1660": 6,
        "GeForce GTX 1660 SUPER": 6,
        "GeForce GTX 1660 Ti": 6,
        "GeForce GTX 1080": 8,
        "GeForce GTX 1080 Ti": 11,
        "GeForce GTX 950": 2,
        "GeForce GTX 950M": 2,
        "GeForce GTX 745": 4,
        "GeForce GT 745M": 2,
        "GeForce GTX 570": 1.25,
        "GeForce GT 625": 1,
        "Quadro K2000": 2,
        "Quadro K2000D": 2,
        "Quadro 600": 1,
        "Tesla T4": 16,
        "Tesla P40": 24,
        "L40S": 48,
        "Tesla K80": 24,
        "Radeon RX 7900 XT": 20,
        "Radeon RX 7900 XTX": 24,
        "Radeon RX 7900 GRE": 16,
        "Radeon RX 7600": 8,
        "Radeon RX 570": 4,
        "Radeon RX 570X": 8,
        "Radeon R9 280": 3,
        "Radeon R9 280X": 3,
        "Radeon HD 7990": 6,
        "Radeon 540": 2,
        "Radeon AI PRO R9700": 32,
        "Radeon AI PRO R9700S": 32,
        "TITAN RTX": 24,
    }
    records = [make_gpu(model, size) for model, size in sizes.items()]
    records.append(make_gpu("GeForce GTX 1060", 6, aliases=("1066",)))
    records.append(make_gpu("GeForce GTX 745", 2, aliases=("GT 745",)))
    records.append(make_gpu("GeForce RTX 4070", 8, form="mobile"))
    return Lexicon(records)


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("core 625 / 1660MHz, GT 625", ["625"]),
        ("GTX 570, takt 1080 MHz", ["570"]),
        ("RTX 4070 (1660-1710 MHz)", ["4070"]),
        ("частота 1080 МГц RTX 4070", ["4070"]),
        ("RTX 4070 good for 1080p", ["4070"]),
        ("RX 570 with 1920x1080 screen", ["570"]),
        ("RX 570 + Monitor 1920 × 1080", ["570"]),
        ("GTX 1080 8GB, 1080p beast", ["1080"]),
        ("RX 570 for $540", ["570"]),
        ("HD 7990 $570 obo", ["7990"]),
        ("GTX 1660, 570 zł", ["1660"]),
        ("GTX 1660 za 540 Kč", ["1660"]),
        ("GTX 1660 VB 540,- €", ["1660"]),
        ("GTX 1660 prix 540 euros", ["1660"]),
        ("GTX 1660 cena: 540", ["1660"]),
        ("R$ 1080 GTX 1660", ["1660"]),
        ("Rs. 4070 only, GTX 1660", ["1660"]),
        ("RTX 4070 600W PSU", ["4070"]),
        ("RTX 4070 БП 600 Вт", ["4070"]),
        ("GTX 1660 570 CUDA cores", ["1660"]),
        ("GTX 1660 280mm long", ["1660"]),
        ("Ryzen 5 7600 RTX 4070", ["4070"]),
        ("32GB DDR5-7600 RTX 4070", ["4070"]),
        ("120$ GTX 1080", ["1080"]),
        ("1080 ti", ["1080"]),
        ("GTX 1080 $120", ["1080"]),
        ("GTX 1080 kr 1200", ["1080"]),
        ("Rp 1.570.000 GTX 1080", ["1080"]),
        ("vendo 1080 va perfecta", ["1080"]),
        ("1080 rs 9000", ["1080"]),
        ("1080 x10 pcs", ["1080"]),
        ("card 280 x 45 mm GTX 1080", ["1080"]),
        ("UPS 570VA + GTX 1080", ["1080"]),
        ("GTX 570, GTX 1080", ["570", "1080"]),
        ("2 x 1080 Ti", ["1080"]),
    ],
)
def test_numbers_with_a_unit_are_no_models(title: str, keys: list[str], market: Lexicon) -> None:
    assert keys_of(market, title) == keys


@pytest.mark.parametrize("title", ["1066 6gb", "видеокарта 1066", "GTX 1066"])
def test_an_alias_of_digits_alone(title: str, market: Lexicon) -> None:
    assert coded(market, market.read(title)) == {"GeForce GTX 1060"}
    assert coded(market, market.read("boost 1066MHz")) == set()


@pytest.mark.parametrize(
    ("title", "after"),
    [
        ("RTX 4090 D7 24GB", set()),
        ("RTX 4090 D6X", set()),
        ("Inno3D RTX 4090 iChill X3", set()),
        ("RTX 4090 D 24GB", {"d"}),
        ("RTX 4090D", {"d"}),
        ("Quadro K2000 D5", set()),
        ("Quadro K2000D 2GB", {"d"}),
        ("R9 280 Dual-X OC", set()),
        ("R9 280 Windforce 3X", set()),
        ("R9 280X Dual-X OC", {"x"}),
        ("RX 570 GAMING X", set()),
        ("GTX950-M-2GD5", set()),
        ("GT-745M-ZNL2", set()),
        ("GTX 950M", {"m"}),
        ("GTX 950 M 2GB", {"m"}),
        ("GTX 1660 6Gb Super Ventus", {"super"}),
        ("RTX 4070 12 GB Ti", {"ti"}),
        ("7900 20gb XT", {"xt"}),
        ("RTX 4070 12GB GDDR6X SUPER", {"super"}),
        ("RTX 4070 12Go Ti Super", {"ti", "super"}),
        ("RTX 4070 Dual 12GB super Zustand", set()),
        ("RTX 4070 Súper", {"super"}),
        ("RTX 4070 SÜPER", {"super"}),
        ("GTX 1080 Super Clocked", set()),
        ("RTX 4070 12GB white Ti", set()),
    ],
)
def test_suffixes_and_letters_of_something_else(
    title: str, after: set[str], market: Lexicon
) -> None:
    (mention,) = (m for m in market.read(title).mentions if len(key_of(market, m)) > 2)
    assert words_of(market, mention.after) == after


def test_letters_of_a_cooler_are_no_words_of_the_title(market: Lexicon) -> None:
    reading = market.read("MSI GAMING X Radeon RX 570, Inno3D, GDDR6X")
    assert not {"x", "d"} & words_of(market, reading.words)


@pytest.mark.parametrize(
    ("title", "models"),
    [
        ("TeslaP40 24G GDDR5", {"Tesla P40"}),
        ("Quadro600", {"Quadro 600"}),
        ("RadeonRX7600", {"Radeon RX 7600"}),
        ("nvidia TİTAN RTX", {"TITAN RTX"}),
        ("NVIDIA Corporation GK208B [GeForce GT 625] (rev a1)", {"GeForce GT 625"}),
        ("NVIDIA Corporation GP102GL [Tesla P40] (rev a1)", {"Tesla P40"}),
        ("Sapphire R9 280 Dual-X 3GB", {"Radeon R9 280", "Radeon R9 280X"}),
        ("GIGABYTE&GT 625", {"GeForce GT 625"}),
    ],
)
def test_what_is_written_together(title: str, models: set[str], market: Lexicon) -> None:
    offsets, members = market.models_by_key
    keys = {mention.key for mention in market.read(title).mentions}
    found = {market.models[m] for key in keys for m in members[offsets[key] : offsets[key + 1]]}
    assert found == models


def test_a_plain_number_behind_a_brand_has_no_foreign_prefix(market: Lexicon) -> None:
    (mention,) = market.read("Quadro600").mentions
    assert (mention.glued, mention.whole) == (True, False)


def test_an_alias_does_not_stand_before_a_glued_suffix(market: Lexicon) -> None:
    assert coded(market, market.read("GT 745 2GB")) == {"GeForce GTX 745"}
    assert coded(market, market.read("GT 745M 2GB")) == set()


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("12288 MiB", (12,)),
        ("12282MiB", (12,)),
        ("8188 MiB", (8,)),
        ("11019 MiB", (11,)),
        ("15360MiB", (16,)),
        ("22919 MiB", (24,)),
        ("12.288 MB", (12,)),
        ("12,288MB", (12,)),
        ("8000 MB", (8,)),
        ("12 Gio", (12,)),
        ("12288 Mio", (12,)),
        ("12.0 GB", (12,)),
        ("12,0 Go", (12,)),
        ("1.28GB", (1.25,)),
        ("1,28 GB", (1.25,)),
        ("1280MB", (1.25,)),
        ("K80,24GB", (24,)),
        ("۱۲ گیگابایت", (12,)),
        ("١٢ جيجا", (12,)),
        ("१२ जीबी", (12,)),
        ("１２ＧＢ", (12,)),
        ("12ギガ", (12,)),
        ("12기가", (12,)),
        ("12 γίγα", (12,)),
        ("12 гигабайт", (12,)),
        ("12 гіг", (12,)),
        ("12 gigas", (12,)),
        ("D6 12G", (12,)),
        ("8Gbps", ()),
        ("19.5 Gbps", ()),
        ("11265-05-20G", ()),
        ("N6GM", ()),
        ("3060M", ()),
        ("GDDR6", ()),
        ("D6", ()),
    ],
)
def test_sizes_in_many_spellings(text: str, sizes: tuple[float, ...], market: Lexicon) -> None:
    assert market.read(f"MSI RTX 4070, {text}").memory_gb == sizes


# --- doubts ---


def doubts_of(lexicon: Lexicon, title: str) -> set[str]:
    return {name for at, name in enumerate(DOUBTS) if lexicon.read(title).doubts >> at & 1}


@pytest.mark.parametrize(
    ("title", "doubts"),
    [
        ("RX 7600 XTX", {"unknown_suffix"}),
        ("GTX 1080 SUPER", {"unknown_suffix"}),
        ("видеокарта RTX 4090 Ti", {"unknown_suffix"}),
        ("GTX 1660 Ti SUPER 6GB", {"unknown_suffix"}),
        ("GTX 1080 8GB Super", {"unknown_suffix"}),
        ("RTX 4070D", {"unknown_suffix"}),
        ("Radeon AI PRO R9700D", {"unknown_suffix"}),
        ("RTX 4070 18GB", {"unknown_size"}),
        ("RTX 4070 - 18 Go", {"unknown_size"}),
        ("18GB RTX 4070", {"unknown_size"}),
        ("RTX 4090 48GB", {"unknown_size"}),
        ("RTX 4090 Ti 48GB", {"unknown_suffix", "unknown_size"}),
        ("MSI RTX 4070 Ti SU...", {"cut_off"}),
        ("Palit GeForce RTX 4070 Ti S…", {"cut_off"}),
        ("Placa gráfica RX 7900 X…", {"cut_off"}),
        ("видеокарта RTX 4070 T", {"cut_off"}),
        ("GIGABYTE Gaming OC Grafikkarte GeForce RTX 4070 ...", {"cut_off"}),
    ],
)
def test_doubtful_names(title: str, doubts: set[str], market: Lexicon) -> None:
    assert doubts_of(market, title) == doubts


@pytest.mark.parametrize(
    "title",
    [
        "RTX 4070 Ti SUPER 16GB",
        "RTX 4070 8GB",
        "RTX 4070M",
        "RTX 4070 16GB RAM, 512GB SSD",
        "RTX 4070 i5 18GB RAM",
        "RTX 4070 12GB 1TB",
        "RX 7900 XTX 24GB",
        "RX 7900 XT",
        "GTX 1080 Super JetStream",
        "GTX 1080 Super OverClock edition",
        "GTX 1080 Ultra W OC",
        "RTX 4070 Super, not Ti",
        "GTX 1660 S",
        "L40S 48GB",
        "Radeon AI PRO R9700S",
        "Tesla K80 12GB",
        "selling my RTX 4070...",
        "RTX 4070 oder RTX 4090 18GB",
        "4070",
        "",
    ],
)
def test_names_without_a_doubt(title: str, market: Lexicon) -> None:
    assert doubts_of(market, title) == set()


@pytest.fixture(scope="module")
def coder(make_gpu: MakeGpu) -> Lexicon:
    """Two cards with aliases that are codes, and one too short to be one."""
    return Lexicon(
        [
            make_gpu("GeForce GTX 1060", 6, aliases=("1066",)),
            make_gpu("GeForce RTX 4070 Ti SUPER", 16, aliases=("4070TiS", "x")),
        ]
    )


@pytest.mark.parametrize(
    ("title", "models"),
    [
        ("Zotac 1066", {"GeForce GTX 1060"}),
        ("Zotac 106 6", set()),
        ("Palit 4070 Ti S", {"GeForce RTX 4070 Ti SUPER"}),
        ("Palit 4070 Ti S...", set()),  # cut off: SUPER, or something else that begins with S
    ],
)
def test_a_code_is_whole(title: str, models: set[str], coder: Lexicon) -> None:
    assert coded(coder, coder.read(title)) == models


def test_words_beyond_what_is_kept_are_read_alike(
    tiny_registry: list[GpuRecord], lexicon: Lexicon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerank.packs.gpu.lexicon._CACHED_WORDS", 0)
    for title in ("RTX4060Ti", "ENGTX1060/2DI", "rx 7900xtx gaming"):
        assert Lexicon(tiny_registry).read(title) == lexicon.read(title)
