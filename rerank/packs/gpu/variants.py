"""Which variant of a model a listing means: what it states, and which is common where it is silent.

A conditional logit over all variants of a model. Its weights are the logarithms of how many times
likelier a seller writes so of one variant than of the other; they are set, not learnt, from what
shops' own fields say of titles that state no memory: the variant the registry lists first is then
the right one in about .95. Cosines have no part in it, and no price: a price says which model is
sold better than which variant, and moves with the year.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rerank.index.records import FORM_FACTORS, GpuRecord, falling_order, grouped, place_in_group
from rerank.index.text import squash
from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.name_evidence import memory_agreement
from rerank.packs.gpu.stated_words import family_bits, form_bits, form_family, memory_types
from rerank.packs.gpu.title_columns import TitleReadings

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

SECOND, LATER = 2.7, 0.4
"""What the second variant of a form loses by its place in the registry, and each that follows."""
SECOND_MOBILE = 1.5
"""The same of a laptop's card: their sizes are sold side by side."""
OTHER_FAMILY = 2.7
"""A form (SXM, AGP) that the registry does not list first."""
MOBILE = 4.5
"""A laptop's card where the title speaks of none; its sellers say so, for it fits no slot."""
RARE = 4.5
"""Conversions, editions of a region or an OEM, samples: nobody means one who does not say so."""
NOT_MOBILE = 7.0
"""Any other card where the title speaks of a laptop's."""
OTHER_FORM = 7.0
"""Another form than the one stated."""
SAME_FORM, HALF_SAID = 3.5, 0.7
"""The very form stated, among those of a family; a Max-Q or MXM card called mobile only."""
OTHER_MEMORY, OTHER_CODE = 9.0, 9.0
"""Another memory size than any stated; a part number of another variant of the model."""
OTHER_TYPE, WITHOUT_X = 6.5, 1.2
"""Another memory type; the same without its X: sellers write GDDR6 of GDDR6X, hardly otherwise."""

_MOBILE_FORMS = ("mobile", "Max-Q", "MXM")
_SAYS_MOBILE = form_bits(*_MOBILE_FORMS, "laptop", "letter M")
_FAMILY_STATED = form_bits(*(form for form in FORM_FACTORS if form_family(form) != "mobile"))
_DESKTOP, _LETTER = form_bits("desktop"), form_bits("letter M")
_VERY_FORM = "Max-Q MXM SXM2 SXM3 SXM4 SXM5 SXM6 NVL server workstation".split()
_VERY_SAID = form_bits(*_VERY_FORM)
_ENDS_IN_M = re.compile(r"\dM\b")
_LETTER_M = re.compile(r"\d(?:[ -]?(?:ti|super))?[ -]?m(?![a-z0-9.])")
_X_TYPES = 10  # codes of GDDRnX lie so far above those of GDDRn; HBM's lie above both


