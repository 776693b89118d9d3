"""Cues: the forms of an entry, what excuses one, and the shipped words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rerank.index.errors import InputError
from rerank.index.records import shipped
from rerank.index.text import normalise, runs
from rerank.packs.gpu.bootstrap.grammar import Dice, load_vocabulary, render
from rerank.packs.gpu.cues import CATEGORIES, DESCRIBED, CueHits, CueReader, wished

ENTRIES = {
    "with": ["with", "incl*"],
    "without": ["no", "w o"],
    "for": ["for"],
    "box": ["box", "~空盒"],
    "holder": ["anti sag", "halter*"],
    "picture": ["digital* print*"],
    "laptop": ["laptop"],
    "system": ["gaming pc"],
    "card_word": ["card"],
    "storage": ["box"],
}


def find(reader: CueReader, *titles: str) -> CueHits:
    texts = [normalise(title) for title in titles]
    return reader.find([(text, runs(text)) for text in texts])


def cues_of(reader: CueReader, title: str) -> list[tuple[str, int, bool]]:
    hits = find(reader, title)
    rows = zip(hits.category, hits.at, hits.excused, strict=True)
    return [(CATEGORIES[category], int(at), bool(excused)) for category, at, excused in rows]


@pytest.fixture(scope="module")
def reader() -> CueReader:
    return CueReader(ENTRIES)


@pytest.fixture(scope="module")
def shipped_reader() -> CueReader:
    return CueReader.load(shipped("cues.txt"))


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("RTX 3080 laptop", [("laptop", 2, False)]),
        ("LAPTOPS", []),
        ("box", [("box", 0, False), ("storage", 0, False)]),
        ("Halterung", [("holder", 0, False)]),
        ("anti-sag bracket", [("holder", 0, False)]),
        ("sag anti", []),
        ("a gaming pc", [("system", 1, False)]),
        ("gaming", []),
        ("3080", []),
        ("", []),
        ("RTX3080card", [("card_word", 2, False)]),
        ("with box", [("with", 0, False), ("box", 1, True), ("storage", 1, True)]),
        ("included laptop", [("with", 0, False), ("laptop", 1, True)]),
        ("no laptop", [("without", 0, False), ("laptop", 1, True)]),
        ("w/o laptop", [("without", 0, False), ("laptop", 2, True)]),
        ("with a b laptop", [("with", 0, False), ("laptop", 3, True)]),
        ("with a b c laptop", [("with", 0, False), ("laptop", 4, False)]),
        ("laptop with", [("laptop", 0, False), ("with", 1, False)]),
        (
            "with a with b c laptop",
            [
                ("with", 0, False),
                ("with", 2, True),
                ("laptop", 5, True),
            ],
        ),
        ("for laptop", [("for", 0, False), ("laptop", 1, True)]),
    ],
)
def test_entries_and_excuses(
    title: str, expected: list[tuple[str, int, bool]], reader: CueReader
) -> None:
    assert cues_of(reader, title) == expected


def test_an_unspaced_script_is_searched_for_substrings(reader: CueReader) -> None:
    assert {category for category, _, _ in cues_of(reader, "RTX 3080 显卡空盒")} == {"box"}


def test_a_batch_equals_single_titles(reader: CueReader) -> None:
    titles = ["with box for laptop", "", "空盒", "anti sag", "card card card"]
    batch = find(reader, *titles)
    assert (np.diff(batch.listing) >= 0).all()
    for at, title in enumerate(titles):
        one, own = find(reader, title), batch.listing == at
        np.testing.assert_array_equal(batch.at[own], one.at)
        np.testing.assert_array_equal(batch.category[own], one.category)
        np.testing.assert_array_equal(batch.excused[own], one.excused)
        np.testing.assert_array_equal(batch.length[own], one.length)


def test_a_hit_tells_how_many_runs_it_takes(reader: CueReader) -> None:
    hits = find(reader, "anti-sag laptop", "a gaming pc", "digitally printed 空盒")
    assert hits.length.tolist() == [2, 1, 2, 2, 1]


def test_no_titles_give_no_cues(reader: CueReader) -> None:
    for hits in (find(reader), find(reader, ""), find(reader, "nothing here")):
        assert [len(column) for column in hits] == [0, 0, 0, 0, 0]
        assert hits.excused.dtype == bool


def test_unknown_categories_are_named() -> None:
    with pytest.raises(InputError, match="unknown categories boxx, colour"):
        CueReader({"boxx": [], "box": [], "colour": []})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("box, carton", r"cues\.txt:1: expected \[CATEGORY\] before 'box, carton'"),
        ("# of boxes\nbox: [carton]", r":2: expected \[CATEGORY\]"),
        ("", "expected categories of cue words, found none"),
        ("[boxx]\na", "unknown categories boxx"),
    ],
)
def test_a_bad_cue_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "cues.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        CueReader.load(path)


def test_a_missing_cue_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.txt: cannot read cue words"):
        CueReader.load(tmp_path / "absent.txt")


# --- the shipped words ---


@pytest.mark.parametrize(
    ("title", "category", "excused"),
    [
        ("RTX 3080 box only", "box", False),
        ("RTX 3080 box only", "only", False),
        ("RTX 3080 with original box", "box", True),
        ("RTX 3080 ohne Karton", "box", True),
        ("Nur OVP RTX 3080", "only", False),
        ("caja vacia rtx 3080", "empty", False),
        ("GPU holder bracket for RTX 4090", "holder", False),
        ("RTX 3080 mit Backplate", "cooling", True),
        ("water block for RTX 3080", "cooling", False),
        ("mining rig 6x RX 580", "rig", False),
        ("laptop rtx 3060", "laptop", False),
        ("suche rtx 3080", "wanted", False),
        ("куплю rtx 3080", "wanted", False),
        ("коробка от rtx 3080", "box", False),
        ("видеокарта rtx 3080", "card_word", False),
        ("显卡 rtx 3080", "card_word", False),
        ("tylko pudelko rtx 3080", "box", False),
        ("karta graficzna rtx", "card_word", False),
        ("rtx 3080 空盒", "empty", False),
        ("RTX 3080 defekt", "defect", False),
    ],
)
def test_shipped_cues(title: str, category: str, excused: bool, shipped_reader: CueReader) -> None:
    found = [(name, excuse) for name, _, excuse in cues_of(shipped_reader, title)]
    assert (category, excused) in found


def shipped_entries() -> list[tuple[str, str]]:
    found, category = [], ""
    for line in shipped("cues.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            category = line.strip("[]")
        elif not line.strip().startswith("#"):
            found += [(category, entry.strip()) for entry in line.split(",") if entry.strip()]
    return found


def dead_entries(reader: CueReader) -> list[tuple[str, str]]:
    """Return the entries that are not found in a title that is the entry itself."""
    entries = [entry for entry in shipped_entries() if entry[0] != "count"]  # it only excuses
    texts = [entry.removeprefix("~").replace("*", "") for _, entry in entries]
    hits = find(reader, *texts)
    found = set(zip(hits.listing.tolist(), hits.category.tolist(), strict=True))
    wanted = [(at, CATEGORIES.index(entry[0])) for at, entry in enumerate(entries)]
    return [entry for entry, pair in zip(entries, wanted, strict=True) if pair not in found]


def test_shipped_entries_are_text_of_known_categories() -> None:
    entries = shipped_entries()
    assert len(entries) > 2000
    assert all(isinstance(entry, str) for _, entry in entries)
    assert {category for category, _ in entries} == set(CATEGORIES) - {"part_only"}


def test_shipped_entries_without_accents_are_found_in_their_own_text(
    shipped_reader: CueReader,
) -> None:
    dead = [entry for entry in dead_entries(shipped_reader) if entry[1].isascii()]
    assert dead == []


def test_every_shipped_entry_is_found_in_its_own_text(shipped_reader: CueReader) -> None:
    assert dead_entries(shipped_reader) == []


@pytest.mark.parametrize("title", ["digitaler printout", "digital print"])
def test_a_phrase_may_begin_with_a_stem_of_any_length(title: str, reader: CueReader) -> None:
    assert [name for name, _, _ in cues_of(reader, title)] == ["picture"]


def test_a_substring_cue_stands_where_it_stands(reader: CueReader) -> None:
    title = "RTX 3080 空盒"
    place = [run.text for run in runs(normalise(title))].index("空盒")
    assert ("box", place, False) in cues_of(reader, title)


def test_a_cue_file_of_another_encoding_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "cues.txt").write_bytes("[box]\nboîte".encode("latin-1"))
    with pytest.raises(InputError, match=r"cues\.txt"):
        CueReader.load(tmp_path / "cues.txt")


def found_in(reader: CueReader, title: str) -> dict[str, set[bool]]:
    """Return the categories found in a title, each with whether its cues are excused."""
    found: dict[str, set[bool]] = {}
    for category, _, excused in cues_of(reader, title):
        found.setdefault(category, set()).add(excused)
    return found


@pytest.mark.parametrize(
    ("title", "category"),
    [
        ("Vends portable Aero 16 RTX 3070", "laptop"),
        ("TUF F17 RTX 3050", "laptop"),
        ("Nitro 5 gtx 1650", "laptop"),
        ("kannettava RTX 4050", "laptop"),
        ("i7 12700 RTX 3060 32GB", "cpu"),
        ("Core 7 240H, RTX 5060", "cpu"),
        ("RTX 4060 / 16GB / 512GB / 15.6", "spec"),
        ("stasjonær RTX 3060", "system"),
        ("Herný počítač s RTX 2060", "system"),
        ("RTX 3070 Luftkanal", "cooling"),
        ("RTX 3080 cooler assembly", "cooling"),
        ("RTX A6000 NVLink", "connector"),
        ("RTX 4080 giá đỡ", "holder"),
        ("RTX 3090 leere OVP, Karte verkauft", "no_card"),
        ("коробка RTX 3060, видеокарты нет", "no_card"),
        ("RTX 3060 reservation", "service"),
        ("RTX 4090 место в очереди", "service"),
        ("L40S 80 cents per hour", "service"),
        ("A40-8Q", "service"),
        ("A100 MIG 2g.10gb", "service"),
        ("ISO 6700 XT", "wanted"),
        ("Ønskes kjøpt: RTX 3060", "wanted"),
        ("A650GL 650W 80 Plus Bronze", "other_part"),
        ("DDR5-6400 CL32", "storage"),
        ("RTX 3070 photo on paper", "picture"),
        ("κάρτα γραφικών RTX 3060", "card_word"),
        ("การ์ดจอ RTX 3060", "card_word"),
        ("[USA] [H] cash [W] RTX 3060", "wish"),
        ("[USA] [H] RTX 3060 [W] cash", "have"),
        ("box only RTX 3060", "part_only"),
        ("RTX 3060 nur Karton", "part_only"),
    ],
)
def test_shipped_words_of_a_kind(shipped_reader: CueReader, title: str, category: str) -> None:
    assert False in found_in(shipped_reader, title).get(category, set())


@pytest.mark.parametrize(
    ("title", "category"),
    [
        ("RTX 3060 + box", "box"),
        ("RTX 3060, коробка есть", "box"),
        ("RTX 3060 dobozzal", "box"),
        ("RTX 3060 bracket missing", "holder"),
        ("RTX 3060 zwei Lüfter", "cooling"),
        ("RTX 3060, вентиляторы обслужены", "cooling"),
        ("RTX 3060 fan pads redone", "cooling"),
        ("RTX 3060 riser gratis", "connector"),
        ("RTX 3060 from my gaming PC", "system"),
        ("RTX 3060 aus meinem Rechner", "system"),
        ("RTX 3060 из игрового компьютера", "system"),
        ("RTX 3060 for workstations", "system"),
        ("not a laptop, RTX 3060", "laptop"),
        ("RTX 3060, bridge not incl.", "connector"),
    ],
)
def test_what_goes_with_a_card_is_excused(
    shipped_reader: CueReader, title: str, category: str
) -> None:
    assert found_in(shipped_reader, title)[category] == {True}


@pytest.mark.parametrize(
    ("title", "storage"),
    [
        ("GeForce RTX 4070 Ventus 2X 12GB", False),
        ("GeForce RTX 3050 Ventus 2X 8GB", False),
        ("RX 7600 Challenger 2X 16GB", False),
        ("Vengeance 2x8GB CL16", True),
        ("Fury kit 2 x 16 GB", True),
        ("Beast 32GB (2x16)", True),
    ],
)
def test_two_fans_before_the_memory_are_no_memory_kit(
    shipped_reader: CueReader, title: str, storage: bool
) -> None:
    assert ("storage" in found_in(shipped_reader, title)) is storage


@pytest.mark.parametrize(
    ("title", "at", "expected"),
    [
        ("[H] 3080 [W] 3090", 1, False),
        ("[H] 3080 [W] 3090", 3, True),
        ("[W] 3080 [H] 3090", 1, True),
        ("[W] 3080 [H] 3090", 3, False),
        ("3060 меняю на 3070", 3, True),
        ("меняю 3060 на 3070", 1, False),
        ("меняю 3060 на 3070", 3, True),
        ("Tausche 3060 gegen 3070", 3, True),
        ("troco 3060 por 3070", 3, True),
        ("échange 3060 contre 3070", 3, True),
        ("zamienię 3060 na 3070", 3, True),
        ("3060 for gaming", 0, False),
        ("3060 for 3070", 2, False),
    ],
)
def test_what_is_wished(shipped_reader: CueReader, title: str, at: int, expected: bool) -> None:
    hits = find(shipped_reader, title)
    assert wished(hits, np.array([0]), np.array([at])).tolist() == [expected]


def test_a_description_s_cues_are_told_from_the_title_s(reader: CueReader) -> None:
    text = normalise("card with box")
    hits = reader.find([(text, runs(text)), ("", [])], ["laptop", ""])
    described = hits.category >= DESCRIBED
    assert hits.listing[described].tolist() == [0]
    assert [CATEGORIES[at - DESCRIBED] for at in hits.category[described]] == ["laptop"]
    assert [CATEGORIES[at] for at in hits.category[~described]] == [
        "card_word",
        "with",
        "box",
        "storage",
    ]


TELLING_LISTS = (
    "spare_behind spare_from connector_behind mount_word queue_word mig vgpu pc_word laptop_word "
    "laptop_short spare_with box_of sold_box sold_picture sold_wanted sold_part sold_system "
    "sold_service goods_kind"
).split()
SUPPORTING = {"card_word", "partner", "gpu_line", "product_line", "story", "with", "for", "aside"}


@pytest.mark.parametrize("name", TELLING_LISTS)
def test_words_that_tell_generated_goods_are_cues(shipped_reader: CueReader, name: str) -> None:
    """A word that no cue knows would teach that unknown words refuse a card."""
    vocabulary = load_vocabulary()
    dice = Dice(np.random.default_rng(1))

    def field(inner: str) -> str:
        words = vocabulary.words.get(inner)
        return render(words[0], field, dice) if words else "4"

    texts = [f"A10-{render(text, field, dice)} RTX 3080" for text in vocabulary.words[name]]
    unknown = [text for text in texts if not set(found_in(shipped_reader, text)) - SUPPORTING]
    assert unknown == []
