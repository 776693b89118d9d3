"""Evaluate a resolver on gold listings: answer, measure, record, report.

Each listing is retrieved once: its routes, its answer and why that is wrong come from the same
candidates. Figures are those of the answers in memory; the store keeps both, and counts what was
lost where by joining them.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rerank.calibration import DEFAULT_COVERAGE
from rerank.evaluation.baselines import (
    ROUTE_CUTOFFS,
    Baseline,
    Resolves,
    latency_ms,
    models_in,
    this_machine,
)
from rerank.evaluation.gold import GoldKind, GoldListing, covered
from rerank.evaluation.intervals import (
    DEFAULT_SAMPLES,
    DEFAULT_SEED,
    Comparison,
    Figure,
    adjusted,
    curves_of,
)
from rerank.evaluation.metrics import (
    AVERAGE,
    METRICS,
    MRR,
    PRECISION_AT_1,
    SHARE,
    Metric,
    metric_named,
    recall,
)
from rerank.evaluation.outcomes import Failure, is_judged, rank_of_models
from rerank.evaluation.paired import (
    SLICES,
    UNKNOWN,
    Columns,
    Figures,
    GoldFacts,
    PairedTable,
    RegistryFacts,
    batches_of,
    judged_rows,
    judged_table,
    plain,
    within,
)
from rerank.evaluation.runs import (
    OWN_SYSTEM,
    AnsweredSet,
    Run,
    begin_run,
    counted,
    record_figures,
    record_run,
    record_set,
)
from rerank.index.errors import InputError
from rerank.index.records import GpuRecord, Listing, Progress, Route
from rerank.index.text import normalise
from rerank.ranking import Evidence, RoutedRetriever
from rerank.resolution import Resolution
from rerank.resolver import Resolver
from rerank.store.database import Store
from rerank.store.rows import save_registry

EVALUATION_FORMAT = 2
_SHOWN_FAILURES = 200
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
WHOLE = ("all", "all")
# Baselines are slow (WRatio: some 200 titles/s) and their figures need no more.
BASELINE_LISTINGS = 600
BASELINE_DEPTH = 10


class Examined(NamedTuple):
    """What is seen of some listings on the way to their answers.

    :param routes: of each route to candidates, each listing's models, best first.
    :param evidence: what the answers were made from; None if it is not told.
    """

    answers: Sequence[Resolution]
    routes: Mapping[Enum, Sequence[Sequence[str]]]
    evidence: Evidence | None = None


def examine(
    resolver: Resolver, retriever: RoutedRetriever, listings: Sequence[Listing]
) -> Examined:
    """Retrieve listings once, by each route, and answer from the candidates of all routes.

    :param retriever: the resolver's own.
    """
    found = retriever.retrieve_routes(listings)
    evidence = resolver.weigh(listings, found[Route.FUSED])
    answers = resolver.resolutions(resolver.decide(evidence))
    for at, listing in enumerate(listings):
        if not normalise(listing.title):  # what has no title is answered without candidates
            answers[at] = resolver.resolve(listing)
    routes: dict[Enum, Sequence[Sequence[str]]] = {
        route: models_in(each, retriever.table) for route, each in found.items()
    }
    return Examined(answers, routes, evidence)


Explain = Callable[
    [Sequence[GoldListing], Sequence[Resolution], Sequence[Evidence]], Sequence[Failure]
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What an evaluation looks at besides the answers; each may be missing.

    :param records: the registry, kept with the run; ``registry_version`` names the catalogue.
    :param facts: what listings are sliced by; None for what the registry knows of them.
    :param metrics: of our own answers.
    :param examine: answers listings in the resolver's place and tells what it saw; the routes to
        candidates, ``routes``, are then measured one by one.
    :param explain: finds why answers are wrong, given gold, answers and the evidence of each batch.
    :param candidate_set: returns the outcomes that an answer's listing may sell, of the stated
        ``coverage``.
    """

    records: Sequence[GpuRecord] = ()
    registry_version: str = ""
    facts: GoldFacts | None = None
    metrics: Sequence[Metric] = METRICS
    baselines: Sequence[Baseline] = ()
    examine: Callable[[Sequence[Listing]], Examined] | None = None
    routes: Sequence[Enum] = tuple(Route)
    explain: Explain | None = None
    coverage: float = DEFAULT_COVERAGE
    candidate_set: Callable[[Resolution], Sequence[str]] | None = None


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
    facts = tools.facts or RegistryFacts(tools.records)
    with _kept(store) as kept:
        if tools.records:  # first, so that a store that cannot be written is found out at once
            with kept.writing() as session:
                save_registry(session, tools.records, tools.registry_version)
        answered = {
            name: answered_set(resolver, name, gold, tools, seed, within(progress, name))
            for name, gold in sets.items()
        }
        progress("latency", 0.0)
        listings = [item.listing for item in chain.from_iterable(sets.values())]
        latency = latency_ms(resolver, listings)
        run = _begun(answered, tools, latency, seed=seed, samples=samples)
        with kept.writing() as session:
            record_run(session, run)
            for item in answered.values():
                record_set(session, run, item, facts)
        report = {
            name: _set_report(kept, run, item, facts, tools, progress)
            for name, item in answered.items()
        }
    return {
        "format_version": EVALUATION_FORMAT,
        "run_id": run["run_id"],
        "started_at": run["started_at"].isoformat(timespec="seconds") + "Z",
        "model_version": run["model_version"],
        "index_version": run["index_version"],
        "registry_version": run["registry_version"],
        "seed": seed,
        "samples": samples,
        "machine": run["machine"],
        "latency_ms": latency,
        "sets": report,
    }


