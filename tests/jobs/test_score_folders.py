"""`rerank score` over folders and globs: mirrored, one bad file set aside, rejects listed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from echo_answerer import EchoAnswerer, score_all

from rerank.answer_columns import OUTPUT_SCHEMA
from rerank.index.errors import FaultsError, InputError
from rerank.jobs.files.places import place_of
from rerank.jobs.files.selection import select_files
from rerank.jobs.scoring.answering import ScoreOptions
from rerank.jobs.scoring.plan import Existing, plan_score
from rerank.jobs.scoring.run import run_plan


def write(path, titles, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"listing_id": [f"{path.stem}{n}" for n in range(len(titles))], "title": titles}
    pq.write_table(pa.table({**columns, **more}), path)
    return path


@pytest.fixture
def feeds(tmp_path):
    write(tmp_path / "feeds/a.parquet", ["RTX 3080 10GB", ""])
    write(tmp_path / "feeds/b.parquet", ["Tesla P40 24GB"])
    write(tmp_path / "feeds/day=2/c.parquet", ["RX 6700 XT 12G", "bridge only", "GTX 1060 6GB"])
    return tmp_path / "feeds"


def names_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.smoke
def test_a_folder_is_mirrored_and_readable_as_one_table(run, feeds, tmp_path):
    out, summary = tmp_path / "out", tmp_path / "summary.json"
    result = run("score", feeds, out, "--summary", summary)
    assert result.exit_code == 0, result.output
    assert names_in(out) == [
        "_rejects/a.parquet",
        "a.parquet",
        "b.parquet",
        "day=2/c.parquet",
    ]
    table = pq.read_table(out)
    assert table.column("listing_id").to_pylist() == ["a0", "a1", "b0", "c0", "c1", "c2"]
    assert table.column("model").to_pylist()[2] == "Tesla P40"
    content = json.loads(summary.read_text())
    assert (content["rows"], content["rejects"]) == (6, 1)
    assert content["files"] == {"scored": 3, "kept": 0, "failed": 0}
    assert sum(content["decisions"].values()) == 6
    assert f"model {content['model_version']}, index {content['index_version']}" in result.stderr


def test_one_file_alone_gets_the_answers_it_gets_in_a_folder(run, feeds, tmp_path):
    run("score", feeds, tmp_path / "out")
    run("score", feeds / "day=2/c.parquet", tmp_path / "alone.parquet")
    expected = (tmp_path / "out/day=2/c.parquet").read_bytes()
    assert (tmp_path / "alone.parquet").read_bytes() == expected


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.parquet", ["a.parquet", "b.parquet"]),
        ("[!a].parquet", ["b.parquet"]),
        ("?.parquet", ["a.parquet", "b.parquet"]),
        ("**/*.parquet", ["a.parquet", "b.parquet", "day=2/c.parquet"]),
        ("day=*/*.parquet", ["day=2/c.parquet"]),
    ],
)
def test_a_glob_selects_files_relative_to_its_fixed_part(feeds, pattern, found):
    assert list(select_files(f"{feeds}/{pattern}").files) == found


def test_a_glob_that_matches_nothing_is_an_error_as_a_folder_without_listings_is(
    run, feeds, tmp_path
):
    result = run("score", f"{feeds}/*.csv", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {feeds}/*.csv: expected files of listings, found none that match; correct the "
        "glob, or put files there\n"
    )
    assert not (tmp_path / "out").exists()


def test_hidden_files_and_earlier_rejects_are_passed_over_and_others_named(feeds, tmp_path):
    for name in (".a.parquet.0.scoring", "_SUCCESS", "x.rejects.parquet", "notes.txt"):
        (feeds / name).write_text("x")
    selection = select_files(str(feeds))
    assert selection.files == ("a.parquet", "b.parquet", "day=2/c.parquet")
    assert selection.left_out == ("notes.txt",)


def test_a_folder_without_listings_is_an_error(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("score", tmp_path / "empty", tmp_path / "out")
    assert result.exit_code == 1
    assert "expected files ending in .parquet, .csv, " in result.stderr


def test_bad_files_are_set_aside_and_the_others_finished(run, feeds, tmp_path):
    whole = (feeds / "b.parquet").read_bytes()
    (feeds / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (feeds / "none.parquet").write_bytes(b"")
    (feeds / "latin.csv").write_bytes(b"listing_id,title\n1,f\xff\n")
    write(feeds / "wider.parquet", ["RTX 3080"], colour=["red"])
    write(feeds / "zz.parquet", ["RTX 3090"])
    out, summary = tmp_path / "out", tmp_path / "s.json"
    result = run("score", feeds, out, "--summary", summary, "--strict")
    assert result.exit_code == 1
    listed = json.loads(summary.read_text())["failures"]
    failures = {Path(failure["file"]).name: failure["error"] for failure in listed}
    assert set(failures) == {"cut.parquet", "none.parquet", "latin.csv", "wider.parquet"}
    assert "not readable as parquet" in failures["cut.parquet"]
    assert "colour string (there missing)" in failures["wider.parquet"]
    assert sum(line.startswith("Set aside: ") for line in result.stderr.splitlines()) == 4
    assert names_in(out) == [
        "_rejects/a.parquet",
        "a.parquet",
        "b.parquet",
        "day=2/c.parquet",
        "zz.parquet",
    ]


def test_types_that_change_between_files_are_a_changed_schema(feeds, tmp_path):
    write(feeds / "b.parquet", ["x"], price=pa.array([1.0]))
    strict = EchoAnswerer(ScoreOptions(strict=True))
    summary = score_all(str(feeds), place_of(tmp_path / "out"), answerer=strict)
    (text,) = summary.failures.values()
    assert "price double (there missing)" in text
    assert summary.files == {"scored": 2, "kept": 0, "failed": 1}


def test_a_file_that_is_gone_when_its_turn_comes_is_set_aside(feeds, tmp_path):
    plan = plan_score(select_files(str(feeds)), place_of(tmp_path / "out"))
    (feeds / "b.parquet").unlink()
    said = []
    summary = run_plan(plan, EchoAnswerer(), say=said.append)
    assert summary.files == {"scored": 2, "kept": 0, "failed": 1}
    assert said[0].startswith("Set aside: ")
    assert f"{feeds}/b.parquet" in said[0]


_FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
from echo_answerer import score_all
from rerank.jobs.files.places import place_of
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
summary = score_all({source!r}, place_of({target!r}), say=print)
print(dict(summary.files))
"""


