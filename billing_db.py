"""The door to the data: how we talk to a database, never what is in it.

A path names a SQLite file, a ``postgresql://`` URL a PostgreSQL database. One SQL text serves both:
parameters are written ``:name`` and every row is read by column name. Connections are the drivers'
own, so a host can hand in one of its own wherever a function takes ``db``.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import re
import select
import sqlite3
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain, count
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, NoReturn

logger = logging.getLogger("turf_saas.billing_db")

Connection = Any  # sqlite3.Connection or psycopg.Connection
Row = Any  # read by column name on both engines

BUSY_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 0.2  # each look at the file is a wait among busy threads
OLDEST_SQLITE = (3, 35, 0)
_POSTGRESQL = re.compile(r"postgres(ql)?(\+psycopg)?://")  # also as SQLAlchemy writes it


class DatabaseError(Exception):
    """What went wrong in the database, in one sentence that shows no row and no password."""


class UniqueConflict(DatabaseError):
    """The row is there already: a UNIQUE constraint said no."""


class RuleBroken(DatabaseError):
    """The row breaks another rule: a foreign key, a CHECK, a trigger or a column's type said no."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot answer now (lost, full, read-only). Trying again later may work."""


class DatabaseBusy(DatabaseUnavailable):
    """Somebody else held the database longer than we wait."""


class DatabaseRefused(DatabaseError):
    """What was configured is not a database that we can use. Nothing was created or changed."""


# -- connecting ------------------------------------------------------------------------------------


def connect(url: str, *, create: bool = True, wal: bool = True) -> Connection:
    """A new connection that the caller closes, inside the app use get_db. wal=False: the journal stays what it is."""
    return _connect_postgresql(url) if is_postgresql(url) else _connect_sqlite(sqlite_path(url), create, wal)


def is_postgresql(url: str) -> bool:
    return _POSTGRESQL.match(url) is not None


def sqlite_path(url: str) -> Path:
    """The file that a setting names, as an absolute path."""
    text = url.removeprefix("sqlite:///")
    if not text or text == ":memory:" or text.startswith("file:") or "\0" in text:
        raise DatabaseRefused(f"TURF_SAAS_DB={url!r} must name a file: every thread opens it again.")
    scheme = re.match(r"\s*([A-Za-z][A-Za-z0-9+.-]+:(//)?|[A-Za-z]://)", text)  # C: alone is a drive
    if scheme:  # the rest may hold a password
        raise DatabaseRefused(f"TURF_SAAS_DB='{scheme[1]}…' is neither a path nor a postgresql:// URL.")
    return Path(os.path.expanduser(text)).absolute()  # noqa: PTH111  it never fails


