"""Titles read by the batch: each word looked up once, then arrays.

Titles share most of their words. What a word shows by itself is found once, by what reads single
titles, and kept as a row of numbers (`WordTable`); what words show together is found by numpy over
the runs of all titles of a batch (`ColumnReader`). What is rare and intricate is asked of the
`Lexicon`, title by title. `Lexicon.read_runs` remains the definition of what a title shows: a few
titles are read by it, and tests hold the columns of many against it.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from rerank.index.embedder import RunTexts
from rerank.index.records import Listing, distinct
from rerank.index.text import (
    EMBEDDED_DESCRIPTION,
    HOLDS_NAME,
    MAX_TITLE_CHARS,
    RUN,
    CharacterRun,
    cut_runs,
    described_text,
    first_word,
    is_measure,
    listing_text,
    may_be_glued,
    may_be_measure_by_next,
    may_be_measure_by_previous,
    may_be_measure_by_rest,
    normalise,
    normalised_words,
    runs,
    spaced,
    uncut_runs,
)
from rerank.packs.gpu.lexicon import (
    CODE_BEHIND,
    CODE_CONFLICT,
    CUT_OFF,
    GB_WORDS,
    MEMORY_PATTERNS,
    NEGATIONS,
    NO_SUPER_BEFORE,
    NOT_VIDEO_MEMORY,
    STRONG_SUFFIXES,
    TELLING_LETTERS,
    UNKNOWN_SUFFIX,
    CodeFound,
    Lexicon,
    Mention,
    TitleReading,
    is_of_watts,
    memory_type_and_weight,
    memory_type_code,
)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Masks = NDArray[np.uint64]

_MOST_WORDS = 64_000  # then a new vocabulary is begun; the frequent words are soon back
_FIRST_ROWS = 1024


class FactColumns:
    """FactColumns of numbers that grow by rows; row 0 stands for nothing.

    :param nothing: what columns have in row 0, by default 0.
    :param types: the columns' dtypes by name.
    """

    def __init__(self, nothing: dict[str, float] | None = None, **types: Any) -> None:
        self._size = 1
        self._values = {name: np.zeros(_FIRST_ROWS, kind) for name, kind in types.items()}
        for name, value in (nothing or {}).items():
            self._values[name][0] = value

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._values[name][: self._size]

    def add(self, rows: int, **columns: Any) -> None:
        """Append rows; a column that is not given gets zeros."""
        end = self._size + rows
        for name, values in self._values.items():
            if end > len(values):
                values = np.concatenate([values, np.zeros(max(end, len(values)), values.dtype)])
                self._values[name] = values
            if name in columns:
                values[self._size : end] = columns[name]
        self._size = end

    def set(self, rows: Sequence[int], **columns: Any) -> None:
        """Write rows that are there."""
        for name, values in columns.items():
            self._values[name][rows] = values


# What a run is, as bits.
(
    _DIGITS,
    _LETTERS,
    _GM_FIRST,
    _DIGIT_FIRST,
    _NEGATION,
    _GB_WORD,
    _NO_SUPER,
    _STRONG,
    _TYPE_WORD,
    _X,
    _R,
    _SERIES,
    _SUPER,
    _JETSTREAM,
    _PREFIX,
    _AFFIX,
    _STRONG_START,
) = (1 << at for at in range(17))
# What a word is, as bits.
(_ENDS_NUMBER, _BEGINS_UNIT, _STORAGE, _WATTS, _DOTS, _CODE, _ENDS_TYPE, _BEGINS_TYPE) = (
    1 << at for at in range(8)
)
_STORAGE_WORD = re.compile(r"ssd|hdd|nvme|ram|озу|rom|emmc|dimm|m\.2")
_WATT_WORD = re.compile(r"[ \d]w(?:atts?)?(?![a-z0-9/])")
_TYPE = re.compile(r"ddr|hbm|[gm]b?d\d")
_HEAVIEST = 3  # weight of how a memory type is said
_WEIGHT = 100  # codes of memory types lie below
_ASCII_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_SIGN_BIT = {sign: 1 << at for at, sign in enumerate(_ASCII_LETTERS)}
_OTHER_SIGN = 1 << len(_ASCII_LETTERS)
_PERHAPS, _SURELY = 1, 2
_WORDS_OF_CODE = 12  # more than any code has
_HEAD = 3  # letters and digits by which it is seen at once that no code begins
_LONG_HEAD = 5  # and that none goes on behind a word
_LAST_OF_NAMES = "\u024f"
_UNITS = ("g", "m")
_TYPE_DIGIT = re.compile(r" -?\d")
_APOSTROPHE, _DASH = ord("'"), ord("-")


class WordTable:
    """Words and runs met so far, numbered, each with what it shows by itself.

    Word and run 0 are empty ones. A word is what stands between two spaces of a normalised title.

    :param lexicon: what knows names and codes.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.words, self.runs, self.spaced = [""], [""], [""]
        self.word = FactColumns(
            first=np.int32,  # row in ``part`` of its first run
            count=np.int16,  # of its runs
            length=np.int16,  # in characters
            flags=np.int32,
            going_on=np.int64,  # what the next word of a code that begins here may begin with
            sign=np.int64,  # the bit of what it begins with, in the same mask
            type=np.int16,  # the memory type it states, and a level
            size=np.int32,  # row in ``size`` of the first size that it states
            sizes=np.int16,  # how many
        )
        self.part = FactColumns(run=np.int32, start=np.int16, before=np.int32, behind=np.int32)
        self.run = FactColumns(
            {"key": -1, "split": -1},
            length=np.int16,
            flags=np.int32,
            key=np.int16,
            split=np.int16,  # the key of a number that has its memory glued behind
            split_gb=np.float64,
            mask=np.int16,  # row in ``masks`` of what it is as a word of names
            mask_digits=np.int16,  # the same right before digits
            leading=np.int16,  # of the suffix it begins with
            prefix=np.uint64,  # bits of the prefixes of numbers that it is
            tail=np.uint64,  # that it is or ends in
            behind=np.int8,  # letters that speak against a number they touch
        )
        self.size = FactColumns(
            gb=np.float64, kind=np.int8, heard=np.bool_, start=np.int16, end=np.int16
        )
        self._of_word, self._run_ids = _Numbers(self.words), _Numbers(self.runs)
        self._of_raw: dict[str, int] = {}  # of words as written; -1 of those that need others
        self._uncut: dict[int, int] = {}  # what a word is where names are not cut out
        self._told: dict[Any, NDArray[np.int64]] = {}
        self._remembered: dict[Any, dict[Any, Any]] = {}
        self._lock = threading.RLock()
        self._mask_rows: dict[int, int] = {0: 0}
        self._special = _special_runs(lexicon)
        self._heads = {code[:n] for code in lexicon.codes for n in range(1, _HEAD + 1)}
        self._codes_by_head: dict[str, list[str]] = defaultdict(list)
        for code in lexicon.codes:
            self._codes_by_head[code[:_LONG_HEAD]].append(code)
        self._going_on: dict[str, int] = defaultdict(int)  # of shorter starts
        for head in self._codes_by_head:
            for n in range(1, len(head)):
                self._going_on[head[:n]] |= _sign_of(head[n])
        self._codes_across: dict[tuple[int, int], int] = {}
        self.sizes_named: dict[bytes, frozenset[float]] = {}
        self.known_suffixes: dict[bytes, bool] = {}
        self._sizes_across: dict[tuple[int, int], list[tuple[int, int, int, float, bool]]] = {}
        self._learn_names()

    # -- words -------------------------------------------------------------------------------

    def split(self, titles: Sequence[str]) -> tuple[list[list[int]], list[str]]:
        """Return the words of titles, and the titles normalised; new words are learnt."""
        found, texts = [], []
        known, number = self._of_raw, self._of_word.__getitem__
        # Longer ones are cut as a whole below: a word of theirs may be as long as a book.
        raw = [title.split() if len(title) <= MAX_TITLE_CHARS else [] for title in titles]
        new = [word for word in dict.fromkeys(chain.from_iterable(raw)) if word not in known]
        for written, word in zip(new, normalised_words(new), strict=True):
            if word is None:
                known[written] = -1
            else:
                known[written] = number(written if word == written else word)
        flat = list(map(known.__getitem__, chain.from_iterable(raw)))
        shown = list(map(self.words.__getitem__, flat))
        ends = list(itertools.accumulate(map(len, raw), initial=0))
        for title, (at, end) in zip(titles, itertools.pairwise(ends), strict=True):
            ids, text = flat[at:end], " ".join(shown[at:end])
            if -1 in ids or len(text) > MAX_TITLE_CHARS or not ids:
                text = normalise(title)
                ids = list(map(number, text.split(" ")))
            found.append(ids)
            texts.append(text)
        self._learn()
        if self._uncut:
            for own, text in zip(found, texts, strict=True):
                if not self._uncut.keys().isdisjoint(own) and not may_be_glued(text):
                    own[:] = [self._uncut.get(word, word) for word in own]
        return found, texts

    def told(self, what: Callable[[Sequence[str]], Sequence[int]], of: str) -> Ints:
        """Return one more column: what is said of each run or word, asked once of each.

        :param what: says it of new ones; a method of an object that lives as long as this.
        :param of: "runs" or "words".
        """
        with self._lock:
            texts = getattr(self, of)
            values = self._told.get(what)
            known = 0 if values is None else len(values)
            if known < len(texts):
                new = np.array(what(texts[known:]), np.int64)
                values = new if values is None else np.concatenate([values, new])
                self._told[what] = values
            assert values is not None
            return values

    def memory(self, of: Callable[..., Any]) -> dict[Any, Any]:
        """Return what was once said by a method, by what it was asked; lives as long as this."""
        return self._remembered.setdefault(of, {})

    def embedded(self, runs: TitleRuns, titles: Sequence[ShownText]) -> RunTexts:
        """Return the texts that listings are embedded by: what `embedded_text` puts together.

        :param runs: of the titles.
        """
        numbers, none = self._run_numbers, list[int]()
        before = [
            numbers(seller) if seller and first_word(seller) not in title else none
            for title, seller, _ in titles
        ]
        behind = [numbers(told[:EMBEDDED_DESCRIPTION]) if told else none for _, _, told in titles]
        self._learn_runs()
        flat = list(chain.from_iterable(chain.from_iterable(zip(before, behind, strict=True))))
        columns = list(map(len, before)), [0] * len(titles), list(map(len, behind))
        counts = np.array(columns, np.int64).T
        starts = len(runs.run) + np.cumsum(counts).reshape(-1, 3) - counts
        starts[:, 1], counts[:, 1] = runs.offsets[:-1], np.diff(runs.offsets)
        own = counts.ravel()
        place = np.arange(own.sum()) + np.repeat(starts.ravel() - np.cumsum(own) + own, own)
        run = np.concatenate([runs.run, np.array(flat, np.int64)])[place]
        return RunTexts(self.runs, run, counts.sum(axis=1))

    def _run_numbers(self, text: str) -> list[int]:
        return list(map(self._run_ids.__getitem__, spaced(text).split()))

    def _learn(self) -> None:
        """Find what the words show that were numbered since the last time."""
        new = self.words[len(self.word) :]
        if not new:
            return
        text, starts = in_one(new)
        cut: dict[int, list[CharacterRun]] = {}
        for at in words_with(HOLDS_NAME, text, starts).tolist():
            apart = cut_runs(new[at])
            if apart != uncut_runs(new[at]):
                cut[at] = apart
                self._uncut[len(self.word) + at] = len(self.words)
                self.words.append(new[at])
                new.append(new[at])
        text, starts = in_one(new) if cut else (text, starts)
        pieces = self._learn_parts(text, starts, cut)
        sizes, first_size = self._learn_sizes(text, starts)
        flags, types = np.zeros(len(new), np.int32), np.zeros(len(new), np.int16)
        flags[words_with(_STORAGE_WORD, text, starts)] |= _STORAGE
        flags[words_with(_WATT_WORD, text, starts)] |= _WATTS
        for at in words_with(_TYPE, text, starts).tolist():
            types[at] = _type_of(new[at])
            flags[at] |= _ENDS_TYPE * new[at].endswith(("ddr", "hbm"))
        flags |= np.array([word[-1:].isdigit() for word in new], np.int32) * _ENDS_NUMBER
        flags |= np.array([word[:1] in _UNITS for word in new], np.int32) * _BEGINS_UNIT
        flags[words_with(_TYPE_DIGIT, text, starts)] |= _BEGINS_TYPE
        flags |= np.array([word.endswith("..") for word in new], np.int32) * _DOTS
        coded, going_on, sign = zip(*map(self._code_facts, new, pieces), strict=True)
        flags |= np.array(coded, np.int32) * _CODE
        counts = np.array(list(map(len, pieces)), np.int64)
        self.spaced += map(" ".join, pieces)
        self.word.add(
            len(new),
            first=len(self.part) - int(counts.sum()) + np.cumsum(counts) - counts,
            count=counts,
            length=list(map(len, new)),
            flags=flags,
            going_on=going_on,
            sign=sign,
            type=types,
            size=first_size,
            sizes=sizes,
        )

    def _learn_parts(
        self, text: str, starts: Ints, cut: dict[int, list[CharacterRun]]
    ) -> list[list[str]]:
        """Number the runs of new words; return the texts of each word's.

        :param text: the words in one, which begin at ``starts``.
        :param cut: the runs of those that have names cut out.
        """
        found = list(RUN.finditer(text))
        texts = [match[0] for match in found]
        place = np.array([match.start() for match in found], np.int64)
        bounds = np.searchsorted(place, [*starts.tolist(), len(text)]).tolist()
        pieces = [texts[at:end] for at, end in itertools.pairwise(bounds)]
        if cut:
            places = [place[at:end] for at, end in itertools.pairwise(bounds)]
            for at, apart in cut.items():
                pieces[at] = [piece.text for piece in apart]
                places[at] = np.array([piece.start for piece in apart]) + starts[at] + 1
            texts, place = list(chain.from_iterable(pieces)), np.concatenate(places)
        counts = np.array(list(map(len, pieces)), np.int64)
        signs = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        self.part.add(
            len(texts),
            run=list(map(self._run_ids.__getitem__, texts)),
            start=place - np.repeat(starts, counts) - 1,
            before=signs[place - 1],
            behind=signs[place + np.array(list(map(len, texts)), np.int64)],
        )
        self._learn_runs()
        return pieces

    def _learn_sizes(self, text: str, starts: Ints) -> tuple[Ints, Ints]:
        """Return how many memory sizes each word states by itself, and the first one's row."""
        rows = []
        for kind, pattern in enumerate(MEMORY_PATTERNS):
            for match in pattern.finditer(text):
                stated = self.lexicon.size_of(match)
                if stated is not None:
                    at = int(np.searchsorted(starts, match.start(), side="right")) - 1
                    place = int(starts[at]) + 1
                    rows.append((at, kind, match.start() - place, match.end() - place, *stated))
        rows.sort()
        counts = np.bincount([row[0] for row in rows], minlength=len(starts)).astype(np.int64)
        first = len(self.size) + np.cumsum(counts) - counts
        if rows:
            _, kinds, begins, ends, gb, heard = zip(*rows, strict=True)
            self.size.add(len(rows), gb=gb, kind=kinds, heard=heard, start=begins, end=ends)
        return counts, first

    def _code_facts(self, word: str, pieces: Sequence[str]) -> tuple[bool, int, int]:
        """Return whether a code begins in a word, what one may go on with, and its own sign.

        Whether one stands there is asked of each title: most codes stand in one title only.
        """
        if not pieces or (len(pieces) == 1 and pieces[0][:_HEAD] not in self._heads):
            return False, 0, _sign_of(word[0]) if pieces and word.startswith(pieces[0]) else 0
        inside, going_on, at = False, 0, 0
        letters, open_end = "".join(pieces), word.endswith(pieces[-1])
        for piece in pieces:
            if letters[at : at + _HEAD] in self._heads:
                rest = letters[at:]
                inside = inside or self.lexicon.begins_code(rest)
                going_on |= self._signs_behind(rest) if open_end else 0
            at += len(piece)
        return inside, going_on, _sign_of(word[0]) if word.startswith(pieces[0]) else 0

    def _signs_behind(self, start: str) -> int:
        """Return the mask of what codes longer than a start go on with."""
        if len(start) < _LONG_HEAD:
            return self._going_on.get(start, 0)
        mask, length = 0, len(start)
        for code in self._codes_by_head.get(start[:_LONG_HEAD], ()):
            if len(code) > length and code.startswith(start):
                mask |= _sign_of(code[length])
        return mask

    def begins_code_across(self, words: Sequence[int]) -> bool:
        """Say whether a code may begin in the first of some words and go on in the next."""
        pair = (words[0], words[1])
        known = self._codes_across.get(pair)
        if known is None:
            known = self._codes_across[pair] = self._continues(pair)
        if known == _PERHAPS:  # what begins a code goes on for two words or more
            return self._continues(words) == _SURELY
        return known == _SURELY

    def _continues(self, words: Sequence[int]) -> int:
        """Say whether a code that begins in the first word ends in the others, or behind them."""
        pieces = self.spaced[words[0]].split(" ")
        behind = "".join([self.spaced[word].replace(" ", "") for word in words[1:]])
        found = 0
        for at in range(len(pieces)):
            start = "".join(pieces[at:])
            if self.lexicon.begins_code(start + behind, beyond=len(start)):
                return _SURELY
            found = found or _PERHAPS * (self._signs_behind(start + behind) != 0)
        return found

    def sizes_across(self, number: int, unit: int) -> list[tuple[int, int, int, float, bool]]:
        """Return the sizes of a number at the end of a word whose unit begins the next.

        Of each the kind, the places in the first word's text, the GB and whether cards have it.
        """
        found = self._sizes_across.get((number, unit))
        if found is None:
            space = len(self.words[number])
            text = f" {self.words[number]} {self.words[unit]}"
            found = []
            for kind, pattern in enumerate(MEMORY_PATTERNS):
                for match in pattern.finditer(text):
                    own = self.lexicon.size_of(match)
                    start, end = match.start() - 1, match.end() - 1
                    if own is not None and start < space < end:
                        found.append((kind, start, end, *own))
            self._sizes_across[number, unit] = found
        return found

    # -- runs --------------------------------------------------------------------------------

    def _learn_names(self) -> None:
        """Number the runs that names are made of, with what pairs of them are keys."""
        lexicon = self.lexicon
        before, behind, glued = [], [], []
        for key, number in lexicon.keys.items():
            for at in range(1, len(key)):
                head, tail = self._run_ids[key[:at]], self._run_ids[key[at:]]
                if tail and key[at:].isdigit():
                    glued.append((head, tail, number))
                    if key[:at].isalpha():
                        before.append((head, tail, number))
                if key[:at].isdigit() and key[at:].isalpha():
                    behind.append((head, tail, number))
        run = self._run_ids
        suffixes = [(run[one], run[two], 1) for one, two in lexicon.pairs_of_suffixes]
        self.keys_before, self.keys_behind = _RunPairs(before), _RunPairs(behind)
        self.keys_glued, self.pairs_of_suffixes = _RunPairs(glued), _RunPairs(suffixes)
        series = lexicon.masks_of_series.items()
        self.series = {self._run_ids[digit]: self._mask_row(mask) for digit, mask in series}
        self._learn_runs()

    def _mask_row(self, mask: int) -> int:
        """Return the row of a mask over the affix words."""
        return self._mask_rows.setdefault(mask, len(self._mask_rows))

    @property
    def masks(self) -> Masks:
        """Shape (rows, mask words): the masks that runs refer to."""
        if len(self._masks) < len(self._mask_rows):
            self._masks = self.lexicon.mask_words(self.whole_masks)
        return self._masks

    _masks: Masks = np.zeros((0, 1), np.uint64)

    @property
    def whole_masks(self) -> list[int]:
        """The same as integers, by row."""
        return list(self._mask_rows)

    def _learn_runs(self) -> None:
        new = self.runs[len(self.run) :]
        if not new:
            return
        lexicon, done = self.lexicon, len(self.run)
        flags = np.array(list(map(str.isdigit, new)), np.int32) * (_DIGITS | _DIGIT_FIRST)
        flags |= np.array(list(map(str.isalpha, new)), np.int32) * _LETTERS
        lengths = np.array(list(map(len, new)), np.int64)
        foreign = np.where(flags & _DIGITS, 0, np.minimum(lengths, 3))
        self.run.add(len(new), length=lengths, flags=flags, behind=foreign, key=-1, split=-1)
        # What is no letter of names, and no digit, is no more than that.
        special = self._special
        known = [at for at, t in enumerate(new, done) if t[0] <= _LAST_OF_NAMES or t in special]
        if not known:
            return
        texts = [self.runs[at] for at in known]
        split = [(text.isdigit() and lexicon.split_number(text)) or (-1, 0.0) for text in texts]
        first = [_GM_FIRST * (t[0] in _UNITS) + _DIGIT_FIRST * t[0].isdigit() for t in texts]
        row = self._mask_row
        self.run.set(
            known,
            flags=self.run["flags"][known] | first | [special.get(text, 0) for text in texts],
            key=[lexicon.keys.get(text, -1) for text in texts],
            split=[key for key, _ in split],
            split_gb=[size for _, size in split],
            mask=[row(lexicon.affix_mask(text, False)) for text in texts],
            mask_digits=[row(lexicon.affix_mask(text, True)) for text in texts],
            leading=[row(lexicon.leading_suffix(text)) for text in texts],
            prefix=[lexicon.prefixes_of(text, False) for text in texts],
            tail=[lexicon.prefixes_of(text, True) for text in texts],
            behind=list(map(lexicon.foreign_letters, texts)),
        )


