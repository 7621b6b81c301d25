"""What billing_db promises about statements and transactions, on both engines."""

# ruff: noqa: PT012  a block that fails is written with its failure inside

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import billing_db
from billing_db import (
    Connection,
    DatabaseBusy,
    DatabaseError,
    DatabaseUnavailable,
    RuleBroken,
    UniqueConflict,
    atomic,
    execute,
    fetch_all,
    fetch_one,
    in_transaction,
    to_pyformat,
)

ROOT = Path(__file__).parents[2]
on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
THINGS = """
CREATE TABLE things (
    id INTEGER PRIMARY KEY,
    name TEXT UNIQUE,
    quantity BIGINT NOT NULL DEFAULT 0,
    part_of INTEGER REFERENCES things (id) DEFERRABLE INITIALLY DEFERRED
);
"""


@pytest.fixture
def connected(empty_url: str) -> Iterator[Callable[[], Connection]]:
    """Connections to one database that holds an empty table of things."""
    opened: list[Connection] = []

    def connect() -> Connection:
        opened.append(billing_db.connect(empty_url))
        return opened[-1]

    with atomic(connect()):
        billing_db.run_script(opened[0], THINGS)
    yield connect
    for each in opened:
        each.close()


@pytest.fixture
def db(connected: Callable[[], Connection]) -> Connection:
    return connected()


@pytest.fixture
def other(connected: Callable[[], Connection]) -> Connection:
    """Somebody else, who sees only what was committed."""
    return connected()


def put(db: Connection, number: int, **columns: Any) -> None:
    columns["id"] = number
    marks = ", ".join(f":{name}" for name in columns)
    execute(db, f"INSERT INTO things ({', '.join(columns)}) VALUES ({marks})", **columns)


def ids(db: Connection) -> list[int]:
    return [row["id"] for row in fetch_all(db, "SELECT id FROM things ORDER BY id")]


# -- all of it, or none of it


def test_a_block_is_saved_as_a_whole_at_its_end(db: Connection, other: Connection) -> None:
    with atomic(db):
        put(db, 1)
        put(db, 2)
        assert in_transaction(db)
        assert ids(other) == []
    assert not in_transaction(db)
    assert ids(other) == [1, 2]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whatever_leaves_a_block_early_undoes_all_of_it(db: Connection, interruption: type[BaseException]) -> None:
    with pytest.raises(interruption), atomic(db):
        put(db, 1)
        raise interruption
    assert not in_transaction(db)
    assert ids(db) == []
    with atomic(db):
        put(db, 2)
    assert ids(db) == [2]


def test_an_inner_block_that_fails_is_undone_alone(db: Connection, other: Connection) -> None:
    with atomic(db):
        put(db, 1)
        with pytest.raises(ValueError, match="inner"), atomic(db):
            put(db, 2)
            with atomic(db):
                put(db, 3)
            raise ValueError("inner")
        put(db, 4)
    assert ids(other) == [1, 4]


def test_a_block_after_a_failed_inner_one_is_undone_from_its_own_beginning(db: Connection) -> None:
    with atomic(db):
        put(db, 1)
        with pytest.raises(ValueError, match="middle"), atomic(db):
            put(db, 2)
            with pytest.raises(ValueError, match="inner"), atomic(db):
                raise ValueError("inner")
            raise ValueError("middle")
    assert ids(db) == [1]


def test_an_outer_block_that_fails_undoes_the_inner_ones(db: Connection) -> None:
    with pytest.raises(ValueError, match="outer"), atomic(db):
        with atomic(db):
            put(db, 1)
        raise ValueError("outer")
    assert ids(db) == []


def test_a_conflict_caught_around_an_inner_block_leaves_the_outer_one_usable(db: Connection) -> None:
    with atomic(db):
        put(db, 1, name="a")
        with pytest.raises(UniqueConflict), atomic(db):
            put(db, 2, name="a")
        put(db, 3, name="c")
    assert ids(db) == [1, 3]


def test_a_failure_swallowed_inside_a_block_never_looks_saved_when_it_is_not(db: Connection, engine: str) -> None:
    def swallow() -> None:
        with atomic(db):
            put(db, 1, name="a")
            with pytest.raises(UniqueConflict):
                put(db, 2, name="a")

    if engine == "sqlite":
        swallow()
        assert ids(db) == [1]
    else:  # the server undoes everything, and answers COMMIT without an error
        with pytest.raises(DatabaseError, match="one of its statements had failed"):
            swallow()
        assert ids(db) == []
    assert not in_transaction(db)


@on_postgresql
def test_a_failure_swallowed_inside_an_inner_block_is_reported_there(db: Connection) -> None:
    with atomic(db):
        put(db, 1, name="a")
        with pytest.raises(DatabaseError, match="one of its statements had failed"), atomic(db):
            with pytest.raises(UniqueConflict):
                put(db, 2, name="a")
            with pytest.raises(DatabaseError, match="one of its statements had failed"):
                put(db, 3)
    assert ids(db) == [1]


