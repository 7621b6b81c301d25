"""Invoices as Stripe tells of them: ours, that we have sent there to be collected, and those of its subscriptions.

Each event holds the whole state of its invoice, so most do the same: where it stands there is noted, and money that
came in for it. What has its own consequence (a card that was refused, a void) has its own function.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, atomic, fetch_one
from turf_saas import (
    credit_notes,
    dunning,
    gateway_invoices,
    invoice_balances,
    payment_attempts,
    payments,
    stripe_mirror,
    stripe_pieces,
    stripe_run_invoices,
    stripe_takings,
)
from turf_saas.gateway_invoices import GatewayInvoice
from turf_saas.gateways import STRIPE
from turf_saas.invoices import Invoice
from turf_saas.notices import Kind, Notice
from turf_saas.payment_attempts import Failure
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Outcome, Unknown, alarm, applied, find_customer, ignored, mismatch
from turf_saas.stripe_objects import Json, cents, dig, instant, items_of, sid

logger = logging.getLogger("turf_saas.billing")

VOIDED = "voided"  # why a credit note took an invoice back
NOT_OURS = ignored("no invoice of ours")
MAX_CODE = 100


def changed(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """Where it stands there is noted, and what was paid of it."""
    with atomic(db):
        found = _find(db, now, settings, event)
        if isinstance(found, Outcome):
            return found
        invoice, mirror, _ = found
        if event.object.get("status") == "paid" or cents(event.object.get("amount_paid")):
            return _told_with(found, stripe_takings.take(db, now, settings, event, invoice, mirror))
        return _told_with(found, applied(known=_known(event)))


def payment_failed(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """A card was refused. From the first time on it is late; where no further try makes sense, its user is unpaid."""
    return _tried_in_vain(db, now, settings, event, "failed")


def action_required(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """The payer has to confirm it at his bank; or has nothing that Stripe could charge."""
    return _tried_in_vain(db, now, settings, event, "action_required")


def finalization_failed(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """Stripe cannot make an invoice of the draft: nobody is asked for the money until somebody has looked."""
    with atomic(db):
        found = _find(db, now, settings, event)
        if isinstance(found, Outcome):
            return found
        error = event.object.get("last_finalization_error")
        why = f"Stripe cannot finalize it: {dig(error, 'code') or ''} {dig(error, 'message') or ''}".strip()
        return _park(db, now, event, found.invoice, found.mirror, why)


def deleted(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """The draft is gone: nobody is asked for the money until somebody has looked."""
    invoice = stripe_mirror.find_by_stripe_id(db, event.object_id)
    mirror = gateway_invoices.find(db, invoice.id) if invoice is not None else None
    if invoice is None or mirror is None or mirror.provider_id != event.object_id:
        return NOT_OURS
    return _park(db, now, event, invoice, mirror, "its draft was deleted at Stripe")


def _park(db: Connection, now: datetime, event: Event, invoice: Invoice, mirror: GatewayInvoice, why: str) -> Outcome:
    if mirror.status not in ("draft", "waiting"):
        return ignored(f"{invoice.number} is further than that")
    gateway_invoices.set_status(db, now, invoice.id, "parked", why)
    said = f"{invoice.number} is not collected: {why}"
    logger.error("%s (%s): %s", event.type, event.object_id, said)
    return Outcome("applied", said, (alarm(said, event, invoice),))


def voided(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """It is void there: what is still open here is taken back by a credit note. What is paid is left alone."""
    with atomic(db):
        found = _find(db, now, settings, event)
        if isinstance(found, Outcome):
            return found
        held, invoice = payments.hold_payer(db, found.invoice)
        gateway_invoices.release_carried(db, now, invoice.id)
        if invoice.status not in invoice_balances.OPEN:
            return Outcome("ignored", f"{invoice.number} is {invoice.status} here", (), _known(event))
        note = credit_notes.credit_invoice(
            db, now, settings, invoice.tenant_id, invoice.number, reason=VOIDED, by=STRIPE
        )
        recovered = dunning.recover_payer(db, now, settings, held)
        notices = [Notice("invoice_issued", {"invoice": note})]
        if recovered is not None:
            notices.append(Notice("subscription_changed", {"subscription": recovered, "what": "active"}))
        return applied(*notices, known=_known(event))


def payment_paid(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """Which intent or charge has paid how much of an invoice."""
    piece, stripe_id = stripe_pieces.read_piece(event.object), sid(event.object.get("invoice"))
    invoice = stripe_mirror.find_by_stripe_id(db, stripe_id)
    if invoice is None or stripe_id is None:
        if stripe_id is None or _is_foreign(db, stripe_id):
            return NOT_OURS
        raise Unknown(stripe_id)
    if piece is None:
        return ignored("nothing was paid by it")
    with atomic(db):
        mirror = gateway_invoices.find(db, invoice.id)
        if mirror is None:  # one that was adopted, and of which nothing was told yet: its payment is told first
            raise Unknown(stripe_id)
        if mirror.provider_id not in (None, stripe_id):
            return NOT_OURS
        why = _contradiction(event.object, piece.cents, invoice, stripe_takings.asked_cents(db, mirror))
        if mirror.status == "mismatch":  # which was told with the invoice
            return Outcome("mismatch", mirror.last_error or "its invoice is not what was asked for")
        if why is not None:
            return mismatch(why, event, invoice)
        notices = stripe_pieces.note_piece(db, now, settings, invoice, stripe_id, piece, event.created)
        ids = (piece.intent_id, piece.charge_id)
        return applied(*notices, known=tuple(one for one in ids if one is not None))


def _contradiction(given: Json, paid: int, invoice: Invoice, asked: int) -> str | None:
    currency = str(given.get("currency")).upper()
    if currency != invoice.currency:
        return f"{invoice.number}: {invoice.currency} was asked for, and it was paid in {currency}"
    return f"{invoice.number}: {paid} cents were paid, and {asked} asked for" if paid > asked else None


def _is_foreign(db: Connection, stripe_id: str) -> bool:
    """Whether its invoice has been seen, and was none of ours: a payment does not say whose it is."""
    row = fetch_one(
        db,
        "SELECT 1 AS one FROM billing_received_events WHERE object_id = :id AND status = 'ignored' LIMIT 1",
        id=stripe_id,
    )
    return row is not None


# -- whose it is -----------------------------------------------------------------------------------------


class _Found(NamedTuple):
    """The invoice, where it stands at Stripe, and whether it was issued with this event."""

    invoice: Invoice
    mirror: GatewayInvoice
    is_new: bool


def _told_with(found: _Found, outcome: Outcome) -> Outcome:
    """Before anything else of it the host hears that it was issued."""
    if not found.is_new:
        return outcome
    return replace(outcome, notices=(Notice("invoice_issued", {"invoice": found.invoice}), *outcome.notices))


def _find(db: Connection, now: datetime, settings: Settings, event: Event) -> _Found | Outcome:
    """The invoice of ours that the event is about, and where it stands at Stripe by now; or what to answer."""
    stripe_id = event.object_id
    if stripe_id is None:
        return ignored("it has no id")
    invoice = stripe_mirror.find_by_stripe_id(db, stripe_id)
    if invoice is None:
        invoice = stripe_mirror.find_by_metadata(db, event.object)
        if invoice is not None and not stripe_mirror.link(db, now, invoice, stripe_id):
            return _twin(event, invoice)
    if invoice is None and stripe_run_invoices.subscription_id_of(event.object) is not None:
        if find_customer(db, sid(event.object.get("customer"))) is None:
            return ignored("no customer of ours")
        invoice = stripe_run_invoices.find_or_issue(db, now, settings, event)
        if invoice is None:  # not "ignored": its payments are ours
            return Outcome("applied", stripe_run_invoices.why_none(event.object), (), _known(event))
    if invoice is None:
        return NOT_OURS
    is_new = invoice.kind == "stripe" and gateway_invoices.find(db, invoice.id) is None
    mirror = stripe_mirror.reflect(db, now, event, invoice)
    return _Found(invoice, mirror, is_new) if mirror.provider_id == stripe_id else _twin(event, invoice)


def _twin(event: Event, invoice: Invoice) -> Outcome:
    """A second one that says it stands for our invoice. Its money, if any, is nobody's here."""
    why = f"{invoice.number} is collected by another invoice of Stripe's"
    if not cents(event.object.get("amount_paid")):
        return ignored(why)
    return mismatch(why, event, invoice)


