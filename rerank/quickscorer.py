"""Trees over many rows at once, without a branch: QuickScorer (Lucchese et al. 2015) in arrays.

Each tree has a bit for each leaf. A condition that a row fails clears the bits of all leaves on its
other side; of those that are left when all conditions were asked, the first is the leaf the row
falls into. So trees need not be walked: each condition is one operation on all rows, and nothing in
it depends on what came before, which is what processors mispredict when they walk.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bits = NDArray[Any]  # unsigned integers

_WIDTHS = (np.uint16, np.uint32, np.uint64)  # leaves of a tree, a bit each
_PLAIN = {"0", "2"}  # decision types of numbers, `value <= threshold`, without missing ones
_SIDES = ("left", "right")
_FEW = 16  # below this share of the rows, theirs are changed one by one


class _Condition(NamedTuple):
    """A condition, ``value <= threshold``, and the trees that ask it.

    :param trees: shape (trees,), their numbers.
    :param kept: shape (trees, 1), the leaves that are left in each where the answer is no.
    """

    feature: int
    threshold: np.float32
    trees: NDArray[np.int64]
    kept: Bits

    def by_kept(self) -> list[tuple[Bits, list[int]]]:
        """Return the different ``kept``, each with the trees that keep it."""
        values = self.kept[:, 0]
        return [
            (value, self.trees[values == value].tolist()) for value in np.unique(values)[:, None]
        ]


class QuickScorer:
    """Sums trees in the order and the precision of an ONNX ensemble: the same to the last bit.

    :param text: LightGBM's of the ensemble.
    :raises ValueError: if it is no such text, or its trees have categories, missing values or more
        than 64 leaves.
    """

    def __init__(self, text: str) -> None:
        trees = [_Tree.read(part) for part in text.split("\nTree=")[1:]]
        if not trees:
            raise ValueError("expected LightGBM's text of trees, found none in it")
        most = max(len(tree.leaves) for tree in trees)
        fitting = [width for width in _WIDTHS if most <= np.iinfo(width).bits]
        if not fitting:
            raise ValueError(f"expected trees of at most 64 leaves, found one of {most}")
        self._width: Any = fitting[0]
        self._leaves = [np.array([0.0, *tree.leaves], np.float32) for tree in trees]
        full = int(np.iinfo(self._width).max)
        kept: dict[tuple[int, float], dict[int, int]] = defaultdict(dict)
        for number, tree in enumerate(trees):
            for feature, threshold, lost in tree.conditions:
                of_tree = kept[feature, float(np.float32(threshold))]
                of_tree[number] = of_tree.get(number, full) & ~lost  # one may stand in it twice
        conditions = [
            _Condition(
                feature,
                np.float32(threshold),
                np.array(list(of_tree), np.int64),
                np.array(list(of_tree.values()), self._width)[:, None],
            )
            for (feature, threshold), of_tree in sorted(kept.items())
        ]
        self._conditions = [(each, each.by_kept()) for each in conditions]

    def score(self, features: Floats) -> Floats:
        """Return the sum of the trees for each row, shape (rows,).

        :param features: shape (rows, features), no NaN.
        """
        alive = self._alive(np.ascontiguousarray(features.T))
        total = np.zeros(len(features), np.float32)
        place, value = np.empty(len(total), np.intp), np.empty(len(total), np.float32)
        for leaves, left in zip(self._leaves, alive, strict=True):
            place[:] = np.bitwise_count(left ^ (left - self._one))  # up to the first bit
            total += np.take(leaves, place, out=value, mode="clip")
        return total

    def _alive(self, columns: Floats) -> list[Bits]:
        """Return the leaves that are left to each row, an array of shape (rows,) for each tree.

        :param columns: shape (features, rows).
        """
        rows = columns.shape[1]
        table = np.full((len(self._leaves), rows), np.iinfo(self._width).max, self._width)
        alive = list(table)
        kept = np.empty(rows, self._width)
        either, both = np.bitwise_or, np.bitwise_and
        for condition, groups in self._conditions:
            fails = columns[condition.feature] > condition.threshold
            failing = int(np.count_nonzero(fails))
            if failing * _FEW < rows:
                if failing:
                    at = np.ix_(condition.trees, np.flatnonzero(fails))
                    table[at] &= condition.kept
                continue
            passes = fails.astype(self._width) - self._one
            for left, trees in groups:
                either(passes, left, kept)
                for tree in trees:
                    both(alive[tree], kept, alive[tree])
        return alive

    @property
    def _one(self) -> Any:
        return self._width(1)


class _Tree(NamedTuple):
    """One tree.

    :param leaves: the value of each, from left to right.
    :param conditions: feature, threshold, and a mask of the leaves lost where it is exceeded.
    """

    leaves: list[float]
    conditions: list[tuple[int, float, int]]

    @classmethod
    def read(cls, text: str) -> _Tree:
        """Read a tree of LightGBM's text."""
        fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        if not _PLAIN.issuperset(fields.get("decision_type", "").split()):
            raise ValueError("expected trees over numbers, none of which is missing")
        values = [float(value) for value in fields["leaf_value"].split()]
        if len(values) == 1:
            return cls(values, [])
        features = [int(number) for number in fields["split_feature"].split()]
        thresholds = [float(value) for value in fields["threshold"].split()]
        left, right = ([int(n) for n in fields[f"{side}_child"].split()] for side in _SIDES)
        leaves: list[float] = []
        conditions = []

        def walk(node: int) -> int:
            """Number the leaves below a node; return the mask of them."""
            if node < 0:
                leaves.append(values[~node])
                return 1 << len(leaves) - 1
            own = walk(left[node])
            conditions.append((features[node], thresholds[node], own))
            return own | walk(right[node])

        walk(0)
        return cls(leaves, conditions)
