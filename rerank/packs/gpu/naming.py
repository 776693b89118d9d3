"""The anatomy of a GPU's marketing name: line words, core number, suffixes.

``GeForce RTX 4060 Ti`` has the line words (geforce, rtx), the core ``4060`` and the suffix (ti);
``Quadro P4000`` the line word (quadro) and the core ``4000`` with the prefix ``p``;
``GTX TITAN X`` the line word (gtx), the core ``titan`` and the suffix (x).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rerank.index.text import normalise, runs

# Words that carry a model's identity where other names have a number.
CORE_WORDS = frozenset(
    ["titan", "fury", "vega", "nano", "duo", "vii", "ssg", "xe", "dg", "xp", "ii"]
)
# Words that may stand before the core; single letters among them are prefixes of the number.
_SERIES = frozenset(["r5", "r7", "r9"])  # lines, not models; an R9700 is a model
_FILLER = frozenset(["edition", "graphics", "generation", "card", "series", "the", "gpu"])


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model name taken apart. All parts are lower case.

    ``prefix`` holds the letters glued to the core number (``p`` of P4000), empty if none.
    """

    line: tuple[str, ...]
    prefix: str
    core: str
    suffix: tuple[str, ...]

    @property
    def key(self) -> str:
        """The string a listing must show to mention this model at all.

        Numbers of three and more digits speak for themselves; ``4`` of an L4 needs its letter.
        """
        if not self.core.isdigit() or len(self.core) >= 3:
            return self.core
        return self.prefix + self.core if self.prefix else self.core + "".join(self.suffix[:1])

    @property
    def words(self) -> tuple[str, ...]:
        """All parts in reading order, prefix and core joined."""
        return (*self.line, self.prefix + self.core, *self.suffix)


@lru_cache(maxsize=8192)
def parse_model(model: str) -> ModelName:
    """Take a model name apart.

    :raises ValueError: if the name holds no letters or digits at all.
    """
    pieces = runs(normalise(model))
    if not pieces:
        raise ValueError(f"a model name needs letters or digits, got {model!r}")
    words = [piece.text for piece in pieces]
    core_at, prefix_at = _find_core(words, [piece.start for piece in pieces])
    line_end = core_at if prefix_at is None else prefix_at
    line = _join_series(words[:line_end])
    suffix = tuple(word for word in words[core_at + 1 :] if word not in _FILLER)
    prefix = "" if prefix_at is None else words[prefix_at]
    return ModelName(line, prefix, words[core_at], suffix)


def _find_core(words: list[str], starts: list[int]) -> tuple[int, int | None]:
    """Return the position of the core and of the letters glued before it, if any."""
    for at, word in enumerate(words):
        if word in CORE_WORDS and not (word == "nano" and at + 1 < len(words)):
            return at, None
        if not word.isdigit():
            continue
        glued = at > 0 and starts[at] == starts[at - 1] + len(words[at - 1])
        if glued and words[at - 1] + word in _SERIES:
            continue
        if len(word) == 1 and any(_is_number(later) for later in words[at + 1 :]):
            continue  # the 4 of GeForce4 MX 440, the 2 of a board's Ventus 2X
        return (at, at - 1) if glued else (at, None)
    return len(words) - 1, None


def _is_number(word: str) -> bool:
    """Say whether a word is a number such as models have."""
    return word.isdigit() and len(word) >= 3


def _join_series(words: list[str]) -> tuple[str, ...]:
    """Join the letter and digit of R5, R7 and R9, and drop filler words and other digits."""
    joined: list[str] = []
    for word in words:
        if word.isdigit() and joined and joined[-1] + word in _SERIES:
            joined[-1] += word
        elif word not in _FILLER and not word.isdigit():
            joined.append(word)
    return tuple(joined)


class CatalogueName(NamedTuple):
    """What a name in a catalogue says: the model, and what contracts keep apart from its name.

    :param sizes: memory in GB; several of "3GB/6GB", none where the name says none.
    :param memory_type: such as ``GDDR6``, empty where the name says none.
    :param form: a form factor, empty where the name says none.
    """

    model: str
    sizes: tuple[float, ...]
    memory_type: str
    form: str


