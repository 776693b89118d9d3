"""Answer a batch: Arrow in, Arrow out; the one place where scoring meets the resolver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from index.errors import MismatchError
from index.records import Listing
from jobs.listing_files import OUR_NAMES, ColumnNames, ListingBatch
from jobs.resolving import resolve_to_table
from jobs.scoring.explanations import EXPLANATION_FIELD, explanation_column
from jobs.scoring.output_columns import answer_schema
from jobs.serving import open_resolver
from jobs.workers import collecting_seldom, working
from rerank.ranker_folder import RankerKind

if TYPE_CHECKING:
    from rerank.resolver import Resolver


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What is asked of every listing.

    :param top_k: candidates written for each listing, at least 1.
    :param coverage: of the candidate sets that are then written too; None for none.
    :param only_decisions: leave the list of candidates out.
    :param explained: add the features that decided.
    :param ranker: what orders the candidates.
    :param cascade: a cross-encoder rescores the first few of uncertain listings.
    """

    top_k: int = 20
    coverage: float | None = None
    only_decisions: bool = False
    columns: ColumnNames = OUR_NAMES
    explained: bool = False
    ranker: RankerKind | None = None
    cascade: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the options as plain values."""
        return asdict(self)


class Answerer(Protocol):
    """Answers batches, each row by itself: a row's answer does not depend on its batch.

    :param n_reused: rows answered so far that an earlier output had the answer of.
    """

    options: ScoreOptions
    schema: pa.Schema
    model_version: str
    index_version: str
    n_reused: int

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Return a row of ``schema`` for every row of the batch, in its order."""

    def answers(self, batches: Iterable[ListingBatch]) -> Iterator[tuple[ListingBatch, pa.Table]]:
        """Yield batches with their answers, in their order."""


class InTurn(ABC):
    """What answers a stream of batches one after the other."""

    n_reused = 0

    @abstractmethod
    def answer(self, batch: ListingBatch) -> pa.Table:
        """Answer a batch."""

    def answers(self, batches: Iterable[ListingBatch]) -> Iterator[tuple[ListingBatch, pa.Table]]:
        """Yield batches with their answers, in their order."""
        return ((batch, self.answer(batch)) for batch in batches)


class ResolverAnswerer(InTurn):
    """Answers with a resolver.

    :raises InputError: if candidate sets cannot promise the coverage asked for.
    :raises ArtifactError: if the model has no candidate sets.
    """

    def __init__(self, resolver: Resolver, options: ScoreOptions | None = None) -> None:
        self.options = options or ScoreOptions()
        self.schema = answer_schema(
            self.options.coverage,
            only_decisions=self.options.only_decisions,
            explained=self.options.explained,
        )
        self.model_version: str = resolver.model.version
        self.index_version: str = resolver.index_version
        self._resolver = resolver
        if self.options.coverage is not None:  # out of reach for one row is so for all
            resolve_to_table(resolver, [Listing("", "")], coverage=self.options.coverage)

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Resolve the listings of a batch."""
        listings = batch.listings()
        answers = resolve_to_table(
            self._resolver,
            listings,
            top_k=self.options.top_k,
            coverage=self.options.coverage,
            faults=batch.faults,
        )
        if self.options.explained:
            column = explanation_column(self._resolver, listings, faults=batch.faults)
            answers = answers.append_column(EXPLANATION_FIELD, column)
        return pa.Table.from_arrays(
            [answers.column(name) for name in self.schema.names], schema=self.schema
        )


class PooledAnswerer:
    """Answers in worker processes, as the answerer of this process would.

    The workers load what serves themselves: if another model or index was put in its place
    meanwhile, theirs is not that of this process.

    :param apply: what `jobs.workers.working` gives for `batch_answerer`.
    """

    def __init__(self, alike: Answerer, apply: AppliesToBatches) -> None:
        self.options, self.schema = alike.options, alike.schema
        self.model_version, self.index_version = alike.model_version, alike.index_version
        self.n_reused = 0
        self._apply = apply

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Answer a batch in one of the workers.

        :raises MismatchError: if that has another model or index than this process.
        """
        ((_, answers),) = self.answers([batch])
        return answers

    def answers(self, batches: Iterable[ListingBatch]) -> Iterator[tuple[ListingBatch, pa.Table]]:
        """Yield batches with their answers, in their order; some are answered ahead.

        :raises MismatchError: if a worker has another model or index than this process.
        """
        for batch, answers in self._apply(batches):
            self._check_versions(answers)
            yield batch, answers

    def _check_versions(self, answers: pa.Table) -> None:
        for what, own in (("model", self.model_version), ("index", self.index_version)):
            found = answers.column(f"{what}_version").slice(0, 1).to_pylist()
            if found not in ([own], []):
                raise MismatchError(
                    f"expected answers of {what} {own}, found a worker with {found[0]}: another "
                    "was put in its place when the run began; run again"
                )


AppliesToBatches = Callable[[Iterable[ListingBatch]], Iterator[tuple[ListingBatch, pa.Table]]]


@contextmanager
def answering(home: Path, options: ScoreOptions, *, workers: int) -> Iterator[Answerer]:
    """Yield what answers with the resolver of a workspace.

    :param workers: processes that resolve; 1 is this one.
    :raises RerankError: while it answers, if a worker ends unexpectedly.
    """
    if workers == 1:
        own = resolver_answerer(home, options)
        with collecting_seldom():
            yield own
        return
    with working(workers, partial(batch_answerer, home, options)) as apply:
        yield PooledAnswerer(resolver_answerer(home, options), apply)


def resolver_answerer(home: Path, options: ScoreOptions) -> ResolverAnswerer:
    """Load what answers with a workspace's resolver and the ranker asked for."""
    resolver = open_resolver(home, ranker=options.ranker, cascade=options.cascade)
    return ResolverAnswerer(resolver, options)


def batch_answerer(home: Path, options: ScoreOptions) -> Callable[[ListingBatch], pa.Table]:
    """Load a workspace's resolver and return what answers batches with it."""
    return resolver_answerer(home, options).answer
