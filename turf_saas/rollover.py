"""Time passes: a period ends and the next one begins, a trial ends, what was pending takes place.

Whoever asks brings the subscription up to date first, so that nothing depends on a job having run.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NamedTuple

from billing_db import Connection, atomic, fetch_all, fetch_one
from turf_saas import catalogue, periods
from turf_saas.errors import BillingError, Conflict
from turf_saas.periods import Period, first_period, start_of_day
from turf_saas.plans import Plan
from turf_saas.settings import Settings
from turf_saas.subscription_periods import open_period
from turf_saas.subscriptions import (
    Subscription,
    find_live,
    hold,
    update_subscription,
)
from turf_saas.values import UserId, instant_text, local_day, parse_instant

MOST_AT_ONCE = 1_200  # periods of one subscription: a hundred years of months
BATCH = 500
SYSTEM = "system"
_DUE = """billed_by = 'local' AND status IN ('trialing', 'active', 'past_due')
          AND COALESCE(current_period_end, effective_at) <= :now"""


class Advanced(NamedTuple):
    """How many subscriptions went on, and which could not: (id, why)."""

    done: int
    failed: list[tuple[int, str]]


def bring_up_to_date(db: Connection, now: datetime, settings: Settings, user_id: UserId) -> Subscription | None:
    """The user's live subscription as it is now, after all that should have happened to it."""
    subscription = find_live(db, user_id)
    if subscription is None or not is_due(subscription, now):
        return subscription
    with atomic(db):
        held = hold(db, subscription.id)  # somebody else may have been faster
        if held is not None:
            held = advance(db, now, settings, held)
    return held if held is not None and held.is_live else None


def advance_due(db: Connection, now: datetime, settings: Settings) -> Advanced:
    """Every subscription of which something is due, each in a transaction of its own. What one lacks stops no other."""
    done, failed, last = 0, [], 0
    while rows := fetch_all(
        db,
        f"SELECT id FROM saas_subscriptions WHERE {_DUE} AND id > :last ORDER BY id LIMIT {BATCH}",  # noqa: S608
        now=instant_text(now),
        last=last,
    ):
        for row in rows:
            last = row["id"]
            try:
                with atomic(db):
                    held = hold(db, last)
                    if held is not None and is_due(held, now):
                        advance(db, now, settings, held)
                        done += 1
            except BillingError as error:
                failed.append((last, str(error)))
    return Advanced(done, failed)


def is_due(subscription: Subscription, now: datetime) -> bool:
    """Whether a period, a trial or the wait for its beginning is over."""
    due_at = subscription.current_period_end or subscription.effective_at
    return (
        subscription.billed_by == "local"
        and subscription.is_live
        and subscription.status != "unpaid"
        and due_at is not None
        and due_at <= instant_text(now)
    )


def advance(db: Connection, now: datetime, settings: Settings, subscription: Subscription) -> Subscription:
    """Everything that is due up to now, in order, each at the instant at which it was due. The caller has locked it."""
    for _ in range(MOST_AT_ONCE):
        if not is_due(subscription, now):
            break
        if not subscription.is_billed:
            if find_version(db, subscription) is None:  # another program's plan: it has no price
                break
            subscription = begin(db, now, settings, subscription)
        elif subscription.cancel_at_period_end:
            subscription = _end(db, now, subscription)
        else:
            subscription = _roll_over(db, now, settings, subscription)
    return subscription


