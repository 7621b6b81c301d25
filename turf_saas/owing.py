"""What a user owes for too long, and what comes of it: at instants that follow from the invoices alone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

from billing_db import Connection, Row, fetch_all, fetch_one
from turf_saas.periods import start_of_day
from turf_saas.settings import Settings
from turf_saas.stripe_currencies import minimum_sql
from turf_saas.subscriptions import Subscription
from turf_saas.values import instant_text, local_day, parse_instant, read_instant

NOT_PAID = "not_paid"  # why a subscription is past_due, or unpaid
# Of an invoice of ours: it is open, and whoever has to pay it can. (What is too small to be collected alone waits.)
IS_OPEN = f"""i.status IN ('pending', 'overdue') AND i.hash IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM billing_gateway_invoices AS small
                           WHERE small.invoice_id = i.id
                             AND (small.status = 'carried' OR small.status = 'waiting' AND small.provider_id IS NULL
                                                          AND small.amount_cents < {minimum_sql("i.currency")}))"""  # noqa: S608  constants
# At :until, which is :today. Whether it was marked as overdue already makes no difference; nor does due_on where the
# payer's bank has refused it before.
HAS_FAILED = """EXISTS (SELECT 1 FROM billing_gateway_invoices AS failed
                         WHERE failed.invoice_id = i.id AND failed.first_failed_at <= :until)"""
IS_OWED_TOO_LONG = f"{IS_OPEN} AND (i.due_on < :today OR {HAS_FAILED})"


class Step(NamedTuple):
    """What a subscription becomes at which instant, because its user does not pay."""

    status: Literal["past_due", "unpaid"]
    at: datetime


def next_step(db: Connection, until: datetime, settings: Settings, subscription: Subscription) -> Step | None:
    """The first of the steps that has come at `until`, and was not taken.

    Days count from the invoice that is owed longest: from the first charge of it that failed, else from due_on; and for
    a subscription that began later from its own first day. Where a charge was declined for good, it is unpaid at once.
    """
    begun = read_instant(subscription.effective_at)
    if subscription.billed_by != "local" or begun is None or subscription.status not in ("active", "past_due"):
        return None
    if subscription.status == "past_due" and not is_ours(db, subscription):
        return None
    owed = _list_owed(db, until, settings, subscription)
    if not owed:
        return None
    first = max(min(_first_day(row, settings) for row in owed), local_day(begun, settings.timezone))
    days = settings.dunning_days
    steps = [Step("past_due", _day(first, days[0], settings))]
    if len(days) > 1:
        steps.append(Step("unpaid", _day(first, days[-1], settings)))
    steps += [Step("unpaid", max(parse_instant(row["hard_at"]), begun)) for row in owed if row["hard_at"] is not None]
    left = [step for step in steps if step.status == "unpaid" or subscription.status == "active"]
    return min((step for step in left if step.at <= until), key=lambda step: step.at, default=None)


def _list_owed(db: Connection, until: datetime, settings: Settings, subscription: Subscription) -> list[Row]:
    return fetch_all(
        db,
        f"""SELECT i.due_on, g.first_failed_at,
                   (SELECT MIN(a.happened_at) FROM billing_payment_attempts AS a
                     WHERE a.invoice_id = i.id AND a.hard = 1) AS hard_at
              FROM invoices AS i LEFT JOIN billing_gateway_invoices AS g ON g.invoice_id = i.id
             WHERE i.user_id = :user_id AND {IS_OWED_TOO_LONG}""",  # noqa: S608  constants
        user_id=subscription.user_id,
        **at_instant(until, settings),
    )


def at_instant(until: datetime, settings: Settings) -> dict[str, str]:
    """What IS_OWED_TOO_LONG asks for."""
    return {"until": instant_text(until), "today": local_day(until, settings.timezone).isoformat()}


def _first_day(row: Row, settings: Settings) -> date:
    if row["first_failed_at"] is not None:
        return local_day(parse_instant(row["first_failed_at"]), settings.timezone)
    return date.fromisoformat(row["due_on"])


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
