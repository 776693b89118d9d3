"""Answer a batch: Arrow in, Arrow out; the one place where scoring meets the resolver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


AppliesToBatches = Callable[[Iterable[ListingBatch]], Iterator[tuple[ListingBatch, pa.Table]]]


class Answerer(ABC):
    """Answers batches, each row by itself: a row's answer does not depend on its batch.

    :param n_reused: rows answered so far that an earlier output had the answer of.
    :param pool: what `rerank.jobs.workers.working` gives for `batch_answerer`; None answers in
        this process.
    """

    options: ScoreOptions
    schema: pa.Schema
    model_version: str
    index_version: str
    n_reused = 0
    pool: AppliesToBatches | None = None

    @abstractmethod
    def answer(self, batch: ListingBatch) -> pa.Table:
        """Return a row of ``schema`` for every row of the batch, in its order."""

    def answers(self, batches: Iterable[ListingBatch]) -> Iterator[tuple[ListingBatch, pa.Table]]:
        """Yield batches with their answers, in their order; in a pool, some are answered ahead.

        :raises MismatchError: if a worker has another model or index than this process: they load
            what serves themselves.
        """
        if self.pool is None:
            return ((batch, self.answer(batch)) for batch in batches)
        return map(self._checked, self.pool(batches))

    def _checked(self, answered: tuple[ListingBatch, pa.Table]) -> tuple[ListingBatch, pa.Table]:
        for what, own in (("model", self.model_version), ("index", self.index_version)):
            found = answered[1].column(f"{what}_version").slice(0, 1).to_pylist()
            if found not in ([own], []):
                raise MismatchError(
                    f"expected answers of {what} {own}, found a worker with {found[0]}: another "
                    "was put in its place when the run began; run again"
                )
        return answered


class ResolverAnswerer(Answerer):
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
    with working(workers, partial(batch_answerer, home, options)) as pool:
        own = resolver_answerer(home, options)  # while the workers load theirs
        own.pool = pool
        yield own


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
