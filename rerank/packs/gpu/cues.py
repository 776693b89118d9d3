"""Cues: words that tell what a listing offers (a card, a bracket for one, a box, a whole PC).

The words stand in `data/cues.yaml`, by category and language. A cue after a word like "with"
is *excused*: "with backplate" offers a card, "backplate for" does not. So are parts that are
missing, included or counted ("two fans"), and computers a card was taken from or is for. What
stands behind a mark of a wish ("[W]", "swap for") is asked for, not offered.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Callable, Collection, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from rerank.index.errors import InputError
from rerank.index.rows import FastSafeLoader
from rerank.index.text import CharacterRun, normalise, runs
from rerank.packs.gpu.title_columns import TitleReadings, TitleRuns, in_one, words_with

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
_HEAD = 3  # letters by which it is seen that no stem begins a word
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

    def read(self, readings: TitleReadings) -> CueHits:
        """Find the cues of titles, and of their listings' descriptions."""
        texts = readings.titles
        if readings.runs is None:
            titles = [(text.title, each.runs) for text, each in zip(texts, readings, strict=True)]
            return self.find(titles, [text.description for text in texts])
        described = self._of_descriptions([text.description for text in texts])
        return _joined(self._in_columns(readings, readings.runs), _as_hits(described))

    def find(
        self,
        titles: Sequence[tuple[str, Sequence[CharacterRun]]],
        descriptions: Sequence[str] = (),
    ) -> CueHits:
        """Find the cues of (normalised text, runs) pairs, and of descriptions, normalised too."""
        rows: list[_Row] = []
        for listing, (text, pieces) in enumerate(titles):
            self._add_rows(rows, listing, text, pieces, 0)
        return _as_hits(rows + self._of_descriptions(descriptions))

    def _of_descriptions(self, descriptions: Sequence[str]) -> list[_Row]:
        rows: list[_Row] = []
        for listing, text in enumerate(descriptions):
            if text:
                self._add_rows(rows, listing, text, runs(text), DESCRIBED)
        return rows

    def _in_columns(self, readings: TitleReadings, titles: TitleRuns) -> list[CueHits]:
        """Return the cues of many titles: of those that need no context, and of the others."""
        vocabulary = titles.vocabulary
        masks = vocabulary.told(self._bare_masks, "runs")[titles.run]
        lengths = self._add_phrases(masks, titles)
        odd = vocabulary.told(self._are_telling, "words")[titles.word] > 0
        rows: list[_Row] = []
        for title in np.unique(titles.title_of_word[odd]).tolist():
            text, first = readings.titles[title].title, int(titles.offsets[title])
            for literal, bit in self._standing_in(text):
                if titles.offsets[title + 1] > first:
                    pieces = titles.pieces(title)
                    masks[first + _run_at(pieces, text.find(literal))] |= bit
        plus = vocabulary.told(_hold_plus, "words")[titles.word] > 0
        intricate = np.zeros(len(readings), np.bool_)
        intricate[titles.title[masks & (_WHOLES | _PARTS | _SWAP) != 0]] = True
        intricate[titles.title_of_word[plus]] = True
        shown = np.zeros(len(readings), np.bool_)
        shown[titles.title[masks != 0]] = True
        for title in np.flatnonzero(intricate & shown).tolist():
            own = slice(int(titles.offsets[title]), int(titles.offsets[title + 1]))
            words = [vocabulary.runs[run] for run in titles.run[own].tolist()]
            text = readings.titles[title].title
            added = _added(text, titles.pieces(title)) if "+" in text else ()
            found = _cues_of(words, masks[own].tolist(), lengths, added, first=own.start)
            rows += [(title, *row) for row in found]
        return [_plain_hits(titles, masks, ~intricate, lengths), _as_hits(rows)]

    def _add_phrases(self, masks: NDArray[np.int64], titles: TitleRuns) -> _Lengths:
        """Add the categories of phrases to the masks of their first runs; return their lengths."""
        vocabulary = titles.vocabulary
        opening = vocabulary.told(self._are_opening, "runs")[titles.run] > 0
        lengths: _Lengths = {}
        rows = np.flatnonzero(opening & (titles.following > 0))
        second = vocabulary.told(self._may_be_second, "runs")[titles.following[rows]] > 0
        rows = rows[second]
        pairs, of_row = np.unique(
            (titles.run[rows] << 32) | titles.following[rows], return_inverse=True
        )
        texts, run = vocabulary.runs, titles.run
        known = vocabulary.memory(self._phrases_of_pair)
        phrases: list[tuple[_Continued, ...]] = []
        for pair in pairs.tolist():
            own = known.get(pair)
            if own is None:
                words = texts[pair >> 32], texts[pair & 0xFFFFFFFF]
                own = known[pair] = self._phrases_of_pair(*words)
            phrases.append(own)
        opened = np.array(list(map(bool, phrases)), np.bool_)[of_row]
        pair_of = of_row[opened].tolist()
        for at, pair in zip(rows[opened].tolist(), pair_of, strict=True):
            for rest, bit, length in phrases[pair]:
                if rest:
                    end = min(int(titles.offsets[titles.title[at] + 1]), at + 2 + len(rest))
                    if not _are(rest, [texts[each] for each in run[at + 2 : end].tolist()]):
                        continue
                if length:
                    lengths[at, bit] = length
                masks[at] |= bit
        return lengths

    def _phrases_of_pair(self, word: str, following: str) -> tuple[_Continued, ...]:
        """Return the phrases that two words begin: what must follow, category and length.

        The length is 0 of what the word is by itself: that is shown by itself.
        """
        by_next, others = self._bare.opening[word]
        found = [(each.rest, each.bit, each.length) for each in by_next.get(following, ())]
        found += [
            (each.rest[1:], each.bit, each.length)
            for each in others
            if _are(each.rest[:1], [following])
        ]
        bare = self._bare[word]
        return tuple((rest, bit, 0 if bare & bit else length) for rest, bit, length in found)

    def _bare_masks(self, words: Sequence[str]) -> list[int]:
        heads, known, once = self._heads, self._bare, self._bare.once
        return [
            once(word)
            if word in known or word[:_HEAD] in heads or word[:2] in heads or word[:1] in heads
            else 0
            for word in words
        ]

    @cached_property
    def _heads(self) -> frozenset[str]:
        """What words begin with that are cues or open phrases."""
        return self._stem_heads.union(word[:_HEAD] for word in (*self._words, *self._phrases))

    def _may_be_second(self, words: Sequence[str]) -> list[bool]:
        """Say which words are second in some phrase."""
        exact, stems = self._seconds
        return [
            word in exact or word[:1] in stems or word[:2] in stems or word[:_HEAD] in stems
            for word in words
        ]

    @cached_property
    def _seconds(self) -> tuple[frozenset[str], frozenset[str]]:
        """The second words of all phrases, and how those begin that are stems."""
        filed = (*self._phrases.values(), *self._stem_phrases.values())
        second = {rest.split(" ")[0] for phrases in filed for rest, _ in phrases}
        stems = {word[:-1][:_HEAD] for word in second if word.endswith("*")}
        return frozenset(second), frozenset(stems)

    def _are_opening(self, words: Sequence[str]) -> list[bool]:
        return [word in self._bare.opening for word in words]

    def _are_telling(self, words: Sequence[str]) -> list[bool]:
        """Say which words hold a part of what is found anywhere in a text."""
        telling = self._telling_parts
        signs = telling.keys()
        found = [
            not signs.isdisjoint(word)
            and any(part in word for sign in word for part in telling.get(sign, ()))
            for word in words
        ]
        text, starts = in_one(words)
        for at in words_with(self._literal_parts, text, starts).tolist():
            found[at] = True
        return found

    @cached_property
    def _literal_parts(self) -> re.Pattern[str]:
        """What some word of a title holds that holds one of the literals, spaces about it."""
        entries = [text for filed in self._literals.values() for text, _ in filed]
        return re.compile("|".join(map(re.escape, map(_longest_part, entries))) or "(?!)")

    @cached_property
    def _telling_parts(self) -> dict[str, list[str]]:
        """The same of the substrings, by a character of it."""
        found: dict[str, list[str]] = {}
        for telling, filed in self._substrings.items():
            for text, _ in filed:
                part = next(part for part in text.split(" ") if telling in part)
                found.setdefault(telling, []).append(part)
        return found

    def _add_rows(
        self,
        rows: list[_Row],
        listing: int,
        text: str,
        pieces: Sequence[CharacterRun],
        first_category: int,
    ) -> None:
        """Add listing, run, category, excuse and length of each cue of a text."""
        masks, lengths = self._masks(text, pieces)
        added = _added(text, pieces) if "+" in text else ()
        words = [piece[0] for piece in pieces]
        for at, number, excused, length in _cues_of(words, masks, lengths, added):
            rows.append((listing, at, first_category + number, excused, length))

    def _masks(self, text: str, pieces: Sequence[CharacterRun]) -> tuple[list[int], _Lengths]:
        """Return the categories that begin at each run, and how many runs the phrases take."""
        words = [piece[0] for piece in pieces]
        masks = list(map(self._bare.__getitem__, words))
        lengths: _Lengths = {}
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
        heads = self._stem_heads
        begins = word[:1] in heads or word[:2] in heads or word[:_HEAD] in heads
        if begins and not word.isdigit():
            for length in range(1, min(len(word), self._longest_stem) + 1):
                mask |= self._stems.get(word[:length], 0)
                phrases += self._stem_phrases.get(word[:length], ())
        if not phrases:
            return _Word(mask, {}, [])
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

    @cached_property
    def _stem_heads(self) -> frozenset[str]:
        """What words begin with that begin with a stem."""
        return frozenset(stem[:_HEAD] for stem in (*self._stems, *self._stem_phrases))

    @cached_property
    def _longest_stem(self) -> int:
        return max(map(len, (*self._stems, *self._stem_phrases)), default=0)

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