def begin(
    db: Connection,
    now: datetime,
    settings: Settings,
    subscription: Subscription,
    *,
    trial_days: int = 0,
    by: str | None = SYSTEM,
    reason: str = "begun",
) -> Subscription:
    """Its first period, or its trial, from the local day of effective_at on."""
    assert subscription.effective_at is not None
    plan = get_version(db, subscription)
    day = local_day(parse_instant(subscription.effective_at), settings.timezone)
    if trial_days:
        trial = periods.trial_period(day, trial_days, settings.timezone)
        day = local_day(trial.end, settings.timezone)
        columns = _columns_of(trial) | {"trial_end": instant_text(trial.end), "status": "trialing"}
    else:
        period = first_period(plan.cycle, plan.interval, day, settings.timezone)
        open_period(db, now, subscription, plan, period)
        columns = _columns_of(period)
    at = start_of_day(day, settings.timezone)
    return update_subscription(
        db,
        now,
        subscription,
        at=at,
        by=by,
        reason=reason,
        plan_id=plan.id,
        cycle=plan.cycle,
        anchor=day.isoformat(),
        **columns,
    )


def _roll_over(db: Connection, now: datetime, settings: Settings, subscription: Subscription) -> Subscription:
    """The next period begins where this one, or the trial, ends: with the plan that was to follow."""
    assert subscription.current_period_end is not None
    at = parse_instant(subscription.current_period_end)
    old = get_version(db, subscription)
    plan = _follower(db, subscription, old)
    is_other = (plan.interval, plan.cycle) != (old.interval, subscription.cycle) and plan.id != old.id
    if is_other or subscription.anchor is None:
        anchor = local_day(at, settings.timezone)
        cycle = plan.cycle
    else:
        anchor, cycle = date.fromisoformat(subscription.anchor), subscription.cycle
    anchor = min(anchor, local_day(at, settings.timezone))
    period = periods.period_at(cycle, plan.interval, anchor, settings.timezone, at)
    if period.start != at:  # another zone was set since: no gap, no overlap, and the part of the fee that is left
        period = Period(at, period.end, period.nominal.start)
    open_period(db, now, subscription, plan, period)
    was_trial = subscription.status == "trialing"
    columns: dict[str, Any] = {"cycle": cycle, "anchor": anchor.isoformat(), **_columns_of(period)}
    if was_trial:
        columns["status"] = "active"
    if plan.id != subscription.plan_id:
        columns |= {"plan": plan.code, "plan_id": plan.id}
    reason = "trial_ended" if was_trial else "pending_change" if subscription.pending_plan_id else "rolled_over"
    return update_subscription(
        db,
        now,
        subscription,
        at=at,
        by=SYSTEM,
        reason=reason,
        pending_plan_id=None,
        pending_at=None,
        **columns,
    )


def _end(db: Connection, now: datetime, subscription: Subscription) -> Subscription:
    end = subscription.current_period_end
    assert end is not None
    return update_subscription(
        db,
        now,
        subscription,
        at=parse_instant(end),
        by=SYSTEM,
        reason="canceled_at_period_end",
        status="canceled",
        ended_at=end,
        pending_plan_id=None,
        pending_at=None,
    )


def find_version(db: Connection, subscription: Subscription) -> Plan | None:
    """The version that it is on; of one that another program wrote, the newest of that name, if there is one."""
    if subscription.plan_id is not None:
        return catalogue.get_version(db, subscription.plan_id)
    return catalogue.find_plan(db, subscription.tenant_id, subscription.plan)


def get_version(db: Connection, subscription: Subscription) -> Plan:
    """The same; where no such plan is sold it is Conflict."""
    plan = find_version(db, subscription)
    if plan is None:
        raise Conflict("plan_not_sold", plan=subscription.plan)
    return plan


def _follower(db: Connection, subscription: Subscription, old: Plan) -> Plan:
    """What the next period is of: the change that waits, else the version that an edit said to go on with."""
    if subscription.pending_plan_id is not None:
        return catalogue.get_version(db, subscription.pending_plan_id)
    row = fetch_one(db, "SELECT rolls_into FROM billing_plans WHERE id = :id", id=old.id)
    if row is not None and row["rolls_into"] is not None:
        return catalogue.get_version(db, row["rolls_into"])
    return old


def _columns_of(period: Period) -> dict[str, str]:
    return {"current_period_start": instant_text(period.start), "current_period_end": instant_text(period.end)}
