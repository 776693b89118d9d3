"""Answer a batch: Arrow in, Arrow out; the one place where scoring meets the resolver."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from index.records import Listing
from jobs.listing_files import OUR_NAMES, ColumnNames, ListingBatch
from jobs.resolving import resolve_to_table
from jobs.scoring.output_columns import answer_schema

if TYPE_CHECKING:
    from rerank.resolver import Resolver


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What is asked of every listing.

    :param top_k: candidates written for each listing, at least 1.
    :param coverage: of the candidate sets that are then written too; None for none.
    :param only_decisions: leave the list of candidates out.
    """

    top_k: int = 20
    coverage: float | None = None
    only_decisions: bool = False
    columns: ColumnNames = OUR_NAMES

    def as_json(self) -> dict[str, Any]:
        """Return the options as plain values."""
        return asdict(self)


class Answerer(Protocol):
    """Answers batches, each row by itself: a row's answer does not depend on its batch."""

    options: ScoreOptions
    schema: pa.Schema
    model_version: str
    index_version: str

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Return a row of ``schema`` for every row of the batch, in its order."""


class ResolverAnswerer:
    """Answers with a resolver.

    :raises InputError: if candidate sets cannot promise the coverage asked for.
    :raises ArtifactError: if the model has no candidate sets.
    """

    def __init__(self, resolver: Resolver, options: ScoreOptions | None = None) -> None:
        self.options = options or ScoreOptions()
        self.schema = answer_schema(
            self.options.coverage, only_decisions=self.options.only_decisions
        )
        self.model_version: str = resolver.model.version
        self.index_version: str = resolver.index_version
        self._resolver = resolver
        if self.options.coverage is not None:  # out of reach for one row is so for all
            resolve_to_table(resolver, [Listing("", "")], coverage=self.options.coverage)

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Resolve the listings of a batch."""
        answers = resolve_to_table(
            self._resolver, batch.listings(), top_k=self.options.top_k,
            coverage=self.options.coverage, faults=batch.faults,
        )  # fmt: skip
        return pa.Table.from_arrays(
            [answers.column(name) for name in self.schema.names], schema=self.schema
        )