_Row = tuple[int, int, int, bool, int]
_Lengths = dict[tuple[int, int], int]
_Continued = tuple[tuple[str, ...], int, int]


def _as_hits(rows: Sequence[_Row]) -> CueHits:
    table = np.array(rows, np.int64).reshape(len(rows), 5)
    listings, places, categories, excuses, lengths = table.T
    return CueHits(listings, places, categories, excuses.astype(bool), lengths)


def _joined(parts: Sequence[CueHits], described: CueHits) -> CueHits:
    """Return the cues of titles in order, then those of descriptions."""
    listing, at, category, *_ = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.lexsort((category, at, listing))
    both = (np.concatenate(each) for each in zip(*parts, strict=True))
    return CueHits(*(np.concatenate([a[order], b]) for a, b in zip(both, described, strict=True)))


def _plain_hits(
    titles: TitleRuns,
    masks: NDArray[np.int64],
    plain: NDArray[np.bool_],
    lengths: _Lengths,
) -> CueHits:
    """Return the cues of titles in which nothing but a "with" before them tells what they mean.

    :param plain: shape (titles,), which they are; in none is a part, a computer or a swap.
    """
    place = np.arange(len(masks))
    excuse = np.maximum.accumulate(np.where(masks & _EXCUSES != 0, place, -_NOWHERE))
    before = np.append(-_NOWHERE, excuse[:-1])[: len(masks)]
    excused = (place - before <= _EXCUSE_REACH) & (before >= titles.offsets[titles.title])
    rows = np.flatnonzero((masks != 0) & plain[titles.title])
    shown = masks[rows] & ~_COUNT  # of no meaning by itself
    found = [rows[shown >> number & 1 == 1] for number in range(len(CATEGORIES))]
    category = np.repeat(np.arange(len(CATEGORIES)), list(map(len, found)))
    row = np.concatenate(found)
    pairs = zip(row.tolist(), category.tolist(), strict=True)
    title = titles.title[row]
    return CueHits(
        title,
        row - titles.offsets[title],
        category,
        excused[row] & ((_PLAIN >> category) & 1 == 0),
        np.array([lengths.get((at, 1 << number), 1) for at, number in pairs], np.int64),
    )


