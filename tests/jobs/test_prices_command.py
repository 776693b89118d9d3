"""`rerank prices`: what resolved listings are sold for."""

from __future__ import annotations

import math
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

CARD = {
    "gpu_id": "rtx-4070-12gb",
    "model": "GeForce RTX 4070",
    "memory_gb": 12.0,
    "form_factor": "PCIe",
    "best_guess": "GeForce RTX 4070",
    "match_probability": 1.0,
    "variant_probability": 1.0,
    "decision": "match",
}


def offers(path, prices, **more):
    rows = [
        {"listing_id": f"{path.stem}-{n}", "title": f"card {n}", "price": price, **CARD, **more}
        for n, price in enumerate(prices)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def figures(path, **wanted):
    rows = pq.read_table(path).to_pylist()
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


@pytest.fixture
def prices(run, tmp_path):
    def asked(*sources, **options):
        named = [part for name, value in options.items() for part in (f"--{name}", value)]
        out = tmp_path / "figures.parquet"
        result = run("prices", *sources, "--out", out, "--overwrite", *named)
        assert result.exit_code == 0, result.output
        return result, out

    return asked


def test_quartiles_are_weighted_and_currencies_apart(prices, tmp_path):
    path = offers(tmp_path / "2026-01-31.parquet", ["100 €", "200 €", "300 €", "$90"])
    table = pq.read_table(path)
    sure = pa.array([1.0, 0.1, 1.0, 0.5])
    pq.write_table(
        table.set_column(
            table.column_names.index("variant_probability"), "variant_probability", sure
        ),
        path,
    )
    _, out = prices(path)
    (euro,) = figures(out, level="variant", currency="EUR", day=None)
    assert (euro["offers"], euro["quartile_1"], euro["median"], euro["quartile_3"]) == (
        3,
        100,
        200,
        300,
    )
    assert euro["weight"] == pytest.approx(2.1)
    (model,) = figures(out, level="model", currency="EUR", day=None)
    assert (model["weight"], model["median"], model["variant"]) == (3.0, 200, None)
    (dollar,) = figures(out, level="variant", currency="USD", day=date(2026, 1, 31))
    assert (dollar["offers"], dollar["median"], dollar["weight"]) == (1, 90, 0.5)


def test_what_cannot_be_read_is_counted_and_named(prices, tmp_path):
    path = offers(
        tmp_path / "a.parquet", ["100 €", "VB", "10-20 €", "", None, "0", "-3 €", "ab 9 €"]
    )
    result, _ = prices(path)
    assert "2 prices of 8 listings" in result.stdout
    for line in ("2 empty", "1 a range: 10-20 €", "1 no number: VB", "1 negative: -3 €", "1 zero"):
        assert line in result.stdout


def test_days_come_from_names_or_a_column_and_make_a_trend(prices, tmp_path):
    for day, price in (("2026-01-01", 100), ("2026-01-02", 110), ("2026-01-03", 121)):
        offers(tmp_path / "days" / day / "a.parquet", [price])
    _, out = prices(tmp_path / "days")
    (total,) = figures(out, level="variant", day=None)
    assert total["trend_percent"] == pytest.approx(21.0)
    assert len(figures(out, level="variant")) == 4
    path = offers(tmp_path / "one.parquet", [100, 110])
    table = pq.read_table(path).append_column("seen", pa.array(["2026-02-01 10:00", "soon"]))
    pq.write_table(table, path)
    result, out = prices(path, **{"day-column": "seen"})
    assert [row["day"] for row in figures(out, level="variant")] == [None, date(2026, 2, 1)]
    assert "1 no day" in result.stdout


def test_bargains_and_suspicious_offers_are_listed(prices, tmp_path):
    usual = [500 + 10 * n for n in range(9)]
    path = offers(tmp_path / "2026-01-31.parquet", [*usual, 435, 50, 5400])
    result, out = prices(path, odd=tmp_path / "odd.parquet")
    found = {
        row["price"]: row["kind"] for row in pq.read_table(tmp_path / "odd.parquet").to_pylist()
    }
    assert found == {435: "bargain", 50: "suspicious", 5400: "suspicious"}
    (total,) = figures(out, level="variant", day=None)
    assert total["outliers"] == 2
    assert "bargains:\n  435.00" not in result.stdout
    assert "bargains:\n  435" in result.stdout
    (row,) = (r for r in pq.read_table(tmp_path / "odd.parquet").to_pylist() if r["price"] == 435)
    spread = math.log(560 / 530)  # the sixth of twelve distances
    assert row["deviation"] == pytest.approx(0.6745 * math.log(435 / 530) / spread)
    assert row["title"] == "card 9"


def test_the_page_filters_escapes_and_loads_nothing(prices, tmp_path):
    path = offers(
        tmp_path / "2026-01-31.parquet", [500] * 8 + [50], title="<script>alert(1)</script>"
    )
    page = tmp_path / "prices.html"
    prices(path, html=page)
    text = page.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text
    assert 'data-words="GeForce RTX 4070 12 GB GeForce RTX 4070"' in text
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")


def test_other_catalogues_and_review_count_too(prices, run, tmp_path):
    other = {
        "product_id": "p1",
        "name": "Drill 18 V blue",
        "best_guess": "Drill 18 V",
        "match_probability": 0.9,
        "variant_probability": 0.5,
    }
    rows = [
        {"listing_id": str(n), "title": "x", "price": 10.0 + n, "decision": decision, **other}
        for n, decision in enumerate(["match", "review", "no_match"])
    ]
    path = tmp_path / "goods.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    _, out = prices(path)
    (row,) = figures(out, level="variant", day=None)
    assert (row["key"], row["variant"], row["model"]) == ("p1", "Drill 18 V blue", "Drill 18 V")
    assert (row["offers"], row["weight"]) == (1, pytest.approx(0.45))
    assert run("prices", path, "--review", "--out", out, "--overwrite").exit_code == 0
    assert figures(out, level="model", day=None)[0]["offers"] == 2


def test_files_without_answers_or_prices_are_refused_in_one_line(run, tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"listing_id": ["1"], "title": ["x"]}), path)
    result = run("prices", path)
    assert (result.exit_code, "score the listings first" in result.stderr) == (1, True)
    offers(path, [1])
    result = run("prices", path, "--price-column", "cost")
    assert "expected a column 'cost'" in result.stderr
    result = run("prices", tmp_path / "none.parquet")
    assert "does not exist" in result.stderr


