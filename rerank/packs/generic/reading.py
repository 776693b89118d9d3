"""Text of any goods read into arrays: tokens and the forms they may take, numbers, identifiers.

Nothing here knows a product or a trade. A word is read once and remembered; a batch is then put
together from what its words hold. Tokens are polynomial hashes of 64 bits (Karp and Rabin 1987),
so that neighbours written as one word need no string: H(ab) = H(a) B^len(b) + H(b) modulo 2^64.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import chain, pairwise
from math import isfinite, nan
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank.packs.generic.fields import Fields
from rerank.packs.generic.pack_data import Pack, Scale, gtin14
from rerank.packs.generic.token_arrays import Hashes, PackedTexts, Ragged, offsets_of, places
from rerank.settings import as_content, settings_of

Ints = NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15  # odd: every length keeps all 64 bits
_MASK = (1 << 64) - 1
_LONGEST = 64  # characters of a token that count
_POWERS = np.array([pow(_BASE, n, 1 << 64) for n in range(_LONGEST + 1)], np.uint64)
_WORDS = 100_000  # remembered at once, about 100 MB; then all are forgotten
_TEXT = 2000  # characters of a description that are read
_SHORT_TEXT = 400  # characters of a row whose description is read for quantities, too
_PART = re.compile(r"[^\W_]+")
_RUN = re.compile(r"[^\W\d_]+|\d+")
_NUMBER = re.compile(r"\d{1,7}(?:[.,]\d{1,3})?$")
_BARE = re.compile(r"(?<![\w.,])\d{1,5}(?![\w.,])")
_QUANTITY = re.compile(r"(?<![\w.,])(\d{1,6}(?:[.,]\d{1,3})?)-?(?=([^\d\s]\S{0,20}))")
_LETTERS = re.compile(r"\W*?([\"”″×]|''|[^\W\d_]+)(?!\w)")
_PUNCTUATION = ".,;:()[]-/"
_SCIENTIFIC = re.compile(r"\d[.,]\d+e\+?\d+$")
_ROMAN = frozenset("ii iii iv vi vii viii ix xi xii".split())
_CODE_LENGTH, _DIGITS, _PART_NUMBER, _LONG_NUMBER = 4, 5, 5, 6
_SHORTEST_GTIN = 8  # in a name, so many digits are rather something else
_TOLERANCE = 0.005  # of quantities whose unit the pack does not know

BARE = 0
"""The unit of a number without one."""


class TokenKind(IntEnum):
    """What a token looks like: codes tell products apart, words rarely do."""

    CODE = 0
    """Letters and digits, four characters and more, or five digits and more."""
    DIGIT = 1
    """Another token with a digit, or a Roman number."""
    WORD = 2


class IdentifierKind(IntEnum):
    """Where an identifier comes from."""

    GTIN = 0
    """A trade item number with a right check digit (GS1), in a column or in the name."""
    STATED = 1
    """Another one that stands in a column of identifiers."""
    NAMED = 2
    """A word of the name that looks like a part number: letters and digits, or six digits."""
    SHORT = 3
    """One of a column that does not look like that: nothing in a text can be taken for it."""


@lru_cache(maxsize=65_536)
def token_hash(token: str) -> int:
    """Return the hash of a token, 0 to 2^64 - 1."""
    value = 0
    for letter in token[:_LONGEST]:
        value = (value * _BASE + ord(letter) + 1) & _MASK
    return value


def normalised(text: str) -> str:
    """Return a text in lower case and without accents, one blank between words."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return " ".join(text.lower().split())


def token_kind(token: str, units: Mapping[str, Any]) -> TokenKind:
    """Return what a token looks like; a number glued to its unit is no code."""
    if not any(letter.isdigit() for letter in token):
        return TokenKind.DIGIT if token in _ROMAN else TokenKind.WORD
    if token.isdigit():
        return TokenKind.CODE if len(token) >= _DIGITS else TokenKind.DIGIT
    if _is_amount(token, units):
        return TokenKind.DIGIT
    return TokenKind.CODE if len(token) >= _CODE_LENGTH else TokenKind.DIGIT


def _is_amount(token: str, units: Mapping[str, Any]) -> bool:
    """Tell whether a token is a number glued to its unit."""
    runs = _RUN.findall(token)
    return len(runs) == 2 and runs[0].isdigit() and runs[1] in units


