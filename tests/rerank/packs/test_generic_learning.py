from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import pytest

from rerank.index.errors import InputError
from rerank.index.records import falling_order
from rerank.model import OnnxTrees
from rerank.packs.generic import learning
from rerank.packs.generic.evidence import candidate_features, offer_features
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import ProductIndex
from rerank.packs.generic.learning import Label, LearningParameters, LearntModel
from rerank.packs.generic.learning import train as learn
from rerank.packs.generic.pack_data import read_pack
from rerank.trees import TreeParameters

BRANDS = ("Nordlys", "Varde", "Solgry", "Fjellheim")
LINES = ("Taiga", "Fjord", "Polar", "Lyng", "Brisk")
KINDS = ("desk lamp", "floor lamp", "wall lamp")
WORDS = ("new", "free shipping", "black", "for your home", "boxed", "top offer")
TREES = TreeParameters(trees=40, leaves=8, learning_rate=0.1, min_rows_in_leaf=10, l2=5.0)
SMALL = LearningParameters(
    ranker_listings=400,
    offer_listings=400,
    validation_listings=400,
    set_listings=200,
    ranker=TREES,
    offer=TREES,
)


class Shop(NamedTuple):
    """A feed with what each listing sells."""

    labels: list[Label]

    @property
    def listings(self) -> list[Fields]:
        return [listing for listing, _ in self.labels]


def code_of(brand: int, line: int, kind: int) -> str:
    return f"{BRANDS[brand][0]}{LINES[line][0]}{(brand * 7 + line * 3 + kind) * 13 + 105}"


def lamps() -> list[Fields]:
    return [
        Fields(
            name=f"{BRANDS[b]} {LINES[n]} {KINDS[k]} {code_of(b, n, k)}",
            brand=BRANDS[b],
            price=20.0 + 15 * n + 40 * k,
        )
        for b in range(len(BRANDS))
        for n in range(len(LINES))
        for k in range(len(KINDS))
    ]


def written(product: Fields, rng: np.random.Generator) -> Fields:
    words = [word for word in product.name.split() if rng.random() < 0.85]
    added = WORDS[int(rng.integers(len(WORDS)))]
    return Fields(name=" ".join([*words, added]).lower(), price=product.price * 1.05)


def shop(seed: int, n: int = 150) -> Shop:
    """Return listings of lamps of the catalogue, and a third of other goods."""
    rng = np.random.default_rng(seed)
    products = lamps()
    labels: list[Label] = []
    for at in range(n):
        row = int(rng.integers(len(products)))
        if at % 3:
            labels.append((written(products[row], rng), frozenset([row])))
        else:
            number = 900 + int(rng.integers(90))
            name = f"garden hose {number} cm {WORDS[at % len(WORDS)]} Taiga"
            labels.append((Fields(name=name), frozenset()))
    return Shop(labels)


train = partial(learn, pack=read_pack("generic"))


@cache
def lamp_index() -> ProductIndex:
    return ProductIndex.build(lamps(), read_pack("generic"))


@cache
def fed() -> LearntModel:
    """Return what the feed of a shop teaches."""
    return train(lamp_index(), lamps(), shop(1).listings, (), SMALL)


def resolve(
    index: ProductIndex, trained: LearntModel, listings: list[Fields]
) -> tuple[list[int], list[float]]:
    """Return of each listing the row of its first place, -1 without, and its probability."""
    readings = index.reader.read(listings)
    found = index.retrieve(readings)
    features = candidate_features(index, readings, found, trained.habits)
    scores = OnnxTrees(trained.ranker.onnx).score(features)
    offers = offer_features(features, scores, found)
    probability = trained.calibrator(OnnxTrees(trained.offer.onnx).score(offers))
    order = falling_order(found.listing, scores)
    first = [-1] * len(listings)
    for at in np.flatnonzero(np.diff(found.offsets)).tolist():
        first[at] = int(found.record[order[found.offsets[at]]])
    return first, probability.tolist()


