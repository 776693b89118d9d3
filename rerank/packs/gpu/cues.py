"""Cues: words that tell what a listing offers (a card, a bracket for one, a box, a whole PC).

The words stand in `data/cues.txt`, by category and language. A cue after a word like "with"
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
from numpy.typing import NDArray

from rerank.index.artifacts import read_text
from rerank.index.errors import InputError
from rerank.index.records import distinct, grouped
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
                self._add(entry, 1 << number)

    @classmethod
    def load(cls, path: Path) -> CueReader:
        """Read a cue file: lines of categories, ``[box]``, each before its words, with commas.

        :raises InputError: if it is missing, has words of no category, or an unknown category.
        """
        try:
            lines = read_text(path).splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise InputError(f"{path}: cannot read cue words: {exc}") from exc
        entries: dict[str, list[str]] = {}
        for number, line in enumerate(map(str.strip, lines), 1):
            if line.startswith("[") and line.endswith("]"):
                own = entries.setdefault(line[1:-1], [])
            elif line and not line.startswith("#"):
                if not entries:
                    raise InputError(f"{path}:{number}: expected [CATEGORY] before {line!r:.60}")
                own += filter(None, map(str.strip, line.split(",")))
        if not entries:
            raise InputError(f"{path}: expected categories of cue words, found none")
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
        for title in distinct(titles.title_of_word[odd]).tolist():
            text, first = readings.titles[title].title, int(titles.offsets[title])
            for literal, bit in self._standing_in(text):
                if titles.offsets[title + 1] > first:
                    pieces = titles.pieces(title)
                    masks[first + _run_at(pieces, text.find(literal))] |= bit
        # What is swapped for, and what a plus adds, is told by the words of the whole title.
        plus = vocabulary.told(_hold_plus, "words")[titles.word] > 0
        apart = np.zeros(len(readings), np.bool_)
        apart[titles.title[masks & _SWAP != 0]] = True
        apart[titles.title_of_word[plus]] = True
        shown = np.zeros(len(readings), np.bool_)
        shown[titles.title[masks != 0]] = True
        for title in np.flatnonzero(apart & shown).tolist():
            own = slice(int(titles.offsets[title]), int(titles.offsets[title + 1]))
            words = [vocabulary.runs[run] for run in titles.run[own].tolist()]
            text = readings.titles[title].title
            added = _added(text, titles.pieces(title)) if "+" in text else ()
            found = _cues_of(words, masks[own].tolist(), lengths, added, first=own.start)
            rows += [(title, *row) for row in found]
        nouns = vocabulary.told(_are_nouns, "runs")
        return [_told_hits(titles, masks, ~apart, lengths, nouns), _as_hits(rows)]

    def _add_phrases(self, masks: NDArray[np.int64], titles: TitleRuns) -> _Lengths:
        """Add the categories of phrases to the masks of their first runs; return their lengths."""
        vocabulary = titles.vocabulary
        opening = vocabulary.told(self._are_opening, "runs")[titles.run] > 0
        lengths: _Lengths = {}
        rows = np.flatnonzero(opening & (titles.following > 0))
        second = vocabulary.told(self._may_be_second, "runs")[titles.following[rows]] > 0
        rows = rows[second]
        if not len(rows):
            return lengths
        keys = (titles.run[rows] << 32) | titles.following[rows]
        first, of_row = grouped(keys)
        texts, run = vocabulary.runs, titles.run
        known = vocabulary.memory(self._phrases_of_pair)
        phrases: list[tuple[_Continued, ...]] = []
        for pair in keys[first].tolist():
            own = known.get(pair)
            if own is None:
                words = texts[pair >> 32], texts[pair & 0xFFFFFFFF]
                own = known[pair] = self._phrases_of_pair(*words)
            phrases.append(own)
        opened = np.array(list(map(bool, phrases)), np.bool_)[of_row]
        rows, pair_of = rows[opened], of_row[opened].tolist()
        thirds = titles.following[rows + 1].tolist()
        pairs, going_on = keys[first].tolist(), vocabulary.memory(_going_on)
        for at, pair, third in zip(rows.tolist(), pair_of, thirds, strict=True):
            found = going_on.get((pairs[pair], third))
            if found is None:
                found = _going_on(phrases[pair], texts[third])
                going_on[pairs[pair], third] = found
            for rest, bit, length in found:
                if rest:
                    end = min(int(titles.offsets[titles.title[at] + 1]), at + 3 + len(rest))
                    if not _are(rest, [texts[each] for each in run[at + 3 : end].tolist()]):
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
        words = (*self._words, *self._phrases)
        return frozenset(self._stem_lengths).union(word[:_HEAD] for word in words)

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
        lengths = self._stem_lengths
        for head in [word[:length] for length in range(1, min(len(word), _HEAD) + 1)]:
            for length in () if word.isdigit() else lengths.get(head, ()):
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
    def _stem_lengths(self) -> dict[str, list[int]]:
        """How long the stems are, by what they and words of them begin with."""
        found: dict[str, set[int]] = {}
        for stem in (*self._stems, *self._stem_phrases):
            found.setdefault(stem[:_HEAD], set()).add(len(stem))
        return {head: sorted(lengths) for head, lengths in found.items()}

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


def _told_hits(
    titles: TitleRuns,
    masks: NDArray[np.int64],
    told: NDArray[np.bool_],
    lengths: _Lengths,
    nouns: NDArray[np.int64],
) -> CueHits:
    """Return the cues of titles as `_cues_of` does, of all at once.

    :param told: shape (titles,), which titles; in none is a swap or a plus.
    :param nouns: shape (runs,), which runs of the vocabulary are words for a card.
    """
    rows = np.flatnonzero((masks != 0) & told[titles.title])
    mask, title = masks[rows], titles.title[rows]
    first, end = titles.offsets[title], titles.offsets[title + 1]

    def shortly_behind(kind: int, reach: int) -> NDArray[np.bool_]:
        """Say which cues stand up to ``reach`` runs behind one of a kind, in their title."""
        places = np.flatnonzero(masks & kind)
        last = np.append(-1, places)[np.searchsorted(places, rows)]
        return np.asarray((last >= first) & (rows - last <= reach), np.bool_)

    def shortly_before(kind: int, reach: int) -> NDArray[np.bool_]:
        """Say which cues stand up to ``reach`` runs before one of a kind, in their title."""
        places = np.flatnonzero(masks & kind)
        following = np.append(places, len(masks) + reach + 1)
        after = following[np.searchsorted(places, rows, side="right")]
        return np.asarray((after < end) & (after - rows <= reach), np.bool_)

    excused = shortly_behind(_EXCUSES, _EXCUSE_REACH)
    whole, part = mask & _WHOLES != 0, mask & _PARTS != 0
    card = shortly_before(_CARD_WORD, 1) | (nouns[titles.following[rows]] > 0)
    excused |= whole & (shortly_behind(_TAKEN, _EXCUSE_REACH) | card)
    aside = shortly_before(_ASIDE, _ASIDE_REACH) | shortly_behind(_COUNT, 1)
    excused |= part & (aside | (mask & _EXCUSES != 0))
    excused |= part & _carried_on(part & excused, part, rows, first)
    only = (mask & _ONLY != 0) & (shortly_behind(_PARTS, 2) | shortly_before(_PARTS, 2))
    shown = (mask | np.where(only, _PART_ONLY, 0)) & ~_COUNT  # that is of no meaning by itself
    found = [np.flatnonzero(shown >> number & 1) for number in range(len(CATEGORIES))]
    category = np.repeat(np.arange(len(CATEGORIES)), list(map(len, found)))
    cue = np.concatenate(found)
    return CueHits(
        title[cue],
        (rows - first)[cue],
        category,
        excused[cue] & ((_PLAIN >> category) & 1 == 0),
        _lengths_at(rows[cue], category, lengths),
    )


def _lengths_at(
    rows: NDArray[np.int64], category: NDArray[np.int64], lengths: _Lengths
) -> NDArray[np.int64]:
    """Return how many runs cues take, 1 of each that is in no phrase."""
    if not lengths:
        return np.ones(len(rows), np.int64)
    keys = np.array([at << 6 | bit.bit_length() - 1 for at, bit in lengths], np.int64)
    order = np.argsort(keys)
    keys, own = keys[order], np.array([*lengths.values()], np.int64)[order]
    wanted = rows << 6 | category
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(np.where(keys[place] == wanted, own[place], 1), np.int64)


def _carried_on(
    excused: NDArray[np.bool_],
    part: NDArray[np.bool_],
    rows: NDArray[np.int64],
    first: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Say which parts are excused with a part right before them: "with fans, cooler, box".

    All have the shape of the cues.

    :param rows: the runs that they begin at, ``first`` the first of their title.
    """
    place = np.arange(len(rows))
    joins = part[1:] & part[:-1] & (np.diff(rows) == 1) & (rows[:-1] >= first[1:])
    start = np.maximum.accumulate(np.where(np.append(False, joins)[: len(rows)], 0, place))
    last = np.maximum.accumulate(np.where(excused, place, -1))
    return np.asarray(last >= start, np.bool_)


def _longest_part(literal: str) -> str:
    """Return the part of a literal that is telling: one between spaces, else the longest."""
    inner = literal.split(" ")[1:-1]
    return f" {max(inner, key=len)} " if inner else max(literal.split(" "), key=len)


def _going_on(phrases: tuple[_Continued, ...], third: str) -> tuple[_Continued, ...]:
    """Return the phrases that a third word goes on with, without what it is itself."""
    words = [third] if third else []
    return tuple((rest[1:], bit, length) for rest, bit, length in phrases if _are(rest[:1], words))


def _are_nouns(words: Sequence[str]) -> list[bool]:
    return [word in _CARD_NOUNS for word in words]


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
    rows = (cues.category == CATEGORIES.index("wish")).nonzero()[0]
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
