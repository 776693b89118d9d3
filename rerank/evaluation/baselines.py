"""What anyone would try first, behind one protocol: the bar our ranking has to clear.

Each sees titles and the registry's model names, nothing else, and none is trained.
"""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rerank.evaluation.gold import GoldListing
from rerank.evaluation.outcomes import rank_of_models
from rerank.index.errors import InputError, MissingExtraError, RerankWarning, require
from rerank.index.records import N_CANDIDATES, Listing, Route
from rerank.index.text import normalise, runs
from rerank.ranking import CandidateBatch, ModelTable, RoutedRetriever
from rerank.resolution import Resolution

Scores = NDArray[np.floating[Any]]

BASELINE_LABELS = {
    "rapidfuzz_token_set_ratio": "RapidFuzz token_set_ratio",
    "rapidfuzz_wratio": "RapidFuzz WRatio",
    "char_ngram_tfidf": "character n-gram TF-IDF",
    "token_coverage": "token-coverage rule",
}
"""What people call the default baselines, by `Baseline.name`."""


class Resolves(Protocol):
    """What is evaluated: `rerank.resolver.Resolver`, or anything that answers like it."""

    def resolve(self, listing: Listing, *, top_k: int = N_CANDIDATES) -> Resolution:
        """Resolve one listing."""

    def resolve_many(
        self, listings: Sequence[Listing], *, top_k: int = N_CANDIDATES
    ) -> Sequence[Resolution]:
        """Resolve listings, answers in their order."""


class Baseline(Protocol):
    """Ranks model names for titles."""

    @property
    def name(self) -> str:
        """Its key in reports."""

    def rank(self, titles: Sequence[str], k: int) -> list[list[str]]:
        """Return up to ``k`` models of each title, best first, ties by name.

        :raises InputError: if ``k`` is below 1.
        """


def default_baselines(records: Iterable[Any]) -> list[Baseline]:
    """Return the four baselines of an evaluation over the models of a registry.

    Without scikit-learn, which the base install lacks, three: a warning says so.

    :param records: of which each has a ``model``.
    """
    from rapidfuzz import fuzz

    models = sorted({record.model for record in records})
    plain = plain_baselines(models)
    wratio = FuzzyNames("rapidfuzz_wratio", models, fuzz.WRatio)
    return [plain[0], wratio, *plain[1:], TokenCoverage(models)]


def plain_baselines(models: Sequence[str]) -> list[Baseline]:
    """Return the two baselines that a catalogue of any size can be asked for: RapidFuzz, n-grams.

    Without scikit-learn, which the base install lacks, one: a warning says so.
    """
    from rapidfuzz import fuzz

    baselines: list[Baseline] = [
        FuzzyNames("rapidfuzz_token_set_ratio", models, fuzz.token_set_ratio)
    ]
    try:
        require("train", f"the baseline {BASELINE_LABELS[NgramCosine.name]!r}", "sklearn")
        baselines.append(NgramCosine(models))
    except MissingExtraError as exc:
        warnings.warn(f"{exc}: left out", RerankWarning, stacklevel=3)
    return baselines


class FuzzyNames:
    """A RapidFuzz ratio of title and model name, both lower case without punctuation."""

    def __init__(self, name: str, models: Sequence[str], scorer: Callable[..., float]) -> None:
        self.name = name
        self._models = _sorted_models(models)
        self._scorer = scorer

    def rank(self, titles: Sequence[str], k: int) -> list[list[str]]:
        """Return up to ``k`` models of each title, best first, ties by name."""
        from rapidfuzz import process, utils

        scores = process.cdist(
            titles,
            self._models,
            scorer=self._scorer,
            processor=utils.default_process,
            workers=-1,
            dtype=np.float32,
        )
        return best_models(scores, self._models, k)


class NgramCosine:
    """Cosine of TF-IDF vectors over runs of 2 to 4 characters within words.

    Runs across words do worse (`char`: .29 of the hard set first, `char_wb`: .47).
    """

    name = "char_ngram_tfidf"

    def __init__(self, models: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._models = _sorted_models(models)
        self._vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4))
        self._vectors = self._vectorizer.fit_transform(self._models)

    def rank(self, titles: Sequence[str], k: int) -> list[list[str]]:
        """Return up to ``k`` models of each title, best first, ties by name."""
        if not titles:  # scikit-learn refuses an empty table
            return best_models(np.zeros((0, len(self._models))), self._models, k)
        cosine = (self._vectorizer.transform(titles) @ self._vectors.T).toarray()
        return best_models(cosine, self._models, k)


