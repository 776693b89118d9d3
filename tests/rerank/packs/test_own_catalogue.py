"""A catalogue of any goods: what is proposed of a table, what is read of it, what is refused."""

from __future__ import annotations

import gzip
import json
from math import isnan
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rerank.domain import CatalogueProposal
from rerank.index.errors import ArtifactError, FaultsError, InputError
from rerank.index.records import shipped
from rerank.packs.generic.catalogue import (
    Catalogue,
    Column,
    Products,
    clean_identifiers,
    read_catalogue,
    read_numbers,
    read_products,
)
from rerank.packs.generic.inference import feed_of, init_catalogue, propose
from rerank.packs.generic.pack_data import read_pack
from rerank.packs.generic.product_models import ends_in_brackets
from rerank.packs.generic.product_table import read_table

PANS = """\
Art.-Nr.;Bezeichnung;Hersteller;EAN;Durchmesser (cm);Gewicht;Farbe;Preis;Beschreibung
K1;Copperline Sauté Pan 24 cm black;Heinrichs;4006381333931;24;1,4 kg;black;89,90;{long}
K2;Copperline Sauté Pan 24 cm red;Heinrichs;4006381333948;24;1,4 kg;red;89,90;
K3;Copperline Sauté Pan 28 cm black;Heinrichs;4006381333955;28;1900 g;black;109,00;
K4;Ironwood Skillet 20;Galley & Sons;4006381333962;20;2,25 kg;;1.049,00;Cast iron
""".format(long="Induction base and a glass lid that stays cool while the pan is hot on the stove")


