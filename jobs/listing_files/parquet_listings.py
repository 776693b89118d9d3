"""Listings from parquet: types kept, read page by page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from index.errors import InputError
from jobs.listing_files.batch import BATCH_ROWS, ListingBatch, unreadable
from jobs.listing_files.column_names import ColumnNames
from jobs.places import Place

# Row groups may be of any size: buffered whole, one of a million rows takes hundreds of MB.
_BUFFER_BYTES = 1 << 20


class ParquetListings:
    """A parquet file of listings.

    :raises InputError: if it cannot be read, or lacks a column, or one is of a wrong type.
    """

    def __init__(self, place: Place, columns: ColumnNames) -> None:
        self._place = place
        self._columns = columns
        with self._opened() as file:
            self.n_rows: int = file.metadata.num_rows
            self.schema: pa.Schema = file.schema_arrow.remove_metadata()
        columns.check(place, self.schema.names)
        key = self.schema.field(columns.listing_id).type
        if pa.types.is_temporal(key):
            raise InputError(
                f"{place}: expected text or numbers in column {columns.listing_id!r}, found "
                f"{key}; convert it"
            )
        kind = self.schema.field(columns.title).type
        if not _is_text(kind):
            raise InputError(
                f"{place}: expected text in column {columns.title!r}, found {kind}; convert it"
            )

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[ListingBatch]:
        with self._opened() as file:
            groups = file.iter_batches(rows)
            while True:
                with self._named():
                    batch = next(groups, None)
                    if batch is None:
                        return
                    batch.validate(full=True)  # text that is no UTF-8, wherever it stands
                    table = pa.Table.from_batches([batch]).replace_schema_metadata()
                yield ListingBatch(table, self._columns)

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        with self._named():
            stream = self._place.filesystem.open_input_file(self._place.path)
        with stream:
            with self._named():
                file = pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            yield file

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Raise what pyarrow raises with the file's name; not what the caller does in between."""
        try:
            yield
        except (pa.ArrowException, OSError) as exc:
            raise unreadable(self._place, "parquet", exc) from exc


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_null(kind)
        or pa.types.is_string_view(kind)
    )