def test_a_file_the_disk_has_no_room_for_is_set_aside(feeds, tmp_path):
    titles = [os.urandom(40).hex() for _ in range(30_000)]
    write(feeds / "b.parquet", titles)
    code = _FULL_DISK.format(
        tests=str(Path(__file__).parent),
        limit=200_000,
        source=str(feeds),
        target=str(tmp_path / "out"),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "{'scored': 2, 'kept': 0, 'failed': 1}" in done.stdout
    assert f"Set aside: {feeds}/b.parquet" in done.stdout
    assert "too large" in done.stdout
    assert names_in(tmp_path / "out") == ["_rejects/a.parquet", "a.parquet", "day=2/c.parquet"]


def test_rejects_say_which_row_why_and_what_stood_there(run, tmp_path):
    source, target = tmp_path / "in.csv", tmp_path / "out.parquet"
    source.write_text("listing_id,title,shop\n1,rtx 3080 10gb,x\n2,gtx\n3,,y\n4,a,b,ü\n")
    result = run("score", source, target)
    assert result.exit_code == 0
    assert "3 rejects" in result.stderr
    rejects = pq.read_table(tmp_path / "out.rejects.parquet").to_pylist()
    assert [(row["row"], row["listing_id"], row["reason"]) for row in rejects] == [
        (2, "2", "bad row: 2 fields, expected 3"),
        (3, "3", "no title"),
        (4, "4", "bad row: 4 fields, expected 3"),
    ]
    assert [json.loads(row["content"]) for row in rejects] == [
        ["2", "gtx"],
        {"listing_id": "3", "title": "", "shop": "y"},
        ["4", "a", "b", "ü"],
    ]
    rows = pq.read_table(target).to_pylist()
    assert [row["decision"] for row in rows] == ["match", "no_match", "no_match", "no_match"]


def test_rejects_of_an_earlier_run_disappear_with_their_cause(run, tmp_path):
    source, target = tmp_path / "in.csv", tmp_path / "out.parquet"
    source.write_text("listing_id,title\n1,\n")
    run("score", source, target)
    assert (tmp_path / "out.rejects.parquet").exists()
    source.write_text("listing_id,title\n1,rtx 3080\n")
    run("score", source, target, "--overwrite")
    assert names_in(tmp_path) == ["in.csv", "out.parquet"]


def test_only_decisions_leave_the_candidates_out(run, feeds, tmp_path):
    run("score", feeds / "a.parquet", tmp_path / "few.parquet", "--only-decisions")
    run("score", feeds / "a.parquet", tmp_path / "all.parquet")
    few, everything = (pq.read_table(tmp_path / f"{n}.parquet") for n in ("few", "all"))
    names = [name for name in OUTPUT_SCHEMA.names if name != "candidates"]
    assert few.column_names == ["listing_id", "title", *names]
    assert few.to_pylist() == everything.drop_columns("candidates").to_pylist()


def test_files_that_differ_in_their_ending_only_are_an_error(feeds, tmp_path):
    (feeds / "a.csv").write_text("listing_id,title\n1,a\n")
    with pytest.raises(FaultsError, match=r"differ in their endings only: 2 faults"):
        plan_score(select_files(str(feeds)), place_of(tmp_path / "out"))


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_an_output_that_the_next_run_would_read_is_an_error(feeds, inside):
    with pytest.raises(InputError, match="lies where the input is read"):
        plan_score(select_files(str(feeds)), place_of(feeds / inside))


def test_a_glob_may_have_its_output_beside_what_it_matches(feeds):
    plan = plan_score(select_files(f"{feeds}/*.parquet"), place_of(feeds / "out"))
    assert len(plan.tasks) == 2
    with pytest.raises(InputError, match="lies where the input is read"):
        plan_score(select_files(f"{feeds}/**/*.parquet"), place_of(feeds / "out"))


def test_a_folder_into_a_file_is_an_error(feeds, tmp_path):
    (tmp_path / "out").write_text("precious")
    with pytest.raises(InputError, match="expected a folder for the 3 files"):
        plan_score(select_files(str(feeds)), place_of(tmp_path / "out"))


def test_a_target_below_a_file_says_so(run, feeds):
    result = run("score", feeds / "a.parquet", feeds / "b.parquet" / "out.parquet")
    assert result.exit_code == 1
    assert f"expected a folder at {feeds / 'b.parquet'}, found a file" in result.stderr


def test_outputs_that_exist_are_named_all_at_once(feeds, tmp_path):
    score_all(str(feeds), place_of(tmp_path / "out"))
    with pytest.raises(FaultsError, match=r"outputs that exist already: 3 faults"):
        plan_score(select_files(str(feeds)), place_of(tmp_path / "out"))
    score_all(str(feeds), place_of(tmp_path / "out"), Existing.OVERWRITE)


def test_types_nulls_and_order_of_the_input_are_kept(tmp_path):
    table = pa.table(
        {
            "price": pa.array([1, None, 3], pa.decimal128(8, 2)),
            "listing_id": pa.array([3, 1, 2], pa.int16()),
            "seen": pa.array([1, 2, None], pa.timestamp("us", tz="Europe/Berlin")),
            "shop": pa.array(["x", None, "x"]).dictionary_encode(),
            "title": pa.array(["a", None, "c"], pa.large_string()),
            "nested": pa.array([[{"a": 1}], None, []], pa.list_(pa.struct([("a", pa.int8())]))),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    score_all(str(tmp_path / "in.parquet"), place_of(tmp_path / "out.parquet"))
    scored = pq.read_table(tmp_path / "out.parquet")
    assert scored.select(table.column_names).equals(table)
    rejects = pq.read_table(tmp_path / "out.rejects.parquet").to_pylist()
    assert [row["row"] for row in rejects] == [2]
    assert json.loads(rejects[0]["content"])["listing_id"] == 1


def test_row_groups_of_the_input_change_nothing(tmp_path):
    titles = [f"card {n}" for n in range(40_000)]
    table = pa.table({"listing_id": range(40_000), "title": titles})
    for name, rows in (("small", 777), ("large", 100_000)):
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=rows)
        score_all(str(tmp_path / f"{name}.parquet"), place_of(tmp_path / f"{name}.out.parquet"))
    small, large = (pq.read_table(tmp_path / f"{n}.out.parquet") for n in ("small", "large"))
    assert small.equals(large)
    assert small.column("model").to_pylist() == titles
    assert pq.ParquetFile(tmp_path / "large.out.parquet").num_row_groups == 5


class LosesOne(EchoAnswerer):
    def answer(self, batch):
        return super().answer(batch).slice(1)


def test_an_answer_lost_on_the_way_stops_the_run(feeds, tmp_path):
    with pytest.raises(AssertionError, match="2 rows in, 1 answers out"):
        score_all(str(feeds), place_of(tmp_path / "out"), answerer=LosesOne(ScoreOptions()))
    assert names_in(tmp_path / "out") == []


class Meddler(EchoAnswerer):
    """Changes the file that is being read."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def answer(self, batch):
        write(self.path, ["another"])
        return super().answer(batch)


def test_an_input_that_changes_while_it_is_read_is_set_aside(feeds, tmp_path):
    summary = score_all(
        f"{feeds}/b*.parquet", place_of(tmp_path / "out"), answerer=Meddler(feeds / "b.parquet")
    )
    (text,) = summary.failures.values()
    assert text.endswith("b.parquet: changed while it was read; run again")
    assert names_in(tmp_path / "out") == []


def test_an_output_is_recognised_behind_a_link(feeds, tmp_path):
    (tmp_path / "link").symlink_to(feeds)
    with pytest.raises(InputError, match="lies where the input is read"):
        plan_score(select_files(f"{feeds}/**/*.parquet"), place_of(tmp_path / "link/out"))
    plan = plan_score(select_files(f"{feeds}/*.parquet"), place_of(tmp_path / "link/out"))
    assert [task.target.resolved.name for task in plan.tasks] == ["a.parquet", "b.parquet"]


def test_files_of_a_group_appear_together_and_each_with_its_own_fault(feeds, tmp_path, monkeypatch):
    out, synced = tmp_path / "out", []
    os_replace = os.replace

    def replace(source, target):
        synced.append(sorted(path.name for path in out.rglob("*.parquet")))
        if Path(target).name == "b.parquet":
            raise OSError(28, "No space left on device")
        os_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    summary = score_all(str(feeds), place_of(out))
    assert summary.files == {"scored": 2, "kept": 0, "failed": 1}
    assert "the disk is full" in summary.failures[f"{feeds}/b.parquet"]
    assert synced[0] == []  # nothing is there before all are on disk
    assert not [path for path in out.rglob(".*") if path.name.endswith(".scoring")]


def test_drafts_of_killed_runs_are_said_to_be_removed(feeds, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.a.parquet.00000000.scoring").write_bytes(b"left")
    said = []
    score_all(str(feeds), place_of(tmp_path / "out"), say=said.append)
    assert f"{tmp_path}/out: 1 draft of runs that were killed removed" in said
