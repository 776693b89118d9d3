"""Serve files of listings by two models of a workspace: an A/B test, or a night of a canary."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from index.errors import ArtifactError, InputError, RefusedError
from jobs.lifecycle.ab_split import Split, SplitAnswerer
from jobs.lifecycle.canary_keeping import CanaryKeeper, running_canary, stop_unfit_challenger
from jobs.lifecycle.canary_traffic import CanaryAnswerer
from jobs.lifecycle.opening import version_over
from jobs.lifecycle.registry import ModelRegistry
from jobs.lifecycle.traffic import BothModels, Side
from jobs.scoring import ResolverAnswerer, ScoreOptions, ScorePlan, ScoreSummary, run_plan
from jobs.scoring.tally import Progress
from jobs.serving import resolver_over
from jobs.workspace import open_retriever
from rerank.lifecycle.pointer import Pointer
from rerank.lifecycle.versions import DECISION_KINDS, VersionRef
from rerank.store import Store

if TYPE_CHECKING:
    from rerank.resolver import Resolver

Say = Callable[[str], None]
Tell = Callable[[Progress], None]
_LOCK = ".canary.lock"


def run_split(
    registry: ModelRegistry,
    challenger: VersionRef,
    split: Split,
    plan: ScorePlan,
    options: ScoreOptions,
    *,
    progress: Tell = lambda progress: None,
    say: Say = lambda text: None,
) -> tuple[ScoreSummary, SplitAnswerer]:
    """Score files, each row by the champion or the challenger.

    :raises InputError: if the challenger is the champion or cannot decide, or the plan is one file
        and that fails.
    :raises ArtifactError: if one of them is damaged or does not fit the index.
    """
    champion = registry.pointer().champion
    if challenger == champion or challenger.kind not in DECISION_KINDS:
        raise InputError(
            f"{challenger}: expected a version of {', '.join(DECISION_KINDS)} that is not the "
            "champion; `rerank models list` shows those there are"
        )
    retriever, index = open_retriever(registry.workspace)
    first, second = (
        Side.of(version_over(registry.workspace, ref, retriever, index), top_k=options.top_k)
        for ref in (champion, challenger)
    )
    models = BothModels(first, second)
    store = Store(registry.workspace.store_path, wait_s=10.0)
    answerer = SplitAnswerer(models, split, store, options, index_version=index.fingerprint)
    summary = run_plan(plan, answerer, progress=progress, say=say)
    answerer.flush()
    return summary, answerer


def run_canary_night(
    registry: ModelRegistry,
    plan: ScorePlan,
    options: ScoreOptions,
    *,
    progress: Tell = lambda progress: None,
    say: Say = lambda text: None,
) -> ScoreSummary:
    """Score files while a canary runs; without one, the champion answers everything.

    :param say: takes each look at the guardrails, and warnings.
    :raises InputError: if the plan is one file and that fails.
    :raises ArtifactError: if the champion is damaged, or the canary's state.
    """
    pointer = registry.pointer()
    retriever, index = open_retriever(registry.workspace)
    champion = resolver_over(registry.workspace, retriever, index)
    state = running_canary(pointer)
    challenger: Resolver | None = None
    if state is not None:
        try:
            challenger = version_over(registry.workspace, state.challenger, retriever, index)
        except ArtifactError as exc:
            say(f"Warning: the canary ends, the champion serves: {exc}")
            stop_unfit_challenger(registry, pointer, state, exc)
    if challenger is None:
        say("No canary runs: the champion answers everything")
        return run_plan(plan, ResolverAnswerer(champion, options), progress=progress, say=say)
    first, second = (Side.of(each, top_k=options.top_k) for each in (champion, challenger))
    models = BothModels(first, second)
    with _keeping(registry, pointer, say) as keeper:
        answerer = CanaryAnswerer(models, keeper, options, index_version=index.fingerprint)
        summary = run_plan(plan, answerer, progress=progress, say=say)
        answerer.finish()
    if models.last_error:
        say(f"Warning: the challenger failed, the champion answered: {models.last_error}")
    return summary


@contextmanager
def _keeping(registry: ModelRegistry, pointer: Pointer, say: Say) -> Iterator[CanaryKeeper]:
    """Lend the canary to one run at a time; the kernel frees it when the run ends, however.

    :raises RefusedError: if another run has it.
    """
    path = registry.workspace.models_folder / _LOCK
    with path.open("a") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise RefusedError(
                f"{path}: another run serves listings for this canary; wait until it has ended"
            ) from exc
        yield CanaryKeeper(registry, pointer, say)
