"""Invoices as Stripe tells of them: those that we have sent there, to be collected."""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection, fetch_one
from turf_saas import invoices, payments
from turf_saas.invoices import Invoice
from turf_saas.notices import Notice
from turf_saas.payments import Source
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Outcome, applied, find_customer, ignored, mismatch
from turf_saas.stripe_objects import Json, cents, currency_of, dig, sid


def paid(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """What came in is noted, once; with it the invoice is paid."""
    invoice = find_ours(db, event.object)
    if invoice is None:
        return ignored("no invoice of ours")
    customer = find_customer(db, sid(event.object.get("customer")))
    amount = cents(event.object.get("amount_paid"))
    if customer is None or customer.user_id != invoice.user_id or currency_of(event.object) != invoice.currency:
        return mismatch("another customer, or another currency, than the invoice's")
    source = Source(
        "stripe",
        str(event.object_id),
        intent_id=sid(dig(event.object, "payment_intent")),
        charge_id=sid(dig(event.object, "charge")),
    )
    if not amount:
        return ignored("nothing was paid")
    done = payments.receive(db, now, settings, invoice, source, amount_cents=amount, method="card")
    if done is None:
        return ignored("known already")
    return applied(Notice("invoice_paid", {"invoice": done.invoice, "payment": done.payment}))


def find_ours(db: Connection, given: Json) -> Invoice | None:
    """The invoice of ours that this one of Stripe's stands for."""
    row = fetch_one(db, "SELECT id FROM invoices WHERE stripe_invoice_id = :id", id=sid(given) or "")
    return invoices.get_by_id(db, row["id"]) if row is not None else None
