"""What the drivers report is one small family of errors, the same on both engines, and shows no row."""

# ruff: noqa: PT012  a block that fails is written with its failure inside

from __future__ import annotations

import logging
import sqlite3
import threading
import traceback
from collections.abc import Iterator
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
)

PRIVATE = "bob@private.example"
TABLES = """
CREATE TABLE people (
    id INTEGER PRIMARY KEY,
    email TEXT UNIQUE,
    age BIGINT CHECK (age >= 0),
    name TEXT NOT NULL DEFAULT '',
    friend INTEGER REFERENCES people (id)
);
"""
TRIGGER = {
    "sqlite": """
        CREATE TRIGGER no_age_of_99 BEFORE UPDATE ON people WHEN NEW.age = 99
        BEGIN
            SELECT RAISE(ABORT, 'nobody is 99');
        END;
        """,
    "postgresql": """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'nobody is 99';
        END $$;
        CREATE TRIGGER no_age_of_99 BEFORE UPDATE ON people FOR EACH ROW WHEN (NEW.age = 99) EXECUTE FUNCTION refuse();
        """,
}
on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def _a_short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billing_db, "BUSY_SECONDS", 0.1)


@pytest.fixture
def db(empty_url: str, engine: str) -> Iterator[Connection]:
    db = billing_db.connect(empty_url)
    with atomic(db):
        billing_db.run_script(db, TABLES)
        billing_db.run_script(db, TRIGGER[engine])
        execute(db, "INSERT INTO people (id, email, age) VALUES (1, :email, 40)", email=PRIVATE)
    yield db
    db.close()


@pytest.fixture
def other(empty_url: str, db: Connection) -> Iterator[Connection]:
    other = billing_db.connect(empty_url)
    yield other
    other.close()


FAULTS: list[tuple[str, dict[str, Any], type[DatabaseError]]] = [
    ("INSERT INTO people (id, email) VALUES (2, :e)", {"e": PRIVATE}, UniqueConflict),
    ("INSERT INTO people (id, email) VALUES (1, :e)", {"e": PRIVATE + "x"}, UniqueConflict),
    ("INSERT INTO people (id, email, friend) VALUES (2, :e, 77)", {"e": PRIVATE + "x"}, RuleBroken),
    ("INSERT INTO people (id, email, age) VALUES (2, :e, -1)", {"e": PRIVATE + "x"}, RuleBroken),
    ("INSERT INTO people (id, email, name) VALUES (2, :e, NULL)", {"e": PRIVATE + "x"}, RuleBroken),
    ("UPDATE people SET age = 99 WHERE email = :e", {"e": PRIVATE}, RuleBroken),
    ("UPDATE people SET age = :age", {"age": 2**63}, RuleBroken),
    ("UPDATE people SET age = :age", {"age": -(2**63) - 1}, RuleBroken),
    ("UPDATE people SET age = :age", {"age": 10**40}, RuleBroken),
]


@pytest.mark.parametrize(("sql", "params", "kind"), FAULTS)
def test_a_broken_rule_has_a_name_and_shows_no_row(
    db: Connection, sql: str, params: dict[str, Any], kind: type[DatabaseError], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DatabaseError) as caught, atomic(db):
        execute(db, sql, **params)
    assert type(caught.value) is kind
    logging.getLogger("a host's").error("refused", exc_info=caught.value)
    told = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert PRIVATE not in told
    assert "people" in str(caught.value) or "99" in str(caught.value) or kind is RuleBroken
    assert [(row["id"], row["age"]) for row in fetch_all(db, "SELECT id, age FROM people")] == [(1, 40)]


def test_the_largest_integers_fit(db: Connection) -> None:
    for age in (0, 2**63 - 1):
        with atomic(db):
            execute(db, "UPDATE people SET age = :age", age=age)
        assert fetch_one(db, "SELECT age FROM people")["age"] == age


@on_postgresql
def test_a_value_that_the_server_cannot_read_is_not_quoted(db: Connection) -> None:
    for sql, params in (
        ("UPDATE people SET age = CAST(:v AS TEXT)::bigint", {"v": PRIVATE}),
        ("UPDATE people SET name = :v", {"v": f"{PRIVATE}\0"}),
    ):
        with pytest.raises(RuleBroken) as caught, atomic(db):
            execute(db, sql, **params)
        assert PRIVATE not in "".join(traceback.format_exception(caught.value))


