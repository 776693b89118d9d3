"""Evidence about each candidate that needs to know nothing of the goods: features for the trees.

Computed for a whole batch in arrays, row by row of `Found`. Weights of words are multiples of
1/1024, so that their sums are exact and no batch changes them. `CANDIDATE_FEATURES` is the order
that a ranker is trained with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank.index.records import falling_order
from rerank.packs.generic.index import Found, ProductIndex, on_grid
from rerank.packs.generic.reading import (
    BARE,
    CUE_FEATURES,
    IdentifierKind,
    Ints,
    Readings,
    TokenKind,
    tells_not_sold,
)
from rerank.packs.generic.token_arrays import (
    Hashes,
    Membership,
    Ragged,
    hash_membership,
    places,
    short_hash,
)

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

_KINDS = tuple(kind.name.lower() for kind in TokenKind)
_WORD_SUMS = tuple(
    f"{what}_{kind}"
    for what in ("shared", "absent", "foreign", "rival", "unknown")
    for kind in _KINDS
)
_OWN = (
    "cos_words",
    "cos_ngrams",
    "cover_listing",
    "cover_known",
    "cover_entry",
    *_WORD_SUMS,
    "max_absent",
    "max_foreign",
    "max_rival",
    "local_shared",
    "local_foreign",
    "local_absent",
    "habit_kept",
    "habit_absent",
    "habit_foreign",
    "habit_added",
    "habit_max_absent",
    "habit_max_foreign",
    "contrast_foreign",
    "contrast_near",
    "contrast_rival",
    "contrast_absent",
    "near_code",
    "code_start",
    "code_conflict",
    "unit_agree",
    "unit_conflict",
    "unit_rival",
    "number_found",
    "number_share",
    "identifier",
    "identifier_conflict",
    "brand_fit",
    "price_gap",
    "absent_in_text",
    "foreign_in_text",
    "text_cover",
    "token_set",
    "listing_tokens",
    "entry_tokens",
    "behind_for",
    "not_sold",
    *(f"cue_{kind}" for kind in CUE_FEATURES),
)
_COMPARED = (
    "cos_words",
    "cos_ngrams",
    "cover_listing",
    "cover_entry",
    "shared_code",
    "shared_digit",
    "local_shared",
    "near_code",
    "token_set",
    "identifier",
    "habit_sum",
    "sum",
)
CANDIDATE_FEATURES = (
    *_OWN,
    *(f"gap_{name}" for name in _COMPARED),
    "rank_words",
    "rank_ngrams",
    "better",
)
"""Weights are IDF over the catalogue, 0 to 15: a word of one product in 10,000 weighs 8.8. A token
is found on the other side as it stands, joined with or cut out of a neighbour, as a run of letters
or digits inside a token, or (four letters and more) anywhere in the text without its blanks.

cos_words        cosine over words and their forms, 0..1; cos_ngrams over n-grams; 0 where the
                 postings looked at do not hold the product
cover_listing    weight of the listing's tokens that the entry has, of all its tokens', 0..1
cover_known      the same, of those only that the catalogue knows, 0..1
cover_entry      weight of the entry's tokens that the listing has, of all its tokens', 0..1
shared_KIND      weight of the listing's tokens that the entry has, by `TokenKind`, 0..
absent_KIND      weight of the entry's tokens that the listing lacks, 0..
foreign_KIND     weight of the listing's tokens that the entry lacks and the catalogue knows, 0..
rival_KIND       part of foreign_KIND that another candidate of the listing has, 0..
unknown_KIND     number of the listing's tokens that no product has, 0..
max_absent       greatest single weight in absent, 0..; max_foreign, max_rival likewise
local_shared     as shared, weighted by rarity among this listing's candidates, 0..
local_foreign    weight, likewise, of the listing's tokens that others have and this one lacks, 0..
local_absent     weight, likewise, of the entry's tokens that the listing lacks, 0..
habit_kept       log-likelihood that listings keep such tokens, on top of their weight; see `Habits`
habit_absent     surprise, in nats, that the absent tokens are left out, 0..
habit_foreign    surprise that the foreign tokens were added, 0..; habit_added the unknown ones
habit_max_absent greatest single surprise, 0..; habit_max_foreign likewise
contrast_foreign greatest share, see `Contrasts`, of a form of the listing's words that the entry
                 lacks: how sure it parts products, 0..1; contrast_near of such a token that stands
                 beside a code or number that both share; contrast_rival of one that another
                 candidate has; contrast_absent of the entry's tokens that the listing lacks
