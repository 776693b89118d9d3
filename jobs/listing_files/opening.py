"""Open a file of listings by the ending of its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from index.errors import InputError
from jobs.listing_files.batch import ListingFile
from jobs.listing_files.column_names import OUR_NAMES, ColumnNames
from jobs.listing_files.csv_listings import CsvListings
from jobs.listing_files.jsonl_listings import JsonLinesListings
from jobs.listing_files.parquet_listings import ParquetListings
from jobs.places import Place, place_of

_READERS: dict[str, Callable[[Place, ColumnNames], ListingFile]] = {
    ".parquet": ParquetListings,
    ".csv": CsvListings,
    ".jsonl": JsonLinesListings,
}
ENDINGS = tuple(_READERS)
"""What the name of a file of listings may end in."""


def open_listings(source: Path | Place, columns: ColumnNames = OUR_NAMES) -> ListingFile:
    """Check a file of listings and return its reader.

    :param columns: the user's names of the columns that are read; by default ours.
    :raises InputError: if the file is not what its name says or lacks a column.
    """
    place = source if isinstance(source, Place) else place_of(source)
    reader = _READERS.get(place.suffix)
    if reader is None:
        raise InputError(
            f"{place}: expected a file name ending in .parquet, .csv or .jsonl, found "
            f"{place.suffix or 'no ending'!r}; convert or rename the file"
        )
    if place.size() == 0 and place.exists():
        raise InputError(f"{place}: expected listings, found a file of 0 bytes; write it again")
    return reader(place, columns)
