"""Which file becomes which, checked before any work."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pyarrow import fs

from index.errors import FaultsError, InputError
from jobs.listing_files.selection import REJECTS_ENDING, Selection
from jobs.places import Place
from jobs.scoring.one_file import Target
from jobs.scoring.provenance import read_record
from jobs.scoring.rejects import is_rejects_file

REJECTS_FOLDER = "_rejects"
"""Of an output folder: readers of folders of parquet pass over names with an underscore."""


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
    selection: Selection, target: Place, *, existing: Existing = Existing.REFUSE
) -> ScorePlan:
    """Plan a run: one file into one, or a folder's files into a folder of the same shape.

    :raises InputError: if something may not be written.
    :raises FaultsError: if outputs are there already, all of them named.
    """
    _check_ancestors(target)
    if selection.is_folder:
        tasks = _folder_tasks(selection, target)
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
    if target.suffix != ".parquet":
        found = PurePosixPath(target.name).suffix
        raise InputError(
            f"{target}: expected an output name ending in .parquet, found "
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


def _folder_tasks(selection: Selection, target: Place) -> tuple[Task, ...]:
    tasks = []
    for name in selection.files:
        resolved = str(PurePosixPath(name).with_suffix(".parquet"))
        place = Target(target.child(resolved), target.child(f"{REJECTS_FOLDER}/{resolved}"))
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
