"""Accidents of titles: typos, cases, entities, truncation. Digits are never touched."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from rerank.bootstrap.dice import Dice
from rerank.bootstrap.template import tidy

MISSPELLED = {
    "geforce": ("Gefore", "GeFofce", "Ge Force", "GForce", "GEFORE", "Geforse", "GeoForce"),
    "radeon": ("Raedon", "Radeo", "RADEON�", "Radean", "Raden"),
    "nvidia": ("Nvida", "Nividia", "NVDIA", "Nvidea", "nVida", "NIVIDIA"),
    "gigabyte": ("Gigabite", "Gygabyte", "gigabtye", "gygabite", "GIGABTE"),
    "sapphire": ("Saphire", "Sapphir", "Sappfire"),
    "graphics": ("Grapics", "Graphc", "Grafics", "Graphic"),
    "видеокарта": ("видеокарт", "Видиокарта", "видекарта"),
    "zotac": ("Zotak", "ZOTEC"),
    "quadro": ("Quadra", "Qudro", "QUADRO"),
    "express": ("Expres", "Exress"),
    "strix": ("Stix", "STRIXX"),
    "colorful": ("Colourful", "Colorfull"),
    "palit": ("Pallit",),
}
NEIGHBOURS = {
    "a": "sq",
    "b": "vn",
    "c": "xv",
    "d": "sf",
    "e": "wr",
    "f": "dg",
    "g": "fh",
    "h": "gj",
    "i": "uo",
    "k": "jl",
    "l": "k",
    "m": "n",
    "n": "bm",
    "o": "ip",
    "p": "o",
    "r": "et",
    "s": "ad",
    "t": "ry",
    "u": "yi",
    "v": "cb",
    "y": "tu",
}
# A typo in these could make another model of it.
IDENTIFYING = frozenset(
    "super titan blackwell mobile laptop server boost ultra edition workstation fury nano".split()
)
LIMITS = (80, 80, 80, 60, 40, 50, 100)

# "21 Gbps" must not become "21 GB", nor "3080" "30".
_CUT_NUMBER = re.compile(r"\d\W*[a-z]{0,2}$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{5,}")


def truncate(title: str, evidence: Sequence[str], dice: Dice) -> str:
    """Cut at a marketplace's limit unless that would cut away what identifies the card."""
    limit = dice.pick(LIMITS)
    cut = title[:limit].rstrip()
    if title[len(cut) : len(cut) + 1].isalnum() and _CUT_NUMBER.search(cut):
        return title
    return cut if all(text in cut for text in evidence) else title


def misspell(title: str, protected: str, dice: Dice) -> str:
    """Misspell one word that does not belong to the model name."""
    words = [m for m in _WORD.finditer(title) if m[0].lower() not in IDENTIFYING]
    if not words:
        return title
    match = dice.pick(words)
    word = match[0]
    known = MISSPELLED.get(word.lower())
    if known is not None and dice.chance(0.7):
        return title[: match.start()] + dice.pick(known) + title[match.end() :]
    if word.lower() in protected.lower() and known is None:
        return title
    return title[: match.start()] + _typo(word, dice) + title[match.end() :]


def disturb(title: str, evidence: Sequence[str], dice: Dice) -> str:
    """Return the title with a few accidents of real listings."""
    if dice.chance(0.08):
        title = truncate(title, evidence, dice)
    if dice.chance(0.04):
        title = misspell(title, " ".join(evidence), dice)
    title = _recase(title, dice)
    if dice.chance(0.03):
        title = _decorate(title, dice)
    if dice.chance(0.02):
        title = html.escape(title)
    return tidy(title)


def _typo(word: str, dice: Dice) -> str:
    at = 1 + dice.below(len(word) - 1)
    kind = dice.below(4)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    if kind == 2 and at + 1 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    near = NEIGHBOURS.get(word[at].lower())
    return word if near is None else word[:at] + dice.pick(near) + word[at + 1 :]


def _recase(title: str, dice: Dice) -> str:
    roll = dice.random()
    if roll < 0.07:
        return title.lower()
    if roll < 0.13:
        return title.upper()
    return title.title() if roll < 0.145 and title.isascii() else title


def _decorate(title: str, dice: Dice) -> str:
    kind = dice.below(7)
    if kind == 0:
        return title.replace(" ", "  ", 2)
    if kind == 1:
        return f"{title} & cables" if dice.chance(0.5) else f'"{title}"'
    if kind == 2:
        return title.replace("GeForce", "GeForce®").replace("Radeon", "Radeon™")
    if kind == 3:
        return title.replace(" - ", " – ").replace("RTX ", "RTX™ ")
    if kind == 4:
        return title.replace(" ", "_") if dice.chance(0.3) else f"New Listing{title}"
    if kind == 5:
        return title.replace("(", "").replace(")", "").replace(" ", ", ", 1)
    first = title.split(" ", 1)[0]
    return f"{first} {title}" if first.isalpha() else title
