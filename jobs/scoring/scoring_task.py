"""Score one file of a plan and say what became of it: the work that every engine hands out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

from index.errors import InputError
from index.file_faults import os_error_text
from jobs.listing_files import open_listings
from jobs.places import Place
from jobs.scoring.answering import Answerer
from jobs.scoring.column_kinds import NULL, agree
from jobs.scoring.one_file import FileCounts, score_one
from jobs.scoring.output_columns import renamed_columns
from jobs.scoring.plan import Task
from jobs.scoring.provenance import column_types, differences, making, read_record

_DIFFERENCES_SHOWN = 5
_SPARSE = ".jsonl"
_MISSING = "missing"
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
    """The columns all files of a run must have: those of the first one that can be opened.

    Their types need not be the same, but of a kind (`column_kinds`). JSON lines have a key only
    where there is a value: a column that such a file lacks counts as null.
    """

    def __init__(self) -> None:
        self._first: Place | None = None
        self._types: dict[str, str] = {}
        self._only_sparse = True  # no file so far had to have all of its columns

    @property
    def are_settled(self) -> bool:
        """Whether no further file can add to what is demanded of those after it."""
        return not self._only_sparse and NULL not in self._types.values()

    def copy(self) -> SharedColumns:
        """Return the same columns, which do not change with these."""
        other = SharedColumns()
        other._first, other._only_sparse = self._first, self._only_sparse
        other._types = dict(self._types)
        return other

    def check(self, source: Place, types: dict[str, str]) -> None:
        """Check that a file has the columns of the first one: the outputs are read as one table.

        :param types: in words, by the name of the column.
        :raises InputError: if they differ.
        """
        sparse = source.suffix == _SPARSE
        if self._first is None:
            self._first = source
        elif odd := self._odd(types, sparse=sparse):
            more = ", ..." if len(odd) > _DIFFERENCES_SHOWN else ""
            raise InputError(
                f"{source}: expected the columns of {self._first}, found "
                f"{', '.join(odd[:_DIFFERENCES_SHOWN])}{more}; make them alike, or score it apart"
            )
        self._only_sparse &= sparse
        for name, words in types.items():
            if self._types.get(name, NULL) == NULL:
                self._types[name] = words

    def _odd(self, types: dict[str, str], *, sparse: bool) -> list[str]:
        """Return the columns that do not fit, in words."""
        own = NULL if sparse else _MISSING
        there = NULL if self._only_sparse else _MISSING
        return [
            f"{name} {types.get(name, _MISSING)} (there {self._types.get(name, _MISSING)})"
            for name in dict.fromkeys([*self._types, *types])
            if not agree(types.get(name, own), self._types.get(name, there))
            or _MISSING in (types.get(name, own), self._types.get(name, there))
        ]


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
        record = _making(task.source, answerer)
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
            listings,
            task.target,
            answerer,
            record=record,
            check_source=check_source,
            progress=lambda rows: progress(rows / max(listings.n_rows, rows), rows),
        )
    except FILE_FAULTS as exc:
        return Outcome("failed", error=_message(task, exc))
    return Outcome("scored", counts, n_reused=answerer.n_reused - known)


def _making(source: Place, answerer: Answerer) -> dict[str, Any]:
    """Return how a file's output is made; reads the file, so that it is known to be readable.

    :raises InputError: if it is not.
    """
    try:
        return making(source, answerer)
    except OSError as exc:
        raise InputError(f"{source}: cannot be read: {_words(exc)}") from exc


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
    return f"{task.source}: not scored into {task.target.resolved}: {_words(exc)}"


def _words(exc: Exception) -> str:
    """Return what is wrong and what to do, without a path: that of a draft is nobody's."""
    if isinstance(exc, OSError) and exc.errno is not None:
        return os_error_text(OSError(exc.errno, os.strerror(exc.errno)))
    return " ".join(str(exc).split())