@dataclass(frozen=True, slots=True)
class Readings:
    """What a batch of products or listings says, as arrays; n rows.

    :param names: normalised names.
    :param packed: tokens of name, brand, axes and identifiers as one string without blanks.
    :param tokens: hashes of different tokens, in the order in which they stand.
    :param kinds: the `TokenKind` of each token.
    :param starts: where each token begins in ``packed``; ``lengths`` how long it is.
    :param atoms: hashes of all forms in which the other side may find a token: the tokens, runs of
        letters and digits inside them, neighbours written as one; rising in each row.
    :param text: hashes of tokens and of joined words of the description; rising in each row.
    :param units: unit of each quantity (`Reader.units` has their names; `BARE` without one);
        ``values`` the quantities in base units.
    :param identifiers: hashes; ``sources`` the `IdentifierKind` of each.
    :param brands: normalised, "" where unknown; ``brand`` the hash of its first token, 0 likewise.
    :param price: NaN where unknown.
    :param cues: bit i is set if the name has a cue of the i-th of `CUE_FEATURES`.
    :param aims: where in ``packed`` the first word begins that says what the goods are for, -1 if
        none does.
    """

    names: list[str]
    packed: list[str]
    tokens: Ragged
    kinds: NDArray[np.int8]
    starts: NDArray[np.int32]
    lengths: NDArray[np.int32]
    atoms: Ragged
    text: Ragged
    units: Ragged
    values: NDArray[np.float64]
    identifiers: Ragged
    sources: NDArray[np.int8]
    brands: list[str]
    brand: Hashes
    price: NDArray[np.float64]
    cues: Ints
    aims: Ints

    def __len__(self) -> int:
        return len(self.names)

    def check(self) -> None:
        """Check that what was read from files has the shapes of `read`'s.

        :raises ValueError: if not.
        """
        n = len(self.names)
        ragged = (self.tokens, self.atoms, self.text, self.units, self.identifiers)
        arrays = (self.brand, self.price, self.cues, self.aims)
        by_row = {len(self.packed), len(self.brands), *map(len, ragged), *map(len, arrays)}
        of_values = (
            (self.tokens, self.kinds),
            (self.tokens, self.starts),
            (self.tokens, self.lengths),
            (self.units, self.values),
            (self.identifiers, self.sources),
        )
        if by_row != {n} or any(len(own) != len(whole.values) for whole, own in of_values):
            raise ValueError(f"expected readings of {n} products, found others")
        if not {*map(type, chain(self.names, self.packed, self.brands))} <= {str}:
            raise ValueError("expected texts as names and brands")
        sizes = np.fromiter(map(len, self.packed), np.int64, n)[self.tokens.rows]
        if ((self.starts < 0) | (self.lengths < 0) | (self.starts + self.lengths > sizes)).any():
            raise ValueError("expected tokens inside the texts")

    def texts(self) -> PackedTexts:
        """Return ``packed`` to look for parts of words in."""
        return PackedTexts(self.packed, self.tokens, self.starts, self.lengths)

    def words(self, row: int) -> list[str]:
        """Return the tokens of a row as they are written."""
        text, at = self.packed[row], slice(*self.tokens.offsets[row : row + 2].tolist())
        spans = zip(self.starts[at].tolist(), self.lengths[at].tolist(), strict=True)
        return [text[start : start + length] for start, length in spans]

    @classmethod
    def joined(cls, parts: Sequence[Readings]) -> Readings:
        """Put batches one behind the other."""
        found: dict[str, Any] = {}
        for name in cls.__slots__:
            values = [getattr(part, name) for part in parts]
            if isinstance(values[0], list):
                found[name] = list(chain.from_iterable(values))
            elif isinstance(values[0], Ragged):
                found[name] = Ragged.joined(values)
            else:
                found[name] = np.concatenate(values)
        return cls(**found)


class _ReadWord(NamedTuple):
    """What stands between two blanks, read."""

    text: str
    packed: str
    hashes: tuple[int, ...]
    lengths: tuple[int, ...]
    kinds: tuple[int, ...]
    atoms: tuple[int, ...]
    number: float  # NaN if it is none
    unit: int  # that it begins with, -1 for none
    scale: float
    shy: bool
    quantities: tuple[tuple[int, float], ...]
    codes: tuple[tuple[int, int], ...]
    cues: int  # bits
    leads: bool  # phrases that tell something begin with it


