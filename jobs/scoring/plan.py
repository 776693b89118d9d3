"""Which file becomes which, checked before any work, and what columns files share."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from rerank.index.errors import FaultsError, InputError
from rerank.jobs.files.listings import ColumnNames
from rerank.jobs.files.places import Place
from rerank.jobs.files.selection import REJECTS_ENDING, Selection
from rerank.jobs.files.text_formats import PACKED, source_suffix

REJECTS_FOLDER = "_rejects"
"""Of an output folder: readers of folders of parquet pass over names with an underscore."""


PARQUET = ".parquet"
OUTPUT_ENDINGS = (PARQUET, ".csv", ".jsonl", ".ndjson", ".xlsx")
"""What the name of an output may end in."""


class Existing(Enum):
    """What to do with outputs that are there already."""

    REFUSE = "refuse"
    OVERWRITE = "overwrite"
    RESUME = "resume"


class Task(NamedTuple):
    """A file to score, its size in bytes, and where its answers go."""

    source: Place
    n_bytes: int
    target: Target


@dataclass(frozen=True, slots=True)
class ScorePlan:
    """Files to score.

    :param folder: the output folder; None if one file becomes one file.
    :param faults: what is set aside before any work, as it cannot be read: the message by name.
    """

    tasks: tuple[Task, ...]
    existing: Existing
    folder: Place | None
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_files(self) -> int:
        """How many files there are to do or to set aside."""
        return len(self.tasks) + len(self.faults)


def plan_score(
    selection: Selection,
    target: Place,
    *,
    existing: Existing = Existing.REFUSE,
    ending: str = PARQUET,
) -> ScorePlan:
    """Plan a run: one file into one, or a folder's files into a folder of the same shape.

    :param ending: of a folder's outputs, one of `OUTPUT_ENDINGS`.
    :raises InputError: if something may not be written.
    :raises FaultsError: if outputs are there already, all of them named.
    """
    _check_ancestors(target)
    if selection.is_folder:
        tasks = _folder_tasks(selection, target, ending)
        _check_folder(selection, target, tasks)
    else:
        check_file_target(selection.root, target)
        rejects = target.sibling(PurePosixPath(target.name).stem + REJECTS_ENDING)
        size = selection.root.size()
        tasks = (Task(selection.root, size, Target(target, rejects)),)
    _check_inputs(tasks)
    _check_existing(tasks, existing, is_folder=selection.is_folder)
    folder = target if selection.is_folder else None
    return ScorePlan(tasks, existing, folder, selection.faults)


def check_file_target(source: Place, target: Place) -> None:
    """Check that a file may become another, whether that is there or not.

    :raises InputError: if it is not to be parquet, or is a folder or the input.
    """
    if target.suffix not in OUTPUT_ENDINGS:
        found = PurePosixPath(target.name).suffix
        raise InputError(
            f"{target}: expected an output name ending in {', '.join(OUTPUT_ENDINGS)}, found "
            f"{found or 'no ending'!r}; name it "
            f"{PurePosixPath(target.name).with_suffix('.parquet')}"
        )
    if target.is_same_as(source):
        raise InputError(f"{target}: is the input itself; choose another output")
    if target.is_folder():
        raise InputError(f"{target}: is a folder; choose a file name")


def _check_ancestors(target: Place) -> None:
    """Check that folders can be made for a target on this machine."""
    if target.local is None:
        return
    ancestor = next((path for path in target.local.parents if path.exists()), Path("/"))
    if not ancestor.is_dir():
        raise InputError(
            f"{target}: expected a folder at {ancestor}, found a file; choose another output"
        )


def _folder_tasks(selection: Selection, target: Place, ending: str) -> tuple[Task, ...]:
    tasks = []
    for name in selection.files:
        packed = PACKED if name.lower().endswith(PACKED) else ""
        own = PurePosixPath(name[: len(name) - len(packed)])
        rejects = target.child(f"{REJECTS_FOLDER}/{own.with_suffix(PARQUET)}")
        place = Target(target.child(str(own.with_suffix(ending))), rejects)
        source = selection.root.child(name)
        tasks.append(Task(source, source.size(), place))
    return tuple(tasks)


def _check_folder(selection: Selection, target: Place, tasks: tuple[Task, ...]) -> None:
    if target.info().type == fs.FileType.File:
        raise InputError(
            f"{target}: expected a folder for the {len(tasks)} files of {selection.root}, found a "
            "file; choose another output"
        )
    own = [task for task in tasks if selection.would_read(task.target.resolved)]
    if own:
        raise InputError(
            f"{target}: lies where the input is read, so that the next run would read "
            f"{own[0].target.resolved}; choose a folder outside {selection.root}"
        )
    counted = Counter(task.target.resolved.path for task in tasks)
    faults = [
        f"{task.source} would become {task.target.resolved}, as another file would"
        for task in tasks
        if counted[task.target.resolved.path] > 1
    ]
    if faults:
        raise FaultsError(f"{selection.root}: files that differ in their endings only", faults)


def _check_inputs(tasks: tuple[Task, ...]) -> None:
    """Check that nothing that is read in this run is written in it, whatever may be replaced.

    :raises InputError: if an output or a rejects file is an input, links followed.
    """
    read = {_identity(task.source) for task in tasks}
    for task in tasks:
        for what, place in (("output", task.target.resolved), ("rejects", task.target.rejects)):
            if _identity(place) in read:
                raise InputError(
                    f"{place}: is an input of this run, and where the {what} of {task.source} "
                    "would go; choose another output"
                )


def _identity(place: Place) -> tuple[str, str]:
    """Return what is the same for two names of one file."""
    path = place.path if place.local is None else os.path.realpath(place.local)
    return place.filesystem.type_name, path


def _check_existing(tasks: tuple[Task, ...], existing: Existing, *, is_folder: bool) -> None:
    found = [
        fault
        for task in tasks
        for fault in (
            _output_fault(task.target.resolved, existing),
            _rejects_fault(task.target.rejects, existing),
        )
    ]
    faults = [fault for fault in found if fault is not None]
    if faults and not is_folder:
        raise InputError(faults[0])
    if faults:
        raise FaultsError("outputs that exist already", faults)


def _output_fault(target: Place, existing: Existing) -> str | None:
    """Return why what is there may not be replaced by an output; None if it may."""
    if existing is Existing.OVERWRITE or not target.exists():
        return None
    if existing is Existing.REFUSE:
        remedy = "give --overwrite, or --resume to go on with a run that was stopped"
        return f"{target}: exists already; choose another name or {remedy}"
    if target.suffix != PARQUET:
        return f"{target}: exists already; only parquet says how it was made: give --overwrite"
    if read_record(target) is None:
        return (
            f"{target}: exists already and is no output of `rerank score`; choose another name or "
            "give --overwrite"
        )
    return None


def _rejects_fault(place: Place, existing: Existing) -> str | None:
    """Return why what is there may not be replaced by rejects, or removed; None if it may."""
    if place.is_folder():
        return f"{place}: is a folder, and where rejects would go; choose another output"
    if existing is Existing.OVERWRITE or not place.exists() or is_rejects_file(place):
        return None
    return (
        f"{place}: exists already, where rejects would go, and is no rejects file of `rerank "
        "score`; choose another output or give --overwrite"
    )


NULL = "null"
"""The kind of a column that holds nothing; agrees with every other."""
_DICTIONARY = re.compile(r"dictionary<values=(.+), indices=\w+, ordered=\d>")
_KINDS = {
    "text": re.compile(r"string|large_string|string_view"),
    "number": re.compile(r"u?int\d+|halffloat|float|double"),
    "decimal": re.compile(r"decimal\d+\(.*\)"),
    "binary": re.compile(r"binary|large_binary|binary_view|fixed_size_binary\[\d+\]"),
    "date": re.compile(r"date(32\[day\]|64\[ms\])"),
    "time of day": re.compile(r"time(32|64)\[\w+\]"),
    "duration": re.compile(r"duration\[\w+\]"),
}
_TIMESTAMP = re.compile(r"timestamp\[\w+(?:, tz=(.+))?\]")


def column_kind(type_words: str) -> str:
    """Return the kind of an Arrow type, by its words: those of one kind can be read as one column.

    A timestamp's kind has its time zone; nested types are of a kind only if they are the same.

    :param type_words: ``str()`` of the type.
    """
    encoded = _DICTIONARY.fullmatch(type_words)
    if encoded:
        return column_kind(encoded[1])
    stamp = _TIMESTAMP.fullmatch(type_words)
    if stamp:
        return f"timestamp {stamp[1] or 'without time zone'}"
    for kind, pattern in _KINDS.items():
        if pattern.fullmatch(type_words):
            return kind
    return type_words


def agree(one: str, other: str) -> bool:
    """Return whether two types, in words, can be read as one column."""
    kinds = {column_kind(one), column_kind(other)}
    return len(kinds) == 1 or NULL in kinds


_DIFFERENCES_SHOWN = 5
_SPARSE = (".jsonl", ".ndjson", ".json", ".xlsx")
_MISSING = "missing"


def column_types(schema: pa.Schema) -> dict[str, str]:
    """Return the types of a file's columns in words, by name."""
    return {column.name: str(column.type) for column in schema}


