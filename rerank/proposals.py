"""Products that listings sell and a catalogue lacks: their names, sizes and part numbers.

What tells one product from another in titles is a number with what is glued to it and the suffixes
behind it: 760, K20X, 6600 XT. Listings that are no match, or held, are grouped by such a mark that
no name of the catalogue has, and that stands behind a word with which its names begin. Marks that
stand in the same listings are one product. All is counting: the same listings, in whatever order,
give the same proposals.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from rerank.index.text import CharacterRun, is_measure, normalise, runs

_LEAST = 3
_LEAST_SHARE = 0.5  # of a group's listings that a word or size stands in, to be part of its name
_SIZE_SHARE, _LINE_SHARE = 0.2, 0.3
_NAMES_WITH_A_WORD = 3  # that make it one with which names begin
_ALIKE = 0.8  # share of listings of the rarer of two marks that has the other
_MOST_DIGITS, _LEAST_DIGITS, _LONGEST_PREFIX = 5, 2, 2
_RUNS_OF_A_CODE = 4
_EXAMPLES = 5
_MOST_CODES = 6
_SUFFIXES = frozenset(
    "ti super xt xtx gre d ada sff max m x s le gs gt gtx gto se pro ultra".split()
)
_UNITS = frozenset(
    "gb g gd go mb mib gib tb mhz ghz w bit hz mm cm kg nm v a ah mah inch hd k fps".split()
)
_SIZE = re.compile(r"(?<![\d.])(\d{1,4})[ -]?(gb|g|go|mb)(?![a-z0-9])")
_TYPE = re.compile(r"(?<![a-z])(g?ddr\s?\dx?|hbm\s?\d?e?)(?![a-z0-9])")
_CODE = re.compile(r"(?<![\w-])(?=[\w.-]*\d)(?=[\w.-]*[a-z])[a-z0-9][\w.-]{6,24}(?![\w-])")


class Unmatched(NamedTuple):
    """A listing that is no match, or held."""

    listing_id: str
    title: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A product that a catalogue may lack.

    :param sizes: in GB, as listings state them, the most frequent first; else its line's usual one.
    :param assumed: which of size and memory type no listing states.
    :param line: the line of the nearest names of the catalogue, as its records call it; with
        ``vendor`` empty where there is none.
    :param listings: numbers of its listings among those that were given.
    """

    name: str
    vendor: str
    line: str
    sizes: tuple[float, ...]
    memory_type: str
    part_numbers: tuple[str, ...]
    examples: tuple[str, ...]
    listings: tuple[int, ...]
    assumed: tuple[str, ...] = ()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield rows of a registry, one a size, as `rerank build-index --add` reads them."""
        for size in self.sizes or (0.0,):
            yield {
                "model": self.name,
                "vendor": self.vendor,
                "line": self.line,
                "memory_gb": size or None,
                "memory_type": self.memory_type,
                "part_numbers": ";".join(self.part_numbers),
                "assumed": " ".join(self.assumed),
                "listings": len(self.listings),
                "examples": " | ".join(self.examples),
            }


class _Mark(NamedTuple):
    """A mark in a title, the word before it, and its letters and its number."""

    text: str
    before: str
    prefix: str
    number: str


def propose(
    listings: Sequence[Unmatched], records: Sequence[Any], *, least: int = _LEAST
) -> list[Proposal]:
    """Group listings by products that a catalogue lacks, those with most listings first.

    :param records: of the catalogue; of graphics cards `GpuRecord`, of others what has a model.
    :param least: different titles that a product has at least.
    """
    known = _Known.of(records)
    found: dict[tuple[str, str], dict[int, _Mark]] = defaultdict(dict)
    for at, listing in enumerate(listings):
        for mark in marks_of(normalise(listing.title), known.lines):
            if not known.has(mark):
                found[mark.text, known.brand_of(mark)].setdefault(at, mark)
    groups = []
    for (text, _), own in _with_unbranded(found).items():
        lined = sum(each.before in known.words for each in own.values())
        titles = {normalise(listings[at].title) for at in own}
        if len(titles) >= least and lined >= _LEAST_SHARE * len(own):
            groups.append((text, own))
    proposals = [_proposal(own, listings, known) for _, own in _merged(groups)]
    return sorted(proposals, key=lambda each: (-len(each.listings), each.name, each.listings))


def _with_unbranded(
    found: Mapping[tuple[str, str], dict[int, _Mark]],
) -> dict[tuple[str, str], dict[int, _Mark]]:
    """Put marks without a brand to the brand that has the same mark most often."""
    brands: dict[str, tuple[str, str]] = {}
    for key in sorted(found, key=lambda each: (-len(found[each]), each)):
        if key[1]:
            brands.setdefault(key[0], key)
    joined = {key: dict(own) for key, own in found.items() if key[1] or key[0] not in brands}
    for key, own in found.items():
        if key not in joined:
            joined[brands[key[0]]] |= own
    return joined


def marks_of(text: str, lines: frozenset[str] = frozenset()) -> Iterator[_Mark]:
    """Yield the marks of a normalised title; none inside part numbers, sizes and measures.

    :param lines: words that are no letters of a number, though they touch it: RX6600.
    """
    pieces = runs(text)
    words = _words_of(pieces)
    for at, piece in enumerate(pieces):
        if not piece.text.isdigit() or not piece.text.isascii():
            continue
        if words[at] >= _RUNS_OF_A_CODE or not 1 <= len(piece.text) <= _MOST_DIGITS:
            continue
        before = pieces[at - 1] if at else None
        glued = before is not None and before.end == piece.start and before.text.isalpha()
        behind = pieces[at + 1].text if at + 1 < len(pieces) else ""
        if behind in _UNITS or is_measure(text, piece, glued):
            continue
        prefix = before.text if glued and before and len(before.text) <= _LONGEST_PREFIX else ""
        prefix = "" if prefix in lines else prefix
        if len(piece.text) < _LEAST_DIGITS and not prefix:
            continue
        suffix = _suffix(pieces, at)
        line_at = at - 1 - bool(prefix)
        line = pieces[line_at].text if line_at >= 0 else ""
        yield _Mark(prefix + piece.text + suffix, line, prefix, prefix + piece.text)


def _suffix(pieces: Sequence[CharacterRun], at: int) -> str:
    """Return the suffixes behind a number, joined."""
    suffix = ""
    for place in range(at + 1, min(at + 3, len(pieces))):
        run = pieces[place]
        apart = run.start - pieces[place - 1].end
        if run.text not in _SUFFIXES or apart > 1 or (apart and len(run.text) == 1):
            break
        suffix += run.text
    return suffix


def _words_of(pieces: Sequence[CharacterRun]) -> list[int]:
    """Return of how many runs the word of each run is, which touch each other."""
    counts, start = [0] * len(pieces), 0
    for at in range(1, len(pieces) + 1):
        if at == len(pieces) or pieces[at].start > pieces[at - 1].end:
            counts[start:at] = [at - start] * (at - start)
            start = at
    return counts


class _Known(NamedTuple):
    """What a catalogue's names hold.

    :param lines: words of two letters that stand by themselves.
    :param marks: of all names, each with the brands and vendors that have it.
    :param words: that stand before marks in several names, some with the letters that a number has
        behind them, with the vendor, line and written form of most of these.
    :param types: of memory, by how they are read in titles.
    :param usual: size and type of memory of most cards of a line.
    """

    lines: frozenset[str]
    marks: Mapping[str, frozenset[str]]
    words: Mapping[str, tuple[str, str, str]]
    types: Mapping[str, str]
    usual: Mapping[str, tuple[float, str]]

    def brand_of(self, mark: _Mark) -> str:
        """Return the first word of names that begin as a mark's does, "" where none is known."""
        form = self.words.get(mark.before, ("", "", ""))[2]
        return form.partition(" ")[0].lower()

    def has(self, mark: _Mark) -> bool:
        """Say whether a name of the catalogue has a mark, of the brand or vendor it is said of."""
        owners = self.marks.get(mark.text)
        if owners is None:
            return False
        vendor = self.words.get(mark.before, ("", "", ""))[0].lower()
        said = self.brand_of(mark) or vendor
        return not said or said in owners

    @classmethod
    def of(cls, records: Sequence[Any]) -> _Known:
        """Read the names of a catalogue."""
        marks: dict[str, set[str]] = defaultdict(set)
        owners: dict[str, Counter[tuple[str, str, str]]] = defaultdict(Counter)
        written: dict[str, Any] = {}
        for record in records:
            written.setdefault(str(getattr(record, "model", record)), record)
        lines = frozenset(
            word for name in written for word in normalise(name).split() if len(word) == 2
        )
        for name, record in written.items():
            vendor, line = (str(getattr(record, each, "")) for each in ("vendor", "line"))
            for text in (name, *getattr(record, "aliases", ())):
                for mark in marks_of(normalise(text), lines):
                    marks[mark.text] |= {name.partition(" ")[0].lower(), vendor.lower()}
            for mark in islice(marks_of(normalise(name), lines), 1):
                n_words = len(normalise(name)[: normalise(name).find(mark.number)].split())
                form = " ".join(name.split()[:n_words])
                for word in (mark.before, f"{mark.before} {mark.prefix}"):
                    owners[word][vendor, line, form] += 1
            if vendor:
                owners[vendor.lower()][vendor, line, ""] += _MANY
        common = {
            word: max(counts, key=lambda each: (counts[each], each))
            for word, counts in owners.items()
            if word.strip() and counts.total() >= _NAMES_WITH_A_WORD
        }
        types: dict[str, str] = {}
        usual: dict[str, Counter[tuple[float, str]]] = defaultdict(Counter)
        for record in records:
            if found := getattr(record, "memory_type", ""):
                types.setdefault(found.upper(), found)
                usual[record.line][record.memory_gb, found] += 1
        most = {
            line: max(counts, key=lambda each: (counts[each], each))
            for line, counts in usual.items()
        }
        owned = {mark: frozenset(own) for mark, own in marks.items()}
        return cls(lines, owned, common, types, most)


