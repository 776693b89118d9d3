"""Write the rows of a scored file in row groups, one behind the resolver."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.listing_files import BATCH_ROWS

# Of a size that readers like and that fits into memory: some 60 MB with 20 candidates a row.
GROUP_ROWS = 16 * BATCH_ROWS
# Of the input: descriptions of 20 kB would make 650 MB of such a group, and two are held.
GROUP_BYTES = 64 << 20


class ResolvedFile:
    """A parquet file that is written on a thread of its own.

    Encoding takes 13 us a row, with 20 candidates, which resolving need not wait for. At most one
    row group is being written while another is put together.

    :param sink: takes the bytes; closed by its owner.
    """

    def __init__(self, sink: Any, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(sink, schema)
        self._thread = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0

    def add(self, rows: pa.Table, answers: pa.Table) -> None:
        """Take the next rows of the input, with their answers.

        :raises OSError: if rows before them could not be written.
        """
        columns = [*rows.columns, *answers.columns]
        table = pa.Table.from_arrays(columns, schema=self._schema)
        self._held.append(table)
        self._held_rows += table.num_rows
        # not of the answers: those of another process may have other buffers for the same values
        self._held_bytes += rows.nbytes
        if self._held_rows >= GROUP_ROWS or self._held_bytes >= GROUP_BYTES:
            self._write()

    def finish(self, metadata: dict[str, str]) -> None:
        """Write what is left, and key-value metadata into the footer.

        :raises OSError: if not all could be written.
        """
        if self._held:
            self._write()
        self._wait()
        self._writer.add_key_value_metadata(metadata)

    def close(self) -> None:
        """Write the footer and end the thread."""
        try:
            self._wait()
        finally:
            self._thread.shutdown()
            self._writer.close()

    def _write(self) -> None:
        self._wait()
        group = pa.concat_tables(self._held)
        self._held, self._held_rows, self._held_bytes = [], 0, 0
        self._pending = self._thread.submit(self._writer.write_table, group)

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
