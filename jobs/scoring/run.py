"""Where files are scored: in this process with workers of its own, or on Ray."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rerank.index.artifacts import writing_file
from rerank.index.errors import InputError
from rerank.jobs.files.listings import ListingFile
from rerank.jobs.files.places import Place, place_of
from rerank.jobs.files.selection import REJECTS_ENDING, Selection
from rerank.jobs.scoring.answering import (
    Answerer,
    ResolverAnswerer,
    ScoreOptions,
    answering,
    resolver_answerer,
)
from rerank.jobs.scoring.earlier_answers import RememberingAnswerer, count_answers
from rerank.jobs.scoring.one_file import SharedColumns, alone_in, score_one, score_task
from rerank.jobs.scoring.plan import Existing, ScorePlan, Target, expectation, read_record
from rerank.jobs.scoring.worker import (
    FileWorker,
    MakesAnswerer,
    Progress,
    ScoreSummary,
    Tally,
    columns_before,
    count_reports,
    unfinished_files,
)
from rerank.jobs.workers import working

if TYPE_CHECKING:
    from rerank.resolver import Resolver


class EngineKind(Enum):
    """What spreads the work."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, slots=True)
class Engine:
    """Where the work is done.

    :param workers: processes that resolve, at least 1.
    :param address: of a Ray cluster; None for one of this machine.
    """

    kind: EngineKind = EngineKind.LOCAL
    workers: int = 1
    address: str | None = None


