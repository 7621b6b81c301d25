"""A subscription that Stripe runs is changed there: it is asked, and as it answers, so ours stands.

Asking is done outside of any transaction, and written down first; what follows from the answer is written in one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from billing_db import Connection, atomic
from turf_saas import rollover, stripe_calls
from turf_saas.errors import Conflict
from turf_saas.gateways import CardDeclined, GatewayRefused
from turf_saas.invoices import Invoice
from turf_saas.notices import Notice
from turf_saas.plans import Plan
from turf_saas.proration import Proration
from turf_saas.settings import Settings
from turf_saas.stripe_applying import find_customer
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_giving_back import credit_unused
from turf_saas.stripe_objects import Json, cents, dig, items_of, sid
from turf_saas.stripe_plans import find_plan
from turf_saas.stripe_prices import price_for, require_price
from turf_saas.stripe_subscriptions import end, follow, note_asked
from turf_saas.subscribing import check_currency, get_sold_plan
from turf_saas.subscription_changes import Changed, When, Wish, when_of
from turf_saas.subscriptions import Subscription, get_subscription, has_tried, hold, hold_as_seen, update_subscription

logger = logging.getLogger("turf_saas.billing")

SUBSCRIPTIONS = "subscriptions"
EXPAND = {"expand": ["latest_invoice"]}


@dataclass(frozen=True)
class Asked:
    """What Stripe has answered. proration: what it has billed at once for a change.

    drops: a change that waited does so no more. unused_since: it has ended, and what was paid beyond is given back.
    is_lost: Stripe does not know it, so nothing there can end; it ends here.
    """

    answer: Json
    proration: Proration = field(default_factory=Proration)
    drops: bool = False
    unused_since: datetime | None = None
    is_lost: bool = False


@dataclass(frozen=True)
class Done:
    """The change, and what the host is to hear of it."""

    changed: Changed
    notices: tuple[Notice, ...]


# -- a change of plan --------------------------------------------------------------------------------------


def ask_change(
    db: Connection,
    now: datetime,
    settings: Settings,
    stripe: StripeGateway,
    seen: Subscription,
    wish: Wish,
    *,
    by: str | None = None,
    is_admin: bool = False,
) -> Asked:
    """Another plan, now or from the next period on. Now: not before Stripe has the money for what it costs more.

    A discount code is none of Stripe's, and a plan without a fee is nothing that it could bill: Conflict. So is a
    shorter interval: what was paid for the longer one would stay with Stripe.
    """
    old = _changeable(db, seen)
    if wish.discount_code is not None:
        raise Conflict("stripe_takes_no_code")
    new = get_sold_plan(db, seen.tenant_id, wish.plan)
    check_currency(db, seen.user_id, new, old)
    if not new.amount_cents:
        raise Conflict("stripe_plan_free", plan=new.code)
    if (old.interval, new.interval) == ("year", "month"):
        raise Conflict("stripe_year_to_month", plan=new.code)
    if new.id == old.id and seen.pending_plan_id is None:
        raise Conflict("plan_unchanged", plan=old.code)
    if new.id == old.id:
        return Asked(reprice(db, now, settings, stripe, seen, old, "stay", {"proration_behavior": "none"}), drops=True)
    require_price(stripe, new)
    if when_of(wish, seen, old, new, is_admin=is_admin) == "now":
        return _change_now(db, now, settings, stripe, seen, old, new, prorate=wish.prorate)
    return _change_later(db, now, settings, stripe, seen, new, by)


def _change_now(
    db: Connection,
    now: datetime,
    settings: Settings,
    stripe: StripeGateway,
    seen: Subscription,
    old: Plan,
    new: Plan,
    *,
    prorate: bool,
) -> Asked:
    in_trial = seen.status == "trialing"
    if in_trial and has_tried(db, seen.user_id, new.code, but=seen):
        raise Conflict("trial_used", plan=new.code)
    more = new.cents_of_12_months > old.cents_of_12_months
    # What gives more back than it costs stays with Stripe, for the next invoice there: it is no invoice of its own.
    behavior = "none" if in_trial or not prorate else "always_invoice" if more else "create_prorations"
    there = stripe.retrieve(SUBSCRIPTIONS, _stripe_id(seen))
    terms = {"proration_behavior": behavior, "payment_behavior": "pending_if_incomplete", **EXPAND}
    answer = reprice(db, now, settings, stripe, seen, new, "change", terms, there)
    if answer.get("pending_update"):
        return Asked(answer)  # the old one stays until it is paid
    billed = answer.get("latest_invoice")
    if sid(billed) == sid(there.get("latest_invoice")):
        return Asked(answer, drops=True)
    amounts = [cents(line.get("amount")) or 0 for line in items_of(dig(billed, "lines"))]
    money = Proration(-sum(each for each in amounts if each < 0), sum(each for each in amounts if each > 0))
    return Asked(answer, money, drops=True)


def _change_later(
    db: Connection,
    now: datetime,
    settings: Settings,
    stripe: StripeGateway,
    seen: Subscription,
    new: Plan,
    by: str | None,
) -> Asked:
    """Stripe has the new price at once, for its next invoice; the plan stays until then, and that is known first."""
    if seen.cancel_at_period_end:
        raise Conflict("cancel_scheduled")
    with atomic(db):
        held = hold_as_seen(db, seen)
        waits = {"pending_plan_id": new.id, "pending_at": held.current_period_end}
        intended = update_subscription(db, now, held, at=now, by=by, reason="change_asked", **waits)
    try:
        return Asked(reprice(db, now, settings, stripe, intended, new, "later", {"proration_behavior": "none"}))
    except (GatewayRefused, CardDeclined):
        _take_back(db, now, seen, intended)
        raise


def _take_back(db: Connection, now: datetime, seen: Subscription, intended: Subscription) -> None:
    with atomic(db):
        held = hold(db, intended.id)
        if held is not None and held.revision == intended.revision:
            waited = {"pending_plan_id": seen.pending_plan_id, "pending_at": seen.pending_at}
            update_subscription(db, now, held, at=now, by=None, reason="refused", **waited)


def reprice(
    db: Connection,
    now: datetime,
    settings: Settings,
    stripe: StripeGateway,
    seen: Subscription,
    plan: Plan,
    step: str,
    terms: dict[str, Any],
    there: Json | None = None,
) -> Json:
    """Its item has the plan's price. Of several items it is the one whose price is a plan's now."""
    there = there or stripe.retrieve(SUBSCRIPTIONS, _stripe_id(seen))
    price = price_for(db, now, settings, stripe, plan, seen.user_id)
    item = item_of(db, there, seen)
    params = {"items": [{"id": item, "price": price}], **terms}
    return _update(db, now, stripe, seen, f"{step}-{plan.id}", params)


def item_of(db: Connection, there: Json, seen: Subscription) -> str:
    items = items_of(there.get("items"))
    sold = [one for one in items if find_plan(db, seen.tenant_id, {"items": {"data": [one]}}, seen) is not None]
    found = sid(next(iter(sold or items), None))
    if found is None:
        raise Conflict("subscription_changed")
    return found


# -- its end -----------------------------------------------------------------------------------------------


def ask_cancel(
    db: Connection,
    now: datetime,
    settings: Settings,
    stripe: StripeGateway,
    seen: Subscription,
    *,
    when: When = "period_end",
    reason: str | None = None,
) -> Asked:
    """The end, with its period, and a change that waited is dropped; or now, and what was paid beyond is given back.

    What is given back is account credit here: no money leaves Stripe by it. One that Stripe does not know (the key is
    another account's now) ends here, and now.
    """
    _live(seen)
    try:
        return _ask_end(db, now, settings, stripe, seen, when, reason)
    except GatewayRefused as refused:
        if not refused.missing or stripe.find(SUBSCRIPTIONS, _stripe_id(seen)) is not None:
            raise
    logger.error("Stripe does not know subscription %s: it ends here alone", seen.stripe_subscription_id)
    plan = rollover.find_version(db, seen)
    answer = {"currency": plan.currency} if plan is not None else {}
    return Asked(answer, unused_since=_unused_since(now, seen), is_lost=True)


def _ask_end(
    db: Connection,
    now: datetime,
    settings: Settings,
    stripe: StripeGateway,
    seen: Subscription,
    when: When,
    reason: str | None,
) -> Asked:
    told: dict[str, Any] = {"cancellation_details": {"comment": reason}} if reason else {}
    if when == "period_end" and seen.status != "unpaid":
        ends = {"cancel_at_period_end": True, **told}
        if seen.pending_plan_id is None:
            return Asked(_update(db, now, stripe, seen, "cancel", ends))
        old, terms = rollover.get_version(db, seen), {"proration_behavior": "none", **ends}
        return Asked(reprice(db, now, settings, stripe, seen, old, "cancel", terms), drops=True)
    params = {"invoice_now": False, "prorate": False, **told}
    stripe_id = _stripe_id(seen)
    try:
        answer = _make(db, now, stripe, seen, "end", params, partial(stripe.cancel_subscription, stripe_id))
    except GatewayRefused:
        there = stripe.find(SUBSCRIPTIONS, stripe_id)
        if there is None or there.get("status") != "canceled":
            raise
        answer = there  # an earlier request has done it, though its answer was lost
    return Asked(answer, unused_since=_unused_since(now, seen))


def _unused_since(now: datetime, seen: Subscription) -> datetime | None:
    """For a trial nothing was paid."""
    return now if seen.status != "trialing" else None


def ask_resume(db: Connection, now: datetime, stripe: StripeGateway, seen: Subscription) -> Asked:
    """It goes on after all."""
    _live(seen)
    if not seen.cancel_at_period_end:
        raise Conflict("nothing_to_resume")
    there = stripe.retrieve(SUBSCRIPTIONS, _stripe_id(seen))
    by_instant = there.get("cancel_at") is not None and there.get("cancel_at_period_end") is not True
    params: dict[str, Any] = {"cancel_at": ""} if by_instant else {"cancel_at_period_end": False}
    return Asked(_update(db, now, stripe, seen, "resume", params))


# -- what follows ------------------------------------------------------------------------------------------


def take_answer(
    db: Connection, now: datetime, settings: Settings, seen: Subscription, asked: Asked, *, by: str | None = None
) -> Done:
    """Ours stands as Stripe has answered, in the caller's transaction."""
    with atomic(db):
        notices = _end_here(db, now, seen, by) if asked.is_lost else _follow(db, now, settings, seen, asked, by)
        changed = get_subscription(db, seen.tenant_id, seen.id)
        notes: tuple[Invoice, ...] = ()
        proration = asked.proration
        if asked.unused_since is not None:
            notes = credit_unused(db, now, settings, seen, asked.unused_since, by=by)
            proration = Proration(-sum(note.amount_cents for note in notes))
        currency = _currency_of(asked.answer, settings)
        return Done(Changed(changed, proration, currency, notes), notices)


def _follow(
    db: Connection, now: datetime, settings: Settings, seen: Subscription, asked: Asked, by: str | None
) -> tuple[Notice, ...]:
    customer = find_customer(db, sid(asked.answer.get("customer")))
    if customer is None or customer.user_id != seen.user_id:
        raise Conflict("subscription_changed")
    held = hold(db, seen.id)
    if asked.drops and held is not None and held.pending_plan_id is not None:
        dropped = {"pending_plan_id": None, "pending_at": None}
        update_subscription(db, now, held, at=now, by=by, reason="change_dropped", **dropped)
    note_asked(db, now, customer, asked.answer)
    return follow(db, now, settings, customer, asked.answer, at=now, by=by).notices


def _end_here(db: Connection, now: datetime, seen: Subscription, by: str | None) -> tuple[Notice, ...]:
    held = hold(db, seen.id)
    if held is None or not held.is_live:
        raise Conflict("subscription_changed")
    return (end(db, now, held, at=now, by=by, reason="unknown_to_stripe"),)


def _currency_of(answer: Json, settings: Settings) -> str:
    said = answer.get("currency")
    return said.upper() if isinstance(said, str) else settings.currency


# -- how it is asked ---------------------------------------------------------------------------------------


def _update(db: Connection, now: datetime, stripe: StripeGateway, seen: Subscription, step: str, params: Json) -> Json:
    return _make(db, now, stripe, seen, step, params, partial(stripe.update_subscription, _stripe_id(seen)))


def _make(
    db: Connection,
    now: datetime,
    stripe: StripeGateway,
    seen: Subscription,
    step: str,
    params: Json,
    send: stripe_calls.Send,
) -> Json:
    """Once for each state that somebody has seen: of two at once both get the first one's answer."""
    name = f"{step}-{seen.revision}"
    made = stripe_calls.make(db, now, seen.tenant_id, f"subscription:{seen.id}", name, params, send)
    return made.object or stripe.retrieve(SUBSCRIPTIONS, _stripe_id(seen), **EXPAND)


def _changeable(db: Connection, seen: Subscription) -> Plan:
    _live(seen)
    if seen.status == "unpaid":
        raise Conflict("subscription_unpaid")
    return rollover.get_version(db, seen)


def _live(seen: Subscription) -> None:
    if not seen.is_live:
        raise Conflict("subscription_ended", status=seen.status)


def _stripe_id(seen: Subscription) -> str:
    if seen.stripe_subscription_id is None:  # another program says that Stripe bills it, and not by which id
        raise Conflict("stripe_bills_it")
    return seen.stripe_subscription_id
