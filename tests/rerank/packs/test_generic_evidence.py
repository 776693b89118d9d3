import numpy as np
import pytest

from rerank.packs.generic.evidence import (
    CANDIDATE_DIRECTIONS,
    CANDIDATE_FEATURES,
    OFFER_DIRECTIONS,
    OFFER_FEATURES,
    Habits,
    candidate_features,
    decided_scores,
    offer_features,
)
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import Found, ProductIndex
from rerank.packs.generic.pack_data import Pack, Unit
from rerank.packs.generic.reading import token_hash

PACK = Pack(
    name="test",
    units={"l": Unit({1: ("l",), 0.001: ("ml",)}), "w": Unit({1: ("w",)})},
    cues={
        "accessory": {"en": ("lid",)},
        "for": {"en": ("for", "fits")},
        "wanted": {"en": ("wanted",)},
        "box_only": {"en": ("empty box",)},
        "lot": {"en": ("lot",)},
    },
)
PRODUCTS = [
    Fields(name="Ohm kettle KX-2100 1.7 l", brand="Ohm", price=30.0),
    Fields(
        name="Ohm kettle KX-2150 1.5 l", brand="Ohm", price=60.0, text="with a filter and a lamp"
    ),
    Fields(name="Ohm kettle Deluxe", brand="Ohm", quantities=(("w", 2000.0), ("l", 1.7))),
    Fields(name="Volta toaster TS-410", brand="Volta", identifiers=("4006381333931",)),
    Fields(name="Volta toaster TS-420", brand="Volta", identifiers=("0036000291452",)),
]


@pytest.fixture(scope="module")
def index() -> ProductIndex:
    return ProductIndex.build(PRODUCTS, PACK)


def evidence(
    index: ProductIndex, listing: str | Fields, habits: Habits | None = None
) -> dict[int, dict[str, float]]:
    """Return features by name of each candidate's row."""
    row = Fields(name=listing) if isinstance(listing, str) else listing
    readings = index.reader.read([row])
    found = index.retrieve(readings)
    values = candidate_features(index, readings, found, habits)
    named = [dict(zip(CANDIDATE_FEATURES, each.tolist(), strict=True)) for each in values]
    return dict(zip(found.record.tolist(), named, strict=True))


def test_names_are_told_apart() -> None:
    assert len(set(CANDIDATE_FEATURES)) == len(CANDIDATE_FEATURES)
    assert set(CANDIDATE_DIRECTIONS) <= set(CANDIDATE_FEATURES)
    assert set(OFFER_DIRECTIONS) <= set(OFFER_FEATURES)


def test_shared_missing_and_conflicting_codes(index: ProductIndex) -> None:
    found = evidence(index, "ohm kettle kx2100")
    right, wrong = found[0], found[1]
    assert right["shared_code"] > 0 == right["foreign_code"]
    assert wrong["shared_code"] == 0 < wrong["rival_code"] == wrong["foreign_code"]
    assert wrong["absent_digit"] > right["absent_digit"]
    assert right["gap_shared_code"] > 0 > wrong["gap_shared_code"]
    assert wrong["max_rival"] == wrong["rival_code"]


CONTRASTS = [
    Fields(name="Volta drill D-300 mk2"),
    Fields(name="Volta drill D-300 mk3"),
    Fields(name="Volta drill D-400 mk2"),
    Fields(name="Volta drill D-400 mk3"),
    Fields(name="Volta drill D-500 mk3"),
    Fields(name="Volta sander S-200"),
    Fields(name="Volta sander S-200 turbo"),
    Fields(name="Ohm lamp red"),
]


@pytest.fixture(scope="module")
def tools() -> ProductIndex:
    return ProductIndex.build(CONTRASTS, PACK)


def test_a_word_that_parts_names_elsewhere_speaks_against_a_sibling(tools: ProductIndex) -> None:
    found = evidence(tools, "Volta drill D-500 mk2, new, with a red box")[4]
    assert found["contrast_foreign"] == found["contrast_near"] == found["contrast_rival"] > 0.6
    assert found["contrast_absent"] == 0.5
    right = evidence(tools, "Volta drill D-500 mk3 in a red box")[4]
    assert right["contrast_foreign"] == right["contrast_absent"] == 0


def test_a_word_glued_to_a_number_parts_products_all_the_same(tools: ProductIndex) -> None:
    found = evidence(tools, "volta drill d500mk2")[4]
    assert found["contrast_foreign"] > 0.6 > found["contrast_near"] == 0


def test_a_word_with_or_without_parts_products(tools: ProductIndex) -> None:
    plain, turbo = (evidence(tools, "Volta sander S-200 turbo")[row] for row in (5, 6))
    assert plain["contrast_near"] == 0.5 > turbo["contrast_near"] == 0
    assert evidence(tools, "Volta sander S-200")[6]["contrast_absent"] == 0.5


