"""Answer a batch: Arrow in, Arrow out; the one place where scoring meets the resolver."""

from __future__ import annotations

import gc
import json
import warnings
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rerank.answer_columns import (
    CANDIDATE_SET_FIELD,
    DECISION_SOURCE,
    EXPLANATION_FIELD,
    OUTPUT_SCHEMA,
    decided_fields,
)
from rerank.index.artifacts import MANIFEST, collecting_seldom
from rerank.index.errors import DISTRIBUTION, InputError, MismatchError, RerankWarning
from rerank.index.records import BETWEEN_IDENTIFIERS, N_CANDIDATES, Listing
from rerank.jobs.files.listings import (
    OUR_NAMES,
    ColumnNames,
    ListingBatch,
    ListingFile,
    json_values,
    taken,
)
from rerank.jobs.files.places import Place
from rerank.jobs.files.store_files import csv_text
from rerank.jobs.scoring.flat_files import flat_answers, flat_schema
from rerank.jobs.scoring.plan import PARQUET, VERDICTS_KEY, differences, opened_parquet, read_record
from rerank.jobs.workers import working
from rerank.lifecycle.opening import heeding_people, open_resolver
from rerank.rankers.kinds import RankerKind
from rerank.resolution import MODEL, PERSON
from rerank.verdicts import VerdictSnapshot, open_verdicts
from rerank.workspace import Workspace, domain_of_index

if TYPE_CHECKING:
    from rerank.resolver import Resolver


_ID = "listing_id"
_FORMAT = 2  # of the record in the footer of an output


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What is asked of every listing.

    :param top_k: candidates written for each listing, at least 1.
    :param coverage: of the candidate sets that are then written too; None for none.
    :param only_decisions: leave the list of candidates out.
    :param explained: add the features that decided.
    :param ranker: what orders the candidates.
    :param cascade: a cross-encoder rescores the first few of uncertain listings.
    :param verdicts: what people settled stands before the model's answers: as it is when the run
        begins, or, by its version, as it was then.
    :param near_verdicts: a verdict holds for texts too that differ only in long serials.
    :param encoding: of files of text; None lets each say.
    :param strict: all files of a folder must have the same columns.
    """

    top_k: int = N_CANDIDATES
    coverage: float | None = None
    only_decisions: bool = False
    columns: ColumnNames = OUR_NAMES
    explained: bool = False
    ranker: RankerKind | None = None
    cascade: bool = False
    verdicts: bool | str = False
    near_verdicts: bool = False
    encoding: str | None = None
    strict: bool = False

    def record(self) -> dict[str, Any]:
        """Return them as the record of an output has them; which verdicts it names by itself."""
        kept: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if self.encoding is None:
            del kept["encoding"]
        return {name: kept[name] for name in kept if "verdicts" not in name and name != "strict"}


Touched = Callable[[Sequence[str]], Sequence[int]]
"""Takes titles and gives the numbers of those that may be answered otherwise than they were."""
TouchedSince = Callable[[str], Touched | None]
"""What finds the titles that may be by the version of an index; None where all may be."""


def _all_touched(version: str) -> Touched | None:
    return None


def index_touched_since(home: Path) -> TouchedSince:
    """Return what a workspace's index tells of the versions that it was."""
    folder = Workspace(home).active_index()
    return partial(_touched_since, folder, (folder / MANIFEST).read_bytes())


@lru_cache(8)
def _touched_since(folder: Path, manifest: bytes, version: str) -> Touched | None:
    return domain_of_index(folder).touched_since(folder, version)


@dataclass(slots=True)
class Moves:
    """What became of listings that a change of the index may have touched.

    :param again: how many were answered again.
    :param moved: of these, how many are answered otherwise: by what they were and what they are.
    :param examples: some that are, as title, what it was and what it is.
    """

    again: int = 0
    moved: dict[str, int] = field(default_factory=dict)  # asdict() makes another of a Counter
    examples: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, title: str, was: str, now: str) -> None:
        """Count a listing that was answered again."""
        self.again += 1
        if was != now:
            kind = " to ".join(each.partition(": ")[0] for each in (was, now))
            self.moved[kind] = self.moved.get(kind, 0) + 1
            if len(self.examples) < _MOVES_TOLD:
                self.examples.append((title, was, now))

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Moves:
        """Return what `dataclasses.asdict` made plain, whatever JSON made of it."""
        examples = [(title, was, now) for title, was, now in content["examples"]]
        return cls(content["again"], dict(content["moved"]), examples)

    def line(self) -> str:
        """Return what became of them, in a few words."""
        common = sorted(self.moved.items(), key=lambda each: -each[1])
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in common)
        moved = f"{sum(self.moved.values()):,} moved" + (f" ({kinds})" if kinds else "")
        return f"{self.again:,} touched by added GPUs and answered again, {moved}"

    def join(self, other: Moves) -> None:
        """Count what another one counted."""
        self.again += other.again
        for kind, n in other.moved.items():
            self.moved[kind] = self.moved.get(kind, 0) + n
        self.examples += other.examples[: _MOVES_TOLD - len(self.examples)]