def saved(folder: Path, text: str | bytes, name: str = "pans.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class Proposed(NamedTuple):
    catalogue: Catalogue
    seen: CatalogueProposal


def proposed(folder: Path, text: str | bytes, name: str = "pans.csv") -> Proposed:
    return Proposed(*propose(saved(folder, text, name)))


def roles(proposal: Proposed) -> dict[str, str]:
    return {each.name: each.role for each in proposal.seen.columns}


def products(proposal: Proposed) -> Products:
    return read_products(proposal.catalogue)


def test_a_bare_table_says_what_its_columns_hold(tmp_path: Path) -> None:
    proposal = proposed(tmp_path, PANS)
    assert roles(proposal) == {
        "Art.-Nr.": "id",
        "Bezeichnung": "name",
        "Hersteller": "brand",
        "EAN": "identifier",
        "Durchmesser (cm)": "number",
        "Gewicht": "number",
        "Farbe": "axis",
        "Preis": "price",
        "Beschreibung": "text",
    }
    units = {each.name: each.unit for each in proposal.seen.columns if each.unit}
    assert units == {"Durchmesser (cm)": "cm", "Gewicht": "kg"}
    assert (proposal.catalogue.one, proposal.catalogue.many) == ("pan", "pans")


def test_products_are_read_by_role(tmp_path: Path) -> None:
    read = products(proposed(tmp_path, PANS))
    assert read.ids == ("K1", "K2", "K3", "K4")
    first = read.fields[0]
    assert first.brand == "Heinrichs"
    assert first.identifiers == ("4006381333931",)
    assert first.price == 89.9
    assert first.axes == ("black",)
    assert dict(first.quantities) == pytest.approx({"in": 24 / 2.54, "kg": 1.4})
    assert dict(read.fields[2].quantities)["kg"] == pytest.approx(1.9)
    assert read.fields[3].price == 1049
    assert read.columns.column_names == [
        "Hersteller",
        "EAN",
        "Durchmesser (cm)",
        "Gewicht",
        "Farbe",
    ]
    assert read.columns.column("Durchmesser (cm)").to_pylist() == [24, 24, 28, 20]


def test_products_that_differ_by_an_axis_are_one_model(tmp_path: Path) -> None:
    read = products(proposed(tmp_path, PANS))
    assert read.model_of_record.tolist() == [0, 0, 1, 2]
    assert read.models == (
        "Copperline Sauté Pan 24 cm",
        "Copperline Sauté Pan 28 cm",
        "Ironwood Skillet 20",
    )


def test_without_axes_each_product_is_its_own_model(tmp_path: Path) -> None:
    read = products(proposed(tmp_path, "id,name\n1,Tea pot\n2,Tea pot\n3,Kettle\n"))
    assert read.axes == ()
    assert read.model_of_record.tolist() == [0, 1, 2]
    assert any("same name and brand as another" in remark for remark in read.remarks)


def test_axes_are_taken_out_in_other_words_and_units(tmp_path: Path) -> None:
    text = (
        "sku,name,colour,storage_gb\n"
        "a,Nimbus Tablet 10 256GB schwarz,black,256\n"
        "b,Nimbus Tablet 10 (512 GB) white,white,512\n"
        "c,Nimbus Tablet 12 256 GB black,black,256\n"
    )
    read = products(proposed(tmp_path, text))
    assert read.axes == ("colour", "storage_gb")
    assert read.model_of_record.tolist() == [0, 0, 1]
    assert read.models == ("Nimbus Tablet 10", "Nimbus Tablet 12")


def test_an_axis_is_seen_in_names_whatever_it_is_called(tmp_path: Path) -> None:
    rows = "".join(
        f"{number}{grip},Oslo {number} chisel {grip} grip,{grip},use {number % 3}\n"
        for number in range(12, 32)
        for grip in ("ash", "resin")
    )
    read = products(proposed(tmp_path, f"id,name,heft,use\n{rows}"))
    assert read.axes == ("heft",)
    assert len(read.models) == 20


def test_a_short_number_without_unit_is_no_value_of_an_axis(tmp_path: Path) -> None:
    text = "id,name,size_v\n1,Drill BS 12 LT,12\n2,Drill BS 18 LT,18\n3,Saw KS 18 V,18\n"
    assert products(proposed(tmp_path, text)).axes == ()


def test_a_catalogue_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = saved(tmp_path, PANS.replace("Gewicht", "Gewicht: #1, {a}"))
    target = tmp_path / "catalogue.yaml"
    init_catalogue(path, [path], target, pack="generic")
    assert read_catalogue(target) == propose(path, [path])[0]
    text = target.read_text("utf-8")
    assert "products: pans.csv" in text
    assert str(tmp_path) not in text
    assert "# 24 | 28 | 20" in text
    with pytest.raises(ArtifactError, match="exists already: edit it, remove it"):
        init_catalogue(path, [], target, pack="generic")
    assert target.read_text("utf-8") == text


def test_a_catalogue_file_may_be_written_by_hand(tmp_path: Path) -> None:
    saved(tmp_path, "name,w,hue\nCup,3,red\nCup,4,blue\n")
    text = "products: pans.csv\ncolumns: {name: name, w: {role: number, unit: KG}, hue: axis}\n"
    read = read_products(read_catalogue(saved(tmp_path, text, "c.yaml")))
    assert read.fields[1].quantities == (("kg", 4),)
    assert read.models == ("Cup",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("products: pans.csv\ncolumns: {name: nmae}", "did you mean 'name'"),
        ("- pans.csv", "expected keys and values, found list"),
        ("products: [pans.csv]", "products: expected text"),
        ("pack: tea\nproducts: pans.csv", "pack 'tea': there is none"),
        ("products: ''", "products: expected text"),
        ("", "products: missing"),
        ("products: pans.csv\nid: 3", "id: expected text, found 3"),
    ],
)
def test_what_is_no_catalogue_file_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_catalogue(saved(tmp_path, text, "c.yaml"))


