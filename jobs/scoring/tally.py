"""What a run has done so far: counted file by file, whichever engine does the files."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from index.errors import InputError
from jobs.scoring.answering import Answerer
from jobs.scoring.plan import ScorePlan
from jobs.scoring.scoring_task import Outcome
from jobs.scoring.summary import ScoreSummary


class Progress(NamedTuple):
    """How far a run is.

    :param share: of the bytes to read, 0 to 1.
    :param rows: scored so far in this run.
    :param files: finished or set aside so far.
    """

    share: float
    rows: int
    files: int
    n_files: int


class Tally:
    """Counts the outcomes of a plan's files, in any order, and tells how far the run is.

    :param answerer: whose versions the summary names.
    """

    def __init__(
        self,
        plan: ScorePlan,
        answerer: Answerer,
        *,
        progress: Callable[[Progress], None],
        say: Callable[[str], None],
    ) -> None:
        self._plan, self._answerer, self._progress, self._say = plan, answerer, progress, say
        self._started = time.perf_counter()
        self._said: set[str] = set()
        self._decisions: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._files = {"scored": 0, "kept": 0, "failed": len(plan.faults)}
        self._failures: dict[int, str] = {}
        self._rejects = self._reused = 0
        # kept files take no time: without them in either, the time left is told from the share
        self._bytes_left = self._bytes = sum(task.n_bytes for task in plan.tasks)
        for error in plan.faults.values():
            self._say(f"Set aside: {error}")

    def say(self, text: str) -> None:
        """Pass on what was said of a file; what all files have in common is said once."""
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def tell(self, number: int, share: float, rows: int) -> None:
        """Tell how far the run is with a file of which a share, so many rows, is done.

        :param number: of the file in the plan.
        """
        done = self._bytes - self._bytes_left + share * self._plan.tasks[number].n_bytes
        self._progress(
            Progress(
                min(1.0, max(0.0, done / max(self._bytes, 1))),
                self._rows["scored"] + rows,
                sum(self._files.values()),
                self._plan.n_files,
            )
        )

    def add(self, number: int, outcome: Outcome) -> None:
        """Count a file that is done.

        :param number: of the file in the plan.
        :raises InputError: if it failed and is the only one.
        """
        task = self._plan.tasks[number]
        self._files[outcome.kind] += 1
        if outcome.counts is None:
            if self._plan.folder is None:
                raise InputError(outcome.error)
            self._say(f"Set aside: {outcome.error}")
            self._failures[number] = outcome.error
        else:
            self._rows[outcome.kind] += outcome.counts.rows
            self._rejects += outcome.counts.rejects
            self._reused += outcome.n_reused
            self._decisions.update(outcome.counts.decisions)
        if outcome.kind == "kept":
            self._bytes -= task.n_bytes
        self._bytes_left -= task.n_bytes
        self.tell(number, 0.0, 0)

    def summary(self) -> ScoreSummary:
        """Return what came out of all files."""
        failures = dict(self._plan.faults) | {
            str(self._plan.tasks[number].source): self._failures[number]
            for number in sorted(self._failures)
        }
        return ScoreSummary(
            rows=self._rows.total(),
            decisions=dict(self._decisions),
            seconds=time.perf_counter() - self._started,
            rejects=self._rejects,
            kept_rows=self._rows["kept"],
            reused_rows=self._reused,
            model_version=self._answerer.model_version,
            index_version=self._answerer.index_version,
            files=self._files,
            failures=failures,
        )