class _Numbers(dict[str, int]):
    """Numbers of texts: their places in a list, to which new ones are added.

    :param texts: none twice.
    """

    def __init__(self, texts: list[str]) -> None:
        super().__init__((text, at) for at, text in enumerate(texts))
        self._texts = texts

    def __missing__(self, text: str) -> int:
        self[text] = number = len(self._texts)
        self._texts.append(text)
        return number


class _RunPairs:
    """What pairs of runs stand for.

    :param pairs: two runs and a number each, no pair twice.
    """

    def __init__(self, pairs: Iterable[tuple[int, int, int]]) -> None:
        rows = np.array(sorted(pairs), np.int64).reshape(-1, 3)
        self._keys = (rows[:, 0] << 32) | rows[:, 1]
        self._keys = np.append(self._keys, np.iinfo(np.int64).max)
        self._values = np.append(rows[:, 2], -1)

    def find(self, first: Ints, second: Ints) -> Ints:
        """Return the number of each pair, -1 where it stands for nothing."""
        wanted = (first.astype(np.int64) << 32) | second
        at = np.searchsorted(self._keys, wanted)
        return np.where(self._keys[at] == wanted, self._values[at], -1)


def _special_runs(lexicon: Lexicon) -> dict[str, int]:
    """Return the bits of all runs that are more than letters or digits."""
    flags: dict[str, int] = {}
    kinds: tuple[tuple[Iterable[str], int], ...] = (
        (NEGATIONS, _NEGATION),
        (GB_WORDS, _GB_WORD),
        (NO_SUPER_BEFORE, _NO_SUPER),
        (STRONG_SUFFIXES, _STRONG),
        (("d", "ddr", "gddr"), _TYPE_WORD),
        ("x", _X),
        ("r", _R),
        ("579", _SERIES),
        (["super"], _SUPER),
        (["jetstream"], _JETSTREAM),
        ([text for text in lexicon.prefixes if len(text) <= 2], _PREFIX),
        (lexicon.affixes, _AFFIX),
        ({word[:at] for word in STRONG_SUFFIXES for at in range(1, len(word))}, _STRONG_START),
    )
    for texts, bit in kinds:
        for text in texts:
            flags[text] = flags.get(text, 0) | bit
    return flags


