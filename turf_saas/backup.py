"""A copy of the whole database in one file: one state of it while others write, read again before it has its name.

On SQLite the file is a database like the first one. On PostgreSQL it is what pg_dump writes, for pg_restore.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from billing_db import Connection, DatabaseBusy, DatabaseError, connect, engine, fetch_all, fetch_one, snapshot
from turf_saas.errors import Conflict, Unavailable
from turf_saas.new_files import absolute, give_name, unnamed
from turf_saas.register_proof import Head, list_heads
from turf_saas.settings import Settings
from turf_saas.status import get_status
from turf_saas.values import instant_text, plain

BESIDE = ("-wal", "-shm", "-journal")  # what SQLite would read together with a file of that name


@dataclass(frozen=True)
class Backup:
    """What lies in the file.

    pending: the migrations that this program has and the copy has not; counts: its rows, None before the first
    migration; chains: where each tenant's chain of invoices ends in it.
    """

    file: str
    engine: str
    bytes: int
    taken_at: str
    pending: list[str]
    counts: Mapping[str, int] | None
    chains: list[Head]


def backup(db: Connection, now: datetime, settings: Settings, file: Path, *, dry_run: bool = False) -> Backup:
    """The copy lies under this name, on the disk and seen to be sound. dry_run: what it would be, and nothing stays."""
    file = absolute(file)
    for name in (f"{file}{ending}" for ending in BESIDE):
        if os.path.lexists(name):
            raise Conflict("file_exists", file=name)
    with unnamed(file) as temporary:
        if engine(db) == "sqlite":
            made = _of_sqlite(db, now, settings, file, temporary, dry_run=dry_run)
        else:
            made = _of_postgresql(db, now, settings, file, temporary, dry_run=dry_run)
        if not dry_run:
            _put_on_the_disk(temporary)
            give_name(temporary, file)
    return made


def _told(db: Connection, now: datetime, settings: Settings, file: Path, size: int) -> Backup:
    """What the given state of a database is."""
    found = get_status(db, now, settings)
    whole = found.applied and not found.pending and not found.absent
    heads = list_heads(db, None) if whole else []
    return Backup(str(file), found.engine, size, instant_text(now), found.pending, found.counts, heads)


def _put_on_the_disk(temporary: Path) -> None:
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())


# -- SQLite ----------------------------------------------------------------------------------------


def _of_sqlite(
    db: sqlite3.Connection, now: datetime, settings: Settings, file: Path, temporary: Path, *, dry_run: bool
) -> Backup:
    if dry_run:
        with snapshot(db):
            row = fetch_one(db, "SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size")
            assert row is not None
            return _told(db, now, settings, file, int(row["bytes"]))
    _copy(db, temporary)
    try:
        with closing(connect(str(temporary), create=False, wal=False)) as copy:
            said = [row["integrity_check"] for row in fetch_all(copy, "PRAGMA integrity_check(5)")]
            if said == ["ok"]:
                return _told(copy, now, settings, file, temporary.stat().st_size)
    except DatabaseError as error:
        said = [str(error)]
    raise Unavailable("backup_damaged", reason=plain(" ".join(said), most=300))


def _copy(db: sqlite3.Connection, temporary: Path) -> None:
    """All pages in one step: a copy in several steps begins anew whenever somebody writes, and never ends."""

    def refuse_to_wait(status: int, _remaining: int, _total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):  # longer than the connection waits
            raise DatabaseBusy("The database is busy.")

    try:
        with closing(sqlite3.connect(f"{temporary.as_uri()}?mode=rw", uri=True)) as copy:
            db.backup(copy, pages=-1, progress=refuse_to_wait)
    except sqlite3.Error as error:
        raise Unavailable("backup_failed", reason=plain(error, most=300)) from None


# -- PostgreSQL ------------------------------------------------------------------------------------


def _of_postgresql(
    db: Connection, now: datetime, settings: Settings, file: Path, temporary: Path, *, dry_run: bool
) -> Backup:
    """What is told is read from the very state that is dumped."""
    dump, restore = shutil.which("pg_dump"), shutil.which("pg_restore")
    if dump is None or restore is None:
        raise Unavailable("backup_needs_pg_dump")
    with snapshot(db):
        row = fetch_one(db, "SELECT pg_export_snapshot() AS name, pg_database_size(current_database()) AS bytes")
        assert row is not None
        if dry_run:
            return _told(db, now, settings, file, int(row["bytes"]))
        words = ["--format=custom", "--no-password", "--lock-wait-timeout=60s", f"--snapshot={row['name']}"]
        where, secret = _address(settings.database)
        _run([dump, *words, f"--file={temporary}", f"--dbname={where}"], secret)
        _run([restore, f"--file={os.devnull}", str(temporary)], {})
        return _told(db, now, settings, file, temporary.stat().st_size)


def _address(url: str) -> tuple[str, dict[str, str]]:
    """Where the database is, and the password, for the environment: others see the words of a command.

    As it was given: what psycopg makes of it holds options that an older pg_dump does not know.
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    given = conninfo_to_dict(f"postgresql://{url.partition('://')[2]}")
    password = given.pop("password", None)
    return make_conninfo("", **given), {"PGPASSWORD": str(password)} if password else {}


def _run(words: list[str], secret: Mapping[str, str]) -> None:
    done = subprocess.run(  # noqa: S603  a program of the PATH, and words of ours
        words, check=False, stdin=subprocess.DEVNULL, capture_output=True, env={**os.environ, **secret}
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit {done.returncode}"]
        raise Unavailable("backup_failed", reason=plain(said[0], most=300))
