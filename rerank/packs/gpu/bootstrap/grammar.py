"""What generated texts are drawn from: dice, templates, and the vocabulary of `data/bootstrap`.

The vocabulary holds word lists, board partners with their product lines, and grammars: templates
of listings that sell a GPU (match) or something else (nil).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import yaml

from rerank.index.errors import InputError
from rerank.index.records import shipped

# Scalar calls to a numpy generator cost about a microsecond; a block of floats costs a tenth.
BLOCK = 4096

T = TypeVar("T")


class Dice:
    """Draws without module state: the same generator gives the same sequence."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._block: list[float] = []

    def random(self) -> float:
        """Return a float in [0, 1)."""
        if not self._block:
            self._block = self._generator.random(BLOCK).tolist()
        return self._block.pop()

    def chance(self, probability: float) -> bool:
        """Return true with this probability."""
        return self.random() < probability

    def below(self, limit: int) -> int:
        """Return an integer in [0, limit)."""
        return int(self.random() * limit)

    def pick(self, items: Sequence[T]) -> T:
        """Return one item, all equally likely."""
        return items[int(self.random() * len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in random order."""
        order = sorted(range(len(items)), key=lambda _: self.random())
        return [items[i] for i in order]


class Weighted(Generic[T]):
    """Items drawn in proportion to their weights."""

    def __init__(self, items: Sequence[T], weights: Sequence[float]) -> None:
        self.items = tuple(items)
        self._bounds = list(accumulate(weights))

    def draw(self, dice: Dice) -> T:
        """Return one item."""
        return self.items[bisect_right(self._bounds, dice.random() * self._bounds[-1])]


OPTIONAL_SHARE = 0.5

_TOKEN = re.compile(r"\\.|[{}\[\]<>|]|[^\\{}\[\]<>|]+")
_BEFORE_PUNCTUATION = re.compile(r" +(?=[,)\]])|(?<=[(\[]) +")
_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]")


@dataclass(frozen=True, slots=True)
class Field:
    """A name the context turns into text."""

    name: str


@dataclass(frozen=True, slots=True)
class Maybe:
    """A part that appears in half of the texts."""

    body: Sequence_


@dataclass(frozen=True, slots=True)
class Choice:
    """Exactly one of several parts."""

    options: tuple[Sequence_, ...]


Node = str | Field | Maybe | Choice
Sequence_ = tuple[Node, ...]


@cache
def parse(text: str) -> Sequence_:
    """Compile a template.

    ``{name}`` is a field, ``<a|b>`` one of several parts, ``[a]`` a part of half of the texts.

    :raises ValueError: when brackets do not pair.
    """
    tokens = _TOKEN.findall(text)
    nodes, end = _parse_until(tokens, 0, "")
    if end != len(tokens):
        raise ValueError(f"expected paired brackets in template, got {text!r}")
    return nodes


def render(nodes: Sequence_, field: Callable[[str], str], dice: Dice) -> str:
    """Return one text of the template, spaces tidied."""
    return tidy(fill(nodes, field, dice))


def fill(nodes: Sequence_, field: Callable[[str], str], dice: Dice) -> str:
    """Return one text of the template as it stands there."""
    parts: list[str] = []
    _render_into(parts, nodes, field, dice)
    return "".join(parts)


def tidy(text: str) -> str:
    """Collapse spaces and drop what an empty field leaves behind."""
    text = _EMPTY_BRACKETS.sub(" ", " ".join(text.split()))
    return " ".join(_BEFORE_PUNCTUATION.sub("", text).split()).strip(" ,-/|")


def _render_into(
    parts: list[str], nodes: Sequence_, field: Callable[[str], str], dice: Dice
) -> None:
    for node in nodes:
        if isinstance(node, str):
            parts.append(node)
        elif isinstance(node, Field):
            parts.append(field(node.name))
        elif isinstance(node, Maybe):
            if dice.chance(OPTIONAL_SHARE):
                _render_into(parts, node.body, field, dice)
        else:
            _render_into(parts, dice.pick(node.options), field, dice)


def _parse_until(tokens: list[str], start: int, closer: str) -> tuple[Sequence_, int]:
    nodes: list[Node] = []
    at = start
    while at < len(tokens):
        token = tokens[at]
        if token == closer or (closer == ">" and token == "|"):
            return tuple(nodes), at
        if token == "{":
            nodes.append(Field(tokens[at + 1]))
            at += 3
        elif token == "[":
            body, end = _parse_until(tokens, at + 1, "]")
            nodes.append(Maybe(body))
            at = end + 1
        elif token == "<":
            choice, at = _parse_choice(tokens, at + 1)
            nodes.append(choice)
        else:
            nodes.append(token[1:] if token.startswith("\\") else token)
            at += 1
    if closer:
        raise ValueError(f"expected {closer!r} in template, got {''.join(tokens)!r}")
    return tuple(nodes), at


def _parse_choice(tokens: list[str], start: int) -> tuple[Choice, int]:
    options: list[Sequence_] = []
    at = start
    while True:
        body, at = _parse_until(tokens, at, ">")
        options.append(body)
        at += 1
        if tokens[at - 1] == ">":
            return Choice(tuple(options)), at


DEFAULT_PATH = shipped("bootstrap")
LAST_YEAR = 2030

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where it was built in
_YEARS = re.compile(r"^(.*?)(?:@(\d{4})-(\d{4})?)?$")


@dataclass(frozen=True, slots=True)
class ProductLine:
    """A partner's product line and the years it was sold in."""

    text: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Partner:
    """A board partner: spellings, chips, years, lines and the name of its part-number builder."""

    names: tuple[str, ...]
    vendors: tuple[str, ...]
    since: int
    until: int
    weight: float
    codes: str
    lines: tuple[ProductLine, ...]


@dataclass(frozen=True, slots=True)
class Grammar:
    """Named templates, with the market segments and first year of the GPUs that suit them.

    ``descriptions`` is the word list that every description comes from; empty if few listings have
    one and it says nothing of what is sold.
    """

    name: str
    weight: float
    segments: tuple[str, ...]
    since: int
    descriptions: str
    templates: tuple[Sequence_, ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Everything the generator knows about how people write."""

    words: dict[str, tuple[Sequence_, ...]]
    partners: tuple[Partner, ...]
    professional_names: tuple[str, ...]
    match: tuple[Grammar, ...]
    nil: tuple[Grammar, ...]


def load_vocabulary(path: Path = DEFAULT_PATH) -> Vocabulary:
    """Read the word lists.

    :raises InputError: when a file is missing.
    """
    partners = _read(path / "partners.yaml")
    words = {**_read(path / "words.yaml"), **_read(path / "parts.yaml")}
    return Vocabulary(
        words={name: tuple(parse(str(text)) for text in texts) for name, texts in words.items()},
        partners=tuple(_partner(entry) for entry in partners["partners"]),
        professional_names=tuple(partners["professional"]["names"]),
        match=tuple(_grammar(entry) for entry in _read(path / "match.yaml")["grammars"]),
        nil=tuple(_grammar(entry) for entry in _read(path / "nil.yaml")["grammars"]),
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"bootstrap words: expected a file {path}, found none")
    loaded: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    return loaded


def _partner(entry: dict[str, Any]) -> Partner:
    return Partner(
        names=tuple(entry["names"]),
        vendors=tuple(entry["vendors"]),
        since=entry.get("from", 0),
        until=entry.get("to", LAST_YEAR),
        weight=entry["weight"],
        codes=entry.get("codes", ""),
        lines=tuple(_product_line(text) for text in entry["products"]),
    )


def _product_line(text: str) -> ProductLine:
    match = _YEARS.match(text)
    if match is None:  # the pattern matches every text of one line
        raise InputError(f"product line: expected one line of text, got {text!r}")
    return ProductLine(match[1], int(match[2] or 0), int(match[3] or LAST_YEAR))


def _grammar(entry: dict[str, Any]) -> Grammar:
    return Grammar(
        name=entry["name"],
        weight=entry.get("weight", entry.get("share", 1)),
        segments=tuple(entry.get("segments", ())),
        since=entry.get("since", 0),
        descriptions=entry.get("descriptions", ""),
        templates=tuple(parse(text) for text in entry["templates"]),
    )


class Partners:
    """Partners by chip vendor and year."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._partners = vocabulary.partners
        self._draw_of = lru_cache(maxsize=None)(self._weighted)
        self._lines_of = lru_cache(maxsize=None)(self._lines)

    def draw(self, vendor: str, year: int, dice: Dice) -> Partner:
        """Return a partner that sold chips of this vendor in this year."""
        return self._draw_of(vendor, year).draw(dice)

    def line(self, partner: Partner, year: int, dice: Dice) -> str:
        """Return one of the partner's product lines of this year, or an empty text."""
        lines = self._lines_of(partner, year)
        return dice.pick(lines) if lines else ""

    def _weighted(self, vendor: str, year: int) -> Weighted[Partner]:
        sold = min(year, LAST_YEAR)  # a card of a later year is sold by those of the last
        fitting = [p for p in self._partners if vendor in p.vendors and p.since <= sold <= p.until]
        return Weighted(fitting, [p.weight for p in fitting])

    @staticmethod
    def _lines(partner: Partner, year: int) -> tuple[str, ...]:
        # Cards stay on sale for a year after release, with the lines of that year.
        sold = min(year, LAST_YEAR)
        return tuple(x.text for x in partner.lines if x.since - 1 <= sold <= x.until)
