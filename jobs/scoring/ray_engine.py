"""Score the files of a plan on Ray: each file is done by one worker, as this process would do it.

Files are the rows of a Ray Data dataset; an actor pool maps them, each actor with a resolver of its
own. Only numbers of files go out and counts come back: workers read and write the files themselves.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from index.errors import RerankError
from jobs.scoring.answering import Answerer
from jobs.scoring.file_worker import (
    FileWorker,
    MakesAnswerer,
    columns_before,
    count_reports,
    unfinished_files,
)
from jobs.scoring.plan import ScorePlan
from jobs.scoring.provenance import expectation
from jobs.scoring.ray_cluster import connected, ray_data
from jobs.scoring.running import alone_in
from jobs.scoring.scoring_task import SharedColumns
from jobs.scoring.summary import ScoreSummary
from jobs.scoring.tally import Progress, Tally
from jobs.workers import ONE_THREAD, WorkerEndedError

# A file whose worker dies is done again by another, but not for ever: it may be the file's fault.
_RETRIES = 2
_ONE_FILE = (
    "Ray spreads files over workers: one file goes to one worker, others of --workers have nothing "
    "to do"
)


class RayFileWorker:
    """What an actor does: scores files of a plan, by their numbers; made as `FileWorker` is.

    :param columns: for each file, those of the files before it.
    """

    def __init__(self, columns: Sequence[SharedColumns], *arguments: Any) -> None:
        self._columns = columns
        self._worker = FileWorker(*arguments)

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Score the files of some rows.

        :param rows: the column ``number``; what comes back has ``report``, JSON text, beside it.
        """
        for name, value in ({"OMP_WAIT_POLICY": "PASSIVE"} | ONE_THREAD).items():
            os.environ.setdefault(name, value)
        numbers = [int(number) for number in rows["number"]]
        reports = [self._worker.report(number, self._columns[number]) for number in numbers]
        return {"number": numbers, "report": [json.dumps(report) for report in reports]}


def run_on_ray(
    plan: ScorePlan,
    alike: Answerer,
    make: MakesAnswerer,
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
    :raises RerankError: if the cluster cannot be reached, or a worker answers otherwise than this
        process.
    :raises WorkerEndedError: if workers die again and again.
    """
    if plan.folder is None:
        say(_ONE_FILE)
    with (
        alone_in(plan),
        unfinished_files(plan) as unfinished,
        connected(address, workers=workers),
    ):
        tally = Tally(plan, alike, progress=progress, say=say)
        columns = list(columns_before(plan, alike))
        worker = (columns, plan, make, expectation(alike), "Ray worker")
        return count_reports(_reports(len(plan.tasks), workers, worker), tally, unfinished)


def _reports(n_files: int, workers: int, worker: tuple[Any, ...]) -> Iterator[tuple[int, Any]]:
    """Yield the numbers of files with the workers' reports, as they come.

    :param worker: what a worker is made of.
    """
    data, died = ray_data()
    files = data.from_items([{"number": n} for n in range(n_files)], override_num_blocks=n_files)
    pool = data.ActorPoolStrategy(size=min(workers, n_files), max_tasks_in_flight_per_actor=1)
    with warnings.catch_warnings():
        # Ray 2.60 calls its own way to limit retries deprecated and names no other
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        reports = files.map_batches(
            RayFileWorker,
            fn_constructor_args=worker,
            batch_size=1,
            compute=pool,
            num_cpus=1,
            max_restarts=-1,
            max_task_retries=_RETRIES,
        )
    try:
        for row in reports.iter_rows():
            yield row["number"], json.loads(row["report"])
    except died as exc:
        raise _death(str(exc)) from exc


def _death(text: str) -> RerankError:
    """Return the error for a worker that died.

    :param text: what Ray says of it.
    """
    if "creation task" in text:
        return RerankError(
            f"a Ray worker cannot be started ({text.strip().splitlines()[-1]}); install the same "
            "release of rerank, with its extra `ray`, on every machine of the cluster"
        )
    return WorkerEndedError(
        f"a file's Ray worker ended unexpectedly {_RETRIES + 1} times, perhaps for want of memory"
    )
