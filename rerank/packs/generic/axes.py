"""Which variant of a model a listing sells: what it states of the axes, else the common one.

A conditional logit over all variants of a model: a stated value speaks for the variants that have
it, one that only other variants have speaks against, and where nothing is stated the catalogue's
order stands for how common a variant is. An identifier that one product alone has outweighs all
that words state. The weights are set, not learnt: catalogues without labels
have nothing to learn them from.

A listing may state what no variant of the model has: `Axes.other_stated` tells.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import Found
from rerank.packs.generic.reading import BARE, Ints, Reader, Readings

Floats = NDArray[np.float32]

_AGREES, _DIFFERS, _LATER = 4.0, -4.0, -0.35  # log-odds; the last for each place in the order
_IDENTIFIED = {2: 4.0, 3: 40.0}  # log-odds, by level of `Found.identifier`
_COUNTED = ("times", "pcs")  # units that a title may leave out: "2 batteries"
_AMOUNT = re.compile(r"\d+(?:[.,]\d+)?(?:\s+(?=\w+\s*$))?[^\W\d]*")
_LONG = 100  # numbers that are a size without their unit, too
_ASKED = 2000  # products whose names tell the unit of an axis of bare numbers
_SHARED = 2  # values of an axis that are of one group of alternatives, so that all are
_BEYOND = 2.0  # times the least and greatest value of an axis within which a number is one of it

Amounts = frozenset[tuple[int, float]]


class ChosenVariants(NamedTuple):
    """The variants of candidates, all of shape (rows,).

    :param record: row of the variant that takes each candidate's place.
    :param probability: P(variant | model).
    :param stated: whether the listing states all that tells it from its model's others.
    """

    record: Ints
    probability: Floats
    stated: NDArray[np.bool_]


class _Value(NamedTuple):
    """A value of an axis as it may be stated.

    :param words: hashes of its tokens.
    :param amounts: quantities (unit, value), if it consists of nothing else; how many of something
        stand apart, in ``counts``.
    """

    words: frozenset[int]
    amounts: Amounts
    counts: frozenset[float]


class _Said(NamedTuple):
    """What a listing says: hashes of words and their forms, and its quantities."""

    words: frozenset[int]
    amounts: Amounts

    def states(self, value: _Value) -> bool:
        """Tell whether it states a value, in words or as the same quantities.

        The unit may be missing where the number is long: "8+256" is 256 GB.
        """
        if value.words <= self.words:
            return True
        bare = {(BARE, amount) for _, amount in value.amounts if amount >= _LONG}
        if not value.amounts or not (value.amounts <= self.amounts or bare & self.amounts):
            return False
        return value.counts <= {amount for _, amount in self.amounts}


class Axes:
    """The axes' values of a catalogue's products.

    :param model_of_record: number of each product's model, shape (products,).
    :param values: of each product, a text for each axis; empty where there are no axes.
    :param products: the products as they were read.
    :param alternatives: groups of words of which a product has one, so that naming another means
        another variant.
    """

    def __init__(
        self,
        reader: Reader,
        model_of_record: Ints,
        values: Sequence[tuple[str, ...]],
        products: Readings,
        alternatives: Sequence[Sequence[str]] = (),
    ) -> None:
        counts = np.bincount(model_of_record, minlength=1)
        self._several = counts[model_of_record] > 1 if len(model_of_record) else np.zeros(0, bool)
        self._several &= any(values)
        self._variants: dict[int, list[int]] = {}
        for row in np.flatnonzero(self._several).tolist():
            self._variants.setdefault(int(model_of_record[row]), []).append(row)
        self._model, self._values, self._products = model_of_record, values, products
        self._counted = frozenset(reader.unit_number(name) for name in _COUNTED)
        self._groups = [_words_of(reader, words) for words in alternatives]
        texts = sorted({text for own in values for text in own if text})
        readings = reader.read([Fields(name=text) for text in texts])
        self._read = {text: self._value(text, readings, at) for at, text in enumerate(texts)}

    def _value(self, text: str, readings: Readings, at: int) -> _Value:
        words, stated = frozenset(readings.tokens[at].tolist()), _amounts_of(readings, at)
        amounts = frozenset(each for each in stated if each[0] not in (BARE, *self._counted))
        if any(map(str.isalnum, _AMOUNT.sub("", text))):
            return _Value(words, frozenset(), frozenset())
        return _Value(words, amounts, frozenset(n for unit, n in stated if unit in self._counted))

    def choose(self, readings: Readings, found: Found, model: Ints) -> ChosenVariants:
        """Let the likeliest variants of each model take the places its candidates have.

        :param model: of each candidate, shape (rows,).
        """
        listing, record = found.listing, found.record
        chosen = record.copy()
        probability = np.ones(len(record), np.float32)
        stated = np.ones(len(record), bool)
        places: dict[tuple[int, int], list[int]] = {}
        for row in np.flatnonzero(self._several[record]).tolist():
            places.setdefault((int(listing[row]), int(model[row])), []).append(row)
        said: dict[int, _Said] = {}
        for (at, number), rows in places.items():
            words = said.get(at)
            if words is None:
                words = said[at] = _said_by(readings, at)
            variants = self._variants[number]
            identified = {
                int(record[row]): _IDENTIFIED[level]
                for row in rows
                if (level := int(found.identifier[row])) in _IDENTIFIED
            }
            likely, states = self._likely(variants, words, identified)
            order = np.argsort(-likely, kind="stable")[: len(rows)]
            for row, which in zip(rows, order.tolist(), strict=False):
                chosen[row] = variants[which]
                probability[row], stated[row] = likely[which], states
        return ChosenVariants(chosen, probability, stated)

    def _likely(
        self, variants: Sequence[int], said: _Said, identified: Mapping[int, float]
    ) -> tuple[NDArray[np.float64], bool]:
        """Return P(variant | model) of a model's variants, and whether the listing states it.

        :param identified: log-odds of those that the listing names by an identifier.
        """
        logit = _LATER * np.arange(len(variants))
        logit += np.array([identified.get(row, 0.0) for row in variants])
        states = True
        for values in zip(*(self._values[row] for row in variants), strict=True):
            if len({*values}) < 2:
                continue
            own = {value: self._read[value] for value in {*values} if value}
            held = {value for value, read in own.items() if said.states(read)}
            # "Red" is held where "dark red" is: what says more is meant
            held = {v for v in held if not any(own[v].words < own[o].words for o in held)}
            states &= len(held) == 1
            if held:
                logit = logit + np.array([_AGREES if v in held else _DIFFERS for v in values])
        share = np.exp(logit - logit.max())
        return share / share.sum(), states or len(identified) == 1

    def other_stated(
        self, readings: Readings, listing: Sequence[int], record: Sequence[int]
    ) -> list[bool]:
        """Tell of listings and products whether a value is stated that no variant of it has.

        Nothing is told of an axis on which a variant has no value.
        """
        if not any(self._values):
            return [False] * len(record)
        return [
            self._states_other(_said_by(readings, at), row)
            for at, row in zip(listing, record, strict=True)
        ]

    def _states_other(self, said: _Said, row: int) -> bool:
        variants = self._variants.get(int(self._model[row]), [row])
        named = frozenset(self._products.atoms[row].tolist())
        for axis, values in enumerate(zip(*(self._values[at] for at in variants), strict=True)):
            if not all(values):
                continue
            own = [self._read[value] for value in {*values}]
            if any(said.states(value) for value in own):
                continue
            unit = self._unit_of_axis[axis]
            if unit >= 0:
                # only amounts that others have: 8 GB of memory is no size of a disk
                low, high = self._range_of_axis[axis]
                if any(
                    kind == unit and low / _BEYOND <= amount <= high * _BEYOND
                    for kind, amount in said.amounts
                ):
                    return True
                continue
            known = frozenset(word for value in own for word in value.words) | named
            at_word = self._worded[axis]
            for word in said.words - known:
                for words in at_word.get(word, ()):
                    if words <= said.words and not words & known:
                        return True
        return False

    @cached_property
    def _worded(self) -> list[Mapping[int, list[frozenset[int]]]]:
        """Of each axis the values in words that a listing may state, by one of these words."""
        found: list[Mapping[int, list[frozenset[int]]]] = []
        for values in zip(*self._values, strict=True):
            known = {self._read[value].words for value in {*values} if _is_worded(value)}
            for group in self._groups:
                if len(known & group) >= _SHARED:
                    known |= group
            by_word: dict[int, list[frozenset[int]]] = {}
            for words in known:
                if words:
                    by_word.setdefault(min(words), []).append(words)
            found.append(by_word)
        return found

    @cached_property
    def _unit_of_axis(self) -> list[int]:
        """Of each axis of numbers their unit, as most products' names have it; else -1."""
        return [self._unit(values) for values in zip(*self._values, strict=True)]

    def _unit(self, values: Sequence[str]) -> int:
        rows = [row for row, value in enumerate(values) if value][:_ASKED]
        votes: Counter[int] = Counter()
        for row in rows:
            number = _number_of(values[row])
            stated = _amounts_of(self._products, row) if number == number else frozenset()
            units = {unit for unit, amount in stated if amount == number and unit != BARE}
            if number != number:  # "256 GB"
                units = {unit for unit, _ in self._read[values[row]].amounts}
            votes.update(units if len(units) == 1 else ())
        unit, count = max(votes.items(), key=lambda vote: vote[1], default=(-1, 0))
        return unit if 2 * count > len(rows) else -1

    @cached_property
    def _range_of_axis(self) -> list[tuple[float, float]]:
        """Of each axis of numbers the least and the greatest, in its unit."""
        found = []
        for unit, values in zip(self._unit_of_axis, zip(*self._values, strict=True), strict=True):
            amounts = [
                amount
                for value in {*values} - {""}
                for kind, amount in (*self._read[value].amounts, (unit, _number_of(value)))
                if kind == unit and amount == amount
            ]
            found.append((min(amounts, default=0.0), max(amounts, default=0.0)))
        return found


def _words_of(reader: Reader, words: Sequence[str]) -> frozenset[frozenset[int]]:
    readings = reader.read([Fields(name=word) for word in words])
    return frozenset(frozenset(readings.tokens[at].tolist()) for at in range(len(words)))


def _amounts_of(readings: Readings, at: int) -> Amounts:
    start, end = readings.units.offsets[at : at + 2].tolist()
    return frozenset(
        zip(readings.units[at].tolist(), readings.values[start:end].tolist(), strict=True)
    )


def _said_by(readings: Readings, at: int) -> _Said:
    return _Said(frozenset(readings.atoms[at].tolist()), _amounts_of(readings, at))


def _is_worded(value: str) -> bool:
    return not any(map(str.isdigit, value)) and len(value) > 1


def _number_of(value: str) -> float:
    """Return the number that a text is, NaN if it is none."""
    return float(value.replace(",", ".")) if re.fullmatch(r"\d+(?:[.,]\d+)?", value) else nan
