"""Stripe is asked how a subscription stands: where two states of one second were told, or nobody told any."""

from __future__ import annotations

import logging

from billing_db import atomic
from turf_saas import stripe_inbox
from turf_saas.asking_stripe import asking
from turf_saas.stripe_applying import find_customer
from turf_saas.stripe_objects import sid
from turf_saas.stripe_subscriptions import follow, note_asked
from turf_saas.working import Work

logger = logging.getLogger("turf_saas.billing")


def sync_subscription(work: Work) -> None:
    """Ours is as Stripe's is now."""
    with asking(work) as stripe:
        given = stripe.find("subscriptions", str(work.payload["subscription_id"]))
    if given is None:
        return
    with atomic(work.db):
        customer = find_customer(work.db, sid(given.get("customer")))
        if customer is None:
            return
        note_asked(work.db, work.now, customer, given)
        outcome = follow(work.db, work.now, work.around.settings, customer, given, at=work.now)
        woken = stripe_inbox.wake(work.db, work.now, work.around.settings, outcome.known)
    if outcome.status == "mismatch":
        logger.error("what Stripe answers contradicts what is known: %s", outcome.note)
    work.around.noticed([*outcome.notices, *woken])
