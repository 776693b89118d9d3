"""Listings made up from a catalogue's entries, written as a shop's own listings are.

What they keep, drop, join, cut and add is measured on pairs of listing and product that are sure;
the words added are one real listing's. Without a feed a usual manner stands in, and the pack's
phrases are what is added. A made-up listing sells its entry, or, where it was altered, nothing.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, nan

import numpy as np

from rerank.packs.generic.evidence import Habits
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import ProductIndex
from rerank.packs.generic.pack_data import Pack
from rerank.packs.generic.reading import (
    BARE,
    CUE_FEATURES,
    GOES_WITH,
    NOT_SOLD,
    Ints,
    Readings,
    TokenKind,
    tells_not_sold,
)

_RUN = re.compile(r"[^\W\d_]+|\d+")
_LEAST_INSIDE = 4  # letters of a token that is found inside others
_SEVERITY = 0.9  # of what is dropped on top: listings nobody is sure about keep less
_SPARED = 0.6  # share of it that codes and numbers suffer
_BEHIND = 0.6  # share that add their words behind the name, not around it
_ADDED = 0.9  # share of a real listing's words that are added
_ODD_NUMBERS = 0.3  # share of its bare numbers that are
_DESCRIBED = 0.6  # share of listings with a description whose entry it is of
_TOLD = 0.5  # share of an entry's words that a description has
_CUT = 0.67  # share of mistyped codes that lose letters
_MISSPELT, _MISTYPED = 0.03, 0.1  # share of words, and of codes at least
_MOST_ADDED = 12  # words
_LEAST_PRICES = 5  # pairs that tell how far prices are apart
_WIDER = 1.5  # prices of listings nobody is sure about are farther apart
_USUAL_SPREAD = 0.15  # of prices, where nothing was measured
_NAMED = 0.5  # share of listings of other goods that name a product
_CUED, _CUE_BEHIND = 0.35, 0.3  # share of listings of other goods that say so, and so at their end
_TELLING = (*NOT_SOLD, *GOES_WITH)
_OWN_CUES = 0.02  # share of products that are named with such words themselves
_WORD = int(TokenKind.WORD)
_USUAL_PHRASES, _USUAL_WORDS, _USUAL_FIGURES, _USUAL_INVENTED = 3, 4, 5, 4  # at most
_USUAL_PARTS = 0.1  # share of listings that name a part
_VOWELS = "aeiou"
_LETTERS = "abcdefghklmnprstuvwxz"
_USUALLY_FILLED, _USUALLY_TOLD = 0.5, 0.2


@dataclass(frozen=True, slots=True)
class Addition:
    """What one listing says beyond its product, and which of its fields are filled.

    :param words: tokens that the product lacks, as written; ``kinds`` the `TokenKind` of each.
    :param ahead: how many of them stand before all that the product has; None: nobody knows.
    """

    words: tuple[str, ...] = ()
    kinds: tuple[int, ...] = ()
    branded: bool = False
    identified: bool = False
    priced: bool = False
    text: str = ""
    ahead: int | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How a shop writes its listings.

    :param joined: share of neighbouring tokens that are written as one; ``split`` of tokens of
        letters and digits that are cut into these; ``mistyped`` of codes that listings write in
        another way or not at all.
    :param spread: scale of the log ratio of the prices, NaN where it is unknown.
    :param numbers: by unit, how values of number columns are written in pairs: what follows the
        number, None where it is not there.
    :param units: of each added token, the units it states a quantity in.
    """

    habits: Habits
    additions: tuple[Addition, ...]
    told: float = 0.1
    joined: float = 0.05
    split: float = 0.1
    mistyped: float = 0.1
    spread: float = nan
    numbers: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    units: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def with_additions_of(self, other: Manner) -> Manner:
        """Return this manner with what another one adds as well.

        A feed's own words are few and come again and again: with usual ones among them the ranker
        is right more often, and its sureness nearer the truth (Abt-Buy: P@1 .944 to .958).
        """
        additions = (*self.additions, *other.additions)
        return replace(self, additions=additions, units={**other.units, **self.units})


