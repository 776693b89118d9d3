"""What a pack knows beyond the catalogue: units, words of table headers, cues, identifiers.

It stands in `data/packs/NAME.yaml`. A pack may extend another: lists are then added, keys that
stand in both are merged, and texts of the extending one win.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, NamedTuple

from rerank.index.errors import InputError
from rerank.index.records import shipped
from rerank.settings import TEXT, Expected, Settings, above, read_yaml, settings_of

PACKS_FOLDER = "packs"
"""Of the shipped data."""
CUE_KINDS = (
    "accessory spare_part wanted box_only lot for with without service broken used bundle whole"
    " other".split()
)
"""What a cue word may tell of a listing; `data/packs/generic.yaml` says what each means.

``whole`` is what such products are built into, ``other`` what only shares a word with them: no
pack of all goods can know these.
"""
HEADER_ROLES = "id name model brand identifier category text price axis ignored".split()
"""What the header of a column may say it holds."""

ByLanguage = Mapping[str, tuple[str, ...]]
"""Words by the code of their language; ``any`` for those of all."""


def _keys_of(known: Iterable[str]) -> Expected:
    names = tuple(known)
    words = f"keys out of {', '.join(names)}"
    return Expected(words, lambda found: set(found) <= set(names), names=names)


def _patterns(found: Iterable[str]) -> bool:
    for pattern in found:
        try:
            re.compile(pattern)
        except re.error:
            return False
    return True


PATTERNS = Expected("a list of regular expressions", _patterns)


class Scale(NamedTuple):
    """How a spelling of a unit is read: ``value * scale`` is in the base unit.

    :param shy: a common word too ("5 in 1", "2 to 4"): a unit only where no number follows.
    """

    base: str
    scale: float
    shy: bool


@dataclass(frozen=True, slots=True)
class Unit(Settings):
    """One kind of quantity, written in one base unit and converted into it.

    :param spellings: by how many base units each is worth.
    :param shy: of these, those that are common words too; see `Scale`.
    :param headers: words of headers that name a number in this unit.
    :param usual: least and greatest value that is met in shops, in base units; where a column
        states no unit, the scale is taken that brings its median in here.
    :param tolerance: relative difference up to which two values are the same.
    """

    spellings: Mapping[float, tuple[str, ...]] = field(default_factory=dict)
    shy: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    usual: tuple[float, float] | None = None
    tolerance: Annotated[float, above(0, 0.5)] = 0.005


@dataclass(frozen=True, slots=True)
class IdentifierRules(Settings):
    """What is an identifier of these goods, beside GTINs and what stands in identifier columns.

    Patterns are searched in lower-cased text.

    :param patterns: of part numbers, wherever they stand.
    :param endings: what may be taken off a part number's end and leaves the same product: how it
        is packed, where it is sold.
    :param inner: of part numbers that hold a model's number, as their first group.
    :param shared: of codes that many products have (sockets, sizes, norms): never identifiers.
    """

    patterns: Annotated[tuple[str, ...], PATTERNS] = ()
    endings: Annotated[tuple[str, ...], PATTERNS] = ()
    inner: Annotated[tuple[str, ...], PATTERNS] = ()
    shared: Annotated[tuple[str, ...], PATTERNS] = ()


@dataclass(frozen=True, slots=True)
class GrammarHints(Settings):
    """How sellers write, for listings made up from the catalogue.

    :param additions: what they add to any product's name, which tells nothing.
    :param forms: orders of a title's parts; {name}, {brand}, {identifier}, {category}, {numbers},
        {addition} and {goods} are filled, what is empty leaves no gap.
    :param other_goods: titles of what is none of these goods, though a word of theirs is in it;
        {name} and {brand} are filled.
    """

    additions: ByLanguage = field(default_factory=dict)
    forms: tuple[str, ...] = ()
    other_goods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pack(Settings):
    """A pack's data.

    :param extends: the pack that this one is added to, "" for none.
    :param one: what one product is called on screen, ``many`` several.
    :param goods: what such products are called, by language.
    :param units: by their base unit.
    :param headers: words of table headers, by role.
    :param cues: words that tell what is offered, by `CUE_KINDS`. A word that the catalogue's own
        products are named with says nothing there: a shop of covers sells covers.
    :param synonyms: groups of words and phrases that mean the same, across languages.
    :param missing: texts that stand where a table knows nothing.
    """

    name: Annotated[str, TEXT]
    extends: str = ""
    one: Annotated[str, TEXT] = "product"
    many: Annotated[str, TEXT] = "products"
    goods: ByLanguage = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
    headers: Annotated[Mapping[str, ByLanguage], _keys_of(HEADER_ROLES)] = field(
        default_factory=dict
    )
    cues: Annotated[Mapping[str, ByLanguage], _keys_of(CUE_KINDS)] = field(default_factory=dict)
    identifiers: IdentifierRules = field(default_factory=IdentifierRules)
    grammar: GrammarHints = field(default_factory=GrammarHints)
    synonyms: tuple[tuple[str, ...], ...] = ()
    alternatives: tuple[tuple[str, ...], ...] = ()
    missing: tuple[str, ...] = ()

    def scales(self) -> dict[str, Scale]:
        """Return every spelling of a unit with how it is read."""
        return {
            spelling: Scale(base, scale, spelling in unit.shy)
            for base, unit in self.units.items()
            for scale, spellings in unit.spellings.items()
            for spelling in spellings
        }

    def cue_words(self, kind: str) -> tuple[str, ...]:
        """Return the words of one kind of cue, in all languages, each once.

        ``stem*`` stands for every word that begins so, ``~chars`` for characters anywhere in a text
        without spaces; several words are a phrase.
        """
        return tuple(dict.fromkeys(w for words in self.cues.get(kind, {}).values() for w in words))

    def header_words(self, role: str) -> tuple[str, ...]:
        """Return the words that headers of a role are made of, in all languages, each once."""
        by_language = self.headers.get(role, {})
        return tuple(dict.fromkeys(w for words in by_language.values() for w in words))


@cache
def read_pack(name: str) -> Pack:
    """Read a shipped pack, with those that it extends.

    :raises InputError: if there is none of the name, or packs extend each other in a circle.
    :raises FaultsError: with all that is wrong with its file.
    """
    contents: list[dict[str, Any]] = []
    names: list[str] = []
    while name:
        if name in names:
            raise InputError(f"packs {', '.join(names)} extend each other in a circle")
        names.append(name)
        path = shipped(PACKS_FOLDER) / f"{name}.yaml"
        if not path.is_file():
            raise InputError(f"pack {name!r}: there is none; known: {', '.join(pack_names())}")
        content = read_yaml(path)
        settings_of(Pack, content, where=str(path))
        assert isinstance(content, dict)
        contents.append(content)
        name = content.get("extends", "")
    whole: dict[str, Any] = {}
    for content in reversed(contents):
        whole = _merged(whole, content)
    return settings_of(Pack, whole, where=f"pack {names[0]!r}")


def pack_names() -> list[str]:
    """Return the names of the shipped packs."""
    return sorted(path.stem for path in shipped(PACKS_FOLDER).glob("*.yaml"))


def _merged(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {key: _merged(below.get(key), above.get(key)) for key in {**below, **above}}
    if isinstance(below, list) and isinstance(above, list):
        return [*below, *above]
    return below if above is None else above


_GTIN_LENGTHS = (8, 12, 13, 14)


def gtin14(text: str) -> str:
    """Return a GTIN (EAN, UPC, ISBN-13) as 14 digits, "" for what is none.

    :param text: 8, 12, 13 or 14 digits, with spaces and hyphens between them or not. The last is
        the check digit (GS1 General Specifications, 7.9): digits weighted 3, 1, 3 ... from the
        right add up to a multiple of 10.
    """
    digits = text.replace(" ", "").replace("-", "")
    if len(digits) not in _GTIN_LENGTHS or not (digits.isascii() and digits.isdigit()):
        return ""
    whole = digits.zfill(14)
    total = sum(int(digit) * (3, 1)[at % 2] for at, digit in enumerate(whole))
    return whole if total % 10 == 0 and whole.strip("0") else ""
