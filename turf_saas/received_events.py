"""The events of Stripe's that were received: what became of each, and how long their bodies are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from billing_db import Connection, Row, atomic, execute, execute_many, fetch_all, fetch_one
from turf_saas.errors import Conflict, NotFound
from turf_saas.settings import Settings
from turf_saas.values import instant_text, plain

Status = Literal["received", "applied", "ignored", "deferred", "mismatch", "failed"]
STATUSES: tuple[Status, ...] = ("applied", "ignored", "deferred", "mismatch", "failed")
SETTLED = ("applied", "ignored")
PARKED = "failed"
FORGOTTEN_AT_ONCE = 100_000  # a day
MAX_WHY = 400


@dataclass(frozen=True)
class ReceivedEvent:
    """An event as it stands. `failed` is parked; `waits_for` is the id of what is not known yet."""

    id: int
    stripe_event_id: str
    type: str
    status: Status
    object_id: str | None
    happened_at: str
    received_at: str
    settled_at: str | None
    attempts: int
    waits_for: str | None
    note: str | None
    api_version: str | None
    account: str | None
    sha256: str
    forgotten_at: str | None


_FROM = """SELECT e.id, e.stripe_event_id, e.event_type AS type, r.status, r.object_id, r.happened_at, r.received_at,
                  r.settled_at, r.attempts, r.waits_for, r.note, r.api_version, r.account, r.sha256, r.forgotten_at
             FROM billing_received_events AS r JOIN billing_events AS e ON e.id = r.event_id"""


def list_events(
    db: Connection, *, status: str | None = None, kind: str | None = None, limit: int = 50
) -> list[ReceivedEvent]:
    """The newest first. kind: `invoice.paid`, or `invoice` (`invoice.`) for all of that group."""
    group = f"{kind.rstrip('.')}." if kind else None
    given = {"status": status, "kind": kind or None, "group": group}
    wanted = {
        "status": "r.status = :status",
        "kind": "(e.event_type = :kind OR substr(e.event_type, 1, length(:group)) = :group)",
    }
    params = {name: value for name, value in given.items() if value is not None}
    conditions = " AND ".join(["1 = 1", *(wanted[name] for name in wanted if name in params)])
    rows = fetch_all(db, f"{_FROM} WHERE {conditions} ORDER BY r.event_id DESC LIMIT :limit", limit=limit, **params)
    return list(map(_event, rows))


def count_by_status(db: Connection) -> dict[str, int]:
    rows = fetch_all(db, "SELECT status, COUNT(*) AS many FROM billing_received_events GROUP BY status")
    return dict.fromkeys(STATUSES, 0) | {row["status"]: int(row["many"]) for row in rows}


def get_event(db: Connection, named: str) -> ReceivedEvent:
    """By its number here, or by its id at Stripe."""
    number = int(named) if named.isascii() and named.isdigit() and len(named) < 19 else 0
    row = fetch_one(db, f"{_FROM} WHERE e.id = :number OR e.stripe_event_id = :name", number=number, name=named)
    if row is None:
        raise NotFound("stripe_event_not_found", event=plain(named, most=100))
    return _event(row)


def find_body(db: Connection, event_id: int) -> str | None:
    """What Stripe sent; None once it is forgotten."""
    row = fetch_one(db, "SELECT payload FROM billing_events WHERE id = :id", id=event_id)
    return row["payload"] if row is not None else None


def list_parked(db: Connection) -> list[ReceivedEvent]:
    """What was tried often enough, in the order in which it happened."""
    rows = fetch_all(db, f"{_FROM} WHERE r.status = :status ORDER BY r.happened_at, r.event_id", status=PARKED)
    return list(map(_event, rows))


def dismiss(db: Connection, now: datetime, event_id: int, why: str) -> ReceivedEvent:
    """Somebody has seen to what it says by other means: it is not tried again. Conflict where it is settled."""
    with atomic(db):
        dismissed = execute(
            db,
            """UPDATE billing_received_events
                  SET status = 'ignored', note = :note, waits_for = NULL, settled_at = :now
                WHERE event_id = :id AND status IN ('deferred', 'mismatch', 'failed')""",
            note=f"dismissed: {plain(why, most=MAX_WHY)}",
            now=instant_text(now),
            id=event_id,
        )
        if not dismissed:
            raise Conflict("stripe_event_settled", event=event_id)
        return get_event(db, str(event_id))


def forget_old(db: Connection, now: datetime, settings: Settings) -> int:
    """Bodies of settled events are forgotten after BILLING_EVENT_DAYS; what became of them stays. How many."""
    with atomic(db):
        rows = fetch_all(
            db,
            """UPDATE billing_received_events SET forgotten_at = :now
                WHERE event_id IN (SELECT event_id FROM billing_received_events
                                    WHERE forgotten_at IS NULL AND status IN ('applied', 'ignored')
                                      AND received_at <= :before ORDER BY received_at LIMIT :most)
            RETURNING event_id""",
            now=instant_text(now),
            before=instant_text(now - timedelta(days=settings.event_days)),
            most=FORGOTTEN_AT_ONCE,
        )
        execute_many(
            db,
            "UPDATE billing_events SET payload = NULL WHERE id = :id",
            [{"id": row["event_id"]} for row in rows],
        )
    return len(rows)


def _event(row: Row) -> ReceivedEvent:
    return ReceivedEvent(**{name: row[name] for name in ReceivedEvent.__dataclass_fields__})
