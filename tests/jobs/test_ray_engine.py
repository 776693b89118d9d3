"""`rerank score --engine ray` gives what the local engine gives.

Ray runs in processes of its own, started by a process of its own; run as a script, this file scores
a folder on Ray with answers that take their time, and says which process begins which file:

    python test_ray_engine.py SOURCE OUT
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from echo_answerer import EchoAnswerer, score_all
from small_feeds import contents, write_feed, write_feeds

from rerank.index.errors import RerankError
from rerank.jobs.commands.score import interrupted_once
from rerank.jobs.files.places import place_of
from rerank.jobs.files.selection import select_files
from rerank.jobs.scoring.plan import plan_score
from rerank.jobs.scoring.ray_engine import connected
from rerank.jobs.scoring.run import Engine, EngineKind, run_spread

HERE = Path(__file__).parent


class Announcing(EchoAnswerer):
    """Writes its process id into a folder when it begins, and takes its time."""

    def __init__(self, begun):
        super().__init__()
        self.begun = begun

    def answer(self, batch):
        (self.begun / str(os.getpid())).write_text(batch.listings()[0].title, encoding="utf-8")
        time.sleep(1.0)
        return super().answer(batch)


class Deadly(EchoAnswerer):
    def answer(self, batch):
        os.kill(os.getpid(), signal.SIGKILL)
        return super().answer(batch)


def made(maker, say):
    return maker()


@pytest.fixture
def feeds(tmp_path):
    return write_feeds(tmp_path / "feeds")


def environment(tmp_path):
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return {**kept, "RERANK_HOME": str(tmp_path / "home"), "PYTHONPATH": paths}


def rerank(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-c", "from rerank.jobs.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("hidden", ["ray", "ray.data"])
def test_without_ray_one_line_says_how_to_install_it(run, feeds, tmp_path, monkeypatch, hidden):
    monkeypatch.setitem(sys.modules, hidden, None)
    result = run("score", "--engine", "ray", feeds, tmp_path / "out")
    assert result.exit_code == 1
    assert "install it with `pip install 'listing-rerank[ray]'`" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_address_without_ray_is_a_wrong_call(run, feeds, tmp_path):
    result = run("score", "--ray-address", "head:6379", feeds, tmp_path / "out")
    assert result.exit_code == 2
    assert "--ray-address needs --engine ray: add it, or drop the address" in result.output


@pytest.mark.slow
def test_a_folder_comes_out_byte_for_byte_as_from_the_local_engine(run, feeds, tmp_path):
    (feeds / "broken.parquet").write_bytes(b"PAR1 cut off")
    write_feed(feeds / "other.parquet", ["x"], colour=["red"])
    summaries = {}
    for engine in ("local", "ray"):
        options = ["--engine", engine, "--workers", 2, "--summary", tmp_path / f"{engine}.json"]
        done = rerank(tmp_path, "score", *options, feeds, tmp_path / engine)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        counted = [line for line in done.stderr.splitlines() if line.startswith("6 rows: ")]
        assert len(counted) == 1, done.stderr
        summaries[engine] = json.loads((tmp_path / f"{engine}.json").read_text(encoding="utf-8"))
        for timing in ("seconds", "rows_per_second"):
            del summaries[engine][timing]
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert summaries["ray"] == summaries["local"]
    assert [Path(failure["file"]).name for failure in summaries["ray"]["failures"]] == [
        "broken.parquet"
    ]


@pytest.mark.slow
def test_a_killed_worker_is_survived(tmp_path):
    feeds, begun = tmp_path / "feeds", tmp_path / "begun"
    begun.mkdir()
    for name in "abcdef":
        write_feed(feeds / f"{name}.parquet", [f"card {name}"])
    child = start(feeds, tmp_path / "out", begun)
    victim = wait_for_a_worker(child, begun)
    os.kill(victim, signal.SIGKILL)
    said, _ = child.communicate(timeout=300)
    assert child.returncode == 0, said
    assert "6 rows: 6 match" in said
    processes = {int(path.name) for path in begun.iterdir()}
    assert len(processes - {victim}) >= 2  # the other worker, and one in the place of the killed
    score_all(str(feeds), place_of(tmp_path / "local"))
    assert contents(tmp_path / "out") == contents(tmp_path / "local")


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_its_workers_and_leaves_nothing_half_written(tmp_path, stop):
    feeds, begun = tmp_path / "feeds", tmp_path / "begun"
    begun.mkdir()
    for name in "abcdef":
        write_feed(feeds / f"{name}.parquet", [f"card {name}"])
    child = start(feeds, tmp_path / "out", begun)
    wait_for_a_worker(child, begun)
    if stop is signal.SIGINT:
        os.killpg(child.pid, stop)  # as a terminal does: to every process of the group
    else:
        child.send_signal(stop)
    said, _ = child.communicate(timeout=300)
    assert (child.returncode, said) == (130, "interrupted\n")
    local = tmp_path / "local"
    score_all(str(feeds), place_of(local))
    left = contents(tmp_path / "out")
    assert left.items() <= contents(local).items()
    assert len(left) < 6


@pytest.mark.slow
def test_one_file_goes_to_one_worker_and_if_it_ends_every_worker_that_is_one_line(tmp_path):
    write_feed(tmp_path / "a.parquet", ["x"])
    child = start(tmp_path / "a.parquet", tmp_path / "out.parquet", None)
    said, _ = child.communicate(timeout=300)
    assert child.returncode == 1
    note, error = said.splitlines()
    assert note.startswith("Ray spreads files over workers: one file goes to one worker")
    assert error.startswith("a file's Ray worker ended unexpectedly 3 times, perhaps for want of")
    assert [path.name for path in tmp_path.glob("*out*")] == []


@pytest.mark.slow
def test_workers_load_neither_torch_nor_lightgbm(feeds, tmp_path):
    code = (
        "import sys\nfrom functools import partial\nfrom pathlib import Path\nimport ray.data\n"
        "from rerank.jobs.files.selection import select_files\n"
        "from rerank.jobs.files.places import place_of\n"
        "from rerank.jobs.scoring.answering import ScoreOptions\n"
        "from rerank.jobs.scoring.plan import plan_score\n"
        "from rerank.jobs.scoring.run import FileWorker, remembering_resolver\n"
        "from rerank.jobs.scoring.ray_engine import RayWorker\n"
        "from rerank.jobs.scoring.plan import SharedColumns\n"
        f"home = Path({str(tmp_path / 'home')!r})\n"
        "make = partial(remembering_resolver, home, ScoreOptions(), [])\n"
        f"plan = plan_score(select_files({str(feeds)!r}), place_of({str(tmp_path / 'out')!r}))\n"
        "score = partial(FileWorker, plan, make, make(print).expectation(), 'worker')\n"
        "worker = RayWorker([(0, SharedColumns())], score)\n"
        "done = worker({'number': [0]})\n"
        "print(done['result'][0])\nprint(sorted({'torch', 'lightgbm'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        check=True,
    )
    report, loaded = done.stdout.splitlines()
    assert json.loads(report)["outcome"]["kind"] == "scored"
    assert loaded == "[]"


@pytest.mark.slow
def test_an_address_where_there_is_no_cluster_is_one_line(feeds, tmp_path):
    done = rerank(
        tmp_path, "score", "--engine", "ray", "--ray-address", "auto", feeds, tmp_path / "out"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: --ray-address auto: expected a Ray cluster, found none (")
    assert len(done.stderr.splitlines()) == 1


def test_an_address_that_does_not_answer_is_given_up(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr("rerank.jobs.scoring.ray_engine.REACH_S", 0.1)
    expected = r"--ray-address 127.0.0.1:1: expected a Ray cluster, found none \(no answer within 0"
    with pytest.raises(RerankError, match=expected), connected("127.0.0.1:1", workers=1):
        pass


def start(feeds, out, begun):
    """Start this file as a script in a process group of its own."""
    command = [sys.executable, __file__, str(feeds), str(out), *([] if begun is None else [begun])]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(out.parent),
        start_new_session=True,
    )


def wait_for_a_worker(child, begun):
    while child.poll() is None and not any(begun.iterdir()):
        time.sleep(0.01)
    return int(next(begun.iterdir()).name)


if __name__ == "__main__":
    source, target, *rest = sys.argv[1:]
    import test_ray_engine as this_module  # by its name, which workers import too

    maker = partial(this_module.Announcing, Path(rest[0])) if rest else this_module.Deadly
    make = partial(this_module.made, maker)
    plan = plan_score(select_files(source), place_of(target))
    try:
        with interrupted_once():
            engine = Engine(EngineKind.RAY, workers=2)
            summary = run_spread(plan, EchoAnswerer(), make, engine, say=print)
    except KeyboardInterrupt:
        sys.stdout.write("interrupted\n")
        sys.exit(130)
    except RerankError as exc:
        sys.stdout.write(f"{exc}\n")
        sys.exit(1)
    sys.stdout.write(summary.line() + "\n")
