"""Bring a store's schema up to date: each missing migration with its record in one transaction."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from index.errors import StoreError
from rerank.store.migrations import MIGRATIONS, Migration

if TYPE_CHECKING:
    from rerank.store.database import Session

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
