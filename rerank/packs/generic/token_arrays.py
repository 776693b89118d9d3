"""Tokens in arrays: rows of different length, what each holds, and where texts have them.

All of it answers for a whole batch at once; a token is a hash of 64 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.index.records import Ints

Hashes = NDArray[np.uint64]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SUBSTRING = 4  # letters of a token that is looked for anywhere in a text
_PROBES = 3
_COMPARED = 24  # letters of a code that are compared from each end
_ROWS_AT_ONCE = 50_000  # whose letters are marked
_SHORT_BITS = 40


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different length: row i holds ``values[offsets[i]:offsets[i + 1]]``."""

    offsets: Ints
    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def counts(self) -> Ints:
        """Length of each row."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> Ints:
        """The row of each value."""
        return np.repeat(np.arange(len(self)), self.counts)

    @classmethod
    def checked(cls, offsets: NDArray[Any], values: NDArray[Any]) -> Ragged:
        """Return rows that were read from a file.

        :raises ValueError: if they are none.
        """
        if offsets.ndim != 1 or offsets.dtype != np.int64 or values.ndim != 1 or not len(offsets):
            raise ValueError(f"expected offsets and values, found {offsets.shape}, {values.shape}")
        if offsets[0] or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
            raise ValueError("expected offsets that rise from 0 to the number of values")
        return cls(offsets, values)

    @classmethod
    def of(cls, rows: NDArray[np.integer[Any]], values: NDArray[Any], n: int) -> Ragged:
        """Make rows of values and the row each belongs to, which must not fall."""
        return cls(offsets_of(np.bincount(rows, minlength=n)), values)

    @classmethod
    def joined(cls, parts: Sequence[Ragged]) -> Ragged:
        """Put blocks of rows one behind the other."""
        counts = np.concatenate([part.counts for part in parts])
        return cls(offsets_of(counts), np.concatenate([part.values for part in parts]))

    def spans(self, rows: NDArray[np.integer[Any]]) -> tuple[Ints, Ints]:
        """Return of each value of some rows the place in ``rows``, and where it stands here."""
        counts = self.offsets[rows + 1] - self.offsets[rows]
        place = np.repeat(np.arange(len(rows)), counts)
        shift = self.offsets[rows] - (np.cumsum(counts) - counts)
        return place, np.arange(len(place)) + shift[place]

    def take(self, rows: NDArray[np.integer[Any]]) -> tuple[Ints, NDArray[Any]]:
        """Return of each value of some rows the place in ``rows``, and the value."""
        place, at = self.spans(rows)
        return place, self.values[at]


def within(places: NDArray[Any], size: int, least: int = 0) -> None:
    """Check that numbers from a file are places in a list.

    :param size: of the list.
    :raises ValueError: if one is not.
    """
    if places.ndim != 1 or places.dtype.kind not in "iu":
        raise ValueError(f"expected places in a list, found {places.dtype} of shape {places.shape}")
    if len(places) and not least <= int(places.min()) <= int(places.max()) < size:
        raise ValueError(f"expected places in a list of {size}, found others")


def offsets_of(counts: NDArray[np.integer[Any]]) -> Ints:
    """Return where rows of such lengths begin, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


