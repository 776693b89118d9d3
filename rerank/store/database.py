"""The store's file: opened for one read or one write at a time. The only place duckdb is imported.

DuckDB lets one process write or several read, never both. So nobody keeps the file open: a reader
waits the moment a write takes, writers queue at a lock file that says who is in it, and every write
is one transaction, on disk when `writing` ends.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from rerank.index.artifacts import check_regular, locked, sync
from rerank.index.errors import FORBIDDEN, FULL, READ_ONLY, StoreBusyError, StoreError
from rerank.store.tables import MIGRATIONS, Migration

Values = Sequence[Any] | Mapping[str, Any]

READER_PATIENCE_S = 60.0  # a million annotations are written in some ten seconds
WRITER_PATIENCE_S = 10.0  # readers are gone sooner
_BATCH_ROWS = 8192
_IN_USE = ("Could not set lock", "different configuration")
_INTERRUPTED = "Query interrupted"  # what DuckDB makes of Ctrl-C, in a plain RuntimeError


class Session:
    """A connection while it is lent. Values are always bound; ``step`` names a query in errors.

    :param path: the store, named in errors of the disk; None for one in memory.
    """

    def __init__(self, connection: Any, path: Path | None = None) -> None:
        self._connection = connection
        self._path = path

    def execute(self, step: str, sql: str, values: Values = ()) -> None:
        """Run a statement.

        :raises StoreError: if it fails.
        """
        self._run(step, sql, values)

    def rows(self, step: str, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        found: list[tuple[Any, ...]] = self._run(step, sql, values).fetchall()
        return found

    def table(self, step: str, sql: str, values: Values = ()) -> pa.Table:
        """Return the rows of a query as an Arrow table."""
        with self._named(step, sql):
            ask = self._connection.sql
            return self._heeding(lambda: ask(sql, params=values or None).to_arrow_table())

    def insert(self, step: str, into: str, rows: pa.Table, *, replace: bool = False) -> None:
        """Insert rows into a table by the names of their columns.

        :param into: a table's name, written in the code, never taken from input.
        :param replace: overwrite rows of the same key; otherwise they are an error.
        """
        names = ", ".join(f'"{name}"' for name in rows.column_names)
        verb = "INSERT OR REPLACE" if replace else "INSERT"
        with self.visible("incoming", rows):
            self._run(step, f'{verb} INTO "{into}" ({names}) SELECT {names} FROM incoming', ())

    def batches(self, step: str, sql: str, values: Values = ()) -> Iterator[pa.RecordBatch]:
        """Yield a query's rows as Arrow batches, first an empty one: it has the columns.

        No other query may run before all are read.

        :raises StoreError: if the query fails, or is nothing that returns rows, or several.
        """
        with self._named(step, sql):
            n_statements = len(self._connection.extract_statements(sql))
            if n_statements > 1:
                raise StoreError(
                    f"{step}: expected one query, found {n_statements}; run each by itself"
                )
            ask = self._connection.sql
            found = self._heeding(lambda: ask(sql, params=values or None))
            if found is None:
                raise StoreError(
                    f"{step}: expected a query, found nothing that returns rows: {sql!r}"
                )
            reader = found.to_arrow_reader(_BATCH_ROWS)
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)
            yield from reader

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all changes of the block, or none if it raises."""
        self.execute("begin", "BEGIN")
        try:
            yield
        except BaseException:
            # A connection that can no longer roll back is closed by its lender: the same end.
            with suppress(StoreError):
                self.execute("roll back", "ROLLBACK")
            raise
        self.execute("commit", "COMMIT")

    @contextmanager
    def visible(self, name: str, rows: pa.Table) -> Iterator[None]:
        """Let queries see an Arrow table under a name while the block runs."""
        import duckdb

        self._connection.register(name, rows)
        try:
            yield
        finally:
            # After a failing query DuckDB forbids even that; the name ends with the connection.
            with suppress(duckdb.Error):
                self._connection.unregister(name)

    def _run(self, step: str, sql: str, values: Values) -> Any:
        with self._named(step, sql):
            return self._heeding(lambda: self._connection.execute(sql, values))

    def _heeding(self, ask: Callable[[], Any]) -> Any:
        """Return what DuckDB answers; Ctrl-C ends the query at once.

        DuckDB 2.0 itself may not look for signals for minutes, so the thread that gets them only
        waits, and tells it.
        """
        if threading.current_thread() is not threading.main_thread():
            return ask()
        with ThreadPoolExecutor(1) as asker:
            answer = asker.submit(ask)
            try:
                return answer.result()
            except KeyboardInterrupt:
                self._connection.interrupt()
                raise

    @contextmanager
    def _named(self, step: str, sql: str) -> Iterator[None]:
        """Raise what DuckDB raises, itself or through Arrow, with the step and the SQL."""
        import duckdb

        try:
            yield
        except duckdb.InterruptException as exc:
            raise KeyboardInterrupt from exc
        except RuntimeError as exc:
            if str(exc) == _INTERRUPTED:
                raise KeyboardInterrupt from exc
            raise
        except (duckdb.Error, pa.ArrowException, OSError) as exc:  # OSError: of an Arrow stream
            of_disk = isinstance(exc, duckdb.OperationalError | OSError)
            fault = disk_fault(self._path, str(exc)) if of_disk else None
            raise fault or StoreError(f"{step}: {exc}\nin: {' '.join(sql.split())}") from exc


