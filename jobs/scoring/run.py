"""Score the files of a plan: in this process, in workers of its own, or in actors of Ray."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rerank.index.artifacts import writing_file
from rerank.index.errors import InputError, MismatchError, RerankError
from rerank.jobs.files.listings import open_listings
from rerank.jobs.files.places import Place, place_of
from rerank.jobs.files.selection import Selection
from rerank.jobs.options import StatusLine, time_left
from rerank.jobs.scoring.answering import (
    Answerer,
    Moves,
    RememberingAnswerer,
    ScoreOptions,
    answering,
    count_answers,
    pinned,
    resolver_answerer,
)
from rerank.jobs.scoring.one_file import (
    FILE_FAULTS,
    DraftGroup,
    FileCounts,
    FileOutcome,
    alone_in,
    failed_outcome,
    remove_left_overs,
    score_task,
    targets_of,
)
from rerank.jobs.scoring.plan import (
    Existing,
    ScorePlan,
    SharedColumns,
    column_types,
    read_record,
)
from rerank.jobs.workers import Item, Result, working
from rerank.resolution import Decision


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
    options, people = pinned(home, options)
    if people is not None:
        said = f"People's verdicts stand before the model: {people.n_standing:,}"
        say(f"{said}, version {people.version}")
    is_local = engine.kind is EngineKind.LOCAL
    if is_local and not is_worth_spreading(plan, engine.workers):
        with answering(home, options, workers=engine.workers) as answerer:
            if since is not None:
                answerer = RememberingAnswerer(answerer, outputs, say=say)
                _say_known(answerer.n_known, say)
            return run_plan(plan, answerer, progress=progress, say=say)
    if not is_local:
        from rerank.jobs.scoring.ray_engine import import_ray

        import_ray()  # before the time it takes to load a resolver
    alike = resolver_answerer(home, options)
    if since is not None:
        _say_known(count_answers(outputs, alike), say)
    make = partial(remembering_resolver, home.absolute(), options, outputs)
    return run_spread(plan, alike, make, engine, progress=progress, say=say)


def remembering_resolver(
    home: Path, options: ScoreOptions, outputs: Sequence[Place], say: Callable[[str], None]
) -> Answerer:
    """Load a workspace's resolver, with the answers of earlier outputs before it.

    :param say: takes warnings of outputs that are damaged.
    """
    fresh = resolver_answerer(home, options)
    return RememberingAnswerer(fresh, outputs, say=say) if outputs else fresh


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


MakesAnswerer = Callable[[Callable[[str], None]], Answerer]
"""Makes a worker's answerer, of what takes its warnings."""
_ANSWERERS = {"model_version": "model", "index_version": "index", "release": "release"}


