"""What versions over a catalogue are measured on, and what resolved listings are measured by."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from math import isnan
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa

from rerank.annotation.agreement import Consensus, read_settled
from rerank.evaluation.baselines import ROUTE_CUTOFFS, Baseline, plain_baselines
from rerank.evaluation.evaluate import Examined
from rerank.evaluation.gold import GoldKind, GoldListing
from rerank.evaluation.intervals import Resampling
from rerank.evaluation.outcomes import Cause, ErrorKind, Failure, errors_of, judge
from rerank.evaluation.paired import PairedTable, plain
from rerank.index.errors import FaultsError, InputError, RerankWarning
from rerank.index.records import Listing, Route
from rerank.lifecycle.drift import UNKNOWN_WORDS, Histogram, unknown_words, yes_or_no
from rerank.lifecycle.gates import MADE_UP
from rerank.packs.generic.fields import Fields
from rerank.packs.generic.index import ProductRoute
from rerank.packs.generic.inference import RIGHT_COLUMNS, feed_of
from rerank.packs.generic.pack_data import Pack
from rerank.packs.generic.product_table import counted, read_table
from rerank.packs.generic.source import (
    MODEL,
    CatalogueTable,
    ProductSource,
    fields_of,
    read_listings,
)
from rerank.ranking import Evidence
from rerank.resolution import Resolution
from rerank.resolver import Resolver
from rerank.store.database import Store
from rerank.store.rows import StoredListing, Verdict

MEASURED_ROUTES: tuple[Enum, ...] = (Route.FUSED, *ProductRoute)
"""The routes to products whose recall is measured, all together first."""
VARIANT = "variant stated"
CARD_SEED = 29_029  # of all versions, so that their figures are of the same listings
_CARD_LISTINGS, _SAMPLES = 1000, 500
_READ_AT_ONCE = 2000
_MOST_COMPARED = 50_000  # names that baselines compare titles with
_ID = "listing_id"
_BETWEEN = ";"


class LabelledRow(NamedTuple):
    """A listing of a file with the rows of the products it may be; none: it sells nothing of them.

    :param listing_id: the number of its row, from 1, where the file says none.
    """

    listing_id: str
    listing: Fields
    rows: frozenset[int]


def read_labelled(
    path: Path,
    table: CatalogueTable,
    pack: Pack,
    warn: Callable[[str], None] = lambda text: None,
) -> list[LabelledRow]:
    """Read listings with the products they sell; those of unknown products are left out.

    :raises InputError: if no column holds products, or most of them are none of the catalogue.
    """
    file = read_table(path)
    column = next((name for name in RIGHT_COLUMNS if name in file.names), None)
    if column is None:
        raise InputError(
            f"{path}: expected the column product_id, empty where nothing of the catalogue is "
            f"sold, found {', '.join(file.names)}"
        )
    said = file.texts(column)
    feed = feed_of(path, pack)
    key = _ID if _ID in file.names else feed.listing_id
    keys = file.texts(key) if key and key not in RIGHT_COLUMNS else []
    found, unknown = [], []
    for at, listing in read_listings(feed):
        ids = [each.strip() for each in said[at].split(_BETWEEN) if each.strip()]
        rows = [table.row_of_id[each] for each in ids if each in table.row_of_id]
        if ids and not rows:
            unknown.append(ids[0])
            continue
        listing_id = keys[at] if keys else str(at + 1)
        found.append(LabelledRow(listing_id, listing, frozenset(rows)))
    if len(unknown) > len(found):
        told = counted(len(unknown), "listing")
        raise InputError(
            f"{path}: {told} of products that the catalogue lacks, such as "
            f"{unknown[0]!r}; build the index of the catalogue they were judged with"
        )
    if unknown:
        told = counted(len(unknown), "listing")
        warn(f"{path}: left out {told} of products that the catalogue lacks: {unknown[0]!r}")
    return found


def read_catalogue_gold(path: Path, table: CatalogueTable, pack: Pack) -> list[GoldListing]:
    """Read a gold file: listings with the products they sell.

    :raises InputError: as `read_labelled`.
    :raises FaultsError: if a listing_id stands twice or not at all.
    """
    rows = read_labelled(path, table, pack)
    counts = Counter(row.listing_id for row in rows)
    faults = [
        f"listing_id {key!r} stands {count} times" if key else f"{count} rows without listing_id"
        for key, count in counts.items()
        if count > 1 or not key
    ]
    if faults:
        raise FaultsError(str(path), faults)
    return [gold_of(row.listing_id, row.listing, row.rows, table) for row in rows]


def gold_of(
    listing_id: str, listing: Fields, rows: frozenset[int], table: CatalogueTable
) -> GoldListing:
    """Return a listing that sells one of some products, or none, as gold."""
    models = dict.fromkeys(table.records[row].model for row in sorted(rows))
    variants = {row for model in models for row in table.rows_of_model[model]}
    told = rows if len(variants) > len(rows) else ()  # else any variant is right
    return GoldListing(
        listing_id,
        listing.name,
        listing.brand,
        GoldKind.MATCH if models else GoldKind.NIL,
        gold_models=tuple(models),
        description=listing.text,
        price=_price(listing),
        key_of=str,
        gold_ids=frozenset(table.records[row].product_id for row in told),
    )


class Settled(NamedTuple):
    """What people settled on about a listing of the store; ``rows`` are empty for no match."""

    stored: StoredListing
    answer: Consensus
    rows: frozenset[int]


def read_settled_rows(
    store: Store, table: CatalogueTable, warn: Callable[[str], None] = lambda text: None
) -> list[Settled]:
    """Read what people settled on, there or not; what is disputed or unsure is left out.

    :raises StoreError: if the store cannot be read.
    """
    with store.reading() as session:
        settled, stored = read_settled(session)
    found, unknown = [], 0
    for each in settled:
        item = stored.get(each.listing_id)
        if each.disputed or each.verdict is Verdict.UNSURE or item is None:
            continue
        rows: frozenset[int] = frozenset()
        if each.verdict is Verdict.MATCH:
            row = table.row_of_id.get(each.gpu_id or "")
            named = table.rows_of_model.get(each.model or "", ())
            rows = frozenset(named if row is None else [row])
            if not rows:
                unknown += 1
                continue
        found.append(Settled(item, each, rows))
    if unknown:
        told = counted(unknown, "annotated listing")
        warn(f"left out {told} of products that the catalogue lacks")
    return found


def settled_catalogue_gold(store: Store, table: CatalogueTable) -> list[GoldListing]:
    """Return what people settled on as gold.

    :raises StoreError: if the store cannot be read.
    """
    found = []
    for stored, _, rows in read_settled_rows(store, table):
        listing = stored.listing
        gold = gold_of(listing.listing_id, fields_of(listing), rows, table)
        found.append(replace(gold, shop=stored.shop, language=stored.language))
    return found


def labels_of(
    files: Sequence[Path],
    store: Path | None,
    table: CatalogueTable,
    pack: Pack,
    warn: Callable[[str], None],
) -> list[tuple[Fields, frozenset[int]]]:
    """Return what training learns from: listings of files, and those that people settled on.

    :param store: None leaves these out.
    :raises InputError: as `read_labelled`.
    """
    labels = [
        (row.listing, row.rows) for path in files for row in read_labelled(path, table, pack, warn)
    ]
    if store is not None:
        settled = read_settled_rows(Store(store), table, warn)
        labels += [(fields_of(each.stored.listing), each.rows) for each in settled]
    return labels


def baselines_over(table: CatalogueTable) -> list[Baseline]:
    """Return what anyone would try first over a catalogue; nothing, with a warning, over many."""
    models = table.rows.column(MODEL).unique().to_pylist()
    if len(models) > _MOST_COMPARED:
        warnings.warn(
            f"baselines are left out: they compare every title with every name, here {len(models)}",
            RerankWarning,
            stacklevel=2,
        )
        return []
    return plain_baselines(models)


class CatalogueFacts:
    """What gold listings of a catalogue are sliced by: where they stand, and in which language."""

    names: Mapping[str, str] = MappingProxyType({})

    def model(self, gold: GoldListing) -> str | None:
        """Return the first accepted model: gold is read with the catalogue, which has them all."""
        return next(iter(gold.gold_models), None)

    def is_unseen(self, gold: GoldListing) -> bool:
        """Say no: every product teaches, by listings made up from it."""
        return False

    def slices(self, gold: GoldListing) -> tuple[str, ...]:
        """Return a listing's value of each of `rerank.evaluation.paired.SLICES`."""
        return "", "", gold.shop, gold.language, "", ""


