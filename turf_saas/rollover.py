"""Time passes: a period ends and the next one begins, a trial ends, what was pending takes place.

Whoever asks brings the subscription up to date first, so that nothing depends on a job having run.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from billing_db import Connection, RuleBroken, atomic, fetch_all, fetch_one
from turf_saas import catalogue, owing, periods
from turf_saas.errors import BillingError, Conflict
from turf_saas.periods import Period, first_period, start_of_day
from turf_saas.plans import Plan
from turf_saas.settings import Settings
from turf_saas.subscription_periods import PaidPeriod, find_last, find_paid_until, open_period
from turf_saas.subscriptions import (
    Subscription,
    find_live,
    hold,
    update_subscription,
)
from turf_saas.values import UserId, instant_text, local_day, parse_instant, read_day, read_instant

MOST_AT_ONCE = 1_200  # periods of one subscription: a hundred years of months
MOST_FOR_A_READER = 36  # who asks about three silent years waits a little; what is left is for the next one
BATCH = 500
UNREADABLE = (BillingError, RuleBroken, ValueError, TypeError, LookupError, ArithmeticError)
FIRST = "0001-01-01T00:00:00Z"
SYSTEM = "system"
# An unpaid one begins no period, and ends when that was asked for.
_DUE = """billed_by = 'local' AND (status IN ('trialing', 'active', 'past_due')
                                  OR status = 'unpaid' AND cancel_at_period_end <> 0)
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
            held = advance(db, now, settings, held, most=MOST_FOR_A_READER)
    return held if held is not None and held.is_live else None


def _silent(_before: Subscription, _after: Subscription) -> None:
    """Nobody wants to know."""


def advance_due(
    db: Connection, now: datetime, settings: Settings, *, told: Callable[[Subscription, Subscription], None] = _silent
) -> Advanced:
    """Every subscription of which something is due, each in a transaction of its own. What one lacks stops no other.

    told: what each was, and is now, once that is committed.
    """
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
                    if held is None or not is_due(held, now):
                        continue
                    advanced = advance(db, now, settings, held)
            except UNREADABLE as error:  # an instant at the calendar's edge, another program's plan
                failed.append((last, str(error)))
                continue
            done += 1
            told(held, advanced)
    return Advanced(done, failed)


def is_due(subscription: Subscription, now: datetime) -> bool:
    """Whether a period, a trial or the wait for its beginning is over. What cannot be read is never due."""
    due_at = read_instant(subscription.current_period_end or subscription.effective_at)
    return (
        subscription.billed_by == "local"
        and subscription.is_live
        and (subscription.status != "unpaid" or subscription.cancel_at_period_end)
        and due_at is not None
        and due_at <= now
    )


def advance(
    db: Connection, now: datetime, settings: Settings, subscription: Subscription, *, most: int = MOST_AT_ONCE
) -> Subscription:
    """What is due up to now, in order, each at the instant at which it was due. The caller has locked it."""
    for _ in range(most):
        if not is_due(subscription, now):
            break
        last = find_last(db, subscription)
        due_at = parse_instant(subscription.current_period_end or subscription.effective_at or FIRST)
        if (step := owing.next_step(db, due_at, settings, subscription)) is not None:
            subscription = take_step(db, now, subscription, step)  # whoever is unpaid begins no period
        elif last is not None and last.ends_at > parse_instant(subscription.current_period_end or FIRST):
            subscription = _put_back(db, now, subscription, last)
        elif subscription.is_billed and subscription.cancel_at_period_end:
            subscription = _end(db, now, subscription)
        elif find_version(db, subscription) is None:  # another program's plan: it has no price
            break
        elif not subscription.is_billed:
            subscription = begin(db, now, settings, subscription)
        else:
            subscription = _roll_over(db, now, settings, subscription, last)
    return subscription