near_code        how near a code of the listing that the entry lacks and one of the entry that the
                 listing lacks are: share of letters in their common start and end, or code_start,
                 0..1
code_start       share of such a code's letters in its longest start, of four letters and more,
                 that stands anywhere on the other side, 0..1
code_conflict    1 if each side has a code that the other lacks
unit_agree       units in which both state a quantity, and an equal one, 0..
unit_conflict    units in which both do and none is equal, 0..
unit_rival       of these, units in which another candidate agrees, 0..
number_found     quantities of the entry that stand in the listing, in their unit or without, 0..
number_share     share of the entry's quantities that do, 0..1
identifier       see `Found.identifier`: 3 decides, 0..3
identifier_conflict  2 if both state a GTIN and share none, 1 if both state a part number in a
                 column and share none, else 0
brand_fit        1 if the entry's brand stands in the listing, -1 if another does, 0 unsaid
price_gap        |log of the prices' ratio|, 0..4, -1 where a price is unknown
absent_in_text   part of absent that the listing's description has, 0..
foreign_in_text  part of foreign and unknown that the entry's description has, 0..
text_cover       share of the listing's rarest 24 words of description that the entry has, 0..1
token_set        RapidFuzz token_set_ratio of the names, 0..1
listing_tokens   different tokens of the listing; entry_tokens of the entry
behind_for       share of the weight that both share of what stands behind "for", "fits" and the
                 like in the listing's name, 0..1; 0 where the entry has such a word, too
not_sold         1 if a cue says that what is named is sought, let, repaired or an empty box,
                 or that a part or an accessory for it is offered
cue_KIND         1 if the listing's name has a cue of the kind and the entry's has none
gap_NAME         NAME minus the best other candidate's, for the best; else minus the best. habit_sum
                 is habit_kept - habit_absent - habit_foreign, sum is cos_words + cos_ngrams +
                 cover_entry + cover_known. Of a single candidate NAME itself
rank_words       place by cos_words among the candidates, 0 for the first; rank_ngrams likewise
better           candidates with a greater sum, 0..

The cosine of the vectors is none of them: it says what n-grams say, less exactly, and over four
catalogues rankers name fewer products first with it than without.
"""

_SPEAK_FOR = (
    "cos_words cos_ngrams cover_listing cover_known cover_entry shared_code shared_digit"
    " shared_word local_shared code_start unit_agree identifier brand_fit text_cover token_set"
    " number_found"
).split()
_SPEAK_AGAINST = (
    "foreign_code foreign_digit foreign_word rival_code rival_digit rival_word max_rival"
    " local_foreign habit_absent habit_foreign habit_max_absent habit_max_foreign code_conflict"
    " unit_conflict unit_rival identifier_conflict behind_for not_sold rank_words"
    " contrast_foreign contrast_near contrast_rival contrast_absent"
    " rank_ngrams better"
).split()
CANDIDATE_DIRECTIONS = {
    **dict.fromkeys(_SPEAK_FOR, 1),
    **{f"gap_{name}": 1 for name in _COMPARED},
    **dict.fromkeys(_SPEAK_AGAINST, -1),
    **{f"cue_{kind}": -1 for kind in CUE_FEATURES},
}
"""Evidence that can only help or only hurt; the ranker is held to it."""

_OF_OFFER = ("score", "lead", "above_mean", "candidates")
OFFER_FEATURES = (*(f"best_{name}" for name in CANDIDATE_FEATURES), *_OF_OFFER)
"""Of the candidate with the greatest score; all 0 for a listing without candidates.

