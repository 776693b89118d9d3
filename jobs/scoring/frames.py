"""Tables of other libraries resolved: frames, streams, and a function of DuckDB's SQL."""

from __future__ import annotations

import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from rerank.domain import GPU, domain_named
from rerank.index.errors import InputError, require
from rerank.index.records import N_CANDIDATES
from rerank.jobs.files.listings import (
    BATCH_ROWS,
    OPTIONAL,
    ROW_NUMBER,
    ColumnNames,
    ListingBatch,
    check_types,
)
from rerank.jobs.scoring.answering import (
    Answerer,
    ResolverAnswerer,
    ScoreOptions,
    answering,
    output_schema,
    renamed_columns,
    resolver_answerer,
)
from rerank.jobs.scoring.run import Progress, ProgressLine
from rerank.lifecycle.opening import workspace_at
from rerank.workspace import Workspace, columns_of_feed

if TYPE_CHECKING:
    from rerank.resolver import Resolver

Told = Callable[[int, int | None], None]
Answered = Iterator[tuple[pa.Table, pa.Table]]
_PLACE = "the table"  # what messages name
_SAMPLE_ROWS = 2_000
_ID = "listing_id"


def resolve_table(
    frame: Any,
    *,
    home: Path | str | None = None,
    resolver: Resolver | None = None,
    verdicts: bool = True,
    top_k: int = N_CANDIDATES,
    only_decisions: bool = False,
    coverage: float | None = None,
    workers: int = 1,
    progress: Told | None = None,
    **columns: str,
) -> Any:
    """Return a table of listings with the columns that `rerank score` adds, as the caller's kind.

    A Polars or pandas DataFrame, a pyarrow Table and a DuckDB relation come back as what they are;
    all else that speaks the Arrow PyCapsule interface, as a pyarrow Table. A RecordBatchReader
    comes back as one, and is resolved as it is read, however long it is. Columns of the caller's
    keep their types; one that is called like an answer becomes ``input_NAME``.

    :param home: the workspace; by default ``RERANK_HOME``, else `home_here`.
    :param resolver: what `rerank.open_resolver` gave, if it is open already; ``home`` and
        ``verdicts`` are then its own.
    :param verdicts: what people settled stands before the model's answers, as in ``score``.
    :param top_k: candidates of each listing, at least 1.
    :param only_decisions: leave the list of candidates out.
    :param coverage: of candidate sets, then in ``candidate_set``.
    :param workers: processes that resolve; each opens the workspace's resolver. They end with the
        table, those of a RecordBatchReader when it was read.
    :param progress: takes the rows done, and how many there are, None where that is not known;
        by default a terminal shows a line.
    :param columns: the table's names, by ours: ``title="name"``, ``vendor=``, ``description=``,
        ``price=``, ``listing_id=``, ``identifiers=``. By default ours, in any capitals, or what the
        home's catalogue sees. Only a title must be there.
    :raises InputError: if a column is missing or not of text, or the table is of no known kind, or
        several workers are to share a resolver that is open.
    :raises MissingExtraError: if the extra ``tables`` is not installed.
    """
    table = _table_of(frame)
    workspace = workspace_at(home)
    names = ColumnNames()
    if odd := sorted(set(columns) - set(ColumnNames.__slots__)):
        raise TypeError(f"resolve_table() got an unexpected keyword argument {odd[0]!r}")
    names = names.renamed(columns)
    names.check_apart()
    if resolver is None:
        names = _seen(table, names, workspace)
    names = _found(table, names)
    options = ScoreOptions(
        top_k=top_k,
        coverage=coverage,
        only_decisions=only_decisions,
        columns=names if names.listing_id in table.names else replace(names, listing_id=_ID),
        verdicts=verdicts,
    )
    with ExitStack() as held:
        answerer = _answerer(workspace.home, resolver, options, workers, held)
        told = progress or _line_in_a_terminal()
        return table.resolved(answerer, names, told, held.pop_all())


