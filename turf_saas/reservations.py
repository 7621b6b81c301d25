"""Quantities held for work under way: they count against the limit until they are settled, released or too old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from billing_db import Connection, RuleBroken, atomic, engine, execute, execute_many, fetch_all, fetch_one
from turf_saas import usage
from turf_saas.errors import Conflict, InvalidInput, NotFound
from turf_saas.ids import new_ids
from turf_saas.settings import Settings
from turf_saas.usage import NewEvent
from turf_saas.users import User
from turf_saas.values import UserId, instant_text, local_day

LIFETIME = timedelta(minutes=15)


@dataclass(frozen=True)
class Reservation:
    """`settled_quantity` is what was used in truth, once that is known."""

    id: str
    user_id: UserId
    metric: str
    quantity: int
    state: str
    settled_quantity: int | None
    expires_at: str
    tenant_id: int


def hold(
    db: Connection,
    now: datetime,
    settings: Settings,
    user: User,
    metric: str,
    quantity: int,
    lifetime: timedelta = LIFETIME,
) -> Reservation:
    """Held, in the caller's transaction, which judges it: see admission.reserve."""
    [reservation_id] = new_ids(now, 1)
    day = local_day(now, settings.timezone).isoformat()
    expires_at = instant_text(now + lifetime)
    try:
        execute(
            db,
            """INSERT INTO usage_counters (user_id, month, metric, reserved, tenant_id)
               VALUES (:user_id, :month, :metric, :quantity, :tenant_id)
               ON CONFLICT (user_id, month, metric)
               DO UPDATE SET reserved = usage_counters.reserved + excluded.reserved""",
            user_id=user.id,
            month=day[:7],
            metric=metric,
            quantity=quantity,
            tenant_id=user.tenant_id,
        )
    except RuleBroken:  # what a counter can hold
        raise InvalidInput("reservations_full") from None
    execute(
        db,
        """INSERT INTO usage_reservations (id, tenant_id, user_id, metric, day, quantity, created_at, expires_at)
           VALUES (:id, :tenant_id, :user_id, :metric, :day, :quantity, :now, :expires_at)""",
        id=reservation_id,
        tenant_id=user.tenant_id,
        user_id=user.id,
        metric=metric,
        day=day,
        quantity=quantity,
        now=instant_text(now),
        expires_at=expires_at,
    )
    return Reservation(reservation_id, user.id, metric, quantity, "held", None, expires_at, user.tenant_id)


def settle(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int | None,
    reservation_id: str,
    quantity: int,
    *,
    user_id: UserId | None = None,
) -> Reservation:
    """The true quantity is counted today, whatever was held, also when the hold is over. Again: the same answer.

    Whose it may be: see get_reservation.
    """
    with atomic(db):
        held = get_reservation(db, tenant_id, reservation_id, user_id=user_id)
        counts_on = local_day(now, settings.timezone).isoformat() if quantity else None
        if not _close(db, now, reservation_id, "settled", ("held", "expired"), counts_on):
            return _settled_before(get_reservation(db, tenant_id, reservation_id), quantity)
        event_id = None
        if quantity:
            event = NewEvent(held.user_id, held.tenant_id, held.metric, quantity)
            event_id = usage.record_event(db, now, settings, event).id
        execute(
            db,
            "UPDATE usage_reservations SET settled_quantity = :quantity, event_id = :event_id WHERE id = :id",
            quantity=quantity,
            event_id=event_id,
            id=reservation_id,
        )
        return get_reservation(db, tenant_id, reservation_id)


def _settled_before(found: Reservation, quantity: int) -> Reservation:
    if found.state == "settled" and found.settled_quantity == quantity:
        return found
    raise Conflict(f"reservation_{found.state}")


def release(
    db: Connection, now: datetime, tenant_id: int | None, reservation_id: str, *, user_id: UserId | None = None
) -> Reservation:
    """Nothing was used. A hold that is over is over; one that was settled is not taken back so."""
    with atomic(db):
        get_reservation(db, tenant_id, reservation_id, user_id=user_id)
        _close(db, now, reservation_id, "released", ("held",))
        found = get_reservation(db, tenant_id, reservation_id)
    if found.state == "settled":
        raise Conflict("reservation_settled")
    return found


