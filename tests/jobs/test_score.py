"""`rerank score`: files in, parquet out."""

from __future__ import annotations

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rerank.answer_columns import OUTPUT_SCHEMA
from rerank.index.records import Listing
from rerank.jobs.files.listings import open_listings
from rerank.jobs.files.places import place_of
from rerank.jobs.files.selection import select_files
from rerank.jobs.scoring.answering import ResolverAnswerer, renamed_columns
from rerank.jobs.scoring.plan import plan_score
from rerank.jobs.scoring.run import run_plan

ROWS = [
    dict(zip(("listing_id", "title", "vendor", "price", "shop"), row, strict=True))
    for row in (
        ("a", "Sapphire Nitro+ RX6700XT 12G", "Sapphire", 230.5, "x"),
        ("b", "RTX 3080 box only", "", 20.0, "y"),
        ("c", "", "", 1.0, "z"),
        ("d", "Tesla P40 24GB &amp; cable 😀", "NVIDIA", 310.0, "x"),
    )
]
ANSWERS = OUTPUT_SCHEMA.names


def answers(table: pa.Table) -> list[dict]:
    return table.select(ANSWERS).to_pylist()


@pytest.mark.smoke
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_scores_each_format(run, write_listings, tmp_path, shipped_resolver, suffix):
    source, target = write_listings(f"in.{suffix}", ROWS), tmp_path / "deep" / "out.parquet"
    result = run("score", source, target)
    assert result.exit_code == 0, result.output
    assert "4 rows: 2 match, 0 review, 2 no_match" in result.stderr
    assert result.stdout == ""
    table = pq.read_table(target)
    assert table.column_names == [*ROWS[0], *ANSWERS]
    assert table.schema.field("candidates").type == OUTPUT_SCHEMA.field("candidates").type
    assert table.select(list(ROWS[0])).to_pylist() == ROWS
    assert [row["decision"] for row in answers(table)] == ["match", "no_match", "no_match", "match"]
    assert [row["model"] is None for row in answers(table)] == [False, True, True, False]
    assert [row["best_guess"] for row in answers(table)] == [
        "Radeon RX 6700 XT",
        "GeForce RTX 3080",
        None,
        "Tesla P40",
    ]
    expected = shipped_resolver.resolve(Listing("d", ROWS[3]["title"], "NVIDIA"))
    assert answers(table)[3]["match_probability"] == pytest.approx(expected.match_probability)
    best = answers(table)[3]["candidates"][0]
    assert (best["gpu_id"], best["score"]) == (expected.gpu_id, expected.candidates[0].score)


def test_top_k_limits_the_candidates_written_not_the_answer(run, write_listings, tmp_path):
    source = write_listings("in.csv", ROWS)
    run("score", source, tmp_path / "few.parquet", "--top-k", 2)
    run("score", source, tmp_path / "many.parquet")
    few, many = (answers(pq.read_table(tmp_path / f"{n}.parquet")) for n in ("few", "many"))
    assert [len(row["candidates"]) for row in few] == [2, 2, 0, 2]
    assert all(len(row["candidates"]) > 2 for row in many if row["candidates"])
    for name in ("gpu_id", "match_probability", "margin"):
        assert [row[name] for row in few] == [row[name] for row in many]


def test_colliding_columns_are_kept_under_another_name(run, write_listings, tmp_path):
    rows = [{"listing_id": "a", "title": "rtx 3080", "model": "mine", "input_model": "older"}]
    result = run("score", write_listings("in.csv", rows), tmp_path / "out.parquet")
    assert "Warning: your column 'model' is kept as 'input_input_model'" in result.stderr
    (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert (row["input_input_model"], row["input_model"]) == ("mine", "older")
    assert row["model"] == "GeForce RTX 3080"


def test_no_collision_renames_nothing():
    assert renamed_columns(["listing_id", "title", "colour"]) == {}


def test_scored_output_can_be_scored_again(run, write_listings, tmp_path):
    first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
    run("score", write_listings("in.csv", ROWS), first)
    assert run("score", first, second).exit_code == 0
    again = pq.read_table(second)
    assert answers(again) == answers(pq.read_table(first))
    assert again.column("input_candidates").to_pylist() == [r["candidates"] for r in answers(again)]


def test_an_existing_target_is_not_touched_without_overwrite(run, write_listings, tmp_path):
    source, target = write_listings("in.csv", ROWS), tmp_path / "out.parquet"
    target.write_text("precious")
    refused = run("score", source, target)
    assert refused.exit_code == 1
    assert f"Error: {target}: exists already" in refused.stderr
    assert target.read_text() == "precious"
    assert run("score", source, target, "--overwrite").exit_code == 0
    assert pq.read_table(target).num_rows == 4


def test_the_input_is_never_overwritten(run, write_listings):
    source = write_listings("in.parquet", ROWS)
    before = source.read_bytes()
    refused = run("score", source, source, "--overwrite")
    assert refused.exit_code == 1
    assert "is the input itself" in refused.stderr
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["out.txt", "out", "out.parquet.gz"])
def test_the_target_must_be_of_a_known_format(run, write_listings, tmp_path, name):
    result = run("score", write_listings("in.csv", ROWS), tmp_path / name)
    assert result.exit_code == 1
    assert "expected an output name ending in .parquet" in result.stderr


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_no_rows_in_no_rows_out(run, tmp_path, suffix):
    source, target = tmp_path / f"in.{suffix}", tmp_path / "out.parquet"
    if suffix == "csv":
        source.write_text("listing_id,title,extra\n")
    else:
        columns = [("listing_id", pa.string()), ("title", pa.string()), ("extra", pa.int32())]
        pq.write_table(pa.schema(columns).empty_table(), source)
    result = run("score", source, target)
    assert result.exit_code == 0, result.output
    table = pq.read_table(target)
    assert table.num_rows == 0
    assert table.column_names == ["listing_id", "title", "extra", *ANSWERS]


