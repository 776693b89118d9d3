"""Evaluate a resolver on gold listings: answer, record, measure what was recorded, report.

Everything is written to the store first, listing by listing; every figure of the report is then a
query over it, and is kept there beside what it was made from.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.baselines import (
    ROUTE_CUTOFFS,
    Baseline,
    Latency,
    RoutedRetriever,
    latency_ms,
    route_ranks,
    this_machine,
)
from rerank.evaluation.failures import Failure
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.intervals import (
    DEFAULT_SAMPLES,
    Comparison,
    Figure,
    Resampling,
    adjusted,
    compare,
    curves_of,
)
from rerank.evaluation.metrics import METRICS, MRR, PRECISION_AT_1, Metric, metric_named, recall
from rerank.evaluation.outcomes import Outcomes, rank_of_models
from rerank.evaluation.runs import (
    OWN_SYSTEM,
    UNKNOWN,
    AnsweredSet,
    EvaluationRun,
    JudgedSet,
    Texts,
    cause_counts,
    confusions,
    judged_set,
    loss_budget,
    ranks_of,
    record_figures,
    record_run,
    record_set,
)
from rerank.index.errors import InputError
from rerank.index.records import N_CANDIDATES, GpuRecord, Listing, Route
from rerank.resolution import Resolution
from rerank.store.database import Session, Store
from rerank.store.rows import save_registry

Progress = Callable[[str, float], None]

EVALUATION_FORMAT = 2
DEFAULT_SEED = 20
_SHOWN_FAILURES = 200


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
    with _kept(store) as kept:
        if tools.records:  # first, so that a store that cannot be written is found out at once
            with kept.writing() as session:
                save_registry(session, tools.records, tools.registry_version)
        answered, failures = _answer(resolver, sets, tools, seed, progress)
        progress("latency", 0.0)
        listings = [item.listing for item in chain.from_iterable(sets.values())]
        run = _run(answered, tools, latency_ms(resolver, listings), seed=seed, samples=samples)
        _record(kept, run, answered, tools)
        report: dict[str, Any] = {
            name: _set_report(kept, run, item, failures[name], tools, progress)
            for name, item in answered.items()
        }
    return {
        "format_version": EVALUATION_FORMAT,
        "run_id": run.run_id,
        "started_at": run.started_at.isoformat(timespec="seconds") + "Z",
        "model_version": run.model_version,
        "index_version": run.index_version,
        "registry_version": run.registry_version,
        "seed": seed,
        "samples": samples,
        "machine": dict(run.machine),
        "latency_ms": run.latency.as_dict(),
        "sets": report,
    }


def _answer(
    resolver: Resolves,
    sets: Mapping[str, Sequence[GoldListing]],
    tools: Instruments,
    seed: int,
    progress: Progress,
) -> tuple[dict[str, AnsweredSet], dict[str, Sequence[Failure]]]:
    """Return what was answered on each set, and what went wrong there."""
    answered, failures = {}, {}
    for name, gold in sets.items():
        within = partial(_within, progress, name)
        answers = resolve_all(resolver, gold, within)
        failures[name] = tools.explain(gold, answers) if tools.explain else []
        answered[name] = answered_set(name, gold, answers, failures[name], tools, seed, within)
    return answered, failures


def _run(
    answered: Mapping[str, AnsweredSet],
    tools: Instruments,
    latency: Latency,
    *,
    seed: int,
    samples: int,
) -> EvaluationRun:
    first = next(chain.from_iterable(item.answers for item in answered.values()))
    return EvaluationRun.begin(
        "evaluate",
        model_version=first.model_version,
        index_version=first.index_version,
        registry_version=tools.registry_version,
        seed=seed,
        samples=samples,
        latency=latency,
        machine=this_machine(),
    )


@contextmanager
def _kept(store: Store | None) -> Iterator[Store]:
    if store is not None:
        yield store
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Store(Path(folder) / "evaluation.duckdb")


def _record(
    store: Store, run: EvaluationRun, answered: Mapping[str, AnsweredSet], tools: Instruments
) -> None:
    with store.writing() as session:
        record_run(session, run)
        for item in answered.values():
            record_set(session, run, item, tools.records)


def _set_report(
    store: Store,
    run: EvaluationRun,
    item: AnsweredSet,
    failures: Sequence[Failure],
    tools: Instruments,
    progress: Progress,
) -> dict[str, Any]:
    progress(f"{item.name}: figures", 0.0)
    routes = list(ROUTE_SYSTEMS.values()) if tools.retriever is not None else []
    baselines = [baseline.name for baseline in tools.baselines]
    with store.reading() as session:
        judged = judged_set(session, run.run_id, item.name, OWN_SYSTEM)
        ranks = {
            name: ranks_of(session, run.run_id, item.name, name) for name in (*baselines, *routes)
        }
        counted = _counted(session, run.run_id, item.name)
    measured = measure(
        judged,
        {name: ranks[name] for name in baselines},
        {name: ranks[name] for name in routes},
        seed=run.seed,
        samples=run.samples,
    )
    with store.writing() as session:
        record_figures(session, run.run_id, item.name, measured.by_slice(), measured.comparisons)
    kinds = Counter(listing.kind for listing in item.gold)
    level = tools.candidate_sets.level if tools.candidate_sets else None
    return {
        "n": len(judged.listing_ids),
        "kinds": {kind.value: kinds[kind] for kind in GoldKind},
        **_figures_report(measured, baselines, level),
        **counted,
        "failures": [failure.as_dict() for failure in failures[:_SHOWN_FAILURES]],
    }


def _counted(session: Session, run_id: str, set_name: str) -> dict[str, Any]:
    keys = (session, run_id, set_name, OWN_SYSTEM)
    return {
        "loss_budget": loss_budget(*keys),
        "confusions": confusions(*keys),
        "causes": cause_counts(*keys),
    }


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
            "level": level,
            "coverage": sets["candidate_set_coverage"].as_dict(),
            "mean_size": sets["candidate_set_size"].as_dict(),
        }
        if sets
        else None,
        "slices": {
            name: {value: _as_dict(figures) for value, figures in values.items()}
            for name, values in measured.slices.items()
        },
    }


def _within(progress: Progress, name: str, stage: str, share: float) -> None:
    progress(f"{name}: {stage}", share)


def _as_dict(figures: Figures) -> dict[str, Any]:
    return {name: figure.as_dict() for name, figure in figures.items()}


Ranks = tuple[Texts, NDArray[np.float64]]
Figures = dict[str, Figure]

WHOLE = ("all", "all")
BASELINE_METRICS = (PRECISION_AT_1, recall(3), recall(10), MRR)
ROUTE_METRICS = tuple(recall(cutoff) for cutoff in ROUTE_CUTOFFS)
COMPARED_METRICS = (PRECISION_AT_1, MRR)
SLICE_METRICS = tuple(
    metric_named(name)
    for name in (
        "precision_at_1",
        "accepted_share",
        "precision_of_accepted",
        "nil_false_match_rate",
        "brier",
    )
)
_LARGEST_SLICES = 60


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one set.

    :param own: our figures over the whole set.
    :param others: of each other system, on the listings it was measured on.
    :param gains: of each baseline, our precision@1 less its own on the same listings.
    :param slices: of each slice, of each value, figures; a slice with one value is left out.
    """

    own: Figures
    others: Mapping[str, Figures]
    gains: Figures
    comparisons: Sequence[Comparison]
    slices: Mapping[str, Mapping[str, Figures]]
    curves: Mapping[str, Any]
    candidate_sets: Figures = field(default_factory=dict)

    def by_slice(self) -> dict[tuple[str, str, str], Figures]:
        """Return all figures by (system, slice, slice value), as the store keeps them."""
        return {
            (OWN_SYSTEM, *WHOLE): {**self.own, **self.candidate_sets},
            **{(system, *WHOLE): figures for system, figures in self.others.items()},
            **{
                (OWN_SYSTEM, name, value): figures
                for name, values in self.slices.items()
                for value, figures in values.items()
            },
        }


