"""Which files of a folder can be read as one table: columns of a kind, null with everything."""

from __future__ import annotations

import itertools
import json

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from echo_answerer import EchoAnswerer, score_all

from rerank.jobs.files.places import place_of
from rerank.jobs.scoring.answering import ScoreOptions
from rerank.jobs.scoring.plan import Existing, agree

ARRAYS = {
    "text": [pa.array(["a"], kind) for kind in (pa.string(), pa.large_string(), pa.string_view())]
    + [pa.array(["a"]).dictionary_encode()],
    "number": [pa.array([1], kind) for kind in (pa.int8(), pa.uint64(), pa.int64(), pa.float32())]
    + [pa.array([1.5])],
    "decimal": [pa.array([1], pa.decimal128(8, 2)), pa.array([1], pa.decimal128(12, 4))],
    "bool": [pa.array([True])],
    "time": [pa.array([1], pa.timestamp("us")), pa.array([1000], pa.timestamp("ns"))],
    "time in UTC": [pa.array([1], pa.timestamp("us", "UTC"))],
    "date": [pa.array([1], pa.date32())],
    "list": [pa.array([[1]])],
}
PAIRS = [
    pytest.param(one, other, kind == other_kind, id=f"{one.type} {other.type}")
    for (kind, ones), (other_kind, others) in itertools.product(ARRAYS.items(), repeat=2)
    for one in ones
    for other in others
]


@pytest.mark.parametrize(("one", "other", "alike"), PAIRS)
def test_columns_agree_if_they_are_of_a_kind(one, other, alike):
    assert agree(str(one.type), str(other.type)) is alike
    assert agree("null", str(one.type))


def score_columns(tmp_path, *columns, strict=False, **callbacks):
    (tmp_path / "in").mkdir()
    for number, column in enumerate(columns):
        table = pa.table({"listing_id": [str(number)], "title": ["x"], "more": column})
        pq.write_table(table, tmp_path / f"in/{number}.parquet")
    answerer = EchoAnswerer(ScoreOptions(strict=strict))
    source, out = str(tmp_path / "in"), place_of(tmp_path / "out")
    return score_all(source, out, answerer=answerer, **callbacks)


def test_columns_of_a_folder_are_united_and_those_in_conflict_become_text(tmp_path):
    said = []
    structs = pa.array([{"a": [1]}])
    columns = [pa.array([1.5]), pa.array(["172,22 zł"]), structs, pa.array([2])]
    summary = score_columns(tmp_path, *columns, say=said.append)
    assert summary.failures == {}
    found = [pq.read_table(tmp_path / f"out/{n}.parquet").column("more") for n in range(4)]
    assert [column.to_pylist() for column in found] == [[1.5], ["172,22 zł"], ['{"a": [1]}'], [2]]
    first = f"double in {tmp_path}/in/0.parquet"
    assert said[0].endswith(f"in/1.parquet: more is read as text: string here, {first}")
    assert len(said) == 2
    again = score_all(str(tmp_path / "in"), place_of(tmp_path / "out"), Existing.RESUME)
    assert again.files == {"scored": 0, "kept": 4, "failed": 0}


def test_a_csv_column_in_conflict_stands_as_it_was_written(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("listing_id,title,price\n1,x,on request\n")
    (tmp_path / "in/b.csv").write_text("price,title,listing_id,__index_level_0__\n12.50,x,1,0\n")
    assert score_all(str(tmp_path / "in"), place_of(tmp_path / "out")).failures == {}
    row = pq.read_table(tmp_path / "out/b.parquet").to_pylist()[0]
    assert (row["price"], row["__index_level_0__"]) == ("12.50", "0")


@pytest.mark.parametrize("kind", ["number", "decimal", "time"])
@pytest.mark.parametrize("turned", [False, True])
def test_outputs_of_a_kind_are_read_as_one_table_as_the_document_says(tmp_path, kind, turned):
    columns = [pa.nulls(1), *ARRAYS[kind]]
    summary = score_columns(tmp_path, *(reversed(columns) if turned else columns))
    assert summary.files["failed"] == 0
    files = sorted((tmp_path / "out").glob("*.parquet"))
    schema = pa.unify_schemas([pq.read_schema(f) for f in files], promote_options="permissive")
    table = ds.dataset(files, schema=schema).to_table()
    assert table.column("more").null_count == 1
    assert table.num_rows == len(columns)


def test_outputs_keep_the_types_of_their_own_input(tmp_path):
    score_columns(tmp_path, pa.array([1]), pa.array([1.5]), pa.nulls(1))
    types = [pq.read_schema(tmp_path / f"out/{n}.parquet").field("more").type for n in range(3)]
    assert types == [pa.int64(), pa.float64(), pa.null()]


def test_a_type_of_another_kind_is_set_aside_even_after_a_column_of_nulls(tmp_path):
    summary = score_columns(tmp_path, pa.nulls(1), pa.array(["a"]), pa.array([1]), strict=True)
    (text,) = summary.failures.values()
    assert "in/2.parquet: expected the columns of " in text
    assert "found more int64 (there string)" in text


def write_lines(tmp_path, name, *rows):
    (tmp_path / "in").mkdir(exist_ok=True)
    text = "".join(json.dumps({"listing_id": "1", "title": "x", **row}) + "\n" for row in rows)
    (tmp_path / "in" / name).write_text(text)


def test_json_lines_may_lack_a_key_have_it_null_or_have_it_as_another_number(tmp_path):
    write_lines(tmp_path, "a.jsonl", {})
    write_lines(tmp_path, "b.jsonl", {"price": 3})
    write_lines(tmp_path, "c.jsonl", {"price": None})
    write_lines(tmp_path, "d.jsonl", {"price": 2.5, "shop": "y"})
    (tmp_path / "in/e.csv").write_text("listing_id,title,price,shop\n1,x,7,y\n")
    summary = score_all(str(tmp_path / "in"), place_of(tmp_path / "out"))
    assert summary.failures == {}


def test_csv_must_have_the_columns_of_json_lines_before_it(tmp_path):
    write_lines(tmp_path, "a.jsonl", {"price": 3})
    (tmp_path / "in/b.csv").write_text("listing_id,title\n1,x\n")
    write_lines(tmp_path, "c.jsonl", {"price": 3, "shop": "y"})
    strict = EchoAnswerer(ScoreOptions(strict=True))
    summary = score_all(str(tmp_path / "in"), place_of(tmp_path / "out"), answerer=strict)
    texts = list(summary.failures.values())
    assert len(texts) == 1
    assert "found price missing (there int64)" in texts[0]