def test_a_rule_that_is_checked_at_the_end_undoes_the_block(db: Connection) -> None:
    with pytest.raises(RuleBroken), atomic(db):
        put(db, 1, part_of=7)
    assert not in_transaction(db)
    assert ids(db) == []


def test_a_connection_closed_inside_a_block_tells_the_blocks_own_error(db: Connection, other: Connection) -> None:
    with pytest.raises(ValueError, match="the cause"), atomic(db, durable=False):
        put(db, 1)
        db.close()
        raise ValueError("the cause")
    assert ids(other) == []


# -- durable or not


def durability(db: Connection, engine: str) -> str:
    if engine == "sqlite":
        return {1: "relaxed", 2: "full"}[db.execute("PRAGMA synchronous").fetchone()[0]]
    return {"off": "relaxed", "on": "full"}[fetch_all(db, "SHOW synchronous_commit")[0]["synchronous_commit"]]


def test_only_a_block_that_asks_for_it_is_less_durable(db: Connection, engine: str) -> None:
    for _ in range(3):
        with atomic(db, durable=False):
            assert durability(db, engine) == "relaxed"
            put(db, 1)
            with atomic(db):
                assert durability(db, engine) == "relaxed", "the outermost block decides"
        assert durability(db, engine) == "full"
        with atomic(db):
            assert durability(db, engine) == "full"
            with atomic(db, durable=False):
                assert durability(db, engine) == "full", "the outermost block decides"
            execute(db, "DELETE FROM things")


def test_full_durability_returns_after_a_failure(db: Connection, engine: str) -> None:
    with pytest.raises(KeyboardInterrupt), atomic(db, durable=False):
        raise KeyboardInterrupt
    assert durability(db, engine) == "full"


@on_sqlite  # on PostgreSQL a block begins without waiting for anybody
def test_full_durability_returns_when_a_block_could_not_begin(
    empty_url: str, engine: str, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(billing_db, "BUSY_SECONDS", 0.05)
    db = billing_db.connect(empty_url)
    with atomic(other), pytest.raises(DatabaseBusy), atomic(db, durable=False):
        pytest.fail("the block began beside another writer")
    assert durability(db, engine) == "full"
    db.close()


# -- a full disk


@on_sqlite
def test_a_full_database_is_unavailable_and_works_again_when_there_is_room(db: Connection) -> None:
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(DatabaseUnavailable, match="full"), atomic(db):
        put(db, 1)
        put(db, 2, name="x" * 100_000)
    assert ids(db) == []
    assert not in_transaction(db)
    db.execute("PRAGMA max_page_count = 100000")
    with atomic(db):
        put(db, 3, name="x" * 100_000)
    assert ids(db) == [3]


def fill_the_disk(path: str) -> None:
    """Run in a process of its own, where no file may grow past 64 KiB for a while."""
    db = billing_db.connect(path)
    with atomic(db):
        put(db, 1)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable), atomic(db):
            put(db, 2, name="x" * 200_000)
        assert ids(db) == [1], "what was there can be read"
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    with atomic(db):
        put(db, 3, name="x" * 200_000)
    assert ids(db) == [1, 3]
    assert fetch_one(db, "PRAGMA integrity_check")["integrity_check"] == "ok"
    print("done")


@on_sqlite
@pytest.mark.usefixtures("db")
def test_a_disk_that_refuses_to_grow_loses_nothing_that_was_saved(empty_url: str) -> None:
    code = f"from tests.domain.test_billing_db import fill_the_disk; fill_the_disk({empty_url!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


# -- statements


WRITES = (
    "INSERT INTO things (id) VALUES (1)",
    "\n  insert into things (id) values (1) RETURNING id",
    "-- why\nDELETE FROM things",
    "/* a */ UPDATE things SET quantity = 1",
    "DROP TABLE things",
    "CREATE TABLE more (id INTEGER)",
)


@pytest.mark.parametrize("ask", [execute, fetch_all, fetch_one])
def test_a_write_outside_a_block_is_refused(db: Connection, ask: Callable[..., Any]) -> None:
    for statement in WRITES:
        with pytest.raises(RuntimeError, match=r"inside atomic\(\)"):
            ask(db, statement)
        assert not in_transaction(db)
    assert ids(db) == []


def test_reading_needs_no_block_and_leaves_none_open(db: Connection) -> None:
    assert fetch_one(db, "SELECT id FROM things WHERE id = :id", id=1) is None
    assert fetch_one(db, "-- delete nothing\nSELECT 1 AS one")["one"] == 1
    assert fetch_one(db, "WITH a AS (SELECT 2 AS two) SELECT two FROM a")["two"] == 2
    assert not in_transaction(db)


