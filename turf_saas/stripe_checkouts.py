"""What became of a checkout: whoever has paid gets what he paid for. That he came back to a page grants nothing."""

from __future__ import annotations

import logging
from datetime import datetime

from billing_db import Connection
from turf_saas import checkouts, rollover, subscribing, subscription_changes
from turf_saas.catalogue import get_version
from turf_saas.checkouts import Checkout
from turf_saas.errors import Conflict
from turf_saas.gateways import STRIPE
from turf_saas.notices import Notice
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Customer, Event, Outcome, applied, find_customer, ignored, is_news, mismatch
from turf_saas.stripe_objects import sid
from turf_saas.stripe_subscriptions import ask_again, follow_newest
from turf_saas.subscription_changes import Wish
from turf_saas.subscriptions import Subscription

logger = logging.getLogger("turf_saas.billing")

GRANTED = ("paid", "no_payment_required")
# Of one second the later one. That a bank has paid, or not, is the last word.
_RANKS = {"completed": 1, "expired": 2, "async_payment_failed": 3, "async_payment_succeeded": 4}


def apply(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """Completed, expired, or what a bank has said days later."""
    checkout = checkouts.find_of_session(db, event.object)
    if checkout is None:
        return ignored("no checkout of ours")
    customer = find_customer(db, sid(event.object.get("customer")))
    if customer is None or customer.user_id != checkout.user_id:
        return mismatch("another customer than the one who was sent to this checkout", event)
    what = event.type.rpartition(".")[2]
    session_id = str(event.object_id)
    if not is_news(db, event, session_id, rank=_RANKS.get(what, 0), tenant_id=checkout.tenant_id):
        return ignored("a newer state is known")
    checkouts.note_session(db, now, checkout.id, session_id)
    if checkout.status == "complete":
        return ignored("it is complete")
    if what in ("expired", "async_payment_failed"):
        checkouts.settle(db, now, checkout, "expired" if what == "expired" else "failed")
        return applied(known=(session_id,))
    if what != "async_payment_succeeded" and event.object.get("payment_status") not in GRANTED:
        checkouts.settle(db, now, checkout, "processing")
        return applied(known=(session_id,))
    checkouts.settle(db, now, checkout, "complete")
    return _grant(db, now, settings, customer, checkout, event)


def _grant(
    db: Connection, now: datetime, settings: Settings, customer: Customer, checkout: Checkout, event: Event
) -> Outcome:
    """What was paid for. Of a subscription that has not begun by what was told of it, Stripe is asked."""
    if checkout.mode == "setup":
        begun, word = _subscribe(db, now, settings, customer, checkout)
        return applied(Notice("subscription_changed", {"subscription": begun, "what": word}))
    stripe_id = sid(event.object.get("subscription"))
    followed = follow_newest(db, now, settings, customer, stripe_id) if stripe_id is not None else None
    if followed is not None and followed.status != "ignored":
        return followed
    if stripe_id is not None:
        ask_again(db, now, settings, stripe_id)
    return applied()


def _subscribe(
    db: Connection, now: datetime, settings: Settings, customer: Customer, checkout: Checkout
) -> tuple[Subscription, str]:
    """A plan without a fee is billed here: what he uses is collected from the card that he has left."""
    plan = get_version(db, checkout.plan_id)
    live = rollover.bring_up_to_date(db, now, settings, customer.user_id)
    if live is None or (live.effective_at is None and not live.is_billed and live.billed_by == "local"):
        return subscribing.subscribe(db, now, settings, customer.user, plan.code, trial_days=0, by=STRIPE), "subscribed"
    if live.plan == plan.code:
        return live, "subscribed"
    if not checkouts.gives_way(db, live):
        raise Conflict("subscription_exists")
    changed = subscription_changes.change_plan(
        db, now, settings, live, Wish(plan.code, "now"), by=STRIPE, is_admin=True
    ).subscription
    return changed, "changed"
