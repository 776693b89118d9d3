"""Evaluate a resolver on gold listings: answer, record, measure what was recorded, report.

Everything is written to the store first, listing by listing; every figure of the report is then a
query over it, and is kept there beside what it was made from.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from index.errors import InputError
from index.records import GpuRecord, Listing, Route
from rerank.evaluation import queries, recording
from rerank.evaluation.baselines import Baseline
from rerank.evaluation.failures import Failure
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.intervals import DEFAULT_SAMPLES
from rerank.evaluation.latency import Latency, latency_ms
from rerank.evaluation.machine import this_machine
from rerank.evaluation.measure import Figures, Measured, measure
from rerank.evaluation.outcomes import rank_of_models
from rerank.evaluation.recording import OWN_SYSTEM, Answered, Run
from rerank.evaluation.routes import N_CANDIDATES, RoutedRetriever, route_ranks
from rerank.resolver import Resolution
from rerank.store import Session, Store
from rerank.store.registry import save_registry

Progress = Callable[[str, float], None]

FORMAT_VERSION = 2
DEFAULT_SEED = 20
# Baselines are slow (WRatio: some 200 titles/s) and their figures need no more.
BASELINE_LISTINGS = 600
BASELINE_DEPTH = 10
ROUTE_SYSTEMS = {route: f"route {route.value}" for route in Route}
_SHOWN_FAILURES = 200
_BATCH = 500


class Resolves(Protocol):
    """What is evaluated: `rerank.resolver.Resolver`, or anything that answers like it."""

    def resolve(self, listing: Listing, *, top_k: int = 20) -> Resolution:
        """Resolve one listing."""

    def resolve_many(self, listings: Sequence[Listing], *, top_k: int = 20) -> Sequence[Resolution]:
        """Resolve listings, answers in their order."""


class CandidateSets(Protocol):
    """Makes candidate sets and holds them against the truth."""

    @property
    def level(self) -> float:
        """The coverage they promise."""

    def of(self, answer: Resolution) -> Sequence[str]:
        """Return the outcomes in the set of an answer."""

    def covers(self, found: Sequence[str], gold: GoldListing) -> bool:
        """Tell whether a set holds the truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What an evaluation looks at besides the answers; each may be missing.

    :param records: the registry, for facts about models; ``registry_version`` names it.
    :param retriever: its routes are measured one by one.
    :param explain: finds why answers are wrong, given gold and answers.
    """

    records: Sequence[GpuRecord] = ()
    registry_version: str = ""
    baselines: Sequence[Baseline] = ()
    retriever: RoutedRetriever | None = None
    explain: Callable[[Sequence[GoldListing], Sequence[Resolution]], Sequence[Failure]] | None = (
        None
    )
    candidate_sets: CandidateSets | None = None


def evaluate(
    resolver: Resolves,
    sets: Mapping[str, Sequence[GoldListing]],
    *,
    store: Store | None = None,
    instruments: Instruments | None = None,
    seed: int = DEFAULT_SEED,
    samples: int = DEFAULT_SAMPLES,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Evaluate on named sets of gold listings; return a report of plain values.

    :param store: where the run is kept; without one it is kept until the report is made.
    :param seed: of the resamples and of the baselines' subsample.
    :param samples: how many resamples intervals are made of.
    :raises InputError: if there is nothing to evaluate.
    :raises StoreError: if the store cannot be written.
    """
    if not any(sets.values()):
        raise InputError(f"expected listings to evaluate, got {len(sets)} sets without any")
    tools = instruments or Instruments()
    answered, failures = {}, {}
    for name, gold in sets.items():
        within = partial(_within, progress, name)
        answers = _resolve(resolver, gold, within)
        failures[name] = tools.explain(gold, answers) if tools.explain else []
        answered[name] = _answered(name, gold, answers, failures[name], tools, seed, within)
    progress("latency", 0.0)
    listings = [item.listing for item in chain.from_iterable(sets.values())]
    run = _run(answered, tools, latency_ms(resolver, listings), seed=seed, samples=samples)
    with _kept(store) as kept:
        _record(kept, run, answered, tools)
        report: dict[str, Any] = {
            name: _set_report(kept, run, item, failures[name], tools, progress)
            for name, item in answered.items()
        }
    return {
        "format_version": FORMAT_VERSION, "run_id": run.run_id,
        "started_at": run.started_at.isoformat(timespec="seconds") + "Z",
        "model_version": run.model_version, "index_version": run.index_version,
        "registry_version": run.registry_version, "seed": seed, "samples": samples,
        "machine": dict(run.machine), "latency_ms": run.latency.as_dict(), "sets": report,
    }  # fmt: skip


def _resolve(
    resolver: Resolves, gold: Sequence[GoldListing], progress: Progress
) -> list[Resolution]:
    answers: list[Resolution] = []
    for start in range(0, len(gold), _BATCH):
        progress("resolving", start / len(gold))
        chunk = [item.listing for item in gold[start : start + _BATCH]]
        answers += resolver.resolve_many(chunk, top_k=N_CANDIDATES)
    return answers


def _answered(
    name: str,
    gold: Sequence[GoldListing],
    answers: Sequence[Resolution],
    failures: Sequence[Failure],
    tools: Instruments,
    seed: int,
    progress: Progress,
) -> Answered:
    matches = [item for item in gold if item.kind is GoldKind.MATCH]
    ranks = _baseline_ranks(matches, tools.baselines, seed, progress)
    if tools.retriever is not None:
        for route, system in ROUTE_SYSTEMS.items():
            found = route_ranks(tools.retriever, matches, route)
            ranks[system] = {
                item.listing_id: rank for item, rank in zip(matches, found, strict=True)
            }
    sets, covers = _candidate_sets(gold, answers, tools.candidate_sets)
    causes = {failure.listing_id: failure.cause.value for failure in failures}
    return Answered(name, gold, answers, causes, sets, covers, ranks)


