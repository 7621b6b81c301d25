"""Credit notes that somebody has made at Stripe: they are ours as well, of the same amount, on the same invoice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

from billing_db import Connection, execute, fetch_one
from turf_saas import credit_notes, invoice_register, invoices, stripe_balances
from turf_saas.gateways import STRIPE
from turf_saas.invoices import Invoice
from turf_saas.notices import Notice
from turf_saas.refund_rows import find_refund
from turf_saas.settings import Settings
from turf_saas.stripe_applying import APPLIED, Event, Outcome, Unknown, applied, find_customer, ignored, mismatch
from turf_saas.stripe_mirror import find_by_stripe_id
from turf_saas.stripe_objects import APP, Json, currency_of, metadata_of, sid
from turf_saas.stripe_payments import amount_of

logger = logging.getLogger("turf_saas.billing")

MAX_REASON = 500


def issued(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """What it takes off beyond what its refunds have taken off already. It waits until these are known."""
    given = event.object
    if metadata_of(given).get("app") == APP:
        return ignored("it is one of ours, made there to say the same")
    invoice, amount = find_by_stripe_id(db, sid(given.get("invoice"))), amount_of(given)
    customer = find_customer(db, sid(given.get("customer")))
    if customer is None:
        return ignored("no customer of ours")
    if invoice is None:
        raise Unknown(sid(given.get("invoice")) or "the invoice")
    if customer.user_id != invoice.user_id or currency_of(given) != invoice.currency or not amount:
        return mismatch(f"{invoice.number} is another customer's, or in another currency", event)
    invoice_register.hold_register(db, invoice.tenant_id)
    if find_by_stripe_id(db, event.object_id) is not None:
        return ignored("known already")
    taken = sum(_credited(db, refund_id) for refund_id in _refunds_of(given))
    return _credit(db, now, settings, event, invoice, amount - taken)


def voided(_db: Connection, _now: datetime, _settings: Settings, event: Event) -> Outcome:
    """What we have issued for it stays issued: somebody has to bill that again."""
    if metadata_of(event.object).get("app") == APP:
        return ignored("it is one of ours")
    return mismatch("a credit note was annulled at Stripe: what was issued for it here stays issued", event)


def _credit(
    db: Connection, now: datetime, settings: Settings, event: Event, wanted: Invoice, difference: int
) -> Outcome:
    invoice = invoices.hold(db, wanted.id)
    if not invoice.is_ours:
        return mismatch(f"{invoice.number} was adopted, and has no credit notes here", event)
    left = invoice.amount_cents - invoice.credited_cents
    cents = min(difference, left)
    if difference > left:
        logger.error("%s: of a credit note of %s cents only %s are left", invoice.number, difference, left)
    if cents <= 0:
        _name(db, event, _note_of(db, event))
        return APPLIED
    reason = event.object.get("memo") or event.object.get("reason")
    note = credit_notes.credit_invoice(
        db,
        now,
        settings,
        invoice.tenant_id,
        invoice.number,
        amount_cents=cents,
        reason=reason[:MAX_REASON] if isinstance(reason, str) else None,
        by=STRIPE,
    )
    _name(db, event, note.id)
    stripe_balances.take_later(db, now, invoice.tenant_id, event)
    return applied(Notice("invoice_issued", {"invoice": note}), known=(str(event.object_id),))


def _refunds_of(given: Json) -> Iterator[str]:
    """The refunds that came with it: one in the old shape, a list today."""
    listed = given.get("refunds")
    entries = listed if isinstance(listed, list) else []
    for one in [given.get("refund"), *(entry.get("refund") for entry in entries if isinstance(entry, dict))]:
        refund_id = sid(one)
        if refund_id is not None:
            yield refund_id


def _credited(db: Connection, refund_id: str) -> int:
    found = find_refund(db, refund_id)
    if found is None:
        raise Unknown(refund_id)
    return found.credited_cents


def _note_of(db: Connection, event: Event) -> int | None:
    """The credit note that its refunds have needed: it says the same."""
    for refund_id in _refunds_of(event.object):
        found = find_refund(db, refund_id)
        if found is not None and found.credit_note_id is not None:
            return found.credit_note_id
    return None


def _name(db: Connection, event: Event, note_id: int | None) -> None:
    """What Stripe calls it is written down once."""
    row = fetch_one(db, "SELECT stripe_invoice_id FROM invoices WHERE id = :id", id=note_id or 0)
    if row is not None and row["stripe_invoice_id"] is None:
        execute(
            db,
            "UPDATE invoices SET stripe_invoice_id = :stripe_id WHERE id = :id",
            stripe_id=event.object_id,
            id=note_id,
        )
