"""Which variant of a model a listing sells: what it states of the axes, else the common one.

A conditional logit over all variants of a model: a stated value speaks for the variants that have
it, one that only other variants have speaks against, and where nothing is stated the catalogue's
order stands for how common a variant is. An identifier that one product alone has outweighs all
that words state. The weights are set, not learnt: catalogues without labels
have nothing to learn them from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import Found
from rerank.packs.generic.reading import Ints, Reader, Readings

Floats = NDArray[np.float32]

_AGREES, _DIFFERS, _LATER = 4.0, -4.0, -0.35  # log-odds; the last for each place in the order
_IDENTIFIED = {2: 4.0, 3: 40.0}  # log-odds, by level of `Found.identifier`


class ChosenVariants(NamedTuple):
    """The variants of candidates, all of shape (rows,).

    :param record: row of the variant that takes each candidate's place.
    :param probability: P(variant | model).
    :param stated: whether the listing states all that tells it from its model's others.
    """

    record: Ints
    probability: Floats
    stated: NDArray[np.bool_]


class Axes:
    """The axes' values of a catalogue's products.

    :param model_of_record: number of each product's model, shape (products,).
    :param values: of each product, a text for each axis; empty where there are no axes.
    """

    def __init__(
        self, reader: Reader, model_of_record: Ints, values: Sequence[tuple[str, ...]]
    ) -> None:
        counts = np.bincount(model_of_record, minlength=1)
        self._several = counts[model_of_record] > 1 if len(model_of_record) else np.zeros(0, bool)
        self._several &= any(values)
        self._variants: dict[int, list[int]] = {}
        rows = np.flatnonzero(self._several).tolist()
        for row in rows:
            self._variants.setdefault(int(model_of_record[row]), []).append(row)
        self._values = {row: values[row] for row in rows}
        texts = sorted({text for own in self._values.values() for text in own if text})
        readings = reader.read([Fields(name=text) for text in texts])
        self._words = {
            text: frozenset(readings.tokens[at].tolist()) for at, text in enumerate(texts)
        }

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
        said: dict[int, frozenset[int]] = {}
        for (at, number), rows in places.items():
            words = said.get(at)
            if words is None:
                words = said[at] = frozenset(readings.atoms[at].tolist())
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
        self, variants: Sequence[int], words: frozenset[int], identified: Mapping[int, float]
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
            held = {value for value in {*values} if value and self._words[value] <= words}
            # "Red" is held where "dark red" is: what says more is meant
            held = {v for v in held if not any(self._words[v] < self._words[o] for o in held)}
            states &= len(held) == 1
            if held:
                logit = logit + np.array([_AGREES if v in held else _DIFFERS for v in values])
        share = np.exp(logit - logit.max())
        return share / share.sum(), states or len(identified) == 1
