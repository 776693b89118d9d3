"""Listings in the store: what annotations and predictions are about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from index.records import Listing
from rerank.store.database import Session, utc_now


@dataclass(frozen=True, slots=True)
class StoredListing:
    """A listing and where it comes from.

    :param shop: the feed or site it was found on; empty if unknown.
    :param language: ISO 639-1 code; empty if unknown.
    """

    listing: Listing
    shop: str = ""
    language: str = ""


SCHEMA = pa.schema(
    [
        ("listing_id", pa.string()),
        ("title", pa.string()),
        ("vendor", pa.string()),
        ("description", pa.string()),
        ("price", pa.float64()),
        ("shop", pa.string()),
        ("language", pa.string()),
        ("added_at", pa.timestamp("us")),
    ]
)


def save_listings(session: Session, listings: Iterable[StoredListing]) -> None:
    """Write listings; one that is there already is replaced."""
    now = utc_now()
    rows = [
        {
            "listing_id": item.listing.listing_id,
            "title": item.listing.title,
            "vendor": item.listing.vendor,
            "description": item.listing.description,
            "price": item.listing.price,
            "shop": item.shop,
            "language": item.language,
            "added_at": now,
        }
        for item in listings
    ]
    session.insert("save listings", "listings", pa.Table.from_pylist(rows, SCHEMA), replace=True)


def read_listings(
    session: Session, listing_ids: Sequence[str] | None = None
) -> list[StoredListing]:
    """Return listings by id, all if none are named; those that are not there are left out."""
    chosen = "" if listing_ids is None else "WHERE listing_id IN (SELECT unnest(?))"
    rows = session.rows(
        "read listings",
        "SELECT listing_id, title, vendor, description, price, shop, language FROM listings "
        f"{chosen} ORDER BY listing_id",
        () if listing_ids is None else [list(listing_ids)],
    )
    return [
        StoredListing(Listing(key, title, vendor, description, price), shop, language)
        for key, title, vendor, description, price, shop, language in rows
    ]