class TokenCoverage:
    """The 30-line rule: IDF of a model's tokens found in the title minus that of those missing.

    Tokens are runs of letters and of digits, so ``RTX4060Ti`` holds rtx, 4060 and ti.
    """

    name = "token_coverage"

    def __init__(self, models: Sequence[str]) -> None:
        self._models = _sorted_models(models)
        tokens = [_tokens(model) for model in self._models]
        self._column = {token: at for at, token in enumerate(sorted(set().union(*tokens)))}
        self._weight = self._incidence(tokens)
        self._weight *= np.log(len(tokens) / self._weight.sum(axis=0))

    def rank(self, titles: Sequence[str], k: int) -> list[list[str]]:
        """Return up to ``k`` models of each title, best first, ties by name."""
        found = self._incidence([_tokens(title) for title in titles]) @ self._weight.T
        return best_models(2 * found - self._weight.sum(axis=1), self._models, k)

    def _incidence(self, tokens: Sequence[frozenset[str]]) -> NDArray[np.float32]:
        matrix = np.zeros((len(tokens), len(self._column)), np.float32)
        for row, held in enumerate(tokens):
            matrix[row, [self._column[token] for token in held if token in self._column]] = 1
        return matrix


def best_models(scores: Scores, models: Sequence[str], k: int) -> list[list[str]]:
    """Return the ``k`` best-scored models of each row, ties in the order of ``models``.

    :param scores: shape (titles, models), higher is better.
    :raises InputError: if ``k`` is below 1.
    """
    if k < 1:
        raise InputError(f"k must be at least 1, got {k}")
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [[models[column] for column in row] for row in order.tolist()]


def _sorted_models(models: Sequence[str]) -> list[str]:
    if not models:
        raise InputError("a baseline needs at least one model, got none")
    return sorted(set(models))


def _tokens(text: str) -> frozenset[str]:
    return frozenset(run.text for run in runs(normalise(text)))


ROUTE_CUTOFFS = (1, 3, 10, N_CANDIDATES)


def route_ranks(
    retriever: RoutedRetriever, matches: Sequence[GoldListing], route: Route
) -> list[float]:
    """Return the place of the first right model of each listing, infinite if it is not found."""
    found = retriever.retrieve([item.listing for item in matches], route=route)
    models = models_in(found, retriever.table)
    return [rank_of_models(own, item) for own, item in zip(models, matches, strict=True)]


def models_in(found: CandidateBatch, table: ModelTable) -> list[list[str]]:
    """Return the models of each listing's candidates, in their order."""
    names = [table.records[row].model for row in found.record.tolist()]
    return [names[start:stop] for start, stop in pairwise(found.offsets.tolist())]


LATENCY_LISTINGS = 300
LATENCY_WARM_UP = 20


def latency_ms(resolver: Resolves, listings: Sequence[Listing]) -> dict[str, Any]:
    """Time up to 300 listings one by one.

    :returns: ``p50`` and ``p99`` in milliseconds, None if none was timed, of ``n`` listings.
    """
    took = fastest_ms([resolver], listings, most=LATENCY_LISTINGS)[0]
    if not len(took):
        return {"p50": None, "p99": None, "n": 0}
    p50, p99 = np.quantile(took, (0.5, 0.99)).round(3).tolist()
    return {"p50": p50, "p99": p99, "n": len(took)}


def fastest_ms(
    models: Sequence[Resolves],
    listings: Sequence[Listing],
    *,
    most: int,
    runs: int = 1,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> NDArray[np.float64]:
    """Time single listings after a warm-up, spread evenly over all; models take turns to go first.

    :param most: listings that are timed, at least 1.
    :param runs: of each listing; the fastest counts, since what else runs can only slow one down.
    :param clock: in nanoseconds.
    :returns: milliseconds, shape (models, listings that were timed).
    """
    timed = listings[:: max(1, len(listings) // most)][:most]
    for listing, model in product(timed[:LATENCY_WARM_UP], models):
        model.resolve(listing)
    took = np.full((len(models), len(timed)), np.inf)
    for run, (at, listing), turn in product(range(runs), enumerate(timed), range(len(models))):
        number = (run + at + turn) % len(models)
        start = clock()
        models[number].resolve(listing)
        took[number, at] = min(took[number, at], (clock() - start) / 1e6)
    return took


def this_machine() -> dict[str, Any]:
    """Return the cores this process may use, Python's version and the platform."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


_DIGITS = 6  # significant ones kept in JSON


@dataclass(frozen=True, slots=True)
class RepeatedFigure:
    """A measured value.

    :param median: of the measurements.
    :param low: the least of them; with so few, a range says more than a quantile.
    :param high: the greatest.
    :param values: all, in the order they were measured; empty for what is derived from others.
    """

    median: float
    low: float
    high: float
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Sequence[float]) -> RepeatedFigure:
        """Summarise measurements of one thing.

        :raises InputError: if there are none.
        """
        if not values:
            raise InputError("expected at least one measurement to summarise, got none")
        return cls(float(median(values)), float(min(values)), float(max(values)), tuple(values))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RepeatedFigure:
        """Return what `as_json` wrote."""
        low, high = content["range"]
        return cls(content["median"], low, high, tuple(content["values"]))

    def as_json(self) -> dict[str, Any]:
        """Return plain values, six digits of each."""
        return {
            "median": _short(self.median),
            "range": [_short(self.low), _short(self.high)],
            "values": [_short(value) for value in self.values],
        }


def rate_of(count: int, seconds: Sequence[float]) -> RepeatedFigure:
    """Return how many a second each measurement did.

    :param count: done in each of the measurements.
    """
    return RepeatedFigure.of([count / max(took, 1e-9) for took in seconds])


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
