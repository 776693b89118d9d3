"""Word lists, partners and grammars, read from ``data/bootstrap/*.yaml``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from index.errors import InputError
from index.shipped import shipped
from rerank.bootstrap.template import Sequence_, parse

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
    """Named templates, with the market segments and first year of the GPUs that suit them."""

    name: str
    weight: float
    segments: tuple[str, ...]
    since: int
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
        templates=tuple(parse(text) for text in entry["templates"]),
    )
