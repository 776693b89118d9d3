"""What every room shares: GPU and listing records, shipped files, and the order of candidates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rerank.index.artifacts import parsed_json, read_text
from rerank.index.errors import DISTRIBUTION, ArtifactError, InputError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Progress = Callable[[str, float], None]
"""Is told the stage and the share of it that is done."""

FORM_FACTORS = (
    "PCIe AGP PCI mobile Max-Q MXM SXM SXM2 SXM3 SXM4 SXM5 SXM6 OAM server workstation NVL"
    " integrated"
).split()
DEFAULT_FORM_FACTOR = "PCIe"

# Candidates of a listing. Rankers learn on what a first cut leaves of so many, and their features
# compare a listing's candidates: with fewer or more, what leads would lead by another distance.
N_CANDIDATES = 20


class Route(Enum):
    """Which lists of candidates a retriever uses."""

    VECTOR = "vector"
    NAME = "name"
    FUSED = "fused"


@dataclass(frozen=True, slots=True)
class GpuRecord:
    """One row of the registry: a product *variant* of a GPU model.

    ``model`` is the marketing name without chip vendor, memory size or form factor
    (``GeForce RTX 4060 Ti``); ``memory_gb`` is in GB (0.5 for 512 MB, 0 where it has none of its
    own). Of the variants of a model, the one sold most widely stands first in the registry.

    :param rare: hardly met in shops, so that nobody means it who does not say so: conversions by
        third parties (2080 Ti with 22 GB), editions for one OEM, country or cafe, samples.
    :param sold_apart: False for what is known but sold only inside something else: graphics of a
        CPU. Such a model is proposed and ranked like others, and never matched.
    :param held: True for what one shop calls a graphics card and another display gear. Such a
        model is named like others, and accepted by a person only.
    """

    gpu_id: str
    model: str
    vendor: str
    line: str
    generation: str
    memory_gb: float
    memory_type: str
    form_factor: str
    release_year: int
    codenames: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    part_numbers: tuple[str, ...] = ()
    rare: bool = False
    sold_apart: bool = True
    held: bool = False


RECORD_LISTS = ("codenames", "aliases", "part_numbers")
RECORD_FLAGS = {"rare": False, "sold_apart": True, "held": False}
"""A record's flags, and what each is for most."""
MOST_MEMORY_GB = 2048  # bytes or MB taken for GB lie above
_KINDS = {
    **dict.fromkeys(RECORD_FLAGS, bool),
    **dict.fromkeys(RECORD_LISTS, list),
    "memory_gb": float,
    "release_year": int,
}


