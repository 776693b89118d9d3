"""The lexicon: which models a title names, by number, spelling or part number, and what it states.

`Lexicon.read` turns one title into a `TitleReading`. That defines what a title shows; batches are
read in columns (`title_columns.py`), which ask here what is rare.
"""

from __future__ import annotations

import itertools
import operator
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.index.records import GpuRecord
from rerank.index.text import CharacterRun, is_measure, normalise, runs, squash
from rerank.packs.gpu.naming import ModelName, parse_model
from rerank.packs.gpu.part_numbers import Board, stems
from rerank.resolution import same_size_by_hand

# Line words that partners glue behind a code of their own: ENGTX, VCGGTX, GFRTX, AXRX.
_GLUED_LINES = ("rtx", "gtx", "gts", "gt", "rx", "hd", "fx", "wx", "nvs")
NEGATIONS = frozenset(
    [
        "not",
        "non",
        "no",
        "sans",
        "pas",
        "ohne",
        "kein",
        "keine",
        "nicht",
        "sin",
        "sem",
        "senza",
        "nie",
        "bez",
        "nem",
        "не",
        "без",
        "ei",
        "inte",
        "niet",
    ]
)
_EXPLAINING_LETTERS = 6  # shorter stems (N970, H787) also occur by accident
_CODE_START = 3  # letters and digits by which codes are looked up; no code is shorter
_CACHED_WORDS = 200_000
_AFFIX_REACH = 5  # runs before and after a number in which line words and suffixes are looked for
SIZE_UNITS = frozenset(["g", "gb", "gd", "go", "m", "mb"])
_SYNONYMS = {
    "s": "super",
    "sup": "super",
    "supper": "super",
    "soper": "super",
    "radion": "radeon",
    "raedon": "radeon",
    "gefore": "geforce",
    "gforce": "geforce",
    "gf": "geforce",
    "tisuper": "ti",
    "tis": "ti",
    "gtxti": "ti",
    "maxq": "max",
    "gtz": "gtx",
}
_ALSO = {"tisuper": "super", "tis": "super"}
# The first digit stands before what is said of the character before it, so that it is found fast.
# A Sapphire number goes on behind a dash: 11265-05-20G states no 20 GB. Nor does "N5GM" 5 GB,
# nor "7970PE53G" 53: its 5 is the type.
_MEMORY_GB = re.compile(
    r"(\d(?<![\d.]\d)(?<!-\d\d-\d)(?<!pe\d)\d{0,2}(?:[.,]00?)?|\d(?<![a-z\d.]\d)[.,]\d{1,2})[ -]?"
    r"g(?:i?b|i?o|igs?|iga|igas|igabytes?|igaoctets?|bytes?|b?d{1,2}r?\d\w?|gddr\d\w?|t|l|p|hd\d"
    r"|b?k\d|b?hm\d?|b?m\d|bm|m(?<=[ (]\dgm)|r\d|[di])?(?![a-z0-9]|/(?!(?:oc|lp|v\d)\b))"
)
_MEMORY_MB = re.compile(
    r"(\d(?<![\d.]\d)\d{1,5}|\d(?<![a-z\d.]\d)\d?[.,]\d{3})[ -]?"
    r"(?:m|(mi?b|mi?o|meg(?:s|abytes?)?)|mb?d{1,2}r?\d|mb?k\d)(?![a-z0-9/])"
)
_MEMORY_GB_FIRST_DIGITS = re.compile(r"d[3-7]x?(\d{1,2})g(?![a-z0-9])")
MEMORY_PATTERNS = (_MEMORY_GB, _MEMORY_MB, _MEMORY_GB_FIRST_DIGITS)
"""What states a size of memory, the first kind first; see `Lexicon.size_of`."""
_PRECISE_MB = 1900  # from here on a tool's "8188 MiB" is what the driver leaves of the nominal size
_DRIVERS_SHARE = 0.08
_UNHEARD_OF_GB = 99  # no card has an odd size above it; what states one is a disk
# "16GB DDR5 RAM", "32 GB of system RAM"; but "2GB DDR4" is a GT 1030's, "8GB GDDR6 RAM" a card's.
NOT_VIDEO_MEMORY = re.compile(
    r"(?:\s?(?:lp)?ddr\d\S*|\s(?:of|de|system|main|desktop|laptop|notebook|pc)\b|\s\d{4}\b){0,2}"
    r"\s?(?:ssd|hdd|nvme|ram|озу|rom|emmc|(?:so-?|u|r)?dimm|m\.2)\b"
)
_LAPTOP_FORMS = frozenset(["mobile", "Max-Q", "MXM"])
_NO_RUN = CharacterRun("", -1, -1)
# Boards whose size some sellers give by the chip: a K80's 24 GB are "2 x 12GB" and "12GB".
_OF_SEVERAL_CHIPS = re.compile(
    r"X2\b|\b(?:Duo|Dual|TITAN Z|K80|M60|M10|A16|K10|GRID K[12]|GTX (?:295|590|690)"
    r"|HD (?:5970|6990|7990))\b"
)
_CHIPS_ON_BOARDS = (2, 4)
TELLING_LETTERS = frozenset("dgmsx")  # glued to a number they tell models apart
STRONG_SUFFIXES = frozenset(["ti", "super", "xt", "xtx", "gre"])
# "Super JetStream" is a cooler, "Super OverClock" an edition, "super Zustand" praise.
NO_SUPER_BEFORE = frozenset(
    "jetstream overclock overclocked clocked clock alloy sc soc zustand condition state stan deal"
    " price preis clean quiet good nice leise schnell stav estado oferta prezzo prix pris cena"
    " состояние цена".split()
)
GB_WORDS = frozenset(["g", "gb", "go", "gib", "gio", "gig"])
CODE_BEHIND = re.compile(r"-[a-z]{2,}\d")
_WATTS = re.compile(r"(?<!\d)\d+ ?w(?:atts?)?(?![a-z0-9/])")
_START = operator.attrgetter("start")
_DOTS = ("..", "\u2026")
_LONG_TITLE = 45  # a shorter title that ends in dots ends as its writer meant
_BESIDE_NAME = re.compile(r"[ ,;:()/|\u2013-]{0,3}")
_DDR = re.compile(r"ddr\s?-?(\d)(x?)")
_HBM = re.compile(r"hbm\s?(\d?)")
_BOARDS_DDR = re.compile(r"\d(?<!\w\d)\d{0,3}[gm]b?d(\d)")  # 8GD6


