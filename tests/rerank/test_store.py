"""The store's file: migrations, sessions, locks, and the records read and written through it."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from processes import forked, status_of

from rerank.index.errors import StoreBusyError, StoreError
from rerank.index.records import Listing
from rerank.store.database import Session, Store, Values, migrate, scratch
from rerank.store.rows import (
    Annotation,
    StoredListing,
    Verdict,
    read_annotations,
    read_listings,
    save_annotations,
    save_listings,
    save_registry,
)
from rerank.store.tables import MIGRATIONS, TABLES, Migration, described_tables, tables_markdown

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
NAMES = [migration.name for migration in MIGRATIONS]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.duckdb")


def add_listing(store: Store, listing_id: str, title: str = "RTX 4060") -> None:
    with store.writing() as session:
        save_listings(session, [StoredListing(Listing(listing_id, title))])


def listing_ids(store: Store) -> list[str]:
    with store.reading() as session:
        return [item.listing.listing_id for item in read_listings(session)]


def applied(store: Store) -> list[str]:
    with store.reading() as session:
        return [name for (name,) in session.rows("t", "SELECT name FROM migrations ORDER BY name")]


def forget(store: Store, *names: str) -> None:
    """Make a store of a release that knew all migrations but some."""
    tables = {
        "0003_preferences": ("preference_items", "preference_pairs"),
        "0004_evaluation": (
            "evaluation_runs",
            "evaluation_listings",
            "predictions",
            "evaluation_outcomes",
            "evaluation_figures",
            "evaluation_comparisons",
        ),
        "0006_open_variants": (),
    }
    with store.writing() as session:
        for name in names:
            for table in tables[name]:
                session.execute("t", f"DROP TABLE {table}")
            session.execute("t", "DELETE FROM migrations WHERE name = ?", [name])


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_migrations_sort_in_their_order_and_have_different_names():
    assert NAMES == sorted(set(NAMES))


def test_a_store_that_does_not_exist_reads_as_an_empty_one_and_is_not_made(store):
    assert listing_ids(store) == []
    assert applied(store) == NAMES
    assert not store.path.exists()


def test_a_write_makes_the_store_with_every_migration(store):
    add_listing(store, "a")
    assert applied(store) == NAMES
    assert listing_ids(store) == ["a"]


def test_what_a_failing_write_did_is_rolled_back(store):
    def write_and_stop():
        with store.writing() as session:
            save_listings(session, [StoredListing(Listing("b", "RTX 4070"))])
            raise KeyError("stop")

    add_listing(store, "a")
    with pytest.raises(KeyError, match="stop"):
        write_and_stop()
    assert listing_ids(store) == ["a"]
    add_listing(store, "c")
    assert listing_ids(store) == ["a", "c"]


def test_a_store_made_for_a_write_that_fails_is_gone_again(store):
    with pytest.raises(KeyError, match="stop"), store.writing():
        raise KeyError("stop")
    assert [path.name for path in store.path.parent.iterdir()] == ["store.duckdb.lock"]


def test_a_failing_query_in_a_write_rolls_back_and_names_step_and_sql(store):
    def write_twice():
        row = "INSERT INTO listings VALUES ('b', 't', '', '', NULL, '', '', now())"
        with store.writing() as session:
            session.execute("t", "DELETE FROM listings")
            session.execute("add twice", row)
            session.execute("add twice", row)

    add_listing(store, "a")
    with pytest.raises(StoreError, match=r"add twice: (.|\n)*\nin: INSERT INTO listings"):
        write_twice()
    assert listing_ids(store) == ["a"]


def test_reading_sessions_cannot_write(store):
    add_listing(store, "a")
    with store.reading() as session, pytest.raises(StoreError, match="read-only"):
        session.execute("t", "DELETE FROM listings")


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM '{file}'",
        "COPY listings TO '{file}.copy'",
        "ATTACH '{file}.db'",
        "EXPORT DATABASE '{file}.export'",
        "INSERT INTO listings VALUES ('x', 't', '', '', NULL, '', '', now())",
        "DROP TABLE listings",
        "CREATE TABLE mine (x INTEGER)",
        "SET enable_external_access = true",
        "LOAD httpfs",
    ],
)
def test_a_sealed_session_reads_the_store_and_nothing_else(store, tmp_path, sql, exists):
    if exists:
        add_listing(store, "a")
    secret = tmp_path / "secret.csv"
    secret.write_text("x\n1\n")
    with store.reading(sealed=True) as session, pytest.raises(StoreError, match="t: "):
        session.rows("t", sql.format(file=secret))
    assert not list(tmp_path.glob("secret.csv.*"))
    assert listing_ids(store) == (["a"] if exists else [])


def test_values_are_bound_and_never_read_as_sql(store):
    hostile = "'; DROP TABLE listings; --"
    add_listing(store, hostile, title=hostile)
    with store.reading() as session:
        (found,) = read_listings(session, [hostile])
        assert session.rows("t", "SELECT ?, $1", [hostile]) == [(hostile, hostile)]
        table = session.table("t", "SELECT $text AS x", {"text": hostile})
    assert found.listing == Listing(hostile, hostile)
    assert table.column("x").to_pylist() == [hostile]


def test_batches_begin_with_an_empty_one_that_has_the_columns(store):
    with store.reading() as session:
        none = list(session.batches("t", "SELECT 1 AS x WHERE false"))
        some = list(session.batches("t", "SELECT range AS x FROM range(20000)"))
    assert [(b.num_rows, b.schema.names) for b in none] == [(0, ["x"])]
    assert some[0].num_rows == 0
    assert pa.Table.from_batches(some).column("x").to_pylist() == list(range(20000))


def test_errors_while_rows_are_read_name_the_step(store):
    with store.reading() as session, pytest.raises(StoreError, match=r"slow: .*oh"):
        list(
            session.batches(
                "slow",
                "SELECT CASE WHEN range < 90000 THEN range ELSE error('oh') END FROM range(100000)",
            )
        )


def test_a_newer_store_is_refused_and_left_as_it_is(store):
    add_listing(store, "a")
    with store.writing() as session:
        session.execute("t", "INSERT INTO migrations VALUES ('9999_later', now())")
    before = store.path.read_bytes()
    for opening in (store.reading, store.writing):
        with pytest.raises(StoreError, match=r"newer release .*9999_later.*update rerank"):
            with opening():
                pass
    assert store.path.read_bytes() == before


@pytest.mark.parametrize("reads", [True, False])
def test_an_older_store_is_migrated_and_keeps_its_rows(store, reads):
    add_listing(store, "a")
    forget(store, "0003_preferences", "0004_evaluation", "0006_open_variants")
    if reads:
        assert listing_ids(store) == ["a"]
    else:
        add_listing(store, "b")
    assert applied(store) == NAMES
    with store.reading() as session:
        assert session.rows("t", "SELECT count(*) FROM evaluation_runs") == [(0,)]
        assert session.rows("t", "SELECT count(*) FROM preference_pairs") == [(0,)]


def test_a_migration_that_fails_leaves_neither_tables_nor_record(store, monkeypatch):
    add_listing(store, "a")
    broken = Migration("9000_broken", ("CREATE TABLE half (x INTEGER)", "CREATE TABLE oh no"))
    monkeypatch.setattr("rerank.store.database.MIGRATIONS", (*MIGRATIONS, broken))
    with pytest.raises(StoreError, match="migration 9000_broken: "), store.writing():
        pass
    monkeypatch.undo()
    assert applied(store) == NAMES
    with store.reading() as session:
        assert session.rows("t", "SELECT 1 FROM duckdb_tables() WHERE table_name = 'half'") == []


def test_lots_that_were_kept_as_a_note_get_a_verdict_of_their_own(store, monkeypatch):
    earlier = tuple(each for each in MIGRATIONS if each.name < "0011_several")
    monkeypatch.setattr("rerank.store.database.MIGRATIONS", earlier)
    notes = ("several cards", "several products; as the photo shows", "ben: several cards", "a box")
    with store.writing() as session:
        for at, note in enumerate(notes):
            save_annotations(session, [Annotation(f"l{at}", "a", Verdict.NOT_GPU, note=note)])
        save_annotations(session, [Annotation("l9", "a", Verdict.UNSURE, note="several cards")])
    monkeypatch.undo()
    with store.writing():
        pass
    with store.reading() as session:
        found = [(each.verdict.value, each.note) for each in read_annotations(session)]
    several = [("several", note) for note in ("", "as the photo shows", "ben")]
    assert found == [*several, ("not_gpu", "a box"), ("unsure", "several cards")]


def test_answers_of_earlier_releases_keep_their_guess(store, monkeypatch):
    earlier = tuple(each for each in MIGRATIONS if each.name < "0006_open_variants")
    monkeypatch.setattr("rerank.store.database.MIGRATIONS", earlier)
    best = {"gpu_id": "g", "model": "Arc A770", "memory_gb": 16.0, "form_factor": "PCIe"}
    best |= {"similarity": 0.5, "score": 1.0, "probability": 0.9}
    with store.writing() as session:
        for decision in ("match", "no_match"):
            session.execute(
                "t",
                "INSERT INTO predictions BY NAME (SELECT 'r' AS run_id, 's' AS set_name, "
                "$decision AS listing_id, 'Arc A770' AS model, 16 AS memory_gb, "
                "'PCIe' AS form_factor, 0.9 AS match_probability, 0.5 AS margin, "
                "$decision AS decision, '' AS reason, [$best] AS candidates, "
                "[] AS candidate_set, 'm' AS model_version, 'i' AS index_version)",
                {"decision": decision, "best": best},
            )
            session.execute(
                "t",
                "INSERT INTO traffic_decisions BY NAME (SELECT 'e' AS experiment, "
                "0 AS window_number, $decision AS listing_id, 'champion' AS arm, "
                "'m' AS served_version, 'm' AS model_version, 'Arc A770' AS model, "
                "$decision AS decision, now()::TIMESTAMP AS logged_at)",
                {"decision": decision},
            )
    monkeypatch.undo()
    add_listing(store, "a")
    with store.reading() as session:
        rows = session.rows(
            "t",
            "SELECT decision, model, memory_gb, best_guess, memory_stated, candidates[1].score, "
            "candidates[1].variant_probability FROM predictions ORDER BY decision",
        )
        logged = session.rows(
            "t", "SELECT decision, model, best_guess FROM traffic_decisions ORDER BY decision"
        )
    assert rows == [
        ("match", "Arc A770", 16.0, "Arc A770", None, 1.0, None),
        ("no_match", None, None, "Arc A770", None, 1.0, None),
    ]
    assert logged == [("match", "Arc A770", "Arc A770"), ("no_match", None, "Arc A770")]


def migrate_until(path: Path, after: int) -> None:
    """Open a store and die when so many statements of migrations, and commits, are run."""
    run, done = Session.execute, itertools.count(1)

    def execute(self: Session, step: str, sql: str, values: Values = ()) -> None:
        run(self, step, sql, values)
        if (step.startswith("migration") or step == "commit") and next(done) == after:
            os.kill(os.getpid(), signal.SIGKILL)

    Session.execute = execute  # type: ignore[method-assign]
    with Store(path).writing():
        pass


@pytest.mark.parametrize("statements", [1, 3, 4, 9, 12])
def test_a_kill_between_migrations_leaves_each_with_its_record_or_not_at_all(store, statements):
    add_listing(store, "a")
    forget(store, "0003_preferences", "0004_evaluation", "0006_open_variants")
    assert status_of(forked(migrate_until, store.path, statements)) == -signal.SIGKILL
    assert applied(store) == NAMES  # what was missing is applied now: nothing stood there half
    assert listing_ids(store) == ["a"]
    with store.reading() as session:
        assert session.rows("t", "SELECT count(*) FROM predictions") == [(0,)]


@pytest.mark.parametrize("statements", [1, 4, 8])
def test_a_kill_while_a_store_is_made_leaves_none(store, statements):
    assert status_of(forked(migrate_until, store.path, statements)) == -signal.SIGKILL
    assert not store.path.exists()
    add_listing(store, "a")
    assert listing_ids(store) == ["a"]
    assert sorted(path.name for path in store.path.parent.iterdir()) == [
        "store.duckdb",
        "store.duckdb.lock",
    ]


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"PAR1"])
def test_a_file_that_is_no_store_is_one_clear_error(store, content):
    store.path.write_bytes(content)
    for opening in (store.reading, store.writing):
        with pytest.raises(StoreError, match="expected a store, found something DuckDB cannot"):
            with opening():
                pass
    assert store.path.read_bytes() == content


def test_a_folder_in_the_place_of_the_store_is_one_clear_error(store):
    store.path.mkdir()
    for opening in (store.reading, store.writing):
        with pytest.raises(StoreError, match="expected a store"), opening():
            pass


@pytest.fixture
def unprivileged():
    """Return a context in which permissions count, for root too, with a folder all may enter."""

    @contextmanager
    def drop():
        before = os.geteuid()
        if before == 0:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(before)

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield drop, Store(Path(folder) / "store.duckdb")


def test_a_store_that_may_not_be_read_or_written_says_so_and_is_not_called_damaged(unprivileged):
    drop, store = unprivileged
    add_listing(store, "a")
    lock = store.path.with_name("store.duckdb.lock")
    for path in (store.path, lock):
        path.chmod(0o444)
    told = r"store\.duckdb: you may not write this file \(permission denied\); nothing was written"
    with drop():
        assert listing_ids(store) == ["a"]
        with pytest.raises(StoreError, match=told):
            add_listing(store, "b")
    lock.chmod(0o666)
    with drop(), pytest.raises(StoreError, match=told):
        add_listing(store, "b")
    store.path.chmod(0)
    with (
        drop(),
        pytest.raises(StoreError, match=r"may not read this file .*check its permissions$"),
    ):
        listing_ids(store)
    store.path.chmod(0o644)
    assert listing_ids(store) == ["a"]


FILLS_A_DISK = """
    import os, sys
    from pathlib import Path
    import pyarrow as pa
    from rerank.index.errors import StoreError
    from rerank.store.database import Store

    def fill(leaving):
        disk = os.statvfs(".")
        with open("filling", "wb") as file:
            file.write(bytes(max(0, disk.f_bavail * disk.f_frsize - leaving)))

    def write(path, n):
        rows = pa.table({"listing_id": [f"{n}-{k}" for k in range(n)], "title": ["t"] * n,
            "vendor": [""] * n, "description": [""] * n, "shop": [""] * n, "language": [""] * n,
            "added_at": pa.nulls(n, pa.timestamp("us")).fill_null(0)})
        try:
            with Store(Path(path)).writing() as session:
                session.insert("t", "listings", rows)
            print("written")
        except StoreError as exc:
            print(exc)

    write("one", 1)
    for leaving in (0, 16384):
        fill(leaving)
        write("one", 40000)
        write("two", 40000)
        os.unlink("filling")
        print(os.path.exists("two"))
    with Store(Path("one")).reading() as session:
        print(session.rows("t", "SELECT listing_id FROM listings"))
    write("two", 2)