score            its raw score
lead             its score minus the next one's, 9 for the only candidate
above_mean       its score minus the mean of all candidates'
candidates       how many there are
"""
OFFER_DIRECTIONS = {
    **{f"best_{name}": way for name, way in CANDIDATE_DIRECTIONS.items()},
    "score": 1,
    "lead": 1,
}

_COLUMN = {name: at for at, name in enumerate(CANDIDATE_FEATURES)}
_FOR = 1 << CUE_FEATURES.index("for")
_NO_COLUMN = (0, 2)  # levels of `Found.identifier` without one of a column
_DECIDES = 3  # the level of one that only this product has
_RARE_WORDS = 24  # of a description
_LEAST_CODE = 3  # letters of codes that are compared
_UNKNOWN_WEIGHT = 1.386  # of a token that no product has: less than any that tells products apart
_WIDEST_PRICE_GAP, _ALONE = 4.0, 9.0
_OTHER_BRAND = 80.0  # RapidFuzz partial_ratio below which brands are two


@dataclass(frozen=True, slots=True)
class Habits:
    """What a shop's listings leave out of an entry's name and what they add to it, by token.

    Measured on pairs that are sure; it stands where a list of cue words would. ("Free" and "grey"
    are added everywhere and say nothing, "plus" is hardly ever left out by chance.)

    :param pairs: pairs it was measured on.
    :param base: share of an entry's tokens that listings keep, by `TokenKind`.
    :param tokens: hashes, rising; of each how often it was ``seen`` in an entry of the pairs, how
        often ``kept`` by its listing, and how often ``added`` to an entry without it.
    :param prior: pairs that ``base`` counts as.
    """

    pairs: int
    base: tuple[float, float, float]
    tokens: Hashes
    seen: Doubles
    kept: Doubles
    added: Doubles
    prior: float = 4.0

    @classmethod
    def usual(cls) -> Habits:
        """Return habits where nothing was measured."""
        none = np.zeros(0)
        return cls(0, (0.75, 0.75, 0.65), np.zeros(0, np.uint64), none, none, none)

    @classmethod
    def measure(
        cls, index: ProductIndex, readings: Readings, listing: Ints, record: Ints
    ) -> Habits:
        """Count what listings keep and add.

        :param listing: row of ``readings`` of each pair; ``record`` the product's row.
        """
        pairs = _Pairs(index, readings, listing, record, None)
        hashes = index.vocabulary[index.tokens.values[pairs.entry_at]]
        there = pairs.there
        extra = readings.tokens.values[pairs.listing_at[~pairs.hit]]
        tokens = np.unique(np.concatenate([hashes, extra]))
        at = places(tokens, hashes)
        counts = [np.bincount(at, weights, len(tokens)) for weights in (None, there)]
        kinds = index.readings.kinds[pairs.entry_at]
        kept = np.bincount(kinds, there, 3) + 1.0
        return cls(
            pairs=len(listing),
            base=tuple(kept / (np.bincount(kinds, minlength=3) + 1.5)),
            tokens=tokens,
            seen=counts[0].astype(np.float64),
            kept=counts[1].astype(np.float64),
            added=np.bincount(places(tokens, extra), minlength=len(tokens)).astype(np.float64),
        )

    def keep(self, hashes: Hashes, kinds: NDArray[np.integer[Any]]) -> Doubles:
        """Return the probability that a listing has a token of its entry, 0 to .98."""
        seen, kept = self._of(self.seen, hashes), self._of(self.kept, hashes)
        prior = np.array(self.base)[kinds] * self.prior
        return np.asarray(np.minimum(0.98, (kept + prior) / (seen + self.prior)), np.float64)

    def noise(self, hashes: Hashes) -> Doubles:
        """Return the share of listings that add a token; for new ones about one in as many."""
        return (self._of(self.added, hashes) + 0.3) / (self.pairs + 1.0)

    def _of(self, counts: Doubles, hashes: Hashes) -> Doubles:
        at = places(self.tokens, hashes)
        if not len(counts):
            return np.zeros(len(hashes))
        return np.where(at >= 0, counts[at], 0.0)


class _Pairs:
    """Listings beside candidates: which tokens of each the other side has.

    ``hit`` tells of every token of the listing, row by row, whether the candidate has it;
    ``there`` of every token of the candidate whether the listing has it. ``listing_at`` and
    ``entry_at`` are the tokens' places in the readings, ``listing_row`` and ``entry_row`` the rows
    they belong to.
    """

    def __init__(
        self,
        index: ProductIndex,
        readings: Readings,
        listing: Ints,
        record: Ints,
        hidden: NDArray[np.integer[Any]] | None,
    ) -> None:
        self.index, self.readings = index, readings
        self.listing, self.record, self.n = listing, record, len(listing)
        tokens = readings.tokens
        self.ids = index.ids_of(tokens.values)
        self.counts = index.counts_without(self.ids, tokens.rows, hidden)
        self.listing_row, self.listing_at = tokens.spans(listing)
        self.entry_row, self.entry_at = index.tokens.spans(record)
        self.texts = readings.texts()
        self.hit = self._hits()
        self.there = self._present(readings)
        self.entry_ids = index.tokens.values[self.entry_at]
        self.entry_counts = index.counts_without(self.entry_ids, listing[self.entry_row], hidden)

    def _hits(self) -> Bools:
        record = self.record[self.listing_row]
        found = self.index.holds(record, self.ids[self.listing_at])
        lost = np.flatnonzero(~found)
        found[lost] = self.index.texts.contain(record[lost], self.texts, self.listing_at[lost])
        return found

    def _present(self, readings: Readings) -> Bools:
        atoms = self.index.ids_of(readings.atoms.values)
        known = np.flatnonzero(atoms >= 0)
        rows = readings.atoms.rows[known]
        held = Membership(Ragged.of(rows, atoms[known], len(readings)), len(self.index.vocabulary))
        listing = self.listing[self.entry_row]
        found = held(listing, self.index.tokens.values[self.entry_at])
        lost = np.flatnonzero(~found)
        found[lost] = self.texts.contain(listing[lost], self.index.texts, self.entry_at[lost])
        return found


def candidate_features(
    index: ProductIndex,
    readings: Readings,
    found: Found,
    habits: Habits | None = None,
    hidden: NDArray[np.integer[Any]] | None = None,
) -> Floats:
    """Return the features of each row of ``found``, shape (rows, features), multiples of 1/1024.

    :param readings: the listings that ``found`` was retrieved for.
    :param habits: what is known of the shop's listings; None for none.
    :param hidden: as `ProductIndex.retrieve` was given.
    """
    if not len(found.record):
        return np.zeros((0, len(CANDIDATE_FEATURES)), np.float32)
    return _Evidence(index, readings, found, habits or Habits.usual(), hidden).matrix()


class _Evidence:
    """One call of `candidate_features`."""

    def __init__(
        self,
        index: ProductIndex,
        readings: Readings,
        found: Found,
        habits: Habits,
        hidden: NDArray[np.integer[Any]] | None,
    ) -> None:
        self.index, self.readings, self.found, self.habits = index, readings, found, habits
        self.pairs = _Pairs(index, readings, found.listing, found.record, hidden)
        self.hidden = hidden
        self.n = len(found.record)
        self.size = np.diff(found.offsets)[found.listing]  # candidates of the row's listing
        self.columns: dict[str, NDArray[Any]] = {
            "cos_words": found.words,
            "cos_ngrams": found.ngrams,
            "identifier": found.identifier,
        }

    def matrix(self) -> Floats:
        self._words()
        self._habits()
        self._contrasts()
        self._codes()
        self._quantities()
        self._identifiers()
        self._fields()
        self._cues()
        self._descriptions()
        out = np.empty((self.n, len(CANDIDATE_FEATURES)), np.float32)
        for name in _OWN:
            out[:, _COLUMN[name]] = self.columns[name]
        self._compare(out)
        return on_grid(out)

    def _sum(self, row: Ints, values: NDArray[Any]) -> Doubles:
        return np.asarray(np.bincount(row, values, self.n), np.float64)

    def _most(self, row: Ints, values: NDArray[Any]) -> Doubles:
        """Return the greatest value of each row, 0 for none; rows do not fall."""
        out = np.zeros(self.n)
        if len(row):
            starts = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1]]))
            out[row[starts]] = np.maximum.reduceat(values, starts)
        return out

    def _by_kind(self, name: str, row: Ints, kind: Ints, values: NDArray[Any]) -> Doubles:
        """Keep sums by kind of token as features; return them summed up."""
        sums = np.bincount(row * 3 + kind, values, self.n * 3).reshape(self.n, 3)
        for at, suffix in enumerate(_KINDS):
            self.columns[f"{name}_{suffix}"] = sums[:, at]
        return np.asarray(sums.sum(axis=1))

    def _words(self) -> None:
        pairs, readings, index = self.pairs, self.readings, self.index
        row, at, hit = pairs.listing_row, pairs.listing_at, pairs.hit
        holders = np.bincount(at, hit, len(pairs.ids))  # candidates that have a token
        self.anywhere = anywhere = (holders > 0)[at]
        self.known = known = (pairs.counts > 0)[at] | anywhere
        self.weight = weight = index.weight_of(pairs.counts).astype(np.float64)[at]
        kind = readings.kinds.astype(np.int64)[at]
        foreign, rival = ~hit & known, ~hit & anywhere
        shared_sum = self._by_kind("shared", row, kind, weight * hit)
        foreign_sum = self._by_kind("foreign", row, kind, weight * foreign)
        self._by_kind("rival", row, kind, weight * rival)
        unknown = self._by_kind("unknown", row, kind, (~known).astype(np.float64))
        local = _on_grid64(np.log((self.size[row] + 1) / (holders[at] + 0.5))) * anywhere
        entry_row, there = pairs.entry_row, pairs.there
        self.entry_weight = own = index.weight_of(pairs.entry_counts).astype(np.float64)
        self.entry_kind = index.readings.kinds.astype(np.int64)[pairs.entry_at]
        absent = own * ~there
        absent_sum = self._by_kind("absent", entry_row, self.entry_kind, absent)
        total = self._sum(entry_row, own)
        everything = shared_sum + foreign_sum + _UNKNOWN_WEIGHT * unknown
        self.foreign_weight = weight * ~hit
        self.columns |= {
            "cover_listing": shared_sum / np.maximum(everything, 1e-6),
            "cover_known": shared_sum / np.maximum(shared_sum + foreign_sum, 1e-6),
            "cover_entry": (total - absent_sum) / np.maximum(total, 1e-6),
            "max_absent": self._most(entry_row, absent),
            "max_foreign": self._most(row, weight * foreign),
            "max_rival": self._most(row, weight * rival),
            "local_shared": self._sum(row, local * hit),
            "local_foreign": self._sum(row, local * ~hit),
            "local_absent": self._sum(entry_row, self._local_weights() * ~there),
            "listing_tokens": np.bincount(row, minlength=self.n),
            "entry_tokens": np.bincount(entry_row, minlength=self.n),
        }

    def _local_weights(self) -> Doubles:
        """Return how rare each entry token is among the candidates of its listing."""
        pairs = self.pairs
        key = self.found.listing[pairs.entry_row] * len(self.index.vocabulary) + pairs.entry_ids
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        group = np.cumsum(new) - 1
        spread = np.empty(len(key))
        spread[order] = np.bincount(group)[group]
        return _on_grid64(np.log((self.size[pairs.entry_row] + 1) / (spread + 0.5)))

    def _habits(self) -> None:
        pairs, habits = self.pairs, self.habits
        row, lost = pairs.listing_row, ~pairs.hit
        surprise = _on_grid64(-np.log(habits.noise(self.readings.tokens.values)))[pairs.listing_at]
        inside = surprise * (lost & self.known)
        hashes = self.index.vocabulary[pairs.entry_ids]
        keep = habits.keep(hashes, self.entry_kind)
        kept, left = _on_grid64(np.log(keep)), _on_grid64(-np.log1p(-keep))
        entry_row, there = pairs.entry_row, pairs.there
        self.columns |= {
            "habit_kept": self._sum(entry_row, (self.entry_weight + kept) * there),
            "habit_absent": self._sum(entry_row, left * ~there),
            "habit_foreign": self._sum(row, inside),
            "habit_added": self._sum(row, surprise * (lost & ~self.known)),
            "habit_max_absent": self._most(entry_row, left * ~there),
            "habit_max_foreign": self._most(row, inside),
        }

    def _contrasts(self) -> None:
        """Look for words that part products and that only one side has."""
        pairs, index, readings = self.pairs, self.index, self.readings
        contrasts, atoms = index.contrasts, readings.atoms
        ids = index.ids_of(atoms.values)
        share = contrasts.shares(ids, atoms.rows, self.hidden)
        some = np.flatnonzero(share > 0)
        telling = Ragged.of(atoms.rows[some], some, len(readings))
        owner, at = telling.take(self.found.listing)
        lost = ~index.holds(self.found.record[owner], ids[at])
        own = contrasts.shares(pairs.ids, readings.tokens.rows, self.hidden)
        row, foreign = pairs.listing_row, own[pairs.listing_at] * ~pairs.hit
        number = pairs.hit & (readings.kinds[pairs.listing_at] < TokenKind.WORD)
        together = row[1:] == row[:-1]
        beside = np.zeros(len(row), bool)
        beside[1:] |= number[:-1] & together
        beside[:-1] |= number[1:] & together
        listing = self.found.listing[pairs.entry_row]
        absent = contrasts.shares(pairs.entry_ids, listing, self.hidden) * ~pairs.there
        self.columns |= {
            "contrast_foreign": self._most(owner, share[at] * lost),
            "contrast_near": self._most(row, foreign * beside),
            "contrast_rival": self._most(row, foreign * self.anywhere),
            "contrast_absent": self._most(pairs.entry_row, absent),
        }

    def _codes(self) -> None:
        """Compare codes that the listing has too many with those that the entry has."""
        pairs, found = self.pairs, self.found
        kind = self.readings.kinds[pairs.listing_at]
        lost = np.flatnonzero(~pairs.hit & (kind < TokenKind.WORD))
        absent = np.flatnonzero(~pairs.there & (self.entry_kind < TokenKind.WORD))
        mine = Ragged.of(pairs.listing_row[lost], pairs.listing_at[lost], self.n)
        theirs = Ragged.of(pairs.entry_row[absent], pairs.entry_at[absent], self.n)
        codes = [
            np.bincount(each.rows[of[each.values] == TokenKind.CODE], minlength=self.n) > 0
            for each, of in ((mine, self.readings.kinds), (theirs, self.index.readings.kinds))
        ]
        texts, own = self.index.texts, pairs.texts
        begun = texts.start_share(found.record[mine.rows], own, mine.values)
        begins = own.start_share(found.listing[theirs.rows], texts, theirs.values)
        start = np.maximum(self._most(mine.rows, begun), self._most(theirs.rows, begins))
        self.columns |= {
            "near_code": np.maximum(self._nearest_code(mine, theirs), start),
            "code_start": start,
            "code_conflict": codes[0] & codes[1],
        }

    def _nearest_code(self, mine: Ragged, theirs: Ragged) -> Doubles:
        """Return by row how near the nearest code of the listing and of the entry are, 0 to 1."""
        owner, own = theirs.rows, theirs.values
        place, other = mine.take(owner)
        row, entry = owner[place], own[place]
        lengths = self.readings.lengths[other], self.index.readings.lengths[entry]
        short, long = np.minimum(*lengths), np.maximum(*lengths)
        kept = np.flatnonzero(short >= _LEAST_CODE)
        row, entry, other, short, long = (each[kept] for each in (row, entry, other, short, long))
        start, end = self.pairs.texts.common(other, self.index.texts, entry)
        return self._most(row, np.minimum(start + end, short) / np.maximum(long, 1))

    def _quantities(self) -> None:
        found, mine, theirs = self.found, self.readings, self.index.readings
        owner, entry = theirs.units.spans(found.record)
        with_unit = theirs.units.values[entry] != BARE
        owner, entry = owner[with_unit], entry[with_unit]
        place, other = mine.units.spans(found.listing[owner])
        row, entry_at = owner[place], entry[place]
        unit, stated = theirs.units.values[entry_at], mine.units.values[other]
        one, two = theirs.values[entry_at], mine.values[other]
        allowed = self.index.reader.tolerances[unit] * np.maximum(np.abs(one), np.abs(two))
        equal = np.abs(one - two) <= allowed
        some = np.bincount(
            place[equal & ((unit == stated) | (stated == BARE))], minlength=len(owner)
        )
        number_found = np.bincount(owner[some > 0], minlength=self.n)
        same_unit = unit == stated
        n_units = np.int64(len(self.index.reader.units) + 1)
        keys, at = np.unique((row * n_units + unit)[same_unit], return_inverse=True)
        agree = np.bincount(at, equal[same_unit], len(keys)) > 0
        rows, units = keys // n_units, keys % n_units
        asked = found.listing[rows] * n_units + units
        rival = ~agree & np.isin(asked, np.unique(asked[agree]))
        self.columns |= {
            "unit_agree": np.bincount(rows[agree], minlength=self.n),
            "unit_conflict": np.bincount(rows[~agree], minlength=self.n),
            "unit_rival": np.bincount(rows[rival], minlength=self.n),
            "number_found": number_found,
            "number_share": number_found / np.maximum(np.bincount(owner, minlength=self.n), 1),
        }

    def _identifiers(self) -> None:
        found = self.found
        conflict = np.zeros(self.n, np.int8)
        for source, worth in ((IdentifierKind.STATED, 1), (IdentifierKind.GTIN, 2)):
            both = np.isin(found.identifier, _NO_COLUMN)
            for readings, rows in (
                (self.readings, found.listing),
                (self.index.readings, found.record),
            ):
                having = readings.identifiers.rows[readings.sources == source]
                both &= (np.bincount(having, minlength=len(readings)) > 0)[rows]
            conflict[both] = worth
        self.columns["identifier_conflict"] = conflict

    def _fields(self) -> None:
        """Compare brands, prices and names."""
        from rapidfuzz import fuzz
        from rapidfuzz.process import cpdist

        found, mine, theirs = self.found, self.readings, self.index.readings
        listing, record = found.listing.tolist(), found.record.tolist()
        names = [mine.names[at] for at in listing], [theirs.names[at] for at in record]
        alike = cpdist(*names, scorer=fuzz.token_set_ratio, dtype=np.float32)
        self.columns["token_set"] = alike / np.float32(100.0)
        self.columns["brand_fit"] = self._brand_fit()
        one, two = mine.price[found.listing], theirs.price[found.record]
        known = (one > 0) & (two > 0) & np.isfinite(one) & np.isfinite(two)
        gap = np.abs(np.log(np.where(known, one, 1.0) / np.where(known, two, 1.0)))
        self.columns["price_gap"] = np.where(known, np.minimum(gap, _WIDEST_PRICE_GAP), -1.0)

    def _cues(self) -> None:
        mine, theirs = self.readings.cues, self.index.readings.cues
        told = mine[self.found.listing] & ~theirs[self.found.record]
        self.columns["not_sold"] = tells_not_sold(told)
        self.columns["behind_for"] = self._behind(told & _FOR != 0)
        for at, kind in enumerate(CUE_FEATURES):
            self.columns[f"cue_{kind}"] = told >> at & 1

    def _behind(self, aimed: Bools) -> Doubles:
        """Return by row the share of the shared weight that stands behind the listing's aim."""
        pairs = self.pairs
        kept = np.flatnonzero(pairs.hit & aimed[pairs.listing_row])
        row, at = pairs.listing_row[kept], pairs.listing_at[kept]
        weight, aims = self.weight[kept], self.readings.aims[self.found.listing[row]]
        behind = (aims >= 0) & (self.readings.starts[at] > aims)
        return self._sum(row, weight * behind) / np.maximum(self._sum(row, weight), 1e-6)

    def _brand_fit(self) -> NDArray[np.int8]:
        from rapidfuzz import fuzz

        found, mine, theirs = self.found, self.readings, self.index.readings
        fit = np.zeros(self.n, np.int8)
        wanted = theirs.brand[found.record]
        own = hash_membership(mine.atoms)
        fit[own(found.listing, short_hash(wanted)) & (wanted != 0)] = 1
        silent = theirs.brand[found.record] == 0
        brand = self.index.ids_of(mine.brand)[found.listing]
        fit[self.index.holds(found.record, brand) & silent] = 1
        both = (fit == 0) & ~silent & (mine.brand[found.listing] != 0)
        other: dict[tuple[str, str], bool] = {}
        for at in np.flatnonzero(both).tolist():
            pair = mine.brands[found.listing[at]], theirs.brands[found.record[at]]
            if pair not in other:
                other[pair] = fuzz.partial_ratio(*pair) < _OTHER_BRAND
            fit[at] = -other[pair]
        return fit

    def _descriptions(self) -> None:
        found, pairs = self.found, self.pairs
        zero = np.zeros(self.n)
        self.columns |= {"absent_in_text": zero, "foreign_in_text": zero, "text_cover": zero}
        if len(self.readings.text.values):
            absent = np.flatnonzero(~pairs.there)
            row = pairs.entry_row[absent]
            hashes = self.index.vocabulary[pairs.entry_ids[absent]]
            listing = found.listing[row]
            told = hash_membership(self.readings.text)(listing, short_hash(hashes))
            self.columns["absent_in_text"] = self._sum(row, self.entry_weight[absent] * told)
            self.columns["text_cover"] = self._text_cover()
        if len(self.index.readings.text.values):
            lost = np.flatnonzero(~pairs.hit)
            row = pairs.listing_row[lost]
            hashes = self.readings.tokens.values[pairs.listing_at[lost]]
            told = self.index.in_text(found.record[row], short_hash(hashes))
            self.columns["foreign_in_text"] = self._sum(row, self.foreign_weight[lost] * told)

    def _text_cover(self) -> Doubles:
        rows, hashes, weight = self.index.rare_words(self.readings.text, _RARE_WORDS, self.hidden)
        words = Ragged.of(rows, hashes, len(self.readings))
        row, at = words.spans(self.found.listing)
        record = self.found.record[row]
        told = self.index.in_text(record, short_hash(hashes[at]))
        told |= self.index.holds(record, self.index.ids_of(hashes)[at])
        own = weight.astype(np.float64)[at]
        return self._sum(row, own * told) / np.maximum(self._sum(row, own), 10.0)

    def _compare(self, out: Floats) -> None:
        columns = self.columns
        total = columns["cos_words"] + columns["cos_ngrams"] + columns["cover_entry"]
        total = (total + columns["cover_known"]).astype(np.float32)
        habit = columns["habit_kept"] - columns["habit_absent"] - columns["habit_foreign"]
        of = {**columns, "sum": total, "habit_sum": habit}
        values = np.stack([of[name] for name in _COMPARED], 1).astype(np.float32)
        out[:, [_COLUMN[f"gap_{name}"] for name in _COMPARED]] = self._gaps(values)
        for name, value in (
            ("rank_words", columns["cos_words"]),
            ("rank_ngrams", columns["cos_ngrams"]),
        ):
            out[:, _COLUMN[name]] = self._place(np.asarray(value, np.float32))
        out[:, _COLUMN["better"]] = self._greater(total)

    def _gaps(self, values: Floats) -> Floats:
        listing, offsets = self.found.listing, self.found.offsets
        starts = offsets[:-1][np.diff(offsets) > 0]
        group = np.searchsorted(starts, offsets[listing])
        first = np.maximum.reduceat(values, starts)[group]
        best = values == first
        below = np.maximum.reduceat(np.where(best, -np.inf, values), starts)[group]
        tied = np.add.reduceat(best.astype(np.int32), starts)[group] > 1
        second = np.where(tied, first, below)
        gap = values - np.where(best, second, first)
        return np.where((self.size == 1)[:, None], values, gap).astype(np.float32)

    def _place(self, value: Floats) -> Ints:
        listing = self.found.listing
        order = falling_order(listing, value)
        place = np.empty(self.n, np.int64)
        place[order] = np.arange(self.n) - self.found.offsets[listing[order]]
        return place

    def _greater(self, value: Floats) -> Ints:
        """Return how many candidates of the same listing have a greater value."""
        order = falling_order(self.found.listing, value)
        listing, ordered = self.found.listing[order], value[order]
        new = np.ones(self.n, bool)
        new[1:] = (listing[1:] != listing[:-1]) | (ordered[1:] != ordered[:-1])
        place = np.arange(self.n) - self.found.offsets[listing]
        out = np.empty(self.n, np.int64)
        out[order] = place[np.maximum.accumulate(np.where(new, np.arange(self.n), 0))]
        return out