def usual_manner(
    index: ProductIndex,
    phrases: Sequence[Sequence[str]],
    rng: np.random.Generator,
    n: int,
    parts: Sequence[str] = (),
) -> Manner:
    """Return a manner where there are no listings to measure one on.

    What is added are phrases, words of other products, figures and invented words.

    :param phrases: what sellers add to any title, by language.
    :param n: number of additions drawn.
    :param parts: what comes along with a product, or is a piece of it, and is named now and then.
    """
    drawn = []
    for _ in range(n):
        said = phrases[int(rng.integers(len(phrases)))] if phrases else ()
        count = min(len(said), int(rng.integers(_USUAL_PHRASES + 1)))
        words = [said[at] for at in rng.permutation(len(said))[:count].tolist()]
        tokens = [token for phrase in words for token in phrase.split()]
        other = _Row(index.readings, int(rng.integers(len(index))))
        plain = [w for w, kind in zip(other.words, other.kinds, strict=True) if kind == _WORD]
        tokens += [] if len(index) == 1 else plain[: int(rng.integers(_USUAL_WORDS + 1))]
        tokens += [_figure(rng) for _ in range(int(rng.integers(_USUAL_FIGURES + 1)))]
        if parts and rng.random() < _USUAL_PARTS:
            tokens += parts[int(rng.integers(len(parts)))].strip("~*").split()
        tokens += [_invented(rng) for _ in range(int(rng.integers(_USUAL_INVENTED + 1)))]
        drawn.append(tokens)
    words = sorted({token for tokens in drawn for token in tokens})
    readings = index.reader.read([Fields(name=word) for word in words])
    kinds = {
        word: int(readings.kinds[start]) if start < stop else _WORD
        for word, start, stop in zip(
            words, readings.tokens.offsets[:-1], readings.tokens.offsets[1:], strict=True
        )
    }
    additions = [
        Addition(
            tuple(tokens),
            tuple(kinds[token] for token in tokens),
            *(rng.random(3) < _USUALLY_FILLED).tolist(),
        )
        for tokens in drawn
    ]
    return Manner(
        Habits.usual(),
        tuple(additions),
        spread=_USUAL_SPREAD,
        told=_USUALLY_TOLD,
        units=_units_of(index, words),
    )


def _figure(rng: np.random.Generator) -> str:
    """Return a number, one with a letter behind it or a code, such as any title may hold."""
    number = str(int(10 ** rng.uniform(0, 4)))
    letters = "".join(_LETTERS[at] for at in rng.integers(len(_LETTERS), size=2).tolist())
    roll = rng.random()
    return number if roll < 0.5 else f"{number}{letters[:1]}" if roll < 0.75 else letters + number


def _invented(rng: np.random.Generator) -> str:
    """Return a word of no language: real listings say much that no list of phrases has."""
    pairs = [
        _LETTERS[int(rng.integers(len(_LETTERS)))] + _VOWELS[int(rng.integers(len(_VOWELS)))]
        for _ in range(int(rng.integers(2, 5)))
    ]
    return "".join(pairs)


def measured_manner(
    index: ProductIndex,
    products: Sequence[Fields],
    listings: Sequence[Fields],
    readings: Readings,
    sure: tuple[Ints, Ints],
    others: tuple[Ints, Ints],
) -> Manner:
    """Return how listings are written.

    :param readings: of the listings.
    :param sure: listing and product of pairs that are sure.
    :param others: of other listings with their first place: what these add counts as well.
    """
    shares = {name: [0.5, 10.0] for name in ("joined", "split", "mistyped", "told")}
    ratios: list[float] = []
    numbers: dict[str, list[str | None]] = defaultdict(list)
    additions = []
    for at, (listing, row) in enumerate(_pairs(sure) + _pairs(others)):
        mine, theirs = _Row(readings, listing), _Row(index.readings, row)
        extra = [t for t in range(len(mine.words)) if not theirs.holds(mine, t)]
        if at < len(sure[0]):
            text = set(index.readings.text[row].tolist())
            for t in extra:
                _add(shares["told"], mine.hashes[t] in text)
        additions.append(_addition(mine, extra, listings[listing]))
        if at < len(sure[0]):
            _count(shares, mine, theirs)
            _compare_numbers(numbers, mine.words, products[row])
            prices = listings[listing].price, products[row].price
            if min(prices) > 0 and all(map(isfinite, prices)):
                ratios.append(abs(math.log(prices[0] / prices[1])))
    return Manner(
        habits=Habits.measure(index, readings, *sure),
        additions=tuple(additions),
        **{name: hits / of for name, (hits, of) in shares.items()},
        spread=float(np.median(ratios)) * _WIDER if len(ratios) > _LEAST_PRICES else nan,
        numbers=dict(numbers),
        units=_units_of(index, {word for each in additions for word in each.words}),
    )


