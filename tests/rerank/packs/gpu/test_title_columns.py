"""FactColumns of a batch of titles hold what the lexicon reads in each title by itself."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from rerank.index.embedder import RunTexts
from rerank.index.records import GpuRecord, Listing, shipped
from rerank.index.text import listing_text, normalise, normalised_words
from rerank.packs.gpu.bootstrap.generator import generate
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.registry import load_registry
from rerank.packs.gpu.stated_words import StatedWords, chip_vendors
from rerank.packs.gpu.title_columns import ColumnReader, Mentions, TitleReadings

N = 700
# What is read by more than one word, or by where it stands.
ODD = (
    "8GM not no без XT Ti Super JetStream 16 GB go 24 gddr5 DDR 5 hbm 2 x16 1660 6GB Super 30506GB "
    "L 4 0A-10L Dual-X 3GB 7800X3D x 3 quadro2 pro duo 32GB hd 5870 ssd 512 ram ddr4 1080 x 1920 "
    "850 W $ 300 eur 1.650 clock price: 1200/1400 MHz RTX4060TIOC 4070 Ti S... SU.. "
    "geforcegtx GeForce TeslaP40 r9 r 7 R9700 950-M-2GD5 550 tis 3080s 2060M 8188 MiB 58O "
    "16 GiB &amp; <b> 1080p for 4K gaming [H] [W] swap for 2 x 8 box only with + block "
    "Súper İ ٣٠٨٠ 16 гигов GTX+ GV-N406TEAGLE OC-8GD 900-2G500-0010 18 GB … ™ ' \u200b 10de:2684 "
    "(rev a1) ΑΣ 显卡RTX3080 3060 tl"
).split()


@pytest.fixture(scope="module")
def records() -> list[GpuRecord]:
    return load_registry(shipped("registry"))


@pytest.fixture(scope="module")
def listings(records: list[GpuRecord]) -> list[Listing]:
    """Generated titles, their words in other orders, and these with signs replaced."""
    dice = random.Random(41)
    made = [item.listing for item in generate(records, N, seed=97, nil_share=0.35)]
    words = [word for each in made for word in each.title.split()]
    mixed = [" ".join(shuffled(words, dice)) for _ in range(N)]
    spoilt = ["".join(replaced(list(title), dice)) for title in mixed]
    odd = ["", " ", "🎮", "&nbsp;", "x" * 500, "RTX 4090 " * 60, "8GM RTX 3070"]
    return [*made, *(Listing(title=title) for title in (*mixed, *spoilt, *odd))]


def shuffled(words: list[str], dice: random.Random) -> Iterator[str]:
    for _ in range(dice.randint(1, 14)):
        yield dice.choice(words if dice.random() < 0.7 else ODD)


def replaced(signs: list[str], dice: random.Random) -> list[str]:
    for _ in range(2):
        signs[dice.randrange(len(signs))] = dice.choice(" -.,/x0123456789gGmMtTiIsSwW()'+€…")
    return signs


@pytest.fixture(scope="module")
def both(
    records: list[GpuRecord], listings: list[Listing]
) -> tuple[TitleReadings, TitleReadings, list[str]]:
    """Titles in columns from the start, the same read one by one, and the texts to embed."""
    lexicon = Lexicon(records)
    reader = ColumnReader(lexicon)
    reader.read(listings[::2])  # words come new and known
    readings, texts = reader.read(listings)
    assert readings.runs is not None
    assert isinstance(texts, RunTexts)
    return readings, TitleReadings.of(lexicon, list(readings)), texts.joined()


def by_title(mentions: Mentions) -> list[tuple[int, object, int]]:
    objects = mentions.objects(np.arange(len(mentions)))
    return list(zip(mentions.title.tolist(), objects, mentions.end.tolist(), strict=True))


def test_columns_are_what_is_read_one_by_one(
    both: tuple[TitleReadings, TitleReadings, list[str]],
) -> None:
    columns, plain, _ = both
    assert by_title(columns.mentions) == by_title(plain.mentions)
    assert list(columns.codes) == list(plain.codes)
    np.testing.assert_array_equal(columns.words, plain.words)
    np.testing.assert_array_equal(columns.sizes, plain.sizes)
    np.testing.assert_array_equal(columns.memory_type, plain.memory_type)
    np.testing.assert_array_equal(columns.doubts, plain.doubts)
    np.testing.assert_array_equal(columns.run_counts, plain.run_counts)
    place = columns.mentions.title, columns.mentions.at
    np.testing.assert_array_equal(columns.letters_behind(*place), plain.letters_behind(*place))
    ends = [(at, 0, int(n)) for at, n in enumerate(columns.run_counts.tolist()) if n]
    assert [columns.words_of(*end) for end in ends] == [plain.words_of(*end) for end in ends]


def test_texts_are_normalised_and_embedded_as_those_of_one_listing(
    both: tuple[TitleReadings, TitleReadings, list[str]], listings: list[Listing]
) -> None:
    columns, _, texts = both
    alone = [listing_text(listing) for listing in listings]
    assert [each.title for each in columns.titles] == [each.title for each in alone]
    assert texts == [each.embedded for each in alone]


def test_cues_and_stated_words_of_columns(
    both: tuple[TitleReadings, TitleReadings, list[str]], records: list[GpuRecord]
) -> None:
    columns, plain, _ = both
    cues = CueReader.load(shipped("cues.txt"))
    for found, expected in zip(cues.read(columns), cues.read(plain), strict=True):
        np.testing.assert_array_equal(found, expected)
    stated = StatedWords(chip_vendors(records))
    for found, expected in zip(stated.read(columns), stated.read(plain), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_vocabulary_is_begun_anew_when_it_is_full(
    records: list[GpuRecord], listings: list[Listing], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = ColumnReader(Lexicon(records))
    first, _ = reader.read(listings[:200])
    monkeypatch.setattr("rerank.packs.gpu.title_columns._MOST_WORDS", 10)
    second, _ = reader.read(listings[:200])
    assert first.runs is not None
    assert second.runs is not None
    assert first.runs.vocabulary is not second.runs.vocabulary
    np.testing.assert_array_equal(first.words, second.words)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("RTX", "rtx"),
        ("Súper", "super"),
        ("ГТХ", "gtx"),
        ("8ＧＢ", "8gb"),
        ("58O", None),
        ("GiB", None),
        ("&amp;", None),
        ("гигов", None),
        ("™", None),
        ("(rev", None),
    ],
)
def test_a_word_is_normalised_by_itself_where_others_change_nothing(
    word: str, expected: str | None
) -> None:
    assert normalised_words(["card", word, "карта"]) == ["card", expected, "карта"]
    assert expected is None or normalise(f"card {word} 16") == f"card {expected} 16"


def test_words_of_one_script_only() -> None:
    assert normalised_words(["RTX", "4060", "Ti"]) == ["rtx", "4060", "ti"]
    assert normalised_words(["Карта", "ГТХ"]) == ["карта", "gtx"]
    assert normalised_words([]) == []


def test_batches_of_plain_titles(records: list[GpuRecord]) -> None:
    reader = ColumnReader(Lexicon(records))
    for titles in (["RTX 4060 8GB"] * 30, ["RTX 4060 8GB"] * 30, ["x"] * 30, [""] * 30):
        readings, _ = reader.read([Listing(title=title) for title in titles])
        assert list(readings) == [readings[0]] * len(titles)
        plain = TitleReadings.of(reader._lexicon, list(readings))
        assert by_title(readings.mentions) == by_title(plain.mentions)
        np.testing.assert_array_equal(readings.sizes, plain.sizes)
        cues = CueReader.load(shipped("cues.txt"))
        for found, expected in zip(cues.read(readings), cues.read(plain), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_new_words_of_other_scripts_alone_are_learnt(records: list[GpuRecord]) -> None:
    reader = ColumnReader(Lexicon(records[:40]))
    reader.read([Listing("1", "rtx 3080")] * 30)
    readings, _ = reader.read([Listing("2", "rtx 3080", "显卡", "ギガ バイト")] * 30)
    assert len(readings) == 30