def _sign_of(char: str) -> int:
    return _SIGN_BIT.get(char, _OTHER_SIGN)


def in_one(words: Sequence[str]) -> tuple[str, Ints]:
    """Return words as one text, each between two spaces on a line, and where they begin."""
    lengths = np.array(list(map(len, words)), np.int64) + 3
    return "".join([f" {word} \n" for word in words]), np.cumsum(lengths) - lengths


def words_with(pattern: re.Pattern[str], text: str, starts: Ints) -> Ints:
    """Return the numbers of the words of `in_one` that a pattern is found in."""
    places = [match.start() + 1 for match in pattern.finditer(text)]
    return distinct(np.searchsorted(starts, places, side="right") - 1)


def _are_telling_letters(runs: Sequence[str]) -> list[bool]:
    return [run in TELLING_LETTERS for run in runs]


def _type_of(word: str) -> int:
    """Return the memory type that a word states, and how that is said; 0 if none."""
    code, weight = memory_type_and_weight(word)
    return code + _WEIGHT * weight


@dataclass(frozen=True, slots=True)
class TitleRuns:
    """The runs of a batch's titles, flat; title i owns rows offsets[i]:offsets[i + 1].

    :param word: shape (words,), of all titles; title i owns word_offsets[i]:word_offsets[i + 1].
    :param run: shape (rows,), number of each run in the vocabulary; the rest has the same shape.
    :param following: number of the next run of the title, 0 behind the last.
    :param title: number of its title.
    :param of_word: number of its word in ``word``.
    :param part: its row in the vocabulary's parts of words.
    :param start: its place in the text of its title.
    :param end: the place behind it.
    :param touches: whether the next run of its title begins where it ends.
    """

    vocabulary: WordTable
    word: Ints
    word_offsets: Ints
    offsets: Ints
    run: Ints
    title: Ints
    of_word: Ints
    part: Ints
    start: Ints
    end: Ints
    following: Ints
    touches: Bools

    @classmethod
    def of(cls, vocabulary: WordTable, words: Sequence[Sequence[int]]) -> TitleRuns:
        """Lay the runs of the words of titles side by side; no title is without a word."""
        counts = np.fromiter(map(len, words), np.int64, len(words))
        word = np.fromiter(chain.from_iterable(words), np.int64, int(counts.sum()))
        word_offsets = np.concatenate([[0], np.cumsum(counts)])
        title_of_word = np.repeat(np.arange(len(words)), counts)
        space = vocabulary.word["length"][word] + np.int64(1)
        place = np.cumsum(space) - space
        place -= place[word_offsets[:-1]][title_of_word]
        parts = vocabulary.word["count"][word].astype(np.int64)
        of_word = np.repeat(np.arange(len(word)), parts)
        first = np.cumsum(parts) - parts
        part = np.arange(len(of_word)) - (first - vocabulary.word["first"][word])[of_word]
        run = vocabulary.part["run"][part].astype(np.int64)
        start = place[of_word] + vocabulary.part["start"][part]
        end = start + vocabulary.run["length"][run]
        title = title_of_word[of_word]
        offsets = np.searchsorted(title, np.arange(len(words) + 1))
        following = np.append(run[1:], 0)
        touches = np.append(start[1:], -1) == end
        last = offsets[1:][np.diff(offsets) > 0] - 1
        following[last], touches[last] = 0, False
        return cls(
            vocabulary,
            word,
            word_offsets,
            offsets,
            run,
            title,
            of_word,
            part,
            start,
            end,
            following,
            touches,
        )

    @property
    def title_of_word(self) -> Ints:
        """Shape (words,): number of each word's title."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.word_offsets))

    def pieces(self, title: int) -> list[CharacterRun]:
        """Return the runs of a title as objects."""
        own = slice(self.offsets[title], self.offsets[title + 1])
        texts = self.vocabulary.runs
        run, start, end = (each[own].tolist() for each in (self.run, self.start, self.end))
        rows = zip(map(texts.__getitem__, run), start, end, strict=True)
        return list(map(_character_run, rows))

    def beside(self, rows: Ints, step: int, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values of the runs some steps beside rows, 0 outside their titles."""
        there = rows + step
        inside = (there >= self.offsets[self.title[rows]]) & (
            there < self.offsets[self.title[rows] + 1]
        )
        return np.where(inside, values[np.where(inside, there, 0)], values.dtype.type(0))

    def fact(self, name: str, run: Ints) -> NDArray[Any]:
        """Return a column of the vocabulary's runs."""
        return self.vocabulary.run[name][run]