def _answerer(
    home: Path, resolver: Resolver | None, options: ScoreOptions, workers: int, held: ExitStack
) -> Answerer:
    """Return what answers a table.

    :param held: ends workers.
    """
    if workers == 1:
        if resolver is None:
            return resolver_answerer(home, options)
        return ResolverAnswerer(resolver, options)
    if resolver is not None:
        raise InputError("workers open resolvers of their own: give `home`, no `resolver`")
    answerer = held.enter_context(answering(home, options, workers=workers))
    answerer.ready()
    return answerer


class _Streamed:
    """What is read once, in batches, and whose columns come out beside the answers.

    :param opened: begins to read; not before the first rows were looked at, since a connection of
        DuckDB reads one result at a time.
    :param joined: makes the caller's kind of the stream of answered rows.
    :param again: reads the first rows once more; None where they would be gone.
    """

    def __init__(
        self,
        schema: pa.Schema,
        opened: Callable[[], pa.RecordBatchReader],
        joined: Callable[[pa.RecordBatchReader], Any],
        again: Callable[[], pa.Table] | None = None,
    ) -> None:
        self._opened, self._joined, self._again = opened, joined, again
        self.schema = schema
        self.names: list[str] = schema.names

    def sample(self) -> pa.Table | None:
        """Return the first rows, if they can be had twice."""
        return None if self._again is None else self._again()

    def type_of(self, name: str) -> pa.DataType:
        """Return the type of a column."""
        return self.schema.field(name).type

    def resolved(
        self, answerer: Answerer, names: ColumnNames, progress: Told, held: ExitStack
    ) -> Any:
        """Return all columns with their answers.

        :param held: closed when all are there.
        """
        schema = output_schema(self.schema, answerer.schema)
        pages = (
            pa.Table.from_batches([batch.slice(at, BATCH_ROWS)])
            for batch in self._opened()
            for at in range(0, batch.num_rows, BATCH_ROWS)
        )

        def rows() -> Iterator[pa.RecordBatch]:
            with held:
                for table, answers in _answered(pages, answerer, names, progress, None):
                    columns = [*table.columns, *answers.columns]
                    yield from pa.Table.from_arrays(columns, schema=schema).to_batches()

        return self._joined(pa.RecordBatchReader.from_batches(schema, rows()))


