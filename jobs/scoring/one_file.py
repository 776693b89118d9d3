"""Score one file of listings into one parquet file that appears when it is complete."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from index.errors import InputError
from jobs.listing_files import BATCH_ROWS, ListingFile
from jobs.places import Place
from jobs.scoring.answering import Answerer
from jobs.scoring.drafts import drafting, remove_left_overs
from jobs.scoring.output_columns import output_schema
from jobs.scoring.provenance import RECORD_KEY, column_types
from jobs.scoring.rejects import RejectsFile
from jobs.scoring.resolved_file import ResolvedFile


@dataclass(frozen=True, slots=True)
class Target:
    """Where the answers for one file go, and its rejects."""

    resolved: Place
    rejects: Place


@dataclass(frozen=True, slots=True)
class FileCounts:
    """What came out of one file."""

    rows: int
    rejects: int
    decisions: dict[str, int]


def score_one(
    listings: ListingFile,
    target: Target,
    answerer: Answerer,
    *,
    record: Mapping[str, Any],
    progress: Callable[[int], None] = lambda rows: None,
    check_source: Callable[[], None] = lambda: None,
) -> FileCounts:
    """Resolve every listing of a file, in order, none left out.

    :param record: how the file is made; goes into its footer with its columns and counts.
    :param progress: takes the number of rows done.
    :param check_source: called before anything appears; raises if the input is not what it was.
    :raises InputError: if the input is not what its reader found at first.
    """
    for place in (target.resolved, target.rejects):
        remove_left_overs(place)
    rejects = RejectsFile(target.rejects)
    schema = output_schema(listings.schema, answerer.schema)
    with drafting(target.resolved) as draft, _discarding(rejects):
        with closing(ResolvedFile(draft.sink, schema)) as resolved:
            counts = _score_rows(listings, answerer, resolved, rejects, progress)
            check_source()
            if not counts.rows == listings.n_rows == sum(counts.decisions.values()):
                raise InputError(
                    f"{target.resolved}: expected {listings.n_rows} rows, found {counts.rows}: the "
                    "input changed while it was read; run again"
                )
            resolved.finish({RECORD_KEY: _record_text(record, listings, counts)})
        draft.finish()
        rejects.finish()
        rejects.publish()  # first: a file that is there is complete with its rejects
        draft.publish()
    return counts


@contextmanager
def _discarding(rejects: RejectsFile) -> Iterator[None]:
    """Leave nothing behind that was not published."""
    try:
        yield
    finally:
        rejects.discard()


def _score_rows(
    listings: ListingFile,
    answerer: Answerer,
    resolved: ResolvedFile,
    rejects: RejectsFile,
    progress: Callable[[int], None],
) -> FileCounts:
    decisions: Counter[str] = Counter()
    rows = 0
    for batch, answers in answerer.answers(listings.batches(BATCH_ROWS)):
        if answers.num_rows != batch.table.num_rows:
            raise AssertionError(f"{batch.table.num_rows} rows in, {answers.num_rows} answers out")
        resolved.add(batch.table, answers)
        rejects.add(batch, answers.column("reason").to_pylist())
        decisions.update(_counts(answers.column("decision")))
        rows += answers.num_rows
        progress(rows)
    return FileCounts(rows, rejects.n_rows, dict(sorted(decisions.items())))


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {pair["values"]: pair["counts"] for pair in pc.value_counts(column).to_pylist()}


def _record_text(record: Mapping[str, Any], listings: ListingFile, counts: FileCounts) -> str:
    content = {
        **record,
        "columns": column_types(listings.schema),
        "counts": {
            "rows": counts.rows,
            "rejects": counts.rejects,
            "decisions": counts.decisions,
        },
    }
    return json.dumps(content, sort_keys=True)
