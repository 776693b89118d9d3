"""Score whole files in workers: numbers of files go out, reports come back as plain values.

What a worker process of this machine and an actor of Ray have in common.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from index.errors import MismatchError, RerankError
from jobs.listing_files import open_listings
from jobs.scoring.answering import Answerer
from jobs.scoring.drafts import remove_left_overs
from jobs.scoring.plan import Existing, ScorePlan
from jobs.scoring.provenance import column_types, expectation
from jobs.scoring.scoring_task import FILE_FAULTS, Outcome, SharedColumns, score_task
from jobs.scoring.summary import ScoreSummary
from jobs.scoring.tally import Tally

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
        tally.add(number, Outcome.from_json(report["outcome"]))
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