def test_a_catalogue_file_says_all_that_is_wrong(tmp_path: Path) -> None:
    target = saved(tmp_path, "products: pans.csv\ncolumns: {name: {rolle: name}}\n", "c.yaml")
    with pytest.raises(FaultsError, match=r"columns\.name\.role: missing|rolle: unknown key"):
        read_catalogue(target)
    target.write_text("products: pans.csv\nlistings: [{file: feed.csv}]\n", "utf-8")
    with pytest.raises(FaultsError, match=r"pans\.csv: there is no such file beside it\n.*feed"):
        read_catalogue(target)
    path = saved(tmp_path, "id,name,w\n1,Cup,3\n2,Mug,4\n")
    columns = {
        "nom": Column(role="name"),
        "w": Column(role="number", unit="stone"),
    }
    with pytest.raises(FaultsError, match=r"column 'nom': there is none(?s:.)*unit 'stone'"):
        read_products(Catalogue(products=str(path), columns=columns))
    with pytest.raises(FaultsError, match="no column has the role name"):
        read_products(Catalogue(products=str(path), columns={"w": Column(role="text")}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found an empty file"),
        ("id,name\n", "found only a header"),
        ("id,price\n1,3.5\n2,4\n", "expected a column of products' names, found columns id, price"),
        ("id,name\n1,Cup\n", "expected at least 2 products, found one"),
        ("id,name\n1,\n2,\n", "expected a column of products' names"),
        ("id,name\n1,Cup\n1,Mug\n2,Pot\n", "id '1' stands 2 times with different cells"),
        ("id,name\n4.7E+12,Cup\n4.7E+12,Mug\n", "a spreadsheet has rounded them"),
        ("id,name,name\n1,Cup,x\n2,Mug,y\n", "found twice name"),
    ],
)
def test_tables_that_are_no_catalogue_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        proposed(tmp_path, text)


def test_missing_files_and_other_endings_are_said(tmp_path: Path) -> None:
    path = saved(tmp_path, PANS)
    with pytest.raises(InputError, match=r"nowhere\.csv: expected a file, found none"):
        propose(path, [tmp_path / "nowhere.csv"])
    with pytest.raises(InputError, match="save a spreadsheet as CSV"):
        propose(saved(tmp_path, PANS, "pans.xlsx"))


def test_rows_that_are_no_products_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "id,name\n1,Tea cup\n,Tea mug\n3,n/a\n1,Tea cup\n5,Tea pot,1,2\n6,Tea tray\n"
    read = products(proposed(tmp_path, text))
    assert read.ids == ("1", "6")
    assert (read.n_read, read.n_dropped) == (6, 4)
    told = " ".join(read.remarks)
    assert "1 row unreadable, left out: line 6: 4 cells under 2" in told
    assert "1 row without 'id', left out" in told
    assert "1 row without name, left out" in told
    assert "1 row equal to another" in told


def test_one_name_for_all_is_a_warning(tmp_path: Path) -> None:
    rows = "".join(f"{at},Widget deluxe\n" for at in range(500))
    read = products(proposed(tmp_path, f"id,name\n{rows}"))
    assert len(read.ids) == 500
    assert any("all 500 products are called 'Widget deluxe'" in text for text in read.remarks)


def test_identifiers_that_are_all_rounded_to_one_are_told_of(tmp_path: Path) -> None:
    rows = "".join(f"{at},Lamp L{at}0,4.01235E+12,x\n" for at in range(1, 60))
    seen = proposed(tmp_path, f"id,name,ean,shop\n{rows}").seen
    told = {each.name: each.remark for each in seen.columns}
    assert told["ean"].startswith("the same in all rows; if a spreadsheet has rounded it")
    assert told["shop"] == "the same in all rows"


def test_ids_are_numbered_where_nothing_tells_products_apart(tmp_path: Path) -> None:
    proposal = proposed(tmp_path, "name,maker\nRed kettle,Sol\nBlue kettle,Sol\n")
    assert proposal.catalogue.id == ""
    assert products(proposal).ids == ("p1", "p2")
    assert any("ids are numbers of rows" in remark for remark in proposal.seen.remarks)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiters_and_encodings_of_spreadsheets(
    tmp_path: Path, delimiter: str, encoding: str
) -> None:
    text = 'id,name,note\n1,Käsemesser 24",x\n2,Crêpière,y\n'.replace(",", delimiter)
    proposal = proposed(tmp_path, text.encode(encoding))
    assert [each.name for each in products(proposal).fields] == ['Käsemesser 24"', "Crêpière"]
    told = any("read as Windows-1252" in remark for remark in proposal.seen.remarks)
    assert told == (encoding == "cp1252")