_MOVES_TOLD = 20

AppliesToBatches = Callable[[Iterable[ListingBatch]], Iterator[tuple[ListingBatch, pa.Table]]]


@lru_cache(1)
def _release() -> str:
    return version(DISTRIBUTION)  # reads a file each time


class Answerer(ABC):
    """Answers batches, each row by itself: a row's answer does not depend on its batch.

    :param n_reused: rows answered so far that an earlier output had the answer of.
    :param touched_since: what a change of the index may have touched.
    :param moves: what became of that in the file that is being scored.
    :param people: verdicts that stand before the model's answers; None for none.
    :param pool: what `rerank.jobs.workers.working` gives for `batch_answerer`; None answers in
        this process.
    """

    options: ScoreOptions
    schema: pa.Schema
    model_version: str
    index_version: str
    n_reused = 0
    pool: AppliesToBatches | None = None
    people: VerdictSnapshot | None = None
    touched_since: TouchedSince = staticmethod(_all_touched)
    moves: Moves

    def expectation(self) -> dict[str, Any]:
        """Return all that decides the answer for a listing: options and versions."""
        verdicts = {} if self.people is None else {VERDICTS_KEY: self.people.version}
        return {
            "format": _FORMAT,
            "release": _release(),
            "options": self.options.record(),
            "model_version": self.model_version,
            "index_version": self.index_version,
            **verdicts,
        }

    def ready(self) -> None:  # noqa: B027 - most are as soon as they are made
        """Wait until ``schema`` and the versions are known; what cannot be loaded raises here."""

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
        self.ready()
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


def with_listing_ids(schema: pa.Schema, columns: ColumnNames) -> pa.Schema:
    """Return the columns of answers, with the listing's id where its feed calls that otherwise."""
    named = columns.listing_id == _ID or _ID in schema.names
    return schema if named else schema.append(pa.field(_ID, pa.string()))


def naming_listings(answers: pa.Table, listings: Sequence[Listing], schema: pa.Schema) -> pa.Table:
    """Return answers with the ids of their listings, where those are among the wanted columns."""
    if _ID not in schema.names:
        return answers
    ids = pa.array([listing.listing_id for listing in listings], pa.string())
    return answers.append_column(_ID, ids)


class ResolverAnswerer(Answerer):
    """Answers with a resolver.

    :raises InputError: if candidate sets cannot promise the coverage asked for.
    :raises ArtifactError: if the model has no candidate sets.
    """

    def __init__(self, resolver: Resolver, options: ScoreOptions | None = None) -> None:
        self.options = options or ScoreOptions()
        self.schema = answer_schema(
            resolver.schema,
            self.options.coverage,
            only_decisions=self.options.only_decisions,
            explained=self.options.explained,
        )
        if resolver.names_listings:
            self.schema = with_listing_ids(self.schema, self.options.columns)
        self.model_version: str = resolver.model.version
        self.index_version: str = resolver.index_version
        self.people = resolver.people
        self._resolver = resolver
        if self.options.coverage is not None:  # out of reach for one row is so for all
            resolver.resolve_table([Listing()], coverage=self.options.coverage)

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Resolve the listings of a batch."""
        faults = batch.faults
        listings = batch.listings()
        answers = self._resolver.resolve_table(
            listings,
            top_k=self.options.top_k,
            faults=faults,
            coverage=self.options.coverage,
            explain=self.options.explained,
        )
        answers = naming_listings(answers, listings, self.schema)
        return pa.Table.from_arrays(
            [answers.column(name) for name in self.schema.names], schema=self.schema
        )


class PooledAnswerer(Answerer):
    """Answers in worker processes that load resolvers of their own; this one loads none.

    :param pool: gives, for `batch_answerer`, what it answers with where None stands for a batch.
    """

    def __init__(
        self,
        options: ScoreOptions,
        pool: Callable[..., Iterator[Any]],
        people: VerdictSnapshot | None = None,
    ) -> None:
        self.options, self.pool, self.people = options, pool, people
        self._is_ready = False

    def ready(self) -> None:
        """Wait until a worker has loaded its resolver: until then what is asked can be read."""
        if self._is_ready:
            return
        ((_, made),) = cast("Callable[..., Iterator[Any]]", self.pool)([None])
        self.schema, self.model_version, self.index_version, said = made
        self._is_ready = True
        for text in said:
            warnings.warn(text, RerankWarning, stacklevel=2)

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Have the listings of a batch resolved."""
        self.ready()
        ((_, answers),) = self.answers([batch])
        return answers


