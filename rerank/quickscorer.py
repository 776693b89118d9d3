"""Trees over rows at once, by bits.

By bits as in QuickScorer (Lucchese et al. 2015), in arrays. Each tree has a bit for each leaf. A
condition that a row fails clears the bits of all leaves on its other side; of those that are left
when all conditions were asked, the first is the leaf the row falls into. So trees need not be
walked: each condition is one operation on all rows, and nothing in it depends on what came before,
which is what processors mispredict when they walk.
"""

from __future__ import annotations

import math
from collections import defaultdict
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bits = NDArray[Any]  # unsigned integers

# Leaves of a tree, a bit each; and of each width a number that tells which bit is set: multiplied
# by a bit, its highest digits are others for each (de Bruijn's). numpy counts bits one by one.
_WIDTHS: dict[Any, int] = {np.uint16: 0x09AF, np.uint32: 0x077CB531, np.uint64: 0x03F79D71B4CB0A89}
_PLAIN = {"0", "2"}  # decision types of numbers, `value <= threshold`, without missing ones
_AT_ONCE = 20_480  # rows: as fast as twice as many, in half the memory
_FEW = 32  # below this share of the rows, theirs are changed one by one
_FEW_ROWS = 200  # from here on one operation for each condition costs less than all at once


class QuickScorer:
    """Sums trees in the order and the precision of an ONNX ensemble: the same to the last bit.

    :param text: LightGBM's of the ensemble.
    :param width: features of a row, None for as many as the trees ask.
    :raises ValueError: if it is no such text, or its trees have categories, missing values, other
        features or more than 64 leaves.
    """

    def __init__(self, text: str, width: int | None = None) -> None:
        self._trees = [_Tree.read(part) for part in text.split("\nTree=")[1:]]
        for tree in self._trees:
            tree.check(width)
        if not self._trees:
            raise ValueError("expected LightGBM's text of trees, found none in it")
        most = max(len(tree.leaves) for tree in self._trees)
        if most > 64:
            raise ValueError(f"expected trees of at most 64 leaves, found one of {most}")

    def score(self, features: Floats) -> Floats:
        """Return the sum of the trees for each row, shape (rows,).

        :param features: shape (rows, features), no NaN.
        """
        bits = self._bits
        return bits.score_few(features) if len(features) < _FEW_ROWS else bits.score(features)

    @cached_property
    def _bits(self) -> _LeafBits:
        return _LeafBits(self._trees)


class _Tree(NamedTuple):
    """One tree, its nodes and leaves numbered as LightGBM does.

    :param features: of each node; a row goes left where its value is at most the threshold.
    :param children: left and right of each node; of a leaf, the complement of its number.
    """

    features: list[int]
    thresholds: list[float]
    children: tuple[list[int], list[int]]
    leaves: list[float]

    @classmethod
    def read(cls, text: str) -> _Tree:
        """Read a tree of LightGBM's text."""
        fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        if not _PLAIN.issuperset(fields.get("decision_type", "").split()):
            raise ValueError("expected trees over numbers, none of which is missing")
        leaves = [float(value) for value in fields["leaf_value"].split()]
        if len(leaves) == 1:
            return cls([], [], ([], []), leaves)
        return cls(
            [int(number) for number in fields["split_feature"].split()],
            [float(value) for value in fields["threshold"].split()],
            (
                [int(number) for number in fields["left_child"].split()],
                [int(number) for number in fields["right_child"].split()],
            ),
            leaves,
        )

    def check(self, width: int | None) -> None:
        """Check that it is one tree, over numbers, of features that rows have.

        :raises ValueError: if not.
        """
        inner = len(self.features)
        most = math.inf if width is None else width
        known = not inner or 0 <= min(self.features) <= max(self.features) < most
        lengths = {len(self.thresholds), *map(len, self.children)}
        # Each but the root is led to once, and by one before it: so there is no circle.
        reached = sorted(self.children[0] + self.children[1])
        led = reached == [*range(-inner - 1, 0), *range(1, inner)][: 2 * inner] and all(
            child < 0 or child > node for side in self.children for node, child in enumerate(side)
        )
        finite = all(map(math.isfinite, (*self.thresholds, *self.leaves)))
        if not (known and led and finite and lengths == {inner} and len(self.leaves) == inner + 1):
            raise ValueError("expected trees that lead each row to a leaf")

    def from_left_to_right(self) -> tuple[list[float], list[tuple[int, float, int]]]:
        """Return the leaves' values and the conditions, with leaves numbered from the left.

        :returns: of each condition its feature, threshold, and a mask of the leaves that are lost
            where it is exceeded.
        """
        values: list[float] = []
        conditions = []
        left, right = self.children

        def walk(node: int) -> int:
            """Number the leaves below a node; return the mask of them."""
            if node < 0:
                values.append(self.leaves[~node])
                return 1 << len(values) - 1
            own = walk(left[node])
            conditions.append((self.features[node], self.thresholds[node], own))
            return own | walk(right[node])

        walk(0 if self.features else -1)
        return values, conditions


