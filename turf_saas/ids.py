"""Ids of new rows: those that the database counts up, though somebody may have written some by hand, and our own."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from billing_db import Connection, UniqueConflict, engine, fetch_all, fetch_one, lock, quoted

TRIES = 10


def insert_row(db: Connection, table: str, id_column: str, **values: Any) -> int:
    """The new row's id. SQLite steps over ids that are taken; a PostgreSQL sequence does not know of them."""
    names, params = ", ".join(values), ", ".join(f":{name}" for name in values)
    for _ in range(TRIES):
        row = fetch_one(
            db,
            f"""INSERT INTO {quoted(table)} ({names}) VALUES ({params})
                ON CONFLICT DO NOTHING RETURNING {quoted(id_column)} AS id""",  # noqa: S608  names are our own
            **values,
        )
        if row is not None:
            return int(row["id"])
        _step_over_taken_ids(db, table, id_column)
    raise UniqueConflict(f"no free id was found in {table}")


def draw_ids(db: Connection, table: str, id_column: str, count: int) -> list[int]:
    """Ids for rows that are still to be written: so that what belongs to them can be written in one go.

    On SQLite the caller's transaction keeps everybody else out.
    """
    if engine(db) != "postgresql":
        row = fetch_one(db, "SELECT seq FROM sqlite_sequence WHERE name = :table", table=table)
        last = row["seq"] if row else 0
        return list(range(last + 1, last + 1 + count))
    found: list[int] = []
    for _ in range(TRIES):
        drawn = fetch_all(
            db,
            f"""SELECT new.id, old.{quoted(id_column)} IS NOT NULL AS taken
                  FROM (SELECT nextval(pg_get_serial_sequence(:table, :id_column)) AS id
                          FROM generate_series(1, :count)) AS new
                  LEFT JOIN {quoted(table)} AS old ON old.{quoted(id_column)} = new.id ORDER BY new.id""",  # noqa: S608
            table=quoted(table),
            id_column=id_column,
            count=count - len(found),
        )
        found += [row["id"] for row in drawn if not row["taken"]]
        if len(found) == count:
            return found
        _step_over_taken_ids(db, table, id_column)
    raise UniqueConflict(f"no free ids were found in {table}")


def _step_over_taken_ids(db: Connection, table: str, id_column: str) -> None:
    if engine(db) != "postgresql":
        return
    lock(db, f"billing_ids_{table}")
    fetch_one(
        db,
        f"""SELECT setval(sequence, GREATEST(nextval(sequence),
                                             (SELECT MAX({quoted(id_column)}) FROM {quoted(table)})))
              FROM (SELECT CAST(pg_get_serial_sequence(:table, :id_column) AS regclass) AS sequence) AS the""",  # noqa: S608
        table=quoted(table),
        id_column=id_column,
    )


def new_ids(now: datetime, count: int) -> list[str]:
    """Ids that nobody can guess, which sort by the instant they were made at: new rows lie together at the end."""
    first = (int(now.timestamp() * 1000) << 80) + secrets.randbits(79)
    return [f"{first + number:032x}" for number in range(count)]