@contextmanager
def answering(home: Path, options: ScoreOptions, *, workers: int) -> Iterator[Answerer]:
    """Yield what answers with the resolver of a workspace.

    :param workers: processes that resolve; 1 is this one.
    :raises RerankError: while it answers, if a worker ends unexpectedly.
    """
    if workers == 1:
        with collecting_seldom():
            own = resolver_answerer(home, options)
            gc.freeze()
            try:
                yield own
            finally:
                gc.unfreeze()
        return
    options, people = pinned(home, options)
    with working(workers, partial(batch_answerer, home, options)) as pool:
        pooled = PooledAnswerer(options, pool, people)
        pooled.touched_since = index_touched_since(home)
        yield pooled


def pinned(home: Path, options: ScoreOptions) -> tuple[ScoreOptions, VerdictSnapshot | None]:
    """Return options that name the version of people's verdicts, and those; None if there are none.

    :raises MismatchError: if they named one already, and the verdicts are others by now.
    :raises StoreError: if the workspace's store cannot be read.
    """
    if options.verdicts is False:
        return options, None
    named = options.verdicts if isinstance(options.verdicts, str) else None
    people = open_verdicts(Workspace(home), version=named)
    if people is not None and options.near_verdicts:
        people = people.with_near()
    version = False if people is None else people.version
    return replace(options, verdicts=version), people


def resolver_answerer(home: Path, options: ScoreOptions) -> ResolverAnswerer:
    """Load what answers with a workspace's resolver and the ranker asked for."""
    options, people = pinned(home, options)
    resolver = open_resolver(home, ranker=options.ranker, cascade=options.cascade)
    own = ResolverAnswerer(heeding_people(Workspace(home), resolver, people), options)
    own.touched_since = index_touched_since(home)
    return own


class _Made(NamedTuple):
    """What a worker answers with.

    :param said: what warnings said while it was loaded.
    """

    schema: pa.Schema
    model_version: str
    index_version: str
    said: list[str]