def _connect_sqlite(path: Path, create: bool, wal: bool) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise DatabaseRefused(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed.")
    _prepare_file(path, create)
    file = f"{path.as_uri()}?mode=rw"  # SQLite itself makes none
    try:
        # IMMEDIATE: whoever writes with the bare driver takes the lock at once and cannot fail half-way up.
        db = sqlite3.connect(file, BUSY_SECONDS, isolation_level="IMMEDIATE", check_same_thread=False, uri=True)
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA recursive_triggers = ON")  # else REPLACE deletes without telling the triggers
            db.execute("PRAGMA synchronous = FULL")
            _use_wal(db, wanted=wal)
            db.execute("PRAGMA schema_version").fetchone()  # makes its -wal, which _Held knows it by
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            raise DatabaseRefused(f"{path} is not a SQLite database.") from error
        _fail(error)
    return db


def _prepare_file(path: Path, create: bool) -> None:
    """Made private to its owner if missing; SQLite gives the same mode to its -wal and -shm files."""
    try:
        if path.is_dir():
            raise DatabaseRefused(f"{path} is a folder, not a database file.")
        if not create and not path.exists():
            raise DatabaseUnavailable(f"The database file {path} is not there.")
        if not path.parent.is_dir():
            raise DatabaseRefused(f"The folder {path.parent} does not exist, so no database was created there.")
        with suppress(FileExistsError):
            # An existing file is never opened here: closing it again would drop SQLite's locks in this process.
            if create:
                os.close(os.open(os.path.realpath(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
                logger.info("created an empty database file: %s", path)
        if not (os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
            raise DatabaseRefused(f"{path} and its folder must be readable and writable here.")
    except OSError as error:
        raise DatabaseRefused(f"{path} cannot be created: {error.strerror}.") from error


def _use_wal(db: sqlite3.Connection, *, wanted: bool) -> None:
    """Several starters may switch a new file at once, and there SQLite does not always wait: so we do."""
    deadline = time.monotonic() + BUSY_SECONDS
    while db.execute("PRAGMA journal_mode").fetchone()[0] != "wal" and wanted:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return  # a file system without shared memory keeps its own mode
        except sqlite3.OperationalError as error:
            if not isinstance(_known(error), DatabaseBusy) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _connect_postgresql(url: str) -> Connection:
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise DatabaseRefused("PostgreSQL needs psycopg: pip install 'psycopg[binary]'.") from error
    where: dict[str, Any] = {}
    address = _POSTGRESQL.sub("postgresql://", url)
    try:
        # The URL's own words win. Keepalives notice a server that vanished without a goodbye.
        where = {"connect_timeout": int(BUSY_SECONDS), "keepalives_idle": 30, **conninfo_to_dict(address)}
        # prepare_threshold: a prepared statement would outlive its pgbouncer transaction.
        db: Any = psycopg.connect(autocommit=True, row_factory=psycopg.rows.dict_row, prepare_threshold=None, **where)
    except psycopg.ProgrammingError:  # its text quotes the URL
        raise DatabaseRefused("TURF_SAAS_DB is not a valid postgresql:// URL.") from None
    except psycopg.Error as error:  # so may this one's; what the server itself said is safe
        said = re.search(r"FATAL: +(.*)", str(error))
        host = str(where.get("host") or "this machine").rpartition("@")[2]
        reason = said[1] if said else "no server answers there"
        raise DatabaseUnavailable(f"PostgreSQL on {host} cannot be used: {reason}.") from None
    db.adapters.register_loader("uuid", psycopg.types.string.TextLoader)  # a user's key is an int or a text
    _run(db, f"SET lock_timeout = {_patience()}")
    return db


def _patience() -> int:
    return max(1, int(BUSY_SECONDS * 1000))  # milliseconds; for PostgreSQL 0 would be for ever


class _Held:
    """One thread's connection. It is closed when the thread ends, by the process that opened it."""

    db: Connection = None  # not yet

    def __init__(self, url: str, *, create: bool) -> None:
        self.pid = os.getpid()
        self.path = "" if is_postgresql(url) else str(sqlite_path(url))
        file, seen = _files(self.path), _seen.get(self.path, (None, None))
        if None not in (*file, *seen) and file[0] != seen[0] and file[1] == seen[1]:  # SQLite would mix the two
            way_out = "put the old file back, or remove its -wal and -shm"
            raise DatabaseRefused(f"{self.path} was replaced, but the old one's -wal is there: {way_out}.")
        self.looked = 0.0
        self.db = connect(url, create=create or self.path not in _seen)
        self.file = file[0] or _files(self.path)[0]
        _seen[self.path] = _files(self.path)

    def usable(self) -> bool:
        state = self.state()
        if state is not False:
            return bool(state)  # inside a transaction a lost one is given too: a new one would write outside the block
        if not self.path:
            return not self._was_hung_up()
        if time.monotonic() - self.looked < LOOK_AGAIN_SECONDS:
            return True
        self.looked = time.monotonic()
        return bool(_identity(self.path) == self.file)

    def state(self) -> bool | None:
        """Whether a transaction is open, or None when the connection is closed or another process's."""
        try:
            gone = self.pid != os.getpid() or getattr(self.db, "closed", False)
            return None if gone else in_transaction(self.db)
        except sqlite3.ProgrammingError:  # closed
            return None

    def _was_hung_up(self) -> bool:
        """A server that went away leaves its goodbye on the socket: ask again only then."""
        poll = select.poll()
        poll.register(self.db.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
        if poll.poll(0):
            try:
                self.db.execute("SELECT 1")
            except Exception:
                self.close()
        return bool(self.db.closed)

    def close(self) -> None:
        """In a child process the parent's connection is kept for ever: to close or free it would hurt the parent."""
        if self.pid == os.getpid():
            with suppress(Exception):
                self.db.close()
        else:
            import ctypes

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.db))

    __del__ = close


def _identity(path: str) -> tuple[int, ...] | None:
    """Which file stands here now, as inode and device: whatever is put in its place has others."""
    try:
        return os.stat(path)[1:3]  # noqa: PTH116  asked at every get_db
    except OSError:
        return None


def _files(path: str) -> tuple[Any, Any]:
    return _identity(path), _identity(f"{os.path.realpath(path)}-wal")


_seen: dict[str, tuple[Any, Any]] = {}  # the file, and its -wal, that this process last opened at a path
_of_this_thread = threading.local()  # in its __dict__: _Held by url


def get_db(url: str | None = None, *, create: bool = False) -> Connection:
    """This thread's connection to url (or TURF_SAAS_DB), kept. A file is made at its first use, or if asked."""
    url = (os.environ.get("TURF_SAAS_DB") or None) if url is None else url
    if url is None:
        raise DatabaseRefused("TURF_SAAS_DB is not set: give the path of the SQLite file.")
    held = vars(_of_this_thread).get(url)
    if held is None or not held.usable():
        held = vars(_of_this_thread)[url] = _Held(url, create=create)
    return held.db


def close_db() -> None:
    """Close what get_db opened for this thread."""
    vars(_of_this_thread).clear()


def list_open() -> list[Connection]:
    """This thread's connections that are inside a transaction."""
    return [held.db for held in vars(_of_this_thread).values() if held.state()]


def roll_back_leftovers(but: Sequence[Connection] = ()) -> None:
    """End what this thread left open, so that nobody's later commit saves it or waits for it."""
    for held in vars(_of_this_thread).values():
        if held.state() and held.db not in but:
            logger.error("a transaction was left open: rolled back")
            try:
                held.db.rollback()
            except Exception:
                held.close()


def _close_before_fork() -> None:
    """SQLite's file locks do not pass to a child, which would believe that it holds them: so none is inherited."""
    for held in vars(_of_this_thread).values():
        if held.state() is False:
            held.close()


os.register_at_fork(before=_close_before_fork)
atexit.register(close_db)


# -- asking ----------------------------------------------------------------------------------------


def engine(db: Connection) -> Literal["sqlite", "postgresql"]:
    return "sqlite" if isinstance(db, sqlite3.Connection) else "postgresql"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def fetch_all(db: Connection, sql: str, /, **params: Any) -> list[Row]:
    """The rows, all of them: a statement with RETURNING is finished only then."""
    cursor = None
    try:
        cursor = _cursor(db, sql, params)
        return cursor.fetchall() if cursor.description else []
    except Exception as error:
        if cursor is not None:
            cursor.close()  # a text that is not UTF-8: the statement would go on reading an old state
        _fail(error)


def fetch_one(db: Connection, sql: str, /, **params: Any) -> Row | None:
    """The first row, or None."""
    rows = fetch_all(db, sql, **params)
    return rows[0] if rows else None


def fetch_each(db: Connection, sql: str, /, **params: Any) -> Iterator[Row]:
    """The rows one after the other, in little memory however many there are. Inside a transaction."""
    try:
        if engine(db) == "sqlite":
            yield from _cursor(db, sql, params)
            return
        _run(db, "SET LOCAL cursor_tuple_fraction = 1")  # planned for all of the rows, not for the first of them
        with db.cursor(f"each_{next(_numbers)}", row_factory=sys.modules["psycopg"].rows.dict_row) as cursor:
            cursor.itersize = 5000
            yield from cursor.execute(to_pyformat(sql), params)
    except Exception as error:
        _fail(error)


_numbers = count()


def execute(db: Connection, sql: str, /, **params: Any) -> int:
    """Run one statement, without RETURNING, and say how many rows it changed."""
    try:
        return _cursor(db, sql, params).rowcount  # type: ignore[no-any-return]
    except Exception as error:
        _fail(error)


def execute_many(db: Connection, sql: str, rows: Sequence[Mapping[str, Any]], /, *, at_once: int = 1) -> int:
    """Run one statement for each row, and say how many rows were changed in all.

    at_once: how many rows SQLite takes in one INSERT … VALUES (…). That is faster where new rows lie together. Where
    each has a page of its own it is slower: all of them are copied, for half of a statement may have to be undone.
    """
    try:
        changed = first = 0
        if at_once > 1 and engine(db) == "sqlite":
            for first in range(at_once, len(rows) + 1, at_once):
                changed += _together(db, sql, rows[first - at_once : first])
        left = rows[first:]
        return changed + (_cursor(db, sql, left, many=True).rowcount if left else 0)
    except Exception as error:
        _fail(error)


def _together(db: sqlite3.Connection, sql: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """All of the rows in one statement."""
    _refuse_outside_of_atomic(db, sql)
    text, values_of = _by_place(sql)
    repeated = _VALUES.sub(lambda row: ", ".join([row[0]] * len(rows)), text)
    return db.cursor().execute(repeated, tuple(chain.from_iterable(map(values_of, rows)))).rowcount


_VALUES = re.compile(r"(?<=VALUES )\([^()]*\)")


def run_script(db: Connection, sql: str) -> None:
    """Several statements, inside the caller's transaction (sqlite3's executescript would commit it)."""
    if engine(db) == "postgresql":
        _run(db, sql)
        return
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(statement):
            execute(db, statement)
            statement = ""
    if re.sub(r"--[^\n]*", "", statement).strip():
        raise ValueError(f"an unfinished statement: {statement.strip()[:80]}")


_WRITE = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:INSERT|UPDATE|DELETE|REPLACE|MERGE|TRUNCATE|CREATE|ALTER|DROP)\b", re.S | re.I
)


def _refuse_outside_of_atomic(db: Connection, sql: str) -> None:
    if not in_transaction(db) and _WRITE.match(sql):
        raise RuntimeError(f"a write stands inside atomic(), or nobody commits it: {sql.strip()[:60]}")


def _cursor(db: Connection, sql: str, params: Any, *, many: bool = False) -> Any:
    _refuse_outside_of_atomic(db, sql)
    # Rows by name, whatever a borrowed connection thinks of its own.
    if isinstance(db, sqlite3.Connection):
        cursor = db.cursor()
        cursor.row_factory = sqlite3.Row
        text, values_of = _by_place(sql)
        return cursor.executemany(text, map(values_of, params)) if many else cursor.execute(text, values_of(params))
    cursor = db.cursor(row_factory=sys.modules["psycopg"].rows.dict_row)
    if not many:
        return cursor.execute(to_pyformat(sql), params)
    cursor.executemany(to_pyformat(sql), params)
    return cursor


_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|::|:([A-Za-z_]\w*)|%""", re.DOTALL)


@lru_cache(maxsize=1024)
def _by_place(sql: str) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    """``:name`` as ``?``, and what puts the values in their places: sqlite3 looks each name up for every row."""
    names = [token[1] for token in _TOKEN.finditer(sql) if token[1]]
    text = _TOKEN.sub(lambda token: "?" if token[1] else token[0], sql)
    return text, itemgetter(*names) if len(names) > 1 else lambda params: tuple(params[name] for name in names)


@lru_cache(maxsize=1024)
def to_pyformat(sql: str) -> str:
    """``:name`` as psycopg writes it, leaving literals, comments and casts alone."""
    return _TOKEN.sub(lambda m: f"%({m[1]})s" if m[1] else m[0].replace("%", "%%"), sql)


def in_transaction(db: Connection) -> bool:
    return db.in_transaction if isinstance(db, sqlite3.Connection) else bool(db.pgconn.transaction_status)  # 0: IDLE


class atomic:  # noqa: N801  read as a verb: `with atomic(db):`
    """All of the block is saved, or none of it. Blocks may nest; the outermost decides on durable.

    durable=False: the commit survives a crash of the process, but a power cut may take the last ones.
    wait=False: a lock that somebody else holds is DatabaseBusy at once.
    """

    def __init__(self, db: Connection, *, durable: bool = True, wait: bool = True) -> None:
        self._db, self._durable, self._wait = db, durable, wait

    def __enter__(self) -> None:
        db = self._db
        self._nested = in_transaction(db)
        if self._nested:
            _run(db, "SAVEPOINT inner_")
        elif isinstance(db, sqlite3.Connection):
            self._begin_sqlite(db)
        else:  # each time: behind pgbouncer the next transaction may be on another server connection
            begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {_patience() if self._wait else 1}"
            _run(db, begin if self._durable else f"{begin}; SET LOCAL synchronous_commit = off")

    def _begin_sqlite(self, db: sqlite3.Connection) -> None:
        try:
            if not self._durable:
                _run(db, "PRAGMA synchronous = NORMAL")
            if not self._wait:
                _run(db, "PRAGMA busy_timeout = 0")
            _run(db, "BEGIN IMMEDIATE")
        finally:
            if not self._wait:
                _run(db, f"PRAGMA busy_timeout = {_patience()}")
            if not db.in_transaction:
                self._tighten()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        saved = None
        try:
            if kind is None:
                saved = _run(self._db, "RELEASE inner_" if self._nested else "COMMIT")
        finally:
            if saved is None:
                self._undo()
            self._tighten()
        if saved is not None and not self._nested and getattr(saved, "statusmessage", "COMMIT") != "COMMIT":
            # PostgreSQL answers ROLLBACK, without an error, when a statement of the block had failed.
            raise DatabaseError(_ALREADY_FAILED)

    def _undo(self) -> None:
        """A full disk or a lost server has rolled back already; what cannot be undone is cut off."""
        with suppress(Exception):  # the block's own error is the one to tell
            for sql in ("ROLLBACK TO inner_", "RELEASE inner_") if self._nested else ("ROLLBACK",):
                if in_transaction(self._db):
                    self._db.execute(sql)
        with suppress(Exception):
            if not self._nested and in_transaction(self._db):
                self._db.close()

    def _tighten(self) -> None:
        if not (self._durable or self._nested) and isinstance(self._db, sqlite3.Connection):
            with suppress(sqlite3.ProgrammingError):  # closed in the block: the next one opens as FULL
                self._db.execute("PRAGMA synchronous = FULL")


def _run(db: Connection, sql: str) -> Any:
    try:
        return db.execute(sql)
    except Exception as error:
        _fail(error)


@contextmanager
def snapshot(db: Connection) -> Iterator[None]:
    """All that the block reads is one state of the database, while writers go on. It writes nothing."""
    if in_transaction(db):
        raise RuntimeError("a transaction that is open already may have seen an older state")
    _run(db, "BEGIN" if engine(db) == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        with suppress(Exception):  # the block's own error is the one to tell
            db.rollback()


def lock(db: Connection, name: str) -> None:
    """One holder per name until the transaction ends. On SQLite the transaction is that lock."""
    if not in_transaction(db):
        raise RuntimeError("a lock taken outside atomic() would be gone at once")
    if engine(db) == "postgresql":
        _run(db, f"SELECT pg_advisory_xact_lock({zlib.crc32(name.encode())})")


# -- errors ----------------------------------------------------------------------------------------

_ALREADY_FAILED = "The transaction was undone: one of its statements had failed."
_DOES_NOT_FIT = "A value does not fit the database."
_CANNOT = "The database cannot answer: {}."

# How PostgreSQL's SQLSTATE or SQLite's error name begins, what it means, and what to say ({} is the driver's sentence).
_MEANINGS: tuple[tuple[str, type[DatabaseError], str], ...] = (
    ("23505 SQLITE_CONSTRAINT_UNIQUE SQLITE_CONSTRAINT_PRIMARYKEY SQLITE_CONSTRAINT_ROWID", UniqueConflict, "{}"),
    ("22 SQLITE_TOOBIG", RuleBroken, _DOES_NOT_FIT),  # PostgreSQL's own sentence shows the value
    ("23 P0001 SQLITE_CONSTRAINT SQLITE_MISMATCH", RuleBroken, "{}"),
    # Serialization, deadlock, lock timeout, cancelled; held, or a lost race for the WAL's locks.
    ("40001 40P01 55P03 57014 SQLITE_BUSY SQLITE_LOCKED SQLITE_PROTOCOL", DatabaseBusy, "The database is busy."),
    ("25P02", DatabaseError, _ALREADY_FAILED),
    # Lost, read-only, full, stopping, disk.
    ("08 25006 53 57P 58 SQLITE_READONLY SQLITE_IOERR SQLITE_FULL SQLITE_CANTOPEN", DatabaseUnavailable, _CANNOT),
    ("SQLITE_CORRUPT SQLITE_NOTADB", DatabaseUnavailable, _CANNOT),
)


def _fail(error: Exception) -> NoReturn:
    """Raise what it means, or itself. It is not chained: PostgreSQL writes the row into it, and a log would keep it."""
    raise _known(error) or error from None


def _known(error: Exception) -> DatabaseError | None:
    state = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    if state is not None:
        said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
        for states, kind, sentence in _MEANINGS:
            if state.startswith(tuple(states.split())):
                return kind(sentence.format(said))
        return None
    # The drivers' own findings: an integer beyond 64 bits, a text beyond the limit or with a NUL; a dead socket.
    psycopg = sys.modules.get("psycopg")
    if isinstance(error, (OverflowError, sqlite3.DataError)) or (psycopg and isinstance(error, psycopg.DataError)):
        return RuleBroken(_DOES_NOT_FIT)
    if psycopg and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return DatabaseUnavailable("The PostgreSQL server was lost.")
    return None


# -- what the reference kept in this module ----------------------------------------------------------


def __getattr__(name: str) -> Any:
    """Old names still import from here; they live a layer above, which this module does not know."""
    if name in ("Invoice", "Transaction", "ConsumptionLog"):
        return getattr(importlib.import_module("turf_saas.records"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def migrate_billing_tables() -> None:
    """The reference's command: bring the database of TURF_SAAS_DB up to date and say what was done."""
    settings = importlib.import_module("turf_saas.settings").read_settings(os.environ)
    with closing(connect(settings.database)) as db:
        report = importlib.import_module("turf_saas.schema").migrate(db, datetime.now(UTC), settings)
    print(f"[billing_db] {', '.join(report.applied) or 'nothing to do'}: the billing tables are ready.")


if __name__ == "__main__":
    try:  # not this copy of the module, whose errors nobody else raises
        importlib.import_module("billing_db").migrate_billing_tables()
    except Exception as error:
        sys.exit(f"[billing_db] {error}")