class _Frame:
    """A frame of a library that narwhals knows; columns that are not read are not converted."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.names: list[str] = frame.columns

    def sample(self) -> pa.Table:
        """Return the first rows, of the columns that Arrow can hold."""
        head, found = self._frame.head(_SAMPLE_ROWS), {}
        for name in self.names:
            try:
                found[name] = _as_arrow(head, name)
            except InputError:
                continue
        return pa.table(found)

    def type_of(self, name: str) -> pa.DataType:
        """Return the type of a column."""
        return _as_arrow(self._frame.head(_SAMPLE_ROWS), name).type

    def resolved(
        self, answerer: Answerer, names: ColumnNames, progress: Told, held: ExitStack
    ) -> Any:
        """Return the frame with its answers; see `_Streamed.resolved`."""
        read = [name for name in _read(names, self.names) if name in self.names]
        table = pa.table({name: _as_arrow(self._frame, name) for name in read})
        pages = (table.slice(at, BATCH_ROWS) for at in range(0, len(table), BATCH_ROWS))
        found = _answered(pages, answerer, names, progress, len(table))
        with held:
            parts = [answers for _, answers in found]
        answers = pa.concat_tables(parts) if parts else answerer.schema.empty_table()
        own = self._frame.rename(renamed_columns(self.names, answerer.schema))
        return own.with_columns(*_columns_like(own, answers)).to_native()


def _columns_like(frame: Any, answers: pa.Table) -> Iterator[Any]:
    """Yield answers as columns of a frame's library.

    Of pandas, lists and structs stay in Arrow: objects would take longer than resolving does.
    """
    import narwhals as nw

    if not frame.implementation.is_pandas():
        made = nw.from_arrow(answers, backend=frame.implementation)
        yield from (made[name] for name in made.columns)
        return
    pandas = frame.implementation.to_native_namespace()
    native = answers.to_pandas(
        types_mapper=lambda kind: pandas.ArrowDtype(kind) if pa.types.is_nested(kind) else None
    )
    made = nw.from_native(native.set_index(frame.to_native().index), eager_only=True)
    yield from (made[name] for name in made.columns)


def _as_arrow(frame: Any, name: str) -> pa.ChunkedArray:
    """Return a column.

    :raises InputError: if Arrow cannot hold it.
    """
    try:
        column = frame.get_column(name).to_arrow()
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as exc:
        said = " ".join(str(exc).split())
        raise InputError(
            f"{_PLACE}: column {name!r} ({frame.schema[name]}) cannot be read: {said}; convert it"
        ) from exc
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _table_of(frame: Any) -> _Streamed | _Frame:
    """Return what reads a table.

    :raises InputError: if it is none, or not in memory yet.
    """
    if isinstance(frame, pa.RecordBatchReader):
        return _Streamed(frame.schema, lambda: frame, lambda reader: reader)
    require("tables", "resolve_table", "narwhals")
    import narwhals as nw

    found = nw.from_native(frame, pass_through=True)
    if isinstance(found, nw.DataFrame) and not isinstance(frame, pa.RecordBatch):
        return _Frame(found)
    if isinstance(found, nw.LazyFrame) and found.implementation.is_duckdb():
        return _Streamed(
            _reader(frame.limit(0)).schema,
            lambda: _reader(frame),
            lambda reader: _relation_beside(frame, reader),
            lambda: pa.table(frame.limit(_SAMPLE_ROWS)),
        )
    if isinstance(found, nw.LazyFrame) or not hasattr(frame, "__arrow_c_stream__"):
        lazy = "a frame that is not computed yet" if isinstance(found, nw.LazyFrame) else ""
        raise InputError(
            f"{_PLACE}: expected a DataFrame of Polars or pandas, a pyarrow Table, a DuckDB "
            f"relation, or anything with the Arrow PyCapsule interface, got "
            f"{lazy or type(frame).__name__}; {'collect it' if lazy else 'convert it'} first"
        )
    reader = _reader(frame)
    return _Streamed(reader.schema, lambda: reader, lambda answered: answered.read_all())


def _reader(frame: Any) -> pa.RecordBatchReader:
    try:
        return pa.RecordBatchReader.from_stream(frame)
    except pa.ArrowException as exc:
        said = " ".join(str(exc).split())
        raise InputError(f"{_PLACE}: Arrow cannot read all of its columns: {said}") from exc


def _relation_beside(relation: Any, reader: pa.RecordBatchReader) -> Any:
    """Return answered rows as a relation of the connection that another is of."""
    answered = reader.read_all()
    # the relation's own query: only it knows its connection, and it finds `answered` by its name
    return relation.query("asked", "SELECT * FROM answered") if answered is not None else None


def _seen(table: _Streamed | _Frame, names: ColumnNames, workspace: Workspace) -> ColumnNames:
    """Return the columns that were named, and what the home's catalogue sees the others are."""
    sample = table.sample()
    if sample is None:
        return names
    own = names.own()
    with tempfile.TemporaryDirectory(prefix="rerank-") as folder:
        file = Path(folder) / "sample.parquet"
        pq.write_table(sample, file)
        seen = columns_of_feed(workspace, file)
    return names.renamed(
        {
            ours: theirs
            for ours, theirs in seen.items()
            if ours not in own and theirs not in own.values()
        }
    )