CUE_FEATURES = (
    "accessory",
    "spare_part",
    "wanted",
    "box_only",
    "lot",
    "for",
    "without",
    "service",
    "broken",
    "bundle",
    "whole",
    "other",
)
"""Kinds of cues that are told apart in evidence; `data/packs/generic.yaml` says what each means."""

NOT_SOLD = ("wanted", "box_only", "service")
"""Those after which nothing that is named is sold, whatever else is said."""

GOES_WITH = ("accessory", "spare_part")
"""Those of what comes along with a product, or is for it."""

_ACCESSORY = 1 << CUE_FEATURES.index("accessory")
_COMPOUNDING = ("de", "nl", "sv", "da", "nb", "fi", "hu")  # a "Handytasche" is a Tasche
_LEAST_END = 5  # letters
_FOR = 1 << CUE_FEATURES.index("for")
# Of words only: a title that begins so names behind it what that is for, "Coque Nova 9"; in English
# the head stands last, and a "case" may be of a "case tractor".
_HEAD = 1 << len(CUE_FEATURES)


def tells_not_sold(cues: Ints) -> NDArray[np.bool_]:
    """Return which cues, bits, say that nothing that is named is sold, but what is for it maybe."""
    unsold, goes_with = (
        sum(1 << CUE_FEATURES.index(kind) for kind in kinds) for kinds in (NOT_SOLD, GOES_WITH)
    )
    return np.asarray((cues & unsold != 0) | ((cues & goes_with != 0) & (cues & _FOR != 0)))


class Cues:
    """Words and phrases that tell what is offered; bit i of an answer stands for the i-th kind."""

    def __init__(self, pack: Pack) -> None:
        self._exact: dict[str, int] = {}
        self._stems: dict[int, tuple[str, ...]] = {}
        self._phrases: dict[str, list[tuple[str, int]]] = {}
        self._inside: list[tuple[str, int]] = []
        for at, kind in enumerate(CUE_FEATURES):
            for cue in pack.cue_words(kind):
                self._learn(cue, 1 << at)
        accessories = pack.cues.get("accessory", {})
        english = {*accessories.get("en", ())}
        for cue in {*pack.cue_words("accessory")} - english:
            self._learn(cue, _HEAD)
        ends = {normalised(cue) for each in _COMPOUNDING for cue in accessories.get(each, ())}
        ends -= english
        self._ends = tuple(end for end in ends if len(end) >= _LEAST_END and end.isalpha())

    def _learn(self, cue: str, bit: int) -> None:
        text = normalised(cue.strip("~*"))
        words = _PART.findall(text)
        if cue.startswith("~"):
            self._inside.append((text, bit))
        elif len(words) > 1:
            phrase = " ".join(words) + ("" if cue.endswith("*") else " ")
            self._phrases.setdefault(words[0], []).append((f" {phrase}", bit))
        elif words and cue.endswith("*"):
            self._stems[bit] = (*self._stems.get(bit, ()), words[0])
        elif words:
            self._exact[words[0]] = self._exact.get(words[0], 0) | bit

    def of_word(self, parts: Sequence[str]) -> int:
        """Return the kinds that a word tells by itself."""
        found = 0
        for part in parts:
            found &= ~_HEAD  # of a compound's parts the last is its head
            found |= self._exact.get(part, 0)
            for bit, stems in self._stems.items():
                if part.startswith(stems):
                    found |= bit
            found |= (_ACCESSORY | _HEAD) * part.endswith(self._ends)
        return found

    def leads(self, parts: Sequence[str]) -> bool:
        """Tell whether a phrase begins with the word."""
        return any(part in self._phrases for part in parts)

    def of_name(self, name: str, words: Sequence[_ReadWord]) -> int:
        """Return the kinds that a name tells."""
        found, phrased = 0, False
        for word in words:
            found |= word.cues
            phrased |= word.leads
        if phrased:
            parts = _PART.findall(name)
            text = f" {' '.join(parts)} "
            for part in parts:
                for phrase, bit in self._phrases.get(part, ()):
                    if phrase in text:
                        found |= bit
        if self._inside and not name.isascii():
            packed = name.replace(" ", "")
            for inside, bit in self._inside:
                if inside in packed:
                    found |= bit
        if words and words[0].cues & _HEAD:
            found |= _FOR
        return found & ~_HEAD


