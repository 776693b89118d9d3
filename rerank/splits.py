"""Splits by model: a GPU model's listings are all on one side, so unseen models are measured."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import Enum

from rerank.index.records import GpuRecord


class Split(Enum):
    """What a model's listings are used for.

    The ranker learns from models the embedder has not seen, so that it learns how much a
    similarity is worth on a new GPU; the offer classifier from the ranker's models, but other
    listings; calibrator and thresholds, and then the test, from models nothing has seen.
    """

    EMBEDDER = "embedder"
    RANKER = "ranker"
    VALIDATION = "validation"
    TEST = "test"


_UPPER_BOUNDS = (
    (30, Split.EMBEDDER),
    (80, Split.RANKER),
    (90, Split.VALIDATION),
    (100, Split.TEST),
)


def split_of(model: str) -> Split:
    """Return a model's split, by a hash of its name: stable when the registry grows."""
    return next(split for bound, split in _UPPER_BOUNDS if percent_of(model) < bound)


def models_of(records: Iterable[GpuRecord], split: Split) -> Sequence[str]:
    """Return the models of a split that are sold apart, sorted."""
    sold = {record.model for record in records if record.sold_apart}
    return sorted(model for model in sold if split_of(model) is split)


def percent_of(name: str) -> int:
    """Return a number from 0 to 99 by a hash of the name, the same everywhere."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100