_MANY = 1000  # a vendor's name is no part of a model's


def _merged(groups: Sequence[tuple[str, dict[int, _Mark]]]) -> list[tuple[str, dict[int, _Mark]]]:
    """Join groups whose marks stand in the same listings: the larger one keeps the name."""
    kept: list[tuple[str, dict[int, _Mark]]] = []
    of_listing: dict[int, list[int]] = defaultdict(list)
    for mark, own in sorted(groups, key=lambda each: (-len(each[1]), each[0])):
        shared = Counter(at for listing in own for at in of_listing[listing])
        target = next((at for at, n in shared.most_common(1) if n >= _ALIKE * len(own)), None)
        if target is None:
            target = len(kept)
            kept.append((mark, dict(own)))
        else:
            for listing, found in own.items():
                kept[target][1].setdefault(listing, found)
        for listing in own:
            of_listing[listing].append(target)
    return kept


def _proposal(own: Mapping[int, _Mark], listings: Sequence[Unmatched], known: _Known) -> Proposal:
    texts = [normalise(listings[at].title) for at in sorted(own)]
    before = Counter(mark.before for mark in own.values() if mark.before in known.words)
    named = {word: n for word, n in before.items() if known.words[word][2]}
    most = max(named.values(), default=0)
    often = [word for word, n in named.items() if n >= _LINE_SHARE * most] or list(before)
    word = max(often, key=lambda each: (len(known.words[each][2].split()), before[each], each))
    prefix = Counter(each.prefix for each in own.values()).most_common(1)[0][0]
    vendor, line, form = known.words.get(f"{word} {prefix}", known.words[word])
    mark = Counter(each.text for each in own.values())
    (text, _) = max(mark.items(), key=lambda each: (each[1], each[0]))
    sizes = Counter(size for each in texts for size in set(_sizes(each)))
    enough = max(1.0, _SIZE_SHARE * len(texts))
    types = Counter(
        found.replace(" ", "").upper() for each in texts for found in _TYPE.findall(each)
    )
    codes = Counter(code for each in texts for code in set(_CODE.findall(each)))
    stated = tuple(size for size, n in sorted(sizes.items(), key=_by_count) if n >= enough)
    kind = max(types.keys() & known.types, key=lambda each: (types[each], each), default="")
    usual = known.usual.get(line)
    assumed = [name for name, own in (("memory_gb", stated), ("memory_type", kind)) if not own]
    return Proposal(
        f"{form} {_as_names_are(text)}".strip(),
        vendor,
        line,
        stated or ((usual[0],) if usual else ()),
        known.types[kind] if kind else usual[1] if usual else "",
        _part_numbers(codes),
        tuple(dict.fromkeys(listings[at].title for at in sorted(own)))[:_EXAMPLES],
        tuple(sorted(own)),
        tuple(assumed) if usual else (),
    )


