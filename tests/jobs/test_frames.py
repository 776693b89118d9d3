"""Tables of other libraries: each comes back as its own kind, with what `score` answers."""

from __future__ import annotations

import decimal
import pickle

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rerank
from rerank.index.errors import InputError
from rerank.jobs.files.listings import Fault, ListingBatch

ROWS = [
    {"sku": 7, "name": "EVGA RTX 3080 10GB FTW3", "model": "x", "cost": 700.5},
    {"sku": 8, "name": "backplate for RTX 3080", "model": None, "cost": None},
    {"sku": 9, "name": None, "model": "y", "cost": 3.0},
    {"sku": 9, "name": "Sapphire Radeon RX 9070 XT 16GB", "model": "z", "cost": 1.0},
]
NAMED = {"title": "name", "listing_id": "sku", "price": "cost"}


@pytest.fixture(scope="module")
def resolver(tmp_path_factory):
    return rerank.open_resolver(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def scored(run, tmp_path):
    """The same rows through `rerank score`."""
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "in.parquet")
    flags = ["--title-column", "name", "--id-column", "sku", "--price-column", "cost"]
    result = run("score", tmp_path / "in.parquet", tmp_path / "out.parquet", *flags)
    assert result.exit_code == 0, result.output
    return pq.read_table(tmp_path / "out.parquet").replace_schema_metadata()


