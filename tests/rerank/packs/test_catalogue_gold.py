"""Files of listings with the products they sell, as labels and as gold."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_catalogue import build_catalogue_home

from rerank.calibration import NO_MATCH
from rerank.evaluation.gold import GoldKind, covered
from rerank.evaluation.outcomes import Cause, rank_of_models
from rerank.index.errors import InputError
from rerank.index.records import Listing
from rerank.packs.generic.measuring import (
    CatalogueFacts,
    card_listings,
    explain_products,
    made_up_gold,
    read_catalogue_gold,
    read_labelled,
)
from rerank.packs.generic.pack_data import read_pack
from rerank.packs.generic.product_answers import ProductCandidate, ProductResolution
from rerank.packs.generic.source import ProductSource, load_source
from rerank.resolution import Decision, Resolution

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
    assert "left out 1 listing of products that the catalogue lacks: 'X1'" in warnings[0]


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


def answered(decision: Decision, *candidates: tuple[str, str]) -> Resolution:
    found = tuple(
        ProductCandidate(key, model, 0.5, 1.0, 0.4, 1.0, model) for key, model in candidates
    )
    first, model = candidates[0] if candidates else (None, None)
    return ProductResolution(
        first, model, {}, model, 0.4, True, 1.0, 0.1, decision, "", found, "m", "i"
    ).as_stored()


def test_wrong_answers_are_told_with_products_and_causes(
    source: ProductSource, tmp_path: Path
) -> None:
    text = (
        "listing_id,title,product_id\na,Vidda 2 red,C02\nb,sheet,\nc,Glow 180,C23\nd,Tind 1,C06\n"
    )
    gold = read_catalogue_gold(file_of(tmp_path, text), source.table, PACK)
    tent, lamp, small = "Norrfjell Vidda 2 Tent", "Lumo Glow 180 Camping Lantern", "Lumo Glow 60"
    answers = [
        answered(Decision.REVIEW, ("C01", tent), ("C02", tent)),
        answered(Decision.MATCH, ("C01", tent)),
        answered(Decision.REVIEW, ("C22", small), ("C23", lamp)),
        answered(Decision.NO_MATCH),
    ]
    found = {each.listing_id: each for each in explain_products(gold, answers, [])}
    told = {key: (each.cause, each.lost_to, each.want, each.got) for key, each in found.items()}
    tind = source.table.records[source.table.row_of_id["C06"]].model
    assert told == {
        "a": (Cause.VARIANT, "ranking", f"{tent} (C02)", f"{tent} (C01)"),
        "b": (Cause.SOLD_OTHERWISE, "decision", "no match", f"{tent} (C01)"),
        "c": (Cause.CLOSE_RIVAL, "ranking", lamp, f"{small} (C22)"),
        "d": (Cause.NOT_RETRIEVED, "retrieval", tind, "no candidates"),
    }
    assert (found["c"].right, found["d"].right) == (lamp, None)
