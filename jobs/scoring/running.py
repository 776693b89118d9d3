"""Score the files of a plan one after the other; one that fails is set aside, not the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.listing_files import ListingFile
from jobs.listing_files.selection import REJECTS_ENDING
from jobs.places import place_of
from jobs.scoring.answering import Answerer, ResolverAnswerer, ScoreOptions
from jobs.scoring.drafts import exclusive
from jobs.scoring.one_file import Target, score_one
from jobs.scoring.plan import Existing, ScorePlan
from jobs.scoring.scoring_task import SharedColumns, score_task
from jobs.scoring.summary import ScoreSummary
from jobs.scoring.tally import Progress, Tally

if TYPE_CHECKING:
    from rerank.resolver import Resolver


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


def alone_in(plan: ScorePlan) -> AbstractContextManager[None]:
    """Return a context in which no other run writes to the plan's folder.

    :raises InputError: when it is entered, if another run is writing to it.
    """
    return nullcontext() if plan.folder is None else exclusive(plan.folder)


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
