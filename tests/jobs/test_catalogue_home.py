"""A home with a catalogue of its own: answers, and the commands that say what it holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from test_serve import client_of

import rerank
from rerank.domain import domain_named
from rerank.jobs.cli import main
from rerank.jobs.scoring.run import ScoreSummary
from rerank.jobs.service.reconciliation import Reconciliation
from rerank.lifecycle.changing import take_place
from rerank.lifecycle.model_registry import ModelRegistry
from rerank.resolution import Decision
from rerank.workspace import Workspace, open_source

Run = Callable[..., Result]


def gtin(number: int) -> str:
    """Return the GTIN of a product with this number."""
    digits = f"{400_123_000_000 + number}"
    total = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def products() -> list[str]:
    models = [f"Quillar Vox {number}" for number in (12, 14, 31, 37)]
    models += [f"Tamsin Reed R{number}" for number in (220, 240, 550, 570)]
    variants = product(models, (64, 256), ("black", "white"))
    return [
        f"{at},{name} {storage} GB {colour},{name.split()[0]},{colour},{storage},{gtin(500 + at)}"
        for at, (name, storage, colour) in enumerate(variants, 1)
    ]


def called(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as a newcomer makes one; tests that write use a copy."""
    folder = tmp_path_factory.mktemp("phones")
    table = folder / "phones.csv"
    header = "sku,name,brand,colour,storage_gb,ean"
    table.write_text("\n".join([header, *products()]) + "\n", encoding="utf-8")
    home = folder / "home"
    for command in (
        ("init", table, "-o", folder / "catalogue.yaml"),
        ("build-index", "--catalogue", folder / "catalogue.yaml", "--home", home),
        ("train-ltr", "--home", home),
    ):
        result = called(*command)
        assert result.exit_code == 0, result.output
    return home


@pytest.fixture
def own(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "home"))


def resolved(home: Path, *titles: str) -> list[dict[str, Any]]:
    lines = "".join(f"{title}\n" for title in titles)
    result = called("resolve", "--format", "json", "--home", home, "-", text=lines)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_gtin_decides_which_variant_is_sold(trained: Path) -> None:
    number = gtin(504)  # Vox 12 256 GB white
    for answer in resolved(
        trained, f"mobile {number}", f"Quillar Vox 12 64 GB black {number}", f"{number}"
    ):
        assert (answer["decision"], answer["product_id"]) == ("match", "4")
        assert answer["variant_stated"]
        assert answer["variant_probability"] > 0.99


def test_a_gtin_is_a_match_whatever_words_stand_beside_it(trained: Path) -> None:
    number = gtin(504)  # Vox 12 256 GB white
    answers = resolved(trained, number, f"zxq trumpet {number} Tamsin Reed R570")
    for answer in answers:
        assert (answer["decision"], answer["product_id"]) == ("match", "4")


def test_identifiers_of_a_feed_s_column_decide(
    trained: Path, tmp_path: Path, write_listings: Callable[..., Path]
) -> None:
    rows = [
        {"sku_no": 1, "title": "smartphone, new", "ean": int(gtin(504))},
        {"sku_no": 2, "title": "smartphone, new", "ean": int(gtin(521))},
        {"sku_no": 3, "title": "smartphone, new", "ean": None},
        {"sku_no": 4, "title": "Tamsin Reed R240 64 GB black", "ean": int(gtin(521))},
    ]
    for name in ("feed.csv", "feed.jsonl", "feed.parquet"):
        out = tmp_path / f"{name}.out.parquet"
        result = called("score", "--home", trained, write_listings(name, rows), out)
        assert result.exit_code == 0, result.output
        assert "identifiers = 'ean'" in result.stderr
        found = pq.read_table(out).to_pylist()
        assert [row["product_id"] for row in found] == ["4", "21", None, "21"]
        assert [row["decision"] for row in found] == ["match", "match", "no_match", "match"]
    again = tmp_path / "again.parquet"
    result = called("score", "--home", trained, "--since", out, tmp_path / "feed.parquet", again)
    assert "4 answers reused" in result.output
    rows[0]["ean"] = int(gtin(507))
    changed = write_listings("feed.parquet", rows)
    result = called("score", "--overwrite", "--home", trained, "--since", out, changed, again)
    assert "3 answers reused" in result.output
    assert pq.read_table(again).column("product_id").to_pylist() == ["7", "21", None, "21"]


