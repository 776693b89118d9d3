"""Scoring in worker processes gives what one process gives."""

from __future__ import annotations

from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from echo_answerer import EchoAnswerer, score_all
from small_feeds import write_feed

from rerank.index.errors import MismatchError, RerankWarning
from rerank.index.records import shipped
from rerank.jobs.files.listings import open_listings
from rerank.jobs.files.places import place_of
from rerank.jobs.scoring import one_file
from rerank.jobs.scoring.answering import PooledAnswerer, ScoreOptions
from rerank.jobs.workers import working


@pytest.mark.slow
def test_two_workers_write_the_same_rows_in_the_same_order(run, tmp_path):
    listings = pq.read_table(shipped("demo_listings.parquet"))
    many = pa.concat_tables([listings] * (9000 // listings.num_rows + 1))
    pq.write_table(many, tmp_path / "in.parquet")
    for workers in (1, 2):
        done = run(
            "score", "--workers", workers, tmp_path / "in.parquet", tmp_path / f"{workers}.parquet"
        )
        assert done.exit_code == 0, done.output
    one, two = (pq.read_table(tmp_path / f"{workers}.parquet") for workers in (1, 2))
    assert one.num_rows == many.num_rows
    assert one.equals(two)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"model_version": "m2"}, "expected answers of model m1, found a worker with m2"),
        ({"index_version": "i2"}, "expected answers of index i1, found a worker with i2"),
    ],
)
def test_a_worker_that_answers_with_another_model_ends_the_run(tmp_path, other, said):
    write_feed(tmp_path / "in.parquet", ["RTX 3080 10GB"])
    pooled = EchoAnswerer()
    with working(2, partial(answer_of, other)) as pooled.pool:
        with pytest.raises(MismatchError, match=said):
            score_all(
                str(tmp_path / "in.parquet"), place_of(tmp_path / "o.parquet"), answerer=pooled
            )
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_the_parent_loads_nothing_and_says_the_warnings_of_the_first_worker():
    echo = EchoAnswerer()
    made = (echo.schema, "m7", "i7", ["the champion is damaged"])
    pooled = PooledAnswerer(ScoreOptions(), lambda items: ((item, made) for item in items))
    with pytest.warns(RerankWarning, match="the champion is damaged"):
        pooled.ready()
    pooled.ready()  # said once
    assert pooled.schema == echo.schema
    assert (pooled.model_version, pooled.index_version) == ("m7", "i7")


def test_a_file_is_read_while_workers_load_and_progress_is_told_before_they_have(tmp_path):
    write_feed(tmp_path / "in.parquet", ["RTX 3080 10GB"] * 3)
    echo, done = EchoAnswerer(), []

    def pool(items):
        for item in items:
            done.append("loaded" if item is None else "answered")
            made = (echo.schema, echo.model_version, echo.index_version, [])
            yield item, made if item is None else echo.answer(item)

    def read(*of):
        done.append("read")
        return open_listings(*of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_file, "open_listings", read)
        score_all(
            str(tmp_path / "in.parquet"),
            place_of(tmp_path / "o.parquet"),
            answerer=PooledAnswerer(ScoreOptions(), pool),
            progress=lambda progress: done.append(progress.rows),
        )
    assert done == [0, "read", "loaded", "answered", 3, 3]


def answer_of(versions):
    return EchoAnswerer(**versions).answer


def test_no_worker_is_a_wrong_call(run, tmp_path):
    result = run("score", "--workers", 0, shipped("demo_listings.parquet"), tmp_path / "o.parquet")
    assert result.exit_code == 2
    assert "0 is not in the range 1<=x<=256" in result.output
