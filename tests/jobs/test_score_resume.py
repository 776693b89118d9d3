"""`rerank score --resume`, kills and interrupts: nothing half-written, nothing done twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from echo_answerer import EchoAnswerer, resume_slowly, score_all
from processes import forked_until_told, started, status_of

from rerank.index.errors import FaultsError, InputError
from rerank.jobs.files.listings import ColumnNames
from rerank.jobs.files.places import place_of
from rerank.jobs.scoring.answering import ScoreOptions
from rerank.jobs.scoring.one_file import drafting, exclusive, remove_left_overs
from rerank.jobs.scoring.plan import RECORD_KEY, Existing

SEED = 20


def write(path, titles):
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{path.stem}-{n}" for n in range(len(titles))]
    pq.write_table(pa.table({"listing_id": ids, "title": titles}), path)


def contents(folder):
    """Return the bytes of all files by name, those that begin with a point left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def hidden(folder):
    return [path.name for path in folder.rglob(".*") if path.is_file()]


@pytest.fixture
def feeds(tmp_path):
    for name, titles in (("a", ["x", ""]), ("b", ["y"]), ("c", ["z", "w"])):
        write(tmp_path / f"feeds/{name}.parquet", titles)
    return tmp_path / "feeds"


def resumed(feeds, out, answerer=None):
    said = []
    summary = score_all(str(feeds), place_of(out), Existing.RESUME, answerer, say=said.append)
    return summary, said


def test_resuming_where_nothing_is_simply_starts(feeds, tmp_path):
    score_all(str(feeds), place_of(tmp_path / "plain"))
    summary, said = resumed(feeds, tmp_path / "out")
    assert (summary.files, said) == ({"scored": 3, "kept": 0, "failed": 0}, [])
    assert contents(tmp_path / "out") == contents(tmp_path / "plain")


