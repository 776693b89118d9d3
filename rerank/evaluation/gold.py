"""Gold files: listings with the answer a careful person gave, how model names compare, and splits.

The format is one CSV row a listing: ``listing_id, title, vendor, kind, gold_models,
gold_memory_gb, gold_form``. Optional: ``description``, ``shop``, ``language`` and ``listing_group``
(listings that are no independent evidence, such as offers of one product page, share one). Other
columns are ignored.

Splits are by model: a model's listings are all on one side, so that unseen models are measured.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from rerank.calibration import NO_MATCH
from rerank.index.errors import FaultsError, InputError
from rerank.index.records import GpuRecord, Listing, shipped
from rerank.index.rows import listed, read_csv
from rerank.index.text import normalise


class Split(Enum):
    """What a model's listings are used for.

    The ranker learns from models the embedder has not seen, so that it learns how much a
    similarity is worth on a new GPU; the offer classifier from the ranker's models, but other
    listings; calibrator and thresholds, and then the test, from models nothing has seen.
    """

    EMBEDDER = "embedder"
    RANKER = "ranker"
    VALIDATION = "validation"
    TEST = "test"


_UPPER_BOUNDS = (
    (30, Split.EMBEDDER),
    (80, Split.RANKER),
    (90, Split.VALIDATION),
    (100, Split.TEST),
)


def split_of(model: str) -> Split:
    """Return a model's split, by a hash of its name: stable when the registry grows."""
    return next(split for bound, split in _UPPER_BOUNDS if percent_of(model) < bound)


def models_of(records: Iterable[GpuRecord], split: Split) -> Sequence[str]:
    """Return the models of a split that are sold apart, sorted."""
    sold = {record.model for record in records if record.sold_apart}
    return sorted(model for model in sold if split_of(model) is split)


