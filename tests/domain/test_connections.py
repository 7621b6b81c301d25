"""Connections: one per thread and database, private files, nothing shared with a child, a lost server forgotten."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import billing_db
from billing_db import (
    Connection,
    DatabaseRefused,
    DatabaseUnavailable,
    atomic,
    execute,
    fetch_all,
    fetch_one,
    get_db,
    in_transaction,
)
from tests import postgres

ROOT = Path(__file__).parents[2]
on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


def in_a_thread(function: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(30)
    return found[0]


def backend(db: Connection) -> int:
    return int(db.info.backend_pid)


@pytest.fixture
def filled(empty_url: str) -> str:
    """A database with one table of numbers, empty."""
    with atomic(get_db(empty_url)):
        billing_db.run_script(get_db(empty_url), "CREATE TABLE numbers (n INTEGER);")
    return empty_url


def put(db: Connection, n: int) -> None:
    with atomic(db):
        execute(db, "INSERT INTO numbers (n) VALUES (:n)", n=n)


def numbers(db: Connection) -> list[int]:
    return [row["n"] for row in fetch_all(db, "SELECT n FROM numbers ORDER BY n")]


# -- one per thread


def test_a_thread_keeps_its_connection_and_shares_it_with_nobody(filled: str) -> None:
    mine = get_db(filled)
    assert get_db(filled) is mine
    assert in_a_thread(lambda: get_db(filled)) is not mine
    assert get_db(filled) is mine


@on_sqlite
def test_each_database_has_its_own_connection(filled: str, tmp_path: Path) -> None:
    another = get_db(str(tmp_path / "another.db"))
    assert another is not get_db(filled)
    assert fetch_one(another, "SELECT COUNT(*) AS n FROM sqlite_master")["n"] == 0


@on_sqlite
def test_a_file_is_closed_when_its_thread_ends(filled: str) -> None:
    def open_files() -> int:
        links = list(Path("/proc/self/fd").iterdir())
        return sum(1 for link in links if link.is_symlink() and str(link.readlink()).startswith(filled))

    def opened() -> int:
        put(get_db(filled), 1)
        return open_files()

    before = open_files()
    assert in_a_thread(opened) > before
    for _ in range(20):
        in_a_thread(opened)
    assert open_files() <= before + 1, "SQLite itself may keep one for the next to open"


@on_postgresql
def test_a_session_is_closed_when_its_thread_ends(filled: str) -> None:
    pid = in_a_thread(lambda: backend(get_db(filled)))
    gone = "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE pid = :pid"
    assert any(fetch_one(get_db(filled), gone, pid=pid)["n"] == 0 for _ in range(10_000))


SCRIPT = """
import sys, threading
from billing_db import atomic, execute, get_db
url = sys.argv[1]
def write():
    with atomic(get_db(url)):
        execute(get_db(url), "INSERT INTO numbers (n) VALUES (1)")
