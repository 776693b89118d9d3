"""Score a folder of small files on this machine: each file by one worker process.

Batches of one file after the other keep one worker busy where a file is hardly a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

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
from jobs.scoring.running import alone_in
from jobs.scoring.scoring_task import SharedColumns
from jobs.scoring.summary import ScoreSummary
from jobs.scoring.tally import Progress, Tally
from jobs.workers import working

_SMALL_BYTES = 1 << 20  # some 10,000 to 30,000 listings: seconds, which Ctrl-C has to wait for
_FILES_A_WORKER = 2  # at least, or the last ones leave workers without anything to do


def is_worth_spreading(plan: ScorePlan, workers: int) -> bool:
    """Return whether a plan has files enough for all workers, and none of any size."""
    return (
        workers > 1
        and len(plan.tasks) >= _FILES_A_WORKER * workers
        and max(task.n_bytes for task in plan.tasks) <= _SMALL_BYTES
    )


def run_spread(
    plan: ScorePlan,
    alike: Answerer,
    make: MakesAnswerer,
    *,
    workers: int,
    progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> ScoreSummary:
    """Score every file of a plan as `run_plan` does, the files spread over worker processes.

    :param alike: an answerer of this process; those of the workers must have its versions.
    :param make: makes a worker's answerer; it is sent to the workers.
    :raises InputError: if another run is in the folder.
    :raises RerankError: if a worker answers otherwise than this process.
    :raises WorkerEndedError: if a worker ends unexpectedly.
    """
    with alone_in(plan), unfinished_files(plan) as unfinished:
        tally = Tally(plan, alike, progress=progress, say=say)
        reporter = partial(file_reporter, plan, make, expectation(alike), "worker")
        with working(workers, reporter) as apply:
            reports = apply(enumerate(columns_before(plan, alike)))
            return count_reports(
                ((number, report) for (number, _), report in reports), tally, unfinished
            )


def file_reporter(*arguments: Any) -> Callable[[tuple[int, SharedColumns]], dict[str, Any]]:
    """Make a worker and return what scores a file by its number and the columns before it."""
    worker = FileWorker(*arguments)
    return lambda item: worker.report(*item)
