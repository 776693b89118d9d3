"""What sets the candidates of a listing apart: the evidence shown to the person who decides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from index.lexicon import Code, Lexicon, Reading
from index.records import DEFAULT_FORM_FACTOR
from index.text import normalise, runs
from rerank.resolver import ScoredCandidate

# Two sizes are the same memory within this share: 11 GB is sold as 11.0 and as 11,264 MB.
_SAME_MEMORY = 0.02
_NUMBER_AND_LETTERS = re.compile(r"\b(\d{3,})([A-Za-z]+)\b")
_LEFT_OUT = frozenset(["GeForce", "Radeon"])  # sellers leave them out: that is no evidence
_FORM_WORDS = {
    "mobile": ("mobile", "laptop", "notebook"),
    "Max-Q": ("max", "maxq"),
    "server": ("server", "passive"),
}


@dataclass(frozen=True, slots=True)
class Contrast:
    """What speaks for and against one candidate, without what all candidates share.

    :param said: words of its name that the title holds and some sibling's name lacks.
    :param unsaid: words of its name that the title lacks and some sibling's name lacks.
    :param unexplained: words of siblings' names that the title holds and its own name lacks.
    :param code: the part number or alias in the title that names its model; then nothing is unsaid.
    :param memory: how its memory compares with the title's; empty where that tells nothing.
    :param form: how its form factor compares with the title's; empty for the ordinary PCIe card,
        and where all candidates have the same.
    """

    said: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    unexplained: tuple[str, ...] = ()
    code: str = ""
    memory: str = ""
    form: str = ""


def contrasts(
    candidates: Sequence[ScoredCandidate], title: str, lexicon: Lexicon
) -> list[Contrast]:
    """Return what sets each candidate of a title apart from the others, in their order."""
    reading = lexicon.read(title)
    names = [_words(candidate.model) for candidate in candidates]
    shared = set[str](names[0]).intersection(*names) if names else set()
    told = dict.fromkeys(word for name in names for word in name if word not in shared)
    in_title = [word for word in told if _says(reading, lexicon.affixes, word)]
    named = {lexicon.models[code.model]: _text(reading, code) for code in reading.codes}
    found = []
    for candidate, name in zip(candidates, names, strict=True):
        own = [word for word in name if word in told]
        unsaid = [word for word in own if word not in in_title and word not in _LEFT_OUT]
        code = named.get(candidate.model, "")
        found.append(
            Contrast(
                said=tuple(word for word in own if word in in_title),
                unsaid=() if code else tuple(unsaid),
                unexplained=tuple(word for word in in_title if word not in own),
                code=code if any(other.model not in named for other in candidates) else "",
                memory=_memory(candidate, candidates, reading.memory_gb),
                form=_form(candidate, candidates, reading),
            )
        )
    return found


def _text(reading: Reading, code: Code) -> str:
    return reading.text[reading.runs[code.at].start : reading.runs[code.end - 1].end]


def _words(model: str) -> list[str]:
    """Return a name's words; a letter behind a number is one of its own (6600M: 6600 and M)."""
    return _NUMBER_AND_LETTERS.sub(r"\1 \2", model).split()


def _says(reading: Reading, affixes: Mapping[str, int], word: str) -> bool:
    """Say whether a title holds a word of a name, also in a seller's spelling (4080S: SUPER)."""
    wanted = [run.text for run in runs(normalise(word))]
    held = [run.text for run in reading.runs]
    size = len(wanted)
    if any(held[at : at + size] == wanted for at in range(len(held) - size + 1)):
        return True
    bit = affixes.get(word.lower())
    return bit is not None and any(
        (mention.before | mention.after) >> bit & 1 for mention in reading.mentions
    )


def _memory(
    candidate: ScoredCandidate, siblings: Sequence[ScoredCandidate], stated: Sequence[float]
) -> str:
    if not stated:
        sizes = {sibling.memory_gb for sibling in siblings if sibling.model == candidate.model}
        return "memory unsaid" if len(sizes) > 1 else ""
    if any(_same(candidate.memory_gb, size) for size in stated):
        alike = all(_same(candidate.memory_gb, sibling.memory_gb) for sibling in siblings)
        return "" if alike else "memory as stated"
    return f"title states {' and '.join(f'{size:g}' for size in stated)} GB"


def _same(one_gb: float, other_gb: float) -> bool:
    return abs(one_gb - other_gb) < _SAME_MEMORY * max(one_gb, other_gb)


def _form(candidate: ScoredCandidate, siblings: Sequence[ScoredCandidate], reading: Reading) -> str:
    form = candidate.form_factor
    if form == DEFAULT_FORM_FACTOR or all(other.form_factor == form for other in siblings):
        return ""
    words = _FORM_WORDS.get(form, ())
    said = any(run.text in words for run in reading.runs) or form.lower() in reading.text
    return f"{form} as stated" if said else f"{form} unsaid"
