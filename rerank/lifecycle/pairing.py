"""Two models on the same gold listings: outcomes side by side, ready to be compared.

Outcomes and slices are those of `rerank evaluate`: both models' answers are recorded in a store
that is thrown away, and read back by its queries.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from index.records import GpuRecord
from rerank.evaluation.answering import Resolves, resolve_all
from rerank.evaluation.catalogue import Metric
from rerank.evaluation.gold import GoldListing
from rerank.evaluation.intervals import Figure, Resampling
from rerank.evaluation.latency import Latency
from rerank.evaluation.machine import this_machine
from rerank.evaluation.measure import figures_of
from rerank.evaluation.outcomes import Outcomes
from rerank.evaluation.queries import JudgedSet, judged_set
from rerank.evaluation.recording import OWN_SYSTEM, Answered, Run, record_run, record_set
from rerank.resolver import Resolution
from rerank.store import Store
from rerank.store.registry import save_registry

Progress = Callable[[str, float], None]
Bools = NDArray[np.bool_]
Texts = NDArray[np.object_]

_UNTIMED = Latency(None, None, 0)
_VERSION = "as answered"  # of the registry in a store that nobody else reads


@dataclass(frozen=True, slots=True)
class Pairing:
    """Outcomes of two models on the judged listings of all sets, row by row the same listing.

    :param sets: the set of each listing.
    :param slices: of each slice, the value of every listing, empty where it is unknown.
    :param candidate: outcomes of the model that may serve.
    :param champion: outcomes of the one that does; None if it cannot be asked.
    :param resampling: of each set by itself, so that each keeps its size in every sample.
    """

    sets: Texts
    slices: Mapping[str, Texts]
    candidate: Outcomes
    champion: Outcomes | None
    resampling: Resampling

    def figures(self, name: str, metrics: Sequence[Metric]) -> dict[str, Figure]:
        """Return the candidate's figures on one set."""
        return figures_of(self.candidate, self.resampling, metrics, where=self.sets == name)


def pair(
    candidate: Resolves,
    champion: Resolves | None,
    sets: Mapping[str, Sequence[GoldListing]],
    records: Sequence[GpuRecord],
    *,
    seed: int,
    samples: int,
    progress: Progress = lambda stage, share: None,
) -> Pairing:
    """Let both models answer the listings of all sets.

    :param records: the registry, for what listings are sliced by.
    :param seed: of the resamples.
    :raises InputError: if no set has a listing that is judged.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "pairing.duckdb")
        with store.writing() as session:
            save_registry(session, records, _VERSION)
        ours = _judged(store, "candidate", candidate, sets, records, seed, progress)
        theirs = (
            None
            if champion is None
            else _judged(store, "champion", champion, sets, records, seed, progress)
        )
    named = {name: judged for name, judged in ours.items() if len(judged.listing_ids)}
    if not named:
        raise InputError(f"expected gold listings to judge on, got {len(sets)} sets without any")
    drawn = [
        Resampling.draw(judged.groups, seed=seed + at, samples=samples)
        for at, judged in enumerate(named.values())
    ]  # a seed a set: sets of equal size would else be drawn alike
    first = next(iter(named.values()))
    return Pairing(
        sets=_texts([np.full(len(each.listing_ids), name) for name, each in named.items()]),
        slices={
            name: _texts([each.slices[name] for each in named.values()]) for name in first.slices
        },
        candidate=_joined([each.outcomes for each in named.values()]),
        champion=None if theirs is None else _joined([theirs[name].outcomes for name in named]),
        resampling=_side_by_side(drawn),
    )


def _judged(
    store: Store,
    label: str,
    resolver: Resolves,
    sets: Mapping[str, Sequence[GoldListing]],
    records: Sequence[GpuRecord],
    seed: int,
    progress: Progress,
) -> dict[str, JudgedSet]:
    run = Run.begin(
        "evaluate",
        model_version=label,
        index_version="",
        registry_version=_VERSION,
        seed=seed,
        samples=1,
        machine=this_machine(),
        latency=_UNTIMED,
    )
    answered = {
        name: resolve_all(resolver, gold, _within(progress, f"{label}: {name}"))
        for name, gold in sets.items()
    }
    with store.writing() as session:
        record_run(session, run)
        for name, gold in sets.items():
            record_set(session, run, _plain(name, gold, answered[name]), records)
    with store.reading() as session:
        return {name: judged_set(session, run.run_id, name, OWN_SYSTEM) for name in sets}


def _plain(name: str, gold: Sequence[GoldListing], answers: Sequence[Resolution]) -> Answered:
    return Answered(name, gold, answers, {}, [], [], {})


def _within(progress: Progress, name: str) -> Progress:
    return lambda stage, share: progress(name, share)


def _texts(parts: Sequence[NDArray[Any]]) -> Texts:
    return np.concatenate([part.astype(object) for part in parts])


def _joined(parts: Sequence[Outcomes]) -> Outcomes:
    columns = {
        each.name: np.concatenate([getattr(part, each.name) for part in parts])
        for each in fields(Outcomes)
    }
    return Outcomes(**columns)


def _side_by_side(parts: Sequence[Resampling]) -> Resampling:
    """Join resamplings of separate sets: each sample holds one sample of every set."""
    starts = np.cumsum([0, *(part.n_groups for part in parts)])
    groups = [part.group + start for part, start in zip(parts, starts, strict=False)]
    return Resampling(
        np.concatenate(groups), np.concatenate([part.counts for part in parts]), parts[0].seed
    )