class PackedTexts:
    """Tells of many tokens at once whether they stand anywhere in a text without its blanks.

    A signature of 512 bits a text, of its runs of four letters, answers most; where three runs of
    the token are all in it, Python looks. Shorter tokens are found nowhere.

    :param tokens: by text; ``starts`` where each begins in it, ``lengths`` how long each is.
    """

    def __init__(
        self,
        packed: list[str],
        tokens: Ragged,
        starts: NDArray[np.int32],
        lengths: NDArray[np.int32],
    ) -> None:
        self._packed, self._text = packed, "".join(packed)
        self._letters = letters_of(self._text).astype(np.uint16)
        sizes = np.fromiter(map(len, packed), np.int64, len(packed))
        offsets = offsets_of(sizes)
        self._begins = offsets[:-1][tokens.rows] + starts
        self._lengths = lengths.astype(np.int64)
        self._bits = np.zeros(len(packed) * 8, np.uint64)
        marks = np.zeros(len(self._letters), np.int16)
        for start in range(0, len(packed), _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(packed)))
            span = slice(offsets[start], offsets[rows[-1] + 1])
            marks[span] = self._mark(marks[span], rows, offsets)
        self._probes = self._probes_of(marks)

    def _mark(self, marks: NDArray[np.int16], rows: Ints, offsets: Ints) -> NDArray[np.int16]:
        """Return of each letter of some rows the mark, 0 to 511, of the four that begin there.

        The signatures of the rows get them, but for those that reach into the next row.
        """
        begin, end = offsets[rows[0]], offsets[rows[-1] + 1]
        code = self._letters[begin:end].astype(np.uint64)
        value = np.zeros(max(len(code) - _SUBSTRING + 1, 0), np.uint64)
        for at in range(_SUBSTRING if len(value) else 0):
            value = value * np.uint64(0x100000001B3) + code[at : at + len(value)]
        found = ((value * _MULTIPLIER) >> np.uint64(55)).astype(np.int64)
        owner = np.repeat(rows, offsets[rows + 1] - offsets[rows])[: len(found)]
        inside = np.arange(begin, begin + len(found)) + _SUBSTRING <= offsets[owner + 1]
        word, bit = _bit(found[inside])
        np.bitwise_or.at(self._bits, owner[inside] * 8 + word, bit)
        marks[: len(found)] = found
        return marks

    def contain(self, row: Ints, other: PackedTexts, token: Ints) -> NDArray[np.bool_]:
        """Return which texts contain a token of other texts.

        :param token: places of tokens in the other's readings.
        """
        probes = other._probes[token]
        left = np.flatnonzero(probes[:, 0] >= 0)
        for at in range(_PROBES):
            word, bit = _bit(probes[left, at].astype(np.int64))
            left = left[self._bits[row[left] * 8 + word] & bit != 0]
        found = np.zeros(len(row), bool)
        begin = other._begins[token[left]]
        spans = zip(begin.tolist(), (begin + other._lengths[token[left]]).tolist(), strict=True)
        wanted = zip(row[left].tolist(), spans, strict=True)
        found[left] = [other._text[slice(*span)] in self._packed[at] for at, span in wanted]
        return found

    def start_share(self, row: Ints, other: PackedTexts, token: Ints) -> NDArray[np.float64]:
        """Return the share of a token of other texts that its longest start in a text is.

        Starts of less than four letters count as none.
        """
        probe = other._probes[token, 0].astype(np.int64)
        left = np.flatnonzero(probe >= 0)
        word, bit = _bit(probe[left])
        left = left[self._bits[row[left] * 8 + word] & bit != 0]
        begin = other._begins[token[left]]
        spans = zip(begin.tolist(), (begin + other._lengths[token[left]]).tolist(), strict=True)
        found = np.zeros(len(row))
        found[left] = [
            _start_share(other._text[slice(*span)], self._packed[at])
            for at, span in zip(row[left].tolist(), spans, strict=True)
        ]
        return found

    def common(self, token: Ints, other: PackedTexts, others: Ints) -> tuple[Ints, Ints]:
        """Return how many letters two tokens have in common at their start, and at their end."""
        one, two = self._begins[token], other._begins[others]
        one_end, two_end = one + self._lengths[token], two + other._lengths[others]
        shorter = np.minimum(self._lengths[token], other._lengths[others])
        found = []
        for forward in (True, False):
            same = np.ones(len(token), bool)
            count = np.zeros(len(token), np.int64)
            for at in range(min(int(shorter.max(initial=0)), _COMPARED)):
                same &= at < shorter
                left = np.flatnonzero(same)
                mine = one[left] + at if forward else one_end[left] - at - 1
                theirs = two[left] + at if forward else two_end[left] - at - 1
                same[left] = self._letters[mine] == other._letters[theirs]
                count += same
            found.append(count)
        return found[0], found[1]

    def _probes_of(self, marks: NDArray[np.int16]) -> NDArray[np.int16]:
        """Return marks of each token's first, middle and last four letters, -1 if it is shorter."""
        last = self._lengths - _SUBSTRING
        found = np.full((len(last), _PROBES), -1, np.int16)
        long = np.flatnonzero(last >= 0)
        for at in range(_PROBES):
            found[long, at] = marks[self._begins[long] + last[long] * at // (_PROBES - 1)]
        return found


def _start_share(token: str, text: str) -> float:
    for length in range(len(token), _SUBSTRING - 1, -1):
        if token[:length] in text:
            return length / len(token)
    return 0.0


def letters_of(text: str) -> NDArray[np.uint32]:
    """Return the code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _bit(mark: Ints) -> tuple[Ints, Hashes]:
    """Return in which of eight words, and at which bit of it, a mark of 0 to 511 stands."""
    return mark >> 6, np.uint64(1) << (mark & 63).astype(np.uint64)


class Membership:
    """Tells of many pairs (row, value) at once whether the row holds the value.

    A signature of 512 bits a row answers most; only what passes it is searched for.

    :param rows: values from 0 to ``n_values``, rising in each row.
    """

    def __init__(self, rows: Ragged, n_values: int) -> None:
        self._n_values = np.int64(max(n_values, 1))
        owner, values = rows.rows, rows.values.astype(np.int64)
        self._keys = owner * self._n_values + values
        word, bit = _bit(_mark_of(values))
        self._bits = np.zeros(len(rows) * 8, np.uint64)
        np.bitwise_or.at(self._bits, owner * 8 + word, bit)

    def __call__(self, row: Ints, value: Ints) -> NDArray[np.bool_]:
        """Return which rows hold the value beside them; none holds a negative one."""
        word, bit = _bit(_mark_of(value))
        found = (self._bits[row * 8 + word] & bit != 0) & (value >= 0)
        maybe = np.flatnonzero(found)
        wanted = row[maybe] * self._n_values + value[maybe]
        found[maybe] = places(self._keys, wanted) >= 0
        return np.asarray(found, np.bool_)


def _mark_of(value: Ints) -> Ints:
    return ((value.astype(np.uint64) * _MULTIPLIER) >> np.uint64(55)).astype(np.int64)


def hash_membership(rows: Ragged) -> Membership:
    """Return which rows hold which hashes, asked for by `short_hash`."""
    return Membership(Ragged(rows.offsets, short_hash(rows.values)), 1 << _SHORT_BITS)


def short_hash(hashes: Hashes) -> Ints:
    """Return the first 40 bits of hashes, in the same order: enough to tell words apart."""
    return (hashes >> np.uint64(64 - _SHORT_BITS)).astype(np.int64)


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Return the different values, rising: `numpy.unique` by sorting, which is ten times faster."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return np.asarray(ordered[new])


def places(known: NDArray[Any], wanted: NDArray[Any]) -> Ints:
    """Return where each wanted value stands among rising ones, -1 if it does not."""
    if not len(known):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, at, -1)