def measure(
    judged: JudgedSet,
    baselines: Mapping[str, Ranks],
    routes: Mapping[str, Ranks],
    *,
    seed: int,
    samples: int,
) -> Measured:
    """Measure a set: everything over the same resamples of its listing groups."""
    resampling = Resampling.draw(judged.groups, seed=seed, samples=samples)
    o = judged.outcomes
    placed = {name: _on_rows(judged.listing_ids, ranks) for name, ranks in baselines.items()}
    on_routes = {name: _on_rows(judged.listing_ids, ranks) for name, ranks in routes.items()}
    others = {
        **{name: _rank_figures(resampling, BASELINE_METRICS, r) for name, r in placed.items()},
        **{name: _rank_figures(resampling, ROUTE_METRICS, r) for name, r in on_routes.items()},
    }
    compared = [
        compare(
            resampling,
            metric,
            [o.ranks],
            [np.nan_to_num(ranks, nan=np.inf)],
            system=OWN_SYSTEM,
            baseline=name,
            where=~np.isnan(ranks),
        )
        for name, ranks in placed.items()
        for metric in COMPARED_METRICS
    ]
    return Measured(
        own=figures_of(o, resampling),
        others=others,
        gains=_gains(compared),
        comparisons=adjusted(compared),
        slices=_slices(judged, resampling),
        curves=curves_of(resampling, o.probability, o.correct),
        candidate_sets=_candidate_sets(judged, resampling),
    )