def test_candidate_sets_hold_what_a_listing_may_sell(
    trained: Path, tmp_path: Path, write_listings: Callable[..., Path]
) -> None:
    titles = "Quillar Vox 12 64 GB black", "Quillar Vox 1", "garden hose"
    feed = write_listings("feed.csv", [{"offer": at, "title": t} for at, t in enumerate(titles)])
    out = tmp_path / "out.parquet"
    result = called("score", "--home", trained, "--candidate-set", "0.8", feed, out)
    assert result.exit_code == 0, result.output
    sets = pq.read_table(out).column("candidate_set").to_pylist()
    assert sets[0][0] == "Quillar Vox 12"
    assert "no match" in sets[2]


def test_all_columns_of_identifiers_are_read(
    trained: Path, tmp_path: Path, write_listings: Callable[..., Path]
) -> None:
    codes = {"ean": int(gtin(504)), "mpn": "XX-9Q11"}, {"ean": None, "mpn": gtin(521)}
    rows = [{"sku_no": at, "title": "smartphone", **own} for at, own in enumerate(codes)]
    feed = write_listings("feed.csv", rows)
    for name, options in (("a", ()), ("b", ("--since", tmp_path / "a.parquet"))):
        out = tmp_path / f"{name}.parquet"
        result = called("score", "--home", trained, *options, feed, out)
        assert "identifiers = 'ean; mpn'" in result.stderr
        assert pq.read_table(out).column("product_id").to_pylist() == ["4", "21"]
    assert "2 answers reused" in result.output


def test_rows_of_a_feed_without_ids_are_numbered_on_request(
    trained: Path, tmp_path: Path, write_listings: Callable[..., Path]
) -> None:
    rows = [{"name": f"Tamsin Reed R220 {gtin(number)}"} for number in (517, 518)]
    for name in ("feed.csv", "feed.jsonl", "feed.parquet"):
        feed, out = write_listings(name, rows), tmp_path / f"{name}.out.parquet"
        result = called("score", "--home", trained, feed, out)
        assert result.exit_code == 1
        assert "number the rows with --id-column row_number" in result.stderr
        result = called("score", "--home", trained, "--id-column", "row_number", feed, out)
        assert result.exit_code == 0, result.output
        found = pq.read_table(out).to_pylist()
        assert [(row["row_number"], row["product_id"]) for row in found] == [(1, "17"), (2, "18")]


def test_what_a_listing_sells_is_not_taken_for_its_id(trained: Path, tmp_path: Path) -> None:
    feed, out = tmp_path / "feed.csv", tmp_path / "out.parquet"
    feed.write_text("product_id,offer,title\n1,a7,Quillar Vox 12\n2,a8,Tamsin Reed R220\n", "utf-8")
    result = called("score", "--home", trained, feed, out)
    assert "columns: listing_id = 'offer'; name" in result.stderr