def run_scoring(
    home: Path,
    plan: ScorePlan,
    options: ScoreOptions,
    engine: Engine,
    *,
    since: Selection | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> ScoreSummary:
    """Score every file of a plan with a workspace's resolver; the files are the same by any engine.

    :param since: earlier outputs, whose answers unchanged listings keep.
    :param say: takes warnings and the failures of single files, as they come.
    :raises InputError: if the plan is one file and that fails, another run is in the folder, or an
        earlier output is one that this run writes.
    :raises RerankError: if workers cannot be started, or end unexpectedly.
    """
    outputs = _earlier_outputs(plan, since, say)
    is_local = engine.kind is EngineKind.LOCAL
    if is_local and not is_worth_spreading(plan, engine.workers):
        with answering(home, options, workers=engine.workers) as fresh:
            answerer = RememberingAnswerer(fresh, outputs, say=say)
            if since is not None:
                _say_known(answerer.n_known, say)
            return run_plan(plan, answerer, progress=progress, say=say)
    if not is_local:
        from rerank.jobs.scoring.ray_engine import import_ray

        import_ray()  # before the time it takes to load a resolver
    alike = resolver_answerer(home, options)
    if since is not None:
        _say_known(count_answers(outputs, alike), say)
    make = partial(remembering_resolver, home.absolute(), options, outputs)
    if is_local:
        return run_spread(plan, alike, make, workers=engine.workers, progress=progress, say=say)
    from rerank.jobs.scoring.ray_engine import run_on_ray

    return run_on_ray(
        plan,
        alike,
        make,
        workers=engine.workers,
        address=engine.address,
        progress=progress,
        say=say,
    )


def remembering_resolver(
    home: Path, options: ScoreOptions, outputs: Sequence[Place], say: Callable[[str], None]
) -> RememberingAnswerer:
    """Load a workspace's resolver, with the answers of earlier outputs before it.

    :param say: takes warnings of outputs that are damaged.
    """
    return RememberingAnswerer(resolver_answerer(home, options), outputs, say=say)


def _earlier_outputs(
    plan: ScorePlan, since: Selection | None, say: Callable[[str], None]
) -> list[Place]:
    """Return the files of earlier answers; those that are none are named and left out.

    :raises InputError: if one of them is written by this run.
    """
    if since is None:
        return []
    for fault in since.faults.values():
        say(f"Warning: {fault}; no earlier answers are kept from it")
    outputs = since.places()
    written = {task.target.resolved.path for task in plan.tasks}
    for place in outputs:
        if place.path in written:
            raise InputError(
                f"{place}: cannot be read with --since and written in one run; choose another "
                "output"
            )
    whole = [place for place in outputs if read_record(place) is not None]
    for place in outputs:
        if place not in whole:
            say(
                f"Warning: {place}: damaged, or no output of `rerank score`; no earlier answers "
                "are kept from it"
            )
    return whole


def _say_known(n_known: int, say: Callable[[str], None]) -> None:
    if n_known:
        say(f"{n_known:,} earlier answers of this model, index and options")
    else:
        say("Warning: no earlier answers of this model, index and options: all is answered anew")


def run_plan(
    plan: ScorePlan,
    answerer: Answerer,
    *,
    progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> ScoreSummary:
    """Score every file of a plan.

    :param progress: called after every batch and file.
    :param say: takes warnings and the failures of single files, as they come.
    :raises InputError: if the plan is one file and that fails, or another run is in the folder.
    """
    with alone_in(plan):
        tally, columns = Tally(plan, answerer, progress=progress, say=say), SharedColumns()
        for number, task in enumerate(plan.tasks):
            outcome = score_task(
                task,
                answerer,
                columns,
                resume=plan.existing is Existing.RESUME,
                progress=partial(tally.tell, number),
                say=tally.say,
            )
            tally.add(number, outcome)
        return tally.summary()


def score_file(
    source: ListingFile,
    target: Path,
    resolver: Resolver,
    *,
    options: ScoreOptions | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> ScoreSummary:
    """Resolve every listing of an open file into a parquet file that appears when it is complete.

    A file that is there is replaced. What is written lacks the input's fingerprint, so that no run
    can be resumed over it.

    :param progress: takes the share of rows done, 0 to 1.
    :raises InputError: if candidate sets cannot promise the coverage asked for.
    """
    answerer, started = ResolverAnswerer(resolver, options), time.perf_counter()
    place = place_of(target)
    counts = score_one(
        source,
        Target(place, place.sibling(target.stem + REJECTS_ENDING)),
        answerer,
        record={},
        progress=lambda rows: progress(rows / max(source.n_rows, rows)),
    )
    return ScoreSummary(
        counts.rows,
        counts.decisions,
        time.perf_counter() - started,
        counts.rejects,
        model_version=answerer.model_version,
        index_version=answerer.index_version,
    )


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


_TERMINAL_S = 0.2
_LOG_S = 60.0


class ProgressLine:
    """Shows rows, rows/s and the time left.

    :param clock: seconds, rising; a parameter so that what is shown can be tested.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._started = self._shown = clock()
        self._is_terminal = stream.isatty()
        self._width = 0
        self.latest = Progress(0.0, 0, 0, 0)

    def show(self, progress: Progress) -> None:
        """Show how far the run is, if some time has passed."""
        self.latest = progress
        now = self._clock()
        if now - self._shown < (_TERMINAL_S if self._is_terminal else _LOG_S):
            return
        self._shown = now
        text = progress_text(progress, now - self._started)
        if self._is_terminal:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def say(self, text: str) -> None:
        """Write a line of its own."""
        self.clear()
        self._stream.write(text + "\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


def progress_text(progress: Progress, seconds: float) -> str:
    """Return the line that says how far a run is."""
    parts = [f"scoring {progress.share:4.0%}"]
    if progress.n_files > 1:
        parts.append(f"{progress.files}/{progress.n_files} files")
    parts.append(f"{progress.rows:,} rows")
    if seconds > 0:
        parts.append(f"{progress.rows / seconds:,.0f} rows/s")
    if 0 < progress.share < 1:
        parts.append(f"{_duration(seconds * (1 - progress.share) / progress.share)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def check_summary(
    path: Path | None, plan: ScorePlan, source: Selection, since: Selection | None = None
) -> None:
    """Check, before any work, that a summary may be written, whatever may be replaced.

    :param since: earlier outputs that the run reads.
    :raises InputError: if it would take the place of what the run reads or writes, would lie
        where the input is read, exists already, or is a folder.
    """
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file, found a folder")
    taken = _taken(path, plan, source, since)
    if taken is not None:
        raise InputError(f"{path}: {taken}; choose another name for the summary")
    if path.exists() and plan.existing is Existing.REFUSE:
        raise InputError(f"{path}: exists already; choose another name or give --overwrite")


def write_summary(summary: ScoreSummary, path: Path | None) -> None:
    """Write the summary, if it was asked for."""
    if path is None:
        return
    with writing_file(path) as draft:
        text = json.dumps(summary.as_json(), indent=2, ensure_ascii=False)
        draft.write_text(text + "\n", encoding="utf-8")


def _taken(path: Path, plan: ScorePlan, source: Selection, since: Selection | None) -> str | None:
    """Return what a place is already, in words; None if it is free."""
    place = place_of(path)
    for task in plan.tasks:
        if place.is_same_as(task.source):
            return "is an input of this run"
        if task.target.resolved.inside(place) is not None:
            return f"is where the output of {task.source} goes"
        if task.target.rejects.inside(place) is not None:
            return f"is where the rejects of {task.source} go"
    if source.would_read(place):
        return f"lies in {source.root}, where the input is read"
    earlier = [] if since is None else since.places()
    if any(place.is_same_as(output) for output in earlier):
        return "is an earlier output that --since reads"
    return None