class SharedColumns:
    """The columns of a run's files, as those of the first one that can be opened have them.

    Their types need not be the same, but of a kind (`column_kinds`). JSON lines have a key only
    where there is a value: a column that such a file lacks counts as null.

    :param strict: all files must have all of them; else they are united by name, and a column of
        another kind is read as text.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._first: Place | None = None
        self._types: dict[str, str] = {}
        self._only_sparse = True  # no file so far had to have all of its columns

    @property
    def are_settled(self) -> bool:
        """Whether no further file can add to what is demanded of those after it."""
        return not self._only_sparse and NULL not in self._types.values()

    def copy(self) -> SharedColumns:
        """Return the same columns, which do not change with these."""
        other = SharedColumns(strict=self._strict)
        other._first, other._only_sparse = self._first, self._only_sparse
        other._types = dict(self._types)
        return other

    def check(self, source: Place, types: dict[str, str]) -> dict[str, str]:
        """Return the columns of a file that are to be read as text, each with why.

        :param types: in words, by the name of the column.
        :raises InputError: if the first file's are wanted, and these differ.
        """
        sparse = source_suffix(source) in _SPARSE
        why = {}
        if self._first is None:
            self._first = source
        elif self._strict and (odd := self._odd(types, sparse=sparse)):
            more = ", ..." if len(odd) > _DIFFERENCES_SHOWN else ""
            raise InputError(
                f"{source}: expected the columns of {self._first}, found "
                f"{', '.join(odd[:_DIFFERENCES_SHOWN])}{more}; make them alike, or score it apart"
            )
        elif not self._strict:
            why = {
                name: f"{words} here, {there} in {self._first}"
                for name, words in types.items()
                if not agree(words, there := self._types.get(name, NULL))
            }
        if self._strict or not self.are_settled:  # else workers would wait for all files before
            self._only_sparse &= sparse
            for name, words in types.items():
                if self._types.get(name, NULL) == NULL:
                    self._types[name] = words
        return why

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


RECORD_KEY = "rerank.score"
"""The key of the record among the parquet file's key-value metadata; the value is JSON."""
AS_TEXT = "as_text"
"""Of a record: the columns that were read as text; there only where some were."""
VERDICTS_KEY = "verdicts"
"""Of a record: the version of people's verdicts; there only where they are in use."""
_SAID = {
    "input": "the input changed",
    "options": "the options changed",
    "model_version": "another model",
    "index_version": "another index",
    "release": "another release",
    "format": "another release",
    VERDICTS_KEY: "people's verdicts changed",
}


