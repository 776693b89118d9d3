"""Answer a batch: Arrow in, Arrow out; the one place where scoring meets the resolver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from rerank.answers import CANDIDATE_SET_FIELD, EXPLANATION_FIELD, OUTPUT_SCHEMA
from rerank.index.errors import MismatchError
from rerank.index.records import N_CANDIDATES, Listing
from rerank.jobs.files.listings import OUR_NAMES, ColumnNames, ListingBatch
from rerank.jobs.serving import open_resolver
from rerank.jobs.workers import collecting_seldom, working
from rerank.rankers.kinds import RankerKind

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

    top_k: int = N_CANDIDATES
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
            resolver.resolve_table([Listing()], coverage=self.options.coverage)

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Resolve the listings of a batch."""
        answers = self._resolver.resolve_table(
            batch.listings(),
            top_k=self.options.top_k,
            faults=batch.faults,
            coverage=self.options.coverage,
            explain=self.options.explained,
        )
        return pa.Table.from_arrays(
            [answers.column(name) for name in self.schema.names], schema=self.schema
        )


class PooledAnswerer:
    """Answers in worker processes, as the answerer of this process would.

    The workers load what serves themselves: if another model or index was put in its place
    meanwhile, theirs is not that of this process.

    :param apply: what `rerank.jobs.workers.working` gives for `batch_answerer`.
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


def answer_schema(
    coverage: float | None = None, *, only_decisions: bool = False, explained: bool = False
) -> pa.Schema:
    """Return the columns a resolved row gets; that of candidate sets notes their coverage.

    :param only_decisions: leave the list of candidates out.
    :param explained: add the features that decided.
    """
    schema = OUTPUT_SCHEMA
    if only_decisions:
        schema = schema.remove(schema.get_field_index("candidates"))
    if coverage is not None:
        schema = schema.append(CANDIDATE_SET_FIELD.with_metadata({"coverage": f"{coverage:g}"}))
    return schema.append(EXPLANATION_FIELD) if explained else schema


def renamed_columns(names: Sequence[str], added: pa.Schema = OUTPUT_SCHEMA) -> dict[str, str]:
    """Return new names for input columns whose names the output needs (model -> input_model).

    Where the input has an ``input_model`` as well, that keeps its name, and ``model`` becomes
    ``input_input_model``: a column gives way only to the answers.
    """
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