@dataclass(frozen=True, slots=True)
class Mentions:
    """`Mention` in columns, by title and place; masks have a column for each of the mask words.

    :param end: where the number ends in the text.
    """

    title: Ints
    key: Ints
    at: Ints
    before: Masks
    after: Masks
    prefixes: Masks
    glued: Bools
    whole: Bools
    line_before: Masks
    remainder_gb: NDArray[np.float64]
    until: Ints
    end: Ints

    def __len__(self) -> int:
        return len(self.title)

    def take(self, rows: Ints | Bools) -> Mentions:
        """Return some of them."""
        at = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Mentions(*(getattr(self, name).take(at, axis=0) for name in self.__slots__))

    def objects(self, rows: Ints) -> list[Mention]:
        """Return some as objects."""
        columns = (
            self.key[rows].tolist(),
            self.at[rows].tolist(),
            _as_ints(self.before[rows]),
            _as_ints(self.after[rows]),
            self.prefixes[rows].tolist(),
            self.glued[rows].tolist(),
            self.whole[rows].tolist(),
            _as_ints(self.line_before[rows]),
            self.remainder_gb[rows].tolist(),
            self.until[rows].tolist(),
        )
        return list(map(_mention, zip(*columns, strict=True)))

    def of_titles(self, titles: Sequence[int], n: int) -> list[list[Mention]]:
        """Return those of some titles as objects, a list each.

        :param titles: in rising order, out of ``n``.
        """
        wanted = np.zeros(n, np.bool_)
        wanted[titles] = True
        counts = np.bincount(self.title, minlength=n)[wanted].tolist()
        objects = iter(self.objects(np.flatnonzero(wanted[self.title])))
        return [list(itertools.islice(objects, count)) for count in counts]


# Objects of tuples, made without a call in Python.
_character_run = partial(tuple.__new__, CharacterRun)
_mention = partial(tuple.__new__, Mention)


def _as_ints(masks: Masks) -> list[int]:
    """Return masks as integers, of shape (rows, mask words)."""
    raw, width = masks.tobytes(), masks.shape[1] * masks.itemsize
    from_bytes = int.from_bytes
    return [from_bytes(raw[at : at + width], "little") for at in range(0, len(raw), width)]


class CodeAt(NamedTuple):
    """A code in a title of a batch: its letters and digits, and the place in the text behind it."""

    title: int
    code: CodeFound
    letters: str
    end: int

    @classmethod
    def of(cls, title: int, code: CodeFound, pieces: Sequence[CharacterRun]) -> CodeAt:
        """Place a code that was found in the runs of a title."""
        own = pieces[code.at : code.end]
        return cls(title, code, "".join([piece[0] for piece in own])[: code.length], own[-1].end)