"""


def test_a_full_disk_is_one_line_and_leaves_the_store_as_it_was(tmp_path):
    script = tmp_path / "fill.py"
    script.write_text(textwrap.dedent(FILLS_A_DISK))
    (tmp_path / "disk").mkdir()
    mounted = f"mount -t tmpfs -o size=8m none {tmp_path}/disk && cd {tmp_path}/disk && exec"
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*alone, f"{mounted} true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount a small disk of his own")
    done = subprocess.run(
        [*alone, f"{mounted} {sys.executable} {script}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    full = "the disk is full; nothing was written; free some space"
    first, *tries, rows, last = done.stdout.splitlines()
    assert (first, rows, last) == ("written", "[('1-0',)]", "written")
    assert tries == [f"one: {full}", f"two: {full}", "False"] * 2


INTERRUPTED = """
    import sys
    from pathlib import Path
    from rerank.store.database import Store
    with Store(Path(sys.argv[1])).writing() as session:
        session.execute("t", "DELETE FROM listings")
        print("in", flush=True)
        session.rows("t", "SELECT sum(range) FROM range(1_000_000_000_000)")
"""


def test_ctrl_c_while_a_query_runs_is_a_keyboard_interrupt(store):
    add_listing(store, "a")
    process = python(INTERRUPTED, store.path)
    assert process.stdout
    assert process.stdout.readline() == "in\n"
    time.sleep(1.0)  # the query, of half an hour in which DuckDB looks for no signal, runs by now
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=300)
    assert told.splitlines()[-1] == "KeyboardInterrupt"
    assert listing_ids(store) == ["a"]


HOLDS_THE_STORE = """
    import sys, time
    from pathlib import Path
    from rerank.store.database import Store
    with Store(Path(sys.argv[1])).writing() as session:
        session.execute(
            "t", "INSERT INTO listings VALUES ('held', 't', '', '', NULL, '', '', now())"
        )
        print("in", flush=True)
        sys.stdin.readline() if sys.argv[2] == "asks" else time.sleep(float(sys.argv[2]))
