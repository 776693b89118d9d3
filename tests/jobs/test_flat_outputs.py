"""Outputs of `rerank score` that are no parquet: flat, safe in spreadsheets, read again."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import load_workbook

from rerank.jobs.files.store_files import read_listings
from rerank.jobs.scoring.flat_files import without_formula

ROWS = [
    {"listing_id": "=1+2", "title": "EVGA RTX 3080 10GB", "n": 2**60 + 1, "more": ["a"]},
    {"listing_id": "-5", "title": "RTX 3080 or maybe 3070", "n": 1, "more": None},
    {"listing_id": "c", "title": "", "n": None, "more": []},
]


@pytest.fixture
def source(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


def read(path):
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".xlsx":
        names, *rows = load_workbook(path).active.iter_rows()
        return [{n.value: c.value for n, c in zip(names, row, strict=True)} for row in rows]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "xlsx"])
def test_an_output_is_what_its_name_ends_in_flat_and_rounded(run, source, tmp_path, ending):
    target = tmp_path / f"out.{ending}"
    assert run("score", source, tmp_path / "whole.parquet").exit_code == 0
    result = run("score", source, target)
    assert result.exit_code == 0, result.output
    whole = pq.read_table(tmp_path / "whole.parquet").to_pylist()
    found = read(target)
    assert "candidates" not in found[0]
    for row, flat in zip(whole, found, strict=True):
        rivals = [each for each in row["candidates"] if each["model"] != row["best_guess"]]
        assert (flat["rival"] or None) == (rivals[0]["model"] if rivals else None)
        assert float(flat["match_probability"]) == round(row["match_probability"], 4)
        assert flat["decision"] == row["decision"]
        if rivals:
            assert float(flat["rival_probability"]) == round(rivals[0]["probability"], 4)
    assert str(found[0]["n"]) == str(2**60 + 1)
    assert found[0]["listing_id"] == ("'=1+2" if ending == "csv" else "=1+2")
    assert found[0]["more"] in ('["a"]', ["a"])
    if ending == "xlsx":
        sheet = load_workbook(target).active
        assert sheet.cell(2, 1).data_type == "s"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "xlsx"])
def test_what_was_written_is_read_again(run, source, tmp_path, ending):
    target = tmp_path / f"out.{ending}"
    assert run("score", source, target).exit_code == 0
    rows = read_listings(target, also=("decision",)).incoming.rows.to_pylist()
    assert [row["title"] for row in rows] == [row["title"] for row in ROWS[:2]]
    assert rows[0]["decision"] == "match"
    again = run("score", target, tmp_path / "again.parquet")
    assert again.exit_code == 0, again.output


def test_an_output_without_a_record_is_only_overwritten(run, source, tmp_path):
    target = tmp_path / "out.csv"
    assert run("score", source, target, "--only-decisions").exit_code == 0
    assert "rival" not in read(target)[0]
    result = run("score", source, target, "--resume")
    assert result.exit_code == 1
    assert "only parquet says how it was made: give --overwrite" in result.stderr
    assert run("score", source, target, "--overwrite").exit_code == 0


def test_what_a_spreadsheet_would_compute_is_text():
    assert without_formula("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert without_formula("+cmd|' /C calc'!A0") == "'+cmd|' /C calc'!A0"
    assert without_formula("@SUM(1)") == "'@SUM(1)"
    assert without_formula("-2+3") == "'-2+3"
    assert [without_formula(text) for text in ("-5", "+1,5", "a=b", "")] == [
        "-5",
        "+1,5",
        "a=b",
        "",
    ]


def test_ids_that_are_odd_are_said(run, tmp_path):
    rows = ["1.12E+11,RTX 3080", "1.12E+11,RTX 3070", "a,x", "b,y", "a,z", ",w", ",v"]
    (tmp_path / "in.csv").write_text("\n".join(["listing_id,title", *rows]))
    result = run("score", tmp_path / "in.csv", tmp_path / "out.parquet", "--only-decisions")
    assert "2 ids such as 1.12E+11 were rounded by a spreadsheet" in result.stderr
    assert "2 rows have the id of a row before them, as row 2 has that of row 1" in result.stderr


def test_a_folder_s_outputs_are_of_the_format_that_is_asked_for(run, source, tmp_path):
    feeds, out = tmp_path / "feeds", tmp_path / "out"
    (feeds / "b").mkdir(parents=True)
    source.rename(feeds / "b/in.parquet")
    (feeds / "a.jsonl").write_text('{"listing_id": 1, "title": "RTX 3080"}\n', encoding="utf-8")
    assert run("score", "--format", "csv", feeds, out).exit_code == 0
    assert [row["model"] for row in read(out / "a.csv")] == ["GeForce RTX 3080"]
    assert len(read(out / "b/in.csv")) == len(ROWS)
    assert len(pq.read_table(out / "_rejects/b/in.parquet")) == 1
    result = run("score", "--format", "csv", "--resume", feeds, out)
    assert "only parquet says how it was made" in result.stderr
    result = run("score", "--format", "csv", feeds / "a.jsonl", tmp_path / "a.parquet")
    assert (result.exit_code, "name the file by its ending" in result.stderr) == (2, True)
