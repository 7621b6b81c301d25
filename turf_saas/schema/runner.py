"""How migrations are applied: in order, once, all of what is pending or nothing, together with their record."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from billing_db import Connection, DatabaseRefused, Row, engine, execute, fetch_all, in_transaction, lock
from turf_saas.rehearsal import rehearsal
from turf_saas.schema.host import list_columns
from turf_saas.schema.render import created_by

RECORD = """
CREATE TABLE IF NOT EXISTS billing_migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at TEXT NOT NULL
)"""


@dataclass(frozen=True)
class Migration:
    """One numbered step, as its files tell it: what both engines share, and what only this engine is told."""

    number: int
    name: str
    common: str
    engines: str = ""

    @property
    def sql(self) -> str:
        return self.common + self.engines

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def creates(self) -> list[tuple[str, str]]:
        return created_by(self.common) + created_by(self.engines)

    @property
    def tables(self) -> list[str]:
        return [name for kind, name in self.creates if kind == "table"]

    def __str__(self) -> str:
        return titled(self.number, self.name)


def titled(number: int, name: str) -> str:
    return f"{number:04d}_{name}"


def list_applied(db: Connection) -> list[Row]:
    """Number, name and sha256 of what the database has, in order."""
    columns = {column.name for column in list_columns(db, "billing_migrations")}
    if not columns:
        return []
    if not {"number", "name", "sha256"} <= columns:
        raise DatabaseRefused(
            "This database has a table billing_migrations that is not ours; "
            "give billing a file or database of its own: TURF_SAAS_DB=…"
        )
    return fetch_all(db, "SELECT number, name, sha256 FROM billing_migrations ORDER BY number")


def pending(db: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """What migrate would apply. An edited or unknown old migration is refused."""
    rows = list_applied(db)
    known = {migration.number: migration for migration in migrations}
    for row in rows:
        migration = known.get(row["number"])
        if migration is None:
            raise DatabaseRefused(f"The database is newer than this program: it has migration {row['number']:04d}.")
        if migration.sha256 != row["sha256"]:
            title = titled(row["number"], row["name"])
            raise DatabaseRefused(f"Migration {title} was edited after it had been applied.")
    done = {row["number"] for row in rows}
    return [migration for migration in migrations if migration.number not in done]


def migrate(
    db: Connection,
    now: str,
    migrations: Sequence[Migration],
    apply: Callable[[Connection, Migration], None],
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
    with _foreign_keys_off(db), rehearsal(db, dry_run=rehearse):
        lock(db, "billing_migrations")
        todo = pending(db, migrations)
        if preflight is not None:
            preflight(db, todo)
        execute(db, RECORD)
        for migration in todo:
            apply(db, migration)
            _record(db, now, migration)
        _check_foreign_keys(db, migrations)
    return [str(migration) for migration in todo]


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
