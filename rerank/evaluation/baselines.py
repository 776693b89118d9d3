"""What anyone would try first, behind one protocol: the bar our ranking has to clear.

Each sees titles and the registry's model names, nothing else, and none is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from index.records import GpuRecord
from index.text import normalise, runs

Scores = NDArray[np.floating[Any]]

BASELINE_LABELS = {
    "rapidfuzz_token_set_ratio": "RapidFuzz token_set_ratio",
    "rapidfuzz_wratio": "RapidFuzz WRatio",
    "char_ngram_tfidf": "character n-gram TF-IDF",
    "token_coverage": "token-coverage rule",
}
"""What people call the default baselines, by `Baseline.name`."""


class Baseline(Protocol):
    """Ranks model names for titles."""

    @property
    def name(self) -> str:
        """Its key in reports."""

    def rank(self, titles: Sequence[str], k: int) -> list[list[str]]:
        """Return up to ``k`` models of each title, best first, ties by name.

        :raises InputError: if ``k`` is below 1.
        """


def default_baselines(records: Iterable[GpuRecord]) -> list[Baseline]:
    """Return the four baselines of an evaluation over the models of a registry."""
    from rapidfuzz import fuzz

    models = sorted({record.model for record in records})
    return [
        FuzzyNames("rapidfuzz_token_set_ratio", models, fuzz.token_set_ratio),
        FuzzyNames("rapidfuzz_wratio", models, fuzz.WRatio),
        NgramCosine(models),
        TokenCoverage(models),
    ]


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