def _candidate_sets(
    gold: Sequence[GoldListing], answers: Sequence[Resolution], maker: CandidateSets | None
) -> tuple[list[Sequence[str]], list[bool]]:
    """Return each listing's candidate set and whether it holds the truth; nothing without sets."""
    if maker is None:
        return [], []
    found = [maker.of(answer) for answer in answers]
    judged = [item.kind is not GoldKind.AMBIGUOUS for item in gold]
    covers = [
        known and maker.covers(names, item)
        for known, names, item in zip(judged, found, gold, strict=True)
    ]
    return found, covers


def _baseline_ranks(
    matches: Sequence[GoldListing], baselines: Sequence[Baseline], seed: int, progress: Progress
) -> dict[str, dict[str, float]]:
    """Ask the baselines about at most 600 of the matches, drawn once for all of them."""
    size = min(len(matches), BASELINE_LISTINGS)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(matches), size, replace=False)) if size else np.zeros(0, int)
    asked = [matches[row] for row in drawn.tolist()]
    ranks = {}
    for at, baseline in enumerate(baselines):
        progress(f"baseline {baseline.name}", at / len(baselines))
        ranked = baseline.rank([item.title for item in asked], BASELINE_DEPTH)
        ranks[baseline.name] = {
            item.listing_id: rank_of_models(models, item)
            for item, models in zip(asked, ranked, strict=True)
        }
    return ranks


def _run(
    answered: Mapping[str, Answered],
    tools: Instruments,
    latency: Latency,
    *,
    seed: int,
    samples: int,
) -> Run:
    first = next(chain.from_iterable(item.answers for item in answered.values()))
    return Run.begin(
        model_version=first.model_version, index_version=first.index_version,
        registry_version=tools.registry_version, seed=seed, samples=samples, latency=latency,
        machine=this_machine(),
    )  # fmt: skip


@contextmanager
def _kept(store: Store | None) -> Iterator[Store]:
    if store is not None:
        yield store
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Store(Path(folder) / "evaluation.duckdb")


def _record(store: Store, run: Run, answered: Mapping[str, Answered], tools: Instruments) -> None:
    with store.writing() as session:
        if tools.records:
            save_registry(session, tools.records, run.registry_version)
        recording.record_run(session, run)
        for item in answered.values():
            recording.record_set(session, run, item, tools.records)


def _set_report(
    store: Store,
    run: Run,
    item: Answered,
    failures: Sequence[Failure],
    tools: Instruments,
    progress: Progress,
) -> dict[str, Any]:
    progress(f"{item.name}: figures", 0.0)
    routes = list(ROUTE_SYSTEMS.values()) if tools.retriever is not None else []
    baselines = [baseline.name for baseline in tools.baselines]
    with store.reading() as session:
        judged = queries.judged_set(session, run.run_id, item.name, OWN_SYSTEM)
        ranks = {
            name: queries.ranks_of(session, run.run_id, item.name, name)
            for name in (*baselines, *routes)
        }
        counted = _counted(session, run.run_id, item.name)
    measured = measure(
        judged, {name: ranks[name] for name in baselines}, {name: ranks[name] for name in routes},
        seed=run.seed, samples=run.samples,
    )  # fmt: skip
    with store.writing() as session:
        recording.record_figures(
            session, run.run_id, item.name, measured.by_slice(), measured.comparisons
        )
    kinds = Counter(listing.kind for listing in item.gold)
    level = tools.candidate_sets.level if tools.candidate_sets else None
    return {
        "n": len(judged.listing_ids), "kinds": {kind.value: kinds[kind] for kind in GoldKind},
        **_figures_report(measured, baselines, level), **counted,
        "failures": [failure.as_dict() for failure in failures[:_SHOWN_FAILURES]],
    }  # fmt: skip


def _counted(session: Session, run_id: str, set_name: str) -> dict[str, Any]:
    keys = (session, run_id, set_name, OWN_SYSTEM)
    return {
        "loss_budget": queries.loss_budget(*keys), "confusions": queries.confusions(*keys),
        "causes": queries.cause_counts(*keys),
    }  # fmt: skip


def _figures_report(
    measured: Measured, baselines: Sequence[str], level: float | None
) -> dict[str, Any]:
    sets = measured.candidate_sets
    return {
        "metrics": _as_dict(measured.own),
        "baselines": {
            name: {
                **_as_dict(measured.others[name]),
                "gain_precision_at_1": measured.gains[name].as_dict(),
            }
            for name in baselines
        },
        "routes": {
            route.value: _as_dict(measured.others[system])
            for route, system in ROUTE_SYSTEMS.items()
            if system in measured.others
        },
        "comparisons": [item.as_dict() for item in measured.comparisons],
        "curves": dict(measured.curves),
        "candidate_sets": {
            "level": level, "coverage": sets["candidate_set_coverage"].as_dict(),
            "mean_size": sets["candidate_set_size"].as_dict(),
        } if sets else None,
        "slices": {
            name: {value: _as_dict(figures) for value, figures in values.items()}
            for name, values in measured.slices.items()
        },
    }  # fmt: skip


def _within(progress: Progress, name: str, stage: str, share: float) -> None:
    progress(f"{name}: {stage}", share)


def _as_dict(figures: Figures) -> dict[str, Any]:
    return {name: figure.as_dict() for name, figure in figures.items()}
