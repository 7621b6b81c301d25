"""What tests of the tables read and write."""

from __future__ import annotations

from typing import Any

from billing_db import Connection, atomic, execute
from tests.domain.reference_database import rows


def change(db: Connection, sql: str, **params: Any) -> None:
    with atomic(db):
        execute(db, sql, **params)


def counters(db: Connection) -> dict[tuple[int, str, str], int]:
    found = rows(db, "SELECT user_id, metric, month, used FROM usage_counters")
    return {(user_id, metric, month): used for user_id, metric, month, used in found}


def months(db: Connection) -> dict[str, int]:
    """Alice's API calls per month, months at nothing left out."""
    return {month: used for (user_id, _, month), used in sorted(counters(db).items()) if user_id == 1 and used}
