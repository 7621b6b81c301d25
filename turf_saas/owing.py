"""What a user owes for too long, and what comes of it: at instants that follow from the invoices alone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

from billing_db import Connection, fetch_one
from turf_saas.periods import start_of_day
from turf_saas.settings import Settings
from turf_saas.subscriptions import Subscription
from turf_saas.values import local_day, read_instant

NOT_PAID = "not_paid"  # why a subscription is past_due, or unpaid
# Of an invoice of ours, at :today. Whether it was marked as overdue already makes no difference.
IS_OWED_TOO_LONG = "i.status IN ('pending', 'overdue') AND i.due_on < :today AND i.hash IS NOT NULL"


class Step(NamedTuple):
    """What a subscription becomes at which instant, because its user does not pay."""

    status: Literal["past_due", "unpaid"]
    at: datetime


def next_step(db: Connection, until: datetime, settings: Settings, subscription: Subscription) -> Step | None:
    """The first of the steps that has come at `until`, and was not taken.

    Days count from the oldest invoice that is owed, and for a subscription that began later from its own first day.
    """
    begun = read_instant(subscription.effective_at)
    if subscription.billed_by != "local" or begun is None or subscription.status not in ("active", "past_due"):
        return None
    if subscription.status == "past_due" and not is_ours(db, subscription):
        return None
    row = fetch_one(
        db,
        f"SELECT MIN(i.due_on) AS due_on FROM invoices AS i WHERE i.user_id = :user_id AND {IS_OWED_TOO_LONG}",  # noqa: S608
        user_id=subscription.user_id,
        today=local_day(until, settings.timezone).isoformat(),
    )
    if row is None or row["due_on"] is None:
        return None
    first = max(date.fromisoformat(row["due_on"]), local_day(begun, settings.timezone))
    days = settings.dunning_days
    steps = [Step("past_due", _day(first, days[0], settings))]
    if len(days) > 1:
        steps.append(Step("unpaid", _day(first, days[-1], settings)))
    left = steps if subscription.status == "active" else steps[1:]
    return next((step for step in left if step.at <= until), None)


def is_ours(db: Connection, subscription: Subscription) -> bool:
    """Whether it is past_due, or unpaid, because dunning said so, and not another program."""
    row = fetch_one(
        db,
        """SELECT reason FROM billing_status_history
            WHERE user_id = :user_id AND subject = 'subscription' AND subject_id = :id ORDER BY id DESC LIMIT 1""",
        user_id=subscription.user_id,
        id=subscription.id,
    )
    return row is not None and row["reason"] == NOT_PAID


def _day(first: date, days: int, settings: Settings) -> datetime:
    return start_of_day(first + timedelta(days=days), settings.timezone)