def _known(event: Event) -> tuple[str, ...]:
    return (event.object_id,) if event.object_id is not None else ()


# -- tries that brought nothing --------------------------------------------------------------------------


def _tried_in_vain(
    db: Connection, now: datetime, settings: Settings, event: Event, status: payment_attempts.Vain
) -> Outcome:
    with atomic(db):
        found = _find(db, now, settings, event)
        if isinstance(found, Outcome):
            return found
        held, invoice = payments.hold_payer(db, found.invoice)
        stripe_id, tries = str(event.object_id), cents(event.object.get("attempt_count")) or 0
        failure = Failure(
            status,
            cents(event.object.get("amount_remaining")) or cents(event.object.get("amount_due")) or invoice.due_cents,
            min(event.created, now),  # Stripe's clock may be ahead of ours
            decline_of(event.object),
            instant(event.object.get("next_payment_attempt")),
        )
        noted = payment_attempts.note_failure(db, now, invoice, f"{stripe_id}:{tries}", failure)
        if noted.attempt.code is None and noted.is_news:
            stripe_takings.ask(db, now, settings, invoice, f"{stripe_id}:failed:{noted.attempt.id}")
        notices: list[Notice] = []
        if noted.is_news and invoice.status in invoice_balances.OPEN:
            kind: Kind = "payment_failed" if status == "failed" else "payment_action_required"
            notices.append(Notice(kind, {"invoice": invoice, "attempt": noted.attempt}))
        unpaid = dunning.dun_payer(db, now, settings, held)
        if unpaid is not None:
            notices.append(Notice("subscription_changed", {"subscription": unpaid, "what": unpaid.status}))
        return _told_with(found, applied(*notices, known=(*_known(event), failed_id(stripe_id))))


def failed_id(stripe_id: str) -> str:
    """What an intent that failed waits for: its invoice has told of it."""
    return f"{stripe_id}:failed"


def decline_of(given: Json) -> str | None:
    """The bank's word for why, where the invoice has its intent or charge in it; most often it has not."""
    intents = [given.get("payment_intent")]
    intents += [dig(one, "payment", "payment_intent") for one in items_of(given.get("payments"))]
    found = [reason_of(intent) for intent in intents]
    charge = given.get("charge")
    found += [_code(dig(charge, "outcome", "reason")), _code(dig(charge, "failure_code"))]
    return next((code for code in found if code is not None), None)


def reason_of(intent: object) -> str | None:
    """Why an intent's last try failed."""
    error = dig(intent, "last_payment_error")
    return _code(dig(error, "decline_code")) or _code(dig(error, "code"))


def _code(given: object) -> str | None:
    is_one = isinstance(given, str) and 0 < len(given) <= MAX_CODE and given.isascii() and given.isprintable()
    return str(given) if is_one else None
