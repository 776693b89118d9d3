"""Which file becomes which, checked before any work."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pyarrow import fs

from index.errors import FaultsError, InputError
from jobs.listing_files.selection import REJECTS_ENDING, Selection
from jobs.places import Place
from jobs.scoring.one_file import Target
from jobs.scoring.provenance import read_record

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
    """

    tasks: tuple[Task, ...]
    existing: Existing
    folder: Place | None


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
    _check_existing(tasks, existing, is_folder=selection.is_folder)
    return ScorePlan(tasks, existing, target if selection.is_folder else None)


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


def _check_existing(tasks: tuple[Task, ...], existing: Existing, *, is_folder: bool) -> None:
    if existing is Existing.OVERWRITE:
        return
    faults = []
    for task in tasks:
        target = task.target.resolved
        if not target.exists():
            continue
        if existing is Existing.REFUSE:
            remedy = "give --overwrite, or --resume to go on with a run that was stopped"
            faults.append(f"{target}: exists already; choose another name or {remedy}")
        elif read_record(target) is None:
            faults.append(
                f"{target}: exists already and is no output of `rerank score`; choose another "
                "name or give --overwrite"
            )
    if faults and not is_folder:
        raise InputError(faults[0])
    if faults:
        raise FaultsError("outputs that exist already", faults)