def _by_count(found: tuple[float, int]) -> tuple[int, float]:
    return -found[1], found[0]


def _part_numbers(codes: Counter[str]) -> tuple[str, ...]:
    """Return codes that several listings have and that are no names with what is glued to them."""
    found = sorted((-n, code) for code, n in codes.items() if n > 1)
    return tuple(code.upper() for _, code in found if len(runs(code)) >= _RUNS_OF_A_CODE)[
        :_MOST_CODES
    ]


def _sizes(text: str) -> Iterable[float]:
    for digits, unit in _SIZE.findall(text):
        size = int(digits) / (1024 if unit == "mb" else 1)
        if 0 < size <= 288:
            yield size


_SPELLED = {
    "ti": "Ti",
    "super": "SUPER",
    "ada": "Ada",
    "max": "Max",
    "pro": "Pro",
    "ultra": "Ultra",
}
_PARTS = re.compile(r"([a-z]{0,2}\d+)(.*)")


def _as_names_are(mark: str) -> str:
    """Write a mark as names are: ``6600xt`` as 6600 XT, ``k20x`` as K20X."""
    parts = _PARTS.fullmatch(mark)
    if parts is None:
        return mark.upper()
    head, rest = parts.groups()
    suffixes = []
    while rest:
        found = max((s for s in _SUFFIXES if rest.startswith(s)), key=len, default=rest)
        suffixes.append(_SPELLED.get(found, found.upper()))
        rest = rest[len(found) :]
    glued = "".join(each for each in suffixes if len(each) == 1)
    return " ".join([head.upper() + glued, *(each for each in suffixes if len(each) > 1)])