def test_what_a_hidden_product_parts_does_not_count(tools: ProductIndex) -> None:
    listing = np.zeros(1, np.int64)
    turbo = tools.ids_of(np.array([token_hash("turbo")], np.uint64))
    shares = [tools.contrasts.shares(turbo, listing, hide) for hide in (None, np.array([6]))]
    shares.append(tools.contrasts.shares(turbo, listing, np.array([5])))
    shares.append(tools.contrasts.shares(turbo, listing, np.array([7])))
    assert [each.item() for each in shares] == [0.5, 0.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("spout for ohm kettle kx2100", 1.0),
        ("Volta spout, fits: Ohm kettle KX-2100", 1.0),
        ("ohm kettle kx2100 for small kitchens", 0.0),
        ("kx2100 ohm kettle", 0.0),
    ],
)
def test_what_stands_behind_for_is_fitted(index: ProductIndex, name: str, share: float) -> None:
    assert evidence(index, name)[0]["behind_for"] == share


def test_what_is_for_something_by_its_name_is_not_held_against_it() -> None:
    products = [Fields(name="Ohm spout for kettle KX-2100"), Fields(name="Ohm kettle KX-2100")]
    found = evidence(ProductIndex.build(products, PACK), "spout for ohm kettle kx2100")
    assert found[0]["behind_for"] == 0 < found[1]["behind_for"]


def test_brands_ahead_of_a_name_do_not_move_its_aim(index: ProductIndex) -> None:
    row = Fields(name="spout for kettle kx2100", brand="Ohm")
    assert 0.5 < evidence(index, row)[0]["behind_for"] < 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wanted: ohm kettle", 1),
        ("ohm kettle, empty box", 1),
        ("lid for ohm kettle", 1),
        ("lot of ohm kettles, lid", 0),
    ],
)
def test_what_is_not_sold_whatever_is_named(index: ProductIndex, name: str, told: int) -> None:
    assert evidence(index, name)[2]["not_sold"] == told


def test_unknown_tokens_are_counted_not_weighed(index: ProductIndex) -> None:
    row = evidence(index, "ohm kettle deluxe qwerty zx99")[2]
    assert row["unknown_word"] == 1
    assert row["unknown_code"] == 1
    assert row["foreign_word"] == 0


def test_cover_of_both_sides(index: ProductIndex) -> None:
    row = evidence(index, "ohm kettle deluxe")[2]
    assert row["cover_entry"] == row["cover_listing"] == row["cover_known"] == 1.0
    assert evidence(index, "ohm kettle")[2]["cover_entry"] < 0.6


def test_codes_that_nearly_agree(index: ProductIndex) -> None:
    row = evidence(index, "ohm kettle kx 2105")[0]
    assert row["near_code"] >= 0.75
    assert evidence(index, "ohm kettle KX-2100")[0]["near_code"] == 0.0


def test_codes_begin_alike_however_they_are_cut(index: ProductIndex) -> None:
    row = evidence(index, "ohm kettle kx2100w")[0]
    assert row["code_start"] == row["near_code"] == pytest.approx(6 / 7, abs=1e-3)
    assert evidence(index, "ohm kettle kx2100w")[2]["code_start"] == 0.0
    whole = ProductIndex.build([Fields(name="kettle KX2100WB"), Fields(name="pan")], PACK)
    assert evidence(whole, "kettle kx 2100 w")[0]["code_start"] == pytest.approx(7 / 8, abs=1e-3)


def test_quantities_agree_conflict_and_rival(index: ProductIndex) -> None:
    found = evidence(index, "ohm kettle 1700ml")
    assert (found[0]["unit_agree"], found[0]["unit_conflict"]) == (1, 0)
    assert (found[1]["unit_agree"], found[1]["unit_conflict"], found[1]["unit_rival"]) == (0, 1, 1)
    assert evidence(index, "ohm kettle 9 l")[1]["unit_rival"] == 0


def test_numbers_of_columns_are_found_with_and_without_their_unit(index: ProductIndex) -> None:
    row = evidence(index, "ohm kettle deluxe 2000 1.7 l")[2]
    assert (row["number_found"], row["number_share"]) == (2, 1.0)
    assert evidence(index, "ohm kettle deluxe 2000 l")[2]["number_found"] == 0


def test_identifiers_decide_and_conflict(index: ProductIndex) -> None:
    found = evidence(index, Fields(name="volta toaster TS-420", identifiers=("4006381333931",)))
    assert next(iter(found)) == 3
    assert (found[3]["identifier"], found[3]["identifier_conflict"]) == (3, 0)
    assert (found[4]["identifier"], found[4]["identifier_conflict"]) == (2, 2)
    other = evidence(index, Fields(name="volta toaster", identifiers=("96385074",)))
    assert other[4]["identifier_conflict"] == 2


