"""`rerank score` with the user's own names of columns, and over other file systems."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import tempfile
from threading import Event

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from echo_answerer import EchoAnswerer
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import fs

from rerank.index.errors import FaultsError, InputError
from rerank.jobs.files.listings import ColumnNames, open_listings, read_column_names
from rerank.jobs.files.places import Place, place_of
from rerank.jobs.files.selection import Selection, select_files, select_matching
from rerank.jobs.options import Stages, StatusLine, progress_bar
from rerank.jobs.scoring.plan import Existing, plan_score, read_record
from rerank.jobs.scoring.run import Progress, ProgressLine, progress_text, run_plan

ROW = {"sku": 7, "name": "rtx 3080 10gb", "title": "shop window", "maker": "EVGA", "cost": "12.5"}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_own_columns_are_read_and_come_out_under_their_names(run, write_listings, tmp_path, suffix):
    source, target = write_listings(f"in.{suffix}", [ROW]), tmp_path / "out.parquet"
    (tmp_path / "columns.yaml").write_text("listing_id: sku\ntitle: maker\nvendor: maker\n")
    result = run(
        "score",
        source,
        target,
        "--columns",
        tmp_path / "columns.yaml",
        "--title-column",
        "name",
        "--price-column",
        "cost",
    )
    assert result.exit_code == 0, result.output
    (row,) = pq.read_table(target).to_pylist()
    assert list(row)[:5] == list(ROW)
    assert (row["title"], row["name"], row["model"]) == (
        "shop window",
        "rtx 3080 10gb",
        "GeForce RTX 3080",
    )


def test_own_columns_fill_the_listing(write_listings):
    names = ColumnNames("sku", "name", "maker", "title", "cost")
    (batch,) = open_listings(write_listings("in.csv", [ROW]), names).batches()
    (listing,) = batch.listings()
    assert (listing.listing_id, listing.title, listing.vendor) == ("7", "rtx 3080 10gb", "EVGA")
    assert (listing.description, listing.price) == ("shop window", 12.5)


def test_a_named_column_that_is_missing_is_an_error_even_if_optional(write_listings):
    with pytest.raises(InputError, match=r"missing brand, found sku, name, title"):
        open_listings(write_listings("in.csv", [ROW]), ColumnNames("sku", "name", "brand"))


def test_all_faults_of_a_mapping_are_reported_at_once(tmp_path):
    (tmp_path / "c.yaml").write_text("titel: name\nvendor: 3\n")
    with pytest.raises(
        FaultsError, match=r"2 faults\n.*vendor: .*found 3\n.*titel: unknown.*'title'"
    ):
        read_column_names(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "expected lines such as `title: product_name`, found nothing; columns to name: listi"),
        ("{}", "expected lines .* found no lines; columns"),
        ("- a\n", "expected keys and values, found list"),
        ("just words", "expected keys and values, found str"),
        ("a: [", "expected YAML, found something else"),
    ],
)
def test_what_is_no_mapping_is_an_error(tmp_path, text, fault):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"c\.yaml: {fault}"):
        read_column_names(tmp_path / "c.yaml")


def test_a_column_that_is_named_twice_in_the_file_is_an_error(tmp_path):
    (tmp_path / "c.yaml").write_text("title: name\nvendor: maker\ntitle: sku\n")
    with pytest.raises(InputError, match=r"the key 'title' stands twice.* line 3"):
        read_column_names(tmp_path / "c.yaml")


def test_one_column_for_two_things_is_an_error(run, write_listings, tmp_path):
    result = run(
        "score",
        write_listings("in.csv", [ROW]),
        tmp_path / "out.parquet",
        "--id-column",
        "sku",
        "--title-column",
        "name",
        "--vendor-column",
        "name",
    )
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: column 'name': expected a column of its own for each of title and vendor, found it "
        "named for both; name another\n"
    )


def test_a_title_that_is_the_id_may_be_named(run, write_listings, tmp_path):
    source = write_listings("in.csv", [{"listing_id": "rtx 3080 10gb"}])
    result = run("score", source, tmp_path / "out.parquet", "--title-column", "listing_id")
    assert result.exit_code == 0, result.output
    assert pq.read_table(tmp_path / "out.parquet").column("model")[0].as_py() == "GeForce RTX 3080"


# --- file systems ---


@pytest.fixture
def bucket():
    """A file system that is none of this machine, and forgets everything."""
    memory = MemoryFileSystem()
    memory.store.clear()
    yield fs.PyFileSystem(fs.FSSpecHandler(memory))
    memory.store.clear()


def put(bucket, path, text):
    with bucket.open_output_stream(path) as stream:
        stream.write(text.encode())


def test_a_folder_of_another_file_system_is_mirrored(bucket, tmp_path):
    put(bucket, "b/in/x.csv", "listing_id,title\n1,rtx\n2,\n")
    put(bucket, "b/in/day=1/y.jsonl", '{"listing_id": "1", "title": "gtx"}\n')
    source, target = (
        Place(bucket, "b/in", "memory://b/in"),
        Place(bucket, "b/out", "memory://b/out"),
    )
    plan = plan_score(select_files(source), target)
    said = []
    summary = run_plan(plan, EchoAnswerer(), say=said.append)
    assert said == []
    assert (summary.rows, summary.rejects, summary.files["scored"]) == (3, 1, 2)
    found = bucket.get_file_info(fs.FileSelector("b/out", recursive=True))
    assert sorted(info.path.strip("/") for info in found if info.is_file) == [
        "b/out/_rejects/x.parquet",
        "b/out/day=1/y.parquet",
        "b/out/x.parquet",
    ]
    with bucket.open_input_file("b/out/x.parquet") as stream:
        assert pq.read_table(stream).column("model").to_pylist() == ["rtx", None]
    again = run_plan(
        plan_score(select_files(source), target, existing=Existing.RESUME), EchoAnswerer()
    )
    assert again.files == {"scored": 0, "kept": 2, "failed": 0}


class CountingHandler(fs.FSSpecHandler):
    """Notes which files were opened to read their content."""

    def __init__(self, filesystem):
        super().__init__(filesystem)
        self.opened = []

    def open_input_stream(self, path):
        self.opened.append(path)
        return super().open_input_stream(path)

    def open_input_file(self, path):
        self.opened.append(path)
        return super().open_input_file(path)


@pytest.fixture
def counted(bucket, tmp_path, monkeypatch):
    """A file system that counts, and a folder for temporary files that is empty in the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    handler = CountingHandler(MemoryFileSystem())
    yield fs.PyFileSystem(handler), handler.opened
    assert list(folder.iterdir()) == []


