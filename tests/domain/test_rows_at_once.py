"""Many rows in few statements: each of them is written once, and a refusal takes all of the block back."""

from __future__ import annotations

import pytest

from billing_db import Connection, RuleBroken, atomic, execute, execute_many, fetch_all

INSERT = """INSERT INTO things (name, size, again) VALUES (:name, :size, :name)
            ON CONFLICT (name) DO UPDATE SET size = things.size + excluded.size"""


@pytest.fixture
def db(db: Connection) -> Connection:
    with atomic(db):
        execute(db, "CREATE TABLE things (name TEXT PRIMARY KEY, size INTEGER CHECK (size < 1000), again TEXT)")
    return db


def rows(count: int, size: int = 1) -> list[dict[str, object]]:
    return [{"unused": "?", "size": size, "name": f"thing {number}"} for number in range(count)]


def stored(db: Connection) -> list[tuple[object, ...]]:
    found = fetch_all(db, "SELECT name, size, again FROM things ORDER BY CAST(SUBSTR(name, 7) AS integer)")
    return [(row["name"], row["size"], row["again"]) for row in found]


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 39, 40, 41])
@pytest.mark.parametrize("at_once", [1, 20])
def test_each_row_is_written_once(db: Connection, count: int, at_once: int) -> None:
    expected = [(f"thing {number}", 1, f"thing {number}") for number in range(count)]
    with atomic(db):
        assert execute_many(db, INSERT, rows(count), at_once=at_once) == count
    assert stored(db) == expected
    with atomic(db):
        assert execute_many(db, INSERT, rows(count, size=5), at_once=at_once) == count
    assert stored(db) == [(name, 6, name) for name, _, _ in expected]


@pytest.mark.parametrize("wrong", [0, 19, 20, 39, 40])
def test_a_row_that_breaks_a_rule_takes_all_back(db: Connection, wrong: int) -> None:
    given = rows(41)
    given[wrong]["size"] = 1000
    with pytest.raises(RuleBroken), atomic(db):
        execute_many(db, INSERT, given, at_once=20)
    assert stored(db) == []


def test_rows_at_once_are_refused_outside_of_a_block_too(db: Connection) -> None:
    with pytest.raises(RuntimeError, match="inside atomic"):
        execute_many(db, INSERT, rows(20), at_once=20)


def test_a_value_that_is_missing_is_an_error_and_not_null(db: Connection) -> None:
    for count in (1, 20):
        given = rows(count)
        del given[0]["size"]
        with pytest.raises(Exception, match="size"), atomic(db):
            execute_many(db, INSERT, given, at_once=20)
    assert stored(db) == []
