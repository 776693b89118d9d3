"""The nightly job: index, scores and a report of one day, in a folder named by the day.

    OUT/2026-01-31/                  outputs, as `rerank score` mirrors the listings
    OUT/2026-01-31/_summary.json     written last: a day that has it is finished

Run again on the same day, it goes on where it was, however it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import fs

from index.artifacts import Manifest, read_manifest
from index.errors import InputError
from index.records import GpuRecord
from jobs.listing_files.selection import Selection, select_files
from jobs.nightly_days import (
    DayRecord,
    EarlierDay,
    earlier_day,
    name_of,
    outputs_besides,
    read_day,
    remove_output,
    write_day,
    write_summary,
)
from jobs.nightly_report import summary_content
from jobs.places import Place
from jobs.scoring import (
    Engine,
    Existing,
    ScoreOptions,
    ScorePlan,
    ScoreSummary,
    plan_score,
    run_scoring,
)
from jobs.scoring.drafts import exclusive
from jobs.scoring.tally import Progress
from jobs.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Night:
    """What a night's work is.

    :param registry: to keep the index up to date with; None leaves the index as it is.
    :param out: the folder of days.
    """

    workspace: Workspace
    listings: Selection
    out: Place
    day: date
    registry: Path | None = None
    options: ScoreOptions = field(default_factory=ScoreOptions)
    engine: Engine = field(default_factory=Engine)

    @property
    def folder(self) -> Place:
        """The folder of the day."""
        return self.out.child(self.day.isoformat())


def run_night(
    night: Night,
    *,
    progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Bring the index up to date, score the listings, write the day's summary and return it.

    Listings that have not changed since the day it is compared with keep their answers.

    :param say: takes what is done, warnings and the failures of single files, as they come.
    :raises InputError: if another run is in the folder, there are other files where outputs go, the
        day's folder has outputs of other listings, or the listings are one file and that fails.
    :raises FaultsError: if the registry has faults; nothing is scored then.
    """
    if night.out.info().type == fs.FileType.File:
        raise InputError(f"{night.out}: expected a folder for the days' outputs, found a file")
    with exclusive(night.out):
        if night.workspace.pointer().canary is not None:
            say(
                "Warning: a canary runs, but only `rerank models canary run` serves it: the "
                "champion answers all of this night"
            )
        plan = _plan(night)
        index_rebuilt = _begin(night, say)
        earlier = earlier_day(night.out, before=night.day)
        since = None if earlier is None else _earlier_answers(night, earlier, say)
        scored = run_scoring(
            night.workspace.home,
            plan,
            night.options,
            night.engine,
            since=since,
            progress=progress,
            say=say,
        )
        _remove_stale(night.folder, plan, scored, say)
        previous = None if earlier is None else earlier.summary
        content = summary_content(night.day, scored, previous, index_rebuilt=index_rebuilt)
        write_summary(night.folder, content)
    return content


def changed_registry(workspace: Workspace, registry: Path) -> Sequence[GpuRecord] | None:
    """Return the records of a registry; None if the index that serves was built from the same.

    :raises FaultsError: if the registry has faults.
    """
    from index.registry import load_registry, registry_fingerprint

    records = load_registry(registry)
    built_from = _serving_index(workspace).parameters["registry_fingerprint"]
    return None if registry_fingerprint(records) == built_from else records


def rebuild_index(
    workspace: Workspace, records: Sequence[GpuRecord], say: Callable[[str], None]
) -> None:
    """Build the workspace's index from a registry.

    Its kind and its embedder stay what they are, so that the model still fits.
    """
    from index.gpu_index import build_index
    from index.vector_index import IndexKind
    from jobs.embedders import embedder_of_index
    from jobs.indexing import describe
    from jobs.lifecycle.parts import keeping_part

    kind = IndexKind(_serving_index(workspace).parameters["kind"])
    embedder = embedder_of_index(workspace, workspace.active_index())
    with keeping_part(workspace, "index"):
        manifest = build_index(records, embedder, workspace.index_folder, kind=kind)
    say(f"The registry changed: {describe(workspace.index_folder, manifest)}")


def _serving_index(workspace: Workspace) -> Manifest:
    from index.gpu_index import FORMAT_VERSION, REMEDY

    folder = workspace.active_index()
    return read_manifest(folder, kind="index", format_version=FORMAT_VERSION, remedy=REMEDY)


def _plan(night: Night) -> ScorePlan:
    """Plan the day's files, those that are finished included.

    :raises InputError: if something may not be written, or the day's folder has outputs of other
        listings, which a summary of this run would not count.
    """
    listings, target = night.listings, night.folder
    if not listings.is_folder:
        target = target.child(str(PurePosixPath(listings.root.name).with_suffix(".parquet")))
    plan = plan_score(listings, target, existing=Existing.RESUME)
    others = outputs_besides(night.folder, [task.target.resolved for task in plan.tasks])
    day = read_day(night.folder)
    if others and (day is None or day.listings != name_of(listings)):
        of = "" if day is None else f" of {day.listings}"
        raise InputError(
            f"{night.folder}: has outputs{of} that listings in {listings.root} do not give, such "
            f"as {others[0]}; choose another OUT for these, or remove the day's folder"
        )
    return plan


def _begin(night: Night, say: Callable[[str], None]) -> bool:
    """Bring the index up to date and return whether this or an earlier run of the day rebuilt it.

    The day's record comes before the index: else a run killed after it would not be known to have
    rebuilt it.
    """
    records = None
    if night.registry is not None:
        records = changed_registry(night.workspace, night.registry)
    earlier_run = read_day(night.folder)
    rebuilt = records is not None or (earlier_run is not None and earlier_run.index_rebuilt)
    day = DayRecord(name_of(night.listings), rebuilt)
    if day != earlier_run:
        write_day(night.folder, day)
    if records is not None:
        rebuild_index(night.workspace, records, say)
    return rebuilt


def _earlier_answers(
    night: Night, earlier: EarlierDay, say: Callable[[str], None]
) -> Selection | None:
    """Return the outputs of the day that is compared with; None if no answer of it can be kept."""
    say(earlier.line())
    day = earlier.summary["date"]
    if earlier.summary["index_version"] != _serving_index(night.workspace).fingerprint:
        say(f"The index is another than on {day}: no answers of that day are kept")
        return None
    folder = night.out.child(day)
    try:
        return select_files(folder)
    except InputError:
        say(f"{folder}: finished, but its outputs are gone; no earlier answers are kept")
        return None


def _remove_stale(
    folder: Place, plan: ScorePlan, scored: ScoreSummary, say: Callable[[str], None]
) -> None:
    """Remove outputs of earlier runs of the day that the summary does not count.

    Their input is no longer there, or was set aside by this run.
    """
    finished = [
        task.target.resolved for task in plan.tasks if str(task.source) not in scored.failures
    ]
    planned = {task.target.resolved.path for task in plan.tasks}
    for output in outputs_besides(folder, finished):
        why = "was set aside" if output.path in planned else "is gone or cannot be read"
        remove_output(folder, output)
        say(f"{output}: removed, its input {why}")
