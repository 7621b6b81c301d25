"""The last event behind a line: what was recorded last of the use that it bills."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from billing_db import Connection, Row, fetch_all, fetch_one
from turf_saas.values import UserId


class LastUse(NamedTuple):
    """An event; of API calls, which have none, and of what was archived, the day alone."""

    day: str
    quantity: int
    id: str | None = None
    at: str | None = None
    recorded_at: str | None = None


# By two indexes: an event with a key is found by its user in usage_keys.
_SOURCES = (
    "usage_events AS e WHERE e.user_id = :user_id AND e.idempotency_key IS NULL",
    "usage_keys AS k JOIN usage_events AS e ON e.id = k.event_id WHERE k.user_id = :user_id",
)
LOOKED_AT = 20  # events that may have come in while the invoice was being issued


def find_last_event(
    db: Connection,
    user_id: UserId,
    metric: str,
    days: tuple[date, date],
    billed: Mapping[str, int],
    until: str,
) -> LastUse | None:
    """Of these days, recorded until then and billed; None where there is none, or none any more.

    An event of the very second, or one that was still being written, need not be billed: it is when what the day comes
    to without all that came after it is what was billed of the day.
    """
    rows = _list_events(db, user_id, metric, days, until)
    for row in rows:
        if _sum_of_day(db, user_id, metric, row["day"]) - _sum_after(db, user_id, metric, row) == billed.get(
            row["day"], 0
        ):
            return _last_use(row)
    # Somebody has counted into the day without an event: then what is earlier than the second is taken for billed.
    return next((_last_use(row) for row in rows if row["recorded_at"] < until), None)


def _last_use(row: Row) -> LastUse:
    return LastUse(row["day"], row["quantity"], row["id"], row["at"], row["recorded_at"])


def _list_events(db: Connection, user_id: UserId, metric: str, days: tuple[date, date], until: str) -> list[Row]:
    """The newest first."""
    found = _ask(
        db,
        """SELECT e.id, e.day, e.quantity, e.at, e.recorded_at FROM {}
              AND e.metric = :metric AND e.day BETWEEN :first AND :last AND e.recorded_at <= :until
            ORDER BY e.id DESC LIMIT :most""",
        user_id=user_id,
        metric=metric,
        first=days[0].isoformat(),
        last=days[1].isoformat(),
        until=until,
        most=LOOKED_AT,
    )
    return sorted(found, key=lambda row: row["id"], reverse=True)[:LOOKED_AT]


def _sum_of_day(db: Connection, user_id: UserId, metric: str, day: str) -> int:
    row = fetch_one(
        db,
        "SELECT total FROM usage_aggregates WHERE user_id = :user_id AND metric = :metric AND period_start = :day",
        user_id=user_id,
        metric=metric,
        day=day,
    )
    return row["total"] if row else 0


def _sum_after(db: Connection, user_id: UserId, metric: str, event: Row) -> int:
    found = _ask(
        db,
        "SELECT COALESCE(SUM(e.quantity), 0) AS total FROM {} AND e.metric = :metric AND e.day = :day AND e.id > :id",
        user_id=user_id,
        metric=metric,
        day=event["day"],
        id=event["id"],
    )
    return sum(int(row["total"]) for row in found)


def _ask(db: Connection, sql: str, **params: Any) -> list[Row]:
    return [row for source in _SOURCES for row in fetch_all(db, sql.format(source), **params)]
