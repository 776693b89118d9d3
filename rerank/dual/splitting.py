"""Split queries by what they are about, so that no canonical id is learnt from and measured on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.dual.scored_set import ScoredSet
from rerank.splits import percent_of


class SplitSet(NamedTuple):
    """Three sets that share no canonical id."""

    train: ScoredSet
    validation: ScoredSet
    test: ScoredSet


def split_by_canonical_id(
    scored: ScoredSet, *, validation_percent: int, test_percent: int
) -> SplitSet:
    """Split by a hash of the canonical id: the same in every run, and when data are added.

    The highest percents are the test's, those below the validation's. GPU models fall with 10 and
    10 exactly as in `rerank.splits`: what LambdaRank is tested on, this ranker is.

    :raises InputError: if a split is left without queries.
    """
    percent = _percents(scored)
    from_test = 100 - test_percent
    from_validation = from_test - validation_percent
    masks: dict[str, NDArray[np.bool_]] = {
        "train": percent < from_validation,
        "validation": (percent >= from_validation) & (percent < from_test),
        "test": percent >= from_test,
    }
    empty = [name for name, mask in masks.items() if not mask.any()]
    if empty:
        known = len(set(scored.canonical_id))
        raise InputError(
            f"the {empty[0]} split has no queries: {known} canonical ids are split "
            f"{from_validation}, {validation_percent} and {test_percent} percent; add queries of "
            "other ids or raise its percent"
        )
    return SplitSet(*(scored.of_queries(mask) for mask in masks.values()))


def held_out(scored: ScoredSet, *, test_percent: int) -> ScoredSet:
    """Return the queries of which a model that kept this percent for testing has seen none.

    :raises InputError: if there are none.
    """
    kept = _percents(scored) >= 100 - test_percent
    if not kept.any():
        raise InputError(
            f"none of the {scored.n_queries} queries is about a canonical id of the test split, "
            f"the highest {test_percent} percent by hash; measure on more queries, or on all"
        )
    return scored.of_queries(kept)


def _percents(scored: ScoredSet) -> NDArray[np.int64]:
    return np.array([percent_of(name) for name in scored.canonical_id], np.int64)