class Rewriter:
    """Makes up listings of products, in one manner; the same for the same generator.

    :param pack: what is known of the goods: titles of others, and words that tell what is offered.
    """

    def __init__(
        self,
        index: ProductIndex,
        products: Sequence[Fields],
        manner: Manner,
        pack: Pack,
        rng: np.random.Generator,
    ) -> None:
        self._index, self._products, self._manner, self._rng = index, products, manner, rng
        self._forms, self._cues = pack.grammar.other_goods, pack.cues
        self._kinds = _telling_kinds(index, pack)
        self._additions = _of_sold(index, manner.additions)
        readings = index.readings
        self._keep = manner.habits.keep(readings.tokens.values, readings.kinds)
        self._endings = _endings(readings)

    def write(self, row: int) -> Fields:
        """Return a listing that sells a product."""
        rng, product = self._rng, self._products[row]
        like = self._additions[int(rng.integers(len(self._additions)))]
        words = self._own(row) + self._numbers(product)
        words = self._mixed(words, *self._fitting(row, like))
        return Fields(
            name=" ".join(words) or product.name,
            brand=product.brand if like.branded else "",
            identifiers=product.identifiers if like.identified else (),
            text=self._description(row, like),
            price=self._price(product) if like.priced else nan,
        )

    def other_goods(self, row: int) -> Fields:
        """Return a listing of what goes with a product, or of what is none of these goods."""
        rng, product = self._rng, self._products[row]
        forms = self._forms
        if self._kinds and rng.random() < _CUED:
            return self._cued(row)
        if forms and rng.random() < _NAMED:
            form = forms[int(rng.integers(len(forms)))]
            name = " ".join(self._own(row)) or product.name
            return Fields(name=form.format(name=name, brand=product.brand))
        said = self._manner.additions
        drawn = [said[at].words for at in rng.integers(len(said), size=3).tolist()]
        own = self._index.readings.words(row)
        kept = [own[at] for at in rng.permutation(len(own))[: int(rng.integers(3))].tolist()]
        words = [*kept, *(word for each in drawn for word in each)]
        words = [words[at] for at in rng.permutation(len(words)).tolist()]
        return Fields(name=" ".join(words[: _MOST_ADDED * 2]))

    def _cued(self, row: int) -> Fields:
        """Return a listing of a product whose words say that something else is offered, or none."""
        rng, listing = self._rng, self.write(row)
        kind, language, words = self._kinds[int(rng.integers(len(self._kinds)))]
        told = words[int(rng.integers(len(words)))].strip("~*")
        joins = self._cues.get("for", {}).get(language, ())
        if kind not in NOT_SOLD and joins:
            told = f"{told} {joins[int(rng.integers(len(joins)))].strip('~*')}"
        elif rng.random() < _CUE_BEHIND:
            return replace(listing, name=f"{listing.name} {told}")
        return replace(listing, name=f"{told} {listing.name}")

    def _own(self, row: int) -> list[str]:
        """Return a product's tokens as a listing has them."""
        rng, readings, manner = self._rng, self._index.readings, self._manner
        first, last = readings.tokens.offsets[row : row + 2].tolist()
        harsh = rng.random() ** 2 * _SEVERITY
        suffers = np.where(readings.kinds[first:last] == TokenKind.WORD, 1.0, _SPARED)
        kept = rng.random(last - first) < self._keep[first:last] * (1 - harsh * suffers)
        if not kept.any():  # a listing without a word of its product would teach nothing
            kept[rng.integers(len(kept), size=min(len(kept), 2))] = True
        words: list[str] = []
        glue = False
        for at, token in enumerate(readings.words(row)):
            if not kept[at]:
                glue = False
                continue
            runs = _RUN.findall(token)
            token = self._misspelt(token, int(readings.kinds[first + at]))
            if glue and rng.random() < manner.joined:
                words[-1] += token
            elif len(runs) > 1 and rng.random() < manner.split:
                words += runs
            else:
                words.append(token)
            glue = True
        return words

    def _misspelt(self, token: str, kind: int) -> str:
        roll = self._rng.random()
        if kind == TokenKind.CODE and len(token) > 4:
            if roll < max(_MISTYPED, 0.5 * self._manner.mistyped):
                return self._ended(token)
        elif kind == TokenKind.WORD and len(token) > 4 and roll < _MISSPELT:
            at = 1 + int(self._rng.integers(len(token) - 2))
            return token[:at] + token[at + 1 :]
        return token

    def _ended(self, code: str) -> str:
        """Return a code with one or two letters less, more, or other ones at its end."""
        size = int(self._rng.integers(1, 3))
        cut = code[:-size] if self._rng.random() < _CUT else code
        more = 0 if cut != code and self._rng.random() < 0.5 else size
        return cut + "".join(self._ending() for _ in range(more))

    def _ending(self) -> str:
        return self._endings[int(self._rng.integers(len(self._endings)))]

    def _numbers(self, product: Fields) -> list[str]:
        words = []
        for unit, value in product.quantities:
            forms = self._manner.numbers.get(unit, ())
            form = forms[int(self._rng.integers(len(forms)))] if forms else None
            if form is not None:
                words.append(f"{value:g}{form}")
        return words

    def _fitting(self, row: int, like: Addition) -> tuple[list[str], list[str] | None]:
        """Return added words that say nothing against a product.

        Those that stand ahead of it and the others, or all and None where nobody knows.
        """
        rng, readings = self._rng, self._index.readings
        first, last = readings.tokens.offsets[row : row + 2].tolist()
        coded = bool((readings.kinds[first:last] == TokenKind.CODE).any())
        units = set(readings.units[row].tolist()) - {BARE}
        kept: list[str] = []
        behind: list[str] | None = None
        text = self._products[row].text.lower().split()
        for at, (word, kind) in enumerate(zip(like.words, like.kinds, strict=True)):
            if at == like.ahead:
                kept, behind = [], kept
            if text and rng.random() < self._manner.told:
                kept.append(text[int(rng.integers(len(text)))])
                continue
            said = self._manner.units.get(word, frozenset())
            against = (kind == TokenKind.CODE and coded) or not units.isdisjoint(said)
            odd = kind == TokenKind.DIGIT and not said and rng.random() > _ODD_NUMBERS
            if not against and not odd and rng.random() < _ADDED:
                kept.append(word)
        if like.ahead is None:
            return kept, None
        return (kept, []) if behind is None else (behind, kept)

    def _mixed(self, own: list[str], added: list[str], behind: list[str] | None) -> list[str]:
        """Return words with what is added: ahead and behind, or anywhere where that is None."""
        if behind is not None:
            at = len(own) if self._rng.random() < _BEHIND else int(self._rng.integers(len(own) + 1))
            half = len(behind) // 2 if at < len(own) else 0
            return added + own[:at] + behind[:half] + own[at:] + behind[half:]
        start, end = sorted(self._rng.integers(len(own) + 1, size=2).tolist())
        if self._rng.random() < _BEHIND:
            start = end = len(own)
        half = len(added) // 2
        return own[:start] + added[:half] + own[start:end] + added[half:] + own[end:]

    def _description(self, row: int, like: Addition) -> str:
        if not like.text or self._rng.random() > _DESCRIBED:
            return like.text
        words = [*self._index.readings.words(row), *self._products[row].text.split()]
        told = (self._rng.random(len(words)) < _TOLD).tolist()
        return " ".join(word for word, kept in zip(words, told, strict=True) if kept)

    def _price(self, product: Fields) -> float:
        factor = math.exp(float(self._rng.standard_t(3)) * self._manner.spread)
        return product.price * factor


