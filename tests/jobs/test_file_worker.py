"""A worker scores whole files as one process does; many small ones are spread over workers."""

from __future__ import annotations

import signal
import socket
from functools import partial

import pyarrow as pa
import pytest
from echo_answerer import EchoAnswerer, score_all
from small_feeds import contents, write_feed, write_feeds

from rerank.index.errors import InputError, RerankError
from rerank.jobs.files.places import place_of
from rerank.jobs.files.selection import select_files
from rerank.jobs.scoring.answering import RememberingAnswerer
from rerank.jobs.scoring.one_file import FileOutcome
from rerank.jobs.scoring.plan import Existing, SharedColumns, plan_score
from rerank.jobs.scoring.run import (
    Engine,
    FileWorker,
    columns_before,
    is_worth_spreading,
    run_spread,
)
from rerank.jobs.workers import WorkerEndedError


@pytest.fixture
def feeds(tmp_path):
    return write_feeds(tmp_path / "feeds")


def worker(feeds, out, answerer, *, existing=Existing.REFUSE, expected=None):
    plan = plan_score(select_files(str(feeds)), place_of(out), existing=existing)
    expected = (expected or answerer).expectation()
    return FileWorker(plan, lambda say: answerer, expected, "Ray worker")


def reports_of(worker, numbers=(0, 1, 2)):
    return {number: worker((number, SharedColumns())) for number in numbers}


def test_a_worker_scores_files_as_the_local_engine_does(feeds, tmp_path):
    score_all(str(feeds), place_of(tmp_path / "local"))
    reports = reports_of(worker(feeds, tmp_path / "out", EchoAnswerer()), [2, 0, 1])
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    assert [FileOutcome.from_json(reports[n]["outcome"]).counts.rows for n in range(3)] == [2, 1, 2]
    assert reports[0] == {
        "outcome": {
            "kind": "scored",
            "error": "",
            "n_reused": 0,
            "moves": {"again": 0, "moved": {}, "examples": []},
            "counts": {"rows": 2, "rejects": 1, "decisions": {"match": 1, "no_match": 1}},
        },
        "said": [],
    }
    assert FileOutcome.from_json(reports[0]["outcome"]).as_json() == reports[0]["outcome"]


def test_a_worker_keeps_finished_files_and_says_why_others_are_done_again(feeds, tmp_path):
    reports_of(worker(feeds, tmp_path / "out", EchoAnswerer()))
    write_feed(feeds / "d.parquet", ["changed"])
    again = worker(feeds, tmp_path / "out", EchoAnswerer(), existing=Existing.RESUME)
    reports = reports_of(again)
    assert [reports[n]["outcome"]["kind"] for n in range(3)] == ["kept", "kept", "scored"]
    assert reports[2]["said"] == [f"{feeds}/d.parquet: scored again, the input changed"]


def test_a_worker_reports_a_file_that_fails_and_goes_on(feeds, tmp_path):
    (feeds / "a.parquet").write_bytes(b"PAR1 cut off")
    reports = reports_of(worker(feeds, tmp_path / "out", EchoAnswerer()), [0, 1])
    assert [reports[n]["outcome"]["kind"] for n in (0, 1)] == ["failed", "scored"]
    assert f"{feeds}/a.parquet: not readable as parquet" in reports[0]["outcome"]["error"]


def test_a_worker_counts_the_answers_that_were_reused(feeds, tmp_path):
    score_all(str(feeds), place_of(tmp_path / "monday"))
    outputs = select_files(str(tmp_path / "monday")).places()
    answerer = RememberingAnswerer(EchoAnswerer(), outputs)
    reports = reports_of(worker(feeds, tmp_path / "out", answerer), [0, 1, 2])
    assert [reports[n]["outcome"]["n_reused"] for n in range(3)] == [2, 1, 2]


def test_a_worker_with_another_model_answers_nothing(feeds, tmp_path):
    other = EchoAnswerer(model_version="m2")
    report = worker(feeds, tmp_path / "out", other, expected=EchoAnswerer())
    report = report((0, SharedColumns()))
    assert report == {
        "fault": f"the Ray worker on {socket.gethostname()} cannot answer: expected model m1, "
        "found m2; run again if another was put in its place meanwhile, else install the same "
        "release there and let the workspace (--home) be reachable at the same path"
    }
    assert not (tmp_path / "out").exists()


class Deadly(EchoAnswerer):
    def answer(self, batch):
        signal.raise_signal(signal.SIGKILL)
        return super().answer(batch)


def echoing(say):
    return EchoAnswerer()


def deadly(say):
    return Deadly()


def spread(feeds, out, make=echoing, *, existing=Existing.REFUSE, **callbacks):
    plan = plan_score(select_files(str(feeds)), place_of(out), existing=existing)
    return run_spread(plan, EchoAnswerer(), make, Engine(workers=2), **callbacks)


