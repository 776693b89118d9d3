"""Put together a batch's answers from parts that were answered apart, in the batch's order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.lifecycle.traffic import Side
from jobs.listing_files import ListingBatch

Ints = NDArray[np.int64]


class BatchParts:
    """The answers to a batch, part by part.

    :param schema: of the answers wanted.
    """

    def __init__(self, batch: ListingBatch, schema: pa.Schema) -> None:
        self.listings = batch.listings()
        self._faults = batch.faults
        self._schema = schema
        self._rows: list[Ints] = []
        self._tables: list[pa.Table] = []

    def faults_of(self, rows: Ints) -> dict[int, str]:
        """Return what is wrong with some rows, by their number among these."""
        if not self._faults:
            return {}
        own = {row: at for at, row in enumerate(rows.tolist())}
        return {own[row]: reason for row, reason in self._faults.items() if row in own}

    def answer(self, side: Side, rows: Ints) -> pa.Table:
        """Let one model answer some rows."""
        answers = side.ask([self.listings[row] for row in rows.tolist()], self.faults_of(rows))
        self.add(rows, answers)
        return answers

    def add(self, rows: Ints, answers: pa.Table) -> None:
        """Add the answers to some rows, one each."""
        self._rows.append(rows)
        self._tables.append(answers)

    def table(self) -> pa.Table:
        """Return a row for each of the batch, in its order."""
        place = np.concatenate(_or_none(self._rows))
        found = pa.concat_tables(self._tables) if self._tables else self._schema.empty_table()
        if len(place) != len(self.listings):
            raise AssertionError(f"{len(self.listings)} listings, {len(place)} answers")
        ordered = found.take(pa.array(np.argsort(place)))
        return pa.Table.from_arrays(
            [ordered.column(name) for name in self._schema.names], schema=self._schema
        )


def _or_none(rows: Sequence[Ints]) -> Sequence[Ints]:
    return rows or [np.empty(0, np.int64)]