def test_json_lines_and_parquet_say_the_same(tmp_path: Path) -> None:
    rows = [
        {"sku": 1, "title": "Desk lamp", "watt": 7.5, "tags": ["a", "b"]},
        {"sku": 2, "title": "Floor lamp", "watt": None},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    of_lines = products(proposed(tmp_path, lines + "[1]\n", "lamps.jsonl"))
    table = pa.table({name: [row.get(name) for row in rows] for name in ("sku", "title", "watt")})
    pq.write_table(table, tmp_path / "lamps.parquet")
    of_parquet = read_products(propose(tmp_path / "lamps.parquet")[0])
    assert of_lines.ids == of_parquet.ids == ("1", "2")
    assert [f.name for f in of_lines.fields] == [f.name for f in of_parquet.fields]
    assert of_lines.n_dropped == 0 or of_lines.remarks


def test_a_part_number_may_be_id_and_identifier(tmp_path: Path) -> None:
    text = "mpn,name\nQX-100,Torque driver\nQX-200,Impact driver\n"
    proposal = proposed(tmp_path, text)
    assert roles(proposal) == {"mpn": "id, identifier", "name": "name"}
    assert products(proposal).fields[1].identifiers == ("QX-200",)


def test_a_shop_system_s_export_is_understood(tmp_path: Path) -> None:
    text = (
        "Handle,Title,Body (HTML),Published,Option1 Value,Variant SKU,Variant Grams,Barcode,Image\n"
        "shoe,Trail Shoe,<p>Light &amp; dry</p>,TRUE,42,TS-42,620,4006381333931,https://x/1.jpg\n"
        "shoe,Trail Shoe,,TRUE,43,TS-43,640,4006381333948,https://x/1.jpg\n"
        "road,Road Shoe,,TRUE,42,RS-42,540,4006381333955,https://x/2.jpg\n"
    )
    proposal = proposed(tmp_path, text, "shoes.csv")
    assert roles(proposal) == {
        "Handle": "kept",
        "Title": "name",
        "Body (HTML)": "text",
        "Published": "ignored",
        "Option1 Value": "axis",
        "Variant SKU": "id",
        "Variant Grams": "number",
        "Barcode": "identifier",
        "Image": "ignored",
    }
    read = products(proposal)
    assert read.models == ("Trail Shoe", "Road Shoe")
    assert read.fields[0].text == "Light & dry"
    assert read.fields[0].quantities == (("kg", 0.62),)


def test_a_merchant_feed_s_prices_name_their_currency(tmp_path: Path) -> None:
    text = (
        "id\ttitle\tprice\tmpn\tsize\titem_group_id\n"
        "a1\tRain Jacket M\t79.00 EUR\tNRJ-B-M\tM\tg1\n"
        "a2\tRain Jacket L\t79.00 EUR\tNRJ-B-L\tL\tg1\n"
        "a3\tWind Vest M\t1,049.00 EUR\tNWV-R-M\tM\tg2\n"
    )
    proposal = proposed(tmp_path, text, "jackets.tsv")
    assert [each.role for each in proposal.seen.columns] == (
        "id name price identifier axis kept".split()
    )
    assert [each.price for each in products(proposal).fields] == [79, 79, 1049]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Артикул;Наименование;Цена\n1;Чайник Заря;1 990,00\n2;Тостер Утро;990,00\n"),
        ("gb18030", "编号;商品名称;价格\n1;星辰保温杯;59\n2;月光台灯;1290\n"),
    ],
)
def test_tables_of_other_scripts_and_old_encodings(
    tmp_path: Path, encoding: str, text: str
) -> None:
    proposal = proposed(tmp_path, text.encode(encoding))
    assert [each.role for each in proposal.seen.columns] == ["id", "name", "price"]
    assert any("is no UTF-8" in remark for remark in proposal.seen.remarks)