MANY = [{"listing_id": str(n), "title": f"rtx {n} 10gb", "price": f"{n}.5"} for n in range(5000)]
TEXTS = {
    "x.csv": "listing_id,title,price\n" + "".join(",".join(row.values()) + "\n" for row in MANY),
    "x.jsonl": "".join(json.dumps(row) + "\n" for row in MANY),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_of_another_file_system_is_read_once_a_run(counted, tmp_path, name):
    filesystem, opened = counted
    put(filesystem, f"b/{name}", TEXTS[name])
    (tmp_path / name).write_bytes(TEXTS[name].encode())
    source = Selection(Place(filesystem, f"b/{name}", f"memory://b/{name}"))
    target, local = place_of(tmp_path / "out.parquet"), place_of(tmp_path / "local.parquet")
    run_plan(plan_score(source, target), EchoAnswerer())
    assert opened.count(f"b/{name}") == 1
    run_plan(plan_score(select_files(str(tmp_path / name)), local), EchoAnswerer())
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()
    expected = {
        "bytes": len(TEXTS[name].encode()),
        "sha256": hashlib.sha256(TEXTS[name].encode()).hexdigest(),
    }
    assert read_record(target)["input"] == read_record(local)["input"] == expected


def test_a_run_that_goes_on_reads_what_is_kept_and_what_is_scored_again_once(counted, tmp_path):
    filesystem, opened = counted
    source = Selection(Place(filesystem, "b/x.csv", "memory://b/x.csv"))
    put(filesystem, "b/x.csv", TEXTS["x.csv"])
    target = place_of(tmp_path / "out.parquet")
    run_plan(plan_score(source, target), EchoAnswerer())
    for text, outcome in ((TEXTS["x.csv"], "kept"), (TEXTS["x.csv"] + "7,gtx,1\n", "scored")):
        put(filesystem, "b/x.csv", text)
        opened.clear()
        again = run_plan(plan_score(source, target, existing=Existing.RESUME), EchoAnswerer())
        assert again.files[outcome] == 1
        assert opened == ["b/x.csv"]


def test_a_file_that_fails_leaves_no_copy_of_it(counted, tmp_path):
    filesystem, opened = counted
    put(filesystem, "b/x.csv", "listing_id,name\n1,rtx\n")
    source = Selection(Place(filesystem, "b/x.csv", "memory://b/x.csv"))
    with pytest.raises(InputError, match="missing title"):
        run_plan(plan_score(source, place_of(tmp_path / "out.parquet")), EchoAnswerer())
    assert opened == ["b/x.csv"]


def test_parquet_of_another_file_system_is_read_once_and_from_its_copy(counted, tmp_path):
    filesystem, opened = counted
    with filesystem.open_output_stream("b/x.parquet") as stream:
        pq.write_table(pa.Table.from_pylist(MANY), stream)
    source = Selection(Place(filesystem, "b/x.parquet", "memory://b/x.parquet"))
    summary = run_plan(plan_score(source, place_of(tmp_path / "out.parquet")), EchoAnswerer())
    assert summary.rows == len(MANY)
    assert opened == ["b/x.parquet"]


def test_both_file_systems_give_the_same_bytes(bucket, tmp_path):
    (tmp_path / "x.csv").write_text("listing_id,title\n1,rtx\n")
    put(bucket, "b/x.csv", "listing_id,title\n1,rtx\n")
    local = place_of(tmp_path / "out.parquet")
    remote = Place(bucket, "b/out.parquet", "memory://b/out.parquet")
    for selection, target in (
        (select_files(str(tmp_path / "x.csv")), remote),
        (Selection(Place(bucket, "b/x.csv", "memory://b/x.csv")), local),
    ):
        run_plan(plan_score(selection, target), EchoAnswerer())
    with bucket.open_input_file("b/out.parquet") as stream:
        assert stream.read() == (tmp_path / "out.parquet").read_bytes()


def test_globs_match_in_another_file_system(bucket):
    for name in ("a.csv", "b.csv", "c.txt", "deep/d.csv"):
        put(bucket, f"b/in/{name}", "x")
    root = Place(bucket, "b/in", "memory://b/in")
    assert select_matching(root, "*.csv").files == ("a.csv", "b.csv")
    assert select_matching(root, "**/*.csv").files == ("a.csv", "b.csv", "deep/d.csv")


class FullDisk(fs.FSSpecHandler):
    """A file system with no room for one file."""

    def open_output_stream(self, path, metadata):
        if "x.parquet" in path:
            raise OSError(28, "No space left on device", path)
        return super().open_output_stream(path, metadata)


def test_a_file_system_without_room_is_reported_by_file(bucket, tmp_path):
    (tmp_path / "in").mkdir()
    for name in "xy":
        (tmp_path / f"in/{name}.csv").write_text("listing_id,title\n1,rtx\n")
    full = fs.PyFileSystem(FullDisk(MemoryFileSystem()))
    plan = plan_score(select_files(str(tmp_path / "in")), Place(full, "b/out", "memory://b/out"))
    summary = run_plan(plan, EchoAnswerer())
    assert summary.files == {"scored": 1, "kept": 0, "failed": 1}
    (text,) = summary.failures.values()
    assert text.endswith("x.parquet: the disk is full; free some space and run it again")


def test_a_uri_of_this_machine_is_a_path_of_it(tmp_path):
    place = place_of(f"file://{tmp_path}/x.csv")
    assert (place.local, place.suffix) == (tmp_path / "x.csv", ".csv")


@pytest.mark.parametrize("text", ["nosuch://bucket/x", "s3://"])
def test_a_uri_of_no_file_system_is_an_error(text):
    with pytest.raises(InputError, match="expected a path or a URI such as s3://bucket/listings"):
        place_of(text)


# --- progress ---


def test_progress_says_rows_rate_and_time_left():
    text = progress_text(Progress(0.25, 1_000_000, 1, 4), 100.0)
    assert text == "scoring  25%, 1/4 files, 1,000,000 rows, 10,000 rows/s, 5:00 left"


@pytest.mark.parametrize(
    ("is_terminal", "expected"),
    [
        (False, "scoring  50%, 7 rows, 1 rows/s, 0:10 left\n"),
        (
            True,
            "\rscoring  10%, 1 rows, 1 rows/s, 0:09 left"
            "\rscoring  50%, 7 rows, 1 rows/s, 0:10 left",
        ),
    ],
    ids=["log", "terminal"],
)
def test_a_log_gets_a_line_every_ten_seconds_and_a_terminal_one_that_is_rewritten(
    is_terminal, expected
):
    stream, now = io.StringIO(), [0.0]
    stream.isatty = lambda: is_terminal
    line = ProgressLine(stream, lambda: now[0])
    for at, progress in ((1.0, Progress(0.1, 1, 0, 1)), (10.0, Progress(0.5, 7, 0, 1))):
        now[0] = at
        line.show(progress)
    assert stream.getvalue() == expected
    line.say("a warning")
    assert stream.getvalue().endswith("\ra warning\n" if is_terminal else "left\na warning\n")


def test_a_stage_says_its_share_and_the_time_left_and_one_without_shares_how_long_it_has_taken():
    shown, now = {}, [0.0]
    for is_terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda is_terminal=is_terminal: is_terminal
        now[0] = 0.0
        stages = Stages(StatusLine(stream, lambda: now[0]), told=True)
        for at, stage, share in ((0, "loading", 0.0), (11, "loading", 0.0), (11, "ranking", 0.0)):
            now[0] = float(at)
            stages.show(stage, share)
            stages.tell()
        now[0] = 31.0
        stages.show("ranking", 0.25)
        stages.tell()
        stages.close()
        shown[is_terminal] = [line.rstrip() for line in re.split("[\r\n]", stream.getvalue())]
    loading, ranking = f"{'loading':36}", f"{'ranking':36}"
    assert shown[True] == [
        *("", f"{loading} 0:11", "", f"{loading} 0:11"),
        *("", f"{ranking}  25%, 1:00 left", "", f"{ranking} 0:20", ""),
    ]
    assert shown[False] == [
        *("loading ...", f"{loading} 0:11", "ranking ...", f"{ranking}  25%, 1:00 left", ""),
    ]


def test_one_line_goes_over_all_stages_whose_parts_are_known():
    stream, now = io.StringIO(), [0.0]
    stream.isatty = lambda: True
    parts = {"reading": 1, "training": 3}
    stages = Stages(StatusLine(stream, lambda: now[0]), told=True, parts=parts)
    for at, stage, share in (
        (10, "reading", 0.5),
        (20, "odd", 0.7),  # of no stage that was announced
        (30, "training", 0.5),
        (40, "reading", 0.5),  # again: the share does not fall
    ):
        now[0] = float(at)
        stages.show(stage, share)
        stages.tell()
    stages.close()
    assert [line.rstrip() for line in re.split("[\r\n]", stream.getvalue())] == [
        "",
        f"{'reading':36}  12%, 1:10 left",
        f"{'odd':36}  12%, 2:20 left",
        f"{'training':36}  62%, 0:18 left",
        f"{'reading':36}  62%, 0:24 left",
        "",
        f"{'reading':36} 0:40",
        "",
    ]


def test_a_stage_that_tells_nothing_is_shown_all_the_same(monkeypatch):
    stream, told = io.StringIO(), Event()
    stream.isatty = lambda: True
    stream.flush = told.set
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("building the index"):
        assert told.wait(30)
    assert "building the index" in stream.getvalue()