def accepted(trained: LearntModel, probability: list[float]) -> list[bool]:
    return [p >= trained.thresholds.match for p in probability]


def assert_right(index: ProductIndex, trained: LearntModel, feed: Shop) -> None:
    """Hold that accepted listings are right, and that there are some."""
    first, probability = resolve(index, trained, feed.listings)
    said = accepted(trained, probability)
    right = [row in rows for row, (_, rows) in zip(first, feed.labels, strict=True)]
    assert sum(said) >= 0.2 * len(said)
    assert sum(r for r, s in zip(right, said, strict=True) if s) >= 0.9 * sum(said)
    sold = [r for r, (_, rows) in zip(right, feed.labels, strict=True) if rows]
    assert sum(sold) >= 0.9 * len(sold)


def test_learns_from_a_feed_without_labels() -> None:
    trained = fed()
    assert_right(lamp_index(), trained, shop(2))
    assert "sure pairs" in trained.rests_on
    assert trained.habits.pairs > 0


def test_learns_without_a_feed_and_says_so() -> None:
    trained = train(lamp_index(), lamps(), [], (), SMALL)
    first, probability = resolve(lamp_index(), trained, shop(2).listings)
    said = accepted(trained, probability)
    wrong = [
        listing.name
        for row, ok, (listing, rows) in zip(first, said, shop(2).labels, strict=True)
        if ok and row not in rows
    ]
    assert wrong == []
    assert "no feed" in trained.rests_on
    assert trained.thresholds.precision < trained.thresholds.match == 0.95
    assert trained.measured["expected"] == {"matched": None, "accepted": None}


def test_what_is_sought_or_let_or_fits_a_product_is_no_match() -> None:
    trained = fed()
    names = [each.name for each in lamps()[:12]]
    forms = (
        "Suche {}",
        "{} wanted",
        "WTB: {}",
        "{} empty box",
        "lampshade case for {}",
        "Hülle {}",
    )
    told = [Fields(name=form.format(name)) for form in forms for name in names]
    _, offered = resolve(lamp_index(), trained, [Fields(name=name) for name in names])
    _, probability = resolve(lamp_index(), trained, told)
    assert not any(accepted(trained, probability))
    assert max(probability) < min(offered)


def test_learns_from_labels() -> None:
    labels = shop(3, 90).labels
    trained = train(lamp_index(), lamps(), shop(1).listings, labels, SMALL)
    assert_right(lamp_index(), trained, shop(2))
    assert "90 labelled listings" in trained.rests_on


def test_few_labels_do() -> None:
    labels = shop(3).labels[:3]
    trained = train(lamp_index(), lamps(), shop(1).listings, labels, SMALL)
    assert_right(lamp_index(), trained, shop(2))


def test_labels_that_are_all_no_match() -> None:
    feed = shop(1).listings
    labels: list[Label] = [(listing, frozenset()) for listing in feed]
    trained = train(lamp_index(), lamps(), feed, labels, SMALL)
    _, probability = resolve(lamp_index(), trained, shop(2).listings)
    assert not any(accepted(trained, probability))


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, two = fed(), train(lamp_index(), lamps(), shop(1).listings, (), SMALL)
    assert (one.ranker.onnx, one.offer.onnx) == (two.ranker.onnx, two.offer.onnx)
    assert (one.calibrator, one.thresholds) == (two.calibrator, two.thresholds)
    other = train(lamp_index(), lamps(), shop(1).listings, (), replace(SMALL, seed=SMALL.seed + 1))
    assert other.calibrator != one.calibrator