DOUBTS = ("cut_off", "unknown_suffix", "unknown_size", "code_conflict")
"""What makes the name a title shows doubtful: bit i of `TitleReading.doubts` is ``DOUBTS[i]``.

cut_off         the title ends inside what may be a longer name's suffix ("RTX 4070 Ti SU...")
unknown_suffix  a suffix stands behind the number that no model of that name has ("RX 7600 XTX")
unknown_size    a memory size stands by the name that no variant of it has ("RTX 5070 18GB")
code_conflict   a part number stands for another model than the name
"""
CUT_OFF, UNKNOWN_SUFFIX, UNKNOWN_SIZE, CODE_CONFLICT = (1 << at for at in range(4))
# Suffixes that sellers leave out, as the memory or the rest of the name tells the model, and those
# they add of their own.
_OFTEN_LEFT_OUT = (
    "ada",
    "blackwell",
    "sff",
    "pcie",
    "nvl",
    "core",
    "216",
    "448",
    "v",
    "2",
    "boost",
)
_OFTEN_ADDED = ("boost", "v", "2")


class Mention(NamedTuple):
    """A place in a title that shows a model's key: its number or core word.

    Masks are over the lexicon's affix words. ``prefixes`` are the registry's number prefixes the
    letters right before the number end in; ``glued`` says whether they touch the number. Run
    ``until`` is the first behind the number and its suffixes.
    """

    key: int
    at: int
    before: int
    after: int
    prefixes: int
    glued: bool
    whole: bool
    line_before: int
    remainder_gb: float
    until: int


class CodeFound(NamedTuple):
    """A part number or alias found in the runs ``at`` to ``end`` (excluded), its tail included.

    ``certain`` says that the registry lists it, rather than a partner's rule making it;
    ``explains`` that the numbers inside it name nothing by themselves; ``proves`` that it is a part
    number, no name or alias, which a name of another model contradicts. ``memory_gb`` is the size
    it states, 0 if none.
    """

    model: int
    length: int
    at: int
    end: int
    certain: bool
    explains: bool
    proves: bool = False
    memory_gb: float = 0.0


class TitleReading(NamedTuple):
    """What one title shows. ``words`` is the mask of all affix words anywhere in the title.

    ``seller`` is the normalised vendor of its listing, where that is known; ``doubts`` a mask over
    `DOUBTS`; ``description`` the start of its listing's description, normalised.
    """

    text: str
    runs: list[CharacterRun]
    mentions: list[Mention]
    codes: list[CodeFound]
    words: int
    memory_gb: tuple[float, ...]
    memory_type: int
    seller: str = ""
    doubts: int = 0
    description: str = ""


