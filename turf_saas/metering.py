"""What is reported from outside: it is recorded and, in the same transaction, seen against the limits.

No quota refuses it: it has happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, atomic
from turf_saas import quotas, thresholds, usage
from turf_saas.quotas import Gauge, Level, worst_level
from turf_saas.settings import Settings
from turf_saas.usage import NewEvent, Recorded
from turf_saas.users import User
from turf_saas.values import Month, UserId


class Report(NamedTuple):
    """`crossed`: a threshold was reached for the first time, so the host has to be told."""

    results: list[Recorded]
    worst_level: Level | None
    crossed: bool


def report_event(db: Connection, now: datetime, settings: Settings, event: NewEvent) -> Report:
    with atomic(db):
        recorded = usage.record_event(db, now, settings, event)
        return _seen(db, now, settings, [event], [recorded])


def report_events(db: Connection, now: datetime, settings: Settings, events: Sequence[NewEvent]) -> Report:
    """All of them or none."""
    with atomic(db):
        return _seen(db, now, settings, events, usage.record_events(db, now, settings, events))


def correct(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    corrects: str,
    quantity: int,
    *,
    key: str | None = None,
    metadata: str | None = None,
) -> Report:
    recorded = usage.correct_event(db, now, settings, tenant_id, corrects, quantity, key=key, metadata=metadata)
    return Report([recorded], None, crossed=False)


def _seen(
    db: Connection, now: datetime, settings: Settings, events: Sequence[NewEvent], results: list[Recorded]
) -> Report:
    month = Month.of(now, settings.timezone)
    tenants: dict[UserId, int] = {event.user_id: event.tenant_id for event in events}
    touched = {
        (event.user_id, event.metric) for event, recorded in zip(events, results, strict=True) if not recorded.duplicate
    }
    near: dict[UserId, list[Gauge]] = {}
    levels = []
    for user_id, gauge in quotas.list_gauges(db, now, settings, list(tenants)):
        levels.append(gauge)
        if (user_id, gauge.metric) in touched:
            near.setdefault(user_id, []).append(gauge)
    crossed = False
    for user_id, gauges in near.items():
        user = User(user_id, tenants[user_id], "user")
        crossed |= thresholds.note_crossings(db, now, settings, user, month, gauges)
    return Report(results, worst_level(levels), crossed)
