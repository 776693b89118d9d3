"""Pairs of items, which of two is better: read from JSON lines, split, embedded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.index.errors import InputError
from rerank.index.rows import read_json_lines

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

DEFAULT_BAD_SHARE = 0.05
_LABELS = (-1, 0, 1)
_TOO_MANY_BAD = (
    "{bad} of {lines} lines are no pairs, more than the share of {share:g} that --max-bad-share "
    "allows"
)


class Pairs(NamedTuple):
    """Pairs as arrays, each of shape (pairs,).

    ``a`` and ``b`` are rows of the items; ``label`` is 1 if a is better, -1 if b is, 0 if neither.
    """

    a: Ints
    b: Ints
    label: Ints

    def at(self, rows: NDArray[Any]) -> Pairs:
        """Return the pairs of some rows, or of a mask."""
        return Pairs(self.a[rows], self.b[rows], self.label[rows])


@dataclass(frozen=True, slots=True, eq=False)
class PairDataset:
    """What a file of pairs holds.

    :param items: each once, unless lines say different things of it.
    :param lines: lines that are not blank.
    :param malformed: what is wrong with those that are no pair and were left out, with their line.
    :param sha256: of the file.
    """

    items: tuple[PairItem, ...]
    pairs: Pairs
    lines: int
    malformed: tuple[str, ...]
    sha256: str

    @property
    def embedding_ids(self) -> set[str]:
        """The ids of embeddings that items name and do not bring along."""
        return {
            item.embedding_id for item in self.items if item.embedding is None and item.embedding_id
        }

    def with_embeddings(self, vectors: Mapping[str, Floats]) -> PairDataset:
        """Return the pairs with the embeddings that items name, where they are known."""
        return replace(self, items=tuple(item.resolved(vectors) for item in self.items))

    def without_embeddings(self) -> PairDataset:
        """Return the pairs without any embedding."""
        return replace(self, items=tuple(replace(item, embedding=None) for item in self.items))

    def embedding_dim(self) -> int:
        """Return the length of the items' embeddings, 0 if no item has one.

        :raises InputError: if they differ in length.
        """
        lengths = Counter(len(item.embedding) for item in self.items if item.embedding is not None)
        if len(lengths) > 1:
            usual = lengths.most_common(1)[0][0]
            odd = next(
                item
                for item in self.items
                if item.embedding is not None and len(item.embedding) != usual
            )
            found = ", ".join(f"{length} ({n} items)" for length, n in lengths.most_common())
            raise InputError(
                f"expected embeddings of one length, found {found}; the first of another length "
                f"is that of {odd.item_type} {odd.reference_id!r:.80}; embed all items with one "
                "model, or leave embeddings out with --embedding-dim 0"
            )
        return next(iter(lengths), 0)


def read_dataset(path: Path, *, max_bad_share: float = DEFAULT_BAD_SHARE) -> PairDataset:
    """Read a file of pairs; lines that are none are left out and kept as faults.

    :param max_bad_share: share of lines that may be no pair, 0 to 1.
    :raises FaultsError: if more of them are not.
    :raises InputError: if there are no pairs, or all of them are of equals.
    """
    items: list[PairItem] = []
    latest: dict[tuple[str, str], int] = {}
    pairs: list[tuple[int, int, int]] = []

    def row_of(item: PairItem) -> int:
        row = latest.get(item.key)
        if row is None or not items[row].is_same_as(item):
            row = latest[item.key] = len(items)
            items.append(item)
        return row

    def take(content: dict[str, Any]) -> None:
        a, b, label = _pair(content)
        pairs.append((row_of(a), row_of(b), label))

    read = read_json_lines(path, take, bad_share=max_bad_share, told=_TOO_MANY_BAD)
    if not pairs:
        raise InputError(f"{path}: expected a pair of items a line, found no pairs")
    if not any(label for _, _, label in pairs):
        raise InputError(
            f"{path}: all {len(pairs)} pairs have the label 0: expected some with 1 or -1, "
            "from which an order can be learnt"
        )
    columns = Pairs(*np.array(pairs, np.int64).T.copy())
    return PairDataset(tuple(items), columns, read.lines, read.faults, read.sha256)


def _pair(row: Mapping[str, Any]) -> tuple[PairItem, PairItem, int]:
    """Return a line's items and label.

    :raises InputError: if the line is no pair.
    """
    missing = [name for name in ("item_a", "item_b", "label") if name not in row]
    if missing:
        raise InputError(f"lacks {' and '.join(missing)}")
    label = row["label"]
    if isinstance(label, bool) or label not in _LABELS:
        raise InputError(f"expected the label 1, 0 or -1, found {label!r:.40}")
    a, b = (_item(name, row[name]) for name in ("item_a", "item_b"))
    if a.key == b.key:
        raise InputError(f"expected two items, found {a.reference_id!r:.40} twice")
    return a, b, int(label)


def _item(name: str, row: Any) -> PairItem:
    try:
        item = item_of(row)
    except InputError as exc:
        raise InputError(f"{name}: {exc}") from exc
    if not item.reference_id:
        raise InputError(f"{name}: expected item_reference_id or id, found neither")
    return item


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


def read_embeddings(path: Path) -> dict[str, Floats]:
    """Return vectors by id; their lengths may differ.

    :raises FaultsError: if lines are no embeddings, all of them at once.
    :raises InputError: if there are none.
    """
    found: dict[str, Floats] = {}

    def take(content: dict[str, Any]) -> None:
        item = item_of(content)
        if item.embedding_id is None or item.embedding is None:
            raise InputError("expected an object with embedding_id and embedding")
        if item.embedding_id in found:
            raise InputError(f"{item.embedding_id!r:.80} stands in an earlier line")
        found[item.embedding_id] = item.embedding

    read_json_lines(path, take)
    if not found:
        raise InputError(f"{path}: expected an embedding a line, found none")
    return found


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


CANDIDATE_TYPE = "gpu_candidate"
"""The item type of a GPU proposed for a listing; its reference is ``LISTING_ID::GPU_ID``."""
_SEPARATOR = "::"


def candidate_reference(listing_id: str, gpu_id: str) -> str:
    """Return the reference of a GPU proposed for a listing."""
    return f"{listing_id}{_SEPARATOR}{gpu_id}"


def parse_reference(reference: str) -> tuple[str, str]:
    """Return (listing_id, gpu_id) of a candidate's reference.

    :raises InputError: if it is none.
    """
    listing_id, separator, gpu_id = reference.rpartition(_SEPARATOR)
    if not (separator and listing_id and gpu_id):
        raise InputError(
            f"expected a {CANDIDATE_TYPE} as LISTING_ID{_SEPARATOR}GPU_ID, got {reference!r:.80}"
        )
    return listing_id, gpu_id
