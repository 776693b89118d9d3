"""Ablation: what each kind of evidence and each feature group earns, on the same candidates.

Features are computed once for generated training listings and once for the gold listings. Each
system of `ablated_systems` is then trained on its columns, by the same listings, parameters and
seed, and ranks the gold listings' candidates; the one with all features is what the others are
compared with. Only listings that sell a GPU are ranked: decisions are not ablated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.bootstrap import LabelledListing
from rerank.evaluation.ablated_systems import FULL, SYSTEMS, System
from rerank.evaluation.ablated_training import columns_of, train_system, training_rows
from rerank.evaluation.catalogue import MRR, NDCG_AT_10, PRECISION_AT_1, recall
from rerank.evaluation.comparison import Comparison, adjusted, compare
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.intervals import DEFAULT_SAMPLES, Resampling
from rerank.evaluation.machine import this_machine
from rerank.evaluation.ranked_candidates import RankedCandidates
from rerank.training_evidence import Preparer
from rerank.training_sets import TrainingParameters

Progress = Callable[[str, float], None]
Ranks = tuple[NDArray[np.float64], NDArray[np.float64]]

# Measured of each system; all read ranks or grades alone.
METRICS = (PRECISION_AT_1, MRR, NDCG_AT_10, recall(3))


@dataclass(frozen=True, slots=True, eq=False)
class _TestSet:
    """A set's matches with their candidates.

    :param columns: shape (candidates, len(COLUMNS)).
    """

    gold: Sequence[GoldListing]
    candidates: RankedCandidates
    columns: NDArray[np.float32]


def ablate(
    preparer: Preparer,
    sets: Mapping[str, Sequence[GoldListing]],
    parameters: TrainingParameters,
    *,
    systems: Sequence[System] = SYSTEMS,
    samples: int = DEFAULT_SAMPLES,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Measure systems on named sets of gold listings; return a report of plain values.

    ``sets`` holds, by name, ``n`` and ``steps``: name, label, group (ladder or left_out), the
    features a step reads or leaves out, metrics with intervals, and their differences to the
    system with all features with interval, p-value and the p-value corrected over all systems by
    Holm; the full system has no difference. ``seed`` is that of training and of the intervals.

    :param systems: to measure; with the full one among them.
    :raises InputError: if a set has no listing that is a match, or the full system is missing.
    """
    if FULL not in {system.name for system in systems}:
        raise InputError(f"expected the system {FULL!r} to compare with, it is not there")
    chosen = {name: _matches(name, gold) for name, gold in sets.items()}
    progress("features of training listings", 0.0)
    rows = training_rows(preparer, parameters, partial(progress, "features of training listings"))
    tests = {
        name: _test_set(preparer, gold, partial(progress, f"features of {name}"))
        for name, gold in chosen.items()
    }
    ranked: dict[str, list[Ranks]] = {name: [] for name in tests}
    for system in systems:
        scorer = train_system(
            system, rows, parameters, partial(progress, f"training: {system.label}")
        )
        for name, test in tests.items():
            ranked[name].append(test.candidates.outcomes(scorer(test.columns)))
    progress("metrics", 0.0)
    return {
        "seed": parameters.seed,
        "machine": this_machine(),
        "sets": {
            name: {
                "n": len(test.gold),
                "steps": _steps(test.gold, systems, ranked[name], parameters.seed, samples),
            }
            for name, test in tests.items()
        },
    }


def _matches(name: str, gold: Sequence[GoldListing]) -> list[GoldListing]:
    found = [item for item in gold if item.kind is GoldKind.MATCH]
    if not found:
        raise InputError(f"{name}: expected listings of kind match, found none among {len(gold)}")
    return found


def _test_set(
    preparer: Preparer, gold: Sequence[GoldListing], progress: Callable[[float], None]
) -> _TestSet:
    bare = [_unlabelled(item) for item in gold]
    columns, listings, records, done = [], [], [], 0
    for prepared in preparer.batches(bare, progress=progress):
        columns.append(columns_of(prepared, preparer))
        listings.append(prepared.candidates.listing + done)
        records.append(prepared.candidates.record)
        done += len(prepared.labelled)
    listing, record = np.concatenate(listings), np.concatenate(records)
    candidates = RankedCandidates.of(gold, listing, record, preparer.table)
    return _TestSet(gold, candidates, np.concatenate(columns))


def _unlabelled(item: GoldListing) -> LabelledListing:
    """Return a gold listing as a preparer takes it, which must not see the truth."""
    return LabelledListing(
        item.listing,
        kind="match",
        gpu_id=None,
        model=None,
        memory_stated=False,
        form_stated=False,
        mentions=None,
        template="",
    )


def _steps(
    gold: Sequence[GoldListing],
    systems: Sequence[System],
    ranked: Sequence[Ranks],
    seed: int,
    samples: int,
) -> list[dict[str, Any]]:
    resampling = Resampling.draw((item.group for item in gold), seed=seed, samples=samples)
    columns = [{"ranks": ranks, "grades": grades} for ranks, grades in ranked]
    compared = _compared(resampling, systems, columns)
    return [
        {
            "name": system.name,
            "label": system.label,
            "group": system.part.value,
            "learner": system.learner.value,
            "features": list(system.shown),
            "metrics": {
                metric.name: resampling.figure(
                    metric, *(own[name] for name in metric.columns)
                ).as_dict()
                for metric in METRICS
            },
            "difference": {
                item.metric: _difference(item) for item in compared if item.system == system.name
            },
        }
        for system, own in zip(systems, columns, strict=True)
    ]


def _compared(
    resampling: Resampling,
    systems: Sequence[System],
    columns: Sequence[Mapping[str, NDArray[np.float64]]],
) -> list[Comparison]:
    """Compare every other system with the full one; Holm over the systems, for each metric."""
    full = next(own for system, own in zip(systems, columns, strict=True) if system.name == FULL)
    found: list[Comparison] = []
    for metric in METRICS:
        found += adjusted(
            [
                compare(
                    resampling,
                    metric,
                    [own[name] for name in metric.columns],
                    [full[name] for name in metric.columns],
                    system=system.name,
                    baseline=FULL,
                )
                for system, own in zip(systems, columns, strict=True)
                if system.name != FULL
            ]
        )
    return found


def _difference(item: Comparison) -> dict[str, Any]:
    found = item.as_dict()
    return {
        "value": found["difference"],
        "ci95": found["ci95"],
        "p_value": found["p_value"],
        "p_adjusted": found["p_adjusted"],
    }
