"""Reasons: a few words that tell a person why a listing was matched, held back or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rerank.features.candidates import CANDIDATE_FEATURES
from rerank.features.cues import CATEGORIES

if TYPE_CHECKING:
    from rerank.resolver import Evidence

Floats = NDArray[np.float32]

_REFUSALS = {
    "box": "box only", "picture": "picture or print", "laptop": "whole laptop",
    "system": "whole computer", "rig": "mining rig", "wanted": "wanted, not offered",
    "service": "service or licence", "holder": "accessory", "cooling": "accessory",
    "connector": "accessory", "video_gear": "other video gear", "other_part": "other part",
    "storage": "other part", "cpu": "other part", "defect": "for parts",
}  # fmt: skip
_KINDS_OF_CARD = frozenset(["laptop", "system", "rig"])  # "workstation card", "laptop GPU"
_COLUMN = {name: at for at, name in enumerate(CANDIDATE_FEATURES)}


def reason_of(listing: int, evidence: Evidence, decision: str) -> str:
    """Return the reason for one listing of a batch."""
    best = int(evidence.best[listing])
    if best < 0:
        return "no candidate"
    row = evidence.features[best]
    refusal = _refusal(listing, evidence)
    if decision == "no_match":
        if refusal:
            return refusal
        return "names no GPU of the registry" if row[_COLUMN["named"]] < 1 else "weak evidence"
    agreeing, against = _agreements(row), _contradictions(row)
    verb = "agrees" if len(agreeing) == 1 else "agree"
    text = f"{' + '.join(agreeing)} {verb}" if agreeing else "similar text"
    if decision == "review" and refusal:
        against.append(refusal)
    return f"{text}; but {', '.join(against)}" if against else text


def _refusal(listing: int, evidence: Evidence) -> str:
    """Name the first cue that tells the title sells no card.

    Cues before any word for a card come first: what stands behind one is often a part of the
    card.
    """
    cues = evidence.cues
    rows = np.flatnonzero((cues.listing == listing) & ~cues.excused)
    names = [CATEGORIES[number] for number in cues.category[rows].tolist()]
    starts = cues.at[rows].tolist()
    ends = (cues.at + cues.length)[rows].tolist()
    cards = [start for name, start in zip(names, starts, strict=True) if name == "card_word"]
    found = [
        (start > min(cards, default=start), start, end, name)
        for name, start, end in zip(names, starts, ends, strict=True)
        if name in _REFUSALS and not (name in _KINDS_OF_CARD and end in cards)
    ]
    if not found:
        return ""
    _, start, end, name = min(found, key=lambda cue: cue[:2])
    reading = evidence.candidates.readings[listing]
    words = reading.text[reading.runs[start].start : reading.runs[end - 1].end]
    label = _REFUSALS[name]
    return label if words == label else f"{label}: {words}"


def _agreements(row: Floats) -> list[str]:
    found = []
    if row[_COLUMN["code_length"]] > 0:
        found.append("part number")
    if row[_COLUMN["named"]] > 0 and row[_COLUMN["suffix_exact"]] > 0:
        found.append("model number")
    if row[_COLUMN["memory_fit"]] > 0:
        found.append("memory")
    if row[_COLUMN["form_fit"]] > 0:
        found.append("form factor")
    return found


def _contradictions(row: Floats) -> list[str]:
    found = []
    if row[_COLUMN["memory_fit"]] < 0:
        found.append("another memory size is stated")
    if row[_COLUMN["suffix_missing"]] > 0:
        found.append("a suffix of the name is missing")
    if row[_COLUMN["suffix_extra"]] > 0:
        found.append("an extra suffix is stated")
    if row[_COLUMN["vendor_fit"]] < 0:
        found.append("another chip vendor is named")
    return found
