import math

import numpy as np
import pytest

from rerank.packs.generic.evidence import Habits
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import ProductIndex
from rerank.packs.generic.pack_data import GrammarHints, Pack, Unit
from rerank.packs.generic.reading import TokenKind
from rerank.packs.generic.rewriting import (
    Addition,
    Manner,
    Rewriter,
    measured_manner,
    usual_manner,
)

PACK = Pack(name="test", units={"w": Unit({1: ("w", "watt")}), "l": Unit({1: ("l",)})})
PRODUCTS = [
    Fields(
        name=f"Ohm kettle KX{number} steel",
        brand="Ohm",
        price=float(number),
        text="boils quickly, with a filter",
        quantities=(("w", float(number)),),
    )
    for number in range(1200, 1260, 2)
]


@pytest.fixture(scope="module")
def index() -> ProductIndex:
    return ProductIndex.build(PRODUCTS, PACK)


def measured(index: ProductIndex, listings: list[Fields]) -> Manner:
    """Return the manner of listings, one of each of the first products."""
    rows = np.arange(len(listings))
    none = np.zeros(0, np.int64)
    readings = index.reader.read(listings)
    return measured_manner(index, PRODUCTS, listings, readings, (rows, rows), (none, none))


CASES = Pack(name="cases", grammar=GrammarHints(other_goods=("case for {name}",)))


def rewriter(index: ProductIndex, manner: Manner, seed: int = 1, pack: Pack = CASES) -> Rewriter:
    return Rewriter(index, PRODUCTS, manner, pack, np.random.default_rng(seed))


def test_the_same_generator_writes_the_same(index: ProductIndex) -> None:
    manner = usual_manner(index, [("new", "free shipping")], np.random.default_rng(3), 20)
    one, two = (rewriter(index, manner), rewriter(index, manner))
    assert [one.write(at) for at in range(9)] == [two.write(at) for at in range(9)]


def test_a_measured_manner_is_that_of_the_listings(index: ProductIndex) -> None:
    listings = [
        Fields(name=f"ohmkettle kx{each.price:g} {each.price:g}watt cheap", price=each.price * 2)
        for each in PRODUCTS
    ]
    manner = measured(index, listings)
    assert manner.joined > 0.2  # of three pairs of neighbours, one
    assert manner.spread == pytest.approx(1.5 * math.log(2))
    assert set(manner.numbers["w"]) == {"watt"}
    assert all("cheap" in each.words for each in manner.additions)
    assert manner.habits.pairs == len(PRODUCTS)


def test_listings_made_up_are_written_in_the_manner(index: ProductIndex) -> None:
    listings = [Fields(name=f"{each.name} {each.price:g}watt cheap".lower()) for each in PRODUCTS]
    made = [rewriter(index, measured(index, listings), seed).write(4) for seed in range(40)]
    words = [set(each.name.split()) for each in made]
    assert sum("cheap" in each for each in words) > 25
    assert sum("1208watt" in each for each in words) > 25
    assert sum("kettle" in each for each in words) > 20
    assert all(math.isnan(each.price) and not each.brand for each in made)


def test_words_that_speak_against_a_product_are_not_added(index: ProductIndex) -> None:
    words, kinds = ("zx9001", "700w", "cheap"), (TokenKind.CODE, TokenKind.DIGIT, TokenKind.WORD)
    addition = Addition(words, tuple(map(int, kinds)))
    units = {"700w": frozenset({index.reader.units.index("w")})}
    manner = Manner(Habits.usual(), (addition,), units=units)
    made = [rewriter(index, manner, seed).write(0).name.split() for seed in range(30)]
    assert any("cheap" in each for each in made)
    assert not any("zx9001" in each or "700w" in each for each in made)