def explain_products(
    gold: Sequence[GoldListing], answers: Sequence[Resolution], evidence: Sequence[Evidence]
) -> list[Failure]:
    """Return what went wrong and why, the costliest first, without shares of features.

    :param evidence: not read.
    """
    of = {item.listing_id: (item, own) for item, own in zip(gold, answers, strict=True)}
    return [_failure(error, *of[error["listing_id"]]) for error in errors_of(gold, answers)]


def _failure(error: Mapping[str, Any], gold: GoldListing, answer: Resolution) -> Failure:
    first = answer.candidates[0].model if answer.candidates else ""
    chosen = f" ({answer.candidates[0].key})" if answer.candidates else ""
    wanted = f" ({' or '.join(sorted(gold.gold_ids))})" if gold.gold_ids else ""
    cause = _CAUSES[ErrorKind(error["kind"])]
    if gold.kind is GoldKind.NIL:
        cause = Cause.SOLD_OTHERWISE
    elif cause is Cause.CLOSE_RIVAL and first in gold.gold_models:
        cause = Cause.VARIANT
    right = next((each.model for each in answer.candidates if each.model in gold.gold_models), None)
    return Failure(
        listing_id=gold.listing_id,
        title=gold.title,
        want=f"{error['want']}{wanted}",
        got=f"{error['got']}{chosen}",
        decision=str(error["decision"]),
        probability=error["probability"],
        lost_to=error["kind"],
        cause=cause,
        right=right,
        features=(),
    )


