"""Who does not pay in time: invoices become overdue, their subscriptions past_due and then unpaid, and active again.

Two machines: an invoice is pending, overdue, paid; access follows by the days since it should have been paid. Nothing
is decided by the day on which this runs: what should have happened before has its own instant in the history.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from billing_db import Connection, atomic, engine, execute, fetch_all, fetch_one
from turf_saas import owing, rollover
from turf_saas.periods import start_of_day
from turf_saas.rollover import SYSTEM, UNREADABLE
from turf_saas.settings import Settings
from turf_saas.subscriptions import Subscription, find_live, hold, update_subscription
from turf_saas.values import UserId, instant_text, local_day, read_instant

logger = logging.getLogger("turf_saas.billing")

BATCH = 500
PAID = "paid"
Told = Callable[[Subscription, Subscription], None]


class Dunned(NamedTuple):
    """How many subscriptions changed, and whose could not: (user, why)."""

    changed: int
    failed: list[tuple[UserId, str]]


def mark_overdue(db: Connection, now: datetime, settings: Settings) -> int:
    """Invoices whose due_on has passed are overdue since the day after it; how many became so."""
    today = local_day(now, settings.timezone).isoformat()
    rows = fetch_all(
        db,
        """SELECT DISTINCT due_on FROM invoices
            WHERE status IN ('pending', 'overdue') AND status = 'pending' AND hash IS NOT NULL AND due_on < :today
            ORDER BY due_on""",
        today=today,
    )
    # What somebody changes at this moment is left to the next run: else two might wait for each other.
    skip = "FOR UPDATE SKIP LOCKED" if engine(db) == "postgresql" else ""
    marked = 0
    for row in rows:
        since = start_of_day(date.fromisoformat(row["due_on"]) + timedelta(days=1), settings.timezone)
        with atomic(db):
            marked += execute(
                db,
                f"""UPDATE invoices
                       SET status = 'overdue', changed_at = :since, changed_by = :by,
                           change_reason = 'not_paid_in_time', updated_at = :now
                     WHERE id IN (SELECT id FROM invoices
                                   WHERE status IN ('pending', 'overdue') AND status = 'pending'
                                     AND hash IS NOT NULL AND due_on = :due_on {skip})""",  # noqa: S608  a constant
                since=instant_text(since),
                by=SYSTEM,
                now=instant_text(now),
                due_on=row["due_on"],
            )
    return marked


def _nobody(_before: Subscription, _after: Subscription) -> None:
    """Nobody wants to know."""


def dun(db: Connection, now: datetime, settings: Settings, *, told: Told = _nobody) -> Dunned:
    """Subscriptions of users who owe stand where the days since say. What one lacks stops no other.

    And whoever owes nothing any more, by a credit note say, is active again. told: what each was and is, once that is
    committed.
    """
    changed, failed = 0, []
    for sql, deed, given in ((_DUNNED, recover, {}), (_OWING, _dun, owing.at_instant(now, settings))):
        for user_id in _each(db, sql, given):
            try:
                with atomic(db):
                    seen = find_live(db, user_id)
                    before = hold(db, seen.id) if seen is not None else None
                    after = deed(db, now, settings, before) if before is not None else None
            except UNREADABLE as error:
                failed.append((user_id, str(error)))
                continue
            if before is not None and after is not None:
                changed += 1
                told(before, after)
    return Dunned(changed, failed)


_DUNNED = """SELECT s.user_id FROM saas_subscriptions AS s
              WHERE s.status IN ('past_due', 'unpaid') AND s.billed_by = 'local' AND s.effective_at IS NOT NULL"""
_OWED_BY = """JOIN saas_subscriptions AS s ON s.user_id = i.user_id AND s.status IN ('active', 'past_due')
                                         AND s.billed_by = 'local' AND s.effective_at IS NOT NULL"""
# Two selections, each by an index of its own.
_OWING = f"""SELECT i.user_id FROM invoices AS i {_OWED_BY} WHERE i.due_on < :today AND {owing.IS_OPEN}
             UNION
             SELECT i.user_id FROM billing_gateway_invoices AS g JOIN invoices AS i ON i.id = g.invoice_id {_OWED_BY}
              WHERE g.first_failed_at <= :until AND {owing.IS_OPEN}"""  # noqa: S608  constants


def _each(db: Connection, sql: str, given: Mapping[str, Any]) -> Iterator[UserId]:
    """Read in parts, for each of them is changed in a transaction of its own."""
    found = fetch_all(
        db,
        f"SELECT user_id FROM ({sql}) AS found ORDER BY user_id LIMIT {BATCH}",  # noqa: S608  constants
        **given,
    )
    while found:
        yield from (row["user_id"] for row in found)
        found = fetch_all(
            db,
            f"SELECT user_id FROM ({sql}) AS found WHERE user_id > :after ORDER BY user_id LIMIT {BATCH}",  # noqa: S608
            after=found[-1]["user_id"],
            **given,
        )


def _dun(db: Connection, now: datetime, settings: Settings, held: Subscription) -> Subscription | None:
    """What the days have brought, in order with the periods that began meanwhile, each at its own instant."""
    advanced = rollover.advance(db, now, settings, held)
    while (step := owing.next_step(db, now, settings, advanced)) is not None:
        advanced = rollover.take_step(db, now, advanced, step)
    return advanced if advanced.revision != held.revision else None


def recover(db: Connection, now: datetime, settings: Settings, held: Subscription) -> Subscription | None:
    """A subscription that was dunned, and whose user owes nothing too long any more, is active again.

    An unpaid one whose period is over begins one today, with the plan that was to follow. None where nothing changed:
    another program's past_due, say, is not ours to end. The caller has locked it.
    """
    if held.status not in ("past_due", "unpaid") or held.billed_by != "local" or not owing.is_ours(db, held):
        return None
    if owes(db, now, settings, held.user_id):
        return None
    if held.cancel_at_period_end and rollover.is_due(held, now):
        return rollover.advance(db, now, settings, held)
    ends_at = read_instant(held.current_period_end)
    if held.status == "past_due" or (ends_at is not None and ends_at > now):
        return update_subscription(db, now, held, at=now, by=SYSTEM, reason=PAID, status="active")
    plan = rollover.find_follower(db, held, rollover.get_version(db, held))
    active = update_subscription(
        db,
        now,
        held,
        at=now,
        by=SYSTEM,
        reason=PAID,
        status="active",
        plan=plan.code,
        plan_id=plan.id,
        pending_plan_id=None,
        pending_at=None,
    )
    return rollover.begin(db, now, settings, active, reason=PAID, begins=now)


def owes(db: Connection, now: datetime, settings: Settings, user_id: UserId) -> bool:
    """Whether an invoice of the user's should have been paid before today, or a charge of it has failed."""
    row = fetch_one(
        db,
        f"SELECT 1 AS one FROM invoices AS i WHERE i.user_id = :user_id AND {owing.IS_OWED_TOO_LONG} LIMIT 1",  # noqa: S608
        user_id=user_id,
        **owing.at_instant(now, settings),
    )
    return row is not None


def dun_payer(db: Connection, now: datetime, settings: Settings, held: Subscription | None) -> Subscription | None:
    """One that became past_due, or unpaid, by a charge that failed, which is noted whatever becomes of it."""
    if held is None or held.billed_by != "local":
        return None
    try:
        with atomic(db):
            after = _dun(db, now, settings, held)
        return after if after is not None and after.status != held.status else None
    except UNREADABLE as error:  # the next run says so too
        logger.error("the subscription of user %s cannot be dunned: %s", held.user_id, error)
        return None


def recover_payer(db: Connection, now: datetime, settings: Settings, held: Subscription | None) -> Subscription | None:
    """One that is active again by a payment, which is taken whatever becomes of the subscription."""
    if held is None:
        return None
    try:
        with atomic(db):
            after = recover(db, now, settings, held)
        return after if after is not None and after.status == "active" else None
    except UNREADABLE as error:  # the next run says so too
        logger.error("the subscription of user %s does not go on: %s", held.user_id, error)
        return None