def _found(table: _Streamed | _Frame, names: ColumnNames) -> ColumnNames:
    """Return the columns as the table writes them; rows without ids are numbered.

    :raises InputError: if one is missing, or of another type than it is read as.
    """
    if names.listing_id == _ID and names.found_in(table.names).listing_id not in table.names:
        names = replace(names, listing_id=ROW_NUMBER)
    names = names.check(_PLACE, table.names)
    read = dict.fromkeys((names.listing_id, names.title))
    kinds = [(name, table.type_of(name)) for name in read if name in table.names]
    check_types(_PLACE, pa.schema(kinds), names)
    return names


def _read(names: ColumnNames, there: list[str]) -> list[str]:
    """Return the columns that are read of a table."""
    wanted = [getattr(names, ours) for ours in (_ID, "title", *OPTIONAL)]
    return list(dict.fromkeys([*wanted, *names.identifiers_of(there)]))


def _answered(
    tables: Iterable[pa.Table],
    answerer: Answerer,
    names: ColumnNames,
    progress: Told,
    n_rows: int | None,
) -> Answered:
    """Yield tables with their answers."""
    done, waiting = 0, deque[pa.Table]()

    def batches() -> Iterator[ListingBatch]:
        start = 1
        for table in tables:
            waiting.append(table)
            read = table
            if names.listing_id not in table.column_names:
                numbers = pa.array(range(start, start + len(table)), pa.int64())
                read = table.append_column(names.listing_id, numbers)
            start += len(table)
            yield ListingBatch(read, names)

    for _, answers in answerer.answers(batches()):
        done += len(answers)
        progress(done, n_rows)
        yield waiting.popleft(), answers


def _line_in_a_terminal() -> Told:
    """Return what shows how far it is where a person looks on."""
    if not sys.stderr.isatty():
        return lambda done, n_rows: None
    line = ProgressLine(sys.stderr)

    def told(done: int, n_rows: int | None) -> None:
        line.show(Progress(done / n_rows if n_rows else 0.0, done, 0, 1))
        if done == n_rows:
            line.clear()

    return told


def register(
    connection: Any,
    *,
    home: Path | str | None = None,
    resolver: Resolver | None = None,
    name: str | None = None,
    verdicts: bool = True,
) -> Any:
    """Give a DuckDB connection a function of SQL that resolves titles; return the connection.

    ``resolve_gpu(title)``, ``resolve_product(title)`` where the home holds another catalogue, is a
    struct of what `rerank score` adds, without candidates: ``resolve_gpu(title).model``. It reads
    titles in vectors of 2,048. It stays with the version that serves now: register again after a
    promotion.

    :param resolver: what `rerank.open_resolver` gave, if it is open already.
    :param name: of the function, if another is wanted.
    :param verdicts: what people settled stands before the model's answers, as in ``score``.
    """
    options = ScoreOptions(only_decisions=True, verdicts=verdicts)
    answerer = _answerer(workspace_at(home).home, resolver, options, 1, ExitStack())
    is_of_cards = answerer.schema.names[0] == domain_named(GPU).key_column
    fields = [field for field in answerer.schema if field.name != _ID]
    columns = ColumnNames(listing_id="title")

    def answer(titles: pa.ChunkedArray) -> pa.Array:
        asked = pa.table({"title": titles})
        answers = answerer.answer(ListingBatch(asked, columns)).combine_chunks()
        arrays = [_one_array(answers.column(field.name)) for field in fields]
        return pa.StructArray.from_arrays(arrays, fields=fields)

    answered = connection.from_arrow(pa.schema(fields).empty_table())
    kind = connection.struct_type(dict(zip(answered.columns, answered.types, strict=True)))
    called = name or (_CARDS_FUNCTION if is_of_cards else _PRODUCTS_FUNCTION)
    connection.create_function(
        called, answer, ["VARCHAR"], kind, type="arrow", null_handling="special"
    )
    return connection


_CARDS_FUNCTION, _PRODUCTS_FUNCTION = "resolve_gpu", "resolve_product"


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
