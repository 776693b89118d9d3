"""What networks read: raw rows, NaN where something is missing, and how they are scaled.

A pairwise network reads an item's embedding and its metrics, in a fixed order (`FeatureSpace`); the
dual one how a candidate's embeddings and features compare with its query's (`InputSchema`). Both
rows are scaled alike (`Scaling`), which the exported graph does itself.
"""

from __future__ import annotations

import fnmatch
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import check_values, numbers
from rerank.index.errors import InputError
from rerank.rankers.pairs import PairItem
from rerank.rankers.scored import ScoredSet

Floats = NDArray[np.float32]

MOST_DEVIATIONS, CLIP = 8.0, 6.0
"""Where the inputs of a pairwise and of a dual network are cut off."""

EMBEDDING = "embedding"

WIDEST = 65_536
"""Numbers of an embedding at most: some models have 8,192."""
_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("attributes", "conflicts", "alone"), list[str]),
    "pairs": list[list[str]],
    "widths": dict[str, int],
    "products": bool,
}

_LARGEST = 1e30  # beyond, differences overflow float32: no measurement, so treated as missing
_LEAST_SHARE = 1e-6  # of a mean, that a deviation is above where it is more than float32's rounding


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """How raw rows become a network's inputs: every column is standardised with the mean and the
    deviation of training rows and cut off, for what is far outside of the training data is only
    far; what is missing is 0, which is the mean; indicators follow.

    :param mean: shape (columns,).
    :param inverse_scale: shape (columns,), what a deviation from the mean is multiplied with;
        float64 where products are to be rounded as float32 rounds quotients.
    :param indicators: raw columns whose absence is an input of its own, ascending.
    :param limit: standard deviations at which inputs are cut off.
    """

    mean: Floats
    inverse_scale: NDArray[np.floating[Any]]
    indicators: tuple[int, ...]
    limit: float

    @classmethod
    def fit(
        cls, raw: Floats, *, limit: float, least: float, constant: float, divides: bool = False
    ) -> Scaling:
        """Learn from training rows; what is missing in some of them gets an indicator.

        :param least: a column whose deviation is below is constant.
        :param constant: the inverse scale of such columns, and of what is always missing; 0
            neutralises them.
        :param divides: whether rows are scaled as if by division through deviations of float32.
        """
        there = ~np.isnan(raw)
        count = np.maximum(there.sum(axis=0), 1)
        values = np.where(there, raw, 0.0).astype(np.float64)
        mean = values.sum(axis=0) / count
        spread = np.sqrt((np.where(there, values - mean, 0.0) ** 2).sum(axis=0) / count)
        varied = spread >= np.maximum(least, _LEAST_SHARE * np.abs(mean))
        if divides:
            spread = spread.astype(np.float32).astype(np.float64)
        inverse = np.divide(1.0, spread, out=np.full_like(spread, constant), where=varied)
        return cls(
            mean.astype(np.float32),
            inverse if divides else inverse.astype(np.float32),
            tuple(np.flatnonzero(~there.all(axis=0)).tolist()),
            limit,
        )

    @property
    def n_inputs(self) -> int:
        """Columns of a scaled row: what the network takes."""
        return len(self.mean) + len(self.indicators)

    def apply(self, raw: Floats) -> Floats:
        """Return scaled rows, shape (rows, n_inputs), all finite."""
        missing = np.isnan(raw)
        with np.errstate(over="ignore"):
            scaled = np.clip((raw - self.mean) * self.inverse_scale, -self.limit, self.limit)
        filled = np.where(missing, 0.0, scaled).astype(np.float32)
        return np.concatenate([filled, missing[:, list(self.indicators)]], axis=1, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSpace:
    """Columns of items, an embedding followed by metrics, and how they are scaled.

    The columns of an embedding are divided by the root of their number besides: as a whole it
    varies as much as one metric, and does not drown a handful of them where pairs are few.

    :param scaling: column 0 among its indicators stands for the whole embedding; a column that is
        constant or always missing is neutralised.
    """

    metric_names: tuple[str, ...]
    embedding_dim: int
    scaling: Scaling

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
        scaling = Scaling.fit(raw, limit=MOST_DEVIATIONS, least=1e-30, constant=0.0)
        scaling.inverse_scale[:embedding_dim] /= max(1.0, embedding_dim**0.5)
        missing = np.isnan(raw)
        partly = np.asarray(missing.any(axis=0) & ~missing.all(axis=0))
        lacking = [item.embedding is None for item in items]
        partly[:embedding_dim] = False
        partly[:1] |= embedding_dim > 0 and any(lacking) and not all(lacking)
        indicators = tuple(np.flatnonzero(partly).tolist())
        return cls(names, embedding_dim, replace(scaling, indicators=indicators))

    @property
    def width(self) -> int:
        """Columns of a raw row."""
        return self.embedding_dim + len(self.metric_names)

    @property
    def indicator_names(self) -> list[str]:
        """What each indicator says is missing."""
        at = self.embedding_dim
        return [EMBEDDING if i < at else self.metric_names[i - at] for i in self.scaling.indicators]

    def raw(self, items: Sequence[PairItem]) -> Floats:
        """Return raw rows of shape (items, width); other metrics than the space's are left out.

        :raises InputError: if an embedding has another length.
        """
        return raw_rows(items, self.metric_names, self.embedding_dim)

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
        still = self.scaling.inverse_scale == 0
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


Ints = NDArray[np.int64]

_QUERY, _CANDIDATE = "query.", "candidate."


class InputKind(Enum):
    """What an input tells."""

    EMBEDDING = "embedding"
    ATTRIBUTE = "attribute"
    CONFLICT = "conflict"


class Input(NamedTuple):
    """A column of the network's input."""

    name: str
    kind: InputKind


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
            *(Input(name, InputKind.EMBEDDING) for name in found),
            *(Input(name, InputKind.ATTRIBUTE) for name in self.attributes),
            *(Input(name, InputKind.CONFLICT) for name in self.conflicts),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> InputSchema:
        """Return what `as_dict` gave.

        :raises TypeError: if a value is of another type.
        :raises ValueError: if an embedding is of no width, or of more numbers than any has.
        """
        check_values(content, _SCHEMA)
        widths = content["widths"]
        numbers([*widths.values()], "widths", 1, WIDEST)
        pairs = tuple((one, other) for one, other in content["pairs"])
        known = {*content["alone"], *(name for pair in pairs for name in pair)} == widths.keys()
        if not known or any(widths[one] != widths[other] for one, other in pairs):
            raise ValueError("expected the width of each embedding, the same of two in a pair")
        return cls(
            tuple(content["attributes"]),
            tuple(content["conflicts"]),
            pairs,
            tuple(content["alone"]),
            widths,
            content["products"],
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


Doubles = NDArray[np.float64]

_ALL = ""  # the range of all domains together; no domain has an empty name


@dataclass(frozen=True, slots=True)
class DualLabel:
    """y = w * compliance + (1 - w) * (1 - conflict), spread over 0 to 1 in each domain.

    Domains whose candidates all comply in part would otherwise weigh less in training than those
    with all and nothing. Make one with `fit`.

    :param compliance_weight: w, in [0, 1]; the lambda of the configuration.
    :param ranges: the lowest and the highest y of each domain's training candidates, and of all
        together, which serves a domain that training has not seen.
    """

    compliance_weight: float
    ranges: Mapping[str, tuple[float, float]]

    @classmethod
    def fit(cls, scored: ScoredSet, compliance_weight: float) -> DualLabel:
        """Take the ranges of a training set."""
        values = weighed(scored, compliance_weight)
        domain = np.array(scored.domain)[scored.query]
        ranges = {str(name): _range(values[domain == name]) for name in np.unique(domain).tolist()}
        return cls(compliance_weight, {**ranges, _ALL: _range(values)})

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DualLabel:
        """Return what `dataclasses.asdict` gave.

        :raises ValueError: if it is anything else.
        :raises KeyError: if the weight or the range of all is missing.
        """
        (weight,) = numbers([content["compliance_weight"]], "compliance_weight", 0, 1)
        ranges = {}
        for name, values in {_ALL: content["ranges"][_ALL], **content["ranges"]}.items():
            low, high = numbers(values, name or "all domains", 0, 1, rising=True)
            ranges[name] = (low, high)
        return cls(weight, ranges)

    def of(self, scored: ScoredSet) -> Doubles:
        """Return y of each candidate, shape (candidates,), in [0, 1].

        A value outside of the training range counts as its nearer end; in a domain of one value
        all are 1.
        """
        bounds = np.array([self._bounds(name) for name in scored.domain]).reshape(-1, 2)
        low, high = bounds[scored.query].T
        spread = np.where(high > low, high - low, 1.0)
        values = (weighed(scored, self.compliance_weight) - low) / spread
        return np.clip(np.where(high > low, values, 1.0), 0.0, 1.0)

    def _bounds(self, domain: str) -> tuple[float, float]:
        return self.ranges.get(domain, self.ranges[_ALL])


def weighed(scored: ScoredSet, compliance_weight: float) -> Doubles:
    """Return y before it is normalised, shape (candidates,), in [0, 1]."""
    free = 1.0 - scored.conflict
    return compliance_weight * scored.compliance + (1.0 - compliance_weight) * free


def _range(values: Sequence[float] | Doubles) -> tuple[float, float]:
    return (float(np.min(values)), float(np.max(values))) if len(values) else (0.0, 1.0)


def doubt_of_first(members: Doubles, offsets: Ints) -> Doubles:
    """Return how far the members doubt the candidate of the highest mean score.

    Definition: 1 less the mean over members of the share that a softmax of the member's scores
    gives it: near 0 where every member puts it far ahead, high where a member is torn or members
    differ. Two candidates that are equally good make doubt without error, which calibration
    allows for. Range [0, 1], shape (queries,); 1 for a query without candidates. Source:
    Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty Estimation using Deep
    Ensembles, 2017 (mean of the members' probabilities).

    :param members: shape (members, candidates), scores.
    :param offsets: shape (queries + 1,), rows of each query.
    """
    sizes = np.diff(offsets)
    doubt = np.ones(len(sizes))
    starts = offsets[:-1][sizes > 0]
    if not len(starts):
        return doubt
    filled = sizes[sizes > 0]
    highest = np.maximum.reduceat(members, starts, axis=1)
    share = np.exp(members - np.repeat(highest, filled, axis=1))
    share /= np.repeat(np.add.reduceat(share, starts, axis=1), filled, axis=1)
    mean, score = share.mean(axis=0), members.mean(axis=0)
    best = np.repeat(np.maximum.reduceat(score, starts), filled)
    # Of several with the highest score, equal in all the ranker reads, the share is the same.
    doubt[sizes > 0] = 1.0 - np.maximum.reduceat(np.where(score >= best, mean, 0.0), starts)
    return doubt


LISTING_VECTOR, GPU_VECTOR = "listing", "gpu"
