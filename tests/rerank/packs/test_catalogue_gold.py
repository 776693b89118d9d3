"""Files of listings with the products they sell, as labels and as gold."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_catalogue import build_catalogue_home

from rerank.conformal import NO_MATCH
from rerank.evaluation.gold import GoldKind, covered
from rerank.evaluation.outcomes import rank_of_models
from rerank.index.errors import InputError
from rerank.index.records import Listing
from rerank.packs.generic.measuring import (
    CatalogueFacts,
    card_listings,
    made_up_gold,
    read_catalogue_gold,
    read_labelled,
)
from rerank.packs.generic.pack_data import read_pack
from rerank.packs.generic.source import ProductSource, load_source

PACK = read_pack("generic")
GOLD = """\
listing_id,title,vendor,price,product_ids
a,Vidda 2 Zelt,zeltkiste,279,C01; C02
b,Groundsheet for Vidda 2,outfitter,,
c,Glow 180 Laterne,,42,C23
d,Primus lantern,,,X1
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ProductSource:
    home = build_catalogue_home(tmp_path_factory.mktemp("camping")).home
    return load_source(home / "index")[0]


def file_of(folder: Path, text: str) -> Path:
    path = folder / "gold.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_gold_names_the_models_of_products(source: ProductSource, tmp_path: Path) -> None:
    tent, sheet, lamp = read_catalogue_gold(file_of(tmp_path, GOLD), source.table, PACK)
    assert (tent.kind, tent.gold_models) == (GoldKind.MATCH, ("Norrfjell Vidda 2 Tent",))
    assert (sheet.kind, sheet.gold_models) == (GoldKind.NIL, ())
    assert lamp.listing == Listing("c", "Glow 180 Laterne", "", "", 42.0)
    assert sheet.listing.price is None


def test_names_of_products_compare_as_they_are(source: ProductSource, tmp_path: Path) -> None:
    tent = read_catalogue_gold(file_of(tmp_path, GOLD), source.table, PACK)[0]
    models = ["Norrfjell Vidda 2 tent", "Norrfjell Vidda 2 Tent", "Norrfjell Vidda 3 Tent"]
    assert rank_of_models(models, tent) == 2.0
    assert covered(["Norrfjell Vidda 2 Tent", NO_MATCH], tent)
    assert not covered(["norrfjell vidda 2 tent"], tent)


def test_what_is_sold_is_no_identifier_of_the_listing(
    source: ProductSource, tmp_path: Path
) -> None:
    text = GOLD.replace("product_ids", "product_id").replace("C01; C02", "C01")
    warnings: list[str] = []
    rows = read_labelled(file_of(tmp_path, text), source.table, PACK, warnings.append)
    assert [row.listing.identifiers for row in rows] == [(), (), ()]
    assert [row.listing_id for row in rows] == ["a", "b", "c"]
    assert "left out 1 listings of unknown products: 'X1'" in warnings[0]


def test_a_file_without_products_is_refused(source: ProductSource, tmp_path: Path) -> None:
    path = file_of(tmp_path, "listing_id,title\n1,Vidda 2 tent\n2,Glow 60\n")
    with pytest.raises(InputError, match="expected the column product_id"):
        read_labelled(path, source.table, PACK)


def test_listings_are_made_up_alike_and_some_sell_nothing(source: ProductSource) -> None:
    gold = made_up_gold(source, PACK, 200)
    assert gold == made_up_gold(source, PACK, 200)
    assert 20 < sum(item.kind is GoldKind.NIL for item in gold) < 80
    known = {record.model for record in source.table.records}
    assert {model for item in gold for model in item.gold_models} <= known


def test_gold_is_sliced_by_where_it_stands(source: ProductSource, tmp_path: Path) -> None:
    tent, sheet, _ = read_catalogue_gold(file_of(tmp_path, GOLD), source.table, PACK)
    assert CatalogueFacts().slices(tent) == ("",) * 6
    assert CatalogueFacts().slices(sheet) == ("",) * 6


def test_a_card_keeps_answers_to_the_feed(source: ProductSource) -> None:
    listings = card_listings(source, lambda n: [])
    assert len(listings) == len(source.listings) == 18
    assert listings[0] == Listing("", "Vidda 2 Zelt Norrfjell grün", "zeltkiste", "", 279.0)
