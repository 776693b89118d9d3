"""Cues: words that tell what a listing offers (a card, a bracket for one, a box, a whole PC).

The words stand in `data/cues.yaml`, by category and language. A cue after a word like "with"
is *excused*: "with backplate" offers a card, "backplate for" does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from rerank.index.errors import InputError
from rerank.index.rows import FastSafeLoader
from rerank.index.text import CharacterRun, normalise

CATEGORIES = (
    "with",
    "without",
    "for",
    "than",
    "only",
    "empty",
    "box",
    "holder",
    "cooling",
    "connector",
    "picture",
    "wanted",
    "service",
    "laptop",
    "system",
    "cpu",
    "rig",
    "storage",
    "other_part",
    "video_gear",
    "card_word",
    "partner",
    "gpu_line",
    "product_line",
    "story",
    "sale_of_many",
    "defect",
)
_EXCUSE_REACH = 3  # "with original box and backplate": runs a "with" reaches forward


class CueHits(NamedTuple):
    """Cues found in a batch of titles, one row each.

    :param listing: number of the listing in the batch.
    :param at: run in which the cue starts.
    :param category: number in `CATEGORIES`.
    :param excused: whether a "with" or "without" stands shortly before it.
    :param length: runs it takes, more than 1 for a phrase.
    """

    listing: NDArray[np.int64]
    at: NDArray[np.int64]
    category: NDArray[np.int64]
    excused: NDArray[np.bool_]
    length: NDArray[np.int64]


class CueReader:
    """Finds cues in the runs of a title."""

    def __init__(self, entries: dict[str, list[str]]) -> None:
        unknown = sorted(set(entries) - set(CATEGORIES))
        if unknown:
            raise InputError(f"cues: unknown categories {', '.join(unknown)}")
        self._words: dict[str, int] = {}
        self._stems: dict[str, int] = {}
        self._phrases: dict[str, list[tuple[str, int]]] = {}
        self._stem_phrases: dict[str, list[tuple[str, int]]] = {}
        self._substrings: list[tuple[str, int]] = []
        self._cache: dict[str, tuple[int, list[tuple[str, int]]]] = {}
        for number, category in enumerate(CATEGORIES):
            for entry in entries.get(category, ()):
                self._add(str(entry), 1 << number)
        self._substrings_from = min((max(s) for s, _ in self._substrings), default="\U0010ffff")

    @classmethod
    def load(cls, path: Path) -> CueReader:
        """Read a cue file.

        :raises InputError: if it is missing, no mapping of lists, or names an unknown category.
        """
        try:
            entries = yaml.load(path.read_text(encoding="utf-8"), Loader=FastSafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
            raise InputError(f"{path}: cannot read cue words: {exc}") from exc
        if not isinstance(entries, dict) or not all(isinstance(v, list) for v in entries.values()):
            raise InputError(f"{path}: expected a mapping of categories to lists of words")
        return cls(entries)

    def _add(self, entry: str, bit: int) -> None:
        if entry.startswith("~"):
            self._substrings.append((normalise(entry[1:]), bit))
            return
        first, _, rest = entry.partition(" ")
        is_stem = first.endswith("*")
        first = normalise(first.rstrip("*"))
        if rest:
            table = self._stem_phrases if is_stem else self._phrases
            table.setdefault(first, []).append((rest, bit))
        else:
            masks = self._stems if is_stem else self._words
            masks[first] = masks.get(first, 0) | bit

    def find(self, titles: Sequence[tuple[str, Sequence[CharacterRun]]]) -> CueHits:
        """Find the cues of (normalised text, runs) pairs."""
        rows: list[tuple[int, int, int, bool, int]] = []
        excuse = (1 << CATEGORIES.index("with")) | (1 << CATEGORIES.index("without"))
        for listing, (text, pieces) in enumerate(titles):
            last_excuse = -_EXCUSE_REACH - 1
            masks, lengths = self._masks(text, pieces)
            for at, mask in enumerate(masks):
                if not mask:
                    continue
                excused = at - last_excuse <= _EXCUSE_REACH
                if mask & excuse:
                    last_excuse = at
                while mask:
                    low = mask & -mask
                    length = lengths.get((at, low), 1)
                    rows.append((listing, at, low.bit_length() - 1, excused, length))
                    mask ^= low
        table = np.array(rows, np.int64).reshape(len(rows), 5)
        listings, places, categories, excuses, lengths_found = table.T
        return CueHits(listings, places, categories, excuses.astype(bool), lengths_found)

    def _masks(
        self, text: str, pieces: Sequence[CharacterRun]
    ) -> tuple[list[int], dict[tuple[int, int], int]]:
        """Return the categories that begin at each run, and how many runs the phrases take."""
        masks = []
        lengths: dict[tuple[int, int], int] = {}
        for at, piece in enumerate(pieces):
            known = self._cache.get(piece.text)
            if known is None:
                known = self._look_up(piece.text)
                if len(self._cache) < 200_000:
                    self._cache[piece.text] = known
            bare, phrases = known
            mask = bare
            for rest, bit in phrases:
                if _follows(rest, pieces, at + 1):
                    mask |= bit
                    if not bare & bit:  # a word that is a cue by itself is shown by itself
                        lengths[at, bit] = rest.count(" ") + 2
            masks.append(mask)
        # Substrings are of scripts far up in Unicode: most titles cannot hold any.
        if pieces and not self._out_of_reach(text):
            for substring, bit in self._substrings:
                place = text.find(substring)
                if place >= 0:
                    masks[_run_at(pieces, place)] |= bit
        return masks, lengths

    def _out_of_reach(self, text: str) -> bool:
        """Say whether all letters of a text are below those that every substring needs."""
        if text.isascii() and not self._substrings_from.isascii():
            return True
        return max(text) < self._substrings_from

    def _look_up(self, word: str) -> tuple[int, list[tuple[str, int]]]:
        """Return the mask of a word by itself, and the phrases it may begin."""
        if word.isdigit():
            return 0, []
        mask = self._words.get(word, 0)
        phrases = list(self._phrases.get(word, ()))
        for length in range(1, len(word) + 1):
            mask |= self._stems.get(word[:length], 0)
            phrases += self._stem_phrases.get(word[:length], ())
        return mask, phrases


def _run_at(pieces: Sequence[CharacterRun], place: int) -> int:
    """Return the number of the run that holds a place of the text."""
    return next((at for at, piece in enumerate(pieces) if piece.end > place), len(pieces) - 1)


def _follows(rest: str, pieces: Sequence[CharacterRun], at: int) -> bool:
    for word in rest.split(" "):
        if at >= len(pieces):
            return False
        text = pieces[at].text
        if not (text.startswith(word[:-1]) if word.endswith("*") else text == word):
            return False
        at += 1
    return True
