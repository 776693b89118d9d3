"""Queries with scored candidates as arrays: what the dual-objective ranker learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSet:
    """Queries and their candidates, flat; query i owns rows offsets[i]:offsets[i + 1].

    :param canonical_id: of each query: what it is about; what is split by, so that nothing is
        trained on and measured on at once.
    :param domain: of each query; labels are normalised within it.
    :param text: of each query, for people; may be empty.
    :param offsets: shape (queries + 1,).
    :param candidate_id: of each candidate, unique within its query.
    :param compliance: shape (candidates,), 0 to 1: how far the candidate does what is asked.
    :param conflict: shape (candidates,), 0 to 1: a label, or how probable a conflict is.
    :param features: shape (candidates, len(feature_names)), NaN where a value is missing.
    :param query_vectors: by name, shape (queries, width), NaN rows where missing.
    :param candidate_vectors: by name, shape (candidates, width), NaN rows where missing.
    """

    query_id: tuple[str, ...]
    canonical_id: tuple[str, ...]
    domain: tuple[str, ...]
    text: tuple[str, ...]
    offsets: Ints
    candidate_id: tuple[str, ...]
    compliance: NDArray[np.float64]
    conflict: NDArray[np.float64]
    feature_names: tuple[str, ...]
    features: Floats
    query_vectors: Mapping[str, Floats]
    candidate_vectors: Mapping[str, Floats]

    @property
    def n_queries(self) -> int:
        """How many queries there are."""
        return len(self.query_id)

    @property
    def query(self) -> Ints:
        """Shape (candidates,): the query each candidate belongs to."""
        return np.repeat(np.arange(self.n_queries), np.diff(self.offsets))

    def of_queries(self, kept: NDArray[np.bool_]) -> ScoredSet:
        """Return the queries that a mask of shape (queries,) selects, in their order."""
        rows = np.flatnonzero(kept[self.query])
        numbers = np.flatnonzero(kept)
        sizes = np.diff(self.offsets)[numbers]
        return ScoredSet(
            query_id=tuple(self.query_id[at] for at in numbers),
            canonical_id=tuple(self.canonical_id[at] for at in numbers),
            domain=tuple(self.domain[at] for at in numbers),
            text=tuple(self.text[at] for at in numbers),
            offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            candidate_id=tuple(self.candidate_id[at] for at in rows),
            compliance=self.compliance[rows],
            conflict=self.conflict[rows],
            feature_names=self.feature_names,
            features=self.features[rows],
            query_vectors={name: own[numbers] for name, own in self.query_vectors.items()},
            candidate_vectors={name: own[rows] for name, own in self.candidate_vectors.items()},
        )
