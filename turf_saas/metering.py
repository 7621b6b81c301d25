"""What is reported from outside: it is recorded and, in the same transaction, seen against the limits.

No quota refuses it: it has happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, atomic
from turf_saas import quotas, reservations, thresholds, usage
from turf_saas.errors import InvalidInput
from turf_saas.quotas import Gauge, Level, worst_level
from turf_saas.rehearsal import rehearsal
from turf_saas.reservations import Reservation
from turf_saas.settings import Settings
from turf_saas.usage import EventFault, EventsRefused, NewEvent, Recorded
from turf_saas.users import User
from turf_saas.values import Month, UserId


class Report(NamedTuple):
    """What was recorded, the worst level of the users it was about, and whether the host has to be told of a threshold.

    `crossed`: one was reached for the first time.
    """

    results: list[Recorded]
    worst_level: Level | None
    crossed: bool


def report_event(db: Connection, now: datetime, settings: Settings, event: NewEvent) -> Report:
    """The event as it is on record, and where its user stands with it; Conflict or InvalidInput, and it is not."""
    prepared = usage.prepare(now, settings, [event])
    with atomic(db):
        return _seen(db, now, settings, [event], [usage.add_one(db, now, prepared)])


def report_events(db: Connection, now: datetime, settings: Settings, events: Sequence[NewEvent]) -> Report:
    """All of the events as they are on record, and where their users stand; EventsRefused, and none of them is."""
    prepared = usage.prepare(now, settings, events)
    with atomic(db):
        return _seen(db, now, settings, events, usage.add_prepared(db, now, prepared))


def list_faults(db: Connection, now: datetime, settings: Settings, events: Sequence[NewEvent]) -> list[EventFault]:
    """What would be refused of them. Nothing of them stays on record."""
    try:
        with rehearsal(db, dry_run=True):
            usage.record_events(db, now, settings, events)
    except EventsRefused as refused:
        return refused.of_events
    except InvalidInput:  # of no event by itself, such as a day that is full
        pass
    return []


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
    """The correction as it is on record: see usage.correct_event. What becomes less reaches no threshold."""
    recorded = usage.correct_event(db, now, settings, tenant_id, corrects, quantity, key=key, metadata=metadata)
    return Report([recorded], None, crossed=False)


class Settled(NamedTuple):
    """`crossed` as in Report."""

    reservation: Reservation
    worst_level: Level | None
    crossed: bool


def settle(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int | None,
    reservation_id: str,
    quantity: int,
    *,
    user_id: UserId | None = None,
) -> Settled:
    """The true quantity of what was held: see reservations.settle."""
    with atomic(db):
        settled = reservations.settle(db, now, settings, tenant_id, reservation_id, quantity, user_id=user_id)
        event = NewEvent(settled.user_id, settled.tenant_id, settled.metric, quantity)
        report = _seen(db, now, settings, [event], [Recorded(settled.id, duplicate=quantity == 0)])
    return Settled(settled, report.worst_level, report.crossed)


def _seen(
    db: Connection, now: datetime, settings: Settings, events: Sequence[NewEvent], results: list[Recorded]
) -> Report:
    month = Month.of(now, settings.timezone)
    tenants: dict[UserId, int] = {event.user_id: event.tenant_id for event in events}
    near = quotas.list_near_limits(db, now, settings, tenants)
    if not near:
        return Report(results, None, crossed=False)
    touched = {
        (event.user_id, event.metric) for event, recorded in zip(events, results, strict=True) if not recorded.duplicate
    }
    to_note: dict[UserId, list[Gauge]] = {}
    for user_id, gauge in near:
        if (user_id, gauge.metric) in touched:
            to_note.setdefault(user_id, []).append(gauge)
    crossed = False
    for user_id, gauges in to_note.items():
        user = User(user_id, tenants[user_id], "user")
        crossed |= thresholds.note_crossings(db, now, settings, user, month, gauges)
    return Report(results, worst_level(gauge for _, gauge in near), crossed)