class Reader:
    """Reads texts as a pack knows them: its units, synonyms, cues and identifiers.

    It remembers words.

    :param units: names of units by their number, of the reader that products were read by.
    """

    def __init__(self, pack: Pack, units: Sequence[str] = ()) -> None:
        self._pack = pack
        self._spellings = {normalised(each): scale for each, scale in pack.scales().items()}
        named = dict.fromkeys([*units, "", *(scale.base for scale in self._spellings.values())])
        self._unit_ids = {name: at for at, name in enumerate(named)}
        self._meanings = _meanings(pack.synonyms)
        forms = {token_hash(form): meant for form, meant in self._meanings.items()}
        self._forms = np.array(sorted(forms), np.uint64)
        self._meant = np.array([forms[form] for form in sorted(forms)], np.uint64)
        self._cues = Cues(pack)
        rules = pack.identifiers
        self._named_codes, self._shared_codes, self._inner_codes, self._endings = (
            [re.compile(each) for each in patterns]
            for patterns in (rules.patterns, rules.shared, rules.inner, rules.endings)
        )
        self._words: dict[str, _ReadWord] = {}

    @property
    def units(self) -> list[str]:
        """Names of units by their number."""
        return list(self._unit_ids)

    @property
    def tolerances(self) -> NDArray[np.float64]:
        """Relative difference up to which two values are the same, by unit."""
        known = self._pack.units
        return np.array(
            [known[name].tolerance if name in known else _TOLERANCE for name in self._unit_ids]
        )

    @property
    def alternatives(self) -> tuple[tuple[str, ...], ...]:
        """Groups of words of which a product has one."""
        return self._pack.alternatives

    def unit_number(self, name: str) -> int:
        """Return the number of a base unit, -1 if it has none."""
        return self._unit_ids.get(name, -1)

    def settings(self) -> dict[str, Any]:
        """Return what a reader that reads the same is made of, as JSON knows it."""
        return {"pack": as_content(self._pack), "units": self.units}

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> Reader:
        """Return a reader that reads as the one that gave its `settings`."""
        pack = settings_of(Pack, settings["pack"], where="the index's pack")
        return cls(pack, settings["units"])

    def read(self, fields: Sequence[Fields]) -> Readings:
        """Return what rows say."""
        short, name_words, brands = [], [], []
        for row in fields:
            words, named, brand = self._row_of(row)
            short.append(words)
            name_words.append(named)
            brands.append(brand)
        flat = list(chain.from_iterable(short))
        row_of = np.repeat(np.arange(len(short)), [len(words) for words in short])
        tokens, kinds, starts, lengths, pairs = _tokens_of(flat, row_of, len(short))
        atoms = self._atoms_of(flat, row_of, len(short), tokens, pairs)
        texts = [
            self._words_of(each.text[:_TEXT]) + self._words_of(each.category) for each in fields
        ]
        units, values = self._quantities_of(fields, short, texts)
        names = [" ".join([word.text for word in named]) for named in name_words]
        identifiers, sources = self._identifiers_of(fields, names, name_words)
        cues = [self._cues.of_name(*each) for each in zip(names, name_words, strict=True)]
        aims = [_aim(*each) for each in zip(cues, short, strict=True)]
        return Readings(
            names=names,
            packed=["".join([word.packed for word in words]) for words in short],
            tokens=tokens,
            kinds=kinds,
            starts=starts,
            lengths=lengths,
            atoms=atoms,
            text=self._text_of(texts),
            units=units,
            values=values,
            identifiers=identifiers,
            sources=sources,
            brands=[" ".join([word.text for word in brand]) for brand in brands],
            brand=np.array([_first_hash(brand) for brand in brands], np.uint64),
            price=np.array([each.price for each in fields], np.float64),
            cues=np.array(cues, np.int64),
            aims=np.array(aims, np.int64),
        )

    def _row_of(self, row: Fields) -> tuple[list[_ReadWord], list[_ReadWord], list[_ReadWord]]:
        """Return the words of a row's short text, of its name, and of its brand."""
        named = self._words_of(row.name)
        words = named
        if row.identifiers or row.axes:
            words = list(named)
            for text in (*row.identifiers, *row.axes):
                words += [word for word in self._words_of(text) if not _is_gtin(word)]
        brand: list[_ReadWord] = []
        if row.brand:
            brand = self._words_of(row.brand)
            first = brand[0].packed if brand else ""
            if first and not any(first in word.packed for word in named):
                words = [*brand, *words]
        return words, named, brand

    def _words_of(self, text: str) -> list[_ReadWord]:
        if not text:
            return []
        known = self._words
        found = []
        for chunk in text.split():
            word = known.get(chunk)
            if word is None:
                if len(known) >= _WORDS:
                    known.clear()
                word = known[chunk] = self._word_of(chunk)
            found.append(word)
        return found

    def _word_of(self, chunk: str) -> _ReadWord:
        text = normalised(chunk)
        parts = [part[:_LONGEST] for part in _PART.findall(text)]
        packed = "".join(parts)
        number = _NUMBER.match(text.strip(".,;:()[]"))
        value = float(number[0].replace(",", ".")) if number else nan
        unit, scale, shy = -1, 1.0, False
        if (spelt := self._unit_at_start(text)) is not None:
            unit, scale, shy = self._unit_ids[spelt.base], spelt.scale, spelt.shy
        return _ReadWord(
            text=text,
            packed=packed,
            hashes=tuple(self._meanings.get(part) or token_hash(part) for part in parts),
            lengths=tuple(map(len, parts)),
            kinds=tuple(int(token_kind(part, self._spellings)) for part in parts),
            atoms=_forms_of(parts, packed) + self._inner(text),
            number=value,
            unit=unit,
            scale=scale,
            shy=shy,
            quantities=self._glued(text, value),
            codes=self._codes_of(parts, packed),
            cues=self._cues.of_word(parts),
            leads=self._cues.leads(parts),
        )

    def _stated_codes(self, text: str) -> list[tuple[int, int]]:
        """Return identifiers of a cell; what a spreadsheet has made a float of is none."""
        text = normalised(text)
        packed = "".join(_PART.findall(text))[:_LONGEST]
        if not any(map(str.isdigit, packed)) or _SCIENTIFIC.match(text):
            return []
        if packed.isdigit() and (gtin := gtin14(packed)):
            return [(token_hash(gtin), int(IdentifierKind.GTIN))]
        if _searched(self._shared_codes, text):
            return []
        forms = [packed, *(ending.sub("", packed) for ending in self._endings)]
        return [
            (token_hash(form), int(IdentifierKind.STATED if clear else IdentifierKind.SHORT))
            for form in dict.fromkeys(forms)
            for clear in [_is_part_number(form, self._spellings)]
            if clear or form == packed
        ]

    def _unit_at_start(self, text: str) -> Scale | None:
        """Return the unit that a text is, or begins with before a sign."""
        whole = self._spellings.get(text.strip(_PUNCTUATION))
        if whole is None and (begins := _LETTERS.match(text)):
            whole = self._spellings.get(begins[1])
        return whole

    def _inner(self, text: str) -> tuple[int, ...]:
        """Return hashes of the models' numbers that part numbers hold."""
        found = [pattern.search(text) for pattern in self._inner_codes]
        return tuple([token_hash(each[1]) for each in found if each and each[1]])

    def _codes_of(self, parts: list[str], packed: str) -> tuple[tuple[int, int], ...]:
        """Return identifiers in a word of a name: hash and kind."""
        if packed.isdigit() and len(packed) > _SHORTEST_GTIN and (gtin := gtin14(packed)):
            return ((token_hash(gtin), int(IdentifierKind.GTIN)),)
        whole = len(parts) > 1 and not any(_is_amount(part, self._spellings) for part in parts)
        forms = [*parts, packed] if whole else parts
        found = [form for form in forms if _is_part_number(form, self._spellings)]
        found = [form for form in found if not _searched(self._shared_codes, form)]
        return tuple((token_hash(form), int(IdentifierKind.NAMED)) for form in dict.fromkeys(found))

    def _glued(self, text: str, value: float) -> tuple[tuple[int, float], ...]:
        """Return quantities inside a word: bare numbers, and those with their units."""
        found = []
        if value == value:
            found.append((BARE, value))
        else:
            found += [(BARE, float(digits)) for digits in _BARE.findall(text)]
        for number, rest in _QUANTITY.findall(text):
            if (unit := self._unit_at_start(rest)) is not None:
                amount = float(number.replace(",", ".")) * unit.scale
                found.append((self._unit_ids[unit.base], amount))
        return tuple(dict.fromkeys((unit, round(amount, 4)) for unit, amount in found))

    def _atoms_of(
        self,
        flat: list[_ReadWord],
        row_of: Ints,
        n: int,
        tokens: Ragged,
        pairs: tuple[Ints, Hashes],
    ) -> Ragged:
        counts = np.fromiter((len(word.atoms) for word in flat), np.int64, len(flat))
        inner = _flat(flat, 5, counts, np.uint64)
        rows = np.concatenate([tokens.rows, np.repeat(row_of, counts), pairs[0]])
        joined = pairs[1].copy()
        at = places(self._forms, joined)  # "built in" is "builtin"
        joined[at >= 0] = self._meant[at[at >= 0]]
        return _distinct(rows, np.concatenate([tokens.values, inner, joined]), n)

    def _text_of(self, texts: list[list[_ReadWord]]) -> Ragged:
        flat = list(chain.from_iterable(texts))
        row_of = np.repeat(np.arange(len(texts)), [len(words) for words in texts])
        parts = []
        for field in (2, 5):
            counts = np.fromiter((len(word[field]) for word in flat), np.int64, len(flat))  # type: ignore[arg-type]
            parts.append((np.repeat(row_of, counts), _flat(flat, field, counts, np.uint64)))
        rows, hashes = (np.concatenate(each) for each in zip(*parts, strict=True))
        return _distinct(rows, hashes, len(texts))

    def _quantities_of(
        self, fields: Sequence[Fields], short: list[list[_ReadWord]], texts: list[list[_ReadWord]]
    ) -> tuple[Ragged, NDArray[np.float64]]:
        counts, found = [], []
        for row, words, text in zip(fields, short, texts, strict=True):
            stated = _quantities(words)
            if text and len(row.text) < _SHORT_TEXT:
                stated += [each for each in _quantities(text) if each[0] != BARE]
            for name, value in row.quantities:
                if not isfinite(value):
                    continue
                unit = self._unit_ids.setdefault(name, len(self._unit_ids))
                stated.append((unit, round(float(value), 4)))
            stated = list(dict.fromkeys(stated)) if len(stated) > 1 else stated
            counts.append(len(stated))
            found += stated
        units = np.array([unit for unit, _ in found], np.int64)
        values = np.array([value for _, value in found], np.float64)
        return Ragged(offsets_of(np.array(counts, np.int64)), units), values

    def _identifiers_of(
        self, fields: Sequence[Fields], names: list[str], name_words: list[list[_ReadWord]]
    ) -> tuple[Ragged, NDArray[np.int8]]:
        counts: list[int] = []
        found: list[tuple[int, int]] = []
        for row, name, words in zip(fields, names, name_words, strict=True):
            codes = [code for word in words if word.codes for code in word.codes]
            for pattern in self._named_codes:
                for part in pattern.finditer(name):
                    codes += self._stated_codes(part[0])
            if row.identifiers:
                for text in row.identifiers:
                    codes += self._stated_codes(text)
            best: dict[int, int] = {}
            for value, source in codes:
                best[value] = min(source, best.get(value, source))
            counts.append(len(best))
            found += best.items()
        hashes = np.array([value for value, _ in found], np.uint64)
        sources = np.array([source for _, source in found], np.int8)
        return Ragged(offsets_of(np.array(counts, np.int64)), hashes), sources


