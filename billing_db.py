"""The door to the data: how we talk to a database, never what is in it.

A path names a SQLite file, a ``postgresql://`` URL a PostgreSQL database. One SQL text serves both:
parameters are written ``:name`` and every row is read by column name. Connections are the drivers'
own, so a host can hand in one of its own wherever a function takes ``db``.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import re
import select
import sqlite3
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

logger = logging.getLogger("turf_saas.billing_db")

Connection = Any  # sqlite3.Connection or psycopg.Connection
Row = Any  # read by column name on both engines

BUSY_SECONDS = 5.0
OLDEST_SQLITE = (3, 35, 0)

_NOT_A_DATABASE = {11, 26}  # SQLITE_CORRUPT, SQLITE_NOTADB
_BUSY = {5, 6}  # SQLITE_BUSY, SQLITE_LOCKED
_OUT_OF_ORDER = {8, 10, 13, 14}  # SQLITE_READONLY, IOERR, FULL, CANTOPEN
_UNIQUE = {1555, 2067, 2579}  # SQLITE_CONSTRAINT_PRIMARYKEY, _UNIQUE, _ROWID
_PG_BUSY = {"40001", "40P01", "55P03", "57014"}  # serialization, deadlock, lock timeout, cancelled
_PG_OUT_OF_ORDER = ("08", "25006", "53", "57P", "58")


class DatabaseError(Exception):
    """What went wrong in the database, in one sentence."""


class UniqueConflict(DatabaseError):
    """The row is there already: a UNIQUE constraint said no."""


class RuleBroken(DatabaseError):
    """The row breaks another rule: a foreign key, a CHECK or a trigger said no."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot answer now (lost, full, read-only). Trying again later may work."""


class DatabaseBusy(DatabaseUnavailable):
    """Somebody else held the database longer than we wait."""


class DatabaseRefused(DatabaseError):
    """What was configured is not a database that we can use. Nothing was created or changed."""


# -- connecting ------------------------------------------------------------------------------------


def connect(url: str) -> Connection:
    """A new connection that the caller closes. Inside the app use get_db."""
    return _connect_postgresql(url) if is_postgresql(url) else _connect_sqlite(sqlite_path(url))


def is_postgresql(url: str) -> bool:
    return url.startswith(("postgresql://", "postgres://"))


def sqlite_path(url: str) -> Path:
    """The file that a setting names, as an absolute path."""
    text = url.removeprefix("sqlite:///")
    if not text or text == ":memory:" or text.startswith("file:") or "\0" in text:
        raise DatabaseRefused(f"TURF_SAAS_DB={url!r} must name a file: every thread opens it again.")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise DatabaseRefused(f"TURF_SAAS_DB={_without_password(url)!r} is neither a path nor a postgresql:// URL.")
    return Path(text).expanduser().absolute()


def _without_password(url: str) -> str:
    return re.sub(r"://[^@/]*@", "://***@", url)


def _connect_sqlite(path: Path) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise DatabaseRefused(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed.")
    _make_file(path)
    try:
        # IMMEDIATE: a write outside atomic() takes the lock at once, it can never fail half-way up.
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level="IMMEDIATE", check_same_thread=False)
        db.row_factory = sqlite3.Row
        try:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA recursive_triggers = ON")  # else REPLACE deletes without telling the triggers
            db.execute("PRAGMA synchronous = FULL")
            if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error:
            db.close()
            raise
    except sqlite3.Error as error:
        if _primary_code(error) in _NOT_A_DATABASE:
            raise DatabaseRefused(f"{path} is not a SQLite database.") from error
        raise _translated(error) from error
    return db


def _make_file(path: Path) -> None:
    """Created private to its owner; SQLite gives the same mode to its -wal and -shm files."""
    if path.is_dir():
        raise DatabaseRefused(f"{path} is a folder, not a database file.")
    if not path.parent.is_dir():
        raise DatabaseRefused(f"The folder {path.parent} does not exist, so no database was created there.")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        logger.info("created an empty database file: %s", path)
    except FileExistsError:
        pass
    except OSError as error:
        raise DatabaseRefused(f"{path} cannot be created: {error.strerror}.") from error


