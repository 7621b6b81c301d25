"""A subscription begins."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from billing_db import Connection, atomic, fetch_one
from turf_saas import catalogue, discounts, open_checkouts, rollover
from turf_saas.errors import Conflict, InvalidInput
from turf_saas.ids import insert_row
from turf_saas.periods import start_of_day
from turf_saas.plans import Plan
from turf_saas.settings import Settings
from turf_saas.subscription_periods import find_paid_until
from turf_saas.subscriptions import (
    Subscription,
    find_live,
    get_subscription,
    has_tried,
    hold_as_seen,
    note_written,
    update_subscription,
)
from turf_saas.users import User
from turf_saas.values import UserId, instant_text, local_day

MOST_DAYS_BACK = 3_660
MOST_DAYS_AHEAD = 731


def subscribe(
    db: Connection,
    now: datetime,
    settings: Settings,
    user: User,
    plan_code: str,
    *,
    start_at: datetime | None = None,
    trial_days: int | None = None,
    discount_code: str | None = None,
    by: str | None = None,
) -> Subscription:
    """The user's subscription from 00:00 of the local day of start_at (today) on. Conflict when he has one.

    A trial of a plan is given once. A row that only said which plan he is on, and cost nothing, becomes this one.
    """
    begins = start_at or now
    if not timedelta(days=-MOST_DAYS_BACK) <= begins - now <= timedelta(days=MOST_DAYS_AHEAD):
        raise InvalidInput("start_at_out_of_range", field="start_at", back=MOST_DAYS_BACK, ahead=MOST_DAYS_AHEAD)
    effective = start_of_day(local_day(begins, settings.timezone), settings.timezone)
    with atomic(db):
        plan = get_sold_plan(db, user.tenant_id, plan_code)
        check_currency(db, user.id, plan)
        days = plan.trial_days if trial_days is None else trial_days
        live = rollover.bring_up_to_date(db, now, settings, user.id)
        if live is not None and (live.is_billed or live.effective_at is not None or live.billed_by == "stripe"):
            raise Conflict("subscription_exists")
        if plan.amount_cents:
            open_checkouts.leave(db, now, user.id)
        _refuse_paid_time(db, settings, user.id, effective)
        if days and has_tried(db, user.id, plan.code):
            days = 0
        if discount_code is not None:
            discounts.redeem(db, now, settings, user.tenant_id, user.id, discount_code, plan.currency, since=effective)
        status = "trialing" if days else "active"
        if live is not None:
            begun = _take_over(db, now, live, plan, effective, status, by)
        else:
            begun = enter(db, now, user, plan, effective, status, by)
        if days or effective <= now:
            begun = rollover.begin(db, now, settings, begun, trial_days=days, by=by, reason="subscribed")
        return rollover.advance(db, now, settings, begun)


def _refuse_paid_time(db: Connection, settings: Settings, user_id: UserId, effective: datetime) -> None:
    """Days that an earlier subscription had are paid. He may come back on the day on which it ended."""
    until = find_paid_until(db, user_id)
    if until and local_day(until, settings.timezone) > local_day(effective, settings.timezone):
        raise Conflict("start_in_paid_time", ended_at=instant_text(until))


def get_sold_plan(db: Connection, tenant_id: int, code: str) -> Plan:
    """A plan that can be subscribed to."""
    plan = catalogue.find_plan(db, tenant_id, code)
    if plan is None:
        raise InvalidInput("plan_unknown", field="plan", plan=code)
    if plan.archived_at is not None:
        raise Conflict("plan_archived", plan=code)
    return plan


def check_currency(db: Connection, user_id: UserId, plan: Plan, old: Plan | None = None) -> None:
    """A user has one currency: that of the first plan with a price that he was on, or is on without having paid yet."""
    if not has_price(plan):
        return
    wanted = find_currency(db, user_id) or (old.currency if old and has_price(old) else plan.currency)
    if wanted != plan.currency:
        raise Conflict("currency_mismatch", currency=plan.currency, wanted=wanted)


def find_currency(db: Connection, user_id: UserId) -> str | None:
    """That of the first plan with a price that the user has paid for; without one, of what he has to pay once.

    Or of the plan that Stripe bills him for.
    """
    row = (
        fetch_one(
            db,
            """SELECT p.currency FROM billing_periods AS b JOIN billing_plans AS p ON p.id = b.plan_id
            WHERE b.user_id = :user_id AND (p.amount_cents > 0 OR p.prices <> '[]')
            ORDER BY b.id LIMIT 1""",
            user_id=user_id,
        )
        or fetch_one(
            db,
            "SELECT currency FROM billing_pending_items WHERE user_id = :user_id AND kind = 'item' ORDER BY id LIMIT 1",
            user_id=user_id,
        )
        or fetch_one(
            db,
            """SELECT p.currency FROM saas_subscriptions AS s JOIN billing_plans AS p ON p.id = s.plan_id
            WHERE s.user_id = :user_id AND s.billed_by = 'stripe' ORDER BY s.id LIMIT 1""",
            user_id=user_id,
        )
    )
    return row["currency"] if row else None


def has_price(plan: Plan) -> bool:
    """Whether anything of it is paid for: its fee, or what is used."""
    return bool(plan.amount_cents or plan.terms.prices)


def enter(
    db: Connection,
    now: datetime,
    user: User,
    plan: Plan,
    effective: datetime,
    status: str,
    by: str | None,
    **columns: Any,
) -> Subscription:
    """A new row; in a table that a host has given one row per user, that one again. Conflict where one is live."""
    values = {
        "plan": plan.code,
        "plan_id": plan.id,
        "status": status,
        "effective_at": instant_text(effective),
        "changed_at": instant_text(now),
        "changed_by": by,
        "change_reason": "subscribed",
        "updated_at": instant_text(now),
        **_AS_NEW,
        **columns,
    }
    names = ", ".join(values)
    params = ", ".join(f":{name}" for name in values)
    row = fetch_one(
        db,
        f"""INSERT INTO saas_subscriptions (user_id, tenant_id, created_at, {names})
            VALUES (:user_id, :tenant_id, :updated_at, {params}) ON CONFLICT DO NOTHING RETURNING id""",  # noqa: S608
        user_id=user.id,
        tenant_id=user.tenant_id,
        **values,
    )
    if row is None and find_live(db, user.id) is not None:
        raise Conflict("subscription_exists")
    if row is None:
        row = fetch_one(
            db,
            f"""UPDATE saas_subscriptions
                   SET {", ".join(f"{name} = :{name}" for name in values)}, revision = revision + 1
                 WHERE user_id = :user_id RETURNING id""",  # noqa: S608
            user_id=user.id,
            **values,
        )
    if row is None:  # the number was taken by hand
        row = {
            "id": insert_row(db, "saas_subscriptions", "id", user_id=user.id, created_at=instant_text(now), **values)
        }
    subscription = get_subscription(db, user.tenant_id, row["id"])
    note_written(db, now, subscription)
    return subscription


# What another one may have left in the only row that a user has.
_AS_NEW = {
    "billed_by": "local",
    "stripe_subscription_id": None,
    "current_period_start": None,
    "current_period_end": None,
    "trial_end": None,
    "cancel_at_period_end": 0,
    "canceled_at": None,
    "ended_at": None,
}


def _take_over(
    db: Connection,
    now: datetime,
    live: Subscription,
    plan: Plan,
    effective: datetime,
    status: str,
    by: str | None,
) -> Subscription:
    return update_subscription(
        db,
        now,
        hold_as_seen(db, live),
        at=now,
        by=by,
        reason="subscribed",
        plan=plan.code,
        plan_id=plan.id,
        status=status,
        effective_at=instant_text(effective),
    )