def figures_of(
    outcomes: Outcomes,
    resampling: Resampling,
    metrics: Sequence[Metric] = METRICS,
    where: NDArray[np.bool_] | None = None,
) -> Figures:
    """Return metrics of outcomes with their intervals, over the listings of ``where``."""
    mask = np.ones(len(outcomes.ranks), np.bool_) if where is None else where
    return {
        metric.name: resampling.figure(
            metric,
            *(getattr(outcomes, name) for name in metric.columns),
            where=mask if metric.over is None else mask & getattr(outcomes, metric.over),
        )
        for metric in metrics
    }


def _rank_figures(
    resampling: Resampling, metrics: Sequence[Metric], ranks: NDArray[np.float64]
) -> Figures:
    """Measure ranks on the listings that have one; NaN means that a listing was not asked."""
    asked = ~np.isnan(ranks)
    filled = np.nan_to_num(ranks, nan=np.inf, posinf=np.inf)
    return {metric.name: resampling.figure(metric, filled, where=asked) for metric in metrics}


def _gains(comparisons: Sequence[Comparison]) -> Figures:
    return {
        item.baseline: Figure(item.difference, item.ci95, item.n)
        for item in comparisons
        if item.metric == PRECISION_AT_1.name
    }


def _on_rows(listing_ids: Texts, ranks: Ranks) -> NDArray[np.float64]:
    """Spread another system's ranks over the rows of a set; NaN where it was not measured."""
    place = {listing_id: at for at, listing_id in enumerate(listing_ids)}
    column = np.full(len(listing_ids), np.nan)
    for listing_id, rank in zip(*ranks, strict=True):
        column[place[listing_id]] = rank
    return column


def _slices(judged: JudgedSet, resampling: Resampling) -> dict[str, dict[str, Figures]]:
    found = {}
    for name, column in judged.slices.items():
        values, counts = np.unique(column.astype(str), return_counts=True)
        if len(values) < 2:
            continue
        largest = sorted(zip(-counts, values.tolist(), strict=True))[:_LARGEST_SLICES]
        found[name] = {
            value or UNKNOWN: figures_of(
                judged.outcomes, resampling, SLICE_METRICS, where=column == value
            )
            for _, value in largest
        }
    return found


def _candidate_sets(judged: JudgedSet, resampling: Resampling) -> Figures:
    if not len(judged.set_covers):
        return {}
    return {
        "candidate_set_coverage": resampling.figure(_mean, judged.set_covers),
        "candidate_set_size": resampling.figure(_mean, judged.set_size),
    }


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


# Baselines are slow (WRatio: some 200 titles/s) and their figures need no more.
BASELINE_LISTINGS = 600
BASELINE_DEPTH = 10
ROUTE_SYSTEMS = {route: f"route {route.value}" for route in Route}
_BATCH = 500


class Resolves(Protocol):
    """What is evaluated: `rerank.resolver.Resolver`, or anything that answers like it."""

    def resolve(self, listing: Listing, *, top_k: int = N_CANDIDATES) -> Resolution:
        """Resolve one listing."""

    def resolve_many(
        self, listings: Sequence[Listing], *, top_k: int = N_CANDIDATES
    ) -> Sequence[Resolution]:
        """Resolve listings, answers in their order."""


class CandidateSetCoverage(Protocol):
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
    candidate_sets: CandidateSetCoverage | None = None


def resolve_all(
    resolver: Resolves, gold: Sequence[GoldListing], progress: Progress
) -> list[Resolution]:
    """Resolve gold listings in batches, answers in their order."""
    answers: list[Resolution] = []
    for start in range(0, len(gold), _BATCH):
        progress("resolving", start / len(gold))
        chunk = [item.listing for item in gold[start : start + _BATCH]]
        answers += resolver.resolve_many(chunk, top_k=N_CANDIDATES)
    return answers


def answered_set(
    name: str,
    gold: Sequence[GoldListing],
    answers: Sequence[Resolution],
    failures: Sequence[Failure],
    tools: Instruments,
    seed: int,
    progress: Progress,
) -> AnsweredSet:
    """Put answers together with what baselines, routes and candidate sets make of the listings."""
    matches = [item for item in gold if item.kind is GoldKind.MATCH]
    ranks = _baseline_ranks(matches, tools.baselines, seed, progress)
    if tools.retriever is not None:
        for route, system in ROUTE_SYSTEMS.items():
            found = route_ranks(tools.retriever, matches, route)
            ranks[system] = {
                item.listing_id: rank for item, rank in zip(matches, found, strict=True)
            }
    sets, covers = _candidate_sets_answering(gold, answers, tools.candidate_sets)
    causes = {failure.listing_id: failure.cause.value for failure in failures}
    return AnsweredSet(name, gold, answers, causes, sets, covers, ranks)


def _candidate_sets_answering(
    gold: Sequence[GoldListing], answers: Sequence[Resolution], maker: CandidateSetCoverage | None
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