_CAUSES = {
    ErrorKind.RETRIEVAL: Cause.NOT_RETRIEVED,
    ErrorKind.RANKING: Cause.CLOSE_RIVAL,
    ErrorKind.DECISION: Cause.LOW_CONFIDENCE,
}


def examine_products(
    resolver: Resolver, source: ProductSource, listings: Sequence[Listing]
) -> Examined:
    """Answer listings, and propose products by each route alone.

    Answers have the columns of the store, where a product stands in the place of a card.
    """
    answers = [cast("Any", answer).as_stored() for answer in resolver.resolve_many(listings)]
    readings = source.index.reader.read([fields_of(listing) for listing in listings])
    routes: dict[Enum, Sequence[Sequence[str]]] = {}
    for route in MEASURED_ROUTES:
        chosen = (route,) if isinstance(route, ProductRoute) else tuple(ProductRoute)
        found = source.index.retrieve(readings, n_candidates=max(ROUTE_CUTOFFS), routes=chosen)
        order = np.arange(len(found.record))
        if isinstance(route, ProductRoute):  # as it has them, not as they are fused
            order = np.lexsort((found.ranks[route], found.listing))
        models: list[list[str]] = [[] for _ in listings]
        listing, record = found.listing[order].tolist(), found.record[order].tolist()
        for at, row in zip(listing, record, strict=True):
            models[at].append(source.table.records[row].model)
        routes[route] = models
    return Examined(answers, routes)


