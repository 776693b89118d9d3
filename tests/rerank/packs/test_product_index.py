from pathlib import Path

import numpy as np
import pytest

from rerank.packs.generic.axes import Axes
from rerank.packs.generic.evidence import CANDIDATE_FEATURES, candidate_features
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import Found, ProductIndex, ProductRoute
from rerank.packs.generic.pack_data import Pack, Unit, read_pack

PACK = Pack(
    name="test",
    units={"l": Unit({1: ("l",)}), "w": Unit({1: ("w",)}), "cm": Unit({1: ("cm",)})},
)
BRANDS = ("Ohm", "Volta", "Kirsch", "Marzipan")
GOODS = ("kettle", "toaster", "blender", "waffle iron", "rice cooker")
GTINS = ("4006381333931", "0036000291452")


def catalogue() -> list[Fields]:
    rows = [
        Fields(name=f"{brand} {thing} {letters}-{number}", brand=brand, price=20.0 + number)
        for brand in BRANDS
        for thing in GOODS
        for letters, number in (("KX", 210), ("KX", 215), ("TF", 300), ("TF", 330))
    ]
    rows[7] = Fields(name="Ohm steel tray", identifiers=(GTINS[0],))
    rows[8] = Fields(name="Ohm steel tray large", identifiers=(GTINS[1], "ST-88"))
    return rows


@pytest.fixture(scope="module")
def index() -> ProductIndex:
    return ProductIndex.build(catalogue(), PACK)


def found_by(index: ProductIndex, *texts: str | Fields, **options: object) -> Found:
    rows = [Fields(name=text) if isinstance(text, str) else text for text in texts]
    return index.retrieve(index.reader.read(rows), **options)  # type: ignore[arg-type]


def first(index: ProductIndex, text: str | Fields) -> str:
    return index.readings.names[found_by(index, text).record[0]]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("KIRSCH toaster kx215 black", "kirsch toaster kx-215"),
        ("kirsch tf 330 rice cooker, as new", "kirsch rice cooker tf-330"),
        ("Volta Waffleiron TF300", "volta waffle iron tf-300"),
        ("marzipan blendr kx-210", "marzipan blender kx-210"),
    ],
)
def test_the_product_meant_comes_first(index: ProductIndex, text: str, name: str) -> None:
    assert first(index, text) == name


@pytest.mark.parametrize(
    "listing",
    [
        Fields(name="Kirsch toaster KX-215", identifiers=(GTINS[0],)),
        Fields(name=f"Kirsch toaster KX-215 EAN {GTINS[0]}"),
        Fields(name="Kirsch toaster KX-215", identifiers=(GTINS[0].zfill(14),)),
    ],
)
def test_an_identifier_decides_before_all_words(index: ProductIndex, listing: Fields) -> None:
    found = found_by(index, listing)
    assert found.record[0] == 7
    assert found.identifier[0] == 3
    assert found.ranks[ProductRoute.IDENTIFIERS][0] == 0


def test_a_part_number_of_a_column_is_found_in_pieces(index: ProductIndex) -> None:
    assert first(index, "tray st 88 volta blender") == "ohm steel tray large"


def test_an_identifier_that_others_share_is_a_hint_only() -> None:
    rows = [Fields(name=f"mug {colour}", identifiers=("MG-7001",)) for colour in ("red", "blue")]
    found = found_by(ProductIndex.build(rows, PACK), "blue mug mg7001")
    assert found.record.tolist() == [1, 0]
    assert found.identifier.tolist() == [1, 1]


def test_candidates_fall_and_ties_stand_by_row(index: ProductIndex) -> None:
    found = found_by(index, "ohm kettle", "tf-300", n_candidates=12)
    for at in range(2):
        rows = slice(*found.offsets[at : at + 2])
        keys = list(zip(-found.shortlist[rows], found.record[rows], strict=True))
        assert keys == sorted(keys)
        assert len(keys) == 12


def test_what_is_hidden_is_not_proposed(index: ProductIndex) -> None:
    row = int(found_by(index, "Volta toaster TF-330").record[0])
    other = int(found_by(index, "Volta toaster TF-330").record[1])
    found = found_by(index, "Volta toaster TF-330", hidden=np.array([[row, other]]))
    assert not {row, other} & set(found.record.tolist())


