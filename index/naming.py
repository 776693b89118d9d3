"""The anatomy of a GPU's marketing name: line words, core number, suffixes.

``GeForce RTX 4060 Ti`` has the line words (geforce, rtx), the core ``4060`` and the suffix (ti);
``Quadro P4000`` the line word (quadro) and the core ``4000`` with the prefix ``p``;
``GTX TITAN X`` the line word (gtx), the core ``titan`` and the suffix (x).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rerank.index.text import normalise, runs

# Words that carry a model's identity where other names have a number.
CORE_WORDS = frozenset(
    ["titan", "fury", "vega", "nano", "duo", "vii", "ssg", "xe", "dg", "xp", "ii"]
)
# Words that may stand before the core; single letters among them are prefixes of the number.
_SERIES_LETTERS = frozenset(["r"])  # R5 / R7 / R9 are lines, not models
_NUMBERED_LINES = frozenset(["geforce", "quadro"])
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
        if glued and (words[at - 1] in _SERIES_LETTERS or _is_line_number(words, at)):
            continue
        return (at, at - 1) if glued else (at, None)
    return len(words) - 1, None


def _is_line_number(words: list[str], at: int) -> bool:
    """Say whether a digit behind a brand counts its line: the 4 of GeForce4 MX 440, Quadro4 380."""
    return words[at - 1] in _NUMBERED_LINES and any(word.isdigit() for word in words[at + 1 :])


def _join_series(words: list[str]) -> tuple[str, ...]:
    """Join the letter and digit of R5, R7 and R9, and drop filler words and numbers of a line."""
    joined: list[str] = []
    for word in words:
        if word.isdigit() and joined and joined[-1] in _SERIES_LETTERS:
            joined[-1] += word
        elif word.isdigit() and joined and joined[-1] in _NUMBERED_LINES:
            continue
        elif word not in _FILLER:
            joined.append(word)
    return tuple(joined)