def _begun(
    answered: Mapping[str, AnsweredSet],
    tools: Instruments,
    latency: Mapping[str, Any],
    **settings: int,
) -> Run:
    first = next(chain.from_iterable(item.answers for item in answered.values()))
    return begin_run(
        "evaluate",
        model_version=first.model_version,
        index_version=first.index_version,
        registry_version=tools.registry_version,
        machine=this_machine(),
        latency_p50_ms=latency["p50"],
        latency_p99_ms=latency["p99"],
        latency_listings=latency["n"],
        **settings,
    )


@contextmanager
def _kept(store: Store | None) -> Iterator[Store]:
    if store is not None:
        yield store
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Store(Path(folder) / "evaluation.duckdb")


def answered_set(
    resolver: Resolves,
    name: str,
    gold: Sequence[GoldListing],
    tools: Instruments,
    seed: int,
    progress: Progress,
) -> AnsweredSet:
    """Answer a set, with what baselines, routes and candidate sets make of its listings."""
    answers: list[Resolution] = []
    routes: dict[Enum, list[Sequence[str]]] = {route: [] for route in tools.routes}
    evidence = []
    for listings in batches_of(gold, partial(progress, "resolving")):
        if tools.examine is None:
            answers += resolver.resolve_many(listings)
            continue
        seen = tools.examine(listings)
        answers += seen.answers
        evidence += [] if seen.evidence is None else [seen.evidence]
        for route, models in seen.routes.items():
            routes[route] += models
    failures = tools.explain(gold, answers, evidence) if tools.explain else []
    ranks = _baseline_ranks(gold, tools.baselines, seed, progress)
    for route in tools.routes if tools.examine is not None else ():
        ranks[_route_system(route)] = {
            item.listing_id: rank_of_models(models, item)
            for item, models in zip(gold, routes[route], strict=True)
            if item.kind is GoldKind.MATCH
        }
    sets = list(map(tools.candidate_set, answers)) if tools.candidate_set else []
    covers = [is_judged(item) and covered(own, item) for item, own in zip(gold, sets, strict=False)]
    return AnsweredSet(name, gold, answers, failures, sets, covers, ranks)


def _route_system(route: Enum) -> str:
    return f"route {route.value}"


def _baseline_ranks(
    gold: Sequence[GoldListing], baselines: Sequence[Baseline], seed: int, progress: Progress
) -> dict[str, dict[str, float]]:
    """Ask the baselines about at most 600 of the matches, drawn once for all of them."""
    matches = [item for item in gold if item.kind is GoldKind.MATCH]
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


