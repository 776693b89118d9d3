"""What an index or an embedder finds: figures for its card, before any ranking."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from index.errors import ArtifactError, InputError
from jobs.workspace import Workspace

if TYPE_CHECKING:
    from index.records import Route
    from index.retriever import Retriever

_LISTINGS, _SAMPLES = 1000, 500
_SEED = 29_029  # of all versions, so that their figures are of the same listings
_CUTOFFS = (1, 10, 20)


def part_figures(workspace: Workspace, kind: str, folder: Path) -> dict[str, Any]:
    """Return recall on generated listings of unseen models, with 95 % intervals, for a card.

    An index is asked with vectors and names, an embedder by vectors alone, exactly, over the
    registry of the index that serves. Empty where that cannot be measured: the embedder of an
    index is gone, or so small a registry has no unseen models.

    :param kind: ``index`` or ``embedder``.
    """
    from index.records import Route

    with suppress(ArtifactError, InputError):
        if kind == "index":
            return _recall(_of_index(workspace, folder), Route.FUSED)
        return _recall(_of_embedder(workspace, folder), Route.VECTOR)
    return {}


def _of_index(workspace: Workspace, folder: Path) -> Retriever:
    from index.gpu_index import load_retriever
    from jobs.embedders import embedder_of_index

    return load_retriever(folder, embedder_of_index(workspace, folder))[0]


def _of_embedder(workspace: Workspace, folder: Path) -> Retriever:
    from index.embedder import StaticEmbedder, descriptor
    from index.gpu_index import index_records
    from index.retriever import Retriever
    from index.vector_index import ExactIndex

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
    from rerank.evaluation.catalogue import recall
    from rerank.evaluation.gold import GoldKind, bootstrap_gold
    from rerank.evaluation.intervals import Resampling
    from rerank.evaluation.routes import route_ranks

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
