"""Score a file of listings: read, resolve and write parquet batch by batch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from index.artifacts import writing_file
from index.errors import InputError
from jobs.listing_files import BATCH_ROWS, ListingFile
from jobs.resolving import resolve_listings, resolve_with_sets
from rerank.resolution_table import CANDIDATE_SET_FIELD, OUTPUT_SCHEMA, answer_columns

if TYPE_CHECKING:
    from jobs.listing_files import ListingBatch
    from rerank.resolver import Resolution, Resolver


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """What came out of a file."""

    rows: int
    decisions: dict[str, int]
    seconds: float

    def line(self) -> str:
        """Return the one line that is shown at the end."""
        said = ", ".join(f"{self.decisions.get(name, 0)} {name}" for name in _DECISIONS)
        rate = self.rows / max(self.seconds, 1e-9)
        return f"{self.rows} rows: {said}; {self.seconds:.1f} s, {rate:,.0f} rows/s"


_DECISIONS = ("match", "review", "no_match")


def score_file(
    source: ListingFile,
    target: Path,
    resolver: Resolver,
    *,
    top_k: int = 20,
    coverage: float | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> ScoreSummary:
    """Resolve every listing of a file into a parquet file that appears when it is complete.

    :param coverage: of the candidate sets that are then written too; None for none.
    :raises InputError: if candidate sets cannot promise this coverage.
    """
    schema = output_schema(source.schema, answer_schema(coverage))
    decisions: Counter[str] = Counter()
    done, started = 0, time.perf_counter()
    with writing_file(target) as draft, pq.ParquetWriter(draft, schema) as writer:
        for batch in source.batches(BATCH_ROWS):
            answers, added = _answered(batch, resolver, top_k, coverage)
            writer.write_table(pa.Table.from_arrays([*batch.table.columns, *added], schema=schema))
            decisions.update(answer.decision for answer in answers)
            done += len(answers)
            progress(done / max(source.n_rows, done))
    return ScoreSummary(done, dict(decisions), time.perf_counter() - started)


def _answered(
    batch: ListingBatch, resolver: Resolver, top_k: int, coverage: float | None
) -> tuple[list[Resolution], list[pa.Array]]:
    """Return a batch's resolutions, and the columns that are written of them."""
    listings = batch.listings()
    if coverage is None:
        answers = resolve_listings(resolver, listings, top_k=top_k, faults=batch.faults)
        return answers, answer_columns(answers)
    answers, sets = resolve_with_sets(
        resolver, listings, coverage=coverage, top_k=top_k, faults=batch.faults
    )
    column = pa.array([list(models) for models in sets], CANDIDATE_SET_FIELD.type)
    return answers, [*answer_columns(answers), column]


def check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    """Check, before any work, that a file may be written.

    :raises InputError: if it is not a parquet file, exists already, or is the input.
    """
    if target.suffix != ".parquet":
        raise InputError(
            f"{target}: expected an output name ending in .parquet, found "
            f"{target.suffix or 'no ending'!r}; name it {target.with_suffix('.parquet').name}"
        )
    if target.exists() and target.resolve() == source.resolve():
        raise InputError(f"{target}: is the input itself; choose another output")
    if target.is_dir():
        raise InputError(f"{target}: is a folder; choose a file name")
    if target.exists() and not overwrite:
        raise InputError(f"{target}: exists already; choose another name or give --overwrite")


def answer_schema(coverage: float | None = None) -> pa.Schema:
    """Return the columns a resolved row gets; that of candidate sets notes their coverage."""
    if coverage is None:
        return OUTPUT_SCHEMA
    return OUTPUT_SCHEMA.append(CANDIDATE_SET_FIELD.with_metadata({"coverage": f"{coverage:g}"}))


def renamed_columns(names: Sequence[str], added: pa.Schema = OUTPUT_SCHEMA) -> dict[str, str]:
    """Return new names for input columns whose names the output needs (model -> input_model)."""
    taken = {*names, *added.names}
    renamed = {}
    for name in names:
        if name in added.names:
            new = f"input_{name}"
            while new in taken:
                new = f"input_{new}"
            taken.add(new)
            renamed[name] = new
    return renamed


def output_schema(source: pa.Schema, added: pa.Schema = OUTPUT_SCHEMA) -> pa.Schema:
    """Return the columns of the output: the input's, renamed where they collide, then ours."""
    renamed = renamed_columns(source.names, added)
    kept = [column.with_name(renamed.get(column.name, column.name)) for column in source]
    return pa.schema([*kept, *added])
