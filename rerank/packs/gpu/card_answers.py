"""Answers about cards: what a title is decided to sell, why, and in which columns that is told."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rerank.answers import Verdicts
from rerank.index.records import changes
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.cues import CATEGORIES, DESCRIBED
from rerank.packs.gpu.lexicon import DOUBTS, Lexicon
from rerank.packs.gpu.offers import OFFER_FEATURES
from rerank.ranking import Evidence
from rerank.resolution import DECISIONS, Decision, Thresholds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MATCH, _REVIEW, _NO_MATCH = map(
    DECISIONS.index, (Decision.MATCH, Decision.REVIEW, Decision.NO_MATCH)
)


def verdicts_of(
    evidence: Evidence, probability: Floats, thresholds: Thresholds, table: Lexicon
) -> Verdicts:
    """Decide which listings sell a card, and say why.

    :param probability: shape (listings,), that the best candidate's model is sold.
    """
    best = best_features(evidence)
    sure, decision = decided(evidence, best, probability, thresholds, table)
    reason = reasons_of(evidence, best, decision, _in_sizes(evidence, table))
    for at in ((evidence.best >= 0) & ~_of_best(evidence, table.sold_apart)).nonzero()[0].tolist():
        reason[at] = _INTEGRATED
    for at in (_of_best(evidence, table.held) & (decision == _REVIEW)).nonzero()[0].tolist():
        reason[at] = f"display card, a person decides: {reason[at]}"
    return Verdicts(sure, decision, reason, best[:, _COLUMN["memory_fit"]] > 0)


def decided(
    evidence: Evidence,
    best: NDArray[np.float32],
    probability: Floats,
    thresholds: Thresholds,
    table: Lexicon,
) -> tuple[Floats, Ints]:
    """Return `match_probability` and the decision's number in `DECISIONS`, both (listings,).

    What makes a title's name doubtful holds it for review, however probable; so does a number that
    nothing else in the title makes a card's, and a model that the registry holds for a person.

    :param best: as `best_features` gives them.
    :param probability: shape (listings,), that the best candidate's model is sold.
    """
    apart = _of_best(evidence, table.sold_apart)
    sure = np.where(apart, probability, 0.0)
    decision = np.where(sure >= thresholds.match, _MATCH, _REVIEW)
    doubtful = (_doubts(evidence) > 0) | _only_a_number(evidence, best)
    decision[doubtful | _of_best(evidence, table.held)] = _REVIEW
    decision[~apart | (sure < thresholds.review)] = _NO_MATCH
    return sure, decision


def _of_best(evidence: Evidence, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return each listing's best candidate's flag, shape (listings,); False without one.

    :param flags: shape (records,).
    """
    found = evidence.best >= 0
    own = np.zeros(len(found), np.bool_)
    own[found] = flags[evidence.candidates.record[evidence.best[found]]]
    return own


def best_features(evidence: Evidence) -> NDArray[np.float32]:
    """Return each listing's best candidate's features, shape (listings, features); 0 without."""
    best = np.zeros((len(evidence.best), len(CANDIDATE_FEATURES)), np.float32)
    found = evidence.best >= 0
    best[found] = evidence.features.take(evidence.best[found], axis=0)
    return best


def _doubts(evidence: Evidence) -> Ints:
    """Return what makes each title's name doubtful, masks over `DOUBTS`, shape (listings,)."""
    return np.asarray(evidence.candidates.readings.doubts, np.int64)