def test_what_the_registry_lacks_is_proposed_and_added(run, tmp_path):
    titles = [
        "ASUS GeForce RTX 9099 16GB GDDR7",
        "MSI RTX 9099 16G",
        "=Palit GeForce RTX9099 GDDR7",
    ]
    rows = [
        {"listing_id": str(n), "title": title, "decision": "review", "reason": "few words"}
        for n, title in enumerate([*titles, "bracket RTX 9099"])
    ]
    rows[-1] |= {"decision": "no_match", "reason": "accessory: bracket"}
    path, out = tmp_path / "resolved.parquet", tmp_path / "new.csv"
    pq.write_table(pa.Table.from_pylist(rows), path)
    result = run("propose", path, "--out", out, "--accept", "1")
    assert result.exit_code == 0, result.output
    assert "3 listings without a match that may sell something" in result.stdout
    assert "1  GeForce RTX 9099  16  GDDR7         3" in result.stdout
    assert run("propose", path, "--out", tmp_path / "new.parquet").exit_code == 0
    (as_parquet,) = pq.read_table(tmp_path / "new.parquet").to_pylist()
    assert (as_parquet["model"], as_parquet["memory_gb"]) == ("GeForce RTX 9099", 16.0)
    assert run("build-index", "--add", out).exit_code == 0
    assert "match     GeForce RTX 9099 16 GB" in run("resolve", titles[1]).stdout
    assert run("propose", path, "--accept", "2").exit_code == 2
    offers(tmp_path / "a.parquet", [1])
    assert "found no column reason" in run("propose", tmp_path / "a.parquet").stderr
