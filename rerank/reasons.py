"""Reasons: a few words that tell a person why a listing was matched, held back or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rerank.features.candidates import CANDIDATE_FEATURES
from rerank.features.cues import CATEGORIES
from rerank.resolution import DECISIONS, Decision

if TYPE_CHECKING:
    from rerank.ranking import Evidence


Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

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
}
_KINDS_OF_CARD = ("laptop", "system", "rig")  # "workstation card", "laptop GPU"
_REFUSAL_NUMBERS = [CATEGORIES.index(name) for name in _REFUSALS]
_KIND_NUMBERS = [CATEGORIES.index(name) for name in _KINDS_OF_CARD]
_CARD_WORD = CATEGORIES.index("card_word")
_LONGEST_TITLE = 1000  # runs; titles are cut at 400 characters
_COLUMN = {name: at for at, name in enumerate(CANDIDATE_FEATURES)}
_AGREEING = ("part number", "model number", "memory", "form factor")
_AGAINST = (
    "another memory size is stated",
    "a suffix of the name is missing",
    "an extra suffix is stated",
    "another chip vendor is named",
)
_MATCH, _NO_MATCH = DECISIONS.index(Decision.MATCH), DECISIONS.index(Decision.NO_MATCH)


def reasons_of(evidence: Evidence, decisions: Ints) -> list[str]:
    """Return the reason for each listing of a batch.

    :param decisions: shape (listings,), numbers in `DECISIONS`.
    """
    found = evidence.best >= 0
    best = np.zeros((len(found), len(CANDIDATE_FEATURES)), np.float32)
    best[found] = evidence.features[evidence.best[found]]
    refusals = _refusals(evidence, np.flatnonzero(found & (decisions != _MATCH)))
    signs = _signs(best).tolist()
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
            text, joint = _SIGNS_IN_WORDS[signs[at]]
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
    rows = np.flatnonzero(wanted[cues.listing] & ~cues.excused)
    listing, start, category = cues.listing[rows], cues.at[rows], cues.category[rows]
    end = start + cues.length[rows]
    card = category == _CARD_WORD
    first_card = np.full(len(evidence.best), _LONGEST_TITLE)
    np.minimum.at(first_card, listing[card], start[card])
    before_card = np.isin(
        listing * _LONGEST_TITLE + end, listing[card] * _LONGEST_TITLE + start[card]
    )
    refuses = np.isin(category, _REFUSAL_NUMBERS)
    refuses &= ~(np.isin(category, _KIND_NUMBERS) & before_card)
    order = np.lexsort((start, start > first_card[listing], listing))
    order = order[refuses[order]]
    first = order[np.unique(listing[order], return_index=True)[1]]
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
    reading = evidence.candidates.readings[at]
    words = reading.text[reading.runs[start].start : reading.runs[end - 1].end]
    label = _REFUSALS[category]
    return label if words == label else f"{label}: {words}"


def _signs(rows: Floats) -> Ints:
    """Return what speaks for and against each row as bits: `_AGREEING`, then `_AGAINST`."""
    column = {name: rows[:, at] for name, at in _COLUMN.items()}
    signs = [
        column["code_length"] > 0,
        (column["named"] > 0) & (column["suffix_exact"] > 0),
        column["memory_fit"] > 0,
        column["form_fit"] > 0,
        column["memory_fit"] < 0,
        column["suffix_missing"] > 0,
        column["suffix_extra"] > 0,
        column["vendor_fit"] < 0,
    ]
    return np.asarray(np.column_stack(signs) @ (1 << np.arange(len(signs))), np.int64)


def _signs_in_words(signs: int) -> tuple[str, str]:
    """Return the reason some signs make, and what joins a refusal to it."""
    said = [(words, bool(signs >> at & 1)) for at, words in enumerate((*_AGREEING, *_AGAINST))]
    agreeing = [words for words, stands in said[: len(_AGREEING)] if stands]
    against = [words for words, stands in said[len(_AGREEING) :] if stands]
    verb = "agrees" if len(agreeing) == 1 else "agree"
    text = f"{' + '.join(agreeing)} {verb}" if agreeing else "similar text"
    return (f"{text}; but {', '.join(against)}", ", ") if against else (text, "; but ")


_SIGNS_IN_WORDS = tuple(_signs_in_words(signs) for signs in range(256))