def _aim(cues: int, words: Sequence[_ReadWord]) -> int:
    """Return where a row's first word of what it is for begins in its packed text, or -1."""
    if not cues & _FOR:
        return -1
    start = 0
    for word in words:
        if word.cues & _FOR:
            return start
        start += len(word.packed)
    return 0 if any(word.cues & _HEAD for word in words) else -1


def _is_gtin(word: _ReadWord) -> bool:
    return any(source == IdentifierKind.GTIN for _, source in word.codes)


def _first_hash(words: list[_ReadWord]) -> int:
    return next((word.hashes[0] for word in words if word.hashes), 0)


def _forms_of(parts: list[str], packed: str) -> tuple[int, ...]:
    """Return hashes of what is found inside a word, beside its tokens, and of the word as one.

    That is runs of letters and of digits, and neighbouring runs, over hyphens, too.
    """
    runs = [run for part in parts for run in _RUN.findall(part)]
    if len(runs) < 2:
        return ()
    found = dict.fromkeys([packed[:_LONGEST], *runs, *map("".join, pairwise(runs))])
    return tuple(token_hash(form) for form in found)


def _is_part_number(token: str, units: Mapping[str, Any]) -> bool:
    if token.isdigit():
        return len(token) >= _LONG_NUMBER
    if not _PART_NUMBER <= len(token) <= _LONGEST or token.isalpha():
        return False
    return token_kind(token, units) is TokenKind.CODE


