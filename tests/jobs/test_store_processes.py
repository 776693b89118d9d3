"""Several processes at one store: readers, second writers, and writers that are killed."""

from __future__ import annotations

import os
import random
import subprocess
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import command, forked, started, status_of

from rerank.index.records import Listing
from rerank.store.database import Store
from rerank.store.rows import (
    Annotation,
    StoredListing,
    Verdict,
    read_annotations,
    save_annotations,
    save_listings,
)

ROWS = 60_000  # enough for an import to write for some tenths of a second
KILLS = 15
PATIENCE_S = 300


@pytest.fixture
def store(home):
    """A store with one listing and one answer, confirmed long ago."""
    store = Store(home / "store.duckdb", wait_s=PATIENCE_S)
    with store.writing() as session:
        save_listings(session, [StoredListing(Listing("first", "RTX 4060"))])
        save_annotations(session, [Annotation("first", "ann", Verdict.UNSURE)])
    return store


@pytest.fixture
def big_file(tmp_path):
    """Answers that bring their listings along."""
    ids = [f"listing-{number}" for number in range(ROWS)]
    path = tmp_path / "big.parquet"
    table = {
        "listing_id": ids,
        "title": ids,
        "annotator": ["bulk"] * ROWS,
        "verdict": ["match", "not_gpu", "unsure"] * (ROWS // 3),
        "gpu_id": ["RTX 4060 Ti 16GB", None, None] * (ROWS // 3),
    }
    pq.write_table(pa.table(table), path)
    return path


def rerank(home, *arguments):
    return started(home, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def counts(store):
    with store.reading() as session:
        ((listings, answers, bulk),) = session.rows(
            "t",
            "SELECT (SELECT count(*) FROM listings), count(*), "
            "count(*) FILTER (annotator = 'bulk') FROM annotations",
        )
    return listings, answers, bulk


def only_what_is_next(said):
    """Whether a command had nothing to complain of."""
    return said.startswith("workspace") and "next: " in said and "Error" not in said


def wait_for_writer(home):
    """Return when an import holds the writers' lock."""
    lock = home / "store.duckdb.lock"
    before = lock.read_text()
    deadline = time.monotonic() + PATIENCE_S
    while lock.read_text() in ("", before):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_readers_work_while_a_large_import_runs(store, home, big_file):
    importing = rerank(home, "store", "import", "annotations", big_file)
    seen = set()
    while importing.poll() is None:
        seen.add(counts(store))
    out, err = importing.communicate()
    assert out == f"added {ROWS:,}, unchanged 0, conflicts 0\nlistings added {ROWS:,}\n"
    assert only_what_is_next(err)
    seen.add(counts(store))
    assert seen == {(1, 1, 0), (ROWS + 1, ROWS + 1, ROWS)}


def test_a_second_import_is_told_who_writes_and_succeeds_if_it_waits(
    store, home, big_file, write_listings
):
    small = write_listings("small.csv", [{"listing_id": "small", "title": "RTX 4070"}])
    importing = rerank(home, "store", "import", "annotations", big_file)
    wait_for_writer(home)
    waiting = rerank(home, "store", "import", "listings", small, "--wait", PATIENCE_S)
    held = Store(store.path)
    with store.writing():  # after the import or after the one that waits for it
        late = rerank(home, "store", "import", "listings", small)
        out, err = late.communicate(timeout=PATIENCE_S)
    assert (out, late.returncode) == ("", 1)
    assert f"(process {os.getpid()}) is writing to it; try again, or wait for it with --wait" in err
    assert only_what_is_next(waiting.communicate(timeout=PATIENCE_S)[1])
    assert waiting.returncode == 0
    assert only_what_is_next(importing.communicate(timeout=PATIENCE_S)[1])
    assert counts(held) == (ROWS + 2, ROWS + 1, ROWS)


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_all_or_nothing_of_an_import(store, home, big_file):
    seed = 20260607
    dice = random.Random(seed)
    importing = forked(command, home, "store", "import", "annotations", big_file)
    wait_for_writer(home)
    began = time.monotonic()
    assert status_of(importing) == 0
    writes_s = time.monotonic() - began  # so that kills fall before, into and after its commit
    for number in range(KILLS):
        with store.writing() as session:  # confirmed before each kill, so it has to stay
            session.execute("t", "DELETE FROM annotations WHERE annotator = 'bulk'")
            session.execute("t", "DELETE FROM listings WHERE listing_id <> 'first'")
            save_annotations(session, [Annotation("first", f"ann-{number}", Verdict.NOT_GPU)])
        importing = forked(command, home, "store", "import", "annotations", big_file)
        if number % 3:  # two of three while it writes, one anywhere
            wait_for_writer(home)
        time.sleep(dice.uniform(0.0, 1.1 * writes_s))
        importing.kill()
        status_of(importing)
        listings, answers, bulk = counts(store)
        assert bulk in (0, ROWS), f"kill {number} of seed {seed}"
        assert listings == 1 + bulk
        assert answers == 1 + (number + 1) + bulk
    with store.reading() as session:
        who = {answer.annotator for answer in read_annotations(session)}
    assert who - {"bulk"} == {"ann", *(f"ann-{number}" for number in range(KILLS))}


def test_a_first_import_that_is_killed_leaves_no_store_or_a_whole_one(home, big_file):
    store = Store(home / "store.duckdb")
    home.mkdir()
    (home / "store.duckdb.lock").touch()
    for delay_s in (0.0, 0.02, 0.1):
        importing = forked(command, home, "store", "import", "annotations", big_file)
        wait_for_writer(home)
        time.sleep(delay_s)
        importing.kill()
        status_of(importing)
        assert counts(store) in ((0, 0, 0), (ROWS, ROWS, ROWS))
    finishing = forked(command, home, "store", "import", "annotations", big_file)
    assert status_of(finishing) == 0
    assert counts(store) == (ROWS, ROWS, ROWS)
