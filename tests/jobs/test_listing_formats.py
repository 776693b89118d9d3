"""Files of listings as others write them: packed, encoded and delimited otherwise, workbooks."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from rerank.index.errors import InputError
from rerank.jobs.files import text_formats
from rerank.jobs.files.listings import MOST_COLUMNS, ColumnNames, open_listings
from rerank.jobs.files.places import place_of
from rerank.jobs.files.store_files import read_listings
from rerank.jobs.scoring.plan import columns_of_output

ROWS = [
    {"listing_id": "A1", "title": "Käse RTX 3080", "price": 3.5},
    {"listing_id": "A2", "title": "Crêpe, GTX 1080", "price": 4.0},
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def csv_text(delimiter):
    rows = ["listing_id,title,price", "A1,Käse RTX 3080,3.5", 'A2,"Crêpe, GTX 1080",4.0']
    if delimiter == ",":
        return "\n".join(rows)
    return "\n".join(rows).replace(",", delimiter).replace(f"{delimiter} GTX", ", GTX")


def workbook(path, rows):
    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


CONTENTS = {
    "a.csv": csv_text(",").encode(),
    "semicolons.csv": csv_text(";").encode(),
    "a.tsv": csv_text("\t").encode(),
    "bars.csv": csv_text("|").encode("utf-16"),
    "old.csv": csv_text(";").encode("cp1252"),
    "a.csv.gz": gzip.compress(csv_text(",").encode()),
    "a.TSV.GZ": gzip.compress(csv_text("\t").encode("utf-8-sig")),
    "a.jsonl": LINES.encode(),
    "a.ndjson": LINES.encode("utf-16"),
    "a.jsonl.gz": gzip.compress(LINES.encode()),
    "a.json": json.dumps(ROWS, indent=1).encode("utf-8-sig"),
    "lines.json": LINES.encode(),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_all_formats_say_the_same(tmp_path, name):
    (tmp_path / name).write_bytes(CONTENTS[name])
    file = open_listings(tmp_path / name)
    (batch,) = file.batches()
    assert file.n_rows == 2
    assert batch.table.to_pylist() == ROWS
    told = "".join(file.remarks)
    assert ("Windows-1252" in told) == (name == "old.csv")
    assert ("UTF-16" in told) == (name in ("bars.csv", "a.ndjson"))
    assert ("semicolons" in told) == (";" in CONTENTS[name].decode("latin-1"))


def test_a_workbook_is_read_with_its_types(tmp_path):
    rows = [["Listing ID", "Title", "price", "seen"], [112000000000, "RTX 3080", 3.5, None]]
    path = workbook(tmp_path / "a.xlsx", [*rows, [], [2, "GTX 1080", 4, "x"], [3, 1080, 1]])
    file = open_listings(path)
    (batch,) = file.batches()
    assert batch.table.to_pylist()[0] == {
        "Listing ID": 112000000000,
        "Title": "RTX 3080",
        "price": 3.5,
        "seen": None,
    }
    assert [each.title for each in batch.listings()] == ["RTX 3080", "GTX 1080", "1080"]


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    path = workbook(tmp_path / "a.xlsx", [["listing_id", "title"], [1, "a"]])
    monkeypatch.setattr(text_formats, "_MOST_SHEET_BYTES", 10)
    with pytest.raises(InputError, match=r"a workbook of at most .* save it as CSV"):
        open_listings(path)


def test_an_array_that_is_too_large_to_hold_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text(json.dumps(ROWS * 9))
    monkeypatch.setattr(text_formats, "_MOST_JSON_BYTES", 100)
    with pytest.raises(InputError, match="write JSON lines"):
        open_listings(tmp_path / "a.json")


def test_what_is_no_object_in_an_array_is_a_bad_row(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([ROWS[0], 3]))
    (batch,) = open_listings(tmp_path / "a.json").batches()
    assert batch.faults == {1: "bad row: line 2: expected a JSON object, found a number"}


def test_columns_are_found_in_other_capitals_unless_two_would_do(tmp_path):
    (tmp_path / "a.csv").write_text("Listing-ID,TITLE,Titel\n1,a,b\n")
    (batch,) = open_listings(tmp_path / "a.csv").batches()
    assert [(each.listing_id, each.title) for each in batch.listings()] == [("1", "a")]
    (tmp_path / "a.csv").write_text("listing_id,Title,TITLE\n1,a,b\n")
    with pytest.raises(InputError, match="missing title"):
        open_listings(tmp_path / "a.csv")


def test_a_missing_column_is_guessed_in_the_error(tmp_path):
    (tmp_path / "a.csv").write_text("listing_id,titel\n1,a\n")
    with pytest.raises(InputError, match="did you mean 'titel' for title"):
        open_listings(tmp_path / "a.csv")


def test_numbers_beyond_floats_stay_as_they_are(tmp_path):
    large = 2**53 + 1
    (tmp_path / "a.jsonl").write_text(
        f'{{"listing_id": {large}, "title": "a", "n": {large}}}\n'
        '{"listing_id": 2, "title": "b", "n": 1.5}\n'
    )
    file = open_listings(tmp_path / "a.jsonl")
    (batch,) = file.batches()
    assert batch.table.column("n").to_pylist() == [str(large), "1.5"]
    assert batch.ids() == [str(large), "2"]
    assert "n: numbers beyond 2^53" in file.remarks[0]


def test_a_file_of_more_columns_than_can_be_meant_is_refused(tmp_path):
    names = [f"c{n}" for n in range(MOST_COLUMNS + 1)]
    (tmp_path / "a.csv").write_text(",".join(["listing_id", "title", *names]) + "\n")
    with pytest.raises(InputError, match="at most 10,000 columns, found 10,003"):
        open_listings(tmp_path / "a.csv")


def test_standard_input_is_what_it_begins_as(run, tmp_path):
    for number, content in enumerate(CONTENTS.values()):
        target = tmp_path / f"{number}.parquet"
        result = run("score", "--only-decisions", "-", target, text=content)
        assert result.exit_code == 0, result.output
        assert pq.read_table(target).column("title").to_pylist() == [r["title"] for r in ROWS]
    result = run("score", "-", tmp_path / "none.parquet", text=b"")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: standard input: expected listings, found nothing; pipe a file into it\n",
    )


def test_an_encoding_that_is_named_is_used_and_must_be_one(run, tmp_path):
    (tmp_path / "a.csv").write_bytes("listing_id,title\n1,Kość GTX 1080\n".encode("cp1250"))
    result = run("score", tmp_path / "a.csv", tmp_path / "o.parquet", "--encoding", "cp1250")
    assert result.exit_code == 0, result.output
    assert "read as" not in result.stderr
    assert pq.read_table(tmp_path / "o.parquet").column("title").to_pylist() == ["Kość GTX 1080"]
    result = run("score", tmp_path / "a.csv", tmp_path / "p.parquet", "--encoding", "klingon")
    assert result.exit_code == 1
    assert "encoding 'klingon': expected one such as utf-8" in result.stderr


def test_packed_files_of_a_folder_lose_both_endings(tmp_path):
    assert place_of(tmp_path / "a.csv.gz").suffix == ".csv.gz"
    assert place_of(tmp_path / "a.b.csv").suffix == ".csv"


def test_types_without_a_like_in_arrow_are_named(tmp_path):
    import duckdb

    path = tmp_path / "a.parquet"
    duckdb.sql(
        "COPY (SELECT 'a' listing_id, 'x' title, INTERVAL 3 DAY i, 1::VARIANT v, "
        "TIMETZ '10:00:00+02' z) "
        f"TO '{path}'"
    )
    remarks = " ".join(open_listings(path).remarks)
    assert "column i (a INTERVAL)" in remarks
    assert "column v (a VARIANT) is written as a struct, with the same bytes" in remarks
    assert "column z (a TIME with a time zone)" in remarks
    pq.write_table(pa.table({"listing_id": ["a"], "title": ["b"]}), path)
    assert open_listings(path, ColumnNames()).remarks == ()


OWN = {
    "sku": "S1",
    "name": "RTX 3080 10GB",
    "cost": "172,22 zł",
    "url": "https://x",
    "note": 2**53 + 1,
}


@pytest.fixture
def scored(run, tmp_path):
    """What `rerank score` makes of a feed with columns of its own."""
    rows = [OWN, OWN, {**OWN, "sku": "S2", "name": ""}, {**OWN, "sku": "S3", "cost": "on request"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    named = ["--id-column", "sku", "--title-column", "name", "--price-column", "cost"]
    result = run("score", tmp_path / "in.parquet", tmp_path / "out.parquet", *named)
    assert result.exit_code == 0, result.output
    return tmp_path / "out.parquet"


def test_what_score_wrote_is_read_for_the_store_under_its_own_names(scored):
    incoming, remarks = read_listings(scored, also=("url", "decision", "note", "none"))
    rows = incoming.rows.to_pylist()
    assert [(row["listing_id"], row["title"], row["price"]) for row in rows] == [
        ("S1", "RTX 3080 10GB", "172.22"),
        ("S3", "RTX 3080 10GB", None),
    ]
    assert rows[0]["url"] == "https://x"
    assert (rows[0]["decision"], rows[0]["note"]) == ("match", str(2**53 + 1))
    assert [row["place"] for row in rows] == [1, 4]
    assert remarks == (
        f"{scored}: 1 rows left out: the id of a row before them",
        f"{scored}: 1 rows left out: no title",
    )


def test_names_that_the_answers_took_are_known_from_the_footer(run, tmp_path):
    rows = [{"listing_id": "a", "model": "RTX 3080 10GB", "input_model": "x"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    target = tmp_path / "out.parquet"
    assert run("score", tmp_path / "in.parquet", target, "--title-column", "model").exit_code == 0
    assert columns_of_output(place_of(target), ColumnNames()).title == "input_input_model"
    own = ColumnNames(title="input_model")
    assert columns_of_output(place_of(target), own).title == "input_model"
    assert [row["title"] for row in read_listings(target).incoming.rows.to_pylist()] == [
        "RTX 3080 10GB"
    ]


def test_monitor_takes_what_score_wrote_of_other_names(run, scored):
    result = run("monitor", scored)
    assert result.exit_code == 0, result.output
    assert "not resolved yet" not in result.stderr


def test_a_column_that_arrow_cannot_read_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    wide = pl.Series([2**100], dtype=pl.Int128)
    pl.DataFrame({"listing_id": ["a"], "title": ["x"], "huge": wide}).write_parquet(path)
    with pytest.raises(InputError, match="Arrow cannot read column 'huge': Integers with more"):
        open_listings(path)


@pytest.mark.parametrize(
    "key",
    [
        pa.array([[1]]),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([{"t": 2**62}], pa.struct([("t", pa.timestamp("ns"))])),
        pa.array([2**62], pa.duration("s")),
        pa.array([1], pa.timestamp("ns")),
    ],
    ids=lambda key: str(key.type),
)
def test_ids_that_are_no_ids_are_refused(tmp_path, key):
    pq.write_table(pa.table({"listing_id": key, "title": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="text or numbers in column 'listing_id', found"):
        open_listings(tmp_path / "a.parquet")
