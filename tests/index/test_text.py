"""Title normalisation: properties over any text, and the odd spellings sellers use."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rerank.index.text import MAX_TITLE_CHARS, normalise, runs, spaced, written_size

PIECES = st.sampled_from(
    [
        "RTX",
        "3080",
        " ",
        "&amp;",
        "&nbsp;",
        "&#65;",
        "&lt;",
        "<b>",
        "</b>",
        "<",
        ">",
        "gtx+",
        "1O7O",
        "Т",
        "ХТ",
        "рх",
        "гб",
        "ﬁ",
        "①",
        "ﷺ",
        "İ",
        "ß",
        "é",
        "e\u0301",
        "显卡",
        "🎮",
        "\u200d",
        "\t",
        "\x00",
        "٣",
        "²",
        "®",
        "™",
        "_",
        "-",
        "/",
        "titan",
        "fury",
        "Tesla",
        "Súper",
        "12",
        "MiB",
        " гигабайт",
        "گیگ",
        "۱۲",
        "for 1080p",
        "(rev a1)",
        "NVIDIA Corporation GP104 [",
        "0x1b80",
        "&amp;lt;i&amp;gt;",
    ]
)
TITLES = st.one_of(
    st.text(max_size=600),
    st.lists(PIECES, max_size=60).map("".join),
    st.text("o1 G<&;>х", max_size=80),
)
ANY_TITLE = settings(max_examples=200, deadline=None)


@ANY_TITLE
@given(TITLES)
@example("&amp;" * 500)
@example("ﷺ" * 400)
@example("gtx+" * 400)
@example("&EE;")
def test_normalise_is_idempotent_and_bounded(title: str) -> None:
    once = normalise(title)
    assert normalise(once) == once
    assert len(once) <= MAX_TITLE_CHARS


@ANY_TITLE
@given(TITLES)
def test_normalised_text_is_lower_case_single_spaced_and_trimmed(title: str) -> None:
    text = normalise(title)
    assert text == text.lower()
    assert text == " ".join(text.split())


@ANY_TITLE
@given(TITLES)
def test_runs_cover_every_letter_and_digit_in_order(title: str) -> None:
    text = normalise(title)
    pieces = runs(text)
    covered = set()
    end = 0
    for piece in pieces:
        assert piece.text == text[piece.start : piece.end]
        assert end <= piece.start < piece.end
        end = piece.end
        covered |= set(range(piece.start, piece.end))
    assert covered == {at for at, char in enumerate(text) if char.isalnum()}


@ANY_TITLE
@given(TITLES)
def test_runs_never_mix_ascii_letters_and_digits(title: str) -> None:
    for piece in runs(normalise(title)):
        kinds = {char.isdecimal() for char in piece.text}
        assert len(kinds) == 1, piece


@ANY_TITLE
@given(TITLES)
def test_spaced_is_the_runs_joined_by_spaces(title: str) -> None:
    text = normalise(title)
    assert spaced(text).split() == [run.text for run in runs(text)]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("  ASUS\tDual  RTX\u00a03060 ", "asus dual rtx 3060"),
        ("ＲＴＸ３０８０", "rtx3080"),
        ("RTX&nbsp;3080&amp;box", "rtx 3080&box"),
        ("&lt;b&gt;RTX&nbsp;3080&lt;/b&gt;", "rtx 3080"),
        ("&amp;amp;lt;", "<"),
        ("<p>RTX</p><br/>3080", "rtx 3080"),
        ("RTX 3080 <3 love", "rtx 3080 <3 love"),
        ("GeForce® GTX 1060", "geforce gtx 1060"),
        ("🎮 RTX 3080 🔥", "🎮 rtx 3080 🔥"),
        ("GTX1O7O", "gtx1070"),
        ("rtx 3o8o ti", "rtx 3080 ti"),
        ("gtx 1o5oTi", "gtx 1050ti"),
        ("rog strix o16g", "rog strix o16g"),
        ("dual-rtx4060ti-o8g", "dual-rtx4060ti-o8g"),
        ("9800GTX+ 512MB", "9800gtx plus 512mb"),
        ("GТХ 1060", "gtx 1060"),
        ("RX 6600 ХТ", "rx 6600 xt"),
        ("Джифорс ГТХ 1060 3гб", "geforce gtx 1060 3gb"),
        ("Видеокарта Радеон РХ 580", "видеокарта radeon rx 580"),
        ("RTX 3060 Ти палит", "rtx 3060 ti palit"),
        ("рх580", "rx580"),
        ("Ⅶ", "vii"),
        ("RTX ۴۰۷۰ ۱۲ گیگابایت", "rtx 4070 12gb"),
        ("RTX ४०६० ८ जीबी", "rtx 4060 8gb"),
        ("RTX 3060 12ギガ", "rtx 3060 12gb"),
        ("RTX 3060 12기가", "rtx 3060 12gb"),
        ("3060 12 гигабайт", "3060 12gb"),
        ("RTX 3060 Гигабайт", "rtx 3060 gigabyte"),
        ("GT 610 1024 мегабайта", "gt 610 1024mb"),
        ("RTX 4070 Súper", "rtx 4070 super"),
        ("NVİDİA TİTANX", "nvidia titanx"),
        ("Géforce", "geforce"),
        ("carte graphique équipée", "carte graphique équipée"),
        ("GIGABYTE&GTS 450", "gigabyte&gts 450"),
        ("MSI&GT710&nbsp2GB", "msi&gt710 2gb"),
        ("RTX&#160;3080 Collector&#39s", "rtx 3080 collector's"),
        ("NVIDIA Corporation GK106 [GeForce GTX 660] (rev a1)", "nvidia [geforce gtx 660]"),
        ("AD107M [GeForce RTX 4060]", "ad107m [geforce rtx 4060]"),
        ("NVIDIA Corporation AD107M [RTX 4060]", "nvidia mobile [rtx 4060]"),
        ("RTX 4070 Laptop GPU (0x00002860)", "rtx 4070 laptop gpu"),
        ("RTX 4090 10de:2684", "rtx 4090"),
        ("10de:2684", "10de:2684"),
        (
            "Advanced Micro Devices, Inc. [AMD/ATI] Navi 23 [Radeon RX 6600] (rev c7)",
            "[amd/ati] [radeon rx 6600]",
        ),
        ("Intel Corporation DG2 [Arc A770] (rev 08)", "intel [arc a770]"),
        ("RTX 3060 12 GiB, 12282 MiB, 12 Gio", "rtx 3060 12 gb, 12 gb, 12 gb"),
        ("Tesla T4 15109MiB, GTX 570 1280 Mio", "tesla t4 15109mb, gtx 570 1280 mb"),
        ("pour jouer en 1080p GTX 1060", "gtx 1060"),
        ("good for 1080p gaming: GTX 1060", "gtx 1060"),
        ("идеально для 1440p, RX 6700", "rx 6700"),
        ("", ""),
        (" \n\t ", ""),
    ],
)
def test_known_titles(title: str, expected: str) -> None:
    assert normalise(title) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtx4060ti", "rtx 4060 ti"),
        ("gv-n406teagle oc-8gd", "gv n 406 teagle oc 8 gd"),
        ("gv-rxvega64", "gv rx vega 64"),
        ("teslap40", "tesla p 40"),
        ("instinctmi50", "instinct mi 50"),
        ("radeonpro w6600", "radeon pro w 6600"),
        ("amdradeonrx580", "amd radeon rx 580"),
        ("geforcegt710", "geforce gt 710"),
        ("teslas and geforces", "teslas and geforces"),
        ("gtxtitanx", "gtx titan x"),
        ("gv-r9furyx", "gv r 9 fury x"),
        ("furyx", "fury x"),
        ("titan", "titan"),
        ("vega", "vega"),
        ("видеокарта rtx", "видеокарта rtx"),
        ("a_b", "a b"),
        ("gt÷1030×2", "gt 1030 2"),
        ("größe", "größe"),
        ("", ""),
    ],
)
def test_known_runs(text: str, expected: str) -> None:
    assert spaced(text) == expected


def test_a_very_long_title_is_cut_and_cheap() -> None:
    text = normalise("RTX 3080 " + "gaming &amp; " * 10_000)
    assert text.startswith("rtx 3080 gaming & gaming")
    assert MAX_TITLE_CHARS - 10 <= len(text) <= MAX_TITLE_CHARS


@pytest.mark.parametrize("word", ["kühler", "lüfter", "gráfica", "płyta", "pudełko", "chladič"])
def test_words_with_accents_are_one_run(word: str) -> None:
    assert [run.text for run in runs(normalise(word))] == [word]


@pytest.mark.parametrize(
    ("title", "first"), [("显卡RTX3080", "显卡"), ("видеокартаRTX", "видеокарта")]
)
def test_another_script_ends_a_run(title: str, first: str) -> None:
    assert [run.text for run in runs(normalise(title))][:2] == [first, "rtx"]


def test_angle_brackets_around_a_name_keep_it() -> None:
    assert "3080" in normalise("<ASUS RTX 3080> new in box")


def test_titanium_is_no_titan() -> None:
    assert "titan" not in [run.text for run in runs(normalise("be quiet! 1000W 80 Plus Titanium"))]


def test_trade_mark_signs_do_not_become_letters() -> None:
    assert [run.text for run in runs(normalise("GeForce GTX™ 1060"))] == ["geforce", "gtx", "1060"]


@pytest.mark.parametrize("title", ["RTX 308O", "RX 58O"])
def test_letter_o_ending_a_number(title: str) -> None:
    assert normalise(title).split(" ")[1].isdigit()


@pytest.mark.parametrize("mark", ["\u200e", "\u200b", "\u00ad", "\ufeff"])
def test_invisible_characters_are_dropped(mark: str) -> None:
    assert normalise(f"RTX 30{mark}70 8{mark}GB") == "rtx 3070 8gb"


@pytest.mark.parametrize(("gb", "text"), [(12, "12gb"), (2.5, "2.5gb"), (0.5, "512mb"), (0, "")])
def test_sizes_are_written_as_titles_have_them(gb: float, text: str) -> None:
    assert written_size(gb) == text