def test_what_is_finished_is_kept_and_counted(feeds, tmp_path):
    first, _ = resumed(feeds, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    (tmp_path / "out/b.parquet").unlink()
    again, said = resumed(feeds, tmp_path / "out")
    assert again.files == {"scored": 1, "kept": 2, "failed": 0}
    assert said == []
    assert (again.rows, again.kept_rows, again.rejects) == (5, 4, 1)
    assert again.decisions == first.decisions == {"match": 4, "no_match": 1}
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    assert [path.name for path in before if before[path] != after[path]] == ["b.parquet"]


def test_a_changed_input_is_scored_again_and_named(feeds, tmp_path):
    resumed(feeds, tmp_path / "out")
    stamp = (feeds / "b.parquet").stat().st_mtime_ns
    write(feeds / "b.parquet", ["q"])  # of the same size and, below, the same time
    os.utime(feeds / "b.parquet", ns=(stamp, stamp))
    summary, said = resumed(feeds, tmp_path / "out")
    assert said == [f"{feeds}/b.parquet: scored again, the input changed"]
    assert summary.files == {"scored": 1, "kept": 2, "failed": 0}
    score_all(str(feeds), place_of(tmp_path / "plain"))
    assert contents(tmp_path / "out") == contents(tmp_path / "plain")


def test_an_input_that_was_only_touched_is_kept(feeds, tmp_path):
    resumed(feeds, tmp_path / "out")
    os.utime(feeds / "b.parquet", (1, 1))
    assert resumed(feeds, tmp_path / "out")[0].files["kept"] == 3


@pytest.mark.parametrize(
    ("answerer", "why"),
    [
        (EchoAnswerer(model_version="m2"), "another model"),
        (EchoAnswerer(index_version="i2"), "another index"),
        (EchoAnswerer(ScoreOptions(top_k=3)), "the options changed"),
        (EchoAnswerer(ScoreOptions(columns=ColumnNames(vendor="title"))), "the options changed"),
    ],
    ids=["model", "index", "top_k", "columns"],
)
def test_other_answers_are_never_mixed_with_finished_ones(feeds, tmp_path, answerer, why):
    resumed(feeds, tmp_path / "out")
    summary, said = resumed(feeds, tmp_path / "out", answerer)
    assert summary.files["scored"] == 3
    assert said[0] == f"{feeds}/a.parquet: scored again, {why}"


def test_lost_rejects_are_made_again(feeds, tmp_path):
    resumed(feeds, tmp_path / "out")
    whole = contents(tmp_path / "out")
    (tmp_path / "out/_rejects/a.parquet").unlink()
    _, said = resumed(feeds, tmp_path / "out")
    assert said == [f"{feeds}/a.parquet: scored again, its rejects are gone"]
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("foreign", [b"precious", None], ids=["no parquet", "other parquet"])
def test_a_file_of_somebody_else_is_not_overwritten_by_resuming(feeds, tmp_path, foreign):
    target = tmp_path / "out/b.parquet"
    write(target, ["mine"])
    if foreign:
        target.write_bytes(foreign)
    before = target.read_bytes()
    with pytest.raises(FaultsError, match=r"b\.parquet: exists already and is no output of `rera"):
        resumed(feeds, tmp_path / "out")
    assert contents(tmp_path / "out") == {"b.parquet": before}


def test_one_file_can_be_resumed_as_well(run, feeds, tmp_path):
    target = tmp_path / "out.parquet"
    assert run("score", "--resume", feeds / "a.parquet", target).exit_code == 0
    before = target.stat().st_mtime_ns
    result = run("score", "--resume", feeds / "a.parquet", target)
    assert "2 rows kept from an earlier run" in result.stderr
    assert target.stat().st_mtime_ns == before


def test_the_footer_says_how_a_file_was_made(feeds, tmp_path):
    score_all(str(feeds / "a.parquet"), place_of(tmp_path / "out.parquet"))
    metadata = pq.ParquetFile(tmp_path / "out.parquet").metadata.metadata
    record = json.loads(metadata[RECORD_KEY.encode()])
    assert record["input"]["bytes"] == (feeds / "a.parquet").stat().st_size
    assert record["counts"] == {
        "rows": 2,
        "rejects": 1,
        "decisions": {"match": 1, "no_match": 1},
    }
    assert (record["model_version"], record["index_version"]) == ("m1", "i1")
    assert record["options"]["top_k"] == 20
    assert record["columns"] == {"listing_id": "string", "title": "string"}


def test_overwrite_and_resume_exclude_each_other(run, feeds, tmp_path):
    result = run("score", feeds, tmp_path / "out", "--overwrite", "--resume")
    assert result.exit_code == 2
    assert "--overwrite and --resume exclude each other" in result.stderr


# --- drafts ---


def test_a_second_run_into_the_same_folder_is_refused(feeds, tmp_path):
    with (
        exclusive(place_of(tmp_path / "out")),
        pytest.raises(InputError, match="another run is scoring into it"),
    ):
        resumed(feeds, tmp_path / "out")
    assert resumed(feeds, tmp_path / "out")[0].files["scored"] == 3


def test_only_drafts_that_nobody_writes_are_removed(tmp_path):
    target = place_of(tmp_path / "x.parquet")
    (tmp_path / ".x.parquet.00000000.scoring").write_bytes(b"left")
    (tmp_path / ".y.parquet.00000000.scoring").write_bytes(b"of another target")
    old = tmp_path / ".z.parquet.00000000.scoring"
    old.write_bytes(b"of another target, long ago")
    os.utime(old, (1, 1))
    with drafting(target) as draft:
        assert remove_left_overs([target]) == 2
        assert len(hidden(tmp_path)) == 2
        draft.sink.write(b"whole")
        draft.finish()
        draft.publish()
    assert (tmp_path / "x.parquet").read_bytes() == b"whole"
    assert hidden(tmp_path) == [".y.parquet.00000000.scoring"]


def test_a_draft_that_is_not_published_changes_nothing(tmp_path):
    (tmp_path / "x").write_bytes(b"before")
    with pytest.raises(KeyError), drafting(place_of(tmp_path / "x")) as draft:  # noqa: PT012
        draft.sink.write(b"after")
        raise KeyError
    assert contents(tmp_path) == {"x": b"before"}
    assert hidden(tmp_path) == []


def test_ctrl_c_while_a_draft_is_opened_leaves_nothing(tmp_path, monkeypatch):
    @contextmanager
    def interrupted(path, busy):
        path.touch()
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("rerank.jobs.scoring.one_file.locked", interrupted)
    with pytest.raises(KeyboardInterrupt), drafting(place_of(tmp_path / "x")):
        pass
    assert list(tmp_path.iterdir()) == []


# --- kills ---


def kill_at_random(tmp_path, n_kills, n_files=30):
    """Kill runs at random moments and resume them; return how many died and how many ended."""
    dice = random.Random(SEED)
    for n in range(n_files):
        write(tmp_path / f"feeds/{n:02}.parquet", [f"t{n}", "", "u"])
    score_all(str(tmp_path / "feeds"), place_of(tmp_path / "unbroken"))
    expected = contents(tmp_path / "unbroken")
    killed = ended = 0
    out = tmp_path / "out0"
    while killed < n_kills or ended == 0:
        child = forked_until_told(resume_slowly, str(tmp_path / "feeds"), out)
        if killed < n_kills:
            time.sleep(dice.uniform(0, 0.12))
            child.kill()
        status = status_of(child)
        found = contents(out) if out.exists() else {}
        assert {name: expected[name] for name in found} == found, f"seed {SEED}, kill {killed}"
        if status == -signal.SIGKILL:
            killed += 1
        else:
            assert (status, found, hidden(out)) == (0, expected, []), f"seed {SEED}"
            ended += 1
            out = tmp_path / f"out{ended}"
    return killed, ended


def test_killed_runs_leave_whole_files_and_end_like_an_unbroken_one(tmp_path):
    killed, ended = kill_at_random(tmp_path, 5)
    assert (killed, ended >= 1) == (5, True)


@pytest.mark.slow
def test_fifty_kills_at_random_moments(tmp_path):
    killed, ended = kill_at_random(tmp_path, 50)
    assert (killed, ended >= 1) == (50, True)


@pytest.mark.parametrize(
    ("command", "stop", "remedy"),
    [
        ("score", signal.SIGINT, "go on with --resume"),
        ("score", signal.SIGTERM, "go on with --resume"),
        ("nightly", signal.SIGTERM, "run it again"),
    ],
)
def test_an_interrupted_run_ends_in_one_line_and_goes_on(tmp_path, command, stop, remedy):
    titles = [f"RTX 30{n}0 10GB" for n in range(20_000)]
    for name in "abc":
        write(tmp_path / f"feeds/{name}.parquet", titles)
    words = [command, "--top-k", 1, tmp_path / "feeds", tmp_path / "out"]
    child = started(tmp_path / "home", *words, stderr=subprocess.PIPE)
    while child.poll() is None and not list(tmp_path.rglob(".a.parquet.*")):
        time.sleep(0.01)
    child.send_signal(stop)
    _, said = child.communicate(timeout=300)
    assert child.returncode == 130, said
    if command == "nightly":  # its lines say when
        said = said.partition(" ")[2]
    assert said == f"Stopped: 0 of 3 files finished, nothing half-written; {remedy}\n"
    assert list((tmp_path / "out").rglob("*.parquet")) == []
    assert hidden(tmp_path / "out") == []