_SIGNS = re.compile(r"[®™©]|\((?:r|tm|c)\)", re.IGNORECASE)
_CHIP_VENDOR = re.compile(r"^(?:(?:nvidia|amd|ati|intel|matrox)\b[ /]*)+(?=\w)", re.IGNORECASE)
_NO_WORD_BEFORE, _NO_WORD_BEHIND = r"(?<![\w.,])", r"(?!\w)"
# "12G" is a size, "RX 580G" and "FX 3000G" are models.
_SIZES = re.compile(
    rf"{_NO_WORD_BEFORE}(?:\d+(?:[.,]\d+)?\s?(?:[gm]i?b)?\s?/\s?)*"
    rf"(?:\d+(?:[.,]\d+)?\s?(?:[gm]i?b)|\d{{1,2}}g){_NO_WORD_BEHIND}",
    re.IGNORECASE,
)
_SIZE = re.compile(r"(\d+(?:[.,]\d+)?)\s?([gm])?", re.IGNORECASE)
_TYPE = re.compile(
    rf"{_NO_WORD_BEFORE}(?:(?:lp|g)?ddr\d?x?|hbm\d?e?){_NO_WORD_BEHIND}", re.IGNORECASE
)
# In this order: "Max-Q Workstation Edition" is the Max-Q card, "PCI Express" no PCI.
_FORMS = tuple(
    (re.compile(rf"{_NO_WORD_BEFORE}(?:{pattern}){_NO_WORD_BEHIND}", re.IGNORECASE), form)
    for pattern, form in (
        (r"(?:with )?max[- ]?q(?: design)?(?: workstation edition)?", "Max-Q"),
        (r"(?:laptop|mobile|notebook)(?: gpu)?", "mobile"),
        (r"mxm(?: module| 3\.0\w?)?", "MXM"),
        (r"sxm[2-6]?", "SXM"),
        (r"oam", "OAM"),
        (r"agp(?: ?[248]x)?", "AGP"),
        (r"pci(?:[- ]?e| express)(?: ?[1-6]\.0| ?gen ?\d)?(?: ?x\d+)?", "PCIe"),
        (r"pci", "PCI"),
        (r"server edition", "server"),
        (r"workstation edition", "workstation"),
    )
)
_EDGES = re.compile(r"\(\s*[,/-]*\s*\)|[-_,/(]+(?=\s|$)|(?<=\s)[-_,/)]+")


@lru_cache(maxsize=8192)
def catalogue_name(name: str) -> CatalogueName:
    """Take a name of a catalogue apart: ``NVIDIA A100-SXM4-80GB`` is an A100, 80 GB, SXM4.

    Names that hold nothing besides are kept as they are.
    """
    text = _CHIP_VENDOR.sub("", _SIGNS.sub("", name).strip())
    sizes: dict[float, None] = {}
    for written in _SIZES.findall(text):
        sizes |= dict.fromkeys(_in_gb(written))
    text = _SIZES.sub(" ", text)
    found = _TYPE.search(text)
    memory_type = found[0] if found else ""
    text = _TYPE.sub(" ", text)
    form = ""
    for pattern, means in _FORMS:
        match = pattern.search(text)
        if match:
            form = form or (match[0].upper() if means == "SXM" else means)
            text = pattern.sub(" ", text)
    model = " ".join(_EDGES.sub(" ", text).split())
    if not re.search(r"\w", model):
        return CatalogueName(name, (), "", "")
    return CatalogueName(model, tuple(sizes), memory_type, form)


def _in_gb(sizes: str) -> list[float]:
    """Return the sizes of "3GB/6GB" or "3/6GB" in GB; a size takes its unit from the next."""
    found: list[float] = []
    unit = ""
    for digits, own in reversed(_SIZE.findall(sizes)):
        unit = own.lower() or unit
        found.append(float(digits.replace(",", ".")) / (1024 if unit == "m" else 1))
    return found[::-1]
