"""A connection that the host lends: our rows are in its transaction, and only the host ends that.

Nothing here begins, commits or rolls back, and no setting of the connection is changed.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

from billing_db import Connection, DatabaseBusy, DatabaseRefused, fetch_one, in_transaction

_NEEDED = (
    "db= takes a connection of sqlite3 or psycopg 3, or SQLAlchemy's session or connection on one of them, not {}."
)
_AUTOCOMMIT = "The connection given as db= is in autocommit and no transaction is open: begin one, then call again."
_ELSEWHERE = "The connection given as db= is to a database without the billing tables: lend one to TURF_SAAS_DB."


def borrowed(given: Any) -> Connection:
    """The driver's connection in what a host hands over, inside a transaction that the host will end."""
    db = _driver_connection(given)
    try:
        if not in_transaction(db):
            _let_the_driver_begin(db)
        elif isinstance(db, sqlite3.Connection):  # on PostgreSQL a failing look would end the host's transaction
            db.execute("SELECT 1 FROM billing_installation")
    except Exception as error:
        if "database is locked" in str(error):
            raise DatabaseBusy("The database is busy.") from None
        if "no such table" in str(error) or getattr(error, "sqlstate", None) == "42P01":
            raise DatabaseRefused(_ELSEWHERE) from None
        raise
    return db


def _driver_connection(given: Any) -> Connection:
    found = given
    for _ in range(4):  # a scoped session, a session, a connection, the pool's wrapper
        if isinstance(found, sqlite3.Connection) or _is_psycopg(found):
            return found
        if getattr(found, "driver_connection", None) is not None:
            found = found.driver_connection
        else:
            inner = getattr(found, "connection", None)  # of a session a function, of a cursor the connection itself
            found = inner() if callable(inner) and not isinstance(inner, sqlite3.Connection) else inner
    if isinstance(found, sqlite3.Connection) or _is_psycopg(found):
        return found
    raise DatabaseRefused(_NEEDED.format(type(given).__name__))


def _is_psycopg(found: Any) -> bool:
    psycopg = sys.modules.get("psycopg")
    return psycopg is not None and isinstance(found, psycopg.Connection)


def _let_the_driver_begin(db: Connection) -> None:
    """Both drivers open a transaction by themselves before a statement, unless they were told not to."""
    if isinstance(db, sqlite3.Connection):
        if db.isolation_level is None or getattr(db, "autocommit", None) is True:
            raise DatabaseRefused(_AUTOCOMMIT)
        db.execute("UPDATE billing_installation SET id = id WHERE 0")  # it begins before a write only
        return
    if db.autocommit:
        raise DatabaseRefused(_AUTOCOMMIT)
    fetch_one(db, "SELECT 1 FROM billing_installation")
