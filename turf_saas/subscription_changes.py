"""A subscription changes: another plan, an end, or a change of mind. What it costs is the same in a dry run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from billing_db import Connection, atomic
from turf_saas import catalogue, discounts, open_checkouts, proration as prorating, rollover
from turf_saas.change_items import Change, add_items
from turf_saas.errors import Conflict, Forbidden, InvalidInput
from turf_saas.invoice_register import hold_register
from turf_saas.invoices import Invoice
from turf_saas.periods import Period, first_period, start_of_day
from turf_saas.plans import Plan
from turf_saas.proration import Proration
from turf_saas.rehearsal import rehearsal
from turf_saas.settings import Settings
from turf_saas.subscribing import check_currency, get_sold_plan
from turf_saas.subscription_periods import PaidPeriod, find_current, open_period, price_of, settle_change
from turf_saas.subscriptions import Subscription, has_tried, hold_as_seen, update_subscription
from turf_saas.values import instant_text, local_day

When = Literal["now", "period_end"]
FURTHEST_LOOK = timedelta(days=731)


@dataclass(frozen=True)
class Changed:
    """The subscription after a change, and the money that comes of it."""

    subscription: Subscription
    proration: Proration
    currency: str
    credit_notes: tuple[Invoice, ...] = ()  # of fees that had been invoiced


_NONE: tuple[Invoice, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What is asked for. when=None: an upgrade now, a downgrade when the period ends."""

    plan: str
    when: When | None = None
    prorate: bool = True
    discount_code: str | None = None


def change_plan(
    db: Connection,
    now: datetime,
    settings: Settings,
    seen: Subscription,
    wish: Wish,
    *,
    by: str | None = None,
    is_admin: bool = False,
    dry_run: bool = False,
    at: datetime | None = None,
) -> Changed:
    """Another plan, now or when the period ends. A newer change replaces one that waits.

    dry_run: everything is done and taken back, at another instant too. Conflict when `seen` is not the state any more.
    """
    at = _instant(now, at, dry_run=dry_run)
    with rehearsal(db, dry_run=dry_run):
        subscription, old = _changeable(db, at, settings, seen)
        new = get_sold_plan(db, subscription.tenant_id, wish.plan)
        check_currency(db, subscription.user_id, new, old)
        if new.amount_cents:
            open_checkouts.leave(db, at, subscription.user_id)
        if wish.discount_code is not None:
            discounts.redeem(
                db, at, settings, subscription.tenant_id, subscription.user_id, wish.discount_code, new.currency
            )
        elif new.id == old.id and subscription.pending_plan_id is None:
            raise Conflict("plan_unchanged", plan=old.code)
        if new.id == old.id:
            changed = _stay(db, at, subscription, old, by)
        elif when_of(wish, subscription, old, new, is_admin=is_admin) == "now":
            changed = _change_now(db, at, settings, subscription, old, new, prorate=wish.prorate, by=by)
        else:
            changed = _change_later(db, at, subscription, old, new, by)
    return changed


def cancel(
    db: Connection,
    now: datetime,
    settings: Settings,
    seen: Subscription,
    *,
    when: When = "period_end",
    by: str | None = None,
    reason: str | None = None,
    dry_run: bool = False,
    at: datetime | None = None,
) -> Changed:
    """The end, when the period (or the trial) ends; or now, and what is left of the fee is credited."""
    at = _instant(now, at, dry_run=dry_run)
    with rehearsal(db, dry_run=dry_run):
        subscription = _live(db, at, settings, seen)
        period = find_current(db, subscription)
        currency = period.currency if period else settings.currency
        if when == "period_end" and subscription.is_billed and subscription.status != "unpaid":
            ended = update_subscription(
                db,
                at,
                subscription,
                at=at,
                by=by,
                reason="cancel_asked",
                cancel_at_period_end=1,
                canceled_at=subscription.canceled_at or instant_text(at),
                pending_plan_id=None,
                pending_at=None,
            )
            return Changed(ended, Proration(), currency)
        money, notes = Proration(), _NONE
        if period is not None:
            hold_register(db, subscription.tenant_id)
            since = period.clamped(at)
            money = prorating.cancel_now(
                period.period, since, old_cents=period.price_cents, left_cents=period.left_cents
            )
            settle_change(db, period, money, price_cents=0, ends_at=since)
            old = rollover.find_version(db, subscription) or catalogue.get_version(db, period.plan_id)
            notes = add_items(db, at, settings, Change(subscription, period, since, old, None, by), money)
        ended = update_subscription(
            db,
            at,
            subscription,
            at=at,
            by=by,
            reason=reason or "canceled",
            status="canceled",
            canceled_at=instant_text(at),
            ended_at=instant_text(at),
            cancel_at_period_end=0,
            pending_plan_id=None,
            pending_at=None,
        )
        return Changed(ended, money, currency, notes)


def resume(
    db: Connection, now: datetime, settings: Settings, seen: Subscription, *, by: str | None = None
) -> Subscription:
    """It goes on after all. Conflict when no end was asked for, or it has come."""
    with atomic(db):
        subscription = _live(db, now, settings, seen)
        if not subscription.cancel_at_period_end:
            raise Conflict("nothing_to_resume")
        return update_subscription(
            db, now, subscription, at=now, by=by, reason="resumed", cancel_at_period_end=0, canceled_at=None
        )