def _set_report(
    store: Store,
    run: Run,
    item: AnsweredSet,
    facts: GoldFacts,
    tools: Instruments,
    progress: Progress,
) -> dict[str, Any]:
    """Measure a set, everything over the same resamples of its listing groups, and record it."""
    progress(f"{item.name}: figures", 0.0)
    table = table_of(item, facts, seed=run["seed"], samples=run["samples"])
    found = _measured(item, table, tools)
    with store.writing() as session:
        record_figures(session, run["run_id"], item.name, found.by_slice(), found.compared)
        lost = counted(session, run["run_id"], item.name)
    kinds = Counter(listing.kind for listing in item.gold)
    judged = table.systems[OWN_SYSTEM]
    sets = found.candidate_sets
    return {
        "n": table.resampling.n_rows,
        "kinds": {kind.value: kinds[kind] for kind in GoldKind},
        "metrics": plain(found.own),
        "baselines": {
            gain.baseline: {
                **plain(found.others[gain.baseline]),
                "gain_precision_at_1": Figure(gain.difference, gain.ci95, gain.n).as_dict(),
            }
            for gain in found.compared
            if gain.metric == PRECISION_AT_1.name
        },
        "routes": {
            route.value: plain(found.others[_route_system(route)])
            for route in tools.routes
            if _route_system(route) in found.others
        },
        "comparisons": [each.as_dict() for each in found.compared],
        "curves": curves_of(table.resampling, judged["probability"], judged["correct"]),
        "candidate_sets": {"level": tools.coverage, **plain(sets)} if sets else None,
        "slices": {
            name: {value: plain(own) for value, own in values.items()}
            for name, values in found.slices.items()
        },
        **lost,
        "failures": [failure.as_dict() for failure in item.failures[:_SHOWN_FAILURES]],
    }


class MeasuredSet(NamedTuple):
    """The figures of one set.

    :param others: of each other system, on the listings it was asked about.
    :param slices: of each slice, of each value, our figures.
    :param candidate_sets: coverage and mean size of our candidate sets; empty without any.
    """

    own: Figures
    others: Mapping[str, Figures]
    compared: Sequence[Comparison]
    slices: Mapping[str, Mapping[str, Figures]]
    candidate_sets: Figures

    def by_slice(self) -> dict[tuple[str, str, str], Figures]:
        """Return all figures by (system, slice, slice value), as the store keeps them."""
        sets = {
            f"candidate_set_{name.removeprefix('mean_')}": figure
            for name, figure in self.candidate_sets.items()
        }
        return {
            (OWN_SYSTEM, *WHOLE): {**self.own, **sets},
            **{(system, *WHOLE): figures for system, figures in self.others.items()},
            **{
                (OWN_SYSTEM, name, value): figures
                for name, values in self.slices.items()
                for value, figures in values.items()
            },
        }


def _measured(item: AnsweredSet, table: PairedTable, tools: Instruments) -> MeasuredSet:
    baselines = [baseline.name for baseline in tools.baselines]
    pairs = [(name, metric) for name in baselines for metric in COMPARED_METRICS]
    return MeasuredSet(
        own=table.figures(OWN_SYSTEM, tools.metrics),
        others={
            name: table.figures(name, BASELINE_METRICS if name in baselines else ROUTE_METRICS)
            for name in item.other_ranks
        },
        compared=adjusted([table.compared(metric, OWN_SYSTEM, name) for name, metric in pairs]),
        slices=_sliced(table),
        candidate_sets=_set_figures(item, table),
    )


def table_of(item: AnsweredSet, facts: GoldFacts, *, seed: int, samples: int) -> PairedTable:
    """Return our answers to a set's judged listings beside the ranks of the other systems.

    Another system was asked about the matches that it has a rank of.
    """
    answers = {OWN_SYSTEM: {item.name: item.answers}}
    table = judged_table({item.name: item.gold}, answers, facts, seed=seed, samples=samples)
    ids = [item.gold[at].listing_id for at in judged_rows(item.gold)]
    systems: dict[str, Columns] = dict(table.systems)
    for name, ranks in item.other_ranks.items():
        found = np.array([ranks.get(listing_id, np.nan) for listing_id in ids], np.float64)
        systems[name] = {"ranks": found, "is_match": ~np.isnan(found)}
    return PairedTable(systems, table.resampling, table.slices)


def _sliced(table: PairedTable) -> dict[str, dict[str, Figures]]:
    """Return our figures on the largest values of each slice that has several."""
    found = {}
    for name in SLICES:
        values = table.sliced(name)
        if len(values) > 1:
            largest = sorted(values.items(), key=lambda item: (-int(item[1].sum()), item[0]))
            found[name] = {
                value or UNKNOWN: table.figures(OWN_SYSTEM, SLICE_METRICS, where=where)
                for value, where in largest[:_LARGEST_SLICES]
            }
    return found


def _set_figures(item: AnsweredSet, table: PairedTable) -> Figures:
    rows = judged_rows(item.gold)
    if not item.candidate_sets or not rows:
        return {}
    covered = [item.covers[at] for at in rows]
    sizes = [len(item.candidate_sets[at]) for at in rows]
    figure = table.resampling.figure
    return {
        "coverage": figure(SHARE, np.array(covered)),
        "mean_size": figure(AVERAGE, np.array(sizes)),
    }
