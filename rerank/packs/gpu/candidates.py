"""Features of a candidate: what in the listing speaks for it, against it, or for a rival.

Computed for a whole batch in arrays. `CANDIDATE_FEATURES` is the order the ranker is trained
with; it is stored with the model and compared on load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.index.records import grouped
from rerank.packs.gpu.cues import CATEGORIES, CueHits, wished
from rerank.packs.gpu.lexicon import Lexicon
from rerank.packs.gpu.name_evidence import NAME_FEATURES, agreement, states_one_of
from rerank.packs.gpu.stated_words import (
    FORM_FAMILIES,
    chip_vendors,
    family_bits,
    form_bits,
    form_family,
    memory_types,
)
from rerank.packs.gpu.title_columns import padded
from rerank.ranking import CandidateBatch

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_OWN_FEATURES = (
    "named",
    "quality_gap",
    "exact_rivals",
    "named_models",
    "mention_order",
    "code_gap",
    "similarity",
    "similarity_gap",
    "words_shared",
    "words_absent",
    "words_foreign",
    "rival_words",
    "memory_fit",
    "model_memory_fit",
    "memory_type_fit",
    "form_fit",
    "vendor_fit",
    "partner_fit",
    "variant_rank",
    "special_form",
    "compared",
    "meant_for",
    "memory_rival",
)
CANDIDATE_FEATURES = (*NAME_FEATURES, *_OWN_FEATURES)
"""Name features are those of `rerank.packs.gpu.name_evidence`, all -1 for a model not named in the
title; name_quality is 2 less where memory_rival is 1: a full name with an impossible memory size is
worth less than a short one with the right size. Then:

named            1 if number, core word or part number of the model stands in the title
quality_gap      name_quality minus the listing's best, 0 for the best (-9 if not named)
exact_rivals     other models ranked and named without a missing or extra suffix, 0..
named_models     models ranked and named at all, 0..
mention_order    runs between the title's first mention of any candidate and this one's, 0..
                 (99 if not named)
code_gap         code_length minus the listing's longest, 0 for the longest
similarity       cosine between listing and GPU embeddings, -1 to 1, in steps of 0.2
similarity_gap   similarity minus the listing's best, in steps of 0.1 from -0.3 to 0, and 0.5 less
                 for a model the title does not name: a cosine breaks ties, it overrules no number;
                 -0.3 where memory_rival is 1
words_shared     IDF weight of the model's line words and suffixes that stand in the title, 0..
words_absent     IDF weight of those that do not, 0..; 0 if a part number stands for the name
words_foreign    IDF weight of line words and suffixes in the title that are not the model's, 0..
rival_words      part of words_foreign that belongs to another candidate of this listing, 0..
memory_fit       stated memory: 1 equal to the variant's, -1 only other sizes, 0 unsaid
model_memory_fit 1 if any variant of the model has a stated size, -1 if none, 0 unsaid
memory_type_fit  stated memory type: 1 equal, -1 different, 0 unsaid
form_fit         stated form: 1 equal, -1 different, 0 unsaid
vendor_fit       chip vendor or its line words: 1 equal, -1 another's, 0 unsaid
partner_fit      board partner that leaves a chip vendor out: 1 one it serves, -1 one it does not
variant_rank     place of the variant among its model's, 0 the most common
special_form     1 if the variant is not an ordinary PCIe card
compared         1 if a word like "than" stands shortly before the mention, or the mention where
                 the listing says what it asks for ("[W] ...", "swap for ...")
meant_for        1 if a word like "for" stands shortly before the mention
memory_rival     1 if no variant of the model has the stated memory and form, or the mobile form of
                 a laptop's chip, but one of another named model has, whose line words do not
                 conflict; -1 the other way round; else 0
