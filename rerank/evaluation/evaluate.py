"""Evaluate a resolver on gold listings: figures, baselines, routes, errors and latency, as JSON."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from index.records import Listing, Route
from rerank.evaluation import metrics
from rerank.evaluation.baselines import Baseline
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.intervals import DEFAULT_SAMPLES, Figure, estimate
from rerank.evaluation.metrics import TOP_GRADE
from rerank.evaluation.outcomes import GRADED_PLACES, Outcomes, errors_of, judge, rank_of_models
from rerank.resolver import Resolution
from rerank.retrieval import Candidates, ModelTable

Progress = Callable[[str, float], None]
Figures = dict[str, Figure]

DEFAULT_SEED = 20
N_CANDIDATES = 20
ROUTE_CUTOFFS = (1, 3, 10, 20)
# Baselines are slow (WRatio: some 200 titles/s) and their figures need no more.
BASELINE_LISTINGS = 600
BASELINE_DEPTH = 10
LATENCY_LISTINGS = 300
LATENCY_WARM_UP = 20
_MAX_ERRORS = 50
_BATCH = 500


class Resolves(Protocol):
    """What is evaluated: `rerank.resolver.Resolver`, or anything that answers like it."""

    def resolve(self, listing: Listing, *, top_k: int = 20) -> Resolution:
        """Resolve one listing."""

    def resolve_many(self, listings: Sequence[Listing], *, top_k: int = 20) -> Sequence[Resolution]:
        """Resolve listings, answers in their order."""


class RoutedRetriever(Protocol):
    """A retriever whose routes can be asked one by one."""

    @property
    def table(self) -> ModelTable:
        """The models candidates come from."""

    def retrieve(
        self, listings: Sequence[Listing], *, n_candidates: int = 20, route: Route = Route.FUSED
    ) -> Candidates:
        """Return up to ``n_candidates`` variants of each listing, best first."""


def evaluate(
    resolver: Resolves,
    sets: Mapping[str, Sequence[GoldListing]],
    *,
    baselines: Sequence[Baseline] = (),
    retriever: RoutedRetriever | None = None,
    seed: int = DEFAULT_SEED,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Evaluate on named sets of gold listings; return a report of plain values.

    :param retriever: if given, each set's ``routes`` are measured, else they are empty.
    :param seed: of the bootstrap intervals and of the baselines' subsample.
    :raises InputError: if there is nothing to evaluate.
    """
    if not any(sets.values()):
        raise InputError(f"expected listings to evaluate, got {len(sets)} sets without any")
    answers = {name: _resolve(resolver, name, gold, progress) for name, gold in sets.items()}
    report = {}
    for name, gold in sets.items():
        report[name] = _set_report(
            gold, answers[name], baselines=baselines, seed=seed,
            progress=partial(_within, progress, name),
        )  # fmt: skip
        report[name]["routes"] = evaluate_routes(retriever, gold, seed=seed) if retriever else {}
    progress("latency", 0.0)
    listings = [item.listing for item in chain.from_iterable(sets.values())]
    first = next(chain.from_iterable(answers.values()))
    return {
        "sets": report, "latency_ms": latency_ms(resolver, listings),
        "model_version": first.model_version, "index_version": first.index_version,
        "machine": _machine(), "seed": seed,
    }  # fmt: skip


def evaluate_routes(
    retriever: RoutedRetriever, gold: Sequence[GoldListing], *, seed: int = DEFAULT_SEED
) -> dict[str, Any]:
    """Return recall@1, 3, 10 and 20 of each retrieval route over the listings that are a match."""
    matches = _matches(gold)
    return {
        route.value: _as_dict({
            f"recall_at_{cutoff}": estimate(
                partial(metrics.recall_at, cutoff=cutoff), ranks, seed=seed
            )
            for cutoff in ROUTE_CUTOFFS
        })
        for route in Route
        for ranks in [_route_ranks(retriever, matches, route)]
    }  # fmt: skip


def figures_of(
    outcomes: Outcomes, *, seed: int = DEFAULT_SEED, samples: int = DEFAULT_SAMPLES
) -> Figures:
    """Return every metric of our own answers with its interval."""
    o = outcomes
    ranks, grades = o.ranks[o.is_match], o.grades[o.is_match]
    best = np.full((len(grades), 1), float(TOP_GRADE))  # of several accepted names one counts
    measure = partial(estimate, seed=seed, samples=samples)
    return {
        **_ranking_figures(ranks, (3, 10, 20), measure),
        "ndcg_at_10": measure(partial(metrics.ndcg_at, cutoff=GRADED_PLACES), grades, best),
        "roc_auc": measure(metrics.roc_auc, o.probability, o.correct),
        "ece": measure(metrics.expected_calibration_error, o.probability, o.correct),
        "brier": measure(metrics.brier_score, o.probability, o.correct),
        "nil_false_match_rate": measure(metrics.false_accept_rate, o.accepted[~o.is_match]),
        "accepted_share": measure(metrics.accepted_share, o.accepted[o.is_match]),
        "precision_of_accepted": measure(metrics.precision_of_accepted, o.correct[o.accepted]),
        "memory_variant_accuracy": measure(
            metrics.memory_variant_accuracy, o.memory_agrees[o.memory_judged]
        ),
    }