def _longest_part(literal: str) -> str:
    """Return the part of a literal that is telling: one between spaces, else the longest."""
    inner = literal.split(" ")[1:-1]
    return f" {max(inner, key=len)} " if inner else max(literal.split(" "), key=len)


def _hold_plus(words: Sequence[str]) -> list[bool]:
    return ["+" in word for word in words]


def _are(expected: Sequence[str], words: Sequence[str]) -> bool:
    """Say whether words begin as expected; one that ends in a star is a beginning."""
    return len(expected) <= len(words) and all(
        word.startswith(own[:-1]) if own.endswith("*") else word == own
        for own, word in zip(expected, words, strict=False)
    )


def _cues_of(
    words: Sequence[str],
    masks: list[int],
    lengths: _Lengths,
    added: Collection[int],
    *,
    first: int = 0,
) -> list[tuple[int, int, bool, int]]:
    """Return run, category, excuse and length of each cue of a text.

    :param masks: the categories that begin at each run; a wish is marked in them.
    :param lengths: of phrases, by the number of their first run, counted from ``first``.
    :param added: the runs that are offered besides.
    """
    found: list[tuple[int, int, bool, int]] = []
    last_excuse = -_EXCUSE_REACH - 1
    last_taken = last_part = last_excuse
    for at, mask in enumerate(masks):
        if not mask:
            continue
        excused = at - last_excuse <= _EXCUSE_REACH or at in added
        if mask & _IN_CONTEXT:
            if mask & _WHOLES:
                excused |= at - last_taken <= _EXCUSE_REACH
                excused |= _is_a_kind_of_card(masks, words, at)
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
                _mark_wish(masks, words, at + 1)
            mask &= ~_COUNT  # of no meaning by itself
        for number in _numbers_of(mask):
            bit = 1 << number
            length = lengths.get((first + at, bit), 1) if lengths else 1
            found.append((at, number, excused and not bit & _PLAIN, length))
    return found


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

    def once(self, word: str) -> int:
        """Return what a word is by itself, and remember it only if it opens phrases."""
        mask = self.get(word)
        if mask is None:
            known = self._look_up(word)
            mask = self[word] if known.by_next or known.others else known.bare
        return mask


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


def _is_a_kind_of_card(masks: Sequence[int], words: Sequence[str], at: int) -> bool:
    """Say whether a word for a computer tells what card it is: "workstation card"."""
    behind = at + 1
    if behind == len(words):
        return False
    return bool(masks[behind] & _CARD_WORD) or words[behind] in _CARD_NOUNS


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


def _mark_wish(masks: list[int], words: Sequence[str], start: int) -> None:
    """Mark the first word from run ``start`` on behind which stands what is swapped for."""
    for at in range(start, len(words)):
        if words[at] in _SWAPPED_FOR:
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