class Store:
    """A store of one workspace.

    :param path: the DuckDB file; it need not exist yet.
    :param wait_s: how long a write waits for another writer, in seconds.
    """

    def __init__(self, path: Path, *, wait_s: float = 0.0) -> None:
        self.path = path
        self._wait_s = wait_s

    @contextmanager
    def reading(self, *, sealed: bool = False) -> Iterator[Session]:
        """Lend a session that cannot write; a store that does not exist yet is empty.

        :param sealed: also forbid queries to read other files, for SQL that people hand in.
        :raises StoreBusyError: if a write goes on for longer than a minute.
        :raises StoreError: if the store is damaged or of a newer release.
        """
        with closing(self._open_current()) as connection:
            if sealed:
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
                connection.execute("BEGIN TRANSACTION READ ONLY")
            yield Session(connection, self.path)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Lend a session whose changes are all kept, or none if the block raises.

        A store that does not exist yet is made; if the block raises, it is gone again.

        :raises StoreBusyError: if another process writes, or readers stay for 10 s.
        :raises StoreError: if the store is damaged or of a newer release, or may not be written.
        """
        with disk_faults_named(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with writer_lock(self.path, self._wait_s):
            made = self._make_if_missing()
            failed = True
            connection = patiently(
                lambda: _open(self.path, read_only=False), WRITER_PATIENCE_S, self.path
            )
            try:
                session = Session(connection, self.path)
                migrate(session, self.path)
                with session.transaction():
                    yield session
                failed = False
            finally:
                connection.close()
                if made and failed:
                    # a log that stayed would be read into the next store of this name
                    for left_over in (self.path.with_name(self.path.name + ".wal"), self.path):
                        left_over.unlink(missing_ok=True)

    def _make_if_missing(self) -> bool:
        """Make an empty store beside its place and rename it; return whether that was needed.

        DuckDB cannot open the empty file that a process killed while it makes one leaves.
        """
        if self.path.exists():
            return False
        draft = self.path.with_name(f".{self.path.name}.draft")  # one writer, so one name
        left_overs = (draft, draft.with_name(draft.name + ".wal"))
        for left_over in left_overs:
            left_over.unlink(missing_ok=True)
        try:
            with closing(_open(draft, read_only=False, store=self.path)) as connection:
                migrate(Session(connection, self.path), self.path)
            os.replace(draft, self.path)
            sync(self.path.parent)
        finally:
            for left_over in left_overs:
                left_over.unlink(missing_ok=True)
        return True

    def _open_current(self) -> Any:
        """Open for reading, after bringing an older store up to date."""
        if not self.path.exists():
            connection = _open(None, read_only=False)
            migrate(Session(connection), self.path)
            return connection
        connection = self._open_to_read()
        try:
            current = not missing_migrations(Session(connection), self.path)
        except BaseException:
            connection.close()
            raise
        if current:
            return connection
        connection.close()
        with Store(self.path, wait_s=READER_PATIENCE_S).writing():
            pass
        return self._open_to_read()

    def _open_to_read(self) -> Any:
        return patiently(lambda: _open(self.path, read_only=True), READER_PATIENCE_S, self.path)


@contextmanager
def scratch(folder: Path | None = None) -> Iterator[Session]:
    """Lend a session over nothing: tables are checked in it before a store is opened for them.

    :param folder: on disk, where tables lie that do not fit into a gigabyte of memory; None keeps
        all in memory, without a limit.
    """
    path = None if folder is None else folder / "scratch.duckdb"
    with closing(_open(path, read_only=False)) as connection:
        if folder is not None:
            connection.execute("SET memory_limit = '1GB'")
            connection.execute("SET preserve_insertion_order = false")
        yield Session(connection)


def utc_now() -> datetime:
    """Return the time as the store keeps it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def _open(path: Path | None, *, read_only: bool, store: Path | None = None) -> Any:
    """Open a store; without a path, one in memory.

    :param store: named in errors instead of the path.
    """
    import duckdb

    try:
        if path is not None and path.exists():
            check_regular(path, path.stat().st_mode)  # DuckDB would wait for a pipe
        connection = duckdb.connect(str(path or ":memory:"), read_only=read_only)
        connection.execute("SET TimeZone = 'UTC'")  # as times are kept, whatever the machine's zone
        return connection
    except (duckdb.Error, OSError) as exc:
        if any(words in str(exc) for words in _IN_USE):
            raise StoreBusyError(str(exc)) from exc
        where = store or path
        raise disk_fault(where, str(exc), reading=read_only) or StoreError(
            f"{where}: expected a store, found something DuckDB cannot open ({exc}); move the "
            "file away and import your exports again"
        ) from exc