def _searched(patterns: Iterable[re.Pattern[str]], text: str) -> bool:
    return any(pattern.search(text) for pattern in patterns)


def _meanings(groups: Iterable[Sequence[str]]) -> dict[str, int]:
    """Return of words that mean the same one hash; phrases are written as one word.

    Words of two letters mean different things in different languages and stay what they are.
    """
    found: dict[str, int] = {}
    for group in groups:
        forms = ["".join(_PART.findall(normalised(each))) for each in group]
        forms = [form for form in forms if len(form) > 2 or not form.isascii()]
        for form in forms:
            found.setdefault(form, token_hash(forms[0]))
    return found


def _quantities(words: list[_ReadWord]) -> list[tuple[int, float]]:
    """Return quantities of words, those whose unit stands in the next word among them."""
    found: list[tuple[int, float]] = []
    before = nan
    for at, word in enumerate(words):
        if word.unit >= 0 and before == before:
            followed = at + 1 < len(words) and words[at + 1].number == words[at + 1].number
            if not (word.shy and followed):
                if (BARE, before) in found[-1:]:
                    found.pop()
                found.append((word.unit, round(before * word.scale, 4)))
        if word.quantities:
            found += word.quantities
        before = word.number
    return found


def _flat(words: list[_ReadWord], field: int, counts: Ints, dtype: Any) -> NDArray[Any]:
    values = chain.from_iterable(map(itemgetter(field), words))
    return np.fromiter(values, dtype, int(counts.sum()))


