"""The last event behind a line: what was recorded last of the use that it bills."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from billing_db import Connection, fetch_all
from turf_saas.values import UserId


class LastUse(NamedTuple):
    """An event; of API calls, which have none, and of what was archived, the day alone."""

    day: str
    quantity: int
    id: str | None = None
    at: str | None = None
    recorded_at: str | None = None


# By two indexes: an event with a key is found by its user in usage_keys.
_UNKEYED = "usage_events AS e WHERE e.user_id = :user_id AND e.idempotency_key IS NULL"
_KEYED = "usage_keys AS k JOIN usage_events AS e ON e.id = k.event_id WHERE k.user_id = :user_id"


def find_last_event(
    db: Connection, user_id: UserId, metric: str, first: date, last: date, until: str
) -> LastUse | None:
    """Of these days, recorded until then; None where there is none, or none any more."""
    found = [
        row
        for source in (_UNKEYED, _KEYED)
        for row in fetch_all(
            db,
            f"""SELECT e.id, e.day, e.quantity, e.at, e.recorded_at FROM {source}
                   AND e.metric = :metric AND e.day BETWEEN :first AND :last AND e.recorded_at <= :until
                 ORDER BY e.id DESC LIMIT 1""",  # noqa: S608  constants
            user_id=user_id,
            metric=metric,
            first=first.isoformat(),
            last=last.isoformat(),
            until=until,
        )
    ]
    row = max(found, key=lambda row: row["id"], default=None)
    return LastUse(row["day"], row["quantity"], row["id"], row["at"], row["recorded_at"]) if row else None
