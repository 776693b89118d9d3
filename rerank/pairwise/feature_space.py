"""What a pairwise network reads of an item: its embedding and its metrics, in a fixed order.

A raw row is the embedding followed by the metrics, NaN where something is missing. Prepared, every
column is standardised with the training items' mean and deviation, what is missing is 0, which is
the mean, and a column each says which of the things that training items lacked are missing here.
The columns of an embedding are divided by the root of their number besides: as a whole it varies as
much as one metric, and does not drown a handful of them where pairs are few.
The exported graph takes raw rows and prepares them itself (`rerank.pairwise.graphs`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.pairwise.items import PairItem

Floats = NDArray[np.float32]

MOST_DEVIATIONS = 8.0
"""Prepared values are cut off there: what is far outside of the training data is only far."""

_LARGEST = 1e30  # beyond, differences overflow float32: no measurement, so treated as missing
_LEAST_SPREAD = 1e-30

EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSpace:
    """Columns of items and how they are prepared.

    :param indicators: raw columns whose absence is an input of its own, ascending; column 0 stands
        for the whole embedding.
    :param mean: shape (width,), of the training items.
    :param inverse_scale: shape (width,), what a deviation from the mean is multiplied with; 0
        neutralises a column that is constant or always missing.
    """

    metric_names: tuple[str, ...]
    embedding_dim: int
    indicators: tuple[int, ...]
    mean: Floats
    inverse_scale: Floats

    @classmethod
    def fit(cls, items: Sequence[PairItem], embedding_dim: int) -> FeatureSpace:
        """Learn the columns of training items; metrics come in the order of first appearance.

        :raises InputError: if there is nothing to read of them.
        """
        names = tuple(dict.fromkeys(name for item in items for name in item.metrics))
        if not names and not embedding_dim:
            raise InputError(
                "expected items with metrics or embeddings, found none with either; if they name "
                "embeddings by embedding_id, say where these are with --embeddings or "
                "--index-embeddings"
            )
        raw = raw_rows(items, names, embedding_dim)
        mean, inverse_scale = _standardisation(raw)
        inverse_scale[:embedding_dim] /= max(1.0, embedding_dim**0.5)
        missing = np.isnan(raw)
        partly = np.asarray(missing.any(axis=0) & ~missing.all(axis=0))
        lacking = [item.embedding is None for item in items]
        partly[:embedding_dim] = False
        partly[:1] |= embedding_dim > 0 and any(lacking) and not all(lacking)
        indicators = np.flatnonzero(partly)
        return cls(names, embedding_dim, tuple(indicators.tolist()), mean, inverse_scale)

    @property
    def width(self) -> int:
        """Columns of a raw row."""
        return self.embedding_dim + len(self.metric_names)

    @property
    def n_inputs(self) -> int:
        """Columns of a prepared row: what the network takes."""
        return self.width + len(self.indicators)

    @property
    def indicator_names(self) -> list[str]:
        """What each indicator says is missing."""
        at = self.embedding_dim
        return [EMBEDDING if i < at else self.metric_names[i - at] for i in self.indicators]

    def raw(self, items: Sequence[PairItem]) -> Floats:
        """Return raw rows of shape (items, width); other metrics than the space's are left out.

        :raises InputError: if an embedding has another length.
        """
        return raw_rows(items, self.metric_names, self.embedding_dim)

    def prepared(self, raw: Floats) -> Floats:
        """Return rows of shape (rows, n_inputs) as the network takes them; all finite."""
        missing = np.isnan(raw)
        with np.errstate(over="ignore"):
            scaled = (raw - self.mean) * self.inverse_scale
        scaled = np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS)
        said = missing[:, list(self.indicators)].astype(np.float32)
        return np.concatenate([np.where(missing, np.float32(0), scaled), said], axis=1)

    def report(self, items: Sequence[PairItem]) -> dict[str, Any]:
        """Return what was odd about items: values missing, not finite, or always the same."""
        known = set(self.metric_names)
        present = Counter(name for item in items for name in item.metrics)
        odd = Counter(
            name
            for item in items
            for name, value in item.metrics.items()
            if name in known and not math.isfinite(value)
        )
        vectors = [item.embedding for item in items if item.embedding is not None]
        at = self.embedding_dim
        still = self.inverse_scale == 0
        return {
            "missing": {
                n: len(items) - present[n] for n in self.metric_names if present[n] < len(items)
            },
            "non_finite": {n: odd[n] for n in self.metric_names if odd[n]},
            "constant": [n for n, c in zip(self.metric_names, still[at:], strict=True) if c],
            "embeddings_missing": len(items) - len(vectors) if at else 0,
            "embeddings_non_finite": sum(not np.isfinite(v).all() for v in vectors),
            "embedding_columns_constant": int(still[:at].sum()),
        }


def raw_rows(items: Sequence[PairItem], names: Sequence[str], embedding_dim: int) -> Floats:
    """Return rows of shape (items, embedding_dim + names), NaN where something is missing.

    :param embedding_dim: 0 leaves embeddings out.
    :raises InputError: if an embedding has another length.
    """
    rows = np.full((len(items), embedding_dim + len(names)), np.nan, np.float32)
    nan = float("nan")
    with np.errstate(over="ignore"):
        for at, item in enumerate(items):
            if embedding_dim and item.embedding is not None:
                if len(item.embedding) != embedding_dim:
                    raise InputError(
                        f"{item.item_type} {item.reference_id!r:.80}: expected an embedding of "
                        f"{embedding_dim} numbers, found {len(item.embedding)}"
                    )
                rows[at, :embedding_dim] = item.embedding
            if names:
                rows[at, embedding_dim:] = [item.metrics.get(name, nan) for name in names]
    rows[~(np.abs(rows) < _LARGEST)] = np.nan
    return rows


def _standardisation(raw: Floats) -> tuple[Floats, Floats]:
    """Return each column's mean and 1 / deviation, over what is not missing."""
    there = ~np.isnan(raw)
    count = np.maximum(there.sum(axis=0), 1)
    values = np.where(there, raw, 0.0).astype(np.float64)
    mean = values.sum(axis=0) / count
    spread = np.sqrt((np.where(there, values - mean, 0.0) ** 2).sum(axis=0) / count)
    low = np.where(there, raw, np.inf).min(axis=0)
    high = np.where(there, raw, -np.inf).max(axis=0)
    # By rounding, a constant's deviation may be above 0.
    varied = (high > low) & (spread > _LEAST_SPREAD)
    inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=varied)
    return mean.astype(np.float32), inverse.astype(np.float32)
