"""What the store exports: the columns that its imports read, in the order of their keys."""

from __future__ import annotations

import pyarrow as pa

from rerank.store.database import Session
from rerank.store.incoming import ANNOTATION_COLUMNS, LISTING_COLUMNS


def listings_table(session: Session) -> pa.Table:
    """Return all listings, as `import_listings` reads them back."""
    names = ", ".join(LISTING_COLUMNS)
    return session.table("export listings", f"SELECT {names} FROM listings ORDER BY listing_id")


def annotations_table(session: Session, *, with_listings: bool = False) -> pa.Table:
    """Return all answers, as `import_annotations` reads them back.

    :param with_listings: add the columns of their listings, so that the file needs no other.
    """
    names = ", ".join(ANNOTATION_COLUMNS)
    if with_listings:
        names += ", " + ", ".join(name for name in LISTING_COLUMNS if name != "listing_id")
    return session.table(
        "export annotations",
        f"SELECT {names} FROM annotations LEFT JOIN listings USING (listing_id) "
        "ORDER BY listing_id, annotator",
    )