def batch_answerer(
    home: Path, options: ScoreOptions
) -> Callable[[ListingBatch | None], pa.Table | _Made]:
    """Load a workspace's resolver; return what answers batches with it, and None with what it is.

    Its warnings are left to the caller: they are the same in each worker.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RerankWarning)
        own = resolver_answerer(home, options)
    said = [str(each.message) for each in caught if issubclass(each.category, RerankWarning)]
    made = _Made(own.schema, own.model_version, own.index_version, said)
    return lambda batch: made if batch is None else own.answer(batch)


def answer_schema(
    schema: pa.Schema,
    coverage: float | None = None,
    *,
    only_decisions: bool = False,
    explained: bool = False,
) -> pa.Schema:
    """Return the columns a resolved row gets; that of candidate sets notes their coverage.

    :param schema: of the resolver's rows.
    :param only_decisions: leave the list of candidates out.
    :param explained: add the features that decided.
    """
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


Ints = NDArray[np.int64]

_GROUPS_HELD = 4  # some 30 MB each
# Reading a row group takes as long as resolving about a fiftieth of its rows.
_SMALLEST_SHARE = 1 / 50
_BAD_ROW = "bad row"


class _Group(NamedTuple):
    """A row group of an earlier output, and what its key columns are called.

    :param heeded: whether it was made with people's verdicts; ``alike``: with those of now.
    :param version: of the index that answered.
    """

    place: Place
    number: int
    columns: ColumnNames
    heeded: bool
    alike: bool
    version: str


class _Kept(NamedTuple):
    """What is known of a batch, and what is not.

    :param source: of each row, where its answer stands in ``answers``; -1 if it is not known.
    :param touched: what rows were answered, of those that a change of the index may touch.
    """

    source: Ints
    answers: list[pa.Table]
    touched: dict[int, str]

    @property
    def rest(self) -> Ints:
        """The rows that are not known."""
        return np.flatnonzero(self.source < 0)

    def joined(self, fresh: pa.Table) -> pa.Table:
        """Return all answers in the order of the batch.

        :param fresh: answers of the rest.
        """
        if not self.answers:
            return fresh
        source, known = self.source.copy(), sum(part.num_rows for part in self.answers)
        source[self.rest] = np.arange(known, known + fresh.num_rows)
        return _in_order(pa.concat_tables([*self.answers, fresh]), source)


_WORTH_SLICING = 8  # rows that follow each other, on the average


def _in_order(table: pa.Table, rows: Ints) -> pa.Table:
    """Return rows of a table; where most follow each other, over the same memory."""
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    if len(rows) < _WORTH_SLICING * len(starts):
        return table.take(pa.array(rows))
    ends = [*starts[1:].tolist(), len(rows)]
    return pa.concat_tables(
        table.slice(int(rows[at]), end - at) for at, end in zip(starts.tolist(), ends, strict=True)
    )


class RememberingAnswerer(Answerer):
    """Answers from earlier outputs what has not changed, and asks another answerer for the rest.

    The earlier outputs are the cache: a listing of the same id, texts and identifiers keeps
    its answer if the same release, model, index and options gave it, and no verdict of a person
    came or went. So does one that the index gave before GPUs were added to it, if these cannot
    touch its title; ``moves`` tells what became of the others. Nothing else has to be maintained,
    and nothing can go stale. In memory are 24 bytes a listing and a few row groups.

    :param outputs: files that `rerank score` wrote; those made in another way are passed over.
    :param say: takes warnings: which of the files cannot be read, so that nothing is kept of them.
    """

    def __init__(
        self,
        fresh: Answerer,
        outputs: Sequence[Place],
        *,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._say = say
        fresh.ready()
        self.options, self.schema = fresh.options, fresh.schema
        self.model_version, self.index_version = fresh.model_version, fresh.index_version
        self.people = fresh.people
        self._fresh = fresh
        self._groups: list[_Group] = []
        self._damaged: set[int] = set()
        self._held: OrderedDict[int, tuple[pa.Array, pa.Table]] = OrderedDict()
        self._thread = ThreadPoolExecutor(1)  # reads a group while rows of another are answered
        self._ahead: dict[int, Future[tuple[pa.Array, pa.Table]]] = {}
        hashes, sizes = [np.empty(0, np.int64)], [0]
        for place in outputs:
            for found in self._read_keys(place):
                hashes.append(found)
                sizes.append(len(found))
        everything = np.concatenate(hashes)
        self._starts: Ints = np.cumsum(sizes)[:-1]  # of each row group, counted over all files
        self._sizes = sizes[1:]
        self._order: Ints = np.argsort(everything, kind="stable")
        self._hashes: Ints = everything[self._order]

    @property
    def n_known(self) -> int:
        """How many earlier answers there are."""
        return len(self._hashes)

    def answer(self, batch: ListingBatch) -> pa.Table:
        """Answer a batch; `n_reused` counts what was kept."""
        ((_, answers),) = self.answers([batch])
        return answers

    def answers(self, batches: Iterable[ListingBatch]) -> Iterator[tuple[ListingBatch, pa.Table]]:
        """Yield batches with their answers, in their order.

        What is not known goes to the other answerer as one stream, so that it may work ahead.
        """
        if not len(self._hashes):
            yield from self._fresh.answers(batches)
            return
        begun: deque[list[tuple[ListingBatch, _Kept]]] = deque()
        for rest, fresh in self._fresh.answers(self._rests(batches, begun)):
            start = 0
            for batch, kept in begun.popleft():
                n = len(kept.rest)
                self.n_reused += len(kept.source) - n
                own = fresh.slice(start, n)
                self._count_moves(kept, rest.table.slice(start, n), batch.columns.title, own)
                start += n
                yield batch, kept.joined(own)

    def _count_moves(self, kept: _Kept, rest: pa.Table, title: str, fresh: pa.Table) -> None:
        """Count what became of the rows that were touched.

        :param title: the column of ``rest`` that is the title.
        """
        if not kept.touched:
            return
        numbers = kept.rest.tolist()
        at = [row for row, number in enumerate(numbers) if number in kept.touched]
        titles = taken(rest.select([title]), at).column(0).to_pylist()
        for row, title, now in zip(at, titles, _sold(taken(fresh, at)), strict=True):
            self.moves.add(title, kept.touched[numbers[row]], now)

    def _rests(
        self, batches: Iterable[ListingBatch], begun: deque[list[tuple[ListingBatch, _Kept]]]
    ) -> Iterator[ListingBatch]:
        """Yield what is to be answered, of a few batches at once where little is left of them.

        :param begun: takes the batches with what is known of them.
        """
        parts: list[ListingBatch] = []
        held: list[tuple[ListingBatch, _Kept]] = []
        coming = iter(batches)
        while some := list(islice(coming, _BATCHES_READ)):
            for batch, touched in zip(some, self._touched(some), strict=True):
                kept = self._known(batch, touched)
                held.append((batch, kept))
                parts.append(_part(batch, kept.rest))
                n_rest = sum(part.table.num_rows for part in parts)
                if len(held) == _BATCHES_HELD or n_rest >= _FEW_ROWS:
                    begun.append(held)
                    yield _all_of(parts)
                    parts, held = [], []
        if held:
            begun.append(held)
            yield _all_of(parts)

    def _known(self, batch: ListingBatch, touched: Mapping[str, NDArray[np.bool_]]) -> _Kept:
        """Return what earlier outputs answered, from a few row groups.

        :param touched: by the version of an index, which rows it may have answered otherwise.
        """
        keys = _keys(batch)
        wanted = _hashes(keys)
        at = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        hit = self._hashes[at] == wanted
        hit[list(batch.bad_rows)] = False
        judged = self._judged(batch)
        group = np.searchsorted(self._starts, self._order[at], side="right") - 1
        kept = _Kept(np.full(batch.table.num_rows, -1), [], {})
        n_known = 0
        for number in np.unique(group[hit]).tolist():
            rows = np.flatnonzero(hit & (group == number))
            if not self._is_worth_reading(number, len(rows)):
                continue
            if not self._groups[number].alike:
                rows = rows[~judged[rows]]
            within = self._order[at[rows]] - self._starts[number]
            try:
                earlier, answers = self._read_answers(number)
            except (pa.ArrowException, OSError) as exc:
                self._damaged.add(number)
                self._warn(self._groups[number].place, exc)
                continue
            same = _equal(keys, rows, earlier, within)
            again = same & touched[self._groups[number].version][rows]
            told = _sold(answers.take(pa.array(within[again]))) if again.any() else []
            kept.touched.update(zip(rows[again].tolist(), told, strict=True))
            rows, within = rows[same & ~again], within[same & ~again]
            if len(rows):
                first, end = int(within.min()), int(within.max()) + 1
                kept.answers.append(answers.slice(first, end - first))
                kept.source[rows] = within + (n_known - first)
                n_known += end - first
        return kept

    def _touched(self, batches: Sequence[ListingBatch]) -> list[dict[str, NDArray[np.bool_]]]:
        """Return, for each version of the index, which listings of batches it may answer otherwise.

        Of some batches at once: to make ready for it takes as long as thousands of titles.
        """
        found: list[dict[str, NDArray[np.bool_]]] = [{} for _ in batches]
        ends = np.cumsum([batch.table.num_rows for batch in batches])
        for earlier in {group.version for group in self._groups}:
            all_touched = np.zeros(ends[-1], bool)
            if earlier != self.index_version:
                since = self._fresh.touched_since(earlier)
                assert since is not None  # else nothing is kept from there
                titles = [_texts(batch, batch.columns.title) for batch in batches]
                all_touched[since(pa.chunked_array(titles).to_pylist())] = True
            for own, part in zip(found, np.split(all_touched, ends[:-1]), strict=True):
                own[earlier] = part
        return found

    def _judged(self, batch: ListingBatch) -> NDArray[np.bool_]:
        """Return which listings have a verdict now, where some were answered before it."""
        found = np.zeros(batch.table.num_rows, bool)
        if self.people is not None and not all(group.alike for group in self._groups):
            found[self.people.of(batch.listings()).listing] = True
        return found

    def _is_worth_reading(self, number: int, n_hits: int) -> bool:
        if number in self._damaged:
            return False
        return number in self._held or n_hits >= self._sizes[number] * _SMALLEST_SHARE

    def _read_keys(self, place: Place) -> list[Ints]:
        """Return the hashes of the listings of an earlier output, by row group."""
        record = _fitting_record(place, self._fresh)
        if record is None:
            return []
        names = _names_in_output(record, self._fresh)
        try:
            hashes = list(self._group_hashes(place, names))
        except (pa.ArrowException, OSError) as exc:
            self._warn(place, exc)
            return []
        then, now = record.get(VERDICTS_KEY), self.expectation().get(VERDICTS_KEY)
        version = record["index_version"]
        alike = then == now and version == self.index_version  # else verdicts may hold again
        self._groups += [
            _Group(place, number, names, then is not None, alike, version)
            for number in range(len(hashes))
        ]
        return hashes

    def _warn(self, place: Place, exc: Exception) -> None:
        said = " ".join(str(exc).split())
        self._say(f"Warning: {place}: damaged, no earlier answers are kept from there ({said})")

    def _group_hashes(self, place: Place, names: ColumnNames) -> Iterator[Ints]:
        """Yield the hashes of the listings of each row group, -1 for rows that were not read."""
        with opened_parquet(place) as file:
            names = names.found_in(file.schema_arrow.names)
            columns = _key_columns(names, file.schema_arrow.names)
            for number in range(file.num_row_groups):
                table = file.read_row_group(number, [*columns, "reason"])
                found = _hashes(_keys(ListingBatch(table, names)))
                yield np.where(_is_bad(table.column("reason")), _NEVER, found)

    def _read_answers(self, number: int) -> tuple[pa.Array, pa.Table]:
        """Return the answers of a row group and their keys: null where they do not count."""
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        ahead = self._ahead.pop(number, None)
        self._held[number] = self._read(number) if ahead is None else ahead.result()
        while len(self._held) > _GROUPS_HELD:
            self._held.popitem(last=False)
        following = number + 1  # which most often comes next
        if following < len(self._groups) and not (self._damaged | {*self._held}) & {following}:
            self._ahead = {following: self._thread.submit(self._read, following)}
        return self._held[number]

    def _read(self, number: int) -> tuple[pa.Array, pa.Table]:
        place, at, names, heeded, alike, _ = self._groups[number]
        derived = {} if heeded else _derived(self.schema)
        derived["index_version"] = lambda table: pa.repeat(self.index_version, table.num_rows)
        with opened_parquet(place) as file:
            names = names.found_in(file.schema_arrow.names)
            columns = _key_columns(names, file.schema_arrow.names)
            source = [DECISION_SOURCE] if heeded and not alike else []
            plain = [name for name in self.schema.names if name not in derived]
            wanted = [*columns, *plain, *source, "decision", "match_probability"]
            table = file.read_row_group(at, list(dict.fromkeys(wanted)))
        answers = pa.Table.from_arrays(
            [
                derived[name](table) if name in derived else table.column(name)
                for name in self.schema.names
            ],
            schema=self.schema,
        )
        keys = _keys(ListingBatch(table, names))
        if source:
            by_model = [said == MODEL for said in table.column(DECISION_SOURCE).to_pylist()]
            keys = pc.if_else(pa.array(by_model), keys, pa.scalar(None, pa.string()))
        return keys, answers


def count_answers(outputs: Iterable[Place], answerer: Answerer) -> int:
    """Count the answers in earlier outputs that are what an answerer would say now."""
    records = (_fitting_record(place, answerer) for place in outputs)
    return sum(record["counts"]["rows"] for record in records if record is not None)


def _fitting_record(place: Place, answerer: Answerer) -> dict[str, Any] | None:
    """Return the record of an earlier output made as an answerer would make it now, else None."""
    record = read_record(place)
    if record is None:
        return None
    version = str(record.get("index_version"))
    expected = {**answerer.expectation(), "index_version": record.get("index_version")}
    if differences(record, expected, of_rows=True):
        return None
    if version != answerer.index_version and answerer.touched_since(version) is None:
        return None
    return record


def _sold(answers: pa.Table) -> list[str]:
    """Return what rows are answered, in words."""
    columns = (answers.column(name).to_pylist() for name in ("decision", answers.schema.names[0]))
    return [f"{decided}: {key}" if key else decided for decided, key in zip(*columns, strict=True)]


_NEVER = np.int64(-1)  # Python's hash() never returns it


_BETWEEN = "\x1f"


def _keys(batch: ListingBatch) -> pa.Array:
    """Return what listings are known by, in one text each: id, texts and identifiers."""
    names, ids = batch.columns, batch.table.column(batch.columns.listing_id)
    own = names.identifiers_of(batch.table.column_names)
    codes = [each.identifiers for each in batch.listings()] if own else [""] * len(ids)
    parts = [
        pa.array(batch.ids(), pa.string()) if ids.null_count else _texts(batch, names.listing_id),
        *(_texts(batch, name) for name in (names.title, names.vendor, names.description)),
        pa.array(codes, pa.string()),
    ]
    if not _is_text(ids.type):
        parts[0] = pa.array(batch.ids(), pa.string())
    return pc.binary_join_element_wise(*parts, _BETWEEN)


def _texts(batch: ListingBatch, name: str) -> pa.Array:
    """Return a column as texts, "" where there is none, as `ListingBatch.listings` reads it."""
    table = batch.table
    if name not in table.column_names or not _is_text(table.schema.field(name).type):
        return pa.repeat("", table.num_rows)
    column = table.column(name).cast(pa.string()).fill_null("")
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _hashes(keys: pa.Array) -> Ints:
    return np.fromiter(map(hash, keys.to_pylist()), np.int64, len(keys))


def _equal(keys: pa.Array, rows: Ints, others: pa.Array, at: Ints) -> NDArray[np.bool_]:
    """Return whether some keys are some others; null is none."""
    same = pc.equal(keys.take(pa.array(rows)), others.take(pa.array(at))).fill_null(False)
    return np.asarray(same.to_numpy(zero_copy_only=False), np.bool_)


def _is_bad(reasons: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.array([reason.startswith(_BAD_ROW) for reason in reasons.to_pylist()], bool)


_BATCHES_READ = 8  # before the first is answered
# Some 60 MB of answers; resolving fewer costs half as much again.
_BATCHES_HELD, _FEW_ROWS = 16, 1024


def _all_of(parts: Sequence[ListingBatch]) -> ListingBatch:
    """Return batches of one file as one."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(part.table.num_rows for part in parts)]).tolist()
    bad_rows = {
        start + at: fault
        for start, part in zip(starts, parts, strict=False)
        for at, fault in part.bad_rows.items()
    }
    return replace(
        parts[0], table=pa.concat_tables([part.table for part in parts]), bad_rows=bad_rows
    )