def latency_ms(resolver: Resolves, listings: Sequence[Listing]) -> dict[str, Any]:
    """Time single listings after a warm-up, in the calling process, in milliseconds.

    Up to 300 listings, spread evenly over all; p50 and p99 are None if there are none.
    """
    step = max(1, len(listings) // LATENCY_LISTINGS)
    timed = listings[::step][:LATENCY_LISTINGS]
    for listing in timed[:LATENCY_WARM_UP]:
        resolver.resolve(listing)
    took = []
    for listing in timed:
        start = time.perf_counter_ns()
        resolver.resolve(listing)
        took.append((time.perf_counter_ns() - start) / 1e6)
    if not took:
        return {"p50": None, "p99": None, "n": 0}
    p50, p99 = np.quantile(took, (0.5, 0.99)).round(3).tolist()
    return {"p50": p50, "p99": p99, "n": len(took)}


def _set_report(
    gold: Sequence[GoldListing],
    answers: Sequence[Resolution],
    *,
    baselines: Sequence[Baseline],
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    kinds = Counter(item.kind for item in gold)
    outcomes = judge(gold, answers)
    errors = errors_of(gold, answers)
    progress("metrics", 0.0)
    return {
        "n": len(outcomes.ranks),
        "kinds": {kind.value: kinds[kind] for kind in GoldKind},
        "metrics": _as_dict(figures_of(outcomes, seed=seed)),
        "baselines": _baseline_reports(
            _matches(gold), outcomes.ranks[outcomes.is_match], baselines,
            seed=seed, progress=progress,
        ),
        "errors": errors[:_MAX_ERRORS],
        "error_counts": dict(Counter(error["kind"] for error in errors)),
    }  # fmt: skip


def _baseline_reports(
    matches: Sequence[GoldListing],
    our_ranks: NDArray[np.float64],
    baselines: Sequence[Baseline],
    *,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Measure baselines on at most 600 of the matches, ourselves on the same ones."""
    rng, measure = np.random.default_rng(seed), partial(estimate, seed=seed)
    size = min(len(matches), BASELINE_LISTINGS)
    drawn = np.sort(rng.choice(len(matches), size, replace=False)) if size else np.zeros(0, int)
    listings = [matches[row] for row in drawn.tolist()]
    reports = {}
    for at, baseline in enumerate(baselines):
        progress(f"baseline {baseline.name}", at / len(baselines))
        ranked = baseline.rank([item.title for item in listings], BASELINE_DEPTH)
        ranks = _ranks(ranked, listings)
        figures = _ranking_figures(ranks, (3, 10), measure)
        figures["gain_precision_at_1"] = measure(metrics.gain, our_ranks[drawn] == 1, ranks == 1)
        reports[baseline.name] = _as_dict(figures)
    return reports


def _ranking_figures(
    ranks: NDArray[np.float64], cutoffs: Sequence[int], measure: Callable[..., Figure]
) -> Figures:
    recalls = {f"recall_at_{k}": partial(metrics.recall_at, cutoff=k) for k in cutoffs}
    named = {"precision_at_1": metrics.precision_at_1, **recalls}
    named["mrr"] = metrics.mean_reciprocal_rank
    return {name: measure(metric, ranks) for name, metric in named.items()}


def _route_ranks(
    retriever: RoutedRetriever, matches: Sequence[GoldListing], route: Route
) -> NDArray[np.float64]:
    models: list[list[str]] = []
    for start in range(0, len(matches), _BATCH):
        chunk = [item.listing for item in matches[start : start + _BATCH]]
        batch = retriever.retrieve(chunk, n_candidates=N_CANDIDATES, route=route)
        names = [retriever.table.records[row].model for row in batch.record.tolist()]
        bounds = batch.offsets.tolist()
        models += [names[a:b] for a, b in pairwise(bounds)]
    return _ranks(models, matches)


def _ranks(ranked: Sequence[Sequence[str]], gold: Sequence[GoldListing]) -> NDArray[np.float64]:
    pairs = zip(ranked, gold, strict=True)
    return np.array([rank_of_models(models, item) for models, item in pairs], np.float64)


def _resolve(
    resolver: Resolves, name: str, gold: Sequence[GoldListing], progress: Progress
) -> list[Resolution]:
    answers: list[Resolution] = []
    for start in range(0, len(gold), _BATCH):
        progress(f"{name}: resolving", start / len(gold))
        chunk = [item.listing for item in gold[start : start + _BATCH]]
        answers += resolver.resolve_many(chunk, top_k=N_CANDIDATES)
    return answers


def _within(progress: Progress, name: str, stage: str, share: float) -> None:
    progress(f"{name}: {stage}", share)


def _matches(gold: Sequence[GoldListing]) -> list[GoldListing]:
    return [item for item in gold if item.kind is GoldKind.MATCH]


def _as_dict(figures: Figures) -> dict[str, Any]:
    return {name: figure.as_dict() for name, figure in figures.items()}


def _machine() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores, "python": platform.python_version(), "platform": platform.platform(),
    }  # fmt: skip