def percent_of(name: str) -> int:
    """Return a number from 0 to 99 by a hash of the name, the same everywhere."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100


COLUMNS = (
    "listing_id",
    "title",
    "vendor",
    "kind",
    "gold_models",
    "gold_memory_gb",
    "gold_form",
)
OPTIONAL_COLUMNS = ("description", "shop", "language", "listing_group")
NIL_SHARE = 0.35
BOOTSTRAP_SEED = 20  # of no training split
_OTHER_FORMATS = (".parquet", ".jsonl", ".json", ".xlsx")

# Words that sellers add or leave out without meaning another card: `NVIDIA Tesla T4` is `T4`.
_SILENT_WORDS = frozenset(
    "nvidia amd ati intel geforce radeon quadro tesla grid instinct generation edition lhr ghz "
    "graphics the".split()
)
_BRACKETED = re.compile(r"\([^)]*\)")
_WORD = re.compile(r"[a-z0-9+]+")


class GoldKind(Enum):
    """What a listing is: a GPU, something else, or undecidable even for a person."""

    MATCH = "match"
    NIL = "nil"
    AMBIGUOUS = "ambiguous"


def canonical_key(model: str) -> str:
    """Return what two spellings of one card's name share: chip vendor and line words are gone.

    Idempotent; the same keys as the project's acceptance script, so that figures agree.
    """
    words = _WORD.findall(_BRACKETED.sub(" ", model.lower()))
    return " ".join(word for word in words if word not in _SILENT_WORDS)


@dataclass(frozen=True, slots=True)
class GoldListing:
    """A listing and its truth.

    :param gold_models: names that are accepted; empty unless ``kind`` is ``MATCH``.
    :param gold_memory_gb: only where the listing itself states it, else None.
    :param gold_form: only where the listing itself states it, else empty.
    :param shop: where it was found; empty if unknown.
    :param language: of its text, ISO 639-1; empty if unknown.
    :param listing_group: what it is resampled with; empty if it stands alone.
    :param disputed: annotators differ and nobody has settled it.
    :param price: None if unknown.
    :param gold_ids: the variants that fit; empty where the rest says which do.
    :param key_of: what two spellings of a model's name share, by the rules of its goods.
    """

    listing_id: str
    title: str
    vendor: str
    kind: GoldKind
    gold_models: tuple[str, ...] = ()
    gold_memory_gb: float | None = None
    gold_form: str = ""
    description: str = ""
    shop: str = ""
    language: str = ""
    listing_group: str = ""
    disputed: bool = False
    price: float | None = None
    key_of: Callable[[str], str] = field(default=canonical_key, repr=False)
    gold_ids: frozenset[str] = frozenset()

    @property
    def gold_keys(self) -> set[str]:
        """What names of accepted models share with their spellings."""
        return {self.key_of(model) for model in self.gold_models}

    @property
    def listing(self) -> Listing:
        """The listing alone, as a resolver sees it."""
        return Listing(self.listing_id, self.title, self.vendor, self.description, self.price)

    @property
    def group(self) -> str:
        """What is resampled as one: the stated group, else listings of one title."""
        return self.listing_group or normalise(self.title)


def read_gold(path: Path) -> list[GoldListing]:
    """Read a gold file.

    :raises InputError: if the file is missing, is no text, lacks columns or holds no listing.
    :raises FaultsError: if rows are faulty; all of them are reported, each with its line.
    """
    rows = _rows(path)
    header = _checked_header(next(rows, (0, []))[1], path)
    faults: list[str] = []
    gold: list[GoldListing] = []
    lines: dict[str, int] = {}
    for line, cells in rows:
        row = dict(zip(header, cells, strict=False))
        if len(cells) != len(header):
            wrong = ["has another number of fields than the header"]
        else:
            wrong = list(_faults(row))
        listing_id = row.get("listing_id", "")
        if listing_id in lines:
            wrong.append(f"listing_id {listing_id!r} stands in line {lines[listing_id]} already")
        lines.setdefault(listing_id, line)
        faults += [f"line {line}: {fault}" for fault in wrong]
        if not wrong:
            gold.append(_listing(row))
    if faults:
        raise FaultsError(str(path), faults)
    if not gold:
        raise InputError(f"{path}: expected at least one listing below the header, found none")
    return gold


def bootstrap_gold(records: Sequence[GpuRecord], n: int, seed: int) -> list[GoldListing]:
    """Generate n listings of models that no training step has seen, 35 % of them no match.

    The grammar is the training data's: unseen are the models, not the ways to write a listing.

    :raises InputError: if no model of the registry falls into the test split.
    """
    from rerank.domain import card_tools

    models = models_of(records, Split.TEST)
    if not models:
        known = len({record.model for record in records})
        raise InputError(
            f"the registry has no models for the {Split.TEST.value} split; it needs some 20 "
            f"models, got {known}"
        )
    by_id = {record.gpu_id: record for record in records}
    listings = card_tools().generate(records, n, seed=seed, nil_share=NIL_SHARE, models=models)
    return [
        GoldListing(
            item.listing.listing_id,
            item.listing.title,
            item.listing.vendor,
            GoldKind(item.kind),
            gold_models=(truth.model,) if truth else (),
            gold_memory_gb=truth.memory_gb if truth and item.memory_stated else None,
            gold_form=truth.form_factor if truth and item.form_stated else "",
            description=item.listing.description,
        )
        for item in listings
        for truth in [by_id.get(item.gpu_id or "")]
    ]


def shipped_sets(records: Sequence[GpuRecord], bootstrap: int) -> dict[str, list[GoldListing]]:
    """Return the shipped hard set, and generated listings of models nothing was trained on.

    :param bootstrap: how many to generate; 0 leaves that set out.
    """
    sets = {"hard_set": read_gold(shipped("hard_set.csv"))}
    if bootstrap:
        sets["bootstrap_test"] = bootstrap_gold(records, bootstrap, BOOTSTRAP_SEED)
    return sets


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    if path.suffix.lower() in _OTHER_FORMATS:
        raise InputError(
            f"{path}: gold files are CSV, found a name ending in {path.suffix}; write the rows as "
            f"CSV with the columns {', '.join(COLUMNS)}"
        )
    return read_csv(path)


def _checked_header(names: list[str], path: Path) -> list[str]:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InputError(
            f"{path}: expected the columns {', '.join(COLUMNS)}; missing {', '.join(missing)}; "
            f"found {listed(names) or 'nothing'}"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: columns there twice: {listed(twice)}; drop one")
    return names


def _faults(row: Mapping[str, str]) -> Iterator[str]:
    if not row["listing_id"]:
        yield "listing_id is empty"
    kind = row["kind"]
    if kind not in {member.value for member in GoldKind}:
        yield f"kind must be match, nil or ambiguous, got {kind!r}"
    models = _models(row)
    if kind == GoldKind.MATCH.value and not models:
        yield "a match names no gold_models"
    if kind == GoldKind.NIL.value and models:
        yield f"a nil listing names gold_models {row['gold_models']!r}"
    yield from (f"gold_models names no GPU: {m!r}" for m in models if not canonical_key(m))
    memory = row["gold_memory_gb"]
    if memory and not _is_positive(memory):
        yield f"gold_memory_gb must be a number above 0, got {memory!r}"


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _models(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name.strip() for name in row["gold_models"].split(";") if name.strip())


def _listing(row: Mapping[str, str]) -> GoldListing:
    memory = row["gold_memory_gb"]
    optional: dict[str, Any] = {name: row.get(name, "") for name in OPTIONAL_COLUMNS}
    return GoldListing(
        row["listing_id"],
        row["title"],
        row["vendor"],
        GoldKind(row["kind"]),
        _models(row),
        float(memory) if memory else None,
        row["gold_form"].strip(),
        **optional,
    )


def covered(candidate_set: Collection[str], gold: GoldListing) -> bool:
    """Return whether a candidate set holds the truth: an accepted model, or "no match" for nil.

    :param candidate_set: models and `NO_MATCH`; names compare by their keys.
    :raises InputError: if the listing is ambiguous, so that nothing is known to be true.
    """
    if gold.kind is GoldKind.AMBIGUOUS:
        raise InputError(f"listing {gold.listing_id!r} is ambiguous: leave it out of the coverage")
    if gold.kind is GoldKind.NIL:
        return NO_MATCH in candidate_set
    keys = {gold.key_of(model) for model in candidate_set if model != NO_MATCH}
    return not keys.isdisjoint(gold.gold_keys)
