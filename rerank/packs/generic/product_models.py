"""Models and their variants: products that differ in nothing but the values of the axes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from unicodedata import combining, normalize

import numpy as np

from rerank.index.records import Ints
from rerank.packs.generic.pack_data import Pack, Scale
from rerank.packs.generic.product_table import amount_of
from rerank.prices import decimal_mark

_TOKEN = re.compile(r"\d+(?:[.,]\d+)?|[^\W\d_]+|[\"″”]")
_EMPTIED = re.compile(r"\(\s*[,/;-]?\s*\)|\[\s*[,/;-]?\s*\]")
# A number without its unit is taken for a size only where it is long: "Tablet 10 256", not the 12
# of "BS 12" that runs on 12 V.
_TELLING_DIGITS = 3
_BRACKETED = re.compile(r"^(.*\S)\s*\(([^()]+)\)$")
_LOOSE_MARKS = " ,;-–—/|·:"


class Models(NamedTuple):
    """The models of a catalogue.

    :param of_record: number of each product's model, shape (n,), in order of first appearance.
    :param names: by number; the name of the first product without the values of its axes.
    :param alike: products that no axis tells from an earlier one of their model.
    """

    of_record: Ints
    names: tuple[str, ...]
    alike: int


class _Token(NamedTuple):
    form: str
    start: int
    end: int


class _Former:
    """Brings words to the form that they are compared in: synonyms to one, units to their scale."""

    def __init__(self, pack: Pack) -> None:
        self._scales: Mapping[str, Scale] = pack.scales()
        self._same = {
            plain(word): f"={number}"
            for number, group in enumerate(pack.synonyms)
            for word in group
            if _TOKEN.fullmatch(word)
        }
        self._known: dict[tuple[str, str], list[tuple[str, ...]]] = {}

    def tokens(self, text: str) -> list[_Token]:
        found: list[_Token] = []
        for match in _TOKEN.finditer(text):
            word = plain(match[0])
            after_number = bool(found) and found[-1].form[0].isdigit()
            scale = self._scales.get(word) if after_number else None
            if scale is not None:
                form = f"#{scale.base}*{scale.scale:g}"
            else:
                form = self._same.get(word, word.replace(",", "."))
            found.append(_Token(form, *match.span()))
        return found

    def forms(self, value: str, unit: str) -> list[tuple[str, ...]]:
        """Return how an axis's value may stand in a name, the longest first."""
        found = self._known.get((value, unit))
        if found is None:
            found = self._known[value, unit] = self._forms(value, unit)
        return found

    def _forms(self, value: str, unit: str) -> list[tuple[str, ...]]:
        bare = tuple(token.form for token in self.tokens(value))
        if unit and amount_of(value, decimal_mark([value])).unit == "" and bare:
            stated = tuple(token.form for token in self.tokens(f"{value} {unit}"))
            return [stated, bare] if len(value) >= _TELLING_DIGITS else [stated]
        return [bare] if bare else []


def plain(text: str) -> str:
    """Return text in lower case without accents, for comparing words."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in normalize("NFKD", text.lower()) if not combining(c))


def ends_in_brackets(names: Sequence[str], brands: Sequence[str]) -> list[str]:
    """Return what ends names in brackets and alone tells products apart; "" for all others.

    "Drill 18 V (blue)" and "Drill 18 V (bare tool)" are variants that no column tells apart: to
    them what stands in brackets is the value of an axis.

    :param names: of the products, shape (n,); ``brands`` too.
    """
    groups: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for row, (name, brand) in enumerate(zip(names, brands, strict=True)):
        if match := _BRACKETED.match(name):
            groups.setdefault((plain(brand), plain(match[1])), []).append((row, match[2]))
    values = [""] * len(names)
    for group in groups.values():
        if len({plain(value) for _, value in group}) > 1:
            for row, value in group:
                values[row] = value
    return values


def models_of(
    names: Sequence[str],
    brands: Sequence[str],
    axes: Sequence[Sequence[str]],
    units: Sequence[str],
    pack: Pack,
) -> Models:
    """Return the models of products: equal brands, and names that are equal without axis values.

    Without axes each product is a model of its own.

    :param names: of the products, shape (n,); ``brands`` too.
    :param axes: values of each axis, each of shape (n,), "" where a product says nothing.
    :param units: of each axis's values that state none.
    """
    if not axes:
        rows = np.arange(len(names), dtype=np.int64)
        return Models(rows, tuple(names), len(names) - len(set(zip(brands, names, strict=True))))
    former = _Former(pack)
    known: dict[tuple[str, ...], int] = {}
    met: set[tuple[str, ...]] = set()
    shown: list[str] = []
    of_record = np.empty(len(names), np.int64)
    alike = 0
    for row, (name, brand, values) in enumerate(
        zip(names, brands, zip(*axes, strict=True), strict=True)
    ):
        left, spans = _without(former, name, values, units)
        key = (plain(brand), *left)
        number = known.setdefault(key, len(known))
        if number == len(shown):
            shown.append(_cut(name, spans))
        of_record[row] = number
        variant = (str(number), *map(plain, values))
        alike += variant in met
        met.add(variant)
    return Models(of_record, tuple(shown), alike)


def _without(
    former: _Former, name: str, values: Sequence[str], units: Sequence[str]
) -> tuple[list[str], list[tuple[int, int]]]:
    """Return the forms of a name's words without values of axes, and where those stand in it.

    Of several places the last is taken: variants are written behind the model.
    """
    tokens = former.tokens(name)
    spans: list[tuple[int, int]] = []
    for value, unit in zip(values, units, strict=True):
        for form in former.forms(value, unit) if value else ():
            at = _last_place(tokens, form)
            if at >= 0 and len(tokens) > len(form):
                spans.append((tokens[at].start, tokens[at + len(form) - 1].end))
                del tokens[at : at + len(form)]
                break
    return [token.form for token in tokens], spans


def _last_place(tokens: Sequence[_Token], form: tuple[str, ...]) -> int:
    for at in range(len(tokens) - len(form), -1, -1):
        if all(tokens[at + step].form == part for step, part in enumerate(form)):
            return at
    return -1


def _cut(name: str, spans: Sequence[tuple[int, int]]) -> str:
    for start, end in sorted(spans, reverse=True):
        name = f"{name[:start]} {name[end:]}"
    name = _EMPTIED.sub(" ", name)
    return " ".join(name.split()).strip(_LOOSE_MARKS)