def take_step(db: Connection, now: datetime, subscription: Subscription, step: owing.Step) -> Subscription:
    """It is past_due, or unpaid, from the instant on at which it should have been paid.

    Not before its last change: the days before that belong to the plan that it was on.
    """
    row = fetch_one(
        db,
        "SELECT MAX(at) AS at FROM billing_status_history WHERE subject = 'subscription' AND subject_id = :id",
        id=subscription.id,
    )
    at = max(step.at, (read_instant(row["at"]) if row else None) or step.at)
    return update_subscription(db, now, subscription, at=at, by=SYSTEM, reason=owing.NOT_PAID, status=step.status)


def _put_back(db: Connection, now: datetime, subscription: Subscription, last: PaidPeriod) -> Subscription:
    """Another program has moved the period's end to where a fee was charged already: what was opened holds."""
    return update_subscription(
        db,
        now,
        subscription,
        at=now,
        by=SYSTEM,
        reason="put_back",
        current_period_start=instant_text(last.starts_at),
        current_period_end=instant_text(last.ends_at),
    )


def begin(
    db: Connection,
    now: datetime,
    settings: Settings,
    subscription: Subscription,
    *,
    trial_days: int = 0,
    by: str | None = SYSTEM,
    reason: str = "begun",
    begins: datetime | None = None,
) -> Subscription:
    """Its first period, or its trial, from the local day of `begins` on, or of effective_at."""
    begins = begins or read_instant(subscription.effective_at)
    assert begins is not None
    plan = get_version(db, subscription)
    day = local_day(begins, settings.timezone)
    if trial_days:
        trial = periods.trial_period(day, trial_days, settings.timezone)
        day = local_day(trial.end, settings.timezone)
        columns = _columns_of(trial) | {"trial_end": instant_text(trial.end), "status": "trialing"}
    else:
        period = first_period(plan.cycle, plan.interval, day, settings.timezone)
        paid_until = find_paid_until(db, subscription.user_id)
        if paid_until is not None and paid_until > period.start:  # he comes back on the day on which he left
            period = periods.period_at(plan.cycle, plan.interval, day, settings.timezone, paid_until)
            period = Period(paid_until, period.end, period.nominal.start)
        open_period(db, now, settings, subscription, plan, period)
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


def _roll_over(
    db: Connection, now: datetime, settings: Settings, subscription: Subscription, last: PaidPeriod | None
) -> Subscription:
    """The next period begins where this one, or the trial, ends: with the plan that was to follow, and by its cycle."""
    assert subscription.current_period_end is not None
    at = parse_instant(subscription.current_period_end)
    plan = find_follower(db, subscription, get_version(db, subscription))
    anchor, cycle = read_day(subscription.anchor), plan.cycle
    before = catalogue.get_version(db, last.plan_id).interval if last is not None else plan.interval
    if anchor is None or cycle != subscription.cycle or plan.interval != before:
        anchor = local_day(at, settings.timezone)
    anchor = min(anchor, local_day(at, settings.timezone))
    period = periods.period_at(cycle, plan.interval, anchor, settings.timezone, at)
    if period.start != at:  # another zone was set since: no gap, no overlap, and the part of the fee that is left
        period = Period(at, period.end, period.nominal.start)
    open_period(db, now, settings, subscription, plan, period)
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


def find_follower(db: Connection, subscription: Subscription, old: Plan) -> Plan:
    """What the next period is of: the change that waits, else the version that an edit said to go on with."""
    if subscription.pending_plan_id is not None:
        return catalogue.get_version(db, subscription.pending_plan_id)
    row = fetch_one(db, "SELECT rolls_into FROM billing_plans WHERE id = :id", id=old.id)
    if row is not None and row["rolls_into"] is not None:
        return catalogue.get_version(db, row["rolls_into"])
    return old


def _columns_of(period: Period) -> dict[str, str]:
    return {"current_period_start": instant_text(period.start), "current_period_end": instant_text(period.end)}