"""


def test_a_second_writer_is_told_who_writes_and_may_wait(store):
    add_listing(store, "a")
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDS_THE_STORE), str(store.path), "asks"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin
    assert holder.stdout
    assert holder.stdout.readline() == "in\n"
    with pytest.raises(StoreBusyError, match=rf"process {holder.pid}\) is writing .*--wait"):
        with store.writing():
            pass
    waiting = python(
        "import sys; from pathlib import Path; from rerank.store.database import Store\n"
        "with Store(Path(sys.argv[1]), wait_s=60).writing() as s:\n"
        "    print(s.rows('t', 'SELECT listing_id FROM listings ORDER BY 1'))",
        store.path,
    )
    holder.communicate("\n")
    assert waiting.communicate(timeout=300) == ("[('a',), ('held',)]\n", "")


def test_a_reader_waits_for_a_write_to_end(store):
    add_listing(store, "a")
    holder = python(HOLDS_THE_STORE, store.path, 0.5)
    assert holder.stdout
    assert holder.stdout.readline() == "in\n"
    assert listing_ids(store) == ["a", "held"]
    assert holder.wait(60) == 0
    holder.communicate()


def test_a_killed_writer_leaves_no_lock_and_nothing_of_its_write(store):
    add_listing(store, "a")
    holder = python(HOLDS_THE_STORE, store.path, 600)
    assert holder.stdout
    assert holder.stdout.readline() == "in\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    add_listing(store, "b")
    assert listing_ids(store) == ["a", "b"]


def test_readers_work_side_by_side(store):
    add_listing(store, "a")
    with store.reading(), store.reading() as session:
        assert session.rows("t", "SELECT listing_id FROM listings") == [("a",)]


def test_answers_are_replaced_by_later_ones_of_the_same_annotator(store):
    at = datetime(2026, 2, 3, 4, 5, 6, 789)
    first = Annotation(
        "a", "ann", Verdict.MATCH, "gpu-1", "RTX 1", ("gpu-1", "gpu-2"), "m", "n", at
    )
    other = Annotation("a", "bob", Verdict.NOT_GPU, annotated_at=at)
    later = Annotation("a", "ann", Verdict.UNSURE, annotated_at=at)
    with store.writing() as session:
        save_annotations(session, [first, other])
    with store.reading() as session:
        assert read_annotations(session) == [first, other]
        assert read_annotations(session, annotator="bob") == [other]
    with store.writing() as session:
        save_annotations(session, [later])
    with store.reading() as session:
        assert read_annotations(session) == [later, other]


@pytest.mark.parametrize(
    ("verdict", "gpu_id", "model"),
    [(Verdict.MATCH, None, None), (Verdict.MATCH, "g", None), (Verdict.NOT_GPU, None, "m")],
)
def test_answers_that_contradict_themselves_are_refused(store, verdict, gpu_id, model):
    with pytest.raises(StoreError, match=r"save annotations: .*CHECK constraint"):
        with store.writing() as session:
            save_annotations(session, [Annotation("a", "ann", verdict, gpu_id, model)])


def test_listings_come_back_as_they_were(store):
    first = StoredListing(Listing("b/../c", "\x00 \u2028 ' \"", "v", "d\n", 0.1 + 0.2), "s", "en")
    second = StoredListing(Listing("a", "t", price=None))
    with store.writing() as session:
        save_listings(session, [first, second])
        save_listings(session, [first])
    with store.reading() as session:
        assert read_listings(session) == [second, first]
        assert read_listings(session, ["b/../c", "nowhere"]) == [first]
        assert read_listings(session, []) == []


def _as_lists(record):
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(record).items()}


def test_a_registry_comes_back_as_it_was_and_is_saved_once(store, tiny_registry):
    flagged = [
        replace(tiny_registry[0], rare=True),
        replace(tiny_registry[1], sold_apart=False),
        replace(tiny_registry[2], held=True),
        *tiny_registry[3:],
    ]
    with store.writing() as session:
        assert save_registry(session, flagged, "v1") is True
        assert save_registry(session, flagged, "v1") is False
        assert save_registry(session, tiny_registry[:3], "v2") is True
    with store.reading() as session:
        kept = "SELECT * EXCLUDE registry_version FROM registry_gpus WHERE registry_version = 'v1'"
        rows = session.table("t", f"{kept} ORDER BY gpu_id").to_pylist()
        assert rows == [_as_lists(each) for each in sorted(flagged, key=lambda r: r.gpu_id)]
        counts = session.rows("t", "SELECT registry_version, gpus FROM registry_snapshots")
        assert sorted(counts) == [("v1", len(tiny_registry)), ("v2", 3)]


def test_every_table_and_column_is_documented_in_the_order_of_the_schema():
    with scratch() as session:
        migrate(session, Path("memory"))
        schema: dict[str, list[str]] = {}
        for table, column in session.rows(
            "t",
            "SELECT table_name, column_name FROM duckdb_columns() "
            "WHERE NOT internal ORDER BY table_name, column_index",
        ):
            schema.setdefault(table, []).append(column)
    assert {table.name: list(table.columns) for table in TABLES} == schema


def test_no_meaning_is_empty_or_breaks_a_markdown_table():
    for table in TABLES:
        for text in (table.row, *table.columns.values()):
            assert text.strip(), table.name
            assert "|" not in text
            assert "\n" not in text


def test_descriptions_carry_the_types_of_the_schema():
    with scratch() as session:
        migrate(session, Path("memory"))
        described = {table["table"]: table for table in described_tables(session)}
    (price,) = [c for c in described["listings"]["columns"] if c["column"] == "price"]
    assert price == {
        "column": "price",
        "type": "DOUBLE",
        "meaning": "in the shop's currency; null if unknown",
    }
    text = tables_markdown([described["listings"]])
    assert text.startswith("### `listings`\n\nOne row: what a seller wrote.\n\n| column | type |")
    assert "| `price` | DOUBLE | in the shop's currency; null if unknown |\n" in text
