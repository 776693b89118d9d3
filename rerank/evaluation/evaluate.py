"""Evaluate a resolver on gold listings: answer, record, measure what was recorded, report.

Everything is written to the store first, listing by listing; every figure of the report is then a
query over it, and is kept there beside what it was made from.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from index.errors import InputError
from rerank.evaluation import queries, recording
from rerank.evaluation.answering import (
    ROUTE_SYSTEMS,
    Instruments,
    Resolves,
    answered_set,
    resolve_all,
)
from rerank.evaluation.failures import Failure
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.intervals import DEFAULT_SAMPLES
from rerank.evaluation.latency import Latency, latency_ms
from rerank.evaluation.machine import this_machine
from rerank.evaluation.measure import Figures, Measured, measure
from rerank.evaluation.recording import OWN_SYSTEM, Answered, Run
from rerank.store import Session, Store
from rerank.store.registry import save_registry

Progress = Callable[[str, float], None]

FORMAT_VERSION = 2
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
        "format_version": FORMAT_VERSION,
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
) -> tuple[dict[str, Answered], dict[str, Sequence[Failure]]]:
    """Return what was answered on each set, and what went wrong there."""
    answered, failures = {}, {}
    for name, gold in sets.items():
        within = partial(_within, progress, name)
        answers = resolve_all(resolver, gold, within)
        failures[name] = tools.explain(gold, answers) if tools.explain else []
        answered[name] = answered_set(name, gold, answers, failures[name], tools, seed, within)
    return answered, failures


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


def _record(store: Store, run: Run, answered: Mapping[str, Answered], tools: Instruments) -> None:
    with store.writing() as session:
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
        judged,
        {name: ranks[name] for name in baselines},
        {name: ranks[name] for name in routes},
        seed=run.seed,
        samples=run.samples,
    )
    with store.writing() as session:
        recording.record_figures(
            session, run.run_id, item.name, measured.by_slice(), measured.comparisons
        )
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
        "loss_budget": queries.loss_budget(*keys),
        "confusions": queries.confusions(*keys),
        "causes": queries.cause_counts(*keys),
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
