"""Reasons: a few words that tell a person why a listing was matched, held back or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rerank.features.candidates import CANDIDATE_FEATURES
from rerank.features.cues import CATEGORIES

if TYPE_CHECKING:
    from rerank.resolver import Evidence

_REFUSALS = {
    "box": "box only", "picture": "picture or print", "laptop": "whole laptop",
    "system": "whole computer", "rig": "mining rig", "wanted": "wanted, not offered",
    "service": "service or licence", "holder": "accessory", "cooling": "accessory",
    "connector": "accessory", "video_gear": "other video gear", "other_part": "other part",
    "storage": "other part", "cpu": "other part", "defect": "for parts",
}  # fmt: skip
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
    text = f"{' + '.join(agreeing)} agree" if agreeing else "similar text"
    if decision == "review" and refusal:
        against.append(refusal)
    return f"{text}; but {', '.join(against)}" if against else text


def _refusal(listing: int, evidence: Evidence) -> str:
    """Name the first cue in the title that tells it sells no card."""
    cues = evidence.cues
    rows = np.flatnonzero((cues.listing == listing) & ~cues.excused)
    for row in rows:
        category = CATEGORIES[cues.category[row]]
        if category in _REFUSALS:
            reading = evidence.candidates.readings[listing]
            return f"{_REFUSALS[category]}: {reading.runs[cues.at[row]].text}"
    return ""


def _agreements(row: np.ndarray) -> list[str]:
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


def _contradictions(row: np.ndarray) -> list[str]:
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