def test_descriptions_tell_words_of_the_product(index: ProductIndex) -> None:
    manner = Manner(Habits.usual(), (Addition(text="somebody else's words"),))
    texts = {rewriter(index, manner, seed).write(0).text for seed in range(30)}
    assert "somebody else's words" in texts
    assert any("filter" in each for each in texts)


def test_other_goods_name_a_product_in_a_phrase_or_hardly_at_all(index: ProductIndex) -> None:
    manner = usual_manner(index, [("new",)], np.random.default_rng(3), 20)
    names = [rewriter(index, manner, seed).other_goods(0).name for seed in range(40)]
    phrased = [each for each in names if each.startswith("case for ")]
    assert 10 < len(phrased) < 30
    own = set(index.readings.words(0))
    assert all(len(own & set(each.split())) <= 4 for each in names if each not in phrased)


def test_without_a_feed_words_of_no_list_and_parts_are_added(index: ProductIndex) -> None:
    manner = usual_manner(index, [("new",)], np.random.default_rng(3), 200, ["lamp holder"])
    own = {word for row in range(len(PRODUCTS)) for word in index.readings.words(row)}
    said = [set(each.words) for each in manner.additions]
    words = {word for each in said for word in each if word.isalpha()}
    assert len(words - own) > 100
    assert 5 < sum({"lamp", "holder"} <= each for each in said) < 50


CUES = Pack(
    name="cues",
    cues={
        "wanted": {"en": ("wanted",), "de": ("suche*",)},
        "accessory": {"en": ("lid",)},
        "for": {"en": ("fits",)},
    },
)


def test_other_goods_are_told_by_cues_that_no_product_is_named_with() -> None:
    index = ProductIndex.build(PRODUCTS, CUES)
    manner = Manner(Habits.usual(), (Addition(),))
    made = [rewriter(index, manner, seed, CUES).other_goods(3) for seed in range(60)]
    told = {each.name.split()[0] for each in made if "kettle" in each.name}
    assert {"wanted", "suche", "lid"} <= told
    assert all("lid fits" in each.name for each in made if "lid" in each.name)
    lids = [*PRODUCTS, *(Fields(name=f"Ohm kettle lid {n}") for n in range(9))]
    index = ProductIndex.build(lids, CUES)
    made = [
        Rewriter(index, lids, manner, CUES, np.random.default_rng(seed)).other_goods(3)
        for seed in range(60)
    ]
    assert not any("lid" in each.name for each in made)


def test_words_of_a_listing_that_sells_nothing_are_added_to_none_that_does() -> None:
    index = ProductIndex.build(PRODUCTS, CUES)
    word = int(TokenKind.WORD)
    said = tuple(
        Addition(words, (word,) * len(words))
        for words in (("wanted", "cheap"), ("shiny",), ("lid", "fits", "cheap"), ("lid", "too"))
    )
    made = [rewriter(index, Manner(Habits.usual(), said), n, CUES).write(3) for n in range(30)]
    assert any("shiny" in each.name for each in made)
    assert any("lid" in each.name for each in made)  # that may come along
    assert not any("cheap" in each.name or "wanted" in each.name for each in made)


def test_what_stood_ahead_of_a_product_stands_ahead_again(index: ProductIndex) -> None:
    listings = [Fields(name=f"brandnew {each.name} cheap") for each in PRODUCTS]
    manner = measured(index, listings)
    assert {each.ahead for each in manner.additions} == {1}
    for seed in range(30):
        words = rewriter(index, manner, seed).write(4).name.split()
        assert "brandnew" not in words or words[0] == "brandnew"
        assert words[0] != "cheap" or len(words) == 1


def test_an_empty_catalogue_name_is_written_as_it_is() -> None:
    products = [Fields(name="--"), Fields(name="Ohm kettle")]
    index = ProductIndex.build(products, PACK)
    manner = usual_manner(index, [], np.random.default_rng(3), 5)
    made = Rewriter(index, products, manner, PACK, np.random.default_rng(1)).write(0)
    assert isinstance(made.name, str)
