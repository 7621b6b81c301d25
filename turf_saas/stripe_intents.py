"""Payment intents as Stripe tells of them: only those that collect an invoice of ours say anything here."""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection, atomic
from turf_saas import dunning, gateway_invoices, payment_attempts, payments, stripe_mirror, stripe_payments
from turf_saas.invoices import Invoice
from turf_saas.notices import Notice
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Outcome, Unknown, applied, ignored
from turf_saas.stripe_invoices import failed_id, reason_of
from turf_saas.stripe_objects import Json, dig, sid

NOT_OURS = ignored("no payment of an invoice of ours")


def succeeded(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """The money itself is noted by its invoice's word; here the payment learns by which charge it came."""
    charge_id = sid(event.object.get("latest_charge"))
    if stripe_payments.recognize(db, event.object_id, charge_id) is None:
        return ignored("no payment is known by it yet: that of an invoice comes with the invoice's own event")
    return applied(known=(charge_id,) if charge_id is not None else ())


def failed(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """Why a try failed, which its invoice's event does not say."""
    invoice, code = _find_invoice(db, event.object), reason_of(event.object)
    if invoice is None or code is None:
        return NOT_OURS
    return learn(db, now, settings, invoice, code, event.created) or _wait(db, invoice)


def learn(
    db: Connection, now: datetime, settings: Settings, wanted: Invoice, code: str, happened_at: datetime
) -> Outcome | None:
    """The reason is noted at its try; a hard decline makes the user unpaid at once. None: the try is not known yet."""
    with atomic(db):
        held, invoice = payments.hold_payer(db, wanted)
        if payment_attempts.note_reason(db, invoice.id, code, happened_at) is None:
            return None
        unpaid = dunning.dun_payer(db, now, settings, held)
        if unpaid is None:
            return applied()
        return applied(Notice("subscription_changed", {"subscription": unpaid, "what": unpaid.status}))


def _wait(db: Connection, invoice: Invoice) -> Outcome:
    mirror = gateway_invoices.find(db, invoice.id)
    raise Unknown(failed_id(mirror.provider_id if mirror is not None and mirror.provider_id else str(invoice.id)))


def _find_invoice(db: Connection, intent: Json) -> Invoice | None:
    """In the old shape it says so; in today's sometimes as an order's reference, and else only Stripe knows."""
    return stripe_mirror.find_by_stripe_id(
        db, sid(intent.get("invoice")) or sid(dig(intent, "payment_details", "order_reference"))
    )
