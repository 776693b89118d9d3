"""What `rerank annotate` asks about: listings of the store, in the order of the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pyarrow as pa

from index.errors import InputError
from index.records import Listing
from jobs.progress import progress_bar
from jobs.resolving import resolve_listings
from jobs.serving import resolver_over
from jobs.storing.files import read_incoming
from jobs.workspace import Workspace, open_retriever
from rerank.annotation.queue import QueueItem, QueueStrategy, order_queue
from rerank.store import Store
from rerank.store.annotations import Annotation, save_annotations
from rerank.store.importing import OnConflict, import_listings
from rerank.store.incoming import LISTING_COLUMNS
from rerank.store.listings import StoredListing

if TYPE_CHECKING:
    from index.retriever import Retriever
    from rerank.resolver import Resolver
    from rerank.store import Session

Progress = Callable[[float], None]

POOL = 5_000
"""Listings without an answer that the queue chooses among: some seconds of resolving."""

_BATCH = 500
_COLUMNS = "l.listing_id, l.title, l.vendor, l.description, l.price, l.shop, l.language"
_ANSWERED = "SELECT listing_id FROM annotations WHERE annotator = $annotator"
# Listings of a file, if one is given; titles of white space alone leave nothing to ask.
_ASKABLE = (
    "listings l WHERE regexp_matches(l.title, '\\S') "
    "AND ($all OR l.listing_id IN (SELECT listing_id FROM asked_about))"
)


@dataclass(frozen=True, slots=True)
class Pool:
    """Listings that may be asked about, and those that one annotator has answered.

    :param unanswered: a sample, if there are more than `POOL`.
    :param answered: the latest ones, at most `POOL`.
    :param n_unanswered: how many there are in all; so is ``n_answered``.
    :param n_today: answers given since midnight, local time.
    """

    unanswered: list[StoredListing]
    answered: list[StoredListing]
    n_unanswered: int
    n_answered: int
    n_today: int


@dataclass(frozen=True, slots=True)
class Queue:
    """What is asked, in this order.

    :param n_answered: answers before; so is ``n_today``.
    :param n_left: questions that are open, asked now or another time.
    """

    items: list[QueueItem]
    n_answered: int
    n_today: int
    n_left: int


def take_in(store: Store, path: Path, *, on_conflict: OnConflict) -> list[str]:
    """Save a file's listings to the store and return their ids.

    :raises InputError: if the file cannot be read or lacks a column.
    :raises FaultsError: if rows are faulty, or differ from the store and that is refused.
    """
    incoming = read_incoming(path, LISTING_COLUMNS)
    import_listings(store, incoming, on_conflict=on_conflict)
    return [str(key) for key in incoming.rows.column("listing_id").to_pylist()]


def read_pool(
    session: Session, annotator: str, *, seed: int, listing_ids: Sequence[str] | None = None
) -> Pool:
    """Return what one annotator may be asked about.

    :param listing_ids: the only ones that matter; None for all of the store.
    :param seed: of the sample, if there are too many.
    """
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    values = {"annotator": annotator, "all": listing_ids is None}
    asked = pa.table({"listing_id": pa.array(listing_ids or [], pa.string())})
    with session.visible("asked_about", asked):
        unanswered = session.rows(
            "choose listings to ask about",
            f"SELECT {_COLUMNS} FROM {_ASKABLE} AND l.listing_id NOT IN ({_ANSWERED}) "
            "ORDER BY md5(concat_ws(' ', l.listing_id, $seed)), l.listing_id LIMIT $pool",
            {**values, "seed": str(seed), "pool": POOL},
        )
        answered = session.rows(
            "read answered listings",
            f"SELECT {_COLUMNS} FROM {_ASKABLE} AND l.listing_id IN ({_ANSWERED} "
            "ORDER BY annotated_at DESC LIMIT $pool) ORDER BY l.listing_id",
            {**values, "pool": POOL},
        )
        ((n_all, n_answered, n_today),) = session.rows(
            "count answers",
            "SELECT count(*), count(a.annotated_at), "
            "count(*) FILTER (a.annotated_at >= $midnight) FROM (SELECT l.listing_id FROM "
            f"{_ASKABLE}) LEFT JOIN (SELECT listing_id, annotated_at FROM annotations "
            "WHERE annotator = $annotator) a USING (listing_id)",
            {**values, "midnight": midnight.astimezone(UTC).replace(tzinfo=None)},
        )
    return Pool(
        [_stored(row) for row in unanswered],
        [_stored(row) for row in answered],
        n_all - n_answered,
        n_answered,
        n_today,
    )


def prepare(
    workspace: Workspace,
    store: Store,
    annotator: str,
    *,
    strategy: QueueStrategy,
    seed: int,
    limit: int | None = None,
    listing_ids: Sequence[str] | None = None,
) -> tuple[Queue, Retriever]:
    """Return what one annotator is asked, and the retriever that finds other GPUs.

    :raises InputError: if there is no listing to ask about, answered or not.
    """
    with store.reading() as session:
        pool = read_pool(session, annotator, seed=seed, listing_ids=listing_ids)
    if not pool.n_unanswered + pool.n_answered:
        raise InputError(
            f"{store.path}: expected listings with a title to ask about, found none; hand in a "
            "file of them: rerank annotate LISTINGS.csv"
        )
    if pool.n_unanswered > POOL:
        click.echo(f"choosing among {POOL:,} of {pool.n_unanswered:,} listings", err=True)
    retriever, manifest = open_retriever(workspace)
    resolver = resolver_over(workspace, retriever, manifest)
    with progress_bar("resolving listings") as progress:
        queue = open_queue(
            resolver, pool, strategy=strategy, seed=seed, limit=limit, progress=progress
        )
    return queue, retriever


def save_answer(store: Store, annotation: Annotation) -> None:
    """Write one answer; when this returns, it is on disk.

    :raises StoreBusyError: if another process uses the store for longer than it waits.
    """
    with store.writing() as session:
        save_annotations(session, [annotation])


def queue_items(
    resolver: Resolver,
    listings: Sequence[Listing],
    shops: Sequence[str],
    *,
    progress: Progress = lambda share: None,
) -> list[QueueItem]:
    """Resolve listings and let three rankers vote on each: what the queue is made from.

    The rankers: the model; the cosine of its candidates alone; the token-coverage rule.

    :param shops: of the listings, empty where unknown.
    """
    from rerank.evaluation.baselines import TokenCoverage

    thresholds = (resolver.model.thresholds.match, resolver.model.thresholds.review)
    coverage = TokenCoverage([record.model for record in resolver.table.records])
    items: list[QueueItem] = []
    for start in range(0, len(listings), _BATCH):
        batch = listings[start : start + _BATCH]
        answers = resolve_listings(resolver, batch)
        covered = coverage.rank([listing.title for listing in batch], 1)
        for listing, shop, answer, (rule,) in zip(
            batch, shops[start : start + _BATCH], answers, covered, strict=True
        ):
            nearest = max(answer.candidates, key=lambda c: c.similarity, default=None)
            votes = (answer.model or "", nearest.model if nearest else "", rule)
            items.append(QueueItem(listing, shop, answer, votes, thresholds))
        progress(len(items) / len(listings))
    return items


def open_queue(
    resolver: Resolver,
    pool: Pool,
    *,
    strategy: QueueStrategy,
    seed: int,
    limit: int | None = None,
    progress: Progress = lambda share: None,
) -> Queue:
    """Return what is asked, in order."""
    stored = [*pool.unanswered, *pool.answered]
    items = queue_items(
        resolver,
        [item.listing for item in stored],
        [item.shop for item in stored],
        progress=progress,
    )
    open_items = items[: len(pool.unanswered)]
    order = order_queue(open_items, strategy=strategy, seed=seed, answered=items[len(open_items) :])
    return Queue(
        items=[open_items[at] for at in order[:limit]],
        n_answered=pool.n_answered,
        n_today=pool.n_today,
        n_left=len(order) + pool.n_unanswered - len(pool.unanswered),
    )


def _stored(row: Sequence[object]) -> StoredListing:
    key, title, vendor, description, price, shop, language = row
    number = None if price is None else float(str(price))
    return StoredListing(
        Listing(str(key), str(title), str(vendor), str(description), number),
        str(shop),
        str(language),
    )
