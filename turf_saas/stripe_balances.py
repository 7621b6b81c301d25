"""Credit that Stripe keeps in a customer's balance is taken from there: here it is account credit, and used once."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from billing_db import Connection
from turf_saas import jobs, stripe_calls
from turf_saas.asking_stripe import asking
from turf_saas.stripe_applying import Event
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import APP, Json, cents, metadata_of, sid
from turf_saas.working import Work

TAKE_JOB = "billing.take_balance"


def take_later(db: Connection, now: datetime, tenant_id: int, event: Event) -> None:
    """What a credit note made at Stripe has put into the balance there, where it has put something there."""
    entry = sid(event.object.get("customer_balance_transaction"))
    if entry is not None:
        payload = {"customer": sid(event.object.get("customer")), "entry": entry}
        jobs.enqueue(db, now, TAKE_JOB, payload, tenant_id=tenant_id, dedupe_key=entry)


def take_balance(work: Work) -> None:
    """The entry has its opposite. Else Stripe's next invoice would be paid with what has paid one of ours."""
    customer, entry = str(work.payload["customer"]), str(work.payload["entry"])
    with asking(work) as stripe:
        credit = stripe.read_balance_entry(customer, entry)
        amount = cents(credit.get("amount"))
        if amount is None or amount >= 0:
            return
        names = {"app": APP, "takes_back": entry}
        stripe_calls.make(
            work.db,
            work.now,
            work.job.tenant_id,
            f"balance:{entry}",
            "take",
            {"amount": -amount, "currency": credit.get("currency"), "metadata": names},
            partial(stripe.add_to_balance, customer),
            find=partial(_find, stripe, customer, names),
        )


def _find(stripe: StripeGateway, customer: str, names: Json) -> Json | None:
    made = stripe.list_balance(customer)
    return next((one for one in made if names.items() <= metadata_of(one).items()), None)
