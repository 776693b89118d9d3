"""Diversity of what is asked: how alike titles are, and what one answer is worth after others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.text import normalise, runs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEAR_COSINE = 0.9
"""From this cosine on, titles of one predicted model are the same question."""

# A number this long is an article number or an EAN; no model and no memory size has six digits.
_ARTICLE_DIGITS = 6
# Halving takes 3 more answers for one model, but 15 more from one shop: there are some hundred
# models and a handful of shops, and a shop with many listings shall be asked about more often.
_MODEL_DISCOUNT = 0.5
_SHOP_DISCOUNT = 0.25


def title_key(title: str) -> str:
    """Return what titles share that differ only in case, punctuation or article numbers.

    Runs of letters and digits in their order, without numbers of six digits or more; the stripped
    title itself if that leaves nothing.
    """
    words = [run.text for run in runs(normalise(title))]
    kept = [word for word in words if not (word.isdigit() and len(word) >= _ARTICLE_DIGITS)]
    return " ".join(kept) or title.strip()


class TitleSimilarity:
    """Cosine of TF-IDF vectors over the words of titles, in any order; 0 for a title without words.

    A word's weight is log(1 + titles / titles that hold it), each word counted once a title.

    :param keys: the titles as `title_key` returns them.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        words = [sorted(set(key.split())) for key in keys]
        columns = {word: at for at, word in enumerate(sorted(set().union(*words)))}
        self._n = len(keys)
        self._offsets = np.concatenate([[0], np.cumsum([len(held) for held in words])])
        self._columns: Ints = np.array([columns[word] for held in words for word in held], np.int64)
        rows = np.repeat(np.arange(self._n), np.diff(self._offsets))
        counts = np.bincount(self._columns, minlength=len(columns))
        weights = np.log1p(self._n / counts)[self._columns]
        norms = np.sqrt(np.bincount(rows, weights=weights**2, minlength=self._n))
        self._weights: Floats = weights / norms[rows]
        by_column = np.argsort(self._columns, kind="stable")
        self._posting_rows, self._posting_weights = rows[by_column], self._weights[by_column]
        self._posting_offsets = np.concatenate([[0], np.cumsum(counts)])

    def to(self, at: int) -> Floats:
        """Return the cosine of every title to one of them, shape (titles,), in [0, 1]."""
        own = slice(self._offsets[at], self._offsets[at + 1])
        columns = self._columns[own]
        if not len(columns):
            return np.zeros(self._n)
        spans = [
            slice(self._posting_offsets[column], self._posting_offsets[column + 1])
            for column in columns
        ]
        rows = np.concatenate([self._posting_rows[span] for span in spans])
        weights = np.concatenate(
            [
                self._posting_weights[span] * weight
                for span, weight in zip(spans, self._weights[own], strict=True)
            ]
        )
        return np.minimum(np.bincount(rows, weights=weights, minlength=self._n), 1.0)


class Diversity:
    """What is still worth asking after some listings were taken: the state of a greedy choice.

    The discount of a listing is (1 - its largest cosine to a taken one) * (1 + taken of its
    predicted model) ** -1/2 * (1 + taken of its shop) ** -1/4. A listing is closed once one with
    the same `title_key` was taken, or one of its predicted model with a cosine of `NEAR_COSINE`
    or more; titles alike whose predicted models differ stay open, as siblings are worth asking.

    :param titles: shape (listings,); so are ``models`` and ``shops``.
    """

    def __init__(self, titles: Sequence[str], models: Sequence[str], shops: Sequence[str]) -> None:
        keys = [title_key(title) for title in titles]
        self._similarity = TitleSimilarity(keys)
        self._key, self._model, self._shop = _codes(keys), _codes(models), _codes(shops)
        self._nearest: Floats = np.zeros(len(titles))
        self._taken_of_model: Floats = np.zeros(len(titles))
        self._taken_of_shop: Floats = np.zeros(len(titles))
        self._open: NDArray[np.bool_] = np.ones(len(titles), np.bool_)

    @property
    def open(self) -> NDArray[np.bool_]:
        """Shape (listings,): which may still be taken."""
        return self._open

    def take(self, at: int) -> None:
        """Take a listing: it and its like are closed, similar ones lose worth."""
        cosine = self._similarity.to(at)
        same_model = self._model == self._model[at]
        self._open &= ~((cosine >= NEAR_COSINE) & same_model) & (self._key != self._key[at])
        np.maximum(self._nearest, cosine, out=self._nearest)
        self._taken_of_model += same_model
        self._taken_of_shop += self._shop == self._shop[at]

    def discount(self) -> Floats:
        """Return the share of its value each listing keeps, shape (listings,), in [0, 1]."""
        crowded = (1 + self._taken_of_model) ** -_MODEL_DISCOUNT
        return (1 - self._nearest) * crowded * (1 + self._taken_of_shop) ** -_SHOP_DISCOUNT


def _codes(values: Sequence[str]) -> Ints:
    """Number values by their first occurrence."""
    places: dict[str, int] = {}
    return np.array([places.setdefault(value, len(places)) for value in values], np.int64)