class TitleWords:
    """What resolved listings of a catalogue are measured by; `rerank.lifecycle.drift` says how.

    Measured are the share of a title's words that no product has, and, where products have
    variants, whether a title states its.
    """

    columns: tuple[str, ...] = ("variant_stated",)
    limits: Mapping[str, tuple[float, float]] = {VARIANT: (0.1, 0.2)}

    def __init__(self, source: ProductSource) -> None:
        self._index = source.index
        self._has_variants = source.table.n_models < source.table.rows.num_rows

    def of(self, rows: pa.Table) -> dict[str, Histogram]:
        """Return how resolved rows are spread."""
        titles = [title or "" for title in rows.column("title").to_pylist()]
        measures = {UNKNOWN_WORDS: unknown_words(self._unknown(titles))}
        if self._has_variants and "variant_stated" in rows.column_names:
            stated = rows.column("variant_stated").to_pylist()
            measures[VARIANT] = yes_or_no(bool(each) for each in stated)
        return measures

    def remedies(self, rows: pa.Table) -> Mapping[str, str]:
        """Return nothing: what is unknown may be a shop's words as well as goods."""
        return {}

    def _unknown(self, titles: Sequence[str]) -> list[float]:
        """Return of each title the share of its words that no product has, 0 without words."""
        shares: list[float] = []
        for at in range(0, len(titles), _READ_AT_ONCE):
            part = [Fields(name=title) for title in titles[at : at + _READ_AT_ONCE]]
            tokens = self._index.reader.read(part).tokens
            counts = np.diff(tokens.offsets)
            unknown = self._index.ids_of(tokens.values) < 0
            listing = np.repeat(np.arange(len(part)), counts)[unknown]
            shares += (np.bincount(listing, minlength=len(part)) / np.maximum(counts, 1)).tolist()
        return shares


def made_up_gold(source: ProductSource, pack: Pack, n: int) -> list[GoldListing]:
    """Return listings made up from the catalogue, written as its feeds are.

    :param n: some of these sell nothing of the catalogue.
    """
    from rerank.packs.generic.learning import made_up_listings

    labels = made_up_listings(
        source.index,
        source.products,
        source.listings,
        n,
        pack=pack,
        models=source.table.model_of_record,
        seed=CARD_SEED,
    )
    return [
        gold_of(f"made-up-{at}", listing, rows, source.table)
        for at, (listing, rows) in enumerate(labels)
    ]


def made_up_figures(resolver: Resolver, source: ProductSource, pack: Pack) -> dict[str, Any]:
    """Return figures with 95 % intervals on made-up listings, as a card keeps them."""
    gold = made_up_gold(source, pack, _CARD_LISTINGS)
    outcomes = judge(gold, resolver.resolve_many([item.listing for item in gold]))
    groups = [item.group for item in gold]
    resampling = Resampling.draw(groups, seed=CARD_SEED, samples=_SAMPLES)
    figures = plain(PairedTable({MADE_UP: outcomes}, resampling).figures(MADE_UP))
    of = "listings made up from the catalogue"
    measured_on = {"listings": len(gold), "seed": CARD_SEED, "of": of}
    return {"measured_on": measured_on, "figures": figures}


def card_listings(source: ProductSource, made_up: Callable[[int], list[Listing]]) -> list[Listing]:
    """Return listings whose answers a card keeps the spread of: of the feeds, from all over them.

    :param made_up: makes so many up, where the catalogue names no feed.
    """
    feed = source.listings
    if not feed:
        return made_up(_CARD_LISTINGS)
    step = max(len(feed) / _CARD_LISTINGS, 1.0)
    some = [feed[int(at * step)] for at in range(min(len(feed), _CARD_LISTINGS))]
    return [Listing("", each.name, each.brand, each.text, _price(each)) for each in some]


def _price(listing: Fields) -> float | None:
    return None if isnan(listing.price) else listing.price
