"""What cards of versions say of graphics cards: figures on generated listings of unseen models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rerank.bootstrap.generator import generate
from rerank.evaluation.baselines import route_ranks
from rerank.evaluation.gold import GoldKind, bootstrap_gold
from rerank.evaluation.intervals import Resampling
from rerank.evaluation.metrics import recall
from rerank.evaluation.outcomes import judge
from rerank.evaluation.paired import PairedTable, plain
from rerank.index.embedder import StaticEmbedder
from rerank.index.errors import InputError
from rerank.index.records import N_CANDIDATES, Listing, Route
from rerank.index.retriever import Retriever, index_records, load_retriever
from rerank.index.text import descriptor
from rerank.index.vector_index import ExactIndex
from rerank.resolver import Resolver
from rerank.workspace import Workspace, embedder_of_index

_LISTINGS, _LISTINGS_OF_A_CROSS_ENCODER = 1000, 100
_SAMPLES = 500
_SEED = 29_029  # of all versions, so that their figures are of the same listings
_CUTOFFS = (1, 10, N_CANDIDATES)


def measured(resolver: Resolver, kind: str) -> tuple[dict[str, Any], Sequence[Listing]]:
    """Return figures with 95 % intervals on generated listings of unseen models, and those."""
    n = _LISTINGS_OF_A_CROSS_ENCODER if kind == "cross-encoder" else _LISTINGS
    records = resolver.table.records
    try:
        gold = bootstrap_gold(records, n, _SEED)
    except InputError:  # so small a registry has no models for tests: nothing is unseen
        return {}, [item.listing for item in generate(records, n, seed=_SEED)]
    listings = [item.listing for item in gold]
    outcomes = judge(gold, resolver.resolve_many(listings))
    resampling = Resampling.draw([item.group for item in gold], seed=_SEED, samples=_SAMPLES)
    figures = plain(PairedTable({kind: outcomes}, resampling).figures(kind))
    measured_on = {"listings": n, "seed": _SEED, "of": "generated listings of unseen models"}
    return {"measured_on": measured_on, "figures": figures}, listings


def part_recall(kind: str, folder: Path, workspace: Workspace) -> dict[str, Any]:
    """Return recall on generated listings of unseen models, with 95 % intervals.

    An index is asked with vectors and names, an embedder by vectors alone, exactly, over the
    registry of the index that serves.

    :param kind: ``index`` or ``embedder``.
    :raises ArtifactError: if the embedder of an index is gone.
    :raises InputError: if so small a registry has no unseen models.
    """
    if kind == "index":
        return _recall(load_retriever(folder, embedder_of_index(workspace, folder))[0], Route.FUSED)
    return _recall(_of_embedder(workspace, folder), Route.VECTOR)


def _of_embedder(workspace: Workspace, folder: Path) -> Retriever:
    embedder = StaticEmbedder.load(folder)
    records = index_records(workspace.active_index())
    vectors = embedder.encode([descriptor(record) for record in records])
    exact = ExactIndex(embedder.dimension)
    exact.add(vectors)
    return Retriever(records, vectors, exact, embedder)


def _recall(retriever: Retriever, route: Route) -> dict[str, Any]:
    """Measure a retriever.

    :raises InputError: if its registry has no models for tests.
    """
    gold = bootstrap_gold(retriever.records, _LISTINGS, _SEED)
    matches = [item for item in gold if item.kind is GoldKind.MATCH]
    ranks = np.array(route_ranks(retriever, matches, route), np.float64)
    resampling = Resampling.draw([item.group for item in matches], seed=_SEED, samples=_SAMPLES)
    figures = {
        metric.name: resampling.figure(metric, ranks).as_dict() for metric in map(recall, _CUTOFFS)
    }
    measured_on = {
        "listings": len(matches),
        "seed": _SEED,
        "of": "generated listings of unseen models",
        "route": route.value,
    }
    return {"measured_on": measured_on, "figures": figures}