"""
RANKED_MODELS = 8
"""How many models of each listing are described and ranked. Of shops' and people's listings whose
model is proposed at all, it is among the first five as often as among the first eight."""
UNNAMED = -1.0

_SPEAK_FOR = (
    "named",
    "code_length",
    "suffix_exact",
    "line_shared",
    "prefix_fit",
    "code_certain",
    "code_gap",
    "name_quality",
    "quality_gap",
    "similarity",
    "similarity_gap",
    "memory_fit",
    "model_memory_fit",
    "memory_type_fit",
    "form_fit",
    "vendor_fit",
    "partner_fit",
)
_SPEAK_AGAINST = (
    "suffix_missing",
    "suffix_absent",
    "suffix_extra",
    "line_absent",
    "line_conflict",
    "words_absent",
    "words_foreign",
    "rival_words",
    "compared",
    "memory_rival",
)
CANDIDATE_DIRECTIONS = {**dict.fromkeys(_SPEAK_FOR, 1), **dict.fromkeys(_SPEAK_AGAINST, -1)}
"""Evidence that can only help or only hurt; the ranker is held to it, so that accidents of the
generated training listings cannot turn it round on real ones."""
_CONTRADICTION = 2.0
_SIMILARITY_STEP, _GAP_STEP, _WIDEST_GAP, _UNNAMED_GAP = 0.2, 0.1, 0.3, 0.5
_QUALITY, _CONFLICT, _EXACT, _PREFIX, _MENTION, _CODE = map(
    NAME_FEATURES.index,
    "name_quality line_conflict suffix_exact prefix_fit mention_at code_length".split(),
)
_ANY_FAMILY = sum(map(family_bits, FORM_FAMILIES))
_MOBILE = family_bits("mobile") | form_bits("laptop", "letter M")
_CUE_REACH = 4
_LONGEST_TITLE = 1000  # runs; titles are cut at 400 characters
_UNNAMED_AT = 999
_QUANTUM = np.float32(
    1024
)  # features are multiples of 1/1024, so that float32 trees agree with LightGBM


class CandidateFeatures:
    """Computes candidate features over one registry."""

    def __init__(self, table: Lexicon) -> None:
        self._table = table
        records = table.records
        self._memory = np.array([record.memory_gb for record in records], np.float32)
        self._memory_type = memory_types(records)
        vendors = chip_vendors(records)
        self._vendor = np.array([vendors.index(r.vendor) for r in records], np.int64)
        families = [family_bits(form_family(record.form_factor)) for record in records]
        self._family = np.array(families, np.int64)
        self._special = np.array([r.form_factor != "PCIe" for r in records], np.float32)
        word_bits, self._idf = _word_weights(table)
        self._word_totals = word_bits @ self._idf
        self._words = _words_of_models(word_bits)
        self._sizes = _sizes_of_models(table, self._memory)

    def compute(self, batch: CandidateBatch, cues: CueHits) -> Floats:
        """Return features of shape (candidates, len(CANDIDATE_FEATURES))."""
        listing, record = batch.listing, batch.record
        model = self._table.model_of_record[record].astype(np.int64)
        memory, model_memory, *others = self._agreements(batch, model)
        form = others[1]
        row = batch.names.find(listing, model, len(self._table.models))
        named = row >= 0
        # A feature after the other in memory, as trees over many rows read them.
        columns = np.full((len(CANDIDATE_FEATURES), len(model)), UNNAMED, np.float32)
        names = columns[: len(NAME_FEATURES)].T
        names[named] = batch.names.values.take(row[named], axis=0)
        per = _PerListing(batch.offsets)
        groups = _groups_of_models(listing, model)
        in_line = names[:, _CONFLICT] <= 0
        mobile = (batch.stated.forms & _MOBILE != 0)[listing]
        fits = (memory >= 0) & (form >= 0)
        rival = _memory_rival(per, groups, named, in_line, fits, (memory != 0) | mobile)
        names[:, _QUALITY] -= _CONTRADICTION * (rival > 0)
        quality = np.where(named, names[:, _QUALITY], -9)
        exact = named & (names[:, _EXACT] == 1)
        exact &= names[:, _PREFIX] >= 0
        at = np.where(named, names[:, _MENTION], _UNNAMED_AT)
        code = np.where(named, names[:, _CODE], 0)
        seen = np.where(rival > 0, -1.0, batch.similarity)
        best, nearest, longest, most_similar = per.max(quality, -at, code, seen)
        exacts, names_there = per.sum(exact & groups.first, named & groups.first)
        own = [
            named,
            np.where(named, quality - best, -9),
            exacts - exact,
            names_there,
            np.where(named, at + nearest, 99),  # far behind any real mention
            code - longest,
            np.round(batch.similarity / _SIMILARITY_STEP) * _SIMILARITY_STEP,
            _similarity_gap(batch.similarity, most_similar, named, rival > 0),
            *self._word_columns(batch, listing, model, code > 0),
            memory,
            model_memory,
            *others,
            self._table.variant_rank[record],
            self._special[record],
            np.maximum(shortly_after(cues, "than", listing, at), wished(cues, listing, at)),
            shortly_after(cues, "for", listing, at),
            rival,
        ]
        for number, values in enumerate(own, len(NAME_FEATURES)):
            columns[number] = values
        columns *= _QUANTUM
        np.rint(columns, out=columns)
        columns /= _QUANTUM
        return columns.T

    def _word_columns(
        self, batch: CandidateBatch, listing: Ints, model: Ints, coded: NDArray[np.bool_]
    ) -> list[Floats]:
        title = _unpack(batch.names.words)
        words = self._words.take(model, axis=0)
        place = listing[:, None] * title.shape[1] + words
        shared = (title.ravel().take(place) * self._idf.take(words)).sum(axis=1)
        total = title @ self._idf
        family = np.zeros_like(title)
        family.ravel()[place] = True  # the words of any candidate
        relevant = (title & family) @ self._idf
        return [
            shared,
            np.where(coded, 0, self._word_totals[model] - shared),
            total[listing] - shared,
            relevant[listing] - shared,
        ]

    def _agreements(self, batch: CandidateBatch, model: Ints) -> Floats:
        """Hold what titles state against the candidates' own, shape (6, candidates).

        Rows: memory, that of any variant, memory type, form, chip vendor, partner's chip vendor.
        """
        listing, record = batch.listing, batch.record
        types = batch.readings.memory_type[listing]
        vendors, partners, forms = (mask[listing] for mask in batch.stated)
        forms &= _ANY_FAMILY
        vendor = self._vendor[record]
        sizes = batch.names.sizes.take(listing, axis=0)
        sized = ~np.isnan(sizes[:, 0])
        agrees = [
            states_one_of(sizes, self._memory.take(record)[:, None]),
            states_one_of(sizes, self._sizes.take(model, axis=0)),
            types == self._memory_type[record],
            forms & self._family[record] != 0,
            (vendors >> vendor) & 1 == 1,
            (partners >> vendor) & 1 == 1,
        ]
        said = [sized, sized, types > 0, forms > 0, vendors > 0, partners > 0]
        return agreement(np.array(agrees), np.array(said))


class _PerListing:
    """Aggregates over each listing's candidates, spread back over them."""

    def __init__(self, offsets: Ints) -> None:
        counts = offsets[1:] - offsets[:-1]
        self._starts, self._filled = offsets[:-1][counts > 0], counts[counts > 0]

    def max(self, *columns: NDArray[np.generic]) -> Floats:
        """Return the greatest of each column, shape (columns, candidates)."""
        return self._spread(np.maximum, columns)

    def sum(self, *columns: NDArray[np.generic]) -> Floats:
        """Return the sum of each column, shape (columns, candidates)."""
        return self._spread(np.add, columns)

    def _spread(self, function: np.ufunc, columns: Sequence[NDArray[np.generic]]) -> Floats:
        values = np.array(columns, np.float32)
        if not len(self._starts):
            return values
        reduced = function.reduceat(values, self._starts, axis=1)
        return np.asarray(reduced.repeat(self._filled, axis=1), np.float32)


