"""How a run ends that is stopped from outside, or whose workers are."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from processes import started

from rerank.index.errors import RerankError
from rerank.jobs.cli import LazyGroup
from rerank.jobs.commands.score import interruptible
from rerank.jobs.scoring.run import Progress, ProgressLine
from rerank.jobs.workers import WorkerEndedError


class BrokenOff(LazyGroup):
    """Its commands are broken off by Ctrl-C while they are imported."""

    def get_command(self, ctx, cmd_name):
        raise KeyboardInterrupt


def run_that_ends(stream, end):
    """Begin a run of three files that something ends after the first."""
    line, context = ProgressLine(stream), click.Context(click.Command("score"))
    with interruptible(context, line, n_files=3, remedy="go on with --resume"):
        line.show(Progress(0.5, 10, 1, 3))
        end()


def end_by(number):
    os.kill(os.getpid(), number)
    time.sleep(5)  # the handler runs meanwhile, and ends it


def lose_a_worker():
    raise WorkerEndedError("one of 2 workers ended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_one_line_and_its_own_exit_code(number):
    before, stream = signal.getsignal(signal.SIGTERM), io.StringIO()
    with pytest.raises(click.exceptions.Exit, match="130") as ended:
        run_that_ends(stream, partial(end_by, number))
    assert ended.value.exit_code == 130
    assert stream.getvalue() == (
        "Stopped: 1 of 3 files finished, nothing half-written; go on with --resume\n"
    )
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("further", [signal.SIGINT, signal.SIGTERM])
def test_further_signals_do_not_break_off_the_tidying_up(further):
    tidied = []

    def end_and_tidy():
        try:
            end_by(signal.SIGINT)
        finally:
            os.kill(os.getpid(), further)
            time.sleep(0.05)
            tidied.append(further)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(click.exceptions.Exit, match="130"):
        run_that_ends(io.StringIO(), end_and_tidy)
    assert tidied == [further]
    assert signal.getsignal(signal.SIGINT) == before


def test_a_worker_that_ended_is_told_with_what_is_finished_and_how_to_go_on():
    expected = (
        "^one of 2 workers ended; 1 of 3 files finished; go on with --resume, with fewer workers "
        "if it happens again$"
    )
    with pytest.raises(RerankError, match=expected):
        run_that_ends(io.StringIO(), lose_a_worker)


def test_ctrl_c_before_a_command_runs_is_one_line_as_well():
    lines = {"Use": {"score": "Resolve a file."}}
    group = BrokenOff("rerank", groups=lines, modules={"score": ["score"]})
    result = CliRunner().invoke(group, ["score"])
    assert (result.exit_code, result.stderr, result.stdout) == (130, "Stopped\n", "")


def test_arguments_that_a_shell_made_of_a_glob_are_told_to_be_quoted(run, tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text("listing_id,title\n1,x\n")
    result = run("score", *sorted(tmp_path.glob("*.csv")), tmp_path / "out")
    assert result.exit_code == 2
    assert 'quote a glob, as in "feeds/*.csv"' in result.stderr
    assert "quote a glob" not in run("score", "--nonsense").stderr


@pytest.mark.slow
def test_a_killed_worker_of_a_run_ends_it_in_one_line(tmp_path):
    titles = [f"RTX 30{n}0 10GB" for n in range(40_000)]
    for name in "ab":
        (tmp_path / "feeds").mkdir(exist_ok=True)
        table = pa.table({"listing_id": titles, "title": titles})
        pq.write_table(table, tmp_path / f"feeds/{name}.parquet")
    words = ["score", "--workers", 2, tmp_path / "feeds", tmp_path / "out"]
    child = started(tmp_path / "home", *words, stderr=subprocess.PIPE)
    while child.poll() is None and not _workers(child.pid):
        time.sleep(0.01)
    os.kill(_workers(child.pid)[0], signal.SIGKILL)
    _, said = child.communicate(timeout=300)
    assert child.returncode == 1
    assert said == (
        "Error: one of 2 worker processes ended unexpectedly, perhaps for want of memory; 0 of 2 "
        "files finished; go on with --resume, with fewer workers if it happens again\n"
    )
    assert list((tmp_path / "out").rglob("*.parquet*")) == []


def _workers(parent: int) -> list[int]:
    """Return the processes that a process has spawned to work."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [
        int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