def test_bad_rows_of_a_csv_come_out_with_their_reason(run, tmp_path):
    source, target = tmp_path / "in.csv", tmp_path / "out.parquet"
    long_title = "rtx 3080 " + "x " * 50_000
    source.write_text(
        "listing_id,title,vendor\n"
        "1,rtx 3080 10gb,\n"
        "2\n"
        "3,a,b,c\n"
        "\n"
        f'4,"{long_title}",\n'
        '5,"two\nlines rtx 4090 24gb",\n'
    )
    assert run("score", source, target).exit_code == 0
    rows = pq.read_table(target).to_pylist()
    assert [row["listing_id"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert rows[1]["reason"] == "bad row: 1 fields, expected 3"
    assert rows[2]["reason"] == "bad row: 4 fields, expected 3"
    assert rows[3]["reason"].endswith("; title cut at 400 characters")
    assert rows[4]["model"] == "GeForce RTX 4090"
    assert [row["decision"] for row in rows[1:3]] == ["no_match", "no_match"]


def test_bad_values_of_jsonl_come_out_with_their_reason(run, tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    rows = [
        {"listing_id": 1, "title": None},
        {"listing_id": 2, "title": 3080},
        {"listing_id": 3},
        {"listing_id": 4, "title": "rtx 3080 10gb \ud83d", "vendor": ["EVGA"], "price": "cheap"},
        {"listing_id": 5, "title": "rtx 3080 10gb", "nested": {"a": [1]}, "price": 2**70},
    ]
    source.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    assert run("score", source, target).exit_code == 0
    out = pq.read_table(target).to_pylist()
    assert [row["reason"] for row in out[:3]] == [
        "no title",
        "bad row: title is a number, expected text",
        "no title",
    ]
    assert out[3]["model"] == out[4]["model"] == "GeForce RTX 3080"
    assert [row["listing_id"] for row in out] == [1, 2, 3, 4, 5]
    assert out[4]["nested"] == '{"a": [1]}'
    assert (out[3]["price"], out[4]["price"]) == ("cheap", str(2**70))


def test_parquet_columns_keep_their_types(run, tmp_path):
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    table = pa.table(
        {
            "listing_id": pa.array([7], pa.int64()),
            "title": pa.array(["rtx 3080 10gb"]).dictionary_encode(),
            "seen": pa.array([datetime.datetime(2024, 5, 1)], pa.timestamp("ms")),
            "tags": pa.array([["a", "b"]], pa.list_(pa.string())),
            "price": pa.array(["n/a"]),
        }
    )
    pq.write_table(table, source)
    assert run("score", source, target).exit_code == 0
    scored = pq.read_table(target)
    for name in ("listing_id", "seen", "tags", "price"):
        assert scored.schema.field(name).type == table.schema.field(name).type
    assert scored.column("model").to_pylist() == ["GeForce RTX 3080"]


def test_a_price_that_is_not_always_a_number_stays_text(write_listings):
    mixed = [
        {"listing_id": "1", "title": "a", "price": "12"},
        {"listing_id": "2", "title": "b", "price": "$9"},
    ]
    source = open_listings(write_listings("in.csv", mixed))
    assert source.schema.field("price").type == pa.string()
    (batch,) = source.batches()
    assert [listing.price for listing in batch.listings()] == [12.0, None]


def test_batches_keep_order_and_answers(write_listings, tmp_path, shipped_resolver):
    rows = [{"listing_id": str(n), "title": f"GTX {n} 8gb"} for n in range(950, 1090, 10)]
    path = write_listings("in.csv", rows)
    source = open_listings(path)
    assert source.n_rows == len(rows)
    sizes = [batch.table.num_rows for batch in source.batches(5)]
    assert sizes == [5, 5, 4]
    shares: list[float] = []
    plan = plan_score(select_files(str(path)), place_of(tmp_path / "o.parquet"))
    summary = run_plan(
        plan,
        ResolverAnswerer(shipped_resolver),
        progress=lambda progress: shares.append(progress.share),
    )
    assert (summary.rows, shares) == (14, [0.0, 1.0, 1.0])
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.column("listing_id").to_pylist() == [row["listing_id"] for row in rows]
    alone = shipped_resolver.resolve(Listing("x", "GTX 1080 8gb"))
    assert answers(table)[13]["match_probability"] == pytest.approx(alone.match_probability)


def test_the_shipped_demo_listings_resolve(run, tmp_path, data_folder):
    target = tmp_path / "out.parquet"
    result = run("score", data_folder / "demo_listings.parquet", target)
    assert result.exit_code == 0
    rows = pq.read_table(target).to_pylist()
    assert len(rows) == 60
    assert {row["decision"] for row in rows} >= {"match", "no_match"}
    assert rows[-1]["reason"] == "no title"