class _Row:
    """A row of readings, opened to be looked into."""

    def __init__(self, readings: Readings, row: int) -> None:
        self.words = readings.words(row)
        self.hashes = readings.tokens[row].tolist()
        first, last = readings.tokens.offsets[row : row + 2].tolist()
        self.kinds = readings.kinds[first:last].tolist()
        self.atoms = set(readings.atoms[row].tolist())
        self.packed = readings.packed[row]

    def holds(self, other: _Row, at: int) -> bool:
        """Return whether a token of another row is found in this one."""
        word = other.words[at]
        return other.hashes[at] in self.atoms or (
            len(word) >= _LEAST_INSIDE and word in self.packed
        )


def _of_sold(index: ProductIndex, additions: Sequence[Addition]) -> list[Addition]:
    """Return the additions without those that say that what is named is not sold.

    A feed's sure pairs hold such listings, too: "case for" is none of what others may add.
    """
    texts = [Fields(name=" ".join(each.words)) for each in additions]
    cues = index.reader.read(texts).cues
    unsold = tells_not_sold(cues).tolist()
    return [each for each, said in zip(additions, unsold, strict=True) if not said] or [Addition()]


def _telling_kinds(index: ProductIndex, pack: Pack) -> list[tuple[str, str, Sequence[str]]]:
    """Return kind, language and words of what tells that something else than a product is offered.

    What products of the catalogue are named with themselves tells nothing.
    """
    found: list[tuple[str, str, Sequence[str]]] = []
    for kind in _TELLING:
        own = index.readings.cues >> CUE_FEATURES.index(kind) & 1
        if own.mean() <= _OWN_CUES:
            found += [(kind, *each) for each in pack.cues.get(kind, {}).items() if each[1]]
    return found


