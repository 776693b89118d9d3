"""Features of an offer, which say whether the best candidate is what this listing sells.

Besides the best candidate's own evidence: how far it leads, and which cues (accessory, box,
laptop, ...) stand before and after the place where it is named, and in the description.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rerank.index.records import distinct
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES, shortly_after
from rerank.packs.gpu.cues import CATEGORIES, DESCRIBED, CueHits, wished
from rerank.packs.gpu.lexicon import DOUBTS, Lexicon
from rerank.packs.gpu.name_evidence import NAME_FEATURES
from rerank.ranking import CandidateBatch, answer_order, model_scores

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_LEAD = ("score", "lead", "score_spread", "title_runs", "mention_share", "for_gap", "cue_words")
_NAMING = ("mention_wished", "others_named", "others_lined", "letters_behind", "bare", "support")
_CUE_COLUMNS = tuple(
    f"{category}_{where}" for category in CATEGORIES for where in ("before", "after", "excused")
)
_REFUSING = (
    "without for only empty box holder cooling connector picture wanted service laptop system cpu "
    "rig storage other_part video_gear defect spec no_card part_only wish card_word gpu_line"
).split()
_DESCRIBED_COLUMNS = tuple(f"{category}_described" for category in _REFUSING)
OFFER_FEATURES = (
    *CANDIDATE_FEATURES,
    *_LEAD,
    *DOUBTS,
    *_NAMING,
    *_CUE_COLUMNS,
    *_DESCRIBED_COLUMNS,
)
"""The best candidate's features (see `CANDIDATE_FEATURES`; all -1 without a candidate), then:

score          the ranker's score of the best model (-9 without one)
lead           score minus that of the best other model (9 if there is none)
score_spread   score minus the mean score of all candidates' models
title_runs     runs of letters and digits in the title
mention_share  place of the mention in the title, 0 start to 1 end (-1 if not named)
for_gap        runs between the last "for" before the mention and the mention (9 if none)
cue_words      share of the title's runs that are cues of cards, partners or product lines
cut_off ...    1 for each of `rerank.packs.gpu.lexicon.DOUBTS` that the title's reading has, else 0
mention_wished 1 if the mention stands where the listing says what it asks for
others_named   places besides the mention, at most 3, that name another model exactly, one of whose
               line words stands in the title; not those compared with or asked for
others_lined   of these, those with a line word of the model right before
letters_behind letters that touch the mention's end and are no suffix and no size, at most 3
bare           1 if no line, part number or word for cards or their lines supports the number
support        how many of these the title holds, 0 to 6: the model's line before the mention, a
               part number of the model, a card's line, a word for cards, a partner or its product
               line, memory