def test_brands_agree_differ_or_are_unsaid(index: ProductIndex) -> None:
    listing = Fields(name="kettle kx-2100", brand="Kirsch")
    assert evidence(index, listing)[0]["brand_fit"] == -1
    assert evidence(index, "kettle kx-2100")[0]["brand_fit"] == 0
    assert evidence(index, "ohm kettle kx-2100")[0]["brand_fit"] == 1


def test_prices_are_compared_by_ratio(index: ProductIndex) -> None:
    found = evidence(index, Fields(name="ohm kettle", price=30.0))
    assert found[0]["price_gap"] == 0
    assert found[1]["price_gap"] == pytest.approx(np.log(2), abs=1e-3)
    assert found[2]["price_gap"] == -1


def test_descriptions_are_looked_through(index: ProductIndex) -> None:
    found = evidence(index, Fields(name="ohm kettle filter", text="model kx-2150, lamp"))
    assert found[1]["foreign_in_text"] > 0 == found[0]["foreign_in_text"]
    assert found[1]["absent_in_text"] > 0
    assert found[1]["text_cover"] > found[2]["text_cover"]


def test_ranks_and_rivals(index: ProductIndex) -> None:
    found = evidence(index, "volta toaster ts410")
    assert (found[3]["rank_words"], found[3]["better"]) == (0, 0)
    assert found[4]["better"] == 1


def test_values_are_multiples_of_a_quantum(index: ProductIndex) -> None:
    readings = index.reader.read([Fields(name="ohm kettle 1.7 l filter", price=17.3)])
    values = candidate_features(index, readings, index.retrieve(readings))
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values * 1024, np.rint(values * 1024))


def test_habits_tell_noise_from_what_is_meant(index: ProductIndex) -> None:
    names = ["ohm kettle kx2100 free", "ohm kettle kx2150 free", "volta ts410 free"] * 5
    readings = index.reader.read([Fields(name=name) for name in names])
    habits = Habits.measure(index, readings, np.arange(15), np.array([0, 1, 3] * 5))
    free, toaster = (np.array([token_hash(word)], np.uint64) for word in ("free", "toaster"))
    assert habits.noise(free)[0] > 0.9 > 0.1 > habits.noise(toaster)[0]
    assert habits.keep(toaster, np.array([2]))[0] < habits.base[2]
    plain, known = evidence(index, "ohm kettle free"), evidence(index, "ohm kettle free", habits)
    assert known[0]["habit_added"] < plain[0]["habit_added"] + 1e-9
    assert known[0]["habit_added"] < 0.1


def test_offers_describe_the_best_candidate(index: ProductIndex) -> None:
    readings = index.reader.read([Fields(name="volta toaster ts420"), Fields()])
    found = index.retrieve(readings)
    features = candidate_features(index, readings, found)
    scores = np.arange(len(features), dtype=np.float32)
    offers = offer_features(features, scores, found)
    named = dict(zip(OFFER_FEATURES, offers[0].tolist(), strict=True))
    assert offers.shape == (2, len(OFFER_FEATURES))
    np.testing.assert_array_equal(offers[0, : features.shape[1]], features[-1])
    assert (named["score"], named["lead"], named["candidates"]) == (len(scores) - 1, 1, len(scores))
    assert not offers[1].any()


def test_one_candidate_leads_by_all() -> None:
    index = ProductIndex.build(PRODUCTS[:1], PACK)
    readings = index.reader.read([Fields(name="ohm kettle")])
    found = index.retrieve(readings)
    features = candidate_features(index, readings, found)
    assert isinstance(found, Found)
    assert offer_features(features, np.ones(1), found)[0, OFFER_FEATURES.index("lead")] == 9.0


def test_cues_of_the_listing_that_are_no_words_of_the_entry(index: ProductIndex) -> None:
    assert evidence(index, "lid ohm kettle")[0]["cue_accessory"] == 1
    assert evidence(index, "ohm kettle")[0]["cue_accessory"] == 0
    lids = ProductIndex.build([Fields(name="lid for a pan"), Fields(name="pan")], PACK)
    found = evidence(lids, "pan lid")
    assert (found[0]["cue_accessory"], found[1]["cue_accessory"]) == (0, 1)


def test_words_never_outvote_an_identifier(index: ProductIndex) -> None:
    rows = [Fields(name="volta toaster TS-420", identifiers=("4006381333931",)), Fields(name="ohm")]
    found = index.retrieve(index.reader.read(rows))
    scores = np.where(found.identifier == 3, -9.0, 5.0).astype(np.float32)
    decided = decided_scores(scores, found)
    assert found.record[np.argmax(decided)] == 3
    assert decided.max() == scores[: found.offsets[1]].max() + 1
    others = found.identifier != 3
    np.testing.assert_array_equal(decided[others], scores[others])
