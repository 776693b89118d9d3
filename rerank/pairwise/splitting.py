"""Split pairs into training and validation so that nothing stands on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from index.errors import InputError
from rerank.annotation.candidate_items import CANDIDATE_TYPE, parse_reference
from rerank.pairwise.dataset import Pairs
from rerank.pairwise.items import PairItem

Ints = NDArray[np.int64]


class KeptTogether(Enum):
    """What stays on one side of a split."""

    ITEMS = "items"
    PAIRS = "pairs"


@dataclass(frozen=True, slots=True, eq=False)
class PairSplit:
    """Which pairs validate.

    :param validation: shape (pairs,), True for those that validate.
    :param group: shape (pairs,), number of what each pair is kept together with.
    :param kept_together: ``ITEMS``: no item, and no listing of a candidate, is on both sides.
        ``PAIRS``: nearly all items hang together by their pairs, so only the same two items are.
    """

    validation: NDArray[np.bool_]
    group: Ints
    kept_together: KeptTogether


def split_pairs(items: Sequence[PairItem], pairs: Pairs, *, share: float, seed: int) -> PairSplit:
    """Draw groups of pairs for validation until they hold a share of all.

    :param share: 0 to below 1; 0 gives no validation pairs.
    """
    wanted = round(share * len(pairs.label))
    group = _connected(items, pairs)
    drawn = _draw(group, wanted, seed)
    if 2 * drawn.sum() >= wanted:
        return PairSplit(drawn, group, KeptTogether.ITEMS)
    rows = zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)
    group = _numbered([tuple(sorted((items[a].key, items[b].key))) for a, b in rows])
    return PairSplit(_draw(group, wanted, seed), group, KeptTogether.PAIRS)


def _draw(group: Ints, wanted: int, seed: int) -> NDArray[np.bool_]:
    """Draw whole groups, none that would go beyond the number wanted."""
    sizes = np.bincount(group)
    chosen = np.zeros(len(sizes), bool)
    left = wanted
    for number in np.random.default_rng(seed).permutation(len(sizes)).tolist():
        if sizes[number] <= left:
            chosen[number] = True
            left -= int(sizes[number])
    return chosen[group]


def _connected(items: Sequence[PairItem], pairs: Pairs) -> Ints:
    """Return each pair's group: pairs that share an item or a listing, directly or by others."""
    names = _numbered([_belongs_to(item) for item in items])
    parent = list(range(len(items)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = at = parent[parent[at]]
        return at

    for a, b in zip(names[pairs.a].tolist(), names[pairs.b].tolist(), strict=True):
        parent[root(a)] = root(b)
    return _numbered([root(at) for at in names[pairs.a].tolist()])


def _belongs_to(item: PairItem) -> tuple[str, str]:
    """Return what an item is kept together with: a candidate's listing, else the item itself."""
    if item.item_type == CANDIDATE_TYPE:
        try:
            return CANDIDATE_TYPE, parse_reference(item.reference_id)[0]
        except InputError:
            pass  # a data set of others may refer to its candidates as it likes
    return item.key


def _numbered(names: Sequence[object]) -> Ints:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
