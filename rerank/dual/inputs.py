"""Inputs of the network: numeric features, and what embeddings say when held against each other.

Every two embeddings of equal width, at least one of them the candidate's, enter as their cosine
and as its gap to the highest cosine among the query's candidates; with ``products`` also as the
products of their components, of unit length, which sum to the cosine. An embedding without a
partner enters as its components, of unit length. A missing value is NaN throughout.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.dual.scored_set import ScoredSet

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_QUERY, _CANDIDATE = "query.", "candidate."


class Kind(Enum):
    """What an input tells."""

    EMBEDDING = "embedding"
    ATTRIBUTE = "attribute"
    CONFLICT = "conflict"


class Input(NamedTuple):
    """A column of the network's input."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class InputSchema:
    """Which inputs there are, in order; stored with the model.

    :param pairs: embeddings held against each other, named ``query.NAME`` or ``candidate.NAME``.
    :param alone: embeddings without a partner.
    :param widths: numbers of each embedding.
    """

    attributes: tuple[str, ...]
    conflicts: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    alone: tuple[str, ...]
    widths: Mapping[str, int]
    products: bool

    @classmethod
    def of(
        cls,
        scored: ScoredSet,
        *,
        conflict_features: Sequence[str] = (),
        ignored_features: Sequence[str] = (),
        products: bool = False,
    ) -> InputSchema:
        """Return the schema of a set's features and embeddings.

        :param conflict_features: names or patterns with ``*`` of features that speak of conflicts.
        :param ignored_features: the same of features to leave out.
        :raises InputError: if a pattern fits no feature, or nothing is left.
        """
        conflicts = _matching(scored.feature_names, conflict_features, "conflict_features")
        ignored = _matching(scored.feature_names, ignored_features, "ignored_features")
        vectors = {f"{_QUERY}{n}": v.shape[1] for n, v in scored.query_vectors.items()}
        vectors |= {f"{_CANDIDATE}{n}": v.shape[1] for n, v in scored.candidate_vectors.items()}
        pairs = tuple(
            (one, other)
            for one, other in combinations(vectors, 2)
            if vectors[one] == vectors[other] and other.startswith(_CANDIDATE)
        )
        paired = {name for pair in pairs for name in pair}
        schema = cls(
            tuple(n for n in scored.feature_names if n not in conflicts | ignored),
            tuple(n for n in scored.feature_names if n in conflicts - ignored),
            pairs,
            tuple(name for name in vectors if name not in paired),
            vectors,
            products,
        )
        if not schema.inputs:
            raise InputError("expected features or embeddings of candidates, found none")
        return schema

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All inputs in order: of embeddings, then attributes, then conflict features."""
        found = []
        for one, other in self.pairs:
            pair = f"({one},{other})"
            found += [f"cosine{pair}", f"cosine_gap{pair}"]
            if self.products:
                found += [f"product{pair}[{at}]" for at in range(self.widths[one])]
        found += [f"{name}[{at}]" for name in self.alone for at in range(self.widths[name])]
        return (
            *(Input(name, Kind.EMBEDDING) for name in found),
            *(Input(name, Kind.ATTRIBUTE) for name in self.attributes),
            *(Input(name, Kind.CONFLICT) for name in self.conflicts),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> InputSchema:
        """Return what `as_dict` gave."""
        return cls(
            tuple(content["attributes"]),
            tuple(content["conflicts"]),
            tuple((one, other) for one, other in content["pairs"]),
            tuple(content["alone"]),
            dict(content["widths"]),
            bool(content["products"]),
        )

    def compute(self, scored: ScoredSet) -> Floats:
        """Return inputs of shape (candidates, len(inputs)).

        :raises InputError: if the set lacks a feature or an embedding, or one has another width.
        """
        self._check(scored)
        unit = {name: _unit(_vectors(scored, name)) for name in self.widths}
        columns: list[Floats] = []
        for one, other in self.pairs:
            products = unit[one] * unit[other]
            cosine = products.sum(axis=1, dtype=np.float32)
            columns += [cosine, gap_to_best(cosine, scored.offsets)]
            if self.products:
                columns.append(products)
        columns += [unit[name] for name in self.alone]
        place = {name: at for at, name in enumerate(scored.feature_names)}
        columns.append(scored.features[:, [place[n] for n in (*self.attributes, *self.conflicts)]])
        return np.column_stack(columns).astype(np.float32)

    def _check(self, scored: ScoredSet) -> None:
        lacking = sorted({*self.attributes, *self.conflicts} - set(scored.feature_names))
        if lacking:
            raise InputError(f"expected the feature {lacking[0]}, no candidate has it")
        for name, width in self.widths.items():
            side, _, bare = name.partition(".")
            own = scored.query_vectors if side == "query" else scored.candidate_vectors
            found = own[bare].shape[1] if bare in own else None
            if found != width:
                raise InputError(
                    f"embedding {bare} of the {side}: expected {width} numbers, found "
                    f"{'none' if found is None else found}"
                )


def gap_to_best(values: Floats, offsets: Ints) -> Floats:
    """Return each value less the highest of its query, 0 for the highest; NaN stays NaN."""
    sizes = np.diff(offsets)
    starts = offsets[:-1][sizes > 0]
    if not len(starts):
        return np.zeros(0, np.float32)
    best = np.fmax.reduceat(values, starts)
    return np.asarray(values - np.repeat(best, sizes[sizes > 0]), np.float32)


def _vectors(scored: ScoredSet, name: str) -> Floats:
    side, _, bare = name.partition(".")
    if side == "query":
        return scored.query_vectors[bare][scored.query]
    return scored.candidate_vectors[bare]


def _unit(vectors: Floats) -> Floats:
    """Return vectors of length 1; one of length 0 says nothing and counts as missing."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, np.nan), np.float32)


def _matching(names: Sequence[str], patterns: Sequence[str], key: str) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        fitting = set(fnmatch.filter(names, pattern))
        if not fitting:
            raise InputError(
                f"{key}: {pattern!r} fits no feature of the data; it has {', '.join(names)}"
            )
        found |= fitting
    return found
