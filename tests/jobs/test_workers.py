"""Worker processes: order, look-ahead, errors, and what happens when one of them dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rerank.index.errors import FaultsError, InputError, RerankError
from rerank.jobs.workers import working

WORKERS = pytest.mark.parametrize("count", [1, 2])


def make_square() -> Callable[[int], tuple[int, int]]:
    made = os.getpid()
    return lambda number: (number * number, made)


def make_turned() -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.append_column("turned", pa.array(table["n"].to_numpy()[::-1]))


def make_slow() -> Callable[[int], tuple[int, int]]:
    made = os.getpid()

    def slow(number: int) -> tuple[int, int]:
        time.sleep(0.01)
        return made, os.getpid()

    return slow


def make_unsendable() -> Callable[[int], Any]:
    return lambda number: (lambda: number) if number else number


def make_picky() -> Callable[[int], int]:
    def picky(number: int) -> int:
        if number == 3:
            raise FaultsError("three", ["odd", "prime"])
        return number

    return picky


def make_impossible() -> Callable[[int], int]:
    raise InputError("nothing can be made of this")


def make_suicidal() -> Callable[[int], int]:
    def suicidal(number: int) -> int:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    return suicidal


def make_threads() -> Callable[[int], str]:
    return lambda number: os.environ.get("OMP_NUM_THREADS", "unset")


@WORKERS
def test_pairs_come_in_the_order_of_the_items(count: int) -> None:
    with working(count, make_square) as apply:
        pairs = list(apply(range(40)))
    assert [item for item, _ in pairs] == list(range(40))
    assert [square for _, (square, _) in pairs] == [number * number for number in range(40)]
    makers = {maker for _, (_, maker) in pairs}
    assert makers == {os.getpid()} if count == 1 else os.getpid() not in makers
    assert len(makers) <= count


@WORKERS
def test_nothing_comes_of_no_items(count: int) -> None:
    with working(count, make_square) as apply:
        assert list(apply([])) == []


def test_tables_go_and_come_as_they_are() -> None:
    table = pa.table({"n": [1, 2, 3], "text": ["", None, "\u00fc"], "lists": [[], [1], None]})
    with working(2, make_turned) as apply:
        ((_, found), (_, part)) = apply([table, table.slice(1)])
    assert found.drop_columns("turned").equals(table)
    assert part["turned"].to_pylist() == [3, 2]


def test_one_of_two_workers_makes_the_function_where_processes_fork() -> None:
    with working(2, make_slow) as apply:
        found = [pids for _, pids in apply(range(12))]
    assert len({made for made, _ in found}) == (1 if sys.platform == "linux" else 2)
    assert len({own for _, own in found}) == 2


def test_what_cannot_be_sent_back_is_an_error_at_its_place() -> None:
    with working(2, make_unsendable) as apply:
        pairs = apply(range(3))
        assert next(pairs) == (0, 0)
        with pytest.raises(Exception, match="local"):
            next(pairs)


def test_a_stream_is_read_a_few_items_ahead() -> None:
    read = 0

    def stream() -> Iterator[int]:
        nonlocal read
        for number in range(100):
            read += 1
            yield number

    with working(2, make_square) as apply:
        pairs = apply(stream())
        assert next(pairs)[0] == 0
        assert read == 5
        assert len(list(pairs)) == 99


@WORKERS
def test_a_stream_that_breaks_off_leaves_nothing_to_the_next_one(count: int) -> None:
    def broken() -> Iterator[int]:
        yield from range(4)
        raise InputError("no more of it")

    with working(count, make_square) as apply:
        with pytest.raises(InputError, match="no more of it"):
            list(apply(broken()))
        next(apply(range(20, 30)))
        pairs = list(apply(range(100, 109)))
    assert [(item, square) for item, (square, _) in pairs] == [(n, n * n) for n in range(100, 109)]


@WORKERS
def test_an_error_comes_at_the_place_of_its_item(count: int) -> None:
    with working(count, make_picky) as apply:
        pairs = apply(range(9))
        assert [next(pairs) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
        with pytest.raises(InputError, match=r"three: 2 faults"):
            next(pairs)


@WORKERS
def test_what_making_the_function_raises_reaches_the_caller(count: int) -> None:
    with (
        pytest.raises(InputError, match="nothing can be made"),
        working(count, make_impossible) as apply,
    ):
        list(apply([1]))


def test_a_worker_that_dies_is_one_clear_error() -> None:
    with (
        working(2, make_suicidal) as apply,
        pytest.raises(RerankError, match="one of 2 worker processes ended unexpectedly"),
    ):
        list(apply(range(9)))


def test_libraries_in_workers_are_told_to_use_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with working(2, make_threads) as apply:
        assert {threads for _, threads in apply(range(4))} == {"1"}
    assert "OMP_NUM_THREADS" not in os.environ


def test_less_than_one_worker_is_an_error() -> None:
    with pytest.raises(InputError, match="expected at least 1 worker, got 0"):
        working(0, make_square)


_KILLS_ITS_FIRST_WORKER = """
import os, signal, sys, threading, time
from pathlib import Path

from rerank.jobs.workers import WorkerEndedError, working
from tests_jobs_sleeper import make_sleeper


def workers():
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            yield int(pid)


def kill_first(seconds):
    while not (found := list(workers())):
        pass
    time.sleep(seconds)
    os.kill(found[0], signal.SIGKILL)


if __name__ == "__main__":
    for milliseconds in range(10):
        threading.Thread(target=kill_first, args=(milliseconds / 1000,)).start()
        try:
            with working(4, make_sleeper) as apply:
                list(apply(range(1000)))
        except WorkerEndedError as exc:
            print(exc.fault)
"""
_PARENT = """
from rerank.jobs.workers import working
from tests_jobs_sleeper import make_sleeper

if __name__ == "__main__":
    with working(2, make_sleeper) as apply:
        for item, pid in apply(range(1000)):
            print(pid, flush=True)
"""
_SLEEPER = """
import os, time

def make_sleeper():
    def sleeper(number):
        time.sleep(0.02)
        return os.getpid()
    return sleeper
"""


def _start(script: str, folder: Path) -> subprocess.Popen[str]:
    """Start a script beside the module of `make_sleeper`."""
    (folder / "parent.py").write_text(script)
    (folder / "tests_jobs_sleeper.py").write_text(_SLEEPER)
    paths = os.pathsep.join([str(folder), os.getcwd(), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, folder / "parent.py"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


@pytest.mark.slow
def test_a_worker_that_dies_while_others_start_is_told_and_leaves_nothing_waiting(
    tmp_path: Path,
) -> None:
    parent = _start(_KILLS_ITS_FIRST_WORKER, tmp_path)
    try:
        said, _ = parent.communicate(timeout=300)
    finally:
        parent.kill()
    fault = "one of 4 worker processes ended unexpectedly, perhaps for want of memory"
    assert said.splitlines() == [fault] * 10


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    parent = _start(_PARENT, tmp_path)
    assert parent.stdout is not None
    with parent.stdout:
        workers = {int(parent.stdout.readline()) for _ in range(8)}
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 300
    while any(_is_alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [worker for worker in workers if _is_alive(worker)] == []


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
