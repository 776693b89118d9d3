"""One listing, one answer: however many stand beside it, and whoever asks.

The suite asks a few hundred titles; `make same TITLES=50000` that many, and Ray and a third worker.
"""

from __future__ import annotations

import os
import shutil

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_inputs import Hostile
from processes import started
from second_model import PARTS
from small_feeds import contents
from test_serve import client_of

import rerank
from rerank.index.records import Listing

ASKED = int(os.environ.get("RERANK_SAME", "0"))  # 0: the suite's few
TITLES = ASKED or 300
FILES = ("a", "b/c", "d")
EVERY = 10 if ASKED else 1  # titles that are asked one by one


@pytest.fixture(scope="module")
def titles():
    """Sellers' titles, hostile ones between them, some of them twice."""
    found = [f"{PARTS[at % len(PARTS)]} {at % 97} {at // 97}" for at in range(TITLES)]
    found[::3] = [Hostile(7, at % (TITLES - 20)).title() for at in range(0, TITLES, 3)]
    return found


@pytest.fixture
def feeds(titles, tmp_path):
    step = -(-TITLES // len(FILES))
    for number, name in enumerate(FILES):
        path = tmp_path / f"feeds/{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        some = titles[number * step : (number + 1) * step]
        ids = [str(number * step + at) for at in range(len(some))]
        pq.write_table(pa.table({"listing_id": ids, "title": some}), path)
    return tmp_path / "feeds"


@pytest.fixture
def scored(run, feeds, tmp_path):
    """Score the feeds and return what lies in the folder of the outputs."""

    def score(name, *more, source=feeds):
        done = run("score", *more, source, tmp_path / name)
        assert done.exit_code == 0, done.output
        return contents(tmp_path / name)

    return score


def test_files_are_the_same_with_workers_resumed_and_since(scored, feeds, home, tmp_path):
    whole = scored("whole")
    for workers in (2, 3) if ASKED else (2,):
        assert scored(f"by-{workers}", "--workers", workers) == whole
    (tmp_path / "first").mkdir()
    shutil.copy(feeds / "a.parquet", tmp_path / "first")
    assert scored("resumed", source=tmp_path / "first") != whole
    shutil.copytree(tmp_path / "resumed", tmp_path / "earlier")
    assert scored("resumed", "--resume") == whole
    assert scored("since", "--since", tmp_path / "earlier") == whole
    assert scored("since-all", "--since", tmp_path / "whole") == whole
    if ASKED:
        words = "score", "--engine", "ray", str(feeds), str(tmp_path / "ray")
        assert started(home, *words).wait() == 0
        assert contents(tmp_path / "ray") == whole


def test_tables_single_listings_sql_and_the_service_say_what_files_say(
    scored, titles, shipped_resolver, tmp_path
):
    scored("whole")
    resolver, names = shipped_resolver, shipped_resolver.schema.names
    files = [pq.read_table(tmp_path / f"whole/{name}.parquet") for name in FILES]
    file = pa.concat_tables(files).replace_schema_metadata().select(["title", *names])
    assert file["title"].to_pylist() == titles
    answers, rows = file.drop_columns(["title"]), file.to_pylist()
    listings = [Listing(title=title) for title in titles]
    for size in (7, TITLES):
        parts = [resolver.resolve_table(listings[at : at + size]) for at in range(0, TITLES, size)]
        assert pa.concat_tables(parts).equals(answers), size
    singles = [resolver.resolve_table([listing]) for listing in listings[::EVERY]]
    assert pa.concat_tables(singles).equals(answers.take(list(range(0, TITLES, EVERY))))

    asked = file.select(["title"])
    assert rerank.resolve_table(asked, resolver=resolver).equals(file)
    connection = rerank.register(duckdb.connect(), resolver=resolver)
    connection.register("asked", asked)
    found = pa.table(connection.sql("SELECT unnest(resolve_gpu(title)) FROM asked"))
    told = [name for name in names if name != "candidates"]
    assert found.select(told).to_pylist() == answers.select(told).to_pylist()

    with client_of(tmp_path / "served") as client:
        for at in range(0, TITLES, 1000):
            body = [{"title": title} for title in titles[at : at + 1000]]
            answered = client.post("/resolve", json=body, params={"top_k": 20}).json()
            assert answered == rows[at : at + 1000]
