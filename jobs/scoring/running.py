"""Score the files of a plan one after the other; one that fails is set aside, not the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from index.errors import InputError
from jobs.listing_files import ListingFile, open_listings
from jobs.listing_files.selection import REJECTS_ENDING
from jobs.places import Place, place_of
from jobs.scoring.answering import Answerer, ResolverAnswerer, ScoreOptions
from jobs.scoring.drafts import exclusive
from jobs.scoring.one_file import FileCounts, Target, score_one
from jobs.scoring.output_columns import renamed_columns
from jobs.scoring.plan import Existing, ScorePlan, Task
from jobs.scoring.provenance import column_types, differences, making, read_record
from jobs.scoring.summary import ScoreSummary

if TYPE_CHECKING:
    from rerank.resolver import Resolver

_DIFFERENCES_SHOWN = 5


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
    guard: AbstractContextManager[None] = nullcontext()
    if plan.folder is not None:
        guard = exclusive(plan.folder)
    with guard:
        return _Run(plan, answerer, progress, say).summary()


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
        source, Target(place, place.sibling(target.stem + REJECTS_ENDING)), answerer, record={},
        progress=lambda rows: progress(rows / max(source.n_rows, rows)),
    )  # fmt: skip
    return ScoreSummary(
        counts.rows, counts.decisions, time.perf_counter() - started, counts.rejects,
        model_version=answerer.model_version, index_version=answerer.index_version,
    )  # fmt: skip


class _Run:
    """A run: what it counts while it goes through the plan."""

    def __init__(
        self,
        plan: ScorePlan,
        answerer: Answerer,
        progress: Callable[[Progress], None],
        say: Callable[[str], None],
    ) -> None:
        self._plan, self._answerer, self._progress, self._say = plan, answerer, progress, say
        self._columns: tuple[Place, dict[str, str]] | None = None
        self._warned: set[str] = set()
        self._decisions: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._files = {"scored": 0, "kept": 0, "failed": 0}
        self._failures: dict[str, str] = {}
        self._rejects = 0
        # kept files take no time: without them in either, the time left is told from the share
        self._bytes_left = self._bytes = sum(task.n_bytes for task in plan.tasks)

    def summary(self) -> ScoreSummary:
        """Go through the plan."""
        started = time.perf_counter()
        for task in self._plan.tasks:
            try:
                self._take(task)
            except (InputError, OSError, pa.ArrowException) as exc:
                if self._plan.folder is None:
                    raise _named(task, exc) from exc
                self._set_aside(task, _named(task, exc))
            self._bytes_left -= task.n_bytes
            self._tell(task, 0.0, 0)
        return ScoreSummary(
            rows=self._rows.total(), decisions=dict(self._decisions),
            seconds=time.perf_counter() - started, rejects=self._rejects,
            kept_rows=self._rows["kept"], model_version=self._answerer.model_version,
            index_version=self._answerer.index_version, files=self._files,
            failures=self._failures,
        )  # fmt: skip

    def _take(self, task: Task) -> None:
        before = task.source.info()
        record = making(task.source, self._answerer)
        if self._plan.existing is Existing.RESUME and self._is_finished(task, record):
            return
        listings = open_listings(task.source, self._answerer.options.columns)
        self._check_columns(task.source, column_types(listings.schema))
        self._warn_of_renamed(listings.schema)

        def check_source() -> None:
            after = task.source.info()
            if (before.size, before.mtime_ns) != (after.size, after.mtime_ns):
                raise InputError(f"{task.source}: changed while it was read; run again")

        counts = score_one(
            listings, task.target, self._answerer, record=record, check_source=check_source,
            progress=lambda rows: self._tell(task, rows / max(listings.n_rows, rows), rows),
        )  # fmt: skip
        self._count("scored", counts)

    def _is_finished(self, task: Task, expected: dict[str, Any]) -> bool:
        """Count a file that an earlier run finished; say why one that is there is done again."""
        record = read_record(task.target.resolved)
        if record is None:
            return False
        changed = differences(record, expected)
        if not changed and record["counts"]["rejects"] and not task.target.rejects.exists():
            changed = ["its rejects are gone"]
        if changed:
            self._say(f"{task.source}: scored again, {' and '.join(changed)}")
            return False
        self._check_columns(task.source, record["columns"])
        self._count("kept", FileCounts(**record["counts"]))
        self._bytes -= task.n_bytes
        return True

    def _check_columns(self, source: Place, types: dict[str, str]) -> None:
        """Check that a file has the columns of the first one: the outputs are read as one table.

        :raises InputError: if they differ.
        """
        if self._columns is None:
            self._columns = source, types
            return
        first, expected = self._columns
        odd = [
            f"{name} {types.get(name, 'missing')} (there {expected.get(name, 'missing')})"
            for name in dict.fromkeys([*expected, *types])
            if types.get(name) != expected.get(name)
        ]
        if odd:
            more = ", ..." if len(odd) > _DIFFERENCES_SHOWN else ""
            raise InputError(
                f"{source}: expected the columns of {first}, found "
                f"{', '.join(odd[:_DIFFERENCES_SHOWN])}{more}; make them alike, or score it apart"
            )

    def _warn_of_renamed(self, schema: pa.Schema) -> None:
        for old, new in renamed_columns(schema.names, self._answerer.schema).items():
            if old not in self._warned:
                self._warned.add(old)
                self._say(f"Warning: your column {old!r} is kept as {new!r}")

    def _set_aside(self, task: Task, exc: InputError) -> None:
        self._say(f"Set aside: {exc}")
        self._failures[str(task.source)] = str(exc)
        self._files["failed"] += 1

    def _count(self, what: str, counts: FileCounts) -> None:
        self._files[what] += 1
        self._rows[what] += counts.rows
        self._rejects += counts.rejects
        self._decisions.update(counts.decisions)

    def _tell(self, task: Task, share: float, rows: int) -> None:
        done = self._bytes - self._bytes_left + share * task.n_bytes
        self._progress(
            Progress(
                min(1.0, max(0.0, done / max(self._bytes, 1))), self._rows["scored"] + rows,
                sum(self._files.values()), len(self._plan.tasks),
            )
        )  # fmt: skip


def _named(task: Task, exc: Exception) -> InputError:
    """Return an error that names the file: a full disk names none."""
    if isinstance(exc, InputError):
        return exc
    text = " ".join(str(exc).split())
    return InputError(f"{task.source}: not scored into {task.target.resolved} ({text})")
