"""Score one file of a plan and say what became of it: the work that every engine hands out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

from index.errors import InputError
from jobs.listing_files import open_listings
from jobs.places import Place
from jobs.scoring.answering import Answerer
from jobs.scoring.one_file import FileCounts, score_one
from jobs.scoring.output_columns import renamed_columns
from jobs.scoring.plan import Task
from jobs.scoring.provenance import column_types, differences, making, read_record

_DIFFERENCES_SHOWN = 5
FILE_FAULTS = (InputError, OSError, pa.ArrowException)
"""What is wrong with a single file, or the disk; the files after it may do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file.

    :param counts: None if it failed.
    :param error: the message that names the file and the fault, if it failed.
    :param n_reused: rows of it that were answered from earlier outputs.
    """

    kind: Literal["scored", "kept", "failed"]
    counts: FileCounts | None = None
    error: str = ""
    n_reused: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Outcome:
        """Return what `as_json` made plain."""
        counts = content["counts"]
        return cls(**{**content, "counts": None if counts is None else FileCounts(**counts)})


class SharedColumns:
    """The columns all files of a run must have: those of the first one that can be opened."""

    def __init__(self) -> None:
        self._first: tuple[Place, dict[str, str]] | None = None

    def check(self, source: Place, types: dict[str, str]) -> None:
        """Check that a file has the columns of the first one: the outputs are read as one table.

        :raises InputError: if they differ.
        """
        if self._first is None:
            self._first = source, types
            return
        first, expected = self._first
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


def score_task(
    task: Task,
    answerer: Answerer,
    columns: SharedColumns,
    *,
    resume: bool,
    progress: Callable[[float, int], None] = lambda share, rows: None,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Score a file, or keep what an earlier run made of it.

    :param resume: keep an output that is there if it is what would be made now.
    :param progress: takes the share and the number of the file's rows that are done.
    :param say: takes warnings, and why an output that is there is made again.
    """
    known = answerer.n_reused
    try:
        before = task.source.info()
        record = making(task.source, answerer)
        if resume:
            kept = _finished(task, record, columns, say)
            if kept is not None:
                return Outcome("kept", kept)
        listings = open_listings(task.source, answerer.options.columns)
        columns.check(task.source, column_types(listings.schema))
        for old, new in renamed_columns(listings.schema.names, answerer.schema).items():
            say(f"Warning: your column {old!r} is kept as {new!r}")

        def check_source() -> None:
            after = task.source.info()
            if (before.size, before.mtime_ns) != (after.size, after.mtime_ns):
                raise InputError(f"{task.source}: changed while it was read; run again")

        counts = score_one(
            listings, task.target, answerer, record=record, check_source=check_source,
            progress=lambda rows: progress(rows / max(listings.n_rows, rows), rows),
        )  # fmt: skip
    except FILE_FAULTS as exc:
        return Outcome("failed", error=_message(task, exc))
    return Outcome("scored", counts, n_reused=answerer.n_reused - known)


def _finished(
    task: Task, expected: dict[str, Any], columns: SharedColumns, say: Callable[[str], None]
) -> FileCounts | None:
    """Return the counts of a file that an earlier run finished; None if it is to be done again."""
    record = read_record(task.target.resolved)
    if record is None:
        return None
    changed = differences(record, expected)
    if not changed and record["counts"]["rejects"] and not task.target.rejects.exists():
        changed = ["its rejects are gone"]
    if changed:
        say(f"{task.source}: scored again, {' and '.join(changed)}")
        return None
    columns.check(task.source, record["columns"])
    return FileCounts(**record["counts"])


def _message(task: Task, exc: Exception) -> str:
    """Return an error's text with the file: a full disk names none."""
    if isinstance(exc, InputError):
        return str(exc)
    text = " ".join(str(exc).split())
    return f"{task.source}: not scored into {task.target.resolved} ({text})"