def _part(batch: ListingBatch, rows: Ints) -> ListingBatch:
    """Return some rows of a batch, with what was wrong with them."""
    if len(rows) == batch.table.num_rows:
        return batch
    bad_rows = {
        new: batch.bad_rows[old] for new, old in enumerate(rows.tolist()) if old in batch.bad_rows
    }
    return replace(batch, table=taken(batch.table, rows.tolist()), bad_rows=bad_rows)


def _derived(schema: pa.Schema) -> dict[str, Callable[[pa.Table], Any]]:
    """Return what makes the columns that say who decided of rows that the model alone answered."""
    key = schema.names[0]
    made: dict[str, Callable[[pa.Table], Any]] = {
        "model_decision": lambda table: table.column("decision"),
        f"model_{key}": lambda table: table.column(key),
        "model_probability": lambda table: table.column("match_probability"),
        DECISION_SOURCE: lambda table: pa.repeat(pa.scalar(MODEL), table.num_rows),
    }
    for column in decided_fields(key):
        made.setdefault(column.name, partial(_nothing, column.type))
    return {name: make for name, make in made.items() if name in schema.names}


class Correction:
    """Puts what people settled into results of `rerank score`, a batch at a time.

    :param place: of the results.
    :raises InputError: if they are none, or nobody has settled anything.

    `schema` has the columns of what comes out: the listing's own, then the answer.
    """

    def __init__(self, home: Path, place: Place, file: ListingFile) -> None:
        record = read_record(place) if place.suffix == PARQUET else None
        top_k = N_CANDIDATES if record is None else record["options"]["top_k"]
        options = ScoreOptions(top_k=top_k, columns=file.columns, verdicts=True)
        self._answerer = resolver_answerer(home, options)
        if self._answerer.people is None:
            raise InputError(f"{home}: expected verdicts to correct results by, found none")
        own, there = self._answerer.schema, file.schema
        lacking = {own.names[0], "decision", "match_probability"} - {*there.names}
        if lacking:
            raise InputError(
                f"{place}: expected what `rerank score` wrote, found no column {min(lacking)!r}"
            )
        self._is_flat = "rival" in there.names
        self._added = _derived(own)
        answer = flat_schema(own) if self._is_flat else own
        self._answer = [name for name in answer.names if name in {*there.names, *self._added}]
        self._rest = [name for name in there.names if name not in self._answer]
        found = [there if name in there.names else answer for name in self._answer]
        fields = [each.field(name) for each, name in zip(found, self._answer, strict=True)]
        self.schema = pa.schema([*map(there.field, self._rest), *fields])

    def __call__(self, batch: ListingBatch) -> tuple[pa.Table, pa.Table, int]:
        """Return the listings' own columns, the answers, and how many are a person's."""
        assert self._answerer.people is not None
        table, none = batch.table, np.zeros(0, np.int64)
        settled, was = self._answerer.people.of(batch.listings()).listing, none
        if DECISION_SOURCE in table.column_names:
            source = table.column(DECISION_SOURCE).to_pylist()
            was = np.flatnonzero([each == PERSON for each in source])
        rows = np.union1d(settled, was)
        fresh = self._answerer.schema.empty_table()
        if len(rows):
            fresh = self._answerer.answer(_part(batch, rows))
            by_person = np.array(fresh.column(DECISION_SOURCE).to_pylist()) == PERSON
            kept = by_person | np.isin(rows, was)
            rows, fresh = rows[kept], fresh.filter(pa.array(kept))
        n_settled = fresh.column(DECISION_SOURCE).to_pylist().count(PERSON)
        fresh = flat_answers(fresh) if self._is_flat else fresh
        order = np.arange(len(table))
        order[rows] = np.arange(len(rows)) + len(table)
        columns = []
        for name in self._answer:
            kind = self.schema.field(name).type
            there = name in table.column_names
            old = table.column(name) if there else self._added[name](table)
            parts = [old.cast(kind), _as(kind, fresh.column(name))]
            of_model = name in self._added and name.startswith(MODEL)  # of the results, as it was
            columns.append(parts[0] if of_model else _joined(parts).take(pa.array(order)))
        answers = pa.table(dict(zip(self._answer, columns, strict=True)))
        return table.select(self._rest), answers, n_settled