class FileWorker:
    """The function of a worker process, or of an actor of Ray: scores a file of a plan.

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

    def __call__(self, item: tuple[int, SharedColumns]) -> dict[str, Any]:
        """Score a file and return its ``outcome`` and what was ``said``, or the worker's fault.

        :param item: its number, and the columns of the files before it in the plan.
        """
        number, columns = item
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
        found = answerer.expectation()
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
    options = answerer.options
    columns = SharedColumns(strict=options.strict)
    for task in plan.tasks:
        yield columns
        if not columns.are_settled:
            columns = columns.copy()
            with suppress(*FILE_FAULTS):  # the worker that takes this file reports it
                listings = open_listings(task.source, options.columns, options.encoding)
                columns.check(task.source, column_types(listings.schema))


@contextmanager
def unfinished_files(plan: ScorePlan) -> Iterator[set[int]]:
    """Yield the numbers of all files; in the end, remove what was left of them.

    Of finished ones, too: one may have been begun by a worker that was killed.
    """
    unfinished = set(range(len(plan.tasks)))
    try:
        yield unfinished
    finally:
        remove_left_overs(targets_of(plan))


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
        self._moves, self._by_file = Moves(), dict[str, FileCounts]()
        # kept files take no time: without them in either, the time left is told from the share
        self._bytes_left = self._bytes = sum(task.n_bytes for task in plan.tasks)
        self._n_files = plan.n_files
        self._expected: dict[int, int] = {}  # rows of files that are written and not there yet
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
        tasks = self._plan.tasks
        written = sum(tasks[at].n_bytes for at in self._expected)
        done = self._bytes - self._bytes_left + written + share * tasks[number].n_bytes
        self._progress(
            Progress(
                min(1.0, max(0.0, done / max(self._bytes, 1))),
                self._rows["scored"] + sum(self._expected.values()) + rows,
                sum(self._files.values()),
                self._n_files,
            )
        )

    def expect(self, number: int, outcome: FileOutcome) -> None:
        """Take a file that is written and will appear with others."""
        self._expected[number] = 0 if outcome.counts is None else outcome.counts.rows

    def add(self, number: int, outcome: FileOutcome) -> None:
        """Count a file that is done.

        :param number: of the file in the plan.
        :raises InputError: if it failed and is the only one.
        """
        task = self._plan.tasks[number]
        self._expected.pop(number, None)
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
            self._moves.join(outcome.moves)
            self._by_file[str(task.source)] = outcome.counts
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
            verdicts=None if self._answerer.people is None else self._answerer.people.version,
            moves=self._moves,
            by_file=self._by_file,
        )


_TELLING_ROWS = 50
_STRANGE = 0.2  # share of listings held for review up to which a feed is of other goods


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
    :param verdicts: version of people's verdicts that stood before the model; None for none.
    :param moves: what became of rows that a change of the index may have touched.
    :param by_file: what came out of each finished file, by its name.
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
    verdicts: str | None = None
    moves: Moves = field(default_factory=Moves)
    by_file: Mapping[str, FileCounts] = field(default_factory=dict)

    @property
    def rows_per_second(self) -> float:
        """Rows scored in this run, by the second."""
        return (self.rows - self.kept_rows) / max(self.seconds, 1e-9)

    def line(self) -> str:
        """Return the one line that is shown at the end."""
        said = ", ".join(f"{self.decisions.get(name, 0)} {name}" for name in Decision)
        parts = [
            f"{self.rows} rows: {said}; {self.seconds:.1f} s, {self.rows_per_second:,.0f} rows/s"
        ]
        if self.rejects:
            parts.append(f"{self.rejects} rejects")
        if self.kept_rows:
            parts.append(f"{self.kept_rows} rows kept from an earlier run")
        if self.reused_rows:
            parts.append(f"{self.reused_rows} answers reused")
        if self.moves.again:
            parts.append(self.moves.line())
        if sum(self.files.values()) > 1:
            parts.append(", ".join(f"{n} files {what}" for what, n in self.files.items() if n))
        parts.append(f"model {self.model_version}, index {self.index_version}")
        return "; ".join(parts)

    def warning(self) -> str:
        """Return what to say where hardly a listing sells anything of the catalogue, "" else."""
        read, held = self.rows - self.rejects, self.decisions.get(Decision.REVIEW, 0)
        if read < _TELLING_ROWS or self.decisions.get(Decision.MATCH, 0) or held > read * _STRANGE:
            return ""
        return (
            f"Warning: none of {read} listings is a match: they seem to be of other goods than the "
            "catalogue, or in another language"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return {
            "rows": self.rows,
            "decisions": {name: self.decisions.get(name, 0) for name in Decision},
            "rejects": self.rejects,
            "kept_rows": self.kept_rows,
            "reused_rows": self.reused_rows,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows_per_second, 1),
            "model_version": self.model_version,
            "index_version": self.index_version,
            "files": dict(self.files),
            "failures": [{"file": file, "error": text} for file, text in self.failures.items()],
            **({} if self.verdicts is None else {"verdicts_version": self.verdicts}),
            **({"moves": asdict(self.moves)} if self.moves.again else {}),
        }


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
    with alone_in(plan, say), DraftGroup() as group:
        tally = Tally(plan, answerer, progress=progress, say=say)
        columns = SharedColumns(strict=answerer.options.strict)
        written: list[tuple[int, FileOutcome]] = []
        for number, task in enumerate(plan.tasks):
            outcome = score_task(
                task,
                answerer,
                columns,
                resume=plan.existing is Existing.RESUME,
                progress=partial(tally.tell, number),
                say=tally.say,
                group=group,
            )
            written.append((number, outcome))
            tally.expect(number, outcome)
            if group.is_due or number == len(plan.tasks) - 1:
                faults = iter(group.publish())
                for at, made in written:
                    fault = next(faults) if made.kind == "scored" else None
                    tally.add(at, made if fault is None else failed_outcome(plan.tasks[at], fault))
                written.clear()
        answerer.ready()
        return tally.summary()


_SMALL_BYTES = 1 << 20  # some 10,000 to 30,000 listings: seconds, which Ctrl-C has to wait for
_FILES_A_WORKER = 2  # at least, or the last ones leave workers without anything to do


def is_worth_spreading(plan: ScorePlan, workers: int) -> bool:
    """Return whether a plan has files enough for all workers, and none of any size."""
    return (
        workers > 1
        and len(plan.tasks) >= _FILES_A_WORKER * workers
        and max(task.n_bytes for task in plan.tasks) <= _SMALL_BYTES
    )


_ONE_FILE = (
    "Ray spreads files over workers: one file goes to one worker, others of --workers have nothing "
    "to do"
)


def run_spread(
    plan: ScorePlan,
    alike: Answerer,
    make: MakesAnswerer,
    engine: Engine,
    *,
    progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> ScoreSummary:
    """Score every file of a plan as `run_plan` does, the files spread over workers.

    :param alike: an answerer of this process; those of the workers must have its versions.
    :param make: makes a worker's answerer; it is sent to the workers.
    :raises InputError: if another run is in the folder, or the plan is one file and that fails.
    :raises RerankError: if a worker cannot answer, or answers otherwise than this process.
    :raises WorkerEndedError: if a worker ends unexpectedly; on Ray, again and again.
    """
    on_ray = engine.kind is EngineKind.RAY
    if on_ray and plan.folder is None:
        say(_ONE_FILE)
    name = "Ray worker" if on_ray else "worker"
    worker = partial(FileWorker, plan, make, alike.expectation(), name)
    with (
        alone_in(plan, say),
        unfinished_files(plan) as unfinished,
        _workers(engine, worker) as apply,
    ):
        tally = Tally(plan, alike, progress=progress, say=say)
        for (number, _), report in apply(enumerate(columns_before(plan, alike))):
            if "fault" in report:
                raise RerankError(report["fault"])
            for text in report["said"]:
                tally.say(text)
            unfinished.remove(number)
            tally.add(number, FileOutcome.from_json(report["outcome"]))
        if unfinished:
            raise AssertionError(f"{len(unfinished)} files without outcome")
        return tally.summary()


def _workers(
    engine: Engine, make: Callable[[], Callable[[Item], Result]]
) -> AbstractContextManager[Callable[[Iterable[Item]], Iterator[tuple[Item, Result]]]]:
    if engine.kind is EngineKind.LOCAL:
        return working(engine.workers, make)
    from rerank.jobs.scoring.ray_engine import working_on_ray

    return working_on_ray(engine.workers, make, address=engine.address)


_NOT_BEGUN = Progress(0.0, 0, 0, 0)


class ProgressLine(StatusLine):
    """Shows rows, rows/s and the time left."""

    latest = _NOT_BEGUN

    def show(self, progress: Progress) -> None:
        """Show how far the run is, if some time has passed; on a terminal that it begins, too."""
        if self.is_terminal and self.latest is _NOT_BEGUN:
            self._shown -= self.period_s
        self.latest = progress
        self.offer(partial(progress_text, progress))


def progress_text(progress: Progress, seconds: float) -> str:
    """Return the line that says how far a run is."""
    parts = [f"scoring {progress.share:4.0%}"]
    if progress.n_files > 1:
        parts.append(f"{progress.files}/{progress.n_files} files")
    parts.append(f"{progress.rows:,} rows")
    if seconds > 0 and progress.rows:
        parts.append(f"{progress.rows / seconds:,.0f} rows/s")
    if 0 < progress.share < 1:
        parts.append(time_left(seconds, progress.share))
    return ", ".join(parts)


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