def _pairs(of: tuple[Ints, Ints]) -> list[tuple[int, int]]:
    return list(zip(of[0].tolist(), of[1].tolist(), strict=True))


def _addition(mine: _Row, extra: Sequence[int], listing: Fields) -> Addition:
    shared = next((at for at, own in enumerate(extra) if at != own), len(extra))
    extra = extra[:_MOST_ADDED]
    return Addition(
        words=tuple(mine.words[at] for at in extra),
        kinds=tuple(mine.kinds[at] for at in extra),
        branded=bool(listing.brand),
        identified=bool(listing.identifiers),
        priced=listing.price > 0,
        text=listing.text,
        ahead=min(shared, len(extra)),
    )


def _count(shares: Mapping[str, list[float]], mine: _Row, theirs: _Row) -> None:
    """Count of an entry's tokens how its listing writes them."""
    own = set(mine.words)
    for at, word in enumerate(theirs.words):
        there = mine.holds(theirs, at)
        if theirs.kinds[at] == TokenKind.CODE:
            _add(shares["mistyped"], not there)
        if len(_RUN.findall(word)) > 1:
            _add(shares["split"], there and word not in own)
    for one, two in zip(theirs.words, theirs.words[1:], strict=False):
        _add(shares["joined"], one + two in own)


def _add(share: list[float], hit: bool) -> None:
    share[0] += hit
    share[1] += 1


def _compare_numbers(
    numbers: Mapping[str, list[str | None]], words: Sequence[str], product: Fields
) -> None:
    """Note of each number how a listing writes it: with its unit, bare, or not at all."""
    for unit, value in product.quantities:
        stem = f"{value:g}"
        forms = [word[len(stem) :] for word in words if word.startswith(stem)]
        forms = [form for form in forms if form.isalpha() or not form]
        numbers[unit].append(max(forms, key=len, default=None))


def _units_of(index: ProductIndex, words: Collection[str]) -> dict[str, frozenset[int]]:
    """Return of each token the units that it states a quantity in."""
    ordered = sorted(words)
    units = index.reader.read([Fields(name=word) for word in ordered]).units
    said = {word: frozenset(units[at].tolist()) - {BARE} for at, word in enumerate(ordered)}
    return {word: found for word, found in said.items() if found}


def _endings(readings: Readings) -> list[str]:
    """Return the letters that codes of the catalogue end with, as often as they do."""
    letters = [
        text[start + length - 1]
        for row, text in enumerate(readings.packed)
        for start, length, kind in zip(
            *(
                getattr(readings, name)[slice(*readings.tokens.offsets[row : row + 2].tolist())]
                for name in ("starts", "lengths", "kinds")
            ),
            strict=True,
        )
        if kind == TokenKind.CODE
    ]
    return [letter for letter in letters if letter.isalpha()] or ["a", "b", "x"]