def _only_a_number(evidence: Evidence, best: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which titles hold nothing of a card but a model's number, shape (listings,)."""
    formed = (best[:, _COLUMN["form_fit"]] > 0) & (best[:, _COLUMN["special_form"]] > 0)  # SXM4
    bare = (evidence.offers[:, _SUPPORT] == 0) & (best[:, _COLUMN["words_shared"]] <= 0) & ~formed
    return np.asarray((evidence.best >= 0) & bare, np.bool_)


def _in_sizes(evidence: Evidence, table: Lexicon) -> NDArray[np.bool_]:
    """Return whether there are several memory sizes of each listing's best model, (listings,)."""
    found = evidence.best >= 0
    several = np.zeros(len(found), np.bool_)
    model = table.model_of_record[evidence.candidates.record[evidence.best[found]]]
    several[found] = table.in_sizes[model]
    return several


_REFUSALS = {
    "box": "box only",
    "picture": "picture or print",
    "laptop": "whole laptop",
    "system": "whole computer",
    "rig": "mining rig",
    "wanted": "wanted, not offered",
    "service": "service or licence",
    "holder": "accessory",
    "cooling": "accessory",
    "connector": "accessory",
    "video_gear": "other video gear",
    "other_part": "other part",
    "storage": "other part",
    "cpu": "other part",
    "defect": "for parts",
    "no_card": "no card included",
    "part_only": "accessory",
    "spec": "whole computer",
    "goods": "other part",
}
_INTEGRATED = "integrated graphics, not sold apart"
REFUSALS = (*dict.fromkeys(_REFUSALS.values()), _INTEGRATED)
"""How reasons begin of what sells no card of any name."""
SYSTEM_KINDS = ("laptop", "system", "rig")
"""Computers; before a word for a card they are kinds of it: "workstation card", "laptop GPU"."""
# "PC-10600", "PC3 12800": a memory module by what it carries, not a computer. "PC 3080" is none.
_PC = re.compile(r"(?<![a-z0-9])pc(?P<module>(?:[2-5]l?[- ]?|-)[0-9]{4,5}(?![0-9]))?")
# By category, twice: of titles, and of descriptions, where they refuse otherwise.
_REFUSES = np.array([name in _REFUSALS for name in CATEGORIES] + [False] * DESCRIBED)
_KINDS = np.array([name in SYSTEM_KINDS for name in CATEGORIES] + [False] * DESCRIBED)
_CARD_WORD = CATEGORIES.index("card_word")
_SUPPORT = OFFER_FEATURES.index("support")
_OTHERS, _WISHED = OFFER_FEATURES.index("others_lined"), OFFER_FEATURES.index("mention_wished")
_LONGEST_TITLE = 1000  # runs; titles are cut at 400 characters
_COLUMN = {name: at for at, name in enumerate(CANDIDATE_FEATURES)}
_TELLING = (
    "code_length named suffix_exact memory_fit form_fit suffix_missing suffix_extra vendor_fit"
).split()
_AGREEING = ("part number", "model number", "memory", "form factor")
_AGAINST = (
    "another memory size is stated",
    "a suffix of the name is missing",
    "an extra suffix is stated",
    "another chip vendor is named",
)
_DOUBTS = {
    "cut_off": "the title is cut off",
    "unknown_suffix": "no such model has this suffix",
    "unknown_size": "no such model has this memory size",
    "code_conflict": "the part number is another model's",
}
_UNSAID = "memory not stated"
_SIGNS = (*_AGREEING, _UNSAID, *_AGAINST, *(_DOUBTS[name] for name in DOUBTS))


def reasons_of(
    evidence: Evidence,
    best: NDArray[np.float32],
    decisions: Ints,
    in_sizes: NDArray[np.bool_],
) -> list[str]:
    """Return the reason for each listing of a batch.

    :param best: as `best_features` gives them.
    :param decisions: shape (listings,), numbers in `DECISIONS`.
    :param in_sizes: shape (listings,), whether there are several memory sizes of its best model.
    """
    found = evidence.best >= 0
    listings = (found & (decisions != _MATCH)).nonzero()[0]
    refusals = {}
    if len(listings):
        refusals = _other_refusals(evidence, best, listings) | _refusals(evidence, listings)
    signs = _signs(best, _doubts(evidence), in_sizes).tolist()
    named = (best[:, _COLUMN["named"]] >= 1).tolist()
    reasons = []
    for at, (decision, has_candidate) in enumerate(
        zip(decisions.tolist(), found.tolist(), strict=True)
    ):
        if not has_candidate:
            reasons.append("no candidate")
        elif decision == _NO_MATCH:
            weak = "weak evidence" if named[at] else "names no GPU of the registry"
            reasons.append(refusals.get(at, weak))
        else:
            text, joint = _signs_in_words(signs[at])
            reasons.append(f"{text}{joint}{refusals[at]}" if at in refusals else text)
    return reasons


def _refusals(evidence: Evidence, listings: Ints) -> dict[int, str]:
    """Name the first cue that tells a title sells no card, for those listings that have one.

    Cues before any word for a card come first: what stands behind one is often a part of the
    card.
    """
    cues = evidence.cues
    wanted = np.zeros(len(evidence.best), bool)
    wanted[listings] = True
    rows = (wanted[cues.listing] & ~cues.excused).nonzero()[0]
    if not len(rows):
        return {}
    listing, start, category = cues.listing[rows], cues.at[rows], cues.category[rows]
    end = start + cues.length[rows]
    card = category == _CARD_WORD
    first_card = np.full(len(evidence.best), _LONGEST_TITLE)
    np.minimum.at(first_card, listing[card], start[card])
    refuses = _REFUSES[category]
    if card.any():
        before_card = np.isin(
            listing * _LONGEST_TITLE + end, listing[card] * _LONGEST_TITLE + start[card]
        )
        refuses &= ~(_KINDS[category] & before_card)
    order = np.lexsort((start, start > first_card[listing], listing))
    order = order[refuses[order]]
    first = order[changes(listing[order])]
    return {
        at: _refusal_in_words(evidence, at, begin, stop, CATEGORIES[number])
        for at, begin, stop, number in zip(
            listing[first].tolist(),
            start[first].tolist(),
            end[first].tolist(),
            category[first].tolist(),
            strict=True,
        )
    }


def _refusal_in_words(evidence: Evidence, at: int, start: int, end: int, category: str) -> str:
    readings = evidence.candidates.readings
    words, label = readings.words_of(at, start, end), _REFUSALS[category]
    if words == "pc" and (found := _PC.search(readings.titles[at].title)) and found["module"]:
        return f"{_REFUSALS['other_part']}: {found.group()}"
    if category == "picture" and words.startswith("3"):  # "3d-printed"
        label = "accessory or dummy"
    return label if words == label else f"{label}: {words}"


def _other_refusals(
    evidence: Evidence, best: NDArray[np.float32], listings: Ints
) -> dict[int, str]:
    """Say what no single word of the title says, of those listings of which it is true."""
    offers, cues = evidence.offers[listings], evidence.cues
    named = evidence.features[evidence.best[listings], _COLUMN["named"]] > 0
    signs = [
        (_only_a_number(evidence, best)[listings] & named, "a number alone"),
        (offers[:, _OTHERS] > 0, "several different cards"),
        (offers[:, _WISHED] > 0, "wanted, not offered"),
    ]
    said = {at: words for holds, words in signs for at in listings[holds].tolist()}
    rows = ((cues.category >= DESCRIBED) & ~cues.excused).nonzero()[0]
    if not len(rows):
        return said
    wanted = np.zeros(len(evidence.best), np.bool_)
    wanted[listings] = True
    rows = rows[_REFUSES[cues.category[rows] - DESCRIBED] & wanted[cues.listing[rows]]].tolist()
    for name, label in _REFUSALS.items():  # the plainest first
        category = CATEGORIES.index(name) + DESCRIBED
        for at in (int(cues.listing[row]) for row in rows if cues.category[row] == category):
            said.setdefault(at, f"{label}, by the description")
    return said


def _signs(rows: NDArray[np.float32], doubts: Ints, in_sizes: NDArray[np.bool_]) -> Ints:
    """Return what speaks for and against each row as bits: those of `_SIGNS`."""
    column = {name: rows[:, _COLUMN[name]] for name in _TELLING}
    no_such_size = doubts >> DOUBTS.index("unknown_size") & 1 == 1
    signs = [
        column["code_length"] > 0,
        (column["named"] > 0) & (column["suffix_exact"] > 0),
        column["memory_fit"] > 0,
        column["form_fit"] > 0,
        (column["memory_fit"] == 0) & in_sizes & ~no_such_size,
        (column["memory_fit"] < 0) & ~no_such_size,
        column["suffix_missing"] > 0,
        column["suffix_extra"] > 0,
        column["vendor_fit"] < 0,
    ]
    said = (1 << np.arange(len(signs))) @ np.array(signs)
    return np.asarray(said | doubts << len(signs), np.int64)


@cache
def _signs_in_words(signs: int) -> tuple[str, str]:
    """Return the reason some signs make, and what joins a refusal to it."""
    said = [words for at, words in enumerate(_SIGNS) if signs >> at & 1]
    agreeing = [words for words in said if words in _AGREEING]
    against = [words for words in said if words not in (*_AGREEING, _UNSAID)]
    verb = "agrees" if len(agreeing) == 1 else "agree"
    text = f"{' + '.join(agreeing)} {verb}" if agreeing else "similar text"
    text += f", {_UNSAID}" if _UNSAID in said else ""
    return (f"{text}; but {', '.join(against)}", ", ") if against else (text, "; but ")