def registry_fingerprint(records: Iterable[GpuRecord]) -> str:
    """Return 16 hex digits that change with the content of the registry, not with its order."""
    lines = sorted(json.dumps(_written(record), sort_keys=True) for record in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def write_records(records: Sequence[GpuRecord], path: Path) -> None:
    """Write records as JSON lines, the form in which an index folder carries its registry."""
    text = "".join(json.dumps(_written(record)) + "\n" for record in records)
    path.write_text(text, encoding="utf-8")


def _written(record: GpuRecord) -> dict[str, Any]:
    """Return a record's fields, of its flags those that are set.

    So a registry without them has the fingerprint, and the lines, that it had before there were
    any.
    """
    fields = asdict(record)
    return {name: value for name, value in fields.items() if RECORD_FLAGS.get(name) is not value}


def read_records(path: Path) -> list[GpuRecord]:
    """Read what `write_records` wrote.

    :raises InputError: if a line is not a record, there is none, or an id stands there twice.
    """
    lines = read_text(path).splitlines()
    try:  # a third of the time of line by line
        records = list(map(_record_of, parsed_json(f"[{','.join(lines)}]")))
    except (ValueError, TypeError, KeyError, AttributeError):
        records = list(_one_by_one(lines, path))
    if not records or len({record.gpu_id for record in records}) < len(records):
        raise InputError(f"{path}: expected records, each id once, found {len(records)} records")
    return records


def _one_by_one(lines: Iterable[str], path: Path) -> Iterator[GpuRecord]:
    for number, line in enumerate(lines, 1):
        try:
            yield _record_of(parsed_json(line))
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise InputError(f"{path}:{number}: not a GPU record: {exc}") from exc


def _record_of(fields: dict[str, Any]) -> GpuRecord:
    """Return a record of its values as JSON holds them.

    :raises ValueError: if one is of another type, or the memory no size.
    """
    odd = _of_another_type(tuple(fields), tuple(map(type, fields.values())))
    if odd is not None:
        raise ValueError(f"{odd}: found {fields[odd]!r:.40}")
    for name in RECORD_LISTS:
        fields[name] = tuple(fields[name])
        if fields[name] and not {*map(type, fields[name])} <= {str}:
            raise ValueError(f"{name}: expected texts, found {fields[name]!r:.40}")
    if not 0 <= fields["memory_gb"] <= MOST_MEMORY_GB:
        raise ValueError(f"memory_gb: expected a size, found {fields['memory_gb']!r:.40}")
    return GpuRecord(**fields)


@lru_cache(maxsize=64)  # there are hardly more than two kinds of lines
def _of_another_type(names: tuple[str, ...], kinds: tuple[type, ...]) -> str | None:
    """Return the first field whose value is not of its type."""
    for name, kind in zip(names, kinds, strict=True):
        if kind is not _KINDS.get(name, str) and (kind is not int or name != "memory_gb"):
            return name
    return None


BETWEEN_IDENTIFIERS = ";"
"""What parts a listing's identifiers."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a seller wrote; ``vendor`` is the brand field, often a board partner or a shop.

    The start of a ``description`` is read for what is sold, and for memory where the title states
    none. The ``price`` decides nothing. ``identifiers`` are GTINs and part numbers that stand in a
    column of their own, with ";" between; graphics cards are known by their titles alone.

    None and NaN, as tables have them where nothing stands, are empty: a text "", a price None.

    :raises TypeError: if a field is something else than it should be.
    """

    listing_id: str = ""
    title: str = ""
    vendor: str = ""
    description: str = ""
    price: float | None = None
    identifiers: str = ""

    def __post_init__(self) -> None:
        for name in ("listing_id", "title", "vendor", "description", "identifiers"):
            value = getattr(self, name)
            if type(value) is str:
                continue
            if _is_missing(value):
                object.__setattr__(self, name, "")
            elif not isinstance(value, str):
                kind = type(value).__name__
                raise TypeError(f"Listing({name}=...): pass a text (str) or None, got {kind}")
        if self.price is not None:
            if _is_missing(self.price):
                object.__setattr__(self, "price", None)
            elif not hasattr(self.price, "__float__"):
                kind = type(self.price).__name__
                raise TypeError(f"Listing(price=...): pass a number or None, got {kind}")


@dataclass(frozen=True, slots=True)
class LabelledListing:
    """A generated listing with its label.

    ``gpu_id`` is a variant consistent with everything the text states, ``model`` its model; both
    are None for ``nil``. ``mentions`` is the model a nil listing names without selling it, and
    ``template`` the name of the grammar that made it.
    """

    listing: Listing
    kind: Literal["match", "nil"]
    gpu_id: str | None
    model: str | None
    memory_stated: bool
    form_stated: bool
    mentions: str | None
    template: str


def _is_missing(value: object) -> bool:
    """Tell whether a value is None, NaN, or what pandas has in their place."""
    if isinstance(value, float | np.floating):
        return bool(value != value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


_ROOT = Path(__file__).resolve().parent.parent


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder, such as ``registry``.

    :raises ArtifactError: if the installation lacks it.
    """
    path = _ROOT / "data" / name
    if not path.exists():
        raise ArtifactError(
            f"shipped data {name!r} is missing from {_ROOT}; install {DISTRIBUTION} again"
        )
    return path


_VALUE_BITS = 32
_KEY_BITS = 63


def falling_order(
    group: Ints, value: NDArray[np.float32], tie: NDArray[np.integer[Any]] | None = None
) -> Ints:
    """Return rows by group, then by falling value, then by rising tie, shape (rows,).

    Group, value and tie are packed into one integer a row, which numpy sorts several times faster
    than `numpy.lexsort` sorts by three columns. Where they do not fit, that does it.

    :param group: shape (rows,), not negative.
    :param value: shape (rows,), no NaN.
    :param tie: shape (rows,), not negative, different within equal group and value; by default the
        rows' own order.
    """
    if not len(group):
        return np.zeros(0, np.int64)
    ranks = np.arange(len(group)) if tie is None else np.asarray(tie, np.int64)
    tie_bits = (len(group) - 1 if tie is None else int(ranks.max())).bit_length()
    if int(group.max()).bit_length() + _VALUE_BITS + tie_bits > _KEY_BITS:
        return np.asarray(np.lexsort((ranks, -value, group)), np.int64)
    key = ((group << _VALUE_BITS) | _falling(value)) << tie_bits | ranks
    if tie is None:  # the key holds the row: sorting keys is faster than sorting rows by them
        key.sort()
        key &= (1 << tie_bits) - 1
        return np.asarray(key, np.int64)
    return np.asarray(key.argsort(), np.int64)


def place_in_group(group: Ints) -> Ints:
    """Return how many rows of the same group stand before each row, shape (rows,).

    :param group: shape (rows,), not negative, in any order.
    """
    if not len(group):
        return np.zeros(0, np.int64)
    row_bits = len(group).bit_length()
    if int(group.max()).bit_length() + row_bits > _KEY_BITS:
        order = np.argsort(group, kind="stable")
    else:
        order = group << row_bits | np.arange(len(group))
        order.sort()
        order &= (1 << row_bits) - 1
    place = np.empty(len(group), np.int64)
    place[order] = place_in_run(group[order])
    return place


def place_in_run(group: Ints) -> Ints:
    """Return what `place_in_group` does of groups whose rows follow each other."""
    rows = np.arange(len(group))
    return np.asarray(rows - np.maximum.accumulate(rows * changes(group)), np.int64)


def grouped(keys: Ints) -> tuple[Ints, Ints]:
    """Return the first row of each different key, by rising key, and which of them each row has.

    What `numpy.unique` returns as index and inverse, in half the time: keys with their rows are
    sorted as one integer each.

    :param keys: shape (rows,), not negative.
    :returns: shape (different keys,), shape (rows,).
    """
    if not _fits_beside_rows(keys):
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        return first, group
    order, new = _by_key(keys)
    group = np.empty(len(keys), np.int64)
    group[order] = np.cumsum(new) - 1
    return order[new], group


def first_rows(keys: Ints) -> Ints:
    """Return the first row of each different key, by rising key: the first part of `grouped`."""
    if not _fits_beside_rows(keys):
        return np.asarray(np.unique(keys, return_index=True)[1], np.int64)
    order, new = _by_key(keys)
    return order[new]


def _fits_beside_rows(keys: Ints) -> bool:
    """Tell whether a key and its row fit into one integer."""
    return int(keys.max(initial=0)).bit_length() + len(keys).bit_length() <= _KEY_BITS


def _by_key(keys: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the rows by rising key, and which of them are the first of theirs."""
    row_bits = len(keys).bit_length()
    packed = keys << row_bits | np.arange(len(keys))
    packed.sort()
    return packed & ((1 << row_bits) - 1), changes(packed >> row_bits)


def distinct(keys: Ints) -> Ints:
    """Return the different keys, rising: `numpy.unique`, which imports masked arrays first.

    :param keys: shape (rows,), not negative.
    """
    ordered = np.sort(keys)
    return np.asarray(ordered[changes(ordered)], np.int64)


def changes(ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Say of each value whether it is another than the one before it; the first is.

    `numpy.diff` with a value prepended takes five times as long for the few rows of one listing.
    """
    new = np.empty(len(ordered), np.bool_)
    new[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return new


def _falling(value: NDArray[np.float32]) -> Ints:
    """Return integers from 0 to 2**32 - 1 in the opposite order of the values."""
    bits = (value.astype(np.float32) + np.float32(0.0)).view(np.int32)  # no negative zero
    rising = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)
    falling: Ints = (1 << 31) - 1 - rising
    return falling