def _joined(parts: Sequence[pa.Array | pa.ChunkedArray]) -> pa.ChunkedArray:
    chunks = [each.chunks if isinstance(each, pa.ChunkedArray) else [each] for each in parts]
    return pa.chunked_array([chunk for each in chunks for chunk in each], parts[0].type)


def _as(kind: pa.DataType, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as a file of text may have it."""
    if pa.types.is_string(kind) and not pa.types.is_string(column.type):
        texts = [None if value is None else csv_text(value) for value in json_values(column)]
        return pa.chunked_array([pa.array(texts, kind)])
    return column.cast(kind)


def _nothing(of: pa.DataType, table: pa.Table) -> pa.Array:
    return pa.nulls(table.num_rows, of)


def _names_in_output(record: dict[str, Any], answerer: Answerer) -> ColumnNames:
    """Return what the key columns of an earlier input are called in its output."""
    more = decided_fields(answerer.schema.names[0])
    told = {field.name for field in more}
    added = [field for field in answerer.schema if field.name not in told]
    added += more if VERDICTS_KEY in record else []
    renamed = renamed_columns(list(record["columns"]), pa.schema(added))

    def there(theirs: str) -> str:
        if theirs in renamed or theirs in record["columns"]:
            return renamed.get(theirs, theirs)
        names = [name.strip() for name in theirs.split(BETWEEN_IDENTIFIERS)]
        return BETWEEN_IDENTIFIERS.join(renamed.get(name, name) for name in names)

    named = record["options"]["columns"]
    return ColumnNames(**{ours: there(theirs) for ours, theirs in named.items()})


def _key_columns(names: ColumnNames, there: Sequence[str]) -> list[str]:
    said = names.title, names.vendor, names.description, *names.identifiers_of(there)
    wanted = (names.listing_id, *said)
    return [name for name in dict.fromkeys(wanted) if name in there]