def when_of(wish: Wish, subscription: Subscription, old: Plan, new: Plan, *, is_admin: bool) -> When:
    """At once or later. A downgrade at once, and an upgrade at once that costs nothing yet, are an admin's."""
    if not subscription.is_billed:  # it has not begun
        return "now"
    upgrade = is_upgrade(old, new)
    for_nothing = upgrade and not wish.prorate and subscription.status != "trialing"
    if wish.when == "now" and not is_admin and (for_nothing or not upgrade):
        raise Forbidden("unprorated_now" if for_nothing else "downgrade_now")
    return wish.when or ("now" if upgrade and (is_admin or not for_nothing) else "period_end")


def is_upgrade(old: Plan, new: Plan) -> bool:
    """It costs more per month, or is for longer."""
    longer = (old.interval, new.interval) == ("month", "year")
    return longer or new.cents_of_12_months > old.cents_of_12_months


def _change_now(
    db: Connection,
    at: datetime,
    settings: Settings,
    subscription: Subscription,
    old: Plan,
    new: Plan,
    *,
    prorate: bool,
    by: str | None,
) -> Changed:
    period = find_current(db, subscription)
    money, notes = Proration(), _NONE
    columns: dict[str, str | None] = {}
    if subscription.status == "trialing":
        if has_tried(db, subscription.user_id, new.code, but=subscription):
            raise Conflict("trial_used", plan=new.code)
    elif period is not None and prorate:
        hold_register(db, subscription.tenant_id)  # after the subscription, before its period
        in_force = catalogue.get_version(db, period.plan_id)
        if new.interval != in_force.interval:
            money, notes, columns = _change_interval(db, at, settings, subscription, period, old, new, by)
        else:
            since = period.clamped(at)
            price = price_of(db, since, subscription, new, period)
            money = prorating.change_plan(
                period.period, since, old_cents=period.price_cents, new_cents=price, left_cents=period.left_cents
            )
            settle_change(db, period, money, price_cents=price)
            notes = add_items(db, at, settings, Change(subscription, period, since, old, new, by), money)
    changed = update_subscription(
        db,
        at,
        subscription,
        at=at,
        by=by,
        reason="changed",
        plan=new.code,
        plan_id=new.id,
        pending_plan_id=None,
        pending_at=None,
        **columns,
    )
    return Changed(changed, money, new.currency, notes)


def _change_interval(
    db: Connection,
    at: datetime,
    settings: Settings,
    subscription: Subscription,
    period: PaidPeriod,
    old: Plan,
    new: Plan,
    by: str | None,
) -> tuple[Proration, tuple[Invoice, ...], dict[str, str | None]]:
    """The old period ends at 00:00 of the local day, and a new one begins there."""
    day = local_day(period.clamped(at), settings.timezone)
    turn = period.clamped(start_of_day(day, settings.timezone))
    left = prorating.cancel_now(period.period, turn, old_cents=period.price_cents, left_cents=period.left_cents)
    settle_change(db, period, left, price_cents=0, ends_at=turn)
    notes = add_items(db, at, settings, Change(subscription, period, turn, old, new, by), left)
    opened = first_period(new.cycle, new.interval, day, settings.timezone)
    if opened.start < turn:  # another zone was set since: no overlap
        opened = Period(turn, opened.end, opened.nominal.start)
    fee = open_period(db, at, settings, subscription, new, opened)
    columns: dict[str, str | None] = {
        "cycle": new.cycle,
        "anchor": day.isoformat(),
        "current_period_start": instant_text(opened.start),
        "current_period_end": instant_text(opened.end),
    }
    return Proration(left.credit_cents, fee), notes, columns


def _change_later(
    db: Connection, at: datetime, subscription: Subscription, old: Plan, new: Plan, by: str | None
) -> Changed:
    if subscription.cancel_at_period_end:
        raise Conflict("cancel_scheduled")
    changed = update_subscription(
        db,
        at,
        subscription,
        at=at,
        by=by,
        reason="change_asked",
        pending_plan_id=new.id,
        pending_at=subscription.current_period_end,
    )
    return Changed(changed, Proration(), old.currency)


def _stay(db: Connection, at: datetime, subscription: Subscription, old: Plan, by: str | None) -> Changed:
    """Who asks for the plan that he has wants no other one to follow; or has a code for the fees to come."""
    stayed = update_subscription(
        db, at, subscription, at=at, by=by, reason="change_dropped", pending_plan_id=None, pending_at=None
    )
    return Changed(stayed, Proration(), old.currency)


def _changeable(db: Connection, now: datetime, settings: Settings, seen: Subscription) -> tuple[Subscription, Plan]:
    """The subscription, held and up to date, and the version that it is on."""
    subscription = _live(db, now, settings, seen)
    if subscription.status == "unpaid":
        raise Conflict("subscription_unpaid")
    if subscription.effective_at is None:  # it says which plan, and costs nothing
        raise Conflict("subscription_not_billed")
    return subscription, rollover.get_version(db, subscription)


def _live(db: Connection, now: datetime, settings: Settings, seen: Subscription) -> Subscription:
    subscription = rollover.advance(db, now, settings, hold_as_seen(db, seen))
    if not subscription.is_live:
        raise Conflict("subscription_ended", status=subscription.status)
    if subscription.billed_by == "stripe":
        raise Conflict("stripe_bills_it")
    return subscription


def _instant(now: datetime, at: datetime | None, *, dry_run: bool) -> datetime:
    now = now.replace(microsecond=0)  # as it is kept: so that what is paid follows from what is written
    if at is None:
        return now
    if not dry_run:
        raise InvalidInput("at_without_dry_run", field="at")
    if not now <= at <= now + FURTHEST_LOOK:
        raise InvalidInput("at_out_of_range", field="at", days=FURTHEST_LOOK.days)
    return at