def _similarity_gap(
    similarity: Floats, best: Floats, named: NDArray[np.bool_], contradicted: NDArray[np.bool_]
) -> Floats:
    gap = np.minimum(np.round((similarity - best) / _GAP_STEP) * _GAP_STEP, 0.0)
    gap = np.where(contradicted, -_WIDEST_GAP, np.maximum(gap, -_WIDEST_GAP))
    return np.asarray(gap - _UNNAMED_GAP * ~named, np.float32)


def _memory_rival(
    per: _PerListing,
    groups: _ModelGroups,
    named: NDArray[np.bool_],
    in_line: NDArray[np.bool_],
    fits: NDArray[np.bool_],
    stated: NDArray[np.bool_],
) -> Floats:
    if not stated.any():
        return np.zeros(len(stated), np.float32)
    fitting_group = np.zeros(len(groups.first), bool)
    fitting_group[groups.group[named & stated & fits]] = True
    own = fitting_group[groups.group]
    first = named & groups.first
    fitting, failing = per.sum(first & own & in_line, first & ~own)
    worse, better = stated & ~own & (fitting > 0), own & (failing > 0)
    return np.where(worse, 1.0, np.where(better, -1.0, 0.0)).astype(np.float32)


def shortly_after(cues: CueHits, category: str, listing: Ints, at: Floats) -> Floats:
    """Return 1 where a cue of the category stands up to 4 runs before run ``at``."""
    rows = (cues.category == CATEGORIES.index(category)).nonzero()[0]
    if not len(rows):
        return np.zeros(len(at), np.float32)
    keys = np.sort(cues.listing[rows] * _LONGEST_TITLE + cues.at[rows])
    place = listing * _LONGEST_TITLE + np.minimum(at, _LONGEST_TITLE - 1).astype(np.int64)
    found = np.searchsorted(keys, place) - np.searchsorted(keys, place - _CUE_REACH)
    return ((found > 0) & (at < _LONGEST_TITLE - 1)).astype(np.float32)


