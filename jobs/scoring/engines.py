"""Where files are scored: in this process with workers of its own, or on Ray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

from index.errors import InputError
from jobs.listing_files.selection import Selection
from jobs.places import Place
from jobs.scoring.answering import ScoreOptions, answering, resolver_answerer
from jobs.scoring.earlier_answers import RememberingAnswerer, count_answers
from jobs.scoring.plan import ScorePlan
from jobs.scoring.provenance import read_record
from jobs.scoring.running import run_plan
from jobs.scoring.spreading import is_worth_spreading, run_spread
from jobs.scoring.summary import ScoreSummary
from jobs.scoring.tally import Progress


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
    is_local = engine.kind is EngineKind.LOCAL
    if is_local and not is_worth_spreading(plan, engine.workers):
        with answering(home, options, workers=engine.workers) as fresh:
            answerer = RememberingAnswerer(fresh, outputs, say=say)
            if since is not None:
                _say_known(answerer.n_known, say)
            return run_plan(plan, answerer, progress=progress, say=say)
    if not is_local:
        from jobs.scoring.ray_cluster import import_ray

        import_ray()  # before the time it takes to load a resolver
    alike = resolver_answerer(home, options)
    if since is not None:
        _say_known(count_answers(outputs, alike), say)
    make = partial(remembering_resolver, home.absolute(), options, outputs)
    if is_local:
        return run_spread(plan, alike, make, workers=engine.workers, progress=progress, say=say)
    from jobs.scoring.ray_engine import run_on_ray

    return run_on_ray(
        plan,
        alike,
        make,
        workers=engine.workers,
        address=engine.address,
        progress=progress,
        say=say,
    )


def remembering_resolver(
    home: Path, options: ScoreOptions, outputs: Sequence[Place], say: Callable[[str], None]
) -> RememberingAnswerer:
    """Load a workspace's resolver, with the answers of earlier outputs before it.

    :param say: takes warnings of outputs that are damaged.
    """
    return RememberingAnswerer(resolver_answerer(home, options), outputs, say=say)


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
