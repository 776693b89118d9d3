"""Features of an offer, which say whether the best candidate is what this listing sells.

Besides the best candidate's own evidence: how far it leads, and which cues (accessory, box,
laptop, ...) stand before and after the place where it is named.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rerank.features.candidates import CANDIDATE_FEATURES
from rerank.features.cues import CATEGORIES, CueHits
from rerank.index.name_evidence import NAME_FEATURES, CandidateBatch
from rerank.ranking import ModelTable, answer_order, model_scores

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_LEAD = ("score", "lead", "score_spread", "title_runs", "mention_share", "for_gap", "cue_words")
_CUE_COLUMNS = tuple(
    f"{category}_{where}" for category in CATEGORIES for where in ("before", "after", "excused")
)
OFFER_FEATURES = (*CANDIDATE_FEATURES, *_LEAD, *_CUE_COLUMNS)
"""The best candidate's features (see `CANDIDATE_FEATURES`; all -1 without a candidate), then:

score          the ranker's score of the best model (-9 without one)
lead           score minus that of the best other model (9 if there is none)
score_spread   score minus the mean score of all candidates' models
title_runs     runs of letters and digits in the title
mention_share  place of the mention in the title, 0 start to 1 end (-1 if not named)
for_gap        runs between the last "for" before the mention and the mention (9 if none)
cue_words      share of the title's runs that are cues of cards, partners or product lines
X_before       cues of category X before the mention, not excused, at most 3
X_after        the same after it
X_excused      cues of X that follow a "with" or "without", at most 3
"""
_FAMILIAR_NAMES = ("card_word", "partner", "gpu_line", "product_line")
_FAMILIAR = [CATEGORIES.index(name) for name in _FAMILIAR_NAMES]
_FAR = 9.0


def offer_features(
    batch: CandidateBatch, table: ModelTable, features: Floats, scores: Floats, cues: CueHits
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
    runs = np.array([len(reading.runs) for reading in batch.readings], np.float32)
    score = np.where(found, of_model[best] if len(scores) else 0.0, -_FAR)
    share = np.where(at >= 0, at / np.maximum(runs, 1), -1)
    familiar = np.isin(cues.category, _FAMILIAR)
    known = np.bincount(cues.listing[familiar], minlength=listings)
    lead_columns = [
        score,
        lead,
        spread,
        runs,
        share,
        _for_gap(cues, at, listings),
        known / np.maximum(runs, 1),
    ]
    out[:, width : width + len(_LEAD)] = np.column_stack(lead_columns)
    out[:, width + len(_LEAD) :] = _cue_counts(cues, at, listings)
    return np.asarray(np.round(out * 1024) / 1024, np.float32), best, order


def _leaders(
    batch: CandidateBatch, model: Ints, scores: Floats, order: Ints
) -> tuple[Ints, Floats, Floats]:
    """Return the best row of each listing, its lead over other models and over the mean."""
    listings = len(batch.offsets) - 1
    counts = np.diff(batch.offsets)
    filled = counts > 0
    starts = batch.offsets[:-1][filled]
    best = np.full(listings, -1, np.int64)
    lead = np.full(listings, _FAR, np.float32)
    spread = np.zeros(listings, np.float32)
    if not len(starts):
        return best, lead, spread
    best[filled] = order[starts]
    top = scores[best[filled]]
    rival = model != np.repeat(model[best[filled]], counts[filled])
    others = np.maximum.reduceat(np.where(rival, scores, -np.inf), starts)
    lead[filled] = np.minimum(_FAR, top - others)
    spread[filled] = top - np.add.reduceat(scores, starts) / counts[filled]
    return best, lead, spread


def _for_gap(cues: CueHits, at: Floats, listings: int) -> Floats:
    gap = np.full(listings, _FAR, np.float32)
    rows = cues.category == CATEGORIES.index("for")
    distance = at[cues.listing[rows]] - cues.at[rows]
    before = distance > 0
    np.minimum.at(gap, cues.listing[rows][before], distance[before].astype(np.float32))
    return gap


def _cue_counts(cues: CueHits, at: Floats, listings: int) -> Floats:
    mention = np.where(at >= 0, at, 10_000)[cues.listing]
    where = np.where(cues.excused, 2, np.where(cues.at < mention, 0, 1))
    counts = np.zeros((listings, len(_CUE_COLUMNS)), np.float32)
    np.add.at(counts, (cues.listing, cues.category * 3 + where), 1)
    return np.minimum(counts, 3)