class Capsule:
    """What speaks the interface and is of no library that is known."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def kinds():
    table = pa.Table.from_pylist(ROWS)
    return {
        "polars": (pl.DataFrame(table), pl.DataFrame, lambda found: found.to_arrow()),
        "pandas": (table.to_pandas(), pd.DataFrame, lambda f: pa.Table.from_pandas(f)),
        "pyarrow": (table, pa.Table, lambda found: found),
        "capsule": (Capsule(table), pa.Table, lambda found: found),
        "batch": (table.to_batches()[0], pa.Table, lambda found: found),
        "reader": (table.to_reader(1), pa.RecordBatchReader, lambda found: found.read_all()),
        "duckdb": (duckdb.from_arrow(table), duckdb.DuckDBPyRelation, pa.table),
    }


@pytest.mark.parametrize("name", kinds())
def test_each_kind_comes_back_with_the_answers_of_score(resolver, scored, name):
    frame, kind, as_arrow = kinds()[name]
    found = rerank.resolve_table(frame, resolver=resolver, **NAMED)
    assert isinstance(found, kind)
    answered = as_arrow(found)
    assert answered.column_names == scored.column_names
    answers = scored.column_names[len(ROWS[0]) :]
    like = answered.select(answers).cast(scored.select(answers).schema)
    assert like.equals(scored.select(answers))
    own = answered.select(scored.column_names[: len(ROWS[0])])
    assert own.column("input_model").to_pylist() == [row["model"] for row in ROWS]


def test_types_that_arrow_lacks_pass_through(resolver):
    frame = pl.DataFrame({"title": ["RTX 3080"], "n": pl.Series([2**100], dtype=pl.Int128)})
    found = rerank.resolve_table(frame, resolver=resolver, only_decisions=True)
    assert found["n"].to_list() == [2**100]
    assert found["model"].to_list() == ["GeForce RTX 3080"]
    frame = pd.DataFrame({"title": ["RTX 3080", "x"], "o": [object(), decimal.Decimal(1)]}, [5, 5])
    found = rerank.resolve_table(frame, resolver=resolver)
    assert list(found.index) == [5, 5]
    assert found["o"].iloc[0] is frame["o"].iloc[0]
    assert found["model"].iloc[0] == "GeForce RTX 3080"


def test_a_stream_is_resolved_as_it_is_read(resolver):
    read, told = [], []

    def batches():
        for number in range(3):
            read.append(number)
            yield pa.record_batch({"Title": ["RTX 3080"]})

    schema = pa.schema([("Title", pa.string())])
    reader = pa.RecordBatchReader.from_batches(schema, batches())
    found = rerank.resolve_table(
        reader, resolver=resolver, progress=lambda done, n: told.append((done, n))
    )
    assert read == []
    assert found.read_next_batch().num_rows == 1
    assert (read, told) == ([0], [(1, None)])
    assert found.read_all().num_rows == 2


def test_workers_answer_what_one_process_answers(tmp_path):
    frame = pl.DataFrame({"title": ["EVGA RTX 3080 10GB", "backplate"] * 3000})
    one = rerank.resolve_table(frame, home=tmp_path)
    assert one.equals(rerank.resolve_table(frame, home=tmp_path, workers=2))
    streamed = rerank.resolve_table(frame.to_arrow().to_reader(), home=tmp_path, workers=2)
    assert streamed.read_all().equals(one.to_arrow().cast(streamed.schema))


def test_workers_and_an_open_resolver_exclude_each_other(resolver):
    with pytest.raises(InputError, match="give `home`, no `resolver`"):
        rerank.resolve_table(pl.DataFrame({"title": ["a"]}), resolver=resolver, workers=2)


def test_a_table_without_rows_has_the_columns(resolver):
    for frame in (pl.DataFrame({"title": pl.Series([], dtype=pl.String)}), pa.table({"title": []})):
        if isinstance(frame, pa.Table):
            frame = frame.cast(pa.schema([("title", pa.string())]))
        found = rerank.resolve_table(frame, resolver=resolver)
        assert len(found) == 0
        assert "decision" in list(getattr(found, "column_names", found.columns))


@pytest.mark.parametrize(
    ("frame", "named", "fault"),
    [
        (pl.DataFrame({"titel": ["a"]}), {}, "the table: .*did you mean 'titel' for title"),
        (pl.DataFrame({"title": [1]}), {}, "the table: expected text in column 'title', found int"),
        (pl.DataFrame({"title": ["a"]}).lazy(), {}, "a frame that is not computed yet; collect it"),
        ([{"title": "a"}], {}, "expected a DataFrame .* got list"),
        (pd.DataFrame({"title": ["a", 3]}), {}, "column 'title' .* cannot be read"),
        (pl.DataFrame({"a": ["x"]}), {"title": "a", "vendor": "a"}, "a column of its own"),
    ],
)
def test_what_cannot_be_resolved_is_one_sentence(resolver, frame, named, fault):
    with pytest.raises(InputError, match=fault):
        rerank.resolve_table(frame, resolver=resolver, **named)


def test_a_word_that_is_no_column_of_ours_is_refused(resolver):
    with pytest.raises(TypeError, match="unexpected keyword argument 'name'"):
        rerank.resolve_table(pl.DataFrame({"title": ["a"]}), resolver=resolver, name="title")


def test_sql_has_a_function_of_titles(resolver):
    connection = rerank.register(duckdb.connect(), resolver=resolver)
    connection.execute("CREATE TABLE t AS SELECT unnest(['RTX 3080 10GB', NULL, 'bridge']) title")
    query = "SELECT r.decision, r.model, r.memory_gb FROM (SELECT resolve_gpu(title) r FROM t)"
    found = connection.execute(query).fetchall()
    assert found[0] == ("match", "GeForce RTX 3080", 10.0)
    assert [row[0] for row in found] == ["match", "no_match", "no_match"]
    named = rerank.register(duckdb.connect(), resolver=resolver, name="gpu")
    assert named.execute("SELECT gpu('RTX 3080').model").fetchone() == ("GeForce RTX 3080",)


def test_sql_answers_what_a_table_answers(resolver):
    titles = [f"{maker} RTX {n}0 {n}" for n in (207, 308, 409) for maker in ("EVGA", "Zotac", "")]
    table = pa.table({"title": titles * 300})
    connection = rerank.register(duckdb.connect(), resolver=resolver)
    connection.register("asked", table)
    answered = rerank.resolve_table(table, resolver=resolver, only_decisions=True)
    found = pa.table(connection.sql("SELECT unnest(resolve_gpu(title)) FROM asked"))
    assert found.to_pylist() == answered.drop_columns(["title"]).to_pylist()


def test_a_worker_is_sent_its_own_rows_and_not_the_table_they_were_cut_out_of():
    table = pa.table({"listing_id": range(100_000), "title": [f"RTX {n}" for n in range(100_000)]})
    batch = ListingBatch(table.slice(500, 10), bad_rows={3: Fault("odd", None)})
    sent = pickle.dumps(batch)
    assert len(sent) < 5_000
    assert pickle.loads(sent) == batch