class Variants:
    """Orders the variants of models by what listings state."""

    def __init__(self, lexicon: Lexicon) -> None:
        records = lexicon.records
        self._models = len(lexicon.models)
        self._model = lexicon.model_of_record.astype(np.int64)
        self._by_model = np.argsort(self._model, kind="stable")
        self._counts = np.bincount(self._model, minlength=self._models)
        self._starts = np.cumsum(self._counts) - self._counts
        self._memory = np.array([record.memory_gb for record in records], np.float32)
        self._type = memory_types(records)
        self._mobile = np.array([r.form_factor in _MOBILE_FORMS for r in records], np.bool_)
        self._half_said = np.array([r.form_factor in ("Max-Q", "MXM") for r in records], np.bool_)
        very = [form_bits(r.form_factor) * (r.form_factor in _VERY_FORM) for r in records]
        self._very_form = np.array(very, np.int64)
        desktop = [_DESKTOP * (r.form_factor == "PCIe") for r in records]
        family = [family_bits(form_family(record.form_factor)) for record in records]
        self._family = np.array(family, np.int64) | np.array(desktop, np.int64)
        # The M of an RX 6600M is its name's, of which there are cards for desktops too.
        self._own_letter = np.array(
            [_LETTER * bool(_ENDS_IN_M.search(record.model)) for record in records], np.int64
        )
        self._prior = self._priors(records)
        self._rows_of_code = _telling_codes(records, self._model, self._counts)

    def of_models(self, model: Ints) -> tuple[Ints, Ints]:
        """Return all variants of some models, each model's in the registry's order.

        :param model: shape (groups,).
        :returns: rows of the registry, and of each the number of its group, both (variants,).
        """
        counts = self._counts[model]
        group = np.arange(len(model)).repeat(counts)
        shift = self._starts[model] - counts.cumsum() + counts
        return self._by_model[shift[group] + np.arange(len(group))], group

    def choose(
        self,
        readings: TitleReadings,
        sizes: Floats,
        forms: Ints,
        wanted: tuple[Ints, Ints],
    ) -> tuple[Ints, Floats, Ints, Ints]:
        """Return the likeliest variants of models, as many as wanted, with their probabilities.

        :param sizes: shape (listings, most stated), the sizes of each title.
        :param forms: shape (listings,), what each title states of forms.
        :param wanted: shape (rows,) twice: listing and model of each row. A pair stands as often
            as variants are wanted of it, and gets the likeliest first.
        :returns: shape (rows,) each: row of the variant in the registry, P(variant | model) over
            all the model's variants, the number of the row's (listing, model) pair, and its place
            among the pair's rows.
        """
        listing, model = wanted
        keys = listing * self._models + model
        first, pair = grouped(keys)
        pairs = keys[first]
        variant, of_pair = self.of_models(pairs % self._models)
        of_listing = pairs[of_pair] // self._models
        counts = self._counts[pairs % self._models]
        rivals = (counts[of_pair] > 1).nonzero()[0]
        logit = np.zeros(len(variant), np.float32)  # whatever is stated, a model's only variant
        logit[rivals] = self._logits(readings, sizes, forms, of_listing[rivals], variant[rivals])
        starts = np.cumsum(counts) - counts
        if not len(starts):
            return variant, logit, of_pair, of_pair
        likelihood = np.exp(logit - np.maximum.reduceat(logit, starts)[of_pair])
        share = likelihood / np.add.reduceat(likelihood, starts)[of_pair]
        order = falling_order(of_pair, share.astype(np.float32))
        place = place_in_group(pair)
        at = order[starts[pair] + place]
        return variant[at], share[at], pair, place

    def _logits(
        self,
        readings: TitleReadings,
        sizes: Floats,
        forms: Ints,
        listing: Ints,
        record: Ints,
    ) -> Floats:
        """Return what speaks for each variant of a listing's model, shape (rows,)."""
        said = (forms | _letters(readings))[listing] & ~self._own_letter[record]
        types = readings.memory_type[listing]
        own_type, mobile, family = self._type[record], self._mobile[record], self._family[record]
        logit = self._prior[record]
        logit = logit - OTHER_MEMORY * (
            memory_agreement(sizes.take(listing, axis=0), self._memory.take(record)) < 0
        )
        loose = types + _X_TYPES == own_type
        loose &= own_type < 2 * _X_TYPES
        differs = (types > 0) & (types != own_type)
        logit -= np.where(loose, WITHOUT_X, OTHER_TYPE) * differs
        says_mobile = said & _SAYS_MOBILE != 0
        logit -= np.where(mobile, MOBILE * ~says_mobile, NOT_MOBILE * says_mobile)
        very = said & self._very_form[record] != 0
        logit -= HALF_SAID * (self._half_said[record] & ~very)
        logit += SAME_FORM * very
        fixed = said & (_FAMILY_STATED | _DESKTOP) & ~family
        other = (fixed != 0) & (said & family == 0)
        other |= (self._very_form[record] != 0) & ~very & (said & _VERY_SAID != 0)
        logit -= OTHER_FORM * other
        return np.asarray(logit - self._other_code(readings, listing, record), np.float32)

    def _other_code(self, readings: TitleReadings, listing: Ints, record: Ints) -> Floats | float:
        """Return what variants lose to a sibling whose own part number stands in the title."""
        if not self._rows_of_code:
            return 0.0
        size = len(self._model)
        found = [
            each.title * size + row
            for each in readings.codes
            if each.code.certain
            for row in self._rows_of_code.get(each.letters, ())
        ]
        if not found:
            return 0.0
        named = np.array(found, np.int64)
        models = named // size * self._models + self._model[named % size]
        rival = np.isin(listing * self._models + self._model[record], models)
        return OTHER_CODE * (rival & ~np.isin(listing * size + record, named)).astype(np.float32)

    def _priors(self, records: Sequence[GpuRecord]) -> Floats:
        """Return what each record's place and rarity say of it, shape (records,)."""
        first: dict[int, str] = {}  # family of each model's first variant
        seen: dict[tuple[int, str, bool], int] = defaultdict(int)
        prior = np.zeros(len(records), np.float32)
        for at, (record, model) in enumerate(zip(records, self._model.tolist(), strict=True)):
            family = form_family(record.form_factor)
            is_mobile = family == "mobile"
            rank = seen[model, family, record.rare]
            seen[model, family, record.rare] += 1
            second = SECOND_MOBILE if is_mobile else SECOND
            later = second + LATER * (rank - 1) if rank else 0.0
            other = 0.0 if is_mobile or family == first.setdefault(model, family) else OTHER_FAMILY
            prior[at] = -later - other - RARE * record.rare
        return prior


def _letters(readings: TitleReadings) -> Ints:
    """Return the bit of the letter M of titles that put it behind a model's number (3060M).

    The M may also be the last of a part number or an alias, but not of what follows one: the
    ZT-A30600E-10M is a card for desktops. All titles are searched as one text: few have such a
    letter.
    """
    texts = [each.title for each in readings.titles]
    starts = list(itertools.accumulate((len(text) + 1 for text in texts), initial=0))
    found = np.zeros(len(readings), np.int64)
    mentions = readings.mentions
    numbers = set(zip(mentions.title.tolist(), mentions.end.tolist(), strict=True))
    codes = {(each.title, each.end) for each in readings.codes if each.letters.endswith("m")}
    for match in _LETTER_M.finditer("\n".join(texts)):
        at = bisect.bisect_right(starts, match.start()) - 1
        number = (at, match.start() - starts[at] + 1)
        if number in numbers or (at, match.end() - starts[at]) in codes:
            found[at] = _LETTER
    return found


def _telling_codes(
    records: Sequence[GpuRecord], model: Ints, counts: Ints
) -> dict[str, tuple[int, ...]]:
    """Return the part numbers and aliases that not all variants of a model have, and whose."""
    rows: dict[str, dict[int, None]] = defaultdict(dict)
    for at, record in enumerate(records):
        for text in (*record.aliases, *record.part_numbers):
            rows[squash(text)][at] = None
    return {code: tuple(own) for code, own in rows.items() if len(own) < counts[model[min(own)]]}