@contextmanager
def opened_parquet(place: Place) -> Iterator[pq.ParquetFile]:
    """Open a parquet file.

    :raises OSError: if it cannot be read, or is no regular file; `pyarrow.ArrowException`, if it is
        no parquet.
    """
    with place.file() as stream:
        yield pq.ParquetFile(stream)


def read_schema(target: Place) -> pa.Schema:
    """Return the columns of a parquet file, with what else its footer says."""
    with opened_parquet(target) as file:
        return file.schema_arrow.with_metadata(file.metadata.metadata)


def read_record(target: Place) -> dict[str, Any] | None:
    """Return the record of a scored file; None if it is none, or damaged."""
    try:
        record = json.loads((read_schema(target).metadata or {})[RECORD_KEY.encode()])
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return None
    sound = isinstance(record, dict) and all(
        isinstance(record.get(name), dict) for name in ("options", "columns", "counts")
    )
    return record if sound else None


def columns_of_output(place: Place, columns: ColumnNames) -> ColumnNames:
    """Return what a file calls the columns that are read, if `rerank score` wrote it.

    What the user names stands; the rest is as the run that wrote the file was told. A column whose
    name the answers took stands there as ``input_NAME``.

    :returns: ``columns`` where the file is none of ours.
    """
    record = read_record(place) if place.suffix == ".parquet" else None
    if record is None:
        return columns
    own, input_names = columns.own(), record["columns"]
    names = set(read_schema(place).names)
    named = {}
    for ours, theirs in record["options"]["columns"].items():
        moved = f"input_{theirs}"
        while moved in input_names:
            moved = f"input_{moved}"
        named[ours] = moved if moved in names and theirs in input_names else theirs
    return columns.renamed({ours: name for ours, name in named.items() if ours not in own})


def differences(
    record: Mapping[str, Any], expected: Mapping[str, Any], *, of_rows: bool = False
) -> list[str]:
    """Say in what a file's making differs from what it would be now; empty if in nothing.

    :param of_rows: what the input calls its columns does not matter, nor do people's verdicts,
        which are about single rows.
    """

    def of(content: Mapping[str, Any], name: str) -> Any:
        if name != "options" or not of_rows:
            return content.get(name)
        return {key: value for key, value in content[name].items() if key != "columns"}

    names = [name for name in (*expected, VERDICTS_KEY) if name != VERDICTS_KEY or not of_rows]
    said = [_SAID[name] for name in names if of(record, name) != of(expected, name)]
    return list(dict.fromkeys(said))


@dataclass(frozen=True, slots=True)
class Target:
    """Where the answers for one file go, and its rejects."""

    resolved: Place
    rejects: Place


REJECTS_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("listing_id", pa.string()),
        ("reason", pa.string()),
        ("content", pa.string()),
    ]
)
"""``row`` counts the file's listings from 1; ``content`` is the row as it was read, as JSON."""
MARK_KEY = "rerank.rejects"
"""The key of what tells a rejects file of ours among the parquet file's key-value metadata."""


def is_rejects_file(place: Place) -> bool:
    """Return whether a file is there that `rerank score` wrote rejects to.

    Those of releases that left no mark are known by their columns.
    """
    try:
        with opened_parquet(place) as file:
            marks = file.metadata.metadata or {}
            columns = file.schema_arrow.remove_metadata()
    except (pa.ArrowException, OSError):
        return False
    return MARK_KEY.encode() in marks or bool(columns.equals(REJECTS_SCHEMA))