X_before       cues of category X before the mention, not excused, at most 3
X_after        the same after it
X_excused      cues of X that follow a "with" or "without", at most 3
X_described    cues of X in the description, not excused, at most 3
"""
OFFER_DIRECTIONS = dict.fromkeys((*DOUBTS, "mention_wished", "others_lined"), -1)
"""What can only speak against an offer, whatever the generated listings say by accident."""
_FAMILIAR_NAMES = ("card_word", "partner", "gpu_line", "product_line")
# By category; what descriptions hold does not count.
_FAMILIAR = np.array([name in _FAMILIAR_NAMES for name in CATEGORIES] + [False] * DESCRIBED)
_REFUSING_NUMBERS = [CATEGORIES.index(name) for name in _REFUSING]
_OF_OTHERS = "suffix_exact line_conflict prefix_fit mention_at line_shared".split()
_FAR = 9.0
_LONGEST_TITLE = 1000  # runs; titles are cut at 400 characters


def offer_features(
    batch: CandidateBatch, table: Lexicon, features: Floats, scores: Floats, cues: CueHits
) -> tuple[Floats, Ints, Ints]:
    """Return features, each listing's best row and the order of the rows.

    :returns: shape (listings, len(OFFER_FEATURES)); shape (listings,), -1 for a listing without
        candidates; shape (candidates,), as `answer_order` gives it.
    """
    of_model = model_scores(batch, scores)
    order = answer_order(batch, table, of_model)
    model = table.model_of_record[batch.record].astype(np.int64)
    listings = len(batch.offsets) - 1
    best, lead, spread = _leaders(batch, model, of_model, order)
    found = best >= 0
    out = np.full((listings, len(OFFER_FEATURES)), -1, np.float32)
    width = len(CANDIDATE_FEATURES)
    out[found, :width] = features[best[found]]
    at = np.where(found, out[:, NAME_FEATURES.index("mention_at")], -1)
    runs = batch.readings.run_counts.astype(np.float32)
    score = np.where(found, of_model[best] if len(scores) else 0.0, -_FAR)
    share = np.where(at >= 0, at / np.maximum(runs, 1), -1)
    familiar = _FAMILIAR[cues.category]
    known = np.bincount(cues.listing[familiar], minlength=listings)
    kinds = np.zeros((listings, len(CATEGORIES)), bool)
    in_title = cues.category < DESCRIBED
    kinds[cues.listing[in_title], cues.category[in_title]] = True
    lead_columns = [
        score,
        lead,
        spread,
        runs,
        share,
        _for_gap(cues, at, listings),
        known / np.maximum(runs, 1),
        *_doubts(batch),
        wished(cues, np.arange(listings), at),
        *_others(batch, table, model, best, at, cues),
        _letters_behind(batch, at),
        *_support(out, kinds),
    ]
    for place, column in enumerate(lead_columns, width):
        out[:, place] = column
    _count_cues(cues, at, out[:, width + len(lead_columns) :])
    return np.asarray(np.round(out * 1024) / 1024, np.float32), best, order


def _leaders(
    batch: CandidateBatch, model: Ints, scores: Floats, order: Ints
) -> tuple[Ints, Floats, Floats]:
    """Return the best row of each listing, its lead over other models and over the mean."""
    listings = len(batch.offsets) - 1
    counts = batch.offsets[1:] - batch.offsets[:-1]
    filled = counts > 0
    starts = batch.offsets[:-1][filled]
    best = np.full(listings, -1, np.int64)
    lead = np.full(listings, _FAR, np.float32)
    spread = np.zeros(listings, np.float32)
    if not len(starts):
        return best, lead, spread
    best[filled] = order[starts]
    top = scores[best[filled]]
    rival = model != model[best[filled]].repeat(counts[filled])
    others = np.maximum.reduceat(np.where(rival, scores, -np.inf), starts)
    lead[filled] = np.minimum(_FAR, top - others)
    spread[filled] = top - np.add.reduceat(scores, starts) / counts[filled]
    return best, lead, spread


def _for_gap(cues: CueHits, at: Floats, listings: int) -> Floats:
    gap = np.full(listings, _FAR, np.float32)
    rows = (cues.category == CATEGORIES.index("for")).nonzero()[0]
    if not len(rows):
        return gap
    distance = at[cues.listing[rows]] - cues.at[rows]
    before = distance > 0
    np.minimum.at(gap, cues.listing[rows][before], distance[before].astype(np.float32))
    return gap


def _doubts(batch: CandidateBatch) -> list[Ints]:
    masks = batch.readings.doubts
    return [(masks >> bit) & 1 for bit in range(len(DOUBTS))]


def _others(
    batch: CandidateBatch, table: Lexicon, model: Ints, best: Ints, at: Floats, cues: CueHits
) -> list[Ints]:
    """Return how many places name other models than the best: with their line anywhere, before."""
    names, listings = batch.names, len(best)
    column = {name: names.values[:, NAME_FEATURES.index(name)] for name in _OF_OTHERS}
    own = np.where(best >= 0, model[best] if len(model) else -1, -1)
    line_said = ((table.before_mask[names.model] & names.words[names.listing]) != 0).any(axis=1)
    place = column["mention_at"]
    exact = (column["suffix_exact"] == 1) & (column["line_conflict"] == 0) & line_said
    exact &= (column["prefix_fit"] >= 0) & (names.model != own[names.listing])
    exact &= (place != at[names.listing]) & (best[names.listing] >= 0)
    rows = exact.nonzero()[0]
    if not len(rows):
        return [np.zeros(listings, np.int64)] * 2
    listing, place = names.listing[rows], place[rows]
    apart = shortly_after(cues, "than", listing, place) == 0
    apart &= ~wished(cues, listing, place)
    rows = rows[apart]
    lined = rows[column["line_shared"][rows] > 0]
    return [
        _places(names.listing[kept], column["mention_at"][kept], listings) for kept in (rows, lined)
    ]


def _places(listing: Ints, at: Floats, listings: int) -> Ints:
    """Count the distinct runs of each listing, at most 3."""
    keys = distinct(listing * _LONGEST_TITLE + at.astype(np.int64))
    return np.minimum(np.bincount(keys // _LONGEST_TITLE, minlength=listings), 3)


def _letters_behind(batch: CandidateBatch, at: Floats) -> Ints:
    found = np.zeros(len(at), np.int64)
    named = (at >= 0).nonzero()[0]
    found[named] = batch.readings.letters_behind(named, at[named].astype(np.int64))
    return found


def _support(out: Floats, kinds: NDArray[np.bool_]) -> list[Ints]:
    """Return whether nothing but a number names the model, and how much besides speaks of cards.

    :param kinds: shape (listings, categories), the cues each title holds.
    """
    column = CANDIDATE_FEATURES.index
    lined, coded = out[:, column("line_shared")] > 0, out[:, column("code_length")] > 0
    holds = [kinds[:, CATEGORIES.index(name)] for name in _FAMILIAR_NAMES]
    card_word, partner, gpu_line, product_line = holds
    sized = (out[:, column("memory_fit")] > 0) | (out[:, column("memory_type_fit")] > 0)
    kept = [lined, coded, gpu_line, card_word, partner | product_line, sized]
    bare = ~(lined | coded | gpu_line | card_word)
    return [bare.astype(np.int64), np.sum(kept, axis=0)]


def _count_cues(cues: CueHits, at: Floats, out: Floats) -> None:
    """Write the columns of cues in titles, then those in descriptions.

    :param out: shape (listings, columns).
    """
    out[:] = 0
    titled = cues.category < DESCRIBED
    listing, category = cues.listing[titled], cues.category[titled]
    mention = np.where(at >= 0, at, 10_000)[listing]
    where = np.where(cues.excused[titled], 2, np.where(cues.at[titled] < mention, 0, 1))
    np.add.at(out, (listing, category * 3 + where), 1)
    rows = (~titled & ~cues.excused).nonzero()[0]
    if len(rows):
        described = np.zeros((len(out), len(CATEGORIES)), np.float32)
        np.add.at(described, (cues.listing[rows], cues.category[rows] - DESCRIBED), 1)
        out[:, len(_CUE_COLUMNS) :] = described[:, _REFUSING_NUMBERS]
    np.minimum(out, 3, out=out)
