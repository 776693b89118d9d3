"""Read pairs of items from JSON lines, the format that `rerank pairs export` writes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.errors import FaultsError, InputError
from rerank.pairwise.items import PairItem, item_of

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

DEFAULT_BAD_SHARE = 0.05
_LABELS = (-1, 0, 1)
_MOST_SHOWN = 5


class LineFault(NamedTuple):
    """A line that is no pair."""

    line: int
    fault: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.fault}"


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
    :param malformed: those that are no pair, and were left out.
    :param sha256: of the file.
    """

    items: tuple[PairItem, ...]
    pairs: Pairs
    lines: int
    malformed: tuple[LineFault, ...]
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
    draft = _Draft()
    digest, lines = hashlib.sha256(), 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            digest.update(line)
            if line.strip():
                lines += 1
                draft.take(number, line)
    bad = draft.malformed
    if lines and len(bad) > max_bad_share * lines:
        raise FaultsError(
            f"{path}: {len(bad)} of {lines} lines are no pairs, more than the share of "
            f"{max_bad_share:g} that --max-bad-share allows",
            [str(fault) for fault in bad],
        )
    if not draft.label:
        raise InputError(f"{path}: expected a pair of items a line, found no pairs")
    if not any(draft.label):
        raise InputError(
            f"{path}: all {len(draft.label)} pairs have the label 0: expected some with 1 or -1, "
            "from which an order can be learnt"
        )
    columns = (np.array(column, np.int64) for column in (draft.a, draft.b, draft.label))
    return PairDataset(tuple(draft.items), Pairs(*columns), lines, tuple(bad), digest.hexdigest())


def shown_faults(malformed: tuple[LineFault, ...] | list[LineFault]) -> list[str]:
    """Return the first few faults as text."""
    shown = [str(fault) for fault in malformed[:_MOST_SHOWN]]
    rest = len(malformed) - len(shown)
    return [*shown, f"and {rest} more such lines"] if rest else shown


@dataclass(slots=True)
class _Draft:
    """Pairs as they are read."""

    items: list[PairItem] = field(default_factory=list)
    a: list[int] = field(default_factory=list)
    b: list[int] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    malformed: list[LineFault] = field(default_factory=list)
    _rows: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, number: int, line: bytes) -> None:
        try:
            a, b, label = _parsed(line, first=number == 1)
        except InputError as exc:
            self.malformed.append(LineFault(number, str(exc)))
            return
        self.a.append(self._row(a))
        self.b.append(self._row(b))
        self.label.append(label)

    def _row(self, item: PairItem) -> int:
        row = self._rows.get(item.key)
        if row is None or not self.items[row].is_same_as(item):
            row = self._rows[item.key] = len(self.items)
            self.items.append(item)
        return row


def _parsed(line: bytes, *, first: bool) -> tuple[PairItem, PairItem, int]:
    """Return a line's items and label.

    :raises InputError: if the line is no pair.
    """
    try:
        row = json.loads(line.decode("utf-8-sig" if first else "utf-8"))
    except (ValueError, RecursionError) as exc:
        raise InputError(f"expected a JSON object, found {line[:40]!r} ({exc})") from exc
    if not isinstance(row, dict):
        raise InputError(f"expected a JSON object, found {type(row).__name__}")
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
