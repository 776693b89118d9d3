"""Part `floor`: what embedding, FAISS and the ranker's trees alone would take on the same rows.

Texts are composed and features computed before the clock starts; every process works on its own
share of the rows, and all start together.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from jobs.benchmarks.children import in_child, threads_of_children
from jobs.benchmarks.feeds import write_distinct
from jobs.benchmarks.figures import rate_of
from jobs.benchmarks.scoring_rates import warm_seconds
from jobs.benchmarks.settings import SERVED_VECTOR_HITS, TOP_K, WORKERS, Bench

if TYPE_CHECKING:
    from index.vector_index import FaissIndex
    from rerank.model import RerankModel

_BLOCK = 1024  # listings at a time: the block the resolver works in
_TREES = ("served", "lightgbm")
_START_TOGETHER_S = 600.0
_of_this_process: dict[str, Any] = {}

Floats = NDArray[np.float32]
Block = tuple[list[str], Floats]
Floor = Callable[[Block], None]


def measure_floor(bench: Bench, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the floor and the whole system, in one process and in two."""
    n, settings = bench.settings.floor_listings, bench.settings
    source = bench.folder / "floor.parquet"
    in_child(write_distinct, bench.home, source, n, seed=settings.seed)
    rows = []
    for processes in WORKERS:
        say(f"the whole system, processes: {processes}")
        ours = in_child(
            warm_seconds,
            bench.home,
            source,
            bench.folder / "floor_resolved.parquet",
            workers=processes,
            top_k=TOP_K,
            repeats=settings.repeats,
        )
        row = {"processes": processes, "ours": rate_of(n, ours).as_json()}
        say(f"the floor, processes: {processes}")
        for trees, took in _together(bench.home, source, processes, settings.repeats).items():
            row[f"floor_{trees}"] = rate_of(n, took).as_json()
        rows.append(row)
    return {"listings": n, "vector_hits": SERVED_VECTOR_HITS, "candidates": TOP_K, "rows": rows}


def _together(home: Path, source: Path, processes: int, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each run by trees: those of the process that took the longest."""
    context: Any = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    # One thread a library in each of several, as the workers of `rerank score` have it.
    alone = nullcontext() if processes == 1 else threads_of_children(1)
    with (
        alone,
        ProcessPoolExecutor(
            processes, mp_context=context, initializer=_keep, initargs=(barrier,)
        ) as pool,
    ):
        futures = [
            pool.submit(_share_seconds, home, source, (number, processes), repeats)
            for number in range(processes)
        ]
        shares = [future.result() for future in futures]
    return {
        trees: [max(run) for run in zip(*(share[trees] for share in shares), strict=True)]
        for trees in _TREES
    }


def _keep(barrier: Any) -> None:
    _of_this_process["barrier"] = barrier


def _share_seconds(
    home: Path, source: Path, share: tuple[int, int], repeats: int
) -> dict[str, list[float]]:
    """Time this process's share of the rows, by trees.

    :param share: which of how many.
    """
    barrier = _of_this_process["barrier"]
    try:
        prepared, floors = _prepared(home, source, share)
        return {trees: _timed(run, prepared, barrier, repeats) for trees, run in floors.items()}
    except BaseException:
        barrier.abort()  # nobody is to wait for this one
        raise


def _timed(run: Floor, prepared: list[Block], barrier: Any, repeats: int) -> list[float]:
    run(prepared[0])
    took = []
    for _ in range(repeats):
        barrier.wait(_START_TOGETHER_S)
        started = time.perf_counter()
        for block in prepared:
            run(block)
        took.append(time.perf_counter() - started)
    return took


def _prepared(
    home: Path, source: Path, share: tuple[int, int]
) -> tuple[list[Block], dict[str, Floor]]:
    """Return the texts and features of a share of a feed, block by block, and what runs them."""
    from index.embedder import descriptor, listing_text
    from index.vector_index import FaissIndex, IndexKind
    from jobs.listing_files import open_listings
    from jobs.serving import resolver_over
    from jobs.workspace import Workspace, open_retriever

    workspace = Workspace(home)
    retriever, manifest = open_retriever(workspace)
    resolver = resolver_over(workspace, retriever, manifest)
    listings = [each for batch in open_listings(source).batches() for each in batch.listings()]
    own = listings[share[0] :: share[1]]
    blocks = [
        (
            [listing_text(each) for each in own[at : at + _BLOCK]],
            resolver.evidence(own[at : at + _BLOCK], n_candidates=TOP_K).features,
        )
        for at in range(0, len(own), _BLOCK)
    ]
    encode = retriever.embedder.encode
    index = FaissIndex.build(
        encode([descriptor(record) for record in retriever.records]),
        IndexKind(manifest.parameters["kind"]),
    )
    return blocks, {
        trees: _floor(index, encode, score) for trees, score in _scorers(resolver.model).items()
    }


def _scorers(model: RerankModel) -> dict[str, Callable[[Floats], Any]]:
    """Return the ranker's trees, as they serve and by LightGBM, by the names of `_TREES`.

    :raises InputError: if the model ranks by something else than trees over features.
    """
    from rerank.ranking import FeatureRanker
    from rerank.tree_training import predictor

    if not isinstance(model.ranker, FeatureRanker) or not model.ranker_text:
        raise InputError(
            f"model {model.version}: expected LambdaRank's trees, whose floor this is, found "
            f"{type(model.ranker).__name__}; measure the shipped model or leave the part out"
        )
    return {
        "served": model.ranker.scorer.score,
        "lightgbm": predictor(model.ranker_text, threads=1),
    }


def _floor(
    index: FaissIndex, encode: Callable[[list[str]], Floats], score: Callable[[Floats], Any]
) -> Floor:
    """Return the work that is left of a block: texts and features in, nothing out."""

    def run(block: Block) -> None:
        index.search(encode(block[0]), SERVED_VECTOR_HITS)
        score(block[1])

    return run
