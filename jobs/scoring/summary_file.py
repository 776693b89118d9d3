"""The summary of a run as a file of JSON: where it may go, and how it is written."""

from __future__ import annotations

import json
from pathlib import Path

from index.artifacts import writing_file
from index.errors import InputError
from jobs.listing_files.selection import Selection
from jobs.places import place_of
from jobs.scoring.plan import Existing, ScorePlan
from jobs.scoring.summary import ScoreSummary


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
