"""A user reaches 80 % or all of a limit, or what the settings name: noted once a month, so that the host hears once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, atomic, execute, fetch_all
from turf_saas.quotas import Gauge
from turf_saas.settings import Settings
from turf_saas.users import User
from turf_saas.values import Month, UserId, instant_text

SENT_AT_ONCE = 100


class Crossing(NamedTuple):
    """The first time in a month that a user had used `percent` of the limit of a metric."""

    tenant_id: int
    user_id: UserId
    metric: str
    month: str
    percent: int
    used: int
    limit: int


def note_crossings(
    db: Connection, now: datetime, settings: Settings, user: User, month: Month, gauges: Sequence[Gauge]
) -> bool:
    """Note what is reached and was not before, in the caller's transaction; whether there was any."""
    new = 0
    for gauge in gauges:
        if gauge.limit is None or gauge.used <= 0:
            continue
        for percent in settings.alert_thresholds:
            if gauge.used * 100 < gauge.limit * percent:
                break
            new += execute(
                db,
                """INSERT INTO usage_thresholds (user_id, month, metric, percent, used, included, crossed_at, tenant_id)
                   VALUES (:user_id, :month, :metric, :percent, :used, :included, :now, :tenant_id)
                   ON CONFLICT DO NOTHING""",
                user_id=user.id,
                month=str(month),
                metric=gauge.metric,
                percent=percent,
                used=gauge.used,
                included=gauge.limit,
                now=instant_text(now),
                tenant_id=user.tenant_id,
            )
    return new > 0


def take_unsignalled(db: Connection, now: datetime) -> list[Crossing]:
    """What the host has not been told yet. Each is given to one caller only."""
    with atomic(db):
        rows = fetch_all(
            db,
            """UPDATE usage_thresholds SET signalled_at = :now
                WHERE signalled_at IS NULL AND (user_id, month, metric, percent) IN
                      (SELECT user_id, month, metric, percent FROM usage_thresholds
                        WHERE signalled_at IS NULL ORDER BY crossed_at LIMIT :most)
            RETURNING tenant_id, user_id, metric, month, percent, used, included""",
            now=instant_text(now),
            most=SENT_AT_ONCE,
        )
    found = [
        Crossing(
            row["tenant_id"], row["user_id"], row["metric"], row["month"], row["percent"], row["used"], row["included"]
        )
        for row in rows
    ]
    return sorted(found, key=lambda crossing: (crossing.month, crossing.percent))
