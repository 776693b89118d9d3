"""Score the files of a plan on Ray: each file is done by one worker, as this process would do it.

Files are the rows of a Ray Data dataset; an actor pool maps them, each actor with a resolver of its
own. Only numbers of files go out and counts come back: workers read and write the files themselves.
"""

from __future__ import annotations

import json
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from index.errors import MismatchError, RerankError
from jobs.listing_files import open_listings
from jobs.scoring.answering import Answerer
from jobs.scoring.drafts import remove_left_overs
from jobs.scoring.plan import Existing, ScorePlan, Task
from jobs.scoring.provenance import column_types, expectation
from jobs.scoring.ray_cluster import connected, ray_data
from jobs.scoring.running import alone_in
from jobs.scoring.scoring_task import FILE_FAULTS, Outcome, SharedColumns, score_task
from jobs.scoring.summary import ScoreSummary
from jobs.scoring.tally import Progress, Tally
from jobs.workers import ONE_THREAD

# A file whose worker dies is done again by another, but not for ever: it may be the file's fault.
_RETRIES = 2
_ONE_FILE = (
    "Ray spreads files over workers: one file goes to one worker, others of --workers have nothing "
    "to do"
)
_ANSWERERS = {"model_version": "model", "index_version": "index", "release": "release"}


class FileWorker:
    """What an actor does: scores files of a plan, by their numbers.

    :param make: makes the answerer when the first file comes; its errors then reach the caller.
    :param expected: what decides answers in the process that started the run.
    :param columns: knows the columns of the plan's first file already.
    """

    def __init__(
        self,
        plan: ScorePlan,
        make: Callable[[], Answerer],
        expected: Mapping[str, Any],
        columns: SharedColumns,
    ) -> None:
        self._plan, self._make, self._expected, self._columns = plan, make, expected, columns
        self._answerer: Answerer | None = None

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Score the files of some rows.

        :param rows: the column ``number``; what comes back has ``report``, JSON text, beside it.
        """
        numbers = [int(number) for number in rows["number"]]
        return {"number": numbers, "report": [json.dumps(self.report(n)) for n in numbers]}

    def report(self, number: int) -> dict[str, Any]:
        """Score a file and return its ``outcome`` and what was ``said``, or the worker's fault."""
        said: list[str] = []
        try:
            self._answerer = self._answerer or self._checked_answerer()
        except RerankError as exc:
            return {"fault": f"the Ray worker on {socket.gethostname()} cannot answer: {exc}"}
        outcome = score_task(
            self._plan.tasks[number], self._answerer, self._columns,
            resume=self._plan.existing is Existing.RESUME, say=said.append,
        )  # fmt: skip
        return {"outcome": outcome.as_json(), "said": said}

    def _checked_answerer(self) -> Answerer:
        """Load what answers.

        :raises MismatchError: if it would answer otherwise than where the run was started.
        """
        for name, value in ({"OMP_WAIT_POLICY": "PASSIVE"} | ONE_THREAD).items():
            os.environ.setdefault(name, value)
        answerer = self._make()
        found = expectation(answerer)
        odd = [name for name in _ANSWERERS if found[name] != self._expected[name]]
        if odd:
            said = ", ".join(
                f"{_ANSWERERS[name]} {self._expected[name]}, found {found[name]}" for name in odd
            )
            raise MismatchError(
                f"expected {said}; install the same release there and let the workspace (--home) "
                "be reachable at the same path"
            )
        return answerer


def run_on_ray(
    plan: ScorePlan,
    alike: Answerer,
    make: Callable[[], Answerer],
    *,
    workers: int,
    address: str | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> ScoreSummary:
    """Score every file of a plan as `run_plan` does, in actors of Ray.

    :param alike: an answerer of this process; those of the workers must have its versions.
    :param make: makes a worker's answerer; it is sent to the workers.
    :param workers: actors, each with one processor.
    :param address: of a running cluster; without one, one of this machine serves this run.
    :raises InputError: if the plan is one file and that fails, or another run is in the folder.
    :raises MissingExtraError: if Ray is not installed.
    :raises RerankError: if the cluster cannot be reached, a worker answers otherwise than this
        process, or workers die again and again.
    """
    if plan.folder is None:
        say(_ONE_FILE)
    unfinished = dict(enumerate(plan.tasks))
    with alone_in(plan), _tidied(unfinished), connected(address, workers=workers):
        tally = Tally(plan, alike, progress=progress, say=say)
        worker = (plan, make, expectation(alike), _first_columns(plan, alike))
        for number, report in _reports(len(plan.tasks), workers, worker):
            if "fault" in report:
                raise RerankError(report["fault"])
            for text in report["said"]:
                tally.say(text)
            unfinished.pop(number)
            tally.add(number, Outcome.from_json(report["outcome"]))
        if unfinished:
            raise AssertionError(f"{len(plan.tasks)} files in, {len(unfinished)} without outcome")
        return tally.summary()


def _reports(n_files: int, workers: int, worker: tuple[Any, ...]) -> Iterator[tuple[int, Any]]:
    """Yield the numbers of files with the workers' reports, as they come.

    :param worker: what `FileWorker` is made of.
    """
    data, died = ray_data()
    files = data.from_items([{"number": n} for n in range(n_files)], override_num_blocks=n_files)
    pool = data.ActorPoolStrategy(size=min(workers, n_files), max_tasks_in_flight_per_actor=1)
    with warnings.catch_warnings():
        # Ray 2.60 calls its own way to limit retries deprecated and names no other
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        reports = files.map_batches(
            FileWorker, fn_constructor_args=worker, batch_size=1, compute=pool, num_cpus=1,
            max_restarts=-1, max_task_retries=_RETRIES,
        )  # fmt: skip
    try:
        for row in reports.iter_rows():
            yield row["number"], json.loads(row["report"])
    except died as exc:
        raise RerankError(_why_died(str(exc))) from exc


def _why_died(text: str) -> str:
    """Return what is told of a worker that died.

    :param text: what Ray says of it.
    """
    if "creation task" in text:
        return (
            f"a Ray worker cannot be started ({text.strip().splitlines()[-1]}); install the same "
            "release of rerank, with its extra `ray`, on every machine of the cluster"
        )
    return (
        f"a file's Ray worker ended unexpectedly {_RETRIES + 1} times, perhaps for want of "
        "memory; go on with --resume, with fewer workers if it happens again"
    )


def _first_columns(plan: ScorePlan, alike: Answerer) -> SharedColumns:
    """Return the columns of the first file that can be opened; its reader may read it through."""
    columns = SharedColumns()
    for task in plan.tasks:
        try:
            listings = open_listings(task.source, alike.options.columns)
        except FILE_FAULTS:
            continue  # the worker that takes this file reports it
        columns.check(task.source, column_types(listings.schema))
        break
    return columns


@contextmanager
def _tidied(unfinished: dict[int, Task]) -> Iterator[None]:
    """Remove what workers that were stopped left of their files."""
    try:
        yield
    finally:
        for task in unfinished.values():
            remove_left_overs(task.target.resolved)
            remove_left_overs(task.target.rejects)
