"""Items of pairwise ranking, as data sets write them and the Python API takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PairItem:
    """One thing that is ranked.

    :param metrics: numbers by name; one that is not finite counts as missing.
    :param embedding: shape (embedding_dim,); a component that is not finite counts as missing.
    :param embedding_id: where an embedding is to be had; None if nowhere.
    """

    item_type: str
    reference_id: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    embedding: Floats | None = None
    embedding_id: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells an item from another: type and reference."""
        return self.item_type, self.reference_id

    def resolved(self, vectors: Mapping[str, Floats]) -> PairItem:
        """Return the item with the embedding that it names, if it has none and that is known."""
        vector = None if self.embedding_id is None else vectors.get(self.embedding_id)
        return self if self.embedding is not None else replace(self, embedding=vector)

    def is_same_as(self, other: PairItem) -> bool:
        """Return whether both say the same of one thing."""
        if self.key != other.key or self.embedding_id != other.embedding_id:
            return False
        if self.embedding is None or other.embedding is None:
            same = self.embedding is other.embedding
        else:
            same = np.array_equal(self.embedding, other.embedding)
        return same and dict(self.metrics) == dict(other.metrics)


AnyItem = PairItem | Mapping[str, Any]
"""An item, or the JSON object that a data set writes for one."""


def item_of(row: AnyItem) -> PairItem:
    """Return an item of its JSON object: ``item_type``, ``item_reference_id`` or ``id``,
    ``metrics``, ``embedding``, ``embedding_id``, each of which may be missing.

    :raises InputError: if one of them is of a wrong kind.
    """
    if isinstance(row, PairItem):
        return row
    if not isinstance(row, Mapping):
        raise InputError(f"expected an item as an object, found {type(row).__name__}")
    reference = row.get("item_reference_id", row.get("id"))
    return PairItem(
        str(row.get("item_type") or ""),
        "" if reference is None else str(reference),
        _metrics(row.get("metrics")),
        _embedding(row.get("embedding")),
        None if row.get("embedding_id") is None else str(row["embedding_id"]),
    )


def _metrics(value: Any) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"expected metrics as numbers by name, found {value!r:.40}")
    return {str(name): _number(name, number) for name, number in value.items()}


def _number(name: str, value: Any) -> float:
    """Return a metric; null, as some writers of JSON put NaN, is NaN."""
    if value is None:
        return float("nan")
    if not isinstance(value, int | float):
        raise InputError(f"expected metric {name!r:.40} as a number, found {value!r:.40}")
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _embedding(value: Any) -> Floats | None:
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        value = value.tolist()
    numbers = isinstance(value, list | tuple) and all(isinstance(x, int | float) for x in value)
    if not numbers or not value:
        raise InputError(f"expected an embedding as a list of numbers, found {value!r:.40}")
    with np.errstate(over="ignore"):
        return np.array([_number("embedding", number) for number in value]).astype(np.float32)
