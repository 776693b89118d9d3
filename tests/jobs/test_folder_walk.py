"""What a folder of listings may hold besides files: links, pipes, folders that are closed."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from echo_answerer import EchoAnswerer

from rerank.index.errors import FaultsError, InputError
from rerank.jobs.files.places import place_of
from rerank.jobs.files.selection import select_files
from rerank.jobs.scoring.plan import plan_score
from rerank.jobs.scoring.run import run_plan

NOBODY = 65534


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("listing_id,title\n1,rtx 3080 10gb\n")


@contextmanager
def without_privileges():
    """Let permissions count, which they do not for root."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def feeds(tmp_path):
    write(tmp_path / "feeds/a.csv")
    write(tmp_path / "feeds/b/c.csv")
    return tmp_path / "feeds"


@pytest.fixture
def public():
    """A folder that everybody may enter and write to, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_links_to_nothing_and_pipes_are_set_aside_and_the_others_finished(run, feeds, tmp_path):
    (feeds / "gone.csv").symlink_to(tmp_path / "nothing.csv")
    (feeds / "loop.csv").symlink_to(feeds / "loop.csv")
    os.mkfifo(feeds / "b/pipe.csv")
    os.mkfifo(feeds / "other.txt")
    result = run("score", feeds, tmp_path / "out")
    assert result.exit_code == 1
    assert [line for line in result.stderr.splitlines() if line.startswith("Set aside")] == [
        f"Set aside: {feeds}/b/pipe.csv: expected a file, found a pipe, socket or device; write "
        "the listings to a file",
        f"Set aside: {feeds}/gone.csv: expected a file, found a link to nothing; mend or remove it",
        f"Set aside: {feeds}/loop.csv: expected a file, found a link to nothing; mend or remove it",
    ]
    assert "1 files of other endings are left out: other.txt" in result.stderr
    found = [
        path.relative_to(tmp_path / "out").as_posix()
        for path in sorted((tmp_path / "out").rglob("*.parquet"))
    ]
    assert found == ["a.parquet", "b/c.parquet"]


def test_files_set_aside_before_any_work_stand_in_the_summary(feeds, tmp_path):
    (feeds / "gone.csv").symlink_to(tmp_path / "nothing.csv")
    plan = plan_score(select_files(str(feeds)), place_of(tmp_path / "out"))
    summary = run_plan(plan, EchoAnswerer())
    assert plan.n_files == 3
    assert summary.files == {"scored": 2, "kept": 0, "failed": 1}
    assert list(summary.failures) == [f"{feeds}/gone.csv"]


def test_a_folder_is_walked_into_whatever_it_is_called(feeds):
    write(feeds / "day.parquet/d.csv")
    assert select_files(str(feeds)).files == ("a.csv", "b/c.csv", "day.parquet/d.csv")


def test_each_real_folder_is_read_once_under_its_own_name(feeds, tmp_path):
    write(tmp_path / "elsewhere/d.csv")
    (feeds / "a-link").symlink_to(feeds / "b")
    (feeds / "b/up").symlink_to(feeds)
    (feeds / "b/above").symlink_to(tmp_path)
    (feeds / "there").symlink_to(tmp_path / "elsewhere")
    (feeds / "there-again").symlink_to(tmp_path / "elsewhere")
    assert select_files(str(feeds)).files == ("a.csv", "b/c.csv", "there/d.csv")
    assert select_files(f"{feeds}/**/*.csv").files == ("a.csv", "b/c.csv", "there/d.csv")


def test_a_pipe_as_the_source_is_one_error_at_once(run, tmp_path):
    os.mkfifo(tmp_path / "in.csv")
    result = run("score", tmp_path / "in.csv", tmp_path / "out.parquet")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {tmp_path}/in.csv: expected a file or a folder, found a pipe, socket or device; "
        "write the listings to a file first\n"
    )


@pytest.mark.parametrize("source", ["feeds", "feeds/*.csv"])
def test_a_folder_of_what_cannot_be_read_only_says_so(tmp_path, source):
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds/gone.csv").symlink_to(tmp_path / "nothing.csv")
    with pytest.raises(
        FaultsError, match=r"that can be read: 1 faults?\n.*gone\.csv: expected a f"
    ):
        select_files(f"{tmp_path}/{source}")


def test_a_subfolder_that_is_closed_is_set_aside_under_its_name(public):
    write(public / "feeds/a.csv")
    write(public / "feeds/closed/b.csv")
    (public / "feeds/closed").chmod(0)
    with without_privileges():
        selection = select_files(str(public / "feeds"))
        summary = run_plan(plan_score(selection, place_of(public / "out")), EchoAnswerer())
    closed = f"{public}/feeds/closed"
    assert summary.files == {"scored": 1, "kept": 0, "failed": 1}
    assert summary.failures == {
        closed: f"{closed}: permission denied; check who may use it and its folder"
    }


def test_a_file_that_may_not_be_read_says_so(public):
    write(public / "feeds/a.csv")
    write(public / "feeds/b.csv")
    (public / "feeds/a.csv").chmod(0)
    plan = plan_score(select_files(str(public / "feeds")), place_of(public / "out"))
    with without_privileges():
        summary = run_plan(plan, EchoAnswerer())
    file = f"{public}/feeds/a.csv"
    assert summary.failures == {
        file: f"{file}: cannot be read: permission denied; check who may use it and its folder"
    }


def test_an_output_that_may_not_be_written_says_so(public):
    write(public / "a.csv")
    (public / "out").mkdir(mode=0o755)
    plan = plan_score(select_files(str(public / "a.csv")), place_of(public / "out/a.parquet"))
    with (
        without_privileges(),
        pytest.raises(InputError, match=r"a\.csv: not scored into .*/out/a\.parquet: permission d"),
    ):
        run_plan(plan, EchoAnswerer())