class TitleReadings(Sequence[TitleReading]):
    """What the titles of a batch show, in columns; an object of one is made when it is asked for.

    :param titles: what was read.
    :param runs: the runs of the titles; None if they were read one by one, into ``read``.
    :param mentions: of all titles, by title and place.
    :param codes: of all titles, by title and place.
    :param words: shape (titles, mask words), the affix words anywhere in each.
    :param sizes: the memory that each states in GB, shape (titles, most stated), ends in NaN.
    :param memory_type: shape (titles,), as `memory_type_code` has it.
    :param doubts: shape (titles,), masks over `rerank.packs.gpu.lexicon.DOUBTS`.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        titles: Sequence[ShownText],
        mentions: Mentions,
        codes: Sequence[CodeAt],
        words: Masks,
        sizes: NDArray[np.float32],
        memory_type: Ints,
        doubts: Ints,
        *,
        runs: TitleRuns | None = None,
        read: Sequence[TitleReading] = (),
    ) -> None:
        self._lexicon, self._read = lexicon, read
        self.titles, self.runs = titles, runs
        self.mentions, self.codes, self.words = mentions, codes, words
        self.sizes, self.memory_type, self.doubts = sizes, memory_type, doubts

    @classmethod
    def of(cls, lexicon: Lexicon, read: Sequence[TitleReading]) -> TitleReadings:
        """Lay what was read title by title into columns."""
        return cls(
            lexicon,
            [ShownText(each.text, each.seller, each.description) for each in read],
            _mentions_of(lexicon, read),
            [CodeAt.of(at, c, each.runs) for at, each in enumerate(read) for c in each.codes],
            lexicon.mask_words([each.words for each in read]),
            padded([each.memory_gb for each in read]),
            np.array([each.memory_type for each in read], np.int64),
            np.array([each.doubts for each in read], np.int64),
            read=read,
        )

    def __len__(self) -> int:
        return len(self.titles)

    @overload
    def __getitem__(self, at: int) -> TitleReading: ...

    @overload
    def __getitem__(self, at: slice) -> list[TitleReading]: ...

    def __getitem__(self, at: int | slice) -> TitleReading | list[TitleReading]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        if self._read:
            return self._read[at]
        return self.titles[at].read_by(self._lexicon)

    def words_of(self, at: int, start: int, stop: int) -> str:
        """Return what title ``at`` says from run ``start`` up to run ``stop``."""
        text = self.titles[at].title
        if self.runs is None:
            return text[self._read[at].runs[start].start : self._read[at].runs[stop - 1].end]
        first = self.runs.offsets[at]
        return text[self.runs.start[first + start] : self.runs.end[first + stop - 1]]

    @property
    def run_counts(self) -> Ints:
        """Shape (titles,): how many runs each title has."""
        if self.runs is None:
            return np.array([len(each.runs) for each in self._read], np.int64)
        return np.diff(self.runs.offsets)

    def letters_behind(self, title: Ints, at: Ints) -> Ints:
        """Return how many letters touch the ends of runs and belong to no name or size, at most 3.

        :param title: shape (rows,), and ``at`` the run in each.
        """
        if self.runs is None:
            pairs = zip(title.tolist(), at.tolist(), strict=True)
            found = [self._lexicon.letters_behind(self._read[own].runs, run) for own, run in pairs]
            return np.array(found, np.int64)
        rows = self.runs.offsets[title] + at
        letters = self.runs.vocabulary.run["behind"][self.runs.following[rows]]
        return np.where(self.runs.touches[rows], letters, 0).astype(np.int64)


class ShownText(NamedTuple):
    """What a listing shows, normalised."""

    title: str
    seller: str = ""
    description: str = ""

    def read_by(self, lexicon: Lexicon) -> TitleReading:
        """Read it by itself."""
        reading = lexicon.read_runs(self.title, runs(self.title), self.seller)
        return lexicon.described(reading, self.description) if self.description else reading


_shown_text = partial(tuple.__new__, ShownText)


def padded(rows: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """Return ragged rows as one array, filled up with NaN; one column at least."""
    width = max((len(row) for row in rows), default=0)
    out = np.full((len(rows), max(width, 1)), np.nan, np.float32)
    for at, row in enumerate(rows):
        out[at, : len(row)] = row
    return out


def _mentions_of(lexicon: Lexicon, read: Sequence[TitleReading]) -> Mentions:
    """Return the mentions of readings in columns."""
    flat = [(at, own, each) for at, own in enumerate(read) for each in own.mentions]
    titles = [at for at, _, _ in flat]
    ends = [own.runs[each.at].end for _, own, each in flat]
    columns = list(zip(*(each for _, _, each in flat), strict=True)) or [()] * len(Mention._fields)
    of = dict(zip(Mention._fields, columns, strict=True))
    return Mentions(
        np.array(titles, np.int64),
        np.array(of["key"], np.int64),
        np.array(of["at"], np.int64),
        lexicon.mask_words(of["before"]),
        lexicon.mask_words(of["after"]),
        np.array(of["prefixes"], np.uint64),
        np.array(of["glued"], np.bool_),
        np.array(of["whole"], np.bool_),
        lexicon.mask_words(of["line_before"]),
        np.array(of["remainder_gb"], np.float64),
        np.array(of["until"], np.int64),
        np.array(ends, np.int64),
    )


_FEWEST = 24  # titles; fewer are read one by one as soon
_AFFIX_REACH = 5
_LONG_TITLE = 45


class ColumnReader:
    """Reads the titles of a batch.

    Threads may share one: its vocabulary is used by one of them at a time.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._vocabulary: WordTable | None = None
        self._lock = threading.Lock()

    def read(self, listings: Sequence[Listing]) -> tuple[TitleReadings, RunTexts | list[str]]:
        """Read the titles of listings; return the texts to embed them by as well."""
        sellers = [normalise(each.vendor) if each.vendor else "" for each in listings]
        told = [described_text(each) if each.description else "" for each in listings]
        if len(listings) < _FEWEST:
            return self._one_by_one(listings)
        with self._lock:
            if self._vocabulary is None or len(self._vocabulary.words) > _MOST_WORDS:
                self._vocabulary = WordTable(self._lexicon)
            words, texts = self._vocabulary.split([each.title for each in listings])
            titles = list(map(_shown_text, zip(texts, sellers, told, strict=True)))
            runs = TitleRuns.of(self._vocabulary, words)
            batch = _Batch(self._lexicon, runs, titles)
            return batch.read(), self._vocabulary.embedded(runs, titles)

    def _one_by_one(self, listings: Sequence[Listing]) -> tuple[TitleReadings, list[str]]:
        texts = [listing_text(each) for each in listings]
        read = []
        for title, pieces, seller, _, description in texts:
            reading = self._lexicon.read_runs(title, pieces, seller)
            read.append(self._lexicon.described(reading, description) if description else reading)
        return TitleReadings.of(self._lexicon, read), [each.embedded for each in texts]


_Opened = tuple[list[CharacterRun], list[int]]