def test_prices_that_differ_as_strangers_do_lower_probabilities() -> None:
    index, products = lamp_index(), lamps()
    rng = np.random.default_rng(5)
    rows = rng.integers(len(products), size=200).tolist()
    honest = [Fields(name=products[row].name, price=products[row].price) for row in rows]
    strange = [
        replace(each, price=products[int(rng.integers(len(products)))].price) if at % 4 else each
        for at, each in enumerate(honest)
    ]
    sure, unsure = (train(index, products, feed, (), SMALL) for feed in (honest, strange))
    assert sure.measured["wrong_by_price"] == 0
    assert "prices" in sure.rests_on
    found = unsure.measured["wrong_by_price"]
    assert found is None or found > 0.1


def test_a_stated_precision_is_kept_to() -> None:
    trained = train(lamp_index(), lamps(), [], (), replace(SMALL, precision=0.9))
    assert trained.thresholds.match == trained.thresholds.precision == 0.9


@pytest.mark.parametrize(
    "names",
    [
        ["gravel 20 kg grey", "potting soil 40 l", "lawn seed shade 1 kg"] * 20,
        ["гравий 20 кг серый", "грунт для цветов 40 л"] * 30,
    ],
    ids=["other goods", "another language"],
)
def test_a_feed_of_other_goods_matches_nothing_and_is_told_of(names: list[str]) -> None:
    feed = [Fields(name=name) for name in names]
    trained = train(lamp_index(), lamps(), feed, (), SMALL)
    _, probability = resolve(lamp_index(), trained, feed)
    assert not any(accepted(trained, probability))
    (note,) = trained.notes
    assert "other goods than the catalogue" in note


def test_one_product() -> None:
    products = [Fields(name="Nordlys Taiga desk lamp NT105", brand="Nordlys")]
    index = ProductIndex.build(products, read_pack("generic"))
    trained = train(index, products, [], (), SMALL)
    listings = [
        Fields(name="nordlys taiga desk lamp nt105 new"),
        Fields(name="Suche nordlys taiga desk lamp nt105"),
    ]
    first, probability = resolve(index, trained, listings)
    assert first[0] == 0
    assert probability[0] > 0.8 > probability[1]


def test_products_of_one_name_are_left_for_review() -> None:
    products = [Fields(name="Nordlys desk lamp")] * 30
    index = ProductIndex.build(products, read_pack("generic"))
    feed = [Fields(name=f"nordlys desk lamp {word}") for word in WORDS] * 10
    trained = train(index, products, feed, (), SMALL)
    _, probability = resolve(index, trained, feed)
    assert not any(accepted(trained, probability))


def test_variants_of_a_model_are_right_together() -> None:
    products = [
        Fields(name=each.name, brand=each.brand, axes=(colour,))
        for each in lamps()
        for colour in ("white", "anthracite")
    ]
    index = ProductIndex.build(products, read_pack("generic"))
    models = np.arange(len(products)) // 2
    labels = [(listing, frozenset(2 * row for row in rows)) for listing, rows in shop(3, 60).labels]
    trained = train(index, products, shop(1).listings, labels, SMALL, models=models)
    first, probability = resolve(index, trained, shop(2).listings)
    said = accepted(trained, probability)
    right = [
        row // 2 in rows for row, (_, rows) in zip(first, shop(2).labels, strict=True) if row >= 0
    ]
    assert sum(said) >= 0.2 * len(said)
    assert all(r for r, s in zip(right, said, strict=True) if s)


def test_products_of_another_index_are_refused() -> None:
    with pytest.raises(InputError, match="the 60 products that the index was built of, got 59"):
        train(lamp_index(), lamps()[:-1], [])


def test_names_that_tell_no_product_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = learning._Training._fit

    def none_right(training: learning._Training, labels: Sequence[Label]) -> learning._Fitted:
        fitted = fit(training, labels)
        return fitted._replace(right=np.zeros_like(fitted.right))

    monkeypatch.setattr(learning._Training, "_fit", none_right)
    products = [Fields(name="Garden hose 20 m")] * 40
    with pytest.raises(InputError, match="names do not tell the products apart; give columns"):
        train(ProductIndex.build(products, read_pack("generic")), products, [], (), SMALL)
