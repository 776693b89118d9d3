"""Cues: words that tell what a listing offers (a card, a bracket for one, a box, a whole PC).

The words stand in `data/cues.yaml`, by category and language. A cue after a word like "with"
is *excused*: "with backplate" offers a card, "backplate for" does not. So are parts that are
missing, included or counted ("two fans"), and computers a card was taken from or is for. What
stands behind a mark of a wish ("[W]", "swap for") is asked for, not offered.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from rerank.index.errors import InputError
from rerank.index.rows import FastSafeLoader
from rerank.index.text import CharacterRun, normalise, runs
from rerank.packs.gpu.lexicon import TitleReading

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
    "spec",
    "goods",
    "no_card",
    "part_only",
    "have",
    "wish",
    "swap",
    "taken",
    "aside",
    "count",
)
DESCRIBED = len(CATEGORIES)
"""What is added to the category of a cue that stands in the description, not in the title."""
# What is wished stands behind one of these, somewhere behind a word of swapping.
_SWAPPED_FOR = frozenset(
    "for gegen contre por per voor mot mod na за на pe con cu με ile untuk fejében".split()
)
_CACHED_WORDS = 200_000
_ASCII = "".join(map(chr, range(128)))
_WORDY = string.ascii_lowercase + string.digits + " "
_EXCUSE_REACH = 3  # "with original box and backplate": runs a "with" reaches forward


class CueHits(NamedTuple):
    """Cues found in a batch of titles, one row each.

    :param listing: number of the listing in the batch.
    :param at: run in which the cue starts, of the title or of the description.
    :param category: number in `CATEGORIES`; `DESCRIBED` more for a cue of the description.
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
        self._substrings: dict[str, list[tuple[str, int]]] = {}
        self._literals: dict[str, list[tuple[str, int]]] = {}
        self._bare = _Bare(self._look_up)
        for number, category in enumerate(CATEGORIES):
            for entry in entries.get(category, ()):
                self._add(str(entry), 1 << number)

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
            _by_telling(self._substrings, normalise(entry[1:]), bit, _ASCII)
            return
        if entry.startswith("="):
            _by_telling(self._literals, entry[1:], bit, _WORDY)
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

    def read(self, readings: Sequence[TitleReading]) -> CueHits:
        """Find the cues of titles, and of their listings' descriptions."""
        return self.find(
            [(reading.text, reading.runs) for reading in readings],
            [reading.description for reading in readings],
        )

    def find(
        self,
        titles: Sequence[tuple[str, Sequence[CharacterRun]]],
        descriptions: Sequence[str] = (),
    ) -> CueHits:
        """Find the cues of (normalised text, runs) pairs, and of descriptions, normalised too."""
        rows: list[tuple[int, int, int, bool, int]] = []
        for listing, (text, pieces) in enumerate(titles):
            self._add_rows(rows, listing, text, pieces, 0)
        for listing, text in enumerate(descriptions):
            if text:
                self._add_rows(rows, listing, text, runs(text), DESCRIBED)
        table = np.array(rows, np.int64).reshape(len(rows), 5)
        listings, places, categories, excuses, lengths_found = table.T
        return CueHits(listings, places, categories, excuses.astype(bool), lengths_found)

    def _add_rows(
        self,
        rows: list[tuple[int, int, int, bool, int]],
        listing: int,
        text: str,
        pieces: Sequence[CharacterRun],
        first_category: int,
    ) -> None:
        """Add listing, run, category, excuse and length of each cue of a text."""
        last_excuse = -_EXCUSE_REACH - 1
        last_taken = last_part = last_excuse
        added = _added(text, pieces) if "+" in text else ()
        masks, lengths = self._masks(text, pieces)
        for at, mask in enumerate(masks):
            if not mask:
                continue
            excused = at - last_excuse <= _EXCUSE_REACH or at in added
            if mask & _IN_CONTEXT:
                if mask & _WHOLES:
                    excused |= at - last_taken <= _EXCUSE_REACH
                    excused |= _is_a_kind_of_card(masks, pieces, at)
                if mask & _PARTS:
                    excused |= at - last_part == 1 or _goes_with_a_card(masks, at)
                    last_part = at if excused else last_part
                if mask & _ONLY and _next_to_a_part(masks, at):
                    mask |= _PART_ONLY
                if mask & _EXCUSES:
                    last_excuse = at
                if mask & _TAKEN:
                    last_taken = at
                if mask & _SWAP:  # the wish is met further on in this loop
                    _mark_wish(masks, pieces, at + 1)
                mask &= ~_COUNT  # of no meaning by itself
            for number in _numbers_of(mask):
                bit = 1 << number
                length = lengths.get((at, bit), 1) if lengths else 1
                category = first_category + number
                rows.append((listing, at, category, excused and not bit & _PLAIN, length))

    def _masks(
        self, text: str, pieces: Sequence[CharacterRun]
    ) -> tuple[list[int], dict[tuple[int, int], int]]:
        """Return the categories that begin at each run, and how many runs the phrases take."""
        words = [piece[0] for piece in pieces]
        masks = list(map(self._bare.__getitem__, words))
        lengths: dict[tuple[int, int], int] = {}
        for at, (word, following) in enumerate(itertools.pairwise(words)):
            opened = self._bare.opening.get(word)
            if opened is None:
                continue
            by_next, others = opened
            if following not in by_next and not others:
                continue
            for phrase in (*by_next.get(following, ()), *others):
                if _follows(phrase.rest, pieces, at + phrase.checked):
                    if not self._bare[word] & phrase.bit:  # a cue by itself is shown by itself
                        lengths[at, phrase.bit] = phrase.length
                    masks[at] |= phrase.bit
        for literal, bit in self._standing_in(text):
            if pieces:
                masks[_run_at(pieces, text.find(literal))] |= bit
        return masks, lengths

    def _look_up(self, word: str) -> _Word:
        """Return what a word is by itself, and the phrases it may begin."""
        mask = self._words.get(word, 0)
        phrases = list(self._phrases.get(word, ()))
        if not word.isdigit():
            for length in range(1, len(word) + 1):
                mask |= self._stems.get(word[:length], 0)
                phrases += self._stem_phrases.get(word[:length], ())
        by_next: dict[str, list[_Phrase]] = {}
        others = []
        for rest, bit in phrases:
            words = rest.split(" ")
            if words[0].endswith("*"):
                others.append(_Phrase(tuple(words), 1, bit, len(words) + 1))
            else:
                phrase = _Phrase(tuple(words[1:]), 2, bit, len(words) + 1)
                by_next.setdefault(words[0], []).append(phrase)
        return _Word(mask, by_next, others)

    def _standing_in(self, text: str) -> list[tuple[str, int]]:
        """Return what is no run of letters: of any text, and of scripts that are not spaced."""
        found = []
        for sign, literals in self._literals.items():
            if sign in text:
                found += [each for each in literals if each[0] in text]
        if not text.isascii():
            for telling in self._substrings.keys() & set(text):
                found += [each for each in self._substrings[telling] if each[0] in text]
        return found