class _Batch:
    """What is known of the titles of one batch while they are read.

    :param runs: their runs.
    """

    def __init__(self, lexicon: Lexicon, runs: TitleRuns, titles: Sequence[ShownText]) -> None:
        self.lexicon, self.runs, self.titles = lexicon, runs, titles
        self.flags = runs.fact("flags", runs.run)
        self.next_flags = runs.fact("flags", runs.following)
        self.word_flags = runs.vocabulary.word["flags"][runs.word]
        self.title_of_word = runs.title_of_word
        self.affixes = self._affixes()
        self.masks, self._whole_masks = runs.vocabulary.masks, runs.vocabulary.whole_masks
        self._opened: dict[int, _Opened] = {}

    def read(self) -> TitleReadings:
        """Return what the titles show."""
        runs = self.runs
        mentions = self._mentions()
        codes, inside = self._codes()
        rows = runs.offsets[mentions.title] + mentions.at
        mentions = mentions.take(~np.isin(rows, inside))
        words = np.zeros((len(self.titles), self.masks.shape[1]), np.uint64)
        shown = np.flatnonzero(self.affixes)
        np.bitwise_or.at(words, runs.title[shown], self.masks[self.affixes[shown]])
        np.bitwise_or.at(words, mentions.title, mentions.after)
        doubts = self._conflicts(codes, mentions) | self._doubts(mentions)
        sizes, doubtful = self._sizes(codes, mentions)
        return TitleReadings(
            self.lexicon,
            self.titles,
            mentions,
            codes,
            words,
            sizes,
            self._memory_types(),
            doubts | doubtful,
            runs=runs,
        )

    def opened(self, title: int) -> _Opened:
        """Return the runs of a title with their masks, as the lexicon takes them."""
        found = self._opened.get(title)
        if found is None:
            own = slice(self.runs.offsets[title], self.runs.offsets[title + 1])
            masks = list(map(self._whole_masks.__getitem__, self.affixes[own].tolist()))
            found = self._opened[title] = (self.runs.pieces(title), masks)
        return found

    # -- affix words -------------------------------------------------------------------------

    def _affixes(self) -> Ints:
        """Return the row of each run's mask, as `Lexicon` has it in a title."""
        runs, flags, behind = self.runs, self.flags, self.next_flags
        before_digits = runs.touches & (behind & _DIGITS != 0)
        alone, glued = runs.fact("mask", runs.run), runs.fact("mask_digits", runs.run)
        rows = np.where(before_digits, glued, alone).astype(np.int64)
        unit = runs.touches & ~before_digits & (behind & _GM_FIRST != 0)
        rows[unit & (flags & _DIGITS != 0)] = 0  # "2" of "2GB" is no suffix
        shown = np.flatnonzero(rows)
        rows[shown] *= self._are_affixes(shown)
        series = np.flatnonzero(before_digits & (flags & _R != 0) & (behind & _SERIES != 0))
        for at in series.tolist():
            rows[at] = runs.vocabulary.series[int(runs.following[at])]
        return rows

    def _are_affixes(self, at: Ints) -> Bools:
        runs, own, behind = self.runs, self.flags[at], self.next_flags[at]
        negated = runs.beside(at, -1, self.flags) | runs.beside(at, -2, self.flags)
        kept = negated & _NEGATION == 0
        letter = (runs.fact("length", runs.run[at]) == 1) & (own & _LETTERS != 0)
        letters = np.flatnonzero(kept & letter)
        kept[letters] = self._are_letters(at[letters])
        size = ~letter & (own & _DIGITS != 0) & (behind & _GB_WORD != 0)
        kept &= ~size
        praise = ~letter & (own & _SUPER != 0) & (behind & _NO_SUPER != 0)
        return np.asarray(kept & (~praise | self._jetstreams(at)), np.bool_)

    def _jetstreams(self, at: Ints) -> Bools:
        """Say whether the "Super" of "Super JetStream" is the suffix of a number that has one."""
        runs = self.runs
        one, two = (runs.beside(at, -step, runs.run) for step in (1, 2))
        of_key = self.lexicon.has_super
        named = of_key[runs.fact("key", one)] | of_key[runs.fact("key", two)]
        return np.asarray(named & (self.next_flags[at] & _JETSTREAM != 0), np.bool_)

    def _are_letters(self, at: Ints) -> Bools:
        """Say of single letters whether they stand where a name's do; see the lexicon."""
        runs, vocabulary = self.runs, self.runs.vocabulary
        before, before_flags = runs.beside(at, -1, runs.run), runs.beside(at, -1, self.flags)
        apart = runs.start[at] - runs.beside(at, -1, runs.end)
        sign, behind = (vocabulary.part[name][runs.part[at]] for name in ("before", "behind"))
        kept = (before > 0) & (apart <= 1) & (sign != _APOSTROPHE)
        kept &= ~((behind == _DASH) & (apart == 1) & (sign == _DASH))
        following = runs.following[at]
        digit = runs.touches[at] & (self.next_flags[at] & _DIGIT_FIRST != 0)
        kept &= ~digit | (vocabulary.pairs_of_suffixes.find(runs.run[at], following) >= 0)
        named = (runs.fact("key", before) >= 0) | (before_flags & _STRONG != 0)
        named |= vocabulary.pairs_of_suffixes.find(before, runs.run[at]) >= 0
        glued = (before_flags & _DIGITS != 0) & runs.beside(at, -2, runs.touches)
        glued &= vocabulary.keys_glued.find(runs.beside(at, -2, runs.run), before) >= 0
        kept &= named | glued
        for row in np.flatnonzero(kept & (behind == _DASH)).tolist():
            word = vocabulary.words[runs.word[runs.of_word[at[row]]]]
            end = int(vocabulary.part["start"][runs.part[at[row]]]) + 1
            kept[row] = not CODE_BEHIND.match(word, end)
        return np.asarray(kept, np.bool_)

    # -- names -------------------------------------------------------------------------------

    def _mentions(self) -> Mentions:
        runs = self.runs
        at, key, remainder = self._keys()
        before = runs.beside(at, -1, runs.run)
        glued = runs.beside(at, -1, runs.touches).astype(np.bool_)
        near = (before > 0) & (runs.start[at] - runs.beside(at, -1, runs.end) <= 1)
        before_flags = runs.beside(at, -1, self.flags)
        side = glued & (before_flags & _X != 0) & (runs.beside(at, -2, self.flags) & _DIGITS != 0)
        lined = self.masks[np.where(near, runs.beside(at, -1, self.affixes), 0)]
        named = (glued & ~side) | (lined & self.lexicon.line_mask).any(axis=1)
        kept = ~self._measures(at, named)
        at, key, remainder, before = at[kept], key[kept], remainder[kept], before[kept]
        glued, near, before_flags = glued[kept], near[kept], before_flags[kept]
        prefixes = np.where(glued, runs.fact("tail", before), runs.fact("prefix", before))
        words_before, line = self._before(at)
        after, until = self._after(at)
        title = runs.title[at]
        return Mentions(
            title,
            key,
            at - runs.offsets[title],
            words_before,
            after,
            np.where(near, prefixes, 0).astype(np.uint64),
            glued,
            glued & (before_flags & _PREFIX != 0),
            line,
            remainder,
            until - runs.offsets[title],
            runs.end[at],
        )

    def _keys(self) -> tuple[Ints, Ints, NDArray[np.float64]]:
        """Return the runs that show a key, the key and the memory glued behind it, in order."""
        runs, flags = self.runs, self.flags
        key, length = runs.fact("key", runs.run), runs.fact("length", runs.run)
        digits = flags & _DIGITS != 0
        whole = np.flatnonzero((key >= 0) & (~digits | (length >= 3)))
        # The HD of an HD 5870 is no "All-in-Wonder HD", but "Radeon Pro Duo 32GB" is a Pro Duo.
        line = (flags[whole] & (_LETTERS | _AFFIX)) == (_LETTERS | _AFFIX)
        line &= self.next_flags[whole] & _DIGITS != 0
        line &= runs.beside(whole, 2, flags) & _GB_WORD == 0
        whole = whole[~line]
        long = np.flatnonzero((key < 0) & digits & (length >= 4))
        split = runs.fact("split", runs.run[long])
        long, split = long[split >= 0], split[split >= 0]
        short = np.flatnonzero(digits & (length < 3))
        by_letter, by_suffix = self._short_keys(short)
        at = np.concatenate([whole, long, short[by_letter >= 0], short[by_suffix >= 0]])
        keys = [key[whole], split, by_letter[by_letter >= 0], by_suffix[by_suffix >= 0]]
        gb = np.zeros(len(at))
        gb[len(whole) : len(whole) + len(long)] = runs.fact("split_gb", runs.run[long])
        order = np.argsort(at, kind="stable")
        return at[order], np.concatenate(keys).astype(np.int64)[order], gb[order]

    def _short_keys(self, at: Ints) -> tuple[Ints, Ints]:
        """Return the keys that numbers of one or two digits show with the run before and behind."""
        runs, vocabulary = self.runs, self.runs.vocabulary
        before = runs.beside(at, -1, runs.run)
        gap = runs.start[at] - runs.beside(at, -1, runs.end)
        near, apart = (before > 0) & (gap <= 1), gap == 1
        joined = runs.beside(at, -2, runs.touches).astype(np.bool_)
        near &= ~(apart & joined)  # "L 4" is an L4, but "0A-10L" no A10
        near &= ~(~apart & joined & (runs.beside(at, -2, self.flags) & _DIGITS != 0))
        near &= ~(apart & (self.next_flags[at] & _GB_WORD != 0))  # nor is "Dual-X 3GB" an X3
        by_letter = vocabulary.keys_before.find(before, runs.run[at])
        by_suffix = vocabulary.keys_behind.find(runs.run[at], runs.following[at])
        return np.where(near, by_letter, -1), by_suffix

    def _measures(self, at: Ints, named: Bools) -> Bools:
        """Say whether runs are clocks, prices, watts ...: most words beside them rule it out."""
        runs, vocabulary = self.runs, self.runs.vocabulary
        texts, part = vocabulary.words, vocabulary.part
        word = runs.of_word[at]
        last = runs.word_offsets[runs.title[at] + 1] - 1
        following = np.where(word < last, runs.word[np.minimum(word + 1, len(runs.word) - 1)], 0)
        first = runs.word_offsets[runs.title[at]]
        previous = np.where(word > first, runs.word[word - 1], 0)
        start = part["start"][runs.part[at]]
        length = runs.fact("length", runs.run[at])
        end = start + length
        ends = end == vocabulary.word["length"][runs.word[word]]
        watts = np.zeros(len(self.titles), np.bool_)
        watts[self.title_of_word[self.word_flags & _WATTS != 0]] = True
        out = np.zeros(len(at), np.bool_)
        rows = zip(
            *(each.tolist() for each in (runs.word[word], previous, following, start, end, ends)),
            *(each.tolist() for each in (length >= 3, named, watts[runs.title[at]])),
            strict=True,
        )
        for row, (own, left, right, begin, stop, at_end, long, lined, watt) in enumerate(rows):
            if not long:
                continue
            if at_end:
                doubtful = right > 0 and may_be_measure_by_next(texts[right])
            else:
                doubtful = may_be_measure_by_rest(texts[own], stop)
            if not (doubtful or lined):
                if begin:
                    doubtful = may_be_measure_by_previous(texts[own][:begin])
                elif left:
                    doubtful = may_be_measure_by_previous(texts[left])
            if doubtful or watt:
                out[row] = self._is_measure(int(at[row]), lined)
        return out

    def _is_measure(self, at: int, named: bool) -> bool:
        runs = self.runs
        text = self.titles[int(runs.title[at])].title
        run = CharacterRun(
            runs.vocabulary.runs[runs.run[at]], int(runs.start[at]), int(runs.end[at])
        )
        return is_measure(text, run, named) or is_of_watts(text, run.text, run.start)

    def _before(self, at: Ints) -> tuple[Masks, Masks]:
        """Return the affix words shortly before numbers, and the line words nearest to them."""
        runs = self.runs
        mask = np.zeros((len(at), self.masks.shape[1]), np.uint64)
        line = mask.copy()
        first, going = runs.offsets[runs.title[at]], np.arange(len(at))
        for step in range(1, _AFFIX_REACH + 1):
            going = going[at[going] - step >= first[going]]
            there = at[going] - step
            here = self.masks[self.affixes[there]]
            mask[going] |= here
            unlined = ~line[going].any(axis=1)
            line[going[unlined]] = here[unlined] & self.lexicon.line_mask
            number = (self.flags[there] & _DIGITS != 0) & (runs.fact("length", runs.run[there]) > 2)
            going = going[~number]
        return mask, line

    def _after(self, at: Ints) -> tuple[Masks, Ints]:
        """Return the suffixes behind numbers, and the run behind those; see the lexicon."""
        runs = self.runs
        mask = np.zeros((len(at), self.masks.shape[1]), np.uint64)
        ends = runs.offsets[runs.title[at] + 1]
        until, going = at + 1, np.arange(len(at))
        for step in range(1, _AFFIX_REACH + 1):
            going = going[at[going] + step < ends[going]]
            rows = self.affixes[at[going] + step]
            going, rows = going[rows > 0], rows[rows > 0]
            mask[going] |= self.masks[rows]
            until[going] += 1
        stopped = np.flatnonzero(until < np.minimum(ends, at + 1 + _AFFIX_REACH))
        glued = (until[stopped] == at[stopped] + 1) & runs.touches[at[stopped]]
        tight, loose = stopped[glued], stopped[~glued]
        leading = runs.fact("leading", runs.run[until[tight]]).astype(np.int64)
        mask[tight] |= self.masks[leading]
        until[tight] += leading > 0
        self._behind_memory(loose, ends, mask, until)
        return mask, until

    def _behind_memory(self, rows: Ints, ends: Ints, mask: Masks, until: Ints) -> None:
        """Add the suffixes that stand behind a memory size: "1660 6GB Super"."""
        runs, place = self.runs, until[rows]
        size = (self.flags[place] & _DIGITS != 0) & (runs.fact("length", runs.run[place]) <= 2)
        size &= (place + 2 < ends[rows]) & (self.next_flags[place] & _GB_WORD != 0)
        rows, place = rows[size], place[size] + 2
        typed = (self.flags[place] & _TYPE_WORD != 0) & (place + 2 < ends[rows])
        place = place + 2 * typed
        place = place + (typed & (self.flags[place] & _X != 0) & (place + 1 < ends[rows]))
        strong = (self.masks[self.affixes[place]] & self.lexicon.strong_mask).any(axis=1)
        for row, at in zip(rows[strong].tolist(), place[strong].tolist(), strict=True):
            while at < ends[row] and self._is_strong(at):
                mask[row] |= self.masks[self.affixes[at]]
                at += 1
                until[row] = at

    def _is_strong(self, at: int) -> bool:
        return bool((self.masks[self.affixes[at]] & self.lexicon.strong_mask).any())

    # -- codes -------------------------------------------------------------------------------

    def _codes(self) -> tuple[list[CodeAt], Ints]:
        """Return the codes of titles, and the runs whose numbers name nothing by themselves."""
        found: list[CodeAt] = []
        inside: list[int] = []
        for title in self._perhaps_coded().tolist():
            text, pieces = self.titles[title].title, self.opened(title)[0]
            codes = self.lexicon.codes_in(text, pieces)
            found += [CodeAt.of(title, code, pieces) for code in codes]
            first = int(self.runs.offsets[title])
            inside += [first + at for c in codes if c.explains for at in range(c.at, c.end)]
        return found, np.array(inside, np.int64)

    def _perhaps_coded(self) -> Ints:
        """Return the titles in which a code may begin, few more than have one."""
        runs, vocabulary = self.runs, self.runs.vocabulary
        coded = self.word_flags & _CODE != 0
        word = runs.word
        following = np.append(word[1:], 0)
        following[runs.word_offsets[1:] - 1] = 0
        fits = vocabulary.word["going_on"][word] & vocabulary.word["sign"][following]
        for at in np.flatnonzero((fits != 0) & ~coded).tolist():
            end = runs.word_offsets[self.title_of_word[at] + 1]
            coded[at] = vocabulary.begins_code_across(
                word[at : min(end, at + _WORDS_OF_CODE)].tolist()
            )
        return distinct(self.title_of_word[coded])

    def _conflicts(self, codes: Sequence[CodeAt], mentions: Mentions) -> Ints:
        """Return the doubt of titles whose codes stand for other models than the names."""
        doubts = np.zeros(len(self.titles), np.int64)
        by_title: dict[int, list[CodeFound]] = {}
        for each in codes:
            by_title.setdefault(each.title, []).append(each.code)
        named = mentions.of_titles(list(by_title), len(self.titles))
        for (title, own), beside in zip(by_title.items(), named, strict=True):
            if beside and self.lexicon.contradicted(own, beside, self.opened(title)[1]):
                doubts[title] = CODE_CONFLICT
        return doubts

    # -- doubts ------------------------------------------------------------------------------

    def _are_names(self, mentions: Mentions) -> Bools:
        """Say whether numbers are sure to be models'; see the lexicon."""
        lettered = mentions.prefixes & self.lexicon.prefixes_of_keys[mentions.key] != 0
        by_itself = self.lexicon.long_numbers[mentions.key] & (lettered | ~mentions.glued)
        return np.asarray(mentions.line_before.any(axis=1) | by_itself, np.bool_)

    def _doubts(self, mentions: Mentions) -> Ints:
        """Return what makes the names in titles doubtful, sizes and codes apart."""
        runs, lexicon = self.runs, self.lexicon
        doubts = np.zeros(len(self.titles), np.int64)
        rows = self._perhaps_cut_off(mentions)
        for text, opened, mention, title in self._in_full(mentions, rows):
            if lexicon.cut_off(text, *opened, mention):
                doubts[title] |= CUT_OFF
        number = runs.offsets[mentions.title] + mentions.at
        letters = runs.vocabulary.told(_are_telling_letters, "runs")
        lettered = runs.touches[number] & (letters[runs.following[number]] > 0)
        at = np.flatnonzero(lettered)  # the M of a GTX 280M is that of a model
        own = self.masks[self.affixes[number[at] + 1]]
        lettered[at] = ~(own & lexicon.suffixes_of_keys[mentions.key[at]]).any(axis=1)
        suffixed = np.flatnonzero(mentions.after.any(axis=1))
        rows = suffixed[lettered[suffixed] | ~self._known_suffixes(mentions, suffixed)]
        rows = rows[self._are_names(mentions.take(rows))]
        for text, opened, mention, title in self._in_full(mentions, rows):
            if lexicon.unknown_suffix(text, *opened, mention):
                doubts[title] |= UNKNOWN_SUFFIX
        return doubts

    def _in_full(
        self, mentions: Mentions, rows: Ints
    ) -> Iterator[tuple[str, _Opened, Mention, int]]:
        """Yield some mentions with the text, the runs and the number of their titles."""
        titles = mentions.title[rows].tolist()
        for title, mention in zip(titles, mentions.objects(rows), strict=True):
            yield self.titles[title].title, self.opened(title), mention, title

    def _perhaps_cut_off(self, mentions: Mentions) -> Ints:
        """Return the last mentions of titles that may end inside a suffix."""
        runs = self.runs
        last = np.flatnonzero(
            np.append(mentions.title[1:] != mentions.title[:-1], True)[: len(mentions)]
        )
        title = mentions.title[last]
        final = runs.offsets[title + 1] - 1
        ending = mentions.until[last] >= final - runs.offsets[title]
        dots = self.word_flags[runs.word_offsets[title + 1] - 1] & _DOTS != 0
        perhaps = dots | (self.flags[final] & _STRONG_START != 0)
        return np.asarray(last[ending & perhaps], np.int64)

    # -- memory ------------------------------------------------------------------------------

    def _memory_types(self) -> Ints:
        """Return the memory type that each title states."""
        runs = self.runs
        said = runs.vocabulary.word["type"][runs.word].astype(np.int64)
        out = np.zeros(len(self.titles), np.int64)
        stating = np.flatnonzero(said)[::-1]  # the first of a title is written last
        for weight in range(1, _HEAVIEST + 1):
            rows = stating[said[stating] // _WEIGHT == weight]
            out[self.title_of_word[rows]] = said[rows] % _WEIGHT
        flags = self.word_flags
        broken = (flags[:-1] & _ENDS_TYPE != 0) & (flags[1:] & _BEGINS_TYPE != 0)
        for title in distinct(self.title_of_word[:-1][broken]).tolist():
            out[title] = memory_type_code(self.titles[title].title)
        return out

    def _sizes(
        self, codes: Sequence[CodeAt], mentions: Mentions
    ) -> tuple[NDArray[np.float32], Ints]:
        """Return the sizes that titles state, and the doubt where they are no card's."""
        hits = self._hits(codes, mentions)
        changed, doubts = self._doubtful(hits, codes, mentions)
        silent = np.ones(len(self.titles), np.bool_)
        silent[hits.title[hits.heard]] = False
        of_codes: dict[int, set[int]] = {}
        for each in codes:
            of_codes.setdefault(each.title, set()).add(self.lexicon.key_of(each.code.model))
        for at, shown in enumerate(self.titles):
            if shown.description and silent[at] and not changed.get(at):
                first, end = np.searchsorted(mentions.title, (at, at + 1)).tolist()
                keys = {*mentions.key[first:end].tolist(), *of_codes.get(at, ())}
                changed[at] = self.lexicon.described_sizes(keys, shown.description)
        kept = hits.heard & ~np.isin(hits.title, list(changed))
        title, gb = hits.title[kept], hits.gb[kept]
        place = np.arange(len(title)) - np.searchsorted(title, title)
        width = max(1, int(place.max(initial=0)) + 1, *map(len, changed.values()))
        sizes = np.full((len(self.titles), width), np.nan, np.float32)
        sizes[title, place] = gb
        for at, own in changed.items():
            sizes[at, : len(own)] = own
        return sizes, doubts

    def _hits(self, codes: Sequence[CodeAt], mentions: Mentions) -> _Hits:
        """Return all sizes that stand in titles, in the order that the lexicon has them in."""
        rows = [self._glued_sizes(codes, mentions), self._sizes_in_words(), self._sizes_across()]
        title, kind, start, end, gb, heard = (
            np.concatenate(each) for each in zip(*rows, strict=True)
        )
        stored = np.zeros(len(self.titles), np.bool_)
        stored[self.title_of_word[self.word_flags & _STORAGE != 0]] = True
        kept = np.ones(len(title), np.bool_)
        for row in np.flatnonzero(stored[title] & (kind >= 0)).tolist():
            text = self.titles[title[row]].title
            kept[row] = not NOT_VIDEO_MEMORY.match(text, int(end[row]))
        title, kind, start, gb, heard = (each[kept] for each in (title, kind, start, gb, heard))
        order = np.lexsort((start, kind, title))  # stable: glued ones stay in their order
        title, start, gb, heard = (each[order] for each in (title, start, gb, heard))
        same = np.lexsort((np.arange(len(title)), heard, gb, title))
        again = np.zeros(len(title), np.bool_)
        for each in (title, gb, heard):
            again[same[1:]] |= each[same[1:]] != each[same[:-1]]
        again[same[1:]] = ~again[same[1:]]
        return _Hits(title[~again], start[~again], gb[~again], heard[~again])

    def _glued_sizes(self, codes: Sequence[CodeAt], mentions: Mentions) -> _Sizes:
        """Return the sizes that are glued behind numbers, and those of codes."""
        glued = np.flatnonzero(mentions.remainder_gb)
        coded = [each for each in codes if each.code.memory_gb]
        title = [*mentions.title[glued].tolist(), *(each.title for each in coded)]
        gb = [*mentions.remainder_gb[glued].tolist(), *(each.code.memory_gb for each in coded)]
        none = np.full(len(title), -1, np.int64)
        sizes = np.array([round(size, 3) for size in gb], np.float64)
        return np.array(title, np.int64), none, none, none, sizes, np.ones(len(title), np.bool_)

    def _sizes_in_words(self) -> _Sizes:
        runs, vocabulary = self.runs, self.runs.vocabulary
        own = np.flatnonzero(vocabulary.word["sizes"][runs.word])
        counts = vocabulary.word["sizes"][runs.word[own]].astype(np.int64)
        at = np.repeat(own, counts)
        row = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
        row += np.repeat(vocabulary.word["size"][runs.word[own]], counts)
        start, end = vocabulary.size["start"][row], vocabulary.size["end"][row]
        kept = np.ones(len(at), np.bool_)
        first = (start == 0) & (at == runs.word_offsets[self.title_of_word[at]])
        for each in np.flatnonzero(first).tolist():  # "8GM" states a size behind a space only
            kept[each] = not vocabulary.words[runs.word[at[each]]].startswith("gm", 1)
        at, row, start, end = at[kept], row[kept], start[kept], end[kept]
        place = self._places(at)
        size = vocabulary.size
        kind = size["kind"][row].astype(np.int64)
        return (
            self.title_of_word[at],
            kind,
            place + start,
            place + end,
            size["gb"][row],
            size["heard"][row],
        )

    def _places(self, word: Ints) -> Ints:
        """Return where words begin in their titles."""
        space = self.runs.vocabulary.word["length"][self.runs.word] + np.int64(1)
        place = np.cumsum(space) - space
        return place[word] - place[self.runs.word_offsets[self.title_of_word[word]]]

    def _sizes_across(self) -> _Sizes:
        """Return the sizes whose unit is a word of its own."""
        runs, flags = self.runs, self.word_flags
        pairs = (flags[:-1] & _ENDS_NUMBER != 0) & (flags[1:] & _BEGINS_UNIT != 0)
        at = np.flatnonzero(pairs & (self.title_of_word[:-1] == self.title_of_word[1:]))
        place = self._places(at).tolist()
        title = self.title_of_word[at].tolist()
        rows: list[tuple[int, int, int, int, float, bool]] = []
        numbers, units = runs.word[at].tolist(), runs.word[at + 1].tolist()
        for own, begin, number, unit in zip(title, place, numbers, units, strict=True):
            for kind, start, end, gb, heard in runs.vocabulary.sizes_across(number, unit):
                if rows and (own, kind) == rows[-1][:2] and begin + start < rows[-1][3]:
                    continue  # the 5 of "16 GDDR5 GB" is of the size before
                rows.append((own, kind, begin + start, begin + end, gb, heard))
        places = np.array([row[:4] for row in rows], np.int64).reshape(-1, 4)
        sizes = np.array([row[4] for row in rows], np.float64)
        known = np.array([row[5] for row in rows], np.bool_)
        return places[:, 0], places[:, 1], places[:, 2], places[:, 3], sizes, known

    def _doubtful(
        self, hits: _Hits, codes: Sequence[CodeAt], mentions: Mentions
    ) -> tuple[dict[int, Sequence[float]], Ints]:
        """Return the sizes of titles whose name makes more, or less, of them, and the doubts."""
        doubts = np.zeros(len(self.titles), np.int64)
        changed: dict[int, Sequence[float]] = {}
        n = np.arange(len(self.titles) + 1)
        bounds, of_hits = np.searchsorted(mentions.title, n), np.searchsorted(hits.title, n)
        both = np.flatnonzero((np.diff(bounds) > 0) & (np.diff(of_hits) > 0))
        own_sizes = self._sizes_of(mentions, bounds[both])
        gb, heard, start = hits.gb.tolist(), hits.heard.tolist(), hits.start.tolist()
        coded = {each.title for each in codes}
        for title, own in zip(both.tolist(), own_sizes, strict=True):
            sizes: dict[float, int] = {}
            unheard: dict[float, int] = {}
            for at in range(of_hits[title], of_hits[title + 1]):
                (sizes if heard[at] else unheard)[gb[at]] = start[at]
            if not unheard and own.issuperset(sizes):
                continue
            beside = mentions.objects(np.arange(bounds[title], bounds[title + 1]))
            text, opened = self.titles[title].title, self.opened(title)
            doubt = self.lexicon.doubtful_sizes(beside, text, *opened, sizes, unheard)
            doubts[title] = 0 if title in coded else doubt
            changed[title] = list(sizes)
        return changed, doubts

    def _known_suffixes(self, mentions: Mentions, rows: Ints) -> Bools:
        """Say whether the telling suffixes behind numbers are those of some model of them."""
        key = mentions.key[rows].astype(np.uint64)
        marks = np.column_stack([key, mentions.after[rows] & self.lexicon.strong_mask])
        knows, known = self.lexicon.knows_suffixes, self.runs.vocabulary.known_suffixes
        return np.array(_asked(marks, rows, known, mentions, knows), np.bool_)

    def _sizes_of(self, mentions: Mentions, rows: Ints) -> list[frozenset[float]]:
        """Return the sizes of the models that mentions name, each kind of mention asked once."""
        known = self.runs.vocabulary.sizes_named
        marks = np.column_stack(
            [
                mentions.key[rows].astype(np.uint64),
                mentions.prefixes[rows],
                mentions.whole[rows].astype(np.uint64),
                mentions.after[rows],
                mentions.line_before[rows],
            ]
        )
        return _asked(marks, rows, known, mentions, self.lexicon.sizes_of)


_Said = TypeVar("_Said")


def _asked(
    marks: Masks,
    rows: Ints,
    known: dict[bytes, _Said],
    mentions: Mentions,
    ask: Callable[[Mention], _Said],
) -> list[_Said]:
    """Return what is said of mentions, asked once of those with the same marks.

    :param marks: shape (rows, marks), all that the answers depend on.
    :param known: what was asked before.
    """
    raw, width = marks.tobytes(), marks.shape[1] * marks.itemsize
    own = [raw[at : at + width] for at in range(0, len(raw), width)]
    new = {mark: at for at, mark in enumerate(own) if mark not in known}
    named = mentions.objects(rows[list(new.values())])
    known.update(zip(new, map(ask, named), strict=True))
    return [known[mark] for mark in own]


_Sizes = tuple[Ints, Ints, Ints, Ints, NDArray[np.float64], Bools]
"""Of sizes in titles: title, kind (-1 of glued ones), start, end, GB, whether cards have it."""


class _Hits(NamedTuple):
    """Memory sizes that stand in titles, in order, none twice; those ``heard`` of are cards'."""

    title: Ints
    start: Ints
    gb: NDArray[np.float64]
    heard: Bools
