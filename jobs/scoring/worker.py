"""Score whole files in workers: numbers of files go out, reports come back as plain values.

What a worker process of this machine and an actor of Ray have in common.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rerank.index.errors import InputError, MismatchError, RerankError
from rerank.jobs.files.listings import open_listings
from rerank.jobs.scoring.answering import Answerer
from rerank.jobs.scoring.one_file import (
    FILE_FAULTS,
    FileOutcome,
    SharedColumns,
    remove_left_overs,
    score_task,
)
from rerank.jobs.scoring.plan import Existing, ScorePlan, column_types, expectation

MakesAnswerer = Callable[[Callable[[str], None]], Answerer]
"""Makes a worker's answerer, of what takes its warnings."""
_ANSWERERS = {"model_version": "model", "index_version": "index", "release": "release"}


class FileWorker:
    """Scores files of a plan, by their numbers.

    :param make: makes the answerer when the first file comes, of what takes its warnings; its
        errors then reach the caller.
    :param expected: what decides answers in the process that started the run.
    :param name: what the worker is called in errors.
    """

    def __init__(
        self,
        plan: ScorePlan,
        make: MakesAnswerer,
        expected: Mapping[str, Any],
        name: str,
    ) -> None:
        self._plan, self._make, self._expected, self._name = plan, make, expected, name
        self._answerer: Answerer | None = None
        self._said: list[str] = []

    def report(self, number: int, columns: SharedColumns) -> dict[str, Any]:
        """Score a file and return its ``outcome`` and what was ``said``, or the worker's fault.

        :param columns: of the files before it in the plan.
        """
        self._said.clear()
        try:
            self._answerer = self._answerer or self._checked_answerer()
        except RerankError as exc:
            return {"fault": f"the {self._name} on {socket.gethostname()} cannot answer: {exc}"}
        outcome = score_task(
            self._plan.tasks[number],
            self._answerer,
            columns.copy(),
            resume=self._plan.existing is Existing.RESUME,
            say=self._said.append,
        )
        return {"outcome": outcome.as_json(), "said": list(self._said)}

    def _checked_answerer(self) -> Answerer:
        """Load what answers.

        :raises MismatchError: if it would answer otherwise than where the run was started.
        """
        answerer = self._make(self._said.append)
        found = expectation(answerer)
        odd = [name for name in _ANSWERERS if found[name] != self._expected[name]]
        if odd:
            said = ", ".join(
                f"{_ANSWERERS[name]} {self._expected[name]}, found {found[name]}" for name in odd
            )
            raise MismatchError(
                f"expected {said}; run again if another was put in its place meanwhile, else "
                "install the same release there and let the workspace (--home) be reachable at the "
                "same path"
            )
        return answerer


def columns_before(plan: ScorePlan, answerer: Answerer) -> Iterator[SharedColumns]:
    """Yield, for each file of a plan, the columns that the files before it demand.

    So each file is judged as if all were done one after the other. Files are opened until no
    further one can add to what is demanded: most often that is the first alone. Readers of CSV and
    JSON lines read a file through to open it. What is yielded is the same object as before where
    nothing was added.
    """
    columns = SharedColumns()
    for task in plan.tasks:
        yield columns
        if not columns.are_settled:
            columns = columns.copy()
            with suppress(*FILE_FAULTS):  # the worker that takes this file reports it
                listings = open_listings(task.source, answerer.options.columns)
                columns.check(task.source, column_types(listings.schema))


def count_reports(
    reports: Iterable[tuple[int, Mapping[str, Any]]], tally: Tally, unfinished: set[int]
) -> ScoreSummary:
    """Count the reports of all files of a plan, in any order, as they come.

    :param unfinished: numbers of files, those that are reported are taken out.
    :raises RerankError: if a worker could not answer.
    """
    for number, report in reports:
        if "fault" in report:
            raise RerankError(report["fault"])
        for text in report["said"]:
            tally.say(text)
        unfinished.remove(number)
        tally.add(number, FileOutcome.from_json(report["outcome"]))
    if unfinished:
        raise AssertionError(f"{len(unfinished)} files without outcome")
    return tally.summary()


@contextmanager
def unfinished_files(plan: ScorePlan) -> Iterator[set[int]]:
    """Yield the numbers of all files; in the end, remove what was left of those still in there."""
    unfinished = set(range(len(plan.tasks)))
    try:
        yield unfinished
    finally:
        for number in unfinished:
            target = plan.tasks[number].target
            remove_left_overs(target.resolved)
            remove_left_overs(target.rejects)


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

    def add(self, number: int, outcome: FileOutcome) -> None:
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


DECISIONS = ("match", "review", "no_match")


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """What came out of a run.

    :param rows: of all finished files, those that an earlier run had finished included.
    :param decisions: how many rows got each decision.
    :param seconds: spent on the rows scored now.
    :param kept_rows: rows of files that an earlier run had finished.
    :param reused_rows: rows scored now whose answer an earlier output already had.
    :param files: how many were ``scored``, ``kept`` or ``failed``.
    :param failures: of files that were set aside: the message by the name of the file.
    """

    rows: int
    decisions: Mapping[str, int]
    seconds: float
    rejects: int = 0
    kept_rows: int = 0
    reused_rows: int = 0
    model_version: str = ""
    index_version: str = ""
    files: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows_per_second(self) -> float:
        """Rows scored in this run, by the second."""
        return (self.rows - self.kept_rows) / max(self.seconds, 1e-9)

    def line(self) -> str:
        """Return the one line that is shown at the end."""
        said = ", ".join(f"{self.decisions.get(name, 0)} {name}" for name in DECISIONS)
        parts = [
            f"{self.rows} rows: {said}; {self.seconds:.1f} s, {self.rows_per_second:,.0f} rows/s"
        ]
        if self.rejects:
            parts.append(f"{self.rejects} rejects")
        if self.kept_rows:
            parts.append(f"{self.kept_rows} rows kept from an earlier run")
        if self.reused_rows:
            parts.append(f"{self.reused_rows} answers reused")
        if sum(self.files.values()) > 1:
            parts.append(", ".join(f"{n} files {what}" for what, n in self.files.items() if n))
        parts.append(f"model {self.model_version}, index {self.index_version}")
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return {
            "rows": self.rows,
            "decisions": {name: self.decisions.get(name, 0) for name in DECISIONS},
            "rejects": self.rejects,
            "kept_rows": self.kept_rows,
            "reused_rows": self.reused_rows,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows_per_second, 1),
            "model_version": self.model_version,
            "index_version": self.index_version,
            "files": dict(self.files),
            "failures": [{"file": file, "error": text} for file, text in self.failures.items()],
        }