def _tokens_of(
    words: list[_ReadWord], row_of: Ints, n: int
) -> tuple[Ragged, NDArray[np.int8], NDArray[np.int32], NDArray[np.int32], tuple[Ints, Hashes]]:
    """Return different tokens with kind, start and length, and neighbours written as one."""
    counts = np.fromiter((len(word.hashes) for word in words), np.int64, len(words))
    rows = np.repeat(row_of, counts)
    hashes = _flat(words, 2, counts, np.uint64)
    lengths = _flat(words, 3, counts, np.int32)
    kinds = _flat(words, 4, counts, np.int8)
    ends = np.cumsum(lengths)
    per_row = np.bincount(rows, lengths, n).astype(np.int64)
    starts = (ends - lengths - (np.cumsum(per_row) - per_row)[rows]).astype(np.int32)
    together = rows[1:] == rows[:-1]
    joined = (hashes[:-1] * _POWERS[lengths[1:]] + hashes[1:])[together]
    first = _first_of_each(rows, hashes)
    tokens = Ragged.of(rows[first], hashes[first], n)
    return tokens, kinds[first], starts[first], lengths[first], (rows[1:][together], joined)


def row_keys(rows: Ints, hashes: Hashes) -> Hashes:
    """Return keys that differ where row or hash differ."""
    mixed = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed + rows.astype(np.uint64) * np.uint64(0x94D049BB133111EB)


def _first_of_each(rows: Ints, hashes: Hashes) -> Ints:
    """Return where each hash stands first in its row, in order."""
    keys = row_keys(rows, hashes)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    new = np.ones(len(keys), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return np.sort(order[new])


def _distinct(rows: Ints, hashes: Hashes, n: int) -> Ragged:
    """Return the different hashes of each row, rising."""
    order = np.lexsort((hashes, rows))
    rows, hashes = rows[order], hashes[order]
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]) | (hashes[1:] != hashes[:-1])
    return Ragged.of(rows[new], hashes[new], n)
