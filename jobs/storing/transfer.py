"""Bring files into a workspace's store, and out of it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from index.gpu_index import index_records
from index.registry import registry_fingerprint
from jobs.storing.files import read_incoming, write_table
from jobs.workspace import Workspace
from rerank.store.annotation_import import import_annotations
from rerank.store.database import Store
from rerank.store.exporting import annotations_table, listings_table
from rerank.store.importing import ImportSummary, OnConflict, import_listings
from rerank.store.incoming import ANNOTATION_COLUMNS, GOLD_COLUMNS, LISTING_COLUMNS


class Contents(Enum):
    """What a file holds."""

    ANNOTATIONS = "annotations"
    LISTINGS = "listings"


def import_file(
    workspace: Workspace,
    path: Path,
    contents: Contents,
    *,
    annotator: str | None,
    on_conflict: OnConflict,
    wait_s: float,
) -> tuple[ImportSummary, tuple[str, ...]]:
    """Write a file's rows to the store; return what was done and the columns not read.

    Names of GPUs are looked up in the registry of the index that serves.

    :param annotator: who answered, for annotations that do not say.
    :param wait_s: how long to wait for another process that writes, in seconds.
    :raises InputError: if the file is not what its name says, lacks a column or has faulty rows.
    :raises StoreError: if the store is busy, damaged or of a newer release.
    """
    store = Store(workspace.store_path, wait_s=wait_s)
    if contents is Contents.LISTINGS:
        incoming = read_incoming(path, LISTING_COLUMNS)
        return import_listings(store, incoming, on_conflict=on_conflict), incoming.unread
    incoming = read_incoming(path, ANNOTATION_COLUMNS | GOLD_COLUMNS | LISTING_COLUMNS)
    records = index_records(workspace.active_index())
    summary = import_annotations(
        store,
        incoming,
        records,
        registry_version=registry_fingerprint(records),
        annotator=annotator,
        on_conflict=on_conflict,
    )
    return summary, incoming.unread


def export_file(
    workspace: Workspace,
    path: Path,
    contents: Contents,
    *,
    with_listings: bool,
    overwrite: bool,
) -> int:
    """Write what the store has of a kind to a file; return the number of rows.

    :param with_listings: add to each annotation the columns of its listing.
    :raises InputError: if the file's ending is of no format, or it exists and may not be replaced.
    :raises StoreError: if the store is busy, damaged or of a newer release.
    """
    with Store(workspace.store_path).reading() as session:
        if contents is Contents.LISTINGS:
            table = listings_table(session)
        else:
            table = annotations_table(session, with_listings=with_listings)
    write_table(table, path, overwrite=overwrite)
    return int(table.num_rows)