@on_sqlite
def test_a_text_beyond_what_sqlite_holds_breaks_a_rule(db: Connection) -> None:
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000)
    with pytest.raises(RuleBroken), atomic(db):
        execute(db, "UPDATE people SET name = :v", v="x" * 1001)


def test_a_mistake_in_the_sql_stays_the_drivers_own_error(db: Connection) -> None:
    for sql in ("SELECT * FROM nowhere", "SELEKT 1", "SELECT :missing AS v"):
        with pytest.raises(Exception, match=r"nowhere|SELEKT|missing") as caught:
            fetch_all(db, sql)
        assert not isinstance(caught.value, DatabaseError)


# -- somebody else is there


def test_a_database_held_by_another_is_busy_and_then_free_again(db: Connection, other: Connection, engine: str) -> None:
    with atomic(other):
        if engine == "postgresql":
            other.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(DatabaseBusy, match=r"^The database is busy\.$"):
                fetch_all(db, "SELECT id FROM people")
        else:
            assert len(fetch_all(db, "SELECT id FROM people")) == 1, "a reader never waits for a writer"
        with pytest.raises(DatabaseBusy, match=r"^The database is busy\.$"), atomic(db):
            execute(db, "UPDATE people SET age = 41")
    with atomic(db):
        assert execute(db, "UPDATE people SET age = 41") == 1


@on_sqlite
def test_a_reader_waits_for_a_program_that_keeps_the_file_for_itself(empty_url: str, db: Connection) -> None:
    db.close()
    holder = sqlite3.connect(empty_url, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("UPDATE people SET age = 40")
    with pytest.raises(DatabaseBusy):
        billing_db.connect(empty_url)
    holder.close()
    free = billing_db.connect(empty_url)
    assert len(fetch_all(free, "SELECT id FROM people")) == 1
    free.close()


@on_postgresql
def test_of_two_that_wait_for_each_other_one_goes_on(
    empty_url: str, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(billing_db, "BUSY_SECONDS", 20.0)
    with atomic(db):
        execute(db, "INSERT INTO people (id) VALUES (2)")
    both_hold_one = threading.Barrier(2, timeout=20)
    outcomes: list[str] = []

    def update(first: int, second: int) -> None:
        mine = billing_db.connect(empty_url)
        mine.execute("SET deadlock_timeout = '50ms'")
        try:
            with atomic(mine):
                execute(mine, "UPDATE people SET age = 1 WHERE id = :id", id=first)
                both_hold_one.wait()
                execute(mine, "UPDATE people SET age = 1 WHERE id = :id", id=second)
            outcomes.append("saved")
        except DatabaseBusy:
            outcomes.append("busy")
        finally:
            mine.close()

    threads = [threading.Thread(target=update, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["busy", "saved"]


# -- the database cannot answer


def test_a_database_that_became_read_only_is_unavailable_for_writes_alone(db: Connection, engine: str) -> None:
    db.execute("PRAGMA query_only = ON" if engine == "sqlite" else "SET default_transaction_read_only = on")
    with pytest.raises(DatabaseUnavailable, match=r"read-?only"), atomic(db):
        execute(db, "UPDATE people SET age = 41")
    assert fetch_one(db, "SELECT age FROM people")["age"] == 40


@on_postgresql
def test_a_connection_ended_by_the_server_is_unavailable(db: Connection, other: Connection) -> None:
    with pytest.raises(DatabaseUnavailable), atomic(db):
        fetch_all(other, "SELECT pg_terminate_backend(:pid)", pid=db.info.backend_pid)
        execute(db, "UPDATE people SET age = 41")
    with pytest.raises(DatabaseUnavailable), atomic(db):
        pytest.fail("a block began on a lost connection")
    assert fetch_one(other, "SELECT age FROM people")["age"] == 40


@on_sqlite
def test_a_file_damaged_while_in_use_is_unavailable(empty_url: str, db: Connection) -> None:
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(empty_url, "r+b") as file:  # noqa: PTH123
        file.seek(4096)
        file.write(b"\xff" * 4096)
    reader = billing_db.connect(empty_url)
    with pytest.raises(DatabaseUnavailable, match="malformed"):
        fetch_all(reader, "SELECT * FROM people")
    reader.close()