threads = [threading.Thread(target=write) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
write()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints, warnings being errors; nothing on stderr."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_program_ends_without_a_warning_or_a_file_left_over(filled: str, engine: str) -> None:
    billing_db.close_db()
    run(SCRIPT, filled)
    if engine == "sqlite":
        assert names(Path(filled).parent) == ["empty.db"], "the last to leave has closed it: no -wal, no -shm"
    assert numbers(get_db(filled)) == [1] * 9


def test_without_an_address_the_environment_names_it(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseRefused, match="TURF_SAAS_DB is not set"):
        get_db()
    monkeypatch.setenv("TURF_SAAS_DB", filled)
    assert get_db() is get_db(filled)


def test_a_file_that_another_is_just_setting_up_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite itself gives up at once here: who changes the journal mode is a reader already."""
    monkeypatch.setattr(billing_db, "BUSY_SECONDS", 30.0)
    path = str(tmp_path / "new.db")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    modes: list[str] = []

    def enter() -> None:
        with closing(billing_db.connect(path)) as db:
            modes.append(db.execute("PRAGMA journal_mode").fetchone()[0])

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive(), "it waits"
    other.execute("COMMIT")
    other.close()
    thread.join(30)
    assert modes == ["wal"]


# -- as the reference's code uses it


@on_sqlite
def test_code_that_opens_writes_commits_and_closes_goes_on_working(filled: str) -> None:
    for n in (1, 2):
        db = get_db(filled)
        db.execute("INSERT INTO numbers VALUES (?)", (n,))
        db.commit()
        row = db.execute("SELECT n, n + 1 AS next FROM numbers WHERE n = ?", (n,)).fetchone()
        assert (row[0], row["next"]) == (n, n + 1)
        db.close()
    assert numbers(get_db(filled)) == [1, 2]


def test_what_was_left_open_is_rolled_back_and_said(filled: str, caplog: pytest.LogCaptureFixture) -> None:
    db = get_db(filled)
    billing_db.roll_back_leftovers()
    assert caplog.text == ""
    db.execute("BEGIN")
    db.execute("INSERT INTO numbers VALUES (1)")
    billing_db.roll_back_leftovers()
    assert "left open: rolled back" in caplog.text
    assert get_db(filled) is db
    assert not in_transaction(db)
    put(db, 2)
    assert in_a_thread(lambda: numbers(get_db(filled))) == [2]


# -- a fork

FORK = """
import os, sys, threading
from billing_db import atomic, close_db, execute, fetch_one, get_db
url = sys.argv[1]
def put(n):
    with atomic(get_db(url)):
        execute(get_db(url), "INSERT INTO numbers (n) VALUES (:n)", n=n)
def child(work, leave=sys.exit):  # through the interpreter's whole end, where connections are freed
    pid = os.fork()
    if pid == 0:
        work()
        leave(0)
    return pid
"""

MANY = """
put(0)
asked, done = threading.Event(), threading.Event()
def another_thread():
    put(1); asked.set(); done.wait(30); put(2)
thread = threading.Thread(target=another_thread); thread.start(); asked.wait(30)
children = [child(lambda: [put(10) for _ in range(20)]) for _ in range(3)]
for _ in range(20):
    put(10)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
done.set(); thread.join()
put(3)
print(fetch_one(get_db(url), "SELECT COUNT(*) AS n FROM numbers")["n"])
"""

INSIDE = """
with atomic(get_db(url)):
    execute(get_db(url), "INSERT INTO numbers (n) VALUES (1)")
    mine = get_db(url)
    pid = child(lambda: print(fetch_one(get_db(url), "SELECT COUNT(*) AS n FROM numbers")["n"], flush=True), os._exit)
    assert os.waitpid(pid, 0)[1] == 0
    assert get_db(url) is mine
print(fetch_one(get_db(url), "SELECT COUNT(*) AS n FROM numbers")["n"])
"""

LAST_TO_LEAVE = """
import subprocess
put(1)
ready, told = os.pipe()
wait, go = os.pipe()
def work():
    os.close(go)
    put(2)
    os.write(told, b"r")
    os.read(wait, 1)
    put(3)
    os.kill(os.getpid(), 9)
pid = child(work)
os.read(ready, 1)
close_db()
again = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM numbers'); db.close()"
subprocess.run([sys.executable, "-c", again, url], check=True)
os.close(go)
os.waitpid(pid, 0)
print(fetch_one(get_db(url), "SELECT COUNT(*) AS n FROM numbers")["n"])
"""


def test_children_and_parent_write_side_by_side(filled: str) -> None:
    billing_db.close_db()
    assert run(FORK + MANY, filled) == "84\n"
    if not billing_db.is_postgresql(filled):
        assert fetch_one(get_db(filled), "PRAGMA integrity_check")["integrity_check"] == "ok"


def test_a_fork_inside_a_block_leaves_the_block_to_the_parent(filled: str) -> None:
    billing_db.close_db()
    assert run(FORK + INSIDE, filled) == "0\n1\n"


@on_sqlite
def test_a_child_holds_its_own_locks_when_the_parent_has_left(filled: str) -> None:
    """With an inherited connection the child would not: the next one to leave removes the -wal under its feet."""
    billing_db.close_db()
    assert run(FORK + LAST_TO_LEAVE, filled) == "3\n"


# -- a server that goes away


@pytest.fixture
def own_cluster(cluster: postgres.Cluster) -> postgres.Cluster:
    if cluster.folder is None:
        pytest.skip("TEST_POSTGRES_URL names a server that is not ours to restart")
    return cluster


@on_postgresql
def test_a_restarted_server_is_not_noticed_between_two_uses(filled: str, own_cluster: postgres.Cluster) -> None:
    before = get_db(filled)
    own_cluster.restart()
    after = get_db(filled)
    put(after, 1)
    assert numbers(after) == [1]
    assert after is not before


@on_postgresql
def test_a_session_ended_between_two_uses_is_opened_again(filled: str) -> None:
    other = billing_db.connect(filled)
    lost = get_db(filled)
    fetch_all(other, "SELECT pg_terminate_backend(:pid, 10000)", pid=backend(lost))
    put(get_db(filled), 1)
    assert numbers(other) == [1]
    assert get_db(filled) is not lost
    other.close()


@on_postgresql
def test_a_session_ended_inside_a_block_is_an_error_there_and_healed_after_it(filled: str) -> None:
    other = billing_db.connect(filled)
    lost = get_db(filled)
    with pytest.raises(DatabaseUnavailable), atomic(lost):  # noqa: PT012
        execute(lost, "INSERT INTO numbers VALUES (1)")
        fetch_all(other, "SELECT pg_terminate_backend(:pid, 10000)", pid=backend(lost))
        assert get_db(filled) is lost, "a new connection would write outside the block"
        execute(get_db(filled), "INSERT INTO numbers VALUES (2)")
    put(get_db(filled), 3)
    assert numbers(other) == [3]
    other.close()