def _by_telling(table: dict[str, list[tuple[str, int]]], entry: str, bit: int, plain: str) -> None:
    """File a literal under its first character that is not plain: few texts have that."""
    telling = next((each for each in entry if each not in plain), entry[0])
    table.setdefault(telling, []).append((entry, bit))


class _Phrase(NamedTuple):
    """The words that a phrase still needs from run ``checked`` on, counted from its first."""

    rest: tuple[str, ...]
    checked: int
    bit: int
    length: int


class _Word(NamedTuple):
    """What a word is by itself, its phrases by the next word, and those with a stem there."""

    bare: int
    by_next: dict[str, list[_Phrase]]
    others: list[_Phrase]


class _Bare(dict[str, int]):
    """What words are by themselves, each looked up once.

    :param look_up: says what a word is by itself and what it opens.
    :param opening: the phrases that words open, by the next word, and those with a stem there.
    """

    def __init__(self, look_up: Callable[[str], _Word]) -> None:
        self._look_up = look_up
        self.opening: dict[str, tuple[dict[str, list[_Phrase]], list[_Phrase]]] = {}

    def __missing__(self, word: str) -> int:
        known = self._look_up(word)
        if known.by_next or known.others:
            self.opening[word] = (known.by_next, known.others)
        if len(self) < _CACHED_WORDS:
            self[word] = known.bare
        return known.bare


def _bits(names: str) -> int:
    return sum(1 << CATEGORIES.index(name) for name in names.split())


