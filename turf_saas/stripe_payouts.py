"""Payouts as Stripe tells of them: what it sends to the bank."""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection
from turf_saas import jobs, payouts
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Outcome, applied, is_news, mismatch
from turf_saas.stripe_objects import currency_of
from turf_saas.stripe_payments import amount_of

_RANKS = ("pending", "in_transit", "paid", "canceled", "failed")


def changed(db: Connection, now: datetime, _settings: Settings, event: Event) -> Outcome:
    """A payout was made, is on its way, has come or has failed. Of what it is made a job asks."""
    payout_id, amount, status = event.object_id, amount_of(event.object), event.object.get("status")
    if payout_id is None or amount is None or currency_of(event.object) is None or status not in _RANKS:
        return mismatch("it is no payout that we can read", event)
    if is_news(db, event, payout_id, rank=_RANKS.index(status)):
        payouts.note(db, now, payout_id, event.object, amount, status)
    payload, key = {"payout_id": payout_id}, f"{payout_id}:{event.type}"
    jobs.enqueue(db, now, payouts.READ_JOB, payload, dedupe_key=key, max_attempts=jobs.PATIENT)
    return applied(known=(payout_id,))
