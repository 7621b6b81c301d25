"""How migrations are applied: in order, once, all of what is pending or nothing, together with their record."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from billing_db import Connection, DatabaseRefused, atomic, engine, execute, fetch_all, in_transaction, lock

RECORD = """
CREATE TABLE IF NOT EXISTS billing_migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at TEXT NOT NULL
)"""


@dataclass(frozen=True)
class Migration:
    """One numbered step: what it is called, the bytes that it came from, which tables it makes, how it is applied."""

    number: int
    name: str
    source: bytes
    apply: Callable[[Connection], None]
    tables: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.source).hexdigest()

    def __str__(self) -> str:
        return f"{self.number:04d}_{self.name}"


class _RehearsalEnds(Exception):
    """Undoes a rehearsal."""


def pending(db: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """What migrate would apply. An edited or unknown old migration is refused."""
    try:
        rows = fetch_all(db, "SELECT number, name, sha256 FROM billing_migrations")
    except Exception as error:
        if _says(error, "no such table", "42P01"):
            return list(migrations)
        if _says(error, "no such column", "42703"):
            raise DatabaseRefused(
                "This database has a table billing_migrations that is not ours; "
                "give billing a file or database of its own: TURF_SAAS_DB=…"
            ) from None
        raise
    known = {migration.number: migration for migration in migrations}
    for row in rows:
        migration = known.get(row["number"])
        if migration is None:
            raise DatabaseRefused(f"The database is newer than this program: it has migration {row['number']:04d}.")
        if migration.sha256 != row["sha256"]:
            raise DatabaseRefused(f"Migration {row['number']:04d}_{row['name']} was edited after it had been applied.")
    done = {row["number"] for row in rows}
    return [migration for migration in migrations if migration.number not in done]


def _says(error: Exception, sqlite_words: str, postgresql_state: str) -> bool:
    return sqlite_words in str(error) or getattr(error, "sqlstate", None) == postgresql_state


def migrate(
    db: Connection,
    now: str,
    migrations: Sequence[Migration],
    *,
    preflight: Callable[[Connection, list[Migration]], None] | None = None,
    rehearse: bool = False,
) -> list[str]:
    """Apply what is pending, all of it or nothing. Safe with many starters: one applies, the rest see it done.

    preflight may refuse before anything is changed. A rehearsal does everything and takes it back.
    """
    if in_transaction(db):
        raise RuntimeError("a migration is its own transaction")
    if not pending(db, migrations):
        return []
    todo: list[Migration] = []
    with suppress(_RehearsalEnds), _foreign_keys_off(db), atomic(db):
        lock(db, "billing_migrations")
        todo = pending(db, migrations) if engine(db) == "sqlite" else _pending_in_lock(db, migrations)
        if preflight is not None:
            preflight(db, todo)
        execute(db, RECORD)
        for migration in todo:
            migration.apply(db)
            _record(db, now, migration)
        _check_foreign_keys(db, migrations)
        if rehearse:
            raise _RehearsalEnds
    return [str(migration) for migration in todo]


def _pending_in_lock(db: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """On PostgreSQL a statement that fails ends the transaction, so the record is made before it is asked."""
    execute(db, RECORD)
    return pending(db, migrations)


def _record(db: Connection, now: str, migration: Migration) -> None:
    execute(
        db,
        """INSERT INTO billing_migrations (number, name, sha256, applied_at)
           VALUES (:number, :name, :sha256, :now)""",
        number=migration.number,
        name=migration.name,
        sha256=migration.sha256,
        now=now,
    )


@contextmanager
def _foreign_keys_off(db: Connection) -> Iterator[None]:
    """SQLite rebuilds a table only so; the pragma does nothing inside a transaction."""
    if engine(db) != "sqlite":
        yield
        return
    try:
        for pragma in ("foreign_keys = OFF", "legacy_alter_table = ON"):
            db.execute(f"PRAGMA {pragma}")
        yield
    finally:
        with suppress(sqlite3.ProgrammingError):  # a connection that had to be closed has no pragmas to set back
            for pragma in ("legacy_alter_table = OFF", "foreign_keys = ON"):
                db.execute(f"PRAGMA {pragma}")


def _check_foreign_keys(db: Connection, migrations: Sequence[Migration]) -> None:
    """PostgreSQL checks by itself. What was broken in the host's own tables is the host's affair."""
    if engine(db) != "sqlite":
        return
    ours = sorted({table for migration in migrations for table in migration.tables})
    broken = [table for table in ours if fetch_all(db, f'PRAGMA foreign_key_check("{table}")')]
    if broken:
        raise DatabaseRefused(f"Rows point at rows that do not exist, in: {', '.join(broken)}. Nothing was changed.")