_EXCUSES, _SWAP, _WISH = _bits("with without"), _bits("swap"), _bits("wish")
# "from my gaming PC", "for workstations": a card that stood in one, or may.
_WHOLES, _TAKEN = _bits("laptop system rig"), _bits("taken for")
# "two fans", "bracket missing", "cooler cleaned": parts of a card that is sold.
_PARTS, _ASIDE, _COUNT = _bits("box holder cooling connector"), _bits("aside"), _bits("count")
_ASIDE_REACH = 3
# "box only", "only the box"
_ONLY, _PART_ONLY = _bits("only empty"), _bits("part_only")
# What is plain whatever stands before it.
_PLAIN = _bits("no_card part_only have wish")
# What means something else, or to others, by what stands about it.
_IN_CONTEXT = _WHOLES | _PARTS | _ONLY | _EXCUSES | _TAKEN | _SWAP | _COUNT


@cache
def _numbers_of(mask: int) -> tuple[int, ...]:
    """Return the categories of a mask, the first first."""
    return tuple(number for number in range(mask.bit_length()) if mask >> number & 1)


def _next_to_a_part(masks: Sequence[int], at: int) -> bool:
    return any(mask & _PARTS for mask in (*masks[max(at - 2, 0) : at], *masks[at + 1 : at + 3]))


_CARD_WORD = _bits("card_word")
_CARD_NOUNS = frozenset(
    "card board gpu edition class karte carte tarjeta placa scheda kaart kort karta kártya карта"
    " grafikkarte".split()
)


def _is_a_kind_of_card(masks: Sequence[int], pieces: Sequence[CharacterRun], at: int) -> bool:
    """Say whether a word for a computer tells what card it is: "workstation card"."""
    behind = at + 1
    if behind == len(pieces):
        return False
    return bool(masks[behind] & _CARD_WORD) or pieces[behind].text in _CARD_NOUNS


def _goes_with_a_card(masks: Sequence[int], at: int) -> bool:
    """Say whether a part's number before it or what stands behind it tells that it is no goods."""
    if masks[at] & _EXCUSES or (at and masks[at - 1] & _COUNT):
        return True
    return any(mask & _ASIDE for mask in masks[at + 1 : at + 1 + _ASIDE_REACH])


def _added(text: str, pieces: Sequence[CharacterRun]) -> set[int]:
    """Return the two runs behind a plus: "RTX 3080 + EK block" offers the card with it."""
    ends = [piece.end for piece in pieces[:-1]]
    first = [at for at, end in enumerate(ends, 1) if "+" in text[end : pieces[at].start]]
    return {*first, *(at + 1 for at in first)}


def _mark_wish(masks: list[int], pieces: Sequence[CharacterRun], start: int) -> None:
    """Mark the first word from run ``start`` on behind which stands what is swapped for."""
    for at in range(start, len(pieces)):
        if pieces[at].text in _SWAPPED_FOR:
            masks[at] |= _WISH
            return


def wished(
    cues: CueHits, listing: NDArray[np.int64], at: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Say of runs of titles whether they stand where a listing says what it asks for.

    That is behind a wish, up to the next "have"; ``listing`` and ``at`` have the same shape.
    """
    rows = np.flatnonzero(cues.category == CATEGORIES.index("wish"))
    if not len(rows):
        return np.zeros(len(listing), bool)
    size = int(max(listing.max(initial=0), cues.listing[rows].max())) + 1
    begin, end = np.full(size, _NOWHERE), np.full(size, _NOWHERE)
    np.minimum.at(begin, cues.listing[rows], cues.at[rows])
    have = np.flatnonzero(cues.category == CATEGORIES.index("have"))
    have = have[cues.listing[have] < size]
    have = have[cues.at[have] > begin[cues.listing[have]]]
    np.minimum.at(end, cues.listing[have], cues.at[have])
    return np.asarray((at > begin[listing]) & (at < end[listing]), np.bool_)


_NOWHERE = 10_000  # runs; titles are cut at 400 characters


def _run_at(pieces: Sequence[CharacterRun], place: int) -> int:
    """Return the number of the run that holds a place of the text."""
    return next((at for at, piece in enumerate(pieces) if piece.end > place), len(pieces) - 1)


def _follows(rest: Sequence[str], pieces: Sequence[CharacterRun], at: int) -> bool:
    for word in rest:
        if at >= len(pieces):
            return False
        text = pieces[at].text
        if not (text.startswith(word[:-1]) if word.endswith("*") else text == word):
            return False
        at += 1
    return True
