"""What Stripe tells us: each event is stored once and applied in the same transaction, in whatever order it comes.

What is about something that we do not know yet waits for it, and what fails is tried again and then parked: neither
is ever lost, and `flask billing webhooks` shows both.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from billing_db import Connection, DatabaseUnavailable, Row, atomic, engine, execute, fetch_all, fetch_one
from turf_saas import jobs, stripe_events
from turf_saas.errors import Conflict, Malformed
from turf_saas.notices import Notice
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Unknown
from turf_saas.stripe_objects import dig, instant, sid
from turf_saas.values import can_be_stored, instant_text, parse_instant

logger = logging.getLogger("turf_saas.billing")

Result = Literal["applied", "duplicate", "ignored", "deferred"]
RETRY_JOB = "billing.apply_event"
MOST_FAILURES = 8
WAITS = timedelta(days=3)  # for what is not known yet: so long Stripe tries, too
MOST_WOKEN = 200
MAX_ID = 255
MAX_NOTE = 500


class Received(NamedTuple):
    """What became of an event, and what the host is to hear of once that is committed."""

    result: Result
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class _Stored:
    id: int
    event: Event
    received_at: datetime
    status: str = "received"
    attempts: int = 0
    failures: int = 0


def read_event(payload: str | bytes) -> Event:
    """The event that a body is; Malformed for anything else."""
    try:
        given = json.loads(payload)
    except (ValueError, RecursionError):
        raise Malformed("stripe_event_invalid") from None
    return event_of(given)


def event_of(given: object) -> Event:
    """The same of what has been read already."""
    about = dig(given, "data", "object")
    created = instant(dig(given, "created"))
    if not isinstance(given, Mapping) or not isinstance(about, Mapping) or created is None:
        raise Malformed("stripe_event_invalid")
    names = (given.get("id"), given.get("type"))
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_ID and can_be_stored(name) for name in names):
        raise Malformed("stripe_event_invalid")
    previous = dig(given, "data", "previous_attributes")
    return Event(
        id=str(given["id"]),
        type=str(given["type"]),
        created=created,
        object=about,
        previous=previous if isinstance(previous, Mapping) else {},
        livemode=given.get("livemode") is True,
        account=sid(given.get("account")),
        api_version=_text(given.get("api_version")),
    )


def receive(db: Connection, now: datetime, settings: Settings, event: Event, payload: str) -> Received:
    """Stored and applied in one transaction; a second time it is a duplicate, whoever was first."""
    with atomic(db):
        row = fetch_one(
            db,
            """INSERT INTO billing_events (stripe_event_id, event_type, payload, created_at)
               VALUES (:stripe_id, :type, :payload, :now) ON CONFLICT DO NOTHING RETURNING id""",
            stripe_id=event.id,
            type=event.type,
            payload=_storable(_SECRET.sub(r"\1null", payload)),
            now=instant_text(now),
        )
        if row is None:
            return Received("duplicate")
        _note_received(db, now, int(row["id"]), event, payload)
        return _settle(db, now, settings, _Stored(int(row["id"]), event, now))


# With it a payment can be confirmed: it is for the payer's browser, and nothing here reads it.
_SECRET = re.compile(r'("client_secret"\s*:\s*)"(?:[^"\\]|\\.)*"')


def _note_received(db: Connection, now: datetime, event_id: int, event: Event, payload: str) -> None:
    execute(
        db,
        """INSERT INTO billing_received_events (event_id, status, object_id, happened_at, api_version, account,
                                                sha256, received_at)
           VALUES (:event_id, 'received', :object_id, :happened_at, :api_version, :account, :sha256, :now)""",
        event_id=event_id,
        object_id=_text(event.object_id),
        happened_at=instant_text(event.created),
        api_version=event.api_version,
        account=_text(event.account),
        sha256=hashlib.sha256(payload.encode(errors="replace")).hexdigest(),
        now=instant_text(now),
    )


def apply_again(db: Connection, now: datetime, settings: Settings, event_id: int) -> Received | None:
    """A stored event that waits, or is parked, is tried once more. None where it is settled already."""
    with atomic(db):
        stored = _hold(db, event_id)
        return _settle(db, now, settings, stored) if stored is not None else None


def replay(db: Connection, now: datetime, settings: Settings, event_id: int) -> Received:
    """The same, asked for by somebody: Conflict where it is settled. What fails again stays parked."""
    with atomic(db):
        stored = _hold(db, event_id)
        if stored is None:
            raise Conflict("stripe_event_settled", event=event_id)
        received = _settle(db, now, settings, stored)
        _begin_anew(db, now, stored)
        return received


def _begin_anew(db: Connection, now: datetime, stored: _Stored) -> None:
    """One that was given up, and waits again, has a new job: its own has ended with it."""
    at = next_try(db, now, stored.id)
    if at is not None and stored.status != "deferred":
        jobs.enqueue(db, now, RETRY_JOB, {"event_id": stored.id}, run_at=at)


def next_try(db: Connection, now: datetime, event_id: int) -> datetime | None:
    """When an event that waits is tried again; None for one that is settled or parked."""
    row = fetch_one(
        db,
        "SELECT attempts FROM billing_received_events WHERE event_id = :id AND status = 'deferred'",
        id=event_id,
    )
    return now + jobs.wait_after(row["attempts"]) if row is not None else None


def _hold(db: Connection, event_id: int) -> _Stored | None:
    """An event that is not settled, and nobody else applies it meanwhile."""
    waits = " FOR UPDATE OF r" if engine(db) == "postgresql" else ""
    row = fetch_one(
        db,
        f"""SELECT e.id, e.payload, r.received_at, r.status, r.attempts, r.failures
              FROM billing_events AS e JOIN billing_received_events AS r ON r.event_id = e.id
             WHERE e.id = :id AND r.status NOT IN ('applied', 'ignored'){waits}""",  # noqa: S608  a constant
        id=event_id,
    )
    return _stored(row) if row is not None else None


def _stored(row: Row) -> _Stored:
    counted = row["status"], row["attempts"], row["failures"]
    return _Stored(row["id"], read_event(row["payload"]), parse_instant(row["received_at"]), *counted)


def _settle(db: Connection, now: datetime, settings: Settings, stored: _Stored) -> Received:
    """Applied, with all that has waited for it; or noted as what it is."""
    try:
        with atomic(db):
            outcome = stripe_events.apply(db, now, settings, stored.event)
    except DatabaseUnavailable:
        raise
    except Unknown as unknown:
        return _defer(db, now, stored, str(unknown), waits_for=unknown.object_id)
    except Exception as error:  # an event that nobody can apply must not come back for three days
        logger.exception("event %s (%s) cannot be applied", stored.event.id, stored.event.type)
        return _defer(db, now, stored, f"{type(error).__name__}: {error}", waits_for=None)
    if outcome.status == "mismatch":
        logger.error("event %s (%s) contradicts what is known: %s", stored.event.id, stored.event.type, outcome.note)
    _mark(db, now, stored, outcome.status, note=outcome.note)
    notices = [*outcome.notices, *wake(db, now, settings, outcome.known)]
    return Received("applied" if outcome.status == "applied" else "ignored", tuple(notices))


def wake(db: Connection, now: datetime, settings: Settings, known: Iterable[str]) -> list[Notice]:
    """What has waited for these ids is applied now, in the order in which it happened; what was given up, too."""
    notices: list[Notice] = []
    for object_id in known:
        rows = fetch_all(
            db,
            """SELECT event_id FROM billing_received_events WHERE waits_for = :id AND status IN ('deferred', 'failed')
                ORDER BY happened_at, event_id LIMIT :most""",
            id=object_id,
            most=MOST_WOKEN,
        )
        for row in rows:
            stored = _hold(db, row["event_id"])
            if stored is not None:
                notices += _settle(db, now, settings, stored).notices
                _begin_anew(db, now, stored)
    return notices


def _defer(db: Connection, now: datetime, stored: _Stored, why: str, *, waits_for: str | None) -> Received:
    """It is tried again later, or parked: after some failures, or when what it waits for has not come in days."""
    parked = stored.failures + 1 >= MOST_FAILURES if waits_for is None else now - stored.received_at >= WAITS
    failures = int(waits_for is None)
    _mark(db, now, stored, "failed" if parked else "deferred", note=why, waits_for=waits_for, failures=failures)
    if parked:
        logger.error("event %s (%s) is parked: %s", stored.event.id, stored.event.type, why)
    else:
        at = now + jobs.wait_after(stored.attempts + 1)
        jobs.enqueue(db, now, RETRY_JOB, {"event_id": stored.id}, run_at=at, dedupe_key=str(stored.id))
    return Received("deferred")


def _mark(
    db: Connection,
    now: datetime,
    stored: _Stored,
    status: str,
    *,
    note: str | None,
    waits_for: str | None = None,
    failures: int = 0,
) -> None:
    execute(
        db,
        """UPDATE billing_received_events
              SET status = :status, note = :note, waits_for = :waits_for, attempts = attempts + 1,
                  failures = failures + :failures,
                  settled_at = CASE WHEN :status = 'deferred' THEN NULL ELSE :now END
            WHERE event_id = :id""",
        status=status,
        note=_storable(note)[:MAX_NOTE] if note else None,
        waits_for=waits_for,
        failures=failures,
        now=instant_text(now),
        id=stored.id,
    )


def _text(given: object) -> str | None:
    return given[:MAX_ID] if isinstance(given, str) and can_be_stored(given) else None


def _storable(text: str) -> str:
    """A NUL can stand in no row."""
    return text.replace("\0", "?").encode(errors="replace").decode()
