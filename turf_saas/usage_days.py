"""Reading what was used, a day at a time: calls that were counted and events that were reported, in one sum."""

from __future__ import annotations

from typing import NamedTuple

from billing_db import Connection, fetch_all, fetch_one
from turf_saas.values import UserId


class Day(NamedTuple):
    """A day's sum of a metric."""

    period_start: str
    metric: str
    total: int


def list_days(
    db: Connection,
    user_id: UserId,
    *,
    metric: str | None = None,
    first: str | None = None,
    last: str | None = None,
    limit: int | None = None,
    before: tuple[str, str] | None = None,
) -> list[Day]:
    """A user's daily sums, newest first; `before` is the day and metric after which the list goes on."""
    conditions = ["user_id = :user_id"]
    params: dict[str, UserId] = {"user_id": user_id}
    for condition, name, value in (
        ("metric = :metric", "metric", metric),
        ("day >= :first", "first", first),
        ("day <= :last", "last", last),
    ):
        if value is not None:
            conditions.append(condition)
            params[name] = value
    if before is not None:
        conditions.append("(day < :before_day OR (day = :before_day AND metric > :before_metric))")
        params |= {"before_day": before[0], "before_metric": before[1]}
    if limit is not None:
        params["limit"] = limit
    rows = fetch_all(
        db,
        f"""SELECT day, metric, CAST(SUM(quantity) AS BIGINT) AS total FROM daily_usage
             WHERE {" AND ".join(conditions)}
             GROUP BY day, metric ORDER BY day DESC, metric {"LIMIT :limit" if limit is not None else ""}""",  # noqa: S608  our own words
        **params,
    )
    return [Day(row["day"], row["metric"], row["total"]) for row in rows]


def total_of_day(db: Connection, tenant_id: int, metric: str, day: str) -> int:
    """What all users of a tenant used of a metric on a day."""
    row = fetch_one(
        db,
        """SELECT CAST(COALESCE(SUM(quantity), 0) AS BIGINT) AS total FROM daily_usage
            WHERE tenant_id = :tenant_id AND metric = :metric AND day = :day""",
        tenant_id=tenant_id,
        metric=metric,
        day=day,
    )
    return int(row["total"]) if row else 0