def test_hiding_a_product_is_as_leaving_it_out() -> None:
    """Words that only the hidden product has must not give it away."""
    rows = catalogue()
    rows[2] = Fields(name="Ohm kettle old", brand="Ohm", text="with a lamp and a filter")
    rows[3] = Fields(name="Ohm kettle Zephyr QQ-777", brand="Ohm", text="with a whistling spout")
    full, without = ProductIndex.build(rows, PACK), ProductIndex.build(rows[:3] + rows[4:], PACK)
    listing = [Fields(name="Ohm kettle Zephyr QQ-777", text="filter, lamp, whistling spout")]
    seen, hidden = full.reader.read(listing), np.array([3])
    found = full.retrieve(seen, hidden=hidden, n_candidates=100)
    features = candidate_features(full, seen, found, hidden=hidden)
    other = without.retrieve(seen, n_candidates=100)
    expected = candidate_features(without, seen, other)
    mine = {int(row) - (row > 3): at for at, row in enumerate(found.record)}
    both = [(mine[int(row)], at) for at, row in enumerate(other.record) if int(row) in mine]
    words = "foreign_code foreign_word unknown_code unknown_word max_foreign".split()
    for name in ("cos_words", "cos_ngrams", "cover_listing", "text_cover", *words):
        column = CANDIDATE_FEATURES.index(name)
        for one, two in both:
            assert features[one, column] == pytest.approx(expected[two, column], abs=0.05), name


def test_an_answer_does_not_depend_on_its_batch(index: ProductIndex) -> None:
    texts = [row.name.lower().replace("-", " ") + " new" for row in catalogue()]
    listings = [
        Fields(name=text, text="black, 2 l, 900 w" * (at % 3)) for at, text in enumerate(texts)
    ]
    together = index.reader.read(listings)
    found = index.retrieve(together)
    features = candidate_features(index, together, found)
    for at in (0, 1, 17, 41, 79):
        alone = index.reader.read(listings[at : at + 1])
        one = index.retrieve(alone)
        rows = slice(*found.offsets[at : at + 2])
        np.testing.assert_array_equal(one.record, found.record[rows])
        np.testing.assert_array_equal(one.shortlist, found.shortlist[rows])
        np.testing.assert_array_equal(candidate_features(index, alone, one), features[rows])


def test_an_index_that_is_loaded_finds_the_same(index: ProductIndex, tmp_path: Path) -> None:
    index.save(tmp_path)
    loaded = ProductIndex.load(tmp_path)
    one, two = (found_by(each, "kirsch toaster kx215", "tray st88") for each in (index, loaded))
    np.testing.assert_array_equal(one.record, two.record)
    np.testing.assert_array_equal(one.shortlist, two.shortlist)
    assert loaded.reader.units == index.reader.units


@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_catalogues(n: int) -> None:
    index = ProductIndex.build(catalogue()[:n], PACK)
    found = found_by(index, "ohm kettle kx210", "", "qqq")
    assert np.diff(found.offsets).tolist()[1] == 0
    assert found.record[0] == 0
    assert len(candidate_features(index, index.reader.read([Fields(name="ohm")] * 3), found)) > 0


def test_no_listings(index: ProductIndex) -> None:
    readings = index.reader.read([])
    found = index.retrieve(readings)
    assert found.offsets.tolist() == [0]
    assert candidate_features(index, readings, found).shape[0] == 0


def test_products_of_one_name_stand_by_row() -> None:
    index = ProductIndex.build([Fields(name="mug")] * 50, PACK)
    assert found_by(index, "mug").record.tolist() == list(range(20))


def test_recall_is_told_by_route(index: ProductIndex) -> None:
    readings = index.reader.read([Fields(name=row.name) for row in catalogue()[9:30]])
    recall = index.route_recall(readings, [[row] for row in range(9, 30)], cutoff=3)
    assert set(recall) == {*(route.value for route in ProductRoute), "fused"}
    assert recall["words"] == recall["fused"] == 1.0
    assert 0.0 <= recall["identifiers"] < 1.0


def test_a_short_identifier_is_known_in_columns_only() -> None:
    rows = [Fields(name="red mug", identifiers=("2007",)), Fields(name="blue mug 2 l")]
    index = ProductIndex.build(rows, PACK)
    assert found_by(index, "blue mug of 2007").identifier.tolist() == [0, 0]
    stated = found_by(index, Fields(name="blue mug", identifiers=("2007",)))
    assert (stated.record[0], stated.identifier[0]) == (0, 3)


def test_products_far_below_the_best_are_no_candidates() -> None:
    names = ("Ohm kettle KX-2100", "Ohm kettle KX-2150", "oak table", "kettle stand")
    rows = [Fields(name=name) for name in names] + [Fields(name="bin", identifiers=(GTINS[0],))]
    index = ProductIndex.build(rows, PACK)
    assert set(found_by(index, "ohm kettle kx-2100 used").record.tolist()) == {0, 1}
    named = found_by(index, f"ohm kettle kx-2100 {GTINS[0]}")
    assert named.record.tolist() == [4, 0, 1]


ODD = [
    "",
    " ",
    "\ud800 x",
    "𝟙𝟚𝟛 名前 カメラ",
    "a" * 500,
    "½ x ²",
    "1" * 30,
    "-" * 9,
    "\x00\x01",
    "🙂 tv",
]


