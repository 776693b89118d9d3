"""Read listings from parquet, CSV or JSONL files, in batches, every column kept."""

from jobs.listing_files.batch import BATCH_ROWS, ListingBatch, ListingFile
from jobs.listing_files.column_names import OUR_NAMES, ColumnNames
from jobs.listing_files.opening import open_listings

__all__ = [
    "BATCH_ROWS",
    "OUR_NAMES",
    "ColumnNames",
    "ListingBatch",
    "ListingFile",
    "open_listings",
]