_POLL_S = 0.05


@contextmanager
def writer_lock(store: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock file beside a store; its content names the holder.

    The kernel frees the lock when its holder ends, however it ends.

    :param wait_s: how long to wait for another holder, in seconds.
    :raises StoreBusyError: if another process still holds it then.
    :raises StoreError: if the file may not be written, or the disk is full.
    """
    path = store.with_name(store.name + ".lock")

    def busy() -> StoreBusyError:
        holder = path.read_text(encoding="utf-8", errors="replace").strip() or "another process"
        return StoreBusyError(
            f"{store}: {holder} is writing to it; try again, or wait for it with --wait SECONDS"
        )

    with ExitStack() as held:
        with disk_faults_named(store):
            descriptor = held.enter_context(locked(path, busy, wait_s=wait_s))
            name = Path(sys.argv[0]).name or "python"
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{name} (process {os.getpid()})\n".encode("utf-8", "replace"))
        yield


def patiently(connect: Callable[[], Any], patience_s: float, store: Path) -> Any:
    """Return what ``connect`` returns, trying again while it says that the store is busy.

    :raises StoreBusyError: if it still says so after ``patience_s`` seconds.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return connect()
        except StoreBusyError as exc:
            if time.monotonic() >= deadline:
                raise StoreBusyError(
                    f"{store}: still in use by another process after {patience_s:.0f} s; end it or "
                    "try again"
                ) from exc
            time.sleep(_POLL_S)


_RECORDS = "CREATE TABLE IF NOT EXISTS migrations (name VARCHAR PRIMARY KEY, applied_at TIMESTAMP)"


def missing_migrations(session: Session, path: Path) -> list[Migration]:
    """Return the migrations a store has not had, in their order.

    :param path: the store, named in the error.
    :raises StoreError: if it has had some that this release does not know.
    """
    there = session.rows(
        "read migrations", "SELECT 1 FROM duckdb_tables() WHERE table_name = 'migrations'"
    )
    names = "SELECT name FROM migrations ORDER BY name"
    had = [name for (name,) in session.rows("read migrations", names)] if there else []
    known = {migration.name for migration in MIGRATIONS}
    unknown = [name for name in had if name not in known]
    if unknown:
        raise StoreError(
            f"{path}: written by a newer release of rerank (migration {unknown[0]!r}); this one "
            f"knows up to {MIGRATIONS[-1].name!r}; update rerank"
        )
    return [migration for migration in MIGRATIONS if migration.name not in had]


def migrate(session: Session, path: Path) -> None:
    """Apply what is missing.

    :param path: the store, named in errors.
    :raises StoreError: if the store is of a newer release or a statement fails.
    """
    missing = missing_migrations(session, path)  # first: a newer store is left as it is
    session.execute("read migrations", _RECORDS)
    for migration in missing:
        step = f"migration {migration.name}"
        with session.transaction():
            for statement in migration.statements:
                session.execute(step, statement)
            session.execute(
                step,
                "INSERT INTO migrations VALUES (?, ?)",
                [migration.name, datetime.now(UTC).replace(tzinfo=None)],
            )


def disk_fault(path: Path | None, said: str, *, reading: bool = False) -> StoreError | None:
    """Return the error for what the operating system would not do; None if it was not that.

    :param path: the store; None for one in memory, which may spill to the disk.
    :param said: an error's text: DuckDB tells the system's reason in it, and nowhere else.
    """
    unwritable = (
        "you may not write this file ({}); nothing was written; check its permissions, those of "
        "the .lock file beside it and of their folder"
    )
    unreadable = "you may not read this file ({}); check its permissions"
    remedies = (
        (FULL, "{}; nothing was written; free some space"),
        (READ_ONLY, "{}; nothing was written; choose another place with --home"),
        (FORBIDDEN, unreadable if reading else unwritable),
    )
    for faults, remedy in remedies:
        for code, words in faults.items():
            if os.strerror(code) in said:
                return StoreError(("" if path is None else f"{path}: ") + remedy.format(words))
    return None


@contextmanager
def disk_faults_named(store: Path) -> Iterator[None]:
    """Raise as the store's what the system refuses the block to do with files beside it.

    :raises StoreError: if the disk is full or they may not be written.
    """
    try:
        yield
    except OSError as exc:
        fault = disk_fault(store, str(exc))
        if fault is None:
            raise
        raise fault from exc