class Lexicon:
    """Looks up models in titles. Built from the registry's records; holds no state besides.

    :param counted: the first so many records are those that words are weighed by; by default all.
        Words that only later ones have get the numbers behind theirs, so that nothing that is
        summed up over words changes for a title without them.
    """

    def __init__(self, records: Sequence[GpuRecord], counted: int | None = None) -> None:
        self.records: list[GpuRecord] = list(records)
        self.models: list[str] = list(dict.fromkeys(record.model for record in records))
        self.n_counted = len({record.model for record in self.records[:counted]})
        """The first so many models are those that words are weighed by."""
        place = {model: at for at, model in enumerate(self.models)}
        self.model_of_record: NDArray[np.int32] = np.array(
            [place[record.model] for record in records], np.int32
        )
        self.names: list[ModelName] = [parse_model(model) for model in self.models]
        self.affixes = _vocabulary(self.names, self.n_counted)
        self._affix_heads = {word[:2] for word in (*self.affixes, *_ALSO)}
        self._mask_words = len(self.affixes) // 64 + 1
        self.prefixes = _number(sorted({name.prefix for name in self.names if name.prefix}))
        self.keys = _number(sorted({name.key for name in self.names}))
        self._sizes_set = {round(r.memory_gb, 3) for r in records if r.memory_gb}
        self._sizes_of_key: dict[int, set[float]] = defaultdict(set)
        for record, model in zip(records, self.model_of_record.tolist(), strict=True):
            key = self.keys[self.names[model].key]
            self._sizes_of_key[key].add(round(record.memory_gb, 3))
        self._numbers = {self.keys[name.key] for name in self.names if len(name.core) >= 3}
        known = self.affixes.keys()
        self._often_left_out = self._mask(known & set(_OFTEN_LEFT_OUT))
        self._often_added = self._mask(known & set(_OFTEN_ADDED))
        self._nominal: dict[float, float | None] = {}
        self._affix_cache: dict[str, int] = {}
        self._affix_before_digits: dict[str, int] = {}
        self._line_words = self._mask({word for name in self.names for word in name.line})
        self._suffix_words = {word for name in self.names for word in name.suffix} | {"ti"}
        self.pairs_of_suffixes = {
            pair for name in self.names for pair in itertools.pairwise(name.suffix)
        }
        self._strong = self._mask(STRONG_SUFFIXES & self.affixes.keys())
        self._prepare_doubts()
        self.codes = _code_table(self.models, self.names, records)
        self._code_lengths = _lengths_by_start(self.codes)

    def _prepare_doubts(self) -> None:
        """Table what models of each key there are, against which a title's name is held."""
        self._siblings: list[list[ModelName]] = [[] for _ in self.keys]
        self._suffixes_of_key: list[list[int]] = [[] for _ in self.keys]
        for name in self.names:
            self._siblings[self.keys[name.key]].append(name)
            self._suffixes_of_key[self.keys[name.key]].append(self._mask(name.suffix))
        self._prefixes_of_key = [
            reduce(operator.or_, (1 << self.prefixes[n.prefix] for n in of_key if n.prefix), 0)
            for of_key in self._siblings
        ]
        # What may still come of each name that a title is cut off in.
        self._endings_of_key = [
            [(self._mask(name.suffix), *self._strong_of(name)) for name in of_key]
            for of_key in self._siblings
        ]
        self._words_of_key = [reduce(operator.or_, own) for own in self._suffixes_of_key]
        self._sizes_of_model: list[set[float]] = [set() for _ in self.models]
        self._mobile_keys: set[int] = set()
        for record, model in zip(self.records, self.model_of_record.tolist(), strict=True):
            self._sizes_of_model[model].add(round(record.memory_gb, 3))
            if _OF_SEVERAL_CHIPS.search(record.model):
                by_chip = (round(record.memory_gb / chips, 3) for chips in _CHIPS_ON_BOARDS)
                self._sizes_of_model[model].update(by_chip)
            if record.form_factor in _LAPTOP_FORMS:
                self._mobile_keys.add(self.keys[self.names[model].key])
        # Suffixes that some model of a key has, alone or with others.
        self._known_suffixes = {
            (key, own & mask)
            for key, of_key in enumerate(self._suffixes_of_key)
            for own in of_key
            for mask in _parts_of(own & self._strong)
        }
        self._exact_sizes: dict[tuple[int, ...], frozenset[float]] = {}

    @cached_property
    def before_mask(self) -> NDArray[np.uint64]:
        """Shape (models, mask words): the line words of each model."""
        return self.mask_words([self._mask(name.line) for name in self.names])

    @cached_property
    def after_mask(self) -> NDArray[np.uint64]:
        """Shape (models, mask words): the suffixes of each model."""
        return self.mask_words([self._mask(name.suffix) for name in self.names])

    def mask_words(self, masks: Sequence[int]) -> NDArray[np.uint64]:
        """Return masks over the affix words as an array of shape (masks, mask words)."""
        size = 8 * self._mask_words
        joined = b"".join(mask.to_bytes(size, "little") for mask in masks)
        return np.frombuffer(joined, np.uint64).reshape(len(masks), self._mask_words)

    @cached_property
    def variant_rank(self) -> NDArray[np.float32]:
        """Shape (records,): place of each variant among its model's, 0 the most common."""
        seen: dict[int, int] = defaultdict(int)
        ranks = np.zeros(len(self.records), np.float32)
        for at, model in enumerate(self.model_of_record.tolist()):
            ranks[at] = seen[model]
            seen[model] += 1
        return ranks

    @cached_property
    def tie_rank(self) -> NDArray[np.int64]:
        """Shape (records,): place of each variant by gpu_id; equal scores are ordered by it."""
        order = sorted(range(len(self.records)), key=lambda at: self.records[at].gpu_id)
        ranks = np.zeros(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        return ranks

    @cached_property
    def model_tie_rank(self) -> NDArray[np.int64]:
        """Shape (models,): the lowest `tie_rank` of each model's variants."""
        ranks = np.full(len(self.models), len(self.records), np.int64)
        np.minimum.at(ranks, self.model_of_record, self.tie_rank)
        return ranks

    @cached_property
    def sold_apart(self) -> NDArray[np.bool_]:
        """Shape (records,): whether each variant is a card, not part of a processor."""
        return np.array([record.sold_apart for record in self.records], np.bool_)

    @cached_property
    def held(self) -> NDArray[np.bool_]:
        """Shape (records,): whether a person decides on each variant."""
        return np.array([record.held for record in self.records], np.bool_)

    @cached_property
    def in_sizes(self) -> NDArray[np.bool_]:
        """Shape (models,): whether a model's variants have different memory sizes."""
        memory = np.array([record.memory_gb for record in self.records])
        least, most = np.full((2, len(self.models)), [[np.inf], [-np.inf]])
        np.minimum.at(least, self.model_of_record, memory)
        np.maximum.at(most, self.model_of_record, memory)
        return np.asarray(least < most, np.bool_)

    @cached_property
    def required_mask(self) -> NDArray[np.uint64]:
        """Shape (models, mask words): the suffixes without which a name could mean another model.

        "RTX PRO 6000" can only be the Blackwell card; "RTX 6000" may be one without Ada.
        """
        essentials = list(map(_essentials, self.names))
        groups: dict[str, set[frozenset[str]]] = defaultdict(set)
        for name, own in zip(self.names, essentials, strict=True):
            groups[name.key].add(own)
        return self.mask_words(
            [
                self._mask(_required_suffixes(name, own, groups[name.key]))
                for name, own in zip(self.names, essentials, strict=True)
            ]
        )

    @cached_property
    def sibling_mask(self) -> NDArray[np.uint64]:
        """Shape (models, mask words): the suffixes of all models with the same key."""
        by_key: dict[str, int] = defaultdict(int)
        for name in self.names:
            by_key[name.key] |= self._mask(name.suffix)
        return self.mask_words([by_key[name.key] for name in self.names])

    @cached_property
    def prefix_mask(self) -> NDArray[np.uint64]:
        """Shape (models,): the bit of the letters glued before each model's number, or 0."""
        bits = [1 << self.prefixes[n.prefix] if n.prefix else 0 for n in self.names]
        return np.array(bits, np.uint64)

    @cached_property
    def line_mask(self) -> NDArray[np.uint64]:
        """Shape (mask words,): the line words of all models."""
        return self.mask_words([self._line_words]).ravel()

    @cached_property
    def strong_mask(self) -> NDArray[np.uint64]:
        """Shape (mask words,): Ti, SUPER, XT, XTX and GRE."""
        return self.mask_words([self._strong]).ravel()

    @cached_property
    def has_super(self) -> NDArray[np.bool_]:
        """Shape (keys + 1,): whether a key has a model with the suffix SUPER; the last has none."""
        bit = self._bit("super")
        return np.array([*(own & bit != 0 for own in self._words_of_key), False], np.bool_)

    @cached_property
    def long_numbers(self) -> NDArray[np.bool_]:
        """Shape (keys,): whether a key is a number, or word, of three signs or more."""
        return np.array([key in self._numbers for key in self.keys.values()], np.bool_)

    @cached_property
    def prefixes_of_keys(self) -> NDArray[np.uint64]:
        """Shape (keys,): the letters that the models of a key have before their number."""
        return np.array(self._prefixes_of_key, np.uint64)

    @cached_property
    def suffixes_of_keys(self) -> NDArray[np.uint64]:
        """Shape (keys, mask words): the suffixes of the models of each key."""
        return self.mask_words(self._words_of_key)

    @cached_property
    def masks_of_series(self) -> dict[str, int]:
        """The masks of R5, R7 and R9, by their digits."""
        return {digit: self._bit("r" + digit) for digit in "579"}

    def meant_by(self, code: str) -> object:
        """Return what a code stands for, models by their names; None if it is none."""
        entry = self.codes.get(code)
        return entry and (*entry[:4], *(self.models[at] for at in entry.models), *entry.memory_gb)

    def words_since(self, old: Lexicon) -> tuple[set[str], set[tuple[str, str]]]:
        """Return words, and pairs of them, that mean more in titles than to an earlier lexicon."""
        line = {word for name in self.names[len(old.models) :] for word in name.line}
        words = (self.affixes.keys() - old.affixes) | (self._suffix_words - old._suffix_words)
        words |= line - {word for name in old.names for word in name.line}
        words |= {short for short, long in (*_SYNONYMS.items(), *_ALSO.items()) if long in words}
        return words, self.pairs_of_suffixes - old.pairs_of_suffixes

    def knows_suffixes(self, mention: Mention) -> bool:
        """Say whether the telling suffixes behind a number are those of some model of it."""
        return (mention.key, mention.after & self._strong) in self._known_suffixes

    @cached_property
    def models_by_key(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Models grouped by key: offsets of shape (keys + 1,) into the model numbers."""
        groups: list[list[int]] = [[] for _ in self.keys]
        for at, name in enumerate(self.names):
            groups[self.keys[name.key]].append(at)
        offsets = np.cumsum([0, *map(len, groups)])
        return offsets, np.array([model for group in groups for model in group], np.int32)

    def read(self, title: str) -> TitleReading:
        """Read a title as the seller wrote it."""
        text = normalise(title)
        return self.read_runs(text, runs(text))

    def read_runs(self, text: str, pieces: list[CharacterRun], seller: str = "") -> TitleReading:
        """Read a normalised title by its runs.

        :param seller: the normalised vendor of its listing.
        """
        masks = self._affix_masks(text, pieces)
        words = 0
        for mask in masks:
            words |= mask
        codes = self.codes_in(text, pieces)
        inside = {at for code in codes if code.explains for at in range(code.at, code.end)}
        mentions = [
            mention
            for at in self._places_of_keys(pieces)
            if at not in inside
            for mention in self._mentions_at(at, text, pieces, masks)
        ]
        extra = [m.remainder_gb for m in mentions if m.remainder_gb]
        extra += [code.memory_gb for code in codes if code.memory_gb]
        conflict = bool(codes and mentions) and self.contradicted(codes, mentions, masks)
        for mention in mentions:
            words |= mention.after
        sizes, unheard = self._stated_memory(text, extra)
        doubts = conflict * CODE_CONFLICT
        if mentions:
            doubts |= self._doubts(text, pieces, masks, mentions)
            if sizes or unheard:
                beside = self.doubtful_sizes(mentions, text, pieces, masks, sizes, unheard)
                doubts |= 0 if codes else beside
        return TitleReading(
            text,
            pieces,
            mentions,
            codes,
            words,
            tuple(sizes),
            memory_type_code(text),
            seller,
            doubts,
        )

    def described(self, reading: TitleReading, description: str) -> TitleReading:
        """Add a description: it states the memory where the title is silent, and no model.

        :param description: normalised.
        """
        sizes: Sequence[float] = reading.memory_gb
        if not sizes:
            keys = {mention.key for mention in reading.mentions}
            keys |= {self.key_of(code.model) for code in reading.codes}
            sizes = self.described_sizes(keys, description)
        return reading._replace(memory_gb=tuple(sizes), description=description)

    def described_sizes(self, keys: Iterable[int], description: str) -> list[float]:
        """Return the sizes in a description that models of some keys have."""
        own = {size for key in keys for size in self._sizes_of_key[key]}
        return [size for size in self._stated_memory(description, [])[0] if size in own]

    def key_of(self, model: int) -> int:
        """Return the key of a model."""
        return self.keys[self.names[model].key]

    def _mask(self, words: Iterable[str]) -> int:
        mask = 0
        for word in words:
            mask |= 1 << self.affixes[word]
        return mask

    def _strong_of(self, name: ModelName) -> tuple[frozenset[str], int]:
        """Return the suffixes of a name that tell most, and their mask."""
        strong = STRONG_SUFFIXES.intersection(name.suffix)
        return strong, self._mask(strong)

    def _affix_masks(self, text: str, pieces: list[CharacterRun]) -> list[int]:
        masks: list[int] = []
        add, known, negations = masks.append, self._affix_cache.get, NEGATIONS
        at = -1
        for (word, _, end), (after, start, _) in zip(pieces, (*pieces[1:], _NO_RUN), strict=False):
            at += 1
            if start != end:
                mask = known(word)
                if mask is None:
                    mask = self._cached_affix_mask(word, False)
            elif after.isdigit():
                mask = self._cached_affix_mask(word, True)
                if word == "r" and after in ("5", "7", "9"):
                    add(1 << self.affixes["r" + after])
                    continue
            elif after[0] in "gm" and word.isdigit():
                mask = 0  # "2" of "2GB" is no suffix
            else:
                mask = self._cached_affix_mask(word, False)
            if mask:
                before = pieces[at - 1][0] if at else ""
                if before in negations or (at > 1 and pieces[at - 2][0] in negations):
                    mask = 0  # "not XT", "no es ti", "pas de Ti"
                elif len(word) == 1 and word.isalpha():
                    mask *= self._is_letter_of_name(at, text, pieces)
                elif after in GB_WORDS and word.isdigit():
                    mask = 0  # nor is that of "16 GB"
                elif word == "super" and after in NO_SUPER_BEFORE:
                    mask *= self._names_jetstream(at, pieces)
            add(mask)
        return masks

    def _names_jetstream(self, at: int, pieces: list[CharacterRun]) -> bool:
        """Say whether the "Super" of "Super JetStream" is the suffix of a number that has one.

        A GTX 1070 Super JetStream has the cooler of that name, an RTX 4070 Ti SUPER the JetStream.
        """
        numbers = [self.keys.get(piece.text, -1) for piece in pieces[max(0, at - 2) : at]]
        named = any(self._bit("super") & self._words_of_key[n] for n in numbers if n >= 0)
        return named and pieces[at + 1].text == "jetstream"

    def _is_letter_of_name(self, at: int, text: str, pieces: list[CharacterRun]) -> bool:
        """Say whether a single letter stands behind a number or a suffix as a name's letters do.

        That of D6, Inno3D, Dual-X, GAMING X or "GTX950-M-2GD5" does not.
        """
        letter, start, end = pieces[at]
        if not at or start - pieces[at - 1].end > 1 or text[start - 1] == "'":
            return False
        before, before_start, before_end = pieces[at - 1]
        following = text[end : end + 1]
        if following == "-" and (text[before_end:start] == "-" or CODE_BEHIND.match(text, end)):
            return False
        if following.isdigit() and (letter, pieces[at + 1][0]) not in self.pairs_of_suffixes:
            return False
        if before in self.keys or before in STRONG_SUFFIXES:
            return True
        if (before, letter) in self.pairs_of_suffixes:
            return True
        glued = at > 1 and before.isdigit() and pieces[at - 2].end == before_start
        return glued and pieces[at - 2].text + before in self.keys

    def _cached_affix_mask(self, text: str, before_digits: bool) -> int:
        cache = self._affix_before_digits if before_digits else self._affix_cache
        mask = cache.get(text)
        if mask is None:
            mask = self.affix_mask(text, before_digits)
            if len(cache) < _CACHED_WORDS:
                cache[text] = mask
        return mask

    def affix_mask(self, text: str, before_digits: bool) -> int:
        mask = 0
        if text in _SYNONYMS:
            mask |= self._bit(_SYNONYMS[text]) | self._bit(_ALSO.get(text, ""))
        mask |= self._bit(text)
        if mask or not before_digits:
            return mask
        if text.endswith(_GLUED_LINES) or text[:-1] in _GLUED_LINES:
            for line in _GLUED_LINES:
                if text.endswith(line) or (text[:-1] == line and text[-1] in self.prefixes):
                    return self._bit(line)  # also the RTX of RTXA4000
        return 0

    def _bit(self, word: str) -> int:
        place = self.affixes.get(word)
        return 0 if place is None else 1 << place

    def _places_of_keys(self, pieces: list[CharacterRun]) -> list[int]:
        """Return the runs that may show a key: most numbers do not, which is seen at once."""
        keys = self.keys
        last = len(pieces) - 1
        places = []
        for at, (word, _, _) in enumerate(pieces):
            if word in keys:
                places.append(at)
            elif word.isdigit():
                if len(word) >= 3:
                    if len(word) > 3:
                        places.append(at)
                elif (at and pieces[at - 1][0] + word in keys) or (
                    at < last and word + pieces[at + 1][0] in keys
                ):
                    places.append(at)
        return places

    def _mentions_at(
        self, at: int, title: str, pieces: list[CharacterRun], masks: list[int]
    ) -> list[Mention]:
        """Return the mentions of run ``at``: digits, or a core word."""
        text, start, _ = pieces[at]
        before_text = pieces[at - 1].text if at else ""
        glued = bool(at) and pieces[at - 1].end == start
        near = glued or (bool(at) and start - pieces[at - 1].end <= 1)
        keys, remainder = self._keys_of(text, before_text, near, at, pieces)
        if not keys:
            return []
        side = glued and before_text == "x" and at > 1 and pieces[at - 2].text.isdigit()
        named = (glued and not side) or (near and masks[at - 1] & self._line_words != 0)
        if len(text) >= 3 and (
            is_measure(title, pieces[at], named) or is_of_watts(title, text, start)
        ):
            return []
        prefixes = self.prefixes_of(before_text, glued) if near else 0
        before, line_before = self._before(at, masks, pieces)
        after, until = self._after(at, masks, pieces)
        whole = glued and len(before_text) <= 2 and before_text in self.prefixes
        return [
            Mention(k, at, before, after, prefixes, glued, whole, line_before, remainder, until)
            for k in keys
        ]

    def prefixes_of(self, letters: str, glued: bool) -> int:
        """Return the prefixes the run before a number ends in, or is if it stands apart."""
        mask = 0
        for length in (1, 2):
            if len(letters) == length or (glued and len(letters) > length):
                place = self.prefixes.get(letters[-length:])
                mask |= 0 if place is None else 1 << place
        return mask

    def _keys_of(
        self, text: str, before: str, near: bool, at: int, pieces: list[CharacterRun]
    ) -> tuple[list[int], float]:
        """Return the keys a run of digits or a core word shows, and memory glued behind it."""
        following = pieces[at + 1].text if at + 1 < len(pieces) else ""
        if not text.isdigit() or len(text) >= 3:
            key = self.keys.get(text)
            if key is not None:
                if text.isalpha() and text in self.affixes and following.isdigit():
                    unit = pieces[at + 2].text if at + 2 < len(pieces) else ""
                    if unit not in GB_WORDS:  # "Radeon Pro Duo 32GB" is a Pro Duo
                        return [], 0.0  # the HD of an HD 5870 is no "All-in-Wonder HD"
                return [key], 0.0
            split = self.split_number(text) if len(text) >= 4 else None
            return ([split[0]], split[1]) if split else ([], 0.0)
        found = []
        apart = near and pieces[at].start > pieces[at - 1].end
        if apart and at > 1 and pieces[at - 2].end == pieces[at - 1].start:
            near = False  # "L 4" is an L4, but "0A-10L" no A10
        if near and not apart and at > 1 and pieces[at - 2].text.isdigit():
            near = pieces[at - 2].end < pieces[at - 1].start  # nor is 7800X3D an X3
        if apart and following in GB_WORDS:
            near = False  # nor is "Dual-X 3GB" an X3
        if near and before.isalpha() and before + text in self.keys:
            found.append(self.keys[before + text])
        if following.isalpha() and text + following in self.keys:
            found.append(self.keys[text + following])
        return found, 0.0

    def split_number(self, text: str) -> tuple[int, float] | None:
        """Split ``30506`` (of ``RTX 30506GB``) into the key of 3050 and 6 GB."""
        for length in range(min(len(text) - 1, 5), 2, -1):
            key, rest = self.keys.get(text[:length]), text[length:]
            if key is None or rest.startswith("0") or len(rest) > 4:
                continue
            size = float(rest) if len(rest) <= 2 else float(rest) / 1024
            if round(size, 3) in self._sizes_of_key[key]:
                return key, size
        return None

    def _before(self, at: int, masks: list[int], pieces: list[CharacterRun]) -> tuple[int, int]:
        """Return the affix words shortly before a number, and the line word nearest to it."""
        mask = nearest = 0
        for place in range(at - 1, max(-1, at - 1 - _AFFIX_REACH), -1):
            here = masks[place]
            if here:
                mask |= here
                nearest = nearest or here & self._line_words
            text = pieces[place][0]
            if len(text) > 2 and text.isdigit():
                break
        return mask, nearest

    def _after(self, at: int, masks: list[int], pieces: list[CharacterRun]) -> tuple[int, int]:
        """Return the suffixes that follow a number without a foreign word between, and their end.

        Between a number and Ti, SUPER, XT or XTX a memory size may stand: "1660 6GB Super".
        """
        mask = 0
        place = at + 1
        for place in range(at + 1, min(len(pieces), at + 1 + _AFFIX_REACH)):
            here = masks[place]
            if not here and place == at + 1 and pieces[place].start == pieces[at].end:
                here = self.leading_suffix(pieces[place].text)
                return mask | here, place + (here > 0)
            if not here:
                behind = _behind_memory(pieces, place)
                while behind and behind < len(pieces) and masks[behind] & self._strong:
                    mask |= masks[behind]
                    behind = place = behind + 1
                return mask, place
            mask |= here
        else:
            place += 1
        return mask, min(place, len(pieces))

    def leading_suffix(self, letters: str) -> int:
        """Return the suffix a glued run begins with (``tioc`` -> ti), of two letters or more."""
        if letters[:2] not in self._affix_heads:
            return 0
        for length in range(min(len(letters) - 1, 7), 1, -1):
            if letters[:length] in self.affixes:
                return self._bit(letters[:length])
            if letters[:length] in _ALSO:
                return self.affix_mask(letters[:length], False)
        return 0

    def codes_in(self, text: str, pieces: list[CharacterRun]) -> list[CodeFound]:
        """Return the longest part number or alias that begins at each run."""
        joined = "".join([piece[0] for piece in pieces])
        found: list[CodeFound] = []
        start = 0
        taken = 0  # end of the last part number whose inside is no name of its own
        known = self._code_lengths.get
        for at, (piece, _, _) in enumerate(pieces):
            if len(piece) < _CODE_START:
                lengths = known(joined[start : start + _CODE_START])
            else:
                lengths = known(piece[:_CODE_START])
            if lengths and at >= taken:
                codes = self._code_at(at, joined[start:], pieces, lengths)
                if codes and piece.isdigit() and _measures(text, pieces, at):
                    codes = []
                if codes and codes[0].explains:
                    taken = _end_of_word(text, pieces, codes[0].end)
                    codes = [code._replace(end=taken) for code in codes]
                found += codes
            start += len(piece)
        last = pieces[-1].text if found else ""
        if len(last) == 1 and last.isalpha() and text.endswith(_DOTS):
            found = [code for code in found if code.end < len(pieces)]  # "4070 Ti S..." is cut off
        return found

    def begins_code(self, letters: str, *, beyond: int = 0) -> bool:
        """Say whether letters and digits begin with a code of more than ``beyond`` of them."""
        for length in self._code_lengths.get(letters[:_CODE_START], ()):
            if beyond < length <= len(letters) and letters[:length] in self.codes:
                return True
        return False

    def _code_at(
        self, at: int, joined: str, pieces: list[CharacterRun], lengths: Sequence[int]
    ) -> list[CodeFound]:
        """Return the longest code of some lengths, the longest first, with which a text begins."""
        for length in lengths:
            entry = self.codes.get(joined[:length])
            if entry is None or length > len(joined):
                continue
            end = _covering(pieces, at, length)
            if end > at + 1 and joined[:length].isdigit() and not entry.open_end:
                continue  # "1066" is a GTX 1060 with 6 GB, "P106 6GB" is not
            cut_digits = joined[length - 1 : length + 1].isdigit() and len(joined) > length
            at_border = _at_border(pieces, at, length)
            if entry.certain and not entry.open_end and self._goes_on(pieces, end):
                continue  # the alias "GT 745" does not stand in "GT745M"
            # An alias is a word of its own: "4080S" does not stand in "4080 Strix".
            # Nor does a code end inside a word that begins behind a dash: R6770-MD1GD5 has no M.
            cuts_word = (entry.certain and not entry.open_end) or _starts_apart(pieces, end)
            whole = at_border or not cuts_word
            if end and whole and (entry.open_end or not cut_digits or at_border):
                marks = (entry.certain, entry.explains, entry.proves)
                return [
                    CodeFound(model, length, at, end, *marks, memory_gb)
                    for model, memory_gb in zip(entry.models, entry.memory_gb, strict=True)
                ]
        return []

    def contradicted(
        self, codes: list[CodeFound], mentions: list[Mention], masks: list[int]
    ) -> bool:
        """Say whether a part number stands for models only that the rest of a title excludes."""
        models_at: dict[int, list[int]] = defaultdict(list)
        for code in codes:
            if code.proves:
                models_at[code.at].append(code.model)
        if not models_at or not any(
            m.line_before or (m.key in self._numbers and (m.after or m.whole)) for m in mentions
        ):
            return False
        inside = {at for code in codes if code.proves for at in range(code.at, code.end)}
        words = 0
        for at, mask in enumerate(masks):
            words |= 0 if at in inside else mask
        return not all(
            any(self._may_name(mention, model, words) for model in models for mention in mentions)
            for models in models_at.values()
        )

    def _may_name(self, mention: Mention, model: int, words: int) -> bool:
        """Say whether a number with the suffixes behind it and a title's words fits a model."""
        name = self.names[model]
        if mention.key != self.keys[name.key]:
            return False
        own = self._mask(name.suffix)
        if mention.whole and not (
            name.prefix and mention.prefixes >> self.prefixes[name.prefix] & 1
        ):
            return False  # the number of an RTX 6000 Ada behind "RTX A6000"
        strange = mention.after & words & self._words_of_key[mention.key] & ~own
        missing = own & ~(mention.after | words)
        return not (strange & ~self._often_added) and not (missing & ~self._often_left_out)

    def _goes_on(self, pieces: list[CharacterRun], end: int) -> bool:
        """Say whether a suffix touches the number before run ``end``."""
        return (
            0 < end < len(pieces)
            and pieces[end].start == pieces[end - 1].end
            and pieces[end - 1].text.isdigit()
            and pieces[end].text in self._suffix_words
        )

    def _stated_memory(
        self, text: str, extra: list[float]
    ) -> tuple[dict[float, int], dict[float, int]]:
        """Return the sizes a title states, in GB, each with its place in the text.

        :returns: those that the registry has, as it has them; others, which may be no memory's.
        """
        sizes = {round(size, 3): -1 for size in extra}
        others: dict[float, int] = {}
        found: list[re.Match[str]] = []
        if "g" in text:
            found += _MEMORY_GB.finditer(text)
        if "m" in text:
            found += _MEMORY_MB.finditer(text)
        if "d" in text:
            found += _MEMORY_GB_FIRST_DIGITS.finditer(text)
        for match in found:
            stated = self.size_of(match)
            if stated is None or NOT_VIDEO_MEMORY.match(text, match.end()):
                continue
            size, heard = stated
            (sizes if heard else others).setdefault(size, match.start())
        return sizes, others

    def size_of(self, match: re.Match[str]) -> tuple[float, bool] | None:
        """Return the GB that a match of `MEMORY_PATTERNS` states, None if no card has such a size.

        :returns: as the registry has it, and true; or a size that may be no memory's, and false.
        """
        in_mb = match.re is _MEMORY_MB
        written = self._gb_of_mb(match) if in_mb else float(match[1].replace(",", "."))
        size = self._nominal_size(written)
        if size is not None:
            return size, True
        odd = match.re is not _MEMORY_GB or not 2 < written <= _UNHEARD_OF_GB
        return None if odd or not written.is_integer() else (written, False)

    def _nominal_size(self, written: float) -> float | None:
        """Return the size of the registry that a written number of GB stands for."""
        size = round(written, 3)
        if size in self._sizes_set:
            return size
        if size not in self._nominal and len(self._nominal) < _CACHED_WORDS:
            alike = (own for own in self._sizes_set if same_size_by_hand(size, own))
            nearest = min(alike, key=lambda own: abs(own - size), default=None)
            self._nominal[size] = None if size.is_integer() else nearest
        return self._nominal.get(size)

    def _gb_of_mb(self, match: re.Match[str]) -> float:
        """Return a size in MB as GB; of what a tool prints, the nominal size."""
        written = int(match[1].replace(",", "").replace(".", ""))
        size = written / 1024
        if not match[2]:  # "2060M" is no size, 3072M is
            return size if round(size, 3) in self._sizes_set else 0.0
        if written % 1000 == 0:
            return written / 1000
        if written >= _PRECISE_MB and size not in self._sizes_set:
            above = [own for own in self._sizes_set if own * (1 - _DRIVERS_SHARE) < size <= own]
            return min(above, default=size)
        return size

    def doubtful_sizes(
        self,
        mentions: Sequence[Mention],
        text: str,
        pieces: list[CharacterRun],
        masks: list[int],
        sizes: dict[float, int],
        unheard: dict[float, int],
    ) -> int:
        """Return the doubt if a size by a title's only name is none of its variants'.

        Of the ``unheard`` sizes, which no GPU has, those by the name are stated, and an only one.
        """
        first = mentions[0]
        own = self.sizes_of(first)
        if not unheard and own.issuperset(sizes):
            return 0
        if any(mention.key != first.key for mention in mentions) or not self._is_name(first):
            return 0
        behind = pieces[first.until - 1].end
        doubts = 0
        for size, place in (*sizes.items(), *unheard.items()):
            if size in own:
                continue
            if place < behind:
                run = bisect_left(pieces, place, key=_START) if place >= 0 else first.at
                lines = masks[run + 2 : first.at]  # between "18 GB" and its number
                beside = run >= first.at or all(mask & self._line_words for mask in lines)
            else:
                beside = _BESIDE_NAME.fullmatch(text, behind, place) is not None
            if beside:
                doubts = UNKNOWN_SIZE
                sizes.setdefault(size, place)
        if not sizes and len(unheard) == 1:
            sizes.update(unheard)
        return doubts

    def _doubts(
        self, text: str, pieces: list[CharacterRun], masks: list[int], mentions: Sequence[Mention]
    ) -> int:
        """Return the mask of what makes the names in a title doubtful, sizes apart."""
        doubts = 0
        last = mentions[-1]
        if last.until >= len(pieces) - 1 and self.cut_off(text, pieces, masks, last):
            doubts |= CUT_OFF
        for mention in mentions:
            after = mention.after
            if not after:
                continue
            if self.knows_suffixes(mention) and len(pieces[mention.at + 1][0]) > 1:
                continue
            if self._is_name(mention) and self.unknown_suffix(text, pieces, masks, mention):
                doubts |= UNKNOWN_SUFFIX
        return doubts

    def _is_name(self, mention: Mention) -> bool:
        """Say whether a number is sure to be a model's: it has a line's word, or its own letter.

        Long numbers may stand alone, if they are no part of a longer word.
        """
        if mention.line_before:
            return True
        letters = self._letters_of(mention) != 0
        return mention.key in self._numbers and (letters or not mention.glued)

    def letters_behind(self, pieces: Sequence[CharacterRun], at: int) -> int:
        """Return how many letters touch the end of a run and belong to no name or size, most 3."""
        if at + 1 >= len(pieces) or pieces[at + 1].start != pieces[at].end:
            return 0
        return self.foreign_letters(pieces[at + 1].text)

    def foreign_letters(self, text: str) -> int:
        """Return how many letters a run has, at most 3, if it belongs to no name or size."""
        own = text.isdigit() or text in self.affixes or text in SIZE_UNITS
        return 0 if own else min(len(text), 3)

    def _letters_of(self, mention: Mention) -> int:
        """Return the letters before a number, if models of its have them; none of a line's word."""
        known = mention.whole or not mention.line_before
        return mention.prefixes & self._prefixes_of_key[mention.key] if known else 0

    def cut_off(
        self, text: str, pieces: list[CharacterRun], masks: list[int], mention: Mention
    ) -> bool:
        """Say whether a title ends where a longer sibling's suffix may begin or go on.

        Dots say that it goes on; without them, it ends in what is no suffix yet.
        """
        dots = text.endswith(_DOTS)
        if not dots and pieces[-1].end < len(text):
            return False
        rest = dots and len(text) >= _LONG_TITLE
        if mention.at == len(pieces) - 1:
            return rest and any(own & self._strong for own in self._suffixes_of_key[mention.key])
        part, shown = pieces[-1].text, mention.after & ~masks[-1] & self._strong
        longer, complete = False, False
        for own, unsaid, unsaid_mask in self._endings_of_key[mention.key]:
            if shown & ~own:
                continue
            complete |= masks[-1] & own != 0
            longer |= any([word.startswith(part) and word != part for word in unsaid])
            longer |= rest and unsaid_mask & ~mention.after != 0
        return longer and (dots or not complete)

    def unknown_suffix(
        self, text: str, pieces: list[CharacterRun], masks: list[int], mention: Mention
    ) -> bool:
        """Say whether a suffix follows a number that no model of the number has."""
        known = self._suffixes_of_key[mention.key]
        strong = mention.after & self._strong
        spelled = [piece.text for piece in pieces[mention.at + 1 : mention.until]]
        if not any(word.startswith("sup") for word in spelled):
            strong &= ~self._bit("super")  # "3080s" and "550 tis" are several cards, L40S one
        if strong and all([strong & ~own for own in known]):
            return not NO_SUPER_BEFORE.intersection(
                piece.text for piece in pieces[mention.until : mention.until + 1]
            )
        letter, start, end = pieces[mention.at + 1]
        if letter not in TELLING_LETTERS or start > pieces[mention.at].end:
            return False
        lettered = self._letters_of(mention)
        if (letter == "s" and not lettered) or text[end : end + 1] == "-":
            return False
        if not (lettered or masks[mention.at - 1] & self._line_words):
            return False
        foreign = not any([masks[mention.at + 1] & own for own in known])
        return foreign and not (letter == "m" and mention.key in self._mobile_keys)

    def sizes_of(self, mention: Mention) -> frozenset[float]:
        """Return the sizes of the models that a mention names in full, else of all of its key."""
        looked_up = (mention.key, *mention[3:5], mention.whole, mention.line_before)
        sizes = self._exact_sizes.get(looked_up)
        if sizes is None:
            sizes = self._exact_sizes[looked_up] = self._sizes_named(mention)
        return sizes

    def _sizes_named(self, mention: Mention) -> frozenset[float]:
        offsets, members = self.models_by_key
        models = members[offsets[mention.key] : offsets[mention.key + 1]].tolist()
        telling = self._words_of_key[mention.key] & ~self._often_left_out
        lettered = self._letters_of(mention)
        exact = []
        for model in models:
            name = self.names[model]
            if (self._mask(name.suffix) ^ mention.after) & telling:
                continue
            if lettered:
                fits = bool(name.prefix) and bool(lettered >> self.prefixes[name.prefix] & 1)
            else:
                fits = not mention.line_before or self._mask(name.line) & mention.line_before != 0
            if fits:
                exact.append(model)
        return frozenset().union(*(self._sizes_of_model[model] for model in exact or models))


def _vocabulary(names: Sequence[ModelName], counted: int) -> dict[str, int]:
    """Number the line words and suffixes of all names: the bits of the affix masks.

    :param counted: names whose words come first.
    """
    first = {word for name in names[:counted] for word in (*name.line, *name.suffix)}
    first |= {"r5", "r7", "r9", "ti", "super", *_GLUED_LINES}
    others = {word for name in names[counted:] for word in (*name.line, *name.suffix)}
    return _number([*sorted(first), *sorted(others - first)])


_BRANDS = frozenset(["geforce", "radeon", "quadro", "tesla", "instinct"])


def _required_suffixes(
    name: ModelName, own: frozenset[str], siblings: Iterable[frozenset[str]]
) -> list[str]:
    """Return the suffixes whose loss leaves a name that fits a sibling at least as well.

    A word the sibling lacks counts twice against it, a word it has besides once.

    :param own: the essentials of the name, ``siblings`` those of the models of its number.
    """
    required = []
    for word in name.suffix:
        shown = own - {word}
        misfits = (len(each - shown) + 2 * len(shown - each) for each in siblings if each != own)
        if min(misfits, default=9) <= 1:
            required.append(word)
    return required


def _essentials(name: ModelName) -> frozenset[str]:
    """Return the words that tell a model from others of its number; brands are often left out."""
    return frozenset((*name.line, *name.suffix, name.prefix)) - _BRANDS


def _parts_of(mask: int) -> list[int]:
    """Return a mask and all masks of some of its bits, the empty one too."""
    parts, part = [mask], mask
    while part:
        part = (part - 1) & mask
        parts.append(part)
    return parts


def _number(values: Sequence[str]) -> dict[str, int]:
    return {value: at for at, value in enumerate(values)}


def _covering(pieces: list[CharacterRun], at: int, length: int) -> int:
    """Return the end of the runs that hold the next ``length`` letters, 0 if they lie apart."""
    covered = len(pieces[at].text)
    while covered < length:
        if pieces[at + 1].start - pieces[at].end > 1:
            return 0
        at += 1
        covered += len(pieces[at].text)
    return at + 1


def _starts_apart(pieces: list[CharacterRun], end: int) -> bool:
    """Say whether the run before ``end`` is a word that does not touch the run before it."""
    last = pieces[end - 1]
    return end > 1 and last.text.isalpha() and last.start > pieces[end - 2].end


def _measures(text: str, pieces: list[CharacterRun], at: int) -> bool:
    """Say whether a run of digits is a clock, a price ..., not an alias like 1066."""
    glued = at > 0 and pieces[at - 1].end == pieces[at].start
    return is_measure(text, pieces[at], glued)


def _behind_memory(pieces: list[CharacterRun], at: int) -> int:
    """Return the run behind a memory size and its type that begin at a run, 0 if none does."""
    if at + 2 >= len(pieces) or len(pieces[at].text) > 2 or not pieces[at].text.isdigit():
        return 0
    if pieces[at + 1].text not in GB_WORDS:
        return 0
    at += 2
    if pieces[at].text in ("d", "ddr", "gddr") and at + 2 < len(pieces):
        at += 2
        at += pieces[at].text == "x" and at + 1 < len(pieces)
    return at


def is_of_watts(title: str, number: str, start: int) -> bool:
    """Say whether a title gives a number as watts elsewhere: a power supply's name repeats them."""
    place = title.find(number + "w")
    if place < 0:
        place = title.find(number + " w")
    return place >= 0 and place != start and _WATTS.match(title, place) is not None


def _end_of_word(text: str, pieces: list[CharacterRun], end: int) -> int:
    """Return the end of the part number that goes on behind run ``end``: up to a space."""
    while end < len(pieces) and " " not in text[pieces[end - 1].end : pieces[end].start]:
        end += 1
    return end


def _at_border(pieces: list[CharacterRun], at: int, length: int) -> bool:
    """Say whether ``length`` letters from run ``at`` on end where a run ends."""
    while length > 0:
        length -= len(pieces[at].text)
        at += 1
    return length == 0


class _CodeEntry(NamedTuple):
    """What a code stands for; ``memory_gb`` by model, 0 where the code says none."""

    open_end: bool
    certain: bool
    explains: bool
    proves: bool
    models: tuple[int, ...]
    memory_gb: tuple[float, ...]


def _code_table(
    models: Sequence[str], names: Sequence[ModelName], records: Sequence[GpuRecord]
) -> dict[str, _CodeEntry]:
    """Map each part-number stem and alias to the models it stands for."""
    place = {model: at for at, model in enumerate(models)}
    variants: list[list[GpuRecord]] = [[] for _ in models]
    owners: dict[str, dict[int, float]] = defaultdict(dict)
    numbers: set[str] = set()
    certain: set[str] = set()
    for record in records:
        variants[place[record.model]].append(record)
        for text in (*record.aliases, *record.part_numbers, *_precise_codenames(record)):
            code = squash(text)
            if len(code) >= _CODE_START:
                owners[code][place[record.model]] = 0.0
                certain.add(code)
        numbers.update(map(squash, record.part_numbers))
    open_ends, spelled = set(numbers), set()
    for at, name in enumerate(names):
        boxed = (each for each in variants[at] if each.form_factor not in _LAPTOP_FORMS)
        for stem in stems(Board(record, name) for record in boxed):
            if stem.text not in certain:
                owners[stem.text][at] = stem.memory_gb
                if stem.open_end:
                    open_ends.add(stem.text)
                if stem.spelled or len(stem.text) + stem.open_end < _EXPLAINING_LETTERS:
                    spelled.add(stem.text)
    return {
        code: _CodeEntry(
            code in open_ends,
            code in certain,
            code not in spelled,
            code in numbers or (code not in certain and code not in spelled),
            tuple(owner),
            tuple(owner.values()),
        )
        for code, owner in owners.items()
    }


def _lengths_by_start(codes: Iterable[str]) -> dict[str, list[int]]:
    """Return the lengths of the codes that begin with the same letters, the longest first."""
    lengths: dict[str, set[int]] = defaultdict(set)
    for code in codes:
        lengths[code[:_CODE_START]].add(len(code))
    return {start: sorted(found, reverse=True) for start, found in lengths.items()}


def _precise_codenames(record: GpuRecord) -> Iterable[str]:
    """Return codenames that say more than the chip, such as ``Navi 31 XL-W``."""
    return [name for name in record.codenames if len(name) >= 9 and " " in name and "-" in name]


def memory_type_code(text: str) -> int:
    """Return the DDR/GDDR digit (10 + digit for GDDRnX, 20 + digit for HBM), or 0 if unsaid.

    :param text: lower case.
    """
    return memory_type_and_weight(text)[0]


def memory_type_and_weight(text: str) -> tuple[int, int]:
    """Return `memory_type_code`, and the weight of how it is said: the heaviest counts."""
    if "ddr" in text and (match := _DDR.search(text)):
        return int(match[1]) + (10 if match[2] else 0), 3
    if "hbm" in text and (match := _HBM.search(text)):
        return 20 + int(match[1] or 1), 2
    if "d" in text and (match := _BOARDS_DDR.search(text)):
        return int(match[1]), 1
    return 0, 0