def decided_scores(scores: Floats, found: Found) -> Floats:
    """Return a ranker's scores with what a unique identifier decides above all else.

    A GTIN or part number that only one product has is never outvoted by words: that product's
    score is raised above the greatest of its listing, by one and more.
    """
    scores = np.asarray(scores, np.float32)
    decided = found.identifier == _DECIDES
    if not decided.any():
        return scores
    starts = found.offsets[:-1][np.diff(found.offsets) > 0]
    group = np.searchsorted(starts, found.offsets[found.listing])
    most, least = (each.reduceat(scores, starts)[group] for each in (np.maximum, np.minimum))
    raised = most + np.float32(1.0) + scores - least
    return np.asarray(np.where(decided, raised, scores), np.float32)


def offer_features(features: Floats, scores: Floats, found: Found) -> Floats:
    """Return features of each listing's best candidate, shape (listings, features).

    :param features: as `candidate_features` has returned them; ``scores`` the ranker's, by row.
    """
    n = found.n_listings
    out = np.zeros((n, len(OFFER_FEATURES)), np.float32)
    some = np.flatnonzero(np.diff(found.offsets) > 0)
    if not len(some):
        return out
    score = np.asarray(scores, np.float32)
    order = falling_order(found.listing, score)
    begin = found.offsets[:-1][some]
    count = np.diff(found.offsets)[some]
    best = order[begin]
    after = order[np.minimum(begin + 1, len(order) - 1)]
    sums = np.bincount(found.listing, score.astype(np.float64), n)[some]
    out[some, : features.shape[1]] = features[best]
    own = features.shape[1]
    out[some, own] = score[best]
    out[some, own + 1] = np.where(count > 1, score[best] - score[after], _ALONE)
    out[some, own + 2] = score[best] - sums / count
    out[some, own + 3] = count
    return on_grid(out)


def _on_grid64(values: Doubles) -> Doubles:
    return on_grid(values).astype(np.float64)
