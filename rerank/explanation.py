"""Explain an answer: which features put its model first and made it match or not.

A contribution is a SHAP value of the trees: in units of the ranker's score, or of the offer
classifier's log-odds, of which the calibrator makes the probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rerank.domain import FeatureNames
from rerank.index.records import Doubles, Ints

if TYPE_CHECKING:
    from rerank.model import RerankModel
    from rerank.ranking import Evidence, ModelTable


SHOWN = 8
"""How many features a person is shown."""
_SMALLEST = 0.0005
_WHERE = {
    "before": "words of kind {} before the name",
    "after": "words of kind {} after the name",
    "excused": "words of kind {} after 'with' or 'without'",
    "described": "words of kind {} in the description",
}


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature added.

    :param value: the feature's value for the best candidate.
    :param rival: its value for the best candidate of another model; None without one.
    """

    feature: str
    words: str
    contribution: float
    value: float
    rival: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the best candidate leads its rival, and why the listing is or is not a match."""

    best: str | None
    rival: str | None
    ranking: tuple[Contribution, ...]
    offer: tuple[Contribution, ...]


NOTHING = Explanation(None, None, (), ())
"""Of a listing without candidates."""


def explained(
    evidence: Evidence, model: RerankModel, table: ModelTable, names: FeatureNames
) -> list[Explanation]:
    """Explain what is decided on evidence, a listing each; some 200 a second.

    :param model: that scored the candidates.
    :param names: of the columns of the evidence.
    """
    best, rival = leaders(evidence, table)
    found = np.flatnonzero(best >= 0)
    explanations = [NOTHING] * len(best)
    if not len(found):
        return explanations
    rivalled = rival >= 0
    rows = np.unique(np.concatenate([best[found], rival[rivalled]]))
    shares = np.zeros((len(evidence.features), evidence.features.shape[1]))
    shares[rows] = ranking_shares(model, evidence.features[rows])
    offers = np.zeros(evidence.offers.shape)
    offers[found] = contributions(model.offer_text, evidence.offers[found])[:, :-1]
    models = [table.records[row].model for row in evidence.candidates.record.tolist()]
    for at in found.tolist():
        first, second = int(best[at]), int(rival[at]) if rivalled[at] else None
        lead = shares[first] if second is None else shares[first] - shares[second]
        theirs = None if second is None else evidence.features[second]
        explanations[at] = Explanation(
            best=models[first],
            rival=None if second is None else models[second],
            ranking=_largest(names.candidate, lead, evidence.features[first], theirs),
            offer=_largest(names.offer, offers[at], evidence.offers[at], None),
        )
    return explanations


def leaders(evidence: Evidence, table: ModelTable) -> tuple[Ints, Ints]:
    """Return the rows of each listing's best candidate and of its best of another model.

    Both of shape (listings,); -1 where there is none.
    """
    batch = evidence.candidates
    rival = np.full(len(evidence.best), -1, np.int64)
    model = table.model_of_record[batch.record]
    order = evidence.order
    others = order[model[order] != model[evidence.best][batch.listing[order]]]
    with_rival, first = np.unique(batch.listing[others], return_index=True)
    rival[with_rival] = others[first]
    return evidence.best, rival


def ranking_shares(model: RerankModel, features: NDArray[np.float32]) -> Doubles:
    """Return what each feature adds to the ranker's score of each row, shape as ``features``.

    All zero for a ranker that is no LambdaRank: TreeSHAP reads trees.
    """
    if not model.ranker_text:
        return np.zeros(features.shape)
    return contributions(model.ranker_text, features)[:, :-1]


_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class _Paths:
    """The ways to the leaves of an ensemble that ask for the same number of features.

    :param feature: shape (leaves, features asked for), their columns.
    :param low: a row passes if its value is above it
    :param high: and at most this.
    :param cover: the share of the training rows that pass, in (0, 1].
    :param value: of each leaf, shape (leaves,).
    """

    feature: Ints
    low: Doubles
    high: Doubles
    cover: Doubles
    value: Doubles


def contributions(text: str, features: NDArray[np.float32]) -> Doubles:
    """Return the SHAP values of LightGBM's trees, shape (rows, features + 1); last the bias.

    Those of Lundberg et al. 2018 (TreeSHAP, path-dependent) that LightGBM gives as `pred_contrib`,
    to some 1e-14, without the two seconds that importing it takes.
    """
    groups, bias = _paths(text)
    rows, width = len(features), features.shape[1] + 1
    shares = np.zeros((rows, width))
    shares[:, -1] = bias
    for start in range(0, rows, _ROWS_AT_ONCE):
        chunk = features[start : start + _ROWS_AT_ONCE].astype(np.float64)
        row_at = np.arange(len(chunk))[:, None, None] * width
        for paths in groups:
            values = chunk[:, paths.feature]
            passes = (values > paths.low) & (values <= paths.high)
            share = _shapley(paths, passes)
            at = (row_at + paths.feature).ravel()
            added = np.bincount(at, share.ravel(), chunk.shape[0] * width)
            shares[start : start + len(chunk)] += added.reshape(len(chunk), width)
    return shares


def _shapley(paths: _Paths, passes: NDArray[np.bool_]) -> Doubles:
    """Return what each feature adds by each leaf, shape as ``passes``: (rows, leaves, features).

    A Shapley value sums over the sets of the other features. The product of (cover + passes * t)
    over the features holds those sums, by the size of the set, as coefficients of t; dividing by
    a feature's own factor takes it out. Rows that pass alike are worked out once.
    """
    n = passes.shape[2]
    pattern = passes @ (1 << np.arange(n)) + (np.arange(passes.shape[1]) << n)
    found, which = np.unique(pattern, return_inverse=True)
    leaf = found >> n
    passed, cover = (found[:, None] >> np.arange(n)) & 1, paths.cover[leaf]
    product = np.zeros((n + 1, len(found)))
    product[0] = 1.0
    for at in range(n):
        raised = product[:-1] * passed[:, at]
        product *= cover[:, at]
        product[1:] += raised
    share = np.zeros((len(found), n))
    for at in range(n):
        rest = np.zeros(len(found))
        for size in range(n - 1, -1, -1):
            without = product[size + 1] - cover[:, at] * rest
            rest = np.where(passed[:, at] == 1, without, product[size] / cover[:, at])
            share[:, at] += rest * (factorial(size) * factorial(n - size - 1) / factorial(n))
    share *= (passed - cover) * paths.value[leaf, None]
    every: Doubles = share[which.reshape(passes.shape[:2])]
    return every


@lru_cache(maxsize=4)
def _paths(text: str) -> tuple[list[_Paths], float]:
    """Return the leaves of an ensemble that LightGBM wrote, and its mean over the training rows."""
    by_length: dict[int, list[tuple[dict[int, list[float]], float]]] = {}
    bias = 0.0
    for part in text.split("\nTree=")[1:]:
        lines = part.split("\n\n")[0].splitlines()
        tree = dict(line.split("=", 1) for line in lines if "=" in line)
        leaf_value = [float(value) for value in tree["leaf_value"].split()]
        if len(leaf_value) == 1:
            bias += leaf_value[0]
            continue
        leaf_count = [int(count) for count in tree["leaf_count"].split()]
        bias += float(np.dot(leaf_value, leaf_count)) / sum(leaf_count)
        for way, value in _leaves(tree, leaf_value, leaf_count):
            by_length.setdefault(len(way), []).append((way, value))
    groups = []
    for leaves in by_length.values():
        feature = np.array([list(way) for way, _ in leaves])
        limits = np.array([list(way.values()) for way, _ in leaves])
        values = np.array([value for _, value in leaves])
        groups.append(_Paths(feature, limits[..., 0], limits[..., 1], limits[..., 2], values))
    return groups, bias


def _leaves(
    tree: dict[str, str], leaf_value: list[float], leaf_count: list[int]
) -> list[tuple[dict[int, list[float]], float]]:
    """Return of each leaf of a tree its way, by feature [above, at most, cover], and its value."""
    left = [int(child) for child in tree["left_child"].split()]
    right = [int(child) for child in tree["right_child"].split()]
    column = [int(at) for at in tree["split_feature"].split()]
    threshold = [float(cut) for cut in tree["threshold"].split()]
    count = [int(rows) for rows in tree["internal_count"].split()]
    found = []
    open_nodes: list[tuple[int, dict[int, list[float]]]] = [(0, {})]
    while open_nodes:
        node, way = open_nodes.pop()
        if node < 0:
            found.append((way, leaf_value[~node]))
            continue
        cut = threshold[node]
        above, most, cover = way.get(column[node], [-np.inf, np.inf, 1.0])
        for child, limits in (
            (left[node], [above, min(most, cut)]),
            (right[node], [max(above, cut), most]),
        ):
            rows = leaf_count[~child] if child < 0 else count[child]
            open_nodes.append((child, {**way, column[node]: [*limits, cover * rows / count[node]]}))
    return found


def words_of(feature: str) -> str:
    """Return a feature's name as a person reads it."""
    kind, _, where = feature.rpartition("_")
    if where in _WHERE and kind:
        return _WHERE[where].format(repr(kind.replace("_", " ")))
    return feature.replace("_", " ")


def strongest(names: Sequence[str], shares: NDArray[np.floating[Any]]) -> list[int]:
    """Return the columns a person is shown: at most 8, the largest first, ties by name.

    :param names: of the features, in the order of the columns.
    :param shares: shape (features,), contributions; those that round to nothing are left out.
    """
    order = sorted(range(len(names)), key=lambda at: (-abs(shares[at]), names[at]))
    return [at for at in order[:SHOWN] if abs(shares[at]) >= _SMALLEST]


def _largest(
    names: Sequence[str],
    shares: Doubles,
    values: NDArray[np.float32],
    rivals: NDArray[np.float32] | None,
) -> tuple[Contribution, ...]:
    return tuple(
        Contribution(
            names[at],
            words_of(names[at]),
            round(float(shares[at]), 4),
            round(float(values[at]), 4),
            None if rivals is None else round(float(rivals[at]), 4),
        )
        for at in strongest(names, shares)
    )