def test_files_spread_over_workers_become_the_same_bytes(feeds, tmp_path):
    summary = score_all(str(feeds), place_of(tmp_path / "one"))
    shares = []
    other = spread(
        feeds, tmp_path / "many", progress=lambda progress: shares.append(progress.share)
    )
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert (other.rows, other.rejects, other.decisions, other.files) == (
        summary.rows,
        summary.rejects,
        summary.decisions,
        summary.files,
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_spread_file_that_fails_is_set_aside_and_the_others_are_kept_on_resume(feeds, tmp_path):
    (feeds / "a.parquet").write_bytes(b"PAR1 cut off")
    said = []
    assert spread(feeds, tmp_path / "out", say=said.append).files == {
        "scored": 2,
        "kept": 0,
        "failed": 1,
    }
    assert said[0].startswith(f"Set aside: {feeds}/a.parquet: not readable as parquet")
    write_feed(feeds / "a.parquet", ["RTX 3080 10GB"])
    again = spread(feeds, tmp_path / "out", existing=Existing.RESUME)
    assert again.files == {"scored": 1, "kept": 2, "failed": 0}


def test_a_worker_killed_while_files_are_spread_ends_the_run_and_leaves_no_drafts(feeds, tmp_path):
    with pytest.raises(WorkerEndedError, match="one of 2 worker processes ended unexpectedly"):
        spread(feeds, tmp_path / "out", deadly)
    assert not [name for name in contents(tmp_path / "out") if name.endswith(".scoring")]


def test_a_worker_that_cannot_load_ends_the_run_with_its_error(feeds, tmp_path):
    with pytest.raises(RerankError, match=r"the worker on \S+ cannot answer: no answers today"):
        spread(feeds, tmp_path / "out", partial(no_answerer, "no answers today"))


def test_columns_that_a_later_file_brings_count_for_those_after_it(tmp_path):
    kinds = [pa.nulls(1), pa.array(["a"]), pa.array([1]), pa.array(["b"]), pa.array([2])]
    for number, column in enumerate(kinds):
        write_feed(tmp_path / f"feeds/{number}.parquet", ["RTX 3080 10GB"], seen=column)
    one = score_all(str(tmp_path / "feeds"), place_of(tmp_path / "one"))
    many = spread(tmp_path / "feeds", tmp_path / "many")
    assert one.failures == many.failures == {}
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_keys_that_a_later_file_of_json_lines_brings_count_for_those_after_it(tmp_path):
    (tmp_path / "feeds").mkdir()
    for number, more in enumerate(["", ', "seen": "a"', ', "seen": 1', ', "other": 2']):
        line = f'{{"listing_id": {number}, "title": "RTX 3080"{more}}}\n'
        (tmp_path / f"feeds/{number}.jsonl").write_text(line, encoding="utf-8")
    one = score_all(str(tmp_path / "feeds"), place_of(tmp_path / "one"))
    many = spread(tmp_path / "feeds", tmp_path / "many")
    assert one.failures == many.failures == {}
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_files_are_opened_before_they_are_handed_out_only_while_that_can_matter(feeds, tmp_path):
    plan = plan_score(select_files(str(feeds)), place_of(tmp_path / "out"))
    first, *others = columns_before(plan, EchoAnswerer())
    assert not first.are_settled
    assert len(others) == 2
    assert others[0].are_settled
    assert others[1] is others[0]


def test_warnings_of_damaged_earlier_answers_come_from_workers_once(feeds, tmp_path):
    score_all(str(feeds), place_of(tmp_path / "monday"))
    damaged = tmp_path / "monday/a.parquet"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:4] + b"\xff" * 400 + content[404:])
    outputs = select_files(str(tmp_path / "monday")).places()
    said = []
    spread(feeds, tmp_path / "out", partial(remembering, outputs), say=said.append)
    assert [text.partition(": damaged")[0] for text in said] == [f"Warning: {damaged}"]


def remembering(outputs, say):
    return RememberingAnswerer(EchoAnswerer(), outputs, say=say)


def no_answerer(text, say):
    raise InputError(text)


@pytest.mark.parametrize(
    ("workers", "size", "n_files", "worth"),
    [(1, 10, 9, False), (2, 10, 4, True), (2, 10, 3, False), (2, 1 << 21, 4, False)],
)
def test_files_are_spread_if_they_are_small_and_many(tmp_path, workers, size, n_files, worth):
    (tmp_path / "feeds").mkdir()
    for number in range(n_files):
        (tmp_path / f"feeds/{number}.csv").write_bytes(b"x" * size)
    plan = plan_score(select_files(str(tmp_path / "feeds")), place_of(tmp_path / "out"))
    assert is_worth_spreading(plan, workers) is worth