class _ModelGroups(NamedTuple):
    """Candidates of one listing and model.

    :param group: shape (candidates,), number of each candidate's group.
    :param first: shape (candidates,), true for one candidate of each group.
    """

    group: Ints
    first: NDArray[np.bool_]


def _groups_of_models(listing: Ints, model: Ints) -> _ModelGroups:
    keys = listing * (int(model.max(initial=0)) + 1) + model
    at, group = grouped(keys)
    first = np.zeros(len(keys), bool)
    first[at] = True
    return _ModelGroups(group, first)


def _unpack(masks: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return masks of shape (n, words) as booleans of shape (n, 64 * words)."""
    raw = np.ascontiguousarray(masks).view(np.uint8)
    return np.unpackbits(raw, axis=1, bitorder="little").astype(bool)


def _word_weights(table: Lexicon) -> tuple[NDArray[np.bool_], Floats]:
    bits = _unpack(table.before_mask | table.after_mask)
    counted = bits[: table.n_counted]
    idf = np.log((1 + len(counted)) / (1 + counted.sum(axis=0))).astype(np.float32)
    return bits, idf


def _words_of_models(bits: NDArray[np.bool_]) -> Ints:
    """Return the numbers of each model's words, shape (models, most words).

    Filled up with the last bit of the masks, which is no word's.
    """
    counts = bits.sum(axis=1)
    words = np.full((len(bits), int(counts.max(initial=1))), bits.shape[1] - 1, np.int64)
    model, word = np.nonzero(bits)
    words[model, np.arange(len(model)) - (np.cumsum(counts) - counts)[model]] = word
    return words


def _sizes_of_models(table: Lexicon, memory: Floats) -> Floats:
    sizes: list[list[float]] = [[] for _ in range(len(table.models))]
    for model, size in zip(table.model_of_record.tolist(), memory.tolist(), strict=True):
        if size not in sizes[model]:
            sizes[model].append(size)
    return padded(sizes)