def test_objects_in_json_are_columns_of_their_own(tmp_path: Path) -> None:
    lines = (
        '{"asin": "B001", "title": "Red kettle", "specs": {"volume": {"l": 1.7}}}\n'
        '{"asin": "B002", "title": "Blue kettle"}\n'
    )
    read = products(proposed(tmp_path, lines, "kettles.jsonl"))
    assert [each.quantities for each in read.fields] == [(("l", 1.7),), ()]
    columns = list(map(json.loads, lines.splitlines()))
    pq.write_table(pa.Table.from_pylist(columns), tmp_path / "kettles.parquet")
    (tmp_path / "kettles.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for ending in ("parquet", "jsonl.gz"):
        catalogue, seen = propose(tmp_path / f"kettles.{ending}")
        assert [each.quantities for each in read_products(catalogue).fields] == [
            (("l", 1.7),),
            (),
        ]
        assert seen.many == "kettles"


def test_a_damaged_packed_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "pans.csv.gz"
    for content in (b"id,name\n", gzip.compress(PANS.encode())[:-20]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="gzip"):
            read_table(path)


def test_part_numbers_and_descriptions_make_a_catalogue(tmp_path: Path) -> None:
    text = "model no,description\n0042-113,Hub bearing front\n0042-114,Hub bearing rear\n"
    proposal = proposed(tmp_path, text)
    assert roles(proposal) == {"model no": "id, identifier", "description": "name"}


def test_a_table_without_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected names of columns in the first line, found '47"):
        proposed(tmp_path, "4711,Red kettle,39.90\n4712,Blue kettle,29.90\n")


@pytest.mark.parametrize(
    ("keys", "role"), [(("QX-4471", "QX-4472"), "id, identifier"), (("c1", "c2"), "id")]
)
def test_an_own_number_that_no_text_has_by_chance_is_an_identifier(
    tmp_path: Path, keys: tuple[str, str], role: str
) -> None:
    text = f"sku,name\n{keys[0]},Torque driver\n{keys[1]},Impact driver\n"
    assert roles(proposed(tmp_path, text))["sku"] == role


@pytest.mark.parametrize(
    ("header", "cells", "unit"),
    [
        ("weight_kg", ("1.5", "2"), "kg"),
        ("Höhe (mm)", ("85", "120"), "mm"),
        ("Leistung [W]", ("700", "900"), "w"),
        ("Zoom wide (W)", ("28", "35"), ""),
        ("length (m)", ("2", "5"), "m"),
        ("base clock", ("3600", "4100"), "mhz"),
        ("base clock", ("3.6", "4.1"), "ghz"),
        ("base clock", ("36000000", "41000000"), ""),
        ("megapixels", ("12", "24"), "mp"),
        ("weight", ("300", "420"), ""),
        ("zoom", ("5x", "12 x"), "x"),
        ("Speicherkapazitaet", ("64", "128"), "gb"),
        ("display", ('6.1"', '6.7"'), "in"),
    ],
)
def test_units_stand_in_cells_or_headers_or_are_guessed(
    tmp_path: Path, header: str, cells: tuple[str, str], unit: str
) -> None:
    rows = "".join(f"{at}\tGadget {at}\t{cell}\n" for at, cell in enumerate(cells))
    proposal = proposed(tmp_path, f"id\tname\t{header}\n{rows}", "gadgets.tsv")
    assert [each.unit for each in proposal.seen.columns] == ["", "", unit]


def test_a_mixed_column_is_text_and_said(tmp_path: Path) -> None:
    cells = ["10", "12", "about 9", "14", "16", "see box", "11", "13"]
    rows = "".join(f"{at},Garden hose {at},{cell}\n" for at, cell in enumerate(cells))
    proposal = proposed(tmp_path, f"id,name,reach\n{rows}")
    [reach] = [each for each in proposal.seen.columns if each.name == "reach"]
    assert reach.role in ("category", "text")
    assert "mixed: 75% numbers, the rest text such as 'about 9'" in reach.remark


@pytest.mark.parametrize(
    ("cells", "unit", "base", "values", "told"),
    [
        (["24", "28"], "cm", "in", [9.448819, 11.023622], ""),
        (['24"', "61 cm", '32"'], "", "in", [24, 24.015748, 32], "units differ"),
        (["16 GB", "16 GiB", "1 TB"], "", "gb", [16, 16, 1000], "units differ"),
        (["16 GB", "16 GiB"], "", "gb", [16, 16], "the same here, since shops write GB"),
        (["2 kg", "3 kg", "4 l"], "", "kg", [2, 3, None], "1 in l among values in kg, left out"),
        (["2 lb", "3 lb"], "kg", "kg", [0.907185, 1.360777], ""),
        (["5", "big"], "kg", "kg", [5, None], "1 cell without a number ('big')"),
        (["4,5", "1.200,5"], "w", "w", [4.5, 1200.5], ""),
        (["7", ""], "", "", [7, None], ""),
        (["Approx. 2 kg", "3 lbs.", "~ 4 kg (net)"], "", "kg", [2, 1.360777, 4], "units differ"),
        (["8X optical", "10x"], "", "times", [8, 10], ""),
        (["2 x 3 mm", "10x"], "", "times", [None, 10], "without a number"),
    ],
)
def test_numbers_are_read_into_base_units(
    cells: list[str], unit: str, base: str, values: list[float | None], told: str
) -> None:
    found_base, found, remarks = read_numbers(cells, unit, read_pack("generic"))
    assert found_base == base
    assert [None if isnan(v) else pytest.approx(v, abs=1e-5) for v in found] == values
    assert told in " ".join(remarks)


def test_what_a_spreadsheet_made_of_identifiers() -> None:
    cells = ["4006381333931", "36000291452", "4.00638E+12", "4006381333932", "4006381333948.0", ""]
    found, remarks = clean_identifiers(cells)
    assert found == [("4006381333931",), ("036000291452",), (), (), ("4006381333948",), ()]
    told = " ".join(remarks)
    assert "1 identifier rounded by a spreadsheet (4.00638E+12)" in told
    assert "1 identifier without leading zeros" in told
    assert "1 identifier with a wrong check digit" in told
    found, remarks = clean_identifiers(["DX-1; DX-1B", "12345678", "PX 22"])
    assert found == [("DX-1", "DX-1B"), ("12345678",), ("PX 22",)]
    assert remarks == []


def test_the_shipped_demo_catalogue_is_whole() -> None:
    folder = shipped("demo_catalogue")
    catalogue, seen = propose(folder / "products.csv", [folder / "listings.csv"])
    read = read_products(catalogue)
    assert len(read.ids) > 200
    assert len(read.models) < len(read.ids)
    assert (read.axes, read.remarks, seen.remarks) == (("kit",), (), ())
    [feed] = catalogue.listings
    assert (feed.listing_id, feed.title, feed.vendor) == ("listing_id", "title", "vendor")
    listings = read_table(folder / "listings.csv")
    gold = read_table(folder / "gold.csv")
    assert gold.texts("listing_id") == listings.texts("listing_id")
    right = [cell.split(";") if cell else [] for cell in gold.texts("product_ids")]
    assert {key for keys in right for key in keys} <= set(read.ids)
    assert sum(not keys for keys in right) * 3 == len(right) >= 150


def test_a_feed_says_where_its_titles_stand(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        "offer_id,headline,seller_brand,ean,amount\n1,Red pan,Sol,4006381333931,3\n"
        "2,Blue pan,Sol,4006381333948,4\n",
    )
    feed = feed_of(path, read_pack("generic"))
    assert (feed.listing_id, feed.title, feed.vendor) == ("offer_id", "headline", "seller_brand")
    assert feed.identifiers == ("ean",)


def test_what_cells_cannot_be_is_not_believed_of_headers(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        "listing,manufacturer warranty,net weight,currency\n"
        "Red pan,1 year limited,about 2 kg,EUR\nBlue pan,2 years limited,about 3 kg,USD\n",
    )
    feed = feed_of(path, read_pack("generic"))
    assert (feed.title, feed.vendor, feed.description) == ("listing", "", "")
    catalogue, _ = propose(path)
    assert catalogue.columns["currency"].role == "kept"


def test_the_head_of_a_header_says_what_it_is(tmp_path: Path) -> None:
    rows = "".join(f"{at};Lampe {at};Sol;9,{at}0;warm und hell\n" for at in range(3))
    header = "Bestandsnummer;Produkttitel;Produktmarke;Katalogpreis;Item description"
    assert roles(proposed(tmp_path, f"{header}\n{rows}")) == {
        "Bestandsnummer": "id",
        "Produkttitel": "name",
        "Produktmarke": "brand",
        "Katalogpreis": "price",
        "Item description": "text",
    }
    header = "Código;Désignation;Märke;Listenpréis"  # a capital with an accent behind it
    rows = "".join(f"{at};Lampe {at};Sol;9,{at}0\n" for at in range(3))
    found = roles(proposed(tmp_path, f"{header}\n{rows}"))
    assert [*found.values()] == ["id", "name", "brand", "price"]
    header = "编号,产品标题,品牌名称,销售价格,product_brand"
    text = f"{header}\n1,保温杯,星辰,9,Xing\n2,台灯,月光,8,Yue\n"
    assert [*roles(proposed(tmp_path, text)).values()] == ["id", "name", "brand", "price", "brand"]


def test_bare_numbers_called_item_are_ids(tmp_path: Path) -> None:
    text = "offer,title\n11,Desk lamp\n12,Floor lamp\n"
    assert roles(proposed(tmp_path, text)) == {"offer": "id", "title": "name"}


def test_part_numbers_that_variants_share_are_no_axis(tmp_path: Path) -> None:
    rows = "".join(
        f"{at};Tablet {at // 4};TX-{100 + at // 4}/{'DS' if at % 2 else 'EU'};{colour}\n"
        for at, colour in enumerate(("rot", "rot", "blau", "blau") * 3)
    )
    catalogue, _ = propose(saved(tmp_path, f"id;Modell;Modellcode;Gehäusefarbe\n{rows}"))
    assert {name: column.role for name, column in catalogue.columns.items()} == {
        "Modell": "name",
        "Modellcode": "identifier",
        "Gehäusefarbe": "axis",
    }


@pytest.mark.parametrize(
    ("text", "pack"),
    [
        ("id,name,socket,microarchitecture,tdp\n1,Zed 5,ZM4,Zen,65\n2,Zed 7,ZM4,Zen,105\n", True),
        ("id,name\n1,Zed 5 Processor\n2,Zed 7 Prozessor\n3,Zed fan\n", True),
        ("id,name,weight\n1,Pan 24,1\n2,Pan 28,2\n", False),
    ],
)
def test_a_pack_that_knows_more_of_such_goods_is_named(
    tmp_path: Path, text: str, pack: bool
) -> None:
    path, target = saved(tmp_path, text), tmp_path / "c.yaml"
    proposal = init_catalogue(path, [], target, pack="generic")
    assert (proposal.other_pack == "processors") == pack
    assert any("`--pack processors` knows more" in each for each in proposal.remarks) == pack
    assert ("generic, processors; try processors" in target.read_text("utf-8")) == pack
    assert not propose(path, pack="processors")[1].other_pack


def test_names_that_differ_in_brackets_at_their_end_are_variants():
    names = ["Drill 18 V (blue)", "Drill 18 V (red)", "Saw (blue)", "Drill 18 V", "Axe (new)"]
    assert ends_in_brackets(names, [""] * 5) == ["blue", "red", "", "", ""]
    assert ends_in_brackets(names[:2], ["Alder", "Birch"]) == ["", ""]  # other makers' goods
    assert ends_in_brackets(["Drill (red)", "drill (Red)"], ["", ""]) == [
        "",
        "",
    ]  # one and the same