def test_rows_are_read_by_name_and_writes_say_how_many_they_changed(db: Connection) -> None:
    with atomic(db):
        put(db, 1, name="a")
        put(db, 2, name="b")
        assert execute(db, "UPDATE things SET quantity = quantity + :more", more=2**53) == 2
        assert execute(db, "UPDATE things SET quantity = 0 WHERE id = :id", id=9) == 0
        assert fetch_all(db, "DELETE FROM things WHERE id = :id", id=9) == []
        returned = fetch_all(db, "INSERT INTO things (id) VALUES (3), (4) RETURNING id, quantity AS q")
        assert [(row["id"], row["q"]) for row in returned] == [(3, 0), (4, 0)]
        again = "INSERT INTO things (id) VALUES (4) ON CONFLICT DO NOTHING RETURNING id"
        assert fetch_one(db, again) is None
    assert fetch_one(db, "SELECT name, quantity FROM things WHERE id = 2")["quantity"] == 2**53


@pytest.mark.parametrize(
    ("sql", "params", "value"),
    [
        ("SELECT ':a' || :a AS v", {"a": "b"}, ":ab"),
        ("SELECT 'it''s :a' AS v", {}, "it's :a"),
        ("SELECT '100%' AS v", {}, "100%"),
        ("SELECT 7 % :a AS v", {"a": 4}, 3),
        ("SELECT 1 AS v -- :a and 5 % of 'it", {}, 1),
        ("SELECT /* :a % ' */ 2 AS v", {}, 2),
        ('SELECT 3 AS "v", 4 AS ":a%"', {}, 3),
        ("SELECT CAST(:a AS TEXT) AS v", {"a": "x"}, "x"),
        ("SELECT :a AS v WHERE :a = :a", {"a": 5}, 5),
        ("SELECT 'a' AS v WHERE 'abc' LIKE '%b%'", {}, "a"),
        ("SELECT :a_b1 AS v", {"a_b1": 1}, 1),
    ],
)
def test_one_text_means_the_same_on_both_engines(db: Connection, sql: str, params: dict[str, Any], value: Any) -> None:
    assert fetch_one(db, sql, **params)["v"] == value


def test_a_cast_is_not_a_parameter() -> None:
    assert to_pyformat("SELECT :a::text, b::int") == "SELECT %(a)s::text, b::int"


def test_a_borrowed_connection_gives_rows_by_name_and_keeps_its_own_ways(empty_url: str, engine: str) -> None:
    if engine == "sqlite":
        borrowed: Any = sqlite3.connect(empty_url)
    else:
        import psycopg

        borrowed = psycopg.connect(empty_url)
    try:
        assert fetch_one(borrowed, "SELECT :a AS a, 2 AS b", a=1)["b"] == 2
        assert borrowed.execute("SELECT 1").fetchone() == (1,)
    finally:
        borrowed.close()


# -- a lock by name


def test_a_lock_outside_a_block_is_refused(db: Connection) -> None:
    with pytest.raises(RuntimeError, match="gone at once"):
        billing_db.lock(db, "numbers")


@on_postgresql  # on SQLite the transaction itself is the lock
def test_two_may_hold_two_names_but_not_one(empty_url: str, other: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billing_db, "BUSY_SECONDS", 0.05)
    db = billing_db.connect(empty_url)
    with atomic(other):
        billing_db.lock(other, "numbers")
        with atomic(db):
            billing_db.lock(db, "something else")
        with pytest.raises(DatabaseBusy), atomic(db):
            billing_db.lock(db, "numbers")
    with atomic(db):
        billing_db.lock(db, "numbers")
    db.close()


def add_under_the_lock(url: str, times: int) -> None:
    """Read, then write: safe only if nobody else is between the two."""
    db = billing_db.connect(url)
    for _ in range(times):
        with atomic(db):
            billing_db.lock(db, "sum")
            found = fetch_one(db, "SELECT quantity FROM things WHERE id = 1")
            execute(db, "UPDATE things SET quantity = :q WHERE id = 1", q=found["quantity"] + 1)
    db.close()


def test_processes_take_turns_under_one_name(empty_url: str, db: Connection) -> None:
    with atomic(db):
        put(db, 1)
    code = f"from tests.domain.test_billing_db import add_under_the_lock; add_under_the_lock({empty_url!r}, 50)"
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=os.environ) for _ in range(4)]
    assert [each.wait(60) for each in started] == [0, 0, 0, 0]
    assert fetch_one(db, "SELECT quantity FROM things")["quantity"] == 200


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_text_that_cannot_be_read_does_not_hold_the_connection_in_the_past(url: str) -> None:
    reading, writing = billing_db.connect(url), billing_db.connect(url)
    with atomic(writing):
        execute(writing, "INSERT INTO tenants (id, name) VALUES (7, CAST(x'70e9' AS TEXT))")
    kept = None
    try:
        fetch_all(reading, "SELECT name FROM tenants ORDER BY id")
    except Exception as error:
        kept = error  # its frames keep the cursor
    assert kept is not None
    with atomic(writing):
        execute(writing, "UPDATE tenants SET name = 'mended' WHERE id = 7")
    assert [row["name"] for row in fetch_all(reading, "SELECT name FROM tenants WHERE id = 7")] == ["mended"]
    with atomic(reading):
        execute(reading, "DELETE FROM tenants WHERE id = 7")
    reading.close()
    writing.close()
