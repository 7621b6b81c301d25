"""What a subscription that Stripe runs costs follows its buyer: with another VAT it has another price there.

From its next period on: what the present one has cost is paid.
"""

from __future__ import annotations

from billing_db import atomic
from turf_saas import rollover
from turf_saas.asking_stripe import asking
from turf_saas.gateways import STRIPE
from turf_saas.plans import Plan
from turf_saas.stripe_changes import SUBSCRIPTIONS, Asked, item_of, reprice, take_answer
from turf_saas.stripe_objects import dig, items_of, sid
from turf_saas.stripe_prices import price_for
from turf_saas.subscriptions import Subscription, find_live
from turf_saas.working import Work


def reprice_subscription(work: Work) -> None:
    """A job. A plan that names a price of Stripe's is sold at that, whoever buys it."""
    db, now, settings = work.db, work.now, work.around.settings
    live = find_live(db, work.payload["user_id"])
    plan = _next_plan(work, live) if live is not None and live.billed_by == "stripe" else None
    if live is None or plan is None or plan.stripe_price_id is not None:
        return
    with asking(work) as stripe:
        there = stripe.retrieve(SUBSCRIPTIONS, str(live.stripe_subscription_id))
        wanted, item_id = price_for(db, now, settings, stripe, plan, live.user_id), item_of(db, there, live)
        prices = {sid(one): sid(dig(one, "price")) for one in items_of(there.get("items"))}
        if prices[item_id] == wanted:
            return
        terms = {"proration_behavior": "none"}
        answer = reprice(db, now, settings, stripe, live, plan, f"buyer-{work.job.id}", terms, there)
    with atomic(db):
        done = take_answer(db, now, settings, live, Asked(answer), by=STRIPE)
    work.around.noticed(done.notices)


def _next_plan(work: Work, live: Subscription) -> Plan | None:
    """That of its next period: Stripe has the price of one that waits already."""
    plan = rollover.find_version(work.db, live)
    return rollover.find_follower(work.db, live, plan) if plan is not None and live.pending_plan_id else plan