def test_odd_texts_are_read_on_both_sides() -> None:
    rows = [
        Fields(text, text, (text, text), text=text, price=price, quantities=(("l", price),))
        for text in ODD
        for price in (float("inf"), float("nan"), -1.0)
    ]
    index = ProductIndex.build(rows, PACK)
    readings = index.reader.read(rows)
    found = index.retrieve(readings)
    assert np.isfinite(candidate_features(index, readings, found)).all()
    assert (np.diff(found.offsets)[:3] == 0).all()


def test_products_without_a_word() -> None:
    index = ProductIndex.build([Fields()] * 3, PACK)
    assert len(found_by(index, "mug", Fields()).record) == 0


def test_words_of_very_many_products_list_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rerank.packs.generic.index._MOST_POSTINGS", 10)
    names = [f"mug w{at:03}x" if at % 2 else "mug" for at in range(60)]
    index = ProductIndex.build([Fields(name=name) for name in names], PACK)
    listed = index.word_postings[index.ids_of(index.reader.read([Fields(name="mug")]).tokens[0])[0]]
    assert listed.indices.tolist() == list(range(0, 20, 2))
    assert found_by(index, "mug").record[:3].tolist() == [0, 2, 4]


def axes_of(*rows: tuple[str, str, str]) -> tuple[Axes, ProductIndex]:
    """Return the axes colour and kit of named products, the first word of a name its model."""
    products = [Fields(name=name, axes=(colour, kit)) for name, colour, kit in rows]
    pack = read_pack("generic")
    built = ProductIndex.build(products, pack)
    first = [name.split()[0] for name, _, _ in rows]
    model = np.array([first.index(each) for each in first], np.int64)
    values = [each.axes for each in products]
    return Axes(built.reader, model, values, built.readings, pack.alternatives), built


@pytest.mark.parametrize(
    ("title", "other"),
    [
        ("Vidar drill green", True),  # of another model
        ("Vidar Bohrer gelb", True),  # of none, but a colour as others are
        ("Vidar Bohrer rot", False),
        ("Vidar drill red and green", False),
        ("Vidar drill", False),
        ("Vidar drill 2 batterie 5.0Ah", False),
        ("Vidar drill 2 x 5 Ah", False),
        ("Vidar drill 1x 4Ah", True),
        ("Vidar drill 300Ah", False),  # too much to be a battery of these
        ("Yellowhead drill", False),
        ("Tyr green drill", False),  # whose colour is not known
    ],
)
def test_a_value_that_no_variant_has_is_told(title: str, other: bool) -> None:
    axes, built = axes_of(
        ("Vidar drill red 2x 2.0Ah", "red", "2x 2.0Ah"),
        ("Vidar drill blue 2x 5.0Ah", "blue", "2x 5.0Ah"),
        ("Oden drill green 2x 2.0Ah", "green", "2x 2.0Ah"),
        ("Oden drill blue 2x 5.0Ah", "blue", "2x 5.0Ah"),
        ("Tyr drill", "", ""),
    )
    readings = built.reader.read([Fields(name=title)])
    row = 4 if title.startswith("Tyr") else 0
    assert axes.other_stated(readings, [0], [row]) == [other]


def test_a_value_is_stated_by_its_quantities_too() -> None:
    axes, built = axes_of(
        ("Vidar drill 2x 2.0Ah", "red", "2x 2.0Ah"), ("Vidar drill 2x 5.0Ah", "red", "2x 5.0Ah")
    )
    readings = built.reader.read([Fields(name="Vidar drill rot 2 batterie 5Ah")])
    found = built.retrieve(readings)
    choice = axes.choose(readings, found, np.zeros(len(found.record), np.int64))
    assert choice.record[0] == 1
    assert choice.stated[0]


@pytest.mark.parametrize(
    ("title", "row"), [("Vidar tablet 256Go", 1), ("Vidar tablet 8+256", 1), ("Vidar tablet 64", 0)]
)
def test_amounts_are_stated_with_a_blank_another_unit_or_none(title: str, row: int) -> None:
    axes, built = axes_of(("Vidar tablet", "64 GB", ""), ("Vidar tablet", "256 GB", ""))
    readings = built.reader.read([Fields(name=title)])
    found = built.retrieve(readings)
    assert axes.choose(readings, found, np.zeros(len(found.record), np.int64)).record[0] == row


def test_lists_of_words_leave_the_index_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rerank.packs.generic.index._MOST_POSTINGS", 2)
    index = ProductIndex.build([Fields(name=f"Ohm lamp L{at}") for at in range(9)], PACK)
    atoms = index.atoms.values.copy()
    assert index.word_postings.nnz < len(atoms)
    assert np.array_equal(index.atoms.values, atoms)
