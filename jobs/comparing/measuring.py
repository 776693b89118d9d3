"""Measure all rankers of a workspace in one run; return a report of plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from index.artifacts import Manifest
from index.errors import InputError
from index.shipped import shipped
from jobs.comparing.entrants import BASELINE, Entrant, entrants_of
from jobs.comparing.rates import ranking_rate, resolving_rate
from jobs.gold_sets import GoldSets, read_gold_files, shipped_sets
from jobs.workspace import Workspace, open_retriever
from rerank.evaluation.evaluate import DEFAULT_SEED
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.intervals import DEFAULT_SAMPLES, Resampling
from rerank.evaluation.machine import this_machine
from rerank.evaluation.prepared_gold import GoldPreparer
from rerank.evaluation.ranker_comparison import compare_on, drawn
from rerank.features import CueReader
from rerank.resolver import Resolver

if TYPE_CHECKING:
    from index.retriever import Retriever

FORMAT_VERSION = 1
BOOTSTRAP_LISTINGS = 2000

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPlan:
    """What to measure rankers on, and how.

    :param gold_files: each a set named after its file, beside the shipped ones.
    :param bootstrap: generated listings of models that nothing was trained on; 0 for none.
    :param limit: listings of each set, drawn by the seed, the same for all rankers; None for all.
    :param also: further model folders by name.
    """

    gold_files: Sequence[Path] = ()
    bootstrap: int = BOOTSTRAP_LISTINGS
    limit: int | None = None
    also: Mapping[str, Path] = field(default_factory=dict)
    seed: int = DEFAULT_SEED
    samples: int = DEFAULT_SAMPLES


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all rankers are measured with."""

    retriever: Retriever
    index: Manifest
    cues: CueReader
    preparer: GoldPreparer


def compare_rankers(
    workspace: Workspace,
    plan: ComparisonPlan,
    *,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Measure every ranker that serves, the cascade and two orderings on the same candidates.

    :raises InputError: if gold files are faulty, or names of files or rankers are taken.
    :raises ArtifactError: if a model is missing or damaged.
    :raises MismatchError: if a model belongs to another index.
    """
    progress("loading", 0.0)
    retriever, index = open_retriever(workspace)
    cues = CueReader.load(shipped("cues.yaml"))
    bench = _Bench(retriever, index, cues, GoldPreparer(retriever, cues))
    entrants = entrants_of(workspace, index, cues, plan.also)
    whole = _judged(_sets(plan, retriever))
    sets = {name: drawn(gold, plan.limit, seed=plan.seed) for name, gold in whole.items()}
    measured = {
        name: {"of": len(whole[name]), **_measure(name, gold, entrants, bench, plan, progress)}
        for name, gold in sets.items()
    }
    pool = _shuffled([item for gold in sets.values() for item in gold], plan.seed)
    return {
        "format_version": FORMAT_VERSION,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "index_version": index.fingerprint,
        "baseline": BASELINE,
        "limit": plan.limit,
        "seed": plan.seed,
        "samples": plan.samples,
        "machine": this_machine(),
        "rankers": [_described(each, bench, pool, progress) for each in entrants],
        "sets": measured,
    }


def _sets(plan: ComparisonPlan, retriever: Retriever) -> GoldSets:
    own = shipped_sets(retriever.records, plan.bootstrap)
    given = read_gold_files(plan.gold_files)
    taken = sorted(set(own) & set(given))
    if taken:
        raise InputError(f"gold files: {taken[0]} is the name of a shipped set; rename the file")
    return {**own, **given}


def _judged(sets: GoldSets) -> GoldSets:
    judged = {
        name: [item for item in gold if item.kind is not GoldKind.AMBIGUOUS]
        for name, gold in sets.items()
    }
    empty = [name for name, gold in judged.items() if not gold]
    if empty:
        raise InputError(f"{empty[0]}: expected listings of kind match or nil, found none")
    return judged


def _measure(
    name: str,
    gold: Sequence[GoldListing],
    entrants: Sequence[Entrant],
    bench: _Bench,
    plan: ComparisonPlan,
    progress: Progress,
) -> dict[str, Any]:
    within = partial(_within, progress, name)
    prepared = bench.preparer.prepare(gold, progress=partial(within, "features"))
    resampling = Resampling.draw(
        (item.group for item in gold), seed=plan.seed, samples=plan.samples
    )
    rankers = compare_on(
        prepared,
        [each.competitor for each in entrants],
        baseline=BASELINE,
        resampling=resampling,
        progress=within,
    )
    return {"n": len(gold), "matches": int(prepared.is_match.sum()), "rankers": rankers}


def _described(
    entrant: Entrant, bench: _Bench, pool: Sequence[GoldListing], progress: Progress
) -> dict[str, Any]:
    return {
        "name": entrant.name,
        "description": entrant.description,
        "version": entrant.version,
        "size_bytes": entrant.size_bytes,
        "training_seconds": entrant.training_seconds,
        **_rates(entrant, bench, pool, progress),
    }


def _rates(
    entrant: Entrant, bench: _Bench, pool: Sequence[GoldListing], progress: Progress
) -> dict[str, Any]:
    """Return how fast it ranks and decides, and resolves; null for what orders only."""
    competitor, model = entrant.competitor, entrant.competitor.model
    if model is None:
        return {"ranking": None, "resolving": None}
    progress(f"speed: {entrant.name}", 0.0)
    resolver = Resolver(bench.retriever, model, bench.cues, index_version=bench.index.fingerprint)
    return {
        "ranking": ranking_rate(competitor, bench.preparer, pool),
        "resolving": resolving_rate(resolver, pool),
    }


def _shuffled(gold: Sequence[GoldListing], seed: int) -> list[GoldListing]:
    order = np.random.default_rng(seed).permutation(len(gold))
    return [gold[at] for at in order.tolist()]


def _within(progress: Progress, name: str, stage: str, share: float) -> None:
    progress(f"{name}: {stage}", share)
