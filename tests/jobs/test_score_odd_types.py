"""Columns of any type pass through, whatever Python makes of their values."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from echo_answerer import EchoAnswerer, score_all

from rerank.jobs.files.places import place_of
from rerank.jobs.scoring.answering import RememberingAnswerer
from rerank.jobs.scoring.one_file import json_values

NS = 1_700_000_000_000_000_001


def values(items, kind):
    return json_values(pa.chunked_array([pa.array(items, kind)]))


@pytest.mark.parametrize(
    ("items", "kind", "expected"),
    [
        ([NS, None], pa.timestamp("ns"), ["2023-11-14 22:13:20.000000001", None]),
        ([1], pa.time64("ns"), ["00:00:00.000000001"]),
        ([1], pa.duration("ns"), ["1"]),
        ([10**14], pa.timestamp("s"), ["<value out of range: 100000000000000>"]),
        ([0, None], pa.timestamp("s", "No/Where"), ["<timestamp[s, tz=No/Where]>", None]),
        ([[NS]], pa.list_(pa.timestamp("ns")), [["2023-11-14 22:13:20.000000001"]]),
        ([{"at": 1}], pa.struct([("at", pa.time64("ns"))]), [{"at": "00:00:00.000000001"}]),
        ([b"a\xff"], pa.binary(), ["a\ufffd"]),
        ([1.5, None], pa.float64(), [1.5, None]),
        ([[("k", 2)]], pa.map_(pa.string(), pa.int8()), [[["k", 2]]]),
    ],
)
def test_values_of_any_type_can_be_shown_as_json(items, kind, expected):
    assert values(items, kind) == expected
    assert json.loads(json.dumps(expected)) == expected


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (pa.timestamp("ns"), NS, "2023-11-14 22:13:20.000000001"),
        (pa.duration("ns"), 7, "7"),
        (pa.timestamp("ms"), 10**17, "<value out of range: 100000000000000000>"),
        (pa.date32(), 2**31 - 1, "<value out of range: 2147483647>"),
    ],
)
def test_a_reject_with_a_time_that_python_cannot_hold_is_listed(tmp_path, kind, value, shown):
    table = pa.table(
        {"listing_id": [1, 2], "title": ["RTX 3080 10GB", ""], "seen": pa.array([value] * 2, kind)}
    )
    pq.write_table(table, tmp_path / "in.parquet")
    source = pq.read_table(tmp_path / "in.parquet")
    score_all(str(tmp_path / "in.parquet"), place_of(tmp_path / "out.parquet"))
    assert pq.read_table(tmp_path / "out.parquet").column("seen").equals(source.column("seen"))
    (reject,) = pq.read_table(tmp_path / "out.rejects.parquet").to_pylist()
    assert (reject["row"], reject["listing_id"]) == (2, "2")
    assert json.loads(reject["content"]) == {"listing_id": 2, "title": "", "seen": shown}


@pytest.mark.parametrize("name", ["vendor", "description", "price"])
def test_a_time_in_the_place_of_text_or_a_price_counts_as_none(tmp_path, name):
    seen = pa.array([2**31 - 1], pa.date32())
    table = pa.table({"listing_id": [1], "title": ["RTX 3080 10GB"], name: seen})
    pq.write_table(table, tmp_path / "in.parquet")
    summary = score_all(str(tmp_path / "in.parquet"), place_of(tmp_path / "out.parquet"))
    assert (summary.rows, summary.rejects) == (1, 0)
    assert pq.read_table(tmp_path / "out.parquet").column(name).chunk(0).equals(seen)


def test_views_of_text_can_be_rejected_and_found_again(tmp_path):
    table = pa.table(
        {
            "listing_id": ["1", "2", "3"],
            "title": pa.array(["RTX 3080", "", "Tesla P40"], pa.string_view()),
            "more": pa.array(["a", None, "c"], pa.string_view()),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    assert pq.read_schema(tmp_path / "in.parquet").field("title").type == pa.string_view()
    score_all(str(tmp_path / "in.parquet"), place_of(tmp_path / "monday.parquet"))
    (reject,) = pq.read_table(tmp_path / "monday.rejects.parquet").to_pylist()
    assert json.loads(reject["content"]) == {"listing_id": "2", "title": "", "more": None}

    changed = table.set_column(1, "title", pa.array(["RTX 3080", "", "new"], pa.string_view()))
    pq.write_table(changed, tmp_path / "in.parquet")
    answerer = RememberingAnswerer(EchoAnswerer(), [place_of(tmp_path / "monday.parquet")])
    summary = score_all(
        str(tmp_path / "in.parquet"), place_of(tmp_path / "out.parquet"), answerer=answerer
    )
    assert summary.reused_rows == 2
    assert pq.read_table(tmp_path / "out.parquet")["model"].to_pylist() == ["RTX 3080", None, "new"]


def test_long_texts_make_smaller_row_groups(tmp_path):
    text = "x" * 20_000
    table = pa.table(
        {
            "listing_id": range(10_000),
            "title": ["RTX 3080"] * 10_000,
            "description": [text] * 10_000,
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    score_all(str(tmp_path / "in.parquet"), place_of(tmp_path / "out.parquet"))
    metadata = pq.read_metadata(tmp_path / "out.parquet")
    sizes = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    assert sizes == [4096, 4096, 1808]
    assert pq.read_table(tmp_path / "out.parquet", columns=table.column_names).equals(table)
