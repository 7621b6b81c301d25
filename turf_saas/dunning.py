"""Who does not pay in time: invoices become overdue, their subscriptions past_due and then unpaid, and active again.

Two machines: an invoice is pending, overdue, paid; access follows by the days since it should have been paid. Nothing
is decided by the day on which this runs: what should have happened before has its own instant in the history.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from billing_db import Connection, Row, atomic, execute, fetch_all
from turf_saas import rollover
from turf_saas.errors import BillingError
from turf_saas.periods import start_of_day
from turf_saas.settings import Settings
from turf_saas.subscriptions import Subscription, find_live, hold, update_subscription
from turf_saas.values import UserId, instant_text, local_day

SYSTEM = "system"
BATCH = 500


def mark_overdue(db: Connection, now: datetime, settings: Settings) -> int:
    """Invoices whose due_on has passed are overdue; how many became so."""
    today = local_day(now, settings.timezone)
    with atomic(db):
        return execute(
            db,
            """UPDATE invoices
                  SET status = 'overdue', changed_at = :now, changed_by = :by, change_reason = 'not_paid_in_time',
                      updated_at = :now
                WHERE status = 'pending' AND hash IS NOT NULL AND due_on < :today""",
            now=instant_text(now),
            by=SYSTEM,
            today=today.isoformat(),
        )


def dun(db: Connection, now: datetime, settings: Settings) -> list[Subscription]:
    """Subscriptions of users with overdue invoices stand where the days since say; those that changed.

    And whoever owes nothing any more, by a credit note say, is active again.
    """
    changed = [
        found for row in fetch_all(db, _TO_RECOVER) if (found := recover(db, now, settings, row["user_id"])) is not None
    ]
    last: UserId | None = None
    while rows := _list_owing(db, last):
        for row in rows:
            last = row["user_id"]
            try:
                changed += _dun_user(db, now, settings, row)
            except BillingError:  # somebody changes it at this moment: the next run sees it
                continue
    return changed


def _list_owing(db: Connection, after: UserId | None) -> list[Row]:
    beyond = "" if after is None else "AND i.user_id > :after"
    return fetch_all(
        db,
        f"""SELECT i.user_id, MIN(i.due_on) AS due_on
              FROM invoices AS i
              JOIN saas_subscriptions AS s ON s.user_id = i.user_id AND s.status IN ('active', 'past_due')
                                          AND s.billed_by = 'local' AND s.effective_at IS NOT NULL
             WHERE i.status = 'overdue' AND i.hash IS NOT NULL {beyond}
             GROUP BY i.user_id ORDER BY i.user_id LIMIT {BATCH}""",  # noqa: S608
        **({} if after is None else {"after": after}),
    )


def _dun_user(db: Connection, now: datetime, settings: Settings, row: Row) -> list[Subscription]:
    """What the days since the oldest unpaid invoice was due have brought, each at its own instant."""
    due_on, days = date.fromisoformat(row["due_on"]), settings.dunning_days
    steps = [("past_due", days[0])] if len(days) == 1 else [("past_due", days[0]), ("unpaid", days[-1])]
    changed = []
    with atomic(db):
        seen = find_live(db, row["user_id"])
        held = hold(db, seen.id) if seen is not None else None
        for status, after in steps:
            at = start_of_day(due_on + timedelta(days=after), settings.timezone)
            if held is None or at > now or held.status not in _BEFORE[status]:
                continue
            held = rollover.advance(db, min(at, now), settings, held)
            held = update_subscription(db, now, held, at=at, by=SYSTEM, reason="not_paid", status=status)
            changed.append(held)
    return changed


_BEFORE = {"past_due": ("active",), "unpaid": ("active", "past_due")}


def recover(db: Connection, now: datetime, settings: Settings, user_id: UserId) -> Subscription | None:
    """A subscription of whom nothing is overdue any more is active again; an unpaid one with a period from today.

    None where nothing changed: another program's past_due, say, is not ours to end.
    """
    with atomic(db):
        seen = find_live(db, user_id)
        held = hold(db, seen.id) if seen is not None else None
        if held is None or not fetch_all(db, f"{_TO_RECOVER} AND s.id = :id", id=held.id):
            return None
        active = update_subscription(db, now, held, at=now, by=SYSTEM, reason="paid", status="active")
        if held.status == "past_due":
            return active
        return rollover.begin(db, now, settings, active, reason="paid", begins=now)


_TO_RECOVER = """SELECT s.user_id FROM saas_subscriptions AS s
                  WHERE s.status IN ('past_due', 'unpaid') AND s.billed_by = 'local' AND s.effective_at IS NOT NULL
                    AND NOT EXISTS (SELECT 1 FROM invoices AS i WHERE i.user_id = s.user_id AND i.status = 'overdue')
                    AND (SELECT reason FROM billing_status_history AS h
                          WHERE h.user_id = s.user_id AND h.subject = 'subscription' AND h.subject_id = s.id
                          ORDER BY h.id DESC LIMIT 1) = 'not_paid'"""