def _connect_postgresql(url: str) -> Connection:
    try:
        import psycopg
        from psycopg.rows import dict_row
        from psycopg.types.string import TextLoader
    except ImportError as error:
        raise DatabaseRefused("PostgreSQL needs psycopg: pip install 'turf-saas[postgres]'.") from error
    options = {} if "connect_timeout=" in url else {"connect_timeout": BUSY_SECONDS}
    try:
        # prepare_threshold: a prepared statement would outlive its pgbouncer transaction.
        db: Any = psycopg.connect(url, autocommit=True, row_factory=dict_row, prepare_threshold=None, **options)
        db.execute(f"SET lock_timeout = {int(BUSY_SECONDS * 1000)}")
    except psycopg.ProgrammingError as error:
        raise DatabaseRefused("TURF_SAAS_DB is not a valid postgresql:// URL.") from error
    except psycopg.Error as error:
        raise DatabaseUnavailable("The PostgreSQL server cannot be reached.") from error
    db.adapters.register_loader("uuid", TextLoader)  # a user's key is an int or a text, never an object
    return db


class _Held:
    """One thread's connection. It is closed when the thread ends, by the process that opened it."""

    def __init__(self, url: str) -> None:
        self.pid = os.getpid()
        self.db = connect(url)

    def usable(self) -> bool:
        if self.pid != os.getpid():
            _inherited.append(self.db)
            return False
        if isinstance(self.db, sqlite3.Connection):
            try:
                self.db.total_changes  # noqa: B018  the cheapest question that a closed connection refuses
            except sqlite3.ProgrammingError:
                return False
            return True
        return not self.db.closed and not self._was_hung_up()

    def _was_hung_up(self) -> bool:
        """A server that went away leaves its goodbye on the socket: ask again only then."""
        poll = select.poll()
        poll.register(self.db.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
        if not poll.poll(0):
            return False
        try:
            self.db.execute("SELECT 1")
        except Exception:
            with suppress(Exception):
                self.db.close()
            return True
        return False

    def __del__(self) -> None:
        if os.getpid() == self.pid:
            with suppress(Exception):
                self.db.close()


_inherited: list[Connection] = []  # a parent's connections: closing one in a child would hurt the parent
_of_this_thread = threading.local()


def get_db(url: str | None = None) -> Connection:
    """This thread's connection to url (TURF_SAAS_DB when not given), opened once and kept."""
    if url is None:
        url = os.environ.get("TURF_SAAS_DB", "")
        if not url:
            raise DatabaseRefused("TURF_SAAS_DB is not set: give the path of the SQLite file.")
    try:
        held: dict[str, _Held] = _of_this_thread.held
    except AttributeError:
        held = _of_this_thread.held = {}
    mine = held.get(url)
    if mine is None or not mine.usable():
        mine = held[url] = _Held(url)
    return mine.db


def close_db() -> None:
    """Close what get_db opened for this thread."""
    for held in getattr(_of_this_thread, "held", {}).values():
        if held.pid == os.getpid():
            held.db.close()
    _of_this_thread.held = {}


# -- asking ----------------------------------------------------------------------------------------


def engine(db: Connection) -> str:
    return "sqlite" if isinstance(db, sqlite3.Connection) else "postgresql"


def fetch_all(db: Connection, sql: str, /, **params: Any) -> list[Row]:
    try:
        return _cursor(db, sql, params).fetchall()  # type: ignore[no-any-return]
    except Exception as error:
        raise _translated(error) from error


def fetch_one(db: Connection, sql: str, /, **params: Any) -> Row | None:
    rows = fetch_all(db, sql, **params)  # to the end: RETURNING finishes only then
    return rows[0] if rows else None


def execute(db: Connection, sql: str, /, **params: Any) -> int:
    """Run one statement and say how many rows it changed. Writes stand inside atomic()."""
    try:
        return _cursor(db, sql, params).rowcount  # type: ignore[no-any-return]
    except Exception as error:
        raise _translated(error) from error


def _cursor(db: Connection, sql: str, params: dict[str, Any]) -> Any:
    if isinstance(db, sqlite3.Connection):
        cursor = db.cursor()
        cursor.row_factory = sqlite3.Row  # a borrowed connection may think otherwise of its rows
        return cursor.execute(sql, params)
    from psycopg.rows import dict_row

    return db.cursor(row_factory=dict_row).execute(to_pyformat(sql), params)


_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|::|:([A-Za-z_]\w*)|%""", re.DOTALL)


@lru_cache(maxsize=1024)
def to_pyformat(sql: str) -> str:
    """``:name`` as psycopg writes it, leaving literals, comments and casts alone."""
    return _TOKEN.sub(lambda m: f"%({m[1]})s" if m[1] else m[0].replace("%", "%%"), sql)


def in_transaction(db: Connection) -> bool:
    if isinstance(db, sqlite3.Connection):
        return db.in_transaction
    return bool(db.info.transaction_status)  # 0 is IDLE


@contextmanager
def atomic(db: Connection, *, durable: bool = True) -> Iterator[None]:
    """All of the block is saved, or none of it. Blocks may nest; the outermost decides on durable.

    durable=False: the commit survives a crash of the process, but a power cut may take the last ones.
    """
    if in_transaction(db):
        begin, save, undo = "SAVEPOINT inner_", ["RELEASE inner_"], ["ROLLBACK TO inner_", "RELEASE inner_"]
        outermost = False
    else:
        begin, save, undo = _begin(db, durable), ["COMMIT"], ["ROLLBACK"]
        outermost = True
    relaxed = outermost and not durable and engine(db) == "sqlite"
    try:
        if relaxed:
            _run(db, "PRAGMA synchronous = NORMAL")
        _run(db, begin)
        try:
            yield
            for sql in save:
                _run(db, sql)
        except BaseException:
            for sql in undo:
                if in_transaction(db):  # a full disk or a lost server has rolled back already
                    with suppress(DatabaseError):
                        _run(db, sql)
            raise
    finally:
        if relaxed:
            _run(db, "PRAGMA synchronous = FULL")


def _begin(db: Connection, durable: bool) -> str:
    if engine(db) == "sqlite":
        return "BEGIN IMMEDIATE"
    wait = f"SET LOCAL lock_timeout = {int(BUSY_SECONDS * 1000)}"
    return f"BEGIN; {wait}" if durable else f"BEGIN; {wait}; SET LOCAL synchronous_commit = off"


def _run(db: Connection, sql: str) -> None:
    with _errors_mapped():
        cursor = db.execute(sql)
    if sql == "COMMIT" and engine(db) == "postgresql" and cursor.statusmessage != "COMMIT":
        # PostgreSQL answers ROLLBACK, without an error, when a statement of the block had failed.
        raise DatabaseError("The transaction was undone: one of its statements had failed.")


def lock(db: Connection, name: str) -> None:
    """One holder per name until the transaction ends. On SQLite the transaction is that lock."""
    if not in_transaction(db):
        raise RuntimeError("a lock taken outside atomic() would be gone at once")
    if engine(db) == "postgresql":
        with _errors_mapped():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (zlib.crc32(name.encode()),))


# -- errors ----------------------------------------------------------------------------------------


@contextmanager
def _errors_mapped() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _translated(error) from error


def _translated(error: Exception) -> Exception:
    if isinstance(error, sqlite3.Error):
        return _translated_sqlite(error)
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(error, psycopg.Error):
        return _translated_postgresql(error)
    return error


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _translated_sqlite(error: sqlite3.Error) -> Exception:
    if isinstance(error, sqlite3.IntegrityError):
        unique = getattr(error, "sqlite_errorcode", 0) in _UNIQUE
        return UniqueConflict(str(error)) if unique else RuleBroken(str(error))
    code = _primary_code(error)
    if code in _BUSY:
        return DatabaseBusy("The database is busy.")
    if code in _OUT_OF_ORDER or code in _NOT_A_DATABASE:
        return DatabaseUnavailable(f"The database cannot answer: {error}.")
    return error


def _translated_postgresql(error: Any) -> Exception:
    state = error.sqlstate
    if state == "23505":
        return UniqueConflict(error.diag.message_primary or "the row is there already")
    if state in _PG_BUSY:
        return DatabaseBusy("The database is busy.")
    if state is None:
        lost = type(error).__name__ in ("OperationalError", "InterfaceError")
        return DatabaseUnavailable("The PostgreSQL server was lost.") if lost else error
    if state.startswith(("22", "23", "P0001")):
        return RuleBroken(error.diag.message_primary or "a rule of the database was broken")
    if state.startswith(_PG_OUT_OF_ORDER):
        return DatabaseUnavailable("The PostgreSQL server cannot answer.")
    return error  # type: ignore[no-any-return]


# -- migrating -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Migration:
    """One numbered step: what it is called, the bytes that it came from, how it is applied."""

    number: int
    name: str
    source: bytes
    apply: Callable[[Connection], None]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.source).hexdigest()


def pending(db: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """What migrate would apply. An edited or unknown old migration is refused."""
    try:
        rows = fetch_all(db, "SELECT number, name, sha256 FROM billing_migrations")
    except Exception as error:
        if not _is_missing_table(error):
            raise
        return list(migrations)
    known = {migration.number: migration for migration in migrations}
    for row in rows:
        migration = known.get(row["number"])
        if migration is None:
            raise DatabaseRefused(f"The database is newer than this program: it has migration {row['number']:04d}.")
        if migration.sha256 != row["sha256"]:
            raise DatabaseRefused(f"Migration {row['number']:04d}_{row['name']} was edited after it had been applied.")
    done = {row["number"] for row in rows}
    return [migration for migration in migrations if migration.number not in done]


def _is_missing_table(error: Exception) -> bool:
    return "no such table" in str(error) or getattr(error, "sqlstate", None) == "42P01"


def migrate(db: Connection, migrations: Sequence[Migration], now: str) -> list[str]:
    """Apply what is pending, all of it or nothing. Safe with many starters: one applies, the rest see it done."""
    if not pending(db, migrations):
        return []
    with _foreign_keys_off(db), atomic(db):
        lock(db, "billing_migrations")
        todo = pending_in_lock(db, migrations)
        for migration in todo:
            migration.apply(db)
            execute(
                db,
                """INSERT INTO billing_migrations (number, name, sha256, applied_at)
                   VALUES (:number, :name, :sha256, :now)""",
                number=migration.number,
                name=migration.name,
                sha256=migration.sha256,
                now=now,
            )
        _check_foreign_keys(db)
    return [f"{migration.number:04d}_{migration.name}" for migration in todo]


def pending_in_lock(db: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    run_script(
        db,
        """CREATE TABLE IF NOT EXISTS billing_migrations (
               number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at TEXT NOT NULL);""",
    )
    return pending(db, migrations)


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
        for pragma in ("legacy_alter_table = OFF", "foreign_keys = ON"):
            db.execute(f"PRAGMA {pragma}")


def _check_foreign_keys(db: Connection) -> None:
    if engine(db) != "sqlite":
        return
    broken = fetch_all(db, "PRAGMA foreign_key_check")
    if broken:
        tables = ", ".join(sorted({row["table"] for row in broken}))
        raise DatabaseRefused(f"Rows point at rows that do not exist, in: {tables}. Nothing was changed.")


def run_script(db: Connection, sql: str) -> None:
    """Several statements, inside the caller's transaction (sqlite3's executescript would commit it)."""
    if engine(db) == "postgresql":
        with _errors_mapped():
            db.execute(sql)
        return
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(statement):
            execute(db, statement)
            statement = ""
    if re.sub(r"--[^\n]*", "", statement).strip():
        raise ValueError(f"an unfinished statement: {statement.strip()[:80]}")


# -- what the reference kept in this module ----------------------------------------------------------

_MOVED = {
    "Invoice": "turf_saas.records",
    "Transaction": "turf_saas.records",
    "ConsumptionLog": "turf_saas.records",
}


def __getattr__(name: str) -> Any:
    """Old names still import from here; they live a layer above, which this module does not know."""
    if name in _MOVED:
        return getattr(importlib.import_module(_MOVED[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def migrate_billing_tables() -> None:
    """The reference's command: bring the database of TURF_SAAS_DB up to date and say what was done."""
    settings = importlib.import_module("turf_saas.settings").read_settings(os.environ)
    db = connect(settings.database)
    try:
        applied = importlib.import_module("turf_saas.schema").migrate(db, datetime.now(UTC), settings)
    finally:
        db.close()
    print(f"[billing_db] {', '.join(applied) or 'nothing to do'}: the billing tables are ready.")


if __name__ == "__main__":
    migrate_billing_tables()