class _Condition(NamedTuple):
    """A condition, ``value <= threshold``, and the trees that ask it.

    :param trees: shape (trees,), their numbers.
    :param kept: shape (trees, 1), the leaves that are left in each where the answer is no.
    :param by_kept: the different ``kept``, each with the trees that keep it.
    """

    feature: int
    threshold: np.float32
    trees: Ints
    kept: Bits
    by_kept: list[tuple[Any, list[int]]]

    @classmethod
    def of_trees(cls, at: tuple[int, float], kept: dict[int, int], width: Any) -> _Condition:
        trees: dict[int, list[int]] = defaultdict(list)
        for tree, left in kept.items():
            trees[left].append(tree)
        return cls(
            at[0],
            np.float32(at[1]),
            np.array(list(kept), np.int64),
            np.array(list(kept.values()), width)[:, None],
            [(width(left), own) for left, own in sorted(trees.items())],
        )


class _LeafBits:
    """Trees as masks of the leaves that conditions leave."""

    def __init__(self, trees: list[_Tree]) -> None:
        most = max(len(tree.leaves) for tree in trees)
        self._width: Any = next(w for w in _WIDTHS if most <= np.iinfo(w).bits)
        bits, full = np.iinfo(self._width).bits, int(np.iinfo(self._width).max)
        self._full, self._mark = self._width(full), self._width(_WIDTHS[self._width])
        self._shift = self._width(bits - bits.bit_length() + 1)
        places = self._places(self._width(1) << np.arange(bits, dtype=self._width))
        self._leaves = np.zeros((len(trees), bits), np.float32)
        of_trees = []
        for leaves, tree in zip(self._leaves, trees, strict=True):
            values, conditions = tree.from_left_to_right()
            leaves[places[: len(values)]] = values
            of_trees.append(conditions or [(0, np.inf, 0)])  # one that no row fails
        counts = np.array(list(map(len, of_trees)))
        self._starts = np.cumsum(counts) - counts
        feature, threshold, lost = zip(*chain.from_iterable(of_trees), strict=True)
        self._feature, self._threshold = np.array(feature), np.array(threshold, np.float32)
        self._kept = ~np.array(lost, self._width)
        self._flat = self._leaves.ravel()
        self._first = np.arange(len(trees)) * bits

    @cached_property
    def _conditions(self) -> list[_Condition]:
        """The different conditions, each with the trees that ask it."""
        kept: dict[tuple[int, float], dict[int, int]] = defaultdict(dict)
        full = int(self._full)
        tree = np.searchsorted(self._starts, np.arange(len(self._kept)), side="right") - 1
        columns = (self._feature, self._threshold, tree, self._kept)
        for feature, threshold, number, left in zip(*map(np.ndarray.tolist, columns), strict=True):
            of_tree = kept[feature, threshold]
            of_tree[number] = of_tree.get(number, full) & left  # one may stand in it twice
        return [
            _Condition.of_trees(at, of_tree, self._width) for at, of_tree in sorted(kept.items())
        ]

    def score_few(self, features: Floats) -> Floats:
        """Return what `score` does: all conditions of all trees at once, row by row."""
        # Conditions lie side by side: there are thousands of them for each of a few rows.
        passes = features.take(self._feature, axis=1) <= self._threshold
        kept = np.negative(passes.view(np.uint8), dtype=self._width)  # all bits, or none
        kept |= self._kept
        place = self._places(np.bitwise_and.reduceat(kept, self._starts, axis=1))
        values = self._flat.take(place.astype(np.intp) + self._first)
        # One after the other: `sum` would add some of them first.
        return np.asarray(np.add.accumulate(values, axis=1)[:, -1], np.float32)

    def score(self, features: Floats) -> Floats:
        """Return the sum of the trees for each row, shape (rows,)."""
        columns = np.ascontiguousarray(features.T)
        total = np.zeros(len(features), np.float32)
        for start in range(0, len(total), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            self._add(columns[:, part], total[part])
        return total

    def _add(self, columns: Floats, total: Floats) -> None:
        """Add the trees of some rows, whose columns are given."""
        place, value = np.empty(len(total), np.intp), np.empty(len(total), np.float32)
        for leaves, left in zip(self._leaves, self._alive(columns), strict=True):
            place[:] = self._places(left)
            total += np.take(leaves, place, out=value, mode="clip")

    def _places(self, left: Bits) -> Bits:
        """Return where the value of the first leaf that is left stands among its tree's."""
        found: Bits = ((left & -left) * self._mark) >> self._shift
        return found

    def _alive(self, columns: Floats) -> list[Bits]:
        """Return the leaves that are left to each row, an array of shape (rows,) for each tree.

        :param columns: shape (features, rows).
        """
        rows = columns.shape[1]
        table = np.full((len(self._leaves), rows), self._full, self._width)
        alive = list(table)
        kept = np.empty(rows, self._width)
        either, both = np.bitwise_or, np.bitwise_and
        for condition in self._conditions:
            fails = columns[condition.feature] > condition.threshold
            failing = int(np.count_nonzero(fails))
            if failing * _FEW < rows:
                if failing:
                    at = np.ix_(condition.trees, np.flatnonzero(fails))
                    table[at] &= condition.kept
                continue
            passes = fails.astype(self._width) - self._width(1)
            for left, trees in condition.by_kept:
                either(passes, left, kept)
                for tree in trees:
                    both(alive[tree], kept, alive[tree])
        return alive