def get_reservation(
    db: Connection, tenant_id: int | None, reservation_id: str, *, user_id: UserId | None = None
) -> Reservation:
    """The one of that tenant (None: of any, for the host itself) and of that user (None: of anybody)."""
    row = fetch_one(
        db,
        """SELECT id, user_id, metric, quantity, state, settled_quantity, expires_at, tenant_id
             FROM usage_reservations WHERE id = :id""",
        id=reservation_id,
    )
    if row is None or tenant_id not in (None, row["tenant_id"]) or user_id not in (None, row["user_id"]):
        raise NotFound("reservation_not_found")
    return Reservation(*(row[name] for name in Reservation.__dataclass_fields__))


def expire(db: Connection, now: datetime, user_id: UserId, metric: str) -> bool:
    """Take back the user's holds of a metric whose time is over; whether there was any. In the caller's transaction.

    The metric's counter of this month is held already, and what another is about to end is left to him: so two never
    wait for each other.
    """
    skip = "FOR UPDATE SKIP LOCKED" if engine(db) == "postgresql" else ""
    rows = fetch_all(
        db,
        f"""UPDATE usage_reservations SET state = 'expired', closed_at = :now
            WHERE id IN (SELECT id FROM usage_reservations
                          WHERE user_id = :user_id AND metric = :metric AND state = 'held' AND expires_at <= :now
                          {skip})
        RETURNING day, quantity""",  # noqa: S608  a constant
        user_id=user_id,
        now=instant_text(now),
        metric=metric,
    )
    sums: dict[str, int] = {}
    for row in rows:
        sums[row["day"][:7]] = sums.get(row["day"][:7], 0) + row["quantity"]
    execute_many(
        db,
        """UPDATE usage_counters SET reserved = reserved - :quantity
            WHERE user_id = :user_id AND month = :month AND metric = :metric""",
        [
            {"user_id": user_id, "month": month, "metric": metric, "quantity": quantity}
            for month, quantity in sorted(sums.items(), reverse=True)
        ],
    )
    return bool(rows)


def expire_due(db: Connection, now: datetime, settings: Settings) -> int:
    """Everybody's holds whose time is over are taken back, also where nobody asks; of how many metrics of users."""
    today = local_day(now, settings.timezone).isoformat()
    rows = fetch_all(
        db,
        """SELECT DISTINCT user_id, metric, tenant_id FROM usage_reservations
            WHERE state = 'held' AND expires_at <= :now ORDER BY user_id, metric""",
        now=instant_text(now),
    )
    for row in rows:
        with atomic(db):
            usage.touch_counters(db, [{**dict(row), "day": today}])
            expire(db, now, row["user_id"], row["metric"])
    return len(rows)


def _close(
    db: Connection,
    now: datetime,
    reservation_id: str,
    state: str,
    from_states: tuple[str, ...],
    counts_on: str | None = None,
) -> bool:
    """Whether it was this call that ended the hold. counts_on: the day on which its true quantity will be counted.

    The hold first, which nobody who has a counter waits for; then the counters, in everybody's order.
    """
    for old in from_states:
        closed = fetch_all(
            db,
            """UPDATE usage_reservations SET state = :state, closed_at = :now WHERE id = :id AND state = :old
            RETURNING user_id, metric, day, quantity, tenant_id""",
            state=state,
            now=instant_text(now),
            id=reservation_id,
            old=old,
        )
        if not closed:
            continue
        row = dict(closed[0])
        usage.touch_counters(db, [row, {**row, "day": counts_on or row["day"]}])
        if old == "held":
            execute(
                db,
                """UPDATE usage_counters SET reserved = reserved - :quantity
                    WHERE user_id = :user_id AND month = :month AND metric = :metric""",
                quantity=row["quantity"],
                user_id=row["user_id"],
                month=row["day"][:7],
                metric=row["metric"],
            )
        return True
    return False
