"""Scoring in worker processes gives what one process gives."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.shipped import shipped


@pytest.mark.slow
def test_two_workers_write_the_same_rows_in_the_same_order(run, tmp_path):
    listings = pq.read_table(shipped("demo_listings.parquet"))
    many = pa.concat_tables([listings] * (9000 // listings.num_rows + 1))
    pq.write_table(many, tmp_path / "in.parquet")
    for workers in (1, 2):
        done = run("score", "--workers", workers, tmp_path / "in.parquet",
                   tmp_path / f"{workers}.parquet")  # fmt: skip
        assert done.exit_code == 0, done.output
    one, two = (pq.read_table(tmp_path / f"{workers}.parquet") for workers in (1, 2))
    assert one.num_rows == many.num_rows
    assert one.equals(two)


def test_no_worker_is_a_wrong_call(run, tmp_path):
    result = run("score", "--workers", 0, shipped("demo_listings.parquet"), tmp_path / "o.parquet")
    assert result.exit_code == 2
    assert "0 is not in the range 1<=x<=256" in result.output
