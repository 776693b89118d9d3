"""The store's file: opened for one read or one write at a time. The only place duckdb is imported.

DuckDB lets one process write or several read, never both. So nobody keeps the file open: a reader
waits the moment a write takes, writers queue at a lock file that says who is in it, and every write
is one transaction, on disk when `writing` ends.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.errors import StoreBusyError, StoreError
from rerank.store.migrations import MIGRATIONS, Migration

Values = Sequence[Any] | Mapping[str, Any]

READER_PATIENCE_S = 60.0  # a million annotations are written in some ten seconds
WRITER_PATIENCE_S = 10.0  # readers are gone sooner
_POLL_S = 0.05
_IN_USE = ("Could not set lock", "different configuration")


class Session:
    """A connection while it is lent. Values are always bound; ``step`` names a query in errors."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

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
        with _named(step, sql):
            return self._connection.sql(sql, params=values or None).to_arrow_table()

    def columns(self, step: str, sql: str, values: Values = ()) -> dict[str, NDArray[Any]]:
        """Return a query's columns as arrays; nulls are NaN in floats, None in objects."""
        table = self.table(step, sql, values)
        return {
            name: np.asarray(table.column(name).to_numpy(zero_copy_only=False))
            for name in table.column_names
        }

    def insert(self, step: str, into: str, rows: pa.Table, *, replace: bool = False) -> None:
        """Insert rows into a table by the names of their columns.

        :param into: a table's name, written in the code, never taken from input.
        :param replace: overwrite rows of the same key; otherwise they are an error.
        """
        names = ", ".join(f'"{name}"' for name in rows.column_names)
        verb = "INSERT OR REPLACE" if replace else "INSERT"
        with self.visible("incoming", rows):
            self._run(step, f'{verb} INTO "{into}" ({names}) SELECT {names} FROM incoming', ())

    @contextmanager
    def visible(self, name: str, rows: pa.Table) -> Iterator[None]:
        """Let queries see an Arrow table under a name while the block runs."""
        self._connection.register(name, rows)
        try:
            yield
        finally:
            self._connection.unregister(name)

    def _run(self, step: str, sql: str, values: Values) -> Any:
        with _named(step, sql):
            return self._connection.execute(sql, values)


@contextmanager
def _named(step: str, sql: str) -> Iterator[None]:
    """Raise what DuckDB raises with the step and the SQL."""
    import duckdb

    try:
        yield
    except duckdb.Error as exc:
        raise StoreError(f"{step}: {exc}\nin: {' '.join(sql.split())}") from exc


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
        if not self.path.exists():
            connection = _open(":memory:", read_only=False)
            _migrate(connection, self.path)
        else:
            connection = self._open_current()
        try:
            if sealed:
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
            yield Session(connection)
        finally:
            connection.close()

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Lend a session whose changes are all kept, or none if the block raises.

        :raises StoreBusyError: if another process writes, or readers stay for 10 s.
        :raises StoreError: if the store is damaged or of a newer release.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._writer_lock():
            connection = _patiently(
                lambda: _open(str(self.path), read_only=False), WRITER_PATIENCE_S, self.path
            )
            try:
                _migrate(connection, self.path)
                session = Session(connection)
                session.execute("begin", "BEGIN")
                try:
                    yield session
                except BaseException:
                    connection.rollback()
                    raise
                session.execute("commit", "COMMIT")
            finally:
                connection.close()

    def _open_current(self) -> Any:
        """Open for reading, after bringing an older store up to date."""

        def connect() -> Any:
            return _open(str(self.path), read_only=True)

        connection = _patiently(connect, READER_PATIENCE_S, self.path)
        if _missing(connection, self.path):
            connection.close()
            with self.writing():
                pass
            connection = _patiently(connect, READER_PATIENCE_S, self.path)
        return connection

    @contextmanager
    def _writer_lock(self) -> Iterator[None]:
        """Hold the lock file; its content names the holder."""
        path = self.path.with_name(self.path.name + ".lock")
        with path.open("a+", encoding="utf-8") as file:
            deadline = time.monotonic() + self._wait_s
            while not _locked(file.fileno()):
                if time.monotonic() >= deadline:
                    file.seek(0)
                    holder = file.read().strip() or "another process"
                    raise StoreBusyError(
                        f"{self.path}: {holder} is writing to it; try again, or wait for it with "
                        "--wait SECONDS"
                    )
                time.sleep(_POLL_S)
            file.truncate(0)
            file.write(f"{Path(sys.argv[0]).name or 'python'} (process {os.getpid()})\n")
            file.flush()
            yield


def utc_now() -> datetime:
    """Return the time as the store keeps it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(target: str, *, read_only: bool) -> Any:
    import duckdb

    try:
        return duckdb.connect(target, read_only=read_only)
    except duckdb.Error as exc:
        if any(words in str(exc) for words in _IN_USE):
            raise StoreBusyError(str(exc)) from exc
        raise StoreError(
            f"{target}: expected a store, found something DuckDB cannot open ({exc}); move the "
            "file away and import your exports again"
        ) from exc


def _patiently(connect: Callable[[], Any], patience_s: float, path: Path) -> Any:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return connect()
        except StoreBusyError as exc:
            if time.monotonic() >= deadline:
                raise StoreBusyError(
                    f"{path}: still in use by another process after {patience_s:.0f} s; end it or "
                    "try again"
                ) from exc
            time.sleep(_POLL_S)


def _missing(connection: Any, path: Path) -> list[Migration]:
    """Return the migrations a store has not had.

    :raises StoreError: if it has had some that this release does not know.
    """
    known = {migration.name for migration in MIGRATIONS}
    there = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'migrations'"
    ).fetchone()[0]
    names = "SELECT name FROM migrations ORDER BY name"
    had = [name for (name,) in connection.execute(names).fetchall()] if there else []
    unknown = [name for name in had if name not in known]
    if unknown:
        raise StoreError(
            f"{path}: written by a newer release of rerank (migration {unknown[0]!r}); this one "
            f"knows up to {MIGRATIONS[-1].name!r}; update rerank"
        )
    return [migration for migration in MIGRATIONS if migration.name not in had]


def _migrate(connection: Any, path: Path) -> None:
    """Apply what is missing, each migration with its record in one transaction."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (name VARCHAR PRIMARY KEY, applied_at TIMESTAMP)"
    )
    session = Session(connection)
    for migration in _missing(connection, path):
        connection.execute("BEGIN")
        try:
            for statement in migration.statements:
                session.execute(f"migration {migration.name}", statement)
            session.execute(
                f"migration {migration.name}",
                "INSERT INTO migrations VALUES (?, ?)", [migration.name, utc_now()],
            )  # fmt: skip
        except BaseException:
            connection.rollback()
            raise
        connection.execute("COMMIT")