def test_what_was_built_or_trained_by_others_is_told_in_one_sentence(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(own / "models")
    result = called("resolve", "--home", own, "Quillar Vox 12")
    assert result.exit_code == 1
    assert "no model is trained over this catalogue yet" in result.stderr
    monkeypatch.setattr("rerank.packs.generic.source._LAYOUT", -1)
    result = called("resolve", "--home", own, "Quillar Vox 12")
    assert result.exit_code == 1
    assert "built by another version of rerank; build it again" in result.stderr


def test_candidates_say_cosines_and_probabilities_of_one_choice(trained: Path) -> None:
    names = [line.split(",")[1] for line in products()]
    for answer in resolved(trained, *names):
        first, *_ = answer["candidates"]
        assert first["probability"] == answer["match_probability"]
        by_model = {each["model"]: each["probability"] for each in answer["candidates"]}
        assert sum(by_model.values()) <= 1 + 1e-9
        assert all(-1 <= each["similarity"] <= 1 for each in answer["candidates"])


def test_variants_are_stated_in_other_languages_or_the_common_one_is_assumed(trained: Path) -> None:
    stated, half, silent, other = resolved(
        trained,
        "Tamsin Reed R550 256GB weiß",
        "Tamsin Reed R550 blanc",
        "Tamsin Reed R550",
        "Tamsin Reed R550 512 GB green",
    )
    assert (stated["product_id"], stated["variant_stated"]) == ("28", True)
    assert (half["product_id"], half["variant_stated"]) == ("26", False)
    assert (silent["product_id"], silent["variant_stated"]) == ("25", False)
    assert other["best_guess"] == "Tamsin Reed R550"
    assert not other["variant_stated"]
    assert (other["decision"], other["reason"].split("; ")[1]) == (
        "review",
        "but no such variant in the catalogue",
    )


def test_what_goes_with_a_product_is_no_match_whatever_identifier_it_states(trained: Path) -> None:
    for answer in resolved(
        trained,
        f"Case for Quillar Vox 12 {gtin(504)}",
        f"Hülle für Quillar Vox 12 64 GB black {gtin(501)}",
    ):
        assert answer["decision"] != "match"
        assert "accessory" in answer["reason"]


def test_status_and_smoke_say_what_the_home_holds(own: Path) -> None:
    result = called("status", "--home", own)
    assert "32 phones of 8 models" in result.stdout
    said = json.loads(called("status", "--format", "json", "--home", own).stdout)
    assert (said["index"]["products"], said["index"]["many"]) == (32, "phones")
    tried = called("smoke", "--format", "json", "--home", own)
    assert tried.exit_code == 0, tried.output
    rows = {row["piece"]: row for row in json.loads(tried.stdout)}
    assert "Quillar Vox 12" in rows["resolver"]["said"]


def test_a_feed_without_titles_is_refused_and_one_of_empty_titles_is_not(
    trained: Path, tmp_path: Path
) -> None:
    feed, out = tmp_path / "feed.csv", tmp_path / "out.parquet"
    feed.write_text("offer,cents\n1,300\n2,400\n", encoding="utf-8")
    result = called("score", "--home", trained, feed, out)
    assert result.exit_code == 1
    assert "missing listing_id, title, found offer, cents" in result.stderr
    assert not out.exists()
    feed.write_text("listing_id,title\n1,\n2,\n", encoding="utf-8")
    result = called("score", "--home", trained, feed, out)
    assert result.exit_code == 0, result.output
    assert "0 match, 0 review, 2 no_match" in result.output


@pytest.mark.parametrize(
    ("match", "review", "told"), [(0, 27, True), (0, 40, False), (1, 0, False)]
)
def test_other_goods_are_told_of_where_a_fifth_is_held(match: int, review: int, told: bool) -> None:
    decisions = {Decision.MATCH: match, Decision.REVIEW: review}
    assert bool(ScoreSummary(rows=150, decisions=decisions, seconds=1.0).warning()) is told


def test_a_feed_of_other_goods_is_told_of(
    trained: Path, tmp_path: Path, write_listings: Callable[..., Path]
) -> None:
    goods = ("Зимняя куртка", "Garden hose", "Ανεμιστήρας", "Tischlampe", "Lawn mower")
    rows = [{"listing_id": str(at), "title": f"{goods[at % 5]} {at}"} for at in range(60)]
    strange = called(
        "score", "--home", trained, write_listings("a.csv", rows), tmp_path / "a.parquet"
    )
    assert "none of 60 listings is a match: they seem to be of other goods" in strange.stderr
    few = write_listings("b.csv", rows[:9])
    result = called("score", "--home", trained, few, tmp_path / "b.parquet")
    assert "other goods" not in result.output


def test_what_is_trained_serves_where_the_champion_reads_other_features(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = ModelRegistry(Workspace(own))
    champion = registry.pointer().champion
    _, index = open_source(Workspace(own))
    newer = champion._replace(version="0123456789abcdef")
    folder = registry.folder(champion)
    shutil.copytree(folder, folder.parent / newer.version)
    assert not take_place(registry, newer, index, serve=False)
    features = domain_named("generic").features
    more = features._replace(candidate=(*features.candidate, "later"))
    monkeypatch.setattr(domain_named("generic"), "features", more)
    assert take_place(registry, newer, index, serve=False)
    assert "'later'" in registry.history()[-1].why


def test_a_catalogue_that_grew_is_served_and_one_of_other_columns_asks_for_training(
    own: Path, trained: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained.parent, tmp_path / "files"))
    table, catalogue = folder / "phones.csv", folder / "catalogue.yaml"
    built = ("build-index", "--catalogue", catalogue, "--home", own)
    with table.open("a", encoding="utf-8") as file:
        file.write(f"33,Tamsin Reed R990 64 GB black,Tamsin,black,64,{gtin(533)}\n")
    assert called(*built).exit_code == 0
    assert resolved(own, f"phone {gtin(533)}")[0]["product_id"] == "33"
    text = catalogue.read_text(encoding="utf-8")
    catalogue.write_text(text.replace("brand: {role: brand}", "brand: kept"), encoding="utf-8")
    assert called(*built).exit_code == 0
    result = called("resolve", "--home", own, "Tamsin Reed R990")
    assert result.exit_code == 1
    assert "the catalogue had other columns, roles or another pack" in result.stderr
    assert "`rerank train-ltr`" in result.stderr


def test_a_catalogue_answers_over_http_and_in_openrefine(trained):
    with client_of(trained, also=Reconciliation) as client:
        ready = client.get("/readyz").json()
        assert ready["domain"] == "generic"
        row = client.post("/resolve", json={"title": "Quillar Vox 12 64 GB black"}).json()
        assert (row["decision"], row["colour"]) == ("match", "black")
        described = client.get("/openapi.json").json()["components"]["schemas"]["Row"]
        assert set(row) == {"title", *described["properties"]}
        entry = client.get(f"/candidates/{row['product_id']}").json()
        assert (entry["name"], entry["storage_gb"]) == (row["name"], row["storage_gb"])
        query = json.dumps({"q": {"query": "Quillar Vox 12 64 GB black"}})
        (best, *_) = client.post("/reconcile", data={"queries": query}).json()["q"]["result"]
        assert (best["id"], best["match"]) == (row["product_id"], True)
        assert best["features"]
        found = client.get("/reconcile/suggest/entity", params={"prefix": "vox 31"}).json()
        assert len(found["result"]) == 4
        page = client.get("/reconcile/preview", params={"id": best["id"]}).text
        assert "Quillar Vox 12 64 GB black" in page


def test_verdicts_stand_before_the_model_and_name_products(own: Path, tmp_path: Path) -> None:
    title = "Vox 12 white 256 GB"
    (model,) = resolved(own, title)
    other = next(each["product_id"] for each in model["candidates"][1:])
    said = called("verdicts", "set", title, "--product", other, "--home", own, "--annotator", "kim")
    assert said.stdout == f"{title}: {other}, said by kim\n"
    (answer,) = resolved(own, title)
    assert (answer["product_id"], answer["decision"]) == (other, "match")
    assert answer["candidates"][0]["product_id"] == other
    assert (answer["decision_source"], answer["decided_by"]) == ("person", "kim")
    assert answer["model_product_id"] == model["product_id"]
    feed = tmp_path / "feed.csv"
    feed.write_text(f"listing_id,title\n1,{title}\n2,Vox 12 case\n", encoding="utf-8")
    scored = called("score", feed, tmp_path / "out.parquet", "--home", own)
    assert scored.exit_code == 0, scored.output
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["decision_source"] for row in rows] == ["person", "model"]
    assert [row["product_id"] == row["model_product_id"] for row in rows] == [False, True]
    assert rows[0]["product_id"] == other
    stale = called("verdicts", "list", "--stale", "--format", "json", "--home", own)
    assert json.loads(stale.stdout) == []


def test_tables_and_sql_read_another_catalogue(trained: Path) -> None:
    titles = ["Tamsin Reed R240 256GB black", "a wooden chair"]
    frame = pa.table({"name": titles, "ean": [gtin(514), None]})
    rows = rerank.resolve_table(frame, home=trained).to_pylist()
    assert [row["decision"] for row in rows] == ["match", "no_match"]
    assert rows[0]["product_id"] == "14"
    assert resolved(trained, titles[1])[0]["decision"] == "no_match"
    connection = rerank.register(duckdb.connect(), home=trained)
    query = "SELECT resolve_product(?).name"
    (name,) = connection.execute(query, [titles[0]]).fetchone() or ("",)
    assert "R240" in name
